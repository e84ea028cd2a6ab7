/* Private to graph*.c: codes that the builder computes distances on. */
#pragma once

#include "index/codes.h"
#include "index/graph.h"

int graph_new(uint32_t n, uint32_t m, struct graph **out, struct error *err);

/* Rows as signed bytes t (kept with 128 added, as the kernels want codes) with one step for all dimensions,
 * so that the distance of two coded rows is an integer that comes from one dot product. */
struct graph_codes {
	uint32_t n, dim;
	size_t stride;
	bool inner_product; /* key falls with the dot product; else squared Euclidean distance */
	const struct code_kernels *kernels;
	uint8_t *codes; /* n x stride, aligned; padding 128 = zero */
	int32_t *norms; /* n: sum of t squared */
};

int graph_codes_init(struct graph_codes *c, const struct vindex_rows *rows, enum distance distance,
		     struct error *err);
void graph_codes_fini(struct graph_codes *c);

/* A coded row made ready to be compared with others. */
struct graph_query {
	uint8_t *bytes; /* stride, aligned, the caller's: t as int8_t */
	int32_t shift; /* 128 times the sum of t: what the +128 of the codes adds to a dot product */
	int32_t norm;
};
void graph_query_init(const struct graph_codes *c, uint32_t row, struct graph_query *q);
/* keys[i] of rows ids[i]; sums: scratch for n. Smaller is nearer; the same units for all pairs. */
void graph_keys(const struct graph_codes *c, const struct graph_query *q, const uint32_t *ids,
		uint32_t n, int32_t *sums, uint32_t *keys);
