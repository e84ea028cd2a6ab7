/* Every form of select gives what the plain one gives, wherever a list ends. */
#include "tests/unit/unit.h"

#include "base/bitset.h"
#include "base/memory.h"
#include "base/prng.h"
#include "index/select.h"
#include <stdlib.h>
#include <string.h>

enum { ROWS = 1000, MOST = 70 };

/* A list as the walk has them: rows, then a number that is none, then whatever comes. Its memory ends with it. */
static uint32_t *make_list(struct prng *p, uint32_t n, uint32_t end)
{
	uint32_t *ids = mem_alloc(n * sizeof *ids);

	for (uint32_t i = 0; i < n; i++)
		ids[i] = (uint32_t)prng_below(p, ROWS);
	if (end < n)
		ids[end] = prng_below(p, 2) ? UINT32_MAX : ROWS + (uint32_t)prng_below(p, 2);
	return ids;
}

static void check_list(select_fn f, const uint64_t *bits, const uint32_t *ids, uint32_t n)
{
	uint32_t *want = mem_zalloc((MOST + SELECT_SPARE) * sizeof *want);
	uint32_t *got = mem_zalloc((MOST + SELECT_SPARE) * sizeof *got);
	uint32_t n_read = 99, n_read_plain = 99;
	uint32_t n_want = select_at(KERNEL_PLAIN)(bits, ids, n, ROWS, want, &n_read_plain);

	assert_int_equal(f(bits, ids, n, ROWS, got, &n_read), n_want);
	assert_int_equal(n_read, n_read_plain);
	assert_memory_equal(got, want, n_want * sizeof *got);
	free(want);
	free(got);
}

static void test_forms_agree(void **state)
{
	struct prng p;

	prng_seed(&p, 11);
	for (int share = 0; share <= 4; share++) {
		struct bitset allow;

		bitset_init(&allow, ROWS, false);
		for (uint32_t i = 0; i < ROWS; i++) {
			if (prng_below(&p, 4) < (uint64_t)share)
				bitset_set(&allow, i);
		}
		for (int level = 0; level < KERNEL_LEVELS; level++) {
			select_fn f = select_at((enum kernel_level)level);

			for (uint32_t n = 0; f && n <= MOST; n++) {
				for (uint32_t end = 0; end <= n; end += 1 + end / 8) {
					uint32_t *ids = make_list(&p, n, end);

					check_list(f, allow.words, ids, n);
					free(ids);
				}
			}
		}
		bitset_fini(&allow);
	}
}

static void test_plain_selects_what_is_allowed(void **state)
{
	const uint64_t bits[2] = {1ull << 5 | 1ull << 63, 1};
	const uint32_t ids[] = {5, 4, 64, 63, 65, 100, 5, 128, 5};
	uint32_t out[9 + SELECT_SPARE], n_read;

	assert_int_equal(select_at(KERNEL_PLAIN)(bits, ids, 9, 128, out, &n_read), 4);
	assert_int_equal(n_read, 7); /* 128 is no row */
	assert_int_equal(out[0], 5);
	assert_int_equal(out[1], 64);
	assert_int_equal(out[2], 63);
	assert_int_equal(out[3], 5);
	assert_non_null(select_get());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms_agree),
		cmocka_unit_test(test_plain_selects_what_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
