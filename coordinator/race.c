/* See race.h. A race lives on the heap until its last try is over. `target` is the round's call; it is NULL once the call was
 * answered, and only then may the round, its request and its arena go. */
#include "coordinator/race.h"
#include "base/assert.h"
#include "base/memory.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_PAUSE_US = 20000, READ_PATIENCE_US = 5000000 };

struct try;
struct race {
	pthread_mutex_t lock;
	uint32_t refs;
	struct coord *coord;
	struct round_call *target;
	enum rpc_type type;
	uint64_t deadline_us;
	uint64_t patience_us; /* no new start after this */
	struct route_avoid tried;
	uint32_t open;      /* tries under way */
	uint32_t launching; /* of those: being sent; the request must stay until they are on their way */
	bool settled;       /* the result is known: `winner`, or NULL and rc */
	struct try *winner;
	int rc; /* of the last failure */
	struct error err;
};

struct
try {
	struct rpc_call rpc;
	union rpc_any_response response;
	struct race *race;
	uint64_t node;
	uint64_t started_us;
};

static uint64_t now_us(const struct coord *c)
{
	return c->options.clock->monotonic_us(c->options.clock->ctx);
}

bool race_retryable(enum rpc_type type, int rc)
{
	bool moved = rc == ERR_UNAVAILABLE || rc == ERR_STALE || rc == ERR_CLOSED;
	return moved || (type != RPC_TYPE_write && (rc == ERR_CORRUPT || rc == ERR_BUSY));
}

static void race_unref(struct race *race)
{
	if (__atomic_sub_fetch(&race->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	pthread_mutex_destroy(&race->lock);
	free(race);
}

static void race_ref(struct race *race)
{
	__atomic_fetch_add(&race->refs, 1, __ATOMIC_RELAXED);
}

static bool is_write(const struct race *race)
{
	return race->type == RPC_TYPE_write;
}

/* The next node to ask, by the map as it is now; 0 = none. Under the lock, target not NULL. Every request begins with its
 * target, which is brought up to date. */
static uint64_t choose(struct race *race)
{
	struct round_call *c = race->target;
	if (atomic_load(&race->coord->closing)) {
		if (race->rc == 0)
			race->rc = error_set(&race->err, ERR_UNAVAILABLE, "the node is stopping");
		race->patience_us = 0;
		return 0;
	}
	const struct map *m = coord_map(race->coord);
	struct rpc_target *t = (struct rpc_target *)c->rpc.request;
	const struct map_collection *placed = map_collection_by_id(m, t->collection_id);
	uint64_t node = 0;
	if (placed != NULL && t->partition < placed->collection->n_partitions) {
		const struct map_partition *p = &placed->partitions[t->partition];
		if (!is_write(race))
			node = route_pick(&race->coord->route, m, p, &race->tried,
					  now_us(race->coord));
		else if (race->tried.n == 0)
			node = p->primary;
		if (race->open == 0) {
			t->revision = placed->collection->revision;
			t->epoch = p->epoch;
		}
	} else {
		race->rc = error_set(&race->err, ERR_NOT_FOUND,
				     "the collection was deleted meanwhile");
		race->patience_us = 0;
	}
	map_unref(m);
	if (node != 0 && race->tried.n < LIMIT_REPLICAS)
		race->tried.nodes[race->tried.n++] = node;
	return node;
}

static void try_done(struct rpc_call *rpc);

static void try_free(struct try *t)
{
	arena_free(t->rpc.arena);
	free(t);
}

/* Under the lock, which it lets go: hands the result over if it is known and nobody is still reading the request. */
static void settle(struct race *race)
{
	struct round_call *c = race->target;
	struct try *winner = race->winner;
	bool ready = race->settled && race->launching == 0 && c != NULL;
	if (ready)
		race->target = NULL;
	pthread_mutex_unlock(&race->lock);
	if (!ready)
		return;
	c->rpc.rc = winner ? 0 : race->rc;
	if (winner) {
		c->response = winner->response;
		c->own_arena = winner->rpc.arena;
		c->node = winner->node;
		free(winner);
	} else {
		c->rpc.err = race->err;
	}
	round_done(c);
}

static void launch(struct race *race, uint64_t node, const void *request)
{
	struct try *t = mem_zalloc(sizeof(*t));
	race_ref(race);
	t->race = race;
	t->node = node;
	t->started_us = now_us(race->coord);
	t->rpc.type = race->type;
	t->rpc.request = request;
	t->rpc.response = &t->response;
	t->rpc.arena = arena_new(4096);
	t->rpc.deadline_us = race->deadline_us;
	t->rpc.done = try_done;
	t->rpc.ctx = t;
	route_began(&race->coord->route, node);
	rpc_send(race->coord->options.rpc, node, &t->rpc);
}

/* Under the lock, which it lets go: sends to one more replica. False when there is none. */
static bool send_next(struct race *race)
{
	uint64_t node = choose(race);
	if (node == 0) {
		pthread_mutex_unlock(&race->lock);
		return false;
	}
	const void *request = race->target->rpc.request;
	race->open++;
	race->launching++;
	pthread_mutex_unlock(&race->lock);
	launch(race, node, request);
	pthread_mutex_lock(&race->lock);
	race->launching--;
	settle(race);
	return true;
}

/* Nobody is left to ask: wait for a newer map, or give up. */
static void again_due(void *ctx);

static void pause_or_fail(struct race *race)
{
	uint64_t now = now_us(race->coord);
	pthread_mutex_lock(&race->lock);
	bool wait = race->open == 0 && !race->settled && now + RETRY_PAUSE_US < race->patience_us;
	if (wait)
		race_ref(race);
	else if (race->open == 0)
		race->settled = true;
	settle(race);
	if (wait)
		timers_add(race->coord->timers, now + RETRY_PAUSE_US, again_due, race);
}

static void race_next(struct race *race)
{
	pthread_mutex_lock(&race->lock);
	if (race->settled || race->target == NULL)
		settle(race);
	else if (!send_next(race))
		pause_or_fail(race);
}

static void again_due(void *ctx)
{
	struct race *race = ctx;
	pthread_mutex_lock(&race->lock);
	race->tried.n = 0;
	pthread_mutex_unlock(&race->lock);
	race_next(race);
	race_unref(race);
}

static void hedge_due(void *ctx)
{
	struct race *race = ctx;
	pthread_mutex_lock(&race->lock);
	if (race->settled || race->target == NULL || race->open != 1 ||
	    !route_spend(&race->coord->route))
		settle(race);
	else
		send_next(race);
	race_unref(race);
}

/* ---- the end of a try ---- */

static void try_done(struct rpc_call *rpc)
{
	struct try *t = rpc->ctx;
	struct race *race = t->race;
	struct coord *c = race->coord;
	int rc = rpc->rc;
	uint64_t now = now_us(c);
	route_ended(&c->route, t->node, now - t->started_us,
		    rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT || rc == ERR_CLOSED, now);
	pthread_mutex_lock(&race->lock);
	race->open--;
	bool counts = !race->settled && race->target != NULL;
	bool again = counts && rc != 0 && race_retryable(race->type, rc);
	if (counts && rc != 0) {
		race->rc = rc;
		race->err = rpc->err;
	}
	if (counts && rc == 0)
		race->winner = t;
	if (counts && !again)
		race->settled = true;
	bool kept = race->winner == t;
	settle(race);
	if (!kept)
		try_free(t);
	if (again) {
		__atomic_fetch_add(&c->route.retries, 1, __ATOMIC_RELAXED);
		race_next(race);
	}
	race_unref(race);
}

void race_start(struct round_call *c, bool local_failed)
{
	struct coord *coord = c->round->coord;
	struct race *race = mem_zalloc(sizeof(*race));
	uint64_t now = now_us(coord);
	pthread_mutex_init(&race->lock, NULL);
	race->refs = 1;
	race->coord = coord;
	race->target = c;
	race->type = c->rpc.type;
	race->deadline_us = c->rpc.deadline_us;
	race->patience_us = race->deadline_us;
	if (race->type != RPC_TYPE_write && now + READ_PATIENCE_US < race->deadline_us)
		race->patience_us = now + READ_PATIENCE_US;
	if (local_failed) {
		race->rc = c->rpc.rc;
		race->err = c->rpc.err;
		race->tried = (struct route_avoid){{c->node}, 1};
	}
	bool hedge = race->type != RPC_TYPE_write && race->type != RPC_TYPE_info;
	route_earn(&coord->route);
	if (hedge)
		race_ref(race);
	uint64_t node = c->node;
	race_next(race);
	if (hedge)
		timers_add(coord->timers, now + route_hedge_delay_us(&coord->route, node),
			   hedge_due, race);
	race_unref(race);
}
