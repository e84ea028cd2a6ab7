/* Timers of the coordinator: one thread, a heap of due times. A timer cannot be taken back; its function finds out whether it is
 * still wanted. */
#pragma once
#include "base/clock.h"
#include "base/error.h"

struct timers;

int timers_start(struct timers **out, const struct clock *clock, struct error *err);
/* Timers that are not due are run at once, so that what they own is let go. NULL ok. */
void timers_stop(struct timers *t);
/* Runs fn(ctx) on the timer thread, not before due_us (monotonic). fn must be short. */
void timers_add(struct timers *t, uint64_t due_us, void (*fn)(void *ctx), void *ctx);
