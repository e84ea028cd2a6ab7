/* XXH3 through one door. hash64 is stable across versions and machines: it is written to disk. */
#pragma once
#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *bytes, size_t n);
uint64_t hash64_seed(const void *bytes, size_t n, uint64_t seed);
