/* Private to index/: memory that searches touch everywhere, on huge pages where it is large and the system has
 * them: each small page would cost a miss of the translation buffer. */
#pragma once

#include "base/error.h"
#include <stddef.h>

struct pages {
	char *at; /* zeroed, aligned to a page */
	void *map;
	size_t map_bytes;
};

enum { PAGE_BYTES = 4096 };

static inline size_t pages_up(size_t bytes)
{
	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}
/* ERR_NOMEM, which says that `what` takes so many bytes. */
int pages_map(struct pages *p, size_t bytes, const char *what, struct error *err);
void pages_unmap(struct pages *p); /* also of a zeroed one */
/* What is not read again, or seldom, need not stay in memory. (It is a wish, and changes no content.) */
void pages_let_go(const void *begin, const void *end);
/* Leaves what is mapped from a file to the cache of the system. Anonymous memory would lose its content. */
void pages_drop(const void *begin, const void *end);
/* pages_let_go(), and when such pages are read again then each alone, without those after it. */
void pages_let_go_randomly(const void *begin, const void *end);
