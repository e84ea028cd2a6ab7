/* The plain form of select.h, and the choice. */
#include "index/select.h"

#include "index/select_x86.h"

static uint32_t plain_select(const uint64_t *bits, const uint32_t *ids, uint32_t n, uint32_t limit,
			     uint32_t *out, uint32_t *read)
{
	uint32_t n_out = 0, i = 0;

	/* without branches on the bits, which no processor can guess */
	for (; i < n && ids[i] < limit; i++) {
		out[n_out] = ids[i];
		n_out += (uint32_t)(bits[ids[i] >> 6] >> (ids[i] & 63)) & 1;
	}
	*read = i;
	return n_out;
}

select_fn select_at(enum kernel_level level)
{
	switch (level) {
	case KERNEL_PLAIN: return plain_select;
	case KERNEL_AVX2: return select_avx2();
	case KERNEL_AVX512: return select_avx512();
	default: return NULL;
	}
}

select_fn select_get(void)
{
	return select_at(kernels_level());
}
