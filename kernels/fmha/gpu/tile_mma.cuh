/* What the portable kernels (unfused.cu, mma_sync.cu, decode.cu) share: tiles
 * in shared memory, the products on them, and the way of O back to memory.
 *
 * A tile has rows of HEAD_DIM elements, or of some other multiple of 16, which
 * it holds as chunks of 16 bytes; cp.async brings them, ldmatrix takes them to
 * registers. Every pointer is a multiple of 16 bytes and every stride one of 8
 * elements, so a row is whole chunks; rows past the end of a sequence become
 * zeros and are neither read nor written.
 *
 * The file that includes this defines TILE_M, and WARP_M, how many rows a warp
 * computes. */
#ifndef SPAK_FMHA_GPU_TILE_MMA_CUH
#define SPAK_FMHA_GPU_TILE_MMA_CUH

#include "fmha/gpu/params.h"
#include "fmha/gpu/walk.h"
#include "ptx/attention_mma.cuh"

#ifndef CAUSAL
#define CAUSAL 0
#endif
#ifndef WINDOW
#define WINDOW 0
#endif
#ifndef VARLEN
#define VARLEN 0
#endif

enum {
    CHUNKS = HEAD_DIM / 8,
    ROW_BYTES = HEAD_DIM * 2,
    STEPS_D = HEAD_DIM / 16,
    FRAGS_M = WARP_M / 16, /* pieces of 16 rows */
    FRAGS_O = HEAD_DIM / 8 /* pieces of 8 columns */
};

static_assert(HEAD_DIM % 16 == 0, "ldmatrix brings 16 columns");
static_assert(WARP_M % 16 == 0, "a warp has rows of 16");

#define LOG2_E         1.4426950408889634f
#define LN_2           0.6931471805599453f
#define MINUS_INFINITY word_to_float(0xff800000u)

/* Where a row's maximum begins: lower than any score that counts, and finite.
 * So a row whose keys are all masked (-infinity) subtracts a number, not an
 * infinity: its exponentials are 0 and no NaN comes up. */
#define FLOOR -1e20f

/* --- sequences --- */

/* Sequence b: how long, and, with VARLEN, where its rows begin. */
typedef struct sequence {
    int queries, keys, first_query, first_key;
} sequence;

DEVICE sequence sequence_of(const fmha_gpu_params *p, int b) {
#if VARLEN
    const int *cu_q = (const int *)p->cu_q + b;
    const int *cu_k = (const int *)p->cu_k + b;
    const int q = (int)load_word(cu_q), k = (int)load_word(cu_k);
    const sequence s = {(int)load_word(cu_q + 1) - q,
                        (int)load_word(cu_k + 1) - k, q, k};
#else
    const sequence s = {p->q_len, p->kv_len, 0, 0};
    (void)b;
#endif
    return s;
}

/* Head h of sequence b, of a tensor that begins at `tensor`; `first` is the
 * sequence's first row there. */
DEVICE element *rows_of(fmha_ptr tensor, fmha_layout at, int b, int h,
                        int first) {
    return (element *)tensor + h * at.head +
           (VARLEN ? first * at.row : b * at.batch);
}

/* The place of (b, h, query t) in LSE. */
DEVICE long long lse_place(const fmha_gpu_params *p, sequence s, int b, int h,
                           int t) {
    return VARLEN ? (long long)h * p->total_q + s.first_query + t
                  : ((long long)b * p->heads + h) * p->q_len + t;
}

/* How many rows LSE has. */
DEVICE long long lse_rows(const fmha_gpu_params *p) {
    return VARLEN ? (long long)p->heads * p->total_q
                  : (long long)p->batch * p->heads * p->q_len;
}

/* The keys that query t sees: begin ... end - 1. */
typedef struct band {
    int begin, end;
} band;

DEVICE band band_of(const fmha_gpu_params *p, sequence s, int t) {
    const int last = t + s.keys - s.queries;
    const band x = {WINDOW ? last - p->window : 0,
                    CAUSAL ? fmha_least(s.keys, last + 1) : s.keys};
    return x;
}

DEVICE fmha_range keys_of(const fmha_gpu_params *p, sequence s, int first_q,
                          int tile_m, int tile_n) {
    return fmha_keys_of(first_q, tile_m, tile_n, s.queries, s.keys, CAUSAL,
                        WINDOW ? p->window : -1);
}

/* --- tiles in shared memory --- */

/* How many neighbouring rows' begins place() has to tell apart. */
DEVICE int told_apart(int chunks) {
    return chunks % 8 == 0 ? 8 : chunks % 4 == 0 ? 4 : 2;
}

/* Where chunk `chunk` of row `row` lies, in chunks from the tile's begin, if
 * rows have `chunks` chunks: such that eight neighbouring rows' chunks of one
 * column, which ldmatrix reads at once, lie in different eighths of the 128
 * bytes that the banks are wide.
 *
 * Rows of a multiple of 8 chunks all begin at the banks' begin: chunk c moves
 * to c xor row. With 4 or 12 chunks every other row begins at their middle, so
 * that four pairs of rows remain to be told apart: two bits do. With 2 chunks,
 * one. matmul/gpu/swizzle.h is the same for powers of two. */
DEVICE int place(int row, int chunk, int chunks) {
#ifdef PLAIN_ROWS /* to see what it is worth */
    return row * chunks + chunk;
#endif
    const unsigned told = (unsigned)told_apart(chunks);
    return row * chunks + (chunk ^ (int)((unsigned)row / (8 / told) % told));
}

/* Asks for `rows` rows of `chunks` chunks, which are `pitch` elements apart
 * from `from` on; the first `there` rows exist. `threads` threads take part.
 * A thread keeps to the chunks that place() turns alike, so that where they go
 * differs by constants. */
DEVICE void copy_rows(unsigned to, const element *from, long long pitch,
                      int there, int rows, int chunks, int thread,
                      int threads) {
    const int told = told_apart(chunks), down = threads / told;
    const int row = thread / told, chunk = thread % told;
    const element *source = from + row * pitch + 8 * chunk;
    const unsigned first = to + 16 * (unsigned)place(row, chunk, chunks);
#pragma unroll
    for (int i = 0; i < rows; i += down) {
        const unsigned at =
            down % 8 == 0 ? first + (unsigned)(16 * i * chunks)
                          : to + 16 * (unsigned)place(row + i, chunk, chunks);
        if (rows % down == 0 || row + i < rows)
#pragma unroll
            for (int c = 0; c < chunks; c += told)
                cp_async16(at + 16 * (unsigned)c, source + 8 * c,
                           row < there - i ? 16 : 0);
        source += down * pitch;
    }
}

/* One ldmatrix brings a 16 x 16 block as four 8 x 8 matrices. What a lane hands
 * in for the first block of the tile's row `row` (a multiple of 16), when the
 * second matrix lies below the first (`down`), or right of it. */
DEVICE unsigned lane_address(unsigned tile, int row, int chunks, int down) {
    const int lane = thread_again() % 32;
    const int below = down ? lane / 8 % 2 : lane / 16;
    const int right = down ? lane / 16 : lane / 8 % 2;
    return tile +
           16 * (unsigned)place(row + below * 8 + lane % 8, right, chunks);
}

/* The same for the block `rows` rows (a multiple of 16) further down, whose
 * corner is chunk `chunk` (even), all of them constants. The bits that place()
 * turns are not touched by what is added before, so that one number stands for
 * a whole tile: sixteen addresses of their own would cost sixteen registers. */
DEVICE unsigned block(unsigned lane, int rows, int chunk, int chunks) {
    const int told = told_apart(chunks);
    return (lane ^ (unsigned)(chunk % told * 16)) +
           (unsigned)((chunk / told * told + rows * chunks) * 16);
}

/* --- products --- */

/* Adds to o the products of P's 16 columns p, in registers, and 16 rows of V,
 * from row `row` of the tile on (lane_address with `down`). ldmatrix
 * transposes: keys run down. */
DEVICE void add_values(float o[FRAGS_M][FRAGS_O][4], unsigned p[FRAGS_M][4],
                       unsigned v_lane, int row) {
#pragma unroll
    for (int j = 0; j < FRAGS_O / 2; j++) {
        unsigned v[4];
        ldmatrix_trans(v, block(v_lane, row, 2 * j, CHUNKS));
#pragma unroll
        for (int i = 0; i < FRAGS_M; i++) {
            mma_m16n8k16(o[i][2 * j], p[i], v);
            mma_m16n8k16(o[i][2 * j + 1], p[i], v + 2);
        }
    }
}

/* --- registers to O --- */

/* Stores a warp's rows, as far as they exist (`there` of them, at `to`), over
 * the warp's own part of shared memory at `strip`: a lane has pairs of
 * neighbours, and turns them round to 16 bytes. */
DEVICE void store_rows(unsigned char *strip, element *to, long long pitch,
                       int there, float o[FRAGS_M][FRAGS_O][4]) {
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++) {
#pragma unroll
        for (int j = 0; j < 2 * FRAGS_O; j++) {
            const int half = j % 2;
            const float *x = &o[i][j / 2][2 * half];
            unsigned *at =
                (unsigned *)(strip +
                             16 * place(16 * i + 8 * half + g, j / 2, CHUNKS));
            at[t] = pack_elements(x[0], x[1]);
        }
    }
    __syncwarp();
#pragma unroll 4
    for (int at = lane; at < WARP_M * CHUNKS; at += 32) {
        const int row = at / CHUNKS, chunk = at % CHUNKS;
        if (row < there)
            store_vec16(
                to + row * pitch + 8 * chunk,
                *(const vec16 *)(strip + 16 * place(row, chunk, CHUNKS)));
    }
}

#endif
