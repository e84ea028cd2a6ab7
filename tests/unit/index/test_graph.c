/* Our builder: the graph is a valid one in FAISS's format, every node can be reached, links are diverse,
 * both builders and any number of threads give good recall; a walk stops at its deadline. */
#include "tests/unit/unit.h"

#include "base/clock.h"
#include "index/faiss_file.h"
#include "index/graph.h"
#include "tests/unit/index/index_util.h"

enum { N = 3000, DIM = 20, K = 10 };

static void save(const struct sample *s, enum distance distance, uint32_t threads, bool by_faiss,
		 struct buf *out)
{
	const struct vindex_build b = {
		.rows = {.data = s->rows, .n = s->n, .dim = s->dim},
		.distance = distance,
		.config = {.kind = INDEX_HNSW, .m = 8, .ef_construct = 40, .by_faiss = by_faiss},
		.threads = threads,
		.rows_stay = true,
	};
	struct vindex *v = NULL;

	assert_int_equal(vindex_build(&b, &v, NULL), 0);
	assert_int_equal(vindex_save(v, save_to_buf, out, NULL), 0);
	vindex_free(v);
}

static uint32_t reachable(const struct faiss_graph *g)
{
	uint32_t *queue = mem_array(g->flat.n, sizeof *queue), head = 0, tail = 0;
	bool *seen = mem_array(g->flat.n, sizeof *seen);

	queue[tail++] = (uint32_t)g->entry;
	seen[g->entry] = true;
	while (head < tail) {
		const uint8_t *links = faiss_graph_links(g, queue[head++], 0);

		for (uint32_t i = 0; i < faiss_graph_slots(g, 0); i++) {
			uint32_t to = load_u32(links + 4 * (size_t)i);

			if (to == UINT32_MAX)
				break;
			if (!seen[to])
				queue[tail++] = to;
			seen[to] = true;
		}
	}
	free(queue);
	free(seen);
	return tail;
}

static void check_lists(const struct faiss_graph *g)
{
	for (uint32_t node = 0; node < g->flat.n; node++) {
		const uint8_t *links = faiss_graph_links(g, node, 0);
		uint32_t slots = faiss_graph_slots(g, 0);

		for (uint32_t i = 0; i < slots; i++) {
			uint32_t to = load_u32(links + 4 * (size_t)i);

			if (to == UINT32_MAX)
				break;
			assert_int_not_equal(to, node);
			for (uint32_t j = 0; j < i; j++)
				assert_int_not_equal(to, load_u32(links + 4 * (size_t)j));
		}
	}
}

static double recall_of(const struct sample *s, enum distance distance, const struct buf *saved)
{
	const struct vindex_open o = {.bytes = saved->data,
				      .n_bytes = saved->len,
				      .distance = distance,
				      .config = {.kind = INDEX_HNSW}};
	const struct vindex_rows rows = {.data = s->rows, .n = s->n, .dim = s->dim};
	struct vindex *v = NULL;
	uint32_t found = 0;

	assert_int_equal(vindex_open(&o, &v, NULL), 0);
	for (uint32_t i = 0; i < s->n_queries; i++) {
		const struct vindex_query q = {.vector = s->queries + (size_t)i * s->dim,
					       .k = K,
					       .ef = 80};
		struct topk_item want[K], got[K];
		uint32_t n_want, n_got;

		vindex_scan(&rows, distance, &q, want, &n_want);
		assert_int_equal(vindex_search(v, &q, got, &n_got, NULL, NULL), 0);
		found += overlap(got, n_got, want, n_want);
	}
	vindex_free(v);
	return (double)found / (s->n_queries * K);
}

static void test_graph_is_sound(void **state)
{
	struct sample s = sample_new(N, DIM, 30);

	for (size_t d = 0; d < 4; d++) {
		for (uint32_t threads = 1; threads <= 4; threads += 3) {
			struct buf saved = BUF_INIT;
			struct faiss_graph g;

			save(&s, all_distances[d], threads, false, &saved);
			assert_int_equal(faiss_file_hnsw(saved.data, saved.len, &g, NULL), 0);
			check_lists(&g);
			if (all_distances[d] != DISTANCE_DOT)
				assert_true(reachable(&g) >= N - N / 100);
			assert_true(recall_of(&s, all_distances[d], &saved) >= 0.95);
			buf_fini(&saved);
		}
	}
	sample_free(&s);
}

static void test_faiss_builds_too(void **state)
{
	struct sample s = sample_new(N, DIM, 30);
	struct buf saved = BUF_INIT;

	save(&s, DISTANCE_EUCLID, 1, true, &saved);
	assert_true(recall_of(&s, DISTANCE_EUCLID, &saved) >= 0.95);
	buf_fini(&saved);
	sample_free(&s);
}

static void test_one_thread_builds_the_same_twice(void **state)
{
	struct sample s = sample_new(N, DIM, 1);
	struct buf one = BUF_INIT, two = BUF_INIT;

	save(&s, DISTANCE_COSINE, 1, false, &one);
	save(&s, DISTANCE_COSINE, 1, false, &two);
	assert_int_equal(one.len, two.len);
	/* all but the curve behind it, which has times in it */
	struct faiss_graph g;
	assert_int_equal(faiss_file_hnsw(one.data, one.len, &g, NULL), 0);
	assert_memory_equal(one.data, two.data, one.len - g.n_rest);
	buf_fini(&one);
	buf_fini(&two);
	sample_free(&s);
}

/* Rows that are all the same, or few different ones. */
static void test_duplicates(void **state)
{
	struct sample s = sample_new(500, 6, 1);
	struct topk_item out[K];

	for (uint32_t different = 1; different <= 3; different++) {
		struct buf saved = BUF_INIT;
		struct vindex *v = NULL;
		uint32_t n;

		for (uint32_t i = different; i < s.n; i++)
			memcpy(s.rows + (size_t)i * s.dim, s.rows + (size_t)(i % different) * s.dim,
			       s.dim * sizeof(float));
		save(&s, DISTANCE_EUCLID, 2, false, &saved);
		const struct vindex_open o = {.bytes = saved.data,
					      .n_bytes = saved.len,
					      .distance = DISTANCE_EUCLID,
					      .config = {.kind = INDEX_HNSW}};
		const struct vindex_query q = {.vector = s.rows, .k = K};
		assert_int_equal(vindex_open(&o, &v, NULL), 0);
		assert_int_equal(vindex_search(v, &q, out, &n, NULL, NULL), 0);
		assert_int_equal(n, K);
		for (uint32_t i = 0; i < n; i++)
			assert_true(out[i].key == 0);
		vindex_free(v);
		buf_fini(&saved);
	}
	sample_free(&s);
}

static void test_deadline(void **state)
{
	struct sample s = sample_new(N, DIM, 1);
	struct buf saved = BUF_INIT;
	struct vindex *v = NULL;
	struct topk_item out[K];
	struct vindex_stats stats;
	uint32_t n;

	save(&s, DISTANCE_COSINE, 1, false, &saved);
	const struct vindex_open o = {.bytes = saved.data,
				      .n_bytes = saved.len,
				      .distance = DISTANCE_COSINE,
				      .config = {.kind = INDEX_HNSW}};
	struct vindex_query q = {.vector = s.queries, .k = K, .ef = 1000, .deadline_us = 1};
	assert_int_equal(vindex_open(&o, &v, NULL), 0);
	assert_int_equal(vindex_search(v, &q, out, &n, &stats, NULL), 0);
	assert_true(stats.cut);
	assert_true(stats.distances < N);
	q.deadline_us = clock_monotonic_us() + 3600 * 1000000ull;
	assert_int_equal(vindex_search(v, &q, out, &n, &stats, NULL), 0);
	assert_false(stats.cut);
	assert_int_equal(n, K);
	vindex_free(v);
	buf_fini(&saved);
	sample_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_graph_is_sound),
		cmocka_unit_test(test_faiss_builds_too),
		cmocka_unit_test(test_one_thread_builds_the_same_twice),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
