/* The gradients of attention on Hopper, all five products in one kernel:
 *
 *   P = 2^(scale log2(e) Q K^T - log2)    dV = P^T dO
 *   dP = dO V^T                           dK = scale dS^T Q
 *   dS = P (dP - delta)                   dQ = scale dS K
 *
 * A block takes a tile of keys and goes over the queries that see any of them,
 * for each query head of its group. What keys collect, dK and dV, stays in
 * registers; what queries collect, dQ, is added up in global memory in f32
 * (before: back_delta.cuh, after: back_dq.cuh).
 *
 * The data's way: K and V come once (TMA), Q, dO, logarithms and deltas through
 * a ring of STAGES. Scores are computed transposed, keys by queries: then P^T
 * and dS^T lie in registers just as the products for dV and dK want their A,
 * and only dQ needs dS in shared memory, where stmatrix puts it.
 *
 * Who does what, three warpgroups:
 *   0     warp 0 fetches; warp 1 has the copy engine add dQ to global memory,
 *         DETERMINISTIC: warps 1 and 2 in turn (back_fetch.cuh)
 *   1, 2  64 keys each: scores, P, dP, dS, dV, dK; and half of dQ = dS K, for
 *         which each needs the other's dS
 *
 *   warp 0  --Q, dO-->  1, 2  --dQ-->  warp 1 (and 2)
 *
 * What keeps the matrix units busy: exponentials run under dP, the wait for the
 * other's dS under dV, the way of dQ to shared memory under dK, and the scores
 * of the next queries start behind dK. Only the way from dP to dS has nothing
 * beside it but the other warpgroup's products.
 *
 * Blocks stay and take tile after tile, so that the next one's K, V and Q come
 * while this one's dK and dV go.
 *
 * DETERMINISTIC: the sums of dQ are added in a fixed order of tiles of keys;
 * `turn` counts them for each tile of queries (walk_backward.h, which also says
 * why they seldom wait for each other). Until an addition is seen by the next
 * block about a step goes by; so dQ has two places in shared memory, each with
 * a warp that waits. No more blocks may be launched than can run at once.
 *
 * Macros beside those of params.h: TILE_M (queries, 64 or 128), TILE_N (keys,
 * 128), STAGES, DETERMINISTIC. HEAD_DIM up to 128. Boxes of the maps: 64
 * elements by TILE_M rows (q, do) or TILE_N (k, v), 128-byte swizzle.
 *
 * Grid: at most one block a multiprocessor, 384 threads; fmha_backward_smem.
 *
 * Floor: 10 T^2 D operations a head of the matrix units (half of it when
 * causal), or their reads of shared memory, which take longer: with 64 queries
 * and 128 dimensions 2,050 cycles of 128 bytes a step for operands and 900 for
 * dS, dQ, Q and dO, while the products take 2,560. */
#define ADD_DQ 1
#include "fmha/gpu/back_dq.cuh"
#include "ptx/attention_backward.cuh"

#define SLICES      ((HEAD_DIM + 63) / 64) /* of 64 columns: rows of 128 bytes */
#define KEYS_BYTES  (SLICES * TILE_N * 128)
#define ROWS_BYTES  (SLICES * TILE_M * 128)
#define DS_BYTES    (TILE_M * TILE_N * 2)
#define PART_BYTES  (DQ_FLOATS * 4)
#define STATS_BYTES (TILE_M * 8)
#define CONSUMERS   2
#define DQ_STAGES   (DETERMINISTIC ? 2 : 1)
/* Rounds may go by whole heads (walk_backward.h). */
#define BY_HEADS  (DETERMINISTIC && !WINDOW && !VARLEN)
#define KEYS_EACH (TILE_N / CONSUMERS) /* 64: the rows of a product */

/* Registers of a thread that fetches, and of one that multiplies: the sums of
 * HEAD_DIM 128 and what lies beside them need all that there is. */
#define LOAD_REGS (HEAD_DIM == 128 ? 24 : 40)
#define MAIN_REGS (HEAD_DIM == 128 ? 240 : 232)

#define K_AT(base)     (base)
#define V_AT(base)     ((base) + KEYS_BYTES)
#define Q_AT(base, s)  ((base) + 2 * KEYS_BYTES + (s)*ROWS_BYTES)
#define DO_AT(base, s) (Q_AT(base, STAGES) + (s)*ROWS_BYTES)
#define DS_AT(base, s) (DO_AT(base, STAGES) + (s)*DS_BYTES)
#define DQ_AT(base, part, s) \
    (DS_AT(base, 2) + ((s)*DQ_PARTS + (part)) * PART_BYTES)
#define STATS_AT(base, s) (DQ_AT(base, 0, DQ_STAGES) + (s)*STATS_BYTES)
#define WORK_AT(base, s)  (STATS_AT(base, STAGES) + (s)*64)
#define BARRIER(base, i)  (WORK_AT(base, 2) + (i)*8)

/* Barriers, and how many arrivals end a phase: a thread that announces bytes,
 * or one of each warp concerned. */
#define FULL_K(base)            BARRIER(base, 0)       /* 1 */
#define FULL_V(base)            BARRIER(base, 1)       /* 1 */
#define EMPTY_KV(base)          BARRIER(base, 2)       /* 8 */
#define FULL_WORK(base, s)      BARRIER(base, 3 + (s)) /* 1 */
#define EMPTY_WORK(base, s)     BARRIER(base, 5 + (s)) /* DQ_STAGES + 8 */
#define FULL_DS(base, s)        BARRIER(base, 7 + (s)) /* 8 */
#define DQ_BARRIER(part, s)     (9 + 2 * ((s)*DQ_PARTS + (part)))
#define FULL_DQ(base, part, s)  BARRIER(base, DQ_BARRIER(part, s))     /* 4 */
#define EMPTY_DQ(base, part, s) BARRIER(base, DQ_BARRIER(part, s) + 1) /* 1 */
#define ROWS_BARRIER(s)         (DQ_BARRIER(0, DQ_STAGES) + 3 * (s))
#define FULL_Q(base, s)         BARRIER(base, ROWS_BARRIER(s))     /* 1 */
#define FULL_DO(base, s)        BARRIER(base, ROWS_BARRIER(s) + 1) /* 1 */
#define EMPTY(base, s)          BARRIER(base, ROWS_BARRIER(s) + 2) /* 8 */

#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)
#define TYPE_NAME_0  "bf16"
#define TYPE_NAME_1  "f16"
#define TYPE_NAME    PASTE(TYPE_NAME_, TYPE_F16)

/* --- rings ---
 *
 * Steps and tiles are counted from the start, the same by all. A ring's stage
 * and the parity of its round follow; who fills waits for the parity before. */
#define STAGE(count, stages)  ((count) % (stages))
#define PARITY(count, stages) ((count) / (stages)&1)

/* Of a warp: what its lanes did before is done when this arrives. */
DEVICE void warp_arrive(unsigned barrier) {
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(barrier);
}

DEVICE void barriers_init(unsigned base) {
    barrier_init(FULL_K(base), 1);
    barrier_init(FULL_V(base), 1);
    barrier_init(EMPTY_KV(base), 4 * CONSUMERS);
    for (int s = 0; s < 2; s++) {
        barrier_init(FULL_WORK(base, s), 1);
        barrier_init(EMPTY_WORK(base, s), DQ_STAGES + 4 * CONSUMERS);
        barrier_init(FULL_DS(base, s), 4 * CONSUMERS);
        for (int d = 0; d < DQ_STAGES; d++) {
            barrier_init(FULL_DQ(base, s, d), 4); /* s: which part */
            barrier_init(EMPTY_DQ(base, s, d), 1);
        }
    }
    for (int s = 0; s < STAGES; s++) {
        barrier_init(FULL_Q(base, s), 1);
        barrier_init(FULL_DO(base, s), 1);
        barrier_init(EMPTY(base, s), 4 * CONSUMERS);
    }
    barrier_init_visible();
}

#include "fmha/gpu/back_fetch.cuh"

/* --- products --- */

/* After a wait: the compiler takes no sum out before it. */
#define SETTLE(x, count)                             \
    _Pragma("unroll") for (int i_ = 0; i_ < (count); \
                           i_++) asm volatile("" : "+f"((x)[i_])::"memory")

/* x (64, TILE_M) = A B^T: A 64 rows of a tile of TILE_N, B TILE_M rows, both
 * HEAD_DIM along k. */
DEVICE void multiply_rows(float x[TILE_M / 2], unsigned a, unsigned b) {
    const unsigned long long da = wgmma_descriptor(a, 1024);
    const unsigned long long db = wgmma_descriptor(b, 1024);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < HEAD_DIM / 16; k++) PASTE(wgmma_, TILE_M)
    (x, da + ((k / 4 * TILE_N * 128 + k % 4 * 32) >> 4),
     db + ((k / 4 * TILE_M * 128 + k % 4 * 32) >> 4), k > 0, TYPE_NAME, "0",
     "0");
    wgmma_commit();
}

/* x (64, HEAD_DIM) += A B: A (64, TILE_M) in registers, B the TILE_M rows. */
DEVICE void multiply_add(float x[HEAD_DIM / 2], const unsigned a[TILE_M / 4],
                         unsigned b) {
    const unsigned long long db = wgmma_descriptor(b, TILE_M * 128);
#pragma unroll
    for (int k = 0; k < TILE_M / 16; k++) PASTE(wgmma_from_, HEAD_DIM)
    (x, a + 4 * k, db + (k * 2048 >> 4), TYPE_NAME, "1");
}

/* A part of dQ (64, DQ_N) = dS K. dS^T lies as (keys, 64 queries), so that its
 * rows, like those of K, are values of k. */
DEVICE void multiply_dq(float x[DQ_N / 2], unsigned ds, unsigned k_tile,
                        int part) {
    const int block = part / DQ_ACROSS, col = part % DQ_ACROSS * DQ_N;
    const unsigned long long da =
        wgmma_descriptor(ds + block * TILE_N * 128, TILE_N * 128);
    const unsigned long long db = wgmma_descriptor(
        k_tile + col / 64 * TILE_N * 128 + col % 64 * 2, TILE_N * 128);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < TILE_N / 16; k++) PASTE(wgmma_, DQ_N)
    (x, da + (k * 2048 >> 4), db + (k * 2048 >> 4), k > 0, TYPE_NAME, "1", "1");
    wgmma_commit();
}

/* --- warpgroups 1, 2: the arithmetic --- */

/* Sum 4 j + 2 h + e of a thread: row (key) 16 w + 8 h + l / 4 of the 64, column
 * (query) 8 j + 2 (l % 4) + e. */
DEVICE int key_of_thread(void) {
    return (int)threadIdx.x % 128 / 32 * 16 + (int)threadIdx.x % 32 / 4;
}
DEVICE int query_of_thread(void) { return (int)threadIdx.x % 4 * 2; }

/* Scores to P. log2: of this thread's first query, in shared memory. */
DEVICE void to_weights(float s[TILE_M / 2], unsigned log2, float scale_log2) {
#pragma unroll
    for (int j = 0; j < TILE_M / 8; j++) {
        float first, second;
        load_shared_pair(log2 + j * 32, &first, &second);
        s[4 * j] = exp2_fast(s[4 * j] * scale_log2 - first);
        s[4 * j + 1] = exp2_fast(s[4 * j + 1] * scale_log2 - second);
        s[4 * j + 2] = exp2_fast(s[4 * j + 2] * scale_log2 - first);
        s[4 * j + 3] = exp2_fast(s[4 * j + 3] * scale_log2 - second);
    }
}

/* P and dS = P (dP - delta), rounded to 16 bits, as the A of the next products.
 * delta: of this thread's first query, in shared memory. */
DEVICE void to_operands(unsigned a[TILE_M / 4], unsigned b[TILE_M / 4],
                        const float s[TILE_M / 2], const float dp[TILE_M / 2],
                        unsigned delta) {
#pragma unroll
    for (int j = 0; j < TILE_M / 8; j++) {
        float first, second;
        load_shared_pair(delta + j * 32, &first, &second);
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int i = 4 * j + 2 * h;
            b[i / 2] = pack_elements(s[i] * (dp[i] - first),
                                     s[i + 1] * (dp[i + 1] - second));
            a[i / 2] = pack_elements(s[i], s[i + 1]);
        }
    }
}

/* P = 0 for hidden pairs of tile m of queries: a key is seen by this thread's
 * columns first ... last. (Queries that do not exist have P = 0 by their
 * logarithm; keys have not.) */
DEVICE void mask(const fmha_gpu_params *p, work_ptr w, int consumer, int m,
                 float s[TILE_M / 2]) {
    const int none = 1 << 30, keys = w->keys;
    const int key = w->n * TILE_N + consumer * KEYS_EACH + key_of_thread();
    const int shift = keys - w->queries + m * TILE_M + query_of_thread();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int k = key + 8 * h;
        const int first = k >= keys ? none : CAUSAL ? k - shift : -none;
        const int last = WINDOW ? k - shift + p->window : none;
#pragma unroll
        for (int i = 0; i < TILE_M / 4; i++) {
            const int col = i / 2 * 8 + i % 2;
            float *x = &s[i / 2 * 4 + 2 * h + i % 2];
            if (col < first || (WINDOW && col > last)) *x = 0.0f;
        }
    }
}

/* dS^T to shared memory: rows are keys, 64 queries in 128 bytes, the 16-byte
 * chunk c of row r at c ^ (r % 8). Four matrices of 8 x 8: this thread's a[4 k]
 * on are queries 16 k ... 16 k + 7 of keys 0-7, of keys 8-15, then the next
 * eight queries. to: of the chunk that this lane names for k = 0. */
DEVICE void store_operand(unsigned to, const unsigned a[TILE_M / 4]) {
#pragma unroll
    for (int k = 0; k < TILE_M / 16; k++)
        stmatrix4((to + k / 4 * TILE_N * 128) ^ (k % 4 * 32), a[4 * k],
                  a[4 * k + 1], a[4 * k + 2], a[4 * k + 3]);
}
DEVICE unsigned operand_offset(int consumer) {
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x % 128 / 32;
    const int row = consumer * KEYS_EACH + warp * 16 + lane % 16;
    return row * 128 + ((lane / 16 ^ lane % 8) << 4);
}

/* --- storing dK and dV --- */

/* Four words of each of four lanes that share a row, transposed: lane t gets
 * the t-th words, in the order of the lanes. */
DEVICE void transpose_four(unsigned x[4]) {
    const bool odd = threadIdx.x & 1, high = threadIdx.x & 2;
    const unsigned first = __shfl_xor_sync(0xffffffffu, odd ? x[0] : x[1], 1);
    const unsigned second = __shfl_xor_sync(0xffffffffu, odd ? x[2] : x[3], 1);
    const unsigned a = odd ? first : x[0], b = odd ? x[1] : first;
    const unsigned c = odd ? second : x[2], d = odd ? x[3] : second;
    const unsigned e = __shfl_xor_sync(0xffffffffu, high ? a : c, 2);
    const unsigned f = __shfl_xor_sync(0xffffffffu, high ? b : d, 2);
    x[0] = high ? e : a;
    x[1] = high ? f : b;
    x[2] = high ? c : e;
    x[3] = high ? d : f;
}

/* scale x, in 16 bits: to is element (0, 0) of the sequence's head; key, keys:
 * this thread's first row and their count. Four lanes fill 64 bytes. */
DEVICE void store_rows(element *to, long long stride, const float *x,
                       float scale, int key, int keys) {
    const int t = (int)threadIdx.x % 4;
#pragma unroll
    for (int h = 0; h < 2; h++)
#pragma unroll
        for (int j = 0; j < HEAD_DIM / 8; j += 4) {
            vec16 y;
#pragma unroll
            for (int i = 0; i < 4; i++)
                y.x[i] = pack_elements(x[4 * (j + i) + 2 * h] * scale,
                                       x[4 * (j + i) + 2 * h + 1] * scale);
            transpose_four(y.x);
            if (key + 8 * h < keys)
                store_vec16(to + (key + 8 * h) * stride + (j + t) * 8, y);
        }
}

DEVICE void store_tile(fmha_ptr to, const fmha_layout *at, work_ptr w,
                       int consumer, const float x[HEAD_DIM / 2], float scale) {
    const int key = w->n * TILE_N + consumer * KEYS_EACH + key_of_thread();
    store_rows((element *)to + w->batch * at->batch + w->row_k * at->row +
                   w->head * at->head,
               at->row, x, scale, key, w->keys);
}

/* dQ to where the copy engine takes it: float 4 j ... 4 j + 3 of each thread
 * lies beside those of its neighbours. */
DEVICE void store_dq(unsigned base, int part, unsigned step,
                     const float x[DQ_N / 2]) {
    const unsigned s = STAGE(step, DQ_STAGES);
    const unsigned to = DQ_AT(base, part, s) + threadIdx.x % 128 * 16;
    barrier_wait(EMPTY_DQ(base, part, s), PARITY(step, DQ_STAGES) ^ 1);
#pragma unroll
    for (int j = 0; j < DQ_N / 8; j++)
        store_shared_four(to + j * 2048, x + 4 * j);
    fence_async();
    warp_arrive(FULL_DQ(base, part, s));
}

//> backward
/* A step: products are waited for where their sums are needed, and only there.
 * On the way in the scores of this step are under way, on the way out those of
 * the next (of the last step: again of itself, which nobody reads). Of dS two
 * steps have room: who writes the next but one knows by the next's FULL_DS that
 * both are through with this one. */
DEVICE void consume_step(const fmha_gpu_params *p, work_ptr w, unsigned base,
                         int consumer, unsigned step, bool last, int m,
                         float s[TILE_M / 2], float dk[HEAD_DIM / 2],
                         float dv[HEAD_DIM / 2]) {
    const unsigned rows = STAGE(step, STAGES), ds = DS_AT(base, STAGE(step, 2));
    const unsigned own = consumer * KEYS_EACH * 128; /* rows of K and V */
    const unsigned log2 = STATS_AT(base, rows) + query_of_thread() * 4;
    const unsigned next = last ? step : step + 1;
    float dp[TILE_M / 2], dq[DQ_N / 2];
    unsigned a[TILE_M / 4], b[TILE_M / 4];
    barrier_wait(FULL_DO(base, rows), PARITY(step, STAGES));
    wgmma_wait(0);
    SETTLE(s, TILE_M / 2);
    multiply_rows(dp, V_AT(base) + own, DO_AT(base, rows));
    to_weights(s, log2, p->scale_log2);
    if (m < w->whole || m >= w->whole_end) mask(p, w, consumer, m, s);
    wgmma_wait(0);
    SETTLE(dp, TILE_M / 2);
    to_operands(a, b, s, dp, log2 + TILE_M * 4);
    store_operand(ds + operand_offset(consumer), b);
    fence_async();
    warp_arrive(FULL_DS(base, STAGE(step, 2)));
    wgmma_fence();
    multiply_add(dv, a, DO_AT(base, rows));
    wgmma_commit();
    multiply_add(dk, b, Q_AT(base, rows));
    wgmma_commit();
    barrier_wait(FULL_DS(base, STAGE(step, 2)), PARITY(step, 2));
    multiply_dq(dq, ds, K_AT(base), consumer);
    wgmma_wait(2);
    barrier_wait(FULL_Q(base, STAGE(next, STAGES)), PARITY(next, STAGES));
    multiply_rows(s, K_AT(base) + own, Q_AT(base, STAGE(next, STAGES)));
    wgmma_wait(1);
    if (!last) warp_arrive(EMPTY(base, rows));
    SETTLE(dq, DQ_N / 2);
    store_dq(base, consumer, step, dq);
}
//< backward

/* The steps of a tile of keys. */
DEVICE void consume(const fmha_gpu_params *p, work_ptr w, unsigned base,
                    int consumer, unsigned *step, unsigned uses,
                    float dk[HEAD_DIM / 2], float dv[HEAD_DIM / 2]) {
    const unsigned last = *step + w->steps - 1, first = STAGE(*step, STAGES);
    const unsigned own = consumer * KEYS_EACH * 128;
    float s[TILE_M / 2];
    int m = first_visit(w);
    barrier_wait(FULL_K(base), PARITY(uses, 1));
    barrier_wait(FULL_Q(base, first), PARITY(*step, STAGES));
    multiply_rows(s, K_AT(base) + own, Q_AT(base, first));
    barrier_wait(FULL_V(base), PARITY(uses, 1));
    for (; *step <= last; ++*step) {
        consume_step(p, w, base, consumer, *step, *step == last, m, s, dk, dv);
        next_visit(w, &m);
    }
    wgmma_wait(0);
    SETTLE(s, TILE_M / 2);
    SETTLE(dk, HEAD_DIM / 2);
    SETTLE(dv, HEAD_DIM / 2);
    warp_arrive(EMPTY(base, STAGE(last, STAGES)));
    warp_arrive(EMPTY_KV(base));
}

DEVICE void consume_all(const fmha_gpu_params *p, unsigned char *memory,
                        unsigned base, int consumer) {
    unsigned step = 0, uses = 0;
    work_ptr w;
    for (unsigned count = 0; await_work(memory, base, count, &w); count++) {
        float dk[HEAD_DIM / 2], dv[HEAD_DIM / 2];
#pragma unroll
        for (int i = 0; i < HEAD_DIM / 2; i++) dk[i] = dv[i] = 0.0f;
        if (w->steps > 0) consume(p, w, base, consumer, &step, uses++, dk, dv);
        store_tile(p->dv, &p->dv_at, w, consumer, dv, 1.0f);
        store_tile(p->dk, &p->dk_at, w, consumer, dk, p->scale);
        warp_arrive(EMPTY_WORK(base, STAGE(count, 2)));
    }
}

KERNEL void __launch_bounds__(128 * (CONSUMERS + 1), 1)
    fmha_backward(const __grid_constant__ fmha_gpu_params p) {
    DYNAMIC_SHARED(memory, 1024);
    const unsigned base = smem_at(memory);
    const int warp = __shfl_sync(0xffffffffu, (int)threadIdx.x / 32, 0);
    let_next_start();
    if (threadIdx.x == 0) {
        tma_prefetch_map(&p.q_map);
        tma_prefetch_map(&p.do_map);
        tma_prefetch_map(&p.k_map);
        tma_prefetch_map(&p.v_map);
        barriers_init(base);
    }
    __syncthreads();
    wait_for_previous();
    if (warp < 4) {
        registers_give(LOAD_REGS);
        if (threadIdx.x == 0) fetch_all(&p, memory, base);
        if (threadIdx.x == 32) add_all(&p, memory, base, 0);
        if (DQ_STAGES > 1 && threadIdx.x == 64) add_all(&p, memory, base, 1);
    } else {
        registers_take(MAIN_REGS);
        consume_all(&p, memory, base, warp / 4 - 1);
    }
}
