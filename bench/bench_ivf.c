/* Search speed of IVF indexes in one process and one thread, at equal recall: FAISS and quiver over the same file,
 * so with the same centroids, the same lists and the same codes to begin with.
 *
 * For each quantiser the recall is measured over a sweep of nprobe; the two nprobes around the target are then
 * timed, the engines in turn, `--runs` times; the figures are medians, interpolated at the target. Where codes are
 * scanned, both compare candidates by their rows; FAISS gets all queries in one call and then the same re-scoring
 * by quiver's kernels (which are faster than its own), its best case. quiver-batch has all queries in one call too.
 * Searches are timed in CPU time of the one thread. One pass over the queries, not timed, warms up.
 */
#include "base/clock.h"
#include "base/codec.h"
#include "base/config.h"
#include "base/memory.h"
#include "bench/dataset.h"
#include "bench/options.h"
#include "bench/target.h"
#include "index/vindex.h"
#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/index_io_c.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
	uint64_t n, dim, queries, nlist, k, runs, threads, oversampling;
	double recall;
	const char *metric, *kernels, *quantizers;
};

static const struct config_row option_rows[] = {
	CONFIG_U64(struct options, n, "200000", 10000, 100e6, "ROWS", "vectors in the index"),
	CONFIG_U64(struct options, dim, "128", 1, 65536, "DIM", "values of a vector"),
	CONFIG_U64(struct options, queries, "1000", 10, 1e6, "COUNT", "queries"),
	CONFIG_U64(struct options, nlist, "1024", 1, 1e6, "COUNT", "lists"),
	CONFIG_U64(struct options, k, "10", 1, 100, "K", "neighbours asked for"),
	CONFIG_U64(struct options, runs, "5", 1, 1000, "COUNT", "timed runs; their median counts"),
	CONFIG_U64(struct options, threads, "2", 1, 256, "COUNT", "threads of the builds"),
	CONFIG_U64(struct options, oversampling, "4", 1, 100, "TIMES",
		   "candidates that are compared by their rows, for each neighbour"),
	CONFIG_F64(struct options, recall, "0.98", 0, 1, "RECALL", "compare at this recall"),
	CONFIG_STR(struct options, metric, "cosine", "NAME", "cosine or euclid"),
	CONFIG_STR(struct options, kernels, "avx512", "LEVEL",
		   "use none above: plain, avx2, avx512"),
	CONFIG_STR(struct options, quantizers, "none,sq8,pq", "LIST", "which to run"),
};
enum { N_OPTIONS = sizeof option_rows / sizeof *option_rows, ENGINES = 3 };

struct bench;

struct engine {
	const char *name;
	void (*search)(struct bench *b, uint32_t nprobe);
	struct target target; /* efforts: nprobes */
	double at_target;     /* queries per second */
};

struct bench {
	struct options o;
	enum distance distance;
	enum quantizer quantizer;
	float *rows, *queries;
	uint32_t *truth, *found; /* queries x k */
	struct buf file;
	struct vindex *index;
	FaissIndex *faiss;
	FaissParameterSpace *space;
	double build_s;
};

static double seconds(void)
{
	return (double)clock_thread_cpu_ns() * 1e-9;
}

static void die(const char *what, const char *why)
{
	bench_die("bench_ivf", what, why);
}

/* ---- engines --------------------------------------------------------------------------------- */

static struct vindex_query query_of(const struct bench *b, uint64_t i, uint32_t nprobe)
{
	return (struct vindex_query){.vector = b->queries + i * b->o.dim,
				     .k = (uint32_t)b->o.k,
				     .nprobe = nprobe,
				     .oversampling = (float)b->o.oversampling};
}

static void keep(struct bench *b, uint64_t i, const struct topk_item *items, uint32_t n)
{
	for (uint32_t j = 0; j < b->o.k; j++)
		b->found[i * b->o.k + j] = j < n ? (uint32_t)items[j].tag : UINT32_MAX;
}

static void search_quiver(struct bench *b, uint32_t nprobe)
{
	struct topk_item out[100];

	for (uint64_t i = 0; i < b->o.queries; i++) {
		const struct vindex_query q = query_of(b, i, nprobe);
		uint32_t n;

		if (vindex_search(b->index, &q, out, &n, NULL, NULL))
			die("quiver", "search failed");
		keep(b, i, out, n);
	}
}

static void search_batch(struct bench *b, uint32_t nprobe)
{
	struct vindex_query *queries = mem_array(b->o.queries, sizeof *queries);
	struct vindex_answer *answers = mem_array(b->o.queries, sizeof *answers);
	struct topk_item *items = mem_array(b->o.queries * b->o.k, sizeof *items);

	for (uint64_t i = 0; i < b->o.queries; i++) {
		queries[i] = query_of(b, i, nprobe);
		answers[i].items = items + i * b->o.k;
	}
	if (vindex_search_batch(b->index, queries, answers, (uint32_t)b->o.queries, NULL))
		die("quiver", "search failed");
	for (uint64_t i = 0; i < b->o.queries; i++)
		keep(b, i, answers[i].items, answers[i].n);
	free(queries);
	free(answers);
	free(items);
}

/* The k best of candidates by their rows. */
static void rescore(struct bench *b, uint64_t i, const idx_t *labels, uint32_t n)
{
	struct topk_item out[100];
	struct topk top;

	topk_init(&top, out, b->o.k);
	for (uint32_t j = 0; j < n && labels[j] >= 0; j++)
		topk_push(&top,
			  vindex_distance(b->distance, b->queries + i * b->o.dim,
					  b->rows + (uint64_t)labels[j] * b->o.dim,
					  (uint32_t)b->o.dim),
			  (uint64_t)labels[j]);
	topk_sort(&top);
	keep(b, i, out, (uint32_t)top.count);
}

static void search_faiss(struct bench *b, uint32_t nprobe)
{
	uint32_t n = (uint32_t)(b->o.k * (b->quantizer == QUANTIZER_NONE ? 1 : b->o.oversampling));
	idx_t *labels = mem_array(b->o.queries * n, sizeof *labels);
	float *distances = mem_array(b->o.queries * n, sizeof *distances);

	faiss_ParameterSpace_set_index_parameter(b->space, b->faiss, "nprobe", nprobe);
	if (faiss_Index_search(b->faiss, (idx_t)b->o.queries, b->queries, n, distances, labels))
		die("FAISS", "search failed");
	for (uint64_t i = 0; i < b->o.queries; i++) {
		if (b->quantizer != QUANTIZER_NONE)
			rescore(b, i, labels + i * n, n);
		for (uint32_t j = 0; j < b->o.k && b->quantizer == QUANTIZER_NONE; j++)
			b->found[i * b->o.k + j] = (uint32_t)labels[i * n + j];
	}
	free(labels);
	free(distances);
}

/* ---- indexes --------------------------------------------------------------------------------- */

static int keep_bytes(void *ctx, const void *bytes, size_t n, struct error *err)
{
	(void)err;
	buf_put(ctx, bytes, n);
	return 0;
}

static void make_indexes(struct bench *b)
{
	const struct vindex_rows rows = {.data = b->rows,
					 .n = (uint32_t)b->o.n,
					 .dim = (uint32_t)b->o.dim};
	const struct vindex_build build = {
		.rows = rows,
		.distance = b->distance,
		.config = {.kind = INDEX_IVF,
			   .quantizer = b->quantizer,
			   .nlist = (uint32_t)b->o.nlist},
		.threads = (uint32_t)b->o.threads,
		.rows_stay = true,
	};
	struct error err = {0};
	double begin = (double)clock_monotonic_ns();

	if (vindex_build(&build, &b->index, &err))
		die("build", err.text);
	b->build_s = ((double)clock_monotonic_ns() - begin) * 1e-9;
	buf_clear(&b->file);
	if (vindex_save(b->index, keep_bytes, &b->file, &err))
		die("save", err.text);
	vindex_free(b->index);
	const struct vindex_open open = {.bytes = b->file.data,
					 .n_bytes = b->file.len,
					 .rows = rows,
					 .distance = b->distance,
					 .config = build.config};
	if (vindex_open(&open, &b->index, &err))
		die("open", err.text);
	FILE *f = fmemopen(b->file.data, b->file.len, "rb");
	if (!f || faiss_read_index(f, 0, &b->faiss))
		die("FAISS", "cannot read the index");
	fclose(f);
	omp_set_num_threads(1);
}

/* ---- measuring ------------------------------------------------------------------------------- */

struct probing {
	struct bench *bench;
	const struct engine *engine;
};

static double recall_at(void *ctx, uint32_t nprobe)
{
	const struct probing *p = ctx;
	struct bench *b = p->bench;
	size_t same = 0;

	p->engine->search(b, nprobe);
	for (uint64_t i = 0; i < b->o.queries; i++) {
		for (size_t j = 0; j < b->o.k; j++) {
			for (size_t l = 0; l < b->o.k; l++)
				same += b->found[i * b->o.k + j] == b->truth[i * b->o.k + l];
		}
	}
	return (double)same / (double)(b->o.queries * b->o.k);
}

static void time_all(struct bench *b, struct engine *engines)
{
	double *times = mem_array(ENGINES * 2 * b->o.runs, sizeof *times);

	for (uint64_t run = 0; run < b->o.runs; run++) {
		for (size_t i = 0; i < (size_t)ENGINES * 2; i++) {
			double t = seconds();

			engines[i / 2].search(b, engines[i / 2].target.effort[i % 2]);
			times[i * b->o.runs + run] = seconds() - t;
		}
	}
	for (size_t i = 0; i < ENGINES; i++) {
		struct engine *e = &engines[i];
		for (size_t j = 0; j < 2; j++) {
			double *t = times + (i * 2 + j) * b->o.runs;

			e->target.qps[j] = (double)b->o.queries / median(t, b->o.runs);
		}
		e->at_target = target_qps(&e->target);
	}
	free(times);
}

static void measure(struct bench *b)
{
	struct engine engines[ENGINES] = {
		{.name = "faiss", .search = search_faiss},
		{.name = "quiver", .search = search_quiver},
		{.name = "quiver-batch", .search = search_batch},
	};
	struct vindex_info info;

	make_indexes(b);
	vindex_describe(b->index, &info);
	for (size_t i = 0; i < ENGINES; i++) {
		engines[i].target.recall = b->o.recall;
		target_search(&engines[i].target, 1, (uint32_t)b->o.nlist, recall_at,
			      &(struct probing){b, &engines[i]});
	}
	time_all(b, engines);
	for (size_t i = 0; i < ENGINES; i++) {
		const struct engine *e = &engines[i];
		const struct target *t = &e->target;
		double ratio = e->at_target / engines[0].at_target;

		printf("| %s | %s | %u | %.4f | %.0f | %u | %.4f | %.0f | ",
		       quantizer_name(b->quantizer), e->name, t->effort[0], t->found[0], t->qps[0],
		       t->effort[1], t->found[1], t->qps[1]);
		if (t->reached)
			printf("%.0f | %.2f | %s |\n", e->at_target, ratio,
			       i == 0       ? "-"
			       : ratio >= 1 ? "yes"
					    : "no");
		else
			printf("recall not reached | - | no |\n");
	}
	printf("%s: built in %.1f s; quiver keeps %.1f MB beside the rows\n",
	       quantizer_name(b->quantizer), b->build_s, (double)info.memory_bytes / 1e6);
	vindex_free(b->index);
	faiss_Index_free(b->faiss);
}

static void make_data(struct bench *b)
{
	const struct dataset_shape shape = {
		.dim = (uint32_t)b->o.dim,
		.n_clusters = 200,
		.normalise = b->distance == DISTANCE_COSINE,
		.seed = 42,
	};
	const struct vindex_rows rows = {.n = (uint32_t)b->o.n, .dim = (uint32_t)b->o.dim};
	struct vindex_rows all = rows;
	struct topk_item out[100];

	b->rows = mem_array(b->o.n * b->o.dim, sizeof(float));
	b->queries = mem_array(b->o.queries * b->o.dim, sizeof(float));
	b->truth = mem_array(b->o.queries * b->o.k, sizeof *b->truth);
	b->found = mem_array(b->o.queries * b->o.k, sizeof *b->found);
	dataset_fill(&shape, 0, (uint32_t)b->o.n, b->rows);
	dataset_fill(&shape, 1, (uint32_t)b->o.queries, b->queries);
	all.data = b->rows;
	for (uint64_t i = 0; i < b->o.queries; i++) {
		const struct vindex_query q = query_of(b, i, 0);
		uint32_t n;

		vindex_scan(&all, b->distance, &q, out, &n);
		for (uint32_t j = 0; j < n; j++)
			b->truth[i * b->o.k + j] = (uint32_t)out[j].tag;
	}
}

static void read_options(struct bench *b, int argc, char **argv)
{
	static const struct bench_program program = {
		"bench_ivf", "search speed of IVF at equal recall, beside FAISS", option_rows,
		N_OPTIONS};
	struct error err = {0};

	bench_options(&program, argc, argv, &b->o);
	b->distance = strcmp(b->o.metric, "euclid") == 0 ? DISTANCE_EUCLID : DISTANCE_COSINE;
	if (vindex_limit_kernels(b->o.kernels, &err))
		die("options", err.text);
}

int main(int argc, char **argv)
{
	static const enum quantizer quantizers[] = {QUANTIZER_NONE, QUANTIZER_SQ8, QUANTIZER_PQ};
	static struct bench b;

	read_options(&b, argc, argv);
	make_data(&b);
	faiss_ParameterSpace_new(&b.space);
	printf("%llu x %llu-d, %s, k %llu, nlist %llu, 1 thread, kernels %s, medians of %llu runs of %llu "
	       "queries\n",
	       (unsigned long long)b.o.n, (unsigned long long)b.o.dim, b.o.metric,
	       (unsigned long long)b.o.k, (unsigned long long)b.o.nlist, vindex_kernels(),
	       (unsigned long long)b.o.runs, (unsigned long long)b.o.queries);
	printf("| quantizer | engine | nprobe | recall | QPS | nprobe | recall | QPS | QPS at %.4f | / faiss | "
	       "reached |\n",
	       b.o.recall);
	for (size_t i = 0; i < sizeof quantizers / sizeof *quantizers; i++) {
		b.quantizer = quantizers[i];
		if (strstr(b.o.quantizers, quantizer_name(b.quantizer)))
			measure(&b);
	}
	return 0;
}
