/* Two nodes in one process, over real sockets on loopback: answers, errors, thousands at once,
 * deadlines, cancelling, order, large messages. Nothing here asserts how fast anything is. */
#include "tests/unit/rpc/nodes.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

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

/* A message that follows another must not wait for the acknowledgement of the first: both ends of each connection say so. */
static void test_messages_do_not_wait(void **state)
{
	struct node a, b;
	unsigned n = 0;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	for (int fd = 0; fd < 1024; fd++) {
		struct sockaddr_in at;
		socklen_t size = sizeof(at);
		int at_once = 0;

		if (getpeername(fd, (struct sockaddr *)&at, &size) != 0 || at.sin_family != AF_INET)
			continue;
		size = sizeof(at_once);
		assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, &size), 0);
		assert_int_not_equal(at_once, 0);
		n++;
	}
	assert_true(n >= 2 * RPC_CLASS_COUNT);
	node_fini(&a);
	node_fini(&b);
}

static unsigned long long frames_of(struct node *n)
{
	struct buf metrics = BUF_INIT;
	unsigned long long frames = 0;

	rpc_metrics(n->rpc, &metrics);
	buf_put_u8(&metrics, 0);
	sscanf(strstr((char *)metrics.data, "\nquiver_rpc_frames_sent_total "), "%*s %llu",
	       &frames);
	buf_fini(&metrics);
	return frames;
}

static void prepare(struct counting *c, uint64_t value, bool more)
{
	memset(c, 0, sizeof(*c));
	c->request.target.collection_id = value;
	c->call = (struct rpc_call){.type = RPC_TYPE_count,
				    .request = &c->request,
				    .response = &c->response,
				    .arena = arena_new(64),
				    .more = more,
				    .done = on_done};
}

/* Calls of which all but the last say that more follows share a message also when nothing is under way. The timer, which comes
 * every few milliseconds, may find some waiting and send them: then once more. */
static void test_announced_calls_share_a_message(void **state)
{
	struct node a, b;
	enum { CALLS = 5, TRIES = 200 };
	struct counting calls[CALLS];
	bool shared = false;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	for (int t = 0; t < TRIES && !shared; t++) {
		unsigned long long before = frames_of(&a);

		for (unsigned i = 0; i < CALLS; i++)
			prepare(&calls[i], 10 + i, i + 1 < CALLS);
		for (unsigned i = 0; i < CALLS; i++)
			rpc_send(a.rpc, 2, &calls[i].call);
		for (unsigned i = 0; i < CALLS; i++) {
			wait_done(&calls[i]);
			assert_int_equal(calls[i].call.rc, 0);
			assert_int_equal(calls[i].response.count, 2 * (10 + i));
			arena_free(calls[i].call.arena);
		}
		shared = frames_of(&a) == before + 1;
	}
	assert_true(shared);
	node_fini(&a);
	node_fini(&b);
}

/* What was announced need not come. */
static void test_announced_call_goes_alone(void **state)
{
	struct node a, b;
	struct counting c;

	node_init(&a, 1, 77, "127.0.0.1:0");
	node_init(&b, 2, 77, "127.0.0.1:0");
	connect_nodes(&a, &b);
	for (unsigned i = 0; i < 3; i++) {
		prepare(&c, 4, true);
		rpc_send(a.rpc, 2, &c.call);
		wait_done(&c);
		assert_int_equal(c.call.rc, 0);
		assert_int_equal(c.response.count, 8);
		arena_free(c.call.arena);
		usleep(300000); /* until the timer sleeps: the call must wake it */
	}
	node_fini(&a);
	node_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_and_errors),
		cmocka_unit_test(test_messages_do_not_wait),
		cmocka_unit_test(test_announced_calls_share_a_message),
		cmocka_unit_test(test_announced_call_goes_alone),
		cmocka_unit_test(test_thousands_at_once),
		cmocka_unit_test(test_window_and_queue),
		cmocka_unit_test(test_overload_is_refused),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_large_write),
		cmocka_unit_test(test_control_messages_keep_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
