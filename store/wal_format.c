/* See wal_format.h. */
#include "store/wal_format.h"
#include "base/assert.h"
#include "base/hash.h"
#include <string.h>

static const uint64_t WAL_FILE_MAGIC = 0x31304c4157565551; /* "QUVWAL01" */

struct wal_file_header wal_header_make(uint64_t generation, const struct wal_place *before)
{
	struct wal_file_header h = {
		.magic = WAL_FILE_MAGIC,
		.version = WAL_VERSION,
		.generation = generation,
		.first_seq = before->seq + 1,
		.prev_epoch = before->epoch,
		.prev_chain = before->chain,
	};
	h.hash = hash64(&h, offsetof(struct wal_file_header, hash));
	return h;
}

int wal_header_check(const struct wal_file_header *h, const char *name, struct error *err)
{
	if (h->magic != WAL_FILE_MAGIC ||
	    h->hash != hash64(h, offsetof(struct wal_file_header, hash)))
		return error_set(err, ERR_CORRUPT,
				 "log file %s: its header is damaged, so none of its records can be "
				 "trusted; restore this replica from another one or from a backup",
				 name);
	if (h->version != WAL_VERSION)
		return error_set(err, ERR_VERSION,
				 "log file %s has format %u, this program reads format %d", name,
				 h->version, WAL_VERSION);
	return 0;
}

uint64_t wal_seed(uint64_t generation, uint64_t first_seq)
{
	uint64_t key[2] = {generation, first_seq};
	return hash64(key, sizeof(key));
}

static uint64_t head_hash(const struct wal_head *h, uint64_t seed, uint64_t offset)
{
	return hash64_seed(h, offsetof(struct wal_head, hash),
			   seed ^ (offset * 0x9e3779b97f4a7c15));
}

static uint64_t head_chain(const struct wal_head *h, uint64_t prev_chain)
{
	return hash64_seed(h, offsetof(struct wal_head, chain), prev_chain);
}

void wal_put_record(struct buf *out, const struct wal_record *r, uint64_t synced, uint64_t seed,
		    uint64_t offset, struct wal_place *place)
{
	size_t at = out->len;
	size_t total = (size_t)wal_record_bytes(r->n);
	uint8_t *to = buf_extend(out, total);
	memset(to + total - 8, 0, 8); /* the padding; the payload may overwrite a part of it */
	if (r->n != 0)
		memcpy(to + WAL_HEAD_BYTES, r->bytes, r->n);
	struct wal_head h = {
		.magic = WAL_RECORD,
		.n = r->n,
		.seq = r->seq,
		.epoch = r->epoch,
		.prev_epoch = r->prev_epoch,
		.synced = synced,
		.payload_hash = hash64(to + WAL_HEAD_BYTES, total - WAL_HEAD_BYTES),
	};
	h.chain = head_chain(&h, place->chain);
	h.hash = head_hash(&h, seed, offset);
	memcpy(out->data + at, &h, sizeof(h));
	*place = (struct wal_place){h.seq, h.epoch, h.chain};
}

void wal_put_mark(struct buf *out, uint64_t seed, uint64_t offset, const struct wal_place *place)
{
	struct wal_head h = {
		.magic = WAL_MARK,
		.seq = place->seq,
		.epoch = place->epoch,
		.synced = place->seq,
		.chain = place->chain,
	};
	h.hash = head_hash(&h, seed, offset);
	buf_put(out, &h, sizeof(h));
}

bool wal_head_valid(const struct wal_head *h, uint64_t seed, uint64_t offset)
{
	return (h->magic == WAL_RECORD || (h->magic == WAL_MARK && h->n == 0)) &&
	       h->n <= WAL_RECORD_BYTES_MAX && h->hash == head_hash(h, seed, offset);
}

/* Is h the record that follows `place`? */
static bool head_follows(const struct wal_head *h, const struct wal_place *place)
{
	if (h->magic == WAL_MARK)
		return h->seq == place->seq && h->chain == place->chain;
	return h->seq == place->seq + 1 && h->prev_epoch == place->epoch &&
	       h->epoch >= place->epoch && h->chain == head_chain(h, place->chain);
}

bool wal_payload_valid(const struct wal_head *h, const uint8_t *payload)
{
	return h->magic == WAL_MARK ||
	       h->payload_hash == hash64(payload, (size_t)wal_record_bytes(h->n) - WAL_HEAD_BYTES);
}

/* The head at `offset` when it and its payload are whole, wherever it stands in the sequence. */
static bool whole_at(const struct wal_scan *s, uint64_t offset, struct wal_head *h)
{
	if (s->n - offset < WAL_HEAD_BYTES)
		return false;
	memcpy(h, s->bytes + offset, sizeof(*h));
	return wal_head_valid(h, s->seed, offset) && wal_record_bytes(h->n) <= s->n - offset &&
	       wal_payload_valid(h, s->bytes + offset + WAL_HEAD_BYTES);
}

/* First whole head at or after `from`; s->n when there is none. */
static uint64_t next_whole(const struct wal_scan *s, uint64_t from, struct wal_head *h)
{
	for (uint64_t o = (from + 7) & ~7ull; o + WAL_HEAD_BYTES <= s->n; o += 8) {
		uint32_t magic = load_u32(s->bytes + o);
		if ((magic == WAL_RECORD || magic == WAL_MARK) && whole_at(s, o, h))
			return o;
	}
	return s->n;
}

static bool all_zero(const uint8_t *bytes, uint64_t n)
{
	return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)n - 1) == 0);
}

static int damaged(const struct wal_scan *s, uint64_t last_lost, struct error *err)
{
	unsigned long long first = (unsigned long long)s->place.seq + 1;
	return error_set(
		err, ERR_CORRUPT,
		"log file %s is damaged at byte %llu: records %llu to %llu, which had been "
		"made durable, cannot be read; restore this replica from another one or from "
		"a backup",
		s->name, (unsigned long long)s->end, first,
		(unsigned long long)(last_lost < first ? first : last_lost));
}

/* Can reading go on behind the bad place, because all that is damaged is a mark? */
static bool only_a_mark(struct wal_scan *s, uint64_t first_whole, const struct wal_head *h)
{
	if (first_whole == s->n || first_whole != s->end + WAL_HEAD_BYTES ||
	    h->magic != WAL_RECORD || !head_follows(h, &s->place))
		return false;
	s->end = first_whole;
	return true;
}

/* The last seq that the whole heads from `o` on prove to have been durable; *lost gets the last record
 * that is missing before the first of them. */
static uint64_t proven_durable(const struct wal_scan *s, uint64_t o, struct wal_head h,
			       uint64_t *lost)
{
	uint64_t durable = 0;
	*lost = o < s->n ? h.seq - (h.magic == WAL_RECORD) : 0;
	while (o < s->n) {
		durable = h.synced > durable ? h.synced : durable;
		o = next_whole(s, o + wal_record_bytes(h.n), &h);
	}
	return durable;
}

/* The place at s->end is not what should follow. Returns 0 with *resume = true when reading can go on,
 * 0 otherwise when this is the end (s->torn: of a torn tail), or ERR_CORRUPT. */
static int judge(struct wal_scan *s, bool *resume, struct error *err)
{
	struct wal_head h = {0};
	uint64_t lost;
	*resume = false;
	if (s->until != NULL && s->until->seq == s->place.seq)
		return 0; /* the next file goes on from here: at most a mark is damaged */
	if (s->until == NULL && all_zero(s->bytes + s->end, s->n - s->end))
		return 0;
	uint64_t first_whole = next_whole(s, s->end, &h);
	*resume = only_a_mark(s, first_whole, &h);
	if (*resume)
		return 0;
	uint64_t durable = proven_durable(s, first_whole, h, &lost);
	if (s->until != NULL)
		return damaged(s, lost != 0 ? lost : s->until->seq, err);
	if (durable > s->place.seq)
		return damaged(s, lost, err);
	s->torn = true;
	return 0;
}

int wal_scan(struct wal_scan *s, struct error *err)
{
	assert(s->n >= sizeof(struct wal_file_header));
	s->end = sizeof(struct wal_file_header);
	s->ends_in_mark = s->torn = false;
	while (s->end < s->n) {
		struct wal_head h;
		if (!whole_at(s, s->end, &h) || !head_follows(&h, &s->place)) {
			bool resume;
			int rc = judge(s, &resume, err);
			if (rc != 0 || !resume)
				return rc;
			continue;
		}
		s->ends_in_mark = h.magic == WAL_MARK;
		if (h.magic == WAL_RECORD) {
			if (s->each != NULL)
				s->each(s->ctx, &h, s->end);
			s->place = (struct wal_place){h.seq, h.epoch, h.chain};
		}
		s->end += wal_record_bytes(h.n);
	}
	return 0;
}
