/* Data for the benchmark: from files, or made up. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "bench/dataset.h"
#include "cli/bench.h"

static int make_random(struct bench *b, struct error *err)
{
	uint64_t shape[2];
	size_t n;
	int rc = command_numbers(b->o.random, shape, 2, &n, err);

	if (rc != 0 || n != 2 || shape[0] == 0 || shape[0] > 100000000 || shape[1] == 0 ||
	    shape[1] > 65536)
		return error_set(err, ERR_INPUT, "--random wants N,DIM as in 100000,128, not `%s`",
				 b->o.random);
	const struct dataset_shape mixture = {
		.dim = (uint32_t)shape[1],
		.n_clusters = (uint32_t)b->o.clusters,
		.normalise = strcmp(b->distance, "Cosine") == 0,
		.seed = 42, /* the vectors of bench_index */
	};
	b->rows = (struct matrix){.n = (uint32_t)shape[0], .dim = mixture.dim};
	b->queries = (struct matrix){.n = (uint32_t)b->o.n_queries, .dim = mixture.dim};
	b->rows.floats = mem_array(shape[0] * shape[1], sizeof(float));
	b->queries.floats = mem_array(b->o.n_queries * shape[1], sizeof(float));
	dataset_fill(&mixture, 0, b->rows.n, b->rows.floats);
	dataset_fill(&mixture, 1, b->queries.n, b->queries.floats);
	b->data_name = arena_printf(b->arena, "mixture of %.0f low-rank Gaussians, seed 42",
				    b->o.clusters);
	return 0;
}

/* Without a file of queries: the last rows of the data, which are then not loaded. */
static void split_rows(struct bench *b)
{
	uint32_t n = (uint32_t)b->o.n_queries;

	if (n > b->rows.n / 10)
		n = b->rows.n / 10 + 1;
	b->queries = (struct matrix){.n = n, .dim = b->rows.dim};
	b->queries.floats = mem_array((size_t)n * b->rows.dim, sizeof(float));
	b->rows.n -= n;
	memcpy(b->queries.floats, b->rows.floats + (size_t)b->rows.n * b->rows.dim,
	       (size_t)n * b->rows.dim * sizeof(float));
}

static int read_queries(struct bench *b, struct error *err)
{
	const char *path = b->o.queries;

	if (path == NULL && source_is_hdf5(b->o.data) && hdf5_has(b->o.data, "test"))
		path = b->o.data;
	if (path == NULL) {
		split_rows(b);
		return 0;
	}
	int rc = matrix_read(&b->queries, path, "test", b->o.n_queries, err);
	if (rc == 0 && (b->queries.floats == NULL || b->queries.n == 0))
		rc = error_set(err, ERR_INPUT, "%s holds no vectors", path);
	if (rc == 0 && b->queries.dim != b->rows.dim)
		rc = error_set(err, ERR_INPUT, "the queries have %u values, the data %u",
			       b->queries.dim, b->rows.dim);
	return rc;
}

static int read_truth(struct bench *b, struct error *err)
{
	const char *path = b->o.truth;
	int rc;

	/* Part of the data, or a filter, has other neighbours. */
	if (b->o.limit > 0 || b->o.filter)
		path = NULL;
	else if (path == NULL && source_is_hdf5(b->o.data) && b->o.queries == NULL &&
		 hdf5_has(b->o.data, "neighbors"))
		path = b->o.data;
	if (path == NULL)
		return 0;
	rc = matrix_read(&b->truth, path, "neighbors", b->queries.n, err);
	if (rc == 0 &&
	    (b->truth.numbers == NULL || b->truth.n < b->queries.n || b->truth.dim < b->o.k))
		rc = error_set(err, ERR_INPUT,
			       "%s has ground truth of %u x %u, but %u queries x %" PRIu64
			       " are needed",
			       path, b->truth.n, b->truth.dim, b->queries.n, b->o.k);
	b->truth_name = path;
	return rc;
}

int bench_read_data(struct bench *b, struct error *err)
{
	struct source_options options = {.limit = 1};
	struct source *source;
	int rc;

	b->distance = b->o.distance ? remote_distance(b->o.distance) : "Cosine";
	if (b->o.random) {
		rc = make_random(b, err);
		return rc == 0 && b->o.truth ? read_truth(b, err) : rc;
	}
	if (source_is_hdf5(b->o.data) && !b->o.distance) {
		rc = source_open(&source, b->o.data, &options, err);
		if (rc != 0)
			return rc;
		if (source->distance)
			b->distance = source->distance;
		source_close(source);
	}
	b->data_name = b->o.data;
	rc = matrix_read(&b->rows, b->o.data, "train", b->o.limit, err);
	if (rc == 0 && (b->rows.floats == NULL || b->rows.n < 2))
		rc = error_set(err, ERR_INPUT, "%s holds no vectors", b->o.data);
	if (rc == 0)
		rc = read_queries(b, err);
	return rc == 0 ? read_truth(b, err) : rc;
}
