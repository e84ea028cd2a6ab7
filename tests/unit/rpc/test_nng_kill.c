/* SIGKILL of a peer under load, again and again: every call ends, and the connection to the next
 * process at the same address comes back by itself. (On nng's REQ/REP sockets it did not always: see
 * rpc/nng.c.) The servers are real processes, made by a helper that is forked before any thread is. */
#include "tests/unit/rpc/nodes.h"

#include <signal.h>
#include <sys/wait.h>

enum { KILLS = 25, CALLERS = 8 };

static int to_helper[2], from_helper[2];

/* ---- the helper: one letter in, one number out ---- */

static pid_t start_server(int port)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct node n;
		char address[32];

		snprintf(address, sizeof(address), "127.0.0.1:%d", port);
		node_init(&n, 2, 77, address);
		port = rpc_port(n.rpc);
		if (write(from_helper[1], &port, sizeof(port)) != sizeof(port))
			_exit(1);
		for (;;)
			pause();
	}
	return pid;
}

static void helper(void)
{
	pid_t server = -1;
	int port = 0;
	char what;

	while (read(to_helper[0], &what, 1) == 1) {
		if (server > 0) {
			kill(server, SIGKILL);
			waitpid(server, NULL, 0);
			server = -1;
		}
		if (what == 's') {
			if (read(to_helper[0], &port, sizeof(port)) != sizeof(port))
				break;
			server = start_server(port);
		}
	}
	if (server > 0)
		kill(server, SIGKILL);
	_exit(0);
}

static int ask_start(int port)
{
	assert_int_equal(write(to_helper[1], "s", 1), 1);
	assert_int_equal(write(to_helper[1], &port, sizeof(port)), sizeof(port));
	assert_int_equal(read(from_helper[0], &port, sizeof(port)), sizeof(port));
	return port;
}

static void ask_kill(void)
{
	assert_int_equal(write(to_helper[1], "k", 1), 1);
}

/* ---- the callers ---- */

static struct node here;
static atomic_bool stop;
static atomic_ulong answered, failed, wrong;

static void *call_for_ever(void *arg)
{
	uint64_t value = (uint64_t)(uintptr_t)arg;

	while (!stop) {
		struct counting c;
		int rc = ask_and_wait(&c, &here, 2, value);

		if (rc == 0) {
			atomic_fetch_add(&answered, 1);
			atomic_fetch_add(&wrong, c.response.count != value * 2);
		} else {
			atomic_fetch_add(&failed, 1);
			atomic_fetch_add(&wrong, rc != ERR_UNAVAILABLE && rc != ERR_CLOSED);
			usleep(500);
		}
	}
	return NULL;
}

static void test_killed_again_and_again(void **state)
{
	pthread_t threads[CALLERS];
	char address[32];
	int port = ask_start(0);

	node_init(&here, 1, 77, "127.0.0.1:0");
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	rpc_peer_set(here.rpc, 2, address);
	for (uintptr_t i = 0; i < CALLERS; i++)
		pthread_create(&threads[i], NULL, call_for_ever, (void *)(i + 1));
	for (int round = 0; round < KILLS; round++) {
		unsigned long before = answered;

		while (answered < before + 200) /* it is there, and under load */
			usleep(500);
		ask_kill();
		before = failed;
		while (failed < before + CALLERS) /* and gone, and everybody knows */
			usleep(500);
		assert_int_equal(ask_start(port), port);
	}
	wait_up(&here, 2, true);
	stop = true;
	for (int i = 0; i < CALLERS; i++)
		pthread_join(threads[i], NULL); /* no call is left without an end */
	assert_int_equal(wrong, 0);
	print_message("# %lu calls answered, %lu failed, %d kills\n", answered, failed, KILLS);
	node_fini(&here);
	ask_kill();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed_again_and_again)};
	pid_t pid;
	int rc;

	if (pipe(to_helper) != 0 || pipe(from_helper) != 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		close(to_helper[1]);
		helper();
	}
	close(to_helper[0]);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	close(to_helper[1]);
	waitpid(pid, NULL, 0);
	return rc;
}
