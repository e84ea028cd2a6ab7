/* From a graph in FAISS's format to the layout of the walk. */
#include "index/walk_layout.h"

#include "base/assert.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

/* One list of a level above 0, in the numbers of that level. */
static void copy_list(const struct faiss_graph *g, uint32_t node, uint32_t level,
		      const uint32_t *numbers, uint32_t *to)
{
	const uint8_t *links = faiss_graph_links(g, node, level);
	uint32_t slots = faiss_graph_slots(g, level), s = 0;

	for (; s < slots; s++) {
		uint32_t neighbor = load_u32(links + 4 * (size_t)s);

		if (neighbor == WALK_NONE)
			break;
		to[s] = numbers[neighbor];
	}
	for (; s < slots; s++)
		to[s] = WALK_NONE;
}

/* Numbers the nodes of a level. numbers: n entries, filled. */
static void number_level(const struct faiss_graph *g, uint32_t level, struct walk_level *l,
			 uint32_t *numbers)
{
	l->n = 0;
	for (uint32_t node = 0; node < g->flat.n; node++)
		numbers[node] = faiss_graph_levels(g, node) > level ? l->n++ : WALK_NONE;
	l->width = faiss_graph_slots(g, level);
	l->nodes = mem_array(l->n, sizeof *l->nodes);
	l->links = mem_array((size_t)l->n * l->width + 1, sizeof *l->links);
	for (uint32_t node = 0; node < g->flat.n; node++) {
		if (numbers[node] != WALK_NONE)
			l->nodes[numbers[node]] = node;
	}
}

static void copy_upper_levels(const struct faiss_graph *g, struct walk *w)
{
	uint32_t *numbers = mem_array(w->n, sizeof *numbers);
	uint32_t *below = mem_array(w->n, sizeof *below);

	w->n_levels = (uint32_t)g->max_level;
	w->levels = mem_array(w->n_levels, sizeof *w->levels);
	w->entry = (uint32_t)g->entry;
	for (uint32_t level = 1; level <= w->n_levels; level++) {
		struct walk_level *l = &w->levels[level - 1];

		number_level(g, level, l, numbers);
		for (uint32_t i = 0; i < l->n; i++)
			copy_list(g, l->nodes[i], level, numbers, l->links + (size_t)i * l->width);
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

static uint32_t n_links(const struct faiss_graph *g, uint32_t node)
{
	const uint8_t *links = faiss_graph_links(g, node, 0);
	uint32_t slots = faiss_graph_slots(g, 0), n = 0;

	while (n < slots && load_u32(links + 4 * (size_t)n) != WALK_NONE)
		n++;
	return n;
}

/* Words that the lists take beyond so many slots, one of which then leads there. */
static uint32_t n_beyond(const struct walk *w, const uint32_t *with, uint32_t slots)
{
	uint32_t words = 0;

	for (uint32_t n = slots; n <= w->width; n++)
		words += with[n] * (n - (slots - 1) + 1);
	return words;
}

/* Most lists are far shorter than the longest allowed: as many slots as two lists of three need. The rest of
 * the others lies elsewhere. (Searches are 2 % faster with as many as four of five need.) Compact: as many as
 * take the least memory, which makes searches up to 8 % slower. */
static void choose_slots(const struct faiss_graph *g, struct walk *w, bool compact)
{
	uint32_t *with = mem_array((size_t)w->width + 1, sizeof *with), fit = 0;
	uint64_t least = UINT64_MAX;

	for (uint32_t node = 0; node < w->n; node++)
		with[n_links(g, node)]++;
	w->slots = 0;
	for (uint32_t slots = WALK_SLOTS; slots < w->width + 1 + WALK_SLOTS; slots += WALK_SLOTS) {
		uint32_t more = n_beyond(w, with, slots);
		uint64_t words = (uint64_t)w->n * slots + more;

		if (compact ? words >= least : 3 * (uint64_t)fit >= 2 * (uint64_t)w->n)
			break;
		least = words;
		w->slots = slots;
		w->n_more = more;
		for (uint32_t n = slots - WALK_SLOTS; n < slots && n <= w->width; n++)
			fit += with[n];
	}
	free(with);
}

static void copy_level_0(const struct faiss_graph *g, struct walk *w)
{
	uint32_t at = 0;

	for (uint32_t node = 0; node < w->n; node++) {
		const uint8_t *links = faiss_graph_links(g, node, 0);
		uint32_t *to = w->links + (size_t)node * w->slots;
		uint32_t n = n_links(g, node), here = n < w->slots ? n : w->slots - 1;

		for (uint32_t i = 0; i < w->slots; i++)
			to[i] = i < here ? load_u32(links + 4 * (size_t)i) : WALK_NONE;
		if (here == n)
			continue;
		to[here] = WALK_MORE + at;
		for (uint32_t i = here; i < n; i++)
			w->more[at++] = load_u32(links + 4 * (size_t)i);
		w->more[at++] = WALK_NONE;
	}
	assert(at == w->n_more);
}

/* One mapping for what searches touch. */
static int map_block(struct walk *w, struct error *err)
{
	size_t codes = pages_up((size_t)w->n * w->stride);
	size_t links = pages_up((size_t)w->n * w->slots * sizeof(uint32_t));
	size_t more = pages_up((size_t)w->n_more * sizeof(uint32_t));
	size_t norms = w->distance == DISTANCE_EUCLID ? pages_up((size_t)w->n * sizeof(float)) : 0;
	int rc = pages_map(&w->pages, codes + links + more + norms, "opening the graph", err);
	char *at = w->pages.at;

	if (rc)
		return rc;
	w->codes = (uint8_t *)at;
	w->links = (uint32_t *)(void *)(at + codes);
	w->more = (uint32_t *)(void *)(at + codes + links);
	w->norms = norms ? (float *)(void *)(at + codes + links + more) : NULL;
	return 0;
}

static void encode_rows(struct walk *w)
{
	float *scratch = mem_array(w->dim, sizeof *scratch);

	for (uint32_t row = 0; row < w->n; row++) {
		const float *from = rows_get(&w->rows, row, scratch);
		uint8_t *to = w->codes + row * w->stride;
		float norm = walk_has_bits(w) ? bits_encode(&w->scale, from, to)
					      : code_encode(&w->scale, from, to);

		if (w->norms)
			w->norms[row] = norm;
	}
	free(scratch);
}

int walk_new(const struct faiss_graph *g, const struct vindex_rows *rows,
	     const struct walk_options *options, struct walk **out, struct error *err)
{
	struct walk *w = mem_zalloc(sizeof *w);
	int rc;

	w->rows = *rows;
	w->distance = options->distance;
	w->quantizer = options->quantizer;
	w->n = rows->n;
	w->dim = rows->dim;
	w->stride = walk_has_bits(w) ? bits_stride(rows->dim) : code_stride(rows->dim);
	w->width = faiss_graph_slots(g, 0);
	choose_slots(g, w, options->compact);
	rc = map_block(w, err);
	if (rc) {
		walk_free(w);
		return rc;
	}
	copy_level_0(g, w);
	copy_upper_levels(g, w);
	(walk_has_bits(w) ? code_scale_init_bits : code_scale_init)(&w->scale, rows, w->distance);
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
	walk_cells_free(w->cells);
	pages_unmap(&w->pages);
	free(w);
}

size_t walk_link_bytes(const struct walk *w)
{
	size_t bytes = ((size_t)w->n * w->slots + w->n_more) * sizeof(uint32_t);

	for (uint32_t i = 0; i < w->n_levels; i++)
		bytes += (size_t)w->levels[i].n * w->levels[i].width * sizeof(uint32_t);
	return bytes;
}

size_t walk_memory_bytes(const struct walk *w)
{
	size_t bytes = (size_t)w->n * (w->stride + (w->norms ? sizeof(float) : 0));

	for (uint32_t i = 0; i < w->n_levels; i++)
		bytes += (size_t)w->levels[i].n * 2 * sizeof(uint32_t);
	if (w->cells)
		bytes += (size_t)w->cells->n_rows * sizeof(uint32_t) +
			 (size_t)w->cells->n * (w->stride + w->dim * sizeof(float));
	return bytes + walk_link_bytes(w);
}
