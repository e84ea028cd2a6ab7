/* Every operation of the disk fails once in turn while a copy is fetched from another node: at the target from the moment it
 * asks for the copy until it serves, and at the source while that is being read. Nothing is asked of a person, and the map
 * does not change: the copy is fetched again, and is whole.
 *
 * Each QUIVER_FAULT_STEP-th (17) operation; 1 tries every one. */
#include "tests/unit/shard/copies.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POINTS = 900, BATCH = 50, PATIENCE = 6000 };

static struct copies c;
static struct rpc_service inner_of[COPIES_MAX + 1];
static struct fault_plan next_plan; /* of the node next_node, once it is asked for a copy */
static uint64_t next_node;
static atomic_bool armed;

/* Node 1 is asked for a copy: from here on operations count. */
static void handle_arming(void *ctx, struct rpc_call *call)
{
	struct rpc_service *inner = ctx;

	if (call->type == RPC_TYPE_seed_open && atomic_exchange(&armed, false))
		c.nodes[next_node - 1].faults = next_plan;
	inner->handle(inner->ctx, call);
}

static struct rpc_service wrap(struct copy *n, struct rpc_service inner)
{
	inner_of[n->node] = inner;
	return (struct rpc_service){handle_arming, &inner_of[n->node]};
}

static const struct copies_tuning TUNED = {.log_keep_bytes = 4 << 10, .wrap = wrap};

static void arm(uint64_t node, uint32_t ops, uint64_t at)
{
	static const int codes[] = {ERR_IO, ERR_DISK_FULL};

	next_node = node;
	next_plan =
		(struct fault_plan){.ops = ops, .at = at, .code = codes[at % 2], .partly = true};
	atomic_store(&armed, true);
}

/* Its disk was replaced, or one file is damaged so that it cannot be opened. */
static void ruin(uint64_t node, bool all)
{
	char command[256];

	if (all)
		snprintf(command, sizeof command, "rm -rf '%.63s/replicas'",
			 c.nodes[node - 1].root);
	else
		snprintf(command, sizeof command, "printf x >> '%.63s/replicas/7/0/CURRENT'",
			 c.nodes[node - 1].root);
	assert_int_equal(system(command), 0);
}

static void wait_in_sync(uint64_t at)
{
	for (int i = 0;; i++) {
		struct map_partition config = copies_config(&c);

		if (config_has(&config, 2))
			return;
		if (i == PATIENCE)
			fail_msg("after the failure of operation %llu the copy does not come back",
				 (unsigned long long)at);
		usleep(10000);
	}
}

static void check_count(uint64_t node)
{
	uint64_t count = 0;

	assert_int_equal(copies_try_count(&c, node, &count), 0);
	assert_int_equal(count, POINTS);
}

/* Returns whether there was an at-th operation. */
static bool one_failure(uint64_t node, uint32_t ops, uint64_t at, bool all)
{
	struct fault_plan *faults = &c.nodes[node - 1].faults;
	bool fired;

	copy_stop(&c, 2);
	copies_wait_in_sync(&c, 2, false);
	ruin(2, all);
	arm(node, ops, at);
	copy_start(&c, 2);
	wait_in_sync(at);
	assert_true(test_counter(c.nodes[1].shard, "seeds_total") > 0);
	fired = faults->fired;
	faults->at = 0;
	copies_wait_equal(&c);
	check_count(2);
	/* What was put in its place is whole on the disk, too. */
	copy_stop(&c, 2);
	copy_start(&c, 2);
	wait_in_sync(at);
	copies_wait_equal(&c);
	check_count(2);
	return fired;
}

static void every_failure(uint64_t node, uint32_t ops, const char *what)
{
	const char *step = getenv("QUIVER_FAULT_STEP");
	uint64_t at = 1, each = step ? strtoul(step, NULL, 10) : 17;
	unsigned n = 0;

	while (one_failure(node, ops, at, n % 2 == 0)) {
		n++;
		at += each;
	}
	print_message("%u operations of %s failed, of fewer than %llu\n", n, what,
		      (unsigned long long)at);
	assert_true(n > 0);
}

static int begin(void **state)
{
	copies_start_tuned(&c, 2, 2, &TUNED);
	copies_fill(&c, 0, POINTS, BATCH, "a");
	for (int i = 0; copies_info(&c, 1).segments == 0 && i < PATIENCE; i++)
		usleep(10000);
	copies_wait_equal(&c);
	(void)state;
	return 0;
}

static int end(void **state)
{
	copies_fini(&c);
	(void)state;
	return 0;
}

static void a_target_survives_each_failure(void **state)
{
	every_failure(2, FAULT_ALL, "a target");
	(void)state;
}

/* Only what is read: a log that cannot be written is another test's. */
static void a_source_survives_each_failure(void **state)
{
	every_failure(1, FAULT_OPEN | FAULT_READ | FAULT_SIZE | FAULT_LIST, "a source");
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_target_survives_each_failure, begin, end),
		cmocka_unit_test_setup_teardown(a_source_survives_each_failure, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
