/* Fits, keeps and asks the curve of an index. */
#include "index/curve.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/memory.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, QUERIES_MIN = 64, QUERIES_MAX = 160, BLOCK_BYTES = 1 << 20, EF_MAX = 4096 };

static const char magic[4] = {'Q', 'V', 'c', 'v'};
static const uint32_t ks[CURVE_KS] = {10, 100};
static const uint32_t efs[CURVE_KS][CURVE_EFS] = {
	{10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 512},
	{100, 112, 128, 144, 160, 192, 224, 256, 320, 448, 640, 1024},
};
/* Multiplications that the exact answers may take. */
static const double exact_work = 4e9;
/* What is measured is a sample, so that a quarter less than what may be missed is aimed at. */
static const double aim = 0.75;
static const double missing_least = 1e-4;

/* ---- fitting --------------------------------------------------------------------------------- */

struct fit {
	const struct curve_subject *subject;
	const struct vindex_build *b;
	uint32_t n_queries, k;   /* k: the largest, and one more for the row itself */
	uint32_t *queries;       /* rows */
	struct topk_item *truth; /* n_queries x k, best first, without the row itself */
};

static const float *row_of(const struct fit *f, uint64_t row)
{
	return (const float *)f->b->rows.data + row * f->b->rows.dim;
}

static bool cancelled(const struct fit *f)
{
	return f->b->cancel && __atomic_load_n(f->b->cancel, __ATOMIC_RELAXED);
}

static void drop_itself(const struct fit *f, uint32_t i, uint32_t n)
{
	struct topk_item *items = f->truth + (size_t)i * f->k;
	uint32_t at = 0;

	while (at < n - 1 && items[at].tag != f->queries[i])
		at++;
	memmove(items + at, items + at + 1, (n - 1 - at) * sizeof *items);
}

/* Exact answers: a block of rows at a time, which all queries look at while it is in the cache. */
static int find_truth(struct fit *f, struct error *err)
{
	const struct vindex_rows *rows = &f->b->rows;
	uint32_t block = BLOCK_BYTES / (uint32_t)(rows->dim * sizeof(float)) + f->k;
	struct topk *top = mem_array(f->n_queries, sizeof *top);
	struct topk_item *found = mem_array(f->k, sizeof *found);
	int rc = 0;

	for (uint32_t i = 0; i < f->n_queries; i++)
		topk_init(&top[i], f->truth + (size_t)i * f->k, f->k);
	for (uint32_t from = 0; from < rows->n && !rc; from += block) {
		const struct vindex_rows part = {
			.data = row_of(f, from),
			.n = rows->n - from < block ? rows->n - from : block,
			.dim = rows->dim,
		};

		for (uint32_t i = 0; i < f->n_queries; i++) {
			const struct vindex_query q = {.vector = row_of(f, f->queries[i]),
						       .k = f->k};
			uint32_t n;

			vindex_scan(&part, f->b->distance, &q, found, &n);
			for (uint32_t j = 0; j < n; j++)
				topk_push(&top[i], found[j].key, from + found[j].tag);
		}
		if (cancelled(f))
			rc = error_set(err, ERR_CLOSED, "cancelled while measuring recall");
	}
	for (uint32_t i = 0; i < f->n_queries && !rc; i++) {
		topk_sort(&top[i]);
		drop_itself(f, i, (uint32_t)top[i].count);
	}
	free(found);
	free(top);
	return rc;
}

/* Rows at the same distance as the last true one are as good. */
static uint32_t hits(const struct topk_item *got, uint32_t n, const struct topk_item *truth,
		     uint32_t k)
{
	uint32_t same = 0;

	for (uint32_t i = 0; i < n; i++)
		same += got[i].key <= truth[k - 1].key;
	return same;
}

static int measure(struct fit *f, uint32_t k, struct curve_point *p, struct error *err)
{
	struct topk_item *got = mem_array(k, sizeof *got);
	uint64_t same = 0, begin = clock_thread_cpu_ns();
	int rc = 0;

	for (uint32_t i = 0; i < f->n_queries && !rc; i++) {
		const struct vindex_query q = {.vector = row_of(f, f->queries[i]),
					       .k = k,
					       .ef = p->ef,
					       .nprobe = p->ef,
					       .besides = f->queries[i] + 1};
		uint32_t n;

		rc = f->subject->search(f->subject->index, &q, got, &n, err);
		if (!rc)
			same += hits(got, n, f->truth + (size_t)i * f->k, k);
	}
	p->us = (float)(clock_thread_cpu_ns() - begin) / 1e3f / (float)f->n_queries;
	p->recall = (float)same / (float)((uint64_t)f->n_queries * k);
	free(got);
	return rc;
}

/* Numbers of lists to look at, ascending: from 1 to a quarter of them, each greater by the same factor. */
static void choose_nprobes(uint32_t nlist, uint32_t out[CURVE_EFS])
{
	double most = nlist < 64 ? nlist : nlist / 4.0, factor = pow(most, 1.0 / (CURVE_EFS - 1));

	for (uint32_t i = 0, least = 1; i < CURVE_EFS; i++) {
		uint32_t n = (uint32_t)lround(pow(factor, i));

		out[i] = n > least ? n : least;
		least = out[i] + 1;
	}
}

static int measure_all(struct fit *f, uint32_t which, struct curve_of_k *out, struct error *err)
{
	uint32_t nlist = f->subject->nlist, k = ks[which], ef[CURVE_EFS];
	uint32_t most = nlist ? nlist : f->b->rows.n - 1;
	int rc = 0;

	if (nlist)
		choose_nprobes(nlist, ef);
	else
		memcpy(ef, efs[which], sizeof ef);
	*out = (struct curve_of_k){.k = k};
	for (uint32_t i = 0; i < CURVE_EFS && ef[i] <= most && !rc; i++) {
		struct curve_point p = {.ef = ef[i]}, *before = i ? &out->at[i - 1] : &p;

		rc = measure(f, k, &p, err);
		/* more effort finds no less, and takes no less time: what says otherwise is noise */
		p.recall = fmaxf(p.recall, before->recall);
		p.us = fmaxf(p.us, before->us);
		out->at[out->n++] = p;
		if (cancelled(f))
			rc = error_set(err, ERR_CLOSED, "cancelled while measuring recall");
	}
	return rc;
}

int curve_fit(const struct curve_subject *subject, const struct vindex_build *b, struct curve *out,
	      struct error *err)
{
	double queries = exact_work / ((double)b->rows.n * b->rows.dim);
	struct fit f = {.subject = subject, .b = b, .k = ks[CURVE_KS - 1] + 1};
	int rc;

	*out = (struct curve){0};
	if (b->rows.n < CURVE_MIN_ROWS)
		return 0;
	f.n_queries = queries > QUERIES_MAX   ? QUERIES_MAX
		      : queries < QUERIES_MIN ? QUERIES_MIN
					      : (uint32_t)queries;
	f.queries = mem_array(f.n_queries, sizeof *f.queries);
	f.truth = mem_array((size_t)f.n_queries * f.k, sizeof *f.truth);
	for (uint32_t i = 0; i < f.n_queries; i++)
		f.queries[i] = (uint32_t)((uint64_t)b->rows.n * (2 * i + 1) / (2 * f.n_queries));
	rc = find_truth(&f, err);
	for (uint32_t i = 0; i < CURVE_KS && !rc; i++)
		rc = measure_all(&f, i, &out->of[i], err);
	free(f.queries);
	free(f.truth);
	return rc;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static double missing(const struct curve_point *p)
{
	double m = 1 - (double)p->recall;

	return m > missing_least ? m : missing_least;
}

/* Between two points (or beyond them) where the logarithm of what is missing reaches that of `want`. */
static double ef_between(const struct curve_point *a, const struct curve_point *b, double want)
{
	double fall = log(missing(a)) - log(missing(b));
	double part = fall > 0 ? (log(missing(a)) - log(want)) / fall : 2;

	return a->ef * pow((double)b->ef / a->ef, part);
}

static double effort_for_recall(const struct curve_of_k *c, float min_recall)
{
	double want = (1 - (double)min_recall) * aim;
	uint32_t i = 0;

	if (want < missing_least)
		want = missing_least;
	while (i < c->n && missing(&c->at[i]) > want)
		i++;
	if (i == 0)
		return c->at[0].ef;
	if (i == c->n) /* beyond what was measured, as far as the last points lead */
		return i < 2 ? EF_MAX
			     : fmin(ef_between(&c->at[i - 2], &c->at[i - 1], want), EF_MAX);
	return ef_between(&c->at[i - 1], &c->at[i], want);
}

static double effort_for_time(const struct curve_of_k *c, double us)
{
	uint32_t i = 0;

	while (i < c->n && (double)c->at[i].us <= us)
		i++;
	if (i == 0)
		return c->at[0].ef;
	if (i == c->n)
		return c->at[i - 1].ef * us / fmax((double)c->at[i - 1].us, 1e-3);
	double span = (double)c->at[i].us - (double)c->at[i - 1].us;
	double part = span > 0 ? (us - (double)c->at[i - 1].us) / span : 0;
	return c->at[i - 1].ef + part * (c->at[i].ef - c->at[i - 1].ef);
}

static double effort_of(const struct curve_of_k *c, const struct vindex_wish *w)
{
	double ef = w->min_recall > 0 ? effort_for_recall(c, w->min_recall) : w->ef;

	return w->budget_us ? fmin(ef, effort_for_time(c, (double)w->budget_us)) : ef;
}

uint32_t curve_effort(const struct curve *c, uint32_t nlist, const struct vindex_wish *w)
{
	const struct curve_of_k *low = &c->of[0], *high = &c->of[CURVE_KS - 1];
	double ef, k = w->k, least = nlist ? 1 : k, most = nlist ? nlist : fmax(EF_MAX, k);

	if (low->n == 0 || high->n == 0 || (!(w->min_recall > 0) && !w->budget_us))
		return 0;
	if (k <= low->k) {
		ef = effort_of(low, w);
	} else if (k >= high->k && !nlist) {
		ef = effort_of(high, w) * k / high->k;
	} else {
		double part = log(k / low->k) / log((double)high->k / low->k);

		ef = effort_of(low, w) * pow(effort_of(high, w) / effort_of(low, w), part);
	}
	ef = fmin(fmax(ceil(ef), least), most);
	return ef < 1 ? 1 : (uint32_t)ef;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

int curve_write(const struct curve *c, vindex_write_fn write, void *ctx, struct error *err)
{
	struct buf b = BUF_INIT;
	int rc;

	if (c->of[0].n == 0)
		return 0;
	buf_put(&b, magic, sizeof magic);
	buf_put_u32(&b, VERSION);
	for (uint32_t i = 0; i < CURVE_KS; i++) {
		buf_put_u32(&b, c->of[i].k);
		buf_put_u32(&b, c->of[i].n);
		for (uint32_t j = 0; j < c->of[i].n; j++) {
			buf_put_u32(&b, c->of[i].at[j].ef);
			buf_put_f32(&b, c->of[i].at[j].recall);
			buf_put_f32(&b, c->of[i].at[j].us);
		}
	}
	buf_put_u64(&b, hash64(b.data, b.len));
	rc = write(ctx, b.data, b.len, err);
	buf_fini(&b);
	return rc;
}

static bool read_points(struct reader *r, struct curve_of_k *c)
{
	c->k = reader_u32(r);
	c->n = reader_u32(r);
	if (!reader_ok(r) || c->n > CURVE_EFS || c->k == 0)
		return false;
	for (uint32_t j = 0; j < c->n; j++) {
		struct curve_point *p = &c->at[j], *before = j ? p - 1 : p;

		p->ef = reader_u32(r);
		p->recall = reader_f32(r);
		p->us = reader_f32(r);
		if (p->ef == 0 || (j && p->ef <= before->ef) || !(p->recall >= before->recall) ||
		    !(p->recall >= 0 && p->recall <= 1) || !(p->us >= before->us) ||
		    !(p->us >= 0) || !isfinite(p->us))
			return false;
	}
	return true;
}

int curve_read(const void *bytes, size_t n, struct curve *out, struct error *err)
{
	struct reader r = reader_make(bytes, n);
	struct curve c = {0};
	bool good;

	*out = c;
	if (n == 0)
		return 0;
	good = n > sizeof magic + 12 && memcmp(bytes, magic, sizeof magic) == 0 &&
	       load_u64((const uint8_t *)bytes + n - 8) == hash64(bytes, n - 8);
	reader_u32(&r);
	good = good && reader_u32(&r) == VERSION;
	for (uint32_t i = 0; i < CURVE_KS && good; i++)
		good = read_points(&r, &c.of[i]);
	good = good && c.of[0].k < c.of[1].k;
	reader_u64(&r);
	if (!good || !reader_done(&r))
		return error_set(err, ERR_CORRUPT, "index file: there are bytes after its end");
	*out = c;
	return 0;
}
