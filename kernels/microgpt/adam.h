/* Adam over all parameters in one pass, then the transposed copies. */

//> adam
/*   m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
 *   p -= rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
 *
 * Both corrections for the zeros that m and v began with are the same for all
 * parameters: they are taken out of the loop, which is left with one root and
 * one division, and those are what it costs. */
static void adam(void *state_, double rate, int step) {
    state *s = state_;
    double unbias_m = 1 - pow(MICROGPT_BETA1, step + 1),
           unbias_v = 1 - pow(MICROGPT_BETA2, step + 1);
    if (s->fault == MICROGPT_ADAM_WITHOUT_BIAS_CORRECTION)
        unbias_m = unbias_v = 1;
    const vec keep_m = v_set1((REAL)MICROGPT_BETA1),
              keep_v = v_set1((REAL)MICROGPT_BETA2),
              take_m = v_set1((REAL)(1 - MICROGPT_BETA1)),
              take_v = v_set1((REAL)(1 - MICROGPT_BETA2)),
              unbias = v_set1((REAL)(1 / unbias_v)),
              stride = v_set1((REAL)(rate / unbias_m)),
              eps = v_set1((REAL)MICROGPT_ADAM_EPS);
    for (size_t i = 0; i < MICROGPT_PARAMS; i += LANES) {
        vec g = v_load(s->grad + i);
        vec m = v_fma(keep_m, v_load(s->mean + i), take_m * g);
        vec v = v_fma(keep_v, v_load(s->square + i), take_v * (g * g));
        v_store(s->mean + i, m);
        v_store(s->square + i, v);
        vec by = stride * m / (v_sqrt(v * unbias) + eps);
        v_store(s->params + i, v_load(s->params + i) - by);
    }
    renew_copies(s);
}
//< adam
