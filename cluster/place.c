/* Placement by counting: every replica weighs the same. Ties are broken by a hash of collection,
 * partition and node, so that the replicas of a lost node are spread over all the others instead
 * of always over the same pair.
 */
#include "cluster/place.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

struct candidate {
	uint64_t id;
	bool usable;   /* a shard server that is up */
	bool draining; /* or down for good: its replicas should leave */
	uint32_t replicas, primaries;
	uint64_t tie;
};

struct candidates {
	struct candidate *items;
	uint32_t n;
};

static struct candidate *candidate_of(struct candidates *all, uint64_t id)
{
	for (uint32_t i = 0; i < all->n; i++) {
		if (all->items[i].id == id)
			return &all->items[i];
	}
	return NULL;
}

static void count_partition(struct candidates *all, const struct map_partition *p)
{
	struct candidate *c;

	for (uint32_t i = 0; i < p->n_in_sync; i++) {
		c = candidate_of(all, p->in_sync[i]);
		if (c != NULL)
			c->replicas++;
	}
	for (uint32_t i = 0; i < p->n_learners; i++) {
		c = candidate_of(all, p->learners[i]);
		if (c != NULL)
			c->replicas++;
	}
	c = candidate_of(all, p->primary);
	if (c != NULL)
		c->primaries++;
}

static struct candidates candidates_new(const struct map *m)
{
	struct candidates all = {mem_array(m->n_nodes, sizeof(*all.items)), 0};

	for (uint32_t i = 0; i < m->n_nodes; i++) {
		struct candidate *c = &all.items[all.n];

		if (!m->nodes[i].shard)
			continue;
		c->id = m->nodes[i].id;
		c->usable = m->nodes[i].state == NODE_UP;
		c->draining = m->nodes[i].state == NODE_DRAINING;
		all.n++;
	}
	for (uint32_t i = 0; i < m->n_collections; i++) {
		for (uint32_t j = 0; j < m->collections[i].collection->n_partitions; j++)
			count_partition(&all, &m->collections[i].partitions[j]);
	}
	return all;
}

static uint64_t tie_of(const char *name, uint32_t partition, uint64_t node)
{
	return hash64_seed(name, strlen(name), node * UINT64_C(0x9e3779b97f4a7c15) + partition);
}

static bool taken(const uint64_t *ids, uint32_t n, uint64_t id)
{
	for (uint32_t i = 0; i < n; i++) {
		if (ids[i] == id)
			return true;
	}
	return false;
}

static bool emptier(const struct candidate *a, const struct candidate *b)
{
	if (b == NULL || a->replicas != b->replicas)
		return b == NULL || a->replicas < b->replicas;
	return a->tie != b->tie ? a->tie < b->tie : a->id < b->id;
}

/* The usable candidate with the fewest replicas that is not among `ids`. */
static struct candidate *pick(struct candidates *all, const uint64_t *ids, uint32_t n)
{
	struct candidate *best = NULL;

	for (uint32_t i = 0; i < all->n; i++) {
		struct candidate *c = &all->items[i];

		if (c->usable && !taken(ids, n, c->id) && emptier(c, best))
			best = c;
	}
	return best;
}

/* Puts the replica whose node has the fewest primaries first. */
static void choose_primary(struct candidates *all, uint64_t *ids, uint32_t n)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < n; i++) {
		if (candidate_of(all, ids[i])->primaries < candidate_of(all, ids[best])->primaries)
			best = i;
	}
	uint64_t id = ids[best];

	ids[best] = ids[0];
	ids[0] = id;
	candidate_of(all, id)->primaries++;
}

static int check_factor(const struct candidates *all, const struct place_request *request,
			uint32_t *n_replicas, struct error *err)
{
	uint32_t usable = 0;

	for (uint32_t i = 0; i < all->n; i++)
		usable += all->items[i].usable;
	if (usable == 0)
		return error_set(err, ERR_UNAVAILABLE,
				 "none of the %u shard servers of this cluster is up", all->n);
	*n_replicas = request->replication_factor;
	if (usable >= request->replication_factor)
		return 0;
	*n_replicas = usable;
	if (request->degraded)
		return 0;
	return error_set(err, ERR_VALIDATION,
			 "replication_factor is %u, but only %u shard server%s (of %u) %s up; add "
			 "servers, lower the factor, or create it with ?degraded=true",
			 request->replication_factor, usable, usable == 1 ? "" : "s", all->n,
			 usable == 1 ? "is" : "are");
}

/* Leaves out who is silent, unless there would be too few. */
static void leave_out_silent(struct candidates *all, const struct place_request *request)
{
	uint32_t heard = 0;

	for (uint32_t i = 0; i < all->n; i++)
		heard += all->items[i].usable &&
			 !taken(request->silent, request->n_silent, all->items[i].id);
	for (uint32_t i = 0; i < all->n && heard >= request->replication_factor; i++)
		if (taken(request->silent, request->n_silent, all->items[i].id))
			all->items[i].usable = false;
}

int place_collection(const struct map *m, const struct place_request *request, uint64_t *replicas,
		     uint32_t *n_replicas, struct error *err)
{
	struct candidates all = candidates_new(m);
	int rc = check_factor(&all, request, n_replicas, err);

	assert(request->replication_factor >= 1);
	leave_out_silent(&all, request);
	for (uint32_t p = 0; rc == 0 && p < request->n_partitions; p++) {
		uint64_t *ids = &replicas[(size_t)p * *n_replicas];

		for (uint32_t i = 0; i < all.n; i++)
			all.items[i].tie = tie_of(request->name, p, all.items[i].id);
		for (uint32_t i = 0; i < *n_replicas; i++) {
			struct candidate *c = pick(&all, ids, i);

			ids[i] = c->id;
			c->replicas++;
		}
		choose_primary(&all, ids, *n_replicas);
	}
	free(all.items);
	return rc;
}

uint64_t place_replacement(const struct map *m, const struct map_collection *c, uint32_t partition)
{
	struct candidates all = candidates_new(m);
	const struct map_partition *p = &c->partitions[partition];
	struct candidate *best;
	uint64_t id;

	for (uint32_t i = 0; i < all.n; i++) {
		struct candidate *each = &all.items[i];

		each->tie = tie_of(c->collection->name, partition, each->id);
		if (map_partition_names(p, each->id))
			each->usable = false;
	}
	best = pick(&all, NULL, 0);
	id = best != NULL ? best->id : 0;
	free(all.items);
	return id;
}

/* ---- balance ---- */

static bool in_moves(const struct place_move *moves, size_t n, uint64_t collection,
		     uint32_t partition)
{
	for (size_t i = 0; i < n; i++) {
		if (moves[i].collection_id == collection && moves[i].partition == partition)
			return true;
	}
	return false;
}

/* Where a replica that is on `from` may go: the emptiest usable node without one of them. */
static struct candidate *target_of(struct candidates *all, const struct map_partition *p)
{
	struct candidate *best = NULL;

	for (uint32_t i = 0; i < all->n; i++) {
		struct candidate *c = &all->items[i];

		if (c->usable && !map_partition_names(p, c->id) && emptier(c, best))
			best = c;
	}
	return best;
}

/* Finds a replica on `from` that can move with gain; one move a partition at a time. */
static bool find_move(const struct map *m, struct candidates *all, struct candidate *from,
		      const struct place_move *moves, size_t n_moves, struct place_move *out)
{
	for (uint32_t i = 0; i < m->n_collections; i++) {
		const struct map_collection *c = &m->collections[i];

		for (uint32_t j = 0; j < c->collection->n_partitions; j++) {
			const struct map_partition *p = &c->partitions[j];
			struct candidate *to;

			if (p->n_learners > 0 || !map_partition_names(p, from->id) ||
			    (p->pinned == from->id && !from->draining) ||
			    in_moves(moves, n_moves, c->collection->id, j))
				continue;
			to = target_of(all, p);
			if (to == NULL || (!from->draining && to->replicas + 1 >= from->replicas))
				continue;
			*out = (struct place_move){c->collection->id, j, from->id, to->id};
			from->replicas--;
			to->replicas++;
			return true;
		}
	}
	return false;
}

static struct candidate *fullest(struct candidates *all, bool draining, const bool *exhausted)
{
	struct candidate *best = NULL;

	for (uint32_t i = 0; i < all->n; i++) {
		struct candidate *c = &all->items[i];

		if (exhausted[i] || c->replicas == 0 || (draining ? !c->draining : !c->usable))
			continue;
		if (best == NULL || c->replicas > best->replicas)
			best = c;
	}
	return best;
}

size_t place_balance(const struct map *m, struct place_move *moves, size_t cap)
{
	struct candidates all = candidates_new(m);
	bool *exhausted = mem_array(all.n, sizeof(*exhausted));
	size_t n = 0;

	for (int draining = 1; draining >= 0; draining--) {
		struct candidate *from;

		while (n < cap && (from = fullest(&all, draining != 0, exhausted)) != NULL) {
			if (find_move(m, &all, from, moves, n, &moves[n]))
				n++;
			else
				exhausted[from - all.items] = true;
		}
	}
	free(exhausted);
	free(all.items);
	return n;
}
