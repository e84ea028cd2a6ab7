#include "cli/passage.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cli/markup.h"

/* A passage under construction, at the end of `text`. */
struct splitter {
	struct passages *out;
	size_t from;
	uint32_t words;
	size_t section_at, section_n; /* the heading seen last */
};

static void add_passage(struct splitter *s, bool letters)
{
	struct passages *p = s->out;

	if (letters) {
		if (p->n == p->room) {
			p->room = p->room ? p->room * 2 : 16;
			p->items = mem_resize(p->items, p->room * sizeof(*p->items));
		}
		p->items[p->n++] = (struct passage){s->from, p->text.len - s->from, s->section_at,
						    s->section_n};
	} else {
		p->text.len = s->from;
	}
	s->from = p->text.len;
	s->words = 0;
}

static void flush(struct splitter *s)
{
	bool letters = false;

	for (size_t i = s->from; i < s->out->text.len && !letters; i++)
		letters = isalpha(s->out->text.data[i]) || s->out->text.data[i] >= 0x80;
	add_passage(s, letters);
}

static size_t word_end(const char *at, size_t n)
{
	size_t i = 0;

	while (i < n && !isspace((unsigned char)at[i]))
		i++;
	return i;
}

static size_t skip_space(const char *at, size_t n)
{
	size_t i = 0;

	while (i < n && isspace((unsigned char)at[i]))
		i++;
	return i;
}

static uint32_t count_words(const char *at, size_t n)
{
	uint32_t words = 0;

	for (size_t i = skip_space(at, n); i < n; i += skip_space(at + i, n - i)) {
		i += word_end(at + i, n - i);
		words++;
	}
	return words;
}

static bool ends_sentence(const char *word, size_t n)
{
	while (n > 1 && strchr(")\"'", word[n - 1]) != NULL)
		n--;
	return n > 2 && strchr(".!?", word[n - 1]) != NULL;
}

/* A "word" of many kilobytes is none (base64 and the like): its first 200 bytes are kept, in whole
 * characters. */
static size_t kept_bytes(const char *word, size_t n)
{
	if (n <= 200)
		return n;
	n = 200;
	while (n > 0 && ((unsigned char)word[n] & 0xC0) == 0x80)
		n--;
	return n;
}

/* Adds the words of a paragraph; one that is too long by itself is cut, behind a sentence if one ends in
 * time. */
static void put_words(struct splitter *s, const char *at, size_t n)
{
	struct buf *text = &s->out->text;
	uint32_t left = count_words(at, n);

	if (s->words > 0)
		buf_put_u8(text, '\n');
	for (size_t i = skip_space(at, n); i < n; i += skip_space(at + i, n - i)) {
		size_t length = word_end(at + i, n - i);

		if (text->len > s->from && text->data[text->len - 1] != '\n')
			buf_put_u8(text, ' ');
		buf_put(text, at + i, kept_bytes(at + i, length));
		s->words++;
		left--;
		bool cut = s->words >= PASSAGE_MAX_WORDS ||
			   (s->words >= PASSAGE_MIN_WORDS && ends_sentence(at + i, length));
		if (cut && left >= PASSAGE_MIN_WORDS / 4)
			flush(s);
		i += length;
	}
}

static void put_paragraph(struct splitter *s, const char *at, size_t n)
{
	uint32_t words = count_words(at, n);

	if (words == 0)
		return;
	if (s->words >= PASSAGE_MIN_WORDS ||
	    (s->words + words > PASSAGE_MAX_WORDS && s->words >= PASSAGE_MIN_WORDS / 2))
		flush(s);
	put_words(s, at, n);
}

static void take_section(struct splitter *s, const char *at, size_t n)
{
	size_t trim = skip_space(at, n);

	at += trim;
	n -= trim;
	while (n > 0 && isspace((unsigned char)at[n - 1]))
		n--;
	/* A heading ends a passage that is long enough to stand alone. */
	if (s->words >= PASSAGE_MIN_WORDS / 2)
		flush(s);
	size_t at_text = s->out->text.len;
	bool begins = s->words == 0;
	put_words(s, at, n);
	if (begins) {
		s->section_at = at_text;
		s->section_n = s->out->text.len - at_text;
	}
}

void passages_split(struct passages *out, const char *text, size_t n)
{
	struct splitter s = {.out = out};
	const char *at = text, *end = text + n;

	out->n = 0;
	buf_clear(&out->text);
	while (at < end) {
		const char *stop = at;

		/* A paragraph ends at an empty line (blanks allowed in it). */
		while (stop < end) {
			const char *line = memchr(stop, '\n', (size_t)(end - stop));

			if (line == NULL) {
				stop = end;
				break;
			}
			stop = line + 1;
			size_t blank = markup_span(stop, end, " \t");
			if (stop + blank >= end || stop[blank] == '\n')
				break;
		}
		at += skip_space(at, (size_t)(stop - at));
		if (at < stop && *at == MARKUP_HEADING)
			take_section(&s, at + 1, (size_t)(stop - at - 1));
		else if (at < stop)
			put_paragraph(&s, at, (size_t)(stop - at));
		at = stop;
	}
	if (s.words > 0)
		flush(&s);
}

void passages_fini(struct passages *p)
{
	free(p->items);
	buf_fini(&p->text);
	*p = (struct passages){0};
}
