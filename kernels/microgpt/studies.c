/* Simulations that show something and decide nothing: what the model says after
 * training, how fast it says it, and what a step is worth whose gradient stops
 * at the output. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "device/trial.h"
#include "microgpt/invariants.h"

typedef struct study {
    const char *dataset;
    uint64_t seed;
    int steps, names, repeats, seeds;
    microgpt_start *start;
    double *losses;       /* (steps) */
    microgpt_model model; /* the one trained last */
} study;

static bool begin(study *s, const json_t *options, spak_error *err) {
    static const dev_member members[] = {
        {"dataset", JSON_STRING, 0, 0, false},
        {"seed", JSON_INTEGER, 0, 9007199254740992.0, false},
        {"steps", JSON_INTEGER, 1, 100000, false},
        {"names", JSON_INTEGER, 1, 100000, false},
        {"repeats", JSON_INTEGER, 1, 1000, false},
        {"seeds", JSON_INTEGER, 1, 1000, false},
    };
    *s = (study){0};
    if (!dev_members_check("microgpt", "options", options, members,
                           sizeof members / sizeof *members, err))
        return false;
    s->dataset = spak_json_str(options, "dataset", "names");
    s->seed = (uint64_t)spak_json_int(options, "seed", MICROGPT_SEED);
    s->steps = (int)spak_json_int(options, "steps", MICROGPT_STEPS);
    s->names = (int)spak_json_int(options, "names", 0);
    s->repeats = (int)spak_json_int(options, "repeats", 7);
    s->seeds = (int)spak_json_int(options, "seeds", 16);
    s->losses = spak_malloc((size_t)s->steps * sizeof *s->losses);
    return s->losses ? microgpt_start_new(s->dataset, s->seed, MICROGPT_SOUND,
                                          &s->start, err)
                     : spak_fail_oom(err);
}

static void end(study *s) {
    microgpt_model_free(&s->model);
    microgpt_start_free(s->start);
    spak_free(s->losses);
}

/* Trains a model on the machine's best instruction set. */
static bool trained(study *s, microgpt_variant variant, microgpt_fault fault,
                    spak_error *err) {
    microgpt_config config = {variant, dev_cpu_isa()};
    microgpt_model_free(&s->model);
    if (!microgpt_model_new(&config, fault, &s->model, err)) return false;
    microgpt_set(&s->model, s->start->params);
    microgpt_train(&s->model, s->start->docs, s->steps, s->losses);
    return true;
}

/* A new object with the machine's instruction set and the data set. */
static bool new_result(const study *s, json_t **result, spak_error *err) {
    json_t *dataset;
    if (!data_describe(s->dataset, &dataset, err)) return false;
    *result = json_pack("{s:s,s:i,s:o}", "isa", dev_isa_name(dev_cpu_isa()),
                        "steps", s->steps, "dataset", dataset);
    return *result || spak_fail_oom(err);
}

static bool finish(study *s, bool good, json_t *result, json_t **out) {
    end(s);
    if (good)
        *out = result;
    else
        json_decref(result);
    return good;
}

/* --- samples --- */

static bool samples(const json_t *options, json_t **out, spak_error *err) {
    study s;
    json_t *result = NULL;
    *out = NULL;
    bool good = begin(&s, options, err) && new_result(&s, &result, err);
    int count = s.names ? s.names : 20, same = 0;
    for (int v = 0; good && v < MICROGPT_VARIANTS; v++) {
        good = trained(&s, (microgpt_variant)v, MICROGPT_SOUND, err);
        if (!good) break;
        spak_mt mt = s.start->mt; /* goes on where the weights left it */
        json_t *names = json_array();
        for (int i = 0; i < count; i++) {
            char name[MICROGPT_CONTEXT + 1];
            microgpt_sample(&s.model, &mt, true, name);
            json_array_append_new(names, json_string(name));
        }
        json_object_set_new(result, microgpt_variant_name(v), names);
    }
    for (int i = 0; good && i < count; i++)
        same += json_equal(
            json_array_get(json_object_get(result, "exact"), (size_t)i),
            json_array_get(json_object_get(result, "single"), (size_t)i));
    if (good) json_object_set_new(result, "same", json_integer(same));
    return finish(&s, good, result, out);
}

/* --- inference --- */

/* Draws names; their count over the seconds it took, and a hash of them. */
static double names_per_second(study *s, bool cache, uint64_t *hash) {
    spak_mt mt = s->start->mt;
    *hash = 14695981039346656037u; /* FNV-1a */
    uint64_t begun = spak_now_ns();
    for (int i = 0; i < s->names; i++) {
        char name[MICROGPT_CONTEXT + 1];
        size_t n = microgpt_sample(&s->model, &mt, cache, name);
        for (size_t c = 0; c <= n; c++)
            *hash = (*hash ^ (unsigned char)name[c]) * 1099511628211u;
    }
    return s->names / ((double)(spak_now_ns() - begun) * 1e-9);
}

static bool time_inference(study *s, json_t *result, const char *variant) {
    double speed[2][1000], ratio[1000];
    bool identical = true;
    for (int i = 0; i < s->repeats; i++) { /* taking turns */
        uint64_t with, without;
        speed[1][i] = names_per_second(s, true, &with);
        speed[0][i] = names_per_second(s, false, &without);
        ratio[i] = speed[1][i] / speed[0][i];
        identical = identical && with == without;
    }
    size_t n = (size_t)s->repeats;
    json_t *of =
        json_pack("{s:f,s:f,s:f,s:b}", "cached_names_per_s",
                  dev_spread_of(speed[1], n).median, "recomputed_names_per_s",
                  dev_spread_of(speed[0], n).median, "ratio",
                  dev_spread_of(ratio, n).median, "identical", identical);
    return of && !json_object_set_new(result, variant, of);
}

static bool inference(const json_t *options, json_t **out, spak_error *err) {
    study s;
    json_t *result = NULL;
    *out = NULL;
    bool good = begin(&s, options, err) && new_result(&s, &result, err);
    if (!s.names) s.names = 1000;
    if (good) json_object_set_new(result, "names", json_integer(s.names));
    for (int v = 0; good && v < MICROGPT_VARIANTS; v++) {
        const char *name = microgpt_variant_name((microgpt_variant)v);
        good = trained(&s, (microgpt_variant)v, MICROGPT_SOUND, err) &&
               (time_inference(&s, result, name) || spak_fail_oom(err));
    }
    return finish(&s, good, result, out);
}

/* --- gradient_coverage --- */

static double mean_of_last(const double *x, int n, int count) {
    double sum = 0;
    int from = n > count ? n - count : 0;
    for (int i = from; i < n; i++) sum += x[i];
    return sum / (n - from);
}

/* Sound and faulty runs take turns, so that both meet the same machine. */
static bool time_both(study *s, const microgpt_fault *fault, json_t **of,
                      spak_error *err) {
    double us[2][1000];
    bool reached[MICROGPT_PARAMS];
    microgpt_config config = {MICROGPT_SINGLE, dev_cpu_isa()};
    for (int i = 0; i < s->repeats; i++)
        for (int f = 0; f < 2; f++) {
            microgpt_model_free(&s->model);
            if (!microgpt_model_new(&config, fault[f], &s->model, err))
                return false;
            microgpt_set(&s->model, s->start->params);
            int count = microgpt_coverage(&s->model, MICROGPT_DOCS, reached);
            microgpt_set(&s->model, s->start->params);
            uint64_t begun = spak_now_ns();
            microgpt_train(&s->model, s->start->docs, s->steps, s->losses);
            us[f][i] = (double)(spak_now_ns() - begun) * 1e-3 / s->steps;
            if (i > 0) continue;
            of[f] = json_pack("{s:i,s:f,s:f}", "parameters", count, "share",
                              (double)count / MICROGPT_PARAMS, "loss_last_100",
                              mean_of_last(s->losses, s->steps, 100));
            if (!of[f]) return spak_fail_oom(err);
        }
    for (int f = 0; f < 2; f++)
        json_object_set_new(
            of[f], "step_us",
            json_real(dev_spread_of(us[f], (size_t)s->repeats).median));
    return true;
}

static bool gradient_coverage(const json_t *options, json_t **out,
                              spak_error *err) {
    static const microgpt_fault faults[] = {MICROGPT_SOUND,
                                            MICROGPT_ONLY_OUTPUT_TRAINS};
    study s;
    json_t *result = NULL, *of[2] = {NULL, NULL};
    *out = NULL;
    bool good = begin(&s, options, err) && new_result(&s, &result, err) &&
                time_both(&s, faults, of, err);
    if (good) {
        double sound = spak_json_num(of[0], "step_us", 0),
               faulty = spak_json_num(of[1], "step_us", 0);
        json_object_set_new(result, "parameters",
                            json_integer(MICROGPT_PARAMS));
        json_object_set(result, "sound", of[0]);
        json_object_set(result, "only_output_trains", of[1]);
        json_object_set_new(result, "ratio", json_real(sound / faulty));
    }
    json_decref(of[0]);
    json_decref(of[1]);
    return finish(&s, good, result, out);
}

/* --- fidelity --- */

/* Both precisions step by step; losses and patterns are (2, steps). */
static bool part(study *s, double *losses, uint64_t *patterns,
                 microgpt_parting *parting, spak_error *err) {
    size_t steps = (size_t)s->steps;
    for (int v = 0; v < MICROGPT_VARIANTS; v++) {
        microgpt_config config = {(microgpt_variant)v, dev_cpu_isa()};
        microgpt_model_free(&s->model);
        if (!microgpt_model_new(&config, MICROGPT_SOUND, &s->model, err))
            return false;
        microgpt_set(&s->model, s->start->params);
        for (size_t i = 0; i < steps; i++) {
            microgpt_doc doc;
            size_t length, at = (size_t)v * steps + i;
            const char *name = microgpt_docs_get(s->start->docs, i, &length);
            microgpt_doc_of(name, length, &doc);
            losses[at] = microgpt_step(&s->model, &doc, (int)i, s->steps);
            patterns[at] = microgpt_pattern(&s->model, doc.n);
        }
    }
    microgpt_part(losses + steps, losses, patterns + steps, patterns, s->steps,
                  NULL, parting);
    return true;
}

static bool each_seed(study *s, json_t *result, spak_error *err) {
    size_t steps = (size_t)s->steps;
    double *losses = spak_malloc(2 * steps * (sizeof *losses + 8));
    json_t *runs = json_array();
    double most = 0;
    int flipped = 0;
    bool good = (losses && runs) || spak_fail_oom(err);
    for (int i = 0; good && i < s->seeds; i++) {
        microgpt_parting p;
        uint64_t seed = s->seed + (uint64_t)i;
        microgpt_start_free(s->start);
        good = microgpt_start_new(s->dataset, seed, MICROGPT_SOUND, &s->start,
                                  err) &&
               part(s, losses, (uint64_t *)(losses + 2 * steps), &p, err);
        if (!good) break;
        if (p.first_flip >= 0) flipped++;
        most = fmax(most, p.deviation_before);
        json_array_append_new(
            runs,
            json_pack(
                "{s:I,s:f,s:f,s:o}", "seed", (json_int_t)seed, "deviation",
                p.deviation, "before_flip", p.deviation_before, "first_flip",
                p.first_flip < 0 ? json_null() : json_integer(p.first_flip)));
    }
    spak_free(losses);
    json_object_set_new(result, "runs", runs);
    json_object_set_new(result, "seeds", json_integer(s->seeds));
    json_object_set_new(result, "flipped", json_integer(flipped));
    json_object_set_new(result, "before_flip", json_real(most));
    return good;
}

static bool fidelity(const json_t *options, json_t **out, spak_error *err) {
    study s;
    json_t *result = NULL;
    *out = NULL;
    bool good = begin(&s, options, err) && new_result(&s, &result, err) &&
                each_seed(&s, result, err);
    return finish(&s, good, result, out);
}

const dev_study microgpt_studies[MICROGPT_NUM_STUDIES] = {
    {"samples", "names drawn after training, in doubles and in floats",
     samples},
    {"inference",
     "names a second with a cache of keys and values and without, and whether "
     "they are the same",
     inference},
    {"gradient_coverage",
     "how many parameters have a gradient, what a step takes and where the "
     "loss ends, when all train and when only the output matrix does",
     gradient_coverage},
    {"fidelity",
     "how far the losses in floats leave those in doubles, for several seeds, "
     "and at which step a hidden unit first changed sides",
     fidelity},
};
