/* The log of a replica: damage to two good files of it, with or without the hashes repaired. It opens and reads, or says what is
 * wrong; without repaired hashes, what it reads is what was written. */
#include "base/hash.h"
#include "model/op.h"
#include "store/io_memory.h"
#include "store/wal_format.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

enum { RECORDS = 12, SEGMENT = 900 };

static char paths[8][64];
static size_t n_paths;

static void collect(void *ctx, const char *path)
{
	FUZZ_CHECK(n_paths < 8);
	snprintf(paths[n_paths++], sizeof(paths[0]), "%s", path);
	(void)ctx;
}

static uint32_t payload_of(uint64_t seq, uint8_t out[64])
{
	uint32_t n = 10 + (uint32_t)(seq * 7 % 50);

	memset(out, (int)('a' + seq % 26), n);
	return n;
}

static struct memory_disk *make_good(void)
{
	struct memory_disk *disk = memory_disk_new();
	struct wal_options options = {SEGMENT};
	struct store_io io;
	struct wal *w;

	memory_disk_io(disk, &io);
	FUZZ_CHECK(wal_open(&io, "wal", &options, 0, &w, NULL) == 0);
	for (uint64_t seq = 1; seq <= RECORDS; seq++) {
		uint8_t bytes[64];
		struct wal_record r = {seq, 1 + seq / 5, seq == 1 ? 0 : 1 + (seq - 1) / 5, bytes,
				       payload_of(seq, bytes)};

		FUZZ_CHECK(wal_append(w, &r, 1, NULL) == 0);
		if (seq % 3 == 0)
			wal_sync(w);
	}
	wal_close(w);
	memory_disk_each(disk, collect, NULL);
	return disk;
}

/* Gives every head in the file the hash that its bytes ask for. */
static void repair(struct buf *b)
{
	struct wal_file_header *h = (struct wal_file_header *)(void *)b->data;

	if (b->len < sizeof(*h))
		return;
	h->hash = hash64(h, offsetof(struct wal_file_header, hash));
	uint64_t seed = wal_seed(h->generation, h->first_seq);
	for (size_t at = sizeof(*h); at + WAL_HEAD_BYTES <= b->len; at += 8) {
		struct wal_head *head = (struct wal_head *)(void *)(b->data + at);

		if (head->magic != WAL_RECORD && head->magic != WAL_MARK)
			continue;
		if (head->magic == WAL_RECORD && wal_record_bytes(head->n) <= b->len - at)
			head->payload_hash =
				hash64(b->data + at + WAL_HEAD_BYTES,
				       (size_t)wal_record_bytes(head->n) - WAL_HEAD_BYTES);
		head->hash =
			hash64_seed(head, offsetof(struct wal_head, hash),
				    seed ^ (at * 0x9e3779b97f4a7c15)); /* as wal_format.c does */
	}
}

static int see(void *ctx, const struct wal_record *r)
{
	const bool *repaired = ctx;
	uint8_t bytes[64];

	if (!*repaired) {
		FUZZ_CHECK(r->seq >= 1 && r->seq <= RECORDS && r->epoch == 1 + r->seq / 5);
		FUZZ_CHECK(r->n == payload_of(r->seq, bytes) && memcmp(r->bytes, bytes, r->n) == 0);
	} else { /* the next reader of these bytes */
		struct arena *arena = arena_new(1024);
		struct op op;

		op_decode(r->bytes, r->n, arena, &op, NULL);
		arena_free(arena);
	}
	return 0;
}

static void use(struct memory_disk *disk, bool repaired)
{
	struct wal_options options = {SEGMENT};
	struct error err = {0};
	struct store_io io;
	struct wal *w = NULL;
	int rc;

	memory_disk_io(disk, &io);
	rc = wal_open(&io, "wal", &options, 0, &w, &err);
	if (rc != 0) {
		fuzz_check_error(rc, &err);
		return;
	}
	rc = wal_read(w, wal_first_seq(w), see, &repaired, &err);
	FUZZ_CHECK(rc == 0);
	struct wal_record next = {wal_last_seq(w) + 1, wal_last_epoch(w) + 1, wal_last_epoch(w),
				  "more", 4};
	if (next.seq != 0 && next.epoch != 0 && !repaired) {
		FUZZ_CHECK(wal_append(w, &next, 1, &err) == 0);
		wal_sync(w);
	}
	wal_close(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct memory_disk *good;
	struct reader r = reader_make(data, n);
	uint8_t what = reader_u8(&r);
	struct buf b = BUF_INIT;
	struct memory_disk *disk;
	struct store_file *f;
	struct store_io io;
	size_t size;

	if (good == NULL)
		good = make_good();
	disk = memory_disk_clone(good);
	const char *path = paths[(what >> 1) % n_paths];
	const uint8_t *bytes = memory_disk_bytes(disk, path, &size);
	buf_put(&b, bytes, size);
	fuzz_damage(&b, &r);
	if (what & 1)
		repair(&b);
	memory_disk_io(disk, &io);
	FUZZ_CHECK(io.open(io.ctx, path, true, &f, NULL) == 0);
	FUZZ_CHECK(io.truncate(f, b.len, NULL) == 0);
	FUZZ_CHECK(b.len == 0 || io.write(f, 0, b.data, b.len, NULL) == 0);
	io.sync(f);
	io.close(f);
	use(disk, what & 1);
	memory_disk_free(disk);
	buf_fini(&b);
	return 0;
}
