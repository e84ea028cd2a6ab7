/* Point ids. */
#include "tests/unit/unit.h"
#include "tests/unit/model/hostile.h"
#include "base/prng.h"
#include "model/id.h"
#include <string.h>

static const char canonical[] = "550e8400-e29b-41d4-a716-446655440000";

static void every_form_of_a_uuid_is_the_same(void **state)
{
	static const char *const forms[] = {
		"550e8400-e29b-41d4-a716-446655440000",
		"550E8400-E29B-41D4-A716-446655440000",
		"550e8400e29b41d4a716446655440000",
		"{550e8400-e29b-41d4-a716-446655440000}",
		"urn:uuid:550e8400-e29b-41d4-a716-446655440000",
	};
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct point_id id;
		char text[ID_TEXT_BYTES];
		assert_int_equal(id_parse_uuid(forms[i], strlen(forms[i]), &id), 0);
		assert_int_equal(id.kind, ID_UUID);
		assert_int_equal(id.hi, 0x550e8400e29b41d4ull);
		assert_int_equal(id.lo, 0xa716446655440000ull);
		assert_int_equal(id_format(&id, text), 36);
		assert_string_equal(text, canonical);
	}
}

static void what_is_no_uuid_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"x",
		"550e8400-e29b-41d4-a716-44665544000",
		"550e8400-e29b-41d4-a716-4466554400000",
		"550e8400-e29b-41d4-a716-44665544000g",
		"550e8400-e29b41d4-a716--446655440000",
		"550e8400+e29b-41d4-a716-446655440000",
		"{550e8400-e29b-41d4-a716-446655440000",
		"(550e8400-e29b-41d4-a716-446655440000)",
		"550e8400e29b41d4a71644665544000 ",
		"urn:uuie:550e8400-e29b-41d4-a716-446655440000",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct point_id id;
		assert_int_equal(id_parse_uuid(wrong[i], strlen(wrong[i]), &id), ERR_INPUT);
	}
}

static void text_is_an_integer_before_a_uuid(void **state)
{
	struct point_id id;
	struct error err = {0};
	char text[ID_TEXT_BYTES];
	assert_int_equal(id_parse_text("18446744073709551615", 20, &id, &err), 0);
	assert_int_equal(id.kind, ID_INT);
	assert_int_equal(id.lo, UINT64_MAX);
	id_format(&id, text);
	assert_string_equal(text, "18446744073709551615");
	assert_int_equal(id_parse_text("007", 3, &id, &err), 0);
	assert_int_equal(id.lo, 7);
	assert_int_equal(id_parse_text(canonical, 36, &id, &err), 0);
	assert_int_equal(id.kind, ID_UUID);
	/* 32 digits are too large a number, and a UUID. */
	assert_int_equal(id_parse_text("00000000000000000000000000000123", 32, &id, &err), 0);
	assert_int_equal(id_parse_text("90000000000000000000000000000123", 32, &id, &err), 0);
	assert_int_equal(id.kind, ID_UUID);
	assert_int_equal(id_parse_text("18446744073709551616", 20, &id, &err), ERR_INPUT);
	assert_non_null(strstr(err.text, "is not a valid point ID"));
	assert_int_equal(id_parse_text("-1", 2, &id, NULL), ERR_INPUT);
	assert_int_equal(id_parse_text("", 0, &id, &err), ERR_INPUT);
}

static void integers_come_before_uuids(void **state)
{
	struct point_id ids[] = {
		{0, 0, ID_INT, 0},           {0, 1, ID_INT, 0},  {0, UINT64_MAX, ID_INT, 0},
		{0, 0, ID_UUID, 0},          {0, 9, ID_UUID, 0}, {1, 0, ID_UUID, 0},
		{UINT64_MAX, 3, ID_UUID, 0},
	};
	for (size_t i = 0; i < 7; i++) {
		for (size_t j = 0; j < 7; j++) {
			int order = id_compare(&ids[i], &ids[j]);
			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
			assert_int_equal(id_equal(&ids[i], &ids[j]), i == j);
		}
	}
}

static void the_hash_never_changes_and_spreads(void **state)
{
	struct point_id id = id_from_u64(1);
	static uint32_t slots[SLOT_COUNT];
	assert_int_equal(id_hash(&id), 0xB7AE726B74ED6F2Eull);
	assert_int_equal(id_slot(&id), id_hash(&id) % SLOT_COUNT);
	for (uint64_t i = 0; i < 100 * SLOT_COUNT; i++) {
		id = id_from_u64(i);
		slots[id_slot(&id)]++;
	}
	for (uint32_t i = 0; i < SLOT_COUNT; i++)
		assert_in_range(slots[i], 50, 160); /* five standard deviations and more */
}

static int decode(struct reader *r, struct arena *arena)
{
	struct point_id id = id_decode(r);
	char text[ID_TEXT_BYTES];
	if (!reader_ok(r))
		return ERR_FORMAT;
	assert_true(id_format(&id, text) < ID_TEXT_BYTES);
	assert_int_equal(id.zero, 0);
	return 0;
}

static void the_codec_keeps_ids(void **state)
{
	struct point_id ids[] = {{0, 0, ID_INT, 0},
				 {0, UINT64_MAX, ID_INT, 0},
				 {0x0102030405060708, 42, ID_UUID, 0}};
	for (size_t i = 0; i < 3; i++) {
		struct buf b = BUF_INIT;
		id_encode(&b, &ids[i]);
		assert_int_equal(b.len, ID_ENCODED_BYTES);
		struct reader r = reader_make(b.data, b.len);
		struct point_id id = id_decode(&r);
		assert_true(reader_done(&r));
		assert_memory_equal(&id, &ids[i], sizeof(id));
		assert_decoder_is_safe(decode, b.data, b.len);
		buf_fini(&b);
	}
	/* An integer has no upper half. */
	uint8_t wrong[ID_ENCODED_BYTES] = {ID_INT, 1};
	struct reader r = reader_make(wrong, sizeof(wrong));
	id_decode(&r);
	assert_false(reader_ok(&r));
	wrong[0] = 2;
	r = reader_make(wrong, sizeof(wrong));
	id_decode(&r);
	assert_false(reader_ok(&r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_a_uuid_is_the_same),
		cmocka_unit_test(what_is_no_uuid_is_refused),
		cmocka_unit_test(text_is_an_integer_before_a_uuid),
		cmocka_unit_test(integers_come_before_uuids),
		cmocka_unit_test(the_hash_never_changes_and_spreads),
		cmocka_unit_test(the_codec_keeps_ids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
