/* Step: P stays in registers. As sm90_ahead.cu, but P does not go through
 * shared memory: what a thread has of S is, rounded to 16 bits in pairs, what
 * wgmma wants of it as the first operand of the next product
 * (ptx/attention.cuh). Saved: the stores, a fence and a meeting of four warps a
 * tile of keys, what the matrix units would read of P, and P's shared memory.
 * Paid: TILE_N / 4 registers, since P is read while the next scores arrive.
 *
 * Floor: 4 D operations of the matrix units for each pair that is seen, and an
 * exponential: the units for these do 16 a clock on a multiprocessor. */
#include "fmha/gpu/ring_sm90.cuh"

/* As in sm90_ahead.cu: scores of the next tile, then values of this one. */
DEVICE void attend(const fmha_gpu_params *p, const task *t, unsigned base,
                   ring *k, ring *v, int consumer, rows *r,
                   float o[HEAD_DIM / 2]) {
    const unsigned q = Q_AT(base, 0, consumer);
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
    //> registers
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
    //< registers
    barrier_wait(V_FULL(base, v->stage), v->parity);
    start_values(o, probs, V_AT(base, v->stage));
    wgmma_wait(0);
    settle(o, HEAD_DIM / 2);
    drop_v(base, v);
}

KERNEL void __launch_bounds__(128 * (CONSUMERS + 1), 1)
    fmha(const __grid_constant__ fmha_gpu_params p) {
    one_tile(&p);
}
