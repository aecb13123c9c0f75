/* What the first warpgroup of sm90_backward.cu does: which tile of keys is next
 * and which queries it visits, the fetching of both, and the additions of dQ to
 * global memory. That file's places in shared memory, barriers and rings. */
#ifndef SPAK_FMHA_GPU_BACK_FETCH_CUH
#define SPAK_FMHA_GPU_BACK_FETCH_CUH

/* --- a tile of keys ---
 *
 * The thread that fetches decides what is next and writes it into one of two
 * places in shared memory, where the others read it when they need it: their
 * registers are full. */
typedef struct work {
    int steps;      /* tiles of queries, over the heads; -1: no more work */
    int n;          /* which tile of its sequence */
    int head;       /* of K and V */
    int batch;      /* 0 with VARLEN: */
    int row_k;      /* the sequence's first row, counted over sequences */
    int row_q;      /* that of the first query that is visited */
    int keys;       /* of the sequence */
    int queries;    /* of the sequence */
    int first, end; /* tiles of queries that are visited, */
    int whole, whole_end; /* and those of them that need no mask */
    int tile;             /* in scratch, of the group's first head: tile 0 */
    int head_tiles;       /* from one head's to the next head's */
    int way, start;       /* BY_HEADS: how they are visited, and from where */
} work;

typedef volatile work *work_ptr;

/* Query heads that share K and V. */
DEVICE int group_heads(const fmha_gpu_params *p) {
    return p->heads / p->kv_heads;
}

/* The tile of queries that is visited first; that after m, and whether with it
 * another head begins. */
DEVICE int first_visit(work_ptr w) { return BY_HEADS ? w->start : w->first; }
DEVICE bool next_visit(work_ptr w, int *m) {
#if BY_HEADS
    *m = fmha_next_visit(*m, w->way, w->first, w->end);
    return *m == w->start;
#else
    if (++*m != w->end) return false;
    *m = w->first;
    return true;
#endif
}

/* Tiles of keys of a head, heads over batches, and how many of these a round
 * has; 0: rounds do not go by heads. */
DEVICE int key_tiles(const fmha_gpu_params *p) {
    return fmha_tiles(p->kv_len, TILE_N);
}
DEVICE int key_heads(const fmha_gpu_params *p) {
    return p->kv_heads * p->batch;
}
DEVICE int round_heads(const fmha_gpu_params *p) {
    return BY_HEADS ? fmha_round_heads(key_tiles(p), key_heads(p),
                                       (int)gridDim.x, CAUSAL)
                    : 0;
}

/* The tile of keys at this place of the order, and how it visits queries. */
DEVICE fmha_tile tile_at(const fmha_gpu_params *p, int at, work_ptr w) {
    const int width = round_heads(p);
    const fmha_tile tile =
        fmha_order(at, key_tiles(p), key_heads(p), width > 0 ? 1 : p->group,
                   DETERMINISTIC && width == 0);
#if BY_HEADS
    w->way =
        width > 0 ? fmha_round_way(tile.head, width, CAUSAL) : FMHA_LAST_FIRST;
#endif
    return tile;
}

/* Fills w with the tile at this place of the order; false where a sequence is
 * shorter than the longest and has no such tile. Values go to w as soon as they
 * are known: this thread has few registers. */
DEVICE bool find_work(const fmha_gpu_params *p, int at, work_ptr w) {
    const fmha_tile tile = tile_at(p, at, w);
    const int head = tile.head % p->kv_heads, b = tile.head / p->kv_heads;
    w->n = tile.row;
    w->head = head;
    w->batch = VARLEN ? 0 : b;
#if VARLEN
    const int *cu_q = (const int *)p->cu_q + b,
              *cu_k = (const int *)p->cu_k + b;
    w->row_q = cu_q[0];
    w->row_k = cu_k[0];
    w->queries = cu_q[1] - w->row_q;
    w->keys = cu_k[1] - w->row_k;
    w->head_tiles =
        (int)fmha_row_tiles(p->batch, p->q_len, p->total_q, TILE_M, 1);
#else
    w->row_q = w->row_k = 0;
    w->queries = p->q_len;
    w->keys = p->kv_len;
    w->head_tiles = fmha_tiles(p->q_len, TILE_M);
#endif
    w->tile = (int)fmha_row_tile(b, head * group_heads(p), 0, p->batch,
                                 p->heads, p->q_len, p->total_q, TILE_M,
                                 VARLEN ? (const int *)p->cu_q : 0);
    const fmha_visits v =
        fmha_queries_of(w->n * TILE_N, TILE_M, TILE_N, w->queries, w->keys,
                        CAUSAL, WINDOW ? p->window : -1);
    w->first = v.first;
    w->end = v.end;
    w->whole = v.whole;
    w->whole_end = v.whole_end;
    w->row_q = w->row_q + v.first * TILE_M;
    w->steps = (v.end - v.first) * group_heads(p);
#if BY_HEADS
    w->start = fmha_first_visit(w->n, key_tiles(p), w->way, v.first, v.end);
#endif
    return w->n * TILE_N < w->keys;
}

/* The others: tile number `count` of this block, or none. */
DEVICE bool await_work(unsigned char *memory, unsigned base, unsigned count,
                       work_ptr *w) {
    *w = (work_ptr)(memory + WORK_AT(0, STAGE(count, 2)));
    barrier_wait(FULL_WORK(base, STAGE(count, 2)), PARITY(count, 2));
    return (*w)->steps >= 0;
}

/* --- warp 0: fetching --- */

/* A tile of `rows` rows, slice by slice. */
DEVICE void fetch(unsigned to, const fmha_map *map, unsigned barrier, int rows,
                  int head, int row, int batch) {
#pragma unroll
    for (int s = 0; s < SLICES; s++)
        tma_load_4d(to + s * rows * 128, map, barrier, s * 64, head, row,
                    batch);
}

DEVICE void fetch_keys(const fmha_gpu_params *p, work_ptr w, unsigned base,
                       unsigned uses) {
    const int head = w->head, batch = w->batch;
    const int row = w->row_k + w->n * TILE_N;
    barrier_wait(EMPTY_KV(base), PARITY(uses, 1) ^ 1);
    barrier_expect(FULL_K(base), KEYS_BYTES);
    fetch(K_AT(base), &p->k_map, FULL_K(base), TILE_N, head, row, batch);
    barrier_expect(FULL_V(base), KEYS_BYTES);
    fetch(V_AT(base), &p->v_map, FULL_V(base), TILE_N, head, row, batch);
}

/* A step: tile `row` / TILE_M of queries, with their logarithms and deltas. */
DEVICE void fetch_queries(const fmha_gpu_params *p, work_ptr w, unsigned base,
                          unsigned step, int head, int row,
                          const float *stats) {
    const unsigned s = STAGE(step, STAGES);
    barrier_wait(EMPTY(base, s), PARITY(step, STAGES) ^ 1);
    barrier_expect(FULL_Q(base, s), ROWS_BYTES + STATS_BYTES);
    fetch(Q_AT(base, s), &p->q_map, FULL_Q(base, s), TILE_M, head, row,
          w->batch);
    bulk_load(STATS_AT(base, s), stats, FULL_Q(base, s), STATS_BYTES);
    barrier_expect(FULL_DO(base, s), ROWS_BYTES);
    fetch(DO_AT(base, s), &p->do_map, FULL_DO(base, s), TILE_M, head, row,
          w->batch);
}

/* What the steps of a tile of keys need. The first queries come before K and V,
 * whose place the tile before may still hold. */
DEVICE void fetch_tile(const fmha_gpu_params *p, work_ptr w, unsigned base,
                       unsigned *step, unsigned uses) {
    const unsigned last = *step + w->steps;
    int head = w->head * group_heads(p), m = first_visit(w);
    bool keys = false;
#if BY_HEADS
    int tile = w->tile;
    for (; *step < last; ++*step) {
        fetch_queries(
            p, w, base, *step, head, m * TILE_M,
            (const float *)p->delta + (long long)(tile + m) * 2 * TILE_M);
        if (!keys) fetch_keys(p, w, base, uses);
        keys = true;
        if (!next_visit(w, &m)) continue;
        tile += w->head_tiles;
        head++;
    }
#else
    int row = w->row_q;
    const float *stats =
        (const float *)p->delta + (long long)(w->tile + m) * 2 * TILE_M;
    for (; *step < last; ++*step) {
        fetch_queries(p, w, base, *step, head, row, stats);
        if (!keys) fetch_keys(p, w, base, uses);
        keys = true;
        row += TILE_M;
        stats += 2 * TILE_M;
        if (++m == w->end) {
            m = w->first;
            row = w->row_q;
            stats += (w->head_tiles - (w->end - w->first)) * 2LL * TILE_M;
            head++;
        }
    }
#endif
}

/* The place in the order of this block's next tile; -1: none this time, -2: no
 * more. */
DEVICE int next_place(const fmha_gpu_params *p, int round) {
    const int tiles = key_tiles(p) * key_heads(p), block = (int)blockIdx.x;
#if DETERMINISTIC
    const int width = round_heads(p);
    if (width > 0)
        return fmha_round_place(round, block, key_tiles(p), key_heads(p), width,
                                CAUSAL);
    return fmha_place(round, block, (int)gridDim.x, tiles, CAUSAL && !WINDOW);
#else
    const int at =
        round == 0 ? block : (int)(gridDim.x + atomicAdd(next_tile(p), 1u));
    return at < tiles ? at : -2;
#endif
}

/* One thread. */
DEVICE void fetch_all(const fmha_gpu_params *p, unsigned char *memory,
                      unsigned base) {
    unsigned step = 0, count = 0, uses = 0;
    for (int round = 0;; round++) {
        work_ptr w = (work_ptr)(memory + WORK_AT(0, STAGE(count, 2)));
        const int at = next_place(p, round);
        if (at == -1) continue;
        barrier_wait(EMPTY_WORK(base, STAGE(count, 2)), PARITY(count, 2) ^ 1);
        if (at == -2)
            w->steps = -1;
        else if (!find_work(p, at, w))
            continue;
        barrier_arrive(FULL_WORK(base, STAGE(count, 2)));
        if (at == -2) return;
        if (w->steps > 0) fetch_tile(p, w, base, &step, uses++);
        count++;
    }
}

/* --- warp 1, or 1 and 2: adding dQ to global memory --- */

/* Until as many tiles of keys have added to this tile of queries as shall
 * before this one. */
DEVICE unsigned wait_for_turn(const unsigned *turn, work_ptr w, int m) {
    const unsigned mine =
        (unsigned)fmha_turn(m, w->n, BY_HEADS ? w->way : FMHA_LAST_FIRST,
                            TILE_M, TILE_N, w->queries, w->keys, CAUSAL);
    while (load_acquire(turn) != mine) {
    }
    fence_async_all();
    return mine;
}
/* When all that this thread had added is there. */
DEVICE void pass_turn(unsigned *turn, unsigned mine) {
    tma_store_wait();
    fence_async_all();
    store_release(turn, mine + 1);
}

/* In turn: the parts go together, as others wait for them to arrive. Else: the
 * first goes as soon as it is there. */
DEVICE void add_tile(const fmha_gpu_params *p, unsigned base, unsigned step,
                     long long tile) {
    const unsigned s = STAGE(step, DQ_STAGES), parity = PARITY(step, DQ_STAGES);
    float *sum = (float *)p->dq_sum + tile * (TILE_M * DQ_DIM);
#pragma unroll
    for (int part = 0; part < DQ_PARTS; part++) {
        barrier_wait(FULL_DQ(base, part, s), parity);
        bulk_add(sum + part * DQ_FLOATS, DQ_AT(base, part, s), PART_BYTES);
        tma_store_commit();
        if (DETERMINISTIC) continue;
        tma_store_wait_read(0);
        barrier_arrive(EMPTY_DQ(base, part, s));
    }
    if (!DETERMINISTIC) return;
    tma_store_wait_read(0);
#pragma unroll
    for (int part = 0; part < DQ_PARTS; part++)
        barrier_arrive(EMPTY_DQ(base, part, s));
}

/* One thread, for each place of dQ. */
DEVICE void add_all(const fmha_gpu_params *p, unsigned char *memory,
                    unsigned base, unsigned place) {
    unsigned step = 0;
    work_ptr w;
    for (unsigned count = 0; await_work(memory, base, count, &w); count++) {
        const unsigned last = step + w->steps;
        int m = first_visit(w), tile = w->tile;
        for (; step < last; step++) {
            if (STAGE(step, DQ_STAGES) == place) {
                unsigned *turn = (unsigned *)p->turn + tile + m, mine = 0;
                if (DETERMINISTIC) mine = wait_for_turn(turn, w, m);
                add_tile(p, base, step, tile + m);
                if (DETERMINISTIC) pass_turn(turn, mine);
            }
            if (next_visit(w, &m)) tile += w->head_tiles;
        }
        barrier_arrive(EMPTY_WORK(base, STAGE(count, 2)));
    }
    tma_store_wait();
}

#endif
