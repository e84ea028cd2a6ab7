/* Streamed load: lines of JSON, one point each, of any total length. Lines are taken in batches; each
 * batch is one write, all of it or none. While one batch is being written (flying) the next one is
 * parsed (ready); when both are taken the client is held back, so memory stays bounded.
 *
 * Threads: feed() and end() come from the connection's HTTP thread, written() from wherever the
 * coordinator finished, possibly inside coord_write(). Everything is under one lock, which is not held
 * while the coordinator, the server or the request's answer is called. The first bad line ends the
 * load: batches before it stand and the answer says which.
 *
 * The state is on the heap and not in the request's arena: a client that goes away takes the arena with
 * it while a batch may still be on its way.
 */
#include "api/request.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_POINTS = 1000, BATCH_BYTES = 8 << 20, ARENA_BYTES = 1 << 20 };

struct ingest;
struct batch {
	struct coord_write write;
	struct write upsert;
	struct ingest *ingest;
	struct arena *arena;
	uint64_t first_line, last_line;
	bool taken;
};

struct ingest {
	struct api_request *r; /* NULL once the client is gone */
	struct coord *coord;
	const struct collection *collection;
	uint64_t timeout_us, batch_hi, batch_lo;
	pthread_mutex_t lock;
	struct buf pending; /* bytes not taken yet */
	size_t at;          /* start of the first line in pending */
	size_t scanned;     /* up to here newlines are counted */
	uint32_t n_lines;   /* complete lines between at and scanned */
	uint64_t line;      /* lines taken so far */
	uint64_t n_batches, accepted;
	struct batch batches[2];
	struct batch *ready, *flying;
	struct buf done; /* the list of accepted batches, as JSON */
	bool pumping, held, ended, gone;
	int rc; /* < 0: the load has failed, err says why */
	struct error err;
};

static void ingest_free(struct ingest *g)
{
	for (int i = 0; i < 2; i++)
		arena_free(g->batches[i].arena);
	collection_unref(g->collection);
	buf_fini(&g->pending);
	buf_fini(&g->done);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* ---- answering ---- */

static void put_accepted(struct ingest *g, struct buf *b)
{
	json_put_literal(b, "{\"accepted\":");
	json_put_u64(b, g->accepted);
	json_put_literal(b, ",\"batches\":[");
	buf_put(b, g->done.data, g->done.len);
	json_put_literal(b, "]}");
}

static void answer(struct ingest *g)
{
	struct api_request *r = g->r;

	put_accepted(g, respond_begin(r));
	if (g->rc == 0) {
		respond_ok(r);
	} else {
		r->err = g->err;
		respond_failed_with_result(r, g->rc);
	}
	ingest_free(g);
}

enum action { NOTHING, ANSWER, CONTINUE, FREE };

/* What is to be done now that something has changed; under the lock. `may_answer`: the server is
 * waiting for us (feed, end), so that an early answer is allowed. */
static enum action decide(struct ingest *g, bool may_answer)
{
	if (g->pumping)
		return NOTHING;
	if (g->held && g->rc == 0 && g->ready == NULL && !g->gone) {
		g->held = false;
		return CONTINUE;
	}
	if (g->flying != NULL)
		return NOTHING;
	if (g->gone)
		return FREE;
	if (g->rc != 0)
		return may_answer || g->held || g->ended ? ANSWER : NOTHING;
	return g->ended ? ANSWER : NOTHING;
}

static void act(struct ingest *g, enum action action)
{
	switch (action) {
	case NOTHING: break;
	case ANSWER: answer(g); break;
	case CONTINUE: http_stream_continue(g->r->http); break;
	case FREE: ingest_free(g); break;
	}
}

/* ---- batches ---- */

static int parse_line(struct parse *p, const uint8_t *line, size_t n, struct op *op)
{
	const struct json *v;
	int rc;

	while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' ' || line[n - 1] == '\t'))
		n--;
	if (n == 0)
		return 0;
	rc = json_parse(line, n, p->arena, &v, p->err);
	if (rc == 0)
		rc = parse_point(p, v, &op->points[op->n_points]);
	if (rc == 0)
		op->n_points++;
	return rc;
}

/* Takes lines into a batch until it is full or the complete lines are used up. */
static int fill(struct ingest *g, struct batch *b)
{
	struct parse p;
	struct op *op = &b->upsert.op;
	size_t begin = g->at;
	int rc = 0;

	arena_reset(b->arena);
	p = parse_make(b->arena, g->collection, &g->err);
	memset(&b->upsert, 0, sizeof(b->upsert));
	op->type = OP_UPSERT;
	op->points = arena_zalloc(b->arena, BATCH_POINTS * sizeof(*op->points));
	b->first_line = g->line + 1;
	while (rc == 0 && op->n_points < BATCH_POINTS && g->at - begin < BATCH_BYTES) {
		const uint8_t *line = g->pending.data + g->at;
		size_t left = g->pending.len - g->at;
		const uint8_t *newline = left > 0 ? memchr(line, '\n', left) : NULL;
		size_t n = newline != NULL ? (size_t)(newline - line) : left;

		if (newline == NULL && (!g->ended || left == 0))
			break;
		g->line++;
		g->n_lines -= newline != NULL;
		rc = parse_line(&p, line, n, op);
		g->at += n + (newline != NULL);
	}
	b->last_line = g->line;
	parse_fini(&p);
	return rc == 0 ? 0 : error_wrap(&g->err, rc, "line %" PRIu64, g->line);
}

static void compact(struct ingest *g)
{
	size_t left = g->pending.len - g->at;

	if (g->at == 0)
		return;
	memmove(g->pending.data, g->pending.data + g->at, left);
	g->pending.len = left;
	g->scanned = g->scanned > g->at ? g->scanned - g->at : 0;
	g->at = 0;
}

/* Is there enough for a batch? At the end whatever is left is enough. */
static bool enough(const struct ingest *g)
{
	if (g->ended)
		return g->at < g->pending.len;
	return g->n_lines >= BATCH_POINTS ||
	       (g->n_lines > 0 && g->pending.len - g->at >= BATCH_BYTES);
}

static void make_ready(struct ingest *g)
{
	struct batch *b = g->batches[0].taken ? &g->batches[1] : &g->batches[0];

	assert(!b->taken);
	g->rc = fill(g, b);
	if (g->rc == 0 && b->upsert.op.n_points > 0) {
		b->taken = true;
		g->ready = b;
	}
}

static void record(struct ingest *g, const struct batch *b)
{
	if (g->done.len > 0)
		json_put_literal(&g->done, ",");
	buf_printf(&g->done,
		   "{\"first_line\":%" PRIu64 ",\"last_line\":%" PRIu64 ",\"points\":%" PRIu32
		   ",\"operation_id\":%" PRIu64 "}",
		   b->first_line, b->last_line, b->upsert.op.n_points, b->write.seqs[0]);
	g->accepted += b->upsert.op.n_points;
}

static void pump(struct ingest *g);

static void written(struct coord_call *call)
{
	struct batch *b = call->ctx;
	struct ingest *g = b->ingest;
	enum action action;

	pthread_mutex_lock(&g->lock);
	if (call->rc == 0) {
		record(g, b);
	} else if (g->rc == 0) {
		g->rc = call->rc;
		g->err = call->err;
		error_wrap(&g->err, g->rc, "lines %" PRIu64 " to %" PRIu64, b->first_line,
			   b->last_line);
	}
	b->taken = false;
	g->flying = NULL;
	pump(g);
	action = decide(g, false);
	pthread_mutex_unlock(&g->lock);
	act(g, action);
}

/* Under the lock; leaves it while it submits. */
static void submit(struct ingest *g)
{
	struct batch *b = g->ready;
	struct coord_write *w = &b->write;

	g->flying = b;
	g->ready = NULL;
	g->n_batches++;
	memset(w, 0, sizeof(*w));
	w->call.collection = g->collection;
	w->call.arena = b->arena;
	w->call.deadline_us = g->timeout_us == 0 ? 0 : clock_monotonic_us() + g->timeout_us;
	w->call.done = written;
	w->call.ctx = b;
	w->writes = &b->upsert;
	w->n_writes = 1;
	if (g->batch_lo != 0) {
		w->batch_hi = hash64_seed(&g->n_batches, sizeof(g->n_batches), g->batch_hi);
		w->batch_lo = hash64_seed(&g->n_batches, sizeof(g->n_batches), g->batch_lo) | 1;
	}
	pthread_mutex_unlock(&g->lock);
	coord_write(g->coord, w);
	pthread_mutex_lock(&g->lock);
}

/* Moves everything on as far as it goes; under the lock. Whoever comes in while another is at it
 * leaves the rest to that one. */
static void pump(struct ingest *g)
{
	if (g->pumping)
		return;
	g->pumping = true;
	for (;;) {
		if (g->ready == NULL && g->rc == 0 && !g->gone && enough(g))
			make_ready(g);
		else if (g->ready == NULL || g->flying != NULL || g->gone)
			break;
		if (g->rc != 0 && g->ready != NULL) {
			g->ready->taken = false;
			g->ready = NULL;
		}
		if (g->ready != NULL && g->flying == NULL)
			submit(g);
	}
	g->pumping = false;
}

/* ---- the stream ---- */

static void count_lines(struct ingest *g)
{
	while (g->scanned < g->pending.len) {
		const uint8_t *from = g->pending.data + g->scanned;
		const uint8_t *newline = memchr(from, '\n', g->pending.len - g->scanned);

		g->scanned = newline == NULL ? g->pending.len
					     : (size_t)(newline - g->pending.data) + 1;
		g->n_lines += newline != NULL;
	}
}

static int on_feed(void *ctx, const uint8_t *bytes, size_t n)
{
	struct ingest *g = ctx;
	enum action action;
	int held;

	pthread_mutex_lock(&g->lock);
	compact(g);
	buf_put(&g->pending, bytes, n);
	count_lines(g);
	if (g->n_lines == 0 && g->pending.len > LIMIT_BODY_BYTES && g->rc == 0)
		g->rc = error_set(&g->err, ERR_TOO_LARGE, "line %" PRIu64 " is over %d bytes",
				  g->line + 1, LIMIT_BODY_BYTES);
	pump(g);
	action = decide(g, true);
	g->held = action == NOTHING && (g->ready != NULL || g->rc != 0);
	held = g->held;
	pthread_mutex_unlock(&g->lock);
	act(g, action);
	return held;
}

static void on_end(void *ctx)
{
	struct ingest *g = ctx;
	enum action action;

	pthread_mutex_lock(&g->lock);
	g->ended = true;
	pump(g);
	action = decide(g, true);
	pthread_mutex_unlock(&g->lock);
	act(g, action);
}

static void on_abort(void *ctx)
{
	struct ingest *g = ctx;
	enum action action;

	pthread_mutex_lock(&g->lock);
	request_fini(g->r);
	g->r = NULL;
	g->gone = true;
	action = decide(g, false);
	pthread_mutex_unlock(&g->lock);
	act(g, action);
}

void ingest_start(struct api_request *r, struct http_stream *out)
{
	struct ingest *g = mem_zalloc(sizeof(*g));

	pthread_mutex_init(&g->lock, NULL);
	g->r = r;
	g->coord = r->api->options.coord;
	g->collection = collection_ref(r->collection);
	g->timeout_us = r->timeout_s * 1000000;
	g->batch_hi = r->batch_hi;
	g->batch_lo = r->batch_lo;
	for (int i = 0; i < 2; i++) {
		g->batches[i].arena = arena_new(ARENA_BYTES);
		g->batches[i].ingest = g;
	}
	*out = (struct http_stream){on_feed, on_end, on_abort, g};
}
