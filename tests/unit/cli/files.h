/* A folder for the files of a test, and their making. */
#pragma once
#include "tests/unit/unit.h"
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char test_folder[64];

static inline int make_folder(void **state)
{
	(void)state;
	snprintf(test_folder, sizeof(test_folder), "/tmp/quiver-cli-XXXXXX");
	return mkdtemp(test_folder) ? 0 : -1;
}

static inline void remove_all(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	char path[4096];

	while (d && (entry = readdir(d)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		int n = snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (n > 0 && (size_t)n < sizeof(path) && unlink(path) != 0)
			remove_all(path);
	}
	if (d)
		closedir(d);
	rmdir(folder);
}

static inline int remove_folder(void **state)
{
	(void)state;
	remove_all(test_folder);
	return 0;
}

/* The path of a file in the folder; four of them live at a time. */
static inline const char *in_folder(const char *name)
{
	static char paths[4][256];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", test_folder, name);
	return path;
}

static inline const char *write_bytes(const char *name, const void *bytes, size_t n)
{
	const char *path = in_folder(name);
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	return path;
}

static inline const char *write_text(const char *name, const char *text)
{
	return write_bytes(name, text, strlen(text));
}
