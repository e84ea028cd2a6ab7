/* Reads that are no searches: retrieve, scroll, count, facet, info. Each is one round over the partitions, then a merge. */
#include "coordinator/plan.h"
#include "base/assert.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* State of a read: its round and what to do with the answers. */
struct read {
	struct round round;
	int (*collect)(struct read *read, struct error *err);
	void *request;
	struct fetch fetch;
	uint32_t page; /* scroll: points asked of each partition */
	bool partial;  /* collect deals with partitions that did not answer */
};

static void read_finish(void *ctx)
{
	struct read *read = ctx;
	struct round *r = &read->round;
	struct coord *c = r->coord;
	struct coord_call *call = r->call;
	int rc = read->partial ? 0 : round_failure(r, &call->err);
	if (rc == 0)
		rc = read->collect(read, &call->err);
	/* Results refer to the arenas of the answers: they are copied into the request's by collect. */
	round_fini(r);
	coord_finish(c, call, rc);
}

static struct read *read_begin(struct coord *c, struct coord_call *call, void *request,
			       int (*collect)(struct read *, struct error *))
{
	struct read *read = arena_zalloc(call->arena, sizeof(*read));
	atomic_fetch_add(&c->reads, 1);
	int rc = round_init(&read->round, c, call, &call->err);
	if (rc != 0) {
		round_fini(&read->round);
		coord_finish(c, call, rc);
		return NULL;
	}
	read->request = request;
	read->collect = collect;
	read->round.resume = read_finish;
	read->round.ctx = read;
	return read;
}

static void read_send(struct read *read)
{
	if (round_send(&read->round))
		read_finish(read);
}

/* Deep copy of hits into the request's arena, so that the arenas of the answers may go. */
static void keep_hits(struct arena *arena, struct hits *hits)
{
	for (uint32_t i = 0; i < hits->n; i++)
		hit_keep(arena, &hits->items[i]);
}

/* ---- retrieve ---- */

static int retrieve_collect(struct read *read, struct error *err)
{
	struct coord_retrieve *q = read->request;
	fetch_collect(&read->fetch, &read->round, &q->hits);
	if (round_has_arenas(&read->round))
		keep_hits(q->call.arena, &q->hits);
	return 0;
}

void coord_retrieve(struct coord *c, struct coord_retrieve *q)
{
	struct read *read = read_begin(c, &q->call, q, retrieve_collect);
	if (read == NULL)
		return;
	read->fetch = (struct fetch){.ids = q->ids,
				     .n_ids = q->n_ids,
				     .payload = q->payload,
				     .vectors = q->vectors};
	fetch_add(&read->fetch, &read->round);
	read_send(read);
}

/* ---- scroll ---- */

static int compare_id(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	return id_compare(&x->id, &y->id);
}

static int compare_value_up(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	if (x->order_value != y->order_value)
		return x->order_value < y->order_value ? -1 : 1;
	return id_compare(&x->id, &y->id);
}

static int compare_value_down(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	if (x->order_value != y->order_value)
		return x->order_value > y->order_value ? -1 : 1;
	return id_compare(&x->id, &y->id);
}

static int compare_random(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;
	if (x->score != y->score)
		return x->score < y->score ? -1 : 1;
	return id_compare(&x->id, &y->id);
}

static int (*scroll_compare(const struct rpc_scroll_request *s))(const void *, const void *)
{
	switch (s->order) {
	case SCROLL_BY_ID: return compare_id;
	case SCROLL_BY_VALUE: return s->desc ? compare_value_down : compare_value_up;
	case SCROLL_RANDOM: return compare_random;
	}
	return compare_id;
}

/* All partitions' pages in one sorted list. */
void scroll_merge(struct round *r, uint32_t first, uint32_t n, const struct rpc_scroll_request *s,
		  struct hits *out)
{
	uint32_t total = 0;
	for (uint32_t i = first; i < first + n; i++)
		total += r->calls[i].response.scroll.hits.n;
	out->items = arena_alloc(r->call->arena, (total + 1) * sizeof(*out->items));
	out->n = 0;
	for (uint32_t i = first; i < first + n; i++) {
		const struct hits *part = &r->calls[i].response.scroll.hits;
		if (part->n > 0)
			memcpy(&out->items[out->n], part->items, part->n * sizeof(*part->items));
		out->n += part->n;
	}
	if (n > 1)
		qsort(out->items, out->n, sizeof(*out->items), scroll_compare(s));
}

/* One more than the limit was asked for: it is the first id of the next page. */
static int scroll_collect(struct read *read, struct error *err)
{
	struct coord_scroll *s = read->request;
	scroll_merge(&read->round, 0, read->round.n_calls, &s->scroll, &s->hits);
	s->has_next = false;
	if (s->hits.n > s->limit) {
		s->has_next = s->scroll.order == SCROLL_BY_ID;
		s->next = s->hits.items[s->limit].id;
		s->hits.n = (uint32_t)s->limit;
	}
	if (round_has_arenas(&read->round))
		keep_hits(s->call.arena, &s->hits);
	return 0;
}

void coord_scroll(struct coord *c, struct coord_scroll *s)
{
	struct read *read = read_begin(c, &s->call, s, scroll_collect);
	if (read == NULL)
		return;
	struct round *r = &read->round;
	uint64_t page = s->limit >= UINT32_MAX ? UINT32_MAX : s->limit + 1;
	for (uint32_t p = 0; p < r->placed->collection->n_partitions; p++) {
		struct rpc_scroll_request *q = arena_alloc(s->call.arena, sizeof(*q));
		*q = s->scroll;
		q->target = round_target(r, p);
		q->limit = (uint32_t)page;
		round_add(r, RPC_TYPE_scroll, p, q);
	}
	read_send(read);
}

/* ---- count ---- */

static int count_collect(struct read *read, struct error *err)
{
	struct coord_count *n = read->request;
	n->count = 0;
	for (uint32_t i = 0; i < read->round.n_calls; i++)
		n->count += read->round.calls[i].response.count.count;
	return 0;
}

void coord_count(struct coord *c, struct coord_count *n)
{
	struct read *read = read_begin(c, &n->call, n, count_collect);
	if (read == NULL)
		return;
	struct round *r = &read->round;
	for (uint32_t p = 0; p < r->placed->collection->n_partitions; p++) {
		struct rpc_count_request *q = arena_alloc(n->call.arena, sizeof(*q));
		*q = (struct rpc_count_request){round_target(r, p), n->filter, n->exact};
		round_add(r, RPC_TYPE_count, p, q);
	}
	read_send(read);
}

/* ---- facet ---- */

static int facet_same_value(const void *a, const void *b)
{
	const struct facet_value *x = a, *y = b;
	uint32_t n = x->value.n < y->value.n ? x->value.n : y->value.n;
	int c = memcmp(x->value.bytes, y->value.bytes, n);
	return c ? c : (x->value.n > y->value.n) - (x->value.n < y->value.n);
}

/* Order of scalar values: integers by value, booleans false first, strings by bytes. */
static int facet_value_order(struct pv_slice a, struct pv_slice b)
{
	struct pv x = pv_of(a.bytes), y = pv_of(b.bytes);
	if (pv_type(x) == PV_INT && pv_type(y) == PV_INT)
		return (pv_int(x) > pv_int(y)) - (pv_int(x) < pv_int(y));
	if (pv_type(x) == PV_STRING && pv_type(y) == PV_STRING) {
		uint32_t n, m;
		const char *s = pv_string(x, &n), *t = pv_string(y, &m);
		int c = memcmp(s, t, n < m ? n : m);
		return c ? c : (n > m) - (n < m);
	}
	return (int)pv_type(x) - (int)pv_type(y);
}

static int facet_order(const void *a, const void *b)
{
	const struct facet_value *x = a, *y = b;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return facet_value_order(x->value, y->value);
}

static int facet_collect(struct read *read, struct error *err)
{
	struct coord_facet *f = read->request;
	struct round *r = &read->round;
	uint32_t total = 0, n = 0;
	for (uint32_t i = 0; i < r->n_calls; i++)
		total += r->calls[i].response.facet.n;
	struct facet_value *all = arena_alloc(f->call.arena, (total + 1) * sizeof(*all));
	for (uint32_t i = 0, at = 0; i < r->n_calls; i++) {
		const struct rpc_facet_response *part = &r->calls[i].response.facet;
		if (part->n > 0)
			memcpy(&all[at], part->values, part->n * sizeof(*all));
		at += part->n;
	}
	qsort(all, total, sizeof(*all), facet_same_value);
	for (uint32_t i = 0; i < total; i++) {
		if (n > 0 && facet_same_value(&all[n - 1], &all[i]) == 0)
			all[n - 1].count += all[i].count;
		else
			all[n++] = all[i];
	}
	qsort(all, n, sizeof(*all), facet_order);
	f->n_values = f->limit < n ? (uint32_t)f->limit : n;
	f->values = all;
	for (uint32_t i = 0; i < f->n_values; i++)
		all[i].value.bytes = arena_copy(f->call.arena, all[i].value.bytes, all[i].value.n);
	return 0;
}

void coord_facet(struct coord *c, struct coord_facet *f)
{
	struct read *read = read_begin(c, &f->call, f, facet_collect);
	if (read == NULL)
		return;
	struct round *r = &read->round;
	for (uint32_t p = 0; p < r->placed->collection->n_partitions; p++) {
		struct rpc_facet_request *q = arena_alloc(f->call.arena, sizeof(*q));
		*q = (struct rpc_facet_request){round_target(r, p), f->path, f->filter};
		round_add(r, RPC_TYPE_facet, p, q);
	}
	read_send(read);
}

/* ---- info ---- */

static void info_add(struct rpc_info_response *total, const struct rpc_info_response *part,
		     struct arena *arena)
{
	total->status = part->status > total->status ? part->status : total->status;
	total->points += part->points;
	total->indexed_vectors += part->indexed_vectors;
	total->vectors += part->vectors;
	total->segments += part->segments;
	total->applied_seq += part->applied_seq;
	total->last_seq += part->last_seq;
	total->memory_bytes += part->memory_bytes;
	total->disk_bytes += part->disk_bytes;
	if (part->warning && total->warning == NULL)
		total->warning = arena_strdup(arena, part->warning);
	for (uint32_t i = 0; i < part->n_fields && i < total->n_fields; i++)
		for (uint32_t j = 0; j < total->n_fields; j++)
			if (strcmp(part->fields[i].path, total->fields[j].path) == 0)
				total->fields[j].points += part->fields[i].points;
}

static void info_warn(struct rpc_info_response *total, struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void info_warn(struct rpc_info_response *total, struct arena *arena, const char *format, ...)
{
	char text[600];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (total->warning == NULL)
		total->warning = arena_strdup(arena, text);
}

/* Replicas: red when a partition has none that answers, yellow when it has fewer than asked for. */
static void info_replicas(struct coord_info *info, const struct round *r)
{
	struct rpc_info_response *total = &info->total;
	struct arena *arena = info->call.arena;
	uint32_t lost = 0, short_of = 0;
	for (uint32_t i = 0; i < r->n_calls; i++) {
		const struct round_call *call = &r->calls[i];
		lost += call->rpc.rc != 0;
		short_of += round_degraded(r, call->partition);
		if (call->rpc.rc != 0)
			info_warn(total, arena, "Partition %u is not available: %s",
				  call->partition, call->rpc.err.text);
	}
	if (short_of > 0)
		info_warn(total, arena, "%u of %u partitions have fewer than %u copies in sync.",
			  short_of, r->n_calls, r->placed->collection->replication_factor);
	if (lost > 0)
		total->status = REPLICA_RED;
	else if (short_of > 0 && total->status == REPLICA_GREEN)
		total->status = REPLICA_YELLOW;
}

static int info_collect(struct read *read, struct error *err)
{
	struct coord_info *info = read->request;
	struct arena *arena = info->call.arena;
	const struct collection *col = read->round.placed->collection;
	uint32_t n = read->round.n_calls;
	memset(&info->total, 0, sizeof(info->total));
	info->total.n_fields = col->n_fields;
	info->total.fields = arena_zalloc(arena, (col->n_fields + 1) * sizeof(*info->total.fields));
	for (uint32_t i = 0; i < col->n_fields; i++)
		info->total.fields[i].path = arena_strdup(arena, col->fields[i].path.text);
	info->partitions = arena_zalloc(arena, n * sizeof(*info->partitions));
	for (uint32_t i = 0; i < n; i++) {
		if (read->round.calls[i].rpc.rc != 0) {
			info->partitions[i].status = REPLICA_RED;
			continue;
		}
		info_add(&info->total, &read->round.calls[i].response.info, arena);
		info->partitions[i] = read->round.calls[i].response.info;
		info->partitions[i].warning = NULL;
		info->partitions[i].fields = NULL;
		info->partitions[i].n_fields = 0;
	}
	info_replicas(info, &read->round);
	return 0;
}

void coord_info(struct coord *c, struct coord_info *info)
{
	struct read *read = read_begin(c, &info->call, info, info_collect);
	if (read == NULL)
		return;
	read->partial = true;
	struct round *r = &read->round;
	for (uint32_t p = 0; p < r->placed->collection->n_partitions; p++) {
		struct rpc_info_request *q = arena_alloc(info->call.arena, sizeof(*q));
		*q = (struct rpc_info_request){round_target(r, p), true};
		round_add(r, RPC_TYPE_info, p, q);
	}
	read_send(read);
}
