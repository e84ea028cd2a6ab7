/* Time, the queue of events, chance, the trace. */
#include "base/hash.h"
#include "base/memory.h"
#include "tests/sim/sim.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRACE_LINES = 200, TRACE_BYTES = 256 };

static char trace_lines[TRACE_LINES][TRACE_BYTES];
static uint64_t n_traced;

void trace_line(struct sim *s, const char *format, ...)
{
	char *line;
	va_list args;
	int n;

	line = trace_lines[n_traced++ % TRACE_LINES];
	n = snprintf(line, TRACE_BYTES, "%11.6f ", (double)s->now_us / 1e6);
	va_start(args, format);
	vsnprintf(line + n, TRACE_BYTES - (size_t)n, format, args);
	va_end(args);
	if (s->options->follow)
		puts(line);
}

void trace_dump(void)
{
	uint64_t i = n_traced > TRACE_LINES ? n_traced - TRACE_LINES : 0;

	for (; i < n_traced; i++)
		fprintf(stderr, "%s\n", trace_lines[i % TRACE_LINES]);
}

void violation(struct sim *s, const char *name, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "VIOLATION %s at %.6f s, seed %llu: ", name, (double)s->now_us / 1e6,
		(unsigned long long)s->seed);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	check_describe(s);
	abort();
}

/* ---- chance ---- */

void *room(void *array, uint64_t n, uint64_t *cap, size_t each)
{
	if (n < *cap)
		return array;
	*cap = *cap ? *cap * 2 : 256;
	return mem_resize(array, *cap * each);
}

bool chance(struct sim *s, double p)
{
	return prng_unit(&s->prng) < p;
}

uint64_t between(struct sim *s, uint64_t low, uint64_t high)
{
	return low + prng_below(&s->prng, high - low + 1);
}

uint64_t local_us(const struct sim *s, const struct node *n)
{
	return n->base_us + (uint64_t)((double)(s->now_us - n->boot_us) * n->rate);
}

/* ---- the queue: a heap ---- */

static bool before(const struct event *a, const struct event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push(struct sim *s, struct event e)
{
	size_t i = s->n_events++;

	if (s->n_events > s->cap_events) {
		s->cap_events = s->cap_events ? s->cap_events * 2 : 1024;
		s->heap = mem_resize(s->heap, s->cap_events * sizeof *s->heap);
	}
	for (; i > 0 && before(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = e;
}

static struct event pop(struct sim *s)
{
	struct event top = s->heap[0], last = s->heap[--s->n_events];
	size_t i = 0;

	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= s->n_events)
			break;
		if (c + 1 < s->n_events && before(&s->heap[c + 1], &s->heap[c]))
			c++;
		if (!before(&s->heap[c], &last))
			break;
		s->heap[i] = s->heap[c];
		i = c;
	}
	s->heap[i] = last;
	return top;
}

void later(struct sim *s, uint64_t after_us, struct event e)
{
	e.at_us = s->now_us + after_us;
	e.order = ++s->order;
	push(s, e);
}

static void discard(const struct event *e)
{
	if (e->kind == EV_DELIVER)
		msg_free(e->ptr);
	else if (e->kind == EV_POST)
		post_free(e->ptr);
	else if (e->kind == EV_SEALED)
		free(e->ptr);
}

/* ---- the run ---- */

static struct rep *rep_of(struct sim *s, const struct event *e)
{
	return &s->nodes[e->node].reps[e->a];
}

/* Of a node, in the life in which it was made. */
static void handle_own(struct sim *s, struct node *n, const struct event *e)
{
	if (e->b != n->life)
		return;
	switch (e->kind) {
	case EV_TICK: node_tick(s, n); break;
	case EV_MEMBER: member_tick(s, n); break;
	case EV_META_TICK: control_tick(s, n, e->c); break;
	case EV_META_SYNC: control_sync(s, n); break;
	case EV_POST: control_post(s, n, e->ptr); break;
	case EV_PROBED: member_probed(s, n, (uint32_t)e->a, (uint32_t)e->c); break;
	default: fault_crash(s, n); break;
	}
}

static void handle(struct sim *s, struct event *e)
{
	struct node *n = e->node ? &s->nodes[e->node] : NULL;

	switch (e->kind) {
	case EV_DELIVER: net_deliver(s, e->ptr); break;
	case EV_TICK:
	case EV_MEMBER:
	case EV_META_TICK:
	case EV_META_SYNC:
	case EV_PROBED:
	case EV_CRASH: handle_own(s, n, e); break;
	case EV_POST:
		handle_own(s, n, e);
		discard(e);
		break;
	case EV_DISK: rep_disk(s, rep_of(s, e), e->b); break;
	case EV_SEALED:
		rep_sealed(s, rep_of(s, e), e->b, e->ptr);
		discard(e);
		break;
	case EV_SEEDED: rep_seeded(s, rep_of(s, e), e->b, (uint32_t)e->c); break;
	case EV_CALL_OVER: call_over(s, e->a, NULL); break;
	case EV_CLIENT: client_next(s, (uint32_t)e->a); break;
	case EV_ATTEMPT_OVER: client_timer(s, (uint32_t)e->a); break;
	case EV_RESTART: node_start(s, &s->nodes[e->a]); break;
	case EV_OPERATOR: operator_tick(s); break;
	case EV_SEARCH: search_next(s); break;
	case EV_SEARCH_AGAIN: search_again(s, e->a, (uint32_t)e->b); break;
	case EV_READ_OVER: search_over(s, e->a); break;
	case EV_READS_OVER: search_sweep(s); break;
	case EV_CALLS_OVER: calls_sweep(s); break;
	case EV_FAULT: fault_next(s); break;
	case EV_LOAD: stress_load(s); break;
	case EV_HISTORY: history_next(s); break;
	}
}

/* An event of a node that is down is void; one of a node that is paused comes when it goes on. */
static bool held(struct sim *s, struct event *e)
{
	struct node *n = e->node ? &s->nodes[e->node] : NULL;

	if (!n || (e->kind == EV_DELIVER && !n->up))
		return false;
	if (!n->up) {
		discard(e);
		return true;
	}
	if (n->paused_until_us <= s->now_us)
		return false;
	e->at_us = n->paused_until_us + (s->jumble_us ? prng_below(&s->prng, s->jumble_us) : 0);
	push(s, *e);
	return true;
}

static void run(struct sim *s)
{
	while (s->n_events > 0 && s->heap[0].at_us <= s->end_us) {
		struct event e = pop(s);

		s->now_us = e.at_us;
		if (held(s, &e))
			continue;
		s->stats.events++;
		handle(s, &e);
	}
	s->now_us = s->end_us;
}

/* One seed in eight is of history.c; which it is does not change what the others do. */
static void choose_world(struct sim *s)
{
	enum sim_world world = s->options->world;

	s->stress = chance(s, 0.35);
	s->histories = hash64(&s->seed, sizeof s->seed) % 8 == 0;
	if (world != WORLD_ANY) {
		s->stress = world == WORLD_CONTROL;
		s->histories = world == WORLD_HISTORIES;
	}
	s->stress &= !s->histories;
	if (s->stress)
		stress_begin(s);
	if (s->histories)
		history_begin(s);
}

static void begin(struct sim *s)
{
	prng_seed(&s->prng, s->seed);
	s->now_us = 1000000;
	s->quiet_us = s->now_us + s->options->seconds * 1000000;
	s->end_us = s->quiet_us + SIM_CALM_S * 1000000ull;
	s->n_nodes = chance(s, 0.1) ? 1 : chance(s, 0.1) ? 2 : (uint32_t)between(s, 3, SIM_FIRST);
	s->n_parts = (uint32_t)between(s, 1, SIM_PARTITIONS);
	s->factor = chance(s, 0.4) ? 2 : 3;
	s->n_clients = (uint32_t)between(s, 1, SIM_CLIENTS);
	s->think_us = chance(s, 0.25) ? 20000 : 300000;
	choose_world(s);
	s->n_ops = s->n_attempts = s->n_tokens = s->n_calls = s->first_call = 1; /* 0: none */
	fault_begin(s);
	control_begin(s);
	operator_begin(s);
	for (uint32_t i = 1; i <= s->n_nodes; i++) {
		node_init(s, &s->nodes[i], i);
		node_start(s, &s->nodes[i]);
	}
	later(s, 1000000, (struct event){.kind = EV_SEARCH});
	for (uint32_t c = 1; c <= s->n_clients; c++)
		later(s, 500000, (struct event){.kind = EV_CLIENT, .a = c});
	if (s->stress)
		stress_started(s);
	else
		later(s, 2000000, (struct event){.kind = EV_FAULT});
}

static void end(struct sim *s)
{
	for (uint32_t i = 1; i <= s->n_nodes; i++) {
		node_crash(s, &s->nodes[i]);
		control_wipe(&s->nodes[i]);
		for (uint32_t p = 0; p < s->n_parts; p++)
			disk_wipe(&s->nodes[i].reps[p].disk);
	}
	while (s->n_events > 0) {
		struct event e = pop(s);

		discard(&e);
	}
	control_end(s);
	for (uint32_t p = 0; p < s->n_parts; p++) {
		free(s->parts[p].history);
		free(s->parts[p].committer);
	}
	free(s->searches);
	free(s->tries);
	free(s->heap);
	free(s->ops);
	free(s->attempts);
	free(s->tokens);
	free(s->calls);
	free(s);
}

void sim_run(uint64_t seed, const struct sim_options *options, struct stats *out)
{
	struct sim *s = mem_zalloc(sizeof *s);

	s->seed = seed;
	s->options = options;
	begin(s);
	run(s);
	check_end(s);
	*out = s->stats;
	end(s);
}
