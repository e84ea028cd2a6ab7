#include "cli/markup.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "cli/source.h"

void markup_put_utf8(struct buf *out, unsigned long code)
{
	if (code == 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
		code = 0xFFFD;
	if (code < 0x80) {
		buf_put_u8(out, (uint8_t)code);
	} else if (code < 0x800) {
		buf_put_u8(out, (uint8_t)(0xC0 | code >> 6));
		buf_put_u8(out, (uint8_t)(0x80 | (code & 63)));
	} else if (code < 0x10000) {
		buf_put_u8(out, (uint8_t)(0xE0 | code >> 12));
		buf_put_u8(out, (uint8_t)(0x80 | (code >> 6 & 63)));
		buf_put_u8(out, (uint8_t)(0x80 | (code & 63)));
	} else {
		buf_put_u8(out, (uint8_t)(0xF0 | code >> 18));
		buf_put_u8(out, (uint8_t)(0x80 | (code >> 12 & 63)));
		buf_put_u8(out, (uint8_t)(0x80 | (code >> 6 & 63)));
		buf_put_u8(out, (uint8_t)(0x80 | (code & 63)));
	}
}

/* ---- which kind ------------------------------------------------------------------------------- */

static bool in_list(const char *list, const char *word, size_t n)
{
	while (*list) {
		size_t length = strcspn(list, ",");

		if (length == n && strncasecmp(list, word, n) == 0)
			return true;
		list += length + (list[length] == ',');
	}
	return false;
}

/* printf.3, ls.1, crypto.3ssl: a section digit, perhaps letters behind it, in a folder named man<n>. */
static bool is_man_name(const char *path, const char *extension, size_t n)
{
	if (n == 0 || extension[0] < '1' || extension[0] > '9')
		return false;
	for (size_t i = 1; i < n; i++) {
		if (!isalpha((unsigned char)extension[i]))
			return false;
	}
	return strstr(path, "/man") != NULL || n <= 3;
}

bool markup_of_name(const char *path, const char *extensions, enum markup *out)
{
	const char *usual =
		"txt,text,md,markdown,html,htm,xhtml,rst,adoc,org,me,1st,news,readme,faq";
	size_t n = strlen(path);
	const char *name, *dot;

	if (source_name_ends(path, ".gz"))
		n -= 3;
	name = memrchr(path, '/', n);
	name = name ? name + 1 : path;
	dot = memrchr(name, '.', (size_t)(path + n - name));
	*out = MARKUP_TEXT;
	if (dot == NULL || dot == name) /* README, NEWS, copyright */
		return dot == NULL && n > 0 && (extensions == NULL || in_list(extensions, "", 0));
	size_t length = (size_t)(path + n - dot - 1);
	if (is_man_name(path, dot + 1, length))
		*out = MARKUP_MAN;
	else if (in_list("html,htm,xhtml", dot + 1, length))
		*out = MARKUP_HTML;
	else if (in_list("md,markdown", dot + 1, length))
		*out = MARKUP_MARKDOWN;
	if (extensions != NULL)
		return in_list(extensions, dot + 1, length);
	return *out == MARKUP_MAN || in_list(usual, dot + 1, length) ||
	       strncasecmp(name, "readme", 6) == 0 || strncasecmp(name, "news", 4) == 0;
}

bool markup_is_binary(const unsigned char *bytes, size_t n)
{
	size_t odd = 0;

	if (n > 8192)
		n = 8192;
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == 0)
			return true;
		odd += bytes[i] < 32 && !isspace(bytes[i]) && bytes[i] != 8 && bytes[i] != 27;
	}
	return odd * 20 > n;
}

/* ---- UTF-8 ------------------------------------------------------------------------------------ */

/* Bytes of the sequence at `at`, 0 when it is none. */
static size_t utf8_length(const unsigned char *at, size_t left)
{
	size_t n = at[0] < 0x80                    ? 1
		   : at[0] >= 0xC2 && at[0] < 0xE0 ? 2
		   : (at[0] & 0xF0) == 0xE0        ? 3
						   : 4;

	if (n == 1)
		return 1;
	if (at[0] < 0xC2 || at[0] > 0xF4 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((at[i] & 0xC0) != 0x80)
			return 0;
	}
	if ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F) ||
	    (at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] > 0x8F))
		return 0;
	return n;
}

/* What is no UTF-8 is read as Latin-1 when the whole text is none, byte by byte else replaced. */
static void to_utf8(const unsigned char *bytes, size_t n, struct buf *out)
{
	size_t bad = 0, good = 0;

	for (size_t i = 0, l; i < n; i += l ? l : 1) {
		l = utf8_length(bytes + i, n - i);
		bad += l == 0;
		good += l > 1;
	}
	for (size_t i = 0, l; i < n; i += l ? l : 1) {
		l = utf8_length(bytes + i, n - i);
		if (l == 0)
			markup_put_utf8(out, bad > good ? bytes[i] : 0xFFFD);
		else if (l > 1 || bytes[i] >= 32 || bytes[i] == '\n' || bytes[i] == '\t')
			buf_put(out, bytes + i, l);
		else if (bytes[i] == 8 && out->len > 0) /* overstruck: a, backspace, a */
			out->len--;
		else if (bytes[i] == '\f')
			buf_put_u8(out, '\n');
	}
}

/* ---- plain text and Markdown ------------------------------------------------------------------ */

struct line {
	const char *at;
	size_t n;
};

static bool next_line(const char **at, const char *end, struct line *out)
{
	const char *stop;

	if (*at >= end)
		return false;
	stop = memchr(*at, '\n', (size_t)(end - *at));
	out->at = *at;
	out->n = (size_t)((stop ? stop : end) - *at);
	*at = stop ? stop + 1 : end;
	while (out->n > 0 && isspace((unsigned char)out->at[out->n - 1]))
		out->n--;
	return true;
}

static bool is_ruler(struct line l)
{
	if (l.n < 3 || strchr("=-*~_#+", l.at[0]) == NULL)
		return false;
	for (size_t i = 1; i < l.n; i++) {
		if (l.at[i] != l.at[0])
			return false;
	}
	return true;
}

static void set_title(struct buf *title, const char *s, size_t n)
{
	while (n > 0 && strchr(" \t#*=-", *s)) {
		s++;
		n--;
	}
	if (title->len > 0 || n == 0)
		return;
	if (n > 100) {
		n = 100;
		while (n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80)
			n--;
	}
	buf_put(title, s, n);
}

static void plain_text(const char *s, size_t n, bool markdown, struct buf *text, struct buf *title)
{
	const char *at = s, *end = s + n;
	bool fenced = false;
	struct line l;

	while (next_line(&at, end, &l)) {
		if (markdown && l.n >= 3 && strncmp(l.at, "```", 3) == 0) {
			fenced = !fenced;
			continue;
		}
		if (is_ruler(l))
			continue;
		if (markdown && !fenced && l.n > 1 && l.at[0] == '#') {
			size_t level = markup_span(l.at, l.at + l.n, "#");

			buf_put(text, "\n\n\x01", 3);
			while (level < l.n && l.at[level] == ' ')
				level++;
			buf_put(text, l.at + level, l.n - level);
			buf_put(text, "\n\n", 2);
			set_title(title, l.at, l.n);
			continue;
		}
		if (!markdown || title->len == 0)
			set_title(title, l.at, l.n);
		buf_put(text, l.at, l.n);
		buf_put_u8(text, '\n');
	}
}

/* ---- HTML ------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	unsigned code;
} entities[] = {{"amp", '&'},     {"lt", '<'},      {"gt", '>'},        {"quot", '"'},
		{"apos", '\''},   {"nbsp", ' '},    {"copy", 0xA9},     {"reg", 0xAE},
		{"mdash", '-'},   {"ndash", '-'},   {"hellip", 0x2026}, {"rarr", 0x2192},
		{"larr", 0x2190}, {"lsquo", '\''},  {"rsquo", '\''},    {"ldquo", '"'},
		{"rdquo", '"'},   {"middot", 0xB7}, {"times", 0xD7},    {"sect", 0xA7},
		{"auml", 0xE4},   {"ouml", 0xF6},   {"uuml", 0xFC},     {"szlig", 0xDF},
		{"eacute", 0xE9}, {"para", 0xB6}};

/* An entity at s (after the &) into out; bytes used, 0 when it is none. */
static size_t put_entity(const char *s, const char *end, struct buf *out)
{
	size_t n = 0;

	while (s + n < end && n < 12 && s[n] != ';' && !isspace((unsigned char)s[n]) && s[n] != '<')
		n++;
	if (s + n >= end || s[n] != ';' || n == 0)
		return 0;
	if (s[0] == '#') {
		bool hex = n > 1 && (s[1] == 'x' || s[1] == 'X');
		char *stop;
		unsigned long code = strtoul(s + 1 + hex, &stop, hex ? 16 : 10);

		if (stop != s + n)
			return 0;
		markup_put_utf8(out, code == 0xA0 ? ' ' : code);
		return n + 1;
	}
	for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
		if (strlen(entities[i].name) == n && strncmp(entities[i].name, s, n) == 0) {
			markup_put_utf8(out, entities[i].code);
			return n + 1;
		}
	}
	return 0;
}

static bool tag_is(const char *tag, size_t n, const char *list)
{
	while (n > 0 && (*tag == '/')) {
		tag++;
		n--;
	}
	size_t length = 0;
	while (length < n && isalnum((unsigned char)tag[length]))
		length++;
	return length > 0 && in_list(list, tag, length);
}

struct html {
	struct buf *text, *title;
	bool in_title, preformatted;
};

static void close_title(struct html *h)
{
	h->in_title = false;
	while (h->title->len > 0 && isspace(h->title->data[h->title->len - 1]))
		h->title->len--;
}

/* What a tag means for the text; the tag is without its angle brackets. */
static void take_tag(struct html *h, const char *tag, size_t n)
{
	if (tag_is(tag, n, "title")) {
		if (tag[0] == '/')
			close_title(h);
		else
			h->in_title = h->title->len == 0;
	} else if (tag_is(tag, n, "h1,h2,h3,h4,h5,h6")) {
		buf_put(h->text, tag[0] == '/' ? "\n\n" : "\n\n\x01", tag[0] == '/' ? 2 : 3);
	} else if (tag_is(tag, n, "pre")) {
		h->preformatted = tag[0] != '/';
		buf_put(h->text, "\n\n", 2);
	} else if (tag_is(tag, n, "p,div,table,ul,ol,dl,section,article,blockquote,body,hr")) {
		buf_put(h->text, "\n\n", 2);
	} else if (tag_is(tag, n, "br,li,dt,dd,tr")) {
		buf_put(h->text, "\n", 1);
	} else if (tag_is(tag, n, "td,th")) {
		buf_put(h->text, " ", 1);
	}
}

/* Past a comment, or past script, style and head's other contents; NULL: nothing to pass over. */
static const char *skip_element(const char *at, const char *end, const char *tag, size_t n)
{
	const char *close = NULL;

	if (n >= 3 && strncmp(tag, "!--", 3) == 0)
		close = "-->";
	else if (tag[0] != '/' && tag_is(tag, n, "script"))
		close = "</script";
	else if (tag[0] != '/' && tag_is(tag, n, "style"))
		close = "</style";
	else if (tag[0] != '/' && tag_is(tag, n, "svg"))
		close = "</svg";
	else
		return NULL;
	size_t length = strlen(close);
	for (at = close[0] == '-' ? tag : at; at + length <= end; at++) {
		if (strncasecmp(at, close, length) == 0) {
			at = memchr(at, '>', (size_t)(end - at));
			return at ? at + 1 : end;
		}
	}
	return end;
}

static void html_character(struct html *h, const char **at, const char *end)
{
	struct buf *out = h->in_title ? h->title : h->text;
	size_t used = **at == '&' ? put_entity(*at + 1, end, out) : 0;

	if (used > 0) {
		*at += 1 + used;
		return;
	}
	if (isspace((unsigned char)**at) && !(h->preformatted && !h->in_title)) {
		if (out->len > 0 && !isspace(out->data[out->len - 1]) &&
		    out->data[out->len - 1] != MARKUP_HEADING)
			buf_put_u8(out, ' ');
	} else {
		buf_put_u8(out, (uint8_t) * *at);
	}
	(*at)++;
}

static void html_text(const char *s, size_t n, struct buf *text, struct buf *title)
{
	struct html h = {.text = text, .title = title};
	const char *at = s, *end = s + n;

	while (at < end) {
		const char *stop = *at == '<' ? memchr(at, '>', (size_t)(end - at)) : NULL;

		if (stop != NULL && (isalpha((unsigned char)at[1]) || at[1] == '/' ||
				     at[1] == '!' || at[1] == '?')) {
			const char *tag = at + 1;
			const char *past = skip_element(stop, end, tag, (size_t)(stop - tag));

			take_tag(&h, tag, (size_t)(stop - tag));
			at = past ? past : stop + 1;
		} else {
			html_character(&h, &at, end);
		}
	}
}

void markup_to_text(enum markup kind, const char *bytes, size_t n, struct buf *text,
		    struct buf *title)
{
	struct buf clean = BUF_INIT;

	to_utf8((const unsigned char *)bytes, n, &clean);
	buf_put_u8(&clean, 0);
	n = clean.len - 1;
	switch (kind) {
	case MARKUP_HTML: html_text((const char *)clean.data, n, text, title); break;
	case MARKUP_MAN: markup_man((const char *)clean.data, n, text, title); break;
	case MARKUP_TEXT:
	case MARKUP_MARKDOWN:
		plain_text((const char *)clean.data, n, kind == MARKUP_MARKDOWN, text, title);
		break;
	}
	buf_fini(&clean);
	buf_put_u8(text, 0);
	text->len--;
	buf_put_u8(title, 0);
	title->len--;
}
