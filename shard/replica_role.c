/* Configurations, roles, and until when reads may be answered.
 *
 * Leases. Nothing of this is needed for the safety of writes. A replica may answer reads while no write can have been
 * answered that it has not applied:
 *   - A primary, until REPLICA_LEASE_US after it sent the append that each of the others answered last: whoever of them
 *     becomes primary answers no write within REPLICA_HOLD_US of the last append that it answered.
 *   - A follower, as long as its primary may (this one left out), and no longer than REPLICA_LEASE_US from its last answer that
 *     arrived there: the primary takes it out of the set only after a longer silence, or holds answers back.
 *   - Whoever is in sync by a map that is as new as its leader's, REPLICA_LEASE_US from that contact. This bridges the time from
 *     the end of a primary to its successor. It is weaker: a member that its primary cannot reach, while both reach the map's leader,
 *     may answer reads for up to that long after it was taken out of the set.
 * Before the first it must have caught up: it has applied all that was answered before it was started or came into the set. */
#include "shard/replica_internal.h"

bool replica_names(const uint64_t *ids, uint32_t n, uint64_t id)
{
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static bool in_force(const struct replica *r)
{
	return r->config.epoch > 0 && r->config.epoch == r->epoch;
}

bool replica_leads(const struct replica *r)
{
	return in_force(r) && r->config.primary == r->self;
}

bool replica_active(const struct replica *r)
{
	return replica_leads(r) && r->stored_epoch >= r->epoch && !r->uncertain && !r->lost &&
	       !r->diverged;
}

enum replica_role replica_role(const struct replica *r)
{
	const struct map_partition *c = &r->config;

	if (replica_leads(r))
		return REPLICA_PRIMARY;
	if (in_force(r) ? replica_names(c->in_sync, c->n_in_sync, r->self) : r->told_in_sync)
		return REPLICA_MEMBER;
	if (replica_names(c->learners, c->n_learners, r->self) ||
	    (!in_force(r) && replica_names(c->in_sync, c->n_in_sync, r->self)))
		return REPLICA_LEARNER;
	return REPLICA_NONE;
}

void replica_raise_epoch(struct replica *r, uint64_t epoch)
{
	assert(epoch > r->epoch);
	r->epoch = epoch;
	if (!MUTANT(match_kept))
		r->match_seq = r->commit_seq;
	r->told_in_sync = r->told_commit = false;
}

void replica_step_down(struct replica *r, struct replica_update *u)
{
	r->lease_until_us = max_u64(r->lease_until_us, replica_lease(r, 0));
	replica_finish_all(u, &r->queue, ERR_STALE);
	for (struct replica_write *w = r->flight.first; w; w = w->next)
		replica_answer(u, w, ERR_CLOSED);
	replica_finish_all(u, &r->answering, ERR_CLOSED);
	r->n_members = 0;
	r->uncertain = r->lost = false;
}

/* The one that was primary before may answer reads for a while yet, by answers that this one gave it; and if this one was primary and has
 * been started again, a member that left just before. Only who was alone from the beginning has nobody to wait for. */
static uint64_t hold_after_promotion(const struct replica *r)
{
	bool alone = r->config.n_in_sync == 1 && r->config.n_learners == 0;
	bool always_alone = alone && (r->config.epoch == 1 || MUTANT(no_hold_after_restart));

	if (r->promised_us == 0 || (r->restarted && always_alone) ||
	    MUTANT(no_hold_after_promotion))
		return 0;
	return r->promised_us + REPLICA_HOLD_US;
}

static void become_primary(struct replica *r, struct replica_update *u)
{
	replica_refuse_pending(r, u, 0);
	r->n_members = 0;
	replica_set_members(r, true);
	r->opening_seq = r->last_seq;
	r->hold_us = max_u64(r->hold_us, hold_after_promotion(r));
	/* It may have sent entries of this epoch that it has lost, or proposed a set that may yet be decided. */
	r->uncertain = r->restarted && r->stored_epoch >= r->epoch && r->n_members > 0 &&
		       !MUTANT(restart_without_renewal);
	r->lost = false;
}

void replica_on_config(struct replica *r, const struct map_partition *c, struct replica_update *u)
{
	struct map_partition before = r->config;
	bool in_sync = replica_names(c->in_sync, c->n_in_sync, r->self);
	bool goes_on;

	if (r->closed || c->epoch < r->epoch || c->epoch <= before.epoch)
		return;
	goes_on = before.epoch > 0 && before.primary == r->self && c->primary == r->self &&
		  c->epoch == before.epoch + 1;
	replica_hold_for_leavers(r, goes_on || MUTANT(no_hold_for_forgotten) ? c : NULL);
	if (goes_on)
		r->lease_until_us = max_u64(r->lease_until_us, replica_lease(r, 0));
	else
		replica_step_down(r, u);
	if (c->epoch > r->epoch)
		replica_raise_epoch(r, c->epoch);
	r->config = *c;
	if (!in_sync) {
		r->caught_up = false;
		r->lease_until_us = 0;
	}
	if (goes_on) {
		r->uncertain = false;
		replica_set_members(r, false);
	} else if (c->primary == r->self) {
		become_primary(r, u);
	} else {
		if (r->reply.set && r->reply.append.epoch < r->epoch)
			replica_refuse_pending(r, u, 0);
	}
	r->restarted = false;
}

void replica_look_caught_up(struct replica *r)
{
	bool knows = replica_leads(r) ? replica_active(r) : r->told_in_sync && r->told_commit;

	if (!r->caught_up && knows &&
	    (r->applied_seq >= r->opening_seq || MUTANT(serves_before_caught_up)))
		r->caught_up = true;
}

static bool alone(const struct replica *r)
{
	if (!replica_active(r))
		return false;
	for (uint32_t i = 0; i < r->n_members; i++)
		if (r->members[i].in_sync || r->members[i].proposed)
			return false;
	return true;
}

uint64_t replica_serves_until(const struct replica *r)
{
	enum replica_role role = replica_role(r);
	uint64_t until = r->lease_until_us;

	if (r->closed || r->diverged || r->seeding || r->lost || !r->caught_up ||
	    (role != REPLICA_MEMBER && role != REPLICA_PRIMARY))
		return 0;
	if (alone(r))
		return UINT64_MAX;
	if (replica_active(r))
		until = max_u64(until, replica_lease(r, 0));
	if (in_force(r) && r->contact_us > 0)
		until = max_u64(until, r->contact_us + REPLICA_LEASE_US);
	return until;
}
