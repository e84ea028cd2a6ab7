/* quiver bench: load data, find the ground truth, measure recall, throughput and latency over HTTP. */
#include "cli/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"

static const struct config_row rows[] = {
	COMMON_ROWS(struct bench_options),
	CONFIG_STR(
		struct bench_options, data, NULL, "FILE",
		"points: .hdf5 of ann-benchmarks (with queries and ground truth), .fvecs, .bvecs or "
		".npy"),
	CONFIG_STR(struct bench_options, random, NULL, "N,DIM",
		   "made-up points in clusters instead"),
	CONFIG_F64(struct bench_options, clusters, "200", 1, 1e6, "N", "how many clusters"),
	CONFIG_U64(struct bench_options, limit, "0", 0, 4e9, "N",
		   "use only the first points; 0 = all"),
	CONFIG_STR(struct bench_options, queries, NULL, "FILE",
		   "queries; without it the last rows of the data, which are then not loaded"),
	CONFIG_U64(struct bench_options, n_queries, "1000", 1, 1000000, "N", "use so many queries"),
	CONFIG_STR(struct bench_options, truth, NULL, "FILE",
		   "ground truth, .ivecs or .npy; without it exact searches find it"),
	CONFIG_STR(struct bench_options, collection, "quiver-bench", "NAME",
		   "collection to load into; this one is replaced, others must not exist"),
	CONFIG_BOOL(struct bench_options, reuse, "false", "measure the collection as it is"),
	CONFIG_BOOL(struct bench_options, keep, "false", "do not delete it afterwards"),
	CONFIG_STR(struct bench_options, load_form, "binary", "FORM", "upserts as binary or json"),
	CONFIG_U64(struct bench_options, load_clients, "4", 1, 256, "N", "connections that load"),
	CONFIG_U64(struct bench_options, batch, "1000", 1, 10000, "N", "points in one upsert"),
	CONFIG_BOOL(struct bench_options, load_only, "false", "measure only the loading"),
	CONFIG_STR(struct bench_options, distance, NULL, "NAME",
		   "Cosine, Dot, Euclid or Manhattan"),
	CONFIG_STR(struct bench_options, index, NULL, "KIND", "hnsw, ivf or flat"),
	CONFIG_STR(struct bench_options, quantizer, NULL, "KIND", "none, sq8 or pq"),
	CONFIG_U64(struct bench_options, m, "0", 0, 1024, "N", "hnsw: links of a point"),
	CONFIG_U64(struct bench_options, ef_construct, "0", 0, 10000, "N",
		   "hnsw: effort of the build"),
	CONFIG_U64(struct bench_options, nlist, "0", 0, 1000000, "N", "ivf: lists"),
	CONFIG_U64(struct bench_options, shards, "0", 0, 256, "N", "partitions"),
	CONFIG_BOOL(struct bench_options, on_disk, "false",
		    "vectors leave the memory where there are codes"),
	CONFIG_U64(struct bench_options, k, "10", 1, 1000, "K", "neighbours asked for"),
	CONFIG_STR(struct bench_options, ef, "16,32,64,128,256", "LIST", "hnsw: efs to measure"),
	CONFIG_STR(struct bench_options, nprobe, NULL, "LIST",
		   "ivf: nprobes to measure, instead of efs"),
	CONFIG_STR(struct bench_options, clients, "1,4,16,64", "LIST",
		   "closed loop: connections that each wait for their answer"),
	CONFIG_STR(struct bench_options, rate, NULL, "LIST",
		   "open loop: requests a second, whether answers come or not"),
	CONFIG_U64(struct bench_options, rate_clients, "64", 1, 1024, "N",
		   "open loop: connections at most"),
	CONFIG_STR(struct bench_options, route, "query", "NAME", "points/query or points/search"),
	CONFIG_STR(struct bench_options, filter, NULL, "JSON", "search under this filter"),
	CONFIG_STR(struct bench_options, filters, NULL, "LIST",
		   "search also under filters that such shares of the points pass, as 0.5,0.1,0.01"),
	CONFIG_U64(struct bench_options, upserts, "0", 0, 10000000, "N",
		   "at the same time so many points a second are written again"),
	CONFIG_STR(struct bench_options, pid, NULL, "LIST",
		   "processes of the server on this machine: memory, and processor time of a query"),
	CONFIG_STR(
		struct bench_options, fault, NULL, "KIND",
		"then a failure: kill or pause the process of --fault-pid, or a command for the shell"),
	CONFIG_U64(struct bench_options, fault_pid, "0", 0, 4194304, "PID", "the process"),
	CONFIG_STR(struct bench_options, heal, NULL, "COMMAND",
		   "what brings it back; a paused process just goes on"),
	CONFIG_STR(struct bench_options, fault_seconds, "5,5,10", "LIST",
		   "seconds before the fault, until it is mended, and after that"),
	CONFIG_U64(struct bench_options, fault_rate, "500", 1, 1000000, "N",
		   "searches a second meanwhile (open loop)"),
	CONFIG_F64(struct bench_options, fault_timeout, "1", 0.01, 3600, "S",
		   "a search without an answer for so long has failed"),
	CONFIG_STR(struct bench_options, also, NULL, "URLS",
		   "other nodes of the cluster, for connections that break meanwhile"),
	CONFIG_F64(struct bench_options, seconds, "3", 0.1, 3600, "S", "length of a run"),
	CONFIG_F64(struct bench_options, warmup, "1", 0, 3600, "S", "before it, not counted"),
	CONFIG_U64(struct bench_options, runs, "3", 1, 99, "N", "runs; the median one counts"),
	CONFIG_U64(struct bench_options, threads, "1", 1, 64, "N", "threads of the load generator"),
	CONFIG_STR(struct bench_options, report, NULL, "FILE.html", "write a page with the curves"),
	CONFIG_STR(struct bench_options, output, NULL, "FILE.json", "write the results as JSON"),
};

static const struct command_line line = {
	.name = "bench",
	.usage = "--data FILE | --random N,DIM [...]",
	.about =
		"Loads data into a collection, finds the ground truth, and measures over HTTP: durable\n"
		"upserts a second; recall@k, QPS and latency for each ef (or nprobe) and each number of\n"
		"clients. Closed loop tells throughput; open loop (--rate) tells latency at a load, counted\n"
		"from when a request was due, so that a stall of the server is not hidden.\n"
		"--filters, --upserts and --pid add filtered searches, writes at the same time, and what the\n"
		"server's processes take; --fault a failure, and what clients see of it until all is well.\n"
		"Any server that speaks the shared REST API can be measured (with --load-form json).\n"
		"The load generator is part of this program and takes processor time too: on one machine\n"
		"the figures are those of server and generator together.",
	.examples =
		"  quiver bench --random 100000,128 --ef 16,32,64,128 --clients 1,8,32\n"
		"  quiver bench --data glove-100-angular.hdf5 --m 32 --report glove.html --keep\n"
		"  quiver bench --data sift.fvecs --queries q.fvecs --truth gt.ivecs --distance Euclid\n"
		"  quiver bench --random 100000,128 --reuse --rate 1000,2000,4000 --ef 64\n"
		"  quiver bench --random 100000,128 --load-only --load-form json\n"
		"  quiver bench --random 100000,128 --filters 0.5,0.1,0.01 --upserts 1000 --pid 4711\n"
		"  quiver bench --random 50000,64 --fault pause --fault-pid 4711 --also http://127.0.0.1:7334\n",
	.rows = rows,
	.n_rows = N_ROWS(rows),
};

static atomic_bool stop;

static void on_interrupt(int number)
{
	(void)number;
	atomic_store(&stop, true);
	signal(SIGINT, SIG_DFL);
}

static bool is_one_of(const char *value, const char *one, const char *other)
{
	return strcmp(value, one) == 0 || strcmp(value, other) == 0;
}

static int check_filters(struct bench *b, struct error *err)
{
	b->filters[b->n_filters++].share = 1;
	for (const char *at = b->o.filters; at && *at;) {
		char *end;
		double share = strtod(at, &end);

		if (end == at || !(share > 0 && share < 1) || (*end != ',' && *end) ||
		    b->n_filters == BENCH_LIST)
			return error_set(
				err, ERR_INPUT,
				"--filters are shares between 0 and 1, as in 0.5,0.1, not `%s`",
				b->o.filters);
		b->filters[b->n_filters++].share = share;
		at = end + (*end == ',');
	}
	return 0;
}

static int check_also(struct bench *b, struct error *err)
{
	char *list = b->o.also ? arena_strdup(b->arena, b->o.also) : NULL, *rest;
	int rc = 0;

	for (char *url = list ? strtok_r(list, ",", &rest) : NULL; url && rc == 0;
	     url = strtok_r(NULL, ",", &rest)) {
		if (b->n_more_targets == BENCH_LIST)
			return error_set(err, ERR_INPUT, "--also: more than %d", BENCH_LIST);
		rc = loadgen_target(&b->more_targets[b->n_more_targets++], url,
				    b->o.api_key ? b->o.api_key : getenv("QUIVER_API_KEY"), err);
	}
	return rc;
}

static int check_more(struct bench *b, struct error *err)
{
	bool by_signal = b->o.fault && is_one_of(b->o.fault, "kill", "pause");
	size_t n = 3;
	int rc = check_filters(b, err);

	if (rc == 0 && b->o.pid)
		rc = command_numbers(b->o.pid, b->pids, BENCH_LIST, &b->n_pids, err);
	if (rc == 0)
		rc = command_numbers(b->o.fault_seconds, b->fault_seconds, BENCH_LIST, &n, err);
	if (rc == 0 && n != 3)
		rc = error_set(err, ERR_INPUT, "--fault-seconds are three numbers, as in 5,5,10");
	if (rc == 0 && by_signal && b->o.fault_pid < 2)
		rc = error_set(err, ERR_INPUT, "--fault %s needs --fault-pid", b->o.fault);
	return rc ? rc : check_also(b, err);
}

static int check_options(struct bench *b)
{
	struct bench_options *o = &b->o;
	struct error err = {0};
	int rc;

	if (!o->data == !o->random)
		return command_misused(line.name, "one of --data and --random is needed, only one");
	if (!is_one_of(o->load_form, "binary", "json"))
		return command_misused(line.name, "--load-form is binary or json, not `%s`",
				       o->load_form);
	if (!is_one_of(o->route, "query", "search"))
		return command_misused(line.name, "--route is query or search, not `%s`", o->route);
	if (o->distance && !remote_distance(o->distance))
		return command_misused(line.name, "`%s` is no distance", o->distance);
	b->by_nprobe = o->nprobe != NULL;
	rc = command_numbers(o->nprobe ? o->nprobe : o->ef, b->efforts, BENCH_LIST, &b->n_efforts,
			     &err);
	if (rc == 0)
		rc = command_numbers(o->clients, b->clients, BENCH_LIST, &b->n_clients, &err);
	if (rc == 0 && o->rate)
		rc = command_numbers(o->rate, b->rates, BENCH_LIST, &b->n_rates, &err);
	if (rc == 0)
		rc = check_more(b, &err);
	for (size_t i = 0; i < b->n_clients && rc == 0; i++) {
		if (b->clients[i] == 0 || b->clients[i] > 4096)
			rc = error_set(&err, ERR_INPUT, "--clients are 1 .. 4096");
	}
	for (size_t i = 0; i < b->n_rates && rc == 0; i++) {
		if (b->rates[i] == 0 || b->rates[i] > 10000000)
			rc = error_set(&err, ERR_INPUT, "--rate is 1 .. 10000000");
	}
	return rc == 0 ? -1 : command_misused(line.name, "%s", err.text);
}

static int write_json(const struct bench *b, const char *path, struct error *err)
{
	FILE *f = path ? fopen(path, "wb") : stdout;
	struct buf json = BUF_INIT;

	if (f == NULL)
		return error_errno(err, errno, "cannot write %s", path);
	bench_json(b, &json);
	bool good = fwrite(json.data, 1, json.len, f) == json.len;
	if (f != stdout)
		good = fclose(f) == 0 && good;
	buf_fini(&json);
	return good ? 0 : error_errno(err, errno, "cannot write %s", path ? path : "the output");
}

static int run(struct bench *b, struct error *err)
{
	int rc = client_new(&b->client, b->o.url, b->o.api_key, b->o.timeout, err);
	bool existed;

	if (rc == 0)
		rc = loadgen_target(&b->target, client_url(b->client),
				    b->o.api_key ? b->o.api_key : getenv("QUIVER_API_KEY"), err);
	if (rc == 0)
		rc = bench_read_data(b, err);
	if (rc == 0)
		rc = bench_load(b, err);
	if (rc == 0 && !b->o.load_only)
		rc = bench_find_truth(b, err);
	if (rc == 0 && !b->o.load_only)
		rc = bench_measure(b, err);
	if (rc == 0 && b->o.fault)
		rc = bench_measure_fault(b, err);
	if (rc == 0 && b->o.report)
		rc = bench_write_report(b, b->o.report, err);
	if (rc == 0 && b->o.output)
		rc = write_json(b, b->o.output, err);
	if (rc == 0 && b->o.json)
		rc = write_json(b, NULL, err);
	else if (rc == 0)
		bench_print_table(b);
	/* Only what was loaded here, and under the name that is ours. */
	if (b->loaded && !b->o.keep && strcmp(b->o.collection, "quiver-bench") == 0)
		remote_delete(b->client, b->o.collection, &existed, NULL);
	return rc;
}

static char *join(struct arena *arena, int argc, char **argv)
{
	char *text = arena_strdup(arena, "quiver");

	for (int i = 0; i < argc; i++)
		text = arena_printf(arena, "%s %s", text, argv[i]);
	return text;
}

int command_bench(int argc, char **argv)
{
	static struct bench b;
	struct error err = {0};
	struct command_args args = {.argc = argc, .argv = argv};

	b.arena = arena_new(4096);
	b.stop = &stop;
	b.command = join(b.arena, argc, argv);
	int code = command_parse(&line, &args, &b.o, b.arena);
	if (code < 0)
		code = check_options(&b);
	if (code < 0) {
		signal(SIGINT, on_interrupt);
		int rc = run(&b, &err);
		code = rc == 0 ? EXIT_DONE : command_fail(line.name, b.o.json, rc, &err);
		if (atomic_load(&stop))
			code = EXIT_STOPPED;
	}
	client_free(b.client);
	matrix_free(&b.rows);
	matrix_free(&b.queries);
	matrix_free(&b.truth);
	for (size_t i = 1; i < b.n_filters; i++)
		matrix_free(&b.filters[i].truth);
	free(b.fault.slices);
	free(b.points);
	arena_free(b.arena);
	return code;
}
