#include "cli/client.h"

#include <curl/curl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

struct client {
	CURL *curl;
	char *url; /* without a slash at the end */
	char *key_header;
	uint64_t timeout_s;
	struct arena *arena; /* of the last answer */
	struct buf body;
	double retry_after_s; /* of the last answer; NAN: none */
	long status;
	const struct json *root;
	char message[CURL_ERROR_SIZE];
};

static const char *or_environment(const char *given, const char *name, const char *fallback)
{
	const char *value = given ? given : getenv(name);

	return value && *value ? value : fallback;
}

int client_new(struct client **out, const char *url, const char *api_key, uint64_t timeout_s,
	       struct error *err)
{
	struct client *c = mem_zalloc(sizeof(*c));
	struct buf text = BUF_INIT;

	*out = NULL;
	url = or_environment(url, "QUIVER_URL", CLIENT_DEFAULT_URL);
	if (strstr(url, "://") && strncasecmp(url, "http://", 7) != 0 &&
	    strncasecmp(url, "https://", 8) != 0) {
		free(c);
		return error_set(err, ERR_INPUT, "`%s` is no URL of a server: http://HOST:PORT is",
				 url);
	}
	if (api_key == NULL)
		api_key = or_environment(NULL, "QUIVER_API_KEY", "");
	buf_printf(&text, "%s%s", strstr(url, "://") ? "" : "http://", url);
	while (text.len > 0 && text.data[text.len - 1] == '/')
		text.len--;
	buf_put_u8(&text, 0);
	c->url = (char *)text.data;
	if (*api_key) {
		struct buf header = BUF_INIT;

		buf_printf(&header, "api-key: %s", api_key);
		buf_put_u8(&header, 0);
		c->key_header = (char *)header.data;
	}
	c->timeout_s = timeout_s;
	c->arena = arena_new(1 << 16);
	c->curl = curl_easy_init();
	if (c->curl == NULL) {
		client_free(c);
		return error_set(err, ERR_INTERNAL, "libcurl does not start");
	}
	*out = c;
	return 0;
}

void client_free(struct client *c)
{
	if (c == NULL)
		return;
	if (c->curl)
		curl_easy_cleanup(c->curl);
	arena_free(c->arena);
	buf_fini(&c->body);
	free(c->url);
	free(c->key_header);
	free(c);
}

void client_bearer(struct client *c, const char *token)
{
	struct buf header = BUF_INIT;

	buf_printf(&header, "Authorization: Bearer %s", token);
	buf_put_u8(&header, 0);
	free(c->key_header);
	c->key_header = (char *)header.data;
}

const char *client_url(const struct client *c)
{
	return c->url;
}

const struct json *client_root(const struct client *c)
{
	return c->root;
}

static size_t take_body(char *bytes, size_t size, size_t n, void *ctx)
{
	struct client *c = ctx;

	buf_put(&c->body, bytes, size * n);
	return size * n;
}

static size_t take_header(char *bytes, size_t size, size_t n, void *ctx)
{
	static const char name[] = "retry-after:";
	struct client *c = ctx;
	char value[32];
	size_t total = size * n;

	if (total > sizeof(name) - 1 && total - sizeof(name) + 1 < sizeof(value) &&
	    strncasecmp(bytes, name, sizeof(name) - 1) == 0) {
		char *end;

		memcpy(value, bytes + sizeof(name) - 1, total - sizeof(name) + 1);
		value[total - sizeof(name) + 1] = 0;
		double seconds = strtod(value, &end);
		if (end != value && seconds >= 0 && seconds < 3600)
			c->retry_after_s = seconds;
	}
	return total;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
	struct buf b = BUF_INIT;

	buf_printf(&b, "%s %s", name, value);
	buf_put_u8(&b, 0);
	list = curl_slist_append(list, (const char *)b.data);
	buf_fini(&b);
	return list;
}

/* Exchanges request and answer; fills status and body. */
static CURLcode exchange(struct client *c, const struct client_request *r)
{
	struct curl_slist *headers = NULL;
	struct buf url = BUF_INIT;
	CURLcode code;

	buf_printf(&url, "%s%s", r->path[0] == '/' ? c->url : "", r->path);
	buf_put_u8(&url, 0);
	buf_clear(&c->body);
	arena_reset(c->arena);
	c->root = NULL;
	c->status = 0;
	c->retry_after_s = NAN;
	c->message[0] = 0;
	curl_easy_reset(c->curl);
	/* An `Expect: 100-continue` would cost a round trip for every batch. */
	headers = curl_slist_append(headers, "Expect:");
	headers =
		add_header(headers,
			   "Content-Type:", r->content_type ? r->content_type : "application/json");
	if (c->key_header)
		headers = curl_slist_append(headers, c->key_header);
	if (r->idempotency_key)
		headers = add_header(headers, "Idempotency-Key:", r->idempotency_key);
	curl_easy_setopt(c->curl, CURLOPT_URL, (const char *)url.data);
	curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, r->method);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->curl, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, 10L);
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, (long)c->timeout_s);
	curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->message);
	curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "quiver/" QUIVER_VERSION);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, c);
	if (r->body) {
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_n);
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, r->body);
	}
	code = curl_easy_perform(c->curl);
	if (code == CURLE_OK)
		curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &c->status);
	curl_slist_free_all(headers);
	buf_fini(&url);
	return code;
}

static int transport_error(const struct client *c, CURLcode code, struct error *err)
{
	const char *text = c->message[0] ? c->message : curl_easy_strerror(code);

	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return error_set(err, ERR_TIMEOUT,
				 "%s did not answer within %llu s; --timeout gives it longer",
				 c->url, (unsigned long long)c->timeout_s);
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return error_set(err, ERR_UNAVAILABLE,
				 "no server answers at %s (%s); is quiverd running, is --url right?",
				 c->url, text);
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return error_set(err, ERR_INPUT, "`%s` is no URL of a server (%s)", c->url, text);
	default:
		return error_set(err, ERR_UNAVAILABLE, "the connection to %s broke: %s", c->url,
				 text);
	}
}

static int status_code(long status)
{
	switch (status) {
	case 401:
	case 403: return ERR_FORBIDDEN;
	case 404: return ERR_NOT_FOUND;
	case 408: return ERR_TIMEOUT;
	case 409: return ERR_EXISTS;
	case 413: return ERR_TOO_LARGE;
	case 422: return ERR_VALIDATION;
	case 429:
	case 503: return ERR_BUSY;
	case 507: return ERR_DISK_FULL;
	default: return status < 500 ? ERR_INPUT : ERR_INTERNAL;
	}
}

/* The answer was not 2xx: its text is in status.error, or error.message, or is no JSON at all. */
static int refusal(struct client *c, struct error *err)
{
	const struct json *text = client_get(client_get(c->root, "status"), "error");
	int rc = status_code(c->status);

	if (text == NULL)
		text = client_get(client_get(c->root, "error"), "message");
	if (text != NULL && json_type(text) == JSON_STRING)
		return error_set(err, rc, "%s", json_string(text, NULL));
	if (c->status == 401)
		return error_set(err, rc,
				 "%s asks for an API key that holds; give one with --api-key KEY or "
				 "in QUIVER_API_KEY",
				 c->url);
	return error_set(err, rc, "%s answered with status %ld: %.*s", c->url, c->status,
			 (int)(c->body.len < 200 ? c->body.len : 200),
			 c->body.len ? (const char *)c->body.data : "");
}

int client_call(struct client *c, const struct client_request *request, const struct json **result,
		struct error *err)
{
	CURLcode code = exchange(c, request);
	struct error unread = {0};

	if (result)
		*result = NULL;
	if (code != CURLE_OK)
		return transport_error(c, code, err);
	if (c->body.len > 0 && !request->plain &&
	    json_parse(c->body.data, c->body.len, c->arena, &c->root, &unread) != 0)
		c->root = NULL;
	if (c->status < 200 || c->status > 299)
		return refusal(c, err);
	if (!request->plain && (c->root == NULL || json_type(c->root) != JSON_OBJECT))
		return error_set(err, ERR_FORMAT,
				 "%s answered with something that is no JSON object; is it a quiver "
				 "server?",
				 c->url);
	if (result)
		*result = client_get(c->root, "result");
	return 0;
}

static bool worth_another_try(int rc)
{
	return rc == ERR_BUSY || rc == ERR_UNAVAILABLE || rc == ERR_DISK_FULL || rc == ERR_TIMEOUT;
}

static void wait_until(uint64_t end_us, const atomic_bool *stop)
{
	while (clock_monotonic_us() < end_us && !(stop && atomic_load(stop)))
		usleep(20000);
}

int client_call_patiently(struct client *c, const struct client_request *request,
			  const struct client_patience *patience, const struct json **result,
			  struct error *err)
{
	uint64_t first_failure_us = 0;
	double wait_s = 0.1;

	while (true) {
		int rc = client_call(c, request, result, err);
		uint64_t now = clock_monotonic_us();
		double pause_s = isnan(c->retry_after_s) ? wait_s : c->retry_after_s;

		if (rc == 0 || !worth_another_try(rc) ||
		    (patience->stop && atomic_load(patience->stop)))
			return rc;
		if (first_failure_us == 0)
			first_failure_us = now;
		if ((double)(now - first_failure_us) * 1e-6 + pause_s > patience->patience_s)
			return rc;
		if (patience->note)
			patience->note(patience->ctx, err ? err->text : "", pause_s);
		wait_until(now + (uint64_t)(pause_s * 1e6), patience->stop);
		wait_s = wait_s < 2.5 ? wait_s * 2 : 5;
	}
}

char *client_path(struct arena *arena, const char *before, const char *name, const char *after)
{
	struct buf b = BUF_INIT;
	char *path;

	for (const unsigned char *at = (const unsigned char *)name; *at; at++) {
		if ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
		    (*at >= '0' && *at <= '9') || strchr("-_.~", *at))
			buf_put_u8(&b, *at);
		else
			buf_printf(&b, "%%%02X", *at);
	}
	buf_put_u8(&b, 0);
	path = arena_printf(arena, "%s%s%s", before, (const char *)b.data, after);
	buf_fini(&b);
	return path;
}

char *client_collection_path(struct arena *arena, const char *collection, const char *rest)
{
	return client_path(arena, "/collections/", collection, rest);
}
