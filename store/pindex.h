/* Payload index of one field of one segment, as its builder and its reader share it.
 *
 * Every scalar of the field is a key with the rows that have it, whatever its type, so that a match can be
 * answered for any value. Rows of a key are a list, or a bitmap where that is smaller; both are used straight
 * from the mapping, without decoding or allocating (which is why they are not roaring bitmaps).
 */
#pragma once
#include "store/segment_internal.h"

enum { PINDEX_VERSION = 1 };

enum pindex_section {
	PINDEX_HEADER,
	PINDEX_KEY_OFFSETS, /* u64 per key and one more, into: */
	PINDEX_KEYS,        /* keys in ascending order: a kind byte, then bytes */
	PINDEX_LISTS,       /* struct pindex_list per key */
	PINDEX_POSTINGS,
	PINDEX_MAPS,       /* PINDEX_MAP_COUNT bitmaps over the rows */
	PINDEX_VALUES,     /* f64 (numbers) or i64 (dates), ascending */
	PINDEX_VALUE_ROWS, /* u32 beside them */
	PINDEX_LATITUDES,  /* f64, ascending */
	PINDEX_LONGITUDES, /* f64 beside them */
	PINDEX_PLACE_ROWS, /* u32 beside them */
	PINDEX_BLOCKS, /* for each block of values, a bitmap over the rows: which have one of them */
	PINDEX_SECTIONS
};

enum pindex_map {
	MAP_HAS_VALUE, /* the field is not empty */
	MAP_HAS_NULL,  /* it is null or has a null */
	MAP_HAS_KEY,   /* it has a key */
	MAP_HAS_OTHER, /* it has a value that is neither null nor a key: a fraction, an object */
	MAP_MULTI,     /* it has two keys or more; for text: two strings or more */
	PINDEX_MAP_COUNT
};

enum pindex_key_kind { KEY_BOOL, KEY_INT, KEY_STRING, KEY_TOKEN };
enum { PINDEX_KEY_BYTES_MAX = LIMIT_PAYLOAD_BYTES + 16 };

struct pindex_list {
	uint64_t offset; /* into the postings, a multiple of 8 */
	uint32_t n;      /* rows */
	uint32_t bitmap; /* 1: a bitmap over all rows; 0: a list of u32, ascending */
};

struct pindex_header {
	uint32_t version;
	uint32_t type, tokenizer, min_token_len, max_token_len;
	uint32_t lowercase, phrase;
	uint32_t n_rows;
	uint32_t n_points; /* rows with a value of the field's type */
	uint32_t n_keys;
	uint32_t n_values;
	uint32_t n_places;
	uint32_t path_n; /* the path's text follows */
	uint32_t extras; /* text: of folding, stop words and stemmer; 0 = none of them */
};

/* Which of them a field's index has. */
static inline bool pindex_has_keys(enum field_type t)
{
	return t == FIELD_KEYWORD || t == FIELD_UUID || t == FIELD_INTEGER || t == FIELD_BOOL;
}
static inline bool pindex_has_numbers(enum field_type t)
{
	return t == FIELD_INTEGER || t == FIELD_FLOAT;
}

/* Wide ranges are put together from bitmaps of whole blocks of values. Few values need none. */
enum { PINDEX_BLOCK_COUNT = 32, PINDEX_BLOCK_VALUES_LEAST = 4096 };
static inline uint32_t pindex_blocks(uint32_t n_values)
{
	return n_values >= PINDEX_BLOCK_VALUES_LEAST ? PINDEX_BLOCK_COUNT : 0;
}
static inline uint32_t pindex_block_values(uint32_t n_values) /* in each but the last */
{
	return n_values / PINDEX_BLOCK_COUNT + 1;
}

/* Key of an integer: ascending bytes are ascending numbers. */
void pindex_int_key(int64_t v, uint8_t out[9]);
