/* Makes, writes and reads the cells of a walk. */
#include "index/walk_cells.h"

#include "base/assert.h"
#include "base/bitset.h"
#include "base/codec.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/prng.h"
#include "index/walk_layout.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	VERSION = 2,
	VERSION_OLDEST = 1,
	SAMPLE = 32 /* rows of a cell */,
	ROUNDS = 5,
	POLL_EVERY = 4096
};

static const char magic[4] = {'Q', 'V', 'c', 'l'};

static struct walk_cells *cells_new(uint32_t n, uint32_t dim, uint32_t n_rows)
{
	struct walk_cells *c = mem_zalloc(sizeof *c);

	c->n = n;
	c->dim = dim;
	c->n_rows = n_rows;
	c->centres = mem_array((size_t)n * dim, sizeof *c->centres);
	c->begin = mem_array((size_t)n + 1, sizeof *c->begin);
	c->rows = mem_array(n_rows, sizeof *c->rows);
	return c;
}

void walk_cells_free(struct walk_cells *c)
{
	if (!c)
		return;
	free(c->centres);
	free(c->begin);
	free(c->rows);
	free(c->widths);
	code_scale_fini(&c->scale);
	free(c->codes);
	free(c->norms);
	free(c);
}

/* ---- of a walk ------------------------------------------------------------------------------- */

/* The squared length of a decoded centre, from where distances are counted. */
static float centre_norm(const struct code_scale *s, const uint8_t *code)
{
	double norm = 0;

	for (uint32_t d = 0; d < s->dim; d++) {
		double x = (double)s->step[d] * ((double)code[d] - 128);

		x += s->distance == DISTANCE_EUCLID ? 0 : (double)s->middle[d];
		norm += x * x;
	}
	return (float)norm;
}

static void encode_centres(struct walk_cells *c, enum distance distance)
{
	const struct vindex_rows centres = {.data = c->centres, .n = c->n, .dim = c->dim};

	code_scale_fini(&c->scale);
	code_scale_init(&c->scale, &centres, distance);
	for (uint32_t i = 0; i < c->n; i++) {
		uint8_t *code = c->codes + i * c->stride;

		code_encode(&c->scale, c->centres + (size_t)i * c->dim, code);
		c->norms[i] = centre_norm(&c->scale, code);
	}
}

static void make_codes(struct walk_cells *c, enum distance distance)
{
	c->stride = code_stride(c->dim);
	c->codes = mem_aligned(CODE_ALIGN, c->n * c->stride);
	c->norms = mem_array(c->n, sizeof *c->norms);
	encode_centres(c, distance);
}

void walk_cells_query(const struct walk_cells *c, const struct code_kernels *k, const float *vector,
		      float *scratch, struct code_query *q)
{
	double length = 0;

	code_query_init(&c->scale, k, vector, scratch, q);
	for (uint32_t d = 0; d < c->dim && c->widths; d++)
		length += (double)vector[d] * (double)vector[d];
	if (length > 0)
		q->factor *= c->reach / (float)sqrt(length);
}

static bool has_use(const struct walk *w, const struct walk_cells *c)
{
	return w->n >= CELLS_MIN_ROWS && !walk_has_bits(w) &&
	       (w->distance == DISTANCE_DOT) == (c->widths != NULL);
}

void walk_take_cells(struct walk *w, struct walk_cells *cells)
{
	if (!cells)
		return;
	if (!has_use(w, cells)) {
		walk_cells_free(cells);
		return;
	}
	assert(!w->cells && cells->n_rows == w->n && cells->dim == w->dim);
	if (!cells->codes)
		make_codes(cells, w->distance);
	for (uint32_t i = 0; i < cells->n && cells->widths; i++)
		cells->norms[i] = -cells->widths[i];
	w->cells = cells;
}

void walk_drop_centres(struct walk *w)
{
	if (!w->cells)
		return;
	free(w->cells->centres);
	w->cells->centres = NULL;
}

const struct walk_cells *walk_cells_of(const struct walk *w)
{
	return w->cells;
}

/* ---- building -------------------------------------------------------------------------------- */

struct maker {
	const struct walk *w;
	struct walk_cells *c;
	const struct code_kernels *kernels;
	uint32_t *ids; /* 0..n-1 */
	int32_t *sums;
	float *row, *scratch; /* dim each */
	struct code_query query;
	float *totals; /* n x dim: sums of the sample's rows, and how many */
	uint32_t *counts;
	double length; /* of all rows */
};

/* A row as the walk knows it. */
static void get_row(const struct maker *m, uint32_t row)
{
	code_decode(&m->w->scale, m->w->codes + row * m->w->stride, m->row);
}

/* The centre that a row is nearest to. The row is left in m->row. */
static uint32_t nearest(struct maker *m, uint32_t row)
{
	bool l1 = m->w->distance == DISTANCE_MANHATTAN;
	float best_key = INFINITY;
	uint32_t best = 0;

	get_row(m, row);
	code_query_init(&m->c->scale, m->kernels, m->row, m->scratch, &m->query);
	(l1 ? m->kernels->l1 : m->kernels->dot)(m->query.bytes, m->c->codes, m->c->stride, m->ids,
						m->c->n, m->sums);
	for (uint32_t i = 0; i < m->c->n; i++) {
		float key = l1 ? (float)m->sums[i]
			       : m->c->norms[i] - m->query.factor * (float)m->sums[i];

		best = key < best_key ? i : best;
		best_key = key < best_key ? key : best_key;
	}
	return best;
}

/* One round of k-means on a sample. */
static void improve(struct maker *m)
{
	struct walk_cells *c = m->c;
	uint32_t n = c->n_rows / SAMPLE < c->n ? c->n_rows : c->n * SAMPLE, dim = c->dim;

	memset(m->totals, 0, (size_t)c->n * dim * sizeof *m->totals);
	memset(m->counts, 0, c->n * sizeof *m->counts);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = nearest(m, (uint32_t)((uint64_t)i * c->n_rows / n));
		float *total = m->totals + (size_t)at * dim;

		m->counts[at]++;
		for (uint32_t d = 0; d < dim; d++)
			total[d] += m->row[d];
	}
	for (uint32_t i = 0; i < c->n; i++) {
		for (uint32_t d = 0; d < dim && m->counts[i]; d++)
			c->centres[(size_t)i * dim + d] =
				m->totals[(size_t)i * dim + d] / (float)m->counts[i];
	}
	encode_centres(c, m->w->distance);
}

static void maker_init(struct maker *m, const struct walk *w, struct walk_cells *c)
{
	struct prng p;

	*m = (struct maker){.w = w, .c = c, .kernels = code_kernels_get()};
	m->ids = mem_array(c->n, sizeof *m->ids);
	m->sums = mem_array(c->n, sizeof *m->sums);
	m->row = mem_array(c->dim, sizeof *m->row);
	m->scratch = mem_array(c->dim, sizeof *m->scratch);
	m->query.bytes = mem_aligned(CODE_ALIGN, code_stride(c->dim));
	m->totals = mem_array((size_t)c->n * c->dim, sizeof *m->totals);
	m->counts = mem_array(c->n, sizeof *m->counts);
	prng_seed(&p, 5);
	for (uint32_t i = 0; i < c->n; i++) {
		uint32_t row = (uint32_t)prng_below(&p, c->n_rows);

		m->ids[i] = i;
		get_row(m, row);
		memcpy(c->centres + (size_t)i * c->dim, m->row, c->dim * sizeof *m->row);
	}
	make_codes(c, w->distance);
}

static void maker_fini(struct maker *m)
{
	free(m->ids);
	free(m->sums);
	free(m->row);
	free(m->scratch);
	free(m->query.bytes);
	free(m->totals);
	free(m->counts);
}

/* The row that was looked at last is in this cell. */
static void measure(struct maker *m, uint32_t cell)
{
	const float *centre = m->c->centres + (size_t)cell * m->c->dim;
	double length = 0, distance = 0;

	for (uint32_t d = 0; d < m->c->dim; d++) {
		double x = (double)m->row[d], away = x - (double)centre[d];

		length += x * x;
		distance += away * away;
	}
	m->c->widths[cell] += (float)distance;
	m->length += sqrt(length);
}

static void finish_widths(struct maker *m)
{
	struct walk_cells *c = m->c;

	c->reach = (float)(m->length / c->n_rows);
	for (uint32_t i = 0; i < c->n; i++) {
		uint32_t n = c->begin[i + 1] - c->begin[i];

		c->widths[i] /= (float)(n ? n : 1);
	}
}

/* Sorts the rows by their cells; false when cancelled. */
static bool assign(struct maker *m, const bool *cancel)
{
	struct walk_cells *c = m->c;
	uint32_t *cell_of = mem_array(c->n_rows, sizeof *cell_of);
	bool go_on = true;

	for (uint32_t row = 0; row < c->n_rows && go_on; row++) {
		if (row % POLL_EVERY == 0)
			go_on = !cancel || !__atomic_load_n(cancel, __ATOMIC_RELAXED);
		cell_of[row] = nearest(m, row);
		c->begin[cell_of[row] + 1]++;
		if (c->widths)
			measure(m, cell_of[row]);
	}
	for (uint32_t i = 0; i < c->n; i++) {
		c->begin[i + 1] += c->begin[i];
		m->counts[i] = c->begin[i]; /* from here on: where its next row goes */
	}
	for (uint32_t row = 0; row < c->n_rows && go_on; row++)
		c->rows[m->counts[cell_of[row]]++] = row;
	if (c->widths)
		finish_widths(m);
	free(cell_of);
	return go_on;
}

int walk_cells_build(const struct walk *w, const bool *cancel, struct walk_cells **out,
		     struct error *err)
{
	struct maker m;
	bool done;

	*out = NULL;
	if (w->n < CELLS_MIN_ROWS || walk_has_bits(w))
		return 0;
	*out = cells_new((uint32_t)sqrt((double)w->n), w->dim, w->n);
	if (w->distance == DISTANCE_DOT)
		(*out)->widths = mem_array((*out)->n, sizeof *(*out)->widths);
	maker_init(&m, w, *out);
	for (int round = 0; round < ROUNDS; round++)
		improve(&m);
	done = assign(&m, cancel);
	maker_fini(&m);
	if (done)
		return 0;
	walk_cells_free(*out);
	*out = NULL;
	return error_set(err, ERR_CLOSED, "cancelled while sorting rows into cells");
}

/* ---- bytes ----------------------------------------------------------------------------------- */

int walk_cells_write(const struct walk_cells *c, vindex_write_fn write, void *ctx,
		     struct error *err)
{
	struct buf b = BUF_INIT;
	int rc;

	if (!c)
		return 0;
	assert(c->centres);
	buf_put(&b, magic, sizeof magic);
	buf_put_u32(&b, VERSION);
	buf_put_u32(&b, c->n);
	buf_put_u32(&b, c->dim);
	buf_put_u32(&b, c->n_rows);
	buf_put_u32(&b, c->widths != NULL);
	for (uint32_t i = 0; i < c->n; i++)
		buf_put_u32(&b, c->begin[i + 1] - c->begin[i]);
	for (uint32_t i = 0; i < c->n_rows; i++)
		buf_put_u32(&b, c->rows[i]);
	for (size_t i = 0; i < (size_t)c->n * c->dim; i++)
		buf_put_f32(&b, c->centres[i]);
	for (uint32_t i = 0; i < c->n && c->widths; i++)
		buf_put_f32(&b, c->widths[i]);
	if (c->widths)
		buf_put_f32(&b, c->reach);
	buf_put_u64(&b, hash64(b.data, b.len));
	rc = write(ctx, b.data, b.len, err);
	buf_fini(&b);
	return rc;
}

static bool read_widths(struct reader *r, struct walk_cells *c)
{
	bool good = true;

	c->widths = mem_array(c->n, sizeof *c->widths);
	for (uint32_t i = 0; i < c->n && good; i++) {
		c->widths[i] = reader_f32(r);
		good = isfinite(c->widths[i]) && c->widths[i] >= 0;
	}
	c->reach = reader_f32(r);
	return good && isfinite(c->reach) && c->reach >= 0;
}

/* Every row once, every centre a point. */
static bool read_contents(struct reader *r, struct walk_cells *c)
{
	struct bitset seen;
	bool good = true;
	uint64_t n = 0;

	for (uint32_t i = 0; i < c->n && n <= c->n_rows; i++) {
		n += reader_u32(r);
		c->begin[i + 1] = (uint32_t)n;
	}
	if (n != c->n_rows)
		return false;
	bitset_init(&seen, c->n_rows, false);
	for (uint32_t i = 0; i < c->n_rows && good; i++) {
		c->rows[i] = reader_u32(r);
		good = c->rows[i] < c->n_rows && !bitset_get(&seen, c->rows[i]);
		if (good)
			bitset_set(&seen, c->rows[i]);
	}
	bitset_fini(&seen);
	for (size_t i = 0; i < (size_t)c->n * c->dim && good; i++) {
		c->centres[i] = reader_f32(r);
		good = isfinite(c->centres[i]);
	}
	return good;
}

int walk_cells_read(const void *bytes, size_t n, const struct vindex_rows *of,
		    struct walk_cells **out, size_t *used, struct error *err)
{
	struct reader r = reader_make(bytes, n);
	uint32_t version, n_cells, dim, n_rows, has_widths;
	size_t size;

	*out = NULL;
	*used = 0;
	if (n < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0)
		return 0;
	reader_u32(&r);
	version = reader_u32(&r);
	n_cells = reader_u32(&r);
	dim = reader_u32(&r);
	n_rows = reader_u32(&r);
	has_widths = version == 1 ? 0 : reader_u32(&r);
	size = (version == 1 ? 20 : 24) + 4 * ((size_t)n_cells * (1 + (size_t)dim) + n_rows);
	size += has_widths ? 4 * ((size_t)n_cells + 1) : 0;
	if (!reader_ok(&r) || version < VERSION_OLDEST || version > VERSION || n_cells == 0 ||
	    n_cells > n_rows || dim != of->dim || n_rows != of->n || has_widths > 1 || n < 8 ||
	    size > n - 8 || load_u64((const uint8_t *)bytes + size) != hash64(bytes, size))
		return error_set(err, ERR_CORRUPT,
				 "index file: the cells behind the graph are damaged");
	*out = cells_new(n_cells, dim, n_rows);
	if (!read_contents(&r, *out) || (has_widths && !read_widths(&r, *out))) {
		walk_cells_free(*out);
		*out = NULL;
		return error_set(err, ERR_CORRUPT,
				 "index file: the cells behind the graph do not hold each row once");
	}
	*used = size + 8;
	return 0;
}
