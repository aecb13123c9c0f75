/* The tuning axes: what they may be, what follows from them, and what is
 * refused before anything is compiled. What they are when nobody says is in
 * cost.c.
 *
 * The constraints here bear the names that fmha_gpu.dsl gives them; a test
 * holds the two against each other on random configurations. */
#include <string.h>

#include "device/trial.h"
#include "fmha/gpu/fmha_gpu.h"
#include "fmha/gpu/walk_backward.h"

typedef fmha_gpu_config config;
typedef fmha_gpu_problem problem;
typedef fmha_gpu_machine machine;
typedef fmha_gpu_variant variant;

static const char *const variant_names[FMHA_GPU_VARIANTS] = {
    "unfused", "mma_sync",  "tma",        "specialised", "ping_pong",
    "ahead",   "registers", "persistent", "packed",      "decode"};

const char *fmha_gpu_variant_name(variant v) { return variant_names[v]; }

/* --- what follows from the axes --- */

bool fmha_gpu_has_tma(variant v) {
    return v >= FMHA_GPU_TMA && v <= FMHA_GPU_PACKED;
}

static bool produces(variant v) {
    return v >= FMHA_GPU_SPECIALISED && v <= FMHA_GPU_PACKED;
}
static bool takes_turns(variant v) {
    return v >= FMHA_GPU_PING_PONG && v <= FMHA_GPU_PACKED;
}
static bool runs_ahead(variant v) {
    return v >= FMHA_GPU_AHEAD && v <= FMHA_GPU_PACKED;
}
static bool keeps_p(variant v) {
    return v >= FMHA_GPU_REGISTERS && v <= FMHA_GPU_PACKED;
}
static bool stays(variant v) {
    return v == FMHA_GPU_PERSISTENT || v == FMHA_GPU_PACKED;
}
static bool packs(variant v) { return v == FMHA_GPU_PACKED; }
static bool orders_tiles(variant v) {
    return v == FMHA_GPU_MMA_SYNC || stays(v);
}
static bool slices(variant v) { return v == FMHA_GPU_DECODE; }
static bool pipelined(variant v) { return v >= FMHA_GPU_MMA_SYNC; }
static bool all(variant v) { return v < FMHA_GPU_VARIANTS; }

/* Decode: a warp has 16 keys of a tile or more. */
static int decode_warps(const config *c) {
    return c->tile_n < 64 ? c->tile_n / 16 : 4;
}

int fmha_gpu_threads(const config *c) {
    if (c->variant == FMHA_GPU_DECODE) return 32 * decode_warps(c);
    if (!fmha_gpu_has_tma(c->variant)) return 128;
    return 128 * (c->consumers + produces(c->variant));
}

int fmha_gpu_slice(int head_dim) { return head_dim % 64 ? 32 : 64; }

long long fmha_gpu_scores_row(const problem *p) {
    return (p->kv_len + 7LL) / 8 * 8;
}

/* --- shared memory --- */

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Of Q and K for the scores; of stages of 32 keys of P and V for the values. */
static size_t unfused_smem(size_t m, size_t n, size_t d) {
    const size_t scores = (m + n) * d * 2,
                 values = FMHA_GPU_VALUE_STAGES * 32 * (m + d) * 2;
    return larger(scores, values);
}

/* Stages of keys with their values; at the end the warps' O, whose rows have 8
 * floats more, maxima and sums. */
static size_t decode_smem(const config *c, size_t d) {
    return larger((size_t)c->tile_n * (size_t)c->k_stages * d * 4,
                  (size_t)(decode_warps(c) * c->tile_m) * (d + 10) * 4);
}

/* Q; K and V in stages; P on its way from the scores' registers to the matrix
 * units, in slices of 64 columns, where it does not stay; the barriers. */
static size_t sm90_smem(const config *c, int head_dim) {
    const size_t m = (size_t)c->tile_m, n = (size_t)c->tile_n,
                 rows = (size_t)c->q_stages * m +
                        (size_t)(c->k_stages + c->v_stages) * n;
    return rows * (size_t)head_dim * 2 +
           (keeps_p(c->variant) ? 0 : m * ((n + 63) / 64 * 128)) +
           FMHA_GPU_BARRIERS;
}

size_t fmha_gpu_smem_bytes(const config *c, const problem *p) {
    const size_t m = (size_t)c->tile_m, n = (size_t)c->tile_n,
                 d = (size_t)p->head_dim;
    if (c->variant == FMHA_GPU_UNFUSED) return unfused_smem(m, n, d);
    if (c->variant == FMHA_GPU_DECODE) return decode_smem(c, d);
    if (c->variant == FMHA_GPU_MMA_SYNC)
        return p->pass == FMHA_GPU_BACKWARD
                   ? (2 * n + 2 * m) * d * 2 /* K, V; Q, dO: or the reverse */
                   : (m + (size_t)(c->k_stages + c->v_stages) * n) * d * 2;
    if (p->pass == FMHA_GPU_FORWARD) return sm90_smem(c, p->head_dim);
    return (size_t)fmha_backward_smem(p->head_dim, c->tile_m, c->tile_n,
                                      c->k_stages, p->deterministic);
}

/* --- registers --- */

/* O and S, Q where it stays, and what addresses and sums take. */
static int mma_sync_registers(const config *c, const problem *p) {
    const int pieces = fmha_tiles(c->tile_m, 64), /* of 16 rows, a warp */
        d = p->head_dim, sums = pieces * (d / 2 + c->tile_n / 2),
              q = pieces * (d / 4);
    return sums + (sums + q <= 160 ? q : 0) + 64;
}

/* Every warp has Q and O of all rows, and scores of its own keys. */
static int decode_registers(const config *c, const problem *p) {
    const int keys = c->tile_n / fmha_most(1, decode_warps(c)), d = p->head_dim,
              pieces = fmha_tiles(c->tile_m, 16);
    return pieces * (d / 4 + d / 2 + keys / 2) + 32 * pieces;
}

int fmha_gpu_registers(const config *c, const problem *p) {
    const int o = p->head_dim / 2, s = c->tile_n / 2;
    if (c->variant == FMHA_GPU_UNFUSED) return 128;
    if (c->variant == FMHA_GPU_DECODE) return decode_registers(c, p);
    if (c->variant == FMHA_GPU_MMA_SYNC && p->pass == FMHA_GPU_BACKWARD)
        return 128;
    if (c->variant == FMHA_GPU_MMA_SYNC) return mma_sync_registers(c, p);
    if (p->pass == FMHA_GPU_BACKWARD)
        /* dK and dV; scores and dP; one of them in 16 bits */
        return 2 * o + c->tile_m + c->tile_m / 4 + 16;
    /* P in 16 bits beside the next S. */
    return o + s + (runs_ahead(c->variant) ? s / 2 : 0) + 32;
}

int fmha_gpu_registers_there(const config *c) {
    if (!fmha_gpu_has_tma(c->variant)) return 255;
    if (!produces(c->variant)) return c->consumers < 3 ? 255 : 168;
    return c->consumers < 3 ? 240 : 160; /* the producer gives some away */
}

int fmha_gpu_rows(const config *c, const problem *p) {
    return fmha_tiles(p->q_len, c->tile_m / c->pack);
}

int fmha_gpu_work(const config *c, const problem *p) {
    return fmha_gpu_rows(c, p) * (p->heads / c->pack) * p->batch;
}

/* --- constraints --- */

static bool variant_fits(const config *c, const problem *p, const machine *hw,
                         spak_error *why) {
    if (fmha_gpu_has_tma(c->variant) && hw->cc != 90)
        return spak_fail(why,
                         "constraint tma_needs_cc_90: variant %s, this machine "
                         "has cc %d",
                         variant_names[c->variant], hw->cc);
    if (hw->cc < 80)
        return spak_fail(why, "constraint cc_80_at_least: this machine has %d",
                         hw->cc);
    if (p->pass == FMHA_GPU_BACKWARD && c->variant != FMHA_GPU_MMA_SYNC &&
        c->variant != FMHA_GPU_PERSISTENT)
        return spak_fail(why,
                         "constraint backward_has_two_variants: %s; mma_sync "
                         "and persistent have a backward pass",
                         variant_names[c->variant]);
    if (p->pass == FMHA_GPU_BACKWARD && fmha_gpu_has_tma(c->variant) &&
        p->head_dim > 128)
        return spak_fail(why,
                         "constraint backward_of_128: head_dim = %d; dK and dV "
                         "of more do not stay in registers",
                         p->head_dim);
    return true;
}

/* Backward, cc 90: two warpgroups have 64 keys each, a product 64 queries. */
static bool backward_tile_fits(const config *c, spak_error *why) {
    if (c->tile_n != 128 || c->consumers != 2)
        return spak_fail(why,
                         "constraint keys_of_two_warpgroups: tile_n = %d, of "
                         "64 keys each",
                         c->tile_n);
    if (c->k_stages != c->v_stages || c->q_stages > 1)
        return spak_fail(why,
                         "constraint stages_of_both: %d and %d stages; one has "
                         "queries with their dO",
                         c->k_stages, c->v_stages);
    return (c->tile_m == 64 || c->tile_m == 128) ||
           spak_fail(why, "constraint queries_by_64: tile_m = %d", c->tile_m);
}

/* Backward, portable: 64 rows stay, 64 or, of wide heads, 32 pass. */
static bool mma_backward_tile_fits(const config *c, const problem *p,
                                   spak_error *why) {
    return (c->tile_n == 64 &&
            (c->tile_m == 32 || (c->tile_m == 64 && p->head_dim <= 64))) ||
           spak_fail(why,
                     "constraint sixty_four_stay: %d keys, and %d queries that "
                     "pass; 64 keys, and 32 or, of heads up to 64, 64 queries",
                     c->tile_n, c->tile_m);
}

static bool tile_fits(const config *c, const problem *p, spak_error *why) {
    const bool tma = fmha_gpu_has_tma(c->variant);
    if (p->pass == FMHA_GPU_BACKWARD)
        return tma ? backward_tile_fits(c, why)
                   : mma_backward_tile_fits(c, p, why);
    if (tma && c->tile_m != 64 * c->consumers)
        return spak_fail(why,
                         "constraint rows_for_each_consumer: tile_m = %d for "
                         "%d warpgroups of 64",
                         c->tile_m, c->consumers);
    if (c->variant <= FMHA_GPU_MMA_SYNC && c->tile_m % 64)
        return spak_fail(why,
                         "constraint rows_for_each_warp: tile_m = %d; each of "
                         "four warps has pieces of 16",
                         c->tile_m);
    if (c->tile_n % 16)
        return spak_fail(why, "constraint keys_by_16: tile_n = %d", c->tile_n);
    if (c->variant == FMHA_GPU_UNFUSED && c->tile_n % 32)
        return spak_fail(why,
                         "constraint keys_of_two_warps: tile_n = %d; two warps "
                         "have pieces of 16 each",
                         c->tile_n);
    if (c->variant == FMHA_GPU_DECODE && c->tile_n >= 64 && c->tile_n % 64)
        return spak_fail(why,
                         "constraint keys_of_four_warps: tile_n = %d; from 64 "
                         "on four warps have pieces of 16 each",
                         c->tile_n);
    if (c->variant == FMHA_GPU_DECODE && c->tile_m > 32)
        return spak_fail(why,
                         "constraint queries_come_through_a_slot: tile_m = %d",
                         c->tile_m);
    if (c->variant == FMHA_GPU_DECODE &&
        (c->k_stages != c->v_stages || c->k_stages < 2))
        return spak_fail(why,
                         "constraint slots_have_both: %d stages of K, %d of V; "
                         "a slot has keys and their values, and one is filled "
                         "while another is read",
                         c->k_stages, c->v_stages);
    if (takes_turns(c->variant) && c->consumers < 2)
        return spak_fail(why, "constraint turns_need_two: %d consumer",
                         c->consumers);
    return true;
}

static bool resources_fit(const config *c, const problem *p, const machine *hw,
                          spak_error *why) {
    const size_t smem = fmha_gpu_smem_bytes(c, p);
    const int need = fmha_gpu_registers(c, p),
              there = fmha_gpu_registers_there(c);
    if (smem > hw->smem_per_block_bytes)
        return spak_fail(why,
                         "constraint smem_fits: %zu bytes of shared memory, a "
                         "block may have %zu",
                         smem, hw->smem_per_block_bytes);
    if (need > there)
        return spak_fail(why,
                         "constraint sums_fit_registers: %d registers a "
                         "thread for O, S and P, %d are there",
                         need, there);
    return true;
}

static bool work_fits(const config *c, const problem *p, spak_error *why) {
    const int heads = p->heads / p->kv_heads,
              tiles = fmha_tiles(p->kv_len, c->tile_n);
    if (c->q_stages > 1 && !stays(c->variant))
        return spak_fail(why,
                         "constraint next_queries_of_those_that_stay: variant "
                         "%s",
                         variant_names[c->variant]);
    if (c->maximum == FMHA_GPU_KEPT && stays(c->variant) && c->k_stages < 2)
        return spak_fail(why,
                         "constraint kept_keys_stay: one stage of K; a tile's "
                         "keys stay while the next one's come");
    if (c->pack > 1 && !packs(c->variant))
        return spak_fail(why, "constraint pack_has_a_variant: variant %s",
                         variant_names[c->variant]);
    if (heads % c->pack || 64 % c->pack)
        return spak_fail(why,
                         "constraint packs_are_whole: %d heads in a tile, of "
                         "groups of %d and of 64 rows",
                         c->pack, heads);
    if (c->slices > 1 && !slices(c->variant))
        return spak_fail(why, "constraint slices_have_a_variant: variant %s",
                         variant_names[c->variant]);
    if (c->slices > tiles)
        return spak_fail(why,
                         "constraint slices_have_keys: %d slices of %d tiles",
                         c->slices, tiles);
    return true;
}

bool fmha_gpu_config_allowed(const config *c, const problem *p,
                             const machine *hw, spak_error *why) {
    return variant_fits(c, p, hw, why) && tile_fits(c, p, why) &&
           resources_fit(c, p, hw, why) && work_fits(c, p, why);
}

/* --- reading --- */

typedef struct axis {
    const char *name;
    size_t at; /* in fmha_gpu_config */
    int least, most, step;
    bool (*has)(variant v);
    const char *const *words; /* of the values least ... most; NULL: numbers */
} axis;

static const char *const orders[] = {"plain", "longest"};
static const char *const starts[] = {"plain", "overlapped"};
static const char *const maxima[] = {"followed", "kept"};

#define AT(member) offsetof(fmha_gpu_config, member)
static const axis axes[] = {
    {"tile_m", AT(tile_m), 16, 256, 16, all, NULL},
    {"tile_n", AT(tile_n), 16, 256, 16, all, NULL},
    {"q_stages", AT(q_stages), 1, 2, 1, stays, NULL},
    {"k_stages", AT(k_stages), 1, 8, 1, pipelined, NULL},
    {"v_stages", AT(v_stages), 1, 8, 1, pipelined, NULL},
    {"consumers", AT(consumers), 1, 3, 1, fmha_gpu_has_tma, NULL},
    {"pack", AT(pack), 1, 64, 1, packs, NULL},
    {"order", AT(order), 1, 2, 1, orders_tiles, orders},
    {"group", AT(group), 1, 1 << 20, 1, orders_tiles, NULL},
    {"slices", AT(slices), 1, 128, 1, slices, NULL},
    {"start", AT(start), 1, 2, 1, stays, starts},
    {"maximum", AT(maximum), 1, 2, 1, stays, maxima},
};
#undef AT
enum { AXES = sizeof axes / sizeof *axes };

static int *member(config *c, const axis *a) {
    return (int *)((char *)c + a->at);
}

static bool read_axis(const json_t *json, const axis *a, config *c,
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

/* The top of the ladder that the machine has and the problem asks for. */
static variant usual(const problem *p, const machine *hw) {
    const int rows = p->q_len * (p->heads / p->kv_heads);
    if (p->pass == FMHA_GPU_BACKWARD)
        return hw->cc == 90 && p->head_dim <= 128 ? FMHA_GPU_PERSISTENT
                                                  : FMHA_GPU_MMA_SYNC;
    if (rows <= 16) return FMHA_GPU_DECODE;
    if (hw->cc != 90) return FMHA_GPU_MMA_SYNC;
    return FMHA_GPU_PACKED;
}

bool fmha_gpu_config_read(const json_t *json, const problem *p,
                          const machine *hw, config *c, spak_error *why) {
    const char *names[AXES + 1];
    int v = (int)usual(p, hw);
    memset(c, 0, sizeof *c);
    for (int i = 0; i < AXES; i++) names[i] = axes[i].name;
    names[AXES] = "variant";
    if (!dev_axes_known(json, names, AXES + 1, why) ||
        !dev_axis_choice(json, "variant", variant_names, FMHA_GPU_VARIANTS, &v,
                         why))
        return false;
    c->variant = (variant)v;
    for (int i = 0; i < AXES; i++)
        if (!read_axis(json, &axes[i], c, why)) return false;
    if (fmha_gpu_pick(p, hw, c)) return true;
    /* Say which constraint it is that the given values break. */
    return !fmha_gpu_config_allowed(c, p, hw, why)
               ? false
               : spak_fail(why, "no configuration of variant %s is allowed",
                           variant_names[v]);
}

json_t *fmha_gpu_config_json(const config *c) {
    json_t *json = json_pack("{s:s}", "variant", variant_names[c->variant]);
    for (int i = 0; json && i < AXES; i++) {
        const axis *a = &axes[i];
        const int value = *member((config *)c, a);
        if (!a->has(c->variant)) continue;
        json_object_set_new(json, a->name,
                            a->words ? json_string(a->words[value - a->least])
                                     : json_integer(value));
    }
    return json;
}
