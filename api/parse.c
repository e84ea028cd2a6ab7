/* Field helpers of the parsers: typed access with error texts that name field and type. */
#include "api/parse.h"

#include <inttypes.h>
#include <string.h>

void parse_fini(struct parse *p)
{
	buf_fini(&p->scratch);
}

const char *parse_type_name(const struct json *v)
{
	if (v == NULL)
		return "nothing";
	switch (json_type(v)) {
	case JSON_NULL: return "null";
	case JSON_BOOL: return "a boolean";
	case JSON_INT: return json_int(v) < 0 ? "a negative integer" : "an integer";
	case JSON_UINT: return "an integer";
	case JSON_DOUBLE: return "a floating point number";
	case JSON_RAW: return "a number beyond 64 bits";
	case JSON_STRING: return "a string";
	case JSON_ARRAY: return "an array";
	case JSON_FLOATS: return "an array of numbers";
	case JSON_OBJECT: return "an object";
	}
	return "something unknown";
}

int parse_expected(struct parse *p, const char *where, const char *expected, const struct json *v)
{
	if (v == NULL)
		return error_set(p->err, ERR_FORMAT, "missing field `%s`: expected %s", where,
				 expected);
	return error_set(p->err, ERR_FORMAT, "%s: expected %s, got %s", where, expected,
			 parse_type_name(v));
}

int parse_is_object(struct parse *p, const char *where, const struct json *v)
{
	if (v == NULL || json_type(v) != JSON_OBJECT)
		return parse_expected(p, where, "an object", v);
	return 0;
}

int parse_is_array(struct parse *p, const char *where, const struct json *v)
{
	if (v == NULL || !json_is_array_type(json_type(v)))
		return parse_expected(p, where, "an array", v);
	return 0;
}

int parse_known_keys(struct parse *p, const char *where, const struct json *v,
		     const char *const *known)
{
	struct json_iter it = json_iterate(v);

	while (json_next(&it)) {
		const char *const *k = known;

		while (*k != NULL && (strlen(*k) != it.key_n || memcmp(*k, it.key, it.key_n) != 0))
			k++;
		if (*k == NULL && json_type(it.value) != JSON_NULL)
			return error_set(p->err, ERR_UNSUPPORTED, "the field `%.*s` of %s",
					 (int)(it.key_n < 100 ? it.key_n : 100), it.key, where);
	}
	return 0;
}

int parse_object(struct parse *p, const char *where, const char *what, const struct json *v,
		 const char *const *known)
{
	int rc = parse_is_object(p, where, v);

	return rc != 0 ? rc : parse_known_keys(p, what, v, known);
}

bool parse_uint(const struct json *v, uint64_t *out)
{
	if (v == NULL)
		return false;
	if (json_type(v) == JSON_UINT || (json_type(v) == JSON_INT && json_int(v) >= 0)) {
		*out = json_uint(v);
		return true;
	}
	return false;
}

bool parse_sint(const struct json *v, int64_t *out)
{
	uint64_t u;

	if (v == NULL)
		return false;
	if (json_type(v) == JSON_INT) {
		*out = json_int(v);
		return true;
	}
	if (!parse_uint(v, &u) || u > (uint64_t)INT64_MAX)
		return false;
	*out = (int64_t)u;
	return true;
}

bool parse_is_number(const struct json *v)
{
	enum json_type t = v == NULL ? JSON_NULL : json_type(v);

	return t == JSON_INT || t == JSON_UINT || t == JSON_DOUBLE;
}

int parse_u64_field(struct parse *p, const struct json *o, const char *key, uint64_t *out)
{
	const struct json *v = json_get(o, key);

	if (v != NULL && !parse_uint(v, out))
		return parse_expected(p, key, "an unsigned integer", v);
	return 0;
}

int parse_bool_field(struct parse *p, const struct json *o, const char *key, bool *out)
{
	const struct json *v = json_get(o, key);

	if (v == NULL)
		return 0;
	if (json_type(v) != JSON_BOOL)
		return parse_expected(p, key, "a boolean", v);
	*out = json_bool(v);
	return 0;
}

int parse_double_field(struct parse *p, const struct json *o, const char *key, double *out)
{
	const struct json *v = json_get(o, key);

	if (v == NULL)
		return 0;
	if (!parse_is_number(v))
		return parse_expected(p, key, "a number", v);
	*out = json_double(v);
	return 0;
}

int parse_string_field(struct parse *p, const struct json *o, const char *key, const char **out)
{
	const struct json *v = json_get(o, key);
	const char *s;
	size_t n;

	if (v == NULL)
		return 0;
	if (json_type(v) != JSON_STRING)
		return parse_expected(p, key, "a string", v);
	s = json_string(v, &n);
	if (memchr(s, 0, n) != NULL)
		return error_set(p->err, ERR_FORMAT, "%s: a string with a NUL byte", key);
	*out = s;
	return 0;
}

int parse_need_string(struct parse *p, const struct json *o, const char *key, const char **out)
{
	if (json_get(o, key) == NULL)
		return parse_expected(p, key, "a string", NULL);
	return parse_string_field(p, o, key, out);
}

int parse_u64_ranged(struct parse *p, const struct json *o, const struct u64_range *range,
		     uint64_t *out)
{
	const char *path = range->path != NULL ? range->path : range->key;
	uint64_t value = range->min;
	int rc = parse_u64_field(p, o, range->key, &value);

	if (rc != 0 || json_get(o, range->key) == NULL)
		return rc;
	if (value < range->min && range->max == UINT64_MAX)
		return error_set(p->err, ERR_VALIDATION,
				 "%s: value %" PRIu64 " invalid, must be %" PRIu64 " or larger",
				 path, value, range->min);
	if (value < range->min || value > range->max)
		return error_set(p->err, ERR_VALIDATION,
				 "%s: value %" PRIu64 " invalid, must be from %" PRIu64
				 " to %" PRIu64,
				 path, value, range->min, range->max);
	*out = value;
	return 0;
}

int parse_path(struct parse *p, const char *where, const struct json *v, struct path *out)
{
	const char *s;
	size_t n;

	if (v == NULL || json_type(v) != JSON_STRING)
		return parse_expected(p, where, "a payload key", v);
	s = json_string(v, &n);
	if (path_parse(s, n, p->arena, out, p->err) != 0)
		return error_wrap(p->err, ERR_INPUT, "%s", where);
	return 0;
}

int parse_paths(struct parse *p, const char *where, const struct json *v, struct path **out,
		uint32_t *n)
{
	struct json_iter it;
	int rc = parse_is_array(p, where, v);

	if (rc != 0)
		return rc;
	*out = arena_alloc(p->arena, json_count(v) * sizeof(**out));
	*n = 0;
	it = json_iterate(v);
	while (json_next(&it)) {
		rc = parse_path(p, where, it.value, &(*out)[*n]);
		if (rc != 0)
			return rc;
		(*n)++;
	}
	return 0;
}

int parse_id(struct parse *p, const struct json *v, struct point_id *out)
{
	uint64_t u;
	const char *s;
	size_t n;

	if (parse_uint(v, &u)) {
		*out = id_from_u64(u);
		return 0;
	}
	if (v == NULL || json_type(v) != JSON_STRING)
		return error_set(p->err, ERR_FORMAT,
				 "%s is not a valid point ID, valid values are either an unsigned "
				 "integer or a UUID",
				 parse_type_name(v));
	s = json_string(v, &n);
	if (id_parse_uuid(s, n, out) == 0)
		return 0;
	return error_set(p->err, ERR_FORMAT,
			 "value %.*s is not a valid point ID, valid values are either an unsigned "
			 "integer or a UUID",
			 (int)(n < 100 ? n : 100), s);
}

int parse_ids(struct parse *p, const char *where, const struct json *v, struct point_id **out,
	      uint32_t *n)
{
	struct json_iter it;
	int rc = parse_is_array(p, where, v);

	if (rc != 0)
		return rc;
	*out = arena_alloc(p->arena, json_count(v) * sizeof(**out));
	*n = 0;
	it = json_iterate(v);
	while (json_next(&it)) {
		rc = parse_id(p, it.value, &(*out)[*n]);
		if (rc != 0)
			return rc;
		(*n)++;
	}
	return 0;
}

int parse_payload(struct parse *p, const char *where, const struct json *v, struct pv_slice *out)
{
	*out = (struct pv_slice){NULL, 0};
	if (v == NULL || json_type(v) == JSON_NULL)
		return 0;
	if (json_type(v) != JSON_OBJECT)
		return parse_expected(p, where, "an object", v);
	if (json_count(v) == 0)
		return 0;
	buf_clear(&p->scratch);
	json_to_pv(v, &p->scratch);
	if (p->scratch.len > LIMIT_PAYLOAD_BYTES)
		return error_set(p->err, ERR_TOO_LARGE,
				 "%s of %zu bytes is over the limit of %d bytes", where,
				 p->scratch.len, LIMIT_PAYLOAD_BYTES);
	out->bytes = arena_copy(p->arena, p->scratch.data, p->scratch.len);
	out->n = (uint32_t)p->scratch.len;
	return 0;
}
