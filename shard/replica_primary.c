/* The primary's side: what the other replicas hold, what they are sent, and which of them should be in the set. */
#include "shard/replica_internal.h"

enum {
	CALL_AGAIN_US = 100000, /* after a call without answer */
	STALE_AGAIN_US = 10000,
	JOIN_AGAIN_US = 5000000 /* after the healer took a learner out that seems well from here */
};

/* Do commits and answers wait for it? */
static bool counts(const struct replica_member *m)
{
	return m->in_sync || (m->required && !MUTANT(required_not_counted));
}

/* ---- commit ---- */

static uint64_t durable_everywhere(const struct replica *r)
{
	uint64_t seq = MUTANT(commit_unsynced) ? r->last_seq : r->durable_seq;

	for (uint32_t i = 0; i < r->n_members; i++)
		if (counts(&r->members[i]) && !(MUTANT(commit_without_all) && i > 0))
			seq = min_u64(seq, r->members[i].durable_seq);
	return seq;
}

void replica_commit(struct replica *r)
{
	uint64_t seq = 0;

	if (replica_active(r))
		seq = durable_everywhere(r);
	else if (!replica_leads(r))
		seq = min_u64(r->told_commit_seq, MUTANT(commit_unmatched)
							  ? r->durable_seq
							  : min_u64(r->match_seq, r->durable_seq));
	r->commit_seq = max_u64(r->commit_seq, seq);
}

uint64_t replica_applied_everywhere(const struct replica *r)
{
	uint64_t seq = r->applied_seq;

	for (uint32_t i = 0; i < r->n_members; i++)
		if (counts(&r->members[i]) && !MUTANT(answer_before_applied))
			seq = min_u64(seq, r->members[i].applied_seq);
	return seq;
}

/* ---- members ---- */

static struct replica_member *find(struct replica *r, uint64_t node)
{
	for (uint32_t i = 0; i < r->n_members; i++)
		if (r->members[i].node == node)
			return &r->members[i];
	return NULL;
}

static bool silent(const struct replica *r, const struct replica_member *m)
{
	return r->now_us >= m->alive_us + REPLICA_SILENT_US;
}

static void add_member(struct replica *r, const struct replica_member *old, uint32_t n_old,
		       uint64_t node, bool in_sync)
{
	struct replica_member m = {
		.node = node,
		.next_seq = r->durable_seq + 1,
		.alive_us = r->now_us,
	};

	if (node == r->self)
		return;
	for (uint32_t i = 0; i < n_old; i++)
		if (old[i].node == node)
			m = old[i];
	/* The healer took it out although it answers here. It may have its reasons. */
	if (m.in_sync && !in_sync && !silent(r, &m) && !m.diverged)
		m.not_in_before_us = r->now_us + JOIN_AGAIN_US;
	m.in_sync = in_sync;
	m.required = m.proposed = false;
	r->members[r->n_members++] = m;
}

/* Who leaves may answer reads for a while yet, by the answers that came from it. next NULL: all are forgotten. */
void replica_hold_for_leavers(struct replica *r, const struct map_partition *next)
{
	for (uint32_t i = 0; i < r->n_members; i++) {
		const struct replica_member *m = &r->members[i];

		if (m->in_sync && m->heard_at_us && !MUTANT(no_hold_for_who_left) &&
		    (!next || !replica_names(next->in_sync, next->n_in_sync, m->node)))
			r->hold_us = max_u64(r->hold_us, m->heard_at_us + REPLICA_HOLD_US);
	}
}

/* Those that the configuration names. What is known of them is kept unless all is `fresh`. */
void replica_set_members(struct replica *r, bool fresh)
{
	struct replica_member old[LIMIT_REPLICAS * 2];
	uint32_t n_old = fresh ? 0 : r->n_members;
	const struct map_partition *c = &r->config;

	for (uint32_t i = 0; i < n_old; i++)
		old[i] = r->members[i];
	r->n_members = 0;
	for (uint32_t i = 0; i < c->n_in_sync; i++)
		add_member(r, old, n_old, c->in_sync[i], true);
	for (uint32_t i = 0; i < c->n_learners; i++)
		if (!replica_names(c->in_sync, c->n_in_sync, c->learners[i]))
			add_member(r, old, n_old, c->learners[i], false);
}

void replica_stood_still(struct replica *r, uint64_t gap_us)
{
	for (uint32_t i = 0; i < r->n_members; i++)
		r->members[i].alive_us = min_u64(r->members[i].alive_us + gap_us, r->now_us);
}

uint64_t replica_lease(const struct replica *r, uint64_t except)
{
	uint64_t oldest = UINT64_MAX - REPLICA_LEASE_US;

	if (!replica_active(r) || !r->caught_up)
		return 0;
	for (uint32_t i = 0; i < r->n_members; i++) {
		const struct replica_member *m = &r->members[i];

		if ((m->in_sync || m->proposed) && m->node != except)
			oldest = min_u64(oldest, m->lease_sent_us);
	}
	if (oldest == UINT64_MAX - REPLICA_LEASE_US)
		return r->now_us + REPLICA_LEASE_US;
	return oldest ? oldest + REPLICA_LEASE_US : 0;
}

/* ---- answers of the others ---- */

static void heard(struct replica *r, struct replica_member *m,
		  const struct replica_append_answer *a)
{
	m->alive_us = m->heard_at_us = r->now_us;
	m->heard_us = a->sent_us;
	m->lease_sent_us = m->call_us;
}

/* It lags by less than one append: from now on it is waited for, so that it cannot fall back again. */
static void look_at_learner(struct replica *r, struct replica_member *m)
{
	if (m->in_sync || m->required || m->diverged || m->durable_seq < m->call_last_seq)
		return;
	m->required = true;
	m->wanted_seq = r->commit_seq;
}

/* It holds nothing after `seq` that agrees. A learner may have been built anew; a member has lost what it acknowledged. */
static void look_for_loss(struct replica_member *m, uint64_t seq)
{
	if (seq >= m->durable_seq)
		return;
	if (m->in_sync || m->proposed) {
		m->diverged = true;
		return;
	}
	m->required = false;
	m->durable_seq = m->applied_seq = seq;
}

static void take_progress(struct replica *r, struct replica_member *m,
			  const struct replica_append_answer *a)
{
	heard(r, m, a);
	m->full = m->gone = false;
	if (a->durable_seq >
	    r->last_seq) { /* more is committed than this primary has: it may not go on */
		r->lost = true;
		return;
	}
	look_for_loss(m, a->durable_seq);
	m->durable_seq = max_u64(m->durable_seq, a->durable_seq);
	m->applied_seq = max_u64(m->applied_seq, a->applied_seq);
	m->next_seq = a->durable_seq + 1;
	m->diverged |= a->status == APPEND_DIVERGED;
	look_at_learner(r, m);
}

static void step_back(struct replica *r, struct replica_member *m,
		      const struct replica_append_answer *a)
{
	heard(r, m, a);
	m->full = m->gone = false;
	if (!m->in_sync && !m->proposed)
		m->diverged = false; /* it was built anew, or it would have said so */
	look_for_loss(m, a->hint_seq);
	m->next_seq = min_u64(a->hint_seq + 1, m->call_prev_seq ? m->call_prev_seq : 1);
}

/* Who held that much in an epoch before may have lost it since, and be on its way into the set again. */
static bool is_of_before(const struct replica *r, const struct replica_append_answer *a)
{
	return a->epoch < r->epoch && (a->status == APPEND_OK || a->status == APPEND_DIVERGED ||
				       a->status == APPEND_MISMATCH);
}

void replica_on_append_answer(struct replica *r, const struct replica_event *e)
{
	struct replica_member *m = find(r, e->node);
	const struct replica_append_answer *a = &e->answer;

	if (!m || !m->calling || m->call != e->call)
		return;
	m->calling = false;
	if (e->rc < 0 || e->gone) {
		m->told_commit_seq = 0;
		m->not_before_us = e->gone ? 0 : r->now_us + CALL_AGAIN_US;
		m->call_us = e->gone ? 0 : m->call_us;
		m->gone |= e->gone;
		return;
	}
	if (a->epoch > r->epoch) {
		/* Nothing goes on until the map says who is primary. */
		replica_raise_epoch(r, a->epoch);
		return;
	}
	if (!replica_active(r))
		return;
	if (is_of_before(r, a) && !MUTANT(late_answer_counts)) {
		heard(r, m, a); /* it may answer reads by that */
		return;
	}
	switch (a->status) {
	case APPEND_OK:
	case APPEND_DIVERGED: take_progress(r, m, a); break;
	case APPEND_MISMATCH: step_back(r, m, a); break;
	case APPEND_SEEDING: m->alive_us = r->now_us; break;
	case APPEND_FULL:
		m->full = true;
		m->told_commit_seq = 0;
		m->not_before_us = r->now_us + REPLICA_RETRY_US;
		break;
	case APPEND_STALE: /* an append of an epoch before */
		m->told_commit_seq = 0;
		m->not_before_us = r->now_us + STALE_AGAIN_US;
		break;
	}
}

/* ---- sends ---- */

static uint64_t lease_for(const struct replica *r, const struct replica_member *m)
{
	uint64_t until = MUTANT(lease_beyond_primary) ? r->now_us + REPLICA_LEASE_US
						      : replica_lease(r, m->node);

	return m->in_sync && until > r->now_us ? min_u64(until - r->now_us, REPLICA_LEASE_US) : 0;
}

static void send_to(struct replica *r, struct replica_member *m, uint64_t last, bool seed,
		    struct replica_update *u)
{
	struct replica_send *s = &u->send[u->n_send++];
	uint64_t prev = !seed ? m->next_seq - 1 : m->gone ? m->next_seq : 1;

	m->calling = true;
	m->call = ++r->next_call;
	m->call_us = r->now_us;
	m->call_prev_seq = seed ? r->last_seq + 1 : prev;
	m->call_last_seq = r->durable_seq;
	m->told_commit_seq = r->commit_seq;
	*s = (struct replica_send){
		.node = m->node,
		.call = m->call,
		.last_seq = seed ? prev : last,
		.append =
			{
				.epoch = r->epoch,
				.from = r->self,
				.prev_seq = prev,
				.prev_epoch = seed ? 0 : replica_epoch_at(r, prev),
				.commit_seq = r->commit_seq,
				.heard_us = m->heard_us,
				.lease_us = lease_for(r, m),
				.in_sync = m->in_sync,
				.seed = seed,
			},
	};
}

/* One call at a time to each. A member of the set gets what is written here; a learner what is durable, so that
 * nobody but the set can hold entries that this replica may lose. */
void replica_send(struct replica *r, struct replica_update *u)
{
	if (!replica_active(r))
		return;
	for (uint32_t i = 0; i < r->n_members; i++) {
		struct replica_member *m = &r->members[i];
		uint64_t end = m->in_sync ? r->written_seq : r->durable_seq;
		bool seed = (m->gone || m->diverged) && !m->in_sync && !m->proposed;
		bool records = !seed && m->next_seq <= end;

		if (m->calling || r->now_us < m->not_before_us)
			continue;
		if (records || m->told_commit_seq < r->commit_seq || m->call_us == 0 ||
		    r->now_us >= m->call_us + REPLICA_HEARTBEAT_US)
			send_to(r, m, records ? end : m->next_seq - 1, seed, u);
	}
}

/* ---- proposals ---- */

static void move_out(struct map_partition *p, uint64_t node)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < p->n_in_sync; i++)
		if (p->in_sync[i] != node)
			p->in_sync[kept++] = p->in_sync[i];
	p->n_in_sync = kept;
	if (p->n_learners < LIMIT_REPLICAS)
		p->learners[p->n_learners++] = node;
}

static void move_in(struct map_partition *p, uint64_t node)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < p->n_learners; i++)
		if (p->learners[i] != node)
			p->learners[kept++] = p->learners[i];
	p->n_learners = kept;
	p->in_sync[p->n_in_sync++] = node;
}

/* Members that should leave. */
static bool shrink(struct replica *r, struct map_partition *next)
{
	bool changed = false;

	for (uint32_t i = 0; i < r->n_members; i++) {
		struct replica_member *m = &r->members[i];

		if (!m->in_sync || !(silent(r, m) || m->diverged || m->gone) ||
		    (next->n_in_sync - 1 < next->min_isr) || next->n_in_sync == 1)
			continue;
		move_out(next, m->node);
		if (MUTANT(shrink_before_read_back))
			m->in_sync = false; /* before it is read back */
		changed = true;
	}
	return changed;
}

static bool fit(const struct replica *r, const struct replica_member *m)
{
	return !silent(r, m) && !m->diverged && !m->gone && !m->full &&
	       r->now_us >= m->not_in_before_us;
}

static bool ready(const struct replica *r, const struct replica_member *m)
{
	if (MUTANT(grow_too_early))
		return fit(r, m);
	return m->required && fit(r, m) && m->durable_seq >= r->commit_seq &&
	       m->applied_seq >= m->wanted_seq;
}

/* Learners that should join. One that was proposed and is not fit any more: the set is proposed without it, and one of
 * the two proposals wins. */
static bool grow(struct replica *r, struct map_partition *next)
{
	bool changed = false;

	for (uint32_t i = 0; i < r->n_members; i++) {
		struct replica_member *m = &r->members[i];

		if (m->in_sync)
			continue;
		if (m->required && (!m->proposed || MUTANT(proposal_forgotten)) && !fit(r, m))
			m->required = m->proposed = false;
		if (m->proposed && !fit(r, m))
			changed = true;
		else if ((m->proposed || ready(r, m)) && next->n_in_sync < LIMIT_REPLICAS) {
			move_in(next, m->node);
			changed = true;
		}
	}
	return changed;
}

void replica_propose(struct replica *r, struct replica_update *u)
{
	struct map_partition next = r->config;
	bool changed;

	if (!replica_leads(r) || r->stored_epoch < r->epoch || r->lost || r->n_members == 0)
		return;
	if (r->proposing || (r->proposed_us && r->now_us < r->proposed_us + REPLICA_RETRY_US))
		return;
	changed = r->uncertain;
	if (!r->uncertain) {
		changed = shrink(r, &next);
		changed |= grow(r, &next);
	}
	if (!changed)
		return;
	for (uint32_t i = 0; i < r->n_members; i++)
		if (!r->members[i].in_sync &&
		    replica_names(next.in_sync, next.n_in_sync, r->members[i].node))
			r->members[i].required = r->members[i].proposed = true;
	r->proposing = u->propose = true;
	u->expect_epoch = r->config.epoch;
	u->proposal = next;
}
