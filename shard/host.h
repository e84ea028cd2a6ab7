/* Inside of shard/: a hosted replica, and the runtime that it lives in.
 *
 * Threads. The loop thread owns everything in struct hosted that is not marked otherwise; it takes
 * tasks from one mailbox and runs their done(). Whatever blocks runs as the run() of a task on
 * another thread first: log writes on a disk thread (a replica always uses the same one, so its log
 * is one thread's), segment and manifest files on the keeper thread, index builds and compactions
 * on the pool's background lane. Calling threads read views, and put writes into the mailbox.
 *
 * Copies of a partition: the primary's appends are sent from the loop thread, and their answers, like
 * everything that comes over the network, get there through the mailbox.
 *
 * A replica goes away in steps: out of the table (no new calls), EVENT_CLOSE, the last of its tasks
 * comes back, then the thread that asked for it closes files and frees.
 */
#pragma once
#include "base/mailbox.h"
#include "shard/epochs.h"
#include "shard/replica.h"
#include "shard/shard.h"
#include "shard/state.h"
#include "store/store.h"
#include <pthread.h>
#include <semaphore.h>

struct task {
	struct mail mail;
	void (*run)(struct task *t);  /* on another thread; NULL: straight to the loop */
	void (*done)(struct task *t); /* on the loop thread */
	struct shard *shard;
	struct hosted *h; /* may be NULL */
	int rc;           /* of run */
	struct error err;
};

struct worker { /* a thread that runs tasks in order and hands them on to the loop */
	pthread_t thread;
	struct mailbox *box;
	struct shard *shard;
	uint64_t busy_since_us; /* atomic: when it began the task that it is at; 0: at none */
	bool started;
};

enum {
	DISK_THREADS = 2,
	FROZEN_MAX = 4,
	/* A write to a log takes milliseconds, on a bad disk a second. From here on others should do the work. */
	DISK_STALLED_US = 3000000
};

#define KNOWN_NEVER UINT64_MAX /* struct shard's known_since: not known yet */

struct seeds;

struct shard {
	struct shard_options options;
	struct seeds *seeds; /* seed.h */
	struct worker loop, keeper, disks[DISK_THREADS];
	pthread_mutex_t assign_lock; /* one assignment at a time */
	pthread_rwlock_t table_lock;
	struct hosted **table; /* sorted by (collection, partition) */
	size_t n_table;
	bool registered; /* under assign_lock; see shard_registered() */
	uint64_t known_since; /* under assign_lock; of collections from this id on it is known which were held here */
	struct hosted *hosted;   /* the loop's list */
	uint64_t contact_us;     /* the loop's: of the newest shard_contact() */
	bool stopping;           /* atomic: no new calls */
	uint64_t calls;          /* atomic: threads inside handle() */
	bool loop_ends;          /* atomic */
	bool stalled;            /* the loop's: as it was said in the log */
	uint64_t pending_bytes;  /* atomic: writes in flight */
	uint64_t reserved_bytes; /* atomic: memory promised to running jobs */
	uint64_t rows_bytes;     /* atomic: unsealed rows of all replicas */
	uint64_t counters[8];    /* atomic, see enum counter */
};
enum counter {
	COUNT_SEARCHES,
	COUNT_LEAVES,
	COUNT_WRITES,
	COUNT_APPENDS,
	COUNT_SEALS,
	COUNT_COMPACTIONS,
	COUNT_INDEX_BUILDS,
	COUNT_REFUSED
};

/* What info answers, set by the loop with each view. */
struct host_status {
	uint64_t applied_seq, commit_seq, last_seq, last_epoch, epoch, digest;
	enum replica_role role;
	uint64_t disk_bytes, log_bytes;
	bool quarantined, diverged, indexing;
	char warning[512];
};

struct frozen { /* a mutable segment that is to be sealed, and the state then */
	struct frozen *next;
	struct snap snap; /* its seq, extra bytes and live bits are those of the freeze */
	struct seg *seg;  /* the frozen rows, in snap; NULL: only deletes happened */
};

/* A write on its way, or a record of the log that the machine is not done with. A call that waits for
 * it has a reference to its replica; the item alone has none. */
struct write_item {
	struct task task; /* brings it to the loop */
	struct replica_write w;
	struct rpc_call *call;     /* NULL: nobody waits (any more) */
	const struct write *write; /* the call's */
	const struct op *op; /* what will be applied: the call's, or own; NULL: still to be decoded */
	struct op own;
	struct arena *arena;
	struct buf bytes; /* the encoded op */
	uint64_t charged_bytes;
	uint64_t held_seq; /* its place in `held`; 0: none */
};

/* Records by seq that are in memory anyway, for sending. */
struct held {
	struct write_item **slots;
	uint64_t cap; /* a power of two */
	uint64_t first, end;
};

struct append_in; /* an append of the primary that is not answered yet */
struct send;      /* an append on its way to another replica */
struct disk_job;

/* How far another replica is known to be; the log is kept for it. */
struct peer_log {
	uint64_t node, durable_seq;
};

struct hosted {
	uint32_t refs; /* atomic */
	struct shard *shard;
	uint64_t collection_id;
	uint32_t partition;
	struct store_io io; /* rooted at its folder */
	char folder[64];
	struct error failed; /* code 0: it serves. Fixed before it is in the table */
	struct hosted *next; /* the loop's list */

	/* shared, under view_lock */
	pthread_mutex_t view_lock;
	struct view *view;
	struct host_status status;

	/* Reads are answered until then; UINT64_MAX: no other replica could know more. Atomic. */
	uint64_t serve_until_us;

	/* the loop's */
	uint64_t epoch;              /* of the map; atomic for readers */
	bool copies;                 /* there are other replicas */
	struct map_partition config; /* as assigned; changed under assign_lock */
	struct replica machine;
	struct state state;
	struct wal *wal;      /* used on its disk thread only, once hosted */
	struct epochs epochs; /* likewise */
	uint64_t owed_epoch;  /* could not be stored yet: before the next record it must */
	uint64_t hint_seq;    /* how far the stored commit hint goes */
	uint64_t hint_us;     /* when it was stored, */
	uint64_t hint_bytes;  /* and what was applied since */
	bool hinting;
	struct disk_job *stuck; /* a job that must be done and failed: tried again */
	bool was_stuck;
	uint64_t stuck_until_us;
	struct worker *disk;
	struct held held;
	struct send *sends;
	struct append_in *appends;
	struct peer_log peers[LIMIT_REPLICAS * 2];
	uint32_t n_peers;
	/* The primary's digest after digest_seq, when it is not applied here yet. */
	uint64_t digest_seq, digest;
	bool diverged, diverged_told;
	uint64_t told_seq;          /* the highest commit position that a primary told */
	struct wal_record *records; /* of the append under way */
	size_t records_cap;
	struct snap base; /* the next manifest: all sealed; extra as of its seq */
	bool base_changed, storing, dropping;
	struct manifest kept; /* the manifest on disk */
	struct manifest_segment
		*lost; /* quarantined segments: named in every manifest, searched never */
	uint32_t n_lost;
	uint64_t next_segment_id;
	struct frozen *frozen; /* oldest first */
	uint32_t n_frozen;
	bool sealing;
	bool pending;        /* work_pending() when it was looked at last */
	uint64_t rows_bytes; /* of unsealed rows, as accounted for in the shard */
	bool working;        /* a background job is under way */
	bool cancel;         /* atomic: it should end soon */
	uint64_t retry_us;   /* after a failure nothing is begun before */
	uint32_t tasks;      /* under way anywhere */
	bool opening;        /* recovery: nothing is begun on other threads */
	bool io_open;
	bool verify_later; /* checksums of the segments are still to be verified */
	bool stepping;     /* inside of hosted_event() */
	bool closing;
	bool doomed;   /* atomic: it is about to be dropped, or another took its place */
	sem_t *opened; /* posted when the first job of its log is back */
	sem_t *closed; /* posted when the last task is back */
	/* hashes of the payload fields that every segment of base has an index for */
	uint64_t *fields_built;
	uint32_t n_fields_built;
	struct write_list parked; /* writes that wait because sealing is behind */
	int last_failure_code;
	char last_failure[256];    /* of a seal, compaction or build; "" after a success */
	uint64_t log_bytes;        /* on disk, as of the last append */
	struct error append_error; /* of the last append that failed */
};

/* ---- runtime.c ---- */
void task_to_loop(struct task *t);
void task_to_worker(struct worker *w, struct task *t); /* counted in h->tasks */
void task_to_background(struct task *t);
uint64_t now_us(const struct shard *s);
/* How long the disk has not answered, once that is too long; else 0. Any thread. */
uint64_t disk_stalled_us(const struct shard *s);
static inline void count(struct shard *s, enum counter c, uint64_t n)
{
	__atomic_fetch_add(&s->counters[c], n, __ATOMIC_RELAXED);
}
/* Promises memory to a job; false when that would pass the limit. */
bool memory_reserve(struct shard *s, uint64_t bytes, struct error *err);
void memory_release(struct shard *s, uint64_t bytes);
uint64_t memory_limit(const struct shard *s);

/* ---- assign.c ---- */
void assign_close_all(struct shard *s);
/* Closes h, does what is to be done to its files (`epoch`: the highest that it has seen, which must not
 * be forgotten), and opens it again in its place in the table, also
 * when that failed. ERR_CLOSED: h is not in the table any more. Not on the loop thread. */
int assign_reopen(struct shard *s, struct hosted *h,
		  int (*meanwhile)(void *ctx, uint64_t epoch, struct error *err), void *ctx,
		  struct error *err);

/* ---- table.c ---- */
struct hosted *hosted_ref(struct hosted *h);
void hosted_unref(struct hosted *h);
/* May it answer reads now? ERR_UNAVAILABLE. */
int check_serves(struct shard *s, const struct hosted *h, struct error *err);
/* A reference, or NULL: this node does not host it. */
struct hosted *table_find(struct shard *s, uint64_t collection_id, uint32_t partition);
/* The present view, referenced. ERR_STALE: not hosted here; ERR_UNAVAILABLE: it failed to open. */
int table_view(struct shard *s, uint64_t collection_id, uint32_t partition, struct view **out,
	       struct error *err);

/* ---- host.c ---- */
void hosted_event(struct hosted *h, struct replica_event *event);
void hosted_publish(struct hosted *h);
void hosted_look(struct hosted *h); /* publishes, with a fresh look at what is left to be done */
void hosted_tick(struct hosted *h);
void hosted_task_back(struct hosted *h); /* one of its tasks came back */
void hosted_freeze(struct hosted *h);
void hosted_close(struct hosted *h, sem_t *closed);
void hosted_config(struct hosted *h, const struct shard_assignment *a);

/* ---- host_write.c ---- */
void hosted_write(struct shard *s, struct rpc_call *call); /* any thread */
void hosted_unpark(struct hosted *h);                      /* sealing got on, or failed */
/* Can more rows be taken now? ERR_BUSY. */
int hosted_has_room(const struct hosted *h, struct error *err);
struct write_item *item_of(struct replica_write *w);
/* The op to be applied, decoded when needed. */
const struct op *item_op(struct write_item *item);
/* Ends the call, if one waits. The item lives on. */
void item_finish(struct write_item *item, int rc);
void item_free(struct hosted *h, struct write_item *item);
/* A record of a log, checked against the schema. ERR_CORRUPT, or ERR_INPUT when the op does not fit. */
int item_of_record(const struct collection *schema, const struct wal_record *r,
		   struct write_item **out, struct error *err);
int hosted_resolve(struct hosted *h, struct replica_write *w);

/* ---- host_disk.c ---- */
void disk_start(struct hosted *h, const struct replica_update *u);
void disk_tick(struct hosted *h);
/* Stores how far the log is known to be committed. */
void hint_start(struct hosted *h);
/* The log's files that nobody needs are removed. */
void log_drop_start(struct hosted *h);

/* ---- host_send.c: to the other replicas, and to the map ---- */
void send_start(struct hosted *h, const struct replica_send *s);
void sends_cancel(struct hosted *h);
/* Whose logs are to be considered: those that the configuration names. */
void peers_set(struct hosted *h, const struct map_partition *config);
void propose_start(struct hosted *h, const struct replica_update *u);
void held_add(struct hosted *h, struct write_item *item);
void held_remove(struct hosted *h, struct write_item *item);

/* ---- host_append.c: from the primary ---- */
void hosted_append(struct shard *s, struct rpc_call *call); /* any thread */
void append_reply(struct hosted *h, const struct replica_reply *reply);
void appends_close(struct hosted *h); /* answers those that the machine did not answer */
void digest_check(struct hosted *h);  /* after each op */
void digest_tell(struct hosted *h);   /* the machine, if they differ */

/* ---- recover.c ---- */
/* Opens or creates the files, replays the log. On failure h->failed is set and the replica answers
 * nothing. */
int hosted_open(struct shard *s, const struct shard_assignment *a, struct hosted **out,
		struct error *err);
void hosted_free(struct hosted *h); /* closes the files */
/* What belongs to the state but to no segment: digest and batch ids. */
void extra_encode(struct buf *out, const struct hosted *h);

/* ---- known.c: under assign_lock ---- */
/* 1: there is a mark, 0: there is none; negative: nobody can say. */
int known_has(struct shard *s, uint64_t collection_id, uint32_t partition, struct error *err);
int known_add(struct shard *s, uint64_t collection_id, uint32_t partition, struct error *err);
void known_remove(struct shard *s, uint64_t collection_id, uint32_t partition);
void known_sweep(struct shard *s); /* of what is not hosted */
/* By a confirmed map whose next id is `next_id`: from which collection on the marks are complete. The first call counts, of this folder's. */
void known_since(struct shard *s, uint64_t next_id);

/* ---- seal.c ---- */
void seal_start(struct hosted *h);     /* seals the oldest frozen segment unless that is going on */
void manifest_start(struct hosted *h); /* writes the manifest of base unless that is going on */
void manifest_of_base(const struct hosted *h, struct manifest *m); /* m uninitialised */
/* Writes the live rows of `sources` into segment `id`. *out NULL: there was none. */
int rewrite(struct hosted *h, const struct snap *sources, uint64_t id,
	    const struct collection *schema, struct seg **out, struct error *err);
/* Puts `out` where the sources were: in the present, in frozen snapshots and in base. */
void install_seg(struct hosted *h, const struct snap *sources, struct seg *out);
/* The same rows through another handle (with further indexes): takes the place of `old`
 * everywhere. */
void swap_seg(struct hosted *h, struct seg *old, struct seg *fresh);
/* Takes a corrupt segment out of everything and remembers it as lost. */
void quarantine(struct hosted *h, struct seg *seg);
void add_lost(struct hosted *h, uint64_t id, uint32_t n_rows);
void note_failure(struct hosted *h, const char *what, const struct error *err);

/* ---- work.c ---- */
void work_start(struct hosted *h); /* begins the next background job, if any is due */
bool work_pending(const struct hosted *h);

/* ---- reading: each answers the call ---- */
void serve_search(struct shard *s, struct rpc_call *call);
void serve_retrieve(struct shard *s, struct rpc_call *call);
void serve_scroll(struct shard *s, struct rpc_call *call);
void serve_count(struct shard *s, struct rpc_call *call);
void serve_facet(struct shard *s, struct rpc_call *call);
void serve_idf(struct shard *s, struct rpc_call *call);
void serve_info(struct shard *s, struct rpc_call *call);
