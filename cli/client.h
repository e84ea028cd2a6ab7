/* The HTTP client of the commands: one connection to one server (libcurl, kept alive), the envelope of
 * the API taken off, errors as sentences. Not thread-safe: one client a thread. */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"
#include "http/json.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_DEFAULT_URL "http://127.0.0.1:6333"

struct client;

/* url NULL: QUIVER_URL or the default; api_key NULL: QUIVER_API_KEY or none, "": none. A URL without
 * "http://" gets it. */
int client_new(struct client **out, const char *url, const char *api_key, uint64_t timeout_s,
	       struct error *err);
void client_free(struct client *c); /* NULL ok */
/* Sends "Authorization: Bearer <token>" from now on instead of an api-key. */
void client_bearer(struct client *c, const char *token);
const char *client_url(const struct client *c);

struct client_request {
	const char *method;
	const char *path; /* "/collections"; or a whole URL */
	const void *body; /* NULL: none */
	size_t body_n;
	const char *content_type;    /* NULL: application/json */
	const char *idempotency_key; /* NULL: none */
	bool plain;                  /* the answer is no JSON envelope: *result is not set */
};

/* Sends and waits for the answer. 0 and *result (json of "result"; NULL when it is null), which lives
 * until the next call. ERR_UNAVAILABLE: nobody answers. Else the status: 404 ERR_NOT_FOUND,
 * 409 ERR_EXISTS, 401 and 403 ERR_FORBIDDEN, 429 and 503 ERR_BUSY, 507 ERR_DISK_FULL, 413
 * ERR_TOO_LARGE, 422 ERR_VALIDATION, other 4xx ERR_INPUT, other 5xx ERR_INTERNAL; the text is the
 * server's. */
int client_call(struct client *c, const struct client_request *request, const struct json **result,
		struct error *err);
/* Root of the last answer, NULL when it was no JSON. */
const struct json *client_root(const struct client *c);

/* As client_call(), again and again while the server is busy, full, restarting or unreachable, for at
 * most `patience_s` after the first failure. Waits as long as Retry-After says, else 0.1 s doubling up
 * to 5 s. `note`, when not NULL, is told each failure. *stop ends the waiting early. */
struct client_patience {
	double patience_s;
	void (*note)(void *ctx, const char *text, double wait_s);
	void *ctx;
	const atomic_bool *stop; /* NULL: never */
};
int client_call_patiently(struct client *c, const struct client_request *request,
			  const struct client_patience *patience, const struct json **result,
			  struct error *err);

/* json_get() that may be asked of NULL, so that a path of keys needs no checks between. */
static inline const struct json *client_get(const struct json *v, const char *key)
{
	return v ? json_get(v, key) : NULL;
}

/* "" and 0 when it is of another type, or NULL. */
static inline const char *client_text(const struct json *v)
{
	return v && json_type(v) == JSON_STRING ? json_string(v, NULL) : "";
}
static inline uint64_t client_number(const struct json *v)
{
	return v && (json_type(v) == JSON_INT || json_type(v) == JSON_UINT) ? json_uint(v) : 0;
}

/* "<before><name, percent-encoded><after>", in the arena. */
char *client_path(struct arena *arena, const char *before, const char *name, const char *after);
/* "/collections/<name, percent-encoded><rest>", in the arena. */
char *client_collection_path(struct arena *arena, const char *collection, const char *rest);
