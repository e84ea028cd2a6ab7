/* Payload indexes against the reference evaluation: on random payloads and conditions, every answer of an
 * index is exactly that of cond_match(), and every answer of segment_filter() that of filter_match(). */
#include "tests/unit/store/random_util.h"
#include "store/segment_internal.h"

enum { ROWS = 300, ROUNDS = 8, CONDS = 1500, FILTERS = 600 };

struct world {
	struct memory_disk *disk;
	struct store_io io;
	struct collection *schema;
	struct rows rows;
	struct segment *s;
};

static struct world make_world(uint32_t n, uint64_t seed)
{
	struct world w = {.disk = memory_disk_new(), .schema = random_schema(true)};
	memory_disk_io(w.disk, &w.io);
	w.rows = random_rows(n, seed);
	assert_int_equal(write_rows(&w.io, 1, w.schema, &w.rows, NULL), 0);
	w.s = open_segment(&w.io, 1, w.schema);
	return w;
}

static void free_world(struct world *w)
{
	segment_close(w->s);
	collection_unref(w->schema);
	arena_free(w->rows.arena);
	memory_disk_free(w->disk);
}

static void show(const struct world *w, const struct cond *c, uint32_t row, bool got)
{
	fail_msg("condition type %d on %s: row %u %s, the reference says otherwise", c->type,
		 c->path.text, row, got ? "matches" : "does not match");
}

static void check_cond(const struct world *w, const struct cond *c, uint64_t answered[])
{
	const struct pindex *p = segment_pindex(w->s, c->path.text);
	struct bitset out;
	if (p == NULL)
		return;
	bitset_init(&out, w->rows.n, false);
	if (pindex_eval(p, c, &out) == 1) {
		answered[c->type]++;
		for (uint32_t row = 0; row < w->rows.n; row++) {
			struct filter_point point = point_of(&w->rows, row);
			if (bitset_get(&out, row) != cond_match(c, &point, w->schema))
				show(w, c, row, bitset_get(&out, row));
		}
	}
	bitset_fini(&out);
}

static void an_index_answers_as_the_reference(void **state)
{
	uint64_t answered[COND_TYPE_COUNT] = {0};
	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		struct world w = make_world(ROWS, seed);
		struct arena *a = arena_new(1 << 16);
		struct prng p;
		prng_seed(&p, seed + 100);
		for (int i = 0; i < CONDS; i++) {
			struct cond c = random_cond(a, &p, w.rows.n, 3);
			check_cond(&w, &c, answered);
			arena_reset(a);
		}
		arena_free(a);
		free_world(&w);
	}
	static const enum cond_type INDEXED[] = {COND_MATCH_ANY,      COND_MATCH_EXCEPT,
						 COND_MATCH_TEXT,     COND_MATCH_TEXT_ANY,
						 COND_MATCH_PHRASE,   COND_RANGE,
						 COND_DATETIME_RANGE, COND_IS_EMPTY,
						 COND_IS_NULL,        COND_GEO_RADIUS,
						 COND_GEO_BOX,        COND_GEO_POLYGON};
	for (size_t i = 0; i < sizeof(INDEXED) / sizeof(INDEXED[0]); i++)
		assert_true(answered[INDEXED[i]] > 20);
}

static uint32_t check_filter(const struct world *w, const struct filter *f,
			     const struct bitset *live, const struct collection *schema)
{
	struct bitset out;
	bitset_init(&out, w->rows.n, true);
	uint64_t scanned = segment_filter(w->s, schema, f, live, &out);
	uint32_t matches = bitset_count(&out);
	for (uint32_t row = 0; row < w->rows.n; row++) {
		struct filter_point point = point_of(&w->rows, row);
		bool want = (live == NULL || bitset_get(live, row)) &&
			    filter_match(f, &point, schema);
		if (want != bitset_get(&out, row))
			fail_msg("row %u %s, the reference says otherwise", row,
				 want ? "is missing" : "is there");
	}
	assert_true(scanned <= 100ull * w->rows.n);
	bitset_fini(&out);
	return matches;
}

static void a_filter_answers_as_the_reference(void **state)
{
	uint64_t some = 0;
	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		struct world w = make_world(ROWS, seed + 50);
		struct collection *bare = random_schema(false);
		struct arena *a = arena_new(1 << 16);
		struct bitset live;
		struct prng p;
		bitset_init(&live, w.rows.n, true);
		prng_seed(&p, seed + 900);
		for (uint32_t row = 0; row < w.rows.n; row++)
			if (prng_below(&p, 4) == 0)
				bitset_unset(&live, row);
		for (int i = 0; i < FILTERS; i++) {
			struct filter *f = random_filter(a, &p, w.rows.n, 0);
			const struct collection *schema = i % 10 == 0 ? bare : w.schema;
			if (i % 3 == 0)
				filter_prepare(f);
			uint32_t n = check_filter(&w, f, i % 2 == 0 ? &live : NULL, schema);
			some += n != 0 && n < w.rows.n / 2;
			arena_reset(a);
		}
		check_filter(&w, NULL, &live, w.schema);
		check_filter(&w, NULL, NULL, NULL);
		bitset_fini(&live);
		arena_free(a);
		collection_unref(bare);
		free_world(&w);
	}
	assert_true(some > 100); /* filters that select something, or nothing is proven */
}

/* Enough values that ranges are put together from blocks, at every border of one. */
static void wide_ranges_are_exact(void **state)
{
	enum { N = 5000 };
	struct collection *schema = random_schema(true);
	struct memory_disk *disk = memory_disk_new();
	struct rows rows = random_rows(N, 2);
	struct store_io io;
	struct prng p;
	memory_disk_io(disk, &io);
	prng_seed(&p, 1);
	for (uint32_t i = 0; i < N; i++) { /* {"int": [a, b]}, {"int": a} or {} */
		struct buf b = BUF_INIT;
		uint32_t n = (uint32_t)prng_below(&p, 3);
		size_t mark = pv_open(&b, PV_OBJECT);
		pv_put_key(&b, "int", 3);
		size_t array = pv_open(&b, PV_ARRAY);
		for (uint32_t k = 0; k < n + 1; k++)
			pv_put_int(&b, (int64_t)prng_below(&p, 3000));
		pv_close(&b, array, n + 1);
		pv_close(&b, mark, 1);
		rows.payloads[i] =
			(struct pv_slice){arena_copy(rows.arena, b.data, b.len), (uint32_t)b.len};
		buf_fini(&b);
	}
	assert_int_equal(write_rows(&io, 1, schema, &rows, NULL), 0);
	struct world w = {.schema = schema, .rows = rows};
	w.s = open_segment(&io, 1, schema);
	for (int i = 0; i < 400; i++) {
		struct cond c = {.type = COND_RANGE};
		uint64_t answered[COND_TYPE_COUNT] = {0};
		assert_int_equal(path_parse("int", 3, rows.arena, &c.path, NULL), 0);
		c.range.has_gte = i % 10 != 0;
		c.range.has_lt = i % 7 != 0;
		c.range.gte = (double)prng_below(&p, 3100);
		c.range.lt = i % 5 == 0 ? c.range.gte + 95 : (double)prng_below(&p, 3100);
		check_cond(&w, &c, answered);
		assert_int_equal(answered[COND_RANGE], 1);
	}
	segment_close(w.s);
	arena_free(rows.arena);
	collection_unref(schema);
	memory_disk_free(disk);
}

/* ---- what is indexed, and facets ---- */

struct facets {
	struct world *w;
	const struct payload_field *field;
	const struct bitset *live;
	uint32_t n;
	struct buf last;
};

struct count {
	struct pv value;
	bool found;
};

static bool equals_element(void *ctx, struct pv v)
{
	struct count *c = ctx;
	if (pv_type(v) != PV_ARRAY)
		return pv_equal(v, c->value) && pv_type(v) == pv_type(c->value);
	struct pv_iter it = pv_iterate(v);
	while (pv_next(&it))
		if (pv_type(it.value) == pv_type(c->value) && pv_equal(it.value, c->value))
			return true;
	return false;
}

static void check_facet(void *ctx, struct pv_slice value, uint32_t count)
{
	struct facets *f = ctx;
	struct count c = {.value = pv_of(value.bytes)};
	uint32_t want = 0;
	for (uint32_t row = 0; row < f->w->rows.n; row++) {
		struct filter_point point = point_of(&f->w->rows, row);
		if (f->live == NULL || bitset_get(f->live, row))
			want += path_visit(&f->field->path, point.payload, equals_element, &c);
	}
	assert_int_equal(count, want);
	assert_true(count != 0);
	assert_true(f->n == 0 || f->last.len != value.n ||
		    memcmp(f->last.data, value.bytes, value.n) != 0);
	buf_clear(&f->last);
	buf_put(&f->last, value.bytes, value.n);
	f->n++;
}

static void facets_count_each_value(void **state)
{
	struct world w = make_world(1000, 3);
	struct bitset live;
	bitset_init(&live, w.rows.n, true);
	for (uint32_t row = 0; row < w.rows.n; row += 3)
		bitset_unset(&live, row);
	for (uint32_t i = 0; i < w.schema->n_fields; i++) {
		const struct payload_field *field = &w.schema->fields[i];
		const struct pindex *p = segment_pindex(w.s, field->path.text);
		assert_non_null(p);
		for (int k = 0; k < 2; k++) {
			struct facets f = {&w, field, k == 0 ? NULL : &live, 0, BUF_INIT};
			assert_int_equal(pindex_values(p, f.live, check_facet, &f), 0);
			bool has = field->type == FIELD_KEYWORD || field->type == FIELD_UUID ||
				   field->type == FIELD_INTEGER || field->type == FIELD_BOOL;
			assert_true(has ? f.n > 0 : f.n == 0);
			buf_fini(&f.last);
		}
		assert_true(pindex_points(p) > 0 && pindex_points(p) < w.rows.n);
	}
	bitset_fini(&live);
	free_world(&w);
}

/* Marks the rows that have a value, and counts the values. */
struct column_check {
	const struct pindex_column *c;
	uint32_t row, n;
};

static bool in_column(void *ctx, struct pv v)
{
	struct column_check *k = ctx;
	struct pv_iter it = pv_iterate(v);
	bool array = pv_type(v) == PV_ARRAY;
	while (!array || pv_next(&it)) {
		struct pv value = array ? it.value : v;
		double number = 0;
		int64_t date = 0;
		uint32_t n = 0;
		bool has = k->c->numbers != NULL ? pv_number(value, &number) : false;
		if (k->c->dates != NULL && pv_type(value) == PV_STRING) {
			const char *s = pv_string(value, &n);
			has = datetime_parse(s, n, &date);
		}
		bool found = false;
		for (uint32_t i = 0; has && i < k->c->n; i++)
			found |= k->c->rows[i] == k->row &&
				 (k->c->dates != NULL ? k->c->dates[i] == date
						      : k->c->numbers[i] == number);
		assert_int_equal(found, has);
		k->n += has;
		if (!array)
			break;
	}
	return false;
}

static void columns_are_sorted_and_whole(void **state)
{
	struct world w = make_world(400, 13);
	uint32_t columns = 0;
	for (uint32_t i = 0; i < w.schema->n_fields; i++) {
		const struct payload_field *field = &w.schema->fields[i];
		struct pindex_column c;
		if (!pindex_column(segment_pindex(w.s, field->path.text), &c))
			continue;
		columns++;
		struct column_check k = {.c = &c};
		for (k.row = 0; k.row < w.rows.n; k.row++) {
			struct filter_point point = point_of(&w.rows, k.row);
			path_visit(&field->path, point.payload, in_column, &k);
		}
		assert_int_equal(k.n, c.n);
		for (uint32_t v = 1; v < c.n; v++)
			assert_true(c.dates != NULL ? c.dates[v - 1] <= c.dates[v]
						    : c.numbers[v - 1] <= c.numbers[v]);
	}
	assert_int_equal(columns, 4); /* int, float, a.n, date */
	free_world(&w);
}

static void an_index_can_be_built_later(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	memory_disk_io(disk, &io);
	struct collection *bare = random_schema(false), *schema = random_schema(true);
	struct rows rows = random_rows(100, 5);
	assert_int_equal(write_rows(&io, 4, bare, &rows, NULL), 0);
	struct segment *s = open_segment(&io, 4, bare);
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		assert_null(segment_pindex(s, schema->fields[i].path.text));
		assert_int_equal(segment_pindex_build(&io, s, schema, &schema->fields[i], NULL), 0);
	}
	segment_close(s);
	memory_disk_crash(disk, CRASH_DROP, NULL); /* it was durable */
	s = open_segment(&io, 4, schema);
	assert_int_equal(segment_verify(s, NULL), 0);
	for (uint32_t i = 0; i < schema->n_fields; i++)
		assert_non_null(segment_pindex(s, schema->fields[i].path.text));
	segment_close(s);
	/* A field that is defined anew does not get the old index. */
	schema->fields[0].type = FIELD_INTEGER;
	schema->fields[5].text.lowercase = false;
	schema->fields[6].text.stemmer = LANGUAGE_GERMAN;
	s = open_segment(&io, 4, schema);
	assert_null(segment_pindex(s, "kw"));
	assert_null(segment_pindex(s, "text"));
	assert_null(segment_pindex(s, schema->fields[6].path.text));
	assert_non_null(segment_pindex(s, "int"));
	segment_close(s);
	arena_free(rows.arena);
	collection_unref(bare);
	collection_unref(schema);
	memory_disk_free(disk);
}

/* A damaged block of an index or of the payloads is met in a query: it is noticed, and the index's answer is
 * made from the payloads instead. */
static void damage_met_in_a_query_is_noticed(void **state)
{
	struct collection *schema = random_schema(true);
	struct rows rows = random_rows(200, 11);
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	memory_disk_io(disk, &io);
	assert_int_equal(write_rows(&io, 1, schema, &rows, NULL), 0);
	struct arena *a = arena_new(4096);
	char path[SUM_PATH_BYTES];
	segment_path_pindex(path, 1, "kw");
	size_t n;
	uint8_t *bytes = memory_disk_bytes(disk, path, &n);
	assert_non_null(bytes);
	for (size_t at = 0; at < n; at += 37) {
		bytes[at] ^= 4;
		struct segment *s = NULL;
		int rc = segment_open(&io, 1, schema, &s, NULL);
		assert_true(rc == 0 || rc == ERR_CORRUPT);
		if (rc == 0) {
			struct world w = {.schema = schema, .rows = rows, .s = s};
			struct match_value red = {.kind = MATCH_STRING, .s = "red", .s_n = 3};
			struct cond c = {.type = COND_MATCH_ANY, .values = &red, .n_values = 1};
			assert_int_equal(path_parse("kw", 2, a, &c.path, NULL), 0);
			struct filter f = {.must = &c, .n_must = 1};
			assert_true(check_filter(&w, &f, NULL, schema) > 0);
			assert_true(segment_damaged(s));
			assert_int_equal(segment_verify(s, NULL), ERR_CORRUPT);
			segment_close(s);
		}
		bytes[at] ^= 4;
	}
	arena_free(a);
	arena_free(rows.arena);
	collection_unref(schema);
	memory_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_index_answers_as_the_reference),
		cmocka_unit_test(a_filter_answers_as_the_reference),
		cmocka_unit_test(wide_ranges_are_exact),
		cmocka_unit_test(facets_count_each_value),
		cmocka_unit_test(columns_are_sorted_and_whole),
		cmocka_unit_test(an_index_can_be_built_later),
		cmocka_unit_test(damage_met_in_a_query_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
