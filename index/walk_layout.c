/* From a graph in FAISS's format to the layout of the walk. */
#include "index/walk_layout.h"

#include "base/memory.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, AHEAD = 8 };

/* The links of a row that will be read soon. */
static void fetch(const struct faiss_graph *g, uint32_t row)
{
	const uint8_t *links = faiss_graph_links(g, row, 0);

	__builtin_prefetch(links);
	__builtin_prefetch(links + 64);
}

/* New numbers: breadth first over level 0 from the entry point, then whatever it does not reach. Nodes
 * that are looked at together get numbers close together, and so do their codes and links. */
static void order_nodes(const struct faiss_graph *g, uint32_t *node_of, uint32_t *row_of)
{
	uint32_t n = g->flat.n, slots = faiss_graph_slots(g, 0);
	uint32_t head = 0, tail = 0, next_seed = 0;
	uint32_t seed = (uint32_t)g->entry;

	memset(node_of, 0xff, (size_t)n * sizeof *node_of);
	while (tail < n) {
		node_of[seed] = tail;
		row_of[tail++] = seed;
		while (head < tail) {
			const uint8_t *links = faiss_graph_links(g, row_of[head++], 0);

			if (head + AHEAD < tail)
				fetch(g, row_of[head + AHEAD]);
			for (uint32_t s = 0; s < slots; s++) {
				uint32_t to = load_u32(links + 4 * (size_t)s);

				if (to == WALK_NONE)
					break;
				if (node_of[to] == WALK_NONE) {
					node_of[to] = tail;
					row_of[tail++] = to;
				}
			}
		}
		while (next_seed < n && node_of[next_seed] != WALK_NONE)
			next_seed++;
		seed = next_seed;
	}
}

static void copy_links(const struct faiss_graph *g, const uint32_t *node_of, struct walk *w)
{
	for (uint32_t node = 0; node < w->n; node++) {
		const uint8_t *links = faiss_graph_links(g, w->row_of[node], 0);
		uint32_t *to = w->links + (size_t)node * w->width;
		uint32_t s = 0;

		if (node + AHEAD < w->n)
			fetch(g, w->row_of[node + AHEAD]);
		for (; s < w->width; s++) {
			uint32_t row = load_u32(links + 4 * (size_t)s);

			if (row == WALK_NONE)
				break;
			to[s] = node_of[row];
		}
		for (; s < w->width; s++)
			to[s] = WALK_NONE;
	}
}

/* Numbers the nodes of a level in the order of level 0. numbers: n scratch entries, filled. */
static void number_level(const struct faiss_graph *g, const struct walk *w, uint32_t level,
			 struct walk_level *l, uint32_t *numbers)
{
	l->n = 0;
	for (uint32_t node = 0; node < w->n; node++)
		numbers[node] = faiss_graph_levels(g, w->row_of[node]) > level ? l->n++ : WALK_NONE;
	l->width = faiss_graph_slots(g, level);
	l->nodes = mem_array(l->n, sizeof *l->nodes);
	l->links = mem_array((size_t)l->n * l->width + 1, sizeof *l->links);
	for (uint32_t node = 0; node < w->n; node++) {
		if (numbers[node] != WALK_NONE)
			l->nodes[numbers[node]] = node;
	}
}

static void copy_level(const struct faiss_graph *g, const struct walk *w, const uint32_t *node_of,
		       uint32_t level, struct walk_level *l, const uint32_t *numbers)
{
	for (uint32_t i = 0; i < l->n; i++) {
		const uint8_t *links = faiss_graph_links(g, w->row_of[l->nodes[i]], level);
		uint32_t *to = l->links + (size_t)i * l->width;
		uint32_t s = 0;

		for (; s < l->width; s++) {
			uint32_t row = load_u32(links + 4 * (size_t)s);

			if (row == WALK_NONE)
				break;
			to[s] = numbers[node_of[row]];
		}
		for (; s < l->width; s++)
			to[s] = WALK_NONE;
	}
}

static void copy_upper_levels(const struct faiss_graph *g, const uint32_t *node_of, struct walk *w)
{
	uint32_t *numbers = mem_array(w->n, sizeof *numbers);
	uint32_t *below = mem_array(w->n, sizeof *below);

	w->n_levels = (uint32_t)g->max_level;
	w->levels = mem_array(w->n_levels, sizeof *w->levels);
	w->entry = node_of[g->entry];
	for (uint32_t level = 1; level <= w->n_levels; level++) {
		struct walk_level *l = &w->levels[level - 1];

		number_level(g, w, level, l, numbers);
		copy_level(g, w, node_of, level, l, numbers);
		if (level > 1) {
			l->below = mem_array(l->n, sizeof *l->below);
			for (uint32_t i = 0; i < l->n; i++)
				l->below[i] = below[l->nodes[i]];
		}
		if (level == w->n_levels)
			w->entry = numbers[w->entry];
		uint32_t *swap = below;
		below = numbers;
		numbers = swap;
	}
	free(numbers);
	free(below);
}

static size_t up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* One mapping for what searches touch, on huge pages if it is large: the walk goes everywhere in it, and
 * each small page would cost a miss of the translation buffer. */
static int map_block(struct walk *w, struct error *err)
{
	size_t codes = up((size_t)w->n * w->stride, 4096);
	size_t links = up((size_t)w->n * w->width * sizeof(uint32_t), 4096);
	size_t norms = w->distance == DISTANCE_EUCLID ? up((size_t)w->n * sizeof(float), 4096) : 0;
	size_t rows = up((size_t)w->n * sizeof(uint32_t), 4096);
	size_t bytes = codes + links + norms + 2 * rows;
	bool huge = bytes >= 4 * (size_t)HUGE_PAGE;

	if (huge)
		bytes = up(bytes, HUGE_PAGE) + HUGE_PAGE; /* room to align it */
	w->block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->block == MAP_FAILED) {
		w->block = NULL;
		return error_set(err, ERR_NOMEM, "opening the graph takes %zu bytes of memory",
				 bytes);
	}
	w->block_bytes = bytes;
	char *at = w->block;
	if (huge) {
		at = (char *)up((size_t)at, HUGE_PAGE);
		madvise(at, bytes - HUGE_PAGE, MADV_HUGEPAGE); /* a wish */
	}
	w->codes = (uint8_t *)at;
	w->links = (uint32_t *)(void *)(at + codes);
	w->norms = norms ? (float *)(void *)(at + codes + links) : NULL;
	w->row_of = (uint32_t *)(void *)(at + codes + links + norms);
	w->node_of = (uint32_t *)(void *)(at + codes + links + norms + rows);
	return 0;
}

static void encode_rows(struct walk *w)
{
	/* in the order of the file, which may have to be read from disk */
	for (uint32_t row = 0; row < w->n; row++) {
		uint32_t node = w->node_of[row];
		float norm = code_encode(&w->scale, walk_row(w, row),
					 w->codes + (size_t)node * w->stride);

		if (w->norms)
			w->norms[node] = norm;
	}
}

int walk_new(const struct faiss_graph *g, const struct vindex_rows *rows, enum distance distance,
	     struct walk **out, struct error *err)
{
	struct walk *w = mem_zalloc(sizeof *w);
	int rc;

	w->rows = *rows;
	w->distance = distance;
	w->n = rows->n;
	w->dim = rows->dim;
	w->stride = code_stride(rows->dim);
	w->width = faiss_graph_slots(g, 0);
	rc = map_block(w, err);
	if (rc) {
		walk_free(w);
		return rc;
	}
	order_nodes(g, w->node_of, w->row_of);
	copy_links(g, w->node_of, w);
	copy_upper_levels(g, w->node_of, w);
	code_scale_init(&w->scale, rows, distance);
	encode_rows(w);
	*out = w;
	return 0;
}

void walk_free(struct walk *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->n_levels && w->levels; i++) {
		free(w->levels[i].links);
		free(w->levels[i].nodes);
		free(w->levels[i].below);
	}
	free(w->levels);
	code_scale_fini(&w->scale);
	if (w->block)
		munmap(w->block, w->block_bytes);
	free(w);
}

size_t walk_link_bytes(const struct walk *w)
{
	size_t bytes = (size_t)w->n * w->width * sizeof(uint32_t);

	for (uint32_t i = 0; i < w->n_levels; i++)
		bytes += (size_t)w->levels[i].n * w->levels[i].width * sizeof(uint32_t);
	return bytes;
}

size_t walk_memory_bytes(const struct walk *w)
{
	size_t bytes =
		(size_t)w->n * (w->stride + 2 * sizeof(uint32_t) + (w->norms ? sizeof(float) : 0));

	for (uint32_t i = 0; i < w->n_levels; i++)
		bytes += (size_t)w->levels[i].n * 2 * sizeof(uint32_t);
	return bytes + walk_link_bytes(w);
}
