/* A node as a member of a cluster: its control plane and the messages of it, its heartbeats, the healer while it leads, and its entry in
 * the shard map. A thread of its own ("control") does what is due from time to time; nothing here is on the path of a request.
 *
 * Every node follows the map's log: the coordinators that vote, all others as learners. So each has the newest map by itself, and can
 * hand commands to whoever leads. */
#pragma once
#include "base/error.h"
#include "server/identity.h"

struct map_partition;
struct member;
struct meta_runtime;
struct rpc;
struct rpc_call;
struct shard;

struct shard_proposal; /* shard.h */
struct member_options {
	struct identity identity;
	const char *http_address;
	const struct first_nodes
		*first; /* of the very first start; NULL: joined, or known from disk */
	struct store_io meta_io;
	struct rpc *rpc;
	struct shard *shard;
	uint64_t grace_us;  /* as struct heal_options */
	uint32_t max_moves; /* as struct heal_options */
	/* This node must end: it was removed, or started again elsewhere. Any thread, once. */
	void (*fatal)(void *ctx, const struct error *why);
	void *ctx;
};

int member_new(struct member **out, const struct member_options *o, struct error *err);
/* Recovers the control plane and what the shard hosts; then registers in the background. */
int member_start(struct member *m, struct error *err);
/* Ends the threads and the control plane, whose map can still be read. Messages that come in later are refused. */
void member_stop(struct member *m); /* NULL ok */
/* After rpc_hang_up, and after the coordinator, which reads the map until its last request is answered. NULL ok. */
void member_free(struct member *m);
struct meta_runtime *member_meta(struct member *m);
/* What struct shard_options calls propose; ctx is the member. */
void member_propose(void *ctx, const struct shard_proposal *proposal);
/* In the map, with this start? Otherwise why not. */
bool member_ready(struct member *m, struct error *why);
/* Serves the messages of the control plane; false when the call is not one of them. Never blocks. */
bool member_handle(struct member *m, struct rpc_call *call);
