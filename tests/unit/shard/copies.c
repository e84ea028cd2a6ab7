/* See the header. */
#include "tests/unit/shard/copies.h"
#include "base/clock.h"
#include "base/memory.h"
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TICK_US = 20000, PATIENCE_TICKS = 40000, PAUSE_US = 10000, DIM = 8 };

/* ---- the map ---- */

bool config_has(const struct map_partition *p, uint64_t node)
{
	for (uint32_t i = 0; i < p->n_in_sync; i++)
		if (p->in_sync[i] == node)
			return true;
	return false;
}

/* The lock is held. */
static void set_config(struct copies *c, const struct map_partition *next)
{
	uint64_t epoch = c->config.epoch + 1;

	c->config = *next;
	c->config.epoch = epoch;
	assert_true(config_has(&c->config, c->config.primary));
	for (uint32_t i = 0; i < c->n; i++)
		c->nodes[i].told = false;
}

static void propose(void *ctx, const struct shard_proposal *p)
{
	struct copy *from = ctx;
	struct copies *c = from->all;
	int rc = ERR_STALE;

	assert_int_equal(p->collection_id, c->schema->id);
	assert_int_equal(p->partition, 0);
	if (from->cut) {
		p->done(p->done_ctx, ERR_TIMEOUT);
		return;
	}
	pthread_mutex_lock(&c->lock);
	if (c->config.epoch == p->expect_epoch) {
		set_config(c, &p->next);
		c->n_proposals++;
		rc = 0;
	}
	pthread_mutex_unlock(&c->lock);
	p->done(p->done_ctx, rc);
}

struct map_partition copies_config(struct copies *c)
{
	struct map_partition config;

	pthread_mutex_lock(&c->lock);
	config = c->config;
	pthread_mutex_unlock(&c->lock);
	return config;
}

void copies_promote(struct copies *c, uint64_t node)
{
	struct map_partition next;

	pthread_mutex_lock(&c->lock);
	next = c->config;
	assert_true(config_has(&next, node));
	next.n_in_sync = 0;
	next.primary = node;
	for (uint32_t i = 0; i < c->config.n_in_sync; i++)
		if (c->config.in_sync[i] == c->config.primary)
			next.learners[next.n_learners++] = c->config.primary;
		else
			next.in_sync[next.n_in_sync++] = c->config.in_sync[i];
	set_config(c, &next);
	pthread_mutex_unlock(&c->lock);
}

/* ---- telling it ---- */

/* `assigning` is held. */
static void tell(struct copies *c, struct copy *n)
{
	struct shard_assignment a = {c->schema, 0, {0}};
	bool told;

	if (!n->shard || n->cut)
		return;
	pthread_mutex_lock(&c->lock);
	told = n->told;
	n->told = true;
	a.config = c->config;
	pthread_mutex_unlock(&c->lock);
	if (!told)
		shard_assign(n->shard, &a, 1, NULL);
	shard_contact(n->shard, clock_monotonic_us());
}

static void *map_thread(void *arg)
{
	struct copies *c = arg;

	while (!c->stopping) {
		pthread_mutex_lock(&c->assigning);
		for (uint32_t i = 0; i < c->n; i++)
			tell(c, &c->nodes[i]);
		pthread_mutex_unlock(&c->assigning);
		usleep(TICK_US);
	}
	return NULL;
}

/* ---- nodes ---- */

static void connect_all(struct copies *c, struct copy *n)
{
	for (uint32_t i = 0; i < c->n; i++) {
		struct copy *other = &c->nodes[i];

		if (other == n || !other->rpc || other->cut || n->cut)
			continue;
		rpc_peer_set(n->rpc, other->node, other->address);
		rpc_peer_set(other->rpc, n->node, n->address);
	}
}

static void bring_up(struct copies *c, struct copy *n)
{
	struct shard_options o = {.io = n->io,
				  .clock = clock_real(),
				  .self_node = n->node,
				  .seal_rows = n->seal_rows ? n->seal_rows : 500,
				  .index_min_rows = 200,
				  .seal_idle_ms = 200,
				  .log_keep_bytes = c->tuning.log_keep_bytes,
				  .seed_bytes_per_s = c->tuning.seed_bytes_per_s,
				  .memory_limit_bytes = n->memory_limit_bytes,
				  .propose = propose,
				  .propose_ctx = n};
	struct rpc_net_options net = {.cluster_id = 77,
				      .listen = n->address[0] ? n->address : "127.0.0.1:0"};
	struct error err = {0};

	pthread_rwlock_wrlock(&n->calling);
	assert_int_equal(pool_new(&n->pool, 2, 1, &err), 0);
	o.pool = net.pool = n->pool;
	assert_int_equal(rpc_new(&n->rpc, n->node, &err), 0);
	o.rpc = n->rpc;
	assert_int_equal(shard_start(&n->shard, &o, &err), 0);
	struct rpc_service service = shard_service(n->shard);
	rpc_serve_local(n->rpc, c->tuning.wrap ? c->tuning.wrap(n, service) : service);
	if (rpc_listen(n->rpc, &net, &err))
		fail_msg("%s", err.text);
	snprintf(n->address, sizeof n->address, "127.0.0.1:%u", rpc_port(n->rpc));
	n->told = false;
	connect_all(c, n);
	pthread_rwlock_unlock(&n->calling);
}

static void bring_down(struct copy *n)
{
	if (!n->shard)
		return;
	shard_leave(n->shard); /* calls under way are answered */
	pthread_rwlock_wrlock(&n->calling);
	rpc_hang_up(n->rpc);
	shard_stop(n->shard);
	rpc_free(n->rpc);
	pool_free(n->pool);
	n->shard = NULL;
	n->rpc = NULL;
	pthread_rwlock_unlock(&n->calling);
}

void copy_stop(struct copies *c, uint64_t node)
{
	pthread_mutex_lock(&c->assigning);
	bring_down(&c->nodes[node - 1]);
	pthread_mutex_unlock(&c->assigning);
}

bool copies_failed(struct copies *c, uint64_t node)
{
	struct replica_report *reports;
	size_t n = shard_reports(c->nodes[node - 1].shard, &reports);
	bool failed = n == 1 && reports[0].failed;

	free(reports);
	return failed;
}

void copy_start(struct copies *c, uint64_t node)
{
	pthread_mutex_lock(&c->assigning);
	bring_up(c, &c->nodes[node - 1]);
	tell(c, &c->nodes[node - 1]);
	pthread_mutex_unlock(&c->assigning);
}

void copy_cut(struct copies *c, uint64_t node, bool cut)
{
	struct copy *n = &c->nodes[node - 1];

	pthread_mutex_lock(&c->assigning);
	n->cut = cut;
	for (uint32_t i = 0; i < c->n && cut; i++)
		if (&c->nodes[i] != n && c->nodes[i].rpc) {
			rpc_peer_remove(n->rpc, c->nodes[i].node);
			rpc_peer_remove(c->nodes[i].rpc, node);
		}
	if (!cut)
		connect_all(c, n);
	pthread_mutex_unlock(&c->assigning);
}

void copies_add_field(struct copies *c, const char *path)
{
	struct collection *old = c->schema;

	pthread_mutex_lock(&c->assigning);
	c->schema = test_with_field(old, path, FIELD_INTEGER);
	collection_unref(old);
	for (uint32_t i = 0; i < c->n; i++) {
		c->nodes[i].told = false;
		tell(c, &c->nodes[i]);
	}
	pthread_mutex_unlock(&c->assigning);
}

static void make_schema(struct copies *c)
{
	struct collection *s = collection_new();
	struct vector_space *space = arena_zalloc(s->arena, sizeof *space);

	s->id = 7;
	s->revision = 1;
	s->name = "copies";
	*space = (struct vector_space){.name = "",
				       .dim = DIM,
				       .distance = DISTANCE_EUCLID,
				       .index = {.kind = INDEX_HNSW, .m = 8, .ef_construct = 60}};
	s->spaces = space;
	s->n_spaces = 1;
	c->schema = s;
}

static void start(struct copies *c, uint32_t n, uint32_t in_sync, uint32_t min_isr)
{
	c->n = n;
	c->arena = arena_new(1 << 16);
	make_schema(c);
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->assigning, NULL);
	c->config = (struct map_partition){.epoch = 1, .primary = 1, .min_isr = min_isr};
	for (uint32_t i = 0; i < n; i++) {
		struct copy *node = &c->nodes[i];

		if (i < in_sync)
			c->config.in_sync[c->config.n_in_sync++] = i + 1;
		else
			c->config.learners[c->config.n_learners++] = i + 1;
		node->all = c;
		node->node = i + 1;
		pthread_rwlock_init(&node->calling, NULL);
		snprintf(node->root, sizeof node->root, "/tmp/quiver-copies-XXXXXX");
		assert_non_null(mkdtemp(node->root));
		assert_int_equal(store_io_real(node->root, &node->disk, &c->err), 0);
		fault_io(&node->disk, &node->faults, &node->io);
		bring_up(c, node);
	}
	assert_int_equal(pthread_create(&c->thread, NULL, map_thread, c), 0);
}

void copies_start(struct copies *c, uint32_t n, uint32_t in_sync, uint32_t min_isr)
{
	memset(c, 0, sizeof *c);
	start(c, n, in_sync, min_isr);
}

void copies_start_tuned(struct copies *c, uint32_t n, uint32_t in_sync,
			const struct copies_tuning *tuning)
{
	memset(c, 0, sizeof *c);
	c->tuning = *tuning;
	start(c, n, in_sync, 1);
}

void copies_fini(struct copies *c)
{
	c->stopping = true;
	pthread_join(c->thread, NULL);
	for (uint32_t i = 0; i < c->n; i++) {
		char command[128];

		bring_down(&c->nodes[i]);
		pthread_rwlock_destroy(&c->nodes[i].calling);
		store_io_fini(&c->nodes[i].io);
		store_io_fini(&c->nodes[i].disk);
		snprintf(command, sizeof command, "rm -rf '%s'", c->nodes[i].root);
		assert_int_equal(system(command), 0);
	}
	collection_unref(c->schema);
	arena_free(c->arena);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->assigning);
}

/* ---- calls, as a coordinator on the node itself makes them ---- */

static void done(struct rpc_call *call)
{
	sem_post(call->ctx);
}

static int call_with(struct copy *n, enum rpc_type type, const void *request, void *response,
		     struct arena *arena, struct error *err)
{
	sem_t finished;
	struct rpc_call call = {.type = type,
				.request = request,
				.response = response,
				.arena = arena,
				.deadline_us = clock_monotonic_us() + 10000000,
				.done = done,
				.ctx = &finished};

	pthread_rwlock_rdlock(&n->calling);
	if (!n->shard) {
		pthread_rwlock_unlock(&n->calling);
		return ERR_UNAVAILABLE;
	}
	sem_init(&finished, 0, 0);
	rpc_send(n->rpc, n->node, &call);
	while (sem_wait(&finished))
		;
	sem_destroy(&finished);
	pthread_rwlock_unlock(&n->calling);
	*err = call.err;
	return call.rc;
}

int copies_call(struct copies *c, uint64_t node, enum rpc_type type, const void *request,
		void *response)
{
	return call_with(&c->nodes[node - 1], type, request, response, c->arena, &c->err);
}

static bool worth_again(int rc)
{
	return rc == ERR_STALE || rc == ERR_UNAVAILABLE || rc == ERR_CLOSED || rc == ERR_BUSY;
}

int copies_write(struct copies *c, const struct write *w, struct rpc_write_response *out)
{
	struct arena *arena = arena_new(1024);
	struct error err = {0};
	int rc = ERR_UNAVAILABLE;

	for (int i = 0; i < PATIENCE_TICKS / 4 && worth_again(rc); i++) {
		struct map_partition config = copies_config(c);
		struct rpc_write_request q = {{c->schema->id, c->schema->revision, 0, config.epoch},
					      w};

		if (i > 0)
			usleep(PAUSE_US);
		*out = (struct rpc_write_response){0};
		rc = call_with(&c->nodes[config.primary - 1], RPC_TYPE_write, &q, out, arena, &err);
	}
	arena_free(arena);
	return rc;
}

void copies_fill(struct copies *c, uint64_t id, uint32_t n, uint32_t batch, const char *tag)
{
	for (uint32_t at = 0; at < n; at += batch) {
		struct arena *a = arena_new(1 << 14);
		uint32_t count = n - at < batch ? n - at : batch;
		struct point *points = arena_zalloc(a, count * sizeof *points);
		struct write w = {.op = {.type = OP_UPSERT, .n_points = count, .points = points}};
		struct rpc_write_response out;
		int rc;

		/* A retry after an unknown result must not be done twice. */
		w.op.batch_hi = id + at + 1;
		w.op.batch_lo = (uint64_t)(uintptr_t)tag | 1;
		for (uint32_t i = 0; i < count; i++) {
			uint64_t number = id + at + i;
			float v[DIM];

			for (int d = 0; d < DIM; d++)
				v[d] = (float)((number * 7 + (uint64_t)d * 13) % 101);
			test_point(a, &points[i], number, v, DIM,
				   test_payload(a, (int64_t)number, tag));
		}
		rc = copies_write(c, &w, &out);
		if (rc)
			fail_msg("write: %s", error_name(rc));
		arena_free(a);
	}
}

struct rpc_info_response copies_info(struct copies *c, uint64_t node)
{
	struct rpc_info_request q = {{c->schema->id, c->schema->revision, 0, 0}};
	struct rpc_info_response out = {0};

	if (copies_call(c, node, RPC_TYPE_info, &q, &out))
		memset(&out, 0, sizeof out);
	return out;
}

int copies_try_count(struct copies *c, uint64_t node, uint64_t *out)
{
	struct rpc_count_request q = {{c->schema->id, c->schema->revision, 0, 0}, NULL, true};
	struct rpc_count_response a = {0};
	int rc = copies_call(c, node, RPC_TYPE_count, &q, &a);

	*out = a.count;
	return rc;
}

uint64_t copies_count_in(struct copies *c, uint64_t node, struct arena *arena)
{
	struct rpc_count_request q = {{c->schema->id, c->schema->revision, 0, 0}, NULL, true};
	struct rpc_count_response a = {0};
	struct error err;

	return call_with(&c->nodes[node - 1], RPC_TYPE_count, &q, &a, arena, &err) ? UINT64_MAX
										   : a.count;
}

/* ---- waiting ---- */

void copies_wait_in_sync(struct copies *c, uint64_t node, bool in_sync)
{
	for (int i = 0;; i++) {
		struct map_partition config = copies_config(c);

		if (config_has(&config, node) == in_sync)
			return;
		if (i == PATIENCE_TICKS)
			fail_msg("node %llu does not %s the in-sync set", (unsigned long long)node,
				 in_sync ? "enter" : "leave");
		usleep(PAUSE_US);
	}
}

static bool equal(struct copies *c, char *why, size_t size)
{
	struct map_partition config = copies_config(c);
	struct rpc_info_response first = {0};
	bool any = false;

	for (uint32_t i = 0; i < c->n; i++) {
		struct rpc_info_response info;

		if (!c->nodes[i].shard || c->nodes[i].cut)
			continue;
		info = copies_info(c, i + 1);
		snprintf(why, size,
			 "node %u: role %d, serves %d, applied %llu, last %llu, epoch %llu", i + 1,
			 (int)info.role, info.serves, (unsigned long long)info.applied_seq,
			 (unsigned long long)info.last_seq, (unsigned long long)info.epoch);
		if (info.epoch != config.epoch || info.applied_seq != info.last_seq ||
		    info.serves != config_has(&config, i + 1))
			return false;
		if (any && info.applied_seq != first.applied_seq)
			return false;
		if (any && info.digest != first.digest)
			fail_msg("same seq %llu, other digest",
				 (unsigned long long)info.applied_seq);
		first = info;
		any = true;
	}
	return any;
}

void copies_wait_equal(struct copies *c)
{
	char why[256] = "";

	for (int i = 0; !equal(c, why, sizeof why); i++) {
		if (i == PATIENCE_TICKS)
			fail_msg("the copies do not become equal: %s", why);
		usleep(PAUSE_US);
	}
}
