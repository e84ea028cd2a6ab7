/* What a read asks to have returned, how hard to search, and in which order to list. */
#include "api/parse.h"

#include <string.h>

int parse_with_payload(struct parse *p, const struct json *v, struct select_payload *out)
{
	static const char *const known[] = {"include", "exclude", NULL};
	int rc;

	if (v == NULL)
		return 0;
	memset(out, 0, sizeof(*out));
	if (json_type(v) == JSON_BOOL) {
		out->enabled = json_bool(v);
		return 0;
	}
	if (json_is_array_type(json_type(v))) {
		out->enabled = true;
		out->none = json_count(v) == 0;
		return parse_paths(p, "with_payload", v, &out->paths, &out->n_paths);
	}
	if (json_type(v) != JSON_OBJECT)
		return parse_expected(p, "with_payload", "a boolean, a list of keys or an object",
				      v);
	rc = parse_known_keys(p, "with_payload", v, known);
	if (rc != 0)
		return rc;
	if ((json_get(v, "include") != NULL) == (json_get(v, "exclude") != NULL))
		return error_set(p->err, ERR_FORMAT,
				 "with_payload: expected either include or exclude");
	out->enabled = true;
	if (json_get(v, "exclude") != NULL) {
		out->exclude = true;
		return parse_paths(p, "with_payload.exclude", json_get(v, "exclude"), &out->paths,
				   &out->n_paths);
	}
	rc = parse_paths(p, "with_payload.include", json_get(v, "include"), &out->paths,
			 &out->n_paths);
	out->none = out->n_paths == 0;
	return rc;
}

int parse_with_vectors(struct parse *p, const struct json *v, struct select_vectors *out)
{
	struct json_iter it;
	struct space_ref space;
	int rc = 0;

	if (v == NULL)
		return 0;
	memset(out, 0, sizeof(*out));
	if (json_type(v) == JSON_BOOL) {
		out->enabled = json_bool(v);
		return 0;
	}
	if (!json_is_array_type(json_type(v)))
		return parse_expected(p, "with_vector", "a boolean or a list of vector names", v);
	out->enabled = true;
	out->none = json_count(v) == 0;
	out->names = arena_alloc(p->arena, json_count(v) * sizeof(*out->names));
	it = json_iterate(v);
	while (rc == 0 && json_next(&it)) {
		size_t n;

		if (json_type(it.value) != JSON_STRING)
			return parse_expected(p, "with_vector", "vector names", it.value);
		out->names[out->n_names].name = json_string(it.value, &n);
		out->names[out->n_names].n = (uint32_t)n;
		rc = parse_space(p, out->names[out->n_names].name, n, &space);
		out->n_names++;
	}
	return rc;
}

int parse_select(struct parse *p, const struct json *body, struct select_payload *payload,
		 struct select_vectors *vectors)
{
	const struct json *with_vector = json_get(body, "with_vector");
	int rc = parse_with_payload(p, json_get(body, "with_payload"), payload);

	if (with_vector == NULL)
		with_vector = json_get(body, "with_vectors");
	if (rc == 0)
		rc = parse_with_vectors(p, with_vector, vectors);
	return rc;
}

static int parse_quantization_params(struct parse *p, const struct json *v,
				     struct search_params *out)
{
	static const char *const known[] = {"ignore", "rescore", "oversampling", NULL};
	bool rescore = true;
	double oversampling = 0;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_object(p, "params.quantization", "params.quantization", v, known);
	if (rc == 0)
		rc = parse_bool_field(p, v, "ignore", &out->ignore_quantization);
	if (rc == 0)
		rc = parse_bool_field(p, v, "rescore", &rescore);
	if (rc == 0)
		rc = parse_double_field(p, v, "oversampling", &oversampling);
	out->no_rescore = !rescore;
	out->oversampling = (float)oversampling;
	if (rc == 0 && json_get(v, "oversampling") != NULL &&
	    !(oversampling >= 1 && oversampling <= 1000))
		rc = error_set(
			p->err, ERR_VALIDATION,
			"params.quantization.oversampling: value %g invalid, must be from 1 to "
			"1000",
			oversampling);
	return rc;
}

/* Read and checked only: our filtered walk needs no switch of that kind. */
static int parse_acorn(struct parse *p, const struct json *v)
{
	static const char *const known[] = {"enable", "max_selectivity", NULL};
	bool enable;
	double selectivity;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_object(p, "params.acorn", "params.acorn", v, known);
	if (rc == 0)
		rc = parse_bool_field(p, v, "enable", &enable);
	if (rc == 0)
		rc = parse_double_field(p, v, "max_selectivity", &selectivity);
	return rc;
}

static int parse_own_params(struct parse *p, const struct json *v, struct search_params *out)
{
	static const struct u64_range nprobe = {"nprobe", "params.nprobe", 1, UINT64_MAX};
	static const struct u64_range budget = {"budget_ms", "params.budget_ms", 1, 3600000};
	uint64_t n = 0, budget_ms = 0;
	double recall = 0;
	int rc = parse_u64_ranged(p, v, &nprobe, &n);

	if (rc == 0)
		rc = parse_u64_ranged(p, v, &budget, &budget_ms);
	if (rc == 0)
		rc = parse_double_field(p, v, "min_recall", &recall);
	if (rc == 0 && json_get(v, "min_recall") != NULL && !(recall > 0 && recall <= 1))
		rc = error_set(p->err, ERR_VALIDATION,
			       "params.min_recall: value %g invalid, must be over 0 and at most 1",
			       recall);
	out->nprobe = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
	out->budget_us = budget_ms * 1000;
	out->min_recall = (float)recall;
	return rc;
}

int parse_params(struct parse *p, const struct json *v, struct search_params *out)
{
	static const char *const known[] = {"hnsw_ef",      "exact",     "indexed_only",
					    "quantization", "acorn",     "nprobe",
					    "min_recall",   "budget_ms", NULL};
	static const struct u64_range ef_range = {"hnsw_ef", "params.hnsw_ef", 1, UINT64_MAX};
	uint64_t ef = 0;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_object(p, "params", "params", v, known);
	if (rc == 0)
		rc = parse_u64_ranged(p, v, &ef_range, &ef);
	/* An effort beyond the limit is served with the limit: it is a wish, not a promise. */
	out->ef = ef > LIMIT_EF ? LIMIT_EF : (uint32_t)ef;
	if (rc == 0)
		rc = parse_bool_field(p, v, "exact", &out->exact);
	if (rc == 0)
		rc = parse_bool_field(p, v, "indexed_only", &out->indexed_only);
	if (rc == 0)
		rc = parse_quantization_params(p, json_get(v, "quantization"), out);
	if (rc == 0)
		rc = parse_acorn(p, json_get(v, "acorn"));
	if (rc == 0)
		rc = parse_own_params(p, v, out);
	return rc;
}

static int parse_start_from(struct parse *p, const struct json *v, struct query *out)
{
	const char *s;
	size_t n;
	int64_t micros;

	if (v == NULL)
		return 0;
	out->has_start_from = true;
	if (parse_is_number(v)) {
		out->start_from = json_double(v);
		return 0;
	}
	if (json_type(v) != JSON_STRING)
		return parse_expected(p, "order_by.start_from", "a number or a date", v);
	s = json_string(v, &n);
	if (!datetime_parse(s, n, &micros))
		return error_set(p->err, ERR_FORMAT,
				 "order_by.start_from: '%.*s' is no number and no date",
				 (int)(n < 60 ? n : 60), s);
	out->start_from = (double)micros;
	return 0;
}

int parse_order_by(struct parse *p, const struct json *v, struct query *out)
{
	static const char *const known[] = {"key", "direction", "start_from", NULL};
	const char *direction = "asc";
	int rc;

	if (v != NULL && json_type(v) == JSON_STRING)
		return parse_path(p, "order_by", v, &out->order_path);
	rc = parse_object(p, "order_by", "order_by", v, known);
	if (rc == 0)
		rc = parse_path(p, "order_by.key", json_get(v, "key"), &out->order_path);
	if (rc == 0)
		rc = parse_string_field(p, v, "direction", &direction);
	if (rc == 0 && strcmp(direction, "asc") != 0 && strcmp(direction, "desc") != 0)
		rc = error_set(p->err, ERR_FORMAT,
			       "order_by.direction: expected asc or desc, got '%s'", direction);
	out->order_desc = rc == 0 && strcmp(direction, "desc") == 0;
	if (rc == 0)
		rc = parse_start_from(p, json_get(v, "start_from"), out);
	return rc;
}
