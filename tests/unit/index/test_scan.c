/* The exact scan against sorting everything. */
#include "tests/unit/unit.h"

#include "index/kernels.h"
#include "tests/unit/index/index_util.h"

static int compare(const void *a, const void *b)
{
	const struct topk_item *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->tag < y->tag ? -1 : x->tag > y->tag;
}

/* Sorted list of every allowed row; returns how many. */
static uint32_t sort_all(const struct sample *s, enum distance distance, const float *query,
			 const struct bitset *allow, struct topk_item *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		if (allow && !bitset_get(allow, i))
			continue;
		out[n].key = vindex_distance(distance, query, s->rows + (size_t)i * s->dim, s->dim);
		out[n++].tag = i;
	}
	qsort(out, n, sizeof *out, compare);
	return n;
}

static void check(const struct sample *s, const struct vindex_rows *rows,
		  const struct bitset *allow, uint32_t k)
{
	struct topk_item *want = mem_array(s->n, sizeof *want);
	struct topk_item *got = mem_array(s->n + 10, sizeof *got);

	for (size_t d = 0; d < 4; d++) {
		for (uint32_t i = 0; i < s->n_queries; i++) {
			const struct vindex_query q = {.vector = s->queries + (size_t)i * s->dim,
						       .k = k,
						       .allow = allow};
			uint32_t n, n_want = sort_all(s, all_distances[d], q.vector, allow, want);

			assert_int_equal(vindex_scan(rows, all_distances[d], &q, got, &n), 0);
			assert_int_equal(n, n_want < k ? n_want : k);
			for (uint32_t j = 0; j < n; j++) {
				assert_int_equal(got[j].tag, want[j].tag);
				assert_memory_equal(&got[j].key, &want[j].key, sizeof want[j].key);
			}
		}
	}
	free(want);
	free(got);
}

static void test_scan_is_exact(void **state)
{
	static const uint32_t ns[] = {1, 2, 3, 4, 5, 17, 503};

	for (size_t i = 0; i < sizeof ns / sizeof *ns; i++) {
		struct sample s = sample_new(ns[i], 19, 3);
		const struct vindex_rows rows = {.data = s.rows, .n = s.n, .dim = s.dim};

		check(&s, &rows, NULL, 0);
		check(&s, &rows, NULL, 1);
		check(&s, &rows, NULL, 10);
		check(&s, &rows, NULL, s.n + 5);
		sample_free(&s);
	}
}

static void test_scan_takes_unaligned_rows_and_a_filter(void **state)
{
	struct sample s = sample_new(300, 33, 3);
	size_t bytes = (size_t)s.n * s.dim * sizeof(float);
	char *copy = mem_alloc(bytes + 2);
	struct bitset allow;

	memcpy(copy + 2, s.rows, bytes);
	const struct vindex_rows rows = {.data = (const float *)(const void *)(copy + 2),
					 .n = s.n,
					 .dim = s.dim};
	bitset_init(&allow, s.n, false);
	check(&s, &rows, &allow, 10); /* nothing allowed */
	for (uint32_t i = 0; i < s.n; i += 3)
		bitset_set(&allow, i);
	bitset_set(&allow, s.n - 1);
	check(&s, &rows, &allow, 10);
	check(&s, &rows, &allow, 200);
	bitset_fini(&allow);
	free(copy);
	sample_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_is_exact),
		cmocka_unit_test(test_scan_takes_unaligned_rows_and_a_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
