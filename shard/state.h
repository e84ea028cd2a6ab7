/* The present of a replica: its segments with their live bits, the mutable one last, and the
 * rolling digest. Applying an op is deterministic: the same ops give the same points, versions and
 * digest on every replica. The loop thread's alone; searches see it through views. */
#pragma once
#include "model/op.h"
#include "model/write.h"
#include "shard/view.h"

struct state {
	const struct collection *schema; /* referenced */
	struct snap now;                 /* entries[n - 1] is the mutable segment */
	/* rolls over (id, version, hash of vectors and payload) of every row written or removed */
	uint64_t digest;
	uint64_t killed_rows; /* in other segments than the mutable one, since the last freeze */
	/* scratch for one row */
	const float **dense;
	float *decoded; /* seg_scratch() */
	struct vector *sparse;
	struct buf payload;
};

void state_init(struct state *s, const struct collection *schema);
void state_fini(struct state *s);
void state_set_schema(struct state *s, const struct collection *schema); /* same spaces */
/* Starts a new mutable segment at the end of `now`. */
void state_open_rows(struct state *s);
static inline struct seg *state_mutable(const struct state *s)
{
	return s->now.entries[s->now.n - 1].seg;
}
/* Applies op `seq`: every row it writes gets this version. Returns the number of points that it
 * concerned. */
uint64_t state_apply(struct state *s, uint64_t seq, uint64_t epoch, const struct op *op);
/* Does the op fit the schema: spaces, dimensions? ERR_INPUT. */
int state_check_op(const struct collection *schema, const struct op *op, struct error *err);

/* Turns a write that looks at the state into a plain op in the arena; an op that concerns no point
 * has n_points = n_ids = 0. `view` is the present. ERR_TOO_LARGE: more points than one log record
 * may concern. */
int resolve_write(const struct view *view, const struct write *w, struct arena *arena,
		  struct op *out, struct error *err);
