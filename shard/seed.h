/* Seeding: a replica that the log of its primary cannot bring up to date is rebuilt from the primary's sealed segments, with the indexes that
 * are built already, so that nothing is built twice; the log goes on from there.
 *
 * Source (seed.c). seed_open takes the manifest as of the last seal ("base") and opens every file of its segments. An open file stays readable
 * when compaction removes or replaces it, so nothing else has to know of a pin; only the log is kept back by it (seeds_log_floor). A pin that
 * is not read for 30 s ends.
 *
 * Target (seed_pull.c, seed_staging.c). One thread of its own pulls for all replicas of this node, one after the other: it waits for the network
 * and the disk most of the time, and must not wait behind index builds. Files go to "replicas/<collection>/<partition>.seed":
 *
 *   SOURCE             which files of which node are meant to be there
 *   seg-<id>/<name>    complete; <name>.part on its way
 *   COMPLETE           everything is there and verified: it takes the replica's place, even if this process ends now
 *
 * An interrupted pull goes on where it was: files that the source still names with the same size and hash are kept, the rest is removed. Each
 * piece has a hash, and at the end each segment's own checksums are verified; a segment that fails is fetched again.
 * Then the old replica is closed, the folders are swapped by renames (any crash in between is finished by the next start,
 * staging_settle), and the new one is opened in its place in the table. */
#pragma once
#include "shard/host.h"

enum {
	SEED_PIN_US = 30000000,
	SEED_PINS_MAX = 64,
};

struct seeds;

int seeds_start(struct shard *s, struct error *err);
/* No more pulls; pins are closed. Before the replicas are closed. */
void seeds_stop(struct shard *s); /* NULL s->seeds ok */
void seeds_free(struct shard *s);
void seeds_tick(struct shard *s); /* any thread, from time to time */
void seeds_metrics(struct shard *s, struct buf *out);

/* ---- source; any thread ---- */
void serve_seed_open(struct shard *s, struct rpc_call *call);
void serve_seed_read(struct shard *s, struct rpc_call *call);
void serve_seed_close(struct shard *s, struct rpc_call *call);
/* The log of h must be kept from here on; UINT64_MAX: nobody needs it. */
uint64_t seeds_log_floor(struct shard *s, const struct hosted *h);

/* ---- target ---- */

/* Rebuilds h from node `from`, in the background; h is replaced when that is done, or told EVENT_SEED_FAILED. Once more for the same replica: only the
 * source changes. Any thread. */
void seeds_want(struct hosted *h, uint64_t from);
/* Is it being rebuilt, or about to be? */
bool seeds_busy(const struct hosted *h);
/* The replica goes away: ends its pull and its pins. Waits until the pull has let go of it. Not on the loop thread. */
void seeds_forget(struct shard *s, struct hosted *h);

/* ---- staging, seed_staging.c ---- */

struct seed_listing { /* what a source has; the memory is in the arena */
	uint64_t source;
	const struct seed_file *files;
	uint32_t n_files;
};
/* Brings the staging folder of `folder` to what the listing names: what else is there is removed. */
int staging_prepare(struct shard *s, const char *folder, const struct seed_listing *l,
		    struct error *err);
void staging_path(const char *folder, char *out, size_t size);
/* The replica of the folder is dropped: what is staged for it goes too. */
void staging_remove(struct shard *s, const char *folder);
/* After the old replica was closed: the staged files take its place. `manifest`: what they are the state of; `epoch`: the highest that
 * this replica must remember to have seen. */
int staging_install(struct shard *s, const char *folder, const struct manifest *manifest,
		    uint64_t epoch, struct error *err);
/* Before a folder is opened: ends what a crash has interrupted. */
int staging_settle(struct shard *s, const char *folder, struct error *err);
