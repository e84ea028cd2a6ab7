/* The network when things go wrong: a peer that dies, hangs, belongs to another cluster or is another
 * node; garbage on the socket, wrong frames, wrong addresses. */
#include "base/prng.h"
#include "rpc/frame.h"
#include "rpc/wire.h"
#include "tests/unit/rpc/nodes.h"

#include <arpa/inet.h>
#include <sys/socket.h>

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
		/* Each of its connections notices for itself. */
		while (ask_and_wait(&c[0], &a, 2, 4) != ERR_UNAVAILABLE)
			assert_int_equal(c[0].call.rc, ERR_CLOSED);
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

static void test_garbage_on_the_socket(void **state)
{
	struct node a, b;
	struct counting k;
	struct prng random;
	uint8_t bytes[512];

	prng_seed(&random, 3);

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	for (unsigned round = 0; round < 60; round++) {
		int fd = raw_connect(&b);

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)prng_u64(&random);
		if (round % 2 == 0) { /* our stream, then nonsense */
			uint8_t head[8] = {'Q', 'R', 'P', '1', 200, 0, 0, 0};

			raw_write(fd, head, sizeof(head));
			if (round % 4 == 0) /* and our frame */
				memcpy(bytes, "QRPC\1\0", 6);
		}
		raw_write(fd, bytes, round % 3 == 0 ? 17 : sizeof(bytes));
		close(fd);
	}
	/* A length beyond the limit: the connection is closed, nothing is allocated for it. */
	int fd = raw_connect(&b);
	uint8_t huge[8] = {'Q', 'R', 'P', '1', 0, 0, 0, 0x10};

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

static void raw_read(int fd, void *bytes, size_t n)
{
	for (ssize_t got; n > 0; n -= (size_t)got, bytes = (uint8_t *)bytes + got) {
		got = recv(fd, bytes, n, 0);
		assert_true(got > 0);
	}
}

/* Messages to a peer that does not read: those that the system takes, those of which it takes a part, and those that wait for
 * it. Once it reads, it gets all of them, whole and in order. */
static void test_peer_that_reads_late(void **state)
{
	enum { MESSAGES = 600, LONGEST = 100000 };
	struct raw_peer p = {0};
	struct wire_dialer_events events = {&p, raw_up, raw_down, raw_received};
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t size = sizeof(at);
	uint8_t *bytes = malloc(LONGEST);
	struct buf message = BUF_INIT;
	char address[32];
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(at.sin_port));
	assert_int_equal(wire_dial(address, &events, &p.dialer, NULL), 0);
	int fd = accept(listener, NULL, NULL);
	while (!p.up)
		usleep(1000);
	for (unsigned i = 0; i < MESSAGES; i++) {
		memset(bytes, (int)(i % 251), LONGEST);
		buf_clear(&message);
		buf_put(&message, bytes, 1 + i * 7919 % LONGEST);
		assert_true(wire_dialer_send(p.dialer, &message));
	}
	for (unsigned i = 0; i < MESSAGES; i++) {
		uint32_t head[2], n = 1 + i * 7919 % LONGEST;

		raw_read(fd, head, sizeof(head));
		assert_int_equal(head[1], n);
		raw_read(fd, bytes, n);
		for (uint32_t j = 0; j < n; j++)
			assert_true(bytes[j] == i % 251);
	}
	wire_dialer_close(p.dialer);
	close(fd);
	close(listener);
	buf_fini(&message);
	free(bytes);
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

/* A peer that answers whatever comes with a refusal that names no reason. */
struct refusing_peer {
	struct wire_listener *listener;
	atomic_uint told;
};

static void refuser_closed(void *ctx, uint32_t connection) {}
static void refuser_received(void *ctx, uint32_t connection, struct wire_message *m)
{
	struct refusing_peer *p = ctx;
	struct frame_head h = {FRAME_REJECT, RPC_SEARCH, 77, 2, 1, 0};
	struct error none = {0};
	struct buf f = BUF_INIT, nothing = BUF_INIT;

	frame_begin(&f, &h);
	frame_put_response(&f, 0, &none, &nothing);
	frame_end(&f, 1);
	wire_listener_send(p->listener, connection, &f);
	buf_fini(&f);
	wire_message_free(m);
	atomic_fetch_add(&p->told, 1);
}

static void test_a_refusal_without_a_reason_is_no_answer(void **state)
{
	struct refusing_peer p = {0};
	struct wire_listener_events events = {&p, refuser_closed, refuser_received, 0};
	struct counting k;
	struct node a;
	char address[32];

	assert_int_equal(wire_listen("127.0.0.1:0", &events, &p.listener, NULL), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%u", wire_listener_port(p.listener));
	node_init(&a, 1, 77, "127.0.0.1:0");
	rpc_peer_set(a.rpc, 2, address);
	wait_up(&a, 2, true);
	ask(&k, &a, 2, 9, clock_monotonic_us() + 300000);
	wait_done(&k);
	assert_true(p.told > 0);
	assert_int_equal(k.call.rc, ERR_TIMEOUT);
	arena_free(k.call.arena);
	node_fini(&a);
	wire_listener_close(p.listener);
}

struct restless {
	struct node *from;
	atomic_bool *stop;
	unsigned answered;
};

static void *asks_on_and_on(void *ctx)
{
	struct restless *r = ctx;
	struct counting k;

	while (!*r->stop) {
		int rc = ask_and_wait(&k, r->from, 2, 4);

		assert(rc == 0 || rc == ERR_UNAVAILABLE || rc == ERR_CLOSED);
		r->answered += rc == 0;
	}
	return NULL;
}

/* A connection is taken down while other threads send on it. */
static void test_the_address_changes_while_calls_are_sent(void **state)
{
	enum { CALLERS = 4, CHANGES = 60 };
	struct node a, b, other;
	atomic_bool stop = false;
	struct restless callers[CALLERS];
	pthread_t threads[CALLERS];
	unsigned answered = 0;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	node_init(&other, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	for (int i = 0; i < CALLERS; i++) {
		callers[i] = (struct restless){&a, &stop, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, asks_on_and_on, &callers[i]), 0);
	}
	for (int i = 0; i < CHANGES; i++) {
		rpc_peer_set(a.rpc, 2, i % 2 ? b.address : other.address);
		wait_up(&a, 2, true);
	}
	stop = true;
	for (int i = 0; i < CALLERS; i++) {
		pthread_join(threads[i], NULL);
		answered += callers[i].answered;
	}
	/* Answers are lost on the way, never made up. */
	assert_true(answered <= b.handled + other.handled);
	assert_true(answered > 0);
	node_fini(&a);
	node_fini(&b);
	node_fini(&other);
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
		cmocka_unit_test(test_peer_dies_and_returns),
		cmocka_unit_test(test_peer_hangs_and_moves),
		cmocka_unit_test(test_strangers_are_turned_away),
		cmocka_unit_test(test_who_knows_no_cluster_may_only_join),
		cmocka_unit_test(test_garbage_on_the_socket),
		cmocka_unit_test(test_peer_that_reads_late),
		cmocka_unit_test(test_wrong_frames),
		cmocka_unit_test(test_a_refusal_without_a_reason_is_no_answer),
		cmocka_unit_test(test_the_address_changes_while_calls_are_sent),
		cmocka_unit_test(test_bad_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
