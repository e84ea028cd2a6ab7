/* Histogram: the promised error bound, merging, recording from several threads. */
#include "tests/unit/unit.h"
#include "base/histogram.h"
#include "base/prng.h"
#include <pthread.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void an_empty_one_answers_zero(void **state)
{
	static struct histogram h;
	assert_int_equal(histogram_quantile(&h, 0.5), 0);
}

static void one_value_is_found_within_the_bound(void **state)
{
	struct prng random;
	prng_seed(&random, 4);
	for (int bits = 0; bits < 43; bits++) {
		for (int i = 0; i < 20; i++) {
			struct histogram h = {0};
			uint64_t low = 1ull << bits;
			uint64_t v = low + prng_below(&random, low);
			histogram_record(&h, v);
			histogram_record(&h, v * 2); /* so that the maximum does not tell it */
			double got = (double)histogram_quantile(&h, 0.25);
			assert_true(got >= (double)v && got <= (double)v * 1.07);
			assert_int_equal(histogram_quantile(&h, 1), v * 2);
		}
	}
}

static void quantiles_are_those_of_the_values(void **state)
{
	enum { N = 5000 };
	static uint64_t values[N];
	static struct histogram h;
	struct prng random;
	prng_seed(&random, 5);
	uint64_t sum = 0;
	for (size_t i = 0; i < N; i++) {
		values[i] = prng_below(&random, 1ull << (1 + i % 30));
		sum += values[i];
		histogram_record(&h, values[i]);
	}
	qsort(values, N, sizeof(values[0]), ascending);
	assert_int_equal(h.count, N);
	assert_int_equal(h.sum, sum);
	assert_int_equal(h.max, values[N - 1]);
	for (int percent = 1; percent < 100; percent++) {
		double q = percent / 100.0;
		uint64_t want = values[N * percent / 100 - 1];
		uint64_t got = histogram_quantile(&h, q);
		assert_true(got >= want && (double)got <= (double)want * 1.07 + 1);
	}
	assert_int_equal(histogram_quantile(&h, 2), values[N - 1]);
	assert_true(histogram_quantile(&h, -1) <= 1);
}

static void huge_values_count_as_the_largest_seen(void **state)
{
	static struct histogram h;
	histogram_record(&h, UINT64_MAX);
	assert_int_equal(histogram_quantile(&h, 0.5), UINT64_MAX);
}

static void *record_many(void *arg)
{
	for (uint64_t i = 0; i < 10000; i++)
		histogram_record(arg, i);
	return NULL;
}

static void threads_lose_no_record(void **state)
{
	static struct histogram h;
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, record_many, &h), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(h.count, 40000);
	assert_int_equal(h.max, 9999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_answers_zero),
		cmocka_unit_test(one_value_is_found_within_the_bound),
		cmocka_unit_test(quantiles_are_those_of_the_values),
		cmocka_unit_test(huge_values_count_as_the_largest_seen),
		cmocka_unit_test(threads_lose_no_record),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
