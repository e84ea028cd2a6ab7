/* The log in good times and with a disk that refuses: what is appended comes back, what is refused leaves
 * nothing. */
#include "tests/unit/store/wal_util.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEGMENT = 4096 };

struct fixture {
	struct memory_disk *disk;
	struct store_io io;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->disk = memory_disk_new();
	memory_disk_io(f->disk, &f->io);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	memory_disk_free(f->disk);
	free(f);
	return 0;
}

static void an_empty_log_has_nothing(void **state)
{
	struct fixture *f = *state;
	struct wal *w = open_log(&f->io, 0);
	assert_int_equal(wal_first_seq(w), 0);
	assert_int_equal(wal_last_seq(w), 0);
	assert_int_equal(wal_last_epoch(w), 0);
	struct expect e = {1, NULL};
	assert_int_equal(wal_read(w, 1, check_record, &e, NULL), 0);
	assert_int_equal(e.next, 1);
	wal_sync(w);
	wal_close(w);
}

static void records_come_back_after_reopening(void **state)
{
	struct fixture *f = *state;
	struct wal *w = open_log(&f->io, SEGMENT);
	for (uint64_t seq = 1; seq < 200; seq += 3) {
		assert_int_equal(append(w, seq, seq + 2, 0), 0);
		if (seq % 2 == 0)
			wal_sync(w);
	}
	check_log(w, 1, 201, NULL);
	wal_close(w);
	w = open_log(&f->io, SEGMENT);
	assert_int_equal(wal_first_seq(w), 1);
	assert_int_equal(wal_last_epoch(w), epoch_of(201));
	for (uint64_t from = 1; from <= 201; from++)
		check_log(w, from, 201, NULL);
	assert_int_equal(append(w, 202, 202, 0), 0);
	check_log(w, 200, 202, NULL);
	wal_close(w);
}

static void how_far_back_so_many_bytes_go(void **state)
{
	struct fixture *f = *state;
	struct wal *w = open_log(&f->io, SEGMENT);
	uint64_t half, back;
	assert_int_equal(wal_seq_holding(w, 100), 0);
	for (uint64_t seq = 1; seq < 200; seq++)
		assert_int_equal(append(w, seq, seq, 0), 0);
	assert_int_equal(wal_seq_holding(w, wal_bytes(w)), 1);
	assert_int_equal(wal_seq_holding(w, UINT64_MAX), 1);
	half = wal_seq_holding(w, wal_bytes(w) / 2);
	assert_true(half > 1 && half < 199);
	back = wal_bytes(w);
	assert_int_equal(wal_drop_before(w, half, NULL), 0);
	assert_int_equal(wal_first_seq(w), half);
	assert_true(wal_bytes(w) >= back / 2);
	assert_int_equal(wal_seq_holding(w, back), half);
	wal_close(w);
}

static int stop_at_seven(void *ctx, const struct wal_record *r)
{
	*(uint64_t *)ctx = r->seq;
	return r->seq == 7 ? 42 : 0;
}

static void reading_ends_when_told(void **state)
{
	struct fixture *f = *state;
	struct wal *w = open_log(&f->io, SEGMENT);
	uint64_t last = 0;
	assert_int_equal(append(w, 1, 20, 0), 0);
	assert_int_equal(wal_read(w, 3, stop_at_seven, &last, NULL), 42);
	assert_int_equal(last, 7);
	wal_close(w);
}

static void what_does_not_continue_the_log_is_refused(void **state)
{
	struct fixture *f = *state;
	struct wal *w = open_log(&f->io, SEGMENT);
	assert_int_equal(append(w, 2, 2, 0), ERR_INPUT);
	assert_int_equal(append(w, 1, 12, 0), 0);
	assert_int_equal(append(w, 12, 12, 0), ERR_INPUT);
	assert_int_equal(append(w, 14, 14, 0), ERR_INPUT);
	struct wal_record falls = {13, 1, epoch_of(12), "x", 1};
	assert_int_equal(wal_append(w, &falls, 1, NULL), ERR_INPUT);
	struct wal_record other = {13, 9, epoch_of(12) + 1, "x", 1};
	assert_int_equal(wal_append(w, &other, 1, NULL), ERR_INPUT);
	check_log(w, 1, 12, NULL);
	wal_close(w);
}

static void the_tail_can_be_cut_at_every_record(void **state)
{
	for (uint64_t cut = 0; cut <= 60; cut++) {
		struct fixture *f = *state;
		uint64_t life[100] = {0};
		struct wal *w = open_log(&f->io, SEGMENT);
		assert_int_equal(append(w, 1, 30, 0), 0);
		assert_int_equal(append(w, 31, 60, 0), 0);
		assert_int_equal(wal_truncate_after(w, cut, NULL), 0);
		assert_int_equal(wal_last_epoch(w), epoch_of(cut));
		if (cut != 0)
			check_log(w, 1, cut, NULL);
		for (uint64_t seq = cut + 1; seq < 100; seq++)
			life[seq] = 1;
		assert_int_equal(append(w, cut + 1, 70, 1), 0);
		wal_sync(w);
		check_log(w, 1, 70, life);
		wal_close(w);
		w = open_log(&f->io, SEGMENT);
		check_log(w, 1, 70, life);
		wal_close(w);
		f->io.remove_tree(f->io.ctx, "wal", NULL);
	}
}

static void old_files_are_freed(void **state)
{
	struct fixture *f = *state;
	struct wal *w = open_log(&f->io, SEGMENT);
	for (uint64_t seq = 1; seq <= 100; seq++)
		assert_int_equal(append(w, seq, seq, 0), 0);
	uint64_t before = wal_bytes(w);
	assert_int_equal(wal_drop_before(w, 50, NULL), 0);
	assert_true(wal_bytes(w) < before);
	uint64_t first = wal_first_seq(w);
	assert_true(first > 1 && first <= 50);
	check_log(w, first, 100, NULL);
	struct expect e = {1, NULL};
	assert_int_equal(wal_read(w, first - 1, check_record, &e, NULL), ERR_NOT_FOUND);
	assert_int_equal(wal_drop_before(w, 1000, NULL), 0);
	assert_int_equal(wal_last_seq(w), 100); /* the file that is written to stays */
	wal_close(w);
	w = open_log(&f->io, SEGMENT);
	check_log(w, wal_first_seq(w), 100, NULL);
	assert_int_equal(wal_truncate_after(w, 2, NULL), ERR_INPUT);
	wal_close(w);
}

static void a_log_begins_anew(void **state)
{
	struct fixture *f = *state;
	static const uint64_t starts[] = {501, 1, 20, 61, 60};
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		uint64_t next = starts[i], life[700];
		struct wal *w = open_log(&f->io, SEGMENT);
		if (wal_last_seq(w) == 0)
			assert_int_equal(append(w, 1, 60, 0), 0);
		assert_int_equal(wal_reset(w, next, epoch_of(next - 1), NULL), 0);
		assert_int_equal(wal_first_seq(w), 0);
		assert_int_equal(wal_last_seq(w), next - 1);
		wal_close(w);
		w = open_log(&f->io, SEGMENT);
		assert_int_equal(wal_last_seq(w), next - 1);
		assert_int_equal(wal_last_epoch(w), epoch_of(next - 1));
		for (size_t k = 0; k < 700; k++)
			life[k] = i;
		assert_int_equal(append(w, next, next + 50, i), 0);
		check_log(w, next, next + 50, life);
		wal_close(w);
	}
}

static void an_end_before_what_was_applied_is_damage(void **state)
{
	struct fixture *f = *state;
	struct wal *w = open_log(&f->io, SEGMENT);
	assert_int_equal(append(w, 1, 10, 0), 0);
	wal_sync(w);
	wal_close(w);
	struct error err = {0};
	assert_int_equal(wal_open(&f->io, "wal", NULL, 11, &w, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.text, "10"));
	assert_int_equal(wal_open(&f->io, "wal", NULL, 10, &w, &err), 0);
	wal_close(w);
}

static void a_missing_file_is_damage(void **state)
{
	struct fixture *f = *state;
	struct wal *w = open_log(&f->io, SEGMENT);
	for (uint64_t seq = 1; seq <= 100; seq++)
		assert_int_equal(append(w, seq, seq, 0), 0);
	assert_int_equal(wal_drop_before(w, 30, NULL), 0);
	uint64_t first = wal_first_seq(w);
	struct expect e = {first, NULL};
	assert_int_equal(wal_read(w, first, check_record, &e, NULL), 0);
	wal_close(w);
	/* Take the second file away. */
	char path[64];
	for (uint64_t seq = first + 1;; seq++) {
		snprintf(path, sizeof(path), "wal/%020llu.wal", (unsigned long long)seq);
		if (f->io.remove(f->io.ctx, path, NULL) == 0)
			break;
	}
	struct error err = {0};
	assert_int_equal(wal_open(&f->io, "wal", NULL, 0, &w, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.text, "missing"));
}

/* Appends and cuts with the n-th operation failing. Whatever fails, the log stays as it was before the
 * call, both in memory and for the next open. */
static bool run_with_fault(uint32_t ops, uint64_t n, int code, bool partly, bool lasting)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io memory, io;
	memory_disk_io(disk, &memory);
	struct fault_plan plan = {.code = code, .partly = partly, .lasting = lasting};
	fault_io(&memory, &plan, &io);
	struct wal *w = open_log(&io, SEGMENT);
	plan.ops = ops;
	plan.at = n;
	uint64_t last = 0;
	for (int i = 0; i < 40; i++) {
		int rc = append(w, last + 1, last + 3, 0);
		assert_true(rc == 0 || rc == code || rc == ERR_IO);
		last += rc == 0 ? 3 : 0;
		assert_int_equal(wal_last_seq(w), last);
		if (i % 3 == 0)
			wal_sync(w);
		if (i == 30)
			wal_drop_before(w, last / 2, NULL);
	}
	plan.at = 0;
	if (wal_first_seq(w) != 0)
		check_log(w, wal_first_seq(w), last, NULL);
	wal_close(w);
	w = open_log(&io, SEGMENT);
	assert_int_equal(wal_last_seq(w), last);
	if (last != 0)
		check_log(w, wal_first_seq(w), last, NULL);
	assert_int_equal(append(w, last + 1, last + 1, 0), 0);
	wal_close(w);
	store_io_fini(&io);
	memory_disk_free(disk);
	return plan.fired;
}

static void a_failed_operation_leaves_nothing(void **state)
{
	uint32_t ops = FAULT_ALL & ~(uint32_t)FAULT_READ;
	for (int how = 0; how < 4; how++) {
		uint64_t n = 1;
		while (run_with_fault(ops, n, how % 2 != 0 ? ERR_IO : ERR_DISK_FULL, (how & 1) != 0,
				      (how & 2) != 0))
			n++;
		print_message("%lu operations failed\n", (unsigned long)n - 1);
		assert_true(n > 40);
	}
}

/* Opening, reading and cutting with the n-th operation failing: the error comes out, and the next open
 * finds all there was. */
static bool open_with_fault(uint64_t n, bool lasting)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io memory, io;
	memory_disk_io(disk, &memory);
	struct wal *w = open_log(&memory, SEGMENT);
	for (uint64_t seq = 1; seq <= 40; seq++)
		assert_int_equal(append(w, seq, seq, 0), 0);
	wal_close(w);
	struct fault_plan plan = {.ops = FAULT_ALL, .at = n, .code = ERR_IO, .lasting = lasting};
	struct wal_options options = {SEGMENT};
	uint64_t last = 40;
	fault_io(&memory, &plan, &io);
	w = NULL;
	int rc = wal_open(&io, "wal", &options, 40, &w, NULL);
	assert_int_equal(w != NULL, rc == 0);
	if (rc == 0) {
		struct expect e = {1, NULL};
		rc = wal_read(w, 1, check_record, &e, NULL);
		assert_true(rc == ERR_IO || (rc == 0 && e.next == 41));
		rc = wal_truncate_after(w, 17, NULL);
		assert_true(rc == 0 || rc == ERR_IO);
		if (rc == 0)
			last = 17;
		else /* half cut: nothing is taken until it is opened again */
			assert_int_equal(append(w, 18, 18, 0), ERR_IO);
	}
	wal_close(w);
	plan.at = 0;
	w = open_log(&io, SEGMENT);
	if (rc != 0)
		assert_true(wal_last_seq(w) >= 17 && wal_last_seq(w) <= 40);
	else
		assert_int_equal(wal_last_seq(w), last);
	check_log(w, 1, wal_last_seq(w), NULL);
	wal_close(w);
	store_io_fini(&io);
	memory_disk_free(disk);
	return plan.fired;
}

static void a_failed_open_or_cut_loses_nothing(void **state)
{
	for (int lasting = 0; lasting < 2; lasting++) {
		uint64_t n = 1;
		while (open_with_fault(n, lasting != 0))
			n++;
		print_message("%lu operations failed\n", (unsigned long)n - 1);
		assert_true(n > 40);
	}
}

static void a_failed_write_cannot_come_back_after_a_power_loss(void **state)
{
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct memory_disk *disk = memory_disk_new();
		struct store_io memory, io;
		memory_disk_io(disk, &memory);
		struct fault_plan plan = {.code = ERR_IO, .partly = true};
		fault_io(&memory, &plan, &io);
		struct wal *w = open_log(&io, 0);
		assert_int_equal(append(w, 1, 5, 0), 0);
		plan.ops = FAULT_WRITE;
		plan.at = 1;
		assert_int_equal(append(w, 6, 9, 1), ERR_IO);
		wal_close(w);
		struct prng random;
		prng_seed(&random, seed);
		memory_disk_crash(disk, CRASH_ANY, &random);
		w = open_log(&memory, 0);
		check_log(w, 1, 5, NULL); /* durable: the repair synced */
		wal_close(w);
		store_io_fini(&io);
		memory_disk_free(disk);
	}
}

static void a_full_disk_refuses_and_then_goes_on(void **state)
{
	struct fixture *f = *state;
	memory_disk_set_capacity(f->disk, 100000);
	struct wal *w = open_log(&f->io, SEGMENT);
	uint64_t last = 0;
	int rc = 0;
	while (rc == 0) {
		rc = append(w, last + 1, last + 1, 0);
		last += rc == 0;
		wal_sync(w);
	}
	assert_int_equal(rc, ERR_DISK_FULL);
	assert_true(memory_disk_used(f->disk) > 90000);
	check_log(w, 1, last, NULL);
	for (int i = 0; i < 10; i++)
		append(w, last + 1, last + 20, 0);
	assert_int_equal(wal_last_seq(w), last);
	assert_int_equal(wal_drop_before(w, last / 2, NULL), 0); /* space is freed */
	assert_int_equal(append(w, last + 1, last + 1, 0), 0);
	wal_sync(w);
	wal_close(w);
	w = open_log(&f->io, SEGMENT);
	check_log(w, wal_first_seq(w), last + 1, NULL);
	wal_close(w);
}

/* ---- on the real disk ---- */

static void with_real_disk(void (*fn)(const struct store_io *io))
{
	char root[] = "/tmp/quiver-test-XXXXXX";
	struct store_io io;
	assert_non_null(mkdtemp(root));
	assert_int_equal(store_io_real(root, &io, NULL), 0);
	fn(&io);
	io.remove_tree(io.ctx, "wal", NULL);
	store_io_fini(&io);
	assert_int_equal(rmdir(root), 0);
}

static void real_round_trip(const struct store_io *io)
{
	struct wal *w = open_log(io, 20000);
	for (uint64_t seq = 1; seq <= 300; seq += 10) {
		assert_int_equal(append(w, seq, seq + 9, 0), 0);
		wal_sync(w);
	}
	assert_int_equal(wal_truncate_after(w, 250, NULL), 0);
	assert_int_equal(wal_drop_before(w, 100, NULL), 0);
	check_log(w, wal_first_seq(w), 250, NULL);
	wal_close(w);
	w = open_log(io, 20000);
	assert_true(wal_first_seq(w) > 1);
	check_log(w, wal_first_seq(w), 250, NULL);
	assert_int_equal(wal_reset(w, 1000, epoch_of(999), NULL), 0);
	assert_int_equal(append(w, 1000, 1010, 0), 0);
	wal_close(w);
	w = open_log(io, 20000);
	check_log(w, 1000, 1010, NULL);
	wal_close(w);
}

static void it_works_on_the_real_disk(void **state)
{
	with_real_disk(real_round_trip);
}

/* In a child, since a limit that was lowered cannot be raised again. */
static void real_size_limit(const struct store_io *io)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit limit = {50000, 50000};
		signal(SIGXFSZ, SIG_IGN);
		if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
			_exit(1);
		struct wal *w = NULL;
		if (wal_open(io, "wal", NULL, 0, &w, NULL) != 0)
			_exit(2);
		uint64_t last = 0;
		int rc = 0;
		while (rc == 0 && last < 1000) {
			rc = append(w, last + 1, last + 1, 0);
			last += rc == 0;
		}
		if (rc != ERR_DISK_FULL || wal_last_seq(w) != last || last < 20)
			_exit(3);
		wal_sync(w);
		wal_close(w);
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	struct wal *w = open_log(io, 0);
	assert_true(wal_last_seq(w) >= 20);
	check_log(w, 1, wal_last_seq(w), NULL);
	wal_close(w);
}

static void a_limit_on_file_sizes_is_a_full_disk(void **state)
{
	with_real_disk(real_size_limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_empty_log_has_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(records_come_back_after_reopening, setup, teardown),
		cmocka_unit_test_setup_teardown(how_far_back_so_many_bytes_go, setup, teardown),
		cmocka_unit_test_setup_teardown(reading_ends_when_told, setup, teardown),
		cmocka_unit_test_setup_teardown(what_does_not_continue_the_log_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_tail_can_be_cut_at_every_record, setup,
						teardown),
		cmocka_unit_test_setup_teardown(old_files_are_freed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_log_begins_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(an_end_before_what_was_applied_is_damage, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_missing_file_is_damage, setup, teardown),
		cmocka_unit_test(a_failed_operation_leaves_nothing),
		cmocka_unit_test(a_failed_open_or_cut_loses_nothing),
		cmocka_unit_test(a_failed_write_cannot_come_back_after_a_power_loss),
		cmocka_unit_test_setup_teardown(a_full_disk_refuses_and_then_goes_on, setup,
						teardown),
		cmocka_unit_test(it_works_on_the_real_disk),
		cmocka_unit_test(a_limit_on_file_sizes_is_a_full_disk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
