/* The tuning axes: precision and instruction set. */
#include "device/trial.h"
#include "microgpt/microgpt.h"

static const char *const variant_names[MICROGPT_VARIANTS] = {"exact", "single"};

const char *microgpt_variant_name(microgpt_variant variant) {
    return variant_names[variant];
}

const microgpt_kernels *microgpt_kernels_of(const microgpt_config *config) {
    static const microgpt_kernels *const all[MICROGPT_VARIANTS][DEV_ISA_COUNT] =
        {{&microgpt_exact_portable, &microgpt_exact_avx2,
          &microgpt_exact_avx512},
         {&microgpt_single_portable, &microgpt_single_avx2,
          &microgpt_single_avx512}};
    const microgpt_kernels *kernels = all[config->variant][config->isa];
    return kernels->bytes ? kernels : NULL;
}

bool microgpt_config_read(const json_t *json, int threads,
                          microgpt_config *config, spak_error *why) {
    static const char *const axes[] = {"variant", "isa"};
    int variant = MICROGPT_SINGLE;
    if (!dev_axes_known(json, axes, sizeof axes / sizeof *axes, why) ||
        !dev_axis_choice(json, "variant", variant_names, MICROGPT_VARIANTS,
                         &variant, why) ||
        !dev_axis_isa(json, &config->isa, why))
        return false;
    config->variant = (microgpt_variant)variant;
    if (!microgpt_kernels_of(config))
        return spak_fail(why, "axis isa: this program was built without %s",
                         dev_isa_name(config->isa));
    if (threads != 1)
        return spak_fail(why,
                         "problem.threads: a step of 7 rows runs on one "
                         "thread, the problem asks for %d",
                         threads);
    return true;
}

json_t *microgpt_config_json(const microgpt_config *config) {
    return json_pack("{s:s,s:s}", "variant", variant_names[config->variant],
                     "isa", dev_isa_name(config->isa));
}
