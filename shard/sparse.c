/* Sparse search of one segment: inner products summed up along the inverted lists of the query's
 * indices; row by row in memory. Rows that share no index with the query are no results. */
#include "base/assert.h"
#include "shard/search.h"

static float query_weight(const struct leaf *l, uint32_t i)
{
	return l->vector.values[i] * (l->idf ? l->idf[i] : 1.0f);
}

static uint32_t sum_postings(struct unit *u, struct scratch *s)
{
	const struct view_entry *e = unit_entry(u);
	const struct leaf *l = u->leaf;
	uint32_t n_touched = 0;

	for (uint32_t i = 0; i < l->vector.n && !unit_late(u); i++) {
		float weight = query_weight(l, i);
		struct posting_list list;

		if (!segment_postings(e->seg->sealed, l->vector.space, l->vector.indices[i], &list))
			continue;
		u->receipt->candidates += list.n;
		for (uint32_t j = 0; j < list.n; j++) {
			uint32_t row = list.rows[j];

			if (s->stamps[row] != s->stamp) {
				s->stamps[row] = s->stamp;
				s->sums[row] = 0;
				s->touched[n_touched++] = row;
			}
			s->sums[row] += weight * list.weights[j];
		}
	}
	return n_touched;
}

static void search_sealed(struct unit *u)
{
	const struct view_entry *e = unit_entry(u);
	struct scratch *s = scratch_get();
	const struct bitset *allow = &e->live->bits;
	struct matches matches = {0};
	uint32_t n;

	if (!filter_is_trivial(u->leaf->filter)) {
		matches_find(e, u->view->schema, u->leaf->filter, &matches);
		if (matches.n == 0)
			goto out;
		allow = matches.bits;
	}
	scratch_rows(s, e->n_rows);
	n = sum_postings(u, s);
	for (uint32_t i = 0; i < n; i++)
		if (bitset_get(allow, s->touched[i]))
			topk_push(u->top, 0.0f - s->sums[s->touched[i]],
				  (uint64_t)u->entry << 32 | s->touched[i]);
out:
	matches_fini(&matches);
}

/* Both are ascending by index. False: no index in common. */
static bool product(const struct leaf *l, const struct vector *v, float *out)
{
	uint32_t a = 0, b = 0;
	bool overlap = false;

	*out = 0;
	while (a < l->vector.n && b < v->n) {
		uint32_t left = l->vector.indices[a], right = v->indices[b];

		if (left == right) {
			*out += query_weight(l, a) * v->values[b];
			overlap = true;
		}
		a += left <= right;
		b += right <= left;
	}
	return overlap;
}

static void search_rows(struct unit *u)
{
	const struct view_entry *e = unit_entry(u);
	const struct filter *f = filter_is_trivial(u->leaf->filter) ? NULL : u->leaf->filter;
	uint32_t seen = 0;

	for (uint32_t row = entry_next(e, 0); row < e->n_rows; row = entry_next(e, row + 1)) {
		struct vector v;
		float score;

		if ((++seen & 1023) == 0 && unit_late(u))
			return;
		if (!rows_sparse(e->seg->rows, u->leaf->vector.space, row, &v) ||
		    !product(u->leaf, &v, &score))
			continue;
		u->receipt->candidates++;
		if (!f || match_row(e, row, u->view->schema, f))
			topk_push(u->top, 0.0f - score, (uint64_t)u->entry << 32 | row);
	}
}

void search_sparse(struct unit *u)
{
	receipt_plan(u->receipt, PLAN_SPARSE);
	if (unit_entry(u)->seg->rows)
		search_rows(u);
	else
		search_sealed(u);
}
