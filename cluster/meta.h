/* Driver of the raft core (cowsql/raft through raft_step) for the control plane. Pure: events with time in, updates out.
 * The runtime in coordinator/ makes term, vote, entries and snapshots durable *before* it sends the messages of the same update,
 * then feeds META_PERSISTED.
 *
 * Log entries are map commands; the driver applies committed ones to its map.
 */
#pragma once
#include "cluster/map.h"

struct meta;

struct meta_voter {
	uint64_t id;
	const char *address;
};
struct meta_options {
	uint64_t self;
	uint64_t seed;
	uint64_t now_us;
	uint64_t heartbeat_us;        /* 0 = 100 ms */
	uint64_t election_timeout_us; /* 0 = 500 ms (randomised up to twice) */
	const struct meta_voter *
		bootstrap; /* first start of a cluster: all voters; NULL: nothing known yet (joins later) */
	size_t n_bootstrap;
	uint64_t cluster_id;       /* messages of another cluster are dropped */
	uint64_t snapshot_entries; /* 0 = 1,024 applied entries between snapshots */
	uint64_t snapshot_bytes;   /* 0 = 4 MB of applied entries */
};

/* What was found on disk at start. */
struct meta_entry {
	uint64_t index, term;
	uint16_t type;
	const void *bytes;
	size_t n;
};
struct meta_saved {
	uint64_t term, vote;  /* 0, 0 = never saved */
	const void *snapshot; /* map bytes with configuration, NULL = none */
	size_t snapshot_n;
	uint64_t snapshot_index, snapshot_term;
	/* Contiguous; those up to snapshot_index are skipped. When they do not reach back to
	 * snapshot_index + 1, or disagree with the snapshot, none is used and the first update
	 * restarts the log. */
	const struct meta_entry *entries;
	size_t n_entries;
};

enum meta_event_type {
	META_TICK,
	META_MESSAGE,
	META_PERSISTED,
	META_SUBMIT,
	META_READ,
	META_CHANGE,
	META_TRANSFER
};
struct meta_event {
	enum meta_event_type type;
	uint64_t now_us;
	uint64_t from;     /* MESSAGE: sender; bytes as the peer's update gave them */
	const void *bytes; /* MESSAGE, SUBMIT (encoded command) */
	size_t n;
	uint64_t tag;            /* SUBMIT, READ, CHANGE: returned with the result */
	uint64_t persisted;      /* PERSISTED: number of the update that is durable now */
	struct meta_voter voter; /* CHANGE: server to add, promote or remove */
	int change;              /* CHANGE: +1 add as learner, +2 promote to voter, -1 remove */
	uint64_t timeout_us;     /* SUBMIT, READ, CHANGE: 0 = 10 s; the result comes by then */
				 /* TRANSFER: leadership to voter.id, 0 = any */
};

struct meta_message {
	uint64_t to;
	const char *address; /* as far as the coordinators know it; "" = not at all */
	void *bytes;
	size_t n;
};
/* A request may be given to any node: one that does not lead hands it to the leader, again when the
 * leader changes, and answers once its own map holds the effect. error.code 0 = applied here, or
 * confirmed; a refusal of map_apply as it is; ERR_UNAVAILABLE = no leader was found in time, nothing
 * happened; ERR_TIMEOUT = the result is unknown: asking again with the same command id is safe.
 * Commands without an id are not handed on twice. */
struct meta_result {
	uint64_t tag;
	struct error error;
	uint64_t index;
};

/* Everything to be done after a step; arrays valid until the next step. Order: persist (term and
 * vote, snapshot, restart of the log, truncate, entries), then send messages, then deliver results.
 * Several updates may be persisted with one sync: their messages wait for it, and one META_PERSISTED
 * with the last number covers all. An update that persists nothing needs none. */
struct meta_update {
	uint64_t number;
	bool persist; /* there is something to make durable */
	bool save_vote;
	uint64_t term, vote;
	uint64_t truncate_from; /* 0 = none; drop entries with index >= this first */
	const struct meta_entry *entries;
	size_t n_entries;
	bool save_snapshot;
	const void *snapshot;
	size_t snapshot_n;
	uint64_t snapshot_index, snapshot_term;
	/* 0 = none; the log becomes empty, its next index is this, restart_term the one before. */
	uint64_t restart_log_at, restart_term;
	uint64_t drop_before; /* 0 = none; entries below are not needed any more */
	const struct meta_message *messages;
	size_t n_messages;
	const struct meta_result *results;
	size_t n_results;
	bool map_changed;      /* meta_map() is new */
	uint64_t next_tick_us; /* absolute time by which a META_TICK is due */
};

int meta_new(const struct meta_options *o, const struct meta_saved *saved, struct meta **out,
	     struct error *err);
void meta_free(struct meta *m);
int meta_step(struct meta *m, const struct meta_event *event, struct meta_update *out,
	      struct error *err);
const struct map *meta_map(
	const struct meta *m);              /* borrowed until the next step; take a ref to keep */
uint64_t meta_leader(const struct meta *m); /* 0 = unknown */
bool meta_is_leader(const struct meta *m);
uint64_t meta_term(const struct meta *m);
uint64_t meta_commit_index(const struct meta *m);
uint64_t meta_applied_index(const struct meta *m);
/* The servers of the current configuration; false past the end. address is borrowed until the next step. */
struct meta_member {
	uint64_t id;
	const char *address;
	bool voter;
};
bool meta_member(const struct meta *m, size_t i, struct meta_member *out);
