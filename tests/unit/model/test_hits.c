/* Results: order and merging. */
#include "tests/unit/arena.h"
#include "base/prng.h"
#include "model/query.h"
#include <stdlib.h>

static struct hit hit_of(uint64_t id, float score)
{
	return (struct hit){.id = id_from_u64(id), .score = score};
}

static void order_is_by_score_then_id(void **state)
{
	struct hit a = hit_of(1, 0.5f), b = hit_of(2, 0.5f), c = hit_of(3, 0.4f);
	assert_true(hit_compare(&a, &c, true) < 0);
	assert_true(hit_compare(&a, &c, false) > 0);
	assert_true(hit_compare(&a, &b, true) > 0); /* larger is better: ids descend */
	assert_true(hit_compare(&a, &b, false) < 0);
	assert_int_equal(hit_compare(&a, &a, true), 0);
	struct hit uuid = {.id = {0, 0, ID_UUID, 0}, .score = 0.5f};
	assert_true(hit_compare(&uuid, &a, true) < 0);
	assert_true(hit_compare(&uuid, &a, false) > 0);
}

static bool larger_first;

static int by_order(const void *a, const void *b)
{
	return hit_compare(a, b, larger_first);
}

/* Against sorting everything; an id has one score wherever it is. */
static void merging_is_sorting_without_duplicates(void **state)
{
	enum { LISTS = 5, MAX = 40 };
	struct prng random;
	prng_seed(&random, 8);
	for (int round = 0; round < 300; round++) {
		struct hit items[LISTS][MAX], all[LISTS * MAX];
		struct hits lists[LISTS], out;
		uint32_t n_all = 0, n_distinct = 0;
		larger_first = round % 2 == 0;
		for (int i = 0; i < LISTS; i++) {
			lists[i] = (struct hits){items[i], (uint32_t)prng_below(&random, MAX)};
			uint64_t id = 0;
			for (uint32_t j = 0; j < lists[i].n; j++) {
				id += 1 + prng_below(&random, 4); /* once in a list */
				items[i][j] = hit_of(id, (float)(id * 7919 % 13));
				all[n_all++] = items[i][j];
			}
			qsort(items[i], lists[i].n, sizeof(struct hit), by_order);
		}
		qsort(all, n_all, sizeof(struct hit), by_order);
		for (uint32_t i = 0; i < n_all; i++) {
			if (i == 0 || !id_equal(&all[i].id, &all[i - 1].id))
				all[n_distinct++] = all[i];
		}
		uint32_t top = (uint32_t)prng_below(&random, LISTS * MAX);
		hits_merge(lists, LISTS, top, larger_first, arena, &out);
		assert_int_equal(out.n, top < n_distinct ? top : n_distinct);
		for (uint32_t i = 0; i < out.n; i++)
			assert_int_equal(out.items[i].id.lo, all[i].id.lo);
		arena_reset(arena);
	}
}

static void a_duplicate_keeps_its_best_score(void **state)
{
	struct hit a[] = {hit_of(1, 0.9f), hit_of(2, 0.8f)};
	struct hit b[] = {hit_of(2, 0.85f), hit_of(1, 0.1f)};
	struct hits lists[] = {{a, 2}, {b, 2}}, out;
	hits_merge(lists, 2, UINT32_MAX, true, arena, &out);
	assert_int_equal(out.n, 2);
	assert_int_equal(out.items[0].id.lo, 1);
	assert_true(out.items[0].score == 0.9f);
	assert_true(out.items[1].score == 0.85f);
	hits_merge(NULL, 0, 10, true, arena, &out);
	assert_int_equal(out.n, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, clean)
	const struct CMUnitTest tests[] = {
		TEST(order_is_by_score_then_id),
		TEST(merging_is_sorting_without_duplicates),
		TEST(a_duplicate_keeps_its_best_score),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
