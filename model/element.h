/* Elements of dense vectors as they are stored: 32-bit floats, IEEE 754 half floats, unsigned bytes.
 * Everything but stored rows is computed with floats.
 *
 * float16: rounded to the nearest, ties to even. uint8: the fraction is cut off, values below 0 are 0
 * and above 255 are 255. Cosine vectors are stored with length 1, except those of bytes, which could
 * not hold it: they stay as given, and whoever compares them divides by their length. */
#pragma once
#include "model/collection.h"

static inline size_t datatype_bytes(enum datatype t)
{
	return t == DATATYPE_FLOAT32 ? 4 : t == DATATYPE_FLOAT16 ? 2 : 1;
}
/* n floats to n elements and back; the elements at any address. Floats that came out of decoding
 * give the same elements again. */
void element_encode(enum datatype t, const float *x, size_t n, void *out);
void element_decode(enum datatype t, const void *elements, size_t n, float *out);
/* Are the rows of this space compared as if their length was 1, without being stored so? */
static inline bool space_unit_rows(const struct vector_space *s)
{
	return s->distance == DISTANCE_COSINE && s->datatype == DATATYPE_UINT8;
}
/* Is none of the floats of a vector beyond what the space can hold? (Bytes hold any, see above, and a
 * cosine vector becomes small enough.) */
bool space_fits(const struct vector_space *s, const float *x);
/* A vector of the space in place: as it is stored, and as it is compared with the rows. */
void space_stored(const struct vector_space *s, float *x);
void space_query(const struct vector_space *s, float *x);
