/* The control plane of each node: the production raft driver and its files, with what coordinator/meta_runtime.c does
 * around them. Several updates wait for one sync; messages wait for it; the machine is told afterwards. */
#include "base/memory.h"
#include "cluster/meta_internal.h"
#include "cluster/meta_wire.h"
#include "tests/sim/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLUSTER_ID = 77, DISK_RETRY_US = 50000 };

const struct map_partition *map_config(const struct map *m, uint32_t part)
{
	return m && m->n_collections ? &m->collections[0].partitions[part] : NULL;
}

const struct map_partition *newest_config(const struct sim *s, uint32_t part)
{
	return map_config(s->newest, part);
}

void control_begin(struct sim *s)
{
	s->snapshot_entries = chance(s, 0.7) ? between(s, 4, 60) : 1024;
	s->grace_us = chance(s, 0.5) ? 10000000 : 60000000;
	s->n_first = (uint32_t)between(s, 1, s->n_nodes);
	/* An even number is allowed, and seldom wanted. */
	if (s->n_first % 2 == 0 && chance(s, 0.7))
		s->n_first += s->n_first < s->n_nodes ? 1 : -1;
	if (s->stress)
		stress_control(s);
	if (s->histories)
		history_control(s);
	for (uint32_t i = 1; i <= s->n_nodes; i++)
		snprintf(s->addresses[i], sizeof s->addresses[i], "10.0.0.%u:7000", i);
	for (uint32_t i = 0; i < s->n_first; i++)
		s->first[i] = (struct meta_voter){i + 1, s->addresses[i + 1]};
	s->n_asks = 1;
}

void control_end(struct sim *s)
{
	map_unref(s->newest);
	free(s->agreed);
	free(s->leaders);
	free(s->asks);
}

/* ---- requests ---- */

uint64_t ask_new(struct sim *s, const struct ask *a)
{
	s->asks = room(s->asks, s->n_asks, &s->cap_asks, sizeof *s->asks);
	s->asks[s->n_asks] = *a;
	s->asks[s->n_asks].open = true;
	return s->n_asks++;
}

void post_free(struct post *p)
{
	buf_fini(&p->bytes);
	free(p);
}

static void post(struct sim *s, struct node *n, uint64_t ask, struct post *p)
{
	s->asks[ask].node = n->id;
	s->asks[ask].life = n->life;
	p->event.tag = ask;
	later(s, prng_below(&s->prng, 100),
	      (struct event){.kind = EV_POST, .node = n->id, .b = n->life, .ptr = p});
}

void ask_submit(struct sim *s, struct node *n, uint64_t ask, const struct map_command *c)
{
	struct post *p = mem_zalloc(sizeof *p);
	struct map_command command = *c;
	struct ask *a = &s->asks[ask];

	command.command_hi = !a->nameless;
	command.command_lo = a->nameless ? 0 : ask;
	map_command_encode(&p->bytes, &command);
	if (a->nameless) {
		a->hash = check_hash(p->bytes.data, p->bytes.len);
		a->older = s->nameless[a->hash % SIM_NAMELESS];
		s->nameless[a->hash % SIM_NAMELESS] = ask;
	}
	p->event =
		(struct meta_event){.type = META_SUBMIT, .bytes = p->bytes.data, .n = p->bytes.len};
	a->submitted = true;
	post(s, n, ask, p);
}

void ask_read(struct sim *s, struct node *n, uint64_t ask)
{
	struct post *p = mem_zalloc(sizeof *p);

	p->event.type = META_READ;
	s->asks[ask].read = true;
	post(s, n, ask, p);
}

void ask_change(struct sim *s, struct node *n, uint64_t ask, const struct heal_change *change)
{
	struct post *p = mem_zalloc(sizeof *p);

	snprintf(p->address, sizeof p->address, "%s", change->address ? change->address : "");
	p->event = (struct meta_event){.type = META_CHANGE,
				       .change = change->change,
				       .voter = {change->node, p->address}};
	post(s, n, ask, p);
}

void ask_transfer(struct sim *s, struct node *n)
{
	struct post *p = mem_zalloc(sizeof *p);

	p->event.type = META_TRANSFER;
	post(s, n, ask_new(s, &(struct ask){.kind = ASK_OTHER}), p);
}

static void answer(struct sim *s, struct ask *asked, const struct error *result)
{
	struct ask a = *asked;

	asked->open = false;
	switch (a.kind) {
	case ASK_PROPOSE:
		rep_proposed(s, &s->nodes[a.node].reps[a.part], a.gen, a.number, result->code);
		break;
	case ASK_CREATE:
	case ASK_JOIN:
	case ASK_REMOVE: operator_answer(s, &a, result); break;
	case ASK_CONTACT:
	case ASK_REGISTER_READ:
	case ASK_REGISTER_PUT: member_answer(s, &a, result); break;
	case ASK_HEAL:
	case ASK_OTHER: break;
	}
}

/* ---- executing an update ---- */

static void send_or_hold(struct sim *s, struct node *n)
{
	struct control *c = &n->control;

	for (size_t i = 0; i < c->update.n_messages; i++) {
		const struct meta_message *from = &c->update.messages[i];
		struct msg *m;

		if (from->to > SIM_NODES)
			continue;
		m = msg_new(MSG_META, n->id, (uint32_t)from->to, 0);
		buf_put(&m->bytes, from->bytes, from->n);
		if (c->unsynced == 0) {
			net_send(s, m);
			continue;
		}
		*c->held_end = m;
		c->held_end = &m->next;
	}
}

static void drop_held(struct sim *s, struct control *c, bool send)
{
	while (c->held) {
		struct msg *m = c->held;

		c->held = m->next;
		m->next = NULL;
		if (send)
			net_send(s, m);
		else
			msg_free(m);
	}
	c->held_end = &c->held;
}

static void sync_later(struct sim *s, struct node *n)
{
	n->control.syncing = true;
	later(s, prng_below(&s->prng, n->disk_us + 1),
	      (struct event){.kind = EV_META_SYNC, .node = n->id, .b = n->life});
}

static void plan_tick(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	uint64_t now = local_us(s, n), wait = c->tick_us > now ? c->tick_us - now : 0;
	uint64_t at = s->now_us + (uint64_t)((double)wait / n->rate) + 1;

	if (c->tick_at_us != 0 && c->tick_at_us <= at)
		return;
	c->tick_at_us = at;
	later(s, at - s->now_us,
	      (struct event){.kind = EV_META_TICK, .node = n->id, .b = n->life, .c = at});
}

static void take_map(struct sim *s, struct node *n)
{
	struct control *c = &n->control;

	map_unref(c->map);
	c->map = map_ref(meta_map(c->meta));
	node_map(s, n);
}

/* The last byte of the answer to a candidate: bit 0 granted, bit 1 only asked for. */
static bool gives_vote(const struct meta_message *m)
{
	const uint8_t *bytes = m->bytes;

	return bytes[3] == WIRE_VOTE_RESULT && bytes[m->n - 1] == 1;
}

/* At which a node may be made to stop, see stress.c. */
static void moments(struct sim *s, struct node *n)
{
	const struct meta_update *u = &n->control.update;

	for (size_t i = 0; i < u->n_messages; i++)
		if (gives_vote(&u->messages[i]))
			fault_moment(s, n->id, MOMENT_VOTED);
	for (size_t i = 0; i < u->n_entries; i++)
		if (u->entries[i].type == ENTRY_CONFIGURATION)
			fault_moment(s, n->id, MOMENT_CHANGES);
	if (u->save_snapshot)
		fault_moment(s, n->id, MOMENT_SNAPSHOT);
}

static void execute(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	const struct meta_update *u = &c->update;
	uint64_t commit = c->commit, leads_term = c->leads_term;

	check_update(s, n, u);
	moments(s, n);
	if (u->persist)
		c->unsynced = u->number;
	send_or_hold(s, n);
	if (c->unsynced && !c->syncing)
		sync_later(s, n);
	c->tick_us = u->next_tick_us;
	plan_tick(s, n);
	check_stepped(s, n);
	if (c->commit > commit)
		fault_moment(s, n->id, MOMENT_COMMITS);
	if (c->leads_term > leads_term) {
		fault_moment(s, n->id, MOMENT_LEADS);
		stress_leads(s);
	}
	if (u->map_changed)
		take_map(s, n);
	for (size_t i = 0; i < u->n_results; i++) {
		struct ask *a = &s->asks[u->results[i].tag];

		check_result(s, a, &u->results[i]);
		answer(s, a, &u->results[i].error);
	}
}

/* Its power is gone: at a moment that was chosen before. */
static bool has_stopped(struct sim *s, struct node *n)
{
	if (!memory_disk_stopped(n->control.platter))
		return false;
	trace(s, "n%u: the power goes in the middle of a write", n->id);
	fault_crash(s, n);
	return true;
}

static void write_update(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	const struct meta_update *u = &c->update;
	struct error err = {0};
	int rc = 0;

	if (u->persist || u->drop_before != 0)
		rc = meta_disk_write(&c->disk, u, &err);
	if (has_stopped(s, n))
		return;
	c->stuck = rc == ERR_DISK_FULL;
	if (rc != 0 && !c->stuck)
		violation(s, "goes_on", "node %u cannot save: %s", n->id, err.text);
	if (!c->stuck) {
		execute(s, n);
		return;
	}
	trace(s, "n%u: no room for the control plane", n->id);
	c->tick_us = local_us(s, n) + DISK_RETRY_US;
	plan_tick(s, n);
}

static void step(struct sim *s, struct node *n, struct meta_event *e)
{
	struct error err = {0};

	e->now_us = local_us(s, n);
	if (meta_step(n->control.meta, e, &n->control.update, &err) < 0)
		violation(s, "goes_on", "node %u: %s", n->id, err.text);
	write_update(s, n);
}

/* ---- events ---- */

void control_tick(struct sim *s, struct node *n, uint64_t at_us)
{
	struct control *c = &n->control;

	if (at_us != c->tick_at_us)
		return; /* an earlier one was planned since */
	c->tick_at_us = 0;
	if (c->stuck)
		write_update(s, n);
	else if (local_us(s, n) >= c->tick_us)
		step(s, n, &(struct meta_event){.type = META_TICK});
	else
		plan_tick(s, n);
}

void control_sync(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	struct meta_event e = {.type = META_PERSISTED, .persisted = c->unsynced};

	c->syncing = false;
	if (c->unsynced == 0)
		return;
	if (c->stuck) {
		sync_later(s, n);
		return;
	}
	meta_disk_sync(&c->disk);
	if (has_stopped(s, n))
		return;
	c->unsynced = 0;
	drop_held(s, c, true);
	step(s, n, &e);
}

void control_message(struct sim *s, struct node *n, const struct msg *m)
{
	struct control *c = &n->control;

	if (m->from == meta_leader(c->meta))
		c->leader_heard_us = local_us(s, n);
	if (!c->stuck)
		step(s, n,
		     &(struct meta_event){.type = META_MESSAGE,
					  .from = m->from,
					  .bytes = m->bytes.data,
					  .n = m->bytes.len});
}

void control_post(struct sim *s, struct node *n, const struct post *p)
{
	struct meta_event e = p->event;
	struct ask *a = &s->asks[e.tag];
	struct error refusal;

	if (n->control.stuck || (n->disk_full && e.type == META_SUBMIT)) {
		error_set(&refusal, ERR_DISK_FULL, "the disk is full");
		a->void_ = true;
		answer(s, a, &refusal);
		return;
	}
	a->floor = s->answered;
	step(s, n, &e);
}

/* ---- life ---- */

void control_start(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	struct meta_options o = {.self = n->id,
				 .seed = prng_u64(&s->prng),
				 .now_us = local_us(s, n),
				 .cluster_id = CLUSTER_ID,
				 .snapshot_entries = s->snapshot_entries,
				 .bootstrap = n->id <= s->n_first ? s->first : NULL,
				 .n_bootstrap = n->id <= s->n_first ? s->n_first : 0};
	struct arena *arena = arena_new(4096);
	struct meta_saved saved;
	struct error err = {0};

	if (s->uneven)
		o.snapshot_entries = stress_snapshot_entries(s);
	if (!c->platter)
		c->platter = memory_disk_new();
	memory_disk_io(c->platter, &c->disk.io);
	c->disk.self = n->id;
	c->disk.cluster_id = CLUSTER_ID;
	c->held_end = &c->held;
	if (meta_disk_open(&c->disk, arena, &saved, &err) || meta_new(&o, &saved, &c->meta, &err))
		violation(s, "opens", "the control plane of node %u: %s", n->id, err.text);
	check_loaded(s, n, &saved);
	arena_free(arena);
	c->map = map_ref(meta_map(c->meta));
	step(s, n, &(struct meta_event){.type = META_TICK});
}

void control_crash(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	struct memory_disk *platter = c->platter;

	if (!c->meta)
		return;
	memory_disk_stop_at(platter, 1); /* closing saves nothing */
	meta_free(c->meta);
	meta_disk_close(&c->disk);
	drop_held(s, c, false);
	map_unref(c->map);
	heal_free(c->heal);
	free(c->log);
	memory_disk_crash(platter, (enum memory_crash)prng_below(&s->prng, CRASH_ANY + 1),
			  &s->prng);
	*c = (struct control){.platter = platter};
}

void control_wipe(struct node *n)
{
	memory_disk_free(n->control.platter);
	n->control.platter = NULL;
}
