/* Plain bitset of fixed size: which rows of a segment are live, or match a filter. Bit i lives in
 * words[i / 64]. Bits at and above n_bits are always zero. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bitset {
	uint64_t *words;
	uint32_t n_bits;
};

static inline size_t bitset_words(uint32_t n_bits)
{
	return ((size_t)n_bits + 63) / 64;
}

void bitset_init(struct bitset *b, uint32_t n_bits, bool value); /* heap; aborts without memory */
void bitset_fini(struct bitset *b);
void bitset_fill(struct bitset *b, bool value);
void bitset_copy(struct bitset *dst, const struct bitset *src); /* same n_bits */
void bitset_and(struct bitset *dst, const struct bitset *src);
void bitset_or(struct bitset *dst, const struct bitset *src);
void bitset_andnot(struct bitset *dst, const struct bitset *src);
void bitset_not(struct bitset *b);
uint32_t bitset_count(const struct bitset *b);
uint32_t bitset_count_both(const struct bitset *a,
			   const struct bitset *b); /* same n_bits: set in both */
/* First set bit at or after `from`; n_bits when there is none. */
uint32_t bitset_next(const struct bitset *b, uint32_t from);

static inline bool bitset_get(const struct bitset *b, uint32_t i)
{
	return (b->words[i >> 6] >> (i & 63)) & 1;
}
static inline void bitset_set(struct bitset *b, uint32_t i)
{
	b->words[i >> 6] |= 1ull << (i & 63);
}
static inline void bitset_unset(struct bitset *b, uint32_t i)
{
	b->words[i >> 6] &= ~(1ull << (i & 63));
}
