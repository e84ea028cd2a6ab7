/* A hosted replica: what shard/host*.c is to the production machine, with a disk that can be cut off at any point. */
#include "base/hash.h"
#include "base/memory.h"
#include "shard/begin.h"
#include "tests/sim/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEND_ENTRIES = 20 };
#define WALL_US 1700000000000000ull

static const struct replica_limits LIMITS = {
	.seal_rows = 300,
	.seal_bytes = 1 << 30,
	.seal_idle_us = 2000000,
	.seal_min_rows = 20,
	.seal_log_bytes = 1 << 30,
	.append_bytes = 2000,
};

static struct item *item_of(struct replica_write *w)
{
	return (struct item *)(void *)((char *)w - offsetof(struct item, w));
}

static struct item *item_new(struct sim *s, struct rep *r, const struct entry *e)
{
	struct item *i = mem_zalloc(sizeof *i);

	i->entry = *e;
	i->rep = r;
	i->w.seq = e->seq;
	i->w.epoch = e->epoch;
	i->w.prev_epoch = e->prev_epoch;
	i->w.batch_lo = e->op;
	i->w.bytes = 100;
	i->all_next = s->items;
	i->all_prev = &s->items;
	if (s->items)
		s->items->all_prev = &i->all_next;
	s->items = i;
	return i;
}

static void item_free(struct item *i)
{
	*i->all_prev = i->all_next;
	if (i->all_next)
		i->all_next->all_prev = i->all_prev;
	free(i);
}

/* ---- the disk ---- */

static uint64_t log_end(const struct disk *d)
{
	return d->first + d->n - 1;
}

static void disk_epoch(struct disk *d, uint64_t epoch, uint64_t hint)
{
	if (epoch > d->epoch)
		d->epoch = epoch;
	if (hint > d->hint)
		d->hint = hint;
}

static void disk_append(struct disk *d, const struct entry *e)
{
	if (d->n == d->cap) {
		d->cap = d->cap ? d->cap * 2 : 64;
		d->log = mem_resize(d->log, d->cap * sizeof *d->log);
	}
	d->log[d->n++] = *e;
}

static void disk_truncate(struct disk *d, uint64_t after)
{
	if (after < log_end(d))
		d->n = after + 1 > d->first ? after + 1 - d->first : 0;
	if (d->synced_seq > after)
		d->synced_seq = after;
}

static void disk_drop_before(struct disk *d, uint64_t seq)
{
	uint64_t gone = seq > d->first ? seq - d->first : 0;

	if (gone > d->n)
		gone = d->n;
	memmove(d->log, d->log + gone, (d->n - gone) * sizeof *d->log);
	d->n -= gone;
	d->first += gone;
}

void disk_wipe(struct disk *d)
{
	free(d->log);
	*d = (struct disk){0};
}

/* One stage of the job. False: the append found no room. */
static bool job_stage(struct sim *s, struct rep *r)
{
	struct disk *d = &r->disk;
	struct job *j = &r->job;

	switch (j->stage++) {
	case 0: disk_epoch(d, j->store_epoch, j->hint); break;
	case 1:
		if (j->truncate)
			disk_truncate(d, j->truncate_after);
		break;
	case 2:
		if (j->n && s->nodes[r->node].disk_full)
			return false;
		for (uint64_t i = 0; i < j->n; i++)
			disk_append(d, &j->append[i]);
		break;
	default: d->synced_seq = log_end(d); break;
	}
	return true;
}

static void job_later(struct sim *s, struct rep *r)
{
	struct job *j = &r->job;
	uint64_t most;

	if (j->stage == 0 && j->store_epoch == 0 && j->hint == 0)
		j->stage++; /* nothing to do */
	if (j->stage == 1 && !j->truncate)
		j->stage++;
	most = j->stage == 2 ? 200 : s->nodes[r->node].disk_us;
	later(s, prng_below(&s->prng, most + 1),
	      (struct event){.kind = EV_DISK, .node = r->node, .a = r->part, .b = r->gen});
}

static void job_end(struct rep *r)
{
	free(r->job.append);
	r->job = (struct job){0};
}

static void job_begin(struct sim *s, struct rep *r, const struct replica_update *u)
{
	struct job *j = &r->job;
	struct replica_write *w = u->append.first;

	if (j->busy)
		violation(s, "one_job", "node %u begins a second disk job", r->node);
	*j = (struct job){.busy = true,
			  .store_epoch = u->store_epoch,
			  .hint = chance(s, s->hints) ? r->machine.commit_seq : 0,
			  .truncate = u->truncate,
			  .truncate_after = u->truncate_after};
	if (u->truncate)
		check_truncate(s, r, u->truncate_after);
	for (struct replica_write *x = w; x; x = x == u->append.last ? NULL : x->next)
		j->n++;
	j->append = mem_array(j->n + 1, sizeof *j->append);
	for (uint64_t i = 0; i < j->n; i++, w = w->next) {
		struct entry *e = &item_of(w)->entry;

		e->seq = w->seq;
		e->epoch = w->epoch;
		e->prev_epoch = w->prev_epoch;
		j->append[i] = *e;
	}
	job_later(s, r);
}

void rep_disk(struct sim *s, struct rep *r, uint64_t gen)
{
	struct replica_event e = {.type = EVENT_DURABLE};
	bool kept;

	if (!r->open || r->gen != gen || !r->job.busy)
		return;
	kept = job_stage(s, r);
	e.seq = log_end(&r->disk);
	if (kept && r->job.stage < 3) {
		job_later(s, r);
		return;
	}
	if (kept && r->job.stage == 3) {
		job_later(s, r);
		e.type = EVENT_WRITTEN;
		fault_moment(s, r->node, MOMENT_WRITTEN);
	} else {
		if (!kept) {
			e.type = EVENT_APPEND_FAILED;
			e.rc = ERR_DISK_FULL;
			r->disk.synced_seq = e.seq;
		}
		job_end(r);
	}
	trace(s, "n%u/%u %s seq %llu", r->node, r->part,
	      e.type == EVENT_DURABLE   ? "durable"
	      : e.type == EVENT_WRITTEN ? "written"
					: "disk full",
	      (unsigned long long)e.seq);
	rep_event(s, r, e);
}

/* What was not synced may be there or not: any prefix. */
static void disk_crash(struct sim *s, struct rep *r)
{
	struct disk *d = &r->disk;
	struct job *j = &r->job;

	if (j->busy) {
		uint32_t more = (uint32_t)prng_below(&s->prng, 4);

		while (more-- > 0 && j->stage < 2)
			job_stage(s, r);
		if (j->stage == 2 && !s->nodes[r->node].disk_full)
			for (uint64_t i = 0, n = prng_below(&s->prng, j->n + 1); i < n; i++)
				disk_append(d, &j->append[i]);
	}
	job_end(r);
	if (log_end(d) > d->synced_seq && chance(s, 0.5))
		disk_truncate(d,
			      d->synced_seq + prng_below(&s->prng, log_end(d) - d->synced_seq + 1));
	d->synced_seq = log_end(d);
}

/* ---- the state ---- */

static void state_apply(struct state *st, const struct entry *e)
{
	uint64_t in[4] = {st->digest, e->seq, e->op, e->ids * 4ull + e->kind};

	st->seq = e->seq;
	st->epoch = e->epoch;
	for (uint32_t id = 0; id < SIM_IDS; id++)
		if (e->ids & 1u << id)
			st->values[id] = e->kind == SIM_REMOVE ? 0 : e->op;
	st->digest = hash64(in, sizeof in);
}

/* ---- life ---- */

static void recover(struct sim *s, struct rep *r, struct replica_recovery *out)
{
	struct disk *d = &r->disk;
	uint64_t applied = d->manifest.seq > d->hint ? d->manifest.seq : d->hint;

	r->now = d->manifest;
	for (uint64_t i = 0; i < d->n; i++) {
		const struct entry *e = &d->log[i];

		if (e->seq > applied)
			write_list_push(&out->tail, &item_new(s, r, e)->w);
		else if (e->seq > d->manifest.seq)
			state_apply(&r->now, e);
	}
	for (uint64_t seq = 1; seq <= r->now.seq; seq++) {
		struct batch b = {.lo = s->parts[r->part].history[seq].op,
				  .seq = seq,
				  .at_us = s->now_us + WALL_US +
					   (uint64_t)s->nodes[r->node].wall_us};

		batches_add(&r->machine.batches, &b);
	}
	out->applied_seq = r->now.seq;
	out->applied_epoch = r->now.epoch;
	out->stored_epoch = d->epoch;
}

/* There is no folder. */
static enum begin begin(struct sim *s, const struct rep *r, const struct map_partition *c)
{
	const struct node *n = &s->nodes[r->node];
	const struct map_node *own = map_node(n->control.map, r->node);
	struct begin_facts facts = {.self = r->node,
				    .collection_id = n->control.map->collections[0].collection->id,
				    .known_since = n->known_since,
				    .known = r->known,
				    .confirmed = n->confirmed,
				    .registered = own &&
						  own->incarnation > n->confirmed_incarnation};
	enum begin b = begin_from_nothing(&facts, c);

	if (b == BEGIN_NOW && ((r->disk.wiped && map_among(c->in_sync, c->n_in_sync, r->node)) ||
			       check_counted_on(s, r)))
		violation(s, "ack_durable", "node %u passes for new in partition %u", r->node,
			  r->part);
	return b;
}

void rep_open(struct sim *s, struct rep *r)
{
	const struct map_partition *c = map_config(s->nodes[r->node].control.map, r->part);
	struct replica_recovery recovery = {0};
	enum begin b = r->disk.exists ? BEGIN_NOW : begin(s, r, c);

	r->failed = b == BEGIN_LOST;
	if (b != BEGIN_NOW)
		return;
	r->known = true;
	if (!r->disk.exists) {
		fault_moment(s, r->node, MOMENT_BEGINS);
		/* From now on it must not be counted on for what a learner lost. */
		r->disk = (struct disk){.exists = true,
					.first = 1,
					.wiped = r->disk.wiped && check_counted_on(s, r),
					.epoch = begin_epoch(r->node, c)};
	}
	r->open = true;
	r->gen++;
	r->rows = 0;
	r->sealing = false;
	r->proposal = 0;
	r->checked_commit = r->checked_epoch = 0;
	replica_init(&r->machine, r->node, &LIMITS);
	recover(s, r, &recovery);
	replica_recovered(&r->machine, &recovery);
	r->checked_commit = r->machine.commit_seq;
	trace(s, "n%u/%u opens: applied %llu, log to %llu, epoch %llu", r->node, r->part,
	      (unsigned long long)r->machine.applied_seq, (unsigned long long)r->machine.last_seq,
	      (unsigned long long)r->machine.epoch);
	rep_config(s, r);
}

static void items_drop(struct sim *s, struct rep *r)
{
	for (struct item *i = s->items, *next; i; i = next) {
		next = i->all_next;
		if (i->rep == r)
			item_free(i);
	}
}

static void rep_gone(struct sim *s, struct rep *r)
{
	r->open = false;
	r->gen++;
	replica_fini(&r->machine);
	items_drop(s, r);
}

void rep_crash(struct sim *s, struct rep *r)
{
	if (!r->open)
		return;
	disk_crash(s, r);
	rep_gone(s, r);
}

void rep_stop(struct sim *s, struct rep *r)
{
	if (!r->open)
		return;
	rep_event(s, r, (struct replica_event){.type = EVENT_CLOSE});
	while (r->job.busy)
		rep_disk(s, r, r->gen);
	if (!replica_quiet(&r->machine))
		violation(s, "closes", "node %u: replica %u is not quiet when closed", r->node,
			  r->part);
	for (struct item *i = s->items; i; i = i->all_next)
		if (i->rep == r)
			violation(s, "closes", "node %u: a write is still held", r->node);
	for (uint64_t i = 1; i < s->n_tokens; i++)
		if (s->tokens[i].open && s->tokens[i].node == r->node &&
		    s->tokens[i].part == r->part && s->tokens[i].gen == r->gen)
			violation(s, "closes", "node %u: an append was not answered", r->node);
	disk_epoch(&r->disk, 0, r->machine.commit_seq);
	rep_gone(s, r);
}

void rep_config(struct sim *s, struct rep *r)
{
	const struct map_partition *c = map_config(s->nodes[r->node].control.map, r->part);

	fault_moment(s, r->node, MOMENT_CONFIG);
	if (c)
		rep_event(s, r, (struct replica_event){.type = EVENT_CONFIG, .config = c});
}

void rep_tick(struct sim *s, struct rep *r)
{
	if (s->now_us > r->hint_us + 5000000) {
		r->hint_us = s->now_us;
		disk_epoch(&r->disk, 0, r->machine.commit_seq);
	}
	rep_event(s, r, (struct replica_event){.type = EVENT_TICK});
}

/* ---- calls ---- */

static uint64_t new_call(struct sim *s, const struct rep *r, const struct replica_send *send)
{
	if (s->n_calls >= s->cap_calls) {
		s->cap_calls = s->cap_calls ? s->cap_calls * 2 : 1024;
		s->calls = mem_resize(s->calls, s->cap_calls * sizeof *s->calls);
	}
	s->calls[s->n_calls] = (struct call){.open = true,
					     .node = r->node,
					     .part = r->part,
					     .to = (uint32_t)send->node,
					     .gen = r->gen,
					     .call = send->call,
					     .at_us = s->now_us};
	if (s->first_call == s->n_calls)
		later(s, REPLICA_CALL_US, (struct event){.kind = EV_CALLS_OVER});
	return s->n_calls++;
}

/* One timer for all, as each takes the same time: it goes on to the first that is still open. */
void calls_sweep(struct sim *s)
{
	for (; s->first_call < s->n_calls; s->first_call++) {
		const struct call *c = &s->calls[s->first_call];

		if (!c->open)
			continue;
		if (c->at_us + REPLICA_CALL_US > s->now_us) {
			later(s, c->at_us + REPLICA_CALL_US - s->now_us,
			      (struct event){.kind = EV_CALLS_OVER});
			return;
		}
		later(s, 0,
		      (struct event){.kind = EV_CALL_OVER, .node = c->node, .a = s->first_call});
	}
}

void call_over(struct sim *s, uint64_t call, struct msg *m)
{
	struct call *c = &s->calls[call];
	struct rep *r = &s->nodes[c->node].reps[c->part];
	struct replica_event e = {.type = EVENT_APPEND_ANSWER, .node = c->to, .call = c->call};

	if (!c->open)
		return;
	c->open = false;
	if (!r->open || r->gen != c->gen)
		return;
	e.rc = m ? m->rc : ERR_TIMEOUT;
	if (m) {
		e.answer = m->answer;
		e.gone = m->gone;
	}
	trace(s,
	      "n%u/%u hears from n%u: rc %d status %d epoch %llu durable %llu applied %llu hint %llu%s",
	      r->node, r->part, c->to, e.rc, (int)e.answer.status,
	      (unsigned long long)e.answer.epoch, (unsigned long long)e.answer.durable_seq,
	      (unsigned long long)e.answer.applied_seq, (unsigned long long)e.answer.hint_seq,
	      e.gone ? " gone" : "");
	rep_event(s, r, e);
}

/* The records from prev_seq + 1 on; false: the log does not reach back so far. */
static bool fill_records(struct sim *s, struct rep *r, const struct replica_send *send,
			 struct msg *m)
{
	const struct disk *d = &r->disk;
	uint64_t from = send->append.prev_seq + 1;

	if (send->last_seq < from)
		return true;
	if (from < d->first)
		return false;
	if (send->last_seq > log_end(d))
		violation(s, "sends_written", "node %u sends %llu, its log ends at %llu", r->node,
			  (unsigned long long)send->last_seq, (unsigned long long)log_end(d));
	m->n = send->last_seq - from + 1;
	if (m->n > SEND_ENTRIES)
		m->n = SEND_ENTRIES;
	if (chance(s, s->small)) /* as if they were large */
		m->n = between(s, 1, m->n);
	m->entries = mem_array(m->n + 1, sizeof *m->entries);
	memcpy(m->entries, &d->log[from - d->first], m->n * sizeof *m->entries);
	if (m->append.prev_epoch == 0)
		m->append.prev_epoch = m->entries[0].prev_epoch;
	return true;
}

static void send_append(struct sim *s, struct rep *r, const struct replica_send *send)
{
	struct msg *m = msg_new(MSG_APPEND, r->node, (uint32_t)send->node, r->part);

	m->call = new_call(s, r, send);
	m->append = send->append;
	m->digest_seq = r->now.seq;
	m->digest = r->now.digest;
	if (!fill_records(s, r, send, m)) {
		struct msg *gone = msg_new(MSG_APPENDED, r->node, r->node, r->part);

		gone->call = m->call;
		gone->gone = true;
		gone->rc = ERR_NOT_FOUND;
		msg_free(m);
		later(s, 100, (struct event){.kind = EV_DELIVER, .node = r->node, .ptr = gone});
		return;
	}
	trace(s,
	      "n%u/%u appends to n%u: epoch %llu prev %llu/%llu + %llu commit %llu lease %llu%s%s",
	      r->node, r->part, m->to, (unsigned long long)m->append.epoch,
	      (unsigned long long)m->append.prev_seq, (unsigned long long)m->append.prev_epoch,
	      (unsigned long long)m->n, (unsigned long long)m->append.commit_seq,
	      (unsigned long long)m->append.lease_us, m->append.in_sync ? " in sync" : "",
	      m->append.seed ? " seed" : "");
	net_send(s, m);
}

void rep_append(struct sim *s, struct rep *r, struct msg *m)
{
	struct replica_event e = {.type = EVENT_APPEND, .append = m->append};
	struct token *t;

	if (!r->open)
		return;
	if (s->n_tokens >= s->cap_tokens) {
		s->cap_tokens = s->cap_tokens ? s->cap_tokens * 2 : 1024;
		s->tokens = mem_resize(s->tokens, s->cap_tokens * sizeof *s->tokens);
	}
	t = &s->tokens[s->n_tokens];
	*t = (struct token){.node = r->node,
			    .part = r->part,
			    .gen = r->gen,
			    .call = m->call,
			    .from = m->from,
			    .at_us = s->now_us,
			    .open = true};
	e.token = (void *)(uintptr_t)s->n_tokens++;
	for (uint64_t i = 0; i < m->n; i++)
		write_list_push(&e.records, &item_new(s, r, &m->entries[i])->w);
	if (m->digest_seq == r->now.seq && m->digest != r->now.digest) {
		if (!r->now.corrupt && !s->parts[r->part].tainted)
			violation(s, "same_digest", "node %u differs from n%u at %llu", r->node,
				  m->from, (unsigned long long)m->digest_seq);
		rep_event(s, r, (struct replica_event){.type = EVENT_DIVERGED});
	}
	rep_event(s, r, e);
}

static void send_reply(struct sim *s, struct rep *r, const struct replica_reply *reply)
{
	struct token *t = &s->tokens[(uintptr_t)reply->token];
	struct msg *m;

	if (!t->open)
		violation(s, "one_answer", "node %u answers an append twice", r->node);
	t->open = false;
	fault_moment(s, r->node, MOMENT_REPLIES);
	m = msg_new(MSG_APPENDED, r->node, (uint32_t)t->from, r->part);
	m->call = t->call;
	m->rc = reply->rc;
	m->answer = reply->answer;
	net_send(s, m);
}

/* ---- writes ---- */

void rep_write(struct sim *s, struct rep *r, struct msg *m)
{
	const struct sim_op *op = &s->ops[m->op];
	struct entry e = {.op = m->op, .kind = op->kind, .ids = 1u << op->id};
	struct item *i;

	if (!r->open) {
		struct msg *back = msg_new(MSG_WRITTEN, m->to, m->from, m->part);

		back->attempt = m->attempt;
		back->rc = ERR_STALE;
		net_send(s, back);
		return;
	}
	i = item_new(s, r, &e);
	i->attempt = m->attempt;
	i->w.needs_state = op->kind == SIM_UPDATE || op->kind == SIM_REMOVE_COLOUR;
	rep_event(s, r, (struct replica_event){.type = EVENT_WRITE, .write = &i->w});
}

static void answer(struct sim *s, struct rep *r, struct item *i)
{
	struct msg *m = msg_new(MSG_WRITTEN, r->node, 0, r->part);

	m->attempt = i->attempt;
	m->rc = i->w.rc;
	m->seq = i->w.seq;
	fault_moment(s, r->node, MOMENT_ANSWERS);
	trace(s, "n%u/%u answers op %llu: %s seq %llu", r->node, r->part,
	      (unsigned long long)i->entry.op, i->w.rc ? error_name(i->w.rc) : "done",
	      (unsigned long long)i->w.seq);
	if (i->w.rc == 0)
		check_answer(s, r, &i->entry, i->w.seq, i->w.bytes == 0);
	i->attempt = 0;
	net_send(s, m);
}

/* ---- seal, seed, proposals ---- */

static void seal(struct sim *s, struct rep *r)
{
	struct state *copy = mem_alloc(sizeof *copy);

	*copy = r->now;
	r->rows = 0;
	r->sealing = true;
	later(s, between(s, 1000, 300000),
	      (struct event){
		      .kind = EV_SEALED, .node = r->node, .a = r->part, .b = r->gen, .ptr = copy});
}

void rep_sealed(struct sim *s, struct rep *r, uint64_t gen, struct state *snapshot)
{
	uint64_t keep = chance(s, 0.5) ? 0 : 100;

	if (!r->open || r->gen != gen)
		return;
	r->sealing = false;
	r->disk.manifest = *snapshot;
	disk_epoch(&r->disk, 0, r->machine.commit_seq);
	if (snapshot->seq + 1 > keep)
		disk_drop_before(&r->disk, snapshot->seq + 1 - keep);
}

void rep_seeded(struct sim *s, struct rep *r, uint64_t gen, uint32_t from)
{
	const struct rep *source = &s->nodes[from].reps[r->part];
	struct disk *d = &r->disk;
	struct disk fresh;

	if (!r->open || r->gen != gen)
		return;
	if (!net_linked(s, r->node, from) || !source->open || source->machine.diverged ||
	    chance(s, 0.1)) {
		rep_event(s, r, (struct replica_event){.type = EVENT_SEED_FAILED});
		return;
	}
	trace(s, "n%u/%u is rebuilt from n%u at %llu", r->node, r->part, from,
	      (unsigned long long)source->disk.manifest.seq);
	s->stats.seeds++;
	rep_stop(s, r);
	fresh = (struct disk){.exists = true,
			      .epoch = d->epoch,
			      .hint = source->disk.manifest.seq,
			      .commit_max = source->disk.manifest.seq,
			      .manifest = source->disk.manifest,
			      .first = source->disk.manifest.seq + 1,
			      .synced_seq = source->disk.manifest.seq};
	disk_wipe(d);
	*d = fresh;
	rep_open(s, r);
}

void rep_proposed(struct sim *s, struct rep *r, uint64_t gen, uint64_t proposal, int rc)
{
	if (!r->open || r->gen != gen || r->proposal != proposal)
		return;
	r->proposal = 0;
	trace(s, "n%u/%u: proposal: %s", r->node, r->part, rc ? error_name(rc) : "decided");
	rep_event(s, r, (struct replica_event){.type = EVENT_PROPOSED, .rc = rc});
}

static void propose(struct sim *s, struct rep *r, const struct replica_update *u)
{
	struct map_command c = {.type = MAP_PARTITION_SET,
				.collection_id = s->collection_id,
				.partition = r->part,
				.expect_epoch = u->expect_epoch,
				.config = u->proposal};

	if (r->proposal)
		violation(s, "one_proposal", "node %u proposes twice", r->node);
	r->proposal = ++r->n_proposals;
	fault_moment(s, r->node, MOMENT_PROPOSES);
	trace(s, "n%u/%u proposes at epoch %llu: %u in sync, %u learners", r->node, r->part,
	      (unsigned long long)u->expect_epoch, u->proposal.n_in_sync, u->proposal.n_learners);
	ask_submit(s, &s->nodes[r->node],
		   ask_new(s, &(struct ask){.kind = ASK_PROPOSE,
					    .part = r->part,
					    .gen = r->gen,
					    .number = r->proposal}),
		   &c);
}

/* ---- executing ---- */

static void fill(struct sim *s, struct rep *r, struct replica_event *e)
{
	e->now_us = local_us(s, &s->nodes[r->node]);
	e->wall_us = s->now_us + WALL_US + (uint64_t)s->nodes[r->node].wall_us;
	e->mutable_rows = r->rows;
	e->may_seal = !r->sealing;
}

static void apply(struct sim *s, struct rep *r, const struct replica_update *u)
{
	for (struct replica_write *w = u->apply.first; w; w = w->next) {
		check_applied(s, r, &item_of(w)->entry);
		state_apply(&r->now, &item_of(w)->entry);
		if (!r->now.corrupt && !s->parts[r->part].tainted) {
			struct committed *c = &s->parts[r->part].history[w->seq];

			if (c->digest && c->digest != r->now.digest)
				violation(s, "same_digest", "node %u at %llu", r->node,
					  (unsigned long long)w->seq);
			c->digest = r->now.digest;
		}
		w->changed = 1;
		r->rows++;
	}
}

/* Updates of what is not there, and filters that match nothing, concern no point. */
static int resolve(struct sim *s, struct rep *r, struct item *i)
{
	const struct sim_op *op = &s->ops[i->entry.op];
	uint32_t ids = 0;

	for (uint32_t id = 0; id < SIM_IDS; id++) {
		uint64_t value = r->now.values[id];

		if (value && (op->kind == SIM_UPDATE ? id == op->id : colour_of(value) == op->id))
			ids |= 1u << id;
	}
	i->entry.kind = op->kind == SIM_UPDATE ? SIM_PUT : SIM_REMOVE;
	i->entry.ids = ids;
	i->w.bytes = ids ? 100 : 0;
	return 0;
}

static void execute_outside(struct sim *s, struct rep *r, struct replica_update *u)
{
	if (u->disk_job)
		job_begin(s, r, u);
	for (uint32_t i = 0; i < u->n_send; i++)
		send_append(s, r, &u->send[i]);
	for (uint32_t i = 0; i < u->n_reply; i++)
		send_reply(s, r, &u->reply[i]);
	if (u->propose)
		propose(s, r, u);
	if (u->seed)
		later(s, between(s, 50000, 3000000),
		      (struct event){.kind = EV_SEEDED,
				     .node = r->node,
				     .a = r->part,
				     .b = r->gen,
				     .c = u->seed_from});
	if (u->seal)
		seal(s, r);
}

static bool execute(struct sim *s, struct rep *r, struct replica_update *u, struct replica_event *e)
{
	bool more = false;

	execute_outside(s, r, u);
	if (u->apply.first) {
		uint64_t last = u->apply.last->seq;

		apply(s, r, u);
		*e = (struct replica_event){.type = EVENT_APPLIED, .seq = last};
		more = true;
	}
	if (u->resolve) {
		*e = (struct replica_event){.type = EVENT_RESOLVED,
					    .write = u->resolve,
					    .rc = resolve(s, r, item_of(u->resolve))};
		more = true;
	}
	for (struct replica_write *w = u->answer, *next; w; w = next) {
		next = w->next_answer;
		answer(s, r, item_of(w));
	}
	for (struct replica_write *w = u->release.first, *next; w; w = next) {
		next = w->next;
		if (item_of(w)->attempt)
			violation(s, "one_answer", "node %u lets go of a write without an answer",
				  r->node);
		item_free(item_of(w));
	}
	return more;
}

void rep_event(struct sim *s, struct rep *r, struct replica_event e)
{
	struct replica_update u;

	do {
		fill(s, r, &e);
		replica_step(&r->machine, &e, &u);
		check_committed(s, r);
	} while (execute(s, r, &u, &e));
	check_reads(s, r);
}
