/* The operator tables with a fault planted, and with a clock around each operator.
 *
 * A table is one of nn_cpu and nn_oracle, the base, seen through functions that pass each call on. Where a fault lies
 * in what one operator does, it is made here, so that the model, its backward pass, the decoder and the optimiser that
 * are tried are the ones that train. A context knows its base and its fault: there is one open function for each fault,
 * and nothing that one model does changes another. With a pair of clock readings a call costs about 50 ns more. */
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "nn/model.h"
#include "nn/nanogpt_gate.h"

enum which {
    EMBED,
    EMBED_BACKWARD,
    NORM,
    NORM_BACKWARD,
    LINEAR,
    LINEAR_BACKWARD,
    ACT,
    ACT_BACKWARD,
    ATTENTION,
    ATTENTION_BACKWARD,
    ADD,
    CROSS_ENTROPY,
    ADAMW,
    OTHER
};
static const char *const clock_names[NANOGPT_CLOCKS] = {"embedding", "embedding, backward",
                                                        "LayerNorm", "LayerNorm, backward",
                                                        "linear",    "linear, backward",
                                                        "GELU",      "GELU, backward",
                                                        "attention", "attention, backward",
                                                        "residual",  "cross-entropy",
                                                        "AdamW",     "clearing, copying, dropout, sums"};

struct nn_ctx {
    const nn_ops *base;
    nn_ctx *inner;
    nanogpt_fault fault;
    size_t vocab;
    int threads;
    bool backward; /* since the last loss */
    float decay;   /* of the last matrix */
    int32_t *ids;  /* (rows): ids that a fault has changed */
    uint64_t ns[NANOGPT_CLOCKS], calls[NANOGPT_CLOCKS];
};

#define FAULTY(name) (c->fault == NANOGPT_FAULT_##name)
#define TIMED(which, call)                      \
    do {                                        \
        const uint64_t begun_ = spak_now_ns();  \
        call;                                   \
        c->ns[which] += spak_now_ns() - begun_; \
        c->calls[which]++;                      \
    } while (0)

/* --- life and memory --- */

static void table_close(nn_ctx *c) {
    if (!c) return;
    c->base->close(c->inner);
    spak_free(c->ids);
    spak_free(c);
}

static bool open_on(const nn_ops *base, nanogpt_fault fault, const nn_limits *limits, nn_ctx **out, spak_error *err) {
    *out = NULL;
    nn_ctx *c = spak_calloc(1, sizeof *c);
    if (!c) return spak_fail_oom(err);
    c->base = base;
    c->fault = fault;
    c->vocab = limits->vocab;
    c->threads = limits->threads;
    c->ids = spak_malloc((limits->rows + 1) * sizeof *c->ids);
    if (!(c->ids ? base->open(limits, &c->inner, err) : spak_fail_oom(err))) {
        table_close(c);
        return false;
    }
    *out = c;
    return true;
}

static size_t table_scratch_bytes(const nn_ctx *c) { return c->base->scratch_bytes(c->inner); }
static void *table_alloc(nn_ctx *c, size_t bytes) { return c->base->alloc(c->inner, bytes); }
static void table_free(nn_ctx *c, void *memory) { c->base->free(c->inner, memory); }
static void table_put(nn_ctx *c, void *to, const double *from, size_t n) { c->base->put(c->inner, to, from, n); }
static void table_get(nn_ctx *c, double *to, const void *from, size_t n) { c->base->get(c->inner, to, from, n); }
static void table_put_f32(nn_ctx *c, void *to, const float *from, size_t n) { c->base->put_f32(c->inner, to, from, n); }
static void table_get_f32(nn_ctx *c, float *to, const void *from, size_t n) { c->base->get_f32(c->inner, to, from, n); }

static void table_copy(nn_ctx *c, void *to, const void *from, size_t n) {
    TIMED(OTHER, c->base->copy(c->inner, to, from, n));
}
static void table_zero(nn_ctx *c, void *x, size_t n) { TIMED(OTHER, c->base->zero(c->inner, x, n)); }

/* --- rows --- */

static void table_embed(nn_ctx *c, void *out, const int32_t *ids, const void *table, size_t rows, size_t width,
                        bool add) {
    if (!add) c->backward = false; /* a forward pass begins with the tokens */
    if (FAULTY(cache_positions_shifted) && add && rows && ids[0] > 0) {
        for (size_t i = 0; i < rows; i++) c->ids[i] = ids[i] - 1;
        ids = c->ids;
    }
    TIMED(EMBED, c->base->embed(c->inner, out, ids, table, rows, width, add));
}

static void table_embed_backward(nn_ctx *c, void *dtable, const int32_t *ids, const void *dout, size_t rows,
                                 size_t width, size_t vocab) {
    const bool tokens = vocab == c->vocab;
    if (tokens ? FAULTY(tied_table_learns_from_head_alone) : FAULTY(positions_do_not_learn)) return;
    if (FAULTY(token_gradient_overwritten) && tokens) {
        for (size_t i = 0; i < rows; i++) {
            c->ids[i] = ids[i];
            for (size_t later = i + 1; later < rows; later++)
                if (ids[later] == ids[i]) c->ids[i] = -1;
        }
        ids = c->ids;
    }
    TIMED(EMBED_BACKWARD, c->base->embed_backward(c->inner, dtable, ids, dout, rows, width, vocab));
}

static void table_norm(nn_ctx *c, nn_norm_kind kind, void *y, void *stat, const void *x, const void *gamma,
                       const void *beta, size_t rows, size_t width, float eps) {
    if (FAULTY(layernorm_without_mean)) kind = NN_RMSNORM;
    if (FAULTY(layernorm_of_another_eps)) eps = 1e-3f;
    if (FAULTY(layernorm_beta_dropped)) beta = NULL;
    TIMED(NORM, c->base->norm(c->inner, kind, y, stat, x, gamma, beta, rows, width, eps));
}

static void table_norm_backward(nn_ctx *c, nn_norm_kind kind, void *dx, void *dgamma, void *dbeta, const void *dy,
                                const void *x, const void *stat, const void *gamma, size_t rows, size_t width) {
    if (FAULTY(residual_gradient_dropped)) c->base->zero(c->inner, dx, rows * width);
    TIMED(NORM_BACKWARD, c->base->norm_backward(c->inner, kind, dx, dgamma, dbeta, dy, x, stat, gamma, rows, width));
}

static void table_act(nn_ctx *c, nn_act_kind kind, void *y, const void *x, size_t rows, size_t width) {
    if (FAULTY(gelu_by_tanh)) kind = NN_GELU_TANH;
    TIMED(ACT, c->base->act(c->inner, kind, y, x, rows, width));
}

static void table_act_backward(nn_ctx *c, nn_act_kind kind, void *dx, const void *dy, const void *x, size_t rows,
                               size_t width) {
    if (FAULTY(gelu_by_tanh)) kind = NN_GELU_TANH;
    if (FAULTY(gelu_backward_is_relus)) kind = NN_RELU;
    TIMED(ACT_BACKWARD, c->base->act_backward(c->inner, kind, dx, dy, x, rows, width));
}

static void table_rope(nn_ctx *c, nn_rope_pairing pairing, void *x, const int32_t *positions, size_t rows, size_t heads,
                       size_t head_dim, size_t stride, float base, bool inverse) {
    TIMED(OTHER, c->base->rope(c->inner, pairing, x, positions, rows, heads, head_dim, stride, base, inverse));
}

static void table_cross_entropy(nn_ctx *c, void *losses, void *dlogits, const void *logits, const int32_t *targets,
                                size_t rows, size_t vocab, float smoothing, float weight) {
    c->backward = dlogits != NULL;
    if (FAULTY(loss_not_averaged)) weight = 1;
    TIMED(CROSS_ENTROPY,
          c->base->cross_entropy(c->inner, losses, dlogits, logits, targets, rows, vocab, smoothing, weight));
}

static void table_argmax(nn_ctx *c, int32_t *best, void *confidence, const void *logits, size_t rows, size_t vocab) {
    TIMED(OTHER, c->base->argmax(c->inner, best, confidence, logits, rows, vocab));
}

/* --- products --- */

static void table_linear(nn_ctx *c, void *y, const void *x, const void *w, const void *bias, size_t rows, size_t in,
                         size_t out) {
    TIMED(LINEAR, c->base->linear(c->inner, y, x, w, bias, rows, in, out));
}

static void table_linear_backward(nn_ctx *c, void *dx, bool add_dx, void *dw, void *dbias, const void *dy,
                                  const void *x, const void *w, size_t rows, size_t in, size_t out) {
    TIMED(LINEAR_BACKWARD, c->base->linear_backward(c->inner, dx, add_dx, dw, dbias, dy, x, w, rows, in, out));
}

/* What a fault makes of a shape of attention. */
static nn_attention seen(const nn_ctx *c, const nn_attention *a) {
    nn_attention b = *a;
    if (FAULTY(mask_missing)) b.causal = false;
    if (FAULTY(dropout_by_threads)) b.seed += (uint64_t)c->threads;
    return b;
}

static void table_attention(nn_ctx *c, const nn_attention *a, nn_heads o, void *lse, nn_heads q, nn_heads k,
                            nn_heads v) {
    nn_attention b = seen(c, a);
    if (FAULTY(cache_forgets_first) && b.q_len < b.kv_len) {
        k.data = nn_at(c->base, k.data, k.stride);
        v.data = nn_at(c->base, v.data, v.stride);
        b.kv_len--;
    }
    TIMED(ATTENTION, c->base->attention(c->inner, &b, o, lse, q, k, v));
}

static void table_attention_backward(nn_ctx *c, const nn_attention *a, nn_heads dq, nn_heads dk, nn_heads dv,
                                     nn_heads d_o, nn_heads q, nn_heads k, nn_heads v, nn_heads o, const void *lse) {
    const nn_attention b = seen(c, a);
    TIMED(ATTENTION_BACKWARD, c->base->attention_backward(c->inner, &b, dq, dk, dv, d_o, q, k, v, o, lse));
    if (FAULTY(attention_gradient_stops)) c->base->zero(c->inner, dq.data, b.batch * b.q_len * dq.stride);
}

/* --- elements --- */

static void table_add(nn_ctx *c, void *out, const void *a, const void *b, size_t n) {
    TIMED(ADD, c->base->add(c->inner, out, a, b, n));
}

static void table_dropout(nn_ctx *c, void *x, size_t n, float rate, uint64_t seed, uint64_t stream) {
    if (FAULTY(dropout_redrawn_backward) && c->backward) seed++;
    if (FAULTY(dropout_by_threads)) seed += (uint64_t)c->threads;
    TIMED(OTHER, c->base->dropout(c->inner, x, n, rate, seed, stream));
}

static double table_sum(nn_ctx *c, const void *x, size_t n) {
    double sum;
    TIMED(OTHER, sum = c->base->sum(c->inner, x, n));
    return sum;
}

static double table_sum_squares(nn_ctx *c, const void *x, size_t n) {
    double sum;
    TIMED(OTHER, sum = c->base->sum_squares(c->inner, x, n));
    return sum;
}

static void table_adamw(nn_ctx *c, void *param, void *m, void *v, const void *grad, size_t n, const nn_adamw *given) {
    //> faults
    nn_adamw a = *given;
    if (a.decay != 0) c->decay = a.decay;
    if (FAULTY(decay_on_vectors)) a.decay = c->decay;
    if (FAULTY(clipping_left_out)) a.grad_scale = 1;
    if (FAULTY(adam_without_bias_correction)) a.step = 1 << 20;
    TIMED(ADAMW, c->base->adamw(c->inner, param, m, v, grad, n, &a));
    //< faults
}

static void table_gather(nn_ctx *c, void *out, const void *x, const int32_t *rows_at, size_t rows, size_t width) {
    TIMED(OTHER, c->base->gather(c->inner, out, x, rows_at, rows, width));
}
static void table_scatter(nn_ctx *c, void *out, const void *x, const int32_t *rows_at, size_t rows, size_t width) {
    TIMED(OTHER, c->base->scatter(c->inner, out, x, rows_at, rows, width));
}

/* --- the tables --- */

#define OPEN(fault, of)                                                                    \
    static bool open_cpu_##of(const nn_limits *limits, nn_ctx **ctx, spak_error *err) {    \
        return open_on(&nn_cpu, fault, limits, ctx, err);                                  \
    }                                                                                      \
    static bool open_oracle_##of(const nn_limits *limits, nn_ctx **ctx, spak_error *err) { \
        return open_on(&nn_oracle, fault, limits, ctx, err);                               \
    }
#define OPEN_FAULTY(of, what) OPEN(NANOGPT_FAULT_##of, of)
OPEN(NANOGPT_SOUND, sound)
NANOGPT_FAULTS(OPEN_FAULTY)

#define TABLE(table_name, bytes, table_open)                                                                          \
    {                                                                                                                 \
        .name = table_name, .elem = bytes, .open = table_open, .close = table_close,                                  \
        .scratch_bytes = table_scratch_bytes, .alloc = table_alloc, .free = table_free, .put = table_put,             \
        .get = table_get, .put_f32 = table_put_f32, .get_f32 = table_get_f32, .copy = table_copy, .zero = table_zero, \
        .embed = table_embed, .embed_backward = table_embed_backward, .norm = table_norm,                             \
        .norm_backward = table_norm_backward, .linear = table_linear, .linear_backward = table_linear_backward,       \
        .act = table_act, .act_backward = table_act_backward, .rope = table_rope, .attention = table_attention,       \
        .attention_backward = table_attention_backward, .add = table_add, .dropout = table_dropout,                   \
        .cross_entropy = table_cross_entropy, .argmax = table_argmax, .sum = table_sum,                               \
        .sum_squares = table_sum_squares, .adamw = table_adamw, .gather = table_gather, .scatter = table_scatter      \
    }
#define CPU_TABLE(of, what)    TABLE("cpu", sizeof(float), open_cpu_##of),
#define ORACLE_TABLE(of, what) TABLE("oracle", sizeof(double), open_oracle_##of),
static const nn_ops cpu_tables[NANOGPT_NUM_FAULTS] = {CPU_TABLE(sound, ) NANOGPT_FAULTS(CPU_TABLE)};
static const nn_ops oracle_tables[NANOGPT_NUM_FAULTS] = {ORACLE_TABLE(sound, ) NANOGPT_FAULTS(ORACLE_TABLE)};

const nn_ops *nanogpt_table(const nn_ops *base, nanogpt_fault fault) {
    return base == &nn_oracle ? &oracle_tables[fault] : &cpu_tables[fault];
}

#define DESCRIBE(name, what) {#name, what},
const dev_fault nanogpt_faults[NANOGPT_NUM_FAULTS - 1] = {NANOGPT_FAULTS(DESCRIBE)};

/* --- the clocks --- */

void nanogpt_clocks_reset(nn_model *model) {
    memset(model->ctx->ns, 0, sizeof model->ctx->ns);
    memset(model->ctx->calls, 0, sizeof model->ctx->calls);
}

void nanogpt_clocks_read(const nn_model *model, nanogpt_clock clocks[NANOGPT_CLOCKS]) {
    for (int i = 0; i < NANOGPT_CLOCKS; i++)
        clocks[i] = (nanogpt_clock){clock_names[i], (double)model->ctx->ns[i] * 1e-6, model->ctx->calls[i]};
}
