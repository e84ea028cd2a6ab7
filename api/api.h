/* The REST API: routes, JSON in, JSON out, status codes. Knows the coordinator and nothing below it. */
#pragma once
#include "coordinator/coordinator.h"
#include "http/http.h"

struct api;
struct api_options {
	struct coord *coord;
	const char *api_key;           /* NULL: no key is asked for */
	const char *read_only_api_key; /* NULL: none */
	const char *compat_version;    /* of GET /: "1.19.0" */
	const char *url_prefix;        /* NULL or "/prefix" */
	/* More Prometheus text (shard, memory), and whether the node can serve. */
	void (*metrics)(void *ctx, struct buf *out);
	bool (*ready)(void *ctx, struct error *why);
	void *ctx;
	uint64_t self_node; /* for cluster views; 0: the first node of the map */
};
int api_new(struct api **out, const struct api_options *options, struct error *err);
void api_free(struct api *a);
/* For struct http_options: handle, streams and stream, ctx = the api. */
void api_handle(void *api, struct http_request *req);
bool api_streams(void *api, const struct http_request *req);
bool api_stream(void *api, struct http_request *req, struct http_stream *out);
