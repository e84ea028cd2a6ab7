/* Worker pool: every task runs once, nesting does not deadlock, background work has its own
 * low-priority threads. */
#include "tests/unit/unit.h"
#include "base/pool.h"
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

static void add_one(void *arg)
{
	__atomic_fetch_add((int *)arg, 1, __ATOMIC_RELAXED);
}

static void freeing_runs_what_is_queued(void **state)
{
	struct pool *p;
	int search = 0, background = 0;
	assert_int_equal(pool_new(&p, 2, 1, NULL), 0);
	assert_int_equal(pool_search_threads(p), 2);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(pool_submit(p, LANE_SEARCH, add_one, &search), 0);
		assert_int_equal(pool_submit(p, LANE_BACKGROUND, add_one, &background), 0);
	}
	pool_free(p);
	assert_int_equal(search, 1000);
	assert_int_equal(background, 1000);
	pool_free(NULL);
}

static void zero_threads_are_refused(void **state)
{
	struct pool *p;
	struct error err = {0};
	assert_int_equal(pool_new(&p, 0, 1, &err), ERR_INPUT);
	assert_null(p);
	assert_true(err.text[0] != '\0');
	assert_int_equal(pool_new(&p, 1, 0, NULL), ERR_INPUT);
}

struct late {
	struct pool *pool;
	int started;
	int go;
	int rc;
};

static void submit_late(void *arg)
{
	struct late *late = arg;
	__atomic_store_n(&late->started, 1, __ATOMIC_RELEASE);
	/* Tries until pool_free has begun; what is accepted before that still runs. */
	while ((late->rc = pool_submit(late->pool, LANE_BACKGROUND, add_one, &late->go)) == 0)
		sched_yield();
}

static void a_closing_pool_takes_nothing_more(void **state)
{
	struct late late = {0};
	assert_int_equal(pool_new(&late.pool, 1, 1, NULL), 0);
	assert_int_equal(pool_submit(late.pool, LANE_SEARCH, submit_late, &late), 0);
	while (!__atomic_load_n(&late.started, __ATOMIC_ACQUIRE))
		sched_yield();
	pool_free(late.pool);
	assert_int_equal(late.rc, ERR_CLOSED);
}

enum { N = 5000 };
struct marks {
	int seen[N];
};

static void mark(void *ctx, size_t i)
{
	struct marks *marks = ctx;
	__atomic_fetch_add(&marks->seen[i], 1, __ATOMIC_RELAXED);
}

static void parallel_runs_every_number_once(void **state)
{
	static const size_t counts[] = {0, 1, 2, 3, 7, 64, N};
	struct pool *p;
	assert_int_equal(pool_new(&p, 3, 1, NULL), 0);
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		struct marks marks = {{0}};
		pool_parallel(p, counts[c], mark, &marks);
		for (size_t i = 0; i < N; i++)
			assert_int_equal(marks.seen[i], i < counts[c]);
	}
	pool_free(p);
}

struct nest {
	struct pool *pool;
	int total;
};

static void count_inner(void *ctx, size_t i)
{
	add_one(&((struct nest *)ctx)->total);
}

static void nest_once_more(void *ctx, size_t i)
{
	pool_parallel(((struct nest *)ctx)->pool, 10, count_inner, ctx);
}

static void nest_from_a_worker(void *arg)
{
	pool_parallel(((struct nest *)arg)->pool, 10, nest_once_more, arg);
}

static void parallel_inside_of_workers_does_not_deadlock(void **state)
{
	struct nest nest = {0};
	assert_int_equal(pool_new(&nest.pool, 2, 1, NULL), 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(pool_submit(nest.pool, LANE_SEARCH, nest_from_a_worker, &nest), 0);
	pool_parallel(nest.pool, 10, nest_once_more, &nest);
	pool_free(nest.pool);
	assert_int_equal(nest.total, 50 * 100 + 100);
}

struct meeting {
	int arrived;
};

/* Returns only when two calls run at the same time. */
static void meet(void *ctx, size_t i)
{
	struct meeting *meeting = ctx;
	__atomic_fetch_add(&meeting->arrived, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&meeting->arrived, __ATOMIC_SEQ_CST) < 2)
		sched_yield();
}

static void parallel_uses_the_workers(void **state)
{
	struct pool *p;
	struct meeting meeting = {0};
	assert_int_equal(pool_new(&p, 1, 1, NULL), 0);
	pool_parallel(p, 2, meet, &meeting);
	assert_int_equal(meeting.arrived, 2);
	pool_free(p);
}

static void note_priority(void *arg)
{
	*(int *)arg = getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void background_threads_have_low_priority(void **state)
{
	struct pool *p;
	int search = -99, background = -99;
	int own = getpriority(PRIO_PROCESS, 0);
	assert_int_equal(pool_new(&p, 1, 1, NULL), 0);
	pool_submit(p, LANE_SEARCH, note_priority, &search);
	pool_submit(p, LANE_BACKGROUND, note_priority, &background);
	pool_free(p);
	assert_int_equal(search, own);
	assert_int_equal(background, own > 10 ? own : 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(freeing_runs_what_is_queued),
		cmocka_unit_test(zero_threads_are_refused),
		cmocka_unit_test(a_closing_pool_takes_nothing_more),
		cmocka_unit_test(parallel_runs_every_number_once),
		cmocka_unit_test(parallel_inside_of_workers_does_not_deadlock),
		cmocka_unit_test(parallel_uses_the_workers),
		cmocka_unit_test(background_threads_have_low_priority),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
