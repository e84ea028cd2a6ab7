/* Point ids: unsigned 64-bit integers or UUIDs. */
#pragma once
#include "base/codec.h"
#include "base/error.h"
#include "base/limits.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ID_INT = 0, ID_UUID = 1 };

struct point_id {
	uint64_t hi;   /* UUID: first 8 bytes as a big-endian number; integer: 0 */
	uint64_t lo;   /* UUID: last 8 bytes as a big-endian number; integer: its value */
	uint32_t kind; /* ID_INT or ID_UUID */
	uint32_t zero; /* always 0, so that ids may be compared and hashed as bytes */
};

enum { ID_TEXT_BYTES = 40, ID_ENCODED_BYTES = 17 };

static inline struct point_id id_from_u64(uint64_t v)
{
	return (struct point_id){0, v, ID_INT, 0};
}
/* UUID text: hyphenated, 32 plain hex digits, {braces} or urn:uuid:, any case. 0 or ERR_INPUT
 * (no text). */
int id_parse_uuid(const char *s, size_t n, struct point_id *out);
/* As in a URL path: decimal digits are an integer, else a UUID. 0 or ERR_INPUT with text. */
int id_parse_text(const char *s, size_t n, struct point_id *out, struct error *err);
/* Canonical text (lower-case hyphenated UUID or decimal), NUL-terminated; returns its length. */
size_t id_format(const struct point_id *id, char out[ID_TEXT_BYTES]);
/* Order of the API: integers by value, before UUIDs by bytes. <0, 0, >0. */
int id_compare(const struct point_id *a, const struct point_id *b);
static inline bool id_equal(const struct point_id *a, const struct point_id *b)
{
	return a->lo == b->lo && a->hi == b->hi && a->kind == b->kind;
}
uint64_t id_hash(const struct point_id *id); /* stable; written into routing */

void id_encode(struct buf *b, const struct point_id *id); /* 17 bytes: kind, hi, lo */
struct point_id id_decode(struct reader *r);              /* bad kind sets r->bad */

/* The hash slot that decides which partition owns the point. */
static inline uint32_t id_slot(const struct point_id *id)
{
	return (uint32_t)(id_hash(id) % SLOT_COUNT);
}
