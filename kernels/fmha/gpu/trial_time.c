/* Timing on the GPU's own clock.
 *
 * Ours is a graph of launches that goes round the sets, long enough for
 * min_sample_ms. Before each sample the outputs are poisoned and the
 * second-level cache is flushed; then the graph is replayed between two events.
 * The peer is another process, which does the same (trial_peer.c). The two take
 * turns by blocks of samples, and from block to block at going first; a replay
 * that is not counted begins each block, for the GPU has just worked for the
 * other process. The ratio is the median over pairs of samples. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "fmha/gpu/trial.h"

typedef fmha_gpu_trial_state state;

enum { BLOCK = 5 }; /* samples of a turn */
static const int MOST_LAUNCHES = 4096;
static const double BUSY_MS = 30;  /* until the clocks have settled */
static const double ROUND_MS = 10; /* a round of all sets, if not longer */

typedef struct side {
    state *trial;
    dev_graph *graph;
    int launches;
} side;

static bool turn(void *ctx, int number, spak_error *err) {
    state *t = ((side *)ctx)->trial;
    return fmha_gpu_launch(t->gpu, &t->set[number % t->sets].bound, err);
}

static bool record(side *s, int launches, spak_error *err) {
    dev_graph_free(s->graph);
    s->graph = NULL;
    s->launches = launches;
    return dev_graph_record(s->trial->gpu, turn, s, launches, &s->graph, err);
}

/* One launch's time, warm, says how many make a sample. */
static bool choose_launches(side *s, double min_sample_ms, spak_error *err) {
    double ms = 0;
    const int probe = s->trial->sets < 8 ? s->trial->sets : 8;
    if (!record(s, probe, err) || !dev_graph_time(s->graph, &ms, err) ||
        !dev_graph_time(s->graph, &ms, err))
        return false;
    double one = fmax(ms / probe, 1e-4);
    double around = fmin(s->trial->sets, ceil(ROUND_MS / one));
    double wanted =
        fmin(fmax(around, ceil(min_sample_ms / one)), MOST_LAUNCHES);
    return record(s, (int)fmax(wanted, 1), err) &&
           dev_graph_time(s->graph, &ms, err);
}

static bool sample(side *s, double *ms, spak_error *err) {
    state *t = s->trial;
    if (!fmha_gpu_trial_reset(t, err)) return false;
    /* The flush is still under way when the graph is launched, so that the
     * host's part of the launch is not in the time. */
    if (t->options.flush ? !dev_gpu_flush(t->gpu, err)
                         : !dev_gpu_sync(t->gpu, err))
        return false;
    if (!dev_graph_time(s->graph, ms, err)) return false;
    *ms /= s->launches;
    return true;
}

static bool our_block(side *s, double *ms, int count, spak_error *err) {
    double warm;
    if (!dev_graph_time(s->graph, &warm, err)) return false;
    for (int i = 0; i < count; i++)
        if (!sample(s, &ms[i], err)) return false;
    return true;
}

/* A block of the peer's, if there is one still. */
static bool their_block(state *t, dev_timing *timing, int first, int count,
                        spak_error *err) {
    if (!t->peer) return true;
    if (!fmha_gpu_trial_peer_samples(t, count, timing->peer_time_ms + first,
                                     err))
        return false;
    if (t->peer) return true;
    spak_free(timing->peer_time_ms); /* half of its samples are none */
    timing->peer_time_ms = NULL;
    return true;
}

static bool take_samples(side *ours, dev_timing *timing, spak_error *err) {
    state *t = ours->trial;
    for (int i = 0; i < timing->samples; i += BLOCK) {
        int count = timing->samples - i < BLOCK ? timing->samples - i : BLOCK;
        bool theirs_first = i / BLOCK % 2;
        if ((theirs_first && !their_block(t, timing, i, count, err)) ||
            !our_block(ours, timing->time_ms + i, count, err) ||
            (!theirs_first && !their_block(t, timing, i, count, err)))
            return false;
    }
    return true;
}

/* --- the floor --- */

/* No launch can be faster: the products at the highest clock; or the bytes, but
 * for those that the launches before may have left in the cache. */
static double hard_floor_ms(const state *t) {
    const fmha_gpu_machine *hw = &t->machine;
    double cached = (double)hw->l2_bytes;
    double matrix =
        hw->matrix_flop_per_s > 0 ? t->flop / hw->matrix_flop_per_s : 0;
    double memory =
        hw->bytes_per_s > 0
            ? (fmha_gpu_bytes(&t->problem) - cached) / hw->bytes_per_s
            : 0;
    return 1e3 * fmax(matrix, memory);
}

static void put_roofline(const state *t, double median_ms, json_t *result) {
    const fmha_gpu_machine *hw = &t->machine;
    if (hw->datasheet_flop_per_s <= 0 || hw->bytes_per_s <= 0) return;
    double floor = 1e3 * fmax(t->flop / hw->datasheet_flop_per_s,
                              fmha_gpu_bytes(&t->problem) / hw->bytes_per_s);
    json_object_set_new(result, "roofline",
                        json_pack("{s:f, s:f}", "floor_ms", floor, "fraction",
                                  floor / median_ms));
}

static double median_of(const double *ms, int n, double *scratch) {
    memcpy(scratch, ms, (size_t)n * sizeof *ms);
    return dev_spread_of(scratch, (size_t)n).median;
}

/* "tflops" by the usual count, "gb_per_s" of what has to be moved. */
static void put_speed(const state *t, const dev_timing *timing, double ms,
                      double *scratch, json_t *result) {
    const double bytes = fmha_gpu_bytes(&t->problem);
    json_object_set_new(result, "flop", json_real(t->flop));
    json_object_set_new(result, "bytes", json_real(bytes));
    json_object_set_new(result, "tflops", json_real(t->flop / ms * 1e-9));
    json_object_set_new(result, "gb_per_s", json_real(bytes / ms * 1e-6));
    if (!timing->peer_time_ms) return;
    double peer_ms = median_of(timing->peer_time_ms, timing->samples, scratch);
    json_object_set_new(result, "peer_tflops",
                        json_real(t->flop / peer_ms * 1e-9));
}

/* The figures, or the failure when ours cannot be true. */
static bool put_timing(const state *t, const dev_timing *timing, json_t *result,
                       spak_error *err) {
    double *scratch = spak_calloc((size_t)timing->samples, sizeof *scratch);
    if (!scratch) return spak_fail_oom(err);
    double ms = median_of(timing->time_ms, timing->samples, scratch),
           floor = hard_floor_ms(t);
    bool ok = dev_timing_put(timing, t->flop, result, err);
    put_speed(t, timing, ms, scratch, result);
    put_roofline(t, ms, result);
    if (ms < floor) {
        spak_error why = {0};
        spak_fail(&why,
                  "faster than the hardware can: %.6g ms a launch, and its "
                  "floor is %.6g ms",
                  ms, floor);
        dev_trial_put_failure(result, why.message);
    }
    spak_free(scratch);
    return ok;
}

static bool put_state(const state *t, const char *key, json_t *result,
                      spak_error *err) {
    json_t *now = NULL;
    return dev_gpu_state(t->gpu, &now, err) &&
           spak_json_set(result, key, now, err);
}

/* Clocks and power while ours is running, some BUSY_MS after it began. */
static bool put_busy_state(side *s, double sample_ms, json_t *result,
                           spak_error *err) {
    const int replays =
        (int)fmin(ceil(2 * BUSY_MS / fmax(sample_ms, 0.01)), 200);
    for (int i = 0; i < replays; i++)
        if (!dev_graph_replay(s->graph, err)) return false;
    nanosleep(&(struct timespec){.tv_nsec = (long)(BUSY_MS * 1e6)}, NULL);
    return put_state(s->trial, "during", result, err) &&
           dev_gpu_sync(s->trial->gpu, err);
}

bool fmha_gpu_trial_time(state *t, json_t *result, int *launched,
                         spak_error *err) {
    side ours = {t, NULL, 0};
    const size_t n = (size_t)t->options.samples;
    dev_timing timing = {.samples = t->options.samples};
    timing.time_ms = spak_calloc(n, sizeof(double));
    if (t->peer) timing.peer_time_ms = spak_calloc(n, sizeof(double));
    bool ok = (timing.time_ms && (!t->peer || timing.peer_time_ms)) ||
              spak_fail_oom(err);
    ok =
        ok && put_state(t, "before", result, err) &&
        choose_launches(&ours, t->options.min_sample_ms, err) &&
        take_samples(&ours, &timing, err) &&
        put_busy_state(&ours, timing.time_ms[0] * ours.launches, result, err) &&
        put_state(t, "after", result, err);
    timing.repeats = ours.launches;
    *launched = ours.launches < t->sets ? ours.launches : t->sets;
    ok = ok && put_timing(t, &timing, result, err);
    json_object_set_new(result, "sets", json_integer(t->sets));
    json_object_set_new(result, "launches", json_integer(ours.launches));
    dev_graph_free(ours.graph);
    dev_timing_free(&timing);
    return ok;
}
