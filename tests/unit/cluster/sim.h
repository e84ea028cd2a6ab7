/* A cluster of control-plane machines in virtual time: a network that loses, delays, doubles and
 * partitions, disks that keep only what was synced, and the promises checked after every step.
 */
#pragma once

#include "base/arena.h"
#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/prng.h"
#include "cluster/meta.h"
#include "tests/unit/cluster/fixture.h"

#include <stdlib.h>

enum { SIM_NODES = 9, SIM_TERMS = 4096, SIM_INDEXES = 1 << 16, SIM_REQUESTS = 1 << 14 };

struct sim_record {
	uint64_t term;
	uint16_t type;
	struct buf bytes;
};
struct sim_disk {
	uint64_t term, vote;
	struct buf snapshot;
	uint64_t snapshot_index, snapshot_term;
	uint64_t first; /* index of records[0] */
	struct sim_record *records;
	size_t n, cap;
};
/* A deep copy of what an update asks to make durable. */
struct sim_write {
	struct sim_write *next;
	struct meta_update update;
	struct buf bytes;
	struct meta_entry *entries;
};
struct sim_message {
	struct sim_message *next;
	uint64_t at_us, from, to;
	struct buf bytes;
};
struct sim_node {
	uint64_t id;
	char address[32];
	struct meta *meta; /* NULL = down */
	struct sim_disk disk;
	struct sim_write *writes, **writes_end;
	struct sim_message *held, **held_end; /* wait for the sync */
	uint64_t synced_us;                   /* when the disk finishes; 0 = idle */
	uint64_t tick_us;
	uint64_t written; /* number of the last update that waits */
	uint64_t applied;
	bool bootstrapped;
};
struct sim_request {
	bool done, read;
	int code;
	uint64_t index, floor; /* READ: what was acknowledged when it began */
};
struct sim {
	struct prng prng;
	uint64_t now_us;
	struct sim_node nodes[SIM_NODES + 1]; /* by id, from 1 */
	size_t n;
	struct meta_voter first[SIM_NODES];
	size_t n_first;
	struct sim_message *network;
	bool cut[SIM_NODES + 1][SIM_NODES + 1]; /* [from][to] */
	double loss, twice;
	uint64_t delay_us, disk_us;
	uint64_t snapshot_entries;
	uint64_t leader_of[SIM_TERMS];
	uint64_t map_hash[SIM_INDEXES];
	struct sim_request requests[SIM_REQUESTS];
	size_t n_requests;
	uint64_t acknowledged; /* highest index of an answered command */
	size_t snapshots_installed;
};

static inline void sim_step(struct sim *s, struct sim_node *n, struct meta_event *event);

/* ---- disk ---- */

static inline void sim_disk_truncate(struct sim_disk *d, uint64_t from)
{
	while (d->n > 0 && d->first + d->n > from)
		buf_fini(&d->records[--d->n].bytes);
}

static inline void sim_disk_write(struct sim_disk *d, const struct meta_update *u)
{
	if (u->save_vote) {
		d->term = u->term;
		d->vote = u->vote;
	}
	if (u->save_snapshot) {
		buf_clear(&d->snapshot);
		buf_put(&d->snapshot, u->snapshot, u->snapshot_n);
		d->snapshot_index = u->snapshot_index;
		d->snapshot_term = u->snapshot_term;
	}
	if (u->restart_log_at != 0) {
		sim_disk_truncate(d, 0);
		d->first = u->restart_log_at;
	}
	if (u->truncate_from != 0)
		sim_disk_truncate(d, u->truncate_from);
	for (size_t i = 0; i < u->n_entries; i++) {
		const struct meta_entry *e = &u->entries[i];

		if (d->n == 0 && d->first == 0)
			d->first = e->index;
		assert(e->index == d->first + d->n);
		if (d->n == d->cap) {
			d->cap = d->cap == 0 ? 64 : d->cap * 2;
			d->records = mem_resize(d->records, d->cap * sizeof(*d->records));
		}
		d->records[d->n] = (struct sim_record){e->term, e->type, BUF_INIT};
		buf_put(&d->records[d->n++].bytes, e->bytes, e->n);
	}
	if (u->drop_before > d->first) {
		size_t gone = u->drop_before - d->first;

		assert(gone <= d->n);
		for (size_t i = 0; i < gone; i++)
			buf_fini(&d->records[i].bytes);
		memmove(d->records, d->records + gone, (d->n - gone) * sizeof(*d->records));
		d->n -= gone;
		d->first = u->drop_before;
	}
}

static inline void sim_disk_wipe(struct sim_disk *d)
{
	sim_disk_truncate(d, 0);
	free(d->records);
	buf_fini(&d->snapshot);
	memset(d, 0, sizeof(*d));
}

static inline void sim_keep_write(struct sim_node *n, const struct meta_update *u)
{
	struct sim_write *w = mem_zalloc(sizeof(*w));
	size_t at = 0;

	w->update = *u;
	for (size_t i = 0; i < u->n_entries; i++)
		buf_put(&w->bytes, u->entries[i].bytes, u->entries[i].n);
	at = w->bytes.len;
	if (u->save_snapshot)
		buf_put(&w->bytes, u->snapshot, u->snapshot_n);
	w->update.snapshot = w->bytes.data + at;
	w->entries = mem_array(u->n_entries + 1, sizeof(*w->entries));
	at = 0;
	for (size_t i = 0; i < u->n_entries; i++) {
		w->entries[i] = u->entries[i];
		w->entries[i].bytes = w->bytes.data + at;
		at += u->entries[i].n;
	}
	w->update.entries = w->entries;
	*n->writes_end = w;
	n->writes_end = &w->next;
	n->written = u->number;
}

static inline void sim_pop_write(struct sim_node *n)
{
	struct sim_write *w = n->writes;

	n->writes = w->next;
	if (n->writes == NULL)
		n->writes_end = &n->writes;
	buf_fini(&w->bytes);
	free(w->entries);
	free(w);
}

/* ---- network ---- */

static inline void sim_enqueue(struct sim *s, struct sim_message *m)
{
	struct sim_message **at = &s->network;

	while (*at != NULL && (*at)->at_us <= m->at_us)
		at = &(*at)->next;
	m->next = *at;
	*at = m;
}

/* Takes the messages for a node from the network. */
static inline void sim_keep_back(struct sim *s, uint64_t to, struct sim_message **kept)
{
	for (struct sim_message **at = &s->network; *at != NULL;) {
		struct sim_message *m = *at;

		if (m->to != to) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		m->next = *kept;
		*kept = m;
	}
}

static inline void sim_transmit(struct sim *s, struct sim_message *m)
{
	if (m->to > s->n || s->cut[m->from][m->to] || prng_unit(&s->prng) < s->loss) {
		buf_fini(&m->bytes);
		free(m);
		return;
	}
	m->at_us = s->now_us + 200 + prng_below(&s->prng, s->delay_us + 1);
	if (prng_unit(&s->prng) < s->twice) {
		struct sim_message *copy = mem_zalloc(sizeof(*copy));

		*copy = *m;
		copy->bytes = BUF_INIT;
		buf_put(&copy->bytes, m->bytes.data, m->bytes.len);
		copy->at_us += prng_below(&s->prng, 3 * s->delay_us + 1);
		sim_enqueue(s, copy);
	}
	sim_enqueue(s, m);
}

/* ---- the machine ---- */

static inline void sim_check(struct sim *s, struct sim_node *n)
{
	uint64_t applied = meta_applied_index(n->meta);

	if (meta_is_leader(n->meta)) {
		uint64_t term = meta_term(n->meta);

		assert(term < SIM_TERMS);
		assert(s->leader_of[term] == 0 || s->leader_of[term] == n->id);
		s->leader_of[term] = n->id;
	}
	assert(applied >= n->applied); /* epoch_monotonic */
	if (applied != n->applied) {
		struct buf b = BUF_INIT;
		uint64_t hash;

		map_encode(&b, meta_map(n->meta));
		hash = hash64(b.data, b.len);
		buf_fini(&b);
		assert(applied < SIM_INDEXES);
		assert(s->map_hash[applied] == 0 || s->map_hash[applied] == hash); /* same_map */
		s->map_hash[applied] = hash;
		n->applied = applied;
	}
}

static inline void sim_results(struct sim *s, const struct meta_update *u)
{
	for (size_t i = 0; i < u->n_results; i++) {
		struct sim_request *r = &s->requests[u->results[i].tag];

		assert(!r->done);
		r->done = true;
		r->code = u->results[i].error.code;
		r->index = u->results[i].index;
		if (r->code != 0)
			continue;
		if (r->read)
			assert(r->index >= r->floor); /* no stale read */
		else if (r->index > s->acknowledged)
			s->acknowledged = r->index;
	}
}

static inline void sim_step(struct sim *s, struct sim_node *n, struct meta_event *event)
{
	struct meta_update u;
	struct error err = {0};
	int rc;

	event->now_us = s->now_us;
	rc = meta_step(n->meta, event, &u, &err);
	if (rc != 0)
		fprintf(stderr, "node %u: %s\n", (unsigned)n->id, err.text);
	assert(rc == 0);
	for (size_t i = 0; i < u.n_messages; i++) {
		struct sim_message *m = mem_zalloc(sizeof(*m));

		m->from = n->id;
		m->to = u.messages[i].to;
		buf_put(&m->bytes, u.messages[i].bytes, u.messages[i].n);
		*n->held_end = m;
		n->held_end = &m->next;
	}
	if (u.persist || u.drop_before != 0)
		sim_keep_write(n, &u);
	if (n->writes != NULL && n->synced_us == 0)
		n->synced_us = s->now_us + prng_below(&s->prng, s->disk_us + 1);
	n->tick_us = u.next_tick_us;
	sim_results(s, &u);
	sim_check(s, n);
	while (n->writes == NULL && n->held != NULL) {
		struct sim_message *m = n->held;

		n->held = m->next;
		sim_transmit(s, m);
	}
	if (n->held == NULL)
		n->held_end = &n->held;
}

static inline void sim_sync(struct sim *s, struct sim_node *n)
{
	struct meta_event event = {.type = META_PERSISTED, .persisted = n->written};

	while (n->writes != NULL) {
		sim_disk_write(&n->disk, &n->writes->update);
		sim_pop_write(n);
	}
	n->synced_us = 0;
	while (n->held != NULL) {
		struct sim_message *m = n->held;

		n->held = m->next;
		sim_transmit(s, m);
	}
	n->held_end = &n->held;
	sim_step(s, n, &event);
}

static inline void sim_crash(struct sim *s, uint64_t id)
{
	struct sim_node *n = &s->nodes[id];

	if (n->meta == NULL)
		return;
	meta_free(n->meta);
	n->meta = NULL;
	/* Some of what was not synced may be on disk all the same: a prefix of it. */
	while (n->writes != NULL) {
		if (prng_below(&s->prng, 2) == 0)
			break;
		sim_disk_write(&n->disk, &n->writes->update);
		sim_pop_write(n);
	}
	while (n->writes != NULL)
		sim_pop_write(n);
	while (n->held != NULL) {
		struct sim_message *m = n->held;

		n->held = m->next;
		buf_fini(&m->bytes);
		free(m);
	}
	n->held_end = &n->held;
	n->synced_us = 0;
	n->applied = 0;
}

static inline void sim_start(struct sim *s, uint64_t id)
{
	struct sim_node *n = &s->nodes[id];
	struct sim_disk *d = &n->disk;
	struct meta_options o = {.self = id,
				 .seed = prng_u64(&s->prng),
				 .now_us = s->now_us,
				 .cluster_id = 77,
				 .snapshot_entries = s->snapshot_entries,
				 .bootstrap = n->bootstrapped ? s->first : NULL,
				 .n_bootstrap = n->bootstrapped ? s->n_first : 0};
	struct meta_saved saved = {.term = d->term,
				   .vote = d->vote,
				   .snapshot = d->snapshot.len > 0 ? d->snapshot.data : NULL,
				   .snapshot_n = d->snapshot.len,
				   .snapshot_index = d->snapshot_index,
				   .snapshot_term = d->snapshot_term,
				   .n_entries = d->n};
	struct meta_entry *entries = mem_array(d->n + 1, sizeof(*entries));
	struct meta_event tick = {.type = META_TICK};
	struct error err = {0};
	int rc;

	for (size_t i = 0; i < d->n; i++)
		entries[i] = (struct meta_entry){d->first + i, d->records[i].term,
						 d->records[i].type, d->records[i].bytes.data,
						 d->records[i].bytes.len};
	saved.entries = entries;
	rc = meta_new(&o, &saved, &n->meta, &err);
	if (rc != 0)
		fprintf(stderr, "node %u: %s\n", (unsigned)id, err.text);
	assert(rc == 0);
	free(entries);
	sim_step(s, n, &tick);
}

/* n nodes, of which the first `voters` begin as the cluster. */
static inline struct sim *sim_new(uint64_t seed, size_t n, size_t voters)
{
	struct sim *s = mem_zalloc(sizeof(*s));

	prng_seed(&s->prng, seed);
	s->n = n;
	s->now_us = 1000000;
	s->delay_us = 2000;
	s->disk_us = 2000;
	for (size_t i = 1; i <= n; i++) {
		struct sim_node *node = &s->nodes[i];

		node->id = i;
		snprintf(node->address, sizeof(node->address), "10.0.0.%zu:7000", i);
		node->writes_end = &node->writes;
		node->held_end = &node->held;
		node->bootstrapped = i <= voters;
		if (i <= voters)
			s->first[s->n_first++] = (struct meta_voter){i, node->address};
	}
	return s;
}

static inline void sim_start_all(struct sim *s)
{
	for (size_t i = 1; i <= s->n; i++)
		sim_start(s, i);
}

static inline void sim_free(struct sim *s)
{
	for (size_t i = 1; i <= s->n; i++) {
		sim_crash(s, i);
		sim_disk_wipe(&s->nodes[i].disk);
	}
	while (s->network != NULL) {
		struct sim_message *m = s->network;

		s->network = m->next;
		buf_fini(&m->bytes);
		free(m);
	}
	free(s);
}

static inline void sim_deliver(struct sim *s)
{
	struct sim_message *m = s->network;
	struct sim_node *n = &s->nodes[m->to];
	struct meta_event event = {.type = META_MESSAGE,
				   .from = m->from,
				   .bytes = m->bytes.data,
				   .n = m->bytes.len};

	s->network = m->next;
	if (n->meta != NULL && !s->cut[m->from][m->to])
		sim_step(s, n, &event);
	buf_fini(&m->bytes);
	free(m);
}

static inline void sim_run(struct sim *s, uint64_t for_us)
{
	uint64_t end = s->now_us + for_us;

	for (;;) {
		struct meta_event tick = {.type = META_TICK};
		struct sim_node *first = NULL;
		uint64_t at = s->network != NULL ? s->network->at_us : UINT64_MAX;
		bool sync = false;

		for (size_t i = 1; i <= s->n; i++) {
			struct sim_node *n = &s->nodes[i];

			if (n->meta == NULL)
				continue;
			if (n->synced_us != 0 && n->synced_us < at) {
				at = n->synced_us;
				first = n;
				sync = true;
			}
			if (n->tick_us < at) {
				at = n->tick_us;
				first = n;
				sync = false;
			}
		}
		if (at > end)
			break;
		if (at > s->now_us)
			s->now_us = at;
		if (first == NULL)
			sim_deliver(s);
		else if (sync)
			sim_sync(s, first);
		else
			sim_step(s, first, &tick);
	}
	s->now_us = end;
}

static inline uint64_t sim_leader(const struct sim *s)
{
	uint64_t best = 0, term = 0;

	for (size_t i = 1; i <= s->n; i++) {
		const struct sim_node *n = &s->nodes[i];

		if (n->meta != NULL && meta_is_leader(n->meta) && meta_term(n->meta) >= term) {
			best = i;
			term = meta_term(n->meta);
		}
	}
	return best;
}

/* Submits at node `at` the joining of a node called "x<tag>"; returns the tag. */
static inline size_t sim_submit(struct sim *s, uint64_t at)
{
	size_t tag = s->n_requests++;
	char name[32], address[32];
	struct map_command c;
	struct buf b = BUF_INIT;
	struct meta_event event = {.type = META_SUBMIT, .tag = tag};

	assert(tag < SIM_REQUESTS);
	snprintf(name, sizeof(name), "x%zu", tag);
	snprintf(address, sizeof(address), "10.1.0.1:%zu", tag);
	c = fixture_node(0, name, address);
	c.command_hi = 9;
	c.command_lo = tag;
	map_command_encode(&b, &c);
	event.bytes = b.data;
	event.n = b.len;
	sim_step(s, &s->nodes[at], &event);
	buf_fini(&b);
	return tag;
}

static inline size_t sim_read(struct sim *s, uint64_t at)
{
	size_t tag = s->n_requests++;
	struct meta_event event = {.type = META_READ, .tag = tag};

	assert(tag < SIM_REQUESTS);
	s->requests[tag].read = true;
	s->requests[tag].floor = s->acknowledged;
	sim_step(s, &s->nodes[at], &event);
	return tag;
}

static inline size_t sim_change(struct sim *s, uint64_t at, int change, uint64_t id)
{
	size_t tag = s->n_requests++;
	struct meta_event event = {.type = META_CHANGE,
				   .tag = tag,
				   .change = change,
				   .voter = {id, s->nodes[id].address}};

	sim_step(s, &s->nodes[at], &event);
	return tag;
}

static inline bool sim_has(const struct sim *s, uint64_t at, size_t tag)
{
	char name[32];

	snprintf(name, sizeof(name), "x%zu", tag);
	return map_node_by_name(meta_map(s->nodes[at].meta), name) != NULL;
}

static inline void sim_settle(struct sim *s)
{
	for (int i = 0; i < 100 && sim_leader(s) == 0; i++)
		sim_run(s, 100000);
	assert(sim_leader(s) != 0);
	sim_run(s, 500000);
}
