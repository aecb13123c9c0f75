/* Who computes what: tiles, clusters, runs, slices. */
#include <string.h>

#include "base/alloc.h"
#include "matmul/gpu/invariants.h"
#include "matmul/gpu/walk.h"

enum { CASES = 300 };

/* Notes the case with the counterexample that was just found. */
static void note_case(matmul_gpu_check *check, const matmul_gpu_case *c) {
    if (check->counterexample)
        json_object_set_new(check->counterexample, "case",
                            matmul_gpu_case_json(c));
}

/* --- every_element_written_once --- */

typedef struct cover {
    matmul_gpu_check *check;
    int tiles_m, tiles_n, parts; /* slices of k, or its steps */
    unsigned char *seen;         /* (tiles_m, tiles_n, parts) */
} cover;

/* Parts first ... end - 1 of a tile. */
static bool visit(cover *v, int row, int col, int first, int end) {
    if (row >= v->tiles_m || col >= v->tiles_n) return true; /* skipped */
    if (row < 0 || col < 0 || first < 0 || end > v->parts)
        return matmul_gpu_counter(v->check,
                                  "work (%d, %d), parts %d to %d: outside", row,
                                  col, first, end - 1);
    for (int part = first; part < end; part++) {
        size_t at = ((size_t)row * (size_t)v->tiles_n + (size_t)col) *
                        (size_t)v->parts +
                    (size_t)part;
        if (v->seen[at]++)
            return matmul_gpu_counter(v->check,
                                      "tile (%d, %d), part %d: computed twice",
                                      row, col, part);
    }
    return true;
}

/* order.h, or with the fault the mistake that its `rows` is there to avoid. */
static matmul_tile order(const matmul_gpu_check *check, int linear, int tiles_m,
                         int tiles_n, int group) {
    if (check->fault != MATMUL_GPU_LAST_GROUP_FULL)
        return matmul_order(linear, tiles_m, tiles_n, group);
    int above = linear / (group * tiles_n) * group;
    int inside = linear - above * tiles_n;
    return (matmul_tile){above + inside % group, inside / group};
}

static bool walk_grid(cover *v, const matmul_gpu_plan *plan) {
    int group =
        plan->config.variant == MATMUL_GPU_MMA_SYNC ? plan->config.group : 1;
    for (unsigned z = 0; z < plan->grid[2]; z++)
        for (unsigned x = 0; x < plan->grid[0]; x++) {
            matmul_tile t =
                order(v->check, (int)x, v->tiles_m, v->tiles_n, group);
            if (!visit(v, t.row, t.col, (int)z, (int)z + 1)) return false;
        }
    return true;
}

/* The sums of a tile's beginning come from the runs before: each of them leaves
 * some, and together they leave all. */
static bool sums_arrive(cover *v, const matmul_walk *w, int cluster,
                        const matmul_work *work) {
    int before = matmul_runs_before(w, cluster, work), next = work->first;
    for (int i = 1; i <= before; i++) {
        matmul_walk other = matmul_walk_begin(cluster - i, w->of, w->tiles,
                                              w->steps, w->whole < w->tiles);
        matmul_work left = {-1, 0, 0};
        while (matmul_walk_next(&other, &left))
            if (left.tile == work->tile) break;
        if (left.tile != work->tile || left.end != next)
            return matmul_gpu_counter(
                v->check,
                "tile %d: run %d should leave the steps before %d, leaves %d "
                "to %d of tile %d",
                work->tile, cluster - i, next, left.first, left.end - 1,
                left.tile);
        next = left.first;
    }
    return next == 0 ||
           matmul_gpu_counter(v->check,
                              "tile %d: nobody leaves the steps before %d",
                              work->tile, next);
}

static bool walk_clusters(cover *v, const matmul_gpu_plan *plan) {
    const matmul_gpu_config *c = &plan->config;
    const int blocks = c->cluster_m * c->cluster_n,
              clusters = (int)plan->grid[0] / blocks,
              rows = matmul_tiles(v->tiles_m, c->cluster_m),
              cols = matmul_tiles(v->tiles_n, c->cluster_n);
    const int of = clusters + (v->check->fault == MATMUL_GPU_STRIDE_TOO_LONG);
    for (int cluster = 0; cluster < clusters; cluster++) {
        matmul_walk w = matmul_walk_begin(cluster, of, rows * cols, v->parts,
                                          c->last_round == MATMUL_GPU_SHARED);
        matmul_work work;
        while (matmul_walk_next(&w, &work)) {
            matmul_tile t = matmul_order(work.tile, rows, cols, c->group);
            for (int rank = 0; rank < blocks; rank++)
                if (!visit(v, t.row * c->cluster_m + rank % c->cluster_m,
                           t.col * c->cluster_n + rank / c->cluster_m,
                           work.first, work.end))
                    return false;
            if (work.end == w.steps && !sums_arrive(v, &w, cluster, &work))
                return false;
        }
    }
    return true;
}

static void look_for_gaps(cover *v) {
    size_t count = (size_t)v->tiles_m * (size_t)v->tiles_n * (size_t)v->parts;
    for (size_t at = 0; at < count; at++)
        if (!v->seen[at]) {
            size_t tile = at / (size_t)v->parts;
            matmul_gpu_counter(
                v->check, "tile (%zu, %zu), part %zu: not computed",
                tile / (size_t)v->tiles_n, tile % (size_t)v->tiles_n,
                at % (size_t)v->parts);
            return;
        }
}

static bool cover_case(matmul_gpu_check *check, const matmul_gpu_case *c,
                       spak_error *err) {
    matmul_gpu_plan plan;
    if (!matmul_gpu_plan_new(&c->config, &c->problem,
                             &matmul_gpu_planned_machine, &plan, err))
        return false;
    cover v = {check, matmul_tiles(c->problem.m, c->config.tile_m),
               matmul_tiles(c->problem.n, c->config.tile_n), c->config.split,
               NULL};
    if (matmul_gpu_has_tma(c->config.variant))
        v.parts = matmul_tiles(c->problem.k, c->config.tile_k);
    v.seen =
        spak_calloc((size_t)v.tiles_m * (size_t)v.tiles_n * (size_t)v.parts, 1);
    if (!v.seen) return spak_fail_oom(err);
    if (v.tiles_m * c->config.tile_m < c->problem.m ||
        v.tiles_n * c->config.tile_n < c->problem.n)
        matmul_gpu_counter(check, "%d x %d tiles do not cover C", v.tiles_m,
                           v.tiles_n);
    bool walked = matmul_gpu_has_tma(c->config.variant)
                      ? walk_clusters(&v, &plan)
                      : walk_grid(&v, &plan);
    if (walked) look_for_gaps(&v);
    note_case(check, c);
    spak_free(v.seen);
    return true;
}

bool matmul_gpu_check_written(matmul_gpu_check *check, spak_error *err) {
    for (int i = 0; i < CASES && !check->counterexample; i++, check->cases++) {
        matmul_gpu_case c;
        matmul_gpu_draw_case(check, &c);
        if (!cover_case(check, &c, err)) return false;
    }
    return check->counterexample ||
           matmul_gpu_emulate(check, MATMUL_GPU_WRITTEN, err);
}

/* --- split_covers_k_once --- */

static int slice_begin(const matmul_gpu_check *check, int slice, int tiles_k,
                       int split) {
    int begin = matmul_slice_begin(slice, tiles_k, split);
    bool early =
        check->fault == MATMUL_GPU_SLICES_OVERLAP && slice > 0 && slice < split;
    return begin - early;
}

bool matmul_gpu_check_split(matmul_gpu_check *check, spak_error *err) {
    (void)err;
    for (int tiles_k = 1; tiles_k <= 200; tiles_k++)
        for (int split = 1; split <= 16 && split <= tiles_k; split++) {
            int next = 0, least = tiles_k, most = 0;
            check->cases++;
            for (int s = 0; s < split; s++) {
                int begin = slice_begin(check, s, tiles_k, split),
                    end = matmul_slice_begin(s + 1, tiles_k, split);
                if (begin != next)
                    matmul_gpu_counter(check,
                                       "%d steps in %d slices: slice %d begins "
                                       "at %d, the one before ends at %d",
                                       tiles_k, split, s, begin, next);
                if (end - begin < least) least = end - begin;
                if (end - begin > most) most = end - begin;
                next = end;
            }
            if (next != tiles_k || least < 1 || most - least > 1)
                matmul_gpu_counter(check,
                                   "%d steps in %d slices of %d to %d steps, "
                                   "the last ends at %d",
                                   tiles_k, split, least, most, next);
            if (check->counterexample) return true;
        }
    return true;
}

/* --- threads_do_not_change_bits --- */

enum { MOST_SLICES = 8 };

/* Slices leave their sums, and whoever comes last adds them up. */
static float add_slices(const matmul_gpu_check *check, const float *part,
                        const int *arrival, int split) {
    float sum = 0;
    for (int i = 0; i < split; i++)
        sum +=
            part[check->fault == MATMUL_GPU_SUM_AS_THEY_COME ? arrival[i] : i];
    return sum;
}

bool matmul_gpu_check_order(matmul_gpu_check *check, spak_error *err) {
    for (int i = 0; i < 2000 && !check->counterexample; i++, check->cases++) {
        int split = 2 + (int)matmul_gpu_draw(check, MOST_SLICES - 1);
        int arrival[MOST_SLICES];
        float part[MOST_SLICES];
        for (int s = 0; s < split; s++) {
            arrival[s] = s;
            part[s] = spak_philox_uniform(check->seed, 78,
                                          (uint64_t)(i * MOST_SLICES + s)) -
                      0.5f;
        }
        float want = add_slices(check, part, arrival, split);
        for (int s = split - 1; s > 0; s--) { /* any order of arrival */
            int other = (int)matmul_gpu_draw(check, (uint32_t)s + 1),
                kept = arrival[s];
            arrival[s] = arrival[other];
            arrival[other] = kept;
        }
        float sum = add_slices(check, part, arrival, split);
        if (memcmp(&sum, &want, sizeof sum) != 0)
            matmul_gpu_counter(check,
                               "%d slices: %.9g in one order of arrival, %.9g "
                               "in another",
                               split, want, sum);
    }
    return check->counterexample ||
           matmul_gpu_emulate(check, MATMUL_GPU_BITS, err);
}
