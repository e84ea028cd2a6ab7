/* Every kernel against a sum in double precision, at unaligned addresses and odd dimensions, and the
 * form for four rows against the form for one: the same bits. */
#include "tests/unit/unit.h"

#include "base/prng.h"
#include "index/kernels.h"
#include <math.h>
#include <string.h>

enum { MOST = 1100 };

static double reference(enum distance distance, const float *a, const float *b, size_t dim)
{
	double sum = 0;

	for (size_t i = 0; i < dim; i++) {
		double x = (double)a[i], y = (double)b[i];

		if (distance == DISTANCE_EUCLID)
			sum += (x - y) * (x - y);
		else if (distance == DISTANCE_MANHATTAN)
			sum += fabs(x - y);
		else
			sum -= x * y;
	}
	return sum;
}

static void check(const struct kernels *k, enum distance distance, size_t dim, struct prng *p)
{
	static float query[MOST], rows[4][MOST];
	static char unaligned[5 * MOST * sizeof(float)];
	const float *at[4], *query_at;
	float four[4];

	for (size_t i = 0; i < dim; i++) {
		query[i] = prng_gauss(p);
		for (int j = 0; j < 4; j++)
			rows[j][i] = prng_gauss(p);
	}
	for (int j = 0; j < 4; j++) { /* addresses 1, 2, 3 and 4 bytes off */
		char *to = unaligned + (size_t)j * MOST * sizeof(float) + j + 1;

		memcpy(to, rows[j], dim * sizeof(float));
		at[j] = (const float *)(const void *)to;
	}
	query_at = query;
	kernels_distance4(k, distance)(query_at, at, dim, four);
	for (int j = 0; j < 4; j++) {
		float one = kernels_distance(k, distance)(query_at, at[j], dim);
		double want = reference(distance, query, rows[j], dim);
		double tolerance = 1e-5 * (double)dim + 1e-5;

		assert_memory_equal(&one, &four[j], sizeof one);
		if (fabs((double)one - want) > tolerance)
			fail_msg("%s, distance %d, dim %zu: %f, expected %f", k->name, distance,
				 dim, (double)one, want);
	}
}

static void test_kernels_agree_with_reference(void **state)
{
	struct prng p;
	int levels = 0;

	prng_seed(&p, 1);
	for (int level = 0; level < KERNEL_LEVELS; level++) {
		const struct kernels *k = kernels_at((enum kernel_level)level);

		if (!k)
			continue;
		levels++;
		for (enum distance d = DISTANCE_COSINE; d <= DISTANCE_MANHATTAN; d++) {
			for (size_t dim = 1; dim <= 130; dim++)
				check(k, d, dim, &p);
			check(k, d, 768, &p);
			check(k, d, 1031, &p);
		}
	}
	assert_true(levels >= 1);
}

static void test_limit(void **state)
{
	enum kernel_level best = kernels_level();

	assert_ptr_equal(kernels_get(), kernels_at(best));
	kernels_limit(KERNEL_PLAIN);
	assert_string_equal(kernels_get()->name, "plain");
	kernels_limit(KERNEL_LEVELS - 1);
	assert_ptr_equal(kernels_get(), kernels_at(best));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_agree_with_reference),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
