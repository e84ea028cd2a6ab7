/* Codes in blocks: the plain kernels, and the choice. */
#include "index/blocks.h"

#include "index/blocks_x86.h"
#include <string.h>

static void plain_dot(const struct block_scan *s)
{
	for (uint32_t q = 0; q < s->n_queries; q++) {
		const uint8_t *block = s->blocks;

		for (uint32_t b = 0; b < s->n_blocks; b++) {
			int32_t *out = s->out[q] + (size_t)b * BLOCK_ROWS;

			memset(out, 0, BLOCK_ROWS * sizeof *out);
			for (uint32_t g = 0; g < s->groups; g++) {
				const uint8_t *query = s->queries[q] + (size_t)g * BLOCK_GROUP;

				for (uint32_t i = 0; i < BLOCK_ROWS; i++, block += BLOCK_GROUP) {
					for (uint32_t d = 0; d < BLOCK_GROUP; d++)
						out[i] += (int8_t)query[d] * (int32_t)block[d];
				}
			}
		}
	}
}

void block_plain_lookup(const struct lookup_scan *s)
{
	const uint8_t *block = s->blocks;

	for (uint32_t b = 0; b < s->n_blocks; b++) {
		int32_t *out = s->out + (size_t)b * LOOKUP_ROWS;

		memset(out, 0, LOOKUP_ROWS * sizeof *out);
		for (uint32_t m = 0; m < s->n_subs; m++, block += LOOKUP_ROWS) {
			const uint8_t *table = s->tables + (size_t)m * LOOKUP_ENTRIES;

			for (uint32_t i = 0; i < LOOKUP_ROWS; i++)
				out[i] += table[block[i]];
		}
	}
}

static uint32_t plain_pick(const struct block_pick *p, uint32_t *hits)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->n; i++) {
		if (block_key(p, i) <= p->bound)
			hits[n++] = i;
	}
	return n;
}

static void plain_table(const float *values, const float *entries, uint32_t n_dims, float *out)
{
	memset(out, 0, LOOKUP_ENTRIES * sizeof *out);
	for (uint32_t d = 0; d < n_dims; d++) {
		for (uint32_t i = 0; i < LOOKUP_ENTRIES; i++)
			out[i] += values[d] * entries[(size_t)d * LOOKUP_ENTRIES + i];
	}
}

const struct block_kernels *block_kernels_at(enum kernel_level level)
{
	static const struct block_kernels plain = {"plain", plain_dot, block_plain_lookup,
						   plain_pick, plain_table};

	switch (level) {
	case KERNEL_PLAIN: return &plain;
	case KERNEL_AVX2: return block_kernels_avx2();
	case KERNEL_AVX512: return block_kernels_avx512();
	default: return NULL;
	}
}

const struct block_kernels *block_kernels_get(void)
{
	int level = (int)kernels_level();
	const struct block_kernels *k;

	while (!(k = block_kernels_at((enum kernel_level)level)))
		level--;
	return k;
}

void block_put(uint8_t *block, uint32_t i, const uint8_t *code, uint32_t dim)
{
	for (uint32_t d = 0; d < block_groups(dim) * BLOCK_GROUP; d++)
		block[(size_t)(d / BLOCK_GROUP) * BLOCK_ROWS * BLOCK_GROUP + i * BLOCK_GROUP +
		      d % BLOCK_GROUP] = d < dim ? code[d] : 0;
}

void block_get(const uint8_t *block, uint32_t i, uint32_t dim, uint8_t *code)
{
	for (uint32_t d = 0; d < dim; d++)
		code[d] = block[(size_t)(d / BLOCK_GROUP) * BLOCK_ROWS * BLOCK_GROUP +
				i * BLOCK_GROUP + d % BLOCK_GROUP];
}
