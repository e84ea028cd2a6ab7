/* See pages.h. */
#include "index/pages.h"

#include <stdint.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

int pages_map(struct pages *p, size_t bytes, const char *what, struct error *err)
{
	bool huge = bytes >= 4 * (size_t)HUGE_PAGE;
	size_t whole = bytes / HUGE_PAGE * HUGE_PAGE; /* the rest must not cost a whole one */

	*p = (struct pages){0};
	if (huge) /* room to align it */
		bytes += HUGE_PAGE;
	void *map = mmap(NULL, bytes ? bytes : PAGE_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return error_set(err, ERR_NOMEM, "%s takes %zu bytes of memory", what, bytes);
	p->map = map;
	p->map_bytes = bytes ? bytes : PAGE_BYTES;
	p->at = map;
	if (huge) {
		p->at += (HUGE_PAGE - (size_t)p->at % HUGE_PAGE) % HUGE_PAGE;
		madvise(p->at, whole, MADV_HUGEPAGE); /* a wish */
	}
	return 0;
}

void pages_unmap(struct pages *p)
{
	if (p->map)
		munmap(p->map, p->map_bytes);
	*p = (struct pages){0};
}

void pages_let_go(const void *begin, const void *end)
{
	uintptr_t from = pages_up((uintptr_t)begin);
	uintptr_t to = (uintptr_t)end / PAGE_BYTES * PAGE_BYTES;

	if (from < to)
		madvise((void *)from, to - from, MADV_PAGEOUT);
}

void pages_drop(const void *begin, const void *end)
{
	uintptr_t from = pages_up((uintptr_t)begin);
	uintptr_t to = (uintptr_t)end / PAGE_BYTES * PAGE_BYTES;

	if (from < to)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

void pages_let_go_randomly(const void *begin, const void *end)
{
	uintptr_t from = (uintptr_t)begin / PAGE_BYTES * PAGE_BYTES;

	if (from < (uintptr_t)end)
		madvise((void *)from, (uintptr_t)end - from, MADV_RANDOM);
	pages_let_go(begin, end);
}
