/* What the shard tells about itself: Prometheus lines, and whether it can serve everything that it
 * was assigned. */
#include "base/assert.h"
#include "shard/host.h"
#include "shard/seed.h"
#include <stdio.h>

static const struct {
	const char *name, *help;
} counter_names[] = {
	[COUNT_SEARCHES] = {"searches_total", "Search calls answered"},
	[COUNT_LEAVES] = {"leaf_searches_total", "Leaf searches in them"},
	[COUNT_WRITES] = {"writes_total", "Writes acknowledged"},
	[COUNT_APPENDS] = {"log_appends_total", "Group commits: log appends with their sync"},
	[COUNT_SEALS] = {"seals_total", "Mutable segments sealed"},
	[COUNT_COMPACTIONS] = {"compactions_total", "Compactions"},
	[COUNT_INDEX_BUILDS] = {"index_builds_total", "Vector indexes built"},
	[COUNT_REFUSED] = {"writes_refused_total", "Writes refused"},
};

static void gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
	buf_printf(out,
		   "# HELP quiver_shard_%s %s\n# TYPE quiver_shard_%s gauge\nquiver_shard_%s %llu\n",
		   name, help, name, name, (unsigned long long)value);
}

struct sums {
	uint64_t points, segments, disk_bytes, log_bytes, replicas, red, indexing;
	uint64_t primaries, silent, lag;
};

static void add_replica(struct hosted *h, struct sums *sum)
{
	sum->replicas++;
	if (h->failed.code) {
		sum->red++;
		return;
	}
	pthread_mutex_lock(&h->view_lock);
	sum->points += h->view->points;
	sum->segments += h->view->n;
	sum->disk_bytes += h->status.disk_bytes;
	sum->log_bytes += h->status.log_bytes;
	sum->red += h->status.quarantined;
	sum->indexing += h->status.indexing;
	sum->primaries += h->status.role == REPLICA_PRIMARY;
	sum->silent += check_serves(h->shard, h, NULL) != 0;
	if (h->status.commit_seq > h->status.applied_seq)
		sum->lag += h->status.commit_seq - h->status.applied_seq;
	pthread_mutex_unlock(&h->view_lock);
}

void shard_metrics(struct shard *s, struct buf *out)
{
	struct sums sum = {0};

	for (size_t i = 0; i < sizeof counter_names / sizeof *counter_names; i++)
		buf_printf(
			out,
			"# HELP quiver_shard_%s %s\n# TYPE quiver_shard_%s counter\nquiver_shard_%s %llu\n",
			counter_names[i].name, counter_names[i].help, counter_names[i].name,
			counter_names[i].name,
			(unsigned long long)__atomic_load_n(&s->counters[i], __ATOMIC_RELAXED));
	pthread_rwlock_rdlock(&s->table_lock);
	for (size_t i = 0; i < s->n_table; i++)
		add_replica(s->table[i], &sum);
	pthread_rwlock_unlock(&s->table_lock);
	gauge(out, "replicas", "Replicas hosted", sum.replicas);
	gauge(out, "replicas_red", "Replicas that failed to open or have a corrupt segment",
	      sum.red);
	gauge(out, "replicas_indexing", "Replicas with background work to do", sum.indexing);
	gauge(out, "replicas_primary", "Replicas that take the writes of their shard",
	      sum.primaries);
	gauge(out, "replicas_not_serving",
	      "Replicas that answer no reads now: being copied, or not sure to be up to date",
	      sum.silent);
	gauge(out, "replica_lag_records", "Committed log records that are not applied here yet",
	      sum.lag);
	gauge(out, "points", "Points", sum.points);
	gauge(out, "segments", "Segments searched", sum.segments);
	gauge(out, "disk_bytes", "Bytes of segments and logs", sum.disk_bytes);
	gauge(out, "log_bytes", "Bytes of logs", sum.log_bytes);
	gauge(out, "pending_write_bytes", "Bytes of writes in flight",
	      __atomic_load_n(&s->pending_bytes, __ATOMIC_RELAXED));
	gauge(out, "disk_stalled_ms", "How long the disk has not answered, when that is too long",
	      disk_stalled_us(s) / 1000);
	gauge(out, "reserved_bytes", "Memory promised to background jobs",
	      __atomic_load_n(&s->reserved_bytes, __ATOMIC_RELAXED));
	seeds_metrics(s, out);
}

bool shard_ready(struct shard *s, struct error *why)
{
	uint64_t stalled_us = disk_stalled_us(s);
	bool ready = true;

	if (stalled_us) {
		error_set(why, ERR_UNAVAILABLE, "the disk has not answered for %llu s",
			  (unsigned long long)(stalled_us / 1000000));
		return false;
	}
	pthread_rwlock_rdlock(&s->table_lock);
	for (size_t i = 0; i < s->n_table && ready; i++) {
		struct hosted *h = s->table[i];

		if (h->failed.code) {
			error_set(why, ERR_UNAVAILABLE,
				  "shard %u of collection %llu could not be opened: %s",
				  h->partition, (unsigned long long)h->collection_id,
				  h->failed.text);
			ready = false;
			continue;
		}
		pthread_mutex_lock(&h->view_lock);
		if (h->status.quarantined) {
			error_set(why, ERR_CORRUPT, "collection %llu: %s",
				  (unsigned long long)h->collection_id, h->status.warning);
			ready = false;
		}
		pthread_mutex_unlock(&h->view_lock);
	}
	pthread_rwlock_unlock(&s->table_lock);
	return ready;
}
