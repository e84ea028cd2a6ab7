/* Damage to the files of a log: cut at every byte, flipped at every byte, zeroed, overwritten with garbage. A
 * wrong record must never come out, and what had been durable must be there or be reported missing. */
#include "tests/unit/store/wal_util.h"
#include "store/wal_format.h"

enum { SEGMENT = 3000, FILES_MAX = 400 };

/* QUIVER_WAL_RECORDS: a longer log than the usual one. Each file and record is tried on its own in any case. */
static uint64_t n_records = 24;
static uint64_t n_states; /* damaged logs that were opened */

struct base {
	struct memory_disk *disk;
	char path[FILES_MAX][64]; /* ascending */
	size_t size[FILES_MAX];
	uint64_t first[FILES_MAX];
	size_t n_files;
};

static void collect(void *ctx, const char *path)
{
	struct base *b = ctx;
	assert_true(b->n_files < FILES_MAX);
	snprintf(b->path[b->n_files++], sizeof(b->path[0]), "%s", path);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* A log of several files, all of it synced. `marks`: whether the last sync left its mark. */
static struct base make_base(void)
{
	struct base b = {.disk = memory_disk_new()};
	struct store_io io;
	memory_disk_io(b.disk, &io);
	struct wal *w = open_log(&io, SEGMENT);
	for (uint64_t seq = 1; seq <= n_records; seq += 2) {
		assert_int_equal(append(w, seq, seq + 1, 0), 0);
		wal_sync(w);
	}
	wal_close(w);
	memory_disk_each(b.disk, collect, &b);
	qsort(b.path, b.n_files, sizeof(b.path[0]), by_name);
	for (size_t i = 0; i < b.n_files; i++) {
		memory_disk_bytes(b.disk, b.path[i], &b.size[i]);
		b.first[i] = strtoull(b.path[i] + 4, NULL, 10);
	}
	assert_true(b.n_files >= 3);
	return b;
}

/* Bytes of a file that are in use: up to the end of the last mark. */
static size_t used_bytes(const uint8_t *bytes, size_t n)
{
	while (n > 0 && bytes[n - 1] == 0)
		n--;
	return (n + 7) & ~(size_t)7;
}

struct outcome {
	int rc;
	uint64_t last;
	char text[480];
};

/* Opens a damaged copy. What can be read is checked byte for byte. */
static struct outcome try_open(struct memory_disk *disk, uint64_t expect_seq)
{
	n_states++;
	struct store_io io;
	struct error err = {0};
	struct wal_options options = {SEGMENT};
	struct wal *w = NULL;
	memory_disk_io(disk, &io);
	struct outcome o = {.rc = wal_open(&io, "wal", &options, expect_seq, &w, &err)};
	memcpy(o.text, err.text, sizeof(o.text));
	if (o.rc != 0)
		return o;
	o.last = wal_last_seq(w);
	struct base now = {0};
	memory_disk_each(disk, collect, &now);
	uint64_t used = 0;
	for (size_t i = 0; i < now.n_files; i++) {
		size_t n;
		const uint8_t *bytes = memory_disk_bytes(disk, now.path[i], &n);
		used += used_bytes(bytes, n);
	}
	/* Nothing is left of a torn tail; a damaged mark may be at the end of a file before the last. */
	assert_true(used <= wal_bytes(w) + 64);
	if (o.last != 0)
		check_log(w, 1, o.last, NULL);
	/* And it goes on from there. */
	assert_int_equal(append(w, o.last + 1, o.last + 1, 0), 0);
	check_log(w, 1, o.last + 1, NULL);
	wal_close(w);
	return o;
}

static void a_log_cut_at_every_byte(void **state)
{
	struct base b = make_base();
	for (size_t i = 0; i < b.n_files; i++) {
		bool last_file = i + 1 == b.n_files;
		uint64_t most = 0;
		for (size_t n = 0; n < b.size[i]; n++) {
			struct memory_disk *copy = memory_disk_clone(b.disk);
			memory_disk_cut(copy, b.path[i], n);
			struct outcome o = try_open(copy, 0);
			memory_disk_free(copy);
			if (n < 64 || (!last_file && o.rc != 0)) {
				assert_int_equal(o.rc, ERR_CORRUPT);
				continue;
			}
			assert_int_equal(o.rc, 0);
			if (!last_file) { /* only a mark was cut */
				assert_int_equal(o.last, n_records);
				assert_true(n + 64 >= b.size[i]);
				continue;
			}
			assert_true(o.last >= most && o.last + 1 >= b.first[i]);
			most = o.last;
			copy = memory_disk_clone(b.disk);
			memory_disk_cut(copy, b.path[i], n);
			o = try_open(copy, n_records);
			assert_int_equal(o.rc, most < n_records ? ERR_CORRUPT : 0);
			memory_disk_free(copy);
		}
		assert_true(!last_file || most == n_records);
	}
	memory_disk_free(b.disk);
}

/* Returns whether the flip was noticed. */
static bool flip(const struct base *b, size_t file, size_t at, uint8_t mask)
{
	size_t n;
	struct memory_disk *copy = memory_disk_clone(b->disk);
	uint8_t *bytes = memory_disk_bytes(copy, b->path[file], &n);
	bytes[at] ^= mask;
	struct outcome o = try_open(copy, 0);
	memory_disk_free(copy);
	if (o.rc == 0) {
		assert_int_equal(o.last, n_records); /* nothing is ever lost in silence */
		return false;
	}
	assert_int_equal(o.rc, ERR_CORRUPT);
	assert_non_null(strstr(o.text, b->path[file]));
	return true;
}

static void a_log_flipped_at_every_byte(void **state)
{
	struct base b = make_base();
	struct prng random;
	prng_seed(&random, 7);
	for (size_t i = 0; i < b.n_files; i++) {
		size_t n;
		const uint8_t *bytes = memory_disk_bytes(b.disk, b.path[i], &n);
		size_t used = used_bytes(bytes, n);
		for (size_t at = 0; at < n && at < used + 200; at++) {
			bool noticed = flip(&b, i, at, (uint8_t)(1u << prng_below(&random, 8)));
			flip(&b, i, at, 0xFF);
			/* Not noticed: only in a mark (found by its magic before it) or behind the end. */
			bool in_mark = false;
			for (size_t m = at & ~(size_t)7; m + 64 > at && m >= 64; m -= 8)
				in_mark |= memcmp(bytes + m, "QVMK", 4) == 0;
			assert_true(noticed || in_mark || at >= used);
		}
	}
	memory_disk_free(b.disk);
}

/* From each byte of the last file on, zeros or garbage to the end. */
static void a_log_with_zero_and_garbage_tails(void **state)
{
	struct base b = make_base();
	struct prng random;
	prng_seed(&random, 8);
	size_t last = b.n_files - 1;
	for (size_t from = 64; from < b.size[last]; from += 1 + prng_below(&random, 16)) {
		for (int garbage = 0; garbage < 2; garbage++) {
			struct memory_disk *copy = memory_disk_clone(b.disk);
			size_t n;
			uint8_t *bytes = memory_disk_bytes(copy, b.path[last], &n);
			for (size_t i = from; i < n; i++)
				bytes[i] = garbage ? (uint8_t)prng_u64(&random) : 0;
			struct outcome o = try_open(copy, 0);
			assert_int_equal(o.rc, 0);
			assert_true(o.last + 1 >= b.first[last] && o.last <= n_records);
			memory_disk_free(copy);
		}
	}
	memory_disk_free(b.disk);
}

/* A hole in the middle, of any length, with valid records behind it. */
static void a_hole_is_reported(void **state)
{
	struct base b = make_base();
	struct prng random;
	prng_seed(&random, 9);
	for (int round = 0; round < 1000; round++) {
		size_t i = (size_t)prng_below(&random, b.n_files), n;
		struct memory_disk *copy = memory_disk_clone(b.disk);
		uint8_t *bytes = memory_disk_bytes(copy, b.path[i], &n);
		size_t used = used_bytes(bytes, n) - 64; /* the last mark proves what is missing */
		size_t at = 64 + (size_t)prng_below(&random, used - 64);
		size_t length = 1 + (size_t)prng_below(&random, used - at);
		uint8_t *before = malloc(n);
		memcpy(before, bytes, n);
		bool zero = prng_below(&random, 2) == 0;
		for (size_t k = at; k < at + length; k++)
			bytes[k] = zero ? 0 : (uint8_t)prng_u64(&random);
		bool same = memcmp(before, bytes, n) == 0;
		struct outcome o = try_open(copy, 0);
		if (o.rc == 0)
			assert_int_equal(o.last, n_records);
		else
			assert_int_equal(o.rc, ERR_CORRUPT);
		assert_true(!same || o.rc == 0);
		free(before);
		memory_disk_free(copy);
	}
	memory_disk_free(b.disk);
}

/* A damaged log is left as it is, so that it can be looked at and repaired. */
static void damaged_files_stay_untouched(void **state)
{
	struct base b = make_base();
	size_t n, m;
	uint8_t *bytes = memory_disk_bytes(b.disk, b.path[b.n_files - 1], &n);
	bytes[100] ^= 1;
	struct memory_disk *before = memory_disk_clone(b.disk);
	struct outcome o = try_open(b.disk, 0);
	assert_int_equal(o.rc, ERR_CORRUPT);
	for (size_t i = 0; i < b.n_files; i++) {
		bytes = memory_disk_bytes(b.disk, b.path[i], &n);
		const uint8_t *old = memory_disk_bytes(before, b.path[i], &m);
		assert_int_equal(n, m);
		assert_memory_equal(bytes, old, n);
	}
	memory_disk_free(before);
	memory_disk_free(b.disk);
}

static struct memory_disk *log_with(const char *fill, uint32_t n)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	memory_disk_io(disk, &io);
	struct wal *w = open_log(&io, 0);
	for (uint64_t seq = 1; seq <= 5; seq++) {
		struct wal_record r = {seq, 1, seq > 1, fill, n};
		assert_int_equal(wal_append(w, &r, 1, NULL), 0);
		wal_sync(w);
	}
	wal_close(w);
	return disk;
}

/* A write that went to another log's file: at the right place, with the right numbers, and wrong. */
static void a_record_of_another_log_is_found(void **state)
{
	static const char PATH[] = "wal/00000000000000000001.wal";
	enum { PAYLOAD = 40, STRIDE = 64 + PAYLOAD + 64 }; /* record, mark */
	for (size_t k = 0; k < 5; k++) {
		struct memory_disk *a =
			log_with("the payloads of the first log, 40 bytes", PAYLOAD);
		struct memory_disk *b =
			log_with("those of the second one, as long as that", PAYLOAD);
		size_t n, m;
		uint8_t *to = memory_disk_bytes(a, PATH, &n);
		const uint8_t *from = memory_disk_bytes(b, PATH, &m);
		assert_memory_equal(to + 64 + k * STRIDE, "QVRC", 4);
		memcpy(to + 64 + k * STRIDE, from + 64 + k * STRIDE, 64 + PAYLOAD);
		struct store_io io;
		struct wal *w = NULL;
		memory_disk_io(a, &io);
		/* Of the first record the chain knows nothing yet, but the second does not follow it. */
		assert_int_equal(wal_open(&io, "wal", NULL, 0, &w, NULL), ERR_CORRUPT);
		memory_disk_free(a);
		memory_disk_free(b);
	}
}

/* The same with a mark: it tells of the other log's record, not of the one before it here. */
static void a_mark_of_another_log_is_not_taken(void **state)
{
	static const char PATH[] = "wal/00000000000000000001.wal";
	enum { PAYLOAD = 40, STRIDE = 64 + PAYLOAD + 64 };
	for (size_t k = 0; k < 5; k++) {
		struct memory_disk *a =
			log_with("the payloads of the first log, 40 bytes", PAYLOAD);
		struct memory_disk *b =
			log_with("those of the second one, as long as that", PAYLOAD);
		size_t n, m, at = 64 + k * STRIDE + 64 + PAYLOAD;
		uint8_t *to = memory_disk_bytes(a, PATH, &n);
		const uint8_t *from = memory_disk_bytes(b, PATH, &m);
		assert_memory_equal(to + at, "QVMK", 4);
		memcpy(to + at, from + at, 64);
		struct store_io io;
		struct wal *w = NULL;
		memory_disk_io(a, &io);
		int rc = wal_open(&io, "wal", NULL, 0, &w, NULL);
		if (rc == 0) { /* nothing was lost, and the mark is gone */
			size_t left;
			assert_int_equal(wal_last_seq(w), 5);
			to = memory_disk_bytes(a, PATH, &left);
			assert_true(memcmp(to + at, from + at, 64) != 0);
		} else {
			assert_int_equal(rc, ERR_CORRUPT);
		}
		wal_close(w);
		memory_disk_free(a);
		memory_disk_free(b);
	}
}

/* A payload that is itself a log: when its record is torn, what it holds is no proof of anything. */
static void a_log_inside_a_record_proves_nothing(void **state)
{
	struct memory_disk *inner = log_with("inside", 6);
	struct store_io io;
	size_t n, file_n;
	const uint8_t *bytes = memory_disk_bytes(inner, "wal/00000000000000000001.wal", &n);
	for (size_t shift = 0; shift < 128; shift += 8) {
		struct memory_disk *disk = memory_disk_new();
		memory_disk_io(disk, &io);
		struct wal *w = open_log(&io, 0);
		struct buf payload = BUF_INIT;
		memset(buf_extend(&payload, shift + 1), 'x', shift + 1);
		payload.len--;
		buf_put(&payload, bytes, 2000 < n ? 2000 : n);
		struct wal_record r = {1, 1, 0, payload.data, (uint32_t)payload.len};
		assert_int_equal(wal_append(w, &r, 1, NULL), 0);
		wal_close(w);
		uint8_t *file = memory_disk_bytes(disk, "wal/00000000000000000001.wal", &file_n);
		file[70] ^= 1; /* never synced, so torn */
		w = open_log(&io, 0);
		assert_int_equal(wal_last_seq(w), 0);
		wal_close(w);
		buf_fini(&payload);
		memory_disk_free(disk);
	}
	memory_disk_free(inner);
}

static void what_goes_bad_after_opening_is_reported(void **state)
{
	for (size_t at = 64; at < 3000; at += 13) {
		struct base b = make_base();
		struct store_io io;
		memory_disk_io(b.disk, &io);
		struct wal *w = open_log(&io, SEGMENT);
		size_t n;
		uint8_t *bytes = memory_disk_bytes(b.disk, b.path[1], &n);
		if (at < n)
			bytes[at] ^= 0x10;
		struct expect e = {1, NULL};
		int rc = wal_read(w, 1, check_record, &e, NULL);
		assert_true(rc == ERR_CORRUPT || (rc == 0 && e.next == n_records + 1));
		assert_true(e.next >= b.first[1]);
		wal_close(w);
		memory_disk_free(b.disk);
	}
}

/* Between two records any number of marks, of which one is damaged: as much as opening takes, reading takes. */
static void what_opens_can_be_read(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	struct store_file *f;
	struct wal_place place = {0};
	struct wal_file_header header = wal_header_make(1, &place);
	uint64_t seed = wal_seed(1, 1);
	uint8_t bytes[PAYLOAD_MAX];
	struct buf b = BUF_INIT;
	memory_disk_io(disk, &io);
	buf_put(&b, &header, sizeof(header));
	for (uint64_t seq = 1; seq <= 3; seq++) {
		struct wal_record r = {seq, epoch_of(seq), epoch_of(seq - 1), bytes,
				       payload_of(seq, 0, bytes)};
		wal_put_record(&b, &r, seq - 1, seed, b.len, &place);
		wal_put_mark(&b, seed, b.len, &place);
		wal_put_mark(&b, seed, b.len, &place);
		if (seq < 3)
			memset(buf_extend(&b, WAL_HEAD_BYTES), 'x', WAL_HEAD_BYTES);
	}
	assert_int_equal(io.mkdirs(io.ctx, "wal", NULL), 0);
	assert_int_equal(io.open(io.ctx, "wal/00000000000000000001.wal", true, &f, NULL), 0);
	assert_int_equal(io.write(f, 0, b.data, b.len, NULL), 0);
	io.close(f);
	struct wal *w = open_log(&io, 0);
	check_log(w, 1, 3, NULL);
	wal_close(w);
	buf_fini(&b);
	memory_disk_free(disk);
}

static int say_states(void **state)
{
	print_message("%lu damaged logs of %lu records\n", (unsigned long)n_states,
		      (unsigned long)n_records);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_cut_at_every_byte),
		cmocka_unit_test(a_log_flipped_at_every_byte),
		cmocka_unit_test(a_log_with_zero_and_garbage_tails),
		cmocka_unit_test(a_hole_is_reported),
		cmocka_unit_test(damaged_files_stay_untouched),
		cmocka_unit_test(a_record_of_another_log_is_found),
		cmocka_unit_test(a_mark_of_another_log_is_not_taken),
		cmocka_unit_test(a_log_inside_a_record_proves_nothing),
		cmocka_unit_test(what_goes_bad_after_opening_is_reported),
		cmocka_unit_test(what_opens_can_be_read),
	};
	if (getenv("QUIVER_WAL_RECORDS") != NULL)
		n_records = strtoull(getenv("QUIVER_WAL_RECORDS"), NULL, 10);
	return cmocka_run_group_tests(tests, NULL, say_states);
}
