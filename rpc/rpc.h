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
#include "base/codec.h"
#include "base/error.h"
#include "rpc/messages.h"
#include <stdbool.h>
#include <stdint.h>

/* Separate sockets per class, so that bulk traffic never delays a search. RPC_COPY is apart from RPC_WRITE because writes
 * wait for it: two nodes that fill each other's window with writes must still get their appends through. */
enum rpc_class { RPC_SEARCH, RPC_WRITE, RPC_BULK, RPC_CONTROL, RPC_COPY, RPC_CLASS_COUNT };

struct rpc_call {
	enum rpc_type type;
	const void *request;  /* struct rpc_<type>_request */
	void *response;       /* struct rpc_<type>_response, zeroed by the caller */
	struct arena *arena;  /* owner of the response's memory; used by the callee until done */
	uint64_t deadline_us; /* monotonic; 0 = none */
	bool more; /* this thread sends the same node another call at once: they may share a message */
	int rc;    /* set before done(): 0 or a negative error code */
	struct error err; /* its text */
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
/* Never blocks on the network. A node that is unknown or not connected finishes the call with
 * ERR_UNAVAILABLE at once. ERR_UNAVAILABLE and ERR_BUSY: the call was certainly not carried out.
 * ERR_CLOSED (connection lost) and ERR_TIMEOUT: it may have been. For another node the request is
 * encoded before this returns, so that only the call itself, its response and its arena must live
 * until done(). */
void rpc_send(struct rpc *r, uint64_t node, struct rpc_call *call);
/* Asks the other side to stop and finishes the call with ERR_CLOSED, unless it is done already. The
 * caller keeps `call` alive until this returns and done() has run. A call to the own node runs on. */
void rpc_cancel(struct rpc *r, uint64_t node, struct rpc_call *call);

/* ---- the network ---- */

struct clock;
struct pool;
/* A node whose id is not known yet (the one to join through) gets an id from here on up: any node
 * answers. */
#define RPC_ANY_NODE (UINT64_C(1) << 63)

struct rpc_net_options {
	uint64_t cluster_id;       /* peers of another are turned away; 0 = about to join one */
	const char *listen;        /* "host:port", port 0 = any; NULL: calls only */
	struct pool *pool;         /* runs the handlers of calls that come in */
	const struct clock *clock; /* NULL = the real one */
	/* The cluster's secret: peers must prove that they know it, and this node proves it to them. NULL: none is asked for, and
	 * nodes that have one are not talked to. */
	const char *key;
	/* A peer was turned away, or turned this node away, for the sake of the key: for the log. Any thread, often; must not
	 * block. NULL ok. */
	void (*refused)(void *ctx, const struct error *why);
	void *ctx;
};
/* Register the local service first. Peers are added with rpc_peer_set. */
int rpc_listen(struct rpc *r, const struct rpc_net_options *o, struct error *err);
/* Stops the network: calls under way fail, calls at work here are finished first. rpc_free does it
 * too; call it earlier when the handlers go away before. */
void rpc_hang_up(struct rpc *r);
uint16_t rpc_port(const struct rpc *r); /* 0 = does not listen */
/* Not from a done() or a handler. The same address again changes nothing. */
void rpc_peer_set(struct rpc *r, uint64_t node, const char *address);
void rpc_peer_remove(struct rpc *r, uint64_t node);
bool rpc_peer_up(struct rpc *r,
		 uint64_t node); /* all its connections stand; true for the own node */
/* Is the peer there, but one of the two sides refuses the other for the sake of the key? Then why (ERR_FORBIDDEN); else 0. */
int rpc_peer_refused(struct rpc *r, uint64_t node, struct error *why);
void rpc_metrics(struct rpc *r, struct buf *out);
