/* Makes, writes and reads the sketches of a walk. */
#include "index/walk_sketch.h"

#include "base/assert.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/prng.h"
#include "index/rows.h"
#include "index/walk_layout.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	VERSION = 1,
	HEAD = 16,     /* bytes before the share */
	LINES_MIN = 6, /* of a code: shorter ones are read as they are */
	ROWS_MIN = 4096,
	SAMPLE = 2048, /* rows that the axes are made for */
	ROUNDS = 5,
	TRIES = 128, /* rows that serve as queries */
	NEAR = 32,   /* neighbours of each */
	SLACK = 256, /* what rounding query and row to bytes may take from a sum: two standard deviations */
};
static const double near_share = 0.98; /* of near pairs whose share is not greater */
static const double enough =
	0.6; /* of the codes that are still read: with more there are no sketches */

static const char magic[4] = {'Q', 'V', 's', 'k'};

static struct walk_sketch *sketch_new(uint32_t n, uint32_t dim)
{
	struct walk_sketch *s = mem_zalloc(sizeof *s);

	s->n = n;
	s->dim = dim;
	s->lengths = mem_array(SKETCH_AXES, sizeof *s->lengths);
	return s;
}

void walk_sketch_free(struct walk_sketch *s)
{
	if (!s)
		return;
	free(s->lengths);
	code_scale_fini(&s->scale);
	pages_unmap(&s->pages);
	free(s);
}

static size_t codes_bytes(const struct walk_sketch *s)
{
	return (size_t)s->n * SKETCH_BYTES;
}
static size_t axes_bytes(const struct walk_sketch *s)
{
	return SKETCH_AXES * code_stride(s->dim);
}

static int map_codes(struct walk_sketch *s, struct error *err)
{
	int rc = pages_map(&s->pages, codes_bytes(s) + axes_bytes(s), "sketching rows", err);

	s->codes = (uint8_t *)s->pages.at;
	s->axes = s->codes + codes_bytes(s);
	return rc;
}

size_t walk_sketch_bytes(const struct walk_sketch *s)
{
	return s ? codes_bytes(s) + axes_bytes(s) : 0;
}

static bool has_use(const struct walk *w)
{
	return w->n >= ROWS_MIN && w->stride >= LINES_MIN * CODE_ALIGN && !walk_has_bits(w) &&
	       w->distance != DISTANCE_MANHATTAN;
}

void walk_take_sketch(struct walk *w, struct walk_sketch *s)
{
	assert(!w->sketch);
	if (has_use(w))
		w->sketch = s;
	else
		walk_sketch_free(s);
}

const struct walk_sketch *walk_sketch_of(const struct walk *w)
{
	return w->sketch;
}

/* ---- a row or a query along the axes --------------------------------------------------------- */

/* A vector along the axes, and the length of what is left of it. */
static void project(const struct walk_sketch *s, const struct code_kernels *k,
		    const struct code_query *code, float square, float values[SKETCH_BYTES])
{
	size_t stride = code_stride(s->dim);
	int32_t sums[SKETCH_AXES], sum = 128 * code_query_sum(code, s->dim);
	uint32_t ids[SKETCH_AXES];

	for (uint32_t j = 0; j < SKETCH_AXES; j++)
		ids[j] = j;
	k->dot(code->bytes, s->axes, stride, ids, SKETCH_AXES, sums);
	for (uint32_t j = 0; j < SKETCH_AXES; j++) {
		values[j] = code->factor / 2 * s->lengths[j] * (float)(sums[j] - sum);
		square -= values[j] * values[j];
	}
	values[SKETCH_AXES] = square > 0 ? sqrtf(square) : 0;
}

void sketch_query_init(const struct walk_sketch *s, const struct code_kernels *k,
		       const struct code_query *code, float square, struct sketch_query *q)
{
	float values[SKETCH_BYTES], scratch[SKETCH_BYTES];
	struct code_query own = {.bytes = q->bytes};

	project(s, k, code, square, values);
	values[SKETCH_AXES] *= s->share;
	code_query_init(&s->scale, k, values, scratch, &own);
	q->factor = own.factor / 2;
	q->base = q->factor * (float)(SLACK - 128 * code_query_sum(&own, SKETCH_BYTES));
	for (uint32_t j = 0; j < SKETCH_BYTES; j++)
		q->base += values[j] * s->scale.middle[j];
}

/* ---- building -------------------------------------------------------------------------------- */

struct maker {
	struct walk *w;
	struct walk_sketch *s;
	const struct code_kernels *kernels;
	const bool *cancel;
	float *axes;                  /* SKETCH_BYTES x dim; the last is zero */
	float *row, *other, *scratch; /* dim each */
	struct code_query query;
	struct vindex_stats stats;
	struct code_scale scale; /* the walk's, for what is measured from the middle already */
};

static bool cancelled(const struct maker *m)
{
	return m->cancel && __atomic_load_n(m->cancel, __ATOMIC_RELAXED);
}

static uint32_t sample_of(const struct maker *m)
{
	return m->w->n < SAMPLE ? m->w->n : SAMPLE;
}
static uint64_t sampled(const struct maker *m, uint32_t i)
{
	return (uint64_t)i * m->w->n / sample_of(m);
}

/* A row from the middle. */
static void get_row(const struct maker *m, uint64_t row, float *out)
{
	const float *from = rows_get(&m->w->rows, row, out), *middle = m->w->scale.middle;

	for (uint32_t d = 0; d < m->w->dim; d++)
		out[d] = from[d] - middle[d];
}

/* Gram and Schmidt. What has no direction of its own becomes zero. */
static void straighten(float *axes, uint32_t dim)
{
	const struct kernels *k = kernels_get();

	for (uint32_t j = 0; j < SKETCH_AXES; j++) {
		float *axis = axes + (size_t)j * dim, before = -k->dot(axis, axis, dim), after;

		for (uint32_t i = 0; i < j; i++) {
			const float *other = axes + (size_t)i * dim;
			float part = -k->dot(axis, other, dim);

			for (uint32_t d = 0; d < dim; d++)
				axis[d] -= part * other[d];
		}
		after = -k->dot(axis, axis, dim);
		float factor = after > 1e-6f * before && isfinite(after) ? 1 / sqrtf(after) : 0;
		for (uint32_t d = 0; d < dim; d++)
			axis[d] = factor > 0 ? axis[d] * factor : 0;
	}
}

/* Adds a row to the sum of each axis, times what it has of the axis. */
static void add_row(const struct maker *m, float *sums)
{
	const struct kernels *k = kernels_get();
	const float *restrict row = m->row;
	uint32_t dim = m->w->dim;

	for (uint32_t j = 0; j < SKETCH_BYTES; j += 4) {
		const float *at = m->axes + (size_t)j * dim;
		const float *const axes[4] = {at, at + dim, at + 2 * dim, at + 3 * dim};
		float *restrict to = sums + (size_t)j * dim, part[4];

		k->dot4(row, axes, dim, part);
		for (uint32_t d = 0; d < dim; d++) {
			to[d] -= part[0] * row[d];
			to[d + dim] -= part[1] * row[d];
			to[d + 2 * dim] -= part[2] * row[d];
			to[d + 3 * dim] -= part[3] * row[d];
		}
	}
}

/* Queries are measured from 0 where rows are not: what they all share counts as an axis of its own. */
static void add_middle(const struct maker *m, float *axes)
{
	if (m->w->distance != DISTANCE_EUCLID)
		memcpy(axes, m->w->scale.middle, m->w->dim * sizeof *axes);
}

/* Orthogonal iteration: what many rows have much of comes out of a round longer. */
static void find_axes(struct maker *m)
{
	uint32_t dim = m->w->dim, n = sample_of(m);
	size_t all = (size_t)SKETCH_AXES * dim;
	float *sums = mem_array(all + dim, sizeof *sums);
	struct prng p;

	prng_seed(&p, 11);
	for (size_t i = 0; i < all; i++)
		m->axes[i] = prng_gauss(&p);
	straighten(m->axes, dim);
	for (int round = 0; round < ROUNDS && !cancelled(m); round++) {
		memset(sums, 0, (all + dim) * sizeof *sums);
		for (uint32_t i = 0; i < n; i++) {
			get_row(m, sampled(m, i), m->row);
			add_row(m, sums);
		}
		memcpy(m->axes, sums, all * sizeof *sums);
		add_middle(m, m->axes);
		straighten(m->axes, dim);
	}
	free(sums);
}

/* As rows, which the bytes of a query are compared with: those have been multiplied by the steps. */
static void encode_axes(struct maker *m)
{
	struct walk_sketch *s = m->s;
	const float *inverse = m->w->scale.inverse;

	for (uint32_t j = 0; j < SKETCH_AXES; j++) {
		const float *axis = m->axes + (size_t)j * s->dim;
		uint8_t *to = s->axes + j * m->w->stride;
		float most = 0;

		for (uint32_t d = 0; d < s->dim; d++)
			most = fmaxf(most, fabsf(axis[d] * inverse[d]));
		s->lengths[j] = isfinite(most) ? most / 127 : 0;
		for (uint32_t d = 0; d < s->dim && s->lengths[j] > 0; d++)
			to[d] = (uint8_t)(axis[d] * inverse[d] / s->lengths[j] + 128.5f);
	}
}

/* Sketches the row that is in m->row. */
static void sketch_row(struct maker *m, float values[SKETCH_BYTES])
{
	const struct walk *w = m->w;
	float square = -kernels_get()->dot(m->row, m->row, w->dim);

	code_query_init(&m->scale, m->kernels, m->row, m->scratch, &m->query);
	project(m->s, m->kernels, &m->query, square, values);
}

static void encode(struct maker *m)
{
	struct walk_sketch *s = m->s;
	struct vindex_rows few = {.n = sample_of(m), .dim = SKETCH_BYTES};
	float *values = mem_array((size_t)few.n * SKETCH_BYTES, sizeof *values);

	for (uint32_t i = 0; i < few.n; i++) {
		get_row(m, sampled(m, i), m->row);
		sketch_row(m, values + (size_t)i * SKETCH_BYTES);
	}
	few.data = values;
	code_scale_init(&s->scale, &few, DISTANCE_DOT);
	for (uint32_t i = 0; i < s->n && (i % SAMPLE || !cancelled(m)); i++) {
		get_row(m, i, m->row);
		sketch_row(m, values);
		code_encode(&s->scale, values, s->codes + (size_t)i * SKETCH_BYTES);
	}
	free(values);
}

/* ---- the share ------------------------------------------------------------------------------- */

static int compare_floats(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/* Of what is left of a row that serves as a query (values), and of one near it. */
static float share_of(struct maker *m, const float values[SKETCH_BYTES], uint64_t near)
{
	const struct walk_sketch *s = m->s;
	float decoded[SKETCH_BYTES], product, lengths;

	get_row(m, near, m->other);
	code_decode(&s->scale, s->codes + near * SKETCH_BYTES, decoded);
	product = -kernels_get()->dot(m->row, m->other, s->dim);
	for (uint32_t j = 0; j < SKETCH_AXES; j++)
		product -= values[j] * decoded[j];
	lengths = values[SKETCH_AXES] * decoded[SKETCH_AXES];
	return lengths > 0 ? product / lengths : 0;
}

/* Looks for what is near a row, which is left in m->row as queries are measured. */
static int search_near(struct maker *m, uint64_t row, struct topk_item *out, uint32_t *n,
		       struct error *err)
{
	const struct walk *w = m->w;
	const struct vindex_query q = {.vector = rows_get(&w->rows, row, m->other),
				       .k = NEAR,
				       .besides = (uint32_t)row + 1};
	int rc = walk_search(w, &q, out, n, &m->stats, err);

	for (uint32_t d = 0; d < w->dim; d++)
		m->row[d] = q.vector[d] - (w->distance == DISTANCE_EUCLID ? w->scale.middle[d] : 0);
	return rc;
}

static uint64_t tried(const struct maker *m, uint32_t i)
{
	return (uint64_t)m->w->n * (2 * i + 1) / (2 * TRIES);
}

/* Where most near pairs are below. *distances: what the searches took without sketches. */
static int measure_share(struct maker *m, uint64_t *distances, struct error *err)
{
	float *shares = mem_array((size_t)TRIES * NEAR, sizeof *shares), values[SKETCH_BYTES];
	struct topk_item near[NEAR];
	uint32_t n_shares = 0, n = 0;
	int rc = 0;

	for (uint32_t i = 0; i < TRIES && !rc; i++) {
		rc = search_near(m, tried(m, i), near, &n, err);
		sketch_row(m, values);
		for (uint32_t j = 0; j < n && !rc; j++)
			shares[n_shares++] = share_of(m, values, near[j].tag);
	}
	*distances = m->stats.distances;
	qsort(shares, n_shares, sizeof *shares, compare_floats);
	m->s->share = n_shares ? shares[(uint32_t)(near_share * (n_shares - 1))] : 0;
	free(shares);
	return rc;
}

/* Leaves the walk its sketches if they save enough codes. */
static int try_out(struct maker *m, struct error *err)
{
	struct topk_item near[NEAR];
	uint64_t without;
	uint32_t n;
	int rc = measure_share(m, &without, err);

	m->stats.distances = 0;
	m->w->sketch = m->s;
	for (uint32_t i = 0; i < TRIES && !rc; i++)
		rc = search_near(m, tried(m, i), near, &n, err);
	if (rc || (double)m->stats.distances > enough * (double)without)
		m->w->sketch = NULL;
	return rc;
}

int walk_sketch_build(struct walk *w, const bool *cancel, struct error *err)
{
	struct maker m = {.w = w, .cancel = cancel, .kernels = code_kernels_get()};
	int rc;

	if (!has_use(w))
		return 0;
	m.s = sketch_new(w->n, w->dim);
	m.axes = mem_array((size_t)SKETCH_BYTES * w->dim, sizeof *m.axes);
	m.row = mem_array(w->dim, sizeof *m.row);
	m.other = mem_array(w->dim, sizeof *m.other);
	m.scratch = mem_array(w->dim, sizeof *m.scratch);
	m.query.bytes = mem_aligned(CODE_ALIGN, w->stride);
	m.scale = w->scale;
	m.scale.distance = DISTANCE_DOT;
	rc = map_codes(m.s, err);
	if (!rc) {
		find_axes(&m);
		encode_axes(&m);
		encode(&m);
		rc = cancelled(&m) ? error_set(err, ERR_CLOSED, "cancelled while sketching rows")
				   : try_out(&m, err);
	}
	free(m.axes);
	free(m.row);
	free(m.other);
	free(m.scratch);
	free(m.query.bytes);
	if (!w->sketch)
		walk_sketch_free(m.s);
	return rc;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

int walk_sketch_write(const struct walk_sketch *s, vindex_write_fn write, void *ctx,
		      struct error *err)
{
	struct buf b = BUF_INIT;
	int rc;

	if (!s)
		return 0;
	buf_put(&b, magic, sizeof magic);
	buf_put_u32(&b, VERSION);
	buf_put_u32(&b, s->n);
	buf_put_u32(&b, s->dim);
	buf_put_f32(&b, s->share);
	buf_put(&b, s->lengths, SKETCH_AXES * sizeof(float));
	buf_put(&b, s->scale.middle, SKETCH_BYTES * sizeof(float));
	buf_put(&b, s->scale.step, SKETCH_BYTES * sizeof(float));
	buf_put(&b, s->scale.inverse, SKETCH_BYTES * sizeof(float));
	buf_put(&b, s->axes, axes_bytes(s));
	buf_put_u64(&b, hash64(b.data, b.len));
	rc = write(ctx, b.data, b.len, err);
	if (!rc)
		rc = write(ctx, s->codes, codes_bytes(s), err);
	buf_fini(&b);
	return rc;
}

static bool take(struct reader *r, float *to, size_t count)
{
	const uint8_t *from = reader_bytes(r, count * sizeof *to);
	bool good = from != NULL;

	if (good)
		memcpy(to, from, count * sizeof *to);
	for (size_t i = 0; i < count && good; i++)
		good = isfinite(to[i]);
	return good;
}

static bool take_head(struct reader *r, struct walk_sketch *s)
{
	struct code_scale *scale = &s->scale;

	s->share = reader_f32(r);
	scale->dim = SKETCH_BYTES;
	scale->distance = DISTANCE_DOT;
	scale->middle = mem_array(SKETCH_BYTES, sizeof(float));
	scale->step = mem_array(SKETCH_BYTES, sizeof(float));
	scale->inverse = mem_array(SKETCH_BYTES, sizeof(float));
	return isfinite(s->share) && take(r, s->lengths, SKETCH_AXES) &&
	       take(r, scale->middle, SKETCH_BYTES) && take(r, scale->step, SKETCH_BYTES) &&
	       take(r, scale->inverse, SKETCH_BYTES);
}

int walk_sketch_read(const void *bytes, size_t n, const struct vindex_rows *of,
		     struct walk_sketch **out, size_t *used, struct error *err)
{
	size_t axes = HEAD + sizeof(float) * (1 + SKETCH_AXES + 3 * SKETCH_BYTES);
	size_t head = axes + SKETCH_AXES * code_stride(of->dim);
	size_t size = head + 8 + (size_t)of->n * SKETCH_BYTES;
	const uint8_t *from = bytes;
	struct reader r = reader_make(bytes, n);
	int rc = 0;

	*out = NULL;
	*used = 0;
	if (n < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0)
		return 0;
	reader_u32(&r);
	if (reader_u32(&r) != VERSION || reader_u32(&r) != of->n || reader_u32(&r) != of->dim ||
	    n < size || load_u64(from + head) != hash64(bytes, head))
		rc = ERR_CORRUPT;
	if (!rc) {
		*out = sketch_new(of->n, of->dim);
		rc = take_head(&r, *out) ? map_codes(*out, err) : ERR_CORRUPT;
	}
	if (!rc) {
		memcpy((*out)->axes, from + axes, axes_bytes(*out));
		memcpy((*out)->codes, from + head + 8, codes_bytes(*out));
		*used = size;
		return 0;
	}
	walk_sketch_free(*out);
	*out = NULL;
	return rc != ERR_CORRUPT
		       ? rc
		       : error_set(err, ERR_CORRUPT,
				   "index file: the sketches behind the graph are damaged");
}
