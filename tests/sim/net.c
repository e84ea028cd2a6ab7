/* Messages: delayed, lost, doubled, overtaken, cut off. */
#include "base/memory.h"
#include "cluster/meta_wire.h"
#include "tests/sim/sim.h"
#include <stdlib.h>
#include <string.h>

enum { LATE_US = 6000000 };

static struct msg *spare; /* of those that were freed */

static struct msg *room_for_one(void)
{
	struct msg *m = spare;

	if (!m)
		return mem_alloc(sizeof *m);
	spare = m->next;
	return m;
}

struct msg *msg_new(enum msg_kind kind, uint32_t from, uint32_t to, uint32_t part)
{
	struct msg *m = room_for_one();

	memset(m, 0, offsetof(struct msg, reports));
	m->kind = kind;
	m->from = from;
	m->to = to;
	m->part = part;
	return m;
}

void msg_free(struct msg *m)
{
	if (!m)
		return;
	free(m->entries);
	buf_fini(&m->bytes);
	m->next = spare;
	spare = m;
}

static struct msg *copy(const struct msg *m)
{
	struct msg *c = room_for_one();

	*c = *m;
	c->entries = mem_array(m->n + 1, sizeof *c->entries);
	if (m->n)
		memcpy(c->entries, m->entries, m->n * sizeof *c->entries);
	c->bytes = BUF_INIT;
	if (m->bytes.len)
		buf_put(&c->bytes, m->bytes.data, m->bytes.len);
	return c;
}

static bool lost_control(const struct sim *s, const struct msg *m)
{
	if (m->kind == MSG_BEAT && s->now_us < s->nodes[m->part].unheard_until_us)
		return true;
	return (m->kind == MSG_META || m->kind == MSG_BEAT) && m->from != m->to &&
	       (s->mute[m->from] || s->mute[m->to]);
}

static uint64_t delay(struct sim *s)
{
	uint64_t us = 100 + prng_below(&s->prng, s->delay_us + 1);

	/* A second late is a fault, too: two in a row cost a member its place. */
	return !s->mended && chance(s, 0.002) ? us + prng_below(&s->prng, 3000000) : us;
}

/* Not what a connection carries once, and must: a command without an id is handed on once. */
static bool may_double(const struct msg *m)
{
	return m->kind != MSG_WRITE && !(m->kind == MSG_META && m->bytes.data[3] == WIRE_FORWARD);
}

void net_send(struct sim *s, struct msg *m)
{
	if (s->cut[m->from][m->to] || lost_control(s, m) || stress_lost(s, m) ||
	    history_lost(s, m) || (m->from != m->to && chance(s, s->loss))) {
		msg_free(m);
		return;
	}
	if (may_double(m) && chance(s, s->twice))
		later(s, s->late ? between(s, 0, LATE_US) : delay(s) * 3,
		      (struct event){.kind = EV_DELIVER, .node = m->to, .ptr = copy(m)});
	if (history_again(s, m))
		later(s, s->slow.us,
		      (struct event){.kind = EV_DELIVER, .node = m->to, .ptr = copy(m)});
	later(s, delay(s) + history_late_us(s, m),
	      (struct event){.kind = EV_DELIVER, .node = m->to, .ptr = m});
}

bool net_control(const struct sim *s, uint32_t a, uint32_t b)
{
	return net_linked(s, a, b) && !s->mute[a] && !s->mute[b];
}

bool net_linked(const struct sim *s, uint32_t a, uint32_t b)
{
	const struct node *x = &s->nodes[a], *y = &s->nodes[b];

	return x->up && y->up && x->paused_until_us <= s->now_us &&
	       y->paused_until_us <= s->now_us && !s->cut[a][b] && !s->cut[b][a];
}

/* Nobody listens: who called is told so. */
static void refused(struct sim *s, const struct msg *m)
{
	struct msg *back;

	if (m->kind == MSG_APPEND) {
		back = msg_new(MSG_APPENDED, m->to, m->from, m->part);
		back->call = m->call;
		back->rc = ERR_UNAVAILABLE;
		net_send(s, back);
	} else if (m->kind == MSG_WRITE) {
		back = msg_new(MSG_WRITTEN, m->to, m->from, m->part);
		back->attempt = m->attempt;
		back->rc = ERR_UNAVAILABLE;
		net_send(s, back);
	} else if (m->kind == MSG_READ) {
		back = msg_new(MSG_READ_BACK, m->to, m->from, m->part);
		back->call = m->call;
		back->rc = ERR_UNAVAILABLE;
		net_send(s, back);
	}
}

void net_deliver(struct sim *s, struct msg *m)
{
	struct node *n = m->to ? &s->nodes[m->to] : NULL;

	if (s->cut[m->from][m->to] ||
	    (m->kind == MSG_BEAT && m->said_us < s->nodes[m->part].wiped_us)) {
		msg_free(m);
		return;
	}
	if (n && !n->up) {
		refused(s, m);
		msg_free(m);
		return;
	}
	switch (m->kind) {
	case MSG_APPEND: rep_append(s, &n->reps[m->part], m); break;
	case MSG_APPENDED: call_over(s, m->call, m); break;
	case MSG_WRITE: rep_write(s, &n->reps[m->part], m); break;
	case MSG_WRITTEN: client_answer(s, m->attempt, m->rc, m->seq); break;
	case MSG_READ: search_read(s, n, m); break;
	case MSG_READ_BACK: search_back(s, m); break;
	case MSG_META: control_message(s, n, m); break;
	case MSG_BEAT: member_beat(s, n, m); break;
	case MSG_KINDS: break;
	}
	msg_free(m);
}
