/* One vector index over the rows 0..n-1 of a sealed segment: build, save, open, search.
 *
 * Engines behind this header: `flat` (exact, ours); for HNSW our own builder and `walk`, our own search; for IVF
 * FAISS as builder and `lists`, our own search. FAISS is the oracle too (config.by_faiss, faiss_only). All are
 * immutable once built: any number of threads may search one index at the same time, and every
 * per-query setting travels in struct vindex_query.
 *
 * Vectors are rows of `dim` values, row-major; queries are float32. For DISTANCE_COSINE the caller passes
 * normalised vectors and queries. Results carry `key`, smaller is better, for every metric:
 * Cosine and Dot: minus the inner product; Euclid: squared distance; Manhattan: sum of |a-b|.
 * Manhattan has no FAISS graph of its own here: HNSW is built over L2 and its candidates re-scored.
 */
#pragma once
#include "base/arena.h"
#include "base/bitset.h"
#include "base/error.h"
#include "base/topk.h"
#include "model/collection.h"
#include <stddef.h>
#include <stdint.h>

struct vindex;

/* Rows that live as long as the index: usually a mapped segment file. May be unaligned. Rows that are not
 * plain floats are decoded when they are looked at; an index is built from a float copy that lives as long as
 * the build and its index do. */
struct vindex_rows {
	const void *data; /* n x dim elements */
	uint32_t n;
	uint32_t dim;
	enum datatype type;
	bool unit;    /* compared as if their length was 1 (cosine of bytes) */
	bool of_file; /* data is mapped from a file, read-only: pages may be dropped and come back */
	/* Reads one of them as it is stored, 0 or an error, for candidates that are compared by their rows, so that
	 * the pages of `data` stay out of memory. NULL: they are read where they lie. */
	int (*read)(void *ctx, uint64_t row, void *out);
	void *read_ctx;
};

struct vindex_build {
	struct vindex_rows rows;
	enum distance distance;
	struct index_config config;
	uint32_t threads;   /* for building; 0 = 1 */
	const bool *cancel; /* may be NULL; polled between batches, set by another thread */
	void (*progress)(void *ctx, uint32_t rows_done); /* may be NULL; on the calling thread */
	void *progress_ctx;
	bool rows_stay; /* rows outlive the index: they are used in place, never copied */
};

/* What was really built: IVF/PQ with too few training vectors falls back to flat, and says so. */
struct vindex_info {
	enum index_kind kind;
	enum quantizer quantizer;
	uint32_t nlist;
	const char *fallback; /* NULL, or a sentence: why it is flat although more was asked for */
	size_t memory_bytes;  /* resident beyond the rows */
	size_t link_bytes;    /* HNSW: of that, graph links */
	bool rows_leave;      /* codes serve, and the rows need not be in memory */
};

/* Builds in memory. ERR_CLOSED when cancelled. Without rows_stay, `rows` is only borrowed during the
 * call for kinds other than flat (they keep a copy of them). */
int vindex_build(const struct vindex_build *b, struct vindex **out, struct error *err);

/* Writes the index through `write` (which returns 0 or a negative error). The bytes are FAISS's own
 * file format for HNSW and IVF and for flat too (IndexFlat): faiss.read_index in Python opens them. */
typedef int (*vindex_write_fn)(void *ctx, const void *bytes, size_t n, struct error *err);
int vindex_save(const struct vindex *v, vindex_write_fn write, void *ctx, struct error *err);

/* Opens saved bytes (a mapped file that stays mapped while the index lives). Where the file holds the
 * float rows themselves (HNSW, flat) and no others are given, they are used in place and not copied to the heap.
 * Of a graph that we search, nothing else is read again once it is open: those pages need not stay in memory.
 * Hostile or damaged bytes give ERR_CORRUPT, never a crash. */
struct vindex_open {
	const void *bytes;
	size_t n_bytes;
	struct vindex_rows
		rows; /* the segment's rows, for re-scoring; data may be NULL if kind needs none */
	enum distance distance;
	struct index_config config;
	bool faiss_only; /* search by FAISS itself even where we could: oracle and comparison */
};
int vindex_open(const struct vindex_open *o, struct vindex **out, struct error *err);
void vindex_free(struct vindex *v);
/* Where there are codes, and a quantiser or config.rows_on_disk was asked for, the rows need not be in memory: they
 * are no longer mapped, and with rows_on_disk the system is asked not to cache them either. Opening has done it, and
 * candidates are read with rows.read; this is for who has looked at all of them where they lie. */
void vindex_release_rows(const struct vindex *v);
/* The caller has scanned n of them where they lie: once they are many, they leave again. */
void vindex_note_scan(const struct vindex *v, uint64_t n);
void vindex_describe(const struct vindex *v, struct vindex_info *out);

struct vindex_query {
	const float *vector; /* dim floats */
	uint32_t k;
	uint32_t ef;                    /* HNSW effort; 0 = max(k, 64) */
	uint32_t nprobe;                /* IVF effort; 0 = default of the index */
	const struct bitset *allow;     /* NULL = every row; else only rows whose bit is set */
	uint32_t n_allow;               /* set bits in allow */
	const struct topk_order *order; /* of rows that are equally near; NULL: the smaller first */
	/* Where the configuration asks for a quantiser; else candidates are always compared by their rows. */
	bool no_rescore;    /* keys by codes alone: no row is read */
	bool ignore_codes;  /* every candidate that the search keeps is compared by its row */
	float oversampling; /* candidates compared by their rows, as a multiple of k; 0 = chosen */
	uint32_t besides; /* HNSW, IVF: 1 + a row that is passed by (to measure with rows); 0 = none */
	uint64_t deadline_us; /* 0 = none; monotonic; a walk past it stops early and says so */
};
/* The effort (ef of a graph, nprobe of an IVF index) chosen from what was measured on the index when it was built:
 * for a recall, for a time, or for a recall within a time. */
struct vindex_wish {
	uint32_t k;
	uint32_t ef; /* HNSW, with min_recall 0: the effort without a wish, which the time may lower */
	float min_recall;   /* 0: none */
	uint64_t budget_us; /* 0: none */
};
/* 0: nothing was wished, or nothing is known (flat, few rows, built by an older version). */
uint32_t vindex_effort(const struct vindex *v, const struct vindex_wish *wish);

struct vindex_stats {
	uint64_t distances; /* computed, of codes and rows */
	bool cut;           /* stopped by the deadline */
};
/* Writes at most k items, best first, tag = row. Returns the number written through *n_out. */
int vindex_search(const struct vindex *v, const struct vindex_query *q, struct topk_item *out,
		  uint32_t *n_out, struct vindex_stats *stats, struct error *err);
/* Several searches at once. Those of an IVF index share what they read (centroids, and lists that several of
 * them look at); the answers are those of vindex_search. */
struct vindex_answer {
	struct topk_item *items; /* room for k of its query */
	uint32_t n;
	struct vindex_stats stats;
};
int vindex_search_batch(const struct vindex *v, const struct vindex_query *queries,
			struct vindex_answer *answers, uint32_t n, struct error *err);

/* Exact search over rows without any index: scans all rows, or those in `allow`. The kernels here serve
 * the mutable segment, filtered exact plans and recall measurements. */
int vindex_scan(const struct vindex_rows *rows, enum distance distance,
		const struct vindex_query *q, struct topk_item *out, uint32_t *n_out);
/* One distance key between query and row (same units as above). */
float vindex_distance(enum distance distance, const float *a, const float *b, uint32_t dim);

/* The kernels in use: "plain", "avx2" or "avx512". Benchmarks ask for none above a level before they build
 * or open an index; ERR_INPUT for another name. */
const char *vindex_kernels(void);
int vindex_limit_kernels(const char *level, struct error *err);
