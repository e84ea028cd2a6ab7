/* Made-up vectors. There is a hidden space of `rank` dimensions; a cluster has a centre there, and a width
 * along each hidden dimension, few of them large. A vector is a Gaussian step from its cluster's centre,
 * mapped into `dim` dimensions by one random matrix, plus a little noise in every dimension: so a
 * cluster is nearly flat, and clusters touch, as those of real embeddings do. */
#include "bench/dataset.h"

#include "base/memory.h"
#include "base/prng.h"
#include <math.h>
#include <stdlib.h>

static const float centre_width = 0.7f, noise_width = 0.15f;

struct mixture {
	uint32_t dim, n_clusters, rank;
	float *centres; /* n_clusters x rank */
	float *widths;  /* n_clusters x rank */
	float *map;     /* rank x dim */
};

static void make_mixture(const struct dataset_shape *shape, struct mixture *m)
{
	struct prng p;

	m->dim = shape->dim;
	m->n_clusters = shape->n_clusters ? shape->n_clusters : 200;
	m->rank = shape->rank ? shape->rank : 24;
	if (m->rank > m->dim)
		m->rank = m->dim;
	m->centres = mem_array((size_t)m->n_clusters * m->rank, sizeof(float));
	m->widths = mem_array((size_t)m->n_clusters * m->rank, sizeof(float));
	m->map = mem_array((size_t)m->rank * m->dim, sizeof(float));
	prng_seed(&p, shape->seed);
	for (size_t i = 0; i < (size_t)m->n_clusters * m->rank; i++) {
		float u = (float)prng_unit(&p);

		m->centres[i] = centre_width * prng_gauss(&p);
		m->widths[i] = u * u; /* a third of the dimensions has most of the width */
	}
	for (size_t i = 0; i < (size_t)m->rank * m->dim; i++)
		m->map[i] = prng_gauss(&p) / sqrtf((float)m->rank);
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

static void draw_vector(const struct mixture *m, struct prng *p, float *x)
{
	uint64_t cluster = prng_below(p, m->n_clusters);

	for (uint32_t i = 0; i < m->dim; i++)
		x[i] = noise_width * prng_gauss(p);
	for (uint32_t r = 0; r < m->rank; r++) {
		size_t at = cluster * m->rank + r;
		float hidden = m->centres[at] + m->widths[at] * prng_gauss(p);
		const float *row = m->map + (size_t)r * m->dim;

		for (uint32_t i = 0; i < m->dim; i++)
			x[i] += hidden * row[i];
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

		draw_vector(&m, &p, x);
		if (shape->normalise)
			normalise(x, m.dim);
	}
	free(m.centres);
	free(m.widths);
	free(m.map);
}
