/* One call of a round, answered by whichever replica does it first.
 *
 * A read goes to one replica; when that fails, at once to another one; when it is silent for longer than usual, to a second one beside it
 * (a hedge, out of a budget). When no replica is left, the call waits a little for a newer shard map and starts again, until
 * its time is up. A write goes to the primary only, and is tried again with the same batch id when the primary moved or was lost.
 *
 * Each try has memory of its own, so that a slow loser can end whenever it likes, long after the request was answered.
 */
#pragma once
#include "coordinator/internal.h"

/* Starts the call, or goes on with it after the local try `failed` (rc and text in c->rpc). Calls round_done(c) once. */
void race_start(struct round_call *c, bool local_failed);
/* Worth another try? A busy replica is, for reads; a busy primary is what the client must know. */
bool race_retryable(enum rpc_type type, int rc);
