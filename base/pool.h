/* Worker pool: a fixed number of threads that run tasks. Two lanes: LANE_SEARCH is served first,
 * LANE_BACKGROUND (index builds, compaction) runs at low operating-system priority on its own
 * threads, so that it never holds a search back. */
#pragma once
#include "base/error.h"
#include <stddef.h>

struct pool;
enum pool_lane { LANE_SEARCH, LANE_BACKGROUND };

/* Both counts are at least 1. */
int pool_new(struct pool **out, size_t search_threads, size_t background_threads,
	     struct error *err);
void pool_free(struct pool *p); /* waits for running tasks; queued tasks are run first; NULL ok */
/* Runs fn(arg) on a worker. Never blocks. Returns 0, or ERR_CLOSED once pool_free has begun. */
int pool_submit(struct pool *p, enum pool_lane lane, void (*fn)(void *arg), void *arg);
/* Runs fn(ctx, i) for i in [0, n) on the search workers *and* the calling thread; returns when all
 * are done. May be called from a worker: the caller waits only for calls that already run. */
void pool_parallel(struct pool *p, size_t n, void (*fn)(void *ctx, size_t i), void *ctx);
size_t pool_search_threads(const struct pool *p);
