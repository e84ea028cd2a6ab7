/* Queries from JSON: every kind, the older routes, and what is refused. */
#include "tests/unit/api/fixture.h"

static struct query *parse(struct fixture *f, const char *text)
{
	struct query *q = arena_alloc(f->arena, sizeof(*q));

	expect_ok(f, text, parse_query(&f->p, fixture_json(f, text), q));
	return q;
}

static void test_kinds(void **state)
{
	struct fixture f;
	struct query *q;

	fixture_init(&f);
	q = parse(&f, "{}");
	assert_int_equal(q->kind, QUERY_NONE);
	assert_int_equal(q->limit, 10);
	assert_string_equal(q->using_name, "");
	assert_false(q->payload.enabled || q->vectors.enabled || q->has_threshold);

	q = parse(&f, "{\"query\":[1,2,3,4.5],\"limit\":3,\"offset\":2,\"score_threshold\":0.5}");
	assert_int_equal(q->kind, QUERY_NEAREST);
	assert_int_equal(q->nearest.vector.n, 4);
	assert_true(q->nearest.vector.values[3] == 4.5f);
	assert_int_equal(q->limit, 3);
	assert_int_equal(q->offset, 2);
	assert_true(q->has_threshold && q->threshold == 0.5f);

	q = parse(&f, "{\"query\":{\"nearest\":[1,2,3],\"mmr\":{\"diversity\":null,"
		      "\"candidates_limit\":20}},\"using\":\"image\"}");
	assert_int_equal(q->kind, QUERY_NEAREST);
	assert_int_equal(q->nearest.vector.space, 1);
	assert_true(q->mmr && q->mmr_diversity == 0.5f);
	assert_int_equal(q->mmr_candidates, 20);

	q = parse(&f, "{\"query\":{\"indices\":[9,2],\"values\":[0.5,1]},\"using\":\"words\"}");
	assert_int_equal(q->nearest.vector.kind, VECTOR_SPARSE);
	assert_int_equal(q->nearest.vector.indices[0], 2);
	assert_true(q->nearest.vector.values[0] == 1.0f);

	q = parse(&f, "{\"query\":18446744073709551615}");
	assert_int_equal(q->kind, QUERY_ID);
	assert_true(q->nearest.is_id && q->nearest.id.lo == UINT64_MAX);
	q = parse(&f, "{\"query\":\"000102030405060708090a0b0c0d0e0f\"}");
	assert_int_equal(q->kind, QUERY_ID);
	assert_true(q->nearest.id.hi == 0x0001020304050607ull);

	q = parse(
		&f,
		"{\"query\":{\"order_by\":{\"key\":\"n\",\"direction\":\"desc\",\"start_from\":5}}}");
	assert_int_equal(q->kind, QUERY_ORDER_BY);
	assert_true(q->order_desc && q->has_start_from && q->start_from == 5);
	q = parse(&f, "{\"query\":{\"sample\":\"random\"}}");
	assert_int_equal(q->kind, QUERY_SAMPLE);
	q = parse(&f, "{\"query\":{\"recommend\":{\"positive\":[1,[1,2,3,4]],\"negative\":[7],"
		      "\"strategy\":\"best_score\"}}}");
	assert_int_equal(q->kind, QUERY_RECOMMEND);
	assert_int_equal(q->n_positive, 2);
	assert_true(q->positive[0].is_id && !q->positive[1].is_id);
	assert_int_equal(q->n_negative, 1);
	assert_int_equal(q->strategy, RECOMMEND_BEST);
	fixture_fini(&f);
}

static void test_prefetch(void **state)
{
	struct fixture f;
	struct query *q;

	fixture_init(&f);
	q = parse(&f,
		  "{\"prefetch\":[{\"query\":[1,2,3,4],\"limit\":5},{\"query\":{\"indices\":[1],"
		  "\"values\":[1]},\"using\":\"words\",\"filter\":{\"must\":[{\"has_id\":[1]}]}}],"
		  "\"query\":{\"fusion\":\"rrf\"}}");
	assert_int_equal(q->kind, QUERY_RRF);
	assert_int_equal(q->rrf_k, 2);
	assert_int_equal(q->n_prefetch, 2);
	assert_int_equal(q->prefetch[0].limit, 5);
	assert_int_equal(q->prefetch[1].limit, 10);
	assert_int_equal(q->prefetch[1].filter->n_must, 1);

	q = parse(&f, "{\"prefetch\":{\"prefetch\":{\"query\":[1,2,3,4]},\"query\":3,\"limit\":7},"
		      "\"query\":{\"rrf\":{\"k\":60,\"weights\":[0.25]}}}");
	assert_int_equal(q->rrf_k, 60);
	assert_true(q->rrf_weights[0] == 0.25f);
	assert_int_equal(q->prefetch[0].kind, QUERY_ID);
	assert_int_equal(q->prefetch[0].prefetch[0].kind, QUERY_NEAREST);

	/* Without a query of its own: a listing, here rescored. */
	q = parse(&f, "{\"prefetch\":{\"limit\":999999999},\"query\":[1,2,3,4]}");
	assert_int_equal(q->prefetch[0].kind, QUERY_NONE);
	assert_int_equal(q->prefetch[0].limit, 999999999);
	fixture_fini(&f);
}

static void test_selection(void **state)
{
	struct fixture f;
	struct query *q;

	fixture_init(&f);
	q = parse(&f, "{\"with_payload\":true,\"with_vector\":[\"image\"]}");
	assert_true(q->payload.enabled && q->payload.n_paths == 0);
	assert_true(q->vectors.enabled && q->vectors.n_names == 1);
	q = parse(&f, "{\"with_payload\":[\"a.b\",\"c\"],\"with_vectors\":true}");
	assert_int_equal(q->payload.n_paths, 2);
	assert_false(q->payload.exclude);
	assert_true(q->vectors.enabled);
	q = parse(&f, "{\"with_payload\":[],\"with_vector\":[]}");
	assert_true(q->payload.enabled && q->payload.none && q->vectors.enabled && q->vectors.none);
	q = parse(&f, "{\"with_payload\":{\"exclude\":[\"a\"]}}");
	assert_true(q->payload.enabled && q->payload.exclude);
	q = parse(&f,
		  "{\"with_payload\":{\"include\":[\"a\"],\"exclude\":null},\"with_vector\":null}");
	assert_true(q->payload.enabled && !q->payload.exclude && !q->vectors.enabled);
	q = parse(&f, "{\"params\":{\"hnsw_ef\":1000000000000,\"exact\":true,\"nprobe\":7,"
		      "\"min_recall\":0.99,\"budget_ms\":20,\"quantization\":{\"rescore\":false,"
		      "\"oversampling\":2}}}");
	assert_int_equal(q->params.ef, LIMIT_EF);
	assert_true(q->params.exact && q->params.no_rescore && q->params.oversampling == 2.0f);
	assert_int_equal(q->params.nprobe, 7);
	assert_int_equal(q->params.budget_us, 20000);
	fixture_fini(&f);
}

static void test_older_routes(void **state)
{
	struct fixture f;
	struct query q;
	struct group_spec groups;

	fixture_init(&f);
	expect_ok(&f, "search",
		  parse_search(&f.p,
			       fixture_json(&f, "{\"vector\":[1,2,3,4],\"top\":5,\"offset\":1}"),
			       &q, NULL));
	assert_int_equal(q.kind, QUERY_NEAREST);
	assert_int_equal(q.limit, 5);
	expect_ok(&f, "named search",
		  parse_search(&f.p,
			       fixture_json(&f,
					    "{\"vector\":{\"name\":\"image\",\"vector\":[1,2,3]},"
					    "\"limit\":5}"),
			       &q, NULL));
	assert_string_equal(q.using_name, "image");
	expect_ok(
		&f, "sparse search",
		parse_search(&f.p,
			     fixture_json(&f,
					  "{\"vector\":{\"name\":\"words\",\"vector\":{\"indices\":"
					  "[1],\"values\":[2]}},\"limit\":5}"),
			     &q, NULL));
	assert_int_equal(q.nearest.vector.kind, VECTOR_SPARSE);
	expect_ok(&f, "groups",
		  parse_search(
			  &f.p,
			  fixture_json(&f, "{\"vector\":[1,2,3,4],\"limit\":5,\"group_by\":\"doc\","
					   "\"group_size\":2}"),
			  &q, &groups));
	assert_int_equal(groups.size, 2);
	assert_int_equal(groups.limit, 5);
	expect_ok(&f, "recommend",
		  parse_recommend(&f.p, fixture_json(&f, "{\"positive\":[1],\"limit\":5}"), &q,
				  NULL));
	assert_int_equal(q.kind, QUERY_RECOMMEND);
	expect_ok(&f, "query groups",
		  parse_query_groups(&f.p,
				     fixture_json(&f, "{\"query\":[1,2,3,4],\"group_by\":\"doc\"}"),
				     &q, &groups));
	assert_int_equal(groups.size, 3);
	assert_int_equal(groups.limit, 10);
	fixture_fini(&f);
}

static const struct refusal refusals[] = {
	{"[]", ERR_FORMAT, "body"},
	{"{\"query\":[1,2,3]}", ERR_INPUT, "Vector dimension error: expected dim: 4, got 3"},
	{"{\"query\":[]}", ERR_VALIDATION, "empty"},
	{"{\"query\":[1,2,3,\"x\"]}", ERR_FORMAT, "vector"},
	{"{\"query\":[1,2,3,1e39]}", ERR_FORMAT, "32-bit float"},
	{"{\"query\":[[1,2,3,4]]}", ERR_UNSUPPORTED, "multivector"},
	{"{\"query\":[1,2,3,4],\"using\":\"nope\"}", ERR_INPUT,
	 "Not existing vector name error: nope"},
	{"{\"query\":true}", ERR_FORMAT, "vector"},
	{"{\"query\":\"abc\"}", ERR_FORMAT, "value abc is not a valid point ID"},
	{"{\"query\":-1}", ERR_FORMAT, "valid point ID"},
	{"{\"query\":1.5}", ERR_FORMAT, "valid point ID"},
	{"{\"query\":{\"text\":\"hi\",\"model\":\"some/model\"}}", ERR_UNSUPPORTED, "some/model"},
	{"{\"query\":{\"discover\":{}}}", ERR_UNSUPPORTED, "discover"},
	{"{\"query\":{\"context\":[]}}", ERR_UNSUPPORTED, "context"},
	{"{\"query\":{\"formula\":{}}}", ERR_UNSUPPORTED, "formula"},
	{"{\"query\":{\"relevance_feedback\":{}}}", ERR_UNSUPPORTED, "relevance_feedback"},
	{"{\"query\":{\"fusion\":\"max\"}}", ERR_UNSUPPORTED, "fusion `max`"},
	{"{\"query\":{\"fusion\":\"rrf\"}}", ERR_INPUT, "prefetch"},
	{"{\"query\":{\"sample\":\"first\"}}", ERR_UNSUPPORTED, "sample `first`"},
	{"{\"query\":{\"magic\":1}}", ERR_UNSUPPORTED, "`magic`"},
	{"{\"query\":{}}", ERR_FORMAT, "names no kind"},
	{"{\"query\":{\"nearest\":[1,2,3,4],\"boost\":1}}", ERR_UNSUPPORTED, "`boost`"},
	{"{\"query\":{\"nearest\":[1,2,3,4],\"mmr\":{\"diversity\":2}}}", ERR_VALIDATION,
	 "diversity"},
	{"{\"query\":{\"nearest\":[1,2,3,4],\"mmr\":{\"candidates_limit\":99999}}}", ERR_VALIDATION,
	 "candidates_limit"},
	{"{\"prefetch\":{\"query\":[1,2,3,4]}}", ERR_INPUT, "prefetches without a query"},
	{"{\"prefetch\":[{\"query\":[1,2,3,4]}],\"query\":{\"rrf\":{\"weights\":[1,2]}}}",
	 ERR_INPUT, "weights"},
	{"{\"prefetch\":[{\"query\":[1,2,3,4]}],\"query\":{\"rrf\":{\"k\":0}}}", ERR_VALIDATION,
	 "query.rrf.k"},
	{"{\"prefetch\":[{\"query\":[1,2,3,4]}],\"query\":{\"rrf\":{\"weights\":[-1]}}}",
	 ERR_VALIDATION, "weights"},
	{"{\"prefetch\":[{\"query\":[1,2,3,4],\"offset\":1}],\"query\":{\"fusion\":\"rrf\"}}",
	 ERR_UNSUPPORTED, "`offset`"},
	{"{\"prefetch\":5,\"query\":1}", ERR_FORMAT, "prefetch"},
	{"{\"limit\":0}", ERR_VALIDATION, "limit: value 0 invalid, must be 1 or larger"},
	{"{\"limit\":-1}", ERR_FORMAT, "limit"},
	{"{\"limit\":\"ten\"}", ERR_FORMAT, "limit"},
	{"{\"limit\":1.5}", ERR_FORMAT, "limit"},
	{"{\"offset\":-3}", ERR_FORMAT, "offset"},
	{"{\"with_payload\":5}", ERR_FORMAT, "with_payload"},
	{"{\"with_payload\":{\"include\":[\"a\"],\"exclude\":[\"b\"]}}", ERR_FORMAT, "either"},
	{"{\"with_vector\":[\"nope\"]}", ERR_INPUT, "Not existing vector name error: nope"},
	{"{\"with_vector\":\"image\"}", ERR_FORMAT, "with_vector"},
	{"{\"params\":{\"hnsw_ef\":0}}", ERR_VALIDATION, "hnsw_ef"},
	{"{\"params\":{\"speed\":1}}", ERR_UNSUPPORTED, "`speed`"},
	{"{\"params\":{\"min_recall\":1.5}}", ERR_VALIDATION, "min_recall"},
	{"{\"params\":{\"quantization\":{\"oversampling\":0.5}}}", ERR_VALIDATION, "oversampling"},
	{"{\"lookup_from\":{\"collection\":\"x\"},\"query\":1}", ERR_UNSUPPORTED, "lookup_from"},
	{"{\"shard_key\":\"a\"}", ERR_UNSUPPORTED, "shard_key"},
	{"{\"query\":{\"recommend\":{}}}", ERR_INPUT, "positive"},
	{"{\"query\":{\"recommend\":{\"strategy\":\"best_score\"}}}", ERR_INPUT, "example"},
	{"{\"query\":{\"recommend\":{\"positive\":[1],\"strategy\":\"magic\"}}}", ERR_FORMAT,
	 "magic"},
	{"{\"query\":{\"order_by\":{\"key\":\"a\",\"direction\":\"up\"}}}", ERR_FORMAT,
	 "direction"},
	{"{\"query\":{\"order_by\":{\"key\":\"a\",\"start_from\":\"soon\"}}}", ERR_FORMAT,
	 "no date"},
	{"{\"query\":{\"indices\":[1,1],\"values\":[1,2]},\"using\":\"words\"}", ERR_VALIDATION,
	 "unique"},
	{"{\"query\":{\"indices\":[1],\"values\":[1,2]},\"using\":\"words\"}", ERR_VALIDATION,
	 "same length"},
	{"{\"query\":{\"indices\":[-1],\"values\":[1]},\"using\":\"words\"}", ERR_FORMAT,
	 "indices"},
	{"{\"query\":{\"indices\":[4294967296],\"values\":[1]},\"using\":\"words\"}", ERR_FORMAT,
	 "indices"},
	{"{\"query\":{\"indices\":[1],\"values\":[1]}}", ERR_INPUT, "is dense"},
	{"{\"query\":[1,2,3,4],\"using\":\"words\"}", ERR_INPUT, "is sparse"},
};

static void test_refusals(void **state)
{
	struct fixture f;
	struct query q;

	fixture_init(&f);
	for (size_t i = 0; i < COUNT(refusals); i++)
		expect_refusal(&f, &refusals[i],
			       parse_query(&f.p, fixture_json(&f, refusals[i].body), &q));
	fixture_fini(&f);
}

static void test_limits(void **state)
{
	struct fixture f;
	struct buf b = BUF_INIT;
	struct query q;

	fixture_init(&f);
	for (int i = 0; i <= LIMIT_QUERY_DEPTH; i++)
		buf_printf(&b, "{\"query\":[1,2,3,4],\"prefetch\":");
	buf_printf(&b, "{}");
	for (int i = 0; i <= LIMIT_QUERY_DEPTH; i++)
		buf_printf(&b, "}");
	buf_put_u8(&b, 0);
	assert_int_equal(parse_query(&f.p, fixture_json(&f, (const char *)b.data), &q), ERR_INPUT);
	assert_non_null(strstr(f.err.text, "deep"));
	buf_clear(&b);
	buf_printf(&b, "{\"query\":{\"fusion\":\"dbsf\"},\"prefetch\":[");
	for (int i = 0; i <= LIMIT_QUERY_PREFETCHES; i++)
		buf_printf(&b, "%s{\"query\":1}", i > 0 ? "," : "");
	buf_printf(&b, "]}");
	buf_put_u8(&b, 0);
	assert_int_equal(parse_query(&f.p, fixture_json(&f, (const char *)b.data), &q), ERR_INPUT);
	assert_non_null(strstr(f.err.text, "prefetches"));
	buf_fini(&b);
	fixture_fini(&f);
}

static void test_older_refusals(void **state)
{
	static const struct refusal search[] = {
		{"{\"vector\":[1,2,3,4]}", ERR_FORMAT, "missing field `limit`"},
		{"{\"limit\":5}", ERR_FORMAT, "missing field `vector`"},
		{"{\"vector\":[1,2],\"limit\":5}", ERR_INPUT, "expected dim: 4, got 2"},
		{"{\"vector\":5,\"limit\":5}", ERR_FORMAT, "vector"},
		{"{\"vector\":\"abc\",\"limit\":5}", ERR_FORMAT, "vector"},
		{"{\"vector\":{\"name\":\"nope\",\"vector\":[1]},\"limit\":5}", ERR_INPUT, "nope"},
		{"{\"vector\":[1,2,3,4],\"limit\":0}", ERR_VALIDATION, "limit"},
	};
	static const struct refusal groups[] = {
		{"{\"vector\":[1,2,3,4],\"limit\":5}", ERR_FORMAT, "group_by"},
		{"{\"vector\":[1,2,3,4],\"limit\":5,\"group_by\":\"a\",\"group_size\":0}",
		 ERR_VALIDATION, "group_size"},
		{"{\"vector\":[1,2,3,4],\"limit\":5,\"group_by\":\"a\",\"with_lookup\":\"x\"}",
		 ERR_UNSUPPORTED, "with_lookup"},
		{"{\"vector\":[1,2,3,4],\"limit\":5,\"group_by\":\"a\",\"offset\":1}",
		 ERR_UNSUPPORTED, "`offset`"},
	};
	struct fixture f;
	struct query q;
	struct group_spec spec;

	fixture_init(&f);
	for (size_t i = 0; i < COUNT(search); i++)
		expect_refusal(&f, &search[i],
			       parse_search(&f.p, fixture_json(&f, search[i].body), &q, NULL));
	for (size_t i = 0; i < COUNT(groups); i++)
		expect_refusal(&f, &groups[i],
			       parse_search(&f.p, fixture_json(&f, groups[i].body), &q, &spec));
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),          cmocka_unit_test(test_prefetch),
		cmocka_unit_test(test_selection),      cmocka_unit_test(test_older_routes),
		cmocka_unit_test(test_refusals),       cmocka_unit_test(test_limits),
		cmocka_unit_test(test_older_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
