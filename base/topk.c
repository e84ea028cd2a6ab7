/* Top-k heap: items are appended until k are there, then made a heap; from then on an item that
 * enters replaces the root. */
#include "base/topk.h"

static bool worse(const struct topk *t, struct topk_item a, struct topk_item b)
{
	if (a.key != b.key)
		return a.key > b.key;
	return t->order ? t->order->before(t->order->ctx, b.tag, a.tag) : a.tag > b.tag;
}

/* Puts `item` where the hole at `i` of the first n items is, moving worse children up. */
static void sift_down(const struct topk *t, size_t n, size_t i, struct topk_item item)
{
	struct topk_item *items = t->items;

	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= n)
			break;
		if (child + 1 < n && worse(t, items[child + 1], items[child]))
			child++;
		if (!worse(t, items[child], item))
			break;
		items[i] = items[child];
		i = child;
	}
	items[i] = item;
}

static void heapify(const struct topk *t, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift_down(t, n, i, t->items[i]);
}

void topk_init_ordered(struct topk *t, struct topk_item *items, size_t k,
		       const struct topk_order *order)
{
	*t = (struct topk){items, 0, k, k > 0 ? INFINITY : -INFINITY, order};
}

void topk_init(struct topk *t, struct topk_item *items, size_t k)
{
	topk_init_ordered(t, items, k, NULL);
}

bool topk_push_slow(struct topk *t, float key, uint64_t tag)
{
	struct topk_item item = {key, tag};
	if (t->count < t->k) {
		t->items[t->count++] = item;
		if (t->count < t->k)
			return true;
		heapify(t, t->k);
	} else {
		if (t->k == 0 || !worse(t, t->items[0], item))
			return false;
		sift_down(t, t->k, 0, item);
	}
	t->bound = t->items[0].key;
	return true;
}

void topk_sort(struct topk *t)
{
	size_t n = t->count;
	heapify(t, n);
	while (n > 1) {
		struct topk_item last = t->items[--n];
		t->items[n] = t->items[0];
		sift_down(t, n, 0, last);
	}
}
