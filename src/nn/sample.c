/* A token from logits, as nanoGPT's generate() draws it: of the top_k best (and all that equal the last of these), with
 * the probabilities of softmax(logits / temperature). */
#include <math.h>
#include <string.h>

#include "nn/nn.h"

/* Floats as unsigned numbers in the same order. */
static uint32_t ordered(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* The largest number that at least k logits reach, bit by bit: 32 looks at the logits, no memory, no sorting. */
static uint32_t kth_largest(const float *logits, size_t vocab, size_t k) {
    uint32_t found = 0;
    for (int bit = 31; bit >= 0; bit--) {
        uint32_t tried = found | (uint32_t)1 << bit;
        size_t reach = 0;
        for (size_t i = 0; i < vocab; i++) reach += ordered(logits[i]) >= tried;
        if (reach >= k) found = tried;
    }
    return found;
}

static size_t best_of(const float *logits, size_t vocab) {
    size_t best = 0;
    for (size_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

int32_t nn_sample(const float *logits, size_t vocab, float temperature, size_t top_k, double u) {
    size_t best = best_of(logits, vocab), last = best;
    if (!(temperature > 0)) return (int32_t)best;
    uint32_t least = top_k && top_k < vocab ? kth_largest(logits, vocab, top_k) : 0;
    double sum = 0, below = 0;
#define WEIGHT(i) \
    (ordered(logits[i]) < least ? 0 : exp(((double)logits[i] - (double)logits[best]) / (double)temperature))
    for (size_t i = 0; i < vocab; i++) sum += WEIGHT(i);
    for (size_t i = 0; i < vocab; i++) {
        double weight = WEIGHT(i);
        below += weight;
        if (weight > 0) last = i;
        if (weight > 0 && u * sum < below) return (int32_t)i;
    }
#undef WEIGHT
    return (int32_t)last; /* u * sum was rounded up to the sum */
}
