/* What a primary sends: appends to the other replicas, from memory or from its log, and changes of the
 * configuration to the map. */
#include "base/assert.h"
#include "base/memory.h"
#include "shard/host.h"
#include <stdlib.h>
#include <string.h>

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ---- records in memory ---- */

static struct write_item **slot(const struct held *held, uint64_t seq)
{
	return &held->slots[seq & (held->cap - 1)];
}

static void grow(struct held *held)
{
	struct held old = *held;

	held->cap = old.cap ? old.cap * 2 : 64;
	held->slots = mem_array(held->cap, sizeof(struct write_item *));
	for (uint64_t seq = old.first; seq < old.end; seq++)
		*slot(held, seq) = *slot(&old, seq);
	free(old.slots);
}

static void forget_from(struct held *held, uint64_t seq)
{
	for (; held->end > seq; held->end--) {
		struct write_item **at = slot(held, held->end - 1);

		if (*at)
			(*at)->held_seq = 0;
		*at = NULL;
	}
}

void held_add(struct hosted *h, struct write_item *item)
{
	struct held *held = &h->held;
	uint64_t seq = item->w.seq;

	/* What stood there is cut off; a gap cannot be, but begins anew. */
	if (seq < held->first || seq > held->end)
		forget_from(held, held->first);
	else
		forget_from(held, seq);
	if (held->first == held->end)
		held->first = held->end = seq;
	if (held->end - held->first == held->cap)
		grow(held);
	*slot(held, seq) = item;
	item->held_seq = seq;
	held->end++;
}

void held_remove(struct hosted *h, struct write_item *item)
{
	struct held *held = &h->held;

	*slot(held, item->held_seq) = NULL;
	item->held_seq = 0;
	while (held->first < held->end && !*slot(held, held->first))
		held->first++;
	while (held->first < held->end && !*slot(held, held->end - 1))
		held->end--;
}

static struct write_item *held_get(const struct hosted *h, uint64_t seq)
{
	return seq >= h->held.first && seq < h->held.end ? *slot(&h->held, seq) : NULL;
}

/* ---- sends ---- */

struct send {
	struct task task; /* to the disk thread and back, or from done() to the loop */
	struct send *next;
	struct rpc_call call;
	struct rpc_append_request request;
	struct rpc_append_response response;
	struct arena *arena;
	uint64_t node, number, last_seq;
	struct append_record *records;
	uint32_t cap;
	uint64_t bytes;
	uint64_t prev_epoch; /* of the first record */
	bool gone, sent;
};

static bool full(const struct send *s)
{
	return s->bytes >= REPLICA_SEND_BYTES;
}

/* False: it does not fit any more. */
static bool add_record(struct send *s, const struct wal_record *r)
{
	uint32_t n = s->request.n_records;

	if (n > 0 && s->bytes + r->n > REPLICA_SEND_BYTES)
		return false;
	if (n == 0)
		s->prev_epoch = r->prev_epoch;
	if (n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 16;
		s->records = mem_resize(s->records, s->cap * sizeof *s->records);
	}
	s->records[n] = (struct append_record){r->seq, r->epoch, r->bytes, r->n};
	s->request.records = s->records;
	s->request.n_records = n + 1;
	s->bytes += r->n;
	return true;
}

static int read_one(void *ctx, const struct wal_record *r)
{
	struct send *s = ctx;
	struct wal_record copy = *r;

	if (r->seq > s->last_seq || (s->request.n_records && s->bytes + r->n > REPLICA_SEND_BYTES))
		return 1;
	copy.bytes = arena_copy(s->arena, r->bytes, r->n);
	add_record(s, &copy);
	return full(s);
}

/* On the disk thread. */
static void read_log(struct task *t)
{
	struct send *s = CONTAINER(t, struct send, task);
	uint64_t first = wal_first_seq(t->h->wal);

	if (first == 0 || first > s->request.prev_seq + 1) {
		s->gone = true;
		return;
	}
	t->rc = wal_read(t->h->wal, s->request.prev_seq + 1, read_one, s, &t->err);
	if (t->rc > 0)
		t->rc = 0;
}

static bool take_from_memory(struct hosted *h, struct send *s)
{
	for (uint64_t seq = s->request.prev_seq + 1; seq <= s->last_seq && !full(s); seq++) {
		const struct write_item *item = held_get(h, seq);
		struct wal_record r;

		if (!item)
			return s->request.n_records > 0;
		r = (struct wal_record){seq, item->w.epoch, item->w.prev_epoch, item->bytes.data,
					(uint32_t)item->bytes.len};
		if (!add_record(s, &r))
			break;
	}
	return true;
}

static void peer_add(struct hosted *h, uint64_t node, const struct peer_log *old, uint32_t n_old)
{
	struct peer_log *p = &h->peers[h->n_peers];

	if (node == h->shard->options.self_node)
		return;
	*p = (struct peer_log){.node = node};
	for (uint32_t i = 0; i < n_old; i++)
		if (old[i].node == node)
			*p = old[i];
	h->n_peers++;
}

void peers_set(struct hosted *h, const struct map_partition *config)
{
	struct peer_log old[LIMIT_REPLICAS * 2];
	uint32_t n_old = h->n_peers;

	memcpy(old, h->peers, sizeof old);
	h->n_peers = 0;
	if (config->primary != h->shard->options.self_node)
		return;
	for (uint32_t i = 0; i < config->n_in_sync; i++)
		peer_add(h, config->in_sync[i], old, n_old);
	for (uint32_t i = 0; i < config->n_learners; i++)
		peer_add(h, config->learners[i], old, n_old);
}

static void note_peer(struct hosted *h, uint64_t node, const struct rpc_append_response *a)
{
	if (a->status != APPEND_OK)
		return;
	for (uint32_t i = 0; i < h->n_peers; i++)
		if (h->peers[i].node == node)
			h->peers[i].durable_seq = a->durable_seq;
}

/* The machine gets exactly one answer for each send. */
static void answered(struct hosted *h, struct send *s, int rc)
{
	const struct rpc_append_response *a = &s->response;
	struct replica_event e = {.type = EVENT_APPEND_ANSWER,
				  .node = s->node,
				  .call = s->number,
				  .rc = rc,
				  .gone = s->gone};

	for (struct send **at = &h->sends; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	if (rc == 0) {
		e.answer = (struct replica_append_answer){
			.status = a->status,
			.epoch = a->epoch,
			.durable_seq = a->durable_seq,
			.applied_seq = a->applied_seq,
			.hint_seq = a->hint_seq,
			.sent_us = a->sent_us,
		};
		note_peer(h, s->node, a);
	}
	free(s->records);
	arena_free(s->arena);
	free(s);
	hosted_event(h, &e);
}

static void call_came_back(struct task *t)
{
	struct send *s = CONTAINER(t, struct send, task);
	struct hosted *h = t->h;

	answered(h, s, s->call.rc);
	hosted_task_back(h);
}

static void call_done(struct rpc_call *call)
{
	struct send *s = call->ctx;

	task_to_loop(&s->task);
}

static void transmit(struct hosted *h, struct send *s)
{
	s->request.digest_seq = h->state.now.seq;
	s->request.digest = h->state.digest;
	s->call = (struct rpc_call){
		.type = RPC_TYPE_append,
		.request = &s->request,
		.response = &s->response,
		.arena = s->arena,
		.deadline_us = now_us(h->shard) + REPLICA_CALL_US,
		.done = call_done,
		.ctx = s,
	};
	s->task = (struct task){.done = call_came_back, .shard = h->shard, .h = h};
	s->sent = true;
	h->tasks++;
	rpc_send(h->shard->options.rpc, s->node, &s->call);
}

static void log_was_read(struct task *t)
{
	struct send *s = CONTAINER(t, struct send, task);
	struct hosted *h = t->h;

	if (s->request.n_records && s->request.prev_epoch == 0)
		s->request.prev_epoch = s->prev_epoch;
	if (s->gone || t->rc < 0 || h->closing)
		answered(h, s, t->rc < 0 ? t->rc : ERR_CLOSED);
	else
		transmit(h, s);
	hosted_task_back(h);
}

void send_start(struct hosted *h, const struct replica_send *q)
{
	struct send *s = mem_zalloc(sizeof *s);

	assert(h->shard->options.rpc);
	s->node = q->node;
	s->number = q->call;
	s->last_seq = q->last_seq;
	s->arena = arena_new(1024);
	s->request = (struct rpc_append_request){
		.target = {h->collection_id, h->state.schema->revision, h->partition,
			   q->append.epoch},
		.from = q->append.from,
		.prev_seq = q->append.prev_seq,
		.prev_epoch = q->append.prev_epoch,
		.commit_seq = q->append.commit_seq,
		.heard_us = q->append.heard_us,
		.lease_us = q->append.lease_us,
		.in_sync = q->append.in_sync,
		.seed = q->append.seed,
	};
	s->next = h->sends;
	h->sends = s;
	if (q->last_seq <= q->append.prev_seq || take_from_memory(h, s)) {
		if (s->request.n_records && s->request.prev_epoch == 0)
			s->request.prev_epoch = s->prev_epoch;
		transmit(h, s);
		return;
	}
	s->task = (struct task){.run = read_log, .done = log_was_read, .shard = h->shard, .h = h};
	task_to_worker(h->disk, &s->task);
}

/* Their answers come as of calls that failed. */
void sends_cancel(struct hosted *h)
{
	for (struct send *s = h->sends; s; s = s->next)
		if (s->sent)
			rpc_cancel(h->shard->options.rpc, s->node, &s->call);
}

/* ---- proposals ---- */

static void proposal_came_back(struct task *t)
{
	struct hosted *h = t->h;
	int rc = t->rc;

	free(t);
	hosted_event(h, &(struct replica_event){.type = EVENT_PROPOSED, .rc = rc});
	hosted_task_back(h);
}

static void proposed(void *ctx, int rc)
{
	struct task *t = ctx;

	t->rc = rc;
	task_to_loop(t);
}

void propose_start(struct hosted *h, const struct replica_update *u)
{
	const struct shard_options *o = &h->shard->options;
	struct task *t = mem_zalloc(sizeof *t);

	*t = (struct task){.done = proposal_came_back, .shard = h->shard, .h = h};
	h->tasks++;
	/* What it may have proposed in this epoch must not be forgotten by a restart. */
	if (h->owed_epoch || !o->propose)
		proposed(t, h->owed_epoch ? ERR_DISK_FULL : ERR_UNSUPPORTED);
	else
		o->propose(o->propose_ctx,
			   &(struct shard_proposal){.collection_id = h->collection_id,
						    .partition = h->partition,
						    .expect_epoch = u->expect_epoch,
						    .next = u->proposal,
						    .done = proposed,
						    .done_ctx = t});
}
