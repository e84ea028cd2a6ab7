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
	uint64_t limit, n_queries, k, runs, threads, load_clients, batch, rate_clients;
	uint64_t m, ef_construct, nlist, shards;
	double seconds, warmup, clusters;
	bool keep, reuse, load_only;
};

/* One measured point. */
struct bench_point {
	uint64_t effort; /* ef or nprobe; 0: the server's default */
	uint32_t clients;
	double rate; /* open loop: requests a second that were due; 0: closed loop */
	double recall;
	struct loadgen_result r;
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
	struct bench_point *points; /* closed loop first, then open loop */
	size_t n_points_measured;
};

/* bench_data.c: rows, queries and, when a file has it, ground truth. */
int bench_read_data(struct bench *b, struct error *err);
/* bench_run.c */
int bench_load(struct bench *b, struct error *err);
int bench_find_truth(struct bench *b, struct error *err);
int bench_measure(struct bench *b, struct error *err);
/* bench_report.c */
void bench_print_table(const struct bench *b);
void bench_json(const struct bench *b, struct buf *out);
int bench_write_report(const struct bench *b, const char *path, struct error *err);
/* The page's template, from web/bench_report.html. */
extern const char bench_page[];
extern const size_t bench_page_bytes;
