/* A binary heap under a mutex; the thread sleeps until the earliest entry or until an earlier one is added. */
#include "coordinator/timer.h"
#include "base/assert.h"
#include "base/memory.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct timers {
	const struct clock *clock;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct timer **heap;
	size_t n, cap;
	uint64_t wakes_us; /* when the thread looks again; 0: it is awake, or has been woken */
	bool stopping;
};

static void put(struct timers *t, size_t at, struct timer *timer)
{
	t->heap[at] = timer;
	timer->place = at + 1;
}

static void sift_up(struct timers *t, size_t at)
{
	struct timer *timer = t->heap[at];
	for (; at > 0 && t->heap[(at - 1) / 2]->due_us > timer->due_us; at = (at - 1) / 2)
		put(t, at, t->heap[(at - 1) / 2]);
	put(t, at, timer);
}

static void sift_down(struct timers *t, size_t at)
{
	struct timer *timer = t->heap[at];
	for (;;) {
		size_t least = 2 * at + 1;
		if (least + 1 < t->n && t->heap[least + 1]->due_us < t->heap[least]->due_us)
			least++;
		if (least >= t->n || t->heap[least]->due_us >= timer->due_us)
			break;
		put(t, at, t->heap[least]);
		at = least;
	}
	put(t, at, timer);
}

static struct timer *take_at(struct timers *t, size_t at)
{
	struct timer *taken = t->heap[at], *last = t->heap[--t->n];
	taken->place = 0;
	if (last != taken) {
		put(t, at, last);
		sift_up(t, at);
		sift_down(t, last->place - 1);
	}
	return taken;
}

/* Until the earliest is due, or one is set that is due before that. */
static void wait_for_more(struct timers *t)
{
	if (t->n == 0) {
		t->wakes_us = UINT64_MAX;
		pthread_cond_wait(&t->changed, &t->mutex);
	} else {
		uint64_t due = t->wakes_us = t->heap[0]->due_us;
		struct timespec at = {(time_t)(due / 1000000), (long)(due % 1000000) * 1000};
		pthread_cond_clockwait(&t->changed, &t->mutex, CLOCK_MONOTONIC, &at);
	}
	t->wakes_us = 0;
}

static void *timer_thread(void *arg)
{
	struct timers *t = arg;
	pthread_mutex_lock(&t->mutex);
	while (!t->stopping || t->n > 0) {
		uint64_t now = t->clock->monotonic_us(t->clock->ctx);
		if (t->n > 0 && (t->heap[0]->due_us <= now || t->stopping)) {
			struct timer due = *take_at(t, 0);
			pthread_mutex_unlock(&t->mutex);
			due.fn(due.ctx);
			pthread_mutex_lock(&t->mutex);
		} else {
			wait_for_more(t);
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

void timers_add(struct timers *t, struct timer *timer, uint64_t due_us, void (*fn)(void *ctx),
		void *ctx)
{
	pthread_mutex_lock(&t->mutex);
	assert(timer->place == 0);
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->heap = mem_resize(t->heap, t->cap * sizeof(struct timer *));
	}
	timer->due_us = due_us;
	timer->fn = fn;
	timer->ctx = ctx;
	t->heap[t->n] = timer;
	sift_up(t, t->n++);
	if (due_us < t->wakes_us) {
		t->wakes_us = 0; /* once is enough */
		pthread_cond_signal(&t->changed);
	}
	pthread_mutex_unlock(&t->mutex);
}

bool timers_take_back(struct timers *t, struct timer *timer)
{
	pthread_mutex_lock(&t->mutex);
	bool is_set = timer->place != 0;
	if (is_set)
		take_at(t, timer->place - 1);
	pthread_mutex_unlock(&t->mutex);
	return is_set;
}
