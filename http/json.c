/* The JSON reader: one pass over the text, no recursion, everything into the arena of the request.
 *
 * Strings are looked at eight bytes at a time and copied once; arrays of numbers are taken over
 * by json_scan_floats(). What the tape looks like stands in json_internal.h.
 *
 * Why not yyjson, which quiver uses for single numbers: it makes a value of 16 bytes of every number of
 * a vector, to be converted again, and cutting the vectors out of the text beforehand would be a
 * second pass with a second notion of where strings end. The tests hold the two against each other.
 */
#include "http/json_internal.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct open_value {
	size_t cell;
	size_t count;
	bool object;
};

struct parser {
	const uint8_t *text, *end, *at;
	struct arena *arena;
	struct error *err;
	struct json *tape;
	size_t n_cells, cap_cells;
	struct json_float_room floats;
	char *chars, *chars_end; /* room for strings */
	struct open_value open[LIMIT_JSON_DEPTH];
	size_t depth;
	uint32_t *slots; /* keys of one large object, by hash */
	size_t n_slots;
};

/* ---- errors ---- */

static void describe(const struct parser *p, const uint8_t *at, char out[32])
{
	if (at >= p->end)
		snprintf(out, 32, "the end of the text");
	else if (*at > 0x20 && *at < 0x7f)
		snprintf(out, 32, "'%c'", *at);
	else
		snprintf(out, 32, "byte 0x%02x", *at);
}

/* Lines and columns count from 1, columns in bytes. */
static int fail_text(struct parser *p, const uint8_t *at, const char *what)
{
	size_t line = 1, column = 1;

	for (const uint8_t *c = p->text; c < at; c++) {
		column++;
		if (*c == '\n') {
			line++;
			column = 1;
		}
	}
	return error_set(p->err, ERR_FORMAT, "%s at line %zu column %zu", what, line, column);
}

static int fail_expected(struct parser *p, const uint8_t *at, const char *expected)
{
	char found[32], what[128];

	describe(p, at, found);
	snprintf(what, sizeof(what), "expected %s, found %s", expected, found);
	return fail_text(p, at, what);
}

/* ---- memory ---- */

static void more_cells(struct parser *p)
{
	size_t cap = p->cap_cells * 2;
	struct json *tape = arena_alloc(p->arena, cap * sizeof(*tape));

	memcpy(tape, p->tape, p->n_cells * sizeof(*tape));
	p->tape = tape;
	p->cap_cells = cap;
}

/* Room for two cells at least; the pointer is valid until the next call. */
static inline struct json *new_cell(struct parser *p)
{
	if (p->n_cells + 2 > p->cap_cells)
		more_cells(p);
	return &p->tape[p->n_cells++];
}

/* A guess that wastes little on vectors and spares the rest some copying. */
static void first_cells(struct parser *p)
{
	size_t cap = (size_t)(p->end - p->text) / 16;

	p->cap_cells = cap < 32 ? 32 : cap > 262144 ? 262144 : cap;
	p->tape = arena_alloc(p->arena, p->cap_cells * sizeof(*p->tape));
}

enum { SHORT_STRING = 16, CHARS_MIN = 1024, CHARS_MAX = 16384 };

/* Strings follow each other without gaps; one that is long gets a place of its own. Behind what is
 * returned SHORT_STRING bytes may be written. */
static inline char *new_chars(struct parser *p, size_t n)
{
	char *out;

	if (n + SHORT_STRING > (size_t)(p->chars_end - p->chars)) {
		size_t room = (size_t)(p->end - p->text) + 2 * SHORT_STRING;

		if (n > CHARS_MIN - 2 * SHORT_STRING)
			return arena_alloc(p->arena, n + SHORT_STRING);
		room = room < CHARS_MIN ? CHARS_MIN : room > CHARS_MAX ? CHARS_MAX : room;
		p->chars = arena_alloc(p->arena, room);
		p->chars_end = p->chars + room;
	}
	out = p->chars;
	p->chars += n;
	return out;
}

/* ---- strings ---- */

const uint8_t *json_utf8_check(const uint8_t *at, const uint8_t *end)
{
	while (at < end) {
		uint8_t c = *at, low = 0x80, high = 0xbf;
		int more;

		if (end - at >= 8 && (load_u64(at) & 0x8080808080808080) == 0) {
			at += 8;
			continue;
		}
		if (c < 0x80) {
			at++;
			continue;
		}
		if (c < 0xc2 || c > 0xf4)
			return at;
		more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		/* Neither forms that are longer than needed, nor surrogates, nor above U+10FFFF. */
		if (c == 0xe0)
			low = 0xa0;
		else if (c == 0xed)
			high = 0x9f;
		else if (c == 0xf0)
			low = 0x90;
		else if (c == 0xf4)
			high = 0x8f;
		if (end - at <= more || at[1] < low || at[1] > high)
			return at;
		for (int i = 2; i <= more; i++)
			if ((at[i] & 0xc0) != 0x80)
				return at;
		at += more + 1;
	}
	return at;
}

static bool scan_hex(const uint8_t *at, const uint8_t *end, uint32_t *out)
{
	if (end - at < 4)
		return false;
	*out = 0;
	for (int i = 0; i < 4; i++) {
		uint8_t c = at[i];

		if (c >= '0' && c <= '9')
			c = (uint8_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			c = (uint8_t)((c | 0x20) - 'a' + 10);
		else
			return false;
		*out = *out << 4 | c;
	}
	return true;
}

static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* One \u escape, or two that make one character. `at` is behind the u; NULL when malformed. */
static const uint8_t *unescape_unicode(const uint8_t *at, const uint8_t *end, char **to)
{
	uint32_t c, low;

	if (!scan_hex(at, end, &c))
		return NULL;
	at += 4;
	if (c >= 0xdc00 && c <= 0xdfff)
		return NULL;
	if (c >= 0xd800 && c <= 0xdbff) {
		if (end - at < 6 || at[0] != '\\' || at[1] != 'u' || !scan_hex(at + 2, end, &low) ||
		    low < 0xdc00 || low > 0xdfff)
			return NULL;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		at += 6;
	}
	*to = put_utf8(*to, c);
	return at;
}

/* Copies at..end (which has no quote that counts) without its escapes; *n: the bytes written. */
static int unescape(struct parser *p, const uint8_t *at, const uint8_t *end, char *out, size_t *n)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	char *to = out;

	while (at < end) {
		const uint8_t *slash = memchr(at, '\\', (size_t)(end - at)), *after;
		const char *known;
		size_t run = (size_t)((slash ? slash : end) - at);

		memcpy(to, at, run);
		to += run;
		if (!slash)
			break;
		if (slash[1] == 'u') {
			after = unescape_unicode(slash + 2, end, &to);
			if (!after)
				return fail_text(p, slash, "a \\u escape is no character");
			at = after;
			continue;
		}
		known = slash[1] ? strchr(from, slash[1]) : NULL;
		if (!known)
			return fail_text(p, slash, "unknown escape in a string");
		*to++ = into[known - from];
		at = slash + 2;
	}
	*n = (size_t)(to - out);
	return 0;
}

/* Where the string that begins at `at` (behind the quote) ends: its closing quote, or the first
 * byte that may not stand in a string, or the end of the text. */
static const uint8_t *string_end(const struct parser *p, const uint8_t *at, bool *escaped,
				 bool *plain_ascii)
{
	const uint64_t ones = 0x0101010101010101, high = 0x8080808080808080;
	uint64_t seen = 0;

	*escaped = false;
	while (at < p->end) {
		if (p->end - at >= 8) {
			uint64_t word = load_u64(at), quote = word ^ ones * '"';
			uint64_t slash = word ^ ones * '\\';
			uint64_t stop = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) |
					((word - ones * 0x20) & ~word);

			stop &= high;
			if (!stop) {
				seen |= word;
				at += 8;
				continue;
			}
			/* The bytes before the one that stops. */
			stop = (stop & (0 - stop)) >> 7;
			seen |= word & (stop - 1);
			at += __builtin_ctzll(stop) >> 3;
		}
		if (*at == '"' || *at < 0x20)
			break;
		seen |= *at;
		if (*at++ == '\\') {
			*escaped = true;
			/* Whatever is escaped does not end the string; unescape() judges it. */
			if (at < p->end && *at >= 0x20)
				seen |= *at++;
		}
	}
	*plain_ascii = (seen & high) == 0;
	return at;
}

/* A string or key, p->at behind its opening quote; fills the cell's tag and s. */
static int parse_string(struct parser *p, int type, struct json *out)
{
	const uint8_t *from = p->at, *bad, *end;
	bool escaped, plain_ascii;
	char *chars;
	size_t n;
	int rc;

	end = string_end(p, from, &escaped, &plain_ascii);
	if (end >= p->end)
		return fail_text(p, end, "the text ends inside a string");
	if (*end != '"')
		return fail_text(p, end, "a control character stands in a string unescaped");
	if (!plain_ascii) {
		bad = json_utf8_check(from, end);
		if (bad < end)
			return fail_text(p, bad, "a string is not valid UTF-8");
	}
	n = (size_t)(end - from);
	chars = new_chars(p, n + 1);
	if (escaped) {
		rc = unescape(p, from, end, chars, &n);
		if (rc)
			return rc;
	} else if (n <= SHORT_STRING && p->end - from >= SHORT_STRING) {
		/* Of fixed length, so that it is two instructions. */
		memcpy(chars, from, SHORT_STRING);
	} else {
		memcpy(chars, from, n);
	}
	chars[n] = 0;
	p->at = end + 1;
	*out = (struct json){.tag = json_tag(type, n), .s = chars};
	return 0;
}

/* ---- objects with the same key twice ---- */

static bool same_key(const struct json *a, const struct json *b)
{
	return (a->tag | 0xff) == (b->tag | 0xff) && memcmp(a->s, b->s, json_tag_count(a)) == 0;
}

static void kill_key(struct json *key, struct json *head)
{
	key->tag = json_tag(JSON_CELL_DEAD_KEY, json_tag_count(key));
	head->tag -= json_tag(0, 1);
}

/* A table of the keys, so that an object of a million entries costs no more than its text. The table is
 * seeded with an address: whoever sends the keys cannot aim at one slot. */
static void kill_duplicates_hashed(struct parser *p, struct json *head, size_t n)
{
	size_t size = 64, at = 1, end = (size_t)head->cells;

	while (size < n * 2)
		size *= 2;
	if (size > p->n_slots) {
		free(p->slots);
		p->slots = mem_array(size, sizeof(*p->slots));
		p->n_slots = size;
	}
	memset(p->slots, 0, size * sizeof(*p->slots));
	while (at < end) {
		struct json *key = head + at;
		size_t slot =
			hash64_seed(key->s, json_tag_count(key), (uint64_t)(uintptr_t)p->slots);

		for (slot &= size - 1; p->slots[slot]; slot = (slot + 1) & (size - 1)) {
			struct json *other = head + p->slots[slot];

			if (same_key(key, other)) {
				kill_key(other, head);
				break;
			}
		}
		p->slots[slot] = (uint32_t)at;
		at += 1 + json_cells(key + 1);
	}
}

static void kill_duplicates(struct parser *p, struct json *head, size_t n)
{
	struct json *keys[16];
	size_t at = 1;

	if (n > 16) {
		kill_duplicates_hashed(p, head, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		keys[i] = head + at;
		at += 1 + json_cells(keys[i] + 1);
		for (size_t j = 0; j < i; j++)
			if (json_cell_type(keys[j]) == JSON_CELL_KEY && same_key(keys[i], keys[j]))
				kill_key(keys[j], head);
	}
}

/* ---- values ---- */

static void skip_space(struct parser *p)
{
	while (p->at < p->end &&
	       (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
		p->at++;
}

static bool take(struct parser *p, char c)
{
	if (p->at >= p->end || *p->at != c)
		return false;
	p->at++;
	return true;
}

static int parse_literal(struct parser *p, const char *word, struct json value)
{
	size_t n = strlen(word);

	if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0)
		return fail_expected(p, p->at, "a value (null, true, false or a quoted string)");
	p->at += n;
	*new_cell(p) = value;
	return 0;
}

/* A small integer that is not negative, the usual number outside of vectors. */
static bool parse_small_number(struct parser *p)
{
	const uint8_t *at = p->at, *last = p->end - at > 16 ? at + 16 : p->end;
	int64_t value = 0;

	while (at < last && (uint8_t)(*at - '0') < 10)
		value = value * 10 + (*at++ - '0');
	/* A point, an exponent, more digits, or a zero in front: for the others to look at. */
	if (at == last || *at == '.' || (*at | 0x20) == 'e' || (*p->at == '0' && at - p->at > 1))
		return false;
	p->at = at;
	*new_cell(p) = (struct json){.tag = json_tag(JSON_INT, 0), .i = value};
	return true;
}

static int parse_number(struct parser *p)
{
	struct json_number number;
	const uint8_t *bad = json_scan_number(p->at, p->end, &number);
	struct json cell;
	size_t n;
	char *raw;

	if (bad && bad < p->end && bad > p->at && *bad >= '0' && *bad <= '9')
		return fail_text(p, bad, "a number begins with a zero");
	if (bad)
		return fail_expected(p, bad, "a digit");
	cell = json_number_cell(&number);
	if (json_cell_type(&cell) == JSON_RAW) {
		n = (size_t)(number.end - number.begin);
		raw = new_chars(p, n + 1);
		memcpy(raw, number.begin, n);
		raw[n] = 0;
		cell = (struct json){.tag = json_tag(JSON_RAW, n), .s = raw};
	}
	p->at = number.end;
	*new_cell(p) = cell;
	return 0;
}

static bool parse_floats(struct parser *p)
{
	const float *floats;
	struct json *cells;
	size_t n;
	const uint8_t *after = json_scan_floats(p->at, p->end, &p->floats, &floats, &n);

	if (!after)
		return false;
	cells = new_cell(p);
	p->n_cells++;
	cells[0] = (struct json){.tag = json_tag(JSON_FLOATS, n), .floats = floats};
	cells[1] = (struct json){.tag = json_tag(JSON_CELL_TEXT, 0), .text = p->at};
	p->at = after;
	return true;
}

/* An array or object begins; p->at is behind its bracket. */
static int open_value(struct parser *p, bool object)
{
	if (p->depth == LIMIT_JSON_DEPTH) {
		char what[64];

		snprintf(what, sizeof(what), "more than %d levels of nesting", LIMIT_JSON_DEPTH);
		return fail_text(p, p->at - 1, what);
	}
	if (!object && parse_floats(p))
		return 0;
	p->open[p->depth++] = (struct open_value){p->n_cells, 0, object};
	*new_cell(p) = (struct json){.tag = json_tag(object ? JSON_OBJECT : JSON_ARRAY, 0)};
	return 0;
}

static void close_value(struct parser *p)
{
	struct open_value *top = &p->open[--p->depth];
	struct json *head = &p->tape[top->cell];

	head->cells = p->n_cells - top->cell;
	head->tag = json_tag(json_cell_type(head), top->count);
	if (top->object && top->count > 1)
		kill_duplicates(p, head, top->count);
}

/* One value, or the opening of one: then p->depth has grown. */
static int parse_value(struct parser *p)
{
	uint8_t c = p->at < p->end ? *p->at : 0;
	struct json cell;
	int rc;

	switch (c) {
	case '"':
		p->at++;
		rc = parse_string(p, JSON_STRING, &cell);
		if (rc == 0)
			*new_cell(p) = cell;
		return rc;
	case '[': p->at++; return open_value(p, false);
	case '{': p->at++; return open_value(p, true);
	case 'n': return parse_literal(p, "null", (struct json){.tag = json_tag(JSON_NULL, 0)});
	case 't':
		return parse_literal(p, "true",
				     (struct json){.tag = json_tag(JSON_BOOL, 0), .b = true});
	case 'f':
		return parse_literal(p, "false",
				     (struct json){.tag = json_tag(JSON_BOOL, 0), .b = false});
	default:
		if (c >= '0' && c <= '9')
			return parse_small_number(p) ? 0 : parse_number(p);
		if (c == '-')
			return parse_number(p);
		if (p->depth == 0 && p->at >= p->end)
			return fail_text(p, p->at, "the text is empty");
		return fail_expected(p, p->at, "a value");
	}
}

static int parse_key(struct parser *p)
{
	struct json cell;
	int rc;

	if (!take(p, '"'))
		return fail_expected(p, p->at, "a key in double quotes");
	rc = parse_string(p, JSON_CELL_KEY, &cell);
	if (rc)
		return rc;
	*new_cell(p) = cell;
	skip_space(p);
	if (!take(p, ':'))
		return fail_expected(p, p->at, "':' after the key");
	skip_space(p);
	return 0;
}

/* Whether a value that was just opened has anything in it; closes it if not. */
static bool is_empty(struct parser *p)
{
	skip_space(p);
	if (!take(p, p->open[p->depth - 1].object ? '}' : ']'))
		return false;
	close_value(p);
	return true;
}

/* After a value: closes what ends here. Returns 1 when another element follows. */
static int after_value(struct parser *p)
{
	while (p->depth > 0) {
		struct open_value *top = &p->open[p->depth - 1];

		top->count++;
		skip_space(p);
		if (take(p, ',')) {
			skip_space(p);
			return 1;
		}
		if (!take(p, top->object ? '}' : ']'))
			return fail_expected(p, p->at, top->object ? "',' or '}'" : "',' or ']'");
		close_value(p);
	}
	skip_space(p);
	if (p->at < p->end)
		return fail_expected(p, p->at, "the end of the text after the value");
	return 0;
}

static int parse_document(struct parser *p)
{
	int rc = 1;

	skip_space(p);
	while (rc == 1) {
		size_t depth = p->depth;

		if (depth > 0 && p->open[depth - 1].object) {
			rc = parse_key(p);
			if (rc)
				return rc;
		}
		rc = parse_value(p);
		if (rc)
			return rc;
		if (p->depth > depth && !is_empty(p)) {
			rc = 1;
			continue;
		}
		rc = after_value(p);
	}
	return rc;
}

int json_parse(const uint8_t *text, size_t n, struct arena *arena, const struct json **out,
	       struct error *err)
{
	struct parser p = {.text = text, .end = text + n, .at = text, .arena = arena, .err = err};
	int rc;

	/* The places of keys are kept in 32 bits. */
	if (n >= UINT32_MAX)
		return error_set(err, ERR_TOO_LARGE, "a JSON text of %zu bytes is too long", n);
	p.floats.arena = arena;
	first_cells(&p);
	rc = parse_document(&p);
	free(p.slots);
	if (rc)
		return rc;
	*out = p.tape;
	return 0;
}
