/* Build, save, open and search of every kind; fall-backs; filters; several threads at once. */
#include "tests/unit/unit.h"

#include "tests/unit/index/index_util.h"
#include <pthread.h>

static const struct index_config configs[] = {
	{.kind = INDEX_FLAT},
	{.kind = INDEX_HNSW, .m = 8, .ef_construct = 40},
	{.kind = INDEX_IVF, .nlist = 30, .nprobe = 8},
	{.kind = INDEX_IVF, .nlist = 30, .nprobe = 8, .quantizer = QUANTIZER_SQ8},
};
enum { N_CONFIGS = sizeof configs / sizeof *configs, CONFIG_HNSW = 1, K = 10 };

struct fixture {
	struct sample s;
	struct vindex *built[N_CONFIGS][4];
	struct buf saved[N_CONFIGS][4];
};

static int set_up(void **state)
{
	struct fixture *f = mem_zalloc(sizeof *f);

	f->s = sample_new(2500, 24, 20);
	for (size_t c = 0; c < N_CONFIGS; c++) {
		for (size_t d = 0; d < 4; d++) {
			f->built[c][d] = build_index(&f->s, all_distances[d], &configs[c]);
			assert_int_equal(vindex_save(f->built[c][d], save_to_buf, &f->saved[c][d],
						     NULL),
					 0);
		}
	}
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	for (size_t c = 0; c < N_CONFIGS; c++) {
		for (size_t d = 0; d < 4; d++) {
			vindex_free(f->built[c][d]);
			buf_fini(&f->saved[c][d]);
		}
	}
	sample_free(&f->s);
	free(f);
	return 0;
}

static struct vindex *open_saved(struct fixture *f, size_t c, size_t d, bool faiss_only)
{
	const struct vindex_open o = {
		.bytes = f->saved[c][d].data,
		.n_bytes = f->saved[c][d].len,
		.rows = {.data = f->s.rows, .n = f->s.n, .dim = f->s.dim},
		.distance = all_distances[d],
		.config = configs[c],
		.faiss_only = faiss_only,
	};
	struct vindex *v = NULL;
	struct error err = {0};

	if (vindex_open(&o, &v, &err))
		fail_msg("config %zu, distance %zu: %s", c, d, err.text);
	return v;
}

/* Searches all queries; returns the share of true neighbours that were found and checks that keys are
 * exact, sorted and allowed. */
static double recall_of(struct fixture *f, const struct vindex *v, enum distance distance,
			const struct bitset *allow)
{
	const struct vindex_rows rows = {.data = f->s.rows, .n = f->s.n, .dim = f->s.dim};
	struct topk_item want[K], got[K];
	uint32_t n_want, n_got, found = 0, all = 0;

	for (uint32_t i = 0; i < f->s.n_queries; i++) {
		const struct vindex_query q = {
			.vector = f->s.queries + (size_t)i * f->s.dim,
			.k = K,
			.ef = 100,
			.allow = allow,
			.n_allow = allow ? bitset_count(allow) : 0,
		};
		struct vindex_stats stats;

		assert_int_equal(vindex_search(v, &q, got, &n_got, &stats, NULL), 0);
		assert_int_equal(vindex_scan(&rows, distance, &q, want, &n_want), 0);
		assert_int_equal(n_got, n_want);
		assert_true(stats.distances > 0 || n_got == 0);
		assert_false(stats.cut);
		for (uint32_t j = 0; j < n_got; j++) {
			float key = vindex_distance(distance, q.vector,
						    f->s.rows + got[j].tag * f->s.dim, f->s.dim);

			assert_float_equal(got[j].key, key, 1e-4);
			assert_true(j == 0 || got[j - 1].key <= got[j].key);
			assert_true(!allow || bitset_get(allow, (uint32_t)got[j].tag));
		}
		found += overlap(got, n_got, want, n_want);
		all += n_want;
	}
	return all ? (double)found / all : 1;
}

static void test_every_kind_built_and_opened(void **state)
{
	struct fixture *f = *state;

	for (size_t c = 0; c < N_CONFIGS; c++) {
		for (size_t d = 0; d < 4; d++) {
			struct vindex *faiss = open_saved(f, c, d, true);
			struct vindex *ours = open_saved(f, c, d, false);
			double floor = configs[c].kind == INDEX_FLAT ? 1.0 : 0.9;
			struct vindex_info info;

			vindex_describe(ours, &info);
			assert_int_equal(info.kind, configs[c].kind);
			assert_int_equal(info.quantizer, configs[c].quantizer);
			assert_null(info.fallback);
			assert_true(recall_of(f, f->built[c][d], all_distances[d], NULL) >= floor);
			assert_true(recall_of(f, faiss, all_distances[d], NULL) >= floor);
			assert_true(recall_of(f, ours, all_distances[d], NULL) >= floor);
			vindex_free(faiss);
			vindex_free(ours);
		}
	}
}

static void test_filters(void **state)
{
	static const uint32_t every[] = {2, 10, 100, 1000, 100000};
	struct fixture *f = *state;

	for (size_t e = 0; e < sizeof every / sizeof *every; e++) {
		struct bitset allow;

		bitset_init(&allow, f->s.n, false);
		for (uint32_t i = 1; i < f->s.n; i += every[e])
			bitset_set(&allow, i);
		for (size_t c = 0; c < N_CONFIGS; c++) {
			for (size_t d = 0; d < 4; d++) {
				struct vindex *v = open_saved(f, c, d, false);

				assert_true(recall_of(f, v, all_distances[d], &allow) >= 0.9);
				vindex_free(v);
			}
		}
		bitset_fini(&allow);
	}
}

/* Where few rows are allowed each is looked at, by its code: nothing is missed that a walk might miss. */
static void test_scan_of_what_is_allowed(void **state)
{
	struct fixture *f = *state;
	const struct vindex_rows rows = {.data = f->s.rows, .n = f->s.n, .dim = f->s.dim};
	struct topk_item want[K], got[K];
	struct bitset allow;
	uint32_t n_want, n_got, found = 0;

	bitset_init(&allow, f->s.n, false);
	for (uint32_t i = 0; i < f->s.n; i += 25)
		bitset_set(&allow, i);
	for (size_t d = 0; d < 4; d++) {
		struct vindex *v = open_saved(f, CONFIG_HNSW, d, false);

		found = 0;
		for (uint32_t i = 0; i < f->s.n_queries; i++) {
			const struct vindex_query q = {
				.vector = f->s.queries + (size_t)i * f->s.dim,
				.k = K,
				.ef = 10,
				.allow = &allow,
				.n_allow = bitset_count(&allow),
			};
			struct vindex_stats stats = {0};

			assert_int_equal(vindex_search(v, &q, got, &n_got, &stats, NULL), 0);
			assert_int_equal(vindex_scan(&rows, all_distances[d], &q, want, &n_want),
					 0);
			assert_int_equal(n_got, K);
			assert_true(stats.distances >= q.n_allow);
			found += overlap(got, n_got, want, n_want);
		}
		assert_true(found >= 0.99 * K * f->s.n_queries);
		vindex_free(v);
	}
	bitset_fini(&allow);
}

static void test_nothing_allowed_and_k_zero(void **state)
{
	struct fixture *f = *state;
	struct topk_item out[K];
	struct bitset allow;
	uint32_t n = 99;

	bitset_init(&allow, f->s.n, false);
	for (size_t c = 0; c < N_CONFIGS; c++) {
		struct vindex_query q = {.vector = f->s.queries, .k = K, .allow = &allow};

		assert_int_equal(vindex_search(f->built[c][0], &q, out, &n, NULL, NULL), 0);
		assert_int_equal(n, 0);
		q = (struct vindex_query){.vector = f->s.queries, .k = 0};
		assert_int_equal(vindex_search(f->built[c][0], &q, out, &n, NULL, NULL), 0);
		assert_int_equal(n, 0);
	}
	bitset_fini(&allow);
}

static void test_saving_what_was_opened_gives_the_same_bytes(void **state)
{
	struct fixture *f = *state;

	for (size_t c = 0; c < N_CONFIGS; c++) {
		struct vindex *v = open_saved(f, c, 2, false);
		struct buf again = BUF_INIT;

		assert_int_equal(vindex_save(v, save_to_buf, &again, NULL), 0);
		assert_int_equal(again.len, f->saved[c][2].len);
		assert_memory_equal(again.data, f->saved[c][2].data, again.len);
		buf_fini(&again);
		vindex_free(v);
	}
}

static void test_fallbacks_say_why(void **state)
{
	static const struct index_config asked[] = {
		{.kind = INDEX_IVF},
		{.kind = INDEX_IVF, .nlist = 100},
		{.kind = INDEX_IVF, .quantizer = QUANTIZER_PQ},
		{.kind = INDEX_IVF, .quantizer = QUANTIZER_BINARY},
		{.kind = INDEX_IVF, .nlist = 10, .quantizer = QUANTIZER_PQ, .pq_m = 7},
	};
	static const uint32_t rows[] = {999, 3899, 9983, 2000, 10000};
	static const char *const words[] = {"999 rows", "nlist 100", "9984", "binary", "pq_m 7"};

	for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
		struct sample s = sample_new(rows[i], 8, 1);
		struct vindex *v = build_index(&s, DISTANCE_EUCLID, &asked[i]), *opened = NULL;
		struct buf saved = BUF_INIT;
		struct vindex_info info;

		vindex_describe(v, &info);
		assert_int_equal(info.kind, INDEX_FLAT);
		assert_non_null(info.fallback);
		assert_non_null(strstr(info.fallback, words[i]));
		assert_int_equal(vindex_save(v, save_to_buf, &saved, NULL), 0);
		const struct vindex_open o = {.bytes = saved.data,
					      .n_bytes = saved.len,
					      .distance = DISTANCE_EUCLID,
					      .config = asked[i]};
		assert_int_equal(vindex_open(&o, &opened, NULL), 0);
		vindex_describe(opened, &info);
		assert_non_null(strstr(info.fallback, words[i]));
		vindex_free(opened);
		vindex_free(v);
		buf_fini(&saved);
		sample_free(&s);
	}
}

static void test_empty_and_tiny(void **state)
{
	for (uint32_t n = 0; n <= 3; n++) {
		struct sample s = sample_new(n, 5, 1);
		const struct index_config config = {.kind = INDEX_HNSW};
		struct vindex *v = build_index(&s, DISTANCE_DOT, &config), *opened = NULL;
		struct buf saved = BUF_INIT;
		const struct vindex_query q = {.vector = s.queries, .k = 5};
		struct topk_item out[5];
		uint32_t n_out;

		assert_int_equal(vindex_save(v, save_to_buf, &saved, NULL), 0);
		const struct vindex_open o = {.bytes = saved.data,
					      .n_bytes = saved.len,
					      .distance = DISTANCE_DOT,
					      .config = config};
		assert_int_equal(vindex_open(&o, &opened, NULL), 0);
		assert_int_equal(vindex_search(opened, &q, out, &n_out, NULL, NULL), 0);
		assert_int_equal(n_out, n);
		assert_int_equal(vindex_search(v, &q, out, &n_out, NULL, NULL), 0);
		assert_int_equal(n_out, n);
		vindex_free(opened);
		vindex_free(v);
		buf_fini(&saved);
		sample_free(&s);
	}
}

static void count_rows(void *ctx, uint32_t rows_done)
{
	*(uint32_t *)ctx = rows_done;
}

static void test_cancel_and_progress(void **state)
{
	struct fixture *f = *state;
	bool cancel = true;
	uint32_t done = 0;

	for (size_t c = 1; c < N_CONFIGS; c++) {
		struct vindex_build b = {
			.rows = {.data = f->s.rows, .n = f->s.n, .dim = f->s.dim},
			.config = configs[c],
			.cancel = &cancel,
			.progress = count_rows,
			.progress_ctx = &done,
			.rows_stay = true,
		};
		struct vindex *v = NULL;

		cancel = true;
		assert_int_equal(vindex_build(&b, &v, NULL), ERR_CLOSED);
		assert_null(v);
		cancel = false;
		assert_int_equal(vindex_build(&b, &v, NULL), 0);
		assert_int_equal(done, f->s.n);
		vindex_free(v);
	}
}

struct searcher {
	struct fixture *f;
	const struct vindex *v;
	struct topk_item *out; /* n_queries x K */
};

static void *search_all(void *arg)
{
	struct searcher *s = arg;

	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < s->f->s.n_queries; i++) {
			const struct vindex_query q = {
				.vector = s->f->s.queries + (size_t)i * s->f->s.dim,
				.k = K,
				.ef = 20 + 10 * (i % 5),
				.nprobe = 1 + i % 7,
			};
			uint32_t n;

			if (vindex_search(s->v, &q, s->out + (size_t)i * K, &n, NULL, NULL) ||
			    n != K)
				return s;
		}
	}
	return NULL;
}

static void test_threads_find_what_one_finds(void **state)
{
	enum { THREADS = 4 };
	struct fixture *f = *state;

	for (size_t c = 0; c < N_CONFIGS; c++) {
		struct vindex *v = open_saved(f, c, 1, false);
		struct searcher s[THREADS + 1];
		pthread_t threads[THREADS];
		size_t bytes = f->s.n_queries * K * sizeof(struct topk_item);
		void *result;

		for (int i = 0; i <= THREADS; i++)
			s[i] = (struct searcher){f, v, mem_zalloc(bytes)};
		assert_null(search_all(&s[THREADS]));
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, search_all, &s[i]), 0);
		for (int i = 0; i < THREADS; i++) {
			assert_int_equal(pthread_join(threads[i], &result), 0);
			assert_null(result);
			for (uint32_t j = 0; j < f->s.n_queries * K; j++) {
				assert_int_equal(s[i].out[j].tag, s[THREADS].out[j].tag);
				assert_memory_equal(&s[i].out[j].key, &s[THREADS].out[j].key, 4);
			}
		}
		for (int i = 0; i <= THREADS; i++)
			free(s[i].out);
		vindex_free(v);
	}
}

static int refuse(void *ctx, const void *bytes, size_t n, struct error *err)
{
	size_t *left = ctx;

	if (n > *left)
		return error_set(err, ERR_DISK_FULL, "the disk is full");
	*left -= n;
	return 0;
}

static void test_writer_failure_is_passed_on(void **state)
{
	struct fixture *f = *state;

	for (size_t c = 0; c < N_CONFIGS; c++) {
		for (size_t after = 0; after <= 1000; after += 1000) {
			struct error err = {0};
			size_t left = after;

			assert_int_equal(vindex_save(f->built[c][1], refuse, &left, &err),
					 ERR_DISK_FULL);
			assert_string_equal(err.text, "the disk is full");
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_built_and_opened),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_scan_of_what_is_allowed),
		cmocka_unit_test(test_nothing_allowed_and_k_zero),
		cmocka_unit_test(test_saving_what_was_opened_gives_the_same_bytes),
		cmocka_unit_test(test_fallbacks_say_why),
		cmocka_unit_test(test_empty_and_tiny),
		cmocka_unit_test(test_cancel_and_progress),
		cmocka_unit_test(test_threads_find_what_one_finds),
		cmocka_unit_test(test_writer_failure_is_passed_on),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
