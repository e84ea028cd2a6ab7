/* Who runs the cluster: creates the collection, moves replicas, drains nodes, takes some away for good and adds others.
 * The decisions are those of coordinator/operate.c and cluster/place.c. */
#include "base/arena.h"
#include "cluster/place.h"
#include "coordinator/operate.h"
#include "tests/sim/sim.h"
#include "tests/unit/cluster/fixture.h"
#include <stdio.h>

enum { OPERATOR_US = 500000, JOINS_MAX = 4, FEW_NODES_US = 15000000 };

void operator_begin(struct sim *s)
{
	s->first_joins = s->to_join = s->n_nodes - s->n_first;
	s->n_nodes = s->n_first;
	later(s, OPERATOR_US, (struct event){.kind = EV_OPERATOR});
}

static void submit(struct sim *s, struct node *at, enum ask_kind kind, const struct map_command *c)
{
	ask_submit(s, at, ask_new(s, &(struct ask){.kind = kind, .number = c->node.id}), c);
}

/* ---- create ---- */

static void create(struct sim *s, struct node *at)
{
	struct collection *definition = fixture_collection("c", s->n_parts, s->factor);
	uint64_t replicas[SIM_PARTITIONS * LIMIT_REPLICAS], silent[SIM_NODES];
	struct place_request q = {.name = "c",
				  .n_partitions = s->n_parts,
				  .replication_factor = s->factor,
				  .degraded = true,
				  .silent = silent};
	struct map_command c = {.type = MAP_CREATE_COLLECTION,
				.collection = definition,
				.replicas = replicas};

	for (uint32_t i = 1; i <= s->n_nodes; i++)
		if (i != at->id && !net_linked(s, at->id, i))
			silent[q.n_silent++] = i;
	if (at->control.map->n_nodes >= s->n_first + s->first_joins || s->now_us > FEW_NODES_US)
		if (place_collection(at->control.map, &q, replicas, &c.n_replicas, NULL) == 0)
			submit(s, at, ASK_CREATE, &c);
	collection_unref(definition);
}

/* ---- moves ---- */

void operator_move(struct sim *s)
{
	struct node *at = any_up(s), *from, *to;
	struct operate_replica q;
	struct map_command c;
	struct error err;

	if (!at || !map_config(at->control.map, 0))
		return;
	q = (struct operate_replica){.action = (enum operate_action)prng_below(&s->prng, 4),
				     .partition = (uint32_t)prng_below(&s->prng, s->n_parts)};
	from = any_up(s);
	to = any_up(s);
	q.from = from->id;
	q.to = to->id;
	if (operate_replica(at->control.map, &at->control.map->collections[0], &q, &c, &err))
		return;
	trace(s, "operator: action %d on partition %u, n%u, n%u", (int)q.action, q.partition,
	      from->id, to->id);
	submit(s, at, ASK_OTHER, &c);
}

/* ---- drains ---- */

void operator_drain(struct sim *s, struct node *n)
{
	struct node *at = any_up(s);
	const struct map_node *node = at ? map_node(at->control.map, n->id) : NULL;
	struct map_command c;
	struct error err;
	int rc;

	if (!node)
		return;
	rc = node->state == NODE_DRAINING
		     ? operate_undrain(at->control.map, node, &c, &err)
		     : operate_drain(at->control.map, node, chance(s, 0.5), &c, &err);
	if (rc != 0)
		return;
	trace(s, "operator: n%u is %s", n->id, c.node.state == NODE_UP ? "not drained" : "drained");
	submit(s, at, ASK_OTHER, &c);
}

static void undrain_all(struct sim *s)
{
	for (uint32_t i = 1; s->newest && i <= s->n_nodes; i++) {
		const struct map_node *node = map_node(s->newest, i);
		struct node *at = any_up(s);
		struct map_command c;

		if (at && node && !s->nodes[i].gone &&
		    operate_undrain(s->newest, node, &c, NULL) == 0)
			submit(s, at, ASK_OTHER, &c);
	}
}

/* ---- joining ---- */

void operator_join(struct sim *s)
{
	if (s->n_joined < s->to_join || s->to_join - s->first_joins >= JOINS_MAX ||
	    !s->collection_id)
		return;
	s->to_join++;
	trace(s, "operator: j%u is to join", s->to_join);
}

static void start_joined(struct sim *s, uint64_t id)
{
	struct node *n = &s->nodes[id];

	assert(id <= SIM_NODES && !n->exists);
	s->n_joined++;
	s->stats.joined++;
	if (s->n_nodes < id)
		s->n_nodes = (uint32_t)id;
	snprintf(s->addresses[id], sizeof s->addresses[id], "10.1.0.%u:7000", s->n_joined);
	node_init(s, n, (uint32_t)id);
	node_start(s, n);
}

/* The same question again until it is in the map; then it begins. */
static void go_on_joining(struct sim *s, struct node *at)
{
	char name[32], address[32];
	const struct map_node *node;
	struct map_command c;

	snprintf(name, sizeof name, "j%u", s->n_joined + 1);
	snprintf(address, sizeof address, "10.1.0.%u:7000", s->n_joined + 1);
	node = s->newest ? map_node_by_name(s->newest, name) : NULL;
	if (node) {
		start_joined(s, node->id);
		return;
	}
	c = fixture_node(0, name, address);
	c.node.state = NODE_DOWN;
	c.node.incarnation = 0;
	submit(s, at, ASK_JOIN, &c);
}

/* ---- leaving ---- */

bool operator_busy(const struct sim *s)
{
	return s->leaving != 0;
}

static bool has_replicas(const struct sim *s, uint32_t node)
{
	for (uint32_t p = 0; p < s->n_parts; p++)
		if (newest_config(s, p) && map_partition_names(newest_config(s, p), node))
			return true;
	return false;
}

/* Its disk is lost and it never returns. */
void operator_leave(struct sim *s, struct node *n)
{
	trace(s, "n%u is lost for good", n->id);
	node_crash(s, n);
	n->gone = true;
	s->leaving = n->id;
}

/* With too few nodes left for another copy, the healer keeps waiting for the one that is lost. */
static void give_up_copies(struct sim *s, struct node *at, uint64_t lost)
{
	for (uint32_t p = 0; p < s->n_parts; p++) {
		struct operate_replica q = {.action = OPERATE_ABORT, .partition = p, .to = lost};
		const struct map_partition *part = map_config(at->control.map, p);
		struct map_command c;

		if (part && part->n_learners && map_partition_names(part, lost) &&
		    operate_replica(at->control.map, &at->control.map->collections[0], &q, &c,
				    NULL) == 0)
			submit(s, at, ASK_OTHER, &c);
	}
}

/* Not for the leader alone: what is not committed yet may be taken back by the next one. */
static bool is_out(struct sim *s, const struct node *leader, uint32_t id)
{
	struct meta_member member;
	uint32_t voters = 0, out = 0;

	for (size_t i = 0; meta_member(leader->control.meta, i, &member); i++) {
		const struct node *n = &s->nodes[member.id];

		if (member.id == id)
			return false;
		voters += member.voter;
		out += member.voter && n->up && !member_follows(n, id);
	}
	return out > voters / 2;
}

/* When the healer has made its copies elsewhere it is taken out of the map, then out of those that vote. */
static void go_on_leaving(struct sim *s, struct node *at)
{
	struct node *n = &s->nodes[s->leaving];
	const struct map_node *node = map_node(s->newest, n->id);
	struct map_command c = {.type = MAP_NODE_REMOVE, .node.id = n->id};
	struct heal_change out = {.change = -1, .node = n->id};
	struct node *leader = leader_of(s);

	if (node && has_replicas(s, n->id) && chance(s, 0.05))
		give_up_copies(s, at, n->id);
	else if (node && !has_replicas(s, n->id))
		submit(s, at, ASK_REMOVE, &c);
	else if (!node && leader && !is_out(s, leader, n->id))
		ask_change(s, at, ask_new(s, &(struct ask){.kind = ASK_OTHER}), &out);
	else if (!node && leader)
		s->leaving = 0;
}

void operator_answer(struct sim *s, const struct ask *a, const struct error *result)
{
	trace(s, "operator: request %d at n%u: %s", (int)a->kind, a->node,
	      result->code ? result->text : "done");
}

void operator_tick(struct sim *s)
{
	struct node *at = any_up(s);

	later(s, OPERATOR_US, (struct event){.kind = EV_OPERATOR});
	if (!at)
		return;
	if (s->mended)
		undrain_all(s);
	if (s->n_joined < s->to_join)
		go_on_joining(s, at);
	else if (!s->collection_id)
		create(s, at);
	else if (s->leaving)
		go_on_leaving(s, at);
}
