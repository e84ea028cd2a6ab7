/* The healer in virtual time: a map, nodes that live or not, and the commands applied as the cluster would. */
#include "cluster/heal.h"
#include "base/memory.h"
#include "cluster/place.h"
#include "tests/unit/cluster/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MS = 1000, NODES = 9, LEARNS_US = 400 * MS };

struct world {
	struct heal *heal;
	struct map *map;
	uint64_t index, now_us;
	bool silent[NODES + 1];  /* no heartbeats */
	bool cut[NODES + 1];     /* silent for the leader, alive for the others */
	bool broken[NODES + 1];  /* its replicas cannot be opened, or are damaged */
	uint64_t seq[NODES + 1]; /* of every replica there */
	bool grows;              /* primaries take learners in after LEARNS_US */
	uint64_t learning_us;    /* since when there is a learner */
	bool deaf;               /* commands are lost */
	uint32_t probes, commands, alarms;
	struct heal_change change;
	struct meta_member members[NODES];
	size_t n_members;
	struct map_partition least; /* fewest in-sync members seen, of any partition: n_in_sync */
};

static struct map_node *node_at(struct world *w, uint64_t id)
{
	return (struct map_node *)map_node(w->map, id);
}

static const struct map_partition *partition_at(struct world *w, uint32_t p)
{
	return &w->map->collections[0].partitions[p];
}

static bool has(const uint64_t *ids, uint32_t n, uint64_t id)
{
	for (uint32_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static void step(struct world *w, struct heal_event *e);

static void apply(struct world *w, const struct map_command *c, int expect)
{
	struct error why = {0};
	assert_int_equal(fixture_apply(&w->map, ++w->index, c, &why), expect);
	step(w, &(struct heal_event){.type = HEAL_MAP, .map = w->map});
}

static void step(struct world *w, struct heal_event *e)
{
	struct heal_update u;
	struct map_command commands[256];
	struct heal_probe probes[64];
	size_t n_commands, n_probes;
	e->now_us = w->now_us;
	heal_step(w->heal, e, &u);
	n_commands = u.n_commands;
	n_probes = u.n_probes;
	assert_true(n_commands <= 256 && n_probes <= 64);
	if (n_commands > 0)
		memcpy(commands, u.commands, n_commands * sizeof(*commands));
	if (n_probes > 0)
		memcpy(probes, u.probes, n_probes * sizeof(*probes));
	for (size_t i = 0; i < u.n_notices; i++)
		w->alarms += u.notices[i].alarm;
	if (u.change.change != 0)
		w->change = u.change;
	for (size_t i = 0; i < n_probes; i++) {
		uint64_t node = probes[i].node, through = probes[i].through;
		assert_int_not_equal(node, through);
		assert_false(w->silent[through] || w->cut[through]);
		w->probes++;
		step(w, &(struct heal_event){.type = HEAL_PROBED,
					     .node = node,
					     .reachable = !w->silent[node]});
	}
	for (size_t i = 0; i < n_commands && !w->deaf; i++) {
		w->commands++;
		struct error why = {0};
		int rc = fixture_apply(&w->map, ++w->index, &commands[i], &why);
		assert_int_equal(rc, 0);
	}
	if (n_commands > 0 && !w->deaf)
		step(w, &(struct heal_event){.type = HEAL_MAP, .map = w->map});
}

static void heartbeat(struct world *w, uint64_t id)
{
	struct heal_report reports[64];
	size_t n = 0;
	for (uint32_t i = 0; i < w->map->n_collections; i++) {
		const struct map_collection *c = &w->map->collections[i];
		for (uint32_t p = 0; p < c->collection->n_partitions; p++) {
			const struct map_partition *now = &c->partitions[p];
			if (has(now->in_sync, now->n_in_sync, id))
				reports[n++] =
					(struct heal_report){.collection_id = c->collection->id,
							     .partition = p,
							     .epoch = now->epoch,
							     .last_epoch = 1,
							     .last_seq = w->seq[id],
							     .commit_seq = 5,
							     .digest = 99,
							     .failed = w->broken[id]};
		}
	}
	step(w, &(struct heal_event){.type = HEAL_HEARTBEAT,
				     .node = id,
				     .incarnation = node_at(w, id)->incarnation,
				     .reports = reports,
				     .n_reports = n});
}

/* What a primary does with learners that caught up. */
static void grow(struct world *w)
{
	bool any = false;
	for (uint32_t i = 0; i < w->map->n_collections; i++) {
		for (uint32_t p = 0; p < w->map->collections[i].collection->n_partitions; p++) {
			const struct map_collection *c = &w->map->collections[i];
			const struct map_partition *now = &c->partitions[p];
			struct map_command set = {.type = MAP_PARTITION_SET,
						  .collection_id = c->collection->id,
						  .partition = p,
						  .expect_epoch = now->epoch,
						  .config = *now};
			if (w->silent[now->primary])
				continue;
			for (uint32_t k = 0; k < now->n_learners; k++) {
				uint64_t id = now->learners[k];
				if (w->silent[id])
					continue;
				any = true;
				if (w->learning_us == 0 || w->now_us - w->learning_us < LEARNS_US)
					continue;
				set.config.in_sync[set.config.n_in_sync++] = id;
				set.config.learners[k] =
					set.config.learners[--set.config.n_learners];
				apply(w, &set, 0);
				break;
			}
		}
	}
	if (!any)
		w->learning_us = 0;
	else if (w->learning_us == 0 || w->now_us - w->learning_us >= LEARNS_US)
		w->learning_us = w->now_us;
}

static void run_for(struct world *w, uint64_t ms)
{
	for (uint64_t end = w->now_us + ms * MS; w->now_us < end; w->now_us += 50 * MS) {
		for (uint32_t i = 0; i < w->map->n_nodes; i++) {
			uint64_t id = w->map->nodes[i].id;
			if (w->now_us % (250 * MS) == 0 && !w->silent[id] && !w->cut[id])
				heartbeat(w, id);
		}
		if (w->now_us % HEAL_TICK_US == 0)
			step(w, &(struct heal_event){.type = HEAL_TICK,
						     .members = w->members,
						     .n_members = w->n_members});
		if (w->grows)
			grow(w);
		for (uint32_t i = 0; i < w->map->n_collections; i++) {
			const struct map_collection *c = &w->map->collections[i];
			for (uint32_t p = 0; p < c->collection->n_partitions; p++)
				if (c->partitions[p].n_in_sync < w->least.n_in_sync)
					w->least = c->partitions[p];
		}
	}
}

static struct world *world_new(uint32_t nodes, uint32_t partitions, uint32_t factor)
{
	struct world *w = mem_zalloc(sizeof(*w));
	uint64_t replicas[LIMIT_PARTITIONS * LIMIT_REPLICAS];
	struct heal_options o = {.self = 1};
	w->heal = heal_new(&o);
	w->now_us = 1000000000;
	w->least.n_in_sync = LIMIT_REPLICAS;
	w->map = fixture_map(nodes, &w->index);
	if (partitions > 0) {
		struct collection *definition = fixture_collection("c", partitions, factor);
		struct place_request request = {.name = "c",
						.n_partitions = partitions,
						.replication_factor = factor};
		struct map_command c = {.type = MAP_CREATE_COLLECTION,
					.collection = definition,
					.replicas = replicas};
		assert_int_equal(place_collection(w->map, &request, replicas, &c.n_replicas, NULL),
				 0);
		assert_int_equal(fixture_apply(&w->map, ++w->index, &c, NULL), 0);
		collection_unref(definition);
	}
	step(w, &(struct heal_event){.type = HEAL_MAP, .map = w->map});
	step(w, &(struct heal_event){.type = HEAL_LEAD, .leads = true});
	return w;
}

static void world_free(struct world *w)
{
	heal_free(w->heal);
	map_unref(w->map);
	free(w);
}

static void test_healthy_cluster_is_left_alone(void **state)
{
	struct world *w = world_new(5, 10, 2);
	run_for(w, 120000);
	assert_int_equal(w->commands, 0);
	assert_int_equal(w->probes, 0);
	assert_int_equal(w->alarms, 0);
	world_free(w);
}

static void test_silence_is_probed_then_dead(void **state)
{
	struct world *w = world_new(3, 0, 0);
	run_for(w, 1000);
	w->silent[3] = true;
	run_for(w, 400);
	assert_int_equal(w->probes, 0);
	run_for(w, 600);
	assert_true(w->probes > 0);
	assert_int_equal(node_at(w, 3)->state, NODE_UP);
	run_for(w, 600);
	assert_int_equal(node_at(w, 3)->state, NODE_DOWN);
	assert_int_equal(w->commands, 1);
	world_free(w);
}

static void test_vouched_for_is_not_dead(void **state)
{
	struct world *w = world_new(3, 4, 2);
	run_for(w, 1000);
	w->cut[3] = true;
	run_for(w, 30000);
	assert_true(w->probes > 50);
	assert_int_equal(w->commands, 0);
	w->silent[3] = true;
	run_for(w, 2000);
	assert_int_equal(node_at(w, 3)->state, NODE_DOWN);
	world_free(w);
}

static void test_promotes_the_member_ahead(void **state)
{
	struct world *w = world_new(3, 1, 3);
	uint64_t old = partition_at(w, 0)->primary;
	uint64_t ahead = old == 3 ? 1 : 3;
	for (uint64_t i = 1; i <= 3; i++)
		w->seq[i] = i == ahead ? 11 : 10;
	w->seq[old] = 100;
	run_for(w, 1000);
	uint64_t epoch = partition_at(w, 0)->epoch;
	w->silent[old] = true;
	run_for(w, 3000);
	const struct map_partition *p = partition_at(w, 0);
	assert_int_equal(p->primary, ahead);
	assert_int_equal(p->epoch, epoch + 1);
	assert_int_equal(p->n_in_sync, 2);
	assert_false(has(p->in_sync, p->n_in_sync, old));
	/* It keeps its data, to catch up when it returns. */
	assert_int_equal(p->n_learners, 1);
	assert_int_equal(p->learners[0], old);
	world_free(w);
}

static void test_last_member_dead_is_left(void **state)
{
	struct world *w = world_new(3, 3, 1);
	uint64_t lost = partition_at(w, 0)->primary;
	run_for(w, 1000);
	w->silent[lost] = true;
	run_for(w, 200000);
	const struct map_partition *p = partition_at(w, 0);
	assert_int_equal(p->primary, lost);
	assert_int_equal(p->n_in_sync, 1);
	assert_int_equal(p->in_sync[0], lost);
	assert_int_equal(p->n_learners, 0);
	w->silent[lost] = false;
	run_for(w, 1000);
	assert_int_equal(node_at(w, lost)->state, NODE_UP);
	world_free(w);
}

/* A learner is never promoted, even when it is all that lives. */
static void test_learner_is_not_promoted(void **state)
{
	struct world *w = world_new(3, 1, 1);
	uint64_t primary = partition_at(w, 0)->primary, learner = primary % 3 + 1;
	struct map_command set = {.type = MAP_PARTITION_SET,
				  .collection_id = w->map->collections[0].collection->id,
				  .expect_epoch = partition_at(w, 0)->epoch,
				  .config = *partition_at(w, 0)};
	set.config.learners[0] = learner;
	set.config.n_learners = 1;
	apply(w, &set, 0);
	run_for(w, 1000);
	w->silent[primary] = true;
	run_for(w, 100000);
	assert_int_equal(partition_at(w, 0)->primary, primary);
	assert_int_equal(partition_at(w, 0)->n_in_sync, 1);
	assert_true(has(partition_at(w, 0)->learners, partition_at(w, 0)->n_learners, learner));
	world_free(w);
}

static void test_min_isr_is_kept(void **state)
{
	struct world *w = world_new(3, 1, 3);
	uint64_t primary = partition_at(w, 0)->primary;
	assert_int_equal(partition_at(w, 0)->min_isr, 2);
	run_for(w, 1000);
	w->silent[primary] = w->silent[primary % 3 + 1] = true;
	run_for(w, 5000);
	/* The living one leads (reads go on); the set stays at two, so nothing is acknowledged by one copy. */
	assert_int_equal(partition_at(w, 0)->n_in_sync, 2);
	assert_int_equal(partition_at(w, 0)->primary, (primary + 1) % 3 + 1);
	world_free(w);
}

static void test_rebuilt_after_grace(void **state)
{
	struct world *w = world_new(4, 8, 2);
	w->grows = true;
	run_for(w, 1000);
	w->silent[4] = true;
	run_for(w, 40000);
	for (uint32_t p = 0; p < 8; p++)
		assert_true(partition_at(w, p)->n_in_sync + partition_at(w, p)->n_learners == 2);
	run_for(w, 60000);
	for (uint32_t p = 0; p < 8; p++) {
		assert_int_equal(partition_at(w, p)->n_in_sync, 2);
		assert_int_equal(partition_at(w, p)->n_learners, 0);
		assert_false(has(partition_at(w, p)->in_sync, 2, 4));
	}
	world_free(w);
}

static void test_returning_node_catches_up(void **state)
{
	struct world *w = world_new(3, 8, 2);
	w->grows = true;
	run_for(w, 1000);
	w->silent[2] = true;
	run_for(w, 10000);
	assert_int_equal(node_at(w, 2)->state, NODE_DOWN);
	w->silent[2] = false;
	run_for(w, 10000);
	assert_int_equal(node_at(w, 2)->state, NODE_UP);
	uint32_t on_two = 0;
	for (uint32_t p = 0; p < 8; p++) {
		assert_int_equal(partition_at(w, p)->n_in_sync, 2);
		assert_int_equal(partition_at(w, p)->n_learners, 0);
		on_two += has(partition_at(w, p)->in_sync, 2, 2);
	}
	assert_in_range(on_two, 5, 6);
	world_free(w);
}

static void test_new_leader_kills_nobody(void **state)
{
	struct world *w = world_new(3, 6, 2);
	run_for(w, 1000);
	step(w, &(struct heal_event){.type = HEAL_LEAD, .leads = false});
	/* Others lead for a while, heartbeats go to them. */
	w->now_us += 3600 * UINT64_C(1000000);
	step(w, &(struct heal_event){.type = HEAL_LEAD, .leads = true});
	step(w, &(struct heal_event){.type = HEAL_TICK});
	run_for(w, 10000);
	assert_int_equal(w->commands, 0);
	/* One that never speaks to the new leader is dead after its time. */
	step(w, &(struct heal_event){.type = HEAL_LEAD, .leads = false});
	w->silent[2] = true;
	step(w, &(struct heal_event){.type = HEAL_LEAD, .leads = true});
	run_for(w, 1000);
	assert_int_equal(node_at(w, 2)->state, NODE_UP);
	run_for(w, 2000);
	assert_int_equal(node_at(w, 2)->state, NODE_DOWN);
	world_free(w);
}

/* It was listened to as a follower: the time that it is silent for is known. */
static void test_the_lost_leader_is_dead_sooner(void **state)
{
	struct world *w = world_new(3, 6, 2);
	step(w, &(struct heal_event){.type = HEAL_LEAD, .leads = false});
	w->silent[2] = true;
	step(w, &(struct heal_event){
			.type = HEAL_LEAD, .leads = true, .node = 2, .silent_us = 1000 * MS});
	run_for(w, 300);
	assert_int_equal(node_at(w, 2)->state, NODE_UP);
	assert_true(w->probes > 0); /* but the others were asked */
	run_for(w, 400);
	assert_int_equal(node_at(w, 2)->state, NODE_DOWN);
	for (uint32_t p = 0; p < 6; p++)
		assert_int_not_equal(partition_at(w, p)->primary, 2);
	world_free(w);
	/* One that only this node cannot hear stays, however long it was silent. */
	w = world_new(3, 6, 2);
	step(w, &(struct heal_event){.type = HEAL_LEAD, .leads = false});
	w->cut[2] = true;
	step(w, &(struct heal_event){
			.type = HEAL_LEAD, .leads = true, .node = 2, .silent_us = 60000 * MS});
	run_for(w, 5000);
	assert_int_equal(node_at(w, 2)->state, NODE_UP);
	assert_int_equal(w->commands, 0);
	world_free(w);
}

/* What cannot be opened, or is damaged, neither leads nor counts; it is made anew as a learner. */
static void test_broken_replicas_lose_their_place(void **state)
{
	struct world *w = world_new(3, 6, 2);
	uint32_t held = 0;
	run_for(w, 1000);
	for (uint32_t p = 0; p < 6; p++)
		held += has(partition_at(w, p)->in_sync, partition_at(w, p)->n_in_sync, 2);
	assert_true(held > 0);
	w->broken[2] = true;
	run_for(w, 1000);
	for (uint32_t p = 0; p < 6; p++) {
		const struct map_partition *now = partition_at(w, p);
		assert_int_not_equal(now->primary, 2);
		assert_false(has(now->in_sync, now->n_in_sync, 2));
		held -= has(now->learners, now->n_learners, 2);
	}
	assert_int_equal(held, 0);
	assert_int_equal(node_at(w, 2)->state, NODE_UP);
	w->broken[2] = false;
	w->grows = true;
	run_for(w, 10000);
	for (uint32_t p = 0; p < 6; p++)
		assert_int_equal(partition_at(w, p)->n_in_sync, 2);
	world_free(w);
}

/* Without another copy there is nobody better. */
static void test_the_only_copy_stays_though_broken(void **state)
{
	struct world *w = world_new(3, 6, 1);
	run_for(w, 1000);
	w->broken[1] = w->broken[2] = w->broken[3] = true;
	run_for(w, 5000);
	assert_int_equal(w->commands, 0);
	world_free(w);
}

/* A leader that was stopped (SIGSTOP) and goes on. */
static void test_own_stall_is_not_counted(void **state)
{
	struct world *w = world_new(3, 6, 2);
	run_for(w, 1000);
	w->now_us += 20000 * MS;
	step(w, &(struct heal_event){.type = HEAL_TICK});
	run_for(w, 5000);
	assert_int_equal(w->commands, 0);
	world_free(w);
}

static void test_no_leader_no_commands(void **state)
{
	struct world *w = world_new(3, 6, 2);
	step(w, &(struct heal_event){.type = HEAL_LEAD, .leads = false});
	w->silent[2] = w->silent[3] = true;
	run_for(w, 100000);
	assert_int_equal(w->commands + w->probes, 0);
	world_free(w);
}

static void test_lost_command_is_made_again(void **state)
{
	struct world *w = world_new(3, 6, 2);
	run_for(w, 1000);
	w->deaf = true;
	w->silent[3] = true;
	run_for(w, 5000);
	assert_int_equal(node_at(w, 3)->state, NODE_UP);
	w->deaf = false;
	run_for(w, 2000);
	assert_int_equal(node_at(w, 3)->state, NODE_DOWN);
	for (uint32_t p = 0; p < 6; p++)
		assert_int_not_equal(partition_at(w, p)->primary, 3);
	world_free(w);
}

/* Each failure after the first makes it wait longer before it counts again. */
static void test_flapping(void **state)
{
	struct world *w = world_new(3, 0, 0);
	uint64_t waited[5];
	run_for(w, 1000);
	for (int round = 0; round < 5; round++) {
		w->silent[3] = true;
		run_for(w, 3000);
		assert_int_equal(node_at(w, 3)->state, NODE_DOWN);
		w->silent[3] = false;
		for (waited[round] = 0; node_at(w, 3)->state == NODE_DOWN; waited[round] += 50)
			run_for(w, 50);
	}
	assert_true(waited[0] <= 500);
	assert_in_range(waited[1], 1000, 1600);
	assert_in_range(waited[2], 2000, 2600);
	assert_in_range(waited[4], 8000, 8600);
	world_free(w);
}

static void test_restart_clears_the_past(void **state)
{
	struct world *w = world_new(3, 6, 2);
	run_for(w, 1000);
	w->silent[3] = true;
	run_for(w, 3000);
	struct map_command put = {.type = MAP_NODE_PUT, .node = *node_at(w, 3)};
	put.node.incarnation++;
	put.node.state = NODE_UP;
	apply(w, &put, 0);
	/* A process of the former incarnation is not listened to. */
	step(w, &(struct heal_event){.type = HEAL_HEARTBEAT, .node = 3, .incarnation = 1});
	run_for(w, 1000);
	assert_int_equal(node_at(w, 3)->state, NODE_UP);
	for (int i = 0; i < 10; i++) {
		step(w, &(struct heal_event){.type = HEAL_HEARTBEAT, .node = 3, .incarnation = 1});
		run_for(w, 200);
	}
	assert_int_equal(node_at(w, 3)->state, NODE_DOWN);
	world_free(w);
}

static uint32_t count_on(struct world *w, uint64_t id)
{
	uint32_t n = 0;
	for (uint32_t p = 0; p < w->map->collections[0].collection->n_partitions; p++)
		n += has(partition_at(w, p)->in_sync, partition_at(w, p)->n_in_sync, id);
	return n;
}

static void test_new_node_gets_its_share(void **state)
{
	struct world *w = world_new(3, 8, 2);
	w->grows = true;
	run_for(w, 1000);
	struct map_command put = fixture_node(4, "n4", "10.0.0.4:7000");
	apply(w, &put, 0);
	uint32_t most = 0;
	for (int i = 0; i < 1200; i++) {
		uint32_t copying = 0;
		run_for(w, 50);
		for (uint32_t p = 0; p < 8; p++)
			copying += partition_at(w, p)->n_learners > 0;
		if (copying > most)
			most = copying;
	}
	assert_in_range(most, 1, 2);
	for (uint64_t id = 1; id <= 4; id++)
		assert_int_equal(count_on(w, id), 4);
	assert_int_equal(w->least.n_in_sync, 2);
	uint32_t before = w->commands;
	run_for(w, 60000);
	assert_int_equal(w->commands, before);
	world_free(w);
}

static void test_draining_node_is_emptied(void **state)
{
	struct world *w = world_new(4, 8, 2);
	w->grows = true;
	run_for(w, 1000);
	struct map_command put = {.type = MAP_NODE_PUT, .node = *node_at(w, 2)};
	put.node.state = NODE_DRAINING;
	apply(w, &put, 0);
	run_for(w, 60000);
	assert_int_equal(count_on(w, 2), 0);
	assert_int_equal(w->least.n_in_sync, 2);
	assert_int_equal(node_at(w, 2)->state, NODE_DRAINING);
	for (uint32_t p = 0; p < 8; p++)
		assert_int_equal(partition_at(w, p)->n_in_sync, 2);
	/* One that dies while draining stays marked. */
	w->silent[2] = true;
	run_for(w, 5000);
	assert_int_equal(node_at(w, 2)->state, NODE_DRAINING);
	world_free(w);
}

static void test_degraded_collection_is_completed(void **state)
{
	struct world *w = world_new(1, 0, 0);
	uint64_t one = 1;
	w->grows = true;
	assert_int_equal(fixture_create(&w->map, ++w->index, fixture_collection("d", 4, 2), &one, 1,
					NULL),
			 0);
	step(w, &(struct heal_event){.type = HEAL_MAP, .map = w->map});
	run_for(w, 5000);
	assert_int_equal(w->commands, 0);
	struct map_command put = fixture_node(2, "n2", "10.0.0.2:7000");
	apply(w, &put, 0);
	run_for(w, 20000);
	for (uint32_t p = 0; p < 4; p++)
		assert_int_equal(partition_at(w, p)->n_in_sync, 2);
	world_free(w);
}

static void test_different_digests_alarm(void **state)
{
	struct world *w = world_new(2, 1, 2);
	struct heal_report r = {.collection_id = w->map->collections[0].collection->id,
				.commit_seq = 7,
				.digest = 1};
	for (uint64_t id = 1; id <= 2; id++) {
		r.digest = id;
		step(w, &(struct heal_event){.type = HEAL_HEARTBEAT,
					     .node = id,
					     .incarnation = 1,
					     .reports = &r,
					     .n_reports = 1});
	}
	step(w, &(struct heal_event){.type = HEAL_TICK});
	assert_int_equal(w->alarms, 1);
	assert_int_equal(w->commands, 0);
	world_free(w);
}

static void member(struct world *w, uint64_t id, bool voter)
{
	w->members[w->n_members++] = (struct meta_member){id, "x", voter};
}

static void test_voters(void **state)
{
	struct world *w = world_new(2, 0, 0);
	member(w, 1, true);
	run_for(w, 200);
	assert_int_equal(w->change.change, 1); /* every node follows the log */
	assert_int_equal(w->change.node, 2);
	assert_string_equal(w->change.address, "10.0.0.2:7000");
	member(w, 2, false);
	w->change.change = 0;
	run_for(w, 10000);
	assert_int_equal(w->change.change, 0); /* two voters are worse than one */
	struct map_command put = fixture_node(3, "n3", "10.0.0.3:7000");
	apply(w, &put, 0);
	member(w, 3, false);
	run_for(w, 3000);
	assert_int_equal(w->change.change, 2);
	w->members[w->change.node - 1].voter = true;
	run_for(w, 3000);
	assert_int_equal(w->change.change, 2);
	w->members[w->change.node - 1].voter = true;
	assert_true(w->members[1].voter && w->members[2].voter);
	put = fixture_node(4, "n4", "10.0.0.4:7000");
	apply(w, &put, 0);
	member(w, 4, false);
	w->change.change = 0;
	run_for(w, 10000);
	assert_int_equal(w->change.change, 0); /* three of four vote */
	/* A voter that is lost is replaced, but not before the grace period is over. */
	w->silent[2] = true;
	run_for(w, 50000);
	assert_int_equal(w->change.change, 0);
	run_for(w, 15000);
	assert_int_equal(w->change.change, 2);
	assert_int_equal(w->change.node, 4);
	w->members[3].voter = true;
	run_for(w, 5000);
	assert_int_equal(w->change.change, -1);
	assert_int_equal(w->change.node, 2);
	world_free(w);
}

/* A change that was asked for before its removal comes late; who votes may be about to enter the map. */
static void test_removed_follower_leaves(void **state)
{
	struct world *w = world_new(2, 0, 0);
	member(w, 1, true);
	member(w, 2, false);
	member(w, 3, true);
	run_for(w, 5000);
	assert_int_equal(w->change.change, 0);
	member(w, 4, false);
	run_for(w, 3000);
	assert_int_equal(w->change.change, -1);
	assert_int_equal(w->change.node, 4);
	world_free(w);
}

/* Of two voters both are needed: one that may just have been lost does not become the second. */
static void test_silent_follower_gets_no_vote(void **state)
{
	struct world *w = world_new(3, 0, 0);
	w->silent[2] = true;
	run_for(w, 1000);
	member(w, 1, true);
	member(w, 3, false);
	member(w, 2, false);
	run_for(w, 200);
	assert_int_equal(w->change.change, 2);
	assert_int_equal(w->change.node, 3);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_healthy_cluster_is_left_alone),
		cmocka_unit_test(test_silence_is_probed_then_dead),
		cmocka_unit_test(test_vouched_for_is_not_dead),
		cmocka_unit_test(test_promotes_the_member_ahead),
		cmocka_unit_test(test_last_member_dead_is_left),
		cmocka_unit_test(test_learner_is_not_promoted),
		cmocka_unit_test(test_min_isr_is_kept),
		cmocka_unit_test(test_rebuilt_after_grace),
		cmocka_unit_test(test_returning_node_catches_up),
		cmocka_unit_test(test_new_leader_kills_nobody),
		cmocka_unit_test(test_the_lost_leader_is_dead_sooner),
		cmocka_unit_test(test_broken_replicas_lose_their_place),
		cmocka_unit_test(test_the_only_copy_stays_though_broken),
		cmocka_unit_test(test_own_stall_is_not_counted),
		cmocka_unit_test(test_no_leader_no_commands),
		cmocka_unit_test(test_lost_command_is_made_again),
		cmocka_unit_test(test_flapping),
		cmocka_unit_test(test_restart_clears_the_past),
		cmocka_unit_test(test_new_node_gets_its_share),
		cmocka_unit_test(test_draining_node_is_emptied),
		cmocka_unit_test(test_degraded_collection_is_completed),
		cmocka_unit_test(test_different_digests_alarm),
		cmocka_unit_test(test_voters),
		cmocka_unit_test(test_removed_follower_leaves),
		cmocka_unit_test(test_silent_follower_gets_no_vote),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
