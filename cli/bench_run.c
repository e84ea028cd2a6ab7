/* Loading, ground truth and the measurements of `quiver bench`. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "cli/bench.h"
#include "cli/client.h"
#include "cli/upsert.h"
#include "http/json.h"

enum { CHUNK_BYTES = 256 << 20, PART_MAX = 1000000, AGAIN_BATCH = 100, AGAIN_REQUESTS = 64 };

/* The made-up field of a point, evenly spread, whatever its vector is. */
static uint32_t part_of(uint64_t id)
{
	return (uint32_t)(hash64(&id, sizeof(id)) % PART_MAX);
}

static double seconds_now(void)
{
	return (double)clock_monotonic_us() * 1e-6;
}

static void free_requests(struct loadgen_request *requests, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(requests[i].bytes);
	free(requests);
}

static int check_answers(const struct loadgen_result *r, const char *what, struct error *err)
{
	if (r->errors == 0)
		return 0;
	return error_set(err, ERR_INTERNAL,
			 "%s: %" PRIu64 " requests were refused, the first with: %s", what,
			 r->errors, r->first_error);
}

/* ---- loading ---------------------------------------------------------------------------------- */

static struct loadgen_request make_upsert(const struct bench *b, uint32_t from, uint32_t n)
{
	bool json = strcmp(b->o.load_form, "json") == 0;
	char *path = upsert_path(b->arena, b->o.collection, NULL, !json);
	struct batch batch = {.n = n, .dim = b->rows.dim};
	struct buf body = BUF_INIT;
	struct loadgen_request request;

	for (uint32_t i = 0; i < n; i++) {
		batch_put_u64_id(&batch, from + i);
		if (b->n_filters > 1)
			buf_printf(&batch.payloads, "{\"part\":%u}\n", part_of(from + i));
	}
	buf_put(&batch.rows, b->rows.floats + (size_t)from * b->rows.dim,
		(size_t)n * b->rows.dim * sizeof(float));
	if (json)
		upsert_json(&batch, NULL, &body);
	else
		upsert_binary(&batch, &body);
	request = loadgen_request(&b->target, arena_printf(b->arena, "PUT %s", path),
				  json ? "application/json" : "application/octet-stream", body.data,
				  body.len);
	batch_fini(&batch);
	buf_fini(&body);
	return request;
}

/* One chunk of requests, made before its clock starts. */
static int load_chunk(struct bench *b, uint32_t *from, struct error *err)
{
	size_t n = 0, room = b->rows.n / b->o.batch + 2, bytes = 0;
	struct loadgen_request *requests = mem_array(room, sizeof(*requests));
	struct loadgen_result r;

	while (*from < b->rows.n && bytes < CHUNK_BYTES) {
		uint32_t some = (uint32_t)b->o.batch;

		if (some > b->rows.n - *from)
			some = b->rows.n - *from;
		requests[n] = make_upsert(b, *from, some);
		bytes += requests[n++].n;
		*from += some;
	}
	const struct loadgen_options options = {
		.target = &b->target,
		.requests = requests,
		.n_requests = n,
		.clients = (uint32_t)b->o.load_clients,
		.threads = 1,
		.once = true,
		.stop = b->stop,
	};
	int rc = loadgen_run(&options, &r, err);
	if (rc == 0)
		rc = check_answers(&r, "loading", err);
	b->load_seconds += r.seconds;
	b->load = r; /* latencies of the last chunk */
	free_requests(requests, n);
	return rc;
}

static int create(struct bench *b, struct error *err)
{
	const struct remote_spec spec = {
		.name = b->o.collection,
		.distance = b->distance,
		.dim = b->rows.dim,
		.index = b->o.index,
		.quantizer = b->o.quantizer,
		.m = b->o.m,
		.ef_construct = b->o.ef_construct,
		.nlist = b->o.nlist,
		.shards = b->o.shards,
		.on_disk = b->o.on_disk,
	};
	struct remote_collection info;
	bool existed;
	int rc = remote_get(b->client, b->o.collection, NULL, &info, err);

	if (rc == 0 && info.exists && b->o.reuse) {
		if (info.dim == b->rows.dim && info.points == b->rows.n)
			return 1;
		return error_set(err, ERR_INPUT,
				 "--reuse: collection %s has %" PRIu64
				 " points of %u values, the data "
				 "%u of %u",
				 b->o.collection, info.points, info.dim, b->rows.n, b->rows.dim);
	}
	if (rc == 0 && info.exists) {
		if (strcmp(b->o.collection, "quiver-bench") != 0)
			return error_set(
				err, ERR_EXISTS,
				"collection %s exists; --reuse measures it as it is, or delete "
				"it first",
				b->o.collection);
		rc = remote_delete(b->client, b->o.collection, &existed, err);
	}
	return rc == 0 ? remote_create(b->client, &spec, err) : rc;
}

int bench_load(struct bench *b, struct error *err)
{
	uint32_t from = 0;
	double start;
	int rc = create(b, err);

	b->n_points = b->rows.n;
	if (rc == 1) /* it is there already */
		return remote_wait_green(b->client, b->o.collection, 86400, b->stop, err);
	if (rc != 0)
		return rc;
	fprintf(stderr, "loading %u points\n", b->rows.n);
	while (rc == 0 && from < b->rows.n && !atomic_load(b->stop))
		rc = load_chunk(b, &from, err);
	if (rc != 0)
		return rc;
	b->loaded = true;
	b->load_rate = (double)from / b->load_seconds;
	uint64_t count;
	rc = remote_count(b->client, b->o.collection, NULL, &count, err);
	if (rc == 0 && count != b->rows.n && !atomic_load(b->stop))
		rc = error_set(err, ERR_CORRUPT,
			       "%u points were acknowledged but %" PRIu64 " are searchable",
			       b->rows.n, count);
	start = seconds_now();
	if (rc == 0 && !b->o.load_only) {
		fprintf(stderr, "waiting for the indexes\n");
		rc = remote_wait_green(b->client, b->o.collection, 86400, b->stop, err);
	}
	b->index_seconds = seconds_now() - start;
	return rc;
}

/* ---- queries ---------------------------------------------------------------------------------- */

struct query_shape {
	uint64_t effort;
	bool exact, by_nprobe;
	uint64_t k;
	double share;
};

static void put_query(const struct bench *b, const float *vector, const struct query_shape *q,
		      struct buf *out)
{
	bool search = strcmp(b->o.route, "search") == 0;

	buf_clear(out);
	buf_printf(out, "{\"%s\":", search ? "vector" : "query");
	json_put_floats(out, vector, b->queries.dim);
	buf_printf(out, ",\"limit\":%" PRIu64, q->k);
	if (q->share < 1)
		buf_printf(out,
			   ",\"filter\":{\"must\":[{\"key\":\"part\",\"range\":{\"lt\":%.0f}}]}",
			   q->share * PART_MAX);
	else if (b->o.filter)
		buf_printf(out, ",\"filter\":%s", b->o.filter);
	if (q->exact)
		json_put_literal(out, ",\"params\":{\"exact\":true}");
	else if (q->effort)
		buf_printf(out, ",\"params\":{\"%s\":%" PRIu64 "}",
			   q->by_nprobe ? "nprobe" : "hnsw_ef", q->effort);
	buf_put_u8(out, '}');
}

static struct loadgen_request *make_queries(const struct bench *b, const struct query_shape *q)
{
	struct loadgen_request *requests = mem_array(b->queries.n, sizeof(*requests));
	const char *route = strcmp(b->o.route, "search") == 0 ? "/points/search" : "/points/query";
	char *path = client_collection_path(b->arena, b->o.collection, route);
	struct buf body = BUF_INIT;

	path = arena_printf(b->arena, "POST %s", path);
	for (uint32_t i = 0; i < b->queries.n; i++) {
		put_query(b, b->queries.floats + (size_t)i * b->queries.dim, q, &body);
		requests[i] =
			loadgen_request(&b->target, path, "application/json", body.data, body.len);
	}
	buf_fini(&body);
	return requests;
}

/* ---- ground truth and recall ------------------------------------------------------------------ */

/* Answers by query: ids in the order of the answer. */
struct answers {
	int64_t *ids; /* n x k; -1: fewer hits */
	uint64_t k;
};

/* The ids of an answer: the numbers behind "id": (the answers hold no payload). */
static void read_ids(const char *body, size_t n, int64_t *out, uint64_t k)
{
	const char *at = body, *end = body + n;
	uint64_t found = 0;

	while (found < k && (at = memmem(at, (size_t)(end - at), "\"id\":", 5)) != NULL) {
		int64_t id = 0;

		for (at += 5; at < end && *at == ' '; at++)
			;
		for (; at < end && *at >= '0' && *at <= '9'; at++)
			id = id * 10 + (*at - '0');
		out[found++] = id;
	}
	while (found < k)
		out[found++] = -1;
}

static void take_answer(void *ctx, size_t request, const char *body, size_t n)
{
	struct answers *a = ctx;

	read_ids(body, n, a->ids + request * a->k, a->k);
}

/* Each query once; answers into a->ids. */
static int ask_all(struct bench *b, const struct query_shape *q, struct answers *a,
		   struct error *err)
{
	struct loadgen_request *requests = make_queries(b, q);
	struct loadgen_result r;
	const struct loadgen_options options = {
		.target = &b->target,
		.requests = requests,
		.n_requests = b->queries.n,
		.clients = 4,
		.threads = 1,
		.once = true,
		.stop = b->stop,
		.answer = take_answer,
		.ctx = a,
	};
	int rc = loadgen_run(&options, &r, err);

	if (rc == 0)
		rc = check_answers(&r, "searching", err);
	free_requests(requests, b->queries.n);
	return rc;
}

static int find_truth(struct bench *b, double share, struct matrix *truth, struct error *err)
{
	const struct query_shape exact = {.exact = true, .k = b->o.k, .share = share};
	struct answers a = {.k = b->o.k};

	*truth = (struct matrix){.n = b->queries.n, .dim = (uint32_t)b->o.k};
	truth->numbers = a.ids = mem_array((size_t)b->queries.n * b->o.k, sizeof(*a.ids));
	return ask_all(b, &exact, &a, err);
}

int bench_find_truth(struct bench *b, struct error *err)
{
	int rc = 0;

	if (b->truth.numbers == NULL || b->n_filters > 1)
		fprintf(stderr, "finding the ground truth of %u queries with exact searches\n",
			b->queries.n);
	if (b->truth.numbers == NULL) {
		b->truth_name = "exact searches of the server";
		rc = find_truth(b, 1, &b->truth, err);
	}
	b->filters[0].truth = b->truth;
	for (size_t i = 1; i < b->n_filters && rc == 0; i++)
		rc = find_truth(b, b->filters[i].share, &b->filters[i].truth, err);
	return rc;
}

static void count_hits(const struct bench *b, const int64_t *truth, const int64_t *got,
		       uint64_t *hits, uint64_t *wanted)
{
	for (uint64_t j = 0; j < b->o.k; j++) {
		if (truth[j] < 0)
			continue;
		++*wanted;
		for (uint64_t l = 0; l < b->o.k; l++) {
			if (got[l] == truth[j]) {
				++*hits;
				break;
			}
		}
	}
}

void bench_count_hits(const struct bench *b, size_t query, const char *body, size_t n,
		      uint64_t *hits, uint64_t *wanted)
{
	int64_t got[1000]; /* k at most */

	read_ids(body, n, got, b->o.k);
	count_hits(b, b->truth.numbers + query * b->truth.dim, got, hits, wanted);
}

static int measure_recall(struct bench *b, const struct query_shape *q, const struct matrix *truth,
			  double *out, struct error *err)
{
	struct answers a = {.k = b->o.k};
	uint64_t hits = 0, wanted = 0;
	int rc;

	a.ids = mem_array((size_t)b->queries.n * b->o.k, sizeof(*a.ids));
	rc = ask_all(b, q, &a, err);
	for (size_t i = 0; i < b->queries.n; i++)
		count_hits(b, truth->numbers + i * truth->dim, a.ids + i * b->o.k, &hits, &wanted);
	*out = wanted ? (double)hits / (double)wanted : 0;
	free(a.ids);
	return rc;
}

/* ---- upserts at the same time ------------------------------------------------------------------ */

/* Points that are there already are written again as they are: answers stay the same. */
struct again {
	struct bench *b;
	struct loadgen_request requests[AGAIN_REQUESTS];
	size_t n;
	atomic_bool stop;
	pthread_t thread;
	struct loadgen_result result;
	int rc;
	struct error err;
};

static void *write_again(void *ctx)
{
	struct again *a = ctx;
	const struct loadgen_options options = {
		.target = &a->b->target,
		.requests = a->requests,
		.n_requests = a->n,
		.clients = 4,
		.threads = 1,
		.seconds = 86400,
		.rate = (double)a->b->o.upserts / AGAIN_BATCH,
		.seed = 9,
		.stop = &a->stop,
	};

	a->rc = loadgen_run(&options, &a->result, &a->err);
	return NULL;
}

static int again_start(struct bench *b, struct again *a, struct error *err)
{
	*a = (struct again){.b = b};
	for (; a->n < AGAIN_REQUESTS && (a->n + 1) * AGAIN_BATCH <= b->rows.n; a->n++)
		a->requests[a->n] = make_upsert(b,
						(uint32_t)(a->n * (b->rows.n / AGAIN_REQUESTS) %
							   (b->rows.n - AGAIN_BATCH + 1)),
						AGAIN_BATCH);
	if (a->n == 0)
		return error_set(err, ERR_INPUT, "--upserts needs %d points or more", AGAIN_BATCH);
	if (pthread_create(&a->thread, NULL, write_again, a) != 0)
		return error_set(err, ERR_NOMEM, "no thread could be started");
	return 0;
}

static int again_end(struct again *a, double seconds, double *rate, struct error *err)
{
	atomic_store(&a->stop, true);
	pthread_join(a->thread, NULL);
	for (size_t i = 0; i < a->n; i++)
		free(a->requests[i].bytes);
	*rate = (double)a->result.answers * AGAIN_BATCH / seconds;
	if (a->rc) {
		if (err)
			*err = a->err;
		return a->rc;
	}
	return check_answers(&a->result, "writing meanwhile", err);
}

/* ---- speed ------------------------------------------------------------------------------------ */

static int compare_qps(const void *a, const void *b)
{
	double x = ((const struct loadgen_result *)a)->qps,
	       y = ((const struct loadgen_result *)b)->qps;

	return (x > y) - (x < y);
}

/* The run with the median of the throughputs. */
static int time_point(struct bench *b, const struct loadgen_request *requests,
		      struct bench_point *p, struct error *err)
{
	struct loadgen_result *results = mem_array(b->o.runs, sizeof(*results));
	struct loadgen_options options = {
		.target = &b->target,
		.requests = requests,
		.n_requests = b->queries.n,
		.clients = p->clients,
		.threads = (uint32_t)b->o.threads,
		.warmup_s = b->o.warmup,
		.seconds = b->o.seconds,
		.rate = p->rate,
		.stop = b->stop,
	};
	struct bench_use before, after = {0};
	double queries = 0;
	int rc = bench_use(b, &before, err);

	for (uint64_t i = 0; i < b->o.runs && rc == 0; i++) {
		options.seed = 1000 + i;
		rc = loadgen_run(&options, &results[i], err);
		if (rc == 0)
			rc = check_answers(&results[i], "searching", err);
		queries += (double)results[i].asked;
		options.warmup_s = b->o.warmup / 2;
	}
	if (rc == 0)
		rc = bench_use(b, &after, err);
	if (queries > 0)
		p->cpu_us = (after.cpu_s - before.cpu_s) * 1e6 / queries;
	if (rc == 0) {
		qsort(results, b->o.runs, sizeof(*results), compare_qps);
		p->r = results[b->o.runs / 2];
	}
	free(results);
	return rc;
}

static int measure_point(struct bench *b, const struct loadgen_request *requests,
			 struct bench_point *p, struct error *err)
{
	struct again *again = b->o.upserts ? mem_alloc(sizeof(*again)) : NULL;
	double begin = seconds_now();
	int rc = again ? again_start(b, again, err) : 0, again_rc;

	if (rc == 0) {
		rc = time_point(b, requests, p, err);
		if (again) {
			again_rc = again_end(again, seconds_now() - begin, &p->upserts,
					     rc == 0 ? err : NULL);
			rc = rc ? rc : again_rc;
		}
	}
	free(again);
	return rc;
}

static struct bench_point *new_point(struct bench *b, const struct bench_point *like)
{
	size_t n = b->n_points_measured++;

	b->points = mem_resize(b->points, (n + 1) * sizeof(*b->points));
	b->points[n] = *like;
	return &b->points[n];
}

static int measure_effort(struct bench *b, uint64_t effort, const struct bench_filter *filter,
			  struct error *err)
{
	const struct query_shape q = {.effort = effort,
				      .by_nprobe = b->by_nprobe,
				      .k = b->o.k,
				      .share = filter->share};
	struct loadgen_request *requests;
	double recall;
	int rc = measure_recall(b, &q, &filter->truth, &recall, err);

	if (rc != 0)
		return rc;
	requests = make_queries(b, &q);
	for (size_t i = 0; i < b->n_clients + b->n_rates && rc == 0 && !atomic_load(b->stop); i++) {
		bool open = i >= b->n_clients;
		struct bench_point p = {.effort = effort, .recall = recall, .share = filter->share};

		p.clients = (uint32_t)(open ? b->o.rate_clients : b->clients[i]);
		p.rate = open ? (double)b->rates[i - b->n_clients] : 0;
		rc = measure_point(b, requests, &p, err);
		if (rc != 0)
			break;
		new_point(b, &p);
		fprintf(stderr,
			"%s %" PRIu64
			"  filter %g  recall %.4f  %s %.0f  %.0f QPS  p50 %.0f us  p99 %.0f us\n",
			b->by_nprobe ? "nprobe" : "ef", effort, p.share, recall,
			open ? "rate" : "clients", open ? p.rate : (double)p.clients, p.r.qps,
			p.r.p50_us, p.r.p99_us);
	}
	free_requests(requests, b->queries.n);
	return rc;
}

struct loadgen_request *bench_make_queries(const struct bench *b, uint64_t effort)
{
	const struct query_shape q = {.effort = effort,
				      .by_nprobe = b->by_nprobe,
				      .k = b->o.k,
				      .share = 1};

	return make_queries(b, &q);
}

void bench_free_queries(const struct bench *b, struct loadgen_request *requests)
{
	free_requests(requests, b->queries.n);
}

int bench_measure(struct bench *b, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; i < b->n_efforts && rc == 0 && !atomic_load(b->stop); i++) {
		for (size_t f = 0; f < b->n_filters && rc == 0 && !atomic_load(b->stop); f++)
			rc = measure_effort(b, b->efforts[i], &b->filters[f], err);
	}
	if (rc == 0)
		rc = bench_use(b, &b->use, err);
	if (rc == 0 && atomic_load(b->stop))
		rc = error_set(err, ERR_CLOSED, "stopped");
	return rc;
}
