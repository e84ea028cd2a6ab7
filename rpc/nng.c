/* The transport on nng's byte streams. The only file that sees nng.
 *
 * Why not its REQ/REP sockets, on which this was built first: a connection of nng 1.5.2 that is
 * closed between the head and the body of a message that comes in, as happens when a peer is killed
 * under load, is never taken down. The one thread that takes connections down waits for it for ever,
 * and from then on no loss is told and nothing is dialled again (nni_aio_begin does not call back when
 * it refuses; tcptran_pipe_recv_cb does not look). A stream belongs to us alone, and so does the rule
 * that is broken there.
 *
 * On the wire: {u32 magic, u32 bytes, message} again and again. Up to READ_AHEAD bytes are read at
 * once, so that several small messages cost one call of the system; what waits to be sent goes out
 * together.
 *
 * One lock a stream. The rule about nng that it keeps: an operation is begun only under the lock and
 * only while `closed` is not set, and nng_stream_close comes after it was set; so every operation
 * that was begun ends, and `active` counts those.
 */
#include "rpc/wire.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	STREAM_MAGIC = 0x31505251, /* "QRP1" */
	HEAD_BYTES = 8,
	READ_AHEAD = 64 << 10,
	FIRST_BODY_BYTES = 1 << 20, /* a larger message gets its room as it comes */
	SEND_PARTS = 8,             /* nng takes no more in one operation */
	ACCEPT_PAUSE_US = 10000,    /* after an error, such as too many open files */
};
#define SEND_QUEUE_BYTES                                                                           \
	(UINT64_C(1) << 30) /* waiting for one peer; more: the connection is dropped */

static int nng_failure(struct error *err, int rv, const char *what, const char *address)
{
	int code = rv == NNG_ENOMEM                           ? ERR_NOMEM
		   : rv == NNG_EADDRINUSE || rv == NNG_ESTATE ? ERR_LOCKED
		   : rv == NNG_EADDRINVAL || rv == NNG_EINVAL ? ERR_INPUT
							      : ERR_UNAVAILABLE;

	return error_set(err, code, "%s %s: %s", what, address, nng_strerror(rv));
}

void wire_message_free(struct wire_message *m)
{
	free(m->handle);
	m->handle = NULL;
}

/* Messages are small and each waits for an answer: one that follows another must not wait until the peer's system has
 * acknowledged the first, which is up to 40 ms when nothing goes the other way meanwhile. The library's streams wait unless told. */
static int dialer_at_once(nng_stream_dialer *d)
{
	return nng_stream_dialer_set_bool(d, NNG_OPT_TCP_NODELAY, true);
}

static int listener_at_once(nng_stream_listener *l)
{
	return nng_stream_listener_set_bool(l, NNG_OPT_TCP_NODELAY, true);
}

static char *url_of(const char *address)
{
	size_t n = strlen(address) + sizeof("tcp://");
	char *url = mem_alloc(n);

	memcpy(url, "tcp://", 6);
	memcpy(url + 6, address, n - 6);
	return url;
}

/* ---- a stream ---- */

struct part {
	struct part *next;
	size_t n;
	uint8_t bytes[];
};

struct stream;
struct stream_events {
	void *ctx;
	void (*received)(void *ctx, struct stream *s, struct wire_message *m);
	void (*down)(void *ctx, struct stream *s); /* once; nothing is received after it */
};

struct stream {
	struct stream_events events;
	uint32_t id;
	struct stream *next; /* of a listener */
	nng_stream *io;
	nng_aio *rx, *tx;
	nng_aio *now; /* to send without a callback */
	atomic_uint refs;

	pthread_mutex_t lock;
	pthread_cond_t quiet;
	bool closed;
	unsigned running; /* operations */
	unsigned active;  /* those, and those whose end is being told */

	/* sending, under the lock */
	struct part *queue, **queue_end;
	size_t sent; /* of the first part */
	uint64_t queued_bytes;
	bool sending;

	/* receiving, by the one operation */
	uint32_t limit; /* bytes of a message */
	uint8_t *ahead;
	size_t ahead_n;
	uint8_t *body; /* of a message that does not fit in `ahead` */
	size_t body_n, body_cap, body_size;
};

static void on_rx(void *arg);
static void on_tx(void *arg);

static struct stream *stream_new(nng_stream *io, const struct stream_events *events)
{
	struct stream *s = mem_zalloc(sizeof(*s));

	s->events = *events;
	s->io = io;
	s->limit = LIMIT_RPC_BYTES;
	s->refs = 2; /* the maker's, and that of reading, which stream_start begins */
	s->running = s->active = 1;
	s->queue_end = &s->queue;
	s->ahead = mem_alloc(READ_AHEAD);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->quiet, NULL);
	if (nng_aio_alloc(&s->rx, on_rx, s) != 0 || nng_aio_alloc(&s->tx, on_tx, s) != 0 ||
	    nng_aio_alloc(&s->now, NULL, NULL) != 0)
		abort(); /* no memory for a small thing */
	return s;
}

/* May be called from a stream's own callback: the library finishes in the background. */
static void stream_unref(struct stream *s)
{
	if (atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	nng_stream_free(s->io);
	nng_aio_reap(s->rx);
	nng_aio_reap(s->tx);
	nng_aio_reap(s->now);
	while (s->queue != NULL) {
		struct part *p = s->queue;

		s->queue = p->next;
		free(p);
	}
	free(s->ahead);
	free(s->body);
	pthread_cond_destroy(&s->quiet);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void stream_close(struct stream *s)
{
	pthread_mutex_lock(&s->lock);
	s->closed = true;
	pthread_mutex_unlock(&s->lock);
	nng_stream_close(s->io);
}

/* With the lock held, not closed. */
static void operation_begins(struct stream *s)
{
	s->running++;
	s->active++;
	atomic_fetch_add(&s->refs, 1);
}

/* An operation ended and is not begun again. Reading ends only when the stream is closed, so the
 * last to end tells that it is down. */
static void operation_ended(struct stream *s)
{
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --s->running == 0;
	assert(!last || s->closed);
	pthread_mutex_unlock(&s->lock);
	if (last)
		s->events.down(s->events.ctx, s);
	pthread_mutex_lock(&s->lock);
	s->active--;
	pthread_cond_broadcast(&s->quiet);
	pthread_mutex_unlock(&s->lock);
	stream_unref(s);
}

/* No callback runs any more when it returns. */
static void stream_wait_quiet(struct stream *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->active > 0)
		pthread_cond_wait(&s->quiet, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* ---- sending ---- */

/* With the lock held, not closed. */
static void send_by(struct stream *s, nng_aio *aio)
{
	nng_iov iov[SEND_PARTS];
	unsigned n = 0;

	for (struct part *p = s->queue; p != NULL && n < SEND_PARTS; p = p->next) {
		size_t skip = n == 0 ? s->sent : 0;

		iov[n].iov_buf = p->bytes + skip;
		iov[n++].iov_len = p->n - skip;
	}
	nng_aio_set_iov(aio, n, iov);
	nng_stream_send(s->io, aio);
}

/* With the lock held: takes off what was sent. */
static void parts_sent(struct stream *s, size_t n)
{
	s->queued_bytes -= n;
	n += s->sent;
	while (s->queue != NULL && n >= s->queue->n) {
		struct part *p = s->queue;

		n -= p->n;
		s->queue = p->next;
		free(p);
	}
	if (s->queue == NULL)
		s->queue_end = &s->queue;
	s->sent = n;
}

/* With the lock held, not closed, nothing being sent: sends what the system takes at once. The end of an operation with a callback
 * is told on a thread of the library, which must be woken for it, and nearly all messages fit into the socket's buffer. One
 * without a callback is over as soon as it was taken; what would have to wait is called off before any of it was sent, and
 * begun again with the callback, which also hears of a failure. */
static void send_now(struct stream *s)
{
	send_by(s, s->now);
	nng_aio_cancel(s->now);
	nng_aio_wait(s->now);
	if (nng_aio_result(s->now) == 0)
		parts_sent(s, nng_aio_count(s->now));
}

static void on_tx(void *arg)
{
	struct stream *s = arg;
	bool failed = nng_aio_result(s->tx) != 0, again = false;

	pthread_mutex_lock(&s->lock);
	if (!failed) {
		parts_sent(s, nng_aio_count(s->tx));
		again = s->queue != NULL && !s->closed;
	}
	if (again)
		send_by(s, s->tx);
	else
		s->sending = false;
	pthread_mutex_unlock(&s->lock);
	if (again)
		return;
	if (failed)
		stream_close(s);
	operation_ended(s);
}

static struct part *part_of(const struct buf *bytes)
{
	struct part *p = mem_alloc(sizeof(*p) + HEAD_BYTES + bytes->len);
	uint32_t head[2] = {STREAM_MAGIC, (uint32_t)bytes->len};

	p->next = NULL;
	p->n = HEAD_BYTES + bytes->len;
	memcpy(p->bytes, head, HEAD_BYTES);
	memcpy(p->bytes + HEAD_BYTES, bytes->data, bytes->len);
	return p;
}

static bool stream_send(struct stream *s, const struct buf *bytes)
{
	struct part *p = part_of(bytes);
	bool taken;

	assert(bytes->len > 0 && bytes->len <= LIMIT_RPC_BYTES);
	pthread_mutex_lock(&s->lock);
	taken = !s->closed && s->queued_bytes + p->n <= SEND_QUEUE_BYTES;
	if (taken) {
		*s->queue_end = p;
		s->queue_end = &p->next;
		s->queued_bytes += p->n;
		if (!s->sending)
			send_now(s);
		if (!s->sending && s->queue != NULL) {
			s->sending = true;
			operation_begins(s);
			send_by(s, s->tx);
		}
	}
	pthread_mutex_unlock(&s->lock);
	if (!taken)
		free(p);
	return taken;
}

/* ---- receiving ---- */

static void deliver(struct stream *s, uint8_t *bytes, size_t n)
{
	struct wire_message m = {bytes, n, bytes};

	s->events.received(s->events.ctx, s, &m);
}

/* A message that is not whole yet moves to a body of its own. */
static void begin_body(struct stream *s, size_t size, const uint8_t *bytes, size_t n)
{
	s->body_size = size;
	s->body_cap = size < FIRST_BODY_BYTES ? size : FIRST_BODY_BYTES;
	s->body = mem_alloc(s->body_cap);
	memcpy(s->body, bytes, n);
	s->body_n = n;
}

/* Takes the messages out of what was read ahead. false: this is no peer of ours. */
static bool parse_ahead(struct stream *s)
{
	size_t at = 0;

	while (s->ahead_n - at >= HEAD_BYTES) {
		size_t left = s->ahead_n - at - HEAD_BYTES;
		uint32_t size = load_u32(s->ahead + at + 4);

		if (load_u32(s->ahead + at) != STREAM_MAGIC || size == 0 || size > s->limit)
			return false;
		at += HEAD_BYTES;
		if (left < size) {
			begin_body(s, size, s->ahead + at, left);
			at = s->ahead_n;
			break;
		}
		deliver(s, mem_copy(s->ahead + at, size), size);
		at += size;
	}
	memmove(s->ahead, s->ahead + at, s->ahead_n - at);
	s->ahead_n -= at;
	return true;
}

static bool took(struct stream *s, size_t n)
{
	if (s->body == NULL) {
		s->ahead_n += n;
		return parse_ahead(s);
	}
	s->body_n += n;
	if (s->body_n == s->body_size) {
		uint8_t *whole = s->body;

		s->body = NULL;
		deliver(s, whole, s->body_size);
	} else if (s->body_n == s->body_cap) {
		s->body_cap = s->body_cap < s->body_size / 2 ? s->body_cap * 2 : s->body_size;
		s->body = mem_resize(s->body, s->body_cap);
	}
	return true;
}

/* Begins to read, unless the stream was closed. */
static bool begin_rx(struct stream *s)
{
	nng_iov iov = {s->ahead + s->ahead_n, READ_AHEAD - s->ahead_n};
	bool begun;

	if (s->body != NULL)
		iov = (nng_iov){s->body + s->body_n, s->body_cap - s->body_n};
	pthread_mutex_lock(&s->lock);
	begun = !s->closed;
	if (begun) {
		nng_aio_set_iov(s->rx, 1, &iov);
		nng_stream_recv(s->io, s->rx);
	}
	pthread_mutex_unlock(&s->lock);
	return begun;
}

static void on_rx(void *arg)
{
	struct stream *s = arg;

	if (nng_aio_result(s->rx) == 0 && took(s, nng_aio_count(s->rx)) && begin_rx(s))
		return;
	stream_close(s);
	operation_ended(s);
}

/* The first read; what comes may be received before this returns. */
static void stream_start(struct stream *s)
{
	if (!begin_rx(s))
		operation_ended(s);
}

/* ---- calling side ---- */

struct wire_dialer {
	struct wire_dialer_events events;
	nng_stream_dialer *dialer;
	nng_aio *aio;
	pthread_mutex_t lock;
	pthread_cond_t quiet;
	bool closed, dialling, up;
	struct stream *stream; /* NULL = none */
};

static void dialer_received(void *ctx, struct stream *s, struct wire_message *m)
{
	struct wire_dialer *d = ctx;

	(void)s;
	d->events.received(d->events.ctx, m);
}

static void dialer_down(void *ctx, struct stream *s)
{
	struct wire_dialer *d = ctx;

	(void)s;
	pthread_mutex_lock(&d->lock);
	d->up = false;
	pthread_mutex_unlock(&d->lock);
	d->events.down(d->events.ctx);
}

static void dial_ended(struct wire_dialer *d)
{
	pthread_mutex_lock(&d->lock);
	d->dialling = false;
	pthread_cond_broadcast(&d->quiet);
	pthread_mutex_unlock(&d->lock);
}

static void on_dialled(void *arg)
{
	struct wire_dialer *d = arg;
	struct stream_events events = {d, dialer_received, dialer_down};
	struct stream *s;

	if (nng_aio_result(d->aio) != 0) {
		dial_ended(d);
		return;
	}
	s = stream_new(nng_aio_get_output(d->aio, 0), &events);
	pthread_mutex_lock(&d->lock);
	d->stream = s;
	d->up = true;
	pthread_mutex_unlock(&d->lock);
	d->events.up(d->events.ctx);
	stream_start(s);
	dial_ended(d);
}

int wire_dial(const char *address, const struct wire_dialer_events *events,
	      struct wire_dialer **out, struct error *err)
{
	struct wire_dialer *d = mem_zalloc(sizeof(*d));
	char *url = url_of(address);
	int rv = nng_stream_dialer_alloc(&d->dialer, url);

	free(url);
	d->events = *events;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->quiet, NULL);
	if (rv == 0)
		rv = dialer_at_once(d->dialer);
	if (rv == 0)
		rv = nng_aio_alloc(&d->aio, on_dialled, d);
	if (rv != 0) {
		wire_dialer_close(d);
		return nng_failure(err, rv, "connect to", address);
	}
	*out = d;
	wire_dialer_poke(d);
	return 0;
}

void wire_dialer_poke(struct wire_dialer *d)
{
	struct stream *old = NULL;

	pthread_mutex_lock(&d->lock);
	if (!d->closed && !d->dialling && !d->up) {
		old = d->stream;
		d->stream = NULL;
		d->dialling = true;
		nng_stream_dialer_dial(d->dialer, d->aio);
	}
	pthread_mutex_unlock(&d->lock);
	if (old != NULL)
		stream_unref(old);
}

void wire_dialer_close(struct wire_dialer *d)
{
	if (d == NULL)
		return;
	pthread_mutex_lock(&d->lock);
	d->closed = true;
	pthread_mutex_unlock(&d->lock);
	if (d->dialer != NULL)
		nng_stream_dialer_close(d->dialer);
	pthread_mutex_lock(&d->lock);
	while (d->dialling)
		pthread_cond_wait(&d->quiet, &d->lock);
	pthread_mutex_unlock(&d->lock);
	if (d->stream != NULL) {
		stream_close(d->stream);
		stream_wait_quiet(d->stream);
		stream_unref(d->stream);
	}
	if (d->aio != NULL)
		nng_aio_free(d->aio);
	if (d->dialer != NULL)
		nng_stream_dialer_free(d->dialer);
	pthread_cond_destroy(&d->quiet);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* The stream with a reference, or NULL. */
static struct stream *dialer_stream(struct wire_dialer *d)
{
	struct stream *s;

	pthread_mutex_lock(&d->lock);
	s = d->up ? d->stream : NULL;
	if (s != NULL)
		atomic_fetch_add(&s->refs, 1);
	pthread_mutex_unlock(&d->lock);
	return s;
}

bool wire_dialer_send(struct wire_dialer *d, const struct buf *bytes)
{
	struct stream *s = dialer_stream(d);
	bool taken;

	if (s == NULL)
		return false;
	taken = stream_send(s, bytes);
	stream_unref(s);
	return taken;
}

bool wire_dialer_is_up(struct wire_dialer *d)
{
	bool up;

	pthread_mutex_lock(&d->lock);
	up = d->up;
	pthread_mutex_unlock(&d->lock);
	return up;
}

void wire_dialer_kick(struct wire_dialer *d)
{
	struct stream *s = dialer_stream(d);

	if (s == NULL)
		return;
	stream_close(s);
	stream_unref(s);
}

/* ---- answering side ---- */

struct wire_listener {
	struct wire_listener_events events;
	nng_stream_listener *listener;
	nng_aio *aio;
	uint16_t port;
	pthread_mutex_t lock;
	pthread_cond_t quiet;
	bool closed, accepting;
	uint32_t next_id;
	struct stream *streams;
};

static void listener_received(void *ctx, struct stream *s, struct wire_message *m)
{
	struct wire_listener *l = ctx;

	l->events.received(l->events.ctx, s->id, m);
}

static void listener_down(void *ctx, struct stream *s)
{
	struct wire_listener *l = ctx;

	l->events.closed(l->events.ctx, s->id);
	pthread_mutex_lock(&l->lock);
	for (struct stream **at = &l->streams; *at != NULL; at = &(*at)->next) {
		if (*at == s) {
			*at = s->next;
			break;
		}
	}
	pthread_cond_broadcast(&l->quiet);
	pthread_mutex_unlock(&l->lock);
	stream_unref(s); /* the list's; the operation that tells us has its own */
}

static void begin_accept(struct wire_listener *l)
{
	pthread_mutex_lock(&l->lock);
	l->accepting = !l->closed;
	if (l->accepting)
		nng_stream_listener_accept(l->listener, l->aio);
	else
		pthread_cond_broadcast(&l->quiet);
	pthread_mutex_unlock(&l->lock);
}

static void on_accepted(void *arg)
{
	struct wire_listener *l = arg;
	struct stream_events events = {l, listener_received, listener_down};
	int rv = nng_aio_result(l->aio);

	if (rv == 0) {
		struct stream *s = stream_new(nng_aio_get_output(l->aio, 0), &events);

		atomic_fetch_add(&s->refs, 1);
		if (l->events.first_bytes != 0)
			s->limit = l->events.first_bytes;
		pthread_mutex_lock(&l->lock);
		s->id = ++l->next_id;
		s->next = l->streams;
		l->streams = s;
		pthread_mutex_unlock(&l->lock);
		stream_start(s);
		stream_unref(s);
	} else if (rv != NNG_ECLOSED) {
		usleep(ACCEPT_PAUSE_US);
	}
	begin_accept(l);
}

int wire_listen(const char *address, const struct wire_listener_events *events,
		struct wire_listener **out, struct error *err)
{
	struct wire_listener *l = mem_zalloc(sizeof(*l));
	char *url = url_of(address);
	int port = 0;
	int rv = nng_stream_listener_alloc(&l->listener, url);

	free(url);
	l->events = *events;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->quiet, NULL);
	if (rv == 0)
		rv = nng_aio_alloc(&l->aio, on_accepted, l);
	if (rv == 0)
		rv = listener_at_once(l->listener);
	if (rv == 0)
		rv = nng_stream_listener_listen(l->listener);
	if (rv == 0)
		rv = nng_stream_listener_get_int(l->listener, NNG_OPT_TCP_BOUND_PORT, &port);
	l->port = (uint16_t)port;
	if (rv != 0) {
		wire_listener_close(l);
		return nng_failure(err, rv, "listen on", address);
	}
	*out = l;
	begin_accept(l);
	return 0;
}

/* One stream of the list, with a reference; id 0 = the first. */
static struct stream *find_stream(struct wire_listener *l, uint32_t id)
{
	struct stream *s;

	pthread_mutex_lock(&l->lock);
	for (s = l->streams; s != NULL && id != 0 && s->id != id; s = s->next)
		continue;
	if (s != NULL)
		atomic_fetch_add(&s->refs, 1);
	pthread_mutex_unlock(&l->lock);
	return s;
}

void wire_listener_close(struct wire_listener *l)
{
	struct stream *s;

	if (l == NULL)
		return;
	pthread_mutex_lock(&l->lock);
	l->closed = true;
	pthread_mutex_unlock(&l->lock);
	if (l->listener != NULL)
		nng_stream_listener_close(l->listener);
	pthread_mutex_lock(&l->lock);
	while (l->accepting)
		pthread_cond_wait(&l->quiet, &l->lock);
	pthread_mutex_unlock(&l->lock);
	while ((s = find_stream(l, 0)) != NULL) {
		stream_close(s);
		stream_wait_quiet(s);
		stream_unref(s);
	}
	if (l->aio != NULL)
		nng_aio_free(l->aio);
	if (l->listener != NULL)
		nng_stream_listener_free(l->listener);
	pthread_cond_destroy(&l->quiet);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

uint16_t wire_listener_port(const struct wire_listener *l)
{
	return l->port;
}

bool wire_listener_send(struct wire_listener *l, uint32_t connection, const struct buf *bytes)
{
	struct stream *s = find_stream(l, connection);
	bool taken;

	if (s == NULL)
		return false;
	taken = stream_send(s, bytes);
	stream_unref(s);
	return taken;
}

void wire_listener_kick(struct wire_listener *l, uint32_t connection)
{
	struct stream *s = find_stream(l, connection);

	if (s == NULL)
		return;
	stream_close(s);
	stream_unref(s);
}

void wire_listener_trust(struct wire_listener *l, uint32_t connection)
{
	struct stream *s = find_stream(l, connection);

	if (s == NULL)
		return;
	s->limit = LIMIT_RPC_BYTES;
	stream_unref(s);
}

void wire_listener_peer(struct wire_listener *l, uint32_t connection, char *out, size_t size)
{
	struct stream *s = find_stream(l, connection);
	char host[INET6_ADDRSTRLEN] = "?";
	nng_sockaddr at;

	if (s != NULL && nng_stream_get_addr(s->io, NNG_OPT_REMADDR, &at) == 0) {
		if (at.s_family == NNG_AF_INET)
			inet_ntop(AF_INET, &at.s_in.sa_addr, host, sizeof(host));
		else if (at.s_family == NNG_AF_INET6)
			inet_ntop(AF_INET6, at.s_in6.sa_addr, host, sizeof(host));
	}
	if (s != NULL)
		stream_unref(s);
	snprintf(out, size, "%s", host);
}
