/* Every operator, by name. A new one adds its folder, and its line here. */
#include "device/op.h"
#include "fmha/fmha.h"
#include "matmul/matmul.h"
#include "microgpt/microgpt.h"

const dev_op *const dev_ops[] = {&matmul_op, &fmha_op, &microgpt_op, NULL};
