/* One tile of a product on Hopper: where it lies in shared memory, how it is
 * fetched, multiplied, added up and stored. What the sm90 kernels share.
 *
 * Macros: TILE_M, TILE_N, TILE_K (a multiple of 64), STAGES, CONSUMERS, GROUP,
 * TRANS_A, TRANS_B and those of epilogue.cuh; from the step that has them on
 * CLUSTER_M, CLUSTER_N, STORE_BUFFERS, STREAM.
 *
 * Shared memory, from a multiple of 1024 bytes on:
 *     STAGES tiles of A | STAGES tiles of B | pieces of C | barriers */
#ifndef SPAK_MATMUL_TILE_SM90_CUH
#define SPAK_MATMUL_TILE_SM90_CUH

#include "matmul/gpu/epilogue.cuh"
#include "matmul/gpu/walk.h"
#include "ptx/hopper.cuh"

#ifndef CLUSTER_M
#define CLUSTER_M 1
#endif
#ifndef CLUSTER_N
#define CLUSTER_N 1
#endif
#ifndef STREAM
#define STREAM 0
#endif
#ifndef STORE_BUFFERS
#define STORE_BUFFERS 0
#endif

#define SLICE    64 /* elements in a row of 128 bytes */
#define SLICES_K (TILE_K / SLICE)
#define A_BYTES  (TILE_M * TILE_K * 2)
#define B_BYTES  (TILE_N * TILE_K * 2)
#define BLOCKS_M (TILE_M / CONSUMERS / 64) /* blocks of 64 rows a consumer */

/* A piece of C: 64 rows of 128 bytes, or of 64 where that does not divide a
 * row of the tile. */
#define OUT_BYTES   (OUT_F32 ? 4 : 2)
#define PIECE_ROW   (TILE_N * OUT_BYTES % 128 ? 64 : 128)
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

/* Where a block stands in its cluster: blocks lie below each other first. */
typedef struct place {
    int row, col;
} place;

DEVICE place place_of(int rank) {
    place at = {rank % CLUSTER_M, rank / CLUSTER_M};
    return at;
}

/* The work of this block's cluster (walk.h). */
DEVICE matmul_walk walk_begin(const matmul_params *p) {
    const int blocks = CLUSTER_M * CLUSTER_N;
    return matmul_walk_begin((int)blockIdx.x / blocks, (int)gridDim.x / blocks,
                             matmul_tiles(p->m, TILE_M * CLUSTER_M) *
                                 matmul_tiles(p->n, TILE_N * CLUSTER_N),
                             matmul_tiles(p->k, TILE_K), STREAM);
}

/* First row and column of C of a block's tile. */
DEVICE void tile_at(const matmul_params *p, const place *at, int tile, int *row,
                    int *col) {
    const matmul_tile t =
        matmul_order(tile, matmul_tiles(p->m, TILE_M * CLUSTER_M),
                     matmul_tiles(p->n, TILE_N * CLUSTER_N), GROUP);
    *row = (t.row * CLUSTER_M + at->row) * TILE_M;
    *col = (t.col * CLUSTER_N + at->col) * TILE_N;
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

/* --- sums that several blocks have parts of (STREAM) ---
 *
 * A block that does not come to the end of a tile's k leaves its sums in the
 * workspace, in a slot of its own, and raises a flag; each consumer by itself.
 * The block that does comes after it in the walk, waits for the flags of those
 * before it, adds their sums to its own, the nearest first, and takes the flags
 * down. Sum j of a thread lies beside those of its neighbours. */

#define SLOT_FLOATS (TILE_M * TILE_N)
#define BATCH       (TILE_N % 64 ? 4 : 8)

DEVICE float *slot_of(const matmul_params *p, int block, int consumer) {
    return (float *)p->workspace + (long long)block * SLOT_FLOATS +
           consumer * (SLOT_FLOATS / CONSUMERS) + threadIdx.x % 128 * 4;
}
DEVICE unsigned *flag_of(const matmul_params *p, int block, int consumer) {
    return (unsigned *)p->counters + block * CONSUMERS + consumer;
}

DEVICE void leave_sums(const matmul_params *p, float acc[BLOCKS_M][TILE_N / 2],
                       int consumer) {
    float *slot = slot_of(p, (int)blockIdx.x, consumer);
#pragma unroll
    for (int i = 0; i < BLOCKS_M; i++)
#pragma unroll
        for (int j = 0; j < TILE_N / 2; j += 4)
            store_four(slot + (i * TILE_N / 2 + j) * 128, &acc[i][j]);
    __threadfence();
    named_barrier(1 + consumer, 128);
    if (threadIdx.x % 128 == 0)
        store_release(flag_of(p, (int)blockIdx.x, consumer), 1);
}

DEVICE void take_sums(const matmul_params *p, float acc[BLOCKS_M][TILE_N / 2],
                      int block, int consumer) {
    unsigned *flag = flag_of(p, block, consumer);
    const float *slot = slot_of(p, block, consumer);
    if (threadIdx.x % 128 == 0)
        while (!load_acquire(flag)) {
        }
    named_barrier(1 + consumer, 128);
    /* Some at once: their latency is that of one. */
#pragma unroll
    for (int i = 0; i < BLOCKS_M; i++)
#pragma unroll
        for (int j = 0; j < TILE_N / 2; j += 4 * BATCH) {
            float more[BATCH][4];
#pragma unroll
            for (int b = 0; b < BATCH; b++)
                load_four(slot + (i * TILE_N / 2 + j + 4 * b) * 128, more[b]);
#pragma unroll
            for (int b = 0; b < BATCH; b++)
#pragma unroll
                for (int e = 0; e < 4; e++) acc[i][j + 4 * b + e] += more[b][e];
        }
    named_barrier(1 + consumer, 128);
    if (threadIdx.x % 128 == 0) *flag = 0;
}

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

/* --- the epilogue of a piece ---
 *
 * A thread has PAIRS pairs of neighbours in a piece; pair 2 j + h lies in the
 * j-th block of 8 columns, row h * 8 below the first. What they need from
 * global memory is asked for at once, before the first is used: one latency,
 * not one a pair. The residual of the first AHEAD pieces is asked for before
 * the tile's products are, that of the others AHEAD pieces or more before they
 * need it. Pairs outside of C read its first. */
#define PAIRS     (PIECE_COLS / 4)
#define EPI_MORE  (EPI_BETA || EPI_GELU) /* reads or writes outputs again */
#define EPI_FAST  (ALIGNED && !EPI_PLAIN && !(OUT_F32 && EPI_MORE))
#define EPI_AHEAD (EPI_FAST && EPI_RESIDUAL)

#define PIECES_N (TILE_N / PIECE_COLS)
#define PIECES   (BLOCKS_M * PIECES_N) /* of a consumer's part of a tile */
#define AHEAD    (STREAM || EPI_GELU ? 1 : 2) /* pieces; registers limit it */

/* The residual of a consumer's pieces, as a thread needs it. */
typedef struct ahead {
    unsigned word[PIECES][EPI_AHEAD ? PAIRS : 1];
} ahead;

#if EPI_FAST
DEVICE void load_pairs(const matmul_params *p, matmul_ptr from, int row,
                       int col, unsigned words[PAIRS]) {
#pragma unroll
    for (int q = 0; q < PAIRS; q++) {
        const int r = row + q % 2 * 8, c = col + q / 2 * 8;
        const bool inside = r < p->m && c < p->n;
        words[q] = load_word_now((const element *)from +
                                 (inside ? (long long)r * p->ldc + c : 0));
    }
}

/* x += scale * (what the words hold). x: sums of the piece's first pair on. */
DEVICE void add_pairs(float *x, const unsigned *words, float scale) {
#pragma unroll
    for (int q = 0; q < PAIRS; q++) {
        x[2 * q] += scale * first_element(words[q]);
        x[2 * q + 1] += scale * second_element(words[q]);
    }
}

DEVICE void add_bias(const matmul_params *p, float *x, int col) {
    unsigned words[PAIRS / 2];
#pragma unroll
    for (int j = 0; j < PAIRS / 2; j++)
        words[j] = load_word((const element *)p->bias +
                             (col + j * 8 < p->n ? col + j * 8 : 0));
#pragma unroll
    for (int q = 0; q < PAIRS; q++) {
        x[2 * q] += first_element(words[q / 2]);
        x[2 * q + 1] += second_element(words[q / 2]);
    }
}
#endif

/* From sums to what `pre` holds or, without GELU, to what C is to hold. next:
 * the words of the piece in `ahead`. */
DEVICE void before_gelu(const matmul_params *p, float *x, const unsigned *next,
                        int row, int col) {
#if EPI_FAST
#if EPI_BETA
    unsigned words[PAIRS];
    load_pairs(p, p->c, row, col, words);
#endif
#pragma unroll
    for (int q = 0; q < 2 * PAIRS; q++) x[q] *= p->alpha;
#if EPI_BETA
    add_pairs(x, words, p->beta);
#endif
#if EPI_BIAS
    add_bias(p, x, col);
#endif
#if EPI_RESIDUAL && !EPI_GELU
    add_pairs(x, next, 1.0f);
#endif
    (void)row, (void)col;
#else
#pragma unroll
    for (int q = 0; q < PAIRS; q++)
        finish_pair(p, row + q % 2 * 8, col + q / 2 * 8, &x[2 * q]);
#endif
    (void)next;
}

#if EPI_FAST && EPI_GELU
DEVICE void after_gelu(float *x, const unsigned *next) {
#pragma unroll
    for (int q = 0; q < 2 * PAIRS; q++) x[q] = gelu(x[q]);
#if EPI_RESIDUAL
    add_pairs(x, next, 1.0f);
#endif
    (void)next;
}
#endif

/* A piece's sums into shared memory. stmatrix puts four matrices of 8 x 8 where
 * their chunks belong, without conflicts. */
DEVICE void fill_piece(const float *x, unsigned piece) {
    const int r = row_in_block(), lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < PIECE_COLS / 8; j += 2, x += 8) {
#if OUT_F32
#pragma unroll
        for (int h = 0; h < 4; h++)
            store_shared_pair(piece_at(piece, r + h % 2 * 8,
                                       (j + h / 2) * 2 + col_in_eight() / 4) +
                                  col_in_eight() % 4 * 4,
                              x[2 * h], x[2 * h + 1]);
        (void)lane;
#else
        stmatrix4(piece_at(piece, r / 16 * 16 + lane % 16, j + lane / 16),
                  pack_elements(x[0], x[1]), pack_elements(x[2], x[3]),
                  pack_elements(x[4], x[5]), pack_elements(x[6], x[7]));
#endif
    }
}

//> store_piece
/* Through shared memory and the copy engine, which clips what lies outside. A
 * buffer is written again when its last piece but STORE_BUFFERS has been read;
 * *stored counts pieces. */
DEVICE void store_piece(const void *map, const float *x, unsigned buffers,
                        int row, int col, int consumer, unsigned *stored) {
    const unsigned piece = buffers + *stored % STORE_BUFFERS * PIECE_BYTES;
    const bool leads = threadIdx.x % 128 == 0;
    if (leads) tma_store_wait_read(STORE_BUFFERS - 1);
    named_barrier(1 + consumer, 128);
    fill_piece(x, piece);
    fence_async();
    named_barrier(1 + consumer, 128);
    if (leads) {
        tma_store(map, piece, col, row);
        tma_store_commit();
    }
    ++*stored;
}

/* Asks for what the epilogue adds to pieces first ... first + AHEAD - 1 of the
 * tile at (row, col). A piece that is stored frees the registers of as many. */
DEVICE void ask_ahead(const matmul_params *p, ahead *next, int first, int row,
                      int col, int consumer) {
#if EPI_AHEAD
#pragma unroll
    for (int q = first; q < first + AHEAD; q++)
        if (q < PIECES)
            load_pairs(p, p->residual,
                       row + (consumer * BLOCKS_M + q / PIECES_N) * 64 +
                           row_in_block(),
                       col + q % PIECES_N * PIECE_COLS + col_in_eight(),
                       next->word[q]);
#endif
    (void)p, (void)next, (void)first, (void)row, (void)col, (void)consumer;
}

DEVICE void store_pieces(const matmul_params *p,
                         float acc[BLOCKS_M][TILE_N / 2], ahead *next,
                         unsigned base, int row, int col, int consumer,
                         unsigned *stored) {
    const unsigned buffers =
        C_AT(base) + consumer * STORE_BUFFERS * PIECE_BYTES;
#pragma unroll
    for (int q = 0; q < PIECES; q++) {
        const int i = q / PIECES_N, c = q % PIECES_N;
        const int row0 = row + (consumer * BLOCKS_M + i) * 64;
        const int col0 = col + c * PIECE_COLS;
        const int r = row0 + row_in_block();
        float *x = &acc[i][c * PIECE_COLS / 2];
        before_gelu(p, x, next->word[q], r, col0 + col_in_eight());
#if EPI_FAST && EPI_GELU
        store_piece(&p->pre_map, x, buffers, row0, col0, consumer, stored);
        after_gelu(x, next->word[q]);
#endif
        store_piece(&p->c_map, x, buffers, row0, col0, consumer, stored);
        ask_ahead(p, next, (q + 1) * AHEAD, row, col, consumer);
    }
}
//< store_piece
#endif

#endif
