/* The log of the control plane in memory. It holds at most some thousand small entries, so an array
 * that moves when its head is dropped is enough. */
#include "cluster/meta_log.h"

#include "base/assert.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

void meta_log_init(struct meta_log *l, uint64_t first)
{
	memset(l, 0, sizeof(*l));
	l->first = first;
}

void meta_log_fini(struct meta_log *l)
{
	meta_log_restart(l, l->first);
	free(l->items);
	l->items = NULL;
	l->cap = 0;
}

uint64_t meta_log_last(const struct meta_log *l)
{
	return l->first + l->n - 1;
}

const struct log_entry *meta_log_get(const struct meta_log *l, uint64_t index)
{
	if (index < l->first || index - l->first >= l->n)
		return NULL;
	return &l->items[index - l->first];
}

const struct log_entry *meta_log_last_of(const struct meta_log *l, uint16_t type)
{
	for (size_t i = l->n; i-- > 0;)
		if (l->items[i].type == type)
			return &l->items[i];
	return NULL;
}

void meta_log_append(struct meta_log *l, uint64_t term, uint16_t type, const void *bytes, size_t n)
{
	struct log_entry *e;

	assert(n <= UINT32_MAX && term > 0);
	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 64 : l->cap * 2;
		l->items = mem_resize(l->items, l->cap * sizeof(*l->items));
	}
	e = &l->items[l->n++];
	e->term = term;
	e->type = type;
	e->n = (uint32_t)n;
	e->bytes = mem_copy(bytes, n);
}

void meta_log_truncate(struct meta_log *l, uint64_t from)
{
	assert(from >= l->first);
	while (l->n > 0 && meta_log_last(l) >= from)
		free(l->items[--l->n].bytes);
}

void meta_log_drop_before(struct meta_log *l, uint64_t index)
{
	size_t gone;

	if (index <= l->first)
		return;
	gone = index - l->first;
	assert(gone <= l->n);
	for (size_t i = 0; i < gone; i++)
		free(l->items[i].bytes);
	memmove(l->items, l->items + gone, (l->n - gone) * sizeof(*l->items));
	l->n -= gone;
	l->first = index;
}

void meta_log_restart(struct meta_log *l, uint64_t first)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i].bytes);
	l->n = 0;
	l->first = first;
}
