/* See operate.h: what needs the coordinator. */
#include "base/assert.h"
#include "coordinator/internal.h"
#include "coordinator/meta_runtime.h"
#include "coordinator/operate.h"
#include <string.h>

/* ---- who lives ---- */

bool coord_reaches(struct coord *c, uint64_t node)
{
	return node == c->options.self_node || rpc_peer_up(c->options.rpc, node);
}

bool *coord_alive(struct coord *c, const struct map *m, struct arena *arena)
{
	bool *alive = arena_alloc(arena, m->n_nodes + 1);
	for (uint32_t i = 0; i < m->n_nodes; i++) {
		enum node_state state = m->nodes[i].state;
		/* A node that is drained keeps that state when it dies. */
		alive[i] = state == NODE_UP || state == NODE_SUSPECT ||
			   (state == NODE_DRAINING && coord_reaches(c, m->nodes[i].id));
	}
	return alive;
}

/* ---- who votes ---- */

static bool find_member(struct coord *c, uint64_t id, struct meta_runtime_member *out)
{
	struct meta_runtime_status status;
	meta_runtime_status(c->options.meta, &status);
	for (uint32_t i = 0; i < status.n_members; i++) {
		if (status.members[i].id != id)
			continue;
		*out = status.members[i];
		return true;
	}
	return false;
}

bool coord_votes(struct coord *c, uint64_t node)
{
	struct meta_runtime_member member;
	return find_member(c, node, &member) && member.voter;
}

/* ---- a node leaves ---- */

struct removal {
	struct coord_change inner; /* first: out of the map */
	struct coord_change *outer;
	struct coord *coord;
};

static void removal_end(struct removal *r, const struct error *result)
{
	if (result->code != 0)
		r->outer->call.err = *result;
	coord_finish(r->coord, &r->outer->call, result->code);
}

static void out_of_voters(void *ctx, const struct error *result, uint64_t index)
{
	struct removal *r = ctx;
	struct error err = *result;
	(void)index;
	if (err.code != 0)
		error_wrap(&err, err.code,
			   "the node is out of the map, but may still vote; remove it again");
	removal_end(r, &err);
}

/* Learners that are in no map leave by themselves (cluster/heal.c). */
static void out_of_map(struct coord_call *call)
{
	struct removal *r = (struct removal *)call;
	uint64_t id = r->outer->command.node.id;
	struct meta_runtime_member member;
	struct error result = call->err;
	result.code = call->rc;
	bool stays = find_member(r->coord, id, &member) && member.voter;
	if (result.code == ERR_BUSY)
		result.code = ERR_EXISTS; /* it has replicas: not something to try again soon */
	if (!stays || (call->rc != 0 && call->rc != ERR_NOT_FOUND)) {
		removal_end(r, &result);
		return;
	}
	struct meta_voter voter = {id, member.address};
	meta_runtime_change(r->coord->options.meta, -1, &voter, out_of_voters, r);
}

void coord_remove_node(struct coord *c, struct coord_change *change)
{
	struct removal *r = arena_zalloc(change->call.arena, sizeof(*r));
	if (change->command.node.id == c->options.self_node) {
		coord_finish(c, &change->call,
			     error_set(&change->call.err, ERR_INPUT,
				       "this is the node itself; ask another one to remove it"));
		return;
	}
	r->outer = change;
	r->coord = c;
	r->inner.call.arena = change->call.arena;
	r->inner.call.done = out_of_map;
	r->inner.command.type = MAP_NODE_REMOVE;
	r->inner.command.node.id = change->command.node.id;
	coord_change(c, &r->inner);
}
