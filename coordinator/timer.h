/* Timers of the coordinator: one thread, a heap of due times. Most are taken back before they are due (a hedge that is not needed),
 * so the thread is not woken for that, nor for a new one that is due after it wakes anyway. */
#pragma once
#include "base/clock.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

struct timers;

/* Lies in what it is for, which must outlive it: until it was taken back or its function was called. Zeroed at first. */
struct timer {
	uint64_t due_us;
	void (*fn)(void *ctx);
	void *ctx;
	size_t place; /* in the heap, from 1; 0: it is not set */
};

int timers_start(struct timers **out, const struct clock *clock, struct error *err);
/* Timers that are not due are run at once, so that what they own is let go. NULL ok. */
void timers_stop(struct timers *t);
/* Runs fn(ctx) on the timer thread, not before due_us (monotonic). fn must be short; it may set its timer again. The timer must
 * not be set. */
void timers_add(struct timers *t, struct timer *timer, uint64_t due_us, void (*fn)(void *ctx),
		void *ctx);
/* True: it was set, and its function will not be called. False: it was not, or its function runs or has run. */
bool timers_take_back(struct timers *t, struct timer *timer);
