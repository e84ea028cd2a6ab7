/* Bytes of the commands of the shard map: "u16 version, u8 type, command id", then what the type
 * needs. One function writes and one reads each group of fields.
 */
#include "base/assert.h"
#include "cluster/map.h"
#include "cluster/map_build.h"

#include <string.h>

enum {
	COMMAND_VERSION = COMMAND_VERSION_STARTS,
	COMMAND_VERSION_OLDEST = 1,
	MAP_ACTIONS_LIMIT = 1000, /* alias actions in one command */
	HEAD_BYTES = 2 + 1 + 8 + 8,
};

static void put_create(struct buf *b, const struct map_command *c)
{
	uint32_t n = c->collection->n_partitions * c->n_replicas;

	collection_encode(b, c->collection);
	buf_put_u32(b, c->n_replicas);
	buf_put_u32(b, n);
	for (uint32_t i = 0; i < n; i++)
		buf_put_u64(b, c->replicas[i]);
}

static void put_aliases(struct buf *b, const struct map_command *c)
{
	buf_put_u32(b, c->n_actions);
	for (uint32_t i = 0; i < c->n_actions; i++) {
		buf_put_u8(b, (uint8_t)c->actions[i].type);
		buf_put_str(b, c->actions[i].alias);
		buf_put_str(b, c->actions[i].other != NULL ? c->actions[i].other : "");
	}
}

static void put_key(struct buf *b, const struct map_command *c)
{
	buf_put_str(b, c->key.name);
	buf_put(b, c->key.hash, sizeof(c->key.hash));
	buf_put_u8(b, c->key.read_only);
}

/* The lowest that can say it. */
static uint16_t version_of(const struct map_command *c)
{
	if (c->type == MAP_NODE_PUT)
		return COMMAND_VERSION_STARTS;
	return c->config.pinned != 0 ? MAP_VERSION_PINNED : MAP_VERSION_LEAVING;
}

void map_command_encode(struct buf *b, const struct map_command *c)
{
	uint16_t version = version_of(c);

	buf_put_u16(b, version);
	buf_put_u8(b, (uint8_t)c->type);
	buf_put_u64(b, c->command_hi);
	buf_put_u64(b, c->command_lo);
	switch (c->type) {
	case MAP_CREATE_COLLECTION: put_create(b, c); break;
	case MAP_UPDATE_COLLECTION:
		buf_put_u64(b, c->expect_revision);
		collection_encode(b, c->collection);
		break;
	case MAP_DELETE_COLLECTION: buf_put_str(b, c->name); break;
	case MAP_ALIASES: put_aliases(b, c); break;
	case MAP_NODE_PUT: map_put_node(b, &c->node); break;
	case MAP_NODE_REMOVE: buf_put_u64(b, c->node.id); break;
	case MAP_PARTITION_SET:
	case MAP_PARTITION_RECOVER:
		buf_put_u64(b, c->collection_id);
		buf_put_u32(b, c->partition);
		buf_put_u64(b, c->expect_epoch);
		map_put_partition(b, version, &c->config);
		break;
	case MAP_KEY_PUT: put_key(b, c); break;
	case MAP_KEY_REMOVE: buf_put_str(b, c->name != NULL ? c->name : c->key.name); break;
	case MAP_COMMAND_COUNT: assert(c->type != MAP_COMMAND_COUNT);
	}
}

static int read_collection(struct reader *r, struct map_command *c, struct error *err)
{
	struct collection *definition = NULL;
	int rc = collection_decode(r, &definition, err);

	if (rc == 0)
		c->collection = definition;
	return rc;
}

static int read_create(struct reader *r, struct arena *arena, struct map_command *c,
		       struct error *err)
{
	uint64_t *replicas;
	uint32_t n;
	int rc = read_collection(r, c, err);

	if (rc < 0)
		return rc;
	c->n_replicas = reader_u32(r);
	n = reader_count(r, 8);
	if (!reader_ok(r) || c->n_replicas > LIMIT_REPLICAS ||
	    n != (uint64_t)c->collection->n_partitions * c->n_replicas)
		return error_set(err, ERR_FORMAT, "the replicas of a new collection do not add up");
	replicas = arena_alloc(arena, n * sizeof(*replicas));
	for (uint32_t i = 0; i < n; i++)
		replicas[i] = reader_u64(r);
	c->replicas = replicas;
	return 0;
}

static void read_aliases(struct reader *r, struct arena *arena, struct map_command *c)
{
	uint32_t n = reader_count(r, 9);

	if (n > MAP_ACTIONS_LIMIT) {
		r->bad = true;
		return;
	}
	c->actions = arena_zalloc(arena, n * sizeof(*c->actions));
	c->n_actions = n;
	for (uint32_t i = 0; i < n; i++) {
		uint8_t type = reader_u8(r);

		if (type > ALIAS_RENAME)
			r->bad = true;
		c->actions[i].type = (enum alias_action_type)type;
		c->actions[i].alias = map_read_name(r, arena);
		c->actions[i].other = map_read_name(r, arena);
	}
}

static void read_key(struct reader *r, struct arena *arena, struct map_command *c)
{
	const uint8_t *hash;
	uint8_t read_only;

	c->key.name = map_read_name(r, arena);
	c->name = c->key.name;
	hash = reader_bytes(r, sizeof(c->key.hash));
	if (hash != NULL)
		memcpy(c->key.hash, hash, sizeof(c->key.hash));
	read_only = reader_u8(r);
	if (read_only > 1)
		r->bad = true;
	c->key.read_only = read_only == 1;
}

static int read_body(struct reader *r, uint16_t version, struct arena *arena, struct map_command *c,
		     struct error *err)
{
	switch (c->type) {
	case MAP_CREATE_COLLECTION: return read_create(r, arena, c, err);
	case MAP_UPDATE_COLLECTION:
		c->expect_revision = reader_u64(r);
		return read_collection(r, c, err);
	case MAP_DELETE_COLLECTION:
	case MAP_KEY_REMOVE: c->name = map_read_name(r, arena); return 0;
	case MAP_ALIASES: read_aliases(r, arena, c); return 0;
	case MAP_NODE_PUT: map_read_node(r, arena, &c->node); return 0;
	case MAP_NODE_REMOVE: c->node.id = reader_u64(r); return 0;
	case MAP_PARTITION_SET:
	case MAP_PARTITION_RECOVER:
		c->collection_id = reader_u64(r);
		c->partition = reader_u32(r);
		c->expect_epoch = reader_u64(r);
		map_read_partition(r, version, &c->config);
		return 0;
	case MAP_KEY_PUT: read_key(r, arena, c); return 0;
	case MAP_COMMAND_COUNT: break;
	}
	return error_set(err, ERR_FORMAT, "unknown type of command");
}

bool map_command_id(const void *bytes, size_t n, uint64_t *hi, uint64_t *lo)
{
	const uint8_t *at = bytes;

	if (n < HEAD_BYTES)
		return false;
	*hi = load_u64(at + 3);
	*lo = load_u64(at + 11);
	return true;
}

int map_command_decode(const void *bytes, size_t n, struct arena *arena, struct map_command *out,
		       struct error *err)
{
	struct reader r = reader_make(bytes, n);
	uint16_t version = reader_u16(&r);
	uint8_t type = reader_u8(&r);
	int rc;

	memset(out, 0, sizeof(*out));
	out->command_hi = reader_u64(&r);
	out->command_lo = reader_u64(&r);
	if (!reader_ok(&r))
		return error_set(err, ERR_FORMAT, "a command of the shard map is cut off");
	if (version < COMMAND_VERSION_OLDEST || version > COMMAND_VERSION ||
	    type >= MAP_COMMAND_COUNT)
		return error_set(err, ERR_VERSION,
				 "a command of the shard map has version %u and type %u; this "
				 "program reads version %d, types below %d: upgrade it",
				 version, type, COMMAND_VERSION, MAP_COMMAND_COUNT);
	out->type = (enum map_command_type)type;
	out->version = version;
	rc = read_body(&r, version, arena, out, err);
	if (rc == 0 && !reader_done(&r))
		rc = error_set(err, ERR_FORMAT,
			       "a command of the shard map is cut off or has wrong values");
	if (rc < 0)
		map_command_release(out);
	return rc;
}

void map_command_release(struct map_command *c)
{
	collection_unref(c->collection);
	c->collection = NULL;
}
