/* Top-k against sorting the whole stream. */
#include "tests/unit/unit.h"
#include "base/prng.h"
#include "base/topk.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_ITEMS = 500 };

static int by_key_then_tag(const void *a, const void *b)
{
	const struct topk_item *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->tag > y->tag) - (x->tag < y->tag);
}

static void keeps_the_best_as_sorting_does(void **state)
{
	struct prng random;
	prng_seed(&random, 3);
	for (int round = 0; round < 300; round++) {
		struct topk_item all[MAX_ITEMS], best[MAX_ITEMS];
		size_t n = prng_below(&random, MAX_ITEMS);
		size_t k = prng_below(&random, 60);
		/* Few different keys, so that ties are common. */
		uint64_t keys = round % 2 == 0 ? 10 : 1000000;
		struct topk t;
		topk_init(&t, best, k);
		for (size_t i = 0; i < n; i++) {
			all[i].key = (float)prng_below(&random, keys) - 5;
			all[i].tag = prng_below(&random, 1000000) * MAX_ITEMS + i;
			float bound = topk_bound(&t);
			bool entered = topk_push(&t, all[i].key, all[i].tag);
			if (all[i].key < bound)
				assert_true(entered);
			if (all[i].key > bound)
				assert_false(entered);
		}
		topk_sort(&t);
		qsort(all, n, sizeof(all[0]), by_key_then_tag);
		assert_int_equal(t.count, n < k ? n : k);
		for (size_t i = 0; i < t.count; i++) {
			assert_true(best[i].key == all[i].key);
			assert_int_equal(best[i].tag, all[i].tag);
		}
	}
}

static bool larger_tag_first(const void *ctx, uint64_t a, uint64_t b)
{
	++*(size_t *)(uintptr_t)ctx;
	return a > b;
}

static int by_key_then_larger_tag(const void *a, const void *b)
{
	const struct topk_item *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->tag < y->tag) - (x->tag > y->tag);
}

static void ties_follow_the_order_given(void **state)
{
	struct prng random;
	prng_seed(&random, 4);
	for (int round = 0; round < 300; round++) {
		struct topk_item all[MAX_ITEMS], best[MAX_ITEMS];
		size_t n = prng_below(&random, MAX_ITEMS), k = prng_below(&random, 60), asked = 0;
		const struct topk_order order = {larger_tag_first, &asked};
		struct topk t;
		topk_init_ordered(&t, best, k, &order);
		for (size_t i = 0; i < n; i++) {
			all[i].key = (float)prng_below(&random, 5);
			all[i].tag = prng_below(&random, 1000000) * MAX_ITEMS + i;
			topk_push(&t, all[i].key, all[i].tag);
		}
		topk_sort(&t);
		qsort(all, n, sizeof(all[0]), by_key_then_larger_tag);
		assert_int_equal(t.count, n < k ? n : k);
		for (size_t i = 0; i < t.count; i++)
			assert_int_equal(best[i].tag, all[i].tag);
		assert_true(asked > 0 || t.count < 10);
	}
}

static void k_of_zero_holds_nothing(void **state)
{
	struct topk t;
	topk_init(&t, NULL, 0);
	assert_true(topk_bound(&t) == -INFINITY);
	assert_false(topk_push(&t, -INFINITY, 1));
	assert_false(topk_push(&t, 0, 1));
	topk_sort(&t);
	assert_int_equal(t.count, 0);
}

static void infinity_enters_and_nan_does_not(void **state)
{
	struct topk_item items[2];
	struct topk t;
	topk_init(&t, items, 2);
	assert_false(topk_push(&t, NAN, 1));
	assert_true(topk_push(&t, INFINITY, 2));
	assert_true(topk_push(&t, -INFINITY, 3));
	assert_false(topk_push(&t, NAN, 0));
	assert_true(topk_push(&t, INFINITY, 1)); /* a tie: the smaller tag wins */
	topk_sort(&t);
	assert_int_equal(items[0].tag, 3);
	assert_int_equal(items[1].tag, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_best_as_sorting_does),
		cmocka_unit_test(ties_follow_the_order_given),
		cmocka_unit_test(k_of_zero_holds_nothing),
		cmocka_unit_test(infinity_enters_and_nan_does_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
