/* What suits a problem when nobody says: a small model of time.
 *
 * A tile of C costs its steps along k, each as long as the slower of two
 * engines, and a part of the faster one, which is never hidden entirely: the
 * matrix units (tile_m tile_n tile_k products at the machine's rate for one
 * multiprocessor) and the way from the second-level cache
 * ((tile_m / cluster_n + tile_n / cluster_m) tile_k elements, since a cluster
 * loads what it shares once); before the first step the pipeline fills, after
 * the last one the tile is stored, which the persistent variants do while the
 * next tile begins. The multiprocessors take tiles in waves, and the last wave
 * costs as much as a full one: that is what makes narrow tiles pay. Memory sets
 * a floor to it all, and parts of k that are summed apart cost a second pass
 * over C.
 *
 * The constants are the machine's, in cycles, read off its documentation; the
 * model ranks configurations, and its error is the tuner's to find. */
#include <math.h>

#include "matmul/gpu/matmul_gpu.h"

static const double L2_BYTES_PER_CYCLE = 64; /* to one multiprocessor */
static const double STORE_BYTES_PER_CYCLE = 32;
static const double NOT_HIDDEN = 0.15;  /* of the faster engine's time */
static const double FILL_CYCLES = 1200; /* first bytes, first product */
static const double LAUNCH_S = 3e-6;
static const double MATRIX_SHARE = 0.80; /* what the power limit leaves */
static const double DRAM_SHARE = 0.85;

static double cycles_of_tile(const matmul_gpu_config *c, double steps,
                             double products_per_cycle, double out_bytes) {
    double area = (double)c->tile_m * c->tile_n;
    double matrix = area * c->tile_k / products_per_cycle / MATRIX_SHARE;
    double bytes =
        2.0 * c->tile_k *
        ((double)c->tile_m / c->cluster_n + (double)c->tile_n / c->cluster_m);
    double store = area * out_bytes / STORE_BYTES_PER_CYCLE;
    bool overlaps = c->variant >= MATMUL_GPU_PERSISTENT;
    double copy = bytes / L2_BYTES_PER_CYCLE;
    return steps * (fmax(matrix, copy) + NOT_HIDDEN * fmin(matrix, copy)) +
           (overlaps ? 0.25 : 1.0) * (store + FILL_CYCLES);
}

double matmul_gpu_expect(const matmul_gpu_config *c,
                         const matmul_gpu_problem *p,
                         const matmul_gpu_machine *hw) {
    double out_bytes = c->split > 1 ? 4 : (double)dev_element_bytes(p->out);
    double tiles = ceil((double)p->m / c->tile_m) *
                   ceil((double)p->n / c->tile_n) * c->split;
    double steps = ceil(ceil((double)p->k / c->tile_k) / c->split);
    double rate = hw->matrix_flop_per_s > 0 ? hw->matrix_flop_per_s : 1e15;
    double memory = hw->bytes_per_s > 0 ? hw->bytes_per_s : 4e12;
    double sms = hw->sms > 0 ? hw->sms : 132;
    const double hertz = 1.75e9;
    double waves = ceil(tiles / sms);
    double products = rate / sms / hertz / 2;
    double compute =
        waves * cycles_of_tile(c, steps, products, out_bytes) / hertz;
    double mn = (double)p->m * p->n,
           bytes = 2.0 * ((double)p->m * p->k + (double)p->n * p->k) +
                   mn * out_bytes;
    double seconds = fmax(compute, bytes / memory / DRAM_SHARE) + LAUNCH_S;
    if (c->split > 1)
        seconds += LAUNCH_S + mn * (4.0 * c->split + 2) / memory / DRAM_SHARE;
    return seconds;
}

/* --- candidates --- */

typedef struct range {
    int value[10];
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
    const matmul_gpu_problem *problem;
    const matmul_gpu_machine *machine;
    matmul_gpu_config best;
    double seconds;
} picking;

/* As many stages as fit (TMA variants), at most 7: what is in flight then
 * covers the way to memory several times. */
static void fill_stages(const picking *p, matmul_gpu_config *c) {
    if (c->stages) return;
    c->stages = c->variant == MATMUL_GPU_MMA_SYNC ? 3 : 1;
    if (!matmul_gpu_has_tma(c->variant)) return;
    int out_bytes = (int)dev_element_bytes(p->problem->out);
    for (c->stages = 7; c->stages > 2; c->stages--)
        if (matmul_gpu_smem_bytes(c, out_bytes) <=
            p->machine->smem_per_block_bytes)
            break;
}

static void consider(picking *p, matmul_gpu_config c) {
    fill_stages(p, &c);
    if (!matmul_gpu_config_allowed(&c, p->problem, p->machine, NULL)) return;
    double seconds = matmul_gpu_expect(&c, p->problem, p->machine);
    if (seconds < p->seconds) {
        p->best = c;
        p->seconds = seconds;
    }
}

static void fixed(matmul_gpu_config *c, int m, int n, int k) {
    if (!c->tile_m) c->tile_m = m;
    if (!c->tile_n) c->tile_n = n;
    if (!c->tile_k) c->tile_k = k;
}

/* One tile shape a step, so that the steps of the ladder differ in their idea;
 * the top and the portable path choose. */
static void pick_tiles(picking *p, const matmul_gpu_config *asked) {
    matmul_gpu_config c = *asked;
    bool free =
        c.variant == MATMUL_GPU_BEST || c.variant == MATMUL_GPU_MMA_SYNC;
    bool orders =
        c.variant == MATMUL_GPU_MMA_SYNC || c.variant >= MATMUL_GPU_PERSISTENT;
    if (!c.group) c.group = orders ? 8 : 1;
    if (!c.swizzle_bytes) c.swizzle_bytes = 128;
    switch (c.variant) {
        case MATMUL_GPU_NAIVE: fixed(&c, 32, 8, 1); break;
        case MATMUL_GPU_COALESCED: fixed(&c, 8, 32, 1); break;
        case MATMUL_GPU_SHARED_TILE: fixed(&c, 32, 32, 32); break;
        case MATMUL_GPU_REGISTER_TILE: fixed(&c, 128, 128, 16); break;
        case MATMUL_GPU_MMA_SYNC: fixed(&c, 0, 0, 32); break;
        case MATMUL_GPU_TMA:
        case MATMUL_GPU_SPECIALISED: fixed(&c, 128, 128, 64); break;
        case MATMUL_GPU_BEST: fixed(&c, 0, 0, 64); break;
        default: fixed(&c, 128, 256, 64); break;
    }
    if (!free && c.variant >= MATMUL_GPU_CLUSTER) {
        if (!c.cluster_m) c.cluster_m = 2;
        if (!c.cluster_n) c.cluster_n = 1;
    }
    if (!free) {
        if (!c.cluster_m) c.cluster_m = 1;
        if (!c.cluster_n) c.cluster_n = 1;
        if (!c.split) c.split = 1;
    }
    bool best = c.variant == MATMUL_GPU_BEST;
    range ms =
        best ? CHOOSE(c.tile_m, 128, 256, 64) : CHOOSE(c.tile_m, 128, 64);
    range ns = best ? CHOOSE(c.tile_n, 256, 224, 192, 160, 128, 96, 64)
                    : CHOOSE(c.tile_n, 128, 64);
    range cms = best ? CHOOSE(c.cluster_m, 2, 1) : CHOOSE(c.cluster_m, 1);
    range cns = best ? CHOOSE(c.cluster_n, 1, 2) : CHOOSE(c.cluster_n, 1);
    range splits = CHOOSE(c.split, 1, 2, 4, 8);
    for (int i = 0; i < ms.count; i++)
        for (int j = 0; j < ns.count; j++)
            for (int s = 0; s < splits.count; s++)
                for (int a = 0; a < cms.count; a++)
                    for (int b = 0; b < cns.count; b++) {
                        c.tile_m = ms.value[i], c.tile_n = ns.value[j];
                        c.split = splits.value[s];
                        c.cluster_m = cms.value[a], c.cluster_n = cns.value[b];
                        consider(p, c);
                    }
}

static void fill_rest(matmul_gpu_config *c) {
    int *members[] = {&c->tile_m, &c->tile_n,    &c->tile_k,
                      &c->stages, &c->cluster_m, &c->cluster_n,
                      &c->group,  &c->split,     &c->swizzle_bytes};
    const int otherwise[] = {128, 128, 64, 4, 1, 1, 1, 1, 128};
    for (int i = 0; i < 9; i++)
        if (!*members[i]) *members[i] = otherwise[i];
}

bool matmul_gpu_pick(const matmul_gpu_problem *problem,
                     const matmul_gpu_machine *machine,
                     matmul_gpu_config *config) {
    picking p = {problem, machine, *config, INFINITY};
    pick_tiles(&p, config);
    *config = p.best;
    if (isfinite(p.seconds)) return true;
    fill_rest(config);
    return false;
}
