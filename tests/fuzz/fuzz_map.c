/* The shard map and its commands. A command that decodes is applied to a map with nodes and a collection; whatever map comes
 * out must encode, decode and encode to the same bytes. */
#include "cluster/map.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static struct map *apply(struct map *m, uint64_t index, const void *bytes, size_t n)
{
	struct map *next = NULL;
	struct error result = {0};
	int rc = map_apply(m, index, bytes, n, &next, &result);

	if (rc != 0)
		return m;
	FUZZ_CHECK(next != NULL);
	if (result.code != 0)
		fuzz_check_error(result.code, &result);
	map_unref(m);
	return next;
}

static struct map *base_map(void)
{
	static const uint64_t replicas[] = {1, 2, 2, 1};
	struct map *m = map_new(77);
	struct buf b = BUF_INIT;
	struct collection *c = collection_new();

	for (uint64_t i = 1; i <= 3; i++) {
		struct map_command put = {.type = MAP_NODE_PUT,
					  .node = {.id = i,
						   .name = i == 1   ? "a"
							   : i == 2 ? "b"
								    : "c",
						   .rpc_address = i == 1   ? "h:1"
								  : i == 2 ? "h:2"
									   : "h:3",
						   .http_address = "h:6333",
						   .incarnation = 1,
						   .coordinator = true,
						   .shard = true}};

		buf_clear(&b);
		map_command_encode(&b, &put);
		m = apply(m, i, b.data, b.len);
	}
	c->name = arena_strdup(c->arena, "docs");
	c->spaces = arena_zalloc(c->arena, sizeof(*c->spaces));
	c->n_spaces = 1;
	c->spaces[0] = (struct vector_space){.name = "", .dim = 4};
	c->spaces[0].index = (struct index_config){.kind = INDEX_HNSW, .m = 16, .ef_construct = 99};
	c->n_partitions = c->replication_factor = 2;
	c->body = PV_EMPTY_OBJECT;
	struct map_command create = {.type = MAP_CREATE_COLLECTION,
				     .collection = c,
				     .replicas = replicas,
				     .n_replicas = 2};
	buf_clear(&b);
	map_command_encode(&b, &create);
	m = apply(m, 4, b.data, b.len);
	FUZZ_CHECK(map_collection(m, "docs") != NULL);
	collection_unref(c);
	buf_fini(&b);
	return m;
}

static void check_map(const struct map *m)
{
	struct buf once = BUF_INIT, twice = BUF_INIT;
	struct error err = {0};
	struct map *same = NULL;

	map_encode(&once, m);
	FUZZ_CHECK(map_decode(once.data, once.len, &same, &err) == 0);
	map_encode(&twice, same);
	fuzz_check_same(&once, &twice);
	map_unref(same);
	buf_fini(&once);
	buf_fini(&twice);
}

/* Several commands, one after the other. */
static void try_commands(struct reader *r)
{
	struct map *m = base_map();

	for (uint64_t index = 5; reader_left(r) > 2; index++) {
		uint32_t n = reader_u16(r);
		const uint8_t *bytes;

		if (n > reader_left(r))
			n = (uint32_t)reader_left(r);
		bytes = reader_bytes(r, n);
		m = apply(m, index, bytes, n);
	}
	check_map(m);
	map_unref(m);
}

static void try_map(const uint8_t *data, size_t n)
{
	struct map *m = NULL;
	struct error err = {0};
	int rc = map_decode(data, n, &m, &err);

	if (rc != 0) {
		fuzz_check_error(rc, &err);
		return;
	}
	check_map(m);
	map_unref(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct reader r = reader_make(data, n);
	uint8_t what = reader_u8(&r);

	if (!reader_ok(&r))
		return 0;
	if (what % 4 == 0) {
		try_map(r.at, reader_left(&r));
	} else if (what % 4 == 1) { /* a damaged good one */
		struct map *m = base_map();
		struct buf b = BUF_INIT;

		map_encode(&b, m);
		fuzz_damage(&b, &r);
		try_map(b.data, b.len);
		buf_fini(&b);
		map_unref(m);
	} else {
		try_commands(&r);
	}
	return 0;
}
