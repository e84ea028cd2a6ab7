/* Reads of points without a score: by id, pages, counts, facets. */
#include "api/render.h"
#include "api/request.h"

#include <inttypes.h>
#include <string.h>

/* ---- retrieve ---- */

static void retrieve_done(struct coord_call *call)
{
	struct coord_retrieve *retrieve = (struct coord_retrieve *)call;
	struct api_request *r = call->ctx;

	if (!request_succeeded(r, call))
		return;
	render_hits(respond_begin(r), r->collection, &retrieve->hits, 0);
	respond_ok(r);
}

static int parse_retrieve(struct parse *p, const struct json *v, struct coord_retrieve *out)
{
	static const char *const known[] = {"ids",          "with_payload",  "with_vector",
					    "with_vectors", "allow_partial", NULL};
	struct point_id *ids = NULL;
	int rc = parse_object(p, "body", "a retrieval", v, known);

	out->payload.enabled = true;
	if (rc == 0)
		rc = parse_ids(p, "ids", json_get(v, "ids"), &ids, &out->n_ids);
	out->ids = ids;
	if (rc == 0)
		rc = parse_select(p, v, &out->payload, &out->vectors);
	return rc;
}

void handle_retrieve(struct api_request *r)
{
	struct coord_retrieve *retrieve = arena_zalloc(r->arena, sizeof(*retrieve));
	struct parse p = request_parse(r);
	int rc;

	request_call(r, &retrieve->call, retrieve_done, r);
	rc = parse_retrieve(&p, r->body, retrieve);
	parse_fini(&p);
	if (rc != 0)
		respond_error(r, rc);
	else if (retrieve->n_ids == 0)
		retrieve_done(&retrieve->call);
	else
		coord_retrieve(r->api->options.coord, retrieve);
}

static void retrieve_one_done(struct coord_call *call)
{
	struct coord_retrieve *retrieve = (struct coord_retrieve *)call;
	struct api_request *r = call->ctx;
	char text[ID_TEXT_BYTES];

	if (!request_succeeded(r, call))
		return;
	if (retrieve->hits.n == 0) {
		id_format(&retrieve->ids[0], text);
		respond_error(r, error_set(&r->err, ERR_NOT_FOUND,
					   "Point with id %s does not exists!", text));
		return;
	}
	render_hit(respond_begin(r), r->collection, &retrieve->hits.items[0], 0);
	respond_ok(r);
}

void handle_retrieve_one(struct api_request *r)
{
	struct coord_retrieve *retrieve = arena_zalloc(r->arena, sizeof(*retrieve));
	struct point_id *id = arena_alloc(r->arena, sizeof(*id));
	int rc = id_parse_text(r->args[1], strlen(r->args[1]), id, &r->err);

	if (rc != 0) {
		respond_error(r, ERR_INPUT);
		return;
	}
	request_call(r, &retrieve->call, retrieve_one_done, r);
	retrieve->ids = id;
	retrieve->n_ids = 1;
	retrieve->payload.enabled = true;
	retrieve->vectors.enabled = true;
	coord_retrieve(r->api->options.coord, retrieve);
}

/* ---- scroll ---- */

static void scroll_done(struct coord_call *call)
{
	struct coord_scroll *scroll = (struct coord_scroll *)call;
	struct api_request *r = call->ctx;
	bool by_value = scroll->scroll.order == SCROLL_BY_VALUE;
	char text[ID_TEXT_BYTES];
	struct buf *b;

	if (!request_succeeded(r, call))
		return;
	b = respond_begin(r);
	json_put_literal(b, "{\"points\":");
	render_hits(b, r->collection, &scroll->hits, by_value ? RENDER_ORDER_VALUE : 0);
	json_put_literal(b, ",\"next_page_offset\":");
	if (!scroll->has_next || by_value) {
		json_put_literal(b, "null");
	} else if (scroll->next.kind == ID_INT) {
		json_put_u64(b, scroll->next.lo);
	} else {
		size_t n = id_format(&scroll->next, text);

		json_put_string(b, text, n);
	}
	json_put_literal(b, "}");
	respond_ok(r);
}

static int parse_scroll_order(struct parse *p, const struct json *v, struct rpc_scroll_request *out)
{
	struct query order = {0};
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_order_by(p, v, &order);
	out->order = SCROLL_BY_VALUE;
	out->order_path = order.order_path;
	out->desc = order.order_desc;
	out->has_start_from = order.has_start_from;
	out->start_from = order.start_from;
	return rc;
}

static int parse_scroll(struct parse *p, const struct json *v, struct coord_scroll *out)
{
	static const char *const known[] = {"offset",      "limit",         "filter",
					    "with_vector", "with_vectors",  "with_payload",
					    "order_by",    "allow_partial", NULL};
	static const struct u64_range limit = {"limit", NULL, 1, UINT64_MAX};
	struct rpc_scroll_request *s = &out->scroll;
	struct filter *filter = NULL;
	int rc = parse_object(p, "body", "a scroll", v, known);

	out->limit = 10;
	s->payload.enabled = true;
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &limit, &out->limit);
	if (rc == 0)
		rc = parse_filter(p, json_get(v, "filter"), &filter);
	s->filter = filter;
	if (rc == 0)
		rc = parse_select(p, v, &s->payload, &s->vectors);
	if (rc == 0)
		rc = parse_scroll_order(p, json_get(v, "order_by"), s);
	s->has_offset = json_get(v, "offset") != NULL;
	if (rc == 0 && s->has_offset)
		rc = parse_id(p, json_get(v, "offset"), &s->offset);
	if (rc == 0 && s->has_offset && s->order == SCROLL_BY_VALUE)
		rc = error_set(p->err, ERR_INPUT,
			       "offset cannot be used with order_by; use order_by.start_from");
	return rc;
}

void handle_scroll(struct api_request *r)
{
	struct coord_scroll *scroll = arena_zalloc(r->arena, sizeof(*scroll));
	struct parse p = request_parse(r);
	int rc;

	request_call(r, &scroll->call, scroll_done, r);
	rc = parse_scroll(&p, r->body, scroll);
	parse_fini(&p);
	if (rc != 0)
		respond_error(r, rc);
	else
		coord_scroll(r->api->options.coord, scroll);
}

/* ---- count ---- */

static void count_done(struct coord_call *call)
{
	struct coord_count *count = (struct coord_count *)call;
	struct api_request *r = call->ctx;
	struct buf *b;

	if (!request_succeeded(r, call))
		return;
	b = respond_begin(r);
	json_put_literal(b, "{\"count\":");
	json_put_u64(b, count->count);
	json_put_literal(b, "}");
	respond_ok(r);
}

static int parse_count(struct parse *p, const struct json *v, struct coord_count *out)
{
	static const char *const known[] = {"filter", "exact", "allow_partial", NULL};
	struct filter *filter = NULL;
	int rc = parse_object(p, "body", "a count", v, known);

	out->exact = true;
	if (rc == 0)
		rc = parse_filter(p, json_get(v, "filter"), &filter);
	out->filter = filter;
	if (rc == 0)
		rc = parse_bool_field(p, v, "exact", &out->exact);
	return rc;
}

void handle_count(struct api_request *r)
{
	struct coord_count *count = arena_zalloc(r->arena, sizeof(*count));
	struct parse p = request_parse(r);
	int rc;

	request_call(r, &count->call, count_done, r);
	rc = parse_count(&p, r->body, count);
	parse_fini(&p);
	if (rc != 0)
		respond_error(r, rc);
	else
		coord_count(r->api->options.coord, count);
}

/* ---- facet ---- */

static void facet_done(struct coord_call *call)
{
	struct coord_facet *facet = (struct coord_facet *)call;
	struct api_request *r = call->ctx;
	struct buf *b;

	if (!request_succeeded(r, call))
		return;
	b = respond_begin(r);
	json_put_literal(b, "{\"hits\":[");
	for (uint32_t i = 0; i < facet->n_values; i++) {
		if (i > 0)
			json_put_literal(b, ",");
		json_put_literal(b, "{\"value\":");
		json_from_pv(b, pv_of(facet->values[i].value.bytes));
		json_put_literal(b, ",\"count\":");
		json_put_u64(b, facet->values[i].count);
		json_put_literal(b, "}");
	}
	json_put_literal(b, "]}");
	respond_ok(r);
}

/* `exact` needs no look: counts are always exact. */
static int parse_facet(struct parse *p, const struct json *v, struct coord_facet *out)
{
	static const char *const known[] = {"key",   "limit",         "filter",
					    "exact", "allow_partial", NULL};
	static const struct u64_range limit = {"limit", NULL, 1, UINT64_MAX};
	struct filter *filter = NULL;
	bool exact;
	int rc = parse_object(p, "body", "a facet", v, known);

	out->limit = 10;
	if (rc == 0)
		rc = parse_path(p, "key", json_get(v, "key"), &out->path);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &limit, &out->limit);
	if (rc == 0)
		rc = parse_bool_field(p, v, "exact", &exact);
	if (rc == 0)
		rc = parse_filter(p, json_get(v, "filter"), &filter);
	out->filter = filter;
	return rc;
}

void handle_facet(struct api_request *r)
{
	struct coord_facet *facet = arena_zalloc(r->arena, sizeof(*facet));
	struct parse p = request_parse(r);
	int rc;

	request_call(r, &facet->call, facet_done, r);
	rc = parse_facet(&p, r->body, facet);
	parse_fini(&p);
	if (rc != 0)
		respond_error(r, rc);
	else
		coord_facet(r->api->options.coord, facet);
}
