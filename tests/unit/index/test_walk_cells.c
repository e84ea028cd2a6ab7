/* Searches under filters that few rows pass: recall and work, whatever the filter has to do with the query; and
 * the cells in the file, whole and damaged. */
#include "tests/unit/unit.h"

#include "base/hash.h"
#include "index/engine.h"
#include "index/walk_cells.h"
#include "tests/unit/index/index_util.h"
#include <math.h>

enum { N = 8000, DIM = 24, QUERIES = 400, USED = 40, K = 10, EF = 40 };
enum where { ANYWHERE, NEAR, FAR };

struct made {
	struct sample s;
	struct buf file;
	struct vindex *v; /* opened from it */
};

static struct made make(enum distance distance, bool by_faiss)
{
	const struct index_config config = {.kind = INDEX_HNSW,
					    .m = 8,
					    .ef_construct = 40,
					    .by_faiss = by_faiss};
	struct made m = {.s = sample_new(N, DIM, QUERIES), .file = BUF_INIT};
	/* rows of many lengths, where lengths count */
	for (uint32_t i = 0; i < N && distance == DISTANCE_DOT; i++) {
		for (uint32_t d = 0; d < DIM; d++)
			m.s.rows[(size_t)i * DIM + d] *= 0.5f + 1.5f * (float)(i * 37 % 100) / 100;
	}
	struct vindex *built = build_index(&m.s, distance, &config);
	struct vindex_open o = {.distance = distance, .config = config};

	assert_int_equal(vindex_save(built, save_to_buf, &m.file, NULL), 0);
	vindex_free(built);
	o.bytes = m.file.data;
	o.n_bytes = m.file.len;
	assert_int_equal(vindex_open(&o, &m.v, NULL), 0);
	return m;
}

static void unmake(struct made *m)
{
	vindex_free(m->v);
	buf_fini(&m->file);
	sample_free(&m->s);
}

/* Where a vector lies along a line. */
static float place(const float *x)
{
	float sum = 0;

	for (int d = 0; d < DIM; d++)
		sum += x[d] * (d % 3 ? 1.0f : -1.5f);
	return sum;
}

static int compare_floats(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/* The place that a share of n vectors lies beyond. */
static float threshold(const float *vectors, uint32_t n, double share)
{
	float *places = mem_array(n, sizeof *places), at;

	for (uint32_t i = 0; i < n; i++)
		places[i] = place(vectors + (size_t)i * DIM);
	qsort(places, n, sizeof *places, compare_floats);
	at = places[(uint32_t)((1 - share) * (n - 1))];
	free(places);
	return at;
}

static void fill_filter(const struct sample *s, struct bitset *allow, double share,
			enum where where)
{
	float from = threshold(s->rows, N, share);
	uint32_t every = (uint32_t)lround(1 / share);

	bitset_init(allow, N, false);
	for (uint32_t i = 0; i < N; i++) {
		if (where == ANYWHERE ? i % every == 0 : place(s->rows + (size_t)i * DIM) > from)
			bitset_set(allow, i);
	}
}

static bool is_used(const struct sample *s, uint32_t query, enum where where)
{
	const float *x = s->queries + (size_t)query * DIM;

	if (where == ANYWHERE)
		return query < USED;
	return where == NEAR ? place(x) > threshold(s->queries, QUERIES, 0.1)
			     : place(x) < threshold(s->queries, QUERIES, 0.9);
}

struct outcome {
	double recall, distances; /* of a query */
};

static struct outcome search_under(const struct made *m, enum distance distance,
				   const struct bitset *allow, enum where where)
{
	const struct vindex_rows rows = {.data = m->s.rows, .n = N, .dim = DIM};
	uint32_t n_queries = 0, found = 0;
	struct outcome o = {0};

	for (uint32_t i = 0; i < QUERIES; i++) {
		const struct vindex_query q = {.vector = m->s.queries + (size_t)i * DIM,
					       .k = K,
					       .ef = EF,
					       .allow = allow,
					       .n_allow = bitset_count(allow)};
		struct topk_item want[K], got[K];
		struct vindex_stats stats;
		uint32_t n_want, n_got;

		if (!is_used(&m->s, i, where))
			continue;
		vindex_scan(&rows, distance, &q, want, &n_want);
		assert_int_equal(vindex_search(m->v, &q, got, &n_got, &stats, NULL), 0);
		assert_int_equal(n_got, n_want);
		for (uint32_t j = 0; j < n_got; j++)
			assert_true(bitset_get(allow, (uint32_t)got[j].tag));
		found += overlap(want, n_want, got, n_got);
		o.distances += (double)stats.distances;
		n_queries++;
	}
	assert_true(n_queries >= USED / 2);
	o.recall = (double)found / (n_queries * K);
	o.distances /= n_queries;
	return o;
}

static void check_filters(const struct made *m, enum distance distance)
{
	static const double shares[] = {0.5, 0.25, 0.125, 0.05, 0.01, 0.002};

	for (enum where where = ANYWHERE; where <= FAR; where++) {
		for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
			struct bitset allow;
			struct outcome o;

			fill_filter(&m->s, &allow, shares[i], where);
			o = search_under(m, distance, &allow, where);
			if (o.recall < 0.98)
				fail_msg("distance %d, share %g, where %d: recall %.3f", distance,
					 shares[i], where, o.recall);
			bitset_fini(&allow);
		}
	}
}

static void test_recall_under_filters(void **state)
{
	static const char *const levels[] = {"plain", "avx2", "avx512"};

	for (size_t d = 0; d < 4; d++) {
		struct made m = make(all_distances[d], false);

		/* every level of kernels with one distance, the best with all */
		for (size_t i = d == 0 ? 0 : 2; i < 3; i++) {
			assert_int_equal(vindex_limit_kernels(levels[i], NULL), 0);
			check_filters(&m, all_distances[d]);
		}
		unmake(&m);
	}
	struct made m = make(DISTANCE_COSINE, true); /* a graph of FAISS has them, too */
	check_filters(&m, DISTANCE_COSINE);
	unmake(&m);
}

/* A quarter of the rows is allowed; far fewer are looked at, with the centres of all cells. */
static void test_few_rows_are_looked_at(void **state)
{
	struct made m = make(DISTANCE_EUCLID, false);
	struct bitset allow;
	struct outcome o;

	fill_filter(&m.s, &allow, 0.25, ANYWHERE);
	o = search_under(&m, DISTANCE_EUCLID, &allow, ANYWHERE);
	if (o.distances > 0.6 * bitset_count(&allow))
		fail_msg("%.0f distances of %u rows", o.distances, bitset_count(&allow));
	bitset_fini(&allow);
	unmake(&m);
}

static void test_late_is_said(void **state)
{
	struct made m = make(DISTANCE_COSINE, false);
	struct bitset allow;
	struct topk_item got[K];
	struct vindex_stats stats;
	uint32_t n;

	fill_filter(&m.s, &allow, 0.25, ANYWHERE);
	const struct vindex_query q = {.vector = m.s.queries,
				       .k = K,
				       .ef = EF,
				       .allow = &allow,
				       .n_allow = bitset_count(&allow),
				       .deadline_us = 1};
	assert_int_equal(vindex_search(m.v, &q, got, &n, &stats, NULL), 0);
	assert_true(stats.cut);
	bitset_fini(&allow);
	unmake(&m);
}

/* ---- in the file ----------------------------------------------------------------------------- */

static const struct vindex_rows shape = {.n = N, .dim = DIM};

static int read_cells(const uint8_t *bytes, size_t n)
{
	struct walk_cells *cells;
	size_t used;
	int rc = walk_cells_read(bytes, n, &shape, &cells, &used, NULL);

	assert_int_equal(cells != NULL, rc == 0 && used > 0);
	walk_cells_free(cells);
	return rc;
}

static void set_u32(uint8_t *at, uint32_t v)
{
	memcpy(at, &v, sizeof v);
}

/* Reads the bytes with one number changed, and their hash made right again. */
static int read_changed(struct buf *b, size_t at, uint32_t v)
{
	uint32_t before = load_u32(b->data + at);
	uint64_t sum;
	int rc;

	set_u32(b->data + at, v);
	sum = hash64(b->data, b->len - 8);
	memcpy(b->data + b->len - 8, &sum, 8);
	rc = read_cells(b->data, b->len);
	set_u32(b->data + at, before);
	sum = hash64(b->data, b->len - 8);
	memcpy(b->data + b->len - 8, &sum, 8);
	return rc;
}

static void test_damaged_cells_are_refused(void **state)
{
	enum { HEAD = 24, CELLS = 89 /* the root of N */ };
	struct made m = make(DISTANCE_EUCLID, false);
	struct buf b = BUF_INIT;
	struct faiss_graph g;
	struct walk_cells *cells;
	size_t used, n_rest;

	assert_int_equal(faiss_file_hnsw(m.file.data, m.file.len, &g, NULL), 0);
	const uint8_t *rest = behind_layout(&g, &n_rest);
	assert_int_equal(walk_cells_read(rest, n_rest, &shape, &cells, &used, NULL), 0);
	assert_int_equal(cells->n, CELLS);
	walk_cells_free(cells);
	buf_put(&b, rest, used);
	size_t rows = HEAD + 4 * CELLS, centres = rows + 4 * N;
	assert_int_equal(read_changed(&b, HEAD, load_u32(b.data + HEAD)), 0);
	assert_int_equal(read_changed(&b, 4, 3), ERR_CORRUPT); /* version */
	assert_int_equal(read_changed(&b, 20, 2), ERR_CORRUPT);
	assert_int_equal(read_changed(&b, 8, 0), ERR_CORRUPT); /* no cells */
	assert_int_equal(read_changed(&b, 8, UINT32_MAX), ERR_CORRUPT);
	assert_int_equal(read_changed(&b, 12, DIM + 1), ERR_CORRUPT);
	assert_int_equal(read_changed(&b, 16, N - 1), ERR_CORRUPT);
	assert_int_equal(read_changed(&b, HEAD, UINT32_MAX), ERR_CORRUPT); /* rows of a cell */
	assert_int_equal(read_changed(&b, HEAD, load_u32(b.data + HEAD) + 1), ERR_CORRUPT);
	assert_int_equal(read_changed(&b, rows, load_u32(b.data + rows + 4)),
			 ERR_CORRUPT); /* twice */
	assert_int_equal(read_changed(&b, rows, N), ERR_CORRUPT);
	assert_int_equal(read_changed(&b, centres, 0x7fc00000), ERR_CORRUPT); /* not a number */
	for (size_t i = 4; i < b.len; i += 61) {
		b.data[i] ^= 0x10;
		assert_int_equal(read_cells(b.data, b.len), ERR_CORRUPT);
		b.data[i] ^= 0x10;
		assert_int_equal(read_cells(b.data, i), ERR_CORRUPT);
	}
	assert_int_equal(read_cells(b.data, 0), 0);
	buf_fini(&b);
	unmake(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recall_under_filters),
		cmocka_unit_test(test_few_rows_are_looked_at),
		cmocka_unit_test(test_late_is_said),
		cmocka_unit_test(test_damaged_cells_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
