/* Private to lists*.c: what a search scans. */
#pragma once

#include "index/blocks.h"
#include "index/lists.h"
#include "index/pages.h"

enum { LISTS_NONE = UINT32_MAX };

struct lists {
	struct vindex_rows rows;
	enum distance distance;
	bool by_norm;    /* Euclid and Manhattan */
	bool has_tables; /* product-quantised */
	uint32_t n, dim, nlist;
	uint32_t block_rows;
	size_t block_size; /* bytes */
	uint32_t *first;   /* nlist + 1: the block where each list begins */
	uint32_t *sizes;   /* nlist: rows */
	uint32_t longest;  /* blocks of the longest list */

	struct code_scale scale; /* of bytes */
	uint32_t n_subs;         /* of tables */
	float *codebook;         /* n_subs x (dim / n_subs) x LOOKUP_ENTRIES */
	float *centroids;        /* nlist x dim when codes are of residuals, else NULL */

	struct code_scale coarse;
	uint8_t *coarse_blocks; /* of the centroids */
	float *coarse_norms;    /* NULL for inner products */

	struct pages pages; /* the three below */
	uint8_t *blocks;
	uint32_t *ids; /* of each place: the row, or LISTS_NONE */
	float *norms;  /* of each place: |x|^2; NULL for inner products */
};

static inline uint32_t coarse_n_blocks(uint32_t nlist)
{
	return (nlist + BLOCK_ROWS - 1) / BLOCK_ROWS;
}
/* What the code at a place says. list: where it lies. */
void lists_decode(const struct lists *l, uint32_t list, uint32_t place, float *out);
/* The list of a place. */
uint32_t lists_of(const struct lists *l, uint32_t place);
