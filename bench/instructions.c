/* Single steps of a child process under ptrace(2), with what an empty function takes taken off. */
#include "bench/instructions.h"

#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GIVE_UP_S = 20 };

#if defined(__x86_64__)

static void nothing(void *ctx)
{
	(void)ctx;
}

static void child(void (*fn)(void *ctx), void *ctx)
{
	alarm(GIVE_UP_S); /* a lock that another thread held when the process was copied */
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(1);
	fn(ctx); /* what is done only once is done before */
	raise(SIGSTOP);
	fn(ctx);
	_exit(0);
}

/* Steps until the child ends. */
static uint64_t count_steps(pid_t pid)
{
	long before = 0;
	uint64_t n = 0;
	int status;

	while (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid) {
		long at;

		if (WIFEXITED(status))
			return WEXITSTATUS(status) == 0 ? n : 0;
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
			break;
		at = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), NULL);
		n += at != before;
		before = at;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return 0;
}

static uint64_t count(void (*fn)(void *ctx), void *ctx)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		child(fn, ctx);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	    WSTOPSIG(status) != SIGSTOP) {
		if (pid > 0)
			kill(pid, SIGKILL);
		return 0;
	}
	return count_steps(pid);
}

uint64_t instructions_of(void (*fn)(void *ctx), void *ctx)
{
	uint64_t all = count(fn, ctx), empty = count(nothing, NULL);

	return all > empty && empty > 0 ? all - empty : 0;
}

#else

uint64_t instructions_of(void (*fn)(void *ctx), void *ctx)
{
	(void)fn;
	(void)ctx;
	return 0;
}

#endif
