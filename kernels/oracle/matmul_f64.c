/* The oracle's host side: some rows element by element, and all of C at once.
 *
 * Rows are picked one from each of num_rows equal bands, the first and the last
 * among them, so that every tile of the product is met. What they leave out is
 * checked after Freivalds: with x of random signs, C x has to be what alpha A
 * (B x) + beta C_old x + ... is. The errors e_j of a row are there before x is
 * drawn, so that Hoeffding's inequality holds for sum_j x_j e_j: it is larger
 * than lambda ||e|| with a probability below 2 exp(-lambda^2 / 2). With lambda
 * from m rows and 2^-60 in all, and ||e|| bounded by the norms of what goes in
 *
 *   ||e_i|| <= |alpha| gamma ||a_i|| ||B||_F              the sum (Cauchy and
 *                                                         Schwarz, |a| |b|)
 *            + 2^-21 (||c_i|| + 2 ||beta c_old_i|| + 2 ||bias|| + 2 ||r_i||)
 *            + u ||c_i||                                  the type of C
 *
 * a larger one is an error. That sees a tile that is missing or in the wrong
 * place, and with integers (gamma is zero) a few wrong elements of a row:
 * lambda u ||c_i|| is about 10 2^-8 sqrt(n) elements' size in bf16. GELU is not
 * linear: there the saved input is checked like that, and all of C against the
 * GELU of what was saved. */
#include "oracle/matmul_f64.h"

#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "device/gpu_module.h"
#include "oracle/params.h"

_Static_assert((int)ORACLE_BF16 == (int)DEV_BF16 &&
                   (int)ORACLE_F16 == (int)DEV_F16 &&
                   (int)ORACLE_F32 == (int)DEV_F32,
               "types count alike");

enum { TILE = 64, THREADS = 256, ROWS_DEFAULT = 64 };
enum { CHUNK_BYTES = 1 << 28 }; /* of sum, and of mag */

static const char *const entries[] = {"oracle_rows", "oracle_compare",
                                      "oracle_finite", "oracle_apply",
                                      "oracle_gelu"};
enum { ROWS, COMPARE, FINITE, APPLY, GELU, KERNELS };

/* Everything that one check works with. */
typedef struct check {
    dev_gpu *gpu;
    const oracle_product *p;
    oracle_verdict *v;
    const dev_kernel *kernel[KERNELS];
    dev_arena *arena;
    double gamma;
    int num_rows, chunk; /* rows at a time */
    int *row;            /* (num_rows) */
} check;

static bool launch(check *c, int kernel, long x, long y, const void *params,
                   spak_error *err) {
    dev_launch l = {.kernel = c->kernel[kernel],
                    .grid = {(unsigned)x, (unsigned)y, 1},
                    .block = {THREADS, 1, 1}};
    return dev_gpu_launch(c->gpu, &l, params, err);
}

static bool take(check *c, const char *what, size_t bytes, dev_ptr *block,
                 spak_error *err) {
    return dev_arena_take(c->arena, what, bytes, block, err);
}

static long ceil_div(long a, long b) { return (a + b - 1) / b; }

/* --- rows --- */

static uint64_t mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void pick_rows(check *c) {
    long m = c->p->m, count = c->num_rows;
    for (long i = 0; i < count; i++) {
        long from = i * m / count, to = (i + 1) * m / count;
        uint64_t random = mix(c->p->seed + (uint64_t)i);
        c->row[i] = (int)(from + (long)(random % (uint64_t)(to - from)));
    }
    c->row[0] = 0;
    if (count > 1) c->row[count - 1] = (int)m - 1;
}

/* The ratio in the upper half of what the kernels leave. */
static double ratio_of(uint64_t worst) {
    union {
        uint32_t bits;
        float value;
    } as = {.bits = (uint32_t)(worst >> 32)};
    return (double)as.value;
}

/* The largest of a chunk's elements, and where it is. */
static bool take_worst(check *c, const oracle_params *q, const int *rows,
                       spak_error *err) {
    uint64_t worst[2];
    if (!dev_gpu_download(c->gpu, worst, q->worst, sizeof worst, err))
        return false;
    double ratio = ratio_of(worst[0]), pre = ratio_of(worst[1]);
    if (pre > c->v->worst_pre) c->v->worst_pre = pre;
    if (c->v->rows > 0 && !(ratio > c->v->worst)) return true;
    uint32_t at = (uint32_t)worst[0];
    c->v->worst = ratio;
    c->v->row = rows[at / (uint32_t)q->n];
    c->v->col = (int)(at % (uint32_t)q->n);
    dev_ptr skip = (dev_ptr)at * sizeof(double);
    return dev_gpu_download(c->gpu, &c->v->want, q->sum + skip, sizeof(double),
                            err) &&
           dev_gpu_download(c->gpu, &c->v->bound, q->mag + skip, sizeof(double),
                            err);
}

static oracle_params params_of(const check *c) {
    const oracle_product *p = c->p;
    return (oracle_params){
        .a = p->a,
        .b = p->b,
        .c = p->c,
        .c_old = p->beta != 0 ? p->c_old : 0,
        .bias = p->bias,
        .pre = p->pre,
        .residual = p->residual,
        .gamma = c->gamma,
        .tanh_error = p->tanh_error > 0 ? p->tanh_error : 0x1p-22,
        .n = p->n,
        .k = p->k,
        .lda = p->lda,
        .ldb = p->ldb,
        .ldc = p->ldc,
        .trans_a = p->trans_a,
        .trans_b = p->trans_b,
        .in = (int)p->in,
        .out = (int)p->out,
        .gelu = p->gelu,
        .alpha = p->alpha,
        .beta = p->beta,
    };
}

static bool check_rows(check *c, spak_error *err) {
    oracle_params q = params_of(c);
    size_t elements = (size_t)c->chunk * (size_t)q.n;
    if (!take(c, "rows", sizeof(int) * (size_t)c->chunk, &q.rows, err) ||
        !take(c, "sums", sizeof(double) * elements, &q.sum, err) ||
        !take(c, "magnitudes", sizeof(double) * elements, &q.mag, err) ||
        !take(c, "worst", 2 * sizeof(uint64_t), &q.worst, err))
        return false;
    for (int first = 0; first < c->num_rows; first += c->chunk) {
        int left = c->num_rows - first;
        q.num_rows = left < c->chunk ? left : c->chunk;
        if (!dev_gpu_upload(c->gpu, q.rows, c->row + first,
                            sizeof(int) * (size_t)q.num_rows, err) ||
            !dev_gpu_fill8(c->gpu, q.worst, 0, 2 * sizeof(uint64_t), err) ||
            !launch(c, ROWS, ceil_div(q.n, TILE), ceil_div(q.num_rows, TILE),
                    &q, err) ||
            !launch(c, COMPARE, 512, 1, &q, err) ||
            !dev_gpu_sync(c->gpu, err) ||
            !take_worst(c, &q, c->row + first, err))
            return false;
        c->v->rows += q.num_rows;
    }
    return true;
}

/* --- all of C --- */

static bool check_finite(check *c, spak_error *err) {
    const oracle_product *p = c->p;
    oracle_matrix q = {.data = p->c,
                       .rows = p->m,
                       .cols = p->n,
                       .ld = p->ldc,
                       .type = (int)p->out};
    uint64_t count = 0;
    if (!take(c, "count", sizeof count, &q.count, err) ||
        !dev_gpu_fill8(c->gpu, q.count, 0, sizeof count, err) ||
        !launch(c, FINITE, 8, p->m < 1024 ? p->m : 1024, &q, err) ||
        !dev_gpu_sync(c->gpu, err) ||
        !dev_gpu_download(c->gpu, &count, q.count, sizeof count, err))
        return false;
    c->v->not_finite = (long long)count;
    return true;
}

static bool check_gelu(check *c, spak_error *err) {
    oracle_params q = params_of(c);
    uint64_t worst = 0;
    c->v->worst_gelu = -1;
    if (!c->p->gelu || !c->p->pre) return true;
    q.num_rows = c->p->m;
    if (!take(c, "worst", sizeof worst, &q.worst, err) ||
        !dev_gpu_fill8(c->gpu, q.worst, 0, sizeof worst, err) ||
        !launch(c, GELU, 1024, 1, &q, err) || !dev_gpu_sync(c->gpu, err) ||
        !dev_gpu_download(c->gpu, &worst, q.worst, sizeof worst, err))
        return false;
    c->v->worst_gelu = ratio_of(worst);
    c->v->gelu_row = (int)((uint32_t)worst / (uint32_t)q.n);
    return true;
}

/* A matrix, stored or transposed, times a vector: on the GPU, and the same on
 * the host with the squared norms of its rows. */
typedef struct image {
    dev_ptr at;
    double *value, *norm; /* (count) each, of one block */
    int count;
} image;

/* by_column: the stored matrix is transposed first. The norms are those of the
 * rows of what is multiplied. data 0: zeros. */
static bool apply(check *c, oracle_matrix q, image *to, spak_error *err) {
    to->count = q.by_column ? q.cols : q.rows;
    size_t bytes = sizeof(double) * (size_t)to->count;
    to->value = spak_calloc((size_t)to->count, 2 * sizeof(double));
    if (!to->value) return spak_fail_oom(err);
    to->norm = to->value + to->count;
    if (!q.data) return true;
    long x = q.by_column ? ceil_div(q.cols, THREADS) : ceil_div(q.rows, 8);
    long y = q.by_column ? ceil_div(q.rows, 256) : 1;
    q.seed = c->p->seed;
    if (!take(c, "products", bytes, &q.out, err) ||
        !take(c, "norms", bytes, &q.norm, err) ||
        !dev_gpu_fill8(c->gpu, q.out, 0, bytes, err) ||
        !dev_gpu_fill8(c->gpu, q.norm, 0, bytes, err) ||
        !launch(c, APPLY, x, y, &q, err) || !dev_gpu_sync(c->gpu, err))
        return false;
    to->at = q.out;
    return dev_gpu_download(c->gpu, to->value, q.out, bytes, err) &&
           dev_gpu_download(c->gpu, to->norm, q.norm, bytes, err);
}

enum { BX, ABX, CX, OLDX, RX, BIASX, IMAGES };

static bool all_images(check *c, image *im, spak_error *err) {
    const oracle_product *p = c->p;
    int in = (int)p->in, out = (int)p->out;
    oracle_matrix a = {.data = p->a,
                       .rows = p->trans_a ? p->k : p->m,
                       .cols = p->trans_a ? p->m : p->k,
                       .ld = p->lda,
                       .type = in,
                       .by_column = p->trans_a};
    oracle_matrix b = {.data = p->b,
                       .rows = p->trans_b ? p->n : p->k,
                       .cols = p->trans_b ? p->k : p->n,
                       .ld = p->ldb,
                       .type = in,
                       .by_column = p->trans_b};
    oracle_matrix like_c = {.rows = p->m, .cols = p->n, .ld = p->ldc};
    oracle_matrix x = like_c, old = like_c, r = like_c, bias = like_c;
    x.data = p->gelu ? p->pre : p->c;
    x.type = p->gelu ? in : out;
    old.data = p->beta != 0 ? p->c_old : 0;
    old.type = out;
    r.data = p->gelu ? 0 : p->residual;
    r.type = in;
    bias.data = p->bias;
    bias.rows = 1;
    bias.type = in;
    if (!apply(c, b, im + BX, err)) return false;
    a.vector = im[BX].at;
    return apply(c, a, im + ABX, err) && apply(c, x, im + CX, err) &&
           apply(c, old, im + OLDX, err) && apply(c, r, im + RX, err) &&
           apply(c, bias, im + BIASX, err);
}

/* The unit of a type and half of its smallest number. */
static double unit_of(dev_element type, double *least) {
    *least = type == DEV_BF16 ? 0x1p-134 : type == DEV_F16 ? 0x1p-25 : 0x1p-150;
    return type == DEV_BF16 ? 0x1p-8 : type == DEV_F16 ? 0x1p-11 : 0x1p-24;
}

static void judge_images(check *c, const image *im) {
    const oracle_product *p = c->p;
    double least, u = unit_of(p->gelu ? p->in : p->out, &least);
    double alpha = (double)p->alpha, beta = (double)p->beta, b_norm = 0;
    double lambda = sqrt(2 * log(2.0 * p->m * 0x1p60));
    double bias = sqrt(im[BIASX].norm[0]), n = (double)p->n;
    for (int i = 0; i < im[BX].count; i++) b_norm += im[BX].norm[i];
    b_norm = sqrt(b_norm);
    for (int i = 0; i < p->m; i++) {
        double ab = sqrt(im[ABX].norm[i]) * b_norm;
        double c_norm = sqrt(im[CX].norm[i]), r = sqrt(im[RX].norm[i]);
        double old = fabs(beta) * sqrt(im[OLDX].norm[i]);
        double error = fabs(alpha) * c->gamma * ab +
                       0x1p-21 * (c_norm + 2 * (old + bias + r)) + u * c_norm +
                       least * sqrt(n);
        /* 1.01 is for what is second order; the rest for sums in double */
        double bound = 1.01 * lambda * error +
                       (n + p->k) * 0x1p-52 * sqrt(n) *
                           (fabs(alpha) * ab + c_norm + old + bias + r);
        double want = alpha * im[ABX].value[i] + beta * im[OLDX].value[i] +
                      im[BIASX].value[0] + im[RX].value[i];
        double off = fabs(im[CX].value[i] - want);
        double ratio = off > 0 ? off / bound : 0;
        if (!isfinite(off) || !isfinite(bound)) ratio = INFINITY;
        if (i > 0 && ratio <= c->v->freivalds) continue;
        c->v->freivalds = ratio;
        c->v->freivalds_row = i;
    }
}

static bool check_all(check *c, spak_error *err) {
    image im[IMAGES] = {{0}};
    c->v->freivalds = -1;
    if (c->p->gelu && !c->p->pre) return true;
    bool good = all_images(c, im, err);
    if (good) judge_images(c, im);
    for (int i = 0; i < IMAGES; i++) spak_free(im[i].value);
    return good;
}

/* --- together --- */

static bool sane(const oracle_product *p, spak_error *err) {
    if (p->m < 1 || p->n < 1 || p->k < 1 || p->k >= 1 << 20)
        return spak_fail(err,
                         "the oracle: m, n, k = %d, %d, %d: expected "
                         "numbers from 1, and k below 2^20",
                         p->m, p->n, p->k);
    if (p->in == DEV_F32)
        return spak_fail(err, "the oracle: the inputs have to be of 16 bits");
    if (p->lda < (p->trans_a ? p->m : p->k) ||
        p->ldb < (p->trans_b ? p->k : p->n) || p->ldc < p->n)
        return spak_fail(err,
                         "the oracle: lda, ldb, ldc = %d, %d, %d: rows "
                         "overlap",
                         p->lda, p->ldb, p->ldc);
    if ((long long)p->m * p->n >= 1LL << 31)
        return spak_fail(err, "the oracle: C has 2^31 elements or more");
    return p->beta == 0 || p->c_old ||
           spak_fail(err, "the oracle: beta is not 0 and c_old is missing");
}

static bool prepare(check *c, spak_error *err) {
    const oracle_product *p = c->p;
    for (int i = 0; i < KERNELS; i++) {
        dev_variant variant = {.file = "kernels/oracle/matmul_f64.cu",
                               .entry = entries[i]};
        if (!dev_kernel_get(c->gpu, &variant, &c->kernel[i], err)) return false;
    }
    double k = (double)p->k, max = (double)p->integers;
    bool exact = max > 0 && k * max * max <= 0x1p24;
    c->gamma = exact ? 0 : k * 0x1p-22 / (1 - k * 0x1p-22) + k * 0x1p-52;
    c->num_rows = p->num_rows > 0 ? p->num_rows : ROWS_DEFAULT;
    if (c->num_rows > p->m) c->num_rows = p->m;
    c->chunk = CHUNK_BYTES / 8 / p->n;
    if (c->chunk < 1) c->chunk = 1;
    if (c->chunk > c->num_rows) c->chunk = c->num_rows;
    c->row = spak_calloc((size_t)c->num_rows, sizeof *c->row);
    if (!c->row) return spak_fail_oom(err);
    pick_rows(c);
    size_t rows = (size_t)c->chunk, m = (size_t)p->m, n = (size_t)p->n;
    size_t bytes =
        rows * (4 + 16 * n) + 64 + 16 * (4 * m + (size_t)p->k + n + 64);
    return dev_arena_new(c->gpu, "the oracle", dev_arena_room(bytes, 24),
                         &c->arena, err);
}

static void sum_up(oracle_verdict *v) {
    if (v->not_finite > 0)
        snprintf(v->text, sizeof v->text,
                 "%lld elements are infinite or no numbers", v->not_finite);
    else if (!(v->worst <= 1))
        snprintf(v->text, sizeof v->text,
                 "C(%d, %d) is off by %.3g times the bound: it should be %.9g "
                 "within %.3g",
                 v->row, v->col, v->worst, v->want, v->bound);
    else if (!(v->worst_pre <= 1))
        snprintf(v->text, sizeof v->text,
                 "the GELU's saved input is off by %.3g times the bound",
                 v->worst_pre);
    else if (!(v->worst_gelu <= 1))
        snprintf(v->text, sizeof v->text,
                 "row %d is off by %.3g times the bound from the GELU of its "
                 "saved input",
                 v->gelu_row, v->worst_gelu);
    else if (!(v->freivalds <= 1))
        snprintf(v->text, sizeof v->text,
                 "row %d is off by %.3g times the bound (Freivalds)",
                 v->freivalds_row, v->freivalds);
    v->good = !*v->text;
}

bool oracle_check(dev_gpu *gpu, const oracle_product *product,
                  oracle_verdict *verdict, spak_error *err) {
    check c = {.gpu = gpu, .p = product, .v = verdict};
    *verdict = (oracle_verdict){0};
    bool good = sane(product, err) && prepare(&c, err) && check_rows(&c, err) &&
                check_finite(&c, err) && check_gelu(&c, err) &&
                check_all(&c, err) && dev_arena_check(c.arena, err);
    if (good) sum_up(verdict);
    dev_arena_free(c.arena);
    spak_free(c.row);
    return good;
}
