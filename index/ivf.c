/* IVF: lists around k-means centroids, with the rows as floats, one byte a value (SQ8) or product-quantised codes
 * (PQ; Jegou, Douze and Schmid 2011). FAISS trains and assigns, and writes the file; where the rows are at hand
 * lists.c searches, else FAISS does. Candidates found by codes are compared by their rows.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "index/engine.h"
#include "index/lists.h"
#include "index/pages.h"
#include "index/rows.h"
#include <faiss/c_api/IndexIVF_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	IVF_MIN_ROWS = 1000,
	TRAIN_PER_LIST = 39,      /* below this FAISS warns that the training set is too small */
	TRAIN_PER_LIST_MAX = 256, /* more does not help: FAISS samples */
	PQ_CODES = 256,           /* of each sub-quantiser */
	ADD_BATCH = 65536,
	OVERSAMPLE_BYTES = 2,
	OVERSAMPLE = 4, /* of other codes */
	CANDIDATES_MIN = 20,
	OVERSAMPLE_IGNORED = 32, /* where the codes shall not decide */
};

static uint32_t choose_nlist(const struct vindex *v)
{
	uint32_t most = v->n / TRAIN_PER_LIST;
	uint32_t nlist = v->config.nlist ? v->config.nlist : (uint32_t)(4 * sqrt(v->n));

	if (!v->config.nlist && nlist > most)
		nlist = most;
	return nlist ? nlist : 1;
}

/* Sub-quantisers: 4 values each where the dimension allows, else 2, 8, 1. */
static uint32_t choose_pq_m(const struct vindex *v)
{
	static const uint32_t values[] = {4, 2, 8, 3, 5, 6, 7};

	if (v->config.pq_m)
		return v->config.pq_m;
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		if (v->dim % values[i] == 0)
			return v->dim / values[i];
	}
	return v->dim;
}

static uint32_t choose_nprobe(uint32_t nlist)
{
	uint32_t nprobe = nlist / 16;

	return nprobe < 8 ? (nlist < 8 ? nlist : 8) : nprobe;
}

bool ivf_possible(struct vindex *v)
{
	uint32_t nlist = choose_nlist(v);
	size_t room = sizeof v->fallback;

	if (v->config.quantizer == QUANTIZER_BINARY)
		snprintf(v->fallback, room, "flat, since ivf knows no binary codes");
	else if (v->n < IVF_MIN_ROWS)
		snprintf(v->fallback, room,
			 "flat, since %u rows are too few to train ivf; it takes %d", v->n,
			 IVF_MIN_ROWS);
	else if (v->n / TRAIN_PER_LIST < nlist)
		snprintf(v->fallback, room,
			 "flat, since %u rows are too few to train ivf with nlist %u; it takes %llu",
			 v->n, nlist, (unsigned long long)nlist * TRAIN_PER_LIST);
	else if (v->config.quantizer == QUANTIZER_PQ && v->n < PQ_CODES * TRAIN_PER_LIST)
		snprintf(v->fallback, room,
			 "flat, since %u rows are too few to train a product quantiser; it takes %d",
			 v->n, PQ_CODES * TRAIN_PER_LIST);
	else if (v->config.quantizer == QUANTIZER_PQ && v->dim % choose_pq_m(v) != 0)
		snprintf(v->fallback, room, "flat, since pq_m %u does not divide the dimension %u",
			 choose_pq_m(v), v->dim);
	else
		return true;
	return false;
}

static int new_faiss(struct vindex *v, uint32_t nlist, struct error *err)
{
	char description[64];
	FaissIndex *index = NULL;

	if (v->config.quantizer == QUANTIZER_PQ)
		snprintf(description, sizeof description, "IVF%u,PQ%ux8", nlist, choose_pq_m(v));
	else
		snprintf(description, sizeof description, "IVF%u,%s", nlist,
			 v->config.quantizer == QUANTIZER_SQ8 ? "SQ8" : "Flat");
	if (faiss_index_factory(&index, (int)v->dim, description,
				(FaissMetricType)engine_metric(v->distance)))
		return error_set(err, ERR_INTERNAL, "FAISS: %s: %s", description,
				 faiss_get_last_error());
	v->faiss = index;
	return 0;
}

/* A sample spread evenly over the rows: a segment may be sorted in some way. */
static float *sample(const struct vindex_rows *rows, uint32_t n)
{
	size_t row_bytes = rows->dim * sizeof(float);
	char *to = malloc((size_t)n * row_bytes);

	for (uint32_t i = 0; to && i < n; i++) {
		size_t row = (size_t)((uint64_t)i * rows->n / n);

		memcpy(to + (size_t)i * row_bytes, (const char *)rows->data + row * row_bytes,
		       row_bytes);
	}
	return (float *)(void *)to;
}

static int train(struct vindex *v, const struct vindex_build *b, uint32_t nlist, struct error *err)
{
	uint64_t wanted = (uint64_t)nlist * TRAIN_PER_LIST_MAX;
	struct shim_error shim;
	int rc;

	if (wanted < PQ_CODES * TRAIN_PER_LIST_MAX)
		wanted = PQ_CODES * TRAIN_PER_LIST_MAX;
	if (wanted >= b->rows.n) {
		rc = shim_train(v->faiss, b->rows.data, b->rows.n, b->threads, &shim);
	} else {
		float *rows = sample(&b->rows, (uint32_t)wanted);

		if (!rows)
			return error_set(err, ERR_NOMEM, "no memory for %llu training rows",
					 (unsigned long long)wanted);
		rc = shim_train(v->faiss, rows, (uint32_t)wanted, b->threads, &shim);
		free(rows);
	}
	return rc ? engine_error(err, rc, &shim) : 0;
}

static int add(struct vindex *v, const struct vindex_build *b, struct error *err)
{
	struct shim_error shim;

	for (uint32_t done = 0; done < v->n;) {
		uint32_t more = v->n - done < ADD_BATCH ? v->n - done : ADD_BATCH;
		const char *from =
			(const char *)b->rows.data + (size_t)done * v->dim * sizeof(float);

		if (b->cancel && __atomic_load_n(b->cancel, __ATOMIC_RELAXED))
			return error_set(err, ERR_CLOSED, "cancelled after %u rows", done);
		int rc = shim_add(v->faiss, (const float *)(const void *)from, more, b->threads,
				  &shim);
		if (rc)
			return engine_error(err, rc, &shim);
		done += more;
		if (b->progress)
			b->progress(b->progress_ctx, done);
	}
	return 0;
}

static void describe(struct vindex *v, const struct faiss_ivf *ivf)
{
	v->info.kind = INDEX_IVF;
	v->info.quantizer = ivf->quantizer;
	v->info.nlist = ivf->nlist;
	v->info.memory_bytes = (v->lists ? lists_memory_bytes(v->lists)
					 : (size_t)ivf->n * (ivf->code_bytes + 8) +
						   (size_t)ivf->nlist * ivf->dim * sizeof(float)) +
			       (v->own_rows ? (size_t)v->n * v->dim * sizeof(float) : 0);
	v->nprobe = v->config.nprobe ? v->config.nprobe : choose_nprobe(ivf->nlist);
}

static int put_bytes(void *ctx, const void *bytes, size_t n)
{
	if (!buf_try_reserve(ctx, n))
		return ERR_NOMEM;
	buf_put(ctx, bytes, n);
	return 0;
}

/* The file in memory, in place of FAISS's index. */
static int to_bytes(struct vindex *v, struct error *err)
{
	struct shim_error shim;
	int write_rc = 0;
	int rc = shim_write(v->faiss, put_bytes, &v->own_bytes, &write_rc, &shim);

	if (write_rc)
		return error_set(err, write_rc, "no memory for the lists of %u rows", v->n);
	if (rc)
		return engine_error(err, rc, &shim);
	faiss_Index_free(v->faiss);
	v->faiss = NULL;
	return 0;
}

static int open_lists(struct vindex *v, const struct faiss_ivf *ivf, struct error *err)
{
	int rc = lists_new(ivf, &v->rows, v->distance, &v->lists, err);

	if (rc)
		return rc;
	describe(v, ivf);
	return 0;
}

static int search_lists(const void *index, const struct vindex_query *q, struct topk_item *out,
			uint32_t *n_out, struct error *err)
{
	struct vindex_stats stats = {0};

	return ivf_search(index, q, out, n_out, &stats, err);
}

static int put_more(void *ctx, const void *bytes, size_t n, struct error *err)
{
	int rc = put_bytes(ctx, bytes, n);

	return rc ? error_set(err, rc, "no memory for what was measured of the lists") : 0;
}

static int fit_curve(struct vindex *v, const struct vindex_build *b, struct error *err)
{
	const struct curve_subject subject = {.index = v,
					      .search = search_lists,
					      .nlist = v->info.nlist};
	int rc = curve_fit(&subject, b, &v->curve, err);

	return rc ? rc : curve_write(&v->curve, put_more, &v->own_bytes, err);
}

int ivf_build(struct vindex *v, const struct vindex_build *b, struct error *err)
{
	uint32_t nlist = choose_nlist(v);
	struct faiss_ivf ivf;
	int rc;

	if (b->cancel && __atomic_load_n(b->cancel, __ATOMIC_RELAXED))
		return error_set(err, ERR_CLOSED, "cancelled before the training");
	if ((rc = engine_keep_rows(v, b, err)) || (rc = new_faiss(v, nlist, err)) ||
	    (rc = train(v, b, nlist, err)) || (rc = add(v, b, err)) || (rc = to_bytes(v, err)) ||
	    (rc = faiss_file_ivf(v->own_bytes.data, v->own_bytes.len, &ivf, err)) ||
	    (rc = open_lists(v, &ivf, err)))
		return rc;
	return v->n < CURVE_MIN_ROWS ? 0 : fit_curve(v, b, err);
}

int ivf_save(const struct vindex *v, vindex_write_fn write, void *ctx, struct error *err)
{
	return write(ctx, v->own_bytes.data, v->own_bytes.len, err);
}

static int open_faiss(struct vindex *v, const struct vindex_open *o, const struct faiss_ivf *ivf,
		      struct error *err)
{
	struct shim_error shim;
	int rc = shim_read(o->bytes, o->n_bytes - ivf->n_rest, &v->faiss, &shim);

	if (rc == SHIM_NOMEM)
		return engine_error(err, rc, &shim);
	if (rc)
		return error_set(err, ERR_CORRUPT, "open index: %s", shim.text);
	describe(v, ivf);
	return 0;
}

int ivf_open(struct vindex *v, const struct vindex_open *o, struct error *err)
{
	struct faiss_ivf ivf;
	int rc = faiss_file_ivf(o->bytes, o->n_bytes, &ivf, err);

	if (!rc)
		rc = curve_read(ivf.rest, ivf.n_rest, &v->curve, err);
	if (rc)
		return rc;
	if (ivf.metric != engine_metric(o->distance))
		return error_set(err, ERR_CORRUPT,
				 "index file: it was written for another distance");
	v->dim = ivf.dim;
	v->n = ivf.n;
	if (o->rows.data && o->rows.n == v->n && o->rows.dim == v->dim)
		v->rows = o->rows;
	if (o->distance == DISTANCE_MANHATTAN && !o->rows.data)
		return error_set(err, ERR_INPUT,
				 "open index: ivf with Manhattan needs the rows of the segment");
	if (o->faiss_only || !v->rows.data)
		return open_faiss(v, o, &ivf, err);
	rc = open_lists(v, &ivf, err);
	if (rc)
		return rc;
	pages_let_go(o->bytes, (const char *)o->bytes + o->n_bytes);
	vindex_release_rows(v);
	return 0;
}

/* Lists to look at under a filter: what is allowed near the query is spread over more of them. */
static uint32_t widen(const struct vindex *v, const struct vindex_query *q, uint32_t nprobe)
{
	if (q->allow)
		nprobe = (uint32_t)((double)nprobe * sqrt((double)v->n / q->n_allow)) + 1;
	return nprobe > v->info.nlist ? v->info.nlist : nprobe;
}

/* Candidates by codes, to be compared by their rows. */
static uint32_t oversampled(const struct vindex *v, const struct vindex_query *q)
{
	/* (Manhattan is scanned as if it was Euclidean.) */
	bool bytes = v->lists && v->info.quantizer != QUANTIZER_PQ &&
		     v->distance != DISTANCE_MANHATTAN;
	float factor = q->ignore_codes ? OVERSAMPLE_IGNORED : bytes ? OVERSAMPLE_BYTES : OVERSAMPLE;

	if (q->oversampling > 0 && v->info.quantizer != QUANTIZER_NONE && !q->ignore_codes)
		factor = q->oversampling;
	double wanted = (double)factor * q->k;
	return wanted < v->n ? (uint32_t)wanted : v->n;
}

static int search_faiss(const struct vindex *v, struct lists_task *t, struct error *err)
{
	const struct vindex_query *q = t->q;
	struct candidates c = {.n = t->n_candidates};
	struct shim_error shim;
	int rc;

	c.keys = mem_array(c.n, sizeof *c.keys);
	c.labels = mem_array(c.n, sizeof *c.labels);
	const struct shim_query sq = {
		.vector = q->vector,
		.k = c.n,
		.nprobe = t->nprobe,
		.bitmap = q->allow ? q->allow->words : NULL,
		.bitmap_bytes = q->allow ? bitset_words(q->allow->n_bits) * 8 : 0,
	};
	rc = shim_ivf_search(v->faiss, &sq, c.keys, c.labels, &shim);
	if (rc)
		rc = engine_error(err, rc, &shim);
	else
		engine_select(v, q, &c, t->by_rows, t->out, &t->n_out);
	free(c.keys);
	free(c.labels);
	return rc;
}

static uint64_t rows_of(const struct vindex *v, uint32_t nprobe)
{
	return (uint64_t)v->n * nprobe / v->info.nlist;
}

/* How far a search goes. */
static struct lists_task plan(const struct vindex *v, const struct vindex_query *q,
			      struct topk_item *out)
{
	bool by_codes = v->lists || v->info.quantizer != QUANTIZER_NONE;
	bool no_rows = q->no_rescore && !q->ignore_codes && v->info.quantizer != QUANTIZER_NONE &&
		       v->distance != DISTANCE_MANHATTAN;
	struct lists_task t = {
		.q = q,
		.nprobe = widen(v, q, q->nprobe ? q->nprobe : v->nprobe),
		.by_rows = v->rows.data && !no_rows &&
			   (by_codes || v->distance == DISTANCE_MANHATTAN),
		.out = out,
	};

	t.n_candidates = t.by_rows ? oversampled(v, q) : q->k;
	if (t.by_rows && t.n_candidates < CANDIDATES_MIN)
		t.n_candidates = CANDIDATES_MIN;
	if (t.n_candidates > v->n)
		t.n_candidates = v->n;
	return t;
}

static bool better_scanned(const struct vindex *v, const struct lists_task *t)
{
	return t->q->allow && v->rows.data && t->q->n_allow <= rows_of(v, t->nprobe);
}

int ivf_search(const struct vindex *v, const struct vindex_query *q, struct topk_item *out,
	       uint32_t *n_out, struct vindex_stats *stats, struct error *err)
{
	struct lists_task t = plan(v, q, out);
	int rc = 0;

	if (better_scanned(v, &t))
		return engine_scan(v, q, out, n_out, stats);
	if (v->lists) {
		lists_search(v->lists, &t, 1);
	} else {
		t.stats.distances = rows_of(v, t.nprobe) + v->info.nlist;
		rc = search_faiss(v, &t, err);
	}
	*n_out = t.n_out;
	*stats = t.stats;
	return rc;
}

void ivf_search_batch(const struct vindex *v, const struct vindex_query *queries,
		      struct vindex_answer *answers, uint32_t n)
{
	struct lists_task *tasks = mem_array(n, sizeof *tasks);
	uint32_t *of = mem_array(n, sizeof *of), n_tasks = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct vindex_answer *a = &answers[i];

		a->n = 0;
		a->stats = (struct vindex_stats){0};
		if (queries[i].k == 0)
			continue;
		tasks[n_tasks] = plan(v, &queries[i], a->items);
		if (better_scanned(v, &tasks[n_tasks]))
			engine_scan(v, &queries[i], a->items, &a->n, &a->stats);
		else
			of[n_tasks++] = i;
	}
	lists_search(v->lists, tasks, n_tasks);
	for (uint32_t i = 0; i < n_tasks; i++) {
		answers[of[i]].n = tasks[i].n_out;
		answers[of[i]].stats = tasks[i].stats;
	}
	free(tasks);
	free(of);
}
