/* A write as the coordinator sends it to a partition's primary: an op whose targets may still be
 * open. The primary resolves it against the state at its place in the log and logs the plain op
 * (model/op.h). */
#pragma once
#include "model/filter.h"
#include "model/op.h"

enum update_mode { UPDATE_UPSERT, UPDATE_INSERT_ONLY, UPDATE_UPDATE_ONLY };

struct write {
	struct op op;
	struct filter *select;    /* not NULL: op.ids will be those of the points that match */
	struct filter *condition; /* update_filter: an existing point must match to be changed */
	enum update_mode mode;    /* UPSERT only */
};

/* Must the primary look at the present state before it can log this? */
static inline bool write_needs_state(const struct write *w)
{
	return w->select != NULL || w->condition != NULL || w->mode != UPDATE_UPSERT;
}

void write_encode(struct buf *b, const struct write *w);
/* Payloads are borrowed from the reader's bytes, the rest is in the arena. */
int write_decode(struct reader *r, struct arena *arena, struct write *out, struct error *err);
