/* A hosted replica on the loop thread: feeds the replica machine and executes its updates. */
#include "shard/host.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "shard/seed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- executing updates ---- */

static void apply(struct hosted *h, const struct write_list *list)
{
	for (struct replica_write *w = list->first; w; w = w->next) {
		struct write_item *item = item_of(w);

		w->changed = state_apply(&h->state, w->seq, w->epoch, item_op(item));
		h->hint_bytes += item->bytes.len;
		digest_check(h);
	}
	hosted_publish(h);
}

static void answer_all(struct hosted *h, struct replica_write *first)
{
	struct replica_write *next;

	for (struct replica_write *w = first; w; w = next) {
		struct write_item *item = item_of(w);

		next = w->next_answer;
		if (w->rc < 0 && item->call && item->call->err.text[0] == '\0' &&
		    h->append_error.code == w->rc)
			item->call->err = h->append_error;
		if (w->rc == ERR_TIMEOUT && item->call)
			error_set(
				&item->call->err, ERR_TIMEOUT,
				"the outcome is unknown: shard %u could not make the write durable on all of its "
				"replicas in time, it may be carried out yet; send it again with the same batch "
				"id, or read to see",
				h->partition);
		item_finish(item, w->rc);
	}
}

static void release_all(struct hosted *h, struct write_list *list)
{
	struct replica_write *w;

	while ((w = write_list_pop(list)))
		item_free(h, item_of(w));
}

static void fill_event(struct hosted *h, struct replica_event *e)
{
	const struct rows *rows = state_mutable(&h->state)->rows;
	const struct clock *clock = h->shard->options.clock;

	e->now_us = clock->monotonic_us(clock->ctx);
	e->wall_us = clock->wall_us(clock->ctx);
	e->mutable_rows = rows->n;
	e->mutable_bytes = rows->bytes;
	e->killed_rows = h->state.killed_rows;
	e->may_seal = h->n_frozen < FROZEN_MAX && !h->closing;
}

static void execute_outside(struct hosted *h, const struct replica_update *u)
{
	if (u->disk_job)
		disk_start(h, u);
	for (uint32_t i = 0; i < u->n_send; i++)
		send_start(h, &u->send[i]);
	for (uint32_t i = 0; i < u->n_reply; i++)
		append_reply(h, &u->reply[i]);
	if (u->propose)
		propose_start(h, u);
	if (u->seed)
		seeds_want(h, u->seed_from);
}

/* Executes one update; true: *e is the event that follows from it. */
static bool execute(struct hosted *h, struct replica_update *u, struct replica_event *e)
{
	bool more = false;

	execute_outside(h, u);
	if (u->seal)
		hosted_freeze(h);
	if (u->apply.first) {
		uint64_t last = u->apply.last->seq;

		apply(h, &u->apply);
		*e = (struct replica_event){.type = EVENT_APPLIED, .seq = last};
		more = true;
	}
	if (u->resolve) {
		assert(!more);
		*e = (struct replica_event){.type = EVENT_RESOLVED,
					    .write = u->resolve,
					    .rc = hosted_resolve(h, u->resolve)};
		more = true;
	}
	answer_all(h, u->answer);
	release_all(h, &u->release);
	return more;
}

void hosted_event(struct hosted *h, struct replica_event *event)
{
	struct replica_event e = *event;
	struct replica_update u;
	bool more;

	assert(!h->stepping);
	h->stepping = true;
	do {
		fill_event(h, &e);
		replica_step(&h->machine, &e, &u);
		more = execute(h, &u, &e);
	} while (more);
	h->stepping = false;
	__atomic_store_n(&h->serve_until_us, replica_serves_until(&h->machine), __ATOMIC_RELEASE);
	digest_tell(h);
}

/* ---- views ---- */

static void fill_status(struct hosted *h, struct host_status *st)
{
	st->applied_seq = h->state.now.seq;
	st->commit_seq = h->told_seq > h->machine.commit_seq ? h->told_seq : h->machine.commit_seq;
	st->last_seq = h->machine.last_seq;
	st->last_epoch = h->machine.last_epoch;
	st->epoch = h->epoch;
	st->role = replica_role(&h->machine);
	st->diverged = h->machine.diverged;
	st->digest = h->state.digest;
	st->log_bytes = h->log_bytes;
	st->disk_bytes = h->log_bytes;
	/* Points in memory that will be sealed and indexed when writes pause count as work to come. */
	st->indexing = h->pending || h->working || h->n_frozen > 0 ||
		       state_mutable(&h->state)->rows->n >= h->machine.limits.seal_min_rows;
	for (uint32_t i = 0; i < h->base.n; i++)
		st->disk_bytes += segment_disk_bytes(h->base.entries[i].seg->sealed);
	for (uint32_t i = 0; i < h->n_lost; i++) {
		size_t end = strlen(st->warning);

		st->quarantined = true;
		snprintf(st->warning + end, sizeof st->warning - end,
			 "%sSegment %llu of shard %u is corrupt and not searched (%u rows).",
			 end ? " " : "", (unsigned long long)h->lost[i].id, h->partition,
			 h->lost[i].n_rows);
	}
	size_t at = strlen(st->warning);
	if (h->last_failure[0])
		snprintf(st->warning + at, sizeof st->warning - at, "%s%s", at ? " " : "",
			 h->last_failure);
}

/* Rows in memory: the mutable segment and those that wait to be sealed. */
static void account_rows(struct hosted *h)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < h->state.now.n; i++)
		if (h->state.now.entries[i].seg->rows)
			bytes += h->state.now.entries[i].seg->rows->bytes;
	__atomic_fetch_add(&h->shard->rows_bytes, bytes - h->rows_bytes, __ATOMIC_RELAXED);
	h->rows_bytes = bytes;
}

void hosted_publish(struct hosted *h)
{
	struct host_status st = {0};
	struct view *v, *old;

	account_rows(h);
	fill_status(h, &st);
	v = view_new(h->state.schema, &h->state.now, st.quarantined);
	pthread_mutex_lock(&h->view_lock);
	old = h->view;
	h->view = v;
	h->status = st;
	pthread_mutex_unlock(&h->view_lock);
	view_unref(old);
}

/* ---- freezing ---- */

void hosted_freeze(struct hosted *h)
{
	struct frozen *f = mem_zalloc(sizeof *f);
	struct snap_entry *last = &h->state.now.entries[h->state.now.n - 1];
	struct seg *rows = last->seg;
	struct frozen **at = &h->frozen;

	rows->n_rows = rows->rows->n;
	snap_copy(&f->snap, &h->state.now);
	if (last->live->n_live == 0) {
		/* Nothing to seal but the deaths of other rows; the rows here, all dead, are
		 * forgotten. */
		snap_remove(&f->snap, f->snap.n - 1);
		if (rows->rows->n > 0) {
			snap_remove(&h->state.now, h->state.now.n - 1);
			state_open_rows(&h->state);
		}
	} else {
		f->seg = seg_ref(rows);
		state_open_rows(&h->state);
	}
	h->state.killed_rows = 0;
	extra_encode(&f->snap.extra, h);
	hint_start(h);
	while (*at)
		at = &(*at)->next;
	*at = f;
	h->n_frozen++;
	seal_start(h);
}

/* ---- life ---- */

/* Is there background work left? Looked at when that may have changed, not with every write. */
void hosted_look(struct hosted *h)
{
	h->pending = work_pending(h);
	hosted_publish(h);
}

/* A copy that lacks segments is made anew, from one that has them. */
static void give_up_damaged(struct hosted *h)
{
	if (h->n_lost == 0 || h->diverged || !h->copies ||
	    replica_role(&h->machine) == REPLICA_PRIMARY)
		return;
	h->diverged = true;
	log_error("shard",
		  "%s: %u segments are damaged: this copy answers no more and is made anew",
		  h->folder, h->n_lost);
}

void hosted_tick(struct hosted *h)
{
	if (h->closing)
		return;
	give_up_damaged(h);
	hosted_event(h, &(struct replica_event){.type = EVENT_TICK});
	disk_tick(h);
	if (h->status.last_seq != h->machine.last_seq ||
	    h->status.role != replica_role(&h->machine))
		hosted_publish(h);
	hosted_unpark(h);
	if (now_us(h->shard) < h->retry_us)
		return;
	seal_start(h);
	manifest_start(h);
	work_start(h);
	if (h->pending != work_pending(h))
		hosted_look(h);
}

/* A log that could not be cut is left as it is. */
static bool has_ended(const struct hosted *h)
{
	return h->closing && h->closed && h->tasks == 0 && (replica_quiet(&h->machine) || h->stuck);
}

static void check_closed(struct hosted *h)
{
	sem_t *closed = h->closed;

	if (!has_ended(h))
		return;
	appends_close(h);
	for (struct hosted **at = &h->shard->hosted; *at; at = &(*at)->next)
		if (*at == h) {
			*at = h->next;
			break;
		}
	h->closed = NULL;
	sem_post(closed);
}

void hosted_task_back(struct hosted *h)
{
	assert(h->tasks > 0);
	h->tasks--;
	check_closed(h);
}

void hosted_close(struct hosted *h, sem_t *closed)
{
	h->closed = closed;
	h->closing = true;
	hosted_unpark(h);
	__atomic_store_n(&h->cancel, true, __ATOMIC_RELAXED);
	hosted_event(h, &(struct replica_event){.type = EVENT_CLOSE});
	sends_cancel(h);
	hint_start(h);
	check_closed(h);
}

void hosted_config(struct hosted *h, const struct shard_assignment *a)
{
	const struct map_partition *c = &a->config;

	__atomic_store_n(&h->epoch, c->epoch, __ATOMIC_RELAXED);
	h->config = *c;
	h->copies = c->n_in_sync + c->n_learners > 1;
	peers_set(h, c);
	if (a->collection->revision != h->state.schema->revision)
		state_set_schema(&h->state, a->collection);
	hosted_event(h, &(struct replica_event){.type = EVENT_CONFIG, .config = c});
	work_start(h);
	hosted_look(h);
}
