/* Write-ahead log: appending, syncing, cutting. How the bytes are read is told in wal_format.h.
 *
 * Order that keeps every crash harmless:
 *   a new file is written under another name, synced, renamed and its folder synced before a record
 *     goes into it, so a file called *.wal always has a good header;
 *   a full file is cut to its records and synced before the next file begins, so only the last
 *     file can have a torn tail;
 *   files are removed one by one from the end that leaves no gap, the folder synced after each;
 *   wal_reset() makes a file of a higher generation first: from the moment it is durable, the older
 *     ones are void, whether or not they were removed.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "store/wal_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIRST_RESERVE_BYTES = 256 << 10, /* then as much again as is in use, up to: */
	MOST_RESERVE_BYTES = 16 << 20,
	INDEX_BYTES = 64 << 10,
};

void wal_file_path(const struct wal *w, uint64_t first_seq, char out[WAL_PATH_BYTES])
{
	int n = snprintf(out, WAL_PATH_BYTES, "%s/%020llu.wal", w->dir,
			 (unsigned long long)first_seq);
	assert(n > 0 && n < WAL_PATH_BYTES);
}

struct wal_file *wal_add_file(struct wal *w, const struct wal_file_header *header)
{
	if (w->n_files == w->cap_files) {
		w->cap_files = w->cap_files == 0 ? 4 : w->cap_files * 2;
		w->files = mem_resize(w->files, w->cap_files * sizeof(*w->files));
	}
	struct wal_file *f = &w->files[w->n_files++];
	*f = (struct wal_file){.header = *header, .end = sizeof(*header)};
	return f;
}

void wal_drop_file_entry(struct wal *w, size_t i)
{
	free(w->files[i].index);
	memmove(&w->files[i], &w->files[i + 1], (w->n_files - i - 1) * sizeof(*w->files));
	w->n_files--;
}

void wal_index_add(struct wal_file *f, uint64_t seq, uint64_t offset)
{
	if (f->n_index != 0 && offset - f->index[f->n_index - 1].offset < INDEX_BYTES)
		return;
	if (f->n_index == f->cap_index) {
		f->cap_index = f->cap_index == 0 ? 8 : f->cap_index * 2;
		f->index = mem_resize(f->index, f->cap_index * sizeof(*f->index));
	}
	f->index[f->n_index++] = (struct wal_index_entry){seq, offset};
}

/* ---- state ---- */

static struct wal_file *last_file(const struct wal *w)
{
	return w->n_files != 0 ? &w->files[w->n_files - 1] : NULL;
}

void wal_close(struct wal *w)
{
	if (w == NULL)
		return;
	if (w->current != NULL)
		w->io.close(w->current);
	for (size_t i = 0; i < w->n_files; i++)
		free(w->files[i].index);
	free(w->files);
	free(w->dir);
	buf_fini(&w->scratch);
	free(w);
}

uint64_t wal_first_seq(const struct wal *w)
{
	if (w->n_files == 0 || w->place.seq < w->files[0].header.first_seq)
		return 0;
	return w->files[0].header.first_seq;
}

uint64_t wal_last_seq(const struct wal *w)
{
	return w->place.seq;
}

uint64_t wal_last_epoch(const struct wal *w)
{
	return w->place.epoch;
}

uint64_t wal_bytes(const struct wal *w)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < w->n_files; i++)
		sum += w->files[i].end;
	return sum;
}

static int check_usable(const struct wal *w, struct error *err)
{
	if (!w->failed)
		return 0;
	return error_set(err, ERR_IO,
			 "the log %s could not be repaired after an error of the disk; it takes no "
			 "writes until it is opened again",
			 w->dir);
}

/* ---- files ---- */

/* Makes room for `need` bytes after f->end, a large step at a time so that a sync seldom has to
 * write the file's size. */
static int reserve(struct wal *w, uint64_t need, struct error *err)
{
	uint64_t end = last_file(w)->end;
	if (end + need <= w->allocated)
		return 0;
	uint64_t step = end < FIRST_RESERVE_BYTES ? FIRST_RESERVE_BYTES : end;
	step = step > MOST_RESERVE_BYTES ? MOST_RESERVE_BYTES : step;
	step = step > w->segment_bytes ? w->segment_bytes : step;
	uint64_t size = end + (need > step ? need : step);
	int rc = w->io.allocate(w->current, size, NULL);
	if (rc != 0) { /* nearly full: just what is needed */
		size = end + need;
		rc = w->io.allocate(w->current, size, err);
	}
	if (rc != 0) {
		w->io.truncate(w->current, w->allocated,
			       NULL); /* what it got in spite of the error */
		return rc;
	}
	w->allocated = size;
	return 0;
}

/* Writes a file with nothing but its header and publishes it. */
static int create_file(struct wal *w, const struct wal_file_header *header, struct store_file **out,
		       struct error *err)
{
	char path[WAL_PATH_BYTES], temporary[WAL_PATH_BYTES + 4];
	wal_file_path(w, header->first_seq, path);
	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	struct store_file *f = NULL;
	int rc = w->io.open(w->io.ctx, temporary, true, &f, err);
	if (rc != 0)
		return rc;
	rc = w->io.truncate(f, 0, err);
	if (rc == 0)
		rc = w->io.write(f, 0, header, sizeof(*header), err);
	if (rc == 0) {
		w->io.sync(f);
		rc = w->io.rename(w->io.ctx, temporary, path, err);
	}
	if (rc != 0) {
		w->io.close(f);
		w->io.remove(w->io.ctx, temporary, NULL);
		return rc;
	}
	w->io.sync_dir(w->io.ctx, w->dir);
	*out = f;
	return 0;
}

static void make_current(struct wal *w, struct store_file *f, const struct wal_file_header *header)
{
	if (w->current != NULL)
		w->io.close(w->current);
	w->current = f;
	w->allocated = sizeof(*header);
	w->seed = wal_seed(header->generation, header->first_seq);
	w->unsynced = false;
	w->ends_in_mark = false;
}

int wal_begin_file(struct wal *w, struct error *err)
{
	if (w->current != NULL) { /* its last sync; the spare room goes back */
		int rc = w->io.truncate(w->current, last_file(w)->end, err);
		if (rc != 0)
			return rc;
		w->allocated = last_file(w)->end;
		w->io.sync(w->current);
		w->synced = w->place.seq;
		w->unsynced = false;
	}
	struct wal_file_header header = wal_header_make(w->generation, &w->place);
	struct store_file *f = NULL;
	int rc = create_file(w, &header, &f, err);
	if (rc != 0)
		return error_wrap(err, rc, "begin a log file in %s", w->dir);
	make_current(w, f, &header);
	wal_add_file(w, &header);
	return 0;
}

/* ---- appending ---- */

static int check_records(const struct wal *w, const struct wal_record *records, size_t n,
			 struct error *err)
{
	struct wal_place at = w->place;
	for (size_t i = 0; i < n; i++) {
		const struct wal_record *r = &records[i];
		if (r->seq != at.seq + 1 || r->prev_epoch != at.epoch || r->epoch < at.epoch)
			return error_set(
				err, ERR_INPUT,
				"record %llu (epoch %llu after %llu) does not continue the log %s, "
				"which stands at record %llu of epoch %llu",
				(unsigned long long)r->seq, (unsigned long long)r->epoch,
				(unsigned long long)r->prev_epoch, w->dir,
				(unsigned long long)at.seq, (unsigned long long)at.epoch);
		if (r->n > WAL_RECORD_BYTES_MAX)
			return error_set(err, ERR_TOO_LARGE,
					 "record %llu has %u bytes, a log takes %d at most",
					 (unsigned long long)r->seq, r->n, WAL_RECORD_BYTES_MAX);
		at.seq = r->seq;
		at.epoch = r->epoch;
	}
	return 0;
}

/* After a failed write: no byte of it may be found by the next open, not even after a power loss. */
static void undo_write(struct wal *w)
{
	uint64_t end = last_file(w)->end;
	static const uint8_t zeros[WAL_HEAD_BYTES];
	if (w->io.truncate(w->current, end, NULL) == 0)
		w->allocated = end;
	else if (w->io.write(w->current, end, zeros, sizeof(zeros), NULL) != 0)
		w->failed = true;
	w->io.sync(w->current);
	w->synced = w->place.seq; /* the sync took what had been appended before, too */
	w->unsynced = false;
}

static int append_to_current(struct wal *w, const struct wal_record *records, size_t n,
			     struct error *err)
{
	struct wal_file *f = last_file(w);
	struct wal_place place = w->place;
	buf_clear(&w->scratch);
	for (size_t i = 0; i < n; i++)
		wal_put_record(&w->scratch, &records[i], w->synced, w->seed,
			       f->end + w->scratch.len, &place);
	int rc = reserve(w, w->scratch.len, err);
	if (rc != 0)
		return rc;
	rc = w->io.write(w->current, f->end, w->scratch.data, w->scratch.len, err);
	if (rc != 0) {
		undo_write(w);
		return rc;
	}
	for (size_t i = 0; i < n; i++) {
		wal_index_add(f, records[i].seq, f->end);
		f->end += wal_record_bytes(records[i].n);
	}
	w->place = place;
	w->unsynced = true;
	w->ends_in_mark = false;
	return 0;
}

int wal_append(struct wal *w, const struct wal_record *records, size_t n, struct error *err)
{
	int rc = check_usable(w, err);
	if (rc == 0)
		rc = check_records(w, records, n, err);
	if (rc != 0 || n == 0)
		return rc;
	struct wal_file *f = last_file(w);
	if (f == NULL || (f->end >= w->segment_bytes && w->place.seq >= f->header.first_seq))
		rc = wal_begin_file(w, err);
	if (rc == 0)
		rc = append_to_current(w, records, n, err);
	return rc != 0 ? error_wrap(err, rc, "append to the log %s", w->dir) : 0;
}

/* Best effort: without it only damage to the last synced group could pass for a torn tail. */
void wal_write_mark(struct wal *w)
{
	struct wal_file *f = last_file(w);
	if (w->ends_in_mark || w->failed || w->place.seq < f->header.first_seq)
		return;
	buf_clear(&w->scratch);
	wal_put_mark(&w->scratch, w->seed, f->end, &w->place);
	if (reserve(w, w->scratch.len, NULL) != 0)
		return;
	if (w->io.write(w->current, f->end, w->scratch.data, w->scratch.len, NULL) != 0)
		return; /* what was written of it is no valid mark, and the next append covers it */
	f->end += w->scratch.len;
	w->ends_in_mark = true;
}

void wal_sync(struct wal *w)
{
	if (!w->unsynced || w->current == NULL)
		return;
	w->io.sync(w->current);
	w->unsynced = false;
	w->synced = w->place.seq;
	wal_write_mark(w);
}

/* ---- cutting ---- */

static int remove_file(struct wal *w, size_t i, struct error *err)
{
	char path[WAL_PATH_BYTES];
	wal_file_path(w, w->files[i].header.first_seq, path);
	int rc = w->io.remove(w->io.ctx, path, err);
	if (rc != 0 && rc != ERR_NOT_FOUND)
		return rc;
	w->io.sync_dir(w->io.ctx, w->dir);
	wal_drop_file_entry(w, i);
	return 0;
}

/* Makes the last entry of w->files the file that is written to. */
static int reopen_last(struct wal *w, struct error *err)
{
	char path[WAL_PATH_BYTES];
	wal_file_path(w, last_file(w)->header.first_seq, path);
	struct store_file *f = NULL;
	int rc = w->io.open(w->io.ctx, path, false, &f, err);
	if (rc != 0)
		return rc;
	make_current(w, f, &last_file(w)->header);
	return w->io.size(f, &w->allocated, err);
}

/* Cuts the last file after record seq (first_seq - 1: everything). */
static int cut_last(struct wal *w, uint64_t seq, struct error *err)
{
	struct wal_file *f = last_file(w);
	uint64_t end = sizeof(f->header);
	struct wal_place place = wal_header_place(&f->header);
	if (seq >= f->header.first_seq) {
		struct wal_head h;
		int rc = wal_locate(w, w->n_files - 1, seq, &end, &h, err);
		if (rc != 0)
			return rc;
		end += wal_record_bytes(h.n);
		place = (struct wal_place){h.seq, h.epoch, h.chain};
	}
	int rc = w->io.truncate(w->current, end, err);
	if (rc != 0)
		return rc;
	w->io.sync(w->current);
	f->end = end;
	while (f->n_index != 0 && f->index[f->n_index - 1].offset >= end)
		f->n_index--;
	w->allocated = end;
	w->place = place;
	w->synced = place.seq;
	w->unsynced = false;
	w->ends_in_mark = false;
	wal_write_mark(w);
	return 0;
}

int wal_truncate_after(struct wal *w, uint64_t seq, struct error *err)
{
	int rc = check_usable(w, err);
	if (rc != 0 || seq >= w->place.seq)
		return rc;
	if (seq + 1 < w->files[0].header.first_seq)
		return error_set(
			err, ERR_INPUT,
			"the log %s begins at record %llu, it cannot be cut after record %llu",
			w->dir, (unsigned long long)w->files[0].header.first_seq,
			(unsigned long long)seq);
	wal_sync(w); /* what stays must be as durable as the cut */
	bool moved = false;
	while (rc == 0 && w->n_files > 1 && last_file(w)->header.first_seq > seq) {
		rc = remove_file(w, w->n_files - 1, err);
		moved = true;
	}
	if (rc == 0 && moved)
		rc = reopen_last(w, err);
	if (rc == 0)
		rc = cut_last(w, seq, err);
	if (rc != 0) {
		w->failed = true;
		return error_wrap(err, rc, "cut the log %s after record %llu", w->dir,
				  (unsigned long long)seq);
	}
	return 0;
}

int wal_drop_before(struct wal *w, uint64_t seq, struct error *err)
{
	int rc = check_usable(w, err);
	while (rc == 0 && w->n_files > 1 && w->files[1].header.first_seq <= seq)
		rc = remove_file(w, 0, err);
	return rc != 0 ? error_wrap(err, rc, "free old records of the log %s", w->dir) : 0;
}

uint64_t wal_seq_holding(const struct wal *w, uint64_t bytes)
{
	uint64_t sum = 0;
	for (size_t i = w->n_files; i-- > 0;) {
		sum += w->files[i].end;
		if (sum >= bytes || i == 0)
			return w->files[i].header.first_seq;
	}
	return 0;
}

int wal_reset(struct wal *w, uint64_t next, uint64_t prev_epoch, struct error *err)
{
	if (next == 0)
		return error_set(err, ERR_INPUT, "a log begins at record 1 or later");
	/* The chain starts anew; the generation in it keeps old records from fitting behind it. */
	struct wal_place place = {next - 1, prev_epoch, wal_seed(w->generation + 1, next)};
	struct wal_file_header header = wal_header_make(w->generation + 1, &place);
	struct store_file *f = NULL;
	int rc = create_file(w, &header, &f, err);
	if (rc != 0)
		return error_wrap(err, rc, "begin the log %s anew", w->dir);
	make_current(w, f, &header);
	w->generation++;
	w->place = place;
	w->synced = place.seq;
	w->failed = false;
	/* The older files are void already; the one of the same name was replaced. */
	while (w->n_files != 0) {
		char path[WAL_PATH_BYTES];
		wal_file_path(w, w->files[0].header.first_seq, path);
		if (w->files[0].header.first_seq != next)
			w->io.remove(w->io.ctx, path, NULL);
		wal_drop_file_entry(w, 0);
	}
	wal_add_file(w, &header);
	return 0;
}
