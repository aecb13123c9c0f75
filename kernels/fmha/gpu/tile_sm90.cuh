/* Attention on Hopper: one tile of queries against one tile of keys. Where the
 * tiles lie in shared memory, how they are fetched, multiplied, and turned into
 * probabilities, and how the output leaves. What the sm90 kernels share.
 *
 * A consumer, a warpgroup, has 64 rows of the tile of queries. S = Q K^T and
 * O += P V are products of its 64 rows with all keys of the tile; a thread has
 * in its registers two rows of both: of S every fourth pair of keys, of O every
 * fourth pair of dimensions. So maxima and sums along a row are those of four
 * neighbouring threads.
 *
 * Macros: those of params.h, TILE_M = 64 CONSUMERS, TILE_N, K_STAGES, V_STAGES,
 * Q_STAGES, CONSUMERS, PACK, LONGEST.
 *
 * Shared memory, from a multiple of 1024 bytes on:
 *     Q_STAGES tiles of Q | K_STAGES of K | V_STAGES of V | P | barriers
 * Q's rows become O's on their way out. P is there where P_SHARED is 1. */
#ifndef SPAK_FMHA_TILE_SM90_CUH
#define SPAK_FMHA_TILE_SM90_CUH

#include "fmha/gpu/params.h"
#include "fmha/gpu/walk.h"
#include "ptx/attention.cuh"

#ifndef PACK
#define PACK 1
#endif
#ifndef LONGEST
#define LONGEST 0
#endif
#ifndef Q_STAGES
#define Q_STAGES 1
#endif
#ifndef P_SHARED
#define P_SHARED 0
#endif

/* A tile is stored in slices of the head's dimensions, each as rows of 128
 * bytes or, where that does not divide a head, of 64. */
#define SLICE     (HEAD_DIM % 64 ? 32 : 64)
#define SLICES    (HEAD_DIM / SLICE)
#define ROW_BYTES (SLICE * 2)
#define Q_BYTES   (64 * HEAD_DIM * 2) /* of a consumer */
#define KV_BYTES  (TILE_N * HEAD_DIM * 2)
/* Of a consumer's P, in slices of 64 keys: 64 rows of 128 bytes each. */
#define P_SLICE (64 * 128)
#define P_BYTES (P_SHARED * ((TILE_N + 63) / 64) * P_SLICE)

#define Q_AT(base, s, c) ((base) + ((s)*CONSUMERS + (c)) * Q_BYTES)
#define K_AT(base, s)    ((base) + Q_STAGES * CONSUMERS * Q_BYTES + (s)*KV_BYTES)
#define V_AT(base, s)    K_AT(base, K_STAGES + (s))
#define P_AT(base, c)    (V_AT(base, V_STAGES) + (c)*P_BYTES)
#define BARRIERS(base)   P_AT(base, CONSUMERS)

/* Two barriers a stage: full and, 8 bytes on, empty. */
#define Q_FULL(base, s, c) (BARRIERS(base) + ((s)*CONSUMERS + (c)) * 16)
#define K_FULL(base, s)    (BARRIERS(base) + (Q_STAGES * CONSUMERS + (s)) * 16)
#define V_FULL(base, s)    K_FULL(base, K_STAGES + (s))
#define TASK_FULL(base, s) V_FULL(base, V_STAGES + (s))
#define TASK_AT(base, s) \
    (((TASK_FULL(base, 2) + 15) & ~15u) + (s)*TASK_WORDS * 4)
#define TASK_WORDS  16
#define EMPTY(full) ((full) + 8)
/* Of a consumer, which visit's guess was wrong; two places (sm90_packed.cu). */
#define WRONG_AT(base, c, i) (TASK_AT(base, 2) + ((c)*2 + (i)) * 4)

#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)
#define TYPE_NAME_0  "bf16"
#define TYPE_NAME_1  "f16"
#define TYPE_NAME    PASTE(TYPE_NAME_, TYPE_F16)
#define WGMMA_SCORES PASTE(wgmma_, TILE_N)
#define WGMMA_VALUES PASTE(wgmma_from_, HEAD_DIM)
#define WGMMA_SHARED PASTE(wgmma_, HEAD_DIM) /* values, P in shared memory */

#define MINUS_INFINITY __int_as_float(0xff800000)
#define LN_2           0.6931471805599453f

/* --- stages --- */

/* A ring counts stages and, by its parity, rounds. In the first round a
 * producer waits for the end of a phase before the first, which is over. */
typedef struct ring {
    unsigned stage, parity;
} ring;

#define ring_next(r, stages)            \
    do {                                \
        if (++(r)->stage == (stages)) { \
            (r)->stage = 0;             \
            (r)->parity ^= 1;           \
        }                               \
    } while (0)

DEVICE void init_barriers(unsigned base) {
    for (int i = 0; i < Q_STAGES * CONSUMERS; i++) {
        barrier_init(Q_FULL(base, 0, i), 1);
        barrier_init(EMPTY(Q_FULL(base, 0, i)), 1);
    }
    for (int s = 0; s < K_STAGES + V_STAGES; s++) {
        barrier_init(K_FULL(base, s), 1);
        barrier_init(EMPTY(K_FULL(base, s)), CONSUMERS);
    }
    for (int s = 0; s < 2; s++) {
        barrier_init(TASK_FULL(base, s), 1);
        barrier_init(EMPTY(TASK_FULL(base, s)), 4 * CONSUMERS);
    }
    barrier_init_visible();
}

/* --- a tile of queries, and what it has to do with --- */

typedef struct task {
    int batch, head, kv_head; /* head: the first of PACK */
    int query;                /* the first of the tile */
    int queries, keys;        /* of this sequence */
    int query_row, key_row;   /* where it begins in the tensors' rows */
    int map_batch;            /* and in their batches */
    fmha_range range;
    int unused[3]; /* to TASK_WORDS */
} task;

DEVICE bool has_keys(const task *t) { return t->range.first < t->range.end; }

DEVICE int num_tasks(const fmha_gpu_params *p) {
    return fmha_tiles(p->q_len, TILE_M / PACK) * (p->heads / PACK) * p->batch;
}

DEVICE void task_at(const fmha_gpu_params *p, int linear, task *t) {
    const int heads = p->heads / PACK;
    const int rows = fmha_tiles(p->q_len, TILE_M / PACK);
    const fmha_tile tile =
        fmha_order(linear, rows, heads * p->batch, p->group, LONGEST);
    t->batch = tile.head / heads;
    t->head = tile.head % heads * PACK;
    t->kv_head = t->head / (p->heads / p->kv_heads);
    t->query = tile.row * (TILE_M / PACK);
#if VARLEN
    const int *cu_q = (const int *)p->cu_q, *cu_k = (const int *)p->cu_k;
    t->query_row = cu_q[t->batch];
    t->key_row = cu_k[t->batch];
    t->queries = cu_q[t->batch + 1] - t->query_row;
    t->keys = cu_k[t->batch + 1] - t->key_row;
    t->map_batch = 0;
#else
    t->query_row = t->key_row = 0;
    t->queries = p->q_len;
    t->keys = p->kv_len;
    t->map_batch = t->batch;
#endif
    t->range = fmha_keys_of(t->query, TILE_M / PACK, TILE_N, t->queries,
                            t->keys, CAUSAL, WINDOW ? p->window : -1);
}

/* --- fetching: one thread --- */

DEVICE void fetch_queries(const fmha_gpu_params *p, const task *t,
                          unsigned base, int stage, int consumer) {
    const unsigned full = Q_FULL(base, stage, consumer);
    const int query = t->query_row + t->query + consumer * (64 / PACK);
    barrier_expect(full, Q_BYTES);
#pragma unroll
    for (int s = 0; s < SLICES; s++)
        tma_load_4d(Q_AT(base, stage, consumer) + s * 64 * ROW_BYTES, &p->q_map,
                    full, s * SLICE, t->head, query, t->map_batch);
}

DEVICE void fetch_keys(const task *t, const fmha_map *map, unsigned to,
                       unsigned full, int tile) {
    barrier_expect(full, KV_BYTES);
#pragma unroll
    for (int s = 0; s < SLICES; s++)
        tma_load_4d(to + s * TILE_N * ROW_BYTES, map, full, s * SLICE,
                    t->kv_head, t->key_row + tile * TILE_N, t->map_batch);
}

DEVICE void fetch_k(const fmha_gpu_params *p, const task *t, unsigned base,
                    ring *k, int tile) {
    barrier_wait(EMPTY(K_FULL(base, k->stage)), k->parity ^ 1);
    fetch_keys(t, &p->k_map, K_AT(base, k->stage), K_FULL(base, k->stage),
               tile);
    ring_next(k, K_STAGES);
}
DEVICE void fetch_v(const fmha_gpu_params *p, const task *t, unsigned base,
                    ring *v, int tile) {
    barrier_wait(EMPTY(V_FULL(base, v->stage)), v->parity ^ 1);
    fetch_keys(t, &p->v_map, V_AT(base, v->stage), V_FULL(base, v->stage),
               tile);
    ring_next(v, V_STAGES);
}

/* --- multiplying --- */

/* wgmma_descriptor for rows of ROW_BYTES: `next` is the distance of the next
 * slice where rows run across k. */
DEVICE unsigned long long descriptor(unsigned at, unsigned next) {
    const unsigned long long swizzle = ROW_BYTES == 128 ? 1 : 2;
    return (unsigned long long)((at & 0x3ffff) >> 4) |
           (unsigned long long)((next & 0x3ffff) >> 4) << 16 |
           (unsigned long long)(8 * ROW_BYTES >> 4) << 32 | swizzle << 62;
}

//> scores
/* Starts s = Q K^T: 64 rows by TILE_N keys, in steps of 16 along the head. */
DEVICE void start_scores(float s[TILE_N / 2], unsigned q, unsigned k) {
    const unsigned long long dq = descriptor(q, 0), dk = descriptor(k, 0);
    wgmma_fence();
#pragma unroll
    for (int d = 0; d < HEAD_DIM / 16; d++) {
        const int slice = d * 16 / SLICE, along = d * 16 % SLICE * 2;
        WGMMA_SCORES(s, dq + ((slice * 64 * ROW_BYTES + along) >> 4),
                     dk + ((slice * TILE_N * ROW_BYTES + along) >> 4), d > 0,
                     TYPE_NAME, "0", "0");
    }
    wgmma_commit();
}

/* Starts o += P V, P in registers: in steps of 16 keys. */
DEVICE void start_values(float o[HEAD_DIM / 2], const unsigned *probs,
                         unsigned v) {
    const unsigned long long dv = descriptor(v, TILE_N * ROW_BYTES);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < TILE_N / 16; k++)
        WGMMA_VALUES(o, probs + 4 * k, dv + ((k * 16 * ROW_BYTES) >> 4),
                     TYPE_NAME, "1");
    wgmma_commit();
}
//< scores

/* The same, P in shared memory. */
DEVICE void start_values_of(float o[HEAD_DIM / 2], unsigned probs, unsigned v) {
    const unsigned long long dp = wgmma_descriptor(probs, 0);
    const unsigned long long dv = descriptor(v, TILE_N * ROW_BYTES);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < TILE_N / 16; k++)
        WGMMA_SHARED(o, dp + ((k / 4 * P_SLICE + k % 4 * 32) >> 4),
                     dv + ((k * 16 * ROW_BYTES) >> 4), true, TYPE_NAME, "0",
                     "1");
    wgmma_commit();
}

/* After a wait: the compiler takes no sum out before it. */
#define settle(x, count)                                                       \
    do {                                                                       \
        _Pragma("unroll") for (int i = 0; i < (count);                         \
                               i++) asm volatile("" : "+f"((x)[i])::"memory"); \
    } while (0)

/* --- softmax ---
 *
 * In base 2: p = 2^(scale_log2 s - m), m the largest exponent of the row so
 * far. A row that has seen no key has m = -infinity; then 0 is taken from its
 * scores, which all are -infinity, and no NaN comes up. */

/* A thread's two rows, h = 0, 1: row 16 w + 8 h + lane / 4 of the consumer's
 * 64. Score 4 j + 2 h + e is that of key 8 j + 2 (lane % 4) + e. */
typedef struct rows {
    float max[2], sum[2];
} rows;

DEVICE int row_in_block(void) {
    return (int)threadIdx.x % 128 / 32 * 16 + (int)threadIdx.x % 32 / 4;
}
DEVICE int col_in_eight(void) { return (int)threadIdx.x % 4 * 2; }

DEVICE float largest_of_four(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffff, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffff, x, 2));
}
DEVICE float sum_of_four(float x) {
    x += __shfl_xor_sync(0xffffffff, x, 1);
    return x + __shfl_xor_sync(0xffffffff, x, 2);
}

/* Which query a consumer's row is, counted in its sequence. */
DEVICE int query_of(const task *t, int consumer, int row) {
    return t->query + (consumer * 64 + row) / PACK;
}

/* Hides the keys of tile `tile` that a row does not see. */
DEVICE void mask(const fmha_gpu_params *p, const task *t, int consumer,
                 int tile, float s[TILE_N / 2]) {
    const int first = tile * TILE_N + col_in_eight();
    const int shift = t->keys - t->queries;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int seen = query_of(t, consumer, row_in_block() + 8 * h) + shift;
        const int end = (CAUSAL ? fmha_least(t->keys, seen + 1) : t->keys);
        const int least = WINDOW ? seen - p->window - first : 0;
#pragma unroll
        for (int j = 0; j < TILE_N / 8; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float *x = &s[4 * j + 2 * h + e];
                if (8 * j + e >= end - first || (WINDOW && 8 * j + e < least))
                    *x = MINUS_INFINITY;
            }
    }
    (void)p;
}

DEVICE bool needs_mask(const task *t, int tile) {
    return tile >= t->range.whole_end || tile < t->range.whole;
}

/* How many powers of two a weight may exceed 1 before its row's m follows. m is
 * any number near the largest exponent, since it cancels in the end; sums and
 * outputs are faded only when it moves, which after the first tiles it hardly
 * does. */
#define SLACK 8.0f

//> softmax
/* Scores become probabilities relative to m; fade is what a move of m makes of
 * sums and outputs so far. Whether one of the warp's rows moved. Sums of a row
 * stay with their thread until the end. */
DEVICE bool softmax(const fmha_gpu_params *p, rows *r, float s[TILE_N / 2],
                    float fade[2]) {
    const float scale = p->scale_log2;
    float max[4] = {s[0], s[2], s[1], s[3]}, base[2], sum[4] = {0, 0, 0, 0};
    bool moved = false;
    /* Two chains a row, so that one's latency hides the other's. */
#pragma unroll
    for (int j = 1; j < TILE_N / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            max[i] = fmaxf(max[i], s[4 * j + i % 2 * 2 + i / 2]);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = largest_of_four(fmaxf(max[h], max[h + 2])) * scale;
        const bool moves = most - r->max[h] > SLACK;
        if (!moves) most = r->max[h];
        base[h] = most == MINUS_INFINITY ? 0.0f : most;
        fade[h] = moves ? exp2_fast(r->max[h] - base[h]) : 1.0f;
        moved |= moves;
        r->max[h] = most;
    }
#pragma unroll
    for (int j = 0; j < TILE_N / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float *x = &s[4 * j + i % 2 * 2 + i / 2];
            *x = exp2_fast(*x * scale - base[i % 2]);
            sum[i] += *x;
        }
#pragma unroll
    for (int h = 0; h < 2; h++)
        r->sum[h] = r->sum[h] * fade[h] + (sum[h] + sum[h + 2]);
    return __any_sync(0xffffffff, moved);
}
//< softmax

//> guess
/* The same with m as it is, which is right as long as no probability grows past
 * what its type holds: their sums, here those of this tile, say so. A row that
 * has seen no key has m = -infinity, hence infinite sums. Whether the tile must
 * be done again with `softmax`. */
#define MOST_SUM (TYPE_F16 ? 0x1p14f : 0x1p32f)

DEVICE bool guess(const fmha_gpu_params *p, const rows *r, float s[TILE_N / 2],
                  float sum[2]) {
    const float scale = p->scale_log2;
    float part[4] = {0, 0, 0, 0};
#pragma unroll
    for (int j = 0; j < TILE_N / 8; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float *x = &s[4 * j + i % 2 * 2 + i / 2];
            *x = exp2_fast(*x * scale - r->max[i % 2]);
            part[i] += *x;
        }
#pragma unroll
    for (int h = 0; h < 2; h++) sum[h] = part[h] + part[h + 2];
    return !(sum[0] <= MOST_SUM && sum[1] <= MOST_SUM);
}
//< guess

DEVICE void fade_output(float o[HEAD_DIM / 2], const float fade[2]) {
#pragma unroll
    for (int i = 0; i < HEAD_DIM / 2; i++) o[i] *= fade[i / 2 % 2];
}

/* Probabilities as the A of the next product. */
DEVICE void pack_probs(const float s[TILE_N / 2], unsigned probs[TILE_N / 4]) {
#pragma unroll
    for (int i = 0; i < TILE_N / 4; i++)
        probs[i] = pack_elements(s[2 * i], s[2 * i + 1]);
}

/* Probabilities into a consumer's shared memory, where products that are done
 * have read the last ones. The 16-byte chunk c of row r of a slice lies at
 * c ^ (r % 8). */
DEVICE void put_probs(const float s[TILE_N / 2], unsigned to, int consumer) {
    const int lane = (int)threadIdx.x % 32;
    const int r = row_in_block() / 16 * 16 + lane % 16;
#pragma unroll
    for (int j = 0; j < TILE_N / 8; j += 2)
        stmatrix4(to + j / 8 * P_SLICE + r * 128 +
                      (((j % 8 + lane / 16) ^ (r & 7)) << 4),
                  pack_elements(s[4 * j], s[4 * j + 1]),
                  pack_elements(s[4 * j + 2], s[4 * j + 3]),
                  pack_elements(s[4 * j + 4], s[4 * j + 5]),
                  pack_elements(s[4 * j + 6], s[4 * j + 7]));
    fence_async();
    named_barrier(1 + consumer, 128);
}

/* --- the output --- */

/* Sums are complete: o becomes the output, and LSE is stored. */
DEVICE void finish(const fmha_gpu_params *p, const task *t, int consumer,
                   const rows *r, float o[HEAD_DIM / 2]) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float sum = sum_of_four(r->sum[h]);
        const float inverse = sum > 0.0f    ? 1.0f / sum
                              : sum == 0.0f ? 0.0f
                                            : sum;
        const int row = row_in_block() + 8 * h;
        const int query = query_of(t, consumer, row);
        const int head = t->head + row % PACK;
        if (p->lse && threadIdx.x % 4 == 0 && query < t->queries) {
            const long long at =
                VARLEN ? (long long)head * p->total_q + t->query_row + query
                       : ((long long)t->batch * p->heads + head) * p->q_len +
                             query;
            ((float *)p->lse)[at] =
                sum == 0.0f ? MINUS_INFINITY : r->max[h] * LN_2 + __logf(sum);
        }
#pragma unroll
        for (int j = 0; j < HEAD_DIM / 8; j++) {
            o[4 * j + 2 * h] *= inverse;
            o[4 * j + 2 * h + 1] *= inverse;
        }
    }
}

/* Straight from the registers, as far as there are queries. */
DEVICE void store_rows(const fmha_gpu_params *p, const task *t, int consumer,
                       const float o[HEAD_DIM / 2]) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int row = row_in_block() + 8 * h;
        const int query = query_of(t, consumer, row);
        if (query >= t->queries) continue;
        element *to =
            (element *)p->o + (long long)t->map_batch * p->o_at.batch +
            (long long)(t->head + row % PACK) * p->o_at.head +
            (long long)(t->query_row + query) * p->o_at.row + col_in_eight();
#pragma unroll
        for (int j = 0; j < HEAD_DIM / 8; j++)
            store_word(to + 8 * j,
                       pack_elements(o[4 * j + 2 * h], o[4 * j + 2 * h + 1]));
    }
}

/* Where the 16-byte chunk c of row r of a slice lies under its swizzle. */
DEVICE unsigned chunk_at(unsigned slice, int r, int c) {
    return ROW_BYTES == 128 ? slice + r * 128 + ((c ^ (r & 7)) << 4)
                            : slice + r * 64 + ((c ^ (r >> 1 & 3)) << 4);
}

/* A consumer's rows through the shared memory of its queries and the copy
 * engine, which leaves out what lies past the last query. */
DEVICE void store_tile(const fmha_gpu_params *p, const task *t, unsigned at,
                       int consumer, const float o[HEAD_DIM / 2]) {
    int thread = (int)threadIdx.x;
    /* What follows from it is worked out here: kept from one tile to the next
     * it would take registers from the sums. */
    asm volatile("" : "+r"(thread));
    const int r = thread % 128 / 32 * 16, lane = thread % 32;
#pragma unroll
    for (int j = 0; j < HEAD_DIM / 8; j += 2) {
        const unsigned slice = at + j * 8 / SLICE * 64 * ROW_BYTES;
        stmatrix4(chunk_at(slice, r + lane % 16, j % (SLICE / 8) + lane / 16),
                  pack_elements(o[4 * j], o[4 * j + 1]),
                  pack_elements(o[4 * j + 2], o[4 * j + 3]),
                  pack_elements(o[4 * j + 4], o[4 * j + 5]),
                  pack_elements(o[4 * j + 6], o[4 * j + 7]));
    }
    fence_async();
    named_barrier(1 + consumer, 128);
    if (threadIdx.x % 128 == 0) {
        const int query = t->query_row + t->query + consumer * (64 / PACK);
#pragma unroll
        for (int s = 0; s < SLICES; s++)
            tma_store_4d(&p->o_map, at + s * 64 * ROW_BYTES, s * SLICE, t->head,
                         query, t->map_batch);
        tma_store_commit();
    }
}

/* Of a block with one tile of queries: through the shared memory of the
 * consumer's queries, which nothing reads any more. */
DEVICE void store_output(const fmha_gpu_params *p, const task *t, unsigned at,
                         int consumer, const float o[HEAD_DIM / 2]) {
    if (VARLEN && t->query + TILE_M > t->queries) {
        store_rows(p, t, consumer, o);
    } else {
        store_tile(p, t, at, consumer, o);
        if (threadIdx.x % 128 == 0) tma_store_wait();
    }
}

#endif
