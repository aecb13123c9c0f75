/* Where a tile's 16-byte chunks lie in shared memory, for C and CUDA.
 *
 * Shared memory is 32 banks of 4 bytes: 128 bytes, eight chunks, a cycle. A
 * tile is written along its rows and read by ldmatrix down eight of them at one
 * chunk column. Stored plainly, with rows of 128 bytes, those eight chunks
 * would share one eighth of the banks, and the read would take eight cycles.
 * So chunk c of row r lies where c xor r (its last three bits) would lie: a
 * row is permuted within itself, and eight rows' chunks c go to eight columns.
 *
 *   rows of 8 chunks    row 0   0 1 2 3 4 5 6 7
 *                       row 1   1 0 3 2 5 4 7 6
 *                       row 2   2 3 0 1 6 7 4 5    ...
 *
 * Rows shorter than 128 bytes share such a line, 8 / chunks rows each; then the
 * number of the line takes the place of the row's, so that eight neighbouring
 * rows still meet all eight columns.
 *
 * MATMUL_PLAIN_ROWS leaves it out, to measure what it is worth. */
#ifndef SPAK_MATMUL_GPU_SWIZZLE_H
#define SPAK_MATMUL_GPU_SWIZZLE_H

#include "matmul/gpu/order.h"

/* The place, in chunks from the tile's begin (a multiple of 128 bytes), of
 * chunk `chunk` of row `row`; rows have `chunks` chunks: 2, 4 or a multiple of
 * 8. */
MATMUL_BOTH int matmul_swizzle(int row, int chunk, int chunks) {
#ifdef MATMUL_PLAIN_ROWS
    return row * chunks + chunk;
#endif
    int line = chunks < 8 ? row / (8 / chunks) : row;
    int mask = chunks < 8 ? chunks - 1 : 7;
    return row * chunks + (chunk ^ (line & mask));
}

#endif
