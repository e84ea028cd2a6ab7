/* Log lines of the programs: "2026-01-31T12:00:00.123Z info shard: opened 4 partitions". Library
 * folders use log_debug only; runtimes and programs may use all levels. Thread-safe, to stderr. */
#pragma once

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);                   /* default LOG_INFO */
int log_level_parse(const char *name, enum log_level *out); /* 0 or ERR_INPUT */
void log_write(enum log_level level, const char *who, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(who, ...) log_write(LOG_ERROR, who, __VA_ARGS__)
#define log_warn(who, ...)  log_write(LOG_WARN, who, __VA_ARGS__)
#define log_info(who, ...)  log_write(LOG_INFO, who, __VA_ARGS__)
#define log_debug(who, ...) log_write(LOG_DEBUG, who, __VA_ARGS__)
