/* Worker pool. Each lane is a ring of tasks under a mutex and a fixed set of threads.
 *
 * pool_parallel puts "come and help" tasks into the search lane and works itself meanwhile. Whoever
 * works takes the next number from a shared counter, so the caller is done when the counter has run
 * out and the helpers that took a number have finished it; helpers still in the queue do not
 * matter, and therefore a search worker may call pool_parallel without a deadlock. The job is
 * reference-counted because such a late helper looks at it after the caller has gone.
 */
#include "base/pool.h"
#include "base/assert.h"
#include "base/memory.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BACKGROUND_NICE = 10 };

struct task {
	void (*fn)(void *arg);
	void *arg;
};

struct lane {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct task *ring;
	size_t capacity; /* a power of two */
	size_t head;     /* the oldest task */
	size_t count;
	size_t idle; /* threads that wait */
	bool closing;
	bool low_priority;
	pthread_t *threads;
	size_t n_threads;
};

struct pool {
	struct lane lanes[2];
};

static void lower_priority(void)
{
	/* On Linux both act on the thread. Not worth failing for: a container may forbid it. */
	struct sched_param none = {0};
	(void)sched_setscheduler(0, SCHED_BATCH, &none);
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), BACKGROUND_NICE);
}

static void *worker_main(void *arg)
{
	struct lane *lane = arg;
	if (lane->low_priority)
		lower_priority();
	pthread_mutex_lock(&lane->lock);
	for (;;) {
		while (lane->count == 0 && !lane->closing) {
			lane->idle++;
			pthread_cond_wait(&lane->filled, &lane->lock);
			lane->idle--;
		}
		if (lane->count == 0)
			break;
		struct task task = lane->ring[lane->head];
		lane->head = (lane->head + 1) & (lane->capacity - 1);
		lane->count--;
		pthread_mutex_unlock(&lane->lock);
		task.fn(task.arg);
		pthread_mutex_lock(&lane->lock);
	}
	pthread_mutex_unlock(&lane->lock);
	return NULL;
}

static void ring_grow(struct lane *lane)
{
	size_t capacity = lane->capacity * 2;
	struct task *ring = mem_array(capacity, sizeof(*ring));
	for (size_t i = 0; i < lane->count; i++)
		ring[i] = lane->ring[(lane->head + i) & (lane->capacity - 1)];
	free(lane->ring);
	lane->ring = ring;
	lane->capacity = capacity;
	lane->head = 0;
}

static int lane_push(struct lane *lane, struct task task, size_t copies)
{
	pthread_mutex_lock(&lane->lock);
	bool open = !lane->closing;
	for (size_t i = 0; open && i < copies; i++) {
		if (lane->count == lane->capacity)
			ring_grow(lane);
		lane->ring[(lane->head + lane->count) & (lane->capacity - 1)] = task;
		lane->count++;
		if (i < lane->idle)
			pthread_cond_signal(&lane->filled);
	}
	pthread_mutex_unlock(&lane->lock);
	return open ? 0 : ERR_CLOSED;
}

static void lane_init(struct lane *lane, size_t n_threads, bool low_priority)
{
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->filled, NULL);
	lane->capacity = 64;
	lane->ring = mem_array(lane->capacity, sizeof(*lane->ring));
	lane->threads = mem_array(n_threads, sizeof(*lane->threads));
	lane->low_priority = low_priority;
}

static int lane_start(struct lane *lane, size_t n_threads, const char *name, struct error *err)
{
	/* Signals are the main thread's business. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = 0;
	while (rc == 0 && lane->n_threads < n_threads) {
		pthread_t *thread = &lane->threads[lane->n_threads];
		rc = pthread_create(thread, NULL, worker_main, lane);
		if (rc != 0)
			break;
		char full_name[16];
		snprintf(full_name, sizeof(full_name), "%s-%u", name,
			 (unsigned)lane->n_threads % 1000);
		pthread_setname_np(*thread, full_name);
		lane->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return error_set(err, ERR_UNAVAILABLE, "start %s thread %zu of %zu: %s", name,
				 lane->n_threads + 1, n_threads, strerror(rc));
	return 0;
}

static void lane_close(struct lane *lane)
{
	pthread_mutex_lock(&lane->lock);
	lane->closing = true;
	pthread_cond_broadcast(&lane->filled);
	pthread_mutex_unlock(&lane->lock);
}

static void lane_join(struct lane *lane)
{
	for (size_t i = 0; i < lane->n_threads; i++)
		pthread_join(lane->threads[i], NULL);
}

static void lane_fini(struct lane *lane)
{
	assert(lane->count == 0);
	pthread_cond_destroy(&lane->filled);
	pthread_mutex_destroy(&lane->lock);
	free(lane->threads);
	free(lane->ring);
}

int pool_new(struct pool **out, size_t search_threads, size_t background_threads, struct error *err)
{
	*out = NULL;
	if (search_threads == 0 || background_threads == 0)
		return error_set(
			err, ERR_INPUT,
			"a worker pool needs at least one search and one background thread");
	struct pool *p = mem_zalloc(sizeof(*p));
	lane_init(&p->lanes[LANE_SEARCH], search_threads, false);
	lane_init(&p->lanes[LANE_BACKGROUND], background_threads, true);
	int rc = lane_start(&p->lanes[LANE_SEARCH], search_threads, "search", err);
	if (rc == 0)
		rc = lane_start(&p->lanes[LANE_BACKGROUND], background_threads, "background", err);
	if (rc != 0) {
		pool_free(p);
		return rc;
	}
	*out = p;
	return 0;
}

void pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	/* Tasks of one lane may submit to the other until the last of them has ended. */
	lane_close(&p->lanes[LANE_BACKGROUND]);
	lane_close(&p->lanes[LANE_SEARCH]);
	lane_join(&p->lanes[LANE_BACKGROUND]);
	lane_join(&p->lanes[LANE_SEARCH]);
	lane_fini(&p->lanes[LANE_BACKGROUND]);
	lane_fini(&p->lanes[LANE_SEARCH]);
	free(p);
}

int pool_submit(struct pool *p, enum pool_lane lane, void (*fn)(void *arg), void *arg)
{
	return lane_push(&p->lanes[lane], (struct task){fn, arg}, 1);
}

size_t pool_search_threads(const struct pool *p)
{
	return p->lanes[LANE_SEARCH].n_threads;
}

/* ---- pool_parallel ---- */

struct job {
	void (*fn)(void *ctx, size_t i);
	void *ctx;
	size_t n;
	size_t next; /* atomic: the next number to take; may run past n */
	size_t done; /* atomic: numbers finished */
	size_t refs; /* atomic */
	pthread_mutex_t lock;
	pthread_cond_t finished;
};

static void job_unref(struct job *job, size_t refs)
{
	if (__atomic_sub_fetch(&job->refs, refs, __ATOMIC_ACQ_REL) > 0)
		return;
	pthread_cond_destroy(&job->finished);
	pthread_mutex_destroy(&job->lock);
	free(job);
}

static void job_work(struct job *job)
{
	size_t mine = 0;
	for (;;) {
		size_t i = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED);
		if (i >= job->n)
			break;
		job->fn(job->ctx, i);
		mine++;
	}
	if (mine == 0 || __atomic_add_fetch(&job->done, mine, __ATOMIC_ACQ_REL) < job->n)
		return;
	pthread_mutex_lock(&job->lock);
	pthread_cond_signal(&job->finished);
	pthread_mutex_unlock(&job->lock);
}

static void job_help(void *arg)
{
	struct job *job = arg;
	job_work(job);
	job_unref(job, 1);
}

void pool_parallel(struct pool *p, size_t n, void (*fn)(void *ctx, size_t i), void *ctx)
{
	if (n < 2) {
		if (n == 1)
			fn(ctx, 0);
		return;
	}
	size_t helpers = pool_search_threads(p);
	if (helpers > n - 1)
		helpers = n - 1;
	struct job *job = mem_zalloc(sizeof(*job));
	job->fn = fn;
	job->ctx = ctx;
	job->n = n;
	job->refs = helpers + 1;
	pthread_mutex_init(&job->lock, NULL);
	pthread_cond_init(&job->finished, NULL);
	/* A pool that is closing gives no helpers; the caller then does everything. */
	if (lane_push(&p->lanes[LANE_SEARCH], (struct task){job_help, job}, helpers) != 0)
		job_unref(job, helpers);
	job_work(job);
	pthread_mutex_lock(&job->lock);
	while (__atomic_load_n(&job->done, __ATOMIC_ACQUIRE) < n)
		pthread_cond_wait(&job->finished, &job->lock);
	pthread_mutex_unlock(&job->lock);
	job_unref(job, 1);
}
