/* The replica machine without copies: no thread, no file. With copies: test_replica_primary.c, test_replica_follower.c. */
#include "tests/unit/unit.h"
#include "base/error.h"
#include "base/prng.h"
#include "shard/replica.h"
#include <string.h>

static const struct replica_limits limits = {
	.seal_rows = 100,
	.seal_bytes = 1 << 20,
	.seal_idle_us = 1000,
	.seal_min_rows = 10,
	.seal_log_bytes = 1 << 30,
	.append_bytes = 1000,
};

struct machine {
	struct replica r;
	struct replica_update u;
};

static void step(struct machine *m, struct replica_event e)
{
	e.may_seal = true;
	replica_step(&m->r, &e, &m->u);
}

static void begin(struct machine *m, uint64_t epoch)
{
	struct map_partition config = {
		.epoch = epoch, .primary = 1, .in_sync = {1}, .n_in_sync = 1, .min_isr = 1};

	step(m, (struct replica_event){.type = EVENT_CONFIG, .now_us = 1, .config = &config});
	assert_true(m->u.disk_job);
	assert_int_equal(m->u.store_epoch, epoch);
	step(m, (struct replica_event){.type = EVENT_DURABLE});
}

static void setup(struct machine *m)
{
	memset(m, 0, sizeof *m);
	replica_init(&m->r, 1, &limits);
	begin(m, 5);
}

static void write_one(struct machine *m, struct replica_write *w)
{
	if (w->bytes == 0 && !w->needs_state)
		w->bytes = 10;
	step(m, (struct replica_event){.type = EVENT_WRITE, .write = w});
}

static void durable(struct machine *m, uint64_t seq)
{
	step(m, (struct replica_event){.type = EVENT_DURABLE, .seq = seq});
}

static void applied(struct machine *m, uint64_t seq)
{
	step(m,
	     (struct replica_event){.type = EVENT_APPLIED, .seq = seq, .now_us = 10, .wall_us = 20});
}

static uint32_t length(const struct write_list *l)
{
	uint32_t n = 0;

	for (const struct replica_write *w = l->first; w; w = w->next)
		n++;
	return n;
}

static uint32_t answers(const struct replica_update *u)
{
	uint32_t n = 0;

	for (const struct replica_write *w = u->answer; w; w = w->next_answer)
		n++;
	return n;
}

static void nothing_is_applied_before_durable_nor_answered_before_applied(void **state)
{
	struct machine m;
	struct replica_write a = {0};

	setup(&m);
	write_one(&m, &a);
	assert_ptr_equal(m.u.append.first, &a);
	assert_int_equal(a.seq, 1);
	assert_int_equal(a.epoch, 5);
	assert_null(m.u.apply.first);
	assert_null(m.u.answer);
	durable(&m, 1);
	assert_ptr_equal(m.u.apply.first, &a);
	assert_null(m.u.answer);
	applied(&m, 1);
	assert_ptr_equal(m.u.answer, &a);
	assert_int_equal(a.rc, 0);
	assert_true(replica_quiet(&m.r));
	replica_fini(&m.r);
	(void)state;
}

static void writes_gather_while_the_disk_is_busy(void **state)
{
	struct machine m;
	struct replica_write w[4] = {0};

	setup(&m);
	for (int i = 0; i < 4; i++) {
		write_one(&m, &w[i]);
		assert_int_equal(length(&m.u.append), i == 0);
	}
	durable(&m, 1);
	assert_int_equal(length(&m.u.apply), 1);
	assert_int_equal(length(&m.u.append), 3); /* goes on while the first is being applied */
	applied(&m, 1);
	durable(&m, 4);
	assert_int_equal(length(&m.u.apply), 3);
	applied(&m, 4);
	assert_int_equal(answers(&m.u), 3);
	replica_fini(&m.r);
	(void)state;
}

static void large_appends_are_split(void **state)
{
	struct machine m;
	struct replica_write w[4] = {0};

	setup(&m);
	for (int i = 0; i < 4; i++) {
		w[i].bytes = i == 3 ? 5000 : 600;
		write_one(&m, &w[i]);
	}
	durable(&m, 1);
	assert_int_equal(length(&m.u.append), 1);
	applied(&m, 1);
	durable(&m, 2);
	assert_int_equal(length(&m.u.append), 1);
	applied(&m, 2);
	durable(&m, 3);
	assert_int_equal(length(&m.u.append), 1); /* larger than the limit, but alone */
	replica_fini(&m.r);
	(void)state;
}

static void refused_append_gives_its_numbers_back(void **state)
{
	struct machine m;
	struct replica_write w[4] = {0};

	setup(&m);
	write_one(&m, &w[0]);
	write_one(&m, &w[1]);
	step(&m, (struct replica_event){.type = EVENT_APPEND_FAILED, .rc = ERR_DISK_FULL});
	assert_ptr_equal(m.u.answer, &w[0]);
	assert_int_equal(w[0].rc, ERR_DISK_FULL);
	assert_ptr_equal(m.u.append.first, &w[1]);
	assert_int_equal(w[1].seq, 1);
	durable(&m, 1);
	applied(&m, 1);
	assert_int_equal(w[1].rc, 0);
	assert_int_equal(m.r.last_seq, 1);
	replica_fini(&m.r);
	(void)state;
}

static void writes_that_look_at_the_state_wait_for_it(void **state)
{
	struct machine m;
	struct replica_write a = {0}, by_filter = {.needs_state = true}, b = {0};

	setup(&m);
	write_one(&m, &a);
	write_one(&m, &by_filter);
	write_one(&m, &b);
	durable(&m, 1);
	assert_null(m.u.resolve);      /* a is not applied yet */
	assert_null(m.u.append.first); /* and b must not overtake */
	applied(&m, 1);
	assert_ptr_equal(m.u.resolve, &by_filter);
	by_filter.bytes = 30;
	step(&m, (struct replica_event){.type = EVENT_RESOLVED, .write = &by_filter});
	assert_ptr_equal(m.u.append.first, &by_filter);
	assert_ptr_equal(m.u.append.last, &b);
	durable(&m, 3);
	applied(&m, 3);
	assert_int_equal(by_filter.seq, 2);
	assert_int_equal(b.seq, 3);
	replica_fini(&m.r);
	(void)state;
}

static void resolved_to_nothing_is_answered_without_a_record(void **state)
{
	struct machine m;
	struct replica_write by_filter = {.needs_state = true}, b = {0};

	setup(&m);
	write_one(&m, &by_filter);
	assert_ptr_equal(m.u.resolve, &by_filter);
	write_one(&m, &b);
	assert_null(m.u.append.first);
	step(&m, (struct replica_event){.type = EVENT_RESOLVED, .write = &by_filter});
	assert_ptr_equal(m.u.answer, &by_filter);
	assert_int_equal(by_filter.rc, 0);
	assert_ptr_equal(m.u.append.first, &b);
	assert_int_equal(b.seq, 1);
	replica_fini(&m.r);
	(void)state;
}

static void repeated_batch_is_answered_as_before(void **state)
{
	struct machine m;
	struct replica_write a = {.batch_lo = 9}, again = {.batch_lo = 9}, third = {.batch_lo = 9};

	setup(&m);
	write_one(&m, &a);
	write_one(&m, &again); /* its first copy is on its way */
	durable(&m, 1);
	assert_null(m.u.append.first);
	a.changed = 12;
	applied(&m, 1);
	assert_ptr_equal(m.u.answer, &a);
	assert_ptr_equal(m.u.answer->next_answer, &again);
	assert_int_equal(again.seq, 1);
	assert_int_equal(again.changed, 12);
	write_one(&m, &third);
	assert_ptr_equal(m.u.answer, &third);
	assert_int_equal(third.seq, 1);
	assert_int_equal(m.r.last_seq, 1);
	/* after ten minutes it is a new write */
	struct replica_write late = {.batch_lo = 9};
	step(&m, (struct replica_event){.type = EVENT_TICK, .wall_us = 20 + BATCHES_KEEP_US + 1});
	write_one(&m, &late);
	assert_int_equal(late.seq, 2);
	replica_fini(&m.r);
	(void)state;
}

static void seals_when_full_or_idle(void **state)
{
	struct machine m;
	struct replica_write a = {0}, b = {0};
	struct replica_event e = {.type = EVENT_APPLIED, .seq = 1, .mutable_rows = 99, .now_us = 1};

	setup(&m);
	write_one(&m, &a);
	durable(&m, 1);
	step(&m, e);
	assert_false(m.u.seal);
	e.type = EVENT_TICK;
	e.now_us = 500;
	step(&m, e);
	assert_false(m.u.seal);
	e.now_us = 1001;
	step(&m, e);
	assert_true(m.u.seal);
	e.mutable_rows = 9; /* too few to be worth a segment */
	e.now_us = 9999;
	step(&m, e);
	assert_false(m.u.seal);
	e.killed_rows = 10; /* but many deaths are worth a manifest */
	step(&m, e);
	assert_true(m.u.seal);
	write_one(&m, &b);
	durable(&m, 2);
	e = (struct replica_event){.type = EVENT_APPLIED,
				   .seq = 2,
				   .mutable_rows = 100,
				   .now_us = 10000};
	step(&m, e);
	assert_true(m.u.seal);
	replica_fini(&m.r);
	(void)state;
}

static void closing_refuses_the_queue_and_finishes_the_rest(void **state)
{
	struct machine m;
	struct replica_write a = {0}, b = {0}, c = {0};

	setup(&m);
	write_one(&m, &a);
	write_one(&m, &b);
	step(&m, (struct replica_event){.type = EVENT_CLOSE});
	assert_ptr_equal(m.u.answer, &b);
	assert_int_equal(b.rc, ERR_CLOSED);
	assert_false(replica_quiet(&m.r));
	write_one(&m, &c);
	assert_int_equal(c.rc, ERR_CLOSED);
	durable(&m, 1);
	applied(&m, 1);
	assert_int_equal(a.rc, 0);
	assert_true(replica_quiet(&m.r));
	replica_fini(&m.r);
	(void)state;
}

/* ---- a random run: every write is answered once; the log, what was applied and what was answered
 * agree ---- */

enum { RANDOM_WRITES = 300 };

struct run {
	struct machine m;
	struct prng random;
	struct replica_write writes[RANDOM_WRITES];
	uint8_t answered[RANDOM_WRITES], released[RANDOM_WRITES];
	uint64_t log[RANDOM_WRITES + 1]; /* seq -> index + 1 */
	uint64_t log_end, applied;
	struct write_list append; /* on its way to the disk */
};

static void handle_update(struct run *run);

static void feed(struct run *run, struct replica_event e)
{
	step(&run->m, e);
	handle_update(run);
}

static void handle_update(struct run *run)
{
	struct replica_update u = run->m.u;
	struct replica_write *w;

	if (u.append.first) {
		assert_null(run->append.first);
		run->append = u.append;
	}
	for (w = u.apply.first; w; w = w->next) {
		run->applied++;
		assert_int_equal(w->seq, run->applied);
		assert_true(run->applied <= run->log_end);
		assert_int_equal(run->log[run->applied], (uint64_t)(w - run->writes) + 1);
	}
	uint64_t last = u.apply.last ? u.apply.last->seq : 0;
	for (w = u.answer; w; w = w->next_answer) {
		assert_int_equal(run->answered[w - run->writes]++, 0);
		if (w->rc == 0)
			assert_true(w->seq <= run->applied);
	}
	while ((w = write_list_pop(&u.release)))
		assert_int_equal(run->released[w - run->writes]++, 0);
	if (u.resolve) {
		assert_int_equal(run->applied, run->m.r.last_seq);
		u.resolve->bytes = prng_below(&run->random, 3) * 10;
		feed(run,
		     (struct replica_event){.type = EVENT_RESOLVED,
					    .write = u.resolve,
					    .rc = prng_below(&run->random, 10) == 0 ? ERR_TOO_LARGE
										    : 0});
	}
	if (last)
		feed(run, (struct replica_event){.type = EVENT_APPLIED, .seq = last});
}

static void disk_answers(struct run *run)
{
	struct write_list list = run->append;

	if (!list.first)
		return;
	run->append = (struct write_list){0};
	if (prng_below(&run->random, 5) == 0) {
		feed(run, (struct replica_event){.type = EVENT_APPEND_FAILED, .rc = ERR_IO});
		return;
	}
	for (struct replica_write *w = list.first; w; w = w->next) {
		assert_int_equal(w->seq, run->log_end + 1);
		run->log[++run->log_end] = (uint64_t)(w - run->writes) + 1;
	}
	feed(run, (struct replica_event){.type = EVENT_DURABLE, .seq = run->log_end});
}

static void random_run(uint64_t seed)
{
	static struct run run;
	uint32_t n = 0;

	memset(&run, 0, sizeof run);
	prng_seed(&run.random, seed);
	replica_init(&run.m.r, 1, &limits);
	begin(&run.m, 1);
	while (n < RANDOM_WRITES) {
		if (prng_below(&run.random, 3) == 0) {
			disk_answers(&run);
			continue;
		}
		run.writes[n].bytes = 1 + prng_below(&run.random, 400);
		run.writes[n].needs_state = prng_below(&run.random, 4) == 0;
		run.writes[n].batch_lo = prng_below(&run.random, 50);
		feed(&run, (struct replica_event){.type = EVENT_WRITE, .write = &run.writes[n++]});
	}
	while (run.append.first)
		disk_answers(&run);
	assert_true(replica_quiet(&run.m.r));
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(run.answered[i] * 2 + run.released[i], 3);
	for (uint64_t seq = 1; seq <= run.log_end; seq++) { /* no batch twice in the log */
		const struct replica_write *a = &run.writes[run.log[seq] - 1];

		for (uint64_t other = seq + 1; other <= run.log_end && a->batch_lo; other++)
			assert_int_not_equal(run.writes[run.log[other] - 1].batch_lo, a->batch_lo);
	}
	replica_fini(&run.m.r);
}

static void random_runs_keep_the_promises(void **state)
{
	for (uint64_t seed = 1; seed <= 100; seed++)
		random_run(seed);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_applied_before_durable_nor_answered_before_applied),
		cmocka_unit_test(writes_gather_while_the_disk_is_busy),
		cmocka_unit_test(large_appends_are_split),
		cmocka_unit_test(refused_append_gives_its_numbers_back),
		cmocka_unit_test(writes_that_look_at_the_state_wait_for_it),
		cmocka_unit_test(resolved_to_nothing_is_answered_without_a_record),
		cmocka_unit_test(repeated_batch_is_answered_as_before),
		cmocka_unit_test(seals_when_full_or_idle),
		cmocka_unit_test(closing_refuses_the_queue_and_finishes_the_rest),
		cmocka_unit_test(random_runs_keep_the_promises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
