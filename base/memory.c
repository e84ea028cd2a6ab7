/* Heap allocation that ends the process instead of returning NULL. */
#include "base/memory.h"
#include "base/assert.h"
#include <stdlib.h>
#include <string.h>

void *mem_alloc(size_t n)
{
	void *p = malloc(n != 0 ? n : 1);
	assert(p != NULL);
	return p;
}

void *mem_zalloc(size_t n)
{
	void *p = calloc(1, n != 0 ? n : 1);
	assert(p != NULL);
	return p;
}

void *mem_array(size_t count, size_t each)
{
	size_t n;
	assert(!__builtin_mul_overflow(count, each, &n));
	return mem_zalloc(n);
}

void *mem_resize(void *old, size_t n)
{
	void *p = realloc(old, n != 0 ? n : 1);
	assert(p != NULL);
	return p;
}

void *mem_copy(const void *bytes, size_t n)
{
	void *p = mem_alloc(n);
	if (n != 0)
		memcpy(p, bytes, n);
	return p;
}

char *mem_strdup(const char *s)
{
	return mem_copy(s, strlen(s) + 1);
}
