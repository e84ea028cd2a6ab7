/* Private to cluster/: how a shard map is built. A map under construction has its strings and its
 * arrays in its own arena; a collection's definition and its partitions are shared with the map
 * before it, by reference, until one of them changes.
 */
#pragma once

#include "cluster/map.h"

/* A copy with refs = 1 and room for `more` further entries in each array. */
struct map *map_copy(const struct map *m, uint32_t more);

/* Reference-counted arrays of partitions, so that the next map does not copy what did not change. */
struct map_partition *map_partitions_new(uint32_t n);
struct map_partition *map_partitions_ref(struct map_partition *p);
void map_partitions_unref(struct map_partition *p); /* NULL ok */

/* Position of a name or id in its sorted array; *found tells whether it is there, else the result
 * is where it belongs. */
uint32_t map_find_node(const struct map *m, uint64_t id, bool *found);
uint32_t map_find_collection(const struct map *m, const char *name, bool *found);
uint32_t map_find_alias(const struct map *m, const char *name, bool *found);
uint32_t map_find_key(const struct map *m, const char *name, bool *found);

/* Codec pieces used by both maps and commands, whose versions go together. Strings are put in the arena. */
const char *map_read_name(struct reader *r, struct arena *arena);
/* The lowest version that can say it, so that nodes of an older program go on as long as they can. */
enum { MAP_VERSION_LEAVING = 2, MAP_VERSION_PINNED = 3, COMMAND_VERSION_STARTS = 4 };
void map_put_partition(struct buf *b, uint16_t version, const struct map_partition *p);
void map_read_partition(struct reader *r, uint16_t version, struct map_partition *p);
void map_put_node(struct buf *b, const struct map_node *n);
void map_read_node(struct reader *r, struct arena *arena, struct map_node *n);

/* What must hold for each partition of a map: in-sync set not empty and holding the primary, no node
 * twice, sizes within limits. NULL when it holds, else what is wrong. */
const char *map_partition_flaw(const struct map_partition *p);
