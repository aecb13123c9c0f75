#include "fmha/fmha.h"

static const char *peer(void) {
    return "unfused, three passes, matmul register tile";
}

const dev_op fmha_op = {
    .name = "fmha",
    .manifest = "kernels/fmha/fmha.dsl",
    .invariants = fmha_invariants,
    .num_invariants = FMHA_NUM_INVARIANTS,
    .faults = fmha_faults,
    .num_faults = FMHA_NUM_FAULTS,
    .studies = fmha_studies,
    .num_studies = FMHA_NUM_STUDIES,
    .trial = fmha_trial,
    .peer = peer,
};
