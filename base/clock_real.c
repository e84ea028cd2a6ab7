/* The real clock: the only file that asks the operating system for the time. */
#include "base/clock.h"
#include "base/assert.h"
#include <stddef.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
	struct timespec t;
	int rc = clock_gettime(id, &t);
	assert(rc == 0);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_monotonic_us(void)
{
	return read_ns(CLOCK_MONOTONIC) / 1000;
}

uint64_t clock_thread_cpu_ns(void)
{
	return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_wall_us(void)
{
	return read_ns(CLOCK_REALTIME) / 1000;
}

static uint64_t monotonic(void *ctx)
{
	(void)ctx;
	return clock_monotonic_us();
}

static uint64_t wall(void *ctx)
{
	(void)ctx;
	return clock_wall_us();
}

const struct clock *clock_real(void)
{
	static const struct clock real = {monotonic, wall, NULL};
	return &real;
}
