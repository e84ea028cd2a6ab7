/* The ids of a load, for its closing tally: how many different ones there are, and lists of them to ask
 * the server about. Consecutive whole numbers take no memory beyond their first and last. */
#pragma once
#include "base/codec.h"
#include "cli/source.h"
#include <stdint.h>

struct ids {
	struct buf ranges; /* pairs of u64: first, last */
	struct buf uuids;  /* 16 bytes each */
	uint64_t added;
};

void ids_add(struct ids *ids, const struct batch *b);
/* Sorts and removes what is there twice; returns how many different ids there are. */
uint64_t ids_distinct(struct ids *ids);
/* After ids_distinct(): the filter {"must":[{"has_id":[..]}]} over the next ids behind *at, at most
 * `max`; returns how many, 0 at the end. *at begins with 0. NUL-terminated. */
uint32_t ids_filter(const struct ids *ids, uint64_t *at, uint32_t max, struct buf *out);
void ids_fini(struct ids *ids);
