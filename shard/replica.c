/* One function a transition; see the header for the drawing. */
#include "shard/replica.h"
#include "base/assert.h"
#include "base/error.h"

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

void replica_init(struct replica *r, uint64_t self_node, uint64_t epoch,
		  const struct replica_limits *limits)
{
	*r = (struct replica){.limits = *limits, .self_node = self_node, .epoch = epoch};
	r->members[0].node = self_node;
	r->n_members = 1;
}

void replica_fini(struct replica *r)
{
	batches_fini(&r->batches);
}

void replica_recovered(struct replica *r, uint64_t seq, uint64_t epoch, uint64_t log_bytes)
{
	assert(replica_quiet(r));
	r->last_seq = r->commit_seq = r->applied_seq = seq;
	r->last_epoch = epoch;
	r->members[0].durable_seq = seq;
	r->log_bytes = log_bytes;
}

bool replica_quiet(const struct replica *r)
{
	return !r->queue.first && !r->flight.first && !r->applying.first && !r->resolving;
}

static void answer(struct replica_update *u, struct replica_write *w, int rc)
{
	w->rc = rc;
	write_list_push(&u->answer, w);
}

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
	if (w->batch_hi == 0 && w->batch_lo == 0)
		return false;
	return in_list(&r->flight, w) || in_list(&r->applying, w);
}

static const struct batch *batch_known(const struct replica *r, const struct replica_write *w)
{
	if (w->batch_hi == 0 && w->batch_lo == 0)
		return NULL;
	return batches_find(&r->batches, w->batch_hi, w->batch_lo);
}

static void number(struct replica *r, struct replica_write *w)
{
	w->seq = ++r->last_seq;
	w->prev_epoch = r->last_epoch;
	w->epoch = r->last_epoch = r->epoch;
	write_list_push(&r->flight, w);
}

/* Takes the head of the queue as far as it may go. False: it has to wait. */
static bool take_head(struct replica *r, struct replica_update *u, uint64_t *bytes)
{
	struct replica_write *w = r->queue.first;
	const struct batch *known = batch_known(r, w);
	bool all_applied = r->applied_seq == r->last_seq;

	if (known) {
		write_list_pop(&r->queue);
		w->seq = known->seq;
		w->changed = known->changed;
		answer(u, w, 0);
		return true;
	}
	if (batch_under_way(r, w))
		return false;
	if (w->needs_state && !w->resolved) {
		if (!all_applied)
			return false;
		r->resolving = write_list_pop(&r->queue);
		u->resolve = r->resolving;
		return false;
	}
	if (*bytes > 0 && *bytes + w->bytes > r->limits.append_bytes)
		return false;
	*bytes += w->bytes;
	write_list_pop(&r->queue);
	number(r, w);
	return true;
}

/* The writes of one append are exactly those in flight: another one is not begun before they are
 * durable here. */
static void pump(struct replica *r, struct replica_update *u)
{
	uint64_t bytes = 0;

	if (r->appending || r->resolving || r->flight.first)
		return;
	while (r->queue.first && take_head(r, u, &bytes))
		;
	if (!r->flight.first)
		return;
	u->append = r->flight;
	r->appending = true;
	r->log_bytes += bytes;
}

static void on_write(struct replica *r, const struct replica_event *e, struct replica_update *u)
{
	if (r->closed) {
		answer(u, e->write, ERR_CLOSED);
		return;
	}
	write_list_push(&r->queue, e->write);
	pump(r, u);
}

static void on_resolved(struct replica *r, const struct replica_event *e, struct replica_update *u)
{
	struct replica_write *w = e->write;

	assert(w == r->resolving);
	assert(r->applied_seq == r->last_seq);
	r->resolving = NULL;
	if (e->rc < 0 || w->bytes == 0) {
		w->seq = r->applied_seq;
		answer(u, w, e->rc);
	} else {
		/* Back to the head: nothing may come between it and the state it was resolved
		 * against. */
		w->resolved = true;
		w->next = r->queue.first;
		r->queue.first = w;
		if (!r->queue.last)
			r->queue.last = w;
	}
	pump(r, u);
}

static uint64_t durable_everywhere(const struct replica *r)
{
	uint64_t seq = UINT64_MAX;

	for (uint32_t i = 0; i < r->n_members; i++)
		if (r->members[i].durable_seq < seq)
			seq = r->members[i].durable_seq;
	return seq;
}

/* Committed writes go to the runtime, unless it is still busy with the last lot: then on_applied
 * comes back here. */
static void give_out(struct replica *r, struct replica_update *u)
{
	if (r->applying.first)
		return;
	while (r->flight.first && r->flight.first->seq <= r->commit_seq)
		write_list_push(&u->apply, write_list_pop(&r->flight));
	r->applying = u->apply;
}

static void on_durable(struct replica *r, const struct replica_event *e, struct replica_update *u)
{
	for (uint32_t i = 0; i < r->n_members; i++) {
		struct replica_member *m = &r->members[i];

		if (m->node != e->node)
			continue;
		assert(e->seq >= m->durable_seq && e->seq <= r->last_seq);
		m->durable_seq = e->seq;
	}
	if (e->node == r->self_node)
		r->appending = false;
	if (durable_everywhere(r) > r->commit_seq)
		r->commit_seq = durable_everywhere(r);
	assert(r->commit_seq <= r->last_seq);
	give_out(r, u);
	pump(r, u);
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
		answer(u, w, 0);
	}
	assert(r->applied_seq == e->seq && r->applied_seq <= r->commit_seq);
	r->changed_us = e->now_us;
	decide_seal(r, e, u);
	give_out(r, u);
	pump(r, u);
}

/* The log is as it was before the append: its numbers are free again. */
static void on_append_failed(struct replica *r, const struct replica_event *e,
			     struct replica_update *u)
{
	struct replica_write *w;

	assert(r->appending && e->rc < 0);
	r->appending = false;
	while ((w = write_list_pop(&r->flight))) {
		if (w->seq <= r->last_seq) {
			r->last_seq = w->seq - 1;
			r->last_epoch = w->prev_epoch;
		}
		w->seq = 0;
		answer(u, w, e->rc);
	}
	assert(r->last_seq >= r->commit_seq);
	pump(r, u);
}

static void on_close(struct replica *r, struct replica_update *u)
{
	struct replica_write *w;

	r->closed = true;
	while ((w = write_list_pop(&r->queue)))
		answer(u, w, ERR_CLOSED);
}

void replica_step(struct replica *r, const struct replica_event *event,
		  struct replica_update *update)
{
	*update = (struct replica_update){0};
	switch (event->type) {
	case EVENT_WRITE: on_write(r, event, update); break;
	case EVENT_RESOLVED: on_resolved(r, event, update); break;
	case EVENT_DURABLE: on_durable(r, event, update); break;
	case EVENT_APPEND_FAILED: on_append_failed(r, event, update); break;
	case EVENT_APPLIED: on_applied(r, event, update); break;
	case EVENT_TICK:
		batches_expire(&r->batches, event->wall_us);
		decide_seal(r, event, update);
		break;
	case EVENT_CLOSE: on_close(r, update); break;
	}
}
