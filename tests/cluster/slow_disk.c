/* Preloaded into a quiverd by tests/cluster/test_disks.py: its disk becomes slow, or hangs, when the test says so.
 *
 * The file that QUIVER_SLOW_DISK names holds "<milliseconds> <part of a path>": each sync of a file whose path has that part takes so much
 * longer; with -1 it lasts until the file is gone or says something else. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_US = 10000, TEXT = 512 };

/* How long a sync of fd is to last, in ms; -1: for now; 0: not longer than usual. */
static long delay_ms(int fd)
{
	const char *control = getenv("QUIVER_SLOW_DISK");
	char text[TEXT] = "", link[64], path[TEXT] = "", *part;
	FILE *f = control ? fopen(control, "r") : NULL;
	bool read;

	if (!f)
		return 0;
	read = fgets(text, sizeof text, f) != NULL;
	fclose(f);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	if (!read || readlink(link, path, sizeof path - 1) < 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	part = strchr(text, ' ');
	return part && strstr(path, part + 1) ? strtol(text, NULL, 10) : 0;
}

static int slowly(const char *name, int fd)
{
	int (*real)(int fd);
	void *symbol = dlsym(RTLD_NEXT, name);
	long ms;

	memcpy(&real, &symbol, sizeof real);
	while ((ms = delay_ms(fd)) < 0)
		usleep(LOOK_US);
	if (ms > 0)
		usleep((useconds_t)ms * 1000);
	return real(fd);
}

int fdatasync(int fd)
{
	return slowly("fdatasync", fd);
}

int fsync(int fd)
{
	return slowly("fsync", fd);
}
