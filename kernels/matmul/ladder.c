/* The lower steps of the ladder, each one idea above the one before, in portable C. All of them do the same 2 m n k
 * operations; what changes is where the operands come from. Roofline in one line: an element of A or B that is fetched
 * from memory for every use limits the speed to the memory's; the higher steps fetch it rarely and use it often. */
#include <string.h>

#include "matmul/matmul.h"

static size_t min(size_t a, size_t b) { return a < b ? a : b; }

static void zero_c(const matmul_args *x) {
    for (size_t i = 0; i < x->m; i++) memset(x->c + i * x->ldc, 0, x->n * sizeof(float));
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
            float sum = 0;
            for (size_t p = 0; p < x->k; p++)
                sum += x->a[i * sa.row + p * sa.column] * x->b[p * sb.row + j * sb.column];
            x->c[i * x->ldc + j] = sum;
        }
}
//< naive

//> loop_order
/* The same operations with the two inner loops exchanged. Now the innermost
 * loop runs along a row of B and a row of C: every byte of a fetched line is
 * used, and the n additions of one pass do not wait for each other, so the
 * compiler may use vector instructions. The price: C is read and written k
 * times. */
void matmul_loop_order(const matmul_args *x) {
    matmul_strides sa = matmul_strides_a(x), sb = matmul_strides_b(x);
    zero_c(x);
    for (size_t i = 0; i < x->m; i++)
        for (size_t p = 0; p < x->k; p++) {
            float a = x->a[i * sa.row + p * sa.column];
            for (size_t j = 0; j < x->n; j++) x->c[i * x->ldc + j] += a * x->b[p * sb.row + j * sb.column];
        }
}
//< loop_order

//> blocked
/* Three more loops cut the product into blocks of mc x kc of A, kc x nc of B
 * and mc x nc of C, small enough that the block of B stays in the cache while
 * the rows of A pass by. A block of B that is fetched once is used mc times;
 * before, it was fetched for each row anew. */
void matmul_blocked(const matmul_args *x, size_t mc, size_t kc, size_t nc) {
    matmul_strides sa = matmul_strides_a(x), sb = matmul_strides_b(x);
    zero_c(x);
    for (size_t j0 = 0; j0 < x->n; j0 += nc)
        for (size_t p0 = 0; p0 < x->k; p0 += kc)
            for (size_t i0 = 0; i0 < x->m; i0 += mc) {
                size_t j1 = min(j0 + nc, x->n), p1 = min(p0 + kc, x->k);
                size_t i1 = min(i0 + mc, x->m);
                for (size_t i = i0; i < i1; i++)
                    for (size_t p = p0; p < p1; p++) {
                        float a = x->a[i * sa.row + p * sa.column];
                        const float *b = x->b + p * sb.row;
                        float *c = x->c + i * x->ldc;
                        for (size_t j = j0; j < j1; j++) c[j] += a * b[j * sb.column];
                    }
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
static void pack_block(float *dst, const float *src, matmul_strides s, size_t rows, size_t cols) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) dst[r * cols + c] = src[r * s.row + c * s.column];
}
//< packing

/* `blocked` on packed blocks: both inner loops now run over dense memory, whatever the inputs' layout. */
void matmul_packed(const matmul_args *x, size_t mc, size_t kc, size_t nc, float *pack_a, float *pack_b) {
    matmul_strides sa = matmul_strides_a(x), sb = matmul_strides_b(x);
    zero_c(x);
    for (size_t j0 = 0; j0 < x->n; j0 += nc)
        for (size_t p0 = 0; p0 < x->k; p0 += kc) {
            size_t nb = min(nc, x->n - j0), kb = min(kc, x->k - p0);
            pack_block(pack_b, x->b + p0 * sb.row + j0 * sb.column, sb, kb, nb);
            for (size_t i0 = 0; i0 < x->m; i0 += mc) {
                size_t mb = min(mc, x->m - i0);
                pack_block(pack_a, x->a + i0 * sa.row + p0 * sa.column, sa, mb, kb);
                for (size_t i = 0; i < mb; i++) {
                    float *restrict c = x->c + (i0 + i) * x->ldc + j0;
                    for (size_t p = 0; p < kb; p++) {
                        const float a = pack_a[i * kb + p], *restrict b = pack_b + p * nb;
                        for (size_t j = 0; j < nb; j++) c[j] += a * b[j];
                    }
                }
            }
        }
}
