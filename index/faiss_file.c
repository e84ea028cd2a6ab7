/* Reader and writer of FAISS's file format for flat and HNSW, and the check of IVF files. */
#include "index/faiss_file.h"

#include "base/limits.h"
#include <string.h>

static uint32_t fourcc(const char name[4])
{
	return load_u32(name);
}

static int corrupt(struct error *err, const char *what)
{
	return error_set(err, ERR_CORRUPT, "index file: %s; the file is damaged", what);
}

/* ---- reading --------------------------------------------------------------------------------- */

struct header {
	uint32_t kind, dim;
	uint64_t n;
	int metric;
};

static int read_header(struct reader *r, struct header *h, struct error *err)
{
	h->kind = reader_u32(r);
	h->dim = reader_u32(r);
	h->n = reader_u64(r);
	reader_u64(r);
	reader_u64(r);
	uint8_t trained = reader_u8(r);
	h->metric = (int)reader_u32(r);
	if (reader_ok(r) && h->metric > FAISS_METRIC_L2)
		reader_u32(r); /* metric_arg */
	if (!reader_ok(r))
		return corrupt(err, "the header is cut short");
	if (h->dim == 0 || h->dim > LIMIT_DIMENSION)
		return corrupt(err, "the header has an impossible dimension");
	if (h->n > INT32_MAX)
		return corrupt(err, "the header has an impossible number of rows");
	if (h->metric < FAISS_METRIC_IP || h->metric > FAISS_METRIC_L1)
		return corrupt(err, "the header has an unknown metric");
	if (trained != 1)
		return corrupt(err, "the header says that the index was never trained");
	return 0;
}

/* A vector of the file: u64 count, then count items of item_bytes. NULL sets r->bad. */
static const uint8_t *read_vector(struct reader *r, size_t item_bytes, uint64_t *count)
{
	*count = reader_u64(r);
	if (*count > reader_left(r) / item_bytes) {
		r->bad = true;
		*count = 0;
		return NULL;
	}
	return reader_bytes(r, (size_t)*count * item_bytes);
}

int faiss_file_kind(const void *bytes, size_t n, enum faiss_file_kind *out, struct error *err)
{
	uint32_t kind = n >= 4 ? load_u32(bytes) : 0;

	if (kind == fourcc("IxFI") || kind == fourcc("IxF2") || kind == fourcc("IxFl"))
		*out = FAISS_FILE_FLAT;
	else if (kind == fourcc("IHNf"))
		*out = FAISS_FILE_HNSW;
	else if (kind == fourcc("IwFl") || kind == fourcc("IwSq") || kind == fourcc("IwPQ"))
		*out = FAISS_FILE_IVF;
	else
		return corrupt(err, "it begins with none of the known index types");
	return 0;
}

static int read_flat(struct reader *r, struct faiss_flat *out, struct error *err)
{
	struct header h;
	uint64_t n_floats;
	int rc = read_header(r, &h, err);

	if (rc)
		return rc;
	if (h.kind != fourcc("IxFI") && h.kind != fourcc("IxF2") && h.kind != fourcc("IxFl"))
		return corrupt(err, "the rows are not those of an IndexFlat");
	const uint8_t *rows = read_vector(r, sizeof(float), &n_floats);
	if (!reader_ok(r))
		return corrupt(err, "the rows are cut short");
	if (n_floats != h.n * h.dim)
		return corrupt(err, "the rows are not as many as the header says");
	*out = (struct faiss_flat){
		.dim = h.dim,
		.n = (uint32_t)h.n,
		.metric = h.metric,
		.rows = (const float *)(const void *)rows,
	};
	return 0;
}

int faiss_file_flat(const void *bytes, size_t n, struct faiss_flat *out, struct error *err)
{
	struct reader r = reader_make(bytes, n);
	int rc = read_flat(&r, out, err);

	if (rc)
		return rc;
	if (!reader_done(&r))
		return corrupt(err, "there are bytes after its end");
	return 0;
}

static int check_cumulative(const struct faiss_graph *g, struct error *err)
{
	uint32_t before = 0;

	if (g->n_cumulative < 2 || g->n_cumulative > 256 || load_u32(g->cumulative) != 0)
		return corrupt(err, "the table of levels is impossible");
	for (uint32_t i = 1; i < g->n_cumulative; i++) {
		uint32_t now = load_u32(g->cumulative + 4 * (size_t)i);

		if (now < before || now > 1u << 20)
			return corrupt(err, "the table of levels is impossible");
		before = now;
	}
	if (faiss_graph_slots(g, 0) == 0)
		return corrupt(err, "the graph has no links");
	return 0;
}

static int check_nodes(const struct faiss_graph *g, struct error *err)
{
	uint64_t expected = 0;

	for (uint32_t i = 0; i < g->flat.n; i++) {
		uint32_t levels = faiss_graph_levels(g, i);

		if (levels == 0 || levels >= g->n_cumulative)
			return corrupt(err, "a node is on an impossible level");
		if (load_u64(g->offsets + 8 * (size_t)i) != expected)
			return corrupt(err, "the offsets of the links do not add up");
		expected += load_u32(g->cumulative + 4 * (size_t)levels);
	}
	if (load_u64(g->offsets + 8 * (size_t)g->flat.n) != expected || expected != g->n_neighbors)
		return corrupt(err, "the offsets of the links do not add up");
	return 0;
}

/* Every link leads to a node, and above level 0 to one that is on that level too. */
static int check_links(const struct faiss_graph *g, struct error *err)
{
	const uint32_t n = g->flat.n;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t levels = faiss_graph_levels(g, i);

		for (uint32_t level = 0; level < levels; level++) {
			const uint8_t *link = faiss_graph_links(g, i, level);
			uint32_t slots = faiss_graph_slots(g, level);

			for (uint32_t s = 0; s < slots; s++) {
				uint32_t to = load_u32(link + 4 * (size_t)s);

				if (to == UINT32_MAX)
					break;
				if (to >= n)
					return corrupt(err,
						       "a link leads to a row that is not there");
				if (level && faiss_graph_levels(g, to) <= level)
					return corrupt(err,
						       "a link leads to a level without the node");
			}
		}
	}
	return 0;
}

static int check_entry(const struct faiss_graph *g, struct error *err)
{
	if (g->entry < 0 || (uint32_t)g->entry >= g->flat.n)
		return corrupt(err, "the entry point is not a row");
	if (g->max_level < 0 ||
	    faiss_graph_levels(g, (uint32_t)g->entry) != (uint32_t)g->max_level + 1)
		return corrupt(err, "the entry point is not on the highest level");
	return 0;
}

int faiss_file_hnsw_check(const struct faiss_graph *g, struct error *err)
{
	int rc = check_nodes(g, err);

	if (!rc)
		rc = check_entry(g, err);
	return rc ? rc : check_links(g, err);
}

int faiss_file_hnsw(const void *bytes, size_t n, struct faiss_graph *g, struct error *err)
{
	int rc = faiss_file_hnsw_parts(bytes, n, g, err);

	return rc ? rc : faiss_file_hnsw_check(g, err);
}

int faiss_file_hnsw_parts(const void *bytes, size_t n, struct faiss_graph *g, struct error *err)
{
	struct reader r = reader_make(bytes, n);
	struct header h;
	uint64_t n_probas, n_cumulative, n_levels, n_offsets;
	int rc = read_header(&r, &h, err);

	if (rc)
		return rc;
	if (h.kind != fourcc("IHNf"))
		return corrupt(err, "it is not an IndexHNSWFlat");
	*g = (struct faiss_graph){0};
	g->probas = read_vector(&r, 8, &n_probas);
	g->cumulative = read_vector(&r, 4, &n_cumulative);
	g->levels = read_vector(&r, 4, &n_levels);
	g->offsets = read_vector(&r, 8, &n_offsets);
	g->neighbors = read_vector(&r, 4, &g->n_neighbors);
	g->entry = (int32_t)reader_u32(&r);
	g->max_level = (int32_t)reader_u32(&r);
	g->ef_construction = (int32_t)reader_u32(&r);
	g->ef_search = (int32_t)reader_u32(&r);
	g->upper_beam = (int32_t)reader_u32(&r);
	if (!reader_ok(&r) || n_cumulative > 256 || n_probas > 256)
		return corrupt(err, "the graph is cut short");
	g->n_probas = (uint32_t)n_probas;
	g->n_cumulative = (uint32_t)n_cumulative;
	if ((rc = read_flat(&r, &g->flat, err)))
		return rc;
	g->rest = r.at;
	g->n_rest = reader_left(&r);
	if (g->flat.n != h.n || g->flat.dim != h.dim || g->flat.metric != h.metric ||
	    n_levels != h.n || n_offsets != h.n + 1 || h.n == 0)
		return corrupt(err, "the graph and its rows do not agree");
	return check_cumulative(g, err);
}

static int read_pq(struct reader *r, const struct header *h, struct faiss_ivf *ivf,
		   uint64_t *code_bytes, struct error *err)
{
	uint8_t by_residual = reader_u8(r);
	uint64_t n_centroids;
	*code_bytes = reader_u64(r);
	uint64_t dim = reader_u64(r), m = reader_u64(r), bits = reader_u64(r);

	ivf->codebook = read_vector(r, 4, &n_centroids);
	ivf->by_residual = by_residual == 1;
	if (!reader_ok(r))
		return corrupt(err, "the product quantiser is cut short");
	if (by_residual > 1 || dim != h->dim || m == 0 || m > dim || dim % m != 0 || bits != 8 ||
	    *code_bytes != m || n_centroids != 256 * dim)
		return corrupt(err, "the product quantiser is impossible");
	return 0;
}

static int read_sq(struct reader *r, const struct header *h, uint64_t *code_bytes,
		   struct error *err)
{
	uint64_t n_trained;
	uint32_t type = reader_u32(r), range = reader_u32(r);

	reader_u32(r); /* rangestat_arg */
	uint64_t dim = reader_u64(r), bytes = reader_u64(r);
	read_vector(r, 4, &n_trained);
	*code_bytes = reader_u64(r);
	uint8_t by_residual = reader_u8(r);
	if (!reader_ok(r))
		return corrupt(err, "the scalar quantiser is cut short");
	/* QT_8bit only: one byte a value, trained = minima and ranges */
	if (type != 0 || range > 3 || dim != h->dim || bytes != dim || *code_bytes != dim ||
	    n_trained != 2 * dim || by_residual > 1)
		return corrupt(err, "the scalar quantiser is impossible");
	return 0;
}

/* Sizes of the lists: "full" (one each) or "sprs" (pairs of list and size); their sum is checked to
 * be n, and the content of the lists to have exactly that many codes and ids below n. */
static int read_lists(struct reader *r, struct faiss_ivf *ivf, struct error *err)
{
	uint32_t kind = reader_u32(r);
	uint64_t nlist = reader_u64(r), code_bytes = reader_u64(r), count, total = 0;
	uint32_t form = reader_u32(r);
	bool sparse = form == fourcc("sprs");
	const uint8_t *sizes = read_vector(r, 8, &count);
	uint64_t last = 0;

	if (!reader_ok(r))
		return corrupt(err, "the lists are cut short");
	if (kind != fourcc("ilar") || nlist != ivf->nlist || code_bytes != ivf->code_bytes ||
	    (!sparse && form != fourcc("full")) || (sparse ? count % 2 != 0 : count != nlist))
		return corrupt(err, "the lists are impossible");
	ivf->sizes = sizes;
	ivf->n_sizes = count;
	ivf->sparse = sparse;
	ivf->lists = r->at;
	for (uint64_t i = 0; i < count; i += sparse ? 2 : 1) {
		uint64_t list = sparse ? load_u64(sizes + 8 * i) : i;
		uint64_t size = load_u64(sizes + 8 * (sparse ? i + 1 : i));

		/* ascending, as FAISS writes them: none is named twice */
		if (list >= nlist || (i && list <= last) || size > ivf->n)
			return corrupt(err, "a list has an impossible size");
		last = list;
		total += size;
		reader_bytes(r, (size_t)(size * code_bytes));
		const uint8_t *ids = reader_bytes(r, (size_t)(size * 8));
		if (!reader_ok(r))
			return corrupt(err, "a list is cut short");
		for (uint64_t j = 0; j < size; j++) {
			if (load_u64(ids + 8 * j) >= ivf->n)
				return corrupt(err, "a list names a row that is not there");
		}
	}
	if (total != ivf->n)
		return corrupt(err, "the lists do not hold every row once");
	return 0;
}

bool faiss_file_next_list(const struct faiss_ivf *ivf, struct faiss_ivf_list *l)
{
	uint64_t i = l->next;

	if (i >= ivf->n_sizes)
		return false;
	if (i == 0)
		l->end = ivf->lists;
	l->list = (uint32_t)(ivf->sparse ? load_u64(ivf->sizes + 8 * i) : i);
	l->n = (uint32_t)load_u64(ivf->sizes + 8 * (ivf->sparse ? i + 1 : i));
	l->codes = l->end;
	l->ids = l->codes + (size_t)l->n * ivf->code_bytes;
	l->end = l->ids + (size_t)l->n * 8;
	l->next = i + (ivf->sparse ? 2 : 1);
	return true;
}

/* What lies between the header of an IVF index and its quantiser. */
static int read_coarse(struct reader *r, const struct header *h, uint64_t nlist,
		       const uint8_t **centroids, struct error *err)
{
	struct faiss_flat coarse;
	uint64_t n_map;
	int rc = read_flat(r, &coarse, err);

	if (rc)
		return error_wrap(err, rc, "centroids");
	if (coarse.n != nlist || coarse.dim != h->dim || coarse.metric != h->metric)
		return corrupt(err, "the centroids and the lists do not agree");
	*centroids = (const uint8_t *)coarse.rows;
	uint8_t map = reader_u8(r);
	read_vector(r, 8, &n_map);
	if (!reader_ok(r) || map != 0 || n_map != 0)
		return corrupt(err, "the direct map is impossible");
	return 0;
}

int faiss_file_ivf(const void *bytes, size_t n, struct faiss_ivf *out, struct error *err)
{
	struct reader r = reader_make(bytes, n);
	struct header h;
	uint64_t code_bytes = 0;
	int rc = read_header(&r, &h, err);

	if (rc)
		return rc;
	uint64_t nlist = reader_u64(&r);
	uint64_t nprobe = reader_u64(&r);
	if (!reader_ok(&r) || nlist == 0 || nlist > INT32_MAX || nprobe == 0 || nprobe > INT32_MAX)
		return corrupt(err, "the number of lists is impossible");
	*out = (struct faiss_ivf){.dim = h.dim,
				  .n = (uint32_t)h.n,
				  .nlist = (uint32_t)nlist,
				  .metric = h.metric};
	if ((rc = read_coarse(&r, &h, nlist, &out->centroids, err)))
		return rc;
	if (h.kind == fourcc("IwFl")) {
		code_bytes = 4 * (uint64_t)h.dim;
	} else if (h.kind == fourcc("IwSq")) {
		out->quantizer = QUANTIZER_SQ8;
		rc = read_sq(&r, &h, &code_bytes, err);
	} else if (h.kind == fourcc("IwPQ")) {
		out->quantizer = QUANTIZER_PQ;
		rc = read_pq(&r, &h, out, &code_bytes, err);
	} else {
		rc = corrupt(err, "it is not an IVF index");
	}
	if (rc)
		return rc;
	out->code_bytes = (uint32_t)code_bytes;
	if ((rc = read_lists(&r, out, err)))
		return rc;
	out->rest = r.at;
	out->n_rest = reader_left(&r);
	return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_header(struct buf *b, const char kind[4], const struct faiss_flat *flat)
{
	buf_put(b, kind, 4);
	buf_put_u32(b, flat->dim);
	buf_put_u64(b, flat->n);
	buf_put_u64(b, 1 << 20); /* two words that FAISS writes and ignores */
	buf_put_u64(b, 1 << 20);
	buf_put_u8(b, 1); /* trained */
	buf_put_u32(b, (uint32_t)flat->metric);
	if (flat->metric > FAISS_METRIC_L2)
		buf_put_f32(b, 0);
}

int faiss_file_write_flat(const struct faiss_flat *flat, vindex_write_fn write, void *ctx,
			  struct error *err)
{
	struct buf b = BUF_INIT;
	size_t n_floats = (size_t)flat->n * flat->dim;
	int rc;

	put_header(&b,
		   flat->metric == FAISS_METRIC_IP   ? "IxFI"
		   : flat->metric == FAISS_METRIC_L2 ? "IxF2"
						     : "IxFl",
		   flat);
	buf_put_u64(&b, n_floats);
	rc = write(ctx, b.data, b.len, err);
	if (!rc && n_floats)
		rc = write(ctx, flat->rows, n_floats * sizeof(float), err);
	buf_fini(&b);
	return rc;
}

static int write_vector(const void *items, uint64_t count, size_t item_bytes, vindex_write_fn write,
			void *ctx, struct error *err)
{
	int rc = write(ctx, &count, sizeof count, err);

	return rc || count == 0 ? rc : write(ctx, items, (size_t)count * item_bytes, err);
}

int faiss_file_write_hnsw(const struct faiss_graph *g, vindex_write_fn write, void *ctx,
			  struct error *err)
{
	struct buf b = BUF_INIT;
	const int32_t tail[5] = {g->entry, g->max_level, g->ef_construction, g->ef_search,
				 g->upper_beam};
	int rc;

	put_header(&b, "IHNf", &g->flat);
	rc = write(ctx, b.data, b.len, err);
	buf_fini(&b);
	if (rc || (rc = write_vector(g->probas, g->n_probas, 8, write, ctx, err)) ||
	    (rc = write_vector(g->cumulative, g->n_cumulative, 4, write, ctx, err)) ||
	    (rc = write_vector(g->levels, g->flat.n, 4, write, ctx, err)) ||
	    (rc = write_vector(g->offsets, (uint64_t)g->flat.n + 1, 8, write, ctx, err)) ||
	    (rc = write_vector(g->neighbors, g->n_neighbors, 4, write, ctx, err)) ||
	    (rc = write(ctx, tail, sizeof tail, err)))
		return rc;
	return faiss_file_write_flat(&g->flat, write, ctx, err);
}
