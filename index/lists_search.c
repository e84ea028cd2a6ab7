/* Search over lists. Each query's lists are chosen by their centroids; of several queries, those that look at
 * the same list go over it together, so that what was loaded serves up to four of them. */
#include "index/lists.h"

#include "base/clock.h"
#include "base/memory.h"
#include "index/lists_layout.h"
#include "index/rows.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	TOGETHER = 256,  /* queries whose lists are brought in order */
	PART_ROWS = 512, /* of a list between two looks at the bound of what is good enough */
	AHEAD_BYTES = 1024,
	LINE = 64,
	LATE_EVERY = 8, /* lists between two looks at the clock */
	RESCORE_AHEAD = 4,
};

/* A list that a query looks at. */
struct probe {
	uint32_t list, seeker;
};

struct seeker {
	struct lists_task *task;
	uint8_t *bytes; /* query, or tables */
	float factor, base;
	struct topk top; /* tag: place */
	struct topk_item *items;
	struct topk_item *near; /* nprobe; tag: list */
};

struct scan {
	const struct lists *l;
	const struct block_kernels *k;
	struct seeker *seekers;
	uint32_t n;
	int32_t *sums; /* BLOCK_QUERIES x PART_ROWS */
	uint32_t *hits;
};

/* ---- making queries ready -------------------------------------------------------------------- */

/* The smallest and the largest entry of a table; eight side by side, as the compiler would not do it itself. */
static void find_range(const float *entries, float *low, float *high)
{
	float l[8], h[8];

	memcpy(l, entries, sizeof l);
	memcpy(h, entries, sizeof h);
	for (uint32_t i = 8; i < LOOKUP_ENTRIES; i += 8) {
		for (uint32_t j = 0; j < 8; j++) {
			float x = entries[i + j];

			l[j] = x < l[j] ? x : l[j];
			h[j] = x > h[j] ? x : h[j];
		}
	}
	*low = l[0];
	*high = h[0];
	for (uint32_t j = 1; j < 8; j++) {
		*low = l[j] < *low ? l[j] : *low;
		*high = h[j] > *high ? h[j] : *high;
	}
}

/* Entries become bytes, with one step for all sub-quantisers; returns what the bytes leave out. */
static float quantise_tables(const float *entries, uint32_t n_subs, uint8_t *out, float *step)
{
	float *lows = mem_alloc(n_subs * sizeof *lows), least_sum = 0, widest = 0;

	for (uint32_t m = 0; m < n_subs; m++) {
		float high;

		find_range(entries + (size_t)m * LOOKUP_ENTRIES, &lows[m], &high);
		widest = high - lows[m] > widest ? high - lows[m] : widest;
		least_sum += lows[m];
	}
	*step = isfinite(widest) ? widest / 255 : 0;
	float inverse = *step > 0 ? 1 / *step : 0;
	for (uint32_t m = 0; m < n_subs; m++) {
		const float *from = entries + (size_t)m * LOOKUP_ENTRIES;
		uint8_t *to = out + (size_t)m * LOOKUP_ENTRIES;

		for (uint32_t i = 0; i < LOOKUP_ENTRIES; i++) {
			float c = (from[i] - lows[m]) * inverse + 0.5f;

			/* NaN becomes 0: every comparison with it is false */
			c = c > 0 ? c : 0;
			c = c < 255 ? c : 255;
			to[i] = (uint8_t)(int32_t)c;
		}
	}
	free(lows);
	return isfinite(least_sum) ? least_sum : 0;
}

static void make_tables(const struct scan *s, struct seeker *k)
{
	const struct lists *l = s->l;
	uint32_t values = l->dim / l->n_subs;
	size_t n_entries = (size_t)l->n_subs * LOOKUP_ENTRIES;
	float *entries = mem_aligned(CODE_ALIGN, n_entries * sizeof *entries), step;

	k->bytes = mem_aligned(CODE_ALIGN, n_entries);
	for (uint32_t m = 0; m < l->n_subs; m++)
		s->k->table(k->task->q->vector + (size_t)m * values,
			    l->codebook + (size_t)m * values * LOOKUP_ENTRIES, values,
			    entries + (size_t)m * LOOKUP_ENTRIES);
	float least = quantise_tables(entries, l->n_subs, k->bytes, &step);
	float times = l->by_norm ? 2 : 1;

	k->factor = times * step;
	k->base = -times * least;
	free(entries);
}

static void make_bytes(const struct code_scale *scale, const struct seeker *k, struct code_query *q)
{
	float *scratch = mem_alloc(scale->dim * sizeof *scratch);

	q->bytes = mem_aligned(CODE_ALIGN, code_stride(scale->dim));
	code_query_init(scale, code_kernels_get(), k->task->q->vector, scratch, q);
	free(scratch);
}

static void make_seeker(const struct scan *s, struct seeker *k)
{
	k->items = mem_alloc(k->task->n_candidates * sizeof *k->items);
	topk_init(&k->top, k->items, k->task->n_candidates);
	if (s->l->has_tables) {
		make_tables(s, k);
	} else {
		struct code_query q;

		make_bytes(&s->l->scale, k, &q);
		k->bytes = q.bytes;
		k->factor = q.factor;
		k->base = 0;
	}
}

/* ---- which lists ----------------------------------------------------------------------------- */

/* Those of the nearest centroids, nearest first, for up to BLOCK_QUERIES queries. */
static void find_near(const struct scan *s, struct seeker *seekers, uint32_t n)
{
	const struct lists *l = s->l;
	uint32_t blocks = coarse_n_blocks(l->nlist), part = PART_ROWS / BLOCK_ROWS;
	struct code_query q[BLOCK_QUERIES];
	struct topk top[BLOCK_QUERIES];
	struct block_scan scan = {.n_queries = n, .groups = block_groups(l->dim)};

	for (uint32_t i = 0; i < n; i++) {
		struct seeker *k = &seekers[i];

		k->near = mem_alloc(k->task->nprobe * sizeof *k->near);
		topk_init(&top[i], k->near, k->task->nprobe);
		make_bytes(&l->coarse, k, &q[i]);
		scan.queries[i] = q[i].bytes;
		scan.out[i] = s->sums + (size_t)i * PART_ROWS;
		k->task->stats.distances += l->nlist;
	}
	for (uint32_t b = 0; b < blocks; b += part) {
		uint32_t from = b * BLOCK_ROWS;

		scan.blocks = l->coarse_blocks + b * block_bytes(l->dim);
		scan.n_blocks = blocks - b < part ? blocks - b : part;
		s->k->dot(&scan);
		for (uint32_t i = 0; i < n; i++) {
			const struct block_pick p = {
				.sums = scan.out[i],
				.norms = l->coarse_norms ? l->coarse_norms + from : NULL,
				.n = l->nlist - from < PART_ROWS ? l->nlist - from : PART_ROWS,
				.factor = q[i].factor,
				.bound = topk_bound(&top[i]),
			};
			uint32_t n_hits = s->k->pick(&p, s->hits);

			for (uint32_t j = 0; j < n_hits; j++)
				topk_push(&top[i], block_key(&p, s->hits[j]), from + s->hits[j]);
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		topk_sort(&top[i]);
		seekers[i].task->nprobe = (uint32_t)top[i].count;
		free(q[i].bytes);
	}
}

/* ---- scanning -------------------------------------------------------------------------------- */

/* The rows from `place` on, whose sums are there. */
static void take(const struct scan *s, struct seeker *k, const struct block_pick *like,
		 uint32_t place)
{
	const struct vindex_query *q = k->task->q;
	struct block_pick p = *like;

	p.norms = s->l->norms ? s->l->norms + place : NULL;
	p.factor = k->factor;
	p.bound = topk_bound(&k->top);
	uint32_t n = s->k->pick(&p, s->hits);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t row = s->l->ids[place + s->hits[i]];

		if (row >= s->l->n || row + 1 == q->besides ||
		    (q->allow && !bitset_get(q->allow, row)))
			continue;
		topk_push(&k->top, block_key(&p, s->hits[i]), place + s->hits[i]);
	}
}

static float inner_product(const float *a, const float *b, uint32_t dim)
{
	return -kernels_get()->dot(a, b, dim);
}

/* What all keys of this list share for this query. */
static float base_of(const struct lists *l, const struct seeker *k, uint32_t list)
{
	float product;

	if (!l->centroids)
		return k->base;
	product = inner_product(k->task->q->vector, l->centroids + (size_t)list * l->dim, l->dim);
	return k->base - (l->by_norm ? 2 : 1) * product;
}

/* One list for up to BLOCK_QUERIES seekers (one, where tables are used). */
static void scan_list(const struct scan *s, uint32_t list, struct seeker *const *seekers,
		      uint32_t n)
{
	const struct lists *l = s->l;
	const uint32_t part = PART_ROWS / l->block_rows;
	float bases[BLOCK_QUERIES];

	for (uint32_t i = 0; i < n; i++) {
		bases[i] = base_of(l, seekers[i], list);
		seekers[i]->task->stats.distances += l->sizes[list];
	}
	for (uint32_t b = l->first[list]; b < l->first[list + 1]; b += part) {
		uint32_t n_blocks = l->first[list + 1] - b < part ? l->first[list + 1] - b : part;
		const uint8_t *blocks = l->blocks + b * l->block_size;
		struct block_scan scan = {.n_queries = n,
					  .blocks = blocks,
					  .groups = block_groups(l->dim),
					  .n_blocks = n_blocks};

		for (uint32_t i = 0; i < n; i++) {
			scan.queries[i] = seekers[i]->bytes;
			scan.out[i] = s->sums + (size_t)i * PART_ROWS;
		}
		if (l->has_tables)
			s->k->lookup(&(struct lookup_scan){.tables = seekers[0]->bytes,
							   .blocks = blocks,
							   .n_subs = l->n_subs,
							   .n_blocks = n_blocks,
							   .out = s->sums});
		else
			s->k->dot(&scan);
		uint32_t rows = l->sizes[list] - (b - l->first[list]) * l->block_rows;
		uint32_t most = n_blocks * l->block_rows;
		for (uint32_t i = 0; i < n; i++) {
			const struct block_pick p = {.sums = s->sums + (size_t)i * PART_ROWS,
						     .n = rows < most ? rows : most,
						     .base = bases[i]};

			take(s, seekers[i], &p, b * l->block_rows);
		}
	}
}

static void fetch_ahead(const struct lists *l, uint32_t list)
{
	const uint8_t *from = l->blocks + l->first[list] * l->block_size;

	for (size_t at = 0; at < AHEAD_BYTES; at += LINE)
		__builtin_prefetch(from + at);
}

static bool is_late(const struct seeker *k, uint32_t i)
{
	uint64_t deadline = k->task->q->deadline_us;

	return deadline && i % LATE_EVERY == 0 && i && clock_monotonic_us() >= deadline;
}

/* The lists of one query, the nearest first: most of what comes later is refused by one comparison. */
static void scan_alone(const struct scan *s, struct seeker *k, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to && i < k->task->nprobe; i++) {
		if (is_late(k, i)) {
			k->task->stats.cut = true;
			return;
		}
		if (i + 1 < k->task->nprobe)
			fetch_ahead(s->l, (uint32_t)k->near[i + 1].tag);
		scan_list(s, (uint32_t)k->near[i].tag, &k, 1);
	}
}

static int by_list(const void *a, const void *b)
{
	const struct probe *x = a, *y = b;

	if (x->list != y->list)
		return x->list < y->list ? -1 : 1;
	return (x->seeker > y->seeker) - (x->seeker < y->seeker);
}

/* Each query's nearest list by itself, so that it knows what is good enough; then list after list. */
static void scan_together(const struct scan *s)
{
	struct probe *probes;
	size_t n = 0, at = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		scan_alone(s, &s->seekers[i], 0, 1);
		n += s->seekers[i].task->nprobe;
	}
	probes = mem_alloc(n * sizeof *probes);
	for (uint32_t i = 0; i < s->n; i++) {
		for (uint32_t j = 1; j < s->seekers[i].task->nprobe; j++)
			probes[at++] = (struct probe){(uint32_t)s->seekers[i].near[j].tag, i};
	}
	n = at;
	qsort(probes, n, sizeof *probes, by_list);
	for (at = 0; at < n;) {
		struct seeker *group[BLOCK_QUERIES];
		uint32_t some = 0, list = probes[at].list;

		for (; at < n && probes[at].list == list && some < BLOCK_QUERIES; at++)
			group[some++] = &s->seekers[probes[at].seeker];
		if (at < n)
			fetch_ahead(s->l, probes[at].list);
		scan_list(s, list, group, some);
	}
	free(probes);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void fetch_row(const struct lists *l, const struct seeker *k, size_t i)
{
	if (i >= k->top.count || !rows_in_memory(&l->rows))
		return;
	const char *row = rows_at(&l->rows, l->ids[k->items[i].tag]);
	for (size_t at = 0; at < rows_bytes(&l->rows); at += LINE)
		__builtin_prefetch(row + at);
}

static void answer(const struct lists *l, struct seeker *k)
{
	kernel_fn distance = kernels_distance(kernels_get(), l->distance);
	struct lists_task *t = k->task;
	float *scratch = mem_alloc(l->dim * sizeof *scratch);
	void *raw = rows_in_memory(&l->rows) ? NULL : mem_alloc(rows_bytes(&l->rows));
	struct topk best;

	topk_init_ordered(&best, t->out, t->q->k, t->q->order);
	for (size_t i = 0; i < RESCORE_AHEAD && t->by_rows; i++)
		fetch_row(l, k, i);
	for (size_t i = 0; i < k->top.count; i++) {
		uint32_t place = (uint32_t)k->items[i].tag, row = l->ids[place];
		const float *values = scratch;

		if (t->by_rows) {
			fetch_row(l, k, i + RESCORE_AHEAD);
			values = rows_fetch(&l->rows, row, raw, scratch);
		} else {
			lists_decode(l, lists_of(l, place), place, scratch);
		}
		topk_push(&best, distance(t->q->vector, values, l->dim), row);
	}
	topk_sort(&best);
	t->n_out = (uint32_t)best.count;
	free(raw);
	free(scratch);
}

static bool may_wait(const struct scan *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->seekers[i].task->q->deadline_us)
			return false;
	}
	return true;
}

static void search_some(const struct lists *l, struct lists_task *tasks, uint32_t n)
{
	struct scan s = {.l = l, .k = block_kernels_get(), .n = n};

	s.seekers = mem_array(n, sizeof *s.seekers);
	s.sums = mem_aligned(CODE_ALIGN, (size_t)BLOCK_QUERIES * PART_ROWS * sizeof *s.sums);
	s.hits = mem_alloc(PART_ROWS * sizeof *s.hits);
	for (uint32_t i = 0; i < n; i++) {
		s.seekers[i].task = &tasks[i];
		make_seeker(&s, &s.seekers[i]);
	}
	for (uint32_t i = 0; i < n; i += BLOCK_QUERIES)
		find_near(&s, s.seekers + i, n - i < BLOCK_QUERIES ? n - i : BLOCK_QUERIES);
	if (n > 1 && !l->has_tables && may_wait(&s)) {
		scan_together(&s);
	} else {
		for (uint32_t i = 0; i < n; i++)
			scan_alone(&s, &s.seekers[i], 0, UINT32_MAX);
	}
	for (uint32_t i = 0; i < n; i++) {
		struct seeker *k = &s.seekers[i];

		answer(l, k);
		free(k->items);
		free(k->near);
		free(k->bytes);
	}
	free(s.seekers);
	free(s.sums);
	free(s.hits);
}

void lists_search(const struct lists *l, struct lists_task *tasks, uint32_t n)
{
	for (uint32_t i = 0; i < n; i += TOGETHER)
		search_some(l, tasks + i, n - i < TOGETHER ? n - i : TOGETHER);
}
