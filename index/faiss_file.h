/* FAISS's own file format, read in place and written by us, for the two index types whose bytes we use
 * directly: IndexFlat ("IxFI", "IxF2", "IxFl") and IndexHNSWFlat ("IHNf"); and a check of the IVF
 * types ("IwFl", "IwSq", "IwPQ") before FAISS's reader, which trusts every size, gets to see them.
 *
 * The layout is that of FAISS 1.7.3, impl/index_write.cpp: little-endian, no alignment, vectors as
 * u64 count + items (the rows of an IndexFlat: u64 count of floats + floats).
 *
 * Every reader takes hostile bytes: all that these structs point to was checked against the bounds,
 * and every link of a graph leads to a node that exists on that level.
 */
#pragma once

#include "base/codec.h"
#include "base/error.h"
#include "index/vindex.h"
#include <stdint.h>

/* Numbers of faiss::MetricType. */
enum { FAISS_METRIC_IP = 0, FAISS_METRIC_L2 = 1, FAISS_METRIC_L1 = 2 };

enum faiss_file_kind { FAISS_FILE_FLAT, FAISS_FILE_HNSW, FAISS_FILE_IVF };
/* By the first four bytes. ERR_CORRUPT when it is none of ours. */
int faiss_file_kind(const void *bytes, size_t n, enum faiss_file_kind *out, struct error *err);

struct faiss_flat {
	uint32_t dim, n;
	int metric;
	const float *rows; /* n x dim, in place, unaligned */
};
int faiss_file_flat(const void *bytes, size_t n, struct faiss_flat *out, struct error *err);

/* A graph as FAISS keeps it, each array in place and unaligned: read with load_u32 and load_u64. */
struct faiss_graph {
	struct faiss_flat flat;
	const uint8_t *probas; /* f64: assignment probability of each level */
	uint32_t n_probas;
	const uint8_t *cumulative; /* i32: slots of a node below each level; [1] = slots on level 0 */
	uint32_t n_cumulative;
	const uint8_t *levels;    /* i32 per node: number of levels it is on, from 1 */
	const uint8_t *offsets;   /* u64 per node and one more: first slot of the node */
	const uint8_t *neighbors; /* i32 per slot; the first -1 ends a level's list */
	uint64_t n_neighbors;
	int32_t entry, max_level, ef_construction, ef_search, upper_beam;
	const uint8_t *rest; /* bytes behind the index, which FAISS does not read; not checked */
	size_t n_rest;
};
int faiss_file_hnsw(const void *bytes, size_t n, struct faiss_graph *out, struct error *err);
/* The same in two steps: where everything is, and whether nodes and links make sense. */
int faiss_file_hnsw_parts(const void *bytes, size_t n, struct faiss_graph *out, struct error *err);
int faiss_file_hnsw_check(const struct faiss_graph *g, struct error *err);

static inline uint32_t faiss_graph_slots(const struct faiss_graph *g, uint32_t level)
{
	return load_u32(g->cumulative + 4 * (size_t)(level + 1)) -
	       load_u32(g->cumulative + 4 * (size_t)level);
}
static inline uint32_t faiss_graph_levels(const struct faiss_graph *g, uint32_t node)
{
	return load_u32(g->levels + 4 * (size_t)node);
}
/* The slots of a node on a level: i32 each, unaligned; faiss_graph_slots() of them. */
static inline const uint8_t *faiss_graph_links(const struct faiss_graph *g, uint32_t node,
					       uint32_t level)
{
	uint64_t slot = load_u64(g->offsets + 8 * (size_t)node) +
			load_u32(g->cumulative + 4 * (size_t)level);

	return g->neighbors + 4 * slot;
}

struct faiss_ivf {
	uint32_t dim, n, nlist;
	int metric;
	enum quantizer quantizer;
	uint32_t code_bytes;
	/* In place, unaligned. */
	const uint8_t *centroids; /* f32: nlist x dim */
	const uint8_t *codebook;  /* PQ: f32, code_bytes x 256 x (dim / code_bytes) */
	bool by_residual;         /* codes are of what is left when the centroid is taken away */
	const uint8_t *sizes;     /* of the lists: u64, or pairs of list and size when sparse */
	uint64_t n_sizes;
	bool sparse;
	const uint8_t *lists; /* of each list in turn its codes, then its ids (u64) */
	const uint8_t *rest;  /* bytes behind the index, which FAISS does not read; not checked */
	size_t n_rest;
};
/* Walks over the whole file: ids below n, sizes that agree. */
int faiss_file_ivf(const void *bytes, size_t n, struct faiss_ivf *out, struct error *err);

/* One list after the other:
 *	struct faiss_ivf_list l = {0};
 *	while (faiss_file_next_list(&ivf, &l))
 *		... */
struct faiss_ivf_list {
	uint64_t next; /* of sizes */
	uint32_t list, n;
	const uint8_t *codes, *ids;
	const uint8_t *end;
};
bool faiss_file_next_list(const struct faiss_ivf *ivf, struct faiss_ivf_list *l);

int faiss_file_write_flat(const struct faiss_flat *flat, vindex_write_fn write, void *ctx,
			  struct error *err);
int faiss_file_write_hnsw(const struct faiss_graph *g, vindex_write_fn write, void *ctx,
			  struct error *err);
