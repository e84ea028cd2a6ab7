/* Made-up vectors: cluster c has a centre, and `rank` directions of falling width; a vector is the centre
 * plus a Gaussian step along each direction plus a little noise in every dimension. */
#include "bench/dataset.h"

#include "base/memory.h"
#include "base/prng.h"
#include <math.h>
#include <stdlib.h>

static const float noise = 0.1f;

struct mixture {
	uint32_t dim, n_clusters, rank;
	float *centres;    /* n_clusters x dim */
	float *directions; /* n_clusters x rank x dim */
};

static void make_mixture(const struct dataset_shape *shape, struct mixture *m)
{
	struct prng p;

	m->dim = shape->dim;
	m->n_clusters = shape->n_clusters ? shape->n_clusters : 200;
	m->rank = shape->rank ? shape->rank : 16;
	if (m->rank > m->dim)
		m->rank = m->dim;
	m->centres = mem_array((size_t)m->n_clusters * m->dim, sizeof(float));
	m->directions = mem_array((size_t)m->n_clusters * m->rank * m->dim, sizeof(float));
	prng_seed(&p, shape->seed);
	for (size_t i = 0; i < (size_t)m->n_clusters * m->dim; i++)
		m->centres[i] = prng_gauss(&p);
	for (size_t i = 0; i < (size_t)m->n_clusters * m->rank * m->dim; i++) {
		uint32_t direction = (uint32_t)(i / m->dim % m->rank);

		m->directions[i] = prng_gauss(&p) * 2.0f / sqrtf((float)(direction + 4));
	}
}

static void normalise(float *x, uint32_t dim)
{
	float sum = 0;

	for (uint32_t i = 0; i < dim; i++)
		sum += x[i] * x[i];
	if (sum > 0) {
		float factor = 1.0f / sqrtf(sum);

		for (uint32_t i = 0; i < dim; i++)
			x[i] *= factor;
	}
}

void dataset_fill(const struct dataset_shape *shape, uint64_t draw, uint32_t n, float *out)
{
	struct mixture m;
	struct prng p;

	make_mixture(shape, &m);
	prng_seed(&p, shape->seed * 1000003 + draw + 1);
	for (uint32_t row = 0; row < n; row++) {
		float *x = out + (size_t)row * m.dim;
		uint64_t cluster = prng_below(&p, m.n_clusters);
		const float *centre = m.centres + cluster * m.dim;

		for (uint32_t i = 0; i < m.dim; i++)
			x[i] = centre[i] + noise * prng_gauss(&p);
		for (uint32_t r = 0; r < m.rank; r++) {
			const float *direction = m.directions + (cluster * m.rank + r) * m.dim;
			float step = prng_gauss(&p);

			for (uint32_t i = 0; i < m.dim; i++)
				x[i] += step * direction[i];
		}
		if (shape->normalise)
			normalise(x, m.dim);
	}
	free(m.centres);
	free(m.directions);
}
