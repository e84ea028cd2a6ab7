/* What the control plane of one node keeps on disk, below a folder of its own:
 *
 *   state      term, vote, and whose folder this is
 *   snapshot   the map (with the coordinators) as of an index
 *   wal/       the log: sequence number = index, epoch = term, each record begins with the type
 */
#pragma once

#include "base/arena.h"
#include "base/codec.h"
#include "base/error.h"
#include "cluster/meta.h"
#include "store/store.h"

struct meta_disk {
	struct store_io io;
	uint64_t self, cluster_id;
	struct wal *wal;
	struct buf scratch;
};

/* Opens or creates what d->io, d->self and d->cluster_id name; fills `saved`, whose memory is in the
 * arena. ERR_INPUT when the folder belongs to another node or cluster. */
int meta_disk_open(struct meta_disk *d, struct arena *arena, struct meta_saved *saved,
		   struct error *err);
void meta_disk_close(struct meta_disk *d);
/* Does everything that an update asks for. Entries are durable after meta_disk_sync, the rest on
 * return. After an error it may be called again with the same update. */
int meta_disk_write(struct meta_disk *d, const struct meta_update *u, struct error *err);
void meta_disk_sync(struct meta_disk *d);
