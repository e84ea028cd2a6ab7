/* Points of given ids, wherever they are: one retrieve call per partition, answers put back into the order asked. */
#include "coordinator/internal.h"
#include "base/assert.h"
#include <string.h>

void id_table_init(struct id_table *t, uint32_t n, struct arena *arena)
{
	uint32_t size = 16;
	while (size < n * 2)
		size *= 2;
	t->slots = arena_zalloc(arena, size * sizeof(*t->slots));
	t->mask = size - 1;
}

void id_table_put(struct id_table *t, const struct hit *h)
{
	uint32_t at = (uint32_t)id_hash(&h->id) & t->mask;
	while (t->slots[at] != NULL) {
		if (id_equal(&t->slots[at]->id, &h->id))
			return;
		at = (at + 1) & t->mask;
	}
	t->slots[at] = h;
}

const struct hit *id_table_get(const struct id_table *t, const struct point_id *id)
{
	uint32_t at = (uint32_t)id_hash(id) & t->mask;
	for (; t->slots[at] != NULL; at = (at + 1) & t->mask)
		if (id_equal(&t->slots[at]->id, id))
			return t->slots[at];
	return NULL;
}

void fetch_add(struct fetch *f, struct round *r)
{
	struct arena *arena = r->call->arena;
	uint32_t n_partitions = r->placed->collection->n_partitions;
	uint32_t *counts = arena_zalloc(arena, n_partitions * sizeof(*counts));
	uint32_t *owner = arena_alloc(arena, (f->n_ids + 1) * sizeof(*owner));
	for (uint32_t i = 0; i < f->n_ids; i++) {
		owner[i] = map_route(r->placed, &f->ids[i]);
		counts[owner[i]]++;
	}
	f->first_call = r->n_calls;
	for (uint32_t p = 0; p < n_partitions; p++) {
		if (counts[p] == 0)
			continue;
		struct rpc_retrieve_request *q = arena_zalloc(arena, sizeof(*q));
		struct point_id *ids = arena_alloc(arena, counts[p] * sizeof(*ids));
		q->target = round_target(r, p);
		for (uint32_t i = 0; i < f->n_ids; i++)
			if (owner[i] == p)
				ids[q->n_ids++] = f->ids[i];
		q->ids = ids;
		q->payload = f->payload;
		q->vectors = f->vectors;
		round_add(r, RPC_TYPE_retrieve, p, q);
	}
	f->n_calls = r->n_calls - f->first_call;
}

void fetch_collect(const struct fetch *f, struct round *r, struct hits *out)
{
	struct arena *arena = r->call->arena;
	struct id_table found, given;
	id_table_init(&found, f->n_ids, arena);
	id_table_init(&given, f->n_ids, arena);
	for (uint32_t c = f->first_call; c < f->first_call + f->n_calls; c++) {
		const struct hits *part = &r->calls[c].response.retrieve.hits;
		for (uint32_t i = 0; r->calls[c].rpc.rc == 0 && i < part->n; i++)
			id_table_put(&found, &part->items[i]);
	}
	out->items = arena_alloc(arena, (f->n_ids + 1) * sizeof(*out->items));
	out->n = 0;
	for (uint32_t i = 0; i < f->n_ids; i++) {
		const struct hit *h = id_table_get(&found, &f->ids[i]);
		if (h == NULL || id_table_get(&given, &h->id) != NULL)
			continue;
		id_table_put(&given, h);
		out->items[out->n++] = *h;
	}
}
