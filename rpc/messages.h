/* All messages between roles on one page. name, class; their numbers are on the wire: new ones go
 * to the end. For each there is struct rpc_<name>_request and struct rpc_<name>_response (encoders
 * and decoders are in rpc/codec*.c). */
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
	X(join, RPC_CONTROL)      /* a new node to any node of the cluster */                      \
	X(append, RPC_COPY)    /* log records, from a partition's primary to its other replicas */ \
	X(seed_open, RPC_BULK) /* pins what a new replica copies: segments, manifest, log */       \
	X(seed_read, RPC_BULK) /* a piece of one of its files */                                   \
	X(seed_close, RPC_BULK)

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
/* What a replica is by the newest map that it has seen. Only a primary or member answers reads. */
enum copy_role { COPY_NONE, COPY_LEARNER, COPY_MEMBER, COPY_PRIMARY };
struct replica_field {
	const char *path;
	uint64_t points;
};
struct rpc_info_request {
	struct rpc_target target;
	bool newest; /* refused by a replica that may not answer reads just now */
};
struct rpc_info_response {
	enum replica_status status;
	uint64_t points, indexed_vectors, vectors, segments, applied_seq, last_seq, epoch;
	uint64_t memory_bytes, disk_bytes;
	uint64_t digest;
	enum copy_role role;
	bool serves;                  /* answers reads now */
	uint64_t last_epoch;          /* of the end of its log */
	uint64_t commit_seq;          /* as far as it knows; what is above applied_seq is its lag */
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

/* ---- copies of a partition ---- */

/* A record of the log: the op as op_encode() makes it. */
struct append_record {
	uint64_t seq, epoch;
	const void *bytes;
	uint32_t n;
};
/* Without records it is a heartbeat: it tells the commit position and asks for an answer. */
struct rpc_append_request {
	struct rpc_target target;      /* epoch: that of the primary's configuration */
	uint64_t from;                 /* the primary */
	uint64_t prev_seq, prev_epoch; /* of the record before the first */
	uint64_t commit_seq;
	/* The primary's state after digest_seq has this digest. 0: it has applied nothing. */
	uint64_t digest_seq, digest;
	uint64_t heard_us; /* sent_us of the callee's last answer that reached the primary; 0: none */
	uint64_t lease_us; /* the callee may answer reads for so long from heard_us on; 0: not */
	bool in_sync;      /* the callee is in the in-sync set of this epoch */
	bool seed;         /* the log lacks what the callee needs: it copies the caller's files */
	const struct append_record *records; /* contiguous from prev_seq + 1 */
	uint32_t n_records;
};
enum append_status {
	APPEND_OK,
	APPEND_STALE,    /* the callee has seen a higher epoch, see `epoch` */
	APPEND_MISMATCH, /* it does not hold record prev_seq of epoch prev_epoch; see hint_seq */
	APPEND_DIVERGED, /* its state differs from the primary's, or it would lose what is committed */
	APPEND_SEEDING, /* it is copying files */
	APPEND_FULL,    /* its disk took nothing of this */
};
struct rpc_append_response {
	enum append_status status;
	uint64_t epoch;                    /* the highest that it has seen */
	uint64_t durable_seq, applied_seq; /* of its log, of its state */
	uint64_t hint_seq; /* MISMATCH: the last record at which the two logs may agree */
	uint64_t sent_us;  /* its own clock when it answered; means nothing to others */
};

enum { SEED_FILES_MAX = 1 << 16, SEED_READ_MAX = 1 << 20 };
struct seed_file {
	uint64_t segment;
	const char *name; /* in the segment's folder */
	uint64_t size, hash;
};
struct rpc_seed_open_request {
	struct rpc_target target;
	uint64_t from;
};
/* Until seed_close, or 30 s without a seed_read, the callee keeps the files as they are, and its
 * log from the manifest's applied seq on. */
struct rpc_seed_open_response {
	uint64_t pin;
	const void *manifest; /* encoded as on disk */
	uint32_t n_manifest;
	const struct seed_file *files;
	uint32_t n_files;
};
struct rpc_seed_read_request {
	struct rpc_target target;
	uint64_t pin, segment;
	const char *name;
	uint64_t offset;
	uint32_t n; /* SEED_READ_MAX at most */
};
struct rpc_seed_read_response {
	const void *bytes; /* fewer than n at the end of the file only */
	uint32_t n;
	uint64_t hash; /* of bytes */
};
struct rpc_seed_close_request {
	struct rpc_target target;
	uint64_t pin;
};
struct rpc_seed_close_response {
	bool was_open;
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
	uint64_t node;  /* 0 or the callee's own: who are you? */
	uint64_t about; /* with that: what do you know of this node? 0: nothing is asked */
};
struct rpc_probe_response {
	bool reachable;
	uint64_t node;     /* who answers */
	uint64_t start_id; /* random number of its process */
	/* About that node, by the newest map: */
	bool fresh;           /* the callee is at its own first start and knows no map yet */
	bool unsure;          /* it cannot say which map is the newest */
	bool member;          /* it follows the map, or votes on it */
	uint64_t incarnation; /* 0: it has never registered */
};

struct rpc_join_request {
	const char *name, *rpc_address, *http_address;
	bool coordinator, shard;
};
struct rpc_join_response {
	uint64_t cluster_id, node;
};
