/* The trial: what is a result, a refusal, an error; and planted trainers that do less than a training. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../tap.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "microgpt/microgpt.h"

static json_t *parse(const char *text) { return text ? json_loads(text, 0, NULL) : NULL; }

static bool trial_with(microgpt_trainer *trainer, void *ctx, const char *config, const char *problem,
                       const char *options, json_t **result, spak_error *err) {
    json_t *c = parse(config), *p = parse(problem), *o = parse(options);
    *err = (spak_error){""};
    bool ran = microgpt_trial_with(trainer, ctx, MICROGPT_SOUND, c, p, o, result, err);
    json_decref(c);
    json_decref(p);
    json_decref(o);
    return ran;
}

static const char *const small = "{\"steps\": 60, \"seed\": 5}";
static const char *const quick = "{\"samples\": 3, \"min_sample_ms\": 0.05, \"flush\": false}";

static void test_ok(const char *config, const char *problem, int steps, bool single) {
    json_t *result;
    spak_error err;
    if (!ok(trial_with(NULL, NULL, config, problem, quick, &result, &err), "trial of %s %s", config, err.message))
        return;
    is_str(spak_json_str(result, "status", ""), "ok", "its status");
    printf("# %s\n", spak_json_str(result, "reason", ""));
    ok(spak_json_bool(result, "correct", false), "correct");
    double error = spak_json_num(result, "error_over_bound", -1);
    ok(error >= 0 && error <= 1, "error over bound %.3g", error);
    is_int(json_array_size(json_object_get(result, "time_ms")), 3, "every sample is there");
    is_int(json_array_size(json_object_get(result, "losses")), steps, "every loss");
    is_int(json_array_size(json_object_get(result, "deviation")), single ? steps : 0, "deviations of floats alone");
    double before = spak_json_num(result, "deviation_before_flip", single ? NAN : 0),
           over = spak_json_num(result, "deviation_over_bound", single ? NAN : 0);
    ok(over <= 1 && (over > 0) == single && (before > 0) == single,
       "%.2g at most before a unit flips (step %lld; -1: never), %.2g of its bound", before,
       spak_json_int(result, "first_flip", -1), over);
    ok(spak_json_num(result, "loss_deviation", 0) >= before, "%.2g over the whole run",
       spak_json_num(result, "loss_deviation", 0));
    is_int(json_array_size(json_object_get(result, "peer_time_ms")), single ? 3 : 0, "the peer's samples");
    ok((spak_json_num(result, "ratio", 0) > 0) == single, "ratio %.3g", spak_json_num(result, "ratio", 0));
    ok(json_is_string(json_object_get(result, single ? "peer" : "peer_reason")), "the peer, or why there is none");
    ok(spak_json_str(json_object_get(result, "dataset"), "sha256", NULL), "which data");
    double us = 1e3 * json_number_value(json_array_get(json_object_get(result, "time_ms"), 0));
    ok(us > 0.5 && us < 5e3, "times are of one step: %.1f us, %.3g Gflop/s", us, spak_json_num(result, "gflops", 0));
    json_decref(result);
}

static void test_refused(const char *config, const char *problem, const char *reason) {
    json_t *result;
    spak_error err;
    if (!ok(trial_with(NULL, NULL, config, problem, quick, &result, &err), "%s is a result %s", config, err.message))
        return;
    is_str(spak_json_str(result, "status", ""), "refused", "refused");
    const char *found = spak_json_str(result, "reason", "");
    ok(strstr(found, reason) && !json_object_get(result, "time_ms"), "because: %s", found);
    json_decref(result);
}

static void test_malformed(const char *problem, const char *options, const char *expected) {
    json_t *result;
    spak_error err;
    ok(!trial_with(NULL, NULL, "{}", problem, options, &result, &err) && !result && strstr(err.message, expected),
       "error: %s", err.message);
}

/* --- trainers that cheat --- */

typedef enum cheat {
    HONEST,
    RETURNS_AT_ONCE,
    RETURNS_FROM_THE_SECOND_CALL,
    HALF_THE_STEPS_FROM_THE_SECOND_CALL,
    PLAYS_LOSSES_BACK,
    SKIPS_ONE_UPDATE,
    ANOTHER_NAME_LAST,
    ADAM_AT_EVERY_OTHER_STEP,
    CHEATS
} cheat;

static const char *const cheat_names[CHEATS] = {"honest",
                                                "returns at once",
                                                "returns from the second call on",
                                                "half the steps from the second call on",
                                                "plays losses back",
                                                "skips one update",
                                                "takes another name in the last step",
                                                "Adam at every other step"};

typedef struct planted {
    cheat cheat;
    int calls;
    double kept[60];
} planted;

static void train_planted(void *ctx, microgpt_model *model, const microgpt_docs *docs, int steps, double *losses) {
    planted *p = ctx;
    int call = p->calls++, done = steps;
    if (p->cheat == RETURNS_AT_ONCE || (p->cheat == RETURNS_FROM_THE_SECOND_CALL && call > 0)) return;
    if (p->cheat == PLAYS_LOSSES_BACK && call > 0) {
        memcpy(losses, p->kept, sizeof p->kept);
        return;
    }
    if (p->cheat == HALF_THE_STEPS_FROM_THE_SECOND_CALL && call > 0) done /= 2;
    for (int step = 0; step < done; step++) {
        microgpt_doc doc;
        size_t length, at = (size_t)step + (p->cheat == ANOTHER_NAME_LAST && step == steps - 1);
        const char *name = microgpt_docs_get(docs, at, &length);
        microgpt_doc_of(name, length, &doc);
        losses[step] = model->kernels->forward(model->state, &doc);
        model->kernels->backward(model->state, &doc);
        if (p->cheat == ADAM_AT_EVERY_OTHER_STEP && step % 2) continue;
        if (p->cheat == SKIPS_ONE_UPDATE && step == steps - 1) continue;
        model->kernels->adam(model->state, MICROGPT_RATE * (1 - (double)step / steps), step);
    }
    memcpy(p->kept, losses, sizeof p->kept);
}

static void test_cheats(const char *config) {
    for (int c = 0; c < CHEATS; c++) {
        planted p = {.cheat = (cheat)c};
        json_t *result;
        spak_error err;
        if (!ok(trial_with(train_planted, &p, config, small, quick, &result, &err), "%s: %s %s", config, cheat_names[c],
                err.message))
            continue;
        is_str(spak_json_str(result, "status", ""), c == HONEST ? "ok" : "failed", "its status");
        ok(spak_json_bool(result, "correct", c != HONEST) == (c == HONEST), "%s", spak_json_str(result, "reason", ""));
        ok(c == HONEST || !json_object_get(result, "time_ms"), "no time for what is wrong");
        json_decref(result);
    }
}

/* A step that is wrong in each run alike: what the trial itself sees of it. */
static void test_faulty(const char *config, microgpt_fault fault, const char *expected) {
    json_t *c = parse(config), *p = parse(small), *o = parse(quick), *result = NULL;
    spak_error err = {""};
    ok(microgpt_trial_with(NULL, NULL, fault, c, p, o, &result, &err), "%s with %s %s", config,
       microgpt_faults[fault - 1].name, err.message);
    const char *reason = spak_json_str(result, "reason", "");
    is_str(spak_json_str(result, "status", ""), "failed", "its status");
    ok(strstr(reason, expected) && !json_object_get(result, "time_ms"), "because: %s", reason);
    json_decref(result);
    json_decref(c);
    json_decref(p);
    json_decref(o);
}

static void test_all_faulty(void) {
    static const char exact[] = "{\"variant\": \"exact\"}", single[] = "{\"variant\": \"single\"}";
    test_faulty(exact, MICROGPT_MASK_LEAKS, "oracle");
    test_faulty(exact, MICROGPT_COPY_NOT_RENEWED, "oracle");
    test_faulty(exact, MICROGPT_ADAM_WITHOUT_BIAS_CORRECTION, "Adam");
    test_faulty(single, MICROGPT_ADAM_WITHOUT_BIAS_CORRECTION, "Adam");
    test_faulty(single, MICROGPT_MASK_LEAKS, "oracle");
    for (int v = 0; v < 2; v++)
        for (int f = MICROGPT_ONLY_OUTPUT_TRAINS; f <= MICROGPT_TOKEN_GRADIENT_OVERWRITTEN; f++)
            test_faulty(v ? single : exact, (microgpt_fault)f, "slope");
}

/* Up to the first step with another pattern the deviation counts, from there on it is told only. */
static void test_parting(void) {
    const double single[] = {1, 2.5, 4, 4}, exact[] = {1, 2, 2, 4};
    const uint64_t one[] = {7, 7, 7, 7}, other[] = {7, 7, 8, 7};
    double deviation[4];
    microgpt_parting p;
    microgpt_part(single, exact, one, other, 4, deviation, &p);
    ok(p.first_flip == 2 && p.deviation == 1 && p.deviation_before == 0.25, "apart at step %d", p.first_flip);
    is_near(p.over_bound, 0.5 / microgpt_loss_bound(2, 0x1p-24), 1e-9 * p.over_bound, "over the bound of a loss of 2");
    microgpt_part(single, exact, one, one, 4, NULL, &p);
    ok(p.first_flip == -1 && p.deviation_before == 1, "never apart: all steps count");
    is_near(p.over_bound, 2 / microgpt_loss_bound(2, 0x1p-24), 1e-9 * p.over_bound, "in the bound too");
    is_near(deviation[1], 0.25, 0, "each step's deviation");
}

/* --- the time of a step --- */

enum { SLOW_NS = 4000000 };

typedef struct spent {
    double least, most; /* ms of a run, by the runs' own clock */
} spent;

/* The training, and then waiting until SLOW_NS have gone by. */
static void train_slowly(void *ctx, microgpt_model *model, const microgpt_docs *docs, int steps, double *losses) {
    spent *s = ctx;
    uint64_t begun = spak_now_ns(), now = begun;
    microgpt_train(model, docs, steps, losses);
    while (now - begun < SLOW_NS) now = spak_now_ns();
    s->least = fmin(s->least, (double)(now - begun) * 1e-6);
    s->most = fmax(s->most, (double)(now - begun) * 1e-6);
}

/* A sample is the time of a run over its steps: of one, of two, of five. */
static void test_clock(void) {
    static const int steps[] = {1, 2, 5};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char problem[40];
        json_t *result, *ms;
        spak_error err;
        double sample[3];
        spent s = {INFINITY, 0};
        snprintf(problem, sizeof problem, "{\"steps\": %d}", steps[i]);
        if (!ok(trial_with(train_slowly, &s, "{\"variant\": \"exact\"}", problem, quick, &result, &err), "slow %s",
                err.message))
            continue;
        ms = json_object_get(result, "time_ms");
        for (size_t k = 0; k < 3; k++) sample[k] = json_number_value(json_array_get(ms, k));
        dev_spread spread = dev_spread_of(sample, 3);
        ok(spread.min * steps[i] >= s.least * (1 - 1e-9) && spread.min * steps[i] < 1.2 * s.most,
           "%d steps: %.3f ms a step, of a run of %.3f to %.3f", steps[i], spread.min, s.least, s.most);
        double gflops = 1e-6 * spak_json_num(result, "flop_per_step", 0) / spread.median;
        is_near(spak_json_num(result, "gflops", 0), gflops, 1e-6 * gflops, "its operations are those of a step");
        json_decref(result);
    }
}

/* --- a single name --- */

/* The data set `one` below the current folder, with this text. */
static void make_dataset(const char *text) {
    char hash[SPAK_SHA256_HEX + 1], manifest[1024];
    spak_error err = {""};
    size_t size = strlen(text);
    spak_sha256(text, size, hash, &err);
    snprintf(manifest, sizeof manifest,
             "dataset one {\n  file: \"one.txt\"\n  bytes: %zu\n  sha256: \"%s\"\n  url: \"https://example.org/one\"\n"
             "  license: \"MIT\"\n  holds: \"names\"\n  builtin: \"data/one.txt\"\n  builtin_sha256: \"%s\"\n}\n",
             size, hash, hash);
    ok(spak_make_dirs("data", &err) && spak_write_file("data/one.txt", text, size, &err) &&
           spak_write_file("data/MANIFEST.dsl", manifest, strlen(manifest), &err),
       "a data set %s", err.message);
}

/* The loss goes to nothing, where a relative bound leaves no room for the roundings of p. */
static void test_one_name(void) {
    char root[] = "/tmp/spak-one-XXXXXX", here[4096], command[64];
    json_t *result = NULL;
    spak_error err = {""};
    if (!getcwd(here, sizeof here) || !mkdtemp(root) || chdir(root)) printf("Bail out! no scratch folder\n"), exit(1);
    make_dataset("anna\n");
    for (int v = 0; v < MICROGPT_VARIANTS; v++) {
        const char *config = v ? "{\"variant\": \"single\"}" : "{\"variant\": \"exact\"}";
        if (!ok(trial_with(NULL, NULL, config, "{\"dataset\": \"one\", \"steps\": 1000}", quick, &result, &err),
                "%s %s", config, err.message))
            continue;
        json_t *losses = json_object_get(result, "losses");
        double last = json_number_value(json_array_get(losses, 999));
        is_str(spak_json_str(result, "status", ""), "ok", "one name: %s", spak_json_str(result, "reason", ""));
        ok(json_array_size(losses) == 1000 && last < 1e-5, "%s, the last loss is %.2g", config, last);
        json_decref(result);
    }
    make_dataset("bo\n\nZoe\n");
    ok(!trial_with(NULL, NULL, "{}", "{\"dataset\": \"one\"}", quick, &result, &err) &&
           strstr(err.message,
                  "data set one (builtin): line 3: expected a name in letters a to z, found the byte 0x5A"),
       "a bad letter: %s", err.message);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    if (chdir(here) || system(command)) printf("Bail out! could not leave %s\n", root), exit(1);
}

/* --- studies --- */

static json_t *study(const char *name, const char *options) {
    json_t *o = parse(options), *result = NULL;
    spak_error err = {""};
    const dev_study *s = dev_op_study(&microgpt_op, name);
    bool ran = s && s->run(o, &result, &err);
    ok(ran, "study %s %s", name, err.message);
    json_decref(o);
    return result;
}

static void test_studies(void) {
    json_t *result = study("samples", "{\"steps\": 200}");
    is_int(json_array_size(json_object_get(result, "exact")), 20, "20 names in doubles");
    is_int(json_array_size(json_object_get(result, "single")), 20, "20 names in floats");
    ok(spak_json_int(result, "same", -1) >= 0, "%lld are the same", spak_json_int(result, "same", -1));
    json_decref(result);

    result = study("inference", "{\"steps\": 100, \"names\": 200, \"repeats\": 3}");
    for (int v = 0; v < MICROGPT_VARIANTS; v++) {
        json_t *of = json_object_get(result, microgpt_variant_name((microgpt_variant)v));
        ok(spak_json_bool(of, "identical", false), "with the cache the same names as without");
        ok(spak_json_num(of, "cached_names_per_s", 0) > 0 && spak_json_num(of, "ratio", 0) > 0,
           "%.0f names a second, %.2f times those without", spak_json_num(of, "cached_names_per_s", 0),
           spak_json_num(of, "ratio", 0));
    }
    json_decref(result);

    result = study("gradient_coverage", "{\"steps\": 200, \"repeats\": 3}");
    json_t *sound = json_object_get(result, "sound"), *faulty = json_object_get(result, "only_output_trains");
    is_int(spak_json_int(sound, "parameters", 0), MICROGPT_PARAMS, "all parameters have a gradient");
    is_int(spak_json_int(faulty, "parameters", 0), MICROGPT_QKV - MICROGPT_HEAD, "with the fault the output's alone");
    ok(spak_json_num(sound, "loss_last_100", 9) < spak_json_num(faulty, "loss_last_100", 0), "loss %.3f against %.3f",
       spak_json_num(sound, "loss_last_100", 9), spak_json_num(faulty, "loss_last_100", 0));
    ok(spak_json_num(result, "ratio", 0) > 0, "%.1f us a step against %.1f us", spak_json_num(sound, "step_us", 0),
       spak_json_num(faulty, "step_us", 0));
    json_decref(result);

    result = study("fidelity", "{\"steps\": 300, \"seeds\": 12, \"seed\": 40}");
    is_int(json_array_size(json_object_get(result, "runs")), 12, "a run a seed");
    ok(spak_json_num(result, "before_flip", 1) <= 1e-5, "losses within %.2g as long as no unit flips; %lld runs flip",
       spak_json_num(result, "before_flip", 1), spak_json_int(result, "flipped", -1));
    size_t at;
    json_t *run;
    bool apart = false;
    json_array_foreach(json_object_get(result, "runs"), at, run) {
        bool flips = json_is_integer(json_object_get(run, "first_flip"));
        if (spak_json_num(run, "deviation", 0) > 1e-5 && !flips) apart = true;
    }
    ok(!apart, "and no run leaves the doubles without a flip");
    json_decref(result);

    json_t *options = parse("{\"stepz\": 3}");
    spak_error err = {""};
    ok(!microgpt_studies[0].run(options, &result, &err) && strstr(err.message, "stepz"), "error: %s", err.message);
    json_decref(options);
}

/* --- memory that runs out --- */

/* Makes the first allocation of a trial fail, then the second, and so on, later every 31st (the data set's manifest
 * makes most of them): each such call fails, and says so. */
static void test_memory(void) {
    int silent = 0;
    long n = 0;
    for (bool failed = true; failed && n < 100000; n += n < 64 ? 1 : 31) {
        json_t *result = NULL, *problem = parse("{\"steps\": 2}"), *options = parse("{\"samples\": 1}");
        spak_error err = {""};
        unsigned long failures = spak_alloc_failures();
        spak_alloc_fail_after(n);
        bool ran = microgpt_trial(NULL, problem, options, &result, &err);
        spak_alloc_fail_after(-1);
        failed = spak_alloc_failures() != failures;
        if (failed && (ran || result || !*err.message)) silent++;
        if (!failed) ok(ran, "with memory for %ld allocations it runs %s", n, err.message);
        json_decref(result);
        json_decref(problem);
        json_decref(options);
    }
    ok(n > 20 && silent == 0, "an allocation that fails is an error, wherever among %ld", n);
}

int main(void) {
    spak_json_init();
    test_ok(NULL, small, 60, true);
    test_ok("{\"variant\": \"exact\"}", small, 60, false);
    test_ok("{\"variant\": \"single\", \"isa\": \"portable\"}", small, 60, true);
    test_ok("{\"variant\": \"exact\", \"isa\": \"portable\"}", "{\"dataset\": \"names\", \"steps\": 1}", 1, false);
    test_ok("{}", NULL, MICROGPT_STEPS, true);

    test_refused("{\"variant\": \"magic\"}", small, "axis variant");
    test_refused("{\"isa\": \"mmx\"}", small, "axis isa");
    test_refused("{\"isa\": 2}", small, "axis isa");
    test_refused("{\"tile\": 2}", small, "no axis 'tile'");
    test_refused("{}", "{\"threads\": 2}", "problem.threads");
    if (!dev_cpu_has(DEV_ISA_AVX512)) test_refused("{\"isa\": \"avx512\"}", small, "axis isa");
    test_malformed("[]", quick, "problem");
    test_malformed("{\"steps\": 0}", quick, "steps");
    test_malformed("{\"stepz\": 5}", quick, "no such member");
    test_malformed("{\"dataset\": 5}", quick, "dataset");
    test_malformed("{\"dataset\": \"no_such_set\"}", quick, "no_such_set");
    test_malformed(small, "{\"samples\": 0}", "samples");

    test_cheats("{}");
    test_cheats("{\"variant\": \"exact\"}");
    test_all_faulty();
    test_parting();
    test_studies();
    test_clock();
    test_one_name();
    test_memory();

    is_int(microgpt_flop(1), 6 * 3504 + 12 * 16 + 12 * 4192, "operations of one position");
    is_int(microgpt_flop(3) - microgpt_flop(2), 6 * 3504 + 12 * 16 * 3, "and of the third");
#if defined(__x86_64__)
    ok(microgpt_exact_avx512.bytes && microgpt_single_avx512.bytes, "AVX-512 is compiled in");
#endif
    return done_testing();
}
