/* Appends of the primary: decoded where they come in, handed to the machine on the loop thread, and
 * answered when it says so. Also the comparison of the two states. */
#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "shard/host.h"
#include <stdlib.h>

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct append_in {
	struct task task;
	struct append_in *next; /* h->appends */
	struct rpc_call *call;
	struct write_list records;
};

/* ---- the two states ---- */

static void diverges(struct hosted *h, uint64_t seq, uint64_t digest)
{
	if (h->state.digest == digest || h->diverged)
		return;
	h->diverged = true;
	log_error("shard",
		  "%s: after record %llu the state is not the primary's (digest %016llx, not "
		  "%016llx): this copy answers no more reads and is made anew",
		  h->folder, (unsigned long long)seq, (unsigned long long)h->state.digest,
		  (unsigned long long)digest);
}

void digest_check(struct hosted *h)
{
	if (h->digest_seq == h->state.now.seq && h->digest_seq)
		diverges(h, h->digest_seq, h->digest);
}

void digest_tell(struct hosted *h)
{
	if (!h->diverged || h->diverged_told)
		return;
	h->diverged_told = true;
	hosted_event(h, &(struct replica_event){.type = EVENT_DIVERGED});
}

static void digest_arrived(struct hosted *h, const struct rpc_append_request *q)
{
	if (q->digest_seq < h->state.now.seq)
		return;
	h->digest_seq = q->digest_seq;
	h->digest = q->digest;
	digest_check(h);
	digest_tell(h);
}

/* ---- in and out ---- */

static void end_append(struct append_in *in, int rc)
{
	struct rpc_call *call = in->call;
	struct hosted *h = in->task.h;

	free(in);
	hosted_unref(h);
	rpc_finish(call, rc);
}

void append_reply(struct hosted *h, const struct replica_reply *reply)
{
	struct append_in *in = reply->token;
	struct rpc_append_response *out = in->call->response;

	for (struct append_in **at = &h->appends; *at; at = &(*at)->next)
		if (*at == in) {
			*at = in->next;
			break;
		}
	*out = (struct rpc_append_response){
		.status = reply->answer.status,
		.epoch = reply->answer.epoch,
		.durable_seq = reply->answer.durable_seq,
		.applied_seq = reply->answer.applied_seq,
		.hint_seq = reply->answer.hint_seq,
		.sent_us = reply->answer.sent_us,
	};
	end_append(in, reply->rc);
}

void appends_close(struct hosted *h)
{
	struct append_in *in;

	while ((in = h->appends)) {
		h->appends = in->next;
		end_append(in, ERR_CLOSED);
	}
}

static void free_records(struct append_in *in)
{
	struct replica_write *w;

	while ((w = write_list_pop(&in->records)))
		item_free(in->task.h, item_of(w));
}

/* On the loop thread. */
static void append_arrived(struct task *t)
{
	struct append_in *in = CONTAINER(t, struct append_in, task);
	const struct rpc_append_request *q = in->call->request;
	struct hosted *h = t->h;
	struct replica_event e = {
		.type = EVENT_APPEND,
		.append = {.epoch = q->target.epoch,
			   .from = q->from,
			   .prev_seq = q->prev_seq,
			   .prev_epoch = q->prev_epoch,
			   .commit_seq = q->commit_seq,
			   .heard_us = q->heard_us,
			   .lease_us = q->lease_us,
			   .in_sync = q->in_sync,
			   .seed = q->seed},
		.records = in->records,
		.token = in,
	};

	int rc = h->closing ? ERR_CLOSED : 0;

	/* A member that cannot keep up for long leaves the set: its primary hears nothing. */
	if (rc == 0 && q->n_records)
		rc = hosted_has_room(h, &in->call->err);
	if (rc) {
		free_records(in);
		end_append(in, rc);
		return;
	}
	digest_arrived(h, q);
	if (q->commit_seq > h->told_seq)
		h->told_seq = q->commit_seq;
	in->next = h->appends;
	h->appends = in;
	hosted_event(h, &e);
}

static int decode_records(struct hosted *h, const struct rpc_append_request *q,
			  struct write_list *out, struct error *err)
{
	struct view *v;
	int rc = 0;

	pthread_mutex_lock(&h->view_lock);
	v = view_ref(h->view);
	pthread_mutex_unlock(&h->view_lock);
	/* It comes again; until then the map that it needs is here. */
	if (q->target.revision > v->schema->revision)
		rc = error_set(err, ERR_BUSY,
			       "shard %u has revision %llu of the collection, the append %llu",
			       h->partition, (unsigned long long)v->schema->revision,
			       (unsigned long long)q->target.revision);
	for (uint32_t i = 0; i < q->n_records && rc == 0; i++) {
		const struct append_record *r = &q->records[i];
		struct wal_record record = {r->seq, r->epoch,
					    i ? q->records[i - 1].epoch : q->prev_epoch, r->bytes,
					    r->n};
		struct write_item *item;

		rc = item_of_record(v->schema, &record, &item, err);
		if (rc == 0)
			write_list_push(out, &item->w);
	}
	view_unref(v);
	return rc;
}

void hosted_append(struct shard *s, struct rpc_call *call)
{
	const struct rpc_append_request *q = call->request;
	struct hosted *h = table_find(s, q->target.collection_id, q->target.partition);
	struct append_in *in;
	int rc = 0;

	if (!h) {
		rpc_finish(call, error_set(&call->err, ERR_STALE, "shard %u is not on this node",
					   q->target.partition));
		return;
	}
	in = mem_zalloc(sizeof *in);
	in->task = (struct task){.done = append_arrived, .shard = s, .h = h};
	in->call = call;
	if (h->failed.code)
		rc = error_set(&call->err, ERR_UNAVAILABLE, "shard %u could not be opened: %s",
			       h->partition, h->failed.text);
	if (rc == 0)
		rc = decode_records(h, q, &in->records, &call->err);
	if (rc) {
		free_records(in);
		end_append(in, rc);
		return;
	}
	task_to_loop(&in->task);
}
