/* A whole cluster in one process, in virtual time, from one seed: the production replica machine, shard map and healer
 * on a network, disks and clocks that fail on purpose. See docs/testing.md for what is checked; check.c has the checks.
 *
 * What stands in for the rest: a disk keeps what was synced and any prefix of what was written after that; the state of
 * a partition is a small table of numbers with a rolling digest; the shard map is one linearizable register whose
 * leader dies, is cut off, and decides late (raft itself is simulated in tests/unit/cluster). */
#pragma once
#include "base/error.h"
#include "base/prng.h"
#include "cluster/heal.h"
#include "cluster/map.h"
#include "shard/replica.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SIM_NODES = 5,
	SIM_PARTITIONS = 3,
	SIM_IDS = 16,
	SIM_CLIENTS = 8,
	SIM_TICK_US = 100000,
	SIM_BEAT_US = 250000,
};

/* ---- the model of a partition's data ---- */

enum op_kind { OP_PUT, OP_REMOVE, OP_UPDATE /* only if it is there: looks at the state */ };
enum op_fate { FATE_OPEN, FATE_DONE, FATE_REFUSED, FATE_UNKNOWN };
struct sim_op { /* what a client wants; its number is its batch id */
	uint32_t partition;
	enum op_kind kind;
	uint32_t id;
	enum op_fate fate;
	bool maybe;   /* an attempt's outcome is unknown */
	uint64_t seq; /* where it was committed; 0: not */
};
struct entry {
	uint64_t seq, epoch, prev_epoch;
	uint64_t op;
	enum op_kind kind; /* resolved */
	uint32_t id;
};
struct state {
	uint64_t seq, epoch, digest;
	uint64_t values[SIM_IDS]; /* op that wrote it; 0: not there */
	bool corrupt;             /* by the simulator */
};

/* ---- a replica ---- */

struct disk {
	bool exists;
	bool wiped;           /* by the simulator, while it was in sync */
	uint64_t epoch, hint; /* the epoch file */
	struct state manifest;
	struct entry *log; /* written; log[0].seq == first */
	uint64_t first, n, cap;
	uint64_t synced_seq;
	uint64_t commit_max; /* the checks': highest seq that was committed here */
};
struct job {
	bool busy;
	int stage;
	uint64_t store_epoch, hint;
	bool truncate;
	uint64_t truncate_after;
	struct entry *append;
	uint64_t n;
};
struct rep {
	uint32_t node, part;
	bool open, failed;
	uint64_t gen; /* of the open replica; events of an older one are void */
	struct replica machine;
	struct state now;
	struct disk disk;
	struct job job;
	uint64_t rows; /* since the last seal */
	bool sealing;
	uint64_t hint_us;
	uint64_t proposal; /* number of the one under way; 0: none */
	uint64_t n_proposals;
	uint64_t checked_commit, checked_epoch;
};

struct item { /* a write in a replica */
	struct replica_write w;
	struct entry entry;
	uint64_t attempt; /* 0: none */
	struct item *all_next, **all_prev;
	struct rep *rep;
};

/* ---- network ---- */

enum msg_kind {
	MSG_APPEND,
	MSG_APPENDED,
	MSG_WRITE,
	MSG_WRITTEN,
	MSG_MAP,
	MSG_BEAT,
	MSG_BEAT_BACK,
	MSG_PROPOSE,
	MSG_PROPOSED,
	MSG_REGISTER,
	MSG_KINDS
};
struct msg {
	enum msg_kind kind;
	uint32_t from, to, part; /* nodes; 0: a client */
	uint64_t gen, call;
	struct replica_append append;
	uint64_t digest_seq, digest;
	struct entry *entries;
	uint64_t n;
	struct replica_append_answer answer;
	int rc;
	bool gone;
	uint64_t attempt, op, seq;
	uint64_t version, sent_us, incarnation;
	struct heal_report reports[SIM_PARTITIONS];
	uint64_t n_reports;
	uint64_t expect;
	struct map_partition config;
};

enum event_kind {
	EV_DELIVER,
	EV_TICK,
	EV_DISK,
	EV_CALL_OVER,
	EV_CLIENT,
	EV_ATTEMPT_OVER,
	EV_BEAT,
	EV_CONTROL,
	EV_DECIDE,
	EV_PROBED,
	EV_RESTART,
	EV_FAULT,
	EV_SEALED,
	EV_SEEDED,
	EV_PROPOSAL_OVER,
	EV_CRASH
};
struct event {
	uint64_t at_us, order;
	enum event_kind kind;
	uint32_t node; /* held back while it is paused or, when it is down, dropped; 0: none */
	uint64_t a, b, c;
	void *ptr;
};

struct token { /* an append call that a replica has to answer */
	uint32_t node, part;
	uint64_t gen, call, from, from_gen;
	uint64_t at_us;
	bool open;
};
struct call { /* an append call that waits */
	bool open;
	uint32_t node, part, to;
	uint64_t gen, call;
};
struct attempt {
	uint64_t op;
	uint32_t client;
	bool open;
};

/* ---- the cluster ---- */

/* A node can be made to crash at the next of these. */
enum moment {
	MOMENT_NONE,
	MOMENT_WRITTEN,
	MOMENT_PROPOSES,
	MOMENT_CONFIG,
	MOMENT_REPLIES,
	MOMENT_ANSWERS,
	MOMENT_COUNT
};
struct node {
	uint32_t id;
	bool up, confirmed; /* confirmed: its map was as new as the leader's since the start */
	uint64_t life;
	uint64_t paused_until_us;
	uint64_t boot_us, base_us; /* its clock: base + (now - boot) * rate */
	double rate;
	uint64_t version, version_max; /* of the map that it knows */
	uint64_t incarnation;
	bool disk_full;
	enum moment armed;
	uint64_t disk_us; /* a write takes up to */
	struct rep reps[SIM_PARTITIONS];
};
struct client {
	uint64_t op;
	uint32_t tries;
	uint64_t began_us;
};
struct committed { /* what stands at a seq */
	uint64_t op, epoch, digest;
};
struct part {
	struct committed *history; /* by seq */
	uint64_t cap;
	uint64_t acked_seq;
	uint64_t *committer; /* by epoch */
	uint64_t n_epochs;
	bool tainted; /* a replica that the simulator corrupted became primary: digests mean nothing */
	uint64_t acked_us;
};
struct stats {
	uint64_t faults, acked, refused, unknown, residual, seeds, epochs, truncations, events,
		reads;
	uint64_t resume_max_us;
};

struct sim {
	uint64_t seed;
	struct prng prng;
	uint64_t now_us, end_us, quiet_us; /* no faults after quiet_us */
	uint64_t order;
	struct event *heap;
	size_t n_events, cap_events;
	uint32_t n_nodes, n_parts, n_clients, factor;
	struct node nodes[SIM_NODES + 1];
	struct part parts[SIM_PARTITIONS];
	bool cut[SIM_NODES + 1][SIM_NODES + 1]; /* [from][to] */
	bool mute[SIM_NODES + 1]; /* the control plane's messages are lost, others not */
	double loss, twice;
	double small; /* appends that hold few records */
	double hints; /* disk jobs that note the commit position */
	uint64_t delay_us, think_us;
	uint64_t storm_us; /* until then many nodes fail at a time */
	/* control */
	struct map **maps;
	uint64_t n_maps;
	uint32_t leader;
	uint64_t leader_ok_us, elect_us;
	struct heal *heal;
	uint64_t collection_id;
	double late; /* decisions that take long */
	/* clients */
	struct client clients[SIM_CLIENTS + 1];
	struct sim_op *ops;
	uint64_t n_ops, cap_ops;
	struct attempt *attempts;
	uint64_t n_attempts, cap_attempts;
	struct token *tokens;
	uint64_t n_tokens, cap_tokens;
	struct call *calls;
	uint64_t n_calls, cap_calls;
	struct item *items;
	struct stats stats;
	const struct sim_options *options;
};
struct sim_options {
	uint64_t seconds;
	bool trace, follow;
};

/* world.c */
void sim_run(uint64_t seed, const struct sim_options *options, struct stats *total);
void later(struct sim *s, uint64_t after_us, struct event e);
uint64_t local_us(const struct sim *s, const struct node *n);
bool chance(struct sim *s, double p);
uint64_t between(struct sim *s, uint64_t low, uint64_t high);
void trace(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void violation(struct sim *s, const char *name, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void trace_dump(void);

/* net.c */
struct msg *msg_new(enum msg_kind kind, uint32_t from, uint32_t to, uint32_t part);
void msg_free(struct msg *m);
void net_send(struct sim *s, struct msg *m);
void net_deliver(struct sim *s, struct msg *m);
bool net_control(const struct sim *s, uint32_t a, uint32_t b);
bool net_linked(const struct sim *s, uint32_t a, uint32_t b); /* both ways, both alive */

/* replica.c */
void rep_open(struct sim *s, struct rep *r);
void rep_crash(struct sim *s, struct rep *r);
void rep_stop(struct sim *s, struct rep *r); /* in good order */
void rep_event(struct sim *s, struct rep *r, struct replica_event e);
void rep_config(struct sim *s, struct rep *r);
void rep_disk(struct sim *s, struct rep *r, uint64_t gen);
void rep_sealed(struct sim *s, struct rep *r, uint64_t gen, struct state *snapshot);
void rep_seeded(struct sim *s, struct rep *r, uint64_t gen, uint32_t from);
void rep_append(struct sim *s, struct rep *r, struct msg *m);
void rep_write(struct sim *s, struct rep *r, struct msg *m);
void rep_tick(struct sim *s, struct rep *r);
void call_over(struct sim *s, uint64_t call, struct msg *m); /* NULL: no answer */
void rep_proposed(struct sim *s, struct rep *r, uint64_t gen, uint64_t proposal, int rc);
void disk_wipe(struct disk *d);

/* node.c */
void node_start(struct sim *s, struct node *n);
void node_crash(struct sim *s, struct node *n);
void node_stop(struct sim *s, struct node *n);
void node_map(struct sim *s, struct node *n, uint64_t version);
void node_tick(struct sim *s, struct node *n);
void node_beat(struct sim *s, struct node *n);
void node_beat_back(struct sim *s, struct node *n, const struct msg *m);

/* control.c */
void control_begin(struct sim *s);
void control_end(struct sim *s);
void control_tick(struct sim *s);
void control_message(struct sim *s, struct msg *m);
void control_decide(struct sim *s, struct map_command *c, struct msg *from);
void control_put(struct sim *s, const struct map_command *c);
void control_probed(struct sim *s, uint32_t through, uint32_t node);
const struct map_partition *map_config(const struct sim *s, uint64_t version, uint32_t part);

/* client.c */
void client_next(struct sim *s, uint32_t client);
void client_answer(struct sim *s, uint64_t attempt, int rc, uint64_t seq);

/* faults.c */
void fault_begin(struct sim *s);
void fault_next(struct sim *s);
void fault_moment(struct sim *s, uint32_t node, enum moment moment);
void fault_crash(struct sim *s, struct node *n);
void fault_heal_all(struct sim *s);

/* check.c */
void check_committed(struct sim *s, struct rep *r);
void check_applied(struct sim *s, struct rep *r, const struct entry *e);
void check_truncate(struct sim *s, struct rep *r, uint64_t after);
void check_answer(struct sim *s, struct rep *r, const struct entry *e, uint64_t seq, bool nothing);
void check_reads(struct sim *s, uint32_t part);
void check_map(struct sim *s);
void check_end(struct sim *s);
