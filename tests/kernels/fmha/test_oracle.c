/* The oracle against numbers that can be worked out by hand, against differences of its own loss, and its bound: a
 * sound float kernel keeps it on hard inputs, and it is no wider than it must be. */
#include "../../tap.h"
#include "base/alloc.h"
#include "fmha/invariants.h"
#include "plain.h"

/* --- known values --- */

/* Two keys with scores 0 and log 3: weights 1/4 and 3/4. The float nearest to log 3 is off by u at most, which moves
 * the weights by 1/4 * 3/4 u, O by that times the distance of the values, and LSE by 3/4 u. */
static void known_values(void) {
    const double u = 0x1p-24;
    const float q[] = {1, 0}, k[] = {0, 5, 1.0986123f, -7}, v[] = {4, 8, 0, 100};
    const fmha_shape shape = {1, 1, 1, 1, 2, 2, false, 1};
    fmha_forward_args x = {fmha_dense_in(q, 1, 1, 2), fmha_dense_in(k, 1, 2, 2), fmha_dense_in(v, 1, 2, 2), {0}, NULL};
    double o[2], lse, bound[2];
    spak_error err = {""};
    ok(fmha_oracle(&shape, &x, o, &lse, bound, &err), "the oracle runs");
    is_near(o[0], 1, 3.0 / 16 * 4 * u, "a quarter of 4 and three of 0");
    is_near(o[1], 77, 3.0 / 16 * 92 * u, "a quarter of 8 and three of 100");
    is_near(lse, log(4), 3.0 / 4 * u, "LSE = log(1 + 3)");
}

static void masks(void) {
    const struct {
        size_t q_len, kv_len, i, seen;
    } want[] = {{4, 4, 0, 1}, {4, 4, 3, 4}, {1, 9, 0, 9}, {3, 9, 0, 7},
                {9, 3, 5, 0}, {9, 3, 6, 1}, {9, 3, 8, 3}, {5, 0, 4, 0}};
    for (size_t t = 0; t < sizeof want / sizeof *want; t++) {
        fmha_shape shape = {1, 1, 1, want[t].q_len, want[t].kv_len, 1, true, 1};
        is_int(fmha_keys_seen(&shape, want[t].i), want[t].seen, "query %zu of %zu sees %zu of %zu keys", want[t].i,
               want[t].q_len, want[t].seen, want[t].kv_len);
        shape.causal = false;
        is_int(fmha_keys_seen(&shape, want[t].i), want[t].kv_len, "and all of them without the mask");
    }
}

/* A row that sees nothing, next to one that does. */
static void empty_rows(void) {
    const fmha_shape shape = {1, 1, 1, 2, 1, 1, true, 1};
    const float one[] = {1, 1}, lse_in[] = {-INFINITY, 1};
    fmha_in x = fmha_dense_in(one, 1, 2, 1);
    double o[2], lse[2], bound[2], lse_bound[2], dq[2], dk[1], dv[1], b[4];
    spak_error err = {""};
    fmha_forward_args f = {.q = x, .k = x, .v = x};
    fmha_backward_args g = {.q = x, .k = x, .v = x, .o = x, .d_o = x, .lse = lse_in};
    ok(fmha_oracle(&shape, &f, o, lse, bound, &err) && fmha_oracle_lse_bound(&shape, &f, lse_bound, &err),
       "more queries than keys");
    ok(o[0] == 0 && lse[0] == -INFINITY && bound[0] == 0 && lse_bound[0] == 0, "the first row sees nothing: zeros");
    ok(o[1] == 1 && lse[1] == 1, "the second sees one key");
    ok(fmha_oracle_backward(&shape, &g, dq, dk, dv, b, b + 2, b + 3, &err) && dq[0] == 0 && isfinite(dk[0]) &&
           dv[0] == 1,
       "the first row has no gradient and gives none");
}

/* --- the bound --- */

static const fmha_shape shapes[] = {{1, 4, 2, 40, 130, 64, true, 0},
                                    {2, 2, 1, 9, 64, 128, false, 0},
                                    {1, 1, 1, 3, 1023, 16, false, 0},
                                    {1, 2, 2, 65, 65, 33, true, 0.4f},
                                    {1, 1, 1, 1, 1, 1, false, 0}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Logits of some `size`. */
static void enlarge(fmha_case *c, float size) {
    for (size_t i = 0; i < c->qs; i++) c->q[i] = fmha_round(c->q[i] * size, c->dtype);
}

static fmha_check new_check(const fmha_subject *subject, spak_error *err) {
    return (fmha_check){.subject = subject, .seed = 5, .err = err};
}

/* Roundings that fall at random add up to the root of their number: of the N = 2 (1023 + 128) + 4 that the longest rows
 * allow for, 1/48 of the bound. A bound that is 20 times as wide as the one derived would show. */
#define NEAR (1.0 / 48 / 20)

/* Both passes of the sound kernel; sets the largest error over bound. */
static bool keeps(const fmha_shape *shape, fmha_dtype dtype, float size, size_t tile_n, double *forward,
                  double *backward) {
    plain_fault sound = PLAIN_SOUND;
    fmha_subject subject = {.run = plain_run, .ctx = &sound};
    spak_error err = {""};
    fmha_check check = new_check(&subject, &err);
    fmha_config config = {.tile_m = 1, .tile_n = tile_n, .dtype = dtype};
    fmha_case c;
    if (!fmha_case_new(&c, shape, dtype, FMHA_PADDED, true, 11, &err)) return false;
    enlarge(&c, size);
    bool good = fmha_case_oracle(&c, &err) && fmha_try_forward(&check, &c, &config, 1);
    *forward = check.worst;
    check.worst = 0;
    good = good && fmha_case_gradients(&c, &err) && fmha_run_backward(&check, &c, &config, 1) &&
           fmha_backward_within(&check, &c, &config, 1);
    *backward = check.worst;
    if (!good) printf("# %s %s\n", spak_json_str(check.counterexample, "what", ""), err.message);
    json_decref(check.counterexample);
    fmha_case_free(&c);
    return good;
}

static void sound_kernel(void) {
    static const float sizes[] = {1, 0.01f, 20, 3000};
    static const char *const names[] = {"f32", "f16", "bf16"};
    for (int dtype = 0; dtype < 3; dtype++) {
        double forward = 0, backward = 0;
        bool good = true;
        for (int s = 0; s < SHAPES; s++)
            for (int l = 0; l < 4; l++)
                for (size_t tile = 8; tile <= 128; tile *= 4) {
                    double f, b;
                    good = keeps(&shapes[s], (fmha_dtype)dtype, sizes[l], tile, &f, &b) && good;
                    if (l == 0) forward = fmax(forward, f), backward = fmax(backward, b);
                }
        ok(good, "a sound kernel keeps the bound in %s, logits up to some 10^4", names[dtype]);
        ok(forward > NEAR && backward > NEAR, "and comes near it in %s: %.3g of it forward, %.3g backward",
           names[dtype], forward, backward);
    }
}

/* How wide the bound is for normal inputs, in u of the weighted values: the sums' roundings, 2 (kv_len + R) + 4, are at
 * most 2,310 here; the exponents' 2 (d + 5) A are 3,900 at d = 128, where A = scale sum |q k| is 0.64 sqrt(d), and at
 * most twice that. So 4,000 u = 2.4e-4; the largest O is an eighth of the values where many average out. A gradient has
 * half as many roundings in its sums, and no denominator. */
#define O_WIDTH        (8 * 4000 * 0x1p-24)
#define GRADIENT_WIDTH (O_WIDTH / 2)

static void width(void) {
    for (int s = 0; s < SHAPES; s++) {
        fmha_case c;
        spak_error err = {""};
        double worst = 0, size = 0;
        bool good = fmha_case_new(&c, &shapes[s], FMHA_F32, FMHA_DENSE, true, 3, &err) && fmha_case_gradients(&c, &err);
        for (size_t i = 0; i < c.qs && good; i++) {
            worst = fmax(worst, c.bound_o[i]);
            size = fmax(size, fabs(c.want_o[i]));
        }
        ok(good && worst < O_WIDTH * size, "shape %d: the bound of O is at most %.2g of its largest number", s,
           worst / size);
        for (int g = 0; g < 3 && good; g++) {
            worst = size = 0;
            for (size_t i = 0; i < (g ? c.kvs : c.qs); i++) {
                worst = fmax(worst, c.bound_d[g][i]);
                size = fmax(size, fabs(c.want_d[g][i]));
            }
            if (shapes[s].kv_len > 1 || g == 2)
                ok(worst < GRADIENT_WIDTH * size, "shape %d: the bound of d%c is at most %.2g of its largest number", s,
                   "QKV"[g], worst / size);
        }
        fmha_case_free(&c);
    }
}

/* The factor grows with the lengths and shrinks with the bits. */
static void factors(void) {
    fmha_shape shape = {1, 2, 1, 64, 128, 64, true, 0}, longer = shape;
    longer.kv_len = 1024;
    ok(fmha_error_factor(&shape, FMHA_F32) < fmha_error_factor(&longer, FMHA_F32), "longer sums, larger factor");
    ok(fmha_error_factor(&shape, FMHA_F32) < fmha_error_factor(&shape, FMHA_F16) &&
           fmha_error_factor(&shape, FMHA_F16) < fmha_error_factor(&shape, FMHA_BF16),
       "fewer bits, larger factor: f32, f16, bf16");
    /* oracle.c: gamma_N, N = 2 (128 + 17) + 4 forward and 128 + 8 backward, and two roundings to 16 bits */
    const double n = 294 * 0x1p-24, m = 136 * 0x1p-24, phi = n / (1 - n), back = m / (1 - m), f16 = 1 + 0x1p-11,
                 bf16 = 1 + 0x1p-8;
    is_near(fmha_error_factor(&shape, FMHA_F32), phi, 0x1p-52, "f32: the sums");
    is_near(fmha_error_factor(&shape, FMHA_F16), (1 + phi) * f16 * f16 - 1, 0x1p-51, "f16: two roundings more");
    is_near(fmha_backward_error_factor(&shape, FMHA_BF16), (1 + back) * bf16 * bf16 - 1, 0x1p-51,
            "bf16: two roundings more");
}

static void memory(void) {
    spak_error err = {""};
    fmha_case c;
    bool made = fmha_case_new(&c, &shapes[0], FMHA_F32, FMHA_DENSE, true, 3, &err);
    spak_alloc_fail_after(0);
    bool ran = made && fmha_case_gradients(&c, &err);
    spak_alloc_fail_after(-1);
    ok(made && !ran && *err.message, "without memory it says so: %s", err.message);
    fmha_case_free(&c);
}

int main(void) {
    spak_json_init();
    known_values();
    masks();
    empty_rows();
    factors();
    width();
    sound_kernel();
    memory();
    return done_testing();
}
