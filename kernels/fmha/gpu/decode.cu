/* Attention of few queries to many keys: a step of generation.
 *
 *   fmha_decode     O and LSE over one slice of the keys (of all: the result)
 *   fmha_combine    O = sum_i w_i O_i, w_i = exp(LSE_i - LSE)
 *
 * K and V are read once, at one product of a query's element with each of
 * theirs: the time is that of reading. So what counts is bytes under way: to
 * keep 4 TB/s busy over a microsecond takes 4 MB, 32 KiB an SM. Here every warp
 * has a ring of STAGES slots of its own, KEYS keys with their values each,
 * and all but one of them are being filled at any time: 64 KiB a block at
 * HEAD_DIM 128. Warps never wait for each other before the end.
 *
 * The data's way. A tile of TILE_M rows holds all queries of all query heads
 * that share a head of K and V (row r: query r / group, head r % group), so
 * that none of K and V is read twice, and stays in registers as fragments. With
 * fewer rows the products run on zeros; the matrix units have time. cp.async
 * brings keys, ldmatrix takes them from the ring, S and P stay in registers.
 *
 *   block      slice s of the keys:  | tile | tile | tile | ...   TILE_N keys
 *   warp w                           | w    | w    | w    |       KEYS keys
 *
 * At the end the warps' O, maxima and sums meet in shared memory.
 *
 * Slices. One block a head of K and V is enough when there are some hundreds of
 * them; otherwise p.slices blocks divide the tiles of keys among them, leave
 * f32 results in part_o and part_lse, and fmha_combine merges these, in the
 * order of the slices, a block a row. With slices = 1 it is not launched.
 *
 * Floor. 4 HEAD_DIM bytes a key and head of K and V, over the bandwidth of
 * memory.
 *
 * Launch. fmha_decode: grid (tiles of group x q_len rows, times slices;
 * kv_heads; sequences), block 32 WARPS, WARPS x K_STAGES x KEYS x HEAD_DIM x
 * 4 bytes of dynamic shared memory, and WARPS x TILE_M x (HEAD_DIM + 10) x 4 at
 * least. fmha_combine: grid (rows of LSE), block HEAD_DIM. scale > 0. */
#include "fmha/gpu/params.h"

#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif
#ifndef TILE_M /* three slots in 96 KiB, twice into an SM of Hopper */
#define TILE_M   16
#define TILE_N   (HEAD_DIM <= 64 ? 128 : HEAD_DIM <= 128 ? 64 : 32)
#define K_STAGES (HEAD_DIM == 96 ? 4 : HEAD_DIM == 192 ? 4 : 3)
#define V_STAGES K_STAGES
#endif
#ifndef WARPS
#define WARPS (TILE_N < 64 ? TILE_N / 16 : 4)
#endif
#define WARP_M TILE_M /* every warp has all rows */
#define KEYS   (TILE_N / WARPS)
#include "fmha/gpu/online_mma.cuh"

enum {
    THREADS = 32 * WARPS,
    STAGES = K_STAGES,
    HALF_BYTES = KEYS * ROW_BYTES, /* the keys of a slot; then their values */
    STAGE_BYTES = 2 * HALF_BYTES,
    RING_BYTES = STAGES * STAGE_BYTES, /* a warp's */

    /* A row of a warp's O at the end. Lanes that write at once, eight rows of
     * four pairs, meet different banks. */
    STRIP_PITCH = HEAD_DIM + 8,
    STRIP_FLOATS = TILE_M * (STRIP_PITCH + 2), /* O, maximum, sum */
    SMEM_BYTES =
        WARPS * (RING_BYTES > 4 * STRIP_FLOATS ? RING_BYTES : 4 * STRIP_FLOATS)
};

static_assert(K_STAGES == V_STAGES, "a slot has keys and their values");
static_assert(STAGES >= 2, "one slot is filled while another is read");
static_assert(TILE_N % (16 * WARPS) == 0, "warps have as much");
static_assert(TILE_M * ROW_BYTES <= STAGE_BYTES, "Q comes through a slot");
static_assert(TILE_M == 16 || TILE_M * HEAD_DIM <= 32 * 96,
              "Q and O are in registers");

DYNAMIC_SHARED(smem, 128);

/* Which part of the work a block has. */
typedef struct share {
    sequence at;
    int b, kv, group;        /* group: query heads that share head kv */
    int first_row, there;    /* of the packed rows: the first one, how many */
    int slice, first, tiles; /* tiles of keys: the first one, how many */
} share;

DEVICE share share_of(const fmha_gpu_params *p) {
    share x;
    x.b = (int)blockIdx.z, x.kv = (int)blockIdx.y;
    x.at = sequence_of(p, x.b);
    x.group = p->heads / p->kv_heads;
    const int parts = fmha_tiles(p->q_len * x.group, TILE_M);
    x.first_row = (int)blockIdx.x % parts * TILE_M;
    x.slice = (int)blockIdx.x / parts;
    x.there = fmha_least(x.at.queries * x.group - x.first_row, TILE_M);
    if (x.there <= 0) return x;
    /* The tiles that its first to its last query see. */
    const int query = x.first_row / x.group;
    const int last = (x.first_row + x.there - 1) / x.group;
    const fmha_range all = keys_of(p, x.at, query, last - query + 1, TILE_N);
    const int count = all.end - all.first;
    x.first = fmha_slice_begin(x.slice, count, p->slices);
    x.tiles = fmha_slice_begin(x.slice + 1, count, p->slices) - x.first;
    x.first += all.first;
    return x;
}

/* --- global to shared memory, by one warp --- */

/* Packed row r: query r / group of query head r % group among those of kv. */
DEVICE void copy_queries(const fmha_gpu_params *p, const share *x,
                         unsigned to) {
    const int lane = (int)threadIdx.x % 32;
#pragma unroll 4
    for (int i = lane; i < TILE_M * CHUNKS; i += 32) {
        const int row = i / CHUNKS, chunk = i % CHUNKS;
        const int packed = x->first_row + row;
        const element *from =
            rows_of(p->q, p->q_at, x->b, x->kv * x->group + packed % x->group,
                    x->at.first_query) +
            packed / x->group * p->q_at.row;
        cp_async16(to + 16 * (unsigned)place(row, chunk, CHUNKS),
                   from + 8 * chunk, row < x->there ? 16 : 0);
    }
}

/* Keys from `key` on, and their values, to the slot at `to`; closes a group.
 * Behind the share's last tile only that. */
DEVICE void ask(const fmha_gpu_params *p, const share *x, const element *k,
                const element *v, unsigned ring, int j, int warp) {
    const int lane = thread_again() % 32;
    if (j < x->tiles) {
        const int key = (x->first + j) * TILE_N + warp * KEYS;
        const unsigned to = ring + (unsigned)(j % STAGES * STAGE_BYTES);
        copy_rows(to, k + key * p->k_at.row, p->k_at.row, x->at.keys - key,
                  KEYS, CHUNKS, lane, 32);
        copy_rows(to + HALF_BYTES, v + key * p->v_at.row, p->v_at.row,
                  x->at.keys - key, KEYS, CHUNKS, lane, 32);
    }
    cp_async_commit();
}

/* --- a warp's keys of one tile --- */

DEVICE void scores(float s[FRAGS_M][FRAGS_S][4],
                   unsigned q[STEPS_D][FRAGS_M][4], unsigned k_lane) {
#pragma unroll
    for (int i = 0; i < FRAGS_M * FRAGS_S * 4; i++)
        s[i / 4 / FRAGS_S][i / 4 % FRAGS_S][i % 4] = 0.0f;
#pragma unroll
    for (int step = 0; step < STEPS_D; step++) {
#pragma unroll
        for (int j = 0; j < FRAGS_S / 2; j++) {
            unsigned k[4];
            ldmatrix(k, block(k_lane, 16 * j, 2 * step, CHUNKS));
#pragma unroll
            for (int i = 0; i < FRAGS_M; i++) {
                mma_m16n8k16(s[i][2 * j], q[step][i], k);
                mma_m16n8k16(s[i][2 * j + 1], q[step][i], k + 2);
            }
        }
    }
}

DEVICE void mask(const fmha_gpu_params *p, const share *x, int key,
                 float s[FRAGS_M][FRAGS_S][4]) {
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int r = 0; r < 2 * FRAGS_M; r++) {
        const int query = (x->first_row + 8 * r + g) / x->group;
        const band seen = band_of(p, x->at, query);
#pragma unroll
        for (int j = 0; j < 2 * FRAGS_S; j++) {
            const int own = key + j / 2 * 8 + 2 * t + j % 2;
            if (own >= seen.end || (WINDOW && own < seen.begin))
                s[r / 2][j / 2][r % 2 * 2 + j % 2] = MINUS_INFINITY;
        }
    }
}

//> decode
/* A warp's share of the keys. A group is closed for each tile, so that the
 * count of those under way holds to the end. */
DEVICE void walk(const fmha_gpu_params *p, const share *x, rows *r) {
    const int warp = (int)threadIdx.x / 32;
    const unsigned ring = smem_address(smem) + (unsigned)(warp * RING_BYTES);
    const element *k = rows_of(p->k, p->k_at, x->b, x->kv, x->at.first_key);
    const element *v = rows_of(p->v, p->v_at, x->b, x->kv, x->at.first_key);
    unsigned q[STEPS_D][FRAGS_M][4];

    /* Q comes through the last slot, which is the last to be filled. */
    const unsigned q_tile = ring + (STAGES - 1) * STAGE_BYTES;
    copy_queries(p, x, q_tile);
    cp_async_commit();
#pragma unroll
    for (int j = 0; j < STAGES - 1; j++) ask(p, x, k, v, ring, j, warp);
    cp_async_wait(STAGES - 1);
    __syncwarp();
    const unsigned q_lane = lane_address(q_tile, 0, CHUNKS, 1);
#pragma unroll
    for (int i = 0; i < STEPS_D * FRAGS_M; i++)
        ldmatrix(q[i / FRAGS_M][i % FRAGS_M],
                 block(q_lane, i % FRAGS_M * 16, i / FRAGS_M * 2, CHUNKS));

    const int lowest = band_of(p, x->at, x->first_row / x->group).end;
    const int highest =
        band_of(p, x->at, (x->first_row + x->there - 1) / x->group).begin;
#pragma unroll 1
    for (int j = 0; j < x->tiles; j++) {
        cp_async_wait(STAGES - 2);
        __syncwarp(); /* tile j has landed, all lanes have done tile j - 1 */
        ask(p, x, k, v, ring, j + STAGES - 1, warp);
        const unsigned slot = ring + (unsigned)(j % STAGES * STAGE_BYTES);
        const int key = (x->first + j) * TILE_N + warp * KEYS;
        float s[FRAGS_M][FRAGS_S][4];
        scores(s, q, lane_address(slot, 0, CHUNKS, 0));
        if (key + KEYS > lowest || (WINDOW && key < highest))
            mask(p, x, key, s);
        softmax(r, s, p->scale_log2);
        values(r, s, lane_address(slot + HALF_BYTES, 0, CHUNKS, 1));
    }
    cp_async_wait(0);
}
//< decode

/* --- the warps' results --- */

/* Each warp's O, maxima and sums to shared memory, over the rings. */
DEVICE void leave(rows *r) {
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int g = lane / 4, t = lane % 4;
    float *strip = (float *)smem + warp * STRIP_FLOATS;
    float *stats = strip + TILE_M * STRIP_PITCH;
#pragma unroll
    for (int i = 0; i < 2 * FRAGS_M; i++) {
        const int row = 8 * i + g;
        const float sum = whole_sum(r->sum[i / 2][i % 2]);
        if (t == 0) {
            stats[2 * row] = r->max[i / 2][i % 2];
            stats[2 * row + 1] = sum;
        }
#pragma unroll
        for (int j = 0; j < 2 * FRAGS_O; j++)
            strip[row * STRIP_PITCH + j / 2 * 8 + 2 * t + j % 2] =
                r->o[i / 2][j / 2][i % 2 * 2 + j % 2];
    }
}

/* What the warps left of row `row`: their weights relative to the largest
 * maximum, and LSE to base 2. */
DEVICE float weigh(int row, float weight[WARPS]) {
    const float *stats = (const float *)smem + TILE_M * STRIP_PITCH + 2 * row;
    float most = FLOOR, sum = 0.0f;
#pragma unroll
    for (int w = 0; w < WARPS; w++) most = fmaxf(most, stats[w * STRIP_FLOATS]);
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
        weight[w] = exp2_fast(stats[w * STRIP_FLOATS] - most);
        sum += weight[w] * stats[w * STRIP_FLOATS + 1];
    }
    const float factor = sum == 0.0f ? 0.0f : divide(1.0f, sum);
#pragma unroll
    for (int w = 0; w < WARPS; w++) weight[w] *= factor;
    return sum == 0.0f ? MINUS_INFINITY : most + log2_fast(sum);
}

/* Eight elements of O at the packed row, or of the slice's. */
DEVICE void store_eight(const fmha_gpu_params *p, const share *x, int row,
                        int chunk, const float o[8], float lse) {
    const int packed = x->first_row + row, t = packed / x->group;
    const int h = x->kv * x->group + packed % x->group;
    const long long line = lse_place(p, x->at, x->b, h, t);
    if (p->slices == 1) {
        vec16 y;
#pragma unroll
        for (int i = 0; i < 4; i++)
            y.x[i] = pack_elements(o[2 * i], o[2 * i + 1]);
        store_vec16(rows_of(p->o, p->o_at, x->b, h, x->at.first_query) +
                        t * p->o_at.row + 8 * chunk,
                    y);
        if (chunk == 0 && p->lse)
            store_word((float *)p->lse + line, word_of_float(lse));
        return;
    }
    const long long part = x->slice * lse_rows(p) + line;
    float *to = (float *)p->part_o + part * HEAD_DIM + 8 * chunk;
#pragma unroll
    for (int half = 0; half < 8; half += 4) {
        vec16 y;
#pragma unroll
        for (int i = 0; i < 4; i++) y.x[i] = word_of_float(o[half + i]);
        store_vec16(to + half, y);
    }
    if (chunk == 0) store_word((float *)p->part_lse + part, word_of_float(lse));
}

KERNEL void __launch_bounds__(THREADS)
    fmha_decode(const __grid_constant__ fmha_gpu_params p) {
    const share x = share_of(&p);
    if (x.there <= 0) return;
    rows r;
    clear(&r);
    walk(&p, &x, &r);
    __syncthreads(); /* all have done with their rings */
    leave(&r);
    __syncthreads();
    for (int i = (int)threadIdx.x; i < x.there * CHUNKS; i += THREADS) {
        const int row = i / CHUNKS, chunk = i % CHUNKS;
        float weight[WARPS], o[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        const float lse = weigh(row, weight) * LN_2;
        const float *strip =
            (const float *)smem + row * STRIP_PITCH + 8 * chunk;
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
#pragma unroll
            for (int e = 0; e < 8; e++)
                o[e] = fmaf(weight[w], strip[w * STRIP_FLOATS + e], o[e]);
        }
        store_eight(&p, &x, row, chunk, o, lse);
    }
}

/* A block a row, a thread a column: weights from the slices' LSE. */
KERNEL void __launch_bounds__(HEAD_DIM)
    fmha_combine(const __grid_constant__ fmha_gpu_params p) {
    const long long lines = lse_rows(&p), line = blockIdx.x;
    const int d = (int)threadIdx.x;
    const float *lse = (const float *)p.part_lse + line;
    const float *part = (const float *)p.part_o + line * HEAD_DIM + d;
    float most = FLOOR, sum = 0.0f, o = 0.0f;
    for (int s = 0; s < p.slices; s++)
        most = fmaxf(most, word_to_float(load_word(lse + s * lines)));
#pragma unroll 4
    for (int s = 0; s < p.slices; s++) {
        const float weight = exp2_fast(
            (word_to_float(load_word(lse + s * lines)) - most) * LOG2_E);
        sum += weight;
        o = fmaf(weight, word_to_float(load_word(part + s * lines * HEAD_DIM)),
                 o);
    }
    const int none = sum == 0.0f;
    const int per = VARLEN ? p.total_q : p.q_len; /* lines of a head */
    const int t = (int)(line % per), h = (int)(line / per % p.heads);
    const int b = (int)(line / per / p.heads); /* 0 with VARLEN */
    store_element(rows_of(p.o, p.o_at, b, h, 0) + t * p.o_at.row + d,
                  element_from_float(none ? 0.0f : divide(o, sum)));
    if (d == 0 && p.lse)
        store_word((float *)p.lse + line,
                   word_of_float(none ? MINUS_INFINITY
                                      : most + log2_fast(sum) * LN_2));
}
