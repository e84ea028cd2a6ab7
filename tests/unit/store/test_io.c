/* The real disk and the disk in memory do the same; whole small files; the lock of a data folder. */
#include "tests/unit/unit.h"
#include "store/io_fault.h"
#include "store/io_memory.h"
#include "store/store.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64];

static void make_root(void)
{
	snprintf(root, sizeof(root), "/tmp/quiver-test-XXXXXX");
	assert_non_null(mkdtemp(root));
}

struct names {
	int n;
	bool a, b, sub;
};

static int collect(void *ctx, const char *name)
{
	struct names *names = ctx;
	names->n++;
	names->a |= strcmp(name, "a") == 0;
	names->b |= strcmp(name, "b") == 0;
	names->sub |= strcmp(name, "sub") == 0;
	return 0;
}

static int stop(void *ctx, const char *name)
{
	return 17;
}

static void check_files(const struct store_io *io)
{
	struct store_file *f = NULL;
	uint8_t bytes[100];
	uint64_t size = 0;
	size_t got = 0;
	assert_int_equal(io->open(io->ctx, "x/y/a", false, &f, NULL), ERR_NOT_FOUND);
	assert_int_equal(io->mkdirs(io->ctx, "x/y", NULL), 0);
	assert_int_equal(io->mkdirs(io->ctx, "x/y", NULL), 0);
	assert_int_equal(io->open(io->ctx, "x/y/a", true, &f, NULL), 0);
	assert_int_equal(io->write(f, 10, "hello", 5, NULL), 0);
	assert_int_equal(io->size(f, &size, NULL), 0);
	assert_int_equal(size, 15);
	assert_int_equal(io->read(f, 8, bytes, 100, &got, NULL), 0);
	assert_int_equal(got, 7);
	assert_memory_equal(bytes, "\0\0hello", 7);
	assert_int_equal(io->allocate(f, 5, NULL), 0); /* never shrinks */
	assert_int_equal(io->allocate(f, 64, NULL), 0);
	assert_int_equal(io->read(f, 14, bytes, 100, &got, NULL), 0);
	assert_int_equal(got, 50);
	assert_int_equal(bytes[0], 'o');
	for (int i = 1; i < 50; i++)
		assert_int_equal(bytes[i], 0);
	io->sync(f);
	assert_int_equal(io->truncate(f, 12, NULL), 0);
	io->sync(f);
	assert_int_equal(io->truncate(f, 20, NULL), 0); /* what was cut reads as zero */
	assert_int_equal(io->read(f, 10, bytes, 10, &got, NULL), 0);
	assert_memory_equal(bytes, "he\0\0\0\0\0\0\0\0", 10);
	assert_int_equal(io->read(f, 1000, bytes, 10, &got, NULL), 0);
	assert_int_equal(got, 0);
	io->close(f);
	io->sync_dir(io->ctx, "x/y");
}

static void check_folders(const struct store_io *io)
{
	struct store_file *f = NULL;
	struct names names = {0};
	struct store_map map = {0};
	assert_int_equal(io->rename(io->ctx, "x/y/a", "x/y/b", NULL), 0);
	assert_int_equal(io->open(io->ctx, "x/y/a", true, &f, NULL), 0);
	io->close(f);
	assert_int_equal(io->mkdirs(io->ctx, "x/y/sub/deep", NULL), 0);
	assert_int_equal(io->list(io->ctx, "x/y", collect, &names, NULL), 0);
	assert_true(names.n == 3 && names.a && names.b && names.sub);
	assert_int_equal(io->list(io->ctx, "x/y", stop, NULL, NULL), 17);
	assert_int_equal(io->list(io->ctx, "none", collect, &names, NULL), ERR_NOT_FOUND);
	assert_int_equal(io->map(io->ctx, "x/y/b", &map, NULL), 0);
	assert_int_equal(map.n, 20);
	assert_memory_equal(map.bytes + 10, "he", 2);
	io->unmap(&map);
	assert_null(map.bytes);
	assert_int_equal(io->map(io->ctx, "x/y/a", &map, NULL), 0); /* empty */
	assert_int_equal(map.n, 0);
	assert_non_null(map.bytes);
	io->unmap(&map);
	assert_int_equal(io->map(io->ctx, "x/y/c", &map, NULL), ERR_NOT_FOUND);
	assert_int_equal(io->rename(io->ctx, "x/y/b", "x/y/a", NULL), 0); /* replaces */
	assert_int_equal(io->remove(io->ctx, "x/y/b", NULL), ERR_NOT_FOUND);
	assert_int_equal(io->rename(io->ctx, "x/y/b", "x/y/a", NULL), ERR_NOT_FOUND);
	assert_int_equal(io->remove(io->ctx, "x/y/a", NULL), 0);
	assert_int_equal(io->open(io->ctx, "x/y/sub/deep/f", true, &f, NULL), 0);
	io->close(f);
	assert_int_equal(io->remove_tree(io->ctx, "x", NULL), 0);
	assert_int_equal(io->remove_tree(io->ctx, "x", NULL), 0); /* missing is fine */
	assert_int_equal(io->list(io->ctx, "x", collect, &names, NULL), ERR_NOT_FOUND);
	uint64_t free_bytes = 0;
	assert_int_equal(io->free_bytes(io->ctx, &free_bytes, NULL), 0);
	assert_true(free_bytes > 0);
}

static void both_disks_do_the_same(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io memory, real, sub, faulty;
	struct fault_plan plan = {0};
	memory_disk_io(disk, &memory);
	make_root();
	assert_int_equal(store_io_real(root, &real, NULL), 0);
	const struct store_io *all[] = {&memory, &real};
	for (int i = 0; i < 2; i++) {
		check_files(all[i]);
		check_folders(all[i]);
		assert_int_equal(store_io_sub(all[i], "p/q", &sub, NULL), 0);
		check_files(&sub);
		check_folders(&sub);
		struct names names = {0};
		assert_int_equal(sub.list(sub.ctx, "", collect, &names, NULL), 0);
		assert_int_equal(names.n, 0);
		store_io_fini(&sub);
		fault_io(all[i], &plan, &faulty);
		check_files(&faulty);
		check_folders(&faulty);
		store_io_fini(&faulty);
		assert_int_equal(all[i]->remove_tree(all[i]->ctx, "p", NULL), 0);
	}
	store_io_fini(&real);
	assert_int_equal(rmdir(root), 0);
	memory_disk_free(disk);
}

static void a_root_is_made_with_its_parents(void **state)
{
	char path[128];
	struct store_io io;
	make_root();
	snprintf(path, sizeof(path), "%s//a/b/", root);
	assert_int_equal(store_io_real(path, &io, NULL), 0);
	store_io_fini(&io);
	snprintf(path, sizeof(path), "%s/a/b", root);
	assert_int_equal(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/a", root);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(root), 0);
	struct error err = {0};
	assert_int_not_equal(store_io_real("/dev/null/x", &io, &err), 0);
	assert_non_null(strstr(err.text, "/dev/null"));
}

/* ---- whole small files ---- */

static void a_small_file_is_whole_or_reported(void **state)
{
	struct memory_disk *disk = memory_disk_new();
	struct store_io io;
	struct buf b = BUF_INIT;
	memory_disk_io(disk, &io);
	assert_int_equal(store_get_file(&io, "f", &b, NULL), ERR_NOT_FOUND);
	assert_int_equal(store_put_file(&io, "f", "first", 5, NULL), 0);
	assert_int_equal(store_put_file(&io, "f", "second!", 7, NULL), 0);
	memory_disk_crash(disk, CRASH_DROP, NULL);
	buf_put_u8(&b, 'x'); /* appends */
	assert_int_equal(store_get_file(&io, "f", &b, NULL), 0);
	assert_int_equal(b.len, 8);
	assert_memory_equal(b.data, "xsecond!", 8);
	assert_int_equal(store_put_file(&io, "empty", NULL, 0, NULL), 0);
	buf_clear(&b);
	assert_int_equal(store_get_file(&io, "empty", &b, NULL), 0);
	assert_int_equal(b.len, 0);
	size_t n;
	uint8_t *bytes = memory_disk_bytes(disk, "f", &n);
	for (size_t at = 0; at < n; at++) {
		bytes[at] ^= 0x40;
		assert_int_equal(store_get_file(&io, "f", &b, NULL), ERR_CORRUPT);
		assert_int_equal(b.len, 0);
		bytes[at] ^= 0x40;
	}
	assert_int_equal(store_get_file(&io, "f", &b, NULL), 0);
	for (size_t cut = n; cut-- > 0;) {
		memory_disk_cut(disk, "f", cut);
		assert_int_equal(store_get_file(&io, "f", &b, NULL), ERR_CORRUPT);
	}
	buf_fini(&b);
	memory_disk_free(disk);
}

static void a_small_file_survives_power_loss(void **state)
{
	for (int mode = CRASH_KILL; mode <= CRASH_ANY; mode++) {
		bool stopped = true;
		for (uint64_t n = 1; stopped; n++) {
			struct memory_disk *disk = memory_disk_new();
			struct store_io io;
			struct prng p;
			struct buf b = BUF_INIT;
			memory_disk_io(disk, &io);
			assert_int_equal(store_put_file(&io, "d", "old", 3, NULL), 0);
			memory_disk_stop_at(disk, n);
			int rc = store_put_file(&io, "d", "newer", 5, NULL);
			stopped = memory_disk_stopped(disk);
			prng_seed(&p, n);
			memory_disk_crash(disk, (enum memory_crash)mode, &p);
			assert_int_equal(store_get_file(&io, "d", &b, NULL), 0);
			bool is_new = b.len == 5 && memcmp(b.data, "newer", 5) == 0;
			bool is_old = b.len == 3 && memcmp(b.data, "old", 3) == 0;
			assert_true(is_new || (is_old && (rc != 0 || stopped)));
			buf_fini(&b);
			memory_disk_free(disk);
		}
	}
}

/* ---- the lock ---- */

static int try_lock(void)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct store_lock *lock = NULL;
		struct error err = {0};
		int rc = store_lock(root, &lock, &err);
		char pid[16];
		snprintf(pid, sizeof(pid), "%d", (int)getppid());
		bool named = rc == 0 || strstr(err.text, pid) != NULL;
		store_unlock(lock);
		_exit(!named ? 100 : -rc);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void write_format(const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/FORMAT", root);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void one_process_holds_a_folder(void **state)
{
	struct store_lock *lock = NULL;
	struct error err = {0};
	make_root();
	assert_int_equal(store_lock(root, &lock, NULL), 0);
	assert_int_equal(try_lock(), ERR_LOCKED);
	store_unlock(lock);
	assert_int_equal(try_lock(), 0);
	write_format("quiver-data 999\n");
	assert_int_equal(store_lock(root, &lock, &err), ERR_VERSION);
	assert_non_null(strstr(err.text, "999"));
	assert_non_null(strstr(err.text, "format 1"));
	write_format("something else");
	assert_int_equal(store_lock(root, &lock, &err), ERR_CORRUPT);
	write_format("");
	assert_int_equal(store_lock(root, &lock, &err), ERR_CORRUPT);
	write_format("quiver-data 1\n");
	assert_int_equal(store_lock(root, &lock, &err), 0);
	store_unlock(lock);
	store_unlock(NULL);
	char path[128];
	snprintf(path, sizeof(path), "%s/FORMAT", root);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/LOCK", root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(root), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_disks_do_the_same),
		cmocka_unit_test(a_root_is_made_with_its_parents),
		cmocka_unit_test(a_small_file_is_whole_or_reported),
		cmocka_unit_test(a_small_file_survives_power_loss),
		cmocka_unit_test(one_process_holds_a_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
