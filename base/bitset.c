/* Bitset: whole-set operations, a word at a time so that the compiler vectorises them. */
#include "base/bitset.h"
#include "base/assert.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

/* Keeps the promise that bits at and above n_bits are zero. */
static void clear_tail(struct bitset *b)
{
	if (b->n_bits % 64 != 0)
		b->words[b->n_bits / 64] &= (1ull << (b->n_bits % 64)) - 1;
}

void bitset_init(struct bitset *b, uint32_t n_bits, bool value)
{
	b->n_bits = n_bits;
	b->words = mem_zalloc(bitset_words(n_bits) * sizeof(uint64_t));
	if (value)
		bitset_fill(b, true);
}

void bitset_fini(struct bitset *b)
{
	free(b->words);
	*b = (struct bitset){NULL, 0};
}

void bitset_fill(struct bitset *b, bool value)
{
	memset(b->words, value ? 0xFF : 0, bitset_words(b->n_bits) * sizeof(uint64_t));
	clear_tail(b);
}

void bitset_copy(struct bitset *dst, const struct bitset *src)
{
	assert(dst->n_bits == src->n_bits);
	memcpy(dst->words, src->words, bitset_words(src->n_bits) * sizeof(uint64_t));
}

void bitset_and(struct bitset *dst, const struct bitset *src)
{
	assert(dst->n_bits == src->n_bits);
	size_t n = bitset_words(dst->n_bits);
	for (size_t i = 0; i < n; i++)
		dst->words[i] &= src->words[i];
}

void bitset_or(struct bitset *dst, const struct bitset *src)
{
	assert(dst->n_bits == src->n_bits);
	size_t n = bitset_words(dst->n_bits);
	for (size_t i = 0; i < n; i++)
		dst->words[i] |= src->words[i];
}

void bitset_andnot(struct bitset *dst, const struct bitset *src)
{
	assert(dst->n_bits == src->n_bits);
	size_t n = bitset_words(dst->n_bits);
	for (size_t i = 0; i < n; i++)
		dst->words[i] &= ~src->words[i];
}

void bitset_not(struct bitset *b)
{
	size_t n = bitset_words(b->n_bits);
	for (size_t i = 0; i < n; i++)
		b->words[i] = ~b->words[i];
	clear_tail(b);
}

/* Without an instruction for it a word takes a call and eight loads of a table. */
#if defined(__x86_64__)
__attribute__((target("popcnt"))) static uint32_t count_quickly(const uint64_t *words,
								const uint64_t *mask, size_t n)
{
	uint64_t count = 0;
	if (mask == NULL)
		for (size_t i = 0; i < n; i++)
			count += (uint64_t)__builtin_popcountll(words[i]);
	else
		for (size_t i = 0; i < n; i++)
			count += (uint64_t)__builtin_popcountll(words[i] & mask[i]);
	return (uint32_t)count;
}
static bool counts_quickly(void)
{
	return __builtin_cpu_supports("popcnt");
}
#else
static uint32_t count_quickly(const uint64_t *words, const uint64_t *mask, size_t n)
{
	return 0;
}
static bool counts_quickly(void)
{
	return false;
}
#endif

static uint32_t count(const uint64_t *words, const uint64_t *mask, size_t n)
{
	uint64_t sum = 0;
	if (counts_quickly())
		return count_quickly(words, mask, n);
	for (size_t i = 0; i < n; i++)
		sum += (uint64_t)__builtin_popcountll(mask == NULL ? words[i] : words[i] & mask[i]);
	return (uint32_t)sum;
}

uint32_t bitset_count(const struct bitset *b)
{
	return count(b->words, NULL, bitset_words(b->n_bits));
}

uint32_t bitset_count_both(const struct bitset *a, const struct bitset *b)
{
	assert(a->n_bits == b->n_bits);
	return count(a->words, b->words, bitset_words(a->n_bits));
}

uint32_t bitset_next(const struct bitset *b, uint32_t from)
{
	if (from >= b->n_bits)
		return b->n_bits;
	size_t n = bitset_words(b->n_bits);
	size_t i = from / 64;
	uint64_t word = b->words[i] & (~0ull << (from % 64));
	while (word == 0) {
		if (++i == n)
			return b->n_bits;
		word = b->words[i];
	}
	return (uint32_t)(i * 64 + (size_t)__builtin_ctzll(word));
}
