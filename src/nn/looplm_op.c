/* LoopLM as an operator: its invariants, its faults, its studies and its trial, for the loop to drive. */
#include "nn/looplm_gate.h"

NN_INVARIANT(looplm_op, masks, looplm_masks, 20)
NN_INVARIANT(looplm_op, disjoint, looplm_disjoint, 100)
NN_INVARIANT(looplm_op, one_format, looplm_one_format, 50)
NN_INVARIANT(looplm_op, by_heart, looplm_by_heart, 2)
NN_INVARIANT(looplm_op, all_train, looplm_all_train, 1)
NN_INVARIANT(looplm_op, differences, looplm_differences, 1)
NN_INVARIANT(looplm_op, against_oracle, looplm_against_oracle, 2)
NN_INVARIANT(looplm_op, threads, looplm_threads, 1)
NN_INVARIANT(looplm_op, sees, looplm_sees, 1)
NN_INVARIANT(looplm_op, cache, looplm_cache, 1)
NN_INVARIANT(looplm_op, halting, looplm_halting, 1)

static const dev_invariant invariants[] = {
    {"masks_on_the_answer",
     "read back from their text, batches of every layout hold right sums, with targets on the whole answer and on "
     "nothing "
     "else",
     masks},
    {"train_and_test_disjoint", "of all problems below 100 + 100, none that training draws is asked in a test",
     disjoint},
    {"one_format", "training and evaluation write the same problem as the same tokens", one_format},
    {"one_batch_by_heart", "a looped and a static model learn one batch to a loss below 0.1 within 200 steps",
     by_heart},
    {"gradients_match_differences",
     "in double precision the gradient of every tensor is the difference of the loss, through all loops", differences},
    {"cpu_matches_oracle",
     "loss and gradients in single precision are those in double, within the roundings there and back", against_oracle},
    {"threads_do_not_change_bits", "after three steps with dropout the parameters are the same on 1 to 4 threads",
     threads},
    {"sees_only_what_it_may",
     "another token at one place changes no bit where mask, window and segments hide it, and every place that sees it",
     sees},
    {"cache_does_not_change_answers",
     "a token at a time with a cache the logits are those of the whole row, and greedy answers are right where those "
     "given the right tokens are",
     cache},
    {"halting_keeps_frozen_state",
     "a token that halts ends as if there were no further loop, hands later loops the keys of that state, and its "
     "loops "
     "are counted",
     halting},
    {"every_parameter_trains", "over a few batches each parameter that they use has a gradient", all_train},
};

/* In the order of nn_fault. */
const dev_fault looplm_faults[NN_NUM_FAULTS - 1] = {
    {"operands_not_masked", "the loss counts the operands too, which nothing foretells"},
    {"targets_one_late", "each target stands one place after the token that should foretell it"},
    {"carry_lost", "the sums in training carry out of the lowest column only"},
    {"test_problems_leak", "training draws problems that tests ask"},
    {"test_not_reversed", "evaluation writes numbers highest digit first: the 9.1 % illusion"},
    {"problems_share_a_segment", "problems of one packed row attend to each other, as in the source"},
    {"window_off_by_one", "attention reaches one digit further than it should"},
    {"answer_in_sight", "the causal mask is missing"},
    {"kinds_ignored", "the embedding of operand and answer is not added"},
    {"rope_of_another_base", "single precision turns by a base of 9,000 in place of 10,000"},
    {"norm_of_another_eps", "single precision adds 1e-3 under the root in place of 1e-5"},
    {"dropout_by_threads", "dropout draws other masks on another number of threads"},
    {"last_loop_alone_learns", "the gradient stops at the last loop's first state"},
    {"injection_not_learned", "the gradient does not enter x0 where it is added again"},
    {"rope_not_turned_back", "the gradient of queries and keys is not turned back"},
    {"last_loss_alone", "of the supervised loops only the last is counted"},
    {"gradients_pile_up", "gradients are not set to zero between steps"},
    {"cache_without_injection", "with a cache, x0 is not added before a loop"},
    {"cache_index_late", "with a cache, tokens after the prompt have the next digit's index"},
    {"halting_forgets_rope", "the keys of halted tokens are not turned, as in the source"},
    {"halted_go_on", "tokens that have halted are computed in later loops all the same"},
    {"loops_miscounted", "one loop too few is counted for a token that halts"},
};

const dev_op looplm_op = {
    .name = "looplm",
    .manifest = "src/nn/looplm.dsl",
    .invariants = invariants,
    .num_invariants = sizeof invariants / sizeof *invariants,
    .faults = looplm_faults,
    .num_faults = NN_NUM_FAULTS - 1,
    .studies = looplm_studies,
    .num_studies = LOOPLM_NUM_STUDIES,
    .trial = looplm_trial,
};
