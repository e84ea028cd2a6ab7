/* Private to index/: the code kernels for x86-64; NULL where the processor lacks them. */
#pragma once

struct code_kernels;

const struct code_kernels *code_kernels_avx2(void);
const struct code_kernels *code_kernels_avx512(void);
