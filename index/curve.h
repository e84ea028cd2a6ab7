/* Private to index/: how recall grows with effort (a graph's ef, or the lists of an IVF index that are looked
 * at), measured on a segment when its index is built.
 *
 * Rows serve as queries, each passed by while it is looked for, and the exact answer is known from a scan. For
 * k = 10 and k = 100 the recall and the time of a search are kept for a dozen efforts; between them the
 * logarithm of what is missing (1 - recall) is taken as linear in the logarithm of the effort. The curve travels behind
 * the index in its file, where FAISS does not look. */
#pragma once

#include "index/vindex.h"

enum { CURVE_KS = 2, CURVE_EFS = 12, CURVE_MIN_ROWS = 2000 };

struct curve_point {
	uint32_t ef;
	float recall;
	float us; /* of a search, CPU time of the machine that built it */
};
struct curve_of_k {
	uint32_t k, n;
	struct curve_point at[CURVE_EFS]; /* ascending in all three */
};
struct curve {
	struct curve_of_k of[CURVE_KS]; /* ascending k; n = 0: there is no curve */
};

/* What is measured. The queries have ef and nprobe set to the effort. */
struct curve_subject {
	const void *index;
	int (*search)(const void *index, const struct vindex_query *q, struct topk_item *out,
		      uint32_t *n_out, struct error *err);
	uint32_t nlist; /* IVF: its lists; 0: a graph */
};
/* Searches and scans for about a tenth of the time that the build took. ERR_CLOSED when cancelled. */
int curve_fit(const struct curve_subject *subject, const struct vindex_build *b, struct curve *out,
	      struct error *err);
/* The effort that the wish takes; 0: nothing was wished, or there is no curve. nlist as in curve_subject. */
uint32_t curve_effort(const struct curve *c, uint32_t nlist, const struct vindex_wish *wish);

/* Bytes behind an index. Nothing is written when there is no curve. */
int curve_write(const struct curve *c, vindex_write_fn write, void *ctx, struct error *err);
/* ERR_CORRUPT when they are not a curve; n = 0 is none. */
int curve_read(const void *bytes, size_t n, struct curve *out, struct error *err);
