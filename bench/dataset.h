/* Vectors made up for tests and benchmarks: a mixture of low-rank Gaussians. Like the embeddings of
 * real text or pictures they lie in clusters that touch, and few directions matter in each. The same
 * seed gives the same vectors. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct dataset_shape {
	uint32_t dim;
	uint32_t n_clusters; /* 0 = 200 */
	uint32_t rank;       /* dimensions of the hidden space; 0 = 24, at most dim */
	bool normalise;
	uint64_t seed; /* of the mixture: the same for the rows and the queries */
};

/* Fills out[n x dim] with draw number `draw` (another draw of the same seed gives other vectors of the
 * same mixture). */
void dataset_fill(const struct dataset_shape *shape, uint64_t draw, uint32_t n, float *out);
