/* Private to `quiver bench`: what is measured, and its results. */
#pragma once
#include "cli/command.h"
#include "cli/loadgen.h"
#include "cli/remote.h"
#include "cli/source.h"

enum { BENCH_LIST = 32 };

struct bench_options {
	COMMON_MEMBERS
	const char *data, *random, *queries, *truth, *collection;
	const char *ef, *nprobe, *clients, *rate, *load_form, *report, *output, *filter;
	const char *distance, *index, *quantizer, *route;
	const char *filters, *pid, *also, *fault, *heal, *fault_seconds;
	uint64_t limit, n_queries, k, runs, threads, load_clients, batch, rate_clients;
	uint64_t m, ef_construct, nlist, shards;
	uint64_t upserts, fault_pid, fault_rate;
	double seconds, warmup, clusters, fault_timeout;
	bool on_disk, keep, reuse, load_only;
};

/* One measured point. */
struct bench_point {
	uint64_t effort; /* ef or nprobe; 0: the server's default */
	uint32_t clients;
	double rate;  /* open loop: requests a second that were due; 0: closed loop */
	double share; /* of the points, that the filter passes; 1: no filter */
	double recall;
	struct loadgen_result r;
	double upserts; /* points a second, at the same time */
	double cpu_us;  /* of the processes of --pid, for a query; 0: not known */
};

/* A filter on the made-up field of the points, and the exact answers under it. */
struct bench_filter {
	double share;
	struct matrix truth;
};

/* What processes have taken so far. */
struct bench_use {
	double cpu_s;
	uint64_t anonymous_bytes, mapped_bytes;
};

/* What clients saw in a part of the failure scenario. */
struct bench_slice {
	double from_s, qps, p50_us, p99_us;
	uint64_t failed; /* refused, broken off, or too late */
	double recall;   /* of the answers that came */
	double complete; /* share of them that do not say they lack something */
};
struct bench_fault {
	double slice_s, fault_s, heal_s; /* since the start */
	struct bench_slice before, during, after, *slices;
	size_t n_slices;
	uint64_t failed;
	double recovery_s; /* since the fault */
	bool recovered;
};

struct bench {
	struct bench_options o;
	struct arena *arena;
	struct client *client;
	struct loadgen_target target;
	const atomic_bool *stop;
	char *command; /* as it was typed */

	struct matrix rows, queries;
	struct matrix truth; /* ids in numbers; n queries x at least k */
	const char *data_name, *truth_name, *distance;
	uint64_t n_points;

	bool loaded; /* the three figures below were measured */
	double load_seconds, load_rate, index_seconds;
	struct loadgen_result load;

	uint64_t efforts[BENCH_LIST], clients[BENCH_LIST], rates[BENCH_LIST];
	size_t n_efforts, n_clients, n_rates;
	bool by_nprobe;
	struct bench_filter filters[BENCH_LIST]; /* the first: none, with the truth above */
	size_t n_filters;
	uint64_t pids[BENCH_LIST], fault_seconds[BENCH_LIST];
	size_t n_pids;
	struct loadgen_target more_targets[BENCH_LIST]; /* for connections that break */
	size_t n_more_targets;
	struct bench_use use; /* after the measurements */
	struct bench_fault fault;
	struct bench_point *points; /* closed loop first, then open loop */
	size_t n_points_measured;
};

/* bench_data.c: rows, queries and, when a file has it, ground truth. */
int bench_read_data(struct bench *b, struct error *err);
/* bench_run.c */
int bench_load(struct bench *b, struct error *err);
int bench_find_truth(struct bench *b, struct error *err);
int bench_measure(struct bench *b, struct error *err);
struct loadgen_request *bench_make_queries(const struct bench *b, uint64_t effort);
void bench_free_queries(const struct bench *b, struct loadgen_request *requests);
/* Adds how many of the true neighbours of a query are in an answer, and how many there are. */
void bench_count_hits(const struct bench *b, size_t query, const char *body, size_t n,
		      uint64_t *hits, uint64_t *wanted);
/* bench_process.c: of the processes of --pid, together. */
int bench_use(const struct bench *b, struct bench_use *out, struct error *err);
/* bench_fault.c */
int bench_measure_fault(struct bench *b, struct error *err);
/* bench_report.c */
void bench_print_table(const struct bench *b);
void bench_json(const struct bench *b, struct buf *out);
int bench_write_report(const struct bench *b, const char *path, struct error *err);
/* The page's template, from web/bench_report.html. */
extern const char bench_page[];
extern const size_t bench_page_bytes;
