/* The shard map: what each command does and refuses, that equal commands give equal bytes, and that
 * hostile bytes are refused. */
#include "base/prng.h"
#include "tests/unit/cluster/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint64_t ONE[] = {1};
static const uint64_t PAIR[] = {2, 3};

static void test_create_and_look_up(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(3, &index);
	struct error why;
	const struct map_collection *c;

	assert_int_equal(fixture_create(&m, ++index, fixture_collection("docs", 3, 2), PAIR, 2,
					&why),
			 0);
	assert_int_equal(m->index, index);
	c = map_collection(m, "docs");
	assert_non_null(c);
	assert_int_equal(c->collection->id, MAP_FIRST_ID);
	assert_int_equal(c->collection->revision, 1);
	assert_ptr_equal(map_collection_by_id(m, MAP_FIRST_ID), c);
	assert_null(map_collection(m, "doc"));
	assert_int_equal(c->partitions[0].slot_first, 0);
	assert_int_equal(c->partitions[2].slot_last, SLOT_COUNT - 1);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(c->partitions[i].epoch, 1);
		assert_int_equal(c->partitions[i].primary, 2);
		assert_int_equal(c->partitions[i].n_in_sync, 2);
		assert_int_equal(c->partitions[i].min_isr, 1);
		if (i > 0)
			assert_int_equal(c->partitions[i].slot_first,
					 c->partitions[i - 1].slot_last + 1);
	}
	assert_int_equal(fixture_create(&m, ++index, fixture_collection("docs", 1, 1), ONE, 1,
					&why),
			 ERR_EXISTS);
	assert_string_equal(why.text, "Collection `docs` already exists!");
	assert_int_equal(m->index, index - 1);
	map_unref(m);
}

static void test_create_refusals(void **state)
{
	static const uint64_t twice[] = {2, 2}, unknown[] = {9};
	uint64_t index = 0;
	struct map *m = fixture_map(2, &index);
	struct error why;

	assert_int_equal(fixture_create(&m, ++index, fixture_collection("a", 1, 2), twice, 2, &why),
			 ERR_INPUT);
	assert_int_equal(fixture_create(&m, ++index, fixture_collection("a", 1, 1), unknown, 1,
					&why),
			 ERR_STALE);
	assert_int_equal(fixture_create(&m, ++index, fixture_collection("a/b", 1, 1), ONE, 1, &why),
			 ERR_FORMAT);
	assert_int_equal(fixture_create(&m, ++index, fixture_collection("a", 1, 9), ONE, 1, &why),
			 ERR_FORMAT);
	assert_int_equal(m->n_collections, 0);
	/* Degraded: three wanted, one there; it must be writable all the same. */
	assert_int_equal(fixture_create(&m, ++index, fixture_collection("a", 1, 3), ONE, 1, &why),
			 0);
	assert_int_equal(m->collections[0].partitions[0].min_isr, 1);
	map_unref(m);
}

static void test_route_covers_all_partitions(void **state)
{
	static const uint32_t counts[] = {1, 2, 3, 7, 16, 255, 256};

	for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
		uint64_t index = 0;
		struct map *m = fixture_map(1, &index);
		uint32_t *hits = calloc(counts[k], sizeof(*hits));
		const struct map_collection *c;

		assert_int_equal(fixture_create(&m, ++index, fixture_collection("a", counts[k], 1),
						ONE, 1, NULL),
				 0);
		c = map_collection(m, "a");
		for (uint64_t i = 0; i < 20000; i++) {
			struct point_id id = id_from_u64(i);
			uint32_t p = map_route(c, &id);

			assert_in_range(p, 0, counts[k] - 1);
			assert_true(id_slot(&id) >= c->partitions[p].slot_first);
			assert_true(id_slot(&id) <= c->partitions[p].slot_last);
			hits[p]++;
		}
		for (uint32_t p = 0; p < counts[k]; p++)
			assert_true(hits[p] > 20000 / counts[k] / 3);
		free(hits);
		map_unref(m);
	}
}

static void test_update_compares_revision(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(1, &index);
	struct error why;

	fixture_create(&m, ++index, fixture_collection("a", 2, 1), ONE, 1, NULL);
	struct collection *changed = fixture_collection("a", 2, 1);

	changed->spaces[0].index.m = 32;
	struct map_command c = {.type = MAP_UPDATE_COLLECTION,
				.collection = changed,
				.expect_revision = 1};
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), 0);
	assert_int_equal(map_collection(m, "a")->collection->revision, 2);
	assert_int_equal(map_collection(m, "a")->collection->id, MAP_FIRST_ID);
	assert_int_equal(map_collection(m, "a")->collection->spaces[0].index.m, 32);
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_STALE);
	changed->spaces[0].dim = 5;
	c.expect_revision = 2;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_VALIDATION);
	collection_unref(changed);
	c.collection = fixture_collection("b", 1, 1);
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_NOT_FOUND);
	assert_string_equal(why.text, "Collection `b` doesn't exist!");
	collection_unref(c.collection);
	map_unref(m);
}

static int aliases(struct map **m, uint64_t index, struct alias_action *actions, uint32_t n,
		   struct error *why)
{
	struct map_command c = {.type = MAP_ALIASES, .actions = actions, .n_actions = n};

	return fixture_apply(m, index, &c, why);
}

static void test_aliases_are_all_or_none(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(1, &index);
	struct error why;

	fixture_create(&m, ++index, fixture_collection("v1", 1, 1), ONE, 1, NULL);
	fixture_create(&m, ++index, fixture_collection("v2", 1, 1), ONE, 1, NULL);
	struct alias_action first[] = {{ALIAS_CREATE, "live", "v1"}, {ALIAS_CREATE, "old", "v1"}};

	assert_int_equal(aliases(&m, ++index, first, 2, &why), 0);
	assert_string_equal(map_collection(m, "live")->collection->name, "v1");
	/* The switch in one command, which fails at its end: nothing of it may stay. */
	struct alias_action bad[] = {{ALIAS_DELETE, "old", NULL},
				     {ALIAS_CREATE, "live", "v2"},
				     {ALIAS_RENAME, "missing", "x"}};

	assert_int_equal(aliases(&m, ++index, bad, 3, &why), ERR_NOT_FOUND);
	assert_string_equal(map_collection(m, "live")->collection->name, "v1");
	assert_non_null(map_collection(m, "old"));
	struct alias_action good[] = {{ALIAS_DELETE, "live", NULL},
				      {ALIAS_CREATE, "live", "v2"},
				      {ALIAS_RENAME, "old", "older"}};

	assert_int_equal(aliases(&m, ++index, good, 3, &why), 0);
	assert_string_equal(map_collection(m, "live")->collection->name, "v2");
	assert_null(map_collection(m, "old"));
	assert_non_null(map_collection(m, "older"));
	struct alias_action clash[] = {{ALIAS_CREATE, "v2", "v1"}};

	assert_int_equal(aliases(&m, ++index, clash, 1, &why), ERR_EXISTS);
	struct alias_action dangling[] = {{ALIAS_CREATE, "x", "v9"}};

	assert_int_equal(aliases(&m, ++index, dangling, 1, &why), ERR_NOT_FOUND);
	/* A collection takes its aliases along. */
	struct map_command drop = {.type = MAP_DELETE_COLLECTION, .name = "v1"};

	assert_int_equal(fixture_apply(&m, ++index, &drop, &why), 0);
	assert_null(map_collection(m, "older"));
	assert_int_equal(m->n_aliases, 1);
	assert_int_equal(fixture_apply(&m, ++index, &drop, &why), ERR_NOT_FOUND);
	/* And no collection may take the name of an alias. */
	assert_int_equal(fixture_create(&m, ++index, fixture_collection("live", 1, 1), ONE, 1,
					&why),
			 ERR_EXISTS);
	map_unref(m);
}

static void test_nodes(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(2, &index);
	struct error why;
	struct map_command join = fixture_node(0, "n3", "10.0.0.3:7000");

	assert_int_equal(fixture_apply(&m, ++index, &join, &why), 0);
	assert_int_equal(map_node_by_name(m, "n3")->id, MAP_FIRST_ID);
	assert_int_equal(fixture_apply(&m, ++index, &join, &why), ERR_EXISTS); /* its name */
	join.node.name = "n4";
	assert_int_equal(fixture_apply(&m, ++index, &join, &why), ERR_EXISTS); /* its address */

	struct map_command again = fixture_node(1, "n1", "10.0.0.1:7100");

	assert_int_equal(fixture_apply(&m, ++index, &again, &why),
			 ERR_EXISTS); /* a copied folder */
	again.node.incarnation = 2;
	assert_int_equal(fixture_apply(&m, ++index, &again, &why), 0);
	assert_string_equal(map_node(m, 1)->rpc_address, "10.0.0.1:7100");
	again.node.incarnation = 1;
	assert_int_equal(fixture_apply(&m, ++index, &again, &why), ERR_STALE);
	again.node.id = 99;
	again.node.name = "n99";
	again.node.rpc_address = "10.0.0.99:7000";
	assert_int_equal(fixture_apply(&m, ++index, &again, &why), ERR_NOT_FOUND);

	fixture_create(&m, ++index, fixture_collection("a", 2, 1), ONE, 1, NULL);
	struct map_command leave = {.type = MAP_NODE_REMOVE, .node.id = 1};

	assert_int_equal(fixture_apply(&m, ++index, &leave, &why), ERR_BUSY);
	leave.node.id = 2;
	assert_int_equal(fixture_apply(&m, ++index, &leave, &why), 0);
	assert_null(map_node(m, 2));
	assert_int_equal(fixture_apply(&m, ++index, &leave, &why), ERR_NOT_FOUND);
	map_unref(m);
}

static struct map_command partition_set(const struct map *m, uint64_t expect)
{
	return (struct map_command){.type = MAP_PARTITION_SET,
				    .collection_id = m->collections[0].collection->id,
				    .partition = 1,
				    .expect_epoch = expect,
				    .config = m->collections[0].partitions[1]};
}

static void test_partition_compare_and_set(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(4, &index);
	struct error why;
	struct map_command c;

	fixture_create(&m, ++index, fixture_collection("a", 2, 2), PAIR, 2, NULL);
	c = partition_set(m, 1);
	c.config.primary = 3;
	c.config.in_sync[0] = 3;
	c.config.n_in_sync = 1;
	const struct map *before = map_ref(m);

	assert_int_equal(fixture_apply(&m, ++index, &c, &why), 0);
	assert_int_equal(m->collections[0].partitions[1].epoch, 2);
	assert_int_equal(m->collections[0].partitions[1].primary, 3);
	assert_int_equal(m->collections[0].partitions[0].epoch, 1);
	/* The map that was published before did not move. */
	assert_int_equal(before->collections[0].partitions[1].epoch, 1);
	map_unref(before);
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_STALE);

	c = partition_set(m, 2); /* node 4 straight into the in-sync set */
	c.config.in_sync[1] = 4;
	c.config.n_in_sync = 2;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_VALIDATION);
	c = partition_set(m, 2);
	c.config.learners[0] = 4;
	c.config.n_learners = 1;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), 0);
	c = partition_set(m, 3); /* a learner as primary */
	c.config.primary = 4;
	c.config.in_sync[1] = 4;
	c.config.n_in_sync = 2;
	c.config.n_learners = 0;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_VALIDATION);
	c.config.primary = 3;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), 0);
	assert_int_equal(m->collections[0].partitions[1].n_in_sync, 2);
	c = partition_set(m, 4);
	c.config.n_in_sync = 0;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_VALIDATION);
	c = partition_set(m, 4);
	c.config.min_isr = 2;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), 0);
	c = partition_set(m, 5);
	c.config.n_in_sync = 1;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_VALIDATION);
	c = partition_set(m, 5);
	c.config.slot_first++;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_VALIDATION);
	map_unref(m);
}

/* Which replica a move takes away is remembered until it is gone, or the move is given up. */
/* A learner's process was started again: what it said before must not take it into the set. */
static void test_a_start_begins_new_epochs_for_learners(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(2, &index);
	struct error why;

	fixture_create(&m, ++index, fixture_collection("a", 2, 1), ONE, 1, NULL);

	struct map_command c = partition_set(m, 1), again;
	uint64_t primary = c.config.primary, learner = 3 - primary;

	c.config.n_learners = 1;
	c.config.learners[0] = learner;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), 0);
	assert_int_equal(m->collections[0].partitions[1].epoch, 2);
	again = (struct map_command){.type = MAP_NODE_PUT, .node = *map_node(m, learner)};
	assert_int_equal(fixture_apply(&m, ++index, &again, &why),
			 0); /* no start: its state, say */
	assert_int_equal(m->collections[0].partitions[1].epoch, 2);
	again.node = *map_node(m, learner);
	again.node.incarnation++;
	assert_int_equal(fixture_apply(&m, ++index, &again, &why), 0);
	assert_int_equal(m->collections[0].partitions[1].epoch, 3);
	assert_int_equal(m->collections[0].partitions[1].n_learners, 1);
	assert_int_equal(m->collections[0].partitions[0].epoch, 1);
	c.expect_epoch = 2;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_STALE);
	again = (struct map_command){.type = MAP_NODE_PUT, .node = *map_node(m, primary)};
	again.node.incarnation++;
	assert_int_equal(fixture_apply(&m, ++index, &again, &why),
			 0); /* a member: not opened if it lost its folder */
	assert_int_equal(m->collections[0].partitions[1].epoch, 3);
	map_unref(m);
}

static void test_a_move_is_remembered(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(4, &index);
	struct map_command c;

	fixture_create(&m, ++index, fixture_collection("a", 2, 2), PAIR, 2, NULL);
	c = partition_set(m, 1);
	c.config.leaving = 2; /* but nobody comes in its place */
	assert_int_equal(fixture_apply(&m, ++index, &c, NULL), 0);
	assert_int_equal(m->collections[0].partitions[1].leaving, 0);
	c.expect_epoch = 2;
	c.config.learners[0] = 4;
	c.config.n_learners = 1;
	assert_int_equal(fixture_apply(&m, ++index, &c, NULL), 0);
	assert_int_equal(m->collections[0].partitions[1].leaving, 2);
	c = partition_set(m, 3); /* in sync */
	c.config.in_sync[2] = 4;
	c.config.n_in_sync = 3;
	c.config.n_learners = 0;
	assert_int_equal(fixture_apply(&m, ++index, &c, NULL), 0);
	assert_int_equal(m->collections[0].partitions[1].leaving, 2);
	c = partition_set(m, 4);
	c.config.primary = c.config.in_sync[0] = 4;
	c.config.n_in_sync = 2;
	assert_int_equal(fixture_apply(&m, ++index, &c, NULL), 0);
	assert_int_equal(m->collections[0].partitions[1].leaving, 0);
	map_unref(m);
}

/* As long as it is there; a map without such a thing can be read by a program that does not know of it. */
static void test_a_pin_is_remembered(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(4, &index), *again = NULL;
	struct buf before = BUF_INIT, after = BUF_INIT;
	struct map_command c;

	fixture_create(&m, ++index, fixture_collection("a", 2, 2), PAIR, 2, NULL);
	map_encode(&before, m);
	c = partition_set(m, 1);
	c.config.pinned = 2;
	assert_int_equal(fixture_apply(&m, ++index, &c, NULL), 0);
	assert_int_equal(m->collections[0].partitions[1].pinned, 2);
	map_encode(&after, m);
	assert_int_equal(before.data[4], 2);
	assert_int_equal(after.data[4], 3);
	assert_int_equal(map_decode(after.data, after.len, &again, NULL), 0);
	assert_int_equal(again->collections[0].partitions[1].pinned, 2);
	map_unref(again);
	c.expect_epoch = 2;
	c.config.pinned = 4; /* it has none */
	assert_int_equal(fixture_apply(&m, ++index, &c, NULL), 0);
	assert_int_equal(m->collections[0].partitions[1].pinned, 0);
	buf_fini(&before);
	buf_fini(&after);
	map_unref(m);
}

/* Only the command that says so makes a learner primary; everything else about it is checked as ever. */
static void test_recovery_from_a_learner(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(4, &index);
	struct error why;
	struct map_command c;

	fixture_create(&m, ++index, fixture_collection("a", 2, 2), PAIR, 2, NULL);
	c = partition_set(m, 1);
	c.config.learners[0] = 4;
	c.config.n_learners = 1;
	assert_int_equal(fixture_apply(&m, ++index, &c, NULL), 0);
	c = partition_set(m, 2);
	c.config.primary = c.config.in_sync[0] = 4;
	c.config.n_in_sync = 1;
	c.config.learners[0] = 2;
	c.config.learners[1] = 3;
	c.config.n_learners = 2;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_VALIDATION);
	c.type = MAP_PARTITION_RECOVER;
	c.config.primary = c.config.in_sync[0] = 1; /* never had a replica */
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_VALIDATION);
	c.config.primary = c.config.in_sync[0] = 4;
	c.expect_epoch = 1;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), ERR_STALE);
	c.expect_epoch = 2;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), 0);
	assert_int_equal(m->collections[0].partitions[1].primary, 4);
	assert_int_equal(m->collections[0].partitions[1].n_learners, 2);
	map_unref(m);
}

/* What the version before wrote is read. */
static void test_the_version_before(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(4, &index), *back = NULL, *next = NULL;
	struct buf b = BUF_INIT;
	struct map_command c;
	struct error why;

	fixture_create(&m, ++index, fixture_collection("a", 1, 2), PAIR, 2, NULL);
	map_encode(&b, m);
	assert_int_equal(b.data[4], 2);
	/* Behind the only partition: aliases, keys, and ids of commands. */
	size_t tail = 4 + 4 + 4 + m->n_done * 16u, at = b.len - tail - 8;

	memmove(b.data + at, b.data + at + 8, tail);
	b.len -= 8;
	b.data[4] = 1;
	assert_int_equal(map_decode(b.data, b.len, &back, NULL), 0);
	assert_int_equal(back->collections[0].partitions[0].primary, 2);
	map_unref(back);
	b.data[4] = 4;
	assert_int_equal(map_decode(b.data, b.len, &back, NULL), ERR_VERSION);

	c = (struct map_command){.type = MAP_PARTITION_SET,
				 .collection_id = m->collections[0].collection->id,
				 .expect_epoch = 1,
				 .config = m->collections[0].partitions[0]};
	c.config.min_isr = 2;
	buf_clear(&b);
	map_command_encode(&b, &c);
	b.len -= 8;
	b.data[0] = 1;
	assert_int_equal(map_apply(m, ++index, b.data, b.len, &next, &why), 0);
	assert_int_equal(why.code, 0);
	assert_int_equal(next->collections[0].partitions[0].min_isr, 2);
	map_unref(next);
	map_unref(m);
	buf_fini(&b);
}

static void test_retry_applies_once(void **state)
{
	uint64_t index = 0;
	struct map *m = fixture_map(1, &index);
	struct error why;
	struct map_command c = fixture_node(0, "late", "10.0.0.9:7000");

	c.command_hi = 5;
	c.command_lo = 6;
	assert_int_equal(fixture_apply(&m, ++index, &c, &why), 0);
	assert_int_equal(m->n_nodes, 2);
	uint64_t next_id = m->next_id;

	assert_int_equal(fixture_apply(&m, ++index, &c, &why), 0);
	assert_int_equal(m->n_nodes, 2);
	assert_int_equal(m->next_id, next_id);
	for (uint64_t i = 0; i < MAP_DONE_CAPACITY + 10; i++) {
		struct map_command key = {.type = MAP_KEY_PUT,
					  .command_hi = 1,
					  .command_lo = i,
					  .key = {.name = "k", .read_only = i % 2 == 0}};

		assert_int_equal(fixture_apply(&m, ++index, &key, &why), 0);
	}
	assert_int_equal(m->n_done, MAP_DONE_CAPACITY);
	assert_int_equal(m->n_keys, 1);
	struct map_command gone = {.type = MAP_KEY_REMOVE, .name = "k"};

	assert_int_equal(fixture_apply(&m, ++index, &gone, &why), 0);
	assert_int_equal(fixture_apply(&m, ++index, &gone, &why), ERR_NOT_FOUND);
	map_unref(m);
}

/* A random history of commands, many of them refused. */
struct scratch {
	uint64_t replicas[8];
	char names[3][16];
	struct alias_action action;
	struct collection *definition;
};

static void random_command(struct prng *p, const struct map *m, struct map_command *c,
			   struct scratch *s)
{
	memset(c, 0, sizeof(*c));
	s->definition = NULL;
	snprintf(s->names[0], 16, "c%u", (unsigned)prng_below(p, 12));
	snprintf(s->names[1], 16, "a%u", (unsigned)prng_below(p, 6));
	snprintf(s->names[2], 16, "10.0.1.%u:1", (unsigned)prng_below(p, 9));
	c->type = (enum map_command_type)prng_below(p, MAP_COMMAND_COUNT);
	c->command_hi = prng_below(p, 3);
	c->command_lo = prng_below(p, 200);
	c->name = s->names[0];
	switch (c->type) {
	case MAP_CREATE_COLLECTION:
	case MAP_UPDATE_COLLECTION:
		s->definition = fixture_collection(s->names[0], 1 + (uint32_t)prng_below(p, 2), 2);
		c->collection = s->definition;
		c->replicas = s->replicas;
		c->n_replicas = 2;
		c->expect_revision = 1 + prng_below(p, 2);
		for (uint32_t i = 0; i < 4; i++)
			s->replicas[i] = 1 + prng_below(p, 4);
		break;
	case MAP_ALIASES:
		s->action = (struct alias_action){(enum alias_action_type)prng_below(p, 3),
						  s->names[1], s->names[0]};
		c->actions = &s->action;
		c->n_actions = 1;
		break;
	case MAP_NODE_PUT:
		*c = fixture_node(prng_below(p, 6), s->names[1], s->names[2]);
		c->node.incarnation = prng_below(p, 4);
		break;
	case MAP_NODE_REMOVE: c->node.id = prng_below(p, 20); break;
	case MAP_PARTITION_SET:
	case MAP_PARTITION_RECOVER:
		if (m->n_collections > 0) {
			const struct map_collection *of =
				&m->collections[prng_below(p, m->n_collections)];

			c->collection_id = of->collection->id;
			c->config = of->partitions[0];
			c->expect_epoch = c->config.epoch;
			c->config.learners[0] = 1 + prng_below(p, 4);
			c->config.n_learners = 1;
		}
		break;
	case MAP_KEY_PUT: c->key.name = s->names[1]; break;
	default: break;
	}
}

static void test_equal_histories_equal_bytes(void **state)
{
	struct buf log[600];
	uint64_t index = 0;
	struct map *m = fixture_map(4, &index);
	struct map *start = map_ref(m);
	struct prng p;
	size_t applied = 0;
	struct buf a = BUF_INIT, b = BUF_INIT;

	prng_seed(&p, 42);
	for (size_t i = 0; i < 600; i++) {
		struct map_command c;
		struct scratch scratch;
		struct map *next;
		struct error why;

		random_command(&p, m, &c, &scratch);
		log[i] = BUF_INIT;
		map_command_encode(&log[i], &c);
		assert_int_equal(map_apply(m, ++index, log[i].data, log[i].len, &next, &why), 0);
		applied += why.code == 0;
		assert_true(why.code == 0 || why.text[0] != '\0');
		map_unref(m);
		m = next;
		collection_unref(scratch.definition);
	}
	assert_in_range(applied, 100, 590);
	map_encode(&a, m);
	/* The second machine was restored from bytes half-way, as from a snapshot. */
	index -= 600;
	for (size_t i = 0; i < 600; i++) {
		struct map *next;
		struct error why;

		assert_int_equal(map_apply(start, ++index, log[i].data, log[i].len, &next, &why),
				 0);
		map_unref(start);
		start = next;
		if (i % 37 == 0) {
			buf_clear(&b);
			map_encode(&b, start);
			map_unref(start);
			assert_int_equal(map_decode(b.data, b.len, &start, &why), 0);
		}
		buf_fini(&log[i]);
	}
	buf_clear(&b);
	map_encode(&b, start);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	buf_fini(&a);
	buf_fini(&b);
	map_unref(start);
	map_unref(m);
}

static struct map *rich_map(void)
{
	uint64_t index = 0;
	struct map *m = fixture_map(3, &index);
	struct alias_action action = {ALIAS_CREATE, "live", "docs"};
	struct map_command key = {.type = MAP_KEY_PUT, .command_hi = 3, .key = {.name = "reader"}};

	fixture_create(&m, ++index, fixture_collection("docs", 3, 2), PAIR, 2, NULL);
	aliases(&m, ++index, &action, 1, NULL);
	fixture_apply(&m, ++index, &key, NULL);
	return m;
}

static void test_hostile_map_bytes(void **state)
{
	struct map *m = rich_map();
	struct map *out;
	struct buf b = BUF_INIT;
	struct prng p;
	struct error why;

	map_encode(&b, m);
	for (size_t n = 0; n < b.len; n++) {
		uint8_t *cut = malloc(n + 1);

		memcpy(cut, b.data, n);
		assert_true(map_decode(cut, n, &out, &why) < 0);
		free(cut);
	}
	prng_seed(&p, 7);
	for (int round = 0; round < 20000; round++) {
		size_t at = prng_below(&p, b.len);
		uint8_t old = b.data[at];

		b.data[at] = (uint8_t)prng_u64(&p);
		if (map_decode(b.data, b.len, &out, &why) == 0) {
			struct buf again = BUF_INIT;

			/* What is accepted is a map: it can be written and read. */
			map_encode(&again, out);
			assert_memory_equal(again.data, b.data, b.len);
			buf_fini(&again);
			map_unref(out);
		}
		b.data[at] = old;
	}
	buf_fini(&b);
	map_unref(m);
}

static void test_hostile_command_bytes(void **state)
{
	struct prng p;
	struct map *m = rich_map();

	prng_seed(&p, 11);
	for (int round = 0; round < 20000; round++) {
		struct map_command c;
		struct scratch scratch;
		struct buf b = BUF_INIT;
		struct map *next = NULL;
		struct error why;
		size_t n;

		random_command(&p, m, &c, &scratch);
		map_command_encode(&b, &c);
		for (uint64_t i = prng_below(&p, 3); i-- > 0;)
			b.data[prng_below(&p, b.len)] = (uint8_t)prng_u64(&p);
		n = prng_below(&p, 4) == 0 ? prng_below(&p, b.len) : b.len;
		if (map_apply(m, 1000, b.data, n, &next, &why) == 0) {
			struct buf bytes = BUF_INIT;
			struct map *again;

			map_encode(&bytes, next);
			assert_int_equal(map_decode(bytes.data, bytes.len, &again, &why), 0);
			map_unref(again);
			map_unref(next);
			buf_fini(&bytes);
		} else {
			assert_int_equal(why.code, ERR_VERSION);
		}
		buf_fini(&b);
		collection_unref(scratch.definition);
	}
	map_unref(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_and_look_up),
		cmocka_unit_test(test_create_refusals),
		cmocka_unit_test(test_route_covers_all_partitions),
		cmocka_unit_test(test_update_compares_revision),
		cmocka_unit_test(test_aliases_are_all_or_none),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_partition_compare_and_set),
		cmocka_unit_test(test_a_start_begins_new_epochs_for_learners),
		cmocka_unit_test(test_a_move_is_remembered),
		cmocka_unit_test(test_a_pin_is_remembered),
		cmocka_unit_test(test_recovery_from_a_learner),
		cmocka_unit_test(test_the_version_before),
		cmocka_unit_test(test_retry_applies_once),
		cmocka_unit_test(test_equal_histories_equal_bytes),
		cmocka_unit_test(test_hostile_map_bytes),
		cmocka_unit_test(test_hostile_command_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
