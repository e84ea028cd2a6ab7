/* Private to index/: our own search over a sealed HNSW graph.
 *
 * The graph is the one of the index file (FAISS's format), laid out for walking: the links of a node on
 * level 0 in one array of fixed width, rows as 8-bit codes (codes.h), all of it on huge pages where the
 * system gives them. The float rows stay in the mapped file and are read for the last few candidates
 * only. Nothing changes after walk_new, so any number of threads may search.
 *
 * Nodes keep the numbers of their rows. Renumbering them breadth first, so that neighbours lie close
 * together, was measured: at most 5 % more queries per second (200,000 x 128 and 100,000 x 768) for
 * eight more bytes a node, and filters, which are bitmaps of rows, became much slower.
 */
#pragma once

#include "index/codes.h"
#include "index/faiss_file.h"
#include "index/vindex.h"

struct walk;

/* The graph is read and not kept; `rows` (n x dim, any alignment) must stay. */
struct walk_options {
	enum distance distance;
	enum quantizer quantizer; /* NONE and SQ8: 8-bit codes; BINARY: one-bit codes (bits.h) */
	bool compact;             /* links take less memory, and more time */
};
int walk_new(const struct faiss_graph *g, const struct vindex_rows *rows,
	     const struct walk_options *options, struct walk **out, struct error *err);
void walk_free(struct walk *w);

/* The layout as bytes behind the graph of an index file. */
int walk_write(const struct walk *w, vindex_write_fn write, void *ctx, struct error *err);
/* *out is NULL where there is none, or one for other options; *used: its bytes, 0 when there is none. ERR_CORRUPT
 * when it is damaged. */
struct walk_source {
	const void *bytes;
	size_t n;
	size_t *used;
	bool *other_codes; /* may be NULL: set when there is one for codes of another width */
};
int walk_read(const struct walk_source *from, const struct vindex_rows *rows,
	      const struct walk_options *options, struct walk **out, struct error *err);
size_t walk_memory_bytes(const struct walk *w);
size_t walk_link_bytes(const struct walk *w);

/* q->k is at most n (and n_allow). */
int walk_search(const struct walk *w, const struct vindex_query *q, struct topk_item *out,
		uint32_t *n_out, struct vindex_stats *stats, struct error *err);
