/* Searches: what a coordinator does with its map, in the steps of coordinator/race.c. One copy of each partition is
 * asked; the next one when that fails or is slow; when none is left, all again after a pause, until time is up. */
#include "base/memory.h"
#include "tests/sim/sim.h"
#include <string.h>

enum { PATIENCE_US = 5000000, SLOW_US = 250000, PAUSE_US = 100000, OPEN_MAX = 3 };

static void close_search(struct sim *s, struct search *q)
{
	q->open = false;
	s->open_searches--;
}

static void fail_part(struct sim *s, struct search *q)
{
	close_search(s, q);
	s->stats.unanswered++;
	if (s->now_us > s->quiet_us + s->patience_us)
		violation(s, "resumes", "a search at node %u is not answered", q->node);
}

static bool is_over(struct sim *s, const struct search *q)
{
	const struct node *n = &s->nodes[q->node];

	return !q->open || !n->up || n->life != q->life;
}

/* Those that a crash has ended. */
static void drop_ended(struct sim *s)
{
	for (uint64_t i = s->n_searches > 100 ? s->n_searches - 100 : 0; i < s->n_searches; i++)
		if (s->searches[i].open && is_over(s, &s->searches[i]))
			close_search(s, &s->searches[i]);
}

static uint64_t new_try(struct sim *s, uint64_t search, uint32_t part, uint64_t to)
{
	s->tries = room(s->tries, s->n_tries, &s->cap_tries, sizeof *s->tries);
	s->tries[s->n_tries] = (struct read_try){
		.search = search, .began_us = s->now_us, .part = part, .to = to, .open = true};
	return s->n_tries++;
}

static void send_next(struct sim *s, uint64_t search, uint32_t part)
{
	struct search *q = &s->searches[search];
	struct node *n = &s->nodes[q->node];
	struct route_avoid *tried = &q->parts[part].tried;
	uint64_t to = route_pick(&n->route, n->control.map, map_config(n->control.map, part), tried,
				 local_us(s, n));
	uint64_t number;
	struct msg *m;

	if (to != 0) {
		tried->nodes[tried->n++] = to;
		q->parts[part].open++;
		number = new_try(s, search, part, to);
		route_began(&n->route, to);
		m = msg_new(MSG_READ, q->node, (uint32_t)to, part);
		m->call = number;
		if (s->first_try == number)
			later(s, SLOW_US, (struct event){.kind = EV_READS_OVER});
		net_send(s, m);
	} else if (q->parts[part].open == 0 && s->now_us < q->began_us + PATIENCE_US) {
		later(s, PAUSE_US,
		      (struct event){
			      .kind = EV_SEARCH_AGAIN, .node = q->node, .a = search, .b = part});
	} else if (q->parts[part].open == 0) {
		fail_part(s, q);
	}
}

void search_again(struct sim *s, uint64_t search, uint32_t part)
{
	struct search *q = &s->searches[search];

	if (is_over(s, q) || q->parts[part].answered)
		return;
	q->parts[part].tried.n = 0;
	send_next(s, search, part);
}

void search_next(struct sim *s)
{
	struct node *n = any_up(s);
	uint64_t number = s->n_searches;
	struct search *q;

	later(s, between(s, 50000, s->think_us + 500000), (struct event){.kind = EV_SEARCH});
	if (s->open_searches >= OPEN_MAX)
		drop_ended(s);
	if (s->open_searches >= OPEN_MAX || !n || n->paused_until_us > s->now_us ||
	    !map_config(n->control.map, 0))
		return;
	s->searches = room(s->searches, number, &s->cap_searches, sizeof *s->searches);
	q = &s->searches[s->n_searches++];
	s->open_searches++;
	*q = (struct search){.open = true,
			     .node = n->id,
			     .life = n->life,
			     .began_us = s->now_us,
			     .left = s->n_parts};
	for (uint32_t p = 0; p < s->n_parts; p++)
		q->parts[p].floor = s->parts[p].acked_seq;
	for (uint32_t p = 0; p < s->n_parts; p++)
		send_next(s, number, p);
}

/* At the replica. */
void search_read(struct sim *s, struct node *n, const struct msg *m)
{
	struct rep *r = &n->reps[m->part];
	struct msg *back = msg_new(MSG_READ_BACK, n->id, m->from, m->part);

	back->call = m->call;
	if (!r->open || replica_serves_until(&r->machine) <= local_us(s, n)) {
		back->rc = ERR_UNAVAILABLE;
	} else {
		back->seq = r->now.seq;
		back->in_gap = check_in_gap(s, r);
		memcpy(back->values, r->now.values, sizeof back->values);
	}
	net_send(s, back);
}

static void try_over(struct sim *s, struct read_try *t, bool failed)
{
	struct search *q = &s->searches[t->search];

	if (!t->open)
		return;
	t->open = false;
	q->parts[t->part].open--;
	if (!is_over(s, q))
		route_ended(&s->nodes[q->node].route, t->to, s->now_us - t->began_us, failed,
			    local_us(s, &s->nodes[q->node]));
}

void search_over(struct sim *s, uint64_t read_try)
{
	struct read_try *t = &s->tries[read_try];
	struct search *q = &s->searches[t->search];

	if (!t->open)
		return;
	try_over(s, t, true);
	if (!is_over(s, q) && !q->parts[t->part].answered)
		send_next(s, t->search, t->part);
}

/* One timer for all, as each takes the same time: it goes on to the first that is still open. */
void search_sweep(struct sim *s)
{
	for (; s->first_try < s->n_tries; s->first_try++) {
		const struct read_try *t = &s->tries[s->first_try];

		if (!t->open)
			continue;
		if (t->began_us + SLOW_US > s->now_us) {
			later(s, t->began_us + SLOW_US - s->now_us,
			      (struct event){.kind = EV_READS_OVER});
			return;
		}
		later(s, 0,
		      (struct event){.kind = EV_READ_OVER,
				     .node = s->searches[t->search].node,
				     .a = s->first_try});
	}
}

void search_back(struct sim *s, const struct msg *m)
{
	struct read_try *t = &s->tries[m->call];
	struct search *q = &s->searches[t->search];
	bool was_open = t->open;

	try_over(s, t, false);
	if (is_over(s, q) || q->parts[t->part].answered)
		return;
	if (m->rc != 0) {
		if (was_open)
			send_next(s, t->search, t->part);
		return;
	}
	check_found(s, m, q->parts[t->part].floor, t);
	q->parts[t->part].answered = true;
	if (--q->left > 0)
		return;
	close_search(s, q);
	s->stats.searches++;
}
