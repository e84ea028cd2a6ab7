/* What goes wrong. */
#include "cluster/heal_internal.h"
#include "tests/sim/sim.h"
#include <string.h>

enum { RESUME_US = 20000000 };

struct node *any_node(struct sim *s)
{
	struct node *all[SIM_NODES + 1];
	uint32_t n = 0;

	for (uint32_t i = 1; i <= s->n_nodes; i++)
		if (s->nodes[i].exists && !s->nodes[i].gone)
			all[n++] = &s->nodes[i];
	return all[prng_below(&s->prng, n)];
}

void fault_mend_network(struct sim *s)
{
	memset(s->cut, 0, sizeof s->cut);
	memset(s->mute, 0, sizeof s->mute);
	s->loss = 0;
	s->twice = 0;
	s->delay_us = 2000;
	s->late = false;
	s->lost_kinds = 0;
	s->split_at_lead = false;
	s->slow.how = SLOW_NOT;
}

void fault_begin(struct sim *s)
{
	fault_mend_network(s);
	s->hints = chance(s, 0.5) ? 0.3 : 0;
	s->small = chance(s, 0.5) ? 0.1 : 0.7;
	later(s, s->quiet_us - s->now_us, (struct event){.kind = EV_FAULT});
}

static void restart_later(struct sim *s, const struct node *n)
{
	uint64_t most = chance(s, 0.5) ? 1000000 : 20000000;

	later(s, between(s, 20000, most), (struct event){.kind = EV_RESTART, .a = n->id});
}

static void crash(struct sim *s, struct node *n)
{
	if (!n->up)
		return;
	node_crash(s, n);
	restart_later(s, n);
}

void fault_moment(struct sim *s, uint32_t node, enum moment moment)
{
	struct node *n = &s->nodes[node];

	if (n->armed != moment)
		return;
	n->armed = 0;
	later(s, prng_below(&s->prng, 4000),
	      (struct event){.kind = EV_CRASH, .node = node, .b = n->life});
}

static void cut_some(struct sim *s)
{
	struct node *n = any_node(s), *m = any_node(s);
	uint64_t how = prng_below(&s->prng, 4);

	trace(s, "network: cut %llu, n%u, n%u", (unsigned long long)how, n->id, m->id);
	if (n == m)
		return;
	for (uint32_t i = 1; how == 2 && i <= s->n_nodes; i++)
		if (i != n->id)
			s->cut[i][n->id] = s->cut[n->id][i] = true;
	for (uint32_t i = 1; how == 3 && i <= s->n_nodes; i++)
		for (uint32_t k = 1; k <= s->n_nodes; k++)
			if ((i <= n->id) != (k <= n->id))
				s->cut[i][k] = true;
	s->cut[n->id][m->id] = true;
	if (how == 1)
		s->cut[m->id][n->id] = true;
}

static void bad_network(struct sim *s)
{
	s->loss = chance(s, 0.5) ? prng_unit(&s->prng) * 0.2 : 0;
	s->twice = chance(s, 0.5) ? prng_unit(&s->prng) * 0.2 : 0;
	s->delay_us = chance(s, 0.5) ? between(s, 1000, 200000) : 2000;
	trace(s, "network: loss %.2f, twice %.2f, delay %llu", s->loss, s->twice,
	      (unsigned long long)s->delay_us);
}

void fault_slow_disk(struct sim *s)
{
	struct node *n = any_node(s);

	if (chance(s, 0.3) && n->control.platter) {
		n->disk_full = !n->disk_full;
		memory_disk_set_capacity(n->control.platter,
					 n->disk_full ? memory_disk_used(n->control.platter) + 200
						      : 0);
	} else {
		n->disk_us = chance(s, 0.5) ? 2000 : between(s, 10000, 2500000);
	}
	trace(s, "n%u: disk %llu us%s", n->id, (unsigned long long)n->disk_us,
	      n->disk_full ? ", full" : "");
}

bool fault_settled(const struct sim *s)
{
	for (uint32_t i = 1; i <= s->n_nodes; i++) {
		const struct node *n = &s->nodes[i];

		if (n->up && n->control.log_first + n->control.log_n > s->n_agreed)
			return false;
	}
	return true;
}

/* Is there a copy too many to lose one? Not when the set is as small as it may be and nobody could hold another, nor
 * while a change of the map is under way: it may say that just this one goes on alone. */
static bool can_spare(const struct sim *s, const struct map_partition *c)
{
	uint32_t alive = 0;

	if (!fault_settled(s))
		return false;
	for (uint32_t i = 1; i <= s->n_nodes; i++)
		alive += s->nodes[i].exists && !s->nodes[i].gone;
	return c->n_in_sync > c->min_isr || alive > c->n_in_sync + c->n_learners;
}

/* A follower's state becomes another one than its log says. */
static void corrupt_some(struct sim *s)
{
	uint32_t p = (uint32_t)prng_below(&s->prng, s->n_parts);
	struct node *n = any_node(s);
	struct rep *r = &n->reps[p];

	if (!n->up || !r->open || replica_role(&r->machine) != REPLICA_MEMBER || r->now.seq == 0 ||
	    !newest_config(s, p) || newest_config(s, p)->primary == n->id ||
	    !can_spare(s, newest_config(s, p)))
		return;
	for (uint32_t i = 1; i <= s->n_nodes; i++)
		if (s->nodes[i].reps[p].now.corrupt || s->nodes[i].reps[p].disk.manifest.corrupt)
			return;
	trace(s, "n%u/%u is corrupted", n->id, p);
	r->now.corrupt = true;
	r->now.digest ^= 1;
}

/* All of the set hold what they should, and none of them is silent. */
bool fault_copies_are_good(struct sim *s, uint32_t p)
{
	const struct map_partition *c = newest_config(s, p);
	const struct node *leader = leader_of(s);

	if (!c || !leader)
		return false;
	for (uint32_t i = 0; i < c->n_in_sync; i++) {
		const struct rep *r = &s->nodes[c->in_sync[i]].reps[p];

		if (heal_silent(leader->control.heal, c->in_sync[i]) || !r->open ||
		    r->now.corrupt || r->disk.manifest.corrupt || r->disk.wiped)
			return false;
	}
	return true;
}

/* May its folder be lost? The others of the set have everything, and none of them has been silent for so long that it
 * may be taken for dead before it is known that the folder is gone: two losses at once. Not the primary's: it may just
 * have proposed to go on alone. */
static bool may_wipe(struct sim *s, const struct node *n, uint32_t p)
{
	const struct map_partition *c = newest_config(s, p);

	return c && n->up && n->confirmed && map_among(c->in_sync, c->n_in_sync, n->id) &&
	       can_spare(s, c) && fault_copies_are_good(s, p) && c->primary != n->id;
}

void fault_lose_folder(struct sim *s, struct node *n, uint32_t p)
{
	trace(s, "n%u/%u is wiped", n->id, p);
	disk_wipe(&n->reps[p].disk);
	n->reps[p].disk.wiped = true;
	n->wiped_us = s->now_us;
}

/* At once again, with or without its folder, so that what it said before may still be on its way. That of a learner may
 * be lost at any time: it is not counted on. */
void fault_crash(struct sim *s, struct node *n)
{
	const struct map_partition *c = newest_config(s, 0);
	bool loses = n->loses && c && n->reps[0].disk.exists &&
		     (may_wipe(s, n, 0) || (map_among(c->learners, c->n_learners, n->id) &&
					    fault_copies_are_good(s, 0)));

	n->loses = false;
	node_crash(s, n);
	later(s,
	      between(s, 1000,
		      chance(s, 0.5) ? 20000
		      : loses        ? 400000
				     : 1000000),
	      (struct event){.kind = EV_RESTART, .a = n->id});
	if (loses)
		fault_lose_folder(s, n, 0);
}

/* It stays away until nothing which it said before passes for news. */
static void wipe(struct sim *s, struct node *n, uint32_t p, uint64_t away_us)
{
	node_crash(s, n);
	later(s, away_us, (struct event){.kind = EV_RESTART, .a = n->id});
	fault_lose_folder(s, n, p);
}

/* The folders of all its replicas are gone, and with them what says which they were. */
static void wipe_all(struct sim *s, struct node *n, uint64_t away_us)
{
	for (uint32_t p = 0; p < s->n_parts; p++)
		if (newest_config(s, p) && map_partition_names(newest_config(s, p), n->id) &&
		    !may_wipe(s, n, p))
			return;
	node_crash(s, n);
	later(s, away_us, (struct event){.kind = EV_RESTART, .a = n->id});
	for (uint32_t p = 0; p < s->n_parts; p++) {
		if (newest_config(s, p) && map_partition_names(newest_config(s, p), n->id))
			fault_lose_folder(s, n, p);
		n->reps[p].known = false;
	}
	n->known_since = 0;
}

static void wipe_some(struct sim *s, uint32_t p)
{
	struct node *n = any_node(s);
	uint64_t away_us = between(s, 4000000, 20000000);

	if (!may_wipe(s, n, p))
		return;
	if (chance(s, 0.4))
		wipe_all(s, n, away_us);
	else
		wipe(s, n, p, away_us);
}

/* The primary dies as well, and when the healer looks for another one, this one is there and was not heard yet. */
static void wipe_before_promotion(struct sim *s, uint32_t p)
{
	const struct map_partition *c = newest_config(s, p);
	struct node *n, *primary;

	if (!c)
		return;
	n = &s->nodes[c->in_sync[prng_below(&s->prng, c->n_in_sync)]];
	primary = &s->nodes[c->primary];
	if (!may_wipe(s, n, p) || !primary->up)
		return;
	node_crash(s, primary);
	later(s, between(s, 5000000, 20000000),
	      (struct event){.kind = EV_RESTART, .a = c->primary});
	wipe(s, n, p, between(s, 800000, 1300000));
	n->unheard_until_us = s->now_us + between(s, 1000000, 4000000);
}

/* May all that this node has be lost? Everything is elsewhere, where nobody may be taken for dead before it is known that
 * this node is, and a majority of the coordinators stays. Not while it is the primary: it may just have proposed to go
 * on alone. */
static bool may_lose(struct sim *s, const struct node *n)
{
	const struct node *leader = leader_of(s);
	struct meta_member member;
	uint32_t voters = 0, left = 0, alive = 0;

	for (uint32_t i = 1; i <= s->n_nodes; i++)
		alive += s->nodes[i].exists && !s->nodes[i].gone;
	if (alive <= s->factor)
		return false; /* copies could not be made elsewhere */
	if (!leader || leader == n || !n->up || !s->collection_id || operator_busy(s) ||
	    s->n_joined < s->to_join || s->now_us + 30000000 > s->quiet_us || !n->confirmed)
		return false;
	for (size_t i = 0; meta_member(leader->control.meta, i, &member); i++) {
		voters += member.voter;
		left += member.voter && member.id != n->id && s->nodes[member.id].up;
	}
	/* Fewer cannot spare one; and it may be about to become one of two. */
	if (voters < 3 || left <= voters / 2)
		return false;
	for (uint32_t p = 0; p < s->n_parts; p++) {
		const struct map_partition *c = newest_config(s, p);

		if (c->primary == n->id || !can_spare(s, c))
			return false;
		for (uint32_t i = 0; i < c->n_in_sync; i++) {
			const struct rep *r = &s->nodes[c->in_sync[i]].reps[p];

			if (!r->open || r->now.corrupt || r->disk.manifest.corrupt ||
			    r->disk.wiped || heal_silent(leader->control.heal, c->in_sync[i]))
				return false;
		}
	}
	return true;
}

static void lose_some(struct sim *s)
{
	struct node *n = any_node(s);

	if (!may_lose(s, n))
		return;
	operator_leave(s, n);
	control_wipe(n);
	for (uint32_t p = 0; p < s->n_parts; p++) {
		disk_wipe(&n->reps[p].disk);
		n->reps[p].disk.wiped = true;
	}
}

static void crash_primary(struct sim *s, uint32_t part)
{
	const struct map_partition *c = newest_config(s, part);

	if (c)
		crash(s, &s->nodes[c->primary]);
}

static void crash_leader(struct sim *s)
{
	struct node *leader = leader_of(s);

	if (leader)
		crash(s, leader);
}

/* The power goes in the middle of what the control plane writes next. */
void fault_arm_disk(struct sim *s, struct node *n)
{
	if (n->up)
		memory_disk_stop_at(n->control.platter, between(s, 1, 12));
}

void fault_transfer(struct sim *s)
{
	struct node *leader = leader_of(s);

	if (leader)
		ask_transfer(s, leader);
}

/* The wall clock, that is. */
static void step_clock(struct sim *s, struct node *n)
{
	n->wall_us = (int64_t)between(s, 0, 240000000) - 120000000;
	trace(s, "n%u: the wall clock is off by %lld us", n->id, (long long)n->wall_us);
}

static void stop_some(struct sim *s)
{
	struct node *n = any_node(s);

	if (!n->up || n->paused_until_us > s->now_us)
		return;
	node_stop(s, n);
	restart_later(s, n);
}

static void one_fault(struct sim *s)
{
	uint32_t part = (uint32_t)prng_below(&s->prng, s->n_parts);
	struct node *n = any_node(s);

	s->stats.faults++;
	switch (s->now_us < s->storm_us ? prng_below(&s->prng, 11) : prng_below(&s->prng, 32)) {
	case 0:
	case 1: crash(s, n); break;
	case 2: crash_primary(s, part); break;
	case 3: crash_leader(s); break;
	case 4:
		if (chance(s, 0.3))
			for (uint32_t i = 1; i <= s->n_nodes; i++)
				crash(s, &s->nodes[i]);
		break;
	case 5: stop_some(s); break;
	case 6:
	case 7:
		if (n->up) {
			n->paused_until_us = s->now_us + between(s, 50000, 4000000);
			trace(s, "n%u stands still", n->id);
		}
		break;
	case 8:
	case 9:
	case 10: cut_some(s); break;
	case 20:
	case 21:
		trace(s, "n%u is mute", n->id);
		s->mute[n->id] = true;
		break;
	case 11: bad_network(s); break;
	case 12: fault_slow_disk(s); break;
	case 13: corrupt_some(s); break;
	case 14: operator_drain(s, n); break;
	case 18: s->storm_us = s->now_us + between(s, 1000000, 8000000); break;
	case 19: wipe_some(s, part); break;
	case 15:
	case 16:
	case 17: n->armed = (enum moment)between(s, 1, MOMENT_COUNT - 1); break;
	case 22: lose_some(s); break;
	case 23: operator_join(s); break;
	case 24: operator_move(s); break;
	case 25:
	case 26: fault_arm_disk(s, n); break;
	case 27: fault_transfer(s); break;
	case 29: wipe_before_promotion(s, part); break;
	case 28: step_clock(s, n); break;
	default: fault_mend_network(s); break;
	}
}

/* A set whose copies are lost, down to its least size, waits for the healer to make others. */
static bool copies_are_lost(const struct sim *s)
{
	for (uint32_t p = 0; p < s->n_parts; p++) {
		const struct map_partition *c = newest_config(s, p);

		for (uint32_t i = 0; c && i < c->n_in_sync; i++)
			if (s->nodes[c->in_sync[i]].reps[p].disk.wiped)
				return true;
	}
	return false;
}

void fault_heal_all(struct sim *s)
{
	s->patience_us = RESUME_US + (copies_are_lost(s) ? s->grace_us : 0);
	fault_mend_network(s);
	trace(s, "everything is mended");
	s->mended = true;
	for (uint32_t i = 1; i <= s->n_nodes; i++) {
		struct node *n = &s->nodes[i];

		if (!n->exists || n->gone)
			continue;
		n->paused_until_us = 0;
		n->armed = 0;
		n->loses = false;
		n->disk_full = false;
		if (n->control.platter) {
			memory_disk_set_capacity(n->control.platter, 0);
			if (n->up)
				memory_disk_stop_at(n->control.platter, 0);
		}
		n->disk_us = 2000;
		node_start(s, n);
	}
}

void fault_next(struct sim *s)
{
	if (s->now_us >= s->quiet_us) {
		if (!s->mended)
			fault_heal_all(s);
		return;
	}
	if (s->stress) {
		s->stats.faults++;
		stress_fault(s);
		later(s, stress_pause_us(s), (struct event){.kind = EV_FAULT});
		return;
	}
	if (s->histories && chance(s, 0.8)) {
		s->stats.faults++;
		history_fault(s);
		return;
	}
	one_fault(s);
	if (s->now_us < s->storm_us) {
		if (chance(s, 0.2))
			fault_mend_network(s);
		later(s, between(s, 20000, 500000), (struct event){.kind = EV_FAULT});
		return;
	}
	later(s, between(s, 100000, chance(s, 0.3) ? 500000 : 8000000),
	      (struct event){.kind = EV_FAULT});
}
