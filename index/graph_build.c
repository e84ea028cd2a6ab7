/* Builds an HNSW graph with several threads.
 *
 * All levels are drawn beforehand, so the entry point is known and every array has its final place.
 * A thread takes the next row of a fixed shuffle, searches each level of the row for candidates,
 * chooses its neighbours, writes its own lists, and only then, level 0 first, adds itself to the lists of
 * its neighbours: whoever meets a node can go on from it on that level and on all below.
 *
 * Lists are read without a lock (a reader may meet a list half changed: every entry in it is a node that
 * exists) and changed under a lock of one byte per node.
 */
#include "index/graph_build.h"
#include "index/walk_entry.h"

#include "base/assert.h"
#include "base/memory.h"
#include "base/prng.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = UINT32_MAX, REPORT_EVERY = 1024 };

struct builder {
	const struct vindex_build *b;
	struct graph *g;
	struct graph_codes codes;
	uint32_t *order;        /* n: rows as they are inserted; the entry point first */
	_Atomic uint8_t *locks; /* n */
	_Atomic uint32_t next;
	_Atomic uint32_t done;
	_Atomic bool cancelled;
};

/* What a thread works with. Entries: key << 32 | node << 1 | expanded. */
struct worker {
	struct builder *b;
	uint64_t *visited;
	uint32_t *touched;
	uint32_t n_touched, touched_room;
	uint64_t *pool;
	uint32_t size, ef;
	uint32_t *ids, *keys; /* room for a list or a pool */
	int32_t *sums;
	struct graph_query query, other; /* the new row; a chosen neighbour */
	uint32_t *chosen[64];            /* per level: the neighbours of the new row */
	uint32_t n_chosen[64];
	uint64_t *candidates; /* for a list that is full */
	uint64_t *covered;
};

/* ---- lists ----------------------------------------------------------------------------------- */

static uint32_t *list_of(const struct graph *g, uint32_t node, uint32_t level)
{
	return g->neighbors + g->offsets[node] + g->cumulative[level];
}
static uint32_t width_of(const struct graph *g, uint32_t level)
{
	return g->cumulative[level + 1] - g->cumulative[level];
}
static inline uint32_t link_get(const uint32_t *slot)
{
	return __atomic_load_n(slot, __ATOMIC_ACQUIRE);
}
static inline void link_set(uint32_t *slot, uint32_t to)
{
	__atomic_store_n(slot, to, __ATOMIC_RELEASE);
}

static void lock(struct builder *b, uint32_t node)
{
	while (atomic_exchange_explicit(&b->locks[node], 1, memory_order_acquire)) {
		/* held for microseconds, unless its thread was put aside */
		for (int i = 0; atomic_load_explicit(&b->locks[node], memory_order_relaxed); i++) {
			if (i % 1024 == 1023)
				sched_yield();
		}
	}
}
static void unlock(struct builder *b, uint32_t node)
{
	atomic_store_explicit(&b->locks[node], 0, memory_order_release);
}

/* ---- searching ------------------------------------------------------------------------------- */

static inline bool visit(struct worker *w, uint32_t node)
{
	uint64_t bit = 1ull << (node & 63), *word = &w->visited[node >> 6];
	bool fresh = !(*word & bit);

	*word |= bit;
	return fresh;
}

/* Neighbours of node not seen before, in ids; their codes are asked for. */
static uint32_t gather(struct worker *w, uint32_t node, uint32_t level)
{
	const struct graph *g = w->b->g;
	const uint32_t *list = list_of(g, node, level);
	uint32_t width = width_of(g, level), n = 0;

	if (w->n_touched + width > w->touched_room) {
		w->touched_room = 2 * (w->n_touched + width);
		w->touched = mem_resize(w->touched, w->touched_room * sizeof *w->touched);
	}
	for (uint32_t i = 0; i < width; i++) {
		uint32_t to = link_get(&list[i]);

		if (to == NONE)
			break;
		w->ids[n] = to;
		__builtin_prefetch(w->b->codes.codes + (size_t)to * w->b->codes.stride);
		__builtin_prefetch(&w->b->codes.norms[to]);
		n += visit(w, to);
	}
	memcpy(w->touched + w->n_touched, w->ids, n * sizeof *w->ids);
	w->n_touched += n;
	return n;
}

static void forget_visits(struct worker *w)
{
	for (uint32_t i = 0; i < w->n_touched; i++)
		w->visited[w->touched[i] >> 6] = 0;
	w->n_touched = 0;
}

static uint32_t pool_insert(struct worker *w, uint64_t entry)
{
	uint32_t at = position(w->pool, w->size, entry);

	if (w->size == w->ef) {
		if (at == w->size)
			return at;
		w->size--;
	}
	memmove(w->pool + at + 1, w->pool + at, (w->size - at) * sizeof *w->pool);
	w->pool[at] = entry;
	w->size++;
	return at;
}

/* The ef nearest nodes of a level that a walk from the pool's entries finds, into the pool. */
static void search_level(struct worker *w, uint32_t start, uint32_t start_key, uint32_t level)
{
	const struct graph *g = w->b->g;
	uint32_t cursor = 0;

	w->ef = w->b->g->ef_construct;
	w->pool[0] = entry_of(start_key, start);
	w->size = 1;
	w->ids[0] = start;
	visit(w, start);
	if (w->touched_room == 0) {
		w->touched_room = 1024;
		w->touched = mem_resize(NULL, w->touched_room * sizeof *w->touched);
	}
	w->touched[w->n_touched++] = start;
	while (cursor < w->size) {
		if (w->pool[cursor] & 1) {
			cursor++;
			continue;
		}
		uint32_t node = node_of_entry(w->pool[cursor]);

		w->pool[cursor++] |= 1;
		if (cursor < w->size) {
			uint32_t second = node_of_entry(w->pool[cursor]);
			const char *list = (const char *)list_of(g, second, level);

			__builtin_prefetch(list);
			__builtin_prefetch(list + 64);
		}
		uint32_t n = gather(w, node, level);
		graph_keys(&w->b->codes, &w->query, w->ids, n, w->sums, w->keys);
		for (uint32_t i = 0; i < n; i++) {
			uint64_t entry = entry_of(w->keys[i], w->ids[i]);

			if (w->size == w->ef && entry >= w->pool[w->size - 1])
				continue;
			uint32_t at = pool_insert(w, entry);
			cursor = at < cursor ? at : cursor;
		}
	}
	forget_visits(w);
}

/* Greedy on one level. */
static void step_down(struct worker *w, uint32_t *at, uint32_t *key, uint32_t level)
{
	const struct graph *g = w->b->g;

	for (uint32_t from = NONE; from != *at;) {
		const uint32_t *list = list_of(g, *at, level);
		uint32_t n = 0;

		from = *at;
		for (; n < width_of(g, level); n++) {
			w->ids[n] = link_get(&list[n]);
			if (w->ids[n] == NONE)
				break;
		}
		graph_keys(&w->b->codes, &w->query, w->ids, n, w->sums, w->keys);
		for (uint32_t i = 0; i < n; i++) {
			if (w->keys[i] < *key) {
				*key = w->keys[i];
				*at = w->ids[i];
			}
		}
	}
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* Is a candidate so near to a chosen node that it can be reached through it? Algorithm 4 asks for nearer
 * than to the node itself. Asking for a tenth of the squared distance more keeps some longer links, and
 * walks over the graph need about half the effort for the same recall (the idea of Vamana, Subramanya
 * et al., NeurIPS 2019, where the factor is larger). Inner products have no zero to take a tenth from. */
static inline bool covered(const struct graph_codes *c, uint32_t to_chosen, uint32_t to_node)
{
	return c->inner_product ? to_chosen < to_node
				: (uint64_t)to_chosen * 11 < (uint64_t)to_node * 10;
}

static int compare_entries(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Of n candidates sorted by key, the nearest first: each that no chosen one covers, at most `most`. Writes
 * the nodes; returns how many. With inner products that leaves too few, since the few long vectors cover
 * almost everything; there the nearest of the covered ones fill the list. */
static uint32_t choose(struct worker *w, uint64_t *candidates, uint32_t n, uint32_t most,
		       uint32_t *out)
{
	uint32_t n_out = 0, n_covered = 0;

	while (n && n_out < most) {
		uint32_t node = node_of_entry(candidates[0]);
		uint32_t left = 0;

		out[n_out++] = node;
		if (n_out == most)
			break;
		for (uint32_t i = 1; i < n; i++)
			w->ids[i - 1] = node_of_entry(candidates[i]);
		graph_query_init(&w->b->codes, node, &w->other);
		graph_keys(&w->b->codes, &w->other, w->ids, n - 1, w->sums, w->keys);
		for (uint32_t i = 1; i < n; i++) {
			if (covered(&w->b->codes, w->keys[i - 1], (uint32_t)(candidates[i] >> 32)))
				w->covered[n_covered++] = candidates[i];
			else
				candidates[left++] = candidates[i];
		}
		n = left;
	}
	if (w->b->codes.inner_product && n_out < most) {
		qsort(w->covered, n_covered, sizeof *w->covered, compare_entries);
		for (uint32_t i = 0; i < n_covered && n_out < most; i++)
			out[n_out++] = node_of_entry(w->covered[i]);
	}
	return n_out;
}

/* A full list and one more node: choose again. The list is locked. */
static void choose_again(struct worker *w, uint32_t node, uint32_t more, uint32_t *list,
			 uint32_t width)
{
	uint32_t n = width + 1;

	for (uint32_t i = 0; i < width; i++)
		w->ids[i] = link_get(&list[i]);
	w->ids[width] = more;
	graph_query_init(&w->b->codes, node, &w->other);
	graph_keys(&w->b->codes, &w->other, w->ids, n, w->sums, w->keys);
	for (uint32_t i = 0; i < n; i++)
		w->candidates[i] = entry_of(w->keys[i], w->ids[i]);
	qsort(w->candidates, n, sizeof *w->candidates, compare_entries);
	uint32_t *chosen = w->ids + width + 1; /* beyond what choose() uses */
	uint32_t n_chosen = choose(w, w->candidates, n, width, chosen);
	for (uint32_t i = 0; i < width; i++)
		link_set(&list[i], i < n_chosen ? chosen[i] : NONE);
}

static void link_back(struct worker *w, uint32_t from, uint32_t to, uint32_t level)
{
	uint32_t width = width_of(w->b->g, level), i = 0;
	uint32_t *list = list_of(w->b->g, from, level);

	lock(w->b, from);
	while (i < width && list[i] != NONE && list[i] != to)
		i++;
	if (i == width)
		choose_again(w, from, to, list, width);
	else
		link_set(&list[i], to);
	unlock(w->b, from);
}

/* ---- building -------------------------------------------------------------------------------- */

static void insert(struct worker *w, uint32_t row)
{
	struct graph *g = w->b->g;
	uint32_t top = g->levels[row] - 1, at = g->entry, key;

	if (row == g->entry)
		return;
	graph_query_init(&w->b->codes, row, &w->query);
	graph_keys(&w->b->codes, &w->query, &at, 1, w->sums, &key);
	for (uint32_t level = g->max_level; level > top; level--)
		step_down(w, &at, &key, level);
	for (uint32_t level = top + 1; level-- > 0;) {
		search_level(w, at, key, level);
		at = node_of_entry(w->pool[0]);
		key = (uint32_t)(w->pool[0] >> 32);
		w->n_chosen[level] = choose(w, w->pool, w->size, g->m, w->chosen[level]);
	}
	for (uint32_t level = 0; level <= top; level++) {
		uint32_t *list = list_of(g, row, level);

		for (uint32_t i = 0; i < w->n_chosen[level]; i++)
			link_set(&list[i], w->chosen[level][i]);
	}
	for (uint32_t level = 0; level <= top; level++) {
		for (uint32_t i = 0; i < w->n_chosen[level]; i++)
			link_back(w, w->chosen[level][i], row, level);
	}
}

static void worker_init(struct worker *w, struct builder *b)
{
	const struct graph *g = b->g;
	size_t list = (size_t)2 * g->m + 1, pool = (size_t)g->ef_construct + 2;
	size_t room = (list > pool ? list : pool) + list;

	*w = (struct worker){.b = b};
	w->visited = mem_array(((size_t)g->n + 63) / 64, sizeof *w->visited);
	w->pool = mem_array(pool, sizeof *w->pool);
	w->ids = mem_array(room, sizeof *w->ids);
	w->keys = mem_array(room, sizeof *w->keys);
	w->sums = mem_array(room, sizeof *w->sums);
	w->candidates = mem_array(list, sizeof *w->candidates);
	w->covered = mem_array(room, sizeof *w->covered);
	w->query.bytes = mem_aligned(CODE_ALIGN, b->codes.stride);
	w->other.bytes = mem_aligned(CODE_ALIGN, b->codes.stride);
	assert(g->max_level < 64);
	for (uint32_t level = 0; level <= g->max_level; level++)
		w->chosen[level] = mem_array(g->m, sizeof **w->chosen);
}

static void worker_fini(struct worker *w)
{
	free(w->visited);
	free(w->touched);
	free(w->pool);
	free(w->ids);
	free(w->keys);
	free(w->sums);
	free(w->candidates);
	free(w->covered);
	free(w->query.bytes);
	free(w->other.bytes);
	for (uint32_t level = 0; level < 64; level++)
		free(w->chosen[level]);
}

static void work(struct builder *b, bool reports)
{
	struct worker w;
	uint32_t i;

	worker_init(&w, b);
	while ((i = atomic_fetch_add(&b->next, 1)) < b->g->n) {
		if (i % 64 == 0 && b->b->cancel && __atomic_load_n(b->b->cancel, __ATOMIC_RELAXED))
			atomic_store(&b->cancelled, true);
		if (atomic_load_explicit(&b->cancelled, memory_order_relaxed))
			break;
		insert(&w, b->order[i]);
		uint32_t done = atomic_fetch_add(&b->done, 1) + 1;
		if (reports && b->b->progress && i % REPORT_EVERY < b->b->threads)
			b->b->progress(b->b->progress_ctx, done);
	}
	worker_fini(&w);
}

static void *work_thread(void *arg)
{
	work(arg, false);
	return NULL;
}

static void shuffle(struct builder *b)
{
	struct prng p;

	prng_seed(&p, 789);
	for (uint32_t i = 0; i < b->g->n; i++)
		b->order[i] = i;
	b->order[b->g->entry] = 0;
	b->order[0] = b->g->entry;
	for (uint32_t i = b->g->n; i-- > 2;) {
		uint32_t j = 1 + (uint32_t)prng_below(&p, i), swap = b->order[i];

		b->order[i] = b->order[j];
		b->order[j] = swap;
	}
}

static void run(struct builder *b)
{
	uint32_t n_threads = b->b->threads ? b->b->threads : 1, started = 0;
	pthread_t *threads = mem_array(n_threads, sizeof *threads);

	/* the calling thread is one of them; fewer are no error */
	while (started + 1 < n_threads &&
	       pthread_create(&threads[started], NULL, work_thread, b) == 0)
		started++;
	work(b, true);
	for (uint32_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	if (b->b->progress && !atomic_load(&b->cancelled))
		b->b->progress(b->b->progress_ctx, b->g->n);
	free(threads);
}

int graph_build(const struct vindex_build *build, struct graph **out, struct error *err)
{
	struct builder b = {.b = build};
	int rc;

	*out = NULL;
	if (build->cancel && __atomic_load_n(build->cancel, __ATOMIC_RELAXED))
		return error_set(err, ERR_CLOSED, "cancelled before the first row");
	rc = graph_new(build->rows.n, build->config.m, &b.g, err);
	if (rc)
		return rc;
	b.g->ef_construct = build->config.ef_construct > build->config.m
				    ? build->config.ef_construct
				    : build->config.m;
	rc = graph_codes_init(&b.codes, &build->rows, build->distance, err);
	b.order = malloc((size_t)b.g->n * sizeof *b.order);
	b.locks = calloc(b.g->n, sizeof *b.locks);
	if (!rc && (!b.order || !b.locks))
		rc = error_set(err, ERR_NOMEM, "no memory to build the graph of %u rows", b.g->n);
	if (!rc) {
		shuffle(&b);
		run(&b);
		if (atomic_load(&b.cancelled))
			rc = error_set(err, ERR_CLOSED, "cancelled after %u rows",
				       atomic_load(&b.done));
	}
	graph_codes_fini(&b.codes);
	free(b.order);
	free(b.locks);
	if (rc)
		graph_free(b.g);
	else
		*out = b.g;
	return rc;
}
