/* Every operator, by name. A new one adds its folder, and its line here. It is the command line's, on the top floor:
 * kernels and models alike stand below it. */
#include "device/op.h"
#include "fmha/fmha.h"
#include "fmha/gpu/fmha_gpu.h"
#include "matmul/gpu/matmul_gpu.h"
#include "matmul/matmul.h"
#include "microgpt/microgpt.h"
#include "nn/looplm.h"
#include "nn/nanogpt.h"

const dev_op *const dev_ops[] = {&matmul_op,   &matmul_gpu_op, &fmha_op,   &fmha_gpu_op,
                                 &microgpt_op, &nanogpt_op,    &looplm_op, NULL};
