/* What server/member*.c does with a clock, threads and sockets: heartbeats to whoever leads, this node's entry in the
 * map, how new the map is, and the healer when this node leads. */
#include "tests/sim/sim.h"
#include <stdio.h>
#include <string.h>

enum {
	LOOP_US = HEAL_TICK_US,
	BEAT_US = 250000,
	REGISTER_AGAIN_US = 500000,
	CONTACTS_MAX = 4,
	MEMBERS_MAX = 16
};

struct node *leader_of(struct sim *s)
{
	struct node *best = NULL;

	for (uint32_t i = 1; i <= s->n_nodes; i++) {
		struct node *n = &s->nodes[i];

		if (n->up && meta_is_leader(n->control.meta) &&
		    (!best || meta_term(n->control.meta) > meta_term(best->control.meta)))
			best = n;
	}
	return best;
}

/* ---- the healer ---- */

static void heal(struct sim *s, struct node *n, struct heal_event e)
{
	struct heal_update u;

	e.now_us = local_us(s, n);
	heal_step(n->control.heal, &e, &u);
	for (size_t i = 0; i < u.n_notices; i++)
		trace(s, "n%u heals: %s", n->id, u.notices[i].text);
	for (size_t i = 0; i < u.n_commands; i++)
		ask_submit(s, n, ask_new(s, &(struct ask){.kind = ASK_HEAL}), &u.commands[i]);
	if (u.change.change != 0) {
		trace(s, "n%u changes the coordinators: %d n%llu", n->id, u.change.change,
		      (unsigned long long)u.change.node);
		ask_change(s, n, ask_new(s, &(struct ask){.kind = ASK_HEAL}), &u.change);
	}
	for (size_t i = 0; i < u.n_probes; i++)
		later(s, between(s, 500, 5000),
		      (struct event){.kind = EV_PROBED,
				     .node = n->id,
				     .a = u.probes[i].through,
				     .b = n->life,
				     .c = u.probes[i].node});
}

void member_probed(struct sim *s, struct node *n, uint32_t through, uint32_t about)
{
	if (net_control(s, n->id, through))
		heal(s, n,
		     (struct heal_event){.type = HEAL_PROBED,
					 .node = about,
					 .reachable = net_control(s, through, about)});
}

void member_map(struct sim *s, struct node *n)
{
	const struct map_node *own = map_node(n->control.map, n->id);

	if (own && n->control.incarnation && own->incarnation > n->control.incarnation)
		violation(s, "one_process",
			  "node %u, incarnation %llu, is taken for a copy of %llu", n->id,
			  (unsigned long long)n->control.incarnation,
			  (unsigned long long)own->incarnation);
	heal(s, n, (struct heal_event){.type = HEAL_MAP, .map = n->control.map});
}

static void lead_and_tick(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	struct meta_member members[MEMBERS_MAX];
	size_t n_members = 0;
	uint64_t now = local_us(s, n), leader = meta_leader(c->meta);

	while (n_members < MEMBERS_MAX && meta_member(c->meta, n_members, &members[n_members]))
		n_members++;
	if (meta_is_leader(c->meta) != c->leads) {
		c->leads = !c->leads;
		trace(s, "n%u %s (term %llu)", n->id, c->leads ? "leads" : "leads no more",
		      (unsigned long long)meta_term(c->meta));
		heal(s, n,
		     (struct heal_event){.type = HEAL_LEAD,
					 .leads = c->leads,
					 .node = c->led_by,
					 .silent_us = now > c->leader_heard_us
							      ? now - c->leader_heard_us
							      : 0});
	}
	if (leader != 0 && leader != n->id)
		c->led_by = leader;
	if (c->leads)
		heal(s, n,
		     (struct heal_event){.type = HEAL_TICK,
					 .members = members,
					 .n_members = n_members});
}

/* ---- heartbeats ---- */

static struct heal_report report(const struct sim *s, const struct rep *r)
{
	const struct replica *m = &r->machine;

	if (r->failed)
		return (struct heal_report){.collection_id = s->collection_id,
					    .partition = r->part,
					    .failed = true};
	return (struct heal_report){
		.collection_id = s->collection_id,
		.partition = r->part,
		.epoch = m->epoch,
		.last_epoch = m->last_epoch,
		.last_seq = m->last_seq,
		.commit_seq = r->now.seq,
		.digest = r->now.digest,
		.failed = m->diverged || m->seeding,
	};
}

static void relay(struct sim *s, struct node *n, const struct msg *from)
{
	uint64_t leader = meta_leader(n->control.meta);
	struct msg *m;

	if (leader == 0 || leader == n->id || leader == from->part)
		return;
	m = msg_new(MSG_BEAT, n->id, (uint32_t)leader, from->part);
	m->said_us = from->said_us;
	m->incarnation = from->incarnation;
	memcpy(m->reports, from->reports, sizeof m->reports);
	m->n_reports = from->n_reports;
	net_send(s, m);
}

static void send_beat(struct sim *s, struct node *n, uint64_t to)
{
	struct msg *m;

	if (to > SIM_NODES || to == n->id)
		return;
	m = msg_new(MSG_BEAT, n->id, (uint32_t)to, n->id);
	m->said_us = s->now_us;
	m->incarnation = n->control.incarnation;
	for (uint32_t p = 0; p < s->n_parts; p++)
		if (n->reps[p].open || n->reps[p].failed)
			m->reports[m->n_reports++] = report(s, &n->reps[p]);
	net_send(s, m);
}

void member_beat(struct sim *s, struct node *n, const struct msg *m)
{
	uint32_t id = m->part; /* it may have been handed on */
	const struct map_node *known = map_node(n->control.map, id);

	relay(s, n, m);
	if (known && m->incarnation != 0 && m->incarnation < known->incarnation &&
	    s->nodes[id].control.incarnation == m->incarnation)
		violation(s, "one_process", "node %u hears that it was started again elsewhere",
			  id);
	if (known)
		heal(s, n,
		     (struct heal_event){.type = HEAL_HEARTBEAT,
					 .node = id,
					 .incarnation = m->incarnation,
					 .reports = m->reports,
					 .n_reports = m->n_reports});
}

bool member_follows(const struct node *n, uint64_t id)
{
	struct meta_member member;

	for (size_t i = 0; meta_member(n->control.meta, i, &member); i++)
		if (member.id == id)
			return true;
	return false;
}

/* It does not know who leads. */
static void beat_all(struct sim *s, struct node *n)
{
	const struct map *map = n->control.map;
	struct meta_member member;

	for (size_t i = 0; meta_member(n->control.meta, i, &member); i++)
		send_beat(s, n, member.id);
	for (uint32_t i = 0; i < map->n_nodes; i++)
		if (map->nodes[i].coordinator && !member_follows(n, map->nodes[i].id))
			send_beat(s, n, map->nodes[i].id);
}

static void beat(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	uint64_t leader = meta_leader(c->meta);
	struct msg own = {.from = n->id,
			  .part = n->id,
			  .incarnation = c->incarnation,
			  .said_us = s->now_us};

	if (meta_is_leader(c->meta)) {
		for (uint32_t p = 0; p < s->n_parts; p++)
			if (n->reps[p].open || n->reps[p].failed)
				own.reports[own.n_reports++] = report(s, &n->reps[p]);
		member_beat(s, n, &own);
	} else if (leader != 0) {
		send_beat(s, n, leader);
	} else {
		beat_all(s, n);
	}
}

/* ---- registration and contact ---- */

static void put_entry(struct sim *s, struct node *n)
{
	const struct map_node *known = map_node(n->control.map, n->id);
	char name[32];
	uint64_t ask;
	struct map_command c = {
		.type = MAP_NODE_PUT,
		.node = {.id = n->id,
			 .name = known ? known->name : name,
			 .rpc_address = s->addresses[n->id],
			 .http_address = "127.0.0.1:6333",
			 .incarnation = known ? known->incarnation + 1 : 1,
			 .coordinator = true,
			 .shard = true,
			 .state = known && known->state == NODE_DRAINING ? NODE_DRAINING : NODE_UP},
	};

	snprintf(name, sizeof name, "n%u", n->id);
	ask = ask_new(s, &(struct ask){.kind = ASK_REGISTER_PUT, .number = c.node.incarnation});
	ask_submit(s, n, ask, &c);
}

static void registered(struct sim *s, struct node *n, const struct ask *a,
		       const struct error *result)
{
	struct control *c = &n->control;

	c->registering = false;
	c->register_us = local_us(s, n) + REGISTER_AGAIN_US;
	if (result->code == 0) {
		c->registered = true;
		c->incarnation = a->number;
		c->beat_us = 0;
		trace(s, "n%u is registered, incarnation %llu", n->id,
		      (unsigned long long)a->number);
	} else if (result->code != ERR_UNAVAILABLE && result->code != ERR_TIMEOUT &&
		   result->code != ERR_STALE && result->code != ERR_DISK_FULL && !n->gone) {
		violation(s, "registers", "node %u cannot register: %s", n->id, result->text);
	}
}

void member_answer(struct sim *s, const struct ask *a, const struct error *result)
{
	struct node *n = &s->nodes[a->node];

	switch (a->kind) {
	case ASK_CONTACT:
		n->control.contacts--;
		if (result->code == 0)
			node_contact(s, n, a->at_us);
		break;
	case ASK_REGISTER_READ:
		if (result->code == 0)
			put_entry(s, n);
		else
			registered(s, n, a, result);
		break;
	default: registered(s, n, a, result); break;
	}
}

void member_tick(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	uint64_t now = local_us(s, n);

	later(s, LOOP_US, (struct event){.kind = EV_MEMBER, .node = n->id, .b = n->life});
	lead_and_tick(s, n);
	if (now >= c->beat_us) {
		c->beat_us = now + BEAT_US;
		beat(s, n);
		if (c->contacts < CONTACTS_MAX) {
			c->contacts++;
			ask_read(s, n,
				 ask_new(s, &(struct ask){.kind = ASK_CONTACT, .at_us = now}));
		}
	}
	if (!c->registered && !c->registering && now >= c->register_us && n->confirmed) {
		c->registering = true;
		ask_read(s, n, ask_new(s, &(struct ask){.kind = ASK_REGISTER_READ}));
	}
}

/* ---- life ---- */

void member_start(struct sim *s, struct node *n)
{
	if (s->histories) /* as if the start took longer */
		n->control.register_us = local_us(s, n) + prng_below(&s->prng, 800000);
	n->control.heal = heal_new(&(struct heal_options){.self = n->id, .grace_us = s->grace_us});
	later(s, prng_below(&s->prng, LOOP_US),
	      (struct event){.kind = EV_MEMBER, .node = n->id, .b = n->life});
}
