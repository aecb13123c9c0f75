/* Attention on Hopper, the top of the ladder: O = softmax(scale Q K^T + mask) V.
 *
 * The data's way: global memory -> TMA -> Q, K_STAGES tiles of K and V_STAGES
 * of V in shared memory -> wgmma -> scores in registers -> softmax -> P in
 * registers -> wgmma -> sums in registers -> shared memory -> TMA -> global.
 *
 * Who does what: one thread of the first warpgroup produces; each of the
 * CONSUMERS others has 64 queries (of PACK heads that share K and V). In time:
 *
 *   matrix units   Q K1 | Q K2  P1 V1 | Q K3  P2 V2 | ...
 *   the others            softmax 1     softmax 2     softmax 3
 *
 * and the consumers take turns to start products, so that one's softmax runs
 * under the other's products. Blocks stay and walk over tiles (walk.h).
 *
 * Floor: 4 D operations of the matrix units for each pair that is seen, and an
 * exponential: the units for these do 16 a clock on a multiprocessor. */
#include "fmha/gpu/tile_sm90.cuh"

/* Consumers start their products in turns: barrier 8 + i is passed by consumer
 * i once the one before it has started its own. */
DEVICE void my_turn(int consumer) { named_barrier(8 + consumer, 256); }
DEVICE void next_turn(int consumer) {
    const int next = consumer + 1 == CONSUMERS ? 0 : consumer + 1;
    named_arrive(8 + next, 256);
}

DEVICE void produce(const fmha_gpu_params *p, unsigned base) {
    ring q = {0, 0}, k = {0, 0}, v = {0, 0};
    task t;
    const int count = num_tasks(p);
    for (int i = (int)blockIdx.x; i < count; i += (int)gridDim.x) {
        task_at(p, i, &t);
        if (t.range.first == t.range.end) continue;
        int tile = t.range.end - 1;
#pragma unroll
        for (int c = 0; c < CONSUMERS; c++) {
            barrier_wait(EMPTY(Q_FULL(base, q.stage, c)), q.parity ^ 1);
            fetch_queries(p, &t, base, q.stage, c);
            if (c == 0) fetch_k(p, &t, base, &k, tile);
        }
        ring_next(&q, Q_STAGES);
        for (; tile > t.range.first; tile--) {
            fetch_k(p, &t, base, &k, tile - 1);
            fetch_v(p, &t, base, &v, tile);
        }
        fetch_v(p, &t, base, &v, tile);
    }
}

DEVICE void release(unsigned full) {
    if (threadIdx.x % 128 == 0) barrier_arrive(EMPTY(full));
}

DEVICE bool needs_mask(const task *t, int tile) {
    return tile >= t->range.whole_end || tile < t->range.whole;
}

//> attend
/* All keys of a tile of queries. */
DEVICE void attend(const fmha_gpu_params *p, const task *t, unsigned base,
                   unsigned q, ring *k, ring *v, int consumer, rows *r,
                   float o[HEAD_DIM / 2]) {
    float s[TILE_N / 2], fade[2];
    unsigned probs[TILE_N / 4];
    int tile = t->range.end - 1;
    barrier_wait(K_FULL(base, k->stage), k->parity);
    start_scores(s, q, K_AT(base, k->stage));
    wgmma_wait(0);
    settle(s, TILE_N / 2);
    release(K_FULL(base, k->stage));
    ring_next(k, K_STAGES);
    if (needs_mask(t, tile)) mask(p, t, consumer, tile, s);
    softmax(p, r, s, fade);
    pack_probs(s, probs);
    while (--tile >= t->range.first) {
        barrier_wait(K_FULL(base, k->stage), k->parity);
        my_turn(consumer);
        start_scores(s, q, K_AT(base, k->stage));
        barrier_wait(V_FULL(base, v->stage), v->parity);
        start_values(o, probs, V_AT(base, v->stage));
        next_turn(consumer);
        wgmma_wait(1);
        settle(s, TILE_N / 2);
        release(K_FULL(base, k->stage));
        ring_next(k, K_STAGES);
        if (needs_mask(t, tile)) mask(p, t, consumer, tile, s);
        softmax(p, r, s, fade);
        wgmma_wait(0);
        settle(o, HEAD_DIM / 2);
        release(V_FULL(base, v->stage));
        ring_next(v, V_STAGES);
        pack_probs(s, probs);
        fade_output(o, fade);
    }
    barrier_wait(V_FULL(base, v->stage), v->parity);
    start_values(o, probs, V_AT(base, v->stage));
    wgmma_wait(0);
    settle(o, HEAD_DIM / 2);
    release(V_FULL(base, v->stage));
    ring_next(v, V_STAGES);
}
//< attend

DEVICE void consume(const fmha_gpu_params *p, unsigned base, int consumer) {
    ring q = {0, 0}, k = {0, 0}, v = {0, 0};
    const bool leads = threadIdx.x % 128 == 0;
    task t;
    unsigned stored = 0; /* the queries' barrier whose rows are on their way */
    const int count = num_tasks(p);
    if (consumer == 0) named_arrive(8, 256);
    for (int i = (int)blockIdx.x; i < count; i += (int)gridDim.x) {
        float o[HEAD_DIM / 2];
        rows r = {{MINUS_INFINITY, MINUS_INFINITY}, {0, 0}};
        task_at(p, i, &t);
#pragma unroll
        for (int j = 0; j < HEAD_DIM / 2; j++) o[j] = 0.0f;
        if (t.range.first == t.range.end) {
            finish(p, &t, consumer, &r, o);
            store_rows(p, &t, consumer, o);
            continue;
        }
        const unsigned full = Q_FULL(base, q.stage, consumer);
        const unsigned at = Q_AT(base, q.stage, consumer);
        barrier_wait(full, q.parity);
        attend(p, &t, base, at, &k, &v, consumer, &r, o);
        finish(p, &t, consumer, &r, o);
        if (stored && leads) { /* the tile before's, read long ago */
            tma_store_wait_read(0);
            barrier_arrive(EMPTY(stored));
        }
        stored = 0;
        if (VARLEN && t.query + TILE_M / PACK > t.queries) {
            store_rows(p, &t, consumer, o);
            named_barrier(1 + consumer, 128);
            if (leads) barrier_arrive(EMPTY(full));
        } else {
            store_tile(p, &t, at, consumer, o);
            if (Q_STAGES > 1) {
                stored = full;
            } else if (leads) {
                tma_store_wait_read(0);
                barrier_arrive(EMPTY(full));
            }
        }
        ring_next(&q, Q_STAGES);
    }
    if (leads) tma_store_wait();
}

KERNEL void __launch_bounds__(128 * (CONSUMERS + 1), 1)
    fmha(const __grid_constant__ fmha_gpu_params p) {
    DYNAMIC_SHARED(memory, 1024);
    const unsigned base = smem_at(memory);
    let_next_start();
    if (threadIdx.x == 0) {
        tma_prefetch_map(&p.q_map);
        tma_prefetch_map(&p.k_map);
        tma_prefetch_map(&p.v_map);
        init_barriers(base);
    }
    __syncthreads();
    wait_for_previous();
    if (threadIdx.x < 128) {
        if (CONSUMERS == 3)
            registers_give(32);
        else
            registers_give(24);
        if (threadIdx.x == 0) produce(&p, base);
    } else {
        if (CONSUMERS == 3)
            registers_take(160);
        else
            registers_take(240);
        consume(&p, base, (int)threadIdx.x / 128 - 1);
    }
}
