/* Writing a sealed segment. Vectors and payloads go to their files as they come; ids, versions and sparse
 * vectors are held in memory, since they are needed sorted. The SEGMENT file is written last, when
 * everything else is durable; a folder without it is no segment. */
#include "base/assert.h"
#include "base/memory.h"
#include "model/element.h"
#include "store/segment_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dense_part {
	struct sum_writer file;
	struct buf row_of; /* u32 */
	struct buf ord_of; /* u32, one per row */
};

struct sparse_part {
	struct buf offsets; /* u64, begins with 0 */
	struct buf indices;
	struct buf values;
};

struct segment_writer {
	struct store_io io;
	const struct collection *schema;
	struct segment_meta meta;
	struct buf ids, versions, payload_offsets;
	struct sum_writer payload;
	struct dense_part *dense;
	struct sparse_part *sparse;
	struct buf elements; /* of one vector */
	bool finished;
	int rc; /* the first error; everything after it is refused */
};

static struct sum_name part_name(const struct segment_writer *w, enum sum_kind kind, uint64_t tag)
{
	return (struct sum_name){kind, w->meta.id, tag};
}

static int create_part(struct segment_writer *w, struct sum_writer *file, const char *path,
		       struct sum_name name, struct error *err)
{
	int rc = sum_create(file, &w->io, path, name, err);
	if (rc == 0)
		sum_begin(file);
	return rc;
}

static int create_files(struct segment_writer *w, struct error *err)
{
	char path[SUM_PATH_BYTES];
	snprintf(path, sizeof(path), "seg-%llu", (unsigned long long)w->meta.id);
	/* What a crash left under this id was never named by a manifest. */
	int rc = w->io.remove_tree(w->io.ctx, path, err);
	if (rc == 0)
		rc = w->io.mkdirs(w->io.ctx, path, err);
	if (rc == 0) {
		segment_path(path, w->meta.id, "payload");
		rc = create_part(w, &w->payload, path, part_name(w, SUM_PAYLOAD, 0), err);
	}
	for (uint32_t i = 0; i < w->meta.n_spaces && rc == 0; i++) {
		segment_path_i(path, w->meta.id, "dense", i);
		rc = create_part(w, &w->dense[i].file, path, part_name(w, SUM_DENSE, i), err);
	}
	return rc;
}

int segment_writer_new(const struct store_io *io, uint64_t id, const struct collection *schema,
		       struct segment_writer **out, struct error *err)
{
	assert(schema->n_spaces <= LIMIT_VECTOR_SPACES && schema->n_sparse <= LIMIT_VECTOR_SPACES);
	struct segment_writer *w = mem_zalloc(sizeof(*w));
	w->io = *io;
	w->schema = collection_ref(schema);
	w->meta.id = id;
	w->meta.collection_id = schema->id;
	w->meta.n_spaces = schema->n_spaces;
	w->meta.n_sparse = schema->n_sparse;
	w->dense = mem_array(schema->n_spaces, sizeof(*w->dense));
	w->sparse = mem_array(schema->n_sparse, sizeof(*w->sparse));
	for (uint32_t i = 0; i < schema->n_spaces; i++) {
		w->meta.dim[i] = schema->spaces[i].dim;
		w->meta.type[i] = schema->spaces[i].datatype;
	}
	for (uint32_t i = 0; i < schema->n_sparse; i++)
		buf_put_u64(&w->sparse[i].offsets, 0);
	buf_put_u64(&w->payload_offsets, 0);
	int rc = create_files(w, err);
	if (rc != 0) {
		segment_writer_free(w);
		return error_wrap(err, rc, "begin segment %llu", (unsigned long long)id);
	}
	*out = w;
	return 0;
}

/* ---- rows ---- */

static int add_dense(struct segment_writer *w, const struct segment_row *row, struct error *err)
{
	for (uint32_t i = 0; i < w->meta.n_spaces; i++) {
		struct dense_part *part = &w->dense[i];
		const float *x = row->dense != NULL ? row->dense[i] : NULL;
		buf_put_u32(&part->ord_of, x != NULL ? w->meta.n_dense[i] : UINT32_MAX);
		if (x == NULL)
			continue;
		buf_put_u32(&part->row_of, w->meta.n_rows);
		w->meta.n_dense[i]++;
		size_t bytes = w->meta.dim[i] * datatype_bytes(w->meta.type[i]);
		const void *elements = x;
		if (w->meta.type[i] != DATATYPE_FLOAT32) {
			buf_clear(&w->elements);
			elements = buf_extend(&w->elements, bytes);
			element_encode(w->meta.type[i], x, w->meta.dim[i], w->elements.data);
		}
		int rc = sum_write(&part->file, elements, bytes, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static void add_sparse(struct segment_writer *w, const struct segment_row *row)
{
	for (uint32_t i = 0; i < w->meta.n_sparse; i++) {
		struct sparse_part *part = &w->sparse[i];
		const struct vector *v = row->sparse != NULL ? &row->sparse[i] : NULL;
		if (v != NULL && v->n != 0) {
			buf_put(&part->indices, v->indices, v->n * sizeof(uint32_t));
			buf_put(&part->values, v->values, v->n * sizeof(float));
			w->meta.n_sparse_rows[i]++;
		}
		buf_put_u64(&part->offsets, part->indices.len / sizeof(uint32_t));
	}
}

int segment_writer_add(struct segment_writer *w, const struct segment_row *row, struct error *err)
{
	assert(!w->finished);
	if (w->rc != 0)
		return error_set(err, w->rc, "segment %llu already failed",
				 (unsigned long long)w->meta.id);
	if (w->meta.n_rows == SEGMENT_ROWS_MAX)
		return error_set(err, ERR_TOO_LARGE, "a segment holds %d rows at most",
				 SEGMENT_ROWS_MAX);
	int rc = add_dense(w, row, err);
	if (rc == 0)
		rc = sum_write(&w->payload, row->payload.bytes, row->payload.n, err);
	if (rc != 0) {
		w->rc = rc;
		return error_wrap(err, rc, "write segment %llu", (unsigned long long)w->meta.id);
	}
	add_sparse(w, row);
	w->meta.payload_bytes += row->payload.n;
	buf_put(&w->ids, &row->id, sizeof(row->id));
	buf_put_u64(&w->versions, row->version);
	buf_put_u64(&w->payload_offsets, w->meta.payload_bytes);
	w->meta.n_rows++;
	return 0;
}

/* ---- finishing ---- */

static int by_id(const void *a, const void *b, void *ctx)
{
	const struct point_id *ids = ctx;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = id_compare(&ids[x], &ids[y]);
	return order != 0 ? order : x < y ? -1 : x > y;
}

/* Integers alone take a third of the room. */
static int put_ids(const struct segment_writer *w, struct sum_writer *f, struct error *err)
{
	const struct point_id *ids = (const struct point_id *)(const void *)w->ids.data;
	struct buf numbers = BUF_INIT;
	uint32_t i = 0;
	for (; i < w->meta.n_rows && ids[i].kind == ID_INT; i++)
		buf_put_u64(&numbers, ids[i].lo);
	bool all = i == w->meta.n_rows;
	int rc = all ? sum_put(f, numbers.data, numbers.len, err)
		     : sum_put(f, w->ids.data, w->ids.len, err);
	buf_fini(&numbers);
	return rc;
}

/* Those of one segment are near each other: records of the log count up by one. */
static int put_versions(const struct segment_writer *w, struct sum_writer *f, struct error *err)
{
	const uint64_t *v = (const uint64_t *)(const void *)w->versions.data;
	uint64_t least = UINT64_MAX, most = 0;
	struct buf b = BUF_INIT;
	for (uint32_t i = 0; i < w->meta.n_rows; i++) {
		least = v[i] < least ? v[i] : least;
		most = v[i] > most ? v[i] : most;
	}
	bool near = w->meta.n_rows == 0 || most - least <= UINT32_MAX;
	buf_put_u64(&b, near ? least : 0);
	for (uint32_t i = 0; i < w->meta.n_rows; i++) {
		if (near)
			buf_put_u32(&b, (uint32_t)(v[i] - least));
		else
			buf_put_u64(&b, v[i]);
	}
	int rc = sum_put(f, b.data, b.len, err);
	buf_fini(&b);
	return rc;
}

static int finish_rows(struct segment_writer *w, struct error *err)
{
	char path[SUM_PATH_BYTES];
	segment_path(path, w->meta.id, "rows");
	struct buf order = BUF_INIT;
	for (uint32_t i = 0; i < w->meta.n_rows; i++)
		buf_put_u32(&order, i);
	if (w->meta.n_rows > 1)
		qsort_r(order.data, w->meta.n_rows, sizeof(uint32_t), by_id, w->ids.data);
	struct sum_writer f;
	int rc = sum_create(&f, &w->io, path, part_name(w, SUM_ROWS, 0), err);
	if (rc != 0)
		goto out;
	rc = put_ids(w, &f, err);
	if (rc == 0)
		rc = put_versions(w, &f, err);
	if (rc == 0)
		rc = sum_put(&f, order.data, order.len, err);
	if (rc == 0)
		rc = sum_put(&f, w->payload_offsets.data, w->payload_offsets.len, err);
	if (rc == 0)
		rc = sum_finish(&f, NULL, err);
	sum_abort(&f);
out:
	buf_fini(&order);
	return rc;
}

static int finish_dense(struct segment_writer *w, uint32_t i, struct error *err)
{
	struct dense_part *part = &w->dense[i];
	bool all = w->meta.n_dense[i] == w->meta.n_rows;
	int rc = sum_put(&part->file, part->row_of.data, all ? 0 : part->row_of.len, err);
	if (rc == 0)
		rc = sum_put(&part->file, part->ord_of.data, all ? 0 : part->ord_of.len, err);
	if (rc == 0)
		rc = sum_finish(&part->file, NULL, err);
	return rc;
}

static int write_postings(struct segment_writer *w, struct sum_writer *f, uint32_t i,
			  struct error *err)
{
	const struct sparse_part *part = &w->sparse[i];
	struct sparse_rows in = {
		.n_rows = w->meta.n_rows,
		.offsets = (const uint64_t *)(const void *)part->offsets.data,
		.indices = (const uint32_t *)(const void *)part->indices.data,
		.values = (const float *)(const void *)part->values.data,
	};
	w->meta.n_values[i] = in.offsets[in.n_rows];
	return postings_write(&in, f, &w->meta.n_postings[i], err);
}

static int finish_sparse(struct segment_writer *w, uint32_t i, struct error *err)
{
	char path[SUM_PATH_BYTES];
	segment_path_i(path, w->meta.id, "sparse", i);
	struct sparse_part *part = &w->sparse[i];
	struct sum_writer f;
	int rc = sum_create(&f, &w->io, path, part_name(w, SUM_SPARSE, i), err);
	if (rc != 0)
		return rc;
	rc = sum_put(&f, part->offsets.data, part->offsets.len, err);
	if (rc == 0)
		rc = sum_put(&f, part->indices.data, part->indices.len, err);
	if (rc == 0)
		rc = sum_put(&f, part->values.data, part->values.len, err);
	if (rc == 0)
		rc = write_postings(w, &f, i, err);
	if (rc == 0)
		rc = sum_finish(&f, NULL, err);
	sum_abort(&f);
	return rc;
}

struct written { /* payloads as they were just written */
	struct store_map map;
	const uint64_t *offsets;
};

static struct pv_slice written_payload(void *ctx, uint32_t row)
{
	const struct written *p = ctx;
	uint64_t from = p->offsets[row], to = p->offsets[row + 1];
	if (from == to)
		return PV_EMPTY_OBJECT;
	return (struct pv_slice){p->map.bytes + from, (uint32_t)(to - from)};
}

static int write_pindexes(struct segment_writer *w, struct error *err)
{
	if (w->schema->n_fields == 0)
		return 0;
	char path[SUM_PATH_BYTES];
	segment_path(path, w->meta.id, "payload");
	struct written written = {.offsets =
					  (const uint64_t *)(const void *)w->payload_offsets.data};
	int rc = w->io.map(w->io.ctx, path, &written.map, err);
	if (rc != 0)
		return rc;
	struct pindex_source source = {w->meta.n_rows, written_payload, &written};
	for (uint32_t i = 0; i < w->schema->n_fields && rc == 0; i++)
		rc = pindex_write(&w->io, w->meta.id, &source, &w->schema->fields[i], err);
	w->io.unmap(&written.map);
	return rc;
}

static int write_meta(struct segment_writer *w, struct error *err)
{
	char path[SUM_PATH_BYTES];
	segment_path(path, w->meta.id, "SEGMENT");
	struct buf b = BUF_INIT;
	segment_meta_encode(&b, &w->meta);
	int rc = store_put_file(&w->io, path, b.data, b.len, err); /* syncs the folder, too */
	buf_fini(&b);
	return rc;
}

int segment_writer_finish(struct segment_writer *w, struct error *err)
{
	assert(!w->finished);
	int rc = w->rc;
	if (rc == 0)
		rc = sum_finish(&w->payload, NULL, err);
	for (uint32_t i = 0; i < w->meta.n_spaces && rc == 0; i++)
		rc = finish_dense(w, i, err);
	for (uint32_t i = 0; i < w->meta.n_sparse && rc == 0; i++)
		rc = finish_sparse(w, i, err);
	if (rc == 0)
		rc = finish_rows(w, err);
	if (rc == 0)
		rc = write_pindexes(w, err);
	if (rc == 0)
		rc = write_meta(w, err);
	if (rc != 0) {
		w->rc = rc;
		return error_wrap(err, rc, "finish segment %llu", (unsigned long long)w->meta.id);
	}
	w->finished = true;
	return 0;
}

void segment_writer_free(struct segment_writer *w)
{
	if (w == NULL)
		return;
	sum_abort(&w->payload);
	for (uint32_t i = 0; i < w->meta.n_spaces; i++) {
		sum_abort(&w->dense[i].file);
		buf_fini(&w->dense[i].row_of);
		buf_fini(&w->dense[i].ord_of);
	}
	for (uint32_t i = 0; i < w->meta.n_sparse; i++) {
		buf_fini(&w->sparse[i].offsets);
		buf_fini(&w->sparse[i].indices);
		buf_fini(&w->sparse[i].values);
	}
	if (!w->finished) {
		char path[SUM_PATH_BYTES];
		snprintf(path, sizeof(path), "seg-%llu", (unsigned long long)w->meta.id);
		w->io.remove_tree(w->io.ctx, path, NULL);
	}
	free(w->dense);
	free(w->sparse);
	buf_fini(&w->ids);
	buf_fini(&w->versions);
	buf_fini(&w->payload_offsets);
	buf_fini(&w->elements);
	collection_unref(w->schema);
	free(w);
}
