/* Private to index/: the kernels for x86-64; NULL where the processor (or the platform) lacks them. */
#pragma once

struct kernels;

const struct kernels *kernels_avx2(void);
const struct kernels *kernels_avx512(void);
