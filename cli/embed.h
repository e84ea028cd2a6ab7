/* Text to vectors. Two ways: the built-in embedder, which needs no model and no network, and any server
 * that speaks the /v1/embeddings of OpenAI.
 *
 * The built-in embedder is feature hashing (Weinberger et al., 2009): every word, word pair and run of 3
 * to 5 letters within a word is hashed to one of `dim` places and a sign; its weight there is
 * (1 + ln count) times how much such a feature tells. Words that every text has (the, of, with, ..)
 * weigh next to nothing, common words of technical texts half, short ones less, and those of the first
 * line double when there are more lines: it is the title. The vector is then made one long. The same text gives the same vector
 * on every machine; nothing is learnt. It finds texts that share words and word parts with the question,
 * no synonyms. */
#pragma once
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

enum { EMBED_DIM = 768, EMBED_MIN_DIM = 32 };

/* out[dim], of length 1; all zero for a text without words. `n` bytes of UTF-8. */
void embed_builtin(const char *text, size_t n, uint32_t dim, float *out);

struct embedder;

struct embedder_options {
	const char *
		url; /* NULL: built-in; else the server: "/v1/embeddings" is added unless it ends so */
	const char *model; /* name that the server wants */
	const char *key;   /* NULL: none */
	uint32_t dim;      /* of the built-in one; 0 = EMBED_DIM */
	uint32_t batch;    /* texts in one request; 0 = 64 */
	uint64_t timeout_s;
};

int embedder_new(struct embedder **out, const struct embedder_options *options, struct error *err);
void embedder_free(struct embedder *e); /* NULL ok */
/* Asks the server with a word when it is not known yet. */
int embedder_dim(struct embedder *e, uint32_t *dim, struct error *err);
/* n NUL-terminated texts, one behind the other; out[n x dim]. One thread at a time for each embedder. */
int embedder_run(struct embedder *e, const char *texts, uint32_t n, uint32_t dim, float *out,
		 struct error *err);
