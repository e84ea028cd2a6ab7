/* Private to rpc/: the network back-end.
 *
 *   net.c    peers, the timer thread, start and stop
 *   link.c   calling side of one connection: queue, window, deadlines, coalescing
 *   serve.c  answering side: calls come in, go to workers, answers go back together
 *   nng.c    messages over TCP (wire.h);  frame.c, codec.c, auth.c: bytes
 *
 * Threads: link_send on the caller's; answers are decoded and done() runs on a thread of the
 * transport; lost connections and deadlines are dealt with on the timer thread; handlers run on the
 * worker pool, but for the few message types that only hand over (serve.c).
 */
#pragma once

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/secret.h"
#include "rpc/frame.h"
#include "rpc/rpc.h"
#include "rpc/wire.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	LINK_WINDOW = 48,     /* calls in flight on one connection */
	LINK_OPEN_FRAMES = 2, /* beyond, calls gather, for COALESCE_US at most (link.c) */
	COALESCE_US = 1000,
	LINK_QUEUE = 1024,          /* calls beyond the window that may wait; more: ERR_BUSY */
	FRAME_SOFT_BYTES = 1 << 20, /* a frame is not filled beyond this */
	BODY_LIMIT = LIMIT_RPC_BYTES - (1 << 20),
	LINK_STUCK_US = 5000000,  /* the window is full of calls given up: connect anew */
	LINK_DIAL_MIN_US = 20000, /* between attempts to connect, doubled up to: */
	LINK_DIAL_MAX_US = 500000,
	LINK_REDIAL_US = 3000000,  /* an attempt that takes so long is given up for another */
	LINK_REFUSAL_US = 3000000, /* so long what the peer said against this node is told */
	CONNECTION_CALLS = 256,    /* of one peer at work here; more: ERR_BUSY */
	UNPROVEN_FRAMES = 4,       /* refused for want of the key before the connection is closed */
	TIMER_TICK_US = 5000,
	TIMER_DIAL_US = 20000, /* while a link is down */
	TIMER_LINGER_TICKS = 40 /* without calls, before it sleeps: waking it costs each caller */,
};

struct rpc_net {
	struct rpc_net_options options;
	struct rpc_service service;
	const struct clock *clock;
	uint64_t self;
	pthread_rwlock_t lock; /* peers */
	struct peer *peers;
	struct server *server; /* NULL: does not listen */
	struct mailbox *events;
	pthread_t timer;
	atomic_bool timer_sleeps; /* without a time limit */
	atomic_bool stopping;
	atomic_uint n_pending;
	atomic_uint n_down; /* links without a connection: the timer tries them again */
	atomic_ullong next_call;
	atomic_ullong calls_sent, frames_sent, calls_served, answer_frames, lost_calls, timeouts;
	bool keyed;
	uint8_t key[SECRET_HASH_BYTES];
	atomic_ullong refused; /* peers, for the sake of the key */
};

static inline uint64_t net_now_us(const struct rpc_net *net)
{
	return net->clock->monotonic_us(net->clock->ctx);
}
/* The timer thread looks at all links soon. */
void net_wake_timer(struct rpc_net *net);
/* Counts, and tells the owner. */
void net_refused(struct rpc_net *net, const struct error *why);

/* ---- link.c ---- */

struct link;
struct link *link_new(struct rpc_net *net, uint64_t node, enum rpc_class class, const char *address,
		      struct error *err);
struct link *link_ref(struct link *l);
void link_unref(struct link *l);
/* Fails what is pending; from then on calls are refused. Waits for running callbacks. */
void link_close(struct link *l);
void link_send(struct link *l, struct rpc_call *call);
bool link_cancel(struct link *l, struct rpc_call *call); /* false: not here (any more) */
void link_tick(struct link *l, uint64_t now_us); /* timer thread: lost connections, deadlines */
bool link_is_up(struct link *l);
int link_refused(struct link *l, struct error *why); /* as rpc_peer_refused */

/* ---- serve.c ---- */

int server_start(struct rpc_net *net, const char *address, struct server **out, struct error *err);
void server_stop(struct server *s); /* waits for calls at work; NULL ok */
uint16_t server_port(const struct server *s);

/* ---- net.c ---- */

int net_start(uint64_t self, struct rpc_service service, const struct rpc_net_options *o,
	      struct rpc_net **out, struct error *err);
void net_stop(struct rpc_net *net); /* NULL ok */
void net_send(struct rpc_net *net, uint64_t node, struct rpc_call *call);
void net_cancel(struct rpc_net *net, uint64_t node, struct rpc_call *call);
void net_peer_set(struct rpc_net *net, uint64_t node, const char *address); /* NULL: remove */
bool net_peer_up(struct rpc_net *net, uint64_t node);
int net_peer_refused(struct rpc_net *net, uint64_t node, struct error *why);
uint16_t net_port(const struct rpc_net *net);
void net_metrics(const struct rpc_net *net, struct buf *out);
