/* What an operator asks of the cluster: moves and copies of replicas, draining and removing nodes, a plan of what the cluster would do,
 * the recovery of a partition whose copies are lost, and in what state everything is.
 *
 * The first part is pure: a map in, a command for coord_change() or a text that says why not out. Each command is a compare-and-set, so it
 * is refused (ERR_STALE) when the map has moved on, and may then be made again from the new map.
 */
#pragma once
#include "base/arena.h"
#include "cluster/map.h"
#include "coordinator/coordinator.h"

/* By name, or by id in digits. ERR_NOT_FOUND. */
int operate_node(const struct map *m, const char *name_or_id, const struct map_node **out,
		 struct error *err);

/* ---- one replica ---- */

enum operate_action {
	OPERATE_MOVE, /* from -> to: a learner on `to`; once it is in sync the replica on `from` goes */
	OPERATE_REPLICATE, /* one more on `to`, when copies are missing */
	OPERATE_DROP,      /* that on `from`, when there are others enough */
	OPERATE_ABORT      /* the copy on `to` that is being made */
};
struct operate_replica {
	enum operate_action action;
	uint32_t partition;
	uint64_t from, to; /* node ids; for ABORT 0 = whichever it is */
};
int operate_replica(const struct map *m, const struct map_collection *c,
		    const struct operate_replica *q, struct map_command *out, struct error *err);

/* ---- one node ---- */

/* Its replicas go elsewhere, and no new ones come. ERR_INPUT when some would have nowhere to go, unless forced. rc 1: it is so
 * already, nothing to submit. */
int operate_drain(const struct map *m, const struct map_node *node, bool force,
		  struct map_command *out, struct error *err);
/* It takes part again. rc 1: it does. */
int operate_undrain(const struct map *m, const struct map_node *node, struct map_command *out,
		    struct error *err);
/* Takes a node without replicas out of the map, then out of the coordinators that vote. The node ends by itself. change->command.node.id is
 * set, like for any change. One that is in neither: ERR_NOT_FOUND. */
void coord_remove_node(struct coord *c, struct coord_change *change);

/* ---- the plan ---- */

enum operate_reason { PLAN_DRAIN, PLAN_BALANCE, PLAN_REBUILD, PLAN_UNDER_WAY };
struct operate_step {
	const struct map_collection *collection; /* of the map that was given */
	uint32_t partition;
	uint64_t from; /* 0: none, a copy is missing */
	uint64_t to;   /* 0: nowhere to go */
	enum operate_reason reason;
};
struct operate_plan {
	struct operate_step *steps; /* in the arena */
	uint32_t n;
};
/* What the cluster would do by itself until nothing is left to do; drain != 0: if that node were drained. Each copy is made by one step. */
void operate_plan(const struct map *m, uint64_t drain, struct arena *arena,
		  struct operate_plan *out);
const char *operate_reason_name(enum operate_reason r);

/* ---- lost partitions ---- */

struct operate_lost {
	const bool *alive; /* as for operate_state */
	uint32_t partition;
	uint64_t node;
};
/* Makes the learner on `node` the only in-sync replica of a partition whose in-sync members are all down, and those its learners.
 * ERR_INPUT when one of them is up, or `node` has no replica that lives; the text says who has. */
int operate_recover(const struct map *m, const struct map_collection *c,
		    const struct operate_lost *q, struct map_command *out, struct error *err);

/* ---- state ---- */

enum operate_state {
	STATE_ACTIVE,   /* as many copies in sync as wanted */
	STATE_MOVING,   /* so, and one more is being made or on its way out */
	STATE_DEGRADED, /* fewer copies, or the primary is down */
	STATE_OFFLINE   /* all in-sync copies are on nodes that are down */
};
/* alive[i]: of m->nodes[i]. */
enum operate_state operate_state(const struct map *m, const bool *alive,
				 const struct map_collection *c, uint32_t partition);
const char *operate_state_name(enum operate_state s);
/* Which nodes live, as far as the map and this node's connections tell: m->n_nodes values in the arena. */
bool *coord_alive(struct coord *c, const struct map *m, struct arena *arena);
/* Does it vote on the map, as far as this node knows? */
bool coord_votes(struct coord *c, uint64_t node);
/* Can this node reach it now? */
bool coord_reaches(struct coord *c, uint64_t node);
