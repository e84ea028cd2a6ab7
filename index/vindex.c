/* One vector index: chooses the engine, and is the flat one itself. */
#include "index/vindex.h"

#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "index/engine.h"
#include "index/graph.h"
#include "index/kernels.h"
#include "index/lists.h"
#include "index/pages.h"
#include "index/rows.h"
#include "index/walk.h"
#include <faiss/c_api/Index_c.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEPT_SHARE = 8,       /* of rows that leave the memory, this part may be there .. */
	KEPT_BYTES = 8 << 20, /* .. or this much */
	FAULT_BYTES = 64 << 10
};

int engine_error(struct error *err, int shim_rc, const struct shim_error *shim)
{
	return error_set(err, shim_rc == SHIM_NOMEM ? ERR_NOMEM : ERR_INTERNAL, "%s", shim->text);
}

int engine_metric(enum distance distance)
{
	return distance_larger_is_better(distance) ? FAISS_METRIC_IP : FAISS_METRIC_L2;
}

int engine_keep_rows(struct vindex *v, const struct vindex_build *b, struct error *err)
{
	size_t bytes = (size_t)b->rows.n * b->rows.dim * sizeof(float);

	v->rows = b->rows;
	if (b->rows_stay || bytes == 0)
		return 0;
	v->own_rows = malloc(bytes);
	if (!v->own_rows)
		return error_set(err, ERR_NOMEM, "copying %u rows for the index takes %zu bytes",
				 b->rows.n, bytes);
	memcpy(v->own_rows, b->rows.data, bytes);
	v->rows.data = v->own_rows;
	return 0;
}

void engine_select(const struct vindex *v, const struct vindex_query *q, const struct candidates *c,
		   bool rescore, struct topk_item *out, uint32_t *n_out)
{
	kernel_fn distance = kernels_distance(kernels_get(), v->distance);
	bool decode = rescore && !rows_are_plain(&v->rows);
	float *scratch = decode ? mem_array(v->dim, sizeof *scratch) : NULL;
	struct topk top;

	topk_init_ordered(&top, out, q->k, q->order);
	for (uint32_t i = 0; i < c->n; i++) {
		int64_t label = c->labels[i];
		float key;

		/* a damaged float can make FAISS hand out anything */
		if (label < 0 || label >= v->n)
			continue;
		if (rescore)
			key = distance(q->vector, rows_get(&v->rows, (uint64_t)label, scratch),
				       v->dim);
		else
			key = engine_metric(v->distance) == FAISS_METRIC_IP &&
					      v->info.kind != INDEX_HNSW
				      ? -c->keys[i]
				      : c->keys[i];
		topk_push(&top, key, (uint64_t)label);
	}
	free(scratch);
	topk_sort(&top);
	*n_out = (uint32_t)top.count;
}

int engine_scan(const struct vindex *v, const struct vindex_query *q, struct topk_item *out,
		uint32_t *n_out, struct vindex_stats *stats)
{
	uint32_t n = q->allow ? q->n_allow : v->n;
	int rc = vindex_scan(&v->rows, v->distance, q, out, n_out);

	stats->distances += n;
	vindex_note_scan(v, n);
	return rc;
}

/* ---- flat ------------------------------------------------------------------------------------ */

static int flat_metric(enum distance distance)
{
	return distance == DISTANCE_MANHATTAN ? FAISS_METRIC_L1 : engine_metric(distance);
}

static int flat_save(const struct vindex *v, vindex_write_fn write, void *ctx, struct error *err)
{
	const struct faiss_flat flat = {
		.dim = v->dim,
		.n = v->n,
		.metric = flat_metric(v->distance),
		.rows = v->rows.data,
	};

	return faiss_file_write_flat(&flat, write, ctx, err);
}

static int flat_open(struct vindex *v, const struct vindex_open *o, struct error *err)
{
	struct faiss_flat flat;
	int rc = faiss_file_flat(o->bytes, o->n_bytes, &flat, err);

	if (rc)
		return rc;
	if (flat.metric != flat_metric(o->distance))
		return error_set(err, ERR_CORRUPT,
				 "index file: it was written for another distance");
	v->dim = flat.dim;
	v->n = flat.n;
	v->rows = (struct vindex_rows){.data = flat.rows, .n = flat.n, .dim = flat.dim};
	v->info.kind = INDEX_FLAT;
	if (v->n == 0)
		v->info.fallback = "flat, since there are no rows";
	else if (v->config.kind == INDEX_IVF && !ivf_possible(v))
		v->info.fallback = v->fallback;
	else if (v->config.kind != INDEX_FLAT)
		v->info.fallback = "flat, since that is what the index file holds";
	return 0;
}

/* ---- all kinds ------------------------------------------------------------------------------- */

static struct vindex *vindex_new(enum distance distance, const struct index_config *config)
{
	struct vindex *v = mem_zalloc(sizeof *v);

	pthread_mutex_init(&v->walk_lock, NULL);
	v->distance = distance;
	v->config = *config;
	v->info.kind = INDEX_FLAT;
	v->info.quantizer = QUANTIZER_NONE;
	return v;
}

/* What builds reads plain floats. */
static int decode_rows(struct vindex *v, struct vindex_build *b, struct error *err)
{
	size_t bytes = (size_t)b->rows.n * b->rows.dim * sizeof(float);

	if (rows_are_plain(&b->rows) || bytes == 0)
		return 0;
	v->own_rows = malloc(bytes);
	if (!v->own_rows)
		return error_set(err, ERR_NOMEM, "decoding %u rows for the index takes %zu bytes",
				 b->rows.n, bytes);
	for (uint32_t row = 0; row < b->rows.n; row++)
		rows_get(&b->rows, row, v->own_rows + (size_t)row * b->rows.dim);
	b->rows = (struct vindex_rows){.data = v->own_rows, .n = b->rows.n, .dim = b->rows.dim};
	b->rows_stay = true; /* ours */
	return 0;
}

static int build_kind(struct vindex *v, const struct vindex_build *b, struct error *err)
{
	v->rows = b->rows; /* flat: borrowed for good */
	if (v->n == 0) {
		v->info.fallback = b->config.kind == INDEX_FLAT ? NULL
								: "flat, since there are no rows";
		return 0;
	}
	switch (b->config.kind) {
	case INDEX_HNSW: return hnsw_build(v, b, err);
	case INDEX_IVF:
		if (ivf_possible(v))
			return ivf_build(v, b, err);
		v->info.fallback = v->fallback;
		return 0;
	case INDEX_FLAT: return 0;
	default:
		return error_set(err, ERR_INPUT, "index kind %d is not known", (int)b->config.kind);
	}
}

int vindex_build(const struct vindex_build *b, struct vindex **out, struct error *err)
{
	struct vindex_build plain = *b;
	struct vindex *v;
	int rc;

	*out = NULL;
	if (b->rows.dim == 0 || b->rows.dim > LIMIT_DIMENSION || b->rows.n > INT32_MAX)
		return error_set(err, ERR_INPUT,
				 "build index: %u rows of %u dimensions are out of range",
				 b->rows.n, b->rows.dim);
	v = vindex_new(b->distance, &b->config);
	v->dim = b->rows.dim;
	v->n = b->rows.n;
	rc = decode_rows(v, &plain, err);
	if (!rc)
		rc = build_kind(v, &plain, err);
	if (rc) {
		vindex_free(v);
		return error_wrap(err, rc, "build index of %u rows", b->rows.n);
	}
	*out = v;
	return 0;
}

int vindex_save(const struct vindex *v, vindex_write_fn write, void *ctx, struct error *err)
{
	if (v->bytes)
		return write(ctx, v->bytes, v->n_bytes, err);
	switch (v->info.kind) {
	case INDEX_HNSW: return hnsw_save(v, write, ctx, err);
	case INDEX_IVF: return ivf_save(v, write, ctx, err);
	case INDEX_FLAT:
	default: return flat_save(v, write, ctx, err);
	}
}

static int check_rows(const struct vindex *v, const struct vindex_open *o, struct error *err)
{
	if (o->rows.data && (o->rows.n != v->n || o->rows.dim != v->dim))
		return error_set(
			err, ERR_CORRUPT,
			"open index: it holds %u rows of %u dimensions, the segment %u of %u", v->n,
			v->dim, o->rows.n, o->rows.dim);
	return 0;
}

int vindex_open(const struct vindex_open *o, struct vindex **out, struct error *err)
{
	struct vindex *v = vindex_new(o->distance, &o->config);
	enum faiss_file_kind kind;
	int rc = faiss_file_kind(o->bytes, o->n_bytes, &kind, err);

	*out = NULL;
	v->bytes = o->bytes;
	v->n_bytes = o->n_bytes;
	if (!rc) {
		if (kind == FAISS_FILE_FLAT)
			rc = flat_open(v, o, err);
		else if (kind == FAISS_FILE_HNSW)
			rc = hnsw_open(v, o, err);
		else
			rc = ivf_open(v, o, err);
	}
	if (!rc)
		rc = check_rows(v, o, err);
	if (rc) {
		vindex_free(v);
		return rc;
	}
	*out = v;
	return 0;
}

void vindex_free(struct vindex *v)
{
	if (!v)
		return;
	if (v->faiss)
		faiss_Index_free(v->faiss);
	walk_free(atomic_load(&v->walk));
	graph_free(v->graph);
	lists_free(v->lists);
	buf_fini(&v->own_bytes);
	pthread_mutex_destroy(&v->walk_lock);
	free(v->own_rows);
	free(v);
}

uint32_t vindex_effort(const struct vindex *v, const struct vindex_wish *wish)
{
	struct vindex_wish w = *wish;

	if (v->info.kind == INDEX_HNSW)
		return curve_effort(&v->curve, 0, wish);
	if (v->info.kind != INDEX_IVF)
		return 0;
	w.ef = v->nprobe;
	return curve_effort(&v->curve, v->info.nlist, &w);
}

static bool rows_leave(const struct vindex *v)
{
	return (atomic_load(&v->walk) || v->lists) &&
	       (v->config.rows_on_disk || v->info.quantizer != QUANTIZER_NONE);
}

void vindex_release_rows(const struct vindex *v)
{
	const char *begin = v->rows.data, *end = rows_at(&v->rows, v->rows.n);

	if (!rows_leave(v))
		return;
	if (v->config.rows_on_disk) /* drops them, too */
		pages_let_go_randomly(begin, end);
	else if (v->rows.of_file)
		pages_drop(begin, end);
}

/* Of rows that need not be in memory some may be, so that they are not dropped all the time. What they are
 * compared with the most that may have come to memory: a fault maps what the system has around a page, too. */
void vindex_note_scan(const struct vindex *v, uint64_t n)
{
	struct vindex *mine = (struct vindex *)(uintptr_t)v; /* counting changes nothing */
	uint64_t row = rows_bytes(&v->rows), all = row * v->n;
	uint64_t keep = all / KEPT_SHARE > KEPT_BYTES ? all / KEPT_SHARE : KEPT_BYTES;

	if (all <= keep || !v->rows.of_file || !rows_leave(v))
		return;
	if ((atomic_fetch_add(&mine->n_scanned, n) + n) * (row + FAULT_BYTES) < keep)
		return;
	atomic_store(&mine->n_scanned, 0);
	pages_drop(v->rows.data, rows_at(&v->rows, v->n));
}

void vindex_describe(const struct vindex *v, struct vindex_info *out)
{
	*out = v->info;
	out->rows_leave = rows_leave(v);
}

/* At most as many as there are. */
static struct vindex_query bounded(const struct vindex *v, const struct vindex_query *q)
{
	struct vindex_query query = *q;

	assert(!q->allow || q->allow->n_bits == v->n);
	if (query.k > v->n)
		query.k = v->n;
	if (query.allow && query.k > query.n_allow)
		query.k = query.n_allow;
	return query;
}

int vindex_search(const struct vindex *v, const struct vindex_query *q, struct topk_item *out,
		  uint32_t *n_out, struct vindex_stats *stats, struct error *err)
{
	struct vindex_query query = bounded(v, q);
	struct vindex_stats ignored = {0};

	if (!stats)
		stats = &ignored;
	*stats = (struct vindex_stats){0};
	*n_out = 0;
	if (query.k == 0)
		return 0;
	switch (v->info.kind) {
	case INDEX_HNSW: return hnsw_search(v, &query, out, n_out, stats, err);
	case INDEX_IVF: return ivf_search(v, &query, out, n_out, stats, err);
	case INDEX_FLAT:
	default: return engine_scan(v, &query, out, n_out, stats);
	}
}

int vindex_search_batch(const struct vindex *v, const struct vindex_query *queries,
			struct vindex_answer *answers, uint32_t n, struct error *err)
{
	struct vindex_query *bound;
	int rc = 0;

	if (!v->lists) {
		for (uint32_t i = 0; i < n && !rc; i++)
			rc = vindex_search(v, &queries[i], answers[i].items, &answers[i].n,
					   &answers[i].stats, err);
		return rc;
	}
	bound = mem_array(n, sizeof *bound);
	for (uint32_t i = 0; i < n; i++)
		bound[i] = bounded(v, &queries[i]);
	ivf_search_batch(v, bound, answers, n);
	free(bound);
	return 0;
}
