/* Order and merging of result points. */
#include "tests/unit/unit.h"
#include "base/prng.h"
#include "model/query.h"
#include <stdlib.h>

static void ties_go_by_id(void **state)
{
	struct hit a = {.id = id_from_u64(1), .score = 1}, b = {.id = id_from_u64(2), .score = 1};
	assert_true(hit_compare(&a, &b, true) > 0);
	assert_true(hit_compare(&a, &b, false) < 0);
	b.score = 2;
	assert_true(hit_compare(&a, &b, true) > 0);
	assert_true(hit_compare(&a, &b, false) < 0);
}

static int larger_first(const void *a, const void *b)
{
	return hit_compare(a, b, true);
}

/* Random lists, sorted, against sorting everything at once. */
static void merging_equals_sorting(void **state)
{
	struct prng random;
	prng_seed(&random, 7);
	for (int round = 0; round < 200; round++) {
		struct arena *arena = arena_new(4096);
		struct hit items[4][20], all[80];
		struct hits lists[4], out;
		uint32_t total = 0, n_all = 0, top = (uint32_t)prng_below(&random, 50);
		bool known[200] = {false};
		for (int l = 0; l < 4; l++) {
			lists[l] = (struct hits){items[l], (uint32_t)prng_below(&random, 21)};
			for (uint32_t i = 0; i < lists[l].n; i++) {
				uint64_t id = prng_below(&random, 100);
				items[l][i] = (struct hit){.id = id_from_u64(id),
							   .score = (float)(id % 10)};
				all[total++] = items[l][i];
			}
			qsort(items[l], lists[l].n, sizeof(struct hit), larger_first);
		}
		qsort(all, total, sizeof(struct hit), larger_first);
		hits_merge(lists, 4, top, true, arena, &out);
		for (uint32_t i = 0; i < total && n_all < top; i++) {
			if (known[all[i].id.lo])
				continue;
			known[all[i].id.lo] = true;
			assert_true(n_all < out.n);
			assert_true(id_equal(&out.items[n_all++].id, &all[i].id));
		}
		assert_int_equal(out.n, n_all);
		arena_free(arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ties_go_by_id),
		cmocka_unit_test(merging_equals_sorting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
