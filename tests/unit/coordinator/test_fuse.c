/* Fusion of ranked lists against values worked out by hand. */
#include "tests/unit/unit.h"
#include "coordinator/internal.h"
#include <math.h>

static struct hits list(struct arena *a, const uint64_t *ids, const float *scores, uint32_t n)
{
	struct hits h = {arena_zalloc(a, (n + 1) * sizeof(struct hit)), n};
	for (uint32_t i = 0; i < n; i++) {
		h.items[i].id = id_from_u64(ids[i]);
		h.items[i].score = scores[i];
	}
	return h;
}

static void assert_close(float a, double b)
{
	assert_true(fabs((double)a - b) < 1e-5);
}

static void rrf_sums_reciprocal_ranks(void **state)
{
	struct arena *a = arena_new(4096);
	struct hits lists[2] = {
		list(a, (uint64_t[]){1, 2, 3}, (float[]){9, 8, 7}, 3),
		list(a, (uint64_t[]){3, 1}, (float[]){0.5f, 0.4f}, 2),
	};
	struct hits out;
	struct rrf_options o = {2, NULL, 10};
	fuse_rrf(lists, 2, &o, a, &out);
	/* k = 2: rank 0 gives 1/2, rank 1 gives 1/3, rank 2 gives 1/4. */
	assert_int_equal(out.n, 3);
	assert_int_equal(out.items[0].id.lo, 1);
	assert_close(out.items[0].score, 1 / 2.0 + 1 / 3.0);
	assert_int_equal(out.items[1].id.lo, 3);
	assert_close(out.items[1].score, 1 / 4.0 + 1 / 2.0);
	assert_int_equal(out.items[2].id.lo, 2);
	assert_close(out.items[2].score, 1 / 3.0);
	arena_free(a);
}

static void rrf_weights_and_top(void **state)
{
	struct arena *a = arena_new(4096);
	struct hits lists[2] = {
		list(a, (uint64_t[]){1, 2}, (float[]){9, 8}, 2),
		list(a, (uint64_t[]){3, 4}, (float[]){9, 8}, 2),
	};
	struct hits out;
	float weights[2] = {1, 3};
	struct rrf_options o = {60, weights, 2};
	fuse_rrf(lists, 2, &o, a, &out);
	/* (0 + 1) / 3 + 59 is less than (0 + 1) / 1 + 59. */
	assert_int_equal(out.n, 2);
	assert_int_equal(out.items[0].id.lo, 3);
	assert_close(out.items[0].score, 1 / (1 / 3.0 + 59));
	assert_int_equal(out.items[1].id.lo, 4);
	arena_free(a);
}

static void dbsf_maps_three_sigma(void **state)
{
	struct arena *a = arena_new(4096);
	struct hits lists[2] = {
		list(a, (uint64_t[]){1, 2, 3}, (float[]){3, 2, 1}, 3),
		list(a, (uint64_t[]){2}, (float[]){7}, 1),
	};
	bool larger[2] = {true, true};
	struct hits out;
	fuse_dbsf(lists, larger, 2, 10, a, &out);
	/* mean 2, sigma 1: 3 -> (3 - (2 - 3)) / 6; a single result has no spread and gives 0.5. */
	assert_int_equal(out.items[0].id.lo, 2);
	assert_close(out.items[0].score, 0.5 + 0.5);
	assert_int_equal(out.items[1].id.lo, 1);
	assert_close(out.items[1].score, 4.0 / 6);
	arena_free(a);
}

static void mmr_prefers_the_different(void **state)
{
	struct arena *a = arena_new(4096);
	float x[3][2] = {{1, 0}, {0.999f, 0.0447f}, {0.7071f, 0.7071f}};
	struct hits in = list(a, (uint64_t[]){1, 2, 3}, (float[]){1.0f, 0.999f, 0.7071f}, 3);
	struct vector v[3];
	for (int i = 0; i < 3; i++) {
		v[i] = (struct vector){VECTOR_DENSE, 0, 2, x[i], NULL};
		in.items[i].vectors = &v[i];
		in.items[i].n_vectors = 1;
	}
	struct mmr_options o = {0.6f, 2, VECTOR_DENSE, 0, DISTANCE_COSINE};
	struct hits out;
	fuse_mmr(&in, &o, a, &out);
	assert_int_equal(out.n, 2);
	assert_int_equal(out.items[0].id.lo, 1);
	assert_int_equal(out.items[1].id.lo, 3);
	assert_close(out.items[1].score, 0.7071);
	o.diversity = 0;
	fuse_mmr(&in, &o, a, &out);
	assert_int_equal(out.items[1].id.lo, 2);
	arena_free(a);
}

static void scores_in_displayed_units(void **state)
{
	float a[2] = {0, 3}, b[2] = {4, 0};
	assert_close(fuse_score(DISTANCE_EUCLID, a, b, 2), 5);
	assert_close(fuse_score(DISTANCE_MANHATTAN, a, b, 2), 7);
	assert_close(fuse_score(DISTANCE_DOT, a, b, 2), 0);
	uint32_t i[2] = {1, 5}, j[3] = {0, 5, 9};
	float vi[2] = {2, 3}, vj[3] = {1, 4, 1};
	struct vector x = {VECTOR_SPARSE, 0, 2, vi, i}, y = {VECTOR_SPARSE, 0, 3, vj, j};
	assert_close(fuse_sparse_dot(&x, &y), 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rrf_sums_reciprocal_ranks),
		cmocka_unit_test(rrf_weights_and_top),
		cmocka_unit_test(dbsf_maps_three_sigma),
		cmocka_unit_test(mmr_prefers_the_different),
		cmocka_unit_test(scores_in_displayed_units),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
