/* every_element_written_once and no_read_outside: what MatMul taught about any
 * kernel, for the tensors of attention. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "device/guard.h"
#include "fmha/invariants.h"
#include "fmha/plan.h"

/* Small, with tails of queries, keys and head_dim, one row, one key, groups,
 * and rows that see nothing. Each runs in every layout. */
static const struct {
    fmha_shape shape;
    fmha_dtype dtype;
} always[] = {{{2, 4, 2, 45, 77, 40, true, 0}, FMHA_F32},
              {{1, 2, 1, 33, 127, 64, false, 0}, FMHA_F16},
              {{1, 1, 1, 1, 1, 16, true, 0}, FMHA_F32},
              {{1, 3, 1, 1, 65, 7, true, 0}, FMHA_F32},
              {{1, 1, 1, 5, 0, 16, false, 0}, FMHA_F32},
              {{2, 1, 1, 130, 31, 33, true, 0}, FMHA_BF16}};
enum { ALWAYS = sizeof always / sizeof *always, RUNS = ALWAYS * FMHA_LAYOUTS };

static bool make_case(const fmha_check *check, int run, fmha_case *c,
                      spak_error *err) {
    int which = run / FMHA_LAYOUTS;
    return fmha_case_new(c, &always[which].shape, always[which].dtype,
                         (fmha_layout)(run % FMHA_LAYOUTS), true,
                         check->seed + (uint64_t)which, err);
}

/* --- every_element_written_once --- */

/* The outputs were NaN before the run. What was left out still is, and so is
 * what was added to instead of written. */
static bool all_written(fmha_check *check, const fmha_case *c,
                        const fmha_config *config, int threads,
                        const char *name, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (isnan(x[i]))
            return fmha_found(check, c, config, threads,
                              "element %zu of %s was not written", i, name);
    return true;
}

static bool check_outputs(fmha_check *check, fmha_case *c,
                          const fmha_config *config, int threads) {
    const size_t qs = c->qs, kvs = c->kvs;
    return fmha_run_forward(check, c, config, threads) &&
           all_written(check, c, config, threads, "O", c->o, qs) &&
           all_written(check, c, config, threads, "LSE", c->lse, c->rows) &&
           fmha_run_backward(check, c, config, threads) &&
           all_written(check, c, config, threads, "dQ", c->dq, qs) &&
           all_written(check, c, config, threads, "dK", c->dk, kvs) &&
           all_written(check, c, config, threads, "dV", c->dv, kvs);
}

bool fmha_covers(const fmha_share *share, int threads, size_t units) {
    uint8_t *times = spak_calloc(units + 1, sizeof *times);
    bool once = times != NULL;
    for (int t = 0; t < threads && once; t++)
        for (size_t i = 0; i < share[t].count && once; i++) {
            size_t unit = share[t].units[i];
            once = unit < units && times[unit]++ == 0;
        }
    for (size_t u = 0; u < units && once; u++) once = times[u] == 1;
    spak_free(times);
    return once;
}

/* The tiles of queries, and the parts of the keys for the gradients, are dealt
 * out so that each has one thread. */
static bool check_shares(fmha_check *check, const fmha_case *c,
                         const fmha_config *config) {
    if (config->variant < FMHA_FUSED) return true;
    bool good = true;
    for (int threads = 1; threads <= 7 && good; threads += 2) {
        fmha_config many = *config;
        fmha_plan *plan;
        many.variant = FMHA_THREADS;
        if (!fmha_plan_new(&many, &c->shape, threads, 0, &plan, check->err))
            return false;
        size_t tiles = fmha_panels_of(c->shape.q_len, many.tile_m),
               heads = c->shape.batch * c->shape.heads;
        check->tried++;
        if (!fmha_covers(plan->share, threads, tiles * heads) ||
            !fmha_covers(plan->backward_share, threads,
                         plan->key_parts * heads))
            good = fmha_found(check, c, &many, threads,
                              "some unit of work has no thread, or two");
        fmha_plan_free(plan);
    }
    return good;
}

bool fmha_check_written(fmha_check *check) {
    bool good = true;
    for (int run = 0; run < RUNS && good; run++) {
        fmha_case c;
        if (!make_case(check, run, &c, check->err)) return false;
        fmha_config config = fmha_config_at(check, run, c.dtype);
        good = check_outputs(check, &c, &config, 1 + run % 3) &&
               check_shares(check, &c, &config);
        fmha_case_free(&c);
    }
    return good;
}

/* --- no_read_outside --- */

enum { Q, K, V, O, D_O, DQ, DK, DV, LSE, TENSORS };

typedef struct guarded_run {
    fmha_check *check;
    fmha_case c;
    dev_guarded memory[TENSORS];
    fmha_out at[TENSORS];
} guarded_run;

/* Elements up to the last one, without the gap after it: from there on nothing
 * may be touched. */
static size_t used(const fmha_out *x, size_t batch, size_t heads, size_t len,
                   size_t dim) {
    return len ? (batch - 1) * x->batch + (heads - 1) * x->head +
                     (len - 1) * x->row + dim
               : 0;
}

static bool guard_tensor(guarded_run *g, int which, const float *from,
                         bool at_end) {
    const fmha_shape *s = &g->c.shape;
    const bool keys = which == K || which == V || which == DK || which == DV;
    const size_t heads = keys ? s->kv_heads : s->heads, dim = s->head_dim,
                 len = keys ? s->kv_len : s->q_len;
    fmha_out *x = &g->at[which];
    *x = fmha_strides(g->c.layout, heads, len, dim);
    size_t floats = used(x, s->batch, heads, len, dim);
    if (!dev_guard(&g->memory[which], floats * sizeof(float), at_end))
        return false;
    x->data = g->memory[which].data;
    memset(x->data, 0xFF, floats * sizeof(float));
    for (size_t row = 0; row < s->batch * heads * len && from; row++)
        memcpy(x->data + row / len / heads * x->batch +
                   row / len % heads * x->head + row % len * x->row,
               from + row * dim, dim * sizeof(float));
    return true;
}

static fmha_in in_of(const fmha_out *x) {
    return (fmha_in){x->data, x->batch, x->head, x->row};
}

/* Forward, then backward on what it left. */
static bool run_both(guarded_run *g, const fmha_config *config, int threads) {
    const fmha_subject *subject = g->check->subject;
    const fmha_out *x = g->at;
    float *lse = g->memory[LSE].data;
    fmha_forward_args f = {in_of(&x[Q]), in_of(&x[K]), in_of(&x[V]), x[O], lse};
    fmha_backward_args b = {in_of(&x[Q]), in_of(&x[K]),   in_of(&x[V]),
                            in_of(&x[O]), in_of(&x[D_O]), lse,
                            x[DQ],        x[DK],          x[DV]};
    return subject->run(subject->ctx, config, &g->c.shape, threads, &f, NULL,
                        g->check->err) &&
           subject->run(subject->ctx, config, &g->c.shape, threads, NULL, &b,
                        g->check->err);
}

/* Several variants, tiles and instruction sets on one problem. */
enum { TURNS = 4 };
static fmha_config config_of(const fmha_check *check, int run, int turn,
                             fmha_dtype dtype) {
    return fmha_config_at(check, run + 3 * turn, dtype);
}

static bool run_guarded(void *ctx, int run, bool at_end) {
    guarded_run g = {.check = ctx};
    if (!make_case(g.check, run, &g.c, g.check->err)) return false;
    const float *from[TENSORS] = {g.c.q, g.c.k, g.c.v, NULL, g.c.d_o};
    bool good = true;
    for (int i = 0; i < LSE && good; i++)
        good = guard_tensor(&g, i, from[i], at_end);
    good = good && dev_guard(&g.memory[LSE], g.c.rows * sizeof(float), at_end);
    for (int i = 0; i < TURNS && good; i++) {
        fmha_config config = config_of(g.check, run, i, g.c.dtype);
        good = run_both(&g, &config, 1 + (run + i) % 3);
    }
    for (int i = 0; i < TENSORS && good; i++) dev_guard_free(&g.memory[i]);
    fmha_case_free(&g.c);
    return good;
}

bool fmha_check_reads(fmha_check *check) {
    dev_guard_outcome outcome;
    if (!dev_guard_run(RUNS, run_guarded, check, &outcome, check->err))
        return false;
    check->tried += 2 * RUNS * TURNS;
    if (!outcome.outside) return true;
    fmha_case c;
    if (!make_case(check, outcome.index, &c, check->err)) return false;
    bool good = fmha_found(
        check, &c, NULL, 0, "touched memory %s a tensor (%s)",
        outcome.at_end ? "after the end of" : "before the beginning of",
        outcome.how);
    fmha_case_free(&c);
    return good;
}
