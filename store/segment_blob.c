/* Index files of a segment. The file is plain, so that other programs can open it; its checksums are in a
 * file beside it. Commit makes the checksums durable under their name first, then the file: whoever finds
 * the file finds the checksums that belong to it. A file that is there already is removed before. */
#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "store/segment_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct segment_blob {
	struct store_io io;
	struct sum_writer file;
	char folder[SUM_PATH_BYTES];
	char path[SUM_PATH_BYTES], sums[SUM_PATH_BYTES];         /* in the end */
	char path_new[SUM_PATH_BYTES], sums_new[SUM_PATH_BYTES]; /* until the commit */
};

struct sum_name segment_blob_name(uint64_t segment_id, const char *name)
{
	return (struct sum_name){SUM_BLOB, segment_id, hash64(name, strlen(name))};
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);
	return n > 0 && n <= 100 && strchr(name, '/') == NULL && name[0] != '.';
}

int segment_blob_begin(const struct store_io *io, uint64_t segment_id, const char *name,
		       struct segment_blob **out, struct error *err)
{
	if (!name_ok(name))
		return error_set(err, ERR_INPUT, "'%s' cannot name an index file", name);
	struct segment_blob *b = mem_zalloc(sizeof(*b));
	char file[128];
	b->io = *io;
	snprintf(b->folder, sizeof(b->folder), "seg-%llu", (unsigned long long)segment_id);
	segment_path(b->path, segment_id, name);
	snprintf(file, sizeof(file), "%s.sum", name);
	segment_path(b->sums, segment_id, file);
	snprintf(file, sizeof(file), "%s.new", name);
	segment_path(b->path_new, segment_id, file);
	snprintf(file, sizeof(file), "%s.sum-new", name);
	segment_path(b->sums_new, segment_id, file);
	int rc =
		sum_create(&b->file, &b->io, b->path_new, segment_blob_name(segment_id, name), err);
	if (rc != 0) {
		free(b);
		return error_wrap(err, rc, "write index file %s", name);
	}
	sum_begin(&b->file);
	*out = b;
	return 0;
}

int segment_blob_write(void *blob, const void *bytes, size_t n, struct error *err)
{
	struct segment_blob *b = blob;
	return sum_write(&b->file, bytes, n, err);
}

static int publish(struct segment_blob *b, struct error *err)
{
	const struct store_io *io = &b->io;
	int rc = io->remove(io->ctx, b->path, err);
	if (rc != 0 && rc != ERR_NOT_FOUND)
		return rc;
	if (rc == 0)
		io->sync_dir(io->ctx, b->folder);
	rc = io->rename(io->ctx, b->sums_new, b->sums, err);
	if (rc != 0)
		return rc;
	io->sync_dir(io->ctx, b->folder);
	rc = io->rename(io->ctx, b->path_new, b->path, err);
	if (rc == 0)
		io->sync_dir(io->ctx, b->folder);
	return rc;
}

int segment_blob_commit(struct segment_blob *b, struct error *err)
{
	int rc = sum_finish(&b->file, b->sums_new, err);
	if (rc == 0)
		rc = publish(b, err);
	if (rc != 0) {
		error_wrap(err, rc, "write index file %s", b->path);
		segment_blob_abort(b);
		return rc;
	}
	free(b);
	return 0;
}

void segment_blob_abort(struct segment_blob *b)
{
	if (b == NULL)
		return;
	sum_abort(&b->file);
	b->io.remove(b->io.ctx, b->path_new, NULL);
	b->io.remove(b->io.ctx, b->sums_new, NULL);
	free(b);
}

/* NULL: it is not mapped. */
static struct segment_blob_map *find_mapped(const struct segment *s, const char *name)
{
	struct segment_blob_map *b = s->blobs;
	while (b != NULL && strcmp(b->name, name) != 0)
		b = b->next;
	return b;
}

void segment_blob_release(struct segment *s, const char *name)
{
	pthread_mutex_lock(&s->lock);
	const struct segment_blob_map *b = find_mapped(s, name);
	if (b != NULL)
		sum_release(&b->file);
	pthread_mutex_unlock(&s->lock);
}

static int map_blob(struct segment *s, const char *name, struct segment_blob_map **out,
		    struct error *err)
{
	char path[SUM_PATH_BYTES], sums[SUM_PATH_BYTES], file[128];
	struct segment_blob_map *b = mem_zalloc(sizeof(*b));
	snprintf(b->name, sizeof(b->name), "%s", name);
	snprintf(file, sizeof(file), "%s.sum", name);
	segment_path(path, s->meta.id, name);
	segment_path(sums, s->meta.id, file);
	int rc = sum_open_detached(&b->file, &s->io, path, sums,
				   segment_blob_name(s->meta.id, name), err);
	if (rc != 0) {
		free(b);
		return rc;
	}
	b->next = s->blobs;
	s->blobs = *out = b;
	return 0;
}

int segment_blob_map(struct segment *s, const char *name, const uint8_t **bytes, size_t *n,
		     struct error *err)
{
	if (!name_ok(name))
		return error_set(err, ERR_INPUT, "'%s' cannot name an index file", name);
	pthread_mutex_lock(&s->lock);
	struct segment_blob_map *b = find_mapped(s, name);
	int rc = b != NULL ? 0 : map_blob(s, name, &b, err);
	if (rc == 0) {
		*bytes = b->file.map.bytes;
		*n = b->file.map.n;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}
