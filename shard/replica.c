/* Dispatch, the queue, the log, commit, apply, answers. One function a transition; see the header for the drawing.
 * What can go on after an event is decided in one place, advance(). */
#include "shard/replica_internal.h"

enum { STALL_US = 500000 /* ticks that are so late: this process stood still */ };

void write_list_push(struct write_list *l, struct replica_write *w)
{
	w->next = NULL;
	if (l->last)
		l->last->next = w;
	else
		l->first = w;
	l->last = w;
}

struct replica_write *write_list_pop(struct write_list *l)
{
	struct replica_write *w = l->first;

	if (!w)
		return NULL;
	l->first = w->next;
	if (!l->first)
		l->last = NULL;
	w->next = NULL;
	return w;
}

/* ---- answers ---- */

void replica_answer(struct replica_update *u, struct replica_write *w, int rc)
{
	if (!w->client)
		return;
	w->client = false;
	w->rc = rc;
	w->next_answer = NULL;
	*u->answer_end = w;
	u->answer_end = &w->next_answer;
}

static void finish(struct replica_update *u, struct replica_write *w, int rc)
{
	replica_answer(u, w, rc);
	write_list_push(&u->release, w);
}

void replica_finish_all(struct replica_update *u, struct write_list *l, int rc)
{
	struct replica_write *w;

	while ((w = write_list_pop(l)))
		finish(u, w, rc);
}

/* ---- the log ---- */

uint64_t replica_epoch_at(const struct replica *r, uint64_t seq)
{
	for (uint32_t i = r->n_runs; seq > 0 && i-- > 0;)
		if (r->runs[i].first_seq <= seq)
			return r->runs[i].epoch;
	return 0;
}

uint64_t replica_run_start(const struct replica *r, uint64_t seq)
{
	for (uint32_t i = r->n_runs; i-- > 0;)
		if (r->runs[i].first_seq <= seq)
			return r->runs[i].first_seq;
	return 0;
}

static void note_epoch(struct replica *r, uint64_t seq, uint64_t epoch)
{
	if (r->n_runs && r->runs[r->n_runs - 1].epoch == epoch)
		return;
	if (r->n_runs == REPLICA_RUNS) {
		r->n_runs--;
		for (uint32_t i = 0; i < r->n_runs; i++)
			r->runs[i] = r->runs[i + 1];
	}
	r->runs[r->n_runs++] = (struct replica_run){seq, epoch};
}

void replica_extend(struct replica *r, struct replica_write *w)
{
	assert(w->seq == r->last_seq + 1);
	r->last_seq = w->seq;
	r->last_epoch = w->epoch;
	note_epoch(r, w->seq, w->epoch);
	write_list_push(&r->flight, w);
}

void replica_cut(struct replica *r, struct replica_update *u, uint64_t seq, int rc)
{
	struct write_list all = r->flight;
	struct replica_write *w;

	assert(seq >= r->commit_seq);
	assert(!r->disk_busy);
	r->flight = (struct write_list){0};
	while ((w = write_list_pop(&all)))
		if (w->seq <= seq)
			write_list_push(&r->flight, w);
		else
			finish(u, w, rc);
	while (r->n_runs && r->runs[r->n_runs - 1].first_seq > seq)
		r->n_runs--;
	r->last_seq = seq;
	r->last_epoch = replica_epoch_at(r, seq);
	r->written_seq = min_u64(r->written_seq, seq);
	r->durable_seq = min_u64(r->durable_seq, seq);
	r->match_seq = min_u64(r->match_seq, seq);
}

void replica_begin_job(struct replica *r, struct replica_update *u)
{
	assert(!r->disk_busy);
	u->disk_job = r->disk_busy = true;
	r->disk_epoch = r->epoch;
	if (r->stored_epoch < r->epoch && !MUTANT(epoch_not_stored))
		u->store_epoch = r->epoch;
}

/* ---- life ---- */

void replica_init(struct replica *r, uint64_t self, const struct replica_limits *limits)
{
	*r = (struct replica){.limits = *limits, .self = self};
}

void replica_fini(struct replica *r)
{
	batches_fini(&r->batches);
}

void replica_recovered(struct replica *r, const struct replica_recovery *recovery)
{
	struct write_list tail = recovery->tail;
	struct replica_write *w;

	assert(replica_quiet(r) && r->last_seq == 0);
	r->last_seq = r->commit_seq = r->applied_seq = r->match_seq = recovery->applied_seq;
	r->last_epoch = recovery->applied_epoch;
	if (r->last_seq > 0)
		note_epoch(r, r->last_seq, r->last_epoch);
	while ((w = write_list_pop(&tail)))
		replica_extend(r, w);
	r->written_seq = r->durable_seq = r->last_seq;
	r->stored_epoch = recovery->stored_epoch;
	r->epoch = max_u64(r->stored_epoch, r->last_epoch);
	r->log_bytes = recovery->log_bytes;
	r->restarted = true;
}

bool replica_quiet(const struct replica *r)
{
	return !r->queue.first && !r->flight.first && !r->applying.first && !r->answering.first &&
	       !r->resolving && !r->disk_busy && !r->reply.set && !r->parked.set;
}

/* ---- from the queue into the log ---- */

static bool in_list(const struct write_list *l, const struct replica_write *w)
{
	for (const struct replica_write *x = l->first; x; x = x->next)
		if (x->batch_hi == w->batch_hi && x->batch_lo == w->batch_lo)
			return true;
	return false;
}

/* Is a copy of this batch on its way? */
static bool batch_under_way(const struct replica *r, const struct replica_write *w)
{
	if ((w->batch_hi == 0 && w->batch_lo == 0) || MUTANT(batch_under_way_ignored))
		return false;
	return in_list(&r->flight, w) || in_list(&r->applying, w);
}

static const struct batch *batch_known(const struct replica *r, const struct replica_write *w)
{
	if ((w->batch_hi == 0 && w->batch_lo == 0) || MUTANT(batch_known_ignored))
		return NULL;
	return batches_find(&r->batches, w->batch_hi, w->batch_lo);
}

/* Among those that wait for the other replicas, in the order of seq. */
static void await_others(struct replica *r, struct replica_write *w)
{
	struct replica_write **at = &r->answering.first;

	if (!r->answering.last || r->answering.last->seq <= w->seq) {
		write_list_push(&r->answering, w);
		return;
	}
	while ((*at)->seq <= w->seq)
		at = &(*at)->next;
	w->next = *at;
	*at = w;
}

static void number(struct replica *r, struct replica_update *u, struct replica_write *w)
{
	w->seq = r->last_seq + 1;
	w->prev_epoch = r->last_epoch;
	w->epoch = r->epoch;
	replica_extend(r, w);
	if (!u->append.first)
		u->append.first = w;
	u->append.last = w;
}

/* Takes the head of the queue as far as it may go. False: it has to wait. */
static bool take_head(struct replica *r, struct replica_update *u, uint64_t *bytes)
{
	struct replica_write *w = r->queue.first;
	const struct batch *known = batch_known(r, w);

	if (known) {
		write_list_pop(&r->queue);
		w->seq = known->seq;
		w->changed = known->changed;
		if (MUTANT(retry_answered_at_once))
			finish(u, w, 0);
		else
			await_others(r, w);
		return true;
	}
	if (batch_under_way(r, w))
		return false;
	if (w->needs_state && !w->resolved) {
		if (r->applied_seq != r->last_seq)
			return false;
		r->resolving = write_list_pop(&r->queue);
		u->resolve = r->resolving;
		return false;
	}
	if (*bytes > 0 && *bytes + w->bytes > r->limits.append_bytes)
		return false;
	*bytes += w->bytes;
	write_list_pop(&r->queue);
	number(r, u, w);
	return true;
}

/* The next group, once the one before it is committed: so those in flight are exactly one append, or the tail of
 * which a new primary must first know that everybody has it. */
static void pump(struct replica *r, struct replica_update *u)
{
	uint64_t bytes = 0, prev = r->last_seq;

	if (!replica_active(r) || r->disk_busy || r->resolving || r->flight.first || r->closed)
		return;
	while (r->queue.first && take_head(r, u, &bytes))
		;
	if (!u->append.first)
		return;
	replica_begin_job(r, u);
	r->disk_appends = true;
	r->disk_prev_seq = prev;
	r->log_bytes += bytes;
}

static void on_write(struct replica *r, struct replica_write *w, struct replica_update *u)
{
	w->client = true;
	if (r->closed)
		finish(u, w, ERR_CLOSED);
	else if (r->config.epoch == 0 || r->config.primary != r->self)
		finish(u, w, ERR_STALE);
	else
		write_list_push(&r->queue, w);
}

/* "There is no such point" is an answer that only the present primary may give. */
static bool may_say_nothing(const struct replica *r)
{
	return replica_serves_until(r) > r->now_us || MUTANT(nothing_without_lease);
}

static void on_resolved(struct replica *r, const struct replica_event *e, struct replica_update *u)
{
	struct replica_write *w = e->write;

	assert(w == r->resolving);
	assert(r->applied_seq == r->last_seq);
	r->resolving = NULL;
	if (e->rc < 0) {
		finish(u, w, e->rc);
	} else if (w->bytes == 0) {
		w->seq = r->applied_seq;
		finish(u, w, may_say_nothing(r) ? 0 : ERR_STALE);
	} else {
		/* Back to the head: nothing may come between it and the state it was resolved
		 * against. */
		w->resolved = true;
		w->next = r->queue.first;
		r->queue.first = w;
		if (!r->queue.last)
			r->queue.last = w;
	}
}

/* ---- the own disk ---- */

static void job_back(struct replica *r)
{
	assert(r->disk_busy);
	r->disk_busy = r->disk_appends = false;
	r->stored_epoch = max_u64(r->stored_epoch, r->disk_epoch);
}

static void on_durable(struct replica *r, const struct replica_event *e, struct replica_update *u)
{
	assert(e->seq == r->last_seq);
	job_back(r);
	r->written_seq = r->durable_seq = e->seq;
	replica_unpark(r, u);
}

/* The log is as it was before the append: its numbers are free again. */
static void on_append_failed(struct replica *r, const struct replica_event *e,
			     struct replica_update *u)
{
	assert(r->disk_appends && e->rc < 0 && r->written_seq <= r->disk_prev_seq);
	job_back(r);
	replica_cut(r, u, r->disk_prev_seq, e->rc);
	r->written_seq = r->durable_seq = r->last_seq;
	if (r->reply.set)
		r->reply.status = APPEND_FULL;
	replica_unpark(r, u);
}

/* ---- commit, apply, answer ---- */

/* Committed writes go to the runtime, unless it is still busy with the last lot. */
static void give_out(struct replica *r, struct replica_update *u)
{
	uint64_t upto = min_u64(r->commit_seq, r->durable_seq);

	if (r->applying.first)
		return;
	while (r->flight.first && r->flight.first->seq <= upto)
		write_list_push(&u->apply, write_list_pop(&r->flight));
	r->applying = u->apply;
}

static void decide_seal(struct replica *r, const struct replica_event *e, struct replica_update *u)
{
	const struct replica_limits *l = &r->limits;
	bool idle = e->now_us >= r->changed_us + l->seal_idle_us;
	bool full = e->mutable_rows >= l->seal_rows || e->mutable_bytes >= l->seal_bytes ||
		    r->log_bytes >= l->seal_log_bytes;
	bool worth = e->mutable_rows >= l->seal_min_rows || e->killed_rows >= l->seal_min_rows;

	if (!e->may_seal || r->applied_seq == 0 || !(full || (idle && worth)))
		return;
	u->seal = true;
	r->log_bytes = 0;
}

static void on_applied(struct replica *r, const struct replica_event *e, struct replica_update *u)
{
	struct replica_write *w;

	while ((w = write_list_pop(&r->applying))) {
		assert(w->seq == r->applied_seq + 1);
		r->applied_seq = w->seq;
		if (w->batch_hi || w->batch_lo)
			batches_add(&r->batches, &(struct batch){w->batch_hi, w->batch_lo, w->seq,
								 w->changed, e->wall_us});
		if (w->client)
			await_others(r, w);
		else
			write_list_push(&u->release, w);
	}
	assert(r->applied_seq == e->seq && r->applied_seq <= r->commit_seq);
	r->changed_us = e->now_us;
	decide_seal(r, e, u);
}

static void answer_applied(struct replica *r, struct replica_update *u)
{
	uint64_t upto;

	if (!r->answering.first || r->now_us < r->hold_us || !replica_active(r))
		return;
	upto = replica_applied_everywhere(r);
	while (r->answering.first && r->answering.first->seq <= upto)
		finish(u, write_list_pop(&r->answering), 0);
}

static bool is_late(const struct replica *r, const struct replica_write *w)
{
	return w->client && w->deadline_us != 0 && r->now_us >= w->deadline_us;
}

static void answer_late(struct replica *r, const struct write_list *l, struct replica_update *u)
{
	for (struct replica_write *w = l->first; w; w = w->next)
		if (is_late(r, w))
			replica_answer(u, w, ERR_TIMEOUT);
}

/* A primary that is cut off can neither commit nor shrink its set, and does not know for how long. What has a number
 * stays and may be committed yet; what waits for one is dropped. */
static void give_up_late(struct replica *r, struct replica_update *u)
{
	struct write_list waiting = r->queue;
	struct replica_write *w;

	answer_late(r, &r->flight, u);
	answer_late(r, &r->applying, u);
	answer_late(r, &r->answering, u);
	r->queue = (struct write_list){0};
	while ((w = write_list_pop(&waiting)))
		if (is_late(r, w))
			finish(u, w, ERR_TIMEOUT);
		else
			write_list_push(&r->queue, w);
}

/* ---- closing ---- */

static void on_close(struct replica *r, struct replica_update *u)
{
	r->closed = true;
	replica_finish_all(u, &r->queue, ERR_CLOSED);
	replica_refuse_pending(r, u, ERR_CLOSED);
}

/* What the disk was still busy with when this replica was closed may have become committed with it. */
static void drop_rest(struct replica *r, struct replica_update *u)
{
	if (!r->closed || r->disk_busy || r->applying.first)
		return;
	replica_finish_all(u, &r->flight, ERR_CLOSED);
	replica_finish_all(u, &r->answering, ERR_CLOSED);
}

/* ---- the step ---- */

static void on_tick(struct replica *r, const struct replica_event *e, struct replica_update *u)
{
	if (r->tick_us && e->now_us - r->tick_us > STALL_US)
		replica_stood_still(r, e->now_us - r->tick_us);
	r->tick_us = e->now_us;
	batches_expire(&r->batches, e->wall_us);
	give_up_late(r, u);
	decide_seal(r, e, u);
}

static void advance(struct replica *r, struct replica_update *u)
{
	/* As primary it does nothing in an epoch that it might forget: after a restart an append of an earlier one
	 * would find it willing, or it would not know what it may have proposed. */
	if (replica_leads(r) && r->stored_epoch < r->epoch && !r->disk_busy && !r->closed)
		replica_begin_job(r, u);
	replica_commit(r);
	give_out(r, u);
	pump(r, u);
	replica_look_caught_up(r);
	answer_applied(r, u);
	drop_rest(r, u);
	replica_reply(r, u);
	if (r->closed)
		return;
	replica_propose(r, u);
	replica_send(r, u);
}

void replica_step(struct replica *r, const struct replica_event *event,
		  struct replica_update *update)
{
	*update = (struct replica_update){0};
	update->answer_end = &update->answer;
	r->now_us = event->now_us;
	if (r->opened_us == 0) {
		r->opened_us = event->now_us;
		/* Before the start it may have answered an append just now. */
		r->promised_us = r->stored_epoch ? event->now_us : 0;
	}
	switch (event->type) {
	case EVENT_WRITE: on_write(r, event->write, update); break;
	case EVENT_RESOLVED: on_resolved(r, event, update); break;
	case EVENT_WRITTEN: r->written_seq = event->seq; break;
	case EVENT_DURABLE: on_durable(r, event, update); break;
	case EVENT_APPEND_FAILED: on_append_failed(r, event, update); break;
	case EVENT_APPLIED: on_applied(r, event, update); break;
	case EVENT_TICK: on_tick(r, event, update); break;
	case EVENT_CLOSE: on_close(r, update); break;
	case EVENT_CONFIG: replica_on_config(r, event->config, update); break;
	case EVENT_APPEND: replica_on_append(r, event, update); break;
	case EVENT_APPEND_ANSWER: replica_on_append_answer(r, event); break;
	case EVENT_CONTACT: r->contact_us = max_u64(r->contact_us, event->at_us); break;
	case EVENT_PROPOSED:
		r->proposing = false;
		r->proposed_us = event->now_us;
		break;
	case EVENT_DIVERGED: r->diverged = true; break;
	case EVENT_SEED_FAILED: r->seeding = false; break;
	}
	advance(r, update);
}
