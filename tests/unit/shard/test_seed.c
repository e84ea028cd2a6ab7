/* Copies that are made from the segments of another node: whole, interrupted, damaged on the way and on the disk, from a source that
 * changes meanwhile; and the swap of the folders, broken off at every step. */
#include "tests/unit/shard/copies.h"
#include "base/memory.h"
#include "shard/seed.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POINTS = 3000, BATCH = 50, SLOW = 400 << 10, SLOWER = 64 << 10, PATIENCE = 40000 };

static const struct copies_tuning TUNED = {.log_keep_bytes = 16 << 10};

/* ---- looking at folders and counters ---- */

static uint64_t counter(struct copies *c, uint64_t node, const char *name)
{
	return test_counter(c->nodes[node - 1].shard, name);
}

static void wait_counter(struct copies *c, uint64_t node, const char *name, uint64_t value)
{
	for (int i = 0; counter(c, node, name) < value; i++) {
		if (i == PATIENCE)
			fail_msg("%s does not reach %llu", name, (unsigned long long)value);
		usleep(10000);
	}
}

static uint64_t bytes_found;
static char some_file
	[512]; /* the largest of them that is whole; no index, which would be built again if it were damaged */
static off_t some_size;

static int add_bytes(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type != FTW_F || !strstr(path, "/seg-"))
		return 0;
	bytes_found += (uint64_t)st->st_size;
	if (st->st_size > some_size && !strstr(path, ".part") && !strstr(path, "/index-")) {
		some_size = st->st_size;
		snprintf(some_file, sizeof some_file, "%s", path);
	}
	return 0;
}

/* Bytes in the segments of a folder of a node. */
static uint64_t segment_bytes(struct copies *c, uint64_t node, const char *folder)
{
	char path[512];

	bytes_found = 0;
	some_size = 0;
	snprintf(path, sizeof path, "%.63s/replicas/7/%.20s", c->nodes[node - 1].root, folder);
	nftw(path, add_bytes, 16, FTW_PHYS);
	return bytes_found;
}

static void flip(const char *path, off_t at)
{
	FILE *f = fopen(path, "r+");
	int byte;

	assert_non_null(f);
	fseek(f, at, SEEK_SET);
	byte = fgetc(f);
	fseek(f, at, SEEK_SET);
	fputc(byte ^ 0x40, f);
	fclose(f);
}

static void delete_some(struct copies *c, uint64_t first, uint32_t n)
{
	struct point_id ids[64];
	struct write w = {.op = {.type = OP_DELETE, .ids = ids, .n_ids = n}};
	struct rpc_write_response out;

	for (uint32_t i = 0; i < n; i++)
		ids[i] = test_id(first + 3 * i);
	assert_int_equal(copies_write(c, &w, &out), 0);
	assert_int_equal(out.changed, n);
}

/* Nothing is merged any more: the files stay what they are. */
static void settle(struct copies *c)
{
	uint64_t segments = 0;

	for (int quiet = 0; quiet < 150;) {
		struct rpc_info_response info = copies_info(c, 1);

		quiet = info.segments == segments && info.status == REPLICA_GREEN ? quiet + 1 : 0;
		segments = info.segments;
		usleep(10000);
	}
}

/* Node 1 alone has written so much that its log begins long after the first record; node 2 has nothing. */
static void start_behind(struct copies *c, const struct copies_tuning *tuning)
{
	copies_start_tuned(c, 2, 1, tuning);
	copy_stop(c, 2);
	/* It may have joined in the meantime. */
	copies_wait_in_sync(c, 2, false);
	copies_fill(c, 0, POINTS, BATCH, "a");
	delete_some(c, 30, 60);
	for (int i = 0; copies_info(c, 1).indexed_vectors < POINTS / 2; i++) {
		if (i == PATIENCE)
			fail_msg("node 1 does not index what it has");
		usleep(10000);
	}
	delete_some(c, 600, 60); /* in the log, or in the next manifest */
	settle(c);
}

static void same_as_source(struct copies *c, uint64_t n)
{
	uint64_t count[2];

	copies_wait_in_sync(c, 2, true);
	copies_wait_equal(c);
	for (uint64_t node = 1; node <= 2; node++)
		assert_int_equal(copies_try_count(c, node, &count[node - 1]), 0);
	assert_int_equal(count[0], n);
	assert_int_equal(count[1], n);
}

/* ---- whole copies ---- */

static void a_copy_is_made_from_segments(void **state)
{
	struct copies c;

	start_behind(&c, &TUNED);
	copy_start(&c, 2);
	same_as_source(&c, POINTS - 120);
	assert_int_equal(counter(&c, 2, "seeds_total"), 1);
	assert_int_equal(counter(&c, 2, "seeds_failed_total"), 0);
	assert_true(counter(&c, 2, "seed_bytes_total") > 0);
	assert_int_equal(segment_bytes(&c, 2, "0.seed"), 0);
	assert_int_equal(segment_bytes(&c, 2, "0.old"), 0);
	/* It goes on as a member, also after a restart. */
	copies_fill(&c, POINTS, 100, BATCH, "b");
	copy_stop(&c, 2);
	copy_start(&c, 2);
	copies_fill(&c, POINTS + 100, 100, BATCH, "c");
	same_as_source(&c, POINTS + 80);
	/* What it has is enough to go on alone. */
	copies_promote(&c, 2);
	copy_stop(&c, 1);
	copies_fill(&c, POINTS + 200, 100, BATCH, "d");
	copy_start(&c, 1);
	copies_wait_in_sync(&c, 1, true);
	copies_wait_equal(&c);
	copies_fini(&c);
}

static void the_built_index_comes_along(void **state)
{
	struct copies c;

	start_behind(&c, &TUNED);
	copy_start(&c, 2);
	wait_counter(&c, 2, "seeds_total", 1);
	for (int i = 0; copies_info(&c, 2).segments == 0 && i < PATIENCE; i++)
		usleep(1000);
	assert_true(copies_info(&c, 2).indexed_vectors >= POINTS / 2);
	same_as_source(&c, POINTS - 120);
	copies_fini(&c);
}

static void a_source_that_changes_meanwhile(void **state)
{
	struct copies_tuning slow = TUNED;
	struct copies c;
	uint64_t n = POINTS - 120;

	slow.seed_bytes_per_s = SLOW;
	start_behind(&c, &slow);
	copy_start(&c, 2);
	wait_counter(&c, 2, "seed_bytes_total", 1);
	/* Seals and compactions of the source. */
	for (int i = 0; i < 8; i++) {
		copies_fill(&c, 10000 + (uint64_t)i * 600, 600, BATCH, "b");
		n += 600;
	}
	same_as_source(&c, n);
	assert_true(counter(&c, 1, "compactions_total") > 0);
	copies_fini(&c);
}

/* ---- interrupted ---- */

static void an_interrupted_copy_goes_on(void **state)
{
	struct copies_tuning slow = TUNED;
	struct copies c;
	uint64_t all, first;

	slow.seed_bytes_per_s = SLOW;
	start_behind(&c, &slow);
	all = segment_bytes(&c, 1, "0");
	copy_start(&c, 2);
	wait_counter(&c, 2, "seed_bytes_total", all / 2);
	copy_stop(&c, 2);
	first = segment_bytes(&c, 2, "0.seed");
	assert_true(first >= all / 3);
	copy_start(&c, 2);
	wait_counter(&c, 2, "seeds_total", 1);
	assert_true(counter(&c, 2, "seed_bytes_total") <= all - all / 4);
	same_as_source(&c, POINTS - 120);
	copies_fini(&c);
}

static void what_was_damaged_on_the_disk_is_fetched_again(void **state)
{
	struct copies_tuning slow = TUNED;
	struct copies c;

	/* After each file it pauses for seconds: one is there, and some are not. */
	slow.seed_bytes_per_s = SLOWER;
	start_behind(&c, &slow);
	copy_start(&c, 2);
	for (int i = 0; some_size < 200; i++) {
		if (i == PATIENCE)
			fail_msg("no file arrives");
		usleep(2000);
		segment_bytes(&c, 2, "0.seed");
	}
	copy_stop(&c, 2);
	flip(some_file, some_size / 3);
	c.tuning.seed_bytes_per_s = 0; /* as fast as usual */
	copy_start(&c, 2);
	same_as_source(&c, POINTS - 120);
	assert_true(counter(&c, 2, "seed_refetched_total") > 0);
	copies_fini(&c);
}

/* ---- damaged on the way ---- */

static struct rpc_service inner_of[COPIES_MAX + 1];
static atomic_int pieces_to_spoil;

struct spoiled {
	void (*done)(struct rpc_call *call);
	void *ctx;
};

static void spoil(struct rpc_call *call)
{
	struct spoiled *s = call->ctx;
	struct rpc_seed_read_response *a = call->response;

	call->done = s->done;
	call->ctx = s->ctx;
	free(s);
	if (call->rc == 0 && a->n > 0)
		((uint8_t *)a->bytes)[a->n / 2] ^= 1;
	call->done(call);
}

static void handle_spoiling(void *ctx, struct rpc_call *call)
{
	struct rpc_service *inner = ctx;

	if (call->type == RPC_TYPE_seed_read && atomic_fetch_sub(&pieces_to_spoil, 1) > 0) {
		struct spoiled *s = mem_zalloc(sizeof *s);

		*s = (struct spoiled){call->done, call->ctx};
		call->done = spoil;
		call->ctx = s;
	}
	inner->handle(inner->ctx, call);
}

static struct rpc_service wrap_spoiling(struct copy *n, struct rpc_service inner)
{
	inner_of[n->node] = inner;
	return (struct rpc_service){handle_spoiling, &inner_of[n->node]};
}

static void a_piece_that_arrives_damaged_is_fetched_again(void **state)
{
	struct copies_tuning tuned = TUNED;
	struct copies c;

	tuned.wrap = wrap_spoiling;
	start_behind(&c, &tuned);
	pieces_to_spoil = 2;
	copy_start(&c, 2);
	same_as_source(&c, POINTS - 120);
	assert_int_equal(counter(&c, 2, "seed_refetched_total"), 2);
	assert_int_equal(counter(&c, 2, "seeds_failed_total"), 0);
	copies_fini(&c);
}

/* ---- copies that have gone bad ---- */

static void start_equal(struct copies *c, const struct copies_tuning *tuning)
{
	copies_start_tuned(c, 2, 2, tuning);
	copies_fill(c, 0, POINTS, BATCH, "a");
	for (uint64_t node = 1; node <= 2; node++)
		for (int i = 0; copies_info(c, node).indexed_vectors < POINTS / 2 && i < PATIENCE;
		     i++)
			usleep(10000);
	copies_wait_equal(c);
}

static void a_copy_with_a_damaged_segment_is_made_anew(void **state)
{
	struct copies c;

	start_equal(&c, &TUNED);
	copy_stop(&c, 2);
	segment_bytes(&c, 2, "0");
	flip(some_file, 100);
	copy_start(&c, 2);
	wait_counter(&c, 2, "seeds_total", 1);
	same_as_source(&c, POINTS);
	copies_fini(&c);
}

static void a_copy_that_cannot_be_opened_is_made_anew(void **state)
{
	struct copies c;
	char path[200];

	start_equal(&c, &TUNED);
	copy_stop(&c, 2);
	snprintf(path, sizeof path, "%.63s/replicas/7/0/CURRENT", c.nodes[1].root);
	flip(path, 3);
	copy_start(&c, 2);
	copies_fill(&c, POINTS, 100, BATCH, "b");
	wait_counter(&c, 2, "seeds_total", 1);
	same_as_source(&c, POINTS + 100);
	copies_fini(&c);
}

/* The collection gets another payload index while a copy that could not be opened is made anew: the
 * copy knows of it, or it could not follow the primary. */
static void a_copy_that_is_made_anew_has_the_newest_schema(void **state)
{
	struct copies_tuning slow = TUNED;
	struct copies c;
	char path[200];

	slow.seed_bytes_per_s = SLOW;
	start_equal(&c, &slow);
	copy_stop(&c, 2);
	snprintf(path, sizeof path, "%.63s/replicas/7/0/CURRENT", c.nodes[1].root);
	flip(path, 3);
	copy_start(&c, 2);
	copies_wait_in_sync(&c, 2, false);
	wait_counter(&c, 2, "seed_bytes_total", 1);
	copies_add_field(&c, "n");
	assert_int_equal(counter(&c, 2, "seeds_total"), 0);
	copies_fill(&c, POINTS, 100, BATCH, "b");
	same_as_source(&c, POINTS + 100);
	copies_fini(&c);
}

/* Its disk was replaced: it must not pass for a full copy. */
static void a_copy_that_lost_its_folder_is_made_anew(void **state)
{
	struct copies c;
	char command[200];

	start_equal(&c, &TUNED);
	copy_stop(&c, 1); /* epoch 1 is that of a new collection */
	copy_start(&c, 1);
	copies_fill(&c, POINTS + 1000, 100, BATCH, "c");
	assert_true(copies_config(&c).epoch > 1);
	copy_stop(&c, 2);
	snprintf(command, sizeof command, "rm -rf '%s/replicas'", c.nodes[1].root);
	assert_int_equal(system(command), 0);
	copy_start(&c, 2);
	copies_fill(&c, POINTS, 100, BATCH, "b");
	wait_counter(&c, 2, "seeds_total", 1);
	same_as_source(&c, POINTS + 200);
	copies_fini(&c);
}

/* The same with a new collection: nothing has changed in the map since it was made, so nothing there tells. */
static void an_emptied_folder_is_not_a_new_replica(void **state)
{
	struct copies c;
	char command[200];

	start_equal(&c, &TUNED);
	copy_stop(&c, 1); /* who would have changed the map */
	copy_stop(&c, 2);
	snprintf(command, sizeof command, "rm -rf '%s/replicas'", c.nodes[1].root);
	assert_int_equal(system(command), 0);
	copy_start(&c, 2);
	assert_true(copies_failed(&c, 2));
	copy_start(&c, 1);
	wait_counter(&c, 2, "seeds_total", 1);
	same_as_source(&c, POINTS);
	copies_fini(&c);
}

/* ---- the swap ---- */

struct swap {
	char root[64];
	struct store_io disk, io;
	struct fault_plan faults;
	struct shard shard; /* only its io is used */
};

static const char FOLDER[] = "replicas/7/0";

static void put(struct swap *s, const char *path)
{
	assert_int_equal(store_put_file(&s->disk, path, "x", 1, NULL), 0);
}

static bool there(struct swap *s, const char *path)
{
	char full[512];

	snprintf(full, sizeof full, "%.63s/%.200s", s->root, path);
	return access(full, F_OK) == 0;
}

static void swap_init(struct swap *s)
{
	struct store_io old;
	struct epochs e;

	memset(s, 0, sizeof *s);
	snprintf(s->root, sizeof s->root, "/tmp/quiver-swap-XXXXXX");
	assert_non_null(mkdtemp(s->root));
	assert_int_equal(store_io_real(s->root, &s->disk, NULL), 0);
	fault_io(&s->disk, &s->faults, &s->io);
	s->shard.options.io = s->io;
	assert_int_equal(store_io_sub(&s->disk, FOLDER, &old, NULL), 0);
	assert_int_equal(s->disk.mkdirs(s->disk.ctx, "replicas/7/0/wal", NULL), 0);
	assert_int_equal(epochs_open(&e, &old, NULL), 0);
	assert_int_equal(epochs_put(&e, 9, 100, NULL), 0);
	epochs_close(&e);
	store_io_fini(&old);
	assert_int_equal(s->disk.mkdirs(s->disk.ctx, "replicas/7/0.seed/seg-3", NULL), 0);
	put(s, "replicas/7/0/OLD");
	put(s, "replicas/7/0.seed/SOURCE");
	put(s, "replicas/7/0.seed/seg-3/NEW");
}

static void swap_fini(struct swap *s)
{
	char command[128];

	store_io_fini(&s->io);
	store_io_fini(&s->disk);
	snprintf(command, sizeof command, "rm -rf '%s'", s->root);
	assert_int_equal(system(command), 0);
}

static void check_new(struct swap *s)
{
	struct store_io io;
	struct epochs e;
	struct manifest m;

	assert_false(there(s, "replicas/7/0.seed"));
	assert_false(there(s, "replicas/7/0/OLD"));
	assert_true(there(s, "replicas/7/0/seg-3/NEW"));
	assert_int_equal(store_io_sub(&s->disk, FOLDER, &io, NULL), 0);
	assert_int_equal(epochs_open(&e, &io, NULL), 0);
	assert_int_equal(e.epoch, 9); /* what the old one had seen */
	assert_int_equal(e.commit_seq, 40);
	epochs_close(&e);
	assert_int_equal(manifest_load(&io, &m, NULL), 0);
	assert_int_equal(m.applied_seq, 40);
	manifest_fini(&m);
	store_io_fini(&io);
}

static int install(struct swap *s)
{
	struct manifest m;
	int rc;

	manifest_init(&m);
	m.collection_id = 7;
	m.applied_seq = 40;
	m.applied_epoch = 4;
	rc = staging_install(&s->shard, FOLDER, &m, 5, NULL);
	manifest_fini(&m);
	return rc;
}

static void a_swap_that_breaks_off_is_finished_or_undone(void **state)
{
	uint32_t undone = 0, finished = 0;

	for (uint64_t at = 1;; at++) {
		struct swap s;
		int rc;

		swap_init(&s);
		s.faults = (struct fault_plan){.ops = FAULT_ALL,
					       .at = at,
					       .code = ERR_IO,
					       .partly = true,
					       .lasting = true};
		rc = install(&s);
		if (!s.faults.fired) {
			assert_int_equal(rc, 0);
			check_new(&s);
			swap_fini(&s);
			break;
		}
		s.faults = (struct fault_plan){0}; /* the next start */
		assert_int_equal(staging_settle(&s.shard, FOLDER, NULL), 0);
		assert_false(there(&s, "replicas/7/0/COMPLETE"));
		assert_false(there(&s, "replicas/7/0.old"));
		if (there(&s, "replicas/7/0/OLD")) {
			undone++;
			assert_false(there(&s, "replicas/7/0.seed/COMPLETE"));
			/* The copy may be gone on with. */
			assert_true(there(&s, "replicas/7/0.seed/seg-3/NEW"));
			assert_int_equal(install(&s), 0);
		} else {
			finished++;
		}
		check_new(&s);
		swap_fini(&s);
	}
	print_message("%u operations failed\n", undone + finished);
	assert_true(undone > 3 && finished > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_swap_that_breaks_off_is_finished_or_undone),
		cmocka_unit_test(a_copy_is_made_from_segments),
		cmocka_unit_test(the_built_index_comes_along),
		cmocka_unit_test(a_source_that_changes_meanwhile),
		cmocka_unit_test(an_interrupted_copy_goes_on),
		cmocka_unit_test(what_was_damaged_on_the_disk_is_fetched_again),
		cmocka_unit_test(a_piece_that_arrives_damaged_is_fetched_again),
		cmocka_unit_test(a_copy_with_a_damaged_segment_is_made_anew),
		cmocka_unit_test(a_copy_that_cannot_be_opened_is_made_anew),
		cmocka_unit_test(a_copy_that_is_made_anew_has_the_newest_schema),
		cmocka_unit_test(a_copy_that_lost_its_folder_is_made_anew),
		cmocka_unit_test(an_emptied_folder_is_not_a_new_replica),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
