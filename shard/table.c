/* Which replicas this node hosts: a sorted table read by every call. */
#include "shard/host.h"
#include "base/assert.h"
#include <stdlib.h>

struct hosted *hosted_ref(struct hosted *h)
{
	__atomic_fetch_add(&h->refs, 1, __ATOMIC_RELAXED);
	return h;
}

void hosted_unref(struct hosted *h)
{
	if (h && __atomic_sub_fetch(&h->refs, 1, __ATOMIC_ACQ_REL) == 0)
		hosted_free(h);
}

/* The lock is held. */
static struct hosted *lookup(const struct shard *s, uint64_t collection_id, uint32_t partition)
{
	size_t low = 0, high = s->n_table;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		struct hosted *h = s->table[mid];

		if (h->collection_id == collection_id && h->partition == partition)
			return h;
		if (h->collection_id < collection_id ||
		    (h->collection_id == collection_id && h->partition < partition))
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

struct hosted *table_find(struct shard *s, uint64_t collection_id, uint32_t partition)
{
	struct hosted *h;

	pthread_rwlock_rdlock(&s->table_lock);
	h = lookup(s, collection_id, partition);
	if (h)
		hosted_ref(h);
	pthread_rwlock_unlock(&s->table_lock);
	return h;
}

/* A replica that is not alone answers only as long as it is sure to know the newest. */
int check_serves(struct shard *s, const struct hosted *h, struct error *err)
{
	uint64_t until = __atomic_load_n(&h->serve_until_us, __ATOMIC_ACQUIRE);

	if (until == UINT64_MAX || (until && now_us(s) < until))
		return 0;
	return error_set(err, ERR_UNAVAILABLE,
			 "shard %u on node %llu is not sure to be up to date: ask another copy",
			 h->partition, (unsigned long long)s->options.self_node);
}

int table_view(struct shard *s, uint64_t collection_id, uint32_t partition, struct view **out,
	       struct error *err)
{
	struct hosted *h;
	int rc = 0;

	*out = NULL;
	pthread_rwlock_rdlock(&s->table_lock);
	h = lookup(s, collection_id, partition);
	if (!h) {
		rc = error_set(err, ERR_STALE, "shard %u of collection %llu is not on this node",
			       partition, (unsigned long long)collection_id);
	} else if (h->failed.code) {
		rc = error_set(err, ERR_UNAVAILABLE, "shard %u could not be opened: %s", partition,
			       h->failed.text);
	} else {
		rc = check_serves(s, h, err);
	}
	if (rc == 0) {
		pthread_mutex_lock(&h->view_lock);
		*out = view_ref(h->view);
		pthread_mutex_unlock(&h->view_lock);
	}
	pthread_rwlock_unlock(&s->table_lock);
	return rc;
}
