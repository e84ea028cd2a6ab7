/* The walk: greedy descent through the upper levels, then best-first search on level 0 with one sorted pool
 * of ef candidates (the search of HNSW's layer 0, Malkov and Yashunin, arXiv 1603.09320, algorithm 2,
 * with the pool of NSG, Fu et al., VLDB 2019, in place of two heaps).
 *
 * Distances are those of the 8-bit codes, as integers that sort the same way; only the best few of the
 * pool are computed again from the float rows. The neighbours of a node are gathered first, those not
 * seen before, while their codes are being fetched; then one kernel call computes them all.
 *
 * Under a filter only allowed nodes enter the pool. Where too few neighbours of a node are allowed, the
 * walk looks through those that are not at their neighbours (two hops; ACORN-1, Patel et al.,
 * SIGMOD 2024). Inner products are an exception (through_all). Where fewer rows are allowed, the cells
 * (walk_cells.h) are gone through instead, and where very few are, the code of every one of them is
 * looked at; choose_plan() has the estimate.
 */
#include "base/clock.h"
#include "index/select.h"
#include "index/walk_entry.h"
#include "index/walk_layout.h"
#include "index/walk_scratch.h"
#include <math.h>
#include <string.h>

enum {
	EF_MIN = 64,
	GATHER_MAX = 1024,
	VIAS = 8,         /* lists of second neighbours looked at before those found are counted */
	CLOCK_EVERY = 16, /* expansions between looks at the clock */
	CELL_CHUNK = 32,  /* rows of cells that are computed at once, at least */
	CELL_WHOLE = 256, /* the weight of a cell that has its share of the allowed rows */
	SCAN_POOL = 4,    /* candidates kept by a scan, times k */
	FETCH_LINES = 4,  /* of a code, fetched while gathering */
	RESCORE_FETCH = 512, /* bytes of a row, fetched ahead */
	CODE_SPREAD = 45,    /* of the bytes of codes about 128, roughly */
	ROUNDING = 4,
};

enum plan { PLAN_WALK, PLAN_SCAN, PLAN_CELLS };

struct search {
	const struct walk *w;
	const struct vindex_query *q;
	code_fn sums; /* of the codes */
	select_fn select;
	struct walk_scratch *s;
	struct code_query query;
	struct vindex_stats *stats;
	uint32_t ef;
	uint32_t size;          /* of the pool */
	uint32_t cursor;        /* everything before it is expanded */
	bool allowed_only;      /* only allowed nodes enter the pool */
	uint32_t enough;        /* then: gathered nodes that make a second hop needless */
	uint32_t *vias, *found; /* then: room for one list, and for VIAS lists */
	uint32_t *list;         /* then: room for one list as numbers */
	struct sketch_query sketch;
	float sketch_offset; /* what a bound of codes is as one of sketches */
	bool sifts;
};

/* ---- keys ------------------------------------------------------------------------------------ */

/* An integer of the kernel to a key: smaller is nearer, as unsigned numbers. */
static inline uint32_t key_of(const struct search *x, int32_t sum, uint32_t node)
{
	switch (x->w->distance) {
	case DISTANCE_EUCLID: return key_of_float(x->w->norms[node] - x->query.factor * (float)sum);
	case DISTANCE_MANHATTAN:
		return walk_has_bits(x->w) ? 0x80000000u - (uint32_t)sum : (uint32_t)sum;
	case DISTANCE_COSINE:
	case DISTANCE_DOT:
	default: return 0x80000000u - (uint32_t)sum;
	}
}

static inline uint32_t cell_key(const struct search *x, float factor, int32_t sum, uint32_t cell)
{
	if (x->w->distance == DISTANCE_MANHATTAN)
		return (uint32_t)sum;
	return key_of_float(x->w->cells->norms[cell] - factor * (float)sum);
}

static inline void compute(struct search *x, const uint32_t *ids, uint32_t n, int32_t *sums)
{
	const struct walk *w = x->w;

	if (w->norms) {
		for (uint32_t i = 0; i < n; i++)
			__builtin_prefetch(&w->norms[ids[i]]);
	}
	x->sums(x->query.bytes, w->codes, w->stride, ids, n, sums);
	x->stats->distances += n;
}

/* ---- pool ------------------------------------------------------------------------------------ */

/* The key of an entry as a number, in the units of key_of() for Euclid. */
static inline float float_of_entry(const struct search *x, uint64_t entry)
{
	uint32_t key = (uint32_t)(entry >> 32);

	return x->w->norms ? float_of_key(key)
			   : -x->query.factor * (float)(int32_t)(0x80000000u - key);
}

static inline void fetch_links(const struct walk *w, uint32_t node)
{
	const uint8_t *links = walk_links(w, node).at;

	for (size_t b = 0; b < w->list_bytes; b += 64)
		__builtin_prefetch(links + b);
	if (w->list_bytes % 64)
		__builtin_prefetch(links + w->list_bytes - 1);
}

static inline void pool_insert(struct search *x, uint64_t entry)
{
	uint64_t *pool = x->s->pool;

	if (x->size == x->ef) {
		if (entry >= pool[x->size - 1])
			return;
		x->size--;
	}
	uint32_t at = position(pool, x->size, entry);
	memmove(pool + at + 1, pool + at, (x->size - at) * sizeof *pool);
	pool[at] = entry;
	x->size++;
	if (at <= x->cursor) {
		x->cursor = at;
		fetch_links(x->w, node_of_entry(entry));
	}
}

static inline void insert_all(struct search *x, const uint32_t *ids, const int32_t *sums,
			      uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		pool_insert(x, entry_of(key_of(x, sums[i], ids[i]), ids[i]));
}

/* ---- sketches -------------------------------------------------------------------------------- */

static inline float sketch_key(const struct search *x, int32_t sum, uint32_t node)
{
	return (x->w->norms ? x->w->norms[node] : 0) - 2 * x->sketch.factor * (float)sum;
}

static inline void sketch_sums(struct search *x, const uint32_t *ids, uint32_t n)
{
	if (x->w->norms) {
		for (uint32_t i = 0; i < n; i++)
			__builtin_prefetch(&x->w->norms[ids[i]]);
	}
	x->sums(x->sketch.bytes, x->w->sketch->codes, SKETCH_BYTES, ids, n, x->s->sums);
}

/* Those of the nodes whose sketches do not say that they are too far for the pool, into out. */
static inline uint32_t sift(struct search *x, const uint32_t *ids, uint32_t n, uint32_t *out)
{
	float bound = float_of_entry(x, x->s->pool[x->size - 1]) + x->sketch_offset;
	const uint8_t *codes = x->w->codes;
	size_t stride = x->w->stride;
	uint32_t m = 0;

	sketch_sums(x, ids, n);
	for (uint32_t i = 0; i < n; i++) {
		out[m] = ids[i];
		m += sketch_key(x, x->s->sums[i], ids[i]) <= bound;
	}
	for (uint32_t i = 0; i < m; i++) {
		for (size_t b = 0; b < stride; b += 64)
			__builtin_prefetch(codes + out[i] * stride + b);
	}
	return m;
}

/* Nodes that may be among the best, into the pool. ids: may be s->ids. */
static inline void consider(struct search *x, const uint32_t *ids, uint32_t n)
{
	if (x->sifts && x->size == x->ef) {
		n = sift(x, ids, n, x->s->ids);
		ids = x->s->ids;
	}
	compute(x, ids, n, x->s->sums);
	insert_all(x, ids, x->s->sums, n);
}

/* ---- gathering ------------------------------------------------------------------------------- */

static inline bool visit(struct walk_scratch *s, uint32_t node)
{
	uint64_t bit = 1ull << (node & 63), *word = &s->visited[node >> 6];
	bool fresh = !(*word & bit);

	*word |= bit;
	return fresh;
}

static inline void fetch_code(const struct walk *w, uint32_t node)
{
	if (w->sketch) {
		__builtin_prefetch(w->sketch->codes + (size_t)node * SKETCH_BYTES);
		return;
	}
	const char *code = (const char *)w->codes + (size_t)node * w->stride;

	for (size_t b = 0; b < w->stride && b < FETCH_LINES * 64; b += 64)
		__builtin_prefetch(code + b);
}

/* Neighbours of a node that were not seen before, behind the touched nodes. */
static inline uint32_t fresh_neighbors(struct search *x, uint32_t node)
{
	struct walk_list l = walk_links(x->w, node);
	uint32_t *to = x->s->touched + x->s->n_touched;
	const uint32_t n_nodes = x->w->n;
	uint32_t n = 0, i, id;

	do {
		for (i = 0; i < l.most && (id = walk_id(x->w, &l, i)) < n_nodes; i++) {
			to[n] = id;
			n += visit(x->s, id);
		}
	} while (walk_more(x->w, &l, i));
	return n;
}

/* The same, touched, and their codes on the way. */
static inline uint32_t gather(struct search *x, uint32_t node)
{
	uint32_t n = fresh_neighbors(x, node);
	const uint32_t *ids = x->s->touched + x->s->n_touched;

	for (uint32_t i = 0; i < n; i++)
		fetch_code(x->w, ids[i]);
	x->s->n_touched += n;
	return n;
}

/* The codes that will be wanted if no nearer node turns up than the best that is not expanded yet; and the
 * links of the one after it. */
static inline void look_ahead(const struct search *x)
{
	const struct walk_scratch *s = x->s;
	const uint32_t n_nodes = x->w->n;
	uint32_t found = 0;

	for (uint32_t i = x->cursor; i < x->size && found < 2; i++) {
		if (s->pool[i] & 1)
			continue;
		uint32_t node = node_of_entry(s->pool[i]);

		if (found++) {
			fetch_links(x->w, node);
			break;
		}
		struct walk_list l = walk_links(x->w, node);
		uint32_t j, id;
		/* also those seen before: to ask costs more than to fetch what is near already */
		do {
			for (j = 0; j < l.most && (id = walk_id(x->w, &l, j)) < n_nodes; j++)
				fetch_code(x->w, id);
		} while (walk_more(x->w, &l, j));
	}
}

/* The allowed ones of a part of a list; *n_read: where it ends. */
static inline uint32_t select_links(const struct search *x, const struct walk_list *l,
				    uint32_t *out, uint32_t *n_read)
{
	uint32_t *ids = x->list;

	for (uint32_t i = 0; i < l->most; i++) {
		ids[i] = walk_id(x->w, l, i);
		if (l->rest && ids[i] >= x->w->n) /* far from its end */
			break;
	}
	return x->select(x->q->allow->words, ids, l->most, x->w->n, out, n_read);
}

/* Neighbours of some nodes that are allowed. The rest of a long list, which lies elsewhere, is asked for
 * and read at the end. */
static uint32_t select_second(const struct search *x, const uint32_t *vias, uint32_t n_vias,
			      uint32_t *out)
{
	const struct walk *w = x->w;
	struct walk_list rest[VIAS];
	uint32_t n = 0, n_rest = 0, n_read;

	for (uint32_t i = 0; i < n_vias; i++) {
		struct walk_list l = walk_links(w, vias[i]);

		n += select_links(x, &l, out + n, &n_read);
		if (walk_more(w, &l, n_read)) {
			__builtin_prefetch(l.at);
			rest[n_rest++] = l;
		}
	}
	for (uint32_t i = 0; i < n_rest; i++)
		n += select_links(x, &rest[i], out + n, &n_read);
	return n;
}

/* Those of them that were not seen before, after the n in ids. */
static uint32_t gather_second(struct search *x, const uint32_t *vias, uint32_t n_vias,
			      uint32_t *ids, uint32_t n)
{
	uint32_t *found = x->found, first = n;
	uint32_t n_found = select_second(x, vias, n_vias, found);

	for (uint32_t i = 0; i < n_found; i++) {
		ids[n] = found[i];
		fetch_code(x->w, found[i]);
		n += visit(x->s, found[i]);
	}
	walk_scratch_touch(x->s, n - first);
	memcpy(x->s->touched + x->s->n_touched, ids + first, (n - first) * sizeof *ids);
	x->s->n_touched += n - first;
	return n;
}

/* Under a filter: the allowed ones of a node's neighbours; and through those that are not allowed, in two
 * hops, more until there are enough. */
static uint32_t gather_allowed(struct search *x, uint32_t node, uint32_t *ids)
{
	struct walk_scratch *s = x->s;
	const uint64_t *allow = x->q->allow->words;
	uint32_t *vias = x->vias, n_vias = 0, n = 0;
	uint32_t n_seen = fresh_neighbors(x, node);
	const uint32_t *seen = s->touched + s->n_touched;

	for (uint32_t i = 0; i < n_seen; i++) {
		uint32_t is_allowed = (uint32_t)(allow[seen[i] >> 6] >> (seen[i] & 63) & 1);

		ids[n] = vias[n_vias] = seen[i];
		n += is_allowed;
		n_vias += 1 - is_allowed;
	}
	s->n_touched += n_seen;
	for (uint32_t i = 0; i < n; i++)
		fetch_code(x->w, ids[i]);
	for (uint32_t i = 0; i < n_vias && n < x->enough; i++)
		fetch_links(x->w, vias[i]);
	for (uint32_t i = 0; i < n_vias && n < x->enough; i += VIAS)
		n = gather_second(x, vias + i, n_vias - i < VIAS ? n_vias - i : VIAS, ids, n);
	return n;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* Greedy, level by level: the nearest node that it comes to, as a node of level 0. */
static uint32_t descend(struct search *x)
{
	const struct walk *w = x->w;
	uint32_t at = w->entry, best = UINT32_MAX;

	for (uint32_t level = w->n_levels; level > 0; level--) {
		const struct walk_level *l = &w->levels[level - 1];

		for (uint32_t from = WALK_NONE; from != at;) {
			const uint32_t *links = l->links + (size_t)at * l->width;
			uint32_t n = 0;

			from = at;
			for (; n < l->width && n < GATHER_MAX && links[n] != WALK_NONE; n++)
				x->s->ids[n] = l->nodes[links[n]];
			if (x->sifts)
				sketch_sums(x, x->s->ids, n);
			else
				compute(x, x->s->ids, n, x->s->sums);
			for (uint32_t i = 0; i < n; i++) {
				uint32_t key = x->sifts ? key_of_float(sketch_key(x, x->s->sums[i],
										  x->s->ids[i]))
							: key_of(x, x->s->sums[i], x->s->ids[i]);

				if (key < best) {
					best = key;
					at = links[i];
				}
			}
		}
		at = l->below ? l->below[at] : l->nodes[at];
	}
	return at;
}

/* Does the filter leave empty what is around the node nearest to the query, though it passes many rows elsewhere? From
 * there a walk among allowed rows does not find the way to those that are nearest of them: it begins at a border, and what it
 * would go on over is not allowed. Twenty neighbours of which chance passes a fifth are seldom empty. */
static bool is_far(const struct search *x, uint32_t node)
{
	struct walk_list l = walk_links(x->w, node);
	uint64_t n = 0, allowed = 0;
	uint32_t i, id;

	do {
		for (i = 0; i < l.most && (id = walk_id(x->w, &l, i)) < x->w->n; i++, n++)
			allowed += bitset_get(x->q->allow, id);
	} while (walk_more(x->w, &l, i));
	return allowed * 4 * x->w->n < n * x->q->n_allow;
}

static bool late(struct search *x, uint32_t *until_clock)
{
	if (!x->q->deadline_us || --*until_clock)
		return false;
	*until_clock = CLOCK_EVERY;
	if (clock_monotonic_us() < x->q->deadline_us)
		return false;
	x->stats->cut = true;
	return true;
}

static void walk_level_0(struct search *x, uint32_t start)
{
	struct walk_scratch *s = x->s;
	uint32_t until_clock = 1;

	walk_scratch_touch(s, 2);
	s->touched[s->n_touched++] = start;
	visit(s, start);
	if (x->q->besides && x->q->besides - 1 != start && visit(s, x->q->besides - 1))
		s->touched[s->n_touched++] = x->q->besides - 1;
	compute(x, &start, 1, s->sums);
	s->pool[0] = entry_of(key_of(x, s->sums[0], start), start);
	x->size = 1;
	x->cursor = 0;
	while (x->cursor < x->size && !late(x, &until_clock)) {
		uint64_t *entry = &s->pool[x->cursor];

		if (*entry & 1) {
			x->cursor++;
			continue;
		}
		uint32_t node = node_of_entry(*entry);
		const uint32_t *ids = s->ids;
		uint32_t n;

		*entry |= 1;
		x->cursor++;
		walk_scratch_touch(s, walk_longest(x->w));
		if (x->allowed_only) {
			n = gather_allowed(x, node, s->ids);
		} else {
			ids = s->touched + s->n_touched;
			n = gather(x, node);
			look_ahead(x);
		}
		consider(x, ids, n);
	}
}

/* Few rows are allowed: their codes, all of them, into the pool. */
static void scan_codes(struct search *x)
{
	const struct bitset *allow = x->q->allow;
	size_t n_words = bitset_words(x->w->n);
	uint32_t *ids = x->s->ids, n = 0;

	x->size = 0;
	x->cursor = 0;
	for (size_t i = 0; i < n_words; i++) {
		for (uint64_t word = allow->words[i]; word; word &= word - 1)
			ids[n++] = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(word);
		if (n > GATHER_MAX - 64 || i + 1 == n_words) {
			consider(x, ids, n);
			n = 0;
		}
	}
}

/* ---- cells ----------------------------------------------------------------------------------- */

/* The cells as a heap, the nearest first: key << 32 | cell. */
static void rank_cells(struct search *x, uint64_t *heap)
{
	const struct walk_cells *c = x->w->cells;
	const struct code_kernels *k = code_kernels_get();
	code_fn sums = x->w->distance == DISTANCE_MANHATTAN ? k->l1 : k->dot;
	struct code_query query = {.bytes = x->s->cell_bytes};
	uint32_t *ids = x->s->ids, n;

	walk_cells_query(c, k, x->q->vector, x->s->query_floats, &query);
	for (uint32_t from = 0; from < c->n; from += n) {
		n = c->n - from < GATHER_MAX ? c->n - from : GATHER_MAX;
		for (uint32_t i = 0; i < n; i++)
			ids[i] = from + i;
		sums(query.bytes, c->codes, c->stride, ids, n, x->s->sums);
		for (uint32_t i = 0; i < n; i++) {
			uint32_t key = cell_key(x, query.factor, x->s->sums[i], from + i);

			heap[from + i] = (uint64_t)key << 32 | (from + i);
		}
	}
	x->stats->distances += c->n;
	for (uint32_t i = c->n / 2; i-- > 0;)
		heap_down(heap, c->n, i);
}

/* The key of the last of the k best so far. */
static inline uint64_t bound_of(const struct search *x)
{
	return x->size < x->q->k ? UINT64_MAX : x->s->pool[x->q->k - 1];
}

/* Computes gathered rows; whether one of them is among the k best. */
static bool take_rows(struct search *x, uint32_t n)
{
	uint64_t bound = bound_of(x);

	consider(x, x->s->ids, n);
	return bound_of(x) != bound;
}

/* What a cell has of the allowed rows that are its share: in a part of the space that the filter leaves empty a
 * search does not lose its patience, and where it leaves more than elsewhere at most twice as soon. */
static inline uint32_t cell_weight(const struct search *x, uint32_t n_allowed)
{
	uint64_t weight = (uint64_t)n_allowed * CELL_WHOLE * x->w->cells->n / x->q->n_allow;

	return weight < 2 * CELL_WHOLE ? (uint32_t)weight : 2 * CELL_WHOLE;
}

/* The allowed rows of a cell, behind those that are gathered. Computes them when they are enough; whether
 * one was among the k best. */
static bool enter_cell(struct search *x, uint32_t cell, uint32_t *gathered, uint32_t *n_allowed)
{
	const struct walk_cells *c = x->w->cells;
	uint32_t at = c->begin[cell], end = c->begin[cell + 1], n_read;
	bool better = false;

	*n_allowed = 0;
	for (; at < end; at += n_read) {
		uint32_t part = end - at < GATHER_MAX ? end - at : GATHER_MAX;
		uint32_t n = x->select(x->q->allow->words, c->rows + at, part, x->w->n,
				       x->s->ids + *gathered, &n_read);

		*n_allowed += n;
		*gathered += n;
		if (*gathered >= CELL_CHUNK) {
			better |= take_rows(x, *gathered);
			*gathered = 0;
		}
	}
	return better;
}

/* From the nearest cell on, until so many in a row have not changed the k best: three for four candidates of a
 * walk, with which it finds no less than the walk does (measured). */
static void search_cells(struct search *x)
{
	const struct walk_cells *c = x->w->cells;
	uint64_t *heap = x->s->pool + x->ef + 1;
	uint64_t since = 0, patience = (uint64_t)CELL_WHOLE * (3 * (uint64_t)x->ef / 4 + 1);
	uint32_t n_cells = c->n, gathered = 0, n_allowed, until_clock = 1;

	rank_cells(x, heap);
	x->size = 0;
	x->cursor = 0;
	while (n_cells && (since < patience || x->size < x->q->k) && !late(x, &until_clock)) {
		uint32_t cell = (uint32_t)heap[0];

		heap[0] = heap[--n_cells];
		if (n_cells) {
			heap_down(heap, n_cells, 0);
			__builtin_prefetch(c->rows + c->begin[(uint32_t)heap[0]]);
			__builtin_prefetch(c->rows + c->begin[(uint32_t)heap[0]] + 16);
		}
		bool better = enter_cell(x, cell, &gathered, &n_allowed);
		since = better ? 0 : since + cell_weight(x, n_allowed);
	}
	take_rows(x, gathered);
}

static uint32_t candidates_wanted(const struct walk *w, const struct vindex_query *q)
{
	float wanted = q->oversampling * (float)q->k;

	if (w->quantizer == QUANTIZER_NONE || !(wanted > (float)q->k))
		return q->k;
	return wanted < (float)w->n ? (uint32_t)ceilf(wanted) : w->n;
}

/* Keys of codes leave out what is the same for all rows; those of sketches leave out something else. */
static void init_sketch(struct search *x, const struct code_kernels *k)
{
	const struct walk *w = x->w;
	const struct kernels *floats = kernels_get();
	float square = w->norms ? floats->l2(x->q->vector, w->scale.middle, w->dim)
				: -floats->dot(x->q->vector, x->q->vector, w->dim);

	sketch_query_init(w->sketch, k, &x->query, square, &x->sketch);
	x->sketch_offset = 128 * x->query.factor * (float)code_query_sum(&x->query, w->dim) +
			   2 * x->sketch.base;
	x->sifts = x->query.factor > 0 && x->sketch.factor > 0;
}

static void init_codes(struct search *x)
{
	const struct walk *w = x->w;
	const struct code_kernels *k = code_kernels_get();

	if (walk_has_bits(w)) {
		x->sums = bits_sums_get();
		bits_query_init(&w->scale, x->q->vector, x->s->query_floats, &x->query);
		return;
	}
	x->sums = w->distance == DISTANCE_MANHATTAN ? k->l1 : k->dot;
	code_query_init(&w->scale, k, x->q->vector, x->s->query_floats, &x->query);
	if (w->sketch)
		init_sketch(x, k);
}

/* Candidates that are compared by their rows, at least. One bit says little about a row: with such codes it
 * is every candidate. */
static uint32_t rescored(const struct search *x)
{
	const struct vindex_query *q = x->q;
	uint32_t most = q->k < 8 ? 16 : 2 * q->k;

	if (q->ignore_codes || (walk_has_bits(x->w) && q->oversampling == 0))
		return x->ef;
	if (q->oversampling > 0 && x->w->quantizer != QUANTIZER_NONE)
		return candidates_wanted(x->w, q);
	return most < x->ef / 4 ? x->ef / 4 : most;
}

static const float *code_floats(const struct walk *w, uint32_t row, float *scratch)
{
	const uint8_t *code = w->codes + row * w->stride;

	(walk_has_bits(w) ? bits_decode : code_decode)(&w->scale, code, scratch);
	return scratch;
}

/* Keys of codes are those of rows rounded to bytes, and a query rounded to bytes: by so much two of them may be in
 * the wrong order (ROUNDING standard deviations). */
static float rounding(const struct search *x)
{
	const int8_t *q = (const int8_t *)x->query.bytes;
	uint32_t squares = 0;

	if (walk_has_bits(x->w) || x->w->distance == DISTANCE_MANHATTAN || x->q->ignore_codes ||
	    x->q->oversampling > 0)
		return INFINITY;
	for (uint32_t d = 0; d < x->w->dim; d++)
		squares += (uint32_t)(q[d] * q[d]) + CODE_SPREAD * CODE_SPREAD;
	return ROUNDING * sqrtf((float)squares / 12) * x->query.factor;
}

/* The best of the pool once more, from the rows, or from what the codes say that the rows are. */
static void rescore(struct search *x, struct topk_item *out, uint32_t *n_out)
{
	const struct walk *w = x->w;
	kernel_fn distance = kernels_distance(kernels_get(), w->distance);
	bool by_codes = x->q->no_rescore && !x->q->ignore_codes && w->quantizer != QUANTIZER_NONE;
	uint32_t most = rescored(x), n = 0;
	uint64_t *rows = x->s->pool; /* the entries are overwritten by what they stand for */
	float *scratch = x->s->query_floats; /* the query is in its code by now */
	size_t row_bytes = by_codes || !rows_in_memory(&w->rows) ? 0 : rows_bytes(&w->rows);
	struct topk top;

	float bound = INFINITY;

	for (uint32_t i = 0; i < x->size && n < most; i++) {
		uint32_t row = node_of_entry(x->s->pool[i]);
		const char *at = rows_at(&w->rows, row);

		float key = float_of_entry(x, x->s->pool[i]);

		if ((x->q->allow && !bitset_get(x->q->allow, row)) || row + 1 == x->q->besides)
			continue;
		if (key > bound)
			break;
		if (n + 1 == x->q->k)
			bound = key + rounding(x);
		for (size_t b = 0; b < row_bytes && b < RESCORE_FETCH; b += 64)
			__builtin_prefetch(at + b);
		rows[n++] = row;
	}
	topk_init_ordered(&top, out, x->q->k, x->q->order);
	for (uint32_t i = 0; i < n; i++) {
		const float *row =
			by_codes ? code_floats(w, (uint32_t)rows[i], scratch)
				 : rows_fetch(&w->rows, rows[i], x->s->query_bytes, scratch);

		topk_push(&top, distance(x->q->vector, row, w->dim), rows[i]);
	}
	x->stats->distances += n;
	topk_sort(&top);
	*n_out = (uint32_t)top.count;
}

/* With plain inner products a walk leads over the few long vectors; without those that are not allowed it
 * loses its way. So they stay, the pool is larger, and what is allowed is picked from it at the end. */
static bool through_all(const struct walk *w, const struct vindex_query *q)
{
	return w->distance == DISTANCE_DOT && q->n_allow >= w->n / 5;
}

/* What is cheapest under a filter, in nanoseconds of the machine where the figures were taken; what counts is
 * how they compare, and most of each is cache lines that come from memory. Under a filter a walk needs the
 * links of more nodes the fewer rows are allowed. */
static enum plan choose_plan(const struct walk *w, const struct vindex_query *q, uint32_t ef)
{
	double share, code = 4 + 3 * (double)w->stride / 64, effort = (double)ef + 8;
	double walk, scan, cells = INFINITY;

	if (!q->allow)
		return PLAN_WALK;
	share = (double)q->n_allow / w->n;
	scan = q->n_allow * code + w->n / 128.0;
	walk = effort * (60 * code + 100 / share);
	if (w->cells)
		cells = w->cells->n * code / 4 +
			effort * ((double)w->n / w->cells->n) * (0.6 + share * code);
	if (scan <= fmin(walk, cells))
		return PLAN_SCAN;
	return cells <= walk ? PLAN_CELLS : PLAN_WALK;
}

/* A scan does not lose its way: its pool only has to hold what may be among the best. One bit says too
 * little about a row for that. */
static uint32_t scan_pool(const struct walk *w, const struct vindex_query *q, uint32_t ef)
{
	uint32_t most = candidates_wanted(w, q);

	if (walk_has_bits(w) || q->ignore_codes)
		return ef;
	if (most < SCAN_POOL * q->k)
		most = SCAN_POOL * q->k;
	return most < EF_MIN ? EF_MIN : most;
}

/* Candidates that the plan keeps. */
static uint32_t pool_size(const struct search *x, enum plan plan, uint32_t ef)
{
	const struct walk *w = x->w;

	if (plan == PLAN_SCAN)
		ef = scan_pool(w, x->q, ef);
	else if (plan == PLAN_WALK && x->q->allow && !x->allowed_only)
		ef = (uint32_t)((uint64_t)ef * w->n / x->q->n_allow);
	if (x->allowed_only)
		ef++; /* the node where it begins may not be allowed, and takes a place */
	return ef > w->n ? w->n : ef;
}

static void prepare(struct search *x, enum plan plan)
{
	const struct walk *w = x->w;
	/* nodes gathered at once: those of a list or a chunk; enough and VIAS lists */
	size_t longest = walk_longest(w);
	size_t lists = 2 * GATHER_MAX + (1 + VIAS) * longest + SELECT_SPARE;
	size_t heap = plan == PLAN_CELLS ? w->cells->n : 0;

	x->enough = w->width;

	x->s = walk_scratch_get(w, (size_t)x->ef + 1 + heap, 2 * lists + 2 * longest);
	x->found = x->s->ids + lists;
	x->vias = x->s->ids + 2 * lists;
	x->list = x->vias + longest;
	x->query.bytes = x->s->query_bytes;
	x->select = select_get();
	init_codes(x);
}

int walk_search(const struct walk *w, const struct vindex_query *q, struct topk_item *out,
		uint32_t *n_out, struct vindex_stats *stats, struct error *err)
{
	struct search x = {.w = w, .q = q, .stats = stats};
	uint32_t ef = q->ef ? q->ef : EF_MIN, start = 0;
	enum plan plan;

	if (ef < candidates_wanted(w, q))
		ef = candidates_wanted(w, q);
	plan = choose_plan(w, q, ef);
	x.allowed_only = q->allow && !through_all(w, q);
	x.ef = pool_size(&x, plan, ef);
	prepare(&x, plan);
	if (plan == PLAN_WALK) {
		start = descend(&x);
		if (x.allowed_only && is_far(&x, start)) {
			plan = w->cells ? PLAN_CELLS : PLAN_SCAN;
			x.ef = pool_size(&x, plan, ef);
			prepare(&x, plan);
		}
	}
	switch (plan) {
	case PLAN_SCAN: scan_codes(&x); break;
	case PLAN_CELLS: search_cells(&x); break;
	case PLAN_WALK:
	default:
		walk_level_0(&x, start);
		walk_scratch_done(x.s);
		break;
	}
	rescore(&x, out, n_out);
	return 0;
}
