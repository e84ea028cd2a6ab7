/* Deletes, payload and vector operations, and lists of them. */
#include "tests/unit/api/fixture.h"

typedef int (*parse_fn)(struct parse *p, const struct json *v, struct write *out);

static struct write *parse(struct fixture *f, parse_fn fn, const char *text)
{
	struct write *w = arena_alloc(f->arena, sizeof(*w));

	expect_ok(f, text, fn(&f->p, fixture_json(f, text), w));
	return w;
}

static void test_operations(void **state)
{
	struct fixture f;
	struct write *w;

	fixture_init(&f);
	w = parse(&f, parse_delete, "{\"points\":[1,2]}");
	assert_int_equal(w->op.type, OP_DELETE);
	assert_int_equal(w->op.n_ids, 2);
	assert_null(w->select);
	/* An empty filter means every point: it must not look like "no selection". */
	w = parse(&f, parse_delete, "{\"filter\":{\"must\":[]}}");
	assert_non_null(w->select);
	assert_int_equal(w->op.n_ids, 0);

	w = parse(&f, parse_set_payload, "{\"payload\":{\"a\":1},\"points\":[1],\"key\":\"x.y\"}");
	assert_int_equal(w->op.type, OP_SET_PAYLOAD);
	assert_int_equal(w->op.key.n_steps, 2);
	assert_true(w->op.payload.n > 0);
	w = parse(&f, parse_overwrite_payload, "{\"payload\":{},\"filter\":{}}");
	assert_int_equal(w->op.type, OP_OVERWRITE_PAYLOAD);
	assert_int_equal(w->op.key.n_steps, 0);
	w = parse(&f, parse_delete_payload, "{\"keys\":[\"a\",\"b[].c\"],\"points\":[1]}");
	assert_int_equal(w->op.n_paths, 2);
	w = parse(&f, parse_clear_payload, "{\"points\":[1,\"000102030405060708090a0b0c0d0e0f\"]}");
	assert_int_equal(w->op.type, OP_CLEAR_PAYLOAD);
	assert_int_equal(w->op.n_ids, 2);
	w = parse(&f, parse_update_vectors,
		  "{\"points\":[{\"id\":1,\"vector\":{\"image\":[1,2,3]}}]}");
	assert_int_equal(w->op.type, OP_UPDATE_VECTORS);
	assert_int_equal(w->op.n_points, 1);
	w = parse(&f, parse_delete_vectors, "{\"vector\":[\"\",\"words\"],\"filter\":{}}");
	assert_int_equal(w->op.n_spaces, 2);
	assert_int_equal(w->op.spaces[1].kind, VECTOR_SPARSE);
	fixture_fini(&f);
}

static void test_lists(void **state)
{
	struct fixture f;
	struct write *writes;
	uint32_t n;

	fixture_init(&f);
	expect_ok(&f, "list",
		  parse_operations(
			  &f.p,
			  fixture_json(&f,
				       "{\"operations\":[{\"upsert\":{\"points\":[{\"id\":1,"
				       "\"vector\":{}}]}},{\"delete\":{\"points\":[1]}},{"
				       "\"set_payload\":{\"payload\":{\"a\":1},\"points\":[2]}},{"
				       "\"clear_payload\":{\"points\":[2]}}]}"),
			  &writes, &n));
	assert_int_equal(n, 4);
	assert_int_equal(writes[0].op.type, OP_UPSERT);
	assert_int_equal(writes[3].op.type, OP_CLEAR_PAYLOAD);
	expect_ok(&f, "nothing",
		  parse_operations(&f.p, fixture_json(&f, "{\"operations\":[]}"), &writes, &n));
	assert_int_equal(n, 0);
	fixture_fini(&f);
}

static void check(struct fixture *f, parse_fn fn, const struct refusal *rows, size_t n)
{
	struct write w;

	for (size_t i = 0; i < n; i++)
		expect_refusal(f, &rows[i], fn(&f->p, fixture_json(f, rows[i].body), &w));
}

static void test_refusals(void **state)
{
	static const struct refusal del[] = {
		{"[]", ERR_FORMAT, "body"},
		{"{}", ERR_FORMAT, "missing field `points` or `filter`"},
		{"{\"points\":[1],\"filter\":{}}", ERR_INPUT, "both"},
		{"{\"points\":5}", ERR_FORMAT, "an array"},
		{"{\"points\":[\"x\"]}", ERR_FORMAT, "valid point ID"},
		{"{\"filter\":{\"oops\":1}}", ERR_UNSUPPORTED, "`oops`"},
		{"{\"point\":[1]}", ERR_UNSUPPORTED, "`point`"},
	};
	static const struct refusal set[] = {
		{"{\"points\":[1]}", ERR_FORMAT, "payload"},
		{"{\"payload\":[],\"points\":[1]}", ERR_FORMAT, "payload"},
		{"{\"payload\":{}}", ERR_FORMAT, "missing field"},
		{"{\"payload\":{},\"points\":[1],\"key\":5}", ERR_FORMAT, "key"},
		{"{\"payload\":{},\"points\":[1],\"key\":\"a..b\"}", ERR_INPUT, "key"},
	};
	static const struct refusal keys[] = {
		{"{\"points\":[1]}", ERR_FORMAT, "keys"},
		{"{\"keys\":\"a\",\"points\":[1]}", ERR_FORMAT, "an array"},
		{"{\"keys\":[1],\"points\":[1]}", ERR_FORMAT, "payload key"},
		{"{\"keys\":[\"a\"]}", ERR_FORMAT, "missing field"},
	};
	static const struct refusal vectors[] = {
		{"{}", ERR_FORMAT, "points"},
		{"{\"points\":[]}", ERR_INPUT, "points"},
		{"{\"points\":[{\"id\":1,\"vector\":{}}]}", ERR_INPUT, "no vector"},
		{"{\"points\":[{\"id\":1,\"vector\":[1,2]}]}", ERR_INPUT, "expected dim: 4, got 2"},
		{"{\"points\":[{\"id\":1,\"vector\":[1,2,3,4],\"payload\":{}}]}", ERR_UNSUPPORTED,
		 "payload"},
	};
	static const struct refusal names[] = {
		{"{\"points\":[1]}", ERR_FORMAT, "vector"},
		{"{\"vector\":[],\"points\":[1]}", ERR_VALIDATION, "at least one"},
		{"{\"vector\":[\"nope\"],\"points\":[1]}", ERR_INPUT, "nope"},
		{"{\"vector\":[5],\"points\":[1]}", ERR_FORMAT, "names"},
		{"{\"vector\":[\"image\"]}", ERR_FORMAT, "missing field"},
	};
	static const struct refusal lists[] = {
		{"{}", ERR_FORMAT, "operations"},
		{"{\"operations\":[5]}", ERR_FORMAT, "an object"},
		{"{\"operations\":[{}]}", ERR_FORMAT, "one operation"},
		{"{\"operations\":[{\"explode\":{}}]}", ERR_UNSUPPORTED, "`explode`"},
		{"{\"operations\":[{\"delete\":{\"points\":[1]}},{\"upsert\":{}}]}", ERR_FORMAT,
		 "operations[1]"},
	};
	struct fixture f;
	struct write *writes;
	uint32_t n;

	fixture_init(&f);
	check(&f, parse_delete, del, COUNT(del));
	check(&f, parse_set_payload, set, COUNT(set));
	check(&f, parse_delete_payload, keys, COUNT(keys));
	check(&f, parse_update_vectors, vectors, COUNT(vectors));
	check(&f, parse_delete_vectors, names, COUNT(names));
	for (size_t i = 0; i < COUNT(lists); i++)
		expect_refusal(&f, &lists[i],
			       parse_operations(&f.p, fixture_json(&f, lists[i].body), &writes,
						&n));
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
