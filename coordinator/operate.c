/* See operate.h: the pure part. Who may move, copy and drop what is said here; that a change fits the rules of the write path is checked
 * again when it is applied (cluster/map_apply.c). */
#include "coordinator/operate.h"
#include "base/assert.h"
#include "cluster/place.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLAN_MOVES = 64, PLAN_STEPS = 8192 };

static bool in_sync(const struct map_partition *p, uint64_t node)
{
	return map_among(p->in_sync, p->n_in_sync, node);
}

static bool learns(const struct map_partition *p, uint64_t node)
{
	return map_among(p->learners, p->n_learners, node);
}

static void drop_id(uint64_t *ids, uint32_t *n, uint64_t id)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < *n; i++)
		if (ids[i] != id)
			ids[kept++] = ids[i];
	*n = kept;
}

static const char *name_of(const struct map *m, uint64_t id)
{
	const struct map_node *node = map_node(m, id);
	return node != NULL ? node->name : "?";
}

int operate_node(const struct map *m, const char *name_or_id, const struct map_node **out,
		 struct error *err)
{
	char *end = NULL;
	*out = map_node_by_name(m, name_or_id);
	if (*out != NULL)
		return 0;
	if (name_or_id[0] >= '0' && name_or_id[0] <= '9') {
		uint64_t id = strtoull(name_or_id, &end, 10);
		*out = *end == 0 ? map_node(m, id) : NULL;
	}
	if (*out != NULL)
		return 0;
	return error_set(err, ERR_NOT_FOUND, "there is no node `%.255s` in this cluster",
			 name_or_id);
}

/* ---- one replica ---- */

static struct map_command partition_set(const struct map_collection *c, uint32_t partition)
{
	return (struct map_command){.type = MAP_PARTITION_SET,
				    .collection_id = c->collection->id,
				    .partition = partition,
				    .expect_epoch = c->partitions[partition].epoch,
				    .config = c->partitions[partition]};
}

static int check_target(const struct map *m, const struct map_partition *p, uint64_t to,
			struct error *err)
{
	const struct map_node *node = map_node(m, to);
	if (node == NULL)
		return error_set(err, ERR_NOT_FOUND, "there is no node %llu in this cluster",
				 (unsigned long long)to);
	if (!node->shard)
		return error_set(err, ERR_INPUT, "node `%s` holds no data (--roles)", node->name);
	if (node->state == NODE_DRAINING)
		return error_set(err, ERR_INPUT, "node `%s` is being drained; undrain it first",
				 node->name);
	if (node->state != NODE_UP)
		return error_set(err, ERR_INPUT, "node `%s` is not up", node->name);
	if (in_sync(p, to) || learns(p, to))
		return error_set(err, ERR_INPUT, "node `%s` has a replica of it already",
				 node->name);
	if (p->n_learners > 0)
		return error_set(err, ERR_EXISTS,
				 "a copy is being made on node `%s`; wait for it, or abort it",
				 name_of(m, p->learners[0]));
	return 0;
}

static int start_move(const struct map *m, const struct map_collection *c,
		      const struct operate_replica *q, struct map_command *out, struct error *err)
{
	const struct map_partition *p = &c->partitions[q->partition];
	uint32_t factor = c->collection->replication_factor;
	int rc = 0;
	if (!in_sync(p, q->from))
		rc = error_set(err, ERR_INPUT, "node `%s` (%llu) has no replica in sync",
			       name_of(m, q->from), (unsigned long long)q->from);
	if (rc == 0)
		rc = check_target(m, p, q->to, err);
	if (rc == 0 && p->n_in_sync < factor)
		rc = error_set(err, ERR_EXISTS,
			       "only %u of %u copies are in sync; the missing ones are made first",
			       p->n_in_sync, factor);
	if (rc != 0)
		return rc;
	*out = partition_set(c, q->partition);
	out->config.learners[out->config.n_learners++] = q->to;
	out->config.leaving = q->from;
	out->config.pinned = q->to; /* balancing would undo it */
	return 0;
}

static int start_copy(const struct map *m, const struct map_collection *c,
		      const struct operate_replica *q, struct map_command *out, struct error *err)
{
	const struct map_partition *p = &c->partitions[q->partition];
	uint32_t factor = c->collection->replication_factor;
	int rc = check_target(m, p, q->to, err);
	if (rc == 0 && p->n_in_sync >= factor)
		rc = error_set(err, ERR_INPUT,
			       "it has all of its %u copies; the cluster would take one away again "
			       "(move one, or raise the replication factor)",
			       factor);
	if (rc != 0)
		return rc;
	*out = partition_set(c, q->partition);
	out->config.learners[out->config.n_learners++] = q->to;
	return 0;
}

static int drop_replica(const struct map *m, const struct map_collection *c,
			const struct operate_replica *q, struct map_command *out, struct error *err)
{
	const struct map_partition *p = &c->partitions[q->partition];
	uint32_t factor = c->collection->replication_factor;
	*out = partition_set(c, q->partition);
	if (learns(p, q->from)) {
		drop_id(out->config.learners, &out->config.n_learners, q->from);
		return 0;
	}
	if (!in_sync(p, q->from))
		return error_set(err, ERR_INPUT, "node `%s` (%llu) has no replica of it",
				 name_of(m, q->from), (unsigned long long)q->from);
	if (p->n_in_sync <= factor)
		return error_set(
			err, ERR_INPUT,
			"%u of %u copies are in sync: the cluster would make another one at "
			"once (move it, or lower the replication factor)",
			p->n_in_sync, factor);
	drop_id(out->config.in_sync, &out->config.n_in_sync, q->from);
	if (p->primary == q->from)
		out->config.primary = out->config.in_sync[0];
	return 0;
}

static int abort_copy(const struct map *m, const struct map_collection *c,
		      const struct operate_replica *q, struct map_command *out, struct error *err)
{
	const struct map_partition *p = &c->partitions[q->partition];
	uint64_t to = q->to != 0 ? q->to : p->n_learners > 0 ? p->learners[0] : 0;
	if (!learns(p, to))
		return error_set(err, ERR_NOT_FOUND, "no copy of it is being made%s%s",
				 to != 0 ? " on node " : "", to != 0 ? name_of(m, to) : "");
	*out = partition_set(c, q->partition);
	drop_id(out->config.learners, &out->config.n_learners, to);
	out->config.leaving = 0;
	return 0;
}

int operate_replica(const struct map *m, const struct map_collection *c,
		    const struct operate_replica *q, struct map_command *out, struct error *err)
{
	int rc = 0;
	if (q->partition >= c->collection->n_partitions)
		return error_set(err, ERR_NOT_FOUND,
				 "collection `%s` has no partition %u: they are 0 to %u",
				 c->collection->name, q->partition,
				 c->collection->n_partitions - 1);
	switch (q->action) {
	case OPERATE_MOVE: rc = start_move(m, c, q, out, err); break;
	case OPERATE_REPLICATE: rc = start_copy(m, c, q, out, err); break;
	case OPERATE_DROP: rc = drop_replica(m, c, q, out, err); break;
	case OPERATE_ABORT: rc = abort_copy(m, c, q, out, err); break;
	}
	return rc ? error_wrap(err, rc, "partition %u of `%s`", q->partition, c->collection->name)
		  : 0;
}

/* ---- the plan ---- */

struct planning {
	const struct map *start;
	const struct map *map; /* as it would be after the steps so far */
	struct arena *arena;
	struct operate_plan *out;
	uint32_t cap;
};

static void plan_apply(struct planning *p, const struct map_command *c)
{
	struct buf b = BUF_INIT;
	struct map *next = NULL;
	struct error why;
	map_command_encode(&b, c);
	int rc = map_apply(p->map, p->map->index + 1, b.data, b.len, &next, &why);
	buf_fini(&b);
	if (rc != 0)
		return;
	map_unref(p->map);
	p->map = next;
}

static void plan_step(struct planning *p, const struct operate_step *step)
{
	struct operate_plan *plan = p->out;
	if (plan->n == PLAN_STEPS || step->collection == NULL)
		return;
	if (plan->n == p->cap) {
		uint32_t cap = p->cap ? 2 * p->cap : 32;
		struct operate_step *steps = arena_alloc(p->arena, cap * sizeof(*steps));
		if (plan->n > 0)
			memcpy(steps, plan->steps, plan->n * sizeof(*steps));
		plan->steps = steps;
		p->cap = cap;
	}
	plan->steps[plan->n++] = *step;
}

/* The copy on `to` is made and in sync; that on `from`, if any, is gone. */
static void plan_done(struct planning *p, uint64_t collection, uint32_t partition, uint64_t from,
		      uint64_t to)
{
	const struct map_collection *c = map_collection_by_id(p->map, collection);
	struct map_command set = partition_set(c, partition);
	if (!learns(&set.config, to) && set.config.n_learners < LIMIT_REPLICAS) {
		set.config.learners[set.config.n_learners++] = to;
		plan_apply(p, &set);
	}
	c = map_collection_by_id(p->map, collection);
	set = partition_set(c, partition);
	drop_id(set.config.learners, &set.config.n_learners, to);
	if (set.config.n_in_sync < LIMIT_REPLICAS)
		set.config.in_sync[set.config.n_in_sync++] = to;
	if (in_sync(&set.config, from) && set.config.n_in_sync > 1) {
		plan_apply(p, &set);
		c = map_collection_by_id(p->map, collection);
		set = partition_set(c, partition);
		drop_id(set.config.in_sync, &set.config.n_in_sync, from);
		if (set.config.primary == from)
			set.config.primary = set.config.in_sync[0];
	}
	plan_apply(p, &set);
}

static void plan_partition(struct planning *p, const struct map_collection *c, uint32_t partition)
{
	const struct map_partition *now = &c->partitions[partition];
	uint32_t factor = c->collection->replication_factor;
	struct operate_step step = {.collection = c, .partition = partition};
	uint32_t copies = now->n_in_sync + now->n_learners;
	for (uint32_t i = 0; i < now->n_learners; i++) {
		step.reason = PLAN_UNDER_WAY;
		step.from = now->n_in_sync >= factor ? now->leaving : 0;
		step.to = now->learners[i];
		plan_step(p, &step);
		plan_done(p, c->collection->id, partition, step.from, step.to);
	}
	for (; copies < factor; copies++) {
		step.reason = PLAN_REBUILD;
		step.from = 0;
		step.to = place_replacement(p->map, map_collection_by_id(p->map, c->collection->id),
					    partition);
		plan_step(p, &step);
		if (step.to != 0)
			plan_done(p, c->collection->id, partition, 0, step.to);
	}
}

static bool plan_moves(struct planning *p)
{
	struct place_move moves[PLAN_MOVES];
	size_t n = place_balance(p->map, moves, PLAN_MOVES);
	for (size_t i = 0; i < n; i++) {
		const struct place_move *move = &moves[i];
		const struct map_node *from = map_node(p->map, move->from);
		plan_step(p,
			  &(struct operate_step){
				  .collection = map_collection_by_id(p->start, move->collection_id),
				  .partition = move->partition,
				  .from = move->from,
				  .to = move->to,
				  .reason = from != NULL && from->state == NODE_DRAINING
						    ? PLAN_DRAIN
						    : PLAN_BALANCE});
		plan_done(p, move->collection_id, move->partition, move->from, move->to);
	}
	return n > 0;
}

/* What is left on nodes that are being drained has nowhere to go. */
static void plan_stuck(struct planning *p)
{
	for (uint32_t i = 0; i < p->start->n_collections; i++) {
		const struct map_collection *c = &p->start->collections[i];
		const struct map_collection *then = map_collection_by_id(p->map, c->collection->id);
		for (uint32_t j = 0; j < c->collection->n_partitions; j++) {
			const struct map_partition *now = &then->partitions[j];
			for (uint32_t k = 0; k < now->n_in_sync; k++) {
				const struct map_node *node = map_node(p->map, now->in_sync[k]);
				if (node == NULL || node->state != NODE_DRAINING)
					continue;
				plan_step(p, &(struct operate_step){.collection = c,
								    .partition = j,
								    .from = node->id,
								    .reason = PLAN_DRAIN});
			}
		}
	}
}

void operate_plan(const struct map *m, uint64_t drain, struct arena *arena,
		  struct operate_plan *out)
{
	struct planning p = {.start = m, .map = map_ref(m), .arena = arena, .out = out};
	const struct map_node *node = drain != 0 ? map_node(m, drain) : NULL;
	memset(out, 0, sizeof(*out));
	if (node != NULL) {
		struct map_command c = {.type = MAP_NODE_PUT, .node = *node};
		c.node.state = NODE_DRAINING;
		plan_apply(&p, &c);
	}
	for (uint32_t i = 0; i < m->n_collections; i++)
		for (uint32_t j = 0; j < m->collections[i].collection->n_partitions; j++)
			plan_partition(&p, &m->collections[i], j);
	while (out->n < PLAN_STEPS && plan_moves(&p))
		continue;
	plan_stuck(&p);
	map_unref(p.map);
}

const char *operate_reason_name(enum operate_reason r)
{
	static const char *const names[] = {"drain", "balance", "rebuild", "under_way"};
	return names[r];
}

/* ---- one node ---- */

int operate_drain(const struct map *m, const struct map_node *node, bool force,
		  struct map_command *out, struct error *err)
{
	struct arena *arena = arena_new(4096);
	struct operate_plan plan;
	uint32_t stuck = 0, highest = 0;
	if (node->state == NODE_DRAINING) {
		arena_free(arena);
		return 1;
	}
	operate_plan(m, node->id, arena, &plan);
	for (uint32_t i = 0; i < plan.n; i++) {
		const struct operate_step *s = &plan.steps[i];
		if (s->to != 0 || s->from != node->id)
			continue;
		stuck++;
		if (s->collection->collection->replication_factor > highest)
			highest = s->collection->collection->replication_factor;
	}
	arena_free(arena);
	if (stuck > 0 && !force)
		return error_set(
			err, ERR_INPUT,
			"%u partition%s of node `%s` would have nowhere to go: copies of a "
			"partition are on different nodes, and %u shard servers must be left "
			"and up (add a node first, or drain with force)",
			stuck, stuck == 1 ? "" : "s", node->name, highest);
	*out = (struct map_command){.type = MAP_NODE_PUT, .node = *node};
	out->node.state = NODE_DRAINING;
	return 0;
}

int operate_undrain(const struct map *m, const struct map_node *node, struct map_command *out,
		    struct error *err)
{
	(void)m;
	(void)err;
	if (node->state != NODE_DRAINING)
		return 1;
	*out = (struct map_command){.type = MAP_NODE_PUT, .node = *node};
	out->node.state = NODE_UP; /* one that is dead is found to be so */
	return 0;
}

/* ---- lost partitions ---- */

static bool lives(const struct map *m, const bool *alive, uint64_t id)
{
	for (uint32_t i = 0; i < m->n_nodes; i++)
		if (m->nodes[i].id == id)
			return alive[i];
	return false;
}

/* Names of the nodes with replicas that live, in sync or not, for a text. */
static void list_living(const struct map *m, const bool *alive, const struct map_partition *p,
			char *out, size_t size)
{
	size_t n = 0;
	snprintf(out, size, "none");
	for (uint32_t i = 0; i < p->n_learners && n < size; i++)
		if (lives(m, alive, p->learners[i]))
			n += (size_t)snprintf(out + n, size - n, "%s`%s`", n > 0 ? ", " : "",
					      name_of(m, p->learners[i]));
}

int operate_recover(const struct map *m, const struct map_collection *c,
		    const struct operate_lost *q, struct map_command *out, struct error *err)
{
	char living[200];
	if (q->partition >= c->collection->n_partitions)
		return error_set(err, ERR_NOT_FOUND, "collection `%s` has no partition %u",
				 c->collection->name, q->partition);
	const struct map_partition *p = &c->partitions[q->partition];
	for (uint32_t i = 0; i < p->n_in_sync; i++)
		if (lives(m, q->alive, p->in_sync[i]))
			return error_set(err, ERR_INPUT,
					 "partition %u of `%s` is not lost: node `%s` is up and has "
					 "a replica in sync",
					 q->partition, c->collection->name,
					 name_of(m, p->in_sync[i]));
	list_living(m, q->alive, p, living, sizeof(living));
	if (!learns(p, q->node) || !lives(m, q->alive, q->node))
		return error_set(err, ERR_INPUT,
				 "node `%s` has no replica of partition %u of `%s` that could take "
				 "over; nodes that have one and are up: %s",
				 name_of(m, q->node), q->partition, c->collection->name, living);
	*out = partition_set(c, q->partition);
	out->type = MAP_PARTITION_RECOVER;
	struct map_partition *next = &out->config;
	drop_id(next->learners, &next->n_learners, q->node);
	/* Those that return have what this one lacks, and must give it up. */
	for (uint32_t i = 0; i < p->n_in_sync; i++)
		if (next->n_learners < LIMIT_REPLICAS && map_node(m, p->in_sync[i]) != NULL)
			next->learners[next->n_learners++] = p->in_sync[i];
	next->primary = next->in_sync[0] = q->node;
	next->n_in_sync = 1;
	next->leaving = 0;
	return 0;
}

/* ---- state ---- */

enum operate_state operate_state(const struct map *m, const bool *alive,
				 const struct map_collection *c, uint32_t partition)
{
	const struct map_partition *p = &c->partitions[partition];
	uint32_t factor = c->collection->replication_factor, living = 0;
	for (uint32_t i = 0; i < p->n_in_sync; i++)
		living += lives(m, alive, p->in_sync[i]);
	if (living == 0)
		return STATE_OFFLINE;
	if (living < p->n_in_sync || living < factor)
		return STATE_DEGRADED;
	return p->n_learners > 0 || p->n_in_sync > factor ? STATE_MOVING : STATE_ACTIVE;
}

const char *operate_state_name(enum operate_state s)
{
	static const char *const names[] = {"active", "moving", "degraded", "offline"};
	return names[s];
}
