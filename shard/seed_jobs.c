/* Which replicas are to be rebuilt, and the thread that does it, one after the other. See seed.h. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "shard/seed_internal.h"
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { AGAIN_US = 1000000, COMPLAIN_US = 30000000 };

bool seed_job_ends(struct seed_job *job)
{
	struct seeds *seeds = job->h->shard->seeds;
	bool ends;

	pthread_mutex_lock(&seeds->lock);
	ends = job->cancelled || seeds->stopping;
	pthread_mutex_unlock(&seeds->lock);
	return ends;
}

/* On the loop thread: the machine goes on with what the replica is. */
static void failed_on_loop(struct task *t)
{
	struct hosted *h = t->h;

	if (!h->closing)
		hosted_event(h, &(struct replica_event){.type = EVENT_SEED_FAILED});
	free(t);
	hosted_unref(h);
}

static void tell_failed(struct seed_job *job)
{
	struct task *t;

	if (job->h->failed.code)
		return; /* it has no machine */
	t = mem_zalloc(sizeof *t);
	*t = (struct task){.done = failed_on_loop, .shard = job->h->shard, .h = hosted_ref(job->h)};
	task_to_loop(t);
}

/* The lock is held, and let go meanwhile. */
static void pause_a_while(struct seeds *seeds)
{
	uint64_t due = clock_monotonic_us() + AGAIN_US;
	struct timespec until = {(time_t)(due / 1000000), (long)(due % 1000000) * 1000};

	pthread_cond_broadcast(&seeds->changed);
	pthread_cond_clockwait(&seeds->changed, &seeds->lock, CLOCK_MONOTONIC, &until);
}

/* Behind all others, after a pause. The lock is held. */
static void put_off(struct seeds *seeds, struct seed_job *job)
{
	struct seed_job **at = &seeds->jobs;

	job->running = false;
	job->next = NULL;
	while (*at != NULL)
		at = &(*at)->next;
	*at = job;
	pause_a_while(seeds);
}

/* That the source is damaged does not pass by itself, and it is tried again and again. */
static void complain(struct seeds *seeds, const struct seed_job *job, int rc,
		     const struct error *err)
{
	uint64_t now = clock_monotonic_us();

	if (rc != ERR_CORRUPT ||
	    (seeds->complained_us && now < seeds->complained_us + COMPLAIN_US)) {
		log_debug("shard", "copying %s: %s", job->h->folder, err->text);
		return;
	}
	seeds->complained_us = now;
	log_warn("shard", "%s cannot be copied: %s", job->h->folder, err->text);
}

/* The first job is done or given up. The lock is held, and let go meanwhile. */
static void run_first(struct seeds *seeds)
{
	struct seed_job *job = seeds->jobs;
	struct error err = {0};
	int rc;

	job->running = true;
	pthread_mutex_unlock(&seeds->lock);
	rc = seed_pull(job, &err);
	__atomic_fetch_add(rc ? &seeds->failed : &seeds->done, 1, __ATOMIC_RELAXED);
	if (rc)
		complain(seeds, job, rc, &err);
	pthread_mutex_lock(&seeds->lock);
	for (struct seed_job **at = &seeds->jobs; *at != NULL; at = &(*at)->next) {
		if (*at == job) {
			*at = job->next;
			break;
		}
	}
	bool replaced = __atomic_load_n(&job->h->doomed, __ATOMIC_ACQUIRE);
	/* One that cannot be opened has nobody who would ask again. What took its place and cannot be opened has a job of
	 * its own. */
	if (rc && job->h->failed.code && !replaced && !job->cancelled && !seeds->stopping) {
		put_off(seeds, job);
		return;
	}
	pthread_cond_broadcast(&seeds->changed);
	pthread_mutex_unlock(&seeds->lock);
	/* Now that the job is off the list: the machine may want it again at once. */
	if (rc)
		tell_failed(job);
	hosted_unref(job->h);
	free(job);
	pthread_mutex_lock(&seeds->lock);
	if (rc && replaced && !seeds->stopping)
		pause_a_while(seeds);
}

static void *seeds_main(void *arg)
{
	struct seeds *seeds = arg;

	pthread_mutex_lock(&seeds->lock);
	for (;;) {
		while (seeds->jobs == NULL && !seeds->stopping)
			pthread_cond_wait(&seeds->changed, &seeds->lock);
		if (seeds->stopping)
			break;
		run_first(seeds);
	}
	pthread_mutex_unlock(&seeds->lock);
	return NULL;
}

int seeds_start(struct shard *s, struct error *err)
{
	struct seeds *seeds = mem_zalloc(sizeof *seeds);
	sigset_t all, before;
	int rc;

	seeds->shard = s;
	s->seeds = seeds;
	pthread_mutex_init(&seeds->lock, NULL);
	pthread_cond_init(&seeds->changed, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
	rc = pthread_create(&seeds->thread, NULL, seeds_main, seeds);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return error_errno(err, rc, "start thread shard-seed");
	pthread_setname_np(seeds->thread, "shard-seed");
	seeds->started = true;
	return 0;
}

void seeds_stop(struct shard *s)
{
	struct seeds *seeds = s->seeds;

	if (seeds == NULL)
		return;
	pthread_mutex_lock(&seeds->lock);
	seeds->stopping = true;
	pthread_cond_broadcast(&seeds->changed);
	pthread_mutex_unlock(&seeds->lock);
	if (seeds->started)
		pthread_join(seeds->thread, NULL);
	seeds->started = false;
	while (seeds->jobs != NULL) {
		struct seed_job *job = seeds->jobs;

		seeds->jobs = job->next;
		hosted_unref(job->h);
		free(job);
	}
	pins_end(s, NULL);
}

void seeds_free(struct shard *s)
{
	struct seeds *seeds = s->seeds;

	if (seeds == NULL)
		return;
	pins_end(s, NULL); /* what was being opened when seeds_stop() came */
	pthread_mutex_destroy(&seeds->lock);
	pthread_cond_destroy(&seeds->changed);
	free(seeds);
	s->seeds = NULL;
}

void seeds_tick(struct shard *s)
{
	pins_tick(s);
}

void seeds_want(struct hosted *h, uint64_t from)
{
	struct seeds *seeds = h->shard->seeds;
	struct seed_job **at, *job;

	pthread_mutex_lock(&seeds->lock);
	for (at = &seeds->jobs; *at != NULL && (*at)->h != h; at = &(*at)->next)
		continue;
	job = *at;
	if (job != NULL && job->from != from && job->running) {
		/* The source is lost: this pull ends, and another event asks again. */
		job->cancelled = true;
	} else if (job != NULL) {
		job->from = from;
	} else if (!seeds->stopping) {
		job = mem_zalloc(sizeof *job);
		job->h = hosted_ref(h);
		job->from = from;
		*at = job;
		pthread_cond_broadcast(&seeds->changed);
	}
	pthread_mutex_unlock(&seeds->lock);
}

bool seeds_busy(const struct hosted *h)
{
	struct seeds *seeds = h->shard->seeds;
	bool busy = false;

	pthread_mutex_lock(&seeds->lock);
	for (const struct seed_job *job = seeds->jobs; job != NULL && !busy; job = job->next)
		busy = job->h == h && !job->cancelled;
	pthread_mutex_unlock(&seeds->lock);
	return busy;
}

void seeds_forget(struct shard *s, struct hosted *h)
{
	struct seeds *seeds = s->seeds;
	struct seed_job **at, *job;

	pthread_mutex_lock(&seeds->lock);
	for (;;) {
		for (at = &seeds->jobs; *at != NULL && (*at)->h != h; at = &(*at)->next)
			continue;
		job = *at;
		if (job == NULL || !job->running)
			break;
		job->cancelled = true;
		pthread_cond_wait(&seeds->changed, &seeds->lock);
	}
	if (job != NULL)
		*at = job->next;
	pthread_mutex_unlock(&seeds->lock);
	if (job != NULL) {
		hosted_unref(job->h);
		free(job);
	}
	pins_end(s, h);
}

void seeds_metrics(struct shard *s, struct buf *out)
{
	static const char *const names[] = {"seeds_total", "seeds_failed_total", "seed_bytes_total",
					    "seed_refetched_total"};
	static const char *const helps[] = {"Replicas that were rebuilt from another node",
					    "Rebuilds that were given up",
					    "Bytes copied from other nodes",
					    "Pieces and segments that were fetched again"};
	const uint64_t *values[] = {&s->seeds->done, &s->seeds->failed, &s->seeds->bytes,
				    &s->seeds->refetched};

	for (int i = 0; i < 4; i++)
		buf_printf(out,
			   "# HELP quiver_shard_%s %s\n# TYPE quiver_shard_%s counter\n"
			   "quiver_shard_%s %llu\n",
			   names[i], helps[i], names[i], names[i],
			   (unsigned long long)__atomic_load_n(values[i], __ATOMIC_RELAXED));
}
