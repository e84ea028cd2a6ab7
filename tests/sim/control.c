/* The control plane: the shard map as one register that is decided upon with a delay, the leader that does it and may be lost,
 * and the production healer on it. */
#include "base/codec.h"
#include "base/memory.h"
#include "tests/sim/sim.h"
#include "tests/unit/cluster/fixture.h"
#include <stdlib.h>

enum { CONTROL_US = 50000, LEADER_LOST_US = 500000 };

const struct map_partition *map_config(const struct sim *s, uint64_t version, uint32_t part)
{
	return &map_collection_by_id(s->maps[version], s->collection_id)->partitions[part];
}

static struct map *newest(const struct sim *s)
{
	return s->maps[s->n_maps - 1];
}

static void take(struct sim *s, struct map *m)
{
	s->maps = mem_resize(s->maps, (s->n_maps + 1) * sizeof(*s->maps));
	s->maps[s->n_maps++] = m;
}

void control_begin(struct sim *s)
{
	uint64_t index = 0, replicas[SIM_PARTITIONS * SIM_NODES];
	struct map *m = fixture_map(s->n_nodes, &index);
	uint32_t n = s->factor < s->n_nodes ? s->factor : s->n_nodes;
	struct collection *definition = fixture_collection("c", s->n_parts, s->factor);
	struct map_command c = {.type = MAP_CREATE_COLLECTION,
				.collection = definition,
				.replicas = replicas,
				.n_replicas = n};
	int rc;

	for (uint32_t p = 0; p < s->n_parts; p++)
		for (uint32_t i = 0; i < n; i++)
			replicas[p * n + i] = (p + i) % s->n_nodes + 1;
	rc = fixture_apply(&m, index + 1, &c, NULL);
	assert(rc == 0);
	collection_unref(definition);
	s->collection_id = m->collections[0].collection->id;
	take(s, m);
	s->elect_us = s->now_us;
	later(s, 0, (struct event){.kind = EV_CONTROL});
}

void control_end(struct sim *s)
{
	heal_free(s->heal);
	for (uint64_t i = 0; i < s->n_maps; i++)
		map_unref(s->maps[i]);
	free(s->maps);
}

/* ---- decisions ---- */

static void decide_later(struct sim *s, const struct map_command *c, struct msg *from)
{
	struct map_command *copy =
		mem_alloc(sizeof(*copy)); /* its strings are the maps', which all stay */
	uint64_t us = between(s, 1000, 20000);

	*copy = *c;
	if (chance(s, s->late))
		us = between(s, 100000, 5000000);
	later(s, us, (struct event){.kind = EV_DECIDE, .ptr = copy, .b = (uintptr_t)from});
}

static void publish(struct sim *s)
{
	for (uint32_t i = 1; i <= s->n_nodes; i++) {
		struct msg *m = msg_new(MSG_MAP, s->leader, i, 0);

		m->version = s->n_maps - 1;
		if (i == s->leader)
			later(s, 0, (struct event){.kind = EV_DELIVER, .node = i, .ptr = m});
		else
			net_send(s, m);
	}
}

static void heal(struct sim *s, struct heal_event e)
{
	struct heal_update u;

	e.now_us = s->now_us;
	heal_step(s->heal, &e, &u);
	for (size_t i = 0; i < u.n_commands; i++)
		decide_later(s, &u.commands[i], NULL);
	for (size_t i = 0; i < u.n_probes; i++)
		later(s, between(s, 500, 5000),
		      (struct event){.kind = EV_PROBED,
				     .node = s->leader,
				     .a = u.probes[i].through,
				     .b = u.probes[i].node});
	for (size_t i = 0; i < u.n_notices; i++)
		trace(s, "healer: %s", u.notices[i].text);
}

void control_decide(struct sim *s, struct map_command *c, struct msg *from)
{
	struct map *next;
	struct error why;
	struct buf b = BUF_INIT;
	int rc;

	if (!s->leader) { /* the next leader may find it in its log, or not */
		if (chance(s, 0.5) || s->now_us >= s->quiet_us)
			decide_later(s, c, NULL);
		return;
	}
	map_command_encode(&b, c);
	rc = map_apply(newest(s), newest(s)->index + 1, b.data, b.len, &next, &why);
	assert(rc == 0);
	buf_fini(&b);
	if (next == newest(s)) {
		map_unref(next);
	} else {
		take(s, next);
		check_map(s);
		publish(s);
		heal(s, (struct heal_event){.type = HEAL_MAP, .map = next});
	}
	if (from) {
		struct msg *back = msg_new(MSG_PROPOSED, s->leader, from->from, from->part);

		back->gen = from->gen;
		back->call = from->call;
		back->rc = why.code;
		net_send(s, back);
	}
}

void control_put(struct sim *s, const struct map_command *c)
{
	decide_later(s, c, NULL);
}

static void register_node(struct sim *s, const struct msg *m)
{
	const struct map_node *node = map_node(newest(s), m->from);
	struct map_command c = {.type = MAP_NODE_PUT, .node = *node};

	if (node->incarnation >= m->incarnation)
		return;
	c.node.incarnation = m->incarnation;
	if (node->state != NODE_DRAINING)
		c.node.state = NODE_UP;
	decide_later(s, &c, NULL);
}

void control_message(struct sim *s, struct msg *m)
{
	struct msg *back;

	if (m->to != s->leader) {
		msg_free(m);
		return;
	}
	if (m->kind == MSG_PROPOSE) {
		struct map_command c = {
			.type = MAP_PARTITION_SET,
			.collection_id = s->collection_id,
			.partition = m->part,
			.expect_epoch = m->expect,
			.config = m->config,
		};

		decide_later(s, &c, m);
		return;
	}
	if (m->kind == MSG_REGISTER) {
		register_node(s, m);
	} else {
		heal(s, (struct heal_event){.type = HEAL_HEARTBEAT,
					    .node = m->from,
					    .incarnation = m->incarnation,
					    .reports = m->reports,
					    .n_reports = m->n_reports});
		back = msg_new(MSG_BEAT_BACK, m->to, m->from, 0);
		back->version = s->n_maps - 1;
		back->sent_us = m->sent_us;
		back->gen = m->gen;
		net_send(s, back);
	}
	msg_free(m);
}

void control_probed(struct sim *s, uint32_t through, uint32_t node)
{
	if (!s->leader || !net_control(s, s->leader, through))
		return;
	heal(s, (struct heal_event){.type = HEAL_PROBED,
				    .node = node,
				    .reachable = net_control(s, through, node)});
}

/* ---- leadership ---- */

static bool can_lead(const struct sim *s, uint32_t id)
{
	uint32_t n = 1;

	if (!s->nodes[id].up || s->nodes[id].paused_until_us > s->now_us)
		return false;
	for (uint32_t i = 1; i <= s->n_nodes; i++)
		n += i != id && net_control(s, id, i);
	return n > s->n_nodes / 2;
}

static void elect(struct sim *s)
{
	struct heal_options o = {.grace_us = chance(s, 0.5) ? 10000000 : 60000000};
	uint32_t id = (uint32_t)between(s, 1, s->n_nodes);

	if (!can_lead(s, id))
		return;
	trace(s, "n%u leads", id);
	s->leader = id;
	s->leader_ok_us = s->now_us;
	o.self = id;
	heal_free(s->heal);
	s->heal = heal_new(&o);
	heal(s, (struct heal_event){.type = HEAL_MAP, .map = newest(s)});
	heal(s, (struct heal_event){.type = HEAL_LEAD, .leads = true});
	publish(s);
}

void control_tick(struct sim *s)
{
	later(s, CONTROL_US, (struct event){.kind = EV_CONTROL});
	if (!s->leader) {
		if (s->now_us >= s->elect_us)
			elect(s);
		return;
	}
	if (can_lead(s, s->leader)) {
		s->leader_ok_us = s->now_us;
		heal(s, (struct heal_event){.type = HEAL_TICK});
	} else if (!s->nodes[s->leader].up || s->now_us > s->leader_ok_us + LEADER_LOST_US) {
		trace(s, "n%u does not lead any more", s->leader);
		s->leader = 0;
		s->elect_us = s->now_us + between(s, 300000, 1000000);
	}
}
