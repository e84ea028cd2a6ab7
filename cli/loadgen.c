#include "cli/loadgen.h"

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/prng.h"

enum { ANSWER_BYTES = 8 << 20, EVENTS = 64, PATIENT_CLIENTS = 4 /* for a processor */ };

int loadgen_target(struct loadgen_target *out, const char *url, const char *api_key,
		   struct error *err)
{
	const char *at = strstr(url, "://") ? strstr(url, "://") + 3 : url;
	size_t authority = strcspn(at, "/"), prefix = strlen(at) - authority;
	const char *colon = memrchr(at, ':', authority);

	*out = (struct loadgen_target){.api_key = api_key};
	if (strncmp(url, "https", 5) == 0)
		return error_set(err, ERR_UNSUPPORTED,
				 "quiver bench speaks plain HTTP only: %s is not possible", url);
	while (prefix > 0 && at[authority + prefix - 1] == '/')
		prefix--;
	size_t host = colon ? (size_t)(colon - at) : authority;
	size_t port = colon ? authority - host - 1 : 0;
	if (host > 2 && at[0] == '[' && at[host - 1] == ']') { /* [::1] */
		at++;
		authority--;
		host -= 2;
	}
	if (host == 0 || host >= sizeof(out->host) || port >= sizeof(out->port) ||
	    prefix >= sizeof(out->prefix))
		return error_set(err, ERR_INPUT, "`%s` is no URL of a server", url);
	memcpy(out->host, at, host);
	if (port > 0)
		memcpy(out->port, colon + 1, port);
	else
		memcpy(out->port, "80", 3);
	memcpy(out->prefix, strchr(at, '/') ? strchr(at, '/') : "", prefix);
	return 0;
}

struct loadgen_request loadgen_request(const struct loadgen_target *target, const char *method_path,
				       const char *content_type, const void *body, size_t n)
{
	struct buf b = BUF_INIT;
	size_t method = strcspn(method_path, " ");

	buf_reserve(&b, n + 512);
	buf_printf(&b, "%.*s %s%s HTTP/1.1\r\nHost: %s:%s\r\n", (int)method, method_path,
		   target->prefix, method_path + method + 1, target->host, target->port);
	if (target->api_key && *target->api_key)
		buf_printf(&b, "api-key: %s\r\n", target->api_key);
	buf_printf(&b, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n", content_type, n);
	buf_put(&b, body, n);
	return (struct loadgen_request){b.data, b.len};
}

/* ---- one thread ------------------------------------------------------------------------------- */

struct connection {
	int fd;
	bool busy;
	size_t request, sent;
	uint64_t due_ns, begun_ns;
	size_t target;
	struct buf in;
};

struct generator;

struct lane { /* a thread and its connections */
	struct generator *g;
	pthread_t thread;
	int epoll, timer;
	struct connection *connections;
	uint32_t n;
	struct prng prng;
	uint64_t next_due_ns; /* open loop: of the next arrival */
	uint64_t n_waiting;   /* arrivals that found no free connection */
	uint64_t *waiting;    /* when they were due: a ring */
	size_t waiting_room, waiting_head;
	float *latencies_us;
	size_t n_latencies, room;
	uint64_t errors, unanswered, cpu_ns;
	char first_error[300];
	struct error err;
	int rc;
};

struct generator {
	const struct loadgen_options *o;
	struct addrinfo **addresses; /* of the target, and of those there are more */
	size_t n_addresses;
	atomic_size_t next; /* request */
	uint64_t start_ns, count_from_ns, end_ns;
	pthread_barrier_t barrier;
};

static const struct loadgen_target *target_of(const struct generator *g, size_t i)
{
	return i == 0 ? g->o->target : &g->o->more_targets[i - 1];
}

static int connect_one(struct generator *g, struct connection *c, struct error *err)
{
	const struct timeval patience = {.tv_sec = 1};
	const struct addrinfo *a;
	int one = 1, code = 0;

	for (a = g->addresses[c->target]; a; a = a->ai_next) {
		c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, a->ai_protocol);
		if (c->fd >= 0 && g->o->sample)
			setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		if (c->fd >= 0 && connect(c->fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		code = errno;
		if (c->fd >= 0)
			close(c->fd);
		c->fd = -1;
	}
	if (c->fd < 0)
		return error_set(err, ERR_UNAVAILABLE,
				 "no server answers at %s port %s (%s); is quiverd running?",
				 target_of(g, c->target)->host, target_of(g, c->target)->port,
				 strerror(code));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

static void note_error(struct lane *l, const char *text, size_t n)
{
	l->errors++;
	if (l->first_error[0])
		return;
	if (n >= sizeof(l->first_error))
		n = sizeof(l->first_error) - 1;
	memcpy(l->first_error, text, n);
	l->first_error[n] = 0;
}

static int watch(struct lane *l, struct connection *c, uint32_t events, int operation)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	return epoll_ctl(l->epoll, operation, c->fd, &event);
}

/* Writes what is left of the request; waits for room in the socket when it is large. */
static int push(struct lane *l, struct connection *c)
{
	const struct loadgen_request *r = &l->g->o->requests[c->request];
	bool waited = c->sent > 0;

	while (c->sent < r->n) {
		ssize_t n = send(c->fd, r->bytes + c->sent, r->n - c->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			if (!waited)
				watch(l, c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
			return 0;
		}
		if (n < 0)
			return error_errno(&l->err, errno, "the connection broke while sending");
		c->sent += (size_t)n;
	}
	if (waited)
		watch(l, c, EPOLLIN, EPOLL_CTL_MOD);
	return 0;
}

/* 1: there is nothing left to send. */
static int begin(struct lane *l, struct connection *c, uint64_t due_ns)
{
	struct generator *g = l->g;
	size_t number = atomic_fetch_add(&g->next, 1);

	if (g->o->once && number >= g->o->n_requests)
		return 1;
	c->request = number % g->o->n_requests;
	c->sent = 0;
	c->due_ns = due_ns;
	c->begun_ns = clock_monotonic_ns();
	c->busy = true;
	buf_clear(&c->in);
	return push(l, c);
}

static void report(struct lane *l, const struct connection *c, const char *body, size_t n)
{
	struct loadgen_sample sample = {.due_ns = c->due_ns,
					.request = c->request,
					.body = body,
					.n = n};

	if (!l->g->o->sample)
		return;
	sample.end_ns = clock_monotonic_ns();
	l->g->o->sample(l->g->o->ctx, &sample);
}

static void record(struct lane *l, const struct connection *c, uint64_t now)
{
	if (c->due_ns < l->g->count_from_ns)
		return;
	if (l->n_latencies == l->room) {
		l->room = l->room ? l->room * 2 : 65536;
		l->latencies_us = mem_resize(l->latencies_us, l->room * sizeof(float));
	}
	l->latencies_us[l->n_latencies++] = (float)((double)(now - c->due_ns) * 1e-3);
}

/* Bytes of the head, and of the body; 0: not there yet; negative: not understood. */
static int head_of(struct connection *c, size_t *head, size_t *body)
{
	static const char name[] = "\r\ncontent-length:";
	char *end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4), *at;

	if (end == NULL)
		return 0;
	*head = (size_t)(end + 4 - (char *)c->in.data);
	for (at = (char *)c->in.data; at < end; at++) {
		if (*at == '\r' && strncasecmp(at, name, sizeof(name) - 1) == 0)
			break;
	}
	if (at >= end)
		return -1;
	*body = strtoul(at + sizeof(name) - 1, NULL, 10);
	return *body > ANSWER_BYTES ? -1 : 1;
}

/* The answer is complete: count it. */
static void take(struct lane *l, struct connection *c, size_t head, size_t body)
{
	const struct loadgen_options *o = l->g->o;
	uint64_t now = clock_monotonic_ns();
	const char *text = (const char *)c->in.data;

	c->busy = false;
	if (c->in.len > 12 && text[9] == '2') {
		if (o->once || now <= l->g->end_ns)
			record(l, c, now);
		if (o->answer)
			o->answer(o->ctx, c->request, text + head, body);
		report(l, c, text + head, body);
	} else {
		report(l, c, NULL, 0);
		note_error(l, text, c->in.len < 250 ? c->in.len : 250);
	}
}

/* Reads what came. 1: the answer is complete. */
static int pull(struct lane *l, struct connection *c)
{
	size_t head, body;
	ssize_t n;

	buf_reserve(&c->in, 16384);
	n = recv(c->fd, c->in.data + c->in.len, c->in.cap - c->in.len, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return error_set(&l->err, ERR_CLOSED,
				 "the server closed a connection in mid-answer");
	c->in.len += (size_t)n;
	int rc = head_of(c, &head, &body);
	if (rc < 0)
		return error_set(&l->err, ERR_FORMAT, "the server's answer is not understood");
	if (rc == 0 || c->in.len < head + body)
		return 0;
	take(l, c, head, body);
	return 1;
}

/* ---- closed loop ------------------------------------------------------------------------------ */

static bool is_over(const struct lane *l, uint64_t now)
{
	const struct loadgen_options *o = l->g->o;

	return (!o->once && now >= l->g->end_ns) || (o->stop && atomic_load(o->stop));
}

/* Where the server has the same processors, each answer would wake this thread, which would put the server aside
 * in the middle of the next search, for one more request. As a batch job it takes the answers that are there
 * once a processor has nothing better to do, or a slice of time is over. Not with few clients: an answer that
 * waits for this thread would be taken for a slow one. Measured in turn, eight runs each of 2 s with one server, 32
 * clients: 0.01 involuntary switches of the server a query instead of 0.64, this thread 3.7 us a query instead of
 * 4.9, 3 % more queries. Which server it is does not matter to it. (Refused: then it is as it was.) */
static void be_patient(const struct lane *l)
{
	const struct sched_param none = {0};

	if (l->g->o->clients > PATIENT_CLIENTS * sysconf(_SC_NPROCESSORS_ONLN))
		(void)sched_setscheduler(0, SCHED_BATCH, &none); /* of this thread only */
}

static int run_closed(struct lane *l)
{
	struct epoll_event events[EVENTS];
	uint32_t busy = 0;

	be_patient(l);
	for (uint32_t i = 0; i < l->n; i++) {
		int rc = begin(l, &l->connections[i], clock_monotonic_ns());

		if (rc < 0)
			return rc;
		busy += rc == 0;
	}
	while (busy > 0) {
		int n = epoll_wait(l->epoll, events, EVENTS, 1000);
		uint64_t now = clock_monotonic_ns();

		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;
			int rc = (events[i].events & EPOLLOUT) ? push(l, c) : 0;

			if (rc == 0 && (events[i].events & ~(uint32_t)EPOLLOUT))
				rc = pull(l, c);
			if (rc < 0)
				return rc;
			if (rc == 0)
				continue;
			rc = is_over(l, now) ? 1 : begin(l, c, clock_monotonic_ns());
			if (rc < 0)
				return rc;
			busy -= rc == 1;
		}
		if (is_over(l, now) && now > l->g->end_ns + 30000000000ULL && !l->g->o->once)
			return error_set(&l->err, ERR_TIMEOUT, "the server stopped answering");
	}
	return 0;
}

/* ---- open loop -------------------------------------------------------------------------------- */

static void queue_arrival(struct lane *l, uint64_t due_ns)
{
	if (l->n_waiting == l->waiting_room) {
		size_t room = l->waiting_room ? l->waiting_room * 2 : 1024;
		uint64_t *ring = mem_array(room, sizeof(*ring));

		for (size_t i = 0; i < l->n_waiting; i++)
			ring[i] = l->waiting[(l->waiting_head + i) % l->waiting_room];
		free(l->waiting);
		l->waiting = ring;
		l->waiting_room = room;
		l->waiting_head = 0;
	}
	l->waiting[(l->waiting_head + l->n_waiting++) % l->waiting_room] = due_ns;
}

/* Takes all arrivals that are due; sets the timer for the next one. */
static void arrive(struct lane *l, uint64_t now)
{
	double mean_ns = 1e9 * (double)l->g->o->threads / l->g->o->rate;

	while (l->next_due_ns <= now && l->next_due_ns < l->g->end_ns) {
		queue_arrival(l, l->next_due_ns);
		l->next_due_ns += (uint64_t)(-log(1 - prng_unit(&l->prng)) * mean_ns) + 1;
	}
	const struct itimerspec at = {.it_value = {(time_t)(l->next_due_ns / 1000000000),
						   (long)(l->next_due_ns % 1000000000)}};
	timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* The connection is no use any more, nor is the request that it carried. */
static void lose(struct lane *l, struct connection *c, uint32_t *busy)
{
	if (c->busy) {
		report(l, c, NULL, 0);
		note_error(l, l->err.text, strlen(l->err.text));
		--*busy;
	}
	c->busy = false;
	close(c->fd);
	c->fd = -1;
	c->target = (c->target + 1) % l->g->n_addresses;
}

/* What waits too long is given up, and what is closed is opened again, wherever there is an answer. */
static void mend(struct lane *l, uint64_t now, uint32_t *busy)
{
	for (uint32_t i = 0; i < l->n; i++) {
		struct connection *c = &l->connections[i];

		if (c->busy && now > c->begun_ns + (uint64_t)(l->g->o->timeout_s * 1e9)) {
			error_set(&l->err, ERR_TIMEOUT, "no answer came in time");
			lose(l, c, busy);
		}
		for (size_t t = 0; t < l->g->n_addresses && c->fd < 0; t++) {
			if (connect_one(l->g, c, &l->err) == 0)
				watch(l, c, EPOLLIN, EPOLL_CTL_ADD);
			else
				c->target = (c->target + 1) % l->g->n_addresses;
		}
	}
}

static int serve_waiting(struct lane *l, uint32_t *busy)
{
	for (uint32_t i = 0; i < l->n && l->n_waiting > 0; i++) {
		struct connection *c = &l->connections[i];

		if (c->busy || c->fd < 0)
			continue;
		uint64_t due = l->waiting[l->waiting_head];
		l->waiting_head = (l->waiting_head + 1) % l->waiting_room;
		l->n_waiting--;
		int rc = begin(l, c, due);
		if (rc != 0 && !l->g->o->sample)
			return rc;
		++*busy;
		if (rc != 0)
			lose(l, c, busy);
	}
	return 0;
}

static int run_open(struct lane *l)
{
	struct epoll_event events[EVENTS], timer = {.events = EPOLLIN, .data.ptr = NULL};
	uint32_t busy = 0;

	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->timer < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->timer, &timer) != 0)
		return error_errno(&l->err, errno, "no timer");
	l->next_due_ns = clock_monotonic_ns();
	while (true) {
		uint64_t now = clock_monotonic_ns(), expirations;

		bool stopped = l->g->o->stop && atomic_load(l->g->o->stop);
		int rc = 0;

		if (!stopped)
			arrive(l, now);
		if (l->g->o->sample)
			mend(l, now, &busy);
		if (!stopped)
			rc = serve_waiting(l, &busy);
		if (rc != 0)
			return rc;
		if (now >= l->g->end_ns || stopped) {
			/* What could not even be sent by now: the server does not keep up. */
			if (busy == 0 || now > l->g->end_ns + 5000000000ULL) {
				l->unanswered = l->n_waiting + busy;
				return 0;
			}
		}
		int n = epoll_wait(l->epoll, events, EVENTS, l->g->o->sample ? 20 : 100);
		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			if (c == NULL) {
				ssize_t got = read(l->timer, &expirations, sizeof(expirations));

				(void)got; /* it only wakes us */
				continue;
			}
			rc = (events[i].events & EPOLLOUT) ? push(l, c) : 0;
			if (rc == 0 && (events[i].events & ~(uint32_t)EPOLLOUT))
				rc = pull(l, c);
			if (rc < 0 && !l->g->o->sample)
				return rc;
			if (rc < 0)
				lose(l, c, &busy);
			busy -= rc == 1;
		}
	}
}

/* ---- all threads ------------------------------------------------------------------------------ */

static int open_lane(struct lane *l)
{
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		return error_errno(&l->err, errno, "no epoll");
	for (uint32_t i = 0; i < l->n; i++) {
		int rc = connect_one(l->g, &l->connections[i], &l->err);

		if (rc != 0 && l->g->o->sample)
			continue; /* tried again while it runs */
		if (rc != 0)
			return rc;
		if (watch(l, &l->connections[i], EPOLLIN, EPOLL_CTL_ADD) != 0)
			return error_errno(&l->err, errno, "no epoll");
	}
	return 0;
}

static void *run_lane(void *ctx)
{
	struct lane *l = ctx;
	struct generator *g = l->g;

	l->rc = open_lane(l);
	/* All connections first; one thread then sets the clock for all. */
	int one_of_all = pthread_barrier_wait(&g->barrier);
	if (one_of_all == PTHREAD_BARRIER_SERIAL_THREAD) {
		g->start_ns = clock_monotonic_ns();
		g->count_from_ns =
			g->start_ns + (g->o->once ? 0 : (uint64_t)(g->o->warmup_s * 1e9));
		g->end_ns = g->count_from_ns + (uint64_t)(g->o->seconds * 1e9);
	}
	pthread_barrier_wait(&g->barrier);
	if (l->rc == 0)
		l->rc = g->o->rate > 0 && !g->o->once ? run_open(l) : run_closed(l);
	l->cpu_ns = clock_thread_cpu_ns();
	return NULL;
}

static void close_lane(struct lane *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		if (l->connections[i].fd >= 0)
			close(l->connections[i].fd);
		buf_fini(&l->connections[i].in);
	}
	if (l->epoll >= 0)
		close(l->epoll);
	if (l->timer >= 0)
		close(l->timer);
	free(l->connections);
	free(l->latencies_us);
	free(l->waiting);
}

static int compare_floats(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void summarise(struct lane *lanes, uint32_t n, double seconds, struct loadgen_result *r)
{
	float *all;
	size_t count = 0, at = 0, asked = atomic_load(&lanes->g->next);
	double sum = 0, cpu_ns = 0;

	for (uint32_t i = 0; i < n; i++)
		count += lanes[i].n_latencies;
	all = mem_array(count + 1, sizeof(float));
	for (uint32_t i = 0; i < n; i++) {
		if (lanes[i].n_latencies > 0)
			memcpy(all + at, lanes[i].latencies_us,
			       lanes[i].n_latencies * sizeof(float));
		at += lanes[i].n_latencies;
		cpu_ns += (double)lanes[i].cpu_ns;
		r->errors += lanes[i].errors;
		r->timeouts += lanes[i].unanswered;
		if (!r->first_error[0])
			memcpy(r->first_error, lanes[i].first_error, sizeof(r->first_error));
	}
	qsort(all, count, sizeof(float), compare_floats);
	for (size_t i = 0; i < count; i++)
		sum += all[i];
	r->answers = count;
	r->asked = asked;
	r->own_cpu_us = asked > 0 ? cpu_ns * 1e-3 / (double)asked : 0;
	r->seconds = seconds;
	r->qps = seconds > 0 ? (double)count / seconds : 0;
	if (count > 0) {
		r->p50_us = all[count / 2];
		r->p95_us = all[(size_t)((double)count * 0.95)];
		r->p99_us = all[(size_t)((double)count * 0.99)];
		r->mean_us = sum / (double)count;
		r->max_us = all[count - 1];
	}
	free(all);
}

static int run_lanes(struct generator *g, struct lane *lanes, struct loadgen_result *result,
		     struct error *err)
{
	const struct loadgen_options *o = g->o;
	int rc = 0;

	pthread_barrier_init(&g->barrier, NULL, o->threads);
	for (uint32_t i = 0; i < o->threads; i++) {
		struct lane *l = &lanes[i];

		l->g = g;
		l->epoll = l->timer = -1;
		l->n = o->clients / o->threads + (i < o->clients % o->threads);
		l->connections = mem_array(l->n + 1, sizeof(*l->connections));
		for (uint32_t j = 0; j < l->n; j++)
			l->connections[j] =
				(struct connection){.fd = -1, .target = (size_t)j % g->n_addresses};
		prng_seed(&l->prng, o->seed + i);
		if (pthread_create(&l->thread, NULL, run_lane, l) != 0) {
			/* The others wait at the barrier for this one. */
			fprintf(stderr, "quiver bench: no thread could be started\n");
			abort();
		}
	}
	for (uint32_t i = 0; i < o->threads; i++)
		pthread_join(lanes[i].thread, NULL);
	uint64_t end = clock_monotonic_ns();
	double seconds = o->once ? (double)(end - g->start_ns) * 1e-9 : o->seconds;
	summarise(lanes, o->threads, seconds, result);
	for (uint32_t i = 0; i < o->threads; i++) {
		if (lanes[i].rc < 0 && rc == 0) {
			rc = lanes[i].rc;
			if (err)
				*err = lanes[i].err;
		}
		close_lane(&lanes[i]);
	}
	pthread_barrier_destroy(&g->barrier);
	return rc;
}

static int find_addresses(struct generator *g, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};

	g->addresses = mem_array(g->o->n_more_targets + 1, sizeof(struct addrinfo *));
	for (; g->n_addresses <= g->o->n_more_targets; g->n_addresses++) {
		const struct loadgen_target *t = target_of(g, g->n_addresses);
		int rc = getaddrinfo(t->host, t->port, &hints, &g->addresses[g->n_addresses]);

		if (rc != 0)
			return error_set(err, ERR_UNAVAILABLE, "%s cannot be found: %s", t->host,
					 gai_strerror(rc));
	}
	return 0;
}

int loadgen_run(const struct loadgen_options *options, struct loadgen_result *result,
		struct error *err)
{
	struct loadgen_options o = *options;
	struct generator g = {.o = &o};
	struct lane *lanes;
	int rc;

	*result = (struct loadgen_result){0};
	if (o.threads > o.clients)
		o.threads = o.clients;
	if (o.threads == 0)
		o.threads = 1;
	rc = find_addresses(&g, err);
	if (rc == 0) {
		lanes = mem_array(o.threads, sizeof(*lanes));
		rc = run_lanes(&g, lanes, result, err);
		free(lanes);
	}
	for (size_t i = 0; i < g.n_addresses; i++)
		freeaddrinfo(g.addresses[i]);
	free(g.addresses);
	return rc;
}
