/* Manual pages: troff with the man(7) or mdoc(7) macros, reduced to text. Requests are dropped, macros
 * that carry words give their words, \f \s and the like vanish, escapes for characters become the
 * character. Tables (tbl) lose their layout lines. */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/markup.h"

struct man {
	struct buf *text, *title;
	struct buf name; /* printf(3), from .TH or .Dt */
	bool in_name;    /* within the section NAME: its text is the title */
	bool table;      /* within .TS .. the line that ends with a period: layout */
	bool ignored;    /* within .de or .ig */
	bool mdoc_name_set;
	char mdoc_name[64];
};

static const struct {
	char name[4];
	const char *text;
} glyphs[] = {{"aq", "'"},        {"cq", "'"},   {"oq", "'"},   {"dq", "\""},   {"lq", "\""},
	      {"rq", "\""},       {"em", "-"},   {"en", "-"},   {"hy", "-"},    {"mi", "-"},
	      {"bu", "*"},        {"co", "(c)"}, {"rg", "(r)"}, {"tm", "(tm)"}, {"ga", "`"},
	      {"ha", "^"},        {"ti", "~"},   {"rs", "\\"},  {"->", "->"},   {"<-", "<-"},
	      {"mu", "x"},        {"<=", "<="},  {">=", ">="},  {"!=", "!="},   {"pl", "+"},
	      {"eq", "="},        {"de", "deg"}, {"sq", "'"},   {"at", "@"},    {"sh", "#"},
	      {"bv", "|"},        {"or", "|"},   {"la", "<"},   {"ra", ">"},    {"Bq", "\""},
	      {"sl", "/"},        {"fm", "'"},   {"+-", "+-"},  {"12", "1/2"},  {"lB", "["},
	      {"rB", "]"},        {"lC", "{"},   {"rC", "}"},   {"dg", "+"},    {"==", "=="},
	      {"if", "infinity"}, {"us", "_"},   {"ul", "_"}};

static void put_glyph(struct buf *out, const char *name, size_t n)
{
	if (n > 1 && name[0] == 'u' && isxdigit((unsigned char)name[1])) {
		markup_put_utf8(out, strtoul(name + 1, NULL, 16));
		return;
	}
	for (size_t i = 0; i < sizeof(glyphs) / sizeof(glyphs[0]); i++) {
		if (strlen(glyphs[i].name) == n && strncmp(glyphs[i].name, name, n) == 0) {
			buf_put(out, glyphs[i].text, strlen(glyphs[i].text));
			return;
		}
	}
	if (n == 2 && strchr("'`^~:,", name[0]) != NULL && isalpha((unsigned char)name[1]))
		buf_put_u8(out, (uint8_t)name[1]); /* an accented letter, without its accent */
}

/* Length of a name behind an escape: x, (xx or [xxx]. *from is where the name begins. */
static size_t escape_name(const char *s, size_t n, size_t *from, size_t *used)
{
	*from = 0;
	*used = 0;
	if (n == 0)
		return 0;
	if (s[0] == '(') {
		*from = 1;
		*used = n < 3 ? n : 3;
		return *used - 1;
	}
	if (s[0] == '[') {
		size_t i = 1;

		while (i < n && s[i] != ']')
			i++;
		*from = 1;
		*used = i < n ? i + 1 : i;
		return i - 1;
	}
	*used = 1;
	return 1;
}

/* Past a delimited argument, as in \h'2m' or \w'text'. */
static size_t skip_delimited(const char *s, size_t n)
{
	if (n == 0)
		return 0;
	const char *end = memchr(s + 1, s[0], n - 1);
	return end ? (size_t)(end - s) + 1 : n;
}

/* One escape at s (after the backslash); returns the bytes used. */
static size_t put_escape(struct buf *out, const char *s, size_t n)
{
	size_t from, used, length;

	if (n == 0)
		return 0;
	switch (s[0]) {
	case 'f':
	case 'F':
	case 'm':
	case 'M':
	case 'n':
	case 'k':
	case 'Y':
	case '*':
		length = escape_name(s + 1, n - 1, &from, &used);
		if (s[0] == '*' && length == 1 && s[1 + from] == 'R')
			buf_put(out, "(r)", 3);
		return 1 + used;
	case 's': {
		size_t i = 1;

		if (i < n && (s[i] == '+' || s[i] == '-'))
			i++;
		if (i < n && (s[i] == '(' || s[i] == '[')) {
			escape_name(s + i, n - i, &from, &used);
			return i + used;
		}
		while (i < n && i < 4 && isdigit((unsigned char)s[i]))
			i++;
		return i;
	}
	case 'h':
	case 'v':
	case 'w':
	case 'o':
	case 'l':
	case 'L':
	case 'D':
	case 'X':
	case 'Z':
	case 'b':
	case 'H':
	case 'S':
	case 'N': return 1 + skip_delimited(s + 1, n - 1);
	case '(':
	case '[':
		length = escape_name(s, n, &from, &used);
		put_glyph(out, s + from, length);
		return used;
	case 'C':
		used = skip_delimited(s + 1, n - 1);
		if (used > 2)
			put_glyph(out, s + 2, used - 2);
		return 1 + used;
	case 'e':
	case 'E':
	case '\\': buf_put_u8(out, '\\'); return 1;
	case '-': buf_put_u8(out, '-'); return 1;
	case ' ':
	case '~':
	case '0':
	case 't': buf_put_u8(out, ' '); return 1;
	case '\'':
	case '`':
	case '.': buf_put_u8(out, (uint8_t)s[0]); return 1;
	case '"':
	case '#': return n; /* a comment up to the end of the line */
	default: return 1;  /* \& \| \^ \% \c \/ \, \: \) */
	}
}

static void put_text(struct buf *out, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		if (s[i] == '\\' && i + 1 <= n)
			i += 1 + put_escape(out, s + i + 1, n - i - 1);
		else
			buf_put_u8(out, (uint8_t)s[i++]);
	}
}

/* The next argument of a macro: a word, or a text in double quotes ("" is one quote). */
static bool next_argument(const char **at, const char *end, struct buf *out)
{
	buf_clear(out);
	while (*at < end && (**at == ' ' || **at == '\t'))
		(*at)++;
	if (*at >= end)
		return false;
	if (**at == '"') {
		for ((*at)++; *at < end; (*at)++) {
			if (**at == '"' && !(*at + 1 < end && (*at)[1] == '"'))
				break;
			(*at) += **at == '"';
			buf_put_u8(out, (uint8_t) * *at);
		}
		*at += *at < end;
		return true;
	}
	while (*at < end && **at != ' ' && **at != '\t') {
		if (**at == '\\' && *at + 1 < end)
			buf_put_u8(out, (uint8_t) * (*at)++);
		buf_put_u8(out, (uint8_t) * (*at)++);
	}
	return true;
}

/* The words of a macro line; `joined`: without blanks between them, as in .BR ls (1). */
static void put_arguments(struct man *m, const char *s, size_t n, bool joined)
{
	struct buf argument = BUF_INIT;
	const char *end = s + n;
	bool first = true;

	while (next_argument(&s, end, &argument)) {
		if (!first && !joined)
			buf_put_u8(m->text, ' ');
		put_text(m->text, (const char *)argument.data, argument.len);
		first = false;
	}
	buf_fini(&argument);
}

static bool is_one_of(const char *name, const char *list)
{
	size_t n = strlen(name);

	if (n == 0)
		return false;
	for (const char *at = list; (at = strstr(at, name)) != NULL; at += n) {
		if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == 0))
			return true;
	}
	return false;
}

/* .TH name section / .Dt NAME section: "name(section)" */
static void take_heading(struct man *m, const char *s, size_t n, bool lower)
{
	struct buf argument = BUF_INIT;
	const char *end = s + n;

	buf_clear(&m->name);
	if (next_argument(&s, end, &argument)) {
		size_t start = m->name.len;

		put_text(&m->name, (const char *)argument.data, argument.len);
		bool shouted = true;
		for (size_t i = start; i < m->name.len; i++)
			shouted = shouted && !islower(m->name.data[i]);
		for (size_t i = start; (lower || shouted) && i < m->name.len; i++)
			m->name.data[i] = (uint8_t)tolower(m->name.data[i]);
		if (next_argument(&s, end, &argument)) {
			buf_put_u8(&m->name, '(');
			put_text(&m->name, (const char *)argument.data, argument.len);
			buf_put_u8(&m->name, ')');
		}
	}
	buf_fini(&argument);
}

/* The dash between the names and what they do: one with white space on both sides. */
static const char *find_dash(const char *s, size_t n)
{
	for (size_t i = 1; i + 1 < n; i++) {
		if (s[i] == '-' && isspace((unsigned char)s[i - 1]) &&
		    isspace((unsigned char)s[i + 1]))
			return s + i - 1;
	}
	return NULL;
}

/* The section NAME has just ended: its text says what the page is about. */
static void close_name(struct man *m, size_t from)
{
	const char *s = (const char *)m->text->data + from;
	size_t n = m->text->len - from;
	const char *dash;

	m->in_name = false;
	if (m->title->len > 0)
		return;
	if (m->name.len > 0)
		buf_put(m->title, m->name.data, m->name.len);
	dash = find_dash(s, n);
	if (dash == NULL)
		return;
	n -= (size_t)(dash - s);
	for (size_t i = 0; i < n && m->title->len < 160; i++) {
		char c = dash[i] == '\n' ? ' ' : dash[i];

		if (c != ' ' || (m->title->len > 0 && m->title->data[m->title->len - 1] != ' '))
			buf_put_u8(m->title, (uint8_t)c);
	}
	while (m->title->len > 0 && isspace(m->title->data[m->title->len - 1]))
		m->title->len--;
}

static void begin_section(struct man *m, const char *s, size_t n)
{
	buf_put(m->text, "\n\n\x01", 3);
	size_t at = m->text->len;

	put_arguments(m, s, n, false);
	m->in_name = m->text->len - at == 4 && memcmp(m->text->data + at, "NAME", 4) == 0;
	buf_put(m->text, "\n\n", 2);
}

/* mdoc: the macros that put words, their punctuation and quotes aside. */
static void mdoc_words(struct man *m, const char *macro, const char *s, size_t n)
{
	static const char *callable =
		"Ar Fl Op Pa Nm Cm Ic Li Em Sy Dv Ev Er Va Vt Fa Fn Xr Ql Dq Sq Pq "
		"Bq Oo Oc Ns No Ad An Cd Qq Aq Brq Tn Ux St Lk Mt Ft Sx Ao Ac Po "
		"Pc So Sc Do Dc Xo Xc Ta Ap Nd Ms Bx";
	struct buf argument = BUF_INIT;
	const char *end = s + n;
	bool flag = strcmp(macro, "Fl") == 0, space = true, reference = strcmp(macro, "Xr") == 0;
	bool words = false;

	if (strcmp(macro, "Nd") == 0)
		buf_put(m->text, " - ", 3);
	while (next_argument(&s, end, &argument)) {
		buf_put_u8(&argument, 0);
		const char *word = (const char *)argument.data;

		if (is_one_of(word, callable)) {
			flag = strcmp(word, "Fl") == 0;
			reference = strcmp(word, "Xr") == 0;
			space = strcmp(word, "Ns") != 0 && strcmp(word, "Ap") != 0;
			continue;
		}
		bool section = reference && words && isdigit((unsigned char)word[0]);
		if (words && space && !section && strchr(".,;:)]", word[0]) == NULL)
			buf_put_u8(m->text, ' ');
		if (flag)
			buf_put_u8(m->text, '-');
		if (section)
			buf_put_u8(m->text, '(');
		put_text(m->text, word, argument.len - 1);
		if (section)
			buf_put_u8(m->text, ')');
		if (strcmp(macro, "Nm") == 0 && !m->mdoc_name_set &&
		    argument.len <= sizeof(m->mdoc_name)) {
			memcpy(m->mdoc_name, word, argument.len);
			m->mdoc_name_set = true;
		}
		words = true;
		space = true;
		flag = false;
	}
	if (!words && strcmp(macro, "Nm") == 0)
		buf_put(m->text, m->mdoc_name, strlen(m->mdoc_name));
	buf_put_u8(m->text, '\n');
	buf_fini(&argument);
}

/* A line that begins with a period. */
static void take_macro(struct man *m, const char *s, size_t n)
{
	char macro[8] = {0};
	size_t length = 0;

	while (n > 0 && (*s == ' ' || *s == '\t')) {
		s++;
		n--;
	}
	while (length < n && length < sizeof(macro) - 1 && !isspace((unsigned char)s[length])) {
		macro[length] = s[length];
		length++;
	}
	s += length;
	n -= length;
	if (is_one_of(macro, "SH Sh SS Ss")) {
		begin_section(m, s, n);
	} else if (is_one_of(macro, "TH")) {
		take_heading(m, s, n, false);
	} else if (is_one_of(macro, "Dt")) {
		take_heading(m, s, n, true);
	} else if (is_one_of(macro, "PP P LP Pp IP TP TQ HP sp It Bl El nf fi EX EE Bd Ed RS RE")) {
		buf_put(m->text, "\n\n", is_one_of(macro, "TQ nf fi RS RE") ? 1 : 2);
		if (strcmp(macro, "IP") == 0) {
			struct buf argument = BUF_INIT;

			if (next_argument(&(const char *){s}, s + n, &argument))
				put_text(m->text, (const char *)argument.data, argument.len);
			buf_put_u8(m->text, '\n');
			buf_fini(&argument);
		} else if (strcmp(macro, "It") == 0) {
			mdoc_words(m, macro, s, n);
		}
	} else if (is_one_of(macro, "B I SM SB R")) {
		put_arguments(m, s, n, false);
		buf_put_u8(m->text, '\n');
	} else if (is_one_of(macro, "BR RB BI IB IR RI OP UR MT")) {
		put_arguments(m, s, n, true);
		buf_put_u8(m->text, '\n');
	} else if (is_one_of(macro, "SY")) {
		put_arguments(m, s, n, false);
	} else if (strcmp(macro, "TS") == 0) {
		m->table = true;
	} else if (is_one_of(macro, "de ig de1 am")) {
		m->ignored = true;
	} else if (is_one_of(macro,
			     "Nm Nd Fl Ar Op Pa Cm Ic Li Em Sy Dv Ev Er Va Vt Fa Fn Xr Ql Dq Sq "
			     "Pq Bq No An Cd Qq Aq D1 Dl Ft Fo Sx Tn Bx St Lk Mt")) {
		mdoc_words(m, macro, s, n);
	}
	/* Everything else is a request to the typesetter. */
}

void markup_man(const char *bytes, size_t n, struct buf *text, struct buf *title)
{
	struct man m = {.text = text, .title = title};
	const char *at = bytes, *end = bytes + n;
	size_t name_from = 0;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t length = (size_t)((stop ? stop : end) - at);
		bool was_in_name = m.in_name;

		if (m.ignored) {
			m.ignored = !(length >= 2 && at[0] == '.' && at[1] == '.');
		} else if (m.table && length > 0 && at[0] != '.') {
			m.table = at[length - 1] != '.'; /* the layout ends with a period */
		} else if (length > 0 && (at[0] == '.' || at[0] == '\'')) {
			const char *word = at + 1 + markup_span(at + 1, at + length, " \t");
			bool two = word + 2 <= at + length;

			if (m.in_name && two &&
			    (strncmp(word, "SH", 2) == 0 || strncmp(word, "Sh", 2) == 0))
				close_name(&m, name_from);
			m.table = m.table && !(two && strncmp(word, "TE", 2) == 0);
			take_macro(&m, at + 1, length - 1);
		} else if (length == 0) {
			buf_put(text, "\n", 1);
		} else {
			put_text(text, at, length);
			buf_put_u8(text, '\n');
		}
		if (m.in_name && !was_in_name)
			name_from = text->len;
		at = stop ? stop + 1 : end;
	}
	if (m.in_name)
		close_name(&m, name_from);
	if (title->len == 0 && m.name.len > 0)
		buf_put(title, m.name.data, m.name.len);
	buf_fini(&m.name);
}
