/* CollectionInfo. Clients refuse keys that they do not know inside `vectors`, `sparse_vectors` and the
 * parameters of payload indexes: there only what the user gave is given back. */
#include "api/render.h"

#include <string.h>

/* A setting that is always shown: the user's value, or what is in force without one. */
struct setting {
	const char *key, *value;
};

static const struct setting hnsw_settings[] = {
	{"m", "16"},
	{"ef_construct", "100"},
	{"full_scan_threshold", "10000"},
	{"max_indexing_threads", "0"},
	{"on_disk", "false"},
	{NULL, NULL},
};
static const struct setting optimizer_settings[] = {
	{"deleted_threshold", "0.2"},
	{"vacuum_min_vector_number", "1000"},
	{"default_segment_number", "0"},
	{"max_segment_size", "null"},
	{"memmap_threshold", "null"},
	{"indexing_threshold", "10000"},
	{"flush_interval_sec", "5"},
	{"max_optimization_threads", "null"},
	{NULL, NULL},
};
static const struct setting wal_settings[] = {
	{"wal_capacity_mb", "32"},
	{"wal_segments_ahead", "0"},
	{NULL, NULL},
};

static void put_text(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

static void put_key(struct buf *b, const char *key, size_t n)
{
	json_put_string(b, key, n);
	json_put_literal(b, ":");
}

static bool body_get(const struct collection *c, const char *key, struct pv *out)
{
	return c->body.n > 0 && pv_get(pv_of(c->body.bytes), key, (uint32_t)strlen(key), out) &&
	       pv_type(*out) != PV_NULL;
}

static void put_body(struct buf *b, const struct collection *c, const char *key,
		     const char *otherwise)
{
	struct pv v;

	if (body_get(c, key, &v))
		json_from_pv(b, v);
	else
		put_text(b, otherwise);
}

/* ,"key": value  - only when the user gave it. */
static void put_given(struct buf *b, const struct collection *c, const char *key)
{
	struct pv v;

	if (!body_get(c, key, &v))
		return;
	json_put_literal(b, ",");
	put_key(b, key, strlen(key));
	json_from_pv(b, v);
}

static bool is_setting(const struct setting *settings, const char *key, uint32_t n)
{
	for (; settings->key != NULL; settings++)
		if (strlen(settings->key) == n && memcmp(settings->key, key, n) == 0)
			return true;
	return false;
}

static void put_settings(struct buf *b, const struct collection *c, const char *section,
			 const struct setting *settings)
{
	struct pv given = pv_of(PV_EMPTY_OBJECT.bytes), v;
	struct pv_iter it;

	if (!body_get(c, section, &given) || pv_type(given) != PV_OBJECT)
		given = pv_of(PV_EMPTY_OBJECT.bytes);
	json_put_literal(b, "{");
	for (const struct setting *s = settings; s->key != NULL; s++) {
		if (s != settings)
			json_put_literal(b, ",");
		put_key(b, s->key, strlen(s->key));
		if (pv_get(given, s->key, (uint32_t)strlen(s->key), &v) && pv_type(v) != PV_NULL)
			json_from_pv(b, v);
		else
			put_text(b, s->value);
	}
	it = pv_iterate(given);
	while (pv_next(&it)) {
		if (pv_type(it.value) == PV_NULL || is_setting(settings, it.key, it.key_n))
			continue;
		json_put_literal(b, ",");
		put_key(b, it.key, it.key_n);
		json_from_pv(b, it.value);
	}
	json_put_literal(b, "}");
}

static void put_params(struct buf *b, const struct collection *c)
{
	json_put_literal(b, "{\"vectors\":");
	put_body(b, c, "vectors", "{}");
	put_given(b, c, "sparse_vectors");
	json_put_literal(b, ",\"shard_number\":");
	json_put_u64(b, c->n_partitions);
	put_given(b, c, "sharding_method");
	json_put_literal(b, ",\"replication_factor\":");
	json_put_u64(b, c->replication_factor);
	json_put_literal(b, ",\"write_consistency_factor\":");
	put_body(b, c, "write_consistency_factor", "1");
	json_put_literal(b, ",\"on_disk_payload\":");
	put_body(b, c, "on_disk_payload", "true");
	json_put_literal(b, "}");
}

static void put_config(struct buf *b, const struct collection *c)
{
	struct pv quantization;
	bool disabled = body_get(c, "quantization_config", &quantization) &&
			pv_type(quantization) != PV_OBJECT;

	json_put_literal(b, "{\"params\":");
	put_params(b, c);
	json_put_literal(b, ",\"hnsw_config\":");
	put_settings(b, c, "hnsw_config", hnsw_settings);
	json_put_literal(b, ",\"optimizer_config\":");
	put_settings(b, c, "optimizers_config", optimizer_settings);
	json_put_literal(b, ",\"wal_config\":");
	put_settings(b, c, "wal_config", wal_settings);
	json_put_literal(b, ",\"quantization_config\":");
	if (disabled)
		json_put_literal(b, "null");
	else
		put_body(b, c, "quantization_config", "null");
	put_given(b, c, "strict_mode_config");
	put_given(b, c, "metadata");
	put_given(b, c, "index");
	json_put_literal(b, "}");
}

static uint64_t field_points(const struct rpc_info_response *total, const char *path)
{
	for (uint32_t i = 0; i < total->n_fields; i++)
		if (strcmp(total->fields[i].path, path) == 0)
			return total->fields[i].points;
	return 0;
}

static void put_schema(struct buf *b, const struct collection *c,
		       const struct rpc_info_response *total)
{
	json_put_literal(b, "{");
	for (uint32_t i = 0; i < c->n_fields; i++) {
		const struct payload_field *f = &c->fields[i];
		const char *type = field_type_name(f->type);

		if (i > 0)
			json_put_literal(b, ",");
		put_key(b, f->path.text, strlen(f->path.text));
		json_put_literal(b, "{\"data_type\":");
		json_put_string(b, type, strlen(type));
		if (f->params.n > 0 && pv_type(pv_of(f->params.bytes)) == PV_OBJECT) {
			json_put_literal(b, ",\"params\":");
			json_from_pv(b, pv_of(f->params.bytes));
		}
		json_put_literal(b, ",\"points\":");
		json_put_u64(b, field_points(total, f->path.text));
		json_put_literal(b, "}");
	}
	json_put_literal(b, "}");
}

static const char *status_name(enum replica_status status)
{
	switch (status) {
	case REPLICA_GREEN: return "green";
	case REPLICA_YELLOW: return "yellow";
	case REPLICA_RED: return "red";
	}
	return "red";
}

void render_collection_info(struct buf *b, const struct collection *c,
			    const struct rpc_info_response *total)
{
	const char *status = status_name(total->status);

	json_put_literal(b, "{\"status\":");
	json_put_string(b, status, strlen(status));
	json_put_literal(b, ",\"optimizer_status\":\"ok\",\"indexed_vectors_count\":");
	json_put_u64(b, total->indexed_vectors);
	json_put_literal(b, ",\"points_count\":");
	json_put_u64(b, total->points);
	json_put_literal(b, ",\"segments_count\":");
	json_put_u64(b, total->segments);
	if (total->warning != NULL) {
		json_put_literal(b, ",\"warnings\":[{\"message\":");
		json_put_string(b, total->warning, strlen(total->warning));
		json_put_literal(b, "}]");
	}
	json_put_literal(b, ",\"config\":");
	put_config(b, c);
	json_put_literal(b, ",\"payload_schema\":");
	put_schema(b, c, total);
	json_put_literal(b, "}");
}
