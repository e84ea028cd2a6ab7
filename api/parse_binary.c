/* The binary form of an upsert: api/binary.h. Rows are used where they lie in the body. */
#include "api/binary.h"
#include "api/parse.h"

#include "base/assert.h"
#include "model/element.h"
#include "base/codec.h"

#include <inttypes.h>
#include <string.h>

struct binary_header {
	uint32_t flags, count, dim;
	uint8_t id_kind;
};

static int read_header(struct parse *p, struct reader *r, struct binary_header *out)
{
	const uint8_t *magic = reader_bytes(r, 4);
	const uint8_t *reserved;

	if (magic == NULL || memcmp(magic, BINARY_MAGIC, 4) != 0)
		return error_set(p->err, ERR_INPUT,
				 "binary body: does not begin with %s; see docs/api.md",
				 BINARY_MAGIC);
	out->flags = reader_u32(r);
	out->count = reader_u32(r);
	out->dim = reader_u32(r);
	out->id_kind = reader_u8(r);
	reserved = reader_bytes(r, BINARY_HEADER_BYTES - 17);
	if (!reader_ok(r))
		return error_set(p->err, ERR_INPUT,
				 "binary body: shorter than its header of %d bytes",
				 BINARY_HEADER_BYTES);
	if ((out->flags & ~(uint32_t)BINARY_PAYLOADS) != 0)
		return error_set(p->err, ERR_UNSUPPORTED,
				 "the flag set 0x%" PRIx32 " of a binary body", out->flags);
	for (size_t i = 0; i < BINARY_HEADER_BYTES - 17; i++)
		if (reserved[i] != 0)
			return error_set(p->err, ERR_INPUT,
					 "binary body: reserved byte %zu of the header is not 0",
					 i + 17);
	if (out->id_kind != BINARY_ID_U64 && out->id_kind != BINARY_ID_UUID)
		return error_set(p->err, ERR_INPUT, "binary body: unknown id kind %u",
				 out->id_kind);
	if (out->count == 0)
		return error_set(p->err, ERR_INPUT, "Empty update request: no point is given");
	if (out->count > LIMIT_BATCH_POINTS)
		return error_set(p->err, ERR_INPUT,
				 "%" PRIu32 " points in one request, at most %d are allowed: send "
				 "batches",
				 out->count, LIMIT_BATCH_POINTS);
	return 0;
}

static uint64_t load_be64(const uint8_t *b)
{
	return __builtin_bswap64(load_u64(b));
}

static int read_ids(struct parse *p, struct reader *r, const struct binary_header *h, struct op *op)
{
	size_t width = h->id_kind == BINARY_ID_UUID ? 16 : 8;
	const uint8_t *ids = reader_bytes(r, h->count * width);

	if (ids == NULL)
		return error_set(p->err, ERR_INPUT,
				 "binary body: ends within the ids of %" PRIu32 " points",
				 h->count);
	op->n_points = h->count;
	op->points = arena_zalloc(p->arena, h->count * sizeof(*op->points));
	for (uint32_t i = 0; i < h->count; i++) {
		const uint8_t *id = ids + i * width;

		if (h->id_kind == BINARY_ID_U64)
			op->points[i].id = id_from_u64(load_u64(id));
		else
			op->points[i].id =
				(struct point_id){load_be64(id), load_be64(id + 8), ID_UUID, 0};
	}
	return 0;
}

static int read_rows(struct parse *p, struct reader *r, const struct binary_header *h,
		     uint32_t space, struct op *op)
{
	struct vector *vectors;
	const float *rows;
	size_t row_bytes = (size_t)h->dim * sizeof(float);

	rows = (const float *)(const void *)reader_bytes(r, h->count * row_bytes);
	if (rows == NULL)
		return error_set(p->err, ERR_INPUT,
				 "binary body: ends within the rows of %" PRIu32 " x %" PRIu32
				 " floats",
				 h->count, h->dim);
	assert(((uintptr_t)rows & 3) == 0);
	vectors = arena_alloc(p->arena, h->count * sizeof(*vectors));
	for (uint32_t i = 0; i < h->count; i++) {
		const float *row = rows + (size_t)i * h->dim;

		if (!vector_finite(row, h->dim))
			return error_set(p->err, ERR_INPUT,
					 "binary body: row %" PRIu32 " holds NaN or infinity", i);
		if (!space_fits(&p->collection->spaces[space], row))
			return error_set(p->err, ERR_INPUT,
					 "binary body: row %" PRIu32
					 " holds a value that does not fit in a 16-bit float",
					 i);
		vectors[i] = (struct vector){VECTOR_DENSE, space, h->dim, row, NULL};
		op->points[i].vectors = &vectors[i];
		op->points[i].n_vectors = 1;
	}
	return 0;
}

static int read_payload(struct parse *p, const uint8_t *line, size_t n, struct point *out)
{
	const struct json *v;
	int rc;

	if (n > 0 && line[n - 1] == '\r')
		n--;
	if (n == 0)
		return 0;
	rc = json_parse(line, n, p->arena, &v, p->err);
	return rc != 0 ? rc : parse_payload(p, "payload", v, &out->payload);
}

static int read_payloads(struct parse *p, struct reader *r, struct op *op)
{
	const uint8_t *at = r->at;

	for (uint32_t i = 0; i < op->n_points; i++) {
		const uint8_t *end;
		int rc;

		if (at == NULL || (at == r->end && i + 1 < op->n_points))
			return error_set(p->err, ERR_INPUT,
					 "binary body: %" PRIu32 " payload lines for %" PRIu32
					 " points",
					 i, op->n_points);
		end = memchr(at, '\n', (size_t)(r->end - at));
		if (end == NULL && i + 1 < op->n_points)
			return error_set(p->err, ERR_INPUT,
					 "binary body: %" PRIu32 " payload lines for %" PRIu32
					 " points",
					 i + 1, op->n_points);
		rc = read_payload(p, at, (size_t)((end == NULL ? r->end : end) - at),
				  &op->points[i]);
		if (rc != 0)
			return error_wrap(p->err, rc, "payload line %" PRIu32, i + 1);
		at = end == NULL ? r->end : end + 1;
	}
	r->at = at;
	return 0;
}

int parse_binary(struct parse *p, const uint8_t *body, size_t n, const char *using_name,
		 struct write *out)
{
	struct reader r = reader_make(body, n);
	struct space_ref space = {VECTOR_DENSE, 0};
	struct binary_header h = {0};
	int rc = read_header(p, &r, &h);

	memset(out, 0, sizeof(*out));
	out->op.type = OP_UPSERT;
	if (rc == 0 && h.dim > 0) {
		rc = parse_space(p, using_name, strlen(using_name), &space);
		if (rc == 0 && space.kind != VECTOR_DENSE)
			rc = error_set(p->err, ERR_INPUT,
				       "Vector `%s` is sparse: the binary form holds dense rows",
				       using_name);
		if (rc == 0 && h.dim != p->collection->spaces[space.index].dim)
			rc = error_set(p->err, ERR_INPUT,
				       "Vector dimension error: expected dim: %" PRIu32
				       ", got %" PRIu32,
				       p->collection->spaces[space.index].dim, h.dim);
	}
	if (rc == 0)
		rc = read_ids(p, &r, &h, &out->op);
	if (rc == 0 && h.dim > 0)
		rc = read_rows(p, &r, &h, space.index, &out->op);
	if (rc == 0 && (h.flags & BINARY_PAYLOADS) != 0)
		rc = read_payloads(p, &r, &out->op);
	if (rc == 0 && !reader_done(&r))
		rc = error_set(p->err, ERR_INPUT,
			       "binary body: %zu bytes too many after the points", reader_left(&r));
	return rc;
}
