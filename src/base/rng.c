#include "base/rng.h"

#include <math.h>
#include <string.h>

static const double TWO_PI = 6.283185307179586476925286766559;

/* --- Philox4x32-10 --- */

static inline void philox_round(uint32_t x[4], const uint32_t key[2]) {
    uint64_t p0 = (uint64_t)0xD2511F53u * x[0], p1 = (uint64_t)0xCD9E8D57u * x[2];
    uint32_t y0 = (uint32_t)(p1 >> 32) ^ x[1] ^ key[0], y2 = (uint32_t)(p0 >> 32) ^ x[3] ^ key[1];
    x[0] = y0;
    x[1] = (uint32_t)p1;
    x[2] = y2;
    x[3] = (uint32_t)p0;
}

void spak_philox(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]) {
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    out[0] = (uint32_t)index;
    out[1] = (uint32_t)(index >> 32);
    out[2] = (uint32_t)stream;
    out[3] = (uint32_t)(stream >> 32);
    for (int i = 0; i < 10; i++) {
        philox_round(out, key);
        key[0] += 0x9E3779B9u; /* the golden ratio and sqrt(3) - 1, as in the paper */
        key[1] += 0xBB67AE85u;
    }
}

static inline float unit(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

/* A pair of normals from two words; 1 - u is in (0, 1], so the logarithm is finite. */
static inline float normal_of(const uint32_t words[4], unsigned lane) {
    unsigned pair = lane & 2u;
    float radius = sqrtf(-2.0f * logf(1.0f - unit(words[pair])));
    float angle = (float)TWO_PI * unit(words[pair + 1]);
    return radius * (lane & 1u ? sinf(angle) : cosf(angle));
}

void spak_philox_normals(uint64_t seed, uint64_t stream, uint64_t index, float out[4]) {
    uint32_t words[4];
    spak_philox(seed, stream, index, words);
    for (unsigned i = 0; i < 4; i++) out[i] = normal_of(words, i);
}

float spak_philox_uniform(uint64_t seed, uint64_t stream, uint64_t i) {
    uint32_t words[4];
    spak_philox(seed, stream, i / 4, words);
    return unit(words[i % 4]);
}

float spak_philox_normal(uint64_t seed, uint64_t stream, uint64_t i) {
    uint32_t words[4];
    spak_philox(seed, stream, i / 4, words);
    return normal_of(words, (unsigned)(i % 4));
}

void spak_philox_fill_uniform(float *x, size_t n, float lo, float hi, uint64_t seed, uint64_t stream) {
    uint32_t words[4];
    float largest = hi > lo ? nextafterf(hi, lo) : lo; /* the sum below may round up to hi */
    for (size_t i = 0; i < n; i++) {
        if (i % 4 == 0) spak_philox(seed, stream, i / 4, words);
        x[i] = fminf(lo + (hi - lo) * unit(words[i % 4]), largest);
    }
}

void spak_philox_fill_normal(float *x, size_t n, float mean, float sigma, uint64_t seed, uint64_t stream) {
    uint32_t words[4];
    for (size_t i = 0; i < n; i++) {
        if (i % 4 == 0) spak_philox(seed, stream, i / 4, words);
        x[i] = mean + sigma * normal_of(words, (unsigned)(i % 4));
    }
}

/* --- MT19937 as in CPython's Modules/_randommodule.c and Lib/random.py --- */

enum { N = 624, M = 397 };

static void seed_word(spak_mt *mt, uint32_t seed) {
    mt->state[0] = seed;
    for (uint32_t i = 1; i < N; i++) mt->state[i] = 1812433253u * (mt->state[i - 1] ^ (mt->state[i - 1] >> 30)) + i;
    mt->next = N;
}

void spak_mt_seed(spak_mt *mt, uint64_t seed) {
    memset(mt, 0, sizeof *mt);
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t len = key[1] ? 2 : 1, i = 1, j = 0, *s = mt->state;
    seed_word(mt, 19650218u);
    for (int k = N; k; k--) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525u)) + key[j] + j;
        if (++i >= N) s[0] = s[N - 1], i = 1;
        if (++j >= len) j = 0;
    }
    for (int k = N - 1; k; k--) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941u)) - i;
        if (++i >= N) s[0] = s[N - 1], i = 1;
    }
    s[0] = 0x80000000u;
}

static uint32_t next_word(spak_mt *mt) {
    uint32_t *s = mt->state;
    if (mt->next >= N) {
        for (int i = 0; i < N; i++) {
            uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % N] & 0x7fffffffu);
            s[i] = s[(i + M) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        mt->next = 0;
    }
    uint32_t y = s[mt->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

double spak_mt_random(spak_mt *mt) {
    uint32_t a = next_word(mt) >> 5, b = next_word(mt) >> 6;
    return (a * 67108864.0 + b) * (1.0 / 9007199254740992.0);
}

double spak_mt_gauss(spak_mt *mt, double mu, double sigma) {
    double z = mt->gauss_next;
    if (mt->has_gauss_next) {
        mt->has_gauss_next = false;
    } else {
        double x2pi = spak_mt_random(mt) * TWO_PI;
        double g2rad = sqrt(-2.0 * log(1.0 - spak_mt_random(mt)));
        z = cos(x2pi) * g2rad;
        mt->gauss_next = sin(x2pi) * g2rad;
        mt->has_gauss_next = true;
    }
    return mu + z * sigma;
}

uint64_t spak_mt_getrandbits(spak_mt *mt, int bits) {
    if (bits <= 32) return next_word(mt) >> (32 - bits);
    uint64_t low = next_word(mt);
    return low | (uint64_t)(next_word(mt) >> (64 - bits)) << 32;
}

uint64_t spak_mt_below(spak_mt *mt, uint64_t n) {
    int bits = 64 - __builtin_clzll(n);
    uint64_t r = spak_mt_getrandbits(mt, bits);
    while (r >= n) r = spak_mt_getrandbits(mt, bits);
    return r;
}

void spak_mt_shuffle(spak_mt *mt, size_t *items, size_t n) {
    for (size_t i = n; i-- > 1;) {
        size_t j = (size_t)spak_mt_below(mt, i + 1), kept = items[i];
        items[i] = items[j];
        items[j] = kept;
    }
}

/* choices() draws random() * total and bisects the running sums to the right, with hi = n - 1. */
size_t spak_mt_choice_weighted(spak_mt *mt, const double *weights, size_t n) {
    double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++) total += weights[i];
    double point = spak_mt_random(mt) * total;
    for (size_t i = 0; i + 1 < n; i++) {
        sum += weights[i];
        if (point < sum) return i;
    }
    return n - 1;
}
