/* Private to walk_search.c and graph_build.c: keys that sort as unsigned integers, and entries of a pool or a heap, key << 32 | what. */
#pragma once

#include <stdint.h>
#include <string.h>

static inline uint32_t key_of_float(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u >> 31 ? ~u : u | 0x80000000u;
}

static inline float float_of_key(uint32_t key)
{
	uint32_t u = key >> 31 ? key & 0x7fffffffu : ~key;
	float f;

	memcpy(&f, &u, sizeof f);
	return f;
}

/* Of a pool: a node, and in the lowest bit whether it is expanded. */
static inline uint64_t entry_of(uint32_t key, uint32_t node)
{
	return (uint64_t)key << 32 | (uint64_t)node << 1;
}
static inline uint32_t node_of_entry(uint64_t entry)
{
	return (uint32_t)entry >> 1;
}

/* Position of the first entry that is not smaller. */
static inline uint32_t position(const uint64_t *pool, uint32_t size, uint64_t entry)
{
	const uint64_t *base = pool;

	while (size > 1) {
		uint32_t half = size / 2;

		base += base[half - 1] < entry ? half : 0;
		size -= half;
	}
	return (uint32_t)(base - pool) + (size == 1 && *base < entry);
}

/* Lets entry `at` of a heap sink, the least is first. */
static inline void heap_down(uint64_t *heap, uint32_t n, uint32_t at)
{
	uint64_t entry = heap[at];

	for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
		child += child + 1 < n && heap[child + 1] < heap[child];
		if (heap[child] >= entry)
			break;
		heap[at] = heap[child];
	}
	heap[at] = entry;
}
