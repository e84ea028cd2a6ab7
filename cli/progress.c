#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/command.h"

enum { BAR = 24, TTY_PERIOD_US = 100000, LINE_PERIOD_US = 5000000 };

/* "42 s", "3 min 05 s", "2 h 10 min" */
static const char *time_text(double seconds, char out[32])
{
	unsigned long s = seconds < 0     ? 0
			  : seconds > 1e9 ? 1000000000
					  : (unsigned long)(seconds + 0.5);

	if (s < 90)
		snprintf(out, 32, "%lu s", s);
	else if (s < 5400)
		snprintf(out, 32, "%lu min %02lu s", s / 60, s % 60);
	else
		snprintf(out, 32, "%lu h %02lu min", s / 3600, s / 60 % 60);
	return out;
}

void progress_begin(struct progress *p, const char *what, bool quiet)
{
	*p = (struct progress){.what = what,
			       .quiet = quiet,
			       .tty = isatty(STDERR_FILENO),
			       .start_us = clock_monotonic_us()};
	p->shown_us = p->start_us;
}

static void draw(const struct progress *p, uint64_t count, double done, double seconds)
{
	double rate = seconds > 0 ? (double)count / seconds : 0;
	char number[32], speed[32], left[32] = "?";

	if (done > 0.001 && seconds > 0.5)
		time_text(seconds * (1 - done) / done, left);
	command_number(count, number);
	command_number((uint64_t)rate, speed);
	if (!p->tty) {
		fprintf(stderr, "%3.0f %%  %s %s, %s/s, %s left\n", done * 100, number, p->what,
			speed, left);
		return;
	}
	char bar[BAR + 1];
	int full = (int)(done * BAR);
	memset(bar, ' ', BAR);
	memset(bar, '#', full > BAR ? BAR : (size_t)full);
	bar[BAR] = 0;
	fprintf(stderr, "\r[%s] %3.0f %%  %s %s  %s/s  %s left \x1b[K", bar, done * 100, number,
		p->what, speed, left);
	fflush(stderr);
}

void progress_show(struct progress *p, uint64_t count, double done)
{
	uint64_t now = clock_monotonic_us();

	if (p->quiet || now - p->shown_us < (p->tty ? TTY_PERIOD_US : LINE_PERIOD_US))
		return;
	p->shown_us = now;
	draw(p, count, done > 1 ? 1 : done, (double)(now - p->start_us) * 1e-6);
}

void progress_note(struct progress *p, const char *text)
{
	if (p->tty && !p->quiet)
		fprintf(stderr, "\r\x1b[K");
	fprintf(stderr, "%s\n", text);
}

void progress_end(struct progress *p)
{
	if (p->tty && !p->quiet)
		fprintf(stderr, "\r\x1b[K");
}
