/* A log whose records can be told from their seq alone, for the tests of the log. */
#pragma once
#include "tests/unit/unit.h"
#include "store/io_fault.h"
#include "store/io_memory.h"
#include "store/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAYLOAD_MAX = 5000 };

/* Sizes go from nothing to several pages; `life` tells apart records that have the same seq. */
static inline uint32_t payload_of(uint64_t seq, uint64_t life, uint8_t out[PAYLOAD_MAX])
{
	struct prng p;
	prng_seed(&p, seq * 1000003 + life);
	static const uint32_t bounds[] = {1, 8, 40, 200, 700, PAYLOAD_MAX};
	uint32_t n = (uint32_t)prng_below(&p, bounds[seq % 6]);
	for (uint32_t i = 0; i < n; i++)
		out[i] = (uint8_t)prng_u64(&p);
	return n;
}

static inline uint64_t epoch_of(uint64_t seq)
{
	return seq == 0 ? 0 : 1 + seq / 5;
}

/* Appends records `from`..`to` in one call. */
static inline int append(struct wal *w, uint64_t from, uint64_t to, uint64_t life)
{
	size_t n = (size_t)(to - from + 1);
	struct wal_record *records = calloc(n, sizeof(*records));
	uint8_t(*bytes)[PAYLOAD_MAX] = calloc(n, PAYLOAD_MAX);
	for (size_t i = 0; i < n; i++) {
		uint64_t seq = from + i;
		records[i] = (struct wal_record){seq, epoch_of(seq), epoch_of(seq - 1), bytes[i],
						 payload_of(seq, life, bytes[i])};
	}
	int rc = wal_append(w, records, n, NULL);
	free(records);
	free(bytes);
	return rc;
}

struct expect {
	uint64_t next;
	const uint64_t *life; /* of each seq; NULL: all 0 */
};

static inline int check_record(void *ctx, const struct wal_record *r)
{
	struct expect *e = ctx;
	uint8_t bytes[PAYLOAD_MAX];
	uint32_t n = payload_of(r->seq, e->life != NULL ? e->life[r->seq] : 0, bytes);
	assert_int_equal(r->seq, e->next);
	assert_int_equal(r->epoch, epoch_of(r->seq));
	assert_int_equal(r->prev_epoch, epoch_of(r->seq - 1));
	assert_int_equal(r->n, n);
	assert_memory_equal(r->bytes, bytes, n);
	e->next++;
	return 0;
}

/* Reads everything from `from` on and checks every byte; the log must end at `last`. */
static inline void check_log(struct wal *w, uint64_t from, uint64_t last, const uint64_t *life)
{
	struct expect e = {from, life};
	struct error err = {0};
	assert_int_equal(wal_last_seq(w), last);
	if (wal_read(w, from, check_record, &e, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(e.next, last + 1);
}

static inline struct wal *open_log(const struct store_io *io, uint64_t segment_bytes)
{
	struct wal_options options = {segment_bytes};
	struct wal *w = NULL;
	struct error err = {0};
	if (wal_open(io, "wal", &options, 0, &w, &err) != 0)
		fail_msg("%s", err.text);
	return w;
}
