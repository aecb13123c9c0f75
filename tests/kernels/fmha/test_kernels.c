/* Every variant, instruction set and 16-bit type of this machine against the oracle, forward and backward, on shapes
 * with edges; the same bits on any number of threads; strided tensors; and each planted fault changes some result. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../tap.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "fmha/micro.h"
#include "fmha/oracle.h"

/* Tensors with gaps after rows, heads and batches when `gap` is not 0. */
typedef struct tensors {
    fmha_shape z;
    size_t gap, qs, ks, rows; /* floats of Q, of K, rows of LSE */
    float *in[4];             /* Q, K, V, dO */
    float *out[5];            /* O, LSE, dQ, dK, dV */
} tensors;

static fmha_in strides(const tensors *t, const float *data, size_t heads, size_t len) {
    size_t row = t->z.head_dim + t->gap, head = len * row + t->gap;
    return (fmha_in){data, heads * head + t->gap, head, row};
}
static fmha_out out_strides(const tensors *t, float *data, size_t heads, size_t len) {
    fmha_in s = strides(t, data, heads, len);
    return (fmha_out){data, s.batch, s.head, s.row};
}
static size_t floats(const tensors *t, size_t heads, size_t len) {
    return t->z.batch * strides(t, NULL, heads, len).batch + 1;
}

static void make(tensors *t, const fmha_shape *z, size_t gap, fmha_dtype dtype, float size, uint64_t seed) {
    *t = (tensors){.z = *z, .gap = gap, .rows = z->batch * z->heads * z->q_len};
    t->qs = floats(t, z->heads, z->q_len), t->ks = floats(t, z->kv_heads, z->kv_len);
    for (int i = 0; i < 4; i++) {
        size_t n = i == 0 || i == 3 ? t->qs : t->ks;
        t->in[i] = malloc(n * sizeof(float));
        spak_philox_fill_normal(t->in[i], n, 0, i < 2 ? size : 1, seed, (uint64_t)i);
        for (size_t k = 0; k < n; k++) t->in[i][k] = fmha_round(t->in[i][k], dtype);
    }
    for (int i = 0; i < 5; i++) {
        size_t n = i == 1 ? t->rows + 1 : i == 0 || i == 2 ? t->qs : t->ks;
        t->out[i] = malloc(n * sizeof(float));
        memset(t->out[i], 0xFF, n * sizeof(float));
    }
}

static void drop(tensors *t) {
    for (int i = 0; i < 4; i++) free(t->in[i]);
    for (int i = 0; i < 5; i++) free(t->out[i]);
}

static fmha_forward_args forward_args(const tensors *t) {
    const fmha_shape *z = &t->z;
    return (fmha_forward_args){strides(t, t->in[0], z->heads, z->q_len), strides(t, t->in[1], z->kv_heads, z->kv_len),
                               strides(t, t->in[2], z->kv_heads, z->kv_len),
                               out_strides(t, t->out[0], z->heads, z->q_len), t->out[1]};
}
static fmha_backward_args backward_args(const tensors *t) {
    const fmha_shape *z = &t->z;
    fmha_forward_args f = forward_args(t);
    return (fmha_backward_args){f.q,
                                f.k,
                                f.v,
                                strides(t, t->out[0], z->heads, z->q_len),
                                strides(t, t->in[3], z->heads, z->q_len),
                                t->out[1],
                                out_strides(t, t->out[2], z->heads, z->q_len),
                                out_strides(t, t->out[3], z->kv_heads, z->kv_len),
                                out_strides(t, t->out[4], z->kv_heads, z->kv_len)};
}

static bool run(const tensors *t, const fmha_config *config, int threads, fmha_fault fault) {
    fmha_plan *plan;
    spak_error err = {""};
    if (!fmha_plan_new(config, &t->z, threads, fault, &plan, &err)) {
        printf("# %s\n", err.message);
        return false;
    }
    fmha_forward_args f = forward_args(t);
    fmha_backward_args b = backward_args(t);
    fmha_forward(plan, &f);
    fmha_backward(plan, &b);
    fmha_plan_free(plan);
    return true;
}

static double worst(const tensors *t, int which, size_t heads, size_t len, const double *want, const double *bound,
                    double factor) {
    fmha_in s = strides(t, t->out[which], heads, len);
    double most = 0;
    size_t at = 0;
    for (size_t b = 0; b < t->z.batch; b++)
        for (size_t h = 0; h < heads; h++)
            for (size_t i = 0; i < len; i++)
                for (size_t d = 0; d < t->z.head_dim; d++, at++) {
                    double error = fabs((double)s.data[b * s.batch + h * s.head + i * s.row + d] - want[at]);
                    double ratio = error == 0 ? 0 : error / (factor * bound[at]);
                    if (!(ratio <= most)) most = isfinite(ratio) ? ratio : INFINITY;
                }
    return most;
}

/* The largest |error| / bound of all that forward and backward gave; *gaps: were the gaps left alone? */
static double error_over_bound(const tensors *t, fmha_dtype dtype, bool *gaps) {
    const fmha_shape *z = &t->z;
    spak_error err;
    size_t q = z->batch * z->heads * z->q_len * z->head_dim + 1,
           k = z->batch * z->kv_heads * z->kv_len * z->head_dim + 1;
    double *m = malloc((4 * q + 4 * k + 2 * (t->rows + 1)) * sizeof *m), *o = m, *o_bound = o + q, *dq = o_bound + q,
           *dq_bound = dq + q, *dk = dq_bound + q, *dk_bound = dk + k, *dv = dk_bound + k, *dv_bound = dv + k,
           *lse = dv_bound + k, *lse_bound = lse + t->rows + 1;
    fmha_forward_args f = forward_args(t);
    fmha_backward_args b = backward_args(t);
    if (!fmha_oracle(z, &f, o, lse, o_bound, &err) || !fmha_oracle_lse_bound(z, &f, lse_bound, &err) ||
        !fmha_oracle_backward(z, &b, dq, dk, dv, dq_bound, dk_bound, dv_bound, &err))
        return free(m), INFINITY;
    double factor = fmha_backward_error_factor(z, dtype);
    double most = worst(t, 0, z->heads, z->q_len, o, o_bound, fmha_error_factor(z, dtype));
    most = fmax(most, worst(t, 2, z->heads, z->q_len, dq, dq_bound, factor));
    most = fmax(most, worst(t, 3, z->kv_heads, z->kv_len, dk, dk_bound, factor));
    most = fmax(most, worst(t, 4, z->kv_heads, z->kv_len, dv, dv_bound, factor));
    for (size_t i = 0; i < t->rows; i++) {
        double found = (double)t->out[1][i], error = found == lse[i] ? 0 : fabs(found - lse[i]);
        if (!(error <= lse_bound[i])) most = INFINITY;
    }
    uint32_t last;
    *gaps = true;
    for (int i = 0; i < 5; i++) { /* the element after the last one */
        memcpy(&last, &t->out[i][(i == 1 ? t->rows + 1 : i == 0 || i == 2 ? t->qs : t->ks) - 1], sizeof last);
        *gaps = *gaps && last == UINT32_MAX;
    }
    free(m);
    return most;
}

/* batch, heads, kv_heads, q_len, kv_len, head_dim, causal, scale */
static const fmha_shape shapes[] = {
    {1, 1, 1, 1, 1, 1, false, 0},       {1, 2, 1, 13, 13, 8, true, 0},       {2, 4, 2, 64, 64, 64, false, 0},
    {1, 2, 2, 127, 257, 16, true, 0},   {1, 1, 1, 257, 127, 40, true, 0},    {1, 1, 1, 40, 1023, 64, false, 0.5f},
    {1, 1, 1, 40, 150, 256, true, 0},   {1, 6, 3, 33, 65, 7, false, -0.25f}, {1, 2, 2, 0, 5, 8, true, 0},
    {1, 2, 2, 5, 0, 8, true, 0},        {1, 2, 2, 100, 100, 128, true, 0},   {1, 4, 1, 1, 257, 72, true, 0},
    {1, 1, 1, 1023, 127, 24, false, 0}, {1, 2, 1, 13, 2049, 16, true, 0},    {1, 1, 1, 2049, 17, 16, false, 0},
    {1, 1, 1, 37, 65, 200, true, 0},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* A configuration by its text; NULL text: none. */
static bool read_config(const char *axes, const fmha_shape *z, int threads, fmha_config *config) {
    json_t *json = json_loads(axes, 0, NULL);
    spak_error why = {""};
    bool read = fmha_config_read(json, z, threads, config, &why);
    json_decref(json);
    if (!read) printf("# %s\n", why.message);
    return read;
}

static void test_variant(const char *axes, int threads, fmha_dtype dtype) {
    double most = 0;
    bool ran = true, gaps = true, inside;
    for (size_t s = 0; s < SHAPES; s++) {
        fmha_config config;
        tensors t;
        if (!read_config(axes, &shapes[s], threads, &config)) {
            ran = false;
            continue;
        }
        config.dtype = dtype;
        make(&t, &shapes[s], s % 2 ? 3 : 0, dtype, s % 3 ? 1 : 2, 40 + s);
        ran = run(&t, &config, threads, 0) && ran;
        double ratio = error_over_bound(&t, dtype, &inside);
        if (!(ratio <= 1)) printf("# shape %zu: error over bound %.3g\n", s, ratio);
        most = fmax(most, ratio);
        gaps = gaps && inside;
        drop(&t);
    }
    ok(ran && most > 0 && most <= 1 && gaps, "%s, %d threads, %s: %d shapes, error over bound %.3g", axes, threads,
       fmha_dtype_name(dtype), SHAPES, most);
}

static void test_variants(void) {
    static const struct {
        const char *axes;
        int threads;
    } all[] = {{"{\"variant\": \"naive\"}", 1},
               {"{\"variant\": \"unfused\"}", 2},
               {"{\"variant\": \"fused\"}", 1},
               {"{\"variant\": \"threads\", \"tile_m\": 32, \"tile_n\": 24}", 3},
               {"{\"variant\": \"unfused\", \"isa\": \"portable\"}", 1},
               {"{\"variant\": \"threads\", \"isa\": \"portable\", \"tile_m\": 40, \"tile_n\": 37}", 2},
               {"{\"variant\": \"threads\", \"isa\": \"avx2\", \"tile_m\": 48, \"tile_n\": 1}", 2},
               {"{\"variant\": \"unfused\", \"isa\": \"avx512\"}", 2},
               {"{\"variant\": \"fused\", \"isa\": \"avx512\", \"tile_m\": 64, \"tile_n\": 29}", 1},
               {"{\"variant\": \"threads\", \"isa\": \"avx512\"}", 2}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if ((strstr(all[i].axes, "avx512") && !dev_cpu_has(DEV_ISA_AVX512)) ||
            (strstr(all[i].axes, "avx2") && !dev_cpu_has(DEV_ISA_AVX2))) {
            skip_test("%s: this processor lacks it", all[i].axes);
            continue;
        }
        for (int dtype = FMHA_F32; dtype <= FMHA_BF16; dtype++)
            if (dtype == FMHA_F32 || i < 4 || strstr(all[i].axes, "avx512"))
                test_variant(all[i].axes, all[i].threads, (fmha_dtype)dtype);
    }
}

static bool same(const tensors *a, const tensors *b) {
    bool equal = !memcmp(a->out[1], b->out[1], a->rows * sizeof(float));
    for (int i = 0; i < 5; i++)
        if (i != 1)
            equal = equal && !memcmp(a->out[i], b->out[i], (i % 2 ? a->ks : i == 4 ? a->ks : a->qs) * sizeof(float));
    return equal;
}

static void test_threads(const char *variant) {
    static const int teams[] = {2, 3, 5};
    const fmha_shape z = {2, 6, 2, 150, 170, 40, true, 0};
    char axes[64];
    snprintf(axes, sizeof axes, "{\"variant\": \"%s\"}", variant);
    tensors one, other;
    fmha_config config;
    make(&one, &z, 0, FMHA_F32, 1, 9);
    read_config(axes, &z, 1, &config);
    run(&one, &config, 1, 0);
    for (size_t i = 0; i < 3; i++) {
        make(&other, &z, 0, FMHA_F32, 1, 9);
        ok(run(&other, &config, teams[i], 0) && same(&one, &other), "%s: %d threads give the bits of one", variant,
           teams[i]);
        drop(&other);
    }
    drop(&one);
}

/* --- faults --- */

static void test_fault(fmha_fault fault) {
    bool changed = false, caught = false, inside,
         about_threads = !strcmp(fmha_faults[fault - 1].name, "parts_by_threads");
    for (size_t s = 0; s < SHAPES && !(changed && caught); s++)
        for (int dtype = FMHA_F32; dtype <= FMHA_F16; dtype++) {
            tensors sound, faulty;
            fmha_config config;
            if (!read_config("{\"variant\": \"threads\", \"tile_m\": 64, \"tile_n\": 48}", &shapes[s], 1, &config))
                continue;
            config.dtype = (fmha_dtype)dtype;
            make(&sound, &shapes[s], 0, (fmha_dtype)dtype, 2, 70 + s);
            make(&faulty, &shapes[s], 0, (fmha_dtype)dtype, 2, 70 + s);
            run(&sound, &config, 1, 0);
            run(&faulty, &config, 1, fault);
            changed = changed || !same(&sound, &faulty);
            caught = caught || !(error_over_bound(&faulty, (fmha_dtype)dtype, &inside) <= 1);
            if (about_threads && run(&sound, &config, 3, fault)) caught = caught || !same(&sound, &faulty);
            drop(&sound);
            drop(&faulty);
        }
    ok(changed, "%s changes a result", fmha_faults[fault - 1].name);
    ok(caught, about_threads ? "and other threads give other bits" : "and breaks the bound");
}

/* --- scores at the ends of the range --- */

/* Two queries, 2^64 and -2^64, meet keys 2^-64 s: scores s and -s, which may be more than a float holds. */
static const struct {
    const char *what;
    double s[5];
    int best[2]; /* the key that has all the weight, or one of those below */
} ends[] = {{"below -1e20", {-4e20, -1e21, -3e20, -2e22, -1e30}, {2, 4}},
            {"down to -1e38", {-1e38, -0.9e38, -1.1e38, -1e38, -1.2e38}, {1, 4}},
            {"beside some that overflow", {-1e45, -2e30, -1e30, -3e30, -1e45}, {2, -2}},
            {"that all overflow", {-1e45, -1e45, -1e45, -1e45, -1e45}, {-1, -2}},
            {"one of them NaN", {1, NAN, 2, 3, 4}, {-2, -2}}};
enum { NO_KEY = -1, NOT_A_NUMBER = -2, KEYS = 5 };

typedef struct row {
    float o, lse, dq;
} row;

/* A one-hot row has a value for its O, and for its LSE the score: there are four roundings of it on the way to base 2
 * and back. */
static bool row_is(int best, double score, row found) {
    if (best == NOT_A_NUMBER) return isnan(found.o) && isnan(found.lse);
    if (best == NO_KEY) return found.o == 0 && found.lse == -INFINITY && found.dq == 0;
    return found.o == (float)(best + 1) && fabs((double)found.lse - score) <= 4 * 0x1p-24 * fabs(score);
}

static void run_ends(fmha_plan *plan, const double *s, row found[2]) {
    const float q[2] = {0x1p64f, -0x1p64f}, v[KEYS] = {1, 2, 3, 4, 5}, d_o[2] = {1, 1};
    float k[KEYS], o[2], lse[2], dq[2], dk[KEYS], dv[KEYS];
    for (int j = 0; j < KEYS; j++) k[j] = (float)(s[j] * 0x1p-64);
    fmha_forward_args f = {fmha_dense_in(q, 1, 2, 1), fmha_dense_in(k, 1, KEYS, 1), fmha_dense_in(v, 1, KEYS, 1),
                           fmha_dense_out(o, 1, 2, 1), lse};
    fmha_backward_args b = {f.q,
                            f.k,
                            f.v,
                            fmha_dense_in(o, 1, 2, 1),
                            fmha_dense_in(d_o, 1, 2, 1),
                            lse,
                            fmha_dense_out(dq, 1, 2, 1),
                            fmha_dense_out(dk, 1, KEYS, 1),
                            fmha_dense_out(dv, 1, KEYS, 1)};
    fmha_forward(plan, &f);
    fmha_backward(plan, &b);
    for (int i = 0; i < 2; i++) found[i] = (row){o[i], lse[i], dq[i]};
}

static void test_ends(const char *axes) {
    const fmha_shape z = {1, 1, 1, 2, KEYS, 1, false, 1};
    fmha_config config;
    fmha_plan *plan;
    spak_error err = {""};
    if (!ok(read_config(axes, &z, 1, &config) && fmha_plan_new(&config, &z, 1, 0, &plan, &err), "%s %s", axes,
            err.message))
        return;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        row found[2];
        run_ends(plan, ends[i].s, found);
        for (int query = 0; query < 2; query++) {
            int best = ends[i].best[query];
            double score = (query ? -1 : 1) * ends[i].s[best < 0 ? 0 : best];
            ok(row_is(best, score, found[query]), "scores %s%s give O = %g, LSE = %g, dQ = %g",
               query ? "opposite to those " : "", ends[i].what, (double)found[query].o, (double)found[query].lse,
               (double)found[query].dq);
        }
    }
    fmha_plan_free(plan);
}

/* --- small parts --- */

static void test_exp2(dev_isa isa) {
    const fmha_micro *micro = fmha_micro_of(isa);
    if (!micro || !dev_cpu_has(isa)) {
        skip_test("exp2 of %s: this processor lacks it", dev_isa_name(isa));
        return;
    }
    double most = 0;
    float x[FMHA_MAX_LANES], y[FMHA_MAX_LANES], shift[FMHA_MAX_LANES] = {0}, sum[FMHA_MAX_LANES];
    for (int i = 0; i < 1 << 18; i += (int)micro->lanes) {
        for (size_t l = 0; l < micro->lanes; l++) x[l] = y[l] = -126.0f * (float)(i + (int)l) / (float)(1 << 18);
        micro->exp2_sum(y, 1, shift, sum);
        for (size_t l = 0; l < micro->lanes; l++) most = fmax(most, fabs((double)y[l] / exp2((double)x[l]) - 1));
    }
    /* EXP_ERROR of oracle.c, 4 u: 2 u of the polynomial, 1 u of its last step, and what the steps before it leave */
    ok(most > 0 && most < 4 * 0x1p-24, "%s: 2^x has a relative error of at most %.3g", dev_isa_name(isa), most);
    for (size_t l = 0; l < micro->lanes; l++)
        y[l] = l % 4 == 0 ? -INFINITY : l % 4 == 1 ? -1e20f : l % 4 == 2 ? 0 : NAN;
    micro->exp2_sum(y, 1, shift, sum);
    ok(y[0] == 0 && y[1] == 0 && y[2] == 1 && isnan(y[3]), "of what is masked it is 0, of 0 it is 1, of NaN it is NaN");
}

static void test_rounding(void) {
    ok(fmha_round(65519.0f, FMHA_F16) == 65504 && isinf(fmha_round(65520.0f, FMHA_F16)), "f16 overflows from 65520 on");
    ok(fmha_round(1 + 0x1p-11f, FMHA_F16) == 1 && fmha_round(1 + 3 * 0x1p-11f, FMHA_F16) == 1 + 0x1p-9f,
       "f16: halfway goes to the even neighbour");
    ok(fmha_round(3 * 0x1p-25f, FMHA_F16) == 0x1p-23f && fmha_round(0x1p-25f, FMHA_F16) == 0, "f16: below 2^-14 too");
    ok(fmha_round(1 + 0x1p-8f, FMHA_BF16) == 1 && fmha_round(1 + 3 * 0x1p-8f, FMHA_BF16) == 1 + 0x1p-6f,
       "bf16: halfway goes to the even neighbour");
    ok(signbit(fmha_round(-0.0f, FMHA_F16)) && isnan(fmha_round(NAN, FMHA_F16)) && isnan(fmha_round(NAN, FMHA_BF16)),
       "signs and NaN stay");
}

/* Each allocation of a plan fails in turn: an error, no plan, nothing left behind. */
static void test_out_of_memory(const char *axes, int threads) {
    const fmha_shape z = {1, 2, 1, 40, 50, 16, true, 0};
    fmha_config config;
    fmha_plan *plan = NULL;
    spak_error err = {""};
    if (!ok(read_config(axes, &z, threads, &config), "%s", axes)) return;
    long n = 0;
    bool failed_well = true;
    for (;; n++) {
        spak_alloc_fail_after(n);
        bool made = fmha_plan_new(&config, &z, threads, 0, &plan, &err);
        spak_alloc_fail_after(-1);
        if (made) break;
        failed_well = failed_well && !plan && *err.message;
    }
    ok(n > 2 && failed_well, "%ld allocations fail in turn", n);
    unsigned long before = spak_alloc_failures();
    float x[2 * 50 * 16 * 2] = {0}, out[2 * 40 * 16 + 2 * 40];
    spak_alloc_fail_after(0);
    fmha_forward(plan,
                 &(fmha_forward_args){fmha_dense_in(x, 2, 40, 16), fmha_dense_in(x, 1, 50, 16),
                                      fmha_dense_in(x, 1, 50, 16), fmha_dense_out(out, 2, 40, 16), out + 2 * 40 * 16});
    spak_alloc_fail_after(-1);
    is_int(spak_alloc_failures() - before, 0, "a run allocates nothing");
    fmha_plan_free(plan);
}

static void test_refusals(void) {
    spak_error why;
    fmha_config config = {FMHA_FUSED, DEV_ISA_PORTABLE, 8, 8, FMHA_F32};
    static const fmha_shape bad[] = {{1, 3, 2, 4, 4, 8, false, 0},
                                     {1, 2, 2, 4, 4, 257, false, 0},
                                     {0, 2, 2, 4, 4, 8, false, 0},
                                     {1, 2, 2, 4, 4, 8, false, NAN}};
    fmha_plan *plan;
    for (size_t i = 0; i < 4; i++)
        ok(!fmha_plan_new(&config, &bad[i], 1, 0, &plan, &why) && !plan, "refused: %s", why.message);
}

int main(void) {
    spak_json_init();
    test_rounding();
    for (int isa = 0; isa < DEV_ISA_COUNT; isa++) test_exp2((dev_isa)isa);
    test_variants();
    test_threads("threads");
    test_threads("unfused");
    for (fmha_fault fault = 1; fault <= FMHA_NUM_FAULTS; fault++) test_fault(fault);
    test_ends("{\"variant\": \"naive\"}");
    test_ends("{\"variant\": \"unfused\"}");
    test_ends("{\"variant\": \"unfused\", \"isa\": \"portable\"}");
    test_ends("{\"variant\": \"fused\"}");
    test_ends("{\"variant\": \"fused\", \"isa\": \"portable\", \"tile_n\": 2}");
    test_out_of_memory("{\"variant\": \"naive\"}", 1);
    test_out_of_memory("{\"variant\": \"unfused\"}", 2);
    test_out_of_memory("{\"variant\": \"threads\"}", 2);
    test_refusals();
    return done_testing();
}
