/* A replica's log: the jobs of its machine, the stored commit hint, and how much of it is kept. */
#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "shard/host.h"
#include "shard/seed.h"
#include <stdlib.h>

enum { STUCK_RETRY_US = 200000, HINT_US = 5000000, HINT_BYTES = 8 << 20, KEEP_MAX_FACTOR = 8 };
/* Copies that were away for a while, and those that a new primary finds, catch up from the log when it
 * reaches back to them; log_keep_bytes of it stay in any case when there are copies. One that is known to be
 * behind keeps more, but not more than KEEP_MAX_FACTOR times that, and never what is not in the manifest yet. */
#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ---- jobs of the machine ---- */

struct disk_job {
	struct task task;
	struct task written; /* tells the loop before the sync, when others wait for it */
	bool tell_written;
	uint64_t epoch; /* to be stored; 0: none */
	uint64_t commit_seq;
	bool truncate;
	uint64_t truncate_after;
	size_t n; /* records */
	uint64_t last_seq, written_seq, log_bytes;
	bool epoch_owed; /* the records were refused because the epoch could not be stored */
	bool stuck;      /* to be done again as a whole */
};

static void written_done(struct task *t)
{
	struct disk_job *job = CONTAINER(t, struct disk_job, written);

	hosted_event(t->h, &(struct replica_event){.type = EVENT_WRITTEN, .seq = job->written_seq});
}

static void end_job(struct disk_job *job)
{
	struct hosted *h = job->task.h;
	struct replica_event e = {.type = EVENT_DURABLE, .seq = job->last_seq, .rc = job->task.rc};

	if (job->task.rc < 0) {
		e.type = EVENT_APPEND_FAILED;
		h->append_error = job->task.err;
	}
	if (job->epoch)
		h->owed_epoch = job->epoch_owed ? job->epoch : 0;
	if (job->n)
		count(h->shard, COUNT_APPENDS, 1);
	free(job);
	hosted_event(h, &e);
}

static void job_done(struct task *t)
{
	struct disk_job *job = CONTAINER(t, struct disk_job, task);
	struct hosted *h = t->h;

	h->log_bytes = job->log_bytes;
	if (job->stuck) {
		if (!h->was_stuck)
			log_error("shard", "%s: %s; tried again", h->folder, t->err.text);
		h->stuck = job;
		h->stuck_until_us = now_us(t->shard) + STUCK_RETRY_US;
	} else {
		end_job(job);
	}
	h->was_stuck = h->stuck != NULL;
	if (h->opened)
		sem_post(h->opened);
	h->opened = NULL;
	hosted_task_back(h);
}

static void job_run(struct task *t)
{
	struct disk_job *job = CONTAINER(t, struct disk_job, task);
	struct hosted *h = t->h;

	t->rc = job->epoch ? epochs_put(&h->epochs, job->epoch, job->commit_seq, &t->err) : 0;
	job->epoch_owed = t->rc < 0 && job->n > 0 && !job->truncate;
	if (t->rc == 0 && job->truncate)
		t->rc = wal_truncate_after(h->wal, job->truncate_after, &t->err);
	job->stuck = t->rc < 0 && !job->epoch_owed;
	if (t->rc == 0 && job->n) {
		t->rc = wal_append(h->wal, h->records, job->n, &t->err);
		if (t->rc == 0 && job->tell_written) {
			job->written_seq = wal_last_seq(h->wal);
			task_to_loop(&job->written);
		}
		if (t->rc == 0)
			wal_sync(h->wal);
	}
	job->last_seq = wal_last_seq(h->wal);
	job->log_bytes = wal_bytes(h->wal);
}

/* The machine's list goes on behind what is to be appended. */
static size_t collect(struct hosted *h, const struct write_list *list)
{
	size_t n = 0;

	for (struct replica_write *w = list->first; w; w = w == list->last ? NULL : w->next) {
		struct write_item *item = item_of(w);

		if (n == h->records_cap) {
			h->records_cap = h->records_cap ? h->records_cap * 2 : 64;
			h->records = mem_resize(h->records, h->records_cap * sizeof *h->records);
		}
		h->records[n] = (struct wal_record){
			.seq = w->seq,
			.epoch = w->epoch,
			.prev_epoch = w->prev_epoch,
			.bytes = item->bytes.data,
			.n = (uint32_t)item->bytes.len,
		};
		n++;
		if (h->copies)
			held_add(h, item);
	}
	return n;
}

void disk_start(struct hosted *h, const struct replica_update *u)
{
	struct disk_job *job = mem_zalloc(sizeof *job);

	assert(!h->stuck);
	job->task = (struct task){.run = job_run, .done = job_done, .shard = h->shard, .h = h};
	job->written = (struct task){.done = written_done, .shard = h->shard, .h = h};
	job->tell_written = h->copies;
	job->epoch = u->store_epoch > h->owed_epoch ? u->store_epoch : h->owed_epoch;
	job->commit_seq = h->state.now.seq;
	job->truncate = u->truncate;
	job->truncate_after = u->truncate_after;
	job->n = collect(h, &u->append);
	task_to_worker(h->disk, &job->task);
}

/* ---- the commit hint ---- */

/* What was applied is committed, and never above the end of the own log. */
struct hint {
	struct task task;
	uint64_t epoch, seq;
};

static void hint_run(struct task *t)
{
	struct hint *hint = CONTAINER(t, struct hint, task);

	t->rc = epochs_put(&t->h->epochs, hint->epoch, hint->seq, &t->err);
}

static void hint_done(struct task *t)
{
	struct hint *hint = CONTAINER(t, struct hint, task);
	struct hosted *h = t->h;

	h->hinting = false;
	if (t->rc < 0)
		log_debug("shard", "%s: %s", h->folder, t->err.text);
	else if (hint->epoch >= h->owed_epoch)
		h->owed_epoch = 0;
	free(hint);
	hosted_task_back(h);
}

void hint_start(struct hosted *h)
{
	struct hint *hint;

	h->hint_us = now_us(h->shard);
	if (h->opening || h->hinting ||
	    (!h->owed_epoch && (!h->copies || h->hint_seq == h->state.now.seq)))
		return;
	hint = mem_zalloc(sizeof *hint);
	hint->task = (struct task){.run = hint_run, .done = hint_done, .shard = h->shard, .h = h};
	hint->epoch = h->owed_epoch;
	hint->seq = h->hint_seq = h->state.now.seq;
	h->hint_bytes = 0;
	h->hinting = true;
	task_to_worker(h->disk, &hint->task);
}

void disk_tick(struct hosted *h)
{
	uint64_t now = now_us(h->shard);

	if (h->stuck && now >= h->stuck_until_us) {
		struct disk_job *job = h->stuck;

		h->stuck = NULL;
		task_to_worker(h->disk, &job->task);
	}
	if (h->owed_epoch || h->hint_bytes > HINT_BYTES || now >= h->hint_us + HINT_US)
		hint_start(h);
}

/* ---- how much is kept ---- */

/* The oldest record that must stay when all up to applied_seq is in the manifest. */
static uint64_t needed_from(const struct hosted *h, uint64_t applied_seq)
{
	uint64_t from = applied_seq + 1;
	uint64_t pinned = seeds_log_floor(h->shard, h);

	for (uint32_t i = 0; i < h->n_peers; i++)
		if (h->peers[i].durable_seq + 1 < from)
			from = h->peers[i].durable_seq + 1;
	return pinned < from ? pinned : from;
}

struct log_drop {
	struct task task;
	uint64_t before, applied_seq;
	bool copies;
};

static void log_drop_run(struct task *t)
{
	struct log_drop *drop = CONTAINER(t, struct log_drop, task);
	uint64_t before = drop->before;

	if (drop->copies) {
		uint64_t bytes = t->shard->options.log_keep_bytes;
		uint64_t keep = wal_seq_holding(t->h->wal, bytes);
		uint64_t most = wal_seq_holding(t->h->wal, KEEP_MAX_FACTOR * bytes);

		before = keep < before ? keep : before;
		before = most > before ? most : before;
	}
	before = drop->applied_seq + 1 < before ? drop->applied_seq + 1 : before;
	t->rc = wal_drop_before(t->h->wal, before, &t->err);
}

static void log_drop_done(struct task *t)
{
	struct log_drop *drop = CONTAINER(t, struct log_drop, task);
	struct hosted *h = t->h;

	h->dropping = false;
	if (t->rc < 0)
		note_failure(h, "removing old log files", &t->err);
	free(drop);
	manifest_start(h);
	hosted_task_back(h);
}

void log_drop_start(struct hosted *h)
{
	struct log_drop *drop;
	uint64_t applied = h->kept.applied_seq;

	if (h->dropping || h->closing)
		return;
	h->dropping = true;
	drop = mem_zalloc(sizeof *drop);
	drop->task = (struct task){.run = log_drop_run,
				   .done = log_drop_done,
				   .shard = h->shard,
				   .h = h};
	drop->before = needed_from(h, applied);
	drop->applied_seq = applied;
	drop->copies = h->copies;
	task_to_worker(h->disk, &drop->task);
}
