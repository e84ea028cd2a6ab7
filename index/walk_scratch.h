/* Private to walk*.c: what one thread needs while it searches. Kept per thread, freed when it ends. */
#pragma once

#include "index/walk_layout.h"

struct walk_scratch {
	uint64_t *visited; /* a bit per node; all zero between searches */
	size_t visited_words;
	uint32_t *touched; /* nodes whose bit was set */
	uint32_t n_touched;
	size_t touched_room;
	uint64_t *pool; /* candidates, best first: key << 32 | node << 1 | expanded */
	size_t pool_room;
	uint32_t *ids; /* gathered nodes, and what the kernels made of them */
	int32_t *sums;
	size_t gather_room;
	uint8_t *query_bytes; /* aligned */
	uint8_t *cell_bytes;  /* the query as cells are ranked by it */
	float *query_floats;
	size_t query_room;
};

/* Of the calling thread, large enough: `gather` nodes at once, a pool of `pool` candidates. */
struct walk_scratch *walk_scratch_get(const struct walk *w, size_t pool, size_t gather);
/* Clears the bits that were set. */
void walk_scratch_done(struct walk_scratch *s);
/* Room for `more` touched nodes. */
void walk_scratch_touch(struct walk_scratch *s, size_t more);
