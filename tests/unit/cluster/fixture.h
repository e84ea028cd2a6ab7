/* Builders shared by the tests of the shard map. */
#pragma once

#include "base/arena.h"
#include "base/assert.h"
#include "base/codec.h"
#include "cluster/map.h"

#include <stdio.h>
#include <string.h>

/* A definition with one space of four dimensions. */
static inline struct collection *fixture_collection(const char *name, uint32_t partitions,
						    uint32_t factor)
{
	struct collection *c = collection_new();

	c->name = arena_strdup(c->arena, name);
	c->spaces = arena_zalloc(c->arena, sizeof(*c->spaces));
	c->n_spaces = 1;
	c->spaces[0].name = "";
	c->spaces[0].dim = 4;
	c->spaces[0].distance = DISTANCE_COSINE;
	c->spaces[0].index =
		(struct index_config){.kind = INDEX_HNSW, .m = 16, .ef_construct = 100};
	c->n_partitions = partitions;
	c->replication_factor = factor;
	c->body = PV_EMPTY_OBJECT;
	return c;
}

/* Applies a command to *m, which is replaced; the refusal's code, or 0. */
static inline int fixture_apply(struct map **m, uint64_t index, const struct map_command *c,
				struct error *why)
{
	struct buf b = BUF_INIT;
	struct map *next = NULL;
	struct error scratch;
	int rc;

	if (why == NULL)
		why = &scratch;
	map_command_encode(&b, c);
	rc = map_apply(*m, index, b.data, b.len, &next, why);
	buf_fini(&b);
	assert(rc == 0 && next != NULL);
	map_unref(*m);
	*m = next;
	return why->code;
}

static inline struct map_command fixture_node(uint64_t id, const char *name, const char *address)
{
	return (struct map_command){
		.type = MAP_NODE_PUT,
		.node = {.id = id,
			 .name = name,
			 .rpc_address = address,
			 .http_address = "127.0.0.1:6333",
			 .incarnation = 1,
			 .coordinator = true,
			 .shard = true,
			 .state = NODE_UP},
	};
}

/* A map with nodes 1..n; *index grows with each command. */
static inline struct map *fixture_map(uint32_t n, uint64_t *index)
{
	struct map *m = map_new(77);

	for (uint32_t i = 1; i <= n; i++) {
		char name[16], address[32];

		snprintf(name, sizeof(name), "n%u", i);
		snprintf(address, sizeof(address), "10.0.0.%u:7000", i);
		struct map_command c = fixture_node(i, name, address);

		int rc = fixture_apply(&m, ++*index, &c, NULL);

		assert(rc == 0);
	}
	return m;
}

/* Creates a collection with every partition on `replicas` (n ids, the same for each). */
static inline int fixture_create(struct map **m, uint64_t index, struct collection *definition,
				 const uint64_t *replicas, uint32_t n, struct error *why)
{
	uint64_t all[LIMIT_PARTITIONS * LIMIT_REPLICAS];

	for (uint32_t p = 0; p < definition->n_partitions; p++)
		memcpy(&all[p * n], replicas, n * sizeof(*all));
	struct map_command c = {.type = MAP_CREATE_COLLECTION,
				.collection = definition,
				.replicas = all,
				.n_replicas = n};
	int rc = fixture_apply(m, index, &c, why);

	collection_unref(definition);
	return rc;
}
