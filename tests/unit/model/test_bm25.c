/* Texts as sparse vectors for BM25: indices, weights, and what the score becomes. */
#include "tests/unit/unit.h"
#include "base/limits.h"
#include "model/bm25.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* From another implementation of the hash (mmh3 for Python), its sign dropped. */
static void indices_are_those_of_murmur3(void **state)
{
	static const struct {
		const char *token;
		uint32_t index;
	} known[] = {
		{"", 0},
		{"a", 1009084850},
		{"ab", 1681926305},
		{"abc", 1277324294},
		{"abcd", 1139631978},
		{"hello", 613153351},
		{"quick", 771291085},
		{"hello, world", 345750399},
		{"stra\xC3\x9F"
		 "e",
		 2095602437},
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_int_equal(bm25_token_index(known[i].token, strlen(known[i].token)),
				 known[i].index);
}

static float weight_of(const struct vector *v, const char *token)
{
	uint32_t index = bm25_token_index(token, strlen(token));
	for (uint32_t i = 0; i < v->n; i++) {
		assert_true(i == 0 || v->indices[i - 1] < v->indices[i]);
		if (v->indices[i] == index)
			return v->values[i];
	}
	return 0;
}

static void a_document_has_saturated_weights(void **state)
{
	struct bm25_options o = bm25_defaults();
	struct arena *arena = arena_new(256);
	struct vector v;
	const char *text = "The cats and the dogs: a cat, running. Dogs run; CATS!";

	/* cat dog cat run dog run cat: 7 tokens of 3 kinds */
	assert_int_equal(bm25_document(&o, text, strlen(text), arena, &v), 0);
	assert_int_equal(v.kind, VECTOR_SPARSE);
	assert_int_equal(v.n, 3);
	double norm = 1.2 * (1 - 0.75 + 0.75 * 7 / 256);
	assert_true(fabs((double)weight_of(&v, "cat") - 3 * 2.2 / (3 + norm)) < 1e-6);
	assert_true(fabs((double)weight_of(&v, "dog") - 2 * 2.2 / (2 + norm)) < 1e-6);
	assert_true(fabs((double)weight_of(&v, "run") - 2 * 2.2 / (2 + norm)) < 1e-6);
	/* The same words among more others weigh less, unless b is 0. */
	const char *longer = "cats cats cats and something altogether different beside";
	struct vector w;
	assert_int_equal(bm25_document(&o, longer, strlen(longer), arena, &w), 0);
	float before = weight_of(&w, "cat");
	o.avg_len = 2;
	assert_int_equal(bm25_document(&o, longer, strlen(longer), arena, &w), 0);
	assert_true(weight_of(&w, "cat") < before);
	o.b = 0;
	assert_int_equal(bm25_document(&o, longer, strlen(longer), arena, &w), 0);
	assert_true(fabs((double)weight_of(&w, "cat") - 3 * 2.2 / (3 + 1.2)) < 1e-6);
	o.k = 0;
	assert_int_equal(bm25_document(&o, longer, strlen(longer), arena, &w), 0);
	assert_true(weight_of(&w, "cat") == 1.0f);
	arena_free(arena);
}

static void a_query_has_every_token_once(void **state)
{
	struct bm25_options o = bm25_defaults();
	struct arena *arena = arena_new(256);
	struct vector v;
	const char *text = "cats or dogs or cats";

	assert_int_equal(bm25_query(&o, text, strlen(text), arena, &v), 0);
	assert_int_equal(v.n, 2);
	assert_true(weight_of(&v, "cat") == 1.0f && weight_of(&v, "dog") == 1.0f);
	assert_int_equal(bm25_query(&o, "the of and", 10, arena, &v), 0);
	assert_int_equal(v.n, 0);
	assert_int_equal(bm25_document(&o, "", 0, arena, &v), 0);
	assert_int_equal(v.n, 0);
	arena_free(arena);
}

static void too_many_tokens_are_refused(void **state)
{
	struct bm25_options o = bm25_defaults();
	struct arena *arena = arena_new(256);
	struct buf text = BUF_INIT;
	struct vector v;

	for (int i = 0; i < LIMIT_SPARSE_VALUES + 100; i++)
		buf_printf(&text, "w%d ", i);
	assert_int_equal(bm25_document(&o, (const char *)text.data, text.len, arena, &v),
			 ERR_TOO_LARGE);
	assert_int_equal(bm25_document(&o, (const char *)text.data, text.len / 2, arena, &v), 0);
	assert_true(v.n > 30000);
	buf_fini(&text);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(indices_are_those_of_murmur3),
		cmocka_unit_test(a_document_has_saturated_weights),
		cmocka_unit_test(a_query_has_every_token_once),
		cmocka_unit_test(too_many_tokens_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
