/* The end of a change of the map: every other node is asked for a confirmed read of the map, so that a name, an alias or a key
 * that was changed is changed whichever node is asked next. A node that cannot be reached, or says nothing for a second, follows
 * later: waiting for it would let one hanging node stop all changes. */
#include "coordinator/internal.h"
#include "base/memory.h"
#include <stdlib.h>

enum { SPREAD_US = 1000000 };

struct spread_call {
	struct rpc_call call; /* first */
	struct spread *spread;
	struct rpc_probe_request request;
	struct rpc_probe_response response;
};

struct spread {
	struct coord *coord;
	struct coord_change *change;
	atomic_uint pending;
	struct spread_call *calls;
};

static void finish(struct spread *s)
{
	struct coord *c = s->coord;
	struct coord_change *change = s->change;
	const struct map *m = coord_map(c);
	bool create = change->command.type == MAP_CREATE_COLLECTION && m->n_nodes > 1;
	map_unref(m);
	free(s->calls);
	free(s);
	if (create)
		create_wait(c, change);
	else
		coord_finish(c, &change->call, 0);
}

static void answered(struct rpc_call *call)
{
	struct spread *s = ((struct spread_call *)call)->spread;
	arena_free(call->arena);
	if (atomic_fetch_sub(&s->pending, 1) == 1)
		finish(s);
}

/* A probe about any node makes the callee read the map before it answers. */
static void ask(struct spread *s, struct spread_call *call, uint64_t node)
{
	struct coord *c = s->coord;
	call->spread = s;
	call->request.about = node;
	call->call = (struct rpc_call){
		.type = RPC_TYPE_probe,
		.request = &call->request,
		.response = &call->response,
		.arena = arena_new(256),
		.deadline_us = c->options.clock->monotonic_us(c->options.clock->ctx) + SPREAD_US,
		.done = answered};
	atomic_fetch_add(&s->pending, 1);
	rpc_send(c->options.rpc, node, &call->call);
}

void spread_wait(struct coord *c, struct coord_change *change)
{
	struct spread *s = mem_zalloc(sizeof(*s));
	const struct map *m = coord_map(c);
	*s = (struct spread){.coord = c, .change = change};
	s->calls = mem_array(m->n_nodes + 1, sizeof(*s->calls));
	atomic_store(&s->pending, 1);
	for (uint32_t i = 0; i < m->n_nodes; i++) {
		uint64_t node = m->nodes[i].id;
		if (node != c->options.self_node && rpc_peer_up(c->options.rpc, node))
			ask(s, &s->calls[i], node);
	}
	map_unref(m);
	if (atomic_fetch_sub(&s->pending, 1) == 1)
		finish(s);
}
