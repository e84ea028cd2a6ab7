/* Code kernels: every level gives the integers of the plain one; codes keep the order of distances well
 * enough that the true neighbours are among the first few. */
#include "tests/unit/unit.h"

#include "base/prng.h"
#include "index/codes.h"
#include "tests/unit/index/index_util.h"
#include <math.h>

enum { MOST = 70 };

static void check_kernels(const struct code_kernels *k, size_t stride, uint32_t n, struct prng *p)
{
	const struct code_kernels *plain = code_kernels_at(KERNEL_PLAIN);
	uint8_t *codes = aligned_alloc(CODE_ALIGN, MOST * stride);
	uint8_t *query = aligned_alloc(CODE_ALIGN, stride);
	int32_t want[MOST], got[MOST];
	uint32_t ids[MOST];

	assert_true(codes && query);
	for (size_t i = 0; i < MOST * stride; i++)
		codes[i] = prng_below(p, 4) ? (uint8_t)prng_u64(p) : 255;
	for (uint32_t i = 0; i < n; i++)
		ids[i] = (uint32_t)prng_below(p, MOST);
	for (int extreme = 0; extreme < 3; extreme++) {
		for (size_t i = 0; i < stride; i++) {
			int32_t most = k->query_max;
			int32_t x = (int32_t)prng_below(p, (uint64_t)(2 * most)) - most;

			x = extreme == 1 ? most - (most == 64) : extreme == 2 ? -most : x;
			query[i] = (uint8_t)(int8_t)x;
		}
		plain->dot(query, codes, stride, ids, n, want);
		k->dot(query, codes, stride, ids, n, got);
		assert_memory_equal(got, want, n * sizeof *got);
		plain->l1(query, codes, stride, ids, n, want);
		k->l1(query, codes, stride, ids, n, got);
		assert_memory_equal(got, want, n * sizeof *got);
	}
	free(codes);
	free(query);
}

static void test_kernels_agree(void **state)
{
	struct prng p;

	prng_seed(&p, 3);
	for (int level = 0; level < KERNEL_LEVELS; level++) {
		const struct code_kernels *k = code_kernels_at((enum kernel_level)level);

		for (size_t stride = CODE_ALIGN; k && stride <= 5 * CODE_ALIGN;
		     stride += CODE_ALIGN) {
			for (uint32_t n = 0; n <= 20; n++)
				check_kernels(k, stride, n, &p);
			check_kernels(k, stride, MOST, &p);
		}
	}
}

static double key_of(const struct code_scale *s, const struct code_query *q, float norm,
		     int32_t sum)
{
	switch (s->distance) {
	case DISTANCE_EUCLID: return (double)norm - (double)q->factor * sum;
	case DISTANCE_MANHATTAN: return sum;
	default: return -(double)sum;
	}
}

/* Of the 10 true neighbours, how many are among the 30 nearest by code? */
static uint32_t found_by_code(const struct sample *s, enum distance distance, const float *query,
			      const struct code_kernels *k)
{
	const struct vindex_rows rows = {.data = s->rows, .n = s->n, .dim = s->dim};
	const struct vindex_query exact = {.vector = query, .k = 10};
	struct topk_item want[10], got[30];
	struct code_scale scale;
	size_t stride = code_stride(s->dim);
	uint8_t *code = aligned_alloc(CODE_ALIGN, stride);
	float *scratch = mem_array(s->dim, sizeof *scratch);
	struct code_query q = {.bytes = aligned_alloc(CODE_ALIGN, stride)};
	struct topk top;
	uint32_t n_want, zero = 0;

	assert_true(code && q.bytes);
	vindex_scan(&rows, distance, &exact, want, &n_want);
	code_scale_init(&scale, &rows, distance);
	code_query_init(&scale, k, query, scratch, &q);
	topk_init(&top, got, 30);
	for (uint32_t i = 0; i < s->n; i++) {
		float norm = code_encode(&scale, s->rows + (size_t)i * s->dim, code);
		int32_t sum;

		(distance == DISTANCE_MANHATTAN ? k->l1 : k->dot)(q.bytes, code, stride, &zero, 1,
								  &sum);
		topk_push(&top, (float)key_of(&scale, &q, norm, sum), i);
	}
	code_scale_fini(&scale);
	free(code);
	free(q.bytes);
	free(scratch);
	return overlap(want, n_want, got, (uint32_t)top.count);
}

static void test_codes_keep_the_neighbours(void **state)
{
	struct sample s = sample_new(1000, 40, 10);

	for (size_t i = 0; i < (size_t)s.n * s.dim; i++)
		s.rows[i] += 3; /* away from the origin */
	for (size_t i = 0; i < (size_t)s.n_queries * s.dim; i++)
		s.queries[i] += 3;
	for (int level = 0; level < KERNEL_LEVELS; level++) {
		const struct code_kernels *k = code_kernels_at((enum kernel_level)level);

		for (size_t d = 0; k && d < 4; d++) {
			uint32_t found = 0;

			for (uint32_t i = 0; i < s.n_queries; i++)
				found += found_by_code(&s, all_distances[d],
						       s.queries + (size_t)i * s.dim, k);
			assert_true(found >= 97);
		}
	}
	sample_free(&s);
}

/* A dimension that never changes, rows that are all the same, values that are not numbers. */
static void test_degenerate_rows(void **state)
{
	static const float values[3] = {0, 1e30f, __builtin_nanf("")};
	float rows[8][5];
	uint8_t code[64], query[64];
	float scratch[64];

	for (int v = 0; v < 3; v++) {
		const struct vindex_rows r = {.data = &rows[0][0], .n = 8, .dim = 5};

		for (size_t i = 0; i < 40; i++)
			(&rows[0][0])[i] = values[v];
		for (size_t d = 0; d < 4; d++) {
			struct code_scale scale;
			struct code_query q = {.bytes = query};

			code_scale_init(&scale, &r, all_distances[d]);
			code_encode(&scale, rows[0], code);
			code_query_init(&scale, code_kernels_get(), rows[1], scratch, &q);
			for (uint32_t i = 0; i < 5; i++)
				assert_true(scale.step[i] == 0 && isfinite(scale.middle[i]));
			code_scale_fini(&scale);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_agree),
		cmocka_unit_test(test_codes_keep_the_neighbours),
		cmocka_unit_test(test_degenerate_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
