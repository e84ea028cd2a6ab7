/* Linear probing over 32-bit slots; see the header. */
#include "shard/idhash.h"
#include "base/assert.h"
#include "base/memory.h"
#include <stdlib.h>

enum { SLOTS_LEAST = 16, ROW_BITS_LEAST = 12, ROW_BITS_STEP = 2 };

struct idhash_table {
	struct idhash_table *older;
	uint64_t n_slots;
	uint32_t row_bits; /* of a slot; the others are a tag */
	uint32_t slots[];  /* 0: empty; else tag << row_bits | row + 1 */
};

static struct idhash_table *table_new(uint64_t n_slots, uint32_t row_bits,
				      struct idhash_table *older)
{
	struct idhash_table *t = mem_zalloc(sizeof *t + sizeof(uint32_t) * n_slots);

	assert(n_slots <= UINT32_MAX && row_bits <= 32);
	t->n_slots = n_slots;
	t->row_bits = row_bits;
	t->older = older;
	return t;
}

static inline uint64_t row_mask(const struct idhash_table *t)
{
	return (1ull << t->row_bits) - 1;
}

void idhash_init(struct idhash *h, uint32_t expected,
		 struct point_id (*id_of)(const void *ctx, uint32_t row), const void *ctx)
{
	uint64_t n_slots = (uint64_t)expected * 3 / 2 + SLOTS_LEAST;
	uint32_t bits = ROW_BITS_LEAST;

	while (bits < 32 && expected >> bits)
		bits++;
	*h = (struct idhash){.table = table_new(n_slots, bits, NULL), .id_of = id_of, .ctx = ctx};
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
static inline uint64_t mixed(uint64_t hash)
{
	return hash * 0x9E3779B97F4A7C15ull;
}

static inline uint64_t first_slot(const struct idhash_table *t, uint64_t hash)
{
	return (mixed(hash) >> 32) * t->n_slots >> 32;
}

static inline uint64_t next_slot(const struct idhash_table *t, uint64_t at)
{
	return at + 1 < t->n_slots ? at + 1 : 0;
}

/* The tag in its place. Rows that share a slot's place differ in the lower half of the hash. */
static inline uint32_t tag_of(const struct idhash_table *t, uint64_t hash)
{
	return (uint32_t)(mixed(hash) & UINT32_MAX & ~row_mask(t));
}

static inline uint32_t row_of(const struct idhash_table *t, uint32_t slot)
{
	return (uint32_t)(slot & row_mask(t)) - 1;
}

static inline bool may_be(const struct idhash_table *t, uint32_t slot, uint64_t hash)
{
	return (slot & ~row_mask(t)) == tag_of(t, hash);
}

static void insert_new(struct idhash_table *t, uint64_t hash, uint32_t row)
{
	uint64_t at = first_slot(t, hash);

	while (t->slots[at])
		at = next_slot(t, at);
	t->slots[at] = tag_of(t, hash) | (row + 1);
}

/* The table with room for another entry, whose row it can say. */
static struct idhash_table *with_room(struct idhash *h, uint32_t row)
{
	struct idhash_table *old = h->table, *t;
	bool full = (uint64_t)h->n + 1 > old->n_slots * 2 / 3;
	uint32_t bits = old->row_bits;

	while (bits < 32 && (uint64_t)row + 1 >= 1ull << bits)
		bits += ROW_BITS_STEP;
	if (!full && bits == old->row_bits)
		return old;
	t = table_new(full ? 2 * old->n_slots : old->n_slots, bits, old);
	for (uint64_t i = 0; i < old->n_slots; i++) {
		struct point_id id;

		if (old->slots[i] == 0)
			continue;
		id = h->id_of(h->ctx, row_of(old, old->slots[i]));
		insert_new(t, id_hash(&id), row_of(old, old->slots[i]));
	}
	__atomic_store_n(&h->table, t, __ATOMIC_RELEASE);
	return t;
}

uint32_t idhash_put(struct idhash *h, const struct point_id *id, uint64_t hash, uint32_t row)
{
	struct idhash_table *t = with_room(h, row);
	uint32_t value = tag_of(t, hash) | (row + 1), slot;
	uint64_t at = first_slot(t, hash);

	assert(row < ROW_NONE);
	for (; (slot = t->slots[at]) != 0; at = next_slot(t, at)) {
		uint32_t other = row_of(t, slot);

		if (!may_be(t, slot, hash))
			continue;
		struct point_id other_id = h->id_of(h->ctx, other);

		if (id_equal(&other_id, id)) {
			__atomic_store_n(&t->slots[at], value, __ATOMIC_RELEASE);
			return other;
		}
	}
	__atomic_store_n(&t->slots[at], value, __ATOMIC_RELEASE);
	h->n++;
	return ROW_NONE;
}

uint32_t idhash_find(const struct idhash *h, const struct point_id *id, uint64_t hash)
{
	const struct idhash_table *t = __atomic_load_n(&h->table, __ATOMIC_ACQUIRE);

	for (uint64_t at = first_slot(t, hash);; at = next_slot(t, at)) {
		uint32_t slot = __atomic_load_n(&t->slots[at], __ATOMIC_ACQUIRE);

		if (slot == 0)
			return ROW_NONE;
		if (may_be(t, slot, hash)) {
			uint32_t row = row_of(t, slot);
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
		bytes += sizeof(uint32_t) * t->n_slots;
	return bytes;
}
