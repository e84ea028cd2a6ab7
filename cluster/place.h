/* Where replicas go. Pure: the map in, node ids out; equal maps give equal answers on every node. */
#pragma once

#include "cluster/map.h"

struct place_request {
	const char *name; /* of the collection: spreads ties differently for each */
	uint32_t n_partitions;
	uint32_t replication_factor;
	bool degraded; /* fewer replicas than asked for are accepted */
	/* Nodes that the caller cannot reach just now, though the map has them up: left out while the
	 * others are enough for the factor. */
	const uint64_t *silent;
	uint32_t n_silent;
};

/* Chooses nodes for the partitions of a new collection among the shard servers that are up: nodes
 * with the fewest replicas first, primaries evenly. Fills replicas[n_partitions * *n_replicas],
 * the first of each partition being its primary; there must be room for
 * n_partitions * replication_factor. ERR_VALIDATION names the number of shard servers when the
 * factor is above it and degraded was not asked for; ERR_UNAVAILABLE when there is none. */
int place_collection(const struct map *m, const struct place_request *request, uint64_t *replicas,
		     uint32_t *n_replicas, struct error *err);

/* The best shard server for one more replica of a partition: up, without one, with the fewest
 * replicas. 0 = none. */
uint64_t place_replacement(const struct map *m, const struct map_collection *c, uint32_t partition);

/* One move of a replica towards balance, or off a draining node. */
struct place_move {
	uint64_t collection_id;
	uint32_t partition;
	uint64_t from, to;
};
/* At most `cap` moves, the most useful first: replicas on draining nodes, then from the fullest to
 * the emptiest node until they differ by at most one. Partitions with learners are left alone: a
 * move of theirs is under way. Returns how many. */
size_t place_balance(const struct map *m, struct place_move *moves, size_t cap);
