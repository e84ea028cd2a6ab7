/* points/query: the query tree, with nested prefetches, fusion, MMR, ordering and sampling. */
#include "api/parse.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

struct tree {
	struct parse *p;
	uint32_t depth;
	uint32_t n_prefetches;
};

/* A vector of the wrong kind or length is told apart from an id by its JSON type alone. */
int parse_query_input(struct parse *p, const struct json *v, const char *using_name,
		      struct query_input *out)
{
	struct space_ref space;
	int rc;

	memset(out, 0, sizeof(*out));
	if (v == NULL || json_type(v) == JSON_NULL)
		return parse_expected(p, "query", "a vector or a point id", NULL);
	rc = parse_space(p, using_name, strlen(using_name), &space);
	if (rc != 0)
		return rc;
	out->vector.kind = space.kind;
	out->vector.space = space.index;
	if (json_type(v) == JSON_STRING || parse_is_number(v) || json_type(v) == JSON_RAW) {
		out->is_id = true;
		return parse_id(p, v, &out->id);
	}
	if (parse_is_inference(v))
		return parse_inference(p, v, space, true, &out->vector);
	return parse_vector(p, v, space, &out->vector);
}

static int set_nearest(struct parse *p, const struct json *v, struct query *out)
{
	int rc = parse_query_input(p, v, out->using_name, &out->nearest);

	out->kind = out->nearest.is_id ? QUERY_ID : QUERY_NEAREST;
	return rc;
}

static int parse_mmr(struct parse *p, const struct json *v, struct query *out)
{
	static const char *const known[] = {"diversity", "candidates_limit", NULL};
	static const struct u64_range candidates = {"candidates_limit",
						    "query.mmr.candidates_limit", 0, 16384};
	double diversity = 0.5;
	uint64_t n = 0;
	int rc;

	if (v == NULL)
		return 0;
	out->mmr = true;
	rc = parse_object(p, "mmr", "mmr", v, known);
	if (rc == 0)
		rc = parse_double_field(p, v, "diversity", &diversity);
	if (rc == 0 && !(diversity >= 0 && diversity <= 1))
		rc = error_set(p->err, ERR_VALIDATION,
			       "query.mmr.diversity: value %g invalid, must be from 0 to 1",
			       diversity);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &candidates, &n);
	out->mmr_diversity = (float)diversity;
	out->mmr_candidates = (uint32_t)n;
	return rc;
}

static int parse_nearest_object(struct parse *p, const struct json *v, struct query *out)
{
	static const char *const known[] = {"nearest", "mmr", NULL};
	int rc = parse_known_keys(p, "a nearest query", v, known);

	if (rc == 0)
		rc = set_nearest(p, json_get(v, "nearest"), out);
	return rc != 0 ? rc : parse_mmr(p, json_get(v, "mmr"), out);
}

static int parse_fusion(struct parse *p, const struct json *v, struct query *out)
{
	static const char *const known[] = {"fusion", NULL};
	const char *name;
	int rc = parse_known_keys(p, "a fusion query", v, known);

	if (rc == 0)
		rc = parse_need_string(p, v, "fusion", &name);
	if (rc != 0)
		return rc;
	if (strcmp(name, "rrf") == 0) {
		out->kind = QUERY_RRF;
		return 0;
	}
	if (strcmp(name, "dbsf") == 0) {
		out->kind = QUERY_DBSF;
		return 0;
	}
	return error_set(p->err, ERR_UNSUPPORTED, "the fusion `%.100s`", name);
}

static int parse_rrf(struct parse *p, const struct json *query, struct query *out)
{
	static const char *const outer[] = {"rrf", NULL};
	static const char *const known[] = {"k", "weights", NULL};
	static const struct u64_range k_range = {"k", "query.rrf.k", 1, UINT32_MAX};
	const struct json *v = json_get(query, "rrf"), *weights;
	uint64_t k = 2;
	struct json_iter it;
	int rc = parse_known_keys(p, "an rrf query", query, outer);

	out->kind = QUERY_RRF;
	if (rc == 0)
		rc = parse_object(p, "rrf", "rrf", v, known);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &k_range, &k);
	out->rrf_k = (uint32_t)k;
	weights = rc == 0 ? json_get(v, "weights") : NULL;
	if (weights == NULL)
		return rc;
	rc = parse_is_array(p, "rrf.weights", weights);
	if (rc != 0)
		return rc;
	out->rrf_weights = arena_alloc(p->arena, json_count(weights) * sizeof(float));
	it = json_iterate(weights);
	while (json_next(&it)) {
		double w = parse_is_number(it.value) ? json_double(it.value) : NAN;

		if (!(w >= 0 && w <= (double)FLT_MAX))
			return error_set(p->err, ERR_VALIDATION,
					 "query.rrf.weights: must be numbers of 0 or more");
		out->rrf_weights[out->n_rrf_weights++] = (float)w;
	}
	return 0;
}

static int parse_sample(struct parse *p, const struct json *v, struct query *out)
{
	static const char *const known[] = {"sample", NULL};
	const char *name;
	int rc = parse_known_keys(p, "a sample query", v, known);

	out->kind = QUERY_SAMPLE;
	if (rc == 0)
		rc = parse_need_string(p, v, "sample", &name);
	if (rc == 0 && strcmp(name, "random") != 0)
		rc = error_set(p->err, ERR_UNSUPPORTED, "the sample `%.100s`", name);
	return rc;
}

static int parse_query_object(struct parse *p, const struct json *v, struct query *out)
{
	static const char *const unsupported[] = {"discover", "context", "formula",
						  "relevance_feedback", NULL};
	static const char *const recommend[] = {"recommend", NULL};
	static const char *const order_by[] = {"order_by", NULL};
	int rc;

	for (size_t i = 0; unsupported[i] != NULL; i++)
		if (json_get(v, unsupported[i]) != NULL)
			return error_set(p->err, ERR_UNSUPPORTED, "the query `%s`", unsupported[i]);
	if (json_get(v, "indices") != NULL || json_get(v, "values") != NULL ||
	    parse_is_inference(v))
		return set_nearest(p, v, out);
	if (json_get(v, "nearest") != NULL)
		return parse_nearest_object(p, v, out);
	if (json_get(v, "fusion") != NULL)
		return parse_fusion(p, v, out);
	if (json_get(v, "rrf") != NULL)
		return parse_rrf(p, v, out);
	if (json_get(v, "sample") != NULL)
		return parse_sample(p, v, out);
	if (json_get(v, "order_by") != NULL) {
		out->kind = QUERY_ORDER_BY;
		rc = parse_known_keys(p, "an order_by query", v, order_by);
		return rc != 0 ? rc : parse_order_by(p, json_get(v, "order_by"), out);
	}
	if (json_get(v, "recommend") != NULL) {
		rc = parse_known_keys(p, "a recommend query", v, recommend);
		return rc != 0 ? rc : parse_recommend_input(p, json_get(v, "recommend"), out);
	}
	rc = parse_known_keys(p, "the query", v, (const char *const[]){NULL});
	if (rc != 0)
		return rc;
	return error_set(p->err, ERR_FORMAT, "query: an object that names no kind of query");
}

static int parse_query_kind(struct parse *p, const struct json *v, struct query *out)
{
	if (v == NULL)
		return 0; /* QUERY_NONE: a listing */
	if (json_type(v) == JSON_OBJECT)
		return parse_query_object(p, v, out);
	return set_nearest(p, v, out);
}

static int check_fusion(struct parse *p, const struct query *q)
{
	bool fusion = q->kind == QUERY_RRF || q->kind == QUERY_DBSF;

	if (fusion && q->n_prefetch == 0)
		return error_set(p->err, ERR_INPUT, "a fusion query needs at least one prefetch");
	if (q->kind == QUERY_RRF && q->rrf_weights != NULL && q->n_rrf_weights != q->n_prefetch)
		return error_set(p->err, ERR_INPUT,
				 "query.rrf.weights: %" PRIu32 " weights for %" PRIu32
				 " prefetches; there must be one for each",
				 q->n_rrf_weights, q->n_prefetch);
	if (q->kind == QUERY_NONE && q->n_prefetch > 0)
		return error_set(
			p->err, ERR_INPUT,
			"prefetches without a query: say with `query` how to rank what they "
			"find");
	return 0;
}

static int parse_query_node(struct tree *t, const struct json *v, struct query *out);

static int parse_prefetch(struct tree *t, const struct json *v, struct query *out)
{
	struct json_iter it;
	size_t n;
	int rc;

	if (v == NULL)
		return 0;
	n = json_type(v) == JSON_OBJECT ? 1 : json_count(v);
	if (json_type(v) != JSON_OBJECT && !json_is_array_type(json_type(v)))
		return parse_expected(t->p, "prefetch", "an object or a list of objects", v);
	t->n_prefetches += n > LIMIT_QUERY_PREFETCHES ? LIMIT_QUERY_PREFETCHES + 1 : (uint32_t)n;
	if (t->n_prefetches > LIMIT_QUERY_PREFETCHES)
		return error_set(t->p->err, ERR_INPUT, "the query has more than %d prefetches",
				 LIMIT_QUERY_PREFETCHES);
	if (++t->depth > LIMIT_QUERY_DEPTH)
		return error_set(t->p->err, ERR_INPUT, "prefetches are nested more than %d deep",
				 LIMIT_QUERY_DEPTH);
	out->prefetch = arena_zalloc(t->p->arena, n * sizeof(*out->prefetch));
	out->n_prefetch = (uint32_t)n;
	if (json_type(v) == JSON_OBJECT) {
		rc = parse_query_node(t, v, &out->prefetch[0]);
	} else {
		it = json_iterate(v);
		rc = 0;
		for (size_t i = 0; rc == 0 && json_next(&it); i++) {
			rc = parse_is_object(t->p, "prefetch", it.value);
			if (rc == 0)
				rc = parse_query_node(t, it.value, &out->prefetch[i]);
		}
	}
	t->depth--;
	return rc;
}

int parse_threshold(struct parse *p, const struct json *v, struct query *out)
{
	double threshold = 0;
	int rc = parse_double_field(p, v, "score_threshold", &threshold);

	out->has_threshold = json_get(v, "score_threshold") != NULL;
	if (threshold > (double)FLT_MAX)
		threshold = (double)FLT_MAX;
	if (threshold < -(double)FLT_MAX)
		threshold = -(double)FLT_MAX;
	out->threshold = (float)threshold;
	return rc;
}

/* What root and prefetch have in common. */
static int parse_query_node(struct tree *t, const struct json *v, struct query *out)
{
	static const struct u64_range limit = {"limit", NULL, 1, UINT64_MAX};
	struct parse *p = t->p;
	int rc;

	out->using_name = "";
	out->rrf_k = 2;
	out->limit = 10;
	if (json_get(v, "lookup_from") != NULL)
		return error_set(p->err, ERR_UNSUPPORTED, "lookup_from");
	if (t->depth > 0) {
		static const char *const known[] = {"prefetch", "query",       "using",
						    "filter",   "params",      "score_threshold",
						    "limit",    "lookup_from", NULL};

		rc = parse_known_keys(p, "a prefetch", v, known);
		if (rc != 0)
			return rc;
	}
	rc = parse_string_field(p, v, "using", &out->using_name);
	if (rc == 0)
		rc = parse_filter(p, json_get(v, "filter"), &out->filter);
	if (rc == 0)
		rc = parse_params(p, json_get(v, "params"), &out->params);
	if (rc == 0)
		rc = parse_threshold(p, v, out);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &limit, &out->limit);
	if (rc == 0)
		rc = parse_prefetch(t, json_get(v, "prefetch"), out);
	if (rc == 0)
		rc = parse_query_kind(p, json_get(v, "query"), out);
	return rc != 0 ? rc : check_fusion(p, out);
}

int parse_query(struct parse *p, const struct json *v, struct query *out)
{
	static const char *const known[] = {"prefetch",        "query",
					    "using",           "filter",
					    "params",          "limit",
					    "offset",          "with_vector",
					    "with_vectors",    "with_payload",
					    "score_threshold", "lookup_from",
					    "allow_partial",   NULL};
	struct tree t = {p, 0, 0};
	int rc;

	memset(out, 0, sizeof(*out));
	rc = parse_object(p, "body", "a query", v, known);
	if (rc == 0)
		rc = parse_query_node(&t, v, out);
	if (rc == 0)
		rc = parse_u64_field(p, v, "offset", &out->offset);
	if (rc == 0)
		rc = parse_select(p, v, &out->payload, &out->vectors);
	return rc;
}

int parse_query_groups(struct parse *p, const struct json *v, struct query *out,
		       struct group_spec *groups)
{
	static const char *const known[] = {"prefetch",    "query",        "using",
					    "filter",      "params",       "limit",
					    "with_vector", "with_vectors", "group_by",
					    "group_size",  "with_payload", "score_threshold",
					    "lookup_from", "with_lookup",  "allow_partial",
					    NULL};
	static const struct u64_range size_range = {"group_size", NULL, 1, LIMIT_TOP};
	struct tree t = {p, 0, 0};
	uint64_t size = 3;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = parse_object(p, "body", "a group query", v, known);
	if (rc == 0 && json_get(v, "with_lookup") != NULL)
		rc = error_set(p->err, ERR_UNSUPPORTED, "with_lookup");
	if (rc == 0)
		rc = parse_path(p, "group_by", json_get(v, "group_by"), &groups->by);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &size_range, &size);
	if (rc == 0)
		rc = parse_query_node(&t, v, out);
	if (rc == 0)
		rc = parse_select(p, v, &out->payload, &out->vectors);
	groups->size = (uint32_t)size;
	groups->limit = out->limit > LIMIT_TOP ? LIMIT_TOP : (uint32_t)out->limit;
	return rc;
}
