/* Seeded pseudo-random numbers (xoshiro256**, seeded through splitmix64). The only randomness that
 * deciding code may use, so that a seed replays a run. */
#pragma once
#include <stdint.h>

struct prng {
	uint64_t s[4];
};

void prng_seed(struct prng *p, uint64_t seed);
uint64_t prng_u64(struct prng *p);
uint64_t prng_below(struct prng *p, uint64_t bound); /* uniform in [0, bound), bound > 0 */
double prng_unit(struct prng *p);                    /* [0, 1) */
float prng_gauss(struct prng *p);                    /* standard normal */
