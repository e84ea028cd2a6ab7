/* The sets of rows that a segment keeps for its newest filters. */
#include "shard/filters.h"
#include "base/hash.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

struct filter_rows *filter_rows_new(uint32_t n_bits)
{
	struct filter_rows *r = mem_zalloc(sizeof *r);

	r->refs = 1;
	bitset_init(&r->bits, n_bits, false);
	return r;
}

static struct filter_rows *filter_rows_ref(struct filter_rows *r)
{
	__atomic_fetch_add(&r->refs, 1, __ATOMIC_RELAXED);
	return r;
}

void filter_rows_unref(struct filter_rows *r)
{
	if (!r || __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	bitset_fini(&r->bits);
	free(r);
}

void filters_init(struct filters *f)
{
	*f = (struct filters){0};
	pthread_mutex_init(&f->lock, NULL);
}

void filters_fini(struct filters *f)
{
	for (int i = 0; i < FILTERS_KEPT; i++) {
		buf_fini(&f->kept[i].key);
		filter_rows_unref(f->kept[i].rows);
	}
	pthread_mutex_destroy(&f->lock);
}

/* Under the lock. */
static struct kept_filter *look_up(struct filters *f, const struct buf *key, uint64_t hash)
{
	for (struct kept_filter *k = f->kept; k < f->kept + FILTERS_KEPT; k++)
		if (k->rows && k->hash == hash && k->key.len == key->len &&
		    memcmp(k->key.data, key->data, key->len) == 0)
			return k;
	return NULL;
}

struct filter_rows *filters_find(struct filters *f, const struct buf *key)
{
	struct filter_rows *found = NULL;
	struct kept_filter *k;

	if (key->len > FILTER_KEY_MOST)
		return NULL;
	uint64_t hash = hash64(key->data, key->len);
	pthread_mutex_lock(&f->lock);
	k = look_up(f, key, hash);
	if (k) {
		k->used = ++f->n_asked;
		found = filter_rows_ref(k->rows);
	}
	pthread_mutex_unlock(&f->lock);
	return found;
}

void filters_keep(struct filters *f, const struct buf *key, struct filter_rows *rows)
{
	struct filter_rows *left = NULL;
	struct kept_filter *oldest = f->kept;

	if (key->len > FILTER_KEY_MOST)
		return;
	uint64_t hash = hash64(key->data, key->len);
	pthread_mutex_lock(&f->lock);
	if (!look_up(f, key, hash)) { /* another thread may have been quicker */
		for (struct kept_filter *k = f->kept; k < f->kept + FILTERS_KEPT; k++)
			oldest = k->used < oldest->used ? k : oldest;
		left = oldest->rows;
		oldest->rows = filter_rows_ref(rows);
		oldest->hash = hash;
		oldest->used = ++f->n_asked;
		buf_clear(&oldest->key);
		buf_put(&oldest->key, key->data, key->len);
	}
	pthread_mutex_unlock(&f->lock);
	filter_rows_unref(left);
}

uint64_t filters_bytes(struct filters *f)
{
	uint64_t bytes = 0;

	pthread_mutex_lock(&f->lock);
	for (struct kept_filter *k = f->kept; k < f->kept + FILTERS_KEPT; k++)
		if (k->rows)
			bytes += sizeof *k->rows + k->key.cap +
				 bitset_words(k->rows->bits.n_bits) * sizeof(uint64_t);
	pthread_mutex_unlock(&f->lock);
	return bytes;
}
