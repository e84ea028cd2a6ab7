/* Full disks, damaged files, retries, and the trap of compaction between two manifests. */
#include "tests/unit/shard/model.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIM = 4 };

static uint64_t set_value(struct fixture *f, uint64_t first, uint32_t n, int64_t value)
{
	struct write w = {.op = {.type = OP_SET_PAYLOAD, .n_ids = n}};

	w.op.ids = arena_zalloc(f->arena, n * sizeof *w.op.ids);
	for (uint32_t i = 0; i < n; i++)
		w.op.ids[i] = test_id(first + i);
	w.op.payload = test_payload(f->arena, value, NULL);
	return fixture_write(f, &w);
}

static void setup(struct fixture *f, enum index_kind kind)
{
	fixture_init(f);
	fixture_add_space(f, "", DIM, DISTANCE_EUCLID, kind);
	f->options.seal_rows = 100;
	f->options.index_min_rows = 50;
	f->options.seal_idle_ms = 20;
}

/* ---- full disk ---- */

static void full_disk_refuses_and_goes_on(void **state)
{
	struct fixture f;
	struct point p;
	struct write w = {.op = {.type = OP_UPSERT, .n_points = 1, .points = &p}};
	struct rpc_write_response out;
	float v[DIM] = {0};

	setup(&f, INDEX_HNSW);
	fixture_start(&f);
	fixture_upsert(&f, 0, 30, 1);
	f.faults = (struct fault_plan){.ops = FAULT_WRITE | FAULT_ALLOCATE,
				       .at = 1,
				       .code = ERR_DISK_FULL,
				       .partly = true,
				       .lasting = true};
	test_point(f.arena, &p, 1000, v, DIM, PV_EMPTY_OBJECT);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fixture_try_write(&f, &w, &out), ERR_DISK_FULL);
	assert_int_equal(fixture_count(&f, NULL), 30);
	assert_int_equal(fixture_info(&f).applied_seq, 1);
	f.faults = (struct fault_plan){0};
	assert_int_equal(fixture_write(&f, &w), 1);
	assert_int_equal(fixture_info(&f).applied_seq, 2);
	fixture_stop(&f);
	fixture_start(&f);
	assert_int_equal(fixture_count(&f, NULL), 31);
	fixture_fini(&f);
	(void)state;
}

/* The log has room, segments have not: rows pile up in memory until writes are refused, none is lost, and all goes
 * on when there is room again. */
static void writes_are_refused_while_nothing_can_be_sealed(void **state)
{
	struct fixture f;
	struct point p;
	struct write w = {.op = {.type = OP_UPSERT, .n_points = 1, .points = &p}};
	struct rpc_write_response out;
	float v[DIM] = {0};
	uint64_t n = 0;
	int rc = 0;

	setup(&f, INDEX_HNSW);
	fixture_start(&f);
	f.faults = (struct fault_plan){.ops = FAULT_MKDIRS,
				       .at = 1,
				       .code = ERR_DISK_FULL,
				       .lasting = true};
	for (; rc == 0 && n < 5000; n += rc == 0) {
		test_point(f.arena, &p, n, v, DIM, PV_EMPTY_OBJECT);
		rc = fixture_try_write(&f, &w, &out);
	}
	assert_int_equal(rc, ERR_DISK_FULL);
	assert_in_range(n, 400, 1000);
	assert_int_equal(fixture_count(&f, NULL), n);
	assert_non_null(strstr(fixture_info(&f).warning, "failed"));
	f.faults = (struct fault_plan){0};
	fixture_settle(&f);
	test_point(f.arena, &p, n, v, DIM, PV_EMPTY_OBJECT);
	assert_int_equal(fixture_write(&f, &w), 1);
	assert_null(fixture_info(&f).warning);
	fixture_stop(&f);
	fixture_start(&f);
	assert_int_equal(fixture_count(&f, NULL), n + 1);
	fixture_fini(&f);
	(void)state;
}

/* Every file operation of sealing, compacting and building fails once in turn (each QUIVER_FAULT_STEP-th, 7); nothing is
 * ever lost. */
static void background_work_survives_faults(void **state)
{
	static const int codes[] = {ERR_DISK_FULL, ERR_IO};
	uint32_t fired = 0;

	const char *step = getenv("QUIVER_FAULT_STEP");
	uint64_t at = 1, each = step ? strtoul(step, NULL, 10) : 7;

	for (bool more = true; more; at += each) {
		struct fixture f;

		setup(&f, INDEX_HNSW);
		f.options.seal_rows = 1000000; /* nothing is sealed before the fault is set */
		fixture_start(&f);
		for (int i = 0; i < 3; i++)
			fixture_upsert(&f, (uint64_t)i * 60, 90, i);
		f.faults = (struct fault_plan){.ops = FAULT_ALL & ~FAULT_READ,
					       .at = at,
					       .code = codes[at % 2],
					       .partly = true};
		fixture_settle(&f);
		fired += f.faults.fired;
		more = f.faults.fired;
		f.faults.at = 0;
		assert_int_equal(fixture_count(&f, NULL), 210);
		set_value(&f, 0, 60, 77);
		fixture_stop(&f);
		fixture_start(&f);
		assert_int_equal(fixture_count(&f, NULL), 210);
		assert_int_equal(fixture_count(&f, test_range(f.arena, 77, 78)), 60);
		assert_int_equal(fixture_info(&f).status == REPLICA_RED, 0);
		fixture_fini(&f);
	}
	print_message("%u operations of background work failed, of %llu\n", fired,
		      (unsigned long long)at);
	assert_true(fired > 3);
	(void)state;
}

/* ---- damage ---- */

static int count_folders(struct fixture *f)
{
	return fixture_damage(f, -1, NULL);
}

/* Three sealed segments of a hundred points, and five points in memory. */
static void three_segments(struct fixture *f)
{
	setup(f, INDEX_HNSW);
	f->options.seal_idle_ms = 100000; /* no merging */
	fixture_start(f);
	for (uint64_t i = 0; i < 3; i++) {
		fixture_upsert(f, i * 100, 100, (int64_t)i);
		fixture_settle(f);
	}
	fixture_upsert(f, 300, 5, 9);
	assert_true(shard_ready(f->shard, NULL));
	fixture_stop(f);
}

/* Every file operation of a start fails once in turn. It may fail as a whole or start without its index; the next start has
 * everything: what could not be read once is not given up. */
static void a_start_survives_faults(void **state)
{
	struct fixture f;
	uint32_t refused = 0;
	uint64_t at = 1;

	three_segments(&f);
	for (bool fired = true; fired; at++) {
		f.faults = (struct fault_plan){.ops = FAULT_ALL, .at = at, .code = ERR_IO};
		refused += fixture_try_start(&f) != 0;
		fixture_stop(&f);
		fired = f.faults.fired;
		f.faults = (struct fault_plan){0};
		fixture_start(&f);
		if (fixture_count(&f, NULL) != 305 || fixture_info(&f).status == REPLICA_RED)
			fail_msg("after a failure of operation %llu: %llu points",
				 (unsigned long long)at,
				 (unsigned long long)fixture_count(&f, NULL));
		fixture_stop(&f);
	}
	print_message("%llu operations of a start failed, %u of them all of it\n",
		      (unsigned long long)at - 2, refused);
	assert_true(at > 60 && refused > 10);
	fixture_fini(&f);
	(void)state;
}

static void check_quarantine(struct fixture *f, uint64_t points)
{
	struct rpc_info_response info = fixture_info(f);
	struct error why = {0};
	float v[DIM] = {0};
	struct leaf leaf = {.vector = {VECTOR_DENSE, 0, DIM, v, NULL}, .top = 10};
	struct rpc_search_request request = {.leaves = &leaf, .n_leaves = 1};
	struct rpc_search_response out = {0};

	assert_int_equal(info.status, REPLICA_RED);
	assert_non_null(strstr(info.warning, "corrupt"));
	assert_false(shard_ready(f->shard, &why));
	assert_non_null(strstr(why.text, "corrupt"));
	assert_int_equal(fixture_count(f, NULL), points);
	request.target = fixture_target(f, 0);
	assert_int_equal(fixture_call(f, RPC_TYPE_search, &request, &out), 0);
	assert_int_equal(out.hits[0].n, 10);
	assert_true(out.receipts[0].incomplete);
}

static void corrupt_segment_is_quarantined_and_named(void **state)
{
	static const char *const files[] = {"rows", "payload", "dense-0"};

	for (uint32_t i = 0; i < 6; i++) {
		struct fixture f;

		three_segments(&f);
		assert_int_equal(fixture_damage(&f, 1, files[i % 3]), 3);
		for (uint64_t round = 0; round < 2;
		     round++) { /* the second time the manifest says it */
			f.options.verify_now_bytes = i < 3 ? 0 : 1; /* 1: found in the background */
			fixture_start(&f);
			for (int wait = 0; fixture_info(&f).status != REPLICA_RED && wait < 1000;
			     wait++)
				usleep(10000);
			check_quarantine(&f, 205 + round);
			fixture_upsert(&f, 1000, 1, 1); /* it goes on taking writes */
			fixture_stop(&f);
		}
		fixture_fini(&f);
	}
	(void)state;
}

/* An index can be computed again from the rows: nothing is lost, nothing is quarantined. */
static void damaged_index_is_built_again(void **state)
{
	struct fixture f;

	three_segments(&f);
	assert_int_equal(fixture_damage(&f, 1, "index-0.faiss"), 3);
	fixture_start(&f);
	assert_true(shard_ready(f.shard, NULL));
	assert_int_equal(fixture_count(&f, NULL), 305);
	fixture_wait_for(&f, "index_builds_total", 1);
	fixture_settle(&f);
	assert_int_equal(fixture_info(&f).indexed_vectors, 300);
	fixture_stop(&f);
	fixture_start(&f);
	assert_int_equal(fixture_counter(&f, "index_builds_total"), 0);
	assert_int_equal(fixture_info(&f).indexed_vectors, 300);
	fixture_fini(&f);
	(void)state;
}

static void damaged_log_keeps_the_others_serving(void **state)
{
	struct fixture f;
	char command[200];
	struct rpc_info_request request;
	struct rpc_info_response info = {0};
	struct rpc_count_request count;
	struct rpc_count_response counted = {0};
	struct error why = {0};

	setup(&f, INDEX_HNSW);
	f.schema->n_partitions = 2;
	fixture_start(&f);
	fixture_upsert(&f, 0, 50, 1);
	fixture_upsert(&f, 50, 1, 1);
	fixture_stop(&f);
	snprintf(
		command, sizeof command,
		"printf XXXX | dd of=$(ls %s/replicas/7/0/wal/*) bs=1 seek=200 conv=notrunc 2>/dev/null",
		f.root);
	assert_int_equal(system(command), 0);
	assert_int_equal(fixture_try_start(&f), ERR_CORRUPT);
	assert_false(shard_ready(f.shard, &why));
	assert_int_equal(fixture_info(&f).status, REPLICA_RED);
	request = (struct rpc_info_request){fixture_target(&f, 1)};
	assert_int_equal(fixture_call(&f, RPC_TYPE_info, &request, &info), 0);
	assert_int_equal(info.status, REPLICA_GREEN);
	count = (struct rpc_count_request){fixture_target(&f, 0), NULL, true};
	assert_int_equal(fixture_call(&f, RPC_TYPE_count, &count, &counted), ERR_UNAVAILABLE);
	/* a search that may be partial names what it left out */
	float v[DIM] = {0};
	struct leaf leaves[2] = {
		{.partition = 0, .vector = {VECTOR_DENSE, 0, DIM, v, NULL}, .top = 3}};
	struct rpc_search_request search = {fixture_target(&f, 0), leaves, 2, false};
	struct rpc_search_response found = {0};

	leaves[1] = leaves[0];
	leaves[1].partition = 1;
	assert_int_equal(fixture_call(&f, RPC_TYPE_search, &search, &found), ERR_UNAVAILABLE);
	search.allow_partial = true;
	assert_int_equal(fixture_call(&f, RPC_TYPE_search, &search, &found), 0);
	assert_true(found.receipts[0].incomplete);
	assert_false(found.receipts[1].incomplete);
	count.target.partition = 1;
	assert_int_equal(fixture_call(&f, RPC_TYPE_count, &count, &counted), 0);
	fixture_fini(&f);
	(void)state;
}

static void lost_manifest_is_noticed(void **state)
{
	struct fixture f;
	char command[128];

	setup(&f, INDEX_FLAT);
	fixture_start(&f);
	fixture_upsert(&f, 0, 120, 1);
	fixture_settle(&f);
	fixture_stop(&f);
	snprintf(command, sizeof command, "rm %s/replicas/7/0/MANIFEST-*", f.root);
	assert_int_equal(system(command), 0);
	assert_true(fixture_try_start(&f) < 0);
	fixture_fini(&f);
	(void)state;
}

/* ---- compaction between manifests ---- */

/* Rows of two sealed segments are rewritten by an update that only the log knows. The compaction
 * that comes next must carry the old rows along: after a crash the replayed update has to find
 * them. The crash is a copy of the folder. */
static void compaction_keeps_what_the_replay_needs(void **state)
{
	struct fixture f;
	char command[400], copy[80];

	setup(&f, INDEX_FLAT);
	f.options.index_min_rows = 1000; /* idleness seals nothing */
	f.options.seal_idle_ms = 400;
	fixture_start(&f);
	for (uint64_t i = 0; i < 3; i++)
		fixture_upsert(&f, i * 100, 100, 1);
	assert_int_equal(set_value(&f, 50, 90, 2), 90); /* not sealed: fewer than seal_rows */
	fixture_wait_for(&f, "compactions_total", 1);
	while (count_folders(&f) !=
	       1) /* the manifest with the merged segment is durable: the sources are gone */
		usleep(20000);
	assert_int_equal(fixture_count(&f, NULL), 300);
	snprintf(copy, sizeof copy, "%s.copy", f.root);
	snprintf(command, sizeof command, "rm -rf %s && cp -r %s %s", copy, f.root, copy);
	assert_int_equal(system(command), 0);
	fixture_stop(&f);
	snprintf(command, sizeof command, "rm -rf %s/* && mv %s/* %s && rmdir %s", f.root, copy,
		 f.root, copy);
	assert_int_equal(system(command), 0);
	fixture_start(&f);
	assert_int_equal(fixture_count(&f, NULL), 300);
	assert_int_equal(fixture_count(&f, test_range(f.arena, 2, 3)), 90);
	assert_int_equal(fixture_count(&f, test_range(f.arena, 1, 2)), 210);
	fixture_fini(&f);
	(void)state;
}

/* ---- retries ---- */

static void retried_batches_are_done_once(void **state)
{
	struct fixture f;
	struct write w = {.op = {.type = OP_DELETE, .batch_hi = 1, .batch_lo = 2}};
	struct rpc_write_response first, again;

	setup(&f, INDEX_HNSW);
	fixture_start(&f);
	fixture_upsert(&f, 0, 150, 1);
	w.select = test_range(f.arena, 1, 2);
	assert_int_equal(fixture_try_write(&f, &w, &first), 0);
	assert_int_equal(first.changed, 150);
	fixture_upsert(&f, 0, 10, 1);
	for (int i = 0; i < 2;
	     i++) { /* before and after a restart: from the log, then from the manifest */
		assert_int_equal(fixture_try_write(&f, &w, &again), 0);
		assert_int_equal(again.seq, first.seq);
		assert_int_equal(again.changed, 150);
		assert_int_equal(fixture_count(&f, NULL), 10);
		fixture_settle(&f);
		fixture_stop(&f);
		fixture_start(&f);
	}
	fixture_fini(&f);
	(void)state;
}

/* ---- payload indexes ---- */

static void a_later_payload_index_gives_the_same_answers(void **state)
{
	struct fixture f;
	uint64_t before[2];
	struct rpc_info_response info;

	setup(&f, INDEX_HNSW);
	fixture_start(&f);
	for (uint64_t i = 0; i < 5; i++)
		fixture_upsert(&f, i * 70, 110, (int64_t)i);
	fixture_settle(&f);
	before[0] = fixture_count(&f, test_range(f.arena, 2, 4));
	before[1] = fixture_count(&f, test_tag(f.arena, "a"));
	fixture_add_field(&f, "n", FIELD_INTEGER);
	fixture_add_field(&f, "tag", FIELD_KEYWORD);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(fixture_count(&f, test_range(f.arena, 2, 4)), before[0]);
		assert_int_equal(fixture_count(&f, test_tag(f.arena, "a")), before[1]);
		fixture_settle(&f);
		info = fixture_info(&f);
		assert_int_equal(info.status, REPLICA_GREEN);
		assert_int_equal(info.n_fields, 2);
		assert_int_equal(info.fields[0].points, 390);
		fixture_stop(&f);
		fixture_start(&f);
	}
	fixture_fini(&f);
	(void)state;
}

static void dropped_shards_leave_no_files(void **state)
{
	struct fixture f;
	char folder[128];

	setup(&f, INDEX_HNSW);
	fixture_start(&f);
	fixture_upsert(&f, 0, 150, 1);
	assert_int_equal(shard_assign(f.shard, NULL, 0, &f.err), 0);
	snprintf(folder, sizeof folder, "%s/replicas/7/0", f.root);
	assert_int_not_equal(access(folder, F_OK), 0);
	assert_int_equal(fixture_assign(&f), 0); /* and comes back empty */
	assert_int_equal(fixture_count(&f, NULL), 0);
	fixture_fini(&f);
	(void)state;
}

/* As after a start, when the map is read again from an older state on. */
static void what_an_old_assignment_leaves_out_is_kept_until_it_is_swept(void **state)
{
	struct fixture f;
	char folder[128];

	setup(&f, INDEX_HNSW);
	fixture_start(&f);
	fixture_upsert(&f, 0, 150, 1);
	fixture_stop(&f);
	f.options.old_assignments = true;
	fixture_start(&f);
	snprintf(folder, sizeof folder, "%s/replicas/7/0", f.root);
	assert_int_equal(shard_assign(f.shard, NULL, 0, &f.err), 0);
	assert_int_equal(access(folder, F_OK), 0);
	assert_int_equal(fixture_assign(&f), 0);
	assert_int_equal(fixture_count(&f, NULL), 150);
	shard_sweep(f.shard, f.schema->id);
	assert_int_equal(fixture_count(&f, NULL), 150);
	assert_int_equal(shard_assign(f.shard, NULL, 0, &f.err), 0);
	assert_int_not_equal(access(folder, F_OK), 0);
	fixture_fini(&f);
	(void)state;
}

static void remove_from(const struct fixture *f, const char *folder)
{
	char command[200];

	snprintf(command, sizeof command, "rm -rf '%s/%s'", f->root, folder);
	assert_int_equal(system(command), 0);
}

static void assert_begins_nothing(struct fixture *f, const char *why)
{
	struct rpc_count_request q = {fixture_target(f, 0), .exact = true};
	struct rpc_count_response a = {0};

	assert_int_equal(fixture_call(f, RPC_TYPE_count, &q, &a), ERR_UNAVAILABLE);
	assert_non_null(strstr(f->err.text, why));
}

/* The map after a start may be older than what was here: what is new by it waits until the map is confirmed. */
static void nothing_is_begun_on_the_word_of_an_old_map(void **state)
{
	struct fixture f;

	setup(&f, INDEX_HNSW);
	f.options.old_assignments = true;
	fixture_start(&f);
	assert_begins_nothing(&f, "nobody has confirmed");
	shard_sweep(f.shard, f.schema->id);
	assert_int_equal(fixture_assign(&f), 0);
	fixture_upsert(&f, 0, 50, 1);
	assert_int_equal(fixture_count(&f, NULL), 50);
	fixture_fini(&f);
	(void)state;
}

/* The folder of a node's only copy is emptied while the node is down. */
static void an_emptied_folder_is_no_new_replica(void **state)
{
	struct fixture f;

	setup(&f, INDEX_HNSW);
	fixture_start(&f);
	fixture_upsert(&f, 0, 50, 1);
	fixture_stop(&f);
	remove_from(&f, "replicas");
	assert_int_equal(fixture_try_start(&f), ERR_CORRUPT);
	assert_begins_nothing(&f, "what it held was lost");
	fixture_fini(&f);
	(void)state;
}

/* Whichever operation of the start fails: a mark that cannot be looked at is not one that is not there. */
static void what_cannot_be_looked_at_is_not_new(void **state)
{
	struct fixture f;
	bool fired = true;

	setup(&f, INDEX_HNSW);
	fixture_start(&f);
	fixture_upsert(&f, 0, 50, 1);
	fixture_stop(&f);
	for (uint64_t at = 1; fired; at++) {
		remove_from(&f, "replicas");
		f.faults = (struct fault_plan){.ops = FAULT_ALL, .at = at, .code = ERR_IO};
		assert_int_not_equal(fixture_try_start(&f), 0);
		fixture_stop(&f);
		fired = f.faults.fired;
	}
	fixture_fini(&f);
	(void)state;
}

/* The epoch of a new partition moves on without a node that is named and was not there yet: that one begins, but only once. */
static void who_comes_late_begins_and_is_known_from_then_on(void **state)
{
	struct fixture f;

	setup(&f, INDEX_HNSW);
	f.options.old_assignments = true;
	f.epoch = 3;
	fixture_start(&f);
	assert_begins_nothing(&f, "nobody has confirmed");
	shard_sweep(f.shard, f.schema->id);
	assert_int_equal(fixture_assign(&f), 0);
	fixture_upsert(&f, 0, 50, 1);
	fixture_stop(&f);
	remove_from(&f, "replicas");
	fixture_start(&f);
	assert_begins_nothing(&f, "nobody has confirmed");
	shard_sweep(f.shard, f.schema->id);
	assert_int_equal(fixture_assign(&f), ERR_CORRUPT);
	assert_begins_nothing(&f, "what it held was lost");
	fixture_fini(&f);
	(void)state;
}

/* With the folders also what says which they were: what is older than the next such note may have been there. */
static void what_may_have_been_held_is_not_begun(void **state)
{
	struct fixture f;

	setup(&f, INDEX_HNSW);
	f.options.old_assignments = true;
	fixture_start(&f);
	shard_sweep(f.shard, f.schema->id);
	assert_int_equal(fixture_assign(&f), 0);
	fixture_upsert(&f, 0, 50, 1);
	fixture_stop(&f);
	remove_from(&f, "replicas");
	remove_from(&f, "hosted");
	fixture_start(&f);
	assert_begins_nothing(&f, "nobody has confirmed");
	shard_sweep(f.shard, f.schema->id + 1);
	assert_int_equal(fixture_assign(&f), ERR_CORRUPT);
	assert_begins_nothing(&f, "what it held was lost");
	fixture_fini(&f);
	(void)state;
}

/* From when on it is known what was held is said once, at the first start with a data folder. */
static void the_first_note_of_a_folder_counts(void **state)
{
	struct fixture f;

	setup(&f, INDEX_HNSW);
	f.options.old_assignments = true;
	fixture_start(&f);
	shard_sweep(f.shard, f.schema->id);
	assert_int_equal(shard_assign(f.shard, NULL, 0, &f.err), 0);
	fixture_stop(&f);
	fixture_start(&f);
	shard_sweep(f.shard, f.schema->id + 100);
	assert_int_equal(fixture_assign(&f), 0);
	fixture_upsert(&f, 0, 50, 1);
	assert_int_equal(fixture_count(&f, NULL), 50);
	fixture_fini(&f);
	(void)state;
}

/* A map without it that is older than what its primary counts on does not take away what it has acknowledged. */
static void a_late_map_takes_nothing_away(void **state)
{
	struct fixture f;
	struct shard_assignment a;
	char folder[128];

	setup(&f, INDEX_HNSW);
	f.epoch = 5;
	fixture_start(&f);
	fixture_upsert(&f, 0, 50, 1);
	a = fixture_assignment(&f, 0);
	a.elsewhere = true;
	a.config.epoch = 4;
	assert_int_equal(shard_assign(f.shard, &a, 1, &f.err), 0);
	assert_int_equal(fixture_assign(&f), 0);
	assert_int_equal(fixture_count(&f, NULL), 50);
	a.config.epoch = 6;
	assert_int_equal(shard_assign(f.shard, &a, 1, &f.err), 0);
	snprintf(folder, sizeof folder, "%s/replicas/7/0", f.root);
	assert_int_not_equal(access(folder, F_OK), 0);
	fixture_fini(&f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_disk_refuses_and_goes_on),
		cmocka_unit_test(writes_are_refused_while_nothing_can_be_sealed),
		cmocka_unit_test(background_work_survives_faults),
		cmocka_unit_test(a_start_survives_faults),
		cmocka_unit_test(corrupt_segment_is_quarantined_and_named),
		cmocka_unit_test(damaged_index_is_built_again),
		cmocka_unit_test(damaged_log_keeps_the_others_serving),
		cmocka_unit_test(lost_manifest_is_noticed),
		cmocka_unit_test(compaction_keeps_what_the_replay_needs),
		cmocka_unit_test(retried_batches_are_done_once),
		cmocka_unit_test(a_later_payload_index_gives_the_same_answers),
		cmocka_unit_test(dropped_shards_leave_no_files),
		cmocka_unit_test(what_an_old_assignment_leaves_out_is_kept_until_it_is_swept),
		cmocka_unit_test(nothing_is_begun_on_the_word_of_an_old_map),
		cmocka_unit_test(an_emptied_folder_is_no_new_replica),
		cmocka_unit_test(what_cannot_be_looked_at_is_not_new),
		cmocka_unit_test(who_comes_late_begins_and_is_known_from_then_on),
		cmocka_unit_test(what_may_have_been_held_is_not_begun),
		cmocka_unit_test(the_first_note_of_a_folder_counts),
		cmocka_unit_test(a_late_map_takes_nothing_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
