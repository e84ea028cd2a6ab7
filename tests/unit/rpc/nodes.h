/* Nodes of the tests of the network: real sockets on loopback, a handler that does as it is told. */
#pragma once

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/pool.h"
#include "rpc/rpc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a node whose handler counts, and does as the request says ---- */

enum { DO_ANSWER, DO_FAIL, DO_HOLD };

enum { N_REFUSALS = 64 };

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
	atomic_uint refused;
	struct error refusals[N_REFUSALS]; /* the newest, in a ring */
};

static inline void handle(void *ctx, struct rpc_call *call)
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

static inline void release_held(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	for (unsigned i = 0; i < n->n_held; i++) {
		((struct rpc_count_response *)n->held[i]->response)->count = 1;
		rpc_finish(n->held[i], 0);
	}
	n->n_held = 0;
	pthread_mutex_unlock(&n->lock);
}

static inline void on_refused(void *ctx, const struct error *why)
{
	struct node *n = ctx;

	assert(why->code < 0 && why->text[0] != '\0');
	pthread_mutex_lock(&n->lock);
	n->refusals[atomic_fetch_add(&n->refused, 1) % N_REFUSALS] = *why;
	pthread_mutex_unlock(&n->lock);
}

static inline void node_init_keyed(struct node *n, uint64_t id, uint64_t cluster,
				   const char *listen, const char *key)
{
	struct rpc_net_options o = {.cluster_id = cluster,
				    .listen = listen,
				    .key = key,
				    .refused = on_refused,
				    .ctx = n};
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

static inline void node_init(struct node *n, uint64_t id, uint64_t cluster, const char *listen)
{
	node_init_keyed(n, id, cluster, listen, NULL);
}

static inline void node_fini(struct node *n)
{
	rpc_free(n->rpc);
	pool_free(n->pool);
	pthread_mutex_destroy(&n->lock);
}

static inline void wait_up(struct node *n, uint64_t peer, bool up)
{
	while (rpc_peer_up(n->rpc, peer) != up)
		usleep(1000);
}

static inline void connect_nodes(struct node *a, struct node *b)
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

static inline void on_done(struct rpc_call *call)
{
	struct counting *c = (struct counting *)call;

	assert(!c->done);
	atomic_store(&c->done, true);
	if (c->left != NULL)
		atomic_fetch_sub(c->left, 1);
}

static inline void ask(struct counting *c, struct node *from, uint64_t to, uint64_t value,
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

static inline void wait_done(struct counting *c)
{
	while (!c->done)
		usleep(200);
}

static inline int ask_and_wait(struct counting *c, struct node *from, uint64_t to, uint64_t value)
{
	ask(c, from, to, value, 0);
	wait_done(c);
	arena_free(c->call.arena);
	return c->call.rc;
}
