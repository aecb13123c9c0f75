/* The tuning axes: what they may be, and what is refused before anything is
 * compiled. What they are when nobody says is in cost.c.
 *
 * The constraints here bear the names that matmul_gpu.dsl gives them; a test
 * holds the two against each other on random configurations. */
#include <string.h>

#include "device/trial.h"
#include "matmul/gpu/matmul_gpu.h"

static const char *const variant_names[MATMUL_GPU_VARIANTS] = {
    "naive",      "coalesced", "shared_tile", "register_tile",
    "mma_sync",   "tma",       "specialised", "two_consumers",
    "persistent", "cluster",   "async_store", "best"};

const char *matmul_gpu_variant_name(matmul_gpu_variant variant) {
    return variant_names[variant];
}

/* --- what follows from the axes --- */

bool matmul_gpu_has_tma(matmul_gpu_variant variant) {
    return variant >= MATMUL_GPU_TMA;
}

static bool clusters(matmul_gpu_variant v) { return v >= MATMUL_GPU_CLUSTER; }
static bool ordered(matmul_gpu_variant v) {
    return v == MATMUL_GPU_MMA_SYNC || v >= MATMUL_GPU_PERSISTENT;
}
static bool stores_by_tma(matmul_gpu_variant v) {
    return v >= MATMUL_GPU_ASYNC_STORE;
}
static bool splits(matmul_gpu_variant v) { return v == MATMUL_GPU_MMA_SYNC; }
static bool schedules(matmul_gpu_variant v) { return v == MATMUL_GPU_BEST; }
static bool pipelined(matmul_gpu_variant v) { return v >= MATMUL_GPU_MMA_SYNC; }

int matmul_gpu_consumers(const matmul_gpu_config *c) {
    if (!matmul_gpu_has_tma(c->variant)) return 0;
    if (c->variant == MATMUL_GPU_BEST) return c->tile_m % 128 == 0 ? 2 : 1;
    return c->variant >= MATMUL_GPU_TWO_CONSUMERS ? 2 : 1;
}

int matmul_gpu_threads(const matmul_gpu_config *c) {
    switch (c->variant) {
        case MATMUL_GPU_NAIVE:
        case MATMUL_GPU_COALESCED:
        case MATMUL_GPU_SHARED_TILE: return c->tile_m * c->tile_n;
        case MATMUL_GPU_REGISTER_TILE: return c->tile_m / 8 * (c->tile_n / 8);
        case MATMUL_GPU_MMA_SYNC: return c->tile_m / 64 * (c->tile_n / 64) * 32;
        case MATMUL_GPU_TMA: return 128;
        default: return 128 * (matmul_gpu_consumers(c) + 1);
    }
}

int matmul_gpu_sums(const matmul_gpu_config *c) {
    int threads = matmul_gpu_has_tma(c->variant) ? 128 * matmul_gpu_consumers(c)
                                                 : matmul_gpu_threads(c);
    return threads > 0 ? (c->tile_m * c->tile_n + threads - 1) / threads : 0;
}

int matmul_gpu_piece_row(const matmul_gpu_config *c, int out_bytes) {
    if (!stores_by_tma(c->variant)) return 0;
    return c->tile_n * out_bytes % 128 ? 64 : 128;
}

size_t matmul_gpu_smem_bytes(const matmul_gpu_config *c, int out_bytes) {
    size_t stage = (size_t)(c->tile_m + c->tile_n) * (size_t)c->tile_k * 2;
    if (c->variant < MATMUL_GPU_MMA_SYNC) return 0; /* static there */
    if (c->variant == MATMUL_GPU_MMA_SYNC) return stage * (size_t)c->stages;
    size_t piece = 64 * (size_t)matmul_gpu_piece_row(c, out_bytes);
    return (stage + 16) * (size_t)c->stages +
           (size_t)matmul_gpu_consumers(c) * MATMUL_GPU_STORE_BUFFERS * piece;
}

/* --- constraints --- */

static int ceil_div(int a, int b) { return (a + b - 1) / b; }

static bool tile_fits_variant(const matmul_gpu_config *c,
                              const matmul_gpu_problem *p, spak_error *why) {
    const int consumers = matmul_gpu_consumers(c),
              threads = matmul_gpu_threads(c);
    if (threads < 32 || threads > 1024 || threads % 32)
        return spak_fail(why,
                         "constraint whole_warps: a tile of %d x %d takes %d "
                         "threads a block",
                         c->tile_m, c->tile_n, threads);
    if (c->variant == MATMUL_GPU_MMA_SYNC &&
        (c->tile_m % 64 || c->tile_n % 64 || c->tile_k % 32 || c->stages < 2))
        return spak_fail(why,
                         "constraint warps_of_64: a tile of %d x %d x %d with "
                         "%d stages; warps compute 64 x 64 in steps of 32",
                         c->tile_m, c->tile_n, c->tile_k, c->stages);
    if (c->variant == MATMUL_GPU_MMA_SYNC &&
        ((c->tile_k != 32 && c->tile_k != 64) ||
         c->tile_m * c->tile_k / 8 % threads ||
         c->tile_n * c->tile_k / 8 % threads ||
         threads / 32 * 64 * 72 >
             c->stages * (c->tile_m + c->tile_n) * c->tile_k * 2))
        return spak_fail(why,
                         "constraint shares_of_a_copy: a tile of %d x %d x %d "
                         "for %d threads",
                         c->tile_m, c->tile_n, c->tile_k, threads);
    if (c->variant == MATMUL_GPU_REGISTER_TILE &&
        (c->tile_m + c->tile_n) * c->tile_k * 4 > 48 * 1024)
        return spak_fail(why,
                         "constraint static_tile_fits: a tile of %d x %d x %d "
                         "in 48 KiB of shared memory",
                         c->tile_m, c->tile_n, c->tile_k);
    if (c->variant >= MATMUL_GPU_SPECIALISED && c->stages < 2)
        return spak_fail(why,
                         "constraint ring_of_two: %d stage; a consumer holds "
                         "one while it waits for the next",
                         c->stages);
    if (consumers && c->tile_n % 32)
        return spak_fail(why, "constraint columns_by_32: tile_n = %d",
                         c->tile_n);
    if (consumers && c->tile_m % (64 * consumers))
        return spak_fail(why,
                         "constraint rows_for_each_consumer: tile_m = %d, %d "
                         "warpgroups need multiples of %d",
                         c->tile_m, consumers, 64 * consumers);
    if (consumers && c->tile_k % 64)
        return spak_fail(why,
                         "constraint swizzled_rows: tile_k = %d, a swizzled "
                         "row of 128 bytes holds 64",
                         c->tile_k);
    if (consumers && !p->trans_b && c->tile_n % (64 * c->cluster_m))
        return spak_fail(why,
                         "constraint columns_of_b_whole: B is not stored (n, "
                         "k), so tile_n = %d must be a multiple of %d",
                         c->tile_n, 64 * c->cluster_m);
    if (consumers && p->trans_a && c->tile_m % (64 * c->cluster_n))
        return spak_fail(why,
                         "constraint rows_of_a_whole: A is stored (k, m), so "
                         "tile_m = %d must be a multiple of %d",
                         c->tile_m, 64 * c->cluster_n);
    return true;
}

static bool resources_fit(const matmul_gpu_config *c,
                          const matmul_gpu_problem *p,
                          const matmul_gpu_machine *hw, spak_error *why) {
    const int out_bytes = (int)dev_element_bytes(p->out);
    size_t smem = matmul_gpu_smem_bytes(c, out_bytes);
    if (smem > hw->smem_per_block_bytes)
        return spak_fail(why,
                         "constraint smem_fits: %zu bytes of shared memory, a "
                         "block may have %zu",
                         smem, hw->smem_per_block_bytes);
    /* An epilogue needs registers of its own. */
    bool plain = !p->bias && !p->gelu && !p->residual;
    const int most = matmul_gpu_consumers(c) == 2 && plain ? 192 : 128;
    if (matmul_gpu_sums(c) > most)
        return spak_fail(why,
                         "constraint sums_fit_registers: %d sums a thread, at "
                         "most %d leave room for the rest",
                         matmul_gpu_sums(c), most);
    return true;
}

static bool machine_fits(const matmul_gpu_config *c,
                         const matmul_gpu_problem *p,
                         const matmul_gpu_machine *hw, spak_error *why) {
    if (matmul_gpu_has_tma(c->variant) && hw->cc != 90)
        return spak_fail(why,
                         "constraint tma_needs_cc_90: variant %s, this machine "
                         "has cc %d",
                         matmul_gpu_variant_name(c->variant), hw->cc);
    if (hw->cc < 80)
        return spak_fail(why, "constraint cc_80_at_least: this machine has %d",
                         hw->cc);
    if (matmul_gpu_has_tma(c->variant) && (p->lda % 8 || p->ldb % 8))
        return spak_fail(why,
                         "constraint tma_rows_aligned: rows of %d and %d "
                         "elements are no multiples of 16 bytes",
                         p->lda, p->ldb);
    if (stores_by_tma(c->variant) &&
        p->ldc * (int)dev_element_bytes(p->out) % 16)
        return spak_fail(why,
                         "constraint tma_rows_aligned: rows of C of %d "
                         "elements are no multiples of 16 bytes",
                         p->ldc);
    return true;
}

static bool work_fits(const matmul_gpu_config *c, const matmul_gpu_problem *p,
                      const matmul_gpu_machine *hw, spak_error *why) {
    const int tiles_m = ceil_div(p->m, c->tile_m),
              tiles_n = ceil_div(p->n, c->tile_n),
              tiles_k = ceil_div(p->k, c->tile_k);
    if (c->cluster_m * c->cluster_n > 1 && !clusters(c->variant))
        return spak_fail(why, "constraint clusters_from_cluster_on: variant %s",
                         matmul_gpu_variant_name(c->variant));
    if (c->cluster_m * c->cluster_n > 1 && c->cluster_m * c->cluster_n != 2)
        return spak_fail(why, "constraint pairs: a cluster of %d x %d blocks",
                         c->cluster_m, c->cluster_n);
    if (c->cluster_m > tiles_m || c->cluster_n > tiles_n)
        return spak_fail(why,
                         "constraint clusters_have_tiles: %d x %d tiles for "
                         "clusters of %d x %d",
                         tiles_m, tiles_n, c->cluster_m, c->cluster_n);
    if (c->tile_m % (8 * c->cluster_n) || c->tile_n % (8 * c->cluster_m))
        return spak_fail(why,
                         "constraint shares_are_whole: a tile of %d x %d in a "
                         "cluster of %d x %d",
                         c->tile_m, c->tile_n, c->cluster_m, c->cluster_n);
    if (c->split > 1 && !splits(c->variant))
        return spak_fail(why, "constraint split_has_a_variant: variant %s",
                         matmul_gpu_variant_name(c->variant));
    if (c->last_round == MATMUL_GPU_SHARED && !schedules(c->variant))
        return spak_fail(why, "constraint shared_by_best: variant %s",
                         matmul_gpu_variant_name(c->variant));
    if (c->split > 1 &&
        ((long)tiles_m * tiles_n >= hw->sms || c->split > tiles_k))
        return spak_fail(why,
                         "constraint split_where_tiles_are_few: %d x %d tiles "
                         "of %d steps, %d multiprocessors, split %d",
                         tiles_m, tiles_n, tiles_k, hw->sms, c->split);
    return true;
}

bool matmul_gpu_config_allowed(const matmul_gpu_config *c,
                               const matmul_gpu_problem *p,
                               const matmul_gpu_machine *hw, spak_error *why) {
    return machine_fits(c, p, hw, why) && tile_fits_variant(c, p, why) &&
           resources_fit(c, p, hw, why) && work_fits(c, p, hw, why);
}

/* --- reading --- */

typedef struct axis {
    const char *name;
    size_t at; /* in matmul_gpu_config */
    int least, most, step;
    bool (*has)(matmul_gpu_variant variant);
    const char *const *words; /* of the values least ... most; NULL: numbers */
} axis;

static bool tiled(matmul_gpu_variant v) {
    return v >= MATMUL_GPU_REGISTER_TILE;
}

static bool mma_sync(matmul_gpu_variant v) { return v == MATMUL_GPU_MMA_SYNC; }

static const char *const last_rounds[] = {"whole", "shared"};
static const char *const starts[] = {"plain", "overlapped"};

#define AT(member) offsetof(matmul_gpu_config, member)
static const axis axes[] = {
    {"tile_m", AT(tile_m), 32, 256, 8, tiled, NULL},
    {"tile_n", AT(tile_n), 32, 256, 8, tiled, NULL},
    {"tile_k", AT(tile_k), 8, 128, 8, tiled, NULL},
    {"stages", AT(stages), 1, 16, 1, pipelined, NULL},
    {"cluster_m", AT(cluster_m), 1, 2, 1, clusters, NULL},
    {"cluster_n", AT(cluster_n), 1, 2, 1, clusters, NULL},
    {"group", AT(group), 1, 64, 1, ordered, NULL},
    {"split", AT(split), 1, 32, 1, splits, NULL},
    {"last_round", AT(last_round), 1, 2, 1, schedules, last_rounds},
    {"start", AT(start), 1, 2, 1, schedules, starts},
    {"swizzle_bytes", AT(swizzle_bytes), 16, 128, 112, mma_sync, NULL},
};
#undef AT
enum { AXES = sizeof axes / sizeof *axes };

static int *member(matmul_gpu_config *c, const axis *a) {
    return (int *)((char *)c + a->at);
}

static bool read_axis(const json_t *json, const axis *a, matmul_gpu_config *c,
                      spak_error *why) {
    size_t value = 0;
    if (a->words) {
        int word = -1;
        if (!dev_axis_choice(json, a->name, a->words, a->most - a->least + 1,
                             &word, why))
            return false;
        if (word >= 0 && a->has(c->variant)) *member(c, a) = a->least + word;
        return true;
    }
    if (!dev_axis_size(json, a->name, (size_t)a->least, (size_t)a->most, &value,
                       why))
        return false;
    if (value && (value - (size_t)a->least) % (size_t)a->step)
        return spak_fail(why, "axis %s: expected %d and on in steps of %d",
                         a->name, a->least, a->step);
    if (a->has(c->variant)) *member(c, a) = (int)value;
    return true;
}

bool matmul_gpu_config_read(const json_t *json,
                            const matmul_gpu_problem *problem,
                            const matmul_gpu_machine *machine,
                            matmul_gpu_config *config, spak_error *why) {
    const char *names[AXES + 1];
    bool aligned =
        problem->lda % 8 == 0 && problem->ldb % 8 == 0 &&
        problem->ldc * (int)dev_element_bytes(problem->out) % 16 == 0;
    int variant =
        machine->cc == 90 && aligned ? MATMUL_GPU_BEST : MATMUL_GPU_MMA_SYNC;
    memset(config, 0, sizeof *config);
    for (int i = 0; i < AXES; i++) names[i] = axes[i].name;
    names[AXES] = "variant";
    if (!dev_axes_known(json, names, AXES + 1, why) ||
        !dev_axis_choice(json, "variant", variant_names, MATMUL_GPU_VARIANTS,
                         &variant, why))
        return false;
    config->variant = (matmul_gpu_variant)variant;
    for (int i = 0; i < AXES; i++)
        if (!read_axis(json, &axes[i], config, why)) return false;
    if (matmul_gpu_pick(problem, machine, config)) return true;
    /* Say which constraint it is that the given values break. */
    return !matmul_gpu_config_allowed(config, problem, machine, why)
               ? false
               : spak_fail(why, "no configuration of variant %s is allowed",
                           variant_names[variant]);
}

json_t *matmul_gpu_config_json(const matmul_gpu_config *config) {
    json_t *json =
        json_pack("{s:s}", "variant", variant_names[config->variant]);
    for (int i = 0; json && i < AXES; i++) {
        const axis *a = &axes[i];
        const int value = *member((matmul_gpu_config *)config, a);
        if (!a->has(config->variant)) continue;
        json_object_set_new(json, a->name,
                            a->words ? json_string(a->words[value - a->least])
                                     : json_integer(value));
    }
    return json;
}
