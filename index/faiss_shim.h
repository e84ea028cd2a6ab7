/* The C face of the one C++ file of quiver: what the C API of FAISS 1.7.3 lacks. Per-query parameters
 * and id selectors for HNSW and IVF, a graph over rows that are not copied, and files through
 * callbacks. Everything else goes through faiss/c_api directly.
 *
 * No exception leaves these functions: they return 0, SHIM_FAILED with a text, or SHIM_NOMEM. Searches
 * never change the index, and run on the calling thread only; any number may run at once.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct FaissIndex_H; /* FaissIndex of faiss/c_api */

enum { SHIM_OK = 0, SHIM_FAILED = -1, SHIM_NOMEM = -2 };

struct shim_error {
	char text[256];
};

/* Distance with smaller is better, between two rows at any address. */
typedef float (*shim_distance_fn)(const float *a, const float *b, size_t dim);

struct shim_hnsw {
	uint32_t dim, m, ef_construction;
	const float *rows; /* borrowed as long as the index lives; any alignment */
	shim_distance_fn distance;
};

/* The arrays of a graph, as in struct faiss_graph. Borrowed from the index. */
struct shim_graph {
	const void *probas, *cumulative, *levels, *offsets, *neighbors;
	uint64_t n_probas, n_cumulative, n_nodes, n_neighbors;
	int32_t entry, max_level, ef_construction, ef_search, upper_beam;
};

/* An empty HNSW index over rows in place: distances are computed by h->distance on h->rows. */
int shim_hnsw_new(const struct shim_hnsw *h, struct FaissIndex_H **out, struct shim_error *err);
/* Adds the next `n` rows (they follow those added before). */
int shim_hnsw_add(struct FaissIndex_H *index, uint32_t n, uint32_t threads, struct shim_error *err);
void shim_hnsw_graph(const struct FaissIndex_H *index, struct shim_graph *out);
/* Copies a graph that was checked before into an empty index of shim_hnsw_new. */
int shim_hnsw_set_graph(struct FaissIndex_H *index, const struct shim_graph *g,
			struct shim_error *err);

struct shim_query {
	const float *vector;
	uint32_t k;
	uint32_t ef;        /* HNSW */
	uint32_t nprobe;    /* IVF */
	const void *bitmap; /* NULL: every row; else bit i of the bytes allows row i */
	size_t bitmap_bytes;
};
/* Fills k distances and labels; a label of -1 means that there are no more. For HNSW, `computed` grows by
 * the number of distances that it took. */
int shim_hnsw_search(const struct FaissIndex_H *index, const struct shim_query *q, float *distances,
		     int64_t *labels, uint64_t *computed, struct shim_error *err);
int shim_ivf_search(const struct FaissIndex_H *index, const struct shim_query *q, float *distances,
		    int64_t *labels, struct shim_error *err);

/* Train and add with a number of OpenMP threads that holds for this call only. */
int shim_train(struct FaissIndex_H *index, const float *rows, uint32_t n, uint32_t threads,
	       struct shim_error *err);
int shim_add(struct FaissIndex_H *index, const float *rows, uint32_t n, uint32_t threads,
	     struct shim_error *err);

/* write returns 0, or another number, which shim_write hands back. */
typedef int (*shim_write_fn)(void *ctx, const void *bytes, size_t n);
int shim_write(const struct FaissIndex_H *index, shim_write_fn write, void *ctx, int *write_rc,
	       struct shim_error *err);
/* The bytes are checked by the caller (faiss_file_ivf); they are not needed afterwards. */
int shim_read(const void *bytes, size_t n, struct FaissIndex_H **out, struct shim_error *err);

#ifdef __cplusplus
}
#endif
