/* Private to index/: our own search over the lists of an IVF index.
 *
 * The centroids and the assignment of rows to lists are those of the index file (FAISS's format); the codes lie in
 * blocks (blocks.h), each list from a block of its own on. Lists of plain rows and of SQ8 are scanned as bytes
 * (codes.h; one scale for all lists), those of PQ through a table of bytes for each query. Centroids are bytes
 * too. The best candidates are compared by their rows.
 *
 * Keys of a scan. Inner products: -(q.c + q.r), where r is what the code says beyond the centroid c. Euclidean:
 * |x|^2 - 2 (q.c + q.r), with |x|^2 kept for each row. Manhattan is scanned as if it was Euclidean.
 *
 * Nothing changes after lists_new, so any number of threads may search.
 */
#pragma once

#include "index/faiss_file.h"
#include "index/vindex.h"

struct lists;

/* The file's bytes are read and not kept; `rows` (which must be at hand) stay. */
int lists_new(const struct faiss_ivf *ivf, const struct vindex_rows *rows, enum distance distance,
	      struct lists **out, struct error *err);
void lists_free(struct lists *l);
size_t lists_memory_bytes(const struct lists *l);

/* One query of a call: how far it goes, and where its answer is put. */
struct lists_task {
	const struct vindex_query *q; /* k is at most n (and n_allow) */
	uint32_t nprobe;              /* 1..nlist */
	uint32_t n_candidates;        /* k..n */
	bool by_rows;                 /* candidates are compared by their rows, else as decoded */
	struct topk_item *out;        /* room for k */
	uint32_t n_out;
	struct vindex_stats stats;
};
/* The queries share what they read: centroids, and lists that several of them look at. */
void lists_search(const struct lists *l, struct lists_task *tasks, uint32_t n);
