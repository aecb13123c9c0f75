/* pipeline_never_overwrites: a model of the ring of stages, explored in full.
 *
 * One or two blocks (a cluster) have a producer and one or two consumers each,
 * and a ring of stages with two barriers a stage, as the sm_90a kernels do:
 *
 *   producer, tile t    wait empty[s], parity of the round before (s = t % S)
 *                       announce the bytes on its own full[s]
 *                       for each block: start copying this block's share there
 *   copy                when it is done, its bytes count on that block's full
 *   consumer, tile t    wait full[s], parity of the round; start reading it;
 *                       wait until tile t - 1 has been read (after the last
 *                       tile, until that has) and arrive at the empty barrier
 *                       of its stage in every block whose copies write it
 *
 * A barrier completes a phase when as many have arrived as it expects and no
 * announced byte is missing; its parity is the number of completed phases, and
 * a wait for parity p passes while the phase under way has the other one. That
 * is all that a wait knows: being a whole round wrong looks right, which is why
 * the model does not compare counts.
 *
 * A consumer thus holds two stages at a time: a ring of one stage would wait
 * for ever, and config.c refuses it.
 *
 * Every interleaving is visited, breadth first. A copy is atomic where it ends,
 * a read lasts from one move to another; between the two the stage must not
 * change. A state that nobody can leave before all tiles are done is a
 * deadlock. */
#include <string.h>

#include "base/alloc.h"
#include "matmul/gpu/invariants.h"

enum { BLOCKS = 2, CONSUMERS = 2, STAGES = 4, TABLE = 1 << 20 };

typedef struct barrier {
    signed char pending; /* arrivals still expected */
    signed char bytes;   /* announced shares that have not come; < 0: early */
    unsigned char phase; /* completed phases, modulo 2 */
} barrier;

typedef struct state {
    unsigned char produced[BLOCKS];              /* the producer's next tile */
    unsigned char consumed[BLOCKS][CONSUMERS];   /* tiles that it has read */
    unsigned char reading[BLOCKS][CONSUMERS];    /* and those under way */
    signed char copying[BLOCKS][BLOCKS][STAGES]; /* from, to: tile + 1, or 0 */
    signed char share[BLOCKS][BLOCKS][STAGES];   /* of, in: tile + 1, or 0 */
    barrier full[BLOCKS][STAGES], empty[BLOCKS][STAGES];
} state;

typedef struct model {
    matmul_gpu_check *check;
    int blocks, consumers, stages, tiles;
    state *states; /* found so far */
    uint32_t *table;
    size_t count, room;
} model;

static int arrivals_empty(const model *m) {
    bool own = m->check->fault == MATMUL_GPU_RELEASE_OWN_BLOCK;
    return m->consumers * (own ? 1 : m->blocks);
}

static void complete(barrier *b, int expected) {
    if (b->pending || b->bytes) return;
    b->pending = (signed char)expected;
    b->phase ^= 1;
}

/* mbarrier.try_wait.parity: has the phase of this parity completed? */
static bool passes(const barrier *b, int parity) { return b->phase != parity; }

static bool add(model *m, const state *s, spak_error *err) {
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < sizeof *s; i++)
        hash = (hash ^ ((const unsigned char *)s)[i]) * 1099511628211u;
    size_t at = (hash ^ hash >> 29) % TABLE;
    for (; m->table[at]; at = (at + 1) % TABLE)
        if (!memcmp(&m->states[m->table[at] - 1], s, sizeof *s)) return true;
    if (m->count + 1 >= TABLE / 2)
        return spak_fail(err, "the pipeline's model has too many states");
    if (m->count == m->room) {
        m->room = m->room ? 2 * m->room : 1024;
        state *grown = spak_realloc(m->states, m->room * sizeof *grown);
        if (!grown) return spak_fail_oom(err);
        m->states = grown;
    }
    m->states[m->count++] = *s;
    m->table[at] = (uint32_t)m->count;
    return true;
}

static bool wrong(const model *m, const char *what, int block, int tile) {
    return matmul_gpu_counter(
        m->check,
        "%d block(s), %d consumer(s), %d stage(s): block %d, tile "
        "%d: %s",
        m->blocks, m->consumers, m->stages, block, tile, what);
}

/* --- moves: each fills next and returns whether it is possible --- */

static bool produce(const model *m, const state *s, int b, state *next) {
    int t = s->produced[b], at = t % m->stages;
    int parity = t / m->stages % 2 ^ 1;
    if (m->check->fault == MATMUL_GPU_PARITY_NOT_FLIPPED) parity ^= 1;
    if (t == m->tiles || !passes(&s->empty[b][at], parity)) return false;
    *next = *s;
    next->produced[b]++;
    barrier *full = &next->full[b][at];
    full->pending--;
    full->bytes = (signed char)(full->bytes + m->blocks);
    for (int d = 0; d < m->blocks && d < BLOCKS; d++) {
        if (s->copying[b][d][at])
            wrong(m, "a stage is filled while its copy is under way", b, t);
        next->copying[b][d][at] = (signed char)(t + 1);
    }
    complete(full, 1);
    return true;
}

static bool finish_copy(const model *m, const state *s, int from, int to,
                        int at, state *next) {
    if (!s->copying[from][to][at]) return false;
    int tile = s->copying[from][to][at] - 1;
    *next = *s;
    for (int c = 0; c < m->consumers; c++)
        if (s->consumed[to][c] + m->stages <= tile)
            wrong(m, "a stage is overwritten before it was read", to, tile);
    next->copying[from][to][at] = 0;
    next->share[from][to][at] = (signed char)(tile + 1);
    next->full[to][at].bytes--;
    complete(&next->full[to][at], 1);
    return true;
}

static void release(const model *m, state *s, int b, int at) {
    for (int d = 0; d < m->blocks && d < BLOCKS; d++) {
        bool own = m->check->fault == MATMUL_GPU_RELEASE_OWN_BLOCK;
        if (own && d != b) continue;
        s->empty[d][at].pending--;
        complete(&s->empty[d][at], arrivals_empty(m));
    }
}

/* Both as a read begins and as it ends. */
static void check_read(const model *m, const state *s, int b, int tile) {
    for (int f = 0; f < m->blocks; f++)
        if (s->share[f][b][tile % m->stages] != tile + 1)
            wrong(m, "a stage is read that does not hold the tile", b, tile);
}

static bool start_read(const model *m, const state *s, int b, int c,
                       state *next) {
    int t = s->consumed[b][c] + s->reading[b][c], at = t % m->stages;
    if (t == m->tiles || s->reading[b][c] == 2 ||
        !passes(&s->full[b][at], t / m->stages % 2))
        return false;
    *next = *s;
    next->reading[b][c]++;
    check_read(m, s, b, t);
    if (m->check->fault == MATMUL_GPU_RELEASE_BEFORE_READ)
        release(m, next, b, at);
    return true;
}

static bool end_read(const model *m, const state *s, int b, int c,
                     state *next) {
    int t = s->consumed[b][c], under_way = s->reading[b][c];
    if (under_way < (t + 1 == m->tiles ? 1 : 2)) return false;
    *next = *s;
    next->reading[b][c]--;
    next->consumed[b][c]++;
    check_read(m, s, b, t);
    if (m->check->fault != MATMUL_GPU_RELEASE_BEFORE_READ)
        release(m, next, b, t % m->stages);
    return true;
}

static bool done(const model *m, const state *s) {
    for (int b = 0; b < m->blocks; b++)
        for (int c = 0; c < m->consumers; c++)
            if (s->consumed[b][c] < m->tiles) return false;
    return true;
}

static bool expand(model *m, size_t i, spak_error *err) {
    const state s = m->states[i];
    state next;
    int moves = 0;
    for (int b = 0; b < m->blocks; b++) {
        if (produce(m, &s, b, &next) && (moves++, !add(m, &next, err)))
            return false;
        for (int c = 0; c < m->consumers; c++)
            if ((start_read(m, &s, b, c, &next) &&
                 (moves++, !add(m, &next, err))) ||
                (end_read(m, &s, b, c, &next) &&
                 (moves++, !add(m, &next, err))))
                return false;
        for (int to = 0; to < m->blocks; to++)
            for (int at = 0; at < m->stages; at++)
                if (finish_copy(m, &s, b, to, at, &next) &&
                    (moves++, !add(m, &next, err)))
                    return false;
    }
    if (!moves && !done(m, &s))
        wrong(m, "everybody waits", 0, s.consumed[0][0]);
    return true;
}

static bool explore(matmul_gpu_check *check, int blocks, int consumers,
                    int stages, spak_error *err) {
    model m = {.check = check,
               .blocks = blocks,
               .consumers = consumers,
               .stages = stages,
               .tiles = 2 * stages + 1}; /* both parities, and round again */
    state first;
    memset(&first, 0, sizeof first);
    for (int b = 0; b < blocks; b++)
        for (int at = 0; at < stages; at++) {
            first.full[b][at].pending = 1;
            first.empty[b][at].pending = (signed char)arrivals_empty(&m);
        }
    m.table = spak_calloc(TABLE, sizeof *m.table);
    bool ok = m.table ? add(&m, &first, err) : spak_fail_oom(err);
    for (size_t i = 0; ok && i < m.count && !check->counterexample; i++)
        ok = expand(&m, i, err);
    check->cases += (long long)m.count;
    spak_free(m.states);
    spak_free(m.table);
    return ok;
}

bool matmul_gpu_check_pipeline(matmul_gpu_check *check, spak_error *err) {
    int least = check->fault == MATMUL_GPU_ONE_STAGE ? 1 : 2;
    for (int stages = least; stages <= STAGES; stages++)
        for (int consumers = 1; consumers <= CONSUMERS; consumers++)
            if (!check->counterexample &&
                !explore(check, 1, consumers, stages, err))
                return false;
    for (int consumers = 1; consumers <= CONSUMERS; consumers++)
        if (!check->counterexample && !explore(check, 2, consumers, 2, err))
            return false;
    return true;
}
