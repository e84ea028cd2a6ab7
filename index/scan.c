/* Exact search: a scan over all rows, or over the rows of a bitset, four at a time with the rows that
 * come next being fetched meanwhile. */
#include "base/assert.h"
#include "base/memory.h"
#include "index/kernels.h"
#include "index/rows.h"
#include <stdlib.h>

enum { SCAN_AHEAD_BYTES = 2048 };

struct scan {
	const struct vindex_rows *rows;
	float *decoded;   /* room for four rows; NULL when they are plain floats */
	const char *base; /* first byte of row 0; rows may be unaligned */
	size_t row_bytes;
	size_t dim;
	uint32_t n;
	const struct bitset *allow;
	kernel_fn distance;
	kernel4_fn distance4;
	const float *query;
	struct topk top;
	float bound;
};

static inline const char *row_at(const struct scan *s, uint32_t row)
{
	return s->base + (size_t)row * s->row_bytes;
}

/* As floats; slot: 0..3, of what is decoded. */
static inline const float *row_floats(const struct scan *s, uint32_t row, size_t slot)
{
	if (s->decoded == NULL)
		return (const float *)(const void *)row_at(s, row);
	return rows_get(s->rows, row, s->decoded + slot * s->dim);
}

static inline void offer(struct scan *s, float key, uint32_t row)
{
	if (key > s->bound)
		return;
	if (topk_push(&s->top, key, row))
		s->bound = topk_bound(&s->top);
}

static void offer4(struct scan *s, const uint32_t rows[4])
{
	const float *pointers[4];
	float keys[4];

	for (size_t i = 0; i < 4; i++)
		pointers[i] = row_floats(s, rows[i], i);
	s->distance4(s->query, pointers, s->dim, keys);
	for (int i = 0; i < 4; i++)
		offer(s, keys[i], rows[i]);
}

static void scan_all(struct scan *s)
{
	uint32_t row = 0;

	for (; row + 4 <= s->n; row += 4) {
		const uint32_t rows[4] = {row, row + 1, row + 2, row + 3};
		const char *ahead = row_at(s, row) + SCAN_AHEAD_BYTES;

		/* a prefetch past the end is harmless */
		for (size_t b = 0; b < 4 * s->row_bytes && b < SCAN_AHEAD_BYTES; b += 64)
			__builtin_prefetch(ahead + b);
		offer4(s, rows);
	}
	for (; row < s->n; row++)
		offer(s, s->distance(s->query, row_floats(s, row, 0), s->dim), row);
}

/* Rows of the bitset, gathered in a small ring so that a row is fetched well before it is used. */
static void scan_allowed(struct scan *s)
{
	enum { GATHER = 16 };
	uint32_t rows[GATHER];
	uint32_t n = 0;
	uint32_t row = bitset_next(s->allow, 0);

	while (row < s->n) {
		const char *at = row_at(s, row);

		for (size_t b = 0; b < s->row_bytes && b < SCAN_AHEAD_BYTES; b += 64)
			__builtin_prefetch(at + b);
		rows[n++] = row;
		if (n == GATHER) {
			for (n = 0; n < GATHER; n += 4)
				offer4(s, rows + n);
			n = 0;
		}
		row = row + 1 < s->n ? bitset_next(s->allow, row + 1) : s->n;
	}
	for (uint32_t i = 0; i < n; i++)
		offer(s, s->distance(s->query, row_floats(s, rows[i], 0), s->dim), rows[i]);
}

int vindex_scan(const struct vindex_rows *rows, enum distance distance,
		const struct vindex_query *q, struct topk_item *out, uint32_t *n_out)
{
	const struct kernels *k = kernels_get();
	struct scan s = {
		.rows = rows,
		.base = (const char *)rows->data,
		.row_bytes = rows_bytes(rows),
		.dim = rows->dim,
		.n = rows->n,
		.allow = q->allow,
		.distance = kernels_distance(k, distance),
		.distance4 = kernels_distance4(k, distance),
		.query = q->vector,
	};

	assert(!q->allow || q->allow->n_bits >= rows->n);
	*n_out = 0;
	if (q->k == 0 || rows->n == 0)
		return 0;
	topk_init_ordered(&s.top, out, q->k < rows->n ? q->k : rows->n, q->order);
	s.bound = topk_bound(&s.top);
	if (!rows_are_plain(rows))
		s.decoded = mem_array(4 * (size_t)rows->dim, sizeof(float));
	if (q->allow)
		scan_allowed(&s);
	else
		scan_all(&s);
	free(s.decoded);
	topk_sort(&s.top);
	*n_out = (uint32_t)s.top.count;
	return 0;
}

float vindex_distance(enum distance distance, const float *a, const float *b, uint32_t dim)
{
	return kernels_distance(kernels_get(), distance)(a, b, dim);
}
