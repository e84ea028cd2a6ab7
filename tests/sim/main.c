/* quiver-sim --seed N [--runs K] [--seconds S] [--hours H] [--mutant M]
 *
 * --follow prints the whole trace. Simulates K clusters (or as many as H simulated hours take), each for S seconds of
 * faults and a while after. On a violation: what, the seed, the last 200 lines of the trace, and how to replay it; exit
 * code 1. */
#include "base/mutant.h"
#include "tests/sim/commit.h"
#include "tests/sim/sim.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int mutant_now;

static const char *const mutants[] = {"none",
#define MUTANT_NAME(name) #name,
				      MUTANTS(MUTANT_NAME)
#undef MUTANT_NAME
};
enum { N_MUTANTS = sizeof mutants / sizeof *mutants };

static char seed_text[32], seconds_text[32];
static bool tracing;
static char *program;

/* The same seed again, this time with the trace. */
static void on_abort(int number)
{
	const char *args[] = {program,     "--trace",    "--seed",
			      seed_text,   "--mutant",   mutants[mutant_now],
			      "--seconds", seconds_text, NULL};

	(void)number;
	if (!tracing) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execv("/proc/self/exe", (char *const *)args);
	}
	fflush(stdout);
	trace_dump();
	fprintf(stderr, "commit %s; replay: %s --seed %s --seconds %s --mutant %s\n", SIM_COMMIT,
		program, seed_text, seconds_text, mutants[mutant_now]);
	_exit(1);
}

#define LLU(x) (unsigned long long)(x)

static void print(uint64_t first, uint64_t runs, double simulated, const struct stats *t)
{
	double took = (double)clock() / CLOCKS_PER_SEC;

	printf("seeds %llu..%llu at %s: %.1f simulated hours, %.0f times real time on one core, "
	       "%llu faults, %llu events\n",
	       LLU(first), LLU(first + runs - 1), SIM_COMMIT, simulated / 3600, simulated / took,
	       LLU(t->faults), LLU(t->events));
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
	printf("writes resumed after at most %.1f s; violations: 0\n",
	       (double)t->resume_max_us / 1e6);
}

static int mutant_named(const char *name)
{
	for (int i = 0; i < N_MUTANTS; i++)
		if (strcmp(mutants[i], name) == 0)
			return i;
	fprintf(stderr, "there is no mutant `%s`; --mutants lists them\n", name);
	exit(2);
}

struct arguments {
	uint64_t seed, runs;
	double hours;
	struct sim_options options;
};

static int parse(int argc, char **argv, struct arguments *a)
{
	for (int i = 1; i < argc; i++) {
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
		if (!value)
			return -1;
		if (strcmp(name, "--seed") == 0)
			a->seed = strtoull(value, NULL, 10);
		else if (strcmp(name, "--runs") == 0)
			a->runs = strtoull(value, NULL, 10);
		else if (strcmp(name, "--seconds") == 0)
			a->options.seconds = strtoull(value, NULL, 10);
		else if (strcmp(name, "--hours") == 0)
			a->hours = strtod(value, NULL);
		else if (strcmp(name, "--mutant") == 0)
			mutant_now = mutant_named(value);
		else
			return -1;
		i++;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct arguments a = {.seed = 1, .runs = 1, .options.seconds = 300};
	uint64_t done = 0;
	double simulated = 0;
	struct stats total = {0};

	program = argv[0];
	if (parse(argc, argv, &a)) {
		fprintf(stderr,
			"usage: %s [--seed N] [--runs K] [--seconds S] [--hours H] [--mutant M] [--mutants] [--follow]\n",
			argv[0]);
		return 2;
	}
	snprintf(seconds_text, sizeof seconds_text, "%llu", (unsigned long long)a.options.seconds);
	signal(SIGABRT, on_abort);
	for (; done < a.runs || simulated < a.hours * 3600; done++) {
		snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)(a.seed + done));
		sim_run(a.seed + done, &a.options, &total);
		simulated += (double)a.options.seconds + 100;
	}
	print(a.seed, done, simulated, &total);
	return 0;
}
