/* The replica machine: decides the order of a partition's writes, when they are committed, applied
 * and answered, and when the mutable segment is sealed. Pure: no clock, thread, file or network in
 * it; shard/runtime.c executes its updates.
 *
 * Life of a write:   queue -> (resolve) -> append -> in flight -> apply -> answer
 *
 *   queue     in order of arrival. While an append is on its way to the disk everything waits here
 *   and goes with the next
 *             one: group commit.
 *   resolve   a write that must look at the state (delete by filter, insert only, ...) waits until
 *   everything before it is
 *             applied and nothing is in between, then the runtime turns it into plain ids.
 *   append    gets its sequence number. A refused append (full disk) gives the numbers back:
 *   refused writes leave nothing. in flight commit = durable on every in-sync member (today that is
 *   this replica alone; the members' table is
 *             the place where others come in). Nothing is applied before it is committed.
 *   apply     in order; visible to searches before it is answered.
 *
 * A batch id that was applied in the last ten minutes is answered with what was answered then. One
 * that is on its way makes its second copy wait like a write that must look at the state.
 */
#pragma once
#include "base/limits.h"
#include "shard/batches.h"
#include <stdbool.h>
#include <stdint.h>

/* A write, embedded in the runtime's own struct. The machine holds it from EVENT_WRITE until it is
 * in update.answer. */
struct replica_write {
	struct replica_write *next;
	uint64_t batch_hi, batch_lo;
	uint64_t bytes;   /* of the encoded op; 0 while not resolved */
	bool needs_state; /* must be resolved first */
	bool resolved;
	/* the machine's */
	uint64_t seq, epoch, prev_epoch;
	uint64_t changed;
	int rc; /* when answered: 0 or why it was refused */
};
struct write_list {
	struct replica_write *first, *last;
};
void write_list_push(struct write_list *l, struct replica_write *w);
struct replica_write *write_list_pop(struct write_list *l); /* NULL when empty */

enum replica_event_type {
	EVENT_WRITE,    /* write */
	EVENT_RESOLVED, /* write: `rc` < 0 refused, else ready; `bytes` = 0: it concerns no point */
	EVENT_DURABLE,  /* member `node` holds everything up to seq */
	EVENT_APPEND_FAILED, /* nothing of the last append was kept; rc */
	EVENT_APPLIED,       /* everything in update.apply was applied and published */
	EVENT_TICK,
	EVENT_CLOSE, /* queued writes are refused; those in flight go on */
};
struct replica_event {
	enum replica_event_type type;
	uint64_t now_us; /* monotonic */
	uint64_t wall_us;
	struct replica_write *write;
	uint64_t node, seq;
	int rc;
	/* APPLIED, TICK: the mutable segment now */
	uint64_t mutable_rows, mutable_bytes;
	uint64_t killed_rows; /* rows of other segments that died since the last seal */
	bool may_seal;        /* there is room for another frozen segment */
};
struct replica_update { /* executed in this order */
	struct write_list
		append; /* write to the log in order, sync, then EVENT_DURABLE; borrowed until answered */
	struct write_list apply; /* apply in order, publish, then EVENT_APPLIED with the last seq */
	struct replica_write *resolve; /* turn into a plain op, then EVENT_RESOLVED */
	struct write_list answer;      /* handed back to the runtime: answer each */
	bool seal;                     /* freeze the mutable segment now */
};

struct replica_limits {
	uint64_t seal_rows, seal_bytes, seal_idle_us, seal_min_rows;
	/* so much log since the last seal is sealed too, to bound the next replay */
	uint64_t seal_log_bytes;
	uint64_t append_bytes; /* of one append */
};
struct replica_member {
	uint64_t node;
	uint64_t durable_seq;
};
struct replica {
	struct replica_limits limits;
	uint64_t self_node;
	uint64_t epoch;
	uint64_t last_seq, last_epoch; /* end of the log, appends on their way included */
	uint64_t commit_seq, applied_seq;
	struct replica_member members[LIMIT_REPLICAS]; /* the in-sync set, this replica first */
	uint32_t n_members;
	struct write_list queue;    /* waiting for a sequence number */
	struct write_list flight;   /* numbered, not committed */
	struct write_list applying; /* committed, given out to be applied */
	struct replica_write *resolving;
	bool appending;
	bool closed;
	uint64_t log_bytes;  /* since the last seal */
	uint64_t changed_us; /* when something was applied last */
	struct batches batches;
};

void replica_init(struct replica *r, uint64_t self_node, uint64_t epoch,
		  const struct replica_limits *limits);
void replica_fini(struct replica *r);
/* Where recovery left off: everything up to seq is durable and applied. */
void replica_recovered(struct replica *r, uint64_t seq, uint64_t epoch, uint64_t log_bytes);
/* `update` is zeroed first. */
void replica_step(struct replica *r, const struct replica_event *event,
		  struct replica_update *update);
/* Nothing queued, in flight or being applied? */
bool replica_quiet(const struct replica *r);
