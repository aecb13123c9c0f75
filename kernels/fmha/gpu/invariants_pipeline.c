/* pipeline_never_overwrites: a model of the rings of Q, K and V, explored in
 * full.
 *
 * A block has a producer and one to three consumers. Each consumer has a ring
 * of Q of its own, all share those of K, of V and of the tiles that are next;
 * depths differ. Each stage has two barriers, as the sm_90a kernels have it.
 * What each of them does is a word, a letter an action:
 *
 *   producer   t k v   wait until the next stage is empty and fill it: the next
 *   0 1 2              tile's number, K, V, or Q of that consumer
 *   consumer   t q k v wait until the next stage is full, start to read it
 *              T Q K V the oldest read of that ring ends; give the stage back
 *              ( )     wait for the turn; hand it to the next consumer
 *
 * For a tile of queries that visits three tiles of keys, from `ahead` on, where
 * the scores of the next keys are under way while V is read:
 *
 *   producer   tk 01 kv kv tk v 01    consumer   t qkK k(v)KV k(v)KV vV Q T
 *
 * and in the steps before it   t k01 vkvkv   and   t q (k)KvV (k)KvV (k)KvV Q
 * T. Where a maximum is kept, keys stay until what their weights came to is
 * known, which is behind the next turn:   t qk k(Kv)V k(Kv)V KvV Q T. Under a
 * causal mask the first consumers do not see the last tiles of keys and pass
 * them on unread, kKvV() each. O leaves through the place of Q, which is given
 * back when it has left; with two stages of Q that is looked at in the next
 * tile. The next tile's first keys are asked for before this one's last values,
 * its queries only then. A tile that visits no keys is skipped by all.
 *
 * A barrier completes a phase when as many have arrived as it expects and no
 * announced byte is missing; its parity is the number of completed phases, and
 * a wait for parity p passes while the phase under way has the other one. That
 * is all that a wait knows: being a whole round wrong looks right, which is why
 * the model does not compare counts.
 *
 * Every interleaving is visited, breadth first. A copy is atomic where it ends,
 * a read lasts from one letter to another; between the two the stage must not
 * change. A state that nobody can leave before all have come to their end is a
 * deadlock. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "fmha/gpu/invariants.h"

enum {
    CONSUMERS = 3,
    Q = 0, /* of the first consumer; then those of the others */
    K = CONSUMERS,
    V,
    T, /* which tile is next */
    RINGS,
    STAGES = 5,
    WORD = 200,
    TABLE = 1 << 21
};

typedef struct barrier {
    signed char pending; /* arrivals still expected */
    signed char bytes;   /* announced copies that have not come */
    unsigned char phase; /* completed phases, modulo 2 */
} barrier;

typedef struct state {
    unsigned char produced;               /* letters, of the producer */
    unsigned char done[CONSUMERS];        /* and of each consumer */
    signed char turn[CONSUMERS];          /* handed over, not taken */
    unsigned char holds[RINGS][STAGES];   /* item + 1; 0: nothing */
    unsigned char copying[RINGS][STAGES]; /* item + 1; 0: nothing */
    barrier full[RINGS][STAGES], empty[RINGS][STAGES];
} state;

typedef struct model {
    fmha_gpu_check *check;
    int consumers, depth[RINGS];
    bool ahead, kept, turns;
    int tiles; /* with keys */
    char produce[WORD], consume[CONSUMERS][WORD];
    state *states; /* found so far */
    uint32_t *table;
    size_t count, room;
} model;

/* `consumer`: whose letter it is; -1: the producer's. */
static int ring_of(char letter, int consumer) {
    if (letter >= '0' && letter <= '2') return Q + letter - '0';
    if (letter == 'q' || letter == 'Q') return Q + consumer;
    if (letter == 't' || letter == 'T') return T;
    return letter == 'k' || letter == 'K' ? K : V;
}

/* How often the first `count` letters of a word have this one. */
static int times(const char *word, int count, char letter) {
    int n = 0;
    for (int i = 0; i < count; i++) n += word[i] == letter;
    return n;
}

static void complete(barrier *b, int expected) {
    if (b->pending > 0 || b->bytes > 0) return;
    b->pending = (signed char)expected;
    b->phase ^= 1;
}

/* mbarrier.try_wait.parity: has the phase of this parity completed? */
static bool passes(const barrier *b, int parity) { return b->phase != parity; }

/* That free a stage. */
static int arrivals(const model *m, int ring) {
    const bool one = m->check->fault == FMHA_GPU_ONE_ARRIVAL_FREES;
    return ring < K || one ? 1 : m->consumers;
}

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

static bool wrong(const model *m, const char *what, char letter, int item) {
    return fmha_gpu_counter(m->check,
                            "%d consumer(s), %d stage(s) of K, %d of V, %s: "
                            "%c, number %d: %s",
                            m->consumers, m->depth[K], m->depth[V],
                            m->kept    ? "keys kept"
                            : m->ahead ? "ahead"
                                       : "in turn",
                            letter ? letter : '.', item, what);
}

/* --- moves: each fills next and returns whether it is possible --- */

static bool produce(const model *m, const state *s, state *next) {
    const char letter = m->produce[s->produced];
    if (!letter) return false;
    const int ring = ring_of(letter, -1),
              item = times(m->produce, s->produced, letter),
              at = item % m->depth[ring];
    int parity = item / m->depth[ring] % 2 ^ 1;
    if (m->check->fault == FMHA_GPU_PARITY_NOT_FLIPPED) parity ^= 1;
    if (!passes(&s->empty[ring][at], parity)) return false;
    *next = *s;
    next->produced++;
    if (s->copying[ring][at])
        wrong(m, "its stage is filled while a copy is under way", letter, item);
    next->copying[ring][at] = (unsigned char)(item + 1);
    next->full[ring][at].pending--;
    next->full[ring][at].bytes++;
    complete(&next->full[ring][at], 1);
    return true;
}

static bool finish_copy(const state *s, int ring, int at, state *next) {
    if (!s->copying[ring][at]) return false;
    *next = *s;
    next->holds[ring][at] = s->copying[ring][at];
    next->copying[ring][at] = 0;
    next->full[ring][at].bytes--;
    complete(&next->full[ring][at], 1);
    return true;
}

/* The stage in which a consumer looks for an item. */
static int stage_of(const model *m, int ring, int item, int *round) {
    int depth = m->depth[ring];
    if (m->check->fault == FMHA_GPU_ONE_COUNTER_FOR_BOTH && ring == V)
        depth = m->depth[K];
    *round = item / depth;
    return item % depth;
}

static void release(const model *m, state *s, int ring, int at) {
    s->empty[ring][at].pending--;
    complete(&s->empty[ring][at], arrivals(m, ring));
}

static bool take_turn(const model *m, const state *s, int c, char letter,
                      state *next) {
    const int to = (c + 1) % m->consumers;
    if (letter == '(') {
        if (!s->turn[c]) return false;
        *next = *s;
        next->turn[c]--;
    } else {
        *next = *s;
        if (m->check->fault != FMHA_GPU_TURN_NOT_PASSED || to) next->turn[to]++;
        if (next->turn[to] > 1)
            wrong(m, "a turn is handed on twice", letter, c);
    }
    next->done[c]++;
    return true;
}

static bool consume(const model *m, const state *s, int c, state *next) {
    const char letter = m->consume[c][s->done[c]];
    if (!letter) return false;
    if (letter == '(' || letter == ')') return take_turn(m, s, c, letter, next);
    const bool starts = letter >= 'a';
    const int ring = ring_of(letter, c),
              item = times(m->consume[c], s->done[c], letter);
    int round;
    const int at = stage_of(m, ring, item, &round);
    const bool early = m->check->fault == FMHA_GPU_RELEASE_BEFORE_READ;
    if (starts && !passes(&s->full[ring][at], round % 2)) return false;
    *next = *s;
    next->done[c]++;
    if (s->holds[ring][at] != item + 1)
        wrong(m,
              starts ? "its stage holds another as the read begins"
                     : "its stage holds another as the read ends",
              letter, item);
    if (starts == early) release(m, next, ring, at);
    return true;
}

static bool finished(const model *m, const state *s) {
    bool all = !m->produce[s->produced];
    for (int c = 0; c < m->consumers; c++)
        all = all && !m->consume[c][s->done[c]];
    return all;
}

static bool expand(model *m, size_t i, spak_error *err) {
    const state s = m->states[i];
    state next;
    int moves = 0;
    if (produce(m, &s, &next) && (moves++, !add(m, &next, err))) return false;
    for (int c = 0; c < m->consumers; c++)
        if (consume(m, &s, c, &next) && (moves++, !add(m, &next, err)))
            return false;
    for (int ring = 0; ring < RINGS; ring++)
        for (int at = 0; at < m->depth[ring]; at++)
            if (finish_copy(&s, ring, at, &next) &&
                (moves++, !add(m, &next, err)))
                return false;
    if (!moves && !finished(m, &s))
        wrong(m, "everybody waits", m->consume[0][s.done[0]], s.done[0]);
    return true;
}

/* --- the words --- */

static void append(char *word, const char *more) {
    const size_t at = strlen(word);
    snprintf(word + at, WORD - at, "%s", more);
}

static void append_queries(model *m) {
    for (int c = 0; c < m->consumers; c++)
        append(m->produce, (const char *[]){"0", "1", "2"}[c]);
}

/* A consumer's part of a tile of queries with n tiles of keys, of which it does
 * not see the first `hidden`. The place of the tile's before is given back
 * when `held`. */
static void append_consumer(model *m, char *word, int n, int hidden,
                            bool held) {
    const char *step = m->kept    ? m->turns ? "k(Kv)V" : "kKvV"
                       : m->ahead ? m->turns ? "k(v)KV" : "kvKV"
                       : m->turns ? "(k)KvV"
                                  : "kKvV";
    append(word, "q");
    for (int j = 0; j < hidden; j++) {
        append(word, "kKvV");
        if (m->turns && j < n - 1) append(word, "()");
    }
    if (m->ahead && hidden < n) append(word, m->kept ? "k" : "kK");
    if (held) append(word, "Q");
    for (int j = hidden + m->ahead; j < n; j++) append(word, step);
    if (m->ahead && hidden < n) append(word, m->kept ? "KvV" : "vV");
    if (m->depth[Q] == 1) append(word, "Q");
}

/* One tile of queries with n tiles of keys; the one after it has `next`, < 0:
 * there is none, which those that stay are told. */
static void append_tile(model *m, int n, int next) {
    const bool early = m->check->fault == FMHA_GPU_NEXT_QUERIES_FIRST;
    const bool begun = early && m->tiles > 0; /* its Q is there already */
    if (!m->ahead || !m->produce[0]) append(m->produce, n ? "tk" : "t");
    if (n && !begun) append_queries(m);
    for (int j = 1; j < n; j++) append(m->produce, m->ahead ? "kv" : "vk");
    if (m->ahead) append(m->produce, next > 0 ? "tk" : "t");
    if (n && early && next > 0) append_queries(m);
    if (n) append(m->produce, "v");
    for (int c = 0; c < m->consumers; c++) {
        const int hidden = m->ahead ? m->consumers - 1 - c : 0;
        append(m->consume[c], "t");
        if (n)
            append_consumer(m, m->consume[c], n, fmha_least(hidden, n),
                            m->depth[Q] > 1 && m->tiles > 0);
        append(m->consume[c], "T");
    }
    m->tiles += n > 0;
    for (int c = 0; m->ahead && next < 0 && c < m->consumers; c++)
        append(m->consume[c], "tT");
}

/* The depths of a model: of Q, K and V. */
typedef struct depths {
    int q, k, v;
} depths;

typedef enum step { IN_TURN, AHEAD, KEPT } step;

static bool explore(fmha_gpu_check *check, int consumers, depths d, step s,
                    const int *tiles, spak_error *err) {
    model m = {.check = check,
               .consumers = consumers,
               .depth = {d.q, d.q, d.q, d.k, d.v, 2},
               .ahead = s >= AHEAD,
               .kept = s == KEPT,
               .turns = consumers > 1};
    state first;
    for (int i = 0; tiles[i] >= 0; i++) append_tile(&m, tiles[i], tiles[i + 1]);
    memset(&first, 0, sizeof first);
    first.turn[0] = 1;
    for (int ring = 0; ring < RINGS; ring++)
        for (int at = 0; at < m.depth[ring]; at++) {
            first.full[ring][at].pending = 1;
            first.empty[ring][at].pending = (signed char)arrivals(&m, ring);
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

/* Depths of K and V up to three, one and two of Q; what matters of a longer
 * walk is that each ring goes round twice and more, both within a tile and
 * across. The last is the source's hint, two of K and five of V. */
bool fmha_gpu_check_pipeline(fmha_gpu_check *check, spak_error *err) {
    static const int walk[] = {3, 0, 1, 4, -1}, brief[] = {3, 1, -1};
    for (int i = 0; i < 27; i++) {
        const depths d = {i / 18 + 1, i % 3 + 1, i / 3 % 3 + 1};
        for (int consumers = 1; consumers <= 2; consumers++)
            if (!check->counterexample &&
                (!explore(check, consumers, d, i >= 9 ? AHEAD : IN_TURN, walk,
                          err) ||
                 (i >= 9 && d.k > 1 && !check->counterexample &&
                  !explore(check, consumers, d, KEPT, walk, err))))
                return false;
    }
    for (int i = 0; i < 4; i++) {
        const depths d = {1, i % 2 + 1, 2};
        if (!check->counterexample &&
            !explore(check, CONSUMERS, d, i >= 2 ? AHEAD : IN_TURN, brief, err))
            return false;
    }
    if (!check->counterexample &&
        !explore(check, CONSUMERS, (depths){1, 2, 2}, KEPT, brief, err))
        return false;
    return check->counterexample ||
           explore(check, 2, (depths){1, 2, 5}, AHEAD, walk, err);
}
