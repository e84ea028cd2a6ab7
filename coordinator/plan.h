/* Query plans. A query tree (a root with nested prefetches) becomes a flat list of nodes. Each node
 * goes through a few stages; in every round all nodes that can go on add their calls, so that independent parts of a query, and
 * all queries of a batch, travel together.
 *
 *   RESOLVE  examples given as ids -> vectors (retrieve)
 *   IDF      sparse with idf: document frequencies over the whole collection
 *   SEARCH   leaf searches or scrolls over all partitions; for a node with prefetches: the vectors of the candidates
 *   DONE
 * After the roots are done, payloads and vectors that were not inlined are fetched for the final ids only.
 */
#pragma once
#include "coordinator/internal.h"

enum node_stage { NODE_RESOLVE, NODE_IDF, NODE_SEARCH, NODE_DONE };

struct plan_node {
	const struct query *query;
	struct plan_node
		*children; /* n = query->n_prefetch, all of them DONE before this one starts */
	struct query_result *result; /* of the root it belongs to: errors, completeness */
	bool is_root;
	enum node_stage stage;
	bool prepared;               /* has calls in the present round */
	const struct filter *filter; /* own, inherited and exclusions together; NULL: none */
	uint32_t want;               /* candidates that this node must give: limit + offset */
	bool larger;                 /* its scores: larger is better */
	bool inlined;                /* payload and vectors came with the leaves */
	/* vector searches */
	enum vector_kind kind;
	uint32_t space;
	enum distance distance; /* dense */
	struct vector vector;   /* resolved; normalised for Cosine */
	float *idf;
	struct vector *positive, *negative; /* RECOMMEND: resolved examples */
	uint32_t scored_top; /* RECOMMEND, scored: candidates asked for, of each example in each partition */
	struct fetch fetch;
	uint32_t first_call, n_calls;  /* idf, scroll */
	uint32_t first_leaf, n_leaves; /* into plan.leaves */
	struct rpc_scroll_request scroll;
	struct hits hits; /* when DONE */
};

/* A leaf on its way: which node asked, and where its answer is. */
struct plan_leaf {
	struct plan_node *node;
	uint64_t server;
	uint32_t call;     /* in round.calls */
	uint32_t position; /* in that call's leaves */
	struct leaf leaf;
};

struct plan {
	struct round round;
	struct coord_query *request;
	const struct collection *collection;
	struct plan_node *nodes;
	uint32_t n_nodes;
	struct plan_leaf *leaves;
	uint32_t n_leaves, cap_leaves;
	struct fetch *final_fetch; /* per query; n_ids 0: nothing to fetch */
	bool fetching;
	uint64_t started_us;
};

/* plan_node.c: checks a query against the collection and lays out its nodes. 0 or negative with text. */
int plan_add_query(struct plan *plan, const struct query *q, struct query_result *result,
		   struct error *err);
/* plan_step.c: adds the calls that the node's stage needs (none: it moved on or is done), and takes the answers in. */
void node_prepare(struct plan *plan, struct plan_node *node);
void node_absorb(struct plan *plan, struct plan_node *node);
void node_fail(struct plan_node *node, int rc, const struct error *err);
/* recommend.c: scores of candidates for best_score and sum_scores; average vector; idf put into the
 * values of sparse examples. */
/* Has it one of the two strategies by which candidates, neighbours of the examples, are scored afterwards? */
bool recommend_is_scored(const struct query *q);
/* Are these the neighbours of its positive examples, or of one vector? */
bool recommend_from_examples(const struct plan_node *node);
/* How many candidates to ask for in this round, after scored_top of them did not do; recommend_most() in the last one: vectors of 32 MB
 * for each partition. */
uint32_t recommend_next_top(const struct plan_node *node);
uint32_t recommend_most(const struct plan_node *node);
/* No point outside of these lists, which hold scored_top hits unless there are no more, can have a greater score; -INFINITY: there is
 * none. Before the hits are scored. */
float recommend_bound(const struct plan_node *node, const struct hits *lists, uint32_t n_lists);
/* Are the node's scored hits those that scoring every point would give? */
bool recommend_is_sure(const struct plan_node *node, float bound);
void recommend_average(struct plan *plan, struct plan_node *node);
bool recommend_sum_is_nearest(const struct plan_node *node);
void recommend_weigh(struct plan *plan, struct plan_node *node);
float recommend_score(const struct plan_node *node, const struct vector *candidate);
/* reads.c */
void scroll_merge(struct round *r, uint32_t first, uint32_t n, const struct rpc_scroll_request *s,
		  struct hits *out);
