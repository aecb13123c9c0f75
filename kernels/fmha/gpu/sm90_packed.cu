/* Attention on Hopper, the top of the ladder: O = softmax(scale Q K^T + mask) V
 * with grouped heads. As sm90_persistent.cu, but a tile of queries has rows of
 * PACK heads that share K and V, so that these are fetched once for all of
 * them, and few queries still fill a tile:
 *
 *     row of the tile     0  1  2  3 | 4  5  6  7 | ...    PACK = 4
 *     query               0  0  0  0 | 1  1  1  1 | ...
 *     head                h h+1 ...  | h h+1 ...  |
 *
 * The copy engine lays them down so, a box of PACK heads by 64 / PACK queries;
 * what a row sees, and where its output and LSE go, follows (query_of,
 * store_rows and finish in tile_sm90.cuh). All else is the same code.
 *
 * Floor: 4 D operations of the matrix units for each pair that is seen, and an
 * exponential: the units for these do 16 a clock on a multiprocessor. */
#include "fmha/gpu/sm90_persistent.cu"
