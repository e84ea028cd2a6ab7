/* Order of the start: lock and check the data folder, worker pool, control plane (recovers the shard map, which makes the
 * shard role open its replicas), coordinator, API, and only then the listening socket: whoever can connect finds everything
 * recovered. The stop goes the other way round. */
#include "server/node.h"
#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "coordinator/coordinator.h"
#include "coordinator/meta_runtime.h"
#include "http/http.h"
#include "rpc/rpc.h"
#include "server/memory_stats.h"
#include "shard/shard.h"
#include "store/store.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SELF = 1 }; /* the only node of a single-node system */

struct node {
	struct node_config config;
	struct store_lock *lock;
	struct store_io io;
	struct store_io meta_io;
	struct pool *pool;
	struct rpc *rpc;
	struct shard *shard;
	struct meta_runtime *meta;
	struct coord *coord;
	struct api *api;
	struct http_server *http;
};

/* "host:port", "[v6]:port"; the host is copied into `host`. */
static int parse_address(const char *text, char *host, size_t host_size, uint16_t *port,
			 struct error *err)
{
	const char *colon = strrchr(text, ':');
	char *end = NULL;
	unsigned long number = colon ? strtoul(colon + 1, &end, 10) : 0;
	size_t n = colon ? (size_t)(colon - text) : 0;
	if (colon == NULL || n == 0 || n >= host_size || *end != 0 || end == colon + 1 ||
	    number > 65535)
		return error_set(err, ERR_INPUT,
				 "--http %s: write it as HOST:PORT, for example 127.0.0.1:6333",
				 text);
	if (text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	memcpy(host, text, n);
	host[n] = 0;
	*port = (uint16_t)number;
	return 0;
}

static bool is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
	       strcmp(host, "localhost") == 0;
}

/* ---- the shard map decides what the shard role hosts ---- */

static bool hosts(const struct map_partition *p, uint64_t node)
{
	for (uint32_t i = 0; i < p->n_in_sync; i++)
		if (p->in_sync[i] == node)
			return true;
	return false;
}

static void on_map(void *ctx, const struct map *map)
{
	struct node *n = ctx;
	struct error err = {0};
	size_t count = 0, cap = 0;
	for (uint32_t i = 0; i < map->n_collections; i++)
		cap += map->collections[i].collection->n_partitions;
	struct shard_assignment *list = calloc(cap + 1, sizeof(*list));
	if (list == NULL)
		abort();
	for (uint32_t i = 0; i < map->n_collections; i++) {
		const struct map_collection *c = &map->collections[i];
		for (uint32_t p = 0; p < c->collection->n_partitions; p++)
			if (hosts(&c->partitions[p], SELF))
				list[count++] = (struct shard_assignment){c->collection, p,
									  c->partitions[p].epoch};
	}
	if (shard_assign(n->shard, list, count, &err) != 0)
		log_error("node", "%s", err.text);
	free(list);
}

/* Control-plane messages go to other nodes; a single node has none. */
static void send_meta(void *ctx, const struct meta_message *message)
{
	log_warn("node",
		 "a control-plane message for node %llu was dropped: this is a single-node system",
		 (unsigned long long)message->to);
}

struct registration {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool done;
	struct error result;
};

static void registered(void *ctx, const struct error *result, uint64_t index)
{
	struct registration *r = ctx;
	pthread_mutex_lock(&r->mutex);
	r->result = *result;
	r->done = true;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->mutex);
}

/* Writes this start into the map: name, addresses, one more incarnation. */
static int register_self(struct node *n, struct error *err)
{
	struct registration r = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, {0}};
	const struct map *map = meta_runtime_map(n->meta);
	const struct map_node *known = map_node(map, SELF);
	struct map_command c = {
		.type = MAP_NODE_PUT,
		.node = {.id = SELF,
			 .name = n->config.node,
			 .rpc_address = "",
			 .http_address = n->config.http,
			 .incarnation = known ? known->incarnation + 1 : 1,
			 .coordinator = true,
			 .shard = true,
			 .state = NODE_UP},
	};
	meta_runtime_submit(n->meta, &c, registered, &r);
	pthread_mutex_lock(&r.mutex);
	while (!r.done)
		pthread_cond_wait(&r.changed, &r.mutex);
	pthread_mutex_unlock(&r.mutex);
	bool was_known = known != NULL;
	map_unref(map);
	/* A full disk must not keep what is there from being searched. */
	if (r.result.code == ERR_DISK_FULL && was_known) {
		log_warn("node", "%s; this start is not recorded", r.result.text);
		return 0;
	}
	if (r.result.code != 0 && err)
		*err = r.result;
	return r.result.code;
}

/* ---- start and stop ---- */

static int start_storage(struct node *n, struct error *err)
{
	const struct node_config *c = &n->config;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	size_t searchers = c->search_threads ? c->search_threads : (size_t)(cores > 0 ? cores : 1);
	size_t builders = c->build_threads ? c->build_threads : (size_t)(cores > 0 ? cores : 1);
	int rc = store_lock(c->data, &n->lock, err);
	if (rc == 0)
		rc = store_io_real(c->data, &n->io, err);
	if (rc == 0)
		rc = store_io_sub(&n->io, "meta", &n->meta_io, err);
	if (rc == 0)
		rc = pool_new(&n->pool, searchers, builders, err);
	return rc;
}

static int start_shard(struct node *n, struct error *err)
{
	const struct node_config *c = &n->config;
	struct shard_options o = {
		.io = n->io,
		.pool = n->pool,
		.clock = clock_real(),
		.self_node = SELF,
		.seal_rows = (uint32_t)c->seal_rows,
		.index_min_rows = (uint32_t)c->index_min_rows,
		.segment_max_rows = (uint32_t)c->segment_max_rows,
		.memory_limit_bytes = c->memory_limit_mb << 20,
		.faiss_only = c->faiss_search,
	};
	int rc = shard_start(&n->shard, &o, err);
	if (rc == 0)
		rc = rpc_new(&n->rpc, SELF, err);
	if (rc == 0)
		rpc_serve_local(n->rpc, shard_service(n->shard));
	return rc;
}

static int start_control(struct node *n, struct error *err)
{
	static const struct meta_voter self = {SELF, "local"};
	struct meta_runtime_options o = {
		.io = n->meta_io,
		.self = SELF,
		.cluster_id = 1,
		.bootstrap = &self,
		.n_bootstrap = 1,
		.send = send_meta,
		.on_map = on_map,
		.ctx = n,
	};
	int rc = meta_runtime_start(&n->meta, &o, err);
	return rc ? rc : register_self(n, err);
}

static void node_metrics(void *ctx, struct buf *out)
{
	struct node *n = ctx;
	struct http_server_stats h;
	shard_metrics(n->shard, out);
	memory_stats_metrics(out);
	http_server_stats(n->http, &h);
	buf_printf(out,
		   "# HELP quiver_http_requests_total HTTP requests since the start\n"
		   "# TYPE quiver_http_requests_total counter\nquiver_http_requests_total %llu\n"
		   "# HELP quiver_http_connections Open connections\n"
		   "# TYPE quiver_http_connections gauge\nquiver_http_connections %llu\n",
		   (unsigned long long)h.requests, (unsigned long long)h.connections);
}

static bool node_ready(void *ctx, struct error *why)
{
	struct node *n = ctx;
	return coord_ready(n->coord, why) && shard_ready(n->shard, why);
}

static int start_api(struct node *n, struct error *err)
{
	const struct node_config *c = &n->config;
	struct coord_options co = {.rpc = n->rpc,
				   .meta = n->meta,
				   .clock = clock_real(),
				   .pool = n->pool,
				   .self_node = SELF};
	struct api_options ao = {.api_key = c->api_key,
				 .read_only_api_key = c->read_only_api_key,
				 .compat_version = c->compat_version,
				 .url_prefix = c->url_prefix,
				 .metrics = node_metrics,
				 .ready = node_ready,
				 .ctx = n};
	char host[256];
	struct http_options ho = {.host = host,
				  .threads = (uint32_t)c->http_threads,
				  .tls_cert = c->tls_cert,
				  .tls_key = c->tls_key,
				  .handle = api_handle,
				  .stream = api_stream};
	int rc = parse_address(c->http, host, sizeof(host), &ho.port, err);
	if (rc == 0 && !is_loopback(host) && (c->api_key == NULL || c->api_key[0] == 0))
		rc = error_set(err, ERR_FORBIDDEN,
			       "--http %s can be reached from other machines: set an API key first "
			       "(--api-key or QUIVER_API_KEY), or listen on 127.0.0.1",
			       c->http);
	if (rc == 0)
		rc = coord_start(&n->coord, &co, err);
	ao.coord = n->coord;
	if (rc == 0)
		rc = api_new(&n->api, &ao, err);
	ho.ctx = n->api;
	if (rc == 0)
		rc = http_server_start(&n->http, &ho, err);
	return rc;
}

int node_start(struct node **out, const struct node_config *config, struct error *err)
{
	struct node *n = calloc(1, sizeof(*n));
	if (n == NULL)
		return error_set(err, ERR_NOMEM, "start the node: out of memory");
	n->config = *config;
	int rc = start_storage(n, err);
	if (rc == 0)
		rc = start_shard(n, err);
	if (rc == 0)
		rc = start_control(n, err);
	if (rc == 0)
		rc = start_api(n, err);
	if (rc != 0) {
		node_stop(n);
		return rc;
	}
	*out = n;
	return 0;
}

void node_stop(struct node *n)
{
	if (n == NULL)
		return;
	http_server_stop(n->http);
	api_free(n->api);
	coord_stop(n->coord);
	meta_runtime_stop(n->meta);
	shard_stop(n->shard);
	rpc_free(n->rpc);
	pool_free(n->pool);
	if (n->meta_io.ctx != NULL)
		store_io_fini(&n->meta_io);
	if (n->io.ctx != NULL)
		store_io_fini(&n->io);
	store_unlock(n->lock);
	free(n);
}

uint16_t node_http_port(const struct node *n)
{
	return http_server_port(n->http);
}
