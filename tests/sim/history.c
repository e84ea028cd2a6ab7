/* Worlds of histories: some faults do harm only when several meet in one order, which chance alone makes too seldom.
 * Each script here brings such a one about as far as it can, at times that the seed chooses, and leaves the rest to the
 * cluster; between them come the faults of all worlds. One partition, many clients that write now and then. */
#include "cluster/meta_wire.h"
#include "tests/sim/sim.h"

enum { PUTS_US = 10000, MEMBERS_MAX = 16 };

void history_begin(struct sim *s)
{
	s->n_nodes = (uint32_t)between(s, 3, SIM_FIRST);
	s->n_parts = 1;
	s->n_clients = (uint32_t)between(s, 3, 6);
	s->think_us = 400000;
	s->jumble_us = chance(s, 0.7) ? 2000 : 0;
}

/* Snapshots are so far apart that an old map stays on a disk for some changes. */
void history_control(struct sim *s)
{
	s->n_first = s->n_nodes;
	s->snapshot_entries = between(s, 12, 30);
	s->uneven = chance(s, 0.4);
	s->grace_us = 10000000;
}

/* ---- tools ---- */

static void slow(struct sim *s, struct slow how)
{
	s->slow = how;
	trace(s, "network: what n%u sends n%u is slow, %d, kind %d, %llu us", how.from, how.to,
	      (int)how.how, (int)how.kind, (unsigned long long)how.us);
}

static bool is_slow(const struct sim *s, const struct msg *m, enum slow_how how)
{
	const struct slow *w = &s->slow;

	return w->how == how && m->kind == w->kind && m->to == w->to && m->from != m->to &&
	       (w->from == 0 || w->from == m->from) &&
	       (w->wire == 0 || (w->wire >> m->bytes.data[3] & 1));
}

bool history_lost(const struct sim *s, const struct msg *m)
{
	return is_slow(s, m, SLOW_LOST);
}

uint64_t history_late_us(const struct sim *s, const struct msg *m)
{
	return is_slow(s, m, SLOW_LATE) ? s->slow.us : 0;
}

bool history_again(const struct sim *s, const struct msg *m)
{
	return is_slow(s, m, SLOW_AGAIN);
}

static struct node *primary_of(struct sim *s)
{
	return &s->nodes[newest_config(s, 0)->primary];
}

/* One that is in sync and neither the primary nor `but`; NULL: none. */
static struct node *other_member(struct sim *s, uint64_t but)
{
	const struct map_partition *c = newest_config(s, 0);
	uint64_t ids[LIMIT_REPLICAS];
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n_in_sync; i++)
		if (c->in_sync[i] != c->primary && c->in_sync[i] != but)
			ids[n++] = c->in_sync[i];
	return n ? &s->nodes[ids[prng_below(&s->prng, n)]] : NULL;
}

/* What the healer or an operator may ask for, too: a set without `out`, with `in` as a learner. */
static void change_set(struct sim *s, uint64_t out, uint64_t in, uint64_t primary)
{
	struct node *leader = leader_of(s);
	struct map_command c = {.type = MAP_PARTITION_SET, .collection_id = s->collection_id};
	struct map_partition *next = &c.config;
	const struct map_partition *now = newest_config(s, 0);

	if (!leader || !fault_copies_are_good(s, 0))
		return;
	*next = *now;
	next->primary = primary;
	next->n_in_sync = 0;
	for (uint32_t i = 0; i < now->n_in_sync; i++)
		if (now->in_sync[i] != out)
			next->in_sync[next->n_in_sync++] = now->in_sync[i];
	if (in != 0 && !map_partition_names(now, in) && next->n_learners < LIMIT_REPLICAS)
		next->learners[next->n_learners++] = in;
	c.expect_epoch = now->epoch;
	trace(s, "operator at n%u: without n%llu, with n%llu, primary n%llu", leader->id,
	      (unsigned long long)out, (unsigned long long)in, (unsigned long long)primary);
	ask_submit(s, leader, ask_new(s, &(struct ask){.kind = ASK_OTHER}), &c);
}

static void put_at_leader(struct sim *s)
{
	struct node *leader = leader_of(s);

	if (leader)
		stress_put(s, leader);
}

static void read_at(struct sim *s, struct node *n)
{
	if (n->up)
		ask_read(s, n, ask_new(s, &(struct ask){.kind = ASK_OTHER}));
}

/* Would a majority of the coordinators stay without those of the set but its primary? */
static bool majority_stays(struct sim *s)
{
	const struct map_partition *c = newest_config(s, 0);
	struct node *leader = leader_of(s);
	struct meta_member member;
	uint32_t voters = 0, left = 0;

	for (size_t i = 0;
	     leader && i < MEMBERS_MAX && meta_member(leader->control.meta, i, &member); i++) {
		voters += member.voter;
		left += member.voter && member.id <= SIM_NODES && s->nodes[member.id].up &&
			(member.id == c->primary ||
			 !map_among(c->in_sync, c->n_in_sync, member.id));
	}
	return left > voters / 2;
}

/* ---- scripts: each step says how long until the next; 0: it is over ---- */

/* The answers of a member do not arrive, until one does, late: and by then the member has lost its folder, as a member
 * or as a learner, and is back. */
static uint64_t late_answer(struct sim *s, struct history *h)
{
	struct node *n = &s->nodes[h->node];
	struct slow how = {.how = SLOW_LOST,
			   .kind = MSG_APPENDED,
			   .from = h->node,
			   .to = h->primary};

	switch (h->step++) {
	case 0: slow(s, how); return between(s, 300000, 2600000);
	case 1:
		how.how = SLOW_LATE;
		how.us = between(s, 250000, 950000);
		slow(s, how);
		n->armed = MOMENT_REPLIES;
		n->loses = true;
		return 2200000;
	default: n->armed = 0; n->loses = false;
	}
	return 0;
}

/* The primary becomes the whole set, and keeps a snapshot of that map; later it is out of the set, loses its folder, is made
 * a learner, and stops before it has heard of its primary: at the next start it has an empty folder and the old map. */
static uint64_t empty_and_alone(struct sim *s, struct history *h)
{
	const struct map_partition *c = newest_config(s, 0);
	struct node *n = &s->nodes[h->primary];
	bool in_sync = map_among(c->in_sync, c->n_in_sync, n->id);

	if (s->now_us > h->until_us) {
		node_start(s, n);
		return 0;
	}
	switch (h->step) {
	case 0:
		if (c->min_isr > 1 || c->n_in_sync < 2 || !majority_stays(s))
			return 0;
		for (uint32_t i = 0; i < c->n_in_sync; i++)
			if (c->in_sync[i] != n->id) {
				node_crash(s, &s->nodes[c->in_sync[i]]);
				later(s, between(s, 3000000, 5000000),
				      (struct event){.kind = EV_RESTART, .a = c->in_sync[i]});
			}
		h->step++;
		return PUTS_US;
	case 1: h->step += c->n_in_sync == 1 && c->primary == n->id; return PUTS_US;
	case 2:
		put_at_leader(s);
		h->step += ++h->n >= s->snapshot_entries;
		return PUTS_US;
	case 3:
		if (c->n_in_sync < 2 || !in_sync || !fault_copies_are_good(s, 0))
			return PUTS_US;
		node_crash(s, n);
		h->step++;
		return PUTS_US;
	case 4:
		if (in_sync || !fault_copies_are_good(s, 0) || !fault_settled(s))
			return PUTS_US;
		fault_lose_folder(s, n, 0);
		node_start(s, n);
		n->disk_us = between(s, 2000, 100000);
		n->armed = MOMENT_BEGINS;
		h->step++;
		return 3000000;
	default: n->armed = 0; return 0;
	}
}

/* A member hears of the map late: that it was taken out when it counts already by what the map says since. */
static uint64_t taken_out_and_in(struct sim *s, struct history *h)
{
	struct slow how = {.how = SLOW_LATE, .kind = MSG_META, .to = h->node};

	switch (h->step++) {
	case 0:
		how.us = between(s, 100000, 600000);
		slow(s, how);
		return between(s, 10000, 60000);
	case 1: change_set(s, h->node, 0, h->primary); return between(s, 10000, 60000);
	case 2: change_set(s, 0, h->node, newest_config(s, 0)->primary); return 1500000;
	default: return 0;
	}
}

static void cut_pair(struct sim *s, uint32_t a, uint32_t b)
{
	s->cut[a][b] = s->cut[b][a] = true;
}

static void cut_from_members(struct sim *s, uint32_t node)
{
	const struct map_partition *c = newest_config(s, 0);

	for (uint32_t i = 0; i < c->n_in_sync; i++) {
		uint64_t id = c->in_sync[i];

		if (id != node)
			cut_pair(s, (uint32_t)id, node);
	}
}

/* Another one becomes primary while the one before knows nothing of it and has just been heard. */
static uint64_t handed_over(struct sim *s, struct history *h)
{
	switch (h->step++) {
	case 0: s->mute[h->primary] = true; return between(s, 5000, 300000);
	case 1:
		cut_from_members(s, h->primary);
		change_set(s, h->primary, 0, h->node);
		return 1500000;
	default: return 0;
	}
}

/* The primary misses an epoch of its own; right after, a member leaves and hears of nothing. */
static uint64_t missed_epoch(struct sim *s, struct history *h)
{
	switch (h->step++) {
	case 0: s->mute[h->primary] = true; return between(s, 5000, 20000);
	case 1:
	case 2: change_set(s, 0, 0, h->primary); return between(s, 10000, 60000);
	case 3:
		s->mute[h->primary] = false;
		s->mute[h->node] = true;
		cut_pair(s, h->primary, h->node);
		return between(s, 30000, 250000);
	case 4: change_set(s, h->node, 0, h->primary); return 1500000;
	default: return 0;
	}
}

/* A learner that has everything is proposed, and is silent until that is decided. */
static uint64_t late_proposal(struct sim *s, struct history *h)
{
	const struct node *leader = leader_of(s);
	struct slow how = {.how = SLOW_LATE,
			   .kind = MSG_META,
			   .wire = 1u << WIRE_FORWARD,
			   .from = h->primary,
			   .to = leader ? leader->id : 0};

	switch (h->step++) {
	case 0: change_set(s, h->node, 0, h->primary); return between(s, 10000, 60000);
	case 1:
		/* Before or after the time that a request has is over. */
		how.us = chance(s, 0.3) ? between(s, 1700000, 3000000)
					: between(s, 10020000, 11500000);
		slow(s, how);
		change_set(s, 0, h->node, h->primary);
		h->until_us = s->now_us + 1000000;
		return PUTS_US;
	case 2:
		if (s->nodes[h->primary].reps[0].proposal == 0 && s->now_us < h->until_us) {
			h->step--;
			return PUTS_US / 4;
		}
		cut_pair(s, h->primary, h->node);
		return s->slow.us + 1000000;
	default: return 0;
	}
}

/* A node that is in none of the parts: while it may return, the healer makes no other copies. */
static struct node *bystander(struct sim *s, const struct history *h)
{
	const struct node *leader = leader_of(s);

	for (uint32_t i = 1; i <= s->n_nodes; i++)
		if (s->nodes[i].up && i != h->node && i != h->primary && leader &&
		    i != leader->id && !map_partition_names(newest_config(s, 0), i))
			return &s->nodes[i];
	return NULL;
}

/* A member leaves and hears of nothing, and the primary, alone now, is started again. */
static uint64_t left_and_restarted(struct sim *s, struct history *h)
{
	struct node *away;

	switch (h->step++) {
	case 0:
		away = bystander(s, h);
		if (!away || newest_config(s, 0)->n_in_sync != 2)
			return 0;
		node_crash(s, away);
		later(s, 8000000, (struct event){.kind = EV_RESTART, .a = away->id});
		return between(s, 3000000, 4000000);
	case 1:
		s->mute[h->node] = true;
		cut_pair(s, h->primary, h->node);
		change_set(s, h->node, 0, h->primary);
		return between(s, 5000, 60000);
	case 2:
		if (s->nodes[h->primary].up)
			fault_crash(s, &s->nodes[h->primary]);
		return 1500000;
	default: return 0;
	}
}

/* The others hold what the primary loses, and it is back before anybody misses it. */
static uint64_t lost_tail(struct sim *s, struct history *h)
{
	struct node *n = &s->nodes[h->primary];

	switch (h->step++) {
	case 0: n->disk_us = between(s, 20000, 500000); return between(s, 50000, 600000);
	case 1: n->armed = MOMENT_WRITTEN; return 2000000;
	default: n->armed = 0; n->disk_us = 2000;
	}
	return 0;
}

/* Who leads the map asks the others, and stands still when they answer; another one leads, and when the first one goes on
 * there are answers, and new questions from its clients, but nothing that tells of the other. */
static uint64_t frozen_leader(struct sim *s, struct history *h)
{
	struct node *n = &s->nodes[h->node];

	switch (h->step) {
	case 0:
		if (chance(s, 0.5))
			fault_transfer(s);
		read_at(s, n);
		read_at(s, n);
		h->step++;
		return between(s, 300, 5000);
	case 1:
		n->paused_until_us = s->now_us + between(s, 350000, 1700000);
		h->until_us = n->paused_until_us + 50000;
		trace(s, "n%u stands still", n->id);
		h->step++;
		return between(s, 2000, 8000);
	case 2:
		s->lost_kinds = UINT32_MAX;
		s->kinds_of = n->id;
		s->kind_loss = 1;
		h->step++;
		return PUTS_US;
	default:
		put_at_leader(s);
		read_at(s, n);
		return s->now_us < h->until_us ? 4 * PUTS_US : 0;
	}
}

/* What a coordinator has taken does not become known to who leads, until that one has only a snapshot for it. */
static uint64_t needless_snapshot(struct sim *s, struct history *h)
{
	struct node *leader = leader_of(s);
	struct slow how = {.how = SLOW_LOST,
			   .kind = MSG_META,
			   .wire = 1u << WIRE_APPEND_RESULT,
			   .from = h->node,
			   .to = leader ? leader->id : 0};

	if (h->step++ == 0) {
		slow(s, how);
		h->until_us = s->now_us + between(s, 800000, 2500000);
	}
	put_at_leader(s);
	return s->now_us < h->until_us ? PUTS_US : 0;
}

/* ---- which ---- */

typedef uint64_t script(struct sim *s, struct history *h);
static script *const scripts[] = {
	late_answer,        late_answer, late_answer,   empty_and_alone,
	taken_out_and_in,   handed_over, missed_epoch,  late_proposal,
	left_and_restarted, lost_tail,   frozen_leader, needless_snapshot,
};
enum { SCRIPTS = sizeof scripts / sizeof *scripts };

/* Who has which part in it; false: there is nobody for it. */
static bool cast(struct sim *s, struct history *h)
{
	const struct node *leader = leader_of(s);
	struct node *n;
	script *chosen = scripts[h->kind];

	if (!leader || !newest_config(s, 0) || !fault_copies_are_good(s, 0) || s->n_parts != 1)
		return false;
	h->primary = primary_of(s)->id;
	if (chosen == frozen_leader)
		h->node = leader->id;
	if (chosen == frozen_leader || chosen == empty_and_alone)
		return true;
	n = other_member(s, leader->id == h->primary || chosen == late_answer ? 0 : leader->id);
	if (!n || !n->up)
		return false;
	h->node = n->id;
	/* Who does not hear the map's leader must not be that. */
	return (chosen != handed_over && chosen != missed_epoch && chosen != late_proposal) ||
	       leader->id != h->primary;
}

void history_fault(struct sim *s)
{
	struct history *h = &s->history;

	fault_mend_network(s);
	*h = (struct history){.kind = (uint32_t)prng_below(&s->prng, SCRIPTS),
			      .until_us = s->now_us + 25000000};
	if (cast(s, h)) {
		trace(s, "history %u: n%u, primary n%u", h->kind, h->node, h->primary);
		history_next(s);
	} else {
		later(s, between(s, 100000, 500000), (struct event){.kind = EV_FAULT});
	}
}

/* After the last fault, which may come in its midst, a script does nothing any more. */
void history_next(struct sim *s)
{
	uint64_t pause_us;

	if (s->mended)
		return;
	pause_us = scripts[s->history.kind](s, &s->history);
	if (pause_us > 0) {
		later(s, pause_us, (struct event){.kind = EV_HISTORY});
		return;
	}
	fault_mend_network(s);
	later(s, between(s, 50000, chance(s, 0.5) ? 500000 : 4000000),
	      (struct event){.kind = EV_FAULT});
}
