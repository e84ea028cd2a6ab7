/* Random schemas, payloads and conditions, small in variety so that they meet often. */
#pragma once
#include "tests/unit/unit.h"
#include "base/memory.h"
#include "base/prng.h"
#include "model/filter.h"
#include "store/io_fault.h"
#include "store/io_memory.h"
#include "store/store.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- schema ---- */

/* Paths of indexed fields, and two that never are. */
static const char *const FIELD_PATHS[] = {
	"kw",   "int", "float", "bool", "geo", "text", "prefix", "date",
	"uuid", "o.k", "a[].k", "a.n",  "a.t", "free", "o.free", "kw.x",
};
enum { N_PATHS = 16, N_INDEXED = 13 };

static inline void set_field(struct collection *c, uint32_t i, enum field_type type)
{
	struct payload_field *f = &c->fields[i];
	*f = (struct payload_field){.type = type, .text.lowercase = true};
	assert_int_equal(path_parse(FIELD_PATHS[i], strlen(FIELD_PATHS[i]), c->arena, &f->path,
				    NULL),
			 0);
}

static inline struct collection *random_schema(bool indexed)
{
	static const enum field_type types[N_INDEXED] = {
		FIELD_KEYWORD, FIELD_INTEGER, FIELD_FLOAT,    FIELD_BOOL, FIELD_GEO,
		FIELD_TEXT,    FIELD_TEXT,    FIELD_DATETIME, FIELD_UUID, FIELD_KEYWORD,
		FIELD_KEYWORD, FIELD_INTEGER, FIELD_TEXT};
	struct collection *c = collection_new();
	c->id = 7;
	c->name = "c";
	c->spaces = arena_zalloc(c->arena, 2 * sizeof(*c->spaces));
	c->n_spaces = 2;
	c->spaces[0] = (struct vector_space){.name = "", .dim = 3};
	c->spaces[1] = (struct vector_space){.name = "image", .dim = 17};
	c->sparse = arena_zalloc(c->arena, sizeof(*c->sparse));
	c->n_sparse = 1;
	c->sparse[0] = (struct sparse_space){.name = "words"};
	if (!indexed)
		return c;
	c->fields = arena_zalloc(c->arena, N_INDEXED * sizeof(*c->fields));
	c->n_fields = N_INDEXED;
	for (uint32_t i = 0; i < N_INDEXED; i++)
		set_field(c, i, types[i]);
	c->fields[6].text.tokenizer = TOKENIZER_PREFIX;
	c->fields[6].text.max_token_len = 4;
	c->fields[12].text.min_token_len = 2;
	c->fields[12].text.ascii_folding = true;
	c->fields[12].text.stemmer = LANGUAGE_ENGLISH;
	c->fields[12].text.stop_languages = 1u << LANGUAGE_ENGLISH;
	return c;
}

/* ---- payloads ---- */

static const char *const WORDS[] = {"red", "Red",  "green", "blue", "",      "b\xC3\xA4r",
				    "0",   "true", "the",   "bar",  "Greens"};
enum { N_WORDS = sizeof(WORDS) / sizeof(WORDS[0]) };
static const char *const DATES[] = {"2024-01-01T00:00:00Z", "2024-01-01",
				    "2024-06-01T12:00:00+02:00", "2025-02-03 04:05:06", "no date"};

static inline void put_words(struct buf *b, struct prng *p)
{
	struct buf text = BUF_INIT;
	buf_put_u8(&text, ' ');
	for (uint64_t i = prng_below(p, 6); i > 0; i--)
		buf_printf(&text, "%s%s", WORDS[prng_below(p, N_WORDS)],
			   prng_below(p, 8) == 0 ? ", " : " ");
	pv_put_string(b, (const char *)text.data, (uint32_t)text.len);
	buf_fini(&text);
}

static inline void put_geo(struct buf *b, struct prng *p)
{
	size_t mark = pv_open(b, PV_OBJECT);
	uint32_t n = 0;
	if (prng_below(p, 10) != 0) {
		pv_put_key(b, "lon", 3);
		pv_put_double(b, (double)prng_below(p, 400) - 200);
		n++;
	}
	pv_put_key(b, "lat", 3);
	if (prng_below(p, 5) == 0)
		pv_put_int(b, (int64_t)prng_below(p, 200) - 100);
	else
		pv_put_double(b, prng_unit(p) * 180 - 90);
	pv_close(b, mark, n + 1);
}

static inline void put_scalar(struct buf *b, struct prng *p)
{
	const char *s;
	switch (prng_below(p, 14)) {
	case 0: pv_put_null(b); break;
	case 1: pv_put_bool(b, prng_below(p, 2) == 0); break;
	case 2:
	case 3: pv_put_int(b, (int64_t)prng_below(p, 12) - 3); break;
	case 4: pv_put_int(b, prng_below(p, 2) == 0 ? INT64_MAX : INT64_MIN); break;
	case 5: pv_put_double(b, (double)prng_below(p, 24) / 2 - 3); break;
	case 6: pv_put_uint(b, UINT64_MAX - prng_below(p, 2)); break;
	case 7: pv_put_raw(b, "1e400", 5); break;
	case 8:
		s = DATES[prng_below(p, 5)];
		pv_put_string(b, s, (uint32_t)strlen(s));
		break;
	case 9: put_geo(b, p); break;
	case 10: put_words(b, p); break;
	default:
		s = WORDS[prng_below(p, N_WORDS)];
		pv_put_string(b, s, (uint32_t)strlen(s));
		break;
	}
}

static inline void put_object(struct buf *b, struct prng *p, int depth);

static inline void put_any(struct buf *b, struct prng *p, int depth)
{
	uint64_t what = prng_below(p, 10);
	if (what >= 4 || depth > 3) {
		put_scalar(b, p);
	} else if (what >= 2) {
		size_t mark = pv_open(b, PV_ARRAY);
		uint32_t n = (uint32_t)prng_below(p, 4);
		for (uint32_t i = 0; i < n; i++)
			put_any(b, p, depth + 1);
		pv_close(b, mark, n);
	} else {
		put_object(b, p, depth + 1);
	}
}

static inline void put_object(struct buf *b, struct prng *p, int depth)
{
	static const char *const KEYS[] = {"kw",     "int",  "float", "bool", "geo", "text",
					   "prefix", "date", "uuid",  "o",    "a",   "free",
					   "k",      "n",    "t",     "x"};
	size_t mark = pv_open(b, PV_OBJECT);
	uint32_t n = 0;
	for (size_t i = 0; i < 16; i++) {
		if (prng_below(p, depth == 0 ? 2 : 3) != 0)
			continue;
		pv_put_key(b, KEYS[i], (uint32_t)strlen(KEYS[i]));
		if (i == 4 && prng_below(p, 2) == 0)
			put_geo(b, p);
		else
			put_any(b, p, depth);
		n++;
	}
	pv_close(b, mark, n);
}

/* ---- conditions ---- */

static inline void random_values(struct cond *c, struct arena *a, struct prng *p)
{
	c->n_values = (uint32_t)prng_below(p, 4);
	c->values = arena_zalloc(a, c->n_values * sizeof(*c->values));
	for (uint32_t i = 0; i < c->n_values; i++) {
		struct match_value *v = &c->values[i];
		v->kind = (enum match_kind)prng_below(p, 3);
		if (v->kind == MATCH_STRING) {
			v->s = WORDS[prng_below(p, N_WORDS)];
			v->s_n = (uint32_t)strlen(v->s);
		} else {
			v->i = v->kind == MATCH_BOOL ? (int64_t)prng_below(p, 2)
						     : (int64_t)prng_below(p, 12) - 3;
			if (v->kind == MATCH_INT && prng_below(p, 10) == 0)
				v->i = INT64_MIN;
		}
	}
}

static inline void random_range(struct range *r, struct prng *p)
{
	const int64_t day = 86400ll * 1000000;
	int64_t base = 1704067200ll * 1000000;
	r->has_lt = prng_below(p, 3) == 0;
	r->has_lte = prng_below(p, 4) == 0;
	r->has_gt = prng_below(p, 3) == 0;
	r->has_gte = prng_below(p, 4) == 0;
	r->lt = (double)prng_below(p, 24) / 2 - 3;
	r->lte = prng_below(p, 10) == 0 ? INFINITY : (double)prng_below(p, 12);
	r->gt = prng_below(p, 20) == 0 ? NAN : (double)prng_below(p, 12) - 6;
	r->gte = (double)prng_below(p, 24) / 2 - 9;
	r->lt_us = base + (int64_t)prng_below(p, 500) * day;
	r->lte_us = base + (int64_t)prng_below(p, 3) * day;
	r->gt_us = base - (int64_t)prng_below(p, 2) * day;
	r->gte_us = base + (int64_t)prng_below(p, 400) * day;
}

static inline void random_geo(struct cond *c, struct arena *a, struct prng *p)
{
	c->center = (struct geo_point){(double)prng_below(p, 360) - 180, prng_unit(p) * 180 - 90};
	c->corner = (struct geo_point){(double)prng_below(p, 360) - 180,
				       c->center.lat - prng_unit(p) * 60};
	c->radius_m = prng_unit(p) * 1e7;
	c->n_rings = 1 + (uint32_t)prng_below(p, 2);
	c->rings = arena_zalloc(a, c->n_rings * sizeof(*c->rings));
	for (uint32_t i = 0; i < c->n_rings; i++) {
		c->rings[i].n = 3 + (uint32_t)prng_below(p, 4);
		c->rings[i].points = arena_zalloc(a, c->rings[i].n * sizeof(struct geo_point));
		for (uint32_t k = 0; k < c->rings[i].n; k++)
			c->rings[i].points[k] = (struct geo_point){prng_unit(p) * 360 - 180,
								   prng_unit(p) * 180 - 90};
	}
}

static inline void random_text(struct cond *c, struct arena *a, struct prng *p)
{
	c->text = "";
	for (uint64_t i = prng_below(p, 4); i > 0; i--)
		c->text =
			arena_printf(a, "%s%s%s", c->text, c->text[0] != 0 ? " " : "",
				     prng_below(p, 5) == 0 ? "gr" : WORDS[prng_below(p, N_WORDS)]);
	c->text_n = (uint32_t)strlen(c->text);
}

static inline struct filter *random_filter(struct arena *a, struct prng *p, uint32_t n_rows,
					   int depth);

static inline struct cond random_cond(struct arena *a, struct prng *p, uint32_t n_rows, int depth)
{
	struct cond c = {.type = (enum cond_type)prng_below(p, COND_TYPE_COUNT)};
	while ((c.type == COND_FILTER || c.type == COND_NESTED) && depth > 2)
		c.type = (enum cond_type)prng_below(p, COND_TYPE_COUNT);
	const char *path = FIELD_PATHS[prng_below(p, N_PATHS)];
	if (c.type == COND_NESTED)
		path = prng_below(p, 2) == 0 ? "a" : "o";
	assert_int_equal(path_parse(path, strlen(path), a, &c.path, NULL), 0);
	random_values(&c, a, p);
	random_range(&c.range, p);
	random_geo(&c, a, p);
	random_text(&c, a, p);
	if (c.type == COND_HAS_VECTOR) {
		static const char *const NAMES[] = {"", "image", "words", "none"};
		c.text = NAMES[prng_below(p, 4)];
		c.text_n = (uint32_t)strlen(c.text);
	}
	c.n_ids = (uint32_t)prng_below(p, 5);
	c.ids = arena_zalloc(a, c.n_ids * sizeof(*c.ids));
	for (uint32_t i = 0; i < c.n_ids; i++)
		c.ids[i] = id_from_u64(prng_below(p, n_rows * 2ull + 1));
	if (c.type == COND_FILTER || c.type == COND_NESTED)
		c.filter = random_filter(a, p, n_rows, depth + 1);
	return c;
}

static inline struct cond *random_conds(struct arena *a, struct prng *p, uint32_t n_rows, int depth,
					uint32_t *n)
{
	*n = prng_below(p, 2) == 0 ? 0 : (uint32_t)prng_below(p, 4);
	struct cond *conds = arena_zalloc(a, *n * sizeof(*conds));
	for (uint32_t i = 0; i < *n; i++)
		conds[i] = random_cond(a, p, n_rows, depth);
	return conds;
}

static inline struct filter *random_filter(struct arena *a, struct prng *p, uint32_t n_rows,
					   int depth)
{
	struct filter *f = arena_zalloc(a, sizeof(*f));
	f->must = random_conds(a, p, n_rows, depth, &f->n_must);
	f->should = random_conds(a, p, n_rows, depth, &f->n_should);
	f->must_not = random_conds(a, p, n_rows, depth, &f->n_must_not);
	f->min_should = random_conds(a, p, n_rows, depth, &f->n_min_should);
	f->min_count = (uint32_t)prng_below(p, 4);
	return f;
}

/* ---- segments ---- */

/* What was written to a segment, to compare with. Row r has id 2r (shuffled by `order`). */
struct rows {
	uint32_t n;
	struct point_id *ids;
	uint64_t *versions;
	float (*dense0)[3];
	float (*dense1)[17];
	bool *has0, *has1;
	struct vector *sparse; /* n = 0: none */
	struct pv_slice *payloads;
	struct arena *arena;
};

static inline struct rows random_rows(uint32_t n, uint64_t seed)
{
	struct prng p;
	struct buf b = BUF_INIT;
	prng_seed(&p, seed);
	struct rows r = {.n = n, .arena = arena_new(1 << 16)};
	r.ids = arena_zalloc(r.arena, n * sizeof(*r.ids));
	r.versions = arena_zalloc(r.arena, n * sizeof(*r.versions));
	r.dense0 = arena_zalloc(r.arena, n * sizeof(*r.dense0));
	r.dense1 = arena_zalloc(r.arena, n * sizeof(*r.dense1));
	r.has0 = arena_zalloc(r.arena, n);
	r.has1 = arena_zalloc(r.arena, n);
	r.sparse = arena_zalloc(r.arena, n * sizeof(*r.sparse));
	r.payloads = arena_zalloc(r.arena, n * sizeof(*r.payloads));
	for (uint32_t i = 0; i < n; i++) {
		r.ids[i] = id_from_u64(2ull * ((i * 7919ull) % n));
		if (prng_below(&p, 3) == 0)
			r.ids[i] = (struct point_id){prng_u64(&p), i, ID_UUID, 0};
		r.versions[i] = prng_u64(&p);
		r.has0[i] = seed % 2 == 0 || prng_below(&p, 3) != 0;
		r.has1[i] = prng_below(&p, 4) == 0;
		for (int k = 0; k < 3; k++)
			r.dense0[i][k] = prng_gauss(&p);
		for (int k = 0; k < 17; k++)
			r.dense1[i][k] = prng_gauss(&p);
		uint32_t m = (uint32_t)prng_below(&p, 5);
		uint32_t *indices = arena_alloc(r.arena, m * 4), index = 0;
		float *values = arena_alloc(r.arena, m * 4);
		for (uint32_t k = 0; k < m; k++) {
			index += 1 + (uint32_t)prng_below(&p, 6);
			indices[k] = index;
			values[k] = prng_gauss(&p);
		}
		r.sparse[i] = (struct vector){VECTOR_SPARSE, 0, m, values, indices};
		buf_clear(&b);
		put_object(&b, &p, 0);
		bool none = prng_below(&p, 20) == 0;
		r.payloads[i] = none ? (struct pv_slice){NULL, 0}
				     : (struct pv_slice){arena_copy(r.arena, b.data, b.len),
							 (uint32_t)b.len};
	}
	buf_fini(&b);
	return r;
}

static inline int write_rows(const struct store_io *io, uint64_t id,
			     const struct collection *schema, const struct rows *r,
			     struct error *err)
{
	struct segment_writer *w = NULL;
	int rc = segment_writer_new(io, id, schema, &w, err);
	if (rc != 0)
		return rc;
	for (uint32_t i = 0; i < r->n && rc == 0; i++) {
		const float *dense[2] = {r->has0[i] ? r->dense0[i] : NULL,
					 r->has1[i] ? r->dense1[i] : NULL};
		struct segment_row row = {r->ids[i], r->versions[i], dense, &r->sparse[i],
					  r->payloads[i]};
		rc = segment_writer_add(w, &row, err);
	}
	if (rc == 0)
		rc = segment_writer_finish(w, err);
	segment_writer_free(w);
	return rc;
}

static inline struct segment *open_segment(const struct store_io *io, uint64_t id,
					   const struct collection *schema)
{
	struct segment *s = NULL;
	struct error err = {0};
	if (segment_open(io, id, schema, &s, &err) != 0)
		fail_msg("%s", err.text);
	return s;
}

/* The point as the reference evaluation sees it. */
static inline struct filter_point point_of(const struct rows *r, uint32_t i)
{
	struct pv_slice payload = r->payloads[i].n != 0 ? r->payloads[i] : PV_EMPTY_OBJECT;
	return (struct filter_point){&r->ids[i], pv_of(payload.bytes),
				     (uint64_t)r->has0[i] | (uint64_t)r->has1[i] << 1,
				     r->sparse[i].n != 0};
}
