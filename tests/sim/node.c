/* A node: its clock, its knowledge of the map, what it hosts. */
#include "shard/begin.h"
#include "tests/sim/sim.h"

static void take_away(struct sim *s, struct rep *r)
{
	check_taken_away(s, r);
	if (r->disk.exists)
		disk_wipe(&r->disk);
	r->known = false;
}

/* Hosts what the map names. By a map that may be old nothing is deleted. */
static void host(struct sim *s, struct node *n)
{
	for (uint32_t p = 0; p < s->n_parts; p++) {
		struct rep *r = &n->reps[p];
		const struct map_partition *c = map_config(n->control.map, p);

		if (c && map_partition_names(c, n->id)) {
			if (r->open)
				rep_config(s, r);
			else
				rep_open(s, r);
		} else {
			rep_stop(s, r);
			r->failed = false;
			if (n->confirmed && (!c || !begin_keeps(r->disk.epoch, c)))
				take_away(s, r);
		}
	}
}

void node_map(struct sim *s, struct node *n)
{
	host(s, n);
	member_map(s, n);
}

void node_init(struct sim *s, struct node *n, uint32_t id)
{
	n->id = id;
	n->exists = true;
	route_init(&n->route, prng_u64(&s->prng));
	for (uint32_t p = 0; p < s->n_parts; p++)
		n->reps[p] = (struct rep){.node = id, .part = p};
}

void node_start(struct sim *s, struct node *n)
{
	if (n->up || n->gone)
		return;
	n->up = true;
	n->confirmed = false;
	n->life++;
	n->paused_until_us = 0;
	n->boot_us = s->now_us;
	/* The machine, or only the process, was started again. */
	n->base_us = n->life == 1 || chance(s, 0.5) ? between(s, 1000000, 1000000000)
						    : n->base_us + 60000000;
	n->rate = 0.97 + 0.06 * prng_unit(&s->prng);
	n->disk_us = 2000;
	trace(s, "n%u starts", n->id);
	member_start(s, n);
	control_start(s, n);
	if (!n->up)
		return;
	if (n->control.map->index)
		node_map(s, n);
	later(s, prng_below(&s->prng, SIM_TICK_US),
	      (struct event){.kind = EV_TICK, .node = n->id, .b = n->life});
}

void node_crash(struct sim *s, struct node *n)
{
	if (!n->up)
		return;
	trace(s, "n%u crashes", n->id);
	for (uint32_t p = 0; p < s->n_parts; p++)
		rep_crash(s, &n->reps[p]);
	n->base_us = local_us(s, n);
	n->up = false;
	control_crash(s, n);
}

void node_stop(struct sim *s, struct node *n)
{
	if (!n->up || n->paused_until_us > s->now_us)
		return;
	trace(s, "n%u stops", n->id);
	for (uint32_t p = 0; p < s->n_parts; p++)
		rep_stop(s, &n->reps[p]);
	n->base_us = local_us(s, n);
	n->up = false;
	control_crash(s, n);
}

/* A read of the map was confirmed that was asked for at at_us. */
void node_contact(struct sim *s, struct node *n, uint64_t at_us)
{
	bool was = n->confirmed;

	n->confirmed = true;
	if (n->known_since == 0)
		n->known_since = n->control.map->next_id;
	if (!was) {
		const struct map_node *own = map_node(n->control.map, n->id);

		n->confirmed_incarnation = own ? own->incarnation : 0;
		host(s, n);
	}
	for (uint32_t p = 0; p < s->n_parts; p++)
		if (n->reps[p].open)
			rep_event(s, &n->reps[p],
				  (struct replica_event){.type = EVENT_CONTACT, .at_us = at_us});
}

void node_tick(struct sim *s, struct node *n)
{
	later(s, SIM_TICK_US, (struct event){.kind = EV_TICK, .node = n->id, .b = n->life});
	for (uint32_t p = 0; p < s->n_parts; p++)
		if (n->reps[p].open)
			rep_tick(s, &n->reps[p]);
}
