/* Fused attention on the portable tensor-core path (sm_80 and up).
 *
 *   O = softmax(scale Q K^T + mask) V, LSE = log of the sum of the exponentials
 *
 * The data's way. A block has TILE_M queries of one head. Q comes to shared
 * memory once; K and V come by cp.async in tiles of TILE_N keys, K_STAGES and
 * V_STAGES of them in flight or in use. S = Q K^T stays in registers, where it
 * becomes P; the layout of mma.sync's result is that of its left operand, so P
 * goes to the product with V as it is. No score ever reaches shared memory, let
 * alone global memory.
 *
 * Who does what. WARPS warps with WARP_M = TILE_M / WARPS rows each, all keys:
 * a row's maximum and sum need four lanes and no other warp. With 32 rows a
 * warp each fragment of K and V that is loaded serves two products; with 16 the
 * banks of shared memory would set the pace.
 *
 *   for each tile j of keys       K(j) landed, all have done V(j - 1)
 *     ask for V(j + V_STAGES - 1)
 *     S = Q K(j)                  V(j) landed, all have done K(j)
 *     ask for K(j + K_STAGES)
 *     P = 2^(S - max), O and sum take the new maximum, O += P V(j)
 *
 * One block's exponentials run while another's products do: two blocks an SM.
 *
 * Floor. 4 T^2 HEAD_DIM operations a head at mma.sync's rate (half under a
 * causal mask), which on Hopper is about 0.62 of wgmma's, and T^2 exponentials
 * at 16 a cycle and SM: at HEAD_DIM 64 the latter take as long as a third of
 * the former.
 *
 * Launch: grid (tiles of queries x heads x sequences), block 32 WARPS, (TILE_M
 * + (K_STAGES + V_STAGES) TILE_N) HEAD_DIM x 2 bytes of dynamic shared memory.
 * scale > 0. */
#include "fmha/gpu/params.h"

#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif
/* What fits in 99 KiB, twice into an SM of Hopper, and into 255 registers: at
 * HEAD_DIM 128, 32 rows of O take 128 of them, and scores of 64 keys 64. */
#ifndef TILE_M
#define TILE_M   (HEAD_DIM <= 128 ? 128 : 64)
#define TILE_N   (HEAD_DIM == 128 ? 48 : HEAD_DIM == 256 ? 32 : 64)
#define K_STAGES 2
#define V_STAGES (HEAD_DIM == 192 ? 1 : 2)
#endif
#ifndef WARPS
#define WARPS 4
#endif
#ifndef MIN_BLOCKS
#define MIN_BLOCKS (WARPS <= 4 ? 2 : 1)
#endif
#ifndef LONGEST
#define LONGEST CAUSAL
#endif
#define WARP_M (TILE_M / WARPS)
#define KEYS   TILE_N
#include "fmha/gpu/online_mma.cuh"

enum {
    THREADS = 32 * WARPS,
    Q_BYTES = TILE_M * ROW_BYTES,
    STAGE_BYTES = TILE_N * ROW_BYTES,
    SMEM_BYTES = Q_BYTES + (K_STAGES + V_STAGES) * STAGE_BYTES,

    /* Q stays in registers where there is room for it beside O and S: a piece
     * of 16 rows takes HEAD_DIM / 4, HEAD_DIM / 2 and TILE_N / 2. */
    Q_IN_REGISTERS = FRAGS_M * (HEAD_DIM * 3 / 4 + TILE_N / 2) <= 160,
    STEPS_Q = Q_IN_REGISTERS ? STEPS_D : 1,
    STAGES = K_STAGES > V_STAGES - 1 ? K_STAGES : V_STAGES - 1
};

static_assert(TILE_M % (16 * WARPS) == 0, "a warp has rows of 16");
static_assert(K_STAGES >= 1 && V_STAGES >= 1, "a tile is somewhere");

DYNAMIC_SHARED(smem, 128);

/* --- S = Q K^T --- */

DEVICE void load_queries(unsigned q[FRAGS_M][4], unsigned q_lane, int step) {
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++)
        ldmatrix(q[i], block(q_lane, 16 * i, 2 * step, CHUNKS));
}

/* The scores of the warp's rows before the scale; with the queries in registers
 * or not. */
DEVICE void scores(float s[FRAGS_M][FRAGS_S][4],
                   unsigned q[STEPS_Q][FRAGS_M][4], unsigned q_lane,
                   unsigned k_tile) {
    const unsigned k_lane = lane_address(k_tile, 0, CHUNKS, 0);
#pragma unroll
    for (int i = 0; i < FRAGS_M * FRAGS_S * 4; i++)
        s[i / 4 / FRAGS_S][i / 4 % FRAGS_S][i % 4] = 0.0f;
#pragma unroll
    for (int step = 0; step < STEPS_D; step++) {
        if (!Q_IN_REGISTERS) load_queries(q[0], q_lane, step);
#pragma unroll
        for (int j = 0; j < FRAGS_S / 2; j++) {
            unsigned k[4];
            ldmatrix(k, block(k_lane, 16 * j, 2 * step, CHUNKS));
#pragma unroll
            for (int i = 0; i < FRAGS_M; i++) {
                unsigned *a = q[Q_IN_REGISTERS ? step : 0][i];
                mma_m16n8k16(s[i][2 * j], a, k);
                mma_m16n8k16(s[i][2 * j + 1], a, k + 2);
            }
        }
    }
}

/* Scores of keys that a row does not see become -infinity. The tile begins at
 * query `query` and key `key`. */
DEVICE void mask(const fmha_gpu_params *p, sequence at, int query, int key,
                 float s[FRAGS_M][FRAGS_S][4]) {
    const int lane = thread_again() % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int r = 0; r < 2 * FRAGS_M; r++) {
        const int half = r % 2;
        const band seen = band_of(p, at, query + 8 * r + g);
        /* seen as columns of this lane's first piece */
        const int begin = seen.begin - key - 2 * t;
        const int end = seen.end - key - 2 * t;
#pragma unroll
        for (int j = 0; j < 2 * FRAGS_S; j++) {
            const int column = j / 2 * 8 + j % 2;
            if (column >= end || (WINDOW && column < begin))
                s[r / 2][j / 2][2 * half + j % 2] = MINUS_INFINITY;
        }
    }
}

/* --- the block --- */

/* Divides by the sum; stores LSE of the rows from `query` on. A row without
 * keys has O = 0, and LSE = -infinity. */
DEVICE void finish(const fmha_gpu_params *p, sequence at, int b, int h,
                   int query, rows *r) {
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    float *lse = (float *)p->lse + lse_place(p, at, b, h, 0);
#pragma unroll
    for (int i = 0; i < 2 * FRAGS_M; i++) {
        const int half = i % 2, row = query + 8 * i + g;
        const float sum = whole_sum(r->sum[i / 2][half]);
        const int none = sum == 0.0f;
        const float factor = none ? 0.0f : divide(1.0f, sum);
#pragma unroll
        for (int j = 0; j < 2 * FRAGS_O; j++)
            r->o[i / 2][j / 2][2 * half + j % 2] *= factor;
        if (t == 0 && row < at.queries && p->lse)
            store_word(lse + row, word_of_float(none ? MINUS_INFINITY
                                                     : (r->max[i / 2][half] +
                                                        log2_fast(sum)) *
                                                           LN_2));
    }
}

/* Asks for tile j of K or V, of which `stages` have room at `tiles`, if there
 * is one, and closes a group in any case. */
DEVICE void ask(const element *from, long long pitch, unsigned tiles,
                int stages, fmha_range all, int j, int keys) {
    if (j >= all.first && j < all.end)
        copy_rows(tiles + (unsigned)((j - all.first) % stages * STAGE_BYTES),
                  from + (long long)j * TILE_N * pitch, pitch,
                  keys - j * TILE_N, TILE_N, CHUNKS, thread_again(), THREADS);
    cp_async_commit();
}

KERNEL void __launch_bounds__(THREADS, MIN_BLOCKS)
    fmha(const __grid_constant__ fmha_gpu_params p) {
    const fmha_tile tile =
        fmha_order((int)blockIdx.x, fmha_tiles(p.q_len, TILE_M),
                   p.batch * p.heads, p.group, LONGEST);
    const int b = tile.head / p.heads, h = tile.head % p.heads;
    const int kv = h / (p.heads / p.kv_heads);
    const sequence at = sequence_of(&p, b);
    const int query = tile.row * TILE_M;
    if (query >= at.queries) return;

    const int thread = (int)threadIdx.x;
    const int row = thread / 32 * WARP_M;
    const element *k = rows_of(p.k, p.k_at, b, kv, at.first_key);
    const element *v = rows_of(p.v, p.v_at, b, kv, at.first_key);
    const unsigned q_tile = smem_address(smem);
    const unsigned k_tiles = q_tile + Q_BYTES;
    const unsigned v_tiles = k_tiles + K_STAGES * STAGE_BYTES;
    const fmha_range all = keys_of(&p, at, query, TILE_M, TILE_N);
    const fmha_range own = keys_of(&p, at, query + row, WARP_M, TILE_N);

    /* Q belongs to the first group that is closed. The groups are those that
     * the loop would have closed before its begin, so that its waits count
     * right from the first on. */
    element *q = rows_of(p.q, p.q_at, b, h, at.first_query);
    copy_rows(q_tile, q + query * p.q_at.row, p.q_at.row, at.queries - query,
              TILE_M, CHUNKS, thread, THREADS);
#pragma unroll
    for (int j = -STAGES; j < 0; j++) {
        ask(v, p.v_at.row, v_tiles, V_STAGES, all, all.first + j + V_STAGES - 1,
            at.keys);
        ask(k, p.k_at.row, k_tiles, K_STAGES, all, all.first + j + K_STAGES,
            at.keys);
    }
    cp_async_wait(2 * (K_STAGES - 1));
    __syncthreads();

    const unsigned q_lane = lane_address(q_tile, row, CHUNKS, 1);
    unsigned fragments[STEPS_Q][FRAGS_M][4];
    if (Q_IN_REGISTERS) {
#pragma unroll
        for (int step = 0; step < STEPS_Q; step++)
            load_queries(fragments[step], q_lane, step);
    }
    rows r;
    clear(&r);
#pragma unroll 1
    for (int j = all.first; j < all.end; j++) {
        const int seen = j >= own.first && j < own.end;
        float s[FRAGS_M][FRAGS_S][4];
        ask(v, p.v_at.row, v_tiles, V_STAGES, all, j + V_STAGES - 1, at.keys);
        if (seen)
            scores(
                s, fragments, q_lane,
                k_tiles + (unsigned)((j - all.first) % K_STAGES * STAGE_BYTES));
        cp_async_wait(2 * (V_STAGES - 1));
        __syncthreads();
        ask(k, p.k_at.row, k_tiles, K_STAGES, all, j + K_STAGES, at.keys);
        if (seen) {
            if (j < own.whole || j >= own.whole_end)
                mask(&p, at, query + row, j * TILE_N, s);
            softmax(&r, s, p.scale_log2);
            values(&r, s,
                   lane_address(v_tiles + (unsigned)((j - all.first) %
                                                     V_STAGES * STAGE_BYTES),
                                0, CHUNKS, 1));
        }
        cp_async_wait(2 * (K_STAGES - 1));
        __syncthreads();
    }
    cp_async_wait(0);
    finish(&p, at, b, h, query + row, &r);
    /* A warp alone has read its rows of Q. */
    store_rows(
        smem + row * ROW_BYTES,
        rows_of(p.o, p.o_at, b, h, at.first_query) + (query + row) * p.o_at.row,
        p.o_at.row, at.queries - query - row, r.o);
}
