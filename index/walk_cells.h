/* Private to index/: the rows of a segment in cells, for walks under a filter that few rows pass.
 *
 * A cell is what lies nearest to one of about sqrt(n) centres, which k-means finds on a sample: the coarse half of
 * an inverted file (Sivic and Zisserman, ICCV 2003). Under a filter that few rows pass, a walk over the graph
 * spends its time on the links of rows that are not allowed, and a scan on rows that are far. Going through the
 * cells, the nearest first, takes a bit for each row that is not allowed, sixteen at a time, and a distance
 * for those near by that are. Cells travel behind the graph in the index file, where FAISS does not look. */
#pragma once

#include "index/walk.h"

enum { CELLS_MIN_ROWS = 2000 };

struct walk_cells {
	uint32_t n, dim, n_rows;
	float *centres;  /* n x dim */
	uint32_t *begin; /* n + 1: where the rows of a cell are */
	uint32_t *rows;  /* n_rows: each row once, ascending within a cell */
	uint8_t *codes;  /* n x stride, the centres; walk_take_cells makes these two */
	float *norms;    /* n: squared, of the decoded centres, as the walk counts them */
};

/* Of the rows of a walk, from their codes. *out is NULL where cells do not serve: few rows, inner products,
 * codes of one bit. ERR_CLOSED when cancelled (polled; may be NULL). */
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
const struct walk_cells *walk_cells_of(const struct walk *w); /* NULL: none */
