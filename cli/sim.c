/* quiver sim: hands over to the simulator. That is a program of its own, because it contains the replication and the
 * control plane once more, compiled with the bugs that its own tests seed; none of that belongs into this one. */
#include "cli/command.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where it is, from the folder of this program: installed beside it; in a build folder, below. */
static const char *const PLACES[] = {"quiver-sim", "tests/sim/quiver-sim"};

int command_sim(int argc, char **argv)
{
	static char name[] = "quiver sim"; /* what it calls itself, also in "replay: ..." */
	char path[PATH_MAX], folder[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	char *slash;
	int why = ENOENT;

	if (n < 0) {
		fprintf(stderr, "quiver sim: it is not known where this program is: %s\n",
			strerror(errno));
		return EXIT_FAILED;
	}
	folder[n] = 0;
	slash = strrchr(folder, '/');
	*slash = 0;
	argv[0] = name;
	for (size_t i = 0; i < sizeof(PLACES) / sizeof(PLACES[0]) && why == ENOENT; i++) {
		if (snprintf(path, sizeof(path), "%s/%s", folder, PLACES[i]) >= (int)sizeof(path))
			continue;
		execv(path, argv);
		why = errno;
	}
	if (why != ENOENT) {
		fprintf(stderr, "quiver sim: %s cannot be run: %s\n", path, strerror(why));
		return EXIT_FAILED;
	}
	fprintf(stderr,
		"quiver sim: the simulator is not installed: there is no %s in %s. It comes with "
		"`scripts/build` and `meson install`\n",
		PLACES[0], folder);
	(void)argc;
	return EXIT_MISSING;
}
