/* The newest filters over a sealed segment, each with the rows that match it: programs ask under the same few filters
 * (a tenant, a kind of document, a range of dates) again and again, and to go over the bits of all rows takes longer than to
 * search a hundredth of them.
 *
 * What a sealed segment holds never changes, so a set is never wrong; rows that are dead by now are in it, and whoever
 * asks leaves them out. A filter is known by its encoded bytes and the revision of the collection (which decides what a
 * text condition means). Any number of threads may ask. */
#pragma once
#include "base/bitset.h"
#include "base/codec.h"
#include <pthread.h>

/* Immutable once it is kept. */
struct filter_rows {
	uint32_t refs; /* atomic */
	uint32_t n;    /* bits set */
	struct bitset bits;
};
struct filter_rows *filter_rows_new(uint32_t n_bits); /* none set, one reference */
void filter_rows_unref(struct filter_rows *r);        /* NULL ok */

/* FILTERS_KEPT bits for a row of the segment at most: 4 bytes. */
enum { FILTERS_KEPT = 32, FILTER_KEY_MOST = 1024 };

struct kept_filter {
	uint64_t hash, used; /* of the key; when it was asked for */
	struct buf key;
	struct filter_rows *rows; /* NULL: the place is free */
};
struct filters {
	pthread_mutex_t lock;
	uint64_t n_asked;
	struct kept_filter kept[FILTERS_KEPT];
};
void filters_init(struct filters *f);
void filters_fini(struct filters *f);
/* A reference, or NULL. */
struct filter_rows *filters_find(struct filters *f, const struct buf *key);
/* Keeps a reference of its own, in place of what was not asked for the longest; not under a very long key. */
void filters_keep(struct filters *f, const struct buf *key, struct filter_rows *rows);
uint64_t filters_bytes(struct filters *f);
