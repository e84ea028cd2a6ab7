/* A ring in the order of arrival and a hash over it. */
#include "shard/batches.h"
#include "base/assert.h"
#include "base/memory.h"
#include <stdlib.h>

enum { SLOTS = BATCHES_MAX * 2, BATCH_ENCODED_BYTES = 40 };

void batches_fini(struct batches *b)
{
	free(b->ring);
	free(b->slots);
	*b = (struct batches){0};
}

static uint32_t slot_of(uint64_t hi, uint64_t lo)
{
	return (uint32_t)((hi ^ lo * 0x9E3779B97F4A7C15ull) * 0xD6E8FEB86659FD93ull >> 32) % SLOTS;
}

static uint32_t find_slot(const struct batches *b, uint64_t hi, uint64_t lo)
{
	uint32_t at = slot_of(hi, lo);

	for (; b->slots[at]; at = (at + 1) % SLOTS) {
		const struct batch *other = &b->ring[b->slots[at] - 1];

		if (other->hi == hi && other->lo == lo)
			break;
	}
	return at;
}

/* Closes the gap behind a removed slot, as linear probing wants it. */
static void unlink_slot(struct batches *b, uint32_t hole)
{
	uint32_t at = hole;

	for (;;) {
		b->slots[hole] = 0;
		for (;;) {
			at = (at + 1) % SLOTS;
			if (!b->slots[at])
				return;
			const struct batch *other = &b->ring[b->slots[at] - 1];
			uint32_t home = slot_of(other->hi, other->lo);

			if ((at - home) % SLOTS >= (at - hole) % SLOTS)
				break;
		}
		b->slots[hole] = b->slots[at];
		hole = at;
	}
}

static void drop_oldest(struct batches *b)
{
	const struct batch *old = &b->ring[b->first];
	uint32_t at = find_slot(b, old->hi, old->lo);

	if (b->slots[at] == b->first + 1)
		unlink_slot(b, at);
	b->first = (b->first + 1) % BATCHES_MAX;
	b->n--;
}

void batches_add(struct batches *b, const struct batch *batch)
{
	uint32_t at;

	if (!b->ring) {
		b->ring = mem_array(BATCHES_MAX, sizeof *b->ring);
		b->slots = mem_array(SLOTS, sizeof *b->slots);
	}
	if (b->n == BATCHES_MAX)
		drop_oldest(b);
	at = (b->first + b->n) % BATCHES_MAX;
	b->ring[at] = *batch;
	b->n++;
	b->slots[find_slot(b, batch->hi, batch->lo)] = at + 1;
}

const struct batch *batches_find(const struct batches *b, uint64_t hi, uint64_t lo)
{
	uint32_t at;

	if (b->n == 0)
		return NULL;
	at = find_slot(b, hi, lo);
	return b->slots[at] ? &b->ring[b->slots[at] - 1] : NULL;
}

void batches_expire(struct batches *b, uint64_t now_us)
{
	while (b->n && b->ring[b->first].at_us + BATCHES_KEEP_US < now_us)
		drop_oldest(b);
}

void batches_encode(struct buf *out, const struct batches *b)
{
	buf_put_u32(out, b->n);
	for (uint32_t i = 0; i < b->n; i++) {
		const struct batch *x = &b->ring[(b->first + i) % BATCHES_MAX];

		buf_put_u64(out, x->hi);
		buf_put_u64(out, x->lo);
		buf_put_u64(out, x->seq);
		buf_put_u64(out, x->changed);
		buf_put_u64(out, x->at_us);
	}
}

void batches_decode(struct reader *r, struct batches *b)
{
	uint32_t n = reader_count(r, BATCH_ENCODED_BYTES);

	for (uint32_t i = 0; i < n; i++) {
		struct batch x;

		x.hi = reader_u64(r);
		x.lo = reader_u64(r);
		x.seq = reader_u64(r);
		x.changed = reader_u64(r);
		x.at_us = reader_u64(r);
		batches_add(b, &x);
	}
}
