/* HNSW (Malkov and Yashunin, arXiv 1603.09320): built by us or by FAISS, searched by the walk or by FAISS.
 * The rows stay where they are, during the build and after opening, also for FAISS, which keeps the
 * graph only and asks our kernels for distances.
 *
 * Manhattan: the graph is that of the Euclidean distance; a search fetches more candidates and
 * re-scores them.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "index/engine.h"
#include "index/graph.h"
#include "index/kernels.h"
#include "index/pages.h"
#include "index/rows.h"
#include "index/walk.h"
#include "index/walk_cells.h"
#include "index/walk_sketch.h"
#include <faiss/c_api/Index_c.h>
#include <stdlib.h>
#include <string.h>

enum { BUILD_BATCH = 16384, MANHATTAN_OVERSAMPLE = 4 };

static kernel_fn graph_distance(enum distance distance)
{
	return kernels_distance(kernels_get(),
				distance == DISTANCE_MANHATTAN ? DISTANCE_EUCLID : distance);
}

static int new_faiss(struct vindex *v, uint32_t m, uint32_t ef_construct, struct error *err)
{
	const struct shim_hnsw h = {
		.dim = v->dim,
		.m = m,
		.ef_construction = ef_construct,
		.rows = v->rows.data,
		.distance = graph_distance(v->distance),
	};
	struct shim_error shim;
	int rc = shim_hnsw_new(&h, &v->faiss, &shim);

	return rc ? engine_error(err, rc, &shim) : 0;
}

static void describe(struct vindex *v, uint64_t n_links)
{
	v->info.kind = INDEX_HNSW;
	v->info.link_bytes = n_links * 4;
	v->info.memory_bytes = v->info.link_bytes + (size_t)v->n * (4 + 8) +
			       (v->own_rows ? (size_t)v->n * v->dim * sizeof(float) : 0);
}

static int build_by_faiss(struct vindex *v, const struct vindex_build *b, struct error *err)
{
	struct shim_error shim;
	struct shim_graph g;
	int rc = new_faiss(v, b->config.m, b->config.ef_construct, err);

	if (rc)
		return rc;
	for (uint32_t done = 0; done < v->n;) {
		uint32_t more = v->n - done < BUILD_BATCH ? v->n - done : BUILD_BATCH;

		if (b->cancel && __atomic_load_n(b->cancel, __ATOMIC_RELAXED))
			return error_set(err, ERR_CLOSED, "cancelled after %u rows", done);
		rc = shim_hnsw_add(v->faiss, more, b->threads, &shim);
		if (rc)
			return engine_error(err, rc, &shim);
		done += more;
		if (b->progress)
			b->progress(b->progress_ctx, done);
	}
	shim_hnsw_graph(v->faiss, &g);
	describe(v, g.n_neighbors);
	return 0;
}

/* What was built, as a file has it. */
static void view(const struct vindex *v, struct faiss_graph *out)
{
	const struct faiss_flat flat = {.dim = v->dim,
					.n = v->n,
					.metric = engine_metric(v->distance),
					.rows = v->rows.data};
	struct shim_graph g;

	if (v->graph) {
		graph_view(v->graph, &flat, out);
		return;
	}
	shim_hnsw_graph(v->faiss, &g);
	assert(g.n_nodes == v->n);
	*out = (struct faiss_graph){
		.flat = flat,
		.probas = g.probas,
		.n_probas = (uint32_t)g.n_probas,
		.cumulative = g.cumulative,
		.n_cumulative = (uint32_t)g.n_cumulative,
		.levels = g.levels,
		.offsets = g.offsets,
		.neighbors = g.neighbors,
		.n_neighbors = g.n_neighbors,
		.entry = g.entry,
		.max_level = g.max_level,
		.ef_construction = g.ef_construction,
		.ef_search = EF_DEFAULT, /* for those who open the file with FAISS */
		.upper_beam = 1,
	};
}

static struct walk_options walk_options_of(const struct vindex *v)
{
	return (struct walk_options){v->distance, v->config.quantizer, v->config.rows_on_disk};
}

/* A graph that was just built gets its layout when somebody searches it. */
static int make_walk(const struct vindex *v, struct error *err)
{
	struct vindex *mine = (struct vindex *)(uintptr_t)v; /* walk is all that changes */
	int rc = 0;

	pthread_mutex_lock(&mine->walk_lock);
	if (!atomic_load(&mine->walk)) {
		const struct walk_options options = walk_options_of(v);
		struct faiss_graph graph;
		struct walk *walk;

		view(v, &graph);
		rc = walk_new(&graph, &v->rows, &options, &walk, err);
		if (!rc)
			atomic_store(&mine->walk, walk);
	}
	pthread_mutex_unlock(&mine->walk_lock);
	return rc;
}

static int search_walk(const void *walk, const struct vindex_query *q, struct topk_item *out,
		       uint32_t *n_out, struct error *err)
{
	struct vindex_stats stats = {0};

	return walk_search(walk, q, out, n_out, &stats, err);
}

static int fit_curve(struct vindex *v, const struct vindex_build *b, struct error *err)
{
	const struct curve_subject subject = {.index = atomic_load(&v->walk),
					      .search = search_walk};

	return curve_fit(&subject, b, &v->curve, err);
}

int hnsw_build(struct vindex *v, const struct vindex_build *b, struct error *err)
{
	struct vindex_build build = *b;
	int rc;

	if (!build.config.m)
		build.config.m = HNSW_M_DEFAULT;
	if (!build.config.ef_construct)
		build.config.ef_construct = HNSW_EF_CONSTRUCT_DEFAULT;
	if (build.config.m < 2 || build.config.m > 512)
		return error_set(err, ERR_INPUT, "m of hnsw is %u, it must be in 2..512",
				 build.config.m);
	rc = engine_keep_rows(v, b, err);
	if (rc)
		return rc;
	if (b->config.by_faiss) {
		rc = build_by_faiss(v, &build, err);
	} else {
		rc = graph_build(&build, &v->graph, err);
		if (!rc)
			describe(v, v->graph->offsets[v->n]);
	}
	if (rc || v->n < CURVE_MIN_ROWS)
		return rc;
	struct walk_cells *cells;
	if (!(rc = make_walk(v, err)) &&
	    !(rc = walk_sketch_build(atomic_load(&v->walk), b->cancel, err)))
		rc = fit_curve(v, b, err);
	if (!rc && !(rc = walk_cells_build(atomic_load(&v->walk), b->cancel, &cells, err)))
		walk_take_cells(atomic_load(&v->walk), cells);
	return rc;
}

int hnsw_save(const struct vindex *v, vindex_write_fn write, void *ctx, struct error *err)
{
	const struct walk *walk = atomic_load(&v->walk);
	struct faiss_graph graph;
	int rc;

	view(v, &graph);
	rc = faiss_file_write_hnsw(&graph, write, ctx, err);
	if (!rc && walk)
		rc = walk_write(walk, write, ctx, err);
	if (!rc)
		rc = walk_sketch_write(walk ? walk_sketch_of(walk) : NULL, write, ctx, err);
	if (!rc)
		rc = walk_cells_write(walk ? walk_cells_of(walk) : NULL, write, ctx, err);
	return rc ? rc : curve_write(&v->curve, write, ctx, err);
}

static int open_faiss(struct vindex *v, const struct faiss_graph *graph, struct error *err)
{
	const struct shim_graph g = {
		.probas = graph->probas,
		.n_probas = graph->n_probas,
		.cumulative = graph->cumulative,
		.n_cumulative = graph->n_cumulative,
		.levels = graph->levels,
		.offsets = graph->offsets,
		.n_nodes = graph->flat.n,
		.neighbors = graph->neighbors,
		.n_neighbors = graph->n_neighbors,
		.entry = graph->entry,
		.max_level = graph->max_level,
	};
	struct shim_error shim;
	int rc = new_faiss(v, HNSW_M_DEFAULT, HNSW_EF_CONSTRUCT_DEFAULT, err);

	if (rc)
		return rc;
	rc = shim_hnsw_set_graph(v->faiss, &g, &shim);
	if (rc)
		return engine_error(err, rc, &shim);
	describe(v, g.n_neighbors);
	return 0;
}

/* What a graph was measured with when it was built were codes of another width: the same effort finds another share with
 * these. It takes about a second, and only where somebody has changed the quantiser. */
static int fit_again(struct vindex *v, const struct walk *walk, struct error *err)
{
	const struct curve_subject subject = {.index = walk, .search = search_walk};
	const struct vindex_build b = {.rows = v->rows, .distance = v->distance};

	v->curve = (struct curve){0};
	if (!rows_are_plain(&v->rows) || (uintptr_t)v->rows.data % sizeof(float) != 0)
		return 0; /* no promise */
	return curve_fit(&subject, &b, &v->curve, err);
}

/* What lies behind the graph: its layout, the cells, the curve. Without a layout it is made. */
static int read_rest(struct vindex *v, const struct faiss_graph *g, bool faiss_only,
		     struct walk **walk, struct error *err)
{
	const struct vindex_rows of = {.n = g->flat.n, .dim = g->flat.dim};
	const struct walk_options options = walk_options_of(v);
	struct walk_cells *cells = NULL;
	struct walk_sketch *sketch = NULL;
	size_t at, used = 0;
	bool other_codes;
	const struct walk_source from = {g->rest, g->n_rest, &at, &other_codes};
	int rc = walk_read(&from, &v->rows, &options, walk, err);

	if (!rc)
		rc = walk_sketch_read(g->rest + at, g->n_rest - at, &of, &sketch, &used, err);
	at += rc ? 0 : used;
	if (!rc)
		rc = walk_cells_read(g->rest + at, g->n_rest - at, &of, &cells, &used, err);
	at += rc ? 0 : used;
	if (!rc)
		rc = curve_read(g->rest + at, g->n_rest - at, &v->curve, err);
	if (!rc && (!*walk || faiss_only)) /* what a search follows must lead somewhere */
		rc = faiss_file_hnsw_check(g, err);
	if (!rc && !*walk)
		rc = walk_new(g, &v->rows, &options, walk, err);
	if (!rc) {
		walk_take_sketch(*walk, sketch);
		sketch = NULL;
	}
	if (!rc && other_codes)
		rc = fit_again(v, *walk, err);
	if (!rc) {
		walk_take_cells(*walk, cells);
		return 0;
	}
	walk_cells_free(cells);
	walk_sketch_free(sketch);
	return rc;
}

static void take_walk(struct vindex *v, struct walk *walk)
{
	walk_drop_centres(walk); /* who saves it again writes the bytes it was opened from */
	atomic_store(&v->walk, walk);
	v->info.link_bytes = walk_link_bytes(walk);
	v->info.memory_bytes = walk_memory_bytes(walk);
	vindex_release_rows(v);
}

int hnsw_open(struct vindex *v, const struct vindex_open *o, struct error *err)
{
	struct walk *walk = NULL;
	struct faiss_graph graph;
	int rc = faiss_file_hnsw_parts(o->bytes, o->n_bytes, &graph, err);

	if (!rc && graph.flat.metric != engine_metric(o->distance))
		rc = error_set(err, ERR_CORRUPT, "index file: it was written for another distance");
	if (rc)
		return rc;
	v->dim = graph.flat.dim;
	v->n = graph.flat.n;
	v->rows = (struct vindex_rows){.data = graph.flat.rows, .n = v->n, .dim = v->dim};
	if (o->rows.data && o->rows.n == v->n && o->rows.dim == v->dim &&
	    (rows_are_plain(&o->rows) || !o->faiss_only))
		v->rows = o->rows;
	v->info.kind = INDEX_HNSW;
	v->info.quantizer = v->config.quantizer;
	rc = read_rest(v, &graph, o->faiss_only, &walk, err);
	if (!rc && !o->faiss_only) {
		take_walk(v, walk);
		return 0;
	}
	walk_free(walk);
	return rc ? rc : open_faiss(v, &graph, err);
}

/* FAISS walks the graph as if there were no filter and keeps what is allowed, so the effort grows with
 * what is filtered out; where that costs more than looking at every allowed row, we do that. */
static bool better_scanned(const struct vindex *v, const struct vindex_query *q, uint32_t ef)
{
	return q->allow && (q->n_allow <= 8 * ef || q->n_allow <= v->n / 10);
}

static int search_faiss(const struct vindex *v, const struct vindex_query *q, struct topk_item *out,
			uint32_t *n_out, struct vindex_stats *stats, struct error *err)
{
	uint32_t ef = q->ef ? q->ef : EF_DEFAULT;
	struct candidates c;
	struct shim_error shim;
	int rc;

	if (v->distance == DISTANCE_MANHATTAN && ef < MANHATTAN_OVERSAMPLE * q->k)
		ef = MANHATTAN_OVERSAMPLE * q->k;
	if (ef < q->k)
		ef = q->k;
	if (better_scanned(v, q, ef))
		return engine_scan(v, q, out, n_out, stats);
	if (q->allow)
		ef = (uint32_t)((uint64_t)ef * v->n / q->n_allow);
	if (ef > v->n)
		ef = v->n;
	c.n = ef;
	c.keys = mem_array(ef, sizeof *c.keys);
	c.labels = mem_array(ef, sizeof *c.labels);
	/* FAISS 1.7.3 bounds its candidates by max(the index's own efSearch, k), whatever the query's
	 * parameters say; asking for ef results makes the effort what was asked for. */
	const struct shim_query sq = {
		.vector = q->vector,
		.k = ef,
		.ef = ef,
		.bitmap = q->allow ? q->allow->words : NULL,
		.bitmap_bytes = q->allow ? bitset_words(q->allow->n_bits) * 8 : 0,
	};
	rc = shim_hnsw_search(v->faiss, &sq, c.keys, c.labels, &stats->distances, &shim);
	if (rc)
		rc = engine_error(err, rc, &shim);
	else
		engine_select(v, q, &c, v->distance == DISTANCE_MANHATTAN, out, n_out);
	free(c.keys);
	free(c.labels);
	return rc;
}

int hnsw_search(const struct vindex *v, const struct vindex_query *q, struct topk_item *out,
		uint32_t *n_out, struct vindex_stats *stats, struct error *err)
{
	int rc;

	if (v->faiss) {
		rc = search_faiss(v, q, out, n_out, stats, err);
	} else {
		if (!atomic_load(&v->walk) && (rc = make_walk(v, err)))
			return rc;
		rc = walk_search(atomic_load(&v->walk), q, out, n_out, stats, err);
	}
	/* A part of a graph may be out of reach. An answer is never short of what is there. */
	if (!rc && *n_out < q->k && !stats->cut)
		rc = engine_scan(v, q, out, n_out, stats);
	return rc;
}
