/* Activations and their derivatives. With Phi the normal distribution, phi its
 * density and s the logistic function:
 *
 *   GELU         x Phi(x)                                Phi(x) + x phi(x)
 *   GELU (tanh)  x s(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
 *                                        s(2 u) + x s(2 u) (1 - s(2 u)) 2 u'
 *   ReLU         x or 0                                  1 or 0, at 0: 0
 *   SiLU         x s(x)                  s(x) + x s(x) (1 - s(x))
 *   SwiGLU       silu(gate) up
 *
 * (Hendrycks and Gimpel, 2016; Shazeer, 2020.) (1 + tanh u) / 2 is s(2 u): see
 * vmath.h. 1 - s(x) is s(-x) without cancellation: e / (1 + e), e = e^-x. What
 * is not arithmetic here is memory: x read, y written. */

/* s(x) and s(-x). */
INLINE vec logistic_pair(vec x, vec *other) {
    vec e = v_exp(-v_abs(x)), by = 1.0f / (1.0f + e), small = e * by;
    ivec negative = x < 0;
    *other = v_select(negative, by, small);
    return v_select(negative, small, by);
}

INLINE vec relu_of(vec x) { return v_where(~(x <= 0), x); }
INLINE vec relu_slope(vec x) { return v_where(~(x <= 0), v_set1(1)); }

INLINE vec silu_of(vec x) { return x * v_logistic(x); }
INLINE vec silu_slope(vec x) {
    vec other, s = logistic_pair(x, &other);
    return s + x * s * other;
}

INLINE vec gelu_erf_of(vec x) {
    vec density;
    return x * v_normal(x, &density);
}
INLINE vec gelu_erf_slope(vec x) {
    vec density, below = v_normal(x, &density);
    return v_fma(x * density, v_set1(0.398942280f), below);
}

/* 2 u = x (a + b x^2). Beyond |x| = 10 the logistic function is 0 or 1 in
 * floats; x is cut there so that x^2 cannot overflow. */
INLINE vec gelu_argument(vec x, vec *slope) {
    const vec a = v_set1(1.595769122f), b = v_set1(0.0713548163f);
    x = v_min(v_set1(20), v_max(v_set1(-20), x));
    vec bx2 = b * x * x;
    *slope = v_fma(v_set1(3), bx2, a);
    return x * (a + bx2);
}
INLINE vec gelu_tanh_of(vec x) {
    vec slope;
    return x * v_logistic(gelu_argument(x, &slope));
}
INLINE vec gelu_tanh_slope(vec x) {
    vec slope, other, s = logistic_pair(gelu_argument(x, &slope), &other);
    return s + x * s * (other * slope);
}

#define ACTIVATION(name)                                                    \
    static void name##_rows(float *y, const float *x, size_t rows,          \
                            size_t width) {                                 \
        size_t i = 0, n = rows * width;                                     \
        for (; i + LANES <= n; i += LANES)                                  \
            v_store(y + i, name##_of(v_load(x + i, LANES)), LANES);         \
        if (i < n) v_store(y + i, name##_of(v_load(x + i, n - i)), n - i);  \
    }                                                                       \
    INLINE void name##_back(float *dx, const float *dy, const float *x,     \
                            size_t n) {                                     \
        v_store(dx, v_load(dy, n) * name##_slope(v_load(x, n)), n);         \
    }                                                                       \
    static void name##_backward(float *dx, const float *dy, const float *x, \
                                size_t rows, size_t width) {                \
        size_t i = 0, n = rows * width;                                     \
        for (; i + LANES <= n; i += LANES)                                  \
            name##_back(dx + i, dy + i, x + i, LANES);                      \
        if (i < n) name##_back(dx + i, dy + i, x + i, n - i);               \
    }

ACTIVATION(gelu_erf)
ACTIVATION(gelu_tanh)
ACTIVATION(relu)
ACTIVATION(silu)

INLINE void swiglu_step(float *y, const float *gate, const float *up,
                        size_t n) {
    v_store(y, silu_of(v_load(gate, n)) * v_load(up, n), n);
}

static void swiglu_rows(float *y, const float *x, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++, x += 2 * width, y += width) {
        size_t i = 0;
        for (; i + LANES <= width; i += LANES)
            swiglu_step(y + i, x + i, x + width + i, LANES);
        if (i < width) swiglu_step(y + i, x + i, x + width + i, width - i);
    }
}

INLINE void swiglu_back(float *dgate, float *dup, const float *dy,
                        const float *gate, const float *up, size_t n) {
    vec x = v_load(gate, n), d = v_load(dy, n), other,
        s = logistic_pair(x, &other);
    v_store(dup, d * (x * s), n);
    v_store(dgate, d * v_load(up, n) * (s + x * s * other), n);
}

static void swiglu_backward(float *dx, const float *dy, const float *x,
                            size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++) {
        size_t i = 0;
        for (; i + LANES <= width; i += LANES)
            swiglu_back(dx + i, dx + width + i, dy + i, x + i, x + width + i,
                        LANES);
        if (i < width)
            swiglu_back(dx + i, dx + width + i, dy + i, x + i, x + width + i,
                        width - i);
        dx += 2 * width, x += 2 * width, dy += width;
    }
}
