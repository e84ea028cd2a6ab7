/* Rows that are no plain floats: scans and indexes of them give what those of their decoded copies give. */
#include "tests/unit/unit.h"

#include "model/element.h"
#include "model/point.h"
#include "tests/unit/index/index_util.h"

enum { N = 2500, DIM = 24, N_QUERIES = 20, K = 10 };

struct typed {
	struct sample s;   /* rows: as they are compared */
	uint8_t *elements; /* as they are stored */
	struct vindex_rows rows, plain;
	struct vector_space space;
};

static struct typed typed_new(enum datatype type, enum distance distance)
{
	struct typed t = {.s = sample_new(N, DIM, N_QUERIES)};

	t.space = (struct vector_space){.dim = DIM, .distance = distance, .datatype = type};
	t.elements = mem_array((size_t)N * DIM, datatype_bytes(type));
	for (size_t i = 0; i < (size_t)N * DIM && type == DATATYPE_UINT8; i++)
		t.s.rows[i] = t.s.rows[i] * 200 + 100;
	for (size_t i = 0; i < (size_t)N_QUERIES * DIM && type == DATATYPE_UINT8; i++)
		t.s.queries[i] = t.s.queries[i] * 200 + 100;
	for (size_t i = 0; i < N; i++) {
		float *row = t.s.rows + i * DIM;

		space_stored(&t.space, row);
		element_encode(type, row, DIM, t.elements + i * DIM * datatype_bytes(type));
		if (space_unit_rows(&t.space))
			vector_normalize(row, DIM);
	}
	for (size_t i = 0; i < N_QUERIES; i++)
		space_query(&t.space, t.s.queries + i * DIM);
	t.plain = (struct vindex_rows){.data = t.s.rows, .n = N, .dim = DIM};
	t.rows = (struct vindex_rows){.data = t.elements,
				      .n = N,
				      .dim = DIM,
				      .type = type,
				      .unit = space_unit_rows(&t.space)};
	return t;
}

static void typed_free(struct typed *t)
{
	sample_free(&t->s);
	free(t->elements);
}

static void each(void (*fn)(struct typed *t, enum distance distance))
{
	for (int type = 0; type < 3; type++) {
		for (size_t d = 0; d < 4; d++) {
			struct typed t = typed_new((enum datatype)type, all_distances[d]);

			fn(&t, all_distances[d]);
			typed_free(&t);
		}
	}
}

static void same_scan(struct typed *t, enum distance distance)
{
	struct topk_item want[K], got[K];
	struct bitset allow;
	uint32_t n_want, n_got;

	bitset_init(&allow, N, false);
	for (uint32_t i = 0; i < N; i += 7)
		bitset_set(&allow, i);
	for (uint32_t i = 0; i < 2 * N_QUERIES; i++) {
		const struct vindex_query q = {.vector = t->s.queries + (size_t)(i / 2) * DIM,
					       .k = K,
					       .allow = i % 2 ? &allow : NULL};

		vindex_scan(&t->plain, distance, &q, want, &n_want);
		vindex_scan(&t->rows, distance, &q, got, &n_got);
		assert_int_equal(n_got, n_want);
		for (uint32_t j = 0; j < n_got; j++) {
			assert_int_equal(got[j].tag, want[j].tag);
			assert_memory_equal(&got[j].key, &want[j].key, sizeof want[j].key);
		}
	}
	bitset_fini(&allow);
}

static void test_scans(void **state)
{
	each(same_scan);
}

static struct vindex *reopen(const struct typed *t, const struct vindex *built,
			     const struct index_config *config, struct buf *bytes, bool faiss_only)
{
	struct vindex_open o = {.rows = t->rows,
				.distance = t->space.distance,
				.config = *config,
				.faiss_only = faiss_only};
	struct vindex *v = NULL;
	struct error err = {0};

	buf_clear(bytes);
	assert_int_equal(vindex_save(built, save_to_buf, bytes, NULL), 0);
	o.bytes = bytes->data;
	o.n_bytes = bytes->len;
	if (vindex_open(&o, &v, &err))
		fail_msg("%s", err.text);
	return v;
}

static void check_search(const struct typed *t, const struct vindex *v)
{
	struct topk_item want[K], got[K];
	uint32_t n_want, n_got, found = 0;

	for (uint32_t i = 0; i < N_QUERIES; i++) {
		const struct vindex_query q = {.vector = t->s.queries + (size_t)i * DIM,
					       .k = K,
					       .ef = 100};

		assert_int_equal(vindex_search(v, &q, got, &n_got, NULL, NULL), 0);
		vindex_scan(&t->plain, t->space.distance, &q, want, &n_want);
		assert_int_equal(n_got, n_want);
		for (uint32_t j = 0; j < n_got; j++) {
			const float *row = t->s.rows + got[j].tag * DIM;
			float key = vindex_distance(t->space.distance, q.vector, row, DIM);

			assert_true(fabsf(got[j].key - key) <= 1e-4f * (1 + fabsf(key)));
			for (uint32_t k = 0; k < n_want; k++)
				found += got[j].tag == want[k].tag;
		}
	}
	assert_true(found >= N_QUERIES * K * 9 / 10);
}

static void same_index(struct typed *t, enum distance distance)
{
	static const struct index_config configs[] = {
		{.kind = INDEX_HNSW, .m = 8, .ef_construct = 40},
		{.kind = INDEX_IVF, .nlist = 30, .nprobe = 20},
		{.kind = INDEX_IVF, .nlist = 30, .nprobe = 20, .quantizer = QUANTIZER_SQ8},
		{.kind = INDEX_FLAT},
	};

	for (size_t c = 0; c < sizeof configs / sizeof *configs; c++) {
		const struct vindex_build b = {.rows = t->rows,
					       .distance = distance,
					       .config = configs[c],
					       .threads = 1,
					       .rows_stay = true};
		struct buf bytes = BUF_INIT;
		struct vindex *built = NULL;

		assert_int_equal(vindex_build(&b, &built, NULL), 0);
		check_search(t, built);
		for (int faiss_only = 0; faiss_only < 2; faiss_only++) {
			struct vindex *v = reopen(t, built, &configs[c], &bytes, faiss_only);

			check_search(t, v);
			vindex_free(v);
		}
		vindex_free(built);
		buf_fini(&bytes);
	}
}

static void test_indexes(void **state)
{
	each(same_index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scans),
		cmocka_unit_test(test_indexes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
