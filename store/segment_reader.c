/* Vectors read through the file system: what is seldom wanted stays in the system's cache at most, and not in this
 * process. (Of a mapping, every page that was once read counts as memory of the process, and the system maps
 * the pages around it, too.) */
#include "base/assert.h"
#include "base/memory.h"
#include "model/element.h"
#include "store/segment_internal.h"
#include <stdlib.h>

struct segment_reader {
	struct store_io io;
	struct store_file *file;
	uint64_t offset; /* of the first vector */
	size_t bytes;    /* of one */
	uint32_t n;
};

static int reader_new(const struct segment *s, uint32_t space, struct segment_reader **out,
		      struct error *err)
{
	const struct sum_file *f = &s->dense[space];
	const struct segment_vectors *v = &s->vectors[space];
	struct segment_reader *r = mem_zalloc(sizeof(*r));
	r->io = s->io;
	r->offset = f->trailer.sections[DENSE_DATA].offset;
	r->bytes = v->dim * datatype_bytes(v->type);
	r->n = v->n;
	int rc = r->io.open(r->io.ctx, f->path, false, &r->file, err);
	if (rc != 0) {
		free(r);
		return rc;
	}
	*out = r;
	return 0;
}

int segment_reader(struct segment *s, uint32_t space, struct segment_reader **out,
		   struct error *err)
{
	int rc = 0;
	assert(space < s->n_vectors);
	if (space >= s->meta.n_spaces)
		return error_set(err, ERR_NOT_FOUND, "the segment has no vectors of space %u",
				 space);
	pthread_mutex_lock(&s->lock);
	if (s->readers == NULL)
		s->readers = mem_array(s->meta.n_spaces, sizeof(*s->readers));
	if (s->readers[space] == NULL)
		rc = reader_new(s, space, &s->readers[space], err);
	*out = s->readers[space];
	pthread_mutex_unlock(&s->lock);
	return rc;
}

int segment_read_vector(void *reader, uint64_t ordinal, void *out)
{
	const struct segment_reader *r = reader;
	size_t got = 0;
	assert(ordinal < r->n);
	int rc = r->io.read(r->file, r->offset + ordinal * r->bytes, out, r->bytes, &got, NULL);
	return rc != 0 ? rc : got == r->bytes ? 0 : ERR_CORRUPT;
}

void segment_readers_close(struct segment *s)
{
	for (uint32_t i = 0; s->readers != NULL && i < s->meta.n_spaces; i++) {
		if (s->readers[i] == NULL)
			continue;
		s->readers[i]->io.close(s->readers[i]->file);
		free(s->readers[i]);
	}
	free(s->readers);
}
