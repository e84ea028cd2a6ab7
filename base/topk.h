/* The k best of a stream of (key, tag): one bounded binary heap. `key` is "smaller is better"
 * (a distance, or a negated similarity); ties go to the smaller tag, or as an order says. A NaN key never
 * enters. */
#pragma once
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct topk_item {
	float key;
	uint64_t tag;
};

/* Does item `a` come before item `b`, whose key is the same? A strict order of tags. */
struct topk_order {
	bool (*before)(const void *ctx, uint64_t a, uint64_t b);
	const void *ctx;
};

struct topk {
	struct topk_item *items; /* borrowed from the caller; a max-heap by (key, tag) once full */
	size_t count;
	size_t k;
	float bound;                    /* what topk_bound() tells */
	const struct topk_order *order; /* of ties; NULL: by tag */
};

void topk_init(struct topk *t, struct topk_item *items,
	       size_t k); /* items: room for k; k may be 0 */
/* order: borrowed; NULL: by tag. */
void topk_init_ordered(struct topk *t, struct topk_item *items, size_t k,
		       const struct topk_order *order);
bool topk_push_slow(struct topk *t, float key, uint64_t tag); /* private to topk_push() */
void topk_sort(struct topk *t); /* ascending, best first; ends the filling */

/* The worst key that could still enter: INFINITY until k items are held, -INFINITY for k = 0. */
static inline float topk_bound(const struct topk *t)
{
	return t->bound;
}

/* True when it entered. Most of a stream is refused here, by one comparison. */
static inline bool topk_push(struct topk *t, float key, uint64_t tag)
{
	if (__builtin_expect(!(key <= t->bound), 1))
		return false;
	return topk_push_slow(t, key, tag);
}
