/* Nodes that must prove that they know the key of their cluster: with the right one, with another, with none, on either side; and
 * somebody on the socket who knows the protocol but not the key. */
#include "rpc/auth.h"
#include "rpc/wire.h"
#include "tests/unit/rpc/nodes.h"

static const char KEY[] = "correct horse battery staple";

/* ---- proofs ---- */

static struct auth example(void)
{
	struct auth c = {.cluster_id = 77, .from = 1, .to = 2, .callee = 2, .class = RPC_WRITE};

	memset(c.a, 3, sizeof(c.a));
	memset(c.b, 4, sizeof(c.b));
	return c;
}

/* A proof holds for one connection, one side and one key, and for nothing else. */
static void test_a_proof_is_of_everything(void **state)
{
	struct auth c = example();
	uint8_t key[SECRET_HASH_BYTES], other[SECRET_HASH_BYTES], proof[SECRET_HASH_BYTES];

	auth_key(KEY, key);
	auth_key("correct horse battery stapl", other);
	auth_proof(&c, AUTH_CALLER, key, proof);
	assert_true(auth_proves(&c, AUTH_CALLER, key, proof));
	assert_false(auth_proves(&c, AUTH_CALLEE, key, proof));
	assert_false(auth_proves(&c, AUTH_CALLER, other, proof));
	for (int i = 0; i < 7; i++) {
		struct auth d = c;

		switch (i) {
		case 0: d.cluster_id++; break;
		case 1: d.from++; break;
		case 2: d.to++; break;
		case 3: d.callee++; break;
		case 4: d.class = RPC_SEARCH; break;
		case 5: d.a[31] ^= 1; break;
		default: d.b[0] ^= 1; break;
		}
		assert_false(auth_proves(&d, AUTH_CALLER, key, proof));
	}
	proof[5] ^= 0x80;
	assert_false(auth_proves(&c, AUTH_CALLER, key, proof));
}

/* ---- nodes ---- */

/* One that said so, among the newest: others may have come since. */
static bool was_refused(struct node *n, const char *words)
{
	bool found = false;

	pthread_mutex_lock(&n->lock);
	for (unsigned i = 0; i < N_REFUSALS && !found; i++) {
		found = strstr(n->refusals[i].text, words) != NULL;
		assert_true(!found || n->refusals[i].code == ERR_FORBIDDEN);
	}
	pthread_mutex_unlock(&n->lock);
	return found;
}

static void wait_refused(struct node *n, const char *words)
{
	while (!was_refused(n, words))
		usleep(1000);
}

static void test_the_same_key(void **state)
{
	struct node a, b;
	struct counting c;
	struct error why;

	node_init_keyed(&a, 1, 77, "127.0.0.1:0", KEY);
	node_init_keyed(&b, 2, 77, "127.0.0.1:0", KEY);
	connect_nodes(&a, &b);
	connect_nodes(&b, &a);
	assert_int_equal(ask_and_wait(&c, &a, 2, 21), 0);
	assert_int_equal(c.response.count, 42);
	assert_int_equal(ask_and_wait(&c, &b, 1, 4), 0);
	assert_int_equal(rpc_peer_refused(a.rpc, 2, &why), 0);
	/* A connection that is lost is proven anew. */
	rpc_peer_remove(a.rpc, 2);
	connect_nodes(&a, &b);
	assert_int_equal(ask_and_wait(&c, &a, 2, 5), 0);
	assert_int_equal(a.refused + b.refused, 0);
	node_fini(&a);
	node_fini(&b);
}

/* Much more than may be sent before the proof. */
static void test_large_messages_after_the_proof(void **state)
{
	enum { N = 20000 };
	static struct point_id ids[N];
	struct node a, b;
	struct write w = {.op = {.type = OP_DELETE, .ids = ids, .n_ids = N}};
	struct rpc_write_request q = {.target = {.collection_id = 1}, .write = &w};
	struct rpc_write_response r = {0};
	struct counting c = {.call = {.type = RPC_TYPE_write,
				      .request = &q,
				      .response = &r,
				      .arena = arena_new(64),
				      .done = on_done}};

	node_init_keyed(&a, 1, 77, "127.0.0.1:0", KEY);
	node_init_keyed(&b, 2, 77, "127.0.0.1:0", KEY);
	connect_nodes(&a, &b);
	rpc_send(a.rpc, 2, &c.call);
	wait_done(&c);
	assert_int_equal(c.call.rc, 0);
	assert_int_equal(r.changed, N);
	arena_free(c.call.arena);
	node_fini(&a);
	node_fini(&b);
}

static void test_another_key(void **state)
{
	struct node a, b;
	struct counting c;
	struct error why = {0};
	struct buf metrics = BUF_INIT;

	node_init_keyed(&a, 1, 77, "127.0.0.1:0", KEY);
	node_init_keyed(&b, 2, 77, "127.0.0.1:0", "another key of sixteen bytes");
	rpc_peer_set(a.rpc, 2, b.address);
	wait_refused(&a, "does not know the key");
	assert_false(rpc_peer_up(a.rpc, 2));
	while (rpc_peer_refused(a.rpc, 2, &why) != ERR_FORBIDDEN)
		usleep(1000);
	assert_non_null(strstr(why.text, b.address));
	do { /* a slow machine may forget a refusal before it comes again */
		assert_int_equal(ask_and_wait(&c, &a, 2, 1), ERR_UNAVAILABLE);
	} while (strstr(c.call.err.text, "--cluster-key-file") == NULL);
	assert_int_equal(b.handled, 0);
	rpc_metrics(a.rpc, &metrics);
	buf_put_u8(&metrics, 0);
	assert_non_null(strstr((char *)metrics.data, "quiver_rpc_refused_total"));
	assert_null(strstr((char *)metrics.data, "\nquiver_rpc_refused_total 0\n"));
	buf_fini(&metrics);
	node_fini(&a);
	node_fini(&b);
}

static void test_one_side_without_a_key(void **state)
{
	struct node a, b, c;
	struct counting k;

	node_init_keyed(&a, 1, 77, "127.0.0.1:0", KEY);
	node_init(&b, 2, 77, "127.0.0.1:0");
	/* The one with a key does not talk to the other. */
	rpc_peer_set(a.rpc, 2, b.address);
	wait_refused(&a, "has no cluster key");
	assert_int_equal(ask_and_wait(&k, &a, 2, 1), ERR_UNAVAILABLE);
	assert_int_equal(b.handled, 0);
	/* And does not listen to it. */
	connect_nodes(&b, &a);
	for (int i = 0; i < 2 * 4; i++) {
		int rc = ask_and_wait(&k, &b, 1, 1);

		/* After a few the connection is closed. */
		assert_true(rc == ERR_FORBIDDEN || rc == ERR_CLOSED || rc == ERR_UNAVAILABLE);
		if (rc == ERR_FORBIDDEN)
			assert_non_null(strstr(k.call.err.text, "must prove"));
		if (i == 0)
			assert_int_equal(rc, ERR_FORBIDDEN);
	}
	assert_int_equal(a.handled, 0);
	wait_refused(&a, "turned away a caller from 127.0.0.1 that says it is node 2");
	/* It is let in once it has the key. */
	node_init_keyed(&c, 2, 77, "127.0.0.1:0", KEY);
	rpc_peer_set(a.rpc, 2, c.address);
	wait_up(&a, 2, true);
	assert_int_equal(ask_and_wait(&k, &a, 2, 1), 0);
	node_fini(&a);
	node_fini(&b);
	node_fini(&c);
}

/* The one to join through, by one that knows no cluster yet. */
static void test_joining_with_the_key(void **state)
{
	struct node a, b, c;
	struct rpc_join_request r = {"n4", "h:1", "h:2", true, true};
	struct rpc_join_response answer = {0};
	struct counting j = {.call = {.type = RPC_TYPE_join,
				      .request = &r,
				      .response = &answer,
				      .arena = arena_new(64),
				      .done = on_done}};

	node_init_keyed(&a, 0, 0, NULL, KEY);
	node_init_keyed(&b, 2, 77, "127.0.0.1:0", KEY);
	node_init_keyed(&c, 0, 0, NULL, "no key of this cluster");
	rpc_peer_set(a.rpc, RPC_ANY_NODE, b.address);
	wait_up(&a, RPC_ANY_NODE, true);
	rpc_send(a.rpc, RPC_ANY_NODE, &j.call);
	wait_done(&j);
	assert_int_equal(j.call.rc, ERR_UNSUPPORTED); /* it reached the handler */
	assert_int_equal(b.handled, 1);
	arena_free(j.call.arena);
	rpc_peer_set(c.rpc, RPC_ANY_NODE, b.address);
	wait_refused(&c, "does not know the key");
	node_fini(&a);
	node_fini(&b);
	node_fini(&c);
}

/* ---- somebody who knows the protocol ---- */

struct raw_peer {
	struct wire_dialer *dialer;
	atomic_uint up, downs, answers;
	pthread_mutex_t lock;
	struct buf last;
};

static void raw_up(void *ctx)
{
	((struct raw_peer *)ctx)->up = 1;
}
static void raw_down(void *ctx)
{
	struct raw_peer *p = ctx;

	p->up = 0;
	p->downs++;
}
static void raw_received(void *ctx, struct wire_message *m)
{
	struct raw_peer *p = ctx;

	pthread_mutex_lock(&p->lock);
	buf_clear(&p->last);
	buf_put(&p->last, m->bytes, m->n);
	pthread_mutex_unlock(&p->lock);
	wire_message_free(m);
	atomic_fetch_add(&p->answers, 1);
}

static void raw_open(struct raw_peer *p, const char *address)
{
	struct wire_dialer_events events = {p, raw_up, raw_down, raw_received};

	memset(p, 0, sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
	assert_int_equal(wire_dial(address, &events, &p->dialer, NULL), 0);
	while (!p->up)
		usleep(1000);
}

static void raw_close(struct raw_peer *p)
{
	wire_dialer_close(p->dialer);
	buf_fini(&p->last);
	pthread_mutex_destroy(&p->lock);
}

static void raw_exchange(struct raw_peer *p, const struct buf *f, struct frame_head *back,
			 struct reader *items)
{
	unsigned before = p->answers;
	struct error err;

	assert_true(wire_dialer_send(p->dialer, f));
	while (p->answers == before)
		usleep(1000);
	assert_int_equal(frame_parse(p->last.data, p->last.len, back, items, &err), 0);
}

static const struct frame_head HEAD = {FRAME_REQUESTS, RPC_CONTROL, 77, 9, 2, 0};

/* Answers the challenge with the callee's own proof, with an old proof, with none; and says PROOF first. */
static void test_without_the_key_there_is_no_way_in(void **state)
{
	struct node b;
	uint8_t key[SECRET_HASH_BYTES], wrong[SECRET_HASH_BYTES];
	uint8_t old[SECRET_HASH_BYTES] = {0};

	auth_key(KEY, key);
	auth_key("a guess", wrong);
	node_init_keyed(&b, 2, 77, "127.0.0.1:0", KEY);
	for (int i = 0; i < 5; i++) {
		struct raw_peer p;
		struct auth c = {0};
		struct frame_head h = HEAD, back;
		struct buf f = BUF_INIT;
		struct reader items;
		unsigned refused = b.refused;

		raw_open(&p, b.address);
		if (i < 4) {
			auth_put_hello(&c, &h, &f);
			raw_exchange(&p, &f, &back, &items);
			assert_int_equal(back.kind, FRAME_CHALLENGE);
			assert_int_equal(reader_left(&items), 64);
			memcpy(c.b, items.at, 32);
			c.callee = 2;
		}
		h.kind = FRAME_PROOF;
		buf_clear(&f);
		frame_begin(&f, &h);
		if (i == 0) /* reflected */
			buf_put(&f, items.at + 32, 32);
		else if (i == 1) /* of an earlier connection: right there, not here */
			buf_put(&f, old, 32);
		else if (i == 2)
			auth_proof(&c, AUTH_CALLER, wrong, buf_extend(&f, 32));
		else if (i == 4)
			buf_put(&f, old, 32);
		frame_end(&f, 1);
		auth_proof(&c, AUTH_CALLER, key, old);
		wire_dialer_send(p.dialer, &f);
		while (p.downs == 0)
			usleep(1000);
		assert_true(b.refused > refused);
		raw_close(&p);
		buf_fini(&f);
	}
	assert_int_equal(b.handled, 0);
	node_fini(&b);
}

/* Calls before, or instead of, the proof are refused; so are messages longer than a proof needs. */
static void test_nothing_is_served_before_the_proof(void **state)
{
	struct node b;
	struct raw_peer p;
	struct frame_head h = HEAD, back;
	struct frame_response r;
	struct buf f = BUF_INIT, body = BUF_INIT;
	struct reader items;
	struct auth c;

	node_init_keyed(&b, 2, 77, "127.0.0.1:0", KEY);
	raw_open(&p, b.address);
	auth_put_hello(&c, &h, &f);
	raw_exchange(&p, &f, &back, &items);
	buf_put_u64(&body, 2);
	buf_clear(&f);
	frame_begin(&f, &h);
	frame_put_request(&f, 5, RPC_TYPE_probe, 0, &body);
	frame_end(&f, 1);
	raw_exchange(&p, &f, &back, &items);
	assert_int_equal(back.kind, FRAME_REJECT);
	assert_int_equal(frame_next_response(&items, &r), 0);
	assert_int_equal(r.code, ERR_FORBIDDEN);
	buf_clear(&f);
	frame_begin(&f, &h);
	buf_extend(&body, 100000);
	memset(body.data, 0, body.len);
	frame_put_request(&f, 6, RPC_TYPE_probe, 0, &body);
	frame_end(&f, 1);
	assert_int_equal(p.downs, 0);
	wire_dialer_send(p.dialer, &f);
	while (p.downs == 0)
		usleep(1000);
	raw_close(&p);
	assert_int_equal(b.handled, 0);
	buf_fini(&f);
	buf_fini(&body);
	node_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_proof_is_of_everything),
		cmocka_unit_test(test_the_same_key),
		cmocka_unit_test(test_large_messages_after_the_proof),
		cmocka_unit_test(test_another_key),
		cmocka_unit_test(test_one_side_without_a_key),
		cmocka_unit_test(test_joining_with_the_key),
		cmocka_unit_test(test_without_the_key_there_is_no_way_in),
		cmocka_unit_test(test_nothing_is_served_before_the_proof),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
