/* The manifest: which segments a replica consists of, and up to which log record they go. A new one
 * is a new file; CURRENT is switched by a rename, so a crash leaves the old state or the new one. */
#include "base/assert.h"
#include "base/memory.h"
#include "store/rowset.h"
#include "store/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char CURRENT[] = "CURRENT";
enum { MANIFEST_VERSION = 1, NAME_BYTES = 64, MANIFEST_SEGMENT_BYTES = 13 };

enum segment_flags { SEGMENT_QUARANTINED = 1, SEGMENT_HAS_DELETED = 2 };

void manifest_init(struct manifest *m)
{
	*m = (struct manifest){.next_segment_id = 1};
}

void manifest_fini(struct manifest *m)
{
	for (uint32_t i = 0; i < m->n_segments; i++)
		bitset_fini(&m->segments[i].deleted);
	free(m->segments);
	buf_fini(&m->extra);
	manifest_init(m);
}

int manifest_copy(struct manifest *dst, const struct manifest *src)
{
	*dst = *src;
	dst->segments = mem_array(src->n_segments, sizeof(*dst->segments));
	for (uint32_t i = 0; i < src->n_segments; i++) {
		dst->segments[i] = src->segments[i];
		if (src->segments[i].deleted.words == NULL)
			continue;
		bitset_init(&dst->segments[i].deleted, src->segments[i].deleted.n_bits, false);
		bitset_copy(&dst->segments[i].deleted, &src->segments[i].deleted);
	}
	dst->extra = BUF_INIT;
	buf_put(&dst->extra, src->extra.data, src->extra.len);
	return 0;
}

static void manifest_name(uint64_t number, char out[NAME_BYTES])
{
	snprintf(out, NAME_BYTES, "MANIFEST-%llu", (unsigned long long)number);
}

/* ---- bytes ---- */

static void encode(struct buf *b, const struct manifest *m, uint64_t number)
{
	buf_put_u32(b, MANIFEST_VERSION);
	buf_put_u64(b, number);
	buf_put_u64(b, m->collection_id);
	buf_put_u32(b, m->partition);
	buf_put_u64(b, m->applied_seq);
	buf_put_u64(b, m->applied_epoch);
	buf_put_u64(b, m->next_segment_id);
	buf_put_blob(b, m->extra.data, (uint32_t)m->extra.len);
	buf_put_u32(b, m->n_segments);
	for (uint32_t i = 0; i < m->n_segments; i++) {
		const struct manifest_segment *s = &m->segments[i];
		bool has_deleted = s->deleted.words != NULL && bitset_count(&s->deleted) != 0;
		assert(s->deleted.words == NULL || s->deleted.n_bits == s->n_rows);
		buf_put_u64(b, s->id);
		buf_put_u32(b, s->n_rows);
		buf_put_u8(b, (uint8_t)((s->quarantined ? SEGMENT_QUARANTINED : 0) |
					(has_deleted ? SEGMENT_HAS_DELETED : 0)));
		if (has_deleted)
			rowset_encode(b, &s->deleted);
	}
}

static int decode_segments(struct reader *r, struct manifest *out, struct error *err)
{
	uint32_t n = reader_count(r, MANIFEST_SEGMENT_BYTES);
	uint64_t total = 0;
	out->segments = mem_array(n, sizeof(*out->segments));
	for (uint32_t i = 0; i < n && reader_ok(r); i++) {
		struct manifest_segment *s = &out->segments[i];
		out->n_segments = i + 1;
		s->id = reader_u64(r);
		s->n_rows = reader_u32(r);
		uint8_t flags = reader_u8(r);
		s->quarantined = (flags & SEGMENT_QUARANTINED) != 0;
		total += s->n_rows;
		if (s->n_rows > SEGMENT_ROWS_MAX || total > PARTITION_ROWS_MAX)
			return error_set(err, ERR_CORRUPT, "%u rows of segment %llu make no sense",
					 s->n_rows, (unsigned long long)s->id);
		if ((flags & SEGMENT_HAS_DELETED) == 0 || !reader_ok(r))
			continue;
		int rc = rowset_decode(r, s->n_rows, &s->deleted, err);
		if (rc != 0)
			return error_wrap(err, rc, "deleted rows of segment %llu",
					  (unsigned long long)s->id);
	}
	return 0;
}

/* What was decoded before an error stays in `out`. */
static int decode(const void *bytes, size_t n, struct manifest *out, struct error *err)
{
	struct reader r = reader_make(bytes, n);
	uint32_t version = reader_u32(&r);
	if (version != MANIFEST_VERSION)
		return error_set(err, ERR_VERSION, "it has format %u, this program reads format %d",
				 version, MANIFEST_VERSION);
	out->number = reader_u64(&r);
	out->collection_id = reader_u64(&r);
	out->partition = reader_u32(&r);
	out->applied_seq = reader_u64(&r);
	out->applied_epoch = reader_u64(&r);
	out->next_segment_id = reader_u64(&r);
	uint32_t n_extra = 0;
	const uint8_t *extra = reader_blob(&r, &n_extra);
	buf_put(&out->extra, extra, extra != NULL ? n_extra : 0);
	int rc = decode_segments(&r, out, err);
	if (rc != 0)
		return rc;
	if (!reader_done(&r))
		return error_set(err, ERR_CORRUPT, "it does not end where it should");
	return 0;
}

void manifest_encode(struct buf *b, const struct manifest *m)
{
	encode(b, m, m->number);
}

int manifest_decode(const void *bytes, size_t n, struct manifest *out, struct error *err)
{
	manifest_init(out);
	int rc = decode(bytes, n, out, err);
	if (rc == 0)
		return 0;
	manifest_fini(out);
	return error_wrap(err, rc, "a manifest");
}

/* ---- files ---- */

static int read_current(const struct store_io *io, uint64_t *number, struct error *err)
{
	struct buf text = BUF_INIT;
	int rc = store_get_file(io, CURRENT, &text, err);
	if (rc != 0)
		goto out;
	buf_put_u8(&text, 0);
	unsigned long long n;
	char end = 0;
	if (sscanf((const char *)text.data, "MANIFEST-%llu%c", &n, &end) != 2 || end != '\n')
		rc = error_set(err, ERR_CORRUPT, "CURRENT does not name a manifest");
	else
		*number = n;
out:
	buf_fini(&text);
	return rc;
}

struct numbers {
	uint64_t *all;
	size_t n;
};

static int collect_number(void *ctx, const char *name)
{
	struct numbers *found = ctx;
	unsigned long long n;
	int used = 0;
	if (sscanf(name, "MANIFEST-%llu%n", &n, &used) != 1 || name[used] != 0)
		return 0;
	found->all = mem_resize(found->all, (found->n + 1) * sizeof(*found->all));
	found->all[found->n++] = n;
	return 0;
}

/* Without CURRENT a folder is fresh, unless a manifest is there: then CURRENT was lost. The first manifest is
 * the exception, a crash may have come between it and its CURRENT. */
static int check_fresh(const struct store_io *io, struct error *err)
{
	struct numbers found = {0};
	int rc = io->list(io->ctx, "", collect_number, &found, err);
	for (size_t i = 0; i < found.n && rc == 0; i++)
		if (found.all[i] > 1)
			rc = error_set(
				err, ERR_CORRUPT,
				"there is a MANIFEST-%llu but no CURRENT; restore this replica from "
				"another one or from a backup",
				(unsigned long long)found.all[i]);
	free(found.all);
	return rc != 0 ? rc : error_set(err, ERR_NOT_FOUND, "no manifest yet");
}

int manifest_load(const struct store_io *io, struct manifest *out, struct error *err)
{
	uint64_t number = 0;
	manifest_init(out);
	int rc = read_current(io, &number, err);
	if (rc == ERR_NOT_FOUND)
		return check_fresh(io, err);
	if (rc != 0)
		return error_wrap(err, rc, "find the manifest in force");
	char name[NAME_BYTES];
	manifest_name(number, name);
	struct buf bytes = BUF_INIT;
	rc = store_get_file(io, name, &bytes, err);
	if (rc == ERR_NOT_FOUND) /* CURRENT names it, so this is no fresh folder */
		rc = error_set(err, ERR_CORRUPT, "it is missing");
	if (rc == 0)
		rc = decode(bytes.data, bytes.len, out, err);
	if (rc == 0 && out->number != number)
		rc = error_set(err, ERR_CORRUPT, "it is manifest %llu under another name",
			       (unsigned long long)out->number);
	buf_fini(&bytes);
	if (rc != 0) {
		manifest_fini(out);
		return error_wrap(err, rc, "manifest %s, which CURRENT names", name);
	}
	return 0;
}

static void remove_others(const struct store_io *io, uint64_t keep)
{
	struct numbers found = {0};
	io->list(io->ctx, "", collect_number, &found, NULL);
	for (size_t i = 0; i < found.n; i++) {
		char name[NAME_BYTES];
		manifest_name(found.all[i], name);
		if (found.all[i] != keep)
			io->remove(io->ctx, name, NULL);
	}
	free(found.all);
}

/* Nothing is stored that could not be read again. */
static int check_rows(const struct manifest *m, struct error *err)
{
	uint64_t total = 0;
	for (uint32_t i = 0; i < m->n_segments; i++)
		total += m->segments[i].n_rows;
	return total <= PARTITION_ROWS_MAX
		       ? 0
		       : error_set(err, ERR_TOO_LARGE,
				   "a partition holds %u rows at most; a collection with more "
				   "partitions can hold more",
				   PARTITION_ROWS_MAX);
}

int manifest_store(const struct store_io *io, struct manifest *m, struct error *err)
{
	int rc = check_rows(m, err);
	if (rc != 0)
		return rc;
	uint64_t number = m->number + 1;
	char name[NAME_BYTES], text[NAME_BYTES + 1];
	manifest_name(number, name);
	struct buf bytes = BUF_INIT;
	encode(&bytes, m, number);
	rc = store_put_file(io, name, bytes.data, bytes.len, err);
	buf_fini(&bytes);
	if (rc != 0)
		return error_wrap(err, rc, "write manifest %llu", (unsigned long long)number);
	int n = snprintf(text, sizeof(text), "%s\n", name);
	rc = store_put_file(io, CURRENT, text, (size_t)n, err);
	if (rc != 0) {
		io->remove(io->ctx, name, NULL);
		return error_wrap(err, rc, "switch to manifest %llu", (unsigned long long)number);
	}
	m->number = number;
	remove_others(io, number);
	return 0;
}

struct sweep {
	const struct manifest *m;
	struct numbers stray;
};

static int collect_stray(void *ctx, const char *name)
{
	struct sweep *sweep = ctx;
	unsigned long long id;
	int used = 0;
	if (sscanf(name, "seg-%llu%n", &id, &used) != 1 || name[used] != 0)
		return 0;
	for (uint32_t i = 0; i < sweep->m->n_segments; i++)
		if (sweep->m->segments[i].id == id)
			return 0;
	struct numbers *stray = &sweep->stray;
	stray->all = mem_resize(stray->all, (stray->n + 1) * sizeof(*stray->all));
	stray->all[stray->n++] = id;
	return 0;
}

int manifest_sweep(const struct store_io *io, const struct manifest *m, struct error *err)
{
	struct sweep sweep = {m, {0}};
	int rc = io->list(io->ctx, "", collect_stray, &sweep, err);
	for (size_t i = 0; i < sweep.stray.n && rc == 0; i++) {
		char name[NAME_BYTES];
		snprintf(name, sizeof(name), "seg-%llu", (unsigned long long)sweep.stray.all[i]);
		rc = io->remove_tree(io->ctx, name, err);
	}
	free(sweep.stray.all);
	return rc != 0 ? error_wrap(err, rc, "remove left-over segments") : 0;
}
