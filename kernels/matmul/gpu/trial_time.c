/* Timing on the GPU's own clock.
 *
 * Each side is a graph of launches that goes round the sets, long enough for
 * min_sample_ms. Samples alternate, and from pair to pair the sides take turns
 * at going first. Before each sample its side's outputs are poisoned and the
 * second-level cache is flushed; then the graph is replayed between two events.
 */
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "matmul/gpu/trial.h"

static const int MOST_LAUNCHES = 4096;
static const double BUSY_MS = 30;  /* until the clocks have settled */
static const double ROUND_MS = 10; /* a round of all sets, if not longer */

typedef struct side {
    matmul_gpu_trial_state *trial;
    bool (*launch)(matmul_gpu_trial_state *t, int set, spak_error *err);
    dev_graph *graph;
    int launches;
} side;

static bool launch_ours(matmul_gpu_trial_state *t, int set, spak_error *err) {
    return matmul_gpu_launch(t->gpu, &t->set[set].bound, err);
}

bool matmul_gpu_trial_run_peer(matmul_gpu_trial_state *t, int set,
                               spak_error *err) {
    const matmul_gpu_problem *p = &t->problem;
    dev_gpu_gemm x = {p->m,
                      p->n,
                      p->k,
                      p->trans_a,
                      p->trans_b,
                      p->in,
                      p->out,
                      t->set[set].x.a,
                      t->set[set].x.b,
                      t->set[set].peer_c,
                      p->lda,
                      p->ldb,
                      p->ldc,
                      p->alpha,
                      p->beta};
    return dev_gpu_blas_gemm(t->gpu, &x, err);
}

static bool turn(void *ctx, int turn, spak_error *err) {
    side *s = ctx;
    return s->launch(s->trial, turn % s->trial->sets, err);
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
    matmul_gpu_trial_state *t = s->trial;
    if (s->launch == launch_ours ? !matmul_gpu_trial_reset(t, err)
                                 : !matmul_gpu_trial_reset_peers(t, err))
        return false;
    /* The flush is still under way when the graph is launched, so that the
     * host's part of the launch is not in the time. */
    if (t->options.flush ? !dev_gpu_flush(t->gpu, err)
                         : !dev_gpu_sync(t->gpu, err))
        return false;
    if (!dev_graph_time(s->graph, ms, err)) return false;
    *ms /= s->launches;
    return true;
}

static bool take_samples(side *ours, side *peer, dev_timing *timing,
                         spak_error *err) {
    for (int i = 0; i < timing->samples; i++) {
        bool theirs_first = peer && i % 2;
        if ((theirs_first && !sample(peer, &timing->peer_time_ms[i], err)) ||
            !sample(ours, &timing->time_ms[i], err) ||
            (peer && !theirs_first &&
             !sample(peer, &timing->peer_time_ms[i], err)))
            return false;
    }
    return true;
}

/* --- the floor --- */

static double flop(const matmul_gpu_problem *p) {
    return 2.0 * p->m * p->n * p->k;
}

static double bytes_moved(const matmul_gpu_problem *p) {
    double in = (double)dev_element_bytes(p->in),
           out = (double)dev_element_bytes(p->out), mn = (double)p->m * p->n;
    return in * ((double)p->m * p->k + (double)p->n * p->k) +
           mn * out * (p->beta != 0 ? 2 : 1) +
           mn * in * (p->gelu + p->residual);
}

/* No launch can be faster: the products at the highest clock; or the bytes, but
 * for those that the launches before may have left in the cache. */
static double hard_floor_ms(const matmul_gpu_trial_state *t) {
    const matmul_gpu_machine *hw = &t->machine;
    double cached = (double)hw->l2_bytes;
    double matrix = hw->matrix_flop_per_s > 0
                        ? flop(&t->problem) / hw->matrix_flop_per_s
                        : 0;
    double memory = hw->bytes_per_s > 0
                        ? (bytes_moved(&t->problem) - cached) / hw->bytes_per_s
                        : 0;
    return 1e3 * fmax(matrix, memory);
}

static void put_roofline(const matmul_gpu_trial_state *t, double median_ms,
                         json_t *result) {
    const matmul_gpu_machine *hw = &t->machine;
    if (hw->datasheet_flop_per_s <= 0 || hw->bytes_per_s <= 0) return;
    double floor = 1e3 * fmax(flop(&t->problem) / hw->datasheet_flop_per_s,
                              bytes_moved(&t->problem) / hw->bytes_per_s);
    json_object_set_new(result, "roofline",
                        json_pack("{s:f, s:f}", "floor_ms", floor, "fraction",
                                  floor / median_ms));
}

static double median_of(const double *ms, int n, double *scratch) {
    memcpy(scratch, ms, (size_t)n * sizeof *ms);
    return dev_spread_of(scratch, (size_t)n).median;
}

/* The figures, or the failure when ours cannot be true. */
static bool put_timing(const matmul_gpu_trial_state *t,
                       const dev_timing *timing, json_t *result,
                       spak_error *err) {
    double *scratch = spak_calloc((size_t)timing->samples, sizeof *scratch);
    if (!scratch) return spak_fail_oom(err);
    double ms = median_of(timing->time_ms, timing->samples, scratch),
           floor = hard_floor_ms(t);
    bool ok = dev_timing_put(timing, flop(&t->problem), result, err);
    json_object_set_new(result, "tflops",
                        json_real(flop(&t->problem) / ms * 1e-9));
    if (timing->peer_time_ms)
        json_object_set_new(result, "peer_tflops",
                            json_real(flop(&t->problem) * 1e-9 /
                                      median_of(timing->peer_time_ms,
                                                timing->samples, scratch)));
    put_roofline(t, ms, result);
    if (ms < floor) {
        spak_error why = {0};
        spak_fail(&why,
                  "faster than the hardware can: %.6g ms a product, and its "
                  "floor is %.6g ms",
                  ms, floor);
        dev_trial_put_failure(result, why.message);
    }
    spak_free(scratch);
    return ok;
}

static bool put_state(const matmul_gpu_trial_state *t, const char *key,
                      json_t *result, spak_error *err) {
    json_t *state = NULL;
    return dev_gpu_state(t->gpu, &state, err) &&
           spak_json_set(result, key, state, err);
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

bool matmul_gpu_trial_time(matmul_gpu_trial_state *t, json_t *result,
                           int *launched, spak_error *err) {
    side ours = {t, launch_ours, NULL, 0},
         peer = {t, matmul_gpu_trial_run_peer, NULL, 0};
    const size_t n = (size_t)t->options.samples;
    dev_timing timing = {.samples = t->options.samples};
    timing.time_ms = spak_calloc(n, sizeof(double));
    if (t->peer) timing.peer_time_ms = spak_calloc(n, sizeof(double));
    bool ok = (timing.time_ms && (!t->peer || timing.peer_time_ms)) ||
              spak_fail_oom(err);
    ok =
        ok && put_state(t, "before", result, err) &&
        choose_launches(&ours, t->options.min_sample_ms, err) &&
        (!t->peer || choose_launches(&peer, t->options.min_sample_ms, err)) &&
        take_samples(&ours, t->peer ? &peer : NULL, &timing, err) &&
        put_busy_state(&ours, timing.time_ms[0] * ours.launches, result, err) &&
        put_state(t, "after", result, err);
    timing.repeats = ours.launches;
    *launched = ours.launches < t->sets ? ours.launches : t->sets;
    ok = ok && put_timing(t, &timing, result, err);
    json_object_set_new(result, "sets", json_integer(t->sets));
    json_object_set_new(result, "launches", json_integer(ours.launches));
    if (t->peer)
        json_object_set_new(result, "peer_launches",
                            json_integer(peer.launches));
    dev_graph_free(ours.graph);
    dev_graph_free(peer.graph);
    dev_timing_free(&timing);
    return ok;
}
