/* The HTTP server: streamed uploads, slow clients, and stopping while requests are in flight. */
#include "tests/unit/http/fixture.h"
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int setup_impatient(void **state)
{
	struct http_options o = options();

	o.idle_timeout_s = 1;
	start(&o);
	return 0;
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

/* More clients than there are places wait in the queue of the socket until idle ones are ended. */
static void test_more_clients_than_places(void **state)
{
	struct http_options o = options();
	struct client clients[12];

	o.max_connections = 4;
	o.threads = 2;
	o.idle_timeout_s = 1;
	start(&o);
	for (int i = 0; i < 12; i++)
		clients[i] = dial();
	assert_true(now_connected() <= 4);
	send_text(&clients[11], "GET /late HTTP/1.1\r\nHost: h\r\n\r\n");
	expect(&clients[11], 200, "path=/late");
	for (int i = 0; i < 12; i++)
		hang_up(&clients[i]);
	wait_until(now_connected, 0);
	teardown(state);
}

static atomic_uint complaints;

static void complain(void *ctx, const struct error *why)
{
	assert_non_null(strstr(why->text, "Too many open files"));
	atomic_fetch_add(&complaints, 1);
}

static uint64_t now_complained(void)
{
	return atomic_load(&complaints);
}

/* A client for whom there is no file waits until there is one. */
static void test_no_file_for_a_client(void **state)
{
	struct http_options o = options();
	struct rlimit before, low;
	int files[64], n = 0;
	struct client c;

	o.cannot_accept = complain;
	atomic_store(&complaints, 0);
	start(&o);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = (struct rlimit){(rlim_t)dup(0) + 16, before.rlim_max};
	files[n++] = (int)low.rlim_cur - 16;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n < 64 && (files[n] = dup(0)) >= 0)
		n++;
	close(files[--n]);
	c = dial();
	send_text(&c, "GET /late HTTP/1.1\r\nHost: h\r\n\r\n");
	wait_until(now_complained, 1);
	while (n > 0)
		close(files[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	expect(&c, 200, "path=/late");
	hang_up(&c);
	assert_int_equal(atomic_load(&complaints), 1);
	teardown(state);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_streams),
		TEST(test_streams_that_fail),
		TEST(test_stream_answered_while_held_back),
		TEST(test_streams_are_aborted),
		cmocka_unit_test_setup_teardown(test_clients_that_are_too_slow, setup_impatient,
						teardown),
		cmocka_unit_test_setup_teardown(test_waiting_is_not_idling, setup_impatient,
						teardown),
		cmocka_unit_test(test_more_clients_than_places),
		cmocka_unit_test(test_no_file_for_a_client),
		cmocka_unit_test(test_stop_waits),
		cmocka_unit_test(test_stop_gives_up),
		cmocka_unit_test(test_stop_with_a_stream_held_back),
	};

	return RUN_BOTH_WAYS(tests);
}
