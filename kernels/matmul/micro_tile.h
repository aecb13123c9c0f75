/* A register tile, as a template: included once for each tile by
 * micro_portable.c, micro_avx2.c and micro_avx512.c, which define the vector
 * type and its five operations
 *
 *   vec, VLEN (floats in a vec), v_zero(), v_load(p) (p aligned), v_loadu(p),
 * v_storeu(p, v), v_set1(x), v_fma(a, b, c)
 *
 * and for each tile
 *
 *   MR  rows of C, a literal number      NV  vectors in a row of C      NAME(x)
 * a prefix for the tile's functions
 *
 * The function's text is the same for all; the compiler unrolls the loops over
 * the tile, whose lengths are constants, and keeps `acc` in registers. MR * NV
 * accumulators, NV vectors of B and one of A must fit the register file. */

//> micro_kernel
/* acc[MR][NV] stays in registers for the whole of k. One step of k loads NV
 * vectors of B and MR floats of A, each copied to all lanes, and does MR * NV
 * multiply-adds. Each turn also asks for a row of C, for A a little ahead and
 * for a share of the next panel of B: all at once they would take every
 * line-fill buffer from the panels. */
INLINE void NAME(step)(const int rows, const float *a, const float *b,
                       vec acc[MR][NV]) {
    vec row[NV];
    UNROLL for (int j = 0; j < NV; j++) row[j] = v_load(b + j * VLEN);
    UNROLL for (int i = 0; i < rows; i++) {
        vec x = v_set1(a[i]);
        UNROLL for (int j = 0; j < NV; j++) acc[i][j] =
            v_fma(x, row[j], acc[i][j]);
    }
}

INLINE void NAME(body)(const int rows, const matmul_panels *x, float *c,
                       size_t ldc, const bool prefetch) {
    const float *a = x->a, *b = x->b;
    const char *next = x->next;
    vec acc[MR][NV];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < NV; j++)
        acc[i][j] = v_zero();
    const float *row_of_c = c;
    size_t p = x->kb, rows_left = (size_t)rows;
    for (; p >= STEPS; p -= STEPS, a += STEPS * MR, b += STEPS * NV * VLEN) {
        if (prefetch) {
            prefetch_floats(a + x->ahead * MR, STEPS * MR);
            prefetch_later(next);
            prefetch_floats(row_of_c, NV * VLEN);
            next += x->next_stride;
            if (rows_left > 1) row_of_c += ldc, rows_left--;
        }
        UNROLL for (int q = 0; q < STEPS; q++)
            NAME(step)(rows, a + q * MR, b + q * NV * VLEN, acc);
    }
    for (; p > 0; p--, a += MR, b += NV * VLEN) NAME(step)(rows, a, b, acc);
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < NV; j++) {
        float *to = c + i * ldc + j * VLEN;
        v_storeu(to, x->accumulate ? v_add(acc[i][j], v_loadu(to)) : acc[i][j]);
    }
}
//< micro_kernel

/* One function for each number of rows: the last panel of a matrix then costs
 * what its rows cost. Prefetching is worth its code only in whole tiles. */
#define ROWS_FUNCTION(r)                                                       \
    static void NAME(rows_##r)(const matmul_panels *x, float *c, size_t ldc) { \
        NAME(body)(r, x, c, ldc, false);                                       \
    }
#define ROWS_ENTRY(r) NAME(rows_##r),

TILE_ROWS(MR, ROWS_FUNCTION)

static void (*const NAME(by_rows)[MR])(const matmul_panels *, float *,
                                       size_t) = {TILE_ROWS(MR, ROWS_ENTRY)};

static void NAME(whole)(const matmul_panels *x, float *c, size_t ldc) {
    NAME(body)(MR, x, c, ldc, true);
}

/* Columns at the right edge: the panel of B is padded with zeros, so the whole
 * tile is computed, into a buffer, and what belongs to C is taken over. The
 * arithmetic of an element does not depend on where the edge is. */
static void NAME(micro)(const matmul_panels *x, float *c, size_t ldc,
                        size_t rows, size_t cols) {
    enum { NR = NV * VLEN };
    if (cols == NR) {
        if (x->ahead && rows == MR)
            NAME(whole)(x, c, ldc);
        else
            NAME(by_rows)[rows - 1](x, c, ldc);
        return;
    }
    float tile[MR * NR];
    matmul_panels edge = *x;
    edge.accumulate = false;
    edge.ahead = 0;
    NAME(by_rows)[rows - 1](&edge, tile, NR);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            c[i * ldc + j] = x->accumulate ? tile[i * NR + j] + c[i * ldc + j]
                                           : tile[i * NR + j];
}

#undef ROWS_FUNCTION
#undef ROWS_ENTRY
#undef MR
#undef NV
#undef NAME
