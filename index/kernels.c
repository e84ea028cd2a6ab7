/* Choice of the kernels, and the plain ones. The plain ones are the reference that the others are
 * tested against; they are written with eight sums so that a compiler can vectorise them. */
#include "index/kernels.h"

#include "base/assert.h"
#include "index/kernels_x86.h"
#include "index/vindex.h"
#include <stdatomic.h>
#include <string.h>

static inline float load_f32(const float *p, size_t i)
{
	float v;

	memcpy(&v, (const char *)(const void *)p + i * sizeof v, sizeof v);
	return v;
}

static inline float sum8(const float s[8])
{
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

#define PLAIN(name, expression, sign)                                                              \
	static float name(const float *a, const float *b, size_t dim)                              \
	{                                                                                          \
		float s[8] = {0}, tail = 0;                                                        \
		size_t i = 0;                                                                      \
		for (; i + 8 <= dim; i += 8) {                                                     \
			for (size_t j = 0; j < 8; j++) {                                           \
				float x = load_f32(a, i + j), y = load_f32(b, i + j);              \
				s[j] += expression;                                                \
			}                                                                          \
		}                                                                                  \
		for (; i < dim; i++) {                                                             \
			float x = load_f32(a, i), y = load_f32(b, i);                              \
			tail += expression;                                                        \
		}                                                                                  \
		return sign(sum8(s) + tail);                                                       \
	}                                                                                          \
	static void name##4(const float *query, const float *const rows[4], size_t dim,            \
			    float out[4])                                                          \
	{                                                                                          \
		for (int i = 0; i < 4; i++)                                                        \
			out[i] = name(query, rows[i], dim);                                        \
	}

PLAIN(plain_dot, x *y, -)
PLAIN(plain_l2, (x - y) * (x - y), +)
PLAIN(plain_l1, __builtin_fabsf(x - y), +)

static const struct kernels plain = {
	.name = "plain",
	.dot = plain_dot,
	.l2 = plain_l2,
	.l1 = plain_l1,
	.dot4 = plain_dot4,
	.l24 = plain_l24,
	.l14 = plain_l14,
};

static _Atomic int limit_level = KERNEL_LEVELS - 1;

const struct kernels *kernels_at(enum kernel_level level)
{
	switch (level) {
	case KERNEL_PLAIN: return &plain;
	case KERNEL_AVX2: return kernels_avx2();
	case KERNEL_AVX512: return kernels_avx512();
	default: return NULL;
	}
}

enum kernel_level kernels_level(void)
{
	int level = atomic_load_explicit(&limit_level, memory_order_relaxed);

	while (!kernels_at((enum kernel_level)level))
		level--;
	return (enum kernel_level)level;
}

const struct kernels *kernels_get(void)
{
	static _Atomic(const struct kernels *) chosen[KERNEL_LEVELS];
	int limit = atomic_load_explicit(&limit_level, memory_order_relaxed);
	const struct kernels *k = atomic_load_explicit(&chosen[limit], memory_order_relaxed);

	if (!k) { /* two threads may both get here; they write the same value */
		k = kernels_at(kernels_level());
		atomic_store_explicit(&chosen[limit], k, memory_order_relaxed);
	}
	return k;
}

void kernels_limit(enum kernel_level level)
{
	assert(level < KERNEL_LEVELS);
	atomic_store_explicit(&limit_level, (int)level, memory_order_relaxed);
}

kernel_fn kernels_distance(const struct kernels *k, enum distance distance)
{
	switch (distance) {
	case DISTANCE_EUCLID: return k->l2;
	case DISTANCE_MANHATTAN: return k->l1;
	case DISTANCE_COSINE:
	case DISTANCE_DOT:
	default: return k->dot;
	}
}

kernel4_fn kernels_distance4(const struct kernels *k, enum distance distance)
{
	switch (distance) {
	case DISTANCE_EUCLID: return k->l24;
	case DISTANCE_MANHATTAN: return k->l14;
	case DISTANCE_COSINE:
	case DISTANCE_DOT:
	default: return k->dot4;
	}
}

const char *vindex_kernels(void)
{
	return kernels_get()->name;
}

int vindex_limit_kernels(const char *level, struct error *err)
{
	static const char *const names[KERNEL_LEVELS] = {"plain", "avx2", "avx512"};

	for (int i = 0; i < KERNEL_LEVELS; i++) {
		if (strcmp(level, names[i]) == 0) {
			kernels_limit((enum kernel_level)i);
			return 0;
		}
	}
	return error_set(err, ERR_INPUT, "kernels are plain, avx2 or avx512, not '%s'", level);
}
