/* The machine of the control plane: one step takes an event and says what to persist, what to send
 * and which requests are finished.
 *
 * Log and durability: entries are put into the log in memory when the core hands them over, and
 * reported in the update for the runtime to write. Several updates may wait for one sync; `pending`
 * remembers what each of them promised, and forgets entries that were cut off in between.
 *
 * Snapshots: taken here when enough was applied (saved first, then made known to the core, then
 * the log is cut), or received whole from the leader (saved first, then it becomes the map).
 */
#include "cluster/meta.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "cluster/meta_internal.h"

#include <stdlib.h>
#include <string.h>

enum { SNAPSHOT_MAGIC = 0x4e535151, SNAPSHOT_VERSION = 1 }; /* "QQSN" */

static void *grown(void *array, size_t n, size_t *cap, size_t each)
{
	if (n < *cap)
		return array;
	*cap = *cap == 0 ? 16 : *cap * 2;
	return mem_resize(array, *cap * each);
}

/* ---- snapshots as bytes ---- */

static void snapshot_build(struct saved_snapshot *s, const struct map *map)
{
	size_t at;

	buf_put_u32(&s->bytes, SNAPSHOT_MAGIC);
	buf_put_u16(&s->bytes, SNAPSHOT_VERSION);
	buf_put_u64(&s->bytes, s->configuration_index);
	buf_put_blob(&s->bytes, s->configuration.data, (uint32_t)s->configuration.len);
	at = s->bytes.len;
	buf_put_u32(&s->bytes, 0);
	map_encode(&s->bytes, map);
	buf_set_u32(&s->bytes, at, (uint32_t)(s->bytes.len - at - 4));
}

int meta_snapshot_parse(const void *bytes, size_t n, struct saved_snapshot *out, struct map **map,
			struct error *err)
{
	struct reader r = reader_make(bytes, n);
	const uint8_t *configuration, *encoded;
	uint32_t configuration_n, encoded_n;
	uint16_t version;
	int rc;

	memset(out, 0, sizeof(*out));
	if (reader_u32(&r) != SNAPSHOT_MAGIC)
		return error_set(err, ERR_FORMAT, "this is not a snapshot of the control plane");
	version = reader_u16(&r);
	if (version != SNAPSHOT_VERSION)
		return error_set(err, ERR_VERSION,
				 "the snapshot of the control plane has version %u, this program "
				 "reads %d",
				 version, SNAPSHOT_VERSION);
	out->configuration_index = reader_u64(&r);
	configuration = reader_blob(&r, &configuration_n);
	encoded = reader_blob(&r, &encoded_n);
	if (!reader_done(&r) || out->configuration_index == 0 ||
	    !meta_configuration_ok(configuration, configuration_n))
		return error_set(err, ERR_FORMAT,
				 "the snapshot of the control plane is cut off or malformed");
	rc = map_decode(encoded, encoded_n, map, err);
	if (rc < 0)
		return error_wrap(err, rc, "snapshot of the control plane");
	buf_put(&out->configuration, configuration, configuration_n);
	return 0;
}

static void snapshot_fini(struct saved_snapshot *s)
{
	buf_fini(&s->configuration);
	buf_fini(&s->bytes);
	memset(s, 0, sizeof(*s));
}

/* ---- start ---- */

static int load_snapshot(struct meta *m, const struct meta_saved *saved, struct error *err)
{
	int rc =
		meta_snapshot_parse(saved->snapshot, saved->snapshot_n, &m->snapshot, &m->map, err);

	if (rc < 0)
		return rc;
	buf_put(&m->snapshot.bytes, saved->snapshot, saved->snapshot_n);
	m->snapshot.index = saved->snapshot_index;
	m->snapshot.term = saved->snapshot_term;
	buf_put(&m->configuration, m->snapshot.configuration.data, m->snapshot.configuration.len);
	m->configuration_index = m->snapshot.configuration_index;
	m->applied = saved->snapshot_index;
	if (m->options.cluster_id != 0 && m->map->cluster_id != m->options.cluster_id)
		return error_set(err, ERR_INPUT,
				 "this data folder belongs to cluster %016llx, not to %016llx",
				 (unsigned long long)m->map->cluster_id,
				 (unsigned long long)m->options.cluster_id);
	return 0;
}

/* The saved entries that follow the snapshot. A crash between saving an installed snapshot and
 * restarting the log leaves entries that have nothing to do with it. */
static int load_entries(struct meta *m, const struct meta_saved *saved, struct error *err)
{
	uint64_t next = m->snapshot.index + 1;
	size_t skip = 0;

	meta_log_init(&m->log, next);
	if (saved->n_entries == 0)
		return 0;
	for (size_t i = 1; i < saved->n_entries; i++)
		assert(saved->entries[i].index == saved->entries[i - 1].index + 1);
	while (skip < saved->n_entries && saved->entries[skip].index < next)
		skip++;
	if (saved->entries[0].index > next ||
	    (saved->entries[0].index < next && skip == saved->n_entries &&
	     saved->entries[skip - 1].index < m->snapshot.index) ||
	    (skip > 0 && saved->entries[skip - 1].index == m->snapshot.index &&
	     saved->entries[skip - 1].term != m->snapshot.term)) {
		if (m->snapshot.index == 0)
			return error_set(err, ERR_CORRUPT,
					 "the log of the control plane begins at %llu, but there is "
					 "no snapshot of what came before",
					 (unsigned long long)saved->entries[0].index);
		m->restart_log = true;
		return 0;
	}
	for (size_t i = skip; i < saved->n_entries; i++) {
		const struct meta_entry *e = &saved->entries[i];

		if (e->type == ENTRY_CONFIGURATION && !meta_configuration_ok(e->bytes, e->n))
			return error_set(err, ERR_CORRUPT,
					 "entry %llu of the control plane's log is malformed",
					 (unsigned long long)e->index);
		meta_log_append(&m->log, e->term, e->type, e->bytes, e->n);
	}
	if (m->snapshot.index == 0 && m->log.n > 0 && m->log.items[0].type != ENTRY_CONFIGURATION)
		return error_set(err, ERR_CORRUPT,
				 "the first entry of the control plane's log names no coordinators");
	return 0;
}

/* The first start of a cluster: every first coordinator writes the same first entry. */
static int bootstrap(struct meta *m, struct error *err)
{
	struct buf b = BUF_INIT;
	int rc = core_bootstrap(&m->options, &b, err);

	if (rc == 0) {
		meta_log_append(&m->log, 1, ENTRY_CONFIGURATION, b.data, b.len);
		m->start.term = 1;
		m->start.vote = 0;
		m->save_start = true;
	}
	buf_fini(&b);
	return rc;
}

static int meta_load(struct meta *m, const struct meta_saved *saved, struct error *err)
{
	/* A first start that stopped between writing the term and the first entry is one, too. */
	bool unused = saved->term <= 1 && saved->vote == 0;
	bool alone = saved->term <= 2 && saved->vote == m->options.self &&
		     m->options.n_bootstrap == 1;
	bool fresh = saved->snapshot == NULL && saved->n_entries == 0 && (unused || alone);
	int rc = 0;

	m->start.term = m->saved_term = saved->term;
	m->start.vote = m->saved_vote = saved->vote;
	if (saved->snapshot != NULL) {
		rc = load_snapshot(m, saved, err);
		if (rc < 0)
			return rc;
		m->start.snapshot_index = m->snapshot.index;
		m->start.snapshot_term = m->snapshot.term;
		m->start.configuration_index = m->snapshot.configuration_index;
		m->start.configuration = &m->snapshot.configuration;
	} else {
		m->map = map_new(m->options.cluster_id);
	}
	rc = load_entries(m, saved, err);
	if (rc == 0 && fresh && m->options.n_bootstrap > 0)
		rc = bootstrap(m, err);
	if (rc == 0 && m->start.term == 0 && (m->log.n > 0 || m->snapshot.index > 0))
		rc = error_set(err, ERR_CORRUPT,
			       "the control plane has a log but its term and vote are lost");
	return rc;
}

int meta_new(const struct meta_options *o, const struct meta_saved *saved, struct meta **out,
	     struct error *err)
{
	static const struct meta_saved nothing;
	struct meta *m = mem_zalloc(sizeof(*m));
	int rc;

	assert(o->self != 0);
	m->options = *o;
	if (m->options.snapshot_entries == 0)
		m->options.snapshot_entries = 1024;
	if (m->options.snapshot_bytes == 0)
		m->options.snapshot_bytes = 4 << 20;
	m->now_us = o->now_us;
	m->arena = arena_new(4096);
	prng_seed(&m->prng, o->seed);
	m->requests.next_number = prng_u64(&m->prng);
	rc = core_new(m, o, &m->core, err);
	if (rc == 0)
		rc = meta_load(m, saved != NULL ? saved : &nothing, err);
	m->options.bootstrap = NULL; /* borrowed for this call only */
	m->options.n_bootstrap = 0;
	if (rc < 0) {
		meta_free(m);
		return rc;
	}
	*out = m;
	return 0;
}

static void clear_update(struct meta *m)
{
	for (size_t i = 0; i < m->n_messages; i++)
		free(m->messages[i].bytes);
	m->n_messages = 0;
	m->n_results = 0;
	m->entries_from = 0;
	m->truncate_from = 0;
	m->restart_log_at = 0;
	m->drop_before = 0;
	m->map_changed = false;
	m->save_snapshot = false;
	m->requests.asked = false;
	arena_reset(m->arena);
}

void meta_free(struct meta *m)
{
	if (m == NULL)
		return;
	clear_update(m);
	core_free(m->core);
	requests_fini(&m->requests);
	meta_log_fini(&m->log);
	snapshot_fini(&m->snapshot);
	snapshot_fini(&m->next);
	buf_fini(&m->configuration);
	map_unref(m->map);
	map_unref(m->next_map);
	free(m->pending);
	free(m->entries);
	free(m->messages);
	free(m->results);
	arena_free(m->arena);
	free(m);
}

/* ---- collecting ---- */

void meta_collect_entry(struct meta *m, uint64_t index, uint64_t term, uint16_t type,
			const void *bytes, size_t n)
{
	if (index <= meta_log_last(&m->log)) {
		assert(index > m->applied);
		meta_log_truncate(&m->log, index);
		if (m->truncate_from == 0 || index < m->truncate_from)
			m->truncate_from = index;
		for (size_t i = 0; i < m->n_pending; i++) {
			if (m->pending[i].last_index >= index)
				m->pending[i].last_index = index - 1;
		}
	}
	assert(index == meta_log_last(&m->log) + 1);
	meta_log_append(&m->log, term, type, bytes, n);
	if (m->entries_from == 0 || index < m->entries_from)
		m->entries_from = index;
}

void meta_collect_snapshot(struct meta *m, const struct core_snapshot *s, const void *bytes,
			   size_t n)
{
	struct saved_snapshot parsed;
	struct map *map;
	int rc = meta_snapshot_parse(bytes, n, &parsed, &map, NULL);

	assert(rc == 0 && !m->installing); /* was checked before the core saw it */
	/* A snapshot of our own that is being saved is of no use any more. */
	snapshot_fini(&m->next);
	for (size_t i = 0; i < m->n_pending; i++) {
		m->pending[i].taken = false;
		m->pending[i].last_index = 0;
	}
	m->taking = false;
	m->next = parsed;
	m->next.index = s->index;
	m->next.term = s->term;
	buf_put(&m->next.bytes, bytes, n);
	m->next_map = map;
	m->installing = true;
	m->save_snapshot = true;
	m->restart_log_at = s->index + 1;
	m->restart_term = s->term;
	m->entries_from = 0;
	m->truncate_from = 0;
	meta_log_restart(&m->log, s->index + 1);
}

void meta_send(struct meta *m, uint64_t to, const char *address, struct meta_wire *w)
{
	struct buf b = BUF_INIT;
	struct meta_message *message;
	const char *known = core_address_of(m->core, to);

	w->cluster_id = m->map->cluster_id;
	w->from = m->options.self;
	w->address = core_address_of(m->core, m->options.self);
	meta_wire_encode(&b, w);
	m->messages = grown(m->messages, m->n_messages, &m->messages_cap, sizeof(*m->messages));
	message = &m->messages[m->n_messages++];
	message->to = to;
	message->address =
		arena_strdup(m->arena, known[0] != '\0' || address == NULL ? known : address);
	message->bytes = b.data;
	message->n = b.len;
}

void meta_result_add(struct meta *m, uint64_t tag, const struct error *error, uint64_t index)
{
	m->results = grown(m->results, m->n_results, &m->results_cap, sizeof(*m->results));
	m->results[m->n_results++] = (struct meta_result){tag, *error, index};
}

/* ---- applying ---- */

static int apply_command(struct meta *m, uint64_t index, const struct log_entry *e,
			 struct error *err)
{
	struct error result = {0};
	struct map *next;
	int rc = map_apply(m->map, index, e->bytes, e->n, &next, &result);

	if (rc < 0) {
		if (err != NULL)
			*err = result;
		return error_wrap(err, rc, "entry %llu of the control plane",
				  (unsigned long long)index);
	}
	if (next != m->map)
		m->map_changed = true;
	map_unref(m->map);
	m->map = next;
	m->applied_bytes += e->n;
	m->applied = index;
	requests_applied(m, index, e->term, &result);
	return 0;
}

static uint64_t may_apply(const struct meta *m)
{
	return MUTANT(applies_uncommitted) ? meta_log_last(&m->log) : core_commit(m->core);
}

static int apply_committed(struct meta *m, struct error *err)
{
	int rc = 0;

	while (rc == 0 && !m->installing && m->applied < may_apply(m)) {
		uint64_t index = m->applied + 1;
		const struct log_entry *e = meta_log_get(&m->log, index);

		assert(e != NULL);
		if (e->type == ENTRY_COMMAND) {
			rc = apply_command(m, index, e, err);
			continue;
		}
		m->applied = index;
		if (e->type == ENTRY_CONFIGURATION) {
			buf_clear(&m->configuration);
			buf_put(&m->configuration, e->bytes, e->n);
			m->configuration_index = index;
			rc = core_configuration_committed(m->core, index, e->bytes, e->n, err);
		}
		e = meta_log_get(&m->log, index);
		assert(e != NULL);
		requests_applied(m, index, e->term, NULL);
	}
	return rc;
}

/* Notes when we began to lead a term: reads wait until its first entries are committed. */
static void note_leadership(struct meta *m)
{
	if (!core_is_leader(m->core)) {
		m->leader_term = 0;
	} else if (m->leader_term != core_term(m->core)) {
		m->leader_term = core_term(m->core);
		m->leader_first = meta_log_last(&m->log);
		m->n_pushed = 0;
	}
}

static uint64_t *pushed_to(struct meta *m, uint64_t id)
{
	for (size_t i = 0; i < m->n_pushed; i++) {
		if (m->pushed[i].id == id)
			return &m->pushed[i].commit;
	}
	if (m->n_pushed == META_ACKS)
		m->n_pushed = 0; /* servers came and went; telling twice does no harm */
	m->pushed[m->n_pushed] = (struct pushed){id, 0};
	return &m->pushed[m->n_pushed++].commit;
}

/* Followers hear of a commit with the next heartbeat; this tells them at once. It is an empty
 * AppendEntries at the point up to which the follower is known to agree. */
static void push_commit(struct meta *m)
{
	struct meta_member member;

	if (!core_is_leader(m->core))
		return;
	for (size_t i = 0; core_member(m->core, i, &member); i++) {
		struct meta_wire w = {.type = WIRE_APPEND, .term = core_term(m->core)};
		uint64_t *told = pushed_to(m, member.id);
		const struct log_entry *e;
		uint64_t match;

		if (member.id == m->options.self || !core_match(m->core, member.id, &match))
			continue;
		if (match > core_commit(m->core) && !MUTANT(commit_is_match))
			match = core_commit(m->core);
		e = meta_log_get(&m->log, match);
		if (match <= *told || e == NULL)
			continue; /* known, or far behind: the heartbeat will do */
		*told = match;
		w.append.prev_index = match;
		w.append.prev_term = e->term;
		w.append.commit = match;
		meta_send(m, member.id, member.address, &w);
	}
}

/* ---- snapshots ---- */

static void take_snapshot(struct meta *m)
{
	const struct log_entry *e = meta_log_get(&m->log, m->applied);

	if (m->taking || m->installing || e == NULL || m->applied <= m->snapshot.index ||
	    core_stored(m->core) < m->applied)
		return;
	if (m->applied - m->snapshot.index < m->options.snapshot_entries &&
	    m->applied_bytes < m->options.snapshot_bytes)
		return;
	snapshot_fini(&m->next);
	m->next.index = m->applied;
	m->next.term = e->term;
	m->next.configuration_index = m->configuration_index;
	if (MUTANT(snapshot_old_configuration) && m->snapshot.index > 0)
		buf_put(&m->next.configuration, m->snapshot.configuration.data,
			m->snapshot.configuration.len);
	else
		buf_put(&m->next.configuration, m->configuration.data, m->configuration.len);
	snapshot_build(&m->next, m->map);
	m->taking = true;
	m->save_snapshot = true;
	m->applied_bytes = 0;
}

static struct core_snapshot as_core(const struct saved_snapshot *s)
{
	return (struct core_snapshot){s->index, s->term, s->configuration_index, &s->configuration};
}

static void adopt_next(struct meta *m)
{
	snapshot_fini(&m->snapshot);
	m->snapshot = m->next;
	memset(&m->next, 0, sizeof(m->next));
}

static int snapshot_taken(struct meta *m, struct error *err)
{
	uint64_t trailing = META_TRAILING_ENTRIES;
	struct core_snapshot s;
	uint64_t keep_from;

	if (trailing > m->options.snapshot_entries / 4)
		trailing = m->options.snapshot_entries / 4;
	adopt_next(m);
	m->taking = false;
	s = as_core(&m->snapshot);
	/* As the core does it: it cuts when it still has entry index - trailing. */
	if (m->snapshot.index > trailing &&
	    meta_log_get(&m->log, m->snapshot.index - trailing) != NULL) {
		keep_from = m->snapshot.index - trailing + 1;
		meta_log_drop_before(&m->log, keep_from);
		m->drop_before = keep_from;
	}
	return core_snapshot_taken(m->core, &s, trailing, err);
}

static int snapshot_installed(struct meta *m, struct error *err)
{
	struct core_snapshot s;

	adopt_next(m);
	m->installing = false;
	map_unref(m->map);
	m->map = m->next_map;
	m->next_map = NULL;
	m->map_changed = true;
	m->applied = m->snapshot.index;
	m->applied_bytes = 0;
	buf_clear(&m->configuration);
	buf_put(&m->configuration, m->snapshot.configuration.data, m->snapshot.configuration.len);
	m->configuration_index = m->snapshot.configuration_index;
	s = as_core(&m->snapshot);
	return core_snapshot_installed(m->core, &s, err);
}

/* ---- events ---- */

static int on_persisted(struct meta *m, uint64_t number, struct error *err)
{
	uint64_t index = 0;
	bool taken = false, installed = false;
	size_t n = 0;
	int rc = 0;

	while (n < m->n_pending && m->pending[n].number <= number) {
		if (m->pending[n].last_index > index)
			index = m->pending[n].last_index;
		taken |= m->pending[n].taken;
		installed |= m->pending[n].installed;
		n++;
	}
	m->n_pending -= n;
	memmove(m->pending, m->pending + n, m->n_pending * sizeof(*m->pending));
	if (installed)
		rc = snapshot_installed(m, err);
	if (rc == 0 && index > core_stored(m->core))
		rc = core_persisted(m->core, index, err);
	if (rc == 0 && taken && m->taking)
		rc = snapshot_taken(m, err);
	return rc;
}

/* A leader that missed our answers, and whose next entries we missed, asks about entries that our snapshot has
 * swallowed. They are committed, so it has them as we had: the question is taken from the end of
 * the snapshot on. Without this it would be refused until the leader's own log no longer reaches back so far. Of
 * the entry before the first that is kept the term is not known any more. */
static void skip_snapshot(const struct meta *m, struct wire_append *a)
{
	uint64_t skip;

	if (MUTANT(snapshot_not_skipped) || m->installing || a->prev_index >= m->snapshot.index ||
	    a->prev_index >= m->log.first)
		return;
	skip = m->snapshot.index - a->prev_index;
	a->prev_index = m->snapshot.index;
	a->prev_term = m->snapshot.term;
	a->entries = a->n > skip ? a->entries + skip : NULL;
	a->n = a->n > skip ? a->n - (uint32_t)skip : 0;
}

static int on_message(struct meta *m, const struct meta_event *event, struct error *err)
{
	struct meta_wire w;
	struct error why;

	if (meta_wire_decode(event->bytes, event->n, m->arena, &w, &why) < 0) {
		log_debug("meta", "dropped a message of node %llu: %s",
			  (unsigned long long)event->from, why.text);
		return 0;
	}
	if (w.from != event->from || w.cluster_id != m->map->cluster_id) {
		log_debug("meta", "dropped a message of node %llu, cluster %016llx",
			  (unsigned long long)w.from, (unsigned long long)w.cluster_id);
		return 0;
	}
	if (w.type >= WIRE_READ) {
		requests_receive(m, &w);
		return 0;
	}
	if (w.type == WIRE_APPEND && w.term >= core_term(m->core))
		skip_snapshot(m, &w.append);
	return core_receive(m->core, &w, err);
}

static int begin(struct meta *m, struct error *err)
{
	int rc = core_begin(m->core, &m->start, err);

	if (rc < 0)
		return rc;
	m->started = true;
	m->start.configuration = NULL;
	if (m->save_start)
		m->entries_from = m->log.first;
	if (m->restart_log) {
		m->restart_log_at = m->snapshot.index + 1;
		m->restart_term = m->snapshot.term;
	}
	return 0;
}

static int handle(struct meta *m, const struct meta_event *event, struct error *err)
{
	struct error scratch = {0};
	int rc;

	switch (event->type) {
	case META_TICK: return core_timeout(m->core, err);
	case META_MESSAGE: return on_message(m, event, err);
	case META_PERSISTED: return on_persisted(m, event->persisted, err);
	case META_SUBMIT:
	case META_READ:
	case META_CHANGE: return requests_add(m, event);
	case META_TRANSFER:
		rc = core_transfer(m->core, event->voter.id, &scratch);
		if (rc == 0)
			scratch = (struct error){0};
		else if (rc != ERR_UNAVAILABLE && rc != ERR_NOT_FOUND)
			return rc;
		meta_result_add(m, event->tag, &scratch, m->applied);
		return 0;
	}
	return 0;
}

/* ---- the update ---- */

static void fill_entries(struct meta *m, struct meta_update *out)
{
	size_t n;

	if (m->entries_from == 0)
		return;
	n = meta_log_last(&m->log) + 1 - m->entries_from;
	if (n > m->entries_cap) {
		m->entries_cap = n * 2;
		m->entries = mem_resize(m->entries, m->entries_cap * sizeof(*m->entries));
	}
	for (size_t i = 0; i < n; i++) {
		const struct log_entry *e = meta_log_get(&m->log, m->entries_from + i);

		m->entries[i] =
			(struct meta_entry){m->entries_from + i, e->term, e->type, e->bytes, e->n};
	}
	out->entries = m->entries;
	out->n_entries = n;
}

static void add_pending(struct meta *m, const struct meta_update *out)
{
	struct pending *p;

	m->pending = grown(m->pending, m->n_pending, &m->pending_cap, sizeof(*m->pending));
	p = &m->pending[m->n_pending++];
	memset(p, 0, sizeof(*p));
	p->number = out->number;
	if (out->n_entries > 0)
		p->last_index = out->entries[out->n_entries - 1].index;
	p->taken = out->save_snapshot && m->taking;
	p->installed = out->save_snapshot && m->installing;
}

static void fill_update(struct meta *m, struct meta_update *out)
{
	uint64_t timer = requests_next_us(m);

	memset(out, 0, sizeof(*out));
	out->number = ++m->number;
	out->term = core_term(m->core);
	out->vote = core_vote(m->core);
	if (MUTANT(vote_not_saved) && out->vote != m->options.self)
		out->vote = 0;
	out->save_vote = out->term != m->saved_term || out->vote != m->saved_vote;
	m->saved_term = out->term;
	m->saved_vote = out->vote;
	out->truncate_from = m->truncate_from;
	out->restart_log_at = m->restart_log_at;
	out->restart_term = m->restart_term;
	out->drop_before = m->drop_before;
	fill_entries(m, out);
	if (m->save_snapshot) {
		out->save_snapshot = true;
		out->snapshot = m->next.bytes.data;
		out->snapshot_n = m->next.bytes.len;
		out->snapshot_index = m->next.index;
		out->snapshot_term = m->next.term;
	}
	out->persist = out->save_vote || out->n_entries > 0 || out->save_snapshot ||
		       out->truncate_from != 0 || out->restart_log_at != 0;
	if (out->persist)
		add_pending(m, out);
	out->messages = m->messages;
	out->n_messages = m->n_messages;
	out->results = m->results;
	out->n_results = m->n_results;
	out->map_changed = m->map_changed;
	out->next_tick_us = core_next_timeout_us(m->core);
	if (timer < out->next_tick_us)
		out->next_tick_us = timer;
	if (out->next_tick_us <= m->now_us)
		out->next_tick_us = m->now_us + 1000;
}

int meta_step(struct meta *m, const struct meta_event *event, struct meta_update *out,
	      struct error *err)
{
	int rc = 0;

	clear_update(m);
	if (event->now_us > m->now_us)
		m->now_us = event->now_us; /* the core wants time that never goes back */
	if (!m->started)
		rc = begin(m, err);
	if (rc == 0)
		rc = handle(m, event, err);
	for (uint64_t before = UINT64_MAX; rc == 0 && before != m->applied;) {
		before = m->applied;
		note_leadership(m);
		rc = apply_committed(m, err);
		note_leadership(m);
		if (rc == 0)
			rc = requests_advance(m, err);
	}
	if (rc < 0)
		return rc;
	push_commit(m);
	take_snapshot(m);
	fill_update(m, out);
	return MUTANT(counts_unsynced) && core_is_leader(m->core)
		       ? on_persisted(m, out->number, err)
		       : 0;
}

/* ---- what it knows ---- */

const struct map *meta_map(const struct meta *m)
{
	return m->map;
}

uint64_t meta_leader(const struct meta *m)
{
	return core_leader(m->core);
}

bool meta_is_leader(const struct meta *m)
{
	return core_is_leader(m->core);
}

uint64_t meta_term(const struct meta *m)
{
	return core_term(m->core);
}

uint64_t meta_commit_index(const struct meta *m)
{
	return core_commit(m->core);
}

uint64_t meta_applied_index(const struct meta *m)
{
	return m->applied;
}

bool meta_member(const struct meta *m, size_t i, struct meta_member *out)
{
	return core_member(m->core, i, out);
}
