/* Texts as sparse vectors for BM25; see the header. */
#include "model/bm25.h"
#include "base/error.h"
#include "base/limits.h"
#include "model/text.h"
#include <stdlib.h>
#include <string.h>

struct bm25_options bm25_defaults(void)
{
	return (struct bm25_options){
		.k = 1.2,
		.b = 0.75,
		.avg_len = 256,
		.text = {.tokenizer = TOKENIZER_WORD,
			 .lowercase = true,
			 .stemmer = LANGUAGE_ENGLISH,
			 .stop_languages = 1u << LANGUAGE_ENGLISH},
	};
}

/* ---- MurmurHash3_x86_32 (Appleby, 2011), seed 0 ---- */

static uint32_t rotate(uint32_t x, int by)
{
	return x << by | x >> (32 - by);
}

static uint32_t mix_block(uint32_t x)
{
	return rotate(x * 0xcc9e2d51u, 15) * 0x1b873593u;
}

static uint32_t murmur3(const uint8_t *bytes, size_t n)
{
	uint32_t hash = 0, tail = 0;
	size_t blocks = n / 4;

	for (size_t i = 0; i < blocks; i++)
		hash = rotate(hash ^ mix_block(load_u32(bytes + 4 * i)), 13) * 5 + 0xe6546b64u;
	for (size_t i = n; i > 4 * blocks; i--)
		tail = tail << 8 | bytes[i - 1];
	hash ^= mix_block(tail);
	hash ^= (uint32_t)n;
	hash = (hash ^ hash >> 16) * 0x85ebca6bu;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
	return hash ^ hash >> 16;
}

uint32_t bm25_token_index(const char *token, size_t n)
{
	uint32_t hash = murmur3((const uint8_t *)token, n);
	return hash >> 31 != 0 ? 0u - hash : hash;
}

/* ---- vectors ---- */

static void add_token(void *ctx, const char *token, size_t n)
{
	buf_put_u32(ctx, bm25_token_index(token, n));
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static float document_weight(const struct bm25_options *o, size_t occurs, size_t n_tokens)
{
	double n = (double)occurs;
	double length = 1 - o->b + o->b * (double)n_tokens / o->avg_len;
	return (float)(n * (o->k + 1) / (n + o->k * length));
}

/* document: NULL for a query. */
static int weigh(const uint32_t *tokens, size_t n, const struct bm25_options *document,
		 struct arena *arena, struct vector *out)
{
	size_t distinct = n > 0;
	for (size_t i = 1; i < n; i++)
		distinct += tokens[i] != tokens[i - 1];
	if (distinct > LIMIT_SPARSE_VALUES)
		return ERR_TOO_LARGE;
	uint32_t *indices = arena_alloc(arena, distinct * sizeof(*indices));
	float *values = arena_alloc(arena, distinct * sizeof(*values));
	uint32_t at = 0;
	for (size_t i = 0, next; i < n; i = next) {
		for (next = i + 1; next < n && tokens[next] == tokens[i];)
			next++;
		indices[at] = tokens[i];
		values[at++] = document != NULL ? document_weight(document, next - i, n) : 1.0f;
	}
	*out = (struct vector){VECTOR_SPARSE, 0, at, values, indices};
	return 0;
}

static int embed(const struct bm25_options *o, bool query, const char *text, size_t n,
		 struct arena *arena, struct vector *out)
{
	struct buf tokens = BUF_INIT;
	text_tokens(&o->text, text, n, query, add_token, &tokens);
	size_t n_tokens = tokens.len / sizeof(uint32_t);
	if (n_tokens > 1)
		qsort(tokens.data, n_tokens, sizeof(uint32_t), by_number);
	int rc = weigh((const uint32_t *)(const void *)tokens.data, n_tokens, query ? NULL : o,
		       arena, out);
	buf_fini(&tokens);
	return rc;
}

int bm25_document(const struct bm25_options *o, const char *text, size_t n, struct arena *arena,
		  struct vector *out)
{
	return embed(o, false, text, n, arena, out);
}

int bm25_query(const struct bm25_options *o, const char *text, size_t n, struct arena *arena,
	       struct vector *out)
{
	return embed(o, true, text, n, arena, out);
}
