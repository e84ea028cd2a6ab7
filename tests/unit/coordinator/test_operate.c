/* What an operator may ask of a cluster, what is refused and why, and the plan. */
#include "coordinator/operate.h"
#include "tests/unit/cluster/fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint64_t PAIR[] = {1, 2};

/* Nodes 1..n, and a collection "t" with two copies of each partition, on nodes 1 and 2. */
static struct map *two_copies(uint32_t nodes, uint32_t partitions, uint64_t *index)
{
	struct map *m = fixture_map(nodes, index);

	assert_int_equal(fixture_create(&m, ++*index, fixture_collection("t", partitions, 2), PAIR,
					2, NULL),
			 0);
	return m;
}

static const struct map_partition *partition(const struct map *m, uint32_t i)
{
	return &map_collection(m, "t")->partitions[i];
}

static int operate(struct map **m, uint64_t *index, enum operate_action action, uint64_t from,
		   uint64_t to, struct error *err)
{
	struct operate_replica q = {action, 0, from, to};
	struct map_command c;
	int rc = operate_replica(*m, map_collection(*m, "t"), &q, &c, err);

	return rc != 0 ? rc : fixture_apply(m, ++*index, &c, err);
}

/* What the shard does at the end of a copy. */
static void now_in_sync(struct map **m, uint64_t *index, uint64_t node)
{
	const struct map_collection *t = map_collection(*m, "t");
	struct map_command c = {.type = MAP_PARTITION_SET,
				.collection_id = t->collection->id,
				.expect_epoch = t->partitions[0].epoch,
				.config = t->partitions[0]};

	c.config.in_sync[c.config.n_in_sync++] = node;
	c.config.n_learners = 0;
	assert_int_equal(fixture_apply(m, ++*index, &c, NULL), 0);
}

static void set_state(struct map **m, uint64_t *index, uint64_t id, enum node_state state)
{
	struct map_command c = {.type = MAP_NODE_PUT, .node = *map_node(*m, id)};

	c.node.state = state;
	assert_int_equal(fixture_apply(m, ++*index, &c, NULL), 0);
}

static void test_nodes_by_name_and_id(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(3, &index);
	const struct map_node *node;
	struct error err;

	assert_int_equal(operate_node(m, "n2", &node, &err), 0);
	assert_int_equal(node->id, 2);
	assert_int_equal(operate_node(m, "3", &node, &err), 0);
	assert_int_equal(node->id, 3);
	assert_int_equal(operate_node(m, "4", &node, &err), ERR_NOT_FOUND);
	assert_int_equal(operate_node(m, "3x", &node, &err), ERR_NOT_FOUND);
	assert_int_equal(operate_node(m, "", &node, &err), ERR_NOT_FOUND);
	map_unref(m);
}

static void test_a_move(void **state)
{
	uint64_t index = 0;
	struct map *m = two_copies(4, 1, &index);
	struct error err;

	assert_int_equal(operate(&m, &index, OPERATE_MOVE, 3, 4, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "`n3` (3) has no replica in sync"));
	assert_int_equal(operate(&m, &index, OPERATE_MOVE, 1, 2, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "has a replica of it already"));
	assert_int_equal(operate(&m, &index, OPERATE_MOVE, 1, 9, &err), ERR_NOT_FOUND);
	set_state(&m, &index, 4, NODE_DRAINING);
	assert_int_equal(operate(&m, &index, OPERATE_MOVE, 1, 4, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "is being drained"));
	set_state(&m, &index, 4, NODE_DOWN);
	assert_int_equal(operate(&m, &index, OPERATE_MOVE, 1, 4, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "is not up"));
	assert_int_equal(operate(&m, &index, OPERATE_MOVE, 1, 3, &err), 0);
	assert_int_equal(partition(m, 0)->leaving, 1);
	assert_int_equal(partition(m, 0)->pinned, 3);
	assert_int_equal(partition(m, 0)->learners[0], 3);
	assert_int_equal(partition(m, 0)->n_in_sync, 2);
	set_state(&m, &index, 4, NODE_UP);
	assert_int_equal(operate(&m, &index, OPERATE_MOVE, 2, 4, &err), ERR_EXISTS);
	assert_non_null(strstr(err.text, "a copy is being made on node `n3`"));
	/* Given up; then done. */
	assert_int_equal(operate(&m, &index, OPERATE_ABORT, 0, 4, &err), ERR_NOT_FOUND);
	assert_int_equal(operate(&m, &index, OPERATE_ABORT, 0, 0, &err), 0);
	assert_int_equal(partition(m, 0)->n_learners, 0);
	assert_int_equal(partition(m, 0)->leaving, 0);
	assert_int_equal(partition(m, 0)->pinned, 0);
	assert_int_equal(operate(&m, &index, OPERATE_MOVE, 1, 3, &err), 0);
	now_in_sync(&m, &index, 3);
	assert_int_equal(partition(m, 0)->leaving, 1);
	assert_int_equal(operate(&m, &index, OPERATE_DROP, 1, 0, &err), 0);
	assert_int_equal(partition(m, 0)->n_in_sync, 2);
	assert_int_not_equal(partition(m, 0)->primary, 1);
	assert_int_equal(operate(&m, &index, OPERATE_DROP, 2, 0, &err), ERR_INPUT);
	assert_int_equal(operate(&m, &index, OPERATE_DROP, 4, 0, &err), ERR_INPUT);
	map_unref(m);
}

static void test_a_missing_copy(void **state)
{
	uint64_t index = 0;
	struct map *m = two_copies(4, 1, &index);
	struct map_command c;
	struct error err;

	assert_int_equal(operate(&m, &index, OPERATE_REPLICATE, 0, 3, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "has all of its 2 copies"));
	c = (struct map_command){.type = MAP_PARTITION_SET,
				 .collection_id = map_collection(m, "t")->collection->id,
				 .expect_epoch = 1,
				 .config = *partition(m, 0)};
	c.config.n_in_sync = 1;
	assert_int_equal(fixture_apply(&m, ++index, &c, &err), 0);
	assert_int_equal(operate(&m, &index, OPERATE_MOVE, 1, 3, &err), ERR_EXISTS);
	assert_non_null(strstr(err.text, "only 1 of 2 copies"));
	assert_int_equal(operate(&m, &index, OPERATE_REPLICATE, 0, 3, &err), 0);
	assert_int_equal(partition(m, 0)->learners[0], 3);
	assert_int_equal(operate(&m, &index, OPERATE_DROP, 3, 0, &err), 0);
	assert_int_equal(partition(m, 0)->n_learners, 0);
	map_unref(m);
}

static void test_draining(void **state)
{
	uint64_t index = 0;
	struct map *m = two_copies(2, 3, &index);
	struct map_command c;
	struct error err = {0};

	/* Two copies on two nodes: none can go. */
	assert_int_equal(operate_drain(m, map_node(m, 1), false, &c, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "3 partitions of node `n1` would have nowhere to go"));
	assert_int_equal(operate_drain(m, map_node(m, 1), true, &c, &err), 0);
	assert_int_equal(c.node.state, NODE_DRAINING);
	map_unref(m);

	index = 0;
	m = two_copies(3, 3, &index);
	assert_int_equal(operate_undrain(m, map_node(m, 1), &c, &err), 1);
	assert_int_equal(operate_drain(m, map_node(m, 1), false, &c, &err), 0);
	assert_int_equal(fixture_apply(&m, ++index, &c, &err), 0);
	assert_int_equal(map_node(m, 1)->state, NODE_DRAINING);
	assert_int_equal(operate_drain(m, map_node(m, 1), false, &c, &err), 1);
	assert_int_equal(operate_undrain(m, map_node(m, 1), &c, &err), 0);
	assert_int_equal(fixture_apply(&m, ++index, &c, &err), 0);
	assert_int_equal(map_node(m, 1)->state, NODE_UP);
	map_unref(m);
}

static void test_the_plan(void **state)
{
	uint64_t index = 0;
	struct map *m = two_copies(2, 6, &index);
	struct arena *arena = arena_new(4096);
	struct operate_plan plan;
	struct error err;
	uint32_t drained = 0;

	operate_plan(m, 0, arena, &plan);
	assert_int_equal(plan.n, 0);
	/* A third node: a third of the 12 replicas go to it, and the steps say from where. */
	struct map_command join = fixture_node(3, "n3", "10.0.0.3:7000");

	assert_int_equal(fixture_apply(&m, ++index, &join, NULL), 0);
	operate_plan(m, 0, arena, &plan);
	assert_int_equal(plan.n, 4);
	for (uint32_t i = 0; i < plan.n; i++) {
		assert_int_equal(plan.steps[i].to, 3);
		assert_int_equal(plan.steps[i].reason, PLAN_BALANCE);
		assert_in_range(plan.steps[i].from, 1, 2);
		assert_ptr_equal(plan.steps[i].collection, map_collection(m, "t"));
	}
	/* The plan changes nothing. */
	assert_int_equal(partition(m, 0)->epoch, 1);
	/* Without node 1, all of its six go to 3. */
	operate_plan(m, 1, arena, &plan);
	for (uint32_t i = 0; i < plan.n; i++)
		drained += plan.steps[i].from == 1 && plan.steps[i].to == 3 &&
			   plan.steps[i].reason == PLAN_DRAIN;
	assert_int_equal(drained, 6);
	assert_int_equal(plan.n, 6);
	/* A move that is under way, and a copy that is missing. */
	assert_int_equal(operate(&m, &index, OPERATE_MOVE, 1, 3, &err), 0);
	struct map_command shrink = {.type = MAP_PARTITION_SET,
				     .collection_id = map_collection(m, "t")->collection->id,
				     .partition = 5,
				     .expect_epoch = 1,
				     .config = *partition(m, 5)};

	shrink.config.n_in_sync = 1;
	assert_int_equal(fixture_apply(&m, ++index, &shrink, &err), 0);
	operate_plan(m, 0, arena, &plan);
	assert_true(plan.n >= 2);
	assert_int_equal(plan.steps[0].reason, PLAN_UNDER_WAY);
	assert_int_equal(plan.steps[0].from, 1);
	assert_int_equal(plan.steps[0].to, 3);
	assert_int_equal(plan.steps[1].reason, PLAN_REBUILD);
	assert_int_equal(plan.steps[1].from, 0);
	assert_int_equal(plan.steps[1].partition, 5);
	assert_true(plan.steps[1].to == 2 || plan.steps[1].to == 3);
	arena_free(arena);
	map_unref(m);
}

static void test_states_and_recovery(void **state)
{
	uint64_t index = 0;
	struct map *m = two_copies(4, 1, &index);
	bool alive[] = {true, true, true, true};
	struct operate_lost lost = {alive, 0, 3};
	const struct map_collection *t = map_collection(m, "t");
	struct map_command c;
	struct error err;

	assert_int_equal(operate_state(m, alive, t, 0), STATE_ACTIVE);
	alive[1] = false;
	assert_int_equal(operate_state(m, alive, t, 0), STATE_DEGRADED);
	assert_int_equal(operate_recover(m, t, &lost, &c, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "node `n1` is up"));
	alive[0] = false;
	assert_int_equal(operate_state(m, alive, t, 0), STATE_OFFLINE);
	assert_int_equal(operate_recover(m, t, &lost, &c, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "that have one and are up: none"));

	alive[0] = alive[1] = true;
	assert_int_equal(operate(&m, &index, OPERATE_MOVE, 1, 3, &err), 0);
	t = map_collection(m, "t");
	assert_int_equal(operate_state(m, alive, t, 0), STATE_MOVING);
	alive[0] = alive[1] = false;
	lost.node = 4;
	assert_int_equal(operate_recover(m, t, &lost, &c, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "`n3`"));
	lost.node = 3;
	assert_int_equal(operate_recover(m, t, &lost, &c, &err), 0);
	assert_int_equal(fixture_apply(&m, ++index, &c, &err), 0);
	assert_int_equal(partition(m, 0)->primary, 3);
	assert_int_equal(partition(m, 0)->n_in_sync, 1);
	assert_int_equal(partition(m, 0)->n_learners, 2);
	assert_int_equal(operate_state(m, alive, map_collection(m, "t"), 0), STATE_DEGRADED);
	lost.partition = 1;
	assert_int_equal(operate_recover(m, map_collection(m, "t"), &lost, &c, &err),
			 ERR_NOT_FOUND);
	map_unref(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes_by_name_and_id),
		cmocka_unit_test(test_a_move),
		cmocka_unit_test(test_a_missing_copy),
		cmocka_unit_test(test_draining),
		cmocka_unit_test(test_the_plan),
		cmocka_unit_test(test_states_and_recovery),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
