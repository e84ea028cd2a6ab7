/* Calls between roles: coordinator -> shard now, shard -> shard and the control plane with the cluster.
 *
 * One interface, several back-ends: local (same process: the callee's handler runs on the caller's thread, requests and
 * responses are passed as structs, nothing is copied or encoded), nng (other processes), simulator. A call is a typed
 * request struct from rpc/messages.h, answered into a typed response struct.
 *
 * Life of a call: the caller owns struct rpc_call and everything its request points to until done() is called,
 * exactly once, from any thread, possibly before rpc_send() returns. Response memory is in call->arena.
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "rpc/messages.h"
#include <stdint.h>

/* Separate sockets per class, so that bulk traffic never delays a search. */
enum rpc_class { RPC_SEARCH, RPC_WRITE, RPC_BULK, RPC_CONTROL, RPC_CLASS_COUNT };

struct rpc_call {
	enum rpc_type type;
	const void *request;  /* struct rpc_<type>_request */
	void *response;       /* struct rpc_<type>_response, zeroed by the caller */
	struct arena *arena;  /* owner of the response's memory; used by the callee until done */
	uint64_t deadline_us; /* monotonic; 0 = none */
	int rc;               /* set before done(): 0 or a negative error code */
	struct error err;     /* its text */
	void (*done)(struct rpc_call *call);
	void *ctx; /* the caller's */
};

/* The callee's side: must call rpc_finish exactly once, now or later, from any thread. */
struct rpc_service {
	void (*handle)(void *ctx, struct rpc_call *call);
	void *ctx;
};
void rpc_finish(struct rpc_call *call, int rc); /* call->err is filled already when rc < 0 */

/* Routes calls to nodes. Node ids are those of the shard map. */
struct rpc;
int rpc_new(struct rpc **out, uint64_t self_node, struct error *err);
void rpc_free(struct rpc *r);
/* Calls to the own node are served here. Register before the first call. */
void rpc_serve_local(struct rpc *r, struct rpc_service service);
/* Never blocks on the network. An unknown node finishes the call with ERR_UNAVAILABLE. For another node the request is encoded
 * before this returns, so that only the call itself, its response and its arena must live until done(). */
void rpc_send(struct rpc *r, uint64_t node, struct rpc_call *call);
