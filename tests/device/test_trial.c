/* What all trials share at their end: refusals, the verdict on the first output, and the result of the timing. */
#include <math.h>

#include "../tap.h"
#include "device/trial.h"

static void refusal(void) {
    json_t *result = json_object(), *config = json_pack("{s:i}", "tile", 7);
    dev_trial_put_refusal(result, config, "too wide");
    is_str(spak_json_str(result, "status", ""), "refused", "a refusal");
    is_str(spak_json_str(result, "reason", ""), "too wide", "says why");
    json_object_set_new(config, "tile", json_integer(8));
    is_int(spak_json_int(json_object_get(result, "config"), "tile", 0), 7, "and of what, in a copy");
    dev_trial_put_refusal(result, NULL, "none");
    ok(json_is_object(json_object_get(result, "config")) && json_object_size(json_object_get(result, "config")) == 0,
       "no configuration is an empty one");
    json_decref(config);
    json_decref(result);
}

/* An error of the bound is allowed; more is not, and no number is not. */
static void verdict(void) {
    static const struct {
        double worst;
        bool good, number;
    } all[] = {{0, true, true},
               {1, true, true},
               {nextafter(1, 2), false, true},
               {INFINITY, false, false},
               {NAN, false, false}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        json_t *result = json_object();
        bool good = dev_trial_put_first(result, all[i].worst);
        ok(good == all[i].good, "error over bound %.17g is %s", all[i].worst, good ? "right" : "wrong");
        ok(good ? !json_object_get(result, "status")
                : !strcmp(spak_json_str(result, "status", ""), "failed") && !spak_json_bool(result, "correct", true) &&
                      *spak_json_str(result, "reason", ""),
           "which is in the result if it is the end");
        ok(all[i].number == (json_object_get(result, "error_over_bound") != NULL), "the number is, if it is one");
        json_decref(result);
    }
}

/* --- timing --- */

typedef struct side {
    int prepared, runs, wrong_from; /* the sample from which on outputs are wrong; -1: none */
} side;

static void prepare(void *ctx) { ((side *)ctx)->prepared++; }
static void run(void *ctx) { ((side *)ctx)->runs++; }
static bool sound(void *ctx, int sample, spak_error *why) {
    const side *s = ctx;
    return s->wrong_from < 0 || sample < s->wrong_from || spak_fail(why, "wrong at sample %d", sample);
}

static json_t *timed(side *ours, side *theirs, bool check, double flop, bool *good) {
    const dev_trial_options options = {.samples = 4, .min_sample_ms = 0, .check = check};
    dev_side a = {prepare, run, NULL, ours}, b = {prepare, run, NULL, theirs};
    json_t *result = json_object();
    spak_error err = {""};
    if (!dev_trial_time(&a, theirs ? &b : NULL, &options, sound, ours, flop, result, good, &err))
        printf("Bail out! %s\n", err.message);
    return result;
}

static void times(void) {
    side ours = {0, 0, -1}, theirs = {0, 0, -1};
    bool good;
    json_t *result = timed(&ours, &theirs, true, 1e3, &good);
    ok(good && !strcmp(spak_json_str(result, "status", ""), "ok") && spak_json_bool(result, "correct", false),
       "what is sound is ok and correct");
    ok(json_array_size(json_object_get(result, "time_ms")) == 4 &&
           json_array_size(json_object_get(result, "peer_time_ms")) == 4 && json_object_get(result, "ratio"),
       "four samples of each side, and their ratio");
    ok(ours.prepared == ours.runs && ours.runs == 5 && theirs.runs == 5, "each run is prepared; one calibrates");
    json_decref(result);
    result = timed(&ours, NULL, false, 0, &good);
    ok(good && !json_object_get(result, "correct"), "what nobody checked is not called correct");
    ok(!json_object_get(result, "ratio") && !json_object_get(result, "gflops"), "no peer, no ratio; no work, no speed");
    json_decref(result);
}

static void wrong_outputs(void) {
    for (int from = 0; from <= 4; from++) {
        side ours = {0, 0, from}, theirs = {0, 0, -1};
        char want[32];
        bool good = true;
        json_t *result = timed(&ours, &theirs, true, 1e3, &good);
        snprintf(want, sizeof want, "wrong at sample %d", from);
        ok(!good && !strcmp(spak_json_str(result, "status", ""), "failed") && !spak_json_bool(result, "correct", true),
           "wrong from sample %d on is failed", from);
        is_str(spak_json_str(result, "reason", ""), want, "and says so");
        ok(!json_object_get(result, "time_ms") && ours.runs == from + 1, "nothing more is run, no time is given");
        json_decref(result);
    }
}

int main(void) {
    spak_json_init();
    refusal();
    verdict();
    times();
    wrong_outputs();
    return done_testing();
}
