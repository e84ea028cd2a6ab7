/* xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2018),
 * seeded through splitmix64 as its authors recommend. */
#include "base/prng.h"
#include "base/assert.h"
#include <math.h>

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = (*state += 0x9E3779B97F4A7C15u);
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

void prng_seed(struct prng *p, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		p->s[i] = splitmix64(&seed);
}

uint64_t prng_u64(struct prng *p)
{
	uint64_t *s = p->s;
	uint64_t result = rotate_left(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

/* Lemire, "Fast random integer generation in an interval", 2019. */
uint64_t prng_below(struct prng *p, uint64_t bound)
{
	assert(bound > 0);
	unsigned __int128 product = (unsigned __int128)prng_u64(p) * bound;
	if ((uint64_t)product < bound) {
		uint64_t threshold = -bound % bound;
		while ((uint64_t)product < threshold)
			product = (unsigned __int128)prng_u64(p) * bound;
	}
	return (uint64_t)(product >> 64);
}

double prng_unit(struct prng *p)
{
	return (double)(prng_u64(p) >> 11) * 0x1p-53;
}

/* Box and Muller, 1958; the second number is thrown away, so that there is no state beside s[]. */
float prng_gauss(struct prng *p)
{
	double u = 1.0 - prng_unit(p); /* (0, 1] */
	double v = prng_unit(p);
	return (float)(sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v));
}
