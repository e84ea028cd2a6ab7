/* Views of the cluster: nodes, and where the partitions of a collection are. */
#include "api/request.h"
#include "base/clock.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

static uint64_t self_node(struct api_request *r, const struct map *map)
{
	if (r->api->options.self_node != 0)
		return r->api->options.self_node;
	return map->n_nodes > 0 ? map->nodes[0].id : 0;
}

static void put_peers(struct buf *b, const struct map *map)
{
	json_put_literal(b, "{");
	for (uint32_t i = 0; i < map->n_nodes; i++) {
		const struct map_node *node = &map->nodes[i];

		buf_printf(b, "%s\"%" PRIu64 "\":{\"uri\":", i > 0 ? "," : "", node->id);
		json_put_string(b, node->http_address, strlen(node->http_address));
		json_put_literal(b, ",\"name\":");
		json_put_string(b, node->name, strlen(node->name));
		json_put_literal(b, "}");
	}
	json_put_literal(b, "}");
}

/* last_update: when this answer was made, which is when the state was looked at. */
static void put_consensus(struct buf *b, struct coord *coord)
{
	struct coord_consensus raft;
	struct tm utc;
	char now[32];
	time_t seconds = (time_t)(clock_wall_us() / 1000000);

	coord_consensus(coord, &raft);
	gmtime_r(&seconds, &utc);
	strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &utc);
	buf_printf(
		b,
		",\"raft_info\":{\"term\":%llu,\"commit\":%llu,\"pending_operations\":0,\"leader\":",
		(unsigned long long)raft.term, (unsigned long long)raft.commit);
	if (raft.leader != 0)
		json_put_u64(b, raft.leader);
	else
		json_put_literal(b, "null");
	buf_printf(b, ",\"role\":\"%s\",\"is_voter\":%s}",
		   raft.is_leader ? "Leader" : (raft.is_voter ? "Follower" : "Learner"),
		   raft.is_voter ? "true" : "false");
	buf_printf(
		b,
		",\"consensus_thread_status\":{\"consensus_thread_status\":\"working\",\"last_update\":\"%s\"}",
		now);
}

void handle_cluster(struct api_request *r)
{
	const struct map *map = coord_map(r->api->options.coord);
	struct buf *b = respond_begin(r);

	if (map->n_nodes <= 1) {
		json_put_literal(b, "{\"status\":\"disabled\"}");
	} else {
		json_put_literal(b, "{\"status\":\"enabled\",\"peer_id\":");
		json_put_u64(b, self_node(r, map));
		json_put_literal(b, ",\"peers\":");
		put_peers(b, map);
		put_consensus(b, r->api->options.coord);
		json_put_literal(b, ",\"message_send_failures\":{}}");
	}
	map_unref(map);
	respond_ok(r);
}

/* ---- one collection ---- */

static const char *replica_state(const struct map_partition *p, uint64_t node)
{
	for (uint32_t i = 0; i < p->n_in_sync; i++)
		if (p->in_sync[i] == node)
			return "Active";
	return "Partial";
}

static void put_local(struct buf *b, uint32_t partition, uint64_t points, const char *state)
{
	buf_printf(b, "{\"shard_id\":%" PRIu32 ",\"points_count\":%" PRIu64 ",\"state\":\"%s\"}",
		   partition, points, state);
}

static void put_remote(struct buf *b, uint32_t partition, uint64_t node, const char *state)
{
	buf_printf(b, "{\"shard_id\":%" PRIu32 ",\"peer_id\":%" PRIu64 ",\"state\":\"%s\"}",
		   partition, node, state);
}

/* The replicas of one partition that are (local) or are not on this node. */
static void put_replicas(struct buf *b, const struct map_partition *p, uint32_t partition,
			 const struct coord_info *info, uint64_t self, bool local)
{
	for (uint32_t i = 0; i < p->n_in_sync + p->n_learners; i++) {
		uint64_t node = i < p->n_in_sync ? p->in_sync[i] : p->learners[i - p->n_in_sync];
		const char *state = replica_state(p, node);

		if ((node == self) != local)
			continue;
		if (b->data[b->len - 1] != '[')
			json_put_literal(b, ",");
		if (local)
			put_local(b, partition, info->partitions[partition].points, state);
		else
			put_remote(b, partition, node, state);
	}
}

static void cluster_done(struct coord_call *call)
{
	struct coord_info *info = (struct coord_info *)call;
	struct api_request *r = call->ctx;
	const struct map_collection *mc;
	const struct map *map;
	struct buf *b;
	uint64_t self;

	if (!request_succeeded(r, call))
		return;
	map = coord_map(r->api->options.coord);
	self = self_node(r, map);
	mc = map_collection_by_id(map, r->collection->id);
	b = respond_begin(r);
	buf_printf(b, "{\"peer_id\":%" PRIu64 ",\"shard_count\":%" PRIu32 ",\"local_shards\":[",
		   self, r->collection->n_partitions);
	for (uint32_t i = 0; mc != NULL && i < r->collection->n_partitions; i++)
		put_replicas(b, &mc->partitions[i], i, info, self, true);
	json_put_literal(b, "],\"remote_shards\":[");
	for (uint32_t i = 0; mc != NULL && i < r->collection->n_partitions; i++)
		put_replicas(b, &mc->partitions[i], i, info, self, false);
	json_put_literal(b, "],\"shard_transfers\":[]}");
	map_unref(map);
	respond_ok(r);
}

void handle_collection_cluster(struct api_request *r)
{
	struct coord_info *info = arena_zalloc(r->arena, sizeof(*info));

	request_call(r, &info->call, cluster_done, r);
	coord_info(r->api->options.coord, info);
}
