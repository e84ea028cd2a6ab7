/* Changes to payload documents: merge, removal and selection of paths. Every change writes a new
 * document; a payload is never changed in place.
 *
 * Both operands may come from a client and may have a million keys, so nothing here is quadratic in
 * the number of keys: the patch is searched through a sorted index.
 */
#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "model/payload.h"
#include <stdlib.h>
#include <string.h>

/* ---- merge ---- */

struct patch_entry {
	const char *key;
	uint32_t key_n;
	uint32_t order; /* place in the patch */
	struct pv value;
	uint32_t merged; /* the round in which an object had this key */
	bool repeated;   /* an earlier entry has the same key */
};

struct merge {
	struct buf *out;
	size_t start; /* of the new document in out */
	const struct path *path;
	struct patch_entry *entries; /* in the order of the patch */
	struct patch_entry **sorted; /* by key, then order */
	uint32_t n;
	uint32_t round;
	unsigned depth; /* of the patch */
	bool too_large;
};

static int compare_keys(const char *a, uint32_t a_n, const char *b, uint32_t b_n)
{
	int c = memcmp(a, b, a_n < b_n ? a_n : b_n);
	return c != 0 ? c : (a_n > b_n) - (a_n < b_n);
}

static int compare_entries(const void *a, const void *b)
{
	const struct patch_entry *x = *(struct patch_entry *const *)a;
	const struct patch_entry *y = *(struct patch_entry *const *)b;
	int c = compare_keys(x->key, x->key_n, y->key, y->key_n);
	return c != 0 ? c : (x->order > y->order) - (x->order < y->order);
}

static unsigned depth_of(struct pv v)
{
	unsigned deepest = 0;
	struct pv_iter it = pv_iterate(v);
	while (pv_next(&it)) {
		unsigned depth = depth_of(it.value);
		if (depth > deepest)
			deepest = depth;
	}
	return pv_type(v) >= PV_ARRAY ? deepest + 1 : 0;
}

static void merge_init(struct merge *m, struct buf *out, const struct path *path, struct pv patch)
{
	assert(pv_type(patch) == PV_OBJECT);
	*m = (struct merge){.out = out, .start = out->len, .path = path, .n = pv_count(patch)};
	m->entries = mem_array(m->n, sizeof(*m->entries));
	m->sorted = mem_array(m->n, sizeof(*m->sorted));
	m->depth = depth_of(patch);
	struct pv_iter it = pv_iterate(patch);
	for (uint32_t i = 0; pv_next(&it); i++) {
		m->entries[i] = (struct patch_entry){.key = it.key,
						     .key_n = it.key_n,
						     .order = i,
						     .value = it.value};
		m->sorted[i] = &m->entries[i];
	}
	if (m->n < 2)
		return;
	qsort(m->sorted, m->n, sizeof(*m->sorted), compare_entries);
	for (uint32_t i = 1; i < m->n; i++) {
		const struct patch_entry *before = m->sorted[i - 1];
		m->sorted[i]->repeated = compare_keys(before->key, before->key_n, m->sorted[i]->key,
						      m->sorted[i]->key_n) == 0;
	}
}

static void merge_fini(struct merge *m)
{
	free(m->entries);
	free(m->sorted);
}

static struct patch_entry *find_entry(const struct merge *m, const char *key, uint32_t key_n)
{
	uint32_t low = 0, high = m->n;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct patch_entry *e = m->sorted[middle];
		if (compare_keys(e->key, e->key_n, key, key_n) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == m->n ||
	    compare_keys(m->sorted[low]->key, m->sorted[low]->key_n, key, key_n) != 0)
		return NULL;
	return m->sorted[low];
}

static uint32_t put_entry(struct buf *out, const char *key, uint32_t key_n, struct pv value)
{
	pv_put_key(out, key, key_n);
	pv_put_value(out, value);
	return 1;
}

/* Writes `object` with the patch merged in. */
static void merge_object(struct merge *m, struct pv object)
{
	uint32_t count = 0;
	uint32_t round = ++m->round;
	size_t mark = pv_open(m->out, PV_OBJECT);
	struct pv_iter it = pv_iterate(object);
	while (pv_next(&it)) {
		struct patch_entry *e = find_entry(m, it.key, it.key_n);
		if (e == NULL) {
			count += put_entry(m->out, it.key, it.key_n, it.value);
			continue;
		}
		e->merged = round;
		if (pv_type(e->value) != PV_NULL)
			count += put_entry(m->out, it.key, it.key_n, e->value);
	}
	for (uint32_t i = 0; i < m->n; i++) {
		const struct patch_entry *e = &m->entries[i];
		if (e->merged != round && !e->repeated && pv_type(e->value) != PV_NULL)
			count += put_entry(m->out, e->key, e->key_n, e->value);
	}
	pv_close(m->out, mark, count);
	if (m->out->len - m->start > LIMIT_PAYLOAD_BYTES)
		m->too_large = true;
}

/* Would the patch, made at the end of the path, stay within the nesting limit? `level` arrays and
 * objects are open around the value that the step `at` looks at. */
static bool fits(const struct merge *m, uint32_t at, unsigned level)
{
	return level + (m->path->n_steps - at) + m->depth <= LIMIT_JSON_DEPTH;
}

/* May what is missing from step `at` on be made? Arrays are not. */
static bool can_make(const struct merge *m, uint32_t at, unsigned level)
{
	for (uint32_t i = at; i < m->path->n_steps; i++) {
		if (m->path->steps[i].type != PATH_KEY)
			return false;
	}
	return fits(m, at, level);
}

static void make(struct merge *m, uint32_t at)
{
	if (at == m->path->n_steps) {
		merge_object(m, pv_of(PV_EMPTY_OBJECT.bytes));
		return;
	}
	size_t mark = pv_open(m->out, PV_OBJECT);
	pv_put_key(m->out, m->path->steps[at].key, m->path->steps[at].key_n);
	make(m, at + 1);
	pv_close(m->out, mark, 1);
}

static void merge_value(struct merge *m, struct pv v, uint32_t at, unsigned level);

static void merge_into_key(struct merge *m, struct pv object, uint32_t at, unsigned level)
{
	const struct path_step *step = &m->path->steps[at];
	uint32_t count = 0;
	bool found = false;
	size_t mark = pv_open(m->out, PV_OBJECT);
	struct pv_iter it = pv_iterate(object);
	while (pv_next(&it)) {
		pv_put_key(m->out, it.key, it.key_n);
		count++;
		if (!found && compare_keys(it.key, it.key_n, step->key, step->key_n) == 0) {
			found = true;
			merge_value(m, it.value, at + 1, level + 1);
		} else {
			pv_put_value(m->out, it.value);
		}
	}
	if (!found && can_make(m, at + 1, level + 1)) {
		pv_put_key(m->out, step->key, step->key_n);
		make(m, at + 1);
		count++;
	}
	pv_close(m->out, mark, count);
}

static void merge_into_array(struct merge *m, struct pv array, uint32_t at, unsigned level)
{
	const struct path_step *step = &m->path->steps[at];
	size_t mark = pv_open(m->out, PV_ARRAY);
	struct pv_iter it = pv_iterate(array);
	for (uint32_t i = 0; pv_next(&it) && !m->too_large; i++) {
		if (step->type == PATH_KEY && pv_type(it.value) >= PV_ARRAY)
			merge_value(m, it.value, at, level + 1);
		else if (step->type == PATH_EACH || (step->type == PATH_INDEX && step->index == i))
			merge_value(m, it.value, at + 1, level + 1);
		else
			pv_put_value(m->out, it.value);
	}
	pv_close(m->out, mark, pv_count(array));
}

/* Writes v with the patch merged in at what steps[at..] name. */
static void merge_value(struct merge *m, struct pv v, uint32_t at, unsigned level)
{
	if (at == m->path->n_steps) {
		if (!fits(m, at, level))
			pv_put_value(m->out, v);
		else if (pv_type(v) == PV_OBJECT)
			merge_object(m, v);
		else
			make(m, at);
	} else if (pv_type(v) == PV_ARRAY) {
		merge_into_array(m, v, at, level);
	} else if (pv_type(v) == PV_OBJECT && m->path->steps[at].type == PATH_KEY) {
		merge_into_key(m, v, at, level);
	} else if (pv_type(v) != PV_OBJECT && can_make(m, at, level)) {
		make(m, at);
	} else {
		pv_put_value(m->out, v);
	}
}

int pv_merge_at(struct buf *out, struct pv root, const struct path *key, struct pv patch)
{
	struct merge m;
	merge_init(&m, out, key, patch);
	merge_value(&m, root, 0, 0);
	/* What was copied on the way counts too. */
	bool too_large = m.too_large || out->len - m.start > LIMIT_PAYLOAD_BYTES;
	if (too_large) {
		out->len = m.start;
		pv_put_value(out, root);
	}
	merge_fini(&m);
	return too_large ? ERR_TOO_LARGE : 0;
}

int pv_merge(struct buf *out, struct pv root, struct pv patch)
{
	static const struct path at_root = {NULL, 0, ""};
	return pv_merge_at(out, root, &at_root, patch);
}

/* ---- removal and selection ---- */

/* Where a path stands in the walk: its first `step` steps have been taken. */
struct cursor {
	const struct path *path;
	uint32_t step;
};

/* Takes one step from a container to an entry, for each of n cursors. Cursors that follow the entry
 * are written to `next`; returns their number, and in *hit whether a path ends here. `key` is NULL
 * for element `index` of an array. */
static size_t advance(const struct cursor *cursors, size_t n, struct cursor *next,
		      const struct pv_iter *entry, uint32_t index, bool *hit)
{
	size_t n_next = 0;
	*hit = false;
	for (size_t i = 0; i < n; i++) {
		struct cursor c = cursors[i];
		const struct path_step *step = &c.path->steps[c.step];
		if (entry->object) {
			if (step->type != PATH_KEY ||
			    compare_keys(step->key, step->key_n, entry->key, entry->key_n) != 0)
				continue;
			c.step++;
		} else if (step->type != PATH_KEY) { /* a key fans out: it waits for the elements */
			if (step->type == PATH_INDEX && step->index != index)
				continue;
			c.step++;
		}
		if (c.step == c.path->n_steps)
			*hit = true;
		else
			next[n_next++] = c;
	}
	return n_next;
}

/* Room for the cursors of every level, those of the root first. */
static struct cursor *cursors_new(const struct path *paths, size_t n)
{
	struct cursor *cursors = mem_array(n * (LIMIT_JSON_DEPTH + 2), sizeof(*cursors));
	for (size_t i = 0; i < n; i++) {
		assert(paths[i].n_steps > 0);
		cursors[i] = (struct cursor){&paths[i], 0};
	}
	return cursors;
}

static void put_without(struct buf *out, struct pv v, struct cursor *cursors, size_t n)
{
	if (n == 0 || pv_type(v) < PV_ARRAY) {
		pv_put_value(out, v);
		return;
	}
	uint32_t count = 0;
	size_t mark = pv_open(out, pv_type(v));
	struct pv_iter it = pv_iterate(v);
	for (uint32_t i = 0; pv_next(&it); i++) {
		bool hit;
		size_t n_next = advance(cursors, n, cursors + n, &it, i, &hit);
		if (hit)
			continue;
		if (it.object)
			pv_put_key(out, it.key, it.key_n);
		put_without(out, it.value, cursors + n, n_next);
		count++;
	}
	pv_close(out, mark, count);
}

void pv_delete_paths(struct buf *out, struct pv root, const struct path *paths, size_t n)
{
	struct cursor *cursors = cursors_new(paths, n);
	put_without(out, root, cursors, n);
	free(cursors);
}

/* Writes the selected parts of a container; returns false, and writes nothing, when there are
 * none. */
static bool put_selected(struct buf *out, struct pv v, struct cursor *cursors, size_t n)
{
	uint32_t count = 0;
	if (pv_type(v) < PV_ARRAY)
		return false;
	size_t mark = pv_open(out, pv_type(v));
	struct pv_iter it = pv_iterate(v);
	for (uint32_t i = 0; pv_next(&it); i++) {
		bool hit;
		size_t n_next = advance(cursors, n, cursors + n, &it, i, &hit);
		if (!hit && n_next == 0)
			continue;
		size_t before = out->len;
		if (it.object)
			pv_put_key(out, it.key, it.key_n);
		if (hit)
			pv_put_value(out, it.value);
		else if (!put_selected(out, it.value, cursors + n, n_next)) {
			out->len = before;
			continue;
		}
		count++;
	}
	if (count == 0) {
		out->len = mark;
		return false;
	}
	pv_close(out, mark, count);
	return true;
}

void pv_include(struct buf *out, struct pv root, const struct path *paths, size_t n)
{
	struct cursor *cursors = cursors_new(paths, n);
	if (!put_selected(out, root, cursors, n))
		buf_put(out, PV_EMPTY_OBJECT.bytes, PV_EMPTY_OBJECT.n);
	free(cursors);
}
