/* The shard's threads: one loop, a keeper for segment and manifest files, disk threads for logs. */
#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "shard/host.h"
#include "shard/seed.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	DEFAULT_SEAL_ROWS = 20000,
	DEFAULT_SEAL_BYTES = 64 << 20,
	DEFAULT_SEAL_IDLE_MS = 2000,
	DEFAULT_INDEX_MIN_ROWS = 2000,
	DEFAULT_SEGMENT_MAX_ROWS = 2000000,
	DEFAULT_PENDING_BYTES = 256 << 20,
	DEFAULT_LOG_KEEP_BYTES = 32 << 20,
	DEFAULT_SEED_BYTES_PER_S = 100 << 20,
	TICK_US = 100000,
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

uint64_t now_us(const struct shard *s)
{
	return s->options.clock->monotonic_us(s->options.clock->ctx);
}

/* ---- tasks ---- */

void task_to_loop(struct task *t)
{
	bool posted = mailbox_post(t->shard->loop.box, &t->mail);

	assert(posted); /* the loop is the last to go */
}

void task_to_worker(struct worker *w, struct task *t)
{
	bool posted;

	assert(!t->h->opening); /* its count is not the loop's yet, and it may fail to open */
	t->h->tasks++;
	posted = mailbox_post(w->box, &t->mail);
	assert(posted);
}

static void run_in_background(void *arg)
{
	struct task *t = arg;

	t->run(t);
	task_to_loop(t);
}

void task_to_background(struct task *t)
{
	assert(!t->h->opening);
	t->h->tasks++;
	if (pool_submit(t->shard->options.pool, LANE_BACKGROUND, run_in_background, t)) {
		t->rc = error_set(&t->err, ERR_CLOSED, "the server is going down");
		task_to_loop(t);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct mail *mail;

	while ((mail = mailbox_take(w->box, UINT64_MAX)))
		while (mail) {
			struct mail *next = mail->next;
			struct task *t = CONTAINER(mail, struct task, mail);

			__atomic_store_n(&w->busy_since_us, now_us(w->shard), __ATOMIC_RELAXED);
			t->run(t);
			__atomic_store_n(&w->busy_since_us, 0, __ATOMIC_RELAXED);
			task_to_loop(t);
			mail = next;
		}
	return NULL;
}

uint64_t disk_stalled_us(const struct shard *s)
{
	uint64_t now = now_us(s), longest = 0;

	for (int i = 0; i < DISK_THREADS; i++) {
		uint64_t since = __atomic_load_n(&s->disks[i].busy_since_us, __ATOMIC_RELAXED);

		if (since && now > since && now - since > longest)
			longest = now - since;
	}
	return longest >= DISK_STALLED_US ? longest : 0;
}

static void look_at_disk(struct shard *s)
{
	uint64_t stalled_us = disk_stalled_us(s);

	if (stalled_us && !s->stalled)
		log_error("shard",
			  "the disk has not answered for %llu ms: copies on other nodes take over "
			  "what this node leads",
			  (unsigned long long)(stalled_us / 1000));
	else if (!stalled_us && s->stalled)
		log_info("shard", "the disk answers again");
	s->stalled = stalled_us > 0;
}

static void tick(struct shard *s)
{
	struct hosted *next;

	look_at_disk(s);
	mem_enough(0); /* a reserve that was spent is had again as soon as it can */
	for (struct hosted *h = s->hosted; h; h = next) {
		next = h->next;
		hosted_tick(h);
	}
	seeds_tick(s);
}

static void *loop_main(void *arg)
{
	struct worker *w = arg;
	struct shard *s = w->shard;
	uint64_t tick_at = now_us(s) + TICK_US;

	for (;;) {
		uint64_t now = now_us(s);
		struct mail *mail;

		if (now >= tick_at) {
			tick(s);
			tick_at = now + TICK_US;
		}
		mail = mailbox_take(w->box, tick_at - now < TICK_US ? tick_at - now : TICK_US);
		while (mail) {
			struct mail *next = mail->next;
			struct task *t = CONTAINER(mail, struct task, mail);

			mail = next;
			t->done(t);
		}
		if (__atomic_load_n(&s->loop_ends, __ATOMIC_ACQUIRE))
			return NULL;
	}
}

/* ---- memory ---- */

uint64_t memory_limit(const struct shard *s)
{
	return s->options.memory_limit_bytes;
}

bool memory_reserve(struct shard *s, uint64_t bytes, struct error *err)
{
	uint64_t before = __atomic_fetch_add(&s->reserved_bytes, bytes, __ATOMIC_RELAXED);

	if (before + bytes <= memory_limit(s))
		return true;
	__atomic_fetch_sub(&s->reserved_bytes, bytes, __ATOMIC_RELAXED);
	error_set(err, ERR_NOMEM, "%llu bytes are needed, %llu of %llu are taken",
		  (unsigned long long)bytes, (unsigned long long)before,
		  (unsigned long long)memory_limit(s));
	return false;
}

void memory_release(struct shard *s, uint64_t bytes)
{
	__atomic_fetch_sub(&s->reserved_bytes, bytes, __ATOMIC_RELAXED);
}

/* ---- life ---- */

static void fill_defaults(struct shard_options *o)
{
	if (!o->seal_rows)
		o->seal_rows = DEFAULT_SEAL_ROWS;
	if (!o->seal_bytes)
		o->seal_bytes = DEFAULT_SEAL_BYTES;
	if (!o->seal_idle_ms)
		o->seal_idle_ms = DEFAULT_SEAL_IDLE_MS;
	if (!o->index_min_rows)
		o->index_min_rows = DEFAULT_INDEX_MIN_ROWS;
	if (!o->segment_max_rows)
		o->segment_max_rows = DEFAULT_SEGMENT_MAX_ROWS;
	if (!o->pending_write_bytes)
		o->pending_write_bytes = DEFAULT_PENDING_BYTES;
	if (!o->memory_limit_bytes)
		o->memory_limit_bytes =
			(uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 5 * 4;
	if (!o->log_keep_bytes)
		o->log_keep_bytes = DEFAULT_LOG_KEEP_BYTES;
	if (!o->seed_bytes_per_s)
		o->seed_bytes_per_s = DEFAULT_SEED_BYTES_PER_S;
	if (!o->verify_now_bytes)
		o->verify_now_bytes = 1ull << 30;
	if (!o->clock)
		o->clock = clock_real();
}

static int worker_start(struct shard *s, struct worker *w, const char *name, void *(*main)(void *),
			struct error *err)
{
	sigset_t all, before;
	int rc;

	w->shard = s;
	w->box = mailbox_new();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
	rc = pthread_create(&w->thread, NULL, main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return error_errno(err, rc, "start thread %s", name);
	pthread_setname_np(w->thread, name);
	w->started = true;
	return 0;
}

static void worker_stop(struct worker *w)
{
	if (w->started) {
		mailbox_close(w->box);
		pthread_join(w->thread, NULL);
	}
	mailbox_free(w->box);
}

int shard_start(struct shard **out, const struct shard_options *options, struct error *err)
{
	struct shard *s = mem_zalloc(sizeof *s);
	int rc;

	s->options = *options;
	fill_defaults(&s->options);
	s->registered = !options->old_assignments;
	s->known_since = options->old_assignments ? KNOWN_NEVER : 0;
	pthread_mutex_init(&s->assign_lock, NULL);
	pthread_rwlock_init(&s->table_lock, NULL);
	rc = seeds_start(s, err); /* the loop looks at it */
	if (rc == 0)
		rc = worker_start(s, &s->loop, "shard-loop", loop_main, err);
	if (rc == 0)
		rc = worker_start(s, &s->keeper, "shard-keeper", worker_main, err);
	for (int i = 0; i < DISK_THREADS && rc == 0; i++)
		rc = worker_start(s, &s->disks[i], "shard-disk", worker_main, err);
	if (rc) {
		shard_stop(s);
		return rc;
	}
	*out = s;
	return 0;
}

static void end_loop(struct task *t)
{
	__atomic_store_n(&t->shard->loop_ends, true, __ATOMIC_RELEASE);
}

void shard_leave(struct shard *s)
{
	__atomic_store_n(&s->stopping, true, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&s->calls, __ATOMIC_SEQ_CST) > 0)
		usleep(1000);
	seeds_stop(s);
	assign_close_all(s);
}

void shard_stop(struct shard *s)
{
	struct task end;

	if (!s)
		return;
	shard_leave(s);
	for (int i = 0; i < DISK_THREADS; i++)
		worker_stop(&s->disks[i]);
	worker_stop(&s->keeper);
	end = (struct task){.done = end_loop, .shard = s};
	if (s->loop.started)
		task_to_loop(&end);
	worker_stop(&s->loop);
	seeds_free(s);
	pthread_mutex_destroy(&s->assign_lock);
	pthread_rwlock_destroy(&s->table_lock);
	free(s->table);
	free(s);
}

/* ---- contact ---- */

struct contact {
	struct task task;
	uint64_t at_us;
};

static void contact_arrived(struct task *t)
{
	struct contact *c = CONTAINER(t, struct contact, task);
	struct shard *s = t->shard;

	if (c->at_us > s->contact_us)
		s->contact_us = c->at_us;
	for (struct hosted *h = s->hosted; h; h = h->next)
		if (h->copies)
			hosted_event(h, &(struct replica_event){.type = EVENT_CONTACT,
								.at_us = s->contact_us});
	free(c);
}

void shard_contact(struct shard *s, uint64_t at_us)
{
	struct contact *c = mem_zalloc(sizeof *c);

	c->task = (struct task){.done = contact_arrived, .shard = s};
	c->at_us = at_us;
	task_to_loop(&c->task);
}

/* ---- service ---- */

static void dispatch(struct shard *s, struct rpc_call *call)
{
	switch (call->type) {
	case RPC_TYPE_search: serve_search(s, call); break;
	case RPC_TYPE_retrieve: serve_retrieve(s, call); break;
	case RPC_TYPE_scroll: serve_scroll(s, call); break;
	case RPC_TYPE_count: serve_count(s, call); break;
	case RPC_TYPE_facet: serve_facet(s, call); break;
	case RPC_TYPE_idf: serve_idf(s, call); break;
	case RPC_TYPE_info: serve_info(s, call); break;
	case RPC_TYPE_write: hosted_write(s, call); break;
	case RPC_TYPE_append: hosted_append(s, call); break;
	case RPC_TYPE_seed_open: serve_seed_open(s, call); break;
	case RPC_TYPE_seed_read: serve_seed_read(s, call); break;
	case RPC_TYPE_seed_close: serve_seed_close(s, call); break;
	default:
		rpc_finish(call, error_set(&call->err, ERR_UNSUPPORTED, "unknown message %d",
					   (int)call->type));
	}
}

static void handle(void *ctx, struct rpc_call *call)
{
	struct shard *s = ctx;

	/* shard_stop() first closes the door, then waits until nobody is inside. */
	__atomic_fetch_add(&s->calls, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s->stopping, __ATOMIC_SEQ_CST))
		rpc_finish(call, error_set(&call->err, ERR_CLOSED, "the server is going down"));
	else
		dispatch(s, call);
	__atomic_fetch_sub(&s->calls, 1, __ATOMIC_SEQ_CST);
}

struct rpc_service shard_service(struct shard *s)
{
	return (struct rpc_service){.handle = handle, .ctx = s};
}
