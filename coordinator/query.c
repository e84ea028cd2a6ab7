/* Runs the plans of one request: prepare all nodes that can go on, send one round, take the answers in, again, until every root
 * is done; then one round for the payloads and vectors that were not inlined. */
#include "coordinator/plan.h"
#include "base/assert.h"
#include <string.h>

static void plan_resume(void *ctx);

static bool children_done(const struct plan_node *node)
{
	for (uint32_t i = 0; i < node->query->n_prefetch; i++)
		if (node->children[i].stage != NODE_DONE)
			return false;
	return true;
}

/* Depth first, children before parents; fn runs on nodes that are not done and may go on. */
static void walk(struct plan *plan, struct plan_node *node,
		 void (*fn)(struct plan *, struct plan_node *))
{
	for (uint32_t i = 0; i < node->query->n_prefetch; i++)
		walk(plan, &node->children[i], fn);
	if (node->stage == NODE_DONE || (node->stage == NODE_SEARCH && !children_done(node)))
		return;
	fn(plan, node);
}

/* A parent whose last child ended in this very round has not been prepared: it must not absorb. */
static void prepare(struct plan *plan, struct plan_node *node)
{
	node->prepared = true;
	node_prepare(plan, node);
}

static void absorb(struct plan *plan, struct plan_node *node)
{
	if (!node->prepared)
		return;
	node->prepared = false;
	node_absorb(plan, node);
}

static bool all_done(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->n_nodes; i++)
		if (plan->nodes[i].stage != NODE_DONE)
			return false;
	return true;
}

/* Adds one search call with every leaf that is still without one and may travel with leaf `first`. */
static void add_search_call(struct plan *plan, uint32_t first, bool per_partition)
{
	struct round *r = &plan->round;
	struct arena *arena = plan->request->call.arena;
	uint64_t server = plan->leaves[first].server;
	uint32_t partition = plan->leaves[first].leaf.partition;
	struct leaf *leaves = arena_alloc(arena, (plan->n_leaves - first) * sizeof(*leaves));
	uint32_t n = 0;
	for (uint32_t j = first; j < plan->n_leaves; j++) {
		struct plan_leaf *l = &plan->leaves[j];
		if (l->server != server || l->position != UINT32_MAX ||
		    (per_partition && l->leaf.partition != partition))
			continue;
		l->call = r->n_calls;
		l->position = n;
		leaves[n++] = l->leaf;
	}
	struct rpc_search_request *q = arena_alloc(arena, sizeof(*q));
	*q = (struct rpc_search_request){round_target(r, partition), leaves, n,
					 plan->request->call.allow_partial};
	round_add(r, RPC_TYPE_search, partition, q)->node = server;
}

/* A single node gets all leaves in one call. In a cluster there is one call per partition, so that a failed one can go to another
 * replica alone (the transport puts calls to one node into one message); all leaves of a partition stay together. */
static void add_search_calls(struct plan *plan)
{
	struct round *r = &plan->round;
	bool cluster = r->map->n_nodes > 1;
	for (uint32_t i = 0; i < plan->n_leaves; i++) {
		struct plan_leaf *l = &plan->leaves[i];
		l->server = round_pick(r, l->leaf.partition);
		for (uint32_t j = 0;
		     cluster && j < i && j < plan->round.placed->collection->n_partitions; j++)
			if (plan->leaves[j].leaf.partition == l->leaf.partition)
				l->server = plan->leaves[j].server;
	}
	for (uint32_t i = 0; i < plan->n_leaves; i++)
		if (plan->leaves[i].position == UINT32_MAX)
			add_search_call(plan, i, cluster);
}

/* ---- the last round: what was not inlined ---- */

static bool wants_fetch(const struct plan_node *root)
{
	const struct query *q = root->query;
	return root->result->rc == 0 && !root->inlined && root->hits.n > 0 &&
	       (q->payload.enabled || q->vectors.enabled);
}

/* Vectors that were fetched only to score with are not part of the answer. */
static void drop_unasked(struct hits *hits)
{
	for (uint32_t i = 0; i < hits->n; i++) {
		hits->items[i].has_vectors = false;
		hits->items[i].n_vectors = 0;
		hits->items[i].payload.n = 0;
	}
}

static void cut_page(struct plan_node *root)
{
	uint64_t offset = root->query->offset;
	struct hits *h = &root->hits;
	if (offset >= h->n) {
		h->n = 0;
		return;
	}
	h->items += offset;
	h->n -= (uint32_t)offset;
	if (h->n > root->query->limit)
		h->n = (uint32_t)root->query->limit;
}

static void begin_fetch(struct plan *plan)
{
	struct arena *arena = plan->request->call.arena;
	plan->final_fetch = arena_zalloc(arena, plan->n_nodes * sizeof(*plan->final_fetch));
	for (uint32_t i = 0; i < plan->n_nodes; i++) {
		struct plan_node *root = &plan->nodes[i];
		cut_page(root);
		if (!wants_fetch(root)) {
			if (!root->inlined)
				drop_unasked(&root->hits);
			continue;
		}
		struct fetch *f = &plan->final_fetch[i];
		struct point_id *ids = arena_alloc(arena, root->hits.n * sizeof(*ids));
		for (uint32_t j = 0; j < root->hits.n; j++)
			ids[j] = root->hits.items[j].id;
		*f = (struct fetch){.ids = ids,
				    .n_ids = root->hits.n,
				    .payload = root->query->payload,
				    .vectors = root->query->vectors};
		fetch_add(f, &plan->round);
	}
}

/* A point that was deleted between the search and the fetch is left out. */
static void end_fetch(struct plan *plan)
{
	struct arena *arena = plan->request->call.arena;
	for (uint32_t i = 0; i < plan->n_nodes; i++) {
		struct plan_node *root = &plan->nodes[i];
		const struct fetch *f = &plan->final_fetch[i];
		for (uint32_t c = f->first_call; c < f->first_call + f->n_calls; c++)
			if (plan->round.calls[c].rpc.rc != 0)
				node_fail(root, plan->round.calls[c].rpc.rc,
					  &plan->round.calls[c].rpc.err);
		if (f->n_ids == 0 || root->result->rc != 0)
			continue;
		struct hits full;
		struct id_table table;
		fetch_collect(f, &plan->round, &full);
		id_table_init(&table, full.n, arena);
		for (uint32_t j = 0; j < full.n; j++)
			id_table_put(&table, &full.items[j]);
		uint32_t kept = 0;
		for (uint32_t j = 0; j < root->hits.n; j++) {
			const struct hit *h = id_table_get(&table, &root->hits.items[j].id);
			if (h == NULL)
				continue;
			struct hit *out = &root->hits.items[kept++];
			float score = root->hits.items[j].score;
			double order_value = root->hits.items[j].order_value;
			*out = *h;
			out->score = score;
			out->order_value = order_value;
		}
		root->hits.n = kept;
	}
}

/* ---- life of a request ---- */

static void plan_finish(struct plan *plan)
{
	struct coord_query *request = plan->request;
	struct coord *c = plan->round.coord;
	struct arena *arena = request->call.arena;
	bool copy = round_has_arenas(&plan->round);
	for (uint32_t i = 0; i < plan->n_nodes; i++) {
		struct query_result *result = plan->nodes[i].result;
		if (result->rc != 0)
			continue;
		result->hits = plan->nodes[i].hits;
		/* The list itself may be the one that a single partition answered with. */
		if (copy && result->hits.n > 0)
			result->hits.items = arena_copy(arena, result->hits.items,
							result->hits.n * sizeof(struct hit));
		for (uint32_t j = 0; copy && j < result->hits.n; j++)
			hit_keep(arena, &result->hits.items[j]);
	}
	histogram_record(&c->search_us,
			 c->options.clock->monotonic_us(c->options.clock->ctx) - plan->started_us);
	round_fini(&plan->round);
	coord_finish(c, &request->call, 0);
}

/* Takes the answers of a round in. */
static void plan_absorb(struct plan *plan)
{
	if (plan->fetching) {
		end_fetch(plan);
		return;
	}
	for (uint32_t i = 0; i < plan->n_nodes; i++)
		walk(plan, &plan->nodes[i], absorb);
}

/* One round. Returns false when there is nothing left to do. */
static bool plan_prepare(struct plan *plan)
{
	if (plan->fetching)
		return false;
	round_clear(&plan->round);
	plan->n_leaves = 0;
	if (all_done(plan)) {
		plan->fetching = true;
		begin_fetch(plan);
		return plan->round.n_calls > 0;
	}
	for (uint32_t i = 0; i < plan->n_nodes; i++)
		walk(plan, &plan->nodes[i], prepare);
	for (uint32_t i = 0; i < plan->n_leaves; i++)
		plan->leaves[i].position = UINT32_MAX;
	add_search_calls(plan);
	return true;
}

static void plan_advance(struct plan *plan)
{
	while (plan_prepare(plan)) {
		if (!round_send(&plan->round))
			return;
		plan_absorb(plan);
	}
	plan_finish(plan);
}

static void plan_resume(void *ctx)
{
	plan_absorb(ctx);
	plan_advance(ctx);
}

static void add_queries(struct plan *plan)
{
	struct coord_query *request = plan->request;
	struct arena *arena = request->call.arena;
	uint32_t n_partitions = plan->collection->n_partitions;
	plan->nodes = arena_alloc(arena, (request->n_queries + 1) * sizeof(*plan->nodes));
	for (uint32_t i = 0; i < request->n_queries; i++) {
		struct query_result *result = &request->results[i];
		memset(result, 0, sizeof(*result));
		result->complete = true;
		result->n_receipts = n_partitions;
		result->receipts = arena_zalloc(arena, n_partitions * sizeof(*result->receipts));
		for (uint32_t p = 0; p < n_partitions; p++)
			result->receipts[p].partition = p;
		struct error err = {0};
		int rc = plan_add_query(plan, &request->queries[i], result, &err);
		if (rc != 0)
			node_fail(&plan->nodes[i], rc, &err);
	}
}

void coord_query(struct coord *c, struct coord_query *request)
{
	struct arena *arena = request->call.arena;
	struct plan *plan = arena_zalloc(arena, sizeof(*plan));
	atomic_fetch_add(&c->searches, request->n_queries);
	plan->started_us = c->options.clock->monotonic_us(c->options.clock->ctx);
	request->results =
		arena_zalloc(arena, (request->n_queries + 1) * sizeof(*request->results));
	int rc = round_init(&plan->round, c, &request->call, &request->call.err);
	if (rc != 0) {
		round_fini(&plan->round);
		coord_finish(c, &request->call, rc);
		return;
	}
	plan->request = request;
	plan->collection = plan->round.placed->collection;
	plan->round.resume = plan_resume;
	plan->round.ctx = plan;
	add_queries(plan);
	plan_advance(plan);
}
