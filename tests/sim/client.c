/* Clients: write, wait, and try again with the same batch id, as the coordinators do. */
#include "tests/sim/sim.h"

enum { TRIES = 8, LAST_WRITES_US = 20000000 };

uint32_t colour_of(uint64_t op)
{
	return (uint32_t)(op * 0x9E3779B97F4A7C15ull >> 62);
}

struct node *any_up(struct sim *s)
{
	struct node *up[SIM_NODES + 1];
	uint32_t n = 0;

	for (uint32_t i = 1; i <= s->n_nodes; i++)
		if (s->nodes[i].up)
			up[n++] = &s->nodes[i];
	return n ? up[prng_below(&s->prng, n)] : NULL;
}

static uint64_t new_op(struct sim *s)
{
	enum op_kind kind = (enum op_kind)prng_below(&s->prng, SIM_OP_KINDS);

	s->ops = room(s->ops, s->n_ops, &s->cap_ops, sizeof *s->ops);
	s->ops[s->n_ops] = (struct sim_op){
		.partition = (uint32_t)prng_below(&s->prng, s->n_parts),
		.kind = kind,
		.id = (uint32_t)prng_below(&s->prng, kind == SIM_REMOVE_COLOUR ? 4 : SIM_IDS),
	};
	return s->n_ops++;
}

static uint64_t new_attempt(struct sim *s, uint32_t client, uint64_t op)
{
	s->attempts = room(s->attempts, s->n_attempts, &s->cap_attempts, sizeof *s->attempts);
	s->attempts[s->n_attempts] =
		(struct attempt){.op = op,
				 .until_us = s->now_us + between(s, 1000000, 2000000),
				 .client = client,
				 .open = true};
	return s->n_attempts++;
}

/* By the map as some node knows it. */
static void attempt(struct sim *s, uint32_t client, const struct map_partition *config)
{
	struct client *c = &s->clients[client];
	const struct sim_op *op = &s->ops[c->op];
	uint64_t n = new_attempt(s, client, c->op);
	struct msg *m = msg_new(MSG_WRITE, 0, (uint32_t)config->primary, op->partition);

	m->attempt = n;
	m->op = c->op;
	c->tries++;
	c->attempt = n;
	if (!c->timed)
		later(s, s->attempts[n].until_us - s->now_us,
		      (struct event){.kind = EV_ATTEMPT_OVER, .a = client});
	c->timed = true;
	net_send(s, m);
}

/* Most attempts are over long before their time: one event at a time does for each client. */
void client_timer(struct sim *s, uint32_t client)
{
	struct client *c = &s->clients[client];
	const struct attempt *a = &s->attempts[c->attempt];

	c->timed = a->open && a->until_us > s->now_us;
	if (c->timed)
		later(s, a->until_us - s->now_us,
		      (struct event){.kind = EV_ATTEMPT_OVER, .a = client});
	else
		client_answer(s, c->attempt, ERR_TIMEOUT, 0);
}

void client_next(struct sim *s, uint32_t client)
{
	struct client *c = &s->clients[client];
	struct node *at = any_up(s);

	if (!at || !map_config(at->control.map, 0)) {
		later(s, 100000, (struct event){.kind = EV_CLIENT, .a = client});
		return;
	}
	if (c->op == 0) {
		if (s->now_us + LAST_WRITES_US > s->end_us)
			return;
		c->op = new_op(s);
		c->tries = 0;
	}
	attempt(s, client, map_config(at->control.map, s->ops[c->op].partition));
}

static void decide_fate(struct sim *s, struct client *c, int rc)
{
	struct sim_op *op = &s->ops[c->op];

	if (rc == 0) {
		op->fate = FATE_DONE;
	} else if (op->maybe) {
		op->fate = FATE_UNKNOWN;
		s->stats.unknown++;
	} else {
		op->fate = FATE_REFUSED;
		s->stats.refused++;
		if (op->seq)
			violation(s, "refused_absent",
				  "op %llu is refused (%s) and committed at %llu",
				  (unsigned long long)c->op, error_name(rc),
				  (unsigned long long)op->seq);
	}
	c->op = 0;
}

void client_answer(struct sim *s, uint64_t n, int rc, uint64_t seq)
{
	struct attempt *a = &s->attempts[n];
	struct client *c = &s->clients[a->client];
	uint64_t wait = 1000 + prng_below(&s->prng, s->think_us + 1);

	(void)seq;
	if (!a->open)
		return;
	a->open = false;
	if (rc == ERR_TIMEOUT || rc == ERR_CLOSED)
		s->ops[a->op].maybe = true;
	if (rc == 0 || c->tries >= TRIES)
		decide_fate(s, c, rc);
	else
		wait = 20000 + prng_below(&s->prng, 300000);
	later(s, wait, (struct event){.kind = EV_CLIENT, .a = a->client});
}
