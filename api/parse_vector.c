/* Vectors: dense lists, sparse objects, and the map of names of a point. Floats are used where the
 * scanner put them; sparse vectors are sorted by index. */
#include "api/parse.h"

#include "base/assert.h"
#include "model/element.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int parse_space(struct parse *p, const char *name, size_t n, struct space_ref *out)
{
	int index = collection_space(p->collection, name, n);

	if (index >= 0) {
		*out = (struct space_ref){VECTOR_DENSE, (uint32_t)index};
		return 0;
	}
	index = collection_sparse(p->collection, name, n);
	if (index >= 0) {
		*out = (struct space_ref){VECTOR_SPARSE, (uint32_t)index};
		return 0;
	}
	return error_set(p->err, ERR_INPUT, "Not existing vector name error: %.*s",
			 (int)(n < 255 ? n : 255), name);
}

/* Why an array is no dense vector: the first element that is none tells. */
static int refuse_dense(struct parse *p, const struct json *v)
{
	struct json_iter it = json_iterate(v);

	while (json_next(&it)) {
		if (json_is_array_type(json_type(it.value)))
			return error_set(p->err, ERR_UNSUPPORTED, "a multivector");
		if (json_type(it.value) == JSON_RAW)
			break;
		if (!parse_is_number(it.value))
			return parse_expected(p, "vector", "an array of numbers", it.value);
	}
	return error_set(p->err, ERR_FORMAT, "vector: a value does not fit in a 32-bit float");
}

static int parse_dense(struct parse *p, const struct json *v, uint32_t space, struct vector *out)
{
	const struct vector_space *s = &p->collection->spaces[space];
	size_t n = 0;

	if (!json_is_array_type(json_type(v))) {
		if (json_get(v, "indices") != NULL)
			return error_set(p->err, ERR_INPUT,
					 "Vector `%s` is dense: a list of numbers is needed, got a "
					 "sparse vector",
					 s->name);
		return parse_expected(p, "vector", "an array of numbers", v);
	}
	if (json_count(v) == 0)
		return error_set(p->err, ERR_VALIDATION, "vector: must not be empty");
	out->values = json_floats(v, p->arena, &n);
	if (out->values == NULL)
		return refuse_dense(p, v);
	if (n != s->dim)
		return error_set(p->err, ERR_INPUT,
				 "Vector dimension error: expected dim: %" PRIu32 ", got %zu",
				 s->dim, n);
	if (!space_fits(s, out->values))
		return error_set(p->err, ERR_FORMAT,
				 "vector: a value does not fit in a 16-bit float (65504 at most)");
	/* Out of a number's text only infinity could come, and the scanner refuses that. */
	assert_hot(vector_finite(out->values, s->dim));
	out->kind = VECTOR_DENSE;
	out->space = space;
	out->n = s->dim;
	out->indices = NULL;
	return 0;
}

struct sparse_value {
	uint32_t index;
	float value;
};

static int by_index(const void *a, const void *b)
{
	uint32_t x = ((const struct sparse_value *)a)->index;
	uint32_t y = ((const struct sparse_value *)b)->index;

	return x < y ? -1 : x > y;
}

/* Sorts (most arrive sorted), refuses duplicates, and writes the two columns. */
static int finish_sparse(struct parse *p, struct sparse_value *items, uint32_t n,
			 struct vector *out)
{
	uint32_t *indices = arena_alloc(p->arena, n * sizeof(*indices));
	float *values = arena_alloc(p->arena, n * sizeof(*values));
	bool sorted = true;

	for (uint32_t i = 1; i < n; i++)
		sorted = sorted && items[i - 1].index < items[i].index;
	if (!sorted)
		qsort(items, n, sizeof(*items), by_index);
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0 && items[i - 1].index == items[i].index)
			return error_set(p->err, ERR_VALIDATION,
					 "indices: must be unique, %" PRIu32 " occurs twice",
					 items[i].index);
		indices[i] = items[i].index;
		values[i] = items[i].value;
	}
	out->kind = VECTOR_SPARSE;
	out->n = n;
	out->indices = indices;
	out->values = values;
	return 0;
}

static int parse_sparse_columns(struct parse *p, const struct json *indices,
				const struct json *values, struct vector *out)
{
	size_t n = json_count(indices);
	struct sparse_value *items = arena_alloc(p->arena, n * sizeof(*items));
	struct json_iter it = json_iterate(indices);
	struct json_iter iv = json_iterate(values);

	for (size_t i = 0; i < n && json_next(&it) && json_next(&iv); i++) {
		uint64_t index;
		double value;

		if (!parse_uint(it.value, &index) || index > UINT32_MAX)
			return parse_expected(p, "indices", "unsigned 32-bit integers", it.value);
		if (!parse_is_number(iv.value))
			return parse_expected(p, "values", "numbers", iv.value);
		value = json_double(iv.value);
		if (!isfinite((float)value))
			return error_set(p->err, ERR_FORMAT,
					 "values: a value does not fit in a 32-bit float");
		items[i] = (struct sparse_value){(uint32_t)index, (float)value};
	}
	return finish_sparse(p, items, (uint32_t)n, out);
}

static int parse_sparse(struct parse *p, const struct json *v, uint32_t space, struct vector *out)
{
	static const char *const known[] = {"indices", "values", NULL};
	const struct json *indices, *values;
	int rc;

	if (json_is_array_type(json_type(v)))
		return error_set(p->err, ERR_INPUT,
				 "Vector `%s` is sparse: {indices, values} is needed, got a list",
				 p->collection->sparse[space].name);
	rc = parse_object(p, "sparse vector", "a sparse vector", v, known);
	if (rc != 0)
		return rc;
	indices = json_get(v, "indices");
	values = json_get(v, "values");
	rc = parse_is_array(p, "indices", indices);
	if (rc == 0)
		rc = parse_is_array(p, "values", values);
	if (rc != 0)
		return rc;
	if (json_count(indices) != json_count(values))
		return error_set(p->err, ERR_VALIDATION,
				 "values: must be the same length as indices, got %zu and %zu",
				 json_count(values), json_count(indices));
	if (json_count(indices) > LIMIT_SPARSE_VALUES)
		return error_set(p->err, ERR_VALIDATION,
				 "indices: %zu values, at most %d are allowed", json_count(indices),
				 LIMIT_SPARSE_VALUES);
	out->space = space;
	return parse_sparse_columns(p, indices, values, out);
}

int parse_vector(struct parse *p, const struct json *v, struct space_ref space, struct vector *out)
{
	if (v == NULL || json_type(v) == JSON_NULL)
		return parse_expected(p, "vector", "a vector", v);
	if (parse_is_inference(v))
		return parse_inference(p, v, space, false, out);
	if (space.kind == VECTOR_SPARSE)
		return parse_sparse(p, v, space.index, out);
	return parse_dense(p, v, space.index, out);
}

static int parse_named(struct parse *p, const struct json *v, struct point *out)
{
	struct json_iter it = json_iterate(v);

	if (json_count(v) > 2 * LIMIT_VECTOR_SPACES)
		return error_set(p->err, ERR_INPUT,
				 "vector: more names than a collection can have");
	out->vectors = arena_alloc(p->arena, json_count(v) * sizeof(*out->vectors));
	while (json_next(&it)) {
		struct space_ref space;
		int rc;

		if (json_type(it.value) == JSON_NULL)
			continue;
		rc = parse_space(p, it.key, it.key_n, &space);
		if (rc == 0)
			rc = parse_vector(p, it.value, space, &out->vectors[out->n_vectors]);
		if (rc != 0)
			return rc;
		out->n_vectors++;
	}
	return 0;
}

int parse_vectors(struct parse *p, const struct json *v, struct point *out)
{
	struct space_ref space;
	int rc;

	out->n_vectors = 0;
	if (v == NULL || json_type(v) == JSON_NULL)
		return parse_expected(p, "vector", "a vector or an object of vectors", NULL);
	if (json_type(v) == JSON_OBJECT && !parse_is_inference(v))
		return parse_named(p, v, out);
	if (json_type(v) != JSON_OBJECT && !json_is_array_type(json_type(v)))
		return parse_expected(p, "vector", "a vector or an object of vectors", v);
	rc = parse_space(p, "", 0, &space);
	if (rc != 0)
		return rc;
	out->vectors = arena_alloc(p->arena, sizeof(*out->vectors));
	rc = parse_vector(p, v, space, out->vectors);
	out->n_vectors = rc == 0;
	return rc;
}
