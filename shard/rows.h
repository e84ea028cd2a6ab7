/* The rows of a mutable segment: append-only, in chunks of fixed size that never move, so that
 * searching threads read rows 0..n-1 of the view they hold while the loop thread appends further
 * ones. A row is never changed; whether it still counts is said by the live bits of a view.
 *
 * A column of vectors is allocated per chunk and space, when its first row with such a vector
 * comes. */
#pragma once
#include "model/collection.h"
#include "shard/idhash.h"
#include "store/store.h"

enum { ROWS_CHUNK = 512, ROWS_CHUNKS_MAX = 32768, ROWS_MAX = ROWS_CHUNK * ROWS_CHUNKS_MAX };

struct rows_sparse {
	uint32_t n;
	const uint32_t *indices;
	const float *values;
};
struct rows_chunk {
	struct point_id ids[ROWS_CHUNK];
	uint64_t versions[ROWS_CHUNK];
	uint64_t has_dense[ROWS_CHUNK]; /* bit per space */
	uint64_t has_sparse[ROWS_CHUNK];
	struct pv_slice payloads[ROWS_CHUNK];
	uint32_t older[ROWS_CHUNK]; /* the row that held the same id before, or ROW_NONE */
	struct rows_sparse *sparse; /* [row * n_sparse + space]; NULL without sparse spaces */
	float *dense[]; /* per space, atomic: ROWS_CHUNK x dim, 64-byte aligned, or NULL */
};

struct rows {
	const struct collection *schema; /* referenced; only the spaces matter here */
	struct rows_chunk **chunks;      /* ROWS_CHUNKS_MAX pointers, filled as needed */
	uint32_t n;                      /* the writer's; readers use their view's */
	uint64_t *gaps;                  /* per space: rows without that vector (atomic) */
	uint64_t bytes;
	struct idhash ids;
	struct rows_block *blocks; /* payloads and sparse vectors */
};

struct rows *rows_new(const struct collection *schema);
void rows_free(struct rows *r); /* NULL ok */
/* Copies the row; returns its number. */
uint32_t rows_append(struct rows *r, const struct segment_row *row);
static inline const struct rows_chunk *rows_chunk(const struct rows *r, uint32_t row)
{
	return r->chunks[row / ROWS_CHUNK];
}
/* ROWS_CHUNK x dim floats, or NULL. It may come into being with a later row of the chunk. */
static inline const float *rows_column(const struct rows_chunk *c, uint32_t space)
{
	return __atomic_load_n(&c->dense[space], __ATOMIC_ACQUIRE);
}
/* The newest row of the id among rows 0..n-1 (n of the caller's view), or ROW_NONE. */
uint32_t rows_find(const struct rows *r, const struct point_id *id, uint64_t hash, uint32_t n);
const float *rows_dense(const struct rows *r, uint32_t space, uint32_t row); /* NULL: none */
bool rows_sparse(const struct rows *r, uint32_t space, uint32_t row, struct vector *out);
/* Does every row appended so far have this vector? */
static inline bool rows_gapless(const struct rows *r, uint32_t space)
{
	return __atomic_load_n(&r->gaps[space], __ATOMIC_ACQUIRE) == 0;
}
