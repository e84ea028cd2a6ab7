/* One replica machine with its neighbours and its disk played by the test. */
#pragma once
#include "tests/unit/unit.h"
#include "base/error.h"
#include "base/memory.h"
#include "shard/replica.h"
#include <stdlib.h>
#include <string.h>

struct rig {
	struct replica r;
	struct replica_update u;
	uint64_t now_us;
};

static const struct replica_limits rig_limits = {
	.seal_rows = 1000,
	.seal_bytes = 1 << 30,
	.seal_idle_us = 1ull << 40,
	.seal_min_rows = 1000,
	.seal_log_bytes = 1 << 30,
	.append_bytes = 1000,
};

static inline void rig_step(struct rig *g, struct replica_event e)
{
	e.now_us = g->now_us;
	replica_step(&g->r, &e, &g->u);
}

static inline struct replica_write *rig_entry(uint64_t seq, uint64_t epoch)
{
	struct replica_write *w = mem_zalloc(sizeof *w);

	w->seq = seq;
	w->epoch = epoch;
	w->bytes = 10;
	return w;
}

static inline void rig_free(struct write_list *l)
{
	struct replica_write *w;

	while ((w = write_list_pop(l)))
		free(w);
}

/* Found at the start: applied up to `applied`, and further entries up to `last`, all of `epoch`. */
static inline void rig_start(struct rig *g, uint64_t self, uint64_t stored, uint64_t applied,
			     uint64_t last, uint64_t epoch)
{
	struct replica_recovery recovery = {.applied_seq = applied,
					    .applied_epoch = applied ? epoch : 0,
					    .stored_epoch = stored};

	memset(g, 0, sizeof *g);
	g->now_us = 100000000;
	replica_init(&g->r, self, &rig_limits);
	for (uint64_t seq = applied + 1; seq <= last; seq++)
		write_list_push(&recovery.tail, rig_entry(seq, epoch));
	replica_recovered(&g->r, &recovery);
}

static inline void rig_end(struct rig *g)
{
	rig_free(&g->u.release);
	rig_free(&g->r.flight);
	rig_free(&g->r.applying);
	rig_free(&g->r.answering);
	rig_free(&g->r.queue);
	rig_free(&g->r.parked.records);
	replica_fini(&g->r);
}

/* "1 2 +3": nodes 1 and 2 in sync, 1 the primary, 3 a learner. */
static inline void rig_config(struct rig *g, uint64_t epoch, const char *who)
{
	struct map_partition c = {.epoch = epoch, .min_isr = 1};

	for (const char *p = who; *p; p++) {
		if (*p == ' ' || *p == '+')
			continue;
		if (p > who && p[-1] == '+')
			c.learners[c.n_learners++] = (uint64_t)(*p - '0');
		else
			c.in_sync[c.n_in_sync++] = (uint64_t)(*p - '0');
	}
	c.primary = c.in_sync[0];
	rig_step(g, (struct replica_event){.type = EVENT_CONFIG, .config = &c});
}

/* The disk finishes what it has to do. */
static inline void rig_disk(struct rig *g)
{
	rig_step(g, (struct replica_event){.type = EVENT_WRITTEN, .seq = g->r.last_seq});
	rig_step(g, (struct replica_event){.type = EVENT_DURABLE, .seq = g->r.last_seq});
}

static inline void rig_apply(struct rig *g)
{
	rig_step(g, (struct replica_event){.type = EVENT_APPLIED, .seq = g->u.apply.last->seq});
}

static inline const struct replica_send *rig_sent(const struct rig *g, uint64_t node)
{
	for (uint32_t i = 0; i < g->u.n_send; i++)
		if (g->u.send[i].node == node)
			return &g->u.send[i];
	return NULL;
}

static inline uint64_t rig_call(const struct rig *g, uint64_t node)
{
	for (uint32_t i = 0; i < g->r.n_members; i++)
		if (g->r.members[i].node == node && g->r.members[i].calling)
			return g->r.members[i].call;
	return 0;
}

static inline void rig_answer(struct rig *g, uint64_t node, struct replica_append_answer a)
{
	if (a.epoch == 0)
		a.epoch = g->r.epoch;
	rig_step(g, (struct replica_event){.type = EVENT_APPEND_ANSWER,
					   .node = node,
					   .call = rig_call(g, node),
					   .answer = a});
}

/* The member holds and has applied so much. */
static inline void rig_holds(struct rig *g, uint64_t node, uint64_t durable, uint64_t applied)
{
	rig_answer(g, node,
		   (struct replica_append_answer){.durable_seq = durable,
						  .applied_seq = applied,
						  .sent_us = 7});
}

static inline void rig_write(struct rig *g, struct replica_write *w)
{
	if (w->bytes == 0 && !w->needs_state)
		w->bytes = 10;
	rig_step(g, (struct replica_event){.type = EVENT_WRITE, .write = w});
}

/* An append of `n` records of `record_epoch` after prev_seq. */
static inline void rig_append(struct rig *g, struct replica_append a, uint64_t n,
			      uint64_t record_epoch)
{
	struct replica_event e = {.type = EVENT_APPEND, .append = a, .token = g};

	for (uint64_t i = 1; i <= n; i++)
		write_list_push(&e.records, rig_entry(a.prev_seq + i, record_epoch));
	rig_step(g, e);
}

static inline void rig_tick(struct rig *g, uint64_t after_us)
{
	g->now_us += after_us;
	rig_step(g, (struct replica_event){.type = EVENT_TICK});
}
