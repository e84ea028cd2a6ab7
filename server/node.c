/* Order of the start: lock and check the data folder, worker pool, control plane (recovers the shard map, which makes the
 * shard role open its replicas), coordinator, API, and only then the listening socket: whoever can connect finds everything
 * recovered. The stop goes the other way round.
 *
 * A data folder that was never given --bootstrap or --join is a single-node system: a control plane with one voter, no network. Else the
 * node is a member of a cluster (server/member.h); who it is stands in the folder (server/identity.h). */
#include "server/node.h"
#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/pool.h"
#include "coordinator/coordinator.h"
#include "coordinator/meta_runtime.h"
#include "http/http.h"
#include "rpc/rpc.h"
#include "server/cluster_key.h"
#include "server/hosting.h"
#include "server/identity.h"
#include "server/join.h"
#include "server/member.h"
#include "server/memory_stats.h"
#include "shard/shard.h"
#include "store/store.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	SELF = 1,                        /* the only node of a single-node system */
	MEMORY_RESERVE_BYTES = 64 << 20, /* for what is under way when there is no more */
	CONNECTIONS_MAX = 4096,          /* of clients */
};

struct node {
	struct node_config config;
	struct arena *arena;
	struct store_lock *lock;
	struct store_io io;
	struct store_io meta_io;
	bool clustered;
	struct identity identity;
	struct first_nodes first; /* n = 0: not the first start of a cluster */
	const char *cluster_key;  /* NULL: none */
	struct pool *pool;
	struct rpc *rpc;
	struct shard *shard;
	struct member *member; /* of a cluster; NULL: single node */
	bool serving;          /* atomic: the member takes messages */
	struct meta_runtime *meta;
	struct coord *coord;
	struct api *api;
	struct http_server *http;
	pthread_mutex_t failure_lock;
	struct error failure;
};

/* ---- who this node is ---- */

/* Has a single-node system been here? */
static int refuse_single(struct node *n, struct error *err)
{
	struct buf state = BUF_INIT;
	int rc = store_get_file(&n->meta_io, "state", &state, NULL);
	buf_fini(&state);
	if (rc == ERR_NOT_FOUND)
		return 0;
	return error_set(err, ERR_INPUT,
			 "the data folder %s holds a single-node system; a node of a cluster needs "
			 "an empty one (copy the points with quiver)",
			 n->config.data);
}

static int first_start(struct node *n, struct error *err)
{
	const struct node_config *c = &n->config;
	struct identity *id = &n->identity;
	int rc = first_nodes_parse(c->bootstrap, n->arena, &n->first, err);
	if (rc != 0)
		return rc;
	const struct first_node *own = first_nodes_find(&n->first, c->node ? c->node : "");
	if (own == NULL)
		return error_set(err, ERR_INPUT,
				 "--bootstrap does not list this node: --node %s must be one of its "
				 "names",
				 c->node ? c->node : "NAME");
	if (!id->coordinator)
		return error_set(err, ERR_INPUT,
				 "the nodes of --bootstrap are coordinators: --roles must say so");
	id->cluster_id = first_nodes_cluster(&n->first);
	id->node_id = own->voter.id;
	snprintf(id->address, sizeof(id->address), "%s", own->voter.address);
	/* Of several, it is one of them only once others have agreed (start_member). */
	return n->first.n > 1 ? 0 : identity_save(&n->io, id, err);
}

static int join(struct node *n, struct error *err)
{
	struct identity *id = &n->identity;
	struct join_answer answer;
	struct rpc_join_request q = {.name = id->name,
				     .rpc_address = id->address,
				     .http_address = n->config.http,
				     .coordinator = id->coordinator,
				     .shard = id->shard};
	if (n->config.node == NULL || id->address[0] == 0)
		return error_set(err, ERR_INPUT,
				 "--join needs --node NAME and --rpc HOST:PORT of this node");
	int rc = join_cluster(n->config.join, n->cluster_key, &q, &answer, err);
	if (rc != 0)
		return rc;
	id->cluster_id = answer.cluster_id;
	id->node_id = answer.node;
	log_info("node", "joined cluster %016llx as node %llu (%s)",
		 (unsigned long long)id->cluster_id, (unsigned long long)id->node_id, id->name);
	return identity_save(&n->io, id, err);
}

/* Where others reach this node, from the flags; "" when they do not say. */
static int take_address(struct node *n, char *address, struct error *err)
{
	const char *text = n->config.advertise ? n->config.advertise : n->config.rpc;
	char host[ADDRESS_BYTES];
	uint16_t port;
	address[0] = 0;
	if (text == NULL)
		return 0;
	const char *flag = n->config.advertise ? "--advertise" : "--rpc";
	int rc = address_parse(flag, text, host, sizeof(host), &port, err);
	if (rc == 0 && (port == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0))
		rc = error_set(
			err, ERR_INPUT,
			"%s %s: other nodes cannot connect to that; give the address that they "
			"should use with --advertise HOST:PORT",
			flag, text);
	if (rc == 0)
		snprintf(address, ADDRESS_BYTES, "%s", text);
	return rc;
}

/* A start after the first: the folder knows who it is, the flags may say where it is now. */
static int come_back(struct node *n, const char *address, struct error *err)
{
	const struct node_config *c = &n->config;
	struct identity *id = &n->identity;
	struct first_nodes list;
	if (c->node != NULL && strcmp(c->node, id->name) != 0)
		return error_set(err, ERR_INPUT,
				 "the data folder %s is that of node `%s`, not of `%s`; each node "
				 "needs a folder of its own",
				 c->data, id->name, c->node);
	if (c->bootstrap != NULL) {
		int rc = first_nodes_parse(c->bootstrap, n->arena, &list, err);
		if (rc == 0 && !first_nodes_began(&list, id->cluster_id))
			rc = error_set(
				err, ERR_INPUT,
				"the data folder %s belongs to cluster %016llx, not to that of "
				"--bootstrap (%016llx); leave --bootstrap away on later "
				"starts, or use another folder",
				c->data, (unsigned long long)id->cluster_id,
				(unsigned long long)list.cluster_id);
		if (rc != 0)
			return rc;
	}
	if (c->roles == NULL && (address[0] == 0 || strcmp(address, id->address) == 0))
		return 0;
	if (address[0] != 0 && strcmp(address, id->address) != 0 &&
	    join_runs_at(id, n->cluster_key))
		return error_set(err, ERR_LOCKED,
				 "node `%s` runs at %s; the data folder %s is a copy of its folder. "
				 "A new node starts with an empty one",
				 id->name, id->address, c->data);
	if (address[0] != 0)
		snprintf(id->address, sizeof(id->address), "%s", address);
	return identity_save(&n->io, id, err);
}

static int identify(struct node *n, struct error *err)
{
	const struct node_config *c = &n->config;
	struct identity *id = &n->identity;
	char address[ADDRESS_BYTES];
	int found = identity_load(&n->io, id, err);
	int rc = found < 0 ? found : take_address(n, address, err);
	if (rc == 0)
		rc = cluster_key_read(c->cluster_key_file, n->arena, &n->cluster_key, err);
	bool roles[2] = {true, true};
	if (rc == 0 && c->roles != NULL)
		rc = roles_parse(c->roles, &roles[0], &roles[1], err);
	if (rc != 0)
		return rc;
	n->clustered = found == 0 || c->bootstrap != NULL || c->join != NULL;
	if (found == 1 || c->roles != NULL) {
		id->coordinator = roles[0];
		id->shard = roles[1];
	}
	if (found == 0)
		return come_back(n, address, err);
	if (!n->clustered && (c->rpc != NULL || c->advertise != NULL || c->roles != NULL))
		return error_set(
			err, ERR_INPUT,
			"--rpc, --advertise and --roles are for members of a cluster: begin "
			"one with --bootstrap, or enter one with --join");
	snprintf(id->name, sizeof(id->name), "%s", c->node ? c->node : "node-1");
	if (!n->clustered) {
		id->node_id = SELF;
		return 0;
	}
	rc = refuse_single(n, err);
	snprintf(id->address, sizeof(id->address), "%s", address);
	if (rc == 0)
		rc = c->bootstrap != NULL ? first_start(n, err) : join(n, err);
	return rc;
}

/* ---- a single node ---- */

static void on_map(void *ctx, const struct map *map)
{
	struct node *n = ctx;
	hosting_assign(n->shard, SELF, NULL, map);
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
			 .name = n->identity.name,
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
		rc = identify(n, err);
	if (rc == 0)
		rc = pool_new(&n->pool, searchers, builders, err);
	return rc;
}

/* Another of the first nodes asks what this one knows of it: nothing, at its own first start. */
static bool answers_early(struct node *n, struct rpc_call *call)
{
	const struct rpc_probe_request *q = call->request;
	struct rpc_probe_response *answer = call->response;
	bool fresh = n->first.n > 1;
	if (call->type != RPC_TYPE_probe || q->about == 0)
		return false;
	*answer = (struct rpc_probe_response){.reachable = true,
					      .node = n->identity.node_id,
					      .fresh = fresh,
					      .unsure = !fresh};
	return true;
}

/* Calls of this and of other nodes, in a cluster. Until the member is there, nobody is served. */
static void serve(void *ctx, struct rpc_call *call)
{
	struct node *n = ctx;
	struct rpc_service shard = shard_service(n->shard);
	if (!__atomic_load_n(&n->serving, __ATOMIC_ACQUIRE) && answers_early(n, call))
		rpc_finish(call, 0);
	else if (!__atomic_load_n(&n->serving, __ATOMIC_ACQUIRE))
		rpc_finish(call, error_set(&call->err, ERR_UNAVAILABLE, "the node is starting"));
	else if (!member_handle(n->member, call))
		shard.handle(shard.ctx, call);
}

/* A replica wants the map changed; before the member is there, nobody decides. */
static void propose(void *ctx, const struct shard_proposal *proposal)
{
	struct node *n = ctx;
	if (__atomic_load_n(&n->serving, __ATOMIC_ACQUIRE))
		member_propose(n->member, proposal);
	else
		proposal->done(proposal->done_ctx, ERR_UNAVAILABLE);
}

static int start_shard(struct node *n, struct error *err)
{
	const struct node_config *c = &n->config;
	int rc = rpc_new(&n->rpc, n->identity.node_id, err);
	struct shard_options o = {
		.io = n->io,
		.pool = n->pool,
		.clock = clock_real(),
		.self_node = n->identity.node_id,
		.seal_rows = (uint32_t)c->seal_rows,
		.index_min_rows = (uint32_t)c->index_min_rows,
		.segment_max_rows = (uint32_t)c->segment_max_rows,
		.memory_limit_bytes = c->memory_limit_mb << 20,
		.log_keep_bytes = c->log_keep_mb << 20,
		.old_assignments = n->clustered,
		.seed_bytes_per_s = c->seed_mb_per_s << 20,
		.faiss_only = c->faiss_search,
		.rpc = n->clustered ? n->rpc : NULL,
		.propose = n->clustered ? propose : NULL,
		.propose_ctx = n,
	};
	if (rc == 0)
		rc = shard_start(&n->shard, &o, err);
	if (rc == 0 && !n->clustered)
		rpc_serve_local(n->rpc, shard_service(n->shard));
	if (rc == 0 && n->clustered)
		rpc_serve_local(n->rpc, (struct rpc_service){serve, n});
	return rc;
}

/* ---- a member of a cluster ---- */

/* The node cannot go on: noted, and stopped as the operator would. */
static void on_fatal(void *ctx, const struct error *why)
{
	struct node *n = ctx;
	log_error("node", "%s", why->text);
	pthread_mutex_lock(&n->failure_lock);
	n->failure = *why;
	pthread_mutex_unlock(&n->failure_lock);
	kill(getpid(), SIGTERM);
}

bool node_failed(struct node *n, struct error *why)
{
	pthread_mutex_lock(&n->failure_lock);
	bool failed = n->failure.code != 0;
	if (failed)
		*why = n->failure;
	pthread_mutex_unlock(&n->failure_lock);
	return failed;
}

static int start_network(struct node *n, struct error *err)
{
	const char *listen = n->config.rpc ? n->config.rpc : n->identity.address;
	struct rpc_net_options o = {.cluster_id = n->identity.cluster_id,
				    .listen = listen,
				    .pool = n->pool,
				    .key = n->cluster_key,
				    .refused = cluster_key_refused};
	char host[ADDRESS_BYTES];
	uint16_t port;
	int rc = address_parse("--rpc", listen, host, sizeof(host), &port, err);
	if (rc == 0 && !address_is_loopback(host) && n->cluster_key == NULL) {
		if (!n->config.rpc_insecure)
			return error_set(err, ERR_FORBIDDEN,
					 "--rpc %s can be reached from other machines: give all "
					 "nodes of the cluster the same secret first "
					 "(--cluster-key-file), or say --rpc-insecure when only "
					 "they can connect",
					 listen);
		log_warn("node", "--rpc %s can be reached from other machines and asks for no key",
			 listen);
	}
	if (rc == 0)
		rc = rpc_listen(n->rpc, &o, err);
	if (rc == ERR_LOCKED)
		error_wrap(err, rc,
			   "node `%s` cannot listen for the other nodes; does it run already?",
			   n->identity.name);
	return rc;
}

static int start_member(struct node *n, struct error *err)
{
	struct member_options o = {
		.identity = n->identity,
		.http_address = n->config.http,
		.first = n->first.n > 0 ? &n->first : NULL,
		.meta_io = n->meta_io,
		.rpc = n->rpc,
		.shard = n->shard,
		.grace_us = n->config.heal_grace_s * 1000000,
		.fatal = on_fatal,
		.ctx = n,
	};
	int rc = start_network(n, err);
	if (rc == 0 && n->first.n > 1)
		rc = join_may_bootstrap(n->rpc, &n->first, n->identity.node_id, err);
	if (rc == 0 && n->first.n > 1)
		rc = identity_save(&n->io, &n->identity, err);
	if (rc == 0)
		rc = member_new(&n->member, &o, err);
	if (rc == 0)
		rc = member_start(n->member, err);
	if (rc != 0)
		return rc;
	n->meta = member_meta(n->member);
	__atomic_store_n(&n->serving, true, __ATOMIC_RELEASE);
	return 0;
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
	if (n->clustered)
		return start_member(n, err);
	int rc = meta_runtime_start(&n->meta, &o, err);
	return rc ? rc : register_self(n, err);
}

static void node_metrics(void *ctx, struct buf *out)
{
	struct node *n = ctx;
	struct http_server_stats h;
	shard_metrics(n->shard, out);
	rpc_metrics(n->rpc, out);
	memory_stats_metrics(out);
	struct http_server *http = __atomic_load_n(&n->http, __ATOMIC_ACQUIRE);
	if (http == NULL) /* asked in the moment of the start */
		return;
	http_server_stats(http, &h);
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
	if (n->member != NULL && !member_ready(n->member, why))
		return false;
	return coord_ready(n->coord, why) && shard_ready(n->shard, why);
}

static void cannot_accept(void *ctx, const struct error *why)
{
	log_warn("http", "%s; give quiverd more (ulimit -n, LimitNOFILE)", why->text);
}

/* Half of the files are for clients, the others for data and other nodes. */
static uint32_t connections_max(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur / 2 > CONNECTIONS_MAX)
		return CONNECTIONS_MAX;
	return (uint32_t)(files.rlim_cur / 2);
}

static int start_api(struct node *n, struct error *err)
{
	const struct node_config *c = &n->config;
	struct coord_options co = {.rpc = n->rpc,
				   .meta = n->meta,
				   .clock = clock_real(),
				   .pool = n->pool,
				   .self_node = n->identity.node_id};
	struct api_options ao = {.self_node = n->identity.node_id,
				 .api_key = c->api_key,
				 .read_only_api_key = c->read_only_api_key,
				 .compat_version = c->compat_version,
				 .url_prefix = c->url_prefix,
				 .metrics = node_metrics,
				 .ready = node_ready,
				 .ctx = n};
	char host[256];
	struct http_options ho = {.host = host,
				  .threads = (uint32_t)c->http_threads,
				  .max_connections = connections_max(),
				  .cannot_accept = cannot_accept,
				  .tls_cert = c->tls_cert,
				  .tls_key = c->tls_key,
				  .handle = api_handle,
				  .streams = api_streams,
				  .stream = api_stream};
	int rc = address_parse("--http", c->http, host, sizeof(host), &ho.port, err);
	if (rc == 0)
		rc = coord_start(&n->coord, &co, err);
	ao.coord = n->coord;
	if (rc == 0)
		rc = api_new(&n->api, &ao, err);
	ho.ctx = n->api;
	struct http_server *http = NULL;
	if (rc == 0)
		rc = http_server_start(&http, &ho, err);
	__atomic_store_n(&n->http, http, __ATOMIC_RELEASE);
	return rc;
}

/* What needs no look at the data; a start that is refused for it leaves no folder behind. */
static int check_config(const struct node_config *c, struct error *err)
{
	bool coordinator, shard;
	char host[256];
	uint16_t port;
	int rc = address_parse("--http", c->http, host, sizeof(host), &port, err);
	if (rc == 0 && !address_is_loopback(host) && (c->api_key == NULL || c->api_key[0] == 0))
		rc = error_set(err, ERR_FORBIDDEN,
			       "--http %s can be reached from other machines: set an API key first "
			       "(--api-key or QUIVER_API_KEY), or listen on 127.0.0.1",
			       c->http);
	if (rc == 0 && c->rpc != NULL)
		rc = address_parse("--rpc", c->rpc, host, sizeof(host), &port, err);
	if (rc == 0 && c->roles != NULL)
		rc = roles_parse(c->roles, &coordinator, &shard, err);
	if (rc == 0 && c->bootstrap != NULL && c->join != NULL)
		rc = error_set(err, ERR_INPUT,
			       "--bootstrap begins a cluster, --join enters one: give one of them");
	return rc;
}

/* As many files as the process may have. A refusal leaves it at what it has. */
static void raise_file_limit(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

int node_start(struct node **out, const struct node_config *config, struct error *err)
{
	struct node *n = calloc(1, sizeof(*n));
	if (n == NULL)
		return error_set(err, ERR_NOMEM, "start the node: out of memory");
	n->config = *config;
	n->arena = arena_new(1024);
	mem_keep_reserve(MEMORY_RESERVE_BYTES);
	raise_file_limit(); /* before data is opened */
	pthread_mutex_init(&n->failure_lock, NULL);
	int rc = check_config(config, err);
	if (rc == 0)
		rc = start_storage(n, err);
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
	coord_close(n->coord);
	/* Other nodes' calls end before what serves them; own calls and changes of the map before the coordinator that waits for
	 * them; and the map goes last, for what is answered on the way looks into it. */
	member_stop(n->member);
	if (!n->clustered)
		meta_runtime_stop(n->meta);
	if (n->shard != NULL)
		shard_leave(n->shard);
	if (n->clustered && n->rpc != NULL)
		rpc_hang_up(n->rpc);
	coord_stop(n->coord);
	if (!n->clustered)
		meta_runtime_free(n->meta);
	member_free(n->member);
	shard_stop(n->shard);
	rpc_free(n->rpc);
	pool_free(n->pool);
	if (n->meta_io.ctx != NULL)
		store_io_fini(&n->meta_io);
	if (n->io.ctx != NULL)
		store_io_fini(&n->io);
	store_unlock(n->lock);
	arena_free(n->arena);
	mem_keep_reserve(0);
	pthread_mutex_destroy(&n->failure_lock);
	free(n);
}

uint16_t node_http_port(const struct node *n)
{
	return http_server_port(n->http);
}
