/* Checks of a trial's products.
 *
 * The thorough one compares elements with the oracle: all of them up to
 * CHECK_ALL multiply-adds; beyond that the first and the last row and column
 * and a few random ones, which every panel edge and every slice of k passes
 * through.
 *
 * The cheap one is Freivalds' (Freivalds, "Probabilistic machines can use less
 * running time", IFIP 1977): for a random vector r of signs, C r must be
 * A (B r). It looks at every element of C, and a NaN anywhere fails it; but the
 * error it allows in a row is the sum of what its n elements are allowed, so it
 * is coarse where n and k are large. One random row and one random column are
 * therefore compared with the oracle as well, at the bound of an element. */
#include "matmul/verify.h"

#include <math.h>

#include "base/alloc.h"
#include "base/rng.h"

enum { CHECK_ALL = 1 << 25, CHECK_LINES = 4 };

/* Philox streams under the problem's seed; the inputs are 0 and 1. Draw number
 * d takes its signs from stream SIGNS + d. */
enum {
    COLUMNS = 2,
    ROWS = 3,
    QUICK_COLUMN = 4,
    QUICK_ROW = 5,
    SIGNS = 1 << 16
};

struct matmul_verifier {
    matmul_args x; /* c is that of the product under check */
    uint64_t seed;
    double *bound;      /* (m): what row i of C r - A (B r) may be off */
    double *signs;      /* (n): r */
    double *br;         /* (k): B r */
    double *want, *got; /* (max(m, n)) each; want is A (B r) */
    double memory[];
};

/* --- element by element --- */

static void worst_of(double *worst, double found, double want, double limit) {
    double error = fabs(found - want);
    double ratio = error == 0 ? 0 : limit > 0 ? error / limit : INFINITY;
    if (!(ratio <= *worst)) /* a NaN counts as infinitely wrong */
        *worst = isfinite(ratio) ? ratio : INFINITY;
}

static void check_row(matmul_verifier *v, size_t i, double *worst) {
    const matmul_args *x = &v->x;
    double factor = matmul_error_factor(x->k);
    matmul_oracle_row(x, i, v->want, v->got);
    for (size_t j = 0; j < x->n; j++)
        worst_of(worst, x->c[i * x->ldc + j], v->want[j], factor * v->got[j]);
}

static void check_column(matmul_verifier *v, size_t j, double *worst) {
    const matmul_args *x = &v->x;
    double factor = matmul_error_factor(x->k);
    matmul_oracle_column(x, j, v->want, v->got);
    for (size_t i = 0; i < x->m; i++)
        worst_of(worst, x->c[i * x->ldc + j], v->want[i], factor * v->got[i]);
}

static size_t draw_line(uint64_t seed, uint64_t stream, uint64_t i,
                        size_t count) {
    return (size_t)(spak_philox_uniform(seed, stream, i) * (double)count) %
           count;
}

static size_t line_to_check(uint64_t seed, uint64_t stream, size_t i,
                            size_t count) {
    if (i == 0) return 0;
    if (i + 1 == CHECK_LINES) return count - 1;
    return draw_line(seed, stream, i, count);
}

/* The product under check; the verifier only reads it. */
static void look_at(matmul_verifier *v, const float *c, size_t ldc) {
    v->x.c = (float *)(uintptr_t)c;
    v->x.ldc = ldc;
}

double matmul_verify(matmul_verifier *v, const float *c, size_t ldc) {
    const matmul_args *x = &v->x;
    double worst = 0;
    look_at(v, c, ldc);
    if (x->m == 0 || x->n == 0) return 0;
    if ((double)x->m * (double)x->n * (double)x->k <= CHECK_ALL) {
        for (size_t i = 0; i < x->m; i++) check_row(v, i, &worst);
        return worst;
    }
    for (size_t i = 0; i < CHECK_LINES; i++) {
        check_row(v, line_to_check(v->seed, ROWS, i, x->m), &worst);
        check_column(v, line_to_check(v->seed, COLUMNS, i, x->n), &worst);
    }
    return worst;
}

/* --- Freivalds' check --- */

/* y (rows) = M v, or |M| v when `absolute`, walking M as it lies in memory. */
static void times_vector(double *y, const float *matrix, matmul_strides s,
                         size_t rows, size_t columns, const double *v,
                         bool absolute) {
    for (size_t i = 0; i < rows; i++) y[i] = 0;
    if (s.column == 1) {
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < columns; j++) {
                double e = matrix[i * s.row + j];
                y[i] += (absolute ? fabs(e) : e) * v[j];
            }
    } else {
        for (size_t j = 0; j < columns; j++)
            for (size_t i = 0; i < rows; i++) {
                double e = matrix[i * s.row + j * s.column];
                y[i] += (absolute ? fabs(e) : e) * v[j];
            }
    }
}

/* Signs have |r| = 1, so the bound is the same for every draw. With
 * w = |A| (|B| 1), u = 2^-53 and gamma_k the factor of a float product:
 *
 *   the product itself   |C r - A B r|  <=  gamma_k w
 *   A (B r) in double    k + n roundings on the way of each product:
 *                        (k + n) u w  to first order
 *   C r in double        n u |C| 1  <=  n u (1 + gamma_k) w
 *   w in double          relative error (k + n) u
 *
 * As gamma_k < 1/8 for the k that a trial takes, what double precision adds is
 * below 4 (k + n) u w. */
static void prepare_bound(matmul_verifier *v) {
    const matmul_args *x = &v->x;
    double factor =
        matmul_error_factor(x->k) + 4 * (double)(x->k + x->n) * 0x1p-53;
    for (size_t j = 0; j < x->n; j++) v->signs[j] = 1;
    times_vector(v->br, x->b, matmul_strides_b(x), x->k, x->n, v->signs, true);
    times_vector(v->bound, x->a, matmul_strides_a(x), x->m, x->k, v->br, true);
    for (size_t i = 0; i < x->m; i++) v->bound[i] *= factor;
}

static void draw_signs(matmul_verifier *v, uint64_t draw) {
    uint32_t word[4] = {0};
    for (size_t j = 0; j < v->x.n; j++) {
        if (j % 128 == 0) spak_philox(v->seed, SIGNS + draw, j / 128, word);
        v->signs[j] = word[j / 32 % 4] >> j % 32 & 1 ? 1 : -1;
    }
}

double matmul_verify_quickly(matmul_verifier *v, const float *c, size_t ldc,
                             uint64_t draw) {
    const matmul_args *x = &v->x;
    double worst = 0;
    look_at(v, c, ldc);
    if (x->m == 0 || x->n == 0) return 0;
    draw_signs(v, draw);
    times_vector(v->br, x->b, matmul_strides_b(x), x->k, x->n, v->signs, false);
    times_vector(v->want, x->a, matmul_strides_a(x), x->m, x->k, v->br, false);
    times_vector(v->got, c, (matmul_strides){ldc, 1}, x->m, x->n, v->signs,
                 false);
    for (size_t i = 0; i < x->m; i++)
        worst_of(&worst, v->got[i], v->want[i], v->bound[i]);
    check_row(v, draw_line(v->seed, QUICK_ROW, draw, x->m), &worst);
    check_column(v, draw_line(v->seed, QUICK_COLUMN, draw, x->n), &worst);
    return worst;
}

/* --- life --- */

bool matmul_verifier_new(const matmul_args *x, uint64_t seed,
                         matmul_verifier **out, spak_error *err) {
    size_t longest = x->m > x->n ? x->m : x->n;
    size_t doubles = x->m + x->n + x->k + 2 * longest;
    matmul_verifier *v = spak_malloc(sizeof *v + doubles * sizeof(double));
    *out = v;
    if (!v) return spak_fail_oom(err);
    v->x = *x;
    v->seed = seed;
    v->bound = v->memory;
    v->signs = v->bound + x->m;
    v->br = v->signs + x->n;
    v->want = v->br + x->k;
    v->got = v->want + longest;
    prepare_bound(v);
    return true;
}

void matmul_verifier_free(matmul_verifier *v) { spak_free(v); }
