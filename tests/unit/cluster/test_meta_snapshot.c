/* The control plane in virtual time: followers that are behind, or ahead of what their leader knows of them. */
#include "tests/unit/cluster/sim.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_lagging_follower_gets_snapshot(void **state)
{
	for (uint64_t seed = 80; seed < 90; seed++) {
		struct sim *s = sim_new(seed, 3, 3);
		uint64_t leader, behind;
		size_t last = 0;

		s->snapshot_entries = 16;
		sim_start_all(s);
		sim_settle(s);
		leader = sim_leader(s);
		behind = leader % 3 + 1;
		sim_crash(s, behind);
		if (seed % 3 == 0) { /* its disk was lost before it had said anything */
			sim_disk_wipe(&s->nodes[behind].disk);
			s->nodes[behind].bootstrapped = false;
		}
		for (int i = 0; i < 100; i++) {
			last = sim_submit(s, leader);
			sim_run(s, 20000);
		}
		assert_true(s->requests[last].done && s->requests[last].code == 0);
		assert_true(s->nodes[leader].disk.first > 60);
		sim_start(s, behind);
		sim_run(s, 5000000);
		if (seed % 3 != 0) {
			assert_true(sim_has(s, behind, last));
			assert_true(s->nodes[behind].disk.snapshot_index > 60);
			sim_crash(s, behind);
			sim_start(s, behind);
			assert_true(meta_applied_index(s->nodes[behind].meta) > 60);
			sim_run(s, 2000000);
		}
		sim_free(s);
	}
	(void)state;
}

/* A follower is not heard for a while, cuts its log, and misses something, as it stops or
 * the network is cut: its leader, which keeps all of its own, begins
 * again at the last entry of which it knows that they agree, and the follower's snapshot has swallowed that one. Returns
 * how many entries behind it are swallowed, too; UINT64_MAX: not even that one. */
static uint64_t swallowed_behind_what_is_known(size_t n_before, bool restarts)
{
	struct sim *s = sim_new(95, 3, 3);
	uint64_t leader, unheard, agreed, first;
	size_t last = 0;

	sim_start_all(s);
	sim_settle(s);
	leader = sim_leader(s);
	unheard = leader % 3 + 1;
	sim_crash(s, unheard);
	s->snapshot_entries = 8;
	sim_start(s, unheard);
	for (size_t i = 0; i < n_before; i++) {
		sim_submit(s, leader);
		sim_run(s, 20000);
	}
	sim_run(s, 1000000);
	agreed = s->nodes[unheard].disk.first + s->nodes[unheard].disk.n - 1;
	s->cut[unheard][leader] = true;
	for (int i = 0; i < 8; i++) {
		sim_submit(s, leader);
		sim_run(s, 20000);
	}
	first = s->nodes[unheard].disk.first;
	if (restarts)
		sim_crash(s, unheard);
	s->cut[leader][unheard] = true;
	for (int i = 0; i < 3; i++) {
		last = sim_submit(s, leader);
		sim_run(s, 20000);
	}
	memset(s->cut, 0, sizeof(s->cut));
	if (restarts)
		sim_start(s, unheard);
	sim_run(s, 3000000);
	assert_int_equal(sim_leader(s), leader);
	assert_int_equal(s->nodes[leader].disk.first, 1);
	assert_true(sim_has(s, unheard, last));
	sim_free(s);
	return first > agreed ? first - agreed - 1 : UINT64_MAX;
}

static void test_snapshot_beyond_what_the_leader_knows(void **state)
{
	for (int restarts = 0; restarts < 2; restarts++) {
		bool none = false, some = false;

		for (size_t n_before = 0; n_before < 8; n_before++) {
			uint64_t behind = swallowed_behind_what_is_known(n_before, restarts);

			none |= behind == 0;
			some |= behind != 0 && behind != UINT64_MAX;
		}
		assert_true(none && some);
	}
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lagging_follower_gets_snapshot),
		cmocka_unit_test(test_snapshot_beyond_what_the_leader_knows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
