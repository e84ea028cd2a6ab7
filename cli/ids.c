#include "cli/ids.h"

#include <stdlib.h>
#include <string.h>

#include "http/json.h"
#include "model/id.h"

struct range {
	uint64_t first, last;
};

static struct range *ranges_of(const struct ids *ids)
{
	return (struct range *)(void *)ids->ranges.data;
}

static size_t count_ranges(const struct ids *ids)
{
	return ids->ranges.len / sizeof(struct range);
}

void ids_add(struct ids *ids, const struct batch *b)
{
	ids->added += b->n;
	if (b->uuids) {
		buf_put(&ids->uuids, b->ids.data, b->ids.len);
		return;
	}
	for (uint32_t i = 0; i < b->n; i++) {
		uint64_t id = load_u64(b->ids.data + (size_t)i * 8);
		size_t n = count_ranges(ids);
		struct range *last = n ? &ranges_of(ids)[n - 1] : NULL;

		if (last && last->last != UINT64_MAX && last->last + 1 == id)
			last->last = id;
		else
			buf_put(&ids->ranges, &(struct range){id, id}, sizeof(struct range));
	}
}

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static int compare_uuids(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

uint64_t ids_distinct(struct ids *ids)
{
	struct range *r = ranges_of(ids);
	size_t n = count_ranges(ids), kept = 0, n_uuids = ids->uuids.len / 16, kept_uuids = 0;
	uint64_t distinct = 0;

	if (n > 0)
		qsort(r, n, sizeof(*r), compare_ranges);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && r[i].first <= r[kept - 1].last) {
			if (r[i].last > r[kept - 1].last)
				r[kept - 1].last = r[i].last;
		} else {
			r[kept++] = r[i];
		}
	}
	for (size_t i = 0; i < kept; i++)
		distinct += r[i].last - r[i].first + 1;
	ids->ranges.len = kept * sizeof(*r);
	if (n_uuids > 0)
		qsort(ids->uuids.data, n_uuids, 16, compare_uuids);
	for (size_t i = 0; i < n_uuids; i++) {
		uint8_t *at = ids->uuids.data + i * 16, *to = ids->uuids.data + kept_uuids * 16;

		if (kept_uuids > 0 && memcmp(at, to - 16, 16) == 0)
			continue;
		memmove(to, at, 16);
		kept_uuids++;
	}
	ids->uuids.len = kept_uuids * 16;
	return distinct + kept_uuids;
}

static void put_uuid(const uint8_t *at, struct buf *out)
{
	struct point_id id = {__builtin_bswap64(load_u64(at)), __builtin_bswap64(load_u64(at + 8)),
			      ID_UUID, 0};
	char text[ID_TEXT_BYTES];

	json_put_string(out, text, id_format(&id, text));
}

uint32_t ids_filter(const struct ids *ids, uint64_t *at, uint32_t max, struct buf *out)
{
	const struct range *r = ranges_of(ids);
	uint64_t passed = 0;
	uint32_t n = 0;

	buf_clear(out);
	json_put_literal(out, "{\"must\":[{\"has_id\":[");
	for (size_t i = 0; i < count_ranges(ids) && n < max; i++) {
		uint64_t length = r[i].last - r[i].first + 1;

		for (uint64_t skip = *at + n > passed ? *at + n - passed : 0;
		     skip < length && n < max; skip++) {
			if (n++ > 0)
				buf_put_u8(out, ',');
			json_put_u64(out, r[i].first + skip);
		}
		passed += length;
	}
	for (uint64_t i = *at + n > passed ? *at + n - passed : 0;
	     n < max && *at + n >= passed && i < ids->uuids.len / 16; i++) {
		if (n++ > 0)
			buf_put_u8(out, ',');
		put_uuid(ids->uuids.data + i * 16, out);
	}
	json_put_literal(out, "]}]}");
	buf_put_u8(out, 0);
	*at += n;
	return n;
}

void ids_fini(struct ids *ids)
{
	buf_fini(&ids->ranges);
	buf_fini(&ids->uuids);
	*ids = (struct ids){0};
}
