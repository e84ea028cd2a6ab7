/* All messages between roles on one page. name, class. For each there is struct rpc_<name>_request and
 * struct rpc_<name>_response (encoders and decoders in rpc/codec.c come with the network back-end). */
#pragma once
#include "model/op.h"
#include "model/query.h"
#include "model/write.h"
#include <stdbool.h>
#include <stdint.h>

#define RPC_MESSAGES(X)                                                                            \
	X(search, RPC_SEARCH)   /* leaf searches of one collection on one node */                  \
	X(retrieve, RPC_SEARCH) /* points by id */                                                 \
	X(scroll, RPC_SEARCH)   /* a page in id order, order_by order, or a random sample */       \
	X(count, RPC_SEARCH)                                                                       \
	X(facet, RPC_SEARCH)                                                                       \
	X(idf, RPC_SEARCH)   /* document frequencies of sparse indices */                          \
	X(info, RPC_CONTROL) /* state of a replica */                                              \
	X(write, RPC_WRITE)                                                                        \
	X(meta, RPC_CONTROL)      /* between the control planes: raft and what goes with it */     \
	X(heartbeat, RPC_CONTROL) /* a node to the map's leader */                                 \
	X(probe, RPC_CONTROL)     /* can you reach that node? */                                   \
	X(join, RPC_CONTROL)      /* a new node to any node of the cluster */

enum rpc_type {
#define RPC_ENUM(name, class) RPC_TYPE_##name,
	RPC_MESSAGES(RPC_ENUM)
#undef RPC_ENUM
		RPC_TYPE_COUNT
};

/* Every request names the collection by id and the revision of its definition that the caller used; a callee with an
 * older definition refreshes first, a partition that it does not serve is ERR_STALE. */
struct rpc_target {
	uint64_t collection_id;
	uint64_t revision;
	uint32_t partition;
	uint64_t epoch;
};

struct rpc_search_request {
	struct rpc_target target; /* partition unused: each leaf names its own */
	const struct leaf *leaves;
	uint32_t n_leaves;
	bool allow_partial;
};
struct rpc_search_response {
	struct hits *hits;             /* n_leaves */
	struct leaf_receipt *receipts; /* n_leaves */
};

struct rpc_retrieve_request {
	struct rpc_target target;
	const struct point_id *ids;
	uint32_t n_ids;
	struct select_payload payload;
	struct select_vectors vectors;
};
struct rpc_retrieve_response {
	struct hits hits; /* the points that exist, in the order asked; score 0 */
};

enum scroll_order { SCROLL_BY_ID, SCROLL_BY_VALUE, SCROLL_RANDOM };
struct rpc_scroll_request {
	struct rpc_target target;
	enum scroll_order order;
	const struct filter *filter;
	bool has_offset;
	struct point_id offset; /* BY_ID: first id wanted (inclusive) */
	uint32_t limit;         /* any: a partition gives what it has */
	struct path
		order_path; /* BY_VALUE: numbers and dates; points without the field are left out, an array counts once per value */
	bool desc;
	bool has_start_from;
	double start_from;
	uint64_t seed; /* RANDOM */
	struct select_payload payload;
	struct select_vectors vectors;
};
struct rpc_scroll_response {
	struct hits
		hits; /* BY_ID: ascending; BY_VALUE: by order_value then id; RANDOM: any order, score = the random key */
};

struct rpc_count_request {
	struct rpc_target target;
	const struct filter *filter;
	bool exact;
};
struct rpc_count_response {
	uint64_t count;
};

struct facet_value {
	struct pv_slice value;
	uint64_t count;
};
struct rpc_facet_request {
	struct rpc_target target;
	struct path path;
	const struct filter *filter;
};
struct rpc_facet_response {
	struct facet_value *values;
	uint32_t n;
}; /* all distinct values */

struct rpc_idf_request {
	struct rpc_target target;
	uint32_t space;
	const uint32_t *indices;
	uint32_t n_indices;
};
struct rpc_idf_response {
	uint64_t n_points;
	uint64_t *n_with;
}; /* per index asked for */

enum replica_status {
	REPLICA_GREEN,
	REPLICA_YELLOW,
	REPLICA_RED
}; /* yellow: indexing; red: something is quarantined */
struct replica_field {
	const char *path;
	uint64_t points;
};
struct rpc_info_request {
	struct rpc_target target;
};
struct rpc_info_response {
	enum replica_status status;
	uint64_t points, indexed_vectors, vectors, segments, applied_seq, last_seq, epoch;
	uint64_t memory_bytes, disk_bytes;
	uint64_t digest;
	const char *warning;          /* NULL, or sentences: fallbacks, quarantined segments */
	struct replica_field *fields; /* of the schema */
	uint32_t n_fields;
};

struct rpc_write_request {
	struct rpc_target target;
	const struct write *write;
};
struct rpc_write_response {
	uint64_t seq;     /* where it stands in the log */
	uint64_t changed; /* points that it concerned */
};

/* ---- the control plane. Every node follows the map's log (coordinators vote, the others learn), so a node needs no message
 * to fetch the map or to propose a change: its own control plane does both. ---- */

/* Handled where it comes in, in the order sent; the handler must only hand it over. */
struct rpc_meta_request {
	uint64_t from;
	const void *bytes; /* as cluster/meta.h made them */
	uint32_t n;
};
struct rpc_meta_response {
	bool taken;
};

/* What a node says of a replica that it hosts. */
struct replica_report {
	uint64_t collection_id;
	uint32_t partition;
	uint64_t epoch;
	uint64_t last_epoch, last_seq; /* end of its log */
	uint64_t commit_seq;           /* applied and visible up to here */
	uint64_t digest;               /* of the state at commit_seq */
	bool failed;                   /* it could not be opened */
};
struct rpc_heartbeat_request {
	uint64_t node, incarnation;
	const char *rpc_address;              /* where it listens now; the map may not know yet */
	const struct replica_report *reports; /* sorted by collection and partition */
	uint32_t n_reports;
};
struct rpc_heartbeat_response {
	bool superseded; /* this node was started again elsewhere: the caller must end */
	bool removed;    /* it is in the newest map no more: likewise */
	uint64_t leader; /* 0 = unknown */
};

struct rpc_probe_request {
	uint64_t node; /* 0 or the callee's own: who are you? */
};
struct rpc_probe_response {
	bool reachable;
	uint64_t node;     /* who answers */
	uint64_t start_id; /* random number of its process */
};

struct rpc_join_request {
	const char *name, *rpc_address, *http_address;
	bool coordinator, shard;
};
struct rpc_join_response {
	uint64_t cluster_id, node;
};
