/* The strict reader of heads: what it takes, and that it leaves everything else alone. */
#include "http/head.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <string.h>

static bool read_text(char *copy, const char *text, struct http_head *out)
{
	size_t n = strlen(text);

	memcpy(copy, text, n);
	return http_head_read(copy, n, out);
}

static void test_ordinary(void **state)
{
	static const char text[] =
		"POST /a%20b/c?p=x%2Fy&q&r=a=b HTTP/1.1\r\nHost: h:80\r\nX-Test:  v 1\r\nEmpty:\r\n"
		"CONNECTION: Keep-Alive\r\ncontent-length: 0123\r\nAuthorization: Bearer \tk\r\n\r\n{}";
	char copy[sizeof(text)];
	struct http_head h;

	assert_true(read_text(copy, text, &h));
	assert_int_equal(h.method, HTTP_POST);
	assert_string_equal(h.path, "/a%20b/c");
	assert_int_equal(h.n_parameters, 3);
	assert_string_equal(h.parameters[0].name, "p");
	assert_string_equal(h.parameters[0].value, "x%2Fy");
	assert_string_equal(h.parameters[1].name, "q");
	assert_null(h.parameters[1].value);
	assert_string_equal(h.parameters[2].value, "a=b");
	assert_int_equal(h.n_fields, 6);
	assert_string_equal(h.fields[0].value, "h:80");
	assert_string_equal(h.fields[1].name, "X-Test");
	assert_string_equal(h.fields[1].value, "v 1");
	assert_string_equal(h.fields[2].value, "");
	assert_string_equal(h.fields[5].value, "Bearer \tk");
	assert_int_equal(h.body_length, 123);
	assert_int_equal(h.n_bytes, sizeof(text) - 3);
}

static void test_methods(void **state)
{
	static const char *const names[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
	char copy[256], text[256];
	struct http_head h;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: h\r\n\r\n", names[i]);
		assert_true(read_text(copy, text, &h));
		assert_int_equal(h.method, (int)i);
		assert_string_equal(h.path, "/");
		assert_int_equal(h.body_length, 0);
	}
}

static void test_strange(void **state)
{
	static const char *const texts[] = {
		"",
		"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\nHost: h\n\n",
		"GET / HTTP/1.1\r\nHost: h\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n\r",
		"GET / HTTP/1.0\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
		"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
		"get / HTTP/1.1\r\nHost: h\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /\xc3\xbc HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /\t HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /?a+b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /?a&&b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /?=b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /? HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /?a& HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nhost: g\r\n\r\n",
		"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h \r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n: v\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX: \x01\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX: \x7f\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX: a\nb\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nTrailer: x\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n",
	};
	static const char with_nul[] = "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n";
	char copy[256];
	struct http_head h;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (read_text(copy, texts[i], &h))
			fail_msg("taken: %s", texts[i]);
	memcpy(copy, with_nul, sizeof(with_nul));
	assert_false(http_head_read(copy, sizeof(with_nul) - 1, &h));
}

/* One field or parameter more than there is room for. */
static void test_many(void **state)
{
	struct http_head h;
	char text[2048];

	for (int over = 0; over < 2; over++) {
		int n = snprintf(text, sizeof(text), "GET /?");

		for (int i = 0; i < HEAD_FIELDS + over; i++)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "%sp%d=%d", i ? "&" : "",
				      i, i);
		n += snprintf(text + n, sizeof(text) - (size_t)n, " HTTP/1.1\r\nHost: h\r\n\r\n");
		assert_int_equal(http_head_read(text, (size_t)n, &h), !over);
		n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n");
		for (int i = 1; i < HEAD_FIELDS + over; i++)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "X%d: %d\r\n", i, i);
		n += snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
		assert_int_equal(http_head_read(text, (size_t)n, &h), !over);
	}
}

/* A head that has not come in whole, cut at every byte. */
static void test_cut(void **state)
{
	static const char text[] = "POST /x?p=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
	char copy[sizeof(text)];
	struct http_head h;

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		memcpy(copy, text, n);
		assert_false(http_head_read(copy, n, &h));
	}
	assert_true(read_text(copy, text, &h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ordinary), cmocka_unit_test(test_methods),
		cmocka_unit_test(test_strange),  cmocka_unit_test(test_many),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
