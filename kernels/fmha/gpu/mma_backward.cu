/* The gradients of attention on the portable tensor-core path (sm_80 and up),
 * for every HEAD_DIM:
 *
 *   P = 2^(scale log2(e) Q K^T - log2)    dV = P^T dO
 *   dP = dO V^T                           dK = scale dS^T Q
 *   dS = P (dP - delta)                   dQ = scale dS K
 *
 * Two kernels, both without additions to global memory and so the same from run
 * to run: one has a tile of keys and goes over queries (dK, dV), the other a
 * tile of queries and goes over keys (dQ). P and dS are computed by both, seven
 * products instead of five.
 *
 * The data's way: the 64 rows that stay and the rows that pass come by cp.async
 * to shared memory, from there by ldmatrix to registers. Scores have the rows
 * that stay as rows; rounded to 16 bits they are the left operand of the next
 * products as they are.
 *
 * Who does what: four warps, 16 of the rows that stay each. Wider than 128, the
 * columns of dK and dV are shared out over two blocks.
 *
 * Macros beside those of params.h: TILE_M (rows that pass: 64, or 32 with
 * HEAD_DIM above 64, for want of registers).
 *
 * Grid: fmha_delta as in back_delta.cuh; fmha_backward (tiles of 64 keys,
 * kv_heads times COLUMN_PARTS, batch); fmha_dq (tiles of 64 queries, heads,
 * batch); both 128 threads, (128 + 2 TILE_M) HEAD_DIM * 2 bytes of dynamic
 * shared memory.
 *
 * Floor: 14 T^2 D operations a head at the rate of mma.sync. */
#define ADD_DQ 0
#include "fmha/gpu/back_delta.cuh"
#include "ptx/mma.cuh"

#define STAY         64
#define CHUNKS       (HEAD_DIM / 8)
#define COLUMN_PARTS (HEAD_DIM > 128 ? 2 : 1)
#define COLUMNS      (HEAD_DIM / COLUMN_PARTS)
#define STAY_BYTES   (STAY * HEAD_DIM * 2)
#define PASS_BYTES   (TILE_M * HEAD_DIM * 2)

/* --- tiles in shared memory --- */

/* Chunk c of row r lies at c ^ (what tells neighbouring rows apart), so that
 * the eight rows that ldmatrix reads at once lie in different banks. */
#define TOLD (HEAD_DIM % 64 == 0 ? 8 : 4)
DEVICE unsigned chunk_at(unsigned tile, int row, int chunk) {
    return tile + 16 * (row * CHUNKS + (chunk ^ row / (8 / TOLD) % TOLD));
}

/* `rows` rows of which `there` exist; the others become zeros. */
DEVICE void copy_rows(unsigned to, const element *from, long long pitch,
                      int rows, int there) {
    for (int i = (int)threadIdx.x; i < rows * CHUNKS; i += 128) {
        const int r = i / CHUNKS, c = i % CHUNKS;
        cp_async16(chunk_at(to, r, c),
                   from + (r < there ? r * pitch + c * 8 : 0),
                   r < there ? 16 : 0);
    }
}

/* --- products of a warp --- */

/* This thread's place in its warp, read anew, so that addresses are computed
 * where they are used and not kept in registers that sums need. */
DEVICE int lane_again(void) {
    int lane;
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}

typedef float sums[4]; /* of a piece of 16 x 8 (mma.cuh) */

/* x (16, TILE_M) = A B^T: the warp's rows of the tile that stays, all rows of
 * the one that passes. */
DEVICE void multiply_rows(sums x[TILE_M / 8], unsigned stay, unsigned pass) {
    const int lane = lane_again(), warp = (int)threadIdx.x / 32;
#pragma unroll
    for (int j = 0; j < TILE_M / 8; j++)
        x[j][0] = x[j][1] = x[j][2] = x[j][3] = 0.0f;
#pragma unroll 2
    for (int k = 0; k < HEAD_DIM / 16; k++) {
        unsigned a[4], b[4];
        ldmatrix(a, chunk_at(stay, warp * 16 + lane % 16, 2 * k + lane / 16));
#pragma unroll
        for (int j = 0; j < TILE_M / 16; j++) {
            ldmatrix(b, chunk_at(pass, 16 * j + lane / 16 * 8 + lane % 8,
                                 2 * k + lane / 8 % 2));
            mma_m16n8k16(x[2 * j], a, b);
            mma_m16n8k16(x[2 * j + 1], a, b + 2);
        }
    }
}

/* x (16, columns) += A B: A (16, TILE_M) are sums, rounded; B the rows that
 * pass, columns from chunk `first` on. */
DEVICE void multiply_add(sums *x, int columns, const sums a[TILE_M / 8],
                         unsigned pass, int first) {
    const int lane = lane_again();
#pragma unroll
    for (int k = 0; k < TILE_M / 16; k++) {
        unsigned w[4], b[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            w[i] = pack_elements(a[2 * k + i / 2][i % 2 * 2],
                                 a[2 * k + i / 2][i % 2 * 2 + 1]);
#pragma unroll
        for (int j = 0; j < columns / 16; j++) {
            ldmatrix_trans(b, chunk_at(pass, 16 * k + lane % 16,
                                       first + 2 * j + lane / 16));
            mma_m16n8k16(x[2 * j], w, b);
            mma_m16n8k16(x[2 * j + 1], w, b + 2);
        }
    }
}

/* --- what both kernels share --- */

typedef struct place_of {
    int b, queries, keys;   /* sequence, and how long it is */
    long long row_q, row_k; /* where it begins, counted over sequences */
} place_of;

DEVICE place_of sequence_at(const fmha_gpu_params *p) {
    const int b = (int)blockIdx.z;
    place_of at = {b, p->q_len, p->kv_len, 0, 0};
#if VARLEN
    const int *cu_q = (const int *)p->cu_q, *cu_k = (const int *)p->cu_k;
    at.row_q = cu_q[b];
    at.row_k = cu_k[b];
    at.queries = cu_q[b + 1] - cu_q[b];
    at.keys = cu_k[b + 1] - cu_k[b];
#endif
    return at;
}

/* Row `row` of a head of the sequence whose rows begin at `first`. */
DEVICE element *row_of(fmha_ptr to, const fmha_layout *at, int b, int head,
                       long long first) {
    return (element *)to + (VARLEN ? 0 : b * at->batch) + head * at->head +
           first * at->row;
}

DEVICE const float *stats_of(const fmha_gpu_params *p, int b, int head, int m) {
    return (const float *)p->delta +
           fmha_row_tile(b, head, m, p->batch, p->heads, p->q_len, p->total_q,
                         TILE_M, VARLEN ? (const int *)p->cu_q : 0) *
               2 * TILE_M;
}

DEVICE bool visible(const fmha_gpu_params *p, const place_of *at, int q,
                    int k) {
    const int own = q + at->keys - at->queries;
    return k < at->keys && !(CAUSAL && k > own) &&
           !(WINDOW && k < own - p->window);
}

/* 2^x to two units in the last place; 0 of -infinity. */
DEVICE float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* A warp's 16 rows of `columns` columns, as far as they exist. */
DEVICE void store_sums(element *to, long long pitch, int there, const sums *x,
                       int columns, float scale) {
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int j = 0; j < columns / 8; j++)
#pragma unroll
        for (int h = 0; h < 2; h++)
            if (g + 8 * h < there)
                store_word(to + (g + 8 * h) * pitch + 8 * j + 2 * t,
                           pack_elements(x[j][2 * h] * scale,
                                         x[j][2 * h + 1] * scale));
}

DEVICE void clear(sums *x, int columns) {
#pragma unroll
    for (int j = 0; j < columns / 8; j++)
        x[j][0] = x[j][1] = x[j][2] = x[j][3] = 0.0f;
}

/* --- dK, dV --- */

/* Scores (keys, queries) and dP to P and dS, of tile m of queries. */
DEVICE void keys_to_gradients(const fmha_gpu_params *p, const place_of *at,
                              const float *stats, int first_q, int first_k,
                              sums s[TILE_M / 8], sums dp[TILE_M / 8]) {
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int j = 0; j < TILE_M / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int col = 8 * j + 2 * t + i % 2;
            const int k = first_k + g + i / 2 * 8;
            float x = power_of_two(s[j][i] * p->scale_log2 - stats[col]);
            if (!visible(p, at, first_q + col, k)) x = 0.0f;
            s[j][i] = x;
            dp[j][i] = x * (dp[j][i] - stats[TILE_M + col]);
        }
}

KERNEL void __launch_bounds__(128)
    fmha_backward(const __grid_constant__ fmha_gpu_params p) {
    DYNAMIC_SHARED(memory, 128);
    const unsigned k_tile = smem_address(memory), v_tile = k_tile + STAY_BYTES;
    const unsigned q_tile = v_tile + STAY_BYTES, do_tile = q_tile + PASS_BYTES;
    const int head = (int)blockIdx.y / COLUMN_PARTS;
    const int first = (int)blockIdx.y % COLUMN_PARTS * (COLUMNS / 8);
    const int group = p.heads / p.kv_heads;
    const int first_k = (int)blockIdx.x * STAY;
    const int mine = first_k + (int)threadIdx.x / 32 * 16;
    const place_of at = sequence_at(&p);
    const fmha_visits v =
        fmha_queries_of(first_k, TILE_M, STAY, at.queries, at.keys, CAUSAL,
                        WINDOW ? p.window : -1);
    sums dk[COLUMNS / 8], dv[COLUMNS / 8];
    if (first_k >= at.keys) return;
    clear(dk, COLUMNS);
    clear(dv, COLUMNS);
    copy_rows(k_tile, row_of(p.k, &p.k_at, at.b, head, at.row_k + first_k),
              p.k_at.row, STAY, at.keys - first_k);
    copy_rows(v_tile, row_of(p.v, &p.v_at, at.b, head, at.row_k + first_k),
              p.v_at.row, STAY, at.keys - first_k);
    for (int h = head * group; h < (head + 1) * group; h++)
        for (int m = v.first; m < v.end; m++) {
            const int first_q = m * TILE_M;
            sums s[TILE_M / 8], dp[TILE_M / 8];
            __syncthreads(); /* all have done with the tiles before */
            copy_rows(q_tile, row_of(p.q, &p.q_at, at.b, h, at.row_q + first_q),
                      p.q_at.row, TILE_M, at.queries - first_q);
            copy_rows(do_tile,
                      row_of(p.d_o, &p.do_at, at.b, h, at.row_q + first_q),
                      p.do_at.row, TILE_M, at.queries - first_q);
            cp_async_commit();
            cp_async_wait(0);
            __syncthreads();
            multiply_rows(s, k_tile, q_tile);
            multiply_rows(dp, v_tile, do_tile);
            keys_to_gradients(&p, &at, stats_of(&p, at.b, h, m), first_q, mine,
                              s, dp);
            multiply_add(dv, COLUMNS, s, do_tile, first);
            multiply_add(dk, COLUMNS, dp, q_tile, first);
        }
    store_sums(row_of(p.dv, &p.dv_at, at.b, head, at.row_k + mine) + first * 8,
               p.dv_at.row, at.keys - mine, dv, COLUMNS, 1.0f);
    store_sums(row_of(p.dk, &p.dk_at, at.b, head, at.row_k + mine) + first * 8,
               p.dk_at.row, at.keys - mine, dk, COLUMNS, p.scale);
}

/* --- dQ --- */

/* Scores (queries, keys) and dP to dS. log2, delta: of rows g and g + 8. */
DEVICE void queries_to_gradients(const fmha_gpu_params *p, const place_of *at,
                                 const float log2[2], const float delta[2],
                                 int first_q, int first_k,
                                 const sums s[TILE_M / 8],
                                 sums dp[TILE_M / 8]) {
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int j = 0; j < TILE_M / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int k = first_k + 8 * j + 2 * t + i % 2;
            float x = power_of_two(s[j][i] * p->scale_log2 - log2[i / 2]);
            if (!visible(p, at, first_q + g + i / 2 * 8, k)) x = 0.0f;
            dp[j][i] = x * (dp[j][i] - delta[i / 2]);
        }
}

KERNEL void __launch_bounds__(128)
    fmha_dq(const __grid_constant__ fmha_gpu_params p) {
    DYNAMIC_SHARED(memory, 128);
    const unsigned q_tile = smem_address(memory), do_tile = q_tile + STAY_BYTES;
    const unsigned k_tile = do_tile + STAY_BYTES, v_tile = k_tile + PASS_BYTES;
    const int head = (int)blockIdx.y, from = head / (p.heads / p.kv_heads);
    const int first_q = (int)blockIdx.x * STAY;
    const int mine = first_q + (int)threadIdx.x / 32 * 16;
    const place_of at = sequence_at(&p);
    const fmha_range r = fmha_keys_of(first_q, STAY, TILE_M, at.queries,
                                      at.keys, CAUSAL, WINDOW ? p.window : -1);
    sums dq[HEAD_DIM / 8];
    float log2[2], delta[2];
    if (first_q >= at.queries) return;
    clear(dq, HEAD_DIM);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int q = mine + (int)threadIdx.x % 32 / 4 + 8 * h;
        const bool there = q < at.queries;
        const float *stats =
            stats_of(&p, at.b, head, there ? q / TILE_M : 0) + q % TILE_M;
        log2[h] = there ? stats[0] : __uint_as_float(0x7f800000u);
        delta[h] = there ? stats[TILE_M] : 0.0f;
    }
    copy_rows(q_tile, row_of(p.q, &p.q_at, at.b, head, at.row_q + first_q),
              p.q_at.row, STAY, at.queries - first_q);
    copy_rows(do_tile, row_of(p.d_o, &p.do_at, at.b, head, at.row_q + first_q),
              p.do_at.row, STAY, at.queries - first_q);
    for (int n = r.first; n < r.end; n++) {
        const int first_k = n * TILE_M;
        sums s[TILE_M / 8], dp[TILE_M / 8];
        __syncthreads(); /* all have done with the tiles before */
        copy_rows(k_tile, row_of(p.k, &p.k_at, at.b, from, at.row_k + first_k),
                  p.k_at.row, TILE_M, at.keys - first_k);
        copy_rows(v_tile, row_of(p.v, &p.v_at, at.b, from, at.row_k + first_k),
                  p.v_at.row, TILE_M, at.keys - first_k);
        cp_async_commit();
        cp_async_wait(0);
        __syncthreads();
        multiply_rows(s, q_tile, k_tile);
        multiply_rows(dp, do_tile, v_tile);
        queries_to_gradients(&p, &at, log2, delta, mine, first_k, s, dp);
        multiply_add(dq, HEAD_DIM, dp, k_tile, 0);
    }
    store_sums(row_of(p.dq, &p.dq_at, at.b, head, at.row_q + mine), p.dq_at.row,
               at.queries - mine, dq, HEAD_DIM, p.scale);
}
