/* The stages of a plan node: which calls it needs next, and what the answers make of it. */
#include "coordinator/plan.h"
#include "coordinator/race.h"
#include "base/assert.h"
#include "model/element.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void node_fail(struct plan_node *node, int rc, const struct error *err)
{
	if (node->result->rc == 0) {
		node->result->rc = rc;
		node->result->err = *err;
	}
	node->hits.n = 0;
	node->stage = NODE_DONE;
}

static struct arena *arena_of(struct plan *plan)
{
	return plan->request->call.arena;
}

/* ---- RESOLVE ---- */

static uint32_t example_count(const struct query *q)
{
	return q->kind == QUERY_RECOMMEND ? q->n_positive + q->n_negative : 1;
}

static const struct query_input *example_at(const struct query *q, uint32_t i)
{
	if (q->kind != QUERY_RECOMMEND)
		return &q->nearest;
	return i < q->n_positive ? &q->positive[i] : &q->negative[i - q->n_positive];
}

static struct select_vectors select_using(struct plan *plan, const struct plan_node *node)
{
	struct vector_name *name = arena_alloc(arena_of(plan), sizeof(*name));
	name->name = node->query->using_name;
	name->n = (uint32_t)strlen(node->query->using_name);
	return (struct select_vectors){.enabled = true, .names = name, .n_names = 1};
}

static void resolve_prepare(struct plan *plan, struct plan_node *node)
{
	uint32_t n = example_count(node->query);
	struct point_id *ids = arena_alloc(arena_of(plan), n * sizeof(*ids));
	node->fetch = (struct fetch){.ids = ids, .vectors = select_using(plan, node)};
	for (uint32_t i = 0; i < n; i++) {
		const struct query_input *in = example_at(node->query, i);
		if (in->is_id || node->query->kind == QUERY_ID)
			ids[node->fetch.n_ids++] = in->id;
	}
	if (node->fetch.n_ids > 0)
		fetch_add(&node->fetch, &plan->round);
}

/* A copy of a vector in the form in which it is compared with the rows of its space. */
static void compare_form(struct plan *plan, const struct plan_node *node, struct vector *out)
{
	const struct vector_space *s = &plan->collection->spaces[node->space];
	if (s->distance != DISTANCE_COSINE && s->datatype == DATATYPE_FLOAT32)
		return;
	float *copy = arena_alloc_aligned(arena_of(plan), out->n * sizeof(float), 64);
	memcpy(copy, out->values, out->n * sizeof(float));
	space_query(s, copy);
	out->values = copy;
}

/* The vector of an example; a copy of its own where it must be normalised. An average is made of the
 * vectors as they were given, so that longer ones weigh more, and is normalised itself. */
static int example_vector(struct plan *plan, struct plan_node *node, const struct query_input *in,
			  const struct id_table *found, struct vector *out, struct error *err)
{
	const struct query *q = node->query;
	bool averaged = q->kind == QUERY_RECOMMEND && q->strategy == RECOMMEND_AVERAGE;
	bool whole = node->kind == VECTOR_DENSE && !averaged;
	if (in->is_id || q->kind == QUERY_ID) {
		char text[ID_TEXT_BYTES];
		const struct hit *h = id_table_get(found, &in->id);
		id_format(&in->id, text);
		if (h == NULL)
			return error_set(err, ERR_NOT_FOUND, "No point with id %s found", text);
		const struct vector *v = hit_vector(h, node->kind, node->space);
		if (v == NULL)
			return error_set(err, ERR_INPUT, "Point %s has no vector `%s`", text,
					 q->using_name);
		*out = *v;
		if (whole && space_unit_rows(&plan->collection->spaces[node->space]))
			compare_form(plan, node, out);
		return 0;
	}
	*out = in->vector;
	out->kind = node->kind;
	out->space = node->space;
	if (whole)
		compare_form(plan, node, out);
	return 0;
}

static void resolve_absorb(struct plan *plan, struct plan_node *node)
{
	const struct query *q = node->query;
	struct error err = {0};
	struct hits found = {0};
	struct id_table table;
	if (node->fetch.n_ids > 0)
		fetch_collect(&node->fetch, &plan->round, &found);
	id_table_init(&table, found.n, arena_of(plan));
	for (uint32_t i = 0; i < found.n; i++)
		id_table_put(&table, &found.items[i]);
	uint32_t n = example_count(q);
	struct vector *vectors = arena_alloc(arena_of(plan), n * sizeof(*vectors));
	for (uint32_t i = 0; i < n; i++) {
		int rc = example_vector(plan, node, example_at(q, i), &table, &vectors[i], &err);
		if (rc != 0) {
			node_fail(node, rc, &err);
			return;
		}
	}
	node->vector = vectors[0];
	if (q->kind == QUERY_RECOMMEND) {
		node->positive = vectors;
		node->negative = vectors + q->n_positive;
		recommend_average(plan, node);
	}
	bool idf = node->kind == VECTOR_SPARSE && plan->collection->sparse[node->space].idf;
	node->stage = idf ? NODE_IDF : NODE_SEARCH;
}

/* ---- IDF ---- */

static void idf_prepare(struct plan *plan, struct plan_node *node)
{
	struct round *r = &plan->round;
	node->first_call = r->n_calls;
	for (uint32_t p = 0; p < plan->collection->n_partitions; p++) {
		struct rpc_idf_request *q = arena_alloc(arena_of(plan), sizeof(*q));
		*q = (struct rpc_idf_request){round_target(r, p), node->space, node->vector.indices,
					      node->vector.n};
		round_add(r, RPC_TYPE_idf, p, q);
	}
	node->n_calls = r->n_calls - node->first_call;
}

/* ln((N - n + 0.5) / (n + 0.5) + 1), with N and n over all partitions. */
static void idf_absorb(struct plan *plan, struct plan_node *node)
{
	uint32_t n = node->vector.n;
	uint64_t points = 0;
	uint64_t *with = arena_zalloc(arena_of(plan), (n + 1) * sizeof(*with));
	for (uint32_t c = node->first_call; c < node->first_call + node->n_calls; c++) {
		const struct round_call *call = &plan->round.calls[c];
		if (call->rpc.rc != 0) {
			node_fail(node, call->rpc.rc, &call->rpc.err);
			return;
		}
		points += call->response.idf.n_points;
		for (uint32_t i = 0; i < n; i++)
			with[i] += call->response.idf.n_with[i];
	}
	node->idf = arena_alloc(arena_of(plan), (n + 1) * sizeof(*node->idf));
	for (uint32_t i = 0; i < n; i++) {
		double all = (double)points, some = (double)with[i];
		node->idf[i] = (float)log((all - some + 0.5) / (some + 0.5) + 1);
	}
	if (recommend_is_scored(node->query))
		recommend_weigh(plan, node);
	node->stage = NODE_SEARCH;
}

/* ---- SEARCH: over all points ---- */

static bool is_scroll(const struct query *q)
{
	return q->kind == QUERY_NONE || q->kind == QUERY_ORDER_BY || q->kind == QUERY_SAMPLE;
}

static void scroll_prepare(struct plan *plan, struct plan_node *node, const struct filter *filter)
{
	const struct query *q = node->query;
	struct round *r = &plan->round;
	struct rpc_scroll_request *s = &node->scroll;
	s->order = q->kind == QUERY_NONE ? SCROLL_BY_ID : SCROLL_BY_VALUE;
	if (q->kind == QUERY_SAMPLE) {
		s->order = SCROLL_RANDOM;
		s->seed = atomic_fetch_add(&r->coord->sample_seed, 1);
	}
	s->filter = filter;
	s->limit = node->want;
	s->order_path = q->order_path;
	s->desc = q->order_desc;
	s->has_start_from = q->has_start_from;
	s->start_from = q->start_from;
	node->inlined = node->is_root;
	if (node->inlined) {
		s->payload = q->payload;
		s->vectors = q->vectors;
	}
	node->first_call = r->n_calls;
	for (uint32_t p = 0; p < plan->collection->n_partitions; p++) {
		struct rpc_scroll_request *copy = arena_alloc(arena_of(plan), sizeof(*copy));
		*copy = *s;
		copy->target = round_target(r, p);
		round_add(r, RPC_TYPE_scroll, p, copy);
	}
	node->n_calls = r->n_calls - node->first_call;
}

static void scroll_absorb(struct plan *plan, struct plan_node *node)
{
	for (uint32_t c = node->first_call; c < node->first_call + node->n_calls; c++) {
		const struct round_call *call = &plan->round.calls[c];
		if (call->rpc.rc != 0) {
			node_fail(node, call->rpc.rc, &call->rpc.err);
			return;
		}
	}
	scroll_merge(&plan->round, node->first_call, node->n_calls, &node->scroll, &node->hits);
	if (node->hits.n > node->want)
		node->hits.n = node->want;
	for (uint32_t i = 0; i < node->hits.n; i++)
		node->hits.items[i].score = 1.0f;
	node->stage = NODE_DONE;
}

static void add_leaf(struct plan *plan, struct plan_node *node, const struct leaf *leaf)
{
	if (plan->n_leaves == plan->cap_leaves) {
		uint32_t cap = plan->cap_leaves ? plan->cap_leaves * 2 : 16;
		struct plan_leaf *fresh = arena_alloc(arena_of(plan), cap * sizeof(*fresh));
		if (plan->n_leaves)
			memcpy(fresh, plan->leaves, plan->n_leaves * sizeof(*fresh));
		plan->leaves = fresh;
		plan->cap_leaves = cap;
	}
	plan->leaves[plan->n_leaves++] = (struct plan_leaf){.node = node, .leaf = *leaf};
}

static void leaf_prepare(struct plan *plan, struct plan_node *node)
{
	const struct query *q = node->query;
	uint32_t n_partitions = plan->collection->n_partitions;
	struct leaf leaf = {.vector = node->vector,
			    .idf = node->idf,
			    .filter = node->filter,
			    .params = q->params,
			    .top = node->want,
			    .has_threshold = q->has_threshold,
			    .threshold = q->threshold};
	node->first_leaf = plan->n_leaves;
	if (q->mmr) {
		uint32_t candidates = q->mmr_candidates ? q->mmr_candidates : node->want;
		leaf.top = candidates > node->want ? candidates : node->want;
		leaf.vectors = select_using(plan, node);
	}
	uint32_t n_vectors = 1;
	if (recommend_is_scored(q)) {
		leaf.has_threshold = false;
		leaf.top = node->scored_top = recommend_next_top(node);
		leaf.vectors = select_using(plan, node);
		n_vectors = recommend_from_examples(node) ? q->n_positive : 1;
	} else if (node->is_root && !q->mmr && (n_partitions == 1 || node->want <= 64)) {
		node->inlined = true;
		leaf.payload = q->payload;
		leaf.vectors = q->vectors;
	}
	for (uint32_t v = 0; v < n_vectors; v++) {
		if (recommend_is_scored(q))
			leaf.vector = recommend_from_examples(node) ? node->positive[v]
								    : node->vector;
		for (uint32_t p = 0; p < n_partitions; p++) {
			leaf.partition = p;
			add_leaf(plan, node, &leaf);
		}
	}
	node->n_leaves = plan->n_leaves - node->first_leaf;
}

static void leaf_receipt_add(struct plan *plan, struct plan_node *node, const struct plan_leaf *l,
			     const struct leaf_receipt *receipt)
{
	struct query_result *result = node->result;
	struct partition_receipt *p = &result->receipts[l->leaf.partition];
	uint64_t before = p->leaf.candidates;
	p->node = plan->round.calls[l->call]
			  .node; /* a retry or a hedge may have been at another one */
	p->answered = true;
	p->degraded = round_degraded(&plan->round, l->leaf.partition);
	p->leaf = *receipt;
	p->leaf.candidates += before;
	if (receipt->incomplete || receipt->cut)
		result->complete = false;
}

/* A partition without an answer fails the query, unless partial answers were asked for. */
static bool leaf_answered(struct plan *plan, struct plan_node *node, const struct plan_leaf *l)
{
	const struct round_call *call = &plan->round.calls[l->call];
	if (call->rpc.rc == 0) {
		leaf_receipt_add(plan, node, l, &call->response.search.receipts[l->position]);
		return true;
	}
	node->result->complete = false;
	if (!plan->request->call.allow_partial ||
	    (call->rpc.rc != ERR_TIMEOUT && !race_retryable(RPC_TYPE_search, call->rpc.rc)))
		node_fail(node, call->rpc.rc, &call->rpc.err);
	return false;
}

static void score_candidates(struct plan_node *node, struct hits *hits);

static void leaf_absorb(struct plan *plan, struct plan_node *node)
{
	const struct query *q = node->query;
	struct hits *lists = arena_alloc(arena_of(plan), (node->n_leaves + 1) * sizeof(*lists));
	uint32_t n_lists = 0;
	for (uint32_t i = node->first_leaf; i < node->first_leaf + node->n_leaves; i++) {
		const struct plan_leaf *l = &plan->leaves[i];
		if (leaf_answered(plan, node, l))
			lists[n_lists++] =
				plan->round.calls[l->call].response.search.hits[l->position];
		if (node->stage == NODE_DONE)
			return;
	}
	uint32_t top = q->mmr || recommend_is_scored(q) ? UINT32_MAX : node->want;
	if (n_lists == 1 && top >= lists[0].n)
		node->hits = lists[0];
	else
		hits_merge(lists, n_lists, top, node->larger, arena_of(plan), &node->hits);
	float bound = -INFINITY;
	if (recommend_is_scored(q)) {
		bound = recommend_bound(node, lists, n_lists);
		score_candidates(node, &node->hits);
	}
	if (recommend_is_sure(node, bound) || node->scored_top >= recommend_most(node))
		node->stage = NODE_DONE; /* else once more, with more candidates */
}

/* ---- SEARCH: over the candidates of prefetches ---- */

static int by_score_down(const void *a, const void *b)
{
	return hit_compare(a, b, true);
}
static int by_score_up(const void *a, const void *b)
{
	return hit_compare(a, b, false);
}

static bool sparse_overlap(const struct vector *a, const struct vector *b)
{
	for (uint32_t i = 0, j = 0; i < a->n && j < b->n;) {
		if (a->indices[i] == b->indices[j])
			return true;
		if (a->indices[i] < b->indices[j])
			i++;
		else
			j++;
	}
	return false;
}

/* Whether a candidate can be a result: a sparse query finds only what shares an index with it, over
 * candidates as over all points. */
static bool is_match(const struct plan_node *node, const struct vector *v)
{
	if (v == NULL)
		return false;
	return node->kind != VECTOR_SPARSE || recommend_is_scored(node->query) ||
	       sparse_overlap(&node->vector, v);
}

/* Scores the candidates by the node's own query, drops what misses the threshold, sorts, cuts. */
static void score_candidates(struct plan_node *node, struct hits *hits)
{
	const struct query *q = node->query;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < hits->n; i++) {
		struct hit h = hits->items[i];
		const struct vector *v = hit_vector(&h, node->kind, node->space);
		if (!is_match(node, v))
			continue;
		if (recommend_is_scored(q))
			h.score = recommend_score(node, v);
		else if (node->kind == VECTOR_SPARSE)
			h.score = fuse_sparse_dot(&node->vector, v);
		else
			h.score = fuse_score(node->distance, node->vector.values, v->values, v->n);
		if (q->has_threshold &&
		    (node->larger ? h.score <= q->threshold : h.score >= q->threshold))
			continue;
		hits->items[kept++] = h;
	}
	qsort(hits->items, kept, sizeof(*hits->items), node->larger ? by_score_down : by_score_up);
	hits->n = kept < node->want || q->mmr ? kept : node->want;
}

/* The ids that any prefetch found, each once. */
static uint32_t candidate_ids(struct plan *plan, const struct plan_node *node,
			      struct point_id **out)
{
	uint32_t total = 0, n = 0;
	for (uint32_t i = 0; i < node->query->n_prefetch; i++)
		total += node->children[i].hits.n;
	struct id_table seen;
	id_table_init(&seen, total, arena_of(plan));
	*out = arena_alloc(arena_of(plan), (total + 1) * sizeof(**out));
	for (uint32_t i = 0; i < node->query->n_prefetch; i++) {
		const struct hits *list = &node->children[i].hits;
		for (uint32_t j = 0; j < list->n; j++) {
			if (id_table_get(&seen, &list->items[j].id) != NULL)
				continue;
			id_table_put(&seen, &list->items[j]);
			(*out)[n++] = list->items[j].id;
		}
	}
	return n;
}

/* IDF weights were meant for the stored postings; a rescored sparse query carries them in its values. */
static void weigh_sparse_query(struct plan *plan, struct plan_node *node)
{
	if (node->kind != VECTOR_SPARSE || node->idf == NULL)
		return;
	float *weighed = arena_alloc(arena_of(plan), (node->vector.n + 1) * sizeof(*weighed));
	for (uint32_t i = 0; i < node->vector.n; i++)
		weighed[i] = node->vector.values[i] * node->idf[i];
	node->vector.values = weighed;
}

static void candidates_prepare(struct plan *plan, struct plan_node *node)
{
	struct point_id *ids;
	uint32_t n = candidate_ids(plan, node, &ids);
	if (is_scroll(node->query)) {
		struct filter *f = arena_zalloc(arena_of(plan), sizeof(*f));
		f->must = arena_zalloc(arena_of(plan), sizeof(*f->must));
		f->must->type = COND_HAS_ID;
		f->must->ids = ids;
		f->must->n_ids = n;
		f->n_must = 1;
		scroll_prepare(plan, node, f);
		return;
	}
	weigh_sparse_query(plan, node);
	node->fetch = (struct fetch){.ids = ids, .n_ids = n, .vectors = select_using(plan, node)};
	fetch_add(&node->fetch, &plan->round);
}

static void candidates_absorb(struct plan *plan, struct plan_node *node)
{
	const struct fetch *f = &node->fetch;
	for (uint32_t c = f->first_call; c < f->first_call + f->n_calls; c++) {
		const struct round_call *call = &plan->round.calls[c];
		if (call->rpc.rc != 0) {
			node_fail(node, call->rpc.rc, &call->rpc.err);
			return;
		}
	}
	fetch_collect(f, &plan->round, &node->hits);
	score_candidates(node, &node->hits);
	node->stage = NODE_DONE;
}

static void fuse(struct plan *plan, struct plan_node *node)
{
	const struct query *q = node->query;
	struct hits *lists = arena_alloc(arena_of(plan), q->n_prefetch * sizeof(*lists));
	bool *larger = arena_alloc(arena_of(plan), q->n_prefetch * sizeof(*larger));
	for (uint32_t i = 0; i < q->n_prefetch; i++) {
		lists[i] = node->children[i].hits;
		larger[i] = node->children[i].larger;
	}
	struct rrf_options rrf = {q->rrf_k ? q->rrf_k : 2, q->rrf_weights, node->want};
	if (q->kind == QUERY_RRF)
		fuse_rrf(lists, q->n_prefetch, &rrf, arena_of(plan), &node->hits);
	else
		fuse_dbsf(lists, larger, q->n_prefetch, node->want, arena_of(plan), &node->hits);
	if (q->has_threshold) {
		uint32_t n = 0;
		while (n < node->hits.n && node->hits.items[n].score >= q->threshold)
			n++;
		node->hits.n = n;
	}
	node->stage = NODE_DONE;
}

/* ---- all stages ---- */

void node_prepare(struct plan *plan, struct plan_node *node)
{
	const struct query *q = node->query;
	switch (node->stage) {
	case NODE_RESOLVE: resolve_prepare(plan, node); break;
	case NODE_IDF: idf_prepare(plan, node); break;
	case NODE_SEARCH:
		if (q->kind == QUERY_RRF || q->kind == QUERY_DBSF)
			fuse(plan, node);
		else if (q->n_prefetch > 0)
			candidates_prepare(plan, node);
		else if (is_scroll(q))
			scroll_prepare(plan, node, node->filter);
		else
			leaf_prepare(plan, node);
		break;
	case NODE_DONE: break;
	}
}

static void apply_mmr(struct plan *plan, struct plan_node *node)
{
	const struct query *q = node->query;
	struct mmr_options o = {q->mmr_diversity, node->want, node->kind, node->space,
				node->distance};
	struct hits candidates = node->hits;
	uint32_t most = q->mmr_candidates > node->want ? q->mmr_candidates : node->want;
	if (candidates.n > most)
		candidates.n = most;
	fuse_mmr(&candidates, &o, arena_of(plan), &node->hits);
}

void node_absorb(struct plan *plan, struct plan_node *node)
{
	const struct query *q = node->query;
	switch (node->stage) {
	case NODE_RESOLVE: resolve_absorb(plan, node); return;
	case NODE_IDF: idf_absorb(plan, node); return;
	case NODE_DONE: return;
	case NODE_SEARCH: break;
	}
	if (is_scroll(q))
		scroll_absorb(plan, node);
	else if (q->n_prefetch > 0)
		candidates_absorb(plan, node);
	else
		leaf_absorb(plan, node);
	if (node->stage == NODE_DONE && node->result->rc == 0 && q->mmr)
		apply_mmr(plan, node);
}
