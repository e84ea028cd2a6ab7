/* The manifest, and the whole of sealing a segment, under power loss and under failing operations: the state that
 * the manifest names is always whole, and it is never older than the last one that was stored. */
#include "tests/unit/store/random_util.h"

static struct manifest random_manifest(struct prng *p)
{
	struct manifest m;
	manifest_init(&m);
	m.collection_id = prng_u64(p);
	m.partition = (uint32_t)prng_below(p, 256);
	m.applied_seq = prng_u64(p);
	m.applied_epoch = prng_u64(p);
	m.next_segment_id = prng_u64(p);
	m.n_segments = (uint32_t)prng_below(p, 5);
	m.segments = mem_array(m.n_segments, sizeof(*m.segments));
	for (uint32_t i = 0; i < m.n_segments; i++) {
		struct manifest_segment *s = &m.segments[i];
		s->id = prng_u64(p);
		s->n_rows = (uint32_t)prng_below(p, 100000);
		s->quarantined = prng_below(p, 2) == 0;
		if (prng_below(p, 3) == 0)
			continue;
		bitset_init(&s->deleted, s->n_rows, false);
		uint64_t chance = 1 + prng_below(p, 50);
		for (uint32_t row = 0; row < s->n_rows; row++)
			if (prng_below(p, chance) == 0)
				bitset_set(&s->deleted, row);
	}
	for (uint64_t i = prng_below(p, 300); i > 0; i--)
		buf_put_u8(&m.extra, (uint8_t)prng_u64(p));
	return m;
}

static void check_same(const struct manifest *a, const struct manifest *b)
{
	assert_int_equal(a->number, b->number);
	assert_int_equal(a->collection_id, b->collection_id);
	assert_int_equal(a->partition, b->partition);
	assert_int_equal(a->applied_seq, b->applied_seq);
	assert_int_equal(a->applied_epoch, b->applied_epoch);
	assert_int_equal(a->next_segment_id, b->next_segment_id);
	assert_int_equal(a->extra.len, b->extra.len);
	assert_true(a->extra.len == 0 || memcmp(a->extra.data, b->extra.data, a->extra.len) == 0);
	assert_int_equal(a->n_segments, b->n_segments);
	for (uint32_t i = 0; i < a->n_segments; i++) {
		const struct manifest_segment *s = &a->segments[i], *t = &b->segments[i];
		assert_int_equal(s->id, t->id);
		assert_int_equal(s->n_rows, t->n_rows);
		assert_int_equal(s->quarantined, t->quarantined);
		uint32_t deleted = s->deleted.words != NULL ? bitset_count(&s->deleted) : 0;
		assert_int_equal(deleted, t->deleted.words != NULL ? bitset_count(&t->deleted) : 0);
		for (uint32_t row = 0; deleted != 0 && row < s->n_rows; row++)
			assert_int_equal(bitset_get(&s->deleted, row),
					 bitset_get(&t->deleted, row));
	}
}

struct counting {
	int manifests;
};

static int count_manifests(void *ctx, const char *name)
{
	((struct counting *)ctx)->manifests += strncmp(name, "MANIFEST-", 9) == 0;
	return 0;
}

static void what_is_stored_comes_back(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	struct prng p;
	memory_disk_io(disk, &io);
	prng_seed(&p, 1);
	struct manifest got;
	assert_int_equal(manifest_load(&io, &got, NULL), ERR_NOT_FOUND);
	uint64_t number = 0;
	for (int i = 0; i < 60; i++) {
		struct manifest m = random_manifest(&p), copy;
		m.number = number;
		assert_int_equal(manifest_store(&io, &m, NULL), 0);
		assert_int_equal(m.number, ++number);
		if (i % 3 == 0)
			memory_disk_crash(disk, CRASH_DROP, NULL);
		assert_int_equal(manifest_load(&io, &got, NULL), 0);
		check_same(&m, &got);
		manifest_copy(&copy, &m);
		check_same(&m, &copy);
		struct counting c = {0};
		io.list(io.ctx, "", count_manifests, &c, NULL);
		assert_true(i % 3 == 0 || c.manifests == 1); /* a crash may bring the older back */
		manifest_fini(&m);
		manifest_fini(&copy);
		manifest_fini(&got);
	}
	memory_disk_free(disk);
}

static void damage_is_never_passed_over(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	struct prng p;
	memory_disk_io(disk, &io);
	prng_seed(&p, 2);
	struct manifest m = random_manifest(&p), got;
	assert_int_equal(manifest_store(&io, &m, NULL), 0);
	assert_int_equal(manifest_store(&io, &m, NULL), 0);
	static const char *const NAMES[] = {"CURRENT", "MANIFEST-2"};
	for (int i = 0; i < 2; i++) {
		size_t n;
		struct error err = {0};
		uint8_t *bytes = memory_disk_bytes(disk, NAMES[i], &n);
		for (size_t at = 0; at < n; at++) {
			bytes[at] ^= (uint8_t)(1u << prng_below(&p, 8));
			uint8_t *before = mem_copy(bytes, n);
			assert_int_equal(manifest_load(&io, &got, &err), ERR_CORRUPT);
			assert_non_null(strstr(err.text, "CURRENT"));
			assert_memory_equal(bytes, before, n);
			free(before);
			memory_disk_bytes(disk, NAMES[i], &n);
			/* Put it back by writing the same state again. */
			m.number = 1;
			assert_int_equal(manifest_store(&io, &m, NULL), 0);
			bytes = memory_disk_bytes(disk, NAMES[i], &n);
		}
		for (size_t cut = 0; cut < n; cut += 3) {
			struct memory_disk *copy = memory_disk_clone(disk);
			struct store_io copy_io;
			memory_disk_io(copy, &copy_io);
			memory_disk_cut(copy, NAMES[i], cut);
			assert_int_equal(manifest_load(&copy_io, &got, NULL), ERR_CORRUPT);
			memory_disk_free(copy);
		}
	}
	assert_int_equal(io.remove(io.ctx, "CURRENT", NULL), 0);
	assert_int_equal(manifest_load(&io, &got, NULL), ERR_CORRUPT);
	m.number = 1;
	assert_int_equal(manifest_store(&io, &m, NULL), 0);
	assert_int_equal(io.remove(io.ctx, "MANIFEST-2", NULL), 0);
	assert_int_equal(manifest_load(&io, &got, NULL), ERR_CORRUPT);
	manifest_fini(&m);
	memory_disk_free(disk);
}

/* Contents that a checksum vouches for and that make no sense. */
static void nonsense_is_refused(void **state)
{
	struct prng p;
	prng_seed(&p, 3);
	uint64_t refused = 0;
	for (int i = 0; i < 1500; i++) {
		struct memory_disk *disk = memory_disk_new();
		struct store_io io;
		struct buf b = BUF_INIT;
		memory_disk_io(disk, &io);
		struct manifest m, got;
		manifest_init(&m);
		m.n_segments = 2;
		m.segments = mem_array(2, sizeof(*m.segments));
		for (uint32_t k = 0; k < 2; k++) {
			m.segments[k].n_rows = 3000;
			bitset_init(&m.segments[k].deleted, 3000, false);
			for (uint64_t n = prng_below(&p, 500); n > 0; n--)
				bitset_set(&m.segments[k].deleted, (uint32_t)prng_below(&p, 3000));
		}
		assert_int_equal(manifest_store(&io, &m, NULL), 0);
		assert_int_equal(store_get_file(&io, "MANIFEST-1", &b, NULL), 0);
		for (uint64_t n = 1 + prng_below(&p, 4); n > 0; n--)
			b.data[prng_below(&p, b.len)] = (uint8_t)prng_u64(&p);
		if (prng_below(&p, 4) == 0)
			b.len = (size_t)prng_below(&p, b.len);
		assert_int_equal(store_put_file(&io, "MANIFEST-1", b.data, b.len, NULL), 0);
		int rc = manifest_load(&io, &got, NULL);
		assert_true(rc == 0 || rc == ERR_CORRUPT || rc == ERR_VERSION);
		refused += rc != 0;
		if (rc == 0)
			manifest_fini(&got);
		manifest_fini(&m);
		buf_fini(&b);
		memory_disk_free(disk);
	}
	assert_true(refused > 250);
}

/* A few bytes that claim thousands of millions of rows, each a bit of a set of deleted ones. */
static void too_many_rows_are_refused(void **state)
{
	static const uint32_t rows[][2] = {{SEGMENT_ROWS_MAX, 50}, {SEGMENT_ROWS_MAX + 1, 1}};
	static const int want[2][2] = {{ERR_TOO_LARGE, ERR_CORRUPT}, {0, ERR_CORRUPT}};
	for (int i = 0; i < 2; i++) {
		struct memory_disk *disk = memory_disk_new();
		struct error err = {0};
		struct buf b = BUF_INIT;
		struct store_io io;
		struct manifest m, got;
		memory_disk_io(disk, &io);
		manifest_init(&m);
		m.n_segments = rows[i][1];
		m.segments = mem_array(m.n_segments, sizeof(*m.segments));
		for (uint32_t k = 0; k < m.n_segments; k++)
			m.segments[k].n_rows = rows[i][0];
		manifest_encode(&b, &m);
		assert_int_equal(manifest_store(&io, &m, &err), want[i][0]);
		assert_true(want[i][0] == 0 || strstr(err.text, "more partitions") != NULL);
		assert_int_equal(manifest_decode(b.data, b.len, &got, &err), want[i][1]);
		assert_non_null(strstr(err.text, "make no sense"));
		buf_fini(&b);
		manifest_fini(&m);
		memory_disk_free(disk);
	}
	(void)state;
}

/* ---- sealing, as a replica does it ---- */

struct sealing {
	struct memory_disk *disk;
	struct store_io io;
	struct collection *schema;
	struct rows rows;
	struct manifest m;  /* as last stored */
	uint64_t attempted; /* number of the manifest that was being stored */
};

static int put_index(struct sealing *s, uint64_t id)
{
	struct segment_blob *b = NULL;
	int rc = segment_blob_begin(&s->io, id, "index-0.faiss", &b, NULL);
	if (rc != 0)
		return rc;
	char text[32]; /* another one each time, so that no old part passes for a new one */
	int n = snprintf(text, sizeof(text), "index %06lu",
			 (unsigned long)memory_disk_changes(s->disk));
	rc = segment_blob_write(b, text, (size_t)n, NULL);
	if (rc != 0) {
		segment_blob_abort(b);
		return rc;
	}
	return segment_blob_commit(b, NULL);
}

static int store_with(struct sealing *s, uint64_t id)
{
	struct manifest next;
	manifest_copy(&next, &s->m);
	next.segments = mem_resize(next.segments, (next.n_segments + 1) * sizeof(*next.segments));
	next.segments[next.n_segments++] = (struct manifest_segment){.id = id, .n_rows = s->rows.n};
	if (next.n_segments > 2) { /* a compaction: the oldest goes */
		bitset_fini(&next.segments[0].deleted);
		memmove(next.segments, next.segments + 1, 2 * sizeof(*next.segments));
		next.n_segments = 2;
	}
	bitset_fini(&next.segments[0].deleted);
	bitset_init(&next.segments[0].deleted, s->rows.n, false);
	bitset_set(&next.segments[0].deleted, (uint32_t)(id % s->rows.n));
	next.next_segment_id = id + 1;
	next.applied_seq = id * 10;
	s->attempted = next.number + 1;
	int rc = manifest_store(&s->io, &next, NULL);
	if (memory_disk_stopped(s->disk))
		rc = ERR_IO; /* it ended after the power, so nobody was told */
	struct manifest *drop = rc == 0 ? &s->m : &next;
	manifest_fini(drop);
	if (rc == 0)
		s->m = next;
	return rc;
}

/* One seal; anything but 0 ends it where it is. */
static int seal(struct sealing *s)
{
	uint64_t id = s->m.next_segment_id;
	int rc = write_rows(&s->io, id, s->schema, &s->rows, NULL);
	if (rc == 0)
		rc = put_index(s, id);
	if (rc == 0)
		rc = store_with(s, id);
	if (rc == 0)
		rc = manifest_sweep(&s->io, &s->m, NULL);
	if (rc == 0) { /* an index of the older segment is built anew */
		struct segment *old = NULL;
		rc = segment_open(&s->io, s->m.segments[0].id, s->schema, &old, NULL);
		if (rc == 0)
			rc = segment_pindex_build(&s->io, old, s->schema, &s->schema->fields[0],
						  NULL);
		segment_close(old);
	}
	if (rc == 0)
		rc = put_index(s, s->m.segments[0].id);
	return rc;
}

/* What the next start finds must be whole. */
static void check_whole(const struct store_io *io, struct sealing *s)
{
	struct manifest got;
	struct error err = {0};
	int rc = manifest_load(io, &got, &err);
	if (rc == ERR_NOT_FOUND && s->m.number == 0)
		return;
	if (rc != 0)
		fail_msg("%s", err.text);
	assert_true(got.number >= s->m.number && got.number <= s->attempted);
	assert_int_equal(got.applied_seq, (got.next_segment_id - 1) * 10);
	for (uint32_t i = 0; i < got.n_segments; i++) {
		struct segment *segment = open_segment(io, got.segments[i].id, s->schema);
		if (segment_verify(segment, &err) != 0)
			fail_msg("%s", err.text);
		assert_int_equal(segment_rows(segment), s->rows.n);
		for (uint32_t f = 0; f < s->schema->n_fields; f++)
			assert_non_null(segment_pindex(segment, s->schema->fields[f].path.text));
		const uint8_t *bytes;
		size_t n;
		rc = segment_blob_map(segment, "index-0.faiss", &bytes, &n, &err);
		assert_true(rc == 0 || rc == ERR_NOT_FOUND); /* while one replaces the other */
		if (rc == 0)
			assert_memory_equal(bytes, "index ", 6);
		segment_close(segment);
	}
	assert_int_equal(manifest_sweep(io, &got, NULL), 0);
	manifest_fini(&got);
}

static struct sealing sealing_new(void)
{
	struct sealing s = {.schema = random_schema(true), .rows = random_rows(5, 1)};
	s.schema->n_fields = 3; /* enough for the paths that are crossed */
	manifest_init(&s.m);
	return s;
}

static void sealing_free(struct sealing *s)
{
	manifest_fini(&s->m);
	collection_unref(s->schema);
	arena_free(s->rows.arena);
}

static bool crash_at(uint64_t n, enum memory_crash mode, uint64_t round)
{
	struct memory_disk *disk = memory_disk_new();
	struct sealing s = sealing_new();
	struct prng p;
	s.disk = disk;
	memory_disk_io(disk, &s.io);
	memory_disk_stop_at(disk, n);
	int rc = 0;
	for (int i = 0; i < 4 && rc == 0; i++)
		rc = seal(&s);
	bool stopped = memory_disk_stopped(disk);
	prng_seed(&p, n * 31 + round);
	memory_disk_crash(disk, mode, &p);
	check_whole(&s.io, &s);
	sealing_free(&s);
	memory_disk_free(disk);
	return stopped;
}

static void power_loss_leaves_the_old_state_or_the_new(void **state)
{
	uint64_t states = 0;
	for (uint64_t round = 0; round < 6; round++) {
		/* Only what is lost by chance is worth more than one round. */
		enum memory_crash mode = round < CRASH_ANY ? (enum memory_crash)round : CRASH_ANY;
		uint64_t n = 1;
		while (crash_at(n, mode, round))
			n++;
		states += n;
	}
	print_message("%lu crash states\n", (unsigned long)states);
	assert_true(states > 1000);
}

static bool fail_at(uint64_t n, int code, bool lasting)
{
	struct memory_disk *disk = memory_disk_new();
	struct sealing s = sealing_new();
	struct store_io memory;
	s.disk = disk;
	memory_disk_io(disk, &memory);
	struct fault_plan plan = {
		.ops = FAULT_ALL, .at = n, .code = code, .partly = true, .lasting = lasting};
	fault_io(&memory, &plan, &s.io);
	for (int i = 0; i < 3; i++) {
		int rc = seal(&s);
		assert_true(rc == 0 || rc == code);
	}
	plan.at = 0;
	check_whole(&memory, &s);
	assert_int_equal(seal(&s), 0); /* when the disk is well again, it goes on */
	check_whole(&memory, &s);
	store_io_fini(&s.io);
	sealing_free(&s);
	memory_disk_free(disk);
	return plan.fired;
}

static void a_failed_operation_leaves_the_state_whole(void **state)
{
	for (int how = 0; how < 4; how++) {
		uint64_t n = 1;
		while (fail_at(n, how % 2 == 0 ? ERR_IO : ERR_DISK_FULL, how >= 2))
			n++;
		print_message("%lu operations failed\n", (unsigned long)n - 1);
		assert_true(n > 150);
	}
}

static void a_full_disk_leaves_the_state_whole(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct sealing s = sealing_new();
	s.disk = disk;
	memory_disk_io(disk, &s.io);
	for (int i = 0; i < 3; i++)
		assert_int_equal(seal(&s), 0);
	uint64_t used = memory_disk_used(disk);
	for (uint64_t more = 0; more < 30000; more += 97) {
		memory_disk_set_capacity(disk, used + more);
		int rc = seal(&s);
		assert_true(rc == 0 || rc == ERR_DISK_FULL);
		check_whole(&s.io, &s);
	}
	memory_disk_set_capacity(disk, 0);
	assert_int_equal(seal(&s), 0);
	sealing_free(&s);
	memory_disk_free(disk);
}

static void the_sweep_takes_only_what_is_not_named(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct sealing s = sealing_new();
	s.disk = disk;
	memory_disk_io(disk, &s.io);
	assert_int_equal(seal(&s), 0);
	assert_int_equal(write_rows(&s.io, 77, s.schema, &s.rows, NULL), 0);
	assert_int_equal(s.io.mkdirs(s.io.ctx, "seg-x", NULL), 0);
	assert_int_equal(manifest_sweep(&s.io, &s.m, NULL), 0);
	struct segment *gone = NULL;
	assert_int_equal(segment_open(&s.io, 77, s.schema, &gone, NULL), ERR_NOT_FOUND);
	struct segment *there = open_segment(&s.io, s.m.segments[0].id, s.schema);
	segment_close(there);
	sealing_free(&s);
	memory_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_stored_comes_back),
		cmocka_unit_test(damage_is_never_passed_over),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(too_many_rows_are_refused),
		cmocka_unit_test(power_loss_leaves_the_old_state_or_the_new),
		cmocka_unit_test(a_failed_operation_leaves_the_state_whole),
		cmocka_unit_test(a_full_disk_leaves_the_state_whole),
		cmocka_unit_test(the_sweep_takes_only_what_is_not_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
