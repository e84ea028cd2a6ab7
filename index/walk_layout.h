/* Private to walk*.c: the layout that a search walks on. */
#pragma once

#include "index/walk.h"

enum { WALK_NONE = UINT32_MAX };

/* One level above 0. Its nodes have numbers of their own, 0..n-1. */
struct walk_level {
	uint32_t n, width;
	uint32_t *links; /* n x width, numbers of this level; WALK_NONE ends a list */
	uint32_t *nodes; /* n: number on level 0 */
	uint32_t *below; /* n: number on the level below; NULL when that is level 0 */
};

struct walk {
	struct vindex_rows rows;
	enum distance distance;
	uint32_t n, dim;
	size_t stride;     /* bytes of a code */
	uint32_t width;    /* slots of a node on level 0 */
	uint32_t entry;    /* number on the highest level, or on level 0 when there is no other */
	uint32_t n_levels; /* above level 0 */
	struct walk_level *levels; /* [0] is level 1 */
	struct code_scale scale;

	char *block; /* everything below, one mapping */
	size_t block_bytes;
	uint8_t *codes;  /* n x stride */
	uint32_t *links; /* n x width; WALK_NONE ends a list */
	float *norms;    /* n: of the decoded rows; Euclid only, else NULL */
};

static inline const uint32_t *walk_links(const struct walk *w, uint32_t node)
{
	return w->links + (size_t)node * w->width;
}

static inline const float *walk_row(const struct walk *w, uint32_t row)
{
	return (const float *)(const void *)((const char *)w->rows.data +
					     (size_t)row * w->dim * sizeof(float));
}
