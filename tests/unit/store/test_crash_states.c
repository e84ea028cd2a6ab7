/* Power loss after every change to the disk while a replica's files go through their life: records are logged, sealed into a
 * segment with an index beside it, named in a new manifest, dropped from the log; segments are merged and the old ones swept.
 * After every such crash the files must say all that was acknowledged, and nothing else, and life must go on.
 *
 * QUIVER_SEED=n tries that seed alone, QUIVER_SEEDS=n as many. */
#include "tests/unit/store/random_util.h"
#include "tests/unit/store/crash_util.h"
#include "tests/unit/store/wal_util.h"

enum { ROUNDS = 7, SEGMENT_BYTES = 4000, INDEX_BYTES = 300 };

/* What the caller of the functions knows. */
struct life {
	struct memory_disk *disk;
	const struct store_io *io;
	struct wal *wal;
	struct manifest manifest;
	struct collection *schema;
	struct prng *random;
	uint64_t last, durable;
};

static bool on(int rc)
{
	return rc == 0;
}

/* Every seq is a point: id and version tell it. */
static bool write_segment(struct life *l, uint64_t id, uint64_t first, uint64_t last)
{
	struct segment_writer *w = NULL;
	int rc = segment_writer_new(l->io, id, l->schema, &w, NULL);
	for (uint64_t seq = first; seq <= last && rc == 0; seq++) {
		float values[3] = {(float)seq, 1, 2};
		const float *dense[2] = {values, NULL};
		struct vector sparse = {VECTOR_SPARSE, 0, 0, NULL, NULL};
		struct segment_row row = {id_from_u64(seq), seq * 3, dense, &sparse,
					  PV_EMPTY_OBJECT};
		rc = segment_writer_add(w, &row, NULL);
	}
	if (rc == 0)
		rc = segment_writer_finish(w, NULL);
	segment_writer_free(w);
	return on(rc);
}

static bool write_index(struct life *l, uint64_t id)
{
	uint8_t bytes[INDEX_BYTES];
	struct segment_blob *b = NULL;
	memset(bytes, (int)id, sizeof(bytes));
	if (segment_blob_begin(l->io, id, "index-0", &b, NULL) != 0)
		return false;
	if (segment_blob_write(b, bytes, sizeof(bytes), NULL) != 0) {
		segment_blob_abort(b);
		return false;
	}
	return on(segment_blob_commit(b, NULL));
}

/* A segment of the rows after `first`, instead of those from number `keep` on. */
static bool switch_manifest(struct life *l, uint32_t keep, uint64_t first, uint64_t last)
{
	struct manifest *m = &l->manifest;
	uint64_t id = ++m->next_segment_id;
	if (!write_segment(l, id, first, last) ||
	    (prng_below(l->random, 2) == 0 && !write_index(l, id)))
		return false;
	m->segments = mem_resize(m->segments, (keep + 1) * sizeof(*m->segments));
	m->segments[keep] =
		(struct manifest_segment){.id = id, .n_rows = (uint32_t)(last - first + 1)};
	m->n_segments = keep + 1;
	m->applied_seq = last;
	m->applied_epoch = epoch_of(last);
	return on(manifest_store(l->io, m, NULL));
}

static bool round_of(struct life *l, int round)
{
	for (uint64_t n = 1 + prng_below(l->random, 4); n > 0; n--) {
		uint64_t to = l->last + 1 + prng_below(l->random, 3), from = l->last + 1;
		l->last = to; /* may be found even when the call failed for want of power */
		if (!on(append(l->wal, from, to, 0)))
			return false;
	}
	wal_sync(l->wal);
	if (!memory_disk_stopped(l->disk))
		l->durable = l->last;
	if (round % 3 != 2)
		return switch_manifest(l, l->manifest.n_segments, l->manifest.applied_seq + 1,
				       l->last) &&
		       on(wal_drop_before(l->wal, l->manifest.applied_seq + 1, NULL));
	return switch_manifest(l, 0, 1, l->last) && on(manifest_sweep(l->io, &l->manifest, NULL));
}

static void check_segment(struct life *l, const struct manifest_segment *named, uint64_t *next)
{
	struct segment *s = open_segment(l->io, named->id, l->schema);
	const uint8_t *index;
	size_t n;
	struct error err = {0};
	if (segment_verify(s, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(segment_rows(s), named->n_rows);
	for (uint32_t row = 0; row < named->n_rows; row++, ++*next) {
		struct point_id id = id_from_u64(*next), found = segment_point_id(s, row);
		assert_true(id_equal(&found, &id));
		assert_int_equal(segment_version(s, row), *next * 3);
	}
	int rc = segment_blob_map(s, "index-0", &index, &n, NULL);
	assert_true(rc == 0 || rc == ERR_NOT_FOUND);
	if (rc == 0) {
		assert_int_equal(n, INDEX_BYTES);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(index[i], (uint8_t)named->id);
	}
	segment_close(s);
}

/* The manifest, its segments, and the log behind them hold exactly 1 .. last. */
static void recover(struct life *l, uint64_t least)
{
	struct error err = {0};
	uint64_t next = 1;
	manifest_fini(&l->manifest);
	manifest_init(&l->manifest);
	int rc = manifest_load(l->io, &l->manifest, &err);
	if (rc != 0 && rc != ERR_NOT_FOUND)
		fail_msg("%s", err.text);
	assert_int_equal(manifest_sweep(l->io, &l->manifest, NULL), 0);
	for (uint32_t i = 0; i < l->manifest.n_segments; i++)
		check_segment(l, &l->manifest.segments[i], &next);
	uint64_t applied = l->manifest.applied_seq;
	assert_int_equal(next, applied + 1);
	struct wal_options options = {SEGMENT_BYTES};
	if (wal_open(l->io, "wal", &options, applied, &l->wal, &err) != 0)
		fail_msg("%s", err.text);
	uint64_t last = wal_last_seq(l->wal);
	if (wal_first_seq(l->wal) != 0) {
		assert_true(wal_first_seq(l->wal) <= applied + 1);
		check_log(l->wal, wal_first_seq(l->wal), last, NULL);
	}
	last = last > applied ? last : applied;
	if (last < least || last > l->last)
		fail_msg("%lu records are left, of %lu acknowledged and %lu written",
			 (unsigned long)last, (unsigned long)least, (unsigned long)l->last);
	l->last = l->durable = last;
}

/* Returns false when the life ended before the n-th change. */
static bool crash_at(struct life *l, uint64_t change, int mode)
{
	struct prng random;
	prng_seed(&random, at.seed);
	l->random = &random;
	recover(l, 0);
	memory_disk_stop_at(l->disk, change);
	for (int round = 0; round < ROUNDS && round_of(l, round);)
		round++;
	bool stopped = memory_disk_stopped(l->disk);
	wal_close(l->wal);
	prng_seed(&random, at.seed * 77 + change);
	memory_disk_crash(l->disk, (enum memory_crash)mode, &random);
	recover(l, l->durable);
	assert_true(round_of(l, 0)); /* it goes on */
	wal_close(l->wal);
	memory_disk_crash(l->disk, CRASH_DROP, NULL);
	recover(l, l->last);
	wal_close(l->wal);
	return stopped;
}

static void the_files_of_a_replica_survive_every_crash(void **state)
{
	uint64_t states = 0;
	uint64_t first, last;
	crash_seeds(&first, &last, 1);
	for (at.seed = first; at.seed <= last; at.seed++) {
		for (at.mode = CRASH_KILL; at.mode <= CRASH_ANY; at.mode++) {
			bool more = true;
			for (at.change = 1; more; at.change++) {
				struct memory_disk *disk = memory_disk_new();
				struct store_io io;
				struct life l = {.disk = disk,
						 .io = &io,
						 .schema = random_schema(false)};
				memory_disk_io(disk, &io);
				manifest_init(&l.manifest);
				more = crash_at(&l, at.change, at.mode);
				manifest_fini(&l.manifest);
				collection_unref(l.schema);
				memory_disk_free(disk);
				states++;
			}
		}
	}
	print_message("%lu crash states\n", (unsigned long)states);
	assert_true(states > 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(the_files_of_a_replica_survive_every_crash, say_where),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
