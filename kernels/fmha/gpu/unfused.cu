/* Attention as its formula has it, in three kernels: what fusing is measured
 * against.
 *
 *   fmha_scores     S = scale Q K^T            f32, to global memory
 *   fmha_softmax    P = softmax(S + mask)      16 bits, to global memory; LSE
 *   fmha_values     O = P V
 *
 * S is stored in f32, not in 16 bits. A score of 1000 in bf16 is off by up to
 * 2, and its exponential by a factor of 7: only with f32 are the results those
 * of the fused kernels, within the same bound, so that nothing but the way
 * through memory is compared. P is rounded to 16 bits as the matrix units want
 * it, which the fused kernels do, too. Tiles that a mask hides are neither
 * computed nor stored: fusing is not credited with leaving them out.
 *
 * The data's way. Products: cp.async to shared memory, ldmatrix, mma.sync, as
 * in mma_sync.cu. fmha_scores takes whole rows of Q and K at once, for
 * HEAD_DIM is all there is to sum over; many blocks an SM hide its loads.
 * fmha_values sums over the keys, V_STAGES tiles of P and V in flight.
 * fmha_softmax reads a row of S once, 16 bytes a lane and load, and keeps it in
 * registers (a row of more than 16 keys a thread: what is beyond is read
 * twice).
 *
 * Floor. Memory: S is written and read, P likewise, 4 + 4 + 2 + 2 = 12 bytes
 * for each visible pair of a query and a key, against 4 HEAD_DIM operations: 43
 * operations a byte at HEAD_DIM 128, where a GPU does about 200 in that time.
 *
 * Launch. fmha_scores: grid (tiles of keys x tiles of queries, heads,
 * sequences), block 128, (TILE_M + TILE_N) HEAD_DIM x 2 bytes of dynamic shared
 * memory. fmha_softmax: grid (queries, heads, sequences), block 32 to 1024, a
 * multiple of 32; about keys / 16. fmha_values: grid (tiles of queries, heads,
 * sequences), block 128, V_STAGES x VALUE_KEYS (TILE_M + HEAD_DIM) x 2 bytes,
 * and TILE_M HEAD_DIM x 2 at least. */
#include "fmha/gpu/params.h"

#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif
#ifndef TILE_M
#define TILE_M   (HEAD_DIM <= 128 ? 128 : 64)
#define TILE_N   (HEAD_DIM <= 128 ? 128 : 64)
#define V_STAGES 3
#endif
#define WARPS  4
#define WARP_M (TILE_M / WARPS) /* of O */
#include "fmha/gpu/tile_mma.cuh"

enum {
    THREADS = 32 * WARPS,

    /* fmha_scores: two by two warps */
    FRAGS_QUERIES = TILE_M / 2 / 16,
    FRAGS_KEYS = TILE_N / 2 / 8,

    /* fmha_values */
    VALUE_KEYS = 32, /* of a stage */
    P_CHUNKS = VALUE_KEYS / 8,
    P_BYTES = TILE_M * VALUE_KEYS * 2,
    STAGE_BYTES = P_BYTES + VALUE_KEYS * ROW_BYTES,

    /* fmha_softmax: groups of 8 keys that a thread keeps */
    KEPT = 2
};

static_assert(TILE_M % 64 == 0, "four warps, each with rows of 16");
static_assert(TILE_N % 32 == 0, "two warps, each with columns of 16");
static_assert(V_STAGES >= 2, "one stage is filled while another is read");

DYNAMIC_SHARED(smem, 128);

/* The place of (query t, key 0) of head h, sequence b in S, and in P. */
DEVICE long long scores_place(const fmha_gpu_params *p, int b, int h, int t) {
    return (((long long)b * p->heads + h) * p->q_len + t) * p->scores_row;
}

/* --- S = scale Q K^T --- */

DEVICE void store_scores(const fmha_gpu_params *p, sequence at, int query,
                         int key, float s[FRAGS_QUERIES][FRAGS_KEYS][4]) {
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int b = (int)blockIdx.z, h = (int)blockIdx.y;
#pragma unroll
    for (int r = 0; r < 2 * FRAGS_QUERIES; r++) {
        const int row = query + 8 * r + g;
        float *to = (float *)p->scores + scores_place(p, b, h, row) + key;
        if (row >= at.queries) continue;
#pragma unroll
        for (int j = 0; j < FRAGS_KEYS; j++) {
            const float *x = &s[r / 2][j][r % 2 * 2];
            const int column = 8 * j + 2 * t; /* rows have an even length */
            if (key + column < at.keys)
                store_pair(to + column, x[0] * p->scale, x[1] * p->scale);
        }
    }
}

KERNEL void __launch_bounds__(THREADS)
    fmha_scores(const __grid_constant__ fmha_gpu_params p) {
    const int b = (int)blockIdx.z, h = (int)blockIdx.y;
    const int tiles_n = fmha_tiles(p.kv_len, TILE_N);
    const int query = (int)blockIdx.x / tiles_n * TILE_M;
    const int tile = (int)blockIdx.x % tiles_n, key = tile * TILE_N;
    const sequence at = sequence_of(&p, b);
    const fmha_range seen = keys_of(&p, at, query, TILE_M, TILE_N);
    if (tile < seen.first || tile >= seen.end) return;

    const int thread = (int)threadIdx.x, warp = thread / 32;
    const unsigned q_tile = smem_address(smem);
    const unsigned k_tile = q_tile + TILE_M * ROW_BYTES;
    const element *q = rows_of(p.q, p.q_at, b, h, at.first_query);
    const element *k =
        rows_of(p.k, p.k_at, b, h / (p.heads / p.kv_heads), at.first_key);
    copy_rows(q_tile, q + query * p.q_at.row, p.q_at.row, at.queries - query,
              TILE_M, CHUNKS, thread, THREADS);
    copy_rows(k_tile, k + key * p.k_at.row, p.k_at.row, at.keys - key, TILE_N,
              CHUNKS, thread, THREADS);
    cp_async_commit();
    cp_async_wait(0);
    __syncthreads();

    const int row = warp % 2 * (TILE_M / 2), column = warp / 2 * (TILE_N / 2);
    const unsigned q_lane = lane_address(q_tile, row, CHUNKS, 1);
    const unsigned k_lane = lane_address(k_tile, column, CHUNKS, 0);
    float s[FRAGS_QUERIES][FRAGS_KEYS][4];
#pragma unroll
    for (int i = 0; i < FRAGS_QUERIES * FRAGS_KEYS * 4; i++)
        s[i / 4 / FRAGS_KEYS][i / 4 % FRAGS_KEYS][i % 4] = 0.0f;
#pragma unroll
    for (int step = 0; step < STEPS_D; step++) {
        unsigned a[FRAGS_QUERIES][4];
#pragma unroll
        for (int i = 0; i < FRAGS_QUERIES; i++)
            ldmatrix(a[i], block(q_lane, 16 * i, 2 * step, CHUNKS));
#pragma unroll
        for (int j = 0; j < FRAGS_KEYS / 2; j++) {
            unsigned y[4];
            ldmatrix(y, block(k_lane, 16 * j, 2 * step, CHUNKS));
#pragma unroll
            for (int i = 0; i < FRAGS_QUERIES; i++) {
                mma_m16n8k16(s[i][2 * j], a[i], y);
                mma_m16n8k16(s[i][2 * j + 1], a[i], y + 2);
            }
        }
    }
    store_scores(&p, at, query + row, key + column, s);
}

/* --- P = softmax(S) --- */

/* The largest x, or the sum of all x, over the block; `shared` has a float for
 * each warp. */
DEVICE float over_block(float x, int largest, float *shared) {
    const int thread = (int)threadIdx.x, warps = (int)blockDim.x / 32;
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) {
        const float other = shuffle_xor(x, mask);
        x = largest ? fmaxf(x, other) : x + other;
    }
    if (warps == 1) return x;
    __syncthreads(); /* what was there before has been read */
    if (thread % 32 == 0) shared[thread / 32] = x;
    __syncthreads();
    x = shared[0];
    for (int w = 1; w < warps; w++)
        x = largest ? fmaxf(x, shared[w]) : x + shared[w];
    return x;
}

/* Eight scores from key `key` on; those that the row does not see are
 * -infinity, whatever lies there. */
DEVICE void load_scores(const float *row, int key, band seen, float s[8]) {
#pragma unroll
    for (int half = 0; half < 8; half += 4) {
        vec16 x = {{0, 0, 0, 0}};
        if (key + half < seen.end && key + half + 4 > seen.begin)
            x = load_vec16(row + key + half);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int j = key + half + i;
            s[half + i] = j >= seen.begin && j < seen.end
                              ? word_to_float(x.x[i])
                              : MINUS_INFINITY;
        }
    }
}

/* P = 2^(s - max) / sum, with s and max times log2(e). */
DEVICE void store_weights(element *to, const float s[8], float max_log2,
                          float factor) {
    vec16 y;
#pragma unroll
    for (int i = 0; i < 4; i++)
        y.x[i] = pack_elements(
            exp2_fast(fmaf(s[2 * i], LOG2_E, -max_log2)) * factor,
            exp2_fast(fmaf(s[2 * i + 1], LOG2_E, -max_log2)) * factor);
    store_vec16(to, y);
}

//> unfused_softmax
/* A row. Weights are stored for all keys that fmha_values reads with any row
 * of its tile: zeros where this row sees none. */
KERNEL void __launch_bounds__(1024)
    fmha_softmax(const __grid_constant__ fmha_gpu_params p) {
    __shared__ float shared[32];
    const int b = (int)blockIdx.z, h = (int)blockIdx.y, t = (int)blockIdx.x;
    const sequence at = sequence_of(&p, b);
    if (t >= at.queries) return;
    const band seen = band_of(&p, at, t);
    const fmha_range tiles =
        keys_of(&p, at, t / TILE_M * TILE_M, TILE_M, VALUE_KEYS);
    const int first = tiles.first * VALUE_KEYS;
    const int end = fmha_least(tiles.end * VALUE_KEYS, (at.keys + 7) / 8 * 8);
    const float *scores = (const float *)p.scores + scores_place(&p, b, h, t);
    element *weights = (element *)p.weights + scores_place(&p, b, h, t);
    const int own = first + 8 * (int)threadIdx.x, step = 8 * (int)blockDim.x;

    float kept[KEPT][8], s[8], most = FLOOR, sum = 0.0f;
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
        load_scores(scores, own + i * step, seen, kept[i]);
#pragma unroll
        for (int e = 0; e < 8; e++) most = fmaxf(most, kept[i][e]);
    }
    for (int key = own + KEPT * step; key < end; key += step) {
        load_scores(scores, key, seen, s);
#pragma unroll
        for (int e = 0; e < 8; e++) most = fmaxf(most, s[e]);
    }
    most = over_block(most, 1, shared) * LOG2_E;
#pragma unroll
    for (int i = 0; i < KEPT * 8; i++)
        sum += exp2_fast(fmaf(kept[i / 8][i % 8], LOG2_E, -most));
    for (int key = own + KEPT * step; key < end; key += step) {
        load_scores(scores, key, seen, s);
#pragma unroll
        for (int e = 0; e < 8; e++) sum += exp2_fast(fmaf(s[e], LOG2_E, -most));
    }
    sum = over_block(sum, 0, shared);

    const float factor = sum == 0.0f ? 0.0f : divide(1.0f, sum);
#pragma unroll
    for (int i = 0; i < KEPT; i++)
        if (own + i * step < end)
            store_weights(weights + own + i * step, kept[i], most, factor);
    for (int key = own + KEPT * step; key < end; key += step) {
        load_scores(scores, key, seen, s);
        store_weights(weights + key, s, most, factor);
    }
    if (threadIdx.x == 0 && p.lse)
        store_word((float *)p.lse + lse_place(&p, at, b, h, t),
                   word_of_float(sum == 0.0f ? MINUS_INFINITY
                                             : (most + log2_fast(sum)) * LN_2));
}
//< unfused_softmax

/* --- O = P V --- */

/* Asks for tile j of P's columns and V's rows, if it is one of the tiles, and
 * closes a group in any case. */
DEVICE void ask(const fmha_gpu_params *p, sequence at, const element *weights,
                const element *v, int query, int j, fmha_range tiles) {
    if (j < tiles.end) {
        const unsigned stage =
            smem_address(smem) +
            (unsigned)((j - tiles.first) % V_STAGES * STAGE_BYTES);
        const int key = j * VALUE_KEYS, thread = thread_again();
        const int row = thread / P_CHUNKS, chunk = thread % P_CHUNKS;
        /* P has weights up to the next multiple of 8 keys. */
#pragma unroll
        for (int i = 0; i < TILE_M; i += THREADS / P_CHUNKS)
            cp_async16(stage + 16 * (unsigned)place(row + i, chunk, P_CHUNKS),
                       weights + (row + i) * p->scores_row + key + 8 * chunk,
                       query + row + i < at.queries && key + 8 * chunk < at.keys
                           ? 16
                           : 0);
        copy_rows(stage + P_BYTES, v + key * p->v_at.row, p->v_at.row,
                  at.keys - key, VALUE_KEYS, CHUNKS, thread, THREADS);
    }
    cp_async_commit();
}

KERNEL void __launch_bounds__(THREADS)
    fmha_values(const __grid_constant__ fmha_gpu_params p) {
    const int b = (int)blockIdx.z, h = (int)blockIdx.y;
    const sequence at = sequence_of(&p, b);
    const int tiles_m = fmha_tiles(p.q_len, TILE_M);
    const int query = (tiles_m - 1 - (int)blockIdx.x) * TILE_M; /* longest first
                                                                 */
    if (query >= at.queries) return;
    const int row = (int)threadIdx.x / 32 * WARP_M;
    const element *weights =
        (const element *)p.weights + scores_place(&p, b, h, query);
    const element *v =
        rows_of(p.v, p.v_at, b, h / (p.heads / p.kv_heads), at.first_key);
    const fmha_range tiles = keys_of(&p, at, query, TILE_M, VALUE_KEYS);

    float o[FRAGS_M][FRAGS_O][4];
#pragma unroll
    for (int i = 0; i < FRAGS_M * FRAGS_O * 4; i++)
        o[i / 4 / FRAGS_O][i / 4 % FRAGS_O][i % 4] = 0.0f;
#pragma unroll
    for (int j = 0; j < V_STAGES - 1; j++)
        ask(&p, at, weights, v, query, tiles.first + j, tiles);
#pragma unroll 1
    for (int j = tiles.first; j < tiles.end; j++) {
        cp_async_wait(V_STAGES - 2);
        __syncthreads(); /* tile j has landed, and all have done tile j - 1 */
        ask(&p, at, weights, v, query, j + V_STAGES - 1, tiles);
        const unsigned stage =
            smem_address(smem) +
            (unsigned)((j - tiles.first) % V_STAGES * STAGE_BYTES);
        const unsigned p_lane = lane_address(stage, row, P_CHUNKS, 1);
        const unsigned v_lane = lane_address(stage + P_BYTES, 0, CHUNKS, 1);
#pragma unroll
        for (int step = 0; step < VALUE_KEYS / 16; step++) {
            unsigned a[FRAGS_M][4];
#pragma unroll
            for (int i = 0; i < FRAGS_M; i++)
                ldmatrix(a[i], block(p_lane, 16 * i, 2 * step, P_CHUNKS));
            add_values(o, a, v_lane, 16 * step);
        }
    }
    cp_async_wait(0);
    __syncthreads();
    store_rows(
        smem + row * ROW_BYTES,
        rows_of(p.o, p.o_at, b, h, at.first_query) + (query + row) * p.o_at.row,
        p.o_at.row, at.queries - query - row, o);
}
