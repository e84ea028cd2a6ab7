/* The real disk behind store_io. The only file of quiver that calls fsync or fdatasync.
 *
 * All paths are opened relative to a descriptor of the root folder, so the root may be renamed and
 * the working directory may change. A failed sync ends the process: the kernel may have marked the
 * pages clean although they never reached the disk, so a retry that succeeds proves nothing.
 */
#include "base/assert.h"
#include "base/memory.h"
#include "store/store.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct real_root {
	int fd;
	char *path; /* for messages */
};

struct real_file {
	int fd;
	bool resized; /* size changed since the last sync: the inode must be synced too */
	char *name;   /* root and path, for messages */
};

static struct real_file *file_of(struct store_file *f)
{
	return (struct real_file *)f;
}

__attribute__((noreturn, cold)) static void sync_failed(const char *name)
{
	fprintf(stderr,
		"quiver: could not make %s durable: %s. What was written may be lost, so the process "
		"ends here; check the disk, then start again.\n",
		name, strerror(errno));
	_exit(EXIT_FAILURE);
}

static void sync_folder_fd(int fd, const char *name)
{
	/* Some file systems have nothing to sync for a folder and say EINVAL. */
	if (fsync(fd) != 0 && errno != EINVAL)
		sync_failed(name);
}

static void real_sync_dir(void *ctx, const char *path)
{
	struct real_root *root = ctx;
	int fd = openat(root->fd, path[0] != 0 ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		sync_folder_fd(fd, path);
		close(fd);
	} else if (errno != ENOENT) { /* a folder that is gone has nothing to keep */
		/* No descriptor to be had, for example: then the whole file system. */
		if (root->fd == AT_FDCWD || syncfs(root->fd) != 0)
			sync_failed(path);
	}
}

/* Folder of a path: "a/b" -> "a", "a" -> ".". */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? mem_printf("%.*s", (int)(slash - path), path) : mem_strdup(".");
}

static int real_mkdir_one(struct real_root *root, const char *path, struct error *err)
{
	if (mkdirat(root->fd, path, 0750) != 0) {
		if (errno == EEXIST)
			return 0;
		return error_errno(err, errno, "create folder %s/%s", root->path, path);
	}
	char *parent = parent_of(path);
	real_sync_dir(root, parent);
	free(parent);
	return 0;
}

static int real_mkdirs(void *ctx, const char *path, struct error *err)
{
	struct real_root *root = ctx;
	char *part = mem_strdup(path);
	int rc = 0;
	for (char *slash = strchr(part + 1, '/'); slash != NULL && rc == 0;
	     slash = strchr(slash + 1, '/')) {
		*slash = 0;
		rc = real_mkdir_one(root, part, err);
		*slash = '/';
	}
	if (rc == 0)
		rc = real_mkdir_one(root, part, err);
	free(part);
	return rc;
}

static int real_open(void *ctx, const char *path, bool create, struct store_file **out,
		     struct error *err)
{
	struct real_root *root = ctx;
	int fd = openat(root->fd, path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0640);
	if (fd < 0)
		return error_errno(err, errno, "open %s/%s", root->path, path);
	struct real_file *f = mem_zalloc(sizeof(*f));
	f->fd = fd;
	f->name = mem_printf("%s/%s", root->path, path);
	*out = (struct store_file *)f;
	return 0;
}

static void real_close(struct store_file *file)
{
	if (file == NULL)
		return;
	struct real_file *f = file_of(file);
	close(f->fd);
	free(f->name);
	free(f);
}

static int real_read(struct store_file *file, uint64_t offset, void *bytes, size_t n, size_t *got,
		     struct error *err)
{
	struct real_file *f = file_of(file);
	size_t done = 0;
	while (done < n) {
		ssize_t part = pread(f->fd, (char *)bytes + done, n - done, (off_t)(offset + done));
		if (part == 0)
			break;
		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			return error_errno(err, errno, "read %s at %llu", f->name,
					   (unsigned long long)(offset + done));
		done += (size_t)part;
	}
	*got = done;
	return 0;
}

static int real_write(struct store_file *file, uint64_t offset, const void *bytes, size_t n,
		      struct error *err)
{
	struct real_file *f = file_of(file);
	size_t done = 0;
	while (done < n) {
		ssize_t part =
			pwrite(f->fd, (const char *)bytes + done, n - done, (off_t)(offset + done));
		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			/* EFBIG is a limit on file sizes (ulimit -f): for us the disk is full. */
			return error_errno(err, errno == EFBIG ? ENOSPC : errno, "write %s at %llu",
					   f->name, (unsigned long long)(offset + done));
		done += (size_t)part;
	}
	return 0;
}

static int real_size(struct store_file *file, uint64_t *out, struct error *err)
{
	struct real_file *f = file_of(file);
	struct stat st;
	if (fstat(f->fd, &st) != 0)
		return error_errno(err, errno, "stat %s", f->name);
	*out = (uint64_t)st.st_size;
	return 0;
}

static int real_truncate(struct store_file *file, uint64_t size, struct error *err)
{
	struct real_file *f = file_of(file);
	if (ftruncate(f->fd, (off_t)size) != 0)
		return error_errno(err, errno == EFBIG ? ENOSPC : errno, "truncate %s", f->name);
	f->resized = true;
	return 0;
}

static int real_allocate(struct store_file *file, uint64_t size, struct error *err)
{
	struct real_file *f = file_of(file);
	uint64_t now = 0;
	int rc = real_size(file, &now, err);
	if (rc != 0 || now >= size)
		return rc;
	f->resized = true;
	if (fallocate(f->fd, 0, (off_t)now, (off_t)(size - now)) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return error_errno(err, errno == EFBIG ? ENOSPC : errno,
				   "reserve %llu bytes for %s", (unsigned long long)size, f->name);
	/* This file system cannot reserve: a write may still find the disk full, which the callers
	 * handle as well. */
	return real_truncate(file, size, err);
}

static void real_sync(struct store_file *file)
{
	struct real_file *f = file_of(file);
	/* fdatasync promises the size only as far as needed to read the data back; a cut must be
	 * durable too. */
	if ((f->resized ? fsync(f->fd) : fdatasync(f->fd)) != 0)
		sync_failed(f->name);
	f->resized = false;
}

static int real_rename(void *ctx, const char *from, const char *to, struct error *err)
{
	struct real_root *root = ctx;
	if (renameat(root->fd, from, root->fd, to) != 0)
		return error_errno(err, errno, "rename %s/%s to %s", root->path, from, to);
	return 0;
}

static int real_remove(void *ctx, const char *path, struct error *err)
{
	struct real_root *root = ctx;
	if (unlinkat(root->fd, path, 0) != 0)
		return error_errno(err, errno, "remove %s/%s", root->path, path);
	return 0;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Removes what is in folder `fd` (which it closes). */
static int remove_entries(int fd, struct error *err)
{
	DIR *dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return error_errno(err, errno, "read a folder");
	}
	int rc = 0;
	struct dirent *e;
	while (rc == 0 && (e = readdir(dir)) != NULL) {
		if (is_dots(e->d_name))
			continue;
		if (unlinkat(dirfd(dir), e->d_name, 0) == 0)
			continue;
		if (errno != EISDIR && errno != EPERM) {
			rc = error_errno(err, errno, "remove %s", e->d_name);
			continue;
		}
		int sub = openat(dirfd(dir), e->d_name,
				 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		rc = sub < 0 ? error_errno(err, errno, "open %s", e->d_name)
			     : remove_entries(sub, err);
		if (rc == 0 && unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR) != 0)
			rc = error_errno(err, errno, "remove folder %s", e->d_name);
	}
	closedir(dir);
	return rc;
}

static int real_remove_tree(void *ctx, const char *path, struct error *err)
{
	struct real_root *root = ctx;
	int fd = openat(root->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_errno(err, errno, "open folder %s/%s", root->path, path);
	int rc = remove_entries(fd, err);
	if (rc != 0)
		return error_wrap(err, rc, "remove %s/%s", root->path, path);
	if (unlinkat(root->fd, path, AT_REMOVEDIR) != 0)
		return error_errno(err, errno, "remove folder %s/%s", root->path, path);
	return 0;
}

static int real_list(void *ctx, const char *path, int (*fn)(void *fn_ctx, const char *name),
		     void *fn_ctx, struct error *err)
{
	struct real_root *root = ctx;
	int fd = openat(root->fd, path[0] != 0 ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL) {
		int rc = error_errno(err, errno, "read folder %s/%s", root->path, path);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	int rc = 0;
	struct dirent *e;
	errno = 0;
	while (rc == 0 && (e = readdir(dir)) != NULL) {
		if (!is_dots(e->d_name))
			rc = fn(fn_ctx, e->d_name);
		errno = 0;
	}
	if (rc == 0 && errno != 0)
		rc = error_errno(err, errno, "read folder %s/%s", root->path, path);
	closedir(dir);
	return rc;
}

static int real_map(void *ctx, const char *path, struct store_map *out, struct error *err)
{
	struct real_root *root = ctx;
	int fd = openat(root->fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "open %s/%s", root->path, path);
	int rc = 0;
	struct stat st;
	if (fstat(fd, &st) != 0) {
		rc = error_errno(err, errno, "stat %s/%s", root->path, path);
		goto out;
	}
	/* mmap refuses a length of zero. */
	*out = (struct store_map){.bytes = (const uint8_t *)"", .n = (size_t)st.st_size};
	if (st.st_size == 0)
		goto out;
	void *p = mmap(NULL, out->n, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		rc = error_errno(err, errno, "map %s/%s (%zu bytes)", root->path, path, out->n);
		goto out;
	}
	out->bytes = p;
	out->handle = p;
	out->of_file = true;
out:
	close(fd);
	return rc;
}

static void real_unmap(struct store_map *m)
{
	if (m->handle != NULL)
		munmap(m->handle, m->n);
	*m = (struct store_map){0};
}

static void real_release(const struct store_map *m)
{
	if (m->handle != NULL)
		madvise(m->handle, m->n, MADV_DONTNEED); /* a wish */
}

static int real_free_bytes(void *ctx, uint64_t *out, struct error *err)
{
	struct real_root *root = ctx;
	struct statvfs st;
	if (fstatvfs(root->fd, &st) != 0)
		return error_errno(err, errno, "free space of %s", root->path);
	*out = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static void real_fini(void *ctx)
{
	struct real_root *root = ctx;
	close(root->fd);
	free(root->path);
	free(root);
}

/* Creates `path` with its parents, each made durable in the folder above it. */
static int make_root(const char *path, struct error *err)
{
	struct real_root cwd = {AT_FDCWD, (char *)"."};
	bool absolute = path[0] == '/';
	if (absolute) {
		cwd.path = (char *)"";
		cwd.fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (cwd.fd < 0)
			return error_errno(err, errno, "open /");
	}
	while (*path == '/')
		path++;
	char *trimmed = mem_strdup(path);
	for (size_t n = strlen(trimmed); n > 0 && trimmed[n - 1] == '/'; n--)
		trimmed[n - 1] = 0;
	int rc = trimmed[0] != 0 ? real_mkdirs(&cwd, trimmed, err) : 0;
	free(trimmed);
	if (absolute)
		close(cwd.fd);
	return rc;
}

int store_io_real(const char *path, struct store_io *out, struct error *err)
{
	int rc = make_root(path, err);
	if (rc != 0)
		return rc;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "open folder %s", path);
	struct real_root *root = mem_zalloc(sizeof(*root));
	root->fd = fd;
	root->path = mem_strdup(path);
	*out = (struct store_io){
		.ctx = root,
		.mkdirs = real_mkdirs,
		.open = real_open,
		.close = real_close,
		.read = real_read,
		.write = real_write,
		.allocate = real_allocate,
		.truncate = real_truncate,
		.size = real_size,
		.sync = real_sync,
		.sync_dir = real_sync_dir,
		.rename = real_rename,
		.remove = real_remove,
		.remove_tree = real_remove_tree,
		.list = real_list,
		.map = real_map,
		.unmap = real_unmap,
		.release = real_release,
		.free_bytes = real_free_bytes,
		.fini = real_fini,
	};
	return 0;
}
