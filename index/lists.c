/* From an IVF file of FAISS to lists for scanning. */
#include "index/lists.h"

#include "base/memory.h"
#include "index/lists_layout.h"
#include "index/rows.h"
#include <stdlib.h>
#include <string.h>

/* Blocks of each list, empty ones included. */
static void measure(const struct faiss_ivf *ivf, struct lists *l)
{
	struct faiss_ivf_list list = {0};

	l->first = mem_array((size_t)l->nlist + 1, sizeof *l->first);
	l->sizes = mem_array(l->nlist, sizeof *l->sizes);
	while (faiss_file_next_list(ivf, &list))
		l->sizes[list.list] = list.n;
	for (uint32_t i = 0; i < l->nlist; i++) {
		uint32_t blocks = (l->sizes[i] + l->block_rows - 1) / l->block_rows;

		l->first[i + 1] = l->first[i] + blocks;
		l->longest = blocks > l->longest ? blocks : l->longest;
	}
}

static int map(struct lists *l, struct error *err)
{
	size_t places = (size_t)l->first[l->nlist] * l->block_rows;
	size_t blocks = pages_up(l->first[l->nlist] * l->block_size);
	size_t ids = pages_up(places * sizeof(uint32_t));
	size_t norms = l->by_norm ? pages_up(places * sizeof(float)) : 0;
	int rc = pages_map(&l->pages, blocks + ids + norms, "opening the lists", err);

	if (rc)
		return rc;
	l->blocks = (uint8_t *)l->pages.at;
	l->ids = (uint32_t *)(void *)(l->pages.at + blocks);
	l->norms = norms ? (float *)(void *)(l->pages.at + blocks + ids) : NULL;
	memset(l->ids, 0xff, places * sizeof *l->ids);
	return 0;
}

static enum distance scanned_as(const struct lists *l)
{
	return l->by_norm ? DISTANCE_EUCLID : DISTANCE_DOT;
}

static void copy_coarse(const struct faiss_ivf *ivf, struct lists *l)
{
	const struct vindex_rows rows = {.data = ivf->centroids, .n = l->nlist, .dim = l->dim};
	uint32_t blocks = coarse_n_blocks(l->nlist);
	uint8_t *code = mem_array(code_stride(l->dim), 1);

	code_scale_init(&l->coarse, &rows, scanned_as(l));
	l->coarse_blocks = aligned_alloc(CODE_ALIGN, blocks * block_bytes(l->dim));
	if (!l->coarse_blocks)
		abort();
	memset(l->coarse_blocks, 0, blocks * block_bytes(l->dim));
	if (l->by_norm)
		l->coarse_norms = mem_array(l->nlist, sizeof *l->coarse_norms);
	for (uint32_t i = 0; i < l->nlist; i++) {
		float norm = code_encode(&l->coarse, rows_get(&rows, i, NULL), code);

		if (l->by_norm)
			l->coarse_norms[i] = norm;
		block_put(l->coarse_blocks + i / BLOCK_ROWS * block_bytes(l->dim), i % BLOCK_ROWS,
			  code, l->dim);
	}
	free(code);
}

/* [sub][entry][value] in the file, [sub][value][entry] here. */
static void copy_codebook(const struct faiss_ivf *ivf, struct lists *l)
{
	uint32_t values = l->dim / l->n_subs;

	l->codebook = mem_array((size_t)l->dim * LOOKUP_ENTRIES, sizeof *l->codebook);
	for (uint32_t m = 0; m < l->n_subs; m++) {
		for (uint32_t i = 0; i < LOOKUP_ENTRIES; i++) {
			for (uint32_t d = 0; d < values; d++)
				memcpy(&l->codebook[((size_t)m * values + d) * LOOKUP_ENTRIES + i],
				       ivf->codebook +
					       4 * (((size_t)m * LOOKUP_ENTRIES + i) * values + d),
				       sizeof(float));
		}
	}
	if (ivf->by_residual)
		l->centroids = mem_copy(ivf->centroids, (size_t)l->nlist * l->dim * sizeof(float));
}

static float squared(const float *x, uint32_t dim)
{
	float sum = 0;

	for (uint32_t d = 0; d < dim; d++)
		sum += x[d] * x[d];
	return sum;
}

static void put_row(struct lists *l, uint32_t list, uint32_t place, const uint8_t *file_code,
		    void *scratch)
{
	uint8_t *block = l->blocks + place / l->block_rows * l->block_size;
	uint32_t i = place % l->block_rows;

	if (!l->has_tables) {
		uint8_t *code = scratch;
		float *row = (float *)(void *)(code + code_stride(l->dim));
		float norm = code_encode(&l->scale, rows_get(&l->rows, l->ids[place], row), code);

		block_put(block, i, code, l->dim);
		if (l->norms)
			l->norms[place] = norm;
		return;
	}
	for (uint32_t m = 0; m < l->n_subs; m++)
		block[(size_t)m * LOOKUP_ROWS + i] = file_code[m];
	if (l->norms) {
		lists_decode(l, list, place, scratch);
		l->norms[place] = squared(scratch, l->dim);
	}
}

static void copy_lists(const struct faiss_ivf *ivf, struct lists *l)
{
	void *scratch = mem_alloc(code_stride(l->dim) + l->dim * sizeof(float));
	struct faiss_ivf_list list = {0};

	while (faiss_file_next_list(ivf, &list)) {
		uint32_t place = l->first[list.list] * l->block_rows;

		for (uint32_t i = 0; i < list.n; i++) {
			l->ids[place + i] = (uint32_t)load_u64(list.ids + 8 * (size_t)i);
			put_row(l, list.list, place + i, list.codes + (size_t)i * ivf->code_bytes,
				scratch);
		}
	}
	free(scratch);
}

int lists_new(const struct faiss_ivf *ivf, const struct vindex_rows *rows, enum distance distance,
	      struct lists **out, struct error *err)
{
	struct lists *l = mem_zalloc(sizeof *l);
	int rc;

	l->rows = *rows;
	l->distance = distance;
	l->by_norm = distance == DISTANCE_EUCLID || distance == DISTANCE_MANHATTAN;
	l->has_tables = ivf->quantizer == QUANTIZER_PQ;
	l->n = ivf->n;
	l->dim = ivf->dim;
	l->nlist = ivf->nlist;
	l->n_subs = l->has_tables ? ivf->code_bytes : 0;
	l->block_rows = l->has_tables ? LOOKUP_ROWS : BLOCK_ROWS;
	l->block_size = l->has_tables ? (size_t)l->n_subs * LOOKUP_ROWS : block_bytes(l->dim);
	measure(ivf, l);
	rc = map(l, err);
	if (rc) {
		lists_free(l);
		return rc;
	}
	copy_coarse(ivf, l);
	if (l->has_tables)
		copy_codebook(ivf, l);
	else
		code_scale_init(&l->scale, rows, scanned_as(l));
	copy_lists(ivf, l);
	*out = l;
	return 0;
}

void lists_free(struct lists *l)
{
	if (!l)
		return;
	free(l->first);
	free(l->sizes);
	code_scale_fini(&l->scale);
	free(l->codebook);
	free(l->centroids);
	code_scale_fini(&l->coarse);
	free(l->coarse_blocks);
	free(l->coarse_norms);
	pages_unmap(&l->pages);
	free(l);
}

size_t lists_memory_bytes(const struct lists *l)
{
	size_t coarse = coarse_n_blocks(l->nlist) * block_bytes(l->dim) + (size_t)l->nlist * 12;

	return l->pages.map_bytes + coarse +
	       (l->codebook ? (size_t)l->dim * LOOKUP_ENTRIES * sizeof(float) : 0) +
	       (l->centroids ? (size_t)l->nlist * l->dim * sizeof(float) : 0);
}

uint32_t lists_of(const struct lists *l, uint32_t place)
{
	uint32_t block = place / l->block_rows, low = 0, high = l->nlist;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (l->first[middle] <= block)
			low = middle;
		else
			high = middle;
	}
	return low;
}

void lists_decode(const struct lists *l, uint32_t list, uint32_t place, float *out)
{
	const uint8_t *block = l->blocks + place / l->block_rows * l->block_size;
	uint32_t i = place % l->block_rows;

	if (!l->has_tables) {
		uint8_t *code = mem_alloc(l->dim);

		block_get(block, i, l->dim, code);
		code_decode(&l->scale, code, out);
		free(code);
		return;
	}
	uint32_t values = l->dim / l->n_subs;
	for (uint32_t d = 0; d < l->dim; d++) {
		uint8_t code = block[(size_t)(d / values) * LOOKUP_ROWS + i];

		out[d] = l->codebook[(size_t)d * LOOKUP_ENTRIES + code];
		if (l->centroids)
			out[d] += l->centroids[(size_t)list * l->dim + d];
	}
}
