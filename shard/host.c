/* A hosted replica on the loop thread: feeds the replica machine and executes its updates. */
#include "shard/host.h"
#include "base/assert.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FROZEN_MAX = 4 };
#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct write_item { /* one write call on its way */
	struct task task;
	struct replica_write w;
	struct rpc_call *call;
	const struct write *write;
	const struct op *op; /* what will be applied; the call's own or `resolved` */
	struct op resolved;
	struct arena *arena;
	struct buf bytes; /* the encoded op */
	uint64_t charged_bytes;
};

struct append_task {
	struct task task;
	size_t n;
	uint64_t last_seq;
	uint64_t log_bytes;
};

static struct write_item *item_of(struct replica_write *w)
{
	return CONTAINER(w, struct write_item, w);
}

/* ---- a write comes in (any thread) ---- */

static void finish_item(struct write_item *item, int rc)
{
	struct rpc_call *call = item->call;
	struct hosted *h = item->task.h;
	struct rpc_write_response *response = call->response;

	response->seq = item->w.seq;
	response->changed = item->w.changed;
	__atomic_fetch_sub(&item->task.shard->pending_bytes, item->charged_bytes, __ATOMIC_RELAXED);
	count(item->task.shard, rc ? COUNT_REFUSED : COUNT_WRITES, 1);
	arena_free(item->arena);
	buf_fini(&item->bytes);
	free(item);
	hosted_unref(h);
	rpc_finish(call, rc);
}

static bool too_far_behind(const struct hosted *h)
{
	const struct rows *rows = state_mutable(&h->state)->rows;
	const struct replica_limits *l = &h->machine.limits;

	return h->n_frozen >= FROZEN_MAX &&
	       (rows->n >= 2 * l->seal_rows || rows->bytes >= 2 * l->seal_bytes);
}

/* Deletes are let in: they need little, and may be what helps. */
static bool no_memory(const struct hosted *h, struct error *err)
{
	struct shard *s = h->shard;
	uint64_t rows = __atomic_load_n(&s->rows_bytes, __ATOMIC_RELAXED);
	uint64_t jobs = __atomic_load_n(&s->reserved_bytes, __ATOMIC_RELAXED);

	if (rows + jobs <= memory_limit(s))
		return false;
	error_set(err, ERR_BUSY,
		  "%llu bytes of unsealed rows and %llu bytes of background jobs are over the limit "
		  "of %llu bytes: try again later",
		  (unsigned long long)rows, (unsigned long long)jobs,
		  (unsigned long long)memory_limit(s));
	return true;
}

/* While sealing is behind, writes wait; how many may wait is bounded by pending_write_bytes. They are refused
 * when sealing does not get on at all. */
static void park(struct hosted *h, struct write_item *item)
{
	if (h->last_failure[0] == '\0') {
		write_list_push(&h->parked, &item->w);
		return;
	}
	finish_item(item,
		    error_set(&item->call->err,
			      h->last_failure_code == ERR_DISK_FULL ? ERR_DISK_FULL : ERR_BUSY,
			      "%u segments wait to be sealed: %s", h->n_frozen, h->last_failure));
}

/* On the loop thread. */
static void write_arrived(struct task *t)
{
	struct write_item *item = CONTAINER(t, struct write_item, task);
	struct hosted *h = t->h;

	if (h->closing) {
		finish_item(item,
			    error_set(&item->call->err, ERR_CLOSED, "this shard is being closed"));
		return;
	}
	if (h->parked.first || too_far_behind(h)) {
		park(h, item);
		return;
	}
	if (item->op->type != OP_DELETE && no_memory(h, &item->call->err)) {
		finish_item(item, ERR_BUSY);
		return;
	}
	hosted_event(h, &(struct replica_event){.type = EVENT_WRITE, .write = &item->w});
}

static int check_write(struct hosted *h, const struct rpc_write_request *request, struct error *err)
{
	uint64_t epoch = __atomic_load_n(&h->epoch, __ATOMIC_RELAXED);

	if (h->failed.code)
		return error_set(err, ERR_UNAVAILABLE, "shard %u could not be opened: %s",
				 h->partition, h->failed.text);
	if (request->target.epoch && request->target.epoch != epoch)
		return error_set(err, ERR_STALE, "shard %u is at epoch %llu, the request at %llu",
				 h->partition, (unsigned long long)epoch,
				 (unsigned long long)request->target.epoch);
	pthread_mutex_lock(&h->view_lock);
	int rc = state_check_op(h->view->schema, &request->write->op, err);
	pthread_mutex_unlock(&h->view_lock);
	return rc;
}

static int charge(struct shard *s, uint64_t bytes, struct error *err)
{
	uint64_t before = __atomic_fetch_add(&s->pending_bytes, bytes, __ATOMIC_RELAXED);

	/* One write alone is always let in, however large. */
	if (before == 0 || before + bytes <= s->options.pending_write_bytes)
		return 0;
	__atomic_fetch_sub(&s->pending_bytes, bytes, __ATOMIC_RELAXED);
	return error_set(err, ERR_BUSY,
			 "%llu bytes of writes are in flight, the limit is %u: try again later",
			 (unsigned long long)before, s->options.pending_write_bytes);
}

void hosted_write(struct shard *s, struct rpc_call *call)
{
	const struct rpc_write_request *request = call->request;
	struct hosted *h = table_find(s, request->target.collection_id, request->target.partition);
	struct write_item *item;
	int rc;

	if (!h) {
		rpc_finish(call, error_set(&call->err, ERR_STALE, "shard %u is not on this node",
					   request->target.partition));
		return;
	}
	rc = check_write(h, request, &call->err);
	if (rc) {
		hosted_unref(h);
		rpc_finish(call, rc);
		return;
	}
	item = mem_zalloc(sizeof *item);
	item->task = (struct task){.done = write_arrived, .shard = s, .h = h};
	item->call = call;
	item->write = request->write;
	item->op = &request->write->op;
	item->w.batch_hi = item->op->batch_hi;
	item->w.batch_lo = item->op->batch_lo;
	item->w.needs_state = write_needs_state(request->write);
	op_encode(&item->bytes, item->op);
	item->w.bytes = item->bytes.len;
	rc = charge(s, item->bytes.len, &call->err);
	if (rc) {
		finish_item(item, rc);
		return;
	}
	item->charged_bytes = item->bytes.len;
	task_to_loop(&item->task);
}

/* Lets writes in again, or refuses them, as far as they may. */
void hosted_unpark(struct hosted *h)
{
	struct write_list all = h->parked;
	struct replica_write *w;

	h->parked = (struct write_list){0};
	while ((w = write_list_pop(&all)))
		write_arrived(&item_of(w)->task);
}

/* ---- executing updates ---- */

static void append_done(struct task *t)
{
	struct append_task *a = CONTAINER(t, struct append_task, task);
	struct hosted *h = t->h;
	struct replica_event e = {.type = EVENT_DURABLE,
				  .node = t->shard->options.self_node,
				  .seq = a->last_seq,
				  .rc = t->rc};

	if (t->rc < 0) {
		e.type = EVENT_APPEND_FAILED;
		h->append_error = t->err;
	}
	h->log_bytes = a->log_bytes;
	count(t->shard, COUNT_APPENDS, 1);
	free(a);
	hosted_event(h, &e);
	hosted_task_back(h);
}

static void append_run(struct task *t)
{
	struct append_task *a = CONTAINER(t, struct append_task, task);
	struct hosted *h = t->h;

	t->rc = wal_append(h->wal, h->records, a->n, &t->err);
	if (t->rc == 0)
		wal_sync(h->wal);
	a->log_bytes = wal_bytes(h->wal);
}

static void append(struct hosted *h, const struct write_list *list)
{
	struct append_task *a = mem_zalloc(sizeof *a);

	for (struct replica_write *w = list->first; w; w = w->next) {
		struct write_item *item = item_of(w);

		if (a->n == h->records_cap) {
			h->records_cap = h->records_cap ? h->records_cap * 2 : 64;
			h->records = mem_resize(h->records, h->records_cap * sizeof *h->records);
		}
		h->records[a->n++] = (struct wal_record){
			.seq = w->seq,
			.epoch = w->epoch,
			.prev_epoch = w->prev_epoch,
			.bytes = item->bytes.data,
			.n = (uint32_t)item->bytes.len,
		};
		a->last_seq = w->seq;
	}
	a->task = (struct task){.run = append_run, .done = append_done, .shard = h->shard, .h = h};
	task_to_worker(h->disk, &a->task);
}

static void apply(struct hosted *h, const struct write_list *list)
{
	for (struct replica_write *w = list->first; w; w = w->next)
		w->changed = state_apply(&h->state, w->seq, w->epoch, item_of(w)->op);
	hosted_publish(h);
}

static int resolve(struct hosted *h, struct replica_write *w)
{
	struct write_item *item = item_of(w);
	int rc;

	/* Everything before it is applied, and what is applied is published: the view is the
	 * present. */
	item->arena = arena_new(4096);
	rc = resolve_write(h->view, item->write, item->arena, &item->resolved, &item->call->err);
	buf_clear(&item->bytes);
	w->bytes = 0;
	if (rc || item->resolved.n_points + item->resolved.n_ids == 0)
		return rc;
	item->op = &item->resolved;
	op_encode(&item->bytes, item->op);
	w->bytes = item->bytes.len;
	return 0;
}

static void answer_all(struct hosted *h, struct write_list *list)
{
	struct replica_write *w;

	while ((w = write_list_pop(list))) {
		struct write_item *item = item_of(w);

		if (w->rc < 0 && item->call->err.text[0] == '\0' && h->append_error.code == w->rc)
			item->call->err = h->append_error;
		finish_item(item, w->rc);
	}
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

/* Executes one update; true: *e is the event that follows from it. */
static bool execute(struct hosted *h, struct replica_update *u, struct replica_event *e)
{
	bool more = false;

	if (u->append.first)
		append(h, &u->append);
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
					    .rc = resolve(h, u->resolve)};
		more = true;
	}
	answer_all(h, &u->answer);
	return more;
}

void hosted_event(struct hosted *h, struct replica_event *event)
{
	struct replica_event e = *event;
	struct replica_update u;

	do {
		fill_event(h, &e);
		replica_step(&h->machine, &e, &u);
	} while (execute(h, &u, &e));
}

/* ---- views ---- */

static void fill_status(struct hosted *h, struct host_status *st)
{
	st->applied_seq = h->state.now.seq;
	st->last_seq = h->machine.last_seq;
	st->epoch = h->epoch;
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

void hosted_tick(struct hosted *h)
{
	if (h->closing)
		return;
	hosted_event(h, &(struct replica_event){.type = EVENT_TICK});
	hosted_unpark(h);
	if (now_us(h->shard) < h->retry_us)
		return;
	seal_start(h);
	manifest_start(h);
	work_start(h);
	if (h->pending != work_pending(h))
		hosted_look(h);
}

static void check_closed(struct hosted *h)
{
	if (!h->closing || h->tasks > 0 || !replica_quiet(&h->machine) || !h->closed)
		return;
	for (struct hosted **at = &h->shard->hosted; *at; at = &(*at)->next)
		if (*at == h) {
			*at = h->next;
			break;
		}
	sem_t *closed = h->closed;

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
	h->closing = true;
	h->closed = closed;
	__atomic_store_n(&h->cancel, true, __ATOMIC_RELAXED);
	hosted_unpark(h);
	hosted_event(h, &(struct replica_event){.type = EVENT_CLOSE});
	check_closed(h);
}

void hosted_schema(struct hosted *h, const struct collection *schema, uint64_t epoch)
{
	__atomic_store_n(&h->epoch, epoch, __ATOMIC_RELAXED);
	h->machine.epoch = epoch;
	if (schema->revision != h->state.schema->revision)
		state_set_schema(&h->state, schema);
	work_start(h);
	hosted_look(h);
}
