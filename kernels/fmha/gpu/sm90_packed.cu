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
 * KEPT: the search for a row's largest score, and what waits for it, is half of
 * a softmax's instructions. But any number near it serves, and floats do not
 * care how near: a row takes its maximum from its first tile of keys and keeps
 * it, until the sum of a tile's weights, which is needed anyway, says that one
 * grew too large. Then the warpgroup computes that tile's scores again and
 * takes its maximum; so keys stay until the sums of their weights are known.
 *
 * Floor: 4 D operations of the matrix units for each pair that is seen, and an
 * exponential: the units for these do 16 a clock on a multiprocessor. */
#define STAYS 1
#include "fmha/gpu/ring_sm90.cuh"

/* The producer takes the next tile of queries while it asks for this one's
 * keys, so that blocks which get ahead do more; it tells the consumers through
 * two places in shared memory. All counts taken are 0 ... count - 1, count of
 * them in all: whoever takes the last one sets the counter back. */
DEVICE void tell_task(unsigned base, ring *r, const task *t) {
    const unsigned full = TASK_FULL(base, r->stage);
    barrier_wait(EMPTY(full), r->parity ^ 1);
#pragma unroll
    for (int i = 0; i < TASK_WORDS; i += 4)
        store_shared_words(TASK_AT(base, r->stage) + i * 4, (const int *)t + i);
    barrier_arrive(full);
    ring_next(r, 2);
}

DEVICE void read_task(unsigned base, const ring *r, task *t) {
#pragma unroll
    for (int i = 0; i < TASK_WORDS; i += 4)
        load_shared_words(TASK_AT(base, r->stage) + i * 4, (int *)t + i);
}

DEVICE void hear_task(unsigned base, const ring *r, task *t) {
    barrier_wait(TASK_FULL(base, r->stage), r->parity);
    read_task(base, r, t);
}

DEVICE void forget_task(unsigned base, ring *r) {
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(EMPTY(TASK_FULL(base, r->stage)));
    ring_next(r, 2);
}

//> tasks
/* The next tile's first keys are asked for before this one's last values, whose
 * place is the last to become free. (Its queries are not: theirs may be this
 * tile's.) batch < 0: there are no more. */
DEVICE void produce(const fmha_gpu_params *p, unsigned base) {
    ring q = {0, 0}, k = {0, 0}, v = {0, 0}, told = {0, 0};
    const int count = num_tasks(p);
    task now;
    task_at(p, (int)blockIdx.x, &now);
    tell_task(base, &told, &now);
    if (has_keys(&now)) fetch_k(p, &now, base, &k, now.range.end - 1);
    while (now.batch >= 0) {
        const int taken = atomicAdd((int *)p->turn, 1);
        const task t = now;
        if (has_keys(&t)) fetch_all_queries(p, &t, base, &q);
#pragma unroll 1
        for (int tile = t.range.end - 1; tile > t.range.first; tile--) {
            fetch_k(p, &t, base, &k, tile - 1);
            fetch_v(p, &t, base, &v, tile);
        }
        if (taken == count - 1) *(volatile int *)p->turn = 0;
        if ((int)gridDim.x + taken < count)
            task_at(p, (int)gridDim.x + taken, &now);
        else
            now.batch = -1;
        tell_task(base, &told, &now);
        if (now.batch >= 0 && has_keys(&now))
            fetch_k(p, &now, base, &k, now.range.end - 1);
        if (has_keys(&t)) fetch_v(p, &t, base, &v, t.range.first);
    }
}
//< tasks

/* The queries' shared memory, from which the last output has left meanwhile. */
DEVICE void give_back(unsigned *stored) {
    if (*stored && threadIdx.x % 128 == 0) {
        tma_store_wait_read(0);
        barrier_arrive(EMPTY(*stored));
    }
    *stored = 0;
}

/* What a consumer has between two tiles of keys. */
typedef struct state {
    unsigned q, visit; /* visits are counted from the kernel's start */
    ring k, v;
    rows r;
    float o[HEAD_DIM / 2];
    unsigned probs[TILE_N / 4]; /* of the last tile, not yet multiplied */
    float sum[2];               /* their sums, not yet those of the rows */
} state;

/* A guess that was wrong is for the whole warpgroup to know, since it
 * multiplies as one: who finds it writes the visit's number, and all read it
 * behind the next barrier that they meet anyway. Of two places in turn, since a
 * warp may be a visit ahead of another. */
DEVICE void say_wrong(unsigned base, int consumer, unsigned visit) {
    asm volatile(
        "st.shared.u32 [%0], %1;" ::"r"(WRONG_AT(base, consumer, visit % 2)),
        "r"(visit)
        : "memory");
}
DEVICE bool was_wrong(unsigned base, int consumer, unsigned visit) {
    unsigned said;
    asm volatile("ld.shared.u32 %0, [%1];"
                 : "=r"(said)
                 : "r"(WRONG_AT(base, consumer, visit % 2))
                 : "memory");
    return said == visit;
}

/* The stage of the last keys, which stay until their guess is known. */
DEVICE unsigned held(const state *x) {
    return (x->k.stage ? x->k.stage : K_STAGES) - 1;
}

/* Tile `tile`, the last one, once more, by its own maximum. */
DEVICE void do_again(const fmha_gpu_params *p, const task *t, unsigned base,
                     int consumer, int tile, state *x, float s[TILE_N / 2]) {
    float fade[2];
    start_scores(s, x->q, K_AT(base, held(x)));
    wgmma_wait(0);
    settle(s, TILE_N / 2);
    if (needs_mask(t, tile)) mask(p, t, consumer, tile, s);
    if (softmax(p, &x->r, s, fade)) fade_output(x->o, fade);
    pack_probs(s, x->probs);
}

//> visit
/* Starts the scores of a tile of keys, and behind them the values of the one
 * before; ends with the scores. */
DEVICE void start_visit(const fmha_gpu_params *p, const task *t, unsigned base,
                        int consumer, int tile, state *x, float s[TILE_N / 2]) {
    barrier_wait(K_FULL(base, x->k.stage), x->k.parity);
    my_turn(consumer);
    start_scores(s, x->q, K_AT(base, x->k.stage));
    if (KEPT && was_wrong(base, consumer, x->visit)) {
        wgmma_wait(0);
        do_again(p, t, base, consumer, tile + 1, x, s);
        start_scores(s, x->q, K_AT(base, x->k.stage));
    } else if (KEPT) {
        for (int h = 0; h < 2; h++) x->r.sum[h] += x->sum[h];
    }
    if (KEPT) release(K_FULL(base, held(x)));
    barrier_wait(V_FULL(base, x->v.stage), x->v.parity);
    start_values(x->o, x->probs, V_AT(base, x->v.stage));
    next_turn(consumer);
    wgmma_wait(1);
    settle(s, TILE_N / 2);
    if (KEPT)
        ring_next(&x->k, K_STAGES);
    else
        drop_k(base, &x->k);
}

DEVICE void visit(const fmha_gpu_params *p, const task *t, unsigned base,
                  int consumer, int tile, bool masks, state *x) {
    float s[TILE_N / 2], fade[2];
    bool moved = false;
    start_visit(p, t, base, consumer, tile, x, s);
    if (masks && needs_mask(t, tile)) mask(p, t, consumer, tile, s);
    if (!KEPT)
        moved = softmax(p, &x->r, s, fade);
    else if (guess(p, &x->r, s, x->sum))
        say_wrong(base, consumer, x->visit + 1);
    x->visit++;
    wgmma_wait(0);
    settle(x->o, HEAD_DIM / 2);
    drop_v(base, &x->v);
    pack_probs(s, x->probs);
    if (moved) fade_output(x->o, fade);
}
//< visit

/* The first tile of keys, whose maximum is taken. */
DEVICE void first_visit(const fmha_gpu_params *p, const task *t, unsigned base,
                        int consumer, int tile, state *x) {
    float s[TILE_N / 2], fade[2];
    barrier_wait(K_FULL(base, x->k.stage), x->k.parity);
    start_scores(s, x->q, K_AT(base, x->k.stage));
    wgmma_wait(0);
    settle(s, TILE_N / 2);
    if (KEPT)
        ring_next(&x->k, K_STAGES);
    else
        drop_k(base, &x->k);
    if (needs_mask(t, tile)) mask(p, t, consumer, tile, s);
    softmax(p, &x->r, s, fade);
    pack_probs(s, x->probs);
    x->sum[0] = x->sum[1] = 0.0f;
    x->visit++;
}

/* Behind the last tile of keys. */
DEVICE void last_values(const fmha_gpu_params *p, const task *t, unsigned base,
                        int consumer, int tile, state *x) {
    float s[TILE_N / 2];
    if (KEPT) {
        named_barrier(1 + consumer, 128);
        if (was_wrong(base, consumer, x->visit)) {
            do_again(p, t, base, consumer, tile, x, s);
        } else {
            for (int h = 0; h < 2; h++) x->r.sum[h] += x->sum[h];
        }
        release(K_FULL(base, held(x)));
    }
    barrier_wait(V_FULL(base, x->v.stage), x->v.parity);
    start_values(x->o, x->probs, V_AT(base, x->v.stage));
    wgmma_wait(0);
    settle(x->o, HEAD_DIM / 2);
    drop_v(base, &x->v);
}

//> attend
/* All keys of a tile of queries: those that end a row, whole tiles, those that
 * begin a window. */
DEVICE void attend(const fmha_gpu_params *p, const task *t, unsigned base,
                   int consumer, state *x, unsigned *stored) {
    const int masked = KEPT ? t->range.whole_end : t->range.first;
    int tile = skip_hidden(t, base, &x->k, &x->v, consumer);
    if (tile < t->range.first) return;
    first_visit(p, t, base, consumer, tile, x);
    give_back(stored);
    while (--tile >= masked) visit(p, t, base, consumer, tile, true, x);
    for (; KEPT && tile >= t->range.whole; tile--)
        visit(p, t, base, consumer, tile, false, x);
    for (; KEPT && WINDOW && tile >= t->range.first; tile--)
        visit(p, t, base, consumer, tile, true, x);
    last_values(p, t, base, consumer, t->range.first, x);
}
//< attend

/* A consumer's part of a tile of queries. What is needed of t at the end is
 * read anew, for in between all registers are taken. stored: the barrier of the
 * queries whose rows, now the output's, are on their way; 0: none. */
DEVICE void do_task(const fmha_gpu_params *p, task *t, unsigned base,
                    int consumer, ring *q, const ring *told, state *x,
                    unsigned *stored) {
    const unsigned full = Q_FULL(base, q->stage, consumer);
    const rows none = {{MINUS_INFINITY, MINUS_INFINITY}, {0, 0}};
    x->q = Q_AT(base, q->stage, consumer);
    x->r = none;
#pragma unroll
    for (int j = 0; j < HEAD_DIM / 2; j++) x->o[j] = 0.0f;
    if (!has_keys(t)) {
        finish(p, t, consumer, &x->r, x->o);
        store_rows(p, t, consumer, x->o);
        return;
    }
    barrier_wait(full, q->parity);
    attend(p, t, base, consumer, x, stored);
    read_task(base, told, t);
    finish(p, t, consumer, &x->r, x->o);
    give_back(stored);
    if (VARLEN && t->query + TILE_M / PACK > t->queries) {
        store_rows(p, t, consumer, x->o);
        named_barrier(1 + consumer, 128);
        release(full);
    } else {
        store_tile(p, t, x->q, consumer, x->o);
        *stored = full;
        if (Q_STAGES == 1) give_back(stored);
    }
    ring_next(q, Q_STAGES);
}

DEVICE void consume(const fmha_gpu_params *p, unsigned base, int consumer) {
    ring q = {0, 0}, told = {0, 0};
    unsigned stored = 0;
    state x;
    task t;
    x.k = x.v = q;
    x.visit = 0;
    if (TURNS && consumer == 0) named_arrive(8, 256);
    for (hear_task(base, &told, &t); t.batch >= 0; hear_task(base, &told, &t)) {
        do_task(p, &t, base, consumer, &q, &told, &x, &stored);
        forget_task(base, &told);
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
        for (int c = 0; c < 2 * CONSUMERS; c++)
            asm volatile("st.shared.u32 [%0], %1;" ::"r"(WRONG_AT(base, 0, c)),
                         "r"(0)
                         : "memory");
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
