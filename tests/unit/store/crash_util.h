/* What the tests that crash at every change share: which seeds they run (QUIVER_SEED: that one; QUIVER_SEEDS: so many), and where
 * they were when a check failed. */
#pragma once
#include "tests/unit/unit.h"
#include <stdlib.h>

static struct {
	uint64_t seed, change;
	int mode;
} at; /* for the message when a check fails */

static inline void crash_seeds(uint64_t *first, uint64_t *last, uint64_t usual)
{
	const char *one = getenv("QUIVER_SEED"), *many = getenv("QUIVER_SEEDS");

	*first = one != NULL ? strtoull(one, NULL, 10) : 1;
	*last = one != NULL ? *first : many != NULL ? strtoull(many, NULL, 10) : usual;
}

static inline int say_where(void **state)
{
	print_message("ended at seed %lu (QUIVER_SEED), mode %d, change %lu\n",
		      (unsigned long)at.seed, at.mode, (unsigned long)at.change);
	return 0;
}
