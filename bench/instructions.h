/* How many instructions a piece of work takes, counted one by one: exact, the same on a busy machine, and
 * possible where the processor's counters are hidden, as in most virtual machines. */
#pragma once
#include <stdint.h>

/* Instructions of user space that fn(ctx) takes, in a copy of this process that has only the calling thread: fn must not wait for
 * another. A repeated string instruction counts once. 0: cannot be counted here. */
uint64_t instructions_of(void (*fn)(void *ctx), void *ctx);
