/* The GPU's matrix products on the emulator, several tiles each way. */
#include "../kernels/matmul_gpu/cases.h"

int main(void) {
    for (size_t i = 0; i < emulate_num_matmuls; i++) {
        emulate_matmul_case x = shaped(emulate_matmuls[i], 257, 127, 257);
        passes(&x, 4, "several tiles each way");
        x = shaped(emulate_matmuls[i], 127, 513, 127);
        x.beta = 0.5f;
        passes(&x, 2, "a wide product");
        x = shaped(emulate_matmuls[i], 5, 3, 1000);
        passes(&x, 2, "a long sum");
    }
    return done_testing();
}
