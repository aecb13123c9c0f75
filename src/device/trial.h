/* What the trials of all operators share: reading a call, timing ours beside the peer's, and the result's figures.
 *
 * The samples of both sides alternate, and from pair to pair they take turns at going first, so that a clock that
 * drifts, or a neighbour that comes and goes, hits both alike; the ratio is the median of the pairs' ratios. Before
 * each sample all caches are flushed (option "flush", on unless set to false), so that neither side inherits the
 * other's leftovers. A sample repeats the run, as often on both sides, and only its first run meets cold caches. The
 * number is what the faster side needs to last min_sample_ms, but no more than keeps the slower one under
 * LONGEST_SAMPLE times that: beyond such a ratio the faster side's samples are the shorter ones.
 *
 * prepare() comes before every run while the clock stands. It fills the outputs with NaN, so that a run that was left
 * out, or done in part, cannot pass for the one before it. The price is a reading of the clock, some 20 to 50 ns, in
 * the time of each run. */
#ifndef SPAK_DEVICE_TRIAL_H
#define SPAK_DEVICE_TRIAL_H

#include <stddef.h>

#include "base/err.h"
#include "base/json.h"
#include "device/device.h"

/* --- reading a call --- */

/* A misspelt member would be ignored, and the trace would then say that it had been obeyed: so every member must be
 * known, and of the right type. */
typedef struct dev_member {
    const char *name;
    json_type type; /* JSON_INTEGER, JSON_REAL (any number), JSON_TRUE (both booleans), JSON_STRING, _ARRAY, _OBJECT */
    double least, most; /* of a number */
    bool needed;
} dev_member;

/* Fails, naming op and where ("problem"), unless object (NULL: as if empty) has just such members. */
bool dev_members_check(const char *op, const char *where, const json_t *object, const dev_member *members, size_t count,
                       spak_error *err);

/* --- reading a configuration --- */

/* Each fills why and returns false when the axis is there and not as it should be; an axis that is left out leaves the
 * value as it was. */
bool dev_axes_known(const json_t *config, const char *const *axes, size_t count, spak_error *why);
bool dev_axis_size(const json_t *config, const char *axis, size_t least, size_t most, size_t *value, spak_error *why);
bool dev_axis_choice(const json_t *config, const char *axis, const char *const *names, int count, int *choice,
                     spak_error *why);
bool dev_axis_isa(const json_t *config, dev_isa *isa, spak_error *why); /* one that this processor has */

/* --- timing --- */

/* The options that every trial takes. */
typedef struct dev_trial_options {
    int samples;             /* 15 */
    double min_sample_ms;    /* 2 */
    bool peer, check, flush; /* all true */
} dev_trial_options;

/* {"samples", "min_sample_ms", "peer", "check", "flush"}, all optional; NULL: the defaults. */
bool dev_trial_options_read(const char *op, const json_t *options, dev_trial_options *out, spak_error *err);

typedef struct dev_side {
    void (*prepare)(void *ctx); /* before every run, not timed; may be NULL */
    void (*run)(void *ctx);
    void (*wake)(void *ctx); /* threads: before each sample a small run that wakes this side's threads; NULL: none */
    void *ctx;
} dev_side;

typedef struct dev_timing {
    int samples, repeats;
    double *time_ms, *peer_time_ms; /* (samples); peer_time_ms is NULL without a peer */
} dev_timing;

/* Times ours, and peer unless it is NULL. sound(ctx, sample, ...) is called after ours has been run, once before the
 * first sample (sample 0) and after each (1, 2, ...), while its outputs stand; it returns false, with the reason in
 * why, when they are wrong, and then dev_time stops and *good is false. sound may be NULL. Fails when memory runs out.
 * *timing is to be freed in any case. */
bool dev_time(const dev_side *ours, const dev_side *peer, const dev_trial_options *options,
              bool (*sound)(void *ctx, int sample, spak_error *why), void *sound_ctx, dev_timing *timing, bool *good,
              spak_error *why, spak_error *err);
void dev_timing_free(dev_timing *timing);

/* Puts "time_ms", "repeats", "gflops" (of flop floating-point operations a run; left out when flop is 0), and with a
 * peer "peer_time_ms", "peer_gflops", "ratio", "ratio_q1", "ratio_q3" into result. */
bool dev_timing_put(const dev_timing *timing, double flop, json_t *result, spak_error *err);

/* Puts {"correct": false, "status": "failed", "reason": ...}. */
void dev_trial_put_failure(json_t *result, const char *reason);

/* --- the common course of a trial, whose result is as op.h says --- */

/* Puts the refusal of a configuration, which is given back as it came (NULL: empty). */
void dev_trial_put_refusal(json_t *result, const json_t *config, const char *reason);

/* The verdict on the first output, whose largest |error| / bound is worst: puts "error_over_bound" when that is finite.
 * False, with the failure in result, unless worst <= 1 (a NaN is not). */
bool dev_trial_put_first(json_t *result, double worst);

/* dev_time, and what it says: dev_timing_put with "status": "ok" and, if outputs are checked, "correct": true; or, when
 * ours is not sound, the failure, with *good false. Fails when memory runs out. */
bool dev_trial_time(const dev_side *ours, const dev_side *peer, const dev_trial_options *options,
                    bool (*sound)(void *ctx, int sample, spak_error *why), void *sound_ctx, double flop, json_t *result,
                    bool *good, spak_error *err);

#endif
