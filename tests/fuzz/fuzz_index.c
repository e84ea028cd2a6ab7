/* Built indexes in FAISS's file format: damage to good ones of every kind. They open and can be searched, or are refused. */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/index/index_util.h"

enum { ROWS = 300, DIM = 4, K = 5, KINDS = 4 };

static const struct index_config configs[KINDS] = {
	{.kind = INDEX_FLAT},
	{.kind = INDEX_HNSW, .m = 4, .ef_construct = 20},
	{.kind = INDEX_IVF, .nlist = 4},
	{.kind = INDEX_IVF, .nlist = 4, .quantizer = QUANTIZER_SQ8},
};
static struct buf good[KINDS];
static struct sample sample;

static void make_good(void)
{
	sample = sample_new(ROWS, DIM, 1);
	for (int i = 0; i < KINDS; i++) {
		struct vindex *v = build_index(&sample, DISTANCE_EUCLID, &configs[i]);

		FUZZ_CHECK(vindex_save(v, save_to_buf, &good[i], NULL) == 0);
		vindex_free(v);
	}
}

static void search(const struct vindex *v)
{
	float vector[64] = {0.5f, 0.1f};
	struct topk_item out[K];
	uint32_t n_out;
	const struct vindex_query q = {.vector = vector, .k = K, .ef = 20, .nprobe = 100};

	FUZZ_CHECK(vindex_search(v, &q, out, &n_out, NULL, NULL) == 0);
	FUZZ_CHECK(n_out <= K);
	for (uint32_t i = 0; i < n_out; i++)
		FUZZ_CHECK(out[i].tag < ROWS * 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct reader r = reader_make(data, n);
	uint8_t what = reader_u8(&r);
	struct buf b = BUF_INIT;
	struct vindex *v = NULL;
	struct error err = {0};
	uint8_t *copy;
	int rc;

	if (good[0].len == 0)
		make_good();
	buf_put(&b, good[what % KINDS].data, good[what % KINDS].len);
	fuzz_damage(&b, &r);
	copy = malloc(b.len + (b.len == 0)); /* a read past the end is seen */
	memcpy(copy, b.data, b.len);
	const struct vindex_open o = {
		.bytes = copy,
		.n_bytes = b.len,
		.distance = DISTANCE_EUCLID,
		.config = configs[what % KINDS],
		.faiss_only = (what & 128) != 0,
	};
	rc = vindex_open(&o, &v, &err);
	if (rc != 0)
		fuzz_check_error(rc, &err);
	else
		search(v);
	vindex_free(v);
	free(copy);
	buf_fini(&b);
	return 0;
}
