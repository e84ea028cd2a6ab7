/* Routes with which an operator changes the cluster: moves, copies, draining, removal, recovery. */
#include "api/operate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ATTEMPTS = 10 };

/* ---- a change that is made from the map ---- */

struct operation {
	struct coord_change change; /* first */
	struct api_request *r;
	operation_make_fn make;
	void *arg;
	unsigned attempts;
};

static void attempt(struct operation *o);

static void operation_done(struct coord_call *call)
{
	struct operation *o = (struct operation *)call;
	struct api_request *r = o->r;

	if (call->rc == ERR_STALE && ++o->attempts < MAX_ATTEMPTS)
		attempt(o);
	else if (request_succeeded(r, call))
		respond_true(r);
}

static void attempt(struct operation *o)
{
	struct api_request *r = o->r;
	struct coord *coord = r->api->options.coord;
	const struct map *map = coord_map(coord);
	int rc;

	request_call(r, &o->change.call, operation_done, o);
	memset(&o->change.command, 0, sizeof(o->change.command));
	rc = o->make(r, map, o->arg, &o->change.command);
	if (rc < 0)
		respond_error(r, rc);
	else if (rc > 0)
		respond_true(r);
	else
		coord_change(coord, &o->change);
	map_unref(map);
}

void operation_submit(struct api_request *r, operation_make_fn make, void *arg)
{
	struct operation *o = arena_zalloc(r->arena, sizeof(*o));

	o->r = r;
	o->make = make;
	o->arg = arg;
	attempt(o);
}

/* The node that argument `i` of the path names. */
static int node_argument(struct api_request *r, const struct map *map, unsigned i,
			 const struct map_node **out)
{
	return operate_node(map, r->args[i], out, &r->err);
}

int operation_partition(struct api_request *r, unsigned i, uint32_t *out)
{
	char *end;
	unsigned long v = strtoul(r->args[i], &end, 10);

	if (r->args[i][0] < '0' || r->args[i][0] > '9' || *end != 0 ||
	    v >= r->collection->n_partitions)
		return error_set(&r->err, ERR_NOT_FOUND,
				 "collection `%s` has no partition %.20s: they are 0 to %u",
				 r->collection->name, r->args[i], r->collection->n_partitions - 1);
	*out = (uint32_t)v;
	return 0;
}

/* ---- POST /collections/{}/cluster ---- */

static const struct operation_name {
	const char *key;
	enum operate_action action;
	bool from, to;
} operations[] = {
	{"move_shard", OPERATE_MOVE, true, true},
	{"replicate_shard", OPERATE_REPLICATE, false, true},
	{"drop_replica", OPERATE_DROP, true, false},
	{"abort_transfer", OPERATE_ABORT, false, false},
};
enum { N_OPERATIONS = sizeof(operations) / sizeof(operations[0]) };

static int make_replica(struct api_request *r, const struct map *map, void *arg,
			struct map_command *out)
{
	const struct map_collection *c = map_collection_by_id(map, r->collection->id);

	if (c == NULL)
		return error_set(&r->err, ERR_NOT_FOUND, "Collection `%s` doesn't exist!",
				 r->args[0]);
	return operate_replica(map, c, arg, out, &r->err);
}

static int need_u64(struct parse *p, const struct json *o, const char *key, uint64_t *out)
{
	const struct json *v = json_get(o, key);

	if (v == NULL || !parse_uint(v, out))
		return parse_expected(p, key, "an unsigned integer", v);
	return 0;
}

/* {"shard_id", "from_peer_id", "to_peer_id", "method"}; a dropped replica is named by "peer_id". How the copy is made is the
 * cluster's own affair. */
static int parse_operation(struct parse *p, const struct operation_name *name, const struct json *v,
			   struct operate_replica *out)
{
	static const char *const copied[] = {"shard_id", "from_peer_id", "to_peer_id", "method",
					     NULL};
	static const char *const stopped[] = {"shard_id", "from_peer_id", "to_peer_id", NULL};
	static const char *const dropped[] = {"shard_id", "peer_id", NULL};
	const char *const *known = name->action == OPERATE_DROP    ? dropped
				   : name->action == OPERATE_ABORT ? stopped
								   : copied;
	const char *method = NULL;
	uint64_t partition = 0, ignored = 0;
	int rc = parse_object(p, name->key, name->key, v, known);

	if (rc == 0)
		rc = need_u64(p, v, "shard_id", &partition);
	out->action = name->action;
	out->partition = partition < UINT32_MAX ? (uint32_t)partition : UINT32_MAX;
	if (rc == 0 && name->action == OPERATE_DROP)
		rc = need_u64(p, v, "peer_id", &out->from);
	else if (rc == 0 && name->from)
		rc = need_u64(p, v, "from_peer_id", &out->from);
	else if (rc == 0)
		rc = parse_u64_field(p, v, "from_peer_id", &ignored);
	if (rc == 0)
		rc = parse_string_field(p, v, "method", &method);
	if (rc == 0 && name->to)
		rc = need_u64(p, v, "to_peer_id", &out->to);
	else if (rc == 0)
		rc = parse_u64_field(p, v, "to_peer_id", &out->to);
	return rc;
}

static int read_operation(struct api_request *r, struct operate_replica *out)
{
	static const char *const known[] = {"move_shard", "replicate_shard", "drop_replica",
					    "abort_transfer", NULL};
	struct parse p = request_parse(r);
	unsigned found = 0;
	int rc = parse_is_object(&p, "body", r->body);

	for (unsigned i = 0; rc == 0 && i < N_OPERATIONS; i++) {
		const struct json *v = json_get(r->body, operations[i].key);

		if (v == NULL || json_type(v) == JSON_NULL)
			continue;
		found++;
		rc = parse_operation(&p, &operations[i], v, out);
	}
	if (rc == 0 && found == 0 && json_count(r->body) > 0) {
		struct json_iter it = json_iterate(r->body);

		json_next(&it);
		rc = error_set(&r->err, ERR_UNSUPPORTED, "the cluster operation `%.60s`", it.key);
	}
	if (rc == 0)
		rc = parse_known_keys(&p, "a cluster operation", r->body, known);
	if (rc == 0 && found != 1)
		rc = error_set(&r->err, ERR_FORMAT,
			       "expected one of move_shard, replicate_shard, drop_replica and "
			       "abort_transfer");
	parse_fini(&p);
	return rc;
}

void handle_collection_operate(struct api_request *r)
{
	struct operate_replica *q = arena_zalloc(r->arena, sizeof(*q));
	int rc = read_operation(r, q);

	if (rc < 0)
		respond_error(r, rc);
	else
		operation_submit(r, make_replica, q);
}

/* ---- nodes ---- */

struct node_operation {
	bool drain, force;
};

static int make_node(struct api_request *r, const struct map *map, void *arg,
		     struct map_command *out)
{
	const struct node_operation *q = arg;
	const struct map_node *node;
	int rc = node_argument(r, map, 0, &node);

	if (rc == 0 && q->drain)
		rc = operate_drain(map, node, q->force, out, &r->err);
	else if (rc == 0)
		rc = operate_undrain(map, node, out, &r->err);
	return rc;
}

void handle_node_drain(struct api_request *r)
{
	struct node_operation *q = arena_zalloc(r->arena, sizeof(*q));
	int rc = parameter_flag(r, "force", &q->force);

	if (rc != 0) {
		respond_error(r, rc);
		return;
	}
	q->drain = true;
	operation_submit(r, make_node, q);
}

void handle_node_undrain(struct api_request *r)
{
	operation_submit(r, make_node, arena_zalloc(r->arena, sizeof(struct node_operation)));
}

static void removed(struct coord_call *call)
{
	struct api_request *r = call->ctx;

	if (request_succeeded(r, call))
		respond_true(r);
}

/* One that is out of the map already may still vote: its id is enough. */
void handle_node_remove(struct api_request *r)
{
	struct coord_change *change = arena_zalloc(r->arena, sizeof(*change));
	const struct map *map = coord_map(r->api->options.coord);
	const struct map_node *node = NULL;
	char *end = r->args[0];
	uint64_t id = strtoull(r->args[0], &end, 10);
	int rc = node_argument(r, map, 0, &node);

	if (node != NULL)
		id = node->id;
	map_unref(map);
	if (rc != 0 && (*end != 0 || id == 0)) {
		respond_error(r, rc);
		return;
	}
	r->err = (struct error){0};
	request_call(r, &change->call, removed, r);
	change->command.node.id = id;
	coord_remove_node(r->api->options.coord, change);
}

/* ---- lost partitions ---- */

struct recovery {
	const char *node;
	uint32_t partition;
};

static int make_recovery(struct api_request *r, const struct map *map, void *arg,
			 struct map_command *out)
{
	const struct recovery *q = arg;
	const struct map_collection *c = map_collection_by_id(map, r->collection->id);
	const struct map_node *node;
	int rc = operate_node(map, q->node, &node, &r->err);

	if (rc == 0 && c == NULL)
		rc = error_set(&r->err, ERR_NOT_FOUND, "Collection `%s` doesn't exist!",
			       r->args[0]);
	if (rc == 0) {
		struct operate_lost lost = {coord_alive(r->api->options.coord, map, r->arena),
					    q->partition, node->id};

		rc = operate_recover(map, c, &lost, out, &r->err);
	}
	return rc;
}

void handle_partition_recover(struct api_request *r)
{
	static const char *const known[] = {"node", "yes_lose_data", NULL};
	struct recovery *q = arena_zalloc(r->arena, sizeof(*q));
	struct parse p = request_parse(r);
	bool agreed = false;
	int rc = parse_object(&p, "body", "a recovery", r->body, known);

	if (rc == 0)
		rc = parse_need_string(&p, r->body, "node", &q->node);
	if (rc == 0)
		rc = parse_bool_field(&p, r->body, "yes_lose_data", &agreed);
	if (rc == 0)
		rc = operation_partition(r, 1, &q->partition);
	if (rc == 0 && !agreed)
		rc = error_set(&r->err, ERR_INPUT,
			       "what the replica does not have is lost for good: say "
			       "\"yes_lose_data\": true (GET of the partition tells what it has)");
	parse_fini(&p);
	if (rc < 0)
		respond_error(r, rc);
	else
		operation_submit(r, make_recovery, q);
}
