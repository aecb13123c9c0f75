/* The upper steps of the ladder: the loops of Goto and van de Geijn ("Anatomy
 * of High-Performance Matrix Multiplication", 2008), as BLIS arranges them,
 * around a micro-kernel that keeps a tile of C in registers.
 *
 *   for jc in n by nc        a block of B, kc x nc, packed into panels of nr
 * columns     lives in L3 for pc in k by kc for ic in m by mc    a block of A,
 * mc x kc, packed into panels of mr rows         lives in L2 for jr in nc by nr
 * one panel of B, kc x nr, is used for all rows of the block  lives in L1 for
 * ir in mc by mr    the micro-kernel: an mr x nr tile of C in registers
 *
 * With threads, the team packs a block of B together, and each thread then
 * computes its own rectangle of C: rows and columns are cut at panel borders
 * into a grid of threads. The k loop is never cut, so an element is always
 * summed by one thread in the same order, and the number of threads does not
 * change a bit of the result. Two buffers of packed B take turns, so that one
 * barrier a block is enough: whoever packs the next block writes the other
 * buffer. */
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "matmul/matmul.h"

static size_t min(size_t a, size_t b) { return a < b ? a : b; }
static size_t max(size_t a, size_t b) { return a > b ? a : b; }
static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

/* Part `index` of `parts` of 0..count: parts differ by one at most. */
static size_t share(size_t count, size_t index, size_t parts) {
    return count * index / parts;
}

/* The longest block when `total` is cut evenly into as few blocks of at most
 * `limit` as possible, in whole `unit`s: 1000 by 256 gives four times 250 and
 * not three times 256 and a rest. At least one unit. */
static size_t even_block(size_t total, size_t limit, size_t unit) {
    size_t units = ceil_div(total, unit),
           most = limit / unit ? limit / unit : 1;
    size_t blocks = units ? ceil_div(units, most) : 1;
    size_t block = ceil_div(units, blocks) * unit;
    return block ? block : unit;
}

/* A thread's part of C: rows row0..row1 in blocks of mc, and a column of the
 * grid, which is cut anew in each block of columns. */
typedef struct rectangle {
    size_t row0, row1, mc, column, grid_columns;
} rectangle;

/* The grid, thread rows x thread columns, such that one thread has the least to
 * do: the multiply-adds of its rectangle, and packing its rows of A, which each
 * column of threads does anew (an element costs about as much as PACK
 * multiply-adds of the micro-kernel). Rows are cut anywhere: the micro-kernel
 * of a few rows costs what its rows cost.
 */
static rectangle own_rectangle(const matmul_config *g, size_t m, size_t n,
                               int thread, int threads) {
    enum { PACK = 12 };
    const size_t mr = g->tile->mr, nr = g->tile->nr, team = (size_t)threads;
    size_t best = SIZE_MAX, grid_rows = 1;
    for (size_t rows = team; rows >= 1; rows--) {
        if (team % rows) continue;
        size_t load = ceil_div(m, rows) *
                      (ceil_div(ceil_div(n, nr), team / rows) * nr + PACK);
        if (load < best) best = load, grid_rows = rows;
    }
    rectangle own = {.grid_columns = team / grid_rows};
    size_t row = (size_t)thread / own.grid_columns;
    own.column = (size_t)thread % own.grid_columns;
    own.row0 = share(m, row, grid_rows);
    own.row1 = share(m, row + 1, grid_rows);
    own.mc = even_block(own.row1 - own.row0, g->mc, mr);
    return own;
}

/* The panels of one block of B that this thread packs: an even share. */
static void pack_own_panels_of_b(size_t nr, size_t n, size_t jc, size_t panels,
                                 int thread, int threads, matmul_slice s,
                                 const matmul_hooks *hooks) {
    size_t end = share(panels, (size_t)thread + 1, (size_t)threads);
    for (size_t jr = share(panels, (size_t)thread, (size_t)threads); jr < end;
         jr++) {
        s.j0 = jc + jr * nr;
        s.cols = min(nr, n - s.j0);
        s.b_at = jr * nr * s.kb;
        hooks->pack_b(hooks->ctx, thread, &s);
    }
}

/* Rows ic..ic1 of this slice of A, for this thread alone. */
static void pack_block_of_a(size_t mr, size_t ic, size_t ic1, int thread,
                            matmul_slice s, const matmul_hooks *hooks) {
    for (size_t ir = ic; ir < ic1; ir += mr) {
        s.i0 = ir;
        s.rows = min(mr, ic1 - ir);
        s.a_at = (ir - ic) * s.kb;
        hooks->pack_a(hooks->ctx, thread, &s);
    }
}

//> goto_loops
/* What thread `thread` of `threads` does. Five loops; the micro-kernel, behind
 * the hook `tile`, is the sixth. */
void matmul_goto_loops(const matmul_config *g, size_t m, size_t n, size_t k,
                       int thread, int threads, const matmul_hooks *hooks) {
    const size_t mr = g->tile->mr, nr = g->tile->nr;
    const size_t kc = even_block(k, g->kc, 4), nc = even_block(n, g->nc, nr);
    const rectangle own = own_rectangle(g, m, min(n, nc), thread, threads);
    matmul_slice s = {.buffer = 0};
    for (size_t jc = 0; jc < n; jc += nc)
        for (size_t pc = 0; pc < k || pc == 0; pc += kc) {
            const size_t panels = ceil_div(min(nc, n - jc), nr);
            s.p0 = pc, s.kb = min(kc, k - pc), s.first = pc == 0;
            pack_own_panels_of_b(nr, n, jc, panels, thread, threads, s, hooks);
            hooks->barrier(hooks->ctx);
            const size_t j0 = share(panels, own.column, own.grid_columns);
            const size_t j1 = share(panels, own.column + 1, own.grid_columns);
            for (size_t ic = own.row0; ic < own.row1; ic += own.mc) {
                const size_t ic1 = min(ic + own.mc, own.row1);
                pack_block_of_a(mr, ic, ic1, thread, s, hooks);
                s.turns = ceil_div(ic1 - ic, mr);
                for (size_t jr = j0; jr < j1; jr++) {
                    s.j0 = jc + jr * nr, s.cols = min(nr, n - s.j0);
                    s.b_at = jr * nr * s.kb;
                    s.b_next = (jr + 1 < j1 ? jr + 1 : j0) * nr * s.kb;
                    for (s.turn = 0; s.turn < s.turns; s.turn++) {
                        s.i0 = ic + s.turn * mr, s.rows = min(mr, ic1 - s.i0);
                        s.a_at = s.turn * mr * s.kb;
                        hooks->tile(hooks->ctx, thread, &s);
                    }
                }
            }
            s.buffer ^= threads > 1;
        }
}
//< goto_loops

/* --- the plan: buffers and threads --- */

struct matmul_plan {
    matmul_config config;
    const matmul_isa_kernels *kernels;
    dev_pool *pool, *own_pool; /* own_pool: NULL when others use it too */
    int threads;
    void *raw;     /* one allocation for all buffers */
    float *pack_a; /* threads blocks of a_size */
    float *pack_b; /* 2 blocks of b_size (1 with a single thread) */
    size_t a_size, b_size;
    size_t bytes; /* of raw */
};

enum { HUGE = 2 << 20, LINE = 64 };

static size_t round_up(size_t bytes, size_t to) {
    return ceil_div(bytes, to) * to;
}

/* Packed blocks are walked panel by panel with large strides between panels;
 * pages of 2 MiB, where the system grants them, keep the address translation
 * out of the way. */
static bool allocate(matmul_plan *plan, size_t a_floats, size_t b_floats,
                     size_t a_blocks, size_t b_blocks) {
    /* An odd number of lines between blocks, so that two threads' blocks do not
     * fall into the same cache sets. */
    size_t a_bytes = round_up(a_floats * sizeof(float), LINE) + LINE,
           b_bytes = round_up(b_floats * sizeof(float), LINE);
    size_t total = a_bytes * a_blocks + b_bytes * b_blocks,
           align = total >= HUGE ? HUGE : LINE;
    plan->bytes = total + align;
    plan->raw = spak_malloc(plan->bytes);
    if (!plan->raw) return false;
    char *start =
        (char *)(((uintptr_t)plan->raw + align - 1) & ~(uintptr_t)(align - 1));
#ifdef MADV_HUGEPAGE
    if (align == HUGE) madvise(start, total / HUGE * HUGE, MADV_HUGEPAGE);
#endif
    plan->pack_b = (float *)start;
    plan->b_size = b_bytes / sizeof(float);
    plan->pack_a = plan->pack_b + plan->b_size * b_blocks;
    plan->a_size = a_bytes / sizeof(float);
    return true;
}

bool matmul_plan_new_on(const matmul_config *config, dev_pool *pool,
                        int threads, matmul_plan **out, spak_error *err) {
    *out = NULL;
    matmul_plan *plan = spak_calloc(1, sizeof *plan);
    if (!plan) return spak_fail_oom(err);
    plan->config = *config;
    plan->threads = config->variant == MATMUL_THREADS ? threads : 1;
    bool tiled = config->variant >= MATMUL_REGISTER_TILE,
         packs = config->variant >= MATMUL_PACKED;
    plan->kernels = tiled ? matmul_isa(config->isa) : NULL;
    size_t kc = max(config->kc, 4),
           mc = max(config->mc, tiled ? config->tile->mr : 1),
           nc = max(config->nc, tiled ? config->tile->nr : 1),
           n = (size_t)plan->threads;
    if (packs && !allocate(plan, mc * kc, nc * kc, n, n > 1 ? 2 : 1)) {
        matmul_plan_free(plan);
        return spak_fail_oom(err);
    }
    const bool shared = pool && config->variant == MATMUL_THREADS;
    if (!shared && !dev_pool_new(plan->threads, &plan->own_pool, err)) {
        matmul_plan_free(plan);
        return false;
    }
    plan->pool = shared ? pool : plan->own_pool;
    *out = plan;
    return true;
}

bool matmul_plan_new(const matmul_config *config, int threads,
                     matmul_plan **plan, spak_error *err) {
    return matmul_plan_new_on(config, NULL, threads, plan, err);
}

size_t matmul_plan_allocated(const matmul_plan *plan) { return plan->bytes; }

void matmul_plan_free(matmul_plan *plan) {
    if (!plan) return;
    dev_pool_free(plan->own_pool);
    spak_free(plan->raw);
    spak_free(plan);
}

/* --- what the real kernel hangs on the hooks --- */

typedef struct job {
    matmul_plan *plan;
    const matmul_args *x;
} job;

static void pack_b(void *ctx, int thread, const matmul_slice *s) {
    (void)thread;
    const job *j = ctx;
    const matmul_args *x = j->x;
    matmul_strides sb = matmul_strides_b(x);
    matmul_pack *pack = x->trans_b ? j->plan->kernels->pack_transpose
                                   : j->plan->kernels->pack_copy;
    pack(j->plan->pack_b + (size_t)s->buffer * j->plan->b_size + s->b_at,
         j->plan->config.tile->nr, x->b + s->p0 * sb.row + s->j0 * sb.column,
         x->ldb, s->kb, s->cols);
}

static void pack_a(void *ctx, int thread, const matmul_slice *s) {
    const job *j = ctx;
    const matmul_args *x = j->x;
    matmul_strides sa = matmul_strides_a(x);
    matmul_pack *pack = x->trans_a ? j->plan->kernels->pack_copy
                                   : j->plan->kernels->pack_transpose;
    pack(j->plan->pack_a + (size_t)thread * j->plan->a_size + s->a_at,
         j->plan->config.tile->mr, x->a + s->i0 * sa.row + s->p0 * sa.column,
         x->lda, s->kb, s->rows);
}

/* Each of the tiles that use a panel of B prefetches its share of the next one,
 * spread over the micro-kernel's turns: the block of B lies in a far cache, and
 * the first tile of a panel would otherwise wait for every line of it. */
static void tile(void *ctx, int thread, const matmul_slice *s) {
    const job *j = ctx;
    const matmul_plan *plan = j->plan;
    const float *block_of_b = plan->pack_b + (size_t)s->buffer * plan->b_size;
    const size_t share_of_next =
        s->kb * plan->config.tile->nr * sizeof(float) / s->turns;
    matmul_panels panels = {
        .kb = s->kb,
        .a = plan->pack_a + (size_t)thread * plan->a_size + s->a_at,
        .b = block_of_b + s->b_at,
        .accumulate = !s->first || j->x->accumulate,
        .ahead = plan->config.prefetch,
        .next =
            (const char *)(block_of_b + s->b_next) + s->turn * share_of_next,
        .next_stride = share_of_next / (s->kb / 4 + 1) + 1,
    };
    plan->config.tile->micro(&panels, j->x->c + s->i0 * j->x->ldc + s->j0,
                             j->x->ldc, s->rows, s->cols);
}

static void barrier(void *ctx) { dev_pool_barrier(((job *)ctx)->plan->pool); }

//> threads
/* Every thread walks the same loops and keeps to its own rectangle of C. No two
 * threads write the same element, none reads what another computes but the
 * packed block of B, and a barrier stands between its writers and its readers:
 * there is nothing else to agree on. */
static void walk_as_one(void *arg, int thread, int threads) {
    job *j = arg;
    matmul_hooks hooks = {pack_a, pack_b, tile, barrier, j};
    matmul_goto_loops(&j->plan->config, j->x->m, j->x->n, j->x->k, thread,
                      threads, &hooks);
}
//< threads

void matmul_run(matmul_plan *plan, const matmul_args *x) {
    const matmul_config *g = &plan->config;
    if (x->m == 0 || x->n == 0) return;
    switch (g->variant) {
        case MATMUL_NAIVE: matmul_naive(x); break;
        case MATMUL_LOOP_ORDER: matmul_loop_order(x); break;
        case MATMUL_BLOCKED: matmul_blocked(x, g->mc, g->kc, g->nc); break;
        case MATMUL_PACKED:
            matmul_packed(x, g->mc, g->kc, g->nc, plan->pack_a, plan->pack_b);
            break;
        default: dev_pool_run(plan->pool, walk_as_one, &(job){plan, x});
    }
}
