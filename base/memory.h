/* Heap memory for small allocations that the program cannot go on without: these never return NULL,
 * the process ends with a message instead. Sizes that come from input are checked before they get
 * here. Memory is released with free(). */
#pragma once
#include <stddef.h>

void *mem_alloc(size_t n);                  /* uninitialised; n = 0 returns a valid pointer */
void *mem_zalloc(size_t n);                 /* zeroed */
void *mem_array(size_t count, size_t each); /* zeroed; aborts when count * each overflows */
void *mem_resize(void *old, size_t n);      /* as realloc */
void *mem_copy(const void *bytes, size_t n);
char *mem_strdup(const char *s);
