/* One request of the REST API on its way: what the files of api/ share beside the parsers.
 *
 * Life: api_handle() makes the struct in the request's arena, checks the key and the parameters, finds
 * the route and calls its handler. From there on exactly one of the respond functions ends it, on
 * whichever thread the coordinator finished; the struct is gone after that. A handler that waits for
 * the coordinator keeps its own state in the arena and gets it back through coord_call.ctx.
 */
#pragma once
#include "api/api.h"
#include "api/parse.h"

#include <stdatomic.h>

struct api_request;

enum route_flag {
	ROUTE_OPEN = 1,       /* no key needed */
	ROUTE_WRITE = 2,      /* not with the read-only key */
	ROUTE_BODY = 4,       /* JSON body, parsed before the handler runs */
	ROUTE_COLLECTION = 8, /* the first argument is a collection or an alias, resolved before */
	ROUTE_RAW = 16,       /* the handler looks at the content type itself (with ROUTE_BODY) */
};

struct route {
	enum http_method method;
	const char *pattern; /* "/collections/{}/points": {} is an argument */
	unsigned flags;
	void (*handle)(struct api_request *r);
	const char *unsupported; /* instead of handle: the feature that we do not have */
};
extern const struct route api_routes[];
extern const unsigned api_n_routes;

enum { ROUTE_ARGS = 3 };

/* What was counted, per route; [n_routes] is for requests without one. */
struct route_stats {
	_Atomic uint64_t by_class[6]; /* status / 100 */
	struct histogram *duration_us;
};

struct api {
	struct api_options options;
	_Atomic unsigned refs; /* the owner, and each request in flight */
	uint64_t started_us;
	struct route_stats *stats;
};

struct api_request {
	struct api *api;
	struct http_request *http;
	struct arena *arena;
	const struct route *route;
	enum http_method method;
	char *args[ROUTE_ARGS]; /* decoded */
	const struct collection *collection;
	const struct json *body;
	bool wait, receipt, allow_partial;
	uint64_t timeout_s; /* 0: not given */
	uint64_t started_us, deadline_us;
	uint64_t batch_hi, batch_lo; /* from Idempotency-Key */
	struct error err;
	struct buf out;
};

/* ---- api.c ---- */

/* Makes the request's state and checks key, parameters and route. 0, or a code after which the caller
 * answers with respond_error(); *plain_status is set (401, 403) when the answer is plain text. */
struct api_request *request_new(struct api *a, struct http_request *http);
/* Parser context of this request. */
static inline struct parse request_parse(struct api_request *r)
{
	return parse_make(r->arena, r->collection, &r->err);
}
/* The head of a coordinator call. */
void request_call(struct api_request *r, struct coord_call *call,
		  void (*done)(struct coord_call *call), void *ctx);
/* false: the call failed and was answered with its error. */
bool request_succeeded(struct api_request *r, const struct coord_call *call);
/* Frees what is not in the arena; called by the respond functions, and by a stream that is aborted. */
void request_fini(struct api_request *r);
bool request_content_is(const struct api_request *r, const char *type);

/* ---- parameters.c ---- */

/* Reads the general query parameters into r, once r->route is set, and refuses those that are not known. */
int request_read_parameters(struct api_request *r);
/* A parameter that is true or false; *out stays as it is when it is not given. */
int parameter_flag(struct api_request *r, const char *name, bool *out);

/* ---- routes.c ---- */

/* The route of a path below the prefix. 0; ERR_NOT_FOUND: no such path; ERR_FORBIDDEN: the path is there
 * with other methods only; ERR_FORMAT: bad percent-encoding. */
int route_find(struct api_request *r, const char *path, struct error *err);

/* ---- respond.c ---- */

/* {"result":  - the caller appends the value, then respond_ok() closes and sends. */
struct buf *respond_begin(struct api_request *r);
void respond_ok(struct api_request *r);
void respond_true(struct api_request *r);
/* UpdateResult. */
void respond_update(struct api_request *r, uint64_t operation_id);
void put_update_result(struct buf *b, uint64_t operation_id, bool waited);
/* Status and text from the code and r->err. */
void respond_error(struct api_request *r, int code);
/* After respond_begin() and the value: what was done before it failed, with the error. */
void respond_failed_with_result(struct api_request *r, int code);
/* 405 with r->err. */
void respond_method_not_allowed(struct api_request *r);
void respond_plain(struct api_request *r, int status, const char *text);
/* A body of another type; takes *body over. */
void respond_body(struct api_request *r, int status, const char *content_type, struct buf *body);
/* The text of an error as the API shows it, with its prefix; and its status. */
int error_status(int code);
void put_error_text(struct buf *out, int code, const struct error *err);

/* ---- metrics.c ---- */

int stats_init(struct api *a, struct error *err);
void stats_fini(struct api *a);
void stats_count(struct api_request *r, int status);
void stats_metrics(struct api *a, struct buf *out);

/* ---- handlers ---- */

void handle_root(struct api_request *r);
void handle_healthz(struct api_request *r);
void handle_livez(struct api_request *r);
void handle_readyz(struct api_request *r);
void handle_metrics(struct api_request *r);
void handle_telemetry(struct api_request *r);
void handle_collection_list(struct api_request *r);
void handle_alias_change(struct api_request *r);
void handle_collection_info(struct api_request *r);
void handle_collection_create(struct api_request *r);
void handle_collection_delete(struct api_request *r);
void handle_collection_patch(struct api_request *r);
void handle_collection_exists(struct api_request *r);
void handle_index_create(struct api_request *r);
void handle_index_delete(struct api_request *r);
void handle_collection_aliases(struct api_request *r);
void handle_alias_list(struct api_request *r);
void handle_cluster(struct api_request *r);
void handle_collection_cluster(struct api_request *r);
void handle_upsert(struct api_request *r);
void handle_retrieve(struct api_request *r);
void handle_delete_points(struct api_request *r);
void handle_set_payload(struct api_request *r);
void handle_overwrite_payload(struct api_request *r);
void handle_delete_payload(struct api_request *r);
void handle_clear_payload(struct api_request *r);
void handle_update_vectors(struct api_request *r);
void handle_delete_vectors(struct api_request *r);
void handle_batch_update(struct api_request *r);
void handle_scroll(struct api_request *r);
void handle_count(struct api_request *r);
void handle_facet(struct api_request *r);
void handle_query(struct api_request *r);
void handle_query_batch(struct api_request *r);
void handle_query_groups(struct api_request *r);
void handle_search(struct api_request *r);
void handle_search_batch(struct api_request *r);
void handle_search_groups(struct api_request *r);
void handle_recommend(struct api_request *r);
void handle_recommend_batch(struct api_request *r);
void handle_recommend_groups(struct api_request *r);
void handle_retrieve_one(struct api_request *r);

void handle_operator_view(struct api_request *r);
void handle_operator_plan(struct api_request *r);
void handle_collection_operate(struct api_request *r);
void handle_node_drain(struct api_request *r);
void handle_node_undrain(struct api_request *r);
void handle_node_remove(struct api_request *r);
void handle_partition_view(struct api_request *r);
void handle_partition_recover(struct api_request *r);
void handle_key_create(struct api_request *r);
void handle_key_list(struct api_request *r);
void handle_key_remove(struct api_request *r);

/* ingest.c: a stream of JSON lines for a collection. */
void ingest_start(struct api_request *r, struct http_stream *out);
