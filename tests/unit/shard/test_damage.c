/* A block that goes bad while the node runs: the reader that meets it says that its answer is incomplete,
 * the segment is looked through once more and put aside, and the rest goes on. */
#include "tests/unit/shard/fixture.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DIM = 4, ROWS = 100 };

/* Two sealed segments of a hundred points, with n = 0 and n = 1, and five points in memory. */
static void start(struct fixture *f)
{
	fixture_init(f);
	fixture_add_space(f, "", DIM, DISTANCE_EUCLID, INDEX_FLAT);
	f->options.seal_rows = ROWS;
	f->options.index_min_rows = ROWS;
	f->options.seal_idle_ms = 100000; /* no merging */
	fixture_start(f);
	for (uint64_t i = 0; i < 2; i++) {
		fixture_upsert(f, i * ROWS, ROWS, (int64_t)i);
		fixture_settle(f);
	}
	fixture_upsert(f, 2 * ROWS, 5, 9);
}

/* Up to 200 nearest points with n in 0..9; no index of n helps, so every payload is read. */
static uint32_t search(struct fixture *f, bool *incomplete)
{
	float v[DIM] = {0};
	struct leaf leaf = {.vector = {VECTOR_DENSE, 0, DIM, v, NULL}, .top = 300};
	struct rpc_search_request request = {.leaves = &leaf, .n_leaves = 1};
	struct rpc_search_response out = {0};

	leaf.filter = test_range(f->arena, 0, 10);
	request.target = fixture_target(f, 0);
	assert_int_equal(fixture_call(f, RPC_TYPE_search, &request, &out), 0);
	*incomplete = out.receipts[0].incomplete;
	return out.hits[0].n;
}

static void a_block_that_goes_bad_is_met_said_and_put_aside(void **state)
{
	for (int which = 0; which < 2; which++) {
		struct fixture f;
		struct error why = {0};
		bool incomplete;

		start(&f);
		assert_true(shard_ready(f.shard, NULL));
		assert_int_equal(fixture_info(&f).status, REPLICA_GREEN);
		assert_int_equal(fixture_damage(&f, which, "payload"), 2);

		/* the first reader says so at once, before anything was put aside */
		uint32_t n = search(&f, &incomplete);
		assert_true(incomplete);
		assert_in_range(n, 5, 2 * ROWS + 4);
		for (int wait = 0; fixture_info(&f).status != REPLICA_RED && wait < 1000; wait++) {
			fixture_upsert(&f, 5000, 1, 50); /* something to do */
			usleep(10000);
		}
		assert_int_equal(fixture_info(&f).status, REPLICA_RED);
		assert_non_null(strstr(fixture_info(&f).warning, "corrupt"));
		assert_false(shard_ready(f.shard, &why));
		assert_non_null(strstr(why.text, "corrupt"));

		/* the other segment and the points in memory are all there; what is missing is said */
		assert_int_equal(search(&f, &incomplete), ROWS + 5);
		assert_true(incomplete);
		fixture_upsert(&f, 3 * ROWS, 1, 9);
		assert_int_equal(search(&f, &incomplete), ROWS + 6);
		fixture_stop(&f);
		fixture_start(&f); /* and the manifest remembers */
		assert_int_equal(fixture_info(&f).status, REPLICA_RED);
		assert_int_equal(search(&f, &incomplete), ROWS + 6);
		assert_true(incomplete);
		fixture_fini(&f);
	}
	(void)state;
}

static void what_is_whole_is_complete(void **state)
{
	struct fixture f;
	bool incomplete;

	start(&f);
	assert_int_equal(search(&f, &incomplete), 2 * ROWS + 5);
	assert_false(incomplete);
	fixture_fini(&f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_that_goes_bad_is_met_said_and_put_aside),
		cmocka_unit_test(what_is_whole_is_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
