/* The HTTP server: libmicrohttpd behind http/http.h. This is the only file that knows it. Connections
 * with nothing but ordinary requests do not come here (direct.c).
 *
 * Threads. libmicrohttpd runs a pool of threads, each with its own epoll set and its share of the
 * connections. The handler runs on them. When it answers before it returns, nothing is handed
 * over; when it does not, the connection is suspended, which takes it out of the epoll set, and whoever
 * answers later resumes it: then libmicrohttpd calls on_access() once more, which finds the answer.
 *
 * The life of a request, as calls of on_access(): first with the headers (begin), then for each
 * piece of the body (receive), then at its end (finish), and once more when it was suspended.
 * on_completed() ends it, whatever happened.
 *
 * libmicrohttpd takes no answer while the body is coming in. Where there is one (a body without
 * announced length that grows too large, a stream that has failed) it is written to the socket here
 * and the connection is closed. Over TLS that is not possible: there the connection just ends.
 */
#include "http/server_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	DEFAULT_CONNECTIONS = 4096,
	DEFAULT_IDLE_S = 60,
	STOP_MS = 5000,
	MAX_THREADS = 64,
	STREAM_BYTES = 64 << 20, /* what a bulk load takes, about */
};

static const char NO_MEMORY[] =
	"Service unavailable: there is not enough memory for this request just now";

static struct http_connection *connection_of(struct MHD_Connection *mhd)
{
	return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* ---- answering ---- */

static void free_body(void *bytes)
{
	struct buf b = {.data = bytes, .cap = 1};

	buf_fini(&b);
}

static void add_header(struct MHD_Response *m, const char *name, const char *value)
{
	if (value && MHD_add_response_header(m, name, value) != MHD_YES)
		log_debug("http", "the header %s cannot be sent", name);
}

/* Sends the response as soon as the event loop gets to it; takes its body over. */
static enum MHD_Result queue(struct http_connection *c, struct http_response *response,
			     const char *preflight)
{
	struct buf body = response->body;
	struct MHD_Response *m;
	enum MHD_Result rc;
	char seconds[16];

	response->body = BUF_INIT;
	m = MHD_create_response_from_buffer_with_free_callback(body.len, body.data, free_body);
	if (!m) {
		buf_fini(&body);
		return MHD_NO;
	}
	add_header(m, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN, "*");
	add_header(m, MHD_HTTP_HEADER_CONTENT_TYPE, response->content_type);
	if (response->retry_after_s > 0) {
		snprintf(seconds, sizeof(seconds), "%u", response->retry_after_s);
		add_header(m, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
	}
	if (preflight) {
		add_header(m, MHD_HTTP_HEADER_ALLOW,
			   "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
		add_header(m, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_METHODS,
			   "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
		add_header(m, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_HEADERS, preflight);
		add_header(m, MHD_HTTP_HEADER_ACCESS_CONTROL_MAX_AGE, "86400");
	}
	if (atomic_load_explicit(&c->server->stopping, memory_order_relaxed))
		add_header(m, MHD_HTTP_HEADER_CONNECTION, "close");
	http_phase(c, PHASE_ANSWER, body.len);
	atomic_fetch_add_explicit(&c->server->bytes_out, body.len, memory_order_relaxed);
	rc = MHD_queue_response(c->mhd, (unsigned)response->status, m);
	MHD_destroy_response(m);
	return rc;
}

static void make_refusal(struct http_response *out, int status, const char *text)
{
	*out = (struct http_response){.status = status,
				      .content_type = HTTP_JSON,
				      .retry_after_s = status == 503};
	buf_printf(&out->body, "{\"status\":{\"error\":\"%s\"},\"time\":0.0}", text);
}

/* Answers without the handler; the request, if there is one, is over. */
static enum MHD_Result refuse(struct http_connection *c, int status, const char *text)
{
	struct http_response response;

	if (c->request)
		http_request_put(c->request);
	make_refusal(&response, status, text);
	return queue(c, &response, NULL);
}

static enum MHD_Result answer(struct http_connection *c)
{
	struct http_response response = c->request->response;

	c->request->response.body = BUF_INIT;
	http_request_put(c->request);
	return queue(c, &response, NULL);
}

/* ---- answering without libmicrohttpd ---- */

const char *http_reason(int status)
{
	return MHD_get_reason_phrase_for((unsigned)status);
}

/* Head and body of an answer after which the connection ends. */
static struct buf compose(const struct http_response *response)
{
	struct buf out = BUF_INIT;

	buf_printf(&out, "HTTP/1.1 %d %s\r\n", response->status, http_reason(response->status));
	buf_printf(&out, "Connection: close\r\nAccess-Control-Allow-Origin: *\r\n");
	if (response->content_type)
		buf_printf(&out, "Content-Type: %s\r\n", response->content_type);
	if (response->retry_after_s > 0)
		buf_printf(&out, "Retry-After: %u\r\n", response->retry_after_s);
	if (response->status != 204)
		buf_printf(&out, "Content-Length: %zu\r\n", response->body.len);
	buf_put(&out, "\r\n", 2);
	if (response->status != 204 && response->body.len > 0)
		buf_put(&out, response->body.data, response->body.len);
	return out;
}

struct buf http_refusal(int status, const char *text)
{
	struct http_response response;
	struct buf composed;

	make_refusal(&response, status, text);
	composed = compose(&response);
	buf_fini(&response.body);
	return composed;
}

/* As much as goes out; waits for a client that reads slowly, but not long. */
static void send_composed(int fd, const struct buf *composed, int patience_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	size_t at = 0;

	while (at < composed->len) {
		ssize_t n = send(fd, composed->data + at, composed->len - at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			at += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR) ||
			 poll(&p, 1, patience_ms) <= 0)
			return;
	}
}

/* Answers while the body is still coming in, and ends the connection. Takes the body over. */
static enum MHD_Result answer_early(struct http_connection *c, struct http_response *response)
{
	struct buf composed;

	if (!c->server->tls) {
		c->linger = true;
		composed = compose(response);
		send_composed(c->fd, &composed, 1000);
		atomic_fetch_add(&c->server->bytes_out, response->body.len);
		buf_fini(&composed);
	}
	buf_fini(&response->body);
	return MHD_NO;
}

static void too_large_text(const struct http_server *s, char *out, size_t room)
{
	snprintf(out, room, "The request body is larger than the limit of %zu bytes",
		 s->options.max_body_bytes);
}

/* ---- waiting ---- */

/* Gives a request that waits to whoever will answer it, for the server is leaving. Under the lock. */
static void abandon(struct http_connection *c)
{
	const unsigned settled = REQUEST_ANSWERED | REQUEST_CONTINUED | REQUEST_ABANDONED;
	struct http_request *r = c->request;
	unsigned flags = r ? atomic_load(&r->flags) : 0;

	do {
		if (!(flags & REQUEST_SUSPENDED) || (flags & settled))
			return;
	} while (!atomic_compare_exchange_weak(&r->flags, &flags, flags | REQUEST_ABANDONED));
	c->request = NULL;
	if (c->direct)
		http_direct_abandon(c);
	else
		MHD_resume_connection(c->mhd);
}

/* Returns whether some are still suspended: their answer is on its way. */
bool http_abandon_all(struct http_server *s)
{
	bool suspended = false;

	pthread_mutex_lock(&s->lock);
	for (struct http_connection *c = s->connections; c; c = c->next) {
		abandon(c);
		suspended |= c->request && (atomic_load(&c->request->flags) & REQUEST_SUSPENDED);
	}
	pthread_mutex_unlock(&s->lock);
	return suspended;
}

/* Suspends the connection until the request is answered (or its stream goes on). */
static enum MHD_Result park(struct http_connection *c)
{
	struct http_server *s = c->server;
	struct http_request *r = c->request;
	unsigned old;

	http_phase(c, PHASE_HANDLER, 0);
	MHD_suspend_connection(c->mhd);
	old = atomic_fetch_or(&r->flags, REQUEST_SUSPENDED);
	if (old & (REQUEST_ANSWERED | REQUEST_CONTINUED))
		MHD_resume_connection(c->mhd);
	if (atomic_load(&s->leaving)) {
		pthread_mutex_lock(&s->lock);
		abandon(c);
		pthread_mutex_unlock(&s->lock);
	}
	return MHD_YES;
}

/* The connection stays suspended, and the server alive, until this has resumed it. */
static void resume(struct http_request *r)
{
	struct http_server *s = r->server;

	atomic_fetch_add(&s->resuming, 1);
	if (r->connection->direct)
		http_direct_answer(r->connection);
	else
		MHD_resume_connection(r->mhd);
	atomic_fetch_sub(&s->resuming, 1);
}

void http_respond(struct http_request *req, struct http_response *response)
{
	unsigned old;

	assert(response->status >= 200 && response->status <= 599);
	req->response = *response;
	response->body = BUF_INIT;
	old = atomic_fetch_or(&req->flags, REQUEST_ANSWERED);
	assert(!(old & REQUEST_ANSWERED));
	if (old & REQUEST_ABANDONED)
		http_request_free(req);
	else if ((old & REQUEST_SUSPENDED) && !(old & REQUEST_CONTINUED))
		resume(req);
}

void http_stream_continue(struct http_request *req)
{
	unsigned old = atomic_fetch_or(&req->flags, REQUEST_CONTINUED);

	if (old & REQUEST_ABANDONED) {
		req->stream.abort(req->stream.ctx);
		http_request_free(req);
	} else if (old & REQUEST_SUSPENDED) {
		resume(req);
	}
}

/* ---- the life of a request ---- */

static enum MHD_Result copy_header(void *cls, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	struct http_request *r = cls;

	if (kind == MHD_HEADER_KIND)
		http_request_add_header(r, arena_strdup(r->arena, name),
					arena_strdup(r->arena, value ? value : ""));
	else
		http_request_add_parameter(r, name, value);
	return MHD_YES;
}

/* How long the body will be. False when the headers contradict each other or name a coding that is
 * not known: two readers of such a request could disagree on where it ends. */
static bool read_length(struct http_request *r)
{
	const char *length = http_header(r, "Content-Length");
	const char *coding = http_header(r, "Transfer-Encoding");

	if (coding)
		return !length && strcasecmp(coding, "chunked") == 0;
	/* libmicrohttpd has refused what is no number. */
	r->length = length ? strtoull(length, NULL, 10) : 0;
	for (const struct http_pair *p = r->headers; p && length; p = p->next)
		if (strcasecmp(p->name, "Content-Length") == 0 && strcmp(p->value, length) != 0)
			return false;
	return true;
}

static enum MHD_Result answer_preflight(struct http_connection *c)
{
	struct http_response response = {.status = 204};
	const char *asked = http_header(c->request, "Access-Control-Request-Headers");
	char headers[512];

	snprintf(headers, sizeof(headers), "%s", asked && *asked ? asked : "*");
	http_request_put(c->request);
	return queue(c, &response, headers);
}

static enum MHD_Result begin(struct http_connection *c, const char *method, const char *url)
{
	struct http_server *s = c->server;
	struct http_request *r;
	char text[96];
	bool streams;

	atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
	atomic_fetch_add(&s->in_flight, 1);
	if (atomic_load(&s->stopping))
		return refuse(c, 503, "The server is stopping");
	r = http_request_get(c);
	r->started_us = clock_monotonic_us();
	http_request_set_line(r, method, url);
	MHD_get_connection_values(c->mhd, MHD_HEADER_KIND | MHD_GET_ARGUMENT_KIND, copy_header, r);
	if (!read_length(r)) {
		c->linger = true;
		return refuse(c, 400, "The length of the request body is not clear");
	}
	http_phase(c, PHASE_BODY, 0);
	streams = r->method != HTTP_OPTIONS && s->options.streams &&
		  s->options.streams(s->options.ctx, r);
	if (streams && !mem_enough(STREAM_BYTES)) {
		c->linger = true;
		return refuse(c, 503, NO_MEMORY);
	}
	if (streams)
		r->streaming = s->options.stream(s->options.ctx, r, &r->stream);
	if (atomic_load(&r->flags) & REQUEST_ANSWERED) {
		c->linger = true;
		return answer(c);
	}
	if (r->streaming)
		return MHD_YES;
	if (r->length != UINT64_MAX && r->length > s->options.max_body_bytes) {
		c->linger = true;
		too_large_text(s, text, sizeof(text));
		return refuse(c, 413, text);
	}
	if (http_body_expect(r)) {
		c->linger = true;
		return refuse(c, 503, NO_MEMORY);
	}
	return MHD_YES;
}

/* Gives a chunk to the stream. When the stream holds the client back, libmicrohttpd is told that the
 * last byte was not taken: so it calls again when the connection is resumed, even if nothing more
 * has come in, and an answer that was given meanwhile goes out. */
static enum MHD_Result receive_stream(struct http_connection *c, const char *bytes, size_t *n)
{
	struct http_request *r = c->request;
	struct http_response response;
	size_t ahead = r->fed_ahead, fresh = *n - ahead;
	int rc = 0;

	r->fed_ahead = false;
	r->received += fresh;
	if (fresh > 0)
		rc = r->stream.feed(r->stream.ctx, (const uint8_t *)bytes + ahead, fresh);
	*n = 0;
	if (rc < 0)
		return MHD_NO;
	if (rc > 0) {
		r->fed_ahead = true;
		*n = 1;
		return park(c);
	}
	/* An answer at the end of the body goes the usual way. */
	if (!(atomic_load(&r->flags) & REQUEST_ANSWERED) || r->received == r->length)
		return MHD_YES;
	response = r->response;
	r->response.body = BUF_INIT;
	return answer_early(c, &response);
}

static enum MHD_Result receive(struct http_connection *c, const char *bytes, size_t *n)
{
	struct http_request *r = c->request;
	struct http_response response;
	char text[96];
	int rc;

	atomic_fetch_add_explicit(&c->server->bytes_in, *n, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->phase_bytes, *n, memory_order_relaxed);
	if (r->streaming)
		return receive_stream(c, bytes, n);
	rc = http_body_append(r, bytes, *n);
	*n = 0;
	if (rc == 0)
		return MHD_YES;
	too_large_text(c->server, text, sizeof(text));
	if (rc == ERR_TOO_LARGE)
		make_refusal(&response, 413, text);
	else
		make_refusal(&response, 503, NO_MEMORY);
	return answer_early(c, &response);
}

static enum MHD_Result finish(struct http_connection *c)
{
	struct http_server *s = c->server;
	struct http_request *r = c->request;

	assert(!r->ended);
	r->ended = true;
	http_phase(c, PHASE_HANDLER, 0);
	if (r->method == HTTP_OPTIONS)
		return answer_preflight(c);
	if (r->streaming)
		r->stream.end(r->stream.ctx);
	else
		s->options.handle(s->options.ctx, r);
	if (atomic_load(&r->flags) & REQUEST_ANSWERED)
		return answer(c);
	return park(c);
}

/* After a suspension. False when it is not over: libmicrohttpd goes on with the chunks that it has. */
static bool wake_up(struct http_connection *c)
{
	struct http_request *r = c->request;

	if (MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_CONNECTION_SUSPENDED)->suspended ==
	    MHD_YES)
		return false;
	atomic_fetch_and(&r->flags, ~(unsigned)(REQUEST_SUSPENDED | REQUEST_CONTINUED));
	if (!r->ended)
		http_phase(c, PHASE_BODY, 0);
	return true;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *mhd, const char *url,
				 const char *method, const char *version, const char *upload,
				 size_t *upload_size, void **request_context)
{
	struct http_connection *c = connection_of(mhd);
	struct http_response response;
	size_t n = *upload_size;

	if (!*request_context) {
		*request_context = c;
		return begin(c, method, url);
	}
	if (!c->request) /* abandoned */
		return n > 0 ? MHD_NO : refuse(c, 503, "The server is stopping");
	if ((atomic_load(&c->request->flags) & REQUEST_SUSPENDED) && !wake_up(c))
		return MHD_YES;
	if (atomic_load(&c->request->flags) & REQUEST_ANSWERED) {
		if (n == 0)
			return answer(c);
		response = c->request->response;
		c->request->response.body = BUF_INIT;
		return answer_early(c, &response);
	}
	return n > 0 ? receive(c, upload, upload_size) : finish(c);
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **request_context,
			 enum MHD_RequestTerminationCode how)
{
	struct http_connection *c = connection_of(mhd);
	struct http_request *r = c->request;

	if (r) {
		/* The client is gone, or the server stops: nobody else has the request. */
		bool answered = atomic_load(&r->flags) & REQUEST_ANSWERED;

		assert(!r->ended || answered);
		if (r->streaming && !answered)
			r->stream.abort(r->stream.ctx);
		http_request_put(r);
	}
	*request_context = NULL;
	http_phase(c, PHASE_HEADERS, 0);
	atomic_fetch_sub(&c->server->in_flight, 1);
}

void http_connection_link(struct http_connection *c)
{
	struct http_server *s = c->server;

	pthread_mutex_lock(&s->lock);
	c->next = s->connections;
	if (c->next)
		c->next->prev = c;
	s->connections = c;
	pthread_mutex_unlock(&s->lock);
}

void http_connection_unlink(struct http_connection *c)
{
	struct http_server *s = c->server;

	pthread_mutex_lock(&s->lock);
	if (c->next)
		c->next->prev = c->prev;
	if (c->prev)
		c->prev->next = c->next;
	else
		s->connections = c->next;
	pthread_mutex_unlock(&s->lock);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_server *s = cls;
	struct http_connection *c = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		c = mem_zalloc(sizeof(*c));
		c->server = s;
		c->mhd = mhd;
		c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		http_phase(c, PHASE_HEADERS, 0);
		http_connection_link(c);
		*context = c;
		return;
	}
	http_connection_unlink(c);
	atomic_fetch_sub_explicit(&s->n_connections, 1, memory_order_relaxed);
	if (c->linger && !s->tls)
		http_linger(s, c->fd);
	free(c);
	*context = NULL;
}

void http_library_take(struct http_server *s, int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t n = sizeof(address);

	/* It owns the socket from now on, also when it refuses it; neighbouring numbers go to different
	 * threads of its pool. A client that is gone already has no address any more. */
	if (getpeername(fd, (struct sockaddr *)&address, &n) != 0)
		close(fd);
	else if (MHD_add_connection(s->daemon, fd, (struct sockaddr *)&address, n) == MHD_YES)
		return;
	atomic_fetch_sub(&s->n_connections, 1);
}

int http_accept(struct http_server *s, struct error *err)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
		return error_errno(err, errno,
				   "new clients have to wait (%llu are connected): no connection "
				   "can be opened for them",
				   (unsigned long long)atomic_load(&s->n_connections));
	if (fd < 0) /* those that are gone already are no reason to stop */
		return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINVAL;
	/* Counted here, as libmicrohttpd takes it up later. */
	atomic_fetch_add(&s->n_connections, 1);
	if (s->direct)
		http_direct_add(s, fd);
	else
		http_library_take(s, fd);
	return 1;
}

/* ---- start and stop ---- */

/* Paths and parameters stay encoded; the decoding is ours, where segments are apart. */
static size_t keep_encoded(void *cls, struct MHD_Connection *mhd, char *text)
{
	return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void log_mhd(void *cls, const char *format, va_list ap)
{
	char text[256];
	size_t n;

	vsnprintf(text, sizeof(text), format, ap);
	n = strlen(text);
	if (n > 0 && text[n - 1] == '\n')
		text[n - 1] = 0;
	log_debug("http", "%s", text);
}

static int start_daemon(struct http_server *s, uint32_t threads, struct error *err)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
			 MHD_USE_ERROR_LOG | MHD_USE_TURBO | MHD_USE_NO_LISTEN_SOCKET;
	/* The limit is ours, has_room(): no thread of the pool may find its share used up before. */
	unsigned limit = s->max_connections * threads;
	struct MHD_OptionItem items[5];
	size_t n = 0;

	/* A pool of one is not one. */
	if (threads > 1)
		items[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, threads, NULL};
	if (s->tls) {
		flags |= MHD_USE_TLS;
		items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, s->tls_key};
		items[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, s->tls_cert};
	}
	items[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_access, s, MHD_OPTION_EXTERNAL_LOGGER,
				     log_mhd, NULL, MHD_OPTION_CONNECTION_LIMIT, limit,
				     MHD_OPTION_CONNECTION_TIMEOUT,
				     (unsigned)(s->idle_us / 1000000), MHD_OPTION_NOTIFY_COMPLETED,
				     on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
				     s, MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded, s,
				     MHD_OPTION_ARRAY, items, MHD_OPTION_END);
	if (s->daemon)
		return 0;
	if (s->tls)
		return error_set(err, ERR_INPUT,
				 "start HTTPS: the certificate or its key is not accepted (both "
				 "must be PEM and belong together)");
	return error_set(err, ERR_INTERNAL, "start the HTTP server with %u threads", threads);
}

static int read_tls(struct http_server *s, const struct http_options *o, struct error *err)
{
	int rc;

	if (!o->tls_cert && !o->tls_key)
		return 0;
	if (!o->tls_cert || !o->tls_key)
		return error_set(err, ERR_INPUT,
				 "TLS needs both a certificate and its key, one is missing");
	if (MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
		return error_set(err, ERR_UNSUPPORTED,
				 "this libmicrohttpd was built without TLS; serve plain HTTP behind "
				 "a proxy, or install one that has it");
	rc = http_read_file(o->tls_cert, &s->tls_cert, err);
	if (rc == 0)
		rc = http_read_file(o->tls_key, &s->tls_key, err);
	s->tls = rc == 0;
	return rc;
}

static void server_free(struct http_server *s)
{
	struct http_request *r;

	http_watch_stop(s);
	http_direct_stop(s);
	while ((r = s->kept)) {
		s->kept = r->next;
		http_request_free(r);
	}
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->tls_key)
		explicit_bzero(s->tls_key, strlen(s->tls_key));
	free(s->tls_key);
	free(s->tls_cert);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int http_server_start(struct http_server **out, const struct http_options *o, struct error *err)
{
	struct http_server *s = mem_zalloc(sizeof(*s));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t threads = o->threads ? o->threads : cores < 2 ? 2 : (uint32_t)cores;
	int rc;

	threads = threads > MAX_THREADS ? MAX_THREADS : threads;
	s->max_connections = o->max_connections ? o->max_connections : DEFAULT_CONNECTIONS;
	s->options = *o;
	s->options.host = s->options.tls_cert = s->options.tls_key = NULL;
	if (s->options.max_body_bytes == 0)
		s->options.max_body_bytes = LIMIT_BODY_BYTES;
	s->idle_us = (o->idle_timeout_s ? o->idle_timeout_s : DEFAULT_IDLE_S) * 1000000;
	s->listen_fd = s->wake_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	rc = read_tls(s, o, err);
	if (rc == 0)
		rc = http_listen(o->host ? o->host : "", o->port, &s->listen_fd, &s->port, err);
	if (rc == 0)
		rc = http_watch_start(s, err);
	if (rc == 0)
		rc = start_daemon(s, threads, err);
	if (rc == 0 && !s->tls && !o->library_only)
		rc = http_direct_start(s, threads, err);
	if (rc) {
		if (s->daemon)
			MHD_stop_daemon(s->daemon);
		atomic_store(&s->leaving, true);
		server_free(s);
		return rc;
	}
	atomic_store(&s->accepting, true);
	http_watch_wake(s);
	*out = s;
	return 0;
}

void http_server_stop(struct http_server *s)
{
	uint64_t deadline_us = clock_monotonic_us() + STOP_MS * 1000;

	if (!s)
		return;
	atomic_store(&s->stopping, true);
	atomic_store(&s->accepting, false);
	/* New clients are refused at once. Closed it is at the end: until then the watch may still ask for
	 * it, and the number must not mean something else. */
	shutdown(s->listen_fd, SHUT_RDWR);
	for (struct http_server_stats stats; clock_monotonic_us() < deadline_us; poll(NULL, 0, 2)) {
		http_server_stats(s, &stats);
		if (stats.in_flight == 0)
			break;
	}
	atomic_store(&s->leaving, true);
	/* libmicrohttpd must not be stopped while a connection is suspended, or being resumed. */
	while (http_abandon_all(s) || atomic_load(&s->resuming) > 0)
		poll(NULL, 0, 1);
	http_watch_stop(s);  /* it may be handing over a connection */
	http_direct_stop(s); /* and so may this */
	MHD_stop_daemon(s->daemon);
	server_free(s);
}

uint16_t http_server_port(const struct http_server *s)
{
	return s->port;
}

void http_server_stats(const struct http_server *s, struct http_server_stats *out)
{
	out->requests = atomic_load_explicit(&s->requests, memory_order_relaxed);
	out->in_flight = atomic_load_explicit(&s->in_flight, memory_order_relaxed);
	out->connections = atomic_load_explicit(&s->n_connections, memory_order_relaxed);
	out->bytes_in = atomic_load_explicit(&s->bytes_in, memory_order_relaxed);
	out->bytes_out = atomic_load_explicit(&s->bytes_out, memory_order_relaxed);
	http_direct_stats(s, out);
}
