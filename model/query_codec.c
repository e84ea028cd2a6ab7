/* Codec of leaf searches and of their results. */
#include "base/assert.h"
#include "base/limits.h"
#include "model/query.h"
#include "model/wire.h"
#include <math.h>
#include <string.h>

enum { HIT_BYTES = ID_ENCODED_BYTES + 8 + 4 + 8 + 1 }; /* the least that a hit takes */
enum { HAS_PAYLOAD = 1, HAS_VECTORS = 2, HAS_ALL = 3 };

/* ---- leaf ---- */

static void put_params(struct buf *b, const struct search_params *p)
{
	buf_put_u32(b, p->ef);
	buf_put_u32(b, p->nprobe);
	wire_put_bool(b, p->exact);
	wire_put_bool(b, p->indexed_only);
	wire_put_bool(b, p->ignore_quantization);
	wire_put_bool(b, p->no_rescore);
	buf_put_f32(b, p->oversampling);
	buf_put_f32(b, p->min_recall);
	buf_put_u64(b, p->budget_us);
}

static void take_params(struct reader *r, struct search_params *p)
{
	p->ef = reader_u32(r);
	p->nprobe = reader_u32(r);
	p->exact = wire_bool(r);
	p->indexed_only = wire_bool(r);
	p->ignore_quantization = wire_bool(r);
	p->no_rescore = wire_bool(r);
	p->oversampling = wire_f32(r);
	p->min_recall = wire_f32(r);
	p->budget_us = reader_u64(r);
	if (p->ef > LIMIT_EF || !isfinite(p->oversampling) || !isfinite(p->min_recall))
		reader_fail(r);
}

void select_encode(struct buf *b, const struct select_payload *p, const struct select_vectors *v)
{
	wire_put_bool(b, p->enabled);
	wire_put_bool(b, p->exclude);
	wire_put_bool(b, p->none);
	buf_put_u32(b, p->n_paths);
	for (uint32_t i = 0; i < p->n_paths; i++)
		wire_put_path(b, &p->paths[i]);
	wire_put_bool(b, v->enabled);
	wire_put_bool(b, v->none);
	buf_put_u32(b, v->n_names);
	for (uint32_t i = 0; i < v->n_names; i++)
		buf_put_blob(b, v->names[i].name, v->names[i].n);
}

void select_decode(struct reader *r, struct arena *arena, struct select_payload *p,
		   struct select_vectors *v)
{
	p->enabled = wire_bool(r);
	p->exclude = wire_bool(r);
	p->none = wire_bool(r);
	p->n_paths = reader_count(r, 5);
	p->paths = arena_zalloc(arena, p->n_paths * sizeof(*p->paths));
	for (uint32_t i = 0; i < p->n_paths && reader_ok(r); i++)
		wire_path(r, arena, false, &p->paths[i]);
	v->enabled = wire_bool(r);
	v->none = wire_bool(r);
	v->n_names = reader_count(r, 4);
	v->names = arena_zalloc(arena, v->n_names * sizeof(*v->names));
	for (uint32_t i = 0; i < v->n_names && reader_ok(r); i++)
		v->names[i].name = wire_text(r, arena, LIMIT_NAME_BYTES, &v->names[i].n);
}

void leaf_encode(struct buf *b, const struct leaf *l)
{
	buf_put_u32(b, l->partition);
	wire_put_vector(b, &l->vector);
	wire_put_bool(b, l->idf != NULL);
	if (l->idf != NULL)
		buf_put(b, l->idf, l->vector.n * sizeof(float));
	filter_encode(b, l->filter);
	put_params(b, &l->params);
	buf_put_u32(b, l->top);
	wire_put_bool(b, l->has_threshold);
	buf_put_f32(b, l->threshold);
	select_encode(b, &l->payload, &l->vectors);
}

static void take_idf(struct reader *r, struct arena *arena, struct leaf *out)
{
	if (!wire_bool(r))
		return;
	const uint8_t *idf = reader_bytes(r, out->vector.n * sizeof(float));
	if (idf == NULL || out->vector.kind != VECTOR_SPARSE) {
		reader_fail(r);
		return;
	}
	out->idf = arena_copy(arena, idf, out->vector.n * sizeof(float));
	if (!vector_finite(out->idf, out->vector.n))
		reader_fail(r);
}

int leaf_decode(struct reader *r, struct arena *arena, struct leaf *out, struct error *err)
{
	struct filter *filter = NULL;
	*out = (struct leaf){0};
	out->partition = reader_u32(r);
	wire_vector(r, arena, &out->vector);
	take_idf(r, arena, out);
	filter_decode(r, arena, &filter, NULL);
	out->filter = filter;
	take_params(r, &out->params);
	out->top = reader_u32(r);
	out->has_threshold = wire_bool(r);
	out->threshold = wire_f32(r);
	select_decode(r, arena, &out->payload, &out->vectors);
	if (!reader_ok(r))
		return error_set(err, ERR_FORMAT, "a leaf search is malformed");
	return 0;
}

/* ---- hits ---- */

static void put_hit(struct buf *b, const struct hit *h)
{
	bool has_payload = h->payload.bytes != NULL;
	id_encode(b, &h->id);
	buf_put_u64(b, h->version);
	buf_put_f32(b, h->score);
	buf_put_f64(b, h->order_value);
	buf_put_u8(b,
		   (uint8_t)((has_payload ? HAS_PAYLOAD : 0) | (h->has_vectors ? HAS_VECTORS : 0)));
	if (has_payload)
		wire_put_slice(b, h->payload);
	if (!h->has_vectors)
		return;
	buf_put_u32(b, h->n_vectors);
	for (uint32_t i = 0; i < h->n_vectors; i++)
		wire_put_vector(b, &h->vectors[i]);
}

static void take_hit(struct reader *r, struct arena *arena, struct hit *h)
{
	h->id = id_decode(r);
	h->version = reader_u64(r);
	h->score = wire_f32(r);
	h->order_value = wire_f64(r);
	uint32_t has = wire_enum(r, HAS_ALL + 1);
	if (has & HAS_PAYLOAD) {
		h->payload = wire_slice(r, true);
		if (h->payload.n == 0)
			h->payload = PV_EMPTY_OBJECT;
	}
	h->has_vectors = (has & HAS_VECTORS) != 0;
	if (!h->has_vectors)
		return;
	h->n_vectors = reader_count(r, WIRE_VECTOR_BYTES);
	h->vectors = arena_zalloc(arena, h->n_vectors * sizeof(*h->vectors));
	for (uint32_t i = 0; i < h->n_vectors && reader_ok(r); i++)
		wire_vector(r, arena, &h->vectors[i]);
}

void hits_encode(struct buf *b, const struct hits *h)
{
	buf_put_u32(b, h->n);
	for (uint32_t i = 0; i < h->n; i++)
		put_hit(b, &h->items[i]);
}

int hits_decode(struct reader *r, struct arena *arena, struct hits *out, struct error *err)
{
	out->n = reader_count(r, HIT_BYTES);
	out->items = arena_zalloc(arena, out->n * sizeof(*out->items));
	for (uint32_t i = 0; i < out->n && reader_ok(r); i++)
		take_hit(r, arena, &out->items[i]);
	if (!reader_ok(r)) {
		out->n = 0;
		return error_set(err, ERR_FORMAT, "a list of results is malformed");
	}
	return 0;
}
