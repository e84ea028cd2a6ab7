/* Pieces that the codecs of the model share. Decoders never fail half-way: what is wrong makes the
 * reader bad (reader_fail), every later read gives zero, and the outermost decoder looks once.
 * Private to model/. */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "model/payload.h"
#include "model/point.h"

void wire_put_bool(struct buf *b, bool v);
bool wire_bool(struct reader *r);                     /* 0 or 1 */
uint32_t wire_enum(struct reader *r, uint32_t count); /* one byte below count */
float wire_f32(struct reader *r);                     /* not a NaN */
double wire_f64(struct reader *r);                    /* not a NaN */
/* UTF-8 without NUL, copied with a NUL after it; "" when bad. n may be NULL. */
const char *wire_text(struct reader *r, struct arena *arena, uint32_t max, uint32_t *n);
void wire_put_path(struct buf *b, const struct path *p); /* no steps: the empty text */
void wire_path(struct reader *r, struct arena *arena, bool may_be_empty, struct path *out);
void wire_put_slice(struct buf *b, struct pv_slice s);
/* A payload value, borrowed from the reader's bytes; none at all is {NULL, 0}. */
struct pv_slice wire_slice(struct reader *r, bool must_be_object);
void wire_put_vector(struct buf *b, const struct vector *v);
/* Values and indices are 4-byte aligned copies. */
void wire_vector(struct reader *r, struct arena *arena, struct vector *out);
enum { WIRE_VECTOR_BYTES = 9 }; /* the least that a vector takes */
