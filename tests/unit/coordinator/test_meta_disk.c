/* The files of the control plane under a disk that fails: each operation once and from then on (a full disk, after which the
 * same update is written again, as meta_runtime.c does), and the loss of power at each change, with all that a disk may
 * keep of what was not synced. What is read back is what was written, or in a crash the state before or after the update that
 * was under way, and never less than what was synced.
 *
 * QUIVER_SEEDS (4) runs, from QUIVER_SEED (1) on. */
#include "coordinator/meta_disk.h"
#include "base/memory.h"
#include "base/prng.h"
#include "store/io_fault.h"
#include "store/io_memory.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SELF = 3, CLUSTER = 77, UPDATES = 24, ENTRIES = 512, SNAPSHOT_BYTES = 24 };

/* ---- what should be there ---- */

struct entry {
	uint64_t term;
	uint16_t type;
	uint8_t n;
	uint8_t bytes[40];
};

struct truth {
	uint64_t term, vote, snapshot_index, snapshot_term;
	uint8_t snapshot[SNAPSHOT_BYTES];
	uint64_t first, last;          /* of the log since it was restarted */
	struct entry entries[ENTRIES]; /* by index */
};

/* One update and the memory that it points to. */
struct change {
	struct meta_update u;
	struct meta_entry entries[8];
};

static void append(struct truth *t, struct change *c, struct prng *p)
{
	c->u.entries = c->entries;
	c->u.n_entries = 1 + (size_t)prng_below(p, 6);
	for (size_t i = 0; i < c->u.n_entries; i++) {
		struct entry *e = &t->entries[++t->last];

		assert_true(t->last < ENTRIES);
		e->term = t->term;
		e->type = (uint16_t)prng_below(p, 3);
		e->n = (uint8_t)prng_below(p, sizeof(e->bytes));
		for (unsigned k = 0; k < e->n; k++)
			e->bytes[k] = (uint8_t)prng_u64(p);
		c->entries[i] = (struct meta_entry){t->last, e->term, e->type, e->bytes, e->n};
	}
}

static void snapshot(struct truth *t, struct change *c, uint64_t index, uint64_t term)
{
	t->snapshot_index = index;
	t->snapshot_term = term;
	memset(t->snapshot, (int)(index & 255), SNAPSHOT_BYTES);
	c->u.save_snapshot = true;
	c->u.snapshot = t->snapshot;
	c->u.snapshot_n = SNAPSHOT_BYTES;
	c->u.snapshot_index = index;
	c->u.snapshot_term = term;
}

static void vote(struct truth *t, struct change *c, struct prng *p)
{
	t->term += 1 + prng_below(p, 2);
	t->vote = prng_below(p, 4);
	c->u.save_vote = true;
	c->u.term = t->term;
	c->u.vote = t->vote;
}

/* A random update of the kinds that cluster/meta.c makes; `t` becomes what it leads to. */
static void next_change(struct truth *t, struct change *c, struct prng *p)
{
	uint64_t at;

	*c = (struct change){.u.persist = true};
	switch (t->last == t->snapshot_index ? prng_below(p, 3) : prng_below(p, 6)) {
	case 0: vote(t, c, p); break;
	case 1: vote(t, c, p); /* fall through */
	case 2: append(t, c, p); break;
	case 3: /* a new leader's entries instead of the last ones */
		vote(t, c, p);
		at = t->snapshot_index + 1 + prng_below(p, t->last - t->snapshot_index);
		c->u.truncate_from = at;
		t->last = at - 1;
		append(t, c, p);
		break;
	case 4: /* a snapshot of what was applied; some of the log before it is kept */
		at = t->snapshot_index + 1 + prng_below(p, t->last - t->snapshot_index);
		snapshot(t, c, at, t->entries[at].term);
		at = at > 3 ? at - 3 : 1;
		c->u.drop_before = at > t->first ? at : 0; /* whole files go, if any */
		break;
	default: /* one from the leader, in place of the log */
		at = t->last + 1 + prng_below(p, 5);
		snapshot(t, c, at, t->term);
		c->u.restart_log_at = at + 1;
		c->u.restart_term = t->term;
		t->first = at + 1;
		t->last = at;
	}
}

/* ---- what is there ---- */

static bool same_entry(const struct meta_entry *got, const struct truth *t)
{
	const struct entry *e = &t->entries[got->index];

	return got->index >= t->first && got->index <= t->last && got->term == e->term &&
	       got->type == e->type && got->n == e->n && memcmp(got->bytes, e->bytes, e->n) == 0;
}

static bool same_snapshot(const struct meta_saved *s, const struct truth *t)
{
	if (t->snapshot_index == 0)
		return s->snapshot == NULL;
	return s->snapshot_index == t->snapshot_index && s->snapshot_term == t->snapshot_term &&
	       s->snapshot_n == SNAPSHOT_BYTES &&
	       memcmp(s->snapshot, t->snapshot, SNAPSHOT_BYTES) == 0;
}

static struct {
	unsigned long seed, at, mode;
} where;

#define expect(x)                                                                                  \
	do {                                                                                       \
		if (!(x))                                                                          \
			fail_msg("seed %lu, operation %lu, mode %lu: not so: %s", where.seed,      \
				 where.at, where.mode, #x);                                        \
	} while (0)

/* `before` and `after` the update that was under way; up to `synced` the entries of both had been synced before it. */
static void check(const struct meta_saved *s, const struct truth *before, const struct truth *after,
		  uint64_t synced)
{
	bool newer = same_snapshot(s, after);
	uint64_t next = s->n_entries > 0 ? s->entries[0].index : s->snapshot_index + 1, last;

	expect((s->term == before->term && s->vote == before->vote) ||
	       (s->term == after->term && s->vote == after->vote));
	expect(newer || same_snapshot(s, before));
	for (size_t i = 0; i < s->n_entries; i++) {
		expect(s->entries[i].index == next);
		next++;
		expect(same_entry(&s->entries[i], before) || same_entry(&s->entries[i], after));
	}
	last = s->n_entries > 0 ? next - 1 : s->snapshot_index;
	/* Nothing is missing between the snapshot and the log, unless the snapshot is about to take the log's place. */
	if (s->n_entries > 0 && !(newer && after->last == after->snapshot_index))
		expect(s->entries[0].index <= s->snapshot_index + 1);
	if (newer && after->last == after->snapshot_index)
		return;
	expect(last >= (synced < after->last ? synced : after->last));
}

struct seen {
	uint64_t term, vote, snapshot_index, last;
};

static struct seen open_and_check(const struct store_io *io, const struct truth *before,
				  const struct truth *after, uint64_t synced)
{
	struct arena *arena = arena_new(4096);
	struct meta_disk d = {.io = *io, .self = SELF, .cluster_id = CLUSTER};
	struct meta_saved saved;
	struct error err = {0};
	struct seen seen;

	if (meta_disk_open(&d, arena, &saved, &err) != 0)
		fail_msg("%s", err.text);
	check(&saved, before, after, synced);
	seen = (struct seen){saved.term, saved.vote, saved.snapshot_index,
			     saved.n_entries ? saved.entries[saved.n_entries - 1].index : 0};
	meta_disk_close(&d);
	arena_free(arena);
	return seen;
}

/* What was found once is still there when the power goes afterwards. */
static void check_twice(struct memory_disk *disk, const struct store_io *io,
			const struct truth *before, const struct truth *after, uint64_t synced)
{
	struct seen first = open_and_check(io, before, after, synced), second;

	memory_disk_crash(disk, CRASH_DROP, NULL);
	second = open_and_check(io, before, after, synced);
	assert_memory_equal(&first, &second, sizeof(first));
}

/* ---- a run ---- */

struct run {
	struct memory_disk *disk;
	struct store_io memory, io;
	struct fault_plan faults;
	struct meta_disk d;
	struct prng p;
	struct truth *before, *after;
	uint64_t synced;
	bool ended; /* it could not go on */
};

static void run_begin(struct run *r, uint64_t seed)
{
	*r = (struct run){.disk = memory_disk_new()};
	memory_disk_io(r->disk, &r->memory);
	fault_io(&r->memory, &r->faults, &r->io);
	r->before = mem_zalloc(sizeof(*r->before));
	r->after = mem_zalloc(sizeof(*r->after));
	r->after->first = 1;
	prng_seed(&r->p, seed);
}

static void run_end(struct run *r)
{
	store_io_fini(&r->io);
	memory_disk_free(r->disk);
	free(r->before);
	free(r->after);
}

/* A full disk is tried again when there is room; anything else is the end. */
static int persist(struct run *r, const struct meta_update *u)
{
	struct error err = {0};
	int rc = meta_disk_write(&r->d, u, &err);

	for (int i = 0; rc == ERR_DISK_FULL && !memory_disk_stopped(r->disk); i++) {
		assert_true(err.text[0] != 0 && i < 3);
		if (i == 1)
			r->faults.at = 0; /* room again */
		rc = meta_disk_write(&r->d, u, &err);
	}
	assert_true(rc == 0 || err.text[0] != 0);
	return rc;
}

static void run_updates(struct run *r)
{
	struct arena *arena = arena_new(4096);
	struct meta_saved saved;
	struct error err = {0};
	int rc;

	r->d = (struct meta_disk){.io = r->io, .self = SELF, .cluster_id = CLUSTER};
	*r->before = *r->after;
	rc = meta_disk_open(&r->d, arena, &saved, &err);
	assert_true(rc == 0 || err.text[0] != 0);
	for (int i = 0; rc == 0 && i < UPDATES; i++) {
		struct change c;

		*r->before = *r->after;
		next_change(r->after, &c, &r->p);
		if (c.u.truncate_from != 0 && r->synced >= c.u.truncate_from)
			r->synced = c.u.truncate_from - 1;
		rc = persist(r, &c.u);
		if (rc == 0 && c.u.restart_log_at != 0 && !memory_disk_stopped(r->disk))
			r->synced = r->after->last;
		if (rc == 0 && prng_below(&r->p, 2) == 0) {
			meta_disk_sync(&r->d);
			if (!memory_disk_stopped(r->disk))
				r->synced = r->after->last;
		}
		if (memory_disk_stopped(r->disk))
			break;
	}
	if (rc == 0 && !memory_disk_stopped(r->disk)) {
		*r->before = *r->after;
		meta_disk_sync(&r->d);
		if (!memory_disk_stopped(r->disk))
			r->synced = r->after->last;
	}
	r->ended = rc != 0;
	meta_disk_close(&r->d);
	arena_free(arena);
}

static uint64_t seeds(uint64_t *first)
{
	const char *from = getenv("QUIVER_SEED"), *n = getenv("QUIVER_SEEDS");

	*first = from != NULL ? strtoull(from, NULL, 10) : 1;
	return n != NULL ? strtoull(n, NULL, 10) : 4;
}

/* ---- tests ---- */

static void failures(uint64_t seed, int code, bool lasting, unsigned counts[2])
{
	for (uint64_t at = 1;; at++) {
		struct run r;

		where.seed = seed;
		where.at = at;
		where.mode = (unsigned long)-code;
		run_begin(&r, seed);
		r.faults = (struct fault_plan){.ops = FAULT_ALL,
					       .at = at,
					       .code = code,
					       .partly = at % 2 == 0,
					       .lasting = lasting};
		run_updates(&r);
		counts[0] += r.faults.fired;
		counts[1] += r.ended;
		/* The process ends, and starts again on a disk that works. */
		check_twice(r.disk, &r.memory, r.before, r.after, r.synced);
		bool more = r.faults.fired;

		run_end(&r);
		if (!more)
			return;
	}
}

static void each_operation_fails_once(void **state)
{
	uint64_t first, n = seeds(&first);
	unsigned counts[2] = {0}, full[2] = {0};

	for (uint64_t seed = first; seed < first + n; seed++) {
		failures(seed, ERR_IO, false, counts);
		failures(seed, ERR_IO, true, counts);
		failures(seed, ERR_DISK_FULL, false, full);
		failures(seed, ERR_DISK_FULL, true, full);
	}
	print_message(
		"# %u operations failed, %u ended the process; %u found a full disk, %u of them "
		"when it was opened\n",
		counts[0], counts[1], full[0], full[1]);
	assert_true(counts[0] > 100 * n && counts[1] > counts[0] / 2 && full[0] > 100 * n);
	(void)state;
}

static void power_is_lost_at_each_change(void **state)
{
	static const enum memory_crash modes[] = {CRASH_KILL, CRASH_DROP, CRASH_PREFIX, CRASH_ANY,
						  CRASH_ANY};
	uint64_t first, n = seeds(&first), states = 0;

	for (uint64_t seed = first; seed < first + n; seed++) {
		for (size_t mode = 0; mode < sizeof(modes) / sizeof(modes[0]); mode++) {
			bool more = true;

			for (uint64_t at = 1; more; at++, states++) {
				struct run r;
				struct prng p;

				where.seed = seed;
				where.at = at;
				where.mode = mode;
				run_begin(&r, seed);
				prng_seed(&p, seed * 1000000 + at * 8 + mode);
				memory_disk_stop_at(r.disk, at);
				run_updates(&r);
				more = memory_disk_stopped(r.disk);
				memory_disk_crash(r.disk, modes[mode], &p);
				check_twice(r.disk, &r.memory, r.before, r.after, r.synced);
				run_end(&r);
			}
		}
	}
	print_message("# %lu states of the disk after a loss of power\n", (unsigned long)states);
	assert_true(states > 1000);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_operation_fails_once),
		cmocka_unit_test(power_is_lost_at_each_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
