/* The target of a seed: copies files piece by piece. See seed.h. */
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "shard/seed_internal.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	OPEN_US = 30000000, /* the source looks at every file */
	READ_US = 10000000,
	CLOSE_US = 1000000,
	LOOK_US = 50000, /* between looks whether it is still wanted */
	TRIES = 3,       /* for a piece that arrives damaged, and for a segment */
};

struct pull {
	struct seed_job *job;
	struct shard *s;
	struct hosted *h;
	uint64_t from;
	struct rpc_target target;
	struct arena *arena; /* the listing */
	uint64_t pin;
	struct manifest manifest;
	struct seed_listing listing;
	struct store_io io; /* the staging folder */
	const struct collection *schema;
	uint64_t begun_us, bytes; /* for the rate limit */
};

static int cancelled(struct error *err)
{
	return error_set(err, ERR_CLOSED, "it is not wanted any more");
}

/* ---- calls that are waited for ---- */

/* No semaphore: the thread sanitizer does not know sem_clockwait(), and takes every word of a piece for
 * a race, which costs it half a minute and more for each. */
struct ending {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended;
};

static void call_done(struct rpc_call *call)
{
	struct ending *e = call->ctx;

	pthread_mutex_lock(&e->lock);
	e->ended = true;
	/* Under the lock: it is gone as soon as the one that waits is let in. */
	pthread_cond_signal(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

/* Waits for LOOK_US at most. */
static bool has_ended(struct ending *e)
{
	uint64_t us = clock_monotonic_us() + LOOK_US;
	struct timespec until = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
	bool ended;
	int rc = 0;

	pthread_mutex_lock(&e->lock);
	while (!e->ended && rc == 0)
		rc = pthread_cond_clockwait(&e->changed, &e->lock, CLOCK_MONOTONIC, &until);
	ended = e->ended;
	pthread_mutex_unlock(&e->lock);
	return ended;
}

struct question {
	enum rpc_type type;
	const void *request;
	void *response;
	struct arena *arena; /* of the answer */
	uint64_t patience_us;
};

static int ask(struct pull *p, const struct question *q, struct error *err)
{
	struct ending ending = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
	bool told = false;
	struct rpc_call call = {.type = q->type,
				.request = q->request,
				.response = q->response,
				.arena = q->arena,
				.deadline_us = clock_monotonic_us() + q->patience_us,
				.done = call_done,
				.ctx = &ending};

	rpc_send(p->s->options.rpc, p->from, &call);
	while (!has_ended(&ending)) {
		if (!told && seed_job_ends(p->job)) {
			rpc_cancel(p->s->options.rpc, p->from, &call);
			told = true;
		}
	}
	pthread_cond_destroy(&ending.changed);
	pthread_mutex_destroy(&ending.lock);
	if (call.rc != 0 && err)
		*err = call.err;
	return call.rc;
}

/* ---- opening the source ---- */

static int check_listing(const struct pull *p, struct error *err)
{
	const struct manifest *m = &p->manifest;

	if (m->collection_id != p->h->collection_id || m->partition != p->h->partition)
		return error_set(err, ERR_CORRUPT, "node %llu sent shard %u of collection %llu",
				 (unsigned long long)p->from, m->partition,
				 (unsigned long long)m->collection_id);
	for (uint32_t i = 0; i < p->listing.n_files; i++) {
		const struct seed_file *f = &p->listing.files[i];
		bool known = false;

		for (uint32_t j = 0; j < m->n_segments && !known; j++)
			known = m->segments[j].id == f->segment;
		if (!known || f->name[0] == '\0' || f->name[0] == '.' ||
		    strchr(f->name, '/') != NULL || strlen(f->name) > 200)
			return error_set(err, ERR_CORRUPT, "node %llu names a file `%.80s`",
					 (unsigned long long)p->from, f->name);
	}
	return 0;
}

static int open_source(struct pull *p, struct error *err)
{
	struct rpc_seed_open_request q = {p->target, p->s->options.self_node};
	struct rpc_seed_open_response a = {0};
	struct question open = {RPC_TYPE_seed_open, &q, &a, p->arena, OPEN_US};
	int rc = ask(p, &open, err);

	if (rc)
		return rc;
	p->pin = a.pin;
	p->listing = (struct seed_listing){p->from, a.files, a.n_files};
	rc = manifest_decode(a.manifest, a.n_manifest, &p->manifest, err);
	return rc ? rc : check_listing(p, err);
}

/* ---- one file ---- */

static void keep_to_rate(struct pull *p)
{
	uint64_t limit = p->s->options.seed_bytes_per_s;
	uint64_t due;

	if (limit == 0)
		return;
	due = p->begun_us + p->bytes * 1000000 / limit;
	for (uint64_t now; (now = clock_monotonic_us()) < due && !seed_job_ends(p->job);)
		usleep((useconds_t)(due - now < LOOK_US ? due - now : LOOK_US));
}

/* One piece, as often as it takes until it arrives whole. */
static int read_piece(struct pull *p, const struct rpc_seed_read_request *q, struct arena *arena,
		      struct rpc_seed_read_response *a, struct error *err)
{
	struct question read = {RPC_TYPE_seed_read, q, a, arena, READ_US};

	for (int i = 0; i < TRIES; i++) {
		int rc;

		arena_reset(arena);
		*a = (struct rpc_seed_read_response){0};
		rc = ask(p, &read, err);
		if (rc)
			return rc;
		if (a->n <= q->n && hash64(a->bytes, a->n) == a->hash)
			return 0;
		__atomic_fetch_add(&p->s->seeds->refetched, 1, __ATOMIC_RELAXED);
	}
	return error_set(err, ERR_CORRUPT, "bytes %llu.. of seg-%llu/%s arrive damaged",
			 (unsigned long long)q->offset, (unsigned long long)q->segment, q->name);
}

static int copy_from(struct pull *p, const struct seed_file *f, struct store_file *to,
		     uint64_t offset, struct error *err)
{
	struct arena *arena = arena_new(1 << 16);
	int rc = 0;

	while (offset < f->size && rc == 0) {
		uint64_t left = f->size - offset;
		struct rpc_seed_read_request q = {
			.target = p->target,
			.pin = p->pin,
			.segment = f->segment,
			.name = f->name,
			.offset = offset,
			.n = left < SEED_READ_MAX ? (uint32_t)left : SEED_READ_MAX,
		};
		struct rpc_seed_read_response a;

		rc = seed_job_ends(p->job) ? cancelled(err) : read_piece(p, &q, arena, &a, err);
		if (rc == 0 && a.n != q.n)
			rc = error_set(err, ERR_CORRUPT, "seg-%llu/%s ends at %llu, not at %llu",
				       (unsigned long long)f->segment, f->name,
				       (unsigned long long)offset + a.n,
				       (unsigned long long)f->size);
		if (rc == 0)
			rc = p->io.write(to, offset, a.bytes, a.n, err);
		if (rc)
			break;
		offset += a.n;
		p->bytes += a.n;
		__atomic_fetch_add(&p->s->seeds->bytes, a.n, __ATOMIC_RELAXED);
		keep_to_rate(p);
	}
	arena_free(arena);
	return rc;
}

/* Goes on with what is there of it. */
static int copy_file(struct pull *p, const struct seed_file *f, struct error *err)
{
	struct store_file *to = NULL;
	char path[320], part[330];
	uint64_t have = 0;
	int rc;

	snprintf(path, sizeof path, "seg-%llu/%s", (unsigned long long)f->segment, f->name);
	snprintf(part, sizeof part, "%s.part", path);
	if (p->io.open(p->io.ctx, path, false, &to, NULL) == 0) {
		rc = p->io.size(to, &have, err);
		p->io.close(to);
		if (rc || have == f->size)
			return rc;
	}
	rc = p->io.open(p->io.ctx, part, true, &to, err);
	if (rc)
		return rc;
	rc = p->io.size(to, &have, err);
	have = have < f->size ? have - have % SEED_READ_MAX : 0;
	if (rc == 0)
		rc = p->io.truncate(to, have, err);
	if (rc == 0)
		rc = copy_from(p, f, to, have, err);
	if (rc == 0)
		p->io.sync(to);
	p->io.close(to);
	return rc ? rc : p->io.rename(p->io.ctx, part, path, err);
}

/* ---- segments ---- */

static int copy_segment(struct pull *p, uint64_t id, struct error *err)
{
	char folder[32];
	int rc;

	snprintf(folder, sizeof folder, "seg-%llu", (unsigned long long)id);
	rc = p->io.mkdirs(p->io.ctx, folder, err);
	for (uint32_t i = 0; i < p->listing.n_files && rc == 0; i++)
		if (p->listing.files[i].segment == id)
			rc = copy_file(p, &p->listing.files[i], err);
	if (rc == 0)
		p->io.sync_dir(p->io.ctx, folder);
	return rc;
}

static int verify_segment(struct pull *p, const struct manifest_segment *m, struct error *err)
{
	struct segment *segment = NULL;
	int rc = segment_open(&p->io, m->id, p->schema, &segment, err);

	if (rc)
		return rc;
	rc = segment_verify(segment, err);
	if (rc == 0 && segment_rows(segment) != m->n_rows)
		rc = error_set(err, ERR_CORRUPT, "it has %u rows, not %u", segment_rows(segment),
			       m->n_rows);
	segment_close(segment);
	return rc;
}

/* What is damaged is fetched again: a crash may have left it so, or the source's own copy is. */
static int get_segment(struct pull *p, const struct manifest_segment *m, struct error *err)
{
	int rc = 0;

	for (int i = 0; i < TRIES; i++) {
		char folder[32];

		rc = copy_segment(p, m->id, err);
		if (rc)
			return rc;
		rc = verify_segment(p, m, err);
		if (rc != ERR_CORRUPT && rc != ERR_NOT_FOUND && rc != ERR_FORMAT)
			break;
		__atomic_fetch_add(&p->s->seeds->refetched, 1, __ATOMIC_RELAXED);
		snprintf(folder, sizeof folder, "seg-%llu", (unsigned long long)m->id);
		p->io.remove_tree(p->io.ctx, folder, NULL);
	}
	return rc ? error_wrap(err, rc, "segment %llu", (unsigned long long)m->id) : 0;
}

static int get_segments(struct pull *p, struct error *err)
{
	char path[512];
	int rc = staging_prepare(p->s, p->h->folder, &p->listing, err);

	staging_path(p->h->folder, path, sizeof path);
	if (rc == 0)
		rc = store_io_sub(&p->s->options.io, path, &p->io, err);
	for (uint32_t i = 0; i < p->manifest.n_segments && rc == 0; i++)
		if (!p->manifest.segments[i].quarantined)
			rc = get_segment(p, &p->manifest.segments[i], err);
	if (rc == 0)
		p->io.sync_dir(p->io.ctx, "");
	return rc;
}

/* ---- all of it ---- */

struct installing {
	struct shard *s;
	const char *folder;
	const struct manifest *manifest;
};

/* The old replica is closed. */
static int install_files(void *ctx, uint64_t epoch, struct error *err)
{
	struct installing *i = ctx;

	return staging_install(i->s, i->folder, i->manifest, epoch, err);
}

static void pull_begin(struct pull *p, struct seed_job *job)
{
	struct hosted *h = job->h;

	*p = (struct pull){.job = job, .s = h->shard, .h = h, .arena = arena_new(1 << 16)};
	manifest_init(&p->manifest);
	p->begun_us = clock_monotonic_us();
	pthread_mutex_lock(&p->s->seeds->lock);
	p->from = job->from;
	pthread_mutex_unlock(&p->s->seeds->lock);
	pthread_mutex_lock(&h->view_lock);
	p->schema = collection_ref(h->view != NULL ? h->view->schema : h->state.schema);
	pthread_mutex_unlock(&h->view_lock);
	p->target = (struct rpc_target){.collection_id = h->collection_id,
					.revision = p->schema->revision,
					.partition = h->partition};
}

static void pull_end(struct pull *p)
{
	struct rpc_seed_close_request q = {p->target, p->pin};
	struct rpc_seed_close_response a = {0};
	struct question close = {RPC_TYPE_seed_close, &q, &a, p->arena, CLOSE_US};

	if (p->pin != 0)
		ask(p, &close, NULL);
	if (p->io.ctx != NULL)
		store_io_fini(&p->io);
	manifest_fini(&p->manifest);
	collection_unref(p->schema);
	arena_free(p->arena);
}

int seed_pull(struct seed_job *job, struct error *err)
{
	struct pull p;
	struct installing i;
	int rc;

	pull_begin(&p, job);
	i = (struct installing){p.s, p.h->folder, &p.manifest};
	rc = open_source(&p, err);
	if (rc == 0)
		rc = get_segments(&p, err);
	if (rc == 0 && seed_job_ends(job))
		rc = cancelled(err);
	if (rc == 0)
		rc = assign_reopen(p.s, p.h, install_files, &i, err);
	if (rc == 0)
		log_debug("shard", "%s: copied from node %llu up to %llu, %llu bytes", p.h->folder,
			  (unsigned long long)p.from, (unsigned long long)p.manifest.applied_seq,
			  (unsigned long long)p.bytes);
	pull_end(&p);
	return rc;
}
