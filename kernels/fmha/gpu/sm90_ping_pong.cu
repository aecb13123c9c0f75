/* Step: taking turns. As sm90_specialised.cu, but the consumers start their
 * products in turns: the values of one tile of keys and the scores of the next
 * belong together, and while one consumer's are at the matrix units the others
 * are at their softmax.
 *
 *     consumer 0     P1 V1  Q K2 | softmax 2    | P2 V2  Q K3 | softmax 3 ...
 *     consumer 1     softmax 1   | P1 V1  Q K2  | softmax 2   | P2 V2  Q K3
 *
 * Every consumer takes as many turns, tiles that it skips included: that the
 * order never breaks is what barriers with named arrivals rest on.
 *
 * Floor: 4 D operations of the matrix units for each pair that is seen, and an
 * exponential: the units for these do 16 a clock on a multiprocessor. */
#define P_SHARED 1
#include "fmha/gpu/ring_sm90.cuh"

/* A turn: values, then scores. */
DEVICE void attend(const fmha_gpu_params *p, const task *t, unsigned base,
                   ring *k, ring *v, int consumer, rows *r,
                   float o[HEAD_DIM / 2]) {
    const unsigned q = Q_AT(base, 0, consumer);
    float s[TILE_N / 2], fade[2];
    const unsigned probs = P_AT(base, consumer);
    int tile = skip_hidden(t, base, k, v, consumer);
    if (tile < t->range.first) return;
    barrier_wait(K_FULL(base, k->stage), k->parity);
    start_scores(s, q, K_AT(base, k->stage));
    wgmma_wait(0);
    settle(s, TILE_N / 2);
    drop_k(base, k);
    if (needs_mask(t, tile)) mask(p, t, consumer, tile, s);
    softmax(p, r, s, fade);
    put_probs(s, probs, consumer);
    //> ping_pong
    while (--tile >= t->range.first) {
        barrier_wait(V_FULL(base, v->stage), v->parity);
        my_turn(consumer);
        start_values_of(o, probs, V_AT(base, v->stage));
        barrier_wait(K_FULL(base, k->stage), k->parity);
        start_scores(s, q, K_AT(base, k->stage));
        next_turn(consumer);
        wgmma_wait(0);
        settle(o, HEAD_DIM / 2);
        settle(s, TILE_N / 2);
        drop_v(base, v);
        drop_k(base, k);
        if (needs_mask(t, tile)) mask(p, t, consumer, tile, s);
        if (softmax(p, r, s, fade)) fade_output(o, fade);
        put_probs(s, probs, consumer);
    }
    //< ping_pong
    barrier_wait(V_FULL(base, v->stage), v->parity);
    start_values_of(o, probs, V_AT(base, v->stage));
    wgmma_wait(0);
    settle(o, HEAD_DIM / 2);
    drop_v(base, v);
}

KERNEL void __launch_bounds__(128 * (CONSUMERS + 1), 1)
    fmha(const __grid_constant__ fmha_gpu_params p) {
    one_tile(&p);
}
