/* What a replica without a folder may do, and when a folder may go: rules without a state of their own, which are the
 * same here and in tests/sim. The reasons are in docs/decisions/0014. */
#pragma once
#include "cluster/map.h"
#include <stdbool.h>
#include <stdint.h>

/* What this node knows of a replica that the map names, when there is no folder of it. */
struct begin_facts {
	uint64_t self; /* the node's id */
	uint64_t collection_id;
	uint64_t known_since; /* of collections from this id on `known` says the truth */
	bool known;           /* it was held here since the map named this node for it */
	bool confirmed;       /* the map was confirmed since the start of the process */
	bool registered; /* the map has this start, so its epochs began after an earlier process here ended */
};
enum begin {
	BEGIN_NOW, /* it never held anything: empty is all that it should be */
	BEGIN_LATER, /* a newer map may say something else: not before one is confirmed, and has this start */
	BEGIN_LOST /* it held what is gone: to be made anew from another copy */
};
enum begin begin_from_nothing(const struct begin_facts *f, const struct map_partition *c);

/* The epoch to be stored before a new replica does anything, 0: none. */
uint64_t begin_epoch(uint64_t self, const struct map_partition *c);

/* Must the folder stay of a replica that `c` takes away? `highest` is the highest epoch that it has seen. */
bool begin_keeps(uint64_t highest, const struct map_partition *c);
