/* HTTP/1.1 server behind our own interface (libmicrohttpd lives in one file, http/server.c), and the
 * small client-independent helpers of an API server.
 *
 * One handler serves everything. It is called on an HTTP thread once the whole body has arrived (or
 * per chunk for streamed routes, see on_stream) and must see to it that http_respond() is called
 * exactly once for the request: before it returns (the fast path, no thread hand-over), or later
 * from any thread (the connection is suspended meanwhile). Nothing of the request may be used after
 * http_respond().
 *
 * What the server answers by itself: 204 to OPTIONS, 413 to bodies over the limit, 503 while it
 * stops, 400 and the like to what is not HTTP. Every answer of the handler carries
 * `Access-Control-Allow-Origin: *`.
 */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_request;

enum http_method {
	HTTP_GET,
	HTTP_POST,
	HTTP_PUT,
	HTTP_PATCH,
	HTTP_DELETE,
	HTTP_HEAD,
	HTTP_OPTIONS,
	HTTP_OTHER
};

/* A streamed body: chunks are given to feed() as they arrive, in order, on HTTP threads. feed() takes
 * all bytes and returns 0; or 1 to hold the client back until http_stream_continue() is called (from
 * any thread, once, even before feed() has returned); or a negative code to end the connection
 * (abort() follows). end() must respond, at once or later. http_respond() may also be called earlier, from feed() or
 * instead of http_stream_continue(): the rest of the body is then not read, the connection ends after
 * the answer, and neither end() nor abort() is called. abort() is called instead of end() when the
 * client goes away or the server stops; the request must not be used any more. */
struct http_stream {
	int (*feed)(void *ctx, const uint8_t *bytes, size_t n);
	void (*end)(void *ctx);
	void (*abort)(void *ctx);
	void *ctx;
};

struct http_options {
	const char *host; /* "127.0.0.1"; IPv4, IPv6 (brackets allowed) or name; "::" serves both */
	uint16_t port;    /* 0: any free one, see http_server_port */
	uint32_t threads; /* 0: chosen from the cores */
	uint32_t max_connections;       /* 0: 4,096 */
	size_t max_body_bytes;          /* 0: LIMIT_BODY_BYTES; over it: 413 without reading on */
	uint64_t idle_timeout_s;        /* 0: 60; also ends clients that send too slowly */
	const char *tls_cert, *tls_key; /* PEM files, NULL: plain */
	void (*handle)(void *ctx, struct http_request *req);
	/* Both NULL or both set. Asked after the headers, `streams` has no effects; where it says yes,
	 * `stream` is called: true when the body is to be streamed (fills *out). */
	bool (*streams)(void *ctx, const struct http_request *req);
	bool (*stream)(void *ctx, struct http_request *req, struct http_stream *out);
	/* May be NULL. New clients have to wait, as the process has no file for them; on a thread of the
	 * server, about every minute while it is so. */
	void (*cannot_accept)(void *ctx, const struct error *why);
	void *ctx;
	/* Everything by libmicrohttpd, nothing by http/direct.c: for tests, and to see what that costs. */
	bool library_only;
};

int http_server_start(struct http_server **out, const struct http_options *o, struct error *err);
/* Stops accepting, waits for the requests in flight (5 s at most; those that are then not answered get
 * 503, and a late http_respond() only frees), frees. NULL ok. */
void http_server_stop(struct http_server *s);
uint16_t http_server_port(const struct http_server *s);
struct http_server_stats {
	uint64_t requests, in_flight, connections, bytes_in, bytes_out; /* bytes: bodies only */
};
void http_server_stats(const struct http_server *s, struct http_server_stats *out);

/* The request. All strings live until http_respond. */
enum http_method http_method(const struct http_request *req);
const char *http_path(
	const struct http_request *req); /* raw path, still percent-encoded, no query */
const char *http_header(const struct http_request *req, const char *name); /* NULL when absent */
/* Decoded query parameter or NULL; "" for one without a value. Of several with one name the first. */
const char *http_parameter(const struct http_request *req, const char *name);
/* Calls visit for each parameter, decoded, in their order. Ends with the first result that is not 0, and returns it. */
int http_each_parameter(const struct http_request *req,
			int (*visit)(void *ctx, const char *name, const char *value), void *ctx);
/* 64-byte aligned, NUL-terminated; never NULL. Empty for streamed requests. */
const uint8_t *http_body(const struct http_request *req, size_t *n);
struct arena *http_arena(struct http_request *req); /* freed with the request */
uint64_t http_started_us(
	const struct http_request *req); /* monotonic, when the headers were complete */
/* Percent-decodes one path segment into the arena; NULL when malformed or when it decodes to a NUL byte. */
char *http_decode(struct arena *a, const char *s, size_t n);

struct http_response {
	int status;               /* 200 .. 599 */
	const char *content_type; /* static string, e.g. HTTP_JSON */
	struct buf
		body; /* taken over (moved) by http_respond; nothing is sent of it for 204 and HEAD */
	uint32_t retry_after_s; /* 0: no header */
};
extern const char HTTP_JSON[], HTTP_TEXT[], HTTP_PROMETHEUS[], HTTP_HTML[];
void http_respond(struct http_request *req, struct http_response *response);
void http_stream_continue(struct http_request *req);
