/* See sumfile.h. */
#include "store/sumfile.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t SUM_MAGIC = 0x314d555356495551; /* "QUIVSUM1" */
enum { SUM_VERSION = 1, PENDING_BYTES = 16 * SUM_BLOCK_BYTES };

static uint64_t block_count(uint64_t body_bytes)
{
	return (body_bytes + SUM_BLOCK_BYTES - 1) / SUM_BLOCK_BYTES;
}

/* ---- writing ---- */

int sum_create(struct sum_writer *w, const struct store_io *io, const char *path,
	       struct sum_name name, struct error *err)
{
	*w = (struct sum_writer){.io = io};
	int n = snprintf(w->path, sizeof(w->path), "%s", path);
	assert(n > 0 && (size_t)n < sizeof(w->path));
	w->trailer = (struct sum_trailer){
		.magic = SUM_MAGIC,
		.kind = name.kind,
		.version = SUM_VERSION,
		.segment_id = name.segment_id,
		.tag = name.tag,
		.block_bytes = SUM_BLOCK_BYTES,
	};
	int rc = io->open(io->ctx, path, true, &w->file, err);
	if (rc == 0)
		rc = io->truncate(w->file, 0, err);
	if (rc != 0)
		sum_abort(w);
	return rc;
}

/* Bytes of the body so far. */
static uint64_t body_offset(const struct sum_writer *w)
{
	return w->trailer.body_bytes + w->pending.len;
}

/* Writes the pending bytes: whole blocks, or at the end what is left. */
static int flush(struct sum_writer *w, struct error *err)
{
	for (size_t at = 0; at < w->pending.len; at += SUM_BLOCK_BYTES) {
		size_t n = w->pending.len - at;
		n = n > SUM_BLOCK_BYTES ? SUM_BLOCK_BYTES : n;
		buf_put_u64(&w->sums, hash64(w->pending.data + at, n));
	}
	int rc = w->io->write(w->file, w->trailer.body_bytes, w->pending.data, w->pending.len, err);
	w->trailer.body_bytes += w->pending.len;
	buf_clear(&w->pending);
	return rc;
}

int sum_write(struct sum_writer *w, const void *bytes, size_t n, struct error *err)
{
	const uint8_t *from = bytes;
	while (n != 0) {
		size_t part = PENDING_BYTES - w->pending.len;
		part = part > n ? n : part;
		buf_put(&w->pending, from, part);
		from += part;
		n -= part;
		if (w->pending.len < PENDING_BYTES)
			break;
		int rc = flush(w, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static void end_section(struct sum_writer *w)
{
	if (w->trailer.n_sections == 0)
		return;
	struct sum_section *s = &w->trailer.sections[w->trailer.n_sections - 1];
	s->n = body_offset(w) - s->offset;
}

/* So that sections, and the sums behind the last one, are aligned in the mapping. Never crosses a block
 * border, which is aligned, too. */
static void pad(struct sum_writer *w)
{
	size_t gap = (size_t)(-body_offset(w) % SUM_ALIGN);
	if (gap != 0)
		memset(buf_extend(&w->pending, gap), 0, gap);
}

void sum_begin(struct sum_writer *w)
{
	end_section(w);
	assert(w->trailer.n_sections < SUM_SECTIONS_MAX);
	pad(w);
	w->trailer.sections[w->trailer.n_sections++].offset = body_offset(w);
}

int sum_put(struct sum_writer *w, const void *bytes, size_t n, struct error *err)
{
	sum_begin(w);
	return sum_write(w, bytes, n, err);
}

static void seal_trailer(struct sum_writer *w)
{
	w->trailer.sums_hash = hash64(w->sums.data, w->sums.len);
	w->trailer.hash = hash64(&w->trailer, offsetof(struct sum_trailer, hash));
	buf_put(&w->sums, &w->trailer, sizeof(w->trailer));
}

static int write_sums(struct sum_writer *w, const char *sums_path, struct error *err)
{
	if (sums_path == NULL)
		return w->io->write(w->file, w->trailer.body_bytes, w->sums.data, w->sums.len, err);
	struct store_file *f = NULL;
	int rc = w->io->open(w->io->ctx, sums_path, true, &f, err);
	if (rc != 0)
		return rc;
	rc = w->io->truncate(f, 0, err);
	if (rc == 0)
		rc = w->io->write(f, 0, w->sums.data, w->sums.len, err);
	if (rc == 0)
		w->io->sync(f);
	w->io->close(f);
	return rc;
}

int sum_finish(struct sum_writer *w, const char *sums_path, struct error *err)
{
	end_section(w);
	if (sums_path == NULL)
		pad(w);
	int rc = flush(w, err);
	seal_trailer(w);
	if (rc == 0)
		rc = write_sums(w, sums_path, err);
	if (rc == 0)
		w->io->sync(w->file);
	sum_abort(w);
	return rc;
}

void sum_abort(struct sum_writer *w)
{
	if (w->file != NULL)
		w->io->close(w->file);
	w->file = NULL;
	buf_fini(&w->pending);
	buf_fini(&w->sums);
}

/* ---- reading ---- */

static int check_trailer(struct sum_file *f, const struct store_map *sums_in, bool detached,
			 struct sum_name name, struct error *err)
{
	struct sum_trailer *t = &f->trailer;
	const char *path = f->path;
	if (sums_in->n < sizeof(*t))
		return error_set(err, ERR_CORRUPT, "%s is too short to be whole", path);
	memcpy(t, sums_in->bytes + sums_in->n - sizeof(*t), sizeof(*t));
	if (t->magic != SUM_MAGIC || t->hash != hash64(t, offsetof(struct sum_trailer, hash)))
		return error_set(err, ERR_CORRUPT, "the end of %s is damaged or missing", path);
	if (t->version != SUM_VERSION || t->block_bytes != SUM_BLOCK_BYTES)
		return error_set(err, ERR_VERSION, "%s has format %u, this program reads format %d",
				 path, t->version, SUM_VERSION);
	if (t->kind != (uint32_t)name.kind || t->segment_id != name.segment_id ||
	    t->tag != name.tag || t->n_sections > SUM_SECTIONS_MAX)
		return error_set(err, ERR_CORRUPT, "%s is another file (of segment %llu)", path,
				 (unsigned long long)t->segment_id);
	uint64_t body = t->body_bytes, sums_bytes = block_count(body) * 8;
	uint64_t rest = sums_in->n - sizeof(*t);
	if (body > f->map.n || (detached && body != f->map.n) ||
	    rest != (detached ? 0 : body) + sums_bytes)
		return error_set(err, ERR_CORRUPT,
				 "%s has %zu bytes, which is not what was written", path, f->map.n);
	for (uint32_t i = 0; i < t->n_sections; i++)
		if (t->sections[i].offset > body || t->sections[i].n > body - t->sections[i].offset)
			return error_set(err, ERR_CORRUPT, "section %u of %s is out of bounds", i,
					 path);
	f->sums = (const uint64_t *)(const void *)(sums_in->bytes + rest - sums_bytes);
	if (t->sums_hash != hash64(f->sums, (size_t)sums_bytes))
		return error_set(err, ERR_CORRUPT, "the checksums of %s are damaged", path);
	f->checked = mem_array((size_t)(block_count(body) + 63) / 64, sizeof(*f->checked));
	return 0;
}

int sum_open(struct sum_file *f, const struct store_io *io, const char *path, struct sum_name name,
	     struct error *err)
{
	*f = (struct sum_file){.io = *io};
	snprintf(f->path, sizeof(f->path), "%s", path);
	int rc = io->map(io->ctx, path, &f->map, err);
	if (rc == 0)
		rc = check_trailer(f, &f->map, false, name, err);
	if (rc != 0)
		sum_close(f);
	return rc;
}

int sum_open_detached(struct sum_file *f, const struct store_io *io, const char *path,
		      const char *sums_path, struct sum_name name, struct error *err)
{
	*f = (struct sum_file){.io = *io};
	snprintf(f->path, sizeof(f->path), "%s", path);
	int rc = io->map(io->ctx, path, &f->map, err);
	if (rc == 0) {
		rc = io->map(io->ctx, sums_path, &f->sums_map, err);
		if (rc == ERR_NOT_FOUND)
			rc = error_set(err, ERR_CORRUPT, "%s, the checksums of %s, is missing",
				       sums_path, path);
	}
	if (rc == 0)
		rc = check_trailer(f, &f->sums_map, true, name, err);
	if (rc != 0)
		sum_close(f);
	return rc;
}

void sum_release(const struct sum_file *f)
{
	if (f->io.release != NULL)
		f->io.release(&f->map);
}

void sum_close(struct sum_file *f)
{
	if (f->map.bytes != NULL)
		f->io.unmap(&f->map);
	if (f->sums_map.bytes != NULL)
		f->io.unmap(&f->sums_map);
	free(f->checked);
	*f = (struct sum_file){0};
}

const void *sum_section(const struct sum_file *f, uint32_t i, uint64_t *n)
{
	*n = 0;
	if (i >= f->trailer.n_sections)
		return NULL;
	*n = f->trailer.sections[i].n;
	return f->map.bytes + f->trailer.sections[i].offset;
}

int sum_array(const struct sum_file *f, uint32_t i, uint64_t count, size_t each, const void **out,
	      struct error *err)
{
	uint64_t n = 0, want = 0;
	*out = sum_section(f, i, &n);
	if (*out == NULL || __builtin_mul_overflow(count, each, &want) || n != want)
		return error_set(err, ERR_CORRUPT,
				 "section %u of %s has %llu bytes, %llu items of %zu were expected",
				 i, f->path, (unsigned long long)n, (unsigned long long)count,
				 each);
	if (f->trailer.sections[i].offset % SUM_ALIGN != 0)
		return error_set(err, ERR_CORRUPT, "section %u of %s is not aligned", i, f->path);
	return 0;
}

static bool block_good(const struct sum_file *f, uint64_t block)
{
	uint64_t offset = block * SUM_BLOCK_BYTES;
	uint64_t n = f->trailer.body_bytes - offset;
	n = n > SUM_BLOCK_BYTES ? SUM_BLOCK_BYTES : n;
	return hash64(f->map.bytes + offset, (size_t)n) == f->sums[block];
}

bool sum_touch(const struct sum_file *f, const void *at, uint64_t n)
{
	if (n == 0)
		return true;
	uint64_t offset = (uint64_t)((const uint8_t *)at - f->map.bytes);
	assert_hot(offset + n <= f->trailer.body_bytes);
	for (uint64_t b = offset / SUM_BLOCK_BYTES; b <= (offset + n - 1) / SUM_BLOCK_BYTES; b++) {
		uint64_t bit = 1ull << (b % 64);
		if ((__atomic_load_n(&f->checked[b / 64], __ATOMIC_RELAXED) & bit) != 0)
			continue;
		if (!block_good(f, b))
			return false;
		__atomic_fetch_or(&f->checked[b / 64], bit, __ATOMIC_RELAXED);
	}
	return true;
}

int sum_verify(const struct sum_file *f, struct error *err)
{
	for (uint64_t b = 0; b < block_count(f->trailer.body_bytes); b++)
		if (!block_good(f, b))
			return error_set(err, ERR_CORRUPT,
					 "%s is damaged between byte %llu and byte %llu", f->path,
					 (unsigned long long)b * SUM_BLOCK_BYTES,
					 (unsigned long long)(b + 1) * SUM_BLOCK_BYTES);
	uint64_t sums_bytes = block_count(f->trailer.body_bytes) * 8;
	if (f->trailer.sums_hash != hash64(f->sums, (size_t)sums_bytes))
		return error_set(err, ERR_CORRUPT, "the checksums of %s are damaged", f->path);
	struct sum_trailer now;
	const struct store_map *m = f->sums_map.bytes != NULL ? &f->sums_map : &f->map;
	memcpy(&now, m->bytes + m->n - sizeof(now), sizeof(now));
	if (memcmp(&now, &f->trailer, sizeof(now)) != 0)
		return error_set(err, ERR_CORRUPT, "the end of %s is damaged", f->path);
	return 0;
}
