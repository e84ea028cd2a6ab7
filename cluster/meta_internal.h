/* Private to cluster/: the parts of the control plane's machine.
 *
 *   meta.c          the step: events in, what to persist and send out; snapshots; applying
 *   meta_raft.c     the raft library behind a small interface; the only file that sees raft.h
 *   meta_request.c  commands, reads and changes of membership, from here or handed on by others
 *   meta_wire.c, meta_log.c  bytes of messages; the log in memory
 *
 * Rule of the library that shapes the code: raft_step must not be called while its update is being
 * handled. So the core's calls below only collect (meta_collect_*), and meta.c acts afterwards.
 */
#pragma once

#include "base/codec.h"
#include "base/mutant.h"
#include "base/prng.h"
#include "cluster/meta.h"
#include "cluster/meta_log.h"
#include "cluster/meta_wire.h"

enum {
	META_TRAILING_ENTRIES =
		256, /* kept below a snapshot for followers that are a little behind */
	META_COMMAND_LIMIT = 8 << 20, /* bytes of one command */
	META_REQUEST_TIMEOUT_US = 10000000,
	META_RESEND_US = 300000, /* a request handed on, or a read's question, is sent again */
};

/* The types of log entries are the library's numbers, which are on disk. */
enum { ENTRY_COMMAND = 1, ENTRY_BARRIER = 2, ENTRY_CONFIGURATION = 3 };

/* ---- meta_raft.c ---- */

struct meta_core;
struct core_start {
	uint64_t term, vote;
	uint64_t snapshot_index, snapshot_term, configuration_index;
	const struct buf *configuration; /* of the snapshot */
};
struct core_snapshot {
	uint64_t index, term, configuration_index;
	const struct buf *configuration;
};

int core_new(struct meta *m, const struct meta_options *o, struct meta_core **out,
	     struct error *err);
void core_free(struct meta_core *c);
/* Starts from what was saved; the entries are those of m->log. */
int core_begin(struct meta_core *c, const struct core_start *start, struct error *err);
int core_timeout(struct meta_core *c, struct error *err);
int core_receive(struct meta_core *c, const struct meta_wire *w, struct error *err);
/* One entry appended as leader: 0, or ERR_UNAVAILABLE (not leader now), ERR_BUSY (another change of
 * membership is under way). */
int core_submit(struct meta_core *c, uint16_t type, const void *bytes, size_t n, struct error *err);
int core_persisted(struct meta_core *c, uint64_t index, struct error *err);
int core_snapshot_taken(struct meta_core *c, const struct core_snapshot *s, uint64_t trailing,
			struct error *err);
int core_snapshot_installed(struct meta_core *c, const struct core_snapshot *s, struct error *err);
int core_configuration_committed(struct meta_core *c, uint64_t index, const void *bytes, size_t n,
				 struct error *err);
int core_transfer(struct meta_core *c, uint64_t to, struct error *err);
/* Membership: a new configuration with one server added as a learner (+1), promoted (+2) or removed
 * (-1). 1: it is so already; 0: *out is filled; else the refusal. */
int core_change(const struct meta_core *c, int change, const struct meta_voter *server,
		struct buf *out, struct error *err);
int core_catch_up_start(struct meta_core *c, uint64_t id,
			struct error *err); /* ERR_BUSY: not now */
int core_catch_up_state(const struct meta_core *c,
			uint64_t id); /* 0 running, 1 finished, -1 given up */

bool core_is_leader(const struct meta_core *c);
uint64_t core_leader(const struct meta_core *c);
uint64_t core_term(const struct meta_core *c);
uint64_t core_vote(const struct meta_core *c);
uint64_t core_commit(const struct meta_core *c);
uint64_t core_stored(const struct meta_core *c);
uint64_t core_next_timeout_us(const struct meta_core *c);
bool core_match(const struct meta_core *c, uint64_t id, uint64_t *index); /* leader only */
bool core_member(const struct meta_core *c, size_t i, struct meta_member *out);
const char *core_address_of(const struct meta_core *c, uint64_t id); /* "" = unknown */
/* Encodes the configuration of a first start. */
int core_bootstrap(const struct meta_options *o, struct buf *out, struct error *err);

/* ---- meta_late.c ---- */

bool meta_has_snapshot(struct meta *m,
		       const struct meta_wire *w); /* a SNAPSHOT brings nothing new */
bool meta_lost_its_log(const struct meta *m,
		       const struct meta_wire *w); /* the sender of a result */
const char *meta_own_address(const struct meta_options *o);

/* ---- requests ---- */

enum request_state {
	REQUEST_NEW,       /* nothing was done for it yet, or all was in vain */
	REQUEST_FORWARDED, /* the leader `sent_to` has it since `sent_us` */
	REQUEST_APPENDED,  /* it is entry `index` of `term` in our log */
	REQUEST_READING,   /* waits for round `round` */
	REQUEST_CATCHING_UP,
	REQUEST_APPLYING, /* its result is known; waits until our map holds `index` */
};
struct request {
	enum request_kind kind;
	enum request_state state;
	uint64_t origin; /* 0 = asked here, else the node that handed it on */
	uint64_t tag;    /* of the caller, or of the origin */
	uint64_t number; /* ours, when we hand it on */
	uint64_t deadline_us, sent_us, sent_to;
	uint64_t index, term, round;
	bool repeatable;  /* may be done twice without harm */
	bool exposed;     /* may have had an effect: a failure to hear is "unknown" */
	struct buf bytes; /* command */
	struct meta_voter voter;
	int change;
	struct error error;
};

enum { META_ACKS = 64 };
struct read_ack {
	uint64_t id, round;
};

struct requests {
	struct request **items;
	size_t n, cap;
	uint64_t next_number;
	uint64_t round; /* last question asked to the voters */
	bool asked;     /* in this step */
	uint64_t asked_us;
	struct read_ack acks[META_ACKS];
	size_t n_acks;
};

int requests_add(struct meta *m, const struct meta_event *event);
void requests_fini(struct requests *r);
void requests_receive(struct meta *m, const struct meta_wire *w); /* READ.., FORWARD.. */
/* Entry `index` was applied; `result` NULL for what is not a command. */
void requests_applied(struct meta *m, uint64_t index, uint64_t term, const struct error *result);
/* Moves every request as far as it goes now. */
int requests_advance(struct meta *m, struct error *err);
uint64_t requests_next_us(const struct meta *m); /* UINT64_MAX = no timer */

/* ---- meta.c ---- */

struct saved_snapshot {
	uint64_t index, term, configuration_index;
	struct buf configuration;
	struct buf bytes; /* whole, as saved and sent */
};

/* What an update promised to make durable. */
struct pending {
	uint64_t number;
	uint64_t last_index;   /* of its entries; 0 = none, or they were cut off since */
	bool taken, installed; /* its snapshot */
};

/* The commit index that a follower was told of. */
struct pushed {
	uint64_t id, commit;
};

struct meta {
	struct meta_core *core;
	struct meta_options options;
	uint64_t now_us;
	bool started;
	struct meta_log log;
	struct map *map;
	uint64_t applied, applied_bytes; /* bytes: of commands since the last snapshot */
	struct buf configuration;        /* committed, as applied */
	uint64_t configuration_index;
	struct saved_snapshot snapshot; /* durable */
	struct saved_snapshot next;     /* being saved: taken here or installed by the leader */
	struct map *next_map;           /* of an installed one */
	bool taking, installing;
	struct core_start start; /* for the first step */
	bool save_start, restart_log;
	uint64_t leader_term,
		leader_first; /* as leader of leader_term: the last entry when it began */
	struct pushed pushed[META_ACKS]; /* as leader */
	size_t n_pushed;
	struct pending *pending;
	size_t n_pending, pending_cap;
	struct prng prng;
	struct requests requests;
	struct arena *arena; /* of one step */

	/* the update under construction */
	uint64_t number;
	uint64_t saved_term, saved_vote;
	bool first_entries;
	uint64_t entries_from; /* 0 = none: the log from here on is new */
	uint64_t truncate_from, restart_log_at, restart_term, drop_before;
	bool map_changed, save_snapshot;
	struct meta_entry *entries;
	size_t entries_cap;
	struct meta_message *messages;
	size_t n_messages, messages_cap;
	struct meta_result *results;
	size_t n_results, results_cap;
};

/* What the core found to do. */
void meta_collect_entry(struct meta *m, uint64_t index, uint64_t term, uint16_t type,
			const void *bytes, size_t n);
void meta_collect_snapshot(struct meta *m, const struct core_snapshot *s, const void *bytes,
			   size_t n);
/* Encodes and queues a message; fills cluster id, sender and term. */
void meta_send(struct meta *m, uint64_t to, const char *address, struct meta_wire *w);
void meta_result_add(struct meta *m, uint64_t tag, const struct error *error, uint64_t index);
/* Checks the bytes of a snapshot and takes them apart; out's buffers are filled, *map is a reference. */
int meta_snapshot_parse(const void *bytes, size_t n, struct saved_snapshot *out, struct map **map,
			struct error *err);
