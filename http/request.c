/* Requests: their memory, which is used again for the next one, and what a handler can ask them. */
#include "http/server_internal.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

enum {
	ARENA_BYTES = 16 << 10,
	SMALL_BODY_BYTES = 16 << 10,
	HEAP_BODY_BYTES = 256 << 10, /* larger bodies are mapped */
	KEPT_BODY_BYTES = 64 << 20,  /* of all requests kept for reuse */
	BODY_FACTOR = 4, /* what a request takes until it is answered, of its body, about */
};

const char HTTP_JSON[] = "application/json";
const char HTTP_TEXT[] = "text/plain; charset=utf-8";
const char HTTP_PROMETHEUS[] = "text/plain; version=0.0.4; charset=utf-8";
const char HTTP_HTML[] = "text/html; charset=utf-8";

/* ---- the body ---- */

static void body_free(struct http_body *b)
{
	if (b->mapped)
		munmap(b->bytes, b->cap);
	else
		free(b->bytes);
	*b = (struct http_body){0};
}

static int body_map(struct http_body *b, size_t cap)
{
	void *bytes;

	cap = (cap + 4095) & ~(size_t)4095;
	if (b->mapped)
		bytes = mremap(b->bytes, b->cap, cap, MREMAP_MAYMOVE);
	else
		bytes = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return ERR_NOMEM;
	if (!b->mapped && b->bytes) {
		memcpy(bytes, b->bytes, b->len);
		free(b->bytes);
	}
	b->bytes = bytes;
	b->cap = cap;
	b->mapped = true;
	return 0;
}

/* Makes room for `cap` bytes in all, the NUL included. */
static int body_grow(struct http_body *b, size_t cap)
{
	uint8_t *bytes;

	if (cap <= b->cap)
		return 0;
	if (b->mapped || cap > HEAP_BODY_BYTES)
		return body_map(b, cap);
	cap = (cap + 63) & ~(size_t)63;
	bytes = aligned_alloc(64, cap);
	if (!bytes)
		return ERR_NOMEM;
	if (b->len > 0)
		memcpy(bytes, b->bytes, b->len);
	free(b->bytes);
	b->bytes = bytes;
	b->cap = cap;
	return 0;
}

int http_body_expect(struct http_request *r)
{
	uint64_t n = r->length < TRUSTED_BODY_BYTES ? r->length : TRUSTED_BODY_BYTES;

	if (r->length != UINT64_MAX && r->length > 0 && !mem_enough(BODY_FACTOR * r->length))
		return ERR_NOMEM;
	return r->length == UINT64_MAX || n == 0 ? 0 : body_grow(&r->body, (size_t)n + 1);
}

int http_body_append(struct http_request *r, const void *bytes, size_t n)
{
	struct http_body *b = &r->body;
	size_t need = b->len + n + 1, cap = b->cap * 2;
	int rc;

	if (n > r->server->options.max_body_bytes - b->len)
		return ERR_TOO_LARGE;
	if (need > b->cap) {
		/* Twice what is there, but no more than was announced. */
		cap = cap < SMALL_BODY_BYTES ? SMALL_BODY_BYTES : cap;
		if (r->length != UINT64_MAX && cap > r->length + 1)
			cap = (size_t)r->length + 1;
		rc = body_grow(b, cap < need ? need : cap);
		if (rc)
			return rc;
	}
	memcpy(b->bytes + b->len, bytes, n);
	b->len += n;
	b->bytes[b->len] = 0;
	return 0;
}

/* ---- reuse ---- */

struct http_request *http_request_unused(struct http_server *s)
{
	struct http_request *r;

	pthread_mutex_lock(&s->lock);
	r = s->kept;
	if (r) {
		s->kept = r->next;
		s->n_kept--;
		s->kept_body_bytes -= r->body.cap;
	}
	pthread_mutex_unlock(&s->lock);
	if (!r) {
		r = mem_zalloc(sizeof(*r));
		r->arena = arena_new(ARENA_BYTES);
	}
	r->next = NULL;
	return r;
}

void http_request_begin(struct http_request *r, struct http_connection *c)
{
	r->server = c->server;
	r->connection = c;
	r->mhd = c->mhd;
	r->length = UINT64_MAX;
}

void http_request_publish(struct http_connection *c, struct http_request *r)
{
	pthread_mutex_lock(&c->server->lock);
	c->request = r;
	pthread_mutex_unlock(&c->server->lock);
}

struct http_request *http_request_get(struct http_connection *c)
{
	struct http_request *r = http_request_unused(c->server);

	http_request_begin(r, c);
	http_request_publish(c, r);
	return r;
}

void http_request_free(struct http_request *r)
{
	if (!r)
		return;
	buf_fini(&r->response.body);
	body_free(&r->body);
	arena_free(r->arena);
	free(r);
}

void http_request_clear(struct http_request *r)
{
	struct arena *arena = r->arena;
	struct http_body body = r->body;

	buf_fini(&r->response.body);
	arena_reset(arena);
	body.len = 0;
	memset(r, 0, sizeof(*r));
	r->arena = arena;
	r->body = body;
}

void http_request_put(struct http_request *r)
{
	struct http_connection *c = r->connection;

	http_request_publish(c, NULL);
	http_request_clear(r);
	http_request_keep(c->server, r);
}

void http_request_keep(struct http_server *s, struct http_request *r)
{
	bool keep;

	pthread_mutex_lock(&s->lock);
	keep = s->n_kept < KEPT_REQUESTS && s->kept_body_bytes + r->body.cap <= KEPT_BODY_BYTES;
	if (keep) {
		r->next = s->kept;
		s->kept = r;
		s->n_kept++;
		s->kept_body_bytes += r->body.cap;
	}
	pthread_mutex_unlock(&s->lock);
	if (!keep)
		http_request_free(r);
}

/* ---- filling it ---- */

static enum http_method parse_method(const char *name)
{
	static const char *const names[] = {"GET",    "POST", "PUT",    "PATCH",
					    "DELETE", "HEAD", "OPTIONS"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return (enum http_method)i;
	return HTTP_OTHER;
}

void http_request_set_line(struct http_request *r, const char *method, const char *url)
{
	const char *authority = url[0] == '/' ? NULL : strstr(url, "://");

	/* What is sent to a proxy names the server before the path. */
	if (authority) {
		url = strchr(authority + 3, '/');
		url = url ? url : "/";
	}
	r->method = parse_method(method);
	r->path = arena_strdup(r->arena, url);
}

static void add_pair(struct http_request *r, struct http_pair **list, const char *name,
		     const char *value)
{
	struct http_pair *pair = arena_alloc(r->arena, sizeof(*pair));

	*pair = (struct http_pair){NULL, name, value};
	while (*list)
		list = &(*list)->next;
	*list = pair;
}

void http_request_add_header(struct http_request *r, const char *name, const char *value)
{
	add_pair(r, &r->headers, name, value);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *http_decode(struct arena *a, const char *s, size_t n)
{
	char *out = arena_alloc(a, n + 1), *to = out;

	for (size_t i = 0; i < n; i++) {
		int high, low;

		if (s[i] != '%') {
			*to++ = s[i];
			continue;
		}
		if (n - i < 3)
			return NULL;
		high = hex(s[i + 1]);
		low = hex(s[i + 2]);
		if (high < 0 || low < 0 || (high == 0 && low == 0))
			return NULL;
		*to++ = (char)(high << 4 | low);
		i += 2;
	}
	*to = 0;
	return out;
}

void http_request_add_parameter(struct http_request *r, const char *name, const char *value)
{
	char *decoded_name = http_decode(r->arena, name, strlen(name));
	const char *decoded_value = value ? http_decode(r->arena, value, strlen(value)) : "";

	/* What cannot be decoded is taken as it stands. */
	add_pair(r, &r->parameters, decoded_name ? decoded_name : arena_strdup(r->arena, name),
		 decoded_value ? decoded_value : arena_strdup(r->arena, value));
}

/* ---- asking it ---- */

enum http_method http_method(const struct http_request *req)
{
	return req->method;
}

const char *http_path(const struct http_request *req)
{
	return req->path;
}

const char *http_header(const struct http_request *req, const char *name)
{
	for (const struct http_pair *p = req->headers; p; p = p->next)
		if (strcasecmp(p->name, name) == 0)
			return p->value;
	return NULL;
}

const char *http_parameter(const struct http_request *req, const char *name)
{
	for (const struct http_pair *p = req->parameters; p; p = p->next)
		if (strcmp(p->name, name) == 0)
			return p->value;
	return NULL;
}

int http_each_parameter(const struct http_request *req,
			int (*visit)(void *ctx, const char *name, const char *value), void *ctx)
{
	int rc = 0;

	for (const struct http_pair *p = req->parameters; p && !rc; p = p->next)
		rc = visit(ctx, p->name, p->value);
	return rc;
}

const uint8_t *http_body(const struct http_request *req, size_t *n)
{
	static const _Alignas(64) uint8_t nothing[64];

	*n = req->body.len;
	return req->body.len > 0 ? req->body.bytes : nothing;
}

struct arena *http_arena(struct http_request *req)
{
	return req->arena;
}

uint64_t http_started_us(const struct http_request *req)
{
	return req->started_us;
}
