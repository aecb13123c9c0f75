/* The tuning axes: what they may be, what they are when nobody says, and what
 * is refused.
 *
 * The defaults follow from the caches as the loops in goto.c use them: a panel
 * of B (kc x nr) is as long as L1 is large, at most 512 steps: what leaves L1
 * comes back from L2 in the order in which the hardware fetches ahead, and a
 * long panel means fewer passes over C, which comes from much further away. A
 * block of A (mc x kc) takes a quarter of L2 (the panels of B and the lines of
 * C go through it too), a block of B (kc x nc) half of L3 or 8 MiB, whichever
 * is less: the last level is shared. They are a start, not an optimum: finding
 * that is the tuner's business. The same relations, with whole caches, are the
 * constraints of matmul.dsl, and what breaks them is refused here too.
 */
#include <string.h>

#include "device/trial.h"
#include "matmul/matmul.h"

static const char *const variant_names[MATMUL_VARIANTS] = {
    "naive", "loop_order", "blocked", "packed", "register_tile", "threads"};

const char *matmul_variant_name(matmul_variant variant) {
    return variant_names[variant];
}

const matmul_isa_kernels *matmul_isa(dev_isa isa) {
    static const matmul_isa_kernels *const all[DEV_ISA_COUNT] = {
        &matmul_kernels_portable, &matmul_kernels_avx2, &matmul_kernels_avx512};
    return isa < DEV_ISA_COUNT && all[isa]->num_tiles ? all[isa] : NULL;
}

static size_t clamp(size_t x, size_t lo, size_t hi) {
    return x < lo ? lo : x > hi ? hi : x;
}

static void default_blocks(matmul_config *config) {
    const dev_caches *caches = dev_cpu_caches();
    size_t l1 = caches->l1d_bytes ? caches->l1d_bytes : 32 << 10,
           l2 = caches->l2_bytes ? caches->l2_bytes : 256 << 10;
    size_t l3 = caches->l3_bytes ? caches->l3_bytes / 2 : l2;
    if (!config->tile) {
        /* blocked and packed: rows of a thousand floats, a block of B of half
         * of L2. */
        if (!config->nc) config->nc = 1024;
        if (!config->kc)
            config->kc =
                clamp(l2 / 2 / (config->nc * sizeof(float)) / 4 * 4, 16, 256);
        if (!config->mc)
            config->mc = clamp(l2 / 4 / (config->kc * sizeof(float)), 1, 256);
        return;
    }
    size_t mr = config->tile->mr, nr = config->tile->nr;
    if (!config->kc)
        config->kc = clamp(l1 / (nr * sizeof(float)) / 16 * 16, 64, 512);
    if (!config->mc)
        config->mc =
            clamp(l2 / 4 / (config->kc * sizeof(float)) / mr * mr, mr, 4096);
    if (!config->nc) {
        size_t bytes = clamp(l3, l2, (size_t)8 << 20);
        config->nc =
            clamp(bytes / (config->kc * sizeof(float)) / nr * nr, nr, 8192);
    }
}

/* --- reading --- */

static bool read_tile(const json_t *json, matmul_config *config,
                      spak_error *why) {
    if (!dev_axis_isa(json, &config->isa, why)) return false;
    const matmul_isa_kernels *kernels = matmul_isa(config->isa);
    if (!kernels)
        return spak_fail(why, "axis isa: this program was built without %s",
                         dev_isa_name(config->isa));
    const char *names[MATMUL_MOST_TILES];
    int choice = 0, count = (int)kernels->num_tiles;
    for (int i = 0; i < count; i++) names[i] = kernels->tiles[i].name;
    if (!dev_axis_choice(json, "tile", names, count, &choice, why))
        return false;
    config->tile = &kernels->tiles[choice];
    return true;
}

/* The constraints of matmul.dsl, by the same names. */
static bool keep_constraints(const matmul_config *config, spak_error *why) {
    const dev_caches *caches = dev_cpu_caches();
    const size_t kc = config->kc, mc = config->mc, nc = config->nc,
                 f = sizeof(float);
    if (config->tile && caches->l1d_bytes &&
        f * kc * config->tile->nr > caches->l1d_bytes)
        return spak_fail(why,
                         "constraint panel_of_b_in_l1: kc = %zu makes a panel "
                         "of B of %zu bytes, L1 has %zu",
                         kc, f * kc * config->tile->nr, caches->l1d_bytes);
    if (caches->l2_bytes && f * mc * kc > caches->l2_bytes)
        return spak_fail(why,
                         "constraint block_of_a_in_l2: mc = %zu, kc = %zu make "
                         "a block of A of %zu bytes, L2 has %zu",
                         mc, kc, f * mc * kc, caches->l2_bytes);
    if (caches->l3_bytes && f * kc * nc > caches->l3_bytes)
        return spak_fail(why,
                         "constraint block_of_b_in_l3: kc = %zu, nc = %zu make "
                         "a block of B of %zu bytes, L3 has %zu",
                         kc, nc, f * kc * nc, caches->l3_bytes);
    return true;
}

bool matmul_config_read(const json_t *json, int threads, matmul_config *config,
                        spak_error *why) {
    static const char *const axes[] = {"variant", "isa", "tile",    "kc",
                                       "mc",      "nc",  "prefetch"};
    int variant = threads > 1 ? MATMUL_THREADS : MATMUL_REGISTER_TILE;
    memset(config, 0, sizeof *config);
    if (!dev_axes_known(json, axes, sizeof axes / sizeof *axes, why) ||
        !dev_axis_choice(json, "variant", variant_names, MATMUL_VARIANTS,
                         &variant, why))
        return false;
    config->variant = (matmul_variant)variant;
    if (threads < 1 || threads > MATMUL_MAX_THREADS)
        return spak_fail(why, "problem.threads: expected 1 to %d, found %d",
                         MATMUL_MAX_THREADS, threads);
    if (threads > 1 && config->variant != MATMUL_THREADS)
        return spak_fail(why,
                         "constraint threads_use_them: variant %s runs on one "
                         "thread, the problem asks for %d",
                         matmul_variant_name(config->variant), threads);
    if (config->variant <= MATMUL_LOOP_ORDER) return true;
    if (config->variant >= MATMUL_REGISTER_TILE) {
        config->prefetch = 8;
        if (!read_tile(json, config, why) ||
            !dev_axis_size(json, "prefetch", 0, 4096, &config->prefetch, why))
            return false;
    }
    if (!dev_axis_size(json, "kc", 4, 1 << 20, &config->kc, why) ||
        !dev_axis_size(json, "mc", 1, 1 << 20, &config->mc, why) ||
        !dev_axis_size(json, "nc", 1, 1 << 20, &config->nc, why))
        return false;
    default_blocks(config);
    return keep_constraints(config, why);
}

json_t *matmul_config_json(const matmul_config *config) {
    json_t *json =
        json_pack("{s:s}", "variant", matmul_variant_name(config->variant));
    if (!json || config->variant <= MATMUL_LOOP_ORDER) return json;
    json_object_set_new(json, "kc", json_integer((json_int_t)config->kc));
    json_object_set_new(json, "mc", json_integer((json_int_t)config->mc));
    json_object_set_new(json, "nc", json_integer((json_int_t)config->nc));
    if (config->variant < MATMUL_REGISTER_TILE) return json;
    json_object_set_new(json, "isa", json_string(dev_isa_name(config->isa)));
    json_object_set_new(json, "tile", json_string(config->tile->name));
    json_object_set_new(json, "prefetch",
                        json_integer((json_int_t)config->prefetch));
    return json;
}
