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
 * SIGMOD 2024). Inner products are an exception (through_all). When few rows are allowed at all, every one of them is looked at instead.
 */
#include "base/clock.h"
#include "index/walk_layout.h"
#include "index/walk_scratch.h"
#include <math.h>
#include <string.h>

enum {
	EF_MIN = 64,
	GATHER_MAX = 1024,
	CLOCK_EVERY = 16, /* expansions between looks at the clock */
	SCAN_CHUNK = 64,
	SCAN_POOL = 4,       /* candidates kept by a scan, times k */
	FETCH_LINES = 4,     /* of a code, fetched while gathering */
	RESCORE_FETCH = 512, /* bytes of a row, fetched ahead */
};

struct search {
	const struct walk *w;
	const struct vindex_query *q;
	code_fn sums; /* of the codes */
	struct walk_scratch *s;
	struct code_query query;
	struct vindex_stats *stats;
	uint32_t ef;
	uint32_t size;     /* of the pool */
	uint32_t cursor;   /* everything before it is expanded */
	bool allowed_only; /* only allowed nodes enter the pool */
	uint32_t enough;   /* then: gathered nodes that make a second hop needless */
};

/* ---- keys ------------------------------------------------------------------------------------ */

static inline uint32_t key_of_float(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof u);
	return u >> 31 ? ~u : u | 0x80000000u;
}

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

static inline uint64_t entry_of(uint32_t key, uint32_t node)
{
	return (uint64_t)key << 32 | (uint64_t)node << 1;
}
static inline uint32_t node_of_entry(uint64_t entry)
{
	return (uint32_t)entry >> 1;
}

static inline void fetch_links(const struct walk *w, uint32_t node)
{
	const char *links = (const char *)walk_links(w, node).at;

	for (size_t b = 0; b < w->slots * sizeof(uint32_t); b += 64)
		__builtin_prefetch(links + b);
	__builtin_prefetch(links + w->slots * sizeof(uint32_t) - 1);
}

/* Position of the first entry that is not smaller. */
static inline uint32_t position(const uint64_t *pool, uint32_t size, uint64_t entry)
{
	const uint64_t *base = pool;

	while (size > 1) {
		uint32_t half = size / 2;

		base += base[half - 1] < entry ? half : 0;
		size -= half;
	}
	return (uint32_t)(base - pool) + (size == 1 && *base < entry);
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
	uint32_t n = 0, i;

	do {
		for (i = 0; i < l.most && l.at[i] < n_nodes; i++) {
			to[n] = l.at[i];
			n += visit(x->s, l.at[i]);
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
		uint32_t j;
		/* also those seen before: to ask costs more than to fetch what is near already */
		do {
			for (j = 0; j < l.most && l.at[j] < n_nodes; j++)
				fetch_code(x->w, l.at[j]);
		} while (walk_more(x->w, &l, j));
	}
}

/* Neighbours of `via` that are allowed and were not seen before, after the n in ids. Without branches on
 * the bits, which no processor can guess. */
static uint32_t gather_second(struct search *x, uint32_t via, uint32_t *ids, uint32_t n)
{
	struct walk_list l = walk_links(x->w, via);
	const uint64_t *allow = x->q->allow->words;
	uint64_t *visited = x->s->visited;
	const uint32_t n_nodes = x->w->n;
	uint32_t first = n, i;

	do {
		for (i = 0; i < l.most && l.at[i] < n_nodes; i++) {
			uint32_t node = l.at[i], shift = node & 63;
			uint64_t fresh = (allow[node >> 6] & ~visited[node >> 6]) >> shift & 1;

			visited[node >> 6] |= fresh << shift;
			ids[n] = node;
			n += (uint32_t)fresh;
		}
	} while (walk_more(x->w, &l, i));
	walk_scratch_touch(x->s, n - first);
	memcpy(x->s->touched + x->s->n_touched, ids + first, (n - first) * sizeof *ids);
	x->s->n_touched += n - first;
	for (i = first; i < n; i++)
		fetch_code(x->w, ids[i]);
	return n;
}

/* Under a filter: the allowed ones of a node's neighbours; and through those that are not allowed, in two
 * hops, more until there are enough. */
static uint32_t gather_allowed(struct search *x, uint32_t node, uint32_t *ids)
{
	struct walk_scratch *s = x->s;
	const uint64_t *allow = x->q->allow->words;
	uint32_t *vias = ids + GATHER_MAX + 2 * (size_t)x->w->width;
	uint32_t n_seen = fresh_neighbors(x, node), n = 0, n_vias = 0;
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
	for (uint32_t i = 0; i < n_vias && n < x->enough; i++)
		n = gather_second(x, vias[i], ids, n);
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
			compute(x, x->s->ids, n, x->s->sums);
			for (uint32_t i = 0; i < n; i++) {
				uint32_t key = key_of(x, x->s->sums[i], x->s->ids[i]);

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
		walk_scratch_touch(s, x->w->width);
		if (x->allowed_only) {
			n = gather_allowed(x, node, s->ids);
		} else {
			ids = s->touched + s->n_touched;
			n = gather(x, node);
			look_ahead(x);
		}
		compute(x, ids, n, s->sums);
		insert_all(x, ids, s->sums, n);
	}
}

/* Few rows are allowed: their codes, all of them, into the pool. */
static void scan_codes(struct search *x)
{
	const struct bitset *allow = x->q->allow;
	uint32_t *ids = x->s->ids, n = 0;

	x->size = 0;
	x->cursor = 0;
	for (size_t i = 0; i < bitset_words(x->w->n); i++) {
		for (uint64_t word = allow->words[i]; word; word &= word - 1) {
			ids[n] = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(word);
			fetch_code(x->w, ids[n++]);
		}
		if (n >= SCAN_CHUNK || i + 1 == bitset_words(x->w->n)) {
			compute(x, ids, n, x->s->sums);
			insert_all(x, ids, x->s->sums, n);
			n = 0;
		}
	}
}

static uint32_t candidates_wanted(const struct walk *w, const struct vindex_query *q)
{
	float wanted = q->oversampling * (float)q->k;

	if (w->quantizer == QUANTIZER_NONE || !(wanted > (float)q->k))
		return q->k;
	return wanted < (float)w->n ? (uint32_t)ceilf(wanted) : w->n;
}

static void init_codes(struct search *x)
{
	const struct walk *w = x->w;
	const struct code_kernels *k = code_kernels_get();

	if (walk_has_bits(w)) {
		x->sums = bits_sums;
		bits_query_init(&w->scale, x->q->vector, x->s->query_floats, &x->query);
		return;
	}
	x->sums = w->distance == DISTANCE_MANHATTAN ? k->l1 : k->dot;
	code_query_init(&w->scale, k, x->q->vector, x->s->query_floats, &x->query);
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

/* The best of the pool once more, from the rows, or from what the codes say that the rows are. */
static void rescore(struct search *x, struct topk_item *out, uint32_t *n_out)
{
	const struct walk *w = x->w;
	kernel_fn distance = kernels_distance(kernels_get(), w->distance);
	bool by_codes = x->q->no_rescore && !x->q->ignore_codes && w->quantizer != QUANTIZER_NONE;
	uint32_t most = rescored(x), n = 0;
	uint64_t *rows = x->s->pool; /* the entries are overwritten by what they stand for */
	float *scratch = x->s->query_floats; /* the query is in its code by now */
	size_t row_bytes = by_codes ? 0 : rows_bytes(&w->rows);
	struct topk top;

	for (uint32_t i = 0; i < x->size && n < most; i++) {
		uint32_t row = node_of_entry(x->s->pool[i]);
		const char *at = rows_at(&w->rows, row);

		if ((x->q->allow && !bitset_get(x->q->allow, row)) || row + 1 == x->q->besides)
			continue;
		for (size_t b = 0; b < row_bytes && b < RESCORE_FETCH; b += 64)
			__builtin_prefetch(at + b);
		rows[n++] = row;
	}
	topk_init_ordered(&top, out, x->q->k, x->q->order);
	for (uint32_t i = 0; i < n; i++) {
		const float *row = by_codes ? code_floats(w, (uint32_t)rows[i], scratch)
					    : rows_get(&w->rows, rows[i], scratch);

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

/* In looks at a code: a walk takes about 60 for each place of its pool, and more the fewer rows are allowed,
 * since it goes through those that are not (measured: 50 % 31 us, 10 % 55 us, 5 % 115 us; a look 6 ns). */
static bool better_scanned(const struct walk *w, const struct vindex_query *q, uint32_t ef)
{
	uint64_t walk;

	if (!q->allow)
		return false;
	walk = (uint64_t)(ef < EF_MIN ? EF_MIN : ef) * (60 + 10 * (uint64_t)w->n / q->n_allow);
	return q->scan || q->n_allow <= walk || q->n_allow <= w->n / 64;
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

int walk_search(const struct walk *w, const struct vindex_query *q, struct topk_item *out,
		uint32_t *n_out, struct vindex_stats *stats, struct error *err)
{
	uint32_t ef = q->ef ? q->ef : EF_MIN;
	/* nodes gathered at once: a list and one more than is enough, or a chunk of a scan */
	size_t gather_room = GATHER_MAX + 3 * (size_t)w->width;
	struct search x = {.w = w, .q = q, .stats = stats};
	bool scan;

	if (ef < candidates_wanted(w, q))
		ef = candidates_wanted(w, q);
	scan = better_scanned(w, q, ef);
	x.allowed_only = q->allow && !through_all(w, q);
	if (scan)
		ef = scan_pool(w, q, ef);
	else if (q->allow && !x.allowed_only)
		ef = (uint32_t)((uint64_t)ef * w->n / q->n_allow);
	if (x.allowed_only)
		ef++; /* the node where it begins may not be allowed, and takes a place */
	x.ef = ef > w->n ? w->n : ef;
	x.enough = w->width;
	x.s = walk_scratch_get(w, (size_t)x.ef + 1, gather_room);
	x.query.bytes = x.s->query_bytes;
	init_codes(&x);
	if (scan) {
		scan_codes(&x);
	} else {
		walk_level_0(&x, descend(&x));
		walk_scratch_done(x.s);
	}
	rescore(&x, out, n_out);
	return 0;
}
