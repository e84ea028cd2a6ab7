/* sim --seed N [--runs K] [--seconds S] [--hours H] [--mutant M]
 *
 * --follow prints the whole trace. Simulates K clusters (or as many as H simulated hours take), each for S seconds of faults and a while after. On a violation: what,
 * the seed, the last 200 lines of the trace, and how to replay it; exit code 1. */
#include "base/clock.h"
#include "shard/replica_internal.h"
#include "tests/sim/sim.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int replica_mutant;

static const char *const mutants[] = {"none",
#define MUTANT_NAME(name) #name,
				      REPLICA_MUTANTS(MUTANT_NAME)
#undef MUTANT_NAME
};
enum { MUTANTS = sizeof mutants / sizeof *mutants };

static char seed_text[32], seconds_text[32];
static bool tracing;
static char *program;

/* The same seed again, this time with the trace. */
static void on_abort(int number)
{
	const char *args[] = {program,     "--trace",    "--seed",
			      seed_text,   "--mutant",   mutants[replica_mutant],
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
	fprintf(stderr, "replay: %s --seed %s --seconds %s --mutant %s\n", program, seed_text,
		seconds_text, mutants[replica_mutant]);
	_exit(1);
}

static void print(uint64_t first, uint64_t runs, double simulated, double took,
		  const struct stats *t)
{
	printf("seeds %llu..%llu: %.1f simulated hours, %.0f times real time, %llu faults, "
	       "%llu events\n",
	       (unsigned long long)first, (unsigned long long)(first + runs - 1), simulated / 3600,
	       simulated / took, (unsigned long long)t->faults, (unsigned long long)t->events);
	printf("writes: %llu acknowledged, %llu refused, %llu unknown; reads checked: %llu, of them %llu in the "
	       "gap of the contact lease\n",
	       (unsigned long long)t->acked, (unsigned long long)t->refused,
	       (unsigned long long)t->unknown, (unsigned long long)t->reads,
	       (unsigned long long)t->residual);
	printf("epochs %llu, truncations %llu, rebuilt replicas %llu, writes resumed after at most %.1f s; "
	       "violations: 0\n",
	       (unsigned long long)t->epochs, (unsigned long long)t->truncations,
	       (unsigned long long)t->seeds, (double)t->resume_max_us / 1e6);
}

static int mutant_named(const char *name)
{
	for (int i = 0; i < MUTANTS; i++)
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
			for (int k = 1; k < MUTANTS; k++)
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
			replica_mutant = mutant_named(value);
		else
			return -1;
		i++;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct arguments a = {.seed = 1, .runs = 1, .options.seconds = 300};
	uint64_t began_us = clock_monotonic_us(), done = 0;
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
	print(a.seed, done, simulated, (double)(clock_monotonic_us() - began_us) / 1e6, &total);
	return 0;
}
