/* quiver-sim, which is also `quiver sim`: simulates clusters, see print_usage(). On a violation: what, the seed, the last
 * 200 lines of the trace, and how to replay it; exit code 1. */
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

static void print_usage(FILE *out)
{
	fprintf(out,
		"Usage: %s [--seed N] [--runs K | --hours H] [--seconds S] [--follow] [--mutant M | --mutants]\n\n"
		"Simulates whole clusters of one to nine nodes in virtual time, from one seed, on a network, disks and\n"
		"clocks that fail, and checks after every step what the protocols promise. No server is asked.\n\n"
		"Options:\n"
		"  --seed N      the first seed (1); the same seed is the same run\n"
		"  --runs K      so many clusters, from seeds N, N+1, ... (1)\n"
		"  --hours H     as many clusters as H simulated hours take\n"
		"  --seconds S   simulated seconds of faults for each cluster (300)\n"
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

struct arguments {
	uint64_t seed, runs;
	double hours;
	struct sim_options options;
};

static int parse(int argc, char **argv, struct arguments *a)
{
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
			a->hours = strtod(value, NULL);
		else if (strcmp(name, "--mutant") == 0)
			mutant_now = mutant_named(value);
		else
			return -1;
		i++;
	}
	return rc;
}

int main(int argc, char **argv)
{
	struct arguments a = {.seed = 1, .runs = 1, .options.seconds = 300};
	uint64_t done = 0;
	double simulated = 0;
	struct stats total = {0};

	program = argv[0];
	if (parse(argc, argv, &a)) {
		print_usage(stderr);
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
