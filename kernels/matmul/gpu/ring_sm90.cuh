/* The ring of stages between a producer and the consumers: who waits for what.
 *
 * A stage is filled by the producer once all consumers have released it, and
 * read by the consumers once its bytes have landed. Two barriers a stage,
 * `full` and `empty`; a ring counts stages and, by its parity, rounds. In the
 * first round the producer waits for the end of a phase before the first, which
 * is over: it finds all stages free. */
#ifndef SPAK_MATMUL_RING_SM90_CUH
#define SPAK_MATMUL_RING_SM90_CUH

#include "matmul/gpu/tile_sm90.cuh"

#ifndef STAGGER
#define STAGGER 0
#endif

//> ring
typedef struct ring {
    unsigned stage, parity;
} ring;

DEVICE void ring_next(ring *r) {
    if (++r->stage == STAGES) {
        r->stage = 0;
        r->parity ^= 1;
    }
}

/* One thread of the block. A stage is released by each consumer of each block
 * that sends into it, which are those of its row and of its column. */
DEVICE void ring_init(unsigned base) {
    for (int s = 0; s < STAGES; s++) {
        barrier_init(FULL(base, s), 1);
        barrier_init(EMPTY(base, s), CONSUMERS * (CLUSTER_M + CLUSTER_N - 1));
    }
    barrier_init_visible();
}

/* The producer, one thread: a piece of work, whose tile is at (row, col). */
DEVICE void produce(const matmul_params *p, const place *at, unsigned base,
                    ring *r, const matmul_work *work, int row, int col) {
    for (int step = work->first; step < work->end; step++) {
        barrier_wait(EMPTY(base, r->stage), r->parity ^ 1);
        fetch(p, at, base, r->stage, row, col, step * TILE_K);
        ring_next(r);
    }
}

/* The producer, at the end: until all that will arrive here has arrived. Then
 * this block may leave, though others of its cluster are still at work. */
DEVICE void wait_for_releases(unsigned base, ring *r) {
    for (int s = 0; s < STAGES; s++) {
        barrier_wait(EMPTY(base, r->stage), r->parity ^ 1);
        ring_next(r);
    }
}

/* One thread a consumer and block that sends here. */
DEVICE void release(const place *at, unsigned base, unsigned stage) {
    const int t = threadIdx.x % 128;
#if CLUSTER_M * CLUSTER_N == 1
    (void)at;
    if (t == 0) barrier_arrive(EMPTY(base, stage));
#else
    const int other = t - CLUSTER_N; /* of the column, but this one */
    if (t < CLUSTER_N)
        barrier_arrive_at(EMPTY(base, stage), at->row + t * CLUSTER_M);
    else if (other < CLUSTER_M && other != at->row)
        barrier_arrive_at(EMPTY(base, stage), other + at->col * CLUSTER_M);
#endif
}
//< ring

//> consume
/* A consumer: the sums of a piece of work. A step's products start before the
 * last step's are done, so that the matrix units never run dry; then the last
 * step's stage is released. */
DEVICE void consume(const place *at, unsigned base, ring *r,
                    const matmul_work *work, int consumer, bool first_work,
                    float acc[BLOCKS_M][TILE_N / 2]) {
    unsigned last = 0;
    /* The step after which the second consumer may begin its first work. */
    const int lead = work->first + (work->end - work->first > 1 ? 1 : 0);
    if (STAGGER && first_work && consumer == 1) named_barrier(6, 256);
    for (int step = work->first; step < work->end; step++) {
        barrier_wait(FULL(base, r->stage), r->parity);
        multiply(acc, base, r->stage, consumer, step > work->first);
        wgmma_wait(1);
        if (STAGGER && first_work && consumer == 0 && step == lead)
            named_arrive(6, 256);
        if (step > work->first) release(at, base, last);
        last = r->stage;
        ring_next(r);
    }
    wgmma_wait(0);
    settle(acc);
    release(at, base, last);
}
//< consume

#endif
