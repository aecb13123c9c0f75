/* Products too small to be worth packing: heads of attention, a few rows.
 *
 * product: C = A B with a tile of MR rows by two vectors of C in registers. A
 * step of k loads two vectors of B where they are and MR numbers of A from
 * anywhere, each copied to all lanes. What packing would buy (no
 * cache-set conflicts, unit strides) does not matter while B lies in the first
 * or second level.
 *
 * dots: C = A B^T for few rows of A: two rows of A by four of B, lanes along k,
 * and one sum across lanes an element. Each row of B is read once from memory
 * for all rows of A: with one row its floor is B's bytes over the memory's
 * speed. */

INLINE void product_tile(const int rows, const int vecs,
                         const layers_product *x, size_t i, size_t j,
                         size_t n) {
    const float *a = x->a + i * x->a_row, *b = x->b + j;
    const size_t a_row = x->a_row, a_col = x->a_col, ldb = x->ldb;
    vec acc[MR][2];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vecs; v++)
        acc[r][v] = (vec){0};
    for (size_t p = 0; p < x->k; p++, a += a_col, b += ldb) {
        vec row[2];
        UNROLL for (int v = 0; v < vecs; v++) row[v] = v_load(b + v * LANES, n);
        UNROLL for (int r = 0; r < rows; r++) {
            vec by = v_set1(a[(size_t)r * a_row]);
            UNROLL for (int v = 0; v < vecs; v++) acc[r][v] =
                v_fma(by, row[v], acc[r][v]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vecs; v++) {
        float *to = x->c + (i + (size_t)r) * x->ldc + j + v * LANES;
        v_store(to, x->accumulate ? v_load(to, n) + acc[r][v] : acc[r][v], n);
    }
}

INLINE void product_rows(const int rows, const layers_product *x, size_t i) {
    size_t j = 0;
    for (; j + 2 * LANES <= x->n; j += 2 * LANES)
        product_tile(rows, 2, x, i, j, LANES);
    for (; j + LANES <= x->n; j += LANES) product_tile(rows, 1, x, i, j, LANES);
    if (j < x->n) product_tile(rows, 1, x, i, j, x->n - j);
}

#define PRODUCT_ROWS(r)                                          \
    static void product_##r(const layers_product *x, size_t i) { \
        product_rows(r, x, i);                                   \
    }
#define PRODUCT_ENTRY(r) product_##r,
#define EACH_4(f)        f(1) f(2) f(3) f(4)
#define EACH_6(f)        EACH_4(f) f(5) f(6)
#define EACH_8(f)        EACH_6(f) f(7) f(8)
#define EACH_12(f)       EACH_8(f) f(9) f(10) f(11) f(12)
#define EACH_(n, f)      EACH_##n(f)
#define EACH(n, f)       EACH_(n, f)

EACH(MR, PRODUCT_ROWS)
static void (*const products[MR])(const layers_product *,
                                  size_t) = {EACH(MR, PRODUCT_ENTRY)};

static void product(const layers_product *x) {
    for (size_t i = 0; i < x->m; i += MR)
        products[(x->m - i < MR ? x->m - i : MR) - 1](x, i);
}

enum { DOT_ROWS = 2, DOT_COLS = 4 };

INLINE void dots_tile(const int rows, const int cols, const layers_dots *x,
                      size_t i, size_t j) {
    const float *a = x->a + i * x->lda, *b = x->b + j * x->ldb;
    vec acc[DOT_ROWS][DOT_COLS];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < cols; c++)
        acc[r][c] = (vec){0};
    for (size_t p = 0; p < x->k; p += LANES) {
        size_t n = x->k - p < LANES ? x->k - p : LANES;
        vec row[DOT_ROWS];
        UNROLL for (int r = 0; r < rows; r++) row[r] =
            v_load(a + (size_t)r * x->lda + p, n);
        UNROLL for (int c = 0; c < cols; c++) {
            vec by = v_load(b + (size_t)c * x->ldb + p, n);
            UNROLL for (int r = 0; r < rows; r++) acc[r][c] =
                v_fma(by, row[r], acc[r][c]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int c = 0; c < cols; c++)
        x->c[(i + (size_t)r) * x->ldc + j + (size_t)c] =
        v_total(acc[r][c])[0] + (x->bias ? x->bias[j + (size_t)c] : 0);
}

static void dots(const layers_dots *x) {
    size_t j = 0;
    for (; j + DOT_COLS <= x->n; j += DOT_COLS) {
        size_t i = 0;
        for (; i + 2 <= x->m; i += 2) dots_tile(2, DOT_COLS, x, i, j);
        if (i < x->m) dots_tile(1, DOT_COLS, x, i, j);
    }
    for (; j < x->n; j++)
        for (size_t i = 0; i < x->m; i++) dots_tile(1, 1, x, i, j);
}
