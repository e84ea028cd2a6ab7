/* Random numbers: known outputs, range, and rough shape. */
#include "tests/unit/unit.h"
#include "base/prng.h"
#include <math.h>
#include <stdbool.h>

/* From the state {1, 2, 3, 4} the first outputs follow by hand from the recurrence. */
static void the_first_outputs_follow_the_recurrence(void **state)
{
	struct prng p = {{1, 2, 3, 4}};
	assert_int_equal(prng_u64(&p), 11520);      /* rotl(2 * 5, 7) * 9 */
	assert_int_equal(prng_u64(&p), 0);          /* s[1] = 2 ^ (3 ^ 1) = 0 */
	assert_int_equal(prng_u64(&p), 1509978240); /* s[1] = 2 << 17 = 262144 */
}

static void a_seed_replays_and_another_does_not(void **state)
{
	struct prng a, b, c;
	prng_seed(&a, 7);
	prng_seed(&b, 7);
	prng_seed(&c, 8);
	int same = 0;
	for (int i = 0; i < 1000; i++) {
		uint64_t x = prng_u64(&a);
		assert_int_equal(x, prng_u64(&b));
		same += x == prng_u64(&c);
	}
	assert_int_equal(same, 0);
}

static void below_is_uniform_and_in_range(void **state)
{
	struct prng p;
	prng_seed(&p, 9);
	assert_int_equal(prng_below(&p, 1), 0);
	int counts[7] = {0};
	for (int i = 0; i < 70000; i++)
		counts[prng_below(&p, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(counts[i], 9600, 10400); /* 4 standard deviations */
	for (int i = 0; i < 1000; i++)
		assert_true(prng_below(&p, UINT64_MAX / 3 * 2) < UINT64_MAX / 3 * 2);
}

static void unit_is_at_least_zero_and_below_one(void **state)
{
	struct prng p;
	prng_seed(&p, 10);
	double sum = 0;
	for (int i = 0; i < 100000; i++) {
		double u = prng_unit(&p);
		assert_true(u >= 0 && u < 1);
		sum += u;
	}
	assert_true(fabs(sum / 100000 - 0.5) < 0.005);
}

static void gauss_has_mean_zero_and_variance_one(void **state)
{
	struct prng p;
	prng_seed(&p, 11);
	double sum = 0, squares = 0;
	for (int i = 0; i < 100000; i++) {
		double g = prng_gauss(&p);
		assert_true(isfinite(g));
		sum += g;
		squares += g * g;
	}
	assert_true(fabs(sum / 100000) < 0.02);
	assert_true(fabs(squares / 100000 - 1) < 0.03);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_outputs_follow_the_recurrence),
		cmocka_unit_test(a_seed_replays_and_another_does_not),
		cmocka_unit_test(below_is_uniform_and_in_range),
		cmocka_unit_test(unit_is_at_least_zero_and_below_one),
		cmocka_unit_test(gauss_has_mean_zero_and_variance_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
