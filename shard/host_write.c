/* Writes: how they come in, what holds them back, and the items that stand for them. */
#include "base/assert.h"
#include "base/memory.h"
#include "shard/host.h"
#include <stdlib.h>

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ---- items ---- */

struct write_item *item_of(struct replica_write *w)
{
	return CONTAINER(w, struct write_item, w);
}

void item_finish(struct write_item *item, int rc)
{
	struct rpc_call *call = item->call;
	struct hosted *h = item->task.h;
	struct rpc_write_response *response;

	if (!call)
		return;
	response = call->response;
	response->seq = item->w.seq;
	response->changed = item->w.changed;
	__atomic_fetch_sub(&item->task.shard->pending_bytes, item->charged_bytes, __ATOMIC_RELAXED);
	count(item->task.shard, rc ? COUNT_REFUSED : COUNT_WRITES, 1);
	item->op = NULL; /* what it points to goes away with the request */
	item->write = NULL;
	item->call = NULL;
	hosted_unref(h);
	rpc_finish(call, rc);
}

void item_free(struct hosted *h, struct write_item *item)
{
	if (item->held_seq)
		held_remove(h, item);
	arena_free(item->arena);
	buf_fini(&item->bytes);
	free(item);
}

/* It never got to the machine. */
static void refuse(struct write_item *item, int rc)
{
	item_finish(item, rc);
	item_free(item->task.h, item);
}

static int decode(struct write_item *item, struct error *err)
{
	int rc;

	if (!item->arena)
		item->arena = arena_new(1024);
	rc = op_decode(item->bytes.data, item->bytes.len, item->arena, &item->own, err);
	item->op = &item->own;
	return rc;
}

const struct op *item_op(struct write_item *item)
{
	if (!item->op) {
		int rc = decode(item, NULL);

		assert(rc == 0); /* it was encoded here, or decoded before */
	}
	return item->op;
}

int item_of_record(const struct collection *schema, const struct wal_record *r,
		   struct write_item **out, struct error *err)
{
	struct write_item *item = mem_zalloc(sizeof *item);
	int rc;

	buf_put(&item->bytes, r->bytes, r->n);
	rc = decode(item, err);
	if (rc == 0)
		rc = state_check_op(schema, item->op, err);
	if (rc) {
		item_free(NULL, item);
		return error_wrap(err, rc, "log record %llu", (unsigned long long)r->seq);
	}
	item->w = (struct replica_write){.batch_hi = item->own.batch_hi,
					 .batch_lo = item->own.batch_lo,
					 .bytes = r->n,
					 .resolved = true,
					 .seq = r->seq,
					 .epoch = r->epoch,
					 .prev_epoch = r->prev_epoch};
	*out = item;
	return 0;
}

/* Each record must fit into one message to the other replicas. */
static int check_size(struct write_item *item)
{
	if (item->bytes.len <= LIMIT_OP_BYTES)
		return 0;
	return error_set(&item->call->err, ERR_TOO_LARGE,
			 "the write has %zu bytes, a shard takes %d at once: send fewer points",
			 item->bytes.len, LIMIT_OP_BYTES);
}

int hosted_resolve(struct hosted *h, struct replica_write *w)
{
	struct write_item *item = item_of(w);
	int rc;

	/* Everything before it is applied, and what is applied is published: the view is the
	 * present. */
	item->arena = arena_new(4096);
	rc = resolve_write(h->view, item->write, item->arena, &item->own, &item->call->err);
	buf_clear(&item->bytes);
	w->bytes = 0;
	if (rc || item->own.n_points + item->own.n_ids == 0)
		return rc;
	item->op = &item->own;
	op_encode(&item->bytes, item->op);
	w->bytes = item->bytes.len;
	return check_size(item);
}

/* ---- a write comes in (any thread) ---- */

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

int hosted_has_room(const struct hosted *h, struct error *err)
{
	if (too_far_behind(h))
		return error_set(err, ERR_BUSY, "%u segments wait to be sealed: %s", h->n_frozen,
				 h->last_failure[0] ? h->last_failure : "try again later");
	return no_memory(h, err) ? ERR_BUSY : 0;
}

/* While sealing is behind, writes wait; how many may wait is bounded by pending_write_bytes. They are refused
 * when sealing does not get on at all. */
static void park(struct hosted *h, struct write_item *item)
{
	if (h->last_failure[0] == '\0') {
		write_list_push(&h->parked, &item->w);
		return;
	}
	refuse(item, error_set(&item->call->err,
			       h->last_failure_code == ERR_DISK_FULL ? ERR_DISK_FULL : ERR_BUSY,
			       "%u segments wait to be sealed: %s", h->n_frozen, h->last_failure));
}

/* On the loop thread. */
static void write_arrived(struct task *t)
{
	struct write_item *item = CONTAINER(t, struct write_item, task);
	struct hosted *h = t->h;

	if (h->closing) {
		refuse(item, error_set(&item->call->err, ERR_CLOSED, "this shard is being closed"));
		return;
	}
	if (item->w.deadline_us && now_us(h->shard) >= item->w.deadline_us) {
		refuse(item, ERR_TIMEOUT);
		return;
	}
	if (h->parked.first || too_far_behind(h)) {
		park(h, item);
		return;
	}
	if (item->op->type != OP_DELETE && no_memory(h, &item->call->err)) {
		refuse(item, ERR_BUSY);
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
	item->w.client = true;
	item->w.deadline_us = call->deadline_us;
	op_encode(&item->bytes, item->op);
	item->w.bytes = item->bytes.len;
	rc = check_size(item);
	rc = rc ? rc : charge(s, item->bytes.len, &call->err);
	if (rc) {
		refuse(item, rc);
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
