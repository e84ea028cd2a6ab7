/* What a load has committed so far, in a small file, so that a load that was killed goes on where it was.
 * One line for each committed batch: its number and its hash. A batch is passed over only when both
 * agree with what the source gives now, so a source that has changed is loaded anew where it differs.
 * The load's own number stands there too: it is part of the Idempotency-Key of each batch, so that the
 * server takes a batch again for the same only when it is sent again by the same load.
 *
 * The file is ${XDG_STATE_HOME:-~/.local/state}/quiver/ingest/<hash>.state, keyed by server, collection,
 * source and everything that changes what is stored. Thread-safe from state_open() on. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct load_state;

/* `key`: see above. ERR_LOCKED when another process loads the same now. */
int state_open(struct load_state **out, const char *key, struct error *err);
uint64_t state_run(const struct load_state *s);     /* the number of this load; never 0 */
uint64_t state_run_new(void);                       /* for a load without a state */
uint64_t state_batches(const struct load_state *s); /* how many were committed before */
bool state_has(const struct load_state *s, uint64_t batch, uint64_t hash);
int state_add(struct load_state *s, uint64_t batch, uint64_t hash, struct error *err);
/* Forgets what was committed before: the collection is not the one of then. A new load begins. */
int state_reset(struct load_state *s, struct error *err);
/* The load is complete: removes the file. */
void state_remove(struct load_state *s);
void state_close(struct load_state *s); /* keeps the file; NULL ok */
