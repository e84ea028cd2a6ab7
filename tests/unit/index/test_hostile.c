/* Damaged index files: truncated, flipped, filled with noise. Opening gives an error, or an index that
 * can be searched; it never crashes (run under ASan and UBSan) and the error is ERR_CORRUPT. */
#include "tests/unit/unit.h"

#include "base/prng.h"
#include "tests/unit/index/index_util.h"

enum { K = 5 };

static const struct index_config configs[] = {
	{.kind = INDEX_FLAT},
	{.kind = INDEX_HNSW, .m = 4, .ef_construct = 20},
	{.kind = INDEX_IVF, .nlist = 8},
	{.kind = INDEX_IVF, .nlist = 8, .quantizer = QUANTIZER_SQ8},
	{.kind = INDEX_IVF, .nlist = 8, .quantizer = QUANTIZER_PQ, .pq_m = 1},
};

/* A product quantiser is not trained on less. */
static struct sample sample_for(const struct index_config *config)
{
	return sample_new(config->quantizer == QUANTIZER_PQ ? 10000 : 1000, 4, 2);
}

/* Returns whether it opened. */
static bool try_open(const uint8_t *bytes, size_t n, const struct index_config *config,
		     const struct sample *s, bool faiss_only)
{
	const struct vindex_open o = {
		.bytes = bytes,
		.n_bytes = n,
		.distance = DISTANCE_EUCLID,
		.config = *config,
		.faiss_only = faiss_only,
	};
	struct vindex *v = NULL;
	struct error err = {0};
	int rc = vindex_open(&o, &v, &err);

	if (rc) {
		if (rc != ERR_CORRUPT || !err.text[0])
			fail_msg("%s: %s", error_name(rc), err.text);
		return false;
	}
	for (uint32_t i = 0; i < s->n_queries; i++) {
		float vector[64] = {0};
		struct topk_item out[K];
		uint32_t n_out;
		const struct vindex_query q = {.vector = vector, .k = K, .ef = 20, .nprobe = 100};

		memcpy(vector, s->queries + (size_t)i * s->dim, s->dim * sizeof(float));
		assert_int_equal(vindex_search(v, &q, out, &n_out, NULL, NULL), 0);
		assert_true(n_out <= K);
	}
	vindex_free(v);
	return true;
}

static void save(const struct sample *s, const struct index_config *config, struct buf *out)
{
	struct vindex *v = build_index(s, DISTANCE_EUCLID, config);

	assert_int_equal(vindex_save(v, save_to_buf, out, NULL), 0);
	vindex_free(v);
}

/* The bytes live in a block of exactly their size, so that ASan sees a read past their end. */
static uint8_t *exactly(const void *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, n);
	return copy;
}

static void test_truncated(void **state)
{
	for (size_t c = 0; c < sizeof configs / sizeof *configs; c++) {
		struct sample s = sample_for(&configs[c]);
		struct buf saved = BUF_INIT;

		save(&s, &configs[c], &saved);
		assert_true(try_open(saved.data, saved.len, &configs[c], &s, true));
		assert_true(try_open(saved.data, saved.len, &configs[c], &s, false));
		for (size_t n = 0; n < saved.len; n += n < 300 ? 1 : 97) {
			uint8_t *copy = exactly(saved.data, n);

			assert_false(try_open(copy, n, &configs[c], &s, false));
			free(copy);
		}
		buf_put_u8(&saved, 0); /* a byte too many */
		assert_false(try_open(saved.data, saved.len, &configs[c], &s, false));
		buf_fini(&saved);
		sample_free(&s);
	}
}

static void flip(const struct buf *saved, const struct index_config *config, const struct sample *s,
		 size_t at, uint8_t mask)
{
	uint8_t *copy = exactly(saved->data, saved->len);

	copy[at] ^= mask;
	try_open(copy, saved->len, config, s, true);
	try_open(copy, saved->len, config, s, false);
	free(copy);
}

static void test_flipped(void **state)
{
	struct prng p;

	prng_seed(&p, 11);
	for (size_t c = 0; c < sizeof configs / sizeof *configs; c++) {
		struct sample s = sample_for(&configs[c]);
		struct buf saved = BUF_INIT;

		save(&s, &configs[c], &saved);
		for (size_t at = 0; at < 200 && at < saved.len; at++) {
			flip(&saved, &configs[c], &s, at, 0xff);
			flip(&saved, &configs[c], &s, at, (uint8_t)(1u << prng_below(&p, 8)));
		}
		for (int i = 0; i < 500; i++)
			flip(&saved, &configs[c], &s, prng_below(&p, saved.len),
			     (uint8_t)(1 + prng_below(&p, 255)));
		buf_fini(&saved);
		sample_free(&s);
	}
}

static void test_noise(void **state)
{
	static const char *const kinds[] = {"IxFI", "IxF2", "IxFl", "IHNf", "IwFl",
					    "IwSq", "IwPQ", "IxPT", "????"};
	struct sample s = sample_new(4, 4, 1);
	struct prng p;

	prng_seed(&p, 12);
	for (int i = 0; i < 3000; i++) {
		size_t n = prng_below(&p, 300);
		uint8_t *bytes = malloc(n + 4);

		assert_non_null(bytes);
		memcpy(bytes, kinds[prng_below(&p, 9)], 4);
		for (size_t j = 0; j < n; j++)
			bytes[4 + j] = prng_below(&p, 3) ? 0 : (uint8_t)prng_u64(&p);
		try_open(bytes, n + 4, &configs[0], &s, false);
		free(bytes);
	}
	sample_free(&s);
}

static void test_other_distance_and_other_rows(void **state)
{
	for (size_t c = 0; c < sizeof configs / sizeof *configs; c++) {
		struct sample s = sample_for(&configs[c]);
		struct buf saved = BUF_INIT;
		struct vindex *v = NULL;
		struct error err = {0};

		save(&s, &configs[c], &saved);
		struct vindex_open o = {.bytes = saved.data,
					.n_bytes = saved.len,
					.distance = DISTANCE_COSINE,
					.config = configs[c]};
		assert_int_equal(vindex_open(&o, &v, &err), ERR_CORRUPT);
		assert_non_null(strstr(err.text, "another distance"));
		o.distance = DISTANCE_EUCLID;
		o.rows = (struct vindex_rows){.data = s.rows, .n = 999, .dim = 4};
		assert_int_equal(vindex_open(&o, &v, &err), ERR_CORRUPT);
		assert_non_null(strstr(err.text, "999"));
		assert_null(v);
		buf_fini(&saved);
		sample_free(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_other_distance_and_other_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
