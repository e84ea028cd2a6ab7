/* What must hold, by the names of docs/replication.md. */
#include "base/hash.h"
#include "base/memory.h"
#include "tests/sim/sim.h"
#include <string.h>

uint64_t content_of(const uint64_t *values)
{
	return hash64(values, SIM_IDS * sizeof *values);
}

static struct committed *at_seq(struct part *p, uint64_t seq)
{
	uint64_t cap = p->cap ? p->cap : 1024;

	while (cap <= seq)
		cap *= 2;
	if (cap > p->cap) {
		p->history = mem_resize(p->history, cap * sizeof *p->history);
		memset(p->history + p->cap, 0, (cap - p->cap) * sizeof *p->history);
		p->cap = cap;
	}
	return &p->history[seq];
}

static const struct entry *log_entry(const struct disk *d, uint64_t seq)
{
	return seq >= d->first && seq < d->first + d->n ? &d->log[seq - d->first] : NULL;
}

/* one_committer: in an epoch only one replica decides what is committed. */
static void check_committer(struct sim *s, struct rep *r)
{
	struct part *p = &s->parts[r->part];
	uint64_t epoch = r->machine.epoch, n = p->n_epochs ? p->n_epochs : 64;

	while (n <= epoch)
		n *= 2;
	if (n > p->n_epochs) {
		p->committer = mem_resize(p->committer, n * sizeof *p->committer);
		memset(p->committer + p->n_epochs, 0, (n - p->n_epochs) * sizeof *p->committer);
		p->n_epochs = n;
	}
	if (p->committer[epoch] && p->committer[epoch] != r->node)
		violation(s, "one_committer", "nodes %llu and %u in epoch %llu of partition %u",
			  (unsigned long long)p->committer[epoch], r->node,
			  (unsigned long long)epoch, r->part);
	p->committer[epoch] = r->node;
}

/* The clients' operations alone, one after the other as they were committed: does the log say the same? */
static void check_oracle(struct sim *s, struct part *p, const struct entry *e)
{
	const struct sim_op *op = &s->ops[e->op];
	uint32_t ids = 0;

	if (e->seq != p->oracle_seq + 1)
		return;
	p->oracle_seq = e->seq;
	for (uint32_t id = 0; id < SIM_IDS; id++) {
		bool there = p->oracle[id] != 0;

		if (op->kind == SIM_REMOVE_COLOUR
			    ? there && colour_of(p->oracle[id]) == op->id
			    : op->id == id && (there || op->kind != SIM_UPDATE))
			ids |= 1u << id;
	}
	if (ids != e->ids)
		violation(s, "resolves", "op %llu is about %x at %llu, its entry about %x",
			  (unsigned long long)e->op, ids, (unsigned long long)e->seq, e->ids);
	for (uint32_t id = 0; id < SIM_IDS; id++)
		if (ids & 1u << id)
			p->oracle[id] = op->kind == SIM_PUT || op->kind == SIM_UPDATE ? e->op : 0;
	at_seq(p, e->seq)->content = content_of(p->oracle);
}

/* prefix_agree: what is committed at a seq is the same everywhere; and a batch is committed once. */
static void check_entry(struct sim *s, struct rep *r, uint64_t seq)
{
	const struct entry *e = log_entry(&r->disk, seq);
	struct committed *c = at_seq(&s->parts[r->part], seq);
	struct sim_op *op;

	if (!e)
		violation(s, "prefix_agree", "node %u commits %llu, which is not in its log",
			  r->node, (unsigned long long)seq);
	if (c->op && (c->op != e->op || c->epoch != e->epoch))
		violation(s, "prefix_agree",
			  "node %u commits op %llu of epoch %llu at %llu, it was op %llu of %llu",
			  r->node, (unsigned long long)e->op, (unsigned long long)e->epoch,
			  (unsigned long long)seq, (unsigned long long)c->op,
			  (unsigned long long)c->epoch);
	c->op = e->op;
	c->epoch = e->epoch;
	check_oracle(s, &s->parts[r->part], e);
	op = &s->ops[e->op];
	if (op->seq && op->seq != seq)
		violation(s, "applied_once", "op %llu is committed at %llu and at %llu",
			  (unsigned long long)e->op, (unsigned long long)op->seq,
			  (unsigned long long)seq);
	op->seq = seq;
	if (op->fate == FATE_REFUSED)
		violation(s, "refused_absent", "op %llu was refused", (unsigned long long)e->op);
}

/* ---- who holds what ---- */

static bool holds(struct sim *s, const struct rep *r, uint64_t seq)
{
	const struct disk *d = &r->disk;
	const struct entry *e = log_entry(d, seq);
	const struct committed *c = at_seq(&s->parts[r->part], seq);

	if (d->manifest.seq >= seq)
		return true;
	return e && d->synced_seq >= seq && e->op == c->op && e->epoch == c->epoch;
}

static bool corrupt(const struct rep *r)
{
	return r->now.corrupt || r->disk.manifest.corrupt || r->disk.wiped;
}

static void check_members_hold(struct sim *s, const char *name, uint32_t part, uint64_t from,
			       uint64_t to)
{
	const struct map_partition *c = newest_config(s, part);

	for (uint32_t i = 0; i < c->n_in_sync; i++) {
		const struct rep *r = &s->nodes[c->in_sync[i]].reps[part];

		for (uint64_t seq = from; seq <= to; seq++)
			if (!corrupt(r) && !holds(s, r, seq))
				violation(
					s, "ack_durable",
					"node %u is in sync at epoch %llu and does not hold %llu of partition %u",
					r->node, (unsigned long long)c->epoch,
					(unsigned long long)seq, part);
	}
}

void check_committed(struct sim *s, struct rep *r)
{
	const struct replica *m = &r->machine;

	if (m->epoch < r->checked_epoch)
		violation(s, "epoch_monotonic", "node %u went back to epoch %llu", r->node,
			  (unsigned long long)m->epoch);
	r->checked_epoch = m->epoch;
	if (m->commit_seq < r->checked_commit)
		violation(s, "no_commit_truncate", "node %u: the commit position went back",
			  r->node);
	if (m->commit_seq == r->checked_commit)
		return;
	if (replica_role(m) == REPLICA_PRIMARY) {
		check_committer(s, r);
		if (m->stored_epoch < m->epoch || r->disk.epoch < m->epoch)
			violation(s, "epoch_monotonic",
				  "node %u commits in epoch %llu, %llu is stored", r->node,
				  (unsigned long long)m->epoch, (unsigned long long)r->disk.epoch);
	}
	for (uint64_t seq = r->checked_commit + 1; seq <= m->commit_seq; seq++)
		check_entry(s, r, seq);
	/* Committed is what every member of the set has, unless this one's time is over and it does not know. */
	if (replica_role(m) == REPLICA_PRIMARY && newest_config(s, r->part)->epoch == m->epoch)
		check_members_hold(s, "commit_durable", r->part, r->checked_commit + 1,
				   m->commit_seq);
	r->checked_commit = m->commit_seq;
	if (r->disk.commit_max < m->commit_seq)
		r->disk.commit_max = m->commit_seq;
}

/* Is it in sync, and something acknowledged that it must hold? */
bool check_counted_on(const struct sim *s, const struct rep *r)
{
	const struct map_partition *c = newest_config(s, r->part);

	return c && map_among(c->in_sync, c->n_in_sync, r->node) && s->parts[r->part].acked_seq > 0;
}

void check_taken_away(struct sim *s, const struct rep *r)
{
	if (r->disk.exists && !r->disk.wiped && check_counted_on(s, r))
		violation(s, "ack_durable",
			  "node %u is in sync and takes its folder of partition %u away", r->node,
			  r->part);
}

void check_applied(struct sim *s, struct rep *r, const struct entry *e)
{
	const struct committed *c = at_seq(&s->parts[r->part], e->seq);

	if (e->seq != r->now.seq + 1 || c->op != e->op || c->epoch != e->epoch)
		violation(s, "prefix_agree",
			  "node %u applies op %llu at %llu, op %llu is committed there", r->node,
			  (unsigned long long)e->op, (unsigned long long)e->seq,
			  (unsigned long long)c->op);
}

void check_truncate(struct sim *s, struct rep *r, uint64_t after)
{
	s->stats.truncations++;
	trace(s, "n%u/%u truncates its log after %llu", r->node, r->part,
	      (unsigned long long)after);
	if (after < r->disk.commit_max)
		violation(s, "no_commit_truncate", "node %u cuts after %llu, %llu was committed",
			  r->node, (unsigned long long)after,
			  (unsigned long long)r->disk.commit_max);
	for (uint64_t seq = after + 1; log_entry(&r->disk, seq); seq++) {
		const struct entry *e = log_entry(&r->disk, seq);
		const struct committed *c = at_seq(&s->parts[r->part], seq);

		if (c->op == e->op && c->epoch == e->epoch)
			violation(s, "no_commit_truncate",
				  "node %u cuts %llu, which is committed elsewhere", r->node,
				  (unsigned long long)seq);
	}
}

/* May answer reads even without the contact lease, which has a known gap. */
static bool serves_strictly(struct sim *s, const struct rep *r)
{
	struct replica copy = r->machine;

	copy.contact_us = 0;
	return replica_serves_until(&copy) > local_us(s, &s->nodes[r->node]);
}

bool check_in_gap(struct sim *s, const struct rep *r)
{
	return !serves_strictly(s, r) &&
	       replica_serves_until(&r->machine) > local_us(s, &s->nodes[r->node]);
}

static void check_fresh(struct sim *s, const struct rep *r, const char *what)
{
	if (r->now.seq >= s->parts[r->part].acked_seq)
		return;
	if (check_in_gap(s, r)) {
		s->stats.residual++;
		return;
	}
	violation(s, "read_fresh", "node %u %s at %llu, %llu is acknowledged in partition %u",
		  r->node, what, (unsigned long long)r->now.seq,
		  (unsigned long long)s->parts[r->part].acked_seq, r->part);
}

void check_answer(struct sim *s, struct rep *r, const struct entry *e, uint64_t seq, bool nothing)
{
	struct part *p = &s->parts[r->part];
	uint64_t calm = s->now_us - s->quiet_us;

	s->stats.acked++;
	if (s->now_us > s->quiet_us && p->acked_us < s->quiet_us && calm > s->stats.resume_max_us)
		s->stats.resume_max_us = calm;
	p->acked_us = s->now_us;
	if (nothing) {
		check_fresh(s, r, "answers a write without effect");
		return;
	}
	if (at_seq(p, seq)->op != e->op)
		violation(s, "ack_durable", "op %llu is answered with seq %llu, which is op %llu's",
			  (unsigned long long)e->op, (unsigned long long)seq,
			  (unsigned long long)at_seq(p, seq)->op);
	if (s->ops[e->op].fate == FATE_REFUSED)
		violation(s, "refused_absent", "op %llu was refused", (unsigned long long)e->op);
	check_members_hold(s, "ack_durable", r->part, seq, seq);
	if (seq > p->acked_seq)
		p->acked_seq = seq;
}

/* ---- reads ---- */

static void check_read(struct sim *s, const struct rep *r)
{
	const struct node *n = &s->nodes[r->node];
	const struct map_partition *c;
	bool found = false;

	if (!n->up || !r->open || n->paused_until_us > s->now_us ||
	    replica_serves_until(&r->machine) <= local_us(s, n))
		return;
	s->stats.reads++;
	c = map_config(n->control.map, r->part);
	if (c && c->epoch == r->machine.epoch) {
		for (uint32_t k = 0; k < c->n_in_sync; k++)
			found |= c->in_sync[k] == n->id;
		if (!found)
			violation(s, "learner_hidden", "node %u answers reads of partition %u",
				  n->id, r->part);
	}
	check_fresh(s, r, "answers reads");
}

/* What a replica would answer can become wrong by its own step, or when a write is acknowledged: time alone only ends its
 * lease. So the others are looked at only when something was acknowledged. */
void check_reads(struct sim *s, const struct rep *stepped)
{
	struct part *p = &s->parts[stepped->part];

	if (p->read_seq == p->acked_seq) {
		check_read(s, stepped);
		return;
	}
	p->read_seq = p->acked_seq;
	for (uint32_t i = 1; i <= s->n_nodes; i++)
		check_read(s, &s->nodes[i].reps[stepped->part]);
}

/* answer_complete: what a search found in a partition is what all acknowledged writes have made of it. */
void check_found(struct sim *s, const struct msg *m, uint64_t floor, const struct read_try *t)
{
	struct part *p = &s->parts[t->part];

	if (m->seq < floor && m->in_gap) {
		s->stats.residual++;
		return;
	}
	if (m->seq < floor)
		violation(s, "answer_complete",
			  "a search found partition %u of node %u at %llu, %llu was acknowledged",
			  t->part, m->from, (unsigned long long)m->seq, (unsigned long long)floor);
	if (m->seq > p->oracle_seq)
		violation(s, "answer_complete", "a search found %llu, which is not committed",
			  (unsigned long long)m->seq);
	if (m->seq > 0 && at_seq(p, m->seq)->content != content_of(m->values))
		violation(s, "answer_complete",
			  "a search found other points in partition %u of node %u at %llu", t->part,
			  m->from, (unsigned long long)m->seq);
}

/* ---- the map ---- */

/* What was lost does not count any more once the set is without it. */
static void forget_wiped(struct sim *s, uint32_t part, const struct map_partition *c)
{
	for (uint32_t n = 1; n <= s->n_nodes; n++) {
		bool in_sync = false;

		for (uint32_t i = 0; i < c->n_in_sync; i++)
			in_sync |= c->in_sync[i] == n;
		if (!in_sync)
			s->nodes[n].reps[part].disk.wiped = false;
	}
}

static bool is_corrupt(const struct rep *r)
{
	return r->now.corrupt || r->disk.manifest.corrupt;
}

void check_map(struct sim *s, const struct map *before, const struct map *now)
{
	for (uint32_t p = 0; p < s->n_parts && map_config(now, p); p++) {
		const struct map_partition *c = map_config(now, p), *old = map_config(before, p);
		bool found = false;

		if (old && c->epoch < old->epoch)
			violation(s, "epoch_monotonic", "partition %u in the map", p);
		if (old && c->epoch == old->epoch)
			continue;
		s->stats.epochs++;
		forget_wiped(s, p, c);
		if (is_corrupt(&s->nodes[c->primary].reps[p]))
			s->parts[p].tainted = true; /* nobody saw it in time: it is the truth now */
		for (uint32_t i = 0; i < c->n_in_sync; i++)
			found |= c->in_sync[i] == c->primary;
		if (!found)
			violation(s, "isr_sound", "partition %u: the primary is not in sync", p);
		trace(s,
		      "map %llu: partition %u epoch %llu primary n%llu, %u in sync (%llu %llu %llu), %u learners (%llu)",
		      (unsigned long long)now->index, p, (unsigned long long)c->epoch,
		      (unsigned long long)c->primary, c->n_in_sync,
		      (unsigned long long)c->in_sync[0], (unsigned long long)c->in_sync[1],
		      (unsigned long long)c->in_sync[2], c->n_learners,
		      (unsigned long long)c->learners[0]);
		check_members_hold(s, "ack_durable", p, 1, s->parts[p].acked_seq);
	}
}

/* ---- the end: everything is well again ---- */

static void check_part_end(struct sim *s, uint32_t p)
{
	const struct map_partition *c = newest_config(s, p);
	uint32_t alive = 0, wanted;
	const struct rep *primary = &s->nodes[c->primary].reps[p];

	for (uint32_t i = 1; i <= s->n_nodes; i++)
		alive += s->nodes[i].exists && !s->nodes[i].gone;
	wanted = s->factor < alive ? s->factor : alive;

	if (s->parts[p].acked_us < s->quiet_us)
		violation(s, "resumes", "partition %u takes no writes", p);
	if (c->n_in_sync != wanted || c->n_learners > 0)
		violation(s, "resumes", "partition %u has %u copies in sync and %u learners", p,
			  c->n_in_sync, c->n_learners);
	for (uint32_t i = 0; i < c->n_in_sync; i++) {
		const struct rep *r = &s->nodes[c->in_sync[i]].reps[p];

		if (!r->open ||
		    replica_serves_until(&r->machine) <= local_us(s, &s->nodes[r->node]))
			violation(s, "resumes", "node %u does not answer reads of partition %u",
				  r->node, p);
		if (r->now.seq != primary->now.seq ||
		    (!s->parts[p].tainted && r->now.digest != primary->now.digest))
			violation(s, "same_digest", "nodes %u and %u differ at the end", r->node,
				  primary->node);
	}
}

void check_end(struct sim *s)
{
	check_meta_end(s);
	if (!s->collection_id)
		violation(s, "resumes", "there is no collection");
	for (uint32_t p = 0; p < s->n_parts; p++)
		check_part_end(s, p);
	if (s->stats.resume_max_us > s->patience_us)
		violation(s, "resumes", "writes went on after %.1f s",
			  (double)s->stats.resume_max_us / 1e6);
	for (uint64_t i = 1; i < s->n_tokens; i++) {
		const struct token *t = &s->tokens[i];
		const struct rep *r = &s->nodes[t->node].reps[t->part];

		if (t->open && r->open && r->gen == t->gen && t->at_us + 30000000 < s->now_us)
			violation(s, "one_answer", "node %u never answered an append", t->node);
	}
}
