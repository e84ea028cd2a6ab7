/* Shared by the tests of index/: made-up rows, an index saved into memory, exact answers. */
#pragma once

#include "base/assert.h"
#include "base/codec.h"
#include "base/memory.h"
#include "bench/dataset.h"
#include "index/faiss_file.h"
#include "index/vindex.h"
#include <stdlib.h>
#include <string.h>

static const enum distance all_distances[] = {DISTANCE_COSINE, DISTANCE_DOT, DISTANCE_EUCLID,
					      DISTANCE_MANHATTAN};

struct sample {
	uint32_t n, dim, n_queries;
	float *rows, *queries;
};

static inline struct sample sample_new(uint32_t n, uint32_t dim, uint32_t n_queries)
{
	const struct dataset_shape shape = {
		.dim = dim, .n_clusters = 20, .rank = 8, .normalise = true, .seed = 7};
	struct sample s = {.n = n, .dim = dim, .n_queries = n_queries};

	s.rows = mem_array((size_t)n * dim + 1, sizeof(float));
	s.queries = mem_array((size_t)n_queries * dim + 1, sizeof(float));
	dataset_fill(&shape, 0, n, s.rows);
	dataset_fill(&shape, 1, n_queries, s.queries);
	return s;
}

static inline void sample_free(struct sample *s)
{
	free(s->rows);
	free(s->queries);
}

static inline int save_to_buf(void *ctx, const void *bytes, size_t n, struct error *err)
{
	buf_put(ctx, bytes, n);
	return 0;
}

static inline struct vindex *build_index(const struct sample *s, enum distance distance,
					 const struct index_config *config)
{
	const struct vindex_build b = {
		.rows = {.data = s->rows, .n = s->n, .dim = s->dim},
		.distance = distance,
		.config = *config,
		.threads = 1,
	};
	struct vindex *v = NULL;
	struct error err = {0};

	if (vindex_build(&b, &v, &err))
		assert(!"build failed");
	return v;
}

static inline int open_index(const struct buf *file, enum distance distance,
			     const struct index_config *config, struct vindex **out)
{
	const struct vindex_open o = {.bytes = file->data,
				      .n_bytes = file->len,
				      .distance = distance,
				      .config = *config};

	return vindex_open(&o, out, NULL);
}

/* A copy that lacks `size` bytes at `at`. */
static inline struct buf buf_without(const struct buf *file, size_t at, size_t size)
{
	struct buf b = BUF_INIT;

	buf_put(&b, file->data, at);
	buf_put(&b, file->data + at + size, file->len - at - size);
	return b;
}

/* What lies behind the graph and its layout. */
static inline const uint8_t *behind_layout(const struct faiss_graph *g, size_t *n)
{
	size_t layout = g->n_rest > 16 && memcmp(g->rest, "QVwl", 4) == 0 ? load_u64(g->rest + 8)
									  : 0;

	assert(layout <= g->n_rest);
	*n = g->n_rest - layout;
	return g->rest + layout;
}

/* How many of the true neighbours were found. */
static inline uint32_t overlap(const struct topk_item *a, uint32_t n_a, const struct topk_item *b,
			       uint32_t n_b)
{
	uint32_t same = 0;

	for (uint32_t i = 0; i < n_a; i++) {
		for (uint32_t j = 0; j < n_b; j++)
			same += a[i].tag == b[j].tag;
	}
	return same;
}
