/* The primary with copies: who is waited for, who is sent what, who leaves and who joins. */
#include "tests/unit/shard/replica_rig.h"

/* Primary 1 of `who` at epoch 1, with nothing in the log, the others heard of. */
static void lead(struct rig *g, const char *who)
{
	rig_start(g, 1, 0, 0, 0, 0);
	rig_config(g, 1, who);
	assert_true(g->u.disk_job);
	assert_int_equal(g->u.store_epoch, 1);
	assert_int_equal(g->u.n_send, 0); /* nothing before the epoch is durable */
	rig_disk(g);
	for (uint64_t node = 2; node <= 9; node++)
		if (rig_call(g, node))
			rig_holds(g, node, 0, 0);
}

static void a_write_goes_to_members_when_written_and_is_answered_when_all_applied_it(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	lead(&g, "1 2 3");
	rig_write(&g, &a);
	assert_ptr_equal(g.u.append.first, &a);
	assert_int_equal(g.u.n_send, 0);
	rig_step(&g, (struct replica_event){.type = EVENT_WRITTEN, .seq = 1});
	assert_int_equal(g.u.n_send, 2);
	assert_int_equal(rig_sent(&g, 2)->last_seq, 1);
	rig_holds(&g, 2, 1, 0); /* faster than the own disk */
	assert_null(g.u.apply.first);
	rig_step(&g, (struct replica_event){.type = EVENT_DURABLE, .seq = 1});
	assert_null(g.u.apply.first);
	rig_holds(&g, 3, 1, 0);
	assert_ptr_equal(g.u.apply.first, &a);
	assert_int_equal(rig_sent(&g, 2)->append.commit_seq, 1); /* told at once */
	rig_apply(&g);
	assert_null(g.u.answer);
	rig_holds(&g, 2, 1, 1);
	assert_null(g.u.answer);
	rig_holds(&g, 3, 1, 1);
	assert_ptr_equal(g.u.answer, &a);
	assert_int_equal(a.rc, 0);
	replica_fini(&g.r);
	(void)state;
}

static void learners_get_what_is_durable_and_are_not_waited_for(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	lead(&g, "1 +2");
	assert_true(g.r.members[0].required); /* it has all there is: it is about to join */
	g.r.members[0].required = g.r.members[0].proposed = false;
	rig_write(&g, &a);
	rig_step(&g, (struct replica_event){.type = EVENT_WRITTEN, .seq = 1});
	assert_int_equal(g.u.n_send, 0);
	rig_step(&g, (struct replica_event){.type = EVENT_DURABLE, .seq = 1});
	assert_ptr_equal(g.u.apply.first, &a);
	assert_int_equal(rig_sent(&g, 2)->last_seq, 1);
	rig_apply(&g);
	assert_ptr_equal(g.u.answer, &a);
	replica_fini(&g.r);
	(void)state;
}

static void a_silent_member_is_proposed_to_leave_and_waited_for_until_it_has_left(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	lead(&g, "1 2");
	rig_write(&g, &a);
	rig_disk(&g);
	rig_tick(&g, 400000);
	rig_tick(&g, 400000);
	rig_tick(&g, 400000);
	assert_false(g.u.propose);
	rig_tick(&g, 400000);
	assert_true(g.u.propose);
	assert_int_equal(g.u.expect_epoch, 1);
	assert_int_equal(g.u.proposal.n_in_sync, 1);
	assert_int_equal(g.u.proposal.learners[0], 2);
	rig_step(&g, (struct replica_event){.type = EVENT_PROPOSED});
	assert_null(g.u.apply.first);
	rig_config(&g, 2, "1 +2");
	assert_null(g.u.apply.first); /* the epoch is not stored yet */
	rig_disk(&g);
	assert_ptr_equal(g.u.apply.first, &a);
	rig_apply(&g);
	assert_ptr_equal(g.u.answer, &a); /* no lease of node 2 is left to wait for */
	replica_fini(&g.r);
	(void)state;
}

static void a_proposal_without_effect_is_made_again(void **state)
{
	struct rig g;

	lead(&g, "1 2");
	for (int i = 0; i < 4; i++)
		rig_tick(&g, 400000);
	assert_true(g.u.propose);
	rig_tick(&g, 400000);
	assert_false(g.u.propose); /* one at a time */
	rig_step(&g, (struct replica_event){.type = EVENT_PROPOSED, .rc = ERR_TIMEOUT});
	assert_false(g.u.propose);
	rig_tick(&g, REPLICA_RETRY_US);
	assert_true(g.u.propose);
	replica_fini(&g.r);
	(void)state;
}

static void the_set_does_not_shrink_below_its_least_size(void **state)
{
	struct rig g;
	struct map_partition c = {
		.epoch = 1, .primary = 1, .in_sync = {1, 2}, .n_in_sync = 2, .min_isr = 2};

	rig_start(&g, 1, 0, 0, 0, 0);
	rig_step(&g, (struct replica_event){.type = EVENT_CONFIG, .config = &c});
	rig_disk(&g);
	for (int i = 0; i < 8; i++)
		rig_tick(&g, 400000);
	assert_false(g.u.propose);
	replica_fini(&g.r);
	(void)state;
}

static void time_in_which_the_process_stood_still_is_nobodys_silence(void **state)
{
	struct rig g;

	lead(&g, "1 2");
	rig_tick(&g, 100000);
	rig_tick(&g, 5000000);
	assert_false(g.u.propose);
	replica_fini(&g.r);
	(void)state;
}

static void a_learner_joins_once_it_has_all_and_is_waited_for_before(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	rig_start(&g, 1, 0, 5, 5, 1);
	rig_config(&g, 2, "1 +2");
	rig_disk(&g);
	assert_int_equal(rig_sent(&g, 2)->append.prev_seq, 5);
	assert_false(rig_sent(&g, 2)->append.in_sync);
	rig_answer(&g, 2, (struct replica_append_answer){.status = APPEND_MISMATCH, .hint_seq = 3});
	assert_int_equal(rig_sent(&g, 2)->append.prev_seq, 3);
	assert_int_equal(rig_sent(&g, 2)->append.prev_epoch,
			 0); /* the runtime finds it in the log */
	assert_int_equal(rig_sent(&g, 2)->last_seq, 5);
	rig_holds(&g, 2, 5, 4);
	assert_false(g.u.propose); /* it has not applied everything */
	rig_write(&g, &a);
	rig_disk(&g);
	assert_null(g.u.apply.first);
	rig_tick(&g, REPLICA_HEARTBEAT_US);
	rig_holds(&g, 2, 6, 5);
	assert_ptr_equal(g.u.apply.first, &a);
	assert_true(g.u.propose);
	assert_int_equal(g.u.proposal.n_in_sync, 2);
	assert_int_equal(g.u.proposal.n_learners, 0);
	replica_fini(&g.r);
	(void)state;
}

static void a_learner_whose_addition_may_have_won_is_waited_for_though_it_is_silent(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	lead(&g, "1 +2");
	assert_true(g.r.members[0].proposed);
	rig_step(&g, (struct replica_event){.type = EVENT_PROPOSED, .rc = ERR_TIMEOUT});
	rig_write(&g, &a);
	rig_disk(&g);
	for (int i = 0; i < 5; i++)
		rig_tick(&g, 400000);
	assert_null(g.u.apply.first);
	assert_true(g.r.proposing); /* the set as it is: one of the two wins */
	assert_int_equal(g.r.config.n_in_sync, 1);
	rig_config(&g, 2, "1 +2");
	rig_disk(&g);
	assert_ptr_equal(g.u.apply.first, &a);
	replica_fini(&g.r);
	(void)state;
}

static void a_restarted_primary_renews_its_epoch_first(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	rig_start(&g, 1, 4, 5, 6, 4);
	rig_config(&g, 4, "1 2");
	assert_true(g.u.propose);
	assert_int_equal(g.u.expect_epoch, 4);
	assert_int_equal(g.u.n_send, 0);
	rig_write(&g, &a);
	assert_false(g.u.disk_job);
	rig_config(&g, 5, "1 2");
	assert_int_equal(g.u.store_epoch, 5);
	rig_disk(&g);
	assert_int_equal(rig_sent(&g, 2)->append.epoch, 5);
	assert_null(g.u.append.first); /* entry 6 must be everybody's first */
	rig_holds(&g, 2, 6, 5);
	assert_int_equal(g.u.apply.first->seq, 6);
	assert_ptr_equal(g.u.append.first, &a);
	assert_int_equal(a.epoch, 5);
	assert_int_equal(a.prev_epoch, 4);
	rig_free(&g.r.applying);
	replica_fini(&g.r);
	(void)state;
}

static void alone_it_opens_at_once_unless_it_may_have_proposed_a_learner(void **state)
{
	struct rig g;

	rig_start(&g, 1, 4, 5, 6, 4);
	rig_config(&g, 4, "1");
	assert_int_equal(g.u.apply.first->seq, 6);
	rig_free(&g.r.applying);
	replica_fini(&g.r);
	rig_start(&g, 1, 4, 5, 6, 4);
	rig_config(&g, 4, "1 +2");
	assert_null(g.u.apply.first);
	assert_true(g.u.propose);
	rig_end(&g);
	(void)state;
}

static void a_higher_epoch_in_an_answer_stops_everything_until_the_map_tells(void **state)
{
	struct rig g;
	struct replica_write a = {0}, b = {0};

	lead(&g, "1 2");
	rig_write(&g, &a);
	rig_disk(&g);
	rig_answer(&g, 2, (struct replica_append_answer){.status = APPEND_STALE, .epoch = 2});
	rig_write(&g, &b);
	rig_tick(&g, 400000);
	assert_int_equal(g.u.n_send, 0);
	assert_int_equal(replica_serves_until(&g.r), 0);
	rig_config(&g, 2, "2 1"); /* it is not this one any more */
	assert_ptr_equal(g.u.answer, &b);
	assert_int_equal(b.rc, ERR_STALE);
	assert_ptr_equal(b.next_answer, &a);
	assert_int_equal(a.rc, ERR_CLOSED);
	assert_ptr_equal(g.u.release.first, &b); /* a may yet be committed */
	assert_null(b.next);
	assert_int_equal(replica_role(&g.r), REPLICA_MEMBER);
	replica_fini(&g.r);
	(void)state;
}

/* Node 2 may answer reads by what it was told before it left, also when that configuration was not seen here. */
static void nothing_is_answered_while_one_who_left_may_serve(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	for (uint64_t epoch = 2; epoch <= 3; epoch++) {
		a = (struct replica_write){0};
		lead(&g, "1 2");
		rig_config(&g, epoch, "1 +2");
		rig_disk(&g);
		rig_write(&g, &a);
		rig_disk(&g);
		rig_apply(&g); /* the learner is not waited for */
		assert_null(g.u.answer);
		rig_tick(&g, REPLICA_HOLD_US - 1);
		assert_null(g.u.answer);
		rig_tick(&g, 1);
		assert_ptr_equal(g.u.answer, &a);
		replica_fini(&g.r);
	}
	(void)state;
}

/* The healer does not hear it, the primary does: it does not come and go with every tick. */
static void who_was_taken_out_by_others_does_not_join_again_at_once(void **state)
{
	struct rig g;

	lead(&g, "1 2");
	rig_config(&g, 2, "1 +2");
	rig_disk(&g);
	for (int i = 0; i < 20; i++) {
		assert_false(g.u.propose);
		if (rig_call(&g, 2))
			rig_holds(&g, 2, 0, 0);
		rig_tick(&g, REPLICA_HEARTBEAT_US);
	}
	for (int i = 0; i < 20 && !g.r.proposing; i++) {
		if (rig_call(&g, 2))
			rig_holds(&g, 2, 0, 0);
		rig_tick(&g, REPLICA_HEARTBEAT_US);
	}
	assert_true(g.r.proposing);
	replica_fini(&g.r);
	(void)state;
}

/* Another one was primary in between: what was known of the others is void. */
static void what_members_hold_is_forgotten_when_an_epoch_was_missed(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	lead(&g, "1 2 3");
	rig_write(&g, &a);
	rig_disk(&g);
	rig_holds(&g, 2, 1, 0);
	rig_config(&g, 3, "1 2 3");
	rig_disk(&g);
	rig_holds(&g, 3, 1, 0);
	assert_null(g.u.apply.first);
	rig_holds(&g, 2, 1, 0);
	assert_ptr_equal(g.u.apply.first, &a);
	assert_int_equal(a.rc, ERR_CLOSED); /* its client was told that it is not known */
	replica_fini(&g.r);
	(void)state;
}

/* Found by the simulator: it did not know any more when node 3 had been heard, which may still answer reads. */
static void who_is_forgotten_is_waited_for_as_who_leaves(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	lead(&g, "1 2 3");
	rig_config(&g, 3, "1 2 3");
	rig_disk(&g);
	rig_config(&g, 4, "1 2");
	rig_disk(&g);
	rig_write(&g, &a);
	rig_disk(&g);
	rig_holds(&g, 2, 1, 1);
	rig_apply(&g);
	rig_tick(&g, 1000);
	rig_holds(&g, 2, 1, 1);
	assert_null(g.u.answer);
	rig_tick(&g, REPLICA_HOLD_US);
	assert_ptr_equal(g.u.answer, &a);
	replica_fini(&g.r);
	(void)state;
}

/* Found by the simulator: one that has just left may still answer reads, and a start forgets when it was heard. */
static void a_restarted_primary_that_is_alone_waits_unless_it_always_was(void **state)
{
	struct rig g;

	for (uint64_t epoch = 1; epoch <= 2; epoch++) {
		struct replica_write a = {0};

		rig_start(&g, 1, epoch, 1, 1, 1);
		rig_config(&g, epoch, "1");
		rig_write(&g, &a);
		rig_disk(&g);
		rig_apply(&g);
		if (epoch > 1) {
			assert_null(g.u.answer);
			rig_tick(&g, REPLICA_HOLD_US);
		}
		assert_ptr_equal(g.u.answer, &a);
		replica_fini(&g.r);
	}
	(void)state;
}

static void answers_to_earlier_calls_are_not_counted(void **state)
{
	struct rig g;
	struct replica_write a = {0};
	uint64_t call;

	lead(&g, "1 2");
	rig_write(&g, &a);
	rig_disk(&g);
	call = rig_call(&g, 2);
	assert_true(call > 0);
	rig_step(&g, (struct replica_event){.type = EVENT_APPEND_ANSWER,
					    .node = 2,
					    .call = call - 1,
					    .answer = {.epoch = 1, .durable_seq = 1}});
	assert_null(g.u.apply.first);
	rig_holds(&g, 2, 1, 0);
	assert_ptr_equal(g.u.apply.first, &a);
	replica_fini(&g.r);
	(void)state;
}

static void a_member_that_lost_what_it_acknowledged_has_to_leave(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	lead(&g, "1 2");
	rig_write(&g, &a);
	rig_disk(&g);
	rig_holds(&g, 2, 1, 1);
	rig_apply(&g);
	rig_tick(&g, REPLICA_HEARTBEAT_US);
	rig_answer(&g, 2, (struct replica_append_answer){.status = APPEND_MISMATCH, .hint_seq = 0});
	assert_true(g.u.propose);
	assert_int_equal(g.u.proposal.n_in_sync, 1);
	rig_config(&g, 2, "1 +2");
	rig_disk(&g);
	rig_step(&g, (struct replica_event){.type = EVENT_APPEND_ANSWER,
					    .node = 2,
					    .call = rig_call(&g, 2),
					    .rc = ERR_TIMEOUT});
	rig_tick(&g, REPLICA_HEARTBEAT_US);
	assert_true(rig_sent(&g, 2)->append.seed); /* and is built anew */
	replica_fini(&g.r);
	(void)state;
}

/* Found by the simulator: a member was heard late, when it had lost its folder, had left the set and was on its way back. */
static void what_was_held_in_an_epoch_before_does_not_count(void **state)
{
	struct rig g;
	struct replica_write a = {0};
	uint64_t call;

	lead(&g, "1 2");
	rig_write(&g, &a);
	rig_disk(&g);
	call = rig_call(&g, 2);
	assert_true(call > 0);
	rig_tick(&g, REPLICA_SILENT_US);
	assert_true(g.u.propose);
	rig_step(&g, (struct replica_event){.type = EVENT_PROPOSED});
	rig_config(&g, 2, "1 +2");
	rig_disk(&g);
	rig_apply(&g);
	rig_tick(&g, REPLICA_RETRY_US);
	rig_answer(&g, 2,
		   (struct replica_append_answer){.epoch = 1, .durable_seq = 1, .applied_seq = 1});
	assert_false(g.u.propose);
	assert_true(rig_call(&g, 2) > call); /* it is asked again */
	rig_answer(&g, 2, (struct replica_append_answer){.status = APPEND_MISMATCH, .hint_seq = 0});
	assert_false(g.u.propose);
	rig_holds(&g, 2, 1, 1);
	assert_true(g.u.propose);
	replica_fini(&g.r);
	(void)state;
}

static void a_learner_that_the_log_cannot_reach_is_rebuilt(void **state)
{
	struct rig g;

	rig_start(&g, 1, 0, 50, 50, 1);
	rig_config(&g, 2, "1 +2");
	rig_disk(&g);
	rig_answer(&g, 2, (struct replica_append_answer){.status = APPEND_MISMATCH, .hint_seq = 0});
	rig_step(&g, (struct replica_event){.type = EVENT_APPEND_ANSWER,
					    .node = 2,
					    .call = rig_call(&g, 2),
					    .rc = ERR_NOT_FOUND,
					    .gone = true});
	assert_true(rig_sent(&g, 2)->append.seed);
	assert_int_equal(rig_sent(&g, 2)->append.prev_seq, 1);
	rig_answer(&g, 2, (struct replica_append_answer){.status = APPEND_SEEDING});
	rig_tick(&g, REPLICA_HEARTBEAT_US);
	assert_true(rig_sent(&g, 2)->append.seed);
	/* it is back with a copy */
	rig_answer(&g, 2,
		   (struct replica_append_answer){.status = APPEND_MISMATCH, .hint_seq = 48});
	assert_false(rig_sent(&g, 2)->append.seed);
	assert_int_equal(rig_sent(&g, 2)->append.prev_seq, 48);
	replica_fini(&g.r);
	(void)state;
}

static void a_retried_batch_waits_for_the_others_as_its_first_copy_did(void **state)
{
	struct rig g;
	struct replica_write a = {.batch_lo = 5}, again = {.batch_lo = 5};

	lead(&g, "1 2");
	rig_write(&g, &a);
	rig_disk(&g);
	rig_holds(&g, 2, 1, 0);
	rig_apply(&g);
	rig_write(&g, &again);
	assert_null(g.u.answer);
	rig_holds(&g, 2, 1, 1);
	assert_ptr_equal(g.u.answer, &a);
	assert_ptr_equal(a.next_answer, &again);
	assert_int_equal(again.seq, 1);
	replica_fini(&g.r);
	(void)state;
}

static void more_committed_elsewhere_than_here_stops_the_primary(void **state)
{
	struct rig g;
	struct replica_write a = {0};

	lead(&g, "1 2");
	rig_tick(&g, REPLICA_HEARTBEAT_US);
	rig_holds(&g, 2, 9, 9);
	rig_write(&g, &a);
	assert_false(g.u.disk_job);
	assert_int_equal(replica_serves_until(&g.r), 0);
	replica_fini(&g.r);
	(void)state;
}

/* It is cut off from its member and from the map: it cannot know how the write will end. */
static void who_waits_too_long_is_told_so_and_only_once(void **state)
{
	struct rig g;
	struct replica_write a = {.deadline_us = 0}, b = {0}, c = {0};

	lead(&g, "1 2");
	a.deadline_us = b.deadline_us = g.now_us + 400000;
	rig_write(&g, &a);
	rig_disk(&g);
	rig_write(&g, &b);
	rig_write(&g, &c);
	rig_tick(&g, 300000);
	assert_null(g.u.answer);
	rig_tick(&g, 100000);
	assert_int_equal(a.rc, ERR_TIMEOUT);
	assert_int_equal(b.rc, ERR_TIMEOUT);
	assert_false(a.client || b.client);
	assert_true(c.client);                   /* it has no deadline */
	assert_ptr_equal(g.u.release.first, &b); /* it had no number: it will never be */
	assert_ptr_equal(g.u.release.last, &b);
	rig_tick(&g, 100000);
	assert_null(g.u.answer);
	assert_null(g.u.release.first);
	rig_holds(&g, 2, 1, 0);
	assert_ptr_equal(g.u.apply.first,
			 &a); /* the other one is back: it is carried out after all */
	assert_ptr_equal(g.u.append.first, &c);
	rig_apply(&g);
	assert_null(g.u.answer);
	assert_ptr_equal(g.u.release.first, &a);
	rig_disk(&g);
	rig_holds(&g, 2, 2, 1);
	rig_apply(&g);
	c.deadline_us = g.now_us; /* applied here, not known to be there */
	rig_tick(&g, 1);
	assert_ptr_equal(g.u.answer, &c);
	assert_int_equal(c.rc, ERR_TIMEOUT);
	assert_null(g.u.release.first);
	rig_holds(&g, 2, 2, 2);
	assert_null(g.u.answer);
	assert_ptr_equal(g.u.release.first, &c);
	replica_fini(&g.r);
	(void)state;
}

static void closing_with_writes_under_way_leaves_nothing_behind(void **state)
{
	struct rig g;
	struct replica_write a = {0}, b = {0};

	lead(&g, "1 2");
	rig_write(&g, &a);
	rig_write(&g, &b);
	rig_step(&g, (struct replica_event){.type = EVENT_CLOSE});
	assert_ptr_equal(g.u.answer, &b);
	assert_int_equal(b.rc, ERR_CLOSED);
	assert_false(replica_quiet(&g.r));
	rig_step(&g, (struct replica_event){.type = EVENT_DURABLE, .seq = 1});
	assert_ptr_equal(g.u.answer, &a);
	assert_int_equal(a.rc, ERR_CLOSED);
	assert_ptr_equal(g.u.release.first, &a);
	assert_int_equal(g.u.n_send, 0);
	assert_true(replica_quiet(&g.r));
	replica_fini(&g.r);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_write_goes_to_members_when_written_and_is_answered_when_all_applied_it),
		cmocka_unit_test(learners_get_what_is_durable_and_are_not_waited_for),
		cmocka_unit_test(
			a_silent_member_is_proposed_to_leave_and_waited_for_until_it_has_left),
		cmocka_unit_test(a_proposal_without_effect_is_made_again),
		cmocka_unit_test(the_set_does_not_shrink_below_its_least_size),
		cmocka_unit_test(time_in_which_the_process_stood_still_is_nobodys_silence),
		cmocka_unit_test(a_learner_joins_once_it_has_all_and_is_waited_for_before),
		cmocka_unit_test(
			a_learner_whose_addition_may_have_won_is_waited_for_though_it_is_silent),
		cmocka_unit_test(a_restarted_primary_renews_its_epoch_first),
		cmocka_unit_test(alone_it_opens_at_once_unless_it_may_have_proposed_a_learner),
		cmocka_unit_test(a_higher_epoch_in_an_answer_stops_everything_until_the_map_tells),
		cmocka_unit_test(nothing_is_answered_while_one_who_left_may_serve),
		cmocka_unit_test(who_was_taken_out_by_others_does_not_join_again_at_once),
		cmocka_unit_test(what_members_hold_is_forgotten_when_an_epoch_was_missed),
		cmocka_unit_test(who_is_forgotten_is_waited_for_as_who_leaves),
		cmocka_unit_test(a_restarted_primary_that_is_alone_waits_unless_it_always_was),
		cmocka_unit_test(answers_to_earlier_calls_are_not_counted),
		cmocka_unit_test(a_member_that_lost_what_it_acknowledged_has_to_leave),
		cmocka_unit_test(what_was_held_in_an_epoch_before_does_not_count),
		cmocka_unit_test(a_learner_that_the_log_cannot_reach_is_rebuilt),
		cmocka_unit_test(a_retried_batch_waits_for_the_others_as_its_first_copy_did),
		cmocka_unit_test(more_committed_elsewhere_than_here_stops_the_primary),
		cmocka_unit_test(who_waits_too_long_is_told_so_and_only_once),
		cmocka_unit_test(closing_with_writes_under_way_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
