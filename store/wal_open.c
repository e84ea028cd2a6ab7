/* Opening a log: find its files, check all of it, find its end, cut off what a crash left behind. */
#include "base/assert.h"
#include "base/memory.h"
#include "store/wal_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct found { /* names of the folder */
	uint64_t *first;
	size_t n, cap;
	char (*stray)[64]; /* temporaries of a crash */
	size_t n_stray;
};

static int collect(void *ctx, const char *name)
{
	struct found *found = ctx;
	unsigned long long first;
	int used = 0;
	if (sscanf(name, "%20llu.wal%n", &first, &used) != 1 || used != 24)
		return 0; /* not ours */
	if (strcmp(name + used, ".tmp") == 0) {
		found->stray =
			mem_resize(found->stray, (found->n_stray + 1) * sizeof(*found->stray));
		snprintf(found->stray[found->n_stray++], sizeof(*found->stray), "%s", name);
	}
	if (name[used] != 0)
		return 0;
	if (found->n == found->cap) {
		found->cap = found->cap == 0 ? 16 : found->cap * 2;
		found->first = mem_resize(found->first, found->cap * sizeof(*found->first));
	}
	found->first[found->n++] = first;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static int read_header(struct wal *w, uint64_t first_seq, struct wal_file_header *out,
		       struct error *err)
{
	char path[WAL_PATH_BYTES];
	wal_file_path(w, first_seq, path);
	struct store_file *f = NULL;
	int rc = w->io.open(w->io.ctx, path, false, &f, err);
	if (rc != 0)
		return rc;
	size_t got = 0;
	memset(out, 0, sizeof(*out));
	rc = w->io.read(f, 0, out, sizeof(*out), &got, err);
	w->io.close(f);
	if (rc == 0)
		rc = wal_header_check(out, path, err);
	if (rc == 0 && out->first_seq != first_seq)
		rc = error_set(
			err, ERR_CORRUPT,
			"log file %s holds the records from %llu on; it was renamed or put there by mistake",
			path, (unsigned long long)out->first_seq);
	return rc;
}

/* Adds the files of the newest generation; older ones are listed in `found` for removal. */
static int add_files(struct wal *w, struct found *found, struct error *err)
{
	if (found->n > 1)
		qsort(found->first, found->n, sizeof(*found->first), by_number);
	struct wal_file_header *headers = mem_array(found->n, sizeof(*headers));
	int rc = 0;
	for (size_t i = 0; i < found->n && rc == 0; i++) {
		rc = read_header(w, found->first[i], &headers[i], err);
		if (rc == 0 && headers[i].generation > w->generation)
			w->generation = headers[i].generation;
	}
	size_t n_old = 0;
	for (size_t i = 0; i < found->n && rc == 0; i++) {
		if (headers[i].generation == w->generation)
			wal_add_file(w, &headers[i]);
		else
			found->first[n_old++] = found->first[i];
	}
	found->n = n_old;
	free(headers);
	return rc;
}

static void index_record(void *ctx, const struct wal_head *h, uint64_t offset)
{
	wal_index_add(ctx, h->seq, offset);
}

static int check_joint(const struct wal *w, size_t i, const char *path, struct error *err)
{
	const struct wal_file_header *h = &w->files[i].header;
	struct wal_place before = wal_header_place(h);
	if (i == 0 || memcmp(&before, &w->place, sizeof(before)) == 0)
		return 0;
	if (before.seq > w->place.seq)
		return error_set(
			err, ERR_CORRUPT,
			"before log file %s records %llu to %llu are missing; restore this replica "
			"from another one or from a backup",
			path, (unsigned long long)w->place.seq + 1, (unsigned long long)before.seq);
	return error_set(
		err, ERR_CORRUPT,
		"log file %s does not continue the file before it (which ends at record %llu); "
		"restore this replica from another one or from a backup",
		path, (unsigned long long)w->place.seq);
}

/* Reads file i whole and leaves the result in *scan (without its bytes). */
static int scan_file(struct wal *w, size_t i, struct wal_scan *scan, struct error *err)
{
	struct wal_file *file = &w->files[i];
	char path[WAL_PATH_BYTES];
	wal_file_path(w, file->header.first_seq, path);
	int rc = check_joint(w, i, path, err);
	if (rc != 0)
		return rc;
	struct store_file *f = NULL;
	rc = w->io.open(w->io.ctx, path, false, &f, err);
	if (rc != 0)
		return rc;
	uint64_t size = 0;
	size_t got = 0;
	uint8_t *bytes = NULL;
	struct wal_place until = {0};
	if (i + 1 < w->n_files)
		until = wal_header_place(&w->files[i + 1].header);
	rc = w->io.size(f, &size, err);
	if (rc == 0) {
		bytes = malloc(size + 1);
		if (bytes == NULL)
			rc = error_set(err, ERR_NOMEM,
				       "no memory to check log file %s (%llu bytes)", path,
				       (unsigned long long)size);
	}
	if (rc == 0)
		rc = w->io.read(f, 0, bytes, size, &got, err);
	if (rc == 0) {
		*scan = (struct wal_scan){
			.name = path,
			.bytes = bytes,
			.n = got,
			.seed = wal_seed(file->header.generation, file->header.first_seq),
			.until = i + 1 < w->n_files ? &until : NULL,
			.each = index_record,
			.ctx = file,
			.place = wal_header_place(&file->header),
		};
		rc = got < sizeof(file->header)
			     ? error_set(err, ERR_IO,
					 "log file %s became shorter while it was read", path)
			     : wal_scan(scan, err);
	}
	w->io.close(f);
	free(bytes);
	scan->name = NULL;
	scan->bytes = NULL;
	scan->until = NULL;
	return rc;
}

/* Opens the last file for writing, cuts its torn tail and makes all that was found durable. */
static int take_last(struct wal *w, const struct wal_scan *scan, struct error *err)
{
	struct wal_file *file = &w->files[w->n_files - 1];
	char path[WAL_PATH_BYTES];
	wal_file_path(w, file->header.first_seq, path);
	int rc = w->io.open(w->io.ctx, path, false, &w->current, err);
	if (rc != 0)
		return rc;
	w->seed = scan->seed;
	w->ends_in_mark = scan->ends_in_mark;
	w->allocated = scan->n;
	if (scan->torn) {
		rc = w->io.truncate(w->current, scan->end, err);
		if (rc != 0)
			return error_wrap(err, rc, "cut the torn tail of log file %s", path);
		w->allocated = scan->end;
	}
	/* After a kill, records may be readable that no sync has covered yet. Only the last file can have
	 * any, and the folder may hold a rename that was not synced either. */
	w->io.sync(w->current);
	w->io.sync_dir(w->io.ctx, w->dir);
	w->synced = w->place.seq;
	wal_write_mark(w);
	return 0;
}

static int check_expected(const struct wal *w, uint64_t expect_seq, struct error *err)
{
	if (w->n_files == 0 || w->place.seq >= expect_seq)
		return 0;
	return error_set(
		err, ERR_CORRUPT,
		"the log %s ends at record %llu, but the segments were built from records up to "
		"%llu: records that had been durable are lost; restore this replica from another one "
		"or from a backup",
		w->dir, (unsigned long long)w->place.seq, (unsigned long long)expect_seq);
}

static int load(struct wal *w, struct found *found, uint64_t expect_seq, struct error *err)
{
	int rc = add_files(w, found, err);
	struct wal_scan scan = {0};
	for (size_t i = 0; i < w->n_files && rc == 0; i++) {
		rc = scan_file(w, i, &scan, err);
		if (rc != 0)
			break;
		w->files[i].end = scan.end;
		w->place = scan.place;
	}
	if (rc == 0)
		rc = check_expected(w, expect_seq, err);
	if (rc == 0 && w->n_files != 0)
		rc = take_last(w, &scan, err);
	return rc;
}

static void remove_strays(struct wal *w, const struct found *found)
{
	char path[WAL_PATH_BYTES];
	for (size_t i = 0; i < found->n; i++) {
		wal_file_path(w, found->first[i], path);
		w->io.remove(w->io.ctx, path, NULL);
	}
	for (size_t i = 0; i < found->n_stray; i++) {
		snprintf(path, sizeof(path), "%s/%s", w->dir, found->stray[i]);
		w->io.remove(w->io.ctx, path, NULL);
	}
}

int wal_open(const struct store_io *io, const char *dir, const struct wal_options *options,
	     uint64_t expect_seq, struct wal **out, struct error *err)
{
	assert(strlen(dir) < WAL_PATH_BYTES - 64);
	struct wal *w = mem_zalloc(sizeof(*w));
	w->io = *io;
	w->dir = mem_strdup(dir);
	w->segment_bytes = options != NULL && options->segment_bytes != 0 ? options->segment_bytes
									  : WAL_SEGMENT_BYTES;
	struct found found = {0};
	int rc = io->mkdirs(io->ctx, dir, err);
	if (rc == 0)
		rc = io->list(io->ctx, dir, collect, &found, err);
	if (rc == 0)
		rc = load(w, &found, expect_seq, err);
	if (rc == 0)
		remove_strays(w, &found);
	free(found.first);
	free(found.stray);
	if (rc != 0) {
		wal_close(w);
		return error_wrap(err, rc, "open the log %s", dir);
	}
	*out = w;
	return 0;
}
