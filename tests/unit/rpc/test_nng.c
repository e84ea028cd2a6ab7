/* Two and more nodes in one process, over real sockets on loopback: answers, errors, thousands at
 * once, deadlines, cancelling, a peer that dies, a peer of another cluster, garbage and frames that
 * are too large. Nothing here asserts how fast anything is. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/pool.h"
#include "rpc/frame.h"
#include "rpc/rpc.h"
#include "rpc/wire.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a node whose handler counts, and does as the request says ---- */

enum { DO_ANSWER, DO_FAIL, DO_HOLD };

struct node {
	struct rpc *rpc;
	struct pool *pool;
	uint64_t id;
	char address[32];
	atomic_uint handled;
	atomic_int behaviour;
	pthread_mutex_t lock;
	struct rpc_call *held[4096];
	atomic_uint n_held;
	uint64_t last_meta; /* order of meta messages */
	atomic_uint out_of_order;
};

static void handle(void *ctx, struct rpc_call *call)
{
	struct node *n = ctx;

	atomic_fetch_add(&n->handled, 1);
	if (call->type == RPC_TYPE_meta) {
		const struct rpc_meta_request *q = call->request;
		uint64_t number;

		memcpy(&number, q->bytes, sizeof(number));
		if (number != n->last_meta + 1)
			atomic_fetch_add(&n->out_of_order, 1);
		n->last_meta = number;
		rpc_finish(call, 0);
		return;
	}
	if (n->behaviour == DO_HOLD) {
		pthread_mutex_lock(&n->lock);
		n->held[n->n_held++] = call;
		pthread_mutex_unlock(&n->lock);
		return;
	}
	if (n->behaviour == DO_FAIL) {
		rpc_finish(call, error_set(&call->err, ERR_STALE, "partition %u moved",
					   ((const struct rpc_count_request *)call->request)
						   ->target.partition));
		return;
	}
	if (call->type == RPC_TYPE_count) {
		const struct rpc_count_request *q = call->request;

		((struct rpc_count_response *)call->response)->count = q->target.collection_id * 2;
		rpc_finish(call, 0);
	} else if (call->type == RPC_TYPE_write) {
		const struct rpc_write_request *q = call->request;

		((struct rpc_write_response *)call->response)->changed = q->write->op.n_ids;
		rpc_finish(call, 0);
	} else {
		rpc_finish(call, ERR_UNSUPPORTED);
	}
}

static void release_held(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	for (unsigned i = 0; i < n->n_held; i++) {
		((struct rpc_count_response *)n->held[i]->response)->count = 1;
		rpc_finish(n->held[i], 0);
	}
	n->n_held = 0;
	pthread_mutex_unlock(&n->lock);
}

static void node_init(struct node *n, uint64_t id, uint64_t cluster, const char *listen)
{
	struct rpc_net_options o = {.cluster_id = cluster, .listen = listen};
	struct error err = {0};

	memset(n, 0, sizeof(*n));
	n->id = id;
	pthread_mutex_init(&n->lock, NULL);
	assert_int_equal(pool_new(&n->pool, 2, 1, NULL), 0);
	o.pool = n->pool;
	assert_int_equal(rpc_new(&n->rpc, id, NULL), 0);
	rpc_serve_local(n->rpc, (struct rpc_service){handle, n});
	if (rpc_listen(n->rpc, &o, &err) != 0)
		fail_msg("%s", err.text);
	snprintf(n->address, sizeof(n->address), "127.0.0.1:%u", rpc_port(n->rpc));
}

static void node_fini(struct node *n)
{
	rpc_free(n->rpc);
	pool_free(n->pool);
	pthread_mutex_destroy(&n->lock);
}

static void wait_up(struct node *n, uint64_t peer, bool up)
{
	while (rpc_peer_up(n->rpc, peer) != up)
		usleep(1000);
}

static void connect_nodes(struct node *a, struct node *b)
{
	rpc_peer_set(a->rpc, b->id, b->address);
	wait_up(a, b->id, true);
}

/* ---- a caller ---- */

struct counting {
	struct rpc_call call; /* first */
	struct rpc_count_request request;
	struct rpc_count_response response;
	atomic_uint *left;
	atomic_bool done;
};

static void on_done(struct rpc_call *call)
{
	struct counting *c = (struct counting *)call;

	assert(!c->done);
	atomic_store(&c->done, true);
	if (c->left != NULL)
		atomic_fetch_sub(c->left, 1);
}

static void ask(struct counting *c, struct node *from, uint64_t to, uint64_t value,
		uint64_t deadline_us)
{
	memset(c, 0, sizeof(*c));
	c->request.target.collection_id = value;
	c->request.target.partition = 3;
	c->call = (struct rpc_call){.type = RPC_TYPE_count,
				    .request = &c->request,
				    .response = &c->response,
				    .arena = arena_new(256),
				    .deadline_us = deadline_us,
				    .done = on_done};
	rpc_send(from->rpc, to, &c->call);
}

static void wait_done(struct counting *c)
{
	while (!c->done)
		usleep(200);
}

static int ask_and_wait(struct counting *c, struct node *from, uint64_t to, uint64_t value)
{
	ask(c, from, to, value, 0);
	wait_done(c);
	arena_free(c->call.arena);
	return c->call.rc;
}

/* ---- tests ---- */

static void test_answers_and_errors(void **state)
{
	struct node a, b;
	struct counting c;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	assert_int_equal(ask_and_wait(&c, &a, 2, 5), ERR_UNAVAILABLE); /* not known yet */
	connect_nodes(&a, &b);
	assert_int_equal(ask_and_wait(&c, &a, 2, 21), 0);
	assert_int_equal(c.response.count, 42);
	assert_int_equal(ask_and_wait(&c, &a, 1, 4), 0); /* the own node, no network */
	assert_int_equal(c.response.count, 8);
	b.behaviour = DO_FAIL;
	assert_int_equal(ask_and_wait(&c, &a, 2, 21), ERR_STALE);
	assert_string_equal(c.call.err.text, "partition 3 moved");
	rpc_peer_remove(a.rpc, 2);
	assert_int_equal(ask_and_wait(&c, &a, 2, 5), ERR_UNAVAILABLE);
	assert_non_null(strstr(c.call.err.text, "not known"));
	node_fini(&a);
	node_fini(&b);
}

struct asker {
	struct node *from;
	uint64_t to;
	uint64_t base;
	unsigned wrong;
};

static void *ask_many(void *arg)
{
	struct asker *k = arg;
	enum { AT_ONCE = 8, ROUNDS = 100 };
	struct counting calls[AT_ONCE];

	for (int round = 0; round < ROUNDS; round++) {
		atomic_uint left = AT_ONCE;

		for (unsigned i = 0; i < AT_ONCE; i++) {
			struct counting *c = &calls[i];

			memset(c, 0, sizeof(*c));
			c->left = &left;
			c->request.target.collection_id = k->base + i;
			c->call = (struct rpc_call){.type = RPC_TYPE_count,
						    .request = &c->request,
						    .response = &c->response,
						    .arena = arena_new(64),
						    .done = on_done};
			rpc_send(k->from->rpc, k->to, &c->call);
		}
		while (left > 0)
			usleep(50);
		for (unsigned i = 0; i < AT_ONCE; i++) {
			while (!calls[i].done)
				continue;
			k->wrong += calls[i].call.rc != 0 ||
				    calls[i].response.count != (k->base + i) * 2;
			arena_free(calls[i].call.arena);
		}
	}
	return NULL;
}

static void test_thousands_at_once(void **state)
{
	struct node a, b;
	enum { THREADS = 16 };
	pthread_t threads[THREADS];
	struct asker askers[THREADS];
	struct buf metrics = BUF_INIT;
	unsigned long long calls = 0, frames = 0;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	connect_nodes(&b, &a);
	for (unsigned i = 0; i < THREADS; i++) {
		askers[i] = i % 2 == 0 ? (struct asker){&a, 2, i * 1000, 0}
				       : (struct asker){&b, 1, i * 1000, 0};
		pthread_create(&threads[i], NULL, ask_many, &askers[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(askers[i].wrong, 0);
	}
	assert_int_equal(a.handled + b.handled, THREADS * 800);
	rpc_metrics(a.rpc, &metrics);
	buf_put_u8(&metrics, 0);
	sscanf(strstr((char *)metrics.data, "\nquiver_rpc_calls_sent_total "), "%*s %llu", &calls);
	sscanf(strstr((char *)metrics.data, "\nquiver_rpc_frames_sent_total "), "%*s %llu",
	       &frames);
	print_message("# %llu calls in %llu frames\n", calls, frames);
	assert_int_equal(calls, THREADS / 2 * 800);
	assert_true(frames <= calls);
	buf_fini(&metrics);
	node_fini(&a);
	node_fini(&b);
}

/* More calls than the window: what waits is coalesced into few frames when there is room. */
static void test_window_and_queue(void **state)
{
	struct node a, b;
	enum { CALLS = 600 };
	struct counting *calls = calloc(CALLS, sizeof(*calls));

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	b.behaviour = DO_HOLD;
	for (unsigned i = 0; i < CALLS; i++)
		ask(&calls[i], &a, 2, i, 0);
	while (b.handled < 48)
		usleep(1000);
	usleep(20000);
	assert_int_equal(b.handled, 48); /* the window, and not one more */
	for (;;) {
		bool all = true;

		for (unsigned i = 0; i < CALLS; i++)
			all = all && calls[i].done;
		if (all)
			break;
		release_held(&b);
		usleep(1000);
	}
	for (unsigned i = 0; i < CALLS; i++) {
		assert_int_equal(calls[i].call.rc, 0);
		arena_free(calls[i].call.arena);
	}
	free(calls);
	node_fini(&a);
	node_fini(&b);
}

static void test_overload_is_refused(void **state)
{
	struct node a, b;
	enum { CALLS = 48 + 1024 + 10 };
	struct counting *calls = calloc(CALLS, sizeof(*calls));
	unsigned busy = 0;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	b.behaviour = DO_HOLD;
	for (unsigned i = 0; i < CALLS; i++) {
		ask(&calls[i], &a, 2, i, 0);
		if (calls[i].done) {
			assert_int_equal(calls[i].call.rc, ERR_BUSY);
			busy++;
		}
	}
	assert_int_equal(busy, 10);
	/* Hanging up ends the others; the peer is left with what it holds. */
	rpc_hang_up(a.rpc);
	for (unsigned i = 0; i < CALLS; i++) {
		assert_true(calls[i].done);
		assert_true(calls[i].call.rc < 0);
		arena_free(calls[i].call.arena);
	}
	release_held(&b);
	b.behaviour = DO_ANSWER;
	free(calls);
	node_fini(&a);
	node_fini(&b);
}

static void test_deadline(void **state)
{
	struct node a, b;
	struct counting c, next;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	b.behaviour = DO_HOLD;
	ask(&c, &a, 2, 1, clock_monotonic_us() + 30000);
	wait_done(&c);
	assert_int_equal(c.call.rc, ERR_TIMEOUT);
	assert_true(clock_monotonic_us() >= c.call.deadline_us);
	arena_free(c.call.arena);
	/* The late answer of the first does not harm the second. */
	b.behaviour = DO_ANSWER;
	while (b.n_held == 0)
		usleep(1000);
	release_held(&b);
	assert_int_equal(ask_and_wait(&next, &a, 2, 7), 0);
	assert_int_equal(next.response.count, 14);
	/* A deadline that is over already. */
	ask(&c, &a, 2, 1, 1);
	wait_done(&c);
	assert_int_equal(c.call.rc, ERR_TIMEOUT);
	arena_free(c.call.arena);
	node_fini(&a);
	node_fini(&b);
}

static void test_cancel(void **state)
{
	struct node a, b;
	struct counting held, waiting[60];

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	b.behaviour = DO_HOLD;
	ask(&held, &a, 2, 1, 0);
	while (b.handled == 0)
		usleep(1000);
	rpc_cancel(a.rpc, 2, &held.call);
	assert_true(held.done);
	assert_int_equal(held.call.rc, ERR_CLOSED);
	rpc_cancel(a.rpc, 2, &held.call); /* done already: nothing happens */
	arena_free(held.call.arena);
	/* Those that only waited go without a trace. */
	for (int i = 0; i < 60; i++)
		ask(&waiting[i], &a, 2, 1, 0);
	while (b.handled < 48)
		usleep(1000);
	for (int i = 0; i < 60; i++) {
		rpc_cancel(a.rpc, 2, &waiting[i].call);
		assert_int_equal(waiting[i].call.rc, ERR_CLOSED);
		arena_free(waiting[i].call.arena);
	}
	b.behaviour = DO_ANSWER;
	release_held(&b);
	assert_int_equal(ask_and_wait(&held, &a, 2, 4), 0);
	assert_in_range(b.handled, 49, 50);
	node_fini(&a);
	node_fini(&b);
}

static void test_peer_dies_and_returns(void **state)
{
	struct node a, b;
	struct counting c[20];
	char address[32];

	node_init(&a, 1, 77, "127.0.0.1:0");
	for (int round = 0; round < 5; round++) {
		node_init(&b, 2, 77, round == 0 ? "127.0.0.1:0" : address);
		snprintf(address, sizeof(address), "%s", b.address);
		connect_nodes(&a, &b);
		assert_int_equal(ask_and_wait(&c[0], &a, 2, 4), 0);
		b.behaviour = DO_HOLD;
		for (int i = 0; i < 20; i++)
			ask(&c[i], &a, 2, 1, 0);
		while (b.n_held < 20)
			usleep(1000);
		/* It goes, as a process does: what it holds is never answered. */
		b.behaviour = DO_ANSWER;
		rpc_peer_set(b.rpc, 1, NULL);
		pthread_mutex_lock(&b.lock);
		for (unsigned i = 0; i < b.n_held; i++)
			rpc_finish(b.held[i], ERR_UNAVAILABLE);
		pthread_mutex_unlock(&b.lock);
		node_fini(&b);
		for (int i = 0; i < 20; i++) {
			wait_done(&c[i]);
			assert_true(c[i].call.rc < 0);
			arena_free(c[i].call.arena);
		}
		wait_up(&a, 2, false);
		assert_int_equal(ask_and_wait(&c[0], &a, 2, 4), ERR_UNAVAILABLE);
	}
	node_fini(&a);
}

/* A process that hangs, until its node is known elsewhere. */
static void test_peer_hangs_and_moves(void **state)
{
	struct node a, b, other;
	struct counting c, d;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	b.behaviour = DO_HOLD;
	ask(&c, &a, 2, 1, 0);
	ask(&d, &a, 2, 1, clock_monotonic_us() + 20000);
	wait_done(&d);
	assert_int_equal(d.call.rc, ERR_TIMEOUT);
	arena_free(d.call.arena);
	assert_false(c.done);
	/* The address moves to another process: the old connection is dropped. */
	node_init(&other, 2, 77, "127.0.0.1:0");
	rpc_peer_set(a.rpc, 2, other.address);
	wait_done(&c);
	assert_int_equal(c.call.rc, ERR_CLOSED); /* it may have been carried out */
	arena_free(c.call.arena);
	wait_up(&a, 2, true);
	assert_int_equal(ask_and_wait(&d, &a, 2, 9), 0);
	release_held(&b);
	node_fini(&a);
	node_fini(&b);
	node_fini(&other);
}

static void test_strangers_are_turned_away(void **state)
{
	struct node a, b, c;
	struct counting k;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 78, "127.0.0.1:0"); /* another cluster */
	node_init(&c, 3, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	assert_int_equal(ask_and_wait(&k, &a, 2, 1), ERR_FORBIDDEN);
	assert_non_null(strstr(k.call.err.text, "belongs to cluster"));
	assert_int_equal(b.handled, 0);
	/* Node 3 has the address that node 2 had. */
	rpc_peer_set(a.rpc, 2, c.address);
	wait_up(&a, 2, true);
	assert_int_equal(ask_and_wait(&k, &a, 2, 1), ERR_STALE);
	assert_non_null(strstr(k.call.err.text, "this is node 3, not 2"));
	/* The one to join through has no id yet. */
	rpc_peer_set(a.rpc, RPC_ANY_NODE, c.address);
	wait_up(&a, RPC_ANY_NODE, true);
	assert_int_equal(ask_and_wait(&k, &a, RPC_ANY_NODE, 3), 0);
	assert_int_equal(k.response.count, 6);
	node_fini(&a);
	node_fini(&b);
	node_fini(&c);
}

static void test_who_knows_no_cluster_may_only_join(void **state)
{
	struct node a, b;
	struct counting k;

	node_init(&a, RPC_ANY_NODE + 1, 0, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	assert_int_equal(ask_and_wait(&k, &a, 2, 1), ERR_FORBIDDEN);
	struct rpc_join_request q = {"n4", "h:1", "h:2", true, true};
	struct rpc_join_response r = {0};
	struct counting j = {.call = {.type = RPC_TYPE_join,
				      .request = &q,
				      .response = &r,
				      .arena = arena_new(64),
				      .done = on_done}};

	rpc_send(a.rpc, 2, &j.call);
	wait_done(&j);
	assert_int_equal(j.call.rc, ERR_UNSUPPORTED); /* it reached the handler */
	assert_int_equal(b.handled, 1);
	arena_free(j.call.arena);
	node_fini(&a);
	node_fini(&b);
}

/* ---- raw bytes ---- */

static int raw_connect(const struct node *n)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(rpc_port(n->rpc))};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void raw_write(int fd, const void *bytes, size_t n)
{
	(void)!send(fd, bytes, n, MSG_NOSIGNAL);
}

/* The greeting of a REQ peer, so that the bytes behind it reach our code. */
static const uint8_t GREETING[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};

static void test_garbage_on_the_socket(void **state)
{
	struct node a, b;
	struct counting k;
	uint8_t bytes[512];

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	for (unsigned round = 0; round < 60; round++) {
		int fd = raw_connect(&b);

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(rand() >> 7);
		if (round % 2 == 0) {
			uint8_t head[12] = {0, 0, 0, 0, 0, 0, 0, 200, 0x80, 0, 0, 1};

			raw_write(fd, GREETING, sizeof(GREETING));
			raw_write(fd, head, sizeof(head));
			if (round % 4 == 0) /* our magic, then nonsense */
				memcpy(bytes, "QRPC\1\0", 6);
		}
		raw_write(fd, bytes, round % 3 == 0 ? 17 : sizeof(bytes));
		close(fd);
	}
	/* A length beyond the limit: the connection is closed, nothing is allocated for it. */
	int fd = raw_connect(&b);
	uint8_t huge[8] = {0, 0, 0, 1, 0, 0, 0, 0};

	raw_write(fd, GREETING, sizeof(GREETING));
	raw_write(fd, huge, sizeof(huge));
	while (recv(fd, bytes, sizeof(bytes), 0) > 0)
		continue;
	close(fd);
	assert_int_equal(ask_and_wait(&k, &a, 2, 8), 0);
	assert_int_equal(b.handled, 1);
	node_fini(&a);
	node_fini(&b);
}

struct raw_peer {
	struct wire_dialer *dialer;
	atomic_uint up, answers;
	struct buf last;
};

static void raw_up(void *ctx)
{
	((struct raw_peer *)ctx)->up = 1;
}
static void raw_down(void *ctx)
{
	((struct raw_peer *)ctx)->up = 0;
}
static void raw_received(void *ctx, struct wire_message *m)
{
	struct raw_peer *p = ctx;

	buf_clear(&p->last);
	buf_put(&p->last, m->bytes, m->n);
	wire_message_free(m);
	atomic_fetch_add(&p->answers, 1);
}

/* Well-formed transport, wrong frames: each is answered with the reason, or its items with theirs. */
static void test_wrong_frames(void **state)
{
	struct node b;
	struct raw_peer p = {0};
	struct wire_dialer_events events = {&p, raw_up, raw_down, raw_received};
	struct frame_head h = {FRAME_REQUESTS, RPC_SEARCH, 77, 9, 2, 0}, back;
	struct buf f = BUF_INIT, body = BUF_INIT;
	struct frame_response r;
	struct reader items;
	struct error err;

	node_init(&b, 2, 77, "127.0.0.1:0");
	assert_int_equal(wire_dial(b.address, &events, &p.dialer, NULL), 0);
	while (!p.up)
		usleep(1000);
	for (int i = 0; i < 5; i++) {
		unsigned before = p.answers;
		static const int codes[] = {ERR_FORMAT, ERR_VERSION, ERR_FORMAT, ERR_UNSUPPORTED,
					    ERR_FORMAT};

		buf_clear(&f);
		buf_clear(&body);
		buf_put_str(&body, "no count request");
		h.kind = i == 2 ? FRAME_RESPONSES : FRAME_REQUESTS;
		frame_begin(&f, &h);
		frame_put_request(&f, 5, RPC_TYPE_count, 0, &body);
		if (i == 3) /* a type of the future */
			f.data[FRAME_HEAD_BYTES + 8] = 200;
		frame_end(&f, 1);
		if (i == 0)
			f.data[f.len - 1] ^= 1;
		if (i == 1)
			f.data[4] = 9;
		assert_true(wire_dialer_send(p.dialer, &f));
		while (p.answers == before)
			usleep(1000);
		assert_int_equal(frame_parse(p.last.data, p.last.len, &back, &items, &err), 0);
		assert_int_equal(back.kind, i < 3 ? FRAME_REJECT : FRAME_RESPONSES);
		assert_int_equal(frame_next_response(&items, &r), 0);
		assert_int_equal(r.code, codes[i]);
	}
	assert_int_equal(b.handled, 0);
	wire_dialer_close(p.dialer);
	buf_fini(&p.last);
	buf_fini(&f);
	buf_fini(&body);
	node_fini(&b);
}

/* ---- large and ordered ---- */

static void test_large_write(void **state)
{
	struct node a, b;
	enum { IDS = 1000000 };
	struct write w = {.op = {.type = OP_DELETE, .n_ids = IDS}};
	struct rpc_write_request q = {.write = &w};
	struct rpc_write_response r = {0};
	struct counting c = {.call = {.type = RPC_TYPE_write,
				      .request = &q,
				      .response = &r,
				      .arena = arena_new(64),
				      .done = on_done}};
	struct counting small;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	w.op.ids = calloc(IDS, sizeof(*w.op.ids));
	for (uint32_t i = 0; i < IDS; i++)
		w.op.ids[i] = id_from_u64(i);
	rpc_send(a.rpc, 2, &c.call);
	assert_int_equal(ask_and_wait(&small, &a, 2, 2), 0); /* its class has its own connection */
	wait_done(&c);
	assert_int_equal(c.call.rc, 0);
	assert_int_equal(r.changed, IDS);
	/* Beyond the limit of a message: refused here, nothing is sent. */
	w.op.n_ids = 6 * IDS;
	free(w.op.ids);
	w.op.ids = calloc(w.op.n_ids, sizeof(*w.op.ids));
	c.done = false;
	rpc_send(a.rpc, 2, &c.call);
	assert_true(c.done);
	assert_int_equal(c.call.rc, ERR_TOO_LARGE);
	free(w.op.ids);
	arena_free(c.call.arena);
	node_fini(&a);
	node_fini(&b);
}

static void test_control_messages_keep_their_order(void **state)
{
	struct node a, b;
	enum { N = 2000 };
	struct one {
		struct counting c;
		struct rpc_meta_request q;
		struct rpc_meta_response r;
		uint64_t number;
	} *all = calloc(N, sizeof(*all));
	atomic_uint left = N;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	for (unsigned i = 0; i < N; i++) {
		struct one *o = &all[i];

		while (N - left + 500 < i)
			usleep(100); /* stay below the bound of the queue */
		o->number = i + 1;
		o->q = (struct rpc_meta_request){1, &o->number, sizeof(o->number)};
		o->c.left = &left;
		o->c.call = (struct rpc_call){.type = RPC_TYPE_meta,
					      .request = &o->q,
					      .response = &o->r,
					      .arena = arena_new(64),
					      .done = on_done};
		rpc_send(a.rpc, 2, &o->c.call);
	}
	while (left > 0)
		usleep(1000);
	assert_int_equal(b.handled, N);
	assert_int_equal(b.out_of_order, 0);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(all[i].c.call.rc, 0);
		arena_free(all[i].c.call.arena);
	}
	free(all);
	node_fini(&a);
	node_fini(&b);
}

static void test_bad_addresses(void **state)
{
	struct rpc *r;
	struct pool *pool;
	struct error err;
	struct node taken;
	struct rpc_net_options o = {.cluster_id = 1};

	node_init(&taken, 1, 77, "127.0.0.1:0");
	assert_int_equal(pool_new(&pool, 1, 1, NULL), 0);
	assert_int_equal(rpc_new(&r, 1, NULL), 0);
	rpc_serve_local(r, (struct rpc_service){handle, &taken});
	o.pool = pool;
	o.listen = taken.address;
	assert_int_equal(rpc_listen(r, &o, &err), ERR_LOCKED);
	assert_non_null(strstr(err.text, taken.address));
	o.listen = "no such host at all:x";
	assert_true(rpc_listen(r, &o, &err) < 0);
	o.listen = NULL;
	assert_int_equal(rpc_listen(r, &o, &err), 0);
	assert_int_equal(rpc_port(r), 0);
	rpc_peer_set(r, 5, "127.0.0.1:1"); /* nobody there */
	assert_false(rpc_peer_up(r, 5));
	rpc_free(r);
	pool_free(pool);
	node_fini(&taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_and_errors),
		cmocka_unit_test(test_thousands_at_once),
		cmocka_unit_test(test_window_and_queue),
		cmocka_unit_test(test_overload_is_refused),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_peer_dies_and_returns),
		cmocka_unit_test(test_peer_hangs_and_moves),
		cmocka_unit_test(test_strangers_are_turned_away),
		cmocka_unit_test(test_who_knows_no_cluster_may_only_join),
		cmocka_unit_test(test_garbage_on_the_socket),
		cmocka_unit_test(test_wrong_frames),
		cmocka_unit_test(test_large_write),
		cmocka_unit_test(test_control_messages_keep_their_order),
		cmocka_unit_test(test_bad_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
