/* From a query tree to plan nodes: names and dimensions checked, filters combined, sizes clamped. */
#include "coordinator/plan.h"
#include "base/assert.h"
#include <string.h>

/* A filter that holds when all the given ones hold (NULLs left out). */
static const struct filter *filter_all(struct arena *arena, const struct filter **parts, uint32_t n)
{
	struct filter *all = arena_zalloc(arena, sizeof(*all));
	all->must = arena_zalloc(arena, n * sizeof(*all->must));
	for (uint32_t i = 0; i < n; i++) {
		if (filter_is_trivial(parts[i]))
			continue;
		struct cond *c = &all->must[all->n_must++];
		c->type = COND_FILTER;
		c->filter = (struct filter *)parts[i];
	}
	if (all->n_must == 0)
		return NULL;
	return all->n_must == 1 ? all->must[0].filter : all;
}

/* "None of these ids": the examples of a query are not among its answers. */
static const struct filter *filter_without(struct arena *arena, const struct point_id *ids,
					   uint32_t n)
{
	if (n == 0)
		return NULL;
	struct filter *f = arena_zalloc(arena, sizeof(*f));
	f->must_not = arena_zalloc(arena, sizeof(*f->must_not));
	f->n_must_not = 1;
	f->must_not->type = COND_HAS_ID;
	f->must_not->ids = arena_copy(arena, ids, n * sizeof(*ids));
	f->must_not->n_ids = n;
	return f;
}

static uint32_t collect_ids(const struct query *q, struct point_id *out)
{
	uint32_t n = 0;
	if (q->kind == QUERY_ID || (q->kind == QUERY_NEAREST && q->nearest.is_id))
		out[n++] = q->nearest.id;
	for (uint32_t i = 0; q->kind == QUERY_RECOMMEND && i < q->n_positive; i++)
		if (q->positive[i].is_id)
			out[n++] = q->positive[i].id;
	for (uint32_t i = 0; q->kind == QUERY_RECOMMEND && i < q->n_negative; i++)
		if (q->negative[i].is_id)
			out[n++] = q->negative[i].id;
	return n;
}

static bool needs_vector(const struct query *q)
{
	return q->kind == QUERY_NEAREST || q->kind == QUERY_ID || q->kind == QUERY_RECOMMEND;
}

/* Checks one given vector against the space that `using` names. */
static int check_input(const struct plan *plan, const struct plan_node *node,
		       const struct query_input *in, struct error *err)
{
	const struct query *q = node->query;
	if (in->is_id)
		return 0;
	if (in->vector.kind != node->kind)
		return error_set(
			err, ERR_INPUT,
			in->vector.kind == VECTOR_DENSE
				? "Vector `%s` is sparse: the query must be given as indices and values"
				: "Vector `%s` is dense: the query must be a list of numbers",
			q->using_name);
	if (node->kind == VECTOR_SPARSE)
		return 0;
	uint32_t dim = plan->collection->spaces[node->space].dim;
	if (in->vector.n != dim)
		return error_set(err, ERR_INPUT, "Vector dimension error: expected dim: %u, got %u",
				 dim, in->vector.n);
	return 0;
}

static int check_vectors(const struct plan *plan, struct plan_node *node, struct error *err)
{
	const struct query *q = node->query;
	const struct collection *c = plan->collection;
	int dense = collection_space(c, q->using_name, strlen(q->using_name));
	int sparse = collection_sparse(c, q->using_name, strlen(q->using_name));
	if (dense < 0 && sparse < 0)
		return error_set(err, ERR_INPUT, "Not existing vector name error: %s",
				 q->using_name);
	node->kind = dense >= 0 ? VECTOR_DENSE : VECTOR_SPARSE;
	node->space = (uint32_t)(dense >= 0 ? dense : sparse);
	node->larger = true;
	if (dense >= 0) {
		node->distance = c->spaces[dense].distance;
		node->larger = distance_larger_is_better(node->distance);
	}
	if (q->kind == QUERY_RECOMMEND && q->strategy != RECOMMEND_AVERAGE)
		node->larger = true;
	int rc = q->kind == QUERY_RECOMMEND ? 0 : check_input(plan, node, &q->nearest, err);
	for (uint32_t i = 0; rc == 0 && i < q->n_positive; i++)
		rc = check_input(plan, node, &q->positive[i], err);
	for (uint32_t i = 0; rc == 0 && i < q->n_negative; i++)
		rc = check_input(plan, node, &q->negative[i], err);
	return rc;
}

static int check_shape(const struct query *q, struct error *err)
{
	bool fusion = q->kind == QUERY_RRF || q->kind == QUERY_DBSF;
	if (fusion && q->n_prefetch == 0)
		return error_set(err, ERR_INPUT, "A fusion query needs at least one prefetch");
	if (q->kind == QUERY_NONE && q->n_prefetch > 0)
		return error_set(err, ERR_INPUT,
				 "A query is needed to merge the prefetches: add `query`");
	if (q->kind == QUERY_RRF && q->rrf_weights && q->n_rrf_weights != q->n_prefetch)
		return error_set(err, ERR_INPUT, "rrf.weights has %u values for %u prefetches",
				 q->n_rrf_weights, q->n_prefetch);
	if (q->kind == QUERY_RECOMMEND && q->n_positive + q->n_negative == 0)
		return error_set(
			err, ERR_INPUT,
			"A recommend query needs at least one positive or negative example");
	if (q->kind == QUERY_RECOMMEND && q->strategy == RECOMMEND_AVERAGE && q->n_positive == 0)
		return error_set(err, ERR_INPUT,
				 "The average_vector strategy needs at least one positive example");
	return 0;
}

static uint32_t clamp_want(uint64_t limit, uint64_t offset)
{
	uint64_t sum = limit > UINT32_MAX || offset > UINT32_MAX ? UINT32_MAX : limit + offset;
	return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

static int add_node(struct plan *plan, const struct query *q, const struct filter *inherited,
		    struct plan_node *node, struct query_result *result, struct error *err)
{
	struct arena *arena = plan->request->call.arena;
	*node = (struct plan_node){.query = q, .result = result, .larger = true};
	node->want = clamp_want(q->limit, q->offset);
	int rc = check_shape(q, err);
	if (rc == 0 && needs_vector(q))
		rc = check_vectors(plan, node, err);
	if (rc != 0)
		return rc;
	struct point_id *ids =
		arena_alloc(arena, (1 + q->n_positive + q->n_negative) * sizeof(*ids));
	uint32_t n_ids = collect_ids(q, ids);
	const struct filter *parts[3] = {inherited, q->filter, filter_without(arena, ids, n_ids)};
	const struct filter *passed_on = filter_all(arena, parts, 2);
	node->filter = filter_all(arena, parts, 3);
	node->stage = needs_vector(q) ? NODE_RESOLVE : NODE_SEARCH;
	node->children = arena_alloc(arena, (q->n_prefetch + 1) * sizeof(*node->children));
	for (uint32_t i = 0; i < q->n_prefetch && rc == 0; i++)
		rc = add_node(plan, &q->prefetch[i], passed_on, &node->children[i], result, err);
	return rc;
}

int plan_add_query(struct plan *plan, const struct query *q, struct query_result *result,
		   struct error *err)
{
	struct plan_node *node = &plan->nodes[plan->n_nodes++];
	int rc = add_node(plan, q, NULL, node, result, err);
	node->is_root = true;
	return rc;
}
