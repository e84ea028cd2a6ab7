/* Private to shard/replica*.c: what the parts of the replica machine have in common. */
#pragma once
#include "base/assert.h"
#include "base/error.h"
#include "base/mutant.h"
#include "shard/replica.h"

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- replica.c ---- */
uint64_t replica_epoch_at(const struct replica *r,
			  uint64_t seq); /* 0: not known any more, or seq 0 */
uint64_t replica_run_start(const struct replica *r,
			   uint64_t seq); /* first seq known to be of the same epoch */
void replica_extend(struct replica *r, struct replica_write *w); /* at the end of the log */
/* Takes what is after `seq` off the log; clients get `rc`. */
void replica_cut(struct replica *r, struct replica_update *u, uint64_t seq, int rc);
void replica_begin_job(struct replica *r, struct replica_update *u);
/* Answers the client, if there is one; the item stays. */
void replica_answer(struct replica_update *u, struct replica_write *w, int rc);
void replica_finish_all(struct replica_update *u, struct write_list *l, int rc);

/* ---- replica_role.c ---- */
bool replica_names(const uint64_t *ids, uint32_t n, uint64_t id);
/* Primary by the newest configuration, and nobody has shown a newer one. */
bool replica_leads(const struct replica *r);
/* Leads, and knows enough to send and commit. */
bool replica_active(const struct replica *r);
void replica_raise_epoch(struct replica *r, uint64_t epoch);
/* Another one is primary now. */
void replica_step_down(struct replica *r, struct replica_update *u);
void replica_on_config(struct replica *r, const struct map_partition *c, struct replica_update *u);
void replica_look_caught_up(struct replica *r);

/* ---- replica_primary.c ---- */
void replica_commit(struct replica *r);
uint64_t replica_applied_everywhere(const struct replica *r);
void replica_hold_for_leavers(struct replica *r, const struct map_partition *next);
void replica_set_members(struct replica *r, bool fresh);
void replica_on_append_answer(struct replica *r, const struct replica_event *e);
void replica_stood_still(struct replica *r, uint64_t gap_us);
void replica_send(struct replica *r, struct replica_update *u);
void replica_propose(struct replica *r, struct replica_update *u);
/* Until when no other replica can have been primary and answered a write; `except` does not count. */
uint64_t replica_lease(const struct replica *r, uint64_t except);

/* ---- replica_follower.c ---- */
void replica_on_append(struct replica *r, const struct replica_event *e, struct replica_update *u);
void replica_unpark(struct replica *r, struct replica_update *u);
/* Appends that wait get an answer now: a refusal, or with rc < 0 none. */
void replica_refuse_pending(struct replica *r, struct replica_update *u, int rc);
void replica_reply(struct replica *r, struct replica_update *u);
