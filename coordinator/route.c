/* See route.h. All counters are relaxed atomics: a lost update moves a choice, never a result. */
#include "coordinator/route.h"
#include <string.h>

#define GET(field)        __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define ADD(field, value) __atomic_fetch_add(&(field), (value), __ATOMIC_RELAXED)

enum { HEDGE = 100, HEDGE_TOKENS_MAX = 10 * HEDGE };

void route_init(struct route *r, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	r->draw = seed;
	r->hedge_tokens = HEDGE_TOKENS_MAX;
}

static struct route_node *node_of(struct route *r, uint64_t node)
{
	return &r->nodes[node % ROUTE_NODES];
}

/* splitmix64 over a counter: cheap, no lock. */
static uint64_t draw(struct route *r)
{
	uint64_t z = ADD(r->draw, 0x9E3779B97F4A7C15ull);
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
	return z ^ (z >> 31);
}

static bool avoided(const struct route_avoid *avoid, uint64_t node)
{
	for (uint32_t i = 0; i < avoid->n; i++)
		if (avoid->nodes[i] == node)
			return true;
	return false;
}

static bool healthy(struct route *r, const struct map *m, uint64_t node, uint64_t now_us)
{
	const struct map_node *known = map_node(m, node);
	return known != NULL && known->state != NODE_DOWN &&
	       GET(node_of(r, node)->open_until_us) <= now_us;
}

static uint64_t cost(struct route *r, uint64_t node)
{
	struct route_node *n = node_of(r, node);
	return (GET(n->mean_us) + 8) * (GET(n->in_flight) + 1);
}

uint64_t route_pick(struct route *r, const struct map *m, const struct map_partition *p,
		    const struct route_avoid *avoid, uint64_t now_us)
{
	uint64_t good[LIMIT_REPLICAS], any[LIMIT_REPLICAS];
	uint32_t n_good = 0, n_any = 0;
	for (uint32_t i = 0; i < p->n_in_sync; i++) {
		uint64_t node = p->in_sync[i];
		if (avoided(avoid, node))
			continue;
		any[n_any++] = node;
		if (healthy(r, m, node, now_us))
			good[n_good++] = node;
	}
	const uint64_t *from = n_good ? good : any;
	uint32_t n = n_good ? n_good : n_any;
	if (n == 0)
		return 0;
	if (n == 1)
		return from[0];
	uint64_t random = draw(r);
	uint32_t a = (uint32_t)(random % n), b = (uint32_t)((random >> 32) % (n - 1));
	if (b >= a)
		b++;
	return cost(r, from[a]) <= cost(r, from[b]) ? from[a] : from[b];
}

void route_began(struct route *r, uint64_t node)
{
	ADD(node_of(r, node)->in_flight, 1);
}

void route_ended(struct route *r, uint64_t node, uint64_t latency_us, bool failed, uint64_t now_us)
{
	struct route_node *n = node_of(r, node);
	ADD(n->in_flight, (uint32_t)-1);
	if (failed) {
		if (ADD(n->failures, 1) + 1 >= ROUTE_BREAKER_FAILURES)
			SET(n->open_until_us, now_us + ROUTE_BREAKER_US);
		return;
	}
	SET(n->failures, 0);
	uint64_t mean = GET(n->mean_us);
	uint64_t old = mean / 8;
	uint64_t off = latency_us > old ? latency_us - old : old - latency_us;
	SET(n->mean_us, mean + latency_us - old);
	SET(n->deviation_us, GET(n->deviation_us) + off - GET(n->deviation_us) / 4);
}

uint64_t route_hedge_delay_us(const struct route *r, uint64_t node)
{
	const struct route_node *n = &r->nodes[node % ROUTE_NODES];
	uint64_t high = GET(n->mean_us) / 8 + 3 * (GET(n->deviation_us) / 4);
	return high > ROUTE_HEDGE_MIN_US ? high : ROUTE_HEDGE_MIN_US;
}

bool route_spend(struct route *r)
{
	if (__atomic_fetch_sub(&r->hedge_tokens, HEDGE, __ATOMIC_RELAXED) >= HEDGE) {
		ADD(r->hedges, 1);
		return true;
	}
	ADD(r->hedge_tokens, HEDGE);
	return false;
}

void route_earn(struct route *r)
{
	if (GET(r->hedge_tokens) < HEDGE_TOKENS_MAX)
		ADD(r->hedge_tokens, ROUTE_HEDGE_PERCENT);
}
