/* Text tokens as the text index and the text conditions see them.
 *
 * Tokenizers:
 *   word          runs of letters and digits (Unicode categories L* and N*, and the marks M* that
 *                 follow them); everything else separates
 *   whitespace    runs of anything but white space
 *   prefix        words; an index gets every prefix of at least min_token_len (1) and at most
 *                 max_token_len (never more than LIMIT_PREFIX_CHARS) characters, a query the word
 *                 itself, cut at the longest prefix
 *   multilingual  words; but a character of a script that is written without blanks (Han, Kana,
 *   Thai,
 *                 Lao, Myanmar, Khmer) is a token of its own, with its marks
 *
 * What happens to a token, in this order, where the options ask for it:
 *   lowercase       one character at a time
 *   (always)        normal form C
 *   stop_languages  a stop word of one of these languages is left out
 *   ascii_folding   letters that are Latin but for their marks lose these, ligatures are spelled
 *                   out (e acute: e, sharp s: ss); letters of other scripts stay
 *   stop_words      a word of this list is left out (the list is lower-cased and folded like text)
 *   stemmer         the word's stem takes its place
 *   bounds          a token that is shorter or longer (in characters) is left out
 * The minimum does not hold for the one-character tokens of the multilingual tokenizer, or text in
 * those scripts would have none; nor have they stems.
 */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "model/collection.h"
#include <stdbool.h>
#include <stddef.h>

/* Calls fn for each token, in the order of the text (bytes valid during the call only). `query`:
 * the text is a query; this makes a difference for the prefix tokenizer only. Bytes that are not
 * UTF-8 separate tokens. */
void text_tokens(const struct text_options *options, const char *text, size_t n, bool query,
		 void (*fn)(void *ctx, const char *token, size_t n), void *ctx);

enum text_match { TEXT_ALL, TEXT_ANY, TEXT_PHRASE };
/* Does the text have the tokens of the query: all of them, any of them, or all in order and side by
 * side? A query without tokens matches nothing. For TEXT_PHRASE the prefix tokenizer takes whole
 * words. */
bool text_matches(const struct text_options *options, enum text_match how, const char *query,
		  size_t query_n, const char *text, size_t n);

/* ---- options (text_options.c) ---- */

/* Sets the list of stop words from words as a user gives them, with the other options as they are:
 * set those first. */
void text_options_set_stop_words(struct text_options *options, struct arena *arena,
				 const struct stop_word *words, uint32_t n);
int stop_word_compare(const void *a, const void *b); /* for qsort and bsearch */
/* `out` may be `options` itself: then what it points to moves to the arena. */
void text_options_copy(struct arena *arena, const struct text_options *options,
		       struct text_options *out);
/* Folding, stemmer and stop words: what came with version 2 of the collection's codec. */
void text_extras_encode(struct buf *b, const struct text_options *options);
void text_extras_decode(struct reader *r, struct arena *arena, struct text_options *out);
/* Of the extras; stable, on disk; 0 when there are none. */
uint32_t text_extras_hash(const struct text_options *options);
