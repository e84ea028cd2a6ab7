/* Requests to the control plane: commands for the map, reads that must be current, changes of the
 * coordinators. Any node takes them; the leader carries them out.
 *
 * A request that was handed on is sent again until an answer comes, to whoever leads then. Commands
 * carry an id and the map applies each id once, so that this is safe. Without an id a command is
 * tried once, and a lost leader makes its result unknown.
 *
 * Reads (Raft dissertation, 6.4): the leader notes its commit index, asks the voters whether its
 * term still holds, and may answer when a majority said so *after* the question, and its own map
 * has reached the index. A new leader first waits for an entry of its own term.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "cluster/meta_internal.h"

#include <stdlib.h>
#include <string.h>

static const struct error OK;

/* ---- the list ---- */

static struct request *request_new(struct meta *m, enum request_kind kind, uint64_t timeout_us)
{
	struct requests *all = &m->requests;
	struct request *r = mem_zalloc(sizeof(*r));

	if (all->n == all->cap) {
		all->cap = all->cap == 0 ? 16 : all->cap * 2;
		all->items = mem_resize(all->items, all->cap * sizeof(struct request *));
	}
	all->items[all->n++] = r;
	r->kind = kind;
	r->number = all->next_number++;
	r->deadline_us = m->now_us + (timeout_us != 0 ? timeout_us : META_REQUEST_TIMEOUT_US);
	return r;
}

static void request_free(struct request *r)
{
	buf_fini(&r->bytes);
	free((char *)r->voter.address);
	free(r);
}

static void request_drop(struct requests *all, size_t at)
{
	request_free(all->items[at]);
	memmove(&all->items[at], &all->items[at + 1], (all->n - at - 1) * sizeof(struct request *));
	all->n--;
}

void requests_fini(struct requests *all)
{
	for (size_t i = 0; i < all->n; i++)
		request_free(all->items[i]);
	free(all->items);
	all->items = NULL;
	all->n = 0;
}

static void set_command(struct request *r, const void *bytes, size_t n)
{
	uint64_t hi = 0, lo = 0;

	buf_put(&r->bytes, bytes, n);
	r->repeatable = map_command_id(bytes, n, &hi, &lo) && (hi != 0 || lo != 0);
}

static void set_change(struct request *r, int change, uint64_t id, const char *address)
{
	r->change = change;
	r->voter.id = id;
	r->voter.address = mem_strdup(address != NULL ? address : "");
	r->repeatable = true;
}

int requests_add(struct meta *m, const struct meta_event *event)
{
	struct error err = {0};
	struct request *r;

	if (event->type == META_SUBMIT && event->n > META_COMMAND_LIMIT)
		error_set(&err, ERR_TOO_LARGE, "the definition is %zu bytes, the limit is %d",
			  event->n, META_COMMAND_LIMIT);
	if (event->type == META_CHANGE &&
	    (event->voter.id == 0 || event->change < -1 || event->change > 2 || event->change == 0))
		error_set(&err, ERR_INPUT, "a change of the coordinators needs a node and a kind");
	if (err.code != 0) {
		meta_result_add(m, event->tag, &err, 0);
		return 0;
	}
	switch (event->type) {
	case META_SUBMIT:
		r = request_new(m, REQUEST_COMMAND, event->timeout_us);
		set_command(r, event->bytes, event->n);
		break;
	case META_CHANGE:
		r = request_new(m, REQUEST_CHANGE, event->timeout_us);
		set_change(r, event->change, event->voter.id, event->voter.address);
		break;
	default:
		r = request_new(m, REQUEST_READ, event->timeout_us);
		r->repeatable = true;
		break;
	}
	r->tag = event->tag;
	return 0;
}

/* ---- answers ---- */

/* The request is done: `error` and the index are its answer. A local caller gets it when our map
 * holds the index; returns true when the request may be dropped. */
static bool answer(struct meta *m, struct request *r, const struct error *error, uint64_t index)
{
	if (r->origin == 0) {
		if (index <= m->applied || MUTANT(answered_early)) {
			meta_result_add(m, r->tag, error, index);
			return true;
		}
		r->error = *error;
		r->index = index;
		r->state = REQUEST_APPLYING;
		return false;
	}
	struct meta_wire w = {.type = WIRE_FORWARD_RESULT, .term = core_term(m->core)};

	w.forward_result.request = r->tag;
	w.forward_result.error = *error;
	w.forward_result.index = index;
	meta_send(m, r->origin, NULL, &w);
	return true;
}

static bool give_up(struct meta *m, struct request *r)
{
	struct error err = {0};
	uint64_t leader = core_leader(m->core);

	if (r->origin != 0)
		return true; /* who asked has a timer, too */
	if (r->exposed && r->kind != REQUEST_READ)
		error_set(&err, ERR_TIMEOUT,
			  "the result is unknown: the leader of the control plane did not confirm "
			  "in time; asking again is safe");
	else if (leader == 0)
		error_set(&err, ERR_UNAVAILABLE,
			  "the control plane has no leader now (are most of the coordinators "
			  "up?); nothing was changed");
	else
		error_set(&err, ERR_UNAVAILABLE,
			  "the leader of the control plane, node %llu, did not answer in time; "
			  "nothing was changed",
			  (unsigned long long)leader);
	meta_result_add(m, r->tag, &err, 0);
	return true;
}

/* All was in vain, for now: begin anew when that can do no harm. Returns true when to be dropped. */
static bool again(struct meta *m, struct request *r)
{
	if (r->origin != 0)
		return true; /* it comes again, to the next leader */
	if (r->exposed && !r->repeatable)
		return give_up(m, r);
	r->state = REQUEST_NEW;
	return false;
}

/* ---- reads ---- */

static void ask_voters(struct meta *m)
{
	struct meta_member member;
	struct meta_wire w = {.type = WIRE_READ, .term = core_term(m->core)};

	w.read_round = m->requests.round;
	for (size_t i = 0; core_member(m->core, i, &member); i++) {
		if (member.voter && member.id != m->options.self)
			meta_send(m, member.id, member.address, &w);
	}
	m->requests.asked_us = m->now_us;
	m->requests.asked |= MUTANT(asked_again_is_new);
}

static uint64_t ack_of(const struct requests *all, uint64_t id)
{
	for (size_t i = 0; i < all->n_acks; i++) {
		if (all->acks[i].id == id)
			return all->acks[i].round;
	}
	return 0;
}

static bool is_ack(uint64_t answered, uint64_t round)
{
	return MUTANT(read_round_kept) ? answered > 0 : answered >= round;
}

static bool confirmed(struct meta *m, uint64_t round)
{
	struct meta_member member;
	size_t voters = 0, yes = 0;

	for (size_t i = 0; core_member(m->core, i, &member); i++) {
		if (!member.voter)
			continue;
		voters++;
		yes += member.id == m->options.self ||
		       is_ack(ack_of(&m->requests, member.id), round);
	}
	return yes > voters / 2;
}

static void start_read(struct meta *m, struct request *r)
{
	uint64_t commit = core_commit(m->core);

	/* A round that is asked for once more is none of its own: it may have answers from before this read. */
	if (!m->requests.asked) {
		m->requests.asked = true;
		m->requests.round++;
		ask_voters(m);
	}
	r->round = m->requests.round;
	r->term = core_term(m->core);
	r->index = commit > m->leader_first || MUTANT(read_without_first) ? commit
									  : m->leader_first;
	r->state = REQUEST_READING;
}

static void receive_read_result(struct meta *m, const struct meta_wire *w)
{
	struct requests *all = &m->requests;

	if (!core_is_leader(m->core) || w->term != core_term(m->core) || w->read_round > all->round)
		return;
	for (size_t i = 0; i < all->n_acks; i++) {
		if (all->acks[i].id == w->from) {
			if (all->acks[i].round < w->read_round)
				all->acks[i].round = w->read_round;
			return;
		}
	}
	if (all->n_acks == META_ACKS)
		all->n_acks = 0; /* servers came and went; the question is asked again */
	all->acks[all->n_acks++] = (struct read_ack){w->from, w->read_round};
}

/* ---- handing on ---- */

static void forward(struct meta *m, struct request *r, uint64_t leader)
{
	struct meta_wire w = {.type = WIRE_FORWARD, .term = core_term(m->core)};

	w.forward.request = r->number;
	w.forward.kind = r->kind;
	w.forward.change = r->change;
	w.forward.voter = r->voter.id;
	w.forward.voter_address = r->voter.address;
	w.forward.command.bytes = r->bytes.data;
	w.forward.command.n = (uint32_t)r->bytes.len;
	meta_send(m, leader, NULL, &w);
	r->state = REQUEST_FORWARDED;
	r->exposed = !MUTANT(forward_not_exposed);
	r->sent_to = leader;
	r->sent_us = m->now_us;
}

static bool is_known(const struct requests *all, uint64_t origin, uint64_t tag)
{
	for (size_t i = 0; i < all->n; i++) {
		if (all->items[i]->origin == origin && all->items[i]->tag == tag)
			return true;
	}
	return false;
}

static void receive_forward(struct meta *m, const struct meta_wire *w)
{
	const struct wire_forward *f = &w->forward;
	struct request *r;

	if (!core_is_leader(m->core) || is_known(&m->requests, w->from, f->request) ||
	    f->command.n > META_COMMAND_LIMIT)
		return;
	r = request_new(m, f->kind, 0);
	r->origin = w->from;
	r->tag = f->request;
	if (f->kind == REQUEST_COMMAND)
		set_command(r, f->command.bytes, f->command.n);
	else if (f->kind == REQUEST_CHANGE)
		set_change(r, f->change, f->voter, f->voter_address);
}

static void receive_forward_result(struct meta *m, const struct meta_wire *w)
{
	struct requests *all = &m->requests;

	for (size_t i = 0; i < all->n; i++) {
		struct request *r = all->items[i];

		if (r->origin != 0 || r->number != w->forward_result.request ||
		    r->state == REQUEST_APPLYING)
			continue;
		if (answer(m, r, &w->forward_result.error, w->forward_result.index))
			request_drop(all, i);
		return;
	}
}

void requests_receive(struct meta *m, const struct meta_wire *w)
{
	struct meta_wire reply = {.type = WIRE_READ_RESULT, .term = core_term(m->core)};

	switch (w->type) {
	case WIRE_READ:
		/* Only while its term is ours: then no later leader had our vote before now. */
		if (MUTANT(read_any_term))
			reply.term = w->term;
		if (w->term == reply.term && !core_is_leader(m->core)) {
			reply.read_round = w->read_round;
			meta_send(m, w->from, w->address, &reply);
		}
		break;
	case WIRE_READ_RESULT: receive_read_result(m, w); break;
	case WIRE_FORWARD: receive_forward(m, w); break;
	case WIRE_FORWARD_RESULT: receive_forward_result(m, w); break;
	default: break;
	}
}

/* ---- carrying out, as leader ---- */

/* 1 = to be dropped, 0 = goes on, negative = the machine is broken. */
static int append(struct meta *m, struct request *r, uint16_t type, const struct buf *bytes,
		  struct error *err)
{
	struct error why = {0};
	int rc = core_submit(m->core, type, bytes->data, bytes->len, &why);

	if (rc == ERR_UNAVAILABLE || rc == ERR_BUSY)
		return 0; /* handing over to another leader, or another change: later */
	if (rc < 0) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	r->state = REQUEST_APPENDED;
	r->exposed = true;
	r->index = meta_log_last(&m->log);
	r->term = core_term(m->core);
	return 0;
}

static int change_now(struct meta *m, struct request *r, struct error *err)
{
	struct buf next = BUF_INIT;
	struct error why = {0};
	int rc = core_change(m->core, r->change, &r->voter, &next, &why);

	if (rc == 1)
		rc = answer(m, r, &OK, m->applied);
	else if (rc < 0)
		rc = answer(m, r, &why, m->applied);
	else
		rc = append(m, r, ENTRY_CONFIGURATION, &next, err);
	buf_fini(&next);
	return rc;
}

static uint64_t term_at(const struct meta *m, uint64_t index)
{
	const struct log_entry *e = meta_log_get(&m->log, index);

	if (e != NULL)
		return e->term;
	return index == m->snapshot.index ? m->snapshot.term : 0;
}

/* A leader may not change the servers before an entry of its own term is committed: else a change
 * that a leader before it began, and that it does not know of, could be committed by a majority
 * that has no server in common with its own (Ongaro's correction of single-server changes, 2015).
 * 1 = it may; 0 = an empty entry is on its way. */
static int may_change(struct meta *m, struct error *err)
{
	static const uint64_t nothing;
	struct error why = {0};
	int rc;

	if (term_at(m, core_commit(m->core)) == core_term(m->core) ||
	    MUTANT(change_before_own_term))
		return 1;
	if (term_at(m, meta_log_last(&m->log)) == core_term(m->core))
		return 0;
	rc = core_submit(m->core, ENTRY_BARRIER, &nothing, sizeof(nothing), &why);
	if (rc == 0 || rc == ERR_UNAVAILABLE)
		return 0;
	if (err != NULL)
		*err = why;
	return rc;
}

/* A leader does not remove itself: it hands the lead over, and the next leader removes it. Else,
 * restarted before the removal is committed, it would be needed for a majority and not know that it
 * may still vote. true: on its way. */
static bool lead_elsewhere(struct meta *m)
{
	struct error why = {0};

	return core_transfer(m->core, 0, &why) != ERR_NOT_FOUND;
}

static int start_change(struct meta *m, struct request *r, struct error *err)
{
	struct buf next = BUF_INIT;
	struct error why = {0};
	uint64_t match;
	int rc = may_change(m, err);

	if (rc <= 0)
		return rc;
	if (r->change == -1 && r->voter.id == m->options.self && !MUTANT(removes_itself) &&
	    lead_elsewhere(m))
		return 0;
	if (r->change != 2)
		return change_now(m, r, err);
	rc = core_change(m->core, r->change, &r->voter, &next, &why);
	buf_fini(&next);
	if (rc != 0)
		return answer(m, r, rc == 1 ? &OK : &why, m->applied);
	/* The library notices only progress, so it would wait for ever for one that is there. */
	if (core_match(m->core, r->voter.id, &match) && match == meta_log_last(&m->log))
		return change_now(m, r, err);
	rc = core_catch_up_start(m->core, r->voter.id, &why);
	if (rc == 0)
		r->state = REQUEST_CATCHING_UP;
	else if (rc != ERR_BUSY)
		return rc;
	return 0;
}

static int catching_up(struct meta *m, struct request *r, struct error *err)
{
	struct error why = {0};
	int state = core_catch_up_state(m->core, r->voter.id);

	if (state == 0)
		return 0;
	if (state > 0)
		return change_now(m, r, err);
	error_set(&why, ERR_TIMEOUT,
		  "node %llu did not catch up with the control plane's log; is it up and reachable "
		  "at %s?",
		  (unsigned long long)r->voter.id, core_address_of(m->core, r->voter.id));
	return answer(m, r, &why, m->applied);
}

static int start_here(struct meta *m, struct request *r, struct error *err)
{
	switch (r->kind) {
	case REQUEST_COMMAND: return append(m, r, ENTRY_COMMAND, &r->bytes, err);
	case REQUEST_CHANGE: return start_change(m, r, err);
	case REQUEST_READ: start_read(m, r); return 0;
	case REQUEST_KIND_COUNT: break;
	}
	return 1;
}

static bool lost_lead(const struct meta *m, const struct request *r)
{
	return !core_is_leader(m->core) || core_term(m->core) != r->term;
}

static int advance_new(struct meta *m, struct request *r, struct error *err)
{
	uint64_t leader = core_leader(m->core);

	if (core_is_leader(m->core))
		return start_here(m, r, err);
	if (r->origin != 0)
		return 1;
	if (leader != 0)
		forward(m, r, leader);
	return 0;
}

static int advance_forwarded(struct meta *m, struct request *r)
{
	uint64_t leader = core_leader(m->core);

	if (leader != 0 && leader != r->sent_to)
		return again(m, r);
	if (r->repeatable && leader != 0 && m->now_us - r->sent_us >= META_RESEND_US)
		forward(m, r, leader);
	return 0;
}

static int advance_reading(struct meta *m, struct request *r)
{
	if (lost_lead(m, r))
		return again(m, r);
	if (!confirmed(m, r->round) && !MUTANT(read_without_round)) {
		if (m->now_us - m->requests.asked_us >= META_RESEND_US)
			ask_voters(m);
		return 0;
	}
	return r->index <= m->applied ? answer(m, r, &OK, r->index) : 0;
}

static int advance(struct meta *m, struct request *r, struct error *err)
{
	switch (r->state) {
	case REQUEST_NEW: return advance_new(m, r, err);
	case REQUEST_FORWARDED: return advance_forwarded(m, r);
	/* A follower may yet see its entry committed; only another entry in its place, or the
	 * deadline, ends it. But who handed it on has asked the next leader by now. */
	case REQUEST_APPENDED:
		return core_is_leader(m->core) || (!r->repeatable && r->origin == 0) ? 0
										     : again(m, r);
	case REQUEST_READING: return advance_reading(m, r);
	case REQUEST_CATCHING_UP:
		return core_is_leader(m->core) ? catching_up(m, r, err) : again(m, r);
	case REQUEST_APPLYING:
		return r->index <= m->applied ? answer(m, r, &r->error, r->index) : 0;
	}
	return 0;
}

int requests_advance(struct meta *m, struct error *err)
{
	struct requests *all = &m->requests;

	for (size_t i = 0; i < all->n;) {
		struct request *r = all->items[i];
		enum request_state before = r->state;
		int rc = advance(m, r, err);

		if (rc < 0)
			return rc;
		if (rc == 0 && m->now_us >= r->deadline_us)
			rc = give_up(m, r);
		if (rc > 0)
			request_drop(all, i);
		else if (r->state == before)
			i++;
	}
	return 0;
}

void requests_applied(struct meta *m, uint64_t index, uint64_t term, const struct error *result)
{
	struct requests *all = &m->requests;

	for (size_t i = 0; i < all->n; i++) {
		struct request *r = all->items[i];
		bool drop;

		if (r->state != REQUEST_APPENDED || r->index != index)
			continue;
		if (r->term == term || MUTANT(entry_of_another))
			drop = answer(m, r, result != NULL ? result : &OK, index);
		else
			drop = again(m, r); /* another leader's entry took its place */
		if (drop)
			request_drop(all, i--);
	}
}

uint64_t requests_next_us(const struct meta *m)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < m->requests.n; i++) {
		const struct request *r = m->requests.items[i];
		uint64_t at = r->deadline_us;

		/* Without a leader, or a second try, there is nothing to send: a step comes with the next leader. */
		if (r->state == REQUEST_FORWARDED && r->repeatable && core_leader(m->core) != 0 &&
		    r->sent_us + META_RESEND_US < at)
			at = r->sent_us + META_RESEND_US;
		if (r->state == REQUEST_READING && m->requests.asked_us + META_RESEND_US < at)
			at = m->requests.asked_us + META_RESEND_US;
		if (at < next)
			next = at;
	}
	return next;
}
