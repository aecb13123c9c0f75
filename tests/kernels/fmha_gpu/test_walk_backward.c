/* The walk of attention's backward pass against the mask itself: every visible pair is visited, masks are left out only
 * where nothing is hidden, turns count the tiles of keys that add to a tile of queries without a gap and in an order in
 * which blocks take them or, in rounds of whole heads, come to it, and no two tiles share scratch. */
#include "../../tap.h"
#include "fmha/gpu/walk_backward.h"

#include <stdint.h>
#include <stdlib.h>

static uint64_t seed = 1;
static int draw(int below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((seed >> 33) % (uint64_t)below);
}

typedef struct mask {
    int queries, keys, tile_m, tile_n, causal, window;
} mask;

static bool visible(const mask *c, int q, int k) {
    const int own = q + c->keys - c->queries;
    return !(c->causal && k > own) && !(c->window >= 0 && k < own - c->window);
}

/* Whether a tile of queries and one of keys have a visible pair, and whether all their pairs are. A key that does not
 * exist is hidden; a query that does not exist is left out. */
static void look(const mask *c, int m, int n, bool *any, bool *all) {
    *any = false;
    *all = true;
    for (int q = m * c->tile_m; q < fmha_least((m + 1) * c->tile_m, c->queries); q++)
        for (int k = n * c->tile_n; k < (n + 1) * c->tile_n; k++) {
            const bool seen = k < c->keys && visible(c, q, k);
            *any |= seen;
            *all &= seen;
        }
}

static bool visits_are_right(const mask *c) {
    for (int n = 0; n < fmha_tiles(c->keys, c->tile_n); n++) {
        const fmha_visits v =
            fmha_queries_of(n * c->tile_n, c->tile_m, c->tile_n, c->queries, c->keys, c->causal, c->window);
        if (v.first > v.end || v.end > fmha_tiles(c->queries, c->tile_m)) return false;
        for (int m = 0; m < fmha_tiles(c->queries, c->tile_m); m++) {
            bool any, all;
            look(c, m, n, &any, &all);
            const bool visited = m >= v.first && m < v.end;
            if (visited != any) return false;
            if (visited && m >= v.whole && m < v.whole_end && !all) return false;
            /* and masks are not spent where they are not needed, but at the last, shorter tile of queries */
            if (visited && all && !(m >= v.whole && m < v.whole_end) && (m + 1) * c->tile_m <= c->queries) return false;
        }
    }
    return true;
}

/* Tiles of keys from the last on: each that visits tile m finds the turn at the number of those before it. */
static bool turns_are_right(const mask *c) {
    for (int m = 0; m < fmha_tiles(c->queries, c->tile_m); m++) {
        int turn = 0;
        for (int n = fmha_tiles(c->keys, c->tile_n) - 1; n >= 0; n--) {
            const fmha_visits v =
                fmha_queries_of(n * c->tile_n, c->tile_m, c->tile_n, c->queries, c->keys, c->causal, c->window);
            if (m < v.first || m >= v.end) continue;
            if (fmha_turn(m, n, FMHA_LAST_FIRST, c->tile_m, c->tile_n, c->queries, c->keys, c->causal) != turn)
                return false;
            turn++;
        }
    }
    return true;
}

/* Each place is taken once, and a block's places only grow. */
static bool places_are_right(int tiles, int blocks, int causal) {
    char *taken = calloc((size_t)tiles + 1, 1);
    bool right = taken != NULL;
    for (int block = 0; right && block < blocks; block++) {
        int last = -1, at;
        for (int round = 0; (at = fmha_place(round, block, blocks, tiles, causal)) != -2; round++) {
            if (at == -1) continue;
            if (at <= last || at >= tiles || taken[at]++) right = false;
            last = at;
        }
    }
    for (int i = 0; right && i < tiles; i++) right = taken[i] == 1;
    free(taken);
    return right;
}

/* --- rounds of whole heads --- */

enum { MOST_TILES = 96 };

/* Every tile of queries is visited once, and at each all turns are taken, nobody's twice, if blocks take their steps at
 * the same time: in the order of the turns, and with at least `apart` steps between them. start: the step at which each
 * tile of keys begins. */
static bool visits_take_turns(const mask *c, int way, const int *start, int apart) {
    static int when[MOST_TILES][MOST_TILES]; /* tile of queries, turn */
    const int rows = fmha_tiles(c->keys, c->tile_n), count = fmha_tiles(c->queries, c->tile_m);
    int adders[MOST_TILES] = {0};
    for (int m = 0; m < count; m++)
        for (int t = 0; t < rows; t++) when[m][t] = -1;
    for (int n = 0; n < rows; n++) {
        const fmha_visits v = fmha_queries_of(n * c->tile_n, c->tile_m, c->tile_n, c->queries, c->keys, c->causal, -1);
        int m = fmha_first_visit(n, rows, way, v.first, v.end);
        for (int i = 0; i < v.end - v.first; i++, m = fmha_next_visit(m, way, v.first, v.end)) {
            const int turn = fmha_turn(m, n, way, c->tile_m, c->tile_n, c->queries, c->keys, c->causal);
            if (m < v.first || m >= v.end || turn < 0 || turn >= rows || when[m][turn] >= 0) return false;
            when[m][turn] = start[n] + i;
            adders[m]++;
        }
        if (v.end > v.first && m != fmha_first_visit(n, rows, way, v.first, v.end)) return false;
    }
    for (int m = 0; m < count; m++)
        for (int t = 0; t < adders[m]; t++)
            if (when[m][t] < 0 || (t > 0 && when[m][t] < when[m][t - 1] + apart)) return false;
    return true;
}

/* All pairs, of any lengths: together from the start. */
static bool full_rounds_are_right(mask c) {
    const int start[MOST_TILES] = {0};
    c.causal = 0;
    return visits_take_turns(&c, FMHA_ROUND, start,
                             fmha_tiles(c.queries, c.tile_m) / fmha_most(1, fmha_tiles(c.keys, c.tile_n)));
}

/* Causal: in an even round together from the start, in an odd one after the block's tile of the even round; with as
 * many queries as keys both rounds together are as long for each block. */
static bool causal_rounds_are_right(mask c) {
    const int times = 1 + draw(3); /* tiles of queries in one of keys */
    c.causal = 1;
    c.tile_n = c.tile_m * times;
    const int rows = fmha_tiles(c.keys, c.tile_n), even[MOST_TILES] = {0};
    int odd[MOST_TILES], least = 1 << 30, most = 0;
    if (!visits_take_turns(&c, FMHA_LAST_FIRST, even, 0)) return false;
    for (int n = 0; n < rows; n++) odd[n] = n; /* for turns alone */
    c.queries = c.keys = rows * c.tile_n;
    for (int block = 0; block < rows; block++) {
        const int at = fmha_round_place(0, block, rows, 2, 1, 1),
                  then = fmha_round_place(1, block, rows, 2, 1, 1) - rows;
        const fmha_visits v = fmha_queries_of(at * c.tile_n, c.tile_m, c.tile_n, c.queries, c.keys, 1, -1);
        const fmha_visits w = fmha_queries_of(then * c.tile_n, c.tile_m, c.tile_n, c.queries, c.keys, 1, -1);
        odd[then] = v.end - v.first;
        least = fmha_least(least, v.end - v.first + w.end - w.first);
        most = fmha_most(most, v.end - v.first + w.end - w.first);
    }
    return (rows == 0 || least == most) && visits_take_turns(&c, FMHA_LAST_FIRST, even, times) &&
           visits_take_turns(&c, FMHA_FIRST_FIRST, odd, times);
}

/* Each tile once, a head's in one round and of one way, round after round, and no block without work for more than a
 * fifth of the time. */
static bool round_places_are_right(int rows, int heads, int blocks, int causal) {
    const int width = fmha_round_heads(rows, heads, blocks, causal);
    if (rows > blocks) return width == 0;
    if (width == 0) return true;
    char *taken = calloc((size_t)(rows * heads) + 1, 1);
    bool right = taken != NULL && width * rows <= blocks;
    int rounds = 0;
    for (int block = 0; right && block < blocks; block++) {
        int at;
        for (int round = 0; (at = fmha_round_place(round, block, rows, heads, width, causal)) != -2; round++) {
            if (at < 0 || at >= rows * heads || taken[at]++ || at / rows / width != round) right = false;
            if (right && fmha_round_way(at / rows, width, causal) != (!causal     ? FMHA_ROUND
                                                                      : round % 2 ? FMHA_FIRST_FIRST
                                                                                  : FMHA_LAST_FIRST))
                right = false;
            rounds = fmha_most(rounds, round + 1);
        }
    }
    for (int i = 0; right && i < rows * heads; i++) right = taken[i] == 1;
    free(taken);
    return right && 4 * rounds <= 5 * fmha_tiles(rows * heads, blocks);
}

/* Sequences of their own lengths: tiles of a head, then of the next, none twice, all within the room. */
static bool scratch_is_right(int batch, int heads, int tile_m, const int *cu_q) {
    long long next = 0;
    for (int h = 0; h < heads; h++)
        for (int b = 0; b < batch; b++)
            for (int m = 0; m < fmha_tiles(cu_q[b + 1] - cu_q[b], tile_m); m++) {
                const long long at = fmha_row_tile(b, h, m, batch, heads, 0, cu_q[batch], tile_m, cu_q);
                if (at < next) return false;
                next = at + 1;
            }
    return next <= heads * fmha_row_tiles(batch, 0, cu_q[batch], tile_m, 1);
}

int main(void) {
    int wrong = 0, wrong_turn = 0;
    for (int i = 0; i < 4000; i++) {
        mask c = {draw(90), draw(90), 1 + draw(12), 1 + draw(12), draw(2), draw(2) ? draw(40) : -1};
        if (draw(4) == 0) c.keys = c.queries;
        if (!visits_are_right(&c) && !wrong++)
            printf("# %d queries, %d keys, tiles %d x %d, causal %d, window %d\n", c.queries, c.keys, c.tile_m,
                   c.tile_n, c.causal, c.window);
        wrong_turn += !turns_are_right(&c);
    }
    is_int(wrong, 0, "visited is what has a visible pair, unmasked what has no hidden one: 4000 masks");
    is_int(wrong_turn, 0, "turns have no gap");

    wrong = 0;
    for (int i = 0; i < 2000; i++) wrong += !places_are_right(draw(500), 1 + draw(140), draw(2));
    is_int(wrong, 0, "each tile of keys is taken once, in rising order by each block");

    int wrong_full = 0, wrong_causal = 0, by_heads = 0;
    wrong = 0;
    for (int i = 0; i < 4000; i++) {
        const int rows = draw(140), heads = draw(60), blocks = 1 + draw(140), causal = draw(2);
        mask c = {draw(90), draw(90), 1 + draw(12), 1 + draw(12), 0, -1};
        wrong += !round_places_are_right(rows, heads, blocks, causal);
        by_heads += fmha_round_heads(rows, heads, blocks, causal) > 0;
        wrong_full += !full_rounds_are_right(c);
        wrong_causal += !causal_rounds_are_right(c);
    }
    is_int(wrong, 0, "rounds of whole heads: each tile once, a head's in one round");
    ok(by_heads > 500, "rounds often go by heads (%d of 4000)", by_heads);
    is_int(wrong_full, 0, "every pair: who is first in turn is there first");
    is_int(wrong_causal, 0, "causal: who is first in turn is there first, and pairs of rounds are as long for all");
    for (int rows = 4; rows <= 128; rows *= 2)
        ok(fmha_round_heads(rows, 2048 / rows, 132, 0) && fmha_round_heads(rows, 2048 / rows, 132, 1),
           "132 blocks, %d tiles of keys: by heads", rows);

    wrong = 0;
    for (int i = 0; i < 2000; i++) {
        int cu_q[9] = {0}, batch = 1 + draw(8);
        for (int b = 0; b < batch; b++) cu_q[b + 1] = cu_q[b] + (draw(3) ? draw(300) : 0);
        wrong += !scratch_is_right(batch, 1 + draw(4), draw(2) ? 64 : 128, cu_q);
    }
    is_int(wrong, 0, "no two tiles of queries share scratch");
    is_int(fmha_row_tile(2, 3, 1, 4, 5, 130, 0, 64, 0), (2 * 5 + 3) * 3 + 1, "equal lengths: in the order of b, h, m");
    is_int(fmha_backward_smem(128, 64, 128, 2, 0), 4 * 32768 + 2 * 16384 + 32768 + 1024 + 128 + 19 * 8,
           "shared memory of a usual tile");
    is_int(fmha_backward_smem(128, 64, 128, 2, 1), 4 * 32768 + 2 * 16384 + 65536 + 1024 + 128 + 23 * 8,
           "and where additions wait for their turn");
    return done_testing();
}
