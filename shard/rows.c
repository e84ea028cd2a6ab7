/* Chunked append-only rows; see the header. */
#include "shard/rows.h"
#include "base/assert.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 256 << 10, DENSE_ALIGN = 64 };

struct rows_block {
	struct rows_block *next;
	size_t used, size;
	uint8_t bytes[];
};

static struct point_id id_of_row(const void *ctx, uint32_t row)
{
	const struct rows *r = ctx;

	return r->chunks[row / ROWS_CHUNK]->ids[row % ROWS_CHUNK];
}

struct rows *rows_new(const struct collection *schema)
{
	struct rows *r = mem_zalloc(sizeof *r);

	r->schema = collection_ref(schema);
	r->chunks = mem_array(ROWS_CHUNKS_MAX, sizeof *r->chunks);
	r->gaps = mem_array(schema->n_spaces + 1, sizeof *r->gaps);
	idhash_init(&r->ids, 64, id_of_row, r);
	return r;
}

void rows_free(struct rows *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < ROWS_CHUNKS_MAX && r->chunks[i]; i++) {
		for (uint32_t s = 0; s < r->schema->n_spaces; s++)
			free(r->chunks[i]->dense[s]);
		free(r->chunks[i]->sparse);
		free(r->chunks[i]);
	}
	while (r->blocks) {
		struct rows_block *next = r->blocks->next;

		free(r->blocks);
		r->blocks = next;
	}
	idhash_fini(&r->ids);
	free(r->chunks);
	free(r->gaps);
	collection_unref(r->schema);
	free(r);
}

static void *block_copy(struct rows *r, const void *bytes, size_t n)
{
	size_t aligned = (n + 7) & ~(size_t)7;
	struct rows_block *b = r->blocks;
	void *at;

	if (!b || b->size - b->used < aligned) {
		size_t size = aligned > BLOCK_BYTES ? aligned : BLOCK_BYTES;

		b = mem_alloc(sizeof *b + size);
		b->next = r->blocks;
		b->used = 0;
		b->size = size;
		r->blocks = b;
	}
	at = b->bytes + b->used;
	memcpy(at, bytes, n);
	b->used += aligned;
	r->bytes += aligned;
	return at;
}

static struct rows_chunk *chunk_for_append(struct rows *r)
{
	uint32_t at = r->n / ROWS_CHUNK;
	struct rows_chunk *c;

	assert(at < ROWS_CHUNKS_MAX);
	if (r->chunks[at])
		return r->chunks[at];
	c = mem_zalloc(sizeof *c + r->schema->n_spaces * sizeof c->dense[0]);
	if (r->schema->n_sparse)
		c->sparse = mem_array((size_t)ROWS_CHUNK * r->schema->n_sparse, sizeof *c->sparse);
	r->bytes += sizeof *c + (size_t)ROWS_CHUNK * r->schema->n_sparse * sizeof *c->sparse;
	r->chunks[at] = c;
	return c;
}

static float *dense_column(struct rows *r, struct rows_chunk *c, uint32_t space)
{
	size_t n = (size_t)ROWS_CHUNK * r->schema->spaces[space].dim * sizeof(float);

	float *column = c->dense[space];

	if (!column) {
		column = mem_aligned(DENSE_ALIGN, n);
		__atomic_store_n(&c->dense[space], column, __ATOMIC_RELEASE);
	}
	return column;
}

static void put_vectors(struct rows *r, struct rows_chunk *c, uint32_t at,
			const struct segment_row *row)
{
	for (uint32_t s = 0; s < r->schema->n_spaces; s++) {
		uint32_t dim = r->schema->spaces[s].dim;

		if (!row->dense[s]) {
			__atomic_fetch_add(&r->gaps[s], 1, __ATOMIC_RELEASE);
			continue;
		}
		memcpy(dense_column(r, c, s) + (size_t)at * dim, row->dense[s],
		       dim * sizeof(float));
		c->has_dense[at] |= 1ull << s;
		r->bytes += dim * sizeof(float);
	}
	for (uint32_t s = 0; s < r->schema->n_sparse; s++) {
		const struct vector *v = &row->sparse[s];

		if (v->n == 0)
			continue;
		c->sparse[at * r->schema->n_sparse + s] = (struct rows_sparse){
			.n = v->n,
			.indices = block_copy(r, v->indices, v->n * sizeof *v->indices),
			.values = block_copy(r, v->values, v->n * sizeof *v->values),
		};
		c->has_sparse[at] |= 1ull << s;
	}
}

uint32_t rows_append(struct rows *r, const struct segment_row *row)
{
	struct rows_chunk *c = chunk_for_append(r);
	uint32_t at = r->n % ROWS_CHUNK;

	c->ids[at] = row->id;
	c->versions[at] = row->version;
	put_vectors(r, c, at, row);
	c->payloads[at] = PV_EMPTY_OBJECT;
	if (row->payload.n > PV_EMPTY_OBJECT.n)
		c->payloads[at] =
			(struct pv_slice){block_copy(r, row->payload.bytes, row->payload.n),
					  row->payload.n};
	c->older[at] = idhash_put(&r->ids, &row->id, id_hash(&row->id), r->n);
	r->bytes += 16; /* its slot of the hash */
	return r->n++;
}

/* The hash leads to the newest row, which may be newer than the caller's view. */
uint32_t rows_find(const struct rows *r, const struct point_id *id, uint64_t hash, uint32_t n)
{
	uint32_t row = idhash_find(&r->ids, id, hash);

	while (row != ROW_NONE && row >= n)
		row = rows_chunk(r, row)->older[row % ROWS_CHUNK];
	return row;
}

const float *rows_dense(const struct rows *r, uint32_t space, uint32_t row)
{
	const struct rows_chunk *c = rows_chunk(r, row);

	if (!(c->has_dense[row % ROWS_CHUNK] >> space & 1))
		return NULL;
	return rows_column(c, space) + (size_t)(row % ROWS_CHUNK) * r->schema->spaces[space].dim;
}

bool rows_sparse(const struct rows *r, uint32_t space, uint32_t row, struct vector *out)
{
	const struct rows_chunk *c = rows_chunk(r, row);
	const struct rows_sparse *s;

	if (!(c->has_sparse[row % ROWS_CHUNK] >> space & 1))
		return false;
	s = &c->sparse[(row % ROWS_CHUNK) * r->schema->n_sparse + space];
	*out = (struct vector){VECTOR_SPARSE, space, s->n, s->values, s->indices};
	return true;
}
