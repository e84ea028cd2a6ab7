/* Asks the replicas of a collection, each at its own node, how they are. */
#include "coordinator/internal.h"
#include "base/memory.h"
#include <stdlib.h>

enum { ASK_US = 1000000 };

struct asked {
	struct rpc_call call; /* first */
	struct asking *asking;
	struct rpc_info_request request;
	struct rpc_info_response response;
};

struct asking {
	struct coord_replicas *request;
	struct coord *coord;
	atomic_uint pending;
	struct asked *asked;
};

static void finish(struct asking *a)
{
	struct coord_replicas *q = a->request;
	for (uint32_t i = 0; i < q->n; i++) {
		struct coord_replica *r = &q->replicas[i];
		struct asked *asked = &a->asked[i];
		r->rc = asked->call.rc;
		r->err = asked->call.err;
		r->info = asked->response;
		r->info.fields = NULL;
		r->info.n_fields = 0;
		if (r->info.warning != NULL)
			r->info.warning = arena_strdup(q->call.arena, r->info.warning);
		arena_free(asked->call.arena);
	}
	struct coord *c = a->coord;
	free(a->asked);
	free(a);
	coord_finish(c, &q->call, 0);
}

static void answered(struct rpc_call *call)
{
	struct asking *a = ((struct asked *)call)->asking;
	if (atomic_fetch_sub(&a->pending, 1) == 1)
		finish(a);
}

static void list(struct coord_replicas *q, const struct map_collection *placed)
{
	for (uint32_t p = 0; p < placed->collection->n_partitions; p++) {
		const struct map_partition *now = &placed->partitions[p];
		for (uint32_t i = 0; i < now->n_in_sync; i++)
			q->replicas[q->n++] =
				(struct coord_replica){.partition = p,
						       .node = now->in_sync[i],
						       .in_sync = true,
						       .primary = now->in_sync[i] == now->primary};
		for (uint32_t i = 0; i < now->n_learners && !q->only_in_sync; i++)
			q->replicas[q->n++] =
				(struct coord_replica){.partition = p, .node = now->learners[i]};
	}
}

void coord_replicas(struct coord *c, struct coord_replicas *q)
{
	const struct map *map = coord_map(c);
	const struct map_collection *placed = map_collection_by_id(map, q->call.collection->id);
	uint32_t n_partitions = placed != NULL ? placed->collection->n_partitions : 0;
	struct rpc_target target = {.collection_id = q->call.collection->id,
				    .revision = placed ? placed->collection->revision : 0};
	q->n = 0;
	q->replicas = arena_zalloc(q->call.arena,
				   (n_partitions * 2 * LIMIT_REPLICAS + 1) * sizeof(*q->replicas));
	if (placed != NULL)
		list(q, placed);
	map_unref(map);
	struct asking *a = mem_zalloc(sizeof(*a));
	uint64_t now = c->options.clock->monotonic_us(c->options.clock->ctx);
	uint32_t n = q->n;
	*a = (struct asking){.request = q, .coord = c};
	a->asked = mem_array(n + 1, sizeof(*a->asked));
	atomic_store(&a->pending, n + 1);
	for (uint32_t i = 0; i < n; i++) {
		struct asked *asked = &a->asked[i];
		asked->asking = a;
		asked->request.target = target;
		asked->request.target.partition = q->replicas[i].partition;
		asked->call = (struct rpc_call){.type = RPC_TYPE_info,
						.request = &asked->request,
						.response = &asked->response,
						.arena = arena_new(256),
						.deadline_us = now + ASK_US,
						.done = answered};
		rpc_send(c->options.rpc, q->replicas[i].node, &asked->call);
	}
	if (atomic_fetch_sub(&a->pending, 1) == 1)
		finish(a);
}
