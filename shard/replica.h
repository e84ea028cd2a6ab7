/* TODO R1: take in H1..H6 of /work/tmp/repl_status.txt (holes found by the Promela model; the file grows: look again before each task). Then delete this line. */
/* The replica machine: decides the order of a partition's writes, when they are sent to the other replicas,
 * committed, applied and answered, when the set of replicas has to change, whether this replica may answer reads,
 * and when the mutable segment is sealed. Pure: no clock, thread, file or network in it; shard/runtime.c and
 * shard/host.c execute its updates. The protocol is docs/replication.md's: primary and copies, with the in-sync
 * set kept in the shard map (PacificA, and Kafka's ISR).
 *
 * Life of a write on the primary:
 *
 *   queue -> (resolve) -> append -> in flight -> apply -> answering -> answer
 *
 *   queue      in order of arrival. One group of writes is in flight at a time; everything that comes meanwhile
 *              goes with the next one: group commit.
 *   resolve    a write that must look at the state (delete by filter, insert only, ...) waits until everything
 *              before it is applied and nothing is in between; the runtime turns it into plain ids.
 *   append     gets its sequence number and goes to the own disk. A refused append (full disk) gives the numbers
 *              back: refused writes leave nothing, as the others get it only once it is written here.
 *   in flight  commit = durable here, on every other in-sync member and on every learner that is required (its
 *              addition has been, or may have been, proposed). Nothing is applied before it is committed.
 *   apply      in order.
 *   answering  until all those have applied it too: what was answered is visible to the next search anywhere.
 *
 * On a follower the records of an append are in flight until the primary says that they are committed, or another
 * primary has them truncated. A batch id that was applied in the last ten minutes is answered with what was answered
 * then; one that is on its way makes its second copy wait.
 *
 * Files: replica.c (dispatch, queue, log, commit, apply, answers), replica_primary.c (members, sends, proposals),
 * replica_follower.c (appends of the primary), replica_role.c (configurations, roles, leases).
 */
#pragma once
#include "base/limits.h"
#include "cluster/map.h"
#include "rpc/messages.h"
#include "shard/batches.h"
#include <stdbool.h>
#include <stdint.h>

/* An entry of the log, or a write on its way to become one; embedded in the runtime's own struct. The runtime owns
 * the memory; the machine holds it from the event that brings it until it is in update.release. */
struct replica_write {
	struct replica_write *next;        /* lists of the machine */
	struct replica_write *next_answer; /* update.answer */
	uint64_t batch_hi, batch_lo;
	uint64_t bytes;   /* of the encoded op; 0 while not resolved */
	bool needs_state; /* must be resolved first */
	bool resolved;
	bool client; /* somebody waits for its answer; the machine clears it with the answer */
	/* After that nobody waits any more, on the clock of the events; 0: for ever. ERR_TIMEOUT: it may be carried out yet. */
	uint64_t deadline_us;
	uint64_t seq, epoch,
		prev_epoch; /* the machine's; of records that a primary sent, and of a recovered tail, the log's */
	uint64_t changed; /* set by the runtime when it applies */
	int rc;           /* when answered */
};
struct write_list {
	struct replica_write *first, *last;
};
void write_list_push(struct write_list *l, struct replica_write *w);
struct replica_write *write_list_pop(struct write_list *l); /* NULL when empty */

enum {
	REPLICA_HEARTBEAT_US = 200000, /* between appends without records */
	REPLICA_LEASE_US =
		1000000, /* how long a replica that hears nothing goes on answering reads */
	/* No write is answered before leases that may exist elsewhere have surely run out; more than the lease, as
	 * clocks run differently fast. */
	REPLICA_HOLD_US = 1200000,
	REPLICA_SILENT_US = 1500000,  /* a member that does not answer for so long is to leave */
	REPLICA_RETRY_US = 200000,    /* a proposal that had no effect is made again */
	REPLICA_CALL_US = 1000000,    /* deadline of an append; the runtime's */
	REPLICA_SEND_BYTES = 1 << 20, /* of records in one append, or one record; the runtime's */
	REPLICA_RUNS = 64
};

enum replica_role {
	REPLICA_NONE, /* the map does not name it, or no map was seen yet */
	REPLICA_LEARNER,
	REPLICA_MEMBER, /* in sync */
	REPLICA_PRIMARY
};

/* What goes into an append besides the records' bytes and the digest, which the runtime fills in. */
struct replica_append {
	uint64_t epoch, from;
	/* prev_epoch = 0 with prev_seq > 0: the machine does not know it any more; the runtime takes the prev_epoch of
	 * the first record, which it reads from the log. There always is one then. */
	uint64_t prev_seq, prev_epoch;
	uint64_t commit_seq;
	uint64_t heard_us; /* sent_us of the receiver's last answer that arrived; 0: none */
	uint64_t lease_us; /* the receiver may answer reads for so long from heard_us on; 0: not */
	bool in_sync;      /* the receiver is a member of the in-sync set of `epoch` */
	bool seed;         /* the log does not reach back to prev_seq: rebuild from me */
};
struct replica_append_answer {
	enum append_status status;
	uint64_t epoch;
	uint64_t durable_seq; /* of what agrees with the primary's log */
	uint64_t applied_seq;
	uint64_t hint_seq; /* MISMATCH: the last seq at which the logs may agree */
	uint64_t sent_us;
};
/* The runtime sends as many records from append.prev_seq + 1 on as fit, up to last_seq (none when last_seq is not
 * above prev_seq), and gives back the answer, or none within REPLICA_CALL_US, as EVENT_APPEND_ANSWER with the same
 * node and call: exactly one for each send. */
struct replica_send {
	uint64_t node, call;
	uint64_t last_seq;
	struct replica_append append;
};
struct replica_reply { /* finishes the append call `token` */
	void *token;
	int rc; /* < 0: with this error and no answer: ERR_BUSY (a later append took its place), ERR_CLOSED, ERR_INPUT */
	struct replica_append_answer answer;
};

enum replica_event_type {
	EVENT_WRITE,    /* write */
	EVENT_RESOLVED, /* write: `rc` < 0 refused, else ready; `bytes` = 0: it concerns no point */
	EVENT_WRITTEN, /* own log: everything up to seq is written (readable), not yet synced. Optional, before DURABLE */
	EVENT_DURABLE, /* own disk: the job is done; the log is durable up to seq, its last entry; the epoch file too */
	EVENT_APPEND_FAILED, /* own disk: nothing of the job's append was kept (its truncation and epoch are done); rc */
	EVENT_APPLIED, /* everything in update.apply was applied and published; seq. At once: nothing in between */
	EVENT_TICK, /* every 100 ms */
	EVENT_CLOSE, /* queued writes are refused; those in flight that cannot be finished answer ERR_CLOSED */
	EVENT_CONFIG, /* config: the partition in the newest map; also when only other things changed */
	EVENT_APPEND, /* append, records (their seq, epoch, prev_epoch, bytes and batch set), token */
	EVENT_APPEND_ANSWER, /* answer of `node` to `call`; rc < 0: none; gone: the own log does not reach back so far */
	EVENT_CONTACT, /* at_us: a heartbeat sent then was answered by the map's leader, and the own map is as new as its */
	EVENT_PROPOSED, /* rc of the last proposal; its effect is seen as EVENT_CONFIG only */
	EVENT_DIVERGED, /* at the same seq the digest is not the primary's; before the EVENT_APPEND that showed it */
	EVENT_SEED_FAILED /* the rebuild that update.seed asked for was given up; this replica is as it was */
};
struct replica_event {
	enum replica_event_type type;
	uint64_t now_us; /* monotonic */
	uint64_t wall_us;
	struct replica_write *write;
	uint64_t seq;
	int rc;
	const struct map_partition *config; /* valid during the step */
	struct replica_append append;
	struct write_list records; /* the machine's from now on */
	void *token;
	uint64_t node, call;
	struct replica_append_answer answer;
	bool gone;
	uint64_t at_us;
	/* APPLIED, TICK: the mutable segment now */
	uint64_t mutable_rows, mutable_bytes;
	uint64_t killed_rows; /* rows of other segments that died since the last seal */
	bool may_seal;        /* there is room for another frozen segment */
};

struct replica_update { /* executed in this order */
	/* One disk job when set: epoch file, then truncation, then append, EVENT_WRITTEN, sync, EVENT_DURABLE. There are
	 * never two at a time. */
	bool disk_job;
	uint64_t store_epoch; /* 0: no */
	bool truncate;        /* the log ends at truncate_after */
	uint64_t truncate_after;
	struct write_list
		append; /* borrowed from the machine until the job is done; goes up to `last`, not further */
	struct replica_send send[LIMIT_REPLICAS * 2];
	uint32_t n_send;
	struct replica_reply reply[4];
	uint32_t n_reply;
	bool propose; /* compare-and-set of the partition in the shard map, then EVENT_PROPOSED */
	uint64_t expect_epoch;
	struct map_partition proposal;
	bool seed; /* rebuild this replica from that node; the machine begins anew then, or EVENT_SEED_FAILED */
	uint64_t seed_from;
	bool seal; /* freeze the mutable segment now */
	struct write_list
		apply; /* apply in order, publish, then EVENT_APPLIED with the last seq; stays the machine's */
	struct replica_write *resolve; /* turn into a plain op, then EVENT_RESOLVED */
	struct replica_write
		*answer; /* linked by next_answer: finish the client's call with rc, seq, changed */
	struct write_list
		release; /* free these, after everything above (an item can be in answer and here) */
	struct replica_write **answer_end; /* the machine's */
};

struct replica_limits {
	uint64_t seal_rows, seal_bytes, seal_idle_us, seal_min_rows;
	/* so much log since the last seal is sealed too, to bound the next replay */
	uint64_t seal_log_bytes;
	uint64_t append_bytes; /* of one append to the own log */
};

/* Another replica, as its primary sees it. */
struct replica_member {
	uint64_t node;
	bool in_sync;
	bool required; /* a learner that commits wait for */
	bool proposed; /* its addition to the in-sync set may be decided at any time */
	bool diverged, gone, full;
	uint64_t next_seq;    /* first record to send */
	uint64_t durable_seq; /* what it holds, and agrees */
	uint64_t applied_seq;
	uint64_t wanted_seq; /* a required learner is proposed once it applied this */
	/* the call under way */
	bool calling;
	uint64_t call;
	uint64_t call_us, call_last_seq, call_prev_seq;
	uint64_t told_commit_seq;
	uint64_t not_in_before_us; /* it is not proposed before */
	uint64_t not_before_us;    /* the next call */
	uint64_t alive_us; /* last answer that counts; time in which this process stood still left out */
	uint64_t heard_at_us;   /* the same, as the clock said */
	uint64_t heard_us;      /* its own clock then */
	uint64_t lease_sent_us; /* when the append was sent that it answered last; 0: none */
};
/* Entries from first_seq on, up to the next run, are of `epoch`. */
struct replica_run {
	uint64_t first_seq, epoch;
};
struct replica_pending { /* an append that is not answered yet */
	bool set;
	void *token;
	enum append_status status;
	uint64_t hint_seq;
	struct replica_append append;
	struct write_list records; /* of a parked one */
};

struct replica {
	struct replica_limits limits;
	uint64_t self;
	uint64_t now_us, opened_us; /* of this step, of the first */
	uint64_t tick_us;
	/* configuration */
	uint64_t epoch;        /* the highest seen */
	uint64_t stored_epoch; /* in the epoch file */
	struct map_partition
		config; /* the newest seen; epoch 0: none. In force when its epoch is `epoch` */
	bool restarted; /* no configuration was taken since the start */
	bool uncertain; /* primary that may have acted in this epoch before it was started: renew first */
	bool lost; /* primary, and a follower holds committed entries that it does not have */
	bool closed;
	/* the log */
	uint64_t last_seq, last_epoch; /* its end, appends on their way included */
	uint64_t written_seq, durable_seq;
	uint64_t commit_seq, applied_seq;
	struct replica_run runs[REPLICA_RUNS]; /* oldest first */
	uint32_t n_runs;
	/* the disk job under way */
	bool disk_busy;
	bool disk_appends;
	uint64_t disk_epoch;
	uint64_t disk_prev_seq; /* end of the log before its append */
	/* writes */
	struct write_list queue;    /* waiting for a sequence number */
	struct write_list flight;   /* numbered, not committed */
	struct write_list applying; /* committed, given out to be applied */
	struct write_list answering; /* applied, by seq: answered when the others have applied them */
	struct replica_write *resolving;
	/* primary */
	struct replica_member members[LIMIT_REPLICAS * 2]; /* all replicas but this one */
	uint32_t n_members;
	uint64_t next_call;
	uint64_t opening_seq; /* entries up to here must be applied before it answers reads */
	uint64_t hold_us;     /* no write is answered before */
	bool proposing;
	uint64_t proposed_us; /* when the last proposal came back */
	/* follower */
	uint64_t match_seq; /* the log agrees with that of the primary of `epoch` up to here */
	struct replica_pending reply;  /* waits for the disk or for being applied */
	struct replica_pending parked; /* not looked at yet: the disk is busy */
	bool told_in_sync;             /* by the primary of `epoch` */
	bool told_commit; /* what the primary had committed since this start was seen: opening_seq */
	uint64_t told_commit_seq; /* everything up to here is committed somewhere */
	bool diverged, seeding;
	uint64_t promised_us; /* when an append was last answered; another primary may go on serving reads from it */
	/* reads */
	bool caught_up; /* has applied all that was answered to clients */
	uint64_t lease_until_us, contact_us;
	/* sealing */
	uint64_t log_bytes;  /* since the last seal */
	uint64_t changed_us; /* when something was applied last */
	struct batches batches;
};

/* Where recovery left off. */
struct replica_recovery {
	uint64_t applied_seq, applied_epoch; /* all up to here is applied and committed */
	uint64_t stored_epoch;               /* of the epoch file; 0: none */
	uint64_t log_bytes;                  /* since the last seal */
	struct write_list
		tail; /* the entries of the log after applied_seq, durable; the machine's from now on */
};

void replica_init(struct replica *r, uint64_t self, const struct replica_limits *limits);
void replica_fini(struct replica *r);
void replica_recovered(struct replica *r, const struct replica_recovery *recovery);
/* `update` is zeroed first. */
void replica_step(struct replica *r, const struct replica_event *event,
		  struct replica_update *update);
/* Nothing under way, nothing held? After EVENT_CLOSE it becomes so once the disk job is back. */
bool replica_quiet(const struct replica *r);
/* Until when this replica may answer reads, on the clock of its events: 0 it may not; UINT64_MAX without limit.
 * ERR_UNAVAILABLE ("retry elsewhere") afterwards. */
uint64_t replica_serves_until(const struct replica *r);
enum replica_role replica_role(const struct replica *r);
