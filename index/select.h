/* Of a list of rows, those that a filter allows: plain C, AVX2, AVX-512. A filtered walk asks this of some
 * thousand short lists. */
#pragma once

#include "index/kernels.h"

enum { SELECT_SPARE = 16 };

/* Reads ids[0..n) up to the first that is `limit` or more, writes those whose bit is set in `bits` to `out`, in
 * their order, and returns how many; *read: how many were below the limit. out has room for n + SELECT_SPARE and
 * may be overwritten that far. */
typedef uint32_t (*select_fn)(const uint64_t *bits, const uint32_t *ids, uint32_t n, uint32_t limit,
			      uint32_t *out, uint32_t *read);

select_fn select_at(enum kernel_level level); /* NULL: not on this machine */
select_fn select_get(void);
