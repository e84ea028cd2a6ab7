/* The staging folder of a seed, and how it takes the place of the replica. See seed.h.
 *
 * Swap, all in the folder of the collection: COMPLETE is written into "p.seed"; "p" becomes "p.old"; "p.seed" becomes "p"; COMPLETE and "p.old" are
 * removed. Each step is durable before the next. So after a crash: COMPLETE in "p.seed" means go on with the renames; COMPLETE in "p" means go on with
 * the removals; none means that "p" is the replica and "p.seed" may be gone on with. */
#include "base/log.h"
#include "base/memory.h"
#include "shard/seed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SOURCE[] = "SOURCE", COMPLETE[] = "COMPLETE";
enum { SOURCE_VERSION = 1, PATH = 512 };

void staging_path(const char *folder, char *out, size_t size)
{
	snprintf(out, size, "%s.seed", folder);
}

void staging_remove(struct shard *s, const char *folder)
{
	static const char *const kinds[] = {"seed", "old"};

	for (int i = 0; i < 2; i++) {
		char path[PATH];

		snprintf(path, sizeof path, "%s.%s", folder, kinds[i]);
		s->options.io.remove_tree(s->options.io.ctx, path, NULL);
	}
}

/* ---- what is there already ---- */

static void encode_listing(struct buf *b, const struct seed_listing *l)
{
	buf_put_u8(b, SOURCE_VERSION);
	buf_put_u64(b, l->source);
	buf_put_u32(b, l->n_files);
	for (uint32_t i = 0; i < l->n_files; i++) {
		buf_put_u64(b, l->files[i].segment);
		buf_put_str(b, l->files[i].name);
		buf_put_u64(b, l->files[i].size);
		buf_put_u64(b, l->files[i].hash);
	}
}

/* False: there is none that can be gone on with. */
static bool load_listing(const struct store_io *io, struct arena *arena, struct seed_listing *out)
{
	struct buf bytes = BUF_INIT;
	struct reader r;
	struct seed_file *files = NULL;
	bool good = store_get_file(io, SOURCE, &bytes, NULL) == 0;

	r = reader_make(bytes.data, bytes.len);
	good = good && reader_u8(&r) == SOURCE_VERSION;
	out->source = reader_u64(&r);
	out->n_files = good ? reader_count(&r, 28) : 0;
	files = arena_zalloc(arena, (out->n_files + 1) * sizeof *files);
	for (uint32_t i = 0; i < out->n_files && reader_ok(&r); i++) {
		uint32_t n = 0;

		files[i].segment = reader_u64(&r);
		const uint8_t *name = reader_blob(&r, &n);
		files[i].name = arena_strndup(arena, (const char *)name, name ? n : 0);
		files[i].size = reader_u64(&r);
		files[i].hash = reader_u64(&r);
	}
	out->files = files;
	good = good && reader_done(&r);
	buf_fini(&bytes);
	return good;
}

static const struct seed_file *listed(const struct seed_listing *l, uint64_t segment,
				      const char *name, size_t n)
{
	for (uint32_t i = 0; i < l->n_files; i++)
		if (l->files[i].segment == segment && strlen(l->files[i].name) == n &&
		    memcmp(l->files[i].name, name, n) == 0)
			return &l->files[i];
	return NULL;
}

/* ---- removing what is not wanted ---- */

/* Into a buf, each with its NUL. */
static int collect(void *ctx, const char *name)
{
	buf_put(ctx, name, strlen(name) + 1);
	return 0;
}

struct tidy {
	const struct store_io *io;
	const struct seed_listing *old, *now;
};

static bool same(const struct seed_file *a, const struct seed_file *b)
{
	return a != NULL && b != NULL && a->size == b->size && a->hash == b->hash;
}

static int tidy_segment(const struct tidy *t, const char *folder, uint64_t id, struct error *err)
{
	struct buf names = BUF_INIT;
	int rc = t->io->list(t->io->ctx, folder, collect, &names, err);

	for (size_t at = 0; at < names.len && rc == 0;) {
		const char *name = (const char *)names.data + at;
		size_t n = strlen(name), part = strlen(".part");
		size_t whole = n > part && strcmp(name + n - part, ".part") == 0 ? n - part : n;
		char path[PATH];

		at += n + 1;
		if (same(listed(t->old, id, name, whole), listed(t->now, id, name, whole)))
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, name);
		rc = t->io->remove(t->io->ctx, path, err);
	}
	buf_fini(&names);
	return rc;
}

static bool has_segment(const struct seed_listing *l, uint64_t id)
{
	for (uint32_t i = 0; i < l->n_files; i++)
		if (l->files[i].segment == id)
			return true;
	return false;
}

static int tidy(const struct tidy *t, struct error *err)
{
	struct buf names = BUF_INIT;
	int rc = t->io->list(t->io->ctx, "", collect, &names, err);

	for (size_t at = 0; at < names.len && rc == 0;) {
		const char *name = (const char *)names.data + at;
		unsigned long long id;
		int used = 0;

		at += strlen(name) + 1;
		if (sscanf(name, "seg-%llu%n", &id, &used) != 1 || name[used] != '\0')
			continue;
		if (has_segment(t->now, id))
			rc = tidy_segment(t, name, id, err);
		else
			rc = t->io->remove_tree(t->io->ctx, name, err);
	}
	buf_fini(&names);
	return rc;
}

int staging_prepare(struct shard *s, const char *folder, const struct seed_listing *l,
		    struct error *err)
{
	struct arena *arena = arena_new(4096);
	struct store_io io = {0};
	struct seed_listing old = {0};
	struct tidy t = {&io, &old, l};
	struct buf bytes = BUF_INIT;
	char path[PATH];
	int rc;

	staging_path(folder, path, sizeof path);
	rc = s->options.io.mkdirs(s->options.io.ctx, path, err);
	if (rc == 0)
		rc = store_io_sub(&s->options.io, path, &io, err);
	if (rc)
		goto out;
	if (!load_listing(&io, arena, &old) || old.source != l->source)
		old = (struct seed_listing){0};
	rc = tidy(&t, err);
	encode_listing(&bytes, l);
	if (rc == 0)
		rc = store_put_file(&io, SOURCE, bytes.data, bytes.len, err);
out:
	buf_fini(&bytes);
	if (io.ctx != NULL)
		store_io_fini(&io);
	arena_free(arena);
	return rc;
}

/* ---- the swap ---- */

static bool exists(const struct store_io *io, const char *folder, const char *file)
{
	struct store_file *f;
	char path[2 * PATH];

	snprintf(path, sizeof path, "%s/%s", folder, file);
	if (io->open(io->ctx, path, false, &f, NULL))
		return false;
	io->close(f);
	return true;
}

static void parent_of(const char *folder, char *out, size_t size)
{
	snprintf(out, size, "%s", folder);
	*strrchr(out, '/') = '\0';
}

/* Both renames; done again after a crash. */
static int swap_folders(const struct store_io *io, const char *folder, struct error *err)
{
	char seed[PATH], old[PATH], parent[PATH];
	int rc;

	staging_path(folder, seed, sizeof seed);
	snprintf(old, sizeof old, "%s.old", folder);
	parent_of(folder, parent, sizeof parent);
	rc = io->rename(io->ctx, folder, old, err);
	if (rc && rc != ERR_NOT_FOUND) { /* one that was left there is in the way */
		rc = io->remove_tree(io->ctx, old, err);
		if (rc == 0)
			rc = io->rename(io->ctx, folder, old, err);
	}
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	io->sync_dir(io->ctx, parent);
	rc = io->rename(io->ctx, seed, folder, err);
	if (rc == 0)
		io->sync_dir(io->ctx, parent);
	return rc;
}

static int clear_away(const struct store_io *io, const char *folder, struct error *err)
{
	char path[PATH];
	int rc;

	snprintf(path, sizeof path, "%s.old", folder);
	rc = io->remove_tree(io->ctx, path, err);
	snprintf(path, sizeof path, "%s/%s", folder, SOURCE);
	io->remove(io->ctx, path, NULL);
	snprintf(path, sizeof path, "%s/%s", folder, COMPLETE);
	if (rc == 0)
		rc = io->remove(io->ctx, path, err);
	return rc;
}

int staging_settle(struct shard *s, const char *folder, struct error *err)
{
	const struct store_io *io = &s->options.io;
	char seed[PATH];
	int rc = 0;

	staging_path(folder, seed, sizeof seed);
	if (exists(io, seed, COMPLETE))
		rc = swap_folders(io, folder, err);
	if (rc == 0 && exists(io, folder, COMPLETE))
		rc = clear_away(io, folder, err);
	if (rc)
		return error_wrap(err, rc, "put the copied shard into %s", folder);
	return 0;
}

/* The highest epoch that the old replica has seen goes with it. */
static int store_epoch(struct shard *s, const char *folder, const struct store_io *staging,
		       uint64_t epoch, uint64_t commit_seq, struct error *err)
{
	struct store_io old_io = {0};
	struct epochs old = {0}, fresh;
	int rc = store_io_sub(&s->options.io, folder, &old_io, err);

	if (rc)
		return rc;
	rc = epochs_open(&old, &old_io, err);
	if (rc == ERR_CORRUPT) /* one of the reasons to be here; the map's epoch is as good */
		rc = 0;
	if (rc == 0 && old.epoch > epoch)
		epoch = old.epoch;
	epochs_close(&old);
	store_io_fini(&old_io);
	if (rc)
		return rc;
	staging->remove(staging->ctx, "REPLICA", NULL);
	rc = epochs_open(&fresh, staging, err);
	if (rc == 0)
		rc = epochs_put(&fresh, epoch, commit_seq, err);
	epochs_close(&fresh);
	return rc;
}

int staging_install(struct shard *s, const char *folder, const struct manifest *manifest,
		    uint64_t epoch, struct error *err)
{
	struct store_io io = {0};
	struct manifest m;
	char path[PATH];
	int rc;

	staging_path(folder, path, sizeof path);
	rc = store_io_sub(&s->options.io, path, &io, err);
	if (rc)
		return rc;
	manifest_copy(&m, manifest);
	rc = manifest_store(&io, &m, err);
	manifest_fini(&m);
	if (rc == 0)
		rc = store_epoch(s, folder, &io, epoch, manifest->applied_seq, err);
	if (rc == 0)
		rc = store_put_file(&io, COMPLETE, "", 0, err);
	store_io_fini(&io);
	return rc ? rc : staging_settle(s, folder, err);
}
