/* Step: warps that specialise. As sm90_tma.cu, but one thread of a warpgroup of
 * its own does nothing but fetch, and rings of stages with two barriers each
 * (ring_sm90.cuh) lie between it and the consumers. It runs ahead as far as
 * there are free stages, and the consumers no longer meet: each goes through
 * the keys at its own pace, and gives a stage back as soon as it has read it.
 * The producer's registers go to the consumers.
 *
 *     producer        K1 | K2 | V1 | K3 | V2 | ...
 *     consumer 0           Q K1 softmax P1 V1 | Q K2 softmax P2 V2 | ...
 *     consumer 1             Q K1 softmax P1 V1 | Q K2 softmax ...
 *
 * Floor: 4 D operations of the matrix units for each pair that is seen, and an
 * exponential: the units for these do 16 a clock on a multiprocessor. */
#define P_SHARED 1
#define TURNS    0
#include "fmha/gpu/ring_sm90.cuh"

/* Scores and values one after the other. */
DEVICE void attend(const fmha_gpu_params *p, const task *t, unsigned base,
                   ring *k, ring *v, int consumer, rows *r,
                   float o[HEAD_DIM / 2]) {
    const unsigned q = Q_AT(base, 0, consumer);
    float s[TILE_N / 2], fade[2];
    const unsigned probs = P_AT(base, consumer);
    int tile = skip_hidden(t, base, k, v, consumer);
    //> specialised
    for (; tile >= t->range.first; tile--) {
        barrier_wait(K_FULL(base, k->stage), k->parity);
        start_scores(s, q, K_AT(base, k->stage));
        wgmma_wait(0);
        settle(s, TILE_N / 2);
        drop_k(base, k);
        if (needs_mask(t, tile)) mask(p, t, consumer, tile, s);
        if (softmax(p, r, s, fade)) fade_output(o, fade);
        put_probs(s, probs, consumer);
        barrier_wait(V_FULL(base, v->stage), v->parity);
        start_values_of(o, probs, V_AT(base, v->stage));
        wgmma_wait(0);
        settle(o, HEAD_DIM / 2);
        drop_v(base, v);
    }
    //< specialised
}

KERNEL void __launch_bounds__(128 * (CONSUMERS + 1), 1)
    fmha(const __grid_constant__ fmha_gpu_params p) {
    one_tile(&p);
}
