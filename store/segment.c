/* Reading a sealed segment: opening, checking, and the accessors. See segment_internal.h for the files. */
#include "base/assert.h"
#include "base/memory.h"
#include "model/element.h"
#include "store/segment_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

static int open_part(struct segment *s, struct sum_file *f, const char *path, enum sum_kind kind,
		     uint64_t tag, struct error *err)
{
	int rc = sum_open(f, &s->io, path, (struct sum_name){kind, s->meta.id, tag}, err);
	if (rc == ERR_NOT_FOUND)
		rc = error_set(err, ERR_CORRUPT, "%s is missing", path);
	if (rc == 0)
		s->disk_bytes += f->map.n;
	return rc;
}

static int read_meta(struct segment *s, uint64_t id, struct error *err)
{
	char path[SUM_PATH_BYTES];
	segment_path(path, id, "SEGMENT");
	struct buf b = BUF_INIT;
	int rc = store_get_file(&s->io, path, &b, err);
	if (rc == 0) {
		struct reader r = reader_make(b.data, b.len);
		rc = segment_meta_decode(&r, &s->meta, err);
		s->disk_bytes += b.len;
	}
	if (rc == 0 && s->meta.id != id)
		rc = error_set(err, ERR_CORRUPT, "%s is that of segment %llu", path,
			       (unsigned long long)s->meta.id);
	buf_fini(&b);
	return rc;
}

static int open_ids(struct segment *s, struct error *err)
{
	uint64_t n = s->meta.n_rows, bytes = 0;
	sum_section(&s->rows, ROWS_IDS, &bytes);
	if (n != 0 && bytes == n * sizeof(*s->numbers))
		return sum_array(&s->rows, ROWS_IDS, n, sizeof(*s->numbers),
				 (const void **)&s->numbers, err);
	return sum_array(&s->rows, ROWS_IDS, n, sizeof(*s->ids), (const void **)&s->ids, err);
}

/* From version 3 on: what they are above, u64, and 4 bytes of each if that is enough. */
static int open_versions(struct segment *s, struct error *err)
{
	uint64_t n = s->meta.n_rows, bytes = 0;
	const uint8_t *at = sum_section(&s->rows, ROWS_VERSIONS, &bytes);
	if (s->meta.version < 3)
		return sum_array(&s->rows, ROWS_VERSIONS, n, 8, (const void **)&s->versions, err);
	if (at == NULL || s->rows.trailer.sections[ROWS_VERSIONS].offset % SUM_ALIGN != 0 ||
	    (bytes != 8 + 8 * n && bytes != 8 + 4 * n))
		return error_set(err, ERR_CORRUPT, "%s has no version for each row", s->rows.path);
	s->version_base = load_u64(at);
	if (bytes == 8 + 8 * n)
		s->versions = (const uint64_t *)(const void *)(at + 8);
	else
		s->above = (const uint32_t *)(const void *)(at + 8);
	return 0;
}

/* Ids and offsets are small and everything depends on them: checked now and trusted from here on. */
static int open_rows(struct segment *s, struct error *err)
{
	char path[SUM_PATH_BYTES];
	uint64_t n = s->meta.n_rows;
	segment_path(path, s->meta.id, "rows");
	int rc = open_part(s, &s->rows, path, SUM_ROWS, 0, err);
	if (rc == 0)
		rc = sum_verify(&s->rows, err);
	if (rc == 0)
		rc = open_ids(s, err);
	if (rc == 0)
		rc = open_versions(s, err);
	if (rc == 0)
		rc = sum_array(&s->rows, ROWS_ORDER, n, 4, (const void **)&s->order, err);
	if (rc == 0)
		rc = sum_array(&s->rows, ROWS_PAYLOAD_OFFSETS, n + 1, 8,
			       (const void **)&s->payload_offsets, err);
	for (uint64_t i = 0; i < n && rc == 0; i++)
		if (s->payload_offsets[i] > s->payload_offsets[i + 1] || s->order[i] >= n)
			rc = error_set(err, ERR_CORRUPT, "%s does not make sense", path);
	if (rc == 0 && s->payload_offsets[n] != s->meta.payload_bytes)
		rc = error_set(err, ERR_CORRUPT, "%s and SEGMENT do not belong together", path);
	return rc;
}

static int open_payload(struct segment *s, struct error *err)
{
	char path[SUM_PATH_BYTES];
	segment_path(path, s->meta.id, "payload");
	int rc = open_part(s, &s->payload, path, SUM_PAYLOAD, 0, err);
	if (rc == 0)
		rc = sum_array(&s->payload, 0, s->meta.payload_bytes, 1,
			       (const void **)&s->payload_bytes, err);
	return rc;
}

static int open_dense(struct segment *s, uint32_t i, struct error *err)
{
	char path[SUM_PATH_BYTES];
	struct sum_file *f = &s->dense[i];
	struct segment_vectors *v = &s->vectors[i];
	bool all = s->meta.n_dense[i] == s->meta.n_rows;
	segment_path_i(path, s->meta.id, "dense", i);
	v->n = s->meta.n_dense[i];
	v->dim = s->meta.dim[i];
	v->type = s->meta.type[i];
	int rc = open_part(s, f, path, SUM_DENSE, i, err);
	v->of_file = f->map.of_file;
	if (rc == 0)
		rc = sum_array(f, DENSE_DATA, v->n, v->dim * datatype_bytes(v->type), &v->data,
			       err);
	if (rc == 0)
		rc = sum_array(f, DENSE_ROW_OF, all ? 0 : v->n, 4, (const void **)&v->row_of, err);
	if (rc == 0)
		rc = sum_array(f, DENSE_ORD_OF, all ? 0 : s->meta.n_rows, 4,
			       (const void **)&v->ord_of, err);
	if (rc != 0 || all) {
		v->row_of = v->ord_of = NULL;
		return rc;
	}
	/* These are followed without another check in every search. */
	if (!sum_touch(f, v->row_of, v->n * 4ull) ||
	    !sum_touch(f, v->ord_of, s->meta.n_rows * 4ull))
		return error_set(err, ERR_CORRUPT, "the row tables of %s are damaged", path);
	for (uint32_t k = 0; k < v->n; k++)
		if (v->row_of[k] >= s->meta.n_rows)
			return error_set(err, ERR_CORRUPT, "%s names a row beyond the end", path);
	for (uint32_t k = 0; k < s->meta.n_rows; k++)
		if (v->ord_of[k] >= v->n && v->ord_of[k] != UINT32_MAX)
			return error_set(err, ERR_CORRUPT, "%s names a vector beyond the end",
					 path);
	return 0;
}

static int check_offsets(const struct sum_file *f, const uint64_t *offsets, uint64_t n,
			 uint64_t end, struct error *err)
{
	bool good = sum_touch(f, offsets, (n + 1) * 8) && offsets[0] == 0 && offsets[n] == end;
	for (uint64_t i = 0; i < n && good; i++)
		good = offsets[i] <= offsets[i + 1];
	return good ? 0 : error_set(err, ERR_CORRUPT, "the offsets in %s are damaged", f->path);
}

static int open_sparse(struct segment *s, uint32_t i, struct error *err)
{
	char path[SUM_PATH_BYTES];
	struct sum_file *f = &s->sparse[i];
	struct sparse_view *v = &s->sparse_views[i];
	uint64_t n = s->meta.n_values[i], lists = s->meta.n_postings[i];
	segment_path_i(path, s->meta.id, "sparse", i);
	const struct {
		uint64_t n;
		size_t each;
		const void **out;
	} arrays[] = {
		[SPARSE_OFFSETS] = {s->meta.n_rows + 1ull, 8, (const void **)&v->offsets},
		[SPARSE_INDICES] = {n, 4, (const void **)&v->indices},
		[SPARSE_VALUES] = {n, 4, (const void **)&v->values},
		[POSTING_INDICES] = {lists, 4, (const void **)&v->posting_indices},
		[POSTING_OFFSETS] = {lists + 1, 8, (const void **)&v->posting_offsets},
		[POSTING_ROWS] = {n, 4, (const void **)&v->posting_rows},
		[POSTING_WEIGHTS] = {n, 4, (const void **)&v->posting_weights},
	};
	int rc = open_part(s, f, path, SUM_SPARSE, i, err);
	for (uint32_t k = 0; k < sizeof(arrays) / sizeof(arrays[0]) && rc == 0; k++)
		rc = sum_array(f, k, arrays[k].n, arrays[k].each, arrays[k].out, err);
	if (rc == 0)
		rc = check_offsets(f, v->offsets, s->meta.n_rows, n, err);
	if (rc == 0)
		rc = check_offsets(f, v->posting_offsets, lists, n, err);
	if (rc == 0 && !sum_touch(f, v->posting_indices, lists * 4))
		rc = error_set(err, ERR_CORRUPT, "the index table of %s is damaged", path);
	return rc;
}

/* Spaces that the collection got after this segment was written: no row has them. */
static void add_missing_spaces(struct segment *s, const struct collection *schema)
{
	if (schema->n_spaces <= s->meta.n_spaces)
		return;
	s->none = mem_alloc(s->meta.n_rows * sizeof(*s->none));
	memset(s->none, 0xFF, s->meta.n_rows * sizeof(*s->none));
	for (uint32_t i = s->meta.n_spaces; i < schema->n_spaces; i++)
		s->vectors[i] = (struct segment_vectors){.dim = schema->spaces[i].dim,
							 .row_of = s->none,
							 .ord_of = s->none};
}

static int check_schema(const struct segment *s, const struct collection *schema, struct error *err)
{
	bool same = s->meta.collection_id == schema->id && s->meta.n_spaces <= schema->n_spaces &&
		    s->meta.n_sparse <= schema->n_sparse;
	for (uint32_t i = 0; i < s->meta.n_spaces && same; i++)
		same = s->meta.dim[i] == schema->spaces[i].dim;
	return same ? 0
		    : error_set(
			      err, ERR_CORRUPT,
			      "it was written for another collection (id %llu, this one is %llu) or for "
			      "other vector spaces",
			      (unsigned long long)s->meta.collection_id,
			      (unsigned long long)schema->id);
}

static int open_files(struct segment *s, const struct collection *schema, struct error *err)
{
	s->dense = mem_array(s->meta.n_spaces, sizeof(*s->dense));
	s->sparse = mem_array(s->meta.n_sparse, sizeof(*s->sparse));
	s->sparse_views = mem_array(s->meta.n_sparse, sizeof(*s->sparse_views));
	s->vectors = mem_array(schema->n_spaces, sizeof(*s->vectors));
	s->n_vectors = schema->n_spaces;
	s->pindexes = mem_array(schema->n_fields, sizeof(struct pindex *));
	int rc = open_rows(s, err);
	if (rc == 0)
		rc = open_payload(s, err);
	for (uint32_t i = 0; i < s->meta.n_spaces && rc == 0; i++)
		rc = open_dense(s, i, err);
	for (uint32_t i = 0; i < s->meta.n_sparse && rc == 0; i++)
		rc = open_sparse(s, i, err);
	for (uint32_t i = 0; i < schema->n_fields && rc == 0; i++) {
		struct pindex *p = NULL;
		rc = pindex_open(s, &schema->fields[i], &p, err);
		if (p == NULL)
			continue;
		s->disk_bytes += pindex_disk_bytes(p);
		s->pindexes[s->n_pindexes++] = p;
	}
	if (rc == 0)
		add_missing_spaces(s, schema);
	return rc;
}

int segment_open(const struct store_io *io, uint64_t id, const struct collection *schema,
		 struct segment **out, struct error *err)
{
	struct segment *s = mem_zalloc(sizeof(*s));
	s->io = *io;
	pthread_mutex_init(&s->lock, NULL);
	int rc = read_meta(s, id, err);
	if (rc == 0)
		rc = check_schema(s, schema, err);
	if (rc != 0)
		s->meta.n_spaces = s->meta.n_sparse = 0; /* nothing of it was opened */
	else
		rc = open_files(s, schema, err);
	if (rc != 0) {
		segment_close(s);
		return error_wrap(err, rc, "open segment %llu", (unsigned long long)id);
	}
	*out = s;
	return 0;
}

void segment_close(struct segment *s)
{
	if (s == NULL)
		return;
	for (uint32_t i = 0; i < s->n_pindexes; i++)
		pindex_close(s->pindexes[i]);
	for (uint32_t i = 0; i < s->meta.n_spaces; i++)
		sum_close(&s->dense[i]);
	for (uint32_t i = 0; i < s->meta.n_sparse; i++)
		sum_close(&s->sparse[i]);
	while (s->blobs != NULL) {
		struct segment_blob_map *b = s->blobs;
		s->blobs = b->next;
		sum_close(&b->file);
		free(b);
	}
	sum_close(&s->rows);
	sum_close(&s->payload);
	segment_readers_close(s);
	pthread_mutex_destroy(&s->lock);
	free(s->dense);
	free(s->sparse);
	free(s->sparse_views);
	free(s->vectors);
	free(s->none);
	free(s->pindexes);
	free(s);
}

void segment_release(const struct segment *s)
{
	sum_release(&s->rows);
	sum_release(&s->payload);
	for (uint32_t i = 0; i < s->meta.n_sparse; i++)
		sum_release(&s->sparse[i]);
}

/* ---- rows ---- */

uint64_t segment_id(const struct segment *s)
{
	return s->meta.id;
}

uint32_t segment_rows(const struct segment *s)
{
	return s->meta.n_rows;
}

uint64_t segment_disk_bytes(const struct segment *s)
{
	return s->disk_bytes;
}

struct point_id segment_point_id(const struct segment *s, uint32_t row)
{
	assert_hot(row < s->meta.n_rows);
	return s->ids != NULL ? s->ids[row] : id_from_u64(s->numbers[row]);
}

uint64_t segment_version(const struct segment *s, uint32_t row)
{
	assert_hot(row < s->meta.n_rows);
	return s->versions != NULL ? s->versions[row] : s->version_base + s->above[row];
}

uint32_t segment_find(const struct segment *s, const struct point_id *id)
{
	uint32_t lo = 0, hi = s->meta.n_rows;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		struct point_id at = segment_point_id(s, s->order[mid]);
		int order = id_compare(&at, id);
		if (order == 0)
			return s->order[mid];
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return UINT32_MAX;
}

struct pv_slice segment_payload(const struct segment *s, uint32_t row)
{
	assert(row < s->meta.n_rows);
	uint64_t from = s->payload_offsets[row], to = s->payload_offsets[row + 1];
	if (from == to)
		return PV_EMPTY_OBJECT;
	const uint8_t *at = s->payload_bytes + from;
	if (!sum_touch(&s->payload, at, to - from)) {
		segment_set_damaged(s);
		return PV_EMPTY_OBJECT;
	}
	return (struct pv_slice){at, (uint32_t)(to - from)};
}

struct segment_vectors segment_vectors(const struct segment *s, uint32_t space)
{
	assert(space < s->n_vectors);
	return s->vectors[space];
}

bool segment_damaged(const struct segment *s)
{
	return __atomic_load_n(&s->damaged, __ATOMIC_RELAXED);
}

void segment_set_damaged(const struct segment *s)
{
	/* The one thing about a segment that changes: a block was found damaged. */
	__atomic_store_n((bool *)&s->damaged, true, __ATOMIC_RELAXED);
}

/* ---- sparse vectors ---- */

bool segment_sparse(const struct segment *s, uint32_t space, uint32_t row, struct vector *out)
{
	assert(row < s->meta.n_rows);
	if (space >= s->meta.n_sparse)
		return false;
	const struct sparse_view *v = &s->sparse_views[space];
	uint64_t from = v->offsets[row], n = v->offsets[row + 1] - from;
	if (n == 0)
		return false;
	if (!sum_touch(&s->sparse[space], v->indices + from, n * 4) ||
	    !sum_touch(&s->sparse[space], v->values + from, n * 4)) {
		segment_set_damaged(s);
		return false;
	}
	*out = (struct vector){.kind = VECTOR_SPARSE,
			       .space = space,
			       .n = (uint32_t)n,
			       .values = v->values + from,
			       .indices = v->indices + from};
	return true;
}

bool segment_postings(const struct segment *s, uint32_t space, uint32_t index,
		      struct posting_list *out)
{
	if (space >= s->meta.n_sparse)
		return false;
	const struct sparse_view *v = &s->sparse_views[space];
	uint32_t lo = 0, hi = s->meta.n_postings[space];
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (v->posting_indices[mid] < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == s->meta.n_postings[space] || v->posting_indices[lo] != index)
		return false;
	uint64_t from = v->posting_offsets[lo], n = v->posting_offsets[lo + 1] - from;
	if (!sum_touch(&s->sparse[space], v->posting_rows + from, n * 4) ||
	    !sum_touch(&s->sparse[space], v->posting_weights + from, n * 4)) {
		segment_set_damaged(s);
		return false;
	}
	*out = (struct posting_list){v->posting_rows + from, v->posting_weights + from,
				     (uint32_t)n};
	return true;
}

uint32_t segment_sparse_count(const struct segment *s, uint32_t space)
{
	return space < s->meta.n_sparse ? s->meta.n_sparse_rows[space] : 0;
}

/* ---- payload indexes ---- */

const struct pindex *segment_pindex(const struct segment *s, const char *path)
{
	for (uint32_t i = 0; i < s->n_pindexes; i++)
		if (strcmp(pindex_path_text(s->pindexes[i]), path) == 0)
			return s->pindexes[i];
	return NULL;
}

static struct pv_slice payload_of(void *ctx, uint32_t row)
{
	return segment_payload(ctx, row);
}

int segment_pindex_build(const struct store_io *io, const struct segment *s,
			 const struct collection *schema, const struct payload_field *field,
			 struct error *err)
{
	int rc = sum_verify(&s->payload,
			    err); /* an index of damaged payloads would hide the damage */
	struct pindex_source source = {s->meta.n_rows, payload_of, (void *)s};
	if (rc == 0)
		rc = pindex_write(io, s->meta.id, &source, field, err);
	if (rc == 0) {
		char folder[SUM_PATH_BYTES];
		snprintf(folder, sizeof(folder), "seg-%llu", (unsigned long long)s->meta.id);
		io->sync_dir(io->ctx, folder);
	}
	return rc != 0 ? error_wrap(err, rc, "index field %s of segment %llu", field->path.text,
				    (unsigned long long)s->meta.id)
		       : 0;
}

/* ---- checking ---- */

struct blob_names {
	const struct segment *s;
	struct error *err;
};

/* Every "<name>.sum" of the folder is the checksums of an index file. */
static int verify_blob(void *ctx, const char *name)
{
	struct blob_names *b = ctx;
	size_t n = strlen(name);
	char path[SUM_PATH_BYTES], sums[SUM_PATH_BYTES], plain[128];
	if (n < 5 || n - 4 >= sizeof(plain) || strcmp(name + n - 4, ".sum") != 0)
		return 0;
	snprintf(plain, sizeof(plain), "%.*s", (int)(n - 4), name);
	segment_path(path, b->s->meta.id, plain);
	segment_path(sums, b->s->meta.id, name);
	struct sum_file f;
	int rc = sum_open_detached(&f, &b->s->io, path, sums,
				   segment_blob_name(b->s->meta.id, plain), b->err);
	if (rc == ERR_NOT_FOUND) /* a crash came between the two renames of a commit */
		return 0;
	if (rc == 0) {
		rc = sum_verify(&f, b->err);
		sum_close(&f);
	}
	return rc;
}

int segment_verify(const struct segment *s, struct error *err)
{
	char path[SUM_PATH_BYTES];
	struct buf b = BUF_INIT;
	segment_path(path, s->meta.id, "SEGMENT");
	int rc = store_get_file(&s->io, path, &b, err);
	buf_fini(&b);
	if (rc == 0)
		rc = sum_verify(&s->rows, err);
	if (rc == 0)
		rc = sum_verify(&s->payload, err);
	for (uint32_t i = 0; i < s->meta.n_spaces && rc == 0; i++)
		rc = sum_verify(&s->dense[i], err);
	for (uint32_t i = 0; i < s->meta.n_sparse && rc == 0; i++)
		rc = sum_verify(&s->sparse[i], err);
	for (uint32_t i = 0; i < s->n_pindexes && rc == 0; i++)
		rc = pindex_verify(s->pindexes[i], err);
	if (rc == 0) {
		struct blob_names names = {s, err};
		snprintf(path, sizeof(path), "seg-%llu", (unsigned long long)s->meta.id);
		rc = s->io.list(s->io.ctx, path, verify_blob, &names, err);
	}
	segment_release(s);
	return rc != 0 ? error_wrap(err, rc, "check segment %llu", (unsigned long long)s->meta.id)
		       : 0;
}
