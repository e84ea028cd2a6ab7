/* Text tokens: see text.h. Text is split first, then each token is lower-cased, normalised,
 * measured and handed on. Plain ASCII takes none of the Unicode tables. */
#include "model/text.h"
#include "base/limits.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct split {
	const struct payload_field *field;
	bool query;
	void (*fn)(void *ctx, const char *token, size_t n);
	void *ctx;
	struct buf token;       /* being collected */
	bool ascii;             /* the token so far */
	utf8proc_int32_t *wide; /* room to normalise in */
	size_t wide_n;
};

/* Next character of the text; -1 for a byte that is no part of one. */
static utf8proc_int32_t next_char(const char *text, size_t n, size_t *at)
{
	unsigned char first = (unsigned char)text[*at];
	if (first < 0x80) {
		(*at)++;
		return first;
	}
	utf8proc_int32_t c;
	size_t left = n - *at < 4 ? n - *at : 4;
	utf8proc_ssize_t used =
		utf8proc_iterate((const utf8proc_uint8_t *)text + *at, (utf8proc_ssize_t)left, &c);
	if (used <= 0) {
		(*at)++;
		return -1;
	}
	*at += (size_t)used;
	return c;
}

enum char_class { SEPARATOR, LETTER, MARK };

static enum char_class class_of(utf8proc_int32_t c)
{
	if (c < 0x80) {
		bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			     (c >= 'A' && c <= 'Z');
		return alnum ? LETTER : SEPARATOR;
	}
	switch (utf8proc_category(c)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO:
	case UTF8PROC_CATEGORY_ND:
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_NO: return LETTER;
	case UTF8PROC_CATEGORY_MN:
	case UTF8PROC_CATEGORY_MC:
	case UTF8PROC_CATEGORY_ME: return MARK;
	default: return SEPARATOR;
	}
}

static bool is_white_space(utf8proc_int32_t c)
{
	if (c < 0x80)
		return c == ' ' || (c >= '\t' && c <= '\r');
	utf8proc_category_t category = utf8proc_category(c);
	return c == 0x85 || category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
	       category == UTF8PROC_CATEGORY_ZP;
}

/* Blocks of the scripts that are written without blanks between words. */
static bool is_unspaced(utf8proc_int32_t c)
{
	static const struct {
		utf8proc_int32_t first, last;
	} blocks[] = {
		{0x0E00, 0x0EFF},   /* Thai, Lao */
		{0x1000, 0x109F},   /* Myanmar */
		{0x1780, 0x17FF},   /* Khmer */
		{0x3005, 0x3007},   /* ideographic iteration mark, closing mark, zero */
		{0x3040, 0x30FF},   /* Hiragana, Katakana */
		{0x31F0, 0x31FF},   /* Katakana extensions */
		{0x3400, 0x4DBF},   /* Han */
		{0x4E00, 0x9FFF},   /* Han */
		{0xF900, 0xFAFF},   /* Han compatibility */
		{0xFF66, 0xFF9F},   /* half-width Katakana */
		{0x20000, 0x323AF}, /* Han extensions */
	};
	if (c < blocks[0].first)
		return false;
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (c >= blocks[i].first && c <= blocks[i].last)
			return true;
	}
	return false;
}

/* ---- one token ---- */

static void add_char(struct split *s, utf8proc_int32_t c)
{
	if (c < 0x80) {
		if (s->field->lowercase && c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		buf_put_u8(&s->token, (uint8_t)c);
		return;
	}
	utf8proc_uint8_t bytes[4];
	if (s->field->lowercase)
		c = utf8proc_tolower(c);
	buf_put(&s->token, bytes, (size_t)utf8proc_encode_char(c, bytes));
	s->ascii = false;
}

/* Normal form C, in place. */
static void compose(struct split *s)
{
	const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
	utf8proc_ssize_t need;
	for (;;) {
		need = utf8proc_decompose(s->token.data, (utf8proc_ssize_t)s->token.len, s->wide,
					  (utf8proc_ssize_t)s->wide_n, options);
		if (need < 0)
			return;
		if ((size_t)need <= s->wide_n)
			break;
		s->wide_n = (size_t)need * 2;
		/* One more: utf8proc_reencode writes a NUL behind the text. */
		s->wide = mem_resize(s->wide, (s->wide_n + 1) * sizeof(*s->wide));
	}
	utf8proc_ssize_t n = utf8proc_reencode(s->wide, need, options);
	if (n < 0)
		return;
	buf_clear(&s->token);
	buf_put(&s->token, s->wide, (size_t)n);
}

static bool starts_char(uint8_t byte)
{
	return (byte & 0xC0) != 0x80;
}

/* Bytes of the first `chars` characters of the token, all of them when there are fewer. */
static size_t bytes_of(const struct buf *token, size_t chars)
{
	size_t seen = 0;
	for (size_t i = 0; i < token->len; i++) {
		if (starts_char(token->data[i]) && seen++ == chars)
			return i;
	}
	return token->len;
}

static size_t count_chars(const struct split *s)
{
	if (s->ascii)
		return s->token.len;
	size_t chars = 0;
	for (size_t i = 0; i < s->token.len; i++)
		chars += starts_char(s->token.data[i]);
	return chars;
}

static void emit_prefixes(const struct split *s, size_t chars)
{
	const struct payload_field *f = s->field;
	size_t shortest = f->min_token_len > 0 ? f->min_token_len : 1;
	size_t longest = chars < LIMIT_PREFIX_CHARS ? chars : LIMIT_PREFIX_CHARS;
	if (f->max_token_len > 0 && longest > f->max_token_len)
		longest = f->max_token_len;
	if (s->query && shortest < longest)
		shortest = longest;
	for (size_t i = shortest; i <= longest; i++)
		s->fn(s->ctx, (const char *)s->token.data, bytes_of(&s->token, i));
}

/* Hands on the token collected so far. `single`: a character that stands for itself. */
static void flush(struct split *s, bool single)
{
	if (s->token.len == 0)
		return;
	if (!s->ascii)
		compose(s);
	size_t chars = count_chars(s);
	const struct payload_field *f = s->field;
	if (f->tokenizer == TOKENIZER_PREFIX)
		emit_prefixes(s, chars);
	else if ((single || chars >= f->min_token_len) &&
		 (f->max_token_len == 0 || chars <= f->max_token_len))
		s->fn(s->ctx, (const char *)s->token.data, s->token.len);
	buf_clear(&s->token);
	s->ascii = true;
}

/* ---- the text ---- */

static void split_at_white_space(struct split *s, const char *text, size_t n)
{
	for (size_t at = 0; at < n;) {
		utf8proc_int32_t c = next_char(text, n, &at);
		if (c < 0 || is_white_space(c))
			flush(s, false);
		else
			add_char(s, c);
	}
	flush(s, false);
}

static void split_words(struct split *s, const char *text, size_t n, bool multilingual)
{
	bool single = false; /* the token is a character of its own, perhaps with marks to come */
	for (size_t at = 0; at < n;) {
		utf8proc_int32_t c = next_char(text, n, &at);
		enum char_class class = c < 0 ? SEPARATOR : class_of(c);
		bool alone = multilingual && class == LETTER && is_unspaced(c);
		if (class == SEPARATOR || alone || (single && class == LETTER)) {
			flush(s, single);
			single = false;
		}
		if (class == LETTER || (class == MARK && s->token.len != 0)) {
			add_char(s, c);
			single |= alone;
		}
	}
	flush(s, single);
}

void text_tokens(const struct payload_field *field, const char *text, size_t n, bool query,
		 void (*fn)(void *ctx, const char *token, size_t n), void *ctx)
{
	struct split s = {.field = field, .query = query, .fn = fn, .ctx = ctx, .ascii = true};
	if (field->tokenizer == TOKENIZER_WHITESPACE)
		split_at_white_space(&s, text, n);
	else
		split_words(&s, text, n, field->tokenizer == TOKENIZER_MULTILINGUAL);
	buf_fini(&s.token);
	free(s.wide);
}
