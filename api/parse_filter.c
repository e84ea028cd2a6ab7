/* Filters: JSON to struct filter. Unknown conditions are refused by name; nodes and depth are bounded
 * before anything recurses. */
#include "api/parse.h"

#include <string.h>

struct filter_parse {
	struct parse *p;
	uint32_t nodes;
	uint32_t depth;
};

static int parse_filter_node(struct filter_parse *f, const struct json *v, struct filter **out);

static int count_node(struct filter_parse *f)
{
	if (++f->nodes > LIMIT_FILTER_NODES)
		return error_set(f->p->err, ERR_INPUT,
				 "the filter has more than %d conditions; use `any` lists",
				 LIMIT_FILTER_NODES);
	return 0;
}

/* ---- match ---- */

static int parse_match_value(struct parse *p, const char *where, const struct json *v,
			     struct match_value *out)
{
	size_t n;

	memset(out, 0, sizeof(*out));
	switch (v == NULL ? JSON_NULL : json_type(v)) {
	case JSON_STRING:
		out->kind = MATCH_STRING;
		out->s = json_string(v, &n);
		out->s_n = (uint32_t)n;
		return 0;
	case JSON_BOOL:
		out->kind = MATCH_BOOL;
		out->i = json_bool(v);
		return 0;
	case JSON_INT:
	case JSON_UINT:
		out->kind = MATCH_INT;
		if (parse_sint(v, &out->i))
			return 0;
		return error_set(p->err, ERR_FORMAT, "%s: the integer is over 2^63 - 1", where);
	default: return parse_expected(p, where, "a string, an integer or a boolean", v);
	}
}

static int parse_match_list(struct parse *p, const char *where, const struct json *v,
			    struct cond *out)
{
	struct json_iter it;
	int rc = parse_is_array(p, where, v);

	if (rc != 0)
		return rc;
	out->values = arena_alloc(p->arena, json_count(v) * sizeof(*out->values));
	it = json_iterate(v);
	while (json_next(&it)) {
		struct match_value *value = &out->values[out->n_values];

		rc = parse_match_value(p, where, it.value, value);
		if (rc != 0)
			return rc;
		if (value->kind == MATCH_BOOL)
			return parse_expected(p, where, "strings or integers", it.value);
		if (value->kind != out->values[0].kind)
			return error_set(p->err, ERR_FORMAT, "%s: strings and integers in one list",
					 where);
		out->n_values++;
	}
	return 0;
}

static int parse_match_text(struct parse *p, const char *where, const struct json *v,
			    struct cond *out)
{
	size_t n;

	if (v == NULL || json_type(v) != JSON_STRING)
		return parse_expected(p, where, "a string", v);
	out->text = json_string(v, &n);
	out->text_n = (uint32_t)n;
	return 0;
}

static int parse_match(struct parse *p, const struct json *v, struct cond *out)
{
	static const struct {
		const char *key;
		enum cond_type type;
	} texts[] = {
		{"text", COND_MATCH_TEXT},
		{"text_any", COND_MATCH_TEXT_ANY},
		{"phrase", COND_MATCH_PHRASE},
	};
	static const char *const known[] = {"value",    "any",    "except", "text",
					    "text_any", "phrase", NULL};
	uint32_t given = 0;
	int rc = parse_object(p, "match", "match", v, known);

	if (rc != 0)
		return rc;
	for (size_t i = 0; known[i] != NULL; i++)
		given += json_get(v, known[i]) != NULL;
	if (given != 1)
		return error_set(
			p->err, ERR_FORMAT,
			"match: expected one of value, any, except, text, text_any, phrase");
	if (json_get(v, "value") != NULL) {
		out->type = COND_MATCH_ANY;
		out->values = arena_alloc(p->arena, sizeof(*out->values));
		out->n_values = 1;
		return parse_match_value(p, "match.value", json_get(v, "value"), out->values);
	}
	if (json_get(v, "any") != NULL) {
		out->type = COND_MATCH_ANY;
		return parse_match_list(p, "match.any", json_get(v, "any"), out);
	}
	if (json_get(v, "except") != NULL) {
		out->type = COND_MATCH_EXCEPT;
		return parse_match_list(p, "match.except", json_get(v, "except"), out);
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (json_get(v, texts[i].key) == NULL)
			continue;
		out->type = texts[i].type;
		return parse_match_text(p, texts[i].key, json_get(v, texts[i].key), out);
	}
	return ERR_INTERNAL;
}

/* ---- ranges ---- */

struct bound {
	const char *key;
	size_t has, number, micros;
};
static const struct bound bounds[] = {
#define BOUND(name)                                                                                \
	{                                                                                          \
#name, offsetof(struct range, has_##name), offsetof(struct range, name),           \
			offsetof(struct range, name##_us)                                          \
	}
	BOUND(lt),
	BOUND(lte),
	BOUND(gt),
	BOUND(gte),
#undef BOUND
};
enum { N_BOUNDS = sizeof(bounds) / sizeof(bounds[0]) };
static const char *const bound_keys[] = {"lt", "lte", "gt", "gte", NULL};

static int parse_date_bound(struct parse *p, const struct bound *b, const struct json *v,
			    struct range *out)
{
	size_t n;
	const char *s = json_string(v, &n);
	int64_t micros;

	if (!datetime_parse(s, n, &micros))
		return error_set(p->err, ERR_FORMAT,
				 "range.%s: '%.*s' is no number and no date; dates look like "
				 "2024-01-31T12:00:00Z",
				 b->key, (int)(n < 60 ? n : 60), s);
	memcpy((char *)out + b->micros, &micros, sizeof(micros));
	return 0;
}

static int parse_range(struct parse *p, const struct json *v, struct cond *out)
{
	uint32_t n_dates = 0, n_numbers = 0;
	int rc = parse_object(p, "range", "range", v, bound_keys);

	for (size_t i = 0; i < N_BOUNDS && rc == 0; i++) {
		const struct json *value = json_get(v, bounds[i].key);

		if (value == NULL)
			continue;
		*((bool *)((char *)&out->range + bounds[i].has)) = true;
		if (json_type(value) == JSON_STRING) {
			n_dates++;
			rc = parse_date_bound(p, &bounds[i], value, &out->range);
		} else if (parse_is_number(value)) {
			double number = json_double(value);

			n_numbers++;
			memcpy((char *)&out->range + bounds[i].number, &number, sizeof(number));
		} else {
			rc = parse_expected(p, "range", "numbers or dates", value);
		}
	}
	if (rc == 0 && n_dates > 0 && n_numbers > 0)
		rc = error_set(p->err, ERR_FORMAT, "range: numbers and dates in one range");
	out->type = n_dates > 0 ? COND_DATETIME_RANGE : COND_RANGE;
	return rc;
}

static int parse_values_count(struct parse *p, const struct json *v, struct cond *out)
{
	int rc = parse_object(p, "values_count", "values_count", v, bound_keys);

	out->type = COND_VALUES_COUNT;
	for (size_t i = 0; i < N_BOUNDS && rc == 0; i++) {
		uint64_t value = 0;
		double number;

		if (json_get(v, bounds[i].key) == NULL)
			continue;
		rc = parse_u64_field(p, v, bounds[i].key, &value);
		number = (double)value;
		*((bool *)((char *)&out->range + bounds[i].has)) = true;
		memcpy((char *)&out->range + bounds[i].number, &number, sizeof(number));
	}
	return rc;
}

/* ---- conditions on a field ---- */

static const char *const field_keys[] = {"match",      "range",       "geo_bounding_box",
					 "geo_radius", "geo_polygon", "values_count",
					 "is_empty",   "is_null",     NULL};

/* {key, is_empty: false} is "not empty": a filter around it. */
static int parse_field_flag(struct filter_parse *f, enum cond_type type, const struct json *v,
			    struct cond *out)
{
	struct filter *inner;
	struct cond *c;

	if (json_type(v) != JSON_BOOL)
		return parse_expected(f->p, type == COND_IS_NULL ? "is_null" : "is_empty",
				      "a boolean", v);
	out->type = type;
	if (json_bool(v))
		return 0;
	c = arena_copy(f->p->arena, out, sizeof(*out));
	inner = arena_zalloc(f->p->arena, sizeof(*inner));
	inner->must_not = c;
	inner->n_must_not = 1;
	*out = (struct cond){.type = COND_FILTER, .filter = inner};
	return 0;
}

static int parse_field_kind(struct filter_parse *f, const char *kind, const struct json *v,
			    struct cond *out)
{
	if (strcmp(kind, "match") == 0)
		return parse_match(f->p, v, out);
	if (strcmp(kind, "range") == 0)
		return parse_range(f->p, v, out);
	if (strcmp(kind, "values_count") == 0)
		return parse_values_count(f->p, v, out);
	if (strcmp(kind, "is_empty") == 0)
		return parse_field_flag(f, COND_IS_EMPTY, v, out);
	if (strcmp(kind, "is_null") == 0)
		return parse_field_flag(f, COND_IS_NULL, v, out);
	return parse_geo(f->p, kind, v, out);
}

/* Several kinds in one condition are alternatives. */
static int parse_field_cond(struct filter_parse *f, const struct json *v, struct cond *out)
{
	static const char *const known[] = {"key",        "match",        "range",
					    "geo_radius", "geo_polygon",  "geo_bounding_box",
					    "is_empty",   "values_count", "is_null",
					    NULL};
	struct filter *alternatives = NULL;
	struct path path;
	uint32_t n = 0;
	int rc = parse_known_keys(f->p, "a filter condition", v, known);

	if (rc == 0)
		rc = parse_path(f->p, "key", json_get(v, "key"), &path);
	if (rc != 0)
		return rc;
	for (size_t i = 0; field_keys[i] != NULL; i++)
		n += json_get(v, field_keys[i]) != NULL;
	if (n == 0)
		return error_set(f->p->err, ERR_VALIDATION,
				 "filter: the condition on `%s` says nothing: give match, range, "
				 "values_count, is_empty, is_null or a geo condition",
				 path.text);
	if (n > 1) {
		alternatives = arena_zalloc(f->p->arena, sizeof(*alternatives));
		alternatives->should = arena_zalloc(f->p->arena, n * sizeof(struct cond));
	}
	for (size_t i = 0; field_keys[i] != NULL && rc == 0; i++) {
		const struct json *value = json_get(v, field_keys[i]);
		struct cond *c = out;

		if (value == NULL)
			continue;
		if (alternatives != NULL)
			c = &alternatives->should[alternatives->n_should++];
		c->path = path;
		rc = parse_field_kind(f, field_keys[i], value, c);
	}
	if (alternatives != NULL)
		*out = (struct cond){.type = COND_FILTER, .filter = alternatives};
	return rc;
}

/* ---- other conditions ---- */

static int parse_key_cond(struct filter_parse *f, const char *name, const struct json *v,
			  struct cond *out)
{
	static const char *const known[] = {"key", NULL};
	int rc = parse_object(f->p, name, name, v, known);

	if (rc == 0)
		rc = parse_path(f->p, "key", json_get(v, "key"), &out->path);
	return rc;
}

static int parse_nested(struct filter_parse *f, const struct json *v, struct cond *out)
{
	static const char *const known[] = {"key", "filter", NULL};
	int rc = parse_object(f->p, "nested", "nested", v, known);

	out->type = COND_NESTED;
	if (rc == 0)
		rc = parse_path(f->p, "nested.key", json_get(v, "key"), &out->path);
	if (rc != 0)
		return rc;
	/* `a[]` and `a` are the same here: the condition itself walks over the elements. The text is
	 * cut as well, since it is what other nodes and the log get. */
	if (out->path.n_steps > 1 && out->path.steps[out->path.n_steps - 1].type == PATH_EACH) {
		size_t n = strlen(out->path.text) - strlen("[]");
		rc = path_parse(out->path.text, n, f->p->arena, &out->path, f->p->err);
		if (rc != 0)
			return rc;
	}
	if (json_get(v, "filter") == NULL)
		return parse_expected(f->p, "nested.filter", "an object", NULL);
	return parse_filter_node(f, json_get(v, "filter"), &out->filter);
}

static int parse_has_vector(struct filter_parse *f, const struct json *v, struct cond *out)
{
	out->type = COND_HAS_VECTOR;
	return parse_match_text(f->p, "has_vector", v, out);
}

/* Only the one key that names the condition may be there. */
static int only_key(struct filter_parse *f, const struct json *v, const char *key)
{
	const char *const known[] = {key, NULL};

	return parse_known_keys(f->p, "a filter condition", v, known);
}

static int parse_special_cond(struct filter_parse *f, const char *key, const struct json *v,
			      struct cond *out)
{
	if (strcmp(key, "has_id") == 0) {
		out->type = COND_HAS_ID;
		return parse_ids(f->p, "has_id", v, &out->ids, &out->n_ids);
	}
	if (strcmp(key, "has_vector") == 0)
		return parse_has_vector(f, v, out);
	if (strcmp(key, "nested") == 0)
		return parse_nested(f, v, out);
	out->type = strcmp(key, "is_null") == 0 ? COND_IS_NULL : COND_IS_EMPTY;
	return parse_key_cond(f, key, v, out);
}

static int parse_cond(struct filter_parse *f, const struct json *v, struct cond *out)
{
	static const char *const special[] = {"is_empty",   "is_null", "has_id",
					      "has_vector", "nested",  NULL};
	int rc = count_node(f);

	memset(out, 0, sizeof(*out));
	if (rc == 0)
		rc = parse_is_object(f->p, "a filter condition", v);
	if (rc != 0)
		return rc;
	if (json_get(v, "key") != NULL)
		return parse_field_cond(f, v, out);
	for (size_t i = 0; special[i] != NULL; i++) {
		if (json_get(v, special[i]) == NULL)
			continue;
		rc = only_key(f, v, special[i]);
		if (rc == 0)
			rc = parse_special_cond(f, special[i], json_get(v, special[i]), out);
		return rc;
	}
	out->type = COND_FILTER;
	return parse_filter_node(f, v, &out->filter);
}

/* ---- filters ---- */

/* A condition alone, or a list of them. */
static int parse_conds(struct filter_parse *f, const struct json *v, struct cond **out, uint32_t *n)
{
	struct json_iter it;
	int rc = 0;

	*n = 0;
	if (v == NULL)
		return 0;
	if (json_type(v) == JSON_OBJECT) {
		*out = arena_zalloc(f->p->arena, sizeof(**out));
		rc = parse_cond(f, v, *out);
		*n = 1;
		return rc;
	}
	rc = parse_is_array(f->p, "a clause of the filter", v);
	if (rc == 0 && json_count(v) > LIMIT_FILTER_NODES) {
		f->nodes = LIMIT_FILTER_NODES;
		rc = count_node(f);
	}
	if (rc != 0)
		return rc;
	*out = arena_zalloc(f->p->arena, json_count(v) * sizeof(**out));
	it = json_iterate(v);
	while (rc == 0 && json_next(&it)) {
		rc = parse_cond(f, it.value, &(*out)[*n]);
		(*n)++;
	}
	return rc;
}

static int parse_min_should(struct filter_parse *f, const struct json *v, struct filter *out)
{
	static const char *const known[] = {"conditions", "min_count", NULL};
	uint64_t count = 0;
	int rc = parse_object(f->p, "min_should", "min_should", v, known);

	if (rc == 0)
		rc = parse_is_array(f->p, "min_should.conditions", json_get(v, "conditions"));
	if (rc == 0 && json_get(v, "min_count") == NULL)
		rc = parse_expected(f->p, "min_should.min_count", "an unsigned integer", NULL);
	if (rc == 0)
		rc = parse_u64_field(f->p, v, "min_count", &count);
	if (rc == 0)
		rc = parse_conds(f, json_get(v, "conditions"), &out->min_should,
				 &out->n_min_should);
	out->min_count = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
	return rc;
}

static int parse_filter_node(struct filter_parse *f, const struct json *v, struct filter **out)
{
	static const char *const known[] = {"must", "should", "must_not", "min_should", NULL};
	struct filter *filter = arena_zalloc(f->p->arena, sizeof(*filter));
	int rc = 0;

	*out = filter;
	if (v == NULL)
		return 0;
	if (++f->depth > LIMIT_FILTER_DEPTH)
		return error_set(f->p->err, ERR_INPUT, "the filter is nested more than %d deep",
				 LIMIT_FILTER_DEPTH);
	rc = parse_object(f->p, "filter", "the filter", v, known);
	if (rc == 0)
		rc = parse_conds(f, json_get(v, "must"), &filter->must, &filter->n_must);
	if (rc == 0)
		rc = parse_conds(f, json_get(v, "should"), &filter->should, &filter->n_should);
	if (rc == 0)
		rc = parse_conds(f, json_get(v, "must_not"), &filter->must_not,
				 &filter->n_must_not);
	if (rc == 0 && json_get(v, "min_should") != NULL)
		rc = parse_min_should(f, json_get(v, "min_should"), filter);
	f->depth--;
	return rc;
}

int parse_filter(struct parse *p, const struct json *v, struct filter **out)
{
	struct filter_parse f = {p, 0, 0};

	return parse_filter_node(&f, v, out);
}
