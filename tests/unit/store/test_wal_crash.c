/* Power loss after every change to the disk, with every kind of loss. What was durable must be there, nothing that
 * was not appended may be, and the log must open without complaint. */
#include "tests/unit/store/crash_util.h"
#include "tests/unit/store/wal_util.h"

enum { SEGMENT = 3000, STEPS = 60, SEQ_MAX = 1000 };

/* What a log may hold after a crash, as the caller of its functions knows it. */
struct model {
	uint64_t first, last;   /* as appended; first 0: from the beginning */
	uint64_t durable;       /* nothing up to here may be missing */
	uint64_t life[SEQ_MAX]; /* of each record */
	uint64_t reset_to;      /* a reset was under way to this seq; 0: none */
	uint64_t cut_to;        /* a cut was under way to this seq; UINT64_MAX: none */
};

/* One random operation; false when the power went. */
static bool step(struct wal *w, struct memory_disk *disk, struct model *m, struct prng *random,
		 uint64_t life)
{
	uint64_t what = prng_below(random, 20);
	m->reset_to = 0;
	m->cut_to = UINT64_MAX;
	if (what < 11 || m->last == 0) {
		uint64_t to = m->last + 1 + prng_below(random, 4);
		for (uint64_t seq = m->last + 1; seq <= to; seq++)
			m->life[seq] = life;
		uint64_t last = m->last;
		m->last = to; /* may be found even when the call failed for want of power */
		if (append(w, last + 1, to, life) != 0)
			assert_true(memory_disk_stopped(disk));
	} else if (what < 16) {
		wal_sync(w);
		if (!memory_disk_stopped(disk))
			m->durable = m->last;
	} else if (what < 18) {
		m->cut_to = m->last - prng_below(random, m->last - m->first + 1);
		if (wal_truncate_after(w, m->cut_to, NULL) != 0)
			assert_true(memory_disk_stopped(disk));
		if (memory_disk_stopped(disk))
			return false;
		if (m->cut_to < m->last) /* else there was nothing to do, not even a sync */
			m->last = m->durable = m->cut_to;
	} else if (what < 19) {
		wal_drop_before(w, m->durable, NULL);
		if (!memory_disk_stopped(disk) && wal_first_seq(w) > m->first)
			m->first = wal_first_seq(w);
	} else {
		m->reset_to = m->last + 1 + prng_below(random, 10);
		int rc = wal_reset(w, m->reset_to, epoch_of(m->reset_to - 1), NULL);
		assert_true(rc == 0 || memory_disk_stopped(disk));
		if (memory_disk_stopped(disk))
			return false;
		m->first = m->reset_to - 1;
		m->last = m->durable = m->reset_to - 1;
	}
	return !memory_disk_stopped(disk);
}

static void check_after_crash(struct wal *w, const struct model *m)
{
	uint64_t last = wal_last_seq(w);
	if (m->reset_to != 0 && last == m->reset_to - 1 && wal_first_seq(w) == 0)
		return;
	uint64_t least = m->cut_to < m->durable ? m->cut_to : m->durable;
	if (last < least || last > m->last)
		fail_msg("the log ends at %lu, it should be from %lu to %lu", (unsigned long)last,
			 (unsigned long)least, (unsigned long)m->last);
	uint64_t first = wal_first_seq(w);
	if (first == 0)
		return;
	assert_true(first <= m->durable + 1);
	check_log(w, first, last, m->life);
}

/* Runs a workload of one seed until the n-th change; returns false when it ended before. */
static bool run(uint64_t seed, uint64_t stop_at, enum memory_crash mode, uint64_t *states)
{
	at.seed = seed;
	at.change = stop_at;
	at.mode = (int)mode;
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	memory_disk_io(disk, &io);
	struct prng random;
	struct model m = {.cut_to = UINT64_MAX};
	prng_seed(&random, seed);
	struct wal *w = open_log(&io, SEGMENT);
	memory_disk_stop_at(disk, stop_at);
	bool on = true;
	for (int i = 0; i < STEPS && on && m.last < SEQ_MAX - 20; i++)
		on = step(w, disk, &m, &random, seed);
	bool stopped = memory_disk_stopped(disk);
	wal_close(w);
	prng_seed(&random, seed * 77 + stop_at);
	memory_disk_crash(disk, mode, &random);
	w = open_log(&io, SEGMENT);
	check_after_crash(w, &m);
	uint64_t last = wal_last_seq(w);
	uint64_t first = wal_first_seq(w);
	wal_close(w);
	/* What was found once has become durable. */
	memory_disk_crash(disk, CRASH_DROP, NULL);
	w = open_log(&io, SEGMENT);
	assert_int_equal(wal_last_seq(w), last);
	assert_int_equal(wal_first_seq(w), first);
	assert_int_equal(append(w, last + 1, last + 2, seed), 0);
	wal_close(w);
	memory_disk_free(disk);
	++*states;
	return stopped;
}

/* QUIVER_SEED=n tries that seed alone, QUIVER_SEEDS=n as many, for longer runs than the usual one. */
static void every_crash_leaves_a_log_that_opens(void **state)
{
	uint64_t states = 0;
	uint64_t first, last;
	crash_seeds(&first, &last, 5);
	for (uint64_t seed = first; seed <= last; seed++)
		for (int mode = CRASH_KILL; mode <= CRASH_ANY; mode++)
			for (uint64_t n = 1; run(seed, n, (enum memory_crash)mode, &states);)
				n++;
	print_message("%lu crash states\n", (unsigned long)states);
	assert_true(states > 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(every_crash_leaves_a_log_that_opens, say_where),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
