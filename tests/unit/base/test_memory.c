/* What must end the process does so, and says where. Each try is a child process. */
#include "tests/unit/large_alloc.h"
#include "tests/unit/unit.h"
#include "base/assert.h"
#include "base/codec.h"
#include "base/memory.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char said[512];

/* Runs `fn` in a child; returns the signal that ended it, 0 for none. Its stderr is in said[]. */
static int signal_of(void (*fn)(void))
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit no_core = {0, 0};
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		dup2(ends[1], STDERR_FILENO);
		fn();
		_exit(0);
	}
	close(ends[1]);
	size_t n = 0;
	ssize_t got;
	while ((got = read(ends[0], said + n, sizeof(said) - 1 - n)) > 0)
		n += (size_t)got;
	said[n] = '\0';
	close(ends[0]);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void broken_promise(void)
{
	int two = 2;
	assert(two == 3);
}

static void kept_promise(void)
{
	int two = 2;
	assert(two == 2);
}

static void too_many_items(void)
{
	mem_array(SIZE_MAX / 2, 3);
}

static void take(void)
{
	large_alloc_fail(1000, 1);
	mem_alloc(100);
	mem_alloc(1001);
}

static void take_zeroed(void)
{
	large_alloc_fail(1000, 1);
	mem_array(7, 143);
}

static void take_more(void)
{
	large_alloc_fail(1000, 2);
	mem_resize(mem_alloc(1000), 1001);
}

static void reserve(void)
{
	struct buf b = BUF_INIT;
	large_alloc_fail(1000, 1);
	buf_reserve(&b, 1001);
}

static void write_past_the_end(void)
{
	struct buf b = BUF_INIT;
	buf_put_u32(&b, 1);
	buf_set_u32(&b, 1, 2);
}

static void a_broken_assertion_ends_the_process(void **state)
{
	assert_int_equal(signal_of(broken_promise), SIGABRT);
	assert_non_null(strstr(said, "test_memory.c:"));
	assert_non_null(strstr(said, "assertion failed: two == 3"));
	assert_int_equal(signal_of(kept_promise), 0);
	assert_string_equal(said, "");
}

static void sizes_that_overflow_end_the_process(void **state)
{
	assert_int_equal(signal_of(too_many_items), SIGABRT);
	assert_int_equal(signal_of(write_past_the_end), SIGABRT);
}

static void without_memory_it_says_so(void **state)
{
	void (*const tries[])(void) = {take, take_zeroed, take_more, reserve};
	for (int i = 0; i < 4; i++) {
		assert_int_equal(signal_of(tries[i]), SIGABRT);
		assert_non_null(strstr(said, "Out of memory: 1001 bytes cannot be had"));
	}
}

static void small_allocations_are_never_null(void **state)
{
	void *nothing = mem_alloc(0), *zeroed = mem_zalloc(0), *none = mem_array(0, 8);
	assert_non_null(nothing);
	assert_non_null(zeroed);
	assert_non_null(none);
	nothing = mem_resize(nothing, 100);
	assert_non_null(nothing);
	memset(nothing, 1, 100);
	nothing = mem_resize(nothing, 0);
	assert_non_null(nothing);
	free(nothing);
	free(zeroed);
	free(none);
	char *copy = mem_strdup("text");
	assert_string_equal(copy, "text");
	free(copy);
	copy = mem_printf("%s and %d", "text", 7);
	assert_string_equal(copy, "text and 7");
	free(copy);
	free(mem_copy(NULL, 0));
	int *items = mem_array(10, sizeof(*items));
	for (int i = 0; i < 10; i++)
		assert_int_equal(items[i], 0);
	free(items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_broken_assertion_ends_the_process),
		cmocka_unit_test(sizes_that_overflow_end_the_process),
		cmocka_unit_test(without_memory_it_says_so),
		cmocka_unit_test(small_allocations_are_never_null),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
