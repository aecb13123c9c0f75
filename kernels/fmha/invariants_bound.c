/* tiled_sum_within_bound and threads_do_not_change_bits. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "fmha/invariants.h"
#include "fmha/micro.h"

/* --- shapes --- */

/* One, less than a vector, one off every tile, and longer than any. */
static const size_t lengths[] = {1, 13, 64, 127, 257, 1023, 2, 31, 96, 130};
static const size_t head_dims[] = {16, 32, 64, 128, 256, 24, 33, 80, 7, 96};
enum { LENGTHS = sizeof lengths / sizeof *lengths };
enum { HEAD_DIMS = sizeof head_dims / sizeof *head_dims };

static size_t work(const fmha_shape *s) {
    return s->batch * s->heads * s->q_len * s->kv_len * s->head_dim;
}

fmha_shape fmha_random_shape(uint64_t seed, int index, size_t most) {
    fmha_shape s;
    uint64_t draw = 0;
    do {
        uint32_t a[4], b[4];
        spak_philox(seed, 100 + (uint64_t)index, draw++, a);
        spak_philox(seed, 100 + (uint64_t)index, draw++, b);
        s = (fmha_shape){.batch = 1 + a[0] % 2,
                         .q_len = lengths[a[1] % LENGTHS],
                         .kv_len = lengths[a[2] % LENGTHS],
                         .head_dim = head_dims[a[3] % HEAD_DIMS],
                         .kv_heads = 1 + b[0] % 3,
                         .causal = b[1] & 1,
                         .scale = b[2] % 4 ? 0 : 0.25f};
        s.heads = s.kv_heads * (1 + b[3] % 3);
    } while (work(&s) > most);
    return s;
}

/* The decisive case first: several tiles each way, tails, groups and a mask. */
static const struct {
    fmha_shape shape;
    fmha_dtype dtype;
} always[] = {{{2, 4, 2, 45, 77, 40, true, 0}, FMHA_F32},
              {{1, 2, 1, 33, 127, 64, false, 0}, FMHA_F16},
              {{1, 2, 2, 64, 64, 128, true, 0}, FMHA_BF16},
              {{1, 1, 1, 1, 1, 16, true, 0}, FMHA_F32},
              {{1, 2, 1, 1, 257, 64, true, 0}, FMHA_F32},
              {{1, 1, 1, 13, 1023, 33, false, 0.3f}, FMHA_F32},
              {{1, 1, 1, 257, 127, 16, true, 0}, FMHA_F32},
              {{1, 1, 1, 127, 13, 256, false, 0}, FMHA_F16},
              {{1, 3, 1, 5, 3, 1, false, 1}, FMHA_F32},
              {{1, 1, 1, 1023, 1023, 16, true, 0}, FMHA_F32},
              {{1, 1, 1, 2049, 17, 16, true, 0}, FMHA_F32},
              {{1, 2, 1, 13, 2049, 16, true, 0}, FMHA_BF16},
              {{1, 1, 1, 13, 2049, 16, false, 0}, FMHA_F32}};
enum { ALWAYS = sizeof always / sizeof *always, MOST_WORK = 1 << 20 };

/* Normal inputs have logits of 3 and errors that cancel. Not so these. */
static void distort(fmha_case *c, int how) {
    size_t dim = c->shape.head_dim;
    if (how == 1) /* logits of some hundred: one key takes nearly all */
        for (size_t i = 0; i < c->qs; i++) c->q[i] *= 64;
    if (how == 2) /* all weights alike, all values positive: no sign cancels */
        for (size_t i = 0; i < c->kvs; i++) {
            c->k[i] *= 0x1p-9f;
            c->v[i] = fabsf(c->v[i]);
        }
    if (how == 3) /* values of sizes far apart */
        for (size_t i = 0; i < c->kvs; i++)
            c->v[i] *= i / dim % 5 ? 0x1p-6f : 64;
    for (size_t i = 0; i < c->kvs; i++) {
        c->k[i] = fmha_round(c->k[i], c->dtype);
        c->v[i] = fmha_round(c->v[i], c->dtype);
    }
}

/* Case number `index`: those above, then random ones. */
static bool make_case(const fmha_check *check, int index, fmha_case *c,
                      size_t most, bool backward) {
    uint64_t seed = check->seed + 7919 * (uint64_t)index;
    bool random = index >= ALWAYS;
    fmha_shape shape =
        random ? fmha_random_shape(seed, index, most) : always[index].shape;
    fmha_dtype dtype = random ? (fmha_dtype)(index % 3) : always[index].dtype;
    if (!fmha_case_new(c, &shape, dtype,
                       (fmha_layout)((index + 1) % FMHA_LAYOUTS), backward,
                       seed, check->err))
        return false;
    distort(c, index % 4);
    return true;
}

/* --- tiled_sum_within_bound --- */

static bool check_awkward(fmha_check *check) {
    for (int index = 0; index < ALWAYS + check->cases; index++) {
        fmha_case c;
        if (!make_case(check, index, &c, MOST_WORK, false)) return false;
        bool good = fmha_case_oracle(&c, check->err);
        int configs = work(&c.shape) > 4u * MOST_WORK ? 1 : 4;
        for (int t = 0; t < configs && good; t++) {
            fmha_config config = fmha_config_at(check, index + 3 * t, c.dtype);
            good = fmha_try_forward(check, &c, &config, 1 + t);
        }
        fmha_case_free(&c);
        if (!good) return false;
    }
    return true;
}

/* Every head_dim that there may be: how it is cut into registers, vectors and
 * panels differs from one to the next, and a sample would miss some. */
static bool check_head_dims(fmha_check *check) {
    bool good = true;
    for (size_t dim = 1; dim <= FMHA_MAX_HEAD_DIM && good; dim++) {
        const fmha_shape shape = {1, 1, 1, 3, 18, dim, true, 0};
        fmha_config config = {FMHA_FUSED, dev_cpu_isa(), 0, 16, FMHA_F32};
        fmha_case c;
        config.tile_m = fmha_whole_panels(&config, 1);
        if (!fmha_case_new(&c, &shape, FMHA_F32, FMHA_PADDED, false,
                           check->seed + dim, check->err))
            return false;
        good = fmha_case_oracle(&c, check->err) &&
               fmha_try_forward(check, &c, &config, 1);
        fmha_case_free(&c);
    }
    return good;
}

bool fmha_check_bounds(fmha_check *check) {
    return check_awkward(check) && check_head_dims(check);
}

/* --- threads_do_not_change_bits --- */

static bool same_bits(const float *a, const float *b, size_t n) {
    return memcmp(a, b, n * sizeof *a) == 0;
}

/* Runs both passes on one thread in *one and on `threads` in *many. */
static bool run_both(fmha_check *check, fmha_case *c, const fmha_config *config,
                     int threads) {
    return fmha_run_forward(check, c, config, threads) &&
           fmha_run_backward(check, c, config, threads);
}

static const char *differing(const fmha_case *a, const fmha_case *b) {
    return !same_bits(a->o, b->o, a->qs)         ? "O"
           : !same_bits(a->lse, b->lse, a->rows) ? "LSE"
           : !same_bits(a->dq, b->dq, a->qs)     ? "dQ"
           : !same_bits(a->dk, b->dk, a->kvs)    ? "dK"
           : !same_bits(a->dv, b->dv, a->kvs)    ? "dV"
                                                 : NULL;
}

bool fmha_check_threads(fmha_check *check) {
    static const int threads[] = {2, 3, 5, 8};
    bool good = true;
    for (int index = 0; index < 3 + check->cases && good; index++) {
        int which = index < 3 ? index : index - 3 + ALWAYS;
        fmha_case one, many;
        if (!make_case(check, which, &one, MOST_WORK / 4, true)) return false;
        if (!make_case(check, which, &many, MOST_WORK / 4, true)) {
            fmha_case_free(&one);
            return false;
        }
        fmha_config config = fmha_config_at(check, index, one.dtype);
        config.variant = FMHA_THREADS;
        good = run_both(check, &one, &config, 1);
        for (int t = 0; t < 4 && good; t++) {
            good = run_both(check, &many, &config, threads[t]);
            const char *what = good ? differing(&one, &many) : NULL;
            if (what)
                good = fmha_found(check, &one, &config, threads[t],
                                  "%s on %d threads is not %s on one", what,
                                  threads[t], what);
        }
        fmha_case_free(&one);
        fmha_case_free(&many);
    }
    return good;
}
