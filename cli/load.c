#include "cli/load.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "cli/upsert.h"

/* Shared by the threads. Two mutexes, so that progress goes on while the source is being read: the
 * first guards the source, the number of batches and result->ids, the second all the rest. */
struct load {
	const struct load_options *options;
	struct source *source;
	struct load_state *state;
	const atomic_bool *stop;
	struct load_result *result;
	pthread_mutex_t source_mutex, mutex;
	uint64_t n_batches;
	double done; /* part of the source that was read */
	int rc;      /* of the first failure */
	struct error err;
	atomic_bool failed;
	atomic_uint running;
	struct progress progress;
	uint64_t noted_us;
};

struct worker {
	struct load *load;
	pthread_t thread;
	struct client *client;
	struct embedder *embedder;
	struct batch batch;
	struct buf body;
	char *path;
	uint64_t number, hash; /* of the batch */
};

static void fail(struct load *l, int rc, const struct error *err)
{
	pthread_mutex_lock(&l->mutex);
	if (l->rc == 0) {
		l->rc = rc;
		l->err = *err;
	}
	pthread_mutex_unlock(&l->mutex);
	atomic_store(&l->failed, true);
}

static void count_read(struct load *l, uint32_t n, bool resumed)
{
	pthread_mutex_lock(&l->mutex);
	l->result->read += n;
	l->done = l->source->done;
	if (resumed) {
		l->result->resumed += n;
		l->result->committed += n;
	}
	pthread_mutex_unlock(&l->mutex);
}

/* The next batch that is not committed yet; its n is 0 at the end. */
static int take(struct worker *w, struct error *err)
{
	struct load *l = w->load;
	bool resumed;
	int rc;

	pthread_mutex_lock(&l->source_mutex);
	do {
		rc = source_next(l->source, &w->batch, l->options->batch, err);
		if (rc != 0 || w->batch.n == 0)
			break;
		w->number = l->n_batches++;
		w->hash = batch_hash(&w->batch);
		ids_add(&l->result->ids, &w->batch);
		resumed = l->state && state_has(l->state, w->number, w->hash);
		count_read(l, w->batch.n, resumed);
	} while (resumed && !atomic_load(l->stop) && !atomic_load(&l->failed));
	pthread_mutex_unlock(&l->source_mutex);
	return rc;
}

static int prepare(struct worker *w, struct error *err)
{
	const struct load_options *o = w->load->options;
	struct batch *b = &w->batch;

	if (b->texts.len > 0) {
		float *rows = (float *)(void *)buf_extend(&b->rows, (size_t)b->n * o->dim * 4);
		int rc = embedder_run(w->embedder, (const char *)b->texts.data, b->n, o->dim, rows,
				      err);

		if (rc != 0)
			return rc;
		b->dim = o->dim;
	}
	if (o->json_body)
		upsert_json(b, o->vector_name, &w->body);
	else
		upsert_binary(b, &w->body);
	return 0;
}

static void note_retry(void *ctx, const char *text, double wait_s)
{
	struct load *l = ctx;
	uint64_t now = clock_monotonic_us();
	char line[600];

	pthread_mutex_lock(&l->mutex);
	l->result->retries++;
	if (now - l->noted_us > 2000000) {
		l->noted_us = now;
		snprintf(line, sizeof(line), "trying again in %.1f s: %s", wait_s, text);
		progress_note(&l->progress, line);
	}
	pthread_mutex_unlock(&l->mutex);
}

static int send_batch(struct worker *w, struct error *err)
{
	struct load *l = w->load;
	const struct load_options *o = l->options;
	const struct client_patience patience = {.patience_s = (double)o->retry_s,
						 .note = note_retry,
						 .ctx = l,
						 .stop = l->stop};
	char key[64];
	const struct client_request request = {
		.method = "PUT",
		.path = w->path,
		.body = w->body.data,
		.body_n = w->body.len,
		.content_type = o->json_body ? "application/json" : "application/octet-stream",
		.idempotency_key = key,
	};
	snprintf(key, sizeof(key), "ingest-%016" PRIx64 "-%" PRIu64,
		 hash64_seed(&w->hash, sizeof(w->hash), o->run), w->number);
	int rc = client_call_patiently(w->client, &request, &patience, NULL, err);
	if (rc == 0 && l->state)
		rc = state_add(l->state, w->number, w->hash, err);
	if (rc != 0)
		return rc;
	pthread_mutex_lock(&l->mutex);
	l->result->committed += w->batch.n;
	pthread_mutex_unlock(&l->mutex);
	return 0;
}

static void *work(void *ctx)
{
	struct worker *w = ctx;
	struct load *l = w->load;
	struct error err = {0};
	int rc = 0;

	while (rc == 0 && !atomic_load(l->stop) && !atomic_load(&l->failed)) {
		rc = take(w, &err);
		if (rc != 0 || w->batch.n == 0)
			break;
		if (atomic_load(l->stop) || atomic_load(&l->failed))
			break; /* a batch that was passed over as committed may lie in w->batch */
		rc = prepare(w, &err);
		if (rc == 0)
			rc = send_batch(w, &err);
	}
	if (rc != 0)
		fail(l, rc, &err);
	atomic_fetch_sub(&l->running, 1);
	return NULL;
}

static int start_worker(struct load *l, struct worker *w, struct arena *arena, struct error *err)
{
	const struct load_options *o = l->options;
	int rc;

	w->load = l;
	w->path = upsert_path(arena, o->collection, o->vector_name, !o->json_body);
	rc = client_new(&w->client, o->url, o->api_key, o->timeout_s, err);
	if (rc == 0)
		rc = embedder_new(&w->embedder, &o->embedder, err);
	if (rc != 0)
		return rc;
	atomic_fetch_add(&l->running, 1);
	if (pthread_create(&w->thread, NULL, work, w) != 0) {
		atomic_fetch_sub(&l->running, 1);
		return error_set(err, ERR_INTERNAL, "no thread could be started");
	}
	return 0;
}

static void watch(struct load *l)
{
	while (atomic_load(&l->running) > 0) {
		usleep(20000);
		pthread_mutex_lock(&l->mutex);
		progress_show(&l->progress, l->result->committed, l->done);
		pthread_mutex_unlock(&l->mutex);
	}
	progress_end(&l->progress);
}

int load_run(struct source *source, struct load_state *state, const struct load_options *options,
	     const atomic_bool *stop, struct load_result *result, struct error *err)
{
	static const atomic_bool never;
	struct load l = {.options = options,
			 .source = source,
			 .state = state,
			 .stop = stop ? stop : &never,
			 .result = result};
	struct worker *workers = mem_array(options->connections, sizeof(*workers));
	struct arena *arena = arena_new(1024);
	uint64_t start = clock_monotonic_us();
	uint32_t started = 0;
	int rc = 0;

	*result = (struct load_result){0};
	pthread_mutex_init(&l.mutex, NULL);
	pthread_mutex_init(&l.source_mutex, NULL);
	progress_begin(&l.progress, "points", options->quiet);
	while (started < options->connections && rc == 0) {
		rc = start_worker(&l, &workers[started], arena, err);
		started += rc == 0;
	}
	if (rc != 0)
		atomic_store(&l.failed, true);
	watch(&l);
	for (uint32_t i = 0; i < options->connections; i++) {
		if (i < started)
			pthread_join(workers[i].thread, NULL);
		client_free(workers[i].client);
		embedder_free(workers[i].embedder);
		batch_fini(&workers[i].batch);
		buf_fini(&workers[i].body);
	}
	result->seconds = (double)(clock_monotonic_us() - start) * 1e-6;
	result->stopped = atomic_load(l.stop);
	if (rc == 0 && l.rc != 0) {
		rc = l.rc;
		if (err)
			*err = l.err;
	}
	pthread_mutex_destroy(&l.mutex);
	pthread_mutex_destroy(&l.source_mutex);
	arena_free(arena);
	free(workers);
	return rc;
}
