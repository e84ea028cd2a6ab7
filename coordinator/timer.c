/* A binary heap under a mutex; the thread sleeps until the earliest entry or until an earlier one is added. */
#include "coordinator/timer.h"
#include "base/assert.h"
#include "base/memory.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct timer {
	uint64_t due_us;
	void (*fn)(void *ctx);
	void *ctx;
};

struct timers {
	const struct clock *clock;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct timer *heap;
	size_t n, cap;
	bool stopping;
};

static void sift_up(struct timer *heap, size_t at)
{
	while (at > 0 && heap[(at - 1) / 2].due_us > heap[at].due_us) {
		struct timer t = heap[at];
		heap[at] = heap[(at - 1) / 2];
		heap[(at - 1) / 2] = t;
		at = (at - 1) / 2;
	}
}

static void sift_down(struct timer *heap, size_t n, size_t at)
{
	for (;;) {
		size_t least = at, left = 2 * at + 1, right = left + 1;
		if (left < n && heap[left].due_us < heap[least].due_us)
			least = left;
		if (right < n && heap[right].due_us < heap[least].due_us)
			least = right;
		if (least == at)
			return;
		struct timer t = heap[at];
		heap[at] = heap[least];
		heap[least] = t;
		at = least;
	}
}

static struct timer take_first(struct timers *t)
{
	struct timer first = t->heap[0];
	t->heap[0] = t->heap[--t->n];
	sift_down(t->heap, t->n, 0);
	return first;
}

static void wait_until(struct timers *t, uint64_t wait_us)
{
	struct timespec at;
	uint64_t due = t->clock->monotonic_us(t->clock->ctx) + wait_us;
	at.tv_sec = (time_t)(due / 1000000);
	at.tv_nsec = (long)(due % 1000000) * 1000;
	pthread_cond_clockwait(&t->changed, &t->mutex, CLOCK_MONOTONIC, &at);
}

static void *timer_thread(void *arg)
{
	struct timers *t = arg;
	pthread_mutex_lock(&t->mutex);
	while (!t->stopping || t->n > 0) {
		uint64_t now = t->clock->monotonic_us(t->clock->ctx);
		if (t->n == 0) {
			pthread_cond_wait(&t->changed, &t->mutex);
		} else if (t->heap[0].due_us <= now || t->stopping) {
			struct timer due = take_first(t);
			pthread_mutex_unlock(&t->mutex);
			due.fn(due.ctx);
			pthread_mutex_lock(&t->mutex);
		} else {
			wait_until(t, t->heap[0].due_us - now);
		}
	}
	pthread_mutex_unlock(&t->mutex);
	return NULL;
}

int timers_start(struct timers **out, const struct clock *clock, struct error *err)
{
	struct timers *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return error_set(err, ERR_NOMEM, "start the timers: out of memory");
	t->clock = clock;
	pthread_mutex_init(&t->mutex, NULL);
	pthread_cond_init(&t->changed, NULL);
	int rc = pthread_create(&t->thread, NULL, timer_thread, t);
	if (rc != 0) {
		free(t);
		return error_errno(err, rc, "start the timer thread");
	}
	*out = t;
	return 0;
}

void timers_stop(struct timers *t)
{
	if (t == NULL)
		return;
	pthread_mutex_lock(&t->mutex);
	t->stopping = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->mutex);
	pthread_join(t->thread, NULL);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->mutex);
	free(t->heap);
	free(t);
}

void timers_add(struct timers *t, uint64_t due_us, void (*fn)(void *ctx), void *ctx)
{
	pthread_mutex_lock(&t->mutex);
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->heap = mem_resize(t->heap, t->cap * sizeof(*t->heap));
	}
	t->heap[t->n] = (struct timer){due_us, fn, ctx};
	sift_up(t->heap, t->n++);
	if (t->heap[0].ctx == ctx)
		pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->mutex);
}
