/* XXH3 is compiled into this file, so that hashing a short key is one call. */
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "base/hash.h"

uint64_t hash64(const void *bytes, size_t n)
{
	return XXH3_64bits(bytes, n);
}

uint64_t hash64_seed(const void *bytes, size_t n, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes, n, seed);
}
