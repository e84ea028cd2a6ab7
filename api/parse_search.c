/* The older routes: points/search, points/recommend and their groups, as queries; and the recommend
 * input that old and new routes share. */
#include "api/parse.h"

#include <string.h>

/* ---- recommend ---- */

static int parse_examples(struct parse *p, const char *where, const struct json *v, struct query *q,
			  struct query_input **out)
{
	struct json_iter it;
	uint32_t n = 0;
	int rc;

	if (v == NULL)
		return 0;
	if (json_type(v) == JSON_FLOATS || json_type(v) == JSON_ARRAY) {
		*out = arena_alloc(p->arena, json_count(v) * sizeof(**out));
		it = json_iterate(v);
		rc = 0;
		while (rc == 0 && json_next(&it))
			rc = parse_query_input(p, it.value, q->using_name, &(*out)[n++]);
	} else {
		/* One example need not be in a list. */
		*out = arena_alloc(p->arena, sizeof(**out));
		rc = parse_query_input(p, v, q->using_name, &(*out)[n++]);
	}
	if (out == &q->positive)
		q->n_positive = n;
	else
		q->n_negative = n;
	return rc == 0 ? 0 : error_wrap(p->err, rc, "%s", where);
}

static int parse_strategy(struct parse *p, const struct json *v, enum recommend_strategy *out)
{
	static const char *const names[] = {
		[RECOMMEND_AVERAGE] = "average_vector",
		[RECOMMEND_BEST] = "best_score",
		[RECOMMEND_SUM] = "sum_scores",
	};
	const char *name = NULL;
	int rc = parse_string_field(p, v, "strategy", &name);

	if (rc != 0 || name == NULL)
		return rc;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0) {
			*out = (enum recommend_strategy)i;
			return 0;
		}
	}
	return error_set(p->err, ERR_FORMAT,
			 "strategy: expected average_vector, best_score or sum_scores, got '%.100s'",
			 name);
}

static int parse_recommend_body(struct parse *p, const struct json *v, struct query *out)
{
	int rc;

	out->kind = QUERY_RECOMMEND;
	rc = parse_strategy(p, v, &out->strategy);
	if (rc == 0)
		rc = parse_examples(p, "positive", json_get(v, "positive"), out, &out->positive);
	if (rc == 0)
		rc = parse_examples(p, "negative", json_get(v, "negative"), out, &out->negative);
	if (rc != 0)
		return rc;
	if (out->strategy == RECOMMEND_AVERAGE && out->n_positive == 0)
		return error_set(p->err, ERR_INPUT,
				 "recommend: at least one positive example is needed");
	if (out->n_positive + out->n_negative == 0)
		return error_set(p->err, ERR_INPUT, "recommend: at least one example is needed");
	return 0;
}

int parse_recommend_input(struct parse *p, const struct json *v, struct query *out)
{
	static const char *const known[] = {"positive", "negative", "strategy", NULL};
	int rc = parse_object(p, "recommend", "recommend", v, known);

	return rc != 0 ? rc : parse_recommend_body(p, v, out);
}

/* ---- what both older routes have ---- */

static int parse_group_fields(struct parse *p, const struct json *v, struct group_spec *out,
			      uint64_t limit)
{
	static const struct u64_range size_range = {"group_size", NULL, 1, LIMIT_TOP};
	uint64_t size = 3;
	int rc = 0;

	if (json_get(v, "with_lookup") != NULL)
		return error_set(p->err, ERR_UNSUPPORTED, "with_lookup");
	rc = parse_path(p, "group_by", json_get(v, "group_by"), &out->by);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &size_range, &size);
	out->size = (uint32_t)size;
	out->limit = limit > LIMIT_TOP ? LIMIT_TOP : (uint32_t)limit;
	return rc;
}

static int parse_search_fields(struct parse *p, const struct json *v, struct query *out)
{
	static const struct u64_range limit = {"limit", NULL, 1, UINT64_MAX};
	static const struct u64_range top = {"top", NULL, 1, UINT64_MAX};
	int rc;

	if (json_get(v, "limit") == NULL && json_get(v, "top") == NULL)
		return parse_expected(p, "limit", "an unsigned integer", NULL);
	rc = parse_u64_ranged(p, v, &top, &out->limit);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &limit, &out->limit);
	if (rc == 0)
		rc = parse_u64_field(p, v, "offset", &out->offset);
	if (rc == 0)
		rc = parse_filter(p, json_get(v, "filter"), &out->filter);
	if (rc == 0)
		rc = parse_params(p, json_get(v, "params"), &out->params);
	if (rc == 0)
		rc = parse_select(p, v, &out->payload, &out->vectors);
	if (rc == 0)
		rc = parse_threshold(p, v, out);
	return rc;
}

static const char *const search_keys[] = {"vector",          "limit",         "top",
					  "offset",          "filter",        "params",
					  "with_payload",    "with_vector",   "with_vectors",
					  "score_threshold", "allow_partial", NULL};
static const char *const search_group_keys[] = {"vector",        "limit",
						"top",           "group_by",
						"filter",        "params",
						"with_payload",  "with_vector",
						"with_vectors",  "score_threshold",
						"allow_partial", "group_size",
						"with_lookup",   NULL};

int parse_search(struct parse *p, const struct json *v, struct query *out,
		 struct group_spec *groups)
{
	static const char *const named[] = {"name", "vector", NULL};
	const struct json *vector;
	int rc = parse_object(p, "body", "a search", v,
			      groups != NULL ? search_group_keys : search_keys);

	memset(out, 0, sizeof(*out));
	out->using_name = "";
	out->rrf_k = 2;
	if (rc != 0)
		return rc;
	vector = json_get(v, "vector");
	if (vector != NULL && json_type(vector) == JSON_OBJECT &&
	    json_get(vector, "vector") != NULL) {
		rc = parse_known_keys(p, "vector", vector, named);
		if (rc == 0)
			rc = parse_need_string(p, vector, "name", &out->using_name);
		vector = json_get(vector, "vector");
	}
	if (rc == 0 && vector != NULL && json_type(vector) != JSON_OBJECT &&
	    !json_is_array_type(json_type(vector)))
		rc = parse_expected(p, "vector", "a vector", vector);
	if (rc == 0 && vector == NULL)
		rc = parse_expected(p, "vector", "a vector", NULL);
	if (rc == 0)
		rc = parse_query_input(p, vector, out->using_name, &out->nearest);
	out->kind = QUERY_NEAREST;
	if (rc == 0)
		rc = parse_search_fields(p, v, out);
	if (rc == 0 && groups != NULL)
		rc = parse_group_fields(p, v, groups, out->limit);
	return rc;
}

static int parse_using(struct parse *p, const struct json *v, const char **out)
{
	static const char *const known[] = {"name", NULL};
	const struct json *name = json_get(v, "using");

	/* Older clients also wrote {name: "..."}. */
	if (name != NULL && json_type(name) == JSON_OBJECT) {
		int rc = parse_known_keys(p, "using", name, known);

		return rc != 0 ? rc : parse_need_string(p, name, "name", out);
	}
	return parse_string_field(p, v, "using", out);
}

int parse_recommend(struct parse *p, const struct json *v, struct query *out,
		    struct group_spec *groups)
{
	static const char *const keys[] = {"positive",      "negative",
					   "strategy",      "using",
					   "limit",         "top",
					   "offset",        "filter",
					   "params",        "score_threshold",
					   "with_payload",  "with_vector",
					   "with_vectors",  "lookup_from",
					   "allow_partial", NULL};
	static const char *const group_keys[] = {"positive",        "negative",     "strategy",
						 "using",           "limit",        "top",
						 "group_by",        "filter",       "params",
						 "score_threshold", "with_payload", "with_vector",
						 "with_vectors",    "lookup_from",  "allow_partial",
						 "group_size",      "with_lookup",  NULL};
	int rc = parse_object(p, "body", "a recommendation", v, groups != NULL ? group_keys : keys);

	memset(out, 0, sizeof(*out));
	out->using_name = "";
	out->rrf_k = 2;
	if (rc == 0 && json_get(v, "lookup_from") != NULL)
		rc = error_set(p->err, ERR_UNSUPPORTED, "lookup_from");
	if (rc == 0)
		rc = parse_using(p, v, &out->using_name);
	if (rc == 0)
		rc = parse_recommend_body(p, v, out);
	if (rc == 0)
		rc = parse_search_fields(p, v, out);
	if (rc == 0 && groups != NULL)
		rc = parse_group_fields(p, v, groups, out->limit);
	return rc;
}
