/* The executable invariants of MatMul: what must hold before any configuration
 * is measured.
 *
 * A check draws random problems, runs a subject on them and looks for a
 * counterexample. The subjects are all variants with all instruction sets and
 * tiles of this machine, each with the default blocks and with blocks so small
 * that every loop of the kernel has a first, a middle and a last turn. The
 * checks take the subject as a function, so that the tests can hand in kernels
 * with planted faults and see each of them caught. */
#include "matmul/invariants.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

/* --- random problems --- */

/* Lengths that make trouble: nothing, less than a vector, one off every tile
 * and block, primes, and one that is longer than a slice of k. */
static const size_t lengths[] = {1, 13, 127, 257, 1000, 0,  2,
                                 5, 16, 31,  48,  64,   97, 192};
enum { LENGTHS = sizeof lengths / sizeof *lengths, MOST_MADDS = 3 << 20 };

void matmul_case_shape(uint64_t seed, int index, matmul_case *c) {
    memset(c, 0, sizeof *c);
    uint32_t word[4];
    uint64_t draw = 0;
    do {
        spak_philox(seed, 100 + (uint64_t)index, draw++, word);
        c->x.m = lengths[word[0] % LENGTHS];
        c->x.n = lengths[word[1] % LENGTHS];
        c->x.k = lengths[word[2] % LENGTHS];
    } while (c->x.m * c->x.n * c->x.k > MOST_MADDS);
    matmul_args *x = &c->x;
    x->trans_a = word[3] & 1;
    x->trans_b = word[3] >> 1 & 1;
    x->lda = (x->trans_a ? x->m : x->k) + (word[3] >> 8) % 8;
    x->ldb = (x->trans_b ? x->k : x->n) + (word[3] >> 16) % 8;
    x->ldc = x->n + (word[3] >> 24) % 8;
    c->a_floats = (x->trans_a ? x->k : x->m) * x->lda;
    c->b_floats = (x->trans_b ? x->n : x->k) * x->ldb;
    c->c_floats = x->m * x->ldc;
}

void matmul_case_fill(matmul_case *c, uint64_t seed, int index) {
    spak_philox_fill_uniform(c->a, c->a_floats, -1, 1, seed,
                             2000 + 2 * (uint64_t)index);
    spak_philox_fill_uniform(c->b, c->b_floats, -1, 1, seed,
                             2001 + 2 * (uint64_t)index);
    const uint32_t poison = MATMUL_POISON;
    for (size_t i = 0; i < c->c_floats; i++)
        memcpy(&c->c[i], &poison, sizeof poison);
    c->x.a = c->a;
    c->x.b = c->b;
    c->x.c = c->c;
}

bool matmul_case_new(uint64_t seed, int index, matmul_case *c,
                     spak_error *err) {
    matmul_case_shape(seed, index, c);
    c->a = spak_malloc((c->a_floats + c->b_floats + c->c_floats + 1) *
                       sizeof(float));
    if (!c->a) return spak_fail_oom(err);
    c->b = c->a + c->a_floats;
    c->c = c->b + c->b_floats;
    matmul_case_fill(c, seed, index);
    return true;
}

void matmul_case_free(matmul_case *c) { spak_free(c->a); }

json_t *matmul_counterexample(const matmul_subject *subject,
                              const matmul_args *x, const char *fmt, ...) {
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return json_pack(
        "{s:s,s:I,s:I,s:I,s:b,s:b,s:I,s:I,s:I,s:s}", "subject", subject->name,
        "m", (json_int_t)x->m, "n", (json_int_t)x->n, "k", (json_int_t)x->k,
        "trans_a", x->trans_a, "trans_b", x->trans_b, "lda", (json_int_t)x->lda,
        "ldb", (json_int_t)x->ldb, "ldc", (json_int_t)x->ldc, "what", what);
}

/* --- tiled_sum_within_bound --- */

//> invariants
/* |C - oracle| <= gamma_k |A| |B| for every element. NaN fails the comparison,
 * so an element that was never written fails too. */
static bool element_within_bound(const matmul_args *x, const double *want,
                                 const double *bound, size_t *i, size_t *j) {
    double factor = matmul_error_factor(x->k);
    for (*i = 0; *i < x->m; ++*i)
        for (*j = 0; *j < x->n; ++*j) {
            size_t at = *i * x->n + *j;
            double error = fabs((double)x->c[*i * x->ldc + *j] - want[at]);
            if (!(error <= factor * bound[at])) return false;
        }
    return true;
}
//< invariants

bool matmul_check_bound(const matmul_subject *subject, uint64_t seed, int cases,
                        json_t **counterexample, spak_error *err) {
    *counterexample = NULL;
    for (int index = 0; index < cases; index++) {
        matmul_case c;
        if (!matmul_case_new(seed, index, &c, err)) return false;
        const matmul_args *x = &c.x;
        double *want = spak_malloc((2 * x->m * x->n + 1) * sizeof *want),
               *bound = want ? want + x->m * x->n : NULL;
        size_t i = 0, j = 0;
        bool ran = want && matmul_oracle(x, want, bound, err), good = ran;
        if (ran) {
            subject->run(subject->ctx, x, 2);
            good = element_within_bound(x, want, bound, &i, &j);
            if (!good)
                *counterexample = matmul_counterexample(
                    subject, x,
                    "C[%zu][%zu] is %.9g, the oracle says %.9g within %.3g", i,
                    j, x->c[i * x->ldc + j], want[i * x->n + j],
                    matmul_error_factor(x->k) * bound[i * x->n + j]);
        } else if (!want) {
            spak_fail_oom(err);
        }
        spak_free(want);
        matmul_case_free(&c);
        if (!good) return false;
    }
    return true;
}

/* --- every_element_written_once --- */

static bool poisoned(const float *p) {
    uint32_t bits;
    memcpy(&bits, p, sizeof bits);
    return bits == MATMUL_POISON;
}

bool matmul_check_written(const matmul_subject *subject, uint64_t seed,
                          int cases, json_t **counterexample, spak_error *err) {
    *counterexample = NULL;
    for (int index = 0; index < cases && !*counterexample; index++) {
        matmul_case c;
        if (!matmul_case_new(seed, index, &c, err)) return false;
        subject->run(subject->ctx, &c.x, 2);
        for (size_t at = 0; at < c.c_floats && !*counterexample; at++) {
            size_t i = at / c.x.ldc, j = at % c.x.ldc;
            bool inside = j < c.x.n;
            if (inside && isnan(c.c[at]))
                *counterexample = matmul_counterexample(
                    subject, &c.x, "C[%zu][%zu] was not written", i, j);
            if (!inside && !poisoned(&c.c[at]))
                *counterexample = matmul_counterexample(
                    subject, &c.x,
                    "the padding after row %zu was written at %zu", i, j);
        }
        matmul_case_free(&c);
    }
    return !*counterexample;
}

/* Counts what the partition does to each element: how far its sum has come, and
 * which thread works on it. */
typedef struct counting {
    const matmul_case *problem;
    const matmul_subject *subject;
    size_t *summed; /* (m, n): products added so far */
    int *owner;     /* (m, n): thread + 1; 0: nobody yet */
    json_t *counterexample;
} counting;

static void count_tile(void *ctx, int thread, const matmul_slice *s) {
    counting *count = ctx;
    const matmul_args *x = &count->problem->x;
    if (count->counterexample) return;
    if (s->i0 + s->rows > x->m || s->j0 + s->cols > x->n ||
        s->p0 + s->kb > x->k) {
        count->counterexample = matmul_counterexample(
            count->subject, x,
            "a tile at (%zu, %zu) of %zu x %zu leaves the matrix", s->i0, s->j0,
            s->rows, s->cols);
        return;
    }
    for (size_t i = s->i0; i < s->i0 + s->rows; i++)
        for (size_t j = s->j0; j < s->j0 + s->cols; j++) {
            size_t at = i * x->n + j;
            bool fresh = count->owner[at] == 0,
                 mine = fresh || count->owner[at] == thread + 1;
            if (!mine || s->first != fresh || s->p0 != count->summed[at]) {
                count->counterexample = matmul_counterexample(
                    count->subject, x,
                    "C[%zu][%zu]: thread %d adds k = %zu.. after thread %d "
                    "came to k = %zu",
                    i, j, thread, s->p0, count->owner[at] - 1,
                    count->summed[at]);
                return;
            }
            count->owner[at] = thread + 1;
            count->summed[at] += s->kb;
        }
}

static void ignore_slice(void *ctx, int thread, const matmul_slice *s) {
    (void)ctx, (void)thread, (void)s;
}
static void ignore_barrier(void *ctx) { (void)ctx; }

static void count_elements(counting *count) {
    const matmul_args *x = &count->problem->x;
    for (size_t at = 0; at < x->m * x->n && !count->counterexample; at++)
        if (count->owner[at] == 0 || count->summed[at] != x->k)
            count->counterexample = matmul_counterexample(
                count->subject, x, "C[%zu][%zu] got %zu of %zu products",
                at / x->n, at % x->n, count->summed[at], x->k);
}

bool matmul_check_partition(matmul_walk *walk, const matmul_config *config,
                            uint64_t seed, int cases, json_t **counterexample,
                            spak_error *err) {
    *counterexample = NULL;
    matmul_subject subject = {.name = config->tile->name};
    for (int index = 0; index < cases && !*counterexample; index++) {
        matmul_case c;
        matmul_case_shape(seed, index, &c);
        const matmul_args *x = &c.x;
        counting count = {.problem = &c, .subject = &subject};
        count.summed = spak_calloc(x->m * x->n + 1, sizeof *count.summed);
        count.owner = spak_calloc(x->m * x->n + 1, sizeof *count.owner);
        bool memory = count.summed && count.owner;
        matmul_hooks hooks = {ignore_slice, ignore_slice, count_tile,
                              ignore_barrier, &count};
        int threads = 1 + index % 7;
        for (int t = 0; t < threads && memory; t++)
            walk(config, x->m, x->n, x->k, t, threads, &hooks);
        if (memory) count_elements(&count);
        spak_free(count.summed);
        spak_free(count.owner);
        if (!memory) return spak_fail_oom(err);
        *counterexample = count.counterexample;
    }
    return !*counterexample;
}

/* --- threads_do_not_change_bits --- */

bool matmul_check_threads(const matmul_subject *subject, uint64_t seed,
                          int cases, json_t **counterexample, spak_error *err) {
    *counterexample = NULL;
    for (int index = 0; index < cases && !*counterexample; index++) {
        matmul_case one, many;
        if (!matmul_case_new(seed, index, &one, err)) return false;
        if (!matmul_case_new(seed, index, &many, err)) {
            matmul_case_free(&one);
            return false;
        }
        int threads = 2 + index % 3;
        subject->run(subject->ctx, &one.x, 1);
        subject->run(subject->ctx, &many.x, threads);
        for (size_t at = 0; at < one.c_floats && !*counterexample; at++)
            if (memcmp(&one.c[at], &many.c[at], sizeof(float)) != 0)
                *counterexample = matmul_counterexample(
                    subject, &one.x,
                    "C[%zu][%zu] is %.9g on 1 thread, %.9g on %d",
                    at / one.x.ldc, at % one.x.ldc, one.c[at], many.c[at],
                    threads);
        matmul_case_free(&one);
        matmul_case_free(&many);
    }
    return !*counterexample;
}
