/* Preloaded into a node by tests/cluster/faulty.py: a disk that is slow, hangs or is full, and a wall clock that is wrong.
 *
 * The orders stand in the file that QUIVER_FAULTS names, mapped, so that they take effect at once. The calls are made by their
 * numbers, which needs no second definition of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_US = 10000, PART_BYTES = 256, PATH_BYTES = 512 };

static const volatile struct orders {
	int64_t sync_us;       /* each sync takes so much longer; < 0: until this changes */
	int64_t full;          /* no space is left */
	int64_t wall_us;       /* so far off is CLOCK_REALTIME */
	char part[PART_BYTES]; /* sync_us is about files whose path has this in it; "": all */
} * orders;

__attribute__((constructor)) static void map_orders(void)
{
	const char *path = getenv("QUIVER_FAULTS");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p = fd >= 0 ? mmap(NULL, sizeof(*orders), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (p == MAP_FAILED)
		_exit(99);
	close(fd);
	orders = p;
}

static bool concerns(int fd)
{
	char link[64], path[PATH_BYTES] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, path, sizeof(path) - 1) >= 0 &&
	       strstr(path, (const char *)orders->part) != NULL;
}

static void be_slow(int fd)
{
	while (orders->sync_us < 0 && concerns(fd))
		usleep(LOOK_US);
	if (orders->sync_us > 0 && concerns(fd))
		usleep((useconds_t)orders->sync_us);
}

int fsync(int fd)
{
	be_slow(fd);
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	be_slow(fd);
	return (int)syscall(SYS_fdatasync, fd);
}

static int no_space(void)
{
	errno = ENOSPC;
	return -1;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
	if (orders->full)
		return no_space();
	return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset)
{
	if (orders->full)
		return no_space();
	return syscall(SYS_pwrite64, fd, bytes, n, offset);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	int rc = (int)syscall(SYS_clock_gettime, id, t);

	if (rc == 0 && id == CLOCK_REALTIME && orders != NULL && orders->wall_us != 0) {
		int64_t us = (int64_t)t->tv_sec * 1000000 + t->tv_nsec / 1000 + orders->wall_us;

		t->tv_sec = (time_t)(us / 1000000);
		t->tv_nsec = (long)(us % 1000000) * 1000;
	}
	return rc;
}
