/* The follower: which appends it takes, what it answers, and until when it may answer reads. */
#include "tests/unit/shard/replica_rig.h"

/* Replica 2, a member next to primary 1 at `epoch`, with `last` durable entries of it, `applied` of them applied. */
static void follow(struct rig *g, uint64_t epoch, uint64_t applied, uint64_t last)
{
	rig_start(g, 2, epoch, applied, last, epoch);
	rig_config(g, epoch, "1 2");
	assert_int_equal(replica_role(&g->r), REPLICA_MEMBER);
}

static struct replica_append from_1(uint64_t epoch, uint64_t prev_seq, uint64_t prev_epoch,
				    uint64_t commit)
{
	return (struct replica_append){.epoch = epoch,
				       .from = 1,
				       .prev_seq = prev_seq,
				       .prev_epoch = prev_epoch,
				       .commit_seq = commit,
				       .in_sync = true};
}

static const struct replica_append_answer *replied(const struct rig *g)
{
	assert_int_equal(g->u.n_reply, 1);
	assert_int_equal(g->u.reply[0].rc, 0);
	return &g->u.reply[0].answer;
}

static void records_are_acknowledged_when_durable_and_applied_when_committed(void **state)
{
	struct rig g;

	follow(&g, 3, 4, 4);
	rig_append(&g, from_1(3, 4, 3, 4), 2, 3);
	assert_true(g.u.disk_job);
	assert_int_equal(g.u.append.first->seq, 5);
	assert_int_equal(g.u.append.last->seq, 6);
	assert_int_equal(g.u.n_reply, 0);
	rig_disk(&g);
	assert_int_equal(replied(&g)->status, APPEND_OK);
	assert_int_equal(replied(&g)->durable_seq, 6);
	assert_null(g.u.apply.first);
	rig_append(&g, from_1(3, 6, 3, 5), 0, 0);
	assert_int_equal(g.u.apply.last->seq, 5);
	assert_int_equal(g.u.n_reply, 0); /* the answer tells that it is applied */
	rig_apply(&g);
	assert_int_equal(replied(&g)->applied_seq, 5);
	assert_int_equal(g.u.release.first->seq, 5);
	rig_end(&g);
	(void)state;
}

static void an_older_epoch_is_refused_and_a_newer_one_stored_first(void **state)
{
	struct rig g;

	follow(&g, 3, 4, 4);
	rig_append(&g, from_1(2, 4, 2, 4), 1, 2);
	assert_int_equal(replied(&g)->status, APPEND_STALE);
	assert_int_equal(replied(&g)->epoch, 3);
	rig_free(&g.u.release);
	rig_append(&g, from_1(5, 4, 3, 4), 0, 0);
	assert_int_equal(g.u.store_epoch, 5);
	assert_int_equal(g.u.n_reply, 0);
	rig_disk(&g);
	assert_int_equal(replied(&g)->epoch, 5);
	rig_append(&g, from_1(3, 4, 3, 4), 0, 0);
	assert_int_equal(replied(&g)->status, APPEND_STALE);
	rig_end(&g);
	(void)state;
}

static void a_gap_is_answered_with_where_the_logs_may_agree(void **state)
{
	struct rig g;

	follow(&g, 3, 4, 6);
	rig_append(&g, from_1(3, 9, 3, 9), 1, 3);
	assert_int_equal(replied(&g)->status, APPEND_MISMATCH);
	assert_int_equal(replied(&g)->hint_seq, 6);
	rig_free(&g.u.release);
	/* 5 and 6 are of an epoch that lost: it steps over all of it, not below what is committed */
	rig_append(&g, from_1(5, 6, 4, 4), 1, 5);
	rig_free(&g.u.release);
	rig_disk(&g);
	assert_int_equal(replied(&g)->status, APPEND_MISMATCH);
	assert_int_equal(replied(&g)->hint_seq, 4);
	rig_end(&g);
	(void)state;
}

static void a_losing_tail_is_cut_in_the_job_that_appends(void **state)
{
	struct rig g;

	follow(&g, 3, 4, 7);
	rig_append(&g, from_1(5, 5, 3, 4), 1, 5);
	assert_true(g.u.truncate);
	assert_int_equal(g.u.truncate_after, 5);
	assert_int_equal(g.u.append.first->seq, 6);
	assert_int_equal(g.u.release.first->seq, 6); /* the old 6 and 7 */
	assert_int_equal(g.u.release.last->seq, 7);
	rig_free(&g.u.release);
	rig_disk(&g);
	assert_int_equal(replied(&g)->durable_seq, 6);
	assert_int_equal(g.r.last_epoch, 5);
	rig_end(&g);
	(void)state;
}

/* A tail that the append says nothing of is neither acknowledged nor committed, and not cut either. */
static void only_what_agrees_is_acknowledged(void **state)
{
	struct rig g;

	follow(&g, 3, 4, 7);
	rig_append(&g, from_1(5, 5, 3, 7), 0, 0);
	assert_false(g.u.truncate);
	assert_int_equal(g.u.apply.last->seq, 5);
	rig_apply(&g);
	rig_free(&g.u.release);
	rig_disk(&g);
	assert_int_equal(replied(&g)->durable_seq, 5);
	assert_int_equal(replied(&g)->applied_seq, 5);
	assert_int_equal(g.r.last_seq, 7);
	rig_end(&g);
	(void)state;
}

static void a_late_append_does_not_cut_what_came_after_it(void **state)
{
	struct rig g;

	follow(&g, 3, 4, 4);
	rig_append(&g, from_1(3, 4, 3, 4), 3, 3);
	rig_disk(&g);
	rig_append(&g, from_1(3, 4, 3, 4), 1, 3);
	assert_false(g.u.disk_job);
	assert_int_equal(replied(&g)->durable_seq, 7);
	rig_end(&g);
	(void)state;
}

static void what_contradicts_committed_entries_is_never_taken(void **state)
{
	struct rig g;

	follow(&g, 3, 4, 4);
	rig_append(&g, from_1(5, 3, 3, 4), 1, 5);
	assert_false(g.u.truncate);
	assert_null(g.u.append.first);
	rig_free(&g.u.release);
	rig_disk(&g);
	assert_int_equal(replied(&g)->status, APPEND_DIVERGED);
	assert_int_equal(replica_serves_until(&g.r), 0);
	rig_end(&g);
	(void)state;
}

static void while_the_disk_is_busy_the_newest_append_waits(void **state)
{
	struct rig g;

	follow(&g, 3, 4, 4);
	rig_append(&g, from_1(3, 4, 3, 4), 1, 3);
	rig_append(&g, from_1(3, 4, 3, 4), 2, 3);
	assert_int_equal(g.u.n_reply, 0);
	rig_append(&g, from_1(3, 4, 3, 4), 3, 3);
	assert_int_equal(g.u.n_reply, 1);
	assert_int_equal(g.u.reply[0].rc, ERR_BUSY);
	rig_free(&g.u.release);
	rig_step(&g, (struct replica_event){.type = EVENT_DURABLE, .seq = 5});
	assert_int_equal(replied(&g)->durable_seq, 5);
	assert_int_equal(g.u.append.first->seq, 6);
	assert_int_equal(g.u.append.last->seq, 7);
	rig_free(&g.u.release);
	rig_disk(&g);
	assert_int_equal(replied(&g)->durable_seq, 7);
	rig_end(&g);
	(void)state;
}

static void a_full_disk_is_told_and_leaves_nothing(void **state)
{
	struct rig g;

	follow(&g, 3, 4, 4);
	rig_append(&g, from_1(3, 4, 3, 6), 2, 3);
	rig_step(&g, (struct replica_event){.type = EVENT_APPEND_FAILED, .rc = ERR_DISK_FULL});
	assert_int_equal(replied(&g)->status, APPEND_FULL);
	assert_int_equal(replied(&g)->durable_seq, 4);
	assert_int_equal(g.r.last_seq, 4);
	assert_int_equal(g.r.commit_seq, 4);
	rig_free(&g.u.release);
	rig_append(&g, from_1(3, 4, 3, 6), 2, 3);
	rig_disk(&g);
	rig_apply(&g);
	assert_int_equal(replied(&g)->applied_seq, 6);
	rig_end(&g);
	(void)state;
}

static void malformed_appends_are_refused(void **state)
{
	struct rig g;

	follow(&g, 3, 4, 4);
	rig_append(&g, from_1(3, 4, 3, 4), 1, 4); /* a record of an epoch to come */
	assert_int_equal(g.u.reply[0].rc, ERR_INPUT);
	rig_free(&g.u.release);
	rig_append(&g, from_1(3, 4, 3, 4), 1, 2); /* or before the one it follows */
	assert_int_equal(g.u.reply[0].rc, ERR_INPUT);
	rig_end(&g);
	(void)state;
}

static void a_new_primary_takes_the_tail_of_the_old_one_along(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	follow(&g, 3, 4, 4);
	rig_append(&g, from_1(3, 4, 3, 4), 2, 3);
	rig_disk(&g);
	rig_config(&g, 4, "2 3 +1");
	rig_disk(&g);
	rig_write(&g, &a);
	assert_null(g.u.append.first);
	assert_int_equal(rig_sent(&g, 3) ? rig_sent(&g, 3)->append.epoch : 4, 4);
	rig_answer(&g, 3, (struct replica_append_answer){.status = APPEND_MISMATCH, .hint_seq = 4});
	assert_int_equal(rig_sent(&g, 3)->append.prev_seq, 4);
	assert_int_equal(rig_sent(&g, 3)->last_seq, 6);
	rig_holds(&g, 3, 6, 4);
	assert_int_equal(g.u.apply.last->seq, 6);
	assert_ptr_equal(g.u.append.first, &a);
	assert_int_equal(a.seq, 7);
	g.r.flight = (struct write_list){0};
	rig_end(&g);
	(void)state;
}

static void only_a_learner_of_this_epoch_that_lacks_it_is_rebuilt(void **state)
{
	struct replica_append seed = {.epoch = 3, .from = 1, .prev_seq = 7, .seed = true};
	struct rig g;

	follow(&g, 3, 4, 4); /* in sync */
	rig_append(&g, seed, 0, 0);
	assert_false(g.u.seed);
	rig_end(&g);
	rig_start(&g, 2, 3, 7, 7, 3); /* it has what is said to be gone: a late append */
	rig_config(&g, 3, "1 +2");
	rig_append(&g, seed, 0, 0);
	assert_false(g.u.seed);
	assert_int_equal(replied(&g)->status, APPEND_MISMATCH);
	assert_int_equal(replied(&g)->hint_seq, 7);
	rig_end(&g);
	rig_start(&g, 2, 3, 4, 4, 3);
	rig_config(&g, 3, "1 +2");
	rig_append(&g, seed, 0, 0);
	assert_true(g.u.seed);
	assert_int_equal(g.u.seed_from, 1);
	assert_int_equal(replied(&g)->status, APPEND_SEEDING);
	rig_append(&g, seed, 0, 0);
	assert_false(g.u.seed); /* it is under way */
	rig_step(&g, (struct replica_event){.type = EVENT_SEED_FAILED});
	rig_append(&g, seed, 0, 0);
	assert_true(g.u.seed);
	rig_end(&g);
	(void)state;
}

static void another_digest_stops_reads_but_not_the_log(void **state)
{
	struct rig g;

	follow(&g, 3, 4, 4);
	rig_step(&g, (struct replica_event){.type = EVENT_DIVERGED});
	rig_append(&g, from_1(3, 4, 3, 4), 1, 3);
	rig_disk(&g);
	assert_int_equal(replied(&g)->status, APPEND_DIVERGED);
	assert_int_equal(replied(&g)->durable_seq, 5);
	assert_int_equal(replica_serves_until(&g.r), 0);
	rig_end(&g);
	(void)state;
}

/* ---- reads ---- */

static void a_follower_serves_from_its_own_last_answer_that_was_heard(void **state)
{
	struct rig g;
	struct replica_append a = from_1(3, 4, 3, 4);
	uint64_t sent_us;

	follow(&g, 3, 4, 4);
	rig_append(&g, a, 0, 0);
	sent_us = replied(&g)->sent_us;
	assert_int_equal(replica_serves_until(&g.r), 0); /* what has been committed meanwhile? */
	g.now_us += 300000;
	a.heard_us = sent_us;
	a.lease_us = 800000;
	rig_append(&g, a, 0, 0);
	assert_int_equal(replica_serves_until(&g.r), sent_us + 800000);
	g.now_us += 300000;
	a.lease_us = 5000000; /* more than there is */
	rig_append(&g, a, 0, 0);
	assert_int_equal(replica_serves_until(&g.r), sent_us + REPLICA_LEASE_US);
	a.in_sync = false;
	rig_append(&g, a, 0, 0);
	assert_int_equal(replica_serves_until(&g.r), 0);
	rig_end(&g);
	(void)state;
}

static void an_answer_of_an_earlier_process_gives_no_lease(void **state)
{
	struct rig g;
	struct replica_append a = from_1(3, 4, 3, 4);

	follow(&g, 3, 4, 4);
	a.lease_us = REPLICA_LEASE_US;
	a.heard_us = g.now_us - 1;
	rig_append(&g, a, 0, 0);
	a.heard_us = g.now_us + 1;
	rig_append(&g, a, 0, 0);
	assert_int_equal(replica_serves_until(&g.r), 0);
	rig_end(&g);
	(void)state;
}

static void a_restarted_follower_first_applies_what_was_answered_before(void **state)
{
	struct rig g;
	struct replica_append a = from_1(3, 4, 3, 6);

	follow(&g, 3, 4, 4);
	a.lease_us = REPLICA_LEASE_US;
	a.heard_us = g.now_us;
	rig_append(&g, a, 0, 0);
	assert_int_equal(replica_serves_until(&g.r), 0);
	rig_append(&g, a, 2, 3);
	rig_disk(&g);
	rig_apply(&g);
	assert_int_equal(replica_serves_until(&g.r), g.now_us + REPLICA_LEASE_US);
	rig_end(&g);
	(void)state;
}

static void contact_with_the_leader_of_the_map_bridges_a_lost_primary(void **state)
{
	struct rig g;
	struct replica_append a = from_1(3, 4, 3, 4);

	follow(&g, 3, 4, 4);
	rig_step(&g, (struct replica_event){.type = EVENT_CONTACT, .at_us = g.now_us});
	assert_int_equal(replica_serves_until(&g.r), 0); /* not caught up */
	a.lease_us = REPLICA_LEASE_US;
	a.heard_us = g.now_us;
	rig_append(&g, a, 0, 0);
	g.now_us += 2000000;
	rig_step(&g, (struct replica_event){.type = EVENT_CONTACT, .at_us = g.now_us - 1000});
	assert_int_equal(replica_serves_until(&g.r), g.now_us - 1000 + REPLICA_LEASE_US);
	rig_end(&g);
	(void)state;
}

static void a_new_primary_answers_no_write_while_the_old_one_may_serve(void **state)
{
	struct rig g;
	struct replica_append a = from_1(3, 4, 3, 4);
	struct replica_write w = {0};

	follow(&g, 3, 4, 4);
	a.lease_us = REPLICA_LEASE_US;
	a.heard_us = g.now_us;
	rig_append(&g, a, 0, 0);
	rig_config(&g, 4, "2");
	rig_disk(&g);
	assert_true(replica_serves_until(&g.r) == UINT64_MAX);
	rig_write(&g, &w);
	rig_disk(&g);
	rig_apply(&g);
	assert_null(g.u.answer);
	rig_tick(&g, REPLICA_HOLD_US - 1);
	assert_null(g.u.answer);
	rig_tick(&g, 1);
	assert_ptr_equal(g.u.answer, &w);
	g.u.release = (struct write_list){0};
	rig_end(&g);
	(void)state;
}

static void a_primary_serves_from_the_appends_that_all_others_answered(void **state)
{
	struct rig g;
	uint64_t sent_us;

	rig_start(&g, 1, 0, 0, 0, 0);
	rig_config(&g, 1, "1 2 3");
	rig_disk(&g);
	sent_us = g.now_us;
	assert_int_equal(rig_sent(&g, 2)->append.lease_us, 0); /* it has none itself */
	g.now_us += 1000;
	rig_holds(&g, 2, 0, 0);
	assert_int_equal(replica_serves_until(&g.r), 0);
	g.now_us += 1000;
	rig_holds(&g, 3, 0, 0);
	assert_int_equal(replica_serves_until(&g.r), sent_us + REPLICA_LEASE_US);
	rig_tick(&g, REPLICA_HEARTBEAT_US);
	assert_int_equal(rig_sent(&g, 2)->append.lease_us, sent_us + REPLICA_LEASE_US - g.now_us);
	assert_int_equal(rig_sent(&g, 2)->append.heard_us, 7);
	rig_end(&g);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_acknowledged_when_durable_and_applied_when_committed),
		cmocka_unit_test(an_older_epoch_is_refused_and_a_newer_one_stored_first),
		cmocka_unit_test(a_gap_is_answered_with_where_the_logs_may_agree),
		cmocka_unit_test(a_losing_tail_is_cut_in_the_job_that_appends),
		cmocka_unit_test(only_what_agrees_is_acknowledged),
		cmocka_unit_test(a_late_append_does_not_cut_what_came_after_it),
		cmocka_unit_test(what_contradicts_committed_entries_is_never_taken),
		cmocka_unit_test(while_the_disk_is_busy_the_newest_append_waits),
		cmocka_unit_test(a_full_disk_is_told_and_leaves_nothing),
		cmocka_unit_test(malformed_appends_are_refused),
		cmocka_unit_test(a_new_primary_takes_the_tail_of_the_old_one_along),
		cmocka_unit_test(only_a_learner_of_this_epoch_that_lacks_it_is_rebuilt),
		cmocka_unit_test(another_digest_stops_reads_but_not_the_log),
		cmocka_unit_test(a_follower_serves_from_its_own_last_answer_that_was_heard),
		cmocka_unit_test(an_answer_of_an_earlier_process_gives_no_lease),
		cmocka_unit_test(a_restarted_follower_first_applies_what_was_answered_before),
		cmocka_unit_test(contact_with_the_leader_of_the_map_bridges_a_lost_primary),
		cmocka_unit_test(a_new_primary_answers_no_write_while_the_old_one_may_serve),
		cmocka_unit_test(a_primary_serves_from_the_appends_that_all_others_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
