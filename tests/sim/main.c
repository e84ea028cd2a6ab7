/* quiver-sim, which is also `quiver sim`: simulates clusters, see print_usage(). On a violation: what, the seed, the last
 * 200 lines of the trace, and how to replay it; exit code 1. */
#include "base/mutant.h"
#include "tests/sim/commit.h"
#include "tests/sim/sim.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int mutant_now;

static const char *const mutants[] = {"none",
#define MUTANT_NAME(name) #name,
				      MUTANTS(MUTANT_NAME)
#undef MUTANT_NAME
};
static const char *const worlds[] = {"any", "plain", "control", "histories"};
static enum sim_world world_now;
enum { JOBS_MAX = 64, N_MUTANTS = sizeof mutants / sizeof *mutants };

static char seed_text[32], seconds_text[32];
static bool tracing;
static char *program;

/* The same seed again, this time with the trace. */
static void on_abort(int number)
{
	const char *args[] = {program,    "--trace",           "--seed",    seed_text,
			      "--mutant", mutants[mutant_now], "--seconds", seconds_text,
			      "--world",  worlds[world_now],   NULL};

	(void)number;
	if (!tracing) {
		sigset_t none;

		fprintf(stderr, "--seed %s fails; once more, with the trace\n", seed_text);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execv("/proc/self/exe", (char *const *)args);
	}
	fflush(stdout);
	trace_dump();
	fprintf(stderr, "commit %s; replay: %s --seed %s --seconds %s --world %s --mutant %s\n",
		SIM_COMMIT, program, seed_text, seconds_text, worlds[world_now],
		mutants[mutant_now]);
	_exit(1);
}

#define LLU(x) (unsigned long long)(x)

struct arguments {
	uint64_t seed, runs, jobs;
	struct sim_options options;
};
struct share { /* of the work, as one process did it */
	struct stats stats;
	double took_s;
};

static double simulated_s(const struct arguments *a)
{
	return (double)a->runs * ((double)a->options.seconds + SIM_CALM_S);
}

static void print(const struct arguments *a, const struct share *all)
{
	const struct stats *t = &all->stats;

	printf("%.1f simulated hours, %llu faults, 0 violations, %.0f times real time on one core "
	       "(seeds %llu..%llu, %llu events, commit %s)\n",
	       simulated_s(a) / 3600, LLU(t->faults), simulated_s(a) / all->took_s, LLU(a->seed),
	       LLU(a->seed + a->runs - 1), LLU(t->events), SIM_COMMIT);
	printf("writes: %llu acknowledged, %llu refused, %llu unknown; searches: %llu complete, %llu "
	       "without an answer\n",
	       LLU(t->acked), LLU(t->refused), LLU(t->unknown), LLU(t->searches),
	       LLU(t->unanswered));
	printf("replicas asked after every step whether they may answer: %llu, of them %llu in the gap "
	       "of the contact lease\n",
	       LLU(t->reads), LLU(t->residual));
	printf("control plane: %llu terms, %llu commands, %llu snapshots, %llu nodes joined; epochs %llu, "
	       "truncations %llu, rebuilt replicas %llu\n",
	       LLU(t->terms), LLU(t->commands), LLU(t->snapshots), LLU(t->joined), LLU(t->epochs),
	       LLU(t->truncations), LLU(t->seeds));
	printf("writes resumed after at most %.1f s\n", (double)t->resume_max_us / 1e6);
}

static size_t one_of(const char *name, const char *const *names, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	fprintf(stderr, "there is no %s `%s`; --help and --mutants list them\n", what, name);
	exit(2);
}

static void print_usage(FILE *out)
{
	fprintf(out,
		"Usage: %s [--seed N] [--runs K | --hours H] [--seconds S] [--jobs J] [--world W] [--follow] [--mutant M | --mutants]\n\n"
		"Simulates whole clusters of one to nine nodes in virtual time, from one seed, on a network, disks and\n"
		"clocks that fail, and checks after every step what the protocols promise. No server is asked.\n\n"
		"Options:\n"
		"  --seed N      the first seed (1); the same seed is the same run\n"
		"  --runs K      so many clusters, from seeds N, N+1, ... (1)\n"
		"  --hours H     as many clusters as H simulated hours take\n"
		"  --seconds S   simulated seconds of faults for each cluster (300)\n"
		"  --jobs J      with so many processes (1)\n"
		"  --world W     only worlds of one kind: plain, control (the control plane under stress) or histories\n"
		"                (scripts of faults that must meet); a seed means another run then\n"
		"  --follow      print every step\n"
		"  --mutants     print the names of the bugs that can be seeded\n"
		"  --mutant M    with this bug: a violation is to be found\n\n"
		"Exit codes: 0 no violation, 1 a violation (it is told with the last steps and how to replay it), 2 wrong usage.\n\n"
		"Examples:\n"
		"  %s --seed 7\n"
		"  %s --seed 1 --hours 10\n",
		program, program, program);
}

static int number(const char *text, uint64_t *out)
{
	char *end;

	*out = strtoull(text, &end, 10);
	return end == text || *end || *text == '-' ? -1 : 0;
}

static int parse(int argc, char **argv, struct arguments *a)
{
	double hours = 0;
	int rc = 0;

	for (int i = 1; i < argc && rc == 0; i++) {
		const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(name, "--trace") == 0) {
			a->options.trace = tracing = true;
			continue;
		}
		if (strcmp(name, "--follow") == 0) {
			a->options.follow = a->options.trace = tracing = true;
			continue;
		}
		if (strcmp(name, "--mutants") == 0) {
			for (int k = 1; k < N_MUTANTS; k++)
				printf("%s\n", mutants[k]);
			exit(0);
		}
		if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
			print_usage(stdout);
			exit(0);
		}
		if (!value)
			return -1;
		if (strcmp(name, "--seed") == 0)
			rc = number(value, &a->seed);
		else if (strcmp(name, "--runs") == 0)
			rc = number(value, &a->runs);
		else if (strcmp(name, "--seconds") == 0)
			rc = number(value, &a->options.seconds);
		else if (strcmp(name, "--hours") == 0)
			hours = strtod(value, NULL);
		else if (strcmp(name, "--jobs") == 0)
			rc = number(value, &a->jobs);
		else if (strcmp(name, "--mutant") == 0)
			mutant_now = (int)one_of(value, mutants, N_MUTANTS, "mutant");
		else if (strcmp(name, "--world") == 0)
			a->options.world = world_now =
				(enum sim_world)one_of(value, worlds, WORLD_COUNT, "world");
		else
			return -1;
		i++;
	}
	if (rc != 0)
		return rc;
	if (simulated_s(a) < hours * 3600)
		a->runs = (uint64_t)(hours * 3600 / ((double)a->options.seconds + SIM_CALM_S)) + 1;
	return a->jobs >= 1 && a->jobs <= JOBS_MAX ? 0 : -1;
}

static void add(struct stats *to, const struct stats *from)
{
	uint64_t most = to->resume_max_us > from->resume_max_us ? to->resume_max_us
								: from->resume_max_us;

	for (size_t i = 0; i < sizeof *to / sizeof(uint64_t); i++)
		((uint64_t *)to)[i] += ((const uint64_t *)from)[i];
	to->resume_max_us = most;
}

/* Every jobs-th seed, from the nth on. */
static void run_share(const struct arguments *a, uint64_t nth, struct share *out)
{
	for (uint64_t i = nth; i < a->runs; i += a->jobs) {
		struct stats one = {0};

		snprintf(seed_text, sizeof seed_text, "%llu", LLU(a->seed + i));
		sim_run(a->seed + i, &a->options, &one);
		add(&out->stats, &one);
	}
	out->took_s = (double)clock() / CLOCKS_PER_SEC;
}

static void end_others(const pid_t *pids, uint64_t n, pid_t but)
{
	for (uint64_t i = 0; i < n; i++)
		if (pids[i] != but)
			kill(pids[i], SIGTERM);
}

/* One process each; the first that fails ends the others. */
static int run_jobs(const struct arguments *a, struct share *total)
{
	pid_t pids[JOBS_MAX], done;
	struct share part;
	int ends[2], status;

	if (pipe(ends) < 0)
		return -1;
	for (uint64_t i = 0; i < a->jobs; i++) {
		pids[i] = fork();
		if (pids[i] < 0) {
			end_others(pids, i, 0);
			return -1;
		}
		if (pids[i] > 0)
			continue;
		part = (struct share){0};
		run_share(a, i, &part);
		_exit(write(ends[1], &part, sizeof part) != sizeof part);
	}
	for (uint64_t i = 0; i < a->jobs; i++) {
		done = wait(&status);
		if (done < 0 || status != 0) {
			end_others(pids, a->jobs, done);
			return -1;
		}
		if (read(ends[0], &part, sizeof part) != sizeof part)
			return -1;
		add(&total->stats, &part.stats);
		total->took_s += part.took_s;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct arguments a = {.seed = 1, .runs = 1, .jobs = 1, .options.seconds = 300};
	struct share total = {0};

	program = argv[0];
	if (parse(argc, argv, &a)) {
		print_usage(stderr);
		return 2;
	}
	snprintf(seconds_text, sizeof seconds_text, "%llu", LLU(a.options.seconds));
	signal(SIGABRT, on_abort);
	if (a.jobs == 1)
		run_share(&a, 0, &total);
	else if (run_jobs(&a, &total) < 0)
		return 1;
	print(&a, &total);
	return 0;
}
