/* Fusion of ranked lists. All of it works on lists that were merged over the partitions before, so that the result does not
 * depend on how the points are spread.
 * RRF: Cormack, Clarke, Buettcher, SIGIR 2009. MMR: Carbonell and Goldstein, SIGIR 1998. */
#include "coordinator/internal.h"
#include "base/assert.h"
#include "base/hash.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sums scores by id: open addressing over positions in `items`. */
struct sums {
	struct hit *items;
	uint32_t n;
	uint32_t *table; /* position + 1; 0 = empty */
	uint32_t mask;
};

static void sums_init(struct sums *s, const struct hits *lists, uint32_t n_lists,
		      struct arena *arena)
{
	uint32_t total = 0, size = 16;
	for (uint32_t i = 0; i < n_lists; i++)
		total += lists[i].n;
	while (size < total * 2)
		size *= 2;
	s->items = arena_alloc(arena, (total + 1) * sizeof(*s->items));
	s->table = arena_zalloc(arena, size * sizeof(*s->table));
	s->mask = size - 1;
	s->n = 0;
}

static void sums_add(struct sums *s, const struct hit *h, float score)
{
	uint32_t at = (uint32_t)id_hash(&h->id) & s->mask;
	for (; s->table[at] != 0; at = (at + 1) & s->mask) {
		struct hit *known = &s->items[s->table[at] - 1];
		if (id_equal(&known->id, &h->id)) {
			known->score += score;
			return;
		}
	}
	s->items[s->n] = *h;
	s->items[s->n].score = score;
	s->table[at] = ++s->n;
}

static int by_score(const void *a, const void *b)
{
	return hit_compare(a, b, true);
}

static void sums_top(struct sums *s, uint32_t top, struct hits *out)
{
	qsort(s->items, s->n, sizeof(*s->items), by_score);
	out->items = s->items;
	out->n = s->n < top ? s->n : top;
}

void fuse_rrf(const struct hits *lists, uint32_t n_lists, const struct rrf_options *o,
	      struct arena *arena, struct hits *out)
{
	struct sums sums;
	sums_init(&sums, lists, n_lists, arena);
	for (uint32_t l = 0; l < n_lists; l++) {
		float weight = o->weights ? o->weights[l] : 1.0f;
		if (weight <= 0)
			continue;
		for (uint32_t rank = 0; rank < lists[l].n; rank++)
			sums_add(&sums, &lists[l].items[rank],
				 1.0f / ((float)(rank + 1) / weight + (float)o->k - 1.0f));
	}
	sums_top(&sums, o->top, out);
}

/* Mean and sample deviation of a list's scores. */
static void spread(const struct hits *list, double *mean, double *sigma)
{
	double sum = 0, squares = 0;
	for (uint32_t i = 0; i < list->n; i++)
		sum += list->items[i].score;
	*mean = list->n ? sum / list->n : 0;
	for (uint32_t i = 0; i < list->n; i++) {
		double d = list->items[i].score - *mean;
		squares += d * d;
	}
	*sigma = list->n > 1 ? sqrt(squares / (list->n - 1)) : 0;
}

void fuse_dbsf(const struct hits *lists, const bool *larger, uint32_t n_lists, uint32_t top,
	       struct arena *arena, struct hits *out)
{
	struct sums sums;
	sums_init(&sums, lists, n_lists, arena);
	for (uint32_t l = 0; l < n_lists; l++) {
		double mean, sigma;
		spread(&lists[l], &mean, &sigma);
		double low = mean - 3 * sigma, width = 6 * sigma;
		for (uint32_t i = 0; i < lists[l].n; i++) {
			const struct hit *h = &lists[l].items[i];
			double score = width > 0 ? (h->score - low) / width : 0.5;
			sums_add(&sums, h, (float)(larger[l] ? score : 1 - score));
		}
	}
	sums_top(&sums, top, out);
}

const struct vector *hit_vector(const struct hit *h, enum vector_kind kind, uint32_t space)
{
	for (uint32_t i = 0; i < h->n_vectors; i++)
		if (h->vectors[i].kind == kind && h->vectors[i].space == space)
			return &h->vectors[i];
	return NULL;
}

float fuse_sparse_dot(const struct vector *a, const struct vector *b)
{
	float sum = 0;
	for (uint32_t i = 0, j = 0; i < a->n && j < b->n;) {
		if (a->indices[i] == b->indices[j])
			sum += a->values[i++] * b->values[j++];
		else if (a->indices[i] < b->indices[j])
			i++;
		else
			j++;
	}
	return sum;
}

/* Vectors of bytes are stored as they were given, whatever their length; all others have length 1, but
 * for rounding. */
static double cosine(const float *a, const float *b, uint32_t n)
{
	double dot = 0, aa = 0, bb = 0;
	for (uint32_t i = 0; i < n; i++) {
		dot += (double)a[i] * (double)b[i];
		aa += (double)a[i] * (double)a[i];
		bb += (double)b[i] * (double)b[i];
	}
	if (fabs(aa - 1) > 0.02 && aa > 0)
		dot /= sqrt(aa);
	if (fabs(bb - 1) > 0.02 && bb > 0)
		dot /= sqrt(bb);
	return dot;
}

float fuse_score(enum distance distance, const float *a, const float *b, uint32_t n)
{
	double sum = 0;
	if (distance == DISTANCE_COSINE)
		return (float)cosine(a, b, n);
	for (uint32_t i = 0; i < n; i++) {
		double d = (double)a[i] - (double)b[i];
		if (distance == DISTANCE_EUCLID)
			sum += d * d;
		else if (distance == DISTANCE_MANHATTAN)
			sum += fabs(d);
		else
			sum += (double)a[i] * (double)b[i];
	}
	return (float)(distance == DISTANCE_EUCLID ? sqrt(sum) : sum);
}

/* A displayed score as a similarity, larger is nearer: the negated distance, squared for Euclid. */
static float score_similarity(const struct mmr_options *o, float score)
{
	if (o->kind == VECTOR_SPARSE || distance_larger_is_better(o->distance))
		return score;
	return o->distance == DISTANCE_EUCLID ? -score * score : -score;
}

static float similarity(const struct mmr_options *o, const struct vector *a, const struct vector *b)
{
	if (a == NULL || b == NULL)
		return 0;
	if (o->kind == VECTOR_SPARSE)
		return fuse_sparse_dot(a, b);
	if (a->n != b->n)
		return 0;
	return score_similarity(o, fuse_score(o->distance, a->values, b->values, a->n));
}

void fuse_mmr(const struct hits *candidates, const struct mmr_options *o, struct arena *arena,
	      struct hits *out)
{
	uint32_t n = candidates->n, limit = o->limit < n ? o->limit : n;
	float *nearest = arena_alloc(arena, (n + 1) * sizeof(*nearest));
	bool *taken = arena_zalloc(arena, n + 1);
	out->items = arena_alloc(arena, (limit + 1) * sizeof(*out->items));
	out->n = 0;
	for (uint32_t i = 0; i < n; i++)
		nearest[i] = -INFINITY;
	while (out->n < limit) {
		uint32_t best = UINT32_MAX;
		float best_value = -INFINITY;
		for (uint32_t i = 0; i < n; i++) {
			if (taken[i])
				continue;
			float score = candidates->items[i].score;
			float value = (1 - o->diversity) * score_similarity(o, score);
			if (out->n > 0)
				value -= o->diversity * nearest[i];
			if (best == UINT32_MAX || value > best_value) {
				best = i;
				best_value = value;
			}
		}
		assert(best != UINT32_MAX);
		taken[best] = true;
		const struct hit *chosen = &candidates->items[best];
		out->items[out->n++] = *chosen;
		const struct vector *cv = hit_vector(chosen, o->kind, o->space);
		for (uint32_t i = 0; i < n; i++) {
			if (taken[i])
				continue;
			const struct vector *v =
				hit_vector(&candidates->items[i], o->kind, o->space);
			nearest[i] = fmaxf(nearest[i], similarity(o, cv, v));
		}
	}
}
