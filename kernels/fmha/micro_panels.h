/* The micro-kernels of fused attention, as a template: included once by each of
 * micro_portable.c, micro_avx2.c and micro_avx512.c, which define the vector
 * type and its operations
 *
 *   vec, VLEN, v_zero(), v_loadu(p), v_storeu(p, v), v_set1(x), v_fma(a, b, c),
 *   v_add, v_sub, v_mul, v_max(a, b) (b when a is NaN),
 *   v_scale_by_power(p, t): p 2^n, where t = n + EXP2_MAGIC,
 *   v_keep_from(x, limit, v): v where not x < limit, else 0
 *
 * and MR (rows of a register tile, a literal number). Two vectors make the
 * lanes: MR * 2 accumulators, two vectors and one broadcast fit the register
 * file. */
#include <float.h>
#include <math.h>

enum { NV = 2, LANES = NV * VLEN };

#define EXP2_MAGIC 0x1.8p23f
#define EXP2_C1    0x1.62e42ap-1f
#define EXP2_C2    0x1.ebf9bcp-3f
#define EXP2_C3    0x1.c6b752p-5f
#define EXP2_C4    0x1.3cea8ap-7f
#define EXP2_C5    0x1.5bba14p-10f

/* --- products --- */

/* One step of depth: two vectors of B, and `rows` numbers of A copied to all
 * lanes. `stride` is the distance of rows in A. */
INLINE void step(const int rows, const int stride, const float *a,
                 const float *b, vec acc[MR][NV]) {
    vec row[NV];
    UNROLL for (int j = 0; j < NV; j++) row[j] = v_loadu(b + j * VLEN);
    UNROLL for (int i = 0; i < rows; i++) {
        vec x = v_set1(a[i * stride]);
        UNROLL for (int j = 0; j < NV; j++) acc[i][j] =
            v_fma(x, row[j], acc[i][j]);
    }
}

INLINE void zero(const int rows, vec acc[MR][NV]) {
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < NV; j++)
        acc[i][j] = v_zero();
}

/* The running maximum has grown, and what was summed before it is worth less:
 * the correction costs one multiply-add where the tile meets C anyway. */
INLINE void panel_body(const int rows, const float *a, const float *b,
                       size_t steps, const float *rescale, float *c) {
    vec acc[MR][NV];
    zero(rows, acc);
    size_t p = steps;
    for (; p >= STEPS; p -= STEPS, a += STEPS * rows, b += STEPS * LANES)
        UNROLL for (int q = 0; q < STEPS; q++)
            step(rows, 1, a + q * rows, b + q * LANES, acc);
    for (; p > 0; p--, a += rows, b += LANES) step(rows, 1, a, b, acc);
    if (rescale) {
        vec by[NV];
        UNROLL for (int j = 0; j < NV; j++) by[j] = v_loadu(rescale + j * VLEN);
        UNROLL for (int i = 0; i < rows; i++)
            UNROLL for (int j = 0; j < NV; j++) acc[i][j] =
                v_fma(v_loadu(c + i * LANES + j * VLEN), by[j], acc[i][j]);
    }
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < NV; j++)
        v_storeu(c + i * LANES + j * VLEN, acc[i][j]);
}

/* P^T has a key's numbers side by side, and here they are summed over: rows of
 * A lie LANES apart, and the offsets are constants all the same. */
INLINE void outer_body(const int rows, const fmha_outer *x, const float *a,
                       float *c) {
    vec acc[MR][NV];
    const float *b = x->b;
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < NV; j++)
        acc[i][j] = v_loadu(c + i * LANES + j * VLEN);
    for (size_t panel = 0; panel < x->panels; panel++, a += x->a_rows * LANES)
        for (int p = 0; p < LANES; p += STEPS, b += STEPS * LANES)
            UNROLL for (int q = 0; q < STEPS; q++)
                step(rows, LANES, a + p + q, b + q * LANES, acc);
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < NV; j++)
        v_storeu(c + i * LANES + j * VLEN, acc[i][j]);
}

#define ROWS_FUNCTIONS(r)                                                  \
    static void panel_##r(const float *a, const float *b, size_t steps,    \
                          const float *rescale, float *c) {                \
        panel_body(r, a, b, steps, rescale, c);                            \
    }                                                                      \
    static void outer_##r(const fmha_outer *x, const float *a, float *c) { \
        outer_body(r, x, a, c);                                            \
    }
#define PANEL_ENTRY(r) panel_##r,
#define OUTER_ENTRY(r) outer_##r,

TILE_ROWS(MR, ROWS_FUNCTIONS)

static void (*const panels[MR])(const float *, const float *, size_t,
                                const float *,
                                float *) = {TILE_ROWS(MR, PANEL_ENTRY)};
static void (*const outers[MR])(const fmha_outer *, const float *,
                                float *) = {TILE_ROWS(MR, OUTER_ENTRY)};

static void product(const fmha_product *x) {
    size_t count = fmha_panels_of(x->n, MR);
    for (size_t p = 0, r0 = 0; p < count && r0 < x->needed; p++) {
        size_t r1 = fmha_panel_row(x->n, p + 1, count);
        panels[r1 - r0 - 1](x->a + r0 * x->depth, x->b, x->steps, x->rescale,
                            x->c + r0 * LANES);
        r0 = r1;
    }
}

static void outer(const fmha_outer *x) {
    size_t count = fmha_panels_of(x->n, MR);
    for (size_t p = 0, r0 = 0; p < count; p++) {
        size_t r1 = fmha_panel_row(x->n, p + 1, count);
        outers[r1 - r0 - 1](x, x->a + r0 * LANES, x->c + r0 * LANES);
        r0 = r1;
    }
}

/* --- the softmax --- */

//> exp2
/* 2^x for x below 128: x = n + f with n the nearest whole number, which adding
 * and subtracting 1.5 * 2^23 finds, and |f| <= 1/2. Both are exact, which is
 * why the base is 2: in base e the remainder x - n ln 2 needs a split of ln 2
 * (Cody and Waite) to be right. The polynomial is 2^f with a relative error
 * below 2^-23 (fitted so that p(0) = 1), and n goes into the exponent. Below
 * -126 the result is 0, for minus infinity too; a NaN stays one. */
INLINE vec exp2_of(vec x) {
    vec magic = v_set1(EXP2_MAGIC), t = v_add(x, magic),
        f = v_sub(x, v_sub(t, magic));
    vec f2 = v_mul(f, f), high = v_fma(v_set1(EXP2_C5), f, v_set1(EXP2_C4)),
        low = v_fma(v_set1(EXP2_C3), f, v_set1(EXP2_C2));
    vec p = v_fma(v_fma(high, f2, low), f2,
                  v_fma(v_set1(EXP2_C1), f, v_set1(1.0f)));
    return v_keep_from(x, v_set1(-126.0f), v_scale_by_power(p, t));
}
//< exp2

static void column_max(const float *s, size_t n, float *max) {
    vec a[NV], b[NV];
    size_t j = 0;
    UNROLL for (int v = 0; v < NV; v++) a[v] = b[v] = v_loadu(max + v * VLEN);
    for (; j + 2 <= n; j += 2, s += 2 * LANES)
        UNROLL for (int v = 0; v < NV; v++) {
            a[v] = v_max(v_loadu(s + v * VLEN), a[v]);
            b[v] = v_max(v_loadu(s + LANES + v * VLEN), b[v]);
        }
    UNROLL for (int v = 0; v < NV; v++) {
        if (j < n) a[v] = v_max(v_loadu(s + v * VLEN), a[v]);
        v_storeu(max + v * VLEN, v_max(a[v], b[v]));
    }
}

static void exp2_sum(float *s, size_t n, const float *shift, float *sum) {
    vec m[NV], total[NV];
    UNROLL for (int v = 0; v < NV; v++) {
        m[v] = v_loadu(shift + v * VLEN);
        total[v] = v_zero();
    }
    for (size_t j = 0; j < n; j++, s += LANES)
        UNROLL for (int v = 0; v < NV; v++) {
            vec p = exp2_of(v_sub(v_loadu(s + v * VLEN), m[v]));
            v_storeu(s + v * VLEN, p);
            total[v] = v_add(total[v], p);
        }
    UNROLL for (int v = 0; v < NV; v++) v_storeu(sum + v * VLEN, total[v]);
}

static void score_gradient(float *dp, const float *p, size_t n,
                           const float *delta) {
    vec d[NV];
    UNROLL for (int v = 0; v < NV; v++) d[v] = v_loadu(delta + v * VLEN);
    for (size_t j = 0; j < n; j++, dp += LANES, p += LANES)
        UNROLL for (int v = 0; v < NV; v++) v_storeu(
            dp + v * VLEN,
            v_mul(v_loadu(p + v * VLEN), v_sub(v_loadu(dp + v * VLEN), d[v])));
}

/* --- rows of S with keys in the lanes: what the unfused variant needs --- */

/* From the same floor as the fused kernels' maximum (fused.c). */
static float max_over(const float *s, size_t n) {
    vec m = v_set1(-FLT_MAX);
    size_t j = 0;
    for (; j + VLEN <= n; j += VLEN) m = v_max(v_loadu(s + j), m);
    float lane[VLEN], most = -FLT_MAX;
    v_storeu(lane, m);
    for (int l = 0; l < VLEN; l++) most = lane[l] > most ? lane[l] : most;
    for (; j < n; j++) most = s[j] > most ? s[j] : most;
    return most;
}

/* s = 2^(scale (s - max) - shift) over n; returns the sum. The maximum is taken
 * off before anything is rounded: scale s - scale max in one multiply-add would
 * leave the rounding of scale max, for scores of 10^10 more than 2^x can hold.
 */
static float exp2_row(float *s, size_t n, float scale, float max, float shift) {
    vec c = v_set1(scale), most = v_set1(max), m = v_set1(-shift),
        total = v_zero();
    float lane[VLEN], sum = 0;
    size_t j = 0;
    for (; j + VLEN <= n; j += VLEN) {
        vec p = exp2_of(v_fma(v_sub(v_loadu(s + j), most), c, m));
        v_storeu(s + j, p);
        total = v_add(total, p);
    }
    v_storeu(lane, total);
    for (int l = 0; l < VLEN; l++) sum += lane[l];
    if (j == n) return sum;
    for (size_t l = 0; l < VLEN; l++) lane[l] = j + l < n ? s[j + l] : 0;
    v_storeu(lane, exp2_of(v_fma(v_sub(v_loadu(lane), most), c, m)));
    for (size_t l = 0; j + l < n; l++) sum += s[j + l] = lane[l];
    return sum;
}

static float softmax_row(float *s, size_t n, size_t visible, float scale) {
    for (size_t j = 0; j < visible && scale < 0; j++) s[j] = -s[j];
    const float most = max_over(s, visible),
                sum = exp2_row(s, visible, fabsf(scale), most, 0),
                by = sum == 0 ? 0 : 1 / sum;
    for (size_t j = 0; j < visible; j++) s[j] *= by;
    for (size_t j = visible; j < n; j++) s[j] = 0;
    double max = fabs((double)scale) * (double)most;
    return sum == 0 ? -INFINITY
                    : (float)((max + log2((double)sum)) * 0.693147180559945309);
}

static void recompute_row(float *s, size_t n, size_t visible, float scale,
                          float lse2) {
    if (lse2 == -INFINITY) visible = 0;
    exp2_row(s, visible, scale, 0, lse2);
    for (size_t j = visible; j < n; j++) s[j] = 0;
}

static void round_all(float *x, size_t n, fmha_dtype dtype) {
    if (dtype == FMHA_F16)
        for (size_t i = 0; i < n; i++) x[i] = fmha_round_f16(x[i]);
    else if (dtype == FMHA_BF16)
        for (size_t i = 0; i < n; i++) x[i] = fmha_round_bf16(x[i]);
}

#define FMHA_MICRO_TABLE                                                 \
    {                                                                    \
        LANES, MR, product, outer, column_max, exp2_sum, score_gradient, \
            round_all, softmax_row, recompute_row                        \
    }
