/* mallctl is a weak symbol: a build without jemalloc (sanitizers) simply has no such lines. */
#include "server/memory_stats.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern int mallctl(const char *name, void *old, size_t *old_size, void *fresh, size_t fresh_size)
	__attribute__((weak));

#if QUIVER_HAVE_JEMALLOC
/* Read by jemalloc at the start: memory that a load or an index build has let go returns to the system within seconds, also
 * while the node is idle. */
extern const char *malloc_conf;
const char *malloc_conf = "background_thread:true,dirty_decay_ms:2000,muzzy_decay_ms:0";
#endif

static void put_gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %llu\n", name, help, name, name,
		   (unsigned long long)value);
}

static void put_allocator(struct buf *out)
{
	size_t allocated = 0, resident = 0, size = sizeof(size_t);
	uint64_t epoch = 1;
	if (mallctl == NULL)
		return;
	mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
	if (mallctl("stats.allocated", &allocated, &size, NULL, 0) == 0)
		put_gauge(out, "quiver_heap_allocated_bytes", "Bytes allocated by the program",
			  allocated);
	size = sizeof(size_t);
	if (mallctl("stats.resident", &resident, &size, NULL, 0) == 0)
		put_gauge(out, "quiver_heap_resident_bytes",
			  "Bytes that the allocator holds in memory", resident);
}

void memory_stats_metrics(struct buf *out)
{
	char line[128];
	unsigned long long kb;
	put_allocator(out);
	FILE *f = fopen("/proc/self/status", "r");
	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmRSS: %llu kB", &kb) == 1)
			put_gauge(out, "quiver_resident_bytes",
				  "Resident memory of the process, mapped files included",
				  kb << 10);
		else if (sscanf(line, "RssAnon: %llu kB", &kb) == 1)
			put_gauge(out, "quiver_resident_anonymous_bytes",
				  "Resident memory that is not mapped from files", kb << 10);
	}
	fclose(f);
}
