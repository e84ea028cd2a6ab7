/* The file REPLICA: what was stored is found again, whatever a crash leaves. */
#include "tests/unit/unit.h"
#include "shard/epochs.h"
#include "store/io_fault.h"
#include "store/io_memory.h"

static void must_hold(const struct store_io *io, uint64_t epoch, uint64_t commit_seq)
{
	struct epochs e;

	assert_int_equal(epochs_open(&e, io, NULL), 0);
	assert_int_equal(e.epoch, epoch);
	assert_int_equal(e.commit_seq, commit_seq);
	epochs_close(&e);
}

static void what_is_stored_is_found(void **state)
{
	struct memory_disk *d = memory_disk_new();
	struct store_io io;
	struct epochs e;

	memory_disk_io(d, &io);
	must_hold(&io, 0, 0);
	assert_int_equal(epochs_open(&e, &io, NULL), 0);
	assert_int_equal(epochs_put(&e, 3, 10, NULL), 0);
	assert_int_equal(epochs_put(&e, 0, 20, NULL), 0);
	assert_int_equal(epochs_put(&e, 2, 15, NULL), 0); /* neither falls */
	epochs_close(&e);
	must_hold(&io, 3, 20);
	epochs_close(&e);
	store_io_fini(&io);
	memory_disk_free(d);
}

/* At every change, with every kind of crash: the last that epochs_put() returned for, or the one that
 * was being stored. */
static void crash_at(uint64_t change, enum memory_crash mode, struct prng *random)
{
	struct memory_disk *d = memory_disk_new();
	struct store_io io;
	struct epochs e;
	uint64_t done = 0;

	memory_disk_io(d, &io);
	assert_int_equal(epochs_open(&e, &io, NULL), 0);
	memory_disk_stop_at(d, change);
	for (uint64_t i = 1; i <= 4 && !memory_disk_stopped(d); i++)
		if (epochs_put(&e, i, i * 10, NULL) == 0 && !memory_disk_stopped(d))
			done = i;
	epochs_close(&e);
	memory_disk_crash(d, mode, random);
	assert_int_equal(epochs_open(&e, &io, NULL), 0);
	assert_true(e.epoch == done || e.epoch == done + 1);
	assert_int_equal(e.commit_seq, e.epoch * 10);
	/* And it goes on from there. */
	assert_int_equal(epochs_put(&e, 9, 90, NULL), 0);
	epochs_close(&e);
	must_hold(&io, 9, 90);
	store_io_fini(&io);
	memory_disk_free(d);
}

static void crashes_leave_the_last_or_the_next(void **state)
{
	static const enum memory_crash modes[] = {CRASH_KILL, CRASH_DROP, CRASH_PREFIX, CRASH_ANY};
	struct prng random;

	prng_seed(&random, 11);
	for (uint64_t change = 1; change < 16; change++)
		for (int mode = 0; mode < 4; mode++)
			for (int i = 0; i < 10; i++)
				crash_at(change, modes[mode], &random);
}

static void a_damaged_block_leaves_the_one_before(void **state)
{
	struct memory_disk *d = memory_disk_new();
	struct store_io io;
	struct epochs e;
	size_t n;
	uint8_t *bytes;

	memory_disk_io(d, &io);
	assert_int_equal(epochs_open(&e, &io, NULL), 0);
	for (uint64_t i = 1; i <= 4; i++)
		assert_int_equal(epochs_put(&e, i, i, NULL), 0);
	epochs_close(&e);
	bytes = memory_disk_bytes(d, "REPLICA", &n);
	assert_int_equal(n, 8192);
	bytes[16] ^= 1; /* block 0 holds the fourth */
	must_hold(&io, 3, 3);
	bytes[4096 + 16] ^= 1;
	assert_int_equal(epochs_open(&e, &io, NULL), ERR_CORRUPT);
	epochs_close(&e);
	store_io_fini(&io);
	memory_disk_free(d);
}

/* Once the file is there it needs no room. */
static void a_full_disk_takes_another_epoch(void **state)
{
	struct memory_disk *d = memory_disk_new();
	struct store_io io;
	struct epochs e;

	memory_disk_io(d, &io);
	memory_disk_set_capacity(d, 1000);
	assert_int_equal(epochs_open(&e, &io, NULL), 0);
	assert_int_equal(epochs_put(&e, 1, 1, NULL), ERR_DISK_FULL);
	memory_disk_set_capacity(d, 8192);
	assert_int_equal(epochs_put(&e, 1, 1, NULL), 0);
	memory_disk_set_capacity(d, 1);
	assert_int_equal(epochs_put(&e, 2, 2, NULL), 0);
	epochs_close(&e);
	must_hold(&io, 2, 2);
	store_io_fini(&io);
	memory_disk_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_stored_is_found),
		cmocka_unit_test(crashes_leave_the_last_or_the_next),
		cmocka_unit_test(a_damaged_block_leaves_the_one_before),
		cmocka_unit_test(a_full_disk_takes_another_epoch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
