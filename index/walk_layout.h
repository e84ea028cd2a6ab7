/* Private to walk*.c: the layout that a search walks on. */
#pragma once

#include "index/bits.h"
#include "index/pages.h"
#include "index/rows.h"
#include "index/walk.h"
#include "index/walk_cells.h"
#include <stdbool.h>

enum { WALK_NONE = UINT32_MAX, WALK_MORE = 1u << 31, WALK_SLOTS = 8 /* or a multiple */ };

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
	enum quantizer quantizer;
	uint32_t n, dim;
	size_t stride;     /* bytes of a code */
	uint32_t width;    /* most links of a node on level 0 */
	uint32_t slots;    /* of them beside each other, the last of which leads to the rest */
	uint32_t entry;    /* number on the highest level, or on level 0 when there is no other */
	uint32_t n_levels; /* above level 0 */
	struct walk_level *levels; /* [0] is level 1 */
	struct code_scale scale;

	struct pages pages; /* everything below */
	uint8_t *codes;     /* n x stride */
	uint32_t *links; /* n x slots; WALK_NONE ends a list; WALK_MORE + i: it goes on at more[i] */
	uint32_t *more;  /* n_more: the rest of the long lists, each with WALK_NONE at its end */
	uint32_t n_more;
	float *norms;             /* n: of the decoded rows; Euclid only, else NULL */
	struct walk_cells *cells; /* NULL: none */
};

static inline bool walk_has_bits(const struct walk *w)
{
	return w->quantizer == QUANTIZER_BINARY;
}

/* A list of level 0 in one or two parts:
 *	do {
 *		for (i = 0; i < l.most && l.at[i] < w->n; i++)
 *			...
 *	} while (walk_more(w, &l, i)); */
struct walk_list {
	const uint32_t *at;
	uint32_t most; /* slots of this part */
	bool rest;     /* this is the second part */
};
static inline struct walk_list walk_links(const struct walk *w, uint32_t node)
{
	return (struct walk_list){w->links + (size_t)node * w->slots, w->slots, false};
}
static inline bool walk_more(const struct walk *w, struct walk_list *l, uint32_t i)
{
	if (l->rest || i == l->most || l->at[i] == WALK_NONE || l->at[i] - WALK_MORE >= w->n_more)
		return false;
	l->most = w->n_more - (l->at[i] - WALK_MORE);
	if (l->most > w->width)
		l->most = w->width;
	l->at = w->more + (l->at[i] - WALK_MORE);
	l->rest = true;
	return true;
}
