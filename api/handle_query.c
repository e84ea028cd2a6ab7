/* Searches: points/query and the older routes, one at a time, in batches, and in groups. */
#include "api/render.h"
#include "api/request.h"

#include <string.h>

typedef int (*parse_query_fn)(struct parse *p, const struct json *v, struct query *out);

struct search {
	struct coord_query query;
	struct api_request *r;
	bool list;    /* the answer is a list of results (a batch) */
	bool wrapped; /* {"points": [..]} around the hits */
};

static int parse_one_search(struct parse *p, const struct json *v, struct query *out)
{
	return parse_search(p, v, out, NULL);
}

static int parse_one_recommend(struct parse *p, const struct json *v, struct query *out)
{
	return parse_recommend(p, v, out, NULL);
}

static void put_result(struct search *s, struct buf *b, uint32_t i)
{
	unsigned flags = RENDER_SCORE;

	if (s->query.queries[i].kind == QUERY_ORDER_BY)
		flags |= RENDER_ORDER_VALUE;
	if (s->wrapped)
		json_put_literal(b, "{\"points\":");
	render_hits(b, s->r->collection, &s->query.results[i].hits, flags);
	if (s->wrapped)
		json_put_literal(b, "}");
}

/* The first query that failed, or -1. */
static int64_t first_failure(const struct search *s)
{
	for (uint32_t i = 0; i < s->query.n_queries; i++)
		if (s->query.results[i].rc != 0)
			return i;
	return -1;
}

/* Whoever gets less than everything is told so, asked for or not. */
static bool wants_receipt(const struct search *s)
{
	bool wanted = s->r->receipt;

	for (uint32_t i = 0; i < s->query.n_queries; i++)
		wanted = wanted || !s->query.results[i].complete;
	return wanted;
}

static void search_done(struct coord_call *call)
{
	struct search *s = call->ctx;
	struct api_request *r = s->r;
	struct buf *b;
	int64_t failed;

	if (!request_succeeded(r, call))
		return;
	failed = first_failure(s);
	if (failed >= 0) {
		r->err = s->query.results[failed].err;
		respond_error(r, s->query.results[failed].rc);
		return;
	}
	b = respond_begin(r);
	if (s->list)
		json_put_literal(b, "[");
	for (uint32_t i = 0; i < s->query.n_queries; i++) {
		if (i > 0)
			json_put_literal(b, ",");
		put_result(s, b, i);
	}
	if (s->list)
		json_put_literal(b, "]");
	if (wants_receipt(s))
		render_receipt(b, s->query.results, s->query.n_queries, s->list);
	respond_ok(r);
}

static struct search *new_search(struct api_request *r, uint32_t n, bool wrapped)
{
	struct search *s = arena_zalloc(r->arena, sizeof(*s));

	request_call(r, &s->query.call, search_done, s);
	s->r = r;
	s->wrapped = wrapped;
	s->query.n_queries = n;
	s->query.queries = arena_zalloc(r->arena, n * sizeof(struct query));
	return s;
}

static void run_one(struct api_request *r, parse_query_fn parse_fn, bool wrapped)
{
	struct search *s = new_search(r, 1, wrapped);
	struct parse p = request_parse(r);
	int rc = parse_fn(&p, r->body, (struct query *)s->query.queries);

	parse_fini(&p);
	if (rc != 0)
		respond_error(r, rc);
	else
		coord_query(r->api->options.coord, &s->query);
}

static int parse_searches(struct parse *p, const struct json *v, parse_query_fn parse_fn,
			  struct search *s)
{
	struct query *queries = (struct query *)s->query.queries;
	struct json_iter it = json_iterate(v);
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && json_next(&it); i++) {
		if (json_get(it.value, "allow_partial") != NULL)
			rc = error_set(p->err, ERR_UNSUPPORTED,
				       "the field `allow_partial` of one search of a batch");
		if (rc == 0)
			rc = parse_fn(p, it.value, &queries[i]);
		if (rc != 0)
			return error_wrap(p->err, rc, "searches[%u]", i);
	}
	return 0;
}

static void run_batch(struct api_request *r, parse_query_fn parse_fn, bool wrapped)
{
	static const char *const known[] = {"searches", "allow_partial", NULL};
	struct parse p = request_parse(r);
	struct search *s = NULL;
	const struct json *list = NULL;
	int rc = parse_object(&p, "body", "a batch", r->body, known);

	if (rc == 0) {
		list = json_get(r->body, "searches");
		rc = parse_is_array(&p, "searches", list);
	}
	if (rc == 0 && json_count(list) > LIMIT_BATCH_SEARCHES)
		rc = error_set(&r->err, ERR_INPUT, "%zu searches in one request, at most %d",
			       json_count(list), LIMIT_BATCH_SEARCHES);
	if (rc == 0) {
		s = new_search(r, (uint32_t)json_count(list), wrapped);
		s->list = true;
		rc = parse_searches(&p, list, parse_fn, s);
	}
	parse_fini(&p);
	if (rc != 0)
		respond_error(r, rc);
	else if (s->query.n_queries == 0)
		search_done(&s->query.call);
	else
		coord_query(r->api->options.coord, &s->query);
}

void handle_query(struct api_request *r)
{
	run_one(r, parse_query, true);
}

void handle_query_batch(struct api_request *r)
{
	run_batch(r, parse_query, true);
}

void handle_search(struct api_request *r)
{
	run_one(r, parse_one_search, false);
}

void handle_search_batch(struct api_request *r)
{
	run_batch(r, parse_one_search, false);
}

void handle_recommend(struct api_request *r)
{
	run_one(r, parse_one_recommend, false);
}

void handle_recommend_batch(struct api_request *r)
{
	run_batch(r, parse_one_recommend, false);
}

/* ---- groups ---- */

typedef int (*parse_groups_fn)(struct parse *p, const struct json *v, struct query *out,
			       struct group_spec *groups);

static void groups_done(struct coord_call *call)
{
	struct coord_groups *groups = (struct coord_groups *)call;
	struct api_request *r = call->ctx;
	struct buf *b;

	if (!request_succeeded(r, call))
		return;
	b = respond_begin(r);
	json_put_literal(b, "{\"groups\":[");
	for (uint32_t i = 0; i < groups->n_groups; i++) {
		if (i > 0)
			json_put_literal(b, ",");
		json_put_literal(b, "{\"hits\":");
		render_hits(b, r->collection, &groups->groups[i].hits, RENDER_SCORE);
		json_put_literal(b, ",\"id\":");
		json_from_pv(b, pv_of(groups->groups[i].id.bytes));
		json_put_literal(b, "}");
	}
	json_put_literal(b, "]}");
	respond_ok(r);
}

static void run_groups(struct api_request *r, parse_groups_fn parse_fn)
{
	struct coord_groups *groups = arena_zalloc(r->arena, sizeof(*groups));
	struct query *query = arena_zalloc(r->arena, sizeof(*query));
	struct group_spec spec = {0};
	struct parse p = request_parse(r);
	int rc = parse_fn(&p, r->body, query, &spec);

	parse_fini(&p);
	if (rc != 0) {
		respond_error(r, rc);
		return;
	}
	request_call(r, &groups->call, groups_done, r);
	groups->query = query;
	groups->group_by = spec.by;
	groups->group_size = spec.size;
	groups->n_groups_wanted = spec.limit;
	coord_query_groups(r->api->options.coord, groups);
}

void handle_query_groups(struct api_request *r)
{
	run_groups(r, parse_query_groups);
}

void handle_search_groups(struct api_request *r)
{
	run_groups(r, parse_search);
}

void handle_recommend_groups(struct api_request *r)
{
	run_groups(r, parse_recommend);
}
