/* Who computes what: tiles of queries, tiles of keys, heads of a tile, slices.
 */
#include <string.h>

#include "base/alloc.h"
#include "fmha/gpu/invariants.h"

enum { CASES = 900 };

/* --- every_element_written_once --- */

/* walk.h's, or with a fault one of the mistakes that it avoids. */
static fmha_tile order(const fmha_gpu_check *check, int linear, int rows,
                       int heads, int group, int longest) {
    if (check->fault == FMHA_GPU_SHORTEST_FIRST) longest = 0;
    if (check->fault != FMHA_GPU_LAST_GROUP_FULL)
        return fmha_order(linear, rows, heads, group, longest);
    const int before = linear / (group * rows) * group,
              inside = linear - before * rows, row = inside / group;
    return (fmha_tile){longest ? rows - 1 - row : row, before + inside % group};
}

/* O, as flags: (batch heads, q_len). */
typedef struct cover {
    fmha_gpu_check *check;
    const fmha_gpu_case *c;
    int rows, heads; /* tiles of a head; heads, or packs of them, in all */
    unsigned char *seen;
} cover;

static bool write_tile(cover *v, fmha_tile t) {
    const fmha_gpu_problem *p = &v->c->problem;
    const int m = v->c->config.tile_m, pack = v->c->config.pack;
    if (t.row < 0 || t.row >= v->rows || t.head < 0 || t.head >= v->heads)
        return fmha_gpu_counter(v->check, "tile %d of head %d: outside", t.row,
                                t.head);
    for (int r = 0; r < m; r++) {
        const fmha_row at = fmha_row_of(r, pack);
        const int query = t.row * (m / pack) + at.query,
                  head = t.head * pack + at.head;
        if (query >= p->q_len) continue;
        if (v->seen[(size_t)head * (size_t)p->q_len + (size_t)query]++)
            return fmha_gpu_counter(
                v->check, "head %d, query %d: written twice", head, query);
    }
    return true;
}

static int visits(const fmha_gpu_case *c, int row) {
    const fmha_gpu_problem *p = &c->problem;
    const int queries = c->config.tile_m / c->config.pack;
    fmha_range r = fmha_keys_of(row * queries, queries, c->config.tile_n,
                                p->q_len, p->kv_len, p->causal, p->window);
    return r.end - r.first;
}

/* A launch. Blocks begin with the tiles of their own numbers; where they stay,
 * whoever is free takes the next, and who takes the last sets the counter back.
 * Who is free is drawn. */
static bool run_launch(cover *v, const fmha_gpu_plan *plan, int *counter) {
    enum { MOST_BLOCKS = 16 };
    const fmha_gpu_config *c = &v->c->config;
    const int tiles = v->rows * v->heads, blocks = (int)plan->step[0].grid[0],
              longest = c->order == FMHA_GPU_LONGEST;
    const bool stays = plan->scratch.turn > 0;
    int next[MOST_BLOCKS], left = stays ? blocks : 0;
    for (int at = 0; at < blocks && !stays; at++)
        if (!write_tile(
                v, order(v->check, at, v->rows, v->heads, c->group, longest)))
            return false;
    for (int i = 0; i < left; i++) next[i] = i;
    while (left > 0) {
        const int i = (int)fmha_gpu_draw(v->check, (uint32_t)left),
                  at = next[i];
        if (at >= tiles) {
            next[i] = next[--left];
            continue;
        }
        next[i] = blocks + (*counter)++;
        if (*counter == tiles && v->check->fault != FMHA_GPU_COUNTER_LEFT)
            *counter = 0;
        if (!write_tile(
                v, order(v->check, at, v->rows, v->heads, c->group, longest)))
            return false;
    }
    return true;
}

/* Whether the tiles of a group get shorter along the order. */
static bool gets_shorter(cover *v) {
    const fmha_gpu_config *c = &v->c->config;
    const fmha_gpu_problem *p = &v->c->problem;
    const int tiles = v->rows * v->heads;
    if (c->order != FMHA_GPU_LONGEST || !p->causal || p->window >= 0)
        return true;
    for (int at = 1; at < tiles; at++) {
        const fmha_tile a = order(v->check, at - 1, v->rows, v->heads, c->group,
                                  1),
                        b = order(v->check, at, v->rows, v->heads, c->group, 1);
        const bool starts = at % (c->group * v->rows) == 0;
        if (!starts && visits(v->c, b.row) > visits(v->c, a.row))
            return fmha_gpu_counter(
                v->check, "tile %d visits %d tiles of keys, that before it %d",
                at, visits(v->c, b.row), visits(v->c, a.row));
    }
    return true;
}

static bool look_for_gaps(cover *v, int launch) {
    const fmha_gpu_problem *p = &v->c->problem;
    const size_t len = (size_t)p->q_len,
                 count = (size_t)p->batch * (size_t)p->heads * len;
    for (size_t at = 0; at < count; at++)
        if (!v->seen[at])
            return fmha_gpu_counter(v->check,
                                    "launch %d: head %zu, query %zu: not "
                                    "written",
                                    launch, at / len, at % len);
    memset(v->seen, 0, count);
    return true;
}

bool fmha_gpu_check_written(fmha_gpu_check *check, spak_error *err) {
    for (int i = 0; i < CASES && !check->counterexample; i++) {
        fmha_gpu_case c;
        fmha_gpu_plan plan;
        fmha_gpu_draw_case(check, &c);
        const fmha_gpu_problem *p = &c.problem;
        if (p->pass == FMHA_GPU_BACKWARD ||
            (!fmha_gpu_has_tma(c.config.variant) &&
             c.config.variant != FMHA_GPU_MMA_SYNC))
            continue;
        check->cases++;
        /* Few multiprocessors, so that blocks have many tiles. */
        fmha_gpu_machine few = fmha_gpu_planned_machine;
        few.sms = 1 + (int)fmha_gpu_draw(check, 12);
        if (!fmha_gpu_plan_new(&c.config, p, &few, &plan, err)) return false;
        cover v = {check, &c, fmha_gpu_rows(&c.config, p),
                   p->batch * p->heads / c.config.pack, NULL};
        v.seen = spak_calloc(
            (size_t)p->batch * (size_t)p->heads * (size_t)p->q_len, 1);
        if (!v.seen) return spak_fail_oom(err);
        int counter = 0;
        bool good = gets_shorter(&v);
        for (int launch = 1; good && launch <= 2; launch++)
            good = run_launch(&v, &plan, &counter) && look_for_gaps(&v, launch);
        fmha_gpu_note_case(check, &c);
        spak_free(v.seen);
    }
    return true;
}

/* --- every_pair_visited_once --- */

typedef struct mask {
    int queries, keys, causal, window;
} mask;

static bool is_visible(const mask *x, int query, int key) {
    const int last = query + x->keys - x->queries;
    return (!x->causal || key <= last) &&
           (x->window < 0 || key >= last - x->window);
}

static fmha_range keys_of(const fmha_gpu_check *check, int first, int tile_m,
                          int tile_n, const mask *x) {
    const int shift = x->keys - x->queries;
    const int last = fmha_least(first + tile_m, x->queries) - 1;
    fmha_range r = fmha_keys_of(first, tile_m, tile_n, x->queries, x->keys,
                                x->causal, x->window);
    switch (check->fault) {
        case FMHA_GPU_DIAGONAL_TILE_SKIPPED:
            if (x->causal && r.end > r.first) r.end = r.whole_end;
            break;
        case FMHA_GPU_ALIGNED_TOP_LEFT:
            if (x->causal && shift > 0)
                r.end = fmha_least(r.end, fmha_tiles(last + 1, tile_n));
            break;
        case FMHA_GPU_TAIL_NOT_MASKED:
            if (!x->causal) r.whole_end = r.end;
            break;
        case FMHA_GPU_WHOLE_TILE_TOO_MANY:
            if (x->causal && r.whole_end < r.end) r.whole_end++;
            break;
        case FMHA_GPU_WINDOW_OF_LAST_QUERY:
            if (x->window >= 0)
                r.first = fmha_most(
                    r.first, fmha_most(0, fmha_least(x->keys, last + shift -
                                                                  x->window)) /
                                 tile_n);
            break;
        default: break;
    }
    return r;
}

/* The first key tile of a slice within a range. */
static int slice_begin(const fmha_gpu_check *check, int slice, int tiles,
                       int slices) {
    const int begin = fmha_slice_begin(slice, tiles, slices);
    const bool early = check->fault == FMHA_GPU_SLICES_OVERLAP && slice > 0 &&
                       slice < slices && begin > 0;
    return begin - early;
}

/* How often the slices visit a tile of keys. */
static int times_visited(const fmha_gpu_check *check, const fmha_range *r,
                         int tile, int slices) {
    const int tiles = r->end - r->first;
    int times = 0;
    for (int s = 0; s < slices && tiles > 0; s++)
        times += tile - r->first >= slice_begin(check, s, tiles, slices) &&
                 tile - r->first < fmha_slice_begin(s + 1, tiles, slices);
    return times;
}

/* All pairs of one tile of queries and one of keys. */
static bool look_at_pairs(fmha_gpu_check *check, const mask *x,
                          const fmha_range *r, int first, int tile_m, int tile,
                          int tile_n, int times) {
    const int end_q = fmha_least(first + tile_m, x->queries),
              end_k = fmha_least((tile + 1) * tile_n, x->keys);
    bool any = false, all = end_k == (tile + 1) * tile_n;
    for (int t = first; t < end_q; t++)
        for (int j = tile * tile_n; j < end_k; j++) {
            const bool sees = is_visible(x, t, j);
            any = any || sees;
            all = all && sees;
        }
    const char *what =
        any && times == 0 ? "visible, not visited"
        : times > 1       ? "visited more than once"
        : !any && times   ? "all hidden, and visited"
        : times && !all && tile >= r->whole && tile < r->whole_end
            ? "partly hidden, and not masked"
            : NULL;
    return !what || fmha_gpu_counter(check,
                                     "%d queries, %d keys, causal %d, window "
                                     "%d: queries from %d, keys from %d: %s",
                                     x->queries, x->keys, x->causal, x->window,
                                     first, tile * tile_n, what);
}

static bool look_at_mask(fmha_gpu_check *check, const mask *x, int tile_m,
                         int tile_n, int slices) {
    for (int first = 0; first < x->queries; first += tile_m) {
        const fmha_range r = keys_of(check, first, tile_m, tile_n, x);
        for (int tile = 0; tile * tile_n < x->keys; tile++)
            if (!look_at_pairs(check, x, &r, first, tile_m, tile, tile_n,
                               times_visited(check, &r, tile, slices)))
                return false;
        check->cases++;
    }
    return true;
}

/* Every sequence of a batch. */
static bool look_at_case(fmha_gpu_check *check, const fmha_gpu_case *c) {
    const fmha_gpu_problem *p = &c->problem;
    int cu_q[8], cu_k[8];
    const int count = p->batch < 7 ? p->batch : 7;
    fmha_gpu_problem few = *p;
    few.batch = count;
    fmha_gpu_draw_lengths(&few, check->seed + check->draws, cu_q, cu_k);
    for (int b = 0; b < count; b++) {
        const mask x = {cu_q[b + 1] - cu_q[b], cu_k[b + 1] - cu_k[b], p->causal,
                        p->window};
        if (!look_at_mask(check, &x, c->config.tile_m / c->config.pack,
                          c->config.tile_n, c->config.slices))
            return false;
    }
    return true;
}

bool fmha_gpu_check_pairs(fmha_gpu_check *check, spak_error *err) {
    (void)err;
    /* The decisive ones first: small, with all kinds of ends. */
    for (int queries = 1; queries <= 9; queries++)
        for (int keys = 1; keys <= 12; keys++)
            for (int window = -1; window <= 5; window++)
                for (int i = 0; i < 12; i++) {
                    const mask x = {queries, keys, i % 2, window};
                    if (!look_at_mask(check, &x, 2 + i % 3, 2 + i % 4,
                                      1 + i % 2))
                        return true;
                }
    for (int i = 0; i < 60 && !check->counterexample; i++) {
        fmha_gpu_case c;
        fmha_gpu_draw_case(check, &c);
        look_at_case(check, &c);
        fmha_gpu_note_case(check, &c);
    }
    return true;
}

/* --- grouped_heads_map --- */

static int head_of_keys(const fmha_gpu_check *check, const fmha_gpu_problem *p,
                        int head) {
    return check->fault == FMHA_GPU_WRONG_KV_HEAD
               ? head % p->kv_heads
               : head / (p->heads / p->kv_heads);
}

static fmha_row row_of(const fmha_gpu_check *check, int row, int pack) {
    if (check->fault != FMHA_GPU_ROWS_BY_HEAD) return fmha_row_of(row, pack);
    return (fmha_row){row / 64 * (64 / pack) + row % 64 % (64 / pack),
                      row % 64 / (64 / pack)};
}

/* The rows of a tile as the kernel takes them against what the copy engine
 * brings there: for each warpgroup a box (d, heads, queries), first index
 * innermost. */
static void look_at_boxes(fmha_gpu_check *check, const fmha_gpu_plan *plan,
                          int group) {
    const fmha_gpu_problem *p = &plan->problem;
    const fmha_gpu_config *c = &plan->config;
    const int box_heads = (int)plan->q_map.box[1],
              box_rows = (int)plan->q_map.box[2];
    for (int row = 0; row < c->tile_m; row++) {
        const fmha_row at = row_of(check, row, c->pack);
        const int w = row / 64, lies = row % 64;
        const int query = w * box_rows + lies / box_heads,
                  head = lies % box_heads;
        if (box_heads * box_rows != 64 || at.query != query || at.head != head)
            fmha_gpu_counter(check,
                             "%d heads in a tile: row %d is query %d of head "
                             "%d, and there lies query %d of head %d",
                             c->pack, row, at.query, at.head, query, head);
        const int first = group * c->pack;
        if (head_of_keys(check, p, first + at.head) !=
            (first + head) * p->kv_heads / p->heads)
            fmha_gpu_counter(check, "head %d of %d: reads K and V of head %d",
                             first + at.head, p->heads,
                             head_of_keys(check, p, first + at.head));
        if (head_of_keys(check, p, first + at.head) !=
            head_of_keys(check, p, first))
            fmha_gpu_counter(check, "heads %d and %d share a tile, not K and V",
                             first, first + at.head);
    }
}

bool fmha_gpu_check_groups(fmha_gpu_check *check, spak_error *err) {
    for (int i = 0; i < CASES && !check->counterexample; i++) {
        fmha_gpu_case c;
        fmha_gpu_plan plan;
        fmha_gpu_draw_case(check, &c);
        if (!fmha_gpu_plan_new(&c.config, &c.problem, &fmha_gpu_planned_machine,
                               &plan, err))
            return false;
        if (!plan.maps || c.problem.pass == FMHA_GPU_BACKWARD) continue;
        for (int g = 0; g < c.problem.heads / c.config.pack; g++)
            look_at_boxes(check, &plan, g);
        check->cases++;
        fmha_gpu_note_case(check, &c);
    }
    return true;
}
