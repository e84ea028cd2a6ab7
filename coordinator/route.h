/* Which replica answers a read: what this coordinator has seen of each node, and the choice.
 *
 * Choice: of two in-sync replicas drawn at random the one with the smaller latency x (in flight + 1) (Mitzenmacher, "The power of
 * two choices in randomized load balancing", 2001). A node whose last calls all failed is left out for a while (circuit
 * breaker), unless nobody else is there.
 *
 * Latency is a running mean with its mean deviation (Jacobson, "Congestion avoidance and control", 1988); mean + 3 deviations stands
 * for the 95th percentile when hedging. Thread-safe; all state is this process's own.
 */
#pragma once
#include "cluster/map.h"
#include <stdbool.h>
#include <stdint.h>

enum {
	ROUTE_NODES = 64,           /* nodes that are told apart; more share a place */
	ROUTE_BREAKER_FAILURES = 5, /* in a row open the breaker */
	ROUTE_BREAKER_US = 500000,  /* for so long */
	ROUTE_HEDGE_MIN_US = 2000,
	ROUTE_HEDGE_PERCENT = 5, /* of the reads may be sent a second time */
};

struct route {
	struct route_node {
		uint32_t in_flight;     /* atomic */
		uint32_t failures;      /* atomic: in a row */
		uint64_t open_until_us; /* atomic: breaker */
		uint64_t mean_us;       /* atomic: of answers, x 8 */
		uint64_t deviation_us;  /* atomic: x 4 */
	} nodes[ROUTE_NODES];
	uint64_t draw;            /* atomic: counter behind the random draws */
	int64_t hedge_tokens;     /* atomic: hundredths of a hedge */
	uint64_t hedges, retries; /* atomic: counters */
};

void route_init(struct route *r, uint64_t seed);
/* An in-sync replica of p that is not in `avoid`; 0 = none is left. */
struct route_avoid {
	uint64_t nodes[LIMIT_REPLICAS];
	uint32_t n;
};
uint64_t route_pick(struct route *r, const struct map *m, const struct map_partition *p,
		    const struct route_avoid *avoid, uint64_t now_us);
void route_began(struct route *r, uint64_t node);
/* failed: no answer (connection lost, timed out), not "the answer was an error". */
void route_ended(struct route *r, uint64_t node, uint64_t latency_us, bool failed, uint64_t now_us);
/* How long to wait for a node before asking another one as well. */
uint64_t route_hedge_delay_us(const struct route *r, uint64_t node);
/* Takes one hedge out of the budget; false when it is used up. Each read puts a little in (route_earn). */
bool route_spend(struct route *r);
void route_earn(struct route *r);
