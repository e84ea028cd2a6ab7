/* The direct way: ordinary requests over plain connections, read and answered without libmicrohttpd.
 *
 * A search takes some twenty microseconds, and libmicrohttpd a tenth of that or more for a request; where
 * another thread answers it also takes a wake-up and a change of threads. So a connection begins
 * here. As long as its requests are ordinary (http/head.h) they are served here; the first one that is not
 * goes to libmicrohttpd with its connection, for good. That works because a head is only looked at
 * (MSG_PEEK) until it is known to be ordinary: nothing has been taken from the socket then. So HTTP
 * with all its corners, TLS, refusals and streamed bodies are in one place still, and here is only
 * what has no corners.
 *
 * Threads. Each has an epoll set, level-triggered, and its share of the connections. A connection
 * belongs to its thread, but while its request waits for the handler (`waiting`) its socket belongs to
 * whoever will call http_respond(), which writes the answer on the spot. What arrives meanwhile takes
 * the connection out of the epoll set (`muted`) until then. Only the thread closes it. What is counted
 * and what is kept for reuse is the thread's own: what two processors write takes longer than it is worth.
 */
#include "http/server_internal.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "http/head.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 64, ANSWER_HEAD_BYTES = 512, SPARE_BODY_BYTES = 64 << 10 };

struct direct_thread {
	_Alignas(128) pthread_t thread;
	bool started;
	int epoll;
	struct http_request *spare; /* cleared */
	_Atomic uint64_t requests, in_flight, bytes_in, bytes_out;
};

struct http_direct {
	struct direct_thread *threads;
	uint32_t n_threads, next;
	int wake_fd; /* in all epoll sets; is readable at the end */
};

struct direct_connection {
	struct http_connection base; /* first */
	struct direct_thread *thread;
	struct http_request *request; /* that is read, or waits; NULL: none */
	atomic_bool waiting;
	bool muted; /* these four: the thread's, or under the lock while waiting */
	bool last;  /* nothing more is read once the answer is out */
	struct buf out;
	size_t sent; /* of `out`, what is left of an answer */
	pthread_mutex_t lock;
};

static struct direct_connection *direct_of(struct http_connection *c)
{
	assert(c->direct);
	return (struct direct_connection *)(void *)c;
}

static void watch(struct direct_connection *d, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = d};
	int rc = epoll_ctl(d->thread->epoll, operation, d->base.fd, &event);

	assert(rc == 0 || errno == ENOMEM || errno == ENOSPC);
	if (rc != 0)
		shutdown(d->base.fd, SHUT_RDWR);
}

/* ---- the end of a connection ---- */

static void forget(struct direct_connection *d)
{
	/* Whoever answered last has let go of it. */
	pthread_mutex_lock(&d->lock);
	pthread_mutex_unlock(&d->lock);
	pthread_mutex_destroy(&d->lock);
	http_connection_unlink(&d->base);
	buf_fini(&d->out);
	free(d);
}

/* A request that is not answered, or whose answer is not out, goes with it. */
static void end_connection(struct direct_connection *d)
{
	struct http_server *s = d->base.server;
	int fd = d->base.fd;

	assert(!atomic_load(&d->waiting));
	if (d->request || d->sent < d->out.len)
		atomic_fetch_sub(&d->thread->in_flight, 1);
	if (d->request)
		http_request_free(d->request);
	forget(d);
	close(fd);
	atomic_fetch_sub_explicit(&s->n_connections, 1, memory_order_relaxed);
}

static void hand_over(struct direct_connection *d)
{
	struct http_server *s = d->base.server;
	int fd = d->base.fd;

	epoll_ctl(d->thread->epoll, EPOLL_CTL_DEL, fd, NULL);
	forget(d);
	http_library_take(s, fd);
}

/* ---- answering ---- */

/* "Sun, 06 Nov 1994 08:49:37 GMT", made once a second. */
static const char *date_text(void)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	static __thread char text[48];
	static __thread time_t of;
	time_t now = (time_t)(clock_wall_us() / 1000000);
	struct tm t;

	if (now == of)
		return text;
	of = now;
	gmtime_r(&now, &t);
	snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[t.tm_wday],
		 t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
	return text;
}

static char *put(char *at, const char *text)
{
	size_t n = strlen(text);

	memcpy(at, text, n);
	return at + n;
}

static char *put_number(char *at, uint64_t v)
{
	char digits[20];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

static size_t compose_head(char *head, const struct http_response *r, bool last)
{
	char *at = put(head, "HTTP/1.1 ");

	at = put_number(at, (uint64_t)r->status);
	at = put(put(at, " "), http_reason(r->status));
	at = put(put(at, "\r\nDate: "), date_text());
	at = put(at, "\r\nAccess-Control-Allow-Origin: *");
	if (last)
		at = put(at, "\r\nConnection: close");
	if (r->content_type)
		at = put(put(at, "\r\nContent-Type: "), r->content_type);
	if (r->retry_after_s > 0)
		at = put_number(put(at, "\r\nRetry-After: "), r->retry_after_s);
	if (r->status != 204)
		at = put_number(put(at, "\r\nContent-Length: "), r->body.len);
	at = put(at, "\r\n\r\n");
	assert(at - head <= ANSWER_HEAD_BYTES);
	return (size_t)(at - head);
}

/* The answer is out, or nobody will get it. */
static void answered(struct direct_connection *d)
{
	buf_fini(&d->out);
	d->sent = 0;
	http_phase(&d->base, PHASE_HEADERS, 0);
	atomic_fetch_sub(&d->thread->in_flight, 1);
	if (d->last)
		shutdown(d->base.fd, SHUT_WR);
}

/* What did not go out at once is kept. */
static void keep_rest(struct direct_connection *d, const char *head, size_t n_head, size_t sent,
		      struct buf *body)
{
	if (sent >= n_head) {
		d->out = *body;
		d->sent = sent - n_head;
		*body = BUF_INIT;
		return;
	}
	buf_put(&d->out, head, n_head);
	buf_put(&d->out, body->data, body->len);
	d->sent = sent;
}

/* On the thread. */
static void put_request(struct direct_thread *t, struct http_server *s, struct http_request *r)
{
	http_request_clear(r);
	if (!t->spare && r->body.cap <= SPARE_BODY_BYTES)
		t->spare = r;
	else
		http_request_keep(s, r);
}

/* Sends an answer; what is left of it is in `out` afterwards. */
static void send_answer(struct direct_connection *d, struct http_response response)
{
	struct http_server *s = d->base.server;
	char head[ANSWER_HEAD_BYTES];
	struct iovec parts[2] = {{head, 0}, {NULL, 0}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t sent;

	d->last = atomic_load_explicit(&s->stopping, memory_order_relaxed);
	if (response.status == 204)
		buf_fini(&response.body);
	parts[0].iov_len = compose_head(head, &response, d->last);
	parts[1].iov_base = response.body.data;
	parts[1].iov_len = response.body.len;
	atomic_fetch_add_explicit(&d->thread->bytes_out, response.body.len, memory_order_relaxed);
	sent = sendmsg(d->base.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		shutdown(d->base.fd, SHUT_RDWR);
		answered(d);
	} else if (sent == (ssize_t)(parts[0].iov_len + parts[1].iov_len)) {
		answered(d);
	} else {
		http_phase(&d->base, PHASE_ANSWER, response.body.len);
		keep_rest(d, head, parts[0].iov_len, sent < 0 ? 0 : (size_t)sent, &response.body);
	}
	buf_fini(&response.body);
}

/* On the thread: more of an answer. */
static void send_rest(struct direct_connection *d)
{
	ssize_t n = send(d->base.fd, d->out.data + d->sent, d->out.len - d->sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		end_connection(d);
		return;
	}
	d->sent += (size_t)n;
	if (d->sent < d->out.len)
		return;
	watch(d, EPOLL_CTL_MOD, EPOLLIN);
	answered(d);
}

/* On any thread, after a wait. Under the lock the thread of the connection cannot close it; afterwards it
 * may. */
void http_direct_answer(struct http_connection *c)
{
	struct direct_connection *d = direct_of(c);
	struct http_request *r = d->request;
	struct http_response response = r->response;

	http_request_publish(c, NULL);
	r->response.body = BUF_INIT;
	http_request_clear(r);
	http_request_keep(c->server, r);
	pthread_mutex_lock(&d->lock);
	d->request = NULL;
	send_answer(d, response);
	if (d->out.len > 0)
		watch(d, d->muted ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, EPOLLOUT);
	else if (d->muted)
		watch(d, EPOLL_CTL_ADD, EPOLLIN);
	d->muted = false;
	atomic_store(&d->waiting, false);
	pthread_mutex_unlock(&d->lock);
}

/* The server leaves and nobody has answered: under the server's lock, the request is somebody else's. */
void http_direct_abandon(struct http_connection *c)
{
	struct direct_connection *d = direct_of(c);
	struct buf text = http_refusal(503, "The server is stopping");

	if (send(c->fd, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		assert(errno != EBADF);
	shutdown(c->fd, SHUT_WR);
	buf_fini(&text);
	d->request = NULL;
	atomic_fetch_sub(&d->thread->in_flight, 1);
	atomic_store(&d->waiting, false);
}

/* ---- requests ---- */

/* False: whoever answers has the connection now. */
static bool wait_for_answer(struct direct_connection *d)
{
	struct http_server *s = d->base.server;
	unsigned old;

	http_request_publish(&d->base, d->request);
	atomic_store(&d->waiting, true);
	old = atomic_fetch_or(&d->request->flags, REQUEST_SUSPENDED);
	if (!(old & REQUEST_ANSWERED)) {
		if (atomic_load(&s->leaving))
			http_abandon_all(s);
		return false;
	}
	atomic_store(&d->waiting, false);
	http_request_publish(&d->base, NULL);
	return true;
}

static void run(struct direct_connection *d)
{
	struct http_server *s = d->base.server;
	struct http_request *r = d->request;
	struct http_response response;

	r->ended = true;
	atomic_fetch_add_explicit(&d->thread->bytes_in, r->body.len, memory_order_relaxed);
	http_phase_at(&d->base, PHASE_HANDLER, 0, r->started_us);
	s->options.handle(s->options.ctx, r);
	if (!(atomic_load(&r->flags) & REQUEST_ANSWERED) && !wait_for_answer(d))
		return;
	response = r->response;
	r->response.body = BUF_INIT;
	d->request = NULL;
	put_request(d->thread, s, r);
	send_answer(d, response);
	if (d->out.len > 0)
		watch(d, EPOLL_CTL_MOD, EPOLLOUT);
}

/* More of the body; true when it is whole. */
static bool read_body(struct direct_connection *d, struct iovec *head)
{
	struct http_request *r = d->request;
	struct http_body *b = &r->body;
	struct iovec parts[2] = {*head, {b->bytes + b->len, r->length - b->len}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t n = recvmsg(d->base.fd, &message, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		end_connection(d);
		return false;
	}
	assert((size_t)n >= head->iov_len);
	b->len += (size_t)n - head->iov_len;
	atomic_fetch_add_explicit(&d->base.phase_bytes, (uint64_t)n, memory_order_relaxed);
	if (b->len < r->length) {
		if (head->iov_len > 0)
			http_phase_at(&d->base, PHASE_BODY, b->len, r->started_us);
		return false;
	}
	if (b->len > 0)
		b->bytes[b->len] = 0;
	return true;
}

static void fill_request(struct http_request *r, const struct http_head *head)
{
	r->started_us = clock_monotonic_us();
	r->method = head->method;
	r->path = head->path;
	r->length = head->body_length;
	for (unsigned i = 0; i < head->n_fields; i++)
		http_request_add_header(r, head->fields[i].name, head->fields[i].value);
	for (unsigned i = 0; i < head->n_parameters; i++)
		http_request_add_parameter(r, head->parameters[i].name, head->parameters[i].value);
}

/* Takes the head that was looked at when it is one for us. */
static bool begin(struct direct_connection *d, const char *text, size_t n, struct http_head *head)
{
	struct http_server *s = d->base.server;
	struct direct_thread *t = d->thread;
	struct http_request *r = t->spare;
	char *copy;

	if (atomic_load_explicit(&s->stopping, memory_order_relaxed))
		return false;
	if (r)
		t->spare = NULL;
	else
		r = http_request_unused(s);
	http_request_begin(r, &d->base);
	copy = arena_alloc(r->arena, n);
	memcpy(copy, text, n);
	if (http_head_read(copy, n, head) && head->body_length <= TRUSTED_BODY_BYTES &&
	    head->body_length <= s->options.max_body_bytes) {
		fill_request(r, head);
		if (!(s->options.streams && s->options.streams(s->options.ctx, r)) &&
		    http_body_expect(r) == 0) {
			atomic_fetch_add_explicit(&t->requests, 1, memory_order_relaxed);
			atomic_fetch_add(&t->in_flight, 1);
			d->request = r;
			return true;
		}
	}
	put_request(t, s, r);
	return false;
}

static void read_head(struct direct_connection *d)
{
	char text[HEAD_BYTES];
	struct http_head head;
	ssize_t n = recv(d->base.fd, text, sizeof(text), MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_connection(d);
		return;
	}
	if (!begin(d, text, (size_t)n, &head)) {
		hand_over(d);
		return;
	}
	if (read_body(d, &(struct iovec){text, head.n_bytes}))
		run(d);
}

/* ---- the threads ---- */

/* True when the connection is with whoever will answer; it is heard again after that. */
static bool mute(struct direct_connection *d)
{
	bool waiting;

	pthread_mutex_lock(&d->lock);
	waiting = atomic_load(&d->waiting);
	if (waiting && !d->muted) {
		watch(d, EPOLL_CTL_DEL, 0);
		d->muted = true;
	}
	pthread_mutex_unlock(&d->lock);
	return waiting;
}

static void on_event(struct direct_connection *d)
{
	if (atomic_load(&d->waiting) && mute(d))
		return;
	if (d->sent < d->out.len)
		send_rest(d);
	else if (d->last)
		end_connection(d);
	else if (!d->request)
		read_head(d);
	else if (read_body(d, &(struct iovec){0}))
		run(d);
}

static void *direct_main(void *arg)
{
	struct direct_thread *t = arg;
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(t->epoll, events, EVENTS, -1);

		assert(n >= 0 || errno == EINTR);
		for (int i = 0; i < n; i++) {
			if (!events[i].data.ptr)
				return NULL;
			on_event(events[i].data.ptr);
		}
	}
}

void http_direct_add(struct http_server *s, int fd)
{
	struct direct_connection *d = mem_zalloc(sizeof(*d));
	const int yes = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	d->base = (struct http_connection){.server = s, .fd = fd, .direct = true};
	d->thread = &s->direct->threads[s->direct->next++ % s->direct->n_threads];
	pthread_mutex_init(&d->lock, NULL);
	http_phase(&d->base, PHASE_HEADERS, 0);
	http_connection_link(&d->base);
	watch(d, EPOLL_CTL_ADD, EPOLLIN);
}

static int start_thread(struct http_server *s, struct direct_thread *t, struct error *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	int rc;

	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll < 0 || epoll_ctl(t->epoll, EPOLL_CTL_ADD, s->direct->wake_fd, &event) != 0)
		return error_errno(err, errno, "make an epoll set");
	rc = pthread_create(&t->thread, NULL, direct_main, t);
	if (rc)
		return error_errno(err, rc, "start an HTTP thread");
	pthread_setname_np(t->thread, "http");
	t->started = true;
	return 0;
}

int http_direct_start(struct http_server *s, uint32_t threads, struct error *err)
{
	size_t bytes = threads * sizeof(struct direct_thread);
	int rc = 0;

	s->direct = mem_zalloc(sizeof(*s->direct));
	s->direct->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->direct->wake_fd < 0)
		return error_errno(err, errno, "make an event descriptor");
	s->direct->threads = aligned_alloc(_Alignof(struct direct_thread), bytes);
	if (!s->direct->threads)
		return error_set(err, ERR_NOMEM, "memory for HTTP threads");
	memset(s->direct->threads, 0, bytes);
	for (uint32_t i = 0; i < threads; i++)
		s->direct->threads[i].epoll = -1;
	for (uint32_t i = 0; i < threads && rc == 0; i++) {
		s->direct->n_threads++;
		rc = start_thread(s, &s->direct->threads[i], err);
	}
	return rc;
}

void http_direct_stats(const struct http_server *s, struct http_server_stats *sum)
{
	for (uint32_t i = 0; s->direct && i < s->direct->n_threads; i++) {
		const struct direct_thread *t = &s->direct->threads[i];

		sum->requests += atomic_load_explicit(&t->requests, memory_order_relaxed);
		sum->in_flight += atomic_load(&t->in_flight);
		sum->bytes_in += atomic_load_explicit(&t->bytes_in, memory_order_relaxed);
		sum->bytes_out += atomic_load_explicit(&t->bytes_out, memory_order_relaxed);
	}
}

void http_direct_stop(struct http_server *s)
{
	struct http_direct *all = s->direct;
	struct http_connection *next;
	uint64_t one = 1;

	if (!all)
		return;
	if (all->wake_fd >= 0 && write(all->wake_fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
	for (uint32_t i = 0; i < all->n_threads; i++)
		if (all->threads[i].started)
			pthread_join(all->threads[i].thread, NULL);
	for (struct http_connection *c = s->connections; c; c = next) {
		next = c->next;
		if (c->direct)
			end_connection(direct_of(c));
	}
	for (uint32_t i = 0; i < all->n_threads; i++) {
		if (all->threads[i].epoll >= 0)
			close(all->threads[i].epoll);
		http_request_free(all->threads[i].spare);
	}
	if (all->wake_fd >= 0)
		close(all->wake_fd);
	free(all->threads);
	free(all);
	s->direct = NULL;
}
