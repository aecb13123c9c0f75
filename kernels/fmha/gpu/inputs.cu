/* A trial's data: made and compared where it lies.
 *
 *   fill       to[i] = scale times a normal number, rounded to the element's
 *              type, from block i / 4 of Philox4x32-10 with the key (seed,
 *              stream), two uniform numbers at a time (Box and Muller); or,
 *              where `integers` is not 0, an integer of at most that magnitude
 *   different  *result += number of words with a[i] != b[i], bit for bit
 *
 * Way of the data: registers to global memory; global memory to one counter.
 * Who: each thread takes every (threads of the grid)-th group of four.
 * Floor: the bytes over the memory's bandwidth. */
#include "ptx/types.cuh"

typedef unsigned long long u64;

typedef struct fill_params {
    u64 to, count, seed, stream, integers;
    float scale;
} fill_params;

typedef struct different_params {
    u64 a, b, count; /* in units of 16 bits */
    u64 result;      /* one 32-bit counter */
} different_params;

DEVICE void philox(u64 seed, u64 stream, u64 index, unsigned word[4]) {
    unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
    word[0] = (unsigned)index;
    word[1] = (unsigned)(index >> 32);
    word[2] = (unsigned)stream;
    word[3] = (unsigned)(stream >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned lo0 = 0xD2511F53u * word[0],
                 hi0 = __umulhi(0xD2511F53u, word[0]);
        unsigned lo1 = 0xCD9E8D57u * word[2],
                 hi1 = __umulhi(0xCD9E8D57u, word[2]);
        word[0] = hi1 ^ word[1] ^ k0;
        word[2] = hi0 ^ word[3] ^ k1;
        word[1] = lo1;
        word[3] = lo0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* Number i of four: of two words come two. Below 5.9 in magnitude. */
DEVICE float normal(const unsigned word[4], int i) {
    float u = ((float)(word[i & 2] >> 8) + 0.5f) * 5.9604644775390625e-8f,
          v = (float)(word[i | 1] >> 8) * 5.9604644775390625e-8f;
    return sqrtf(-2 * logf(u)) * (i & 1 ? sinpif(2 * v) : cospif(2 * v));
}

DEVICE float integer(unsigned word, u64 most) {
    return (float)(word % (2 * (unsigned)most + 1)) - (float)most;
}

KERNEL void fill(const __grid_constant__ fill_params p) {
    element *to = (element *)p.to;
    u64 threads = (u64)gridDim.x * blockDim.x;
    u64 first = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    for (u64 group = first; 4 * group < p.count; group += threads) {
        unsigned word[4];
        philox(p.seed, p.stream, group, word);
        for (int i = 0; i < 4; i++) {
            float x =
                p.integers ? integer(word[i], p.integers) : normal(word, i);
            if (4 * group + i < p.count)
                to[4 * group + i] = element_from_float(p.scale * x);
        }
    }
}

KERNEL void different(const __grid_constant__ different_params p) {
    const element *a = (const element *)p.a, *b = (const element *)p.b;
    u64 threads = (u64)gridDim.x * blockDim.x;
    unsigned count = 0;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < p.count;
         i += threads)
        count += a[i] != b[i];
    if (count) atomicAdd((unsigned *)p.result, count);
}
