/* Arena: memory of one request, freed at once. Not thread-safe; one owner at a time. */
#pragma once

#include <stddef.h>
#include <stdarg.h>
#include <stdint.h>

struct arena;

struct arena *arena_new(size_t first_block_bytes);
void arena_free(struct arena *a);  /* accepts NULL */
void arena_reset(struct arena *a); /* forget everything, keep the first block */
/* 16-byte aligned, uninitialised; n = 0 returns a valid pointer. Aborts when memory is gone. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
void *arena_alloc_aligned(struct arena *a, size_t n, size_t alignment);
void *arena_copy(struct arena *a, const void *bytes, size_t n);
char *arena_strndup(struct arena *a, const char *s, size_t n); /* NUL-terminated copy */
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t arena_used_bytes(const struct arena *a);
