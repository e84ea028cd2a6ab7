/* The transport on nng: raw REQ on the calling side, raw REP on the answering side. The only file
 * that sees nng.
 *
 * Raw means: the library keeps no state per request. We put a header of our own in front (a request
 * id with its top bit set, which ends the header; the answering side sees the connection's number
 * before it) and match answers by the numbers inside the frames.
 *
 * What is known of nng 1.5.2:
 * - raw REP drops answers beyond 64 that wait for one connection, so the calling side keeps fewer
 *   calls in flight (link.c);
 * - cancelling an operation can crash, so nothing here has a time limit or is cancelled while at
 *   work; sends do not wait, and the one receive ends when its socket is closed;
 * - a message beyond RECVMAXSZ closes the connection it came on.
 */
#include "rpc/wire.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	REQUEST_ID = 0x7fffffff, /* top bit is added; the same for all */
	DIAL_BUFFER = 128,       /* messages; above the window of a link */
	LISTEN_BUFFER = 4096,
	RECONNECT_MIN_MS = 20,
	RECONNECT_MAX_MS = 500,
	CLOSE_PATIENCE_US = 1000000,
};
#define TOP_BIT 0x80000000u

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
	nng_msg_free(m->handle);
	m->handle = NULL;
}

static void as_message(nng_msg *msg, struct wire_message *out)
{
	out->bytes = nng_msg_body(msg);
	out->n = nng_msg_len(msg);
	out->handle = msg;
}

static nng_msg *message_of(const struct buf *bytes)
{
	nng_msg *msg;

	if (nng_msg_alloc(&msg, bytes->len) != 0)
		return NULL;
	memcpy(nng_msg_body(msg), bytes->data, bytes->len);
	return msg;
}

/* Sends without waiting; the message is released in any case. */
static bool send_now(nng_socket socket, nng_msg *msg)
{
	if (nng_sendmsg(socket, msg, NNG_FLAG_NONBLOCK) == 0)
		return true;
	nng_msg_free(msg);
	return false;
}

static int set_options(nng_socket socket, int buffer)
{
	int rv = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, LIMIT_RPC_BYTES);

	if (rv == 0)
		rv = nng_socket_set_int(socket, NNG_OPT_SENDBUF, buffer);
	if (rv == 0)
		rv = nng_socket_set_int(socket, NNG_OPT_RECVBUF, buffer);
	return rv;
}

/* A connection of nng 1.5.2 that is closed between the head and the body of a message that comes in is never taken down: the
 * reaper thread of the library waits for it for ever, and every nng_close with it (nni_aio_begin does not call back when it refuses a
 * stopped aio, tcptran_pipe_recv_cb does not look). So the call is made on a thread of its own; false: it has not come back in
 * time, and the socket is left to the library. */
static bool reaper_is_stuck; /* atomic: later calls are not waited for */

struct closing {
	nng_socket socket;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done, left;
};

static void closing_free(struct closing *c)
{
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->changed);
	free(c);
}

static void *closing_main(void *arg)
{
	struct closing *c = arg;
	bool left;

	nng_close(c->socket);
	pthread_mutex_lock(&c->lock);
	c->done = true;
	left = c->left;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->lock);
	if (left)
		closing_free(c);
	return NULL;
}

static bool close_socket(nng_socket socket)
{
	struct closing *c = mem_zalloc(sizeof(*c));
	pthread_condattr_t attributes;
	struct timespec until;
	pthread_t thread;
	bool done;

	if (__atomic_load_n(&reaper_is_stuck, __ATOMIC_ACQUIRE)) {
		free(c);
		return false;
	}
	c->socket = socket;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (pthread_create(&thread, NULL, closing_main, c) != 0) {
		closing_free(c);
		nng_close(socket);
		return true;
	}
	pthread_detach(thread);
	uint64_t at = clock_monotonic_us() + CLOSE_PATIENCE_US;
	until.tv_sec = (time_t)(at / 1000000);
	until.tv_nsec = (long)(at % 1000000 * 1000);
	pthread_mutex_lock(&c->lock);
	while (!c->done && pthread_cond_timedwait(&c->changed, &c->lock, &until) == 0)
		continue;
	done = c->done;
	c->left = !done;
	pthread_mutex_unlock(&c->lock);
	if (done)
		closing_free(c);
	else
		__atomic_store_n(&reaper_is_stuck, true, __ATOMIC_RELEASE);
	return done;
}

static char *url_of(const char *address)
{
	size_t n = strlen(address) + sizeof("tcp://");
	char *url = mem_alloc(n);

	memcpy(url, "tcp://", 6);
	memcpy(url + 6, address, n - 6);
	return url;
}

/* ---- calling side ---- */

struct wire_dialer {
	struct wire_dialer_events events;
	nng_socket socket;
	nng_aio *aio;
	uint32_t pipe;  /* 0 = none; atomic */
	bool abandoned; /* atomic */
};

static void dialer_pipe(nng_pipe p, nng_pipe_ev event, void *arg)
{
	struct wire_dialer *d = arg;

	if (__atomic_load_n(&d->abandoned, __ATOMIC_ACQUIRE))
		return;
	if (event == NNG_PIPE_EV_ADD_POST) {
		__atomic_store_n(&d->pipe, (uint32_t)nng_pipe_id(p), __ATOMIC_RELEASE);
		d->events.up(d->events.ctx);
	} else {
		__atomic_store_n(&d->pipe, 0, __ATOMIC_RELEASE);
		d->events.down(d->events.ctx);
	}
}

static void dialer_received(void *arg)
{
	struct wire_dialer *d = arg;
	struct wire_message m;

	if (nng_aio_result(d->aio) != 0)
		return; /* closed */
	as_message(nng_aio_get_msg(d->aio), &m);
	if (__atomic_load_n(&d->abandoned, __ATOMIC_ACQUIRE)) {
		wire_message_free(&m);
		return;
	}
	d->events.received(d->events.ctx, &m);
	nng_recv_aio(d->socket, d->aio);
}

int wire_dial(const char *address, const struct wire_dialer_events *events,
	      struct wire_dialer **out, struct error *err)
{
	struct wire_dialer *d = mem_zalloc(sizeof(*d));
	char *url = url_of(address);
	int rv = nng_req0_open_raw(&d->socket);

	d->events = *events;
	if (rv != 0) {
		free(url);
		free(d);
		return nng_failure(err, rv, "connect to", address);
	}
	rv = set_options(d->socket, DIAL_BUFFER);
	if (rv == 0)
		rv = nng_socket_set_ms(d->socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
	if (rv == 0)
		rv = nng_socket_set_ms(d->socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
	if (rv == 0)
		rv = nng_aio_alloc(&d->aio, dialer_received, d);
	if (rv == 0)
		rv = nng_pipe_notify(d->socket, NNG_PIPE_EV_ADD_POST, dialer_pipe, d);
	if (rv == 0)
		rv = nng_pipe_notify(d->socket, NNG_PIPE_EV_REM_POST, dialer_pipe, d);
	if (rv == 0) {
		nng_recv_aio(d->socket, d->aio);
		rv = nng_dial(d->socket, url, NULL, NNG_FLAG_NONBLOCK);
	}
	free(url);
	if (rv != 0) {
		wire_dialer_close(d);
		return nng_failure(err, rv, "connect to", address);
	}
	*out = d;
	return 0;
}

void wire_dialer_close(struct wire_dialer *d)
{
	if (d == NULL)
		return;
	if (!close_socket(d->socket)) {
		__atomic_store_n(&d->abandoned, true, __ATOMIC_RELEASE);
		return; /* the library still has it */
	}
	if (d->aio != NULL) {
		nng_aio_wait(d->aio);
		nng_aio_free(d->aio);
	}
	free(d);
}

bool wire_dialer_send(struct wire_dialer *d, const struct buf *bytes)
{
	nng_msg *msg = message_of(bytes);

	if (msg == NULL)
		return false;
	if (nng_msg_header_append_u32(msg, REQUEST_ID | TOP_BIT) != 0) {
		nng_msg_free(msg);
		return false;
	}
	return send_now(d->socket, msg);
}

bool wire_dialer_is_up(const struct wire_dialer *d)
{
	return __atomic_load_n(&d->pipe, __ATOMIC_ACQUIRE) != 0;
}

void wire_dialer_kick(struct wire_dialer *d)
{
	nng_pipe p = NNG_PIPE_INITIALIZER;

	p.id = __atomic_load_n(&d->pipe, __ATOMIC_ACQUIRE);
	if (p.id != 0)
		nng_pipe_close(p);
}

/* ---- answering side ---- */

struct wire_listener {
	struct wire_listener_events events;
	nng_socket socket;
	nng_listener listener;
	bool listening;
	bool abandoned; /* atomic */
	nng_aio *aio;
	uint16_t port;
};

static void listener_pipe(nng_pipe p, nng_pipe_ev event, void *arg)
{
	struct wire_listener *l = arg;

	if (event == NNG_PIPE_EV_REM_POST && !__atomic_load_n(&l->abandoned, __ATOMIC_ACQUIRE))
		l->events.closed(l->events.ctx, (uint32_t)nng_pipe_id(p));
}

static void listener_received(void *arg)
{
	struct wire_listener *l = arg;
	struct wire_message m;
	nng_msg *msg;
	uint32_t connection;

	if (nng_aio_result(l->aio) != 0)
		return; /* closed */
	msg = nng_aio_get_msg(l->aio);
	if (__atomic_load_n(&l->abandoned, __ATOMIC_ACQUIRE)) {
		nng_msg_free(msg);
		return;
	}
	connection = (uint32_t)nng_pipe_id(nng_msg_get_pipe(msg));
	as_message(msg, &m);
	l->events.received(l->events.ctx, connection, &m);
	nng_recv_aio(l->socket, l->aio);
}

static int start_listening(struct wire_listener *l, const char *url)
{
	int port = 0;
	int rv = nng_listener_create(&l->listener, l->socket, url);

	l->listening = rv == 0;
	if (rv == 0)
		rv = nng_listener_start(l->listener, 0);
	if (rv == 0)
		rv = nng_listener_get_int(l->listener, NNG_OPT_TCP_BOUND_PORT, &port);
	l->port = (uint16_t)port;
	return rv;
}

int wire_listen(const char *address, const struct wire_listener_events *events,
		struct wire_listener **out, struct error *err)
{
	struct wire_listener *l = mem_zalloc(sizeof(*l));
	char *url = url_of(address);
	int rv = nng_rep0_open_raw(&l->socket);

	l->events = *events;
	if (rv != 0) {
		free(url);
		free(l);
		return nng_failure(err, rv, "listen on", address);
	}
	rv = set_options(l->socket, LISTEN_BUFFER);
	if (rv == 0)
		rv = nng_aio_alloc(&l->aio, listener_received, l);
	if (rv == 0)
		rv = nng_pipe_notify(l->socket, NNG_PIPE_EV_REM_POST, listener_pipe, l);
	if (rv == 0)
		rv = start_listening(l, url);
	free(url);
	if (rv != 0) {
		wire_listener_close(l);
		return nng_failure(err, rv, "listen on", address);
	}
	nng_recv_aio(l->socket, l->aio);
	*out = l;
	return 0;
}

void wire_listener_close(struct wire_listener *l)
{
	if (l == NULL)
		return;
	if (l->listening)
		nng_listener_close(l->listener);
	if (!close_socket(l->socket)) {
		__atomic_store_n(&l->abandoned, true, __ATOMIC_RELEASE);
		return; /* the library still has it */
	}
	if (l->aio != NULL) {
		nng_aio_wait(l->aio);
		nng_aio_free(l->aio);
	}
	free(l);
}

uint16_t wire_listener_port(const struct wire_listener *l)
{
	return l->port;
}

bool wire_listener_send(struct wire_listener *l, uint32_t connection, const struct buf *bytes)
{
	nng_msg *msg = message_of(bytes);

	if (msg == NULL)
		return false;
	if (nng_msg_header_append_u32(msg, connection) != 0 ||
	    nng_msg_header_append_u32(msg, REQUEST_ID | TOP_BIT) != 0) {
		nng_msg_free(msg);
		return false;
	}
	return send_now(l->socket, msg);
}

void wire_listener_kick(struct wire_listener *l, uint32_t connection)
{
	nng_pipe p = NNG_PIPE_INITIALIZER;

	(void)l;
	p.id = connection;
	nng_pipe_close(p);
}
