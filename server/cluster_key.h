/* The secret that the nodes of a cluster share: read from where the operator put it; and the log of those who do not know it. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

/* From the file, or when that is NULL from the environment: QUIVER_CLUSTER_KEY_FILE names the file, QUIVER_CLUSTER_KEY is the key.
 * *out is NULL when there is none. White space around the key does not count. */
int cluster_key_read(const char *file, struct arena *arena, const char **out, struct error *err);

/* For struct rpc_net_options: a warning in the log, not more often than every few seconds. */
void cluster_key_refused(void *ctx, const struct error *why);
