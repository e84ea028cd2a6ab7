/* The end of creating a collection: every in-sync replica is asked until it is there, so that the first write and search after
 * the answer find the collection, whichever node they come in at. */
#include "coordinator/internal.h"
#include "base/memory.h"
#include <stdlib.h>

enum { CREATE_PATIENCE_US = 10000000, CREATE_PAUSE_US = 20000 };

struct creation {
	struct coord *coord;
	struct coord_change *change;
	struct timer timer;
	uint64_t until_us;
	struct coord_replicas replicas;
	struct arena *arena; /* of one question */
	const struct collection *collection;
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

static int not_there(struct creation *creation, const struct coord_replica *r)
{
	struct error *err = &creation->change->call.err;
	return error_set(
		err, ERR_TIMEOUT,
		"collection `%s` was created, but partition %u is not served by node %llu yet: %s; "
		"the cluster goes on with it",
		creation->change->command.collection->name, r->partition,
		(unsigned long long)r->node, r->err.text);
}

static void all_answered(struct coord_call *call)
{
	struct creation *creation = call->ctx;
	struct coord *c = creation->coord;
	const struct coord_replica *missing = NULL;
	int rc = 0;
	for (uint32_t i = 0; i < creation->replicas.n && missing == NULL; i++)
		if (creation->replicas.replicas[i].rc != 0)
			missing = &creation->replicas.replicas[i];
	bool late = now_us(c) >= creation->until_us || atomic_load(&c->closing);
	if (missing != NULL && late)
		rc = not_there(creation, missing);
	arena_free(creation->arena);
	collection_unref(creation->collection);
	if (missing != NULL && !late)
		timers_add(c->timers, &creation->timer, now_us(c) + CREATE_PAUSE_US, ask_all,
			   creation);
	else
		finish(creation, rc);
}

static void ask_all(void *ctx)
{
	struct creation *creation = ctx;
	struct coord *c = creation->coord;
	if (atomic_load(&c->closing)) {
		finish(creation, error_set(&creation->change->call.err, ERR_CLOSED,
					   "the collection was created; this node is stopping"));
		return;
	}
	if (coord_collection(c, creation->change->command.collection->name, &creation->collection,
			     NULL) != 0) {
		finish(creation, 0); /* and deleted at once */
		return;
	}
	creation->arena = arena_new(4096);
	creation->replicas = (struct coord_replicas){
		.call = {.collection = creation->collection,
			 .arena = creation->arena,
			 .done = all_answered,
			 .ctx = creation},
		.only_in_sync = true,
	};
	coord_replicas(c, &creation->replicas);
}

void create_wait(struct coord *c, struct coord_change *change)
{
	struct creation *creation = mem_zalloc(sizeof(*creation));
	creation->coord = c;
	creation->change = change;
	creation->until_us = now_us(c) + CREATE_PATIENCE_US;
	/* The caller is the thread of the control plane, which must not serve. */
	timers_add(c->timers, &creation->timer, now_us(c), ask_all, creation);
}
