/* Heap allocation that ends the process instead of returning NULL, and the reserve that is spent before. */
#include "base/memory.h"
#include "base/assert.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the reserve ---- */

/* In pieces, so that it can be had again in memory that has been cut up. Nobody writes to them: they take no memory of the
 * machine, only what the process may have of it. */
enum { PIECE_BYTES = 4 << 20, PIECES_MAX = 64, CERTAIN_BYTES = 1 << 20 };

static struct {
	pthread_mutex_t lock;
	void *pieces[PIECES_MAX];
	unsigned n, wanted;
	bool spent; /* atomic */
} reserve = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void give_back(void)
{
	while (reserve.n > 0)
		free(reserve.pieces[--reserve.n]);
}

/* True: it is worth another try. */
static bool spend_reserve(void)
{
	pthread_mutex_lock(&reserve.lock);
	bool wanted = reserve.wanted > 0;
	__atomic_store_n(&reserve.spent, wanted, __ATOMIC_RELAXED);
	give_back();
	pthread_mutex_unlock(&reserve.lock);
	return wanted;
}

static bool fill_reserve(void)
{
	void *piece = NULL;
	pthread_mutex_lock(&reserve.lock);
	while (reserve.n < reserve.wanted && (piece = malloc(PIECE_BYTES)) != NULL)
		reserve.pieces[reserve.n++] = piece;
	bool whole = reserve.n == reserve.wanted;
	if (!whole) /* whoever works now needs it more */
		give_back();
	__atomic_store_n(&reserve.spent, !whole, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&reserve.lock);
	return whole;
}

void mem_keep_reserve(size_t n)
{
	size_t pieces = (n + PIECE_BYTES - 1) / PIECE_BYTES;
	assert(pieces <= PIECES_MAX);
	pthread_mutex_lock(&reserve.lock);
	give_back();
	reserve.wanted = (unsigned)pieces;
	pthread_mutex_unlock(&reserve.lock);
	fill_reserve();
}

bool mem_enough(size_t n)
{
	if (__atomic_load_n(&reserve.spent, __ATOMIC_RELAXED) && !fill_reserve())
		return false;
	if (n <= CERTAIN_BYTES)
		return true;
	void *p = malloc(n);
	bool had = p != NULL;
	__asm__ volatile("" : : "r"(p) : "memory"); /* or the compiler believes in all memory */
	free(p);
	return had;
}

/* ---- allocation ---- */

void mem_exhausted(size_t n)
{
	fprintf(stderr,
		"Out of memory: %zu bytes cannot be had, and the program ends, as it cannot go on without "
		"them. Everything that was acknowledged is on disk; start it again, with more memory.\n",
		n);
	abort();
}

void *mem_alloc(size_t n)
{
	void *p = malloc(n != 0 ? n : 1);
	if (p == NULL && spend_reserve())
		p = malloc(n != 0 ? n : 1);
	if (p == NULL)
		mem_exhausted(n);
	return p;
}

void *mem_zalloc(size_t n)
{
	void *p = calloc(1, n != 0 ? n : 1);
	if (p == NULL && spend_reserve())
		p = calloc(1, n != 0 ? n : 1);
	if (p == NULL)
		mem_exhausted(n);
	return p;
}

void *mem_aligned(size_t align, size_t n)
{
	n = (n + align - 1) / align * align;
	void *p = aligned_alloc(align, n);
	if (p == NULL && spend_reserve())
		p = aligned_alloc(align, n);
	if (p == NULL)
		mem_exhausted(n);
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
	if (p == NULL && spend_reserve())
		p = realloc(old, n != 0 ? n : 1);
	if (p == NULL)
		mem_exhausted(n);
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

char *mem_printf(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	assert(n >= 0);
	char *text = mem_alloc((size_t)n + 1);
	va_start(args, format);
	vsnprintf(text, (size_t)n + 1, format, args);
	va_end(args);
	return text;
}
