/* See cluster_key.h. */
#include "server/cluster_key.h"
#include "base/clock.h"
#include "base/log.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_MIN_BYTES = 16, KEY_MAX_BYTES = 4096, TELL_EVERY_US = 10000000 };

static int read_file(const char *path, char *out, size_t size, size_t *n, struct error *err)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "--cluster-key-file %s", path);
	ssize_t got = read(fd, out, size);
	int reason = errno;
	if (fstat(fd, &status) == 0 && (status.st_mode & (S_IRGRP | S_IROTH)) != 0)
		log_warn("node", "other users may read the cluster key in %s (mode %03o)", path,
			 status.st_mode & 0777);
	close(fd);
	if (got < 0)
		return error_errno(err, reason, "--cluster-key-file %s", path);
	*n = (size_t)got;
	return 0;
}

static int take_key(const char *text, size_t n, const char *from, struct arena *arena,
		    const char **out, struct error *err)
{
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	while (n > 0 && isspace((unsigned char)*text)) {
		text++;
		n--;
	}
	if (n < KEY_MIN_BYTES || n > KEY_MAX_BYTES || memchr(text, 0, n) != NULL)
		return error_set(
			err, ERR_INPUT,
			"%s: a cluster key is %d to %d bytes of text, this is %zu; make one "
			"with `openssl rand -hex 32`",
			from, KEY_MIN_BYTES, KEY_MAX_BYTES, n);
	char *key = arena_copy(arena, text, n + 1);
	key[n] = 0;
	*out = key;
	return 0;
}

int cluster_key_read(const char *file, struct arena *arena, const char **out, struct error *err)
{
	const char *text = getenv("QUIVER_CLUSTER_KEY");
	char bytes[KEY_MAX_BYTES + 256];
	size_t n = 0;
	*out = NULL;
	if (file == NULL)
		file = getenv("QUIVER_CLUSTER_KEY_FILE");
	if (file != NULL && file[0] != 0) {
		int rc = read_file(file, bytes, sizeof(bytes) - 1, &n, err);
		bytes[rc == 0 ? n : 0] = 0;
		return rc ? rc : take_key(bytes, n, file, arena, out, err);
	}
	if (text == NULL || text[0] == 0)
		return 0;
	return take_key(text, strlen(text), "QUIVER_CLUSTER_KEY", arena, out, err);
}

void cluster_key_refused(void *ctx, const struct error *why)
{
	static _Atomic uint64_t told_us;
	static atomic_ulong untold;
	uint64_t now = clock_monotonic_us(), last = told_us;
	if ((last != 0 && now - last < TELL_EVERY_US) ||
	    !atomic_compare_exchange_strong(&told_us, &last, now)) {
		atomic_fetch_add(&untold, 1);
		return;
	}
	unsigned long more = atomic_exchange(&untold, 0);
	if (more > 0)
		log_warn("node", "%s (and %lu more times since the last warning)", why->text, more);
	else
		log_warn("node", "%s", why->text);
}
