/* Private to index/: a sketch of each row, one line of the cache, that says whether its code is worth reading.
 *
 * With many dimensions a walk waits for memory: the code of a row is a dozen lines of the cache, and four of five
 * codes that it reads only say that their rows are too far away. Most of what a row says about distances lies in
 * few directions. A sketch holds the row along the SKETCH_AXES of them in which a sample of the rows is longest (its
 * leading singular vectors), and the length of what is left of it. The inner product of a query with a row is that
 * along the axes, and that of what is left of both: for rows that are near each other seldom more than a certain
 * share of the product of the two lengths. So
 *
 *	sum along the axes + share * (length left of the query) * (length left of the row)
 *
 * is seldom less than the true inner product, and a row for which it is too little for a place in the pool need not
 * be looked at. It is one inner product of SKETCH_BYTES bytes, by the kernels of codes.h. The share is measured
 * on the rows themselves, and where sketches do not keep enough rows away there are none. (Random and learned
 * projections serve exact comparisons so in ADSampling, Gao and Long, SIGMOD 2023, and DDC, Yang et al., 2024.) */
#pragma once

#include "index/codes.h"
#include "index/pages.h"
#include "index/walk.h"

enum { SKETCH_BYTES = CODE_ALIGN, SKETCH_AXES = SKETCH_BYTES - 1 };

struct walk_sketch {
	uint32_t n, dim;
	float share;
	float *lengths;          /* SKETCH_AXES: of an axis as its code has it */
	struct code_scale scale; /* of SKETCH_BYTES values */
	struct pages pages;
	uint8_t *axes;  /* SKETCH_AXES codes of the walk's stride */
	uint8_t *codes; /* n x SKETCH_BYTES */
};

/* Inner product with row i, both from where the walk measures, about: base + factor * sum of bytes and codes. */
struct sketch_query {
	uint8_t bytes[SKETCH_BYTES];
	float base, factor;
};
/* What code_query_init() made of the vector (bytes, factor), and its squared length from where the walk measures: for
 * Euclid the middle of the codes, else 0. Rows are measured from the middle. */
void sketch_query_init(const struct walk_sketch *s, const struct code_kernels *k,
		       const struct code_query *code, float square, struct sketch_query *q);

/* Gives the walk sketches, if they help it. Before it is searched by others. ERR_CLOSED when cancelled (polled; may
 * be NULL). */
int walk_sketch_build(struct walk *w, const bool *cancel, struct error *err);
/* NULL: writes nothing. */
int walk_sketch_write(const struct walk_sketch *s, vindex_write_fn write, void *ctx,
		      struct error *err);
/* As walk_cells_read(). */
int walk_sketch_read(const void *bytes, size_t n, const struct vindex_rows *of,
		     struct walk_sketch **out, size_t *used, struct error *err);
void walk_sketch_free(struct walk_sketch *s);
size_t walk_sketch_bytes(const struct walk_sketch *s); /* in memory; NULL: 0 */
/* Takes them over; frees them where the walk has no use for them (codes of one bit). */
void walk_take_sketch(struct walk *w, struct walk_sketch *s);
const struct walk_sketch *walk_sketch_of(const struct walk *w); /* NULL: none */
