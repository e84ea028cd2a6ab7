/* Recommendation: a query vector from examples (average_vector), or scores of candidates against all examples (best_score,
 * sum_scores). */
#include "coordinator/plan.h"
#include "base/assert.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CANDIDATE_BYTES = 32 << 20, SPARSE_BYTES = 1024 }; /* of a sparse vector, about */

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Adds factor * v to the dense sum. */
static void add_dense(float *sum, const struct vector *v, float factor)
{
	for (uint32_t i = 0; i < v->n; i++)
		sum[i] += factor * v->values[i];
}

static void average_dense(struct arena *arena, struct plan_node *node, float positive,
			  float negative)
{
	const struct query *q = node->query;
	uint32_t n = node->vector.n;
	float *sum = arena_alloc_aligned(arena, n * sizeof(float), 64);
	memset(sum, 0, n * sizeof(float));
	for (uint32_t i = 0; i < q->n_positive; i++)
		add_dense(sum, &node->positive[i], positive);
	for (uint32_t i = 0; i < q->n_negative; i++)
		add_dense(sum, &node->negative[i], negative);
	if (node->distance == DISTANCE_COSINE)
		vector_normalize(sum, n);
	node->vector.values = sum;
}

static void average_sparse(struct arena *arena, struct plan_node *node, float positive,
			   float negative)
{
	const struct query *q = node->query;
	uint32_t total = 0, n = 0;
	for (uint32_t i = 0; i < q->n_positive + q->n_negative; i++)
		total += node->positive[i].n;
	uint32_t *indices = arena_alloc(arena, (total + 1) * sizeof(*indices));
	for (uint32_t i = 0, at = 0; i < q->n_positive + q->n_negative; i++) {
		memcpy(&indices[at], node->positive[i].indices,
		       node->positive[i].n * sizeof(*indices));
		at += node->positive[i].n;
	}
	qsort(indices, total, sizeof(*indices), compare_u32);
	for (uint32_t i = 0; i < total; i++)
		if (n == 0 || indices[n - 1] != indices[i])
			indices[n++] = indices[i];
	float *sum = arena_zalloc(arena, (n + 1) * sizeof(*sum));
	for (uint32_t i = 0; i < q->n_positive + q->n_negative; i++) {
		const struct vector *v = &node->positive[i];
		float factor = i < q->n_positive ? positive : negative;
		for (uint32_t j = 0, at = 0; j < v->n; j++) {
			while (indices[at] != v->indices[j])
				at++;
			sum[at] += factor * v->values[j];
		}
	}
	node->vector.indices = indices;
	node->vector.values = sum;
	node->vector.n = n;
}

/* Similarities of most kinds add up to one similarity: inner products to that with the sum of the examples;
 * negated squares, where more of them are positive, to that from their centre. Manhattan's do not. */
bool recommend_sum_is_nearest(const struct plan_node *node)
{
	const struct query *q = node->query;
	if (q->strategy != RECOMMEND_SUM)
		return false;
	if (node->kind == VECTOR_SPARSE || distance_larger_is_better(node->distance))
		return true;
	return node->distance == DISTANCE_EUCLID && q->n_positive > q->n_negative;
}

/* mean of the positives, moved away from the mean of the negatives: 2 * mean+ - mean-. For sum_scores the
 * vector that recommend_sum_is_nearest() speaks of. */
void recommend_average(struct plan *plan, struct plan_node *node)
{
	const struct query *q = node->query;
	struct arena *arena = plan->request->call.arena;
	float positive = 0, negative = 0;
	if (q->n_positive > 0)
		positive = (q->n_negative > 0 ? 2.0f : 1.0f) / (float)q->n_positive;
	if (q->n_negative > 0)
		negative = -1.0f / (float)q->n_negative;
	if (recommend_sum_is_nearest(node)) {
		positive = node->kind == VECTOR_DENSE && node->distance == DISTANCE_EUCLID
				   ? 1.0f / (float)(q->n_positive - q->n_negative)
				   : 1.0f;
		negative = -positive;
	}
	node->vector.kind = node->kind;
	node->vector.space = node->space;
	if (node->kind == VECTOR_DENSE)
		average_dense(arena, node, positive, negative);
	else
		average_sparse(arena, node, positive, negative);
}

/* values * idf, by index: node->vector holds every index that an example has, in growing order. */
static void weigh(struct arena *arena, const struct plan_node *node, struct vector *v)
{
	float *weighed = arena_alloc(arena, (v->n + 1) * sizeof(*weighed));
	for (uint32_t i = 0, at = 0; i < v->n; i++) {
		while (node->vector.indices[at] != v->indices[i])
			at++;
		weighed[i] = v->values[i] * node->idf[at];
	}
	v->values = weighed;
}

/* The examples of best_score and sum_scores are compared with one by one, so each carries the weights
 * that a single sparse query would get from idf. */
void recommend_weigh(struct plan *plan, struct plan_node *node)
{
	const struct query *q = node->query;
	struct arena *arena = plan->request->call.arena;
	for (uint32_t i = 0; i < q->n_positive + q->n_negative; i++)
		weigh(arena, node, &node->positive[i]);
	weigh(arena, node, &node->vector);
	node->idf = NULL;
}

static float example_similarity(const struct plan_node *node, const struct vector *a,
				const struct vector *b)
{
	if (node->kind == VECTOR_SPARSE)
		return fuse_sparse_dot(a, b);
	float score = fuse_score(node->distance, a->values, b->values, a->n);
	if (node->distance == DISTANCE_EUCLID)
		return -score * score;
	return distance_larger_is_better(node->distance) ? score : -score;
}

/* Into (0, 1), growing, 0.5 at 0. */
static float squash(float x)
{
	return 0.5f * (x / (1 + fabsf(x)) + 1);
}

float recommend_score(const struct plan_node *node, const struct vector *candidate)
{
	const struct query *q = node->query;
	float best_positive = -INFINITY, best_negative = -INFINITY, sum = 0;
	for (uint32_t i = 0; i < q->n_positive; i++) {
		float s = example_similarity(node, &node->positive[i], candidate);
		best_positive = fmaxf(best_positive, s);
		sum += s;
	}
	for (uint32_t i = 0; i < q->n_negative; i++) {
		float s = example_similarity(node, &node->negative[i], candidate);
		best_negative = fmaxf(best_negative, s);
		sum -= s;
	}
	if (q->strategy == RECOMMEND_SUM)
		return sum;
	return best_positive > best_negative ? squash(best_positive) : -squash(best_negative);
}

/* ---- which candidates are enough ---- */

bool recommend_is_scored(const struct query *q)
{
	return q->kind == QUERY_RECOMMEND && q->strategy != RECOMMEND_AVERAGE;
}

bool recommend_from_examples(const struct plan_node *node)
{
	return node->query->n_positive > 0 && !recommend_sum_is_nearest(node);
}

/* Neighbours of the positive examples bound best_score, and of one vector the sums that are its similarity. What nothing bounds
 * needs every point; to begin with fewer would only be one round more. */
static bool is_bounded(const struct plan_node *node)
{
	const struct query *q = node->query;
	return q->strategy == RECOMMEND_SUM ? recommend_sum_is_nearest(node) : q->n_positive > 0;
}

static uint32_t times(uint32_t n, uint32_t factor, uint32_t more)
{
	uint64_t product = (uint64_t)n * factor + more;
	return product < UINT32_MAX ? (uint32_t)product : UINT32_MAX;
}

uint32_t recommend_most(const struct plan_node *node)
{
	uint32_t n_lists = recommend_from_examples(node) ? node->query->n_positive : 1;
	uint32_t bytes = node->kind == VECTOR_DENSE ? node->vector.n * 4 : SPARSE_BYTES;
	uint32_t most = CANDIDATE_BYTES / (bytes * n_lists + 1);
	uint32_t least = times(node->want, 8, 1000);
	return most > least ? most : least;
}

uint32_t recommend_next_top(const struct plan_node *node)
{
	uint32_t most = recommend_most(node);
	uint32_t next = node->scored_top == 0 ? times(node->want, 4, 100)
					      : times(node->scored_top, 16, 0);
	return next > most || !is_bounded(node) ? most : next;
}

/* The similarity to the example that a hit of its list has. */
static float hit_similarity(const struct plan_node *node, float score)
{
	if (node->kind == VECTOR_SPARSE)
		return score;
	if (node->distance == DISTANCE_EUCLID)
		return -score * score;
	return distance_larger_is_better(node->distance) ? score : -score;
}

/* Of a vector whose similarity to a point is its sum of similarities but for a factor and a constant (Euclid): the sum itself is
 * in the hit's vector. */
static float list_bound(const struct plan_node *node, const struct hit *last)
{
	const struct vector *v = hit_vector(last, node->kind, node->space);
	if (!recommend_from_examples(node))
		return v != NULL ? recommend_score(node, v) : INFINITY;
	return squash(hit_similarity(node, last->score));
}

float recommend_bound(const struct plan_node *node, const struct hits *lists, uint32_t n_lists)
{
	float bound = -INFINITY;
	for (uint32_t i = 0; i < n_lists; i++) {
		if (lists[i].n < node->scored_top)
			continue;
		if (!is_bounded(node))
			return INFINITY;
		bound = fmaxf(bound, list_bound(node, &lists[i].items[lists[i].n - 1]));
	}
	return bound;
}

bool recommend_is_sure(const struct plan_node *node, float bound)
{
	const struct query *q = node->query;
	const struct hits *h = &node->hits;
	if (!recommend_is_scored(q) || bound == -INFINITY)
		return true;
	if (q->has_threshold && bound <= q->threshold)
		return true;
	return h->n >= node->want && node->want > 0 && h->items[node->want - 1].score > bound;
}
