/* Sketches of rows: they save most codes and lose no neighbours, at every level of the kernels; where they tell little
 * there are none; what a damaged file says about them is refused, or leads no search out of bounds. */
#include "tests/unit/unit.h"

#include "base/hash.h"
#include "base/prng.h"
#include "index/faiss_file.h"
#include "tests/unit/index/index_util.h"

enum { N = 5000, DIM = 400, QUERIES = 60, K = 10, SKETCH = 64 };

static const enum distance distances[] = {DISTANCE_COSINE, DISTANCE_DOT, DISTANCE_EUCLID};
static const struct index_config plain = {.kind = INDEX_HNSW, .m = 12, .ef_construct = 40};

struct made {
	struct sample s;
	enum distance distance;
	struct buf file;
	size_t at, size; /* of the sketches; size 0: there are none */
};

static struct made make_of(struct sample s, enum distance distance,
			   const struct index_config *config)
{
	struct made m = {.s = s, .distance = distance};
	struct vindex *v = build_index(&s, distance, config);
	struct faiss_graph g;
	const uint8_t *rest;
	size_t n;

	assert_int_equal(vindex_save(v, save_to_buf, &m.file, NULL), 0);
	vindex_free(v);
	assert_int_equal(faiss_file_hnsw(m.file.data, m.file.len, &g, NULL), 0);
	rest = behind_layout(&g, &n);
	m.at = m.file.len - n;
	if (memcmp(rest, "QVsk", 4) == 0) {
		const uint8_t *end = memmem(rest, n, "QVcl", 4);

		assert_non_null(end);
		m.size = (size_t)(end - rest);
	}
	return m;
}

static struct made make(enum distance distance)
{
	struct made m = make_of(sample_new(N, DIM, QUERIES), distance, &plain);

	assert_true(m.size > (size_t)N * SKETCH);
	return m;
}

static void unmake(struct made *m)
{
	buf_fini(&m->file);
	sample_free(&m->s);
}

struct outcome {
	double recall, distances; /* of a query */
};

static struct outcome search_all(const struct made *m, const struct buf *file,
				 const struct bitset *allow)
{
	const struct vindex_rows rows = {.data = m->s.rows, .n = N, .dim = DIM};
	struct outcome o = {0};
	struct vindex *v;

	assert_int_equal(open_index(file, m->distance, &plain, &v), 0);
	for (uint32_t i = 0; i < QUERIES; i++) {
		const struct vindex_query q = {.vector = m->s.queries + (size_t)i * DIM,
					       .k = K,
					       .ef = 50,
					       .allow = allow,
					       .n_allow = allow ? bitset_count(allow) : 0};
		struct topk_item got[K], truth[K];
		struct vindex_stats stats = {0};
		uint32_t n, n_truth;

		assert_int_equal(vindex_search(v, &q, got, &n, &stats, NULL), 0);
		assert_int_equal(n, K);
		vindex_scan(&rows, m->distance, &q, truth, &n_truth);
		for (uint32_t j = 0; j < n; j++)
			assert_true(!allow || bitset_get(allow, (uint32_t)got[j].tag));
		o.recall += (double)overlap(got, n, truth, n_truth) / (QUERIES * K);
		o.distances += (double)stats.distances / QUERIES;
	}
	vindex_free(v);
	return o;
}

static void test_fewer_codes_same_neighbours(void **state)
{
	static const char *const levels[] = {"plain", "avx2", "avx512"};
	struct bitset allow;

	bitset_init(&allow, N, false);
	for (uint32_t i = 0; i < N; i += 3)
		bitset_set(&allow, i);
	for (size_t d = 0; d < 3; d++) {
		struct made m = make(distances[d]);
		struct buf bare = buf_without(&m.file, m.at, m.size);

		for (size_t level = 0; level < 3; level++) {
			assert_int_equal(vindex_limit_kernels(levels[level], NULL), 0);
			struct outcome with = search_all(&m, &m.file, NULL);
			struct outcome without = search_all(&m, &bare, NULL);

			assert_true(with.recall >= 0.97);
			assert_true(with.recall >= without.recall - 0.01);
			assert_true(with.distances < 0.7 * without.distances);
			assert_true(search_all(&m, &m.file, &allow).recall >= 0.95);
		}
		buf_fini(&bare);
		unmake(&m);
	}
	bitset_fini(&allow);
}

/* No direction tells more than another. */
static struct sample noise(void)
{
	struct sample s = {.n = N, .dim = DIM};
	struct prng p;

	prng_seed(&p, 3);
	s.rows = mem_array((size_t)N * DIM, sizeof(float));
	s.queries = mem_array(1, sizeof(float));
	for (size_t i = 0; i < (size_t)N * DIM; i++)
		s.rows[i] = prng_gauss(&p);
	return s;
}

static void test_none_where_they_tell_little(void **state)
{
	struct index_config bits = plain;
	struct made m = make_of(noise(), DISTANCE_EUCLID, &plain);

	assert_int_equal(m.size, 0);
	unmake(&m);
	m = make_of(sample_new(N, DIM, 1), DISTANCE_MANHATTAN, &plain);
	assert_int_equal(m.size, 0);
	unmake(&m);
	bits.quantizer = QUANTIZER_BINARY;
	m = make_of(sample_new(N, DIM, 1), DISTANCE_COSINE, &bits);
	assert_int_equal(m.size, 0);
	unmake(&m);
}

/* A collection whose codes were changed since; and queries that have no direction. */
static void test_odd_uses(void **state)
{
	struct made m = make(DISTANCE_COSINE);
	struct index_config bits = plain;
	struct topk_item got[K];
	struct vindex_stats stats = {0};
	struct vindex *v;
	uint32_t n;

	bits.quantizer = QUANTIZER_BINARY;
	memset(m.s.queries, 0, DIM * sizeof(float));
	for (int i = 0; i < 2; i++) {
		const struct vindex_query q = {.vector = m.s.queries, .k = K};

		assert_int_equal(open_index(&m.file, m.distance, i ? &bits : &plain, &v), 0);
		assert_int_equal(vindex_search(v, &q, got, &n, &stats, NULL), 0);
		assert_int_equal(n, K);
		vindex_free(v);
	}
	unmake(&m);
}

/* Of what is hashed every byte counts; a sketch may be any bytes. */
static void test_damage(void **state)
{
	struct made m = make(DISTANCE_EUCLID);
	size_t head = m.size - (size_t)N * SKETCH;
	struct vindex *v;

	for (size_t at = 4; at < head; at += at < 32 ? 1 : 4099) {
		m.file.data[m.at + at] ^= 0x11;
		assert_int_equal(open_index(&m.file, m.distance, &plain, &v), ERR_CORRUPT);
		m.file.data[m.at + at] ^= 0x11;
	}
	for (size_t cut = 0; cut < 3; cut++) {
		struct buf b = BUF_INIT;

		buf_put(&b, m.file.data, m.at + (cut == 0 ? 5 : cut == 1 ? head : m.size - 1));
		assert_int_equal(open_index(&b, m.distance, &plain, &v), ERR_CORRUPT);
		buf_fini(&b);
	}
	for (size_t i = 0; i < (size_t)N * SKETCH; i++)
		m.file.data[m.at + head + i] = (uint8_t)(i * 2654435761u >> 7);
	search_all(&m, &m.file, NULL);
	unmake(&m);
}

/* A hashed head that says nonsense. */
static void test_not_numbers(void **state)
{
	struct made m = make(DISTANCE_DOT);
	size_t head = m.size - (size_t)N * SKETCH - 8;
	const float nan = NAN;
	struct vindex *v;

	for (size_t at = 16; at < 16 + 4 * (1 + 63 + 3 * 64); at += 52) {
		uint8_t *bytes = m.file.data + m.at;
		uint8_t old[4];
		uint64_t sum;

		memcpy(old, bytes + at, 4);
		memcpy(bytes + at, &nan, 4);
		sum = hash64(bytes, head);
		memcpy(bytes + head, &sum, sizeof sum);
		assert_int_equal(open_index(&m.file, m.distance, &plain, &v), ERR_CORRUPT);
		memcpy(bytes + at, old, 4);
	}
	unmake(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fewer_codes_same_neighbours),
		cmocka_unit_test(test_none_where_they_tell_little),
		cmocka_unit_test(test_odd_uses),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_not_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
