/* Writes other than upserts: deletes, payload operations, vector operations, and lists of them. */
#include "api/parse.h"

#include <string.h>

static const char *const target_keys[] = {"points", "filter", NULL};

/* Exactly one of points and filter says what is meant. */
static int parse_targets(struct parse *p, const struct json *v, struct write *out)
{
	const struct json *points = json_get(v, "points");
	const struct json *filter = json_get(v, "filter");

	if (points != NULL && filter != NULL)
		return error_set(p->err, ERR_INPUT, "expected points or filter, got both");
	if (points != NULL)
		return parse_ids(p, "points", points, &out->op.ids, &out->op.n_ids);
	if (filter != NULL)
		return parse_filter(p, filter, &out->select);
	return error_set(p->err, ERR_FORMAT,
			 "missing field `points` or `filter`: say which points are meant");
}

static int begin(struct parse *p, const struct json *v, enum op_type type, struct write *out)
{
	memset(out, 0, sizeof(*out));
	out->op.type = type;
	return parse_is_object(p, "body", v);
}

int parse_delete(struct parse *p, const struct json *v, struct write *out)
{
	int rc = begin(p, v, OP_DELETE, out);

	if (rc == 0)
		rc = parse_known_keys(p, "a delete", v, target_keys);
	return rc != 0 ? rc : parse_targets(p, v, out);
}

static int parse_payload_change(struct parse *p, const struct json *v, struct write *out)
{
	static const char *const known[] = {"payload", "points", "filter", "key", NULL};
	int rc = parse_known_keys(p, "a payload change", v, known);

	if (rc == 0 && json_get(v, "payload") == NULL)
		rc = parse_expected(p, "payload", "an object", NULL);
	if (rc == 0)
		rc = parse_payload(p, "payload", json_get(v, "payload"), &out->op.payload);
	if (rc == 0 && json_get(v, "key") != NULL)
		rc = parse_path(p, "key", json_get(v, "key"), &out->op.key);
	return rc != 0 ? rc : parse_targets(p, v, out);
}

int parse_set_payload(struct parse *p, const struct json *v, struct write *out)
{
	int rc = begin(p, v, OP_SET_PAYLOAD, out);

	return rc != 0 ? rc : parse_payload_change(p, v, out);
}

int parse_overwrite_payload(struct parse *p, const struct json *v, struct write *out)
{
	int rc = begin(p, v, OP_OVERWRITE_PAYLOAD, out);

	return rc != 0 ? rc : parse_payload_change(p, v, out);
}

int parse_delete_payload(struct parse *p, const struct json *v, struct write *out)
{
	static const char *const known[] = {"keys", "points", "filter", NULL};
	int rc = begin(p, v, OP_DELETE_PAYLOAD, out);

	if (rc == 0)
		rc = parse_known_keys(p, "a payload deletion", v, known);
	if (rc == 0)
		rc = parse_paths(p, "keys", json_get(v, "keys"), &out->op.paths, &out->op.n_paths);
	return rc != 0 ? rc : parse_targets(p, v, out);
}

int parse_clear_payload(struct parse *p, const struct json *v, struct write *out)
{
	int rc = begin(p, v, OP_CLEAR_PAYLOAD, out);

	if (rc == 0)
		rc = parse_known_keys(p, "a payload clearing", v, target_keys);
	return rc != 0 ? rc : parse_targets(p, v, out);
}

int parse_update_vectors(struct parse *p, const struct json *v, struct write *out)
{
	static const char *const known[] = {"points", "update_filter", NULL};
	const struct json *points;
	struct json_iter it;
	int rc = begin(p, v, OP_UPDATE_VECTORS, out);

	if (rc == 0)
		rc = parse_known_keys(p, "a vector update", v, known);
	if (rc != 0)
		return rc;
	points = json_get(v, "points");
	rc = parse_is_array(p, "points", points);
	if (rc == 0 && json_get(v, "update_filter") != NULL)
		rc = parse_filter(p, json_get(v, "update_filter"), &out->condition);
	if (rc != 0)
		return rc;
	if (json_count(points) == 0 || json_count(points) > LIMIT_BATCH_POINTS)
		return error_set(p->err, ERR_INPUT, "points: %zu given, from 1 to %d are allowed",
				 json_count(points), LIMIT_BATCH_POINTS);
	out->op.points = arena_zalloc(p->arena, json_count(points) * sizeof(*out->op.points));
	it = json_iterate(points);
	while (rc == 0 && json_next(&it)) {
		struct point *point = &out->op.points[out->op.n_points++];

		if (json_get(it.value, "payload") != NULL)
			return error_set(p->err, ERR_UNSUPPORTED,
					 "the field `payload` of a vector update");
		rc = parse_point(p, it.value, point);
		if (rc == 0 && point->n_vectors == 0)
			rc = error_set(p->err, ERR_INPUT, "vector: no vector is given to update");
	}
	return rc;
}

int parse_delete_vectors(struct parse *p, const struct json *v, struct write *out)
{
	static const char *const known[] = {"vector", "points", "filter", NULL};
	const struct json *names;
	struct json_iter it;
	int rc = begin(p, v, OP_DELETE_VECTORS, out);

	if (rc == 0)
		rc = parse_known_keys(p, "a vector deletion", v, known);
	if (rc != 0)
		return rc;
	names = json_get(v, "vector");
	rc = parse_is_array(p, "vector", names);
	if (rc == 0 && json_count(names) == 0)
		rc = error_set(p->err, ERR_VALIDATION, "vector: must name at least one vector");
	if (rc != 0)
		return rc;
	out->op.spaces = arena_alloc(p->arena, json_count(names) * sizeof(*out->op.spaces));
	it = json_iterate(names);
	while (json_next(&it)) {
		struct space_ref space;
		const char *s;
		size_t n;

		if (json_type(it.value) != JSON_STRING)
			return parse_expected(p, "vector", "names of vectors", it.value);
		s = json_string(it.value, &n);
		rc = parse_space(p, s, n, &space);
		if (rc != 0)
			return rc;
		out->op.spaces[out->op.n_spaces].kind = space.kind;
		out->op.spaces[out->op.n_spaces].space = space.index;
		out->op.n_spaces++;
	}
	return parse_targets(p, v, out);
}

/* ---- lists ---- */

typedef int (*parse_write_fn)(struct parse *p, const struct json *v, struct write *out);
static const struct operation {
	const char *name;
	parse_write_fn parse;
} operations[] = {
	{"upsert", parse_upsert},
	{"delete", parse_delete},
	{"delete_points", parse_delete},
	{"set_payload", parse_set_payload},
	{"overwrite_payload", parse_overwrite_payload},
	{"delete_payload", parse_delete_payload},
	{"clear_payload", parse_clear_payload},
	{"update_vectors", parse_update_vectors},
	{"delete_vectors", parse_delete_vectors},
};

static const struct operation *find_operation(const struct json_iter *it)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (strlen(operations[i].name) == it->key_n &&
		    memcmp(operations[i].name, it->key, it->key_n) == 0)
			return &operations[i];
	return NULL;
}

static int parse_operation(struct parse *p, const struct json *v, struct write *out)
{
	const struct operation *operation = NULL;
	const struct json *body = NULL;
	struct json_iter it;
	int rc = parse_is_object(p, "operation", v);
	uint32_t n = 0;

	if (rc != 0)
		return rc;
	it = json_iterate(v);
	while (json_next(&it)) {
		if (json_type(it.value) == JSON_NULL)
			continue;
		operation = find_operation(&it);
		body = it.value;
		n++;
		if (operation == NULL)
			return error_set(p->err, ERR_UNSUPPORTED, "the operation `%.*s`",
					 (int)(it.key_n < 100 ? it.key_n : 100), it.key);
	}
	if (n != 1)
		return error_set(
			p->err, ERR_FORMAT,
			"operations: each must be an object with one operation, as {\"upsert\": "
			"{..}}");
	return operation->parse(p, body, out);
}

int parse_operations(struct parse *p, const struct json *v, struct write **out, uint32_t *n)
{
	static const char *const known[] = {"operations", NULL};
	const struct json *list;
	struct json_iter it;
	int rc = parse_object(p, "body", "a batch", v, known);

	*n = 0;
	if (rc != 0)
		return rc;
	list = json_get(v, "operations");
	rc = parse_is_array(p, "operations", list);
	if (rc == 0 && json_count(list) > LIMIT_BATCH_POINTS)
		rc = error_set(p->err, ERR_INPUT, "%zu operations in one request, at most %d",
			       json_count(list), LIMIT_BATCH_POINTS);
	if (rc != 0)
		return rc;
	*out = arena_zalloc(p->arena, json_count(list) * sizeof(**out));
	it = json_iterate(list);
	while (rc == 0 && json_next(&it))
		rc = parse_operation(p, it.value, &(*out)[(*n)++]);
	return rc == 0 ? 0 : error_wrap(p->err, rc, "operations[%u]", *n - 1);
}
