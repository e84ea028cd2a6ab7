/* Heap memory for allocations that the program cannot go on without: these never return NULL, the process ends with a
 * message instead, when the reserve (below) does not help. Sizes that come from input are checked before they get
 * here. Memory is released with free(). */
#pragma once
#include <stdbool.h>
#include <stddef.h>

void *mem_alloc(size_t n);                  /* uninitialised; n = 0 returns a valid pointer */
void *mem_zalloc(size_t n);                 /* zeroed */
void *mem_array(size_t count, size_t each); /* zeroed; aborts when count * each overflows */
void *mem_aligned(size_t align, size_t n);  /* uninitialised; align: a power of two */
void *mem_resize(void *old, size_t n);      /* as realloc */
void *mem_copy(const void *bytes, size_t n);
char *mem_strdup(const char *s);
__attribute__((format(printf, 1, 2))) char *mem_printf(const char *format, ...);
/* Says that n bytes could not be had, and ends the process. */
__attribute__((noreturn, cold)) void mem_exhausted(size_t n);

/* A reserve: an allocation of this file that fails gives it back and is tried once more, so that what has begun can end.
 * Until it is there again nothing new should begin, which is for mem_enough() to say. n: bytes, at most 256 MiB; 0: none any
 * more. Thread-safe. */
void mem_keep_reserve(size_t n);
/* Could n bytes be had now, beside the reserve? Takes no time up to 1 MiB while the reserve is there. Thread-safe. */
bool mem_enough(size_t n);
