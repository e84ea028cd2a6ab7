/* Reading a payload index: opening it, and answering conditions exactly as cond_match() would.
 *
 * Where the index alone cannot tell (two strings in one text field, the order of the words of a phrase), it
 * narrows the rows down and cond_match() decides on their payloads. Where it cannot help, or
 * a block of it is damaged, the answer is 0 and the caller scans.
 */
#include "store/pindex.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "model/geo.h"
#include "model/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pindex {
	const struct segment *segment; /* for payloads that must be looked at */
	struct sum_file file;
	struct pindex_header header;
	struct arena *arena;      /* of the field's path */
	struct collection schema; /* just the one field, for cond_match() */
	struct payload_field field;
	const uint64_t *key_offsets;
	const uint8_t *keys;
	const struct pindex_list *lists;
	const uint8_t *postings;
	const uint64_t *maps;
	const double *numbers; /* one of the two */
	const int64_t *dates;
	const uint32_t *value_rows;
	const double *lats, *lons;
	const uint32_t *place_rows;
	const uint64_t *blocks;
	uint64_t postings_bytes;
};

/* ---- opening ---- */

static int read_header(struct pindex *p, uint32_t n_rows, struct error *err)
{
	uint64_t n = 0;
	const uint8_t *at = sum_section(&p->file, PINDEX_HEADER, &n);
	if (at == NULL || n < sizeof(p->header) || !sum_touch(&p->file, at, n))
		return error_set(err, ERR_CORRUPT, "the header of %s is damaged", p->file.path);
	memcpy(&p->header, at, sizeof(p->header));
	if (p->header.version != PINDEX_VERSION)
		return error_set(err, ERR_VERSION, "%s has format %u, this program reads format %d",
				 p->file.path, p->header.version, PINDEX_VERSION);
	if (p->header.path_n != n - sizeof(p->header) || p->header.n_rows != n_rows)
		return error_set(err, ERR_CORRUPT, "the header of %s does not make sense",
				 p->file.path);
	p->arena = arena_new(256);
	return path_parse((const char *)at + sizeof(p->header), p->header.path_n, p->arena,
			  &p->field.path, err);
}

static int find_sections(struct pindex *p, struct error *err)
{
	const struct pindex_header *h = &p->header;
	uint64_t keys_bytes = 0;
	const void *values = NULL;
	const struct {
		enum pindex_section section;
		uint64_t n;
		size_t each;
		const void **out;
	} arrays[] = {
		{PINDEX_KEY_OFFSETS, h->n_keys + 1ull, 8, (const void **)&p->key_offsets},
		{PINDEX_LISTS, h->n_keys, sizeof(*p->lists), (const void **)&p->lists},
		{PINDEX_MAPS, PINDEX_MAP_COUNT * bitset_words(h->n_rows), 8,
		 (const void **)&p->maps},
		{PINDEX_VALUES, h->n_values, 8, &values},
		{PINDEX_VALUE_ROWS, h->n_values, 4, (const void **)&p->value_rows},
		{PINDEX_LATITUDES, h->n_places, 8, (const void **)&p->lats},
		{PINDEX_LONGITUDES, h->n_places, 8, (const void **)&p->lons},
		{PINDEX_PLACE_ROWS, h->n_places, 4, (const void **)&p->place_rows},
		{PINDEX_BLOCKS, pindex_blocks(h->n_values) * bitset_words(h->n_rows), 8,
		 (const void **)&p->blocks},
	};
	int rc = 0;
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]) && rc == 0; i++)
		rc = sum_array(&p->file, arrays[i].section, arrays[i].n, arrays[i].each,
			       arrays[i].out, err);
	if (rc != 0)
		return rc;
	p->numbers = values;
	p->dates = values;
	p->keys = sum_section(&p->file, PINDEX_KEYS, &keys_bytes);
	p->postings = sum_section(&p->file, PINDEX_POSTINGS, &p->postings_bytes);
	return 0;
}

/* The index is for this field: the same options, for which the file has but a hash of some. */
static void set_schema(struct pindex *p, const struct payload_field *field)
{
	p->field.type = field->type;
	p->field.phrase = p->header.phrase != 0;
	text_options_copy(p->arena, &field->text, &p->field.text);
	p->schema.fields = &p->field;
	p->schema.n_fields = 1;
}

int pindex_open(const struct segment *s, const struct payload_field *field, struct pindex **out,
		struct error *err)
{
	char path[SUM_PATH_BYTES];
	struct pindex *p = mem_zalloc(sizeof(*p));
	*out = NULL;
	p->segment = s;
	segment_path_pindex(path, s->meta.id, field->path.text);
	struct sum_name name = {SUM_PINDEX, s->meta.id,
				hash64(field->path.text, strlen(field->path.text))};
	int rc = sum_open(&p->file, &s->io, path, name, err);
	if (rc == 0)
		rc = read_header(p, s->meta.n_rows, err);
	if (rc == 0)
		rc = find_sections(p, err);
	if (rc != 0 || !pindex_is_for(p, field)) {
		pindex_close(p); /* of an earlier definition of the field: will be built anew */
		return rc == ERR_NOT_FOUND ? 0 : rc;
	}
	set_schema(p, field);
	*out = p;
	return 0;
}

void pindex_close(struct pindex *p)
{
	if (p == NULL)
		return;
	sum_close(&p->file);
	arena_free(p->arena);
	free(p);
}

int pindex_verify(const struct pindex *p, struct error *err)
{
	return sum_verify(&p->file, err);
}

bool pindex_is_for(const struct pindex *p, const struct payload_field *field)
{
	const struct pindex_header *h = &p->header;
	if (h->type != (uint32_t)field->type || strcmp(p->field.path.text, field->path.text) != 0)
		return false;
	const struct text_options *text = &field->text;
	return field->type != FIELD_TEXT ||
	       (h->tokenizer == (uint32_t)text->tokenizer &&
		h->min_token_len == text->min_token_len &&
		h->max_token_len == text->max_token_len &&
		h->lowercase == (uint32_t)text->lowercase && h->extras == text_extras_hash(text));
}

const char *pindex_path_text(const struct pindex *p)
{
	return p->field.path.text;
}

uint64_t pindex_disk_bytes(const struct pindex *p)
{
	return p->file.map.n;
}

uint32_t pindex_points(const struct pindex *p)
{
	return p->header.n_points;
}

/* ---- keys and rows ---- */

static bool touch(const struct pindex *p, const void *at, uint64_t n)
{
	if (sum_touch(&p->file, at, n))
		return true;
	segment_set_damaged(p->segment);
	return false;
}

/* The tables that a look-up of a key walks through. */
static bool keys_good(const struct pindex *p)
{
	uint32_t n = p->header.n_keys;
	return touch(p, p->key_offsets, (n + 1ull) * 8) &&
	       touch(p, p->lists, n * sizeof(*p->lists)) && touch(p, p->keys, p->key_offsets[n]);
}

static int compare_key(const struct pindex *p, uint32_t i, const uint8_t *key, size_t n)
{
	size_t have_n = (size_t)(p->key_offsets[i + 1] - p->key_offsets[i]);
	int order = memcmp(p->keys + p->key_offsets[i], key, have_n < n ? have_n : n);
	return order != 0 ? order : have_n < n ? -1 : have_n > n;
}

static const struct pindex_list *find_list(const struct pindex *p, const uint8_t *key, size_t n)
{
	uint32_t lo = 0, hi = p->header.n_keys;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int order = compare_key(p, mid, key, n);
		if (order == 0)
			return &p->lists[mid];
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* Bytes of a list's rows; false when they are damaged. */
static bool list_good(const struct pindex *p, const struct pindex_list *l)
{
	uint64_t n = l->bitmap != 0 ? bitset_words(p->header.n_rows) * 8 : l->n * 4ull;
	return l->offset <= p->postings_bytes && n <= p->postings_bytes - l->offset &&
	       touch(p, p->postings + l->offset, n);
}

static const uint32_t *list_rows(const struct pindex *p, const struct pindex_list *l)
{
	return (const uint32_t *)(const void *)(p->postings + l->offset);
}

static struct bitset list_bitmap(const struct pindex *p, const struct pindex_list *l)
{
	return (struct bitset){(uint64_t *)(void *)(p->postings + l->offset), p->header.n_rows};
}

static struct bitset map_of(const struct pindex *p, enum pindex_map which)
{
	size_t words = bitset_words(p->header.n_rows);
	return (struct bitset){(uint64_t *)(void *)(p->maps + which * words), p->header.n_rows};
}

static bool maps_good(const struct pindex *p)
{
	return touch(p, p->maps, PINDEX_MAP_COUNT * bitset_words(p->header.n_rows) * 8);
}

static bool or_list(const struct pindex *p, const struct pindex_list *l, struct bitset *out)
{
	if (!list_good(p, l))
		return false;
	if (l->bitmap != 0) {
		struct bitset map = list_bitmap(p, l);
		bitset_or(out, &map);
		return true;
	}
	const uint32_t *rows = list_rows(p, l);
	for (uint32_t i = 0; i < l->n; i++)
		bitset_set(out, rows[i]);
	return true;
}

static bool and_list(const struct pindex *p, const struct pindex_list *l, struct bitset *out)
{
	if (l->bitmap != 0 && list_good(p, l)) {
		struct bitset map = list_bitmap(p, l);
		bitset_and(out, &map);
		return true;
	}
	struct bitset rows;
	bitset_init(&rows, out->n_bits, false);
	bool good = or_list(p, l, &rows);
	bitset_and(out, &rows);
	bitset_fini(&rows);
	return good;
}

/* Leaves in `out` the rows of `candidates` whose payload matches, beside those that it has already. */
static void decide_by_payload(const struct pindex *p, const struct cond *c,
			      const struct bitset *candidates, struct bitset *out)
{
	for (uint32_t row = bitset_next(candidates, 0); row < candidates->n_bits;
	     row = bitset_next(candidates, row + 1)) {
		struct pv_slice payload = segment_payload(p->segment, row);
		struct filter_point point = {.payload = pv_of(payload.bytes)};
		if (cond_match(c, &point, &p->schema))
			bitset_set(out, row);
		else
			bitset_unset(out, row);
	}
}

/* ---- matches ---- */

static const struct pindex_list *find_value(const struct pindex *p, const struct match_value *v,
					    struct buf *scratch)
{
	uint8_t key[9];
	switch (v->kind) {
	case MATCH_BOOL:
		key[0] = KEY_BOOL;
		key[1] = v->i != 0;
		return find_list(p, key, 2);
	case MATCH_INT: pindex_int_key(v->i, key); return find_list(p, key, sizeof(key));
	case MATCH_STRING:
		buf_clear(scratch);
		buf_put_u8(scratch, KEY_STRING);
		buf_put(scratch, v->s, v->s_n);
		return find_list(p, scratch->data, scratch->len);
	}
	return NULL;
}

static int eval_any(const struct pindex *p, const struct cond *c, struct bitset *out)
{
	struct buf scratch = BUF_INIT;
	bool good = keys_good(p);
	for (uint32_t i = 0; i < c->n_values && good; i++) {
		const struct pindex_list *l = find_value(p, &c->values[i], &scratch);
		good = l == NULL || or_list(p, l, out);
	}
	buf_fini(&scratch);
	return good;
}

/* Rows with a value that is not in the list. A row with one key matches unless that key is listed; with
 * several, it surely matches while fewer of them are listed than it has, so those with two listed or more are
 * looked at. */
static int eval_except(const struct pindex *p, const struct cond *c, struct bitset *out)
{
	if (!keys_good(p) || !maps_good(p))
		return 0;
	struct bitset has_key = map_of(p, MAP_HAS_KEY), other = map_of(p, MAP_HAS_OTHER);
	struct bitset multi = map_of(p, MAP_MULTI);
	struct bitset listed, twice, rows;
	struct buf scratch = BUF_INIT;
	bool good = true;
	bitset_init(&listed, out->n_bits, false);
	bitset_init(&twice, out->n_bits, false);
	bitset_init(&rows, out->n_bits, false);
	for (uint32_t i = 0; i < c->n_values && good; i++) {
		const struct pindex_list *l = find_value(p, &c->values[i], &scratch);
		if (l == NULL)
			continue;
		bitset_fill(&rows, false);
		good = or_list(p, l, &rows);
		bitset_or(&listed, &rows);
		bitset_and(&rows, &multi);
		bitset_or(&twice, &rows);
	}
	if (good) {
		bitset_or(out, &has_key);
		bitset_andnot(&listed, &twice);
		bitset_andnot(out, &listed);
		decide_by_payload(p, c, &twice, out);
		bitset_or(out, &other);
	}
	buf_fini(&scratch);
	bitset_fini(&listed);
	bitset_fini(&twice);
	bitset_fini(&rows);
	return good;
}

/* ---- ranges ---- */

/* First i in [0, n) for which `above(value i)` is true; it must be monotonic. */
#define FIRST(n, above)                                                                            \
	({                                                                                         \
		uint32_t lo_ = 0, hi_ = (n);                                                       \
		while (lo_ < hi_) {                                                                \
			uint32_t i = lo_ + (hi_ - lo_) / 2;                                        \
			if (above)                                                                 \
				hi_ = i;                                                           \
			else                                                                       \
				lo_ = i + 1;                                                       \
		}                                                                                  \
		lo_;                                                                               \
	})

/* The values in range are [*from, *to). Written so that a bound that is no number matches nothing. */
static void number_range(const struct pindex *p, const struct range *r, uint32_t *from,
			 uint32_t *to)
{
	const double *v = p->numbers;
	uint32_t n = p->header.n_values;
	*from = FIRST(n, (!r->has_gt || v[i] > r->gt) && (!r->has_gte || v[i] >= r->gte));
	*to = FIRST(n, !((!r->has_lt || v[i] < r->lt) && (!r->has_lte || v[i] <= r->lte)));
}

static void date_range(const struct pindex *p, const struct range *r, uint32_t *from, uint32_t *to)
{
	const int64_t *v = p->dates;
	uint32_t n = p->header.n_values;
	*from = FIRST(n, (!r->has_gt || v[i] > r->gt_us) && (!r->has_gte || v[i] >= r->gte_us));
	*to = FIRST(n, !((!r->has_lt || v[i] < r->lt_us) && (!r->has_lte || v[i] <= r->lte_us)));
}

static bool values_good(const struct pindex *p)
{
	return touch(p, p->numbers, p->header.n_values * 8ull) &&
	       touch(p, p->value_rows, p->header.n_values * 4ull);
}

/* Does the index have the values that this kind of range is about? */
static bool has_range(const struct pindex *p, const struct cond *c)
{
	enum field_type type = (enum field_type)p->header.type;
	return c->type == COND_RANGE ? pindex_has_numbers(type) : type == FIELD_DATETIME;
}

static void find_range(const struct pindex *p, const struct cond *c, uint32_t *from, uint32_t *to)
{
	if (c->type == COND_RANGE)
		number_range(p, &c->range, from, to);
	else
		date_range(p, &c->range, from, to);
}

static void set_values(const struct pindex *p, uint32_t from, uint32_t to, struct bitset *out)
{
	for (uint32_t i = from; i < to; i++)
		bitset_set(out, p->value_rows[i]);
}

/* Sets the rows of all values from *from to the end of the last whole block before `to`, and moves *from
 * there. false: a block is damaged. */
static bool set_blocks(const struct pindex *p, uint32_t *from, uint32_t to, struct bitset *out)
{
	uint32_t n = p->header.n_values, each = pindex_block_values(n);
	size_t words = bitset_words(p->header.n_rows);
	uint32_t first = (*from + each - 1) / each;
	uint32_t end = to == n ? pindex_blocks(n) : to / each;
	if (pindex_blocks(n) == 0 || first >= end)
		return true;
	for (uint32_t k = first; k < end; k++) {
		const uint64_t *block = p->blocks + k * words;
		struct bitset map = {(uint64_t *)(void *)block, p->header.n_rows};
		if (!touch(p, block, words * 8))
			return false;
		bitset_or(out, &map);
	}
	set_values(p, *from, first * each, out);
	*from = end * each < to ? end * each : to;
	return true;
}

static int eval_range(const struct pindex *p, const struct cond *c, struct bitset *out)
{
	uint32_t from, to;
	if (!has_range(p, c) || !values_good(p))
		return 0;
	find_range(p, c, &from, &to);
	if (from >= to)
		return 1;
	if (!set_blocks(p, &from, to, out))
		return 0;
	set_values(p, from, to, out);
	return 1;
}

bool pindex_column(const struct pindex *p, struct pindex_column *out)
{
	enum field_type type = (enum field_type)p->header.type;
	bool dates = type == FIELD_DATETIME;
	if ((!dates && !pindex_has_numbers(type)) || !values_good(p))
		return false;
	*out = (struct pindex_column){dates ? NULL : p->numbers, dates ? p->dates : NULL,
				      p->value_rows, p->header.n_values};
	return true;
}

/* ---- texts ---- */

struct token_eval {
	const struct pindex *p;
	bool any; /* one token is enough */
	struct bitset *out;
	uint32_t n; /* tokens so far */
	bool good;
	struct buf key;
};

static const struct pindex_list *find_token(struct token_eval *e, const char *token, size_t n)
{
	buf_clear(&e->key);
	buf_put_u8(&e->key, KEY_TOKEN);
	buf_put(&e->key, token, n);
	return find_list(e->p, e->key.data, e->key.len);
}

static void eval_token(void *ctx, const char *token, size_t n)
{
	struct token_eval *e = ctx;
	const struct pindex_list *l = find_token(e, token, n);
	bool first = e->n++ == 0;
	if (!e->good)
		return;
	if (l == NULL) {
		if (!e->any)
			bitset_fill(e->out, false);
	} else if (e->any || first) {
		e->good = or_list(e->p, l, e->out);
	} else {
		e->good = and_list(e->p, l, e->out);
	}
}

static int eval_text(const struct pindex *p, const struct cond *c, struct bitset *out)
{
	if (p->header.type != FIELD_TEXT || !keys_good(p) || !maps_good(p))
		return 0;
	struct token_eval e = {.p = p,
			       .any = c->type == COND_MATCH_TEXT_ANY,
			       .out = out,
			       .good = true};
	text_tokens(&p->field.text, c->text, c->text_n, true, eval_token, &e);
	buf_fini(&e.key);
	if (!e.good)
		return 0;
	if (c->type == COND_MATCH_TEXT_ANY || e.n == 0) /* without tokens nothing matches */
		return 1;
	struct bitset undecided;
	bitset_init(&undecided, out->n_bits, false);
	bitset_copy(&undecided, out);
	if (c->type == COND_MATCH_TEXT) { /* all tokens, but perhaps not in one string */
		struct bitset multi = map_of(p, MAP_MULTI);
		bitset_and(&undecided, &multi);
	}
	decide_by_payload(p, c, &undecided, out);
	bitset_fini(&undecided);
	return 1;
}

/* ---- places ---- */

/* Latitudes between which every match must lie, a little wider than needed. */
static void latitude_band(const struct cond *c, double *low, double *high)
{
	*low = INFINITY;
	*high = -INFINITY;
	if (c->type == COND_GEO_RADIUS) {
		double degrees = c->radius_m / 110000.0 + 1e-6; /* a degree is 110.5 km or more */
		*low = c->center.lat - degrees;
		*high = c->center.lat + degrees;
	} else if (c->type == COND_GEO_BOX) {
		*low = c->corner.lat;
		*high = c->center.lat;
	} else if (c->n_rings != 0) {
		for (uint32_t i = 0; i < c->rings[0].n; i++) {
			*low = fmin(*low, c->rings[0].points[i].lat);
			*high = fmax(*high, c->rings[0].points[i].lat);
		}
	}
	*low -= 1e-9;
	*high += 1e-9;
}

static bool places_good(const struct pindex *p)
{
	return touch(p, p->lats, p->header.n_places * 8ull) &&
	       touch(p, p->lons, p->header.n_places * 8ull) &&
	       touch(p, p->place_rows, p->header.n_places * 4ull);
}

static void place_range(const struct pindex *p, const struct cond *c, uint32_t *from, uint32_t *to)
{
	double low, high;
	latitude_band(c, &low, &high);
	*from = FIRST(p->header.n_places, p->lats[i] >= low);
	*to = FIRST(p->header.n_places, p->lats[i] > high);
}

static bool place_matches(const struct cond *c, const struct geo_point *at)
{
	if (c->type == COND_GEO_RADIUS)
		return geo_distance_m(&c->center, at) <= c->radius_m;
	if (c->type == COND_GEO_BOX)
		return geo_in_box(&c->center, &c->corner, at);
	return geo_in_polygon(c->rings, c->n_rings, at);
}

static int eval_geo(const struct pindex *p, const struct cond *c, struct bitset *out)
{
	uint32_t from, to;
	if (p->header.type != FIELD_GEO || !places_good(p))
		return 0;
	place_range(p, c, &from, &to);
	for (uint32_t i = from; i < to; i++) {
		struct geo_point at = {.lon = p->lons[i], .lat = p->lats[i]};
		if (place_matches(c, &at))
			bitset_set(out, p->place_rows[i]);
	}
	return 1;
}

/* ---- conditions ---- */

static int eval_map(const struct pindex *p, enum pindex_map which, struct bitset *out)
{
	if (!maps_good(p))
		return 0;
	struct bitset map = map_of(p, which);
	bitset_or(out, &map);
	return 1;
}

static bool same_path(const struct pindex *p, const struct cond *c)
{
	return c->path.text != NULL && strcmp(c->path.text, p->field.path.text) == 0;
}

int pindex_eval(const struct pindex *p, const struct cond *c, struct bitset *out)
{
	assert(out->n_bits == p->header.n_rows);
	if (!same_path(p, c))
		return 0;
	bool keys = pindex_has_keys((enum field_type)p->header.type);
	switch (c->type) {
	case COND_MATCH_ANY: return keys ? eval_any(p, c, out) : 0;
	case COND_MATCH_EXCEPT: return keys ? eval_except(p, c, out) : 0;
	case COND_MATCH_TEXT:
	case COND_MATCH_TEXT_ANY:
	case COND_MATCH_PHRASE: return eval_text(p, c, out);
	case COND_RANGE:
	case COND_DATETIME_RANGE: return eval_range(p, c, out);
	case COND_GEO_RADIUS:
	case COND_GEO_BOX:
	case COND_GEO_POLYGON: return eval_geo(p, c, out);
	case COND_IS_NULL: return eval_map(p, MAP_HAS_NULL, out);
	case COND_IS_EMPTY:
		if (!eval_map(p, MAP_HAS_VALUE, out))
			return 0;
		bitset_not(out);
		return 1;
	default: return 0;
	}
}

/* ---- facets ---- */

static uint32_t count_live(const struct pindex *p, const struct pindex_list *l,
			   const struct bitset *live)
{
	uint32_t count = 0;
	if (live == NULL)
		return l->n;
	if (l->bitmap != 0) {
		struct bitset map = list_bitmap(p, l);
		return bitset_count_both(&map, live);
	}
	const uint32_t *rows = list_rows(p, l);
	for (uint32_t i = 0; i < l->n; i++)
		count += bitset_get(live, rows[i]);
	return count;
}

/* The key as a payload value; false for a token of a text. */
static bool key_value(const uint8_t *key, size_t n, struct buf *out)
{
	buf_clear(out);
	if (key[0] == KEY_BOOL) {
		pv_put_bool(out, key[1] != 0);
		return true;
	}
	if (key[0] == KEY_INT) {
		uint64_t u = 0;
		for (int i = 0; i < 8; i++)
			u = u << 8 | key[1 + i];
		pv_put_int(out, (int64_t)(u ^ (1ull << 63)));
		return true;
	}
	if (key[0] == KEY_STRING) {
		pv_put_string(out, (const char *)key + 1, (uint32_t)(n - 1));
		return true;
	}
	return false;
}

int pindex_values(const struct pindex *p, const struct bitset *live,
		  void (*fn)(void *ctx, struct pv_slice value, uint32_t count), void *ctx)
{
	if (!keys_good(p))
		return ERR_CORRUPT;
	struct buf value = BUF_INIT;
	int rc = 0;
	for (uint32_t i = 0; i < p->header.n_keys && rc == 0; i++) {
		const uint8_t *key = p->keys + p->key_offsets[i];
		size_t n = (size_t)(p->key_offsets[i + 1] - p->key_offsets[i]);
		if (!key_value(key, n, &value))
			continue;
		if (!list_good(p, &p->lists[i])) {
			rc = ERR_CORRUPT;
			break;
		}
		uint32_t count = count_live(p, &p->lists[i], live);
		if (count != 0)
			fn(ctx, (struct pv_slice){value.data, (uint32_t)value.len}, count);
	}
	buf_fini(&value);
	return rc;
}
