/* The GPU's portable attention, its very source, on the emulator: O and LSE within the bound of the arithmetic, nothing
 * read outside, every element written once, whatever the schedule; the same bits each time. Longer: tests/long. */
#include "cases.h"

static void test_forward(const emulate_fmha *v) {
    static const int lengths[][2] = {{1, 1}, {13, 13}, {64, 64}, {13, 70}, {70, 13}, {33, 127}};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        passes(shaped(v, v->varlen ? 2 : 1, lengths[i][0], lengths[i][1]), i == 5 ? 2 : 1, "plain");
    emulate_fmha_case x = shaped(v, 2, 19, 37);
    x.heads = 4;
    x.kv_heads = 2;
    x.by_tokens = true;
    x.gap = 8;
    passes(x, 1, "grouped heads, by tokens, gaps");
    x = shaped(v, 1, 20, 80);
    x.logits = 1e4;
    passes(x, 1, "scores of 10^4");
    x = shaped(v, 1, 5, 40);
    x.window = 0;
    passes(x, 1, "a window of one key");
}

static void test_decode(const emulate_fmha *v) {
    static const int lengths[][2] = {{1, 1}, {1, 13}, {1, 257}, {5, 130}, {16, 3}};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        passes(shaped(v, v->varlen ? 3 : 1, lengths[i][0], lengths[i][1]), i == 2 ? 2 : 1, "plain");
    emulate_fmha_case x = shaped(v, 2, 3, 300);
    x.heads = 8;
    x.kv_heads = 2;
    x.slices = 3;
    x.by_tokens = true;
    x.gap = 8;
    passes(x, 2, "grouped heads, three slices");
    x = shaped(v, 1, 11, 150);
    x.heads = 3;
    x.slices = 2;
    passes(x, 1, "more rows than a tile, grouped");
    x = shaped(v, 1, 1, 9);
    x.slices = 4;
    passes(x, 1, "more slices than tiles");
    x = shaped(v, 1, 2, 200);
    x.logits = 1e4;
    x.slices = 2;
    passes(x, 1, "scores of 10^4");
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < emulate_num_fmhas; i++) {
        const emulate_fmha *v = emulate_fmhas[i];
        if (argc > 1 && !strstr(v->name, argv[1])) continue;
        if (v->family == EMULATE_FMHA_DECODE)
            test_decode(v);
        else
            test_forward(v);
    }
    return done_testing();
}
