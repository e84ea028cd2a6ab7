/* Pages of points: in id order, in the order of a payload value, or a random sample.
 *
 * Id order: every segment that gets no more rows keeps its rows sorted by id (made at the first
 * scroll), so a page is a binary search and a merge; of the mutable segment the smallest ids at or
 * after the offset are picked out. A filter is tried row by row in id order first; where it turns
 * out to match few, it is evaluated for the whole segment. */
#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "shard/search.h"
#include <stdlib.h>
#include <string.h>

enum { TRY_ROWS = 1024 };

/* ---- a page of the smallest, from any number of candidates ---- */

struct candidate {
	double value; /* BY_VALUE (negated when descending), RANDOM; else 0 */
	struct point_id id;
	struct place at;
};
struct best {
	struct candidate *items;
	uint32_t n, limit, room;
	bool full; /* items[limit - 1] bounds what may still enter */
};

static int compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return id_compare(&x->id, &y->id);
}

/* A limit is only a wish, 10^9 means everything: room grows with what is found. */
static void best_init(struct best *b, uint32_t limit)
{
	*b = (struct best){.limit = limit, .room = limit < 512 ? 2 * limit + 64 : 1024};
	b->items = mem_array(b->room, sizeof *b->items);
}

static void best_grow(struct best *b)
{
	assert(b->room <= UINT32_MAX / 2);
	b->room *= 2;
	b->items = mem_resize(b->items, b->room * sizeof *b->items);
}

static void best_trim(struct best *b)
{
	qsort(b->items, b->n, sizeof *b->items, compare);
	if (b->n > b->limit)
		b->n = b->limit;
	b->full = b->n == b->limit && b->n > 0;
}

static bool best_wants(const struct best *b, const struct candidate *c)
{
	return b->limit > 0 && (!b->full || compare(c, &b->items[b->limit - 1]) < 0);
}

static void best_add(struct best *b, const struct candidate *c)
{
	b->items[b->n++] = *c;
	if (b->n < b->room)
		return;
	if (b->room / 2 > b->limit)
		best_trim(b);
	else
		best_grow(b);
}

/* ---- id order ---- */

struct cursor {
	const struct view_entry *e;
	uint32_t entry;
	const uint32_t *order;
	uint32_t pos, n;
	const struct filter *filter; /* NULL: none */
	const struct collection *schema;
	uint32_t tried;
	struct bitset matches; /* words NULL: not evaluated yet */
	struct candidate head; /* valid while pos < n */
};

static bool cursor_matches(struct cursor *c, uint32_t row)
{
	uint64_t scanned = 0;

	if (!entry_live(c->e, row))
		return false;
	if (!c->filter)
		return true;
	if (!c->matches.words && c->tried++ < TRY_ROWS)
		return match_row(c->e, row, c->schema, c->filter);
	if (!c->matches.words)
		match_rows(c->e, c->schema, c->filter, &c->matches, &scanned);
	return bitset_get(&c->matches, row);
}

/* To the first matching row at or after pos. */
static void cursor_settle(struct cursor *c)
{
	for (; c->pos < c->n; c->pos++) {
		uint32_t row = c->order[c->pos];

		if (!cursor_matches(c, row))
			continue;
		c->head.id = seg_point_id(c->e->seg, row);
		c->head.at = (struct place){c->entry, row};
		return;
	}
}

static void cursor_seek(struct cursor *c, const struct point_id *offset)
{
	uint32_t low = 0, high = c->n;

	while (offset && low < high) {
		uint32_t mid = low + (high - low) / 2;
		struct point_id id = seg_point_id(c->e->seg, c->order[mid]);

		if (id_compare(&id, offset) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	c->pos = low;
	cursor_settle(c);
}

/* The mutable segment has no order: its smallest rows are picked out. */
static void pick_smallest(const struct view *v, uint32_t entry, const struct rpc_scroll_request *q,
			  struct best *best)
{
	const struct view_entry *e = &v->entries[entry];
	bool trivial = filter_is_trivial(q->filter);

	for (uint32_t row = entry_next(e, 0); row < e->n_rows; row = entry_next(e, row + 1)) {
		struct candidate c = {.id = seg_point_id(e->seg, row), .at = {entry, row}};

		if (q->has_offset && id_compare(&c.id, &q->offset) < 0)
			continue;
		if (best_wants(best, &c) && (trivial || match_row(e, row, v->schema, q->filter)))
			best_add(best, &c);
	}
	best_trim(best);
}

static void by_id(const struct view *v, const struct rpc_scroll_request *q, struct best *out)
{
	struct cursor *cursors = mem_array(v->n + 1, sizeof *cursors);
	struct best loose;
	uint32_t n = 0, loose_at = 0;

	best_init(&loose, q->limit);
	for (uint32_t i = 0; i < v->n; i++) {
		struct cursor *c = &cursors[n];

		if (!v->entries[i].ordered) {
			pick_smallest(v, i, q, &loose);
			continue;
		}
		*c = (struct cursor){.e = &v->entries[i],
				     .entry = i,
				     .schema = v->schema,
				     .n = v->entries[i].n_rows};
		c->filter = filter_is_trivial(q->filter) ? NULL : q->filter;
		c->order = seg_order(v->entries[i].seg);
		cursor_seek(c, q->has_offset ? &q->offset : NULL);
		n++;
	}
	while (out->n < q->limit) {
		struct cursor *first = NULL;

		for (uint32_t i = 0; i < n; i++)
			if (cursors[i].pos < cursors[i].n &&
			    (!first || compare(&cursors[i].head, &first->head) < 0))
				first = &cursors[i];
		if (loose_at < loose.n &&
		    (!first || compare(&loose.items[loose_at], &first->head) < 0)) {
			best_add(out, &loose.items[loose_at++]);
			continue;
		}
		if (!first)
			break;
		best_add(out, &first->head);
		first->pos++;
		cursor_settle(first);
	}
	for (uint32_t i = 0; i < n; i++)
		if (cursors[i].matches.words)
			bitset_fini(&cursors[i].matches);
	free(cursors);
	free(loose.items);
}

/* ---- by value, at random ---- */

struct value_visit {
	const struct rpc_scroll_request *q;
	struct best *best;
	struct candidate c;
};

static bool visit_value(void *ctx, struct pv v)
{
	struct value_visit *visit = ctx;
	const struct rpc_scroll_request *q = visit->q;
	double value;

	if (pv_type(v) == PV_ARRAY) {
		struct pv_iter it = pv_iterate(v);

		while (pv_next(&it))
			if (pv_type(it.value) != PV_ARRAY)
				visit_value(ctx, it.value);
		return false;
	}
	if (pv_type(v) == PV_STRING) {
		uint32_t n;
		const char *s = pv_string(v, &n);
		int64_t micros;

		if (!datetime_parse(s, n, &micros))
			return false;
		value = (double)micros;
	} else if (!pv_number(v, &value)) {
		return false;
	}
	if (q->has_start_from && (q->desc ? value > q->start_from : value < q->start_from))
		return false;
	visit->c.value = q->desc ? -value : value;
	if (best_wants(visit->best, &visit->c))
		best_add(visit->best, &visit->c);
	return false;
}

static void offer_row(const struct view *v, const struct rpc_scroll_request *q, struct place at,
		      struct best *out)
{
	const struct seg *seg = v->entries[at.entry].seg;
	struct value_visit visit = {.q = q,
				    .best = out,
				    .c = {.id = seg_point_id(seg, at.row), .at = at}};

	if (q->order == SCROLL_BY_VALUE) {
		path_visit(&q->order_path, pv_of(seg_payload(seg, at.row).bytes), visit_value,
			   &visit);
		return;
	}
	/* 24 bits: exact in the float that the answer carries it in */
	visit.c.value = (double)(hash64_seed(&visit.c.id, sizeof visit.c.id, q->seed) >> 40) /
			(double)(1 << 24);
	if (best_wants(out, &visit.c))
		best_add(out, &visit.c);
}

static void by_key(const struct view *v, const struct rpc_scroll_request *q, struct best *out)
{
	bool trivial = filter_is_trivial(q->filter);

	for (uint32_t i = 0; i < v->n; i++) {
		const struct view_entry *e = &v->entries[i];
		struct bitset matches = {0};
		uint64_t scanned = 0;

		if (!trivial)
			match_rows(e, v->schema, q->filter, &matches, &scanned);
		for (uint32_t row = entry_next(e, 0); row < e->n_rows; row = entry_next(e, row + 1))
			if (trivial || bitset_get(&matches, row))
				offer_row(v, q, (struct place){i, row}, out);
		if (matches.words)
			bitset_fini(&matches);
	}
	best_trim(out);
}

static void scroll(const struct view *v, struct rpc_call *call)
{
	const struct rpc_scroll_request *q = call->request;
	struct rpc_scroll_response *out = call->response;
	struct best best;

	best_init(&best, q->limit);
	if (q->order == SCROLL_BY_ID)
		by_id(v, q, &best);
	else
		by_key(v, q, &best);
	out->hits.items = arena_zalloc(call->arena, best.n * sizeof *out->hits.items);
	for (; out->hits.n < best.n; out->hits.n++) {
		const struct candidate *c = &best.items[out->hits.n];
		struct hit *hit = &out->hits.items[out->hits.n];

		pick(v, c->at, &q->payload, &q->vectors, call->arena, hit);
		hit->order_value = q->order == SCROLL_BY_VALUE && q->desc ? 0.0 - c->value
									  : c->value;
		if (q->order == SCROLL_RANDOM)
			hit->score = (float)c->value;
	}
	free(best.items);
}

void serve_scroll(struct shard *s, struct rpc_call *call)
{
	const struct rpc_scroll_request *q = call->request;
	struct view *v;
	int rc = table_view(s, q->target.collection_id, q->target.partition, &v, &call->err);

	if (rc == 0)
		scroll(v, call);
	view_unref(v);
	rpc_finish(call, rc);
}
