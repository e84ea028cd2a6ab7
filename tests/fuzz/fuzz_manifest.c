/* Manifests: any bytes under a right checksum, and good ones that were damaged. */
#include "base/memory.h"
#include "store/io_memory.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

/* Few bytes may name many rows, within the limits of store.h; to copy and store such sets takes seconds with the sanitizers. */
static bool is_small(const struct manifest *m)
{
	uint64_t rows = 0;

	for (uint32_t i = 0; i < m->n_segments; i++)
		rows += m->segments[i].n_rows;
	return rows < 1 << 22;
}

static void load(const struct store_io *io)
{
	struct error err = {0};
	struct manifest m, again;
	int rc;

	manifest_init(&m);
	manifest_init(&again);
	rc = manifest_load(io, &m, &err);
	if (rc != 0) {
		fuzz_check_error(rc, &err);
	} else if (is_small(&m)) {
		FUZZ_CHECK(manifest_copy(&again, &m) == 0);
		if (m.number < UINT64_MAX) {
			FUZZ_CHECK(manifest_store(io, &m, &err) == 0);
			manifest_fini(&again);
			manifest_init(&again);
			FUZZ_CHECK(manifest_load(io, &again, &err) == 0);
			FUZZ_CHECK(again.number == m.number && again.n_segments == m.n_segments);
		}
	}
	manifest_fini(&m);
	manifest_fini(&again);
}

static void put_good(const struct store_io *io)
{
	struct manifest m;

	manifest_init(&m);
	m.collection_id = 7;
	m.applied_seq = 90;
	m.applied_epoch = 2;
	m.next_segment_id = 4;
	m.segments = mem_array(3, sizeof(*m.segments));
	m.n_segments = 3;
	for (uint32_t i = 0; i < 3; i++) {
		m.segments[i].id = i + 1;
		m.segments[i].n_rows = 100 * i + 70;
		bitset_init(&m.segments[i].deleted, m.segments[i].n_rows, false);
		for (uint32_t k = 0; k < 20 * i; k += 1 + i)
			bitset_set(&m.segments[i].deleted, k);
	}
	buf_put(&m.extra, "extra", 5);
	FUZZ_CHECK(manifest_store(io, &m, NULL) == 0);
	manifest_fini(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct memory_disk *good;
	struct reader r = reader_make(data, n);
	uint8_t what = reader_u8(&r);
	struct memory_disk *disk;
	struct buf b = BUF_INIT;
	struct store_io io;

	if (good == NULL) {
		good = memory_disk_new();
		memory_disk_io(good, &io);
		put_good(&io);
	}
	disk = memory_disk_clone(good);
	memory_disk_io(disk, &io);
	if (what % 3 == 0) { /* the text of CURRENT */
		FUZZ_CHECK(store_put_file(&io, "CURRENT", r.at, reader_left(&r), NULL) == 0);
	} else {
		FUZZ_CHECK(store_get_file(&io, "MANIFEST-1", &b, NULL) == 0);
		if (what % 3 == 1)
			fuzz_damage(&b, &r);
		else
			buf_clear(&b);
		if (what % 3 == 2)
			buf_put(&b, r.at, reader_left(&r));
		FUZZ_CHECK(store_put_file(&io, "MANIFEST-1", b.data, b.len, NULL) == 0);
	}
	load(&io);
	memory_disk_free(disk);
	buf_fini(&b);
	return 0;
}
