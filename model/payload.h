/* Payload values: JSON documents in a compact binary form that can be searched without allocating.
 *
 * Encoding (little-endian), one tag byte and then:
 *   PV_NULL, PV_FALSE, PV_TRUE   nothing
 *   PV_INT      i64              JSON integers that fit in i64
 *   PV_UINT     u64              JSON integers above i64
 *   PV_DOUBLE   f64              numbers written with a point or exponent (10.0 stays 10.0)
 *   PV_RAW      u32 n, bytes     numbers beyond u64/f64, kept as their text
 *   PV_STRING   u32 n, bytes     UTF-8, no NUL needed
 *   PV_ARRAY    u32 body bytes, u32 count, body: the values
 *   PV_OBJECT   u32 body bytes, u32 count, body: per entry u32 n, key bytes, value;
 *               keys in the order given
 * Body bytes do not count the two u32 before the body. There is one form for each value: PV_UINT
 * only above i64, PV_DOUBLE is finite, PV_RAW is a JSON number. An absent payload is the empty
 * object. Bytes from disk or wire are checked once with pv_validate(); after that the accessors
 * assert only. */
#pragma once
#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pv_type {
	PV_NULL,
	PV_FALSE,
	PV_TRUE,
	PV_INT,
	PV_UINT,
	PV_DOUBLE,
	PV_RAW,
	PV_STRING,
	PV_ARRAY,
	PV_OBJECT
};

struct pv { /* a borrowed, validated value */
	const uint8_t *at;
};
struct pv_slice { /* the bytes of an encoded value */
	const uint8_t *bytes;
	uint32_t n;
};

extern const struct pv_slice PV_EMPTY_OBJECT;

/* Checks one whole value of n bytes: bounds, tags, the forms above, UTF-8 of strings and keys, and
 * that at most LIMIT_JSON_DEPTH arrays and objects are nested. 0 or ERR_FORMAT. */
int pv_validate(const void *bytes, size_t n, struct error *err);
size_t pv_size(struct pv v); /* encoded bytes */
static inline enum pv_type pv_type(struct pv v)
{
	return (enum pv_type)v.at[0];
}
static inline struct pv pv_of(const void *bytes)
{
	return (struct pv){(const uint8_t *)bytes};
}
bool pv_bool(struct pv v);
int64_t pv_int(struct pv v);
uint64_t pv_uint(struct pv v); /* PV_UINT, or a PV_INT that is not negative */
double pv_double(struct pv v);
const char *pv_string(struct pv v, uint32_t *n); /* strings and raw numbers */
bool pv_number(struct pv v, double *out);        /* any number as double; false for other types */
uint32_t pv_count(struct pv v);                  /* entries of an array or object, else 0 */

struct pv_iter { /* over an array (key NULL) or object */
	const uint8_t *at;
	uint32_t left;
	bool object;
	const char *key;
	uint32_t key_n;
	struct pv value;
};
struct pv_iter pv_iterate(struct pv v);
bool pv_next(struct pv_iter *it); /* fills key, key_n, value; false at the end */
/* Entry of an object by key (the first, should there be several); false when missing or v is no
 * object. */
bool pv_get(struct pv v, const char *key, uint32_t key_n, struct pv *out);

/* Writing: append values to a buf; arrays and objects are opened and closed. */
void pv_put_null(struct buf *b);
void pv_put_bool(struct buf *b, bool v);
void pv_put_int(struct buf *b, int64_t v);
void pv_put_uint(struct buf *b, uint64_t v); /* becomes PV_INT when it fits */
void pv_put_double(struct buf *b, double v);
void pv_put_raw(struct buf *b, const char *s, uint32_t n);
void pv_put_string(struct buf *b, const char *s, uint32_t n);
void pv_put_key(struct buf *b, const char *s, uint32_t n); /* inside an object, before its value */
void pv_put_value(struct buf *b, struct pv v);             /* copy */
size_t pv_open(struct buf *b, enum pv_type type); /* PV_ARRAY or PV_OBJECT; returns a mark */
void pv_close(struct buf *b, size_t mark, uint32_t count);

/* Key paths: a.b.c   a[].b   a[0].b   "quoted.key".x
 * An unquoted key is anything without . [ ] " and control characters; a quoted one anything without
 * ". A path begins with a key. */
enum path_step_type { PATH_KEY, PATH_EACH, PATH_INDEX };
struct path_step {
	enum path_step_type type;
	const char *key;
	uint32_t key_n;
	uint32_t index;
};
struct path {
	struct path_step *steps; /* in the arena it was parsed into */
	uint32_t n_steps;
	const char *text; /* as given, NUL-terminated: names payload indexes */
};
/* Copies everything into the arena. 0 or ERR_INPUT. */
int path_parse(const char *text, size_t n, struct arena *arena, struct path *out,
	       struct error *err);
/* Calls fn for every value at the path. A key step that meets an array fans out over its elements
 * (`a.b` reaches into an array of objects `a`). What the last step finds is passed as it is (an
 * array stays an array; `a[]` passes its elements). Stops and returns true when fn returns true. */
bool path_visit(const struct path *p, struct pv root, bool (*fn)(void *ctx, struct pv v),
		void *ctx);

/* Changes to a payload document; each appends the new document to out (root and patch are objects).
 *
 * Merging: keys of patch replace those of the object; a key whose new value is null is removed.
 * When the result would be larger than LIMIT_PAYLOAD_BYTES the unchanged root is written and
 * ERR_TOO_LARGE is returned: the same on every replica. */
int pv_merge(struct buf *out, struct pv root, struct pv patch);
/* Merges into the objects at a nested path (an empty path is the root). Missing objects on the way
 * are made, other values there are replaced by an object; a missing array or array element is left
 * missing. A place where the patch would nest deeper than LIMIT_JSON_DEPTH is left alone. */
int pv_merge_at(struct buf *out, struct pv root, const struct path *key, struct pv patch);
/* Removes the values at the paths; also the with_payload selection "exclude". */
void pv_delete_paths(struct buf *out, struct pv root, const struct path *paths, size_t n);
/* The with_payload selection "include": keeps the values at the paths and what leads to them. */
void pv_include(struct buf *out, struct pv root, const struct path *paths, size_t n);
/* Same value: numbers of different types differ (1 and 1.0), the order of keys does not matter. */
bool pv_equal(struct pv a, struct pv b);

/* RFC 3339 and the shorter forms of the API to microseconds since 1970; false when it is not a
 * date.
 *   YYYY-MM-DD
 *   YYYY-MM-DD HH:MM[:SS[.f...]][zone]   with a blank, T or t between date and time
 * A zone is Z, z, +HH:MM or -HH:MM; without one the time is UTC. Digits of the fraction beyond
 * microseconds are cut off. Second 60 is allowed where leap seconds are, at 23:59 UTC, and is the
 * same moment as the next midnight. */
bool datetime_parse(const char *s, size_t n, int64_t *micros);
