/* Writes: split by partition, sent to the primaries in the order given, acknowledged when all parts are durable and applied. In a cluster each
 * of several waits for the one before: a part that must be sent again would otherwise come after a later one of the same point.
 *
 * A part that a primary refused leaves nothing behind there; the parts of other partitions stand. The error then names the
 * partition and the ids that were refused, so that the caller can send exactly those again. */
#include "coordinator/internal.h"
#include "base/assert.h"
#include "base/hash.h"
#include "model/element.h"
#include <stdio.h>
#include <string.h>

struct write_run {
	struct round round;
	struct coord_write *request;
	uint64_t started_us;
	uint32_t next; /* the first write that was not sent */
	bool in_turn;  /* one write a round */
	int rc;        /* of the first call that failed */
};

/* Vectors as they are stored: normalised, rounded to the type of their space. */
static void prepare_points(const struct collection *c, const struct op *op)
{
	for (uint32_t i = 0; i < op->n_points; i++) {
		for (uint32_t v = 0; v < op->points[i].n_vectors; v++) {
			struct vector *vec = &op->points[i].vectors[v];
			if (vec->kind == VECTOR_DENSE)
				space_stored(&c->spaces[vec->space], (float *)vec->values);
		}
	}
}

/* The part of a write that concerns one partition; false when there is none. */
static bool write_part(struct round *r, const struct write *w, const uint32_t *owners,
		       uint32_t partition, struct write *part)
{
	struct arena *arena = r->call->arena;
	*part = *w;
	if (w->select != NULL || w->op.type == OP_NOOP)
		return w->select != NULL;
	part->op.n_points = 0;
	part->op.n_ids = 0;
	if (w->op.n_points > 0)
		part->op.points = arena_alloc(arena, w->op.n_points * sizeof(*part->op.points));
	if (w->op.n_ids > 0)
		part->op.ids = arena_alloc(arena, w->op.n_ids * sizeof(*part->op.ids));
	for (uint32_t i = 0; i < w->op.n_points; i++)
		if (owners[i] == partition)
			part->op.points[part->op.n_points++] = w->op.points[i];
	for (uint32_t i = 0; i < w->op.n_ids; i++)
		if (owners[i] == partition)
			part->op.ids[part->op.n_ids++] = w->op.ids[i];
	return part->op.n_points + part->op.n_ids > 0;
}

/* In a cluster a write may be sent again when its primary is lost: it must not count twice. */
static void name_batch(struct coord *c, struct coord_write *w)
{
	uint64_t seed[3] = {c->options.self_node, atomic_fetch_add(&c->batches, LIMIT_BATCH_POINTS),
			    c->started_wall_us};
	w->batch_hi = hash64(seed, sizeof(seed));
	w->batch_lo = seed[1] + 1;
}

static void add_write(struct write_run *run, uint32_t position)
{
	struct round *r = &run->round;
	struct arena *arena = r->call->arena;
	struct write *w = &run->request->writes[position];
	uint32_t n_partitions = r->placed->collection->n_partitions;
	uint32_t n = w->op.n_points ? w->op.n_points : w->op.n_ids;
	uint32_t *owners = arena_alloc(arena, (n + 1) * sizeof(*owners));
	prepare_points(r->placed->collection, &w->op);
	for (uint32_t i = 0; i < n; i++)
		owners[i] =
			map_route(r->placed, w->op.n_points ? &w->op.points[i].id : &w->op.ids[i]);
	for (uint32_t p = 0; p < n_partitions; p++) {
		struct rpc_write_request *q = arena_alloc(arena, sizeof(*q));
		struct write *part = arena_alloc(arena, sizeof(*part));
		if (n_partitions == 1)
			*part = *w;
		else if (!write_part(r, w, owners, p, part))
			continue;
		part->op.batch_hi = run->request->batch_hi;
		part->op.batch_lo = run->request->batch_lo ? run->request->batch_lo + position : 0;
		*q = (struct rpc_write_request){round_target(r, p), part};
		round_add(r, RPC_TYPE_write, p, q)->tag = position;
	}
}

/* "..., refused ids: 1, 2, 3 and 17 more". */
static void name_refused(const struct round *r, const struct round_call *failed, struct error *err)
{
	const struct write *w = ((const struct rpc_write_request *)failed->rpc.request)->write;
	uint32_t n = w->op.n_points ? w->op.n_points : w->op.n_ids;
	char list[160];
	size_t at = 0;
	uint32_t named = 0;
	for (; named < n && at + ID_TEXT_BYTES + 4 < sizeof(list); named++) {
		char text[ID_TEXT_BYTES];
		id_format(w->op.n_points ? &w->op.points[named].id : &w->op.ids[named], text);
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", named ? ", " : "",
				       text);
	}
	struct error inner = failed->rpc.err;
	if (n == 0)
		error_set(err, failed->rpc.rc,
			  "%s (partition %u; the other partitions' parts stand)", inner.text,
			  failed->partition);
	else
		error_set(err, failed->rpc.rc,
			  "%s (partition %u; the other partitions' parts stand; refused ids: %s%s)",
			  inner.text, failed->partition, list, named < n ? ", ..." : "");
}

static void write_absorb(struct write_run *run)
{
	struct round *r = &run->round;
	struct coord_write *w = run->request;
	for (uint32_t i = 0; i < r->n_calls; i++) {
		const struct round_call *call = &r->calls[i];
		w->degraded = w->degraded || round_degraded(r, call->partition);
		if (call->rpc.rc != 0) {
			if (run->rc == 0) {
				run->rc = call->rpc.rc;
				w->refused_partition = call->partition;
				w->call.err = call->rpc.err;
				if (r->n_calls > 1)
					name_refused(r, call, &w->call.err);
			}
			continue;
		}
		if (call->response.write.seq > w->seqs[call->tag])
			w->seqs[call->tag] = call->response.write.seq;
		w->changed[call->tag] += call->response.write.changed;
	}
}

/* Of several writes, which one failed? Those before it stand. */
static void name_failed(const struct write_run *run)
{
	struct error *err = &run->request->call.err;
	if (run->rc != 0 && run->in_turn && run->request->n_writes > 1)
		error_wrap(err, run->rc, "operation %u of %u; later ones were not tried", run->next,
			   run->request->n_writes);
}

static void write_end(struct write_run *run)
{
	struct round *r = &run->round;
	struct coord *c = r->coord;
	struct coord_call *call = &run->request->call;
	int rc = run->rc;
	name_failed(run);
	histogram_record(&c->write_us,
			 c->options.clock->monotonic_us(c->options.clock->ctx) - run->started_us);
	round_fini(r);
	coord_finish(c, call, rc);
}

/* The calls of the next round; false when there is none. */
static bool write_prepare(struct write_run *run)
{
	uint32_t n = run->request->n_writes;
	if (run->next == n || run->rc != 0)
		return false;
	round_clear(&run->round);
	do
		add_write(run, run->next++);
	while (!run->in_turn && run->next < n);
	return true;
}

static void write_advance(struct write_run *run)
{
	while (write_prepare(run)) {
		if (!round_send(&run->round))
			return;
		write_absorb(run);
	}
	write_end(run);
}

static void write_resume(void *ctx)
{
	write_absorb(ctx);
	write_advance(ctx);
}

void coord_write(struct coord *c, struct coord_write *w)
{
	struct arena *arena = w->call.arena;
	struct write_run *run = arena_zalloc(arena, sizeof(*run));
	atomic_fetch_add(&c->writes, w->n_writes);
	run->started_us = c->options.clock->monotonic_us(c->options.clock->ctx);
	w->seqs = arena_zalloc(arena, (w->n_writes + 1) * sizeof(*w->seqs));
	w->changed = arena_zalloc(arena, (w->n_writes + 1) * sizeof(*w->changed));
	int rc = round_init(&run->round, c, &w->call, &w->call.err);
	if (rc != 0) {
		round_fini(&run->round);
		coord_finish(c, &w->call, rc);
		return;
	}
	run->request = w;
	run->in_turn = run->round.map->n_nodes > 1;
	if (run->in_turn && w->batch_lo == 0 && w->batch_hi == 0)
		name_batch(c, w);
	run->round.resume = write_resume;
	run->round.ctx = run;
	write_advance(run);
}
