/* threads_do_not_change_bits: what several blocks add up is added in one order,
 * whichever of them comes first. */
#include <string.h>

#include "fmha/gpu/invariants.h"
#include "fmha/gpu/walk_backward.h"

/* --- decode: the slices' parts --- */

enum { MOST_SLICES = 8 };

static float add_slices(const fmha_gpu_check *check, const float *part,
                        const int *arrival, int slices) {
    float sum = 0;
    for (int i = 0; i < slices; i++)
        sum += part[check->fault == FMHA_GPU_SUM_AS_THEY_COME ? arrival[i] : i];
    return sum;
}

static void check_slices(fmha_gpu_check *check, int index) {
    const int slices = 2 + (int)fmha_gpu_draw(check, MOST_SLICES - 1);
    int arrival[MOST_SLICES];
    float part[MOST_SLICES];
    for (int s = 0; s < slices; s++) {
        arrival[s] = s;
        part[s] = spak_philox_uniform(check->seed, 95,
                                      (uint64_t)(index * MOST_SLICES + s)) -
                  0.5f;
    }
    const float want = add_slices(check, part, arrival, slices);
    for (int s = slices - 1; s > 0; s--) { /* any order of arrival */
        const int other = (int)fmha_gpu_draw(check, (uint32_t)s + 1),
                  kept = arrival[s];
        arrival[s] = arrival[other];
        arrival[other] = kept;
    }
    const float sum = add_slices(check, part, arrival, slices);
    if (memcmp(&sum, &want, sizeof sum) != 0)
        fmha_gpu_counter(check,
                         "%d slices: %.9g in one order of arrival, %.9g in "
                         "another",
                         slices, (double)want, (double)sum);
}

/* --- backward: tiles of keys add to dQ in turn ---
 *
 * As sm90_backward.cu does it: blocks that stay take tiles of keys, in rounds
 * of whole heads or by fmha_place and fmha_order, go over the tiles of queries
 * that see them, once for each query head, and wait for each one's turn. A
 * schedule is who moves next. */

enum { MOST_ROWS = 12, MOST_HEADS = 6, MOST_SHARE = 3, MOST_BLOCKS = 14 };

typedef struct turns {
    fmha_gpu_check *check;
    int queries, keys, tile_m, tile_n, causal, window, heads, group, blocks;
    int share; /* query heads that have one head of keys */
    int rows;  /* tiles of keys of a head */
    int width; /* whole heads in a round; 0: rounds do not go by heads */
    int turn[MOST_HEADS][MOST_SHARE][MOST_ROWS];
    float dq[MOST_HEADS][MOST_SHARE][MOST_ROWS];
} turns;

typedef struct block {
    int round, head, n, way, m, start, first, end;
    int query_head, left; /* visits of this tile of keys */
    bool done;
} block;

static fmha_tile tile_at(const turns *x, int at, int *way) {
    const bool later = x->check->fault == FMHA_GPU_LATER_TURN_FIRST;
    *way = FMHA_LAST_FIRST;
    if (x->width == 0)
        return fmha_order(at, x->rows, x->heads, x->group, !later);
    const fmha_tile t = fmha_order(at, x->rows, x->heads, 1, 0);
    *way = fmha_round_way(t.head, x->width, x->causal);
    return t;
}

/* The next tile of keys that has queries. */
static void next_tile(const turns *x, block *b, int index) {
    while (b->left == 0) {
        const int at =
            x->width
                ? fmha_round_place(b->round++, index, x->rows, x->heads,
                                   x->width, x->causal)
                : fmha_place(b->round++, index, x->blocks, x->rows * x->heads,
                             x->causal && x->window < 0);
        if (at == -2) {
            b->done = true;
            return;
        }
        if (at < 0) continue;
        const fmha_tile t = tile_at(x, at, &b->way);
        const fmha_visits v =
            fmha_queries_of(t.row * x->tile_n, x->tile_m, x->tile_n, x->queries,
                            x->keys, x->causal, x->window);
        b->n = t.row;
        b->head = t.head;
        b->query_head = 0;
        b->first = v.first;
        b->end = v.end;
        b->m = b->start =
            fmha_first_visit(t.row, x->rows, b->way, v.first, v.end);
        b->left = (v.end - v.first) * x->share;
    }
}

static void next_visit(const turns *x, block *b) {
    int way = b->way;
    if (x->check->fault == FMHA_GPU_VISITS_AGAINST_TURNS && x->width)
        way = way == FMHA_FIRST_FIRST ? FMHA_LAST_FIRST : FMHA_FIRST_FIRST;
    b->m = fmha_next_visit(b->m, way, b->first, b->end);
    if (b->m == b->start) b->query_head++;
    b->left--;
}

/* One addition, unless it is another's turn. */
static bool move(turns *x, block *b) {
    const int turn = fmha_turn(b->m, b->n, b->way, x->tile_m, x->tile_n,
                               x->queries, x->keys, x->causal);
    const bool waits = x->check->fault != FMHA_GPU_SUM_AS_THEY_COME;
    int *now = &x->turn[b->head][b->query_head][b->m];
    if (waits && *now != turn) return false;
    ++*now;
    x->dq[b->head][b->query_head][b->m] +=
        spak_philox_uniform(
            x->check->seed, 96,
            (uint64_t)(((b->head * 4 + b->query_head) * 64 + b->m) * 64 +
                       b->n)) -
        0.5f;
    next_visit(x, b);
    return true;
}

/* All blocks to their end, the next to move drawn; false: nobody can. */
static bool run_schedule(turns *x) {
    block b[MOST_BLOCKS];
    memset(b, 0, sizeof b);
    memset(x->turn, 0, sizeof x->turn);
    memset(x->dq, 0, sizeof x->dq);
    for (int i = 0; i < x->blocks; i++) next_tile(x, &b[i], i);
    for (;;) {
        const int first = (int)fmha_gpu_draw(x->check, (uint32_t)x->blocks);
        bool moved = false, left = false;
        for (int i = 0; i < x->blocks && !moved; i++) {
            block *one = &b[(first + i) % x->blocks];
            left = left || !one->done;
            moved = !one->done && move(x, one);
            if (moved) next_tile(x, one, (first + i) % x->blocks);
        }
        if (!moved) return !left;
    }
}

static void check_turns(fmha_gpu_check *check) {
    turns x = {.check = check,
               .queries = 1 + (int)fmha_gpu_draw(check, 40),
               .keys = 1 + (int)fmha_gpu_draw(check, 40),
               .tile_m = 4 << fmha_gpu_draw(check, 2),
               .tile_n = 4 << fmha_gpu_draw(check, 2),
               .causal = (int)fmha_gpu_draw(check, 2),
               .window = fmha_gpu_draw(check, 3) ? -1 : 5,
               .heads = 1 + (int)fmha_gpu_draw(check, MOST_HEADS),
               .share = 1 + (int)fmha_gpu_draw(check, MOST_SHARE),
               .blocks = 1 + (int)fmha_gpu_draw(check, MOST_BLOCKS)};
    float want[MOST_HEADS][MOST_SHARE][MOST_ROWS];
    if (fmha_gpu_draw(check, 2)) x.keys = x.queries;
    x.rows = fmha_tiles(x.keys, x.tile_n);
    x.group = 1 + (int)fmha_gpu_draw(check, (uint32_t)x.heads);
    if (x.window < 0 && fmha_gpu_draw(check, 4))
        x.width = fmha_round_heads(x.rows, x.heads, x.blocks, x.causal);
    for (int i = 0; i < 4; i++) {
        if (!run_schedule(&x)) {
            fmha_gpu_counter(check,
                             "%d queries, %d keys, causal %d, window %d, %d "
                             "heads, %d blocks: everybody waits for a turn",
                             x.queries, x.keys, x.causal, x.window, x.heads,
                             x.blocks);
            return;
        }
        if (i == 0) memcpy(want, x.dq, sizeof want);
        if (memcmp(want, x.dq, sizeof want) != 0)
            fmha_gpu_counter(check,
                             "%d queries, %d keys: dQ depends on the order in "
                             "which %d blocks run",
                             x.queries, x.keys, x.blocks);
    }
}

bool fmha_gpu_check_bits(fmha_gpu_check *check, spak_error *err) {
    (void)err;
    for (int i = 0; i < 1500 && !check->counterexample; i++, check->cases++) {
        check_slices(check, i);
        check_turns(check);
    }
    return true;
}
