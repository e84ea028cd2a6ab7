/* What must hold in the control plane: the properties of Raft (Ongaro and Ousterhout, "In search of an understandable
 * consensus algorithm", 2014, figure 3), same_map of docs/replication.md, and that the map is linearizable. */
#include "base/hash.h"
#include "base/memory.h"
#include "tests/sim/sim.h"
#include <stdlib.h>
#include <string.h>

/* With thousands of changes it is enough to compare the maps now and then, and at the end of what is known. */
enum { MAP_EVERY = 8 };
enum { COMMAND_ENTRY = 1, VOTERS_MAX = 16 };

/* ---- what a node has in its log ---- */

static const struct entry_mark *mark_at(const struct control *c, uint64_t index)
{
	return index >= c->log_first && index < c->log_first + c->log_n
		       ? &c->log[index - c->log_first]
		       : NULL;
}

static bool equal(const struct entry_mark *a, const struct entry_mark *b)
{
	return a->term == b->term && a->hash == b->hash;
}

uint64_t check_hash(const void *bytes, size_t n)
{
	return hash64(bytes, n) + COMMAND_ENTRY;
}

/* The request whose command has no id. */
static uint64_t nameless(const struct sim *s, uint64_t hash)
{
	uint64_t ask = s->nameless[hash % SIM_NAMELESS];

	while (ask != 0 && s->asks[ask].hash != hash)
		ask = s->asks[ask].older;
	return ask;
}

static struct entry_mark mark_of(const struct sim *s, const struct meta_entry *e)
{
	struct entry_mark m = {.term = e->term, .hash = hash64(e->bytes, e->n) + e->type};
	uint64_t hi, lo;

	if (e->type == COMMAND_ENTRY && map_command_id(e->bytes, e->n, &hi, &lo))
		m.ask = lo != 0 ? lo : nameless(s, m.hash);
	return m;
}

static void append(struct control *c, const struct entry_mark *m)
{
	c->log = room(c->log, c->log_n, &c->log_cap, sizeof *c->log);
	c->log[c->log_n++] = *m;
}

void check_loaded(struct sim *s, struct node *n, const struct meta_saved *saved)
{
	struct control *c = &n->control;

	c->log_first = saved->n_entries ? saved->entries[0].index : saved->snapshot_index + 1;
	for (size_t i = 0; i < saved->n_entries; i++) {
		struct entry_mark m = mark_of(s, &saved->entries[i]);

		append(c, &m);
	}
	c->commit = c->applied = saved->snapshot_index;
	trace(s, "n%u loads: term %llu, vote %llu, snapshot %llu, entries %llu + %zu", n->id,
	      (unsigned long long)saved->term, (unsigned long long)saved->vote,
	      (unsigned long long)saved->snapshot_index, (unsigned long long)c->log_first,
	      saved->n_entries);
}

/* ---- log matching ---- */

static void check_matching(struct sim *s, const struct node *n, uint64_t index)
{
	const struct control *c = &n->control;
	const struct entry_mark *m = mark_at(c, index), *before = mark_at(c, index - 1);

	for (uint32_t i = 1; i <= s->n_nodes; i++) {
		const struct control *o = &s->nodes[i].control;
		const struct entry_mark *other = mark_at(o, index);
		const struct entry_mark *other_before = mark_at(o, index - 1);

		if (!o->meta || o == c || !other || other->term != m->term)
			continue;
		if (!equal(other, m) || (before && other_before && !equal(before, other_before)))
			violation(s, "log_matching", "entries %llu of term %llu of nodes %u and %u",
				  (unsigned long long)index, (unsigned long long)m->term, n->id, i);
	}
}

/* A follower may cut what a majority without it commits in a later term than it knows of: the leader of its own term did not have it,
 * and nobody counted this copy (seed 20030246). */
static void cut(struct sim *s, struct node *n, uint64_t from)
{
	struct control *c = &n->control;
	uint64_t term = meta_term(c->meta);

	for (uint64_t i = from; i < c->log_first + c->log_n && i < s->n_agreed; i++)
		if (s->agreed[i].in_term <= term && equal(&s->agreed[i].entry, mark_at(c, i)))
			violation(s, "no_commit_truncate",
				  "node %u cuts entry %llu of the map's log", n->id,
				  (unsigned long long)i);
	if (from < c->log_first + c->log_n)
		c->log_n = from > c->log_first ? from - c->log_first : 0;
}

void check_update(struct sim *s, struct node *n, const struct meta_update *u)
{
	struct control *c = &n->control;

	s->stats.snapshots += u->save_snapshot;
	if (u->save_snapshot)
		trace(s, "n%u saves a snapshot at %llu, its log is %llu + %llu", n->id,
		      (unsigned long long)u->snapshot_index, (unsigned long long)c->log_first,
		      (unsigned long long)c->log_n);
	if (u->restart_log_at) {
		c->log_n = 0;
		c->log_first = u->restart_log_at;
		trace(s, "n%u: the map's log begins anew at %llu", n->id,
		      (unsigned long long)u->restart_log_at);
	}
	if (u->truncate_from)
		cut(s, n, u->truncate_from);
	for (size_t i = 0; i < u->n_entries; i++) {
		struct entry_mark m = mark_of(s, &u->entries[i]);
		uint64_t index = u->entries[i].index;

		if (index < c->log_first + c->log_n)
			continue; /* the first entry of a first start, once more */
		append(c, &m);
		check_matching(s, n, index);
	}
}

/* ---- leaders ---- */

static void check_leader(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	uint64_t term = meta_term(c->meta), cap = s->cap_terms;

	if (term == c->leads_term)
		return;
	c->leads_term = term;
	while (cap <= term)
		cap = cap ? cap * 2 : 256;
	if (cap > s->cap_terms) {
		s->leaders = mem_resize(s->leaders, cap * sizeof *s->leaders);
		memset(s->leaders + s->cap_terms, 0, (cap - s->cap_terms) * sizeof *s->leaders);
		s->cap_terms = cap;
	}
	if (s->leaders[term] && s->leaders[term] != n->id)
		violation(s, "election_safety", "nodes %u and %u lead term %llu", s->leaders[term],
			  n->id, (unsigned long long)term);
	s->stats.terms += s->leaders[term] == 0;
	s->leaders[term] = n->id;
	for (uint64_t i = c->log_first; i < s->n_agreed; i++) {
		const struct entry_mark *m = mark_at(c, i);
		const struct agreed *a = &s->agreed[i];

		if (a->in_term != 0 && a->in_term < term && (!m || !equal(m, &a->entry)))
			violation(s, "leader_completeness",
				  "node %u leads term %llu without entry %llu, which is committed",
				  n->id, (unsigned long long)term, (unsigned long long)i);
	}
}

/* ---- what is committed and applied ---- */

static struct agreed *agreed_at(struct sim *s, uint64_t index)
{
	while (s->n_agreed <= index) {
		s->agreed = room(s->agreed, s->n_agreed, &s->cap_agreed, sizeof *s->agreed);
		s->agreed[s->n_agreed++] = (struct agreed){0};
	}
	return &s->agreed[index];
}

static void commit(struct sim *s, struct node *n, uint64_t index)
{
	const struct entry_mark *m = mark_at(&n->control, index);
	struct agreed *a = agreed_at(s, index);

	if (!m)
		return; /* it came with a snapshot */
	if (a->entry.term && !equal(&a->entry, m))
		violation(s, "state_machine_safety",
			  "node %u commits another entry at %llu: of term %llu, it was %llu", n->id,
			  (unsigned long long)index, (unsigned long long)m->term,
			  (unsigned long long)a->entry.term);
	if (a->entry.term)
		return;
	a->entry = *m;
	a->in_term = meta_term(n->control.meta);
	s->stats.commands += m->ask != 0;
	if (m->ask && s->asks[m->ask].void_)
		violation(s, "refused_absent", "command %llu was answered as not done",
			  (unsigned long long)m->ask);
	if (m->ask && s->asks[m->ask].nameless && s->asks[m->ask].committed)
		violation(s, "applied_once", "command %llu has no id and is committed twice",
			  (unsigned long long)m->ask);
	if (m->ask)
		s->asks[m->ask].committed = true;
}

static void take_newest(struct sim *s, const struct map *m)
{
	const struct map *old = s->newest;

	if (old && m->index <= old->index)
		return;
	s->newest = map_ref(m);
	if (m->n_collections)
		s->collection_id = m->collections[0].collection->id;
	check_map(s, old, m);
	map_unref(old);
}

static void check_applied_map(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	uint64_t applied = meta_applied_index(c->meta);
	struct agreed *a = agreed_at(s, applied);
	struct buf b = BUF_INIT;
	uint64_t hash;

	if (applied < c->applied)
		violation(s, "epoch_monotonic", "the map of node %u went back to %llu", n->id,
			  (unsigned long long)applied);
	if (applied > c->commit)
		violation(s, "applies_committed", "node %u applies entry %llu, %llu is committed",
			  n->id, (unsigned long long)applied, (unsigned long long)c->commit);
	if (applied == c->applied)
		return;
	c->applied = applied;
	if (s->stress && applied % MAP_EVERY != 0 && applied != s->n_agreed - 1)
		goto newest;
	map_encode(&b, meta_map(c->meta));
	hash = hash64(b.data, b.len);
	buf_fini(&b);
	if (a->map_hash && a->map_hash != hash)
		violation(s, "same_map", "node %u has another map at index %llu", n->id,
			  (unsigned long long)applied);
	a->map_hash = hash;
newest:
	take_newest(s, meta_map(c->meta));
}

void check_stepped(struct sim *s, struct node *n)
{
	struct control *c = &n->control;
	uint64_t now = meta_commit_index(c->meta);

	if (now != c->commit)
		trace(s, "n%u: committed %llu", n->id, (unsigned long long)now);
	for (uint64_t i = c->commit + 1; i <= now; i++)
		commit(s, n, i);
	/* The library's own may go back to what is stored; what was applied does not. */
	if (now > c->commit)
		c->commit = now;
	if (meta_is_leader(c->meta))
		check_leader(s, n);
	check_applied_map(s, n);
}

/* ---- answers ---- */

void check_result(struct sim *s, struct ask *a, const struct meta_result *r)
{
	uint64_t applied = meta_applied_index(s->nodes[a->node].control.meta);

	if (!a->open)
		violation(s, "one_answer", "a request to the map of node %u", a->node);
	if (a->submitted && r->error.code == ERR_UNAVAILABLE) {
		a->void_ = true;
		if (a->committed)
			violation(s, "refused_absent", "a command is answered as not done");
	}
	if (r->error.code == ERR_UNAVAILABLE || r->error.code == ERR_TIMEOUT)
		return;
	if (r->error.code == 0 && a->read && applied < a->floor)
		violation(s, "read_current", "node %u reads the map at %llu, %llu was answered",
			  a->node, (unsigned long long)applied, (unsigned long long)a->floor);
	if (r->error.code == 0 && a->submitted && !a->committed)
		violation(s, "ack_durable", "node %u answers what is not committed", a->node);
	if (r->error.code == 0 && a->submitted && r->index > applied)
		violation(s, "ack_durable", "node %u answers before it has applied", a->node);
	if (applied > s->answered && (a->read || a->submitted))
		s->answered = applied;
}

/* ---- the end ---- */

/* For who reads the trace of a failure. */
void check_describe(struct sim *s)
{
	struct meta_member member;

	for (uint32_t i = 1; i <= s->n_nodes; i++) {
		const struct control *c = &s->nodes[i].control;

		for (uint32_t p = 0; p < s->n_parts; p++) {
			const struct rep *r = &s->nodes[i].reps[p];
			const struct replica *m = &r->machine;

			if (r->open)
				trace(s,
				      "n%u/%u: role %d, epoch %llu, serves until %llu of %llu, applied %llu%s%s%s%s",
				      i, p, (int)replica_role(m), (unsigned long long)m->epoch,
				      (unsigned long long)replica_serves_until(m),
				      (unsigned long long)local_us(s, &s->nodes[i]),
				      (unsigned long long)m->applied_seq,
				      m->caught_up ? "" : ", not caught up",
				      m->diverged ? ", diverged" : "",
				      m->seeding ? ", seeding" : "", m->lost ? ", lost" : "");
		}
		if (!c->meta)
			continue;
		trace(s, "n%u: term %llu, leader n%llu, committed %llu, log %llu + %llu%s", i,
		      (unsigned long long)meta_term(c->meta),
		      (unsigned long long)meta_leader(c->meta),
		      (unsigned long long)meta_commit_index(c->meta),
		      (unsigned long long)c->log_first, (unsigned long long)c->log_n,
		      c->stuck ? ", stuck" : "");
		for (size_t k = 0; meta_member(c->meta, k, &member); k++)
			trace(s, "n%u:   n%llu %s", i, (unsigned long long)member.id,
			      member.voter ? "votes" : "follows");
	}
}

void check_meta_end(struct sim *s)
{
	const struct node *leader = leader_of(s);
	struct meta_member member;
	uint32_t voters = 0, alive = 0;

	if (!leader)
		violation(s, "resumes", "nobody leads the control plane");
	for (size_t i = 0; meta_member(leader->control.meta, i, &member); i++) {
		voters += member.voter;
		if (s->nodes[member.id].gone)
			violation(s, "resumes", "node %llu is gone and still a coordinator",
				  (unsigned long long)member.id);
	}
	for (uint32_t i = 1; i <= s->n_nodes; i++) {
		const struct node *n = &s->nodes[i];

		alive += n->up;
		if (n->up && !n->control.registered)
			violation(s, "resumes", "node %u is not registered", i);
		if (n->up && n->control.applied + 2 < leader->control.applied)
			violation(s, "resumes", "the map of node %u is behind", i);
	}
	if (voters < (alive >= 5 ? 5 : alive >= 3 ? 3 : 1))
		violation(s, "resumes", "%u coordinators vote of %u", voters, alive);
	s->stats.voters += voters;
}
