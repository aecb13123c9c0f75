/* The tuning axes: precision and instruction set. */
#include <string.h>

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

/* A misspelt axis would measure the default under a wrong name. */
static bool axes_known(const json_t *json, spak_error *why) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value) {
        if (strcmp(key, "variant") != 0 && strcmp(key, "isa") != 0)
            return spak_fail(why, "there is no axis '%s'", key);
        if (!json_is_string(value))
            return spak_fail(why, "axis %s: expected a name in quotes", key);
    }
    return true;
}

bool microgpt_config_read(const json_t *json, int threads,
                          microgpt_config *config, spak_error *why) {
    *config = (microgpt_config){MICROGPT_SINGLE, dev_cpu_isa()};
    if (!axes_known(json, why)) return false;
    const char *variant = spak_json_str(json, "variant", "single");
    const char *isa = spak_json_str(json, "isa", dev_isa_name(config->isa));
    int v = 0;
    while (v < MICROGPT_VARIANTS && strcmp(variant, variant_names[v]) != 0) v++;
    if (v == MICROGPT_VARIANTS)
        return spak_fail(why, "axis variant: there is no variant '%s'",
                         variant);
    config->variant = (microgpt_variant)v;
    if (!dev_isa_parse(isa, &config->isa))
        return spak_fail(
            why, "axis isa: '%s' is none of portable, avx2, avx512", isa);
    if (!dev_cpu_has(config->isa) || !microgpt_kernels_of(config))
        return spak_fail(why,
                         "axis isa: this processor runs %s at best, not %s",
                         dev_isa_name(dev_cpu_isa()), isa);
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
