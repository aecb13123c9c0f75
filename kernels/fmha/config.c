/* The shape and the tuning axes: what they may be, what they are when nobody
 * says, and what is refused.
 *
 * The defaults follow from the caches: a tile of K and V (2 tile_n head_dim
 * floats) takes half of the first-level cache at least and never more than a
 * quarter of the second, since all panels of a tile of queries read it again;
 * tile_m then makes the panels' Q and O a quarter of the second. They are a
 * start, not an optimum. The same relations, with whole caches, are the
 * constraints of fmha.dsl, and what breaks them is refused here too. */
#include <math.h>
#include <string.h>

#include "device/trial.h"
#include "fmha/micro.h"
#include "fmha/plan.h"

enum { MAX_TILE = 512, MAX_THREADS = 256 };

static const char *const variant_names[FMHA_VARIANTS] = {"naive", "unfused",
                                                         "fused", "threads"};
static const char *const dtype_names[] = {"f32", "f16", "bf16"};

const char *fmha_variant_name(fmha_variant variant) {
    return variant_names[variant];
}

const char *fmha_dtype_name(fmha_dtype dtype) { return dtype_names[dtype]; }

bool fmha_dtype_parse(const char *name, fmha_dtype *dtype) {
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, dtype_names[i])) {
            *dtype = (fmha_dtype)i;
            return true;
        }
    return false;
}

const fmha_micro *fmha_micro_of(dev_isa isa) {
    static const fmha_micro *const all[DEV_ISA_COUNT] = {
        &fmha_micro_portable, &fmha_micro_avx2, &fmha_micro_avx512};
    return isa < DEV_ISA_COUNT && all[isa]->lanes ? all[isa] : NULL;
}

/* With these limits no count of bytes leaves a size_t: Q has 2^56 elements at
 * most, and so have S, and dQ cut into 16 parts of its keys. */
#define MOST_SCORES 0x1p56

bool fmha_shape_check(const fmha_shape *x, spak_error *err) {
    const size_t most = (size_t)1 << 24;
    if (x->batch < 1 || x->batch > most || x->heads < 1 || x->heads > most)
        return spak_fail(err,
                         "fmha: batch = %zu, heads = %zu: expected 1 to %zu",
                         x->batch, x->heads, most);
    if (x->kv_heads < 1 || x->heads % x->kv_heads != 0)
        return spak_fail(err,
                         "fmha: kv_heads = %zu: expected a divisor of heads = "
                         "%zu, so that each group has as many query heads",
                         x->kv_heads, x->heads);
    if (x->head_dim < 1 || x->head_dim > FMHA_MAX_HEAD_DIM)
        return spak_fail(err, "fmha: head_dim = %zu: expected 1 to %d",
                         x->head_dim, FMHA_MAX_HEAD_DIM);
    if (x->q_len > most || x->kv_len > most)
        return spak_fail(err, "fmha: q_len = %zu, kv_len = %zu: %zu at most",
                         x->q_len, x->kv_len, most);
    if (x->batch * x->heads > most)
        return spak_fail(err,
                         "fmha: batch = %zu times heads = %zu: expected %zu at "
                         "most, so take a smaller batch or fewer heads",
                         x->batch, x->heads, most);
    if ((double)(x->batch * x->heads) * (double)(x->q_len * x->kv_len) >
        MOST_SCORES)
        return spak_fail(err,
                         "fmha: q_len = %zu times kv_len = %zu for %zu heads: "
                         "expected 2^56 scores at most, so take shorter "
                         "sequences or a smaller batch",
                         x->q_len, x->kv_len, x->batch * x->heads);
    if (!isfinite(x->scale))
        return spak_fail(err, "fmha: scale must be a finite number");
    return true;
}

/* --- defaults --- */

static size_t clamp(size_t x, size_t lo, size_t hi) {
    return x < lo ? lo : x > hi ? hi : x;
}

static void default_tiles(fmha_config *config, const fmha_shape *shape) {
    const dev_caches *caches = dev_cpu_caches();
    const size_t l2 = caches->l2_bytes ? caches->l2_bytes : 256 << 10,
                 lanes = fmha_micro_of(config->isa)->lanes,
                 row = shape->head_dim * sizeof(float);
    if (!config->tile_n)
        config->tile_n = clamp(l2 / 4 / (2 * row) / 24 * 24, 48, 192);
    if (!config->tile_m)
        config->tile_m = clamp(l2 / 4 / (2 * row) / lanes * lanes, lanes, 128);
}

/* --- reading --- */

static bool read_names(const json_t *json, int threads, fmha_config *config,
                       spak_error *why) {
    int variant = threads > 1 ? FMHA_THREADS : FMHA_FUSED, dtype = FMHA_F32;
    if (!dev_axis_choice(json, "variant", variant_names, FMHA_VARIANTS,
                         &variant, why) ||
        !dev_axis_choice(json, "dtype", dtype_names, 3, &dtype, why) ||
        !dev_axis_isa(json, &config->isa, why))
        return false;
    config->variant = (fmha_variant)variant;
    config->dtype = (fmha_dtype)dtype;
    return fmha_micro_of(config->isa) ||
           spak_fail(why, "axis isa: this program was built without %s",
                     dev_isa_name(config->isa));
}

/* The constraints of fmha.dsl, by the same names. */
static bool keep_constraints(const fmha_config *config, const fmha_shape *shape,
                             spak_error *why) {
    const size_t l2 = dev_cpu_caches()->l2_bytes, f = sizeof(float),
                 lanes = fmha_micro_of(config->isa)->lanes,
                 keys = 2 * f * config->tile_n * shape->head_dim,
                 queries = 2 * f * config->tile_m * shape->head_dim;
    if (config->tile_m % lanes)
        return spak_fail(why,
                         "constraint whole_panels: tile_m = %zu is no multiple "
                         "of the %zu lanes of %s",
                         config->tile_m, lanes, dev_isa_name(config->isa));
    if (l2 && keys > l2)
        return spak_fail(why,
                         "constraint keys_in_l2: tile_n = %zu makes a tile of "
                         "K and V of %zu bytes, L2 has %zu",
                         config->tile_n, keys, l2);
    if (l2 && queries > l2)
        return spak_fail(why,
                         "constraint queries_in_l2: tile_m = %zu makes a tile "
                         "of Q and O of %zu bytes, L2 has %zu",
                         config->tile_m, queries, l2);
    return true;
}

bool fmha_config_read(const json_t *json, const fmha_shape *shape, int threads,
                      fmha_config *config, spak_error *why) {
    static const char *const axes[] = {"variant", "isa", "tile_m", "tile_n",
                                       "dtype"};
    memset(config, 0, sizeof *config);
    if (!fmha_shape_check(shape, why) ||
        !dev_axes_known(json, axes, sizeof axes / sizeof *axes, why))
        return false;
    if (threads < 1 || threads > MAX_THREADS)
        return spak_fail(why, "problem.threads: expected 1 to %d, found %d",
                         MAX_THREADS, threads);
    if (!read_names(json, threads, config, why)) return false;
    if (threads > 1 &&
        (config->variant == FMHA_NAIVE || config->variant == FMHA_FUSED))
        return spak_fail(why,
                         "constraint threads_use_them: variant %s runs on one "
                         "thread, the problem asks for %d",
                         fmha_variant_name(config->variant), threads);
    if (config->variant < FMHA_FUSED) return true;
    if (!dev_axis_size(json, "tile_m", 1, MAX_TILE, &config->tile_m, why) ||
        !dev_axis_size(json, "tile_n", 1, MAX_TILE, &config->tile_n, why))
        return false;
    default_tiles(config, shape);
    return keep_constraints(config, shape, why);
}

json_t *fmha_config_json(const fmha_config *config) {
    json_t *json =
        json_pack("{s:s,s:s}", "variant", fmha_variant_name(config->variant),
                  "dtype", fmha_dtype_name(config->dtype));
    if (!json || config->variant == FMHA_NAIVE) return json;
    json_object_set_new(json, "isa", json_string(dev_isa_name(config->isa)));
    if (config->variant < FMHA_FUSED) return json;
    json_object_set_new(json, "tile_m",
                        json_integer((json_int_t)config->tile_m));
    json_object_set_new(json, "tile_n",
                        json_integer((json_int_t)config->tile_n));
    return json;
}
