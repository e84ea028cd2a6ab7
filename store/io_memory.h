/* A disk in memory that knows what is durable. For tests and the simulator; never linked into a program.
 *
 * Every change is volatile until the file, or the folder of the name, is synced. A crash keeps what was synced and,
 * of the rest, what the mode says: the adversary of CRASH_ANY may keep any subset of the changes to folders
 * and of the 512-byte sectors of every write. Creating a folder is durable at once (store_io promises that).
 * Used by one thread at a time.
 */
#pragma once
#include "base/prng.h"
#include "store/store.h"

struct memory_disk;

enum memory_crash {
	CRASH_KILL, /* only the process ended: everything is kept, and what was not durable is not */
	CRASH_DROP,   /* nothing unsynced is kept */
	CRASH_PREFIX, /* changes up to some moment are kept, the last one perhaps in part */
	CRASH_ANY,    /* any subset */
};

struct memory_disk *memory_disk_new(void);
void memory_disk_free(struct memory_disk *d); /* NULL ok; all files closed and unmapped before */
void memory_disk_io(struct memory_disk *d, struct store_io *out); /* the disk outlives the io */

/* Operations that change something, syncs included, since the disk was made. */
uint64_t memory_disk_changes(const struct memory_disk *d);
/* The power goes at the n-th change from now on: it and all later ones fail with ERR_IO and do nothing;
 * syncs do nothing. 0: not again. Ends with memory_disk_crash(). */
void memory_disk_stop_at(struct memory_disk *d, uint64_t n);
bool memory_disk_stopped(const struct memory_disk *d);
/* The state that the next start finds. Close all files: but for KILL, those that are still open have lost the
 * disk. `random` may be NULL for KILL and DROP. */
void memory_disk_crash(struct memory_disk *d, enum memory_crash mode, struct prng *random);

void memory_disk_set_capacity(struct memory_disk *d, uint64_t bytes); /* 0: no limit */
uint64_t memory_disk_used(const struct memory_disk *d);

/* A copy of the present state, all of it durable. */
struct memory_disk *memory_disk_clone(const struct memory_disk *d);
/* Contents of a file, to look at or to damage (durable at once); NULL when there is none. */
uint8_t *memory_disk_bytes(struct memory_disk *d, const char *path, size_t *n);
void memory_disk_cut(struct memory_disk *d, const char *path,
		     size_t n); /* the file now ends here */
/* Calls fn for each file. */
void memory_disk_each(struct memory_disk *d, void (*fn)(void *ctx, const char *path), void *ctx);
