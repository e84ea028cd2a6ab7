/* A store_io that fails where it is told to, over any other one. For tests and the simulator. */
#pragma once
#include "store/store.h"

enum fault_op {
	FAULT_MKDIRS = 1 << 0,
	FAULT_OPEN = 1 << 1,
	FAULT_READ = 1 << 2,
	FAULT_WRITE = 1 << 3,
	FAULT_ALLOCATE = 1 << 4,
	FAULT_TRUNCATE = 1 << 5,
	FAULT_SIZE = 1 << 6,
	FAULT_RENAME = 1 << 7,
	FAULT_REMOVE = 1 << 8,
	FAULT_LIST = 1 << 9,
	FAULT_MAP = 1 << 10,
	FAULT_ALL = (1 << 11) - 1,
};

/* The operations of `ops` are counted; the `at`-th fails (0: none) with `code`. A read that fails has read
 * nothing; a write has written half when `partly` is set. With `lasting`, all that follow fail as well. */
struct fault_plan {
	uint32_t ops;
	uint64_t at;
	int code;
	bool partly;
	bool lasting;
	uint64_t seen; /* operations so far */
	bool fired;
};

/* The plan stays the caller's and may be changed at any time; inner outlives out. */
void fault_io(const struct store_io *inner, struct fault_plan *plan, struct store_io *out);
