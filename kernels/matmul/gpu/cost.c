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
 * costs as much as a full one: that is what makes narrow tiles pay, or sharing
 * the last wave out, which costs passing sums on from block to block. Memory
 * sets a floor to it all, and parts of k that are summed apart cost a second
 * pass over C.
 *
 * The constants are the machine's, in cycles: rates from its documentation,
 * what starting, storing and passing on cost from measurements on an H200. The
 * model ranks configurations, and its error is the tuner's to find. */
#include <math.h>

#include "matmul/gpu/matmul_gpu.h"

static const double L2_BYTES_PER_CYCLE = 64; /* to one multiprocessor */
static const double STORE_BYTES_PER_CYCLE = 32;
static const double SUMS_BYTES_PER_CYCLE = 16; /* from block to block */
static const double NOT_HIDDEN = 0.03;         /* of the faster engine's time */
static const double SMEM_BYTES_PER_CYCLE = 100;
static const double STEP_CYCLES = 25;      /* barriers */
static const double CLUSTER_CYCLES = 2500; /* to start and end together */
static const double FILL_CYCLES = 1200;    /* first bytes, first product */
static const double LAUNCH_S = 3e-6;
static const double MATRIX_SHARE = 0.80; /* what the power limit leaves */
static const double DRAM_SHARE = 0.85;

static double cycles_of_tile(const matmul_gpu_config *c, double steps,
                             double products_per_cycle, double out_bytes) {
    double area = (double)c->tile_m * c->tile_n;
    double matrix = area * c->tile_k / products_per_cycle / MATRIX_SHARE;
    /* A product of 64 x n x 16 takes n / 2 cycles and reads both operands. */
    double reads = (64.0 + c->tile_n) * 32 / (0.5 * c->tile_n);
    if (matmul_gpu_has_tma(c->variant))
        matrix *= fmax(1, reads / SMEM_BYTES_PER_CYCLE);
    double bytes =
        2.0 * c->tile_k *
        ((double)c->tile_m / c->cluster_n + (double)c->tile_n / c->cluster_m);
    double store = area * out_bytes / STORE_BYTES_PER_CYCLE;
    bool overlaps = c->variant >= MATMUL_GPU_PERSISTENT;
    double copy = bytes / L2_BYTES_PER_CYCLE;
    return steps * (fmax(matrix, copy) + NOT_HIDDEN * fmin(matrix, copy) +
                    STEP_CYCLES) +
           (overlaps ? 0.25 : 1.0) * (store + FILL_CYCLES);
}

/* Rounds of tiles: whole ones, or what is left shared out, with the cycles that
 * passing sums on adds. */
static double rounds_of(const matmul_gpu_config *c, double tiles, double steps,
                        double sms, double *extra) {
    double units = floor(sms / (c->cluster_m * c->cluster_n)) *
                   (c->cluster_m * c->cluster_n);
    *extra = 0;
    if (c->last_round != MATMUL_GPU_SHARED) return ceil(tiles / units);
    double blocks = fmin(units, tiles * steps / 4);
    double parts = fmax(1, blocks / tiles); /* that one tile's sums come in */
    *extra = (1 + parts) * c->tile_m * c->tile_n * 4.0 / SUMS_BYTES_PER_CYCLE;
    return tiles / blocks;
}

double matmul_gpu_expect(const matmul_gpu_config *c,
                         const matmul_gpu_problem *p,
                         const matmul_gpu_machine *hw) {
    double out_bytes = c->split > 1 ? 4 : (double)dev_element_bytes(p->out);
    double tiles = ceil((double)p->m / (c->tile_m * c->cluster_m)) *
                   c->cluster_m *
                   ceil((double)p->n / (c->tile_n * c->cluster_n)) *
                   c->cluster_n * c->split;
    double steps = ceil(ceil((double)p->k / c->tile_k) / c->split);
    double rate = hw->matrix_flop_per_s > 0 ? hw->matrix_flop_per_s : 1e15;
    double memory = hw->bytes_per_s > 0 ? hw->bytes_per_s : 4e12;
    double sms = hw->sms > 0 ? hw->sms : 132, extra;
    const double hertz = 1.75e9;
    double rounds = rounds_of(c, tiles, steps, sms, &extra);
    double products = rate / sms / hertz / 2;
    double tile = cycles_of_tile(c, steps, products, out_bytes);
    if (c->cluster_m * c->cluster_n > 1) extra += CLUSTER_CYCLES;
    double compute = (rounds * tile + extra) / hertz;
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
    matmul_gpu_config asked, best;
    double seconds;
} picking;

/* As many stages as fit (TMA variants), at most 8, or half as many of twice the
 * length: what is in flight then covers the way to memory several times. */
static void fill_stages(const picking *p, matmul_gpu_config *c) {
    if (c->stages) return;
    c->stages = c->variant == MATMUL_GPU_MMA_SYNC ? 4 : 1;
    if (!matmul_gpu_has_tma(c->variant)) return;
    int out_bytes = (int)dev_element_bytes(p->problem->out);
    for (c->stages = c->tile_k > 64 ? 6 : 8; c->stages > 2; c->stages--)
        if (matmul_gpu_smem_bytes(c, out_bytes) <=
            p->machine->smem_per_block_bytes)
            break;
}

/* A wave of the machine's tiles that is about square. */
static void fill_group(const picking *p, matmul_gpu_config *c) {
    bool orders = c->variant == MATMUL_GPU_MMA_SYNC ||
                  c->variant >= MATMUL_GPU_PERSISTENT;
    int sms = p->machine->sms > 0 ? p->machine->sms : 132;
    if (c->group) return;
    c->group = orders ? (int)lround(sqrt(sms)) / c->cluster_m : 1;
    if (c->group < 1) c->group = 1;
}

/* Beyond 128 sums a thread the tile must promise more than the model's error
 * to be picked. */
#define TIGHT 1.015

/* Sums of a thread that leave registers enough for the rest. More are needed
 * where the epilogue or other blocks' sums come into them. */
static int most_sums(const picking *p, const matmul_gpu_config *c) {
    bool reads = p->problem->residual || p->problem->beta != 0 ||
                 c->last_round == MATMUL_GPU_SHARED;
    return reads ? 128 : 160;
}

static void consider(picking *p, matmul_gpu_config c) {
    fill_stages(p, &c);
    fill_group(p, &c);
    if (!matmul_gpu_config_allowed(&c, p->problem, p->machine, NULL)) return;
    if (matmul_gpu_sums(&c) > most_sums(p, &c) && !p->asked.tile_m) return;
    if (c.tile_k > 64 && c.stages < 5 && !p->asked.tile_k) return; /* coarse */
    double seconds = matmul_gpu_expect(&c, p->problem, p->machine);
    if (matmul_gpu_sums(&c) > 128) seconds *= TIGHT;
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
    if (!c.swizzle_bytes) c.swizzle_bytes = 128;
    switch (c.variant) {
        case MATMUL_GPU_NAIVE: fixed(&c, 32, 8, 1); break;
        case MATMUL_GPU_COALESCED: fixed(&c, 8, 32, 1); break;
        case MATMUL_GPU_SHARED_TILE: fixed(&c, 32, 32, 32); break;
        case MATMUL_GPU_REGISTER_TILE: fixed(&c, 128, 128, 16); break;
        case MATMUL_GPU_MMA_SYNC: fixed(&c, 0, 0, 32); break;
        case MATMUL_GPU_TMA:
        case MATMUL_GPU_SPECIALISED: fixed(&c, 128, 128, 64); break;
        case MATMUL_GPU_BEST: break;
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
    if (!best) c.last_round = MATMUL_GPU_WHOLE;
    if (!c.start) c.start = best ? MATMUL_GPU_OVERLAPPED : MATMUL_GPU_PLAIN;
    range ms =
        best ? CHOOSE(c.tile_m, 128, 256, 64) : CHOOSE(c.tile_m, 128, 64);
    range ns = best ? CHOOSE(c.tile_n, 256, 192, 224, 160, 128, 96, 64, 32)
                    : CHOOSE(c.tile_n, 128, 64);
    range ks = best ? CHOOSE(c.tile_k, 64, 128) : CHOOSE(c.tile_k, 32);
    range cms = best ? CHOOSE(c.cluster_m, 1, 2) : CHOOSE(c.cluster_m, 1);
    range cns = best ? CHOOSE(c.cluster_n, 1, 2) : CHOOSE(c.cluster_n, 1);
    range parts =
        best ? CHOOSE(c.last_round, MATMUL_GPU_WHOLE, MATMUL_GPU_SHARED)
             : CHOOSE(c.split, 1, 2, 4, 8);
    if (best) c.split = 1;
    int *const part = best ? &c.last_round : &c.split;
    const int count =
        ms.count * ns.count * ks.count * cms.count * cns.count * parts.count;
    for (int i = 0; i < count; i++) {
        int at = i;
        const struct {
            int *member;
            const range *values;
        } loops[] = {{&c.tile_m, &ms},     {&c.tile_n, &ns},
                     {part, &parts},       {&c.tile_k, &ks},
                     {&c.cluster_m, &cms}, {&c.cluster_n, &cns}};
        for (int l = 5; l >= 0; l--) {
            *loops[l].member =
                loops[l].values->value[at % loops[l].values->count];
            at /= loops[l].values->count;
        }
        consider(p, c);
    }
}

static void fill_rest(matmul_gpu_config *c) {
    int *members[] = {&c->tile_m, &c->tile_n,       &c->tile_k,
                      &c->stages, &c->cluster_m,    &c->cluster_n,
                      &c->group,  &c->split,        &c->last_round,
                      &c->start,  &c->swizzle_bytes};
    const int otherwise[] = {128, 128, 64, 4, 1, 1, 1, 1, 1, 1, 128};
    for (int i = 0; i < 11; i++)
        if (!*members[i]) *members[i] = otherwise[i];
}

bool matmul_gpu_pick(const matmul_gpu_problem *problem,
                     const matmul_gpu_machine *machine,
                     matmul_gpu_config *config) {
    picking p = {problem, machine, *config, *config, INFINITY};
    pick_tiles(&p, config);
    *config = p.best;
    if (isfinite(p.seconds)) return true;
    fill_rest(config);
    return false;
}
