/* nanoGPT as an operator: every invariant holds for the sound code, each fault breaks the one that is there for it, a
 * trial says what it found, and the studies run. */
#include <math.h>
#include <string.h>

#include "../gate.h"
#include "base/alloc.h"
#include "nn/nanogpt_gate.h"

/* Which invariant is there for which fault, in the faults' order; others may see it too. */
static const char *const caught_by[NANOGPT_NUM_FAULTS - 1] = {
    "operators_match_oracle",        /* layernorm_without_mean */
    "operators_match_oracle",        /* layernorm_of_another_eps */
    "cpu_matches_oracle",            /* layernorm_beta_dropped */
    "operators_match_oracle",        /* gelu_by_tanh */
    "backward_matches_differences",  /* gelu_backward_is_relus */
    "operators_match_oracle",        /* mask_missing */
    "every_parameter_trains",        /* attention_gradient_stops */
    "backward_matches_differences",  /* residual_gradient_dropped */
    "backward_matches_differences",  /* loss_not_averaged */
    "backward_matches_differences",  /* token_gradient_overwritten */
    "backward_matches_differences",  /* tied_table_learns_from_head_alone */
    "every_parameter_trains",        /* positions_do_not_learn */
    "backward_matches_differences",  /* dropout_redrawn_backward */
    "threads_do_not_change_bits",    /* dropout_by_threads */
    "adam_follows_its_definition",   /* decay_on_vectors */
    "adam_follows_its_definition",   /* clipping_left_out */
    "adam_follows_its_definition",   /* adam_without_bias_correction */
    "cache_does_not_change_samples", /* cache_positions_shifted */
    "cache_does_not_change_samples", /* cache_forgets_first */
    "tied_head",                     /* head_untied */
    "residual_scaled",               /* residual_not_scaled */
    "loss_is_entropy_at_start",      /* large_weights */
    "resume_does_not_change_bits",   /* resume_without_moments */
    "resume_does_not_change_bits",   /* resume_begins_anew */
};

static json_t *parsed(const char *text) {
    json_t *json = NULL;
    spak_error err;
    if (!spak_json_parse("test", text, strlen(text), &json, &err)) ok(false, "%s: %s", text, err.message);
    return json;
}

/* --- trials --- */

static const char SMALL[] =
    "{\"model\": {\"layers\": 2, \"heads\": 2, \"width\": 32, \"context\": 16}, \"steps\": 6, "
    "\"batch\": 4, \"len\": 16, \"seed\": 7, \"warmup_steps\": 0, \"validate_every\": 0}";

static json_t *tried(nanogpt_fault fault, const char *config, const char *problem) {
    json_t *c = parsed(config), *p = parsed(problem), *result = NULL;
    spak_error err = {""};
    if (!ok(nanogpt_trial_with(fault, c, p, NULL, &result, &err), "a trial runs: %s", err.message))
        result = json_object();
    json_decref(c);
    json_decref(p);
    return result;
}

static bool status_is(const json_t *result, const char *status) {
    if (strcmp(spak_json_str(result, "status", ""), status) == 0) return true;
    printf("# %s: %s\n", spak_json_str(result, "status", "none"), spak_json_str(result, "reason", ""));
    return false;
}

static double nth(const json_t *result, const char *list, size_t i) {
    return json_number_value(json_array_get(json_object_get(result, list), i));
}

/* nanoGPT's estimate from random batches beside the loss over the whole part: other numbers for the same thing. */
static void test_estimate(void) {
    static const char problem[] =
        "{\"model\": {\"layers\": 1, \"heads\": 2, \"width\": 32, \"context\": 16}, \"steps\": 4, \"batch\": 8, "
        "\"len\": 16, \"seed\": 7, \"validate_every\": 2, \"eval_iters\": 200}";
    json_t *a = tried(NANOGPT_SOUND, "{}", problem), *b = tried(NANOGPT_SOUND, "{}", problem);
    const json_t *list = json_object_get(a, "validations");
    double mean[3] = {0}, first[3] = {0};
    is_int(json_array_size(list), 3, "validated at the beginning, in between and at the end");
    for (size_t i = 0; i < json_array_size(list) && i < 3; i++) {
        const json_t *entry = json_array_get(list, i), *losses = json_object_get(entry, "estimate");
        is_int(json_array_size(losses), 200, "losses of an estimate");
        for (size_t j = 0; j < 200; j++) mean[i] += json_number_value(json_array_get(losses, j)) / 200;
        first[i] = json_number_value(json_array_get(losses, 0)) - mean[i];
        const double whole = spak_json_num(entry, "loss", NAN);
        ok(fabs(mean[i] - whole) < 0.01 && mean[i] != whole, "it is near the whole part's: %.4f, %.4f", mean[i], whole);
    }
    ok(fabs(first[0] - first[2]) > 1e-6, "each estimate draws its own batches");
    ok(json_equal(list, json_object_get(b, "validations")), "and draws them again the same");
    json_decref(a);
    json_decref(b);
}

static void test_trial(void) {
    json_t *cpu = tried(NANOGPT_SOUND, "{\"variant\": \"cpu\", \"threads\": 2}", SMALL);
    ok(status_is(cpu, "ok") && spak_json_bool(cpu, "correct", false), "it is correct");
    is_int(json_array_size(json_object_get(cpu, "losses")), 6, "a loss for each step");
    is_int(json_array_size(json_object_get(cpu, "time_ms")), 6, "and a time");
    ok(nth(cpu, "losses", 5) < nth(cpu, "losses", 0), "the loss falls");
    const double over = spak_json_num(cpu, "gradient_error_over_bound", NAN);
    ok(over > 0 && over < 1, "the first gradient is %.2g bounds from the oracle", over);
    json_t *oracle = tried(NANOGPT_SOUND, "{\"variant\": \"oracle\", \"threads\": 1}", SMALL);
    ok(status_is(oracle, "ok"), "the oracle trains too");
    double apart = 0;
    for (size_t i = 0; i < 6; i++) apart = fmax(apart, fabs(nth(cpu, "losses", i) - nth(oracle, "losses", i)));
    ok(apart > 0 && apart < 1e-5, "and its losses differ by %.2g", apart);
    json_decref(cpu);
    json_decref(oracle);
    test_estimate();
    static const nanogpt_fault wrong[] = {NANOGPT_FAULT_loss_not_averaged, NANOGPT_FAULT_mask_missing,
                                          NANOGPT_FAULT_residual_gradient_dropped};
    for (int i = 0; i < 3; i++) {
        json_t *result = tried(wrong[i], "{}", SMALL);
        ok(status_is(result, "failed") && !spak_json_bool(result, "correct", true), "%s fails: %s",
           nanogpt_faults[wrong[i] - 1].name, spak_json_str(result, "reason", ""));
        json_decref(result);
    }
}

static void test_refused(void) {
    static const char *const bad[][3] = {
        {"{\"variant\": \"gpu\"}", "{\"steps\": 1}", "cpu"},
        {"{\"tile\": 3}", "{\"steps\": 1}", "tile"},
        {"{}", "{\"steps\": 1, \"pass\": \"back\"}", "pass"},
        {"{}", "{\"steps\": 1, \"stepps\": 2}", "stepps"},
        {"{}", "{\"preset\": \"gpt3\"}", "gpt3"},
        {"{}", "{\"model\": {\"heads\": 3}}", "heads"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *result = tried(NANOGPT_SOUND, bad[i][0], bad[i][1]);
        const char *reason = spak_json_str(result, "reason", "");
        ok(strcmp(spak_json_str(result, "status", ""), "refused") == 0 && strstr(reason, bad[i][2]), "refused: %s",
           reason);
        json_decref(result);
    }
}

static void test_forward(void) {
    json_t *result =
        tried(NANOGPT_SOUND, "{}", "{\"pass\": \"forward\", \"steps\": 3, \"batch\": 2, \"model\": {\"layers\": 1}}");
    ok(status_is(result, "ok") && json_array_size(json_object_get(result, "time_ms")) == 3, "forward passes are timed");
    ok(fabs(nth(result, "losses", 0) - log(65)) < 0.5, "with a loss of %.3f", nth(result, "losses", 0));
    json_decref(result);
}

/* --- studies --- */

static json_t *studied(const char *name, const char *options) {
    const dev_study *study = dev_op_study(&nanogpt_op, name);
    json_t *o = parsed(options), *result = NULL;
    spak_error err = {""};
    if (!ok(study && study->run(o, &result, &err), "%s runs: %s", name, err.message)) result = json_object();
    json_decref(o);
    return result;
}

static void test_depth(void) {
    double last[2] = {0}, growth[2] = {0};
    json_t *r = studied("parity_over_depth",
                        "{\"layers\": 4, \"width\": 48, \"heads\": 2, \"lens\": [1, 13, 5], \"vocab\": 30, "
                        "\"sharp\": 400}");
    const json_t *cases = json_object_get(r, "cases");
    is_int(json_array_size(cases), 5, "three lengths, and two with sharp scores: one token has no others");
    for (size_t i = 0; i < 5; i++) {
        const json_t *of = json_array_get(cases, i), *blocks = json_object_get(of, "blocks");
        const int sharp = i >= 3;
        is_int(json_array_size(blocks), 5, "a distance for the embedding and each block");
        const double off = spak_json_num(json_array_get(blocks, 4), "relative", NAN);
        ok(off > 1e-9 && off < spak_json_num(of, "bound", 0), "after four blocks %.2g", off);
        is_int((long long)spak_json_num(of, "sharpness", 0), sharp ? 400 : 1, "its scores");
        if (i == 1 || i == 3) last[sharp] = off; /* of 13 tokens */
        growth[sharp] = fmax(growth[sharp], spak_json_num(of, "growth", NAN));
    }
    ok(last[1] > last[0], "sharp attention costs digits");
    ok(growth[0] == spak_json_num(r, "growth_plain", 0) && growth[1] == spak_json_num(r, "growth_sharp", 0),
       "of either kind the largest growth: %.3g, %.3g", growth[0], growth[1]);
    json_decref(r);
    static const char *const bad[] = {"{\"lens\": [1]}", "{\"lens\": [0, 13]}", "{\"lens\": []}"};
    for (int i = 0; i < 3; i++) {
        spak_error err = {""};
        json_t *options = parsed(bad[i]);
        json_object_set_new(options, "layers", json_integer(1));
        json_object_set_new(options, "width", json_integer(12));
        ok(!dev_op_study(&nanogpt_op, "parity_over_depth")->run(options, &r, &err) && strstr(err.message, "lens"),
           "refused: %s", err.message);
        json_decref(options);
    }
}

/* The parts are medians of their own, so on a busy machine they add up to less than the step. */
static void test_clocks(void) {
    json_t *r = studied("time_by_operator", "{\"steps\": 9, \"batch\": 2, \"threads\": 1}");
    double inside = spak_json_num(r, "outside_ms", NAN), linear = 0;
    const double step = spak_json_num(r, "step_ms", 0);
    for (size_t i = 0; i < NANOGPT_CLOCKS; i++) {
        const json_t *op = json_array_get(json_object_get(r, "operators"), i);
        inside += spak_json_num(op, "ms", NAN);
        if (!strncmp(spak_json_str(op, "name", ""), "linear", 6)) linear += spak_json_num(op, "ms", NAN);
    }
    ok(inside > 0.4 * step && inside < 1.1 * step, "operators and the rest are the step: %.3f of it", inside / step);
    ok(fabs(linear / inside - spak_json_num(r, "linear_share", NAN)) < 1e-9, "the linear ones are their share");
    is_int(spak_json_int(r, "threads", 0), 1, "the threads are said");
    is_int(spak_json_int(json_array_get(json_object_get(r, "operators"), 4), "calls", 0), 4 * 4 + 1,
           "four linear layers a block, and the head");
    json_decref(r);
}

static void test_transplant(void) {
    json_t *r = studied("transplant", "{\"steps\": 3, \"prompts\": 2, \"tokens\": 52, \"threads\": 1}");
    is_int(json_array_size(json_object_get(r, "texts")), 4, "four speakers beside the reference");
    for (size_t i = 0; i < 4; i++) {
        const json_t *text = json_array_get(json_object_get(r, "texts"), i);
        const char *by = spak_json_str(text, "by", "");
        is_int(spak_json_int(text, "same", 0), 2 * 52, "%s: the same greedy text, beyond the context", by);
        is_int(spak_json_int(text, "same_drawn", 0), 2 * 52, "%s: and the same drawn text", by);
        is_int(spak_json_int(text, "from_cache", 1), i % 2 ? 2 * 48 : 0, "%s: tokens from the cache", by);
        const double apart = spak_json_num(text, "apart", 1), drawn = spak_json_num(text, "apart_drawn", 1);
        ok(i == 0 ? apart == 0 && drawn == 0 : apart > 0 && apart < 1e-4 && drawn > 0 && drawn < 1e-4,
           "%s: logits are %.2g and %.2g apart", by, apart, drawn);
    }
    const long long greedy = spak_json_int(r, "contexts", 0), drawn = spak_json_int(r, "contexts_drawn", 0);
    ok(greedy >= 2 && greedy <= drawn && drawn <= 2 * 52, "%lld contexts greedily, %lld drawn", greedy, drawn);
    const json_t *sample = json_array_get(json_object_get(r, "samples"), 0);
    ok(strcmp(json_string_value(json_array_get(sample, 1)), json_string_value(json_array_get(sample, 2))) != 0,
       "drawn text is another than greedy text");
    json_decref(r);
}

static void test_studies(void) {
    test_depth();
    json_t *r = studied("odd_widths", "{\"widths\": [1, 13, 100], \"rows\": 5}");
    for (size_t i = 0; i < 3; i++) {
        const json_t *w = json_array_get(json_object_get(r, "widths"), i);
        ok(spak_json_num(w, "over_bound", 2) <= 1, "%lld wide: within the bound", spak_json_int(w, "width", 0));
    }
    json_decref(r);
    test_clocks();
    test_transplant();
    r = studied("memory_and_time",
                "{\"len\": 12, \"passes\": 2, \"model\": {\"layers\": 1, \"width\": 24, \"heads\": 2, "
                "\"context\": 12, \"vocab\": 50}}");
    ok(spak_json_num(r, "peak_bytes", 0) > spak_json_num(json_object_get(r, "plan"), "total", INFINITY), "memory");
    ok(spak_json_num(r, "last_loss", 9) < spak_json_num(r, "first_loss", 0), "two steps on one batch lower its loss");
    is_int(json_array_size(json_object_get(r, "step_ms")), 2, "the pass before them is not timed");
    json_decref(r);
    json_t *options = parsed("{\"wdith\": 3}");
    spak_error err = {""};
    for (size_t i = 0; i < nanogpt_op.num_studies; i++)
        ok(!nanogpt_op.studies[i].run(options, &r, &err) && strstr(err.message, "wdith"), "a misspelt option: %s",
           err.message);
    json_decref(options);
}

int main(void) {
    spak_json_init();
    gate_is_sound(&nanogpt_op, 2);
    gate_is_tight(&nanogpt_op, caught_by);
    test_trial();
    test_refused();
    test_forward();
    test_studies();
    return done_testing();
}
