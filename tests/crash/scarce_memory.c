/* Preloaded into a node by tests/crash/test_no_memory.py: allocations that fail.
 *
 * The orders are 64-bit numbers in the file that QUIVER_SCARCE names, mapped, so that they take effect at once: allocations
 * of `least` bytes and more are counted in `seen`; the at-th fails (0: none), and all after it when `lasting` is set. How
 * many failed is counted in `failed`, and where stands in the node's log. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FRAMES = 24, FIRST_PRINTED = 20 };

static struct orders {
	int64_t least, at, lasting, seen, failed;
} * orders;

/* The allocator that the program was linked with. */
static struct {
	void *(*malloc)(size_t n);
	void *(*calloc)(size_t count, size_t each);
	void *(*realloc)(void *old, size_t n);
	void *(*memalign)(size_t align, size_t n);
	void (*free)(void *p);
} next;

/* What is allocated while it is looked up: never given back. */
static _Alignas(64) char early[1 << 16];
static size_t early_used;

static void *early_alloc(size_t n)
{
	void *p = early + early_used;

	early_used += (n + 63) & ~(size_t)63;
	if (early_used > sizeof(early))
		_exit(98);
	return p;
}

static bool is_early(const void *p)
{
	return (uintptr_t)p - (uintptr_t)early < sizeof(early);
}

static void find_next(void)
{
	static bool looking;

	if (looking)
		return;
	looking = true;
	*(void **)&next.free = dlsym(RTLD_NEXT, "free");
	*(void **)&next.calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&next.realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&next.memalign = dlsym(RTLD_NEXT, "memalign");
	*(void **)&next.malloc = dlsym(RTLD_NEXT, "malloc");
}

__attribute__((constructor)) static void map_orders(void)
{
	const char *path = getenv("QUIVER_SCARCE");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *frame;
	long p = -1;

	backtrace(&frame, 1); /* loads what it needs, which allocates */
	if (fd >= 0)
		p = syscall(SYS_mmap, NULL, sizeof(*orders), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			    0);
	if (p == -1)
		_exit(99);
	close(fd);
	orders = (struct orders *)p;
}

static bool fails(size_t n)
{
	int64_t at, seen;
	void *frames[FRAMES];

	if (orders == NULL || n < (size_t)__atomic_load_n(&orders->least, __ATOMIC_RELAXED))
		return false;
	at = __atomic_load_n(&orders->at, __ATOMIC_RELAXED);
	if (at == 0)
		return false;
	seen = __atomic_add_fetch(&orders->seen, 1, __ATOMIC_RELAXED);
	if (seen != at && !(seen > at && orders->lasting))
		return false;
	if (__atomic_fetch_add(&orders->failed, 1, __ATOMIC_RELAXED) < FIRST_PRINTED) {
		backtrace_symbols_fd(frames, backtrace(frames, FRAMES), STDERR_FILENO);
		write(STDERR_FILENO, "\n", 1);
	}
	errno = ENOMEM;
	return true;
}

void *malloc(size_t n)
{
	if (next.malloc == NULL)
		find_next();
	if (next.malloc == NULL)
		return early_alloc(n);
	return fails(n) ? NULL : next.malloc(n);
}

void *calloc(size_t count, size_t each)
{
	if (next.malloc == NULL)
		find_next();
	if (next.malloc == NULL)
		return early_alloc(count * each);
	return fails(count * each) ? NULL : next.calloc(count, each);
}

void *realloc(void *old, size_t n)
{
	void *p;

	if (old == NULL || !is_early(old))
		return old == NULL ? malloc(n) : fails(n) ? NULL : next.realloc(old, n);
	p = malloc(n);
	if (p != NULL)
		memcpy(p, old,
		       n < sizeof(early) - (size_t)((char *)old - early)
			       ? n
			       : sizeof(early) - (size_t)((char *)old - early));
	return p;
}

void free(void *p)
{
	if (p != NULL && !is_early(p))
		next.free(p);
}

void *memalign(size_t align, size_t n)
{
	if (next.malloc == NULL)
		find_next();
	return fails(n) ? NULL : next.memalign(align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
	return memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
	void *p = memalign(align, n);

	if (p == NULL)
		return ENOMEM;
	*out = p;
	return 0;
}

/* Of memory; files are mapped as ever. */
void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	if (fd < 0 && fails(n))
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);
}

void *mremap(void *old, size_t from, size_t to, int flags, ...)
{
	if (to > from && fails(to))
		return MAP_FAILED;
	return (void *)syscall(SYS_mremap, old, from, to, flags, NULL);
}
