/* The arrays of a graph: levels drawn as FAISS draws them, room for all links, the view of a file. */
#include "index/graph.h"

#include "base/memory.h"
#include "base/prng.h"
#include "index/graph_build.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS_MAX = 64 };

static void make_tables(struct graph *g)
{
	double scale = 1 / log(g->m);
	uint32_t slots = 0;

	g->probas = mem_array(LEVELS_MAX, sizeof *g->probas);
	g->cumulative = mem_array(LEVELS_MAX + 1, sizeof *g->cumulative);
	g->n_cumulative = 1;
	while (g->n_probas < LEVELS_MAX) {
		double p = exp(-(double)g->n_probas / scale) * (1 - exp(-1 / scale));

		if (p < 1e-9)
			break;
		slots += g->n_probas == 0 ? 2 * g->m : g->m;
		g->probas[g->n_probas++] = p;
		g->cumulative[g->n_cumulative++] = slots;
	}
}

static uint32_t draw_level(const struct graph *g, struct prng *p)
{
	double x = prng_unit(p);
	uint32_t level = 0;

	while (level + 1 < g->n_probas && x >= g->probas[level])
		x -= g->probas[level++];
	return level;
}

int graph_new(uint32_t n, uint32_t m, struct graph **out, struct error *err)
{
	struct graph *g = mem_zalloc(sizeof *g);
	struct prng p;

	g->n = n;
	g->m = m;
	make_tables(g);
	prng_seed(&p, 12345);
	g->levels = malloc((size_t)n * sizeof *g->levels);
	g->offsets = malloc(((size_t)n + 1) * sizeof *g->offsets);
	if (!g->levels || !g->offsets)
		goto no_memory;
	g->offsets[0] = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t level = draw_level(g, &p);

		g->levels[i] = level + 1;
		g->offsets[i + 1] = g->offsets[i] + g->cumulative[level + 1];
		if (i == 0 || level > g->max_level) {
			g->max_level = level;
			g->entry = i;
		}
	}
	g->neighbors = malloc(g->offsets[n] * sizeof *g->neighbors);
	if (!g->neighbors)
		goto no_memory;
	memset(g->neighbors, 0xff, g->offsets[n] * sizeof *g->neighbors);
	*out = g;
	return 0;
no_memory:
	graph_free(g);
	return error_set(err, ERR_NOMEM, "no memory for the links of %u rows with m %u", n, m);
}

void graph_free(struct graph *g)
{
	if (!g)
		return;
	free(g->probas);
	free(g->cumulative);
	free(g->levels);
	free(g->offsets);
	free(g->neighbors);
	free(g);
}

void graph_view(const struct graph *g, const struct faiss_flat *rows, struct faiss_graph *out)
{
	*out = (struct faiss_graph){
		.flat = *rows,
		.probas = (const uint8_t *)g->probas,
		.n_probas = g->n_probas,
		.cumulative = (const uint8_t *)g->cumulative,
		.n_cumulative = g->n_cumulative,
		.levels = (const uint8_t *)g->levels,
		.offsets = (const uint8_t *)g->offsets,
		.neighbors = (const uint8_t *)g->neighbors,
		.n_neighbors = g->offsets[g->n],
		.entry = (int32_t)g->entry,
		.max_level = (int32_t)g->max_level,
		.ef_construction = (int32_t)g->ef_construct,
		.ef_search = 64, /* for those who open the file with FAISS */
		.upper_beam = 1,
	};
}
