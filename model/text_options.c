/* Options of a text index as values: the list of stop words in its order, copies, codec, hash. */
#include "base/hash.h"
#include "base/limits.h"
#include "base/memory.h"
#include "model/text.h"
#include "model/wire.h"
#include <stdlib.h>
#include <string.h>

struct words {
	struct arena *arena;
	struct stop_word *items;
	uint32_t n, room;
};

static void add_word(void *ctx, const char *token, size_t n)
{
	struct words *w = ctx;
	if (w->n == w->room) {
		w->room = w->room != 0 ? w->room * 2 : 16;
		w->items = mem_resize(w->items, w->room * sizeof(*w->items));
	}
	w->items[w->n++] = (struct stop_word){arena_strndup(w->arena, token, n), (uint32_t)n};
}

int stop_word_compare(const void *a, const void *b)
{
	const struct stop_word *x = a, *y = b;
	int c = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
	return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

void text_options_set_stop_words(struct text_options *options, struct arena *arena,
				 const struct stop_word *words, uint32_t n)
{
	const struct text_options plain = {
		.tokenizer = TOKENIZER_WHITESPACE,
		.lowercase = options->lowercase,
		.ascii_folding = options->ascii_folding,
	};
	struct words w = {.arena = arena};
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++)
		text_tokens(&plain, words[i].s, words[i].n, false, add_word, &w);
	if (w.n > 1)
		qsort(w.items, w.n, sizeof(*w.items), stop_word_compare);
	for (uint32_t i = 0; i < w.n; i++) {
		if (kept == 0 || stop_word_compare(&w.items[i], &w.items[kept - 1]) != 0)
			w.items[kept++] = w.items[i];
	}
	options->stop_words = arena_copy(arena, w.items, kept * sizeof(*w.items));
	options->n_stop_words = kept;
	free(w.items);
}

void text_options_copy(struct arena *arena, const struct text_options *options,
		       struct text_options *out)
{
	struct stop_word *words = arena_copy(arena, options->stop_words,
					     options->n_stop_words * sizeof(*options->stop_words));
	for (uint32_t i = 0; i < options->n_stop_words; i++)
		words[i].s = arena_strndup(arena, words[i].s, words[i].n);
	*out = *options;
	out->stop_words = words;
}

/* Names instead of numbers: the list of languages may grow anywhere. */
void text_extras_encode(struct buf *b, const struct text_options *options)
{
	wire_put_bool(b, options->ascii_folding);
	buf_put_str(b, language_name(options->stemmer));
	buf_put_u32(b, (uint32_t)__builtin_popcount(options->stop_languages));
	for (uint32_t left = options->stop_languages; left != 0; left &= left - 1)
		buf_put_str(b, language_name((enum language)__builtin_ctz(left)));
	buf_put_u32(b, options->n_stop_words);
	for (uint32_t i = 0; i < options->n_stop_words; i++)
		buf_put_blob(b, options->stop_words[i].s, options->stop_words[i].n);
}

static enum language take_language(struct reader *r, bool may_be_none)
{
	enum language l = LANGUAGE_NONE;
	uint32_t n = 0;
	const char *name = (const char *)reader_blob(r, &n);
	if (name == NULL || (may_be_none && n == 4 && memcmp(name, "none", 4) == 0))
		return LANGUAGE_NONE;
	if (language_parse(name, n, &l) != 0)
		reader_fail(r);
	return l;
}

void text_extras_decode(struct reader *r, struct arena *arena, struct text_options *out)
{
	out->ascii_folding = wire_bool(r);
	out->stemmer = take_language(r, true);
	for (uint32_t left = reader_count(r, 4); left > 0 && reader_ok(r); left--) {
		enum language l = take_language(r, false);
		if (!language_has_stop_words(l))
			reader_fail(r);
		else
			out->stop_languages |= 1u << l;
	}
	out->n_stop_words = reader_count(r, 4);
	out->stop_words = arena_zalloc(arena, out->n_stop_words * sizeof(*out->stop_words));
	for (uint32_t i = 0; i < out->n_stop_words; i++) {
		struct stop_word *w = &out->stop_words[i];
		w->s = wire_text(r, arena, LIMIT_STOP_WORD_BYTES, &w->n);
		if (i > 0 && stop_word_compare(w - 1, w) >= 0)
			reader_fail(r);
	}
	if (!reader_ok(r))
		out->n_stop_words = 0;
}

uint32_t text_extras_hash(const struct text_options *options)
{
	struct buf b = BUF_INIT;
	if (!options->ascii_folding && options->stemmer == LANGUAGE_NONE &&
	    options->stop_languages == 0 && options->n_stop_words == 0)
		return 0;
	text_extras_encode(&b, options);
	uint64_t hash = hash64(b.data, b.len);
	buf_fini(&b);
	return (uint32_t)(hash ^ hash >> 32) | 1;
}
