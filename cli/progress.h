/* A line of progress on stderr: a bar that is redrawn on a terminal, else a line every few seconds. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what; /* "points" */
	bool quiet, tty;
	uint64_t start_us, shown_us;
};

void progress_begin(struct progress *p, const char *what, bool quiet);
/* `count` of them so far, `done` (0 .. 1) of the whole; the estimate of the time left follows `done`. */
void progress_show(struct progress *p, uint64_t count, double done);
/* A line of its own, which does not disturb the bar. */
void progress_note(struct progress *p, const char *text);
void progress_end(struct progress *p);
