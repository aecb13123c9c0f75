/* Cross-entropy with label smoothing s, over one row x of V logits, target t:
 *
 *   L = log sum_j e^(x_j - m) - (1 - s) (x_t - m) - s / V sum_j (x_j - m)
 *   dL/dx_j = e^(x_j - m) / sum - s / V - (1 - s) [j = t],   m = max_j x_j
 *
 * All terms are differences from the maximum, so logits of any size are as good
 * as small ones. Three passes over a row: the maximum, the exponentials and
 * their sum, the gradient; the second leaves the exponentials where the
 * gradient is to stand. Sums run in floats over PIECE numbers and in double
 * over the pieces, so that 50,257 tokens cost no more precision than 65. */
enum { PIECE = 1024 };

static float row_max(const float *x, size_t n) {
    vec m[4] = {v_set1(-INFINITY), v_set1(-INFINITY), v_set1(-INFINITY),
                v_set1(-INFINITY)};
    float most = -INFINITY;
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        UNROLL for (int c = 0; c < 4; c++) m[c] =
            v_max(m[c], v_load(x + i + c * LANES, LANES));
    for (; i + LANES <= n; i += LANES) m[0] = v_max(m[0], v_load(x + i, LANES));
    for (; i < n; i++) most = most > x[i] ? most : x[i];
    m[0] = v_max(v_max(m[0], m[1]), v_max(m[2], m[3]));
    float all = v_greatest(m[0])[0];
    return most > all ? most : all;
}

/* e^(x - most), to `to` unless NULL, its sum, and the sum of x - most. */
INLINE void exp_step(float *to, const float *x, vec most, vec *sum, vec *below,
                     size_t n) {
    vec d = v_load(x, n) - most, e = v_exp(d);
    if (n != LANES) d = v_where(i_first(n), d), e = v_where(i_first(n), e);
    *sum += e;
    *below += d;
    if (to) v_store(to, e, n);
}

INLINE double exp_row(float *to, const float *x, size_t n, float most,
                      double *below) {
    double total = 0;
    *below = 0;
    for (size_t at = 0; at < n; at += PIECE) {
        size_t end = n - at < PIECE ? n : at + PIECE, i = at;
        vec sum[2] = {{0}}, under[2] = {{0}}, m = v_set1(most);
        for (; i + 2 * LANES <= end; i += 2 * LANES)
            UNROLL for (int c = 0; c < 2; c++)
                exp_step(to ? to + i + c * LANES : NULL, x + i + c * LANES, m,
                         &sum[c], &under[c], LANES);
        for (; i < end; i += LANES)
            exp_step(to ? to + i : NULL, x + i, m, &sum[0], &under[0],
                     end - i < LANES ? end - i : LANES);
        total += (double)v_total(sum[0] + sum[1])[0];
        *below += (double)v_total(under[0] + under[1])[0];
    }
    return total;
}

static void cross_entropy(float *losses, float *dlogits, const float *logits,
                          const int32_t *targets, size_t rows,
                          const layers_loss *loss) {
    const size_t vocab = loss->vocab;
    const double s = (double)loss->smoothing, each = s / (double)vocab,
                 weight = (double)loss->weight;
    for (size_t r = 0; r < rows; r++) {
        const float *x = logits + r * vocab;
        float *d = dlogits ? dlogits + r * vocab : NULL;
        if (targets[r] < 0) {
            losses[r] = 0;
            if (d) memset(d, 0, vocab * sizeof *d);
            continue;
        }
        const size_t target = (size_t)targets[r];
        float most = row_max(x, vocab);
        double at = (double)x[target] - (double)most, below,
               total = d ? exp_row(d, x, vocab, most, &below)
                         : exp_row(NULL, x, vocab, most, &below);
        losses[r] = (float)(log(total) - (1 - s) * at - each * below);
        if (!d) continue;
        double p = (double)d[target] / total;
        vec by = v_set1((float)(weight / total)),
            less = v_set1((float)(-weight * each));
        size_t i = 0;
        for (; i + LANES <= vocab; i += LANES)
            v_store(d + i, v_fma(v_load(d + i, LANES), by, less), LANES);
        if (i < vocab)
            v_store(d + i, v_fma(v_load(d + i, vocab - i), by, less),
                    vocab - i);
        d[target] = (float)(weight * (p - each - (1 - s)));
    }
}

/* The first place of the largest logit: the maximum, then where it is. */
static void argmax(int32_t *best, float *confidence, const float *logits,
                   size_t rows, size_t vocab) {
    for (size_t r = 0; r < rows; r++, logits += vocab) {
        float most = row_max(logits, vocab);
        size_t i = 0;
        while (i + 1 < vocab && logits[i] != most) i++;
        best[r] = (int32_t)i;
        double below;
        if (confidence)
            confidence[r] =
                (float)(1 / exp_row(NULL, logits, vocab, most, &below));
    }
}
