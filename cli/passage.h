/* Splits a document into passages of about 120 to 200 words, at the borders of paragraphs where it can,
 * else of sentences, else of words. A heading stays with what follows it. */
#pragma once
#include "base/codec.h"
#include <stddef.h>
#include <stdint.h>

enum { PASSAGE_MIN_WORDS = 120, PASSAGE_MAX_WORDS = 200 };

struct passage {
	size_t text_at, text_n;       /* in passages.text */
	size_t section_at, section_n; /* the heading it stands under; section_n may be 0 */
};

struct passages {
	struct passage *items;
	uint32_t n;
	uint32_t room;
	struct buf text;
};

/* `text` is what markup_to_text() made. The list is cleared first. White space is folded: within a
 * passage paragraphs are separated by one line end. Passages without a single letter are left out. */
void passages_split(struct passages *out, const char *text, size_t n);
void passages_fini(struct passages *p);
