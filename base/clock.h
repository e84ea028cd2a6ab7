/* Time. Deciding code receives `now_us` inside events; only runtimes hold a clock. The real clock
 * lives in clock_real.c, the simulator brings its own. */
#pragma once
#include <stdint.h>

struct clock {
	uint64_t (*monotonic_us)(void *ctx); /* never goes back, arbitrary origin */
	uint64_t (*wall_us)(void *ctx);      /* microseconds since 1970 UTC; may jump */
	void *ctx;
};

const struct clock *clock_real(void);
uint64_t clock_monotonic_us(void);  /* shorthand for the real clock; runtimes and programs only */
uint64_t clock_monotonic_ns(void);  /* for measurements */
uint64_t clock_thread_cpu_ns(void); /* CPU time of the calling thread, for cost per query */
uint64_t clock_wall_us(void);
