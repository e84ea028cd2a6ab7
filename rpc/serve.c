/* The answering side: frames of calls come in, each call goes to a worker (or is handled on the
 * spot when its type only hands over), answers that are ready at the same time go back in one frame.
 *
 * A call that was cancelled, or whose time is over before a worker comes to it, is answered without
 * being carried out. Every call is answered: the peer counts.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/pool.h"
#include "rpc/auth.h"
#include "rpc/codec.h"
#include "rpc/net.h"

#include <stdlib.h>
#include <string.h>

/* A received frame; its calls refer to its bytes. */
struct inbound {
	struct wire_message message;
	atomic_uint refs;
};

struct answer {
	struct answer *next;
	uint64_t call;
	struct error error;
	struct buf body;
};

struct connection {
	struct connection *next;
	struct server *server;
	uint32_t id;
	atomic_uint refs;
	uint64_t cluster_id; /* the caller's; 0: it wants to join */
	uint64_t from;
	enum rpc_class class;
	bool known;
	bool stranger; /* does not know its cluster yet: may only ask to join */
	struct auth auth;
	bool challenged, proven; /* when the cluster has a key */
	unsigned refused;        /* messages without proof */
	pthread_mutex_t lock;
	bool closed, sending;
	struct answer *outbox, **outbox_end;
	struct incoming *active;
	unsigned n_active;
};

struct incoming {
	struct rpc_call call;         /* first */
	struct incoming *next, *prev; /* connection->active */
	struct connection *connection;
	struct inbound *inbound;
	uint64_t id;
	const uint8_t *bytes;
	uint32_t n;
	atomic_bool cancelled;
};

struct server {
	struct rpc_net *net;
	struct wire_listener *listener;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct connection *connections;
	unsigned n_calls;
	bool stopping;
};

/* ---- references ---- */

static void inbound_unref(struct inbound *in)
{
	if (atomic_fetch_sub(&in->refs, 1) != 1)
		return;
	wire_message_free(&in->message);
	free(in);
}

static void answer_free(struct answer *a)
{
	buf_fini(&a->body);
	free(a);
}

static void connection_unref(struct connection *c)
{
	if (atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	while (c->outbox != NULL) {
		struct answer *a = c->outbox;

		c->outbox = a->next;
		answer_free(a);
	}
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* Finds or makes the connection; with a reference for the caller. */
static struct connection *connection_get(struct server *s, uint32_t id)
{
	struct connection *c;

	pthread_mutex_lock(&s->lock);
	for (c = s->connections; c != NULL && c->id != id; c = c->next)
		continue;
	if (c == NULL) {
		c = mem_zalloc(sizeof(*c));
		c->server = s;
		c->id = id;
		c->refs = 1; /* of the list */
		c->outbox_end = &c->outbox;
		pthread_mutex_init(&c->lock, NULL);
		c->next = s->connections;
		s->connections = c;
	}
	atomic_fetch_add(&c->refs, 1);
	pthread_mutex_unlock(&s->lock);
	return c;
}

static void on_closed(void *ctx, uint32_t id)
{
	struct server *s = ctx;
	struct connection *gone = NULL;

	pthread_mutex_lock(&s->lock);
	for (struct connection **at = &s->connections; *at != NULL; at = &(*at)->next) {
		if ((*at)->id == id) {
			gone = *at;
			*at = gone->next;
			break;
		}
	}
	pthread_mutex_unlock(&s->lock);
	if (gone == NULL)
		return;
	pthread_mutex_lock(&gone->lock);
	gone->closed = true;
	for (struct incoming *i = gone->active; i != NULL; i = i->next)
		atomic_store(&i->cancelled, true); /* nobody waits for it */
	pthread_mutex_unlock(&gone->lock);
	connection_unref(gone);
}

/* ---- answers ---- */

static struct frame_head head_for(const struct connection *c, enum frame_kind kind)
{
	const struct rpc_net *net = c->server->net;

	/* A caller without a cluster must recognise the answer. */
	return (struct frame_head){.kind = kind,
				   .class = c->class,
				   .cluster_id = c->cluster_id,
				   .from = net->self,
				   .to = c->from};
}

/* As many of the answers as one frame takes. */
static void send_answers(struct connection *c, struct answer **first)
{
	struct frame_head head = head_for(c, FRAME_RESPONSES);
	struct buf frame = BUF_INIT;
	uint32_t n = 0;

	frame_begin(&frame, &head);
	while (*first != NULL) {
		struct answer *a = *first;

		if (n > 0 && frame.len + a->body.len > FRAME_SOFT_BYTES)
			break;
		*first = a->next;
		frame_put_response(&frame, a->call, &a->error, &a->body);
		answer_free(a);
		n++;
	}
	frame_end(&frame, n);
	atomic_fetch_add(&c->server->net->answer_frames, 1);
	if (!wire_listener_send(c->server->listener, c->id, &frame))
		wire_listener_kick(c->server->listener, c->id); /* lost answers must be noticed */
	buf_fini(&frame);
}

/* Queues an answer (owned); the first who comes sends for all who come meanwhile. */
static void push_answer(struct connection *c, struct answer *a)
{
	pthread_mutex_lock(&c->lock);
	*c->outbox_end = a;
	c->outbox_end = &a->next;
	while (!c->sending && !c->closed && c->outbox != NULL) {
		struct answer *all = c->outbox;

		c->outbox = NULL;
		c->outbox_end = &c->outbox;
		c->sending = true;
		pthread_mutex_unlock(&c->lock);
		while (all != NULL)
			send_answers(c, &all);
		pthread_mutex_lock(&c->lock);
		c->sending = false;
	}
	pthread_mutex_unlock(&c->lock);
}

static void refuse_call(struct connection *c, uint64_t call, int code, const char *text)
{
	struct answer *a = mem_zalloc(sizeof(*a));

	a->call = call;
	error_set(&a->error, code, "%s", text);
	a->error.code = code;
	push_answer(c, a);
}

/* ---- calls ---- */

/* False: the server is stopping. Looked at in the same breath as the calls are counted, so that none
 * begins unseen by server_stop(). */
static bool enter(struct server *s)
{
	bool open;

	pthread_mutex_lock(&s->lock);
	open = !s->stopping;
	s->n_calls += open;
	pthread_mutex_unlock(&s->lock);
	return open;
}

static void leave(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	if (--s->n_calls == 0)
		pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

static void incoming_end(struct incoming *in)
{
	struct connection *c = in->connection;
	struct server *s = c->server;

	pthread_mutex_lock(&c->lock);
	if (in->next != NULL)
		in->next->prev = in->prev;
	if (in->prev != NULL)
		in->prev->next = in->next;
	else
		c->active = in->next;
	c->n_active--;
	pthread_mutex_unlock(&c->lock);
	inbound_unref(in->inbound);
	arena_free(in->call.arena);
	free(in);
	connection_unref(c);
	leave(s);
}

/* The handler is done: rpc_finish led here. */
static void on_done(struct rpc_call *call)
{
	struct incoming *in = (struct incoming *)call;
	struct answer *a = mem_zalloc(sizeof(*a));

	a->call = in->id;
	if (call->rc == 0) {
		rpc_response_encode(&a->body, call->type, call->request, call->response);
		if (a->body.len > BODY_LIMIT) {
			buf_clear(&a->body);
			call->rc = error_set(&call->err, ERR_TOO_LARGE,
					     "the answer is larger than a message may be; ask for "
					     "less at once");
		}
	}
	if (call->rc != 0)
		a->error = call->err;
	a->error.code = call->rc;
	push_answer(in->connection, a);
	incoming_end(in);
}

static void run(void *arg)
{
	struct incoming *in = arg;
	struct rpc_call *call = &in->call;
	struct rpc_net *net = in->connection->server->net;
	const void *request = NULL;
	int rc = 0;

	if (atomic_load(&in->cancelled))
		rc = error_set(&call->err, ERR_CLOSED, "the call was cancelled");
	else if (call->deadline_us != 0 && net_now_us(net) >= call->deadline_us)
		rc = error_set(&call->err, ERR_TIMEOUT, "its time was over before it began");
	if (rc == 0) {
		call->arena = arena_new(4096);
		rc = rpc_request_decode(call->type, in->bytes, in->n, call->arena, &request,
					&call->err);
	}
	if (rc < 0) {
		rpc_finish(call, rc);
		return;
	}
	call->request = request;
	call->response = rpc_response_new(call->type, call->arena);
	net->service.handle(net->service.ctx, call);
}

/* Types whose handler only hands over are handled where they come in: in order, and not behind the
 * searches that wait for a worker. A node that is busy must not pass for one that is dead. */
static bool runs_inline(enum rpc_type type)
{
	switch (type) {
	case RPC_TYPE_meta:
	case RPC_TYPE_heartbeat:
	case RPC_TYPE_probe:
	case RPC_TYPE_join:
	case RPC_TYPE_append: return true;
	default: return false;
	}
}

static bool add_active(struct connection *c, struct incoming *in)
{
	bool room;

	pthread_mutex_lock(&c->lock);
	room = c->n_active < CONNECTION_CALLS;
	if (room) {
		in->next = c->active;
		if (in->next != NULL)
			in->next->prev = in;
		c->active = in;
		c->n_active++;
	}
	pthread_mutex_unlock(&c->lock);
	return room;
}

static void begin_call(struct connection *c, struct inbound *inbound, const struct frame_request *r)
{
	struct server *s = c->server;
	struct rpc_net *net = s->net;
	struct incoming *in;

	if (c->cluster_id != net->options.cluster_id && r->type != RPC_TYPE_join) {
		refuse_call(c, r->call, ERR_FORBIDDEN,
			    "the caller belongs to no cluster; it must join first");
		return;
	}
	if (r->type == RPC_TYPE_COUNT) {
		refuse_call(c, r->call, ERR_UNSUPPORTED,
			    "this node does not know the message; upgrade it");
		return;
	}
	if (c->stranger && r->type != RPC_TYPE_join && r->type != RPC_TYPE_probe) {
		refuse_call(c, r->call, ERR_FORBIDDEN, "this node is not part of the cluster yet");
		return;
	}
	if (!enter(s)) {
		refuse_call(c, r->call, ERR_UNAVAILABLE, "the node is stopping");
		return;
	}
	in = mem_zalloc(sizeof(*in));
	in->call.type = r->type;
	in->call.done = on_done;
	in->call.deadline_us = r->budget_us != 0 ? net_now_us(net) + r->budget_us : 0;
	in->connection = c;
	in->inbound = inbound;
	in->id = r->call;
	in->bytes = r->bytes;
	in->n = r->n;
	if (!add_active(c, in)) {
		free(in);
		refuse_call(c, r->call, ERR_BUSY, "too many calls of this peer are at work");
		leave(s);
		return;
	}
	atomic_fetch_add(&c->refs, 1);
	atomic_fetch_add(&inbound->refs, 1);
	atomic_fetch_add(&net->calls_served, 1);
	if (runs_inline(r->type)) {
		run(in);
	} else if (pool_submit(net->options.pool, LANE_SEARCH, run, in) != 0) {
		error_set(&in->call.err, ERR_UNAVAILABLE, "the node is stopping");
		rpc_finish(&in->call, ERR_UNAVAILABLE);
	}
}

static void cancel_calls(struct connection *c, struct reader *items, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t id = reader_u64(items);

		if (!reader_ok(items))
			return;
		pthread_mutex_lock(&c->lock);
		for (struct incoming *in = c->active; in != NULL; in = in->next) {
			if (in->id == id)
				atomic_store(&in->cancelled, true);
		}
		pthread_mutex_unlock(&c->lock);
	}
}

/* ---- frames ---- */

/* Is this frame for us? */
static int check_head(const struct server *s, const struct frame_head *h, struct error *err)
{
	const struct rpc_net *net = s->net;

	if (h->cluster_id != net->options.cluster_id && h->cluster_id != 0)
		return error_set(err, ERR_FORBIDDEN,
				 "this node belongs to cluster %016llx, the caller to %016llx",
				 (unsigned long long)net->options.cluster_id,
				 (unsigned long long)h->cluster_id);
	if (h->to != net->self && h->to < RPC_ANY_NODE)
		return error_set(err, ERR_STALE, "this is node %llu, not %llu",
				 (unsigned long long)net->self, (unsigned long long)h->to);
	if (h->kind != FRAME_REQUESTS && h->kind != FRAME_CANCEL && h->kind != FRAME_HELLO &&
	    h->kind != FRAME_PROOF)
		return error_set(err, ERR_FORMAT, "an unexpected kind of message");
	return 0;
}

static void reject(struct connection *c, const struct error *why)
{
	struct frame_head head = head_for(c, FRAME_REJECT);
	struct buf frame = BUF_INIT;

	log_debug("rpc", "rejected a message: %s", why->text);
	frame_reject(&frame, &head, why);
	wire_listener_send(c->server->listener, c->id, &frame);
	buf_fini(&frame);
}

/* ---- the key of the cluster ---- */

static void challenge(struct connection *c)
{
	struct frame_head head = head_for(c, FRAME_CHALLENGE);
	struct buf frame = BUF_INIT;

	c->challenged = true;
	auth_put_challenge(&c->auth, &head, c->server->net->key, &frame);
	wire_listener_send(c->server->listener, c->id, &frame);
	buf_fini(&frame);
}

/* What is wrong with a frame of somebody who has proven nothing. */
static int refuse_unproven(struct connection *c, const struct frame_head *h, struct error *err)
{
	struct rpc_net *net = c->server->net;
	struct error told;
	char at[64];

	wire_listener_peer(c->server->listener, c->id, at, sizeof(at));
	if (!net->keyed)
		error_set(err, ERR_FORBIDDEN,
			  "this node has no cluster key, the caller has one; give all nodes of a "
			  "cluster the same --cluster-key-file");
	else if (h->kind == FRAME_REQUESTS)
		error_set(err, ERR_FORBIDDEN,
			  "nodes of this cluster must prove that they know its key; start this one "
			  "with the --cluster-key-file of the others");
	else
		error_set(err, ERR_FORBIDDEN,
			  "the proof of the cluster key is wrong; give all nodes of a cluster the "
			  "same --cluster-key-file");
	error_set(&told, ERR_FORBIDDEN,
		  "turned away a caller from %s that says it is node %llu: %s", at,
		  (unsigned long long)h->from, err->text);
	net_refused(net, &told);
	if (h->kind == FRAME_PROOF || ++c->refused > UNPROVEN_FRAMES)
		wire_listener_kick(c->server->listener, c->id);
	return ERR_FORBIDDEN;
}

/* Before a connection has proven that it knows the key, only that is talked about. */
static int authenticate(struct connection *c, const struct frame_head *h, struct reader *items,
			struct error *err)
{
	struct rpc_net *net = c->server->net;

	if (net->keyed && h->kind == FRAME_HELLO && !c->challenged &&
	    auth_take_hello(&c->auth, h, net->self, items)) {
		challenge(c);
		return 0;
	}
	if (net->keyed && h->kind == FRAME_PROOF && c->challenged && !c->proven &&
	    auth_take_proof(&c->auth, net->key, items)) {
		c->proven = true;
		wire_listener_trust(c->server->listener, c->id);
		return 0;
	}
	return refuse_unproven(c, h, err);
}

static bool is_about_key(const struct connection *c, const struct frame_head *h)
{
	return h->kind == FRAME_HELLO || h->kind == FRAME_PROOF ||
	       (c->server->net->keyed && !c->proven);
}

static void on_received(void *ctx, uint32_t id, struct wire_message *m)
{
	struct server *s = ctx;
	struct inbound *inbound = mem_zalloc(sizeof(*inbound));
	struct connection *c = connection_get(s, id);
	struct frame_head head;
	struct reader items;
	struct error err = {0};
	int rc = frame_parse(m->bytes, m->n, &head, &items, &err);

	inbound->message = *m;
	inbound->refs = 1;
	if (rc == 0) {
		if (!c->known) { /* once: answers read it on other threads */
			c->from = head.from;
			c->class = head.class;
			c->cluster_id = head.cluster_id;
			c->known = true;
		}
		c->stranger = head.cluster_id != s->net->options.cluster_id;
		rc = check_head(s, &head, &err);
	}
	if (rc == 0 && is_about_key(c, &head)) {
		rc = authenticate(c, &head, &items, &err);
		head.n_items = 0;
	}
	if (rc < 0) {
		reject(c, &err);
	} else if (head.kind == FRAME_CANCEL) {
		cancel_calls(c, &items, head.n_items);
	} else {
		struct frame_request r;

		for (uint32_t i = 0; i < head.n_items && frame_next_request(&items, &r) == 0; i++)
			begin_call(c, inbound, &r);
	}
	inbound_unref(inbound);
	connection_unref(c);
}

/* ---- life ---- */

int server_start(struct rpc_net *net, const char *address, struct server **out, struct error *err)
{
	struct server *s = mem_zalloc(sizeof(*s));
	struct wire_listener_events events = {s, on_closed, on_received,
					      net->keyed ? AUTH_FRAME_BYTES : 0};
	int rc;

	assert(net->options.pool != NULL);
	s->net = net;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	rc = wire_listen(address, &events, &s->listener, err);
	if (rc < 0) {
		server_stop(s);
		return rc;
	}
	*out = s;
	return 0;
}

void server_stop(struct server *s)
{
	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	while (s->n_calls > 0)
		pthread_cond_wait(&s->idle, &s->lock);
	pthread_mutex_unlock(&s->lock);
	wire_listener_close(s->listener);
	while (s->connections != NULL)
		on_closed(s, s->connections->id);
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

uint16_t server_port(const struct server *s)
{
	return wire_listener_port(s->listener);
}
