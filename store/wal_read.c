/* Reading records back: for replay, and for replicas that are behind. Every record is checked again,
 * so that what went bad on disk since the log was opened is reported and never passed on. */
#include "base/assert.h"
#include "base/memory.h"
#include "store/wal_internal.h"
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20 };

/* A window into a file that moves forward. */
struct window {
	const struct wal *w;
	struct store_file *f;
	char path[WAL_PATH_BYTES];
	uint64_t end;   /* of what is in use */
	uint64_t start; /* file offset of bytes[0] */
	struct buf bytes;
};

static int window_open(struct window *win, const struct wal *w, size_t i, struct error *err)
{
	*win = (struct window){.w = w, .end = w->files[i].end};
	wal_file_path(w, w->files[i].header.first_seq, win->path);
	return w->io.open(w->io.ctx, win->path, false, &win->f, err);
}

static void window_close(struct window *win)
{
	if (win->f != NULL)
		win->w->io.close(win->f);
	buf_fini(&win->bytes);
}

/* n bytes at offset, or NULL with rc set. */
static const uint8_t *window_at(struct window *win, uint64_t offset, uint64_t n, int *rc,
				struct error *err)
{
	if (offset + n > win->end) {
		*rc = error_set(err, ERR_CORRUPT,
				"log file %s: the record at byte %llu passes the end", win->path,
				(unsigned long long)offset);
		return NULL;
	}
	if (offset < win->start || offset + n > win->start + win->bytes.len) {
		uint64_t want = n > CHUNK_BYTES ? n : CHUNK_BYTES;
		if (want > win->end - offset)
			want = win->end - offset;
		size_t got = 0;
		buf_clear(&win->bytes);
		if (!buf_try_reserve(&win->bytes, (size_t)want)) {
			*rc = error_set(err, ERR_NOMEM,
					"no memory to read %llu bytes of log file %s",
					(unsigned long long)want, win->path);
			return NULL;
		}
		uint8_t *to = buf_extend(&win->bytes, (size_t)want);
		*rc = win->w->io.read(win->f, offset, to, (size_t)want, &got, err);
		win->start = offset;
		win->bytes.len = *rc == 0 ? got : 0;
		if (*rc == 0 && got < n)
			*rc = error_set(err, ERR_CORRUPT,
					"log file %s ends at byte %llu, within a record", win->path,
					(unsigned long long)(offset + got));
		if (*rc != 0)
			return NULL;
	}
	return win->bytes.data + (offset - win->start);
}

static int bad_record(const struct window *win, uint64_t offset, uint64_t seq, struct error *err)
{
	return error_set(
		err, ERR_CORRUPT,
		"log file %s: record %llu at byte %llu can no longer be read; restore this replica "
		"from another one or from a backup",
		win->path, (unsigned long long)seq, (unsigned long long)offset);
}

/* The head at *offset, marks (also a damaged one) skipped, as wal_scan() does. seq: the record that must come next. */
static int next_head(struct window *win, uint64_t seed, uint64_t seq, uint64_t *offset,
		     struct wal_head *h, struct error *err)
{
	uint64_t from = *offset;
	bool skipped = false;
	int rc = 0;
	for (;; *offset += WAL_HEAD_BYTES) {
		const uint8_t *at = window_at(win, *offset, WAL_HEAD_BYTES, &rc, err);
		if (at == NULL)
			return rc;
		memcpy(h, at, sizeof(*h));
		bool valid = wal_head_valid(h, seed, *offset);
		if (valid && h->magic == WAL_RECORD && h->seq == seq)
			return 0;
		if (valid && h->magic == WAL_MARK)
			continue;
		if (skipped)
			return bad_record(win, from, seq, err);
		skipped = true;
	}
}

/* Index of the file that holds seq, which must be in the log. */
static size_t find_file(const struct wal *w, uint64_t seq)
{
	assert(w->n_files != 0 && seq >= w->files[0].header.first_seq && seq <= w->place.seq);
	size_t i = w->n_files - 1;
	while (w->files[i].header.first_seq > seq)
		i--;
	return i;
}

/* Where to begin in file f to meet record seq. */
static struct wal_index_entry nearest(const struct wal_file *f, uint64_t seq)
{
	struct wal_index_entry best = {f->header.first_seq, sizeof(f->header)};
	size_t lo = 0, hi = f->n_index;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (f->index[mid].seq <= seq) {
			best = f->index[mid];
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return best;
}

static int locate(struct window *win, const struct wal_file *f, uint64_t seq, uint64_t *offset,
		  struct wal_head *h, struct error *err)
{
	struct wal_index_entry at = nearest(f, seq);
	uint64_t seed = wal_seed(f->header.generation, f->header.first_seq);
	*offset = at.offset;
	for (uint64_t s = at.seq;; s++) {
		int rc = next_head(win, seed, s, offset, h, err);
		if (rc != 0 || s == seq)
			return rc;
		*offset += wal_record_bytes(h->n);
	}
}

int wal_locate(struct wal *w, size_t i, uint64_t seq, uint64_t *offset, struct wal_head *h,
	       struct error *err)
{
	struct window win;
	int rc = window_open(&win, w, i, err);
	if (rc == 0)
		rc = locate(&win, &w->files[i], seq, offset, h, err);
	window_close(&win);
	return rc;
}

static int read_file(struct wal *w, size_t i, uint64_t from,
		     int (*fn)(void *ctx, const struct wal_record *r), void *ctx, struct error *err)
{
	const struct wal_file *f = &w->files[i];
	uint64_t last = i + 1 < w->n_files ? w->files[i + 1].header.first_seq - 1 : w->place.seq;
	uint64_t seed = wal_seed(f->header.generation, f->header.first_seq);
	struct window win;
	struct wal_head h;
	uint64_t offset = 0;
	int rc = window_open(&win, w, i, err);
	if (rc == 0)
		rc = locate(&win, f, from, &offset, &h, err);
	for (uint64_t seq = from; rc == 0; seq++) {
		uint64_t total = wal_record_bytes(h.n);
		const uint8_t *at = window_at(&win, offset, total, &rc, err);
		if (at == NULL)
			break;
		if (!wal_payload_valid(&h, at + WAL_HEAD_BYTES)) {
			rc = bad_record(&win, offset, seq, err);
			break;
		}
		struct wal_record r = {seq, h.epoch, h.prev_epoch, at + WAL_HEAD_BYTES, h.n};
		rc = fn(ctx, &r);
		if (rc != 0 || seq == last)
			break;
		offset += total;
		rc = next_head(&win, seed, seq + 1, &offset, &h, err);
	}
	window_close(&win);
	return rc;
}

int wal_read(struct wal *w, uint64_t from, int (*fn)(void *ctx, const struct wal_record *r),
	     void *ctx, struct error *err)
{
	uint64_t first = wal_first_seq(w);
	if (first == 0 || from > w->place.seq)
		return 0;
	if (from < first)
		return error_set(
			err, ERR_NOT_FOUND,
			"record %llu is no longer in the log %s, which begins at record %llu",
			(unsigned long long)from, w->dir, (unsigned long long)first);
	int rc = 0;
	for (size_t i = find_file(w, from); i < w->n_files && rc == 0; i++) {
		uint64_t begin = w->files[i].header.first_seq;
		if (begin > w->place.seq)
			break; /* a file that was begun and has no record yet */
		rc = read_file(w, i, from > begin ? from : begin, fn, ctx, err);
	}
	return rc;
}
