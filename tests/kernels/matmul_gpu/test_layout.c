/* order.h: every tile once. swizzle.h: every chunk its own place, and no bank twice in a cycle, simulated. */
#include <stdlib.h>

#include "../../tap.h"
#include "matmul/gpu/order.h"
#include "matmul/gpu/swizzle.h"

/* --- order --- */

typedef matmul_tile order_of(int linear, int tiles_m, int tiles_n, int group);

static bool each_tile_once(order_of *order, int tiles_m, int tiles_n, int group) {
    int *seen = calloc((size_t)(tiles_m * tiles_n), sizeof *seen);
    bool good = seen != NULL;
    for (int i = 0; good && i < tiles_m * tiles_n; i++) {
        matmul_tile t = order(i, tiles_m, tiles_n, group);
        good = t.row >= 0 && t.row < tiles_m && t.col >= 0 && t.col < tiles_n && !seen[t.row * tiles_n + t.col]++;
    }
    free(seen);
    return good;
}

/* The fault: the last group taken for a whole one. */
static matmul_tile forgets_ragged_group(int linear, int tiles_m, int tiles_n, int group) {
    (void)tiles_m;
    int above = linear / (group * tiles_n) * group, inside = linear - above * tiles_n;
    return (matmul_tile){above + inside % group, inside / group};
}

static void test_order(void) {
    int bad = 0, bad_faulty = 0;
    for (int m = 1; m <= 33; m++) {
        for (int n = 1; n <= 20; n++) {
            for (int group = 1; group <= 17; group++) {
                bad += !each_tile_once(matmul_order, m, n, group);
                bad_faulty += !each_tile_once(forgets_ragged_group, m, n, group);
            }
        }
    }
    is_int(bad, 0, "each tile comes once, for grids up to 33 x 20 and groups up to 17");
    ok(bad_faulty > 0, "an order that forgets the ragged group is found (%d times)", bad_faulty);
    matmul_tile t = matmul_order(5, 3, 4, 2);
    ok(t.row == 1 && t.col == 2, "the picture in order.h: number 5 of 3 x 4 lies at (1, 2)");
    t = matmul_order(9, 3, 4, 2);
    ok(t.row == 2 && t.col == 1, "the last group has one row: number 9 lies at (2, 1)");
    is_int(matmul_tiles(0, 128), 0, "nothing takes no tile");
    is_int(matmul_tiles(129, 128), 2, "a tile and one element take two");
    is_int(matmul_tiles(2147483647, 128), 16777216, "no overflow at the largest extent");
}

/* --- swizzle --- */

typedef int swizzle_of(int row, int chunk, int chunks);

static int plain(int row, int chunk, int chunks) { return row * chunks + chunk; }

static bool bijective(swizzle_of *swizzle, int rows, int chunks) {
    char *seen = calloc((size_t)(rows * chunks), 1);
    bool good = seen != NULL;
    for (int r = 0; good && r < rows; r++) {
        for (int c = 0; good && c < chunks; c++) {
            int at = swizzle(r, c, chunks);
            good = at >= 0 && at < rows * chunks && !seen[at]++;
        }
    }
    free(seen);
    return good;
}

/* Cycles that shared memory takes for a phase: eight lanes, 16 bytes each, through 32 banks of 4 bytes. */
static int cycles(const int place[8]) {
    int words[32] = {0}, most = 0;
    for (int lane = 0; lane < 8; lane++) {
        for (int w = 0; w < 4; w++) {
            int *bank = &words[(place[lane] * 4 + w) % 32];
            if (++*bank > most) most = *bank;
        }
    }
    return most;
}

/* The slowest phase of ldmatrix: eight rows from a multiple of 8, one column of chunks. */
static int slowest_read(swizzle_of *swizzle, int rows, int chunks) {
    int most = 0;
    for (int r = 0; r < rows; r += 8) {
        for (int c = 0; c < chunks; c++) {
            int place[8];
            for (int i = 0; i < 8; i++) place[i] = swizzle(r + i, c, chunks);
            if (cycles(place) > most) most = cycles(place);
        }
    }
    return most;
}

/* And of cp.async: eight neighbouring threads write neighbouring chunks, as mma_sync.cu hands them out. */
static int slowest_write(swizzle_of *swizzle, int rows, int chunks) {
    int most = 0;
    for (int first = 0; first < rows * chunks; first += 8) {
        int place[8];
        for (int i = 0; i < 8; i++) place[i] = swizzle((first + i) / chunks, (first + i) % chunks, chunks);
        if (cycles(place) > most) most = cycles(place);
    }
    return most;
}

static void test_swizzle(void) {
    static const int widths[] = {2, 4, 8, 16, 24, 32};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        int chunks = widths[i];
        ok(bijective(matmul_swizzle, 64, chunks), "rows of %d chunks: each has its own place", chunks);
        is_int(slowest_read(matmul_swizzle, 64, chunks), 1, "rows of %d chunks: ldmatrix takes a cycle a matrix",
               chunks);
        is_int(slowest_write(matmul_swizzle, 64, chunks), 1, "rows of %d chunks: a copy takes a cycle for 8 lanes",
               chunks);
    }
    is_int(slowest_read(plain, 64, 8), 8, "stored plainly, ldmatrix takes eight cycles a matrix");
    is_int(slowest_read(plain, 64, 4), 4, "stored plainly with rows of 64 bytes, four");
}

int main(void) {
    test_order();
    test_swizzle();
    return done_testing();
}
