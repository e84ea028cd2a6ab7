/* Points, scores and receipts as JSON text. */
#include "api/render.h"

#include <math.h>
#include <string.h>

static void put_id(struct buf *b, const struct point_id *id)
{
	char text[ID_TEXT_BYTES];
	size_t n;

	if (id->kind == ID_INT) {
		json_put_u64(b, id->lo);
		return;
	}
	n = id_format(id, text);
	json_put_string(b, text, n);
}

static const char *vector_name(const struct collection *c, const struct vector *v)
{
	return v->kind == VECTOR_DENSE ? c->spaces[v->space].name : c->sparse[v->space].name;
}

static void put_vector(struct buf *b, const struct vector *v)
{
	if (v->kind == VECTOR_DENSE) {
		json_put_floats(b, v->values, v->n);
		return;
	}
	json_put_literal(b, "{\"indices\":[");
	for (uint32_t i = 0; i < v->n; i++) {
		if (i > 0)
			json_put_literal(b, ",");
		json_put_u64(b, v->indices[i]);
	}
	json_put_literal(b, "],\"values\":");
	json_put_floats(b, v->values, v->n);
	json_put_literal(b, "}");
}

/* The unnamed vector alone is a bare list; anything else a map of names. */
static void put_vectors(struct buf *b, const struct collection *c, const struct hit *hit)
{
	const struct vector *v = hit->vectors;

	if (hit->n_vectors == 1 && v->kind == VECTOR_DENSE && vector_name(c, v)[0] == 0) {
		put_vector(b, v);
		return;
	}
	json_put_literal(b, "{");
	for (uint32_t i = 0; i < hit->n_vectors; i++) {
		const char *name = vector_name(c, &v[i]);

		if (i > 0)
			json_put_literal(b, ",");
		json_put_string(b, name, strlen(name));
		json_put_literal(b, ":");
		put_vector(b, &v[i]);
	}
	json_put_literal(b, "}");
}

/* Whole numbers without a point: they were integers, or dates in microseconds. */
static void put_order_value(struct buf *b, double v)
{
	if (v == floor(v) && fabs(v) < 9007199254740992.0)
		json_put_i64(b, (int64_t)v);
	else
		json_put_double(b, v);
}

void render_hit(struct buf *b, const struct collection *c, const struct hit *hit, unsigned flags)
{
	json_put_literal(b, "{\"id\":");
	put_id(b, &hit->id);
	if ((flags & RENDER_SCORE) != 0) {
		json_put_literal(b, ",\"version\":");
		json_put_u64(b, hit->version);
		json_put_literal(b, ",\"score\":");
		json_put_float(b, isfinite(hit->score) ? hit->score : 0.0f);
	}
	if (hit->payload.bytes != NULL) {
		json_put_literal(b, ",\"payload\":");
		if (hit->payload.n == 0)
			json_put_literal(b, "{}");
		else
			json_from_pv(b, pv_of(hit->payload.bytes));
	}
	if (hit->has_vectors) {
		json_put_literal(b, ",\"vector\":");
		put_vectors(b, c, hit);
	}
	if ((flags & RENDER_ORDER_VALUE) != 0) {
		json_put_literal(b, ",\"order_value\":");
		put_order_value(b, hit->order_value);
	}
	json_put_literal(b, "}");
}

void render_hits(struct buf *b, const struct collection *c, const struct hits *hits, unsigned flags)
{
	json_put_literal(b, "[");
	for (uint32_t i = 0; i < hits->n; i++) {
		if (i > 0)
			json_put_literal(b, ",");
		render_hit(b, c, &hits->items[i], flags);
	}
	json_put_literal(b, "]");
}

static const char *plan_name(enum search_plan plan)
{
	switch (plan) {
	case PLAN_NONE: return "none";
	case PLAN_EXACT: return "exact";
	case PLAN_GRAPH: return "graph";
	case PLAN_IVF: return "ivf";
	case PLAN_SPARSE: return "sparse";
	}
	return "unknown";
}

static void put_bool(struct buf *b, bool v)
{
	if (v)
		json_put_literal(b, "true");
	else
		json_put_literal(b, "false");
}

static void put_partition_receipt(struct buf *b, const struct partition_receipt *p)
{
	const char *plan = plan_name(p->leaf.plan);

	json_put_literal(b, "{\"partition\":");
	json_put_u64(b, p->partition);
	json_put_literal(b, ",\"node\":");
	json_put_u64(b, p->node);
	json_put_literal(b, ",\"answered\":");
	put_bool(b, p->answered);
	json_put_literal(b, ",\"degraded\":");
	put_bool(b, p->degraded);
	json_put_literal(b, ",\"applied_seq\":");
	json_put_u64(b, p->leaf.applied_seq);
	json_put_literal(b, ",\"plan\":");
	json_put_string(b, plan, strlen(plan));
	json_put_literal(b, ",\"ef\":");
	json_put_u64(b, p->leaf.ef);
	json_put_literal(b, ",\"candidates\":");
	json_put_u64(b, p->leaf.candidates);
	json_put_literal(b, ",\"cut\":");
	put_bool(b, p->leaf.cut);
	json_put_literal(b, ",\"incomplete\":");
	put_bool(b, p->leaf.incomplete);
	json_put_literal(b, "}");
}

static void put_receipt(struct buf *b, const struct query_result *result)
{
	json_put_literal(b, "{\"complete\":");
	put_bool(b, result->complete);
	json_put_literal(b, ",\"partitions\":[");
	for (uint32_t i = 0; i < result->n_receipts; i++) {
		if (i > 0)
			json_put_literal(b, ",");
		put_partition_receipt(b, &result->receipts[i]);
	}
	json_put_literal(b, "]}");
}

void render_receipt(struct buf *b, const struct query_result *results, uint32_t n, bool list)
{
	json_put_literal(b, ",\"receipt\":");
	if (!list) {
		put_receipt(b, &results[0]);
		return;
	}
	json_put_literal(b, "[");
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			json_put_literal(b, ",");
		put_receipt(b, &results[i]);
	}
	json_put_literal(b, "]");
}
