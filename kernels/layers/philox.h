/* Dropout: x[i] = 0 where Philox's uniform number of i is below the rate, else
 * x[i] / (1 - rate).
 *
 * Philox4x32-10 is a function of (seed, stream, i / 4) that gives four words.
 * LANES / 2 blocks are computed at once, one in each 64-bit lane: the multiply
 * instruction takes the low halves of such lanes and leaves a whole product, so
 * a round is two multiplications, two shifts and four exclusive ors, and what
 * stands in the high halves never matters. Word w of block j is number 4 j + w:
 * two interleavings put them in their order. The comparison needs no uniform
 * number: u = word / 2^8 / 2^24 >= rate when word / 2^8 >= rate 2^24. */
typedef uint64_t wide __attribute__((vector_size(LANES * 4)));

enum { BLOCKS = LANES / 2 }; /* 4 numbers each: two vectors of floats */

#if LANES == 4
#define FIRST_PAIRS  0, 2
#define SECOND_PAIRS 1, 3
#elif LANES == 8
#define FIRST_PAIRS  0, 4, 1, 5
#define SECOND_PAIRS 2, 6, 3, 7
#else
#define FIRST_PAIRS  0, 8, 1, 9, 2, 10, 3, 11
#define SECOND_PAIRS 4, 12, 5, 13, 6, 14, 7, 15
#endif

INLINE wide w_set1(uint64_t x) { return (wide){0} + x; }

/* Keep or not, all ones or zeros, of the numbers 4 index ... 4 index + 4 BLOCKS
 * - 1, in two vectors. */
INLINE void keep_mask(ivec keep[2], uint64_t index, uint32_t threshold,
                      uint64_t seed, uint64_t stream) {
    wide x0, x1 = {0}, x2 = w_set1(stream & 0xFFFFFFFF),
             x3 = w_set1(stream >> 32);
    for (int j = 0; j < BLOCKS; j++) x0[j] = index + (uint64_t)j;
    x1 = x0 >> 32;
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    UNROLL for (int round = 0; round < 10; round++) {
        wide p0 = w_mul(x0, w_set1(0xD2511F53u)),
             p1 = w_mul(x2, w_set1(0xCD9E8D57u));
        x0 = (p1 >> 32) ^ x1 ^ w_set1(key0);
        x2 = (p0 >> 32) ^ x3 ^ w_set1(key1);
        x1 = p1;
        x3 = p0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    const wide low = w_set1(0xFFFFFFFF);
    wide a = (x0 & low) | (x1 << 32), b = (x2 & low) | (x3 << 32);
    typedef uint32_t uvec __attribute__((vector_size(LANES * 4)));
    uvec first = (uvec)__builtin_shufflevector(a, b, FIRST_PAIRS),
         second = (uvec)__builtin_shufflevector(a, b, SECOND_PAIRS);
    keep[0] = (ivec)(first >> 8) >= i_set1((int32_t)threshold);
    keep[1] = (ivec)(second >> 8) >= i_set1((int32_t)threshold);
}

static void dropout(float *x, size_t n, float rate, uint64_t seed,
                    uint64_t stream, uint64_t first) {
    const uint32_t threshold = (uint32_t)ceil((double)rate * 0x1p24);
    const vec by = v_set1((float)(1 / (1 - (double)rate)));
    /* The first number may stand within a block of four. */
    size_t i = 0, skip = first % 4;
    for (uint64_t index = first / 4; i < n; index += BLOCKS, skip = 0) {
        ivec keep[2];
        keep_mask(keep, index, threshold, seed, stream);
        if (skip == 0 && n - i >= 2 * LANES) {
            UNROLL for (int h = 0; h < 2; h++, i += LANES) v_store(
                x + i, v_where(keep[h], v_load(x + i, LANES) * by), LANES);
        } else {
            for (size_t l = skip; l < 2 * LANES && i < n; l++, i++)
                x[i] = keep[l / LANES][l % LANES] ? x[i] * by[0] : 0;
        }
    }
}
