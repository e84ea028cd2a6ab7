/* Search speed of one HNSW index in one process and one thread, at equal recall: FAISS, hnswlib (where its
 * headers are installed) and quiver on the same vectors with the same M, ef_construction and k, in
 * one run. Each engine builds its own graph; faiss-on-quiver is FAISS's search over quiver's.
 *
 * For each engine the recall is measured over a sweep of ef. The two efs around the target recall are
 * then timed, the engines in turn, `--runs` times; the figures are medians, and the queries per second
 * at the target are interpolated between the two. Searches are timed in CPU time of the one thread, so
 * that other programs on the machine do not count. FAISS gets all queries in one call, its best case. One pass over the queries, not timed, warms up.
 */
#include "base/clock.h"
#include "base/config.h"
#include "base/memory.h"
#include "base/prng.h"
#include "bench/dataset.h"
#include "bench/options.h"
#include "bench/target.h"
#include "bench/rival_hnswlib.h"
#include "index/vindex.h"
#include <faiss/c_api/AutoTune_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct options {
	uint64_t n, dim, queries, m, ef_construct, k, runs, threads, clusters, rank;
	double recall;
	const char *metric, *kernels, *cache, *engines, *filters, *codes;
};

static const struct config_row option_rows[] = {
	CONFIG_U64(struct options, n, "200000", 1000, 100e6, "ROWS", "vectors in the index"),
	CONFIG_U64(struct options, dim, "128", 1, 65536, "DIM", "values of a vector"),
	CONFIG_U64(struct options, queries, "2000", 10, 1e6, "COUNT", "queries"),
	CONFIG_U64(struct options, m, "32", 2, 512, "M", "links of a node and level"),
	CONFIG_U64(struct options, ef_construct, "40", 4, 4096, "EF", "effort of the build"),
	CONFIG_U64(struct options, k, "10", 1, 1000, "K", "neighbours asked for"),
	CONFIG_U64(struct options, runs, "5", 1, 1000, "COUNT", "timed runs; their median counts"),
	CONFIG_U64(struct options, threads, "2", 1, 256, "COUNT", "threads of the builds"),
	CONFIG_U64(struct options, clusters, "200", 1, 1e6, "COUNT", "clusters of the vectors"),
	CONFIG_U64(struct options, rank, "24", 1, 4096, "RANK", "hidden dimensions of the vectors"),
	CONFIG_F64(struct options, recall, "0.99", 0, 1, "RECALL", "compare at this recall"),
	CONFIG_STR(
		struct options, filters, NULL, "LIST",
		"quiver also under these, such as 0.1,near:0.05,far:0.05: shares of the rows, drawn by "
		"chance, or from a half of the space where the queries are, or where they are not"),
	CONFIG_STR(struct options, metric, "cosine", "NAME",
		   "cosine, euclid, dot or manhattan (no rivals)"),
	CONFIG_STR(struct options, codes, "scalar", "NAME",
		   "quiver's, in memory: scalar (8 bits) or binary (1 bit)"),
	CONFIG_STR(struct options, kernels, "avx512", "LEVEL",
		   "use none above: plain, avx2, avx512"),
	CONFIG_STR(struct options, engines, "faiss,hnswlib,quiver", "LIST", "which to run"),
	CONFIG_STR(struct options, cache, NULL, "FOLDER",
		   "keep the built indexes here and use them again (no build times then)"),
};
enum { N_OPTIONS = sizeof option_rows / sizeof *option_rows };

struct bench;

/* What is searched for. */
struct workload {
	float *queries;
	uint32_t *truth;     /* queries x k */
	struct bitset allow; /* n_allow > 0 */
	uint32_t n_allow;    /* 0: no filter */
	char name[32];       /* of the filter */
};
enum { LOADS_MAX = 32, EF_MOST = 8192, EF_SAME = 40, NEAR = 1, FAR = -1 };

struct engine {
	const char *name;
	const struct workload *load;
	int (*prepare)(struct bench *b, struct engine *e);
	void (*search)(struct bench *b, struct engine *e, uint32_t ef, uint32_t *rows_out);
	void *index;
	double build_s, open_s; /* NAN: not measured */
	struct target target;   /* efforts: efs */
	double at_target;       /* queries per second */
	double at_same;         /* recall at EF_SAME */
	bool ready;
};

struct bench {
	struct options o;
	enum distance distance;
	struct dataset_shape shape;
	float *rows;
	uint32_t *found;                  /* queries x k */
	struct workload loads[LOADS_MAX]; /* the first without a filter */
	size_t n_loads;
	void *file; /* of quiver's index, mapped */
	size_t file_bytes;
	size_t resident_bytes, raw_bytes, ideal_bytes;
	char key[200]; /* of the cache: what the vectors and graphs depend on */
};

/* CPU time of this thread: other programs on the machine take turns, not results. */
static double cpu_seconds(void)
{
	return (double)clock_thread_cpu_ns() * 1e-9;
}

static double seconds(void)
{
	return (double)clock_monotonic_ns() * 1e-9;
}

static void die(const char *what, const char *why)
{
	bench_die("bench_index", what, why);
}

static void cache_path(const struct bench *b, const char *suffix, char *out, size_t room)
{
	const char *folder = b->o.cache ? b->o.cache : getenv("TMPDIR");

	snprintf(out, room, "%s/bench_index-%s.%s", folder ? folder : "/tmp", b->key, suffix);
}

/* ---- quiver ---------------------------------------------------------------------------------- */

static enum quantizer quantizer_of(const struct bench *b)
{
	return strcmp(b->o.codes, "binary") == 0 ? QUANTIZER_BINARY : QUANTIZER_NONE;
}

static int write_file(void *ctx, const void *bytes, size_t n, struct error *err)
{
	if (fwrite(bytes, 1, n, ctx) != n)
		return error_set(err, ERR_IO, "cannot write the index");
	return 0;
}

static void build_quiver(struct bench *b, struct engine *e, const char *path)
{
	const struct vindex_build build = {
		.rows = {.data = b->rows, .n = (uint32_t)b->o.n, .dim = (uint32_t)b->o.dim},
		.distance = b->distance,
		.config = {.kind = INDEX_HNSW,
			   .quantizer = quantizer_of(b),
			   .m = (uint32_t)b->o.m,
			   .ef_construct = (uint32_t)b->o.ef_construct},
		.threads = (uint32_t)b->o.threads,
		.rows_stay = true,
	};
	struct error err = {0};
	struct vindex *v = NULL;
	double t = seconds();

	if (vindex_build(&build, &v, &err))
		die("quiver", err.text);
	e->build_s = seconds() - t;
	FILE *f = fopen(path, "wb");
	if (!f || vindex_save(v, write_file, f, &err) || fclose(f))
		die(path, err.text);
	vindex_free(v);
}

static void map_file(struct bench *b, struct engine *e)
{
	char path[600];
	struct stat st;
	FILE *f;

	if (b->file)
		return;
	cache_path(b, "faiss", path, sizeof path);
	if (!b->o.cache || !(f = fopen(path, "rb"))) {
		build_quiver(b, e, path);
		f = fopen(path, "rb");
	}
	if (!f || fstat(fileno(f), &st))
		die(path, "cannot be read");
	b->file_bytes = (size_t)st.st_size;
	b->file = mmap(NULL, b->file_bytes, PROT_READ, MAP_SHARED, fileno(f), 0);
	if (b->file == MAP_FAILED)
		die(path, "cannot be mapped");
	fclose(f);
	if (!b->o.cache)
		unlink(path);
}

static size_t resident_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static int prepare_quiver(struct bench *b, struct engine *e)
{
	struct error err = {0};
	struct vindex *v = NULL;

	map_file(b, e);
	const struct vindex_open open = {
		.bytes = b->file,
		.n_bytes = b->file_bytes,
		.distance = b->distance,
		.config = {.kind = INDEX_HNSW, .quantizer = quantizer_of(b)},
		.faiss_only = strcmp(e->name, "quiver-faiss") == 0,
	};
	size_t before = resident_bytes();
	double t = cpu_seconds();
	if (vindex_open(&open, &v, &err))
		die("quiver", err.text);
	e->open_s = cpu_seconds() - t;
	e->index = v;
	if (!open.faiss_only) {
		/* the links as FAISS keeps them: 2M on level 0, M / (M - 1) above it */
		double links = 2 * (double)b->o.m + (double)b->o.m / (double)(b->o.m - 1);

		/* of the file only its rows are read again, and all of them count */
		madvise(b->file, b->file_bytes, MADV_DONTNEED);
		b->raw_bytes = b->o.n * b->o.dim * sizeof(float);
		b->resident_bytes = resident_bytes() - before + b->raw_bytes;
		b->ideal_bytes = b->raw_bytes + (size_t)(links * 4 * (double)b->o.n);
	}
	return 0;
}

static void search_quiver(struct bench *b, struct engine *e, uint32_t ef, uint32_t *rows_out)
{
	const struct workload *l = e->load;
	uint32_t k = (uint32_t)b->o.k;
	struct topk_item out[1000];

	for (uint64_t i = 0; i < b->o.queries; i++) {
		const struct vindex_query q = {.vector = l->queries + i * b->o.dim,
					       .k = k,
					       .ef = ef,
					       .allow = l->n_allow ? &l->allow : NULL,
					       .n_allow = l->n_allow};
		struct vindex_stats stats;
		uint32_t n;

		if (vindex_search(e->index, &q, out, &n, &stats, NULL))
			die("quiver", "search failed");
		for (uint32_t j = 0; j < k; j++)
			rows_out[i * k + j] = j < n ? (uint32_t)out[j].tag : UINT32_MAX;
	}
}

/* ---- FAISS ----------------------------------------------------------------------------------- */

static FaissIndex *build_faiss(struct bench *b, struct engine *e)
{
	FaissMetricType metric = b->distance == DISTANCE_EUCLID ? METRIC_L2 : METRIC_INNER_PRODUCT;
	FaissParameterSpace *space;
	FaissIndex *index;
	char text[64];

	snprintf(text, sizeof text, "HNSW%u,Flat", (uint32_t)b->o.m);
	if (faiss_index_factory(&index, (int)b->o.dim, text, metric) ||
	    faiss_ParameterSpace_new(&space))
		die("FAISS", text);
	faiss_ParameterSpace_set_index_parameter(space, index, "efConstruction",
						 (double)b->o.ef_construct);
	omp_set_num_threads((int)b->o.threads);
	double t = seconds();
	faiss_Index_add(index, (idx_t)b->o.n, b->rows);
	e->build_s = seconds() - t;
	faiss_ParameterSpace_free(space);
	return index;
}

static int prepare_faiss(struct bench *b, struct engine *e)
{
	FaissIndex *index = NULL;
	char path[600];

	cache_path(b, "faiss-own", path, sizeof path);
	if (!b->o.cache || access(path, R_OK) || faiss_read_index_fname(path, 0, &index)) {
		index = build_faiss(b, e);
		if (b->o.cache)
			faiss_write_index_fname(index, path);
	}
	omp_set_num_threads(1);
	e->index = index;
	return 0;
}

/* FAISS's search over quiver's graph, read from quiver's file. */
static int prepare_faiss_file(struct bench *b, struct engine *e)
{
	FaissIndex *index;
	FILE *f;

	map_file(b, e);
	f = fmemopen(b->file, b->file_bytes, "rb");
	double t = cpu_seconds();
	if (!f || faiss_read_index(f, 0, &index))
		die("FAISS", "cannot read the index");
	e->open_s = cpu_seconds() - t;
	fclose(f);
	omp_set_num_threads(1);
	e->index = index;
	return 0;
}

static void search_faiss(struct bench *b, struct engine *e, uint32_t ef, uint32_t *rows_out)
{
	size_t n = b->o.queries * b->o.k;
	static FaissParameterSpace *space;
	idx_t *labels = mem_array(n, sizeof *labels);
	float *distances = mem_array(n, sizeof *distances);

	if (!space)
		faiss_ParameterSpace_new(&space);
	faiss_ParameterSpace_set_index_parameter(space, e->index, "efSearch", ef);
	if (faiss_Index_search(e->index, (idx_t)b->o.queries, e->load->queries, (idx_t)b->o.k,
			       distances, labels))
		die("FAISS", "search failed");
	for (size_t i = 0; i < n; i++)
		rows_out[i] = (uint32_t)labels[i];
	free(labels);
	free(distances);
}

/* ---- hnswlib --------------------------------------------------------------------------------- */

#ifdef HAVE_HNSWLIB

static int prepare_hnswlib(struct bench *b, struct engine *e)
{
	const struct rival_shape shape = {
		.dim = (uint32_t)b->o.dim,
		.n = (uint32_t)b->o.n,
		.m = (uint32_t)b->o.m,
		.ef_construct = (uint32_t)b->o.ef_construct,
		.threads = (uint32_t)b->o.threads,
		.inner_product = b->distance != DISTANCE_EUCLID,
	};
	char path[600];

	cache_path(b, "hnswlib", path, sizeof path);
	if (b->o.cache)
		e->index = rival_hnswlib_load(&shape, path);
	if (!e->index) {
		double t = seconds();
		e->index = rival_hnswlib_build(&shape, b->rows);
		e->build_s = seconds() - t;
		if (b->o.cache)
			rival_hnswlib_save(e->index, path);
	}
	return 0;
}

static void search_hnswlib(struct bench *b, struct engine *e, uint32_t ef, uint32_t *rows_out)
{
	for (uint64_t i = 0; i < b->o.queries; i++)
		rival_hnswlib_search(e->index, e->load->queries + i * b->o.dim, (uint32_t)b->o.k,
				     ef, rows_out + i * b->o.k);
}

#endif

/* ---- measuring ------------------------------------------------------------------------------- */

static double recall(const struct bench *b, const struct workload *load)
{
	size_t k = b->o.k, same = 0;

	for (uint64_t i = 0; i < b->o.queries; i++) {
		for (size_t j = 0; j < k; j++) {
			for (size_t l = 0; l < k; l++)
				same += b->found[i * k + j] == load->truth[i * k + l];
		}
	}
	return (double)same / (double)(b->o.queries * k);
}

struct probing {
	struct bench *bench;
	struct engine *engine;
};

static double recall_at(void *ctx, uint32_t ef)
{
	const struct probing *p = ctx;

	p->engine->search(p->bench, p->engine, ef, p->bench->found);
	return recall(p->bench, p->engine->load);
}

/* The efs below and above the target. */
static bool bracket(struct bench *b, struct engine *e)
{
	struct target *t = &e->target;

	t->recall = b->o.recall;
	target_search(t, (uint32_t)b->o.k, EF_MOST, recall_at, &(struct probing){b, e});
	if (!t->reached)
		fprintf(stderr, "%s does not reach recall %.4f (%.4f at ef %u)\n", e->name,
			b->o.recall, t->found[1], t->effort[1]);
	return t->reached;
}

static void time_all(struct bench *b, struct engine *engines, size_t n)
{
	double *times = mem_array(n * 2 * b->o.runs, sizeof *times);

	for (uint64_t run = 0; run < b->o.runs; run++) {
		for (size_t i = 0; i < n; i++) {
			for (int j = 0; j < 2 && engines[i].ready; j++) {
				double t = cpu_seconds();

				engines[i].search(b, &engines[i], engines[i].target.effort[j],
						  b->found);
				times[(i * 2 + (size_t)j) * b->o.runs + run] = cpu_seconds() - t;
			}
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct engine *e = &engines[i];

		for (size_t j = 0; j < 2 && e->ready; j++) {
			double *t = times + (i * 2 + j) * b->o.runs;

			e->target.qps[j] = (double)b->o.queries / median(t, b->o.runs);
		}
		e->at_target = target_qps(&e->target);
	}
	free(times);
}

static void find_truth(struct bench *b, struct workload *l)
{
	const struct vindex_rows rows = {.data = b->rows,
					 .n = (uint32_t)b->o.n,
					 .dim = (uint32_t)b->o.dim};
	size_t bytes = b->o.queries * b->o.k * sizeof *l->truth;
	struct topk_item out[1000];
	char path[600], suffix[64];
	FILE *f;

	l->truth = mem_array(b->o.queries * b->o.k, sizeof *l->truth);
	snprintf(suffix, sizeof suffix, "%s%struth", l->name, l->n_allow ? "." : "");
	cache_path(b, suffix, path, sizeof path);
	if (b->o.cache && (f = fopen(path, "rb"))) {
		size_t got = fread(l->truth, 1, bytes, f);

		fclose(f);
		if (got == bytes)
			return;
	}
	for (uint64_t i = 0; i < b->o.queries; i++) {
		const struct vindex_query q = {.vector = l->queries + i * b->o.dim,
					       .k = (uint32_t)b->o.k,
					       .allow = l->n_allow ? &l->allow : NULL,
					       .n_allow = l->n_allow};
		uint32_t n;

		vindex_scan(&rows, b->distance, &q, out, &n);
		for (uint32_t j = 0; j < n; j++)
			l->truth[i * b->o.k + j] = (uint32_t)out[j].tag;
	}
	if (b->o.cache && (f = fopen(path, "wb"))) {
		fwrite(l->truth, 1, bytes, f);
		fclose(f);
	}
}

static void print_table(const struct bench *b, const struct engine *engines, size_t n)
{
	printf("%llu x %llu-d, %s, k %llu, M %llu, ef_construction %llu, 1 thread, kernels %s, "
	       "medians of %llu runs of %llu queries\n",
	       (unsigned long long)b->o.n, (unsigned long long)b->o.dim, b->o.metric,
	       (unsigned long long)b->o.k, (unsigned long long)b->o.m,
	       (unsigned long long)b->o.ef_construct, vindex_kernels(),
	       (unsigned long long)b->o.runs, (unsigned long long)b->o.queries);
	printf("| engine | ef | recall | QPS | ef | recall | QPS | QPS at %.4f | build s | open s |",
	       b->o.recall);
	for (size_t j = 0; j < n; j++) {
		if (engines[j].ready && engines[j].load == b->loads)
			printf(" / %s |", engines[j].name);
	}
	printf("\n");
	for (size_t i = 0; i < n; i++) {
		const struct engine *e = &engines[i];
		const struct target *t = &e->target;

		if (!e->ready)
			continue;
		printf("| %s | %u | %.4f | %.0f | %u | %.4f | %.0f | %.0f | %.2f | %.3f |", e->name,
		       t->effort[0], t->found[0], t->qps[0], t->effort[1], t->found[1], t->qps[1],
		       e->at_target, e->build_s, e->open_s);
		for (size_t j = 0; j < n; j++) {
			if (engines[j].ready && engines[j].load == b->loads)
				printf(" %.2f |", e->at_target / engines[j].at_target);
		}
		printf("\n");
	}
	printf("built by %llu threads; recall at ef %d:", (unsigned long long)b->o.threads,
	       EF_SAME);
	for (size_t i = 0; i < n; i++) {
		if (engines[i].ready && engines[i].load == b->loads)
			printf(" %s %.4f", engines[i].name, engines[i].at_same);
	}
	printf("\n");
	if (b->ideal_bytes)
		printf("quiver keeps %.1f MB in memory, rows included: %.2f x (raw vectors + graph links), "
		       "%.2f x raw\n",
		       (double)b->resident_bytes / 1e6,
		       (double)b->resident_bytes / (double)b->ideal_bytes,
		       (double)b->resident_bytes / (double)b->raw_bytes);
}

static int compare_items(const void *a, const void *b)
{
	const struct topk_item *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

/* Of n vectors in the order in which they lie along a line, the nearest to its end first. */
static struct topk_item *along_line(const struct bench *b, const float *vectors, size_t n)
{
	struct topk_item *items = mem_array(n, sizeof *items);
	float *line = mem_array(b->o.dim, sizeof *line);
	struct prng p;

	prng_seed(&p, 23);
	for (size_t d = 0; d < b->o.dim; d++)
		line[d] = prng_gauss(&p);
	for (size_t i = 0; i < n; i++) {
		items[i].tag = i;
		items[i].key = vindex_distance(DISTANCE_DOT, line, vectors + i * b->o.dim,
					       (uint32_t)b->o.dim);
	}
	qsort(items, n, sizeof *items, compare_items);
	free(line);
	return items;
}

/* Queries from the end of the line that the allowed rows are at, or from the other. */
static void choose_queries(const struct bench *b, struct workload *l, int where)
{
	size_t n = b->o.queries * 8, row = b->o.dim * sizeof(float);
	float *many = mem_array(n * b->o.dim, sizeof *many);

	dataset_fill(&b->shape, 2, (uint32_t)n, many);
	struct topk_item *items = along_line(b, many, n);
	l->queries = mem_array(b->o.queries * b->o.dim, sizeof(float));
	for (size_t i = 0; i < b->o.queries; i++) {
		size_t from = items[where == NEAR ? i : n - 1 - i].tag;

		memcpy(l->queries + i * b->o.dim, many + from * b->o.dim, row);
	}
	free(items);
	free(many);
}

static void make_filter(const struct bench *b, struct workload *l, double share, int where)
{
	struct prng p;

	prng_seed(&p, 17);
	bitset_init(&l->allow, (uint32_t)b->o.n, false);
	if (where) {
		struct topk_item *items = along_line(b, b->rows, b->o.n);

		for (size_t i = 0; i < (size_t)(share * (double)b->o.n); i++)
			bitset_set(&l->allow, (uint32_t)items[i].tag);
		free(items);
		choose_queries(b, l, where);
	} else {
		for (uint32_t i = 0; i < b->o.n; i++) {
			if (prng_unit(&p) < share)
				bitset_set(&l->allow, i);
		}
		l->queries = b->loads[0].queries;
	}
	l->n_allow = bitset_count(&l->allow);
	if (l->n_allow < b->o.k)
		die("a filter passes fewer rows than --k", l->name);
}

static void make_filters(struct bench *b)
{
	for (const char *at = b->o.filters; at && *at;) {
		size_t length = strcspn(at, ",");
		struct workload *l = &b->loads[b->n_loads++];
		int where = strncmp(at, "near:", 5) == 0  ? NEAR
			    : strncmp(at, "far:", 4) == 0 ? FAR
							  : 0;
		char *end;
		double share = strtod(where ? strchr(at, ':') + 1 : at, &end);

		if (b->n_loads == LOADS_MAX || length >= sizeof l->name || end != at + length ||
		    !(share > 0 && share <= 1))
			die("too many filters, or not a filter", at);
		memcpy(l->name, at, length);
		make_filter(b, l, share, where);
		at += length + (at[length] == ',');
	}
}

static void make_data(struct bench *b)
{
	struct workload *free_of_filters = &b->loads[b->n_loads++];

	b->shape = (struct dataset_shape){
		.dim = (uint32_t)b->o.dim,
		.n_clusters = (uint32_t)b->o.clusters,
		.rank = (uint32_t)b->o.rank,
		.normalise = b->distance == DISTANCE_COSINE,
		.seed = 42,
	};
	b->rows = mem_array(b->o.n * b->o.dim, sizeof(float));
	b->found = mem_array(b->o.queries * b->o.k, sizeof *b->found);
	free_of_filters->queries = mem_array(b->o.queries * b->o.dim, sizeof(float));
	dataset_fill(&b->shape, 0, (uint32_t)b->o.n, b->rows);
	dataset_fill(&b->shape, 1, (uint32_t)b->o.queries, free_of_filters->queries);
	make_filters(b);
	for (size_t i = 0; i < b->n_loads; i++)
		find_truth(b, &b->loads[i]);
}

static void read_options(struct bench *b, int argc, char **argv)
{
	static const struct bench_program program = {
		"bench_index", "search speed of HNSW at equal recall, beside its rivals",
		option_rows, N_OPTIONS};
	struct error err = {0};

	bench_options(&program, argc, argv, &b->o);
	b->distance = strcmp(b->o.metric, "euclid") == 0      ? DISTANCE_EUCLID
		      : strcmp(b->o.metric, "dot") == 0       ? DISTANCE_DOT
		      : strcmp(b->o.metric, "manhattan") == 0 ? DISTANCE_MANHATTAN
							      : DISTANCE_COSINE;
	if (vindex_limit_kernels(b->o.kernels, &err))
		die("options", err.text);
	snprintf(b->key, sizeof b->key, "%llu-%llu-%llu-%llu-%llu-%llu-%llu-%llu-%s",
		 (unsigned long long)b->o.n, (unsigned long long)b->o.dim,
		 (unsigned long long)b->o.queries, (unsigned long long)b->o.m,
		 (unsigned long long)b->o.ef_construct, (unsigned long long)b->o.k,
		 (unsigned long long)b->o.clusters, (unsigned long long)b->o.rank, b->o.metric);
}

/* Is name one of the list's, which commas separate? */
static bool named(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, length) == 0 && (at[length] == ',' || !at[length]))
			return true;
	}
	return false;
}

/* quiver under the filters, by the index that is open: more engines behind the n there are. */
static size_t add_filtered(struct bench *b, struct engine *engines, size_t n)
{
	const struct engine *quiver = &engines[0];

	for (size_t i = 1; i < b->n_loads && quiver->ready; i++) {
		engines[n] = *quiver;
		engines[n].name = b->loads[i].name;
		engines[n].load = &b->loads[i];
		engines[n].build_s = engines[n].open_s = NAN;
		engines[n].ready = bracket(b, &engines[n]);
		n++;
	}
	return n;
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct engine engines[8 + LOADS_MAX] = {
		{.name = "quiver", .prepare = prepare_quiver, .search = search_quiver},
		{.name = "quiver-faiss", .prepare = prepare_quiver, .search = search_quiver},
		{.name = "faiss", .prepare = prepare_faiss, .search = search_faiss},
		{.name = "faiss-on-quiver", .prepare = prepare_faiss_file, .search = search_faiss},
#ifdef HAVE_HNSWLIB
		{.name = "hnswlib", .prepare = prepare_hnswlib, .search = search_hnswlib},
#endif
	};
	size_t n = 0;

	read_options(&b, argc, argv);
	make_data(&b);
	for (; engines[n].name; n++) {
		engines[n].load = &b.loads[0];
		if (!named(b.o.engines, engines[n].name))
			continue;
		engines[n].build_s = engines[n].open_s = NAN;
		engines[n].prepare(&b, &engines[n]);
		engines[n].ready = bracket(&b, &engines[n]);
		engines[n].at_same = recall_at(&(struct probing){&b, &engines[n]}, EF_SAME);
	}
	n = add_filtered(&b, engines, n);
	time_all(&b, engines, n);
	print_table(&b, engines, n);
	return 0;
}
