/* Step: blocks that stay. As sm90_registers.cu, but there is one block a
 * multiprocessor, and it takes tiles of queries until none is left: the
 * producer fetches the next one's keys and queries while the consumers are at
 * the end of this one, and an output leaves while the next tile begins.
 *
 *     producer    tile 0 | tile 1    | tile 2    | ...
 *     consumers     tile 0     | tile 1    | tile 2 ...
 *
 * Under a causal mask tiles are of all lengths; blocks take them from a counter
 * in global memory, longest first, so that all end at about the same time. With
 * Q_STAGES = 2 the next queries do not wait for the output to leave.
 *
 * Block: a producer's warpgroup and CONSUMERS. Floor: 4 D operations of the
 * matrix units for each pair that is seen, and an exponential: the units for
 * these do 16 a clock on a multiprocessor.
 *
 * The code is that of the top, whose tiles may have rows of several heads. */
#if PACK != 1
#error "one head in a tile: more is sm90_packed.cu's"
#endif
#include "fmha/gpu/sm90_packed.cu"
