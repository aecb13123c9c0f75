/* One variant of a kernel in fmha/gpu as an emulate_fmha. The file that
 * includes it has defined VARIANT, which kernel (UNFUSED, FUSED or DECODE), and
 * the kernel's own macros; a file that plants a fault, also NAME, and whatever
 * makes it. */
#include "emulate/fmha.h"

#define SPAK_EMULATE
#if defined(UNFUSED)
#include "fmha/gpu/unfused.cu"
#define FAMILY EMULATE_FMHA_UNFUSED
#elif defined(FUSED)
#include "fmha/gpu/mma_sync.cu"
#define FAMILY EMULATE_FMHA_FUSED
#elif defined(DECODE)
#include "fmha/gpu/decode.cu"
#define FAMILY EMULATE_FMHA_DECODE
#endif

#define RUN(name, kernel)                         \
    static void name(const void *params) {        \
        kernel(*(const fmha_gpu_params *)params); \
    }
#if defined(UNFUSED)
RUN(run0, fmha_scores)
RUN(run1, fmha_softmax)
RUN(run2, fmha_values)
#define KERNELS \
    { run0, run1, run2 }
enum {
    SMEM_SCORES = (TILE_M + TILE_N) * ROW_BYTES,
    SMEM_STAGES = V_STAGES * STAGE_BYTES,
    SMEM_O = TILE_M * ROW_BYTES
};
#define SMEM \
    { SMEM_SCORES, 0, SMEM_STAGES > SMEM_O ? SMEM_STAGES : SMEM_O }
#elif defined(FUSED)
RUN(run0, fmha)
#define KERNELS \
    { run0 }
#define SMEM \
    { SMEM_BYTES }
#else
RUN(run0, fmha_decode)
RUN(run1, fmha_combine)
#define KERNELS \
    { run0, run1 }
#define SMEM \
    { SMEM_BYTES, 0 }
#endif

#define GLUE_(a, b) a##b
#define GLUE(a, b)  GLUE_(a, b)
#define TEXT_(a)    #a
#define TEXT(a)     TEXT_(a)

extern const emulate_fmha GLUE(emulate_fmha_, VARIANT);
const emulate_fmha GLUE(emulate_fmha_, VARIANT) = {
    TEXT(VARIANT), FAMILY, KERNELS,  SMEM,   THREADS, HEAD_DIM,
    TILE_M,        TILE_N, TYPE_F16, CAUSAL, WINDOW,  VARLEN,
};
