/* Rotary positions (Su et al., 2021): pair i of a head, (a, b), turns by the
 * angle position * base^(-2 i / head_dim):
 *
 *   (a, b) = (a cos - b sin, a sin + b cos)
 *
 * A float holds an angle of a thousand radians to 6e-5 only. So angles are
 * counted in turns, in double, where taking away the whole ones is exact; what
 * is left is within an eighth of a turn of a multiple of a quarter, and there
 * two short polynomials in floats (Chebyshev interpolation, 5e-9 off) give sine
 * and cosine. They are computed once a row and serve all of its heads. */

/* cosines (pairs), then sines (pairs). A loop that compilers turn into vectors:
 * no branch, no call. */
INLINE void row_angles(float *angles, double position, const double *turns,
                       size_t pairs, float sign) {
    const double magic = 6755399441055744.0; /* 1.5 * 2^52 */
    for (size_t i = 0; i < pairs; i++) {
        double quarters = 4 * (position * turns[i]), whole = quarters + magic;
        float r = (float)(quarters - (whole - magic)), s = r * r;
        union {
            double d;
            int64_t i;
        } bits = {whole};
        int32_t quadrant = (int32_t)bits.i;
        float sine =
            r * (1.570796322f + s * (-0.645963478f +
                                     s * (0.0796802176f - s * 4.60214921e-3f)));
        float cosine = 1 + s * (-1.233700549f +
                                s * (0.2536694104f +
                                     s * (-0.0208615283f + s * 9.0673990e-4f)));
        float x = quadrant & 1 ? sine : cosine,
              y = quadrant & 1 ? cosine : sine;
        angles[i] = (quadrant + 1) & 2 ? -x : x;
        angles[pairs + i] = sign * (quadrant & 2 ? -y : y);
    }
}

INLINE void turn_halves(float *x, const float *angles, size_t pairs, size_t i,
                        size_t n) {
    vec a = v_load(x + i, n), b = v_load(x + pairs + i, n),
        c = v_load(angles + i, n), s = v_load(angles + pairs + i, n);
    v_store(x + i, v_fma(a, c, -(b * s)), n);
    v_store(x + pairs + i, v_fma(a, s, b * c), n);
}

static void rope(bool neighbours, float *x, const int32_t *positions,
                 size_t rows, size_t heads, size_t head_dim, size_t stride,
                 const double *turns, bool inverse, float *angles) {
    const size_t pairs = head_dim / 2;
    for (size_t r = 0; r < rows; r++, x += stride) {
        row_angles(angles, positions[r], turns, pairs, inverse ? -1 : 1);
        for (size_t h = 0; h < heads; h++) {
            float *head = x + h * head_dim;
            size_t i = 0;
            if (neighbours) {
                for (; i < pairs; i++) {
                    float a = head[2 * i], b = head[2 * i + 1];
                    head[2 * i] = a * angles[i] - b * angles[pairs + i];
                    head[2 * i + 1] = a * angles[pairs + i] + b * angles[i];
                }
                continue;
            }
            for (; i + LANES <= pairs; i += LANES)
                turn_halves(head, angles, pairs, i, LANES);
            if (i < pairs) turn_halves(head, angles, pairs, i, pairs - i);
        }
    }
}
