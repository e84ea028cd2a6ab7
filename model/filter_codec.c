/* Codec of filters.
 *
 *   filter: u8 0 for none, else 1 and must, should, must_not, min_should (each u32 n, conditions),
 *           u32 min_count
 *   condition: u8 type, key path (types that look at the payload), then by type:
 *     MATCH_ANY, MATCH_EXCEPT   u32 n, values: u8 kind, then text or i64
 *     MATCH_TEXT..., PHRASE     text
 *     RANGE, VALUES_COUNT       u8 which bounds, f64 for each
 *     DATETIME_RANGE            u8 which bounds, i64 for each
 *     HAS_ID                    u32 n, ids
 *     HAS_VECTOR                text
 *     GEO_RADIUS                centre, f64 metres
 *     GEO_BOX                   top left, bottom right
 *     GEO_POLYGON               u32 n, rings: u32 n, points
 *     FILTER, NESTED            filter
 */
#include "base/assert.h"
#include "base/limits.h"
#include "model/filter.h"
#include "model/wire.h"

enum { COND_BYTES = 2, VALUE_BYTES = 5, GEO_BYTES = 16 }; /* the least that each takes */
enum { HAS_LT = 1, HAS_LTE = 2, HAS_GT = 4, HAS_GTE = 8, HAS_ALL = 15 };

static bool has_path(enum cond_type type)
{
	return type != COND_FILTER && type != COND_HAS_ID && type != COND_HAS_VECTOR;
}

/* ---- writing ---- */

static void put_filter(struct buf *b, const struct filter *f);

static void put_values(struct buf *b, const struct cond *c)
{
	buf_put_u32(b, c->n_values);
	for (uint32_t i = 0; i < c->n_values; i++) {
		const struct match_value *v = &c->values[i];
		buf_put_u8(b, (uint8_t)v->kind);
		if (v->kind == MATCH_STRING)
			buf_put_blob(b, v->s, v->s_n);
		else
			buf_put_u64(b, (uint64_t)v->i);
	}
}

static void put_range(struct buf *b, const struct range *r, bool datetime)
{
	const bool has[4] = {r->has_lt, r->has_lte, r->has_gt, r->has_gte};
	const double bounds[4] = {r->lt, r->lte, r->gt, r->gte};
	const int64_t bounds_us[4] = {r->lt_us, r->lte_us, r->gt_us, r->gte_us};
	unsigned which = 0;
	for (unsigned i = 0; i < 4; i++)
		which |= (unsigned)has[i] << i;
	buf_put_u8(b, (uint8_t)which);
	for (unsigned i = 0; i < 4; i++) {
		if (has[i] && datetime)
			buf_put_u64(b, (uint64_t)bounds_us[i]);
		else if (has[i])
			buf_put_f64(b, bounds[i]);
	}
}

static void put_geo_point(struct buf *b, const struct geo_point *p)
{
	buf_put_f64(b, p->lon);
	buf_put_f64(b, p->lat);
}

static void put_rings(struct buf *b, const struct cond *c)
{
	buf_put_u32(b, c->n_rings);
	for (uint32_t i = 0; i < c->n_rings; i++) {
		buf_put_u32(b, c->rings[i].n);
		for (uint32_t j = 0; j < c->rings[i].n; j++)
			put_geo_point(b, &c->rings[i].points[j]);
	}
}

static void put_cond(struct buf *b, const struct cond *c)
{
	assert(c->type < COND_TYPE_COUNT);
	buf_put_u8(b, (uint8_t)c->type);
	if (has_path(c->type))
		wire_put_path(b, &c->path);
	switch (c->type) {
	case COND_FILTER:
	case COND_NESTED: put_filter(b, c->filter); break;
	case COND_MATCH_ANY:
	case COND_MATCH_EXCEPT: put_values(b, c); break;
	case COND_MATCH_TEXT:
	case COND_MATCH_TEXT_ANY:
	case COND_MATCH_PHRASE:
	case COND_HAS_VECTOR: buf_put_blob(b, c->text, c->text_n); break;
	case COND_RANGE:
	case COND_VALUES_COUNT:
	case COND_DATETIME_RANGE: put_range(b, &c->range, c->type == COND_DATETIME_RANGE); break;
	case COND_HAS_ID:
		buf_put_u32(b, c->n_ids);
		for (uint32_t i = 0; i < c->n_ids; i++)
			id_encode(b, &c->ids[i]);
		break;
	case COND_GEO_RADIUS:
		put_geo_point(b, &c->center);
		buf_put_f64(b, c->radius_m);
		break;
	case COND_GEO_BOX:
		put_geo_point(b, &c->center);
		put_geo_point(b, &c->corner);
		break;
	case COND_GEO_POLYGON: put_rings(b, c); break;
	case COND_IS_EMPTY:
	case COND_IS_NULL:
	case COND_TYPE_COUNT: break;
	}
}

static void put_conds(struct buf *b, const struct cond *conds, uint32_t n)
{
	buf_put_u32(b, n);
	for (uint32_t i = 0; i < n; i++)
		put_cond(b, &conds[i]);
}

static void put_filter(struct buf *b, const struct filter *f)
{
	wire_put_bool(b, f != NULL);
	if (f == NULL)
		return;
	put_conds(b, f->must, f->n_must);
	put_conds(b, f->should, f->n_should);
	put_conds(b, f->must_not, f->n_must_not);
	put_conds(b, f->min_should, f->n_min_should);
	buf_put_u32(b, f->min_count);
}

void filter_encode(struct buf *b, const struct filter *f)
{
	put_filter(b, f);
}

/* ---- reading ---- */

struct decoder {
	struct reader *r;
	struct arena *arena;
	uint32_t conds; /* so far, in the whole tree */
	uint32_t depth;
};

static struct filter *take_filter(struct decoder *d);

static void take_values(struct decoder *d, struct cond *c)
{
	c->n_values = reader_count(d->r, VALUE_BYTES);
	c->values = arena_zalloc(d->arena, c->n_values * sizeof(*c->values));
	for (uint32_t i = 0; i < c->n_values && reader_ok(d->r); i++) {
		struct match_value *v = &c->values[i];
		v->kind = (enum match_kind)wire_enum(d->r, MATCH_BOOL + 1);
		if (v->kind == MATCH_STRING) {
			const uint8_t *s = reader_blob(d->r, &v->s_n);
			v->s = arena_strndup(d->arena, (const char *)s, v->s_n);
		} else {
			v->i = (int64_t)reader_u64(d->r);
			if (v->kind == MATCH_BOOL && v->i != 0 && v->i != 1)
				reader_fail(d->r);
		}
	}
}

static void take_range(struct reader *r, struct range *range, bool datetime)
{
	unsigned which = wire_enum(r, HAS_ALL + 1);
	double *const bounds[4] = {&range->lt, &range->lte, &range->gt, &range->gte};
	int64_t *const bounds_us[4] = {&range->lt_us, &range->lte_us, &range->gt_us,
				       &range->gte_us};
	range->has_lt = (which & HAS_LT) != 0;
	range->has_lte = (which & HAS_LTE) != 0;
	range->has_gt = (which & HAS_GT) != 0;
	range->has_gte = (which & HAS_GTE) != 0;
	for (unsigned i = 0; i < 4; i++) {
		if ((which >> i & 1) == 0)
			continue;
		if (datetime)
			*bounds_us[i] = (int64_t)reader_u64(r);
		else
			*bounds[i] = wire_f64(r);
	}
}

static struct geo_point take_geo_point(struct reader *r)
{
	struct geo_point p;
	p.lon = wire_f64(r);
	p.lat = wire_f64(r);
	return p;
}

static void take_rings(struct decoder *d, struct cond *c)
{
	c->n_rings = reader_count(d->r, 4);
	c->rings = arena_zalloc(d->arena, c->n_rings * sizeof(*c->rings));
	for (uint32_t i = 0; i < c->n_rings && reader_ok(d->r); i++) {
		struct geo_ring *ring = &c->rings[i];
		ring->n = reader_count(d->r, GEO_BYTES);
		ring->points = arena_alloc(d->arena, ring->n * sizeof(*ring->points));
		for (uint32_t j = 0; j < ring->n; j++)
			ring->points[j] = take_geo_point(d->r);
	}
}

static void take_ids(struct decoder *d, struct cond *c)
{
	c->n_ids = reader_count(d->r, ID_ENCODED_BYTES);
	c->ids = arena_alloc(d->arena, c->n_ids * sizeof(*c->ids));
	for (uint32_t i = 0; i < c->n_ids; i++)
		c->ids[i] = id_decode(d->r);
}

static void take_cond(struct decoder *d, struct cond *c)
{
	c->type = (enum cond_type)wire_enum(d->r, COND_TYPE_COUNT);
	if (has_path(c->type))
		wire_path(d->r, d->arena, false, &c->path);
	switch (c->type) {
	case COND_FILTER:
	case COND_NESTED: c->filter = take_filter(d); break;
	case COND_MATCH_ANY:
	case COND_MATCH_EXCEPT: take_values(d, c); break;
	case COND_MATCH_TEXT:
	case COND_MATCH_TEXT_ANY:
	case COND_MATCH_PHRASE:
	case COND_HAS_VECTOR:
		c->text = (const char *)reader_blob(d->r, &c->text_n);
		c->text = arena_strndup(d->arena, c->text, c->text_n);
		break;
	case COND_RANGE:
	case COND_VALUES_COUNT:
	case COND_DATETIME_RANGE:
		take_range(d->r, &c->range, c->type == COND_DATETIME_RANGE);
		break;
	case COND_HAS_ID: take_ids(d, c); break;
	case COND_GEO_RADIUS:
		c->center = take_geo_point(d->r);
		c->radius_m = wire_f64(d->r);
		break;
	case COND_GEO_BOX:
		c->center = take_geo_point(d->r);
		c->corner = take_geo_point(d->r);
		break;
	case COND_GEO_POLYGON: take_rings(d, c); break;
	case COND_IS_EMPTY:
	case COND_IS_NULL:
	case COND_TYPE_COUNT: break;
	}
}

static void take_conds(struct decoder *d, struct cond **out, uint32_t *n_out)
{
	uint32_t n = reader_count(d->r, COND_BYTES);
	if (n > LIMIT_FILTER_NODES - d->conds) {
		reader_fail(d->r);
		n = 0;
	}
	d->conds += n;
	*n_out = n;
	*out = arena_zalloc(d->arena, n * sizeof(**out));
	for (uint32_t i = 0; i < n && reader_ok(d->r); i++)
		take_cond(d, &(*out)[i]);
}

static struct filter *take_filter(struct decoder *d)
{
	if (!wire_bool(d->r))
		return NULL;
	struct filter *f = arena_zalloc(d->arena, sizeof(*f));
	if (++d->depth > LIMIT_FILTER_DEPTH)
		reader_fail(d->r);
	take_conds(d, &f->must, &f->n_must);
	take_conds(d, &f->should, &f->n_should);
	take_conds(d, &f->must_not, &f->n_must_not);
	take_conds(d, &f->min_should, &f->n_min_should);
	f->min_count = reader_u32(d->r);
	d->depth--;
	return f;
}

int filter_decode(struct reader *r, struct arena *arena, struct filter **out, struct error *err)
{
	struct decoder d = {.r = r, .arena = arena};
	struct filter *f = take_filter(&d);
	*out = NULL;
	if (!reader_ok(r))
		return error_set(err, ERR_FORMAT, "a filter is malformed");
	filter_prepare(f);
	*out = f;
	return 0;
}
