/* The lower steps of the ladder, each one idea above the one before, in
 * portable C. All of them do the same 2 m n k operations; what changes is where
 * the operands come from. Roofline in one line: an element of A or B that is
 * fetched from memory for every use limits the speed to the memory's; the
 * higher steps fetch it rarely and use it often. */
#include <string.h>

#include "matmul/matmul.h"

static size_t min(size_t a, size_t b) { return a < b ? a : b; }

static void begin_c(const matmul_args *x) {
    if (x->accumulate) return;
    for (size_t i = 0; i < x->m; i++)
        memset(x->c + i * x->ldc, 0, x->n * sizeof(float));
}

/* c[0..n) += a * b[0..n), b's elements `stride` apart: one for an input that is
 * not transposed, and for that case the compiler gets a loop of its own. */
static __attribute__((noinline)) void add_scaled_row(float *restrict c, float a,
                                                     const float *restrict b,
                                                     size_t stride, size_t n) {
    if (stride == 1)
        for (size_t j = 0; j < n; j++) c[j] += a * b[j];
    else
        for (size_t j = 0; j < n; j++) c[j] += a * b[j * stride];
}

/* c[0..n) += the sum over p < k of a[p * a_stride] * (row p of b), four rows at
 * a time: c is then read and written once for four of them. */
static __attribute__((noinline)) void add_scaled_rows(
    float *restrict c, const float *restrict a, size_t a_stride,
    const float *restrict b, matmul_strides sb, size_t k, size_t n) {
    size_t p = 0;
    for (; p + 4 <= k; p += 4, a += 4 * a_stride, b += 4 * sb.row) {
        const float a0 = a[0], a1 = a[a_stride], a2 = a[2 * a_stride],
                    a3 = a[3 * a_stride];
        const float *b1 = b + sb.row, *b2 = b1 + sb.row, *b3 = b2 + sb.row;
        if (sb.column == 1)
            for (size_t j = 0; j < n; j++)
                c[j] += a0 * b[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j];
        else
            for (size_t j = 0, at = 0; j < n; j++, at += sb.column)
                c[j] += a0 * b[at] + a1 * b1[at] + a2 * b2[at] + a3 * b3[at];
    }
    for (; p < k; p++, a += a_stride, b += sb.row)
        add_scaled_row(c, a[0], b, sb.column, n);
}

//> naive
/* The formula as it stands: each element of C is a dot product of a row of A
 * and a column of B. The innermost loop walks down a column of B: each step
 * lands on another cache line, uses one float of it, and comes back for the
 * next one only after the line is long gone. And each addition waits for the
 * one before it. */
void matmul_naive(const matmul_args *x) {
    matmul_strides sa = matmul_strides_a(x), sb = matmul_strides_b(x);
    for (size_t i = 0; i < x->m; i++)
        for (size_t j = 0; j < x->n; j++) {
            const float *a = x->a + i * sa.row, *b = x->b + j * sb.column;
            float sum = 0;
            for (size_t p = 0; p < x->k; p++)
                sum += a[p * sa.column] * b[p * sb.row];
            float *c = x->c + i * x->ldc + j;
            *c = x->accumulate ? *c + sum : sum;
        }
}
//< naive

//> loop_order
/* The same operations with the two inner loops exchanged. Now the innermost
 * loop runs along a row of B and a row of C: every byte of a fetched line is
 * used, and the n additions of one pass do not wait for each other, so the
 * compiler may use vector instructions. The price: a row of C is read and
 * written once for every four steps of k that add_scaled_rows takes at a time.
 * This inner loop is the same in the next two steps. */
void matmul_loop_order(const matmul_args *x) {
    matmul_strides sa = matmul_strides_a(x), sb = matmul_strides_b(x);
    begin_c(x);
    for (size_t i = 0; i < x->m; i++)
        add_scaled_rows(x->c + i * x->ldc, x->a + i * sa.row, sa.column, x->b,
                        sb, x->k, x->n);
}
//< loop_order

//> blocked
/* Three more loops cut the product into blocks of mc x kc of A, kc x nc of B
 * and mc x nc of C, small enough that the block of B stays in the cache while
 * the rows of A pass by: it is fetched once and used mc times; before, it was
 * fetched for each row anew. */
void matmul_blocked(const matmul_args *x, size_t mc, size_t kc, size_t nc) {
    matmul_strides sa = matmul_strides_a(x), sb = matmul_strides_b(x);
    begin_c(x);
    for (size_t j0 = 0; j0 < x->n; j0 += nc)
        for (size_t p0 = 0; p0 < x->k; p0 += kc)
            for (size_t i0 = 0; i0 < x->m; i0 += mc) {
                const size_t nb = min(nc, x->n - j0), kb = min(kc, x->k - p0);
                const size_t i1 = min(i0 + mc, x->m);
                const float *b = x->b + p0 * sb.row + j0 * sb.column;
                for (size_t i = i0; i < i1; i++)
                    add_scaled_rows(x->c + i * x->ldc + j0,
                                    x->a + i * sa.row + p0 * sa.column,
                                    sa.column, b, sb, kb, nb);
            }
}
//< blocked

//> packing
/* Copies a block into a dense buffer: dst[r][c] = src(r, c). In the matrix its
 * rows lie a leading dimension apart: each on another page, and for powers of
 * two all in the same few cache sets, so that a block which would fit by its
 * size still evicts itself. In the buffer it is one piece of memory, and a
 * transposed input is no special case after it. The copy costs one pass over
 * the block, which is then used many times. */
static void pack_block(float *dst, const float *src, matmul_strides s,
                       size_t rows, size_t cols) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            dst[r * cols + c] = src[r * s.row + c * s.column];
}
//< packing

/* `blocked` on packed blocks: both inner loops now run over dense memory,
 * whatever the inputs' layout. */
void matmul_packed(const matmul_args *x, size_t mc, size_t kc, size_t nc,
                   float *pack_a, float *pack_b) {
    matmul_strides sa = matmul_strides_a(x), sb = matmul_strides_b(x);
    begin_c(x);
    for (size_t j0 = 0; j0 < x->n; j0 += nc)
        for (size_t p0 = 0; p0 < x->k; p0 += kc) {
            size_t nb = min(nc, x->n - j0), kb = min(kc, x->k - p0);
            pack_block(pack_b, x->b + p0 * sb.row + j0 * sb.column, sb, kb, nb);
            for (size_t i0 = 0; i0 < x->m; i0 += mc) {
                size_t mb = min(mc, x->m - i0);
                pack_block(pack_a, x->a + i0 * sa.row + p0 * sa.column, sa, mb,
                           kb);
                for (size_t i = 0; i < mb; i++)
                    add_scaled_rows(x->c + (i0 + i) * x->ldc + j0,
                                    pack_a + i * kb, 1, pack_b,
                                    (matmul_strides){nb, 1}, kb, nb);
            }
        }
}
