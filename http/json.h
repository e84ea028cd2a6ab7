/* JSON at the edge: a reader that keeps every number exact and takes vectors over as floats, and a
 * small writer.
 *
 * json_parse() reads the text once. An array that holds only numbers (a vector, a list of ids)
 * becomes JSON_FLOATS: its numbers are converted straight into aligned floats of the request's arena
 * (json_floats()), and their exact values are still to be had one by one. Depth is limited to
 * LIMIT_JSON_DEPTH; numbers keep u64 / i64 / raw fidelity; of entries with the same key the last
 * wins; invalid UTF-8, lone surrogates, NaN and Infinity are refused.
 */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"
#include "model/payload.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value of a parsed document; lives in the arena. */
struct json;

enum json_type {
	JSON_NULL,
	JSON_BOOL,
	JSON_INT,    /* an integer that fits i64 */
	JSON_UINT,   /* an integer above i64 that fits u64 */
	JSON_DOUBLE, /* written with a point or exponent; and -0 */
	JSON_RAW,    /* a number beyond u64, i64 or double: kept as its text */
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
	JSON_FLOATS, /* a non-empty array in which every element is a number that fits a float */
};

/* ERR_FORMAT with a text that says what was expected and ends "at line 1 column 17" (columns count
 * bytes). `text` needs no NUL and must stay while the values are used. */
int json_parse(const uint8_t *text, size_t n, struct arena *arena, const struct json **out,
	       struct error *err);

/* The generic accessors work on JSON_FLOATS as on JSON_ARRAY (elements appear as JSON_DOUBLE /
 * JSON_INT / JSON_UINT with their exact original values), so callers that expect a list of ids are
 * not surprised. */
enum json_type json_type(const struct json *v);
static inline bool json_is_array_type(enum json_type t)
{
	return t == JSON_ARRAY || t == JSON_FLOATS;
}
bool json_is_number(const struct json *v);
bool json_bool(const struct json *v);
int64_t json_int(const struct json *v);   /* JSON_INT */
uint64_t json_uint(const struct json *v); /* JSON_UINT, or JSON_INT >= 0 */
double json_double(const struct json *v); /* any number; JSON_RAW may be infinite */
const char *json_string(const struct json *v,
			size_t *n);      /* JSON_STRING, JSON_RAW; NUL-terminated; n may be NULL */
size_t json_count(const struct json *v); /* array elements or object entries, else 0 */
/* Entry of an object by key; NULL when missing, when null, or when v is no object: null = absent. */
const struct json *json_get(const struct json *v, const char *key);

/* Do not move an iterator while its value is in use: the elements of JSON_FLOATS live inside it and
 * are valid until the next json_next(). */
struct json_iter {
	const struct json *owner;
	size_t index; /* how many json_next() has given */
	const void *state;
	const char *key; /* entries of objects, NUL-terminated */
	size_t key_n;
	const struct json *value;
	uint64_t scratch[4];
};
struct json_iter json_iterate(
	const struct json *v); /* array or object; nulls included; others are empty */
bool json_next(struct json_iter *it);

/* The floats of an array of numbers: 64-byte aligned, correctly rounded, *n values; NULL when v is
 * no array, or when an element is no number or does not fit a float (overflow to infinity). */
const float *json_floats(const struct json *v, struct arena *arena, size_t *n);

/* A payload value in its binary form. */
void json_to_pv(const struct json *v, struct buf *out);
void json_from_pv(struct buf *out,
		  struct pv v); /* text, compact, key order kept, 10.0 stays 10.0 */

/* What was parsed as text again, likewise. */
void json_put_value(struct buf *out, const struct json *v);
/* The entries of an object, `"k":v,..`, but those named in `without` (ends with NULL; or NULL); true when there are any. */
bool json_put_entries(struct buf *out, const struct json *object, const char *const *without);

/* Writer helpers: append to a buf. */
void json_put_string(struct buf *b, const char *s,
		     size_t n); /* quoted and escaped; bytes that are not UTF-8 become U+FFFD */
void json_put_float(
	struct buf *b,
	float v); /* shortest that reads back equal, always with '.' or exponent; must be finite */
void json_put_double(struct buf *b, double v); /* likewise */
void json_put_u64(struct buf *b, uint64_t v);
void json_put_i64(struct buf *b, int64_t v);
void json_put_floats(struct buf *b, const float *v, size_t n); /* [..] */
#define json_put_literal(b, s) buf_put((b), (s), sizeof(s) - 1)
