/* The control plane's thread on a real disk: restart, one sync for many, identity, a full disk, and
 * three of them in one process. Nothing here asserts how long something takes. */
#include "base/clock.h"
#include "base/memory.h"
#include "cluster/map_build.h"
#include "coordinator/meta_runtime.h"
#include "tests/unit/cluster/fixture.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a node ---- */

struct cluster;
struct node {
	struct cluster *cluster;
	uint64_t id;
	char folder[64];
	struct store_io io;
	struct meta_runtime *rt;
	atomic_ulong mapped; /* index of the last map that on_map was given */
	atomic_uint maps;
};
struct cluster {
	struct node nodes[4]; /* by id */
	struct meta_voter voters[3];
	size_t n;
	pthread_rwlock_t lock; /* nodes come and go */
	atomic_bool cut[4];
};

static void node_send(void *ctx, const struct meta_message *m)
{
	struct node *n = ctx;
	struct cluster *c = n->cluster;

	if (c->cut[n->id] || c->cut[m->to] || pthread_rwlock_tryrdlock(&c->lock) != 0)
		return; /* lost */
	if (c->nodes[m->to].rt != NULL)
		meta_runtime_message(c->nodes[m->to].rt, n->id, m->bytes, m->n);
	pthread_rwlock_unlock(&c->lock);
}

static void node_on_map(void *ctx, const struct map *m)
{
	struct node *n = ctx;

	assert(m->index >= n->mapped);
	n->mapped = m->index;
	n->maps++;
}

static int node_start(struct node *n, uint64_t snapshot_entries, struct error *err)
{
	struct cluster *c = n->cluster;
	struct meta_runtime_options o = {.io = n->io,
					 .self = n->id,
					 .cluster_id = 77,
					 .bootstrap = c->voters,
					 .n_bootstrap = c->n,
					 .send = node_send,
					 .on_map = node_on_map,
					 .ctx = n,
					 .snapshot_entries = snapshot_entries};
	struct meta_runtime *rt = NULL;
	int rc;

	n->mapped = 0;
	n->maps = 0;
	rc = meta_runtime_start(&rt, &o, err);
	pthread_rwlock_wrlock(&c->lock);
	n->rt = rt;
	pthread_rwlock_unlock(&c->lock);
	return rc;
}

static void node_stop(struct node *n)
{
	struct meta_runtime *rt = n->rt;

	pthread_rwlock_wrlock(&n->cluster->lock);
	n->rt = NULL;
	pthread_rwlock_unlock(&n->cluster->lock);
	meta_runtime_free(rt);
}

static struct cluster *cluster_new(size_t n)
{
	static const char *addresses[] = {"a:1", "b:1", "c:1"};
	struct cluster *c = mem_zalloc(sizeof(*c));

	pthread_rwlock_init(&c->lock, NULL);
	c->n = n;
	for (size_t i = 1; i <= n; i++) {
		struct node *node = &c->nodes[i];

		node->cluster = c;
		node->id = i;
		c->voters[i - 1] = (struct meta_voter){i, addresses[i - 1]};
		snprintf(node->folder, sizeof(node->folder), "/tmp/quiver-meta-XXXXXX");
		assert_non_null(mkdtemp(node->folder));
		assert_int_equal(store_io_real(node->folder, &node->io, NULL), 0);
	}
	return c;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void cluster_free(struct cluster *c)
{
	for (size_t i = 1; i <= c->n; i++) {
		node_stop(&c->nodes[i]);
		store_io_fini(&c->nodes[i].io);
		nftw(c->nodes[i].folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	}
	pthread_rwlock_destroy(&c->lock);
	free(c);
}

/* ---- waiting ---- */

struct waiter {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	unsigned n_done;
	unsigned n_ok;
	struct error last;
	uint64_t index;
	struct node *node;
};

#define WAITER_INIT                                                                                \
	{                                                                                          \
		.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER            \
	}

static void on_done(void *ctx, const struct error *result, uint64_t index)
{
	struct waiter *w = ctx;

	pthread_mutex_lock(&w->mutex);
	/* The map of the command was handed out before its answer. */
	if (result->code == 0 && w->node != NULL)
		assert(w->node->mapped >= index);
	w->n_done++;
	w->n_ok += result->code == 0;
	w->last = *result;
	w->index = index;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->mutex);
}

static void wait_for(struct waiter *w, unsigned n)
{
	pthread_mutex_lock(&w->mutex);
	while (w->n_done < n)
		pthread_cond_wait(&w->changed, &w->mutex);
	pthread_mutex_unlock(&w->mutex);
}

static void submit(struct node *n, const char *name, struct waiter *w)
{
	struct map_command c = {.type = MAP_KEY_PUT, .key = {.name = name}};

	w->node = n;
	meta_runtime_submit(n->rt, &c, on_done, w);
}

static int submit_and_wait(struct node *n, const char *name)
{
	struct waiter w = WAITER_INIT;

	submit(n, name, &w);
	wait_for(&w, 1);
	return w.last.code;
}

static bool has_key(struct node *n, const char *name)
{
	const struct map *m = meta_runtime_map(n->rt);
	bool found;

	map_find_key(m, name, &found);
	map_unref(m);
	return found;
}

/* ---- one node ---- */

static void test_single_restart(void **state)
{
	struct cluster *c = cluster_new(1);
	struct node *n = &c->nodes[1];
	struct meta_runtime_status s;
	char name[16];

	for (int round = 0; round < 8; round++) {
		assert_int_equal(node_start(n, 10, NULL), 0);
		assert_true(n->maps >= 1); /* on_map was called before start returned */
		meta_runtime_status(n->rt, &s);
		assert_true(s.is_leader);
		assert_int_equal(s.n_members, 1);
		for (int i = 0; i < round * 6; i++) {
			snprintf(name, sizeof(name), "k%d", i);
			assert_true(has_key(n, name));
		}
		for (int i = 0; i < 6; i++) {
			snprintf(name, sizeof(name), "k%d", round * 6 + i);
			assert_int_equal(submit_and_wait(n, name), 0);
			assert_true(has_key(n, name));
		}
		node_stop(n);
	}
	assert_int_equal(node_start(n, 10, NULL), 0);
	cluster_free(c);
}

struct writer {
	struct node *node;
	int id;
	struct waiter waiter;
};

static void *write_many(void *arg)
{
	struct writer *w = arg;
	char name[32];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "w%d-%d", w->id, i);
		submit(w->node, name, &w->waiter);
		map_unref(meta_runtime_map(w->node->rt));
	}
	wait_for(&w->waiter, 100);
	return NULL;
}

static void test_many_writers(void **state)
{
	struct cluster *c = cluster_new(1);
	struct writer writers[4];
	pthread_t threads[4];
	char name[32];

	assert_int_equal(node_start(&c->nodes[1], 64, NULL), 0);
	for (int i = 0; i < 4; i++) {
		writers[i] = (struct writer){&c->nodes[1], i, WAITER_INIT};
		pthread_create(&threads[i], NULL, write_many, &writers[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(writers[i].waiter.n_ok, 100);
	}
	node_stop(&c->nodes[1]);
	assert_int_equal(node_start(&c->nodes[1], 64, NULL), 0);
	for (int i = 0; i < 400; i++) {
		snprintf(name, sizeof(name), "w%d-%d", i / 100, i % 100);
		assert_true(has_key(&c->nodes[1], name));
	}
	cluster_free(c);
}

static void test_refusal_and_read(void **state)
{
	struct cluster *c = cluster_new(1);
	struct node *n = &c->nodes[1];
	struct waiter w = WAITER_INIT;
	struct map_command gone = {.type = MAP_DELETE_COLLECTION, .name = "nope"};

	assert_int_equal(node_start(n, 0, NULL), 0);
	w.node = NULL;
	meta_runtime_submit(n->rt, &gone, on_done, &w);
	wait_for(&w, 1);
	assert_int_equal(w.last.code, ERR_NOT_FOUND);
	assert_string_equal(w.last.text, "Collection `nope` doesn't exist!");
	meta_runtime_read(n->rt, on_done, &w);
	wait_for(&w, 2);
	assert_int_equal(w.last.code, 0);
	/* A stranger's bytes do no harm. */
	meta_runtime_message(n->rt, 9, "garbage", 7);
	assert_int_equal(submit_and_wait(n, "after"), 0);
	cluster_free(c);
}

static void test_other_identity(void **state)
{
	struct cluster *c = cluster_new(1);
	struct node *n = &c->nodes[1];
	struct error err;

	assert_int_equal(node_start(n, 0, NULL), 0);
	node_stop(n);
	n->id = 2;
	assert_int_equal(node_start(n, 0, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "belongs to node 1"));
	n->id = 1;
	assert_int_equal(node_start(n, 0, NULL), 0);
	cluster_free(c);
}

static void test_lost_state_is_refused(void **state)
{
	struct cluster *c = cluster_new(1);
	struct node *n = &c->nodes[1];
	char path[128];
	struct error err;
	FILE *f;

	assert_int_equal(node_start(n, 4, NULL), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(submit_and_wait(n, "k"), 0);
	node_stop(n);
	snprintf(path, sizeof(path), "%s/snapshot", n->folder);
	f = fopen(path, "r+");
	fseek(f, 40, SEEK_SET);
	fputc('#', f);
	fclose(f);
	assert_int_equal(node_start(n, 4, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.text, "snapshot"));
	snprintf(path, sizeof(path), "%s/state", n->folder);
	assert_int_equal(remove(path), 0);
	snprintf(path, sizeof(path), "%s/snapshot", n->folder);
	assert_int_equal(remove(path), 0);
	assert_int_equal(node_start(n, 4, &err), ERR_CORRUPT);
	cluster_free(c);
}

/* ---- a full disk ---- */

static struct store_io real_io;
static atomic_bool disk_full, hide_free;

static int full_write(struct store_file *f, uint64_t offset, const void *bytes, size_t n,
		      struct error *err)
{
	if (disk_full)
		return error_set(err, ERR_DISK_FULL, "no space left");
	return real_io.write(f, offset, bytes, n, err);
}

static int full_allocate(struct store_file *f, uint64_t size, struct error *err)
{
	if (disk_full)
		return error_set(err, ERR_DISK_FULL, "no space left");
	return real_io.allocate(f, size, err);
}

static int full_free(void *ctx, uint64_t *out, struct error *err)
{
	if (!disk_full || hide_free)
		return real_io.free_bytes(ctx, out, err);
	*out = 4096;
	return 0;
}

static void test_disk_full_and_freed(void **state)
{
	struct cluster *c = cluster_new(1);
	struct node *n = &c->nodes[1];
	struct waiter stuck = WAITER_INIT, w = WAITER_INIT;

	real_io = n->io;
	n->io.write = full_write;
	n->io.allocate = full_allocate;
	n->io.free_bytes = full_free;
	assert_int_equal(node_start(n, 0, NULL), 0);
	assert_int_equal(submit_and_wait(n, "before"), 0);
	disk_full = true;
	assert_int_equal(submit_and_wait(n, "refused"), ERR_DISK_FULL);
	/* The disk fills up between the look and the write. */
	hide_free = true;
	submit(n, "stuck", &stuck);
	do { /* until the loop waits for space and refuses what comes */
		submit(n, "meanwhile", &w);
		wait_for(&w, w.n_done + 1);
	} while (w.last.code != ERR_DISK_FULL);
	assert_true(has_key(n, "before")); /* reading the map goes on */
	assert_false(has_key(n, "stuck"));
	disk_full = false;
	wait_for(&stuck, 1);
	assert_int_equal(stuck.last.code, 0);
	assert_int_equal(submit_and_wait(n, "after"), 0);
	assert_false(has_key(n, "refused"));
	node_stop(n);
	hide_free = false;
	assert_int_equal(node_start(n, 0, NULL), 0);
	assert_true(has_key(n, "stuck"));
	assert_false(has_key(n, "refused"));
	/* A disk that is full at the start is an error of the start. */
	node_stop(n);
	struct node fresh = {.cluster = c, .id = 3};

	snprintf(fresh.folder, sizeof(fresh.folder), "/tmp/quiver-meta-XXXXXX");
	assert_non_null(mkdtemp(fresh.folder));
	assert_int_equal(store_io_real(fresh.folder, &fresh.io, NULL), 0);
	fresh.io.write = full_write;
	disk_full = true;
	assert_int_equal(node_start(&fresh, 0, NULL), ERR_DISK_FULL);
	disk_full = false;
	store_io_fini(&fresh.io);
	nftw(fresh.folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	cluster_free(c);
}

/* ---- three nodes ---- */

static void test_three_nodes(void **state)
{
	struct cluster *c = cluster_new(3);
	struct meta_runtime_status s;
	char name[32];

	for (size_t i = 1; i <= 3; i++)
		assert_int_equal(node_start(&c->nodes[i], 20, NULL), 0);
	for (int i = 0; i < 60; i++) {
		struct node *n = &c->nodes[1 + i % 3];

		snprintf(name, sizeof(name), "k%d", i);
		assert_int_equal(submit_and_wait(n, name), 0);
		assert_true(has_key(n, name));
	}
	meta_runtime_status(c->nodes[1].rt, &s);
	assert_true(s.leader >= 1 && s.leader <= 3);
	uint64_t old = s.leader, other = old % 3 + 1;

	/* The leader goes; a command given to another node waits for the next one. */
	node_stop(&c->nodes[old]);
	assert_int_equal(submit_and_wait(&c->nodes[other], "orphan"), 0);
	meta_runtime_status(c->nodes[other].rt, &s);
	assert_true(s.leader != old);
	for (int i = 0; i < 50; i++)
		assert_int_equal(submit_and_wait(&c->nodes[other], "more"), 0);
	/* It comes back, and a read there sees all that was acknowledged. */
	assert_int_equal(node_start(&c->nodes[old], 20, NULL), 0);
	struct waiter w = WAITER_INIT;

	meta_runtime_read(c->nodes[old].rt, on_done, &w);
	wait_for(&w, 1);
	assert_int_equal(w.last.code, 0);
	assert_true(has_key(&c->nodes[old], "orphan"));
	cluster_free(c);
}

static void test_stop_answers(void **state)
{
	struct cluster *c = cluster_new(3);
	struct waiter w = WAITER_INIT;

	/* One of three: no leader, so the command waits. */
	assert_int_equal(node_start(&c->nodes[1], 0, NULL), 0);
	w.node = NULL;
	submit(&c->nodes[1], "k", &w);
	node_stop(&c->nodes[1]);
	assert_int_equal(w.n_done, 1);
	assert_int_equal(w.last.code, ERR_CLOSED);
	cluster_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_restart),
		cmocka_unit_test(test_many_writers),
		cmocka_unit_test(test_refusal_and_read),
		cmocka_unit_test(test_other_identity),
		cmocka_unit_test(test_lost_state_is_refused),
		cmocka_unit_test(test_disk_full_and_freed),
		cmocka_unit_test(test_three_nodes),
		cmocka_unit_test(test_stop_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
