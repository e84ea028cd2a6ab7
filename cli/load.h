/* Loading a source into a collection: several threads, each with a connection, take batches from the
 * source, embed texts, send them and note them as committed. */
#pragma once
#include "base/error.h"
#include "cli/embed.h"
#include "cli/ids.h"
#include "cli/load_state.h"
#include "cli/source.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct load_options {
	const char *url, *api_key, *collection, *vector_name;
	uint64_t timeout_s, retry_s;
	uint32_t batch, connections, dim;
	bool json_body, quiet;
	struct embedder_options embedder;
	uint64_t run; /* names this load in the Idempotency-Key of every batch (load_state.h) */
};

struct load_result {
	uint64_t read, committed,
		resumed; /* records; resumed: of them committed by an earlier run */
	uint64_t retries;
	double seconds;
	bool stopped;
	struct ids ids; /* of all that was read */
};

/* Shows progress. When *stop becomes true what is in flight is finished. `state` may be NULL. The
 * result is filled also when it fails; the caller frees result->ids. */
int load_run(struct source *source, struct load_state *state, const struct load_options *options,
	     const atomic_bool *stop, struct load_result *result, struct error *err);
