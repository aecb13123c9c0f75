/* every_element_written_once and no_read_outside: the kernels keep them, and each way of breaking them is found. */
#include "../../tap.h"
#include "fmha/invariants.h"
#include "fmha/plan.h"
#include "plain.h"

typedef enum slip {
    NO_SLIP,
    LEAVES_LAST_ROW,
    LEAVES_LSE,
    ADDS_TO_DV,
    LEAVES_DK_OF_A_GROUP,
    READS_AFTER_K,
    READS_BEFORE_Q,
    READS_AFTER_D_O,
    WRITES_AFTER_LSE,
    WRITES_BEFORE_DQ,
    SLIPS
} slip;

static const char *const names[SLIPS] = {
    "no slip",        "O's last row left out", "one LSE left out", "dV added to",       "one element of dK left out",
    "a read after K", "a read before Q",       "a read after dO",  "a write after LSE", "a write before dQ"};

static const float *last(const fmha_in *x, size_t batch, size_t heads, size_t len) {
    return x->data + (batch - 1) * x->batch + (heads - 1) * x->head + (len - 1) * x->row;
}

static void slip_forward(slip which, const fmha_shape *s, const fmha_forward_args *f) {
    const fmha_in o = {f->o.data, f->o.batch, f->o.head, f->o.row};
    const size_t rows = s->batch * s->heads * s->q_len;
    float *last_o = (float *)(uintptr_t)last(&o, s->batch, s->heads, s->q_len);
    if (which == LEAVES_LAST_ROW) memset(last_o, 0xFF, s->head_dim * sizeof(float));
    if (which == LEAVES_LSE) f->lse[rows / 2] = NAN;
    if (which == READS_AFTER_K)
        (void)*(volatile const float *)(last(&f->k, s->batch, s->kv_heads, s->kv_len) + s->head_dim);
    if (which == READS_BEFORE_Q) (void)*(volatile const float *)(f->q.data - 1);
    if (which == WRITES_AFTER_LSE) *(volatile float *)(f->lse + rows) = 0;
}

static void slip_backward(slip which, const fmha_shape *s, const fmha_backward_args *b, float before) {
    if (which == ADDS_TO_DV) *b->dv.data += before;
    if (which == LEAVES_DK_OF_A_GROUP) b->dk.data[s->head_dim - 1] = NAN;
    if (which == READS_AFTER_D_O)
        (void)*(volatile const float *)(last(&b->d_o, s->batch, s->heads, s->q_len) + s->head_dim);
    if (which == WRITES_BEFORE_DQ) *(volatile float *)(b->dq.data - 1) = 0;
}

/* The plain kernel, and then one slip. */
static bool run_slipping(void *ctx, const fmha_config *config, const fmha_shape *shape, int threads,
                         const fmha_forward_args *f, const fmha_backward_args *b, spak_error *err) {
    plain_fault sound = PLAIN_SOUND;
    float before = b && shape->kv_len ? *b->dv.data : 0;
    if (!plain_run(&sound, config, shape, threads, f, b, err)) return false;
    if (!shape->kv_len) return true; /* no key, no slip */
    if (f) slip_forward(*(slip *)ctx, shape, f);
    if (b) slip_backward(*(slip *)ctx, shape, b, before);
    return true;
}

static bool holds(fmha_check_fn *fn, slip which, char *what, size_t size) {
    fmha_subject subject = {.run = run_slipping, .ctx = &which};
    json_t *evidence = NULL;
    spak_error err = {""};
    bool ran = fmha_check_run(fn, &subject, NULL, &evidence, &err), good;
    if (!ran) printf("Bail out! %s\n", err.message), exit(1);
    good = spak_json_bool(evidence, "holds", false);
    snprintf(what, size, "%s", spak_json_str(json_object_get(evidence, "counterexample"), "what", ""));
    json_decref(evidence);
    return good;
}

static void planted(void) {
    char what[256];
    ok(holds(fmha_check_written, NO_SLIP, what, sizeof what), "a sound kernel writes all and no more %s", what);
    ok(holds(fmha_check_reads, NO_SLIP, what, sizeof what), "and touches nothing outside %s", what);
    for (slip s = LEAVES_LAST_ROW; s <= LEAVES_DK_OF_A_GROUP; s++)
        ok(!holds(fmha_check_written, s, what, sizeof what) && strstr(what, "not written"), "%s: %s", names[s], what);
    for (slip s = READS_AFTER_K; s < SLIPS; s++)
        ok(!holds(fmha_check_reads, s, what, sizeof what) && strstr(what, "touched memory"), "%s: %s", names[s], what);
    for (slip s = WRITES_AFTER_LSE; s < SLIPS; s++)
        ok(!holds(fmha_check_written, s, what, sizeof what) && strstr(what, "was written"),
           "%s is seen by the guards too: %s", names[s], what);
}

static void kernels(void) {
    static const char *const invariants[] = {"every_element_written_once", "no_read_outside"};
    for (int i = 0; i < 2; i++) {
        json_t *evidence = NULL;
        spak_error err = {""};
        const dev_invariant *invariant = NULL;
        for (int k = 0; k < FMHA_NUM_INVARIANTS; k++)
            if (!strcmp(fmha_invariants[k].name, invariants[i])) invariant = &fmha_invariants[k];
        ok(invariant && invariant->check(NULL, &evidence, &err) && spak_json_bool(evidence, "holds", false),
           "the kernels keep %s %s%s", invariants[i], err.message,
           spak_json_str(json_object_get(evidence, "counterexample"), "what", ""));
        ok(spak_json_int(evidence, "cases", 0) >= 30, "... in %lld runs", spak_json_int(evidence, "cases", 0));
        json_decref(evidence);
    }
}

static void shares(void) {
    uint32_t first[] = {0, 3, 4}, second[] = {1, 2}, twice[] = {1, 2, 3}, beyond[] = {1, 2, 5};
    const fmha_share good[] = {{first, 3}, {second, 2}}, none[] = {{first, 3}, {second, 1}},
                     both[] = {{first, 3}, {twice, 3}}, outside[] = {{first, 3}, {beyond, 3}};
    ok(fmha_covers(good, 2, 5), "units dealt out");
    ok(!fmha_covers(none, 2, 5), "a unit without a thread is found");
    ok(!fmha_covers(both, 2, 5), "a unit with two threads is found");
    ok(!fmha_covers(outside, 2, 5), "a unit that does not exist is found");
}

int main(void) {
    spak_json_init();
    planted();
    kernels();
    shares();
    return done_testing();
}
