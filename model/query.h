/* Query tree as parsed at the edge, leaf searches as sent to partitions, and results. */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "model/filter.h"
#include "model/point.h"

struct search_params {
	uint32_t ef;     /* 0 = default of the index */
	uint32_t nprobe; /* 0 = default */
	bool exact;
	bool indexed_only;
	bool ignore_quantization;
	bool no_rescore;    /* quantization.rescore: false */
	float oversampling; /* 0 = default */
	float min_recall;   /* 0 = not asked */
	uint64_t budget_us; /* 0 = none */
};

struct select_payload { /* with_payload */
	bool enabled;
	bool exclude;       /* paths are left out instead of kept */
	bool none;          /* an empty list of paths was given: {} */
	struct path *paths; /* n_paths 0: everything, but for `none` */
	uint32_t n_paths;
};
struct vector_name {
	const char *name;
	uint32_t n;
};
struct select_vectors { /* with_vector */
	bool enabled;
	bool none;                 /* an empty list of names was given: {} */
	struct vector_name *names; /* n_names 0: all, but for `none` */
	uint32_t n_names;
};

enum query_kind {
	QUERY_NONE,    /* list by id */
	QUERY_NEAREST, /* vector */
	QUERY_ID,      /* nearest to a stored point's vector (resolved by the coordinator) */
	QUERY_RRF,
	QUERY_DBSF,
	QUERY_RECOMMEND,
	QUERY_ORDER_BY,
	QUERY_SAMPLE
};
enum recommend_strategy { RECOMMEND_AVERAGE, RECOMMEND_BEST, RECOMMEND_SUM };

/* An example of a query: a vector, or the id of a point that has it. */
struct query_input {
	bool is_id;
	struct point_id id;
	struct vector vector; /* kind and values; space is set by the coordinator from `using` */
};

struct query {
	enum query_kind kind;
	struct query_input nearest;              /* NEAREST, ID */
	bool mmr;                                /* with NEAREST or ID */
	float mmr_diversity;                     /* 0..1, default 0.5 */
	uint32_t mmr_candidates;                 /* 0 = limit */
	uint32_t rrf_k;                          /* default 2 */
	float *rrf_weights;                      /* NULL or one per prefetch */
	struct query_input *positive, *negative; /* RECOMMEND */
	uint32_t n_positive, n_negative, n_rrf_weights;
	enum recommend_strategy strategy;
	struct path order_path; /* ORDER_BY */
	bool order_desc;
	bool has_start_from;
	double start_from;      /* number, or microseconds of a date */
	const char *using_name; /* "" by default, NUL-terminated */
	struct filter *filter;
	struct search_params params;
	bool has_threshold;
	float threshold;
	uint64_t limit; /* as asked: clamp before use */
	uint64_t offset;
	struct select_payload payload;
	struct select_vectors vectors;
	struct query *prefetch;
	uint32_t n_prefetch;
};

/* One leaf: a search of one partition for one vector. Answered with `top` candidates. */
struct leaf {
	uint32_t partition;
	struct vector vector; /* dense or sparse, space set; already normalised when Cosine */
	float *idf;           /* sparse with idf: factor per query index, else NULL */
	const struct filter *filter;
	struct search_params params;
	uint32_t top; /* any number: whoever serves it clamps to its rows before it allocates */
	bool has_threshold;
	float threshold;               /* displayed unit, strict */
	struct select_payload payload; /* inlined when cheap; else fetched after the merge */
	struct select_vectors vectors;
};

/* A result point. Score in the displayed unit. Memory in the arena of the request. */
struct hit {
	struct point_id id;
	uint64_t version;
	float score;
	double order_value;      /* ORDER_BY */
	struct pv_slice payload; /* bytes NULL: not asked for */
	struct vector *vectors;
	uint32_t n_vectors;
	bool has_vectors; /* asked for (n_vectors may be 0) */
};
struct hits {
	struct hit *items;
	uint32_t n;
};

enum search_plan { PLAN_NONE, PLAN_EXACT, PLAN_GRAPH, PLAN_IVF, PLAN_SPARSE };
struct leaf_receipt { /* how a leaf was answered */
	uint64_t applied_seq;
	uint64_t candidates;   /* distances computed, or rows scanned */
	enum search_plan plan; /* the strongest used: EXACT only when every segment was exact */
	bool cut;              /* stopped by deadline or budget */
	bool incomplete;       /* a quarantined segment was left out */
	uint32_t ef;           /* what was used */
};

/* Best first in the order of the API: score, then ties by id (descending when larger is better,
 * ascending when smaller is better). */
int hit_compare(const struct hit *a, const struct hit *b, bool larger_is_better);
/* Copies what a hit refers to (payload, vectors) into the arena. */
void hit_keep(struct arena *arena, struct hit *h);
/* Merges sorted lists, drops duplicate ids (keeps the best), keeps the first `top`. */
void hits_merge(const struct hits *lists, uint32_t n_lists, uint32_t top, bool larger_is_better,
		struct arena *arena, struct hits *out);

/* What an answer should carry. Decoding marks the reader bad on anything malformed. */
void select_encode(struct buf *b, const struct select_payload *p, const struct select_vectors *v);
void select_decode(struct reader *r, struct arena *arena, struct select_payload *p,
		   struct select_vectors *v);
/* The tree never crosses the wire: the coordinator that parsed it works it off, in leaves. */
void leaf_encode(struct buf *b, const struct leaf *l);
/* Copies everything into the arena. ERR_FORMAT also for a `top` or `ef` above its limit. */
int leaf_decode(struct reader *r, struct arena *arena, struct leaf *out, struct error *err);
void hits_encode(struct buf *b, const struct hits *h);
/* Payloads are borrowed from the reader's bytes, the rest is in the arena. */
int hits_decode(struct reader *r, struct arena *arena, struct hits *out, struct error *err);
