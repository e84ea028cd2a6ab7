/* Coordinator role: everything that api/ asks for. Plans a request, sends leaf calls to replicas, merges, fuses, routes writes,
 * and changes the shard map.
 *
 * Calls: the caller fills a request struct, sets done/ctx, and submits. done() runs exactly once, possibly before the submit
 * function returns (single-node searches do), possibly on another thread. Inputs must live until done(); outputs are in the
 * request struct, their memory in `arena` (the caller's, used by the coordinator until done()). rc 0 or a negative code with
 * err's text, which is fit to be shown to the API's user.
 *
 * Collections are handed out as references to immutable definitions; aliases resolve. A missing one is ERR_NOT_FOUND with
 * the text "Collection `x` doesn't exist!".
 */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "cluster/map.h"
#include "model/collection.h"
#include "model/query.h"
#include "model/write.h"
#include "rpc/messages.h"

struct coord;

/* The referenced definition (collection_unref when done), or ERR_NOT_FOUND. */
int coord_collection(struct coord *c, const char *name, const struct collection **out,
		     struct error *err);
/* A reference to the current map (map_unref), for lists of collections, aliases and cluster views. */
const struct map *coord_map(struct coord *c);

/* Common head of all requests. */
struct coord_call {
	const struct collection *collection; /* borrowed until done */
	struct arena *arena;
	uint64_t deadline_us; /* monotonic; 0 = the default time limit */
	bool allow_partial;
	int rc;
	struct error err;
	void (*done)(struct coord_call *call);
	void *ctx;
};

/* ---- reads ---- */

struct partition_receipt {
	uint32_t partition;
	uint64_t node;
	bool answered;
	bool degraded; /* it has fewer in-sync replicas than the collection asks for */
	struct leaf_receipt leaf;
};
struct query_result {
	int rc; /* of this query alone; err has its text */
	struct error err;
	struct hits hits;
	bool complete;                      /* every partition was searched completely */
	struct partition_receipt *receipts; /* per partition */
	uint32_t n_receipts;
};

/* One or many queries (query/batch) of one collection. Each query has its own result; call.rc is 0 unless nothing could be tried. */
struct coord_query {
	struct coord_call call;
	const struct query *queries;
	uint32_t n_queries;
	struct query_result *results; /* out: n_queries */
};
void coord_query(struct coord *c, struct coord_query *q);

/* query/groups: `query` without offset; groups ordered by best hit. */
struct coord_group {
	struct pv_slice id;
	struct hits hits;
};
struct coord_groups {
	struct coord_call call;
	const struct query *query;
	struct path group_by;
	uint32_t group_size, n_groups_wanted;
	struct coord_group *groups; /* out */
	uint32_t n_groups;
};
void coord_query_groups(struct coord *c, struct coord_groups *g);

struct coord_retrieve {
	struct coord_call call;
	const struct point_id *ids;
	uint32_t n_ids;
	struct select_payload payload;
	struct select_vectors vectors;
	struct hits hits; /* out: those that exist, in the order asked, duplicates once */
};
void coord_retrieve(struct coord *c, struct coord_retrieve *r);

/* A page in id order, or by value. The limit is served whole however large (it is clamped to the number of points). */
struct coord_scroll {
	struct coord_call call;
	struct rpc_scroll_request scroll; /* target, limit unused */
	uint64_t limit;
	struct hits hits;
	bool has_next;
	struct point_id next; /* first id of the next page (BY_ID only) */
};
void coord_scroll(struct coord *c, struct coord_scroll *s);

struct coord_count {
	struct coord_call call;
	const struct filter *filter;
	bool exact;
	uint64_t count;
};
void coord_count(struct coord *c, struct coord_count *n);

struct coord_facet {
	struct coord_call call;
	struct path path;
	const struct filter *filter;
	uint64_t limit;
	struct facet_value *values; /* by count descending, then value */
	uint32_t n_values;
};
void coord_facet(struct coord *c, struct coord_facet *f);

/* Sum over partitions, and each partition's own state. The status is at least yellow when a partition has fewer in-sync replicas than asked for,
 * and red when none of them lives: then the partition's own figures are missing. */
struct coord_info {
	struct coord_call call;
	struct rpc_info_response total;
	struct rpc_info_response *partitions; /* n_partitions */
};
void coord_info(struct coord *c, struct coord_info *i);

/* Each replica by itself, as it says of itself. */
struct coord_replica {
	uint32_t partition;
	uint64_t node;
	bool in_sync, primary; /* by the map */
	int rc;                /* 0: it answered; info is without its fields */
	struct error err;
	struct rpc_info_response info;
};
struct coord_replicas {
	struct coord_call call; /* rc is 0 also when none answered */
	bool only_in_sync;
	struct coord_replica *replicas; /* out: by partition; in sync first, then learners */
	uint32_t n;
};
void coord_replicas(struct coord *c, struct coord_replicas *r);

/* ---- writes ---- */

/* One write, or many in order (points/batch). Vectors may still be raw: the coordinator normalises for Cosine (in place: the
 * floats are the request's own). Dimensions, names and ids were checked by the caller. Split by partition; each part is
 * acknowledged when durable and applied. */
struct coord_write {
	struct coord_call call;
	struct write *writes;
	uint32_t n_writes;
	uint64_t batch_hi, batch_lo; /* idempotency, 0 = none */
	uint64_t *seqs;    /* out: n_writes; the highest log position of each, as operation_id */
	uint64_t *changed; /* out: n_writes; points concerned */
	uint32_t refused_partition; /* with rc < 0: which partition refused first; the others' parts may stand (err's text says so) */
	bool degraded; /* out: a partition that was written has fewer in-sync replicas than the collection asks for */
};
void coord_write(struct coord *c, struct coord_write *w);

/* ---- the map ---- */

/* `definition`: name, spaces, ... filled; id and revision are assigned. Done when every partition can serve. Creating checks
 * the memory of nothing: an empty collection is small. degraded: allow fewer replicas than asked for. */
struct coord_change {
	struct coord_call call; /* collection: unused */
	struct map_command
		command; /* CREATE, UPDATE, DELETE, ALIASES, KEY_*; replicas are chosen by the coordinator */
	bool degraded;
	struct coord *coord; /* the coordinator's own use */
};
void coord_change(struct coord *c, struct coord_change *change);

/* What this node knows of the shard map's consensus; leader 0: unknown. */
struct coord_consensus {
	uint64_t leader, term, commit;
	bool is_leader, is_voter;
};
void coord_consensus(struct coord *c, struct coord_consensus *out);

/* Ready to serve? Otherwise the reason. */
bool coord_ready(struct coord *c, struct error *why);
void coord_metrics(struct coord *c, struct buf *out);

/* ---- life ---- */
struct rpc;
struct meta_runtime;
struct clock;
struct pool;
struct coord_options {
	struct rpc *rpc;
	struct meta_runtime *meta;
	const struct clock *clock;
	struct pool *pool;
	uint64_t self_node;
	uint64_t default_timeout_us; /* 0 = 60 s */
};
int coord_start(struct coord **out, const struct coord_options *options, struct error *err);
/* The node stops: nothing is tried again any more, and the control plane is not asked. Before that one ends. NULL ok. */
void coord_close(struct coord *c);
void coord_stop(struct coord *c); /* NULL ok */
