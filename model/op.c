/* Codec of operations; the layout of each type is in op.h. */
#include "model/op.h"
#include "base/assert.h"
#include "base/limits.h"
#include "model/wire.h"

enum { POINT_BYTES = ID_ENCODED_BYTES + 4 + 4 }; /* the least that a point takes */

static bool has_points(enum op_type type)
{
	return type == OP_UPSERT || type == OP_UPDATE_VECTORS;
}

static void put_ids(struct buf *b, const struct op *op)
{
	buf_put_u32(b, op->n_ids);
	for (uint32_t i = 0; i < op->n_ids; i++)
		id_encode(b, &op->ids[i]);
}

void op_encode(struct buf *b, const struct op *op)
{
	assert(op->type < OP_TYPE_COUNT);
	buf_put_u8(b, (uint8_t)op->type);
	buf_put_u64(b, op->batch_hi);
	buf_put_u64(b, op->batch_lo);
	if (op->type == OP_NOOP)
		return;
	if (has_points(op->type)) {
		buf_put_u32(b, op->n_points);
		for (uint32_t i = 0; i < op->n_points; i++)
			point_encode(b, &op->points[i]);
		return;
	}
	put_ids(b, op);
	if (op->type == OP_SET_PAYLOAD || op->type == OP_OVERWRITE_PAYLOAD) {
		wire_put_path(b, &op->key);
		wire_put_slice(b, op->payload);
	} else if (op->type == OP_DELETE_PAYLOAD) {
		buf_put_u32(b, op->n_paths);
		for (uint32_t i = 0; i < op->n_paths; i++)
			wire_put_path(b, &op->paths[i]);
	} else if (op->type == OP_DELETE_VECTORS) {
		buf_put_u32(b, op->n_spaces);
		for (uint32_t i = 0; i < op->n_spaces; i++) {
			buf_put_u8(b, (uint8_t)op->spaces[i].kind);
			buf_put_u32(b, op->spaces[i].space);
		}
	}
}

static void take_points(struct reader *r, struct arena *arena, struct op *out)
{
	out->n_points = reader_count(r, POINT_BYTES);
	out->points = arena_zalloc(arena, out->n_points * sizeof(*out->points));
	for (uint32_t i = 0; i < out->n_points && reader_ok(r); i++)
		point_decode(r, arena, &out->points[i], NULL);
}

static void take_ids(struct reader *r, struct arena *arena, struct op *out)
{
	out->n_ids = reader_count(r, ID_ENCODED_BYTES);
	out->ids = arena_zalloc(arena, out->n_ids * sizeof(*out->ids));
	for (uint32_t i = 0; i < out->n_ids; i++)
		out->ids[i] = id_decode(r);
}

static void take_paths(struct reader *r, struct arena *arena, struct op *out)
{
	out->n_paths = reader_count(r, 5);
	out->paths = arena_zalloc(arena, out->n_paths * sizeof(*out->paths));
	for (uint32_t i = 0; i < out->n_paths && reader_ok(r); i++)
		wire_path(r, arena, false, &out->paths[i]);
}

static void take_spaces(struct reader *r, struct arena *arena, struct op *out)
{
	out->n_spaces = reader_count(r, 5);
	out->spaces = arena_zalloc(arena, out->n_spaces * sizeof(*out->spaces));
	for (uint32_t i = 0; i < out->n_spaces; i++) {
		out->spaces[i].kind = (enum vector_kind)wire_enum(r, VECTOR_SPARSE + 1);
		out->spaces[i].space = reader_u32(r);
		if (out->spaces[i].space >= LIMIT_VECTOR_SPACES)
			reader_fail(r);
	}
}

int op_decode(const void *bytes, size_t n, struct arena *arena, struct op *out, struct error *err)
{
	struct reader r = reader_make(bytes, n);
	*out = (struct op){0};
	out->key.text = "";
	out->type = (enum op_type)wire_enum(&r, OP_TYPE_COUNT);
	out->batch_hi = reader_u64(&r);
	out->batch_lo = reader_u64(&r);
	if (has_points(out->type))
		take_points(&r, arena, out);
	else if (out->type != OP_NOOP)
		take_ids(&r, arena, out);
	if (out->type == OP_SET_PAYLOAD || out->type == OP_OVERWRITE_PAYLOAD) {
		wire_path(&r, arena, true, &out->key);
		out->payload = wire_slice(&r, true);
	} else if (out->type == OP_DELETE_PAYLOAD) {
		take_paths(&r, arena, out);
	} else if (out->type == OP_DELETE_VECTORS) {
		take_spaces(&r, arena, out);
	}
	if (!reader_done(&r))
		return error_set(err, ERR_FORMAT, "an operation is malformed");
	return 0;
}
