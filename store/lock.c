/* The lock and the format version of a data folder. */
#include "base/assert.h"
#include "base/memory.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct store_lock {
	int fd;
};

static const char FORMAT_FILE[] = "FORMAT";

static int read_format(const struct store_io *io, struct store_file *f, const char *root,
		       struct error *err)
{
	char text[64];
	size_t got = 0;
	int rc = io->read(f, 0, text, sizeof(text) - 1, &got, err);
	if (rc != 0)
		return rc;
	text[got] = 0;
	unsigned version = 0;
	char end = 0;
	if (sscanf(text, "quiver-data %u%c", &version, &end) != 2 || end != '\n')
		return error_set(err, ERR_CORRUPT,
				 "%s/%s does not say which version of quiver wrote the folder; it "
				 "should be one line \"quiver-data %d\"",
				 root, FORMAT_FILE, STORE_FORMAT_VERSION);
	if (version != STORE_FORMAT_VERSION)
		return error_set(err, ERR_VERSION,
				 "the data in %s has format %u, this program reads format %d; use "
				 "the version of quiver that wrote it",
				 root, version, STORE_FORMAT_VERSION);
	return 0;
}

static int write_format(const struct store_io *io, struct error *err)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "quiver-data %d\n", STORE_FORMAT_VERSION);
	struct store_file *f = NULL;
	int rc = io->open(io->ctx, "FORMAT.tmp", true, &f, err);
	if (rc != 0)
		return rc;
	rc = io->truncate(f, 0, err);
	if (rc == 0)
		rc = io->write(f, 0, text, (size_t)n, err);
	if (rc == 0)
		io->sync(f);
	io->close(f);
	if (rc == 0)
		rc = io->rename(io->ctx, "FORMAT.tmp", FORMAT_FILE, err);
	if (rc == 0)
		io->sync_dir(io->ctx, "");
	return rc;
}

static int check_format(const struct store_io *io, const char *root, struct error *err)
{
	struct store_file *f = NULL;
	int rc = io->open(io->ctx, FORMAT_FILE, false, &f, err);
	if (rc == ERR_NOT_FOUND)
		return write_format(io, err);
	if (rc != 0)
		return rc;
	rc = read_format(io, f, root, err);
	io->close(f);
	return rc;
}

static int take_lock(int fd, const char *path, struct error *err)
{
	char text[32] = "";
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK)
			return error_errno(err, errno, "lock %s", path);
		ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
		text[n > 0 ? (size_t)n : 0] = 0;
		return error_set(err, ERR_LOCKED,
				 "%s is held by process %s; stop it, or use another data folder",
				 path, text[0] != 0 ? text : "(unknown)");
	}
	int n = snprintf(text, sizeof(text), "%ld", (long)getpid());
	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return error_errno(err, errno, "write %s", path);
	return 0;
}

int store_lock(const char *root, struct store_lock **out, struct error *err)
{
	struct store_io io;
	int rc = store_io_real(root, &io, err);
	if (rc != 0)
		return rc;
	struct store_lock *lock = mem_zalloc(sizeof(*lock));
	char *path = mem_printf("%s/LOCK", root);
	lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (lock->fd < 0)
		rc = error_errno(err, errno, "open %s", path);
	else
		rc = take_lock(lock->fd, path, err);
	if (rc == 0)
		rc = check_format(&io, root, err);
	free(path);
	store_io_fini(&io);
	if (rc != 0) {
		store_unlock(lock);
		return rc;
	}
	*out = lock;
	return 0;
}

void store_unlock(struct store_lock *lock)
{
	if (lock == NULL)
		return;
	if (lock->fd >= 0)
		close(lock->fd);
	free(lock);
}
