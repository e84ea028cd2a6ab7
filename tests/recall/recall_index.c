/* Recall as a number, for every index kind, distance, code and kernel: after the build, after save and open, under
 * filters of 50 %, 10 %, 1 % and 0.1 % by chance, graphs also under such that pass rows on the queries' side of the space
 * or on the other, with growing effort, with the effort that a wish for a recall chooses, and from several threads at once.
 * Prints a table; exits with 1 when a floor is not held.
 *
 *   recall_index                 the whole suite
 *   recall_index KIND            one index kind ("hnsw", "ivf sq8", ...)
 *   recall_index --export DIR    writes indexes, queries and exact answers for test_python_faiss.py
 */
#include "base/bitset.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/prng.h"
#include "bench/dataset.h"
#include "index/kernels.h"
#include "index/vindex.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 24000, DIM = 48, QUERIES = 150, K = 10, THREADS = 4 };

struct kind {
	const char *name;
	struct index_config config;
	double floor; /* at default effort, no filter */
	double filtered_floor;
	bool euclid_only; /* training takes long */
	double most;      /* with much effort; 0: 0.995 */
};

static const struct kind kinds[] = {
	{"flat", {.kind = INDEX_FLAT}, 1.0, 1.0},
	{"hnsw", {.kind = INDEX_HNSW, .m = 16, .ef_construct = 100}, 0.98, 0.98},
	{"hnsw m=8", {.kind = INDEX_HNSW, .m = 8, .ef_construct = 60}, 0.97, 0.97, .most = 0.98},
	{"hnsw sq8",
	 {.kind = INDEX_HNSW, .m = 16, .quantizer = QUANTIZER_SQ8},
	 0.98,
	 0.98,
	 .euclid_only = true},
	/* 48 bits say little about a row */
	{"hnsw 1bit",
	 {.kind = INDEX_HNSW, .m = 16, .quantizer = QUANTIZER_BINARY},
	 0.44,
	 0.38,
	 .most = 0.87},
	{"ivf", {.kind = INDEX_IVF, .nlist = 128}, 0.93, 0.93},
	{"ivf sq8", {.kind = INDEX_IVF, .nlist = 128, .quantizer = QUANTIZER_SQ8}, 0.93, 0.93},
	{"ivf pq",
	 {.kind = INDEX_IVF, .nlist = 128, .quantizer = QUANTIZER_PQ},
	 0.9,
	 0.9,
	 .euclid_only = true,
	 .most = 0.9},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const enum distance distances[] = {DISTANCE_COSINE, DISTANCE_DOT, DISTANCE_EUCLID,
					  DISTANCE_MANHATTAN};
enum where { ANYWHERE, NEAR, FAR, WHERES };
/* One row in so many is allowed: drawn by chance, or those at one end of a line; then the queries are at that end, or at
 * the other. */
static const struct filter {
	uint32_t every;
	enum where where;
	const char *name;
} filters[] = {{2, ANYWHERE, "50 %"},     {10, ANYWHERE, "10 %"}, {100, ANYWHERE, "1 %"},
	       {1000, ANYWHERE, "0.1 %"}, {2, NEAR, "near 50"},   {10, NEAR, "near 10"},
	       {100, NEAR, "near 1"},     {2, FAR, "far 50"},     {10, FAR, "far 10"},
	       {100, FAR, "far 1"}};
enum { FILTERS = sizeof filters / sizeof *filters, CHANCE = 4, CANDIDATES = 6 * QUERIES };

static float *rows, *queries[WHERES];
static struct bitset allow[FILTERS];
static int failures;
static enum kernel_level best_kernels;

static void require(double value, double floor, const char *what, const char *kind,
		    enum distance distance)
{
	if (value >= floor)
		return;
	printf("FAILED: %s, %s, %s: %.4f is below %.4f\n", kind, distance_name(distance), what,
	       value, floor);
	failures++;
}

static int compare_items(const void *a, const void *b)
{
	const struct topk_item *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

/* Numbers of n vectors as they lie along a line. */
static struct topk_item *along_line(const float *vectors, uint32_t n)
{
	struct topk_item *items = mem_array(n, sizeof *items);

	for (uint32_t i = 0; i < n; i++) {
		items[i].tag = i;
		for (uint32_t d = 0; d < DIM; d++)
			items[i].key += vectors[(size_t)i * DIM + d] * (d % 3 ? 1.0f : -1.5f);
	}
	qsort(items, n, sizeof *items, compare_items);
	return items;
}

static void make_queries(const struct dataset_shape *shape)
{
	float *many = mem_array((size_t)CANDIDATES * DIM, sizeof(float));
	struct topk_item *line;

	dataset_fill(shape, 1, CANDIDATES, many);
	line = along_line(many, CANDIDATES);
	for (int where = 0; where < WHERES; where++) {
		queries[where] = mem_array((size_t)QUERIES * DIM, sizeof(float));
		for (uint32_t i = 0; i < QUERIES; i++) {
			uint64_t from = where == ANYWHERE ? i
					: where == NEAR   ? line[i].tag
							  : line[CANDIDATES - 1 - i].tag;

			memcpy(queries[where] + (size_t)i * DIM, many + from * DIM,
			       DIM * sizeof(float));
		}
	}
	free(line);
	free(many);
}

static void make_data(void)
{
	const struct dataset_shape shape = {.dim = DIM, .n_clusters = 60, .rank = 24, .seed = 3};
	struct topk_item *line;
	struct prng p;

	rows = mem_array((size_t)ROWS * DIM, sizeof(float));
	dataset_fill(&shape, 0, ROWS, rows);
	make_queries(&shape);
	line = along_line(rows, ROWS);
	prng_seed(&p, 5);
	for (int i = 0; i < FILTERS; i++) {
		bitset_init(&allow[i], ROWS, false);
		for (uint32_t j = 0; bitset_count(&allow[i]) < ROWS / filters[i].every; j++)
			bitset_set(&allow[i], filters[i].where == ANYWHERE
						      ? (uint32_t)prng_below(&p, ROWS)
						      : (uint32_t)line[j].tag);
	}
	free(line);
}

/* Cosine wants unit vectors. */
static void prepare(enum distance distance, float *x, uint32_t n)
{
	for (uint32_t i = 0; i < n && distance == DISTANCE_COSINE; i++) {
		float sum = 0, *v = x + (size_t)i * DIM;

		for (int d = 0; d < DIM; d++)
			sum += v[d] * v[d];
		for (int d = 0; d < DIM; d++)
			v[d] /= __builtin_sqrtf(sum);
	}
}

struct space {
	enum distance distance;
	struct vindex_rows rows;
	float *row_data, *queries[WHERES];
	struct topk_item truth[FILTERS + 1][QUERIES][K]; /* [FILTERS]: no filter */
	uint32_t n_truth[FILTERS + 1][QUERIES];
};

static const float *query_of(const struct space *s, int filter, uint32_t i)
{
	enum where where = filter < FILTERS ? filters[filter].where : ANYWHERE;

	return s->queries[where] + (size_t)i * DIM;
}

static struct space *space_new(enum distance distance)
{
	struct space *s = mem_zalloc(sizeof *s);

	s->distance = distance;
	s->row_data = mem_copy(rows, (size_t)ROWS * DIM * sizeof(float));
	prepare(distance, s->row_data, ROWS);
	for (int where = 0; where < WHERES; where++) {
		s->queries[where] = mem_copy(queries[where], (size_t)QUERIES * DIM * sizeof(float));
		prepare(distance, s->queries[where], QUERIES);
	}
	s->rows = (struct vindex_rows){.data = s->row_data, .n = ROWS, .dim = DIM};
	for (int f = 0; f <= FILTERS; f++) {
		for (uint32_t i = 0; i < QUERIES; i++) {
			const struct vindex_query q = {
				.vector = query_of(s, f, i),
				.k = K,
				.allow = f < FILTERS ? &allow[f] : NULL,
			};

			vindex_scan(&s->rows, distance, &q, s->truth[f][i], &s->n_truth[f][i]);
		}
	}
	return s;
}

static void space_free(struct space *s)
{
	free(s->row_data);
	for (int where = 0; where < WHERES; where++)
		free(s->queries[where]);
	free(s);
}

static double recall_of(const struct space *s, const struct vindex *v, int filter, uint32_t ef,
			uint32_t nprobe)
{
	uint32_t found = 0, all = 0;

	for (uint32_t i = 0; i < QUERIES; i++) {
		const struct vindex_query q = {
			.vector = query_of(s, filter, i),
			.k = K,
			.ef = ef,
			.nprobe = nprobe,
			.allow = filter < FILTERS ? &allow[filter] : NULL,
			.n_allow = filter < FILTERS ? ROWS / filters[filter].every : 0,
		};
		struct topk_item out[K];
		uint32_t n;

		if (vindex_search(v, &q, out, &n, NULL, NULL))
			abort();
		for (uint32_t j = 0; j < n; j++) {
			for (uint32_t l = 0; l < s->n_truth[filter][i]; l++)
				found += out[j].tag == s->truth[filter][i][l].tag;
		}
		all += s->n_truth[filter][i];
	}
	return (double)found / all;
}

static int save_to_buf(void *ctx, const void *bytes, size_t n, struct error *err)
{
	buf_put(ctx, bytes, n);
	return 0;
}

static struct vindex *build(const struct space *s, const struct kind *kind)
{
	const struct vindex_build b = {
		.rows = s->rows,
		.distance = s->distance,
		.config = kind->config,
		.threads = 1,
		.rows_stay = true,
	};
	struct error err = {0};
	struct vindex *v = NULL;

	if (vindex_build(&b, &v, &err)) {
		fprintf(stderr, "recall_index: %s: %s\n", kind->name, err.text);
		exit(1);
	}
	return v;
}

static struct vindex *open_saved(const struct space *s, const struct kind *kind,
				 const struct buf *saved, bool faiss_only)
{
	const struct vindex_open o = {
		.bytes = saved->data,
		.n_bytes = saved->len,
		.rows = s->rows,
		.distance = s->distance,
		.config = kind->config,
		.faiss_only = faiss_only,
	};
	struct error err = {0};
	struct vindex *v = NULL;

	if (vindex_open(&o, &v, &err)) {
		fprintf(stderr, "recall_index: %s: %s\n", kind->name, err.text);
		exit(1);
	}
	return v;
}

/* More effort does not find less, and much effort finds (nearly) everything. */
static void check_effort(const struct space *s, const struct vindex *v, const struct kind *kind)
{
	double before = 0;

	for (uint32_t effort = 10; effort <= 640; effort *= 2) {
		double now = recall_of(s, v, FILTERS, effort, effort);

		require(now, before - 0.002, "more effort", kind->name, s->distance);
		before = now;
	}
	require(before, kind->most > 0 ? kind->most : 0.995, "much effort", kind->name,
		s->distance);
}

/* The effort that is chosen for a recall gives it, under filters, too. The queries say it to two hundredths. */
static void check_wishes(const struct space *s, const struct vindex *v, const struct kind *kind)
{
	static const float wishes[] = {0.9f, 0.95f, 0.98f, 0.99f};

	for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
		const struct vindex_wish wish = {.k = K, .min_recall = wishes[i]};
		uint32_t effort = vindex_effort(v, &wish);

		printf("%s, %s: wish %.2f, effort %u:", kind->name, distance_name(s->distance),
		       (double)wishes[i], effort);
		for (int f = 0; f <= FILTERS; f++) {
			double found = recall_of(s, v, f, effort, effort);

			printf(" %.4f", found);
			/* far from what is allowed one bit does not tell rows apart: no promise */
			if (f < FILTERS && filters[f].where == FAR &&
			    kind->config.quantizer == QUANTIZER_BINARY)
				continue;
			require(found, (double)wishes[i] - 0.02, "a wish", kind->name, s->distance);
		}
		printf("\n");
	}
}

struct searcher {
	const struct space *s;
	const struct vindex *v;
	double recall;
};

static void *search_thread(void *arg)
{
	struct searcher *t = arg;

	t->recall = recall_of(t->s, t->v, FILTERS, 0, 0);
	return NULL;
}

static void check_threads(const struct space *s, const struct vindex *v, const struct kind *kind)
{
	struct searcher searchers[THREADS];
	pthread_t threads[THREADS];
	double alone = recall_of(s, v, FILTERS, 0, 0);

	for (int i = 0; i < THREADS; i++) {
		searchers[i] = (struct searcher){.s = s, .v = v};
		pthread_create(&threads[i], NULL, search_thread, &searchers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		require(searchers[i].recall, alone, "thread against alone", kind->name,
			s->distance);
		require(alone, searchers[i].recall, "alone against thread", kind->name,
			s->distance);
	}
}

static void check_opened(const struct space *s, const struct kind *kind, const struct buf *saved,
			 bool faiss_only)
{
	struct vindex *v = open_saved(s, kind, saved, faiss_only);
	double all = recall_of(s, v, FILTERS, 0, 0);

	printf("| %-9s | %-9s | %-7s | %-6s | %.4f |", kind->name, distance_name(s->distance),
	       kernels_get()->name, faiss_only ? "faiss" : "ours", all);
	require(all, kind->floor, "opened", kind->name, s->distance);
	for (int f = 0; f < FILTERS; f++) {
		double recall = recall_of(s, v, f, 0, 0);

		printf(" %.4f |", recall);
		if (f < CHANCE || (kind->config.kind == INDEX_HNSW && !faiss_only))
			require(recall, kind->filtered_floor, filters[f].name, kind->name,
				s->distance);
	}
	printf("\n");
	if (kernels_level() >= KERNEL_AVX2) {
		check_effort(s, v, kind);
		check_threads(s, v, kind);
	}
	if (kind->config.kind == INDEX_HNSW && !faiss_only && kernels_level() == best_kernels)
		check_wishes(s, v, kind);
	vindex_free(v);
}

static void check_kind(const struct space *s, const struct kind *kind)
{
	struct buf saved = BUF_INIT;
	struct vindex *v = build(s, kind);
	struct vindex_info info;

	vindex_describe(v, &info);
	if (info.kind != kind->config.kind ||
	    (info.kind == INDEX_IVF && info.quantizer != kind->config.quantizer))
		require(0, 1, info.fallback, kind->name, s->distance);
	require(recall_of(s, v, FILTERS, 0, 0), kind->floor, "built", kind->name, s->distance);
	if (vindex_save(v, save_to_buf, &saved, NULL))
		abort();
	vindex_free(v);
	if (kind->config.kind == INDEX_HNSW && kind->config.quantizer == QUANTIZER_NONE)
		check_opened(s, kind, &saved, true);
	for (int level = 0; level <= (int)best_kernels; level++) {
		kernels_limit((enum kernel_level)level);
		check_opened(s, kind, &saved, false);
	}
	kernels_limit(KERNEL_LEVELS - 1);
	buf_fini(&saved);
}

/* ---- export for Python ----------------------------------------------------------------------- */

static int write_to_file(void *ctx, const void *bytes, size_t n, struct error *err)
{
	return fwrite(bytes, 1, n, ctx) == n ? 0 : error_set(err, ERR_IO, "cannot write");
}

static FILE *create(const char *folder, const char *name, const char *suffix)
{
	char path[1000];

	snprintf(path, sizeof path, "%s/%s.%s", folder, name, suffix);
	for (char *c = path + strlen(folder); *c; c++)
		*c = *c == ' ' || *c == '=' ? '-' : *c;
	FILE *f = fopen(path, "wb");
	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

/* NAME.index, NAME.queries (float32 rows) and NAME.truth (uint64 rows of k). */
static void export_kind(const struct space *s, const struct kind *kind, const char *folder)
{
	struct vindex *v = build(s, kind);
	char name[100];

	snprintf(name, sizeof name, "%s-%s", kind->name, distance_name(s->distance));
	FILE *f = create(folder, name, "index");
	if (vindex_save(v, write_to_file, f, NULL) || fclose(f))
		exit(1);
	f = create(folder, name, "queries");
	fwrite(s->queries[ANYWHERE], sizeof(float), (size_t)QUERIES * DIM, f);
	fclose(f);
	f = create(folder, name, "truth");
	for (int i = 0; i < QUERIES; i++) {
		for (int j = 0; j < K; j++)
			fwrite(&s->truth[FILTERS][i][j].tag, sizeof(uint64_t), 1, f);
	}
	fclose(f);
	vindex_free(v);
}

int main(int argc, char **argv)
{
	bool export = argc == 3 && strcmp(argv[1], "--export") == 0;

	make_data();
	best_kernels = kernels_level();
	if (!export) {
		printf("| kind      | distance  | kernels | engine | all    |");
		for (int i = 0; i < FILTERS; i++)
			printf(" %s |", filters[i].name);
		printf("\n");
	}
	for (size_t d = 0; d < sizeof distances / sizeof *distances; d++) {
		struct space *s = space_new(distances[d]);

		for (size_t i = 0; i < KINDS; i++) {
			if (kinds[i].euclid_only && distances[d] != DISTANCE_EUCLID)
				continue;
			if (argc == 2 && strcmp(argv[1], kinds[i].name))
				continue;
			if (export)
				export_kind(s, &kinds[i], argv[2]);
			else
				check_kind(s, &kinds[i]);
		}
		space_free(s);
	}
	for (int i = 0; i < FILTERS; i++)
		bitset_fini(&allow[i]);
	free(rows);
	for (int i = 0; i < WHERES; i++)
		free(queries[i]);
	printf("%d floors broken\n", failures);
	return failures != 0;
}
