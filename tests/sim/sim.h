/* A whole cluster in one process, in virtual time, from one seed, on a network, disks and clocks that fail on purpose.
 * See docs/testing.md for what is checked; check.c and check_meta.c have the checks.
 *
 * Production code in it: the replica machine, raft and its driver with their files on a disk in memory, the shard map,
 * the healer, the placement of collections, the choice of replicas for reads, the operator's moves and drains.
 * What stands in for the rest: the log of a partition is an array, of which a crash keeps what was synced and any
 * prefix of what was written after that; its state is a small table of numbers with a rolling digest; threads and
 * sockets are events. */
#pragma once
#include "base/codec.h"
#include "base/error.h"
#include "base/prng.h"
#include "cluster/heal.h"
#include "cluster/map.h"
#include "cluster/meta.h"
#include "coordinator/meta_disk.h"
#include "coordinator/route.h"
#include "shard/replica.h"
#include "store/io_memory.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SIM_FIRST = 5,  /* nodes at the first start, at most */
	SIM_NODES = 24, /* the highest id; those that join later begin at MAP_FIRST_ID */
	SIM_PARTITIONS = 3,
	SIM_IDS = 16,
	SIM_CLIENTS = 8,
	SIM_TICK_US = 100000,
	SIM_NAMELESS = 256,
	SIM_CALM_S = 100, /* after the last fault */
};

/* ---- the model of a partition's data ---- */

enum op_kind {
	SIM_PUT,
	SIM_REMOVE,
	SIM_UPDATE,        /* only if it is there: looks at the state */
	SIM_REMOVE_COLOUR, /* by filter: looks at the state, too */
	SIM_OP_KINDS
};
enum op_fate { FATE_OPEN, FATE_DONE, FATE_REFUSED, FATE_UNKNOWN };
struct sim_op { /* what a client wants; its number is its batch id */
	uint32_t partition;
	enum op_kind kind;
	uint32_t id; /* REMOVE_COLOUR: the colour */
	enum op_fate fate;
	bool maybe;   /* an attempt's outcome is unknown */
	uint64_t seq; /* where it was committed; 0: not */
};
struct entry {
	uint64_t seq, epoch, prev_epoch;
	uint64_t op;
	enum op_kind kind; /* resolved: PUT or REMOVE */
	uint32_t ids;      /* a bit each */
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
	bool known;   /* durable: it was held here */
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
	MSG_READ,
	MSG_READ_BACK,
	MSG_META, /* of the raft driver */
	MSG_BEAT,
	MSG_KINDS
};
struct msg {
	enum msg_kind kind;
	uint32_t from, to; /* nodes; 0: a client */
	uint32_t part;     /* BEAT: whose it is */
	struct msg *next;  /* held until the sync of the control plane's log */
	uint64_t gen, call;
	struct replica_append append;
	uint64_t digest_seq, digest;
	struct entry *entries;
	uint64_t n;
	struct replica_append_answer answer;
	int rc;
	bool gone;
	uint64_t attempt, op, seq;
	uint64_t incarnation, said_us; /* BEAT */
	uint64_t n_reports;
	struct buf bytes; /* META */
	bool in_gap;      /* READ_BACK: answered by the contact lease alone */
	/* From here on only what was set is zeroed or looked at. */
	struct heal_report reports[SIM_PARTITIONS];
	uint64_t values[SIM_IDS];
};

enum event_kind {
	EV_DELIVER,
	EV_TICK,
	EV_DISK,
	EV_CALL_OVER,
	EV_CLIENT,
	EV_ATTEMPT_OVER,
	EV_MEMBER, /* the control thread of a node */
	EV_META_TICK,
	EV_META_SYNC, /* the disk of the control plane */
	EV_POST,      /* a request to the control plane */
	EV_PROBED,
	EV_RESTART,
	EV_FAULT,
	EV_SEALED,
	EV_SEEDED,
	EV_CRASH,
	EV_OPERATOR,
	EV_SEARCH,
	EV_SEARCH_AGAIN,
	EV_READ_OVER,
	EV_READS_OVER,
	EV_CALLS_OVER,
	EV_LOAD,
	EV_HISTORY
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
	uint64_t at_us;
};
struct attempt {
	uint64_t op;
	uint64_t until_us;
	uint32_t client;
	bool open;
};

/* ---- the control plane ---- */

enum ask_kind {
	ASK_CONTACT,
	ASK_REGISTER_READ,
	ASK_REGISTER_PUT,
	ASK_PROPOSE,
	ASK_HEAL,
	ASK_CREATE,
	ASK_JOIN,
	ASK_REMOVE,
	ASK_OTHER
};
struct ask { /* a request to the control plane; its number is the tag, and the id of its command */
	enum ask_kind kind;
	bool open, read, submitted, committed;
	bool void_;    /* it was answered that nothing has happened */
	bool nameless; /* its command has no id and is known by its bytes */
	uint32_t node, part;
	uint64_t life, gen, number;
	uint64_t at_us;       /* CONTACT: when it was asked, on the node's clock */
	uint64_t floor;       /* reads: the index of what had been answered before */
	uint64_t hash, older; /* nameless: of its entry; the one before in its row */
};
struct post {
	struct meta_event event;
	struct buf bytes;
	char address[32];
};
struct entry_mark { /* an entry of the control plane's log */
	uint64_t term, hash, ask;
};
struct agreed { /* by index: what was committed, and the map after it */
	struct entry_mark entry;
	uint64_t in_term; /* whose leader committed it */
	uint64_t map_hash;
};
/* The control plane of a node. */
struct control {
	struct meta *meta; /* NULL: down */
	struct memory_disk *platter;
	struct meta_disk disk;
	const struct map *map; /* the last that was published; a reference */
	struct meta_update update;
	bool stuck; /* the update waits for room on the disk */
	uint64_t unsynced;
	bool syncing;
	struct msg *held, **held_end;
	uint64_t tick_us, tick_at_us; /* wanted, on the node's clock; of the event that will come */
	struct entry_mark *log;       /* the checks': what it holds, from log_first on */
	uint64_t log_first, log_n, log_cap;
	uint64_t applied, commit, leads_term;
	/* what server/member.c does */
	struct heal *heal;
	bool leads, registered, registering;
	uint64_t led_by, leader_heard_us, register_us, beat_us;
	uint64_t incarnation; /* 0: not registered since the start */
	uint32_t contacts;
};

/* ---- searches ---- */

struct search {
	bool open;
	uint32_t node; /* the coordinator */
	uint64_t life, began_us;
	struct {
		bool answered;
		uint32_t open;
		uint64_t floor; /* acknowledged before it began */
		struct route_avoid tried;
	} parts[SIM_PARTITIONS];
	uint32_t left;
};
struct read_try {
	uint64_t search, began_us;
	uint32_t part;
	uint64_t to;
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
	MOMENT_VOTED, /* from here on: of the control plane */
	MOMENT_CHANGES,
	MOMENT_SNAPSHOT,
	MOMENT_COMMITS,
	MOMENT_LEADS,
	MOMENT_COUNT, /* what comes now is not chosen by chance */
	MOMENT_BEGINS /* with an empty folder */
};
struct node {
	uint32_t id;
	bool exists, up,
		confirmed; /* confirmed: its map was as new as the leader's since the start */
	bool gone;         /* never comes back: its disk is lost, or it was removed */
	bool first;        /* of the first start */
	uint64_t life;
	uint64_t paused_until_us;
	uint64_t boot_us, base_us; /* its clock: base + (now - boot) * rate */
	double rate;
	int64_t wall_us; /* its wall clock is off by this */
	bool disk_full;
	/* Heartbeats from before it lost a folder, and until then, are lost. */
	uint64_t wiped_us, unheard_until_us;
	enum moment armed;
	bool loses;       /* its folder, when it stops at that moment */
	uint64_t disk_us; /* a write takes up to */
	struct control control;
	struct route route;
	uint64_t confirmed_incarnation; /* of this node by the map that was confirmed first: a higher one is this start */
	uint64_t known_since; /* durable: of collections from this id on `known` is complete; 0: not said yet */
	struct rep reps[SIM_PARTITIONS];
};
struct client {
	uint64_t op;
	uint64_t attempt; /* the last one */
	uint32_t tries;
	bool timed; /* an event will look at it */
};
struct committed { /* what stands at a seq */
	uint64_t op, epoch, digest;
	uint64_t content; /* hash of what is there after it, as the oracle has it */
};
struct part {
	uint64_t oracle[SIM_IDS]; /* what is there, by the clients' operations alone */
	uint64_t oracle_seq;
	struct committed *history; /* by seq */
	uint64_t cap;
	uint64_t acked_seq, read_seq; /* read_seq: acked_seq when all copies were looked at last */
	uint64_t *committer;          /* by epoch */
	uint64_t n_epochs;
	bool tainted; /* a replica that the simulator corrupted became primary: digests mean nothing */
	uint64_t acked_us;
};
struct stats {
	uint64_t faults, acked, refused, unknown, residual, seeds, epochs, truncations, events,
		reads;
	uint64_t terms, commands, snapshots, voters, searches, unanswered, joined;
	uint64_t resume_max_us;
};

/* Of history.c: what happens to messages of one kind to one node. */
enum slow_how { SLOW_NOT, SLOW_LOST, SLOW_LATE, SLOW_AGAIN };
struct slow {
	enum slow_how how; /* AGAIN: a second copy comes late */
	enum msg_kind kind;
	uint32_t wire;     /* of META: bits by enum meta_wire_type; 0: all */
	uint32_t from, to; /* from 0: whoever it is */
	uint64_t us;
};
struct history {
	uint32_t kind, step;
	uint32_t node, primary;
	uint64_t until_us, n;
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
	bool late;                     /* second copies may come seconds later */
	uint32_t lost_kinds, kinds_of; /* bits by enum meta_wire_type; the node, 0: all */
	double kind_loss;
	double small; /* appends that hold few records */
	double hints; /* disk jobs that note the commit position */
	uint64_t delay_us, think_us;
	uint64_t storm_us; /* until then many nodes fail at a time */
	bool stress;       /* a world of stress.c */
	bool histories;    /* one of history.c */
	struct history history;
	struct slow slow;
	uint64_t jumble_us; /* what waited for a node that stood still comes in any order, within this */
	uint64_t tense_until_us;
	bool split_at_lead; /* when the next one begins to lead */
	/* control plane */
	struct meta_voter first[SIM_FIRST];
	char addresses[SIM_NODES + 1][32];
	uint32_t n_first;
	const struct map *newest; /* that anybody has applied */
	struct agreed *agreed;    /* by index */
	uint64_t n_agreed, cap_agreed;
	uint32_t *leaders; /* by term */
	uint64_t cap_terms;
	uint64_t answered; /* the highest index that a client of the map was told */
	uint64_t snapshot_entries, grace_us;
	bool uneven; /* each process takes snapshots after another number of entries */
	struct ask *asks;
	uint64_t n_asks, cap_asks;
	uint64_t nameless[SIM_NAMELESS]; /* by hash: the last ask whose command has no id */
	uint64_t collection_id;
	uint32_t first_joins, to_join, n_joined;
	uint32_t leaving; /* the node that is gone and not yet removed */
	bool mended;
	uint64_t patience_us; /* by then after the last fault everything must be well again */
	struct search *searches;
	uint64_t n_searches, cap_searches, open_searches;
	struct read_try *tries;
	uint64_t n_tries, cap_tries, first_try; /* the first that may be open */
	/* clients */
	struct client clients[SIM_CLIENTS + 1];
	struct sim_op *ops;
	uint64_t n_ops, cap_ops;
	struct attempt *attempts;
	uint64_t n_attempts, cap_attempts;
	struct token *tokens;
	uint64_t n_tokens, cap_tokens;
	struct call *calls;
	uint64_t n_calls, cap_calls, first_call;
	struct item *items;
	struct stats stats;
	const struct sim_options *options;
};
enum sim_world { WORLD_ANY, WORLD_PLAIN, WORLD_CONTROL, WORLD_HISTORIES, WORLD_COUNT };
struct sim_options {
	uint64_t seconds;
	enum sim_world world;
	bool trace, follow;
};

/* world.c */
void sim_run(uint64_t seed, const struct sim_options *options, struct stats *out);
void later(struct sim *s, uint64_t after_us, struct event e);
uint64_t local_us(const struct sim *s, const struct node *n);
bool chance(struct sim *s, double p);
uint64_t between(struct sim *s, uint64_t low, uint64_t high);
void trace_line(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define trace(s, ...) ((s)->options->trace ? trace_line((s), __VA_ARGS__) : (void)0)
void violation(struct sim *s, const char *name, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void trace_dump(void);
/* Room for one more. */
void *room(void *array, uint64_t n, uint64_t *cap, size_t each);

/* net.c */
struct msg *msg_new(enum msg_kind kind, uint32_t from, uint32_t to, uint32_t part);
void msg_free(struct msg *m);
void net_send(struct sim *s, struct msg *m);
void net_deliver(struct sim *s, struct msg *m);
bool net_control(const struct sim *s, uint32_t a, uint32_t b); /* for the control plane, too */
bool net_linked(const struct sim *s, uint32_t a, uint32_t b);  /* both ways, both alive */

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
void calls_sweep(struct sim *s);
void call_over(struct sim *s, uint64_t call, struct msg *m); /* NULL: no answer */
void rep_proposed(struct sim *s, struct rep *r, uint64_t gen, uint64_t proposal, int rc);
void disk_wipe(struct disk *d);

/* node.c */
void node_init(struct sim *s, struct node *n, uint32_t id);
void node_start(struct sim *s, struct node *n);
void node_crash(struct sim *s, struct node *n);
void node_stop(struct sim *s, struct node *n);
void node_map(struct sim *s, struct node *n);
void node_tick(struct sim *s, struct node *n);
void node_contact(struct sim *s, struct node *n, uint64_t at_us);
void node_wipe(struct node *n); /* it is down */

/* control.c: the raft driver's runtime */
void control_begin(struct sim *s);
void control_end(struct sim *s);
void control_start(struct sim *s, struct node *n);
void control_crash(struct sim *s, struct node *n);
void control_wipe(struct node *n);
void control_tick(struct sim *s, struct node *n, uint64_t at_us);
void control_sync(struct sim *s, struct node *n);
void control_message(struct sim *s, struct node *n, const struct msg *m);
void control_post(struct sim *s, struct node *n, const struct post *p);
uint64_t ask_new(struct sim *s, const struct ask *a);
void ask_submit(struct sim *s, struct node *n, uint64_t ask, const struct map_command *c);
void ask_read(struct sim *s, struct node *n, uint64_t ask);
void ask_change(struct sim *s, struct node *n, uint64_t ask, const struct heal_change *change);
void ask_transfer(struct sim *s, struct node *n);
void post_free(struct post *p);
const struct map_partition *map_config(const struct map *m, uint32_t part); /* NULL: none */
const struct map_partition *newest_config(const struct sim *s, uint32_t part);

/* member.c: what server/member*.c does */
void member_start(struct sim *s, struct node *n);
void member_tick(struct sim *s, struct node *n);
void member_beat(struct sim *s, struct node *n, const struct msg *m);
void member_map(struct sim *s, struct node *n);
void member_probed(struct sim *s, struct node *n, uint32_t through, uint32_t about);
void member_answer(struct sim *s, const struct ask *a, const struct error *result);
struct node *leader_of(struct sim *s); /* NULL: none */
bool member_follows(const struct node *n,
		    uint64_t id); /* the control plane's log, or votes, as n knows it */

/* operator.c: who creates the collection, moves, drains, removes and adds */
void operator_begin(struct sim *s);
void operator_tick(struct sim *s);
void operator_answer(struct sim *s, const struct ask *a, const struct error *result);
void operator_move(struct sim *s);
void operator_drain(struct sim *s, struct node *n);
void operator_join(struct sim *s);
void operator_leave(struct sim *s, struct node *n);
bool operator_busy(const struct sim *s); /* a node is gone and not yet removed */

/* search.c */
void search_next(struct sim *s);
void search_read(struct sim *s, struct node *n, const struct msg *m);
void search_back(struct sim *s, const struct msg *m);
void search_over(struct sim *s, uint64_t read_try);
void search_sweep(struct sim *s);
void search_again(struct sim *s, uint64_t search, uint32_t part);

/* client.c */
void client_next(struct sim *s, uint32_t client);
void client_timer(struct sim *s, uint32_t client);
void client_answer(struct sim *s, uint64_t attempt, int rc, uint64_t seq);
struct node *any_up(struct sim *s); /* NULL: none */
uint32_t colour_of(uint64_t op);

/* faults.c */
void fault_begin(struct sim *s);
void fault_next(struct sim *s);
void fault_moment(struct sim *s, uint32_t node, enum moment moment);
void fault_crash(struct sim *s, struct node *n);
void fault_heal_all(struct sim *s);
void fault_mend_network(struct sim *s);
void fault_slow_disk(struct sim *s);
void fault_lose_folder(struct sim *s, struct node *n, uint32_t part);
bool fault_copies_are_good(struct sim *s, uint32_t part);
bool fault_settled(const struct sim *s); /* no change of the map is under way */
void fault_arm_disk(struct sim *s, struct node *n);
void fault_transfer(struct sim *s);
struct node *any_node(struct sim *s); /* one that was not taken away */

/* stress.c: worlds about the control plane */
void stress_begin(struct sim *s);
void stress_control(struct sim *s);
uint64_t stress_snapshot_entries(struct sim *s); /* of a process, in an uneven world */
void stress_started(struct sim *s);
void stress_load(struct sim *s);
void stress_fault(struct sim *s);
void stress_leads(struct sim *s);
uint64_t stress_pause_us(struct sim *s);
bool stress_lost(struct sim *s, const struct msg *m);
void stress_put(struct sim *s, struct node *n); /* a command that harms nobody */

/* history.c: worlds of scripts */
void history_begin(struct sim *s);
void history_control(struct sim *s);
void history_fault(struct sim *s);
void history_next(struct sim *s);
bool history_lost(const struct sim *s, const struct msg *m);
uint64_t history_late_us(const struct sim *s, const struct msg *m);
bool history_again(const struct sim *s, const struct msg *m);

/* check.c */
void check_committed(struct sim *s, struct rep *r);
void check_applied(struct sim *s, struct rep *r, const struct entry *e);
bool check_counted_on(const struct sim *s, const struct rep *r);
void check_taken_away(struct sim *s, const struct rep *r); /* its folder, by the map of its node */
void check_truncate(struct sim *s, struct rep *r, uint64_t after);
void check_answer(struct sim *s, struct rep *r, const struct entry *e, uint64_t seq, bool nothing);
void check_reads(struct sim *s, const struct rep *stepped);
bool check_in_gap(struct sim *s, const struct rep *r); /* it answers by the contact lease alone */
void check_found(struct sim *s, const struct msg *m, uint64_t floor, const struct read_try *t);
void check_map(struct sim *s, const struct map *before, const struct map *now);
void check_end(struct sim *s);
uint64_t content_of(const uint64_t *values);

/* check_meta.c: the control plane */
void check_loaded(struct sim *s, struct node *n, const struct meta_saved *saved);
void check_update(struct sim *s, struct node *n, const struct meta_update *u);
void check_stepped(struct sim *s, struct node *n);
void check_result(struct sim *s, struct ask *a, const struct meta_result *r);
void check_meta_end(struct sim *s);
void check_describe(struct sim *s);
uint64_t check_hash(const void *bytes, size_t n); /* of the entry of a command */
