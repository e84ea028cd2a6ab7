/* The watch: one thread that takes new connections, ends slow and lost clients, and lets refused ones
 * read their answer.
 *
 * New connections. Left to itself libmicrohttpd gives a burst of clients to whichever of its threads
 * wakes first, and the others stay idle. Taken here and handed over one by one they are spread evenly.
 *
 * Slow clients. libmicrohttpd ends a connection on which nothing happens for the idle time-out; on the
 * direct way that is done here. A
 * client that sends one byte now and then would hold its place for ever, so each phase of a
 * connection also has a time in which it must be over: headers twice the time-out, bodies and answers the
 * time-out and a second for every KiB. What exceeds it is shut down; whoever has the connection sees
 * its end and does the rest.
 *
 * Missed ends. libmicrohttpd uses edge-triggered epoll and stops reading when it got less than it
 * asked for. The end of a connection that arrives together with the last bytes is then never seen, and
 * the connection would stay until it is idle for too long. So a connection on which nothing has
 * happened between two rounds is looked at, once.
 *
 * Lingering. A body that is too long is answered with 413 before it was read. Closing the socket
 * then, with bytes in it that nobody read, makes TCP tell the client that the connection was reset,
 * and throws away the answer on its way. So the socket stays open a little: what arrives is read and
 * dropped until the client closes, or two seconds are over.
 */
#include "http/server_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	LOWEST_BYTES_PER_S = 1024,
	LINGER_US = 2000000,
	TICK_MS = 250,
	FULL_MS = 10,
	COMPLAIN_US = 60000000,
};

void http_phase_at(struct http_connection *c, enum connection_phase phase, uint64_t bytes,
		   uint64_t now_us)
{
	atomic_store_explicit(&c->phase_bytes, bytes, memory_order_relaxed);
	atomic_store_explicit(&c->phase_since_us, now_us, memory_order_relaxed);
	atomic_store_explicit(&c->phase, phase, memory_order_release);
}

void http_phase(struct http_connection *c, enum connection_phase phase, uint64_t bytes)
{
	http_phase_at(c, phase, bytes, clock_monotonic_us());
}

static bool is_too_slow(struct http_connection *c, uint64_t now_us)
{
	int phase = atomic_load_explicit(&c->phase, memory_order_acquire);
	uint64_t since_us = atomic_load_explicit(&c->phase_since_us, memory_order_relaxed);
	uint64_t bytes = atomic_load_explicit(&c->phase_bytes, memory_order_relaxed);
	uint64_t idle_us = c->server->idle_us, bytes_us = bytes * 1000000 / LOWEST_BYTES_PER_S;
	uint64_t age_us = now_us > since_us ? now_us - since_us : 0;

	switch (phase) {
	case PHASE_HEADERS: return age_us > (c->direct ? idle_us : idle_us * 2);
	case PHASE_BODY: return age_us > idle_us + bytes_us;
	case PHASE_ANSWER: return age_us > idle_us * 2 + bytes_us;
	default: return false;
	}
}

/* Whether the client has closed its side while we wait for it. */
static bool is_missed_end(struct http_connection *c)
{
	int phase = atomic_load_explicit(&c->phase, memory_order_acquire);
	uint64_t since_us = atomic_load_explicit(&c->phase_since_us, memory_order_relaxed);
	uint64_t bytes = atomic_load_explicit(&c->phase_bytes, memory_order_relaxed);
	char byte;

	if (phase != PHASE_HEADERS && phase != PHASE_BODY)
		return false;
	if (since_us != c->seen_since_us || bytes != c->seen_bytes) {
		c->seen_since_us = since_us;
		c->seen_bytes = bytes;
		c->seen_end = false;
		return false;
	}
	if (c->seen_end)
		return false;
	c->seen_end = true;
	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* A socket is closed only after its connection has left the list, so that none is shut down here
 * that belongs to somebody else by now. */
static void end_lost_clients(struct http_server *s, uint64_t now_us)
{
	pthread_mutex_lock(&s->lock);
	for (struct http_connection *c = s->connections; c; c = c->next)
		if (is_too_slow(c, now_us) || is_missed_end(c))
			shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_unlock(&s->lock);
}

/* ---- lingering ---- */

void http_watch_wake(struct http_server *s)
{
	uint64_t one = 1;

	if (write(s->wake_fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

void http_linger(struct http_server *s, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return;
	shutdown(copy, SHUT_WR);
	pthread_mutex_lock(&s->lock);
	if (s->n_lingering < LINGER_MAX && !atomic_load(&s->leaving)) {
		s->lingering[s->n_lingering++] =
			(struct lingering){copy, clock_monotonic_us() + LINGER_US};
		copy = -1;
	}
	pthread_mutex_unlock(&s->lock);
	if (copy >= 0)
		close(copy);
	else
		http_watch_wake(s);
}

/* True when the client has closed its side. */
static bool drain(int fd)
{
	char waste[16384];
	ssize_t n;

	/* Not for ever: the others have their turn. */
	for (int i = 0; i < 64; i++) {
		n = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
		if (n < 0)
			return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
		if (n == 0)
			return true;
	}
	return false;
}

/* Takes over what http_linger() left; *n sockets are there already. */
static void take_lingering(struct http_server *s, struct lingering *all, size_t *n)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_lingering; i++) {
		if (*n == LINGER_MAX)
			close(all[--*n].fd);
		all[(*n)++] = s->lingering[i];
	}
	s->n_lingering = 0;
	pthread_mutex_unlock(&s->lock);
}

static size_t drain_all(struct lingering *all, size_t n, uint64_t now_us)
{
	for (size_t i = 0; i < n;) {
		if (drain(all[i].fd) || now_us > all[i].until_us) {
			close(all[i].fd);
			all[i] = all[--n];
		} else {
			i++;
		}
	}
	return n;
}

/* ---- the thread ---- */

static bool has_room(struct http_server *s)
{
	return atomic_load(&s->n_connections) < s->max_connections;
}

static void accept_all(struct http_server *s)
{
	struct error why;
	int rc = 1;

	while (rc > 0 && atomic_load(&s->accepting) && has_room(s))
		rc = http_accept(s, &why);
	s->accept_failed = rc < 0;
	if (rc >= 0 || !s->options.cannot_accept || clock_monotonic_us() < s->accept_complain_us)
		return;
	s->accept_complain_us = clock_monotonic_us() + COMPLAIN_US;
	s->options.cannot_accept(s->options.ctx, &why);
}

/* Waits until something is to be done. Beyond the limit clients wait in the kernel's queue; those for
 * whom there was no file a moment ago as well. */
static void watch_poll(struct http_server *s, const struct lingering *all, size_t n)
{
	struct pollfd polled[LINGER_MAX + 2];
	bool accepting = atomic_load(&s->accepting), room = has_room(s) && !s->accept_failed;
	uint64_t woken;

	polled[0] = (struct pollfd){.fd = s->wake_fd, .events = POLLIN};
	polled[1] = (struct pollfd){.fd = accepting && room ? s->listen_fd : -1, .events = POLLIN};
	for (size_t i = 0; i < n; i++)
		polled[i + 2] = (struct pollfd){.fd = all[i].fd, .events = POLLIN};
	poll(polled, n + 2, accepting && !room ? FULL_MS : TICK_MS);
	if ((polled[0].revents & POLLIN) && read(s->wake_fd, &woken, sizeof(woken)) < 0)
		assert(errno == EAGAIN);
	s->accept_failed = false;
	if (polled[1].revents & POLLIN)
		accept_all(s);
}

static void *watch(void *arg)
{
	struct http_server *s = arg;
	struct lingering all[LINGER_MAX];
	uint64_t checked_us = 0, now_us;
	size_t n = 0;

	while (!atomic_load(&s->leaving)) {
		take_lingering(s, all, &n);
		watch_poll(s, all, n);
		now_us = clock_monotonic_us();
		n = drain_all(all, n, now_us);
		if (now_us - checked_us >= TICK_MS * 1000) {
			end_lost_clients(s, now_us);
			checked_us = now_us;
		}
	}
	while (n > 0)
		close(all[--n].fd);
	return NULL;
}

int http_watch_start(struct http_server *s, struct error *err)
{
	int rc;

	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0)
		return error_errno(err, errno, "make an event descriptor");
	rc = pthread_create(&s->watch_thread, NULL, watch, s);
	if (rc)
		return error_errno(err, rc, "start the thread that watches connections");
	s->watching = true;
	return 0;
}

void http_watch_stop(struct http_server *s)
{
	if (s->watching) {
		assert(atomic_load(&s->leaving));
		http_watch_wake(s);
		pthread_join(s->watch_thread, NULL);
		s->watching = false;
	}
	for (size_t i = 0; i < s->n_lingering; i++)
		close(s->lingering[i].fd);
	s->n_lingering = 0;
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	s->wake_fd = -1;
}
