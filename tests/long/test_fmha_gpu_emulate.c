/* The GPU's portable attention on the emulator: the lengths of claim N3, and shapes drawn at random. */
#include "../kernels/fmha_gpu/cases.h"
#include "base/rng.h"

static void test_lengths(const emulate_fmha *v) {
    static const int lengths[] = {1, 13, 64, 127, 257, 1023};
    const bool decode = v->family == EMULATE_FMHA_DECODE;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const int n = lengths[i];
        /* The longest with a short side: an emulated product takes microseconds. */
        emulate_fmha_case x = shaped(v, v->varlen ? 2 : 1, decode ? (n < 5 ? n : 5) : n > 257 ? 65 : n, n);
        if (decode) x.slices = 1 + (int)i;
        passes(x, 2, "a length of N3");
    }
    if (decode) return;
    passes(shaped(v, 1, 1023, 40), 1, "more queries than keys");
}

/* From 1 to most, small ones often. */
static int draw(uint64_t seed, uint64_t stream, uint64_t *at, int most) {
    const double u = spak_philox_uniform(seed, stream, (*at)++);
    return 1 + (int)(u * u * most * 0.999);
}

static void test_random(const emulate_fmha *v, uint64_t seed) {
    const bool decode = v->family == EMULATE_FMHA_DECODE;
    uint64_t at = 0;
    for (int i = 0; i < 12; i++) {
        const int batch = draw(seed, 1, &at, 3), group = draw(seed, 1, &at, 4);
        emulate_fmha_case x = shaped(v, batch, draw(seed, 1, &at, decode ? 16 : 100), draw(seed, 1, &at, 300));
        x.kv_heads = draw(seed, 1, &at, 2);
        x.heads = x.kv_heads * group;
        x.window = draw(seed, 1, &at, x.kv_len) - 1;
        x.slices = decode ? draw(seed, 1, &at, 5) : 1;
        x.by_tokens = i % 2;
        x.gap = i % 3 * 8;
        x.seed = seed + (uint64_t)i;
        if (i % 4 == 3) x.logits = 100;
        for (int b = 0; b < batch; b++) { /* sometimes none at all */
            x.queries[b] = draw(seed, 1, &at, x.q_len + 1) - 1;
            x.keys[b] = draw(seed, 1, &at, x.kv_len + 1) - 1;
        }
        passes(x, 2, "at random");
    }
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < emulate_num_fmhas; i++) {
        if (argc > 1 && !strstr(emulate_fmhas[i]->name, argv[1])) continue;
        test_lengths(emulate_fmhas[i]);
        test_random(emulate_fmhas[i], 7 + i);
    }
    return done_testing();
}
