/* LayerNorm and RMSNorm, row by row:
 *
 *   y = (x - mean) rstd gamma + beta,   rstd = 1 / sqrt(var + eps)
 *
 * and back, with h = (x - mean) rstd and g = dy gamma,
 *
 *   dx += rstd (g - mean(g) - h mean(g h)),   dgamma += dy h,   dbeta += dy
 *
 * where RMSNorm has mean = 0 and no mean(g) (Ba, Kiros and Hinton, 2016; Zhang
 * and Sennrich, 2019). A row of any width lies in the first-level cache for its
 * three passes, so memory sees each number once. The variance is taken about
 * the mean; that pass also sums the deviations, which would be zero but for the
 * rounding of the mean, and with them corrects mean and variance (Chan, Golub
 * and LeVeque, 1983): a constant row far from zero gives zeros. */
enum { NORM_CHAINS = 4 };

/* Sums of d and d^2, d = x - mean, over a row; d is 0 beyond its end. */
INLINE void norm_step(vec *sum, vec *squares, const float *x, vec mean,
                      size_t n) {
    vec d = v_load(x, n) - mean;
    if (n != LANES) d = v_where(i_first(n), d);
    *sum += d;
    *squares = v_fma(d, d, *squares);
}

INLINE void row_moments(const float *x, size_t width, vec mean, float *sum,
                        float *squares) {
    vec s[NORM_CHAINS] = {{0}}, q[NORM_CHAINS] = {{0}};
    size_t i = 0;
    for (; i + NORM_CHAINS * LANES <= width; i += NORM_CHAINS * LANES)
        UNROLL for (int c = 0; c < NORM_CHAINS; c++)
            norm_step(&s[c], &q[c], x + i + c * LANES, mean, LANES);
    for (; i + LANES <= width; i += LANES)
        norm_step(&s[0], &q[0], x + i, mean, LANES);
    if (i < width) norm_step(&s[1], &q[1], x + i, mean, width - i);
    *sum = v_total((s[0] + s[1]) + (s[2] + s[3]))[0];
    *squares = v_total((q[0] + q[1]) + (q[2] + q[3]))[0];
}

INLINE void norm_write(float *y, const float *x, const float *gamma,
                       const float *beta, vec mean, vec rstd, size_t n) {
    vec h = (v_load(x, n) - mean) * rstd;
    if (gamma) h *= v_load(gamma, n);
    if (beta) h += v_load(beta, n);
    v_store(y, h, n);
}

static void norm(bool rms, float *y, float *stat, const float *x,
                 const float *gamma, const float *beta, size_t rows,
                 size_t width, float eps) {
    for (size_t r = 0; r < rows; r++, x += width, y += width, stat += 2) {
        float sum = 0, squares, mean = 0, n = (float)width;
        if (!rms) {
            row_moments(x, width, (vec){0}, &sum, &squares);
            mean = sum / n;
        }
        row_moments(x, width, v_set1(mean), &sum, &squares);
        float off = rms ? 0 : sum / n, var = squares / n - off * off;
        stat[0] = mean + off;
        stat[1] = 1 / sqrtf((var > 0 ? var : var < 0 ? 0 : var) + eps);
        vec m = v_set1(stat[0]), s = v_set1(stat[1]);
        size_t i = 0;
        for (; i + LANES <= width; i += LANES)
            norm_write(y + i, x + i, gamma ? gamma + i : NULL,
                       beta ? beta + i : NULL, m, s, LANES);
        if (i < width)
            norm_write(y + i, x + i, gamma ? gamma + i : NULL,
                       beta ? beta + i : NULL, m, s, width - i);
    }
}

/* One row on its way back: what is at column i of it. */
typedef struct norm_row {
    const float *dy, *x, *gamma;
    float *dx, *part_gamma, *part_beta;
    vec mean, rstd;
} norm_row;

INLINE void norm_sums(const norm_row *a, size_t i, vec *sum_g, vec *sum_gh,
                      size_t n) {
    vec g = v_load(a->dy + i, n);
    if (a->gamma) g *= v_load(a->gamma + i, n);
    *sum_g += g; /* beyond the end dy is 0, and so is g h */
    *sum_gh = v_fma(g, (v_load(a->x + i, n) - a->mean) * a->rstd, *sum_gh);
}

INLINE void norm_gradient(const norm_row *a, size_t i, vec mean_g, vec mean_gh,
                          size_t n) {
    vec dy = v_load(a->dy + i, n),
        h = (v_load(a->x + i, n) - a->mean) * a->rstd;
    vec g = a->gamma ? dy * v_load(a->gamma + i, n) : dy;
    vec d = a->rstd * (g - v_fma(h, mean_gh, mean_g));
    v_store(a->dx + i, v_load(a->dx + i, n) + d, n);
    if (a->part_gamma) {
        float *to = a->part_gamma + i;
        v_store(to, v_fma(dy, h, v_load(to, n)), n);
    }
    if (a->part_beta) {
        float *to = a->part_beta + i;
        v_store(to, v_load(to, n) + dy, n);
    }
}

static void norm_backward(bool rms, float *dx, float *part_gamma,
                          float *part_beta, const float *dy, const float *x,
                          const float *stat, const float *gamma, size_t rows,
                          size_t width) {
    if (part_gamma) memset(part_gamma, 0, width * sizeof *part_gamma);
    if (part_beta) memset(part_beta, 0, width * sizeof *part_beta);
    for (size_t r = 0; r < rows; r++) {
        norm_row a = {dy + r * width,
                      x + r * width,
                      gamma,
                      dx + r * width,
                      part_gamma,
                      part_beta,
                      v_set1(stat[2 * r]),
                      v_set1(stat[2 * r + 1])};
        vec g[2] = {{0}}, gh[2] = {{0}};
        size_t i = 0;
        for (; i + 2 * LANES <= width; i += 2 * LANES) {
            norm_sums(&a, i, &g[0], &gh[0], LANES);
            norm_sums(&a, i + LANES, &g[1], &gh[1], LANES);
        }
        for (; i + LANES <= width; i += LANES)
            norm_sums(&a, i, &g[0], &gh[0], LANES);
        if (i < width) norm_sums(&a, i, &g[1], &gh[1], width - i);
        vec by = v_set1(1 / (float)width),
            mean_g = rms ? (vec){0} : v_total(g[0] + g[1]) * by,
            mean_gh = v_total(gh[0] + gh[1]) * by;
        for (i = 0; i + LANES <= width; i += LANES)
            norm_gradient(&a, i, mean_g, mean_gh, LANES);
        if (i < width) norm_gradient(&a, i, mean_g, mean_gh, width - i);
    }
}
