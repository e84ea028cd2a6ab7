/* Sealed segments: damage to one of the files. Opening may refuse, and a damaged block may read as nothing, which
 * segment_damaged() tells; else every row is as it was written. The hash of a trailer may be repaired, so that sizes and
 * places in it are tried; the sums of the blocks are not, they are what the contents rely on. */
#include "base/hash.h"
#include "store/segment_internal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/store/random_util.h"

enum { ROWS = 40 };

static struct memory_disk *good;
static struct collection *schema;
static struct rows rows;
static char paths[64][128];
static size_t n_paths;

static void collect(void *ctx, const char *path)
{
	FUZZ_CHECK(n_paths < 64);
	snprintf(paths[n_paths++], sizeof(paths[0]), "%s", path);
	(void)ctx;
}

static void make_good(void)
{
	struct store_io io;

	good = memory_disk_new();
	memory_disk_io(good, &io);
	schema = random_schema(true);
	rows = random_rows(ROWS, 3);
	FUZZ_CHECK(write_rows(&io, 5, schema, &rows, NULL) == 0);
	memory_disk_each(good, collect, NULL);
}

static void check_rows(const struct segment *s)
{
	FUZZ_CHECK(segment_rows(s) == ROWS);
	for (uint32_t row = 0; row < ROWS; row++) {
		struct point_id id = segment_point_id(s, row);
		struct pv_slice payload = segment_payload(s, row), want = rows.payloads[row];
		struct vector v;

		if (want.n == 0)
			want = PV_EMPTY_OBJECT;
		segment_find(s, &id);
		segment_sparse(s, 0, row, &v);
		FUZZ_CHECK(segment_damaged(s) || id_equal(&id, &rows.ids[row]));
		FUZZ_CHECK(segment_damaged(s) || segment_version(s, row) == rows.versions[row]);
		FUZZ_CHECK(segment_damaged(s) ||
			   (payload.n == want.n && memcmp(payload.bytes, want.bytes, want.n) == 0));
	}
	segment_vectors(s, 0);
	segment_vectors(s, 1);
}

static void filter(const struct segment *s, uint64_t seed)
{
	struct arena *arena = arena_new(4096);
	struct bitset out;
	struct prng p;

	prng_seed(&p, seed);
	bitset_init(&out, ROWS, false);
	segment_filter(s, schema, random_filter(arena, &p, ROWS, 0), NULL, &out);
	bitset_fini(&out);
	arena_free(arena);
}

/* Of the trailer at the end, when there is one. */
static void repair(struct buf *b)
{
	struct sum_trailer t;

	if (b->len < sizeof(t))
		return;
	memcpy(&t, b->data + b->len - sizeof(t), sizeof(t));
	t.hash = hash64(&t, offsetof(struct sum_trailer, hash));
	memcpy(b->data + b->len - sizeof(t), &t, sizeof(t));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct reader r = reader_make(data, n);
	uint8_t what = reader_u8(&r), which = reader_u8(&r);
	struct segment *s = NULL;
	struct error err = {0};
	struct buf b = BUF_INIT;
	struct memory_disk *disk;
	struct store_file *f;
	struct store_io io;
	size_t size;
	int rc;

	if (good == NULL)
		make_good();
	disk = memory_disk_clone(good);
	memory_disk_io(disk, &io);
	const char *path = paths[which % n_paths];
	const uint8_t *bytes = memory_disk_bytes(disk, path, &size);
	buf_put(&b, bytes, size);
	fuzz_damage(&b, &r);
	if (what & 1)
		repair(&b);
	FUZZ_CHECK(io.open(io.ctx, path, true, &f, NULL) == 0);
	FUZZ_CHECK(io.truncate(f, b.len, NULL) == 0);
	FUZZ_CHECK(b.len == 0 || io.write(f, 0, b.data, b.len, NULL) == 0);
	io.close(f);
	rc = segment_open(&io, 5, schema, &s, &err);
	if (rc != 0) {
		fuzz_check_error(rc, &err);
	} else {
		if ((what & 1) == 0)
			check_rows(s);
		filter(s, what);
		rc = segment_verify(s, &err);
		if (rc != 0)
			fuzz_check_error(rc, &err);
		segment_close(s);
	}
	memory_disk_free(disk);
	buf_fini(&b);
	return 0;
}
