/* Rounds: a request goes through a few rounds of calls; each round sends to any number of replicas and continues when all
 * have answered. With the local transport every answer is there before rpc_send returns, so a whole request runs on the
 * thread that brought it, without a hand-over. */
#include "coordinator/race.h"
#include "base/assert.h"
#include <string.h>

int round_init(struct round *r, struct coord *c, struct coord_call *call, struct error *err)
{
	memset(r, 0, sizeof(*r));
	r->coord = c;
	r->call = call;
	if (call->deadline_us == 0)
		call->deadline_us = c->options.clock->monotonic_us(c->options.clock->ctx) +
				    c->default_timeout_us;
	r->map = coord_map(c);
	r->placed = map_collection_by_id(r->map, call->collection->id);
	if (r->placed == NULL)
		return error_set(err, ERR_NOT_FOUND, "Collection `%s` doesn't exist!",
				 call->collection->name);
	return 0;
}

/* Doubles an array that lives in an arena; the old one is simply left there. */
static void *grow(struct arena *arena, void *old, uint32_t count, uint32_t *cap, size_t size)
{
	uint32_t larger = *cap ? *cap * 2 : 8;
	void *fresh = arena_alloc(arena, larger * size);
	if (count)
		memcpy(fresh, old, count * size);
	*cap = larger;
	return fresh;
}

void round_clear(struct round *r)
{
	for (uint32_t i = 0; i < r->n_calls; i++) {
		if (r->calls[i].own_arena == NULL)
			continue;
		if (r->n_arenas == r->cap_arenas)
			r->arenas = grow(r->call->arena, r->arenas, r->n_arenas, &r->cap_arenas,
					 sizeof(*r->arenas));
		r->arenas[r->n_arenas++] = r->calls[i].own_arena;
	}
	r->calls = NULL;
	r->n_calls = 0;
	r->cap_calls = 0;
}

void round_fini(struct round *r)
{
	round_clear(r);
	for (uint32_t i = 0; i < r->n_arenas; i++)
		arena_free(r->arenas[i]);
	r->n_arenas = 0;
	map_unref(r->map);
	r->map = NULL;
}

bool round_has_arenas(const struct round *r)
{
	bool own = r->n_arenas > 0;
	for (uint32_t i = 0; i < r->n_calls && !own; i++)
		own = r->calls[i].own_arena != NULL;
	return own;
}

struct rpc_target round_target(const struct round *r, uint32_t partition)
{
	return (struct rpc_target){
		.collection_id = r->placed->collection->id,
		.revision = r->placed->collection->revision,
		.partition = partition,
		.epoch = r->placed->partitions[partition].epoch,
	};
}

bool round_degraded(const struct round *r, uint32_t partition)
{
	if (r->placed->collection->replication_factor == 1)
		return false; /* a set in sync has one at least */
	const struct map *m = coord_map(r->coord);
	const struct map_collection *now = map_collection_by_id(m, r->placed->collection->id);
	bool degraded = now != NULL &&
			now->partitions[partition].n_in_sync < now->collection->replication_factor;
	map_unref(m);
	return degraded;
}

uint64_t round_pick(struct round *r, uint32_t partition)
{
	const struct map_partition *p = &r->placed->partitions[partition];
	struct coord *c = r->coord;
	static const struct route_avoid nobody;
	if (p->n_in_sync == 1)
		return p->in_sync[0];
	return route_pick(&c->route, r->map, p, &nobody,
			  c->options.clock->monotonic_us(c->options.clock->ctx));
}

struct round_call *round_add(struct round *r, enum rpc_type type, uint32_t partition,
			     const void *request)
{
	const struct map_partition *p = &r->placed->partitions[partition];
	if (r->n_calls == r->cap_calls)
		r->calls = grow(r->call->arena, r->calls, r->n_calls, &r->cap_calls,
				sizeof(*r->calls));
	struct round_call *c = &r->calls[r->n_calls++];
	memset(c, 0, sizeof(*c));
	c->node = type == RPC_TYPE_write ? p->primary : round_pick(r, partition);
	c->partition = partition;
	c->rpc.type = type;
	c->rpc.request = request;
	c->rpc.deadline_us = r->call->deadline_us;
	return c;
}

void round_done(struct round_call *c)
{
	struct round *r = c->round;
	assert(!c->answered);
	c->answered = true;
	if (atomic_fetch_sub(&r->pending, 1) == 1)
		r->resume(r->ctx);
}

/* Is there anybody else to ask, now or soon? A single node has nobody. */
static bool others_exist(const struct round *r)
{
	return r->map->n_nodes > 1;
}

/* The own node has answered. */
static void local_done(struct rpc_call *rpc)
{
	struct round_call *c = rpc->ctx;
	if (rpc->rc != 0 && race_retryable(rpc->type, rpc->rc) && others_exist(c->round))
		race_start(c, true);
	else
		round_done(c);
}

static void send_local(struct round *r, struct round_call *c)
{
	/* One call may use the request's arena; several may be answered by several threads at once. */
	if (r->n_calls > 1)
		c->own_arena = arena_new(4096);
	c->rpc.response = &c->response;
	c->rpc.arena = c->own_arena ? c->own_arena : r->call->arena;
	c->rpc.done = local_done;
	c->rpc.ctx = c;
	rpc_send(r->coord->options.rpc, c->node, &c->rpc);
}

/* The calls to other nodes, those to one node one after the other: they go out as one message. Settled before the first is sent, since
 * an answer changes a call's node. */
static uint32_t put_in_order(struct round *r, uint32_t *order)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->n_calls; i++)
		r->calls[i].more = false;
	for (uint32_t i = 0; i < r->n_calls; i++) {
		uint64_t node = r->calls[i].node;
		bool placed = !r->calls[i].racing;
		for (uint32_t j = 0; j < n && !placed; j++)
			placed = order[j] == i;
		for (uint32_t j = i; j < r->n_calls && !placed; j++) {
			if (r->calls[j].node != node)
				continue;
			if (j > i)
				r->calls[order[n - 1]].more = true;
			order[n++] = j;
		}
	}
	return n;
}

bool round_send(struct round *r)
{
	uint32_t n = r->n_calls;
	atomic_store(&r->pending, n + 1);
	uint64_t self = r->coord->options.self_node;
	for (uint32_t i = 0; i < n; i++) {
		r->calls[i].round = r;
		r->calls[i].racing = r->calls[i].node != self;
	}
	/* Other nodes work while this one does its own part. */
	uint32_t *order = arena_alloc(r->call->arena, n * sizeof(*order));
	uint32_t n_racing = put_in_order(r, order);
	for (uint32_t i = 0; i < n_racing; i++)
		race_start(&r->calls[order[i]], false);
	for (uint32_t i = 0; i < n; i++)
		if (!r->calls[i].racing)
			send_local(r, &r->calls[i]);
	return atomic_fetch_sub(&r->pending, 1) == 1;
}

int round_failure(struct round *r, struct error *err)
{
	for (uint32_t i = 0; i < r->n_calls; i++) {
		if (r->calls[i].rpc.rc == 0)
			continue;
		if (err)
			*err = r->calls[i].rpc.err;
		return r->calls[i].rpc.rc;
	}
	return 0;
}
