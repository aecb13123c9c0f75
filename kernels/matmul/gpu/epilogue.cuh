/* What happens to a finished sum, in f32, on its way to C:
 *
 *   pre = alpha x + beta C + bias         (stored when EPI_GELU)
 *   C   = residual + act(pre)
 *
 * params.h says which macro switches what on. GELU is applied to `pre` before
 * that is rounded. With beta = 0, C is not read, so it may hold anything.
 *
 * A thread calls it on 1, 2 or 8 neighbouring elements of a row: 2 is how the
 * matrix units leave them in a lane, 8 is 16 bytes of C. ALIGNED promises that
 * their addresses are aligned to their size. */
#ifndef SPAK_MATMUL_GPU_EPILOGUE_CUH
#define SPAK_MATMUL_GPU_EPILOGUE_CUH

#include "matmul/gpu/params.h"
#include "ptx/types.cuh"

#ifndef ALIGNED
#define ALIGNED 0
#endif
#ifndef OUT_F32
#define OUT_F32 0
#endif
#ifndef EPI_BIAS
#define EPI_BIAS 0
#endif
#ifndef EPI_GELU
#define EPI_GELU 0
#endif
#ifndef EPI_RESIDUAL
#define EPI_RESIDUAL 0
#endif
#ifndef EPI_BETA
#define EPI_BETA 0
#endif

/* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, with (1 + tanh(u)) / 2 =
 * 1 / (1 + exp(-2u)): one exponential, and right at both ends: exp gives 0 or
 * infinity, the quotient x or 0. */
DEVICE float gelu(float x) {
    float u = 0.7978845608f * (x + 0.044715f * x * x * x);
    return divide(x, 1.0f + __expf(-2.0f * u));
}

/* count = 1, 2 or 8 neighbouring elements; a constant where this is called. */
DEVICE void load_elements(const element *at, float *x, int count) {
    if (count == 8) {
        vec16 v = load_vec16(at);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            x[2 * i] = first_element(v.x[i]);
            x[2 * i + 1] = second_element(v.x[i]);
        }
    } else if (count == 2) {
        unsigned pair = load_word(at);
        x[0] = first_element(pair);
        x[1] = second_element(pair);
    } else {
        x[0] = element_to_float(load_element(at));
    }
}

DEVICE void store_elements(element *at, const float *x, int count) {
    if (count == 8) {
        vec16 v;
#pragma unroll
        for (int i = 0; i < 4; i++)
            v.x[i] = pack_elements(x[2 * i], x[2 * i + 1]);
        store_vec16(at, v);
    } else if (count == 2) {
        store_word(at, pack_elements(x[0], x[1]));
    } else {
        store_element(at, element_from_float(x[0]));
    }
}

#if OUT_F32
typedef float output;

DEVICE void load_outputs(const output *at, float *x, int count) {
#pragma unroll
    for (int i = 0; i < count; i++) x[i] = word_to_float(load_word(at + i));
}

DEVICE void store_outputs(output *at, const float *x, int count) {
    if (count == 8) {
#pragma unroll
        for (int h = 0; h < 8; h += 4) {
            vec16 v;
#pragma unroll
            for (int i = 0; i < 4; i++) v.x[i] = word_of_float(x[h + i]);
            store_vec16(at + h, v);
        }
    } else {
#pragma unroll
        for (int i = 0; i < count; i++) store_word(at + i, word_of_float(x[i]));
    }
}
#else
typedef element output;
#define load_outputs  load_elements
#define store_outputs store_elements
#endif

/* No more than a factor. */
#define EPI_PLAIN (!EPI_BIAS && !EPI_GELU && !EPI_RESIDUAL && !EPI_BETA)

/* The sums x of elements (row, col) ... (row, col + count - 1), which all
 * exist, become what C is to hold. count is 1, 2 or 8, and a constant. */
DEVICE void finish(const matmul_params *p, int row, int col, float *x,
                   int count) {
    const long long at = (long long)row * p->ldc + col;
    float other[8];
#pragma unroll
    for (int i = 0; i < count; i++) x[i] *= p->alpha;
#if EPI_BETA
    if (p->beta != 0.0f) {
        load_outputs((const output *)p->c + at, other, count);
#pragma unroll
        for (int i = 0; i < count; i++) x[i] += p->beta * other[i];
    }
#endif
#if EPI_BIAS
    load_elements((const element *)p->bias + col, other, count);
#pragma unroll
    for (int i = 0; i < count; i++) x[i] += other[i];
#endif
#if EPI_GELU
    store_elements((element *)p->pre + at, x, count);
#pragma unroll
    for (int i = 0; i < count; i++) x[i] = gelu(x[i]);
#endif
#if EPI_RESIDUAL
    load_elements((const element *)p->residual + at, other, count);
#pragma unroll
    for (int i = 0; i < count; i++) x[i] += other[i];
#endif
    (void)at, (void)other;
}

/* The same, and stores it. */
DEVICE void epilogue(const matmul_params *p, int row, int col, float *x,
                     int count) {
    finish(p, row, col, x, count);
    store_outputs((output *)p->c + (long long)row * p->ldc + col, x, count);
}

/* finish for (row, col) and (row, col + 1), col even, as far as they lie in C:
 * for kernels that store C by other means, which clip. */
DEVICE void finish_pair(const matmul_params *p, int row, int col, float *x) {
#if EPI_PLAIN
    (void)row, (void)col;
    x[0] *= p->alpha;
    x[1] *= p->alpha;
#else
    if (row >= p->m || col >= p->n) return;
#if ALIGNED
    finish(p, row, col, x, 2);
#else
    finish(p, row, col, x, 1);
    if (col + 1 < p->n) finish(p, row, col + 1, x + 1, 1);
#endif
#endif
}

/* epilogue for (row, col) and (row, col + 1) as far as they lie in C: what a
 * lane holds of a fragment of the matrix units; col is even. */
DEVICE void epilogue_pair(const matmul_params *p, int row, int col, float x0,
                          float x1) {
    float x[2] = {x0, x1};
    if (row >= p->m || col >= p->n) return;
#if ALIGNED
    epilogue(p, row, col, x, 2);
#else
    epilogue(p, row, col, x, 1);
    if (col + 1 < p->n) epilogue(p, row, col + 1, x + 1, 1);
#endif
}

#endif
