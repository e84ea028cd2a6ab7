/* Private to index/: an HNSW graph in memory, in the arrays of FAISS's format, and its builder.
 *
 * The builder is ours (Malkov and Yashunin, arXiv 1603.09320, algorithms 1 and 4): parallel, on 8-bit
 * codes. A new node gets at most M neighbours, chosen so that none is nearer to another than to the
 * node, and up to 2M on level 0 as later nodes link back. (FAISS keeps every candidate of a node while
 * there are fewer than 2M, which makes walks longer.)
 */
#pragma once

#include "index/faiss_file.h"
#include "index/vindex.h"

struct graph {
	uint32_t n, m;
	uint32_t n_probas;
	double *probas;
	uint32_t n_cumulative;
	uint32_t *cumulative;
	uint32_t *levels;    /* n: number of levels of the node, from 1 */
	uint64_t *offsets;   /* n + 1 */
	uint32_t *neighbors; /* offsets[n]; UINT32_MAX ends a list */
	uint32_t entry, max_level, ef_construct;
};

/* ERR_CLOSED when cancelled. */
int graph_build(const struct vindex_build *b, struct graph **out, struct error *err);
void graph_free(struct graph *g);
/* The same as a file has it; rows are the caller's. */
void graph_view(const struct graph *g, const struct faiss_flat *rows, struct faiss_graph *out);
