/* A node: the roles of one quiverd process, put together. Owns the data folder, the worker pool, the control plane, the shard role,
 * the coordinator role and the HTTP server; each part knows only what it is given here. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct node_config {
	const char *data;
	const char *http;
	const char *node;  /* NULL: as the data folder says, or node-1 */
	const char *roles; /* "coordinator,shard" */
	const char *rpc;
	const char *advertise;
	const char *bootstrap;
	const char *join;
	const char *cluster_key_file;
	const char *api_key;
	const char *read_only_api_key;
	const char *url_prefix;
	const char *compat_version;
	const char *tls_cert;
	const char *tls_key;
	const char *log_level;
	const char *config;
	uint64_t http_threads;
	uint64_t search_threads;
	uint64_t build_threads;
	uint64_t seal_rows;
	uint64_t index_min_rows;
	uint64_t segment_max_rows;
	uint64_t memory_limit_mb;
	uint64_t heal_grace_s;
	uint64_t log_keep_mb;
	uint64_t seed_mb_per_s;
	bool rpc_insecure;
	bool faiss_search;
	bool version;
};

struct node;

/* Opens the data folder, recovers everything in it and starts to serve. */
int node_start(struct node **out, const struct node_config *config, struct error *err);
/* Stops serving, finishes what is in flight, closes the files. NULL ok. */
void node_stop(struct node *n);
uint16_t node_http_port(const struct node *n);
/* Did the node ask to be stopped (SIGTERM to itself) because it cannot go on? Then why. */
bool node_failed(struct node *n, struct error *why);
