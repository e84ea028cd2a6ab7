/* Codes in blocks, for scanning whole lists of them: no sum across a register is needed, and several queries
 * share what was loaded.
 *
 * Blocks of bytes hold BLOCK_ROWS rows: first the values 0..3 of each row, then the values 4..7 of each, and so
 * on; a row is a code of codes.h, padded with zeros to a multiple of BLOCK_GROUP. Blocks of a product quantiser
 * hold LOOKUP_ROWS rows: the code of the first sub-quantiser of each row, then that of the second, and so on.
 *
 * All kernels of one kind give the same integers (as in codes.h, a query of the AVX2 level keeps 7 bits).
 */
#pragma once

#include "index/codes.h"
#include <stdint.h>

enum {
	BLOCK_ROWS = 16,
	BLOCK_GROUP = 4,
	BLOCK_QUERIES = 4, /* of one call, at most */
	LOOKUP_ROWS = 64,
	LOOKUP_ENTRIES = 256,
};

static inline uint32_t block_groups(uint32_t dim)
{
	return (dim + BLOCK_GROUP - 1) / BLOCK_GROUP;
}
static inline size_t block_bytes(uint32_t dim)
{
	return (size_t)block_groups(dim) * BLOCK_GROUP * BLOCK_ROWS;
}

/* Bytes of a query and of blocks; blocks are aligned to CODE_ALIGN. */
struct block_scan {
	const uint8_t *queries[BLOCK_QUERIES]; /* int8_t, groups x BLOCK_GROUP */
	uint32_t n_queries;
	const uint8_t *blocks;
	uint32_t groups, n_blocks;
	int32_t *out[BLOCK_QUERIES]; /* n_blocks x BLOCK_ROWS: inner products */
};

/* Tables of a query, one byte an entry: table[sub-quantiser][code]. */
struct lookup_scan {
	const uint8_t *tables; /* n_subs x LOOKUP_ENTRIES, aligned to CODE_ALIGN */
	const uint8_t *blocks;
	uint32_t n_subs, n_blocks;
	int32_t *out; /* n_blocks x LOOKUP_ROWS: sums of entries */
};

/* Which of n sums are good enough: base - factor * sum (+ norm) <= bound. */
struct block_pick {
	const int32_t *sums;
	const float *norms; /* NULL: none */
	uint32_t n;
	float base, factor, bound;
};

struct block_kernels {
	const char *name;
	void (*dot)(const struct block_scan *s);
	void (*lookup)(const struct lookup_scan *s);
	/* Fills hits (room for n) with the places of the good ones, ascending; returns their number. */
	uint32_t (*pick)(const struct block_pick *p, uint32_t *hits);
	/* out[code] = sum over n_dims of values[d] * entries[d x LOOKUP_ENTRIES + code] */
	void (*table)(const float *values, const float *entries, uint32_t n_dims, float *out);
};

static inline float block_key(const struct block_pick *p, uint32_t i)
{
	return p->base - p->factor * (float)p->sums[i] + (p->norms ? p->norms[i] : 0);
}

/* NULL when this machine cannot run them, as code_kernels_at. */
const struct block_kernels *block_kernels_at(enum kernel_level level);
/* The level of code_kernels_get(), which makes the queries. */
const struct block_kernels *block_kernels_get(void);

/* Puts code i (of 0..BLOCK_ROWS-1) into a block, and takes it out. */
void block_put(uint8_t *block, uint32_t i, const uint8_t *code, uint32_t dim);
void block_get(const uint8_t *block, uint32_t i, uint32_t dim, uint8_t *code);
