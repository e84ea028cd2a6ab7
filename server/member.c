/* See member.h. The control thread: heartbeats to whoever leads, this node's entry in the map, and the healer when this node leads. */
#include "server/member.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/member_internal.h"
#include "shard/shard.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { LOOP_US = 50000, REGISTER_AGAIN_US = 500000, STALE_TRIES = 5, HAND_OVER_US = 1000000 };

/* ---- posts ---- */

struct member_post *member_post_new(enum member_post_type type)
{
	struct member_post *p = mem_zalloc(sizeof(*p));
	p->type = type;
	return p;
}

static void post_free(struct member_post *p)
{
	map_unref(p->map);
	free(p->reports);
	free(p);
}

void member_post(struct member *m, struct member_post *p)
{
	if (!mailbox_post(m->box, &p->mail))
		post_free(p);
}

struct meta_runtime *member_meta_get(struct member *m)
{
	pthread_rwlock_rdlock(&m->meta_lock);
	if (m->meta != NULL && !m->closed)
		return m->meta;
	pthread_rwlock_unlock(&m->meta_lock);
	return NULL;
}

void member_meta_put(struct member *m)
{
	pthread_rwlock_unlock(&m->meta_lock);
}

void member_fail(struct member *m, const struct error *why)
{
	if (!atomic_exchange(&m->failed, true))
		m->options.fatal(m->options.ctx, why);
}

void member_peer(struct member *m, uint64_t node, const char *address, bool newer)
{
	if (node == m->self || address[0] == 0)
		return;
	pthread_mutex_lock(&m->peers_lock);
	bool known = false;
	for (size_t i = 0; i < m->n_peers && !known; i++)
		known = m->peers[i] == node;
	if (!known && m->n_peers < sizeof(m->peers) / sizeof(m->peers[0]))
		m->peers[m->n_peers++] = node;
	if (!known || newer)
		rpc_peer_set(m->options.rpc, node, address);
	pthread_mutex_unlock(&m->peers_lock);
}

/* ---- the map ---- */

/* On the thread of the control plane, or, for what was on disk, on the starter's. */
static void on_map(void *ctx, const struct map *map)
{
	struct member *m = ctx;
	struct member_post *p = member_post_new(POST_MAP);
	p->map = map_ref(map);
	member_post(m, p);
	hosting_map(m->hosting, map);
	/* Others try again when a shard is not there yet; a lone node has nobody else to ask, so it must be there at once. */
	if (map->n_nodes == 1)
		hosting_wait(m->hosting);
}

static void check_own_entry(struct member *m)
{
	const struct map_node *own = map_node(m->map, m->self);
	m->was_listed = m->was_listed || own != NULL;
	uint64_t incarnation = atomic_load(&m->incarnation);
	struct error why;
	/* Maps from before the registration may still come in. */
	if (incarnation == 0 || !m->was_listed)
		return;
	if (own == NULL)
		error_set(&why, ERR_NOT_FOUND, "node `%s` was removed from the cluster",
			  m->options.identity.name);
	else if (own->incarnation > incarnation)
		error_set(&why, ERR_STALE,
			  "node `%s` was started again at %s; was its data folder copied? This "
			  "process ends",
			  own->name, own->rpc_address);
	else
		return;
	member_fail(m, &why);
}

static void forget_peer(struct member *m, uint64_t node)
{
	pthread_mutex_lock(&m->peers_lock);
	for (size_t i = 0; i < m->n_peers; i++) {
		if (m->peers[i] == node) {
			m->peers[i] = m->peers[--m->n_peers];
			rpc_peer_remove(m->options.rpc, node);
			break;
		}
	}
	pthread_mutex_unlock(&m->peers_lock);
}

static void step(struct member *m, struct heal_event *e);

static void take_map(struct member *m, const struct map *map)
{
	const struct map *old = m->map;
	if (old != NULL && map->index < old->index)
		return;
	m->map = map_ref(map);
	for (uint32_t i = 0; i < map->n_nodes; i++) {
		const struct map_node *node = &map->nodes[i];
		const struct map_node *before = old != NULL ? map_node(old, node->id) : NULL;
		/* A heartbeat may have told of a newer address than an old entry. */
		if (before == NULL || strcmp(before->rpc_address, node->rpc_address) != 0)
			member_peer(m, node->id, node->rpc_address, true);
	}
	for (uint32_t i = 0; old != NULL && i < old->n_nodes; i++)
		if (map_node(map, old->nodes[i].id) == NULL)
			forget_peer(m, old->nodes[i].id);
	map_unref(old);
	check_own_entry(m);
	step(m, &(struct heal_event){.type = HEAL_MAP, .map = map});
}

/* ---- healing ---- */

struct submitted {
	char what[64];
};

static void was_submitted(void *ctx, const struct error *result, uint64_t index)
{
	struct submitted *s = ctx;
	if (result->code != 0)
		log_debug("heal", "%s: %s", s->what, result->text);
	free(s);
}

static void submit(struct member *m, struct meta_runtime *meta, const struct map_command *c)
{
	struct submitted *s = mem_zalloc(sizeof(*s));
	if (c->type == MAP_NODE_PUT)
		snprintf(s->what, sizeof(s->what), "state of node %llu",
			 (unsigned long long)c->node.id);
	else
		snprintf(s->what, sizeof(s->what), "partition %u of collection %llu", c->partition,
			 (unsigned long long)c->collection_id);
	meta_runtime_submit(meta, c, was_submitted, s);
}

static void change_members(struct member *m, struct meta_runtime *meta,
			   const struct heal_change *change)
{
	static const char *const WORDS[] = {"is removed from", "", "follows", "votes in"};
	struct submitted *s = mem_zalloc(sizeof(*s));
	struct meta_voter voter = {change->node, change->address};
	snprintf(s->what, sizeof(s->what), "node %llu %s the control plane",
		 (unsigned long long)change->node, WORDS[change->change + 1]);
	log_info("heal", "%s from now on", s->what);
	meta_runtime_change(meta, change->change, &voter, was_submitted, s);
}

static void step(struct member *m, struct heal_event *e)
{
	struct heal_update u;
	e->now_us = clock_monotonic_us();
	heal_step(m->heal, e, &u);
	for (size_t i = 0; i < u.n_notices; i++) {
		if (u.notices[i].alarm)
			log_warn("heal", "%s", u.notices[i].text);
		else
			log_info("heal", "%s", u.notices[i].text);
	}
	struct meta_runtime *meta = member_meta_get(m);
	if (meta != NULL) {
		for (size_t i = 0; i < u.n_commands; i++)
			submit(m, meta, &u.commands[i]);
		if (u.change.change != 0)
			change_members(m, meta, &u.change);
		member_meta_put(m);
	}
	for (size_t i = 0; i < u.n_probes; i++)
		member_send_probe(m, u.probes[i].through, u.probes[i].node);
}

/* Who leads, and, if this node does, one tick of the healer. */
static void lead_and_tick(struct member *m, struct meta_runtime_status *s)
{
	struct meta_member members[16];
	struct meta_runtime *meta = member_meta_get(m);
	if (meta == NULL)
		return;
	meta_runtime_status(meta, s);
	member_meta_put(m);
	atomic_store(&m->leader, s->leader);
	if (s->is_leader != m->leads) {
		uint64_t now = clock_monotonic_us(), heard = atomic_load(&m->leader_heard_us);
		m->leads = s->is_leader;
		log_info("node",
			 m->leads ? "leads the control plane (term %llu)"
				  : "leads the control plane no more (term %llu)",
			 (unsigned long long)s->term);
		step(m, &(struct heal_event){.type = HEAL_LEAD,
					     .leads = m->leads,
					     .node = m->led_by,
					     .silent_us = now > heard ? now - heard : 0});
	}
	if (s->leader != 0 && s->leader != m->self)
		m->led_by = s->leader;
	for (uint32_t i = 0; i < s->n_members; i++)
		members[i] = (struct meta_member){s->members[i].id, s->members[i].address,
						  s->members[i].voter};
	if (m->leads)
		step(m, &(struct heal_event){.type = HEAL_TICK,
					     .members = members,
					     .n_members = s->n_members});
}

/* ---- heartbeats ---- */

static void own_beat(struct member *m, const struct replica_report *reports, size_t n)
{
	struct heal_report *own = mem_array(n + 1, sizeof(*own));
	for (size_t i = 0; i < n; i++) {
		const struct replica_report *r = &reports[i];
		own[i] = (struct heal_report){r->collection_id, r->partition, r->epoch,
					      r->last_epoch,    r->last_seq,  r->commit_seq,
					      r->digest,        r->failed};
	}
	step(m, &(struct heal_event){.type = HEAL_HEARTBEAT,
				     .node = m->self,
				     .incarnation = atomic_load(&m->incarnation),
				     .reports = own,
				     .n_reports = n});
	free(own);
}

static bool is_member(const struct meta_runtime_status *s, uint64_t id)
{
	for (uint32_t i = 0; i < s->n_members; i++)
		if (s->members[i].id == id)
			return true;
	return false;
}

/* Nobody leads as far as this node knows: whoever does hears it, and knows where this node is now. After a start the map may still be
 * unknown, but not who followed the control plane; and who did not vote then may lead now, with others in the places of those
 * that did. */
static void beat_all(struct member *m, const struct meta_runtime_status *s,
		     const struct replica_report *reports, uint32_t n)
{
	for (uint32_t i = 0; i < s->n_members; i++) {
		const struct meta_runtime_member *other = &s->members[i];
		if (other->id == m->self)
			continue;
		member_peer(m, other->id, other->address, false);
		member_send_beat(m, other->id, reports, n);
	}
	for (uint32_t i = 0; m->map != NULL && i < m->map->n_nodes; i++) {
		const struct map_node *node = &m->map->nodes[i];
		if (node->coordinator && node->id != m->self && !is_member(s, node->id))
			member_send_beat(m, node->id, reports, n);
	}
}

static void beat(struct member *m, const struct meta_runtime_status *s)
{
	struct replica_report *reports;
	size_t n = shard_reports(m->options.shard, &reports);
	if (s->is_leader)
		own_beat(m, reports, n);
	else if (s->leader != 0)
		member_send_beat(m, s->leader, reports, (uint32_t)n);
	else
		beat_all(m, s, reports, (uint32_t)n);
	free(reports);
}

/* A node that was away while its vote was given to another does not hear from who leads; those that it knew as coordinators do. */
static void take_beat(struct member *m, const struct member_post *p)
{
	const struct map_node *known = m->map != NULL ? map_node(m->map, p->node) : NULL;
	if (known == NULL)
		return;
	uint64_t leader = atomic_load(&m->leader);
	if (leader != 0 && leader != m->self && leader != p->node)
		member_relay_beat(m, leader, p);
	if (p->incarnation == 0 || p->incarnation >= known->incarnation)
		member_peer(m, p->node, p->address, strcmp(p->address, known->rpc_address) != 0);
	step(m, &(struct heal_event){.type = HEAL_HEARTBEAT,
				     .node = p->node,
				     .incarnation = p->incarnation,
				     .reports = p->reports,
				     .n_reports = p->n_reports});
}

/* ---- registration ---- */

static void take_registered(struct member *m, const struct error *result)
{
	m->registering = false;
	m->register_us = clock_monotonic_us() + REGISTER_AGAIN_US;
	switch (result->code) {
	case 0:
		atomic_store(&m->registered, true);
		log_info("node", "registered as node %llu (%s), incarnation %llu",
			 (unsigned long long)m->self, m->options.identity.name,
			 (unsigned long long)atomic_load(&m->incarnation));
		m->beat_us = 0;
		break;
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_BUSY:
	case ERR_CLOSED:
	case ERR_DISK_FULL:
		if (!m->stopping)
			log_warn("node", "cannot register with the cluster yet: %s", result->text);
		break;
	case ERR_STALE:
		if (++m->stale_registrations < STALE_TRIES)
			break;
		/* fall through */
	default: member_fail(m, result);
	}
}

static void take(struct member *m, struct member_post *p)
{
	switch (p->type) {
	case POST_MAP: take_map(m, p->map); break;
	case POST_HEARTBEAT: take_beat(m, p); break;
	case POST_PROBED:
		step(m, &(struct heal_event){.type = HEAL_PROBED,
					     .node = p->node,
					     .reachable = p->reachable});
		break;
	case POST_REGISTERED: take_registered(m, &p->result); break;
	case POST_STOP: m->stopping = true; break;
	}
	post_free(p);
}

static void *loop(void *arg)
{
	struct member *m = arg;
	struct meta_runtime_status status = {0};
	pthread_setname_np(pthread_self(), "control");
	while (!m->stopping) {
		struct mail *mails = mailbox_take(m->box, LOOP_US);
		while (mails != NULL) {
			struct member_post *p = (struct member_post *)mails;
			mails = mails->next;
			take(m, p);
		}
		uint64_t now = clock_monotonic_us();
		if (now >= m->tick_us) {
			m->tick_us = now + LOOP_US;
			lead_and_tick(m, &status);
		}
		if (now >= m->beat_us) {
			m->beat_us = now + BEAT_US;
			beat(m, &status);
			member_contact(m);
		}
		/* What the node is known to have held is settled before it can be given anything new. */
		if (!atomic_load(&m->registered) && !m->registering && now >= m->register_us &&
		    hosting_confirmed(m->hosting)) {
			m->registering = true;
			member_register(m);
		}
	}
	return NULL;
}

/* ---- life ---- */

int member_new(struct member **out, const struct member_options *o, struct error *err)
{
	struct member *m = mem_zalloc(sizeof(*m));
	struct heal_options heal = {.self = o->identity.node_id,
				    .grace_us = o->grace_us,
				    .max_moves = o->max_moves};
	(void)err;
	m->options = *o;
	m->self = o->identity.node_id;
	while (getrandom(&m->start_id, sizeof(m->start_id), 0) != sizeof(m->start_id))
		continue;
	m->box = mailbox_new();
	m->heal = heal_new(&heal);
	pthread_rwlock_init(&m->meta_lock, NULL);
	pthread_mutex_init(&m->peers_lock, NULL);
	*out = m;
	return 0;
}

int member_start(struct member *m, struct error *err)
{
	const struct first_nodes *first = m->options.first;
	struct meta_voter voters[8];
	struct meta_runtime *meta = NULL;
	struct meta_runtime_options o = {
		.io = m->options.meta_io,
		.self = m->self,
		.cluster_id = m->options.identity.cluster_id,
		.bootstrap = voters,
		.n_bootstrap = first != NULL ? first->n : 0,
		.send = member_send_meta,
		.on_map = on_map,
		.ctx = m,
	};
	for (size_t i = 0; i < o.n_bootstrap; i++) {
		voters[i] = first->nodes[i].voter;
		member_peer(m, voters[i].id, voters[i].address, false);
	}
	int rc = hosting_start(&m->hosting, m->options.shard, m->self, err);
	if (rc == 0)
		rc = meta_runtime_start(&meta, &o, err);
	if (rc != 0)
		return rc;
	pthread_rwlock_wrlock(&m->meta_lock);
	m->meta = meta;
	pthread_rwlock_unlock(&m->meta_lock);
	/* Whoever can connect finds what was on disk recovered. */
	hosting_wait(m->hosting);
	if (pthread_create(&m->thread, NULL, loop, m) != 0)
		return error_set(err, ERR_NOMEM, "the control thread cannot be started");
	m->has_thread = true;
	return 0;
}

static void handed_over(void *ctx, const struct error *result, uint64_t index)
{
	struct member *m = ctx;
	atomic_store(&m->handed_over, true);
}

/* A leader that stops lets another one lead first, so that nobody has to notice; but it does not wait long for that. */
static void hand_over(struct member *m)
{
	struct meta_runtime_status s;
	uint32_t voters = 0;
	meta_runtime_status(m->meta, &s);
	for (uint32_t i = 0; i < s.n_members; i++)
		voters += s.members[i].voter;
	if (!s.is_leader || voters < 2)
		return;
	uint64_t until = clock_monotonic_us() + HAND_OVER_US;
	meta_runtime_transfer(m->meta, 0, handed_over, m);
	while (!atomic_load(&m->handed_over) && clock_monotonic_us() < until)
		usleep(1000);
}

void member_stop(struct member *m)
{
	if (m == NULL)
		return;
	if (m->has_thread) {
		member_post(m, member_post_new(POST_STOP));
		pthread_join(m->thread, NULL);
		hand_over(m);
	}
	m->has_thread = false;
	pthread_rwlock_wrlock(&m->meta_lock);
	m->closed = true;
	pthread_rwlock_unlock(&m->meta_lock);
	meta_runtime_stop(m->meta);
	hosting_stop(m->hosting);
	m->hosting = NULL;
	mailbox_close(m->box);
}

void member_free(struct member *m)
{
	struct mail *mails;
	if (m == NULL)
		return;
	while ((mails = mailbox_take(m->box, 0)) != NULL) {
		while (mails != NULL) {
			struct member_post *p = (struct member_post *)mails;
			mails = mails->next;
			post_free(p);
		}
	}
	mailbox_free(m->box);
	meta_runtime_free(m->meta);
	heal_free(m->heal);
	map_unref(m->map);
	pthread_rwlock_destroy(&m->meta_lock);
	pthread_mutex_destroy(&m->peers_lock);
	free(m);
}

bool member_ready(struct member *m, struct error *why)
{
	if (atomic_load(&m->registered) && hosting_confirmed(m->hosting))
		return true;
	error_set(
		why, ERR_UNAVAILABLE,
		"this node is not registered with its cluster yet; are the other coordinators up?");
	return false;
}

struct meta_runtime *member_meta(struct member *m)
{
	return m->meta;
}
