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
 * Tokens are in lower case when the field asks for it (one character at a time), in normal form C,
 * and shorter or longer ones than the field's bounds (in characters; 0 = no bound) are left out.
 * The minimum does not hold for the one-character tokens of the multilingual tokenizer, or text in
 * those scripts would have none.
 */
#pragma once
#include "model/collection.h"
#include <stdbool.h>
#include <stddef.h>

/* Calls fn for each token, in the order of the text (bytes valid during the call only). `query`:
 * the text is a query; this makes a difference for the prefix tokenizer only. Bytes that are not
 * UTF-8 separate tokens. */
void text_tokens(const struct payload_field *field, const char *text, size_t n, bool query,
		 void (*fn)(void *ctx, const char *token, size_t n), void *ctx);

enum text_match { TEXT_ALL, TEXT_ANY, TEXT_PHRASE };
/* Does the text have the tokens of the query: all of them, any of them, or all in order and side by
 * side? A query without tokens matches nothing. For TEXT_PHRASE the prefix tokenizer takes whole
 * words. */
bool text_matches(const struct payload_field *field, enum text_match how, const char *query,
		  size_t query_n, const char *text, size_t n);
