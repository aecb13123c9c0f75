/* Every operator, by name. A new one adds its folder, and its line here. */
#include "device/op.h"
#include "matmul/matmul.h"
#include "microgpt/microgpt.h"

const dev_op *const dev_ops[] = {&matmul_op, &microgpt_op, NULL};
