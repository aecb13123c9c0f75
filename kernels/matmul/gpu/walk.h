/* What a block computes, one piece of work after the other; the same text for C
 * and CUDA.
 *
 * Blocks (or clusters of them) are started once and stay. Number `at` of `of`
 * takes the whole tiles at, at + of, at + 2 of, ... Where the tiles do not
 * divide by `of`, the last round leaves some without work. With `stream` the
 * last round, and the full one before it, are shared out by steps of k instead:
 * the steps of their tiles, one tile after the other, are cut into equal runs,
 * one for each block (for fewer, where runs would be too short). A run holds
 * the end of a tile, whole tiles, and the beginning of one; or, where it is
 * shorter than a tile, part of one:
 *
 *     tiles    |   t   |  t+1  |  t+2  |
 *     runs     |     0     |     1     |
 *
 * Run 0 has t and the beginning of t+1, run 1 the end of t+1, and t+2. A
 * beginning is done first and left for the one who has the end, the end last:
 * nobody waits for what is not yet begun, and mostly for nothing.
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

/* tiles, steps >= 1; 2 of steps < 2^31. */
MATMUL_BOTH matmul_walk matmul_walk_begin(int at, int of, int tiles, int steps,
                                          int stream) {
    const int rounds = tiles / of;
    const bool share = stream && tiles % of != 0;
    const int whole = share ? (rounds > 1 ? rounds - 1 : 0) * of : tiles;
    const int left = tiles - whole, most = left * steps / MATMUL_RUN_STEPS;
    matmul_walk w = {at, of, tiles, whole, steps, most < of ? most : of, 0, 0};
    if (left <= of && w.runs < left) w.runs = left;
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

/* How many runs before number `at` have steps of the tile whose end it has,
 * when it does those from work->first on. */
MATMUL_BOTH int matmul_runs_before(const matmul_walk *w, int at,
                                   const matmul_work *work) {
    const int begin = (work->tile - w->whole) * w->steps;
    int count = 0;
    if (work->first == 0) return 0;
    while (matmul_run_begin(w, at - count) > begin) count++;
    return count;
}
//< walk

/* mma_sync's other way of sharing a tile: the first step along k of a slice;
 * the one of slice `split` is the end. All slices have tiles_k / split steps,
 * the first ones one more. */
MATMUL_BOTH int matmul_slice_begin(int slice, int tiles_k, int split) {
    int rest = tiles_k % split;
    return tiles_k / split * slice + (slice < rest ? slice : rest);
}

#endif
