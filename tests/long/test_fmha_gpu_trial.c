/* Attention's trial on the pretended GPU: masks, groups, lengths, layouts and inputs, both passes, all of them right.
 */
#include "../kernels/fmha_gpu/trial_right.h"

static void right_ones(void) {
    is_right("causal, grouped", "{}");
    is_right("all keys", "{\"causal\": false}");
    is_right("more queries than keys", "{\"q_len\": 23}");
    is_right("by tokens", "{\"layout\": \"bthd\"}");
    is_right("a window", "{\"window\": 3}");
    is_right("lengths of their own", "{\"batch\": 3, \"varlen\": true}");
    is_right("large logits", "{\"inputs\": \"large\"}");
    is_right("tiny logits", "{\"inputs\": \"tiny\"}");
    is_right("equal scores", "{\"inputs\": \"equal\"}");
    is_right("backward", "{\"pass\": \"backward\", \"deterministic\": true}");
    is_right("backward, lengths of their own", "{\"pass\": \"backward\", \"batch\": 2, \"varlen\": true}");
    is_right("backward, more queries than keys", "{\"pass\": \"backward\", \"q_len\": 20, \"kv_len\": 9}");
}

int main(void) {
    right_ones();
    return done_testing();
}
