/* Arena: a chain of blocks that double in size; the first one lives with the arena itself.
 * Under AddressSanitizer every allocation is followed by a poisoned gap, so that an overflow inside
 * an arena is found as it would be on the heap. */
#include "base/arena.h"
#include "base/assert.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region(p, n)
#define UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
enum { GAP_BYTES = 16 };
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
enum { GAP_BYTES = 0 };
#endif

enum { ALIGNMENT = 16, MIN_BLOCK_BYTES = 1024, MAX_BLOCK_BYTES = 4 << 20 };

struct block {
	struct block *older; /* NULL for the first */
	uint8_t *end;
};

struct arena {
	struct block first;
	struct block *newest;
	uint8_t *at; /* free space of the newest block begins here */
	size_t next_block_bytes;
	size_t first_block_bytes;
	size_t used_bytes;
};

static uint8_t *align_up(uint8_t *p, size_t alignment)
{
	return (uint8_t *)(((uintptr_t)p + alignment - 1) & ~(uintptr_t)(alignment - 1));
}

static void start(struct arena *a)
{
	a->newest = &a->first;
	a->at = (uint8_t *)(a + 1);
	a->next_block_bytes = a->first_block_bytes * 2;
	a->used_bytes = 0;
	POISON(a->at, (size_t)(a->first.end - a->at));
}

struct arena *arena_new(size_t first_block_bytes)
{
	if (first_block_bytes < MIN_BLOCK_BYTES)
		first_block_bytes = MIN_BLOCK_BYTES;
	struct arena *a = mem_alloc(sizeof(*a) + first_block_bytes);
	a->first = (struct block){NULL, (uint8_t *)(a + 1) + first_block_bytes};
	a->first_block_bytes = first_block_bytes;
	start(a);
	return a;
}

static void free_blocks(struct arena *a)
{
	struct block *b = a->newest;
	while (b != &a->first) {
		struct block *older = b->older;
		UNPOISON(b, (size_t)(b->end - (uint8_t *)b));
		free(b);
		b = older;
	}
}

void arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	free_blocks(a);
	UNPOISON(a, (size_t)(a->first.end - (uint8_t *)a));
	free(a);
}

void arena_reset(struct arena *a)
{
	free_blocks(a);
	start(a);
}

static void add_block(struct arena *a, size_t n)
{
	size_t bytes = a->next_block_bytes;
	if (a->next_block_bytes < MAX_BLOCK_BYTES)
		a->next_block_bytes *= 2;
	if (bytes < n)
		bytes = n;
	struct block *b = mem_alloc(sizeof(*b) + bytes);
	b->older = a->newest;
	b->end = (uint8_t *)(b + 1) + bytes;
	a->newest = b;
	a->at = (uint8_t *)(b + 1);
	POISON(a->at, bytes);
}

void *arena_alloc_aligned(struct arena *a, size_t n, size_t alignment)
{
	assert(alignment != 0 && (alignment & (alignment - 1)) == 0);
	assert(n <= SIZE_MAX / 4 && alignment <= 1 << 20);
	if (alignment < ALIGNMENT)
		alignment = ALIGNMENT;
	uint8_t *p = align_up(a->at, alignment);
	if (p > a->newest->end || (size_t)(a->newest->end - p) < n + GAP_BYTES) {
		add_block(a, n + GAP_BYTES + alignment);
		p = align_up(a->at, alignment);
	}
	a->at = p + n + GAP_BYTES;
	a->used_bytes += n;
	UNPOISON(p, n);
	return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
	return arena_alloc_aligned(a, n, ALIGNMENT);
}

void *arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);
	memset(p, 0, n);
	return p;
}

void *arena_copy(struct arena *a, const void *bytes, size_t n)
{
	void *p = arena_alloc(a, n);
	if (n != 0)
		memcpy(p, bytes, n);
	return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1);
	if (n != 0)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *format, ...)
{
	char small[256];
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(small, sizeof(small), format, args);
	assert(n >= 0);
	char *p = arena_alloc(a, (size_t)n + 1);
	if ((size_t)n < sizeof(small))
		memcpy(p, small, (size_t)n + 1);
	else
		vsnprintf(p, (size_t)n + 1, format, again);
	va_end(again);
	va_end(args);
	return p;
}

size_t arena_used_bytes(const struct arena *a)
{
	return a->used_bytes;
}
