/* The built-in embedder. */
#include "tests/unit/unit.h"

#include "base/codec.h"
#include "cli/embed.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 384 };

static float similarity(const char *a, const char *b)
{
	float x[DIM], y[DIM], sum = 0;

	embed_builtin(a, strlen(a), DIM, x);
	embed_builtin(b, strlen(b), DIM, y);
	for (int i = 0; i < DIM; i++)
		sum += x[i] * y[i];
	return sum;
}

static void test_length_is_one(void **state)
{
	static const uint32_t dims[] = {32, 384, 1000};
	float x[1000];

	for (size_t i = 0; i < 3; i++) {
		double sum = 0;

		embed_builtin("change the owner of a file", 26, dims[i], x);
		for (uint32_t j = 0; j < dims[i]; j++)
			sum += (double)x[j] * x[j];
		assert_true(fabs(sum - 1) < 1e-5);
	}
	embed_builtin("  ... !?", 8, DIM, x);
	for (int j = 0; j < DIM; j++)
		assert_true(x[j] == 0);
}

static void test_same_text_same_vector(void **state)
{
	assert_true(similarity("Change THE Owner!", "change the owner") > 0.9999f);
	float x[DIM];
	/* Written down once: vectors that are stored must stay comparable. */
	embed_builtin("quiver", 6, DIM, x);
	uint32_t used = 0;
	for (int i = 0; i < DIM; i++)
		used += x[i] != 0;
	assert_in_range(used, 8, 20); /* 1 word and 6 + 5 + 4 parts, less what falls together */
}

static void test_nearer_texts_score_higher(void **state)
{
	const char *question = "how do I change the owner of a file";

	assert_true(similarity(question, "chown: change file owner and group") >
		    similarity(question, "sort: sort lines of text files") + 0.1f);
	assert_true(similarity("copying files", "copies a file") > 0.5f);
	assert_true(similarity("configuration", "configurable") >
		    similarity("configuration", "banana") + 0.05f);
	assert_true(fabsf(similarity("the of and with", "database")) < 0.2f);
}

static void test_a_long_text(void **state)
{
	struct buf b = BUF_INIT;
	float x[DIM];

	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "word%d ", i);
	embed_builtin((char *)b.data, b.len, DIM, x);
	assert_true(isfinite(x[0]));
	buf_fini(&b);
}

static void test_builtin_through_the_interface(void **state)
{
	const struct embedder_options options = {.dim = 64};
	struct embedder *e = NULL;
	float rows[2][64], one[64];
	uint32_t dim;

	assert_int_equal(embedder_new(&e, &options, NULL), 0);
	assert_int_equal(embedder_dim(e, &dim, NULL), 0);
	assert_int_equal(dim, 64);
	assert_int_equal(embedder_run(e, "first\0second", 2, 64, rows[0], NULL), 0);
	embed_builtin("second", 6, 64, one);
	assert_memory_equal(rows[1], one, sizeof(one));
	embedder_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_length_is_one),
		cmocka_unit_test(test_same_text_same_vector),
		cmocka_unit_test(test_nearer_texts_score_higher),
		cmocka_unit_test(test_a_long_text),
		cmocka_unit_test(test_builtin_through_the_interface),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
