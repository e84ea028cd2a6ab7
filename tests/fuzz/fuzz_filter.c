/* Filters on payloads, edits of payloads, dates and texts: all take bytes that came over the wire. */
#include "model/filter.h"
#include "model/text.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void match(struct reader *r, struct arena *arena)
{
	uint32_t n = 0;
	const uint8_t *bytes = reader_blob(r, &n);
	struct point_id id = id_from_u64(1);
	struct error err = {0};
	struct filter *f;

	if (bytes == NULL || pv_validate(bytes, n, NULL) != 0)
		return;
	int rc = filter_decode(r, arena, &f, &err);
	if (rc != 0) {
		fuzz_check_error(rc, &err);
		return;
	}
	struct filter_point point = {.id = &id, .payload = pv_of(bytes), .has_dense = 1};
	struct buf b = BUF_INIT, again = BUF_INIT;
	bool before = filter_match(f, &point, NULL);
	filter_encode(&b, f);
	struct reader same = reader_make(b.data, b.len);
	FUZZ_CHECK(filter_decode(&same, arena, &f, NULL) == 0 && reader_done(&same));
	FUZZ_CHECK(filter_match(f, &point, NULL) == before);
	filter_encode(&again, f);
	fuzz_check_same(&b, &again);
	buf_fini(&b);
	buf_fini(&again);
}

static void check_payload(struct buf *b)
{
	FUZZ_CHECK(pv_validate(b->data, b->len, NULL) == 0);
	buf_clear(b);
}

static void edit(struct reader *r, struct arena *arena)
{
	uint32_t n = 0, m = 0;
	const uint8_t *old = reader_blob(r, &n), *new = reader_blob(r, &m);
	struct buf b = BUF_INIT;
	struct path path;

	if (old == NULL || new == NULL || pv_validate(old, n, NULL) != 0 ||
	    pv_validate(new, m, NULL) != 0 || *old != PV_OBJECT || *new != PV_OBJECT ||
	    path_parse((const char *)r->at, reader_left(r), arena, &path, NULL) != 0)
		return;
	pv_merge_at(&b, pv_of(old), &path, pv_of(new));
	check_payload(&b);
	pv_delete_paths(&b, pv_of(old), &path, 1);
	check_payload(&b);
	pv_include(&b, pv_of(old), &path, 1);
	check_payload(&b);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct reader r = reader_make(data, n);
	uint8_t what = reader_u8(&r);
	struct arena *arena = arena_new(4096);
	int64_t us;

	if (what % 3 == 0)
		match(&r, arena);
	else if (what % 3 == 1)
		edit(&r, arena);
	else
		datetime_parse((const char *)r.at, reader_left(&r), &us);
	arena_free(arena);
	return 0;
}
