/* Points and vectors as they travel: from the API to the log, and from a segment to the answer. */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"
#include "model/collection.h"
#include "model/id.h"
#include "model/payload.h"

enum vector_kind { VECTOR_DENSE, VECTOR_SPARSE };

/* One vector of a point. Dense: values[0..n) in dimension order; sparse: indices ascending and
 * unique, values beside them. Borrowed memory. */
struct vector {
	enum vector_kind kind;
	uint32_t space; /* index into collection.spaces or .sparse */
	uint32_t n;
	const float *values;
	const uint32_t *indices; /* sparse only */
};

struct point {
	struct point_id id;
	uint32_t n_vectors; /* may be 0; at most one for each kind and space */
	struct vector *vectors;
	struct pv_slice payload; /* an object; n = 0 means empty */
};

/* In place: x / |x|. A zero vector stays zero, and one whose length is 1 within rounding stays as
 * it is, so that doing it twice changes nothing. */
void vector_normalize(float *x, uint32_t n);
/* All finite? */
bool vector_finite(const float *x, uint32_t n);

void point_encode(struct buf *b, const struct point *p);
/* Vectors are 4-byte aligned copies in the arena; payload is borrowed from the reader's bytes.
 * Checks kinds, ascending sparse indices, finite values and the payload. */
int point_decode(struct reader *r, struct arena *arena, struct point *out, struct error *err);
