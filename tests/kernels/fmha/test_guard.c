/* No byte outside the tensors is read or written: each lies against a page that nobody may touch, once with its end at
 * the page after it, once with its beginning at the page before. The kernel runs in a child process, so that a fault of
 * the processor is a failed test and not the end of it. Two kernels that reach outside are seen to be caught. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tap.h"
#include "base/rng.h"
#include "fmha/invariants.h"
#include "plain.h"

enum { Q, K, V, O, D_O, DQ, DK, DV, LSE, TENSORS };

typedef struct guarded {
    char *base;
    size_t size;
    float *data;
} guarded;

static bool guard(guarded *g, size_t floats, bool at_end) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = floats * sizeof(float);
    size_t inner = (bytes + page - 1) / page * page;
    g->size = inner + 2 * page;
    g->base = mmap(NULL, g->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->base == MAP_FAILED) return false;
    if (inner && mprotect(g->base + page, inner, PROT_READ | PROT_WRITE) != 0) return false;
    g->data = (float *)(g->base + page + (at_end ? inner - bytes : 0));
    return true;
}

/* Rows have gaps but for the last one, which ends with its last element. */
typedef struct lay {
    size_t batch, head, row, floats;
} lay;

static lay lay_of(size_t batches, size_t heads, size_t len, size_t dim, bool tokens) {
    lay l = {.row = dim + 3, .head = len * (dim + 3), .batch = heads * len * (dim + 3)};
    if (tokens) l = (lay){.row = heads * dim, .head = dim, .batch = len * heads * dim};
    l.floats = len ? (batches - 1) * l.batch + (heads - 1) * l.head + (len - 1) * l.row + dim : 0;
    return l;
}

typedef struct tensors {
    guarded t[TENSORS];
    fmha_forward_args f;
    fmha_backward_args b;
} tensors;

static fmha_in in_of(const guarded *g, const lay *l) { return (fmha_in){g->data, l->batch, l->head, l->row}; }
static fmha_out out_of(const guarded *g, const lay *l) { return (fmha_out){g->data, l->batch, l->head, l->row}; }

static bool make_tensors(tensors *x, const fmha_shape *s, bool tokens, bool at_end) {
    lay q = lay_of(s->batch, s->heads, s->q_len, s->head_dim, tokens),
        k = lay_of(s->batch, s->kv_heads, s->kv_len, s->head_dim, tokens);
    for (int i = 0; i < TENSORS; i++) {
        bool of_keys = i == K || i == V || i == DK || i == DV;
        size_t floats = i == LSE ? s->batch * s->heads * s->q_len : of_keys ? k.floats : q.floats;
        if (!guard(&x->t[i], floats, at_end)) return false;
        spak_philox_fill_normal(x->t[i].data, floats, 0, 1, 9, (uint64_t)i);
    }
    x->f = (fmha_forward_args){in_of(&x->t[Q], &q), in_of(&x->t[K], &k), in_of(&x->t[V], &k), out_of(&x->t[O], &q),
                               x->t[LSE].data};
    x->b = (fmha_backward_args){x->f.q,
                                x->f.k,
                                x->f.v,
                                in_of(&x->t[O], &q),
                                in_of(&x->t[D_O], &q),
                                x->t[LSE].data,
                                out_of(&x->t[DQ], &q),
                                out_of(&x->t[DK], &k),
                                out_of(&x->t[DV], &k)};
    return true;
}

static void drop(tensors *x) {
    for (int i = 0; i < TENSORS; i++) munmap(x->t[i].base, x->t[i].size);
}

typedef bool run_fn(void *ctx, const fmha_config *config, const fmha_shape *shape, int threads,
                    const fmha_forward_args *f, const fmha_backward_args *b, spak_error *err);

static bool run_plan(void *ctx, const fmha_config *config, const fmha_shape *shape, int threads,
                     const fmha_forward_args *f, const fmha_backward_args *b, spak_error *err) {
    fmha_plan *plan;
    (void)ctx;
    if (!fmha_plan_new(config, shape, threads, 0, &plan, err)) return false;
    fmha_forward(plan, f);
    fmha_backward(plan, b);
    fmha_plan_free(plan);
    return true;
}

static volatile float sink;

/* Sound results, and one look at what lies after the last key. */
static bool looks_past(void *ctx, const fmha_config *config, const fmha_shape *shape, int threads,
                       const fmha_forward_args *f, const fmha_backward_args *b, spak_error *err) {
    size_t last = (shape->batch - 1) * f->k.batch + (shape->kv_heads - 1) * f->k.head + (shape->kv_len - 1) * f->k.row;
    if (shape->kv_len) sink = f->k.data[last + shape->head_dim];
    return plain_run(ctx, config, shape, threads, f, b, err);
}

static bool looks_before(void *ctx, const fmha_config *config, const fmha_shape *shape, int threads,
                         const fmha_forward_args *f, const fmha_backward_args *b, spak_error *err) {
    sink = b->d_o.data[-1];
    return plain_run(ctx, config, shape, threads, f, b, err);
}

/* The decisive shapes: less than a vector, one off a tile, one head_dim that no vector divides, no key. */
static const fmha_shape shapes[] = {{1, 2, 1, 17, 33, 24, true, 0},  {2, 2, 2, 1, 1, 1, false, 0},
                                    {1, 4, 2, 65, 127, 33, true, 0}, {1, 1, 1, 13, 257, 64, false, 0},
                                    {2, 1, 1, 40, 13, 7, true, 0},   {1, 1, 1, 5, 0, 16, false, 0}};
enum { SHAPES = sizeof shapes / sizeof *shapes, COULD_NOT_RUN = 42 };

static void child(run_fn *run, void *ctx, const fmha_subject *subject) {
    int quiet = open("/dev/null", O_WRONLY);
    if (quiet >= 0) dup2(quiet, STDERR_FILENO); /* a sanitizer's report of an expected fault */
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    fmha_check check = {.subject = subject};
    for (int s = 0; s < SHAPES; s++)
        for (int turn = 0; turn < 4; turn++)
            for (int index = 0; index < 10; index++) {
                tensors x;
                spak_error err = {""};
                fmha_config config = fmha_config_at(&check, index, (fmha_dtype)(index % 3));
                if (!make_tensors(&x, &shapes[s], turn & 1, turn & 2)) _exit(COULD_NOT_RUN);
                if (!run(ctx, &config, &shapes[s], 2, &x.f, &x.b, &err)) _exit(COULD_NOT_RUN);
                drop(&x);
            }
    _exit(0);
}

/* The child's exit status, or -1 when a fault ended it. */
static int in_child(run_fn *run, void *ctx) {
    fmha_subject all = {.fused_only = false};
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) child(run, ctx, &all);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return COULD_NOT_RUN;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void) {
    plain_fault sound = PLAIN_SOUND;
    is_int(in_child(run_plan, NULL), 0, "no kernel touches memory outside its tensors");
    is_int(in_child(plain_run, &sound), 0, "nor does the plain one");
    int past = in_child(looks_past, &sound), before = in_child(looks_before, &sound);
    ok(past != 0 && past != COULD_NOT_RUN, "one that reads past the last key is caught");
    ok(before != 0 && before != COULD_NOT_RUN, "and one that reads before dO");
    return done_testing();
}
