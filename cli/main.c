/* quiver: the command line of the vector search server quiverd. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/hint.h"
#include "cli/command.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *about;
} commands[] = {
	{"collection", command_collection, "create, list, describe and delete collections"},
	{"ingest", command_ingest, "load vector files, JSON lines or folders of text"},
	{"search", command_search, "find the points nearest to a vector or a text"},
	{"count", command_count, "count the points of a collection, or those that match a filter"},
	{"backup", command_backup, "write a collection into a folder"},
	{"restore", command_restore, "make a collection again from such a folder"},
	{"cluster", command_cluster, "show, plan and change where the data of a cluster is"},
	{"key", command_key, "create, list and remove API keys"},
	{"bench", command_bench, "measure recall, throughput and latency of a server"},
	{"sim", command_sim,
	 "simulate clusters whose network, disks and clocks fail (asks no server)"},
};
enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_usage(FILE *out)
{
	fprintf(out,
		"quiver %s: the command line of the vector search server quiverd\n\n"
		"Usage: quiver COMMAND [OPTIONS]\n\n"
		"Commands:\n",
		QUIVER_VERSION);
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].about);
	fprintf(out,
		"\n"
		"Every command has --help, and all but sim have --url URL (or QUIVER_URL; default\n"
		"http://127.0.0.1:6333), --api-key KEY (or QUIVER_API_KEY) and --json.\n\n"
		"Exit codes:\n"
		"  0    done\n"
		"  1    failed: the server refused, the data is wrong, or a tally does not add up\n"
		"  2    wrong usage\n"
		"  3    no server answers at the URL\n"
		"  4    the collection, point or file does not exist\n"
		"  130  stopped by Ctrl-C (`quiver ingest` goes on when it is called again)\n\n"
		"Examples:\n"
		"  quiver ingest manuals --text /usr/share/man/man1\n"
		"  quiver search manuals --text \"how do I follow a growing log file\"\n"
		"  quiver ingest sift sift-128-euclidean.hdf5\n"
		"  quiver bench --random 100000,128 --ef 16,32,64 --clients 1,8,32\n");
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_usage(stdout);
		return EXIT_DONE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("quiver %s\n", QUIVER_VERSION);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			int code = commands[i].run(argc - 1, argv + 1);

			if (fflush(stdout) != 0 && code == EXIT_DONE) {
				fprintf(stderr, "quiver: the output could not be written\n");
				code = EXIT_FAILED;
			}
			return code;
		}
	}
	if (argv[1][0] == '-')
		return command_misused("", "`%s` comes after the command: quiver COMMAND ... %s",
				       argv[1], argv[1]);
	struct hint hint = hint_of(argv[1], strlen(argv[1]));

	for (size_t i = 0; i < N_COMMANDS; i++)
		hint_consider(&hint, commands[i].name);
	return command_misused("", "there is no command `%s`%s%s%s", argv[1],
			       hint.best[0] ? "; did you mean " : "", hint.best,
			       hint.best[0] ? "?" : "");
}
