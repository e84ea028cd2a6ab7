/* One-bit codes: the sums against their definition, and walks by them; what the parameters of quantisation change. */
#include "tests/unit/unit.h"

#include "base/prng.h"
#include "index/bits.h"
#include "tests/unit/index/index_util.h"

enum { N = 3000, DIM = 96, N_QUERIES = 15, K = 10 };

static void check_sums(void)
{
	struct sample s = sample_new(50, 70, 5);
	const struct vindex_rows rows = {.data = s.rows, .n = s.n, .dim = s.dim};
	size_t stride = bits_stride(s.dim);
	uint64_t codes[50 * 2], query[BITS_PLANES * 2];
	float scratch[70];
	struct code_query q = {.bytes = (uint8_t *)query};

	assert_int_equal(stride, 16);
	for (size_t d = 0; d < 4; d++) {
		struct code_scale scale;

		code_scale_init_bits(&scale, &rows, all_distances[d]);
		for (uint32_t i = 0; i < s.n; i++) {
			const float *row = s.rows + (size_t)i * s.dim;
			uint8_t *code = (uint8_t *)codes + i * stride;

			bits_encode(&scale, row, code);
			bits_decode(&scale, code, scratch);
			for (uint32_t j = 0; j < s.dim; j++) {
				bool above = code[j / 8] >> j % 8 & 1;

				assert_int_equal(above, row[j] > scale.middle[j]);
				assert_true(above == (scratch[j] > scale.middle[j]));
			}
		}
		for (uint32_t i = 0; i < s.n_queries; i++) {
			uint32_t ids[50];
			int32_t sums[50];

			bits_query_init(&scale, s.queries + (size_t)i * s.dim, scratch, &q);
			for (uint32_t j = 0; j < s.n; j++)
				ids[j] = s.n - 1 - j;
			bits_sums_get()(q.bytes, (const uint8_t *)codes, stride, ids, s.n, sums);
			for (uint32_t j = 0; j < s.n; j++) {
				const uint8_t *code = (const uint8_t *)codes + ids[j] * stride;
				int32_t sum = 0;

				for (uint32_t b = 0; b < s.dim; b++) {
					int32_t w = -8;

					for (int p = 0; p < BITS_PLANES; p++)
						w += (q.bytes[p * stride + b / 8] >> b % 8 & 1)
						     << p;
					assert_in_range(w + 8, 1, 15);
					sum += (code[b / 8] >> b % 8 & 1) * w;
				}
				assert_int_equal(sums[j], sum);
			}
		}
		code_scale_fini(&scale);
	}
	sample_free(&s);
}

static void test_sums(void **state)
{
	static const char *const levels[] = {"plain", "avx2", "avx512"};

	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
		assert_int_equal(vindex_limit_kernels(levels[i], NULL), 0);
		check_sums();
	}
}

static void test_degenerate_rows(void **state)
{
	float rows[4][3] = {{1, 2, 3}, {1, 2, 3}, {1, 2, 3}, {1, 2, 3}};
	const struct vindex_rows r = {.data = &rows[0][0], .n = 4, .dim = 3};
	uint64_t code = 0, query[BITS_PLANES];
	float scratch[3];
	struct code_query q = {.bytes = (uint8_t *)query};

	for (size_t d = 0; d < 4; d++) {
		struct code_scale scale;
		uint32_t zero = 0;
		int32_t sum = 1;

		code_scale_init_bits(&scale, &r, all_distances[d]);
		bits_encode(&scale, rows[0], (uint8_t *)&code);
		bits_query_init(&scale, rows[1], scratch, &q);
		bits_sums_get()(q.bytes, (uint8_t *)&code, 8, &zero, 1, &sum);
		assert_int_equal(sum, 0);
		bits_decode(&scale, (uint8_t *)&code, scratch);
		assert_memory_equal(scratch, rows[0], sizeof scratch);
		code_scale_fini(&scale);
	}
}

static struct vindex *open_with(const struct sample *s, enum distance distance,
				enum quantizer quantizer, const struct buf *saved)
{
	const struct vindex_open o = {
		.bytes = saved->data,
		.n_bytes = saved->len,
		.rows = {.data = s->rows, .n = s->n, .dim = s->dim},
		.distance = distance,
		.config = {.kind = INDEX_HNSW, .m = 16, .quantizer = quantizer},
	};
	struct vindex *v = NULL;
	struct error err = {0};

	if (vindex_open(&o, &v, &err))
		fail_msg("%s", err.text);
	return v;
}

struct result {
	double recall, error; /* of the keys, relative */
	uint64_t distances;
};

static struct result search_all(const struct sample *s, const struct vindex *v,
				enum distance distance, const struct vindex_query *how)
{
	const struct vindex_rows rows = {.data = s->rows, .n = s->n, .dim = s->dim};
	struct topk_item want[K], got[K];
	uint32_t n_want, n_got, found = 0;
	struct result r = {0};

	for (uint32_t i = 0; i < s->n_queries; i++) {
		struct vindex_query q = *how;
		struct vindex_stats stats;

		q.vector = s->queries + (size_t)i * s->dim;
		q.k = K;
		assert_int_equal(vindex_search(v, &q, got, &n_got, &stats, NULL), 0);
		vindex_scan(&rows, distance, &q, want, &n_want);
		assert_int_equal(n_got, n_want);
		r.distances += stats.distances;
		found += overlap(got, n_got, want, n_want);
		for (uint32_t j = 0; j < n_got; j++) {
			float key = vindex_distance(distance, q.vector,
						    s->rows + got[j].tag * s->dim, s->dim);

			assert_true(j == 0 || got[j - 1].key <= got[j].key);
			r.error += fabs((double)(got[j].key - key)) / (1e-3 + fabs((double)key));
		}
	}
	r.recall = (double)found / (s->n_queries * K);
	r.error /= s->n_queries * K;
	return r;
}

static void check_distance(const struct sample *s, enum distance distance)
{
	static const struct index_config config = {.kind = INDEX_HNSW, .m = 16, .ef_construct = 60};
	const struct vindex_query plain = {.ef = 100}, all = {.ef = 100, .ignore_codes = true},
				  codes = {.ef = 100, .no_rescore = true},
				  few = {.ef = K, .oversampling = 1},
				  many = {.ef = K, .oversampling = 30};
	struct vindex *built = build_index(s, distance, &config);
	struct buf saved = BUF_INIT;
	struct vindex_info info[2];

	assert_int_equal(vindex_save(built, save_to_buf, &saved, NULL), 0);
	for (int binary = 0; binary < 2; binary++) {
		struct vindex *v =
			open_with(s, distance, binary ? QUANTIZER_BINARY : QUANTIZER_SQ8, &saved);
		struct result rescored = search_all(s, v, distance, &plain);
		struct result by_codes = search_all(s, v, distance, &codes);
		struct result ignored = search_all(s, v, distance, &all);

		vindex_describe(v, &info[binary]);
		assert_true(rescored.error == 0 && ignored.error == 0);
		assert_true(by_codes.error > 0);
		assert_true(by_codes.recall <= rescored.recall);
		assert_true(ignored.recall >= rescored.recall);
		assert_true(rescored.recall >= (binary ? 0.8 : 0.95));
		/* More candidates find more, and cost more. */
		struct result once = search_all(s, v, distance, &few);
		struct result often = search_all(s, v, distance, &many);
		assert_true(often.recall >= once.recall);
		assert_true(often.distances > once.distances);
		assert_true(often.recall >= 0.9);
		vindex_free(v);
	}
	assert_int_equal(info[1].quantizer, QUANTIZER_BINARY);
	/* A bit in place of a byte, the codes padded to 64 and to 8 bytes; and no cells, which are a few words for
	 * each row. */
	size_t saved_bytes = info[0].memory_bytes - info[1].memory_bytes;
	size_t of_codes = (size_t)s->n * (code_stride(s->dim) - bits_stride(s->dim));
	assert_true(saved_bytes >= of_codes && saved_bytes <= of_codes + (size_t)s->n * 16);
	/* Without a quantiser the parameters mean nothing. */
	struct vindex *v = open_with(s, distance, QUANTIZER_NONE, &saved);
	assert_true(search_all(s, v, distance, &codes).error == 0);
	vindex_free(v);
	vindex_free(built);
	buf_fini(&saved);
}

static void test_walks(void **state)
{
	struct sample s = sample_new(N, DIM, N_QUERIES);

	for (size_t i = 0; i < (size_t)s.n * s.dim; i++)
		s.rows[i] += 0.1f; /* away from the origin */
	for (size_t d = 0; d < 4; d++)
		check_distance(&s, all_distances[d]);
	sample_free(&s);
}

static void test_filtered_walk(void **state)
{
	struct sample s = sample_new(N, DIM, N_QUERIES);
	const struct index_config config = {.kind = INDEX_HNSW, .m = 16, .ef_construct = 60};
	struct vindex *built = build_index(&s, DISTANCE_EUCLID, &config);
	struct buf saved = BUF_INIT;
	struct bitset allow;

	assert_int_equal(vindex_save(built, save_to_buf, &saved, NULL), 0);
	struct vindex *v = open_with(&s, DISTANCE_EUCLID, QUANTIZER_BINARY, &saved);
	bitset_init(&allow, s.n, false);
	for (uint32_t i = 0; i < s.n; i += 2)
		bitset_set(&allow, i);
	const struct vindex_query q = {.ef = 150, .allow = &allow, .n_allow = bitset_count(&allow)};
	struct result r = search_all(&s, v, DISTANCE_EUCLID, &q);
	assert_true(r.error == 0 && r.recall >= 0.8);
	bitset_fini(&allow);
	vindex_free(v);
	vindex_free(built);
	buf_fini(&saved);
	sample_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_degenerate_rows),
		cmocka_unit_test(test_walks),
		cmocka_unit_test(test_filtered_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
