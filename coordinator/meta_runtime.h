/* The control plane of one node at work: a thread that owns the machine of cluster/meta.h, its clock
 * and its disk. Everything below may be called from any thread.
 */
#pragma once

#include "base/error.h"
#include "cluster/meta.h"
#include "store/store.h"
#include <stdbool.h>
#include <stdint.h>

struct clock;
struct meta_runtime;

struct meta_runtime_options {
	struct store_io io; /* rooted at the control plane's own folder; outlives the runtime */
	uint64_t self;      /* node id; never 0 */
	uint64_t cluster_id;
	const struct meta_voter *bootstrap; /* first start of a cluster; ignored later */
	size_t n_bootstrap;
	/* A message for another node, on the runtime's thread; the bytes are borrowed. Messages to one
	 * node should arrive in the order sent; losing some is harmless. */
	void (*send)(void *ctx, const struct meta_message *message);
	/* A new map, on the runtime's thread; the first one before meta_runtime_start returns, on the
	 * caller's. It must not wait for a request made here. */
	void (*on_map)(void *ctx, const struct map *map);
	void *ctx;
	const struct clock *clock;                  /* NULL = the real one */
	uint64_t heartbeat_us, election_timeout_us; /* 0 = as cluster/meta.h says */
	uint64_t snapshot_entries;                  /* 0 = as cluster/meta.h says */
};

/* Recovers what the folder holds. A single node leads, and its map is current, on return. */
int meta_runtime_start(struct meta_runtime **out, const struct meta_runtime_options *o,
		       struct error *err);
/* Requests that are not done, and later ones, are answered with ERR_CLOSED. The map and the status can still be asked for.
 * NULL ok. */
void meta_runtime_stop(struct meta_runtime *rt);
/* Stops it if nobody has. NULL ok. */
void meta_runtime_free(struct meta_runtime *rt);

/* `done` runs exactly once, on the runtime's thread or, when the runtime is at its end, the
 * caller's. result->code 0: applied, durable, and on_map has returned for that map. See struct
 * meta_result for the other codes; ERR_DISK_FULL: not even tried. A command without an id is
 * given one, so that it survives a change of leader. */
typedef void (*meta_done_fn)(void *ctx, const struct error *result, uint64_t index);
void meta_runtime_submit(struct meta_runtime *rt, const struct map_command *command,
			 meta_done_fn done, void *ctx);
/* Done when the map of this node is at least as new as any that anybody saw before the call. */
void meta_runtime_read(struct meta_runtime *rt, meta_done_fn done, void *ctx);
/* Changes the coordinators: +1 add as a learner, +2 promote to voter, -1 remove. */
void meta_runtime_change(struct meta_runtime *rt, int change, const struct meta_voter *voter,
			 meta_done_fn done, void *ctx);
/* Hands leadership to node `to`, 0 = to any other voter. */
void meta_runtime_transfer(struct meta_runtime *rt, uint64_t to, meta_done_fn done, void *ctx);
/* A message that a peer's `send` was given; the bytes are copied. */
void meta_runtime_message(struct meta_runtime *rt, uint64_t from, const void *bytes, size_t n);

/* A reference to the current map (map_unref). Takes no lock that waits for the disk. */
const struct map *meta_runtime_map(struct meta_runtime *rt);

struct meta_runtime_status {
	uint64_t leader; /* 0 = unknown */
	uint64_t term, commit, applied;
	bool is_leader;
	uint32_t n_members;
	struct meta_runtime_member {
		uint64_t id;
		bool voter;
		char address[256];
	} members[16];
	struct error broken; /* code 0 = at work; else why it stopped taking part */
};
void meta_runtime_status(struct meta_runtime *rt, struct meta_runtime_status *out);
/* How long the thread has been at what it does now, without looking at what comes in: long when the disk hangs. */
uint64_t meta_runtime_busy_us(struct meta_runtime *rt);
