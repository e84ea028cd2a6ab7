/* The curve of recall over effort: fitted when a graph is built, kept in its file, and true for queries that
 * it has not seen. */
#include "tests/unit/unit.h"

#include "index/curve.h"
#include "index/engine.h"
#include "index/walk_cells.h"
#include "tests/unit/index/index_util.h"

enum { N = 6000, DIM = 24, QUERIES = 200, K_MOST = 100 };

struct made {
	struct sample s;
	struct buf file;
	struct vindex *v; /* opened from it */
};

static struct vindex *open_file(const struct buf *file, enum distance distance, bool *good)
{
	const struct vindex_open o = {.bytes = file->data,
				      .n_bytes = file->len,
				      .distance = distance,
				      .config = {.kind = INDEX_HNSW}};
	struct vindex *v = NULL;
	int rc = vindex_open(&o, &v, NULL);

	*good = rc == 0;
	if (rc)
		assert_int_equal(rc, ERR_CORRUPT);
	return v;
}

static struct made make(enum distance distance, bool by_faiss)
{
	const struct index_config config = {.kind = INDEX_HNSW,
					    .m = 8,
					    .ef_construct = 40,
					    .by_faiss = by_faiss};
	struct made m = {.s = sample_new(N, DIM, QUERIES), .file = BUF_INIT};
	struct vindex *built = build_index(&m.s, distance, &config);
	bool good;

	assert_int_equal(vindex_save(built, save_to_buf, &m.file, NULL), 0);
	vindex_free(built);
	m.v = open_file(&m.file, distance, &good);
	assert_true(good);
	return m;
}

static void unmake(struct made *m)
{
	vindex_free(m->v);
	buf_fini(&m->file);
	sample_free(&m->s);
}

static double recall(const struct made *m, enum distance distance, uint32_t k, uint32_t ef)
{
	const struct vindex_rows rows = {.data = m->s.rows, .n = N, .dim = DIM};
	struct topk_item want[K_MOST], got[K_MOST];
	uint32_t same = 0;

	for (uint32_t i = 0; i < QUERIES; i++) {
		const struct vindex_query q = {.vector = m->s.queries + (size_t)i * DIM,
					       .k = k,
					       .ef = ef};
		uint32_t n_want, n_got;

		vindex_scan(&rows, distance, &q, want, &n_want);
		assert_int_equal(vindex_search(m->v, &q, got, &n_got, NULL, NULL), 0);
		assert_int_equal(n_got, k);
		same += overlap(want, n_want, got, n_got);
	}
	return (double)same / (QUERIES * k);
}

static void test_chosen_effort_gives_the_recall(void **state)
{
	static const float wanted[] = {0.8f, 0.9f, 0.95f, 0.99f};
	static const uint32_t ks[] = {1, 10, 30, 100};

	for (int how = 0; how < 3; how++) {
		enum distance distance = how == 1 ? DISTANCE_EUCLID : DISTANCE_COSINE;
		struct made m = make(distance, how == 2);

		for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
			uint32_t before = 0;

			for (size_t j = 0; j < sizeof wanted / sizeof *wanted; j++) {
				const struct vindex_wish wish = {.k = ks[i],
								 .min_recall = wanted[j]};
				uint32_t ef = vindex_effort(m.v, &wish);

				assert_in_range(ef, ks[i], 4096);
				assert_true(ef >= before);
				before = ef;
				/* two hundred queries say it to about a hundredth */
				assert_true(recall(&m, distance, ks[i], ef) >=
					    (double)wanted[j] - 0.012);
			}
			/* and it was worth choosing: little recall takes little effort */
			assert_true(before >= ks[i]);
		}
		unmake(&m);
	}
}

/* A graph that is opened with codes of another width, as after a change of the quantiser. */
static void test_other_codes_are_measured_again(void **state)
{
	struct made m = make(DISTANCE_EUCLID, false);
	const struct vindex_open o = {.bytes = m.file.data,
				      .n_bytes = m.file.len,
				      .rows = {.data = m.s.rows, .n = N, .dim = DIM},
				      .distance = DISTANCE_EUCLID,
				      .config = {.kind = INDEX_HNSW,
						 .quantizer = QUANTIZER_BINARY}};
	struct vindex *before = m.v;

	assert_int_equal(vindex_open(&o, &m.v, NULL), 0);
	for (float wanted = 0.8f; wanted < 0.96f; wanted += 0.05f) {
		const struct vindex_wish wish = {.k = 10, .min_recall = wanted};
		uint32_t ef = vindex_effort(m.v, &wish);

		assert_true(ef > 2 * vindex_effort(before, &wish));
		assert_true(recall(&m, DISTANCE_EUCLID, 10, ef) >= (double)wanted - 0.02);
	}
	vindex_free(before);
	unmake(&m);
}

static void test_time_bounds_the_effort(void **state)
{
	struct made m = make(DISTANCE_COSINE, false);
	struct vindex_wish wish = {.k = 10, .ef = 64};

	assert_int_equal(vindex_effort(m.v, &wish), 0); /* nothing was wished */
	wish.budget_us = 1000000;
	assert_int_equal(vindex_effort(m.v, &wish), 64); /* time enough for what is usual */
	wish.min_recall = 0.999f;
	uint32_t free = vindex_effort(m.v, &wish);
	wish.budget_us = 1;
	uint32_t hurried = vindex_effort(m.v, &wish);
	assert_true(hurried < free);
	assert_int_equal(hurried, 10); /* as little as k takes */
	for (uint64_t us = 1; us < 100000; us *= 3) {
		wish.budget_us = us;
		uint32_t ef = vindex_effort(m.v, &wish);

		assert_true(ef >= hurried && ef <= free);
		hurried = ef;
	}
	assert_int_equal(hurried, free);
	unmake(&m);
}

static void test_no_curve_no_choice(void **state)
{
	struct sample s = sample_new(500, 8, 1);
	const struct index_config graph = {.kind = INDEX_HNSW}, flat = {.kind = INDEX_FLAT};
	const struct vindex_wish wish = {.k = 10, .min_recall = 0.9f};
	struct vindex *v = build_index(&s, DISTANCE_DOT, &graph);

	assert_int_equal(vindex_effort(v, &wish), 0);
	vindex_free(v);
	v = build_index(&s, DISTANCE_DOT, &flat);
	assert_int_equal(vindex_effort(v, &wish), 0);
	vindex_free(v);
	sample_free(&s);
}

static void test_damaged_curves_are_refused(void **state)
{
	struct made m = make(DISTANCE_COSINE, false);
	struct walk_cells *cells;
	struct faiss_graph g;
	size_t n_cells, n_rest;
	bool good;

	assert_int_equal(faiss_file_hnsw(m.file.data, m.file.len, &g, NULL), 0);
	const struct vindex_rows shape = {.n = N, .dim = DIM};
	const uint8_t *rest = behind_layout(&g, &n_rest);
	assert_int_equal(walk_cells_read(rest, n_rest, &shape, &cells, &n_cells, NULL), 0);
	walk_cells_free(cells);
	assert_true(n_rest > n_cells + 100);
	size_t from = m.file.len - n_rest + n_cells, whole = m.file.len;
	/* every byte of it, and every length: without any of it, there is none */
	for (size_t i = from; i < whole; i++) {
		m.file.data[i] ^= 0x41;
		vindex_free(open_file(&m.file, DISTANCE_COSINE, &good));
		assert_false(good);
		m.file.data[i] ^= 0x41;
		m.file.len = i;
		struct vindex *v = open_file(&m.file, DISTANCE_COSINE, &good);
		assert_int_equal(good, i == from);
		if (v) {
			const struct vindex_wish wish = {.k = 10, .min_recall = 0.9f};

			assert_int_equal(vindex_effort(v, &wish), 0);
			vindex_free(v);
		}
		m.file.len = whole;
	}
	buf_put_u8(&m.file, 0);
	vindex_free(open_file(&m.file, DISTANCE_COSINE, &good));
	assert_false(good);
	unmake(&m);
}

/* A row that is passed by is not found, though it is the nearest; the others are. */
static void test_besides(void **state)
{
	struct made m = make(DISTANCE_EUCLID, false);

	for (uint32_t row = 0; row < N; row += 97) {
		struct vindex_query q = {.vector = m.s.rows + (size_t)row * DIM, .k = 5, .ef = 100};
		struct topk_item all[5], others[5];
		uint32_t n;

		assert_int_equal(vindex_search(m.v, &q, all, &n, NULL, NULL), 0);
		q.besides = row + 1;
		assert_int_equal(vindex_search(m.v, &q, others, &n, NULL, NULL), 0);
		assert_int_equal(n, 5);
		for (uint32_t i = 0; i < n; i++)
			assert_true(others[i].tag != row);
		assert_true(overlap(all, 5, others, 5) <= 4 || all[0].tag != row);
	}
	unmake(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chosen_effort_gives_the_recall),
		cmocka_unit_test(test_other_codes_are_measured_again),
		cmocka_unit_test(test_time_bounds_the_effort),
		cmocka_unit_test(test_no_curve_no_choice),
		cmocka_unit_test(test_damaged_curves_are_refused),
		cmocka_unit_test(test_besides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
