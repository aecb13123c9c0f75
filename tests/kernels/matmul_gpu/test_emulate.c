/* The GPU's kernels, their very source, on the emulator: right sums, nothing read outside, every element written once,
 * whatever the schedule; the same bits each time. Longer shapes: tests/long. */
#include "cases.h"

static void test_variant(const emulate_matmul *v) {
    static const int shapes[][3] = {{1, 1, 1},    {1, 13, 127}, {13, 127, 1},  {64, 64, 64},
                                    {65, 72, 96}, {13, 1, 257}, {127, 130, 33}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        emulate_matmul_case x = shaped(v, shapes[i][0], shapes[i][1], shapes[i][2]);
        passes(&x, 2, "plain");
    }
    emulate_matmul_case x = shaped(v, 70, 45, 51);
    x.gap = v->aligned ? 16 : 3;
    x.alpha = 0.75f;
    x.beta = -1.5f;
    passes(&x, 4, "gaps between rows, alpha and beta");
    x = shaped(v, 9, 17, 0);
    x.beta = 2;
    passes(&x, 1, "an empty sum");
    x = shaped(v, 0, 5, 7);
    passes(&x, 1, "no rows");
}

int main(int argc, char **argv) {
    for (size_t i = 0; i < emulate_num_matmuls; i++)
        if (argc < 2 || strstr(emulate_matmuls[i]->name, argv[1])) test_variant(emulate_matmuls[i]);
    return done_testing();
}
