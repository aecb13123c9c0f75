/* Random streams.
 *
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) is counter-based: element i of
 * a stream is a function of (seed, stream, i), so any number of threads draws the same numbers.
 *
 * MT19937 (Matsumoto and Nishimura 1998) as CPython's `random` module uses it: seeding from an integer, random(),
 * gauss(), getrandbits(), shuffle() and choices() agree with Python 3.11 and later bit for bit. */
#ifndef SPAK_BASE_RNG_H
#define SPAK_BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Block `index` of the stream: four independent 32-bit words. */
void spak_philox(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]);

/* Element i: uniform in [0, 1) with 24 bits, or standard normal (Box-Muller on one block's words). */
float spak_philox_uniform(uint64_t seed, uint64_t stream, uint64_t i);
float spak_philox_normal(uint64_t seed, uint64_t stream, uint64_t i);

/* The four normals of block `index`: elements 4 index and on. */
void spak_philox_normals(uint64_t seed, uint64_t stream, uint64_t index, float out[4]);

/* Fills x[0..n) with uniform numbers in [lo, hi) / with normal numbers; equal to the element functions above. */
void spak_philox_fill_uniform(float *x, size_t n, float lo, float hi, uint64_t seed, uint64_t stream);
void spak_philox_fill_normal(float *x, size_t n, float mean, float sigma, uint64_t seed, uint64_t stream);

typedef struct spak_mt {
    uint32_t state[624];
    int next;          /* 624: the state must be renewed before the next word */
    double gauss_next; /* the second number of gauss()'s pair */
    bool has_gauss_next;
} spak_mt;

void spak_mt_seed(spak_mt *mt, uint64_t seed);                                /* random.seed(seed) */
double spak_mt_random(spak_mt *mt);                                           /* random.random() */
double spak_mt_gauss(spak_mt *mt, double mu, double sigma);                   /* random.gauss(mu, sigma) */
uint64_t spak_mt_getrandbits(spak_mt *mt, int bits);                          /* 1 to 64 bits */
uint64_t spak_mt_below(spak_mt *mt, uint64_t n);                              /* random._randbelow(n), n >= 1 */
void spak_mt_shuffle(spak_mt *mt, size_t *items, size_t n);                   /* random.shuffle(items) */
size_t spak_mt_choice_weighted(spak_mt *mt, const double *weights, size_t n); /* random.choices(range(n), weights)[0] */

#endif
