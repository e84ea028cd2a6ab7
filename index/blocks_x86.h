/* Private to blocks*.c: NULL where the processor or the architecture does not have it. */
#pragma once

#include "index/blocks.h"

const struct block_kernels *block_kernels_avx2(void);
const struct block_kernels *block_kernels_avx512(void);
/* The plain forms, for what a level has no better one of. */
void block_plain_lookup(const struct lookup_scan *s);
