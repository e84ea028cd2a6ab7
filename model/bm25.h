/* The model "qdrant/bm25": a text as a sparse vector whose dot product with that of a query, with
 * the idf modifier of its space, is the BM25 score (Robertson, Walker et al., 1994).
 *
 * Index of a token: |murmur3_x86_32(token, seed 0)| as a signed number, so that vectors made by
 * clients that run the model themselves can be mixed with these.
 * Weight in a document: n * (k + 1) / (n + k * (1 - b + b * tokens / avg_len)) for a token that
 * occurs n times. Weight in a query: 1. */
#pragma once
#include "base/arena.h"
#include "model/point.h"

struct bm25_options {
	double k;       /* 0 or more */
	double b;       /* 0..1 */
	double avg_len; /* tokens of an average document; over 0 */
	struct text_options text;
};

/* k 1.2, b 0.75, avg_len 256; words in lower case, English stop words and stemmer. */
struct bm25_options bm25_defaults(void);
/* Vectors are in the arena; kind and space are set to sparse and 0. ERR_TOO_LARGE: more than
 * LIMIT_SPARSE_VALUES different tokens. */
int bm25_document(const struct bm25_options *o, const char *text, size_t n, struct arena *arena,
		  struct vector *out);
int bm25_query(const struct bm25_options *o, const char *text, size_t n, struct arena *arena,
	       struct vector *out);
uint32_t bm25_token_index(const char *token, size_t n);
