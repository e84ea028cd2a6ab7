/* Dense search of one segment: which plan, which rows.
 *
 * A sealed segment with an index is searched through it unless the rows allowed (live, and matching the filter)
 * are so few that looking at each of them costs no more. A graph decides that itself, where it can scan or go
 * through cells by codes; an inverted file looks at about ef * n / n_allow lists' worth of rows against n_allow
 * distances of a scan, which are cheaper by a factor of three because the rows lie in order. */
#include "base/assert.h"
#include "model/element.h"
#include "shard/search.h"
#include <string.h>

enum {
	SCAN_ROWS = 65536,
	EXACT_ROWS = 1000,
	EXACT_SHARE = 50,
	WALK_COST = 36,
	EF_DEFAULT = 64,
	CODES_TOP = 128
};

static bool exact_is_cheaper(const struct leaf *l, const struct vindex *index, uint64_t n_allow,
			     uint64_t n)
{
	uint64_t ef = l->params.ef ? l->params.ef : 2 * EF_DEFAULT;
	struct vindex_info info;

	if (ef < l->top)
		ef = l->top;
	if (n_allow <= EXACT_ROWS)
		return true;
	/* A graph knows itself when to look at all that is allowed, by codes: but one bit says little, and a long
	 * list is sorted as it grows. */
	vindex_describe(index, &info);
	if (info.kind == INDEX_HNSW && info.quantizer != QUANTIZER_BINARY && l->top <= CODES_TOP)
		return false;
	if (n_allow <= n / EXACT_SHARE)
		return true;
	return info.kind != INDEX_HNSW && n_allow < n && n_allow * n_allow < WALK_COST * ef * n;
}

/* All of the recall is what only a scan can promise. */
static bool must_be_exact(const struct leaf *l)
{
	return l->params.exact || l->params.min_recall >= 1;
}

bool dense_is_exact(const struct unit *u)
{
	const struct view_entry *e = unit_entry(u);
	const struct leaf *l = u->leaf;
	const struct vindex *index = e->seg->rows ? NULL : seg_index(e->seg, l->vector.space);

	return !index || must_be_exact(l) || exact_is_cheaper(l, index, e->live->n_live, e->n_rows);
}

static void push_all(struct unit *u, const struct topk_item *items, uint32_t n, uint32_t first,
		     const uint32_t *row_of)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t row = (uint32_t)items[i].tag + first;

		if (row_of)
			row = row_of[row];
		topk_push(u->top, items[i].key, (uint64_t)u->entry << 32 | row);
	}
}

/* ---- sealed ---- */

struct allowed {
	const struct bitset *bits; /* NULL: every ordinal */
	uint32_t n;
	struct matches matches; /* behind them, under a filter */
	struct bitset
		ordinals; /* the same of a space in which some rows have no vector; words NULL: none */
};

static void to_ordinals(struct allowed *a, const struct segment_vectors *v)
{
	const struct bitset *rows = a->bits;

	bitset_init(&a->ordinals, v->n, false);
	a->n = 0;
	for (uint32_t row = bitset_next(rows, 0); row < rows->n_bits;
	     row = bitset_next(rows, row + 1)) {
		if (v->ord_of[row] == UINT32_MAX)
			continue;
		bitset_set(&a->ordinals, v->ord_of[row]);
		a->n++;
	}
	a->bits = &a->ordinals;
}

static void allowed_fini(struct allowed *a)
{
	matches_fini(&a->matches);
	if (a->ordinals.words)
		bitset_fini(&a->ordinals);
}

static void find_allowed(struct unit *u, const struct segment_vectors *v, struct allowed *a)
{
	const struct view_entry *e = unit_entry(u);

	*a = (struct allowed){0};
	if (!filter_is_trivial(u->leaf->filter)) {
		matches_find(e, u->view->schema, u->leaf->filter, &a->matches);
		a->bits = a->matches.bits;
		a->n = a->matches.n;
		if (v->row_of)
			to_ordinals(a, v);
	} else if (e->live->n_live == e->n_rows) {
		a->n = v->n;
	} else if (!v->row_of) {
		a->bits = &e->live->bits;
		a->n = e->live->n_live;
	} else {
		a->bits = seg_live_ordinals(e->seg, e->live, u->leaf->vector.space, &a->n);
	}
}

static struct vindex_rows part_of(const struct vindex_rows *all, uint32_t from, uint32_t n)
{
	struct vindex_rows part = *all;

	part.data = (const char *)all->data + (size_t)from * all->dim * datatype_bytes(all->type);
	part.n = n;
	return part;
}

static void scan_sealed(struct unit *u, const struct segment_vectors *v, const struct allowed *a)
{
	struct seg *seg = unit_entry(u)->seg;
	uint32_t space = u->leaf->vector.space;
	struct vindex_rows all = seg_vindex_rows(seg, space);
	enum distance distance = u->view->schema->spaces[space].distance;
	uint32_t to = u->to < v->n ? u->to : v->n;

	receipt_plan(u->receipt, PLAN_EXACT);
	for (uint32_t from = u->from; from < to && !unit_late(u); from += SCAN_ROWS) {
		uint32_t n = to - from < SCAN_ROWS ? to - from : SCAN_ROWS;
		struct vindex_rows rows = part_of(&all, from, n);
		struct bitset part = {a->bits ? a->bits->words + from / 64 : NULL, n};
		const struct tie_order ties = unit_ties(u, from, v->row_of);
		const struct topk_order order = {tie_before_part, &ties};
		struct vindex_query q = {
			.order = &order,
			.vector = u->leaf->vector.values,
			.k = u->leaf->top < n ? u->leaf->top : n,
			.allow = a->bits ? &part : NULL,
		};
		struct topk_item *items = scratch_items(scratch_get(), q.k);
		uint32_t n_out = 0;

		assert(from % 64 == 0);
		vindex_scan(&rows, distance, &q, items, &n_out);
		push_all(u, items, n_out, from, v->row_of);
		u->receipt->candidates += a->bits ? bitset_count(&part) : n;
	}
	if (seg_index(seg, space) && to > u->from)
		vindex_note_scan(seg_index(seg, space), to - u->from);
}

/* What the recall and the time that are wished take, measured when the index was built; 0: nothing is wished. */
static uint32_t wished(const struct unit *u, const struct vindex *index, uint32_t k)
{
	const struct search_params *params = &u->leaf->params;
	struct vindex_wish wish = {.k = k,
				   .ef = k > EF_DEFAULT ? k : EF_DEFAULT,
				   .min_recall = params->min_recall};

	if (params->budget_us) {
		uint64_t now = now_us(u->shard);

		wish.budget_us = u->cut_us > now ? u->cut_us - now : 1;
	}
	return vindex_effort(index, &wish);
}

static uint32_t choose_ef(const struct unit *u, const struct vindex *index, uint32_t k)
{
	uint32_t asked = u->leaf->params.ef, chosen = asked ? asked : wished(u, index, k);

	if (!chosen)
		chosen = EF_DEFAULT;
	return chosen > k ? chosen : k;
}

/* 0: the default of the index. */
static uint32_t choose_nprobe(const struct unit *u, const struct vindex *index, uint32_t k)
{
	uint32_t asked = u->leaf->params.nprobe;

	return asked ? asked : wished(u, index, k);
}

static void walk_sealed(struct unit *u, const struct segment_vectors *v, const struct allowed *a,
			const struct vindex *index)
{
	const struct search_params *params = &u->leaf->params;
	const struct tie_order ties = unit_ties(u, 0, v->row_of);
	const struct topk_order order = {tie_before_part, &ties};
	struct vindex_query q = {
		.order = &order,
		.vector = u->leaf->vector.values,
		.k = u->leaf->top < a->n ? u->leaf->top : a->n,
		.allow = a->bits,
		.n_allow = a->n,
		.no_rescore = params->no_rescore,
		.ignore_codes = params->ignore_quantization,
		.oversampling = params->oversampling,
		.deadline_us = u->cut_us,
	};
	struct topk_item *items = scratch_items(scratch_get(), q.k);
	struct vindex_stats stats = {0};
	struct vindex_info info;
	uint32_t n_out = 0;

	vindex_describe(index, &info);
	if (info.kind == INDEX_IVF)
		q.nprobe = choose_nprobe(u, index, q.k);
	else
		q.ef = choose_ef(u, index, q.k);
	u->rc = vindex_search(index, &q, items, &n_out, &stats, &u->err);
	if (u->rc)
		return;
	if (info.kind == INDEX_HNSW && u->receipt->ef < q.ef)
		u->receipt->ef = q.ef;
	receipt_plan(u->receipt, info.kind == INDEX_HNSW  ? PLAN_GRAPH
				 : info.kind == INDEX_IVF ? PLAN_IVF
							  : PLAN_EXACT);
	u->receipt->candidates += stats.distances;
	if (stats.cut)
		unit_late(u);
	push_all(u, items, n_out, 0, v->row_of);
}

static void search_sealed(struct unit *u)
{
	const struct view_entry *e = unit_entry(u);
	const struct leaf *l = u->leaf;
	struct segment_vectors v = segment_vectors(e->seg->sealed, l->vector.space);
	const struct vindex *index = seg_index(e->seg, l->vector.space);
	struct allowed a;

	if (v.n == 0 ||
	    (l->params.indexed_only && !index && v.n >= u->shard->options.index_min_rows))
		return;
	find_allowed(u, &v, &a);
	if (a.n > 0) {
		if (!index || must_be_exact(l) || exact_is_cheaper(l, index, a.n, v.n))
			scan_sealed(u, &v, &a);
		else
			walk_sealed(u, &v, &a, index);
	}
	allowed_fini(&a);
}

/* ---- in memory ---- */

/* Allowed rows of one chunk as bits; returns their number. */
static uint32_t chunk_allowed(const struct unit *u, uint32_t first, uint32_t n,
			      uint64_t words[ROWS_CHUNK / 64])
{
	const struct view_entry *e = unit_entry(u);
	const struct rows_chunk *c = rows_chunk(e->seg->rows, first);
	const struct filter *f = filter_is_trivial(u->leaf->filter) ? NULL : u->leaf->filter;
	uint32_t space = u->leaf->vector.space, n_allow = 0;
	bool gapless = rows_gapless(e->seg->rows, space);

	for (uint32_t w = 0; w < (n + 63) / 64; w++) {
		uint64_t left = e->live->bits.words[first / 64 + w], kept = left;

		if (!gapless || f)
			for (; left; left &= left - 1) {
				uint32_t row = w * 64 + (uint32_t)__builtin_ctzll(left);

				if (row < n && (c->has_dense[row] >> space & 1) &&
				    (!f || match_row(e, first + row, u->view->schema, f)))
					continue;
				kept &= ~(left & -left);
			}
		words[w] = kept;
		n_allow += (uint32_t)__builtin_popcountll(kept);
	}
	return n_allow;
}

static void search_rows(struct unit *u)
{
	const struct view_entry *e = unit_entry(u);
	const struct vector_space *space = &u->view->schema->spaces[u->leaf->vector.space];

	receipt_plan(u->receipt, PLAN_EXACT);
	for (uint32_t first = 0; first < e->n_rows && !unit_late(u); first += ROWS_CHUNK) {
		uint32_t n = e->n_rows - first < ROWS_CHUNK ? e->n_rows - first : ROWS_CHUNK;
		struct vindex_rows rows = {.data = rows_column(rows_chunk(e->seg->rows, first),
							       u->leaf->vector.space),
					   .n = n,
					   .dim = space->dim,
					   .unit = space_unit_rows(space)};
		uint64_t words[ROWS_CHUNK / 64];
		struct bitset allow = {words, n};
		const struct tie_order ties = unit_ties(u, first, NULL);
		const struct topk_order order = {tie_before_part, &ties};
		struct vindex_query q = {
			.order = &order,
			.vector = u->leaf->vector.values,
			.k = u->leaf->top < n ? u->leaf->top : n,
			.allow = &allow,
		};
		uint32_t n_out = 0;

		if (!rows.data || (q.n_allow = chunk_allowed(u, first, n, words)) == 0)
			continue;
		if (q.n_allow == n)
			q.allow = NULL;
		struct topk_item *items = scratch_items(scratch_get(), q.k);
		vindex_scan(&rows, space->distance, &q, items, &n_out);
		push_all(u, items, n_out, first, NULL);
		u->receipt->candidates += q.n_allow;
	}
}

void search_dense(struct unit *u)
{
	if (unit_entry(u)->seg->rows)
		search_rows(u);
	else
		search_sealed(u);
}
