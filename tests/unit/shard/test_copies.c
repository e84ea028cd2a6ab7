/* Copies of a partition on several shards of one process, over real connections: writes reach all of
 * them, and what a node's absence, a full disk or a difference does to that. */
#include "tests/unit/shard/copies.h"
#include "base/clock.h"
#include "shard/host.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t must_count(struct copies *c, uint64_t node)
{
	uint64_t n;

	if (copies_try_count(c, node, &n))
		fail_msg("node %llu: %s", (unsigned long long)node, c->err.text);
	return n;
}

/* ---- all is well ---- */

static void writes_reach_every_copy(void **state)
{
	struct copies c;

	copies_start(&c, 3, 3, 2);
	copies_fill(&c, 0, 600, 20, "a");
	/* Answered means: the next search on any copy sees it. */
	for (uint64_t node = 1; node <= 3; node++)
		assert_int_equal(must_count(&c, node), 600);
	copies_fill(&c, 100, 50, 50, "b");
	copies_wait_equal(&c);
	assert_int_equal(must_count(&c, 3), 600);
	assert_int_equal(copies_config(&c).epoch, 1);
	assert_int_equal(copies_info(&c, 1).role, COPY_PRIMARY);
	assert_int_equal(copies_info(&c, 2).role, COPY_MEMBER);
	copies_fini(&c);
}

/* Writes that look at the state are resolved once, and are the same everywhere. */
static void resolved_writes_are_the_same_everywhere(void **state)
{
	struct copies c;
	struct rpc_write_response out;
	struct write w = {.op = {.type = OP_DELETE}};

	copies_start(&c, 2, 2, 1);
	copies_fill(&c, 0, 300, 30, "a");
	w.select = test_range(c.arena, 100, 200);
	assert_int_equal(copies_write(&c, &w, &out), 0);
	assert_int_equal(out.changed, 100);
	assert_int_equal(must_count(&c, 1), 200);
	assert_int_equal(must_count(&c, 2), 200);
	copies_wait_equal(&c);
	copies_fini(&c);
}

static void a_retry_is_answered_with_what_was_answered(void **state)
{
	struct copies c;
	struct rpc_write_response first, again;
	struct point_id id = test_id(5);
	struct write w = {
		.op = {.type = OP_DELETE, .n_ids = 1, .ids = &id, .batch_hi = 4, .batch_lo = 2}};

	copies_start(&c, 2, 2, 1);
	copies_fill(&c, 0, 20, 20, "a");
	assert_int_equal(copies_write(&c, &w, &first), 0);
	assert_int_equal(first.changed, 1);
	copies_wait_equal(&c);
	/* Also by the next primary: it has applied it itself. */
	copies_promote(&c, 2);
	assert_int_equal(copies_write(&c, &w, &again), 0);
	assert_int_equal(again.changed, 1);
	assert_int_equal(again.seq, first.seq);
	copies_wait_in_sync(&c, 1, true);
	copies_wait_equal(&c);
	copies_fini(&c);
}

/* ---- somebody is away ---- */

static void a_copy_that_is_away_leaves_and_comes_back(void **state)
{
	struct copies c;
	uint64_t n;

	copies_start(&c, 2, 2, 1);
	copies_fill(&c, 0, 200, 20, "a");
	copy_stop(&c, 2);
	copies_fill(&c, 200, 200, 20, "b"); /* goes on once it was dropped */
	copies_wait_in_sync(&c, 2, false);
	assert_int_equal(must_count(&c, 1), 400);
	copy_start(&c, 2);
	copies_wait_in_sync(&c, 2, true);
	copies_wait_equal(&c);
	assert_int_equal(copies_try_count(&c, 2, &n), 0);
	assert_int_equal(n, 400);
	copies_fini(&c);
}

static void a_copy_restarts_within_the_set(void **state)
{
	struct copies c;

	copies_start(&c, 3, 3, 3); /* may not shrink: writes wait */
	copies_fill(&c, 0, 100, 10, "a");
	copy_stop(&c, 3);
	copy_start(&c, 3);
	copies_fill(&c, 100, 100, 10, "a");
	copies_wait_equal(&c);
	assert_int_equal(must_count(&c, 3), 200);
	/* The primary itself: it opens again after a new epoch. */
	copy_stop(&c, 1);
	copy_start(&c, 1);
	copies_fill(&c, 200, 100, 10, "a");
	copies_wait_equal(&c);
	assert_int_equal(must_count(&c, 1), 300);
	assert_int_equal(must_count(&c, 2), 300);
	copies_fini(&c);
}

/* Until it is open nothing is begun on other threads, which an assertion holds. */
static void a_copy_that_replays_more_than_a_segment(void **state)
{
	struct copies c;

	copies_start(&c, 2, 2, 1);
	copies_fill(&c, 0, 190, 10, "a"); /* too few to be sealed when writes pause */
	copies_wait_equal(&c);
	copy_stop(&c, 2);
	c.nodes[1].seal_rows = 50;
	copy_start(&c, 2);
	copies_wait_in_sync(&c, 2, true);
	copies_fill(&c, 190, 20, 10, "b");
	copies_wait_equal(&c);
	assert_int_equal(must_count(&c, 2), 210);
	copies_fini(&c);
}

static void a_learner_catches_up_from_the_log(void **state)
{
	struct copies c;

	copies_start(&c, 2, 1, 1);
	copy_stop(&c, 2);
	copies_fill(&c, 0, 6000, 200, "a"); /* more than one message holds, sealed meanwhile */
	copies_fill(&c, 1000, 500, 100, "b");
	copy_start(&c, 2);
	copies_wait_in_sync(&c, 2, true);
	copies_wait_equal(&c);
	assert_int_equal(must_count(&c, 2), 6000);
	copies_fini(&c);
}

/* ---- another primary ---- */

static void a_member_takes_over(void **state)
{
	struct copies c;

	copies_start(&c, 3, 3, 2);
	copies_fill(&c, 0, 200, 20, "a");
	copy_stop(&c, 1);
	copies_promote(&c, 2);
	copies_fill(&c, 200, 200, 20, "b");
	assert_int_equal(must_count(&c, 2), 400);
	assert_int_equal(must_count(&c, 3), 400);
	copy_start(&c, 1);
	copies_wait_in_sync(&c, 1, true);
	copies_wait_equal(&c);
	assert_int_equal(must_count(&c, 1), 400);
	assert_int_equal(copies_info(&c, 1).role, COPY_MEMBER);
	copies_fini(&c);
}

struct late_write {
	struct copies *c;
	pthread_t thread;
	struct arena *arena;
	struct write w;
	struct point point;
	int rc;
};

/* One try, at the epoch of before. */
static void *write_late(void *arg)
{
	struct late_write *l = arg;
	struct rpc_write_request q = {{l->c->schema->id, 1, 0, 1}, &l->w};
	struct rpc_write_response out = {0};

	l->rc = copies_call(l->c, 1, RPC_TYPE_write, &q, &out);
	return NULL;
}

/* A primary that is cut off cannot acknowledge, nor answer reads when others may know more; what it had
 * taken is cut off its log when it comes back. */
static void a_primary_that_was_cut_off_loses_its_tail(void **state)
{
	struct copies c;
	struct late_write late = {.c = &c};
	const float v[8] = {1};
	uint64_t n;

	copies_start(&c, 3, 3, 2);
	copies_fill(&c, 0, 100, 10, "a");
	copies_wait_equal(&c);
	copy_cut(&c, 1, true);
	test_point(c.arena, &late.point, 5000, v, 8, test_payload(c.arena, 5000, "lost"));
	late.w.op = (struct op){.type = OP_UPSERT, .n_points = 1, .points = &late.point};
	assert_int_equal(pthread_create(&late.thread, NULL, write_late, &late), 0);
	usleep(100000); /* it gets into the log of node 1; if not, it is refused and that is as well */
	copies_promote(&c, 2);
	copies_fill(&c, 100, 100, 10, "b");
	assert_int_equal(must_count(&c, 3), 200);
	while (copies_info(&c, 1).serves)
		usleep(10000);
	assert_int_equal(copies_try_count(&c, 1, &n), ERR_UNAVAILABLE);
	copy_cut(&c, 1, false);
	pthread_join(late.thread, NULL);
	assert_int_not_equal(late.rc, 0);
	copies_wait_in_sync(&c, 1, true);
	copies_wait_equal(&c);
	for (uint64_t node = 1; node <= 3; node++)
		assert_int_equal(must_count(&c, node), 200);
	copies_fini(&c);
}

/* ---- something is wrong with a copy ---- */

static void a_full_disk_on_a_copy(void **state)
{
	struct copies c;

	copies_start(&c, 2, 2, 1);
	copies_fill(&c, 0, 100, 10, "a");
	c.nodes[1].faults = (struct fault_plan){.ops = FAULT_WRITE | FAULT_ALLOCATE,
						.at = 1,
						.code = ERR_DISK_FULL,
						.lasting = true};
	copies_fill(&c, 100, 100, 10, "b"); /* it is dropped, and writes go on */
	copies_wait_in_sync(&c, 2, false);
	assert_int_equal(must_count(&c, 1), 200);
	c.nodes[1].faults = (struct fault_plan){0};
	copies_wait_in_sync(&c, 2, true);
	copies_wait_equal(&c);
	assert_int_equal(must_count(&c, 2), 200);
	copies_fini(&c);
}

/* Refused because the primary's disk is full: it is nowhere. */
static void a_full_disk_on_the_primary(void **state)
{
	struct copies c;
	const float v[8] = {1};
	struct point p;
	struct write w = {.op = {.type = OP_UPSERT, .n_points = 1, .points = &p}};
	struct rpc_write_response out;

	copies_start(&c, 2, 2, 1);
	copies_fill(&c, 0, 100, 10, "a");
	copies_wait_equal(&c);
	c.nodes[0].faults = (struct fault_plan){.ops = FAULT_WRITE | FAULT_ALLOCATE,
						.at = 1,
						.code = ERR_DISK_FULL,
						.lasting = true};
	test_point(c.arena, &p, 7777, v, 8, test_payload(c.arena, 7777, "refused"));
	assert_int_equal(copies_write(&c, &w, &out), ERR_DISK_FULL);
	c.nodes[0].faults = (struct fault_plan){0};
	copies_fill(&c, 100, 100, 10, "b");
	copies_wait_equal(&c);
	assert_int_equal(must_count(&c, 1), 200);
	assert_int_equal(must_count(&c, 2), 200);
	copies_fini(&c);
}

/* It refuses what it has no room for, and takes it when rows were sealed. */
static void a_copy_without_memory_takes_its_time(void **state)
{
	struct copies c;

	copies_start(&c, 2, 2, 1);
	copy_stop(&c, 2);
	c.nodes[1].memory_limit_bytes = 64 << 10;
	copy_start(&c, 2);
	copies_fill(&c, 0, 3000, 50, "a");
	copies_wait_in_sync(&c, 2, true);
	copies_wait_equal(&c);
	assert_int_equal(must_count(&c, 2), 3000);
	copies_fini(&c);
}

struct spoil {
	struct task task;
	sem_t done;
};

static void spoil_on_loop(struct task *t)
{
	struct spoil *s = (struct spoil *)(void *)t;

	t->h->state.digest ^= 1;
	sem_post(&s->done);
}

static void a_copy_that_differs_is_made_anew(void **state)
{
	struct copies c;
	struct spoil s = {.task = {.done = spoil_on_loop, .shard = NULL}};

	copies_start(&c, 2, 2, 1);
	copies_fill(&c, 0, 1500, 50, "a");
	copies_wait_equal(&c);
	s.task.shard = c.nodes[1].shard;
	s.task.h = table_find(s.task.shard, c.schema->id, 0);
	sem_init(&s.done, 0, 0);
	task_to_loop(&s.task);
	while (sem_wait(&s.done))
		;
	hosted_unref(s.task.h);
	sem_destroy(&s.done);
	copies_wait_in_sync(&c, 2, false); /* found without any write */
	copies_fill(&c, 1500, 100, 50, "b");
	copies_wait_in_sync(&c, 2, true);
	copies_wait_equal(&c);
	assert_int_equal(must_count(&c, 2), 1600);
	copies_fini(&c);
}

/* ---- all at once ---- */

enum { WRITERS = 4, WRITER_POINTS = 400 };
struct writer {
	struct copies *c;
	pthread_t thread;
	uint64_t base;
};
struct readers {
	struct copies *c;
	pthread_t thread;
	atomic_bool stop;
	uint64_t answered, refused;
};

static void *write_all(void *arg)
{
	struct writer *w = arg;

	copies_fill(w->c, w->base, WRITER_POINTS, 8, "w");
	return NULL;
}

static void *read_all(void *arg)
{
	struct readers *r = arg;
	struct arena *arena = arena_new(1024);

	while (!r->stop)
		for (uint64_t node = 1; node <= r->c->n; node++) {
			uint64_t n = copies_count_in(r->c, node, arena);

			r->answered += n != UINT64_MAX;
			r->refused += n == UINT64_MAX;
			arena_reset(arena);
		}
	arena_free(arena);
	return NULL;
}

static void writers_start(struct copies *c, struct writer *w)
{
	for (uint64_t i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){.c = c, .base = i * 100000};
		assert_int_equal(pthread_create(&w[i].thread, NULL, write_all, &w[i]), 0);
	}
}

/* Every write was acknowledged in the end: all must be there, once, on every copy. */
static void writers_end(struct copies *c, struct writer *w)
{
	for (int i = 0; i < WRITERS; i++)
		pthread_join(w[i].thread, NULL);
	for (uint64_t node = 1; node <= c->n; node++)
		copies_wait_in_sync(c, node, true);
	copies_wait_equal(c);
	for (uint64_t node = 1; node <= c->n; node++)
		assert_int_equal(must_count(c, node), WRITERS * WRITER_POINTS);
}

static void many_write_and_read_at_once(void **state)
{
	struct copies c;
	struct writer w[WRITERS];
	struct readers r = {.c = &c};

	copies_start(&c, 2, 2, 1);
	assert_int_equal(pthread_create(&r.thread, NULL, read_all, &r), 0);
	writers_start(&c, w);
	writers_end(&c, w);
	r.stop = true;
	pthread_join(r.thread, NULL);
	assert_true(r.answered > 0);
	copies_fini(&c);
}

static void copies_come_and_go_under_writes(void **state)
{
	struct copies c;
	struct writer w[WRITERS];

	copies_start(&c, 3, 3, 1);
	writers_start(&c, w);
	copy_stop(&c, 3);
	copies_wait_in_sync(&c, 3, false);
	copy_start(&c, 3);
	copies_wait_in_sync(&c, 3, true);
	copy_stop(&c, 1);
	copies_promote(&c, 2);
	copy_start(&c, 1);
	copies_wait_in_sync(&c, 1, true);
	copy_cut(&c, 2, true);
	copies_promote(&c, 3);
	usleep(300000);
	copy_cut(&c, 2, false);
	writers_end(&c, w);
	copies_fini(&c);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_reach_every_copy),
		cmocka_unit_test(resolved_writes_are_the_same_everywhere),
		cmocka_unit_test(a_retry_is_answered_with_what_was_answered),
		cmocka_unit_test(a_copy_that_is_away_leaves_and_comes_back),
		cmocka_unit_test(a_copy_restarts_within_the_set),
		cmocka_unit_test(a_copy_that_replays_more_than_a_segment),
		cmocka_unit_test(a_learner_catches_up_from_the_log),
		cmocka_unit_test(a_member_takes_over),
		cmocka_unit_test(a_primary_that_was_cut_off_loses_its_tail),
		cmocka_unit_test(a_full_disk_on_a_copy),
		cmocka_unit_test(a_full_disk_on_the_primary),
		cmocka_unit_test(a_copy_without_memory_takes_its_time),
		cmocka_unit_test(a_copy_that_differs_is_made_anew),
		cmocka_unit_test(many_write_and_read_at_once),
		cmocka_unit_test(copies_come_and_go_under_writes),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
