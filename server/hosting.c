/* See hosting.h. */
#include "server/hosting.h"
#include "base/log.h"
#include "base/memory.h"
#include "shard/shard.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct hosting {
	struct shard *shard;
	uint64_t self;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const struct map *next;    /* NULL: nothing new */
	const struct map *current; /* assigned last; NULL: none yet */
	uint64_t contact_us;       /* to be told when nothing is new; 0: none */
	bool sweep, swept;         /* the map is current for the first time */
	bool confirmed;            /* and everything that waited for that is hosted */
	uint64_t incarnation;      /* of this node by that map: a higher one is this start */
	bool busy, stopping;
	pthread_t thread;
};

/* Hosted by the map before, and not any more. */
static bool left(const struct map *before, const struct map_collection *c, uint32_t partition,
		 uint64_t node)
{
	const struct map_collection *old =
		before != NULL ? map_collection_by_id(before, c->collection->id) : NULL;
	return old != NULL && map_partition_names(&old->partitions[partition], node);
}

void hosting_assign(struct shard *shard, uint64_t self, const struct map *before,
		    const struct map *map)
{
	struct error err = {0};
	size_t count = 0, cap = 0;
	for (uint32_t i = 0; i < map->n_collections; i++)
		cap += map->collections[i].collection->n_partitions;
	struct shard_assignment *list = mem_array(cap + 1, sizeof(*list));
	for (uint32_t i = 0; i < map->n_collections; i++) {
		const struct map_collection *c = &map->collections[i];
		for (uint32_t p = 0; p < c->collection->n_partitions; p++)
			if (map_partition_names(&c->partitions[p], self) ||
			    left(before, c, p, self))
				list[count++] = (struct shard_assignment){
					c->collection, p, c->partitions[p],
					!map_partition_names(&c->partitions[p], self)};
	}
	if (shard_assign(shard, list, count, &err) != 0)
		log_error("node", "%s", err.text);
	free(list);
}

static uint64_t incarnation(const struct hosting *h, const struct map *map)
{
	const struct map_node *own = map != NULL ? map_node(map, h->self) : NULL;
	return own != NULL ? own->incarnation : 0;
}

/* The lock is held, and let go meanwhile; `current` is this thread's. */
static void sweep(struct hosting *h)
{
	h->sweep = false;
	pthread_mutex_unlock(&h->lock);
	shard_sweep(h->shard, h->current != NULL ? h->current->next_id : MAP_FIRST_ID);
	/* What the shard would not begin on the word of an old map. */
	if (h->current != NULL)
		hosting_assign(h->shard, h->self, NULL, h->current);
	pthread_mutex_lock(&h->lock);
	h->incarnation = incarnation(h, h->current);
	h->confirmed = true;
}

bool hosting_confirmed(struct hosting *h)
{
	pthread_mutex_lock(&h->lock);
	bool confirmed = h->confirmed;
	pthread_mutex_unlock(&h->lock);
	return confirmed;
}

/* What is announced is hosted, and was current at at_us. The lock is held. */
static void in_contact(struct hosting *h, uint64_t at_us)
{
	shard_contact(h->shard, at_us);
	if (h->swept)
		return;
	h->sweep = h->swept = true;
	pthread_cond_broadcast(&h->changed);
}

static void *loop(void *arg)
{
	struct hosting *h = arg;
	pthread_setname_np(pthread_self(), "hosting");
	pthread_mutex_lock(&h->lock);
	for (;;) {
		while (h->next == NULL && !h->sweep && !h->stopping)
			pthread_cond_wait(&h->changed, &h->lock);
		if (h->stopping)
			break;
		if (h->next == NULL) {
			sweep(h);
			continue;
		}
		const struct map *map = h->next;
		h->next = NULL;
		h->busy = true;
		/* This node registers when the map is confirmed, not before. */
		bool registered = h->confirmed && incarnation(h, map) > h->incarnation;
		pthread_mutex_unlock(&h->lock);
		if (registered)
			shard_registered(h->shard);
		hosting_assign(h->shard, h->self, h->current, map);
		map_unref(h->current);
		h->current = map;
		pthread_mutex_lock(&h->lock);
		h->busy = false;
		pthread_cond_broadcast(&h->changed);
		uint64_t contact_us = h->contact_us;
		if (h->next != NULL || contact_us == 0)
			continue;
		h->contact_us = 0;
		in_contact(h, contact_us);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

int hosting_start(struct hosting **out, struct shard *shard, uint64_t self, struct error *err)
{
	struct hosting *h = mem_zalloc(sizeof(*h));
	h->shard = shard;
	h->self = self;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->changed, NULL);
	if (pthread_create(&h->thread, NULL, loop, h) != 0) {
		free(h);
		return error_set(err, ERR_NOMEM, "the thread that opens shards cannot be started");
	}
	*out = h;
	return 0;
}

void hosting_stop(struct hosting *h)
{
	if (h == NULL)
		return;
	pthread_mutex_lock(&h->lock);
	h->stopping = true;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	map_unref(h->next);
	map_unref(h->current);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->changed);
	free(h);
}

void hosting_map(struct hosting *h, const struct map *map)
{
	const struct map *next = map_ref(map);
	pthread_mutex_lock(&h->lock);
	map_unref(h->next);
	h->next = next;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

void hosting_contact(struct hosting *h, uint64_t at_us)
{
	pthread_mutex_lock(&h->lock);
	if (h->next != NULL || h->busy)
		h->contact_us = at_us;
	else
		in_contact(h, at_us);
	pthread_mutex_unlock(&h->lock);
}

void hosting_wait(struct hosting *h)
{
	pthread_mutex_lock(&h->lock);
	while (h->next != NULL || h->busy)
		pthread_cond_wait(&h->changed, &h->lock);
	pthread_mutex_unlock(&h->lock);
}
