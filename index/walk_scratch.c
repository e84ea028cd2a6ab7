/* Scratch memory of a searching thread: grows to the largest index and effort that it has seen. */
#include "index/walk_scratch.h"

#include "base/assert.h"
#include "base/memory.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static _Thread_local struct walk_scratch *mine;

static void scratch_free(void *arg)
{
	struct walk_scratch *s = arg;

	free(s->visited);
	free(s->touched);
	free(s->pool);
	free(s->ids);
	free(s->sums);
	free(s->query_bytes);
	free(s->cell_bytes);
	free(s->query_floats);
	free(s);
}

static void make_key(void)
{
	int rc = pthread_key_create(&key, scratch_free);

	assert(rc == 0);
}

static void grow(struct walk_scratch *s, const struct walk *w, size_t pool, size_t gather)
{
	size_t words = ((size_t)w->n + 63) / 64;

	if (words > s->visited_words) {
		free(s->visited);
		s->visited = mem_aligned(64, words * 8);
		memset(s->visited, 0, words * 8);
		s->visited_words = words;
	}
	if (pool > s->pool_room) {
		free(s->pool);
		s->pool = mem_aligned(64, pool * sizeof *s->pool);
		s->pool_room = pool;
	}
	if (gather > s->gather_room) {
		free(s->ids);
		free(s->sums);
		s->ids = mem_aligned(64, gather * sizeof *s->ids);
		s->sums = mem_aligned(64, gather * sizeof *s->sums);
		s->gather_room = gather;
	}
	if (code_stride(w->dim) > s->query_room) {
		free(s->query_bytes);
		free(s->cell_bytes);
		free(s->query_floats);
		s->query_room = code_stride(w->dim);
		/* enough for the planes of bits, too, and for a row that is read from the disk */
		s->query_bytes = mem_aligned(64, s->query_room * sizeof(float));
		s->cell_bytes = mem_aligned(64, s->query_room);
		s->query_floats = mem_aligned(64, s->query_room * sizeof(float));
	}
}

struct walk_scratch *walk_scratch_get(const struct walk *w, size_t pool, size_t gather)
{
	if (!mine) {
		pthread_once(&key_once, make_key);
		mine = mem_zalloc(sizeof *mine);
		pthread_setspecific(key, mine);
	}
	grow(mine, w, pool, gather);
	mine->n_touched = 0;
	return mine;
}

void walk_scratch_touch(struct walk_scratch *s, size_t more)
{
	if (s->n_touched + more <= s->touched_room)
		return;
	s->touched_room = (s->n_touched + more) * 2;
	s->touched = mem_resize(s->touched, s->touched_room * sizeof *s->touched);
}

void walk_scratch_done(struct walk_scratch *s)
{
	/* whichever is quicker: a line of eight words at a time, or node by node */
	if (s->n_touched > s->visited_words / 4) {
		memset(s->visited, 0, s->visited_words * 8);
	} else {
		for (uint32_t i = 0; i < s->n_touched; i++)
			s->visited[s->touched[i] >> 6] = 0;
	}
	s->n_touched = 0;
}
