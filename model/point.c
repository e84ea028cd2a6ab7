/* Points and vectors: arithmetic at the edge, and the codec. */
#include "model/point.h"
#include "base/limits.h"
#include "model/wire.h"
#include <math.h>

void vector_normalize(float *x, uint32_t n)
{
	double sum = 0;
	for (uint32_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)x[i];
	if (sum == 0 || fabs(sum - 1) <= 1e-6)
		return;
	double factor = 1 / sqrt(sum);
	for (uint32_t i = 0; i < n; i++)
		x[i] = (float)(x[i] * factor);
}

bool vector_finite(const float *x, uint32_t n)
{
	/* x - x is 0 for finite numbers and NaN for all others; one test at the end vectorises. */
	float sum = 0;
	for (uint32_t i = 0; i < n; i++)
		sum += x[i] - x[i];
	return sum == 0;
}

void point_encode(struct buf *b, const struct point *p)
{
	id_encode(b, &p->id);
	buf_put_u32(b, p->n_vectors);
	for (uint32_t i = 0; i < p->n_vectors; i++)
		wire_put_vector(b, &p->vectors[i]);
	wire_put_slice(b, p->payload);
}

static bool distinct_spaces(const struct vector *vectors, uint32_t n)
{
	uint64_t seen[2] = {0, 0}; /* by kind; spaces are below 64 */
	_Static_assert(LIMIT_VECTOR_SPACES <= 64, "spaces are bits of a word");
	for (uint32_t i = 0; i < n; i++) {
		uint64_t bit = 1ull << vectors[i].space;
		if (seen[vectors[i].kind] & bit)
			return false;
		seen[vectors[i].kind] |= bit;
	}
	return true;
}

int point_decode(struct reader *r, struct arena *arena, struct point *out, struct error *err)
{
	*out = (struct point){0};
	out->id = id_decode(r);
	uint32_t n = reader_count(r, WIRE_VECTOR_BYTES);
	if (n > 2 * LIMIT_VECTOR_SPACES) {
		reader_fail(r);
		n = 0;
	}
	out->vectors = arena_alloc(arena, n * sizeof(*out->vectors));
	for (uint32_t i = 0; i < n && reader_ok(r); i++) {
		wire_vector(r, arena, &out->vectors[i]);
		out->n_vectors = i + 1;
	}
	out->payload = wire_slice(r, true);
	if (reader_ok(r) && !distinct_spaces(out->vectors, out->n_vectors))
		reader_fail(r);
	if (!reader_ok(r))
		return error_set(err, ERR_FORMAT, "a point is malformed");
	return 0;
}
