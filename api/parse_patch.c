/* PATCH /collections/{name}: the settings that may change later. The patch is merged into the body that
 * the user created the collection with, and the merged body is read by the same parser as a new one;
 * so what may stand in a collection is said in one place. */
#include "api/parse.h"

#include <string.h>

static bool key_is(const struct pv_iter *it, const char *key)
{
	return strlen(key) == it->key_n && memcmp(key, it->key, it->key_n) == 0;
}

/* quantization_config: "Disabled" takes the setting away. */
static bool removes(const struct pv_iter *it, struct pv change)
{
	return change.at != NULL && key_is(it, "quantization_config") &&
	       pv_type(change) == PV_STRING;
}

/* Copies the keys of `patch` that `old` lacks; returns how many. */
static uint32_t put_new_keys(struct buf *out, struct pv old, struct pv patch)
{
	struct pv_iter it = pv_iterate(patch);
	uint32_t n = 0;

	while (pv_next(&it)) {
		struct pv present;

		if (pv_type(it.value) == PV_NULL || removes(&it, it.value) ||
		    pv_get(old, it.key, it.key_n, &present))
			continue;
		pv_put_key(out, it.key, it.key_n);
		pv_put_value(out, it.value);
		n++;
	}
	return n;
}

/* Metadata: keys of the patch replace, null removes. */
static void merge_metadata(struct buf *out, struct pv old, struct pv patch)
{
	size_t mark = pv_open(out, PV_OBJECT);
	struct pv_iter it = pv_iterate(old);
	uint32_t n = 0;

	while (pv_next(&it)) {
		struct pv change;
		bool changed = pv_get(patch, it.key, it.key_n, &change);

		if (changed && pv_type(change) == PV_NULL)
			continue;
		pv_put_key(out, it.key, it.key_n);
		pv_put_value(out, changed ? change : it.value);
		n++;
	}
	pv_close(out, mark, n + put_new_keys(out, old, patch));
}

/* Settings: objects are merged key by key, null says nothing. A quantization is replaced as a whole:
 * its kind is its key. Depth is that of parsed JSON, so recursion is bounded. */
static void merge_settings(struct buf *out, struct pv old, struct pv patch)
{
	struct pv_iter it;
	size_t mark;
	uint32_t n = 0;

	if (pv_type(old) != PV_OBJECT || pv_type(patch) != PV_OBJECT) {
		pv_put_value(out, patch);
		return;
	}
	mark = pv_open(out, PV_OBJECT);
	it = pv_iterate(old);
	while (pv_next(&it)) {
		struct pv change;

		if (!pv_get(patch, it.key, it.key_n, &change) || pv_type(change) == PV_NULL)
			change = pv_of(NULL);
		if (removes(&it, change))
			continue;
		pv_put_key(out, it.key, it.key_n);
		if (change.at == NULL)
			pv_put_value(out, it.value);
		else if (key_is(&it, "quantization_config"))
			pv_put_value(out, change);
		else
			merge_settings(out, it.value, change);
		n++;
	}
	pv_close(out, mark, n + put_new_keys(out, old, patch));
}

static struct pv patch_vectors(struct parse *p, struct pv old, struct pv patch)
{
	struct buf out = BUF_INIT;
	struct pv unnamed, size;
	struct pv result;

	/* The unnamed vector stands in the body without its name. */
	if (pv_get(old, "size", 4, &size) && pv_type(size) != PV_OBJECT &&
	    pv_get(patch, "", 0, &unnamed))
		merge_settings(&out, old, unnamed);
	else
		merge_settings(&out, old, patch);
	result = pv_of(arena_copy(p->arena, out.data, out.len));
	buf_fini(&out);
	return result;
}

static const char *const patch_keys[] = {"vectors",  "sparse_vectors",     "optimizers_config",
					 "params",   "hnsw_config",        "quantization_config",
					 "metadata", "strict_mode_config", NULL};
static const char *const params_keys[] = {"replication_factor",  "write_consistency_factor",
					  "read_fan_out_factor", "read_fan_out_delay_ms",
					  "on_disk_payload",     NULL};

/* A string in the place of a quantization takes it away; no other word than this is one. */
static int check_patched_quantization(struct parse *p, const struct json *v)
{
	const char *word = "Disabled";
	int rc = 0;

	if (json_get(v, "quantization_config") != NULL &&
	    json_type(json_get(v, "quantization_config")) == JSON_STRING)
		rc = parse_string_field(p, v, "quantization_config", &word);
	if (rc == 0 && strcmp(word, "Disabled") != 0)
		rc = error_set(p->err, ERR_FORMAT,
			       "quantization_config: expected an object or `Disabled`, got "
			       "'%.100s'",
			       word);
	return rc;
}

static int check_patched_vectors(struct parse *p, const struct json *v)
{
	static const char *const known[] = {"hnsw_config", "quantization_config", "on_disk", NULL};
	struct json_iter it;
	struct space_ref space;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_is_object(p, "vectors", v);
	if (rc != 0)
		return rc;
	it = json_iterate(v);
	while (rc == 0 && json_next(&it)) {
		rc = parse_space(p, it.key, it.key_n, &space);
		if (rc == 0 && space.kind != VECTOR_DENSE)
			rc = error_set(p->err, ERR_INPUT, "Not existing vector name error: %.*s",
				       (int)it.key_n, it.key);
		if (rc == 0)
			rc = parse_object(p, "vectors", "a change of vectors", it.value, known);
		if (rc == 0)
			rc = check_patched_quantization(p, it.value);
	}
	return rc;
}

static int check_patched_sparse(struct parse *p, const struct json *v)
{
	struct json_iter it;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_is_object(p, "sparse_vectors", v);
	if (rc != 0)
		return rc;
	it = json_iterate(v);
	while (json_next(&it))
		if (collection_sparse(p->collection, it.key, it.key_n) < 0)
			return error_set(p->err, ERR_INPUT, "Not existing vector name error: %.*s",
					 (int)it.key_n, it.key);
	return 0;
}

/* What is not in a create body and so is not read by its parser. */
static int check_patched_params(struct parse *p, const struct json *v)
{
	uint64_t ignored;
	int rc;

	if (v == NULL)
		return 0;
	rc = parse_object(p, "params", "params", v, params_keys);
	if (rc == 0)
		rc = parse_u64_field(p, v, "read_fan_out_factor", &ignored);
	return rc != 0 ? rc : parse_u64_field(p, v, "read_fan_out_delay_ms", &ignored);
}

static int check_patch(struct parse *p, const struct json *v)
{
	const struct json *metadata;
	int rc = parse_object(p, "body", "a change of a collection", v, patch_keys);

	if (rc == 0)
		rc = check_patched_vectors(p, json_get(v, "vectors"));
	if (rc == 0)
		rc = check_patched_sparse(p, json_get(v, "sparse_vectors"));
	if (rc == 0)
		rc = check_patched_quantization(p, v);
	if (rc == 0)
		rc = check_patched_params(p, json_get(v, "params"));
	/* Metadata is merged before the parser of a create body sees it. */
	metadata = rc == 0 ? json_get(v, "metadata") : NULL;
	return metadata == NULL ? rc : parse_is_object(p, "metadata", metadata);
}

/* The value that a key of the body gets from the patch; false: it stays. */
static bool patched(struct parse *p, struct pv patch, const struct pv_iter *it, struct buf *out)
{
	struct pv change, params;

	/* The keys of params stand at the top of a create body. */
	for (size_t i = 0; params_keys[i] != NULL; i++) {
		if (key_is(it, params_keys[i]) && pv_get(patch, "params", 6, &params) &&
		    pv_get(params, it->key, it->key_n, &change) && pv_type(change) != PV_NULL) {
			pv_put_value(out, change);
			return true;
		}
	}
	if (key_is(it, "params") || !pv_get(patch, it->key, it->key_n, &change) ||
	    pv_type(change) == PV_NULL)
		return false;
	if (key_is(it, "vectors"))
		pv_put_value(out, patch_vectors(p, it->value, change));
	else if (key_is(it, "metadata"))
		merge_metadata(out, it->value, change);
	else if (key_is(it, "quantization_config"))
		pv_put_value(out, change);
	else
		merge_settings(out, it->value, change);
	return true;
}

static uint32_t put_missing(struct buf *out, struct pv body, struct pv patch)
{
	struct pv_iter it = pv_iterate(patch);
	uint32_t n = 0;

	while (pv_next(&it)) {
		struct pv present;

		if (pv_type(it.value) == PV_NULL || key_is(&it, "params") ||
		    removes(&it, it.value) || key_is(&it, "read_fan_out_factor") ||
		    key_is(&it, "read_fan_out_delay_ms") ||
		    pv_get(body, it.key, it.key_n, &present))
			continue;
		pv_put_key(out, it.key, it.key_n);
		if (key_is(&it, "metadata"))
			merge_metadata(out, pv_of(PV_EMPTY_OBJECT.bytes), it.value);
		else
			pv_put_value(out, it.value);
		n++;
	}
	return n;
}

static void merge_bodies(struct parse *p, struct pv body, struct pv patch, struct buf *out)
{
	size_t mark = pv_open(out, PV_OBJECT);
	struct pv_iter it = pv_iterate(body);
	struct pv params;
	uint32_t n = 0;

	while (pv_next(&it)) {
		struct pv change = pv_of(NULL);

		if (pv_get(patch, it.key, it.key_n, &change) && removes(&it, change))
			continue;
		pv_put_key(out, it.key, it.key_n);
		if (!patched(p, patch, &it, out))
			pv_put_value(out, it.value);
		n++;
	}
	n += put_missing(out, body, patch);
	if (pv_get(patch, "params", 6, &params))
		n += put_missing(out, body, params);
	pv_close(out, mark, n);
}

/* The merged body as a definition, through its JSON text. */
static int read_merged(struct parse *p, struct pv merged, struct collection **out)
{
	struct buf text = BUF_INIT;
	const struct json *v;
	uint8_t *copy;
	int rc;

	json_from_pv(&text, merged);
	copy = arena_copy(p->arena, text.data, text.len);
	rc = json_parse(copy, text.len, p->arena, &v, p->err);
	if (rc == 0)
		rc = parse_collection(p, p->collection->name, v, out);
	buf_fini(&text);
	return rc;
}

int parse_collection_patch(struct parse *p, const struct json *v, struct collection **out)
{
	const struct collection *old = p->collection;
	struct buf patch = BUF_INIT, merged = BUF_INIT;
	struct collection *fresh = NULL, *next;
	int rc = check_patch(p, v);

	*out = NULL;
	if (rc != 0)
		return rc;
	json_to_pv(v, &patch);
	merge_bodies(p, pv_of(old->body.bytes), pv_of(patch.data), &merged);
	rc = read_merged(p, pv_of(merged.data), &fresh);
	if (rc == 0) {
		/* Spaces keep their order and their names; only settings are taken over. */
		next = collection_clone(old);
		for (uint32_t i = 0; i < next->n_spaces; i++)
			next->spaces[i].index = fresh->spaces[i].index;
		for (uint32_t i = 0; i < next->n_sparse; i++)
			next->sparse[i].idf = fresh->sparse[i].idf;
		next->replication_factor = fresh->replication_factor;
		next->body.bytes = arena_copy(next->arena, fresh->body.bytes, fresh->body.n);
		next->body.n = fresh->body.n;
		*out = next;
	}
	collection_unref(fresh);
	buf_fini(&patch);
	buf_fini(&merged);
	return rc;
}
