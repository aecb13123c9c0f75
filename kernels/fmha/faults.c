/* The mistakes that the fused kernels make on request, in the order of the
 * numbers in plan.h. Each is one that such a kernel can have and still look
 * right on some shapes. */
#include "fmha/plan.h"

const dev_fault fmha_faults[FMHA_NUM_FAULTS] = {
    {"accumulator_not_rescaled",
     "O keeps its weight when a later tile raises the maximum"},
    {"sum_not_rescaled",
     "the sum keeps its weight when a later tile raises the maximum"},
    {"running_maximum_forgotten",
     "P is taken relative to its own tile's maximum, not to the largest so "
     "far"},
    {"causal_one_key_more", "each query sees the key after its own"},
    {"causal_one_key_less", "no query sees its own key"},
    {"diagonal_tile_skipped",
     "a tile of keys that the diagonal crosses is skipped with those above "
     "it"},
    {"aligned_top_left",
     "the diagonal begins at the first key instead of ending at the last"},
    {"tail_keys_not_masked",
     "keys between kv_len and the end of the last tile count, with score 0"},
    {"tail_tile_dropped", "a last tile that is not full is left out"},
    {"scale_forgotten", "scores are not multiplied by scale"},
    {"wrong_kv_head", "query head h reads K and V of head h mod kv_heads"},
    {"floor_of_minus_infinity",
     "the maximum starts at minus infinity: a row without keys is NaN"},
    {"lse_without_maximum", "LSE is the logarithm of the rescaled sum alone"},
    {"lse_in_base_two", "LSE is in base 2"},
    {"empty_row_divided_by_zero",
     "a row that sees no key is divided by its sum, zero"},
    {"last_rows_from_neighbour",
     "a last tile of queries that is not full computes the tile before it"},
    {"scores_rounded_to_16_bits",
     "S is rounded to the 16-bit type before the softmax"},
    {"delta_forgotten", "backward: dS = P dP, without delta"},
    {"group_not_summed",
     "backward: dK and dV are those of the last head of a group"},
    {"scale_missing_in_dq", "backward: dQ is not multiplied by scale"},
    {"causal_forgotten_in_backward", "backward: P is recomputed without mask"},
    {"dv_from_unnormalised_p", "backward: dV from P before the division"},
    {"empty_row_in_backward",
     "backward: the LSE of a row without keys is used as it is"},
    {"parts_by_threads",
     "backward: a head's keys are cut into as many parts as there are "
     "threads, so dQ is another sum on another machine"},
};
