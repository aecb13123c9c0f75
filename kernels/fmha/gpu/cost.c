/* What suits a problem when nobody says: a small model of time.
 *
 * A tile of queries visits tiles of keys (walk.h), and each visit costs two
 * engines: the matrix units, 4 tile_m tile_n D operations, and the softmax, an
 * exponential for each pair at 16 a cycle beside four operations of the vector
 * units. Warpgroups that take turns hide the shorter one behind the longer, the
 * better the more there are; what a visit costs whatever its width (barriers,
 * rescaling O) is why wide tiles of keys pay. What they cost is at the mask's
 * edge: pairs of a tile that are hidden are computed and thrown away, and the
 * tile as a whole must wait for its own end. So long rows without a mask get
 * the widest tiles that registers and shared memory hold, and causal ones
 * squares.
 *
 * Stages: with two of K and two of V, what the next visit needs is on its way
 * while this one computes, and a visit lasts longer than the way from the
 * second-level cache. Where keys stay until a visit's weights are known to be
 * right (maximum kept), K has three.
 *
 * The constants are in cycles; the model ranks configurations, and its error is
 * the tuner's to find. */
#include <math.h>

#include "fmha/gpu/fmha_gpu.h"
#include "fmha/gpu/walk.h"

typedef fmha_gpu_config config;
typedef fmha_gpu_problem problem;
typedef fmha_gpu_machine machine;

static const double HERTZ = 1.75e9;
static const double MATRIX_SHARE = 0.85; /* of the peak that products reach */
static const double SMEM_BYTES_PER_CYCLE = 110;
static const double EXP_PER_CYCLE = 16, VECTOR_PER_CYCLE = 128;
static const double VECTOR_PER_PAIR = 4; /* scale, maximum, sum, rounding */
static const double NOT_HIDDEN = 0.4;    /* of the shorter, one warpgroup */
static const double VISIT_CYCLES = 330;  /* barriers, first product */
static const double MASK_CYCLES = 0.02;  /* for each pair of a masked tile */
static const double TILE_CYCLES = 2500;  /* first softmax, storing O */
static const double FETCH_CYCLES = 2000; /* Q, where it has one place */
static const double SLICE_BYTES_SHARE = 0.8; /* of the memory's rate */
static const double LAUNCH_S = 3e-6;

/* One tile of queries visits one of keys. */
static double visit_cycles(const config *c, const problem *p, double rate) {
    const double m = c->tile_m, n = c->tile_n, d = p->head_dim;
    double matrix = 4 * m * n * d / rate / MATRIX_SHARE;
    /* A product of 64 x n x 16 takes n / 2 cycles and reads its operands. */
    const double reads = (64 + n) * 32 / (0.5 * n) / SMEM_BYTES_PER_CYCLE;
    if (fmha_gpu_has_tma(c->variant)) matrix *= 0.5 + 0.5 * fmax(1, reads);
    const double softmax =
        m * n * (1 / EXP_PER_CYCLE + VECTOR_PER_PAIR / VECTOR_PER_CYCLE);
    const double rescale = m * d / VECTOR_PER_CYCLE;
    const int turns = c->variant >= FMHA_GPU_PING_PONG ? c->consumers : 1;
    return fmax(matrix, softmax) + NOT_HIDDEN / turns * fmin(matrix, softmax) +
           rescale + VISIT_CYCLES;
}

/* All tiles of one head: *visits, those of them that mask, the longest. */
static void walk_head(const config *c, const problem *p, double *visits,
                      double *masked, double *longest) {
    const int rows = fmha_gpu_rows(c, p), queries = c->tile_m / c->pack;
    *visits = *masked = *longest = 0;
    for (int row = 0; row < rows; row++) {
        fmha_range r = fmha_keys_of(row * queries, queries, c->tile_n, p->q_len,
                                    p->kv_len, p->causal, p->window);
        const double here = r.end - r.first;
        *visits += here;
        *masked += here - (r.whole_end - r.whole);
        *longest = fmax(*longest, here);
    }
}

static double memory_seconds(const problem *p, const machine *hw) {
    const double rate = hw->bytes_per_s > 0 ? hw->bytes_per_s : 4e12;
    return fmha_gpu_bytes(p) / rate / SLICE_BYTES_SHARE;
}

double fmha_gpu_expect(const config *c, const problem *p, const machine *hw) {
    const double sms = hw->sms > 0 ? hw->sms : 132,
                 peak =
                     hw->matrix_flop_per_s > 0 ? hw->matrix_flop_per_s : 1e15;
    const double heads = (double)(p->heads / c->pack) * p->batch;
    double visits, masked, longest;
    walk_head(c, p, &visits, &masked, &longest);
    const double visit = visit_cycles(c, p, peak / sms / HERTZ);
    const double mask = MASK_CYCLES * c->tile_m * c->tile_n;
    const double rows = fmha_gpu_rows(c, p);
    const double tile = TILE_CYCLES + (c->q_stages == 1 ? FETCH_CYCLES : 0);
    const double work = heads * (visits * visit + masked * mask + rows * tile);
    /* Blocks that take the longest first end within a short tile of each other;
     * whole rounds of equal tiles end together. */
    const double last = longest * visit + tile;
    const double rounds = ceil(heads * rows / sms);
    const double cycles = c->order == FMHA_GPU_LONGEST || p->causal
                              ? fmax(work / sms + 0.1 * last, last)
                              : rounds * last;
    const double passes = p->pass == FMHA_GPU_BACKWARD ? 2.5 : 1;
    return fmax(passes * cycles / HERTZ, memory_seconds(p, hw)) + LAUNCH_S;
}

/* --- candidates --- */

typedef struct range {
    int value[12];
    int count;
} range;

/* The values of an axis: the one that is given, or these. */
static range choose(int given, const int *values, int count) {
    range r = {{given}, 1};
    if (given) return r;
    for (r.count = 0; r.count < count; r.count++)
        r.value[r.count] = values[r.count];
    return r;
}
#define CHOOSE(given, ...)                    \
    choose(given, (const int[]){__VA_ARGS__}, \
           sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

typedef struct picking {
    const problem *problem;
    const machine *machine;
    config asked, best;
    double seconds;
} picking;

/* As many heads as leave half of the cache to others: those of a group have one
 * K and V. */
static int heads_that_fit(const picking *p, const config *c) {
    const problem *x = p->problem;
    const bool back =
        x->pass == FMHA_GPU_BACKWARD; /* K, V's heads; Q, dO, dQ */
    const int group = x->heads / x->kv_heads;
    const double kv = 4.0 * x->kv_len * x->head_dim +
                      (back ? 8.0 * group * x->q_len * x->head_dim : 0),
                 groups = floor(0.5 * (double)p->machine->l2_bytes / kv);
    const int all = (back ? x->kv_heads : x->heads / c->pack) * x->batch,
              share = back ? 1 : group / c->pack;
    const double fit = fmax(1, groups) * fmax(1, share);
    return fit < all ? (int)fit : all;
}

/* Decode: enough blocks for all multiprocessors, of some tiles each. */
static int slices_that_fill(const picking *p, const config *c) {
    const problem *x = p->problem;
    const int blocks = x->batch * x->kv_heads,
              tiles = fmha_tiles(x->kv_len, c->tile_n);
    const int want = (2 * p->machine->sms + blocks - 1) / blocks;
    const int most = fmha_most(1, tiles / 4);
    return fmha_most(1, fmha_least(fmha_least(want, most), 128));
}

/* Two of each. Decode waits for nothing but memory: three, or four of short
 * rows' slots. */
static void fill_stages(const picking *p, config *c) {
    const int d = p->problem->head_dim;
    const bool decode = c->variant == FMHA_GPU_DECODE;
    if (!c->k_stages && decode && c->v_stages) c->k_stages = c->v_stages;
    if (!c->k_stages)
        c->k_stages = c->variant == FMHA_GPU_UNFUSED ? 1
                      : !decode                      ? 2
                      : c->tile_n < 64 && d <= 192   ? 4
                                                     : 3;
    if (c->v_stages) return;
    c->v_stages = c->k_stages;
    /* Of 192 columns two of both and Q exceed what most GPUs have. */
    if (c->variant == FMHA_GPU_MMA_SYNC && d == 192 && c->tile_n == 64)
        c->v_stages = 1;
}

static bool fits(const picking *p, const config *c) {
    return fmha_gpu_smem_bytes(c, p->problem) <=
           p->machine->smem_per_block_bytes;
}

static void fill_rest(const picking *p, config *c) {
    const bool back = p->problem->pass == FMHA_GPU_BACKWARD &&
                      fmha_gpu_has_tma(c->variant); /* 128 keys by 2 */
    const bool tma = fmha_gpu_has_tma(c->variant),
               stays = c->variant == FMHA_GPU_PERSISTENT ||
                       c->variant == FMHA_GPU_PACKED;
    const bool masks = p->problem->causal || p->problem->window >= 0,
               orders = stays || c->variant == FMHA_GPU_MMA_SYNC;
    /* O of more leaves no registers for two ways to a softmax. */
    const bool narrow = p->problem->head_dim <= 128;
    fill_stages(p, c);
    if (!c->start)
        c->start = stays ? FMHA_GPU_START_OVERLAPPED : FMHA_GPU_START_PLAIN;
    if (!c->maximum)
        c->maximum = stays && !back && c->k_stages > 1 && narrow
                         ? FMHA_GPU_KEPT
                         : FMHA_GPU_FOLLOWED;
    if (!c->consumers) c->consumers = tma && !back ? c->tile_m / 64 : 1 + back;
    if (!c->order)
        c->order = orders && masks ? FMHA_GPU_LONGEST : FMHA_GPU_PLAIN;
    if (!c->group)
        c->group = c->order == FMHA_GPU_LONGEST ? heads_that_fit(p, c) : 1;
    if (!c->slices)
        c->slices = c->variant == FMHA_GPU_DECODE ? slices_that_fill(p, c) : 1;
    if (c->q_stages) return;
    /* The next tile's queries come while this tile is worked on. Of long rows
     * shared memory has better uses. */
    c->q_stages = stays && !back && p->problem->head_dim <= 128 ? 2 : 1;
    if (!fits(p, c)) c->q_stages = 1;
}

/* Keys stay until their tile's weights are known to be right: a stage more.
 * Visits of narrow heads by two warpgroups are the shortest: of V, too. */
static void hold_keys(const picking *p, config *c) {
    if (c->maximum != FMHA_GPU_KEPT || p->asked.k_stages) return;
    c->k_stages = 3;
    if (!fits(p, c)) c->k_stages = 2;
    if (p->asked.v_stages || c->k_stages < 3 || c->consumers > 2) return;
    c->v_stages = 3;
    if (!fits(p, c)) c->v_stages = 2;
}

static void consider(picking *p, config c) {
    fill_rest(p, &c);
    hold_keys(p, &c);
    if (!fmha_gpu_config_allowed(&c, p->problem, p->machine, NULL)) return;
    /* Two blocks an SM of Hopper, one of the others. */
    if (c.variant == FMHA_GPU_MMA_SYNC && !p->asked.tile_n &&
        fmha_gpu_smem_bytes(&c, p->problem) > 99 * 1024)
        return;
    double seconds = fmha_gpu_expect(&c, p->problem, p->machine);
    if (seconds < p->seconds) {
        p->best = c;
        p->seconds = seconds;
    }
}

/* Heads share a tile where queries alone would not fill it. */
static int heads_to_pack(const problem *p) {
    const int group = p->heads / p->kv_heads, tile = 128;
    int best = 1;
    double fill = 0.9 * p->q_len / (fmha_tiles(p->q_len, tile) * tile);
    for (int pack = 2; pack <= 16 && group % pack == 0; pack *= 2) {
        const int rows = p->q_len * pack;
        const double packed = 0.9 * rows / (fmha_tiles(rows, tile) * tile);
        if (packed * 0.9 <= fill) continue;
        best = pack;
        fill = packed;
    }
    return best;
}

/* The tiles that a variant is measured with; the top and the portable path
 * choose among several. */
static void tiles_of(const config *c, const problem *p, range *ms, range *ns) {
    const int given_m = c->tile_m ? c->tile_m : 64 * c->consumers;
    if (p->pass == FMHA_GPU_BACKWARD && fmha_gpu_has_tma(c->variant)) {
        *ms = CHOOSE(c->tile_m, p->head_dim <= 64 ? 128 : 64, 64);
        *ns = CHOOSE(c->tile_n, 128);
        return;
    }
    const int wide = p->head_dim <= 128;
    if (p->pass == FMHA_GPU_BACKWARD) {
        *ms = CHOOSE(c->tile_m, p->head_dim <= 64 ? 64 : 32);
        *ns = CHOOSE(c->tile_n, 64);
        return;
    }
    switch (c->variant) {
        case FMHA_GPU_UNFUSED:
            *ms = CHOOSE(c->tile_m, wide ? 128 : 64);
            *ns = CHOOSE(c->tile_n, wide ? 128 : 64);
            return;
        case FMHA_GPU_DECODE:
            *ms = CHOOSE(c->tile_m, 16);
            *ns = CHOOSE(c->tile_n, p->head_dim <= 64 ? 128 : wide ? 64 : 32);
            return;
        case FMHA_GPU_MMA_SYNC:
            *ms = CHOOSE(c->tile_m, wide ? 128 : 64);
            *ns = CHOOSE(c->tile_n, 64, 48, 32, 16);
            return;
        case FMHA_GPU_TMA:
        case FMHA_GPU_SPECIALISED:
            *ms = CHOOSE(given_m, 128);
            *ns = p->head_dim > 192
                      ? CHOOSE(c->tile_n, 64, 48, 32)
                      : CHOOSE(c->tile_n, 128, 112, 96, 80, 64, 48, 32);
            return;
        default: break;
    }
    /* Three warpgroups hide more of the softmax; O of 128 columns leaves them
     * no registers for wide tiles. Wider ones leave no room for stages. */
    *ms = p->head_dim <= 64 ? CHOOSE(given_m, 192, 128) : CHOOSE(given_m, 128);
    *ns = p->head_dim > 192 ? CHOOSE(c->tile_n, 64, 48, 32)
                            : CHOOSE(c->tile_n, 128, 112, 96, 80, 64, 48, 32);
}

bool fmha_gpu_pick(const problem *x, const machine *hw, config *c) {
    picking p = {x, hw, *c, *c, INFINITY};
    range ms, ns;
    if (!c->pack)
        c->pack = c->variant == FMHA_GPU_PACKED ? heads_to_pack(x) : 1;
    tiles_of(c, x, &ms, &ns);
    for (int i = 0; i < ms.count; i++)
        for (int k = 0; k < ns.count; k++) {
            config candidate = *c;
            candidate.tile_m = ms.value[i];
            candidate.tile_n = ns.value[k];
            consider(&p, candidate);
        }
    if (isfinite(p.seconds)) {
        *c = p.best;
        return true;
    }
    c->tile_m = ms.value[0];
    c->tile_n = ns.value[0];
    fill_rest(&p, c);
    return false;
}
