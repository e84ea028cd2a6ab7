/* Who is alive, and who votes. See heal.h for the rules.
 *
 * Everything is derived from the map and from what was heard since this node leads, so that a new leader needs nothing from the old
 * one. Commands that were lost on the way are made again while the map does not show their effect. */
#include "cluster/heal.h"
#include "base/assert.h"
#include "base/memory.h"
#include "cluster/heal_internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PROBE_EVERY_US = 250000,
	PROBE_TIME_US = 400000,
	STALL_US = 500000,           /* ticks that are so late: this process stood still */
	FLAP_FORGET_US = 120000000,  /* a failure before that does not count any more */
	FLAP_HOLD_US = 1000000,      /* after the second failure; doubled with each */
	FLAP_HOLD_MAX_US = 30000000, /* at most */
	MEMBER_CHANGE_US = 2000000,  /* between changes of the coordinators */
};

static uint64_t earlier(uint64_t now, uint64_t then)
{
	return now > then ? now - then : 0;
}

struct heal *heal_new(const struct heal_options *o)
{
	struct heal *h = mem_zalloc(sizeof(*h));
	h->options = *o;
	if (h->options.suspect_us == 0)
		h->options.suspect_us = 750000;
	if (h->options.dead_us == 0)
		h->options.dead_us = 1500000;
	if (h->options.grace_us == 0)
		h->options.grace_us = 60000000;
	if (h->options.max_moves == 0)
		h->options.max_moves = 2;
	return h;
}

static void forget_nodes(struct heal *h)
{
	for (size_t i = 0; i < h->n_nodes; i++)
		free(h->nodes[i].reports);
	free(h->nodes);
	h->nodes = NULL;
	h->n_nodes = 0;
}

void heal_free(struct heal *h)
{
	if (h == NULL)
		return;
	forget_nodes(h);
	map_unref(h->map);
	free(h->probes);
	free(h);
}

struct watched *heal_watched(struct heal *h, uint64_t id)
{
	for (size_t i = 0; i < h->n_nodes; i++)
		if (h->nodes[i].id == id)
			return &h->nodes[i];
	return NULL;
}

bool heal_dead(struct heal *h, uint64_t id)
{
	const struct watched *w = heal_watched(h, id);
	return w == NULL || w->dead;
}

bool heal_silent(struct heal *h, uint64_t id)
{
	const struct watched *w = heal_watched(h, id);
	return heal_dead(h, id) || earlier(h->now_us, w->heard_us) >= h->options.suspect_us;
}

const struct heal_report *heal_report_of(struct heal *h, uint64_t node, uint64_t collection_id,
					 uint32_t partition)
{
	const struct watched *w = heal_watched(h, node);
	size_t low = 0, high = w != NULL ? w->n_reports : 0;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct heal_report *r = &w->reports[mid];
		if (r->collection_id == collection_id && r->partition == partition)
			return r;
		if (r->collection_id < collection_id ||
		    (r->collection_id == collection_id && r->partition < partition))
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

void heal_notice(struct heal *h, bool alarm, const char *format, ...)
{
	va_list args;
	if (h->n_notices == sizeof(h->notices) / sizeof(h->notices[0]))
		return;
	struct heal_notice *n = &h->notices[h->n_notices++];
	n->alarm = alarm;
	va_start(args, format);
	vsnprintf(n->text, sizeof(n->text), format, args);
	va_end(args);
}

/* ---- the nodes of the map ---- */

static struct watched fresh(const struct heal *h, const struct map_node *node)
{
	struct watched w = {.id = node->id,
			    .incarnation = node->incarnation,
			    .heard_us = h->now_us,
			    .vouched_us = h->now_us,
			    .steady_us = h->now_us,
			    .dead = node->state == NODE_DOWN};
	if (w.dead) {
		w.down_us = h->now_us;
		w.heard_us = earlier(h->now_us, h->options.suspect_us);
	}
	return w;
}

/* It was started again: whatever was known of the process before is void. */
static void restarted(struct heal *h, struct watched *w, const struct map_node *node)
{
	w->incarnation = node->incarnation;
	w->heard_us = w->vouched_us = w->steady_us = h->now_us;
	w->dead = node->state == NODE_DOWN;
	if (!MUTANT(reports_kept)) {
		w->reported = false;
		w->n_reports = 0;
	}
	h->changed_us = h->now_us;
}

static void take_map(struct heal *h, const struct map *map)
{
	struct watched *old = h->nodes;
	size_t n_old = h->n_nodes;
	if (h->map != NULL && map->index <= h->map->index)
		return;
	map_unref(h->map);
	h->map = map_ref(map);
	h->nodes = mem_array(map->n_nodes + 1, sizeof(*h->nodes));
	h->n_nodes = map->n_nodes;
	for (uint32_t i = 0; i < map->n_nodes; i++) {
		const struct map_node *node = &map->nodes[i];
		struct watched *w = &h->nodes[i];
		*w = fresh(h, node);
		for (size_t j = 0; j < n_old; j++) {
			if (old[j].id == node->id) {
				*w = old[j];
				old[j].reports = NULL;
				break;
			}
		}
		if (w->incarnation < node->incarnation)
			restarted(h, w, node);
	}
	if (n_old != h->n_nodes)
		h->changed_us = h->now_us;
	for (size_t j = 0; j < n_old; j++)
		free(old[j].reports);
	free(old);
}

/* The one that led before was listened to all the time: what is known of its silence counts, but for the time that a probe takes. */
static void old_leader(struct heal *h, const struct heal_event *e)
{
	struct watched *w = heal_watched(h, e->node);
	uint64_t most = h->options.dead_us - PROBE_TIME_US;
	if (w == NULL || w->dead || e->node == h->options.self ||
	    h->options.dead_us < PROBE_TIME_US)
		return;
	w->heard_us = w->vouched_us = earlier(h->now_us, e->silent_us < most ? e->silent_us : most);
}

static void lead(struct heal *h, const struct heal_event *e)
{
	bool leads = e->leads;
	if (leads == h->leads)
		return;
	h->leads = leads;
	h->n_pending = 0;
	h->tick_us = h->changed_us = h->now_us;
	const struct map *map = h->map;
	forget_nodes(h);
	h->map = NULL;
	if (map != NULL)
		take_map(h, map);
	map_unref(map);
	if (leads && h->map != NULL)
		old_leader(h, e);
}

static void heartbeat(struct heal *h, const struct heal_event *e)
{
	struct watched *w = heal_watched(h, e->node);
	if (w != NULL && e->incarnation == 0 && !MUTANT(returner_ignored))
		w->asked_us = h->now_us; /* it has not registered */
	/* One of an older incarnation is a process that should have ended, or a copy. */
	if (!h->leads || w == NULL || e->incarnation < w->incarnation || e->incarnation == 0)
		return;
	if (earlier(h->now_us, w->heard_us) >= h->options.suspect_us)
		w->steady_us = h->now_us;
	w->heard_us = h->now_us;
	w->reported = true;
	w->reports = mem_resize(w->reports, (e->n_reports + 1) * sizeof(*w->reports));
	if (e->n_reports > 0)
		memcpy(w->reports, e->reports, e->n_reports * sizeof(*w->reports));
	w->n_reports = e->n_reports;
}

/* ---- detection ---- */

static void submit_state(struct heal *h, struct watched *w, enum node_state state)
{
	const struct map_node *node = map_node(h->map, w->id);
	if (h->n_commands == HEAL_COMMANDS ||
	    (w->submitted_us != 0 && earlier(h->now_us, w->submitted_us) < HEAL_RESUBMIT_US))
		return;
	w->submitted_us = h->now_us;
	struct map_command *c = &h->commands[h->n_commands++];
	*c = (struct map_command){.type = MAP_NODE_PUT, .node = *node};
	c->node.state = state;
}

/* A node that is surely alive as far as this one knows: worth asking. */
static bool can_ask(const struct heal *h, const struct watched *w)
{
	return w->id != h->options.self && !w->dead &&
	       earlier(h->now_us, w->heard_us) < h->options.suspect_us;
}

static void probe(struct heal *h, struct watched *w)
{
	if (earlier(h->now_us, w->probed_us) < PROBE_EVERY_US)
		return;
	for (size_t i = 0; i < h->n_nodes; i++) {
		const struct watched *through = &h->nodes[w->probe_turn++ % h->n_nodes];
		if (through == w || !can_ask(h, through))
			continue;
		w->probed_us = h->now_us;
		h->probes[h->n_probes++] = (struct heal_probe){through->id, w->id};
		return;
	}
}

static void declare_dead(struct heal *h, struct watched *w)
{
	if (earlier(h->now_us, w->down_us) > FLAP_FORGET_US)
		w->failures = 0;
	w->dead = true;
	w->failures++;
	w->down_us = h->now_us;
	w->submitted_us = 0;
	h->changed_us = h->now_us;
	heal_notice(h, true, "node %s is dead: silent for %llu ms", map_node(h->map, w->id)->name,
		    (unsigned long long)(earlier(h->now_us, w->heard_us) / 1000));
}

/* How long a node must be steady before it counts again. */
static uint64_t hold_us(const struct watched *w)
{
	uint64_t hold = FLAP_HOLD_US;
	if (w->failures < 2)
		return 0;
	for (uint32_t i = 2; i < w->failures && hold < FLAP_HOLD_MAX_US; i++)
		hold *= 2;
	return hold < FLAP_HOLD_MAX_US ? hold : FLAP_HOLD_MAX_US;
}

static void watch(struct heal *h, struct watched *w)
{
	enum node_state state = map_node(h->map, w->id)->state;
	uint64_t silent = earlier(h->now_us, w->heard_us);
	uint64_t unseen = w->vouched_us > w->heard_us ? earlier(h->now_us, w->vouched_us) : silent;
	if (!w->dead && unseen >= h->options.dead_us)
		declare_dead(h, w);
	else if (!w->dead && silent >= h->options.suspect_us)
		probe(h, w);
	if (w->dead && silent < h->options.suspect_us && w->reported &&
	    earlier(h->now_us, w->steady_us) >= hold_us(w)) {
		w->dead = false;
		w->submitted_us = 0;
		w->vouched_us = h->now_us;
		h->changed_us = h->now_us;
		heal_notice(h, false, "node %s is back", map_node(h->map, w->id)->name);
	}
	/* DRAINING is the operator's word and outlasts a restart. */
	if (w->dead && (state == NODE_UP || state == NODE_SUSPECT))
		submit_state(h, w, NODE_DOWN);
	else if (!w->dead && (state == NODE_DOWN || state == NODE_SUSPECT))
		submit_state(h, w, NODE_UP);
}

/* ---- the coordinators ---- */

static const struct meta_member *member_of(const struct heal_event *e, uint64_t id)
{
	for (size_t i = 0; i < e->n_members; i++)
		if (e->members[i].id == id)
			return &e->members[i];
	return NULL;
}

static bool lost_for_good(struct heal *h, uint64_t id)
{
	const struct watched *w = heal_watched(h, id);
	return w == NULL || (w->dead && earlier(h->now_us, w->down_us) >= h->options.grace_us);
}

static void change_member(struct heal *h, struct heal_update *out, int change, uint64_t id)
{
	const struct map_node *node = map_node(h->map, id);
	h->member_change_us = h->now_us;
	out->change = (struct heal_change){change, id, node != NULL ? node->rpc_address : ""};
}

/* How many may vote: 1, 3 or 5, as many as there are coordinators alive. */
static size_t voters_wanted(struct heal *h)
{
	size_t alive = 0;
	for (uint32_t i = 0; i < h->map->n_nodes; i++)
		alive += h->map->nodes[i].coordinator && !heal_dead(h, h->map->nodes[i].id);
	return alive >= 5 ? 5 : alive >= 3 ? 3 : 1;
}

/* Is a process of it there that could not register yet? */
static bool asks(struct heal *h, uint64_t id)
{
	const struct watched *w = heal_watched(h, id);
	return w != NULL && w->asked_us != 0 &&
	       earlier(h->now_us, w->asked_us) < h->options.suspect_us;
}

/* One step at a time: who is no member becomes a learner (every node follows the map's log), learners become voters, lost voters
 * leave once their successor votes. */
static void plan_members(struct heal *h, const struct heal_event *e, struct heal_update *out)
{
	size_t voters = 0;
	uint64_t promote = 0, lost = 0;
	if (e->n_members == 0 || (h->member_change_us != 0 &&
				  earlier(h->now_us, h->member_change_us) < MEMBER_CHANGE_US))
		return;
	for (size_t i = 0; i < e->n_members; i++) {
		uint64_t id = e->members[i].id;
		const struct map_node *node = map_node(h->map, id);
		/* While a first start is under way its nodes are in no map yet, but they vote. A learner in no map was removed. */
		if (node == NULL && !e->members[i].voter && !MUTANT(removed_stays)) {
			change_member(h, out, -1, id);
			return;
		}
		voters += e->members[i].voter;
		if (e->members[i].voter && node != NULL && lost_for_good(h, id))
			lost = id;
		/* Not one that may just have been lost: with two voters both are needed, also to make a third. */
		if (!e->members[i].voter && node != NULL && node->coordinator &&
		    !heal_silent(h, id))
			promote = id;
	}
	for (uint32_t i = 0; i < h->map->n_nodes; i++) {
		const struct map_node *node = &h->map->nodes[i];
		/* One that has asked to join, or has come back after another one took its place, cannot register before it
		 * follows the log. */
		bool waits = !heal_dead(h, node->id) || node->incarnation == 0 || asks(h, node->id);
		if (member_of(e, node->id) == NULL && waits && node->rpc_address[0] != '\0') {
			change_member(h, out, 1, node->id);
			return;
		}
	}
	if (promote != 0 && (voters < voters_wanted(h) || (lost != 0 && voters % 2 == 1)))
		change_member(h, out, 2, promote);
	else if (lost != 0 && voters % 2 == 0)
		change_member(h, out, -1, lost);
}

/* ---- the step ---- */

static void tick(struct heal *h, const struct heal_event *e, struct heal_update *out)
{
	uint64_t gap = earlier(h->now_us, h->tick_us);
	h->tick_us = h->now_us;
	if (!h->leads || h->map == NULL)
		return;
	if (gap > STALL_US) {
		for (size_t i = 0; i < h->n_nodes; i++) {
			struct watched *w = &h->nodes[i];
			if (w->dead)
				continue;
			w->heard_us = w->heard_us + gap < h->now_us ? w->heard_us + gap : h->now_us;
		}
	}
	h->probes = mem_resize(h->probes, (h->n_nodes + 1) * sizeof(*h->probes));
	for (size_t i = 0; i < h->n_nodes; i++)
		watch(h, &h->nodes[i]);
	heal_plan(h);
	plan_members(h, e, out);
}

void heal_step(struct heal *h, const struct heal_event *event, struct heal_update *out)
{
	memset(out, 0, sizeof(*out));
	assert(event->now_us >= h->now_us);
	h->now_us = event->now_us;
	h->n_commands = h->n_probes = h->n_notices = 0;
	switch (event->type) {
	case HEAL_LEAD: lead(h, event); break;
	case HEAL_MAP: take_map(h, event->map); break;
	case HEAL_HEARTBEAT: heartbeat(h, event); break;
	case HEAL_PROBED: {
		struct watched *w = heal_watched(h, event->node);
		if (w != NULL && event->reachable)
			w->vouched_us = h->now_us;
		break;
	}
	case HEAL_TICK: tick(h, event, out); break;
	}
	out->commands = h->commands;
	out->n_commands = h->n_commands;
	out->probes = h->probes;
	out->n_probes = h->n_probes;
	out->notices = h->notices;
	out->n_notices = h->n_notices;
}
