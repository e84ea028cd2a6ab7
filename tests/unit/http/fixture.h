/* What the tests of the HTTP server share: a server that answers in every way there is, and a client
 * on a raw socket that sends what it is told to, right or wrong.
 *
 *   /late...          answered by another thread
 *   /hold             answered by the test, from held[]
 *   /large            8 MiB
 *   /busy, /empty     429 with Retry-After, 204
 *   /stream...        a streamed upload; with "pause" held back after each chunk, with "fail" answered
 *                     400 after 100,000 bytes
 *   all others        what the request was, as text
 */
#pragma once
#include "http/http.h"
#include "base/mailbox.h"
#include "tests/unit/unit.h"
#include <pthread.h>
#include <stdatomic.h>

enum { BODY_LIMIT = 1 << 20, READ_MS = 20000 };

/* ---- the server under test ---- */

/* What the routes under /stream do. */
struct upload {
	struct http_request *request;
	uint64_t bytes, sum;
	unsigned feeds;
	bool pausing, failing;
	struct mail mail;
	bool answer_instead; /* the worker answers instead of continuing */
};

extern struct http_server *server;
extern bool library_only;          /* for options(): nothing goes the direct way */
extern struct mailbox *stream_box; /* streams that are held back */
extern pthread_t stream_thread;    /* lets them go on */
extern atomic_uint aborted, ended; /* streams */
extern struct http_request *held[1000];

int setup(void **state);
int teardown(void **state);
struct http_options options(void);
void start(const struct http_options *o);
void echo(struct http_request *r);
void *run_stream(void *arg);

uint64_t now_in_flight(void);
uint64_t now_connected(void);
uint64_t now_aborted(void);
uint64_t now_held(void);
/* Waits: the threads of the server come to it in their own time. */
void wait_until(uint64_t (*what)(void), uint64_t value);

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

struct client dial(void);
void hang_up(struct client *c);
/* False when the server has closed. */
bool send_bytes(struct client *c, const void *bytes, size_t n);
bool send_text(struct client *c, const char *text);
/* One more piece; false at the end of the connection. Fails the test when nothing comes. */
bool receive(struct client *c);
void drop(struct client *c, size_t n);
/* Reads one answer, which has a Content-Length or no body. False when the connection ended first. */
bool get_answer(struct client *c, struct answer *a);
void expect(struct client *c, int status, const char *content);
void expect_end(struct client *c);

uint8_t *make_body(size_t n);

/* All tests by both ways: the direct one where it can be, then libmicrohttpd's alone. */
#define RUN_BOTH_WAYS(tests)                                                                       \
	(cmocka_run_group_tests_name("direct", tests, NULL, NULL) +                                \
	 (library_only = true, cmocka_run_group_tests_name("libmicrohttpd", tests, NULL, NULL)))
uint64_t body_sum(const uint8_t *bytes, size_t n); /* as /echo computes it */
