/* Large allocations that fail when they are told to: for programs that are linked with LARGE_ALLOC_LINKS of tests/unit/meson.build, which
 * sends the calls of our own libraries through here. Small ones are base/memory.h's, which ends the process without them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* Allocations of `least` bytes and more are counted; the at-th fails (0: none). */
static struct {
	size_t least;
	unsigned at, seen;
	bool fired;
} large_alloc;

static bool large_alloc_fails(size_t n)
{
	if (large_alloc.at == 0 || n < large_alloc.least || ++large_alloc.seen != large_alloc.at)
		return false;
	large_alloc.fired = true;
	return true;
}

static void large_alloc_fail(size_t least, unsigned at)
{
	large_alloc.least = least;
	large_alloc.at = at;
	large_alloc.seen = 0;
	large_alloc.fired = false;
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t count, size_t each);
void *__wrap_calloc(size_t count, size_t each);
void *__real_realloc(void *old, size_t n);
void *__wrap_realloc(void *old, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void *__real_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t n)
{
	return large_alloc_fails(n) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t each)
{
	return large_alloc_fails(count * each) ? NULL : __real_calloc(count, each);
}

void *__wrap_realloc(void *old, size_t n)
{
	return large_alloc_fails(n) ? NULL : __real_realloc(old, n);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
	return large_alloc_fails(n) ? NULL : __real_aligned_alloc(align, n);
}

void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	return large_alloc_fails(n) ? MAP_FAILED
				    : __real_mmap(at, n, protection, flags, fd, offset);
}
