/* Names and the SEGMENT file of a segment's folder. */
#include "base/assert.h"
#include "base/hash.h"
#include "store/segment_internal.h"
#include <stdio.h>
#include <string.h>

void segment_path(char out[SUM_PATH_BYTES], uint64_t id, const char *name)
{
	int n = snprintf(out, SUM_PATH_BYTES, "seg-%llu/%s", (unsigned long long)id, name);
	assert(n > 0 && n < SUM_PATH_BYTES);
}

void segment_path_i(char out[SUM_PATH_BYTES], uint64_t id, const char *stem, uint32_t i)
{
	char name[64];
	snprintf(name, sizeof(name), "%s-%u", stem, i);
	segment_path(out, id, name);
}

void segment_path_pindex(char out[SUM_PATH_BYTES], uint64_t id, const char *field)
{
	char name[64];
	snprintf(name, sizeof(name), "pindex-%016llx",
		 (unsigned long long)hash64(field, strlen(field)));
	segment_path(out, id, name);
}

void segment_meta_encode(struct buf *b, const struct segment_meta *m)
{
	buf_put_u32(b, SEGMENT_VERSION);
	buf_put_u64(b, m->id);
	buf_put_u64(b, m->collection_id);
	buf_put_u32(b, m->n_rows);
	buf_put_u64(b, m->payload_bytes);
	buf_put_u32(b, m->n_spaces);
	for (uint32_t i = 0; i < m->n_spaces; i++) {
		buf_put_u32(b, m->dim[i]);
		buf_put_u32(b, m->n_dense[i]);
		buf_put_str(b, datatype_name(m->type[i]));
	}
	buf_put_u32(b, m->n_sparse);
	for (uint32_t i = 0; i < m->n_sparse; i++) {
		buf_put_u32(b, m->n_sparse_rows[i]);
		buf_put_u64(b, m->n_values[i]);
		buf_put_u32(b, m->n_postings[i]);
	}
}

static bool take_type(struct reader *r, enum datatype *out)
{
	uint32_t n = 0;
	const char *name = (const char *)reader_blob(r, &n);
	return name != NULL && datatype_parse(name, n, out) == 0;
}

int segment_meta_decode(struct reader *r, struct segment_meta *m, struct error *err)
{
	*m = (struct segment_meta){0};
	uint32_t version = reader_u32(r);
	if (version < SEGMENT_VERSION_OLDEST || version > SEGMENT_VERSION)
		return error_set(err, ERR_VERSION,
				 "the segment has format %u, this program reads format %d", version,
				 SEGMENT_VERSION);
	m->version = version;
	m->id = reader_u64(r);
	m->collection_id = reader_u64(r);
	m->n_rows = reader_u32(r);
	m->payload_bytes = reader_u64(r);
	m->n_spaces = reader_u32(r);
	bool fits = m->n_spaces <= LIMIT_VECTOR_SPACES;
	for (uint32_t i = 0; fits && i < m->n_spaces; i++) {
		m->dim[i] = reader_u32(r);
		m->n_dense[i] = reader_u32(r);
		fits = m->n_dense[i] <= m->n_rows && m->dim[i] <= LIMIT_DIMENSION &&
		       (version == 1 || take_type(r, &m->type[i]));
	}
	m->n_sparse = fits ? reader_u32(r) : 0;
	fits = fits && m->n_sparse <= LIMIT_VECTOR_SPACES;
	for (uint32_t i = 0; fits && i < m->n_sparse; i++) {
		m->n_sparse_rows[i] = reader_u32(r);
		m->n_values[i] = reader_u64(r);
		m->n_postings[i] = reader_u32(r);
		fits = m->n_sparse_rows[i] <= m->n_rows && m->n_postings[i] <= m->n_values[i];
	}
	if (!fits || !reader_done(r) || m->n_rows > SEGMENT_ROWS_MAX)
		return error_set(err, ERR_CORRUPT, "the SEGMENT file does not make sense");
	return 0;
}
