/* Searching: a call's leaves, each over the segments of its partition's view.
 *
 * A leaf's segments are searched one after the other on the calling thread, into one top-k, without
 * allocating: the buffers are the thread's own. Only when the work is long (many leaves, or many
 * rows to be scanned) is it cut into units that the pool's threads share; then every unit has its
 * own top-k and the leaf's are merged afterwards. */
#include "shard/search.h"
#include "base/assert.h"
#include "base/memory.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SPLIT_ROWS = 32768 };
#define PARALLEL_COST 8e6 /* multiplications from which on threads are worth waking */

/* ---- scratch ---- */

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static __thread struct scratch *scratch_mine;

static void scratch_free(void *p)
{
	struct scratch *s = p;

	free(s->items);
	free(s->top);
	free(s->sums);
	free(s->stamps);
	free(s->touched);
	free(s);
}

static void scratch_make_key(void)
{
	pthread_key_create(&scratch_key, scratch_free);
}

struct scratch *scratch_get(void)
{
	if (!scratch_mine) {
		pthread_once(&scratch_once, scratch_make_key);
		scratch_mine = mem_zalloc(sizeof *scratch_mine);
		pthread_setspecific(scratch_key, scratch_mine);
	}
	return scratch_mine;
}

static struct topk_item *grown(struct topk_item **items, size_t *cap, size_t n)
{
	if (*cap < n) {
		*cap = n > 2 * *cap ? n : 2 * *cap;
		free(*items);
		*items = mem_array(*cap, sizeof **items);
	}
	return *items;
}

struct topk_item *scratch_items(struct scratch *s, size_t n)
{
	return grown(&s->items, &s->items_cap, n);
}

void scratch_rows(struct scratch *s, uint32_t n)
{
	if (s->rows_cap < n) {
		s->rows_cap = n;
		free(s->sums);
		free(s->stamps);
		free(s->touched);
		s->sums = mem_array(n, sizeof *s->sums);
		s->stamps = mem_array(n, sizeof *s->stamps);
		s->touched = mem_array(n, sizeof *s->touched);
		s->stamp = 0;
	}
	if (++s->stamp == 0) {
		memset(s->stamps, 0, s->rows_cap * sizeof *s->stamps);
		s->stamp = 1;
	}
}

/* ---- units ---- */

bool unit_late(struct unit *u)
{
	uint64_t now;

	if (u->rc || u->receipt->cut)
		return true;
	if (!u->cut_us)
		return false;
	now = now_us(u->shard);
	if (now < u->cut_us)
		return false;
	if (u->deadline_us && now >= u->deadline_us)
		u->rc = error_set(&u->err, ERR_TIMEOUT,
				  "the search did not end within its time limit");
	else
		u->receipt->cut = true;
	return true;
}

/* "The strongest used": exact only when every segment was exact. */
void receipt_plan(struct leaf_receipt *r, enum search_plan plan)
{
	if (r->plan == PLAN_NONE || r->plan == PLAN_EXACT)
		r->plan = plan;
}

static void run_unit(struct unit *u)
{
	if (unit_entry(u)->live->n_live == 0 || unit_late(u))
		return;
	if (u->leaf->vector.kind == VECTOR_SPARSE)
		search_sparse(u);
	else
		search_dense(u);
}

/* Of a row, in multiplications, roughly: a bit or two where there are indexes, else its payload is read. */
static double filter_cost(const struct seg *s, const struct filter *f)
{
	if (filter_is_trivial(f))
		return 0;
	return s->sealed && segment_filter_indexed(s->sealed, f) ? 0.25 : 32;
}

/* Multiplications, roughly. */
static double unit_cost(const struct unit *u)
{
	const struct leaf *l = u->leaf;
	double rows = unit_entry(u)->live->n_live;
	double dim = l->vector.kind == VECTOR_DENSE ? l->vector.n : 16;
	double filter = filter_cost(unit_entry(u)->seg, l->filter) * rows;

	if (l->vector.kind == VECTOR_SPARSE)
		return filter + rows;
	if (dense_is_exact(u))
		return filter + rows * dim;
	return filter + (l->params.ef ? l->params.ef : 64) * 20.0 * dim;
}

/* ---- leaves ---- */

struct run {
	struct shard *shard;
	struct rpc_call *call;
	const struct rpc_search_request *request;
	struct rpc_search_response *response;
	struct view **views; /* per leaf; NULL: its partition cannot be searched, which is allowed */
	uint64_t start_us;
	struct unit *units; /* when cut up */
	struct topk *tops;
	struct leaf_receipt *receipts;
	size_t n_units, units_cap;
};

static struct unit make_unit(const struct run *r, uint32_t leaf, uint32_t entry)
{
	const struct leaf *l = &r->request->leaves[leaf];
	struct unit u = {
		.shard = r->shard,
		.leaf = l,
		.view = r->views[leaf],
		.entry = entry,
		.to = UINT32_MAX,
		.deadline_us = r->call->deadline_us,
		.cut_us = r->call->deadline_us,
	};

	if (l->params.budget_us && (!u.cut_us || r->start_us + l->params.budget_us < u.cut_us))
		u.cut_us = r->start_us + l->params.budget_us;
	return u;
}

static enum distance leaf_distance(const struct leaf *l, const struct view *v)
{
	return l->vector.kind == VECTOR_SPARSE ? DISTANCE_DOT
					       : v->schema->spaces[l->vector.space].distance;
}

static bool id_before(const struct tie_order *o, uint32_t entry_a, uint32_t row_a, uint32_t entry_b,
		      uint32_t row_b)
{
	struct point_id a = seg_point_id(o->view->entries[entry_a].seg, row_a);
	struct point_id b = seg_point_id(o->view->entries[entry_b].seg, row_b);
	int c = id_compare(&a, &b);

	return o->larger ? c > 0 : c < 0;
}

bool tie_before(const void *ctx, uint64_t a, uint64_t b)
{
	return id_before(ctx, (uint32_t)(a >> 32), (uint32_t)a, (uint32_t)(b >> 32), (uint32_t)b);
}

bool tie_before_part(const void *ctx, uint64_t a, uint64_t b)
{
	const struct tie_order *o = ctx;
	uint32_t row_a = (uint32_t)a + o->first, row_b = (uint32_t)b + o->first;

	if (o->row_of) {
		row_a = o->row_of[row_a];
		row_b = o->row_of[row_b];
	}
	return id_before(o, o->entry, row_a, o->entry, row_b);
}

static struct tie_order leaf_ties(const struct leaf *l, const struct view *v)
{
	return (struct tie_order){.view = v,
				  .larger = distance_larger_is_better(leaf_distance(l, v))};
}

struct tie_order unit_ties(const struct unit *u, uint32_t first, const uint32_t *row_of)
{
	struct tie_order o = leaf_ties(u->leaf, u->view);

	o.entry = u->entry;
	o.first = first;
	o.row_of = row_of;
	return o;
}

static float displayed(enum distance d, float key)
{
	switch (d) {
	case DISTANCE_EUCLID: return sqrtf(key > 0 ? key : 0);
	case DISTANCE_MANHATTAN: return key;
	default: return 0.0f - key;
	}
}

static int compare_larger(const void *a, const void *b)
{
	return hit_compare(a, b, true);
}

static int compare_smaller(const void *a, const void *b)
{
	return hit_compare(a, b, false);
}

/* They come by key; scores that are equal then may have keys that are not. */
static bool in_order(const struct hits *h, bool larger)
{
	for (uint32_t i = 1; i < h->n; i++)
		if (hit_compare(&h->items[i - 1], &h->items[i], larger) > 0)
			return false;
	return true;
}

/* The rows found become the leaf's hits. */
static void fill_hits(struct run *r, uint32_t leaf, struct topk *top)
{
	const struct leaf *l = &r->request->leaves[leaf];
	const struct view *v = r->views[leaf];
	enum distance d = leaf_distance(l, v);
	bool larger = distance_larger_is_better(d);
	struct hits *out = &r->response->hits[leaf];

	topk_sort(top);
	out->items = arena_zalloc(r->call->arena, top->count * sizeof *out->items);
	for (size_t i = 0; i < top->count; i++) {
		struct place at = {(uint32_t)(top->items[i].tag >> 32),
				   (uint32_t)top->items[i].tag};
		float score = displayed(d, top->items[i].key);
		struct hit *hit = &out->items[out->n];

		if (l->has_threshold && !(larger ? score > l->threshold : score < l->threshold))
			continue;
		pick(v, at, &l->payload, &l->vectors, r->call->arena, hit);
		hit->score = score;
		out->n++;
	}
	if (!in_order(out, larger))
		qsort(out->items, out->n, sizeof *out->items,
		      larger ? compare_larger : compare_smaller);
}

static size_t leaf_top(const struct leaf *l, const struct view *v)
{
	return l->top < v->points ? l->top : (size_t)v->points;
}

static int run_leaf_here(struct run *r, uint32_t leaf)
{
	const struct leaf *l = &r->request->leaves[leaf];
	const struct view *v = r->views[leaf];
	struct scratch *s = scratch_get();
	struct topk top;

	if (!v)
		return 0;
	const struct tie_order ties = leaf_ties(l, v);
	const struct topk_order order = {tie_before, &ties};
	topk_init_ordered(&top, grown(&s->top, &s->top_cap, leaf_top(l, v) + 1), leaf_top(l, v),
			  &order);
	for (uint32_t i = 0; i < v->n && top.k > 0; i++) {
		struct unit u = make_unit(r, leaf, i);

		u.top = &top;
		u.receipt = &r->response->receipts[leaf];
		run_unit(&u);
		if (u.rc) {
			r->call->err = u.err;
			return u.rc;
		}
	}
	fill_hits(r, leaf, &top);
	return 0;
}

/* ---- many hands ---- */

static void add_unit(struct run *r, const struct unit *u)
{
	if (r->n_units == r->units_cap) {
		r->units_cap = r->units_cap ? 2 * r->units_cap : 64;
		r->units = mem_resize(r->units, r->units_cap * sizeof *r->units);
	}
	r->units[r->n_units++] = *u;
}

static void cut_up(struct run *r, uint32_t leaf)
{
	const struct leaf *l = &r->request->leaves[leaf];

	for (uint32_t i = 0; r->views[leaf] && i < r->views[leaf]->n; i++) {
		struct unit u = make_unit(r, leaf, i);
		const struct view_entry *e = unit_entry(&u);

		if (!e->seg->sealed || l->vector.kind == VECTOR_SPARSE ||
		    !filter_is_trivial(l->filter) || !dense_is_exact(&u)) {
			add_unit(r, &u);
			continue;
		}
		for (uint32_t from = 0; from < e->n_rows; from += SPLIT_ROWS) {
			u.from = from;
			u.to = from + SPLIT_ROWS;
			add_unit(r, &u);
		}
	}
}

static void run_one(void *ctx, size_t i)
{
	struct run *r = ctx;

	if (r->tops[i].k > 0)
		run_unit(&r->units[i]);
}

static void add_receipt(struct leaf_receipt *sum, const struct leaf_receipt *part)
{
	sum->candidates += part->candidates;
	sum->cut |= part->cut;
	sum->ef = sum->ef > part->ef ? sum->ef : part->ef;
	if (part->plan != PLAN_NONE)
		receipt_plan(sum, part->plan);
}

static int merge_units(struct run *r)
{
	struct scratch *s = scratch_get();
	size_t at = 0;

	for (uint32_t leaf = 0; leaf < r->request->n_leaves; leaf++) {
		const struct leaf *l = &r->request->leaves[leaf];
		size_t k;
		struct topk top;

		if (!r->views[leaf])
			continue;
		k = leaf_top(l, r->views[leaf]);
		const struct tie_order ties = leaf_ties(l, r->views[leaf]);
		const struct topk_order order = {tie_before, &ties};
		topk_init_ordered(&top, grown(&s->top, &s->top_cap, k + 1), k, &order);
		for (; at < r->n_units && r->units[at].leaf == l; at++) {
			if (r->units[at].rc) {
				r->call->err = r->units[at].err;
				return r->units[at].rc;
			}
			for (size_t i = 0; i < r->tops[at].count; i++)
				topk_push(&top, r->tops[at].items[i].key, r->tops[at].items[i].tag);
			add_receipt(&r->response->receipts[leaf], &r->receipts[at]);
		}
		fill_hits(r, leaf, &top);
	}
	return 0;
}

static int run_in_parallel(struct run *r)
{
	size_t total = 0;
	struct topk_item *items;
	int rc;

	for (uint32_t i = 0; i < r->request->n_leaves; i++)
		cut_up(r, i);
	r->tops = mem_array(r->n_units + 1, sizeof *r->tops);
	r->receipts = mem_array(r->n_units + 1, sizeof *r->receipts);
	for (size_t i = 0; i < r->n_units; i++)
		total += leaf_top(r->units[i].leaf, r->units[i].view) + 1;
	items = mem_array(total + 1, sizeof *items);
	total = 0;
	struct tie_order *ties = mem_array(r->n_units + 1, sizeof *ties);
	struct topk_order *orders = mem_array(r->n_units + 1, sizeof *orders);
	for (size_t i = 0; i < r->n_units; i++) {
		size_t k = leaf_top(r->units[i].leaf, r->units[i].view);

		ties[i] = leaf_ties(r->units[i].leaf, r->units[i].view);
		orders[i] = (struct topk_order){tie_before, &ties[i]};
		topk_init_ordered(&r->tops[i], items + total, k, &orders[i]);
		total += k + 1;
		r->units[i].top = &r->tops[i];
		r->units[i].receipt = &r->receipts[i];
	}
	pool_parallel(r->shard->options.pool, r->n_units, run_one, r);
	rc = merge_units(r);
	free(ties);
	free(orders);
	free(items);
	free(r->receipts);
	free(r->tops);
	free(r->units);
	return rc;
}

static double total_cost(const struct run *r)
{
	double cost = 0;

	for (uint32_t leaf = 0; leaf < r->request->n_leaves; leaf++)
		for (uint32_t i = 0; r->views[leaf] && i < r->views[leaf]->n; i++) {
			struct unit u = make_unit(r, leaf, i);

			cost += unit_cost(&u);
		}
	return cost;
}

/* ---- the call ---- */

static int check_leaf(const struct leaf *l, const struct collection *schema, struct error *err)
{
	uint32_t n = l->vector.kind == VECTOR_DENSE ? schema->n_spaces : schema->n_sparse;

	if (l->vector.space >= n)
		return error_set(err, ERR_INPUT, "vector space %u of %u", l->vector.space, n);
	if (l->vector.kind == VECTOR_DENSE && l->vector.n != schema->spaces[l->vector.space].dim)
		return error_set(err, ERR_INPUT, "the query has %u dimensions, the vectors have %u",
				 l->vector.n, schema->spaces[l->vector.space].dim);
	return 0;
}

static int open_views(struct run *r)
{
	const struct rpc_search_request *q = r->request;

	for (uint32_t i = 0; i < q->n_leaves; i++) {
		const struct leaf *l = &q->leaves[i];
		struct leaf_receipt *receipt = &r->response->receipts[i];
		int rc;

		/* Leaves of one partition see the same state. */
		for (uint32_t j = i; j-- > 0 && !r->views[i];)
			if (q->leaves[j].partition == l->partition && r->views[j])
				r->views[i] = view_ref(r->views[j]);
			else if (i - j > 16)
				break;
		rc = r->views[i] ? 0
				 : table_view(r->shard, q->target.collection_id, l->partition,
					      &r->views[i], &r->call->err);
		if (rc && q->allow_partial) {
			receipt->incomplete = true;
			r->call->err = (struct error){0};
			continue;
		}
		if (rc == 0)
			rc = check_leaf(l, r->views[i]->schema, &r->call->err);
		if (rc)
			return rc;
		receipt->applied_seq = r->views[i]->seq;
		receipt->incomplete = r->views[i]->incomplete;
	}
	return 0;
}

/* A damaged block that was met on the way: what was read from it may be missing. */
static void note_damage(struct run *r)
{
	for (uint32_t i = 0; i < r->request->n_leaves; i++) {
		const struct view *v = r->views[i];
		for (uint32_t e = 0; v && e < v->n; e++)
			if (v->entries[e].seg->sealed && segment_damaged(v->entries[e].seg->sealed))
				r->response->receipts[i].incomplete = true;
	}
}

void serve_search(struct shard *s, struct rpc_call *call)
{
	struct run r = {.shard = s,
			.call = call,
			.request = call->request,
			.response = call->response};
	uint32_t n = r.request->n_leaves;
	int rc;

	count(s, COUNT_SEARCHES, 1);
	count(s, COUNT_LEAVES, n);
	r.start_us = now_us(s);
	r.response->hits = arena_zalloc(call->arena, n * sizeof *r.response->hits);
	r.response->receipts = arena_zalloc(call->arena, n * sizeof *r.response->receipts);
	r.views = arena_zalloc(call->arena, n * sizeof(struct view *));
	rc = open_views(&r);
	if (rc == 0 && total_cost(&r) > PARALLEL_COST && pool_search_threads(s->options.pool) > 0)
		rc = run_in_parallel(&r);
	else
		for (uint32_t i = 0; i < n && rc == 0; i++)
			rc = run_leaf_here(&r, i);
	if (rc == 0)
		note_damage(&r);
	for (uint32_t i = 0; i < n; i++)
		view_unref(r.views[i]);
	rpc_finish(call, rc);
}
