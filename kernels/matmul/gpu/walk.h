/* What a block computes, one piece of work after the other; the same text for C
 * and CUDA.
 *
 * Blocks (or clusters of them) are started once and stay. Number `at` of `of`
 * takes the whole tiles at, at + of, at + 2 of, ... Where the tiles do not
 * divide by `of`, the last round leaves some without work. With `stream` that
 * round is shared out by steps of k instead: the steps of its tiles, one tile
 * after the other, are cut into equal runs, one for each of the first so many
 * blocks. A run is no longer than a tile, so it holds the end of one, or the
 * beginning of one, or both, or part of one:
 *
 *     tiles    |      t      |     t+1     |
 *     runs     |    0   |    1   |   2     |
 *
 * Here 0 has the beginning of t, 1 its end and the beginning of t+1. A
 * beginning is done first and left for the one who has the end, the end last:
 * nobody waits for what is not yet begun.
 *
 * Sums are added in an order that depends on the shape and `of` alone. */
#ifndef SPAK_MATMUL_GPU_WALK_H
#define SPAK_MATMUL_GPU_WALK_H

#include "matmul/gpu/order.h"

#ifndef __CUDACC__
#include <stdbool.h>
#endif

typedef struct matmul_walk {
    int at, of;
    int tiles, whole; /* tiles below number `whole` are done whole */
    int steps, runs;  /* of a tile; that share out the rest */
    int lo, hi;       /* what is left of the run, in steps from tile `whole` */
} matmul_walk;

typedef struct matmul_work {
    int tile;
    int first, end; /* steps of k; end < steps: a beginning or a middle */
} matmul_work;

//> walk
enum { MATMUL_RUN_STEPS = 4 }; /* a shorter run costs more than it brings */

/* Where run number `at` begins. */
MATMUL_BOTH int matmul_run_begin(const matmul_walk *w, int at) {
    const int rest = (w->tiles - w->whole) * w->steps;
    return at < w->runs ? (int)((long long)at * rest / w->runs) : rest;
}

/* tiles, steps >= 1; of * steps < 2^31. */
MATMUL_BOTH matmul_walk matmul_walk_begin(int at, int of, int tiles, int steps,
                                          int stream) {
    matmul_walk w = {at, of, tiles, stream ? tiles / of * of : tiles, steps,
                     1,  0,  0};
    const int left = tiles - w.whole;
    const int most = left * steps / MATMUL_RUN_STEPS;
    w.runs = most < of ? most : of;
    if (w.runs < left) w.runs = left;
    if (w.runs < 1) w.runs = 1;
    w.lo = matmul_run_begin(&w, at);
    w.hi = matmul_run_begin(&w, at + 1);
    return w;
}

/* The next piece of work; false when there is none. */
MATMUL_BOTH bool matmul_walk_next(matmul_walk *w, matmul_work *work) {
    if (w->at < w->whole) {
        work->tile = w->at;
        work->first = 0;
        work->end = w->steps;
        w->at += w->of;
        return true;
    }
    if (w->lo >= w->hi) return false;
    const int tile = (w->hi - 1) / w->steps, begin = tile * w->steps;
    const int first = w->lo > begin ? w->lo : begin;
    work->tile = w->whole + tile;
    work->first = first - begin;
    work->end = w->hi - begin;
    w->hi = first;
    return true;
}

/* How many runs before number `at` have steps of the tile whose end it has, when
 * it does those from work->first on. */
MATMUL_BOTH int matmul_runs_before(const matmul_walk *w, int at,
                                   const matmul_work *work) {
    const int begin = (work->tile - w->whole) * w->steps;
    int count = 0;
    if (work->first == 0) return 0;
    while (matmul_run_begin(w, at - count) > begin) count++;
    return count;
}
//< walk

#endif
