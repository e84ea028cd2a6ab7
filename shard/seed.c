/* The source of a seed: pins. See seed.h. */
#include "shard/seed.h"
#include "base/hash.h"
#include "base/memory.h"
#include "shard/seed_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
enum { TAIL_BYTES = 4096 };

struct pinned_file {
	struct seed_file file;
	struct store_file *open;
};

struct seed_pin {
	struct seed_pin *next;
	uint32_t refs; /* under the lock: the list, and each reader */
	uint64_t id;
	struct hosted *h;
	uint64_t from;    /* who copies */
	uint64_t log_seq; /* the log from here on is kept */
	uint64_t used_us;
	struct pinned_file *files;
	uint32_t n_files, cap_files;
	struct arena *arena; /* names */
};

/* ---- the list ---- */

static void pin_free(struct seed_pin *pin)
{
	for (uint32_t i = 0; i < pin->n_files; i++)
		pin->h->io.close(pin->files[i].open);
	free(pin->files);
	arena_free(pin->arena);
	hosted_unref(pin->h);
	free(pin);
}

/* The lock is held; what nobody uses any more goes to `dead`, to be freed without the lock. */
static void pin_unref(struct seed_pin *pin, struct seed_pin **dead)
{
	if (--pin->refs > 0)
		return;
	pin->next = *dead;
	*dead = pin;
}

static void free_all(struct seed_pin *dead)
{
	while (dead != NULL) {
		struct seed_pin *next = dead->next;

		pin_free(dead);
		dead = next;
	}
}

/* Takes out of the list what `match` says. */
static void end_pins(struct shard *s, bool (*match)(const struct seed_pin *pin, const void *arg),
		     const void *arg)
{
	struct seed_pin *dead = NULL;

	pthread_mutex_lock(&s->seeds->lock);
	for (struct seed_pin **at = &s->seeds->pins; *at != NULL;) {
		struct seed_pin *pin = *at;

		if (match(pin, arg)) {
			*at = pin->next;
			s->seeds->n_pins--;
			pin_unref(pin, &dead);
		} else {
			at = &pin->next;
		}
	}
	pthread_mutex_unlock(&s->seeds->lock);
	free_all(dead);
}

static bool every_pin(const struct seed_pin *pin, const void *arg)
{
	return true;
}

static bool is_old(const struct seed_pin *pin, const void *now_us)
{
	return *(const uint64_t *)now_us > pin->used_us + SEED_PIN_US;
}

static bool is_of(const struct seed_pin *pin, const void *h)
{
	return pin->h == h;
}

static bool is_same_copy(const struct seed_pin *pin, const void *other)
{
	const struct seed_pin *o = other;

	return pin != o && pin->h == o->h && pin->from == o->from;
}

void pins_tick(struct shard *s)
{
	uint64_t now = now_us(s);

	end_pins(s, is_old, &now);
}

void pins_end(struct shard *s, const struct hosted *h)
{
	if (h != NULL)
		end_pins(s, is_of, h);
	else
		end_pins(s, every_pin, NULL);
}

uint64_t seeds_log_floor(struct shard *s, const struct hosted *h)
{
	uint64_t floor = UINT64_MAX;

	pthread_mutex_lock(&s->seeds->lock);
	for (const struct seed_pin *pin = s->seeds->pins; pin != NULL; pin = pin->next)
		if (pin->h == h && pin->log_seq < floor)
			floor = pin->log_seq;
	pthread_mutex_unlock(&s->seeds->lock);
	return floor;
}

/* ---- seed_open ---- */

struct opening {
	struct task task;
	struct rpc_call *call;
	struct manifest m;
	struct seed_pin *pin;
	uint64_t segment; /* being listed */
};

static bool is_unfinished(const char *name)
{
	static const char *const ends[] = {".tmp", ".new", ".sum-new", ".part"};
	size_t n = strlen(name);

	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
		size_t end = strlen(ends[i]);

		if (n > end && strcmp(name + n - end, ends[i]) == 0)
			return true;
	}
	return false;
}

/* Files of a segment end in checksums of all that is before: the end and the size tell one from another. */
static int fingerprint(const struct store_io *io, struct pinned_file *f, struct error *err)
{
	uint8_t tail[TAIL_BYTES];
	uint64_t size;
	size_t got = 0;
	int rc = io->size(f->open, &size, err);
	size_t n = size < TAIL_BYTES ? (size_t)size : TAIL_BYTES;

	if (rc == 0)
		rc = io->read(f->open, size - n, tail, n, &got, err);
	if (rc == 0 && got != n)
		rc = error_set(err, ERR_CORRUPT, "%s ends too early", f->file.name);
	f->file.size = size;
	f->file.hash = hash64_seed(tail, n, size);
	return rc;
}

static int open_file(void *ctx, const char *name)
{
	struct opening *o = ctx;
	struct seed_pin *pin = o->pin;
	const struct store_io *io = &pin->h->io;
	struct pinned_file f = {.file = {.segment = o->segment}};
	char path[512];
	int rc;

	if (is_unfinished(name))
		return 0;
	snprintf(path, sizeof path, "seg-%llu/%s", (unsigned long long)o->segment, name);
	rc = io->open(io->ctx, path, false, &f.open, &o->task.err);
	if (rc == ERR_NOT_FOUND) /* an index that is being replaced right now */
		return 0;
	if (rc)
		return rc;
	f.file.name = arena_strdup(pin->arena, name);
	rc = fingerprint(io, &f, &o->task.err);
	if (rc == 0 && pin->n_files == SEED_FILES_MAX)
		rc = error_set(&o->task.err, ERR_TOO_LARGE, "there are more than %d files",
			       SEED_FILES_MAX);
	if (rc) {
		io->close(f.open);
		return rc;
	}
	if (pin->n_files == pin->cap_files) {
		pin->cap_files = pin->cap_files ? pin->cap_files * 2 : 64;
		pin->files = mem_resize(pin->files, pin->cap_files * sizeof *pin->files);
	}
	pin->files[pin->n_files++] = f;
	return 0;
}

/* On the keeper thread, which is the one that removes segments: those of the newest base are all there. */
static void open_run(struct task *t)
{
	struct opening *o = CONTAINER(t, struct opening, task);
	const struct store_io *io = &o->pin->h->io;

	for (uint32_t i = 0; i < o->m.n_segments && t->rc == 0; i++) {
		char folder[32];

		if (o->m.segments[i].quarantined)
			continue;
		o->segment = o->m.segments[i].id;
		snprintf(folder, sizeof folder, "seg-%llu", (unsigned long long)o->segment);
		t->rc = io->list(io->ctx, folder, open_file, o, &t->err);
	}
}

static void answer_open(struct opening *o)
{
	struct rpc_seed_open_response *a = o->call->response;
	struct seed_pin *pin = o->pin;
	struct seed_file *files = arena_alloc(o->call->arena, (pin->n_files + 1) * sizeof *files);
	struct buf bytes = BUF_INIT;

	manifest_encode(&bytes, &o->m);
	a->pin = pin->id;
	a->manifest = arena_copy(o->call->arena, bytes.data, bytes.len);
	a->n_manifest = (uint32_t)bytes.len;
	a->n_files = pin->n_files;
	for (uint32_t i = 0; i < pin->n_files; i++) {
		files[i] = pin->files[i].file;
		files[i].name = arena_strdup(o->call->arena, files[i].name);
	}
	a->files = files;
	buf_fini(&bytes);
}

static bool is_pin(const struct seed_pin *pin, const void *id)
{
	return pin->id == *(const uint64_t *)id;
}

static void open_done(struct task *t)
{
	struct opening *o = CONTAINER(t, struct opening, task);
	struct rpc_call *call = o->call;
	struct hosted *h = t->h;
	int rc = t->rc;

	if (rc == 0) {
		end_pins(t->shard, is_same_copy, o->pin);
		o->pin->used_us = now_us(t->shard);
		answer_open(o);
	} else {
		call->err = t->err;
		end_pins(t->shard, is_pin, &o->pin->id);
	}
	manifest_fini(&o->m);
	pins_release(t->shard, o->pin);
	free(o);
	hosted_task_back(h);
	hosted_unref(h);
	rpc_finish(call, rc);
}

/* On the loop thread. */
static void open_arrived(struct task *t)
{
	struct opening *o = CONTAINER(t, struct opening, task);
	struct rpc_call *call = o->call;
	const struct rpc_seed_open_request *q = call->request;
	struct hosted *h = t->h;
	struct seed_pin *pin;

	if (h->closing) {
		free(o);
		hosted_unref(h);
		rpc_finish(call, error_set(&call->err, ERR_CLOSED, "this shard is being closed"));
		return;
	}
	manifest_of_base(h, &o->m);
	pin = mem_zalloc(sizeof *pin);
	pin->refs = 2; /* the list's, and this one */
	pin->h = hosted_ref(h);
	pin->from = q->from;
	pin->log_seq = o->m.applied_seq + 1;
	pin->used_us = now_us(t->shard);
	pin->arena = arena_new(4096);
	o->pin = pin;
	pthread_mutex_lock(&t->shard->seeds->lock);
	pin->id = ++t->shard->seeds->last_pin;
	pin->next = t->shard->seeds->pins;
	t->shard->seeds->pins = pin;
	t->shard->seeds->n_pins++;
	pthread_mutex_unlock(&t->shard->seeds->lock);
	o->task.run = open_run;
	o->task.done = open_done;
	task_to_worker(&t->shard->keeper, &o->task);
}

static bool too_many(struct shard *s)
{
	bool many;

	pthread_mutex_lock(&s->seeds->lock);
	many = s->seeds->n_pins >= SEED_PINS_MAX;
	pthread_mutex_unlock(&s->seeds->lock);
	return many;
}

enum { DAMAGE = sizeof((struct host_status){0}.warning) };

/* `damage`: which segments, and how much is in them. */
static bool is_damaged(struct hosted *h, char damage[DAMAGE])
{
	bool damaged;

	pthread_mutex_lock(&h->view_lock);
	damaged = h->status.quarantined;
	memcpy(damage, h->status.warning, DAMAGE);
	pthread_mutex_unlock(&h->view_lock);
	return damaged;
}

void serve_seed_open(struct shard *s, struct rpc_call *call)
{
	const struct rpc_seed_open_request *q = call->request;
	struct hosted *h = table_find(s, q->target.collection_id, q->target.partition);
	struct opening *o;
	char damage[DAMAGE];
	int rc = 0;

	if (h == NULL)
		rc = error_set(&call->err, ERR_STALE, "shard %u is not on this node",
			       q->target.partition);
	else if (h->failed.code)
		rc = error_set(&call->err, ERR_UNAVAILABLE, "shard %u could not be opened: %s",
			       h->partition, h->failed.text);
	else if (is_damaged(h, damage))
		rc = error_set(
			&call->err, ERR_CORRUPT,
			"shard %u is damaged on node %llu, a copy of it would lack the same: %s",
			h->partition, (unsigned long long)s->options.self_node, damage);
	else if (too_many(s))
		rc = error_set(&call->err, ERR_BUSY, "%d copies of shards are being made here",
			       SEED_PINS_MAX);
	if (rc) {
		hosted_unref(h);
		rpc_finish(call, rc);
		return;
	}
	o = mem_zalloc(sizeof *o);
	o->task = (struct task){.done = open_arrived, .shard = s, .h = h};
	o->call = call;
	task_to_loop(&o->task);
}

/* ---- seed_read, seed_close ---- */

/* A reference, or NULL. */
static struct seed_pin *pin_find(struct shard *s, uint64_t id)
{
	struct seed_pin *pin;

	pthread_mutex_lock(&s->seeds->lock);
	for (pin = s->seeds->pins; pin != NULL && pin->id != id; pin = pin->next)
		continue;
	if (pin != NULL) {
		pin->refs++;
		pin->used_us = now_us(s);
	}
	pthread_mutex_unlock(&s->seeds->lock);
	return pin;
}

void pins_release(struct shard *s, struct seed_pin *pin)
{
	struct seed_pin *dead = NULL;

	pthread_mutex_lock(&s->seeds->lock);
	pin_unref(pin, &dead);
	pthread_mutex_unlock(&s->seeds->lock);
	free_all(dead);
}

static const struct pinned_file *file_find(const struct seed_pin *pin, uint64_t segment,
					   const char *name)
{
	for (uint32_t i = 0; i < pin->n_files; i++)
		if (pin->files[i].file.segment == segment &&
		    strcmp(pin->files[i].file.name, name) == 0)
			return &pin->files[i];
	return NULL;
}

static int read_piece(const struct seed_pin *pin, const struct rpc_seed_read_request *q,
		      struct rpc_call *call)
{
	struct rpc_seed_read_response *a = call->response;
	const struct pinned_file *f = file_find(pin, q->segment, q->name);
	uint8_t *bytes;
	size_t got = 0;
	int rc;

	if (f == NULL || q->offset > f->file.size || q->n > SEED_READ_MAX)
		return error_set(&call->err, ERR_INPUT,
				 "seg-%llu/%s at %llu is not in what was opened",
				 (unsigned long long)q->segment, q->name,
				 (unsigned long long)q->offset);
	bytes = arena_alloc(call->arena, q->n + 1);
	rc = pin->h->io.read(f->open, q->offset, bytes, q->n, &got, &call->err);
	a->bytes = bytes;
	a->n = (uint32_t)got;
	a->hash = hash64(bytes, got);
	return rc;
}

void serve_seed_read(struct shard *s, struct rpc_call *call)
{
	const struct rpc_seed_read_request *q = call->request;
	struct seed_pin *pin = pin_find(s, q->pin);
	int rc;

	if (pin == NULL) {
		rc = error_set(&call->err, ERR_STALE,
			       "the copy of shard %u took a break of more than %d s: open it again",
			       q->target.partition, SEED_PIN_US / 1000000);
	} else {
		rc = read_piece(pin, q, call);
		pins_release(s, pin);
	}
	rpc_finish(call, rc);
}

/* The files are let go. The log stays until the pin's time is over: the new replica has only begun to ask for it. */
void serve_seed_close(struct shard *s, struct rpc_call *call)
{
	const struct rpc_seed_close_request *q = call->request;
	struct rpc_seed_close_response *a = call->response;
	struct seed_pin *pin = pin_find(s, q->pin);
	struct pinned_file *files = NULL;
	uint32_t n = 0;

	a->was_open = pin != NULL;
	if (pin != NULL) {
		pthread_mutex_lock(&s->seeds->lock);
		if (pin->refs == 2) { /* nobody reads */
			files = pin->files;
			n = pin->n_files;
			pin->files = NULL;
			pin->n_files = pin->cap_files = 0;
		}
		pthread_mutex_unlock(&s->seeds->lock);
		for (uint32_t i = 0; i < n; i++)
			pin->h->io.close(files[i].open);
		free(files);
		pins_release(s, pin);
	}
	rpc_finish(call, 0);
}
