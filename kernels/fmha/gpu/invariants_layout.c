/* Where things lie: a block's shared memory, and what copies reach. */
#include <string.h>

#include "fmha/gpu/invariants.h"
#include "fmha/gpu/walk_backward.h"

enum { CASES = 600, PIECES = 32 };

/* --- resources_fit --- */

/* A block's shared memory, piece by piece, as the sm_90a kernels of the forward
 * pass lay it out: the consumers' Q, the stages of K, those of V, P where it is
 * stored, and two barriers for each of Q, K and V. Tiles are slices of rows of
 * 128 or 64 bytes, whose swizzle repeats every eight. */
typedef struct layout {
    size_t begin[PIECES], end[PIECES];
    int pieces;
} layout;

static void put(layout *l, size_t bytes) {
    const size_t at = l->pieces ? l->end[l->pieces - 1] : 0;
    l->begin[l->pieces] = at;
    l->end[l->pieces++] = at + bytes;
}

static void lay_out(layout *l, const fmha_gpu_config *c,
                    const fmha_gpu_problem *p) {
    const size_t row = (size_t)p->head_dim * 2;
    l->pieces = 0;
    for (int s = 0; s < c->q_stages * c->consumers; s++) put(l, 64 * row);
    for (int s = 0; s < c->k_stages + c->v_stages; s++)
        put(l, (size_t)c->tile_n * row);
    if (c->variant < FMHA_GPU_REGISTERS)
        for (int at = 0; at < c->tile_n; at += 64)
            put(l, (size_t)c->tile_m * 128);
    put(l,
        16 * (size_t)(c->q_stages * c->consumers + c->k_stages + c->v_stages));
}

/* What is asked for at launch. */
static size_t smem_asked(const fmha_gpu_check *check, const fmha_gpu_case *c,
                         size_t planned) {
    fmha_gpu_config other = c->config;
    if (check->fault == FMHA_GPU_STAGES_OF_V_AS_OF_K)
        other.v_stages = other.k_stages;
    if (check->fault == FMHA_GPU_WEIGHTS_FORGOTTEN &&
        other.variant < FMHA_GPU_REGISTERS)
        other.variant = FMHA_GPU_REGISTERS;
    return check->fault == FMHA_GPU_NO_FAULT
               ? planned
               : fmha_gpu_smem_bytes(&other, &c->problem);
}

static void check_layout(fmha_gpu_check *check, const fmha_gpu_case *c,
                         size_t asked) {
    const fmha_gpu_problem *p = &c->problem;
    layout l;
    lay_out(&l, &c->config, p);
    const size_t swizzle = 8 * 2 * (size_t)fmha_gpu_slice(p->head_dim);
    for (int i = 0; i < l.pieces; i++) {
        if (l.end[i] > asked)
            fmha_gpu_counter(check,
                             "piece %d of shared memory ends at %zu, of %zu", i,
                             l.end[i], asked);
        if (i < l.pieces - 1 && l.begin[i] % swizzle)
            fmha_gpu_counter(check,
                             "tile %d begins at %zu, no multiple of the "
                             "swizzle's %zu bytes",
                             i, l.begin[i], swizzle);
    }
    if (l.end[l.pieces - 1] - l.begin[l.pieces - 1] > FMHA_GPU_BARRIERS)
        fmha_gpu_counter(check, "%zu bytes of barriers, of %d",
                         l.end[l.pieces - 1] - l.begin[l.pieces - 1],
                         FMHA_GPU_BARRIERS);
}

static void check_map(fmha_gpu_check *check, const dev_tensor_spec *map,
                      const char *name) {
    const size_t bytes = dev_element_bytes(map->element);
    if (!map->dims) return;
    for (int i = 0; i < map->dims; i++)
        if (map->box[i] < 1 || map->box[i] > 256 || map->size[i] < 1 ||
            (i && (map->stride[i] % 16 || map->stride[i] >> 40)))
            fmha_gpu_counter(check,
                             "map of %s, dimension %d: %llu, %llu bytes apart, "
                             "in boxes of %u",
                             name, i, (unsigned long long)map->size[i],
                             (unsigned long long)map->stride[i], map->box[i]);
    if (map->box[0] * bytes > (size_t)map->swizzle_bytes)
        fmha_gpu_counter(check, "map of %s: a box's row of %zu bytes", name,
                         map->box[0] * bytes);
}

static const dev_tensor_spec *map_at(const fmha_gpu_plan *plan, int i,
                                     const char **name) {
    static const char *const names[] = {"Q", "K", "V", "O", "dO"};
    const dev_tensor_spec *const maps[] = {
        &plan->q_map, &plan->k_map, &plan->v_map, &plan->o_map, &plan->do_map};
    *name = names[i];
    return maps[i];
}
enum { MAPS = 5 };

static void check_launch(fmha_gpu_check *check, const fmha_gpu_case *c,
                         const fmha_gpu_plan *plan) {
    const fmha_gpu_machine *hw = &fmha_gpu_planned_machine;
    const bool forward = c->problem.pass == FMHA_GPU_FORWARD;
    const char *name;
    for (int i = 0; i < plan->steps; i++) {
        const fmha_gpu_step *s = &plan->step[i];
        const unsigned threads = s->block[0] * s->block[1] * s->block[2];
        if (threads < 32 || threads > 1024 || threads % 32 || !s->grid[0] ||
            !s->grid[1] || !s->grid[2] || s->grid[1] > 65535 ||
            s->grid[2] > 65535 || s->smem_bytes > hw->smem_per_block_bytes)
            fmha_gpu_counter(check,
                             "%s: a grid of %u x %u x %u blocks of %u threads "
                             "with %zu bytes",
                             s->entry, s->grid[0], s->grid[1], s->grid[2],
                             threads, s->smem_bytes);
    }
    if (forward && fmha_gpu_has_tma(c->config.variant))
        check_layout(check, c, smem_asked(check, c, plan->step[0].smem_bytes));
    if (fmha_gpu_registers(&c->config, &c->problem) > 255)
        fmha_gpu_counter(check, "%d registers a thread",
                         fmha_gpu_registers(&c->config, &c->problem));
    if (plan->num_defines > FMHA_GPU_DEFINES)
        fmha_gpu_counter(check, "%d macros", plan->num_defines);
    for (int i = 0; i < MAPS; i++) {
        const dev_tensor_spec *map = map_at(plan, i, &name);
        check_map(check, map, name);
    }
}

static bool each_case(fmha_gpu_check *check,
                      void (*look)(fmha_gpu_check *, const fmha_gpu_case *,
                                   const fmha_gpu_plan *),
                      spak_error *err) {
    for (int i = 0; i < CASES && !check->counterexample; i++, check->cases++) {
        fmha_gpu_case c;
        fmha_gpu_plan plan;
        fmha_gpu_draw_case(check, &c);
        if (!fmha_gpu_plan_new(&c.config, &c.problem, &fmha_gpu_planned_machine,
                               &plan, err))
            return false;
        look(check, &c, &plan);
        fmha_gpu_note_case(check, &c);
    }
    return true;
}

bool fmha_gpu_check_resources(fmha_gpu_check *check, spak_error *err) {
    return each_case(check, check_launch, err);
}

/* --- no_read_outside --- */

/* The last byte that a map lets the copy engine touch, plus one: elements
 * outside of `size` are never read or written. */
static size_t reach(const fmha_gpu_check *check, const dev_tensor_spec *map) {
    size_t end = map->size[0] * dev_element_bytes(map->element);
    for (int i = 1; i < map->dims; i++) {
        uint64_t size = map->size[i];
        if (i == 2 && check->fault == FMHA_GPU_EDGE_NOT_CLIPPED)
            size = (size + map->box[i] - 1) / map->box[i] * map->box[i];
        end += (size - 1) * map->stride[i];
    }
    return end;
}

/* And every element of the tensor is in reach. */
static void check_reach(fmha_gpu_check *check, const fmha_gpu_case *c,
                        const fmha_gpu_plan *plan) {
    const fmha_gpu_problem *p = &c->problem;
    const char *name;
    for (int i = 0; i < MAPS; i++) {
        const dev_tensor_spec *map = map_at(plan, i, &name);
        const bool keys = i == 1 || i == 2;
        const size_t rows = (size_t)(keys ? p->total_k : p->total_q),
                     heads = (size_t)(keys ? p->kv_heads : p->heads);
        const size_t bytes = rows * heads * (size_t)p->head_dim * 2;
        if (map->dims && reach(check, map) != bytes)
            fmha_gpu_counter(check, "%s: reaches up to byte %zu of %zu", name,
                             reach(check, map), bytes);
    }
}

/* Scratch of the backward pass: every tile of queries of every sequence has its
 * own place, and none is beyond the end. */
static void check_scratch(fmha_gpu_check *check, const fmha_gpu_case *c,
                          const fmha_gpu_plan *plan) {
    const fmha_gpu_problem *p = &c->problem;
    const int m = c->config.tile_m;
    int cu_q[8], cu_k[8];
    long long next = 0;
    const long long tiles =
        (long long)(plan->scratch.delta / (size_t)m / 2 / sizeof(float));
    if (p->pass != FMHA_GPU_BACKWARD || p->batch > 7) return;
    fmha_gpu_draw_lengths(p, check->seed, cu_q, cu_k);
    for (int h = 0; p->varlen && h < p->heads; h++)
        for (int b = 0; b < p->batch; b++)
            for (int row = 0; row < fmha_tiles(cu_q[b + 1] - cu_q[b], m);
                 row++) {
                const long long at =
                    fmha_row_tile(b, h, row, p->batch, p->heads, p->q_len,
                                  p->total_q, m, cu_q);
                if (at < next || at >= tiles)
                    fmha_gpu_counter(check,
                                     "head %d, sequence %d, tile %d: its place "
                                     "is %lld of %lld, after %lld",
                                     h, b, row, at, tiles, next - 1);
                next = at + 1;
            }
}

static void look_around(fmha_gpu_check *check, const fmha_gpu_case *c,
                        const fmha_gpu_plan *plan) {
    check_reach(check, c, plan);
    check_scratch(check, c, plan);
}

bool fmha_gpu_check_reads(fmha_gpu_check *check, spak_error *err) {
    return each_case(check, look_around, err);
}
