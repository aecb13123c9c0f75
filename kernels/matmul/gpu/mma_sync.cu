/* The portable tensor-core product: mma.sync fed by cp.async (sm_80 and up).
 *
 *   C (m, n) = residual + act(alpha op(A) op(B) + beta C + bias)
 *
 * The data's way. cp.async moves TILE_K columns of TILE_M rows of A and TILE_N
 * of B from global memory straight to one of STAGES slots of shared memory,
 * STAGES - 1 steps ahead of their use. ldmatrix takes 16 columns of them to
 * registers while the matrix units work on the 16 before. The sums stay in
 * registers until the end; then each warp turns 16 rows at a time round in
 * shared memory, so that a lane has 8 neighbours: 16 bytes of C.
 *
 * Who does what. A block of WARPS_M x WARPS_N warps computes TILE_M x TILE_N
 * of C; a warp (TILE_M / WARPS_M) x (TILE_N / WARPS_N) of that, in pieces of
 * 16 x 8. One barrier a step of TILE_K.
 *
 *   copies       | tile 2 | tile 3 | tile 4 | tile 5        (STAGES = 3)
 *   ldmatrix   0 | 0 .. 1 | 1 .. 2 | 2 .. 3 |               k-step ahead
 *   mma          | tile 0 | tile 1 | tile 2 |
 *
 * Floor. 2 m n k operations at mma.sync's rate, which on Hopper is about 0.62
 * of wgmma's. Reading: each element of A n / TILE_N times from the second-level
 * cache, each of B m / TILE_M times. A warp of 64 x 64 loads 4 KiB from shared
 * memory for each 65,536 multiply-adds: a third of the banks' time.
 *
 * Launch: grid (tiles of C, 1, SPLIT), block THREADS, STAGES x (TILE_M +
 * TILE_N) x TILE_K x 2 bytes of dynamic shared memory.
 *
 * ALIGNED promises that every pointer is a multiple of 16 bytes, and lda, ldb,
 * ldc and the stored rows' lengths are multiples of 8 elements. Without it each
 * element is loaded by itself.
 *
 * SPLIT > 1 cuts k into slices, one a block, when the tiles are too few to
 * fill the GPU. Slices leave partial tiles in the workspace (tiles x SPLIT x
 * TILE_M x TILE_N floats); the block that finishes last adds them, always in
 * the order of the slices, whoever it is: the same bits at each run. */
#include "matmul/gpu/epilogue.cuh"
#include "matmul/gpu/order.h"
#include "matmul/gpu/params.h"
#include "matmul/gpu/swizzle.h"
#include "ptx/mma.cuh"

#ifndef TILE_M /* what fits everywhere: 48 KiB, two blocks an SM */
#define TILE_M  128
#define TILE_N  128
#define TILE_K  32
#define STAGES  3
#define WARPS_M 2
#define WARPS_N 2
#endif
#ifndef GROUP
#define GROUP 8
#endif
#ifndef MIN_BLOCKS
#define MIN_BLOCKS 1
#endif
#ifndef SPLIT
#define SPLIT 1
#endif
#ifndef TRANS_A
#define TRANS_A 0
#endif
#ifndef TRANS_B
#define TRANS_B 0
#endif

enum {
    WARP_M = TILE_M / WARPS_M,
    WARP_N = TILE_N / WARPS_N,
    FRAGS_M = WARP_M / 16, /* pieces of 16 x 16 of A that a warp holds */
    FRAGS_N = WARP_N / 8,  /* pieces of 16 x 8 of B */
    K_STEPS = TILE_K / 16,
    WARPS = WARPS_M * WARPS_N,
    THREADS = 32 * WARPS,

    /* A tile as it is stored, and its rows in chunks of 16 bytes. */
    A_ROWS = TRANS_A ? TILE_K : TILE_M,
    A_CHUNKS = (TRANS_A ? TILE_M : TILE_K) / 8,
    B_ROWS = TRANS_B ? TILE_N : TILE_K,
    B_CHUNKS = (TRANS_B ? TILE_K : TILE_N) / 8,
    A_BYTES = TILE_M * TILE_K * 2,
    COPY_UNROLL = ALIGNED ? 4 : 1, /* addresses are registers */
    STAGE_BYTES = (TILE_M + TILE_N) * TILE_K * 2,

    /* The epilogue's strip of a warp: 16 rows of floats, padded so that the
     * eight lanes of a phase that write 8 bytes each meet different banks. */
    STRIP_PITCH = WARP_N + 8,
    STRIP_BYTES = 16 * STRIP_PITCH * 4
};

static_assert(TILE_M % (16 * WARPS_M) == 0, "a warp has rows of 16");
static_assert(TILE_N % (16 * WARPS_N) == 0, "ldmatrix brings 16 columns");
static_assert(TILE_K % 32 == 0, "fragments alternate between two sets");
static_assert(STAGES >= 2, "one slot is filled while another is read");
static_assert(A_CHUNKS % 8 == 0 || 8 % A_CHUNKS == 0, "swizzle.h");
static_assert(B_CHUNKS % 8 == 0 || 8 % B_CHUNKS == 0, "swizzle.h");
static_assert(THREADS % A_CHUNKS == 0, "a thread copies one column of chunks");
static_assert(THREADS % B_CHUNKS == 0, "a thread copies one column of chunks");
static_assert(A_ROWS * A_CHUNKS % THREADS == 0, "each copies as much");
static_assert(B_ROWS * B_CHUNKS % THREADS == 0, "each copies as much");
static_assert(WARPS * STRIP_BYTES <= STAGES * STAGE_BYTES, "strips fit");

DYNAMIC_SHARED(smem, 128);

/* --- global to shared memory --- */

/* Copies a tile of a stored (rows, cols) matrix, from (row0, col0) on, to
 * shared memory at `to`; what lies outside of the matrix becomes zero. Of the
 * tile's chunks it copies part `part` of `parts`, so that the main loop may
 * spread them. */
DEVICE void copy_tile(unsigned char *to, const element *from, int ld, int rows,
                      int cols, int row0, int col0, int tile_rows, int chunks,
                      int part, int parts) {
    const int down = THREADS / chunks; /* from a thread's chunk to its next */
    const int first = tile_rows / down * part / parts;
    const int last = tile_rows / down * (part + 1) / parts;
    const int row = (int)threadIdx.x / chunks + first * down;
    const int chunk = (int)threadIdx.x % chunks;
    const int c = col0 + 8 * chunk;
    const element *source = from + (long long)(row0 + row) * ld + c;
#pragma unroll(COPY_UNROLL)
    for (int i = 0; i < last - first; i++) {
        const int r = row + i * down;
        unsigned char *place = to + 16 * matmul_swizzle(r, chunk, chunks);
        const int there = row0 + r < rows ? cols - c : 0; /* elements */
#if ALIGNED
        cp_async16(smem_address(place), source, there > 0 ? 16 : 0);
#else
        *(vec16 *)place = load_some(source, there);
#endif
        source += (long long)down * ld;
    }
}

/* Both operands' tiles of columns k0 ... k0 + TILE_K - 1, or a part of them. */
DEVICE void copy_stage(const matmul_params *p, unsigned char *stage, int m0,
                       int n0, int k0, int part, int parts) {
    const element *a = (const element *)p->a, *b = (const element *)p->b;
#if TRANS_A
    copy_tile(stage, a, p->lda, p->k, p->m, k0, m0, A_ROWS, A_CHUNKS, part,
              parts);
#else
    copy_tile(stage, a, p->lda, p->m, p->k, m0, k0, A_ROWS, A_CHUNKS, part,
              parts);
#endif
#if TRANS_B
    copy_tile(stage + A_BYTES, b, p->ldb, p->n, p->k, n0, k0, B_ROWS, B_CHUNKS,
              part, parts);
#else
    copy_tile(stage + A_BYTES, b, p->ldb, p->k, p->n, k0, n0, B_ROWS, B_CHUNKS,
              part, parts);
#endif
}

/* --- shared memory to registers --- */

/* One ldmatrix brings a 16 x 16 block as four 8 x 8 matrices. What a lane hands
 * in for the block whose corner is chunk `chunk` of stored row `row`, when the
 * second matrix lies below the first (`down`), or right of it. */
DEVICE unsigned block(unsigned tile, int row, int chunk, int chunks, int down) {
    const int lane = (int)threadIdx.x % 32;
    const int below = down ? lane / 8 % 2 : lane / 16;
    const int right = down ? lane / 16 : lane / 8 % 2;
    return tile + 16 * (unsigned)matmul_swizzle(row + below * 8 + lane % 8,
                                                chunk + right, chunks);
}

/* The registers of all of a warp's products in k-step `step`: a[i] is the 16 x
 * 16 block of rows 16 i; b[j] the one of columns 16 j, registers 0 and 1 for
 * the first 8 columns, 2 and 3 for the others. Where k runs down the stored
 * rows, ldmatrix transposes, and the order of the blocks turns with it. */
DEVICE void load_fragments(const unsigned char *stage, int warp_m, int warp_n,
                           int step, unsigned a[FRAGS_M][4],
                           unsigned b[FRAGS_N / 2][4]) {
    const unsigned a_tile = smem_address(stage), b_tile = a_tile + A_BYTES;
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++) {
        const int m = warp_m + 16 * i;
#if TRANS_A
        ldmatrix_trans(a[i], block(a_tile, 16 * step, m / 8, A_CHUNKS, 0));
#else
        ldmatrix(a[i], block(a_tile, m, 2 * step, A_CHUNKS, 1));
#endif
    }
#pragma unroll
    for (int j = 0; j < FRAGS_N / 2; j++) {
        const int n = warp_n + 16 * j;
#if TRANS_B
        ldmatrix(b[j], block(b_tile, n, 2 * step, B_CHUNKS, 0));
#else
        ldmatrix_trans(b[j], block(b_tile, 16 * step, n / 8, B_CHUNKS, 1));
#endif
    }
}

/* All products of a k-step; columns run to and fro, so that consecutive ones
 * share an operand. */
DEVICE void multiply(float sum[FRAGS_M][FRAGS_N][4], unsigned a[FRAGS_M][4],
                     unsigned b[FRAGS_N / 2][4]) {
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++) {
#pragma unroll
        for (int jj = 0; jj < FRAGS_N; jj++) {
            const int j = i % 2 ? FRAGS_N - 1 - jj : jj;
            mma_m16n8k16(sum[i][j], a[i], &b[j / 2][j % 2 * 2]);
        }
    }
}

//> mma_sync
/* The sums of k tiles first ... last - 1.
 *
 * In iteration t the slot of tile t - 1 is filled with tile t + STAGES - 1. All
 * warps have read it: its last fragments are loaded before the barrier of
 * iteration t - 1. The same barrier, behind a wait that leaves STAGES - 2
 * groups, makes tile t visible. A group is closed in each iteration, so that
 * the count holds at the end, too, where nothing is left to copy; the fragments
 * that are loaded behind the last tile are never used. */
DEVICE void sum_tiles(const matmul_params *p, int m0, int n0, int first,
                      int last, float sum[FRAGS_M][FRAGS_N][4]) {
    const int warp = (int)threadIdx.x / 32;
    const int warp_m = warp % WARPS_M * WARP_M;
    const int warp_n = warp / WARPS_M * WARP_N;
    unsigned a[2][FRAGS_M][4], b[2][FRAGS_N / 2][4];

#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (first + s < last)
            copy_stage(p, smem + s * STAGE_BYTES, m0, n0, (first + s) * TILE_K,
                       0, 1);
        cp_async_commit();
    }
    cp_async_wait(STAGES - 2);
    __syncthreads();

    int full = 0, empty = STAGES - 1; /* slots: being read, being filled */
    load_fragments(smem, warp_m, warp_n, 0, a[0], b[0]);
#pragma unroll 1
    for (int t = first; t < last; t++) {
        const int ahead = t + STAGES - 1;
#pragma unroll
        for (int step = 0; step < K_STEPS; step++) {
            if (step == K_STEPS - 1) {
                cp_async_wait(STAGES - 2);
                __syncthreads();
                full = full == STAGES - 1 ? 0 : full + 1;
            }
            load_fragments(smem + full * STAGE_BYTES, warp_m, warp_n,
                           (step + 1) % K_STEPS, a[(step + 1) % 2],
                           b[(step + 1) % 2]);
            if (step < K_STEPS - 1 && ahead < last)
                copy_stage(p, smem + empty * STAGE_BYTES, m0, n0,
                           ahead * TILE_K, step, K_STEPS - 1);
            if (step == K_STEPS - 2) {
                cp_async_commit();
                empty = empty == STAGES - 1 ? 0 : empty + 1;
            }
            multiply(sum, a[step % 2], b[step % 2]);
        }
    }
}
//< mma_sync

/* --- slices of k --- */

#if SPLIT > 1
/* Leaves the block's partial sums in the workspace. In the block that comes
 * last it adds up all slices, in their order, and returns 1; in others 0. The
 * workspace holds, of a tile and slice, piece by piece, what a thread holds of
 * it: neighbouring threads write neighbouring 16 bytes. */
DEVICE int add_slices(const matmul_params *p, int tile,
                      float sum[FRAGS_M][FRAGS_N][4]) {
    __shared__ int arrived;
    const int slice_size = FRAGS_M * FRAGS_N * THREADS;
    vec16 *all = (vec16 *)p->workspace + (long long)tile * SPLIT * slice_size +
                 (int)threadIdx.x;
    vec16 *own = all + (long long)blockIdx.z * slice_size;
#pragma unroll
    for (int i = 0; i < FRAGS_M * FRAGS_N; i++) {
        vec16 v;
#pragma unroll
        for (int e = 0; e < 4; e++)
            v.x[e] = word_of_float(sum[i / FRAGS_N][i % FRAGS_N][e]);
        store_vec16(own + i * THREADS, v);
    }
    __threadfence(); /* the sums before the count */
    __syncthreads();
    int *counter = (int *)p->counters + tile;
    if (threadIdx.x == 0) arrived = atomicAdd(counter, 1) + 1;
    __syncthreads();
    if (arrived < SPLIT) return 0;
    __threadfence(); /* the count before the others' sums */
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++) {
#pragma unroll
        for (int j = 0; j < FRAGS_N; j++)
            sum[i][j][0] = sum[i][j][1] = sum[i][j][2] = sum[i][j][3] = 0.0f;
#pragma unroll 1
        for (int z = 0; z < SPLIT; z++) {
            const vec16 *slice = all + z * slice_size + i * FRAGS_N * THREADS;
#pragma unroll
            for (int j = 0; j < FRAGS_N; j++) {
                const vec16 v = load_vec16_fresh(slice + j * THREADS);
#pragma unroll
                for (int e = 0; e < 4; e++)
                    sum[i][j][e] += word_to_float(v.x[e]);
            }
        }
    }
    if (threadIdx.x == 0) atomicExch(counter, 0); /* for the next launch */
    return 1;
}
#endif

/* --- registers to C --- */

/* A lane holds, of each piece, two neighbours in row g and two in row g + 8. */
DEVICE void store_tile(const matmul_params *p, int m0, int n0,
                       float sum[FRAGS_M][FRAGS_N][4]) {
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int g = lane / 4, t = lane % 4;
    const int row0 = m0 + warp % WARPS_M * WARP_M;
    const int col0 = n0 + warp / WARPS_M * WARP_N;
#if ALIGNED
    float *strip = (float *)(smem + warp * STRIP_BYTES);
    /* The strips lie where other warps may still load fragments. Those would
     * be the ones behind the last tile, which nobody uses: a race all the same.
     */
    __syncthreads();
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++) {
#pragma unroll
        for (int j = 0; j < FRAGS_N; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++)
                strip[(g + e / 2 * 8) * STRIP_PITCH + 8 * j + 2 * t + e % 2] =
                    sum[i][j][e];
        }
        __syncwarp();
#pragma unroll
        for (int at = lane; at < 2 * WARP_N; at += 32) {
            const int row = at / (WARP_N / 8), col = at % (WARP_N / 8) * 8;
            float x[8];
#pragma unroll
            for (int e = 0; e < 8; e++)
                x[e] = strip[row * STRIP_PITCH + col + e];
            if (row0 + 16 * i + row < p->m && col0 + col < p->n)
                epilogue(p, row0 + 16 * i + row, col0 + col, x, 8);
        }
        __syncwarp();
    }
#else
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++) {
#pragma unroll
        for (int j = 0; j < FRAGS_N; j++) {
            const int row = row0 + 16 * i + g, col = col0 + 8 * j + 2 * t;
            const float *x = sum[i][j];
            epilogue_pair(p, row, col, x[0], x[1]);
            epilogue_pair(p, row + 8, col, x[2], x[3]);
        }
    }
#endif
}

KERNEL void __launch_bounds__(THREADS, MIN_BLOCKS)
    matmul(const __grid_constant__ matmul_params p) {
    const int tiles_m = matmul_tiles(p.m, TILE_M);
    const int tiles_n = matmul_tiles(p.n, TILE_N);
    const int tiles_k = matmul_tiles(p.k, TILE_K);
    const int linear = (int)blockIdx.x, slice = (int)blockIdx.z;
    if (linear >= tiles_m * tiles_n) return;
    const matmul_tile tile = matmul_order(linear, tiles_m, tiles_n, GROUP);
    const int m0 = tile.row * TILE_M, n0 = tile.col * TILE_N;
    float sum[FRAGS_M][FRAGS_N][4];
#pragma unroll
    for (int i = 0; i < FRAGS_M * FRAGS_N * 4; i++)
        sum[i / 4 / FRAGS_N][i / 4 % FRAGS_N][i % 4] = 0.0f;
    /* All slices have tiles_k / SPLIT tiles, the first ones one more. */
    const int rest = tiles_k % SPLIT;
    const int first = tiles_k / SPLIT * slice + (slice < rest ? slice : rest);
    const int last = first + tiles_k / SPLIT + (slice < rest);
    sum_tiles(&p, m0, n0, first, last, sum);
#if SPLIT > 1
    if (!add_slices(&p, linear, sum)) return;
#endif
    store_tile(&p, m0, n0, sum);
}
