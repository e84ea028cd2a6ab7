/* Makes the shard role host what the shard map says, on a thread of its own: opening replicas takes time, and the thread that brings new maps
 * must not wait. Only the newest map counts. */
#pragma once
#include "base/error.h"
#include "cluster/map.h"

struct hosting;
struct shard;

int hosting_start(struct hosting **out, struct shard *shard, uint64_t self, struct error *err);
void hosting_stop(struct hosting *h); /* NULL ok */
/* A new map, from one thread. Returns at once. */
void hosting_map(struct hosting *h, const struct map *map);
/* Until everything that was announced is hosted. */
void hosting_wait(struct hosting *h);
/* The map as announced so far is as new as any was at at_us: the replicas hear it when they work by that map. */
void hosting_contact(struct hosting *h, uint64_t at_us);
/* Has the map been as new as any since the start, and is all of it hosted? A replica that is new by an older one is not begun. */
bool hosting_confirmed(struct hosting *h);
/* Without a thread: done on return. before: the map that was assigned last; NULL: none. */
void hosting_assign(struct shard *shard, uint64_t self, const struct map *before,
		    const struct map *map);
