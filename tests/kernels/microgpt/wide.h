/* The step in the vectors of AVX-512, on any processor: the compiler splits them. So the shapes that those kernels take
 * (one or two vectors a row, other tiles, other shuffles) are tried here too. The file that includes this has defined
 * REAL, LANES, and TOLERANCE, which is relative to the largest of what is compared. */
#include "../../tap.h"

#define REG_BYTES      (LANES * sizeof(REAL))
#define MICROGPT_TABLE wide_kernels

#include "microgpt/invariants.h"
#include "microgpt/step.h"

static double largest_difference(const double *x, const double *y, int n) {
    double most = 0, scale = 0;
    for (int i = 0; i < n; i++) {
        scale = fmax(scale, fabs(y[i]));
        double d = fabs(x[i] - y[i]);
        if (!(d <= most)) most = d;
    }
    return most / scale;
}

/* Five steps of both; each time the losses, the gradients and the logits of every position. */
static void compare_models(microgpt_model *wider, microgpt_model *model) {
    static double params[MICROGPT_PARAMS], got[MICROGPT_PARAMS], want[MICROGPT_PARAMS];
    microgpt_check_weights(1, 0, 3, params);
    microgpt_set(wider, params);
    microgpt_set(model, params);
    for (int step = 0; step < 5; step++) {
        microgpt_doc doc;
        microgpt_check_doc(step, &doc);
        double a = microgpt_step(wider, &doc, step, 10), b = microgpt_step(model, &doc, step, 10);
        is_near(a, b, TOLERANCE * b, "step %d: the loss", step);
        for (int which = MICROGPT_VALUES; which <= MICROGPT_SQUARE; which++) {
            microgpt_get(wider, (microgpt_array)which, got);
            microgpt_get(model, (microgpt_array)which, want);
            double d = largest_difference(got, want, MICROGPT_PARAMS);
            ok(d <= TOLERANCE, "array %d differs by %.2g", which, d);
        }
        double most = 0;
        for (size_t t = 0; t < doc.n; t++) {
            wider->kernels->logits(wider->state, doc.tokens, t, 1, got);
            model->kernels->logits(model->state, doc.tokens, 0, t + 1, want);
            most = fmax(most, largest_difference(got, want, MICROGPT_TOKENS));
        }
        ok(most <= TOLERANCE, "logits differ by %.2g", most);
    }
}

static int compare_with(microgpt_variant variant) {
    microgpt_config config = {variant, DEV_ISA_PORTABLE};
    microgpt_model wider, model;
    spak_error err = {""};
    spak_json_init();
    if (ok(microgpt_model_new(&config, MICROGPT_SOUND, &wider, &err) &&
               microgpt_model_new(&config, MICROGPT_SOUND, &model, &err),
           "two models %s", err.message)) {
        wider.kernels = &wide_kernels;
        ok(wide_kernels.bytes <= model.kernels->bytes, "the state is no larger");
        compare_models(&wider, &model);
        microgpt_model_free(&wider);
        microgpt_model_free(&model);
    }
    return done_testing();
}
