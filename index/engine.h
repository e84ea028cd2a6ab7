/* Private to index/: what an index is, and the engines behind vindex.h. */
#pragma once

#include "base/codec.h"
#include "index/curve.h"
#include "index/faiss_file.h"
#include "index/faiss_shim.h"
#include "index/vindex.h"
#include <pthread.h>
#include <stdatomic.h>

struct graph;
struct lists;
struct walk;

struct vindex {
	enum distance distance;
	struct index_config config; /* as asked for */
	struct vindex_info info;    /* as it is */
	uint32_t dim, n;
	struct vindex_rows rows; /* data NULL: not at hand (IVF without re-scoring) */
	float *own_rows;         /* heap copy behind rows, or NULL */
	const void *bytes;       /* the file it was opened from, or NULL */
	size_t n_bytes;
	struct FaissIndex_H
		*faiss; /* HNSW built by it; else opened with faiss_only, or IVF without rows */
	struct buf own_bytes;        /* IVF built: the file */
	struct lists *lists;         /* IVF with its rows at hand */
	struct graph *graph;         /* HNSW built by us */
	_Atomic(struct walk *) walk; /* HNSW opened; of a built graph from the first search on */
	pthread_mutex_t walk_lock;   /* of making it */
	struct curve curve;          /* of the walk, or of lists */
	uint32_t nprobe;             /* IVF: default */
	_Atomic uint64_t n_scanned;  /* rows, since they were dropped from memory */
	char fallback[200];
};

enum { HNSW_M_DEFAULT = 16, HNSW_EF_CONSTRUCT_DEFAULT = 100, EF_DEFAULT = 64 };

/* What a search fills: its own memory, candidates before re-scoring. */
struct candidates {
	float *keys;
	int64_t *labels;
	uint32_t n;
};

int engine_error(struct error *err, int shim_rc, const struct shim_error *shim);
int engine_metric(enum distance distance); /* of the file: FAISS_METRIC_IP or _L2 */
/* Rows stay at hand after a build: borrowed when the caller promised that, else copied. */
int engine_keep_rows(struct vindex *v, const struct vindex_build *b, struct error *err);
/* Candidates (label -1 is none) to the best k: with their keys, or by exact keys from the rows. */
void engine_select(const struct vindex *v, const struct vindex_query *q, const struct candidates *c,
		   bool rescore, struct topk_item *out, uint32_t *n_out);
/* Exact search, with the statistics of a search. */
int engine_scan(const struct vindex *v, const struct vindex_query *q, struct topk_item *out,
		uint32_t *n_out, struct vindex_stats *stats);

int hnsw_build(struct vindex *v, const struct vindex_build *b, struct error *err);
int hnsw_open(struct vindex *v, const struct vindex_open *o, struct error *err);
int hnsw_save(const struct vindex *v, vindex_write_fn write, void *ctx, struct error *err);
int hnsw_search(const struct vindex *v, const struct vindex_query *q, struct topk_item *out,
		uint32_t *n_out, struct vindex_stats *stats, struct error *err);

/* Decides whether n rows are enough for the IVF asked for; false: flat, with the reason in
 * v->fallback. */
bool ivf_possible(struct vindex *v);
int ivf_build(struct vindex *v, const struct vindex_build *b, struct error *err);
int ivf_open(struct vindex *v, const struct vindex_open *o, struct error *err);
int ivf_save(const struct vindex *v, vindex_write_fn write, void *ctx, struct error *err);
int ivf_search(const struct vindex *v, const struct vindex_query *q, struct topk_item *out,
	       uint32_t *n_out, struct vindex_stats *stats, struct error *err);
/* With v->lists only. A query with k 0 finds nothing. */
void ivf_search_batch(const struct vindex *v, const struct vindex_query *queries,
		      struct vindex_answer *answers, uint32_t n);
