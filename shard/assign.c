/* What this node hosts: opening, adopting and dropping replicas as the shard map says. */
#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "shard/begin.h"
#include "shard/host.h"
#include "shard/seed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

enum { LOCK_PAUSE_US = 5000 };

/* A request to the loop thread that the caller waits for. */
struct loop_call {
	struct task task;
	const struct shard_assignment *a;
	sem_t done;
};

static void ask_loop(struct shard *s, struct hosted *h, void (*fn)(struct task *),
		     const struct shard_assignment *a)
{
	struct loop_call c = {.task = {.done = fn, .shard = s, .h = h}, .a = a};

	sem_init(&c.done, 0, 0);
	task_to_loop(&c.task);
	while (sem_wait(&c.done))
		;
	sem_destroy(&c.done);
}

static void host_on_loop(struct task *t)
{
	struct loop_call *c = CONTAINER(t, struct loop_call, task);
	struct hosted *h = t->h;

	h->next = t->shard->hosted;
	t->shard->hosted = h;
	hosted_config(h, c->a);
	if (t->shard->contact_us)
		hosted_event(h, &(struct replica_event){.type = EVENT_CONTACT,
							.at_us = t->shard->contact_us});
	hosted_tick(h);
	/* A primary stores the epoch before it does anything in it. */
	if (h->machine.disk_busy)
		h->opened = &c->done;
	else
		sem_post(&c->done);
}

static void config_on_loop(struct task *t)
{
	struct loop_call *c = CONTAINER(t, struct loop_call, task);

	hosted_config(t->h, c->a);
	sem_post(&c->done);
}

static void close_on_loop(struct task *t)
{
	struct loop_call *c = CONTAINER(t, struct loop_call, task);

	hosted_close(t->h, &c->done);
}

/* ---- the table ---- */

static int by_place(const void *a, const void *b)
{
	const struct hosted *x = *(struct hosted *const *)a, *y = *(struct hosted *const *)b;

	if (x->collection_id != y->collection_id)
		return x->collection_id < y->collection_id ? -1 : 1;
	return (x->partition > y->partition) - (x->partition < y->partition);
}

/* Takes over the array and its references; gives back the old one. */
static struct hosted **publish_table(struct shard *s, struct hosted **table, size_t n,
				     size_t *n_old)
{
	struct hosted **old;

	qsort(table, n, sizeof *table, by_place);
	pthread_rwlock_wrlock(&s->table_lock);
	old = s->table;
	*n_old = s->n_table;
	s->table = table;
	s->n_table = n;
	pthread_rwlock_unlock(&s->table_lock);
	return old;
}

/* ---- dropping ---- */

static int collect_name(void *ctx, const char *name)
{
	struct buf *names = ctx;

	buf_put(names, name, strlen(name) + 1);
	return 0;
}

static void remove_folder(struct shard *s, const char *folder)
{
	struct store_io *io = &s->options.io;
	struct buf names = BUF_INIT;
	struct error err = {0};
	int rc = io->list(io->ctx, folder, collect_name, &names, &err);

	for (size_t at = 0; rc == 0 && at < names.len; at += strlen((char *)names.data + at) + 1) {
		char path[512];

		snprintf(path, sizeof path, "%s/%s", folder, (char *)names.data + at);
		if (io->remove(io->ctx, path, NULL))
			rc = io->remove_tree(io->ctx, path, &err);
	}
	if (rc == 0)
		rc = io->remove_tree(io->ctx, folder, &err);
	if (rc)
		log_warn("shard", "the folder %s of a dropped shard is left: %s", folder, err.text);
	buf_fini(&names);
}

static uint64_t highest_epoch(const struct hosted *h)
{
	uint64_t epoch = h->config.epoch;

	epoch = h->epochs.epoch > epoch ? h->epochs.epoch : epoch;
	return h->machine.epoch > epoch ? h->machine.epoch : epoch;
}

static void close_hosted(struct shard *s, struct hosted *h)
{
	if (!h->failed.code)
		ask_loop(s, h, close_on_loop, NULL);
}

/* a: what is assigned instead; NULL: nothing is known. */
static void drop(struct shard *s, struct hosted *h, const struct shard_assignment *a)
{
	char folder[sizeof h->folder];
	uint64_t collection_id = h->collection_id;
	uint32_t partition = h->partition;
	bool keep;

	memcpy(folder, h->folder, sizeof folder);
	__atomic_store_n(&h->doomed, true, __ATOMIC_RELEASE);
	seeds_forget(s, h);
	close_hosted(s, h);
	keep = a && begin_keeps(highest_epoch(h), &a->config);
	hosted_unref(h);
	if (keep || s->options.old_assignments)
		return; /* a newer one may name it again, with what is in it */
	staging_remove(s, folder);
	remove_folder(s, folder);
	known_remove(s, collection_id, partition);
}

void assign_close_all(struct shard *s)
{
	size_t n;
	struct hosted **old;

	pthread_mutex_lock(&s->assign_lock);
	old = publish_table(s, mem_array(1, sizeof *old), 0, &n);
	for (size_t i = 0; i < n; i++) {
		close_hosted(s, old[i]);
		hosted_unref(old[i]);
	}
	free(old);
	pthread_mutex_unlock(&s->assign_lock);
}

/* ---- assigning ---- */

static const struct shard_assignment *assignment_of(const struct hosted *h,
						    const struct shard_assignment *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].collection->id == h->collection_id && list[i].partition == h->partition)
			return &list[i];
	return NULL;
}

static bool is_current(struct hosted *h, const struct shard_assignment *a)
{
	bool current;

	pthread_mutex_lock(&h->view_lock);
	current = h->view->schema->revision == a->collection->revision &&
		  h->config.epoch == a->config.epoch;
	pthread_mutex_unlock(&h->view_lock);
	return current;
}

/* One that is being rebuilt is opened as the newest map says. */
static void expect(struct hosted *h, const struct shard_assignment *a)
{
	pthread_mutex_lock(&h->view_lock);
	h->config = a->config;
	state_set_schema(&h->state, a->collection);
	pthread_mutex_unlock(&h->view_lock);
}

/* One that is open takes on what is new; NULL: it is not. */
static struct hosted *adopt(struct shard *s, const struct shard_assignment *a)
{
	struct hosted *h = table_find(s, a->collection->id, a->partition);

	if (h && h->failed.code && !seeds_busy(h)) {
		hosted_unref(h); /* it is tried again */
		return NULL;
	}
	if (h && h->failed.code)
		expect(h, a);
	else if (h && !is_current(h, a))
		ask_loop(s, h, config_on_loop, a);
	return h;
}

/* What it held, or was to hold, is elsewhere: it is made anew from there. */
static void make_anew(struct shard *s, struct hosted *h, const struct map_partition *c)
{
	if (s->options.rpc && map_among(c->learners, c->n_learners, s->options.self_node))
		seeds_want(h, c->primary);
}

static struct hosted *open_one(struct shard *s, const struct shard_assignment *a, int *rc,
			       struct error *err)
{
	struct hosted *h;
	struct error own = {0};
	int opened = hosted_open(s, a, &h, &own);

	if (opened == 0) {
		ask_loop(s, h, host_on_loop, a);
		return h;
	}
	if (opened == ERR_UNAVAILABLE) { /* it is asked for again when the map is confirmed */
		log_debug("shard", "%s", own.text);
		return h;
	}
	log_error("shard", "%s", own.text);
	if (*rc == 0) {
		*rc = opened;
		if (err)
			*err = own;
	}
	if (opened == ERR_CORRUPT)
		make_anew(s, h, &a->config);
	return h;
}

int shard_assign(struct shard *s, const struct shard_assignment *list, size_t n, struct error *err)
{
	struct hosted **table, **old;
	size_t n_old, here = 0;
	int rc = 0;

	pthread_mutex_lock(&s->assign_lock);
	table = mem_array(n + 1, sizeof *table);
	/* What is open must not wait for what has to be opened. */
	for (size_t i = 0; i < n; i++)
		table[i] = list[i].elsewhere ? NULL : adopt(s, &list[i]);
	for (size_t i = 0; i < n; i++)
		if (!list[i].elsewhere)
			table[here++] = table[i] ? table[i] : open_one(s, &list[i], &rc, err);
	old = publish_table(s, table, here, &n_old);
	for (size_t i = 0; i < n_old; i++) {
		const struct shard_assignment *a = assignment_of(old[i], list, n);

		if (a && !a->elsewhere)
			hosted_unref(old[i]);
		else
			drop(s, old[i], a);
	}
	free(old);
	pthread_mutex_unlock(&s->assign_lock);
	return rc;
}

/* ---- once more ---- */

/* Who is dropped while it waits here would wait for ever: the dropping one holds the lock. */
static int lock_for(struct shard *s, struct hosted *h, struct error *err)
{
	while (pthread_mutex_trylock(&s->assign_lock)) {
		if (__atomic_load_n(&h->doomed, __ATOMIC_ACQUIRE))
			return error_set(err, ERR_CLOSED, "%s is dropped", h->folder);
		usleep(LOCK_PAUSE_US);
	}
	return 0;
}

static struct hosted **table_copy(struct shard *s, const struct hosted *h, size_t *at)
{
	struct hosted **table = mem_array(s->n_table + 1, sizeof *table);

	*at = s->n_table;
	for (size_t i = 0; i < s->n_table; i++) {
		table[i] = s->table[i];
		if (table[i] == h)
			*at = i;
	}
	return table;
}

int assign_reopen(struct shard *s, struct hosted *h,
		  int (*meanwhile)(void *ctx, uint64_t epoch, struct error *err), void *ctx,
		  struct error *err)
{
	struct shard_assignment a;
	struct hosted **table, *again;
	struct error own = {0};
	size_t at, n;
	int rc = lock_for(s, h, err), opened;

	if (rc)
		return rc;
	table = table_copy(s, h, &at);
	if (at == s->n_table) {
		free(table);
		pthread_mutex_unlock(&s->assign_lock);
		return error_set(err, ERR_CLOSED, "%s was dropped", h->folder);
	}
	a = (struct shard_assignment){collection_ref(h->state.schema), h->partition, h->config};
	close_hosted(s, h);
	rc = meanwhile(ctx, highest_epoch(h), err);
	opened = hosted_open(s, &a, &again, &own);
	if (opened == 0)
		ask_loop(s, again, host_on_loop, &a);
	else
		log_error("shard", "%s", own.text);
	if (rc == 0 && opened && err)
		*err = own;
	table[at] = again;
	free(publish_table(s, table, s->n_table, &n));
	__atomic_store_n(&h->doomed, true, __ATOMIC_RELEASE);
	hosted_unref(h);
	/* Whatever the reason: nobody else would try again before the map changes. */
	if (opened)
		make_anew(s, again, &a.config);
	collection_unref(a.collection);
	pthread_mutex_unlock(&s->assign_lock);
	return rc ? rc : opened;
}
