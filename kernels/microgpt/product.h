/* The one matrix product that the whole step is made of, C = A B:
 *
 *   forward             Y  (n, out)  = X (n, in)  W^T (in, out)
 *   gradient of inputs  dX (n, in)   = dY (n, out)  W (out, in)
 *   ... of weights      dW (out, in) = dY^T (out, n)  X (n, in)
 *
 * B's rows and C's are read and written as vectors; A's elements one by one, in
 * either order, so A may be transposed and B may not: that is why the step
 * keeps a transposed copy of each weight beside it. A tile is TILE_ROWS rows by
 * 16 columns of C in eight registers: enough sums in flight to hide the latency
 * of the fused multiply-add, and each vector of B serves all rows of the tile.
 *
 * Whatever the tile, an element of C is one chain of fused multiply-adds in the
 * order of k. */

enum {
    REG_LANES = REG_BYTES / sizeof(REAL),
    REGS = MICROGPT_WIDTH / REG_LANES, /* of a row of 16 */
    TILE_ROWS = REGS == 8   ? 1
                : REGS == 4 ? 2
                            : 4
};
typedef REAL reg __attribute__((vector_size(REG_BYTES), may_alias));

typedef struct matrix {
    REAL *at;
    size_t row, column; /* strides in elements; column is 1 for B and C */
} matrix;

INLINE void tile(matrix a, matrix b, matrix c, size_t k, const int rows) {
    reg sum[TILE_ROWS][REGS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < REGS; v++) sum[r][v] = (reg){0};
    for (size_t p = 0; p < k; p++)
        for (int r = 0; r < rows; r++) {
            reg x = (reg){0} + a.at[(size_t)r * a.row + p * a.column];
            const reg *y = (const reg *)(b.at + p * b.row);
            for (int v = 0; v < REGS; v++)
                sum[r][v] = v_fma(x, y[v], sum[r][v]);
        }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < REGS; v++)
            ((reg *)(c.at + (size_t)r * c.row))[v] = sum[r][v];
}

/* C (m, n) = A (m, k) B (k, n), n a multiple of 16. */
INLINE void product(matrix a, matrix b, matrix c, size_t m, size_t n,
                    size_t k) {
    for (size_t j = 0; j < n; j += MICROGPT_WIDTH) {
        matrix x = a, y = {b.at + j, b.row, 1}, z = {c.at + j, c.row, 1};
        size_t i = 0;
        for (; i + TILE_ROWS <= m; i += TILE_ROWS) {
            tile(x, y, z, k, TILE_ROWS);
            x.at += TILE_ROWS * x.row;
            z.at += TILE_ROWS * z.row;
        }
        switch (m - i) { /* below TILE_ROWS, which the compiler knows */
            case 3: tile(x, y, z, k, TILE_ROWS < 3 ? TILE_ROWS : 3); break;
            case 2: tile(x, y, z, k, TILE_ROWS < 2 ? TILE_ROWS : 2); break;
            case 1: tile(x, y, z, k, 1); break;
            default: break;
        }
    }
}

/* The three products of a layer with weights w (out, in). y and x are (n, out)
 * and (n, in) with rows of ld_y and ld_x elements. */
INLINE void linear(const REAL *x, size_t in, const REAL *transposed, REAL *y,
                   size_t out, size_t n) {
    product((matrix){(REAL *)x, in, 1}, (matrix){(REAL *)transposed, out, 1},
            (matrix){y, out, 1}, n, out, in);
}

INLINE void linear_inputs(const REAL *dy, size_t ld_dy, size_t out,
                          const REAL *w, REAL *dx, size_t in, size_t n) {
    product((matrix){(REAL *)dy, ld_dy, 1}, (matrix){(REAL *)w, in, 1},
            (matrix){dx, in, 1}, n, in, out);
}

INLINE void linear_weights(const REAL *dy, size_t ld_dy, size_t out,
                           const REAL *x, size_t in, REAL *dw, size_t n) {
    product((matrix){(REAL *)dy, 1, ld_dy}, (matrix){(REAL *)x, in, 1},
            (matrix){dw, in, 1}, out, in, n);
}
