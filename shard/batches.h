/* Batch ids that were applied, so that a retry of a write whose answer was lost is answered and not
 * done again. Remembered for ten minutes of wall-clock time and for the last BATCHES_MAX batches.
 * Kept in the manifest's extra bytes; what came later is found again when the log is replayed. */
#pragma once
#include "base/codec.h"
#include <stdbool.h>
#include <stdint.h>

enum { BATCHES_MAX = 1 << 14 };
#define BATCHES_KEEP_US (600ull * 1000000)

struct batch {
	uint64_t hi, lo;
	uint64_t seq, changed;
	uint64_t at_us; /* wall clock */
};
struct batches {
	struct batch *ring; /* BATCHES_MAX, oldest at `first`; allocated with the first batch */
	uint32_t *slots;    /* open addressing: ring position + 1 */
	uint32_t first, n;
};
void batches_fini(struct batches *b);
void batches_add(struct batches *b, const struct batch *batch);
const struct batch *batches_find(const struct batches *b, uint64_t hi,
				 uint64_t lo); /* NULL: unknown */
void batches_expire(struct batches *b, uint64_t now_us);
void batches_encode(struct buf *out, const struct batches *b);
void batches_decode(struct reader *r, struct batches *b);
