/* Bytes of the write-ahead log: file header, record heads, and the rules by which a file is read.
 * Pure: no input/output, so that every rule can be tested and fuzzed on plain bytes.
 *
 * A log file is a header, then records and marks, each 8-byte aligned, then zeros that were reserved
 * in advance. A record is a head and its payload, padded with zeros. A mark is a head alone, written after
 * a sync has returned: it says that everything up to its seq is durable.
 *
 * What a bad place means. `synced` of a head is the last seq that was durable when the head was
 * written. So if a bad place is followed by a valid head whose `synced` reaches past the last good
 * record, then records that had been durable are gone: damage. If not, the bad place is what a crash
 * left of a write that nobody had been promised: a torn tail. (That a later record of the *same* unsynced
 * write survived proves nothing: disks write sectors in any order.)
 */
#pragma once
#include "base/error.h"
#include "store/store.h"

struct wal_file_header {
	uint64_t magic;
	uint32_t version;
	uint32_t zero;
	uint64_t generation; /* grows with wal_reset(); files of an older one are void */
	uint64_t first_seq;
	uint64_t prev_epoch; /* epoch and chain of record first_seq - 1 */
	uint64_t prev_chain;
	uint64_t zero2;
	uint64_t hash; /* of the bytes above */
};

struct wal_head {
	uint32_t magic; /* WAL_RECORD or WAL_MARK */
	uint32_t n;     /* payload bytes; a mark has none */
	uint64_t seq;   /* a mark repeats those of the record before it */
	uint64_t epoch;
	uint64_t prev_epoch;
	uint64_t synced;       /* last seq known to be durable when this was written */
	uint64_t payload_hash; /* of the payload with its padding */
	uint64_t chain; /* over this head, the payload and the record before; a mark repeats it */
	uint64_t hash; /* of the bytes above, seeded with file and offset: nothing valid elsewhere */
};

_Static_assert(sizeof(struct wal_file_header) == 64 && sizeof(struct wal_head) == 64,
	       "the log is made of 64-byte heads");

enum {
	WAL_RECORD = 0x43525651, /* "QVRC" */
	WAL_MARK = 0x4b4d5651,   /* "QVMK" */
	WAL_HEAD_BYTES = 64,
	WAL_VERSION = 1,
	WAL_RECORD_BYTES_MAX = 128 << 20,
};

/* Where a log stands after some record. */
struct wal_place {
	uint64_t seq;
	uint64_t epoch;
	uint64_t chain;
};

struct wal_file_header wal_header_make(uint64_t generation, const struct wal_place *before);
int wal_header_check(const struct wal_file_header *h, const char *name, struct error *err);
static inline struct wal_place wal_header_place(const struct wal_file_header *h)
{
	return (struct wal_place){h->first_seq - 1, h->prev_epoch, h->prev_chain};
}
uint64_t wal_seed(uint64_t generation, uint64_t first_seq); /* of the heads of one file */

static inline uint64_t wal_record_bytes(uint32_t n)
{
	return WAL_HEAD_BYTES + (((uint64_t)n + 7) & ~7ull);
}
/* Appends an encoded record or mark that will stand at `offset`, and moves *place past it. */
void wal_put_record(struct buf *out, const struct wal_record *r, uint64_t synced, uint64_t seed,
		    uint64_t offset, struct wal_place *place);
void wal_put_mark(struct buf *out, uint64_t seed, uint64_t offset, const struct wal_place *place);

/* A head that was written at this place of this file? */
bool wal_head_valid(const struct wal_head *h, uint64_t seed, uint64_t offset);
/* Is `payload` (with padding) the payload of h? */
bool wal_payload_valid(const struct wal_head *h, const uint8_t *payload);

/* Reads a whole file. Calls `each` (may be NULL) for every good record with its offset. */
struct wal_scan {
	const char *name;     /* of the file, for messages */
	const uint8_t *bytes; /* the file, header included */
	uint64_t n;
	uint64_t seed;
	/* Where the next file begins; NULL: this is the last one, which alone may have a torn tail. */
	const struct wal_place *until;
	void (*each)(void *ctx, const struct wal_head *h, uint64_t offset);
	void *ctx;
	/* in: the place before the file; out: of its last record */
	struct wal_place place;
	uint64_t end;      /* out: offset after the last record or mark */
	bool ends_in_mark; /* out */
	bool torn;         /* out: something that is not zero follows `end`; to be cut */
};
/* 0, or ERR_CORRUPT that names file, offset and the sequence numbers lost. */
int wal_scan(struct wal_scan *s, struct error *err);
