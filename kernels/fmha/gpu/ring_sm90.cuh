/* A producer and its consumers: the rings of stages between them, whose turn it
 * is, and what a block with one tile of queries does. What the sm90 kernels
 * from sm90_specialised.cu on share; their idea is in `attend`, which each has
 * of its own.
 *
 * A stage is filled by the producer once all consumers have released it, and
 * read by the consumers once its bytes have landed: two barriers a stage, full
 * and empty (tile_sm90.cuh). Tiles of keys go from the last to the first, since
 * under a causal mask the last ones need it; keys run a tile ahead of values.
 *
 *     producer    K3 Q | K2 | V3 | K1 | V2 | V1
 */
#ifndef SPAK_FMHA_RING_SM90_CUH
#define SPAK_FMHA_RING_SM90_CUH

#include "fmha/gpu/tile_sm90.cuh"

/* Of a thread; what the block has in all is launch_bounds' for every thread. */
#define PRODUCER_REGISTERS (CONSUMERS == 3 ? 32 : 40)
#define CONSUMER_REGISTERS (CONSUMERS == 3 ? 160 : 232)

#ifndef TURNS
#define TURNS 1
#endif
#ifndef STAYS
#define STAYS 0
#endif

/* Consumers start their products in turns: barrier 8 + i is passed by consumer
 * i once the one before it has started its own. */
DEVICE void my_turn(int consumer) {
    if (TURNS) named_barrier(8 + consumer, 256);
}
DEVICE void next_turn(int consumer) {
    const int next = consumer + 1 == CONSUMERS ? 0 : consumer + 1;
    if (TURNS) named_arrive(8 + next, 256);
}

/* --- the producer, one thread --- */

DEVICE void fetch_all_queries(const fmha_gpu_params *p, const task *t,
                              unsigned base, ring *q) {
#pragma unroll
    for (int c = 0; c < CONSUMERS; c++) {
        barrier_wait(EMPTY(Q_FULL(base, q->stage, c)), q->parity ^ 1);
        fetch_queries(p, t, base, q->stage, c);
    }
    ring_next(q, Q_STAGES);
}

/* All that a tile of queries with keys reads. */
DEVICE void fetch_task(const fmha_gpu_params *p, const task *t, unsigned base,
                       ring *q, ring *k, ring *v) {
    int tile = t->range.end - 1;
    fetch_k(p, t, base, k, tile);
    fetch_all_queries(p, t, base, q);
#pragma unroll 1
    for (; tile > t->range.first; tile--) {
        fetch_k(p, t, base, k, tile - 1);
        fetch_v(p, t, base, v, tile);
    }
    fetch_v(p, t, base, v, tile);
}

/* --- a consumer --- */

DEVICE void release(unsigned full) {
    if (threadIdx.x % 128 == 0) barrier_arrive(EMPTY(full));
}

DEVICE void drop_k(unsigned base, ring *k) {
    release(K_FULL(base, k->stage));
    ring_next(k, K_STAGES);
}
DEVICE void drop_v(unsigned base, ring *v) {
    release(V_FULL(base, v->stage));
    ring_next(v, V_STAGES);
}

/* Tiles of keys that none of the consumer's queries sees, though others of the
 * block do, are passed on unread. */
DEVICE int skip_hidden(const task *t, unsigned base, ring *k, ring *v,
                       int consumer) {
    int tile = t->range.end - 1;
#if CAUSAL
    const int last = query_of(t, consumer, 63) + t->keys - t->queries;
    for (; tile >= t->range.first && tile * TILE_N > last; tile--) {
        barrier_wait(K_FULL(base, k->stage), k->parity);
        drop_k(base, k);
        barrier_wait(V_FULL(base, v->stage), v->parity);
        drop_v(base, v);
        if (tile == t->range.first) break;
        if (!TURNS) named_barrier(1 + consumer, 128); /* no warp falls behind */
        my_turn(consumer);
        next_turn(consumer);
    }
    if (tile * TILE_N > last) tile = t->range.first - 1;
#endif
    return tile;
}

#if !STAYS
/* --- a block with one tile of queries --- */

/* The step's own: o and r become those of all keys, at least one tile. */
DEVICE void attend(const fmha_gpu_params *p, const task *t, unsigned base,
                   ring *k, ring *v, int consumer, rows *r,
                   float o[HEAD_DIM / 2]);

DEVICE void consume_one(const fmha_gpu_params *p, const task *t, unsigned base,
                        int consumer) {
    ring k = {0, 0}, v = {0, 0};
    rows r = {{MINUS_INFINITY, MINUS_INFINITY}, {0, 0}};
    float o[HEAD_DIM / 2];
#pragma unroll
    for (int j = 0; j < HEAD_DIM / 2; j++) o[j] = 0.0f;
    if (t->range.first == t->range.end) {
        finish(p, t, consumer, &r, o);
        store_rows(p, t, consumer, o);
        return;
    }
    if (TURNS && consumer == 0) named_arrive(8, 256);
    barrier_wait(Q_FULL(base, 0, consumer), 0);
    attend(p, t, base, &k, &v, consumer, &r, o);
    finish(p, t, consumer, &r, o);
    store_output(p, t, Q_AT(base, 0, consumer), consumer, o);
}

/* All of such a block. A single consumer has all registers it may have. */
DEVICE void one_tile(const fmha_gpu_params *p) {
    DYNAMIC_SHARED(memory, 1024);
    const unsigned base = smem_at(memory);
    if (threadIdx.x == 0) init_barriers(base);
    __syncthreads();
    if (threadIdx.x < 128) {
        ring q = {0, 0}, k = {0, 0}, v = {0, 0};
        task t;
        if (CONSUMERS > 1) registers_give(PRODUCER_REGISTERS);
        task_at(p, (int)blockIdx.x, &t);
        if (threadIdx.x == 0 && t.range.first < t.range.end)
            fetch_task(p, &t, base, &q, &k, &v);
    } else {
        task t;
        if (CONSUMERS > 1) registers_take(CONSUMER_REGISTERS);
        task_at(p, (int)blockIdx.x, &t);
        consume_one(p, &t, base, (int)threadIdx.x / 128 - 1);
    }
}
#endif

#endif
