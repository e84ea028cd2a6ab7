/* Segments and live bits; see the header. */
#include "shard/seg.h"
#include "base/assert.h"
#include "base/memory.h"
#include "model/element.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- live bits ---- */

struct live *live_new(uint32_t n_bits, bool value)
{
	struct live *l = mem_zalloc(sizeof *l);

	l->refs = 1;
	l->n_live = value ? n_bits : 0;
	bitset_init(&l->bits, n_bits, value);
	return l;
}

struct live *live_ref(struct live *l)
{
	__atomic_fetch_add(&l->refs, 1, __ATOMIC_RELAXED);
	return l;
}

static void drop_ordinals(struct live *l)
{
	struct live_ordinals *o = l->ordinals;

	while (o) {
		struct live_ordinals *next = o->next;

		bitset_fini(&o->bits);
		free(o);
		o = next;
	}
	l->ordinals = NULL;
}

void live_unref(struct live *l)
{
	if (!l || __atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	drop_ordinals(l);
	bitset_fini(&l->bits);
	free(l);
}

static struct live *live_own(struct live **slot, uint32_t n_bits)
{
	struct live *l = *slot;
	struct live *copy;
	uint32_t room = l->bits.n_bits;

	/* Only the owner hands out references, so one reference is ours alone. */
	if (room >= n_bits && __atomic_load_n(&l->refs, __ATOMIC_ACQUIRE) == 1) {
		drop_ordinals(l);
		return l;
	}
	if (room < n_bits)
		room = room * 2 > n_bits ? room * 2 : n_bits + 1024;
	copy = live_new(room, false);
	copy->n_live = l->n_live;
	if (l->bits.n_bits)
		memcpy(copy->bits.words, l->bits.words,
		       bitset_words(l->bits.n_bits) * sizeof(uint64_t));
	live_unref(l);
	*slot = copy;
	return copy;
}

void live_add(struct live **slot, uint32_t row)
{
	struct live *l = live_own(slot, row + 1);

	assert(!bitset_get(&l->bits, row));
	bitset_set(&l->bits, row);
	l->n_live++;
}

void live_kill(struct live **slot, uint32_t row)
{
	struct live *l = live_own(slot, row + 1);

	assert(bitset_get(&l->bits, row));
	bitset_unset(&l->bits, row);
	l->n_live--;
}

/* ---- segments ---- */

struct seg *seg_new_rows(const struct collection *schema)
{
	struct seg *s = mem_zalloc(sizeof *s);

	s->refs = 1;
	s->schema = collection_ref(schema);
	s->rows = rows_new(schema);
	return s;
}

static struct point_id id_of_sealed(const void *ctx, uint32_t row)
{
	return segment_point_id(ctx, row);
}

int seg_open(const struct store_io *io, uint64_t id, const struct collection *schema,
	     struct seg **out, struct error *err)
{
	struct segment *sealed;
	struct seg *s;
	int rc = segment_open(io, id, schema, &sealed, err);

	if (rc)
		return rc;
	s = mem_zalloc(sizeof *s);
	s->refs = 1;
	s->id = id;
	s->schema = collection_ref(schema);
	s->sealed = sealed;
	s->n_rows = segment_rows(sealed);
	s->indexes = mem_array(schema->n_spaces + 1, sizeof *s->indexes);
	filters_init(&s->filters);
	idhash_init(&s->ids, s->n_rows, id_of_sealed, sealed);
	for (uint32_t row = 0; row < s->n_rows; row++) {
		struct point_id pid = segment_point_id(sealed, row);

		if (idhash_put(&s->ids, &pid, id_hash(&pid), row) != ROW_NONE) {
			seg_unref(s);
			return error_set(err, ERR_CORRUPT,
					 "segment %llu: row %u has the id of another row",
					 (unsigned long long)id, row);
		}
	}
	segment_release(sealed);
	*out = s;
	return 0;
}

void seg_index_name(uint32_t space, char out[32])
{
	snprintf(out, 32, "index-%u.faiss", space);
}

/* Where that cannot be opened, rows are looked up in the mapping. */
static void read_from_disk(struct seg *s, uint32_t space, struct vindex_rows *rows)
{
	struct segment_reader *reader;

	if (segment_reader(s->sealed, space, &reader, NULL))
		return;
	rows->read = segment_read_vector;
	rows->read_ctx = reader;
}

int seg_open_indexes(struct seg *s, bool faiss_only, struct error *err)
{
	for (uint32_t space = 0; space < s->schema->n_spaces; space++) {
		const struct vector_space *v = &s->schema->spaces[space];
		struct vindex_open o = {
			.rows = seg_vindex_rows(s, space),
			.distance = v->distance,
			.config = v->index,
			.faiss_only = faiss_only,
		};
		struct vindex *index;
		const uint8_t *bytes;
		char name[32];
		int rc;

		if (seg_index(s, space))
			continue;
		seg_index_name(space, name);
		rc = segment_blob_map(s->sealed, name, &bytes, &o.n_bytes, err);
		if (rc == ERR_NOT_FOUND)
			continue;
		o.bytes = bytes;
		if (v->index.rows_on_disk || v->index.quantizer != QUANTIZER_NONE)
			read_from_disk(s, space, &o.rows);
		if (rc || (rc = vindex_open(&o, &index, err)))
			return error_wrap(err, rc, "segment %llu: %s", (unsigned long long)s->id,
					  name);
		seg_set_index(s, space, index);
		segment_blob_release(s->sealed, name);
	}
	return 0;
}

struct seg *seg_ref(struct seg *s)
{
	__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void seg_unref(struct seg *s)
{
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (s->sealed) {
		for (uint32_t i = 0; i < s->schema->n_spaces; i++)
			vindex_free(s->indexes[i]);
		filters_fini(&s->filters);
		idhash_fini(&s->ids);
		segment_close(s->sealed);
	}
	free(s->indexes);
	rows_free(s->rows);
	free(s->order);
	collection_unref(s->schema);
	free(s);
}

void seg_set_index(struct seg *s, uint32_t space, struct vindex *v)
{
	assert(s->sealed && !s->indexes[space]);
	__atomic_store_n(&s->indexes[space], v, __ATOMIC_RELEASE);
}

struct point_id seg_point_id(const struct seg *s, uint32_t row)
{
	return s->rows ? rows_chunk(s->rows, row)->ids[row % ROWS_CHUNK]
		       : segment_point_id(s->sealed, row);
}

uint64_t seg_version(const struct seg *s, uint32_t row)
{
	return s->rows ? rows_chunk(s->rows, row)->versions[row % ROWS_CHUNK]
		       : segment_version(s->sealed, row);
}

struct pv_slice seg_payload(const struct seg *s, uint32_t row)
{
	struct pv_slice p = s->rows ? rows_chunk(s->rows, row)->payloads[row % ROWS_CHUNK]
				    : segment_payload(s->sealed, row);

	return p.n ? p : PV_EMPTY_OBJECT;
}

static uint32_t ordinal_of(const struct segment_vectors *v, uint32_t row)
{
	if (v->ord_of)
		return v->ord_of[row];
	return v->n == 0 ? UINT32_MAX : row;
}

bool seg_has_dense(const struct seg *s, uint32_t space, uint32_t row)
{
	struct segment_vectors v;

	if (s->rows)
		return rows_dense(s->rows, space, row) != NULL;
	v = segment_vectors(s->sealed, space);
	return ordinal_of(&v, row) != UINT32_MAX;
}

const float *seg_dense(const struct seg *s, uint32_t space, uint32_t row, float *scratch)
{
	struct segment_vectors v;
	uint32_t ordinal;
	const void *at;

	if (s->rows)
		return rows_dense(s->rows, space, row);
	v = segment_vectors(s->sealed, space);
	ordinal = ordinal_of(&v, row);
	if (ordinal == UINT32_MAX)
		return NULL;
	at = (const char *)v.data + (size_t)ordinal * v.dim * datatype_bytes(v.type);
	if (v.type == DATATYPE_FLOAT32)
		return at;
	element_decode(v.type, at, v.dim, scratch);
	return scratch;
}

struct vindex_rows seg_vindex_rows(const struct seg *s, uint32_t space)
{
	struct segment_vectors v = segment_vectors(s->sealed, space);

	return (struct vindex_rows){
		.data = v.data,
		.n = v.n,
		.dim = v.dim,
		.type = v.type,
		.unit = space_unit_rows(&s->schema->spaces[space]),
		.of_file = v.of_file,
	};
}

bool seg_sparse(const struct seg *s, uint32_t space, uint32_t row, struct vector *out)
{
	return s->rows ? rows_sparse(s->rows, space, row, out)
		       : segment_sparse(s->sealed, space, row, out);
}

float *seg_scratch(const struct collection *schema)
{
	size_t n = 0;

	for (uint32_t i = 0; i < schema->n_spaces; i++)
		if (schema->spaces[i].datatype != DATATYPE_FLOAT32)
			n += schema->spaces[i].dim;
	return n ? mem_array(n, sizeof(float)) : NULL;
}

void seg_row(const struct seg *s, uint32_t row, const float **dense, struct vector *sparse,
	     float *scratch, struct segment_row *out)
{
	for (uint32_t i = 0; i < s->schema->n_spaces; i++) {
		dense[i] = seg_dense(s, i, row, scratch);
		if (s->schema->spaces[i].datatype != DATATYPE_FLOAT32)
			scratch += s->schema->spaces[i].dim;
	}
	for (uint32_t i = 0; i < s->schema->n_sparse; i++)
		if (!seg_sparse(s, i, row, &sparse[i]))
			sparse[i] = (struct vector){VECTOR_SPARSE, i, 0, NULL, NULL};
	*out = (struct segment_row){
		.id = seg_point_id(s, row),
		.version = seg_version(s, row),
		.dense = dense,
		.sparse = sparse,
		.payload = seg_payload(s, row),
	};
}

struct filter_point seg_filter_point(const struct seg *s, uint32_t row, struct point_id *id)
{
	struct filter_point p = {.id = id, .payload = pv_of(seg_payload(s, row).bytes)};

	*id = seg_point_id(s, row);
	if (s->rows) {
		p.has_dense = rows_chunk(s->rows, row)->has_dense[row % ROWS_CHUNK];
		p.has_sparse = rows_chunk(s->rows, row)->has_sparse[row % ROWS_CHUNK];
		return p;
	}
	for (uint32_t i = 0; i < s->schema->n_spaces; i++)
		p.has_dense |= (uint64_t)seg_has_dense(s, i, row) << i;
	for (uint32_t i = 0; i < s->schema->n_sparse; i++) {
		struct vector v;

		p.has_sparse |= (uint64_t)segment_sparse(s->sealed, i, row, &v) << i;
	}
	return p;
}

uint32_t seg_find(const struct seg *s, const struct point_id *id, uint64_t hash, uint32_t n)
{
	return s->rows ? rows_find(s->rows, id, hash, n) : idhash_find(&s->ids, id, hash);
}

/* ---- id order ---- */

static int by_id(const void *a, const void *b, void *ctx)
{
	const struct seg *s = ctx;
	uint32_t ra = *(const uint32_t *)a, rb = *(const uint32_t *)b;
	struct point_id ia = seg_point_id(s, ra), ib = seg_point_id(s, rb);
	int c = id_compare(&ia, &ib);

	return c ? c : (ra > rb) - (ra < rb);
}

const uint32_t *seg_order(struct seg *s)
{
	uint32_t *order = __atomic_load_n(&s->order, __ATOMIC_ACQUIRE);
	uint32_t *none = NULL;

	if (order)
		return order;
	order = mem_array((size_t)s->n_rows + 1, sizeof *order);
	for (uint32_t i = 0; i < s->n_rows; i++)
		order[i] = i;
	qsort_r(order, s->n_rows, sizeof *order, by_id, s);
	if (__atomic_compare_exchange_n(&s->order, &none, order, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return order;
	free(order);
	return none;
}

/* ---- live bits by ordinal ---- */

const struct bitset *seg_live_ordinals(const struct seg *s, struct live *l, uint32_t space,
				       uint32_t *n)
{
	struct segment_vectors v = segment_vectors(s->sealed, space);
	struct live_ordinals *head = __atomic_load_n(&l->ordinals, __ATOMIC_ACQUIRE);
	struct live_ordinals *o;

	for (o = head; o; o = o->next)
		if (o->space == space)
			goto out;
	o = mem_zalloc(sizeof *o);
	o->space = space;
	bitset_init(&o->bits, v.n, false);
	for (uint32_t i = 0; i < v.n; i++)
		if (bitset_get(&l->bits, v.row_of[i])) {
			bitset_set(&o->bits, i);
			o->n_live++;
		}
	/* Two threads may both add one for this space: then one of them is never looked at. */
	o->next = head;
	while (!__atomic_compare_exchange_n(&l->ordinals, &o->next, o, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_ACQUIRE))
		;
out:
	*n = o->n_live;
	return &o->bits;
}

uint64_t seg_memory_bytes(struct seg *s)
{
	uint64_t bytes = 0;

	if (s->rows)
		return s->rows->bytes;
	bytes = idhash_bytes(&s->ids) + filters_bytes(&s->filters) +
		(__atomic_load_n(&s->order, __ATOMIC_RELAXED) ? s->n_rows * 4ull : 0);
	for (uint32_t i = 0; i < s->schema->n_spaces; i++) {
		struct vindex_info info = {0};
		struct segment_vectors v = segment_vectors(s->sealed, i);

		if (seg_index(s, i))
			vindex_describe(seg_index(s, i), &info);
		if (!info.rows_leave)
			bytes += (uint64_t)v.n * v.dim * datatype_bytes(v.type);
		bytes += info.memory_bytes;
	}
	return bytes;
}
