/* The thread of the control plane. Its loop: take everything that was posted, step the machine for
 * each, write what the updates ask for, sync once, send what waited for the sync, tell the machine.
 * So commands that come together share one sync.
 *
 * A full disk: new commands are refused before the machine sees them; when a write fails all the
 * same, the loop waits for space and refuses commands meanwhile. Reading the map goes on.
 * A machine that finds its log in contradiction with the cluster's stops taking part; the last map
 * stays in force.
 */
#include "coordinator/meta_runtime.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/memory.h"
#include "coordinator/meta_disk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	META_FREE_BYTES = 4 << 20, /* less than this on the disk: no new commands */
	META_DISK_RETRY_US = 50000,
	META_MESSAGES_QUEUED = 20000, /* more are dropped: the peers send again */
};

enum post_type { POST_REQUEST, POST_MESSAGE, POST_STOP };

struct post {
	struct mail mail;
	enum post_type type;
	struct meta_event event;
	struct buf bytes;
	char *address;
	meta_done_fn done;
	void *ctx;
	struct post *next, *prev; /* requests that the machine has */
};

struct held {
	struct held *next;
	struct meta_message message;
	char *address;
};

struct meta_runtime {
	struct meta_runtime_options options;
	const struct clock *clock;
	struct meta *meta;
	struct meta_disk disk;
	struct mailbox *mailbox;
	pthread_t thread;
	bool has_thread; /* the loop runs, or is about to */
	atomic_uint n_messages;
	atomic_ullong busy_since_us; /* 0: it waits for something to do */

	/* The loop's own. */
	struct mail *taken; /* posts that were taken and not yet looked at */
	struct post *requests;
	struct held *held, **held_end;
	uint64_t unsynced; /* number of the last update that was written, not synced; 0 = none */
	uint64_t tick_us;
	bool stopping, complained;

	pthread_spinlock_t map_lock;
	const struct map *map;
	pthread_mutex_t status_lock;
	struct meta_runtime_status status;
};

static uint64_t now_us(const struct meta_runtime *rt)
{
	return rt->clock->monotonic_us(rt->clock->ctx);
}

static uint64_t random_u64(void)
{
	uint64_t v = 0;

	while (getrandom(&v, sizeof(v), 0) != sizeof(v))
		continue;
	return v;
}

/* ---- posts ---- */

static struct post *post_new(enum post_type type)
{
	struct post *p = mem_zalloc(sizeof(*p));

	p->type = type;
	return p;
}

static void post_free(struct post *p)
{
	buf_fini(&p->bytes);
	free(p->address);
	free(p);
}

static void post_answer(struct post *p, const struct error *result, uint64_t index)
{
	if (p->done != NULL)
		p->done(p->ctx, result, index);
	post_free(p);
}

static void refuse(struct post *p, int code, const char *text)
{
	struct error err;

	error_set(&err, code, "%s", text);
	post_answer(p, &err, 0);
}

static void post_send(struct meta_runtime *rt, struct post *p)
{
	if (!mailbox_post(rt->mailbox, &p->mail))
		refuse(p, ERR_CLOSED, "the control plane of this node is stopping");
}

static void link_request(struct meta_runtime *rt, struct post *p)
{
	p->next = rt->requests;
	p->prev = NULL;
	if (p->next != NULL)
		p->next->prev = p;
	rt->requests = p;
}

static void unlink_request(struct meta_runtime *rt, struct post *p)
{
	if (p->next != NULL)
		p->next->prev = p->prev;
	if (p->prev != NULL)
		p->prev->next = p->next;
	else
		rt->requests = p->next;
}

/* ---- the outside's view ---- */

const struct map *meta_runtime_map(struct meta_runtime *rt)
{
	const struct map *m;

	pthread_spin_lock(&rt->map_lock);
	m = map_ref(rt->map);
	pthread_spin_unlock(&rt->map_lock);
	return m;
}

static void publish_map(struct meta_runtime *rt)
{
	const struct map *next = map_ref(meta_map(rt->meta)), *old;

	pthread_spin_lock(&rt->map_lock);
	old = rt->map;
	rt->map = next;
	pthread_spin_unlock(&rt->map_lock);
	map_unref(old);
	if (rt->options.on_map != NULL)
		rt->options.on_map(rt->options.ctx, next);
}

static void publish_status(struct meta_runtime *rt)
{
	struct meta_runtime_status *s = &rt->status;
	struct meta_member member;
	uint32_t n = 0;

	pthread_mutex_lock(&rt->status_lock);
	s->leader = meta_leader(rt->meta);
	s->is_leader = meta_is_leader(rt->meta);
	s->term = meta_term(rt->meta);
	s->commit = meta_commit_index(rt->meta);
	s->applied = meta_applied_index(rt->meta);
	for (size_t i = 0; n < 16 && meta_member(rt->meta, i, &member); i++) {
		s->members[n].id = member.id;
		s->members[n].voter = member.voter;
		strncpy(s->members[n].address, member.address, sizeof(s->members[n].address) - 1);
		n++;
	}
	s->n_members = n;
	pthread_mutex_unlock(&rt->status_lock);
}

void meta_runtime_status(struct meta_runtime *rt, struct meta_runtime_status *out)
{
	pthread_mutex_lock(&rt->status_lock);
	*out = rt->status;
	pthread_mutex_unlock(&rt->status_lock);
}

uint64_t meta_runtime_busy_us(struct meta_runtime *rt)
{
	uint64_t since = atomic_load_explicit(&rt->busy_since_us, memory_order_relaxed);
	uint64_t now = now_us(rt);

	return since != 0 && now > since ? now - since : 0;
}

/* ---- executing updates ---- */

static void send_messages(struct meta_runtime *rt, const struct meta_update *u)
{
	for (size_t i = 0; i < u->n_messages; i++) {
		const struct meta_message *m = &u->messages[i];
		struct held *h;

		if (rt->unsynced == 0) {
			rt->options.send(rt->options.ctx, m);
			continue;
		}
		h = mem_zalloc(sizeof(*h));
		h->message = *m;
		h->message.bytes = mem_copy(m->bytes, m->n);
		h->address = mem_strdup(m->address);
		h->message.address = h->address;
		*rt->held_end = h;
		rt->held_end = &h->next;
	}
}

static void release_held(struct meta_runtime *rt, bool send)
{
	while (rt->held != NULL) {
		struct held *h = rt->held;

		rt->held = h->next;
		if (send)
			rt->options.send(rt->options.ctx, &h->message);
		free(h->message.bytes);
		free(h->address);
		free(h);
	}
	rt->held_end = &rt->held;
}

static void deliver(struct meta_runtime *rt, const struct meta_update *u)
{
	for (size_t i = 0; i < u->n_results; i++) {
		struct post *p = (struct post *)(uintptr_t)u->results[i].tag;

		unlink_request(rt, p);
		post_answer(p, &u->results[i].error, u->results[i].index);
	}
}

static struct post *next_post(struct meta_runtime *rt)
{
	struct post *p = (struct post *)rt->taken;

	if (p != NULL)
		rt->taken = rt->taken->next;
	return p;
}

/* The disk is full in the middle of an update. Nothing can be taken back, so wait for space, and
 * say no to whoever asks meanwhile. */
static void wait_for_space(struct meta_runtime *rt, const struct error *why)
{
	struct post *p;

	if (!rt->complained)
		log_error("meta", "%s; waiting for space", why->text);
	rt->complained = true;
	if (rt->taken == NULL)
		rt->taken = mailbox_take(rt->mailbox, META_DISK_RETRY_US);
	while ((p = next_post(rt)) != NULL) {
		if (p->type == POST_REQUEST) {
			refuse(p, ERR_DISK_FULL,
			       "the disk of the control plane is full; free space and try again");
			continue;
		}
		if (p->type == POST_STOP)
			rt->stopping = true;
		else
			atomic_fetch_sub(&rt->n_messages, 1);
		post_free(p);
	}
}

static void break_down(struct meta_runtime *rt, const struct error *why);

static void write_update(struct meta_runtime *rt, const struct meta_update *u)
{
	struct error err = {0};
	int rc;

	while ((rc = meta_disk_write(&rt->disk, u, &err)) != 0) {
		if (!rt->has_thread) { /* the start itself fails */
			break_down(rt, &err);
			return;
		}
		if (rc != ERR_DISK_FULL) {
			log_error("meta", "the control plane cannot be saved, the process ends: %s",
				  err.text);
			abort();
		}
		wait_for_space(rt, &err);
		if (rt->stopping)
			return;
	}
	rt->complained = false;
	if (u->persist)
		rt->unsynced = u->number;
}

static void break_down(struct meta_runtime *rt, const struct error *why)
{
	if (rt->has_thread)
		log_error("meta", "this node takes no part in the control plane any more: %s",
			  why->text);
	pthread_mutex_lock(&rt->status_lock);
	rt->status.broken = *why;
	pthread_mutex_unlock(&rt->status_lock);
	while (rt->requests != NULL) {
		struct post *p = rt->requests;

		unlink_request(rt, p);
		post_answer(p, why, 0);
	}
	rt->tick_us = UINT64_MAX;
	rt->unsynced = 0;
	release_held(rt, false);
}

static bool is_broken(const struct meta_runtime *rt)
{
	return rt->status.broken.code != 0; /* written by this thread only */
}

static void step(struct meta_runtime *rt, struct meta_event *event)
{
	struct meta_update u;
	struct error err = {0};

	if (is_broken(rt) || rt->stopping)
		return;
	event->now_us = now_us(rt);
	if (meta_step(rt->meta, event, &u, &err) < 0) {
		break_down(rt, &err);
		return;
	}
	if (u.persist || u.drop_before != 0)
		write_update(rt, &u);
	if (rt->stopping || is_broken(rt))
		return;
	rt->tick_us = u.next_tick_us;
	send_messages(rt, &u);
	publish_status(rt);
	if (u.map_changed)
		publish_map(rt);
	deliver(rt, &u);
}

/* One sync for all that was written; it may lead to more to write. */
static void sync_and_tell(struct meta_runtime *rt)
{
	while (rt->unsynced != 0 && !rt->stopping) {
		struct meta_event event = {.type = META_PERSISTED, .persisted = rt->unsynced};

		meta_disk_sync(&rt->disk);
		rt->unsynced = 0;
		release_held(rt, true);
		step(rt, &event);
	}
}

/* ---- the loop ---- */

static bool disk_is_full(struct meta_runtime *rt)
{
	uint64_t bytes;

	return rt->disk.io.free_bytes != NULL &&
	       rt->disk.io.free_bytes(rt->disk.io.ctx, &bytes, NULL) == 0 &&
	       bytes < META_FREE_BYTES;
}

static void take_request(struct meta_runtime *rt, struct post *p)
{
	struct error broken = rt->status.broken;

	if (broken.code != 0) {
		post_answer(p, &broken, 0);
		return;
	}
	if (rt->stopping) {
		refuse(p, ERR_CLOSED, "the control plane of this node is stopping");
		return;
	}
	if (p->event.type == META_SUBMIT && disk_is_full(rt)) {
		refuse(p, ERR_DISK_FULL,
		       "the disk of the control plane is nearly full; free space and try again");
		return;
	}
	link_request(rt, p);
	p->event.tag = (uint64_t)(uintptr_t)p;
	step(rt, &p->event);
}

static void take(struct meta_runtime *rt, struct post *p)
{
	switch (p->type) {
	case POST_REQUEST: take_request(rt, p); return;
	case POST_MESSAGE:
		atomic_fetch_sub(&rt->n_messages, 1);
		step(rt, &p->event);
		break;
	case POST_STOP: rt->stopping = true; break;
	}
	post_free(p);
}

static void *loop(void *arg)
{
	struct meta_runtime *rt = arg;

	pthread_setname_np(pthread_self(), "meta");
	while (!rt->stopping) {
		struct meta_event tick = {.type = META_TICK};
		uint64_t now = now_us(rt);
		struct post *p;

		rt->taken = mailbox_take(rt->mailbox, rt->tick_us > now ? rt->tick_us - now : 0);
		atomic_store_explicit(&rt->busy_since_us, now_us(rt), memory_order_relaxed);
		while ((p = next_post(rt)) != NULL)
			take(rt, p);
		if (now_us(rt) >= rt->tick_us)
			step(rt, &tick);
		sync_and_tell(rt);
		atomic_store_explicit(&rt->busy_since_us, 0, memory_order_relaxed);
	}
	return NULL;
}

/* ---- life ---- */

static int load(struct meta_runtime *rt, struct error *err)
{
	const struct meta_runtime_options *o = &rt->options;
	struct arena *arena = arena_new(4096);
	struct meta_saved saved;
	struct meta_options options = {.self = o->self,
				       .seed = random_u64(),
				       .now_us = now_us(rt),
				       .heartbeat_us = o->heartbeat_us,
				       .election_timeout_us = o->election_timeout_us,
				       .snapshot_entries = o->snapshot_entries,
				       .bootstrap = o->bootstrap,
				       .n_bootstrap = o->n_bootstrap,
				       .cluster_id = o->cluster_id};
	int rc;

	rt->disk = (struct meta_disk){.io = o->io, .self = o->self, .cluster_id = o->cluster_id};
	rc = meta_disk_open(&rt->disk, arena, &saved, err);
	if (rc == 0)
		rc = meta_new(&options, &saved, &rt->meta, err);
	arena_free(arena);
	return rc;
}

/* The first step, on the caller's thread: a single node elects itself and applies its log. */
static int first_step(struct meta_runtime *rt, struct error *err)
{
	struct meta_event tick = {.type = META_TICK};
	const struct map *before;

	rt->map = map_ref(meta_map(rt->meta));
	before = rt->map;
	step(rt, &tick);
	sync_and_tell(rt);
	if (is_broken(rt)) {
		if (err != NULL)
			*err = rt->status.broken;
		return rt->status.broken.code;
	}
	if (rt->stopping)
		return error_set(err, ERR_CLOSED, "stopped");
	if (rt->map == before && rt->options.on_map != NULL)
		rt->options.on_map(rt->options.ctx, rt->map);
	return 0;
}

static void runtime_free(struct meta_runtime *rt)
{
	meta_free(rt->meta);
	meta_disk_close(&rt->disk);
	release_held(rt, false);
	map_unref(rt->map);
	mailbox_free(rt->mailbox);
	pthread_spin_destroy(&rt->map_lock);
	pthread_mutex_destroy(&rt->status_lock);
	free(rt);
}

int meta_runtime_start(struct meta_runtime **out, const struct meta_runtime_options *o,
		       struct error *err)
{
	struct meta_runtime *rt = mem_zalloc(sizeof(*rt));
	int rc;

	assert(o->self != 0 && o->send != NULL);
	rt->options = *o;
	rt->clock = o->clock != NULL ? o->clock : clock_real();
	rt->mailbox = mailbox_new();
	rt->held_end = &rt->held;
	pthread_spin_init(&rt->map_lock, PTHREAD_PROCESS_PRIVATE);
	pthread_mutex_init(&rt->status_lock, NULL);
	rc = load(rt, err);
	if (rc == 0)
		rc = first_step(rt, err);
	rt->options.bootstrap = NULL;
	rt->has_thread = rc == 0;
	if (rc == 0 && pthread_create(&rt->thread, NULL, loop, rt) != 0)
		rc = error_set(err, ERR_NOMEM, "the thread of the control plane cannot be started");
	if (rc < 0) {
		mailbox_close(rt->mailbox);
		runtime_free(rt);
		return rc;
	}
	*out = rt;
	return 0;
}

void meta_runtime_stop(struct meta_runtime *rt)
{
	struct post *p;

	if (rt == NULL || !rt->has_thread)
		return;
	post_send(rt, post_new(POST_STOP));
	pthread_join(rt->thread, NULL);
	rt->has_thread = false;
	mailbox_close(rt->mailbox);
	while ((rt->taken = mailbox_take(rt->mailbox, 0)) != NULL) {
		while ((p = next_post(rt)) != NULL)
			take(rt, p);
	}
	while ((p = rt->requests) != NULL) {
		unlink_request(rt, p);
		refuse(p, ERR_CLOSED,
		       "the node stopped before the result was known; asking again is safe");
	}
}

void meta_runtime_free(struct meta_runtime *rt)
{
	if (rt == NULL)
		return;
	meta_runtime_stop(rt);
	runtime_free(rt);
}

/* ---- requests ---- */

static struct post *request_new(enum meta_event_type type, meta_done_fn done, void *ctx)
{
	struct post *p = post_new(POST_REQUEST);

	p->event.type = type;
	p->done = done;
	p->ctx = ctx;
	return p;
}

void meta_runtime_submit(struct meta_runtime *rt, const struct map_command *command,
			 meta_done_fn done, void *ctx)
{
	struct post *p = request_new(META_SUBMIT, done, ctx);
	struct map_command c = *command;

	if (c.command_hi == 0 && c.command_lo == 0) {
		c.command_hi = random_u64();
		c.command_lo = random_u64() | 1;
	}
	map_command_encode(&p->bytes, &c);
	p->event.bytes = p->bytes.data;
	p->event.n = p->bytes.len;
	post_send(rt, p);
}

void meta_runtime_read(struct meta_runtime *rt, meta_done_fn done, void *ctx)
{
	post_send(rt, request_new(META_READ, done, ctx));
}

void meta_runtime_change(struct meta_runtime *rt, int change, const struct meta_voter *voter,
			 meta_done_fn done, void *ctx)
{
	struct post *p = request_new(META_CHANGE, done, ctx);

	p->address = mem_strdup(voter->address != NULL ? voter->address : "");
	p->event.change = change;
	p->event.voter = (struct meta_voter){voter->id, p->address};
	post_send(rt, p);
}

void meta_runtime_transfer(struct meta_runtime *rt, uint64_t to, meta_done_fn done, void *ctx)
{
	struct post *p = request_new(META_TRANSFER, done, ctx);

	p->event.voter.id = to;
	post_send(rt, p);
}

void meta_runtime_message(struct meta_runtime *rt, uint64_t from, const void *bytes, size_t n)
{
	struct post *p;

	if (atomic_fetch_add(&rt->n_messages, 1) >= META_MESSAGES_QUEUED) {
		atomic_fetch_sub(&rt->n_messages, 1);
		return;
	}
	p = post_new(POST_MESSAGE);
	buf_put(&p->bytes, bytes, n);
	p->event.type = META_MESSAGE;
	p->event.from = from;
	p->event.bytes = p->bytes.data;
	p->event.n = n;
	post_send(rt, p);
}
