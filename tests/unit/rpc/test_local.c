/* Local transport: served on the caller's thread, other nodes unavailable, errors get a text. */
#include "tests/unit/unit.h"
#include "rpc/rpc.h"
#include <pthread.h>
#include <string.h>

struct seen {
	int calls;
	int rc;
	pthread_t thread;
};

static void handle(void *ctx, struct rpc_call *call)
{
	struct seen *seen = ctx;
	struct rpc_count_response *out = call->response;

	seen->calls++;
	seen->thread = pthread_self();
	assert_int_equal(call->type, RPC_TYPE_count);
	out->count = 7;
	rpc_finish(call, seen->rc);
}

static void done(struct rpc_call *call)
{
	(*(int *)call->ctx)++;
}

struct fixture {
	struct rpc *rpc;
	struct seen seen;
	struct rpc_count_request request;
	struct rpc_count_response response;
	struct rpc_call call;
	int n_done;
};

static void fixture_init(struct fixture *f)
{
	struct error err = {0};

	memset(f, 0, sizeof *f);
	assert_int_equal(rpc_new(&f->rpc, 42, &err), 0);
	f->call = (struct rpc_call){
		.type = RPC_TYPE_count,
		.request = &f->request,
		.response = &f->response,
		.done = done,
		.ctx = &f->n_done,
	};
}

static void own_node_is_served_on_this_thread(void **state)
{
	struct fixture f;

	fixture_init(&f);
	rpc_serve_local(f.rpc, (struct rpc_service){handle, &f.seen});
	rpc_send(f.rpc, 42, &f.call);
	assert_int_equal(f.n_done, 1);
	assert_int_equal(f.call.rc, 0);
	assert_int_equal(f.response.count, 7);
	assert_true(pthread_equal(f.seen.thread, pthread_self()));
	rpc_free(f.rpc);
	(void)state;
}

static void errors_always_have_a_text(void **state)
{
	struct fixture f;

	fixture_init(&f);
	f.seen.rc = ERR_STALE;
	rpc_serve_local(f.rpc, (struct rpc_service){handle, &f.seen});
	error_set(&f.call.err, ERR_IO, "left over from the last call");
	rpc_send(f.rpc, 42, &f.call);
	assert_int_equal(f.call.rc, ERR_STALE);
	assert_int_equal(f.call.err.code, ERR_STALE);
	assert_string_equal(f.call.err.text, error_text(ERR_STALE));
	rpc_free(f.rpc);
	(void)state;
}

static void other_nodes_are_unavailable(void **state)
{
	struct fixture f;

	fixture_init(&f);
	rpc_send(f.rpc, 42, &f.call); /* nobody serves yet */
	assert_int_equal(f.call.rc, ERR_UNAVAILABLE);
	rpc_serve_local(f.rpc, (struct rpc_service){handle, &f.seen});
	rpc_send(f.rpc, 43, &f.call);
	assert_int_equal(f.call.rc, ERR_UNAVAILABLE);
	assert_non_null(strstr(f.call.err.text, "43"));
	assert_int_equal(f.seen.calls, 0);
	assert_int_equal(f.n_done, 2);
	rpc_free(f.rpc);
	rpc_free(NULL);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_node_is_served_on_this_thread),
		cmocka_unit_test(errors_always_have_a_text),
		cmocka_unit_test(other_nodes_are_unavailable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
