/* Private to walk*.c: the layout that a search walks on. */
#pragma once

#include "index/bits.h"
#include "index/pages.h"
#include "index/rows.h"
#include "index/walk.h"
#include "index/walk_cells.h"
#include "index/walk_sketch.h"
#include <stdbool.h>

enum {
	WALK_NONE = UINT32_MAX,
	WALK_LIST_BYTES = 32, /* of a node's list, or a multiple */
	WALK_MORE_UNIT = 2,   /* the rest of a list begins at a multiple of so many ids */
	WALK_SPARE_BYTES = 4, /* behind the ids, which are read four bytes at a time */
};

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
	bool compact;
	uint32_t n, dim;
	size_t stride;     /* bytes of a code */
	uint32_t width;    /* most links of a node on level 0 */
	uint32_t id_bytes; /* of a link: 3, or 4 where that is too little */
	uint32_t id_mask;
	uint32_t slots; /* links beside each other, the last of which leads to the rest of a longer list */
	uint32_t list_bytes; /* of these, rounded up */
	uint32_t entry;      /* number on the highest level, or on level 0 when there is no other */
	uint32_t n_levels;   /* above level 0 */
	struct walk_level *levels; /* [0] is level 1 */
	struct code_scale scale;

	struct pages pages; /* everything below */
	uint8_t *codes;     /* n x stride */
	/* n x list_bytes: ids of id_bytes each. n or more ends a list; walk_flag() + i: it goes on with the id
	 * i * WALK_MORE_UNIT of `more`. */
	uint8_t *links;
	uint8_t *more; /* n_more ids: the rest of the long lists, each with walk_none() at its end */
	uint32_t n_more;
	float *norms;               /* n: of the decoded rows; Euclid only, else NULL */
	struct walk_cells *cells;   /* NULL: none */
	struct walk_sketch *sketch; /* NULL: none */
};

static inline bool walk_has_bits(const struct walk *w)
{
	return w->quantizer == QUANTIZER_BINARY;
}

static inline bool walk_has_norms(const struct walk *w)
{
	return w->distance == DISTANCE_EUCLID;
}

/* An empty one, for rows and as the options say. */
struct walk *walk_alloc(const struct vindex_rows *rows, const struct walk_options *options);
/* The pages for codes, links, the rest of long lists and norms, once their sizes are known. */
int walk_map(struct walk *w, struct error *err);

/* The id that ends a list, and the bit that says where it goes on. */
static inline uint32_t walk_none(const struct walk *w)
{
	return w->id_mask;
}
static inline uint32_t walk_flag(const struct walk *w)
{
	return w->id_mask / 2 + 1;
}

/* A list of level 0 in one or two parts:
 *	do {
 *		for (i = 0; i < l.most && (id = walk_id(w, &l, i)) < w->n; i++)
 *			...
 *	} while (walk_more(w, &l, i)); */
struct walk_list {
	const uint8_t *at;
	uint32_t most; /* slots of this part */
	bool rest;     /* this is the second part */
};
static inline struct walk_list walk_links(const struct walk *w, uint32_t node)
{
	return (struct walk_list){w->links + (size_t)node * w->list_bytes, w->slots, false};
}
/* Links of a node, at most, whatever a damaged file says. */
static inline uint32_t walk_longest(const struct walk *w)
{
	return w->slots + w->width;
}
static inline uint32_t walk_id(const struct walk *w, const struct walk_list *l, uint32_t i)
{
	return load_u32(l->at + (size_t)i * w->id_bytes) & w->id_mask;
}
static inline bool walk_more(const struct walk *w, struct walk_list *l, uint32_t i)
{
	uint32_t from;

	if (l->rest || i == l->most)
		return false;
	from = walk_id(w, l, i) - walk_flag(w);
	if (from >= w->n_more / WALK_MORE_UNIT) /* none, or a damaged file */
		return false;
	from *= WALK_MORE_UNIT;
	l->most = w->n_more - from;
	if (l->most > w->width)
		l->most = w->width;
	l->at = w->more + (size_t)from * w->id_bytes;
	l->rest = true;
	return true;
}
