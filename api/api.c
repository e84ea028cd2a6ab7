/* The REST API's front: keys, parameters, routes, and the life of a request's state. */
#include "api/operate.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char ndjson[] = "application/x-ndjson";

int api_new(struct api **out, const struct api_options *options, struct error *err)
{
	struct api *a = calloc(1, sizeof(*a));
	int rc;

	*out = NULL;
	if (a == NULL)
		return error_set(err, ERR_NOMEM, "start the API: out of memory");
	assert(options->coord != NULL);
	a->options = *options;
	if (a->options.compat_version == NULL)
		a->options.compat_version = "1.19.0"; /* clients of 1.18 to 1.20 are content */
	if (a->options.url_prefix == NULL)
		a->options.url_prefix = "";
	if (a->options.url_prefix[0] != 0 && a->options.url_prefix[0] != '/') {
		free(a);
		return error_set(err, ERR_INPUT, "url_prefix '%s' must begin with /",
				 options->url_prefix);
	}
	a->started_us = clock_monotonic_us();
	atomic_init(&a->refs, 1);
	rc = stats_init(a, err);
	if (rc != 0) {
		api_free(a);
		return rc;
	}
	*out = a;
	return 0;
}

static void api_unref(struct api *a)
{
	if (atomic_fetch_sub(&a->refs, 1) != 1)
		return;
	stats_fini(a);
	free(a);
}

void api_free(struct api *a)
{
	if (a != NULL)
		api_unref(a);
}

/* ---- keys ---- */

/* Takes as long for a wrong key as for a right one. */
static bool same_key(const char *expected, const char *given)
{
	size_t n = strlen(expected), given_n = strlen(given);
	unsigned char difference = n != given_n;

	for (size_t i = 0; i < given_n; i++)
		difference |= (unsigned char)(expected[n == 0 ? 0 : i % n] ^ given[i]);
	return difference == 0;
}

static const char *given_key(struct api_request *r)
{
	const char *key = http_header(r->http, "api-key");

	if (key != NULL)
		return key;
	key = http_header(r->http, "Authorization");
	if (key == NULL || strncasecmp(key, "Bearer ", 7) != 0)
		return NULL;
	for (key += 7; *key == ' '; key++)
		;
	return key;
}

static bool is_configured(const char *expected, const char *given)
{
	return expected != NULL && expected[0] != 0 && same_key(expected, given);
}

/* What the key of the request may: this node's own keys first, then those of the cluster. *wanted: is one asked for at all? */
static enum key_rights rights_of(const struct api_request *r, const char *given, bool *wanted)
{
	const struct api_options *o = &r->api->options;
	const struct map *map;
	enum key_rights rights = KEY_UNKNOWN;

	*wanted = true;
	if (given != NULL && is_configured(o->api_key, given))
		return KEY_FULL;
	if (given != NULL && is_configured(o->read_only_api_key, given))
		return KEY_READ_ONLY;
	map = coord_map(o->coord);
	*wanted = (o->api_key != NULL && o->api_key[0] != 0) ||
		  (o->read_only_api_key != NULL && o->read_only_api_key[0] != 0) || map->n_keys > 0;
	if (given != NULL)
		rights = keys_rights(map, given);
	map_unref(map);
	return rights;
}

/* 0, or the status of the refusal. */
static int check_key(struct api_request *r)
{
	enum key_rights rights;
	bool wanted;

	if (r->route != NULL && (r->route->flags & ROUTE_OPEN) != 0)
		return 0;
	rights = rights_of(r, given_key(r), &wanted);
	if (!wanted || rights == KEY_FULL)
		return 0;
	if (rights == KEY_UNKNOWN)
		return 401;
	return r->route != NULL && (r->route->flags & ROUTE_WRITE) != 0 ? 403 : 0;
}

static const char *key_text(int status)
{
	return status == 403 ? "Forbidden: this key may only read"
			     : "Must provide an API key or an Authorization bearer token";
}

/* ---- requests ---- */

/* The route is part of the identity: one key used for two kinds of writes means two writes. */
static void read_idempotency_key(struct api_request *r)
{
	const char *key = http_header(r->http, "Idempotency-Key");
	uint64_t seed;

	if (key == NULL || key[0] == 0 || r->route == NULL)
		return;
	seed = hash64(r->route->pattern, strlen(r->route->pattern)) ^ (uint64_t)r->method;
	r->batch_hi = hash64_seed(key, strlen(key), seed);
	r->batch_lo = hash64_seed(key, strlen(key), ~seed) | 1;
}

static bool content_is(const struct http_request *http, const char *type)
{
	const char *given = http_header(http, "Content-Type");
	size_t n = strlen(type);

	return given != NULL && strncasecmp(given, type, n) == 0 &&
	       (given[n] == 0 || given[n] == ';' || given[n] == ' ');
}

struct api_request *request_new(struct api *a, struct http_request *http)
{
	struct arena *arena = http_arena(http);
	struct api_request *r = arena_zalloc(arena, sizeof(*r));

	atomic_fetch_add(&a->refs, 1);
	r->api = a;
	r->http = http;
	r->arena = arena;
	r->method = http_method(http) == HTTP_HEAD ? HTTP_GET : http_method(http);
	r->started_us = http_started_us(http);
	/* POST on the points of a collection means retrieval; with lines of points it is a load. */
	if (r->method == HTTP_POST && content_is(http, ndjson))
		r->method = HTTP_PUT;
	return r;
}

void request_fini(struct api_request *r)
{
	collection_unref(r->collection);
	r->collection = NULL;
	buf_fini(&r->out);
	api_unref(r->api);
}

bool request_content_is(const struct api_request *r, const char *type)
{
	return content_is(r->http, type);
}

static int check_request(struct api_request *r, int *plain_status)
{
	const char *prefix = r->api->options.url_prefix;
	const char *path = http_path(r->http);
	size_t n = strlen(prefix);
	struct error route_error = {0};
	int route_rc, rc;

	while (n > 0 && prefix[n - 1] == '/')
		n--;
	if (n > 0 && strncmp(path, prefix, n) == 0 && (path[n] == '/' || path[n] == 0))
		path = path[n] == 0 ? "/" : path + n;
	route_rc = route_find(r, path, &route_error);
	*plain_status = check_key(r);
	if (*plain_status != 0)
		return ERR_FORBIDDEN;
	if (route_rc != 0) {
		r->err = route_error;
		return route_rc;
	}
	if (r->route->unsupported != NULL)
		return error_set(&r->err, ERR_UNSUPPORTED, "%s", r->route->unsupported);
	rc = request_read_parameters(r);
	if (rc == 0)
		read_idempotency_key(r);
	return rc;
}

static int read_body(struct api_request *r)
{
	size_t n;
	const uint8_t *bytes = http_body(r->http, &n);

	if ((r->route->flags & ROUTE_BODY) == 0)
		return 0;
	if ((r->route->flags & ROUTE_RAW) != 0 && request_content_is(r, "application/octet-stream"))
		return 0;
	if (n == 0)
		return error_set(&r->err, ERR_FORMAT, "the body is empty");
	return json_parse(bytes, n, r->arena, &r->body, &r->err);
}

static int prepare(struct api_request *r)
{
	int rc = read_body(r);

	if (rc == 0 && (r->route->flags & ROUTE_COLLECTION) != 0)
		rc = coord_collection(r->api->options.coord, r->args[0], &r->collection, &r->err);
	if (rc == 0 && r->body != NULL && json_type(r->body) == JSON_OBJECT) {
		struct parse p = request_parse(r);

		rc = parse_bool_field(&p, r->body, "allow_partial", &r->allow_partial);
		parse_fini(&p);
		if (rc == 0 && r->allow_partial && (r->route->flags & ROUTE_WRITE) != 0)
			rc = error_set(&r->err, ERR_UNSUPPORTED,
				       "the field `allow_partial` of a write");
	}
	return rc;
}

static void answer_error(struct api_request *r, int rc, int plain_status)
{
	if (plain_status != 0)
		respond_plain(r, plain_status, key_text(plain_status));
	else if (r->route == NULL && rc == ERR_FORBIDDEN)
		respond_method_not_allowed(r);
	else
		respond_error(r, rc);
}

void api_handle(void *api, struct http_request *http)
{
	struct api_request *r = request_new(api, http);
	int plain_status = 0;
	int rc = check_request(r, &plain_status);

	if (rc == 0)
		rc = prepare(r);
	if (rc != 0)
		answer_error(r, rc, plain_status);
	else
		r->route->handle(r);
}

/* Only lines of JSON for an existing collection are streamed; everything else, refusals included, goes
 * the usual way with its whole body. */
bool api_streams(void *api, const struct http_request *http)
{
	(void)api;
	return content_is(http, ndjson);
}

bool api_stream(void *api, struct http_request *http, struct http_stream *out)
{
	struct api_request *r;
	int plain_status = 0;
	struct error err;

	r = request_new(api, http);
	if (check_request(r, &plain_status) != 0 || r->route->handle != handle_upsert ||
	    coord_collection(r->api->options.coord, r->args[0], &r->collection, &err) != 0) {
		request_fini(r);
		return false;
	}
	ingest_start(r, out);
	return true;
}

void request_call(struct api_request *r, struct coord_call *call,
		  void (*done)(struct coord_call *call), void *ctx)
{
	memset(call, 0, sizeof(*call));
	call->collection = r->collection;
	call->arena = r->arena;
	call->deadline_us = r->deadline_us;
	call->allow_partial = r->allow_partial;
	call->done = done;
	call->ctx = ctx;
}

bool request_succeeded(struct api_request *r, const struct coord_call *call)
{
	if (call->rc == 0)
		return true;
	r->err = call->err;
	respond_error(r, call->rc);
	return false;
}
