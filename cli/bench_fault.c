/* The failure scenario of `quiver bench`: searches are due at a steady rate, whether answers come or not; a node is
 * stopped in some way and later brought back; what clients see meanwhile is kept in slices of time. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "cli/bench.h"

/* Samples by the slice in which their requests were due. */
struct slice {
	uint32_t good, failed, partial;
	uint64_t hits, wanted;
	float *latencies_us;
	uint32_t n, room;
};

struct fault_run {
	struct bench *b;
	uint64_t start_ns, slice_ns;
	struct slice *slices;
	size_t n_slices;
	pthread_mutex_t lock; /* of what the actor says */
	bool over;
	int actor_rc;
	struct error actor_err;
	double fault_s, heal_s; /* when they had been done; 0: not */
};

static void add_latency(struct slice *s, float us)
{
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 256;
		s->latencies_us = mem_resize(s->latencies_us, s->room * sizeof(float));
	}
	s->latencies_us[s->n++] = us;
}

static void take_sample(void *ctx, const struct loadgen_sample *sample)
{
	struct fault_run *r = ctx;
	size_t i = (size_t)((sample->due_ns - r->start_ns) / r->slice_ns);

	if (sample->due_ns < r->start_ns || i >= r->n_slices)
		return;
	struct slice *s = &r->slices[i];
	add_latency(s, (float)((double)(sample->end_ns - sample->due_ns) * 1e-3));
	if (!sample->body) {
		s->failed++;
		return;
	}
	s->good++;
	/* Servers that say whether an answer covers all of the data say it so. */
	s->partial += memmem(sample->body, sample->n, "\"complete\":false", 16) != NULL;
	bench_count_hits(r->b, sample->request, sample->body, sample->n, &s->hits, &s->wanted);
}

/* ---- the actor -------------------------------------------------------------------------------- */

static int run_command(const char *command, struct error *err)
{
	int status = system(command); /* the user's own command */

	return status == 0 ? 0
			   : error_set(err, ERR_INPUT, "`%s` failed (status %d)", command, status);
}

static int send_signal(const struct bench *b, int number, struct error *err)
{
	if (kill((pid_t)b->o.fault_pid, number) == 0)
		return 0;
	return error_errno(err, errno, "process %" PRIu64 " cannot be signalled", b->o.fault_pid);
}

static int do_fault(const struct bench *b, struct error *err)
{
	if (strcmp(b->o.fault, "kill") == 0)
		return send_signal(b, SIGKILL, err);
	if (strcmp(b->o.fault, "pause") == 0)
		return send_signal(b, SIGSTOP, err);
	return run_command(b->o.fault, err);
}

static int do_heal(const struct bench *b, struct error *err)
{
	if (strcmp(b->o.fault, "pause") == 0)
		return send_signal(b, SIGCONT, err);
	return b->o.heal ? run_command(b->o.heal, err) : 0;
}

static double since_start(const struct fault_run *r)
{
	return (double)(clock_monotonic_ns() - r->start_ns) * 1e-9;
}

/* Sleeps until so many seconds after the start; false when the run was ended before that. */
static bool sleep_until(struct fault_run *r, double s)
{
	const struct timespec tick = {.tv_nsec = 5000000};
	bool over = false;

	while (!over && since_start(r) < s) {
		nanosleep(&tick, NULL);
		pthread_mutex_lock(&r->lock);
		over = r->over;
		pthread_mutex_unlock(&r->lock);
	}
	return since_start(r) >= s;
}

static void *act(void *ctx)
{
	struct fault_run *r = ctx;
	const uint64_t *lengths = r->b->fault_seconds;

	if (!sleep_until(r, (double)lengths[0]))
		return NULL;
	r->actor_rc = do_fault(r->b, &r->actor_err);
	r->fault_s = since_start(r);
	if (r->actor_rc)
		return NULL;
	/* A paused process goes on in any case. */
	sleep_until(r, (double)(lengths[0] + lengths[1]));
	r->actor_rc = do_heal(r->b, &r->actor_err);
	r->heal_s = since_start(r);
	return NULL;
}

/* ---- what was seen ---------------------------------------------------------------------------- */

static int compare_floats(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static struct bench_slice seen(struct slice *s, double from_s, double length_s)
{
	struct bench_slice out = {.from_s = from_s,
				  .qps = s->good / length_s,
				  .failed = s->failed,
				  .recall = s->wanted ? (double)s->hits / (double)s->wanted : 0,
				  .complete = s->good ? 1 - (double)s->partial / s->good : 0};

	if (s->n > 0) {
		qsort(s->latencies_us, s->n, sizeof(float), compare_floats);
		out.p50_us = s->latencies_us[s->n / 2];
		out.p99_us = s->latencies_us[(size_t)(s->n * 0.99)];
	}
	return out;
}

static struct bench_slice merged(struct fault_run *r, double from_s, double to_s)
{
	struct slice all = {0};
	double length_s = (double)r->slice_ns * 1e-9;
	size_t from = (size_t)ceil(from_s / length_s), to = (size_t)(to_s / length_s), n = 0;

	for (size_t i = from; i < to && i < r->n_slices; i++, n++) {
		struct slice *s = &r->slices[i];

		all.good += s->good;
		all.failed += s->failed;
		all.partial += s->partial;
		all.hits += s->hits;
		all.wanted += s->wanted;
		for (uint32_t j = 0; j < s->n; j++)
			add_latency(&all, s->latencies_us[j]);
	}
	struct bench_slice out = seen(&all, from_s, n ? (double)n * length_s : length_s);
	free(all.latencies_us);
	return out;
}

/* As before: nothing fails, nothing is missing, and answers come within ten times the p99 of before (but at least
 * within 50 ms; a slice is short). */
static bool is_well(const struct bench_slice *s, const struct bench_slice *before)
{
	double patience_us = fmax(10 * before->p99_us, 50000);

	return s->failed == 0 && s->qps > 0 && s->complete >= 1 &&
	       s->recall >= before->recall - 0.02 && s->p99_us <= patience_us;
}

/* Seconds from the fault to the end of the last slice that was not well; 0: all were. */
static double recovery(const struct bench_fault *f)
{
	double last_s = f->fault_s;

	for (size_t i = 0; i < f->n_slices; i++) {
		const struct bench_slice *s = &f->slices[i];

		if (s->from_s + f->slice_s > f->fault_s && !is_well(s, &f->before))
			last_s = s->from_s + f->slice_s;
	}
	return last_s - f->fault_s;
}

static void summarise(struct fault_run *r, struct bench_fault *f)
{
	double end_s = (double)(r->n_slices * r->slice_ns) * 1e-9;

	f->slice_s = (double)r->slice_ns * 1e-9;
	f->fault_s = r->fault_s;
	f->heal_s = r->heal_s;
	f->n_slices = r->n_slices;
	f->slices = mem_array(r->n_slices, sizeof(*f->slices));
	for (size_t i = 0; i < r->n_slices; i++) {
		f->slices[i] = seen(&r->slices[i], (double)i * f->slice_s, f->slice_s);
		f->failed += r->slices[i].failed;
	}
	f->before = merged(r, 0, f->fault_s);
	f->during = merged(r, f->fault_s, f->heal_s);
	f->after = merged(r, f->heal_s, end_s);
	f->recovery_s = recovery(f);
	f->recovered = f->n_slices > 0 && f->recovery_s < end_s - f->fault_s - f->slice_s / 2;
}

static int run_load(struct fault_run *r, const struct loadgen_request *requests, double seconds,
		    struct error *err)
{
	struct bench *b = r->b;
	const struct loadgen_options options = {
		.target = &b->target,
		.requests = requests,
		.n_requests = b->queries.n,
		.clients = (uint32_t)b->o.rate_clients,
		.threads = 1,
		.seconds = seconds,
		.rate = (double)b->o.fault_rate,
		.seed = 77,
		.stop = b->stop,
		.sample = take_sample,
		.ctx = r,
		.more_targets = b->more_targets,
		.n_more_targets = b->n_more_targets,
		.timeout_s = b->o.fault_timeout,
	};
	struct loadgen_result ignored;

	return loadgen_run(&options, &ignored, err);
}

int bench_measure_fault(struct bench *b, struct error *err)
{
	const uint64_t *lengths = b->fault_seconds;
	double seconds = (double)(lengths[0] + lengths[1] + lengths[2]);
	struct fault_run r = {.b = b, .slice_ns = 250000000, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct loadgen_request *requests;
	pthread_t actor;

	fprintf(stderr,
		"a fault after %" PRIu64 " s, mended %" PRIu64 " s later, watched for %.0f s\n",
		lengths[0], lengths[1], seconds);
	requests = bench_make_queries(b, b->efforts[b->n_efforts - 1]);
	r.n_slices = (size_t)(seconds * 1e9 / (double)r.slice_ns);
	r.slices = mem_array(r.n_slices, sizeof(*r.slices));
	r.start_ns = clock_monotonic_ns();
	if (pthread_create(&actor, NULL, act, &r) != 0)
		return error_set(err, ERR_NOMEM, "no thread could be started");
	int rc = run_load(&r, requests, seconds, err);
	pthread_mutex_lock(&r.lock);
	r.over = true;
	pthread_mutex_unlock(&r.lock);
	pthread_join(actor, NULL);
	if (rc == 0 && r.actor_rc) {
		rc = r.actor_rc;
		if (err)
			*err = r.actor_err;
	}
	if (rc == 0)
		summarise(&r, &b->fault);
	for (size_t i = 0; i < r.n_slices; i++)
		free(r.slices[i].latencies_us);
	free(r.slices);
	bench_free_queries(b, requests);
	return rc;
}
