/* What the files of coordinator/ share. Not for other folders. */
#pragma once
#include "base/clock.h"
#include "base/histogram.h"
#include "base/pool.h"
#include "base/prng.h"
#include "coordinator/coordinator.h"
#include "coordinator/route.h"
#include "coordinator/timer.h"
#include "rpc/rpc.h"
#include <stdatomic.h>

struct coord {
	struct coord_options options;
	uint64_t default_timeout_us;
	uint64_t started_wall_us;
	atomic_bool closing;
	atomic_ulong sample_seed;
	atomic_ulong batches; /* names of writes that came without one */
	atomic_ulong searches, reads, writes, changes, failures; /* requests since the start */
	struct histogram search_us, write_us;
	struct route route;
	struct timers *timers;
};

/* ---- rounds: send many calls, continue once when all are answered ---- */

/* The response of any call that a coordinator makes. */
union rpc_any_response {
	struct rpc_search_response search;
	struct rpc_retrieve_response retrieve;
	struct rpc_scroll_response scroll;
	struct rpc_count_response count;
	struct rpc_facet_response facet;
	struct rpc_idf_response idf;
	struct rpc_info_response info;
	struct rpc_write_response write;
};

struct round;
struct round_call {
	struct rpc_call rpc;
	union rpc_any_response response;
	struct round *round;
	struct arena *own_arena; /* of the answer, when it is not in the request's arena */
	uint64_t node;
	uint32_t partition;
	uint32_t tag; /* the request's own use */
	bool racing;  /* begun at another node; `node` becomes whoever answers */
	bool more;    /* another one of the round goes to that node right after it */
	bool answered;
};

/* Calls of one round live in the request's arena. Arenas of answers are kept until round_fini. */
struct round {
	struct coord *coord;
	struct coord_call *call;
	const struct map *map; /* the map that this request works by */
	const struct map_collection *placed;
	struct round_call *calls;
	uint32_t n_calls, cap_calls;
	struct arena **arenas; /* of the answers of earlier rounds */
	uint32_t n_arenas, cap_arenas;
	atomic_uint pending;
	void (*resume)(void *ctx); /* all answered, on the thread of the last answer */
	void *ctx;
};

/* Takes a map reference and finds the collection in it: ERR_NOT_FOUND when it is gone. Sets the deadline. */
int round_init(struct round *r, struct coord *c, struct coord_call *call, struct error *err);
void round_fini(struct round *r);
void round_clear(struct round *r); /* forget the calls, keep their arenas */
/* Adds a call to a replica of `partition`; for RPC_TYPE_write to its primary. */
struct round_call *round_add(struct round *r, enum rpc_type type, uint32_t partition,
			     const void *request);
/* The replica that a read of the partition goes to first. */
uint64_t round_pick(struct round *r, uint32_t partition);
/* Do any answers lie outside of the request's arena? They must be copied before round_fini. */
bool round_has_arenas(const struct round *r);
struct rpc_target round_target(const struct round *r, uint32_t partition);
/* Has the partition fewer in-sync replicas than the collection asks for? By the newest map. */
bool round_degraded(const struct round *r, uint32_t partition);
/* A call of the round is answered: c->rpc.rc, err, response. */
void round_done(struct round_call *c);
/* Sends all. true: everything was answered already; false: `resume` will be called. */
bool round_send(struct round *r);
/* First failure among the calls, with its text in call->err; 0 when there is none. */
int round_failure(struct round *r, struct error *err);

/* Ends a request: counts it and calls done. */
void coord_finish(struct coord *c, struct coord_call *call, int rc);

/* Finishes a change of the map, that is applied here, when every node that can be reached has applied it (coordinator/spread.c). */
void spread_wait(struct coord *c, struct coord_change *change);
/* Finishes the creation of a collection, that is in the map, when every in-sync replica of it is there (coordinator/create.c). */
void create_wait(struct coord *c, struct coord_change *change);

/* ---- fusion: pure, over merged lists (coordinator/fuse.c) ---- */

/* Reciprocal rank fusion: score = sum over lists of 1 / ((rank + 1) / weight + k - 1), rank from 0. */
struct rrf_options {
	uint32_t k;
	const float *weights; /* one per list; NULL: all 1 */
	uint32_t top;
};
void fuse_rrf(const struct hits *lists, uint32_t n_lists, const struct rrf_options *options,
	      struct arena *arena, struct hits *out);
/* Distribution-based: each list's scores are mapped so that mean -+ 3 sigma becomes 0..1, then summed. */
void fuse_dbsf(const struct hits *lists, const bool *larger, uint32_t n_lists, uint32_t top,
	       struct arena *arena, struct hits *out);
/* Maximal marginal relevance over candidates that carry the vector of `space` (or sparse space): greedy
 * (1 - diversity) * score - diversity * max similarity to those chosen. Scores stay as they are. */
struct mmr_options {
	float diversity;
	uint32_t limit;
	enum vector_kind kind;
	uint32_t space;
	enum distance distance;
};
void fuse_mmr(const struct hits *candidates, const struct mmr_options *options, struct arena *arena,
	      struct hits *out);
/* Displayed score of two dense vectors under a distance. */
float fuse_score(enum distance distance, const float *a, const float *b, uint32_t n);
float fuse_sparse_dot(const struct vector *a, const struct vector *b);
const struct vector *hit_vector(const struct hit *h, enum vector_kind kind, uint32_t space);

/* ---- fetching points of given ids across partitions (coordinator/fetch.c) ---- */

struct fetch {
	const struct point_id *ids;
	uint32_t n_ids;
	struct select_payload payload;
	struct select_vectors vectors;
	uint32_t first_call, n_calls; /* set by fetch_add: its part of the round */
};
/* Adds one retrieve call per partition that holds any of the ids. */
void fetch_add(struct fetch *f, struct round *r);
/* After the round: the points that exist, in the order asked, duplicates once. */
void fetch_collect(const struct fetch *f, struct round *r, struct hits *out);

/* ---- maps of ids (coordinator/fetch.c) ---- */

/* Position of each id in a list of hits; open addressing in an arena. */
struct id_table {
	const struct hit **slots;
	uint32_t mask;
};
void id_table_init(struct id_table *t, uint32_t n, struct arena *arena);
void id_table_put(struct id_table *t, const struct hit *h);
const struct hit *id_table_get(const struct id_table *t, const struct point_id *id);
