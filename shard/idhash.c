/* Linear probing over 64-bit slots; see the header. */
#include "shard/idhash.h"
#include "base/assert.h"
#include "base/memory.h"
#include <stdlib.h>

struct idhash_table {
	struct idhash_table *older;
	uint32_t bits;
	uint64_t slots[]; /* 0: empty; else tag << 32 | row + 1 */
};

static struct idhash_table *table_new(uint32_t bits, struct idhash_table *older)
{
	struct idhash_table *t = mem_zalloc(sizeof *t + (sizeof(uint64_t) << bits));

	t->bits = bits;
	t->older = older;
	return t;
}

void idhash_init(struct idhash *h, uint32_t expected,
		 struct point_id (*id_of)(const void *ctx, uint32_t row), const void *ctx)
{
	uint32_t bits = 4;

	while (bits < 31 && (1ull << bits) * 2 / 3 < expected)
		bits++;
	*h = (struct idhash){.table = table_new(bits, NULL), .id_of = id_of, .ctx = ctx};
}

void idhash_fini(struct idhash *h)
{
	struct idhash_table *t = h->table;

	while (t) {
		struct idhash_table *older = t->older;

		free(t);
		t = older;
	}
	h->table = NULL;
}

/* Partitions own ranges of id_hash % SLOT_COUNT, so its low bits are not evenly used inside one of
 * them. */
static inline uint64_t first_slot(const struct idhash_table *t, uint64_t hash)
{
	return (hash * 0x9E3779B97F4A7C15ull) >> (64 - t->bits);
}

static inline uint64_t slot_value(uint64_t hash, uint32_t row)
{
	return (hash >> 32) << 32 | ((uint64_t)row + 1);
}

static void insert_new(struct idhash_table *t, uint64_t hash, uint32_t row)
{
	uint64_t mask = (1ull << t->bits) - 1;
	uint64_t at = first_slot(t, hash);

	while (t->slots[at])
		at = (at + 1) & mask;
	t->slots[at] = slot_value(hash, row);
}

static void grow(struct idhash *h)
{
	struct idhash_table *old = h->table;
	struct idhash_table *t = table_new(old->bits + 1, old);

	for (uint64_t i = 0; i < 1ull << old->bits; i++) {
		uint32_t row = (uint32_t)old->slots[i];
		struct point_id id;

		if (row == 0)
			continue;
		id = h->id_of(h->ctx, row - 1);
		insert_new(t, id_hash(&id), row - 1);
	}
	__atomic_store_n(&h->table, t, __ATOMIC_RELEASE);
}

uint32_t idhash_put(struct idhash *h, const struct point_id *id, uint64_t hash, uint32_t row)
{
	struct idhash_table *t = h->table;
	uint64_t mask, at;

	if ((uint64_t)h->n + 1 > (1ull << t->bits) * 2 / 3) {
		grow(h);
		t = h->table;
	}
	mask = (1ull << t->bits) - 1;
	for (at = first_slot(t, hash);; at = (at + 1) & mask) {
		uint64_t slot = t->slots[at];

		if (slot == 0)
			break;
		if (slot >> 32 == hash >> 32) {
			uint32_t other = (uint32_t)slot - 1;
			struct point_id other_id = h->id_of(h->ctx, other);

			if (id_equal(&other_id, id)) {
				__atomic_store_n(&t->slots[at], slot_value(hash, row),
						 __ATOMIC_RELEASE);
				return other;
			}
		}
	}
	__atomic_store_n(&t->slots[at], slot_value(hash, row), __ATOMIC_RELEASE);
	h->n++;
	return ROW_NONE;
}

uint32_t idhash_find(const struct idhash *h, const struct point_id *id, uint64_t hash)
{
	const struct idhash_table *t = __atomic_load_n(&h->table, __ATOMIC_ACQUIRE);
	uint64_t mask = (1ull << t->bits) - 1;

	for (uint64_t at = first_slot(t, hash);; at = (at + 1) & mask) {
		uint64_t slot = __atomic_load_n(&t->slots[at], __ATOMIC_ACQUIRE);

		if (slot == 0)
			return ROW_NONE;
		if (slot >> 32 == hash >> 32) {
			uint32_t row = (uint32_t)slot - 1;
			struct point_id other = h->id_of(h->ctx, row);

			if (id_equal(&other, id))
				return row;
		}
	}
}

uint64_t idhash_bytes(const struct idhash *h)
{
	uint64_t bytes = 0;

	for (const struct idhash_table *t = h->table; t; t = t->older)
		bytes += sizeof(uint64_t) << t->bits;
	return bytes;
}
