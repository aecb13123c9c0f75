/* Step: scores run ahead. As sm90_ping_pong.cu, but a turn starts the scores of
 * the next tile of keys before the values of this one, and waits for the scores
 * only: a consumer's softmax runs under products of its own, too.
 *
 *     matrix units   Q K1 | Q K2  P1 V1 | Q K3  P2 V2 | ...
 *     the others            softmax 1     softmax 2     softmax 3
 *
 * P's shared memory is read by the values under way, so that the next P is put
 * there, from the registers of its scores, when these are done.
 *
 * Floor: 4 D operations of the matrix units for each pair that is seen, and an
 * exponential: the units for these do 16 a clock on a multiprocessor. */
#define P_SHARED 1
#include "fmha/gpu/ring_sm90.cuh"

/* A turn: scores of the next tile, then values of this one. */
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
    //> ahead
    while (--tile >= t->range.first) {
        barrier_wait(K_FULL(base, k->stage), k->parity);
        my_turn(consumer);
        start_scores(s, q, K_AT(base, k->stage));
        barrier_wait(V_FULL(base, v->stage), v->parity);
        start_values_of(o, probs, V_AT(base, v->stage));
        next_turn(consumer);
        wgmma_wait(1);
        settle(s, TILE_N / 2);
        drop_k(base, k);
        if (needs_mask(t, tile)) mask(p, t, consumer, tile, s);
        const bool moved = softmax(p, r, s, fade);
        wgmma_wait(0);
        settle(o, HEAD_DIM / 2);
        drop_v(base, v);
        put_probs(s, probs, consumer);
        if (moved) fade_output(o, fade);
    }
    //< ahead
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
