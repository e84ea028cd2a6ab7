/* What processes on this machine take: processor time and memory, from /proc. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench.h"

/* utime and stime, behind the name, which may hold anything. */
static bool read_cpu(uint64_t pid, double *seconds)
{
	char path[64], text[1024];
	unsigned long long user, system;

	snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", pid);
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = 0;
	const char *at = strrchr(text, ')');
	if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
			  &system) != 2)
		return false;
	*seconds += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
	return true;
}

static bool read_memory(uint64_t pid, struct bench_use *use)
{
	char path[64], line[256];
	unsigned long long kb;

	snprintf(path, sizeof(path), "/proc/%" PRIu64 "/status", pid);
	FILE *f = fopen(path, "r");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "RssAnon: %llu", &kb) == 1)
			use->anonymous_bytes += kb * 1024;
		else if (sscanf(line, "RssFile: %llu", &kb) == 1)
			use->mapped_bytes += kb * 1024;
	}
	fclose(f);
	return true;
}

int bench_use(const struct bench *b, struct bench_use *out, struct error *err)
{
	*out = (struct bench_use){0};
	for (size_t i = 0; i < b->n_pids; i++) {
		if (!read_cpu(b->pids[i], &out->cpu_s) || !read_memory(b->pids[i], out))
			return error_set(err, ERR_INPUT,
					 "--pid: there is no process %" PRIu64 " to be measured",
					 b->pids[i]);
	}
	return 0;
}
