/* Text tokens: see text.h. Text is split first, then each token is lower-cased, normalised, folded,
 * stemmed, measured and handed on. Plain ASCII takes none of the Unicode tables. */
#include "model/text.h"
#include "base/limits.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct split {
	const struct text_options *options;
	bool query;
	void (*fn)(void *ctx, const char *token, size_t n);
	void *ctx;
	struct buf token;       /* being collected */
	bool ascii;             /* the token so far */
	utf8proc_int32_t *wide; /* room to normalise in */
	size_t wide_n;
	struct stemmer *stemmer; /* made for the first word */
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
		if (s->options->lowercase && c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		buf_put_u8(&s->token, (uint8_t)c);
		return;
	}
	utf8proc_uint8_t bytes[4];
	if (s->options->lowercase)
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

/* Latin letters that no mark makes out of an ASCII letter. */
static const char *spelled_out(utf8proc_int32_t c)
{
	switch (c) {
	case 0xC6: return "AE";
	case 0xE6: return "ae";
	case 0xD0:
	case 0x110: return "D";
	case 0xF0:
	case 0x111: return "d";
	case 0xD8: return "O";
	case 0xF8: return "o";
	case 0xDE: return "TH";
	case 0xFE: return "th";
	case 0xDF: return "ss";
	case 0x1E9E: return "SS";
	case 0x126: return "H";
	case 0x127: return "h";
	case 0x131: return "i";
	case 0x141: return "L";
	case 0x142: return "l";
	case 0x152: return "OE";
	case 0x153: return "oe";
	case 0x166: return "T";
	case 0x167: return "t";
	default: return NULL;
	}
}

enum { FOLDED_CHARS_MAX = 32 };

/* Appends one character of the text to out: folded, if all that is left of it is ASCII. */
static void fold_char(utf8proc_int32_t c, const char *bytes, size_t n, struct buf *out)
{
	utf8proc_int32_t parts[FOLDED_CHARS_MAX];
	const char *spelled = spelled_out(c);
	size_t before = out->len;
	int boundary = 0;

	if (spelled != NULL) {
		buf_put(out, spelled, strlen(spelled));
		return;
	}
	utf8proc_ssize_t n_parts = utf8proc_decompose_char(c, parts, FOLDED_CHARS_MAX,
							   UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
							   &boundary);
	for (utf8proc_ssize_t i = 0; i < n_parts && i < FOLDED_CHARS_MAX; i++) {
		if (parts[i] < 0x80) {
			buf_put_u8(out, (uint8_t)parts[i]);
		} else if (utf8proc_category(parts[i]) != UTF8PROC_CATEGORY_MN) {
			out->len = before;
			break;
		}
	}
	/* A mark of its own goes with the letter before it, when that is ASCII now. */
	bool mark = utf8proc_category(c) == UTF8PROC_CATEGORY_MN;
	if (out->len == before && (!mark || before == 0 || out->data[before - 1] >= 0x80))
		buf_put(out, bytes, n);
}

static void fold(struct split *s)
{
	struct buf out = BUF_INIT;
	const char *text = (const char *)s->token.data;

	s->ascii = true;
	for (size_t at = 0; at < s->token.len;) {
		size_t from = at;
		utf8proc_int32_t c = next_char(text, s->token.len, &at);

		if (c >= 0 && c < 0x80)
			buf_put_u8(&out, (uint8_t)c);
		else
			fold_char(c, text + from, at - from, &out);
	}
	for (size_t i = 0; i < out.len; i++) {
		uint8_t byte = out.data[i];

		s->ascii &= byte < 0x80;
		if (s->options->lowercase && byte >= 'A' && byte <= 'Z')
			out.data[i] = (uint8_t)(byte + ('a' - 'A'));
	}
	buf_fini(&s->token);
	s->token = out;
}

static bool is_language_stop_word(const struct split *s)
{
	for (uint32_t left = s->options->stop_languages; left != 0; left &= left - 1) {
		if (language_stops((enum language)__builtin_ctz(left), (const char *)s->token.data,
				   s->token.len))
			return true;
	}
	return false;
}

static bool is_stop_word(const struct split *s)
{
	const struct text_options *o = s->options;
	struct stop_word key = {(const char *)s->token.data, (uint32_t)s->token.len};
	return o->n_stop_words != 0 && bsearch(&key, o->stop_words, o->n_stop_words, sizeof(key),
					       stop_word_compare) != NULL;
}

static void stem(struct split *s)
{
	size_t n;
	if (s->stemmer == NULL)
		s->stemmer = stemmer_new(s->options->stemmer);
	const char *found = stemmer_stem(s->stemmer, (const char *)s->token.data, s->token.len, &n);
	if (found == (const char *)s->token.data)
		return;
	buf_clear(&s->token);
	buf_put(&s->token, found, n);
}

/* From a piece of text to a token; false: it is none. */
static bool refine(struct split *s, bool single)
{
	if (!s->ascii)
		compose(s);
	if (is_language_stop_word(s))
		return false;
	if (!s->ascii && s->options->ascii_folding)
		fold(s);
	if (is_stop_word(s))
		return false;
	if (s->options->stemmer != LANGUAGE_NONE && !single)
		stem(s);
	return s->token.len > 0;
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
	const struct text_options *f = s->options;
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
	const struct text_options *f = s->options;
	size_t chars;
	if (!refine(s, single))
		goto out;
	chars = count_chars(s);
	if (f->tokenizer == TOKENIZER_PREFIX)
		emit_prefixes(s, chars);
	else if ((single || chars >= f->min_token_len) &&
		 (f->max_token_len == 0 || chars <= f->max_token_len))
		s->fn(s->ctx, (const char *)s->token.data, s->token.len);
out:
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

void text_tokens(const struct text_options *options, const char *text, size_t n, bool query,
		 void (*fn)(void *ctx, const char *token, size_t n), void *ctx)
{
	struct split s = {.options = options, .query = query, .fn = fn, .ctx = ctx, .ascii = true};
	if (options->tokenizer == TOKENIZER_WHITESPACE)
		split_at_white_space(&s, text, n);
	else
		split_words(&s, text, n, options->tokenizer == TOKENIZER_MULTILINGUAL);
	buf_fini(&s.token);
	stemmer_free(s.stemmer);
	free(s.wide);
}
