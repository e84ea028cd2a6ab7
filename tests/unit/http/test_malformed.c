/* Requests that are damaged at random, sent over live connections: whole ones, cut off, half closed, hung up on, several in a
 * row, with headers that contradict each other. The server answers in HTTP or hangs up, it goes on serving, and keeps
 * nothing: no request, no connection, no descriptor, and by the leak sanitizer no memory.
 *
 * QUIVER_MALFORMED (20,000) is the number of requests; QUIVER_SEED replays a run. */
#include "tests/unit/http/fixture.h"
#include "base/memory.h"
#include "base/prng.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { WAVE = 500, MOST_BYTES = 1 << 17 };

static const char *const good[] = {
	"GET /x?p=1 HTTP/1.1\r\nHost: h\r\nX-Test: v\r\n\r\n",
	"POST /a%20b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
	"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nT: t\r\n\r\n",
	"PUT /late HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nContent-Length: 10\r\n\r\n0123456789",
	"GET /busy HTTP/1.0\r\nConnection: close\r\n\r\n",
	"DELETE /empty HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
	"POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\nstreamed ...",
	"POST /stream HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nstream\r\n0\r\n\r\n",
	"POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
	"OPTIONS /y HTTP/1.1\r\nHost: h\r\nOrigin: http://o\r\nAccess-Control-Request-Method: PUT\r\n\r\n",
};
/* Put in front of the end of a head, or of any of its lines. */
static const char *const headers[] = {
	"Content-Length: 3\r\n",
	"Content-Length: 18446744073709551616\r\n",
	"Content-Length: -1\r\n",
	"Content-Length: +3\r\n",
	"Content-Length: 3, 4\r\n",
	"Content-Length : 3\r\n",
	"Content-Length:\r\n",
	"Content-Length: 0x3\r\n",
	"Transfer-Encoding: chunked\r\n",
	"Transfer-Encoding: identity\r\n",
	"Transfer-Encoding: gzip, chunked\r\n",
	"Transfer-Encoding : chunked\r\n",
	"Transfer-Encoding:\tchunked\r\n",
	"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
	"transfer-encoding: xchunked\r\n",
	"Host: other\r\n",
	" folded: line\r\n",
	"Connection: close\r\n",
	"Connection: upgrade\r\nUpgrade: h2c\r\n",
	"Expect: 200-maybe\r\n",
	"X-Test: \x01\x7f\xff\r\n",
	"X-Test\r\n",
	": nothing\r\n",
	"Range: bytes=0-\r\n",
	"Content-Type: application/json; charset=\"\r\n",
};
static const char *const numbers[] = {"0",  "1",        "4294967296", "9223372036854775808",
				      "-1", "99999999", "ffffffff",   "00000000000000000005"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void put_in(struct buf *b, size_t at, const void *bytes, size_t n)
{
	size_t behind = b->len - at;

	if (b->len + n > MOST_BYTES)
		return;
	buf_extend(b, n);
	memmove(b->data + at + n, b->data + at, behind);
	memcpy(b->data + at, bytes, n);
}

static void take_out(struct buf *b, size_t at, size_t n)
{
	memmove(b->data + at, b->data + at + n, b->len - at - n);
	b->len -= n;
}

/* The beginning of a random line. */
static size_t some_line(const struct buf *b, struct prng *p)
{
	size_t at = (size_t)prng_below(p, b->len);

	while (at > 0 && b->data[at - 1] != '\n')
		at--;
	return at;
}

static void replace_number(struct buf *b, struct prng *p)
{
	const char *number = numbers[prng_below(p, COUNT(numbers))];
	size_t at = (size_t)prng_below(p, b->len), n = 0;

	while (at < b->len && (b->data[at] < '0' || b->data[at] > '9'))
		at++;
	while (at + n < b->len && b->data[at + n] >= '0' && b->data[at + n] <= '9')
		n++;
	take_out(b, at, n);
	put_in(b, at, number, strlen(number));
}

static void damage(struct buf *b, struct prng *p)
{
	static const uint8_t bytes[] = {0, '\r', '\n', ' ', ':', ';', '%', 0x80, 0xff, '\t'};
	size_t at = (size_t)prng_below(p, b->len);
	size_t n = 1 + (size_t)prng_below(p, b->len - at);
	const char *text;

	switch (prng_below(p, 9)) {
	case 0: b->data[at] = (uint8_t)prng_u64(p); break;
	case 1: b->data[at] ^= (uint8_t)(1u << prng_below(p, 8)); break;
	case 2: put_in(b, at, &bytes[prng_below(p, sizeof(bytes))], 1); break;
	case 3: take_out(b, at, n > 8 ? 8 : n); break;
	case 4:
		text = headers[prng_below(p, COUNT(headers))];
		put_in(b, some_line(b, p), text, strlen(text));
		break;
	case 5: replace_number(b, p); break;
	case 6: /* a piece twice, or a thousand times */
		text = mem_copy(b->data + at, n);
		for (uint64_t i = prng_below(p, 8) == 0 ? 1000 : 1; i > 0; i--)
			put_in(b, at, text, n);
		free((void *)text);
		break;
	case 7: b->len = at + 1; break;
	default: /* another one behind it */
		text = good[prng_below(p, COUNT(good))];
		put_in(b, b->len, text, strlen(text));
	}
}

struct tally {
	unsigned sent, answered, refused, done;
};

/* All that came back is the beginning of an answer, or nothing. */
static void look(const struct client *c, const struct buf *sent, struct tally *t)
{
	int status = 0;

	if (c->in.len == 0)
		return;
	t->answered++;
	if (c->in.len < 12 || sscanf((const char *)c->in.data, "HTTP/1.1 %3d", &status) != 1 ||
	    status < 100 || status > 599)
		fail_msg("`%.*s` to `%.*s`", (int)c->in.len, (const char *)c->in.data,
			 (int)sent->len, (const char *)sent->data);
	t->refused += status >= 400;
	t->done += status >= 200 && status < 300;
}

static void send_one(struct buf *b, struct prng *p, struct tally *t)
{
	static const struct linger at_once = {.l_onoff = 1};
	const char *text = good[prng_below(p, COUNT(good))];
	struct client c = dial();
	size_t first;

	buf_clear(b);
	buf_put(b, text, strlen(text));
	for (uint64_t i = 1 + prng_below(p, 4); i > 0 && b->len > 0; i--)
		damage(b, p);
	first = prng_below(p, 3) == 0 && b->len > 0 ? (size_t)prng_below(p, b->len) : b->len;
	t->sent++;
	if (send_bytes(&c, b->data, first) && prng_below(p, 10) != 0 &&
	    send_bytes(&c, b->data + first, b->len - first)) {
		shutdown(c.fd, SHUT_WR);
		while (receive(&c))
			;
		look(&c, b, t);
	}
	setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	hang_up(&c);
}

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void test_malformed_at_random(void **state)
{
	const char *n = getenv("QUIVER_MALFORMED"), *from = getenv("QUIVER_SEED");
	unsigned requests = n != NULL ? (unsigned)strtoul(n, NULL, 10) : 20000;
	uint64_t seed = from != NULL ? strtoull(from, NULL, 10) : 1;
	struct tally t = {0};
	struct buf b = BUF_INIT;
	struct prng p;
	unsigned before = 0;

	prng_seed(&p, seed);
	while (t.sent < requests) {
		struct client c;

		for (unsigned i = 0; i < WAVE && t.sent < requests; i++)
			send_one(&b, &p, &t);
		c = dial();
		send_text(&c, "GET /alive HTTP/1.1\r\nHost: h\r\n\r\n");
		expect(&c, 200, "path=/alive");
		hang_up(&c);
		wait_until(now_in_flight, 0);
		wait_until(now_connected, 0);
		if (before == 0)
			before = descriptors();
		if (descriptors() != before)
			fail_msg("seed %lu: %u descriptors, not %u, after %u requests",
				 (unsigned long)seed, descriptors(), before, t.sent);
	}
	print_message("# seed %lu: %u requests, %u answered, %u of them refused\n",
		      (unsigned long)seed, t.sent, t.answered, t.refused);
	assert_true(t.refused > requests / 10 && t.done > requests / 100);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_malformed_at_random, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
