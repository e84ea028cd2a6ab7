/* What should become of the partitions: promotion, rebuilding, moves. See heal.h. Each rule looks at one partition of the newest map and
 * says what it should be next; nothing is remembered but which changes are under way. */
#include "base/memory.h"
#include "cluster/heal_internal.h"
#include "cluster/place.h"
#include <string.h>

enum {
	SETTLE_US = 3000000, /* no moves for balance so soon after a node came or went */
	PLAN_MOVES = 16,
	REBUILDS = 4, /* lost copies that are made again at a time, for each move that is allowed */
	ALARM_US = 30000000, /* between alarms about different replicas */
};

/* A partition under consideration and what it should become. */
struct plan {
	const struct map_collection *c;
	uint32_t partition;
	const struct map_partition *now;
	struct map_partition next;
	bool changed;
};

static void drop_id(uint64_t *ids, uint32_t *n, uint64_t id)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < *n; i++)
		if (ids[i] != id)
			ids[kept++] = ids[i];
	*n = kept;
}

static bool add_learner(struct map_partition *p, uint64_t id)
{
	if (p->n_learners == LIMIT_REPLICAS || map_among(p->learners, p->n_learners, id))
		return false;
	p->learners[p->n_learners++] = id;
	return true;
}

/* ---- changes under way ---- */

static struct pending *pending_of(struct heal *h, const struct plan *p)
{
	for (size_t i = 0; i < h->n_pending; i++)
		if (h->pending[i].collection_id == p->c->collection->id &&
		    h->pending[i].partition == p->partition)
			return &h->pending[i];
	return NULL;
}

/* Those that took effect, or whose collection went away, are forgotten; the others after a while. */
static void forget_pending(struct heal *h)
{
	size_t kept = 0;
	for (size_t i = 0; i < h->n_pending; i++) {
		const struct pending *p = &h->pending[i];
		const struct map_collection *c = map_collection_by_id(h->map, p->collection_id);
		if (c != NULL && c->partitions[p->partition].epoch == p->epoch &&
		    h->now_us - p->submitted_us < HEAL_RESUBMIT_US)
			h->pending[kept++] = *p;
	}
	h->n_pending = kept;
}

static void submit(struct heal *h, const struct plan *p)
{
	if (h->n_commands == HEAL_COMMANDS || h->n_pending == HEAL_PENDING)
		return;
	h->pending[h->n_pending++] =
		(struct pending){p->c->collection->id, p->partition, p->now->epoch, h->now_us};
	h->commands[h->n_commands++] = (struct map_command){
		.type = MAP_PARTITION_SET,
		.collection_id = p->c->collection->id,
		.partition = p->partition,
		.expect_epoch = p->now->epoch,
		.config = p->next,
	};
}

/* ---- promotion and shrinking ---- */

static bool ahead(const struct heal_report *a, const struct heal_report *b)
{
	if (a == NULL || b == NULL)
		return a != NULL;
	if (a->last_epoch != b->last_epoch)
		return a->last_epoch > b->last_epoch;
	return a->last_seq > b->last_seq;
}

/* Dead, or without what it should hold: its replica could not be opened, or is not what it should be. Such a replica is rebuilt as a learner. */
static bool is_unfit(struct heal *h, const struct plan *p, uint64_t id)
{
	const struct heal_report *r = heal_report_of(h, id, p->c->collection->id, p->partition);
	return heal_dead(h, id) || (r != NULL && r->failed && !MUTANT(promotes_failed));
}

/* The fit in-sync member that holds the most; 0 when it is too early to say. */
static uint64_t best_member(struct heal *h, const struct plan *p, uint64_t except, bool wait)
{
	const struct heal_report *best = NULL;
	uint64_t chosen = 0;
	for (uint32_t i = 0; i < p->now->n_in_sync; i++) {
		uint64_t id = p->now->in_sync[i];
		if (id == except || is_unfit(h, p, id) ||
		    (heal_silent(h, id) && !MUTANT(promotes_unheard)))
			continue;
		const struct heal_report *r =
			heal_report_of(h, id, p->c->collection->id, p->partition);
		if (r == NULL && wait)
			return 0;
		if (r == NULL)
			continue; /* it does not host what it should: its folder may be lost */
		if (chosen == 0 || ahead(r, best)) {
			chosen = id;
			best = r;
		}
	}
	return chosen;
}

/* Unfit members go, as many as min_isr allows, and become learners. */
static void shrink(struct heal *h, struct plan *p)
{
	const struct map_partition *now = p->now;
	struct map_partition *next = &p->next;
	for (uint32_t i = 0; i < now->n_in_sync; i++) {
		uint64_t id = now->in_sync[i];
		if (!is_unfit(h, p, id) || id == next->primary || next->n_in_sync == 1 ||
		    next->n_in_sync - 1 < next->min_isr)
			continue;
		drop_id(next->in_sync, &next->n_in_sync, id);
		if (map_node(h->map, id) != NULL)
			add_learner(next, id);
		p->changed = true;
	}
}

static void heal_members(struct heal *h, struct plan *p)
{
	const struct map_partition *now = p->now;
	if (is_unfit(h, p, now->primary)) {
		const struct watched *w = heal_watched(h, now->primary);
		bool wait = w != NULL &&
			    (!w->dead || h->now_us - w->down_us < HEAL_REPORTS_WAIT_US);
		uint64_t chosen = best_member(h, p, now->primary, wait);
		if (chosen == 0)
			return; /* too early, or nobody lives: it stays as it is */
		p->next.primary = chosen;
		p->changed = true;
	}
	shrink(h, p);
}

/* ---- learners ---- */

static bool grace_is_over(struct heal *h, uint64_t id)
{
	const struct watched *w = heal_watched(h, id);
	return w == NULL || (w->dead && h->now_us - w->down_us >= h->options.grace_us);
}

/* Might a node that is away now return within its time? Then missing copies are not made yet. */
static bool somebody_may_return(struct heal *h)
{
	for (size_t i = 0; i < h->n_nodes; i++)
		if (h->nodes[i].dead && !grace_is_over(h, h->nodes[i].id))
			return true;
	return false;
}

/* One copy is begun at a time, so that the choice of the next node sees it in the map; and few are made at once. */
static uint64_t replacement(struct heal *h, const struct plan *p)
{
	if (h->rebuilding || h->under_way >= REBUILDS * h->options.max_moves)
		return 0;
	uint64_t node = place_replacement(h->map, p->c, p->partition);
	h->rebuilding = node != 0;
	return node;
}

static void heal_learners(struct heal *h, struct plan *p)
{
	struct map_partition *next = &p->next;
	uint32_t factor = p->c->collection->replication_factor;
	for (uint32_t i = 0; i < p->now->n_learners; i++) {
		uint64_t id = p->now->learners[i];
		if (!heal_dead(h, id) || !grace_is_over(h, id))
			continue;
		uint32_t others = next->n_in_sync + next->n_learners - 1;
		uint64_t instead = others < factor ? replacement(h, p) : 0;
		if (instead == 0 && others < factor)
			continue; /* nowhere to go now, and it may yet return */
		drop_id(next->learners, &next->n_learners, id);
		if (instead != 0)
			add_learner(next, instead);
		p->changed = true;
		return; /* one at a time, so that the next choice sees this one */
	}
	if (next->n_in_sync + next->n_learners < factor && !heal_dead(h, next->primary) &&
	    !somebody_may_return(h)) {
		uint64_t more = replacement(h, p);
		if (more != 0 && add_learner(next, more))
			p->changed = true;
	}
}

/* ---- more copies than wanted: the end of a move ---- */

static uint32_t replicas_on(const struct heal *h, uint64_t node)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < h->map->n_collections; i++) {
		const struct map_collection *c = &h->map->collections[i];
		for (uint32_t j = 0; j < c->collection->n_partitions; j++)
			n += map_among(c->partitions[j].in_sync, c->partitions[j].n_in_sync,
				       node) ||
			     map_among(c->partitions[j].learners, c->partitions[j].n_learners,
				       node);
	}
	return n;
}

/* The member that should leave: the one that a move takes away, else one on a draining node, else on the fullest one; rather not the
 * primary. */
static uint64_t surplus_member(struct heal *h, const struct map_partition *p)
{
	uint64_t worst = 0, weight = 0;
	if (map_among(p->in_sync, p->n_in_sync, p->leaving))
		return p->leaving;
	for (uint32_t i = 0; i < p->n_in_sync; i++) {
		uint64_t id = p->in_sync[i];
		const struct map_node *node = map_node(h->map, id);
		uint64_t w = 2 * (uint64_t)replicas_on(h, id) + (id != p->primary);
		if (node == NULL || node->state == NODE_DRAINING)
			w += UINT64_C(1) << 32;
		else if (id == p->pinned)
			w = 0;
		if (worst == 0 || w > weight) {
			worst = id;
			weight = w;
		}
	}
	return worst;
}

static void drop_surplus(struct heal *h, struct plan *p)
{
	struct map_partition *next = &p->next;
	if (p->changed || next->n_in_sync <= p->c->collection->replication_factor ||
	    next->n_in_sync - 1 < next->min_isr)
		return;
	uint64_t leaves = surplus_member(h, next);
	if (leaves == next->primary) {
		uint64_t chosen = best_member(h, p, leaves, true);
		if (chosen == 0)
			return;
		next->primary = chosen;
	}
	drop_id(next->in_sync, &next->n_in_sync, leaves);
	p->changed = true;
}

/* ---- alarms ---- */

/* same_digest: equal positions, equal digests. */
static void compare_digests(struct heal *h, const struct plan *p)
{
	const struct heal_report *a =
		heal_report_of(h, p->now->primary, p->c->collection->id, p->partition);
	for (uint32_t i = 0; a != NULL && !a->failed && i < p->now->n_in_sync; i++) {
		uint64_t id = p->now->in_sync[i];
		const struct heal_report *b =
			heal_report_of(h, id, p->c->collection->id, p->partition);
		if (b == NULL || b->failed || b->commit_seq != a->commit_seq ||
		    b->digest == a->digest)
			continue;
		if (h->alarmed_us != 0 && h->now_us - h->alarmed_us < ALARM_US)
			return;
		h->alarmed_us = h->now_us;
		heal_notice(h, true,
			    "partition %u of %s: nodes %llu and %llu differ at position %llu",
			    p->partition, p->c->collection->name,
			    (unsigned long long)p->now->primary, (unsigned long long)id,
			    (unsigned long long)a->commit_seq);
	}
}

/* ---- balance ---- */

static void start_move(struct heal *h, const struct place_move *move)
{
	const struct map_collection *c = map_collection_by_id(h->map, move->collection_id);
	struct plan p = {.c = c, .partition = move->partition};
	p.now = &c->partitions[move->partition];
	p.next = *p.now;
	if (p.now->n_in_sync < c->collection->replication_factor || !add_learner(&p.next, move->to))
		return;
	p.next.leaving = move->from;
	heal_notice(h, false, "partition %u of %s moves from node %llu to node %llu", p.partition,
		    c->collection->name, (unsigned long long)move->from,
		    (unsigned long long)move->to);
	submit(h, &p);
}

static void balance(struct heal *h)
{
	struct place_move moves[PLAN_MOVES];
	uint32_t most = h->options.max_moves;
	size_t room = most > h->under_way ? most - h->under_way : 0;
	if (room == 0 || h->now_us - h->changed_us < SETTLE_US || somebody_may_return(h))
		return;
	size_t n = place_balance(h->map, moves, room < PLAN_MOVES ? room : PLAN_MOVES);
	for (size_t i = 0; i < n; i++)
		start_move(h, &moves[i]);
}

/* ---- all partitions ---- */

static bool is_under_way(struct heal *h, const struct plan *p)
{
	const struct map_partition *now = &p->c->partitions[p->partition];
	if (now->n_in_sync > p->c->collection->replication_factor || pending_of(h, p) != NULL)
		return true;
	for (uint32_t i = 0; i < now->n_learners; i++)
		if (!heal_dead(h, now->learners[i]))
			return true;
	return false;
}

static void plan_partition(struct heal *h, struct plan *p)
{
	p->now = &p->c->partitions[p->partition];
	p->next = *p->now;
	p->changed = false;
	compare_digests(h, p);
	if (pending_of(h, p) != NULL)
		return;
	heal_members(h, p);
	if (!p->changed)
		heal_learners(h, p);
	drop_surplus(h, p);
	if (p->changed)
		submit(h, p);
}

static void each_partition(struct heal *h, bool count)
{
	for (uint32_t i = 0; i < h->map->n_collections; i++) {
		struct plan p = {.c = &h->map->collections[i]};
		for (p.partition = 0; p.partition < p.c->collection->n_partitions; p.partition++) {
			if (!count)
				plan_partition(h, &p);
			else if (is_under_way(h, &p))
				h->under_way++;
		}
	}
}

void heal_plan(struct heal *h)
{
	h->under_way = 0;
	h->rebuilding = false;
	forget_pending(h);
	each_partition(h, true);
	each_partition(h, false);
	if (h->n_commands == 0)
		balance(h);
}
