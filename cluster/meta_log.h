/* Private to cluster/: the log of the control plane in memory, a mirror of the durable one since
 * (a little before) the last snapshot. The raft core keeps only the terms, so what followers miss is
 * sent from here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_entry {
	uint64_t term;
	uint16_t type;
	uint32_t n;
	void *bytes; /* owned */
};

struct meta_log {
	uint64_t first; /* index of items[0]; the next one when there is none */
	struct log_entry *items;
	size_t n, cap;
};

void meta_log_init(struct meta_log *l, uint64_t first);
void meta_log_fini(struct meta_log *l);
uint64_t meta_log_last(const struct meta_log *l); /* first - 1 when empty */
/* NULL when it is not held. */
const struct log_entry *meta_log_get(const struct meta_log *l, uint64_t index);
const struct log_entry *meta_log_last_of(const struct meta_log *l, uint16_t type); /* NULL: none */
/* Entry meta_log_last + 1; copies the bytes. */
void meta_log_append(struct meta_log *l, uint64_t term, uint16_t type, const void *bytes, size_t n);
void meta_log_truncate(struct meta_log *l, uint64_t from);     /* drops index >= from */
void meta_log_drop_before(struct meta_log *l, uint64_t index); /* drops index < `index` */
void meta_log_restart(struct meta_log *l, uint64_t first);
