/* What the heartbeats of this node say of its replicas. */
#include "base/memory.h"
#include "shard/host.h"

static struct replica_report report_of(struct hosted *h, bool stalled)
{
	struct replica_report r = {.collection_id = h->collection_id,
				   .partition = h->partition,
				   .failed = h->failed.code != 0};

	if (r.failed)
		return r;
	pthread_mutex_lock(&h->view_lock);
	r.epoch = h->status.epoch;
	r.last_epoch = h->status.last_epoch;
	r.last_seq = h->status.last_seq;
	r.commit_seq = h->status.applied_seq;
	r.digest = h->status.digest;
	/* Where there may be a better copy this one must not lead. */
	r.failed = (h->status.quarantined && h->copies) || h->status.diverged || stalled;
	pthread_mutex_unlock(&h->view_lock);
	return r;
}

size_t shard_reports(struct shard *s, struct replica_report **out)
{
	/* A disk that hangs is no error anywhere: nothing but this tells the map's leader that nothing can be committed here. */
	bool stalled = disk_stalled_us(s) > 0;
	size_t n;

	pthread_rwlock_rdlock(&s->table_lock);
	n = s->n_table;
	*out = mem_array(n + 1, sizeof **out);
	for (size_t i = 0; i < n; i++)
		(*out)[i] = report_of(s->table[i], stalled);
	pthread_rwlock_unlock(&s->table_lock);
	return n;
}
