/* The shard map: the replicated state machine of the control plane. Pure: commands in, new map out; equal sequences of
 * commands give equal bytes on every node. A single node runs the same machine with itself as the only voter.
 *
 * A published map is immutable and reference-counted (struct map); map_apply makes the next one.
 */
#pragma once
#include "base/codec.h"
#include "base/error.h"
#include "model/collection.h"
#include "model/id.h"
#include "model/id.h"
#include <stdbool.h>
#include <stdint.h>

enum node_state { NODE_UP, NODE_SUSPECT, NODE_DOWN, NODE_DRAINING };
struct map_node {
	uint64_t id;             /* never reused, independent of addresses */
	const char *name;        /* unique */
	const char *rpc_address; /* "host:port" */
	const char *http_address;
	uint64_t incarnation; /* grows with each start */
	bool coordinator, shard;
	enum node_state state;
	uint64_t capacity_bytes;
};

struct map_partition {
	uint64_t epoch;
	uint64_t primary;                 /* node id */
	uint64_t in_sync[LIMIT_REPLICAS]; /* holds the primary; never empty */
	uint32_t n_in_sync;
	uint64_t learners[LIMIT_REPLICAS];
	uint32_t n_learners;
	uint64_t leaving; /* the replica that a move takes away once the learner is in sync; 0 = none */
	uint64_t pinned; /* an operator has put a replica there: balancing does not take it away; 0 = none */
	uint32_t min_isr;
	uint32_t slot_first, slot_last; /* hash slots it owns, inclusive */
};

struct map_collection {
	const struct collection *collection; /* owned reference */
	struct map_partition *partitions;    /* collection->n_partitions */
};
struct map_alias {
	const char *name;
	const char *collection;
};
struct map_key {
	const char *name;
	uint8_t hash[32];
	bool read_only;
};
/* Id of a command that was applied, so that its retry is not. */
struct map_done {
	uint64_t hi, lo;
};

enum {
	MAP_FIRST_ID = 16,        /* ids below are for the nodes of the first start */
	MAP_DONE_CAPACITY = 1024, /* applied command ids that are remembered */
};

struct map {
	uint64_t index; /* log index of the last applied command */
	uint64_t cluster_id;
	uint64_t next_id;       /* for collections and nodes; >= MAP_FIRST_ID */
	struct map_node *nodes; /* by id */
	uint32_t n_nodes;
	struct map_collection *collections; /* by name */
	uint32_t n_collections;
	struct map_alias *aliases; /* by name */
	uint32_t n_aliases;
	struct map_key *keys; /* by name */
	uint32_t n_keys;
	struct map_done *done; /* oldest first, at most MAP_DONE_CAPACITY */
	uint32_t n_done;
	struct arena *arena;
	uint32_t refs;
};

struct map *map_new(uint64_t cluster_id);
struct map *map_ref(const struct map *m);
void map_unref(const struct map *m);
void map_encode(struct buf *b, const struct map *m);
int map_decode(const void *bytes, size_t n, struct map **out, struct error *err);

/* Commands. Encoded with map_command_encode; each carries a command id so that a retry of a command whose result was
 * lost applies once. */
enum map_command_type {
	MAP_CREATE_COLLECTION, /* collection (id and revision are assigned on apply), partitions' replica nodes */
	MAP_UPDATE_COLLECTION, /* collection: replaces the definition if `expect_revision` still holds; revision grows */
	MAP_DELETE_COLLECTION, /* name */
	MAP_ALIASES,           /* list of actions, all or none */
	MAP_NODE_PUT, /* join, new incarnation (its learners begin a new epoch), new address, state */
	MAP_NODE_REMOVE,
	MAP_PARTITION_SET, /* compare-and-set on epoch */
	MAP_KEY_PUT,
	MAP_KEY_REMOVE,
	MAP_PARTITION_RECOVER, /* as PARTITION_SET, but a learner may become primary: for a partition whose in-sync members
				* are lost for good. What the learner does not have is lost. */
	MAP_COMMAND_COUNT
};
enum alias_action_type { ALIAS_CREATE, ALIAS_DELETE, ALIAS_RENAME };
struct alias_action {
	enum alias_action_type type;
	const char *alias;
	const char *other; /* collection, or new name */
};

struct map_command {
	enum map_command_type type;
	uint16_t version; /* set by map_command_decode: an old one does what it did when it was written */
	uint64_t command_hi, command_lo;     /* id for idempotency, 0 = none */
	const struct collection *collection; /* CREATE, UPDATE */
	const uint64_t *
		replicas; /* CREATE: n_partitions x replication_factor node ids, first of each = primary */
	uint32_t n_replicas;      /* replicas per partition that were found */
	uint64_t expect_revision; /* UPDATE */
	const char *name;         /* DELETE, KEY_*; a collection's name */
	struct alias_action *actions;
	uint32_t n_actions;
	struct map_node node;   /* NODE_* */
	uint64_t collection_id; /* PARTITION_SET */
	uint32_t partition;
	uint64_t expect_epoch;
	struct map_partition config;
	struct map_key key;
};
void map_command_encode(struct buf *b, const struct map_command *c);
/* Strings and arrays of `out` are in the arena; out->collection is a reference (map_command_release). */
int map_command_decode(const void *bytes, size_t n, struct arena *arena, struct map_command *out,
		       struct error *err);
void map_command_release(struct map_command *c);
/* The command id of encoded bytes without decoding the rest; false when they are too short. */
bool map_command_id(const void *bytes, size_t n, uint64_t *hi, uint64_t *lo);

/* Applies the command at log position `index`. *next is the new map (or the same one, referenced, when the command was refused).
 * A refusal is a result, not a failure of applying: it returns 0 with result->code < 0 and its text (ERR_EXISTS: "Collection
 * `x` already exists!", ERR_NOT_FOUND: "Collection `x` doesn't exist!", ERR_STALE: epoch or revision moved on). */
int map_apply(const struct map *m, uint64_t index, const void *command, size_t n, struct map **next,
	      struct error *result);

/* Look-ups; NULL: none. Aliases resolve. */
const struct map_collection *map_collection(const struct map *m, const char *name);
const struct map_collection *map_collection_by_id(const struct map *m, uint64_t id);
bool map_among(const uint64_t *ids, uint32_t n, uint64_t id); /* is id one of them? */
/* Whether a node is named by a partition, in sync or as a learner on its way to it. */
bool map_partition_names(const struct map_partition *p, uint64_t node);
const struct map_node *map_node(const struct map *m, uint64_t id);
const struct map_node *map_node_by_name(const struct map *m, const char *name);
/* The one place that says which partition holds a point. */
uint32_t map_route(const struct map_collection *c, const struct point_id *id);
