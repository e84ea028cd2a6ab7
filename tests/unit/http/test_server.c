/* The HTTP server, by way of raw sockets: what a well-behaved client does, and what others do. */
#include "tests/unit/http/fixture.h"
#include "base/clock.h"
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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
		/* With more than one request before it. */
		struct client c = dial();

		send_text(&c,
			  "GET /late1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
			  "POST /late3 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
		shutdown(c.fd, SHUT_WR);
		expect(&c, 200, "path=/late1");
		expect(&c, 200, "path=/2");
		expect(&c, 200, "path=/late3");
		expect_end(&c);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_decode),
	};

	return RUN_BOTH_WAYS(tests);
}
