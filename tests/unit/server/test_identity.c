/* Who a data folder is, and the lists of the first start. */
#include "server/identity.h"
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/quiver-identity-XXXXXX";

static int set_up(void **state)
{
	return mkdtemp(folder) == NULL;
}

static int tear_down(void **state)
{
	struct store_io io;
	if (store_io_real(folder, &io, NULL) != 0)
		return 1;
	io.remove(io.ctx, "node", NULL);
	store_io_fini(&io);
	return rmdir(folder);
}

static void test_saved_and_loaded(void **state)
{
	struct identity id = {.cluster_id = 0x1234567890abcdef,
			      .node_id = 17,
			      .name = "n17",
			      .address = "10.0.0.17:6335",
			      .shard = true};
	struct identity back;
	struct error err = {0};
	struct store_io io;
	assert_int_equal(store_io_real(folder, &io, &err), 0);
	assert_int_equal(identity_load(&io, &back, &err), 1);
	assert_int_equal(identity_save(&io, &id, &err), 0);
	assert_int_equal(identity_load(&io, &back, &err), 0);
	assert_int_equal(back.cluster_id, id.cluster_id);
	assert_int_equal(back.node_id, 17);
	assert_string_equal(back.name, "n17");
	assert_string_equal(back.address, "10.0.0.17:6335");
	assert_true(back.shard && !back.coordinator);
	/* Not an identity. */
	assert_int_equal(store_put_file(&io, "node", "hello", 5, &err), 0);
	assert_int_equal(identity_load(&io, &back, &err), ERR_CORRUPT);
	store_io_fini(&io);
}

/* Several nodes find the same id; a single one makes up half of it, and knows its list again. */
static void test_ids_of_clusters(void **state)
{
	struct arena *arena = arena_new(1024);
	struct first_nodes three, one, other;
	struct error err;

	assert_int_equal(first_nodes_parse("b@h2:7,a@h1:7,c@h3:7", arena, &three, &err), 0);
	assert_int_equal(first_nodes_parse("a@h1:7", arena, &one, &err), 0);
	assert_int_equal(first_nodes_parse("a@h1:8", arena, &other, &err), 0);
	assert_true(first_nodes_cluster(&three) == first_nodes_cluster(&three));
	assert_true(first_nodes_began(&three, first_nodes_cluster(&three)));
	uint64_t id = first_nodes_cluster(&one);
	bool differs = false;
	for (int i = 0; i < 8; i++)
		differs = differs || first_nodes_cluster(&one) != id;
	assert_true(differs);
	assert_true(first_nodes_began(&one, id));
	assert_false(first_nodes_began(&other, id));
	assert_false(first_nodes_began(&three, id));
	arena_free(arena);
}

static void test_first_nodes(void **state)
{
	struct arena *arena = arena_new(256);
	struct first_nodes a, b, c;
	struct error err = {0};
	assert_int_equal(first_nodes_parse("b@h2:7,a@h1:7,c@h3:7", arena, &a, &err), 0);
	assert_int_equal(first_nodes_parse("c@h3:7,a@h1:7,b@h2:7", arena, &b, &err), 0);
	assert_int_equal(a.n, 3);
	assert_string_equal(a.nodes[0].name, "a");
	assert_string_equal(a.nodes[0].voter.address, "h1:7");
	assert_int_equal(a.nodes[2].voter.id, 3);
	/* The order of the list is nobody's business; everything else is. */
	assert_int_equal(a.cluster_id, b.cluster_id);
	assert_int_equal(first_nodes_parse("a@h1:7,b@h2:8,c@h3:7", arena, &c, &err), 0);
	assert_int_not_equal(a.cluster_id, c.cluster_id);
	assert_int_equal(first_nodes_find(&a, "b")->voter.id, 2);
	assert_null(first_nodes_find(&a, "d"));
	arena_free(arena);
}

static void test_bad_lists(void **state)
{
	static const struct {
		const char *list, *words;
	} cases[] = {
		{"a", "NAME@HOST:PORT"},
		{"", "NAME@HOST:PORT"},
		{"a@h:1,", "NAME@HOST:PORT"},
		{"@h:1", "NAME@HOST:PORT"},
		{"a@h", "HOST:PORT"},
		{"a@h:x", "HOST:PORT"},
		{"a@h:99999", "HOST:PORT"},
		{"a@h:0", "port"},
		{"a@h:1,b@h:2", "1, 3 or 5"},
		{"a@h:1,a@h:2,b@h:3", "twice"},
		{"a@h:1,b@h:1,c@h:3", "same address"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct arena *arena = arena_new(256);
		struct first_nodes out;
		struct error err = {0};
		assert_int_equal(first_nodes_parse(cases[i].list, arena, &out, &err), ERR_INPUT);
		assert_non_null(strstr(err.text, cases[i].words));
		arena_free(arena);
	}
}

static void test_addresses_and_roles(void **state)
{
	char host[32];
	uint16_t port;
	bool coordinator, shard;
	struct error err = {0};
	assert_int_equal(address_parse("--rpc", "[::1]:80", host, sizeof(host), &port, &err), 0);
	assert_string_equal(host, "::1");
	assert_int_equal(port, 80);
	assert_true(address_is_loopback(host));
	assert_false(address_is_loopback("10.1.2.3"));
	assert_int_equal(address_parse("--rpc", "nohost", host, sizeof(host), &port, &err),
			 ERR_INPUT);
	assert_non_null(strstr(err.text, "--rpc nohost"));
	assert_int_equal(roles_parse("shard", &coordinator, &shard, &err), 0);
	assert_true(shard && !coordinator);
	assert_int_equal(roles_parse("shard,coordinator", &coordinator, &shard, &err), 0);
	assert_true(shard && coordinator);
	assert_int_equal(roles_parse("shard,", &coordinator, &shard, &err), ERR_INPUT);
	assert_int_equal(roles_parse("", &coordinator, &shard, &err), ERR_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_saved_and_loaded),    cmocka_unit_test(test_first_nodes),
		cmocka_unit_test(test_ids_of_clusters),     cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_addresses_and_roles),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
