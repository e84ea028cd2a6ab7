/* Result points: their order, merging of sorted lists, copies into an arena. */
#include "base/limits.h"
#include "model/query.h"
#include <string.h>

int hit_compare(const struct hit *a, const struct hit *b, bool larger_is_better)
{
	if (a->score != b->score) {
		bool a_first = larger_is_better ? a->score > b->score : a->score < b->score;
		return a_first ? -1 : 1;
	}
	int order = id_compare(&a->id, &b->id);
	return larger_is_better ? -order : order;
}

void hit_keep(struct arena *arena, struct hit *h)
{
	if (h->payload.bytes != NULL)
		h->payload.bytes = arena_copy(arena, h->payload.bytes, h->payload.n);
	if (h->n_vectors == 0)
		return;
	h->vectors = arena_copy(arena, h->vectors, h->n_vectors * sizeof(*h->vectors));
	for (uint32_t i = 0; i < h->n_vectors; i++) {
		struct vector *v = &h->vectors[i];
		v->values = arena_copy(arena, v->values, v->n * sizeof(*v->values));
		if (v->indices != NULL)
			v->indices = arena_copy(arena, v->indices, v->n * sizeof(*v->indices));
	}
}

/* Ids seen so far: open addressing over positions in the output, + 1; 0 = empty. */
struct seen {
	uint32_t *slots;
	uint32_t mask;
};

static bool seen_before(struct seen *seen, const struct hits *out, const struct point_id *id)
{
	uint32_t at = (uint32_t)id_hash(id) & seen->mask;
	for (; seen->slots[at] != 0; at = (at + 1) & seen->mask)
		if (id_equal(&out->items[seen->slots[at] - 1].id, id))
			return true;
	seen->slots[at] = out->n + 1;
	return false;
}

/* The list whose next item is best; n_lists when all are at their end. There are few lists: a scan
 * is enough. */
static uint32_t best_list(const struct hits *lists, const uint32_t *at, uint32_t n_lists,
			  bool larger_is_better)
{
	uint32_t best = n_lists;
	for (uint32_t i = 0; i < n_lists; i++) {
		if (at[i] == lists[i].n)
			continue;
		if (best == n_lists ||
		    hit_compare(&lists[i].items[at[i]], &lists[best].items[at[best]],
				larger_is_better) < 0)
			best = i;
	}
	return best;
}

void hits_merge(const struct hits *lists, uint32_t n_lists, uint32_t top, bool larger_is_better,
		struct arena *arena, struct hits *out)
{
	uint32_t total = 0, size = 16;
	for (uint32_t i = 0; i < n_lists; i++)
		total += lists[i].n;
	if (top > total)
		top = total;
	while (size < top * 2 + 2)
		size *= 2;
	struct seen seen = {arena_zalloc(arena, size * sizeof(*seen.slots)), size - 1};
	uint32_t *at = arena_zalloc(arena, (n_lists + 1) * sizeof(*at));
	out->items = arena_alloc(arena, (top + 1) * sizeof(*out->items));
	out->n = 0;
	while (out->n < top) {
		uint32_t best = best_list(lists, at, n_lists, larger_is_better);
		if (best == n_lists)
			break;
		const struct hit *h = &lists[best].items[at[best]++];
		if (seen_before(&seen, out, &h->id))
			continue;
		out->items[out->n++] = *h;
	}
}
