/* Mailbox: a list under a mutex, taken whole, so that the loop thread locks once per batch. */
#include "base/mailbox.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct mailbox {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct mail *first;
	struct mail *last;
	bool closed;
};

struct mailbox *mailbox_new(void)
{
	struct mailbox *m = mem_zalloc(sizeof(*m));
	pthread_condattr_t attributes;
	pthread_mutex_init(&m->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&m->filled, &attributes);
	pthread_condattr_destroy(&attributes);
	return m;
}

void mailbox_free(struct mailbox *m)
{
	if (m == NULL)
		return;
	assert(m->first == NULL);
	pthread_cond_destroy(&m->filled);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

bool mailbox_post(struct mailbox *m, struct mail *item)
{
	pthread_mutex_lock(&m->lock);
	bool open = !m->closed;
	bool was_empty = m->first == NULL;
	if (open) {
		item->next = NULL;
		if (was_empty)
			m->first = item;
		else
			m->last->next = item;
		m->last = item;
		/* Under the lock: the taker may free the mailbox as soon as it is let in. */
		if (was_empty)
			pthread_cond_signal(&m->filled);
	}
	pthread_mutex_unlock(&m->lock);
	return open;
}

static struct timespec deadline_after(uint64_t timeout_us)
{
	uint64_t at_us;
	if (__builtin_add_overflow(clock_monotonic_us(), timeout_us, &at_us))
		at_us = UINT64_MAX;
	return (struct timespec){(time_t)(at_us / 1000000), (long)(at_us % 1000000) * 1000};
}

struct mail *mailbox_take(struct mailbox *m, uint64_t timeout_us)
{
	pthread_mutex_lock(&m->lock);
	if (m->first == NULL && !m->closed && timeout_us > 0) {
		struct timespec deadline = {0, 0};
		if (timeout_us != UINT64_MAX)
			deadline = deadline_after(timeout_us);
		int rc = 0;
		while (m->first == NULL && !m->closed && rc == 0) {
			if (timeout_us == UINT64_MAX)
				rc = pthread_cond_wait(&m->filled, &m->lock);
			else
				rc = pthread_cond_timedwait(&m->filled, &m->lock, &deadline);
		}
	}
	struct mail *all = m->first;
	m->first = NULL;
	m->last = NULL;
	pthread_mutex_unlock(&m->lock);
	return all;
}

void mailbox_close(struct mailbox *m)
{
	pthread_mutex_lock(&m->lock);
	m->closed = true;
	pthread_cond_broadcast(&m->filled);
	pthread_mutex_unlock(&m->lock);
}
