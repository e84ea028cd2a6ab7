/* The raft core of the cowsql/raft library (0.22) behind meta_internal.h; only this file sees raft.h.
 *
 * What is known of the library, from its headers and from driving it (docs/decisions has the tale):
 * - It keeps the terms of the log only. It owns what it received, entries and snapshots, unless an update hands it over.
 * - A configuration behind other entries of a batch gets a wrong index and is never committed: a batch is cut before it.
 * - It trusts its peers. A rejection of what was acknowledged, or an AppendEntries of our own term while we lead, breaks
 *   its assumptions; both are dropped here.
 * - A server that is the only voter leads without a new term, although another may have led the present one (two
 *   voters, the leader removed itself). So a new term is begun for it here.
 * - A learner refuses its vote, and never forgets the leader that it had. A lone voter that makes a second one, and
 *   stops before that one knows, would never find the majority of two. Anybody may vote, and forgets a silent leader.
 * - A snapshot that arrives late cuts entries that were acknowledged; it is dropped (meta_late.c).
 * - A pre-vote that is refused for a higher term changes nothing: with a shorter log there, nobody is ever elected.
 * - A follower whose snapshot goes beyond what its leader knows to match refuses all it is sent.
 * - Its configuration decoder does not look where the bytes end; ours runs before it.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "cluster/meta_internal.h"
#include <raft.h>
#include <stdlib.h>
#include <string.h>

enum { CORE_TRAILING_INFLIGHT = 256 };

struct meta_core {
	struct raft raft;
	struct meta *meta;
	void *received_batch; /* of the message being handled */
};

static int core_error(struct meta_core *c, int rv, const char *what, struct error *err)
{
	if (rv == RAFT_NOMEM)
		return error_set(err, ERR_NOMEM, "control plane, %s: out of memory", what);
	if (rv == RAFT_SHUTDOWN)
		return error_set(
			err, ERR_CORRUPT,
			"control plane, %s: the leader's log contradicts what was committed "
			"here; this node's data must not be used",
			what);
	return error_set(err, ERR_INTERNAL, "control plane, %s: %s (%s)", what, raft_strerror(rv),
			 c->raft.errmsg);
}

static int decode_configuration(const void *bytes, size_t n, struct raft_configuration *out)
{
	struct raft_buffer b = {(void *)bytes, n};

	if (!meta_configuration_ok(bytes, n))
		return RAFT_MALFORMED;
	raft_configuration_init(out);
	return raft_configuration_decode(&b, out);
}

/* ---- life ---- */

int core_new(struct meta *m, const struct meta_options *o, struct meta_core **out,
	     struct error *err)
{
	struct meta_core *c = mem_zalloc(sizeof(*c));
	unsigned election_ms = (unsigned)((o->election_timeout_us ?: 500000) / 1000);
	int rv = raft_init(&c->raft, NULL, NULL, o->self, meta_own_address(o));

	if (rv != 0) {
		free(c);
		return error_set(err, ERR_NOMEM, "control plane: out of memory");
	}
	c->meta = m;
	c->raft.tracer = NULL; /* it formats into static memory, whether or not anybody reads it */
	raft_seed(&c->raft, (unsigned)prng_u64(&m->prng));
	raft_set_election_timeout(&c->raft, election_ms);
	raft_set_heartbeat_timeout(&c->raft, (unsigned)((o->heartbeat_us ?: 100000) / 1000));
	raft_set_install_snapshot_timeout(&c->raft, 10 * election_ms);
	raft_set_max_inflight_entries(&c->raft, CORE_TRAILING_INFLIGHT);
	raft_set_pre_vote(&c->raft, true);
	*out = c;
	return 0;
}

void core_free(struct meta_core *c)
{
	if (c == NULL)
		return;
	raft_close(&c->raft, NULL);
	free(c);
}

/* ---- handling an update ---- */

static void collect_entries(struct meta_core *c, const struct raft_update *u)
{
	for (unsigned i = 0; i < u->entries.n; i++) {
		const struct raft_entry *e = &u->entries.batch[i];

		meta_collect_entry(c->meta, u->entries.index + i, e->term, (uint16_t)e->type,
				   e->buf.base, e->buf.len);
	}
	if (u->entries.batch == &c->raft.barrier)
		raft_free(c->raft.barrier.batch);
	if (c->received_batch != NULL) {
		raft_free(c->received_batch); /* it was handed over to us */
		c->received_batch = NULL;
	}
}

static void collect_snapshot(struct meta_core *c, struct raft_update *u)
{
	struct raft_snapshot_metadata *md = &u->snapshot.metadata;
	struct raft_buffer encoded;
	struct buf configuration;
	struct core_snapshot s = {md->index, md->term, md->configuration_index, &configuration};
	int rv = raft_configuration_encode(&md->configuration, &encoded);

	assert(rv == 0 && u->snapshot.offset == 0 && u->snapshot.last);
	configuration = (struct buf){encoded.base, encoded.len, encoded.len};
	meta_collect_snapshot(c->meta, &s, u->snapshot.chunk.base, u->snapshot.chunk.len);
	raft_free(encoded.base);
	raft_configuration_close(&md->configuration);
	raft_free(u->snapshot.chunk.base);
}

static void fill_append(struct meta_core *c, const struct raft_append_entries *a,
			struct meta_wire *w)
{
	struct meta *m = c->meta;

	w->type = WIRE_APPEND;
	w->term = a->term;
	w->append.prev_index = a->prev_log_index;
	w->append.prev_term = a->prev_log_term;
	w->append.commit = a->leader_commit;
	w->append.n = a->n_entries;
	w->append.entries = arena_alloc(m->arena, a->n_entries * sizeof(*w->append.entries));
	for (unsigned i = 0; i < a->n_entries; i++) {
		const struct log_entry *e = meta_log_get(&m->log, a->prev_log_index + 1 + i);

		assert(e != NULL);
		w->append.entries[i] = (struct wire_entry){e->term, e->type, {e->bytes, e->n}};
	}
}

/* Raft's message in our words. Its term is not always the current one (pre-votes). */
static void fill_message(struct meta_core *c, const struct raft_message *from, struct meta_wire *w)
{
	struct meta *m = c->meta;

	memset(w, 0, sizeof(*w));
	switch (from->type) {
	case RAFT_APPEND_ENTRIES: fill_append(c, &from->append_entries, w); break;
	case RAFT_APPEND_ENTRIES_RESULT:
		w->type = WIRE_APPEND_RESULT;
		w->term = from->append_entries_result.term;
		w->append_result.rejected = from->append_entries_result.rejected;
		w->append_result.last_index = from->append_entries_result.last_log_index;
		break;
	case RAFT_REQUEST_VOTE:
		w->type = WIRE_VOTE;
		w->term = from->request_vote.term;
		w->vote = (struct wire_vote){from->request_vote.candidate_id,
					     from->request_vote.last_log_index,
					     from->request_vote.last_log_term,
					     from->request_vote.disrupt_leader,
					     from->request_vote.pre_vote};
		break;
	case RAFT_REQUEST_VOTE_RESULT:
		w->type = WIRE_VOTE_RESULT;
		w->vote_result.granted = from->request_vote_result.vote_granted;
		w->vote_result.pre = from->request_vote_result.pre_vote;
		/* A pre-vote is answered with the term that was asked for; a refusal says the own one here. */
		w->term = w->vote_result.granted || MUTANT(term_not_taken)
				  ? from->request_vote_result.term
				  : c->raft.current_term;
		break;
	case RAFT_INSTALL_SNAPSHOT:
		assert(from->install_snapshot.last_index == m->snapshot.index);
		w->type = WIRE_SNAPSHOT;
		w->term = from->install_snapshot.term;
		w->snapshot.index = m->snapshot.index;
		w->snapshot.index_term = m->snapshot.term;
		w->snapshot.bytes.bytes = m->snapshot.bytes.data;
		w->snapshot.bytes.n = (uint32_t)m->snapshot.bytes.len;
		break;
	case RAFT_TIMEOUT_NOW:
		w->type = WIRE_TIMEOUT_NOW;
		w->term = from->timeout_now.term;
		w->timeout_now.last_index = from->timeout_now.last_log_index;
		w->timeout_now.last_term = from->timeout_now.last_log_term;
		break;
	}
}

static void collect_messages(struct meta_core *c, const struct raft_update *u)
{
	for (unsigned i = 0; i < u->messages.n; i++) {
		const struct raft_message *message = &u->messages.batch[i];
		struct meta_wire w;

		fill_message(c, message, &w);
		meta_send(c->meta, message->server_id, message->server_address, &w);
	}
}

static int step(struct meta_core *c, struct raft_event *event)
{
	struct raft_update u;
	int rv;

	memset(&u, 0, sizeof(u));
	event->time = c->meta->now_us / 1000;
	rv = raft_step(&c->raft, event, &u);
	if (rv != 0) {
		c->received_batch = NULL; /* the library released it */
		return rv;
	}
	/* Entries first: messages are filled from the log. */
	if ((u.flags & (RAFT_UPDATE_ENTRIES)) != 0)
		collect_entries(c, &u);
	c->received_batch = NULL;
	if ((u.flags & (RAFT_UPDATE_SNAPSHOT)) != 0)
		collect_snapshot(c, &u);
	if ((u.flags & (RAFT_UPDATE_MESSAGES)) != 0)
		collect_messages(c, &u);
	return 0;
}

/* ---- events ---- */

/* A step, unless what led to it failed already; the library's answer in our words. */
static int run(struct meta_core *c, struct raft_event *event, int rv, const char *what,
	       struct error *err)
{
	if (rv == 0)
		rv = step(c, event);
	return rv == 0 ? 0 : core_error(c, rv, what, err);
}

static int fill_metadata(struct raft_snapshot_metadata *md, const struct core_snapshot *s)
{
	memset(md, 0, sizeof(*md));
	md->index = s->index;
	md->term = s->term;
	md->configuration_index = s->configuration_index;
	return decode_configuration(s->configuration->data, s->configuration->len,
				    &md->configuration);
}

static bool only_voter(const struct raft_configuration *conf, uint64_t self)
{
	bool is_voter = false;

	for (unsigned i = 0; i < conf->n; i++) {
		if (conf->servers[i].role != RAFT_VOTER)
			continue;
		if (conf->servers[i].id != self)
			return false;
		is_voter = true;
	}
	return is_voter;
}

/* Will the start make this server leader at once? As the library finds out: by the last
 * configuration of the log, committed or not. */
static bool begins_alone(const struct meta_core *c, const struct core_start *start)
{
	const struct log_entry *e = meta_log_last_of(&c->meta->log, ENTRY_CONFIGURATION);
	const struct buf *saved = start->snapshot_index > 0 ? start->configuration : NULL;
	struct raft_configuration conf;
	bool alone;

	if (e == NULL && saved == NULL)
		return false;
	if (decode_configuration(e ? e->bytes : saved->data, e ? e->n : saved->len, &conf) != 0)
		return false;
	alone = only_voter(&conf, c->raft.id);
	raft_configuration_close(&conf);
	return alone;
}

int core_begin(struct meta_core *c, const struct core_start *start, struct error *err)
{
	struct meta_log *log = &c->meta->log;
	struct raft_snapshot_metadata metadata;
	struct core_snapshot s = {start->snapshot_index, start->snapshot_term,
				  start->configuration_index, start->configuration};
	struct raft_event event = {.type = RAFT_START};
	struct raft_entry *entries = mem_array(log->n + 1, sizeof(*entries));
	int rv = 0;

	for (size_t i = 0; i < log->n; i++) {
		entries[i].term = log->items[i].term;
		entries[i].type = (enum raft_entry_type)log->items[i].type;
		entries[i].buf = (struct raft_buffer){log->items[i].bytes, log->items[i].n};
	}
	event.start.term = start->term;
	event.start.voted_for = start->vote;
	if (begins_alone(c, start)) {
		event.start.term++;
		event.start.voted_for = c->raft.id;
	}
	event.start.start_index = log->first;
	event.start.entries = entries;
	event.start.n_entries = (unsigned)log->n;
	if (start->snapshot_index > 0) {
		rv = fill_metadata(&metadata, &s);
		event.start.metadata = &metadata;
	}
	if (rv == 0)
		rv = step(c, &event);
	free(entries);
	return rv == 0 ? 0 : core_error(c, rv, "start", err);
}

int core_timeout(struct meta_core *c, struct error *err)
{
	struct raft_event event = {.type = RAFT_TIMEOUT};

	if (c->meta->now_us / 1000 < raft_timeout(&c->raft))
		return 0;
	if (c->raft.state != RAFT_LEADER && only_voter(&c->raft.configuration, c->raft.id)) {
		c->raft.current_term++;
		c->raft.voted_for = c->raft.id;
	}
	if (c->raft.state == RAFT_FOLLOWER && !MUTANT(leader_never_forgotten)) {
		raft_free(c->raft.follower_state.current_leader.address);
		c->raft.follower_state.current_leader.address = NULL;
		c->raft.follower_state.current_leader.id = 0;
	}
	return run(c, &event, 0, "timer", err);
}

int core_persisted(struct meta_core *c, uint64_t index, struct error *err)
{
	struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES,
				   .persisted_entries.index = index};

	return run(c, &event, 0, "entries were persisted", err);
}

int core_snapshot_taken(struct meta_core *c, const struct core_snapshot *s, uint64_t trailing,
			struct error *err)
{
	struct raft_event event = {.type = RAFT_SNAPSHOT};
	int rv = fill_metadata(&event.snapshot.metadata, s);

	event.snapshot.trailing = (unsigned)trailing;
	return run(c, &event, rv, "a snapshot was taken", err);
}

int core_snapshot_installed(struct meta_core *c, const struct core_snapshot *s, struct error *err)
{
	struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT};
	int rv = fill_metadata(&event.persisted_snapshot.metadata, s);

	event.persisted_snapshot.last = true;
	return run(c, &event, rv, "a snapshot was installed", err);
}

int core_configuration_committed(struct meta_core *c, uint64_t index, const void *bytes, size_t n,
				 struct error *err)
{
	struct raft_event event = {.type = RAFT_CONFIGURATION};
	int rv = decode_configuration(bytes, n, &event.configuration.conf);

	event.configuration.index = index;
	return run(c, &event, rv, "a configuration was committed", err);
}

int core_transfer(struct meta_core *c, uint64_t to, struct error *err)
{
	struct raft_event event = {.type = RAFT_TRANSFER, .transfer.server_id = to};
	int rv = step(c, &event);

	if (rv == RAFT_NOTLEADER)
		return error_set(err, ERR_UNAVAILABLE, "this node does not lead the cluster");
	if (rv == RAFT_NOTFOUND || rv == RAFT_BADID)
		return error_set(err, ERR_NOT_FOUND, "there is no such other voter to lead");
	return rv == 0 ? 0 : core_error(c, rv, "hand-over", err);
}

int core_submit(struct meta_core *c, uint16_t type, const void *bytes, size_t n, struct error *err)
{
	struct raft_event event = {.type = RAFT_SUBMIT};
	struct raft_entry entry;
	int rv;

	memset(&entry, 0, sizeof(entry));
	entry.term = c->raft.current_term;
	entry.type = (enum raft_entry_type)type;
	entry.buf = (struct raft_buffer){(void *)bytes, n};
	entry.batch = (void *)bytes; /* asked for; memory stays ours */
	event.submit.entries = &entry;
	event.submit.n = 1;
	rv = step(c, &event);
	if (rv == RAFT_NOTLEADER)
		return error_set(err, ERR_UNAVAILABLE, "this node does not lead the cluster");
	if (rv == RAFT_CANTCHANGE)
		return error_set(err, ERR_BUSY, "another change of the coordinators is under way");
	return rv == 0 ? 0 : core_error(c, rv, "submit", err);
}

/* ---- messages ---- */

/* One piece of an AppendEntries: entries [from, to). */
static int receive_piece(struct meta_core *c, const struct meta_wire *w, uint32_t from, uint32_t to)
{
	const struct wire_append *a = &w->append;
	struct raft_message message = {.type = RAFT_APPEND_ENTRIES};
	struct raft_event event = {.type = RAFT_RECEIVE, .receive.message = &message};
	struct raft_append_entries *args = &message.append_entries;
	size_t total = 0;
	uint8_t *at;
	int rv;

	for (uint32_t i = from; i < to; i++)
		total += a->entries[i].data.n;
	args->term = w->term;
	args->prev_log_index = a->prev_index + from;
	args->prev_log_term = from == 0 ? a->prev_term : a->entries[from - 1].term;
	args->leader_commit = a->commit;
	args->n_entries = to - from;
	args->entries = mem_array(to - from + 1, sizeof(*args->entries));
	if (to > from) {
		at = raft_malloc(total + 1);
		assert(at != NULL);
		c->received_batch = at;
		for (uint32_t i = from; i < to; i++) {
			struct raft_entry *e = &args->entries[i - from];

			e->term = a->entries[i].term;
			e->type = (enum raft_entry_type)a->entries[i].type;
			e->batch = c->received_batch;
			e->buf = (struct raft_buffer){at, a->entries[i].data.n};
			memcpy(at, a->entries[i].data.bytes, a->entries[i].data.n);
			at += a->entries[i].data.n;
		}
	}
	message.server_id = w->from;
	message.server_address = w->address;
	rv = step(c, &event);
	free(args->entries);
	return rv;
}

static int receive_append(struct meta_core *c, const struct meta_wire *w)
{
	const struct wire_append *a = &w->append;
	uint32_t from = 0;
	int rv = 0;

	if (c->raft.state == RAFT_LEADER && w->term == c->raft.current_term)
		return 0; /* nobody else can lead this term */
	if ((a->prev_index == 0) != (a->prev_term == 0) || a->prev_index > UINT64_MAX / 2)
		return 0;
	do {
		uint32_t to = from < a->n ? from + 1 : from;

		while (to < a->n &&
		       (a->entries[to].type != ENTRY_CONFIGURATION || MUTANT(batch_not_cut)))
			to++;
		rv = receive_piece(c, w, from, to);
		from = to;
	} while (rv == 0 && from < a->n);
	return rv;
}

static int receive_snapshot(struct meta_core *c, const struct meta_wire *w)
{
	struct raft_message message = {.type = RAFT_INSTALL_SNAPSHOT};
	struct raft_event event = {.type = RAFT_RECEIVE, .receive.message = &message};
	struct raft_install_snapshot *args = &message.install_snapshot;
	struct saved_snapshot parsed;
	struct map *map;
	int rv;

	if (c->raft.state == RAFT_LEADER && w->term == c->raft.current_term)
		return 0;
	if (c->meta->installing || w->snapshot.index == 0 || w->snapshot.index_term == 0)
		return 0;
	if (meta_has_snapshot(c->meta, w))
		return 0;
	if (meta_snapshot_parse(w->snapshot.bytes.bytes, w->snapshot.bytes.n, &parsed, &map, NULL) <
	    0)
		return 0;
	map_unref(map);
	args->term = w->term;
	args->last_index = w->snapshot.index;
	args->last_term = w->snapshot.index_term;
	args->conf_index = parsed.configuration_index;
	rv = decode_configuration(parsed.configuration.data, parsed.configuration.len, &args->conf);
	buf_fini(&parsed.configuration);
	if (rv != 0)
		return rv;
	args->data = (struct raft_buffer){raft_malloc(w->snapshot.bytes.n), w->snapshot.bytes.n};
	assert(args->data.base != NULL);
	memcpy(args->data.base, w->snapshot.bytes.bytes, args->data.len);
	message.server_id = w->from;
	message.server_address = w->address;
	return step(c, &event);
}

static int receive_small(struct meta_core *c, const struct meta_wire *w)
{
	struct raft_message message = {.server_id = w->from, .server_address = w->address};
	struct raft_event event = {.type = RAFT_RECEIVE, .receive.message = &message};

	switch (w->type) {
	case WIRE_APPEND_RESULT:
		if (meta_lost_its_log(c->meta, w))
			return 0;
		message.type = RAFT_APPEND_ENTRIES_RESULT;
		message.append_entries_result.version = 2;
		message.append_entries_result.term = w->term;
		message.append_entries_result.rejected = w->append_result.rejected;
		message.append_entries_result.last_log_index = w->append_result.last_index;
		break;
	case WIRE_VOTE:
		message.type = RAFT_REQUEST_VOTE;
		message.request_vote =
			(struct raft_request_vote){.version = 2,
						   .term = w->term,
						   .candidate_id = w->vote.candidate,
						   .last_log_index = w->vote.last_index,
						   .last_log_term = w->vote.last_term,
						   .disrupt_leader = w->vote.disrupt,
						   .pre_vote = w->vote.pre};
		break;
	case WIRE_VOTE_RESULT:
		if (c->raft.state != RAFT_CANDIDATE)
			return 0;
		/* A granted pre-vote is for the term after ours, never beyond: else it is not an
		 * answer to us. */
		if (w->vote_result.granted && w->term > c->raft.current_term + 1)
			return 0;
		message.type = RAFT_REQUEST_VOTE_RESULT;
		message.request_vote_result.version = 2;
		message.request_vote_result.term = w->term;
		message.request_vote_result.vote_granted = w->vote_result.granted;
		message.request_vote_result.pre_vote = w->vote_result.pre;
		break;
	default:
		if (only_voter(&c->raft.configuration, c->raft.id))
			return 0; /* the timer does it, with a term of its own */
		message.type = RAFT_TIMEOUT_NOW;
		message.timeout_now.term = w->term;
		message.timeout_now.last_log_index = w->timeout_now.last_index;
		message.timeout_now.last_log_term = w->timeout_now.last_term;
		break;
	}
	return step(c, &event);
}

static const struct raft_server *server_of(const struct raft_configuration *conf, uint64_t id)
{
	for (unsigned i = 0; i < conf->n; i++) {
		if (conf->servers[i].id == id)
			return &conf->servers[i];
	}
	return NULL;
}

/* The library asks for the role of this server before it gives its vote. */
static int receive_vote(struct meta_core *c, const struct meta_wire *w)
{
	struct raft_server *own =
		(struct raft_server *)server_of(&c->raft.configuration, c->raft.id);
	int rv, role = own != NULL ? own->role : 0;

	if (own != NULL && !MUTANT(learner_never_votes))
		own->role = RAFT_VOTER;
	rv = receive_small(c, w);
	if (own != NULL)
		own->role = role;
	return rv;
}

/* Refused by one of a later term, before it has begun one of its own. */
static bool is_behind(const struct meta_core *c, const struct meta_wire *w)
{
	return w->type == WIRE_VOTE_RESULT && !w->vote_result.granted &&
	       c->raft.state == RAFT_CANDIDATE && c->raft.candidate_state.in_pre_vote &&
	       w->term > c->raft.current_term && !MUTANT(term_not_taken);
}

int core_receive(struct meta_core *c, const struct meta_wire *w, struct error *err)
{
	/* Its term comes with any request; one without a log gets no vote. */
	struct meta_wire request = {.type = WIRE_VOTE,
				    .term = w->term,
				    .from = w->from,
				    .address = w->address,
				    .vote.candidate = w->from};
	int rv;

	if (is_behind(c, w))
		w = &request;
	if (w->term == 0 || w->from == c->meta->options.self)
		return 0;
	if (w->type == WIRE_VOTE && w->vote.candidate != w->from)
		return 0;
	if (w->type == WIRE_APPEND)
		rv = receive_append(c, w);
	else if (w->type == WIRE_SNAPSHOT)
		rv = receive_snapshot(c, w);
	else if (w->type == WIRE_VOTE)
		rv = receive_vote(c, w);
	else
		rv = receive_small(c, w);
	return rv == 0 ? 0 : core_error(c, rv, "message", err);
}

/* ---- membership ---- */

static int check_change(const struct raft_configuration *conf, int change,
			const struct meta_voter *server, struct error *err)
{
	const struct raft_server *now = server_of(conf, server->id);

	if (change == -1) {
		if (now == NULL)
			return 1;
		if (only_voter(conf, server->id))
			return error_set(err, ERR_VALIDATION,
					 "node %llu is the last coordinator and cannot leave",
					 (unsigned long long)server->id);
		return 0;
	}
	if (change == 2) {
		if (now == NULL)
			return error_set(err, ERR_NOT_FOUND,
					 "node %llu is not a coordinator; add it first",
					 (unsigned long long)server->id);
		return now->role == RAFT_VOTER ? 1 : 0;
	}
	if (now != NULL && strcmp(now->address, server->address) == 0)
		return 1;
	for (unsigned i = 0; i < conf->n; i++) {
		if (conf->servers[i].id == server->id ||
		    strcmp(conf->servers[i].address, server->address) == 0)
			return error_set(err, ERR_EXISTS,
					 "coordinator %llu at %s is there already; remove it first",
					 conf->servers[i].id, conf->servers[i].address);
	}
	return 0;
}

int core_change(const struct meta_core *c, int change, const struct meta_voter *server,
		struct buf *out, struct error *err)
{
	const struct raft_configuration *now = &c->raft.configuration;
	struct raft_configuration next;
	struct raft_buffer encoded;
	int rv = 0, rc = check_change(now, change, server, err);

	if (rc != 0)
		return rc;
	raft_configuration_init(&next);
	for (unsigned i = 0; rv == 0 && i < now->n; i++) {
		const struct raft_server *s = &now->servers[i];
		int role = change == 2 && s->id == server->id ? RAFT_VOTER : s->role;

		if (change != -1 || s->id != server->id)
			rv = raft_configuration_add(&next, s->id, s->address, role);
	}
	if (rv == 0 && change == 1)
		rv = raft_configuration_add(&next, server->id, server->address, RAFT_STANDBY);
	if (rv == 0)
		rv = raft_configuration_encode(&next, &encoded);
	raft_configuration_close(&next);
	if (rv != 0)
		return error_set(err, ERR_INTERNAL, "new set of coordinators: %s",
				 raft_strerror(rv));
	buf_put(out, encoded.base, encoded.len);
	raft_free(encoded.base);
	return 0;
}

int core_catch_up_start(struct meta_core *c, uint64_t id, struct error *err)
{
	struct raft_event event = {.type = RAFT_CATCH_UP, .catch_up.server_id = id};

	if (c->raft.state != RAFT_LEADER || c->raft.configuration_uncommitted_index != 0 ||
	    c->raft.leader_state.promotee_id != 0 || server_of(&c->raft.configuration, id) == NULL)
		return error_set(err, ERR_BUSY, "another change of the coordinators is under way");
	return run(c, &event, 0, "catching up", err);
}

int core_catch_up_state(const struct meta_core *c, uint64_t id)
{
	int status;

	if (raft_catch_up(&c->raft, id, &status) != 0)
		return -1;
	return status == RAFT_CATCH_UP_RUNNING ? 0 : status == RAFT_CATCH_UP_FINISHED ? 1 : -1;
}

int core_bootstrap(const struct meta_options *o, struct buf *out, struct error *err)
{
	struct raft_configuration conf;
	struct raft_buffer encoded;
	uint64_t last = 0;
	int rv = 0;

	raft_configuration_init(&conf);
	/* In the order of ids, so that every node writes the same first entry. */
	for (size_t done = 0; rv == 0 && done < o->n_bootstrap; done++) {
		const struct meta_voter *next = NULL;

		for (size_t i = 0; i < o->n_bootstrap; i++) {
			const struct meta_voter *v = &o->bootstrap[i];

			if (v->id > last && (next == NULL || v->id < next->id))
				next = v;
		}
		rv = next == NULL
			     ? RAFT_DUPLICATEID
			     : raft_configuration_add(&conf, next->id, next->address, RAFT_VOTER);
		last = next == NULL ? last : next->id;
	}
	if (rv == 0)
		rv = raft_configuration_encode(&conf, &encoded);
	raft_configuration_close(&conf);
	if (rv != 0)
		return error_set(err, ERR_INPUT, "first coordinators: %s", raft_strerror(rv));
	buf_put(out, encoded.base, encoded.len);
	raft_free(encoded.base);
	return 0;
}

/* ---- what it knows ---- */

bool core_is_leader(const struct meta_core *c)
{
	return c->raft.state == RAFT_LEADER;
}

uint64_t core_leader(const struct meta_core *c)
{
	if (c->raft.state == RAFT_LEADER)
		return c->raft.id;
	return c->raft.state == RAFT_FOLLOWER ? c->raft.follower_state.current_leader.id : 0;
}

uint64_t core_term(const struct meta_core *c)
{
	return raft_current_term(&c->raft);
}

uint64_t core_vote(const struct meta_core *c)
{
	return raft_voted_for(&c->raft);
}

uint64_t core_commit(const struct meta_core *c)
{
	return raft_commit_index(&c->raft);
}

uint64_t core_stored(const struct meta_core *c)
{
	return c->raft.last_stored;
}

uint64_t core_next_timeout_us(const struct meta_core *c)
{
	return raft_timeout(&c->raft) * 1000;
}

bool core_match(const struct meta_core *c, uint64_t id, uint64_t *index)
{
	raft_index match;

	if (raft_match_index(&c->raft, id, &match) != 0)
		return false;
	*index = match;
	return true;
}

bool core_member(const struct meta_core *c, size_t i, struct meta_member *out)
{
	const struct raft_server *s;

	if (i >= c->raft.configuration.n)
		return false;
	s = &c->raft.configuration.servers[i];
	*out = (struct meta_member){s->id, s->address, s->role == RAFT_VOTER};
	return true;
}

const char *core_address_of(const struct meta_core *c, uint64_t id)
{
	const struct raft_server *s = server_of(&c->raft.configuration, id);

	if (s != NULL)
		return s->address;
	if (c->raft.state == RAFT_FOLLOWER && c->raft.follower_state.current_leader.id == id &&
	    c->raft.follower_state.current_leader.address != NULL)
		return c->raft.follower_state.current_leader.address;
	return "";
}
