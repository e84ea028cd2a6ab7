/* Where the rows of one segment are, by point id: open addressing, 4 bytes a slot (the row in as many
 * bits as it takes, of the hash what else there is room for), two thirds full at most: 6 bytes a
 * row of those expected, up to 12 of more. One a segment instead of one for the whole replica, so
 * that searching threads read it without a lock, a restart fills all of them in parallel, and no
 * table ever has to move while writes wait. One thread puts; any number of threads find meanwhile:
 * slots are atomic, and a grown table is published by one pointer while the old ones live as long
 * as the hash. */
#pragma once
#include "model/id.h"
#include <stdint.h>

enum { ROW_NONE = UINT32_MAX };

struct idhash {
	struct idhash_table *table; /* atomic */
	uint32_t n;
	struct point_id (*id_of)(const void *ctx, uint32_t row);
	const void *ctx;
};

/* id_of gives the id of a row that was put. */
void idhash_init(struct idhash *h, uint32_t expected,
		 struct point_id (*id_of)(const void *ctx, uint32_t row), const void *ctx);
void idhash_fini(struct idhash *h);
/* Lets `id` lead to `row` from now on. Returns the row that it led to before, or ROW_NONE. */
uint32_t idhash_put(struct idhash *h, const struct point_id *id, uint64_t hash, uint32_t row);
/* The row put last for this id, or ROW_NONE. hash is id_hash(id). */
uint32_t idhash_find(const struct idhash *h, const struct point_id *id, uint64_t hash);
uint64_t idhash_bytes(const struct idhash *h);
