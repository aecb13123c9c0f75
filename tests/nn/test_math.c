/* How exact the functions of kernels/layers/vmath.h are, seen through the activations: in units of the last place of
 * the exact result for the float argument, over arguments that cover each function's range. */
#include <math.h>

#include "../tap.h"
#include "device/device.h"
#include "layers/layers.h"
#include "nn/worst.h"

enum { N = 1 << 16 };
static float x[N], y[N], ones[N];

static double logistic(double t) { return t < 0 ? exp(t) / (1 + exp(t)) : 1 / (1 + exp(-t)); }
static double normal(double t) { return 0.5 * erfc(-t * sqrt(0.5)); }

static double silu(double t) { return t * logistic(t); }
static double silu_slope(double t) { return logistic(t) + t * logistic(t) * logistic(-t); }
static double gelu(double t) { return t * normal(t); }
static double gelu_slope(double t) { return normal(t) + t * exp(-0.5 * t * t) * 0.39894228040143268; }

/* The largest error, in units of the last place; values below 2^-100 are left out: there 0 is right. Near the zero of a
 * slope the unit is that of `least`. */
static double worst_ulp(double (*exact)(double), double least) {
    double worst = 0;
    for (size_t i = 0; i < N; i++) {
        double want = exact((double)x[i]), size = fmax(fabs(want), least), off = fabs((double)y[i] - want);
        if (size < 0x1p-100) continue;
        worst = nn_worst(worst, off / ldexp(1, ilogb(size) - 23));
    }
    return worst;
}

static void test_isa(dev_isa isa) {
    const layers_kernels *k = layers_isa(isa);
    const struct {
        const char *name;
        layers_act act;
        bool slope;
        double (*exact)(double), least, most;
    } all[] = {
        {"SiLU, so exp and the logistic function", LAYERS_SILU, false, silu, 0, 4},
        {"its slope", LAYERS_SILU, true, silu_slope, 0.25, 4},
        {"GELU, so the normal distribution's tail", LAYERS_GELU_ERF, false, gelu, 0, 7},
        {"its slope", LAYERS_GELU_ERF, true, gelu_slope, 0.25, 6},
    };
    for (size_t f = 0; f < sizeof all / sizeof *all; f++) {
        double worst = 0;
        for (int turn = 0; turn < 16; turn++) {
            double range = all[f].act == LAYERS_SILU ? 86 : 13;
            for (size_t i = 0; i < N; i++) {
                x[i] = (float)(range * (2 * ((double)i * 16 + turn) / (16.0 * N) - 1));
                ones[i] = 1;
                y[i] = NAN;
            }
            if (all[f].slope)
                k->act_backward[all[f].act](y, ones, x, 1, N);
            else
                k->act[all[f].act](y, x, 1, N);
            worst = nn_worst(worst, worst_ulp(all[f].exact, all[f].least));
        }
        ok(worst <= all[f].most, "%s: %s: %.2f ulp", dev_isa_name(isa), all[f].name, worst);
    }
    for (int act = 0; act < LAYERS_SWIGLU; act++) {
        float in[3] = {NAN, INFINITY, -1e30f}, out[3], slope[3];
        k->act[act](out, in, 1, 3), k->act_backward[act](slope, ones, in, 1, 3);
        ok(isnan(out[0]) && out[1] == INFINITY && out[2] == 0 && slope[2] == 0,
           "%s: activation %d: NaN stays, ends are right", dev_isa_name(isa), act);
    }
}

static void test_worst(void) {
    ok(nn_worst(nn_worst(0, NAN), 1) == INFINITY, "the worst difference is infinite from the first NaN on");
    ok(nn_worst(nn_worst(0, 2), 1) == 2, "and else the largest");
}

int main(void) {
    test_worst();
    for (int isa = 0; isa < DEV_ISA_COUNT; isa++)
        if (dev_cpu_has((dev_isa)isa)) test_isa((dev_isa)isa);
    return done_testing();
}
