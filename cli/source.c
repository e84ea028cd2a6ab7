#include "cli/source.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"

static void batch_clear(struct batch *b)
{
	b->n = 0;
	b->dim = 0;
	b->uuids = false;
	buf_clear(&b->ids);
	buf_clear(&b->rows);
	buf_clear(&b->texts);
	buf_clear(&b->payloads);
}

void batch_fini(struct batch *b)
{
	buf_fini(&b->ids);
	buf_fini(&b->rows);
	buf_fini(&b->texts);
	buf_fini(&b->payloads);
}

uint64_t batch_hash(const struct batch *b)
{
	uint64_t h = hash64(b->ids.data, b->ids.len);

	h = hash64_seed(b->rows.data, b->rows.len, h);
	h = hash64_seed(b->texts.data, b->texts.len, h);
	return hash64_seed(b->payloads.data, b->payloads.len, h);
}

void batch_put_u64_id(struct batch *b, uint64_t id)
{
	buf_put_u64(&b->ids, id);
}

void batch_put_uuid(struct batch *b, uint64_t hi, uint64_t lo)
{
	b->uuids = true;
	buf_put_u64(&b->ids, __builtin_bswap64(hi));
	buf_put_u64(&b->ids, __builtin_bswap64(lo));
}

bool source_name_ends(const char *path, const char *ending)
{
	size_t n = strlen(path), e = strlen(ending);

	return n >= e && strcasecmp(path + n - e, ending) == 0;
}

bool source_is_hdf5(const char *path)
{
	return source_name_ends(path, ".hdf5") || source_name_ends(path, ".h5");
}

int source_open(struct source **out, const char *path, const struct source_options *options,
		struct error *err)
{
	if (source_name_ends(path, ".fvecs") || source_name_ends(path, ".bvecs"))
		return source_open_vecs(out, path, options, err);
	if (source_name_ends(path, ".npy"))
		return source_open_npy(out, path, options, err);
	if (source_is_hdf5(path))
		return source_open_hdf5(out, path, options, err);
	if (source_name_ends(path, ".jsonl") || source_name_ends(path, ".ndjson") ||
	    source_name_ends(path, ".json"))
		return source_open_jsonl(out, path, options, err);
	return error_set(err, ERR_INPUT,
			 "%s: this kind of file is not known; .fvecs .bvecs .npy .hdf5 .jsonl are "
			 "read, and folders of text with --text",
			 path);
}

int source_next(struct source *s, struct batch *b, uint32_t max, struct error *err)
{
	batch_clear(b);
	int rc = s->ops->next(s, b, max, err);
	if (rc == 0)
		s->read += b->n;
	return rc;
}

void source_set_done(struct source *s, double part, double whole, uint32_t n, uint64_t limit)
{
	double by_limit = limit ? (double)(s->read + n) / (double)limit : 0;

	s->done = whole > 0 ? part / whole : 1;
	if (by_limit > s->done)
		s->done = by_limit;
}

char *source_names(const char *const *paths, size_t n)
{
	struct buf name = BUF_INIT;

	for (size_t i = 0; i < n; i++)
		buf_printf(&name, "%s%s", i ? " " : "", paths[i]);
	buf_put_u8(&name, 0);
	return (char *)name.data;
}

void source_close(struct source *s)
{
	if (s == NULL)
		return;
	char *name = s->name, *note = s->note;
	s->ops->close(s);
	free(name);
	free(note);
}

void matrix_free(struct matrix *m)
{
	free(m->floats);
	free(m->numbers);
	*m = (struct matrix){0};
}
