/* Attention on Hopper, the top of the ladder: O = softmax(scale Q K^T + mask)
 * V.
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
#define STAYS 1
#include "fmha/gpu/ring_sm90.cuh"

//> tasks
/* The producer takes the next tile when it has asked for all of the last one,
 * so that blocks which get ahead do more; it tells the consumers through two
 * places in shared memory. All counts taken are 0 ... count - 1, count of them
 * in all: whoever takes the last one sets the counter back. */
DEVICE int take_task(const fmha_gpu_params *p, int count) {
    const int taken = atomicAdd((int *)p->turn, 1);
    if (taken == count - 1) *(volatile int *)p->turn = 0;
    return (int)gridDim.x + taken;
}

DEVICE void tell_task(unsigned base, ring *r, int task) {
    const unsigned full = TASK_FULL(base, r->stage);
    barrier_wait(EMPTY(full), r->parity ^ 1);
    asm volatile("st.shared.s32 [%0], %1;" ::"r"(TASK_AT(base, r->stage)),
                 "r"(task)
                 : "memory");
    barrier_arrive(full);
    ring_next(r, 2);
}

DEVICE int hear_task(unsigned base, ring *r) {
    const unsigned full = TASK_FULL(base, r->stage);
    int task;
    barrier_wait(full, r->parity);
    asm volatile("ld.shared.s32 %0, [%1];"
                 : "=r"(task)
                 : "r"(TASK_AT(base, r->stage))
                 : "memory");
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(EMPTY(full));
    ring_next(r, 2);
    return task;
}
//< tasks

DEVICE void produce(const fmha_gpu_params *p, unsigned base) {
    ring q = {0, 0}, k = {0, 0}, v = {0, 0}, told = {0, 0};
    task t;
    const int count = num_tasks(p);
    int next = (int)blockIdx.x;
    for (;;) {
        const int now = next;
        tell_task(base, &told, now);
        if (now >= count) return;
        next = take_task(p, count);
        task_at(p, now, &t);
        if (t.range.first == t.range.end) continue;
        fetch_task(p, &t, base, &q, &k, &v);
    }
}

/* The queries' shared memory, from which the last output has left meanwhile. */
DEVICE void give_back(unsigned *stored) {
    if (*stored && threadIdx.x % 128 == 0) {
        tma_store_wait_read(0);
        barrier_arrive(EMPTY(*stored));
    }
    *stored = 0;
}

//> attend
/* All keys of a tile of queries. */
DEVICE void attend(const fmha_gpu_params *p, const task *t, unsigned base,
                   unsigned q, ring *k, ring *v, int consumer, rows *r,
                   float o[HEAD_DIM / 2], unsigned *stored) {
    float s[TILE_N / 2], fade[2];
    unsigned probs[TILE_N / 4];
    int tile = skip_hidden(t, base, k, v, consumer);
    if (tile < t->range.first) return;
    barrier_wait(K_FULL(base, k->stage), k->parity);
    start_scores(s, q, K_AT(base, k->stage));
    wgmma_wait(0);
    settle(s, TILE_N / 2);
    drop_k(base, k);
    if (needs_mask(t, tile)) mask(p, t, consumer, tile, s);
    softmax(p, r, s, fade);
    pack_probs(s, probs);
    give_back(stored);
    while (--tile >= t->range.first) {
        barrier_wait(K_FULL(base, k->stage), k->parity);
        my_turn(consumer);
        start_scores(s, q, K_AT(base, k->stage));
        barrier_wait(V_FULL(base, v->stage), v->parity);
        start_values(o, probs, V_AT(base, v->stage));
        next_turn(consumer);
        wgmma_wait(1);
        settle(s, TILE_N / 2);
        drop_k(base, k);
        if (needs_mask(t, tile)) mask(p, t, consumer, tile, s);
        const bool moved = softmax(p, r, s, fade);
        wgmma_wait(0);
        settle(o, HEAD_DIM / 2);
        drop_v(base, v);
        pack_probs(s, probs);
        if (moved) fade_output(o, fade);
    }
    barrier_wait(V_FULL(base, v->stage), v->parity);
    start_values(o, probs, V_AT(base, v->stage));
    wgmma_wait(0);
    settle(o, HEAD_DIM / 2);
    drop_v(base, v);
}
//< attend

/* A consumer's part of a tile of queries. stored: the barrier of the queries
 * whose rows, now the output's, are on their way; 0: none. */
DEVICE void do_task(const fmha_gpu_params *p, const task *t, unsigned base,
                    ring *q, ring *k, ring *v, int consumer, unsigned *stored) {
    const bool leads = threadIdx.x % 128 == 0;
    const unsigned full = Q_FULL(base, q->stage, consumer);
    const unsigned at = Q_AT(base, q->stage, consumer);
    float o[HEAD_DIM / 2];
    rows r = {{MINUS_INFINITY, MINUS_INFINITY}, {0, 0}};
#pragma unroll
    for (int j = 0; j < HEAD_DIM / 2; j++) o[j] = 0.0f;
    if (t->range.first == t->range.end) {
        finish(p, t, consumer, &r, o);
        store_rows(p, t, consumer, o);
        return;
    }
    barrier_wait(full, q->parity);
    attend(p, t, base, at, k, v, consumer, &r, o, stored);
    finish(p, t, consumer, &r, o);
    give_back(stored);
    if (VARLEN && t->query + TILE_M / PACK > t->queries) {
        store_rows(p, t, consumer, o);
        named_barrier(1 + consumer, 128);
        release(full);
    } else {
        store_tile(p, t, at, consumer, o);
        if (Q_STAGES > 1) {
            *stored = full;
        } else if (leads) {
            tma_store_wait_read(0);
            barrier_arrive(EMPTY(full));
        }
    }
    ring_next(q, Q_STAGES);
}

DEVICE void consume(const fmha_gpu_params *p, unsigned base, int consumer) {
    ring q = {0, 0}, k = {0, 0}, v = {0, 0}, told = {0, 0};
    unsigned stored = 0;
    const int count = num_tasks(p);
    if (TURNS && consumer == 0) named_arrive(8, 256);
    for (;;) {
        task t;
        const int now = hear_task(base, &told);
        if (now >= count) break;
        task_at(p, now, &t);
        do_task(p, &t, base, &q, &k, &v, consumer, &stored);
    }
    if (threadIdx.x % 128 == 0) tma_store_wait();
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
        registers_give(PRODUCER_REGISTERS);
        if (threadIdx.x == 0) produce(&p, base);
    } else {
        registers_take(CONSUMER_REGISTERS);
        consume(&p, base, (int)threadIdx.x / 128 - 1);
    }
}
