/* What an operator sees: nodes, partitions that are not as they should be, what the cluster would do next, and what each replica of a
 * partition. */
#include "api/operate.h"

#include <inttypes.h>
#include <string.h>

static void put_text(struct buf *b, const char *key, const char *text)
{
	buf_printf(b, ",\"%s\":", key);
	json_put_string(b, text, strlen(text));
}

static void put_ids(struct buf *b, const char *key, const uint64_t *ids, uint32_t n)
{
	buf_printf(b, ",\"%s\":[", key);
	for (uint32_t i = 0; i < n; i++)
		buf_printf(b, "%s%" PRIu64, i > 0 ? "," : "", ids[i]);
	json_put_literal(b, "]");
}

static void put_comma(struct buf *b)
{
	if (b->data[b->len - 1] != '[')
		json_put_literal(b, ",");
}

/* ---- GET /v1/cluster ---- */

struct view {
	struct coord *coord;
	const struct map *map;
	struct coord_consensus raft;
	bool *alive;
	uint32_t counts[STATE_OFFLINE + 1];
	uint32_t partitions;
	bool node_down;
};

static const char *node_state(const struct view *v, uint32_t i)
{
	static const char *const names[] = {"up", "suspect", "down", "draining"};

	return names[v->map->nodes[i].state];
}

static void count_replicas(const struct view *v, uint64_t node, uint32_t *replicas,
			   uint32_t *primaries)
{
	*replicas = *primaries = 0;
	for (uint32_t i = 0; i < v->map->n_collections; i++) {
		const struct map_collection *c = &v->map->collections[i];

		for (uint32_t j = 0; j < c->collection->n_partitions; j++) {
			const struct map_partition *p = &c->partitions[j];

			for (uint32_t k = 0; k < p->n_in_sync; k++)
				*replicas += p->in_sync[k] == node;
			for (uint32_t k = 0; k < p->n_learners; k++)
				*replicas += p->learners[k] == node;
			*primaries += p->primary == node;
		}
	}
}

static void put_node(struct buf *b, const struct view *v, uint32_t i)
{
	const struct map_node *node = &v->map->nodes[i];
	uint32_t replicas, primaries;

	count_replicas(v, node->id, &replicas, &primaries);
	put_comma(b);
	buf_printf(b, "{\"id\":%" PRIu64, node->id);
	put_text(b, "name", node->name);
	put_text(b, "state", node_state(v, i));
	put_text(b, "rpc", node->rpc_address);
	put_text(b, "http", node->http_address);
	buf_printf(b,
		   ",\"incarnation\":%" PRIu64
		   ",\"coordinator\":%s,\"shard\":%s,\"votes\":%s,\"leads\":%s,\"alive\":%s"
		   ",\"reachable\":%s,\"replicas\":%" PRIu32 ",\"primaries\":%" PRIu32 "}",
		   node->incarnation, node->coordinator ? "true" : "false",
		   node->shard ? "true" : "false",
		   coord_votes(v->coord, node->id) ? "true" : "false",
		   v->raft.leader == node->id ? "true" : "false", v->alive[i] ? "true" : "false",
		   coord_reaches(v->coord, node->id) ? "true" : "false", replicas, primaries);
}

static void put_partition(struct buf *b, const struct map_collection *c, uint32_t partition,
			  enum operate_state state)
{
	const struct map_partition *p = &c->partitions[partition];

	put_comma(b);
	json_put_literal(b, "{\"collection\":");
	json_put_string(b, c->collection->name, strlen(c->collection->name));
	buf_printf(b,
		   ",\"partition\":%" PRIu32 ",\"state\":\"%s\",\"epoch\":%" PRIu64
		   ",\"replication_factor\":%" PRIu32 ",\"primary\":%" PRIu64,
		   partition, operate_state_name(state), p->epoch,
		   c->collection->replication_factor, p->primary);
	put_ids(b, "in_sync", p->in_sync, p->n_in_sync);
	put_ids(b, "learners", p->learners, p->n_learners);
	if (p->leaving != 0)
		buf_printf(b, ",\"leaving\":%" PRIu64, p->leaving);
	if (p->pinned != 0)
		buf_printf(b, ",\"pinned\":%" PRIu64, p->pinned);
	json_put_literal(b, "}");
}

/* All partitions, or those that are not as they should be. */
static void put_partitions(struct buf *b, struct view *v, bool all)
{
	json_put_literal(b, ",\"partitions\":[");
	for (uint32_t i = 0; i < v->map->n_collections; i++) {
		const struct map_collection *c = &v->map->collections[i];

		for (uint32_t j = 0; j < c->collection->n_partitions; j++) {
			enum operate_state s = operate_state(v->map, v->alive, c, j);

			v->counts[s]++;
			v->partitions++;
			if (all || s != STATE_ACTIVE)
				put_partition(b, c, j, s);
		}
	}
	json_put_literal(b, "]");
}

/* red: something cannot be searched or written; yellow: it can, but a failure more may be too much. */
static const char *overall(const struct view *v)
{
	if (v->counts[STATE_OFFLINE] > 0)
		return "red";
	return v->counts[STATE_DEGRADED] > 0 || v->raft.leader == 0 || v->node_down ? "yellow"
										    : "green";
}

void handle_operator_view(struct api_request *r)
{
	const char *which = http_parameter(r->http, "partitions");
	struct view v = {.coord = r->api->options.coord};
	struct buf *b;

	if (which != NULL && strcmp(which, "all") != 0) {
		respond_error(r, error_set(&r->err, ERR_INPUT,
					   "query parameter partitions: expected all, got '%.60s'",
					   which));
		return;
	}
	b = respond_begin(r);
	v.map = coord_map(v.coord);
	v.alive = coord_alive(v.coord, v.map, r->arena);
	coord_consensus(v.coord, &v.raft);
	buf_printf(b,
		   "{\"cluster_id\":\"%016" PRIx64 "\",\"map_index\":%" PRIu64 ",\"term\":%" PRIu64
		   ",\"leader\":",
		   v.map->cluster_id, v.map->index, v.raft.term);
	if (v.raft.leader != 0)
		json_put_u64(b, v.raft.leader);
	else
		json_put_literal(b, "null");
	json_put_literal(b, ",\"nodes\":[");
	for (uint32_t i = 0; i < v.map->n_nodes; i++) {
		v.node_down = v.node_down || !v.alive[i];
		put_node(b, &v, i);
	}
	json_put_literal(b, "]");
	put_partitions(b, &v, which != NULL);
	buf_printf(b,
		   ",\"counts\":{\"collections\":%" PRIu32 ",\"partitions\":%" PRIu32
		   ",\"active\":%" PRIu32 ",\"moving\":%" PRIu32 ",\"degraded\":%" PRIu32
		   ",\"offline\":%" PRIu32 "},\"status\":\"%s\"}",
		   v.map->n_collections, v.partitions, v.counts[STATE_ACTIVE],
		   v.counts[STATE_MOVING], v.counts[STATE_DEGRADED], v.counts[STATE_OFFLINE],
		   overall(&v));
	map_unref(v.map);
	respond_ok(r);
}

/* ---- GET /v1/cluster/plan ---- */

/* The steps; then, collection by collection, how large its partitions are. */
struct plan_view {
	struct coord_info info; /* first */
	struct api_request *r;
	const struct map *map;
	struct operate_plan plan;
	uint64_t *bytes, *points; /* of each step; UINT64_MAX: not known */
	uint32_t next;            /* the first step that was not asked for */
};

static void put_step(struct buf *b, const struct operate_step *s, uint64_t bytes, uint64_t points)
{
	put_comma(b);
	json_put_literal(b, "{\"collection\":");
	json_put_string(b, s->collection->collection->name,
			strlen(s->collection->collection->name));
	buf_printf(b, ",\"partition\":%" PRIu32 ",\"reason\":\"%s\"", s->partition,
		   operate_reason_name(s->reason));
	if (s->from != 0)
		buf_printf(b, ",\"from\":%" PRIu64, s->from);
	if (s->to != 0)
		buf_printf(b, ",\"to\":%" PRIu64, s->to);
	if (bytes != UINT64_MAX)
		buf_printf(b, ",\"bytes\":%" PRIu64 ",\"points\":%" PRIu64, bytes, points);
	json_put_literal(b, "}");
}

static void plan_respond(struct plan_view *v)
{
	struct api_request *r = v->r;
	struct buf *b = respond_begin(r);
	uint64_t total = 0;

	json_put_literal(b, "{\"moves\":[");
	for (uint32_t i = 0; i < v->plan.n; i++) {
		if (v->plan.steps[i].to == 0)
			continue;
		put_step(b, &v->plan.steps[i], v->bytes[i], v->points[i]);
		total += v->bytes[i] != UINT64_MAX ? v->bytes[i] : 0;
	}
	json_put_literal(b, "],\"stuck\":[");
	for (uint32_t i = 0; i < v->plan.n; i++)
		if (v->plan.steps[i].to == 0)
			put_step(b, &v->plan.steps[i], UINT64_MAX, 0);
	buf_printf(b, "],\"bytes\":%" PRIu64 "}", total);
	map_unref(v->map);
	respond_ok(r);
}

static void plan_next(struct plan_view *v);

static void plan_sized(struct coord_call *call)
{
	struct plan_view *v = (struct plan_view *)call;
	const struct map_collection *c = v->plan.steps[v->next].collection;

	for (uint32_t i = v->next; i < v->plan.n; i++) {
		const struct operate_step *s = &v->plan.steps[i];

		if (s->collection != c || call->rc != 0)
			continue;
		v->bytes[i] = v->info.partitions[s->partition].disk_bytes;
		v->points[i] = v->info.partitions[s->partition].points;
	}
	v->next++;
	plan_next(v);
}

/* Asks for the next collection whose size is not known; one at a time. */
static void plan_next(struct plan_view *v)
{
	struct api_request *r = v->r;

	for (; v->next < v->plan.n; v->next++) {
		bool asked = false;

		for (uint32_t i = 0; i < v->next && !asked; i++)
			asked = v->plan.steps[i].collection == v->plan.steps[v->next].collection;
		if (asked)
			continue;
		memset(&v->info, 0, sizeof(v->info));
		request_call(r, &v->info.call, plan_sized, v);
		v->info.call.collection = v->plan.steps[v->next].collection->collection;
		coord_info(r->api->options.coord, &v->info);
		return;
	}
	plan_respond(v);
}

void handle_operator_plan(struct api_request *r)
{
	struct plan_view *v = arena_zalloc(r->arena, sizeof(*v));
	const char *drain = http_parameter(r->http, "drain");
	const struct map_node *node = NULL;
	int rc = 0;

	v->r = r;
	v->map = coord_map(r->api->options.coord);
	if (drain != NULL)
		rc = operate_node(v->map, drain, &node, &r->err);
	if (rc != 0) {
		map_unref(v->map);
		respond_error(r, rc);
		return;
	}
	operate_plan(v->map, node != NULL ? node->id : 0, r->arena, &v->plan);
	v->bytes = arena_alloc(r->arena, (v->plan.n + 1) * sizeof(*v->bytes));
	v->points = arena_alloc(r->arena, (v->plan.n + 1) * sizeof(*v->points));
	memset(v->bytes, 0xff, v->plan.n * sizeof(*v->bytes));
	memset(v->points, 0xff, v->plan.n * sizeof(*v->points));
	plan_next(v);
}

/* ---- GET /v1/collections/{}/partitions/{} ---- */

struct replicas_view {
	struct coord_replicas replicas; /* first */
	struct api_request *r;
	uint32_t partition;
};

static void put_replica(struct buf *b, const struct map *map, const struct coord_replica *replica)
{
	const struct map_node *node = map_node(map, replica->node);
	const struct rpc_info_response *info = &replica->info;

	put_comma(b);
	buf_printf(b, "{\"node\":%" PRIu64, replica->node);
	put_text(b, "name", node != NULL ? node->name : "?");
	buf_printf(b, ",\"in_sync\":%s,\"primary\":%s,\"alive\":%s",
		   replica->in_sync ? "true" : "false", replica->primary ? "true" : "false",
		   replica->rc == 0 ? "true" : "false");
	if (replica->rc == 0)
		buf_printf(b,
			   ",\"epoch\":%" PRIu64 ",\"last_operation\":%" PRIu64
			   ",\"applied_operation\":%" PRIu64 ",\"points\":%" PRIu64,
			   info->epoch, info->last_seq, info->applied_seq, info->points);
	if (replica->rc != 0)
		put_text(b, "problem", replica->err.text);
	else if (info->warning != NULL)
		put_text(b, "problem", info->warning);
	json_put_literal(b, "}");
}

static void partition_answered(struct coord_call *call)
{
	struct replicas_view *v = (struct replicas_view *)call;
	struct api_request *r = v->r;
	struct coord *coord = r->api->options.coord;
	const struct map_collection *c;
	const struct map *map;
	struct buf *b;

	if (!request_succeeded(r, call))
		return;
	map = coord_map(coord);
	c = map_collection_by_id(map, r->collection->id);
	if (c == NULL) {
		map_unref(map);
		respond_error(r, error_set(&r->err, ERR_NOT_FOUND, "Collection `%s` doesn't exist!",
					   r->args[0]));
		return;
	}
	b = respond_begin(r);
	buf_printf(b, "{\"state\":\"%s\",\"epoch\":%" PRIu64 ",\"replicas\":[",
		   operate_state_name(
			   operate_state(map, coord_alive(coord, map, r->arena), c, v->partition)),
		   c->partitions[v->partition].epoch);
	for (uint32_t i = 0; i < v->replicas.n; i++)
		if (v->replicas.replicas[i].partition == v->partition)
			put_replica(b, map, &v->replicas.replicas[i]);
	json_put_literal(b, "]}");
	map_unref(map);
	respond_ok(r);
}

void handle_partition_view(struct api_request *r)
{
	struct replicas_view *v = arena_zalloc(r->arena, sizeof(*v));
	int rc = operation_partition(r, 1, &v->partition);

	if (rc != 0) {
		respond_error(r, rc);
		return;
	}
	v->r = r;
	request_call(r, &v->replicas.call, partition_answered, v);
	coord_replicas(r->api->options.coord, &v->replicas);
}
