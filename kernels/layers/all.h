/* All kernels for one instruction set; the file that includes this has defined
 * what vec.h asks for, MR, and LAYERS_TABLE. */
#include "layers/vec.h"
#include "layers/vmath.h"
/* what they need stands above */
#include "layers/elements.h"
#include "layers/philox.h"
/* rows */
#include "layers/act_rows.h"
#include "layers/loss_rows.h"
#include "layers/norm_rows.h"
#include "layers/rope_rows.h"
/* and products */
#include "layers/pack.h"
#include "layers/product.h"
/* after them */
#include "layers/attention.h"

const layers_kernels LAYERS_TABLE = {
    .lanes = LANES,
    .add = add,
    .sum = sum,
    .sum_squares = sum_squares,
    .adamw = adamw,
    .dropout = dropout,
    .add_columns = add_columns,
    .norm = norm,
    .norm_backward = norm_backward,
    .act = {gelu_erf_rows, gelu_tanh_rows, relu_rows, silu_rows, swiglu_rows},
    .act_backward = {gelu_erf_backward, gelu_tanh_backward, relu_backward,
                     silu_backward, swiglu_backward},
    .rope = rope,
    .cross_entropy = cross_entropy,
    .argmax = argmax,
    .pack_rows = pack_rows,
    .pack_columns = pack_columns,
    .product = product,
    .dots = dots,
    .attend = attend,
    .attend_backward = attend_backward,
};
