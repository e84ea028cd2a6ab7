/* IVF through FAISS: lists around k-means centroids, with the rows as floats, one byte a value (SQ8) or
 * product-quantised codes (PQ; Jegou, Douze and Schmid 2011). Candidates found by codes are re-scored
 * from the rows.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "index/engine.h"
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
	OVERSAMPLE = 4,
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
	v->info.memory_bytes = (size_t)ivf->n * (ivf->code_bytes + 8) +
			       (size_t)ivf->nlist * ivf->dim * sizeof(float) +
			       (v->own_rows ? (size_t)v->n * v->dim * sizeof(float) : 0);
	v->nprobe = v->config.nprobe ? v->config.nprobe : choose_nprobe(ivf->nlist);
}

/* FAISS's own floats hold what a search of plain lists needs; everything else looks at the rows. */
static bool needs_rows(const struct vindex *v)
{
	return v->config.quantizer != QUANTIZER_NONE || v->distance == DISTANCE_MANHATTAN;
}

int ivf_build(struct vindex *v, const struct vindex_build *b, struct error *err)
{
	uint32_t nlist = choose_nlist(v);
	int rc;

	if (b->cancel && __atomic_load_n(b->cancel, __ATOMIC_RELAXED))
		return error_set(err, ERR_CLOSED, "cancelled before the training");
	v->rows.data = NULL;
	if (b->rows_stay || needs_rows(v)) {
		rc = engine_keep_rows(v, b, err);
		if (rc)
			return rc;
	}
	if ((rc = new_faiss(v, nlist, err)) || (rc = train(v, b, nlist, err)) ||
	    (rc = add(v, b, err)))
		return rc;
	const struct faiss_ivf ivf = {
		.dim = v->dim,
		.n = v->n,
		.nlist = nlist,
		.quantizer = v->config.quantizer,
		.code_bytes = v->config.quantizer == QUANTIZER_SQ8  ? v->dim
			      : v->config.quantizer == QUANTIZER_PQ ? choose_pq_m(v)
								    : v->dim * 4,
	};
	describe(v, &ivf);
	return 0;
}

struct save {
	vindex_write_fn write;
	void *ctx;
	struct error *err;
};

static int save_write(void *ctx, const void *bytes, size_t n)
{
	struct save *s = ctx;

	return s->write(s->ctx, bytes, n, s->err);
}

int ivf_save(const struct vindex *v, vindex_write_fn write, void *ctx, struct error *err)
{
	struct save s = {write, ctx, err};
	struct shim_error shim;
	int write_rc = 0;
	int rc = shim_write(v->faiss, save_write, &s, &write_rc, &shim);

	if (write_rc)
		return write_rc; /* the text is the writer's */
	return rc ? engine_error(err, rc, &shim) : 0;
}

int ivf_open(struct vindex *v, const struct vindex_open *o, struct error *err)
{
	struct shim_error shim;
	struct faiss_ivf ivf;
	int rc = faiss_file_ivf(o->bytes, o->n_bytes, &ivf, err);

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
	rc = shim_read(o->bytes, o->n_bytes, &v->faiss, &shim);
	if (rc == SHIM_NOMEM)
		return engine_error(err, rc, &shim);
	if (rc)
		return error_set(err, ERR_CORRUPT, "open index: %s", shim.text);
	describe(v, &ivf);
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
	float factor = q->ignore_codes ? OVERSAMPLE_IGNORED : OVERSAMPLE;

	if (q->oversampling > 0 && v->info.quantizer != QUANTIZER_NONE && !q->ignore_codes)
		factor = q->oversampling;
	double wanted = (double)factor * q->k;
	return wanted < v->n ? (uint32_t)wanted : v->n;
}

int ivf_search(const struct vindex *v, const struct vindex_query *q, struct topk_item *out,
	       uint32_t *n_out, struct vindex_stats *stats, struct error *err)
{
	uint32_t nprobe = widen(v, q, q->nprobe ? q->nprobe : v->nprobe);
	bool by_rows = !q->no_rescore || q->ignore_codes;
	bool rescore = v->rows.data && (v->distance == DISTANCE_MANHATTAN ||
					(v->info.quantizer != QUANTIZER_NONE && by_rows));
	uint64_t scanned = (uint64_t)v->n * nprobe / v->info.nlist;
	struct candidates c = {.n = rescore ? oversampled(v, q) : q->k};
	struct shim_error shim;
	int rc;

	if (q->allow && v->rows.data && q->n_allow <= scanned)
		return engine_scan(v, q, out, n_out, stats);
	if (c.n < 32 && rescore)
		c.n = 32;
	if (c.n > v->n)
		c.n = v->n;
	c.keys = mem_array(c.n, sizeof *c.keys);
	c.labels = mem_array(c.n, sizeof *c.labels);
	const struct shim_query sq = {
		.vector = q->vector,
		.k = c.n,
		.nprobe = nprobe,
		.bitmap = q->allow ? q->allow->words : NULL,
		.bitmap_bytes = q->allow ? bitset_words(q->allow->n_bits) * 8 : 0,
	};
	rc = shim_ivf_search(v->faiss, &sq, c.keys, c.labels, &shim);
	if (rc)
		rc = engine_error(err, rc, &shim);
	else
		engine_select(v, q, &c, rescore, out, n_out);
	stats->distances += scanned + v->info.nlist;
	free(c.keys);
	free(c.labels);
	return rc;
}
