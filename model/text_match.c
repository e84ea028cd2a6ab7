/* Does a text have the tokens of a query? All and any: the query's tokens are sorted, and each
 * token of the text is looked up. Phrase: the tokens of the text run through the automaton of
 * Knuth, Morris and Pratt (1977), so that no text makes it quadratic. */
#include "base/memory.h"
#include "model/text.h"
#include <stdlib.h>
#include <string.h>

struct token {
	size_t at; /* in bytes[], while they are collected */
	const char *s;
	size_t n;
	bool found;
	size_t fallback; /* phrase: tokens still matched when the one after this does not */
};

struct query {
	struct buf bytes;
	struct token *tokens;
	size_t n, room;
	size_t matched; /* any, all: tokens found; phrase: tokens matched up to here */
	bool complete;
};

static int compare(const char *a, size_t a_n, const char *b, size_t b_n)
{
	int c = memcmp(a, b, a_n < b_n ? a_n : b_n);
	return c != 0 ? c : (a_n > b_n) - (a_n < b_n);
}

static int compare_tokens(const void *a, const void *b)
{
	const struct token *x = a, *y = b;
	return compare(x->s, x->n, y->s, y->n);
}

static void collect(void *ctx, const char *token, size_t n)
{
	struct query *q = ctx;
	if (q->n == q->room) {
		q->room = q->room != 0 ? q->room * 2 : 8;
		q->tokens = mem_resize(q->tokens, q->room * sizeof(*q->tokens));
	}
	q->tokens[q->n++] = (struct token){.at = q->bytes.len, .n = n};
	buf_put(&q->bytes, token, n);
}

static void sort_distinct(struct query *q)
{
	qsort(q->tokens, q->n, sizeof(*q->tokens), compare_tokens);
	size_t kept = 1;
	for (size_t i = 1; i < q->n; i++) {
		if (compare_tokens(&q->tokens[i], &q->tokens[kept - 1]) != 0)
			q->tokens[kept++] = q->tokens[i];
	}
	q->n = kept;
}

static void find(void *ctx, const char *token, size_t n)
{
	struct query *q = ctx;
	struct token key = {.s = token, .n = n};
	if (q->complete)
		return;
	struct token *hit = bsearch(&key, q->tokens, q->n, sizeof(key), compare_tokens);
	if (hit == NULL || hit->found)
		return;
	hit->found = true;
	q->matched++;
	q->complete = q->matched == q->n;
}

static void set_fallbacks(struct query *q)
{
	size_t matched = 0;
	q->tokens[0].fallback = 0;
	for (size_t i = 1; i < q->n; i++) {
		while (matched > 0 && compare_tokens(&q->tokens[i], &q->tokens[matched]) != 0)
			matched = q->tokens[matched - 1].fallback;
		if (compare_tokens(&q->tokens[i], &q->tokens[matched]) == 0)
			matched++;
		q->tokens[i].fallback = matched;
	}
}

static void follow(void *ctx, const char *token, size_t n)
{
	struct query *q = ctx;
	struct token key = {.s = token, .n = n};
	if (q->complete)
		return;
	while (q->matched > 0 && compare_tokens(&key, &q->tokens[q->matched]) != 0)
		q->matched = q->tokens[q->matched - 1].fallback;
	if (compare_tokens(&key, &q->tokens[q->matched]) == 0)
		q->matched++;
	q->complete = q->matched == q->n;
}

bool text_matches(const struct text_options *options, enum text_match how, const char *query,
		  size_t query_n, const char *text, size_t n)
{
	struct query q = {0};
	bool matches = false;
	text_tokens(options, query, query_n, true, collect, &q);
	for (size_t i = 0; i < q.n; i++)
		q.tokens[i].s = (const char *)q.bytes.data + q.tokens[i].at;
	if (q.n == 0)
		goto out;
	if (how == TEXT_PHRASE) {
		set_fallbacks(&q);
		text_tokens(options, text, n, true, follow, &q);
		matches = q.complete;
	} else {
		sort_distinct(&q);
		text_tokens(options, text, n, false, find, &q);
		matches = how == TEXT_ANY ? q.matched > 0 : q.complete;
	}
out:
	free(q.tokens);
	buf_fini(&q.bytes);
	return matches;
}
