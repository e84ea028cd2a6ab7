/* An arena for each test: its setup and teardown. */
#pragma once
#include "tests/unit/unit.h"
#include "base/arena.h"

static struct arena *arena;

static inline int fresh(void **state)
{
	arena = arena_new(0);
	(void)state;
	return 0;
}

static inline int clean(void **state)
{
	arena_free(arena);
	(void)state;
	return 0;
}
