/* The shard map as a value: life, look-ups, bytes. How it changes is in map_apply.c.
 *
 * Encoding: "QMAP", u16 version, index, cluster id, next id; then counted arrays of nodes,
 * collections (definition and partitions), aliases, keys and ids of applied commands, each in the
 * order in which the map keeps it, so that equal maps are equal bytes.
 */
#include "cluster/map.h"

#include "base/assert.h"
#include "base/memory.h"
#include "cluster/map_build.h"

#include <stdlib.h>
#include <string.h>

enum {
	MAP_MAGIC = 0x50414d51, /* "QMAP" */
	MAP_VERSION = MAP_VERSION_PINNED,
	MAP_VERSION_OLDEST = 1,
	PARTITION_MIN_BYTES = 8 + 8 + 4 + 4 + 4 + 4 + 4,
	MAP_ADDRESS_BYTES = 512, /* a name or an address */
};

/* ---- life ---- */

struct partitions {
	uint32_t refs;
	uint32_t n;
	struct map_partition items[];
};

static struct partitions *partitions_of(struct map_partition *p)
{
	return (struct partitions *)((char *)p - offsetof(struct partitions, items));
}

struct map_partition *map_partitions_new(uint32_t n)
{
	struct partitions *p = mem_zalloc(sizeof(*p) + n * sizeof(p->items[0]));

	p->refs = 1;
	p->n = n;
	return p->items;
}

struct map_partition *map_partitions_ref(struct map_partition *p)
{
	__atomic_add_fetch(&partitions_of(p)->refs, 1, __ATOMIC_RELAXED);
	return p;
}

void map_partitions_unref(struct map_partition *p)
{
	if (p != NULL && __atomic_sub_fetch(&partitions_of(p)->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(partitions_of(p));
}

static struct map *map_alloc(void)
{
	struct arena *arena = arena_new(4096);
	struct map *m = arena_zalloc(arena, sizeof(*m));

	m->arena = arena;
	m->refs = 1;
	m->next_id = MAP_FIRST_ID;
	return m;
}

struct map *map_new(uint64_t cluster_id)
{
	struct map *m = map_alloc();

	m->cluster_id = cluster_id;
	return m;
}

struct map *map_ref(const struct map *m)
{
	struct map *own = (struct map *)m;

	__atomic_add_fetch(&own->refs, 1, __ATOMIC_RELAXED);
	return own;
}

void map_unref(const struct map *m)
{
	struct map *own = (struct map *)m;

	if (m == NULL || __atomic_sub_fetch(&own->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	for (uint32_t i = 0; i < m->n_collections; i++) {
		collection_unref(m->collections[i].collection);
		map_partitions_unref(m->collections[i].partitions);
	}
	arena_free(m->arena);
}

static void copy_nodes(struct map *to, const struct map *m, uint32_t more)
{
	to->nodes = arena_alloc(to->arena, (m->n_nodes + more) * sizeof(*to->nodes));
	to->n_nodes = m->n_nodes;
	for (uint32_t i = 0; i < m->n_nodes; i++) {
		to->nodes[i] = m->nodes[i];
		to->nodes[i].name = arena_strdup(to->arena, m->nodes[i].name);
		to->nodes[i].rpc_address = arena_strdup(to->arena, m->nodes[i].rpc_address);
		to->nodes[i].http_address = arena_strdup(to->arena, m->nodes[i].http_address);
	}
}

static void copy_names(struct map *to, const struct map *m, uint32_t more)
{
	to->aliases = arena_alloc(to->arena, (m->n_aliases + more) * sizeof(*to->aliases));
	to->n_aliases = m->n_aliases;
	for (uint32_t i = 0; i < m->n_aliases; i++) {
		to->aliases[i].name = arena_strdup(to->arena, m->aliases[i].name);
		to->aliases[i].collection = arena_strdup(to->arena, m->aliases[i].collection);
	}
	to->keys = arena_alloc(to->arena, (m->n_keys + more) * sizeof(*to->keys));
	to->n_keys = m->n_keys;
	for (uint32_t i = 0; i < m->n_keys; i++) {
		to->keys[i] = m->keys[i];
		to->keys[i].name = arena_strdup(to->arena, m->keys[i].name);
	}
}

struct map *map_copy(const struct map *m, uint32_t more)
{
	struct map *to = map_alloc();

	to->index = m->index;
	to->cluster_id = m->cluster_id;
	to->next_id = m->next_id;
	copy_nodes(to, m, more);
	copy_names(to, m, more);
	to->collections =
		arena_alloc(to->arena, (m->n_collections + more) * sizeof(*to->collections));
	to->n_collections = m->n_collections;
	for (uint32_t i = 0; i < m->n_collections; i++) {
		to->collections[i].collection = collection_ref(m->collections[i].collection);
		to->collections[i].partitions = map_partitions_ref(m->collections[i].partitions);
	}
	to->done = arena_alloc(to->arena, (m->n_done + more) * sizeof(*to->done));
	to->n_done = m->n_done;
	if (m->n_done > 0)
		memcpy(to->done, m->done, m->n_done * sizeof(*to->done));
	return to;
}

/* ---- look-ups ---- */

uint32_t map_find_node(const struct map *m, uint64_t id, bool *found)
{
	uint32_t low = 0, high = m->n_nodes;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (m->nodes[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	*found = low < m->n_nodes && m->nodes[low].id == id;
	return low;
}

/* Lower bound of a name in an array of structs; `name_at` is the offset of the name in one. */
static uint32_t find_name(const void *array, uint32_t n, size_t each, const char *name, bool *found)
{
	const char *base = array;
	uint32_t low = 0, high = n;

	*found = false;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const char *const *at = (const char *const *)(base + mid * each);
		int order = strcmp(*at, name);

		if (order == 0)
			*found = true;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

_Static_assert(offsetof(struct map_alias, name) == 0, "find_name reads the first field");
_Static_assert(offsetof(struct map_key, name) == 0, "find_name reads the first field");

uint32_t map_find_alias(const struct map *m, const char *name, bool *found)
{
	return find_name(m->aliases, m->n_aliases, sizeof(*m->aliases), name, found);
}

uint32_t map_find_key(const struct map *m, const char *name, bool *found)
{
	return find_name(m->keys, m->n_keys, sizeof(*m->keys), name, found);
}

uint32_t map_find_collection(const struct map *m, const char *name, bool *found)
{
	uint32_t low = 0, high = m->n_collections;

	*found = false;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int order = strcmp(m->collections[mid].collection->name, name);

		if (order == 0)
			*found = true;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct map_collection *map_collection(const struct map *m, const char *name)
{
	bool found;
	uint32_t i = map_find_collection(m, name, &found);

	if (found)
		return &m->collections[i];
	i = map_find_alias(m, name, &found);
	if (!found)
		return NULL;
	i = map_find_collection(m, m->aliases[i].collection, &found);
	assert(found);
	return &m->collections[i];
}

const struct map_collection *map_collection_by_id(const struct map *m, uint64_t id)
{
	for (uint32_t i = 0; i < m->n_collections; i++) {
		if (m->collections[i].collection->id == id)
			return &m->collections[i];
	}
	return NULL;
}

const struct map_node *map_node(const struct map *m, uint64_t id)
{
	bool found;
	uint32_t i = map_find_node(m, id, &found);

	return found ? &m->nodes[i] : NULL;
}

const struct map_node *map_node_by_name(const struct map *m, const char *name)
{
	for (uint32_t i = 0; i < m->n_nodes; i++) {
		if (strcmp(m->nodes[i].name, name) == 0)
			return &m->nodes[i];
	}
	return NULL;
}

uint32_t map_route(const struct map_collection *c, const struct point_id *id)
{
	uint32_t slot = id_slot(id);
	uint32_t low = 0, high = c->collection->n_partitions;

	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (c->partitions[mid].slot_first <= slot)
			low = mid;
		else
			high = mid;
	}
	assert(slot >= c->partitions[low].slot_first && slot <= c->partitions[low].slot_last);
	return low;
}

/* ---- bytes ---- */

void map_put_partition(struct buf *b, uint16_t version, const struct map_partition *p)
{
	buf_put_u64(b, p->epoch);
	buf_put_u64(b, p->primary);
	buf_put_u32(b, p->n_in_sync);
	for (uint32_t i = 0; i < p->n_in_sync; i++)
		buf_put_u64(b, p->in_sync[i]);
	buf_put_u32(b, p->n_learners);
	for (uint32_t i = 0; i < p->n_learners; i++)
		buf_put_u64(b, p->learners[i]);
	buf_put_u32(b, p->min_isr);
	buf_put_u32(b, p->slot_first);
	buf_put_u32(b, p->slot_last);
	buf_put_u64(b, p->leaving);
	if (version >= MAP_VERSION_PINNED)
		buf_put_u64(b, p->pinned);
}

static uint32_t read_replicas(struct reader *r, uint64_t out[LIMIT_REPLICAS])
{
	uint32_t n = reader_count(r, 8);

	if (n > LIMIT_REPLICAS) {
		r->bad = true;
		return 0;
	}
	for (uint32_t i = 0; i < n; i++)
		out[i] = reader_u64(r);
	return n;
}

void map_read_partition(struct reader *r, uint16_t version, struct map_partition *p)
{
	memset(p, 0, sizeof(*p));
	p->epoch = reader_u64(r);
	p->primary = reader_u64(r);
	p->n_in_sync = read_replicas(r, p->in_sync);
	p->n_learners = read_replicas(r, p->learners);
	p->min_isr = reader_u32(r);
	p->slot_first = reader_u32(r);
	p->slot_last = reader_u32(r);
	p->leaving = version >= MAP_VERSION_LEAVING ? reader_u64(r) : 0;
	p->pinned = version >= MAP_VERSION_PINNED ? reader_u64(r) : 0;
}

bool map_among(const uint64_t *ids, uint32_t n, uint64_t id)
{
	for (uint32_t i = 0; i < n; i++) {
		if (ids[i] == id)
			return true;
	}
	return false;
}

bool map_partition_names(const struct map_partition *p, uint64_t node)
{
	return map_among(p->in_sync, p->n_in_sync, node) ||
	       map_among(p->learners, p->n_learners, node);
}

const char *map_partition_flaw(const struct map_partition *p)
{
	if (p->n_in_sync == 0)
		return "its in-sync set is empty";
	if (p->n_in_sync > LIMIT_REPLICAS || p->n_learners > LIMIT_REPLICAS)
		return "it has more replicas than the limit";
	if (!map_among(p->in_sync, p->n_in_sync, p->primary))
		return "its primary is not in its in-sync set";
	if (p->min_isr < 1 || p->min_isr > LIMIT_REPLICAS)
		return "its min_isr is out of range";
	if (p->slot_first > p->slot_last || p->slot_last >= SLOT_COUNT)
		return "its slots are out of range";
	for (uint32_t i = 0; i < p->n_in_sync; i++) {
		if (p->in_sync[i] == 0 || map_among(p->in_sync, i, p->in_sync[i]))
			return "a node is named twice in its in-sync set";
	}
	for (uint32_t i = 0; i < p->n_learners; i++) {
		if (p->learners[i] == 0 || map_among(p->learners, i, p->learners[i]) ||
		    map_among(p->in_sync, p->n_in_sync, p->learners[i]))
			return "a learner is named twice or is in sync already";
	}
	return NULL;
}

const char *map_read_name(struct reader *r, struct arena *arena)
{
	uint32_t n;
	const uint8_t *bytes = reader_blob(r, &n);

	if (bytes == NULL || n > MAP_ADDRESS_BYTES || memchr(bytes, 0, n) != NULL) {
		r->bad = true;
		return "";
	}
	return arena_strndup(arena, (const char *)bytes, n);
}

void map_put_node(struct buf *b, const struct map_node *n)
{
	buf_put_u64(b, n->id);
	buf_put_str(b, n->name != NULL ? n->name : "");
	buf_put_str(b, n->rpc_address != NULL ? n->rpc_address : "");
	buf_put_str(b, n->http_address != NULL ? n->http_address : "");
	buf_put_u64(b, n->incarnation);
	buf_put_u8(b, n->coordinator);
	buf_put_u8(b, n->shard);
	buf_put_u8(b, (uint8_t)n->state);
	buf_put_u64(b, n->capacity_bytes);
}

static bool read_bool(struct reader *r)
{
	uint8_t v = reader_u8(r);

	if (v > 1)
		r->bad = true;
	return v == 1;
}

void map_read_node(struct reader *r, struct arena *arena, struct map_node *n)
{
	uint8_t state;

	memset(n, 0, sizeof(*n));
	n->id = reader_u64(r);
	n->name = map_read_name(r, arena);
	n->rpc_address = map_read_name(r, arena);
	n->http_address = map_read_name(r, arena);
	n->incarnation = reader_u64(r);
	n->coordinator = read_bool(r);
	n->shard = read_bool(r);
	state = reader_u8(r);
	if (state > NODE_DRAINING)
		r->bad = true;
	n->state = (enum node_state)state;
	n->capacity_bytes = reader_u64(r);
}

static uint16_t version_needed(const struct map *m)
{
	for (uint32_t i = 0; i < m->n_collections; i++)
		for (uint32_t j = 0; j < m->collections[i].collection->n_partitions; j++)
			if (m->collections[i].partitions[j].pinned != 0)
				return MAP_VERSION_PINNED;
	return MAP_VERSION_LEAVING;
}

void map_encode(struct buf *b, const struct map *m)
{
	uint16_t version = version_needed(m);

	buf_put_u32(b, MAP_MAGIC);
	buf_put_u16(b, version);
	buf_put_u64(b, m->index);
	buf_put_u64(b, m->cluster_id);
	buf_put_u64(b, m->next_id);
	buf_put_u32(b, m->n_nodes);
	for (uint32_t i = 0; i < m->n_nodes; i++)
		map_put_node(b, &m->nodes[i]);
	buf_put_u32(b, m->n_collections);
	for (uint32_t i = 0; i < m->n_collections; i++) {
		const struct map_collection *c = &m->collections[i];

		collection_encode(b, c->collection);
		buf_put_u32(b, c->collection->n_partitions);
		for (uint32_t j = 0; j < c->collection->n_partitions; j++)
			map_put_partition(b, version, &c->partitions[j]);
	}
	buf_put_u32(b, m->n_aliases);
	for (uint32_t i = 0; i < m->n_aliases; i++) {
		buf_put_str(b, m->aliases[i].name);
		buf_put_str(b, m->aliases[i].collection);
	}
	buf_put_u32(b, m->n_keys);
	for (uint32_t i = 0; i < m->n_keys; i++) {
		buf_put_str(b, m->keys[i].name);
		buf_put(b, m->keys[i].hash, sizeof(m->keys[i].hash));
		buf_put_u8(b, m->keys[i].read_only);
	}
	buf_put_u32(b, m->n_done);
	for (uint32_t i = 0; i < m->n_done; i++) {
		buf_put_u64(b, m->done[i].hi);
		buf_put_u64(b, m->done[i].lo);
	}
}

static void decode_nodes(struct reader *r, struct map *m)
{
	uint32_t n = reader_count(r, 40);

	m->nodes = arena_alloc(m->arena, n * sizeof(*m->nodes));
	for (uint32_t i = 0; i < n && reader_ok(r); i++) {
		map_read_node(r, m->arena, &m->nodes[i]);
		if (m->nodes[i].id == 0 || (i > 0 && m->nodes[i].id <= m->nodes[i - 1].id))
			r->bad = true;
		m->n_nodes = i + 1;
	}
}

/* One collection; it counts as read (and is released with the map) even when it is refused. */
static int decode_collection(struct reader *r, uint16_t version, struct map *m, struct error *err)
{
	struct map_collection *c = &m->collections[m->n_collections];
	struct collection *definition = NULL;
	uint32_t n, next_slot = 0;
	int rc = collection_decode(r, &definition, err);

	if (rc < 0)
		return rc;
	n = reader_count(r, PARTITION_MIN_BYTES);
	if (!reader_ok(r) || n != definition->n_partitions || n == 0 || n > LIMIT_PARTITIONS) {
		collection_unref(definition);
		return error_set(err, ERR_FORMAT, "a collection's partitions are missing");
	}
	c->collection = definition;
	c->partitions = map_partitions_new(n);
	m->n_collections++;
	for (uint32_t i = 0; i < n; i++) {
		struct map_partition *p = &c->partitions[i];
		const char *flaw;

		map_read_partition(r, version, p);
		flaw = reader_ok(r) ? map_partition_flaw(p) : "it is cut off";
		if (flaw == NULL && p->slot_first != next_slot)
			flaw = "its slots do not follow those before it";
		if (flaw != NULL)
			return error_set(err, ERR_FORMAT, "collection `%s`, partition %u: %s",
					 definition->name, i, flaw);
		next_slot = p->slot_last + 1;
	}
	if (next_slot != SLOT_COUNT)
		return error_set(err, ERR_FORMAT, "collection `%s`: slots from %u on have no owner",
				 definition->name, next_slot);
	return 0;
}

static int decode_collections(struct reader *r, uint16_t version, struct map *m, struct error *err)
{
	uint32_t n = reader_count(r, PARTITION_MIN_BYTES);

	if (n > LIMIT_COLLECTIONS)
		return error_set(err, ERR_FORMAT, "%u collections are more than the limit", n);
	m->collections = arena_alloc(m->arena, n * sizeof(*m->collections));
	for (uint32_t i = 0; i < n; i++) {
		int rc = decode_collection(r, version, m, err);

		if (rc < 0)
			return rc;
		if (i > 0 && strcmp(m->collections[i - 1].collection->name,
				    m->collections[i].collection->name) >= 0)
			return error_set(err, ERR_FORMAT, "collections are not in order");
	}
	return 0;
}

static void decode_names(struct reader *r, struct map *m)
{
	uint32_t n = reader_count(r, 8);
	bool found;

	m->aliases = arena_alloc(m->arena, n * sizeof(*m->aliases));
	for (uint32_t i = 0; i < n && reader_ok(r); i++) {
		m->aliases[i].name = map_read_name(r, m->arena);
		m->aliases[i].collection = map_read_name(r, m->arena);
		map_find_collection(m, m->aliases[i].collection, &found);
		if (!found || (i > 0 && strcmp(m->aliases[i - 1].name, m->aliases[i].name) >= 0))
			r->bad = true;
		map_find_collection(m, m->aliases[i].name, &found);
		if (found)
			r->bad = true;
		m->n_aliases = i + 1;
	}
	n = reader_count(r, 4 + 32 + 1);
	m->keys = arena_alloc(m->arena, n * sizeof(*m->keys));
	for (uint32_t i = 0; i < n && reader_ok(r); i++) {
		const uint8_t *hash;

		m->keys[i].name = map_read_name(r, m->arena);
		hash = reader_bytes(r, 32);
		if (hash != NULL)
			memcpy(m->keys[i].hash, hash, 32);
		m->keys[i].read_only = read_bool(r);
		if (i > 0 && strcmp(m->keys[i - 1].name, m->keys[i].name) >= 0)
			r->bad = true;
		m->n_keys = i + 1;
	}
}

static void decode_done(struct reader *r, struct map *m)
{
	uint32_t n = reader_count(r, 16);

	if (n > MAP_DONE_CAPACITY) {
		r->bad = true;
		return;
	}
	m->done = arena_alloc(m->arena, n * sizeof(*m->done));
	for (uint32_t i = 0; i < n; i++) {
		m->done[i].hi = reader_u64(r);
		m->done[i].lo = reader_u64(r);
	}
	m->n_done = n;
}

int map_decode(const void *bytes, size_t n, struct map **out, struct error *err)
{
	struct reader r = reader_make(bytes, n);
	struct map *m;
	uint16_t version;
	int rc;

	if (reader_u32(&r) != MAP_MAGIC)
		return error_set(err, ERR_FORMAT, "this is not a shard map");
	version = reader_u16(&r);
	if (version < MAP_VERSION_OLDEST || version > MAP_VERSION)
		return error_set(err, ERR_VERSION,
				 "the shard map has version %u, this program reads version %d",
				 version, MAP_VERSION);
	m = map_alloc();
	m->index = reader_u64(&r);
	m->cluster_id = reader_u64(&r);
	m->next_id = reader_u64(&r);
	decode_nodes(&r, m);
	rc = decode_collections(&r, version, m, err);
	if (rc == 0) {
		decode_names(&r, m);
		decode_done(&r, m);
		if (!reader_done(&r) || m->next_id < MAP_FIRST_ID)
			rc = error_set(err, ERR_FORMAT,
				       "the shard map is cut off or has wrong entries");
	}
	if (rc < 0) {
		map_unref(m);
		return rc;
	}
	*out = m;
	return 0;
}
