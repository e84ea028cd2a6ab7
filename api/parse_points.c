/* Points to be written: list form and batch (column) form of an upsert. */
#include "api/parse.h"

#include <inttypes.h>
#include <string.h>

static bool key_is(const struct json_iter *it, const char *key)
{
	return strlen(key) == it->key_n && memcmp(key, it->key, it->key_n) == 0;
}

int parse_point(struct parse *p, const struct json *v, struct point *out)
{
	const struct json *id = NULL, *vector = NULL, *payload = NULL;
	struct json_iter it;
	int rc = parse_is_object(p, "point", v);

	if (rc != 0)
		return rc;
	/* One walk instead of three look-ups: this is the path of bulk loads. */
	it = json_iterate(v);
	while (json_next(&it)) {
		if (key_is(&it, "id"))
			id = it.value;
		else if (key_is(&it, "vector"))
			vector = it.value;
		else if (key_is(&it, "payload"))
			payload = it.value;
		else if (json_type(it.value) != JSON_NULL)
			return error_set(p->err, ERR_UNSUPPORTED, "the field `%.*s` of a point",
					 (int)(it.key_n < 100 ? it.key_n : 100), it.key);
	}
	if (id == NULL)
		return parse_expected(p, "id", "an unsigned integer or a UUID", NULL);
	rc = parse_id(p, id, &out->id);
	if (rc == 0)
		rc = parse_vectors(p, vector, out);
	if (rc == 0)
		rc = parse_payload(p, "payload", payload, &out->payload);
	return rc;
}

static int check_count(struct parse *p, size_t n)
{
	if (n == 0)
		return error_set(p->err, ERR_INPUT, "Empty update request: no point is given");
	if (n > LIMIT_BATCH_POINTS)
		return error_set(p->err, ERR_INPUT,
				 "%zu points in one request, at most %d are allowed: send batches",
				 n, LIMIT_BATCH_POINTS);
	return 0;
}

static int parse_point_list(struct parse *p, const struct json *v, struct op *op)
{
	struct json_iter it;
	int rc = parse_is_array(p, "points", v);

	if (rc == 0)
		rc = check_count(p, json_count(v));
	if (rc != 0)
		return rc;
	op->points = arena_zalloc(p->arena, json_count(v) * sizeof(*op->points));
	it = json_iterate(v);
	while (rc == 0 && json_next(&it))
		rc = parse_point(p, it.value, &op->points[op->n_points++]);
	return rc;
}

/* ---- batch form ---- */

static int check_column(struct parse *p, const char *where, const struct json *column,
			uint32_t n_points)
{
	int rc = parse_is_array(p, where, column);

	if (rc == 0 && json_count(column) != n_points)
		rc = error_set(p->err, ERR_INPUT,
			       "%s: %zu values for %" PRIu32 " ids; there must be one for each",
			       where, json_count(column), n_points);
	return rc;
}

static int parse_column(struct parse *p, const struct json *column, struct space_ref space,
			struct op *op)
{
	struct json_iter it;
	int rc = check_column(p, "batch.vectors", column, op->n_points);

	if (rc != 0)
		return rc;
	it = json_iterate(column);
	for (uint32_t i = 0; rc == 0 && json_next(&it); i++) {
		struct point *point = &op->points[i];

		if (json_type(it.value) == JSON_NULL)
			continue;
		rc = parse_vector(p, it.value, space, &point->vectors[point->n_vectors]);
		point->n_vectors++;
	}
	return rc;
}

static void alloc_vectors(struct parse *p, struct op *op, size_t per_point)
{
	struct vector *all;

	all = arena_alloc(p->arena, op->n_points * per_point * sizeof(struct vector));
	for (uint32_t i = 0; i < op->n_points; i++)
		op->points[i].vectors = all + i * per_point;
}

static int parse_columns(struct parse *p, const struct json *v, struct op *op)
{
	struct space_ref space;
	struct json_iter it;
	int rc = 0;

	if (v == NULL)
		return parse_expected(p, "batch.vectors", "a list or an object of lists", NULL);
	if (json_is_array_type(json_type(v))) {
		alloc_vectors(p, op, 1);
		rc = parse_space(p, "", 0, &space);
		return rc != 0 ? rc : parse_column(p, v, space, op);
	}
	rc = parse_is_object(p, "batch.vectors", v);
	if (rc != 0)
		return rc;
	if (json_count(v) > 2 * LIMIT_VECTOR_SPACES)
		return error_set(p->err, ERR_INPUT,
				 "batch.vectors: more names than a collection can have");
	alloc_vectors(p, op, json_count(v));
	it = json_iterate(v);
	while (rc == 0 && json_next(&it)) {
		if (json_type(it.value) == JSON_NULL)
			continue;
		rc = parse_space(p, it.key, it.key_n, &space);
		if (rc == 0)
			rc = parse_column(p, it.value, space, op);
	}
	return rc;
}

static int parse_payload_column(struct parse *p, const struct json *v, struct op *op)
{
	struct json_iter it;
	int rc;

	if (v == NULL)
		return 0;
	rc = check_column(p, "batch.payloads", v, op->n_points);
	if (rc != 0)
		return rc;
	it = json_iterate(v);
	for (uint32_t i = 0; rc == 0 && json_next(&it); i++)
		rc = parse_payload(p, "batch.payloads", it.value, &op->points[i].payload);
	return rc;
}

static int parse_batch(struct parse *p, const struct json *v, struct op *op)
{
	static const char *const known[] = {"ids", "vectors", "payloads", NULL};
	struct point_id *ids;
	uint32_t n;
	int rc = parse_object(p, "batch", "batch", v, known);

	if (rc == 0)
		rc = parse_is_array(p, "batch.ids", json_get(v, "ids"));
	if (rc == 0)
		rc = check_count(p, json_count(json_get(v, "ids")));
	if (rc == 0)
		rc = parse_ids(p, "batch.ids", json_get(v, "ids"), &ids, &n);
	if (rc != 0)
		return rc;
	op->n_points = n;
	op->points = arena_zalloc(p->arena, n * sizeof(*op->points));
	for (uint32_t i = 0; i < n; i++)
		op->points[i].id = ids[i];
	rc = parse_columns(p, json_get(v, "vectors"), op);
	if (rc == 0)
		rc = parse_payload_column(p, json_get(v, "payloads"), op);
	return rc;
}

/* ---- the body ---- */

static int parse_update_mode(struct parse *p, const struct json *v, enum update_mode *out)
{
	static const char *const names[] = {
		[UPDATE_UPSERT] = "upsert",
		[UPDATE_INSERT_ONLY] = "insert_only",
		[UPDATE_UPDATE_ONLY] = "update_only",
	};
	const char *mode = NULL;
	int rc = parse_string_field(p, v, "update_mode", &mode);

	if (rc != 0 || mode == NULL)
		return rc;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], mode) == 0) {
			*out = (enum update_mode)i;
			return 0;
		}
	}
	return error_set(p->err, ERR_FORMAT,
			 "update_mode: expected upsert, insert_only or update_only, got '%s'",
			 mode);
}

int parse_upsert(struct parse *p, const struct json *v, struct write *out)
{
	static const char *const known[] = {"points", "batch", "update_filter", "update_mode",
					    NULL};
	int rc = parse_object(p, "body", "an upsert", v, known);

	memset(out, 0, sizeof(*out));
	out->op.type = OP_UPSERT;
	if (rc != 0)
		return rc;
	if (json_get(v, "points") != NULL && json_get(v, "batch") != NULL)
		return error_set(p->err, ERR_FORMAT, "expected points or batch, got both");
	rc = parse_update_mode(p, v, &out->mode);
	if (rc == 0 && json_get(v, "update_filter") != NULL)
		rc = parse_filter(p, json_get(v, "update_filter"), &out->condition);
	if (rc != 0)
		return rc;
	if (json_get(v, "batch") != NULL)
		return parse_batch(p, json_get(v, "batch"), &out->op);
	return parse_point_list(p, json_get(v, "points"), &out->op);
}
