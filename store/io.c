/* What holds for every back-end of store_io: views of a sub-folder, and whole small files. */
#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "store/store.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void store_io_fini(struct store_io *io)
{
	if (io->fini != NULL)
		io->fini(io->ctx);
	*io = (struct store_io){0};
}

/* ---- view of a sub-folder ---- */

struct sub {
	struct store_io base; /* borrowed: base.fini is never called here */
	char *prefix;         /* "a/b/" */
};

enum { PATH_BYTES = 4096 };

static const char *join(const struct sub *s, const char *path, char out[PATH_BYTES])
{
	int n = snprintf(out, PATH_BYTES, "%s%s", s->prefix, path);
	assert(n > 0 && n < PATH_BYTES);
	if (path[0] == 0)
		out[n - 1] = 0; /* the folder itself, without its slash */
	return out;
}

static int sub_mkdirs(void *ctx, const char *path, struct error *err)
{
	struct sub *s = ctx;
	char full[PATH_BYTES];
	return s->base.mkdirs(s->base.ctx, join(s, path, full), err);
}

static int sub_open(void *ctx, const char *path, bool create, struct store_file **out,
		    struct error *err)
{
	struct sub *s = ctx;
	char full[PATH_BYTES];
	return s->base.open(s->base.ctx, join(s, path, full), create, out, err);
}

static void sub_sync_dir(void *ctx, const char *path)
{
	struct sub *s = ctx;
	char full[PATH_BYTES];
	s->base.sync_dir(s->base.ctx, join(s, path, full));
}

static int sub_rename(void *ctx, const char *from, const char *to, struct error *err)
{
	struct sub *s = ctx;
	char full_from[PATH_BYTES], full_to[PATH_BYTES];
	return s->base.rename(s->base.ctx, join(s, from, full_from), join(s, to, full_to), err);
}

static int sub_remove(void *ctx, const char *path, struct error *err)
{
	struct sub *s = ctx;
	char full[PATH_BYTES];
	return s->base.remove(s->base.ctx, join(s, path, full), err);
}

static int sub_remove_tree(void *ctx, const char *path, struct error *err)
{
	struct sub *s = ctx;
	char full[PATH_BYTES];
	return s->base.remove_tree(s->base.ctx, join(s, path, full), err);
}

static int sub_list(void *ctx, const char *path, int (*fn)(void *fn_ctx, const char *name),
		    void *fn_ctx, struct error *err)
{
	struct sub *s = ctx;
	char full[PATH_BYTES];
	return s->base.list(s->base.ctx, join(s, path, full), fn, fn_ctx, err);
}

static int sub_map(void *ctx, const char *path, struct store_map *out, struct error *err)
{
	struct sub *s = ctx;
	char full[PATH_BYTES];
	return s->base.map(s->base.ctx, join(s, path, full), out, err);
}

static int sub_free_bytes(void *ctx, uint64_t *out, struct error *err)
{
	struct sub *s = ctx;
	return s->base.free_bytes(s->base.ctx, out, err);
}

static void sub_fini(void *ctx)
{
	struct sub *s = ctx;
	free(s->prefix);
	free(s);
}

int store_io_sub(const struct store_io *io, const char *path, struct store_io *out,
		 struct error *err)
{
	size_t n = strlen(path);
	if (n == 0 || n > PATH_BYTES / 2)
		return error_set(err, ERR_INPUT, "a sub-folder needs a path of 1 to %d bytes",
				 PATH_BYTES / 2);
	int rc = io->mkdirs(io->ctx, path, err);
	if (rc != 0)
		return rc;
	struct sub *s = mem_zalloc(sizeof(*s));
	s->base = *io;
	s->prefix = mem_alloc(n + 2);
	memcpy(s->prefix, path, n);
	memcpy(s->prefix + n, "/", 2);
	*out = *io; /* the functions on open files are those of the back-end */
	out->ctx = s;
	out->mkdirs = sub_mkdirs;
	out->open = sub_open;
	out->sync_dir = sub_sync_dir;
	out->rename = sub_rename;
	out->remove = sub_remove;
	out->remove_tree = sub_remove_tree;
	out->list = sub_list;
	out->map = sub_map;
	out->free_bytes = sub_free_bytes;
	out->fini = sub_fini;
	return 0;
}

/* ---- whole small files: content, then a trailer ---- */

struct put_trailer {
	uint64_t n;    /* bytes of the content */
	uint64_t hash; /* of the content, seeded with n */
	uint64_t magic;
};
static const uint64_t PUT_MAGIC = 0x31454c4946565551; /* "QUVFILE1" */

/* "a/b" -> "a"; "b" -> "". */
static void folder_of(const char *path, char out[PATH_BYTES])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash != NULL ? (size_t)(slash - path) : 0;
	assert(n < PATH_BYTES);
	memcpy(out, path, n);
	out[n] = 0;
}

int store_put_file(const struct store_io *io, const char *path, const void *bytes, size_t n,
		   struct error *err)
{
	char temporary[PATH_BYTES], folder[PATH_BYTES];
	int length = snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	assert(length > 0 && length < PATH_BYTES);
	folder_of(path, folder);
	struct put_trailer trailer = {n, hash64_seed(bytes, n, n), PUT_MAGIC};
	struct buf all = BUF_INIT;
	buf_put(&all, bytes, n);
	buf_put(&all, &trailer, sizeof(trailer));

	struct store_file *f = NULL;
	int rc = io->open(io->ctx, temporary, true, &f, err);
	if (rc != 0)
		goto out;
	rc = io->truncate(f, 0, err);
	if (rc == 0)
		rc = io->write(f, 0, all.data, all.len, err);
	if (rc == 0)
		io->sync(f);
	io->close(f);
	if (rc == 0)
		rc = io->rename(io->ctx, temporary, path, err);
	if (rc == 0)
		io->sync_dir(io->ctx, folder);
	else
		io->remove(io->ctx, temporary, NULL);
out:
	buf_fini(&all);
	return rc != 0 ? error_wrap(err, rc, "write file %s", path) : 0;
}

static int read_all(const struct store_io *io, const char *path, struct buf *out, struct error *err)
{
	struct store_file *f = NULL;
	int rc = io->open(io->ctx, path, false, &f, err);
	if (rc != 0)
		return rc;
	uint64_t size = 0;
	size_t got = 0;
	rc = io->size(f, &size, err);
	if (rc == 0 && size > (uint64_t)INT_MAX)
		rc = error_set(err, ERR_CORRUPT, "%s has %llu bytes, far more than it should", path,
			       (unsigned long long)size);
	if (rc == 0)
		rc = io->read(f, 0, buf_extend(out, (size_t)size), (size_t)size, &got, err);
	if (rc == 0 && got != size)
		rc = error_set(err, ERR_IO, "%s became shorter while it was read", path);
	io->close(f);
	return rc;
}

int store_get_file(const struct store_io *io, const char *path, struct buf *out, struct error *err)
{
	size_t at = out->len;
	int rc = read_all(io, path, out, err);
	if (rc != 0)
		goto out;
	size_t n = out->len - at;
	struct put_trailer trailer;
	if (n < sizeof(trailer)) {
		rc = error_set(err, ERR_CORRUPT, "%s has %zu bytes, too few to be whole", path, n);
		goto out;
	}
	n -= sizeof(trailer);
	memcpy(&trailer, out->data + at + n, sizeof(trailer));
	if (trailer.magic != PUT_MAGIC || trailer.n != n ||
	    trailer.hash != hash64_seed(out->data + at, n, n))
		rc = error_set(err, ERR_CORRUPT, "%s does not match its checksum", path);
	out->len = at + n;
out:
	if (rc != 0)
		out->len = at;
	return rc;
}
