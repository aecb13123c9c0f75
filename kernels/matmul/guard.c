/* no_read_outside: the matrices lie against pages that nobody may touch, as
 * device/guard.h has them; every problem runs twice, with the matrices at the
 * ends of their mappings and at the beginnings. */
#include "device/guard.h"
#include "matmul/invariants.h"

/* Rows but the last end with padding that belongs to the matrix; after the last
 * row's elements nothing may be read. */
static size_t used(size_t rows, size_t columns, size_t ld) {
    return rows ? (rows - 1) * ld + columns : 0;
}

typedef struct guarding {
    const matmul_subject *subject;
    uint64_t seed;
} guarding;

static bool run_guarded(void *ctx, int index, bool at_end) {
    const guarding *g = ctx;
    matmul_case c;
    dev_guarded m[3];
    matmul_case_shape(g->seed, index, &c);
    matmul_args *x = &c.x;
    c.a_floats =
        x->trans_a ? used(x->k, x->m, x->lda) : used(x->m, x->k, x->lda);
    c.b_floats =
        x->trans_b ? used(x->n, x->k, x->ldb) : used(x->k, x->n, x->ldb);
    c.c_floats = used(x->m, x->n, x->ldc);
    if (!dev_guard(&m[0], c.a_floats * sizeof(float), at_end) ||
        !dev_guard(&m[1], c.b_floats * sizeof(float), at_end) ||
        !dev_guard(&m[2], c.c_floats * sizeof(float), at_end))
        return false;
    c.a = m[0].data;
    c.b = m[1].data;
    c.c = m[2].data;
    matmul_case_fill(&c, g->seed, index);
    g->subject->run(g->subject->ctx, x, 2);
    for (int i = 0; i < 3; i++) dev_guard_free(&m[i]);
    return true;
}

bool matmul_check_reads(const matmul_subject *subject, uint64_t seed, int cases,
                        json_t **counterexample, spak_error *err) {
    guarding g = {subject, seed};
    dev_guard_outcome outcome;
    *counterexample = NULL;
    if (!dev_guard_run(cases, run_guarded, &g, &outcome, err)) return false;
    if (!outcome.outside) return true;
    matmul_case c;
    matmul_case_shape(seed, outcome.index, &c);
    *counterexample = matmul_counterexample(
        subject, &c.x, "touched memory %s a matrix (%s)",
        outcome.at_end ? "after the end of" : "before the beginning of",
        outcome.how);
    return false;
}
