/* quiverd: the server. Started with no arguments it is a whole single-node system. */
#include "base/arena.h"
#include "base/config.h"
#include "base/log.h"
#include "server/node.h"
#include "store/store.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct config_row rows[] = {
	CONFIG_STR(struct node_config, data, "./quiver-data", "DIR",
		   "folder that holds everything; created when missing"),
	CONFIG_STR(struct node_config, http, "127.0.0.1:6333", "HOST:PORT",
		   "where the HTTP API listens; port 0 takes any free one"),
	CONFIG_STR(struct node_config, node, NULL, "NAME",
		   "name of this node in its cluster; unique"),
	CONFIG_STR(
		struct node_config, roles, NULL, "ROLES",
		"what a member of a cluster does: coordinator, shard, or (default) coordinator,shard"),
	CONFIG_STR(
		struct node_config, rpc, NULL, "HOST:PORT",
		"where other nodes of the cluster reach this one; not on loopback: with --cluster-key-file"),
	CONFIG_STR(struct node_config, advertise, NULL, "HOST:PORT",
		   "the same as others see it, when that differs from --rpc"),
	CONFIG_STR(struct node_config, bootstrap, NULL, "NAME@HOST:PORT,...",
		   "first start of a cluster: its 1, 3 or 5 first nodes, the same list on each"),
	CONFIG_STR(struct node_config, join, NULL, "HOST:PORT,...",
		   "first start of a further node: --rpc addresses of nodes of the cluster"),
	CONFIG_STR(struct node_config, cluster_key_file, NULL, "FILE",
		   "secret that all nodes of the cluster share and prove to each other; also from "
		   "QUIVER_CLUSTER_KEY_FILE, or the key itself from QUIVER_CLUSTER_KEY"),
	CONFIG_STR(struct node_config, api_key, NULL, "KEY",
		   "clients must send this key; also from QUIVER_API_KEY"),
	CONFIG_STR(struct node_config, read_only_api_key, NULL, "KEY",
		   "a second key that may only read"),
	CONFIG_STR(struct node_config, url_prefix, NULL, "/PATH", "serve the API below this path"),
	CONFIG_STR(struct node_config, compat_version, "1.19.0", "X.Y.Z",
		   "API level that GET / reports to clients"),
	CONFIG_STR(struct node_config, tls_cert, NULL, "FILE", "PEM certificate: serve HTTPS"),
	CONFIG_STR(struct node_config, tls_key, NULL, "FILE", "PEM private key of the certificate"),
	CONFIG_STR(struct node_config, log_level, "info", "LEVEL", "error, warn, info or debug"),
	CONFIG_STR(struct node_config, config, NULL, "FILE",
		   "INI file with any of these settings; flags win"),
	CONFIG_U64(struct node_config, http_threads, "0", 0, 256, "N",
		   "threads of the HTTP server; 0: chosen from the cores"),
	CONFIG_U64(struct node_config, search_threads, "0", 0, 256, "N",
		   "threads that share searches of several partitions; 0: the cores"),
	CONFIG_U64(struct node_config, build_threads, "0", 0, 256, "N",
		   "threads that build indexes, at low priority; 0: the cores"),
	CONFIG_U64(struct node_config, seal_rows, "0", 0, 10000000, "N",
		   "points in memory before a segment is sealed; 0: 20,000"),
	CONFIG_U64(struct node_config, index_min_rows, "0", 0, 10000000, "N",
		   "segments with fewer points get no index; 0: 2,000"),
	CONFIG_U64(struct node_config, segment_max_rows, "0", 0, SEGMENT_ROWS_MAX, "N",
		   "compaction merges segments up to so many points; 0: 2,000,000"),
	CONFIG_U64(struct node_config, memory_limit_mb, "0", 0, 100000000, "MB",
		   "large work is refused above it; 0: 80 % of the machine"),
	CONFIG_U64(struct node_config, heal_grace_s, "60", 1, 86400, "S",
		   "copies and voters on a node that is lost for so long are made anew on others"),
	CONFIG_U64(struct node_config, log_keep_mb, "0", 0, 100000, "MB",
		   "a shard keeps so much of its log for copies that were away; 0: 32 MB"),
	CONFIG_U64(
		struct node_config, seed_mb_per_s, "0", 0, 100000, "MB",
		"a copy of a shard is fetched from another node so fast at most; 0: 100 MB a second"),
	CONFIG_BOOL(struct node_config, rpc_insecure, "false",
		    "let --rpc be reached from other machines without a cluster key"),
	CONFIG_BOOL(struct node_config, faiss_search, "false",
		    "search HNSW graphs with FAISS's own code (for comparison)"),
	CONFIG_BOOL(struct node_config, version, "false", "print the version and exit"),
};
enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

static void print_usage(void)
{
	printf("quiverd %s: vector search server\n\n"
	       "Usage: quiverd [--data DIR] [--http HOST:PORT] [...]\n\n"
	       "With no arguments: a whole single-node system, API on 127.0.0.1:6333, data in ./quiver-data.\n\n"
	       "Settings:\n",
	       QUIVER_VERSION);
	config_print_help(rows, N_ROWS);
}

static int read_config(int argc, char **argv, struct node_config *config, struct arena *arena,
		       bool *help, struct error *err)
{
	struct config_args args = {.argc = argc,
				   .argv = argv,
				   .rest = arena_alloc(arena, (size_t)argc * sizeof(char *))};
	int rc = config_load(rows, N_ROWS, &args, config, arena, err);
	*help = args.help;
	if (rc != 0 || args.help)
		return rc;
	if (args.n_rest > 0)
		return error_set(err, ERR_INPUT, "unexpected argument `%s`; see quiverd --help",
				 args.rest[0]);
	if (config->api_key == NULL)
		config->api_key = getenv("QUIVER_API_KEY");
	if (config->api_key != NULL && config->api_key[0] == 0)
		config->api_key = NULL;
	return 0;
}

/* Libraries start threads before main() does, which do not block the signals; one that arrives there is passed on. */
static pthread_t main_thread;

static void pass_on(int number)
{
	pthread_kill(main_thread, number);
}

/* Blocks until SIGINT or SIGTERM. The signals were blocked before any of our threads was started. */
static void wait_for_signal(const sigset_t *signals)
{
	int number = 0;
	sigwait(signals, &number);
	log_info("quiverd", "%s: stopping", strsignal(number));
}

static int serve(const struct node_config *config)
{
	struct error err = {0};
	struct node *node = NULL;
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	main_thread = pthread_self();
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGINT, pass_on);
	signal(SIGTERM, pass_on);
	signal(SIGPIPE, SIG_IGN);
	if (node_start(&node, config, &err) != 0) {
		fprintf(stderr, "quiverd: %s\n", err.text);
		return 1;
	}
	const char *colon = strrchr(config->http, ':');
	log_info("quiverd", "version %s serves http%s://%.*s:%u, data in %s", QUIVER_VERSION,
		 config->tls_cert ? "s" : "", (int)(colon - config->http), config->http,
		 node_http_port(node), config->data);
	wait_for_signal(&signals);
	bool failed = node_failed(node, &err);
	node_stop(node);
	if (failed)
		fprintf(stderr, "quiverd: %s\n", err.text);
	else
		log_info("quiverd", "stopped");
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct arena *arena = arena_new(4096);
	struct node_config config;
	struct error err = {0};
	enum log_level level;
	bool help = false;
	int status = 2;
	if (read_config(argc, argv, &config, arena, &help, &err) != 0) {
		fprintf(stderr, "quiverd: %s\n", err.text);
	} else if (help) {
		print_usage();
		status = 0;
	} else if (config.version) {
		printf("quiverd %s\n", QUIVER_VERSION);
		status = 0;
	} else if (log_level_parse(config.log_level, &level) != 0) {
		fprintf(stderr, "quiverd: --log-level %s: use error, warn, info or debug\n",
			config.log_level);
	} else {
		log_set_level(level);
		status = serve(&config);
	}
	arena_free(arena);
	return status;
}
