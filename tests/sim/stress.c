/* Worlds in which the control plane is what matters: one partition that hardly anybody writes to, many requests to the
 * map at whoever believes to lead, coordinators that are taken out and return, and faults that come while elections,
 * changes of the coordinators and snapshots are under way. */
#include "cluster/meta_wire.h"
#include "tests/sim/sim.h"
#include <string.h>

enum { TENSE_US = 3000000, MEMBERS_MAX = 16 };

void stress_begin(struct sim *s)
{
	s->n_nodes = (uint32_t)between(s, 2, SIM_FIRST);
	s->n_parts = 1;
	s->n_clients = 1;
	s->think_us = 1000000;
}

/* How the first start is. With a single voter all that makes it three or five is at stake; with four, majorities of
 * sets that differ by one need not meet. */
void stress_control(struct sim *s)
{
	s->n_first = chance(s, 0.35)   ? 1
		     : s->n_nodes >= 4 ? (uint32_t)between(s, 3, s->n_nodes)
				       : s->n_nodes;
	s->snapshot_entries = chance(s, 0.8) ? between(s, 4, 20) : 1024;
	s->grace_us = 10000000;
	s->uneven = chance(s, 0.35);
}

/* Who leads keeps all of its log, who follows next to nothing, or the other way round. */
uint64_t stress_snapshot_entries(struct sim *s)
{
	return chance(s, 0.5) ? between(s, 4, 20) : 1024;
}

void stress_started(struct sim *s)
{
	if (s->n_first == 1 && chance(s, 0.5))
		s->nodes[1].armed = MOMENT_CHANGES;
	later(s, between(s, 50000, 3000000), (struct event){.kind = EV_FAULT});
	later(s, 500000, (struct event){.kind = EV_LOAD});
}

/* One of those that believe to lead; NULL: none. */
static struct node *some_leader(struct sim *s)
{
	struct node *all[SIM_NODES + 1];
	uint32_t n = 0;

	for (uint32_t i = 1; i <= s->n_nodes; i++)
		if (s->nodes[i].up && meta_is_leader(s->nodes[i].control.meta))
			all[n++] = &s->nodes[i];
	return n ? all[prng_below(&s->prng, n)] : NULL;
}

/* ---- requests ---- */

/* A command that harms nobody. Half of them carry no id, so that they may be tried once only. */
void stress_put(struct sim *s, struct node *n)
{
	uint64_t ask = ask_new(s, &(struct ask){.kind = ASK_OTHER, .nameless = chance(s, 0.5)});
	struct map_command c = {.type = MAP_KEY_PUT, .key.name = "k"};

	memcpy(c.key.hash, &ask, sizeof ask);
	ask_submit(s, n, ask, &c);
}

void stress_load(struct sim *s)
{
	bool tense = s->now_us < s->tense_until_us;
	struct node *n = chance(s, 0.6) ? some_leader(s) : any_up(s);

	if (s->now_us >= s->quiet_us)
		return;
	later(s, between(s, 5000, tense ? 40000 : 400000), (struct event){.kind = EV_LOAD});
	if (!n)
		return;
	if (chance(s, tense ? 0.1 : 0.2))
		stress_put(s, n);
	else
		ask_read(s, n, ask_new(s, &(struct ask){.kind = ASK_OTHER}));
}

/* ---- who votes ---- */

/* Takes one out, or gives it a vote, as `at` knows them; the healer takes who is out in again. */
static void change_some(struct sim *s, struct node *at)
{
	struct meta_member members[MEMBERS_MAX], *m;
	struct heal_change c;
	size_t n = 0;

	if (!at || !at->up)
		return;
	while (n < MEMBERS_MAX && meta_member(at->control.meta, n, &members[n]))
		n++;
	if (n == 0)
		return;
	m = &members[prng_below(&s->prng, n)];
	/* One that never was in the map is taken out for good. */
	if (m->id > SIM_NODES || !s->newest || !map_node(s->newest, m->id))
		return;
	c = (struct heal_change){.change = m->voter ? -1 : 2,
				 .node = m->id,
				 .address = s->addresses[m->id]};
	trace(s, "operator at n%u: coordinators: %d n%llu", at->id, c.change,
	      (unsigned long long)c.node);
	ask_change(s, at, ask_new(s, &(struct ask){.kind = ASK_OTHER}), &c);
}

/* ---- the network ---- */

static void both_ways(struct sim *s, uint32_t a, uint32_t b)
{
	s->cut[a][b] = s->cut[b][a] = true;
}

/* Two halves, whatever was before. */
static void split(struct sim *s)
{
	uint64_t side = prng_u64(&s->prng);

	memset(s->cut, 0, sizeof s->cut);
	trace(s, "network: halves %llx", (unsigned long long)(side & 0x3e));
	for (uint32_t i = 1; i <= s->n_nodes; i++)
		for (uint32_t k = 1; k < i; k++)
			if ((side >> i & 1) != (side >> k & 1))
				both_ways(s, i, k);
}

/* Nobody hears the leader, or it hears nobody, or both. */
static void isolate_leader(struct sim *s)
{
	struct node *n = some_leader(s);
	uint64_t how = prng_below(&s->prng, 4);

	if (!n)
		return;
	trace(s, "network: leader n%u is cut off, %llu", n->id, (unsigned long long)how);
	for (uint32_t i = 1; i <= s->n_nodes; i++) {
		if (i == n->id)
			continue;
		s->cut[n->id][i] |= how != 1;
		s->cut[i][n->id] |= how != 2;
	}
}

/* What one that follows says does not reach who leads. */
static void silence_follower(struct sim *s)
{
	struct node *leader = some_leader(s), *n = any_node(s);

	if (!leader || leader == n)
		return;
	trace(s, "network: leader n%u does not hear n%u", leader->id, n->id);
	s->cut[n->id][leader->id] = true;
}

/* Messages of some kinds are lost, from and to one node or everywhere. */
static void lose_kinds(struct sim *s)
{
	static const uint32_t kinds[] = {
		1u << WIRE_APPEND | 1u << WIRE_APPEND_RESULT,
		1u << WIRE_APPEND | 1u << WIRE_APPEND_RESULT,
		1u << WIRE_APPEND_RESULT,
		1u << WIRE_VOTE | 1u << WIRE_VOTE_RESULT,
		1u << WIRE_VOTE_RESULT,
		1u << WIRE_SNAPSHOT,
		1u << WIRE_READ_RESULT,
		1u << WIRE_FORWARD_RESULT,
	};
	struct node *n = chance(s, 0.7) ? some_leader(s) : any_node(s);

	s->lost_kinds = chance(s, 0.8) ? kinds[prng_below(&s->prng, sizeof kinds / sizeof *kinds)]
				       : (uint32_t)prng_below(&s->prng, 1u << WIRE_TYPE_COUNT);
	s->kind_loss = chance(s, 0.6) ? 1 : 0.3 + 0.6 * prng_unit(&s->prng);
	s->kinds_of = n && chance(s, 0.8) ? n->id : 0;
	trace(s, "network: kinds %x of n%u are lost, %.2f", s->lost_kinds, s->kinds_of,
	      s->kind_loss);
}

bool stress_lost(struct sim *s, const struct msg *m)
{
	if (s->lost_kinds == 0 || m->kind != MSG_META ||
	    (s->kinds_of != 0 && s->kinds_of != m->from && s->kinds_of != m->to))
		return false;
	return (s->lost_kinds >> m->bytes.data[3] & 1) != 0 && chance(s, s->kind_loss);
}

static void slow_network(struct sim *s)
{
	s->delay_us = between(s, 10000, 200000);
	s->twice = chance(s, 0.7) ? 0.3 * prng_unit(&s->prng) : 0;
	s->late = chance(s, 0.7);
	trace(s, "network: delay %llu, twice %.2f%s", (unsigned long long)s->delay_us, s->twice,
	      s->late ? ", late" : "");
}

/* ---- elections ---- */

static void stand_still(struct sim *s, struct node *n, uint64_t most_us)
{
	if (!n || !n->up)
		return;
	n->paused_until_us = s->now_us + between(s, 50000, most_us);
	trace(s, "n%u stands still", n->id);
}

/* Several want to lead at the same time, and who votes stops right afterwards. */
static void contest(struct sim *s)
{
	struct node *leader = some_leader(s);

	trace(s, "an election is contested");
	s->delay_us = between(s, 20000, 200000);
	for (uint32_t i = 1; i <= s->n_nodes; i++)
		if (chance(s, 0.6))
			s->nodes[i].armed = MOMENT_VOTED;
	if (leader && chance(s, 0.5))
		stand_still(s, leader, 3000000);
	else if (leader)
		fault_crash(s, leader);
}

/* The coordinators change while the network falls apart: on one side, then on the other, where the next leader has such
 * a change to make as soon as it leads. */
static void change_and_split(struct sim *s)
{
	for (uint32_t i = 1; i <= s->n_nodes; i++)
		if (chance(s, 0.8))
			change_some(s, &s->nodes[i]);
	if (chance(s, 0.5))
		isolate_leader(s);
	else
		split(s);
	s->split_at_lead = chance(s, 0.7);
}

void stress_leads(struct sim *s)
{
	if (s->split_at_lead)
		split(s);
	s->split_at_lead = false;
}

static void arm(struct sim *s)
{
	struct node *leader = some_leader(s), *n = any_node(s);

	n = leader && chance(s, 0.6) ? leader : n;
	n->armed = (enum moment)between(s, MOMENT_VOTED, MOMENT_COUNT - 1);
	trace(s, "n%u is to stop at moment %d", n->id, (int)n->armed);
	if (n->armed == MOMENT_CHANGES)
		change_some(s, some_leader(s));
}

static void stop_all(struct sim *s)
{
	for (uint32_t i = 1; i <= s->n_nodes; i++)
		if (s->nodes[i].up && chance(s, 0.8))
			fault_crash(s, &s->nodes[i]);
}

/* ---- one fault ---- */

void stress_fault(struct sim *s)
{
	struct node *leader = some_leader(s), *n = any_node(s);

	s->tense_until_us = s->now_us + TENSE_US;
	switch (prng_below(&s->prng, 32)) {
	case 0:
	case 1:
	case 2:
	case 3: split(s); break;
	case 4:
	case 5:
	case 6: isolate_leader(s); break;
	case 7:
	case 8: silence_follower(s); break;
	case 9:
	case 10:
	case 11: lose_kinds(s); break;
	case 12:
	case 13: slow_network(s); break;
	case 14:
	case 15:
	case 16: arm(s); break;
	case 17:
	case 18: contest(s); break;
	case 19:
		if (n->up)
			fault_crash(s, n);
		break;
	case 20: fault_arm_disk(s, n); break;
	case 21: fault_slow_disk(s); break;
	case 22: stand_still(s, leader ? leader : n, 4000000); break;
	case 23: fault_transfer(s); break;
	case 24:
	case 25: change_and_split(s); break;
	case 26: change_some(s, any_up(s)); break;
	case 27:
		if (chance(s, 0.3))
			stop_all(s);
		break;
	default: fault_mend_network(s); break;
	}
}

/* Storms, in which nothing settles, and times in which it can. */
uint64_t stress_pause_us(struct sim *s)
{
	if (s->now_us < s->storm_us)
		return between(s, 20000, 700000);
	if (chance(s, 0.15))
		s->storm_us = s->now_us + between(s, 2000000, 15000000);
	if (chance(s, 0.3))
		fault_mend_network(s);
	return between(s, 100000, chance(s, 0.5) ? 1500000 : 6000000);
}
