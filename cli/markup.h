/* From the bytes of a document to plain paragraphs: what the passages are made of. Four kinds: plain text,
 * Markdown, HTML and manual pages (troff with the man or mdoc macros). The result is UTF-8; bytes that
 * are not become U+FFFD. Good enough for search, no typesetting. */
#pragma once
#include <string.h>
#include "base/codec.h"
#include <stdbool.h>
#include <stddef.h>

enum markup { MARKUP_TEXT, MARKUP_MARKDOWN, MARKUP_HTML, MARKUP_MAN };

/* By the name (a .gz at the end does not count) and the first bytes; false: not a text that is read
 * (`extensions` is a comma-separated list, NULL = the usual ones). */
bool markup_of_name(const char *path, const char *extensions, enum markup *out);
/* Has it a NUL or too many control characters to be text? */
bool markup_is_binary(const unsigned char *bytes, size_t n);

/* Paragraphs of UTF-8, separated by an empty line; lines within a paragraph stay lines only in
 * preformatted parts. A heading is a paragraph that begins with the byte MARKUP_HEADING. The title goes
 * into `title` (empty when there is none). Both are NUL-terminated, the NUL not counted in len. */
enum { MARKUP_HEADING = 1 };
void markup_to_text(enum markup kind, const char *bytes, size_t n, struct buf *text,
		    struct buf *title);

/* The parts, in markup_man.c and markup.c. */
void markup_man(const char *bytes, size_t n, struct buf *text, struct buf *title);
/* Appends a code point as UTF-8; U+FFFD for what is none. */
void markup_put_utf8(struct buf *out, unsigned long code);

/* How many of the characters from s on, and before end, are in `set`: strspn for text without a NUL. */
static inline size_t markup_span(const char *s, const char *end, const char *set)
{
	size_t n = 0;
	while (s + n < end && s[n] != '\0' && strchr(set, s[n]) != NULL)
		n++;
	return n;
}
