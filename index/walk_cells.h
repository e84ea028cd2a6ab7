/* Private to index/: the rows of a segment in cells, for walks under a filter that few rows pass.
 *
 * A cell is what lies nearest to one of about sqrt(n) centres, which k-means finds on a sample: the coarse half of
 * an inverted file (Sivic and Zisserman, ICCV 2003). Under a filter that few rows pass, a walk over the graph
 * spends its time on the links of rows that are not allowed, and a scan on rows that are far. Going through the
 * cells, the nearest first, takes a bit for each row that is not allowed, sixteen at a time, and a distance
 * for those near by that are. Cells travel behind the graph in the index file, where FAISS does not look. */
#pragma once

#include "index/codes.h"
#include "index/walk.h"

enum { CELLS_MIN_ROWS = 2000 };

struct walk_cells {
	uint32_t n, dim, n_rows;
	float *centres;  /* n x dim */
	uint32_t *begin; /* n + 1: where the rows of a cell are */
	uint32_t *rows;  /* n_rows: each row once, ascending within a cell */
	/* Inner products: a cell is worth what its centre is, and more the wider it is. Else NULL and 0. */
	float *widths; /* n: mean squared distance of its rows from the centre */
	float reach;   /* mean length of the rows */

	/* Made of these when a walk takes them. */
	struct code_scale scale; /* of the centres */
	size_t stride;
	uint8_t *codes; /* n x stride, the centres */
	float *norms;   /* n: squared, of the decoded centres; inner products: minus their widths */
};

/* The nearest cells of a query are those whose key is least: norms[cell] - factor * sum of the codes (Manhattan: the
 * sum). Euclidean distances and cosines: the squared distance of the centre. Inner products: the centre's product with
 * the query, and half the width for a query as long as the rows are. q->bytes: stride bytes; scratch: as many floats. */
void walk_cells_query(const struct walk_cells *c, const struct code_kernels *k, const float *vector,
		      float *scratch, struct code_query *q);

/* Of the rows of a walk. *out is NULL where cells do not serve: few rows, codes of one bit. ERR_CLOSED when cancelled (polled; may be
 * NULL). */
int walk_cells_build(const struct walk *w, const bool *cancel, struct walk_cells **out,
		     struct error *err);
/* NULL: writes nothing. */
int walk_cells_write(const struct walk_cells *c, vindex_write_fn write, void *ctx,
		     struct error *err);
/* Of n_rows rows of dim values, if that is what the bytes begin with: *used is their number, else 0 and *out
 * NULL. ERR_CORRUPT when they are damaged. */
int walk_cells_read(const void *bytes, size_t n, const struct vindex_rows *of,
		    struct walk_cells **out, size_t *used, struct error *err);
void walk_cells_free(struct walk_cells *c);

/* Takes them over (NULL: nothing happens; also freed where the walk has no use for them). Before the walk
 * is searched by others. */
void walk_take_cells(struct walk *w, struct walk_cells *cells);
/* Searches do without the centres as floats; such cells cannot be written any more. */
void walk_drop_centres(struct walk *w);
const struct walk_cells *walk_cells_of(const struct walk *w); /* NULL: none */
