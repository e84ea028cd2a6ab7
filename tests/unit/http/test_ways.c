/* The two ways a request can go, through direct.c and through libmicrohttpd alone: the same bytes get the same
 * answers. Damaged requests are sent to a server of each kind, and all that comes back is compared. */
#include "tests/unit/http/fixture.h"
#include "base/prng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { DAMAGED = 1500 };

static const char *const samples[] = {
	"POST /a%20b?p=x%2Fy&q=1 HTTP/1.1\r\nHost: h\r\nX-Test: v 1\r\nContent-Length: 5\r\n\r\nhello",
	"GET /x?p HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"
	"PUT /late?p=a=b HTTP/1.1\r\nx-test:w\r\nHost: h\r\nContent-Type: application/json\r\n"
	"Content-Length: 3\r\n\r\nabcDELETE /2 HTTP/1.1\r\nHost: h\r\n\r\n",
	"PATCH /busy HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"GET /empty HTTP/1.1\r\nHost: h\r\n\r\nPOST /stream HTTP/1.1\r\nHost: h\r\n"
	"Content-Length: 4\r\n\r\nabcdGET /y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
	"GET /x?p=1 HTTP/1.1\r\nHost: h\r\nX-Test: v\r\nX-Test: w\r\nExpect: nothing\r\n\r\n",
};

static void damage(struct buf *b, struct prng *prng)
{
	static const char *const pieces[] = {"\r\n", " ",        "\t",   ":",    "+", "&&", "?",
					     "=",    "%",        "\n",   "GET ", "/", "0",  "-",
					     "#",    "HTTP/1.1", "\x80", "1",    ",", "\r"};
	size_t at = (size_t)prng_below(prng, b->len), n;
	const char *piece = pieces[prng_below(prng, sizeof(pieces) / sizeof(pieces[0]))];

	switch (prng_below(prng, 3)) {
	case 0: b->data[at] = (uint8_t)(b->data[at] ^ (1u << prng_below(prng, 8))); break;
	case 1:
		n = strlen(piece);
		buf_extend(b, n);
		memmove(b->data + at + n, b->data + at, b->len - n - at);
		memcpy(b->data + at, piece, n);
		break;
	default: memmove(b->data + at, b->data + at + 1, b->len - at - 1); b->len--;
	}
}

/* Status and body of each answer, as text. */
static struct buf ask(const struct buf *request)
{
	struct client c = dial();
	struct buf out = BUF_INIT;
	struct answer a;

	send_bytes(&c, request->data, request->len);
	shutdown(c.fd, SHUT_WR);
	while (get_answer(&c, &a)) {
		/* The texts of refusals are libmicrohttpd's in both cases. */
		buf_printf(&out, "%d %s\n", a.status, a.body.data);
		buf_fini(&a.body);
	}
	buf_fini(&a.body);
	hang_up(&c);
	return out;
}

static void test_same_answers(void **state)
{
	struct http_options direct = options(), library = options();
	struct http_server *servers[2];
	struct error err;
	struct prng prng;

	library.library_only = true;
	start(&direct);
	servers[0] = server;
	if (http_server_start(&servers[1], &library, &err))
		fail_msg("%s", err.text);
	prng_seed(&prng, 5);
	for (int i = 0; i < DAMAGED; i++) {
		const char *text = samples[(size_t)i % (sizeof(samples) / sizeof(samples[0]))];
		struct buf request = BUF_INIT, answers[2];

		buf_put(&request, text, strlen(text));
		for (uint64_t n = i < 10 ? 0 : 1 + prng_below(&prng, 3); n > 0; n--)
			damage(&request, &prng);
		for (int way = 0; way < 2; way++) {
			server = servers[way];
			answers[way] = ask(&request);
			buf_put_u8(&answers[way], 0);
		}
		if (strcmp((char *)answers[0].data, (char *)answers[1].data) != 0)
			fail_msg("%.*s\n--- got\n%s--- and by libmicrohttpd\n%s", (int)request.len,
				 request.data, answers[0].data, answers[1].data);
		buf_fini(&answers[0]);
		buf_fini(&answers[1]);
		buf_fini(&request);
	}
	server = servers[0];
	http_server_stop(servers[1]);
	teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_answers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
