/* What the files of the JSON reader share; nobody else includes this.
 *
 * A parsed document is a tape: cells of 16 bytes in document order, in one piece of the arena.
 *
 *   scalar    one cell
 *   string    one cell; the bytes lie apart, NUL-terminated
 *   array     head cell (how many elements, how many cells to skip), then the elements
 *   object    head cell, then per entry a key cell and the value; of two entries with the same key
 *             the earlier one has a dead key and is skipped by everybody
 *   floats    two cells: where the converted numbers lie, and where their text begins. The text
 *             gives the exact value back to those who ask for an element and not for floats.
 */
#pragma once
#include "http/json.h"

enum json_cell_type {
	/* 0 .. JSON_FLOATS are enum json_type */
	JSON_CELL_KEY = JSON_FLOATS + 1,
	JSON_CELL_DEAD_KEY,
	JSON_CELL_TEXT,
};

struct json {
	uint64_t tag; /* low byte: type; above: bytes of a string or key, elements, entries */
	union {
		bool b;
		int64_t i;
		uint64_t u;
		double d;
		const char *s;
		const float *floats;
		const uint8_t *text;
		uint64_t cells; /* array, object: the whole value, head included */
	};
};

static inline uint64_t json_tag(int type, size_t n)
{
	return (uint64_t)type | (uint64_t)n << 8;
}
static inline int json_cell_type(const struct json *v)
{
	return (int)(v->tag & 0xff);
}
static inline size_t json_tag_count(const struct json *v)
{
	return (size_t)(v->tag >> 8);
}
static inline size_t json_cells(const struct json *v)
{
	int type = json_cell_type(v);

	if (type == JSON_ARRAY || type == JSON_OBJECT)
		return (size_t)v->cells;
	return type == JSON_FLOATS ? 2 : 1;
}

/* ---- numbers (json_floats.c) ---- */

/* The parts of a number's text. */
struct json_number {
	const uint8_t *begin, *end; /* end: the first byte that does not belong to it */
	uint64_t digits;            /* the digits without the point; up to 20 when they fit */
	int64_t exponent;           /* value = digits * 10^exponent, when `exact` */
	bool negative;
	bool integer; /* neither point nor exponent */
	bool exact;   /* all digits are in `digits` */
};

/* Reads one number by the grammar of JSON; NULL, or the place of the first wrong byte. */
const uint8_t *json_scan_number(const uint8_t *at, const uint8_t *end, struct json_number *out);
/* Its value as a cell of type JSON_INT, JSON_UINT, JSON_DOUBLE, or JSON_RAW (then s is unset). */
struct json json_number_cell(const struct json_number *number);
/* Correctly rounded; infinite when it is too large. Any text that json_scan_number accepts. */
double json_text_double(const uint8_t *begin, const uint8_t *end);
float json_text_float(const uint8_t *begin, const uint8_t *end);

/* Memory for floats: whole arrays are carved from it. */
struct json_float_room {
	struct arena *arena;
	float *next; /* 64-byte aligned */
	float *end;
};

/* An array that is only numbers, each of which fits a float: reads it into the room, from behind
 * its '[' (spaces allowed) to behind its ']'. Returns where it ends, or NULL when it is another kind
 * of array or malformed (the general reader then finds out which). */
const uint8_t *json_scan_floats(const uint8_t *at, const uint8_t *end, struct json_float_room *room,
				const float **floats, size_t *n);

/* ---- text ---- */

/* The first byte that is not part of well-formed UTF-8, or `end`. */
const uint8_t *json_utf8_check(const uint8_t *at, const uint8_t *end);
