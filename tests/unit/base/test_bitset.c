/* Bitset against a plain array of bool, at sizes around the word limits. */
#include "tests/unit/unit.h"
#include "base/bitset.h"
#include "base/prng.h"
#include <string.h>

enum { MAX_BITS = 200 };
static const uint32_t sizes[] = {0, 1, 63, 64, 65, 127, 128, 129, MAX_BITS};
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void fill_random(struct bitset *b, bool *model, struct prng *random)
{
	for (uint32_t i = 0; i < b->n_bits; i++) {
		model[i] = prng_below(random, 3) == 0;
		if (model[i])
			bitset_set(b, i);
		else
			bitset_unset(b, i);
	}
}

static void assert_same(const struct bitset *b, const bool *model)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < b->n_bits; i++) {
		assert_int_equal(bitset_get(b, i), model[i]);
		count += model[i];
	}
	assert_int_equal(bitset_count(b), count); /* also proves that the tail is zero */
	uint32_t next = bitset_next(b, 0);
	for (uint32_t i = 0; i < b->n_bits; i++) {
		if (model[i]) {
			assert_int_equal(next, i);
			next = bitset_next(b, i + 1);
		}
	}
	assert_int_equal(next, b->n_bits);
}

static void operations_agree_with_the_model(void **state)
{
	struct prng random;
	prng_seed(&random, 2);
	for (size_t s = 0; s < N_SIZES; s++) {
		uint32_t n = sizes[s];
		for (int op = 0; op < 5; op++) {
			struct bitset a, b;
			bool x[MAX_BITS + 1] = {0}, y[MAX_BITS + 1] = {0};
			bitset_init(&a, n, false);
			bitset_init(&b, n, true);
			fill_random(&a, x, &random);
			fill_random(&b, y, &random);
			uint32_t both = 0;
			for (uint32_t i = 0; i < n; i++)
				both += x[i] && y[i];
			assert_int_equal(bitset_count_both(&a, &b), both);
			switch (op) {
			case 0: bitset_and(&a, &b); break;
			case 1: bitset_or(&a, &b); break;
			case 2: bitset_andnot(&a, &b); break;
			case 3: bitset_not(&a); break;
			default: bitset_copy(&a, &b); break;
			}
			for (uint32_t i = 0; i < n; i++) {
				const bool want[] = {x[i] && y[i], x[i] || y[i], x[i] && !y[i],
						     !x[i], y[i]};
				x[i] = want[op];
			}
			assert_same(&a, x);
			assert_same(&b, y);
			bitset_fini(&a);
			bitset_fini(&b);
		}
	}
}

static void fill_sets_no_bit_beyond_the_end(void **state)
{
	for (size_t s = 0; s < N_SIZES; s++) {
		struct bitset b;
		bitset_init(&b, sizes[s], true);
		assert_int_equal(bitset_count(&b), sizes[s]);
		assert_int_equal(bitset_next(&b, 0), 0);
		bitset_not(&b);
		assert_int_equal(bitset_count(&b), 0);
		bitset_fill(&b, true);
		assert_int_equal(bitset_count(&b), sizes[s]);
		bitset_fill(&b, false);
		assert_int_equal(bitset_next(&b, 0), sizes[s]);
		assert_int_equal(bitset_next(&b, sizes[s] + 5), sizes[s]);
		bitset_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_agree_with_the_model),
		cmocka_unit_test(fill_sets_no_bit_beyond_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
