/* sim --seed N [--runs K] [--seconds S] [--hours H] [--mutant M]
 *
 * Simulates K clusters (or as many as H simulated hours take), each for S seconds of faults and a while after. On a violation: what,
 * the seed, the last 200 lines of the trace, and how to replay it; exit code 1. */
#include "base/clock.h"
#include "tests/sim/sim.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int replica_mutant;

static char seed_text[32], mutant_text[32], seconds_text[32];
static bool tracing;
static char *program;

/* The same seed again, this time with the trace. */
static void on_abort(int number)
{
	const char *args[] = {program,     "--trace",   "--seed",     seed_text, "--mutant",
			      mutant_text, "--seconds", seconds_text, NULL};

	(void)number;
	if (!tracing) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execv("/proc/self/exe", (char *const *)args);
	}
	trace_dump();
	fprintf(stderr, "replay: %s --seed %s --seconds %s --mutant %s\n", program, seed_text,
		seconds_text, mutant_text);
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

int main(int argc, char **argv)
{
	uint64_t seed = 1, runs = 1, done = 0;
	uint64_t began_us = clock_monotonic_us();
	double hours = 0, simulated = 0;
	struct sim_options options = {.seconds = 300};
	struct stats total = {0};

	program = argv[0];
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--trace") == 0) {
			options.trace = tracing = true;
			continue;
		}
		if (i + 1 == argc) {
			fprintf(stderr,
				"usage: %s [--seed N] [--runs K] [--seconds S] [--hours H] [--mutant M]\n",
				argv[0]);
			return 2;
		}
		if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--runs") == 0)
			runs = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--seconds") == 0)
			options.seconds = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--hours") == 0)
			hours = strtod(argv[i + 1], NULL);
		else if (strcmp(argv[i], "--mutant") == 0)
			options.mutant = (int)strtol(argv[i + 1], NULL, 10);
		i++;
	}
	replica_mutant = options.mutant;
	snprintf(mutant_text, sizeof mutant_text, "%d", options.mutant);
	snprintf(seconds_text, sizeof seconds_text, "%llu", (unsigned long long)options.seconds);
	signal(SIGABRT, on_abort);
	while (done < runs || simulated < hours * 3600) {
		snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)(seed + done));
		sim_run(seed + done, &options, &total);
		simulated += (double)options.seconds + 100;
		done++;
	}
	print(seed, done, simulated, (double)(clock_monotonic_us() - began_us) / 1e6, &total);
	return 0;
}
