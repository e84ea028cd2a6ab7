/* Shard role: hosts replicas of partitions. Serves the calls of rpc/messages.h.
 *
 * Threads: one loop thread owns the mutable state of all replicas of this shard (log positions, id
 * maps, mutable segments, manifests); disk threads append and sync logs in groups; the worker pool
 * seals, builds and compacts. Searches run on the thread that calls (local transport) over an
 * immutable, reference-counted view of a replica and never wait for a writer; a request with
 * several leaves, and scans that are long, spread over the pool. */
#pragma once
#include "base/clock.h"
#include "base/error.h"
#include "base/pool.h"
#include "cluster/map.h"
#include "model/collection.h"
#include "rpc/rpc.h"
#include "store/store.h"

struct shard;

/* A compare-and-set in the shard map: `next` instead of the configuration of expect_epoch. done is called
 * exactly once, from any thread, also when it is refused or the node stops. The effect is seen as an
 * assignment. */
struct shard_proposal {
	uint64_t collection_id;
	uint32_t partition;
	uint64_t expect_epoch;
	struct map_partition next;
	void (*done)(void *done_ctx, int rc);
	void *done_ctx;
};

struct shard_options { /* 0 = the default that is named */
	/* rooted at the node's data folder; replicas live under "replicas/<collection
	 * id>/<partition>" */
	struct store_io io;
	struct pool *pool;
	const struct clock *clock; /* NULL: the real one */
	uint64_t self_node;
	/* A mutable segment is sealed at so many rows (20,000) or bytes (64 MB), or when it has at
	 * least index_min_rows and nothing was written for so long (2,000 ms). */
	uint32_t seal_rows;
	uint64_t seal_bytes;
	uint64_t seal_idle_ms;
	uint32_t index_min_rows;     /* segments below it stay flat; 2,000 */
	uint32_t segment_max_rows;   /* compaction merges up to this; 2,000,000 */
	uint64_t memory_limit_bytes; /* of unsealed rows and background jobs: above it jobs wait and
	                               * writes answer ERR_BUSY; 80 % of the machine */
	uint32_t pending_write_bytes; /* writes in flight above it answer ERR_BUSY; 256 MB */
	uint64_t verify_now_bytes; /* checksums of more bytes than this are verified after the start; 1 GB */
	bool faiss_only;
	uint64_t log_keep_bytes; /* a replica with copies keeps so much of its log for those that were away; 32 MB */
	/* The first assignments may be older than what was hosted before the start: until shard_sweep() nothing is deleted, and no new
	 * learner begins until shard_registered(). */
	bool old_assignments;
	uint64_t seed_bytes_per_s; /* at most, when a copy is made from another node; 100 MB */
	struct rpc *rpc;           /* to the other replicas; NULL: there are none */
	/* The memory is the caller's and lasts for the call. NULL: the configurations never change. */
	void (*propose)(void *ctx, const struct shard_proposal *p);
	void *propose_ctx;
};

/* What this node should host, from the shard map. */
struct shard_assignment {
	const struct collection *collection; /* referenced by the shard while needed */
	uint32_t partition;
	struct map_partition config;
	bool elsewhere; /* it was hosted here, and is not any more as of config.epoch */
};

int shard_start(struct shard **out, const struct shard_options *options, struct error *err);
/* Refuses new calls, finishes those in flight, closes logs. NULL ok. */
void shard_stop(struct shard *s);
/* The first half of it: all replicas are closed, all calls answered, and options.rpc and
 * options.propose are not used any more. Call it before rpc_hang_up(), which waits for calls of other
 * nodes, and those may wait for each other. */
void shard_leave(struct shard *s);
struct rpc_service shard_service(struct shard *s);
/* Makes the shard host exactly these replicas: opens or creates missing ones (recovering each from
 * its manifest and log), adopts new definitions (payload indexes are built in the background),
 * closes and deletes (see old_assignments) those no longer named, unless they have been named again since, by a map that is not here yet. Blocks until all of them serve or have failed; a
 * replica that fails to open is reported in *err, marked red, and does not hold the others back. */
int shard_assign(struct shard *s, const struct shard_assignment *list, size_t n, struct error *err);
/* The assignment is surely as new as those that made the folders: those of replicas that are not assigned are removed, and replicas that are
 * new may begin. next_id: of the map, see struct map. At the first time of a data folder, before others can know that this node is there. */
void shard_sweep(struct shard *s, uint64_t next_id);
/* The assignments from now on are of a map that has this start of the node: learners that are new may begin. */
void shard_registered(struct shard *s);
/* A heartbeat that was sent at `at_us` (monotonic) was answered by the map's leader, and the map here is
 * as new as the leader's: nobody has been put in the place of this node before at_us. What replicas may
 * answer reads depends on it when they are not alone. */
void shard_contact(struct shard *s, uint64_t at_us);
/* What heartbeats say of each replica here, sorted by collection and partition; *out is freed by the caller. */
size_t shard_reports(struct shard *s, struct replica_report **out);
/* Prometheus lines (quiver_shard_...). */
void shard_metrics(struct shard *s, struct buf *out);
/* Ready to serve everything assigned? Otherwise the reason in `why`. */
bool shard_ready(struct shard *s, struct error *why);
