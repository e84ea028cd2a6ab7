/* Reads that are tried elsewhere and hedged, writes whose primary moves, hangs or is lost, and what the client is told about those whose outcome
 * nobody knows: the real coordinator and network against two nodes that do as they are told. */
#include "tests/unit/unit.h"
#include "base/memory.h"
#include "coordinator/coordinator.h"
#include "coordinator/internal.h"
#include "coordinator/meta_runtime.h"
#include <ftw.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SELF = 1, PEERS = 2, HOLD = 1, LIMIT_US = 300000, PATIENCE = 30000, HELD_MAX = 64 };

/* Nodes 2 and 3. */
struct peer {
	uint64_t id;
	struct rpc *rpc;
	struct pool *pool;
	pthread_mutex_t lock;
	int does; /* 0: answers; HOLD: keeps the call; < 0: this error */
	uint32_t n_calls;
	uint64_t batch_hi, batch_lo, epoch; /* of the last write */
	struct rpc_call *held[HELD_MAX];
	uint32_t n_held;
};

struct world {
	char root[64];
	struct store_io io;
	struct pool *pool;
	struct rpc *rpc;
	struct meta_runtime *meta;
	struct coord *coord;
	struct arena *arena;
	struct peer peers[PEERS];
	const struct collection *collection;
};

/* ---- the other nodes ---- */

static void handle(void *ctx, struct rpc_call *call)
{
	struct peer *p = ctx;
	int rc;

	if (call->type == RPC_TYPE_info) {
		rpc_finish(call, 0);
		return;
	}
	pthread_mutex_lock(&p->lock);
	p->n_calls++;
	if (call->type == RPC_TYPE_write) {
		const struct rpc_write_request *q = call->request;

		p->batch_hi = q->write->op.batch_hi;
		p->batch_lo = q->write->op.batch_lo;
		p->epoch = q->target.epoch;
		((struct rpc_write_response *)call->response)->seq = 40 + p->id;
	} else {
		((struct rpc_count_response *)call->response)->count = 40 + p->id;
	}
	rc = p->does;
	if (rc == HOLD) {
		assert_true(p->n_held < HELD_MAX);
		p->held[p->n_held++] = call;
	}
	pthread_mutex_unlock(&p->lock);
	if (rc != HOLD)
		rpc_finish(call, rc < 0 ? error_set(&call->err, rc, "peer says so") : 0);
}

static void set(struct world *w, uint64_t node, int does)
{
	struct peer *p = &w->peers[node - 2];

	pthread_mutex_lock(&p->lock);
	p->does = does;
	pthread_mutex_unlock(&p->lock);
}

static uint32_t calls(struct world *w, uint64_t node)
{
	struct peer *p = &w->peers[node - 2];
	uint32_t n;

	pthread_mutex_lock(&p->lock);
	n = p->n_calls;
	pthread_mutex_unlock(&p->lock);
	return n;
}

static void wait_calls(struct world *w, uint64_t node, uint32_t n)
{
	for (int i = 0; calls(w, node) < n; i++) {
		if (i == PATIENCE)
			fail_msg("node %d is not asked %u times", (int)node, n);
		usleep(1000);
	}
}

/* What was kept ends with rc. */
static void let_go(struct world *w, uint64_t node, int rc)
{
	struct peer *p = &w->peers[node - 2];

	for (;;) {
		struct rpc_call *call = NULL;

		pthread_mutex_lock(&p->lock);
		if (p->n_held)
			call = p->held[--p->n_held];
		pthread_mutex_unlock(&p->lock);
		if (!call)
			return;
		rpc_finish(call, rc);
	}
}

static void peer_start(struct world *w, struct peer *p, uint64_t id)
{
	struct rpc_net_options net = {.cluster_id = 77, .listen = "127.0.0.1:0"};
	char address[32];

	p->id = id;
	pthread_mutex_init(&p->lock, NULL);
	assert_int_equal(pool_new(&p->pool, 2, 1, NULL), 0);
	net.pool = p->pool;
	assert_int_equal(rpc_new(&p->rpc, id, NULL), 0);
	rpc_serve_local(p->rpc, (struct rpc_service){handle, p});
	assert_int_equal(rpc_listen(p->rpc, &net, NULL), 0);
	snprintf(address, sizeof address, "127.0.0.1:%u", rpc_port(p->rpc));
	rpc_peer_set(w->rpc, id, address);
}

static void peer_stop(struct world *w, struct peer *p)
{
	if (!p->rpc)
		return;
	let_go(w, p->id, ERR_CLOSED);
	rpc_free(p->rpc);
	pool_free(p->pool);
	pthread_mutex_destroy(&p->lock);
	p->rpc = NULL;
}

/* ---- the map ---- */

static void serve_nothing(void *ctx, struct rpc_call *call)
{
	rpc_finish(call, ERR_STALE);
}

static void send_nothing(void *ctx, const struct meta_message *m)
{
	fail();
}

struct waiter {
	sem_t done;
	int rc;
};

static void applied(void *ctx, const struct error *result, uint64_t index)
{
	struct waiter *w = ctx;

	w->rc = result->code;
	sem_post(&w->done);
}

static void wait(struct waiter *w)
{
	while (sem_wait(&w->done))
		;
	sem_destroy(&w->done);
}

static void change(struct world *w, const struct map_command *c)
{
	struct waiter waiter;

	sem_init(&waiter.done, 0, 0);
	meta_runtime_submit(w->meta, c, applied, &waiter);
	wait(&waiter);
	assert_int_equal(waiter.rc, 0);
}

static void put_node(struct world *w, uint64_t id)
{
	char name[8];

	snprintf(name, sizeof name, "n%d", (int)id);
	change(w, &(struct map_command){.type = MAP_NODE_PUT,
					.node = {.id = id,
						 .name = name,
						 .rpc_address = "",
						 .http_address = "",
						 .incarnation = 1,
						 .coordinator = id == SELF,
						 .shard = id != SELF}});
}

/* Copies on 2 and 3; 2 is the primary. */
static void create(struct world *w)
{
	static const uint64_t copies[] = {2, 3};
	struct collection *c = collection_new();

	c->name = arena_strdup(c->arena, "c");
	c->spaces = arena_zalloc(c->arena, sizeof(*c->spaces));
	c->spaces[0] = (struct vector_space){.name = "",
					     .dim = 2,
					     .distance = DISTANCE_DOT,
					     .index = {.kind = INDEX_FLAT}};
	c->n_spaces = 1;
	c->n_partitions = 1;
	c->replication_factor = 2;
	c->body = PV_EMPTY_OBJECT;
	change(w, &(struct map_command){.type = MAP_CREATE_COLLECTION,
					.collection = c,
					.replicas = copies,
					.n_replicas = 2});
	collection_unref(c);
	assert_int_equal(coord_collection(w->coord, "c", &w->collection, NULL), 0);
}

static void promote(struct world *w, uint64_t node)
{
	const struct map *m = coord_map(w->coord);
	struct map_command c = {.type = MAP_PARTITION_SET,
				.collection_id = w->collection->id,
				.expect_epoch = m->collections[0].partitions[0].epoch,
				.config = m->collections[0].partitions[0]};

	map_unref(m);
	c.config.primary = node;
	change(w, &c);
}

/* ---- life ---- */

static int set_up(void **state)
{
	static const struct meta_voter self = {SELF, "local"};
	struct world *w = mem_zalloc(sizeof *w);
	struct rpc_net_options net = {.cluster_id = 77};

	snprintf(w->root, sizeof w->root, "/tmp/quiver-race-XXXXXX");
	assert_non_null(mkdtemp(w->root));
	assert_int_equal(store_io_real(w->root, &w->io, NULL), 0);
	assert_int_equal(pool_new(&w->pool, 2, 1, NULL), 0);
	w->arena = arena_new(1 << 16);
	assert_int_equal(rpc_new(&w->rpc, SELF, NULL), 0);
	rpc_serve_local(w->rpc, (struct rpc_service){serve_nothing, NULL});
	net.pool = w->pool;
	assert_int_equal(rpc_listen(w->rpc, &net, NULL), 0);
	struct meta_runtime_options mo = {.io = w->io,
					  .self = SELF,
					  .cluster_id = 77,
					  .bootstrap = &self,
					  .n_bootstrap = 1,
					  .send = send_nothing};
	assert_int_equal(meta_runtime_start(&w->meta, &mo, NULL), 0);
	struct coord_options co = {.rpc = w->rpc,
				   .meta = w->meta,
				   .clock = clock_real(),
				   .pool = w->pool,
				   .self_node = SELF};
	assert_int_equal(coord_start(&w->coord, &co, NULL), 0);
	put_node(w, SELF);
	for (uint64_t i = 0; i < PEERS; i++) {
		peer_start(w, &w->peers[i], 2 + i);
		put_node(w, 2 + i);
	}
	create(w);
	for (uint64_t id = 2; id < 2 + PEERS; id++)
		for (int i = 0; !rpc_peer_up(w->rpc, id); i++) {
			assert_true(i < PATIENCE);
			usleep(1000);
		}
	*state = w;
	return 0;
}

static int remove_one(const char *path, const struct stat *s, int flag, struct FTW *f)
{
	return remove(path);
}

/* In the order of server/node.c. */
static void stop(struct world *w)
{
	if (!w->coord)
		return;
	coord_close(w->coord);
	meta_runtime_stop(w->meta);
	rpc_hang_up(w->rpc);
	coord_stop(w->coord);
	w->coord = NULL;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	stop(w);
	collection_unref(w->collection);
	meta_runtime_free(w->meta);
	rpc_free(w->rpc);
	for (int i = 0; i < PEERS; i++)
		peer_stop(w, &w->peers[i]);
	pool_free(w->pool);
	store_io_fini(&w->io);
	arena_free(w->arena);
	nftw(w->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* ---- requests ---- */

struct writing {
	struct coord_write request;
	struct write write;
	struct waiter waiter;
};

static void called(struct coord_call *call)
{
	sem_post(&((struct waiter *)call->ctx)->done);
}

static struct coord_call call_of(struct world *w, struct waiter *waiter, uint64_t limit_us)
{
	sem_init(&waiter->done, 0, 0);
	return (struct coord_call){.collection = w->collection,
				   .arena = w->arena,
				   .deadline_us = limit_us ? clock_monotonic_us() + limit_us : 0,
				   .done = called,
				   .ctx = waiter};
}

static void write_begin(struct world *w, struct writing *q, uint64_t limit_us)
{
	static struct point_id id;

	id = id_from_u64(7);
	*q = (struct writing){.write = {.op = {.type = OP_DELETE, .ids = &id, .n_ids = 1}}};
	q->request.call = call_of(w, &q->waiter, limit_us);
	q->request.writes = &q->write;
	q->request.n_writes = 1;
	coord_write(w->coord, &q->request);
}

static int write_end(struct writing *q)
{
	wait(&q->waiter);
	return q->request.call.rc;
}

/* Counts through whichever copy answers: 40 + its node. */
static int read_one(struct world *w, uint64_t *count, struct error *err)
{
	struct waiter waiter;
	struct coord_count q = {.exact = true};

	q.call = call_of(w, &waiter, 20000000);
	coord_count(w->coord, &q);
	wait(&waiter);
	*count = q.count;
	if (err)
		*err = q.call.err;
	return q.call.rc;
}

/* ---- reads ---- */

static void a_read_goes_to_another_copy(void **state)
{
	static const int failures[] = {ERR_UNAVAILABLE, ERR_STALE, ERR_CLOSED, ERR_BUSY,
				       ERR_CORRUPT};
	struct world *w = *state;
	uint64_t count;

	for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
		for (int times = 0; times < 8; times++) { /* whichever is asked first */
			set(w, 2, failures[i]);
			assert_int_equal(read_one(w, &count, NULL), 0);
			assert_int_equal(count, 43);
		}
}

static void a_silent_copy_is_hedged(void **state)
{
	struct world *w = *state;
	uint64_t count;

	set(w, 2, HOLD);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(read_one(w, &count, NULL), 0);
		assert_int_equal(count, 43);
	}
	assert_true(calls(w, 2) > 0);
	/* The loser may end whenever it likes. */
	let_go(w, 2, 0);
	set(w, 2, 0);
	assert_int_equal(read_one(w, &count, NULL), 0);
}

static void a_read_waits_for_a_copy_that_comes_back(void **state)
{
	struct world *w = *state;
	struct waiter waiter;
	struct coord_count q = {.exact = true};

	set(w, 2, ERR_UNAVAILABLE);
	set(w, 3, ERR_UNAVAILABLE);
	q.call = call_of(w, &waiter, 20000000);
	coord_count(w->coord, &q);
	wait_calls(w, 2, 2);
	wait_calls(w, 3, 2);
	set(w, 3, 0);
	wait(&waiter);
	assert_int_equal(q.call.rc, 0);
	assert_int_equal(q.count, 43);
}

static void what_is_wrong_with_a_read_is_told_at_once(void **state)
{
	struct world *w = *state;
	struct error err;
	uint64_t count;

	set(w, 2, ERR_INPUT);
	set(w, 3, ERR_INPUT);
	assert_int_equal(read_one(w, &count, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "peer says so"));
	/* Nobody twice; the other one only as a hedge, on a machine that is slow. */
	assert_true(calls(w, 2) <= 1 && calls(w, 3) <= 1);
}

/* ---- writes ---- */

static void a_write_follows_its_primary(void **state)
{
	struct world *w = *state;
	struct writing q;

	set(w, 2, ERR_STALE);
	write_begin(w, &q, 0);
	wait_calls(w, 2, 2); /* again and again, until the map says something else */
	promote(w, 3);
	assert_int_equal(write_end(&q), 0);
	assert_int_equal(q.request.seqs[0], 43);
	assert_int_equal(w->peers[1].batch_hi, w->peers[0].batch_hi);
	assert_int_equal(w->peers[1].batch_lo, w->peers[0].batch_lo);
	assert_true(w->peers[1].batch_lo != 0);
	assert_int_equal(w->peers[1].epoch, w->peers[0].epoch + 1);
}

/* The primary hangs with the write; that is noticed when the map has another one. */
static void a_write_leaves_a_primary_that_hangs(void **state)
{
	struct world *w = *state;
	struct writing q;

	set(w, 2, HOLD);
	write_begin(w, &q, 0);
	wait_calls(w, 2, 1);
	promote(w, 3);
	assert_int_equal(write_end(&q), 0);
	assert_int_equal(q.request.seqs[0], 43);
	assert_int_equal(w->peers[1].batch_lo, w->peers[0].batch_lo);
	let_go(w, 2, 0);
}

static void told_unknown(struct writing *q)
{
	assert_non_null(strstr(q->request.call.err.text, "the outcome is unknown"));
	assert_non_null(strstr(q->request.call.err.text, "same batch id"));
}

static void a_write_without_an_answer_is_unknown(void **state)
{
	struct world *w = *state;
	struct writing q;

	set(w, 2, HOLD);
	write_begin(w, &q, LIMIT_US);
	assert_int_equal(write_end(&q), ERR_TIMEOUT);
	told_unknown(&q);
	let_go(w, 2, 0);
}

/* It was lost with one primary, and then refused: the first may have carried it out. */
static void a_write_that_was_lost_is_never_called_refused(void **state)
{
	struct world *w = *state;
	struct writing q;

	set(w, 2, HOLD);
	set(w, 3, ERR_BUSY);
	write_begin(w, &q, 0);
	wait_calls(w, 2, 1);
	promote(w, 3);
	assert_int_equal(write_end(&q), ERR_TIMEOUT);
	told_unknown(&q);
	let_go(w, 2, ERR_CLOSED);
}

static void a_refused_write_is_refused(void **state)
{
	static const int refusals[] = {ERR_BUSY, ERR_DISK_FULL, ERR_INPUT, ERR_TOO_LARGE};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
		struct writing q;

		set(w, 2, refusals[i]);
		write_begin(w, &q, 0);
		assert_int_equal(write_end(&q), refusals[i]);
		assert_non_null(strstr(q.request.call.err.text, "peer says so"));
	}
	assert_int_equal(calls(w, 2), 4);
	assert_int_equal(calls(w, 3), 0);
}

static void a_write_that_nobody_takes_is_unavailable(void **state)
{
	struct world *w = *state;
	struct writing q;

	set(w, 2, ERR_UNAVAILABLE);
	write_begin(w, &q, LIMIT_US);
	int rc = write_end(&q);
	/* The last try may have been under way when the time was up. */
	if (rc == ERR_TIMEOUT)
		told_unknown(&q);
	else
		assert_int_equal(rc, ERR_UNAVAILABLE);
	assert_true(calls(w, 2) > 1);
}

/* ---- the end ---- */

/* Reads and writes are under way when the node stops: each is answered before the coordinator goes, and looks into the map on its way. */
static void requests_end_with_the_coordinator(void **state)
{
	struct world *w = *state;
	struct writing q[8];
	struct waiter waiters[8];
	struct coord_count counts[8];

	set(w, 2, HOLD);
	set(w, 3, HOLD);
	for (int i = 0; i < 8; i++) {
		write_begin(w, &q[i], 0);
		counts[i] = (struct coord_count){.exact = true};
		counts[i].call = call_of(w, &waiters[i], 0);
		coord_count(w->coord, &counts[i]);
	}
	wait_calls(w, 2, 8);
	stop(w);
	for (int i = 0; i < 8; i++) {
		assert_int_not_equal(write_end(&q[i]), 0);
		wait(&waiters[i]);
		assert_int_not_equal(counts[i].call.rc, 0);
	}
}

int main(void)
{
#define RACE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RACE(a_read_goes_to_another_copy),
		RACE(a_silent_copy_is_hedged),
		RACE(a_read_waits_for_a_copy_that_comes_back),
		RACE(what_is_wrong_with_a_read_is_told_at_once),
		RACE(a_write_follows_its_primary),
		RACE(a_write_leaves_a_primary_that_hangs),
		RACE(a_write_without_an_answer_is_unknown),
		RACE(a_write_that_was_lost_is_never_called_refused),
		RACE(a_refused_write_is_refused),
		RACE(a_write_that_nobody_takes_is_unavailable),
		RACE(requests_end_with_the_coordinator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
