/* Points from JSON: list and column form, vectors of every kind, ids, payloads, refusals. */
#include "tests/unit/api/fixture.h"

static struct write *parse(struct fixture *f, const char *text)
{
	struct write *w = arena_alloc(f->arena, sizeof(*w));

	expect_ok(f, text, parse_upsert(&f->p, fixture_json(f, text), w));
	assert_int_equal(w->op.type, OP_UPSERT);
	return w;
}

static void test_list(void **state)
{
	struct fixture f;
	struct write *w;
	struct pv v;

	fixture_init(&f);
	w = parse(&f,
		  "{\"points\":[{\"id\":18446744073709551615,\"vector\":[1,2,3,4],\"payload\":"
		  "{\"a\":10.0}},{\"vector\":{},\"id\":\"{00010203-0405-0607-0809-0a0b0c0d0e0f}\"},"
		  "{\"id\":3,\"vector\":{\"\":[0,0,0,1e-3],\"image\":[1,2,3],\"words\":{\"indices\":"
		  "[70000,5],\"values\":[0.5,0.25]}},\"payload\":null}]}");
	assert_int_equal(w->op.n_points, 3);
	assert_true(w->op.points[0].id.lo == UINT64_MAX);
	assert_int_equal(w->op.points[0].n_vectors, 1);
	assert_true(((uintptr_t)w->op.points[0].vectors[0].values & 63) == 0);
	assert_true(pv_get(pv_of(w->op.points[0].payload.bytes), "a", 1, &v));
	assert_int_equal(pv_type(v), PV_DOUBLE);

	assert_int_equal(w->op.points[1].id.kind, ID_UUID);
	assert_int_equal(w->op.points[1].n_vectors, 0);
	assert_int_equal(w->op.points[1].payload.n, 0);

	assert_int_equal(w->op.points[2].n_vectors, 3);
	assert_int_equal(w->op.points[2].vectors[1].space, 1);
	assert_int_equal(w->op.points[2].vectors[2].kind, VECTOR_SPARSE);
	assert_int_equal(w->op.points[2].vectors[2].indices[0], 5);
	assert_int_equal(w->op.points[2].vectors[2].indices[1], 70000);
	assert_true(w->op.points[2].vectors[2].values[1] == 0.5f);
	assert_null(w->select);
	assert_null(w->condition);
	fixture_fini(&f);
}

static void test_batch(void **state)
{
	struct fixture f;
	struct write *w;

	fixture_init(&f);
	w = parse(&f,
		  "{\"batch\":{\"ids\":[1,2],\"vectors\":[[1,2,3,4],[5,6,7,8]],\"payloads\":[null,"
		  "{\"a\":1}]}}");
	assert_int_equal(w->op.n_points, 2);
	assert_true(w->op.points[1].vectors[0].values[0] == 5.0f);
	assert_int_equal(w->op.points[0].payload.n, 0);
	assert_true(w->op.points[1].payload.n > 0);

	w = parse(
		&f,
		"{\"batch\":{\"ids\":[1,2],\"vectors\":{\"image\":[[1,2,3],null],\"words\":[{"
		"\"indices\":[1],\"values\":[1]},{\"indices\":[],\"values\":[]}]}},"
		"\"update_mode\":\"insert_only\",\"update_filter\":{\"must\":[{\"has_id\":[1]}]}}");
	assert_int_equal(w->op.points[0].n_vectors, 2);
	assert_int_equal(w->op.points[1].n_vectors, 1);
	assert_int_equal(w->op.points[1].vectors[0].n, 0);
	assert_int_equal(w->mode, UPDATE_INSERT_ONLY);
	assert_int_equal(w->condition->n_must, 1);
	fixture_fini(&f);
}

static void test_refusals(void **state)
{
	static const struct refusal rows[] = {
		{"5", ERR_FORMAT, "body"},
		{"{}", ERR_FORMAT, "missing field `points`"},
		{"{\"points\":[]}", ERR_INPUT, "Empty update request"},
		{"{\"points\":{}}", ERR_FORMAT, "an array"},
		{"{\"points\":[5]}", ERR_FORMAT, "point"},
		{"{\"points\":[{\"vector\":[1,2,3,4]}]}", ERR_FORMAT, "missing field `id`"},
		{"{\"points\":[{\"id\":1}]}", ERR_FORMAT, "missing field `vector`"},
		{"{\"points\":[{\"id\":1,\"vector\":null}]}", ERR_FORMAT, "missing field `vector`"},
		{"{\"points\":[{\"id\":1,\"vectors\":[1,2,3,4]}]}", ERR_UNSUPPORTED, "`vectors`"},
		{"{\"points\":[{\"id\":-1,\"vector\":[1,2,3,4]}]}", ERR_FORMAT, "valid point ID"},
		{"{\"points\":[{\"id\":\"12\",\"vector\":[1,2,3,4]}]}", ERR_FORMAT,
		 "value 12 is not a valid point ID, valid values are either an unsigned integer or a "
		 "UUID"},
		{"{\"points\":[{\"id\":18446744073709551616,\"vector\":[1,2,3,4]}]}", ERR_FORMAT,
		 "valid point ID"},
		{"{\"points\":[{\"id\":1.0,\"vector\":[1,2,3,4]}]}", ERR_FORMAT, "valid point ID"},
		{"{\"points\":[{\"id\":null,\"vector\":[1,2,3,4]}]}", ERR_FORMAT, "valid point ID"},
		{"{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}", ERR_INPUT,
		 "Vector dimension error: expected dim: 4, got 3"},
		{"{\"points\":[{\"id\":1,\"vector\":[]}]}", ERR_VALIDATION, "empty"},
		{"{\"points\":[{\"id\":1,\"vector\":[1,2,3,null]}]}", ERR_FORMAT, "vector"},
		{"{\"points\":[{\"id\":1,\"vector\":[1,2,3,-4e38]}]}", ERR_FORMAT, "32-bit float"},
		{"{\"points\":[{\"id\":1,\"vector\":[[1,2,3,4]]}]}", ERR_UNSUPPORTED,
		 "multivector"},
		{"{\"points\":[{\"id\":1,\"vector\":\"x\"}]}", ERR_FORMAT, "vector"},
		{"{\"points\":[{\"id\":1,\"vector\":{\"foo\":[1]}}]}", ERR_INPUT,
		 "Not existing vector name error: foo"},
		{"{\"points\":[{\"id\":1,\"vector\":{\"image\":[1]}}]}", ERR_INPUT,
		 "expected dim: 3, got 1"},
		{"{\"points\":[{\"id\":1,\"vector\":{\"words\":[1,2]}}]}", ERR_INPUT, "is sparse"},
		{"{\"points\":[{\"id\":1,\"vector\":{\"image\":{\"indices\":[1],\"values\":[1]}}}]}",
		 ERR_INPUT, "is dense"},
		{"{\"points\":[{\"id\":1,\"vector\":{\"words\":{\"indices\":[3,3],\"values\":[1,2]}}}]}",
		 ERR_VALIDATION, "unique"},
		{"{\"points\":[{\"id\":1,\"vector\":{\"words\":{\"indices\":[1],\"values\":[1,2]}}}]}",
		 ERR_VALIDATION, "same length"},
		{"{\"points\":[{\"id\":1,\"vector\":{\"words\":{\"indices\":[1],\"values\":[1e39]}}}]}",
		 ERR_FORMAT, "32-bit float"},
		{"{\"points\":[{\"id\":1,\"vector\":{\"words\":{\"indices\":[1]}}}]}", ERR_FORMAT,
		 "values"},
		{"{\"points\":[{\"id\":1,\"vector\":{\"text\":\"hi\",\"model\":\"m\"}}]}",
		 ERR_UNSUPPORTED, "model `m`"},
		{"{\"points\":[{\"id\":1,\"vector\":{\"words\":{\"text\":\"hi\",\"model\":\"a/model\"}}}]}",
		 ERR_UNSUPPORTED, "qdrant/bm25"},
		{"{\"points\":[{\"id\":1,\"vector\":[1,2,3,4],\"payload\":[1]}]}", ERR_FORMAT,
		 "payload"},
		{"{\"points\":[{\"id\":1,\"vector\":[1,2,3,4],\"payload\":\"x\"}]}", ERR_FORMAT,
		 "payload"},
		{"{\"points\":[],\"batch\":{}}", ERR_FORMAT, "both"},
		{"{\"points\":[],\"shard_key\":\"a\"}", ERR_UNSUPPORTED, "shard_key"},
		{"{\"points\":[],\"update_mode\":\"replace\"}", ERR_FORMAT, "update_mode"},
		{"{\"batch\":{}}", ERR_FORMAT, "ids"},
		{"{\"batch\":{\"ids\":[]}}", ERR_INPUT, "Empty update request"},
		{"{\"batch\":{\"ids\":[1]}}", ERR_FORMAT, "batch.vectors"},
		{"{\"batch\":{\"ids\":[1],\"vectors\":[[1,2,3,4],[1,2,3,4]]}}", ERR_INPUT,
		 "one for each"},
		{"{\"batch\":{\"ids\":[1],\"vectors\":[[1,2,3,4]],\"payloads\":[]}}", ERR_INPUT,
		 "one for each"},
		{"{\"batch\":{\"ids\":[1],\"vectors\":{\"image\":[[1]]}}}", ERR_INPUT,
		 "expected dim: 3"},
	};
	struct fixture f;
	struct write w;

	fixture_init(&f);
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_refusal(&f, &rows[i],
			       parse_upsert(&f.p, fixture_json(&f, rows[i].body), &w));
	fixture_fini(&f);
}

/* A collection that has names only does not take a bare list. */
static void test_no_unnamed(void **state)
{
	struct fixture f;
	struct write w;
	int rc;

	fixture_init(&f);
	f.collection->spaces[0].name = "text";
	rc = parse_upsert(&f.p, fixture_json(&f, "{\"points\":[{\"id\":1,\"vector\":[1,2,3,4]}]}"),
			  &w);
	assert_int_equal(rc, ERR_INPUT);
	assert_string_equal(f.err.text, "Not existing vector name error: ");
	/* A vector that is called "text" is not taken for a document. */
	rc = parse_upsert(&f.p,
			  fixture_json(&f,
				       "{\"points\":[{\"id\":1,\"vector\":{\"text\":[1,2,3,4]}}]}"),
			  &w);
	assert_int_equal(rc, 0);
	fixture_fini(&f);
}

static void test_too_many(void **state)
{
	struct fixture f;
	struct buf b = BUF_INIT;
	struct write w;

	fixture_init(&f);
	buf_printf(&b, "{\"points\":[");
	for (int i = 0; i <= LIMIT_BATCH_POINTS; i++)
		buf_printf(&b, "%s{\"id\":%d,\"vector\":{}}", i > 0 ? "," : "", i);
	buf_printf(&b, "]}");
	buf_put_u8(&b, 0);
	assert_int_equal(parse_upsert(&f.p, fixture_json(&f, (const char *)b.data), &w), ERR_INPUT);
	assert_non_null(strstr(f.err.text, "send batches"));
	buf_fini(&b);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),     cmocka_unit_test(test_batch),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_no_unnamed),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
