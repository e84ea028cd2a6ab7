#include "cli/remote.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/json.h"

int remote_get(struct client *c, const char *collection, const char *vector_name,
	       struct remote_collection *out, struct error *err)
{
	struct arena *arena = arena_new(1024);
	const struct client_request request = {.method = "GET",
					       .path = client_collection_path(arena, collection,
									      "")};
	const struct json *info, *vectors, *config;
	int rc = client_call(c, &request, &info, err);

	*out = (struct remote_collection){0};
	arena_free(arena);
	if (rc == ERR_NOT_FOUND)
		return 0;
	if (rc != 0)
		return rc;
	config = client_get(info, "config");
	vectors = client_get(client_get(config, "params"), "vectors");
	if (vectors == NULL)
		return error_set(err, ERR_FORMAT, "%s describes a collection in an unknown form",
				 client_url(c));
	out->exists = true;
	/* Either the one unnamed vector itself, or an object of named ones. */
	if (client_get(vectors, "size") == NULL ||
	    json_type(client_get(vectors, "size")) == JSON_OBJECT)
		vectors = client_get(vectors, vector_name ? vector_name : "");
	else if (vector_name && *vector_name)
		vectors = NULL;
	out->dim = (uint32_t)client_number(client_get(vectors, "size"));
	snprintf(out->distance, sizeof(out->distance), "%s",
		 client_text(client_get(vectors, "distance")));
	snprintf(out->status, sizeof(out->status), "%s", client_text(client_get(info, "status")));
	snprintf(out->embedder, sizeof(out->embedder), "%s",
		 client_text(client_get(client_get(config, "metadata"), "embedder")));
	out->points = client_number(client_get(info, "points_count"));
	out->indexed = client_number(client_get(info, "indexed_vectors_count"));
	out->segments = client_number(client_get(info, "segments_count"));
	return 0;
}

static void put_text(struct buf *b, const char *before, const char *text)
{
	buf_put(b, before, strlen(before));
	json_put_string(b, text, strlen(text));
}

static void put_index(struct buf *b, const struct remote_spec *s)
{
	bool lists = s->nlist || s->nprobe;

	if (!s->index && !s->quantizer && !lists)
		return;
	json_put_literal(b, ",\"index\":{");
	put_text(b, "\"type\":", s->index ? s->index : lists ? "ivf" : "hnsw");
	if (s->quantizer)
		put_text(b, ",\"quantizer\":", s->quantizer);
	if (s->nlist)
		buf_printf(b, ",\"nlist\":%" PRIu64, s->nlist);
	if (s->nprobe)
		buf_printf(b, ",\"nprobe\":%" PRIu64, s->nprobe);
	buf_put_u8(b, '}');
}

int remote_create(struct client *c, const struct remote_spec *s, struct error *err)
{
	struct arena *arena = arena_new(1024);
	struct client_request request = {.method = "PUT",
					 .path = client_collection_path(arena, s->name, "")};
	struct buf b = BUF_INIT;
	bool named = s->vector_name && *s->vector_name;
	int rc;

	json_put_literal(&b, "{\"vectors\":");
	if (named) {
		put_text(&b, "{", s->vector_name);
		buf_put_u8(&b, ':');
	}
	buf_printf(&b, "{\"size\":%" PRIu64 ",\"distance\":\"%s\"%s}%s", s->dim, s->distance,
		   s->on_disk ? ",\"on_disk\":true" : "", named ? "}" : "");
	if (s->m || s->ef_construct) {
		json_put_literal(&b, ",\"hnsw_config\":{");
		if (s->m)
			buf_printf(&b, "\"m\":%" PRIu64 "%s", s->m, s->ef_construct ? "," : "");
		if (s->ef_construct)
			buf_printf(&b, "\"ef_construct\":%" PRIu64, s->ef_construct);
		buf_put_u8(&b, '}');
	}
	put_index(&b, s);
	if (s->shards)
		buf_printf(&b, ",\"shard_number\":%" PRIu64, s->shards);
	if (s->replicas)
		buf_printf(&b, ",\"replication_factor\":%" PRIu64, s->replicas);
	if (s->embedder) {
		put_text(&b, ",\"metadata\":{\"embedder\":", s->embedder);
		buf_put_u8(&b, '}');
	}
	buf_put_u8(&b, '}');
	request.body = b.data;
	request.body_n = b.len;
	rc = client_call(c, &request, NULL, err);
	buf_fini(&b);
	arena_free(arena);
	return rc;
}

int remote_delete(struct client *c, const char *collection, bool *existed, struct error *err)
{
	struct arena *arena = arena_new(1024);
	const struct client_request request = {.method = "DELETE",
					       .path = client_collection_path(arena, collection,
									      "")};
	const struct json *result;
	int rc = client_call(c, &request, &result, err);

	*existed = rc == 0 && result && json_type(result) == JSON_BOOL && json_bool(result);
	arena_free(arena);
	return rc;
}

int remote_check_filter(const char *filter, size_t n, struct error *err)
{
	struct arena *arena = arena_new(1024);
	const struct json *v;
	int rc = json_parse((const uint8_t *)filter, n, arena, &v, err);

	if (rc != 0)
		error_wrap(err, rc, "the filter is no JSON");
	else if (json_type(v) != JSON_OBJECT)
		rc = error_set(
			err, ERR_INPUT,
			"the filter: an object is expected, as in {\"must\":[{\"key\":\"year\","
			"\"range\":{\"gte\":1990}}]}");
	arena_free(arena);
	return rc;
}

int remote_count(struct client *c, const char *collection, const char *filter, uint64_t *out,
		 struct error *err)
{
	struct arena *arena = arena_new(1024);
	struct client_request request = {.method = "POST",
					 .path = client_collection_path(arena, collection,
									"/points/count")};
	const struct json *result, *count = NULL;
	struct buf b = BUF_INIT;
	int rc;

	rc = filter ? remote_check_filter(filter, strlen(filter), err) : 0;
	if (rc != 0)
		goto out;
	json_put_literal(&b, "{\"exact\":true");
	if (filter)
		buf_printf(&b, ",\"filter\":%s", filter);
	buf_put_u8(&b, '}');
	request.body = b.data;
	request.body_n = b.len;
	rc = client_call(c, &request, &result, err);
	count = rc == 0 ? client_get(result, "count") : NULL;
	if (rc == 0 && count == NULL)
		rc = error_set(err, ERR_FORMAT, "%s answered a count without a number",
			       client_url(c));
	*out = client_number(count);
out:
	buf_fini(&b);
	arena_free(arena);
	return rc;
}

int remote_wait_green(struct client *c, const char *collection, double seconds,
		      const atomic_bool *stop, struct error *err)
{
	uint64_t start = clock_monotonic_us();
	struct remote_collection info;

	while (true) {
		int rc = remote_get(c, collection, NULL, &info, err);

		if (rc != 0)
			return rc;
		if (!info.exists)
			return error_set(err, ERR_NOT_FOUND, "Collection `%s` doesn't exist",
					 collection);
		if (strcmp(info.status, "green") == 0)
			return 0;
		if ((double)(clock_monotonic_us() - start) * 1e-6 > seconds)
			return error_set(
				err, ERR_TIMEOUT,
				"the indexes of `%s` were not ready within %.0f s (status %s)",
				collection, seconds, info.status);
		if (stop && atomic_load(stop))
			return error_set(err, ERR_CLOSED, "stopped");
		usleep(50000);
	}
}

const char *remote_distance(const char *name)
{
	static const char *const names[][2] = {{"cosine", "Cosine"}, {"angular", "Cosine"},
					       {"dot", "Dot"},       {"ip", "Dot"},
					       {"euclid", "Euclid"}, {"euclidean", "Euclid"},
					       {"l2", "Euclid"},     {"manhattan", "Manhattan"},
					       {"l1", "Manhattan"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(name, names[i][0]) == 0)
			return names[i][1];
	}
	return NULL;
}
