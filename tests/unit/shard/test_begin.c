/* Who may begin from nothing, with which epoch, and which folder stays: shard/begin.h. */
#include "shard/begin.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SELF = 3 };

static struct map_partition named(bool in_sync, bool learner)
{
	struct map_partition c = {.epoch = 9,
				  .primary = 1,
				  .in_sync = {1, in_sync ? SELF : 2},
				  .n_in_sync = 2};

	if (learner)
		c.learners[c.n_learners++] = SELF;
	return c;
}

/* All that a node can know, as a learner and as a member. */
static void a_member_that_may_have_held_something_is_lost(void **state)
{
	struct map_partition member = named(true, false), learner = named(false, true);

	for (int i = 0; i < 16; i++) {
		struct begin_facts f = {.self = SELF,
					.collection_id = 20,
					.known_since = i & 1 ? 21 : 20,
					.known = i & 2,
					.confirmed = i & 4,
					.registered = i & 8};
		enum begin of_member = i & 3 ? BEGIN_LOST : BEGIN_NOW;

		assert_int_equal(begin_from_nothing(&f, &member),
				 f.confirmed ? of_member : BEGIN_LATER);
		assert_int_equal(begin_from_nothing(&f, &learner),
				 f.confirmed && f.registered ? BEGIN_NOW : BEGIN_LATER);
	}
	(void)state;
}

/* Else a map from before, in which it was a member or alone, makes it one again without data. */
static void a_learner_stores_the_epoch_in_which_it_was_named(void **state)
{
	struct map_partition member = named(true, false), learner = named(false, true);

	assert_int_equal(begin_epoch(SELF, &learner), 9);
	assert_int_equal(begin_epoch(SELF, &member), 0);
	(void)state;
}

static void only_a_newer_map_takes_a_folder_away(void **state)
{
	struct map_partition elsewhere = named(false, false);

	assert_false(begin_keeps(8, &elsewhere));
	assert_false(begin_keeps(9, &elsewhere));
	assert_true(begin_keeps(10, &elsewhere));
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_member_that_may_have_held_something_is_lost),
		cmocka_unit_test(a_learner_stores_the_epoch_in_which_it_was_named),
		cmocka_unit_test(only_a_newer_map_takes_a_folder_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
