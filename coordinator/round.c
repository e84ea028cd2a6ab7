/* Rounds: a request goes through a few rounds of calls; each round sends to any number of replicas and continues when all
 * have answered. With the local transport every answer is there before rpc_send returns, so a whole request runs on the
 * thread that brought it, without a hand-over. */
#include "coordinator/internal.h"
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

void round_fini(struct round *r)
{
	for (uint32_t i = 0; i < r->n_arenas; i++)
		arena_free(r->arenas[i]);
	r->n_arenas = 0;
	map_unref(r->map);
	r->map = NULL;
}

void round_clear(struct round *r)
{
	r->calls = NULL;
	r->n_calls = 0;
	r->cap_calls = 0;
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

struct round_call *round_add(struct round *r, enum rpc_type type, uint32_t partition,
			     const void *request)
{
	const struct map_partition *p = &r->placed->partitions[partition];
	if (r->n_calls == r->cap_calls)
		r->calls = grow(r->call->arena, r->calls, r->n_calls, &r->cap_calls,
				sizeof(*r->calls));
	struct round_call *c = &r->calls[r->n_calls++];
	memset(c, 0, sizeof(*c));
	c->node = type == RPC_TYPE_write ? p->primary : p->in_sync[0];
	c->partition = partition;
	c->rpc.type = type;
	c->rpc.request = request;
	c->rpc.deadline_us = r->call->deadline_us;
	return c;
}

static void round_answered(struct rpc_call *rpc)
{
	struct round_call *c = rpc->ctx;
	struct round *r = c->round;
	if (atomic_fetch_sub(&r->pending, 1) == 1)
		r->resume(r->ctx);
}

/* One call may use the request's arena; several may be answered by several threads at once. */
static struct arena *round_arena(struct round *r)
{
	if (r->n_calls == 1)
		return r->call->arena;
	if (r->n_arenas == r->cap_arenas)
		r->arenas = grow(r->call->arena, r->arenas, r->n_arenas, &r->cap_arenas,
				 sizeof(*r->arenas));
	return r->arenas[r->n_arenas++] = arena_new(4096);
}

bool round_send(struct round *r)
{
	uint32_t n = r->n_calls;
	atomic_store(&r->pending, n + 1);
	for (uint32_t i = 0; i < n; i++) {
		struct round_call *c = &r->calls[i];
		c->round = r;
		c->rpc.response = &c->response;
		c->rpc.arena = round_arena(r);
		c->rpc.done = round_answered;
		c->rpc.ctx = c;
	}
	for (uint32_t i = 0; i < n; i++)
		rpc_send(r->coord->options.rpc, r->calls[i].node, &r->calls[i].rpc);
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
