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

static const char *const STATES[] = {[NODE_UP] = "up",
				     [NODE_SUSPECT] = "suspect",
				     [NODE_DOWN] = "down",
				     [NODE_DRAINING] = "draining"};

static void put_peers(struct buf *b, const struct map *map)
{
	json_put_literal(b, "{");
	for (uint32_t i = 0; i < map->n_nodes; i++) {
		const struct map_node *node = &map->nodes[i];

		buf_printf(b, "%s\"%" PRIu64 "\":{\"uri\":", i > 0 ? "," : "", node->id);
		json_put_string(b, node->http_address, strlen(node->http_address));
		json_put_literal(b, ",\"name\":");
		json_put_string(b, node->name, strlen(node->name));
		buf_printf(b, ",\"state\":\"%s\",\"coordinator\":%s,\"shard\":%s}",
			   STATES[node->state], node->coordinator ? "true" : "false",
			   node->shard ? "true" : "false");
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

/* Active: in sync and answering. Recovery: in sync, but not sure to be up to date at the moment. Partial: it catches up. Dead: no answer. */
static const char *replica_state(const struct coord_replica *r)
{
	if (r->rc != 0)
		return "Dead";
	if (!r->in_sync)
		return "Partial";
	return r->info.serves ? "Active" : "Recovery";
}

static void put_replica(struct buf *b, const struct coord_replica *r, bool local)
{
	if (b->data[b->len - 1] != '[')
		json_put_literal(b, ",");
	buf_printf(b, "{\"shard_id\":%" PRIu32, r->partition);
	if (local)
		buf_printf(b, ",\"points_count\":%" PRIu64, r->info.points);
	else
		buf_printf(b, ",\"peer_id\":%" PRIu64, r->node);
	buf_printf(b, ",\"state\":\"%s\",\"primary\":%s,\"in_sync\":%s", replica_state(r),
		   r->primary ? "true" : "false", r->in_sync ? "true" : "false");
	if (r->rc == 0)
		buf_printf(b,
			   ",\"epoch\":%" PRIu64 ",\"applied_seq\":%" PRIu64
			   ",\"digest\":\"%016" PRIx64 "\"",
			   r->info.epoch, r->info.applied_seq, r->info.digest);
	json_put_literal(b, "}");
}

static void cluster_done(struct coord_call *call)
{
	struct coord_replicas *q = (struct coord_replicas *)call;
	struct api_request *r = call->ctx;
	const struct map *map;
	struct buf *b;
	uint64_t self;

	if (!request_succeeded(r, call))
		return;
	map = coord_map(r->api->options.coord);
	self = self_node(r, map);
	map_unref(map);
	b = respond_begin(r);
	buf_printf(b, "{\"peer_id\":%" PRIu64 ",\"shard_count\":%" PRIu32 ",\"local_shards\":[",
		   self, r->collection->n_partitions);
	for (uint32_t i = 0; i < q->n; i++)
		if (q->replicas[i].node == self)
			put_replica(b, &q->replicas[i], true);
	json_put_literal(b, "],\"remote_shards\":[");
	for (uint32_t i = 0; i < q->n; i++)
		if (q->replicas[i].node != self)
			put_replica(b, &q->replicas[i], false);
	json_put_literal(b, "],\"shard_transfers\":[]}");
	respond_ok(r);
}

void handle_collection_cluster(struct api_request *r)
{
	struct coord_replicas *q = arena_zalloc(r->arena, sizeof(*q));

	request_call(r, &q->call, cluster_done, r);
	coord_replicas(r->api->options.coord, q);
}
