/* Elements, and sums over them.
 *
 * A sum in floats is off by as many roundings as its longest chain. add_columns
 * sums blocks of ROWS rows in registers' order first and then adds the block,
 * sum and sum_squares convert to double before they add: their chains do not
 * grow with the batch. Floor: the bytes read and written over the memory's
 * speed; there is no reuse. */

static void add(float *out, const float *a, const float *b, size_t n) {
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        v_store(out + i, v_load(a + i, LANES) + v_load(b + i, LANES), LANES);
    for (; i < n; i++) out[i] = a[i] + b[i];
}

typedef double dvec __attribute__((vector_size(LANES * 4)));
typedef float half_vec __attribute__((vector_size(LANES * 2)));
typedef float loose_half
    __attribute__((vector_size(LANES * 2), aligned(4), may_alias));

INLINE dvec d_load(const float *p) {
    half_vec x = *(const loose_half *)p;
    return __builtin_convertvector(x, dvec);
}

INLINE double sum_of(const float *x, size_t n, const bool squares) {
    enum { HALF = LANES / 2, CHAINS = 4 };
    dvec part[CHAINS] = {{0}};
    double total = 0;
    size_t i = 0;
    for (; i + CHAINS * HALF <= n; i += CHAINS * HALF)
        UNROLL for (int c = 0; c < CHAINS; c++) {
            dvec d = d_load(x + i + c * HALF);
            part[c] += squares ? d * d : d;
        }
    for (; i < n; i++) {
        double d = (double)x[i];
        total += squares ? d * d : d;
    }
    dvec all = (part[0] + part[1]) + (part[2] + part[3]);
    for (int l = 0; l < HALF; l++) total += all[l];
    return total;
}

static double sum(const float *x, size_t n) { return sum_of(x, n, false); }
static double sum_squares(const float *x, size_t n) {
    return sum_of(x, n, true);
}

/* COLS columns of a block of rows, in registers. */
INLINE void column_block(float *sums, const float *x, size_t rows, size_t ld,
                         const int vecs, size_t n) {
    enum { MOST = 4 };
    vec part[MOST];
    UNROLL for (int v = 0; v < vecs; v++) part[v] = (vec){0};
    for (size_t r = 0; r < rows; r++, x += ld)
        UNROLL for (int v = 0; v < vecs; v++) part[v] +=
            v_load(x + v * LANES, n);
    UNROLL for (int v = 0; v < vecs; v++) {
        float *to = sums + v * LANES;
        v_store(to, v_load(to, n) + part[v], n);
    }
}

static void add_columns(float *sums, const float *x, size_t rows, size_t cols,
                        size_t ld) {
    enum { ROWS = 32 };
    for (size_t r = 0; r < rows; r += ROWS, x += ROWS * ld) {
        size_t count = rows - r < ROWS ? rows - r : ROWS, c = 0;
        for (; c + 4 * LANES <= cols; c += 4 * LANES)
            column_block(sums + c, x + c, count, ld, 4, LANES);
        for (; c + LANES <= cols; c += LANES)
            column_block(sums + c, x + c, count, ld, 1, LANES);
        if (c < cols) column_block(sums + c, x + c, count, ld, 1, cols - c);
    }
}

/* AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019):
 * one root and one division an element, and three arrays read and written. */
INLINE void adamw_step(float *param, float *m, float *v, const float *grad,
                       const layers_adamw *a, size_t n) {
    vec g = v_load(grad, n) * a->grad_scale;
    vec mean = v_fma(v_set1(a->keep_m), v_load(m, n), a->take_m * g);
    vec square = v_fma(v_set1(a->keep_v), v_load(v, n), a->take_v * (g * g));
    v_store(m, mean, n);
    v_store(v, square, n);
    vec by = a->stride * mean / (v_sqrt(square * a->unbias) + a->eps);
    v_store(param, v_fma(v_load(param, n), v_set1(a->shrink), -by), n);
}

static void adamw(float *param, float *m, float *v, const float *grad, size_t n,
                  const layers_adamw *a) {
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        adamw_step(param + i, m + i, v + i, grad + i, a, LANES);
    if (i < n) adamw_step(param + i, m + i, v + i, grad + i, a, n - i);
}
