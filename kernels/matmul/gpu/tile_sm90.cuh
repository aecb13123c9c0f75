/* One tile of a product on Hopper: where it lies in shared memory, how it is
 * fetched, multiplied, added up and stored. What the sm90 kernels share.
 *
 * Macros: TILE_M, TILE_N, TILE_K (a multiple of 64), STAGES, CONSUMERS, GROUP,
 * TRANS_A, TRANS_B and those of epilogue.cuh; from the step that has them on
 * CLUSTER_M, CLUSTER_N, STORE_BUFFERS, SPLIT.
 *
 * Shared memory, from a multiple of 1024 bytes on:
 *     STAGES tiles of A | STAGES tiles of B | pieces of C | barriers */
#ifndef SPAK_MATMUL_TILE_SM90_CUH
#define SPAK_MATMUL_TILE_SM90_CUH

#include "matmul/gpu/epilogue.cuh"
#include "matmul/gpu/order.h"
#include "ptx/hopper.cuh"

#ifndef CLUSTER_M
#define CLUSTER_M 1
#endif
#ifndef CLUSTER_N
#define CLUSTER_N 1
#endif
#ifndef SPLIT
#define SPLIT 1
#endif
#ifndef STORE_BUFFERS
#define STORE_BUFFERS 0
#endif

#define SLICE    64 /* elements in a row of 128 bytes */
#define SLICES_K (TILE_K / SLICE)
#define A_BYTES  (TILE_M * TILE_K * 2)
#define B_BYTES  (TILE_N * TILE_K * 2)
#define BLOCKS_M (TILE_M / CONSUMERS / 64) /* blocks of 64 rows a consumer */
#define SUMS     (BLOCKS_M * TILE_N / 2)   /* a thread */

/* A piece of C: 64 rows of 128 bytes, or of 64 where what is stored of a block
 * of rows is no multiple of that. SHARE: the sums that a thread stores. */
#define OUT_BYTES (OUT_F32 ? 4 : 2)
#define SHARE     (SUMS / SPLIT)
#define PIECE_ROW \
    (TILE_N * OUT_BYTES % 128 || SHARE * 2 * OUT_BYTES % 128 ? 64 : 128)
#define PIECE_COLS  (PIECE_ROW / OUT_BYTES)
#define PIECE_BYTES (64 * PIECE_ROW)
#define C_BYTES     (CONSUMERS * STORE_BUFFERS * PIECE_BYTES)

#define A_AT(base, s)  ((base) + (s)*A_BYTES)
#define B_AT(base, s)  ((base) + STAGES * A_BYTES + (s)*B_BYTES)
#define C_AT(base)     ((base) + STAGES * (A_BYTES + B_BYTES))
#define FULL(base, s)  (C_AT(base) + C_BYTES + (s)*16)
#define EMPTY(base, s) (C_AT(base) + C_BYTES + (s)*16 + 8)

/* What the instruction is called for these types and orders. */
#define PASTE_(a, b)     a##b
#define PASTE(a, b)      PASTE_(a, b)
#define TYPE_NAME_0      "bf16"
#define TYPE_NAME_1      "f16"
#define ALONG_K          "0"
#define ACROSS_K         "1"
#define ALONG_K_UNLESS_0 ALONG_K
#define ALONG_K_UNLESS_1 ACROSS_K
#define ALONG_K_IF_1     ALONG_K
#define ALONG_K_IF_0     ACROSS_K
#define WGMMA            PASTE(wgmma_, TILE_N)

/* --- which tiles, in what order --- */

typedef struct tile_walk {
    int at, step;   /* clusters' tiles */
    int rows, cols; /* of them */
} tile_walk;

DEVICE tile_walk tiles_begin(const matmul_params *p) {
    const int cluster = CLUSTER_M * CLUSTER_N * SPLIT;
    tile_walk w = {(int)blockIdx.x / cluster, (int)gridDim.x / cluster,
                   matmul_tiles(p->m, TILE_M * CLUSTER_M),
                   matmul_tiles(p->n, TILE_N * CLUSTER_N)};
    return w;
}
DEVICE bool tiles_more(const tile_walk *w) { return w->at < w->rows * w->cols; }
DEVICE void tiles_next(tile_walk *w) { w->at += w->step; }

/* Where a block stands in its cluster: blocks lie below each other first, and
 * parts of k last. */
typedef struct place {
    int rank, row, col, part;
} place;

DEVICE place place_of(int rank) {
    place at = {rank, rank % CLUSTER_M, rank / CLUSTER_M % CLUSTER_N,
                rank / (CLUSTER_M * CLUSTER_N)};
    return at;
}

/* First row and column of C of a block's tile. */
DEVICE void tile_at(const tile_walk *w, const place *at, int *row, int *col) {
    const matmul_tile t = matmul_order(w->at, w->rows, w->cols, GROUP);
    *row = (t.row * CLUSTER_M + at->row) * TILE_M;
    *col = (t.col * CLUSTER_N + at->col) * TILE_N;
}

/* The steps of TILE_K that a block multiplies: all, or its part of them. The
 * host gives no more parts than steps, so no part is empty. */
DEVICE void steps_of(int k, int part, int *first, int *end) {
    const int steps = matmul_tiles(k, TILE_K);
    *first = part * steps / SPLIT;
    *end = (part + 1) * steps / SPLIT;
}

/* --- fetching ---
 *
 * A tile is some boxes of rows of 128 bytes. Stored along k, a box is the rows
 * of the tile by SLICE of k; stored across, it is SLICE of m (n) by TILE_K of
 * k. Blocks of a cluster that share a tile fetch a part of each box, or some
 * of the boxes, and send them to all. */

DEVICE void fetch_box(unsigned to, const void *map, unsigned barrier, int x,
                      int y, unsigned blocks) {
    if (blocks)
        tma_load_many(to, map, barrier, x, y, (unsigned short)blocks);
    else
        tma_load(to, map, barrier, x, y);
}

/* rows: of the tile; sharers, part: which share of it; blocks: who gets it. */
DEVICE void fetch_along(unsigned to, const void *map, unsigned barrier, int row,
                        int k, int rows, int sharers, int part,
                        unsigned blocks) {
    const int mine = part * (rows / sharers);
#pragma unroll
    for (int s = 0; s < SLICES_K; s++)
        fetch_box(to + (s * rows + mine) * 128, map, barrier, k + s * SLICE,
                  row + mine, blocks);
}

DEVICE void fetch_across(unsigned to, const void *map, unsigned barrier,
                         int row, int k, int rows, int sharers, int part,
                         unsigned blocks) {
    const int boxes = rows / SLICE / sharers;
#pragma unroll
    for (int i = 0; i < boxes; i++) {
        const int s = part * boxes + i;
        fetch_box(to + s * TILE_K * 128, map, barrier, row + s * SLICE, k,
                  blocks);
    }
}

/* A row of the cluster shares its tile of A, a column its tile of B. */
DEVICE unsigned row_blocks(const place *at) {
    unsigned blocks = 0;
    for (int i = 0; i < CLUSTER_N; i++)
        blocks |= 1u << (at->row + i * CLUSTER_M);
    return CLUSTER_N > 1 ? blocks : 0;
}
DEVICE unsigned col_blocks(const place *at) {
    return CLUSTER_M > 1 ? ((1u << CLUSTER_M) - 1) << (at->col * CLUSTER_M) : 0;
}

/* One stage: TILE_K of k for the tile at (row, col). */
DEVICE void fetch(const matmul_params *p, const place *at, unsigned base,
                  int stage, int row, int col, int k) {
    const unsigned full = FULL(base, stage);
    barrier_expect(full, A_BYTES + B_BYTES);
#if TRANS_A
    fetch_across(A_AT(base, stage), &p->a_map, full, row, k, TILE_M, CLUSTER_N,
                 at->col, row_blocks(at));
#else
    fetch_along(A_AT(base, stage), &p->a_map, full, row, k, TILE_M, CLUSTER_N,
                at->col, row_blocks(at));
#endif
#if TRANS_B
    fetch_along(B_AT(base, stage), &p->b_map, full, col, k, TILE_N, CLUSTER_M,
                at->row, col_blocks(at));
#else
    fetch_across(B_AT(base, stage), &p->b_map, full, col, k, TILE_N, CLUSTER_M,
                 at->row, col_blocks(at));
#endif
}

/* --- multiplying --- */

//> multiply
/* Starts acc = A B of one stage, plus acc if add, in steps of 16 along k. */
DEVICE void multiply(float acc[BLOCKS_M][TILE_N / 2], unsigned base, int stage,
                     int consumer, int add) {
    const unsigned a = A_AT(base, stage), b = B_AT(base, stage);
    const int block = consumer * BLOCKS_M; /* of 64 rows */
    const unsigned block_bytes = TRANS_A ? TILE_K * 128 : 64 * 128;
    const unsigned long long da =
        wgmma_descriptor(a + block * block_bytes, TILE_K * 128);
    const unsigned long long db = wgmma_descriptor(b, TILE_K * 128);
    wgmma_fence();
#pragma unroll
    for (int q = 0; q < TILE_K / 16; q++) {
        const int along = q % 4 * 32, across = q * 16 * 128;
        const int a_at = TRANS_A ? across : q / 4 * TILE_M * 128 + along;
        const int b_at = TRANS_B ? q / 4 * TILE_N * 128 + along : across;
#pragma unroll
        for (int i = 0; i < BLOCKS_M; i++)
            WGMMA(acc[i], da + ((a_at + i * block_bytes) >> 4),
                  db + (b_at >> 4), add || q > 0, PASTE(TYPE_NAME_, TYPE_F16),
                  PASTE(ALONG_K_UNLESS_, TRANS_A), PASTE(ALONG_K_IF_, TRANS_B));
    }
    wgmma_commit();
}
//< multiply

/* After the last wait: the compiler takes no sum out before it. */
DEVICE void settle(float acc[BLOCKS_M][TILE_N / 2]) {
#pragma unroll
    for (int i = 0; i < BLOCKS_M; i++)
#pragma unroll
        for (int j = 0; j < TILE_N / 2; j++)
            asm volatile("" : "+f"(acc[i][j])::"memory");
}

/* --- adding up what SPLIT blocks have of one tile --- */

#if SPLIT > 1
/* Each block leaves its sums in its own shared memory, over the ring, whose
 * last product is done; sum j of a thread lies beside those of its neighbours.
 * Then block `part` adds up its share of all blocks' sums, always in the order
 * of the blocks. All threads of the cluster come to cluster_sync once. */
DEVICE void add_up(float acc[BLOCKS_M][TILE_N / 2], unsigned base, int part) {
    const unsigned mine = base + (threadIdx.x - 128) * 16;
    const unsigned next = 128 * CONSUMERS * 16; /* to the thread's next four */
    float *sums = &acc[0][0];
    named_barrier(7, 128 * CONSUMERS);
#pragma unroll
    for (int j = 0; j < SUMS / 4; j++)
        store_shared_four(mine + j * next, &sums[4 * j]);
    cluster_sync();
#pragma unroll
    for (int j = 0; j < SUMS / 4; j++) {
        if (4 * j / SHARE != part) continue;
        float four[4], more[4];
        load_remote(remote_at(mine + j * next, 0), four);
#pragma unroll
        for (int from = 1; from < SPLIT; from++) {
            load_remote(remote_at(mine + j * next, from), more);
#pragma unroll
            for (int e = 0; e < 4; e++) four[e] += more[e];
        }
#pragma unroll
        for (int e = 0; e < 4; e++) sums[4 * j + e] = four[e];
    }
}
#endif

/* --- storing --- */

/* Register 4 j + 2 h + e of lane l of warp w: row 16 w + 8 h + l / 4, column
 * 8 j + 2 (l % 4) + e, of the consumer's block i of 64 rows. */
DEVICE int row_in_block(void) {
    return (int)threadIdx.x % 128 / 32 * 16 + (int)threadIdx.x % 32 / 4;
}
DEVICE int col_in_eight(void) { return (int)threadIdx.x % 4 * 2; }

/* Straight from the registers: four lanes fill 16 bytes of a row. */
DEVICE void store_pairs(const matmul_params *p, float acc[BLOCKS_M][TILE_N / 2],
                        int row, int col, int consumer) {
    const int r = row + consumer * BLOCKS_M * 64 + row_in_block();
    const int c = col + col_in_eight();
#pragma unroll
    for (int i = 0; i < BLOCKS_M; i++)
#pragma unroll
        for (int j = 0; j < TILE_N / 8; j++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                epilogue_pair(p, r + i * 64 + h * 8, c + j * 8,
                              acc[i][4 * j + 2 * h], acc[i][4 * j + 2 * h + 1]);
}

#if STORE_BUFFERS > 0
/* Where the 16-byte chunk c of row r of a piece lies under its swizzle. */
DEVICE unsigned piece_at(unsigned piece, int r, int c) {
    return PIECE_ROW == 128 ? piece + r * 128 + ((c ^ (r & 7)) << 4)
                            : piece + r * 64 + ((c ^ (r >> 1 & 3)) << 4);
}

//> store_piece
/* Sums 4 j ... 4 j + 7 of acc, two blocks of 8 columns, through the epilogue
 * and into a piece; first: the piece's first block of 8 columns. stmatrix puts
 * four matrices of 8 x 8 where their chunks belong, without conflicts. */
DEVICE void to_piece(const matmul_params *p, float acc[TILE_N / 2], int j,
                     int first, unsigned piece, int row, int col) {
    const int r = row_in_block(), lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int h = 0; h < 4; h++)
        finish_pair(p, row + r + h % 2 * 8,
                    col + (j + h / 2) * 8 + col_in_eight(),
                    &acc[4 * j + 2 * h]);
#if OUT_F32
#pragma unroll
    for (int h = 0; h < 4; h++)
        store_shared_pair(
            piece_at(piece, r + h % 2 * 8,
                     (j + h / 2 - first) * 2 + col_in_eight() / 4) +
                col_in_eight() % 4 * 4,
            acc[4 * j + 2 * h], acc[4 * j + 2 * h + 1]);
    (void)lane;
#else
    stmatrix4(piece_at(piece, r / 16 * 16 + lane % 16, j - first + lane / 16),
              pack_elements(acc[4 * j], acc[4 * j + 1]),
              pack_elements(acc[4 * j + 2], acc[4 * j + 3]),
              pack_elements(acc[4 * j + 4], acc[4 * j + 5]),
              pack_elements(acc[4 * j + 6], acc[4 * j + 7]));
#endif
}

/* Through shared memory, piece by piece, by the copy engine, which clips what
 * lies outside of C. STORE_BUFFERS pieces a consumer: a buffer is written again
 * when its last piece but STORE_BUFFERS has been read. *stored counts pieces.
 * Where SPLIT blocks have the sums, each stores its share of the pieces. */
DEVICE void store_pieces(const matmul_params *p,
                         float acc[BLOCKS_M][TILE_N / 2], unsigned base,
                         int row, int col, int consumer, int part,
                         unsigned *stored) {
    const unsigned buffers =
        C_AT(base) + consumer * STORE_BUFFERS * PIECE_BYTES;
    const bool leads = threadIdx.x % 128 == 0;
#pragma unroll
    for (int i = 0; i < BLOCKS_M; i++) {
        const int row0 = row + (consumer * BLOCKS_M + i) * 64;
#pragma unroll
        for (int c = 0; c < TILE_N / PIECE_COLS; c++) {
            const int first = c * PIECE_COLS / 8;
            if (SPLIT > 1 && (i * TILE_N / 2 + first * 4) / SHARE != part)
                continue;
            const unsigned piece =
                buffers + *stored % STORE_BUFFERS * PIECE_BYTES;
            if (leads) tma_store_wait_read(STORE_BUFFERS - 1);
            named_barrier(1 + consumer, 128);
#pragma unroll
            for (int j = 0; j < PIECE_COLS / 8; j += 2)
                to_piece(p, acc[i], first + j, first, piece, row0, col);
            fence_async();
            named_barrier(1 + consumer, 128);
            if (leads) {
                tma_store(&p->c_map, piece, col + c * PIECE_COLS, row0);
                tma_store_commit();
            }
            ++*stored;
        }
    }
}
//< store_piece
#endif

#endif
