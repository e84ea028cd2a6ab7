/* Texts as vectors on the server: the model qdrant/bm25 in points and queries, and what is refused. */
#include "tests/unit/api/fixture.h"
#include "model/bm25.h"

static const struct vector *point_vector(struct fixture *f, const char *document)
{
	struct write *w = arena_alloc(f->arena, sizeof(*w));
	char *body = arena_printf(f->arena, "{\"points\":[{\"id\":1,\"vector\":{\"words\":%s}}]}",
				  document);

	expect_ok(f, body, parse_upsert(&f->p, fixture_json(f, body), w));
	assert_int_equal(w->op.points[0].n_vectors, 1);
	return &w->op.points[0].vectors[0];
}

static bool has_token(const struct vector *v, const char *token)
{
	for (uint32_t i = 0; i < v->n; i++)
		if (v->indices[i] == bm25_token_index(token, strlen(token)))
			return true;
	return false;
}

static void test_document(void **state)
{
	struct fixture f;
	const struct vector *v;

	fixture_init(&f);
	v = point_vector(&f, "{\"text\":\"The cats are running\",\"model\":\"Qdrant/BM25\"}");
	assert_int_equal(v->kind, VECTOR_SPARSE);
	assert_int_equal(v->n, 2);
	assert_true(has_token(v, "cat") && has_token(v, "run"));
	assert_true(v->values[0] != 1.0f);
	v = point_vector(&f, "{\"text\":\"Die Katzen und the cats\",\"model\":\"qdrant/bm25\","
			     "\"options\":{\"language\":\"german\"}}");
	assert_int_equal(v->n, 3);
	assert_true(has_token(v, "katz") && has_token(v, "the"));
	v = point_vector(&f, "{\"text\":\"The cats \\u00e9t\\u00e9 xx\",\"model\":\"qdrant/bm25\","
			     "\"options\":{\"language\":\"none\",\"ascii_folding\":true,"
			     "\"min_token_len\":3,\"lowercase\":false,\"k\":0}}");
	assert_int_equal(v->n, 3);
	assert_true(has_token(v, "The") && has_token(v, "cats") && has_token(v, "ete"));
	assert_true(v->values[0] == 1.0f);
	/* What is given takes the place of what the language stands for. */
	v = point_vector(&f,
			 "{\"text\":\"the cats\",\"model\":\"qdrant/bm25\",\"options\":"
			 "{\"stopwords\":{\"custom\":[\"cats\"]},\"stemmer\":{\"type\":\"none\"},"
			 "\"tokenizer\":\"whitespace\"}}");
	assert_int_equal(v->n, 1);
	assert_true(has_token(v, "the"));
	fixture_fini(&f);
}

static void test_everywhere(void **state)
{
	static const char text[] = "{\"text\":\"cats\",\"model\":\"qdrant/bm25\"}";
	struct fixture f;
	struct write w;
	struct query q;
	char *body;

	fixture_init(&f);
	body = arena_printf(f.arena, "{\"batch\":{\"ids\":[1,2],\"vectors\":{\"words\":[%s,%s]}}}",
			    text, text);
	expect_ok(&f, body, parse_upsert(&f.p, fixture_json(&f, body), &w));
	assert_true(has_token(&w.op.points[1].vectors[0], "cat"));
	body = arena_printf(f.arena, "{\"points\":[{\"id\":1,\"vector\":{\"words\":%s}}]}", text);
	expect_ok(&f, body, parse_update_vectors(&f.p, fixture_json(&f, body), &w));
	assert_true(has_token(&w.op.points[0].vectors[0], "cat"));
	body = arena_printf(f.arena,
			    "{\"prefetch\":{\"query\":{\"nearest\":%s},\"using\":\"words\"},"
			    "\"query\":%s,\"using\":\"words\"}",
			    text, text);
	expect_ok(&f, body, parse_query(&f.p, fixture_json(&f, body), &q));
	assert_int_equal(q.kind, QUERY_NEAREST);
	assert_true(has_token(&q.nearest.vector, "cat"));
	assert_true(q.nearest.vector.values[0] == 1.0f);
	assert_true(has_token(&q.prefetch[0].nearest.vector, "cat"));
	body = arena_printf(f.arena,
			    "{\"query\":{\"recommend\":{\"positive\":[%s]}},\"using\":\"words\"}",
			    text);
	expect_ok(&f, body, parse_query(&f.p, fixture_json(&f, body), &q));
	assert_true(has_token(&q.positive[0].vector, "cat"));
	fixture_fini(&f);
}

#define DOCUMENT(options)                                                                          \
	"{\"query\":{\"text\":\"x\",\"model\":\"qdrant/bm25\",\"options\":" options                \
	"},\"using\":\"words\"}"

static void test_refusals(void **state)
{
	static const struct refusal rows[] = {
		{"{\"query\":{\"text\":\"x\",\"model\":\"qdrant/bm25\"}}", ERR_INPUT, "dense"},
		{"{\"query\":{\"text\":\"x\",\"model\":\"some/model\"},\"using\":\"words\"}",
		 ERR_UNSUPPORTED, "`some/model`"},
		{"{\"query\":{\"text\":\"x\"},\"using\":\"words\"}", ERR_UNSUPPORTED, "model"},
		{"{\"query\":{\"image\":\"x\",\"model\":\"qdrant/bm25\"},\"using\":\"words\"}",
		 ERR_UNSUPPORTED, "only qdrant/bm25"},
		{"{\"query\":{\"text\":5,\"model\":\"qdrant/bm25\"},\"using\":\"words\"}",
		 ERR_FORMAT, "text"},
		{"{\"query\":{\"text\":\"x\",\"model\":\"qdrant/bm25\",\"magic\":1},\"using\":\"words\"}",
		 ERR_UNSUPPORTED, "`magic`"},
		{DOCUMENT("[]"), ERR_FORMAT, "options"},
		{DOCUMENT("{\"magic\":1}"), ERR_UNSUPPORTED, "`magic`"},
		{DOCUMENT("{\"k\":-1}"), ERR_VALIDATION, "options.k"},
		{DOCUMENT("{\"k\":\"1\"}"), ERR_FORMAT, "k"},
		{DOCUMENT("{\"b\":1.5}"), ERR_VALIDATION, "options.b"},
		{DOCUMENT("{\"avg_len\":0}"), ERR_VALIDATION, "avg_len"},
		{DOCUMENT("{\"language\":\"klingon\"}"), ERR_UNSUPPORTED, "`klingon`"},
		{DOCUMENT("{\"language\":7}"), ERR_FORMAT, "language"},
		{DOCUMENT("{\"tokenizer\":\"bytes\"}"), ERR_FORMAT, "tokenizer"},
	};
	struct fixture f;
	struct query q;

	fixture_init(&f);
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_refusal(&f, &rows[i], parse_query(&f.p, fixture_json(&f, rows[i].body), &q));
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_document),
		cmocka_unit_test(test_everywhere),
		cmocka_unit_test(test_refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
