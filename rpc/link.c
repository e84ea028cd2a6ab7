/* The calling side of one connection.
 *
 * A call waits in `queue` until the window has room, then it is in `flight` until its answer comes.
 * One thread at a time sends: it takes all that waits and puts it into one frame, and goes on until
 * nothing waits. Whoever comes meanwhile only queues. Beyond LINK_OPEN_FRAMES frames with an answer
 * missing, calls gather for the next frame until one is answered in full, or until the oldest has
 * waited COALESCE_US: a message costs tens of microseconds of two processors, a call in it next to
 * nothing (bench_path, 32 callers of one partition: 10 calls a frame, 16 us of both processors for a call;
 * with eight open frames 3 calls and 20 us, and no answer came sooner). An idle link sends at once, but for
 * a call whose sender has another one for it.
 *
 * A call whose deadline passes is answered ERR_TIMEOUT, but keeps its place in the window until the
 * peer answers or the connection is lost: the bound on answers under way must hold.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "rpc/auth.h"
#include "rpc/codec.h"
#include "rpc/net.h"
#include "rpc/pending.h"

#include <stdlib.h>
#include <string.h>

struct link {
	struct rpc_net *net;
	uint64_t node;
	enum rpc_class class;
	char *address;
	atomic_uint refs;
	pthread_mutex_t dial_lock; /* who replaces the dialer; taken before `lock` */

	pthread_mutex_t lock;
	pthread_cond_t sent;        /* `sending` ended on a link that is closed */
	struct wire_dialer *dialer; /* NULL while it is replaced */
	uint64_t dialled_us;        /* when the dialer was made */
	uint64_t next_dial_us, backoff_us;
	bool up, closed, sending;
	bool greeted; /* the connection stands, and each side has to prove that it knows the key */
	struct auth auth;
	struct error refusal; /* of one side by the other */
	uint64_t refused_us;
	struct list queue, flight;
	struct list lost; /* of a connection that is gone */
	struct list lost_unsent;
	uint64_t cancels[LINK_WINDOW];
	unsigned n_cancels, n_given_up, n_open;
	uint64_t stuck_us; /* since when the window is full of calls given up; 0 = it is not */
};

/* ---- entries ---- */

static void pending_free(struct link *l, struct pending *p)
{
	assert(p->frame == NULL);
	atomic_fetch_sub(&l->net->n_pending, 1);
	buf_fini(&p->body);
	free(p->shape);
	free(p);
}

/* With the lock held. */
static void empty_flight(struct link *l, struct list *to)
{
	for (struct pending *p = l->flight.first; p != NULL; p = p->next)
		leave_frame(p, &l->n_open);
	list_move_all(to, &l->flight);
	l->n_given_up = 0;
}

/* ---- life ---- */

/* With the lock held. */
static void set_up(struct link *l, bool up)
{
	uint64_t now = net_now_us(l->net);

	if (l->up == up)
		return;
	l->up = up;
	if (up) {
		atomic_fetch_sub(&l->net->n_down, 1);
		l->backoff_us = LINK_DIAL_MIN_US;
	} else {
		atomic_fetch_add(&l->net->n_down, 1);
		l->next_dial_us = now + l->backoff_us;
	}
}

static struct frame_head head_of(const struct link *l, enum frame_kind kind)
{
	return (struct frame_head){.kind = kind,
				   .class = l->class,
				   .cluster_id = l->net->options.cluster_id,
				   .from = l->net->self,
				   .to = l->node};
}

/* With the lock held: the connection stands. When the cluster has a key, calls wait for the proofs. */
static void greet(struct link *l)
{
	struct frame_head head = head_of(l, FRAME_HELLO);
	struct buf hello = BUF_INIT;

	if (!l->net->keyed) {
		set_up(l, true);
	} else if (!l->greeted) {
		l->greeted = true;
		auth_put_hello(&l->auth, &head, &hello);
		wire_dialer_send(l->dialer, &hello); /* lost: the connection is, too */
		buf_fini(&hello);
	}
}

static void on_up(void *ctx)
{
	struct link *l = ctx;

	pthread_mutex_lock(&l->lock);
	if (!l->closed && l->dialer != NULL)
		greet(l);
	pthread_mutex_unlock(&l->lock);
}

static void on_down(void *ctx)
{
	struct link *l = ctx;

	pthread_mutex_lock(&l->lock);
	set_up(l, false);
	l->greeted = false;
	empty_flight(l, &l->lost);
	list_move_all(&l->lost_unsent, &l->queue);
	l->n_cancels = 0;
	l->stuck_us = 0;
	pthread_mutex_unlock(&l->lock);
	net_wake_timer(l->net);
}

static void on_received(void *ctx, struct wire_message *m);

/* With dial_lock held. The connection may be up before wire_dial returns. */
static int dial(struct link *l, struct error *err)
{
	struct wire_dialer_events events = {l, on_up, on_down, on_received};
	struct wire_dialer *d;
	int rc = wire_dial(l->address, &events, &d, err);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&l->lock);
	l->dialer = d;
	l->dialled_us = net_now_us(l->net);
	l->next_dial_us = l->dialled_us + l->backoff_us;
	if (!l->closed && wire_dialer_is_up(d))
		greet(l);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

/* Timer thread: a link that is down tries again, a little later each time. A host that is gone
 * without a word leaves the system's attempt to connect waiting for a minute or more, although it
 * may be back by now; so an attempt that takes long is given up with its dialer. */
static void connect_again(struct link *l, uint64_t now)
{
	struct wire_dialer *old = NULL;
	bool anew = false, again = false;

	pthread_mutex_lock(&l->dial_lock);
	pthread_mutex_lock(&l->lock);
	if (!l->up && !l->closed && !l->sending && now >= l->next_dial_us) {
		again = true;
		anew = l->dialer == NULL || now - l->dialled_us >= LINK_REDIAL_US;
		l->backoff_us *= l->backoff_us < LINK_DIAL_MAX_US ? 2 : 1;
		l->next_dial_us = now + l->backoff_us;
		old = l->dialer;
		if (anew)
			l->dialer = NULL;
	}
	pthread_mutex_unlock(&l->lock);
	if (anew) {
		wire_dialer_close(old);
		if (dial(l, NULL) < 0)
			log_debug("rpc", "node %llu at %s cannot be dialled",
				  (unsigned long long)l->node, l->address);
	} else if (again) {
		wire_dialer_poke(old);
	}
	pthread_mutex_unlock(&l->dial_lock);
}

struct link *link_new(struct rpc_net *net, uint64_t node, enum rpc_class class, const char *address,
		      struct error *err)
{
	struct link *l = mem_zalloc(sizeof(*l));
	int rc;

	l->net = net;
	l->node = node;
	l->class = class;
	l->address = mem_strdup(address);
	l->refs = 1;
	l->backoff_us = LINK_DIAL_MIN_US;
	atomic_fetch_add(&net->n_down, 1);
	list_init(&l->queue);
	list_init(&l->flight);
	list_init(&l->lost);
	list_init(&l->lost_unsent);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->sent, NULL);
	pthread_mutex_init(&l->dial_lock, NULL);
	pthread_mutex_lock(&l->dial_lock);
	rc = dial(l, err);
	pthread_mutex_unlock(&l->dial_lock);
	if (rc < 0) {
		atomic_fetch_sub(&net->n_down, 1);
		link_unref(l);
		return NULL;
	}
	net_wake_timer(net);
	return l;
}

struct link *link_ref(struct link *l)
{
	atomic_fetch_add(&l->refs, 1);
	return l;
}

void link_unref(struct link *l)
{
	if (l == NULL || atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	assert(l->queue.n == 0 && l->flight.n == 0 && l->lost.n == 0 && l->lost_unsent.n == 0);
	pthread_cond_destroy(&l->sent);
	pthread_mutex_destroy(&l->lock);
	pthread_mutex_destroy(&l->dial_lock);
	free(l->address);
	free(l);
}

static void fail(struct link *l, struct pending *p, int code, const char *what)
{
	struct rpc_call *call = p->call;

	pending_free(l, p);
	if (call == NULL)
		return;
	atomic_fetch_add(&l->net->lost_calls, 1);
	error_set(&call->err, code, "node %llu at %s: %s", (unsigned long long)l->node, l->address,
		  what);
	rpc_finish(call, code);
}

static void fail_lost(struct link *l)
{
	struct list sent, unsent;

	list_init(&sent);
	list_init(&unsent);
	pthread_mutex_lock(&l->lock);
	list_move_all(&sent, &l->lost);
	list_move_all(&unsent, &l->lost_unsent);
	pthread_mutex_unlock(&l->lock);
	while (sent.first != NULL)
		fail(l, list_take_at(&sent, &sent.first), ERR_CLOSED,
		     "the connection was lost before the answer came");
	while (unsent.first != NULL)
		fail(l, list_take_at(&unsent, &unsent.first), ERR_UNAVAILABLE,
		     "the connection was lost before the request was sent");
}

void link_close(struct link *l)
{
	pthread_mutex_lock(&l->lock);
	l->closed = true;
	set_up(l, false);
	while (l->sending) /* with the dialer, which is freed below */
		pthread_cond_wait(&l->sent, &l->lock);
	pthread_mutex_unlock(&l->lock);
	pthread_mutex_lock(&l->dial_lock);
	wire_dialer_close(l->dialer);
	l->dialer = NULL;
	pthread_mutex_unlock(&l->dial_lock);
	atomic_fetch_sub(&l->net->n_down, 1);
	on_down(l);
	fail_lost(l);
}

bool link_is_up(struct link *l)
{
	bool up;

	pthread_mutex_lock(&l->lock);
	up = l->up;
	pthread_mutex_unlock(&l->lock);
	return up;
}

int link_refused(struct link *l, struct error *why)
{
	uint64_t now = net_now_us(l->net);
	int rc = 0;

	pthread_mutex_lock(&l->lock);
	if (!l->up && l->refusal.code != 0 && now - l->refused_us < LINK_REFUSAL_US) {
		rc = l->refusal.code;
		if (why != NULL)
			*why = l->refusal;
	}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

/* ---- sending ---- */

/* What one frame takes; the bodies are moved out, so that the calls may end while it is sent. */
struct batch {
	struct {
		uint64_t id, budget_us;
		enum rpc_type type;
		struct buf body;
	} items[LINK_WINDOW];
	uint32_t n;
	uint64_t cancels[LINK_WINDOW];
	uint32_t n_cancels;
};

static uint64_t budget_of(const struct pending *p, uint64_t now)
{
	if (p->deadline_us == 0)
		return 0;
	return p->deadline_us > now ? p->deadline_us - now : 1;
}

/* With the lock held: moves what may be sent now out of the queue. */
static bool take_batch(struct link *l, struct batch *b)
{
	uint64_t now = net_now_us(l->net);
	struct open_frame *frame = NULL;
	size_t bytes = 0;

	b->n = 0;
	b->n_cancels = l->n_cancels;
	memcpy(b->cancels, l->cancels, l->n_cancels * sizeof(l->cancels[0]));
	l->n_cancels = 0;
	if (l->n_open >= LINK_OPEN_FRAMES && l->queue.first != NULL &&
	    now - l->queue.first->queued_us < COALESCE_US)
		return b->n_cancels > 0;
	while (l->queue.first != NULL && l->flight.n < LINK_WINDOW && bytes < FRAME_SOFT_BYTES) {
		struct pending *p = l->queue.first;

		if (b->n > 0 && bytes + p->body.len > FRAME_SOFT_BYTES)
			break;
		list_take_at(&l->queue, &l->queue.first);
		b->items[b->n].id = p->id;
		b->items[b->n].type = p->type;
		b->items[b->n].budget_us = budget_of(p, now);
		b->items[b->n++].body = p->body;
		bytes += p->body.len;
		p->body = BUF_INIT;
		if (frame == NULL) {
			frame = mem_zalloc(sizeof(*frame));
			l->n_open++;
		}
		frame->left++;
		p->frame = frame;
		list_add(&l->flight, p);
	}
	return b->n > 0 || b->n_cancels > 0;
}

static bool send_batch(struct link *l, struct batch *b)
{
	struct frame_head head = head_of(l, FRAME_REQUESTS);
	struct buf frame = BUF_INIT;
	bool ok = true;

	if (b->n > 0) {
		frame_begin(&frame, &head);
		for (uint32_t i = 0; i < b->n; i++) {
			frame_put_request(&frame, b->items[i].id, b->items[i].type,
					  b->items[i].budget_us, &b->items[i].body);
			buf_fini(&b->items[i].body);
		}
		frame_end(&frame, b->n);
		ok = wire_dialer_send(l->dialer, &frame);
		atomic_fetch_add(&l->net->frames_sent, 1);
		atomic_fetch_add(&l->net->calls_sent, b->n);
	}
	if (b->n_cancels > 0) {
		head.kind = FRAME_CANCEL;
		buf_clear(&frame);
		frame_begin(&frame, &head);
		for (uint32_t i = 0; i < b->n_cancels; i++)
			frame_put_cancel(&frame, b->cancels[i]);
		frame_end(&frame, b->n_cancels);
		wire_dialer_send(l->dialer, &frame); /* lost: then it works for nothing */
	}
	buf_fini(&frame);
	return ok;
}

/* Called with the lock held, returns without it. */
static void pump(struct link *l)
{
	struct batch batch;

	while (!l->sending && l->up && take_batch(l, &batch)) {
		bool ok;

		l->sending = true;
		pthread_mutex_unlock(&l->lock);
		ok = send_batch(l, &batch);
		if (!ok)
			wire_dialer_kick(l->dialer); /* comes back as on_down */
		pthread_mutex_lock(&l->lock);
		l->sending = false;
		if (l->closed)
			pthread_cond_broadcast(&l->sent);
	}
	pthread_mutex_unlock(&l->lock);
}

static struct pending *pending_new(struct link *l, struct rpc_call *call)
{
	struct pending *p = mem_zalloc(sizeof(*p));

	p->call = call;
	p->id = atomic_fetch_add(&l->net->next_call, 1);
	p->type = call->type;
	p->deadline_us = call->deadline_us;
	p->queued_us = net_now_us(l->net);
	p->shape = rpc_request_shape(call->type, call->request);
	rpc_request_encode(&p->body, call->type, call->request);
	atomic_fetch_add(&l->net->n_pending, 1);
	return p;
}

void link_send(struct link *l, struct rpc_call *call)
{
	struct pending *p;
	int code = 0;
	const char *what = "";
	bool more;

	if (!link_is_up(l)) { /* before the work of encoding */
		if (link_refused(l, &call->err) == 0)
			error_set(&call->err, ERR_UNAVAILABLE, "node %llu at %s is not connected",
				  (unsigned long long)l->node, l->address);
		rpc_finish(call, ERR_UNAVAILABLE);
		return;
	}
	p = pending_new(l, call);
	if (p->body.len > BODY_LIMIT) {
		fail(l, p, ERR_TOO_LARGE, "the request is larger than a message may be");
		return;
	}
	pthread_mutex_lock(&l->lock);
	if (!l->up) {
		code = ERR_UNAVAILABLE;
		what = "not connected";
	} else if (l->queue.n + l->flight.n >= LINK_QUEUE + LINK_WINDOW) {
		code = ERR_BUSY;
		what = "too many calls wait for it";
	}
	if (code != 0) {
		pthread_mutex_unlock(&l->lock);
		fail(l, p, code, what);
		return;
	}
	more = p->call->more;
	list_add(&l->queue, p);
	if (more)
		pthread_mutex_unlock(&l->lock); /* should nothing follow, link_tick sends it */
	else
		pump(l);
	if (atomic_load(&l->net->timer_sleeps))
		net_wake_timer(l->net);
}

/* ---- answers ---- */

static struct pending *take_flight(struct link *l, uint64_t id)
{
	for (struct pending **at = &l->flight.first; *at != NULL; at = &(*at)->next) {
		if ((*at)->id == id) {
			struct pending *p = list_take_at(&l->flight, at);

			l->n_given_up -= p->call == NULL;
			leave_frame(p, &l->n_open);
			return p;
		}
	}
	return NULL;
}

static void finish(struct link *l, struct pending *p, const struct frame_response *r)
{
	struct rpc_call *call = p->call;
	int rc = r->code;

	if (call == NULL)
		rc = 0;
	else if (rc != 0)
		frame_error(r, &call->err);
	else
		rc = rpc_response_decode(p->type, p->shape, reader_make(r->bytes, r->n),
					 call->arena, call->response, &call->err);
	pending_free(l, p);
	if (call != NULL)
		rpc_finish(call, rc);
}

/* The answers of a frame make room in the window together, so that what waits goes out together; and before they are
 * worked on. */
static void on_responses(struct link *l, struct reader *items, uint32_t n)
{
	struct arrived {
		struct pending *p;
		struct frame_response r;
	} arrived[LINK_WINDOW];
	uint32_t n_arrived;

	do {
		struct frame_response r;

		n_arrived = 0;
		pthread_mutex_lock(&l->lock);
		while (n > 0 && n_arrived < LINK_WINDOW && frame_next_response(items, &r) == 0) {
			struct pending *p = take_flight(l, r.call);

			n--;
			if (p != NULL)
				arrived[n_arrived++] = (struct arrived){p, r};
		}
		pump(l);
		for (uint32_t i = 0; i < n_arrived; i++)
			finish(l, arrived[i].p, &arrived[i].r);
	} while (n_arrived == LINK_WINDOW);
}

/* From a callback of the dialer, which is not freed before that returns; but it may be given up already. */
static void kick(struct link *l)
{
	struct wire_dialer *d;

	pthread_mutex_lock(&l->lock);
	d = l->dialer;
	pthread_mutex_unlock(&l->lock);
	if (d != NULL)
		wire_dialer_kick(d);
}

/* ---- the key of the cluster ---- */

/* Nothing can be said on this connection. */
static void refuse(struct link *l, int code, const char *what)
{
	struct error why;

	error_set(&why, code, "node %llu at %s: %s", (unsigned long long)l->node, l->address, what);
	pthread_mutex_lock(&l->lock);
	l->refusal = why;
	l->refused_us = net_now_us(l->net);
	pthread_mutex_unlock(&l->lock);
	net_refused(l->net, &why);
	kick(l);
}

/* The peer has proven that it knows the key, or not; if it has, so do we. */
static void on_challenge(struct link *l, const struct frame_head *h, struct reader *items)
{
	struct frame_head head = head_of(l, FRAME_PROOF);
	struct buf proof = BUF_INIT;
	bool ok;

	pthread_mutex_lock(&l->lock);
	ok = l->greeted && !l->up && !l->closed && l->dialer != NULL &&
	     auth_take_challenge(&l->auth, h, l->net->key, items);
	if (ok) {
		auth_put_proof(&l->auth, &head, l->net->key, &proof);
		wire_dialer_send(l->dialer, &proof);
		buf_fini(&proof);
		l->refusal.code = 0;
		set_up(l, true);
	}
	pthread_mutex_unlock(&l->lock);
	if (!ok)
		refuse(l, ERR_FORBIDDEN,
		       "it does not know the key of this cluster; give all nodes the same "
		       "--cluster-key-file");
}

/* The peer could not take a frame of ours; it does not say which, so all that is under way ends. */
static void on_reject(struct link *l, struct reader *items)
{
	struct frame_response r;
	struct error why;
	struct list all;

	if (frame_next_response(items, &r) != 0 || r.code == 0)
		return; /* it says nothing; what waits has its deadline */
	frame_error(&r, &why);
	list_init(&all);
	if (l->net->keyed && !link_is_up(l)) {
		refuse(l, why.code, why.text);
		return;
	}
	pthread_mutex_lock(&l->lock);
	empty_flight(l, &all);
	pthread_mutex_unlock(&l->lock);
	while (all.first != NULL)
		fail(l, list_take_at(&all, &all.first), why.code, why.text);
}

/* One that is about to join knows no cluster yet. */
static bool same_cluster(const struct link *l, const struct frame_head *h)
{
	return h->cluster_id == l->net->options.cluster_id || l->net->options.cluster_id == 0;
}

static void on_received(void *ctx, struct wire_message *m)
{
	struct link *l = ctx;
	struct frame_head head;
	struct reader items;
	struct error err;
	int rc = frame_parse(m->bytes, m->n, &head, &items, &err);

	if (rc == 0 && head.kind == FRAME_RESPONSES && same_cluster(l, &head)) {
		on_responses(l, &items, head.n_items);
	} else if (rc == 0 && head.kind == FRAME_CHALLENGE && l->net->keyed) {
		on_challenge(l, &head, &items);
	} else if (rc == 0 && head.kind == FRAME_REJECT) {
		on_reject(l, &items);
	} else {
		log_debug("rpc", "node %llu at %s: %s", (unsigned long long)l->node, l->address,
			  rc < 0 ? err.text : "an unexpected message");
		kick(l);
	}
	wire_message_free(m);
}

/* ---- time ---- */

/* With the lock held: takes a call away from its pending entry; the peer is told to stop. */
static void give_up(struct link *l, struct pending *p)
{
	p->call = NULL;
	leave_frame(p, &l->n_open);
	l->n_given_up++;
	if (l->n_cancels < LINK_WINDOW)
		l->cancels[l->n_cancels++] = p->id;
}

static bool expired(const struct pending *p, uint64_t now)
{
	return p->call != NULL && p->deadline_us != 0 && p->deadline_us <= now;
}

/* With the lock held: calls whose time is over; those that were sent, and those that were not. */
static size_t collect_expired(struct link *l, uint64_t now, struct rpc_call *sent[LINK_WINDOW],
			      struct list *unsent)
{
	size_t n = 0;

	for (struct pending *p = l->flight.first; p != NULL; p = p->next) {
		if (!expired(p, now))
			continue;
		sent[n++] = p->call;
		give_up(l, p);
	}
	for (struct pending **at = &l->queue.first; *at != NULL;) {
		if (expired(*at, now))
			list_add(unsent, list_take_at(&l->queue, at));
		else
			at = &(*at)->next;
	}
	return n;
}

static void drop_connection(struct link *l)
{
	pthread_mutex_lock(&l->dial_lock);
	if (l->dialer != NULL)
		wire_dialer_kick(l->dialer);
	pthread_mutex_unlock(&l->dial_lock);
}

void link_tick(struct link *l, uint64_t now)
{
	struct rpc_call *sent[LINK_WINDOW];
	struct list unsent;
	bool kick = false;
	size_t n;

	fail_lost(l);
	list_init(&unsent);
	pthread_mutex_lock(&l->lock);
	n = collect_expired(l, now, sent, &unsent);
	if (l->n_given_up < LINK_WINDOW)
		l->stuck_us = 0;
	else if (l->stuck_us == 0)
		l->stuck_us = now;
	else
		kick = now - l->stuck_us > LINK_STUCK_US;
	pump(l);
	if (kick)
		drop_connection(l);
	if (!link_is_up(l))
		connect_again(l, now);
	atomic_fetch_add(&l->net->timeouts, n + unsent.n);
	for (size_t i = 0; i < n; i++) {
		error_set(&sent[i]->err, ERR_TIMEOUT, "node %llu at %s did not answer in time",
			  (unsigned long long)l->node, l->address);
		rpc_finish(sent[i], ERR_TIMEOUT);
	}
	while (unsent.first != NULL)
		fail(l, list_take_at(&unsent, &unsent.first), ERR_TIMEOUT,
		     "too busy: the request was not sent in time");
}

bool link_cancel(struct link *l, struct rpc_call *call)
{
	struct pending *unsent = NULL;
	bool found = false;

	pthread_mutex_lock(&l->lock);
	for (struct pending *p = l->flight.first; p != NULL && !found; p = p->next) {
		if (p->call == call) {
			give_up(l, p);
			found = true;
		}
	}
	for (struct pending **at = &l->queue.first; *at != NULL && !found;) {
		if ((*at)->call == call) {
			unsent = list_take_at(&l->queue, at);
			found = true;
			break;
		}
		at = &(*at)->next;
	}
	pump(l);
	if (unsent != NULL)
		pending_free(l, unsent);
	if (found) {
		error_set(&call->err, ERR_CLOSED, "the call was cancelled");
		rpc_finish(call, ERR_CLOSED);
	}
	return found;
}
