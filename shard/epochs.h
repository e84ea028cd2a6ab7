/* What a replica must not forget beside its log: the highest epoch it has seen, and up to where its
 * log was known to be committed (a hint: what is above it may be committed too).
 *
 * One file, "REPLICA", of two blocks that are written in turn: a write that is torn leaves the other,
 * and once the file is there a full disk cannot keep an epoch from being stored. */
#pragma once
#include "store/store.h"

struct epochs {
	const struct store_io *io;
	struct store_file *file; /* NULL: there is none yet */
	uint64_t number;         /* of the newest block */
	uint64_t epoch, commit_seq;
};
/* Reads the file; without one epoch and commit_seq are 0. Both blocks damaged: ERR_CORRUPT. */
int epochs_open(struct epochs *e, const struct store_io *io, struct error *err);
void epochs_close(struct epochs *e); /* accepts a zeroed one */
/* Durable on return; neither ever falls. One thread at a time. */
int epochs_put(struct epochs *e, uint64_t epoch, uint64_t commit_seq, struct error *err);
