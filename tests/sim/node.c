/* A node: its clock, its knowledge of the map, what it hosts. */
#include "tests/sim/sim.h"

static bool named(const struct map_partition *c, uint64_t node)
{
	for (uint32_t i = 0; i < c->n_in_sync; i++)
		if (c->in_sync[i] == node)
			return true;
	for (uint32_t i = 0; i < c->n_learners; i++)
		if (c->learners[i] == node)
			return true;
	return false;
}

/* Hosts what the map names. By a map that may be old nothing is deleted, and nothing begun: an
 * empty replica would not know that it should have been in sync. */
static void host(struct sim *s, struct node *n)
{
	for (uint32_t p = 0; p < s->n_parts; p++) {
		struct rep *r = &n->reps[p];

		if (named(map_config(s, n->version, p), n->id)) {
			if (!r->open && (r->disk.exists || n->confirmed || n->life == 1))
				rep_open(s, r);
			else if (r->open)
				rep_config(s, r);
		} else {
			rep_stop(s, r);
			r->failed = false;
			if (n->confirmed && r->disk.exists)
				disk_wipe(&r->disk);
		}
	}
}

void node_map(struct sim *s, struct node *n, uint64_t version)
{
	if (version <= n->version)
		return;
	n->version = version;
	if (n->version_max < version)
		n->version_max = version;
	host(s, n);
}

void node_start(struct sim *s, struct node *n)
{
	uint64_t back = prng_below(&s->prng, 4);

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
	/* The last entries of the map's log are known to be committed only later. */
	n->version = n->version_max > back ? n->version_max - back : 0;
	n->incarnation = n->life;
	trace(s, "n%u starts with map %llu", n->id, (unsigned long long)n->version);
	host(s, n);
	later(s, prng_below(&s->prng, SIM_TICK_US),
	      (struct event){.kind = EV_TICK, .node = n->id, .b = n->life});
	later(s, prng_below(&s->prng, SIM_BEAT_US),
	      (struct event){.kind = EV_BEAT, .node = n->id, .b = n->life});
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
}

void node_tick(struct sim *s, struct node *n)
{
	later(s, SIM_TICK_US, (struct event){.kind = EV_TICK, .node = n->id, .b = n->life});
	for (uint32_t p = 0; p < s->n_parts; p++)
		if (n->reps[p].open)
			rep_tick(s, &n->reps[p]);
}

static struct heal_report report(const struct sim *s, const struct rep *r)
{
	const struct replica *m = &r->machine;

	if (r->failed)
		return (struct heal_report){.collection_id = s->collection_id,
					    .partition = r->part,
					    .failed = true};
	return (struct heal_report){
		.collection_id = s->collection_id,
		.partition = r->part,
		.epoch = m->epoch,
		.last_epoch = m->last_epoch,
		.last_seq = m->last_seq,
		.commit_seq = r->now.seq,
		.digest = r->now.digest,
		.failed = m->diverged || m->seeding,
	};
}

void node_beat(struct sim *s, struct node *n)
{
	const struct map_node *self = map_node(s->maps[n->version], n->id);
	struct msg *m;

	later(s, SIM_BEAT_US, (struct event){.kind = EV_BEAT, .node = n->id, .b = n->life});
	if (!s->leader)
		return;
	if (self->incarnation != n->incarnation) {
		m = msg_new(MSG_REGISTER, n->id, s->leader, 0);
		m->incarnation = n->incarnation;
		net_send(s, m);
	}
	m = msg_new(MSG_BEAT, n->id, s->leader, 0);
	m->incarnation = n->incarnation;
	m->gen = n->life;
	m->sent_us = local_us(s, n);
	for (uint32_t p = 0; p < s->n_parts; p++)
		if (n->reps[p].open || n->reps[p].failed)
			m->reports[m->n_reports++] = report(s, &n->reps[p]);
	net_send(s, m);
}

void node_beat_back(struct sim *s, struct node *n, const struct msg *m)
{
	bool was = n->confirmed;

	if (m->gen != n->life)
		return;
	node_map(s, n, m->version);
	n->confirmed = true;
	if (!was)
		host(s, n);
	for (uint32_t p = 0; p < s->n_parts; p++)
		if (n->reps[p].open)
			rep_event(s, &n->reps[p],
				  (struct replica_event){.type = EVENT_CONTACT,
							 .at_us = m->sent_us});
}
