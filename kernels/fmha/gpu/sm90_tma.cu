/* Step: the bulk copy engine and wgmma. O = softmax(scale Q K^T + mask) V.
 *
 * The data's way: global memory -> TMA -> Q, K_STAGES tiles of K and V_STAGES
 * of V in shared memory -> wgmma -> scores in registers -> softmax -> P in
 * shared memory -> wgmma -> sums in registers -> shared memory -> TMA ->
 * global.
 *
 * Who does what: each of the CONSUMERS warpgroups has 64 queries; one thread
 * asks for Q once and for the next tiles of K and V while these are worked on.
 * Everybody waits for each product, and meets when a tile of keys is done:
 *
 *     copies          K1 V1 | K2 V2             | K3 V3 ...
 *     matrix units          | Q K1       P1 V1  | Q K2       P2 V2 | ...
 *     the others            |     softmax       |     softmax      | ...
 *
 * Floor: 4 D operations of the matrix units for each pair that is seen, and an
 * exponential: the units for these do 16 a clock on a multiprocessor. */
#define P_SHARED 1
#include "fmha/gpu/tile_sm90.cuh"

/* Tile `tile` of keys or values into a stage that nobody reads any more. */
DEVICE void refill_k(const fmha_gpu_params *p, const task *t, unsigned base,
                     int stage, int tile) {
    if (tile < t->range.first) return;
    fetch_keys(t, &p->k_map, K_AT(base, stage), K_FULL(base, stage), tile);
}
DEVICE void refill_v(const fmha_gpu_params *p, const task *t, unsigned base,
                     int stage, int tile) {
    if (tile < t->range.first) return;
    fetch_keys(t, &p->v_map, V_AT(base, stage), V_FULL(base, stage), tile);
}

DEVICE void fetch_first(const fmha_gpu_params *p, const task *t,
                        unsigned base) {
    const int last = t->range.end - 1;
    if (last < t->range.first) return;
    for (int c = 0; c < CONSUMERS; c++) fetch_queries(p, t, base, 0, c);
    for (int s = 0; s < K_STAGES; s++) refill_k(p, t, base, s, last - s);
    for (int s = 0; s < V_STAGES; s++) refill_v(p, t, base, s, last - s);
}

/* All keys of a tile of queries, at least one tile. */
DEVICE void attend(const fmha_gpu_params *p, const task *t, unsigned base,
                   int consumer, rows *r, float o[HEAD_DIM / 2]) {
    const unsigned probs = P_AT(base, consumer);
    float s[TILE_N / 2], fade[2];
    ring k = {0, 0}, v = {0, 0};
    barrier_wait(Q_FULL(base, 0, consumer), 0);
    //> tma
    for (int tile = t->range.end - 1; tile >= t->range.first; tile--) {
        barrier_wait(K_FULL(base, k.stage), k.parity);
        start_scores(s, Q_AT(base, 0, consumer), K_AT(base, k.stage));
        wgmma_wait(0);
        settle(s, TILE_N / 2);
        if (needs_mask(t, tile)) mask(p, t, consumer, tile, s);
        if (softmax(p, r, s, fade)) fade_output(o, fade);
        put_probs(s, probs, consumer);
        barrier_wait(V_FULL(base, v.stage), v.parity);
        start_values_of(o, probs, V_AT(base, v.stage));
        wgmma_wait(0);
        settle(o, HEAD_DIM / 2);
        __syncthreads(); /* both stages may be filled again */
        if (threadIdx.x == 0) {
            refill_k(p, t, base, k.stage, tile - K_STAGES);
            refill_v(p, t, base, v.stage, tile - V_STAGES);
        }
        __syncwarp();
        ring_next(&k, K_STAGES);
        ring_next(&v, V_STAGES);
    }
    //< tma
}

KERNEL void __launch_bounds__(128 * CONSUMERS, 1)
    fmha(const __grid_constant__ fmha_gpu_params p) {
    DYNAMIC_SHARED(memory, 1024);
    const unsigned base = smem_at(memory);
    const int consumer = (int)threadIdx.x / 128;
    rows r = {{MINUS_INFINITY, MINUS_INFINITY}, {0, 0}};
    float o[HEAD_DIM / 2];
    task t;
    task_at(&p, (int)blockIdx.x, &t);
#pragma unroll
    for (int j = 0; j < HEAD_DIM / 2; j++) o[j] = 0.0f;
    if (threadIdx.x == 0) {
        init_barriers(base);
        fetch_first(&p, &t, base);
    }
    __syncthreads();
    if (t.range.first == t.range.end) {
        finish(&p, &t, consumer, &r, o);
        store_rows(&p, &t, consumer, o);
        return;
    }
    attend(&p, &t, base, consumer, &r, o);
    finish(&p, &t, consumer, &r, o);
    store_output(&p, &t, Q_AT(base, 0, consumer), consumer, o);
}
