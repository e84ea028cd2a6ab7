/* What a load keeps: ids, the state file, bodies of upserts, numbers on the command line. */
#include "tests/unit/cli/files.h"

#include "api/binary.h"
#include "base/prng.h"
#include "cli/command.h"
#include "cli/ids.h"
#include "cli/load_state.h"
#include "cli/loadgen.h"
#include "cli/upsert.h"

static void add_ids(struct ids *ids, const uint64_t *list, uint32_t n)
{
	struct batch b = {0};

	for (uint32_t i = 0; i < n; i++)
		batch_put_u64_id(&b, list[i]);
	b.n = n;
	ids_add(ids, &b);
	batch_fini(&b);
}

static void test_ids_distinct(void **state)
{
	struct ids ids = {0};
	struct batch b = {0};

	add_ids(&ids, (uint64_t[]){5, 6, 7, 100, 6, UINT64_MAX, UINT64_MAX, 0}, 8);
	batch_put_uuid(&b, 1, 2);
	batch_put_uuid(&b, 1, 3);
	batch_put_uuid(&b, 1, 2);
	b.n = 3;
	ids_add(&ids, &b);
	assert_int_equal(ids.added, 11);
	assert_int_equal(ids_distinct(&ids), 8);
	ids_fini(&ids);
	batch_fini(&b);
}

/* Random ids come out again, each once, whatever the size of the portions. */
static void test_ids_filter(void **state)
{
	struct prng p;
	struct buf filter = BUF_INIT;

	prng_seed(&p, 7);
	for (int round = 0; round < 200; round++) {
		struct ids ids = {0};
		uint64_t list[60], at = 0, seen = 0;
		uint32_t n = (uint32_t)prng_below(&p, 60), max = 1 + (uint32_t)prng_below(&p, 9),
			 got;

		for (uint32_t i = 0; i < n; i++)
			list[i] = prng_below(&p, 40);
		add_ids(&ids, list, n);
		struct batch b = {.n = 2};
		batch_put_uuid(&b, 9, prng_u64(&p));
		batch_put_uuid(&b, 9, prng_u64(&p));
		ids_add(&ids, &b);
		batch_fini(&b);
		uint64_t distinct = ids_distinct(&ids);
		bool in[40] = {0};
		while ((got = ids_filter(&ids, &at, max, &filter)) > 0) {
			const char *text = strchr((char *)filter.data, '[');

			assert_true(got <= max);
			text = strchr(text + 1, '[') + 1;
			for (uint32_t i = 0; i < got; i++) {
				if (*text != '"') {
					uint64_t id = strtoull(text, NULL, 10);

					assert_false(in[id]);
					in[id] = true;
				}
				text += strcspn(text, ",]") + 1;
			}
			seen += got;
		}
		assert_int_equal(seen, distinct);
		ids_fini(&ids);
	}
	buf_fini(&filter);
}

static void test_state_survives(void **state)
{
	struct load_state *s = NULL;
	struct error err = {0};

	setenv("XDG_STATE_HOME", in_folder("state"), 1);
	assert_int_equal(state_open(&s, "key one", &err), 0);
	assert_int_equal(state_batches(s), 0);
	assert_int_equal(state_reset(s, &err), 0);
	assert_int_equal(state_add(s, 0, 11, &err), 0);
	assert_int_equal(state_add(s, 1000, 22, &err), 0);
	uint64_t run = state_run(s);
	struct load_state *second = NULL;
	assert_int_equal(state_open(&second, "key one", &err), ERR_LOCKED);
	assert_null(second);
	state_close(s);

	assert_int_equal(state_open(&s, "key one", &err), 0);
	assert_int_equal(state_batches(s), 2);
	assert_true(state_has(s, 1000, 22));
	assert_false(state_has(s, 1000, 23));
	assert_false(state_has(s, 999, 22));
	assert_false(state_has(s, 5000, 22));
	assert_true(run != 0);
	assert_true(state_run(s) == run);
	assert_int_equal(state_reset(s, &err), 0);
	assert_true(state_run(s) != run);
	assert_false(state_has(s, 0, 11));
	state_close(s);
	assert_int_equal(state_open(&s, "key two", &err), 0);
	assert_int_equal(state_batches(s), 0);
	state_remove(s);
	state_close(s);
}

/* A line that was cut by a kill, and garbage, count as nothing. */
static void test_state_with_a_cut_line(void **state)
{
	struct load_state *s = NULL;
	char path[600], line[256];
	FILE *f;

	setenv("XDG_STATE_HOME", in_folder("cut"), 1);
	assert_int_equal(state_open(&s, "key", NULL), 0);
	assert_int_equal(state_reset(s, NULL), 0);
	assert_int_equal(state_add(s, 1, 0xab, NULL), 0);
	state_close(s);
	snprintf(path, sizeof(path), "ls %s/quiver/ingest/*.state", getenv("XDG_STATE_HOME"));
	f = popen(path, "r");
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	line[strcspn(line, "\n")] = 0;
	f = fopen(line, "a");
	fprintf(f, "nonsense\n99999999999999999 1\n2 0000000000");
	fclose(f);
	assert_int_equal(state_open(&s, "key", NULL), 0);
	assert_int_equal(state_batches(s), 1);
	assert_true(state_has(s, 1, 0xab));
	state_close(s);
}

static void test_upsert_bodies(void **state)
{
	struct batch b = {.n = 2, .dim = 2};
	struct buf out = BUF_INIT;
	static const float rows[] = {1, -0.5f, 3, 1e-7f};

	batch_put_u64_id(&b, 1);
	batch_put_u64_id(&b, UINT64_MAX);
	buf_put(&b.rows, rows, sizeof(rows));
	buf_printf(&b.payloads, "{\"a\":1}\n{}\n");
	upsert_binary(&b, &out);
	assert_int_equal(out.len, BINARY_HEADER_BYTES + 16 + 16 + 11);
	assert_memory_equal(out.data, "QVB1", 4);
	assert_int_equal(load_u32(out.data + 4), BINARY_PAYLOADS);
	assert_int_equal(load_u32(out.data + 8), 2);
	assert_int_equal(load_u32(out.data + 12), 2);
	assert_int_equal(out.data[16], BINARY_ID_U64);
	assert_memory_equal(out.data + BINARY_HEADER_BYTES + 16, rows, sizeof(rows));
	upsert_json(&b, "v", &out);
	buf_put_u8(&out, 0);
	assert_string_equal(
		(char *)out.data,
		"{\"points\":[{\"id\":1,\"vector\":{\"v\":[1.0,-0.5]},\"payload\":{\"a\":1}},"
		"{\"id\":18446744073709551615,\"vector\":{\"v\":[3.0,1e-7]},\"payload\":{}}]}");
	batch_fini(&b);
	buf_fini(&out);
}

static void test_numbers(void **state)
{
	uint64_t list[3];
	char text[32];
	size_t n;

	assert_int_equal(command_numbers("16,32,64", list, 3, &n, NULL), 0);
	assert_int_equal(n, 3);
	assert_int_equal(list[2], 64);
	assert_int_equal(command_numbers("1,2,3,4", list, 3, &n, NULL), ERR_INPUT);
	assert_int_equal(command_numbers("", list, 3, &n, NULL), ERR_INPUT);
	assert_int_equal(command_numbers("1,,2", list, 3, &n, NULL), ERR_INPUT);
	assert_int_equal(command_numbers("-1", list, 3, &n, NULL), ERR_INPUT);
	assert_int_equal(command_numbers("1x", list, 3, &n, NULL), ERR_INPUT);
	assert_string_equal(command_number(0, text), "0");
	assert_string_equal(command_number(999, text), "999");
	assert_string_equal(command_number(1234567, text), "1,234,567");
}

static void test_targets(void **state)
{
	struct loadgen_target t;

	assert_int_equal(loadgen_target(&t, "http://127.0.0.1:6333", NULL, NULL), 0);
	assert_string_equal(t.host, "127.0.0.1");
	assert_string_equal(t.port, "6333");
	assert_string_equal(t.prefix, "");
	assert_int_equal(loadgen_target(&t, "http://host/some/prefix/", NULL, NULL), 0);
	assert_string_equal(t.port, "80");
	assert_string_equal(t.prefix, "/some/prefix");
	assert_int_equal(loadgen_target(&t, "http://[::1]:99/p", NULL, NULL), 0);
	assert_string_equal(t.host, "::1");
	assert_string_equal(t.port, "99");
	assert_string_equal(t.prefix, "/p");
	assert_int_equal(loadgen_target(&t, "https://host", NULL, NULL), ERR_UNSUPPORTED);
	assert_int_equal(loadgen_target(&t, "http://:80", NULL, NULL), ERR_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_distinct),   cmocka_unit_test(test_ids_filter),
		cmocka_unit_test(test_state_survives), cmocka_unit_test(test_state_with_a_cut_line),
		cmocka_unit_test(test_upsert_bodies),  cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_targets),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
