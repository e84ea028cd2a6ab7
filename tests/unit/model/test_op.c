/* Codecs of operations and of writes. */
#include "tests/unit/arena.h"
#include "tests/unit/model/conds.h"
#include "tests/unit/model/doc.h"
#include "tests/unit/model/hostile.h"
#include "model/write.h"

/* An operation of each type with all of its fields. */
static struct op sample(enum op_type type)
{
	static const float values[] = {1, 2};
	static struct vector vectors[] = {{VECTOR_DENSE, 0, 2, values, NULL}};
	static struct point_id ids[] = {{0, 3, ID_INT, 0}, {7, 8, ID_UUID, 0}};
	static struct op_space spaces[] = {{VECTOR_DENSE, 1}, {VECTOR_SPARSE, 63}};
	struct point points[] = {{ids[0], 1, vectors, {NULL, 0}}, {ids[1], 0, NULL, {NULL, 0}}};
	struct path paths[] = {path_to("a.b"), path_to("c[]")};
	struct op op = {.type = type, .batch_hi = 1, .batch_lo = UINT64_MAX};
	op.key = (struct path){NULL, 0, ""};
	if (type == OP_UPSERT || type == OP_UPDATE_VECTORS) {
		points[1].payload = doc_slice(arena, "{'k':'v'}");
		op.points = arena_copy(arena, points, sizeof(points));
		op.n_points = 2;
	} else if (type != OP_NOOP) {
		op.ids = ids;
		op.n_ids = 2;
	}
	if (type == OP_SET_PAYLOAD || type == OP_OVERWRITE_PAYLOAD)
		op.payload = doc_slice(arena, "{'x':1}");
	if (type == OP_SET_PAYLOAD)
		op.key = paths[0];
	if (type == OP_DELETE_PAYLOAD) {
		op.paths = arena_copy(arena, paths, sizeof(paths));
		op.n_paths = 2;
	}
	if (type == OP_DELETE_VECTORS) {
		op.spaces = spaces;
		op.n_spaces = 2;
	}
	return op;
}

static void assert_same(const struct op *a, const struct op *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->batch_hi, b->batch_hi);
	assert_int_equal(a->batch_lo, b->batch_lo);
	assert_int_equal(a->n_points, b->n_points);
	for (uint32_t i = 0; i < a->n_points; i++) {
		assert_true(id_equal(&a->points[i].id, &b->points[i].id));
		assert_int_equal(a->points[i].n_vectors, b->points[i].n_vectors);
		assert_int_equal(a->points[i].payload.n, b->points[i].payload.n);
	}
	assert_int_equal(a->n_ids, b->n_ids);
	for (uint32_t i = 0; i < a->n_ids; i++)
		assert_true(id_equal(&a->ids[i], &b->ids[i]));
	assert_int_equal(a->payload.n, b->payload.n);
	if (a->payload.n != 0)
		assert_memory_equal(a->payload.bytes, b->payload.bytes, a->payload.n);
	assert_int_equal(a->key.n_steps, b->key.n_steps);
	assert_string_equal(a->key.text, b->key.text);
	assert_int_equal(a->n_paths, b->n_paths);
	for (uint32_t i = 0; i < a->n_paths; i++)
		assert_string_equal(a->paths[i].text, b->paths[i].text);
	assert_int_equal(a->n_spaces, b->n_spaces);
	for (uint32_t i = 0; i < a->n_spaces; i++) {
		assert_int_equal(a->spaces[i].kind, b->spaces[i].kind);
		assert_int_equal(a->spaces[i].space, b->spaces[i].space);
	}
}

static void every_type_comes_back(void **state)
{
	for (int type = 0; type < OP_TYPE_COUNT; type++) {
		struct op op = sample((enum op_type)type), got;
		struct buf b = BUF_INIT;
		op_encode(&b, &op);
		assert_int_equal(op_decode(b.data, b.len, arena, &got, NULL), 0);
		assert_same(&op, &got);
		/* The whole input must be the operation. */
		struct error err = {0};
		buf_put_u8(&b, 0);
		assert_int_equal(op_decode(b.data, b.len, arena, &got, &err), ERR_FORMAT);
		assert_string_equal(err.text, "an operation is malformed");
		buf_fini(&b);
	}
}

/* The numbers of the types are on disk. */
static void the_layout_never_changes(void **state)
{
	static const uint8_t want[] = {OP_DELETE, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0,
				       0,         0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
				       0,         0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0};
	struct point_id id = id_from_u64(5);
	struct op op = {.type = OP_DELETE, .batch_hi = 1, .batch_lo = 2, .n_ids = 1, .ids = &id};
	struct buf b = BUF_INIT;
	assert_int_equal(OP_DELETE, 2);
	assert_int_equal(OP_DELETE_VECTORS, 8);
	op_encode(&b, &op);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.data, want, sizeof(want));
	buf_fini(&b);
}

static int decode_op(struct reader *r, struct arena *a)
{
	struct op op;
	size_t n = reader_left(r);
	int rc = op_decode(reader_bytes(r, n), n, a, &op, NULL);
	if (rc != 0)
		return rc;
	struct buf b = BUF_INIT;
	op_encode(&b, &op);
	assert_int_equal(b.len, n);
	buf_fini(&b);
	return 0;
}

static void damaged_operations_are_refused_or_usable(void **state)
{
	for (int type = 0; type < OP_TYPE_COUNT; type++) {
		struct op op = sample((enum op_type)type);
		struct buf b = BUF_INIT;
		op_encode(&b, &op);
		assert_decoder_is_safe(decode_op, b.data, b.len);
		buf_fini(&b);
	}
}

static int decode_write(struct reader *r, struct arena *a)
{
	struct write w;
	int rc = write_decode(r, a, &w, NULL);
	if (rc != 0)
		return rc;
	struct buf b = BUF_INIT;
	write_encode(&b, &w);
	buf_fini(&b);
	return 0;
}

static void writes_come_back(void **state)
{
	struct write w = {.op = sample(OP_UPSERT),
			  .condition = MUST(path_cond(COND_IS_NULL, "a")),
			  .mode = UPDATE_INSERT_ONLY};
	struct write got;
	struct buf b = BUF_INIT;
	write_encode(&b, &w);
	struct reader r = reader_make(b.data, b.len);
	assert_int_equal(write_decode(&r, arena, &got, NULL), 0);
	assert_true(reader_done(&r));
	assert_same(&w.op, &got.op);
	assert_null(got.select);
	assert_int_equal(got.condition->n_must, 1);
	assert_int_equal(got.mode, UPDATE_INSERT_ONLY);
	assert_decoder_is_safe(decode_write, b.data, b.len);
	buf_fini(&b);
}

static void a_write_by_filter_has_no_ids(void **state)
{
	struct write w = {.op = sample(OP_CLEAR_PAYLOAD),
			  .select = MUST(path_cond(COND_IS_NULL, "a"))};
	struct write got;
	struct buf b = BUF_INIT;
	write_encode(&b, &w);
	struct reader r = reader_make(b.data, b.len);
	assert_int_equal(write_decode(&r, arena, &got, NULL), ERR_FORMAT);
	w.op.n_ids = 0;
	buf_clear(&b);
	write_encode(&b, &w);
	r = reader_make(b.data, b.len);
	assert_int_equal(write_decode(&r, arena, &got, NULL), 0);
	assert_true(write_needs_state(&got));
	/* The mode is about upserts. */
	w.mode = UPDATE_UPDATE_ONLY;
	buf_clear(&b);
	write_encode(&b, &w);
	r = reader_make(b.data, b.len);
	assert_int_equal(write_decode(&r, arena, &got, NULL), ERR_FORMAT);
	buf_fini(&b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, clean)
	const struct CMUnitTest tests[] = {
		TEST(every_type_comes_back),
		TEST(the_layout_never_changes),
		TEST(damaged_operations_are_refused_or_usable),
		TEST(writes_come_back),
		TEST(a_write_by_filter_has_no_ids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
