/* Placement: balance, refusals with the number, moves. */
#include "cluster/place.h"
#include "tests/unit/cluster/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void count(const struct map *m, uint32_t replicas[16], uint32_t primaries[16])
{
	memset(replicas, 0, 16 * sizeof(*replicas));
	memset(primaries, 0, 16 * sizeof(*primaries));
	for (uint32_t i = 0; i < m->n_collections; i++) {
		for (uint32_t j = 0; j < m->collections[i].collection->n_partitions; j++) {
			const struct map_partition *p = &m->collections[i].partitions[j];

			primaries[p->primary]++;
			for (uint32_t k = 0; k < p->n_in_sync; k++)
				replicas[p->in_sync[k]]++;
		}
	}
}

static void create(struct map **m, uint64_t *index, const char *name, uint32_t partitions,
		   uint32_t factor)
{
	uint64_t replicas[LIMIT_PARTITIONS * LIMIT_REPLICAS];
	struct collection *definition = fixture_collection(name, partitions, factor);
	struct place_request request = {.name = name,
					.n_partitions = partitions,
					.replication_factor = factor};
	struct map_command c = {.type = MAP_CREATE_COLLECTION,
				.collection = definition,
				.replicas = replicas};
	struct error why;

	assert_int_equal(place_collection(*m, &request, replicas, &c.n_replicas, &why), 0);
	assert_int_equal(c.n_replicas, factor);
	assert_int_equal(fixture_apply(m, ++*index, &c, &why), 0);
	collection_unref(definition);
}

static void test_balanced(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(5, &index);
	uint32_t replicas[16], primaries[16];

	create(&m, &index, "a", 8, 2);
	create(&m, &index, "b", 7, 3);
	create(&m, &index, "c", 9, 2);
	count(m, replicas, primaries);
	for (uint32_t i = 1; i <= 5; i++) {
		assert_in_range(replicas[i], 11, 11); /* 55 replicas */
		assert_in_range(primaries[i], 4, 6);  /* 24 primaries */
	}
	map_unref(m);
}

/* Three of four partitions were sent to one node: those stay, and the others make up for it as far as they can. */
static void test_what_an_operator_put_there_stays(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(3, &index);
	struct place_move moves[8];

	create(&m, &index, "a", 6, 1);
	for (uint32_t i = 0; i < 6; i++) {
		struct map_partition *p = &m->collections[0].partitions[i];

		p->primary = p->in_sync[0] = i < 4 ? 1 : 2;
		p->pinned = i < 3 ? 1 : 0;
	}
	assert_int_equal(place_balance(m, moves, 8), 1);
	assert_int_equal(moves[0].partition, 3);
	assert_int_equal(moves[0].to, 3);
	/* A node that is to be emptied is emptied. */
	m->nodes[0].state = NODE_DRAINING;
	assert_int_equal(place_balance(m, moves, 8), 4);
	map_unref(m);
}

static void test_lost_node_is_spread(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(5, &index);
	bool partner[16] = {false};
	uint32_t partners = 0;

	create(&m, &index, "a", 40, 2);
	for (uint32_t j = 0; j < 40; j++) {
		const struct map_partition *p = &m->collections[0].partitions[j];

		if (p->in_sync[0] == 1)
			partner[p->in_sync[1]] = true;
		if (p->in_sync[1] == 1)
			partner[p->in_sync[0]] = true;
	}
	for (uint32_t i = 2; i <= 5; i++)
		partners += partner[i];
	assert_int_equal(partners, 4);
	map_unref(m);
}

static void test_factor_above_servers(void **state)
{
	uint64_t index = 0, replicas[8];
	struct map *m = fixture_map(3, &index);
	struct place_request request = {.name = "a", .n_partitions = 2, .replication_factor = 3};
	struct map_command down = fixture_node(2, "n2", "10.0.0.2:7000");
	struct error why;
	uint32_t n;

	down.node.state = NODE_DOWN;
	assert_int_equal(fixture_apply(&m, ++index, &down, &why), 0);
	assert_int_equal(place_collection(m, &request, replicas, &n, &why), ERR_VALIDATION);
	assert_non_null(strstr(why.text, "only 2 shard servers (of 3) are up"));
	request.degraded = true;
	assert_int_equal(place_collection(m, &request, replicas, &n, &why), 0);
	assert_int_equal(n, 2);
	for (uint32_t i = 0; i < 4; i++)
		assert_true(replicas[i] == 1 || replicas[i] == 3);
	map_unref(m);
	m = map_new(1);
	assert_int_equal(place_collection(m, &request, replicas, &n, &why), ERR_UNAVAILABLE);
	map_unref(m);
}

/* A node that cannot be reached gets nothing, unless the factor needs it. */
static void test_silent_nodes(void **state)
{
	uint64_t index = 0, replicas[16];
	const uint64_t silent[] = {2};
	struct map *m = fixture_map(3, &index);
	struct place_request request = {.name = "a",
					.n_partitions = 4,
					.replication_factor = 2,
					.silent = silent,
					.n_silent = 1};
	uint32_t n;

	assert_int_equal(place_collection(m, &request, replicas, &n, NULL), 0);
	assert_int_equal(n, 2);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_not_equal(replicas[i], 2);
	request.replication_factor = 3;
	assert_int_equal(place_collection(m, &request, replicas, &n, NULL), 0);
	assert_int_equal(n, 3);
	map_unref(m);
}

static void test_replacement(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(3, &index);
	static const uint64_t pair[] = {1, 2};

	fixture_create(&m, ++index, fixture_collection("a", 2, 2), pair, 2, NULL);
	assert_int_equal(place_replacement(m, &m->collections[0], 0), 3);
	struct map_command down = fixture_node(3, "n3", "10.0.0.3:7000");

	down.node.state = NODE_DOWN;
	fixture_apply(&m, ++index, &down, NULL);
	assert_int_equal(place_replacement(m, &m->collections[0], 0), 0);
	map_unref(m);
}

static void apply_move(struct map **m, uint64_t *index, const struct place_move *move)
{
	const struct map_collection *c = map_collection_by_id(*m, move->collection_id);
	struct map_command set = {.type = MAP_PARTITION_SET,
				  .collection_id = move->collection_id,
				  .partition = move->partition,
				  .expect_epoch = c->partitions[move->partition].epoch,
				  .config = c->partitions[move->partition]};

	set.config.learners[set.config.n_learners++] = move->to;
	assert_int_equal(fixture_apply(m, ++*index, &set, NULL), 0);
	set.expect_epoch++;
	set.config.n_learners = 0;
	set.config.in_sync[set.config.n_in_sync++] = move->to;
	assert_int_equal(fixture_apply(m, ++*index, &set, NULL), 0);
	set.expect_epoch++;
	for (uint32_t i = 0; i < set.config.n_in_sync; i++) {
		if (set.config.in_sync[i] == move->from)
			set.config.in_sync[i] = set.config.in_sync[set.config.n_in_sync - 1];
	}
	set.config.n_in_sync--;
	if (set.config.primary == move->from)
		set.config.primary = move->to;
	assert_int_equal(fixture_apply(m, ++*index, &set, NULL), 0);
}

static void test_new_node_receives_its_share(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(3, &index);
	struct map_command join = fixture_node(4, "n4", "10.0.0.4:7000");
	struct place_move move;
	uint32_t replicas[16], primaries[16], steps = 0;

	create(&m, &index, "a", 12, 2);
	assert_int_equal(place_balance(m, &move, 1), 0);
	fixture_apply(&m, ++index, &join, NULL);
	while (place_balance(m, &move, 1) == 1) {
		assert_int_equal(move.to, 4);
		apply_move(&m, &index, &move);
		assert_true(++steps < 20);
	}
	count(m, replicas, primaries);
	for (uint32_t i = 1; i <= 4; i++)
		assert_int_equal(replicas[i], 6);
	/* Draining empties a node, one bounded batch at a time. */
	join.node.state = NODE_DRAINING;
	fixture_apply(&m, ++index, &join, NULL);
	struct place_move moves[4];

	for (size_t n; (n = place_balance(m, moves, 4)) > 0;) {
		assert_true(n <= 4);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(moves[i].from, 4);
			apply_move(&m, &index, &moves[i]);
		}
		assert_true(++steps < 40);
	}
	count(m, replicas, primaries);
	assert_int_equal(replicas[4], 0);
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(replicas[i], 8);
	map_unref(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_balanced),
		cmocka_unit_test(test_what_an_operator_put_there_stays),
		cmocka_unit_test(test_lost_node_is_spread),
		cmocka_unit_test(test_factor_above_servers),
		cmocka_unit_test(test_silent_nodes),
		cmocka_unit_test(test_replacement),
		cmocka_unit_test(test_new_node_receives_its_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
