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
/* Candidates are worth fetching ahead. */
static inline bool rows_in_memory(const struct vindex_rows *r)
{
	return r->read == NULL;
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
/* The same of a candidate. raw: room for rows_bytes(), where rows are read; scratch: dim floats. */
static inline const float *rows_fetch(const struct vindex_rows *r, uint64_t row, void *raw,
				      float *scratch)
{
	void *to = rows_are_plain(r) ? scratch : raw;

	if (rows_in_memory(r) || r->read(r->read_ctx, row, to))
		return rows_get(r, row,
				scratch); /* what cannot be read is looked up where it lies */
	const struct vindex_rows one = {
		.data = to, .n = 1, .dim = r->dim, .type = r->type, .unit = r->unit};
	return rows_get(&one, 0, scratch);
}
