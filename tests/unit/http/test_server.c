/* The HTTP server, by way of raw sockets: what a well-behaved client does, and what others do. */
#include "http/http.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/mailbox.h"
#include "tests/unit/unit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY_LIMIT = 1 << 20, READ_MS = 20000 };

/* ---- the server under test ---- */

/* A second thread that answers what the handler puts aside. */
struct late {
	struct mail mail;
	struct http_request *request;
};

/* What the routes under /stream do. */
struct upload {
	struct http_request *request;
	uint64_t bytes, sum;
	unsigned feeds;
	bool pausing, failing;
	struct mail mail;
	bool answer_instead; /* the worker answers instead of continuing */
};

static struct http_server *server;
static struct mailbox *late_box, *stream_box;
static pthread_t late_thread, stream_thread;
static atomic_uint aborted, ended;
/* /hold requests wait here until the test lets them go. */
static pthread_mutex_t hold_lock = PTHREAD_MUTEX_INITIALIZER;
static struct http_request *held[1000];
static size_t n_held;

static void respond(struct http_request *r, int status, const char *content)
{
	struct http_response response = {.status = status, .content_type = HTTP_TEXT};

	buf_put(&response.body, content, strlen(content));
	http_respond(r, &response);
	assert_int_equal(response.body.len, 0);
}

/* Everything about a request, as text. */
static void echo(struct http_request *r)
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

static void *run_stream(void *arg)
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

static bool wants_stream(void *ctx, struct http_request *r, struct http_stream *out)
{
	struct upload *u;

	if (strncmp(http_path(r), "/stream", 7) != 0)
		return false;
	u = calloc(1, sizeof(*u));
	u->request = r;
	u->pausing = strstr(http_path(r), "pause");
	u->failing = strstr(http_path(r), "fail");
	*out = (struct http_stream){feed, end, abort_upload, u};
	return true;
}

static struct http_options options(void)
{
	return (struct http_options){.host = "127.0.0.1",
				     .threads = 3,
				     .max_body_bytes = BODY_LIMIT,
				     .handle = handle,
				     .stream = wants_stream,
				     .ctx = &server};
}

static void start(const struct http_options *o)
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

static int setup(void **state)
{
	struct http_options o = options();

	start(&o);
	return 0;
}

static int setup_impatient(void **state)
{
	struct http_options o = options();

	o.idle_timeout_s = 1;
	start(&o);
	return 0;
}

static int teardown(void **state)
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

static uint64_t now_in_flight(void)
{
	struct http_server_stats stats;

	http_server_stats(server, &stats);
	return stats.in_flight;
}

static uint64_t now_connected(void)
{
	struct http_server_stats stats;

	http_server_stats(server, &stats);
	return stats.connections;
}

/* Polls, since the threads of the server come to it in their own time. */
static void wait_until(uint64_t (*what)(void), uint64_t value)
{
	uint64_t deadline_us = clock_monotonic_us() + READ_MS * 1000;

	while (what() != value && clock_monotonic_us() < deadline_us)
		poll(NULL, 0, 2);
	assert_int_equal(what(), value);
}

static uint64_t now_aborted(void)
{
	return atomic_load(&aborted);
}

static uint64_t now_held(void)
{
	uint64_t n;

	pthread_mutex_lock(&hold_lock);
	n = n_held;
	pthread_mutex_unlock(&hold_lock);
	return n;
}

/* ---- a client ---- */

struct client {
	int fd;
	struct buf in; /* received and not yet taken */
};

struct answer {
	int status;
	char head[2048];
	struct buf body;
};

static struct client dial(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(http_server_port(server))};
	struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	if (connect(c.fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		fail_msg("connect: %s", strerror(errno));
	return c;
}

static void hang_up(struct client *c)
{
	close(c->fd);
	buf_fini(&c->in);
}

/* False when the server has closed. */
static bool send_bytes(struct client *c, const void *bytes, size_t n)
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

static bool send_text(struct client *c, const char *text)
{
	return send_bytes(c, text, strlen(text));
}

/* One more piece; false at the end of the connection. Fails the test when nothing comes. */
static bool receive(struct client *c)
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

static void drop(struct client *c, size_t n)
{
	memmove(c->in.data, c->in.data + n, c->in.len - n);
	c->in.len -= n;
}

/* Reads one answer, which has a Content-Length or no body. False when the connection ended first. */
static bool get_answer(struct client *c, struct answer *a)
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

static void expect(struct client *c, int status, const char *content)
{
	struct answer a;

	if (!get_answer(c, &a))
		fail_msg("the connection ended instead of an answer with %s", content);
	if (a.status != status || !strstr((char *)a.body.data, content))
		fail_msg("%d %s instead of %d %s", a.status, a.body.data, status, content);
	buf_fini(&a.body);
}

static void expect_end(struct client *c)
{
	while (receive(c))
		;
	assert_int_equal(c->in.len, 0);
}

static uint64_t body_sum(const uint8_t *bytes, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += bytes[i] * (i % 251 + 1);
	return sum;
}

static uint8_t *make_body(size_t n)
{
	uint8_t *bytes = malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	return bytes;
}

/* ---- what a client may do ---- */

static void test_request_and_answer(void **state)
{
	struct client c = dial();
	struct answer a;

	send_text(&c, "POST /a%20b/c?p=x%2Fy+z&q HTTP/1.1\r\nHost: h\r\nX-Test: v 1\r\n"
		      "Content-Length: 5\r\n\r\nhello");
	assert_true(get_answer(&c, &a));
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.head, "Access-Control-Allow-Origin: *\r\n"));
	assert_non_null(strstr(a.head, "Content-Type: application/json\r\n"));
	assert_string_equal((char *)a.body.data,
			    "method=1 path=/a%20b/c header=v 1 p=x/y z n=5 sum=1617");
	buf_fini(&a.body);
	/* The connection stays. */
	send_text(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&c, 200, "method=0 path=/ header=- p=- n=0");
	send_text(&c, "DELETE /x?p HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&c, 200, "method=4 path=/x header=- p= n=0");
	send_text(&c, "GET http://h:80/abs?p=%zz HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&c, 200, "path=/abs header=- p=%zz");
	send_text(&c, "BREW / HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&c, 200, "method=7");
	send_text(&c, "GET /busy HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(get_answer(&c, &a));
	assert_int_equal(a.status, 429);
	assert_non_null(strstr(a.head, "Retry-After: 7\r\n"));
	buf_fini(&a.body);
	send_text(&c, "GET /empty HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&c, 204, "");
	send_text(&c, "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	expect(&c, 200, "path=/last");
	expect_end(&c);
	hang_up(&c);
	c = dial();
	send_text(&c, "GET /old HTTP/1.0\r\n\r\n");
	expect(&c, 200, "path=/old");
	expect_end(&c);
	hang_up(&c);
}

static void test_head_and_preflight(void **state)
{
	struct client c = dial();
	struct answer a;

	send_text(&c, "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS /y HTTP/1.1\r\nHost: h\r\n"
		      "Origin: http://o\r\nAccess-Control-Request-Method: PUT\r\n"
		      "Access-Control-Request-Headers: api-key, content-type\r\n\r\n");
	while (!c.in.len || !memmem(c.in.data, c.in.len, "\r\n\r\n", 4))
		assert_true(receive(&c));
	/* No body follows the head. */
	drop(&c, (size_t)((uint8_t *)memmem(c.in.data, c.in.len, "\r\n\r\n", 4) - c.in.data) + 4);
	assert_true(get_answer(&c, &a));
	assert_int_equal(a.status, 204);
	assert_non_null(strstr(a.head, "Access-Control-Allow-Headers: api-key, content-type\r\n"));
	assert_non_null(strstr(a.head, "PUT"));
	buf_fini(&a.body);
	/* And the connection stays. */
	send_text(&c, "GET /z HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&c, 200, "path=/z");
	hang_up(&c);
}

static void test_pipelining(void **state)
{
	struct buf all = BUF_INIT;
	struct client c = dial();
	char text[64];

	for (int i = 0; i < 100; i++)
		buf_printf(&all, "POST %s%d HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
			   i % 3 ? "/now" : "/late", i);
	assert_true(send_bytes(&c, all.data, all.len));
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "path=%s%d header=- p=- n=3", i % 3 ? "/now" : "/late",
			 i);
		expect(&c, 200, text);
	}
	buf_fini(&all);
	hang_up(&c);
}

static void test_half_close(void **state)
{
	const char *const paths[] = {"/x", "/late"};

	for (int i = 0; i < 2; i++) {
		struct client c = dial();
		char text[128];

		snprintf(text, sizeof(text),
			 "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", paths[i]);
		send_text(&c, text);
		shutdown(c.fd, SHUT_WR);
		expect(&c, 200, "n=3");
		expect_end(&c);
		hang_up(&c);
	}
	{
		/* Within the body: no answer, and nothing is left behind. */
		struct client c = dial();

		send_text(&c, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nabc");
		shutdown(c.fd, SHUT_WR);
		while (receive(&c))
			;
		hang_up(&c);
	}
	{
		/* While the request waits for its answer. */
		struct client c = dial();

		send_text(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
		wait_until(now_held, 1);
		shutdown(c.fd, SHUT_WR);
		poll(NULL, 0, 20);
		echo(held[0]);
		expect(&c, 200, "path=/hold");
		expect_end(&c);
		hang_up(&c);
	}
	wait_until(now_in_flight, 0);
	wait_until(now_connected, 0);
}

static void test_bodies_of_many_sizes(void **state)
{
	const size_t sizes[] = {1,     63,    64,     4095,   16383,          16384,
				16385, 70000, 262143, 262144, BODY_LIMIT - 1, BODY_LIMIT};
	struct client c = dial();
	char text[256];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *body = make_body(sizes[i]);

		for (int chunked = 0; chunked < 2; chunked++) {
			if (chunked) {
				send_text(
					&c,
					"PUT /late HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
				for (size_t at = 0, piece; at < sizes[i]; at += piece) {
					piece = sizes[i] - at < 10007 ? sizes[i] - at : 10007;
					snprintf(text, sizeof(text), "%zx\r\n", piece);
					send_text(&c, text);
					send_bytes(&c, body + at, piece);
					send_text(&c, "\r\n");
				}
				send_text(&c, "0\r\n\r\n");
			} else {
				snprintf(text, sizeof(text),
					 "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
					 sizes[i]);
				send_text(&c, text);
				send_bytes(&c, body, sizes[i]);
			}
			snprintf(text, sizeof(text), "n=%zu sum=%lu", sizes[i],
				 (unsigned long)body_sum(body, sizes[i]));
			expect(&c, 200, text);
		}
		free(body);
	}
	hang_up(&c);
}

static void test_slow_body(void **state)
{
	static const char text[] =
		"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789";
	struct client c = dial();

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		send_bytes(&c, text + i, 1);
		poll(NULL, 0, 1);
	}
	expect(&c, 200, "n=10");
	hang_up(&c);
}

static void test_expect_continue(void **state)
{
	struct client c = dial();
	char text[128];

	send_text(
		&c,
		"POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	expect(&c, 100, "");
	send_text(&c, "abc");
	expect(&c, 200, "n=3");
	/* Too large: refused without being asked for. */
	snprintf(text, sizeof(text),
		 "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
		 BODY_LIMIT + 1);
	send_text(&c, text);
	expect(&c, 413, "\"error\"");
	expect_end(&c);
	hang_up(&c);
}

/* The client gets to read the refusal, although it has sent (or is still sending) what nobody reads. */
static void test_too_large(void **state)
{
	uint8_t *body = make_body(4 * BODY_LIMIT);
	char text[128];

	for (int round = 0; round < 10; round++) {
		struct client c = dial();
		struct answer a;
		bool chunked = round % 2;

		if (chunked)
			snprintf(
				text, sizeof(text),
				"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n",
				4 * BODY_LIMIT);
		else
			snprintf(text, sizeof(text),
				 "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n",
				 4 * BODY_LIMIT);
		send_text(&c, text);
		assert_true(send_bytes(&c, body, 4 * BODY_LIMIT));
		assert_true(get_answer(&c, &a));
		assert_int_equal(a.status, 413);
		assert_non_null(strcasestr(a.head, "Connection: close"));
		assert_non_null(strstr((char *)a.body.data,
				       "{\"status\":{\"error\":\"The request body is larger "
				       "than the limit of 1048576 bytes\"},\"time\":0.0}"));
		buf_fini(&a.body);
		expect_end(&c);
		hang_up(&c);
	}
	free(body);
	wait_until(now_in_flight, 0);
	wait_until(now_connected, 0);
}

static void test_malformed(void **state)
{
	static const char *const texts[] = {
		"\r\n\r\n\r\nGARBAGE\r\n\r\n",
		"GET\r\n\r\n",
		"GET / HTTP/9.9\r\n\r\n",
		"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5x\r\n\r\nabcde",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello by TLS\r\n\r\n",
		"GET /\xff\xfe\x01 HTTP/1.1\r\nHost: h\r\nX: \xff\x01\r\nConnection: close\r\n\r\n"};
	struct client c;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct answer a;

		c = dial();
		send_text(&c, texts[i]);
		shutdown(c.fd, SHUT_WR);
		if (get_answer(&c, &a) && a.status < 400 &&
		    i != sizeof(texts) / sizeof(texts[0]) - 1)
			fail_msg("%d to %s", a.status, texts[i]);
		buf_fini(&a.body);
		hang_up(&c);
	}
	/* Headers without end. */
	c = dial();
	send_text(&c, "GET / HTTP/1.1\r\n");
	for (int i = 0; i < 5000 && send_text(&c, "X-Header: abcdefghijklmnopqrstuvwxyz\r\n"); i++)
		;
	while (receive(&c))
		;
	hang_up(&c);
	wait_until(now_in_flight, 0);
	c = dial();
	send_text(&c, "GET /alive HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&c, 200, "path=/alive");
	hang_up(&c);
}

/* A request cut off at every byte, and every byte damaged: the server lives. */
static void test_cut_and_damaged(void **state)
{
	static const char text[] =
		"POST /x?p=1 HTTP/1.1\r\nHost: h\r\nX-Test: v\r\n"
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nT: t\r\n\r\n";
	struct client c;

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		char damaged[sizeof(text)];

		c = dial();
		send_bytes(&c, text, i);
		hang_up(&c);
		memcpy(damaged, text, sizeof(text));
		damaged[i] = (char)(damaged[i] ^ (1 << i % 8));
		c = dial();
		send_bytes(&c, damaged, sizeof(damaged) - 1);
		shutdown(c.fd, SHUT_WR);
		while (receive(&c))
			;
		hang_up(&c);
	}
	c = dial();
	send_text(&c, text);
	expect(&c, 200, "n=8");
	hang_up(&c);
	wait_until(now_in_flight, 0);
}

static void test_large_answer_to_a_slow_reader(void **state)
{
	struct client c = dial();
	struct answer a;

	send_text(&c, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
	poll(NULL, 0, 50);
	assert_true(get_answer(&c, &a));
	assert_int_equal(a.body.len, 8 << 20);
	buf_fini(&a.body);
	/* Gone in the middle of it. */
	send_text(&c, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_true(receive(&c));
	hang_up(&c);
	wait_until(now_in_flight, 0);
	wait_until(now_connected, 0);
}

/* ---- many at once ---- */

enum { CLIENTS = 200, ROUNDS = 10 };

static void *run_client(void *arg)
{
	size_t id = (size_t)arg, size = id * 331 % 20000;
	uint8_t *body = make_body(size);
	struct client c = dial();
	char text[256];

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(
			text, sizeof(text),
			"POST %s HTTP/1.1\r\nHost: h\r\nX-Test: %zu.%d\r\nContent-Length: %zu\r\n\r\n",
			(id + i) % 2 ? "/late" : "/x", id, i, size);
		send_text(&c, text);
		send_bytes(&c, body, size);
		snprintf(text, sizeof(text), "header=%zu.%d p=- n=%zu sum=%lu", id, i, size,
			 (unsigned long)body_sum(body, size));
		expect(&c, 200, text);
		/* Every other one makes a new connection for each request. */
		if (id % 2) {
			hang_up(&c);
			c = dial();
		}
	}
	hang_up(&c);
	free(body);
	return NULL;
}

static void test_many_clients(void **state)
{
	pthread_t threads[CLIENTS];
	struct http_server_stats stats;

	for (size_t i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_client, (void *)i), 0);
	for (size_t i = 0; i < CLIENTS; i++)
		pthread_join(threads[i], NULL);
	wait_until(now_in_flight, 0);
	wait_until(now_connected, 0);
	http_server_stats(server, &stats);
	assert_int_equal(stats.requests, CLIENTS * ROUNDS);
	assert_true(stats.bytes_in > 0 && stats.bytes_out > 0);
}

static void test_held_requests_are_answered_in_any_order(void **state)
{
	struct client clients[50];

	for (int i = 0; i < 50; i++) {
		clients[i] = dial();
		send_text(&clients[i], "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	}
	wait_until(now_held, 50);
	/* Gone while it waits. */
	hang_up(&clients[7]);
	for (int i = 49; i >= 0; i--)
		echo(held[i]);
	for (int i = 0; i < 50; i++) {
		if (i == 7)
			continue;
		expect(&clients[i], 200, "path=/hold");
		hang_up(&clients[i]);
	}
	wait_until(now_in_flight, 0);
	wait_until(now_connected, 0);
}

/* ---- streams ---- */

static void upload(struct client *c, const char *path, size_t n, bool chunked)
{
	uint8_t *body = make_body(n);
	char text[256];

	snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nHost: h\r\n", path);
	send_text(c, text);
	if (chunked)
		snprintf(text, sizeof(text), "Transfer-Encoding: chunked\r\n\r\n");
	else
		snprintf(text, sizeof(text), "Content-Length: %zu\r\n\r\n", n);
	send_text(c, text);
	for (size_t at = 0, piece; at < n; at += piece) {
		piece = n - at < 5003 ? n - at : 5003;
		snprintf(text, sizeof(text), "%zx\r\n", piece);
		if (chunked)
			send_text(c, text);
		if (!send_bytes(c, body + at, piece))
			break;
		if (chunked)
			send_text(c, "\r\n");
	}
	if (chunked)
		send_text(c, "0\r\n\r\n");
	free(body);
}

static void test_streams(void **state)
{
	const char *const paths[] = {"/stream", "/stream/pause"};
	const size_t n = 5 * BODY_LIMIT + 77;
	uint8_t *body = make_body(n);
	char text[128];
	struct client c = dial();

	snprintf(text, sizeof(text), "streamed n=%zu sum=%lu", n, (unsigned long)body_sum(body, n));
	for (int i = 0; i < 4; i++) {
		upload(&c, paths[i % 2], n, i / 2);
		expect(&c, 200, text);
		upload(&c, paths[i % 2], 0, i / 2);
		expect(&c, 200, "streamed n=0");
		upload(&c, paths[i % 2], 1, i / 2);
		expect(&c, 200, "streamed n=1");
	}
	assert_int_equal(atomic_load(&ended), 12);
	assert_int_equal(atomic_load(&aborted), 0);
	free(body);
	hang_up(&c);
}

static void test_streams_that_fail(void **state)
{
	const char *const paths[] = {"/stream/fail", "/stream/pause/fail"};

	for (int i = 0; i < 8; i++) {
		struct client c = dial();

		/* Long ones are cut off; one that has just ended is answered as usual. */
		upload(&c, paths[i % 2], i < 4 ? 3 * BODY_LIMIT : 100001, i / 2 % 2);
		expect(&c, 400, "no more of this");
		hang_up(&c);
	}
	wait_until(now_in_flight, 0);
	assert_int_equal(atomic_load(&ended), 0);
	assert_int_equal(atomic_load(&aborted), 0);
}

/* An answer given while the stream is held back goes out at once, though the client sends no more. */
static void test_stream_answered_while_held_back(void **state)
{
	struct client c = dial();
	uint8_t *body = make_body(200000);

	send_text(&c,
		  "POST /stream/pause/fail HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n");
	send_bytes(&c, body, 200000);
	expect(&c, 400, "no more of this");
	free(body);
	hang_up(&c);
	wait_until(now_in_flight, 0);
}

static void test_streams_are_aborted(void **state)
{
	for (int i = 0; i < 6; i++) {
		struct client c = dial();

		send_text(
			&c,
			i % 2 ? "POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc"
			      : "POST /stream/pause HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc");
		wait_until(now_in_flight, 1);
		hang_up(&c);
		wait_until(now_in_flight, 0);
		wait_until(now_aborted, (uint64_t)i + 1);
	}
	assert_int_equal(atomic_load(&ended), 0);
}

/* ---- slow clients ---- */

/* One byte from time to time: neither headers nor a body may take for ever that way. */
static void test_clients_that_are_too_slow(void **state)
{
	struct client headers = dial(), body = dial(), idle = dial(), answer = dial();
	bool headers_open = true, body_open = true;

	send_text(&headers, "GET / HTTP/1.1\r\n");
	send_text(&body, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
	send_text(&answer, "GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
	for (int i = 0; i < 100 && (headers_open || body_open); i++) {
		poll(NULL, 0, 200);
		headers_open = headers_open && send_text(&headers, "X");
		body_open = body_open && send_text(&body, "x");
	}
	assert_false(headers_open);
	assert_false(body_open);
	expect_end(&idle);
	wait_until(now_in_flight, 0);
	wait_until(now_connected, 0);
	hang_up(&headers);
	hang_up(&body);
	hang_up(&idle);
	hang_up(&answer);
}

/* A request that waits for its answer is not idle. */
static void test_waiting_is_not_idling(void **state)
{
	struct client c = dial();

	send_text(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_until(now_held, 1);
	poll(NULL, 0, 2500);
	echo(held[0]);
	expect(&c, 200, "path=/hold");
	hang_up(&c);
}

/* ---- stop ---- */

static void *stop_server(void *arg)
{
	http_server_stop(server);
	return NULL;
}

/* What is in flight when the server stops is answered, if the answer comes. */
static void test_stop_waits(void **state)
{
	struct client clients[20], late;
	pthread_t stopper;

	setup(state);
	for (int i = 0; i < 20; i++) {
		clients[i] = dial();
		send_text(&clients[i], "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
	}
	late = dial();
	send_text(&late, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&late, 200, "path=/x");
	wait_until(now_held, 20);
	pthread_create(&stopper, NULL, stop_server, NULL);
	poll(NULL, 0, 100);
	/* Connections that are open already learn that it is over. */
	if (send_text(&late, "GET /y HTTP/1.1\r\nHost: h\r\n\r\n")) {
		struct answer a;

		if (get_answer(&late, &a))
			assert_int_equal(a.status, 503);
		buf_fini(&a.body);
	}
	for (int i = 0; i < 20; i++)
		echo(held[i]);
	for (int i = 0; i < 20; i++) {
		expect(&clients[i], 200, "path=/hold");
		expect_end(&clients[i]);
		hang_up(&clients[i]);
	}
	hang_up(&late);
	pthread_join(stopper, NULL);
	server = NULL;
	teardown(state);
}

/* What is never answered does not hold it for ever, and a late answer does no harm. */
static void test_stop_gives_up(void **state)
{
	struct client waiting, sending, streaming;

	setup(state);
	waiting = dial();
	send_text(&waiting,
		  "POST /hold HTTP/1.1\r\nHost: h\r\nX-Test: v\r\nContent-Length: 3\r\n\r\nabc");
	sending = dial();
	send_text(&sending, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nabc");
	streaming = dial();
	send_text(&streaming, "POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nabc");
	wait_until(now_held, 1);
	wait_until(now_in_flight, 3);
	http_server_stop(server);
	server = NULL;
	assert_int_equal(atomic_load(&aborted), 1);
	while (receive(&waiting))
		;
	while (receive(&sending))
		;
	/* The request is still whole. */
	assert_string_equal(http_header(held[0], "X-TEST"), "v");
	echo(held[0]);
	hang_up(&waiting);
	hang_up(&sending);
	hang_up(&streaming);
	teardown(state);
}

/* A stream that is held back when the server gives up: whoever would let it go on learns of it. */
static void test_stop_with_a_stream_held_back(void **state)
{
	struct mail *mail;
	struct client c;

	setup(state);
	/* Nobody continues it. */
	mailbox_close(stream_box);
	pthread_join(stream_thread, NULL);
	mailbox_free(stream_box);
	stream_box = mailbox_new();
	c = dial();
	send_text(&c, "POST /stream/pause HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nabc");
	mail = mailbox_take(stream_box, UINT64_MAX);
	http_server_stop(server);
	server = NULL;
	assert_int_equal(atomic_load(&aborted), 0);
	http_stream_continue(
		((struct upload *)((char *)mail - offsetof(struct upload, mail)))->request);
	assert_int_equal(atomic_load(&aborted), 1);
	hang_up(&c);
	pthread_create(&stream_thread, NULL, run_stream, NULL);
	teardown(state);
}

/* ---- start ---- */

static void test_start(void **state)
{
	const char *const hosts[] = {"127.0.0.1", "localhost", "::1", "[::1]", "", "0.0.0.0"};
	struct http_options o = options();
	struct http_server *s, *other;
	struct error err = {0};

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		o.host = hosts[i];
		o.threads = (uint32_t)i;
		if (http_server_start(&s, &o, &err)) {
			/* A machine without IPv6. */
			if (strchr(hosts[i], ':') && strstr(err.text, "assign"))
				continue;
			fail_msg("%s: %s", hosts[i], err.text);
		}
		assert_true(http_server_port(s) > 0);
		http_server_stop(s);
	}
	o.host = "127.0.0.1";
	assert_int_equal(http_server_start(&s, &o, &err), 0);
	o.port = http_server_port(s);
	assert_true(http_server_start(&other, &o, &err) < 0);
	assert_non_null(strstr(err.text, "is another server running there?"));
	http_server_stop(s);
	o.port = 0;
	o.host = "no such host";
	assert_int_equal(http_server_start(&s, &o, &err), ERR_INPUT);
	o.host = "127.0.0.1";
	o.tls_cert = "/dev/null";
	assert_int_equal(http_server_start(&s, &o, &err), ERR_INPUT);
	o.tls_key = "/no/such/file";
	assert_true(http_server_start(&s, &o, &err) < 0);
	http_server_stop(NULL);
}

static void test_decode(void **state)
{
	struct arena *a = arena_new(1024);

	assert_string_equal(http_decode(a, "a%20b%2F%C3%BC+", 15), "a b/\xc3\xbc+");
	assert_string_equal(http_decode(a, "", 0), "");
	assert_string_equal(http_decode(a, "abc%41", 3), "abc");
	assert_null(http_decode(a, "a%", 2));
	assert_null(http_decode(a, "a%4", 3));
	assert_null(http_decode(a, "a%41", 3));
	assert_null(http_decode(a, "a%4g", 4));
	assert_null(http_decode(a, "a%00", 4));
	arena_free(a);
}

#define TEST(name)           cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_IMPATIENT(name) cmocka_unit_test_setup_teardown(name, setup_impatient, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_request_and_answer),
		TEST(test_head_and_preflight),
		TEST(test_pipelining),
		TEST(test_half_close),
		TEST(test_bodies_of_many_sizes),
		TEST(test_slow_body),
		TEST(test_expect_continue),
		TEST(test_too_large),
		TEST(test_malformed),
		TEST(test_cut_and_damaged),
		TEST(test_large_answer_to_a_slow_reader),
		TEST(test_many_clients),
		TEST(test_held_requests_are_answered_in_any_order),
		TEST(test_streams),
		TEST(test_streams_that_fail),
		TEST(test_stream_answered_while_held_back),
		TEST(test_streams_are_aborted),
		TEST_IMPATIENT(test_clients_that_are_too_slow),
		TEST_IMPATIENT(test_waiting_is_not_idling),
		cmocka_unit_test(test_stop_waits),
		cmocka_unit_test(test_stop_gives_up),
		cmocka_unit_test(test_stop_with_a_stream_held_back),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_decode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
