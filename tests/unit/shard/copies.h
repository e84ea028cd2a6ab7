/* Several shards in one process, connected over loopback, and a map that they share: what the control
 * plane does for them (compare-and-set of the configuration, telling it to all, contact with the
 * leader) a thread here does. One collection with one partition. */
#pragma once
#include "tests/unit/shard/fixture.h"
#include <pthread.h>
#include <stdatomic.h>

enum { COPIES_MAX = 3 };

struct copy {
	struct copies *all;
	uint64_t node; /* 1.. */
	char root[64];
	struct store_io disk, io; /* io: disk, with faults on demand */
	struct fault_plan faults;
	uint64_t memory_limit_bytes; /* from its next start on; 0: as usual */
	uint32_t seal_rows;          /* likewise */
	struct pool *pool;
	struct rpc *rpc;
	struct shard *shard; /* NULL: it is down */
	char address[32];
	pthread_rwlock_t calling; /* it goes away only while nobody calls it */
	atomic_bool cut;          /* hears nothing from the map, and reaches no other copy */
	bool told;                /* under the lock: of the present configuration */
};

/* 0, NULL: as usual */
struct copies_tuning {
	uint64_t log_keep_bytes, seed_bytes_per_s; /* as in struct shard_options */
	/* Stands between a node's transport and its shard. */
	struct rpc_service (*wrap)(struct copy *n, struct rpc_service inner);
};

struct copies {
	struct copy nodes[COPIES_MAX];
	uint32_t n;
	struct collection *schema;
	struct arena *arena;
	struct error err; /* of the last call */
	pthread_mutex_t lock;
	pthread_mutex_t assigning; /* shards come and go only under it */
	struct map_partition config;
	uint32_t n_proposals; /* that won */
	struct copies_tuning tuning;
	pthread_t thread;
	atomic_bool stopping;
};

/* n nodes; the first `in_sync` of them are, node 1 is the primary; the others are learners. */
void copies_start(struct copies *c, uint32_t n, uint32_t in_sync, uint32_t min_isr);
void copies_start_tuned(struct copies *c, uint32_t n, uint32_t in_sync,
			const struct copies_tuning *tuning);
void copies_fini(struct copies *c);
void copy_stop(struct copies *c, uint64_t node);
void copy_start(struct copies *c, uint64_t node);
bool copies_failed(struct copies *c, uint64_t node); /* could it not be opened? */
void copy_cut(struct copies *c, uint64_t node, bool cut);
/* As the map's leader does when it finds the primary dead: a new epoch with another primary, and the
 * old one a learner. */
void copies_promote(struct copies *c, uint64_t node);
/* The collection gets a payload index; all nodes are told. */
void copies_add_field(struct copies *c, const char *path);
struct map_partition copies_config(struct copies *c);
bool config_has(const struct map_partition *p, uint64_t node); /* in sync? */
/* Waits until the node is in the in-sync set, or is not. Fails after a minute. */
void copies_wait_in_sync(struct copies *c, uint64_t node, bool in_sync);
/* Waits until all nodes that are up have applied the same, know that, and answer reads when they are in
 * sync. Their digests must be equal. */
void copies_wait_equal(struct copies *c);

int copies_call(struct copies *c, uint64_t node, enum rpc_type type, const void *request,
		void *response);
/* To the primary by the map, tried again while that may help; returns the last result. */
int copies_write(struct copies *c, const struct write *w, struct rpc_write_response *out);
/* Points id..id+n-1 with dense vectors and payload {"n": id, "tag": tag}, one write each of `batch` points. */
void copies_fill(struct copies *c, uint64_t id, uint32_t n, uint32_t batch, const char *tag);
struct rpc_info_response copies_info(struct copies *c, uint64_t node);
int copies_try_count(struct copies *c, uint64_t node, uint64_t *out);
/* From any thread; UINT64_MAX: it did not answer. */
uint64_t copies_count_in(struct copies *c, uint64_t node, struct arena *arena);
