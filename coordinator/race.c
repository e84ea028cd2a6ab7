/* See race.h. A race lives on the heap until its last try is over. `target` is the round's call; it is NULL once the call was
 * answered, and only then may the round, its request and its arena go. */
#include "coordinator/race.h"
#include "base/assert.h"
#include "base/memory.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
	RETRY_PAUSE_US = 20000,
	READ_PATIENCE_US = 5000000,
	INFO_PATIENCE_US = 1000000,
	SLOW_US =
		250000, /* a read that is silent for so long is sent again whatever the budget says */
	WATCH_US =
		100000, /* between looks whether the primary that has a write is still the primary */
};

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
	bool begun;         /* the first try is the node that the round has chosen */
	bool pressed;       /* the next hedge needs no budget */
	bool unknown;       /* a primary was lost with the write: it may have been carried out */
	struct try *winner;
	struct try *writing; /* the write's only try, on another node */
	int rc;              /* of the last failure */
	struct error err;
	struct timer
		later; /* the hedge of a read, or the watch over a write; set: it holds a reference */
	struct timer pause; /* until it starts again; likewise */
};

struct
try {
	struct rpc_call rpc;
	uint32_t refs; /* under the race's lock: until it is done, and while it is cancelled */
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
		if (!is_write(race) && !race->begun)
			node = c->node;
		else if (!is_write(race))
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
	race->begun = true;
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

/* A write that may have been carried out is never called refused, whatever came later. */
static void tell_unknown(struct race *race)
{
	struct error last = race->err;
	race->rc = error_set(
		&race->err, ERR_TIMEOUT,
		"the outcome is unknown: the write may or may not have been carried out (%s); "
		"send it again with the same batch id, or read to see",
		last.text);
}

/* Under the lock: what the answer is made of leaves the winning try, which is freed here or by whoever still refers to it. */
static void take_winner(struct race *race, struct round_call *c)
{
	struct try *winner = race->winner;
	c->response = winner->response;
	c->own_arena = winner->rpc.arena;
	c->node = winner->node;
	winner->rpc.arena = NULL;
	race->winner = NULL;
	if (winner->refs == 0)
		free(winner);
}

/* Under the lock. Not once the result was handed over: then nobody would take it back. */
static bool set_later(struct race *race, uint64_t due_us, void (*fn)(void *ctx))
{
	bool wanted = race->target != NULL;
	if (wanted)
		timers_add(race->coord->timers, &race->later, due_us, fn, race);
	return wanted;
}

/* Under the lock, which it lets go: hands the result over if it is known and nobody is still reading the request. The caller has a
 * reference. */
static void settle(struct race *race)
{
	struct round_call *c = race->target;
	bool ready = race->settled && race->launching == 0 && c != NULL;
	if (ready) {
		race->target = NULL;
		c->rpc.rc = race->winner != NULL ? 0 : race->rc;
		if (race->winner != NULL)
			take_winner(race, c);
		else if (race->unknown)
			tell_unknown(race);
		if (c->rpc.rc != 0) {
			c->rpc.rc = race->rc;
			c->rpc.err = race->err;
		}
	}
	pthread_mutex_unlock(&race->lock);
	if (!ready)
		return;
	if (timers_take_back(race->coord->timers, &race->later))
		race_unref(race);
	round_done(c);
}

/* more: of the call's first try, when others of its round follow to the same node. */
static void launch(struct race *race, uint64_t node, const void *request, bool more)
{
	struct try *t = mem_zalloc(sizeof(*t));
	race_ref(race);
	t->refs = 1;
	t->race = race;
	t->node = node;
	t->started_us = now_us(race->coord);
	t->rpc.type = race->type;
	t->rpc.request = request;
	t->rpc.response = &t->response;
	t->rpc.arena = arena_new(4096);
	t->rpc.deadline_us = race->deadline_us;
	t->rpc.more = more;
	t->rpc.done = try_done;
	t->rpc.ctx = t;
	if (is_write(race) && node != race->coord->options.self_node) {
		pthread_mutex_lock(&race->lock);
		race->writing = t;
		pthread_mutex_unlock(&race->lock);
	}
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
	bool more = race->target->more && node == race->target->node && race->tried.n == 1;
	race->open++;
	race->launching++;
	pthread_mutex_unlock(&race->lock);
	launch(race, node, request, more);
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
		timers_add(race->coord->timers, &race->pause, now + RETRY_PAUSE_US, again_due,
			   race);
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
	struct coord *c = race->coord;
	pthread_mutex_lock(&race->lock);
	bool slow = !race->settled && race->target != NULL && race->open == 1;
	bool again = slow && !race->pressed && !atomic_load(&c->closing) && !route_spend(&c->route);
	race->pressed = race->pressed || again;
	bool set = again && set_later(race, now_us(c) + SLOW_US, hedge_due);
	if (slow && !again)
		send_next(race);
	else
		settle(race);
	if (!set)
		race_unref(race);
}

/* ---- a write whose primary hangs ---- */

/* By the newest map, another node or epoch than what the write was sent with? Under the lock, target not NULL. */
static bool has_moved(const struct race *race)
{
	const struct rpc_target *t = race->target->rpc.request;
	const struct map *m = coord_map(race->coord);
	const struct map_collection *placed = map_collection_by_id(m, t->collection_id);
	bool moved = placed == NULL || t->partition >= placed->collection->n_partitions ||
		     placed->partitions[t->partition].primary != race->writing->node;
	map_unref(m);
	return moved;
}

static void try_unref(struct try *t)
{
	struct race *race = t->race;
	pthread_mutex_lock(&race->lock);
	bool last = --t->refs == 0 && race->winner != t;
	pthread_mutex_unlock(&race->lock);
	if (last)
		try_free(t);
}

/* A primary that is cut off or stopped does not answer; when the map has another one, the write goes there, with the same batch id. */
static void watch_due(void *ctx)
{
	struct race *race = ctx;
	struct coord *c = race->coord;
	struct try *lost = NULL;
	pthread_mutex_lock(&race->lock);
	bool over = race->settled || race->target == NULL || atomic_load(&c->closing);
	if (!over && race->writing != NULL && race->launching == 0 && has_moved(race)) {
		lost = race->writing;
		lost->refs++;
	}
	pthread_mutex_unlock(&race->lock);
	if (lost != NULL) {
		rpc_cancel(c->options.rpc, lost->node, &lost->rpc);
		try_unref(lost);
	}
	pthread_mutex_lock(&race->lock);
	bool set = !over && set_later(race, now_us(c) + WATCH_US, watch_due);
	pthread_mutex_unlock(&race->lock);
	if (!set)
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
	if (race->writing == t)
		race->writing = NULL;
	bool counts = !race->settled && race->target != NULL;
	bool again = counts && rc != 0 && race_retryable(race->type, rc);
	if (counts && rc != 0) {
		race->rc = rc;
		race->err = rpc->err;
		race->unknown = race->unknown ||
				(is_write(race) && (rc == ERR_CLOSED || rc == ERR_TIMEOUT));
	}
	if (counts && rc == 0)
		race->winner = t;
	if (counts && !again)
		race->settled = true;
	bool mine = --t->refs == 0 && race->winner != t;
	settle(race);
	if (mine)
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
	uint64_t patience = race->type == RPC_TYPE_info ? INFO_PATIENCE_US : READ_PATIENCE_US;
	if (!is_write(race) && now + patience < race->deadline_us)
		race->patience_us = now + patience;
	if (local_failed) {
		race->rc = c->rpc.rc;
		race->err = c->rpc.err;
		race->begun = true;
		race->tried = (struct route_avoid){{c->node}, 1};
		race->unknown = is_write(race) && c->rpc.rc == ERR_CLOSED;
	}
	bool watch = is_write(race);
	bool hedge = !watch && race->type != RPC_TYPE_info;
	route_earn(&coord->route);
	uint64_t node = c->node;
	race_next(race);
	uint64_t due = now + (watch ? WATCH_US : route_hedge_delay_us(&coord->route, node));
	pthread_mutex_lock(&race->lock);
	if ((hedge || watch) && set_later(race, due, watch ? watch_due : hedge_due))
		race_ref(race);
	pthread_mutex_unlock(&race->lock);
	race_unref(race);
}
