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

/* Ids that the lists take beyond so many slots, one of which then leads there. */
static uint64_t n_beyond(const struct walk *w, const uint32_t *with, uint32_t slots)
{
	uint64_t ids = 0;

	for (uint32_t n = slots + 1; n <= w->width; n++) {
		uint32_t rest = n - (slots - 1) + 1;

		ids += with[n] *
		       (uint64_t)((rest + WALK_MORE_UNIT - 1) / WALK_MORE_UNIT * WALK_MORE_UNIT);
	}
	return ids;
}

/* Most lists are far shorter than the longest allowed: as many slots as half of them need, which is a line of
 * the cache for M = 32. The rest of the others lies elsewhere. Compact: as many as take the least memory. */
static uint64_t choose_slots(struct walk *w, const uint32_t *with)
{
	uint64_t least = UINT64_MAX, fit = 0, n_more = 0;

	w->slots = 0;
	for (uint32_t bytes = WALK_LIST_BYTES, counted = 0; w->slots < w->width;
	     bytes += WALK_LIST_BYTES) {
		uint32_t slots = bytes / w->id_bytes;
		uint64_t more = n_beyond(w, with, slots);
		uint64_t all = (uint64_t)w->n * bytes + more * w->id_bytes;

		if (w->compact ? all >= least : 2 * fit >= w->n)
			break;
		least = all;
		n_more = more;
		w->slots = slots;
		w->list_bytes = bytes;
		for (; counted <= slots && counted <= w->width; counted++)
			fit += with[counted];
	}
	return n_more;
}

/* Links of three bytes if they can say all that they must. */
static int choose_form(const struct faiss_graph *g, struct walk *w, struct error *err)
{
	uint32_t *with = mem_array((size_t)w->width + 1, sizeof *with);
	uint64_t n_more = UINT64_MAX;
	bool fits = false;

	for (uint32_t node = 0; node < w->n; node++)
		with[n_links(g, node)]++;
	for (w->id_bytes = 3; w->id_bytes <= 4 && !fits; w->id_bytes += !fits) {
		w->id_mask = UINT32_MAX >> 8 * (4 - w->id_bytes);
		n_more = choose_slots(w, with);
		fits = w->n < walk_flag(w) && n_more / WALK_MORE_UNIT < walk_flag(w) - 1;
	}
	free(with);
	w->n_more = (uint32_t)n_more;
	return fits ? 0
		    : error_set(err, ERR_TOO_LARGE, "a graph of %llu long lists cannot be searched",
				(unsigned long long)n_more);
}

static void put_id(const struct walk *w, uint8_t *to, uint32_t i, uint32_t id)
{
	to += (size_t)i * w->id_bytes;
	for (uint32_t b = 0; b < w->id_bytes; b++)
		to[b] = (uint8_t)(id >> 8 * b);
}

static void copy_level_0(const struct faiss_graph *g, struct walk *w)
{
	uint32_t at = 0;

	for (uint32_t node = 0; node < w->n; node++) {
		const uint8_t *links = faiss_graph_links(g, node, 0);
		uint8_t *to = w->links + (size_t)node * w->list_bytes;
		uint32_t n = n_links(g, node), here = n <= w->slots ? n : w->slots - 1;

		for (uint32_t i = 0; i < w->slots; i++)
			put_id(w, to, i, i < here ? load_u32(links + 4 * (size_t)i) : walk_none(w));
		if (here == n)
			continue;
		put_id(w, to, here, walk_flag(w) + at / WALK_MORE_UNIT);
		for (uint32_t i = here; i < n; i++)
			put_id(w, w->more, at++, load_u32(links + 4 * (size_t)i));
		do
			put_id(w, w->more, at++, walk_none(w));
		while (at % WALK_MORE_UNIT);
	}
	assert(at == w->n_more);
}

/* One mapping for what searches touch. */
int walk_map(struct walk *w, struct error *err)
{
	size_t codes = pages_up((size_t)w->n * w->stride);
	size_t links = pages_up((size_t)w->n * w->list_bytes);
	size_t more = pages_up((size_t)w->n_more * w->id_bytes + WALK_SPARE_BYTES);
	size_t norms = walk_has_norms(w) ? pages_up((size_t)w->n * sizeof(float)) : 0;
	int rc = pages_map(&w->pages, codes + links + more + norms, "opening the graph", err);
	char *at = w->pages.at;

	if (rc)
		return rc;
	w->codes = (uint8_t *)at;
	w->links = (uint8_t *)at + codes;
	w->more = (uint8_t *)at + codes + links;
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

struct walk *walk_alloc(const struct vindex_rows *rows, const struct walk_options *options)
{
	struct walk *w = mem_zalloc(sizeof *w);

	w->rows = *rows;
	w->distance = options->distance;
	w->quantizer = options->quantizer;
	w->compact = options->compact;
	w->n = rows->n;
	w->dim = rows->dim;
	w->stride = walk_has_bits(w) ? bits_stride(rows->dim) : code_stride(rows->dim);
	return w;
}

int walk_new(const struct faiss_graph *g, const struct vindex_rows *rows,
	     const struct walk_options *options, struct walk **out, struct error *err)
{
	struct walk *w = walk_alloc(rows, options);
	int rc;

	w->width = faiss_graph_slots(g, 0);
	rc = choose_form(g, w, err);
	if (!rc)
		rc = walk_map(w, err);
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
	walk_sketch_free(w->sketch);
	pages_unmap(&w->pages);
	free(w);
}

size_t walk_link_bytes(const struct walk *w)
{
	size_t bytes = (size_t)w->n * w->list_bytes + (size_t)w->n_more * w->id_bytes;

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
			 (size_t)w->cells->n * w->cells->stride;
	return bytes + walk_sketch_bytes(w->sketch) + walk_link_bytes(w);
}
