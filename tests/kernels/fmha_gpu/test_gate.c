/* The gate of attention on the GPU: every invariant holds, and each planted fault is caught by the one that is there
 * for it. */
#include "../../gate.h"
#include "fmha/gpu/fmha_gpu.h"

static const char *const caught_by[FMHA_GPU_FAULTS] = {
    "every_pair_visited_once",
    "every_pair_visited_once",
    "every_pair_visited_once",
    "every_pair_visited_once",
    "every_pair_visited_once",
    "every_element_written_once",
    "every_element_written_once",
    "every_element_written_once",
    "grouped_heads_map",
    "grouped_heads_map",
    "every_pair_visited_once",
    "pipeline_never_overwrites",
    "pipeline_never_overwrites",
    "pipeline_never_overwrites",
    "pipeline_never_overwrites",
    "pipeline_never_overwrites",
    "pipeline_never_overwrites",
    "online_merge_is_associative",
    "online_merge_is_associative",
    "online_merge_is_associative",
    "online_merge_is_associative",
    "masked_row_is_zero",
    "masked_row_is_zero",
    "threads_do_not_change_bits",
    "threads_do_not_change_bits",
    "threads_do_not_change_bits",
    "resources_fit",
    "resources_fit",
    "no_read_outside",
};

int main(void) {
    gate_is_sound(&fmha_gpu_op, 1);
    gate_is_sound(&fmha_gpu_op, 2);
    gate_is_tight(&fmha_gpu_op, caught_by);
    return done_testing();
}
