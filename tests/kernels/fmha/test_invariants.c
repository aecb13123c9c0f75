/* Each check sees what it is for: a plain kernel keeps all of them, and with a mistake breaks those that are named
 * here. Also the options, the evidence, and want of memory. */
#include "../../tap.h"
#include "base/alloc.h"
#include "fmha/invariants.h"
#include "plain.h"

typedef enum which { MERGE, TWO_PASS, CAUSAL, MASKED, GROUPS, BOUNDS, THREADS, GRADIENTS, CHECKS } which;
static fmha_check_fn *const checks[CHECKS] = {fmha_check_merge,   fmha_check_two_pass, fmha_check_causal,
                                              fmha_check_masked,  fmha_check_groups,   fmha_check_bounds,
                                              fmha_check_threads, fmha_check_gradients};

static const struct {
    const char *what;
    unsigned caught_by; /* at least these, a bit each */
} planted[PLAIN_FAULTS] = {
    [PLAIN_SOUND] = {"is sound", 0},
    [PLAIN_DROPS_LAST_KEY] = {"drops the last key", 1 << MERGE | 1 << BOUNDS},
    [PLAIN_MASK_OFF_BY_ONE] = {"sees one key too many", 1 << CAUSAL | 1 << MASKED | 1 << BOUNDS},
    [PLAIN_SCALE_IS_ONE_PERCENT_OFF] = {"has a scale that is 1 % off", 1 << TWO_PASS | 1 << BOUNDS | 1 << GRADIENTS},
    [PLAIN_FORGETS_RESCALING] = {"does not rescale", 1 << MERGE | 1 << TWO_PASS},
    [PLAIN_EMPTY_ROW_IS_NAN] = {"divides an empty row by 0", 1 << MASKED},
    [PLAIN_WRONG_KV_HEAD] = {"reads the wrong head", 1 << GROUPS},
    [PLAIN_P_HAS_16_BITS] = {"rounds P to f16 in f32", 1 << MERGE | 1 << BOUNDS},
    [PLAIN_LSE_IN_BASE_2] = {"gives the LSE in base 2", 1 << BOUNDS},
    [PLAIN_WRITES_PADDING] = {"writes after a row", 1 << BOUNDS},
    [PLAIN_DEPENDS_ON_THREADS] = {"depends on the threads", 1 << THREADS},
    [PLAIN_DELTA_LEFT_OUT] = {"leaves delta out", 1 << GRADIENTS},
    [PLAIN_GROUP_NOT_SUMMED] = {"does not sum its groups", 1 << GROUPS | 1 << GRADIENTS},
    [PLAIN_LEAKS_MASKED_VALUES] = {"lets masked values in", 1 << CAUSAL},
};

/* Whether check c holds for the subject. */
static bool holds(which c, const fmha_subject *subject, json_t **found) {
    json_t *evidence = NULL, *options = json_pack("{s:i}", "cases", 3);
    spak_error err = {""};
    *found = NULL;
    bool ran = fmha_check_run(checks[c], subject, options, &evidence, &err),
         good = spak_json_bool(evidence, "holds", false);
    if (!ok(ran, "%s could run %s", fmha_invariants[c].name, err.message)) good = false;
    *found = json_incref(json_object_get(evidence, "counterexample"));
    json_decref(evidence);
    json_decref(options);
    return good;
}

static void plain_faults(void) {
    for (int f = 0; f < PLAIN_FAULTS; f++)
        for (int c = 0; c < CHECKS; c++) {
            if (f && !(planted[f].caught_by >> c & 1)) continue;
            plain_fault fault = (plain_fault)f;
            fmha_subject subject = {.run = plain_run, .ctx = &fault, .fused_only = true};
            json_t *found;
            bool good = holds((which)c, &subject, &found);
            const char *what = spak_json_str(found, "what", "");
            if (f == PLAIN_SOUND)
                ok(good && !found, "a kernel that is sound keeps %s %s", fmha_invariants[c].name, what);
            else
                ok(!good && *what && json_is_object(json_object_get(found, "shape")), "one that %s breaks %s: %s",
                   planted[f].what, fmha_invariants[c].name, what);
            json_decref(found);
        }
}

/* --- what the checks know by themselves --- */

/* Takes the first state's maximum for the common one: neither commutative nor right. */
static fmha_partial lopsided(fmha_partial a, fmha_partial b, bool in_float) {
    fmha_partial c = fmha_merge(a, b, in_float);
    c.max = a.max;
    return c;
}

/* Averages: commutative, and not associative. */
static fmha_partial average(fmha_partial a, fmha_partial b, bool in_float) {
    fmha_partial c = fmha_merge(a, b, in_float);
    if (a.sum > 0 && b.sum > 0)
        for (int d = 0; d < FMHA_PARTIAL_WIDTH; d++) c.acc[d] = c.sum * (a.acc[d] / a.sum + b.acc[d] / b.sum) / 2;
    return c;
}

/* Right but for bits that the bound counts: the weights are rounded to 16 bits. */
static fmha_partial coarse(fmha_partial a, fmha_partial b, bool in_float) {
    fmha_partial c = fmha_merge(a, b, in_float);
    if (a.sum > 0 && b.sum > 0) c.sum = (double)fmha_round((float)c.sum, FMHA_F16);
    return c;
}

static bool wrong_dk(const fmha_shape *shape, const fmha_backward_args *x, double *dq, double *dk, double *dv,
                     double *dq_bound, double *dk_bound, double *dv_bound, spak_error *err) {
    bool ran = fmha_oracle_backward(shape, x, dq, dk, dv, dq_bound, dk_bound, dv_bound, err);
    for (size_t i = 0; i < shape->batch * shape->kv_heads * shape->kv_len * shape->head_dim; i++) dk[i] *= 1.0001;
    return ran;
}

static void own_knowledge(void) {
    static const struct {
        const char *what;
        fmha_merge_fn *merge;
        fmha_gradients_fn *gradients;
        which check;
    } wrong[] = {{"a lopsided merge", lopsided, NULL, MERGE},
                 {"a merge that averages", average, NULL, MERGE},
                 {"a merge with coarse sums", coarse, NULL, MERGE},
                 {"an oracle whose dK is 10^-4 off", NULL, wrong_dk, GRADIENTS}};
    plain_fault sound = PLAIN_SOUND;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fmha_subject subject = {.run = plain_run,
                                .ctx = &sound,
                                .merge = wrong[i].merge,
                                .gradients = wrong[i].gradients,
                                .fused_only = true};
        json_t *found;
        bool good = holds(wrong[i].check, &subject, &found);
        ok(!good && found, "%s breaks %s: %s", wrong[i].what, fmha_invariants[wrong[i].check].name,
           spak_json_str(found, "what", ""));
        json_decref(found);
    }
}

/* --- the interface --- */

static void evidence(void) {
    json_t *options = json_pack("{s:i,s:i}", "seed", 5, "cases", 2), *few = NULL, *more = NULL;
    spak_error err = {""};
    const dev_invariant *bounds = &fmha_invariants[BOUNDS];
    bool ran = bounds->check(options, &few, &err);
    json_object_set_new(options, "cases", json_integer(9));
    ran = ran && bounds->check(options, &more, &err);
    ok(ran && spak_json_bool(few, "holds", false) && spak_json_int(few, "seed", 0) == 5, "options are obeyed: seed");
    is_int(spak_json_int(more, "cases", 0) - spak_json_int(few, "cases", 0), 7 * 4,
           "seven random cases more, in four configurations each");
    double worst = spak_json_num(few, "error_over_bound", -1);
    ok(worst > 0 && worst <= 1, "the largest error over bound is in the evidence: %.3g", worst);
    ok(!json_object_get(few, "counterexample"), "and no counterexample");
    json_decref(few), json_decref(more), json_decref(options);
}

static void refusals(void) {
    static const char *const bad[] = {"{\"cases\": -1}", "{\"seed\": \"one\"}", "{\"case\": 3}",
                                      "{\"fault\": \"no such fault\"}", "{\"fault\": 1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *options = json_loads(bad[i], 0, NULL), *result = NULL;
        spak_error err = {""};
        ok(!fmha_invariants[GROUPS].check(options, &result, &err) && *err.message && !result, "refused: %s",
           err.message);
        json_decref(options);
    }
}

/* Each allocation fails in turn: an error, not a counterexample. */
static void memory(void) {
    static const which some[] = {GROUPS, MASKED, CAUSAL, TWO_PASS};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        int wrong = 0;
        for (long n = 0; n < 60; n++) {
            json_t *result = NULL;
            spak_error err = {""};
            spak_alloc_fail_after(n);
            bool ran = fmha_invariants[some[i]].check(NULL, &result, &err);
            spak_alloc_fail_after(-1);
            wrong += ran || result || !*err.message;
            json_decref(result);
        }
        is_int(wrong, 0, "%s says when memory runs out", fmha_invariants[some[i]].name);
    }
}

int main(void) {
    spak_json_init();
    plain_faults();
    own_knowledge();
    evidence();
    refusals();
    memory();
    return done_testing();
}
