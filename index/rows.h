/* Private to index/: rows as floats, whatever type they are stored as. */
#pragma once

#include "index/vindex.h"
#include "model/element.h"
#include "model/point.h"

static inline bool rows_are_plain(const struct vindex_rows *r)
{
	return r->type == DATATYPE_FLOAT32 && !r->unit;
}
static inline size_t rows_bytes(const struct vindex_rows *r) /* of one row */
{
	return r->dim * datatype_bytes(r->type);
}
/* Where it is stored. */
static inline const char *rows_at(const struct vindex_rows *r, uint64_t row)
{
	return (const char *)r->data + (size_t)row * rows_bytes(r);
}
/* A row as it is compared: in place when it is stored so, else in scratch (dim floats). */
static inline const float *rows_get(const struct vindex_rows *r, uint64_t row, float *scratch)
{
	if (rows_are_plain(r))
		return (const float *)(const void *)rows_at(r, row);
	element_decode(r->type, rows_at(r, row), r->dim, scratch);
	if (r->unit)
		vector_normalize(scratch, r->dim);
	return scratch;
}
