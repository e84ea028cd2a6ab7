/* The inverted lists of a sparse space: rows by index. Two passes over the vectors, one that counts and one that
 * puts each value where it belongs, so it takes no more memory than the lists themselves. */
#include "base/assert.h"
#include "base/memory.h"
#include "store/segment_internal.h"
#include <stdlib.h>
#include <string.h>

struct slot {
	uint32_t index;
	uint32_t ordinal; /* of the index, in order of appearance, + 1; 0: free */
};

struct inverter {
	struct slot *slots; /* a hash table over the indices; its size is a power of two */
	size_t n_slots;
	struct list {
		uint32_t index;
		uint64_t n;  /* values */
		uint64_t at; /* where the next one goes */
	} * lists;           /* by ordinal */
	uint32_t n_lists, cap_lists;
};

static struct slot *find_slot(const struct inverter *inv, uint32_t index)
{
	uint64_t hash = index * 0x9e3779b97f4a7c15ull;
	size_t i = (size_t)(hash >> 32) & (inv->n_slots - 1);
	while (inv->slots[i].ordinal != 0 && inv->slots[i].index != index)
		i = (i + 1) & (inv->n_slots - 1);
	return &inv->slots[i];
}

static void grow_slots(struct inverter *inv)
{
	free(inv->slots);
	inv->n_slots = inv->n_slots == 0 ? 1024 : inv->n_slots * 2;
	inv->slots = mem_array(inv->n_slots, sizeof(*inv->slots));
	for (uint32_t i = 0; i < inv->n_lists; i++)
		*find_slot(inv, inv->lists[i].index) = (struct slot){inv->lists[i].index, i + 1};
}

static void count_value(struct inverter *inv, uint32_t index)
{
	if ((size_t)inv->n_lists * 2 >= inv->n_slots)
		grow_slots(inv);
	struct slot *slot = find_slot(inv, index);
	if (slot->ordinal == 0) {
		if (inv->n_lists == inv->cap_lists) {
			inv->cap_lists = inv->cap_lists == 0 ? 256 : inv->cap_lists * 2;
			inv->lists = mem_resize(inv->lists, inv->cap_lists * sizeof(*inv->lists));
		}
		inv->lists[inv->n_lists] = (struct list){.index = index};
		*slot = (struct slot){index, ++inv->n_lists};
	}
	inv->lists[slot->ordinal - 1].n++;
}

static int by_index(const void *a, const void *b)
{
	uint32_t x = ((const struct list *)a)->index, y = ((const struct list *)b)->index;
	return x < y ? -1 : x > y;
}

static int write_table(struct inverter *inv, struct sum_writer *f, struct error *err)
{
	struct buf indices = BUF_INIT, offsets = BUF_INIT;
	uint64_t at = 0;
	if (inv->n_lists > 1)
		qsort(inv->lists, inv->n_lists, sizeof(*inv->lists), by_index);
	for (uint32_t i = 0; i < inv->n_lists; i++) {
		struct list *l = &inv->lists[i];
		find_slot(inv, l->index)->ordinal = i + 1; /* its place has changed */
		l->at = at;
		buf_put_u32(&indices, l->index);
		buf_put_u64(&offsets, at);
		at += l->n;
	}
	buf_put_u64(&offsets, at);
	int rc = sum_put(f, indices.data, indices.len, err);
	if (rc == 0)
		rc = sum_put(f, offsets.data, offsets.len, err);
	buf_fini(&indices);
	buf_fini(&offsets);
	return rc;
}

static int write_lists(struct inverter *inv, const struct sparse_rows *in, struct sum_writer *f,
		       struct error *err)
{
	uint64_t n = in->offsets[in->n_rows];
	uint32_t *rows = mem_array(n, sizeof(*rows));
	float *weights = mem_array(n, sizeof(*weights));
	for (uint32_t row = 0; row < in->n_rows; row++) {
		for (uint64_t k = in->offsets[row]; k < in->offsets[row + 1]; k++) {
			struct list *l = &inv->lists[find_slot(inv, in->indices[k])->ordinal - 1];
			rows[l->at] = row;
			weights[l->at++] = in->values[k];
		}
	}
	int rc = sum_put(f, rows, n * sizeof(*rows), err);
	if (rc == 0)
		rc = sum_put(f, weights, n * sizeof(*weights), err);
	free(rows);
	free(weights);
	return rc;
}

int postings_write(const struct sparse_rows *in, struct sum_writer *f, uint32_t *n_lists,
		   struct error *err)
{
	struct inverter inv = {0};
	for (uint64_t k = 0; k < in->offsets[in->n_rows]; k++)
		count_value(&inv, in->indices[k]);
	int rc = write_table(&inv, f, err);
	if (rc == 0)
		rc = write_lists(&inv, in, f, err);
	*n_lists = inv.n_lists;
	free(inv.slots);
	free(inv.lists);
	return rc;
}
