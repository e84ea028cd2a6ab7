/* The end of creating a collection: every in-sync replica is asked until it is there, so that the first write and search after
 * the answer find the collection, whichever node they come in at. */
#include "coordinator/internal.h"
#include "base/memory.h"
#include <stdlib.h>

enum { CREATE_PATIENCE_US = 10000000, CREATE_CALL_US = 1000000, CREATE_PAUSE_US = 20000 };

struct asked {
	struct rpc_call call; /* first */
	struct creation *creation;
	struct rpc_info_request request;
	struct rpc_info_response response;
	uint64_t node;
};

struct creation {
	struct coord *coord;
	struct coord_change *change;
	uint64_t until_us;
	atomic_uint pending;
	struct asked *asked;
	uint32_t n;
};

static void ask_all(void *ctx);

static uint64_t now_us(const struct coord *c)
{
	return c->options.clock->monotonic_us(c->options.clock->ctx);
}

static void finish(struct creation *creation, int rc)
{
	struct coord *c = creation->coord;
	struct coord_change *change = creation->change;
	free(creation);
	coord_finish(c, &change->call, rc);
}

static int not_there(struct creation *creation, const struct asked *a)
{
	struct error *err = &creation->change->call.err;
	return error_set(err, ERR_TIMEOUT,
			 "collection `%s` was created, but partition %u is not served by node %llu yet: %s; "
			 "the cluster goes on with it",
			 creation->change->command.collection->name, a->request.target.partition,
			 (unsigned long long)a->node, a->call.err.text);
}

/* All have answered. */
static void look(struct creation *creation)
{
	struct coord *c = creation->coord;
	int rc = 0;
	bool late = now_us(c) >= creation->until_us;
	for (uint32_t i = 0; i < creation->n; i++) {
		if (creation->asked[i].call.rc != 0 && rc == 0)
			rc = late ? not_there(creation, &creation->asked[i]) : 1;
		arena_free(creation->asked[i].call.arena);
	}
	free(creation->asked);
	creation->asked = NULL;
	if (rc > 0)
		timers_add(c->timers, now_us(c) + CREATE_PAUSE_US, ask_all, creation);
	else
		finish(creation, rc);
}

static void answered(struct rpc_call *call)
{
	struct creation *creation = ((struct asked *)call)->creation;
	if (atomic_fetch_sub(&creation->pending, 1) == 1)
		look(creation);
}

static void add(struct creation *creation, const struct map_collection *placed, uint32_t partition,
		uint64_t node)
{
	struct asked *a = &creation->asked[creation->n++];
	a->creation = creation;
	a->node = node;
	a->request.target = (struct rpc_target){.collection_id = placed->collection->id,
						.revision = placed->collection->revision,
						.partition = partition,
						.epoch = placed->partitions[partition].epoch};
	a->call = (struct rpc_call){.type = RPC_TYPE_info,
				    .request = &a->request,
				    .response = &a->response,
				    .arena = arena_new(256),
				    .deadline_us = now_us(creation->coord) + CREATE_CALL_US,
				    .done = answered};
}

static void ask_all(void *ctx)
{
	struct creation *creation = ctx;
	struct coord *c = creation->coord;
	const struct map *map = coord_map(c);
	const struct map_collection *placed =
		map_collection(map, creation->change->command.collection->name);
	uint32_t n_partitions = placed != NULL ? placed->collection->n_partitions : 0;
	creation->asked = mem_array(n_partitions * LIMIT_REPLICAS + 1, sizeof(*creation->asked));
	creation->n = 0;
	for (uint32_t p = 0; p < n_partitions; p++)
		for (uint32_t i = 0; i < placed->partitions[p].n_in_sync; i++)
			add(creation, placed, p, placed->partitions[p].in_sync[i]);
	map_unref(map);
	uint32_t n = creation->n;
	atomic_store(&creation->pending, n + 1);
	for (uint32_t i = 0; i < n; i++)
		rpc_send(c->options.rpc, creation->asked[i].node, &creation->asked[i].call);
	if (atomic_fetch_sub(&creation->pending, 1) == 1)
		look(creation);
}

void create_wait(struct coord *c, struct coord_change *change)
{
	struct creation *creation = mem_zalloc(sizeof(*creation));
	creation->coord = c;
	creation->change = change;
	creation->until_us = now_us(c) + CREATE_PATIENCE_US;
	/* The caller is the thread of the control plane, which must not serve. */
	timers_add(c->timers, now_us(c), ask_all, creation);
}
