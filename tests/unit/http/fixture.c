/* The server under test, and a client that sends what it is told to. */
#include "tests/unit/http/fixture.h"
#include "base/assert.h"
#include "base/clock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A second thread that answers what the handler puts aside. */
struct late {
	struct mail mail;
	struct http_request *request;
};

struct http_server *server;
bool library_only;
struct mailbox *stream_box;
pthread_t stream_thread;
atomic_uint aborted, ended;
struct http_request *held[1000];

static struct mailbox *late_box;
static pthread_t late_thread;
static pthread_mutex_t hold_lock = PTHREAD_MUTEX_INITIALIZER;
static size_t n_held;

static void respond(struct http_request *r, int status, const char *content)
{
	struct http_response response = {.status = status, .content_type = HTTP_TEXT};

	buf_put(&response.body, content, strlen(content));
	http_respond(r, &response);
	assert_int_equal(response.body.len, 0);
}

/* Everything about a request, as text. */
void echo(struct http_request *r)
{
	struct http_response response = {.status = 200, .content_type = HTTP_JSON};
	const char *header = http_header(r, "x-test"), *parameter = http_parameter(r, "p");
	uint64_t sum = 0;
	size_t n;
	const uint8_t *body = http_body(r, &n);

	assert((uintptr_t)body % 64 == 0);
	assert(body[n] == 0);
	for (size_t i = 0; i < n; i++)
		sum += body[i] * (i % 251 + 1);
	buf_printf(&response.body, "method=%d path=%s header=%s p=%s n=%zu sum=%lu",
		   (int)http_method(r), http_path(r), header ? header : "-",
		   parameter ? parameter : "-", n, (unsigned long)sum);
	assert(http_started_us(r) <= clock_monotonic_us());
	http_respond(r, &response);
}

static void handle(void *ctx, struct http_request *r)
{
	const char *path = http_path(r);
	struct http_response large = {.status = 200, .content_type = HTTP_TEXT};
	struct late *late;

	assert(ctx == &server);
	if (strncmp(path, "/late", 5) == 0) {
		late = arena_alloc(http_arena(r), sizeof(*late));
		late->request = r;
		assert(mailbox_post(late_box, &late->mail));
	} else if (strcmp(path, "/hold") == 0) {
		pthread_mutex_lock(&hold_lock);
		held[n_held++] = r;
		pthread_mutex_unlock(&hold_lock);
	} else if (strcmp(path, "/large") == 0) {
		memset(buf_extend(&large.body, 8 << 20), 'x', 8 << 20);
		http_respond(r, &large);
	} else if (strcmp(path, "/busy") == 0) {
		large = (struct http_response){.status = 429, .retry_after_s = 7};
		http_respond(r, &large);
	} else if (strcmp(path, "/empty") == 0) {
		large = (struct http_response){.status = 204};
		http_respond(r, &large);
	} else {
		echo(r);
	}
}

static void *run_late(void *arg)
{
	struct mail *mail;

	while ((mail = mailbox_take(late_box, UINT64_MAX))) {
		while (mail) {
			struct late *late = (struct late *)mail;

			mail = mail->next;
			echo(late->request);
		}
	}
	return NULL;
}

void *run_stream(void *arg)
{
	struct mail *mail;

	while ((mail = mailbox_take(stream_box, UINT64_MAX))) {
		while (mail) {
			struct upload *u =
				(struct upload *)((char *)mail - offsetof(struct upload, mail));

			mail = mail->next;
			if (u->answer_instead) {
				struct http_request *r = u->request;

				free(u);
				respond(r, 400, "no more of this");
			} else {
				http_stream_continue(u->request);
			}
		}
	}
	return NULL;
}

static int feed(void *ctx, const uint8_t *bytes, size_t n)
{
	struct upload *u = ctx;

	for (size_t i = 0; i < n; i++)
		u->sum += bytes[i] * ((u->bytes + i) % 251 + 1);
	u->bytes += n;
	u->feeds++;
	if (u->failing && u->bytes > 100000) {
		struct http_request *r = u->request;

		if (!u->pausing) {
			free(u);
			respond(r, 400, "no more of this");
			return 0;
		}
		u->answer_instead = true;
	}
	if (!u->pausing)
		return 0;
	assert(mailbox_post(stream_box, &u->mail));
	return 1;
}

static void end(void *ctx)
{
	struct upload *u = ctx;
	struct http_request *r = u->request;
	char text[64];

	snprintf(text, sizeof(text), "streamed n=%lu sum=%lu", (unsigned long)u->bytes,
		 (unsigned long)u->sum);
	free(u);
	atomic_fetch_add(&ended, 1);
	respond(r, 200, text);
}

static void abort_upload(void *ctx)
{
	free(ctx);
	atomic_fetch_add(&aborted, 1);
}

static bool is_stream(void *ctx, const struct http_request *r)
{
	return strncmp(http_path(r), "/stream", 7) == 0;
}

static bool wants_stream(void *ctx, struct http_request *r, struct http_stream *out)
{
	struct upload *u;

	u = calloc(1, sizeof(*u));
	u->request = r;
	u->pausing = strstr(http_path(r), "pause");
	u->failing = strstr(http_path(r), "fail");
	*out = (struct http_stream){feed, end, abort_upload, u};
	return true;
}

struct http_options options(void)
{
	return (struct http_options){.host = "127.0.0.1",
				     .threads = 3,
				     .max_body_bytes = BODY_LIMIT,
				     .handle = handle,
				     .streams = is_stream,
				     .stream = wants_stream,
				     .ctx = &server,
				     .library_only = library_only};
}

void start(const struct http_options *o)
{
	struct error err = {0};

	n_held = 0;
	atomic_store(&aborted, 0);
	atomic_store(&ended, 0);
	late_box = mailbox_new();
	stream_box = mailbox_new();
	pthread_create(&late_thread, NULL, run_late, NULL);
	pthread_create(&stream_thread, NULL, run_stream, NULL);
	if (http_server_start(&server, o, &err))
		fail_msg("%s", err.text);
}

int setup(void **state)
{
	struct http_options o = options();

	start(&o);
	return 0;
}

int teardown(void **state)
{
	http_server_stop(server);
	server = NULL;
	mailbox_close(late_box);
	mailbox_close(stream_box);
	pthread_join(late_thread, NULL);
	pthread_join(stream_thread, NULL);
	mailbox_free(late_box);
	mailbox_free(stream_box);
	return 0;
}

uint64_t now_in_flight(void)
{
	struct http_server_stats stats;

	http_server_stats(server, &stats);
	return stats.in_flight;
}

uint64_t now_connected(void)
{
	struct http_server_stats stats;

	http_server_stats(server, &stats);
	return stats.connections;
}

/* Polls, since the threads of the server come to it in their own time. */
void wait_until(uint64_t (*what)(void), uint64_t value)
{
	uint64_t deadline_us = clock_monotonic_us() + READ_MS * 1000;

	while (what() != value && clock_monotonic_us() < deadline_us)
		poll(NULL, 0, 2);
	assert_int_equal(what(), value);
}

uint64_t now_aborted(void)
{
	return atomic_load(&aborted);
}

uint64_t now_held(void)
{
	uint64_t n;

	pthread_mutex_lock(&hold_lock);
	n = n_held;
	pthread_mutex_unlock(&hold_lock);
	return n;
}

struct client dial(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(http_server_port(server))};
	struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	if (connect(c.fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		fail_msg("connect: %s", strerror(errno));
	return c;
}

void hang_up(struct client *c)
{
	close(c->fd);
	buf_fini(&c->in);
}

/* False when the server has closed. */
bool send_bytes(struct client *c, const void *bytes, size_t n)
{
	const char *at = bytes;

	while (n > 0) {
		ssize_t sent = send(c->fd, at, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		at += sent;
		n -= (size_t)sent;
	}
	return true;
}

bool send_text(struct client *c, const char *text)
{
	return send_bytes(c, text, strlen(text));
}

/* One more piece; false at the end of the connection. Fails the test when nothing comes. */
bool receive(struct client *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	ssize_t n;

	if (poll(&p, 1, READ_MS) <= 0)
		fail_msg("no answer");
	buf_reserve(&c->in, 65536);
	n = recv(c->fd, c->in.data + c->in.len, 65536, 0);
	if (n <= 0)
		return false;
	c->in.len += (size_t)n;
	return true;
}

void drop(struct client *c, size_t n)
{
	memmove(c->in.data, c->in.data + n, c->in.len - n);
	c->in.len -= n;
}

/* Reads one answer, which has a Content-Length or no body. False when the connection ended first. */
bool get_answer(struct client *c, struct answer *a)
{
	char *end = NULL, *length;
	size_t n;

	*a = (struct answer){0};
	while (!(end = c->in.len ? memmem(c->in.data, c->in.len, "\r\n\r\n", 4) : NULL))
		if (!receive(c))
			return false;
	n = (size_t)(end - (char *)c->in.data) + 4;
	assert_true(n < sizeof(a->head));
	memcpy(a->head, c->in.data, n);
	drop(c, n);
	assert_int_equal(sscanf(a->head, "HTTP/1.1 %d", &a->status), 1);
	length = strcasestr(a->head, "\r\nContent-Length:");
	n = length && a->status >= 200 && a->status != 204 ? strtoul(length + 17, NULL, 10) : 0;
	while (c->in.len < n)
		if (!receive(c))
			return false;
	buf_put(&a->body, c->in.data, n);
	buf_put_u8(&a->body, 0);
	a->body.len--;
	drop(c, n);
	return true;
}

void expect(struct client *c, int status, const char *content)
{
	struct answer a;

	if (!get_answer(c, &a))
		fail_msg("the connection ended instead of an answer with %s", content);
	if (a.status != status || !strstr((char *)a.body.data, content))
		fail_msg("%d %s instead of %d %s", a.status, a.body.data, status, content);
	buf_fini(&a.body);
}

void expect_end(struct client *c)
{
	while (receive(c))
		;
	assert_int_equal(c->in.len, 0);
}

uint64_t body_sum(const uint8_t *bytes, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += bytes[i] * (i % 251 + 1);
	return sum;
}

uint8_t *make_body(size_t n)
{
	uint8_t *bytes = malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	return bytes;
}
