/* Log lines: one write to stderr per line, so that lines of several threads do not mix. */
#include "base/log.h"
#include "base/clock.h"
#include "base/error.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level max_level = LOG_INFO;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_set_level(enum log_level level)
{
	__atomic_store_n(&max_level, level, __ATOMIC_RELAXED);
}

int log_level_parse(const char *name, enum log_level *out)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return ERR_INPUT;
}

static size_t print_time(char *out, size_t room)
{
	uint64_t now_us = clock_wall_us();
	time_t seconds = (time_t)(now_us / 1000000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	size_t n = strftime(out, room, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(out + n, room - n, ".%03uZ", (unsigned)(now_us / 1000 % 1000));
}

void log_write(enum log_level level, const char *who, const char *format, ...)
{
	if (level > __atomic_load_n(&max_level, __ATOMIC_RELAXED))
		return;
	char line[2048];
	const size_t room = sizeof(line) - 1; /* for the end of the line */
	size_t n = print_time(line, room);
	n += (size_t)snprintf(line + n, room - n, " %s %.64s: ", level_names[level], who);
	size_t text = n;
	va_list args;
	va_start(args, format);
	int more = vsnprintf(line + n, room - n, format, args);
	va_end(args);
	if (more > 0)
		n += (size_t)more < room - n ? (size_t)more : room - n - 1;
	/* What came from outside must not be able to forge a line of its own. */
	for (size_t i = text; i < n; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F)
			line[i] = ' ';
	}
	line[n++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, n);
	(void)written; /* nobody is left to tell */
}
