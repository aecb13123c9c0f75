/* Kernels with a fault planted into each: the cases of test_emulate.c do not let them through. */
#include "cases.h"

static const struct {
    const char *fault, *found; /* in what the check says */
} faults[] = {
    {"fault_wait", "bound"},    {"fault_barrier", "bound"},  {"fault_floor", "bound"},
    {"fault_mask", "bound"},    {"fault_rows", "conflicts"}, {"fault_sequence", "bound"},
    {"fault_shuffle", "bound"}, {"fault_maximum", "bound"},  {"fault_slice", "bound"},
};
enum { FAULTS = sizeof faults / sizeof *faults };

static void test_fault(const emulate_fmha *v, const char *found) {
    emulate_fmha_case x = shaped(v, v->varlen ? 2 : 1, v->family == EMULATE_FMHA_DECODE ? 2 : 80, 70);
    const char *wrong = NULL;
    spak_error err = {0};
    if (!strcmp(v->name, "fault_maximum")) x.logits = 1e4;
    if (v->family == EMULATE_FMHA_DECODE) x.slices = 2;
    for (size_t i = 0; i < 2 && !wrong; i++) {
        emulate_fmha_result r;
        x.schedule = schedules[i];
        wrong = emulate_fmha_run(&x, &r, &err) ? judge(&r) : err.message;
        if (wrong && !strstr(wrong, found)) printf("# %s\n", wrong);
    }
    ok(wrong && strstr(wrong, found), "%s is found: %s", v->name, wrong ? wrong : "it went through");
}

int main(void) {
    ok(emulate_num_fmha_faults == FAULTS, "each fault has a case");
    for (size_t i = 0; i < emulate_num_fmha_faults; i++)
        for (int f = 0; f < FAULTS; f++)
            if (!strcmp(emulate_fmha_faults[i]->name, faults[f].fault))
                test_fault(emulate_fmha_faults[i], faults[f].found);
    return done_testing();
}
