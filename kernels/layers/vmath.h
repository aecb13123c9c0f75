/* The functions that activations and softmax are made of.
 *
 * tests/nn/test_math.c measures the errors of what is made of them, over 10^6
 * arguments, in units of the last place: SiLU is 3 off at most, GELU 6. Numbers
 * below 2^-126 come out as 0. */

/* e^(x + d) for a small d: e^x = 2^n e^r with n the whole number nearest to
 * x / ln 2 and |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to a whole number and
 * leaves it in the low bits of the sum. ln 2 is taken away in two parts, the
 * first so short that its product with n is exact, so that r keeps its last
 * bits; d, the part of an argument that a float could not hold, is added only
 * then. The polynomial is that of Cephes' expf. Below -87 the result is 0,
 * beyond 88.3 infinity; a NaN stays one. */
INLINE vec v_exp_of_sum(vec x, vec d) {
    const vec magic = v_set1(12582912.0f);
    ivec tiny = x < v_set1(-87.0f);
    x = v_min(v_set1(89.0f), v_max(v_set1(-87.0f), x));
    vec shifted = v_fma(x, v_set1(1.44269504f), magic), n = shifted - magic;
    vec r = v_fma(n, v_set1(-0.693359375f), x);
    r = v_fma(n, v_set1(2.12194440e-4f), r) + d;
    vec y = v_set1(1.9875691500e-4f);
    y = v_fma(y, r, v_set1(1.3981999507e-3f));
    y = v_fma(y, r, v_set1(8.3334519073e-3f));
    y = v_fma(y, r, v_set1(4.1665795894e-2f));
    y = v_fma(y, r, v_set1(1.6666665459e-1f));
    y = v_fma(y, r, v_set1(5.0000001201e-1f));
    y = v_fma(y, r * r, r) + 1.0f;
    ivec exponent = ((ivec)shifted - (ivec)magic + 127) << 23;
    return v_where(~tiny, y * (vec)exponent);
}

INLINE vec v_exp(vec x) { return v_exp_of_sum(x, (vec){0}); }

/* The logistic function 1 / (1 + e^-x). tanh(u) = 2 logistic(2 u) - 1, so what
 * is written with tanh needs no tanh: (1 + tanh(u)) / 2 is logistic(2 u), and
 * that form loses nothing where tanh is near -1. */
INLINE vec v_logistic(vec x) { return 1.0f / (1.0f + v_exp(-x)); }

/* Of the normal distribution: the density's e^(-x^2/2), and the share of it
 * below x, Phi(x) = (1 + erf(x / sqrt 2)) / 2.
 *
 * 1 + erf cancels where x is negative, so the tail is computed as such: with
 * z = |x|, Phi(-z) = e^(-z^2/2) M(z), where M falls from 1/2 like 1/z, and
 * M(z) (z + 3.5) is a polynomial of t = (z - 3.5) / (z + 3.5), interpolated at
 * 10 Chebyshev points on 0 <= z <= 14; it is 2e-8 off at most (as in Shepherd
 * and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x",
 * 1981).
 * e^(-z^2/2) would carry the rounding of z^2, some 80 ulp at the far end: z is
 * cut to 12 bits, whose square is exact, and the rest goes in as d. */
INLINE vec v_normal(vec x, vec *density) {
    vec z = v_min(v_set1(14.0f), v_abs(x)), high = (vec)((ivec)z & ~0xFFF);
    vec e = v_exp_of_sum(-0.5f * high * high, -0.5f * (z - high) * (z + high));
    vec by = 1.0f / (z + 3.5f), t = (z - 3.5f) * by;
    vec m = v_set1(1.246101989e-4f);
    m = v_fma(m, t, v_set1(4.450328682e-4f));
    m = v_fma(m, t, v_set1(-4.975321297e-4f));
    m = v_fma(m, t, v_set1(-3.193030794e-3f));
    m = v_fma(m, t, v_set1(6.49068442e-3f));
    m = v_fma(m, t, v_set1(1.741084709e-2f));
    m = v_fma(m, t, v_set1(-1.16052396e-1f));
    m = v_fma(m, t, v_set1(3.154246642e-1f));
    m = v_fma(m, t, v_set1(-5.655617744e-1f));
    m = v_fma(m, t, v_set1(7.444160796e-1f));
    vec tail = e * (m * by);
    *density = e;
    return v_select(x < 0, tail, 1.0f - tail);
}
