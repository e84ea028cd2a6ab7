/* The follower's side: appends of the primary. One is looked at a time; while the disk is busy the newest waits. */
#include "shard/replica_internal.h"

static void reply_rc(struct replica_update *u, void *token, int rc)
{
	u->reply[u->n_reply++] = (struct replica_reply){.token = token, .rc = rc};
}

/* What is durable of what agrees with the primary's log. */
static uint64_t acknowledged(const struct replica *r)
{
	if (MUTANT(unmatched_acknowledged))
		return r->durable_seq;
	if (MUTANT(unsynced_acknowledged))
		return r->match_seq;
	return min_u64(r->durable_seq, r->match_seq);
}

static void reply_status(struct replica *r, struct replica_update *u,
			 const struct replica_pending *p)
{
	r->promised_us = r->now_us;
	u->reply[u->n_reply++] = (struct replica_reply){
		.token = p->token,
		.answer =
			{
				.status = p->status,
				.epoch = MUTANT(old_epoch_taken) ? p->append.epoch : r->epoch,
				.durable_seq = acknowledged(r),
				.applied_seq = r->applied_seq,
				.hint_seq = p->hint_seq,
				.sent_us = r->now_us,
			},
	};
}

static void refuse(struct replica *r, struct replica_update *u, struct replica_pending *p, int rc)
{
	if (!p->set)
		return;
	p->set = false;
	replica_finish_all(u, &p->records, ERR_STALE);
	p->status = APPEND_STALE;
	if (rc < 0)
		reply_rc(u, p->token, rc);
	else
		reply_status(r, u, p);
}

void replica_refuse_pending(struct replica *r, struct replica_update *u, int rc)
{
	refuse(r, u, &r->reply, rc);
	refuse(r, u, &r->parked, rc);
}

/* Everything that the last append brought is on the disk and applied as far as it is committed? */
void replica_reply(struct replica *r, struct replica_update *u)
{
	if (!r->reply.set || (r->disk_busy && !MUTANT(unsynced_acknowledged)) || r->applying.first)
		return;
	r->reply.set = false;
	reply_status(r, u, &r->reply);
}

/* ---- does it continue the log? ---- */

static void conflict(struct replica *r, struct replica_pending *p)
{
	r->diverged = true;
	p->status = APPEND_DIVERGED;
}

/* Does the log agree with the primary's at prev_seq? What is committed does, or it has diverged. */
static bool matches(struct replica *r, struct replica_pending *p)
{
	const struct replica_append *a = &p->append;
	uint64_t own = replica_epoch_at(r, a->prev_seq);

	if (a->prev_seq > r->last_seq) {
		p->status = APPEND_MISMATCH;
		p->hint_seq = r->last_seq;
		return false;
	}
	if (own == a->prev_epoch || MUTANT(prev_not_compared) ||
	    (a->prev_seq <= r->commit_seq && (own == 0 || a->prev_epoch == 0)))
		return true;
	if (a->prev_seq <= r->commit_seq) {
		conflict(r, p);
		return false;
	}
	p->status = APPEND_MISMATCH;
	p->hint_seq = max_u64(replica_run_start(r, a->prev_seq) - 1, r->commit_seq);
	return false;
}

/* Takes the records that are new. False: one contradicts what is committed. */
static bool take_records(struct replica *r, struct replica_pending *p, struct replica_update *u)
{
	uint64_t end = p->records.last ? p->records.last->seq : p->append.prev_seq;
	struct replica_write *w;

	while ((w = write_list_pop(&p->records))) {
		uint64_t own = w->seq <= r->last_seq ? replica_epoch_at(r, w->seq) : 0;

		if (w->seq <= r->last_seq &&
		    (own == w->epoch || (own == 0 && w->seq <= r->commit_seq))) {
			write_list_push(&u->release, w);
			continue;
		}
		if (w->seq <= r->commit_seq) {
			write_list_push(&u->release, w);
			replica_finish_all(u, &p->records, ERR_STALE);
			conflict(r, p);
			return false;
		}
		if (w->seq <= r->last_seq) {
			u->truncate = true;
			u->truncate_after = w->seq - 1;
			replica_cut(r, u, w->seq - 1, ERR_CLOSED);
		}
		if (!u->append.first) {
			u->append.first = w;
			r->disk_prev_seq = r->last_seq;
		}
		w->prev_epoch = r->last_epoch;
		replica_extend(r, w);
		r->log_bytes += w->bytes;
		u->append.last = w;
	}
	if (MUTANT(late_append_cuts) && r->last_seq > end && end >= r->commit_seq &&
	    !r->disk_busy) {
		u->truncate = true;
		u->truncate_after = end;
		replica_cut(r, u, end, ERR_CLOSED);
	}
	return true;
}

/* ---- rebuilding ---- */

/* Only what surely is no member of the set, and lacks what the primary cannot send any more. */
static bool must_rebuild(const struct replica *r, const struct replica_append *a)
{
	return r->config.epoch == a->epoch && replica_role(r) == REPLICA_LEARNER &&
	       (r->diverged || r->match_seq < a->prev_seq);
}

static void look_at_seed(struct replica *r, struct replica_pending *p, struct replica_update *u)
{
	if (!r->seeding && must_rebuild(r, &p->append)) {
		r->seeding = u->seed = true;
		u->seed_from = p->append.from;
	}
	p->status = r->seeding ? APPEND_SEEDING : r->diverged ? APPEND_DIVERGED : APPEND_MISMATCH;
	p->hint_seq = r->match_seq;
	replica_finish_all(u, &p->records, ERR_STALE);
}

/* ---- an append ---- */

static void handle(struct replica *r, struct replica_pending *p, struct replica_update *u)
{
	const struct replica_append *a = &p->append;
	uint64_t end = p->records.last ? p->records.last->seq : a->prev_seq;

	p->status = r->diverged ? APPEND_DIVERGED : APPEND_OK;
	if (r->seeding || a->seed) {
		look_at_seed(r, p, u);
	} else if (!matches(r, p)) {
		replica_finish_all(u, &p->records, ERR_STALE);
	} else if (take_records(r, p, u)) {
		r->match_seq = max_u64(r->match_seq, end);
		r->told_commit_seq = max_u64(r->told_commit_seq, a->commit_seq);
	}
	if (u->truncate || u->append.first || r->stored_epoch < r->epoch) {
		replica_begin_job(r, u);
		r->disk_appends = u->append.first != NULL;
	}
	p->set = true;
	r->reply = *p;
}

static bool well_formed(const struct replica_event *e)
{
	uint64_t seq = e->append.prev_seq, epoch = e->append.prev_epoch;

	for (const struct replica_write *w = e->records.first; w; w = w->next) {
		if (w->seq != ++seq || w->epoch < epoch || w->epoch > e->append.epoch ||
		    w->epoch == 0)
			return false;
		epoch = w->epoch;
	}
	return e->append.epoch > 0 && e->append.from != 0;
}

static void take_lease(struct replica *r, const struct replica_append *a)
{
	r->told_in_sync = a->in_sync;
	if (!a->in_sync) {
		r->caught_up = false;
		r->lease_until_us = 0;
		return;
	}
	/* It must have heard of this process, not of an earlier one here, whose clock may have stood elsewhere. */
	if (a->lease_us == 0 || a->heard_us < r->opened_us || a->heard_us > r->now_us)
		return;
	/* The primary has committed and applied all that was answered before. */
	if (!r->told_commit) {
		r->told_commit = true;
		r->opening_seq = a->commit_seq;
	}
	r->lease_until_us =
		max_u64(r->lease_until_us, (MUTANT(lease_from_receipt) ? r->now_us : a->heard_us) +
						   min_u64(a->lease_us, REPLICA_LEASE_US));
}

/* Is `from` the primary of the newest epoch? A newer one is taken over. */
static bool accept_epoch(struct replica *r, const struct replica_append *a,
			 struct replica_update *u)
{
	if (a->epoch < r->epoch && !MUTANT(old_epoch_taken))
		return false;
	if (replica_leads(r) && a->epoch <= r->epoch)
		return false;
	if (r->config.primary == r->self)
		replica_step_down(r, u);
	if (a->epoch > r->epoch) {
		if (r->reply.set)
			refuse(r, u, &r->reply, 0);
		replica_raise_epoch(r, a->epoch);
	}
	if (r->config.epoch < a->epoch)
		r->config.primary = a->from;
	return true;
}

void replica_on_append(struct replica *r, const struct replica_event *e, struct replica_update *u)
{
	struct replica_pending p = {
		.set = true,
		.token = e->token,
		.append = e->append,
		.records = e->records,
	};

	if (r->closed) {
		refuse(r, u, &p, ERR_CLOSED);
	} else if (!well_formed(e)) {
		refuse(r, u, &p, ERR_INPUT);
	} else if (!accept_epoch(r, &e->append, u)) {
		refuse(r, u, &p, 0);
	} else {
		take_lease(r, &e->append);
		refuse(r, u, &r->parked, ERR_BUSY);
		if (r->disk_busy)
			r->parked = p;
		else
			handle(r, &p, u);
	}
}

/* The disk is free again. */
void replica_unpark(struct replica *r, struct replica_update *u)
{
	struct replica_pending p = r->parked;

	if (!p.set)
		return;
	replica_reply(r, u);
	r->parked = (struct replica_pending){0};
	if (p.append.epoch < r->epoch || replica_leads(r))
		refuse(r, u, &p, 0);
	else
		handle(r, &p, u);
}
