/* The layout behind a graph: an index that is opened with it finds what one finds that was opened without, by the
 * same work; and damaged ones are refused, or lead no search out of bounds. */
#include "tests/unit/unit.h"

#include "base/hash.h"
#include "base/prng.h"
#include "index/engine.h"
#include "index/rows.h"
#include "model/element.h"
#include "tests/unit/index/index_util.h"

enum {
	N = 3000,
	DIM = 20,
	QUERIES = 60,
	K = 10,
	FRONT = 24, /* magic, version, bytes of all, bytes of the head */
	AT_N = FRONT + 6,
	AT_WIDTH = AT_N + 8,
	AT_ID_BYTES = AT_WIDTH + 4,
	AT_SLOTS = AT_ID_BYTES + 4,
	AT_LIST_BYTES = AT_SLOTS + 4,
	AT_N_MORE = AT_LIST_BYTES + 4,
	AT_ENTRY = AT_N_MORE + 4,
	AT_SCALE = AT_ENTRY + 4,
	AT_LEVELS = AT_SCALE + 3 * 4 * DIM,
};

struct made {
	struct sample s;
	enum distance distance;
	struct index_config config;
	struct buf file;
	size_t at, size; /* of the layout */
};

static struct made make(enum distance distance, enum quantizer quantizer, bool on_disk)
{
	struct made m = {.s = sample_new(N, DIM, QUERIES), .distance = distance};
	struct faiss_graph g;
	struct vindex *v;
	size_t n_rest;

	m.config = (struct index_config){.kind = INDEX_HNSW,
					 .m = 12,
					 .ef_construct = 60,
					 .quantizer = quantizer,
					 .rows_on_disk = on_disk};
	v = build_index(&m.s, distance, &m.config);
	assert_int_equal(vindex_save(v, save_to_buf, &m.file, NULL), 0);
	vindex_free(v);
	assert_int_equal(faiss_file_hnsw(m.file.data, m.file.len, &g, NULL), 0);
	m.at = m.file.len - g.n_rest;
	behind_layout(&g, &n_rest);
	m.size = g.n_rest - n_rest;
	assert_true(m.size > 0);
	return m;
}

static void unmake(struct made *m)
{
	buf_fini(&m->file);
	sample_free(&m->s);
}

static struct vindex_query query_of(const struct made *m, uint32_t i, const struct bitset *allow)
{
	return (struct vindex_query){.vector = m->s.queries + (size_t)i * DIM,
				     .k = K,
				     .ef = 40,
				     .allow = allow,
				     .n_allow = allow ? bitset_count(allow) : 0};
}

/* Both find the same, by as many distances. */
static void check_same(const struct made *m, const struct vindex *a, const struct vindex *b)
{
	struct bitset allow;

	bitset_init(&allow, N, false);
	for (uint32_t i = 0; i < N; i += 2)
		bitset_set(&allow, i);
	for (uint32_t i = 0; i < 2 * QUERIES; i++) {
		struct vindex_query q = query_of(m, i / 2, i % 2 ? &allow : NULL);
		struct topk_item of_a[K], of_b[K];
		struct vindex_stats s_a, s_b;
		uint32_t n_a, n_b;

		assert_int_equal(vindex_search(a, &q, of_a, &n_a, &s_a, NULL), 0);
		assert_int_equal(vindex_search(b, &q, of_b, &n_b, &s_b, NULL), 0);
		assert_int_equal(n_a, K);
		assert_int_equal(n_b, K);
		assert_int_equal(s_a.distances, s_b.distances);
		for (uint32_t j = 0; j < K; j++)
			assert_true(of_a[j].tag == of_b[j].tag && of_a[j].key == of_b[j].key);
	}
	bitset_fini(&allow);
}

static void test_layout_changes_nothing(void **state)
{
	static const enum quantizer quantizers[] = {QUANTIZER_NONE, QUANTIZER_SQ8,
						    QUANTIZER_BINARY};

	for (size_t i = 0; i < 4 * 3 * 2; i++) {
		struct made m = make(all_distances[i / 6], quantizers[i / 2 % 3], i % 2);
		struct buf plain = buf_without(&m.file, m.at, m.size);
		struct vindex *with, *without;

		assert_int_equal(open_index(&m.file, m.distance, &m.config, &with), 0);
		assert_int_equal(open_index(&plain, m.distance, &m.config, &without), 0);
		check_same(&m, with, without);
		vindex_free(with);
		vindex_free(without);
		buf_fini(&plain);
		unmake(&m);
	}
}

/* A collection whose codes were changed since: its layout is made anew. */
static void test_layout_of_other_codes_is_passed_over(void **state)
{
	struct made m = make(DISTANCE_EUCLID, QUANTIZER_NONE, false);
	struct buf plain = buf_without(&m.file, m.at, m.size);

	for (int i = 0; i < 2; i++) {
		struct index_config config = m.config;
		struct vindex *with, *without;

		if (i)
			config.rows_on_disk = true;
		else
			config.quantizer = QUANTIZER_BINARY;
		assert_int_equal(open_index(&m.file, m.distance, &config, &with), 0);
		assert_int_equal(open_index(&plain, m.distance, &config, &without), 0);
		check_same(&m, with, without);
		vindex_free(with);
		vindex_free(without);
	}
	buf_fini(&plain);
	unmake(&m);
}

static void set_u32(uint8_t *at, uint32_t v)
{
	memcpy(at, &v, sizeof v);
}

/* The hash of the head made right again. */
static void seal(uint8_t *layout)
{
	uint64_t head = load_u64(layout + 16), sum = hash64(layout, FRONT + head);

	memcpy(layout + FRONT + head, &sum, sizeof sum);
}

static void put_ids(struct buf *b, const uint8_t *from, uint32_t n, uint32_t n_rows)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t id = (uint32_t)from[3 * i] | (uint32_t)from[3 * i + 1] << 8 |
			      (uint32_t)from[3 * i + 2] << 16;

		if (id >= n_rows) /* none, or where the list goes on */
			id = id == 0xffffff ? UINT32_MAX : id - (1u << 23) + (1u << 31);
		buf_put_u32(b, id);
	}
}

/* Links of four bytes, as graphs of many million rows have them. */
static struct buf widened(const struct made *m)
{
	const uint8_t *old = m->file.data + m->at;
	size_t head = load_u64(old + 16), codes = (size_t)N * 64;
	uint32_t slots = load_u32(old + AT_SLOTS), list_bytes = load_u32(old + AT_LIST_BYTES);
	uint32_t n_more = load_u32(old + AT_N_MORE);
	const uint8_t *links = old + FRONT + head + 8 + codes;
	const uint8_t *more = links + (size_t)N * list_bytes;
	struct buf b = BUF_INIT;

	buf_put(&b, m->file.data, m->at + FRONT + head + 8 + codes);
	for (uint32_t i = 0; i < N; i++)
		put_ids(&b, links + (size_t)i * list_bytes, slots, N);
	put_ids(&b, more, n_more, N);
	buf_put(&b, more + 3 * (size_t)n_more, 4 * N); /* norms */
	uint64_t size = b.len - m->at;
	buf_put(&b, old + m->size, m->file.len - m->at - m->size);
	memcpy(b.data + m->at + 8, &size, sizeof size);
	set_u32(b.data + m->at + AT_ID_BYTES, 4);
	set_u32(b.data + m->at + AT_LIST_BYTES, 4 * slots);
	seal(b.data + m->at);
	return b;
}

static void test_links_of_four_bytes(void **state)
{
	struct made m = make(DISTANCE_EUCLID, QUANTIZER_NONE, false);
	struct buf wide = widened(&m);
	struct vindex *a, *b;

	assert_int_equal(load_u32(m.file.data + m.at + AT_ID_BYTES), 3);
	assert_true(load_u32(m.file.data + m.at + AT_N_MORE) > 100); /* some lists are long */
	assert_int_equal(open_index(&m.file, m.distance, &m.config, &a), 0);
	assert_int_equal(open_index(&wide, m.distance, &m.config, &b), 0);
	check_same(&m, a, b);
	vindex_free(a);
	vindex_free(b);
	buf_fini(&wide);
	unmake(&m);
}

/* ---- rows that are read ----------------------------------------------------------------------- */

struct disk {
	const struct vindex_rows *rows;
	uint32_t n_read;
	bool fails;
};

static int read_row(void *ctx, uint64_t row, void *out)
{
	struct disk *d = ctx;

	assert_true(row < d->rows->n);
	d->n_read++;
	if (d->fails)
		return ERR_IO;
	memcpy(out, rows_at(d->rows, row), rows_bytes(d->rows));
	return 0;
}

/* Candidates are compared by rows that are read; where that fails, by those that are mapped. */
static void test_rows_are_read(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct made m =
			make(DISTANCE_COSINE, i / 2 ? QUANTIZER_BINARY : QUANTIZER_NONE, true);
		const struct vindex_rows rows = {.data = m.s.rows, .n = N, .dim = DIM};
		struct disk disk = {.rows = &rows, .fails = i % 2};
		struct vindex_open o = {.bytes = m.file.data,
					.n_bytes = m.file.len,
					.distance = m.distance,
					.config = m.config,
					.rows = rows};
		struct vindex *mapped, *read;

		assert_int_equal(vindex_open(&o, &mapped, NULL), 0);
		o.rows.read = read_row;
		o.rows.read_ctx = &disk;
		assert_int_equal(vindex_open(&o, &read, NULL), 0);
		check_same(&m, mapped, read);
		assert_true(disk.n_read >= 2 * QUERIES * K);
		vindex_free(mapped);
		vindex_free(read);
		unmake(&m);
	}
}

static void test_rows_of_all_types_are_read(void **state)
{
	uint8_t stored[2 * 4 * DIM], raw[4 * DIM];
	float values[2 * DIM], want[DIM], got[DIM];

	for (int i = 0; i < 2 * DIM; i++)
		values[i] = (float)(i * 5);
	for (int i = 0; i < 6; i++) {
		struct vindex_rows rows = {.data = stored,
					   .n = 2,
					   .dim = DIM,
					   .type = (enum datatype)(i / 2),
					   .unit = i % 2};
		struct disk disk = {.rows = &rows};

		element_encode(rows.type, values, DIM, stored);
		element_encode(rows.type, values + DIM, DIM,
			       stored + DIM * datatype_bytes(rows.type));
		memcpy(want, rows_get(&rows, 1, want), sizeof want);
		struct vindex_rows read = rows;
		read.data = NULL;
		read.read = read_row;
		read.read_ctx = &disk;
		assert_memory_equal(rows_fetch(&read, 1, raw, got), want, sizeof want);
		assert_int_equal(disk.n_read, 1);
	}
}

/* ---- damaged --------------------------------------------------------------------------------- */

/* Whether it opens; then a search ends, with rows that are there. The bytes lie in a block of their size. */
static bool try_open(const struct made *m)
{
	struct buf copy = BUF_INIT;
	struct vindex *v;
	int rc;

	copy.data = mem_alloc(m->file.len);
	copy.len = m->file.len;
	memcpy(copy.data, m->file.data, copy.len);
	rc = open_index(&copy, m->distance, &m->config, &v);
	if (rc)
		assert_int_equal(rc, ERR_CORRUPT);
	for (uint32_t i = 0; i < 5 && !rc; i++) {
		struct vindex_query q = query_of(m, i, NULL);
		struct topk_item out[K];
		uint32_t n;

		assert_int_equal(vindex_search(v, &q, out, &n, NULL, NULL), 0);
		for (uint32_t j = 0; j < n; j++)
			assert_true(out[j].tag < N);
	}
	if (!rc)
		vindex_free(v);
	free(copy.data);
	return rc == 0;
}

static void test_damaged_heads_are_refused(void **state)
{
	struct made m = make(DISTANCE_EUCLID, QUANTIZER_NONE, false);
	uint8_t *layout = m.file.data + m.at;
	size_t head = load_u64(layout + 16);

	for (size_t i = 4; i < FRONT + head + 8; i += i < AT_LEVELS ? 1 : 37) {
		layout[i] ^= 0x20;
		assert_false(try_open(&m));
		layout[i] ^= 0x20;
	}
	assert_true(try_open(&m));
	unmake(&m);
}

/* Numbers that cannot be, under a hash that is right. */
static void test_impossible_heads_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
	} wrong[] = {
		{AT_N, N + 1},
		{AT_N + 4, DIM + 1},
		{AT_WIDTH, 0},
		{AT_WIDTH, UINT32_MAX},
		{AT_ID_BYTES, 2},
		{AT_ID_BYTES, 5},
		{AT_ID_BYTES, 4},
		{AT_SLOTS, 0},
		{AT_SLOTS, UINT32_MAX},
		{AT_LIST_BYTES, 0},
		{AT_LIST_BYTES, UINT32_MAX},
		{AT_N_MORE, 0},
		{AT_N_MORE, UINT32_MAX},
		{AT_ENTRY, N},
		{AT_SCALE, 0x7fc00000}, /* not a number */
		{AT_LEVELS, 0},
		{AT_LEVELS, 300},
		{AT_LEVELS + 4, 0},
		{AT_LEVELS + 4, UINT32_MAX},
		{AT_LEVELS + 8, UINT32_MAX},
		{AT_LEVELS + 13, N}, /* the first node of level 1 */
	};
	struct made m = make(DISTANCE_EUCLID, QUANTIZER_NONE, false);
	uint8_t *layout = m.file.data + m.at;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		uint32_t before = load_u32(layout + wrong[i].at);

		set_u32(layout + wrong[i].at, wrong[i].value);
		seal(layout);
		if (try_open(&m))
			fail_msg("%u at %zu was taken", wrong[i].value, wrong[i].at);
		set_u32(layout + wrong[i].at, before);
		seal(layout);
	}
	assert_true(try_open(&m));
	unmake(&m);
}

/* Codes, norms and links are taken as they are: searches stay in bounds whatever they are. */
static void test_damaged_arrays_lead_nowhere(void **state)
{
	struct made m = make(DISTANCE_EUCLID, QUANTIZER_NONE, false);
	size_t from = m.at + FRONT + load_u64(m.file.data + m.at + 16) + 8;
	struct prng p;

	prng_seed(&p, 4);
	for (int round = 0; round < 30; round++) {
		for (size_t i = from; i < m.at + m.size; i += 1 + prng_below(&p, 8))
			m.file.data[i] = (uint8_t)prng_u64(&p);
		assert_true(try_open(&m));
	}
	memset(m.file.data + from, 0, m.at + m.size - from);
	assert_true(try_open(&m));
	memset(m.file.data + from, 0x80, m.at + m.size - from);
	assert_true(try_open(&m));
	unmake(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout_changes_nothing),
		cmocka_unit_test(test_layout_of_other_codes_is_passed_over),
		cmocka_unit_test(test_links_of_four_bytes),
		cmocka_unit_test(test_rows_are_read),
		cmocka_unit_test(test_rows_of_all_types_are_read),
		cmocka_unit_test(test_damaged_heads_are_refused),
		cmocka_unit_test(test_impossible_heads_are_refused),
		cmocka_unit_test(test_damaged_arrays_lead_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
