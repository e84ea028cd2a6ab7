/* Row sets on disk: a bitset as a portable roaring bitmap. The only user of the roaring library in store/;
 * kept in one file because its header and base/bitset.h both claim the prefix bitset_. */
#pragma once
#include "base/bitset.h"
#include "base/codec.h"
#include "base/error.h"

void rowset_encode(struct buf *out, const struct bitset *set); /* u32 length, bytes */
/* Fills `out` (initialised here, n_bits = n_rows). ERR_CORRUPT when it names a row beyond n_rows. */
int rowset_decode(struct reader *r, uint32_t n_rows, struct bitset *out, struct error *err);
