/* Building a payload index: one pass over the payloads collects (key, row) pairs, values and places; then
 * each is sorted and written. See pindex.h for the layout. */
#include "store/pindex.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "model/geo.h"
#include "model/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value_row {
	double number;
	int64_t date;
	uint32_t row;
};

struct place {
	double lat, lon;
	uint32_t row;
};

struct pair {
	uint32_t key;
	uint32_t row;
};

struct builder {
	const struct payload_field *field;
	uint32_t n_rows;
	uint32_t row; /* the one that is looked at */
	uint32_t n_points;
	/* keys: bytes one after the other, and a hash table over them */
	struct buf key_bytes;
	struct buf key_offsets; /* u64 per key and one more */
	uint32_t n_keys;
	uint32_t *table; /* key + 1; 0: free */
	size_t table_size;
	struct buf pairs; /* struct pair, rows ascending */
	struct bitset maps[PINDEX_MAP_COUNT];
	struct buf values; /* struct value_row */
	struct buf places; /* struct place */
	/* of the present row */
	bool typed;            /* has a value of the field's type */
	uint32_t strings;      /* text: how many strings */
	size_t row_first_pair; /* index of its first pair */
	struct buf scratch;
};

void pindex_int_key(int64_t v, uint8_t out[9])
{
	uint64_t u = (uint64_t)v ^ (1ull << 63);
	out[0] = KEY_INT;
	for (int i = 0; i < 8; i++)
		out[1 + i] = (uint8_t)(u >> (56 - 8 * i));
}

/* ---- keys ---- */

static const uint8_t *key_at(const struct builder *b, uint32_t key, size_t *n)
{
	const uint64_t *offsets = (const uint64_t *)(const void *)b->key_offsets.data;
	*n = (size_t)(offsets[key + 1] - offsets[key]);
	return b->key_bytes.data + offsets[key];
}

static void table_insert(struct builder *b, uint32_t key)
{
	size_t n;
	const uint8_t *bytes = key_at(b, key, &n);
	size_t i = hash64(bytes, n) & (b->table_size - 1);
	while (b->table[i] != 0)
		i = (i + 1) & (b->table_size - 1);
	b->table[i] = key + 1;
}

static void table_grow(struct builder *b)
{
	b->table_size = b->table_size == 0 ? 1024 : b->table_size * 2;
	free(b->table);
	b->table = mem_array(b->table_size, sizeof(*b->table));
	for (uint32_t key = 0; key < b->n_keys; key++)
		table_insert(b, key);
}

static uint32_t find_or_add_key(struct builder *b, const uint8_t *bytes, size_t n)
{
	if ((size_t)b->n_keys * 2 >= b->table_size)
		table_grow(b);
	size_t i = hash64(bytes, n) & (b->table_size - 1);
	for (; b->table[i] != 0; i = (i + 1) & (b->table_size - 1)) {
		size_t have_n;
		const uint8_t *have = key_at(b, b->table[i] - 1, &have_n);
		if (have_n == n && memcmp(have, bytes, n) == 0)
			return b->table[i] - 1;
	}
	assert(b->n_keys < UINT32_MAX - 1);
	buf_put(&b->key_bytes, bytes, n);
	buf_put_u64(&b->key_offsets, b->key_bytes.len);
	b->table[i] = ++b->n_keys;
	return b->n_keys - 1;
}

static void add_key(struct builder *b, const uint8_t *bytes, size_t n)
{
	uint32_t key = find_or_add_key(b, bytes, n);
	struct pair *pairs = (struct pair *)(void *)b->pairs.data;
	size_t n_pairs = b->pairs.len / sizeof(*pairs);
	/* Few keys a row as a rule; texts have many, and sort_pairs() drops what is missed here. */
	for (size_t i = b->row_first_pair; i < n_pairs && i < b->row_first_pair + 16; i++)
		if (pairs[i].key == key)
			return;
	struct pair pair = {key, b->row};
	buf_put(&b->pairs, &pair, sizeof(pair));
}

static void add_string_key(struct builder *b, uint8_t kind, const char *s, size_t n)
{
	buf_clear(&b->scratch);
	buf_put_u8(&b->scratch, kind);
	buf_put(&b->scratch, s, n);
	add_key(b, b->scratch.data, b->scratch.len);
}

static void add_token(void *ctx, const char *token, size_t n)
{
	add_string_key(ctx, KEY_TOKEN, token, n);
}

/* ---- values ---- */

static void add_scalar_key(struct builder *b, struct pv v)
{
	enum field_type type = b->field->type;
	uint8_t key[9];
	uint32_t n = 0;
	switch (pv_type(v)) {
	case PV_FALSE:
	case PV_TRUE:
		key[0] = KEY_BOOL;
		key[1] = pv_type(v) == PV_TRUE;
		add_key(b, key, 2);
		b->typed |= type == FIELD_BOOL;
		break;
	case PV_INT:
		pindex_int_key(pv_int(v), key);
		add_key(b, key, sizeof(key));
		b->typed |= type == FIELD_INTEGER;
		break;
	case PV_STRING: {
		const char *s = pv_string(v, &n);
		add_string_key(b, KEY_STRING, s, n);
		b->typed |= type == FIELD_KEYWORD || type == FIELD_UUID;
		break;
	}
	default: bitset_set(&b->maps[MAP_HAS_OTHER], b->row); break;
	}
}

static void add_number(struct builder *b, struct pv v)
{
	double number;
	if (!pv_number(v, &number))
		return;
	struct value_row value = {.number = number, .row = b->row};
	buf_put(&b->values, &value, sizeof(value));
	b->typed |= b->field->type == FIELD_FLOAT;
}

static void add_date(struct builder *b, struct pv v)
{
	uint32_t n = 0;
	int64_t date = 0;
	if (pv_type(v) != PV_STRING)
		return;
	const char *s = pv_string(v, &n);
	if (!datetime_parse(s, n, &date))
		return;
	struct value_row value = {.date = date, .row = b->row};
	buf_put(&b->values, &value, sizeof(value));
	b->typed = true;
}

static void add_place(struct builder *b, struct pv v)
{
	struct geo_point at;
	if (!geo_point_of(v, &at))
		return;
	struct place place = {at.lat, at.lon, b->row};
	buf_put(&b->places, &place, sizeof(place));
	b->typed = true;
}

static void add_text(struct builder *b, struct pv v)
{
	uint32_t n = 0;
	if (pv_type(v) != PV_STRING)
		return;
	const char *s = pv_string(v, &n);
	text_tokens(&b->field->text, s, n, false, add_token, b);
	b->strings++;
	b->typed = true;
}

static void add_element(struct builder *b, struct pv v)
{
	if (pv_type(v) == PV_NULL) {
		bitset_set(&b->maps[MAP_HAS_NULL], b->row);
		return;
	}
	if (pindex_has_keys(b->field->type))
		add_scalar_key(b, v);
	if (pindex_has_numbers(b->field->type))
		add_number(b, v);
	switch (b->field->type) {
	case FIELD_DATETIME: add_date(b, v); break;
	case FIELD_GEO: add_place(b, v); break;
	case FIELD_TEXT: add_text(b, v); break;
	default: break;
	}
}

static bool add_value(void *ctx, struct pv v)
{
	struct builder *b = ctx;
	bool empty = pv_type(v) == PV_NULL || (pv_type(v) == PV_ARRAY && pv_count(v) == 0);
	if (!empty)
		bitset_set(&b->maps[MAP_HAS_VALUE], b->row);
	if (pv_type(v) != PV_ARRAY) {
		add_element(b, v);
		return false;
	}
	struct pv_iter it = pv_iterate(v);
	while (pv_next(&it))
		add_element(b, it.value);
	return false;
}

static void add_row(struct builder *b, uint32_t row, struct pv_slice payload)
{
	b->row = row;
	b->typed = false;
	b->strings = 0;
	b->row_first_pair = b->pairs.len / sizeof(struct pair);
	path_visit(&b->field->path, pv_of(payload.bytes), add_value, b);
	size_t n_pairs = b->pairs.len / sizeof(struct pair) - b->row_first_pair;
	if (n_pairs != 0)
		bitset_set(&b->maps[MAP_HAS_KEY], row);
	if (b->field->type == FIELD_TEXT ? b->strings > 1 : n_pairs > 1)
		bitset_set(&b->maps[MAP_MULTI], row);
	b->n_points += b->typed;
}

/* ---- sorting and writing ---- */

static int by_key_bytes(const void *a, const void *b, void *ctx)
{
	size_t n, m;
	const uint8_t *x = key_at(ctx, *(const uint32_t *)a, &n);
	const uint8_t *y = key_at(ctx, *(const uint32_t *)b, &m);
	int order = memcmp(x, y, n < m ? n : m);
	return order != 0 ? order : n < m ? -1 : n > m;
}

static int write_keys(struct builder *b, struct sum_writer *f, const uint32_t *sorted,
		      struct error *err)
{
	struct buf offsets = BUF_INIT, bytes = BUF_INIT;
	buf_put_u64(&offsets, 0);
	for (uint32_t i = 0; i < b->n_keys; i++) {
		size_t n;
		const uint8_t *key = key_at(b, sorted[i], &n);
		buf_put(&bytes, key, n);
		buf_put_u64(&offsets, bytes.len);
	}
	int rc = sum_put(f, offsets.data, offsets.len, err);
	if (rc == 0)
		rc = sum_put(f, bytes.data, bytes.len, err);
	buf_fini(&offsets);
	buf_fini(&bytes);
	return rc;
}

/* Rows grouped by key, ascending: a counting sort, since the pairs come in the order of rows. starts: of
 * each key's rows in the result, filled here (n_keys + 1). Returns the rows; duplicates stay. */
static uint32_t *group_pairs(const struct builder *b, size_t *starts)
{
	const struct pair *pairs = (const struct pair *)(const void *)b->pairs.data;
	size_t n = b->pairs.len / sizeof(*pairs);
	uint32_t *rows = mem_array(n, sizeof(*rows));
	for (size_t i = 0; i < n; i++)
		starts[pairs[i].key + 1]++;
	for (uint32_t k = 0; k < b->n_keys; k++)
		starts[k + 1] += starts[k];
	size_t *at = mem_copy(starts, (b->n_keys + 1ull) * sizeof(*starts));
	for (size_t i = 0; i < n; i++)
		rows[at[pairs[i].key]++] = pairs[i].row;
	free(at);
	return rows;
}

static void put_posting(struct buf *lists, struct buf *postings, uint32_t n_rows, uint32_t *rows,
			size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++)
		if (i == 0 || rows[i] != rows[i - 1])
			rows[kept++] = rows[i];
	size_t bitmap_bytes = bitset_words(n_rows) * 8;
	struct pindex_list list = {postings->len, (uint32_t)kept, kept * 4 > bitmap_bytes};
	buf_put(lists, &list, sizeof(list));
	if (list.bitmap == 0) {
		buf_put(postings, rows, kept * sizeof(*rows));
		if (kept % 2 != 0)
			buf_put_u32(postings, 0);
		return;
	}
	uint64_t *words = (uint64_t *)(void *)buf_extend(postings, bitmap_bytes);
	memset(words, 0, bitmap_bytes);
	for (size_t i = 0; i < kept; i++)
		words[rows[i] / 64] |= 1ull << (rows[i] % 64);
}

static int write_postings(struct builder *b, struct sum_writer *f, const uint32_t *sorted,
			  struct error *err)
{
	struct buf lists = BUF_INIT, postings = BUF_INIT;
	size_t *starts = mem_array(b->n_keys + 1ull, sizeof(*starts));
	uint32_t *rows = group_pairs(b, starts);
	for (uint32_t i = 0; i < b->n_keys; i++) {
		size_t from = starts[sorted[i]], to = starts[sorted[i] + 1];
		put_posting(&lists, &postings, b->n_rows, rows + from, to - from);
	}
	free(starts);
	free(rows);
	int rc = sum_put(f, lists.data, lists.len, err);
	if (rc == 0)
		rc = sum_put(f, postings.data, postings.len, err);
	buf_fini(&lists);
	buf_fini(&postings);
	return rc;
}

static int by_number(const void *a, const void *b)
{
	const struct value_row *x = a, *y = b;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static int by_date(const void *a, const void *b)
{
	const struct value_row *x = a, *y = b;
	if (x->date != y->date)
		return x->date < y->date ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static int write_values(struct builder *b, struct sum_writer *f, struct error *err)
{
	struct value_row *v = (struct value_row *)(void *)b->values.data;
	size_t n = b->values.len / sizeof(*v);
	bool dates = b->field->type == FIELD_DATETIME;
	struct buf values = BUF_INIT, rows = BUF_INIT;
	if (n > 1)
		qsort(v, n, sizeof(*v), dates ? by_date : by_number);
	for (size_t i = 0; i < n; i++) {
		if (dates)
			buf_put_u64(&values, (uint64_t)v[i].date);
		else
			buf_put_f64(&values, v[i].number);
		buf_put_u32(&rows, v[i].row);
	}
	int rc = sum_put(f, values.data, values.len, err);
	if (rc == 0)
		rc = sum_put(f, rows.data, rows.len, err);
	buf_fini(&values);
	buf_fini(&rows);
	return rc;
}

static int by_latitude(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->lat != y->lat)
		return x->lat < y->lat ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static int write_places(struct builder *b, struct sum_writer *f, struct error *err)
{
	struct place *p = (struct place *)(void *)b->places.data;
	size_t n = b->places.len / sizeof(*p);
	struct buf lats = BUF_INIT, lons = BUF_INIT, rows = BUF_INIT;
	if (n > 1)
		qsort(p, n, sizeof(*p), by_latitude);
	for (size_t i = 0; i < n; i++) {
		buf_put_f64(&lats, p[i].lat);
		buf_put_f64(&lons, p[i].lon);
		buf_put_u32(&rows, p[i].row);
	}
	int rc = sum_put(f, lats.data, lats.len, err);
	if (rc == 0)
		rc = sum_put(f, lons.data, lons.len, err);
	if (rc == 0)
		rc = sum_put(f, rows.data, rows.len, err);
	buf_fini(&lats);
	buf_fini(&lons);
	buf_fini(&rows);
	return rc;
}

static int write_blocks(struct builder *b, struct sum_writer *f, struct error *err)
{
	const struct value_row *v = (const struct value_row *)(const void *)b->values.data;
	uint32_t n = (uint32_t)(b->values.len / sizeof(*v)), each = pindex_block_values(n);
	struct bitset rows;
	int rc = 0;
	bitset_init(&rows, b->n_rows, false);
	sum_begin(f);
	for (uint32_t k = 0; k < pindex_blocks(n) && rc == 0; k++) {
		bitset_fill(&rows, false);
		for (uint32_t i = k * each; i < n && i < (k + 1) * each; i++)
			bitset_set(&rows, v[i].row);
		rc = sum_write(f, rows.words, bitset_words(b->n_rows) * 8, err);
	}
	bitset_fini(&rows);
	return rc;
}

static int write_header(struct builder *b, struct sum_writer *f, struct error *err)
{
	const struct payload_field *field = b->field;
	struct pindex_header h = {
		.version = PINDEX_VERSION,
		.type = field->type,
		.tokenizer = field->text.tokenizer,
		.min_token_len = field->text.min_token_len,
		.max_token_len = field->text.max_token_len,
		.lowercase = field->text.lowercase,
		.extras = text_extras_hash(&field->text),
		.phrase = field->phrase,
		.n_rows = b->n_rows,
		.n_points = b->n_points,
		.n_keys = b->n_keys,
		.n_values = (uint32_t)(b->values.len / sizeof(struct value_row)),
		.n_places = (uint32_t)(b->places.len / sizeof(struct place)),
		.path_n = (uint32_t)strlen(field->path.text),
	};
	sum_begin(f);
	int rc = sum_write(f, &h, sizeof(h), err);
	if (rc == 0)
		rc = sum_write(f, field->path.text, h.path_n, err);
	return rc;
}

static int write_maps(struct builder *b, struct sum_writer *f, struct error *err)
{
	int rc = 0;
	sum_begin(f);
	for (int i = 0; i < PINDEX_MAP_COUNT && rc == 0; i++)
		rc = sum_write(f, b->maps[i].words, bitset_words(b->n_rows) * 8, err);
	return rc;
}

static int write_all(struct builder *b, struct sum_writer *f, struct error *err)
{
	uint32_t *sorted = mem_array(b->n_keys, sizeof(*sorted));
	for (uint32_t i = 0; i < b->n_keys; i++)
		sorted[i] = i;
	if (b->n_keys > 1)
		qsort_r(sorted, b->n_keys, sizeof(*sorted), by_key_bytes, b);
	int rc = write_header(b, f, err);
	if (rc == 0)
		rc = write_keys(b, f, sorted, err);
	if (rc == 0)
		rc = write_postings(b, f, sorted, err);
	if (rc == 0)
		rc = write_maps(b, f, err);
	if (rc == 0)
		rc = write_values(b, f, err);
	if (rc == 0)
		rc = write_places(b, f, err);
	if (rc == 0)
		rc = write_blocks(b, f, err); /* of the values, which are sorted now */
	free(sorted);
	return rc;
}

static void builder_fini(struct builder *b)
{
	buf_fini(&b->key_bytes);
	buf_fini(&b->key_offsets);
	buf_fini(&b->pairs);
	buf_fini(&b->values);
	buf_fini(&b->places);
	buf_fini(&b->scratch);
	free(b->table);
	for (int i = 0; i < PINDEX_MAP_COUNT; i++)
		bitset_fini(&b->maps[i]);
}

int pindex_write(const struct store_io *io, uint64_t segment_id, const struct pindex_source *source,
		 const struct payload_field *field, struct error *err)
{
	struct builder b = {.field = field, .n_rows = source->n_rows};
	for (int i = 0; i < PINDEX_MAP_COUNT; i++)
		bitset_init(&b.maps[i], b.n_rows, false);
	buf_put_u64(&b.key_offsets, 0);
	for (uint32_t row = 0; row < b.n_rows; row++)
		add_row(&b, row, source->payload(source->ctx, row));

	char path[SUM_PATH_BYTES], temporary[SUM_PATH_BYTES + 4];
	segment_path_pindex(path, segment_id, field->path.text);
	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	struct sum_name name = {SUM_PINDEX, segment_id,
				hash64(field->path.text, strlen(field->path.text))};
	struct sum_writer f;
	int rc = sum_create(&f, io, temporary, name, err);
	if (rc != 0)
		goto out;
	rc = write_all(&b, &f, err);
	if (rc == 0)
		rc = sum_finish(&f, NULL, err);
	sum_abort(&f);
	if (rc == 0)
		rc = io->rename(io->ctx, temporary, path, err);
	if (rc != 0)
		io->remove(io->ctx, temporary, NULL);
out:
	builder_fini(&b);
	return rc != 0 ? error_wrap(err, rc, "write the index of field %s", field->path.text) : 0;
}
