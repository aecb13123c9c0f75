/* One token at a time, with a cache of keys and values for every pass (a layer of a loop).
 *
 * The model is causal, so a call's tokens may be fed a piece at a time, each piece through all loops before the next:
 * later tokens change nothing for earlier ones. That bounds the memory of a long prompt. A piece is (batch, len) rows;
 * x holds their states, and a loop works on the rows that still think, gathered.
 *
 * Halting (Wait-to-Think). After each loop but the last, the head looks at the state of each row that still thinks.
 * Where the probability of its best token has come to the row's threshold, the row halts: its state x is frozen and is
 * what the head sees at the end, and loops_spent is the number of loops so far. The row's threshold is `threshold`
 * before the sequence's first token `thinking_from` and `thinking_threshold` from that token on.
 *
 * Rows that think on still attend to it. In a later loop its keys and values are those that the loop would begin with:
 * of the frozen state, with x0 injected and normalised where the model does so, for every layer. Loops differ in
 * nothing else, so these are the same in all later loops: they are computed once, when the row halts, and copied into
 * the caches of all loops to come. In a model of one layer they are, in the next loop, exactly those that the row would
 * have had without halting. From then on the row costs nothing. */
#include <string.h>

#include "base/alloc.h"
#include "nn/model.h"

enum { PIECE_ROWS = 1024 }; /* of a piece of a prompt, or one token of every sequence where these are more */

struct nn_decoder {
    const nn_model *m;
    nn_ctx *ctx;
    nn_halting halting;
    size_t batch, loops, piece, chunk; /* piece: most tokens of a sequence at once; chunk: rows of logits at a time */
    size_t used;                       /* tokens of each sequence in the caches */

    void *arena;
    void *caches;               /* (passes, batch, context, 2 kv width): K, then V */
    void *x, *x0;               /* (rows, width): states and embeddings of the piece */
    void *base, *q, *kv;        /* of the rows at work: (n, width), (n, width), (n, 2 kv width) */
    nn_pass work;               /* in and out are one array: a block reads in before it writes out */
    void *final, *logits, *top; /* (rows, width), (chunk, vocab), (rows): confidence on the device */

    void *host;                      /* what follows, of the host */
    int32_t *tokens;                 /* (rows) of the piece, and so on */
    int32_t *kinds, *index, *places; /* places: positions */
    int32_t *spent, *best;
    float *confidence;
    bool *row_thinks;
    int32_t *rows, *halted;       /* rows at work, in order; those that halt now */
    int32_t *cache_at, *rope_ids; /* of the rows at work */
    int32_t *past_index;          /* (batch, context) */
    int32_t *kv_index;            /* (batch, used + len), dense */
    bool *thinks;                 /* (batch): thinking_from has come */
};

/* --- memory --- */

static size_t num_passes(const nn_decoder *d) { return d->loops * d->m->config.layers; }

static void lay_out(nn_decoder *d, nn_layout *l) {
    const nn_config *c = &d->m->config;
    size_t rows = d->batch * d->piece;
    d->caches = nn_take(l, num_passes(d) * d->batch, c->context * 2 * nn_kv_width(c));
    d->x = nn_take(l, rows, c->width);
    d->x0 = c->inject ? nn_take(l, rows, c->width) : NULL;
    d->base = nn_take(l, rows, c->width);
    d->q = nn_take(l, rows, c->width);
    d->kv = nn_take(l, rows, 2 * nn_kv_width(c));
    d->work.in = d->work.out = nn_take(l, rows, c->width);
    d->work.n1 = d->work.n2 = nn_take(l, rows, c->width);
    d->work.stat1 = d->work.stat2 = nn_take(l, rows, 2);
    d->work.heads = nn_take(l, rows, c->width);
    d->work.lse = nn_take(l, rows, c->heads);
    d->work.mid = nn_take(l, rows, c->width);
    d->work.up = nn_take(l, rows, nn_up_width(c));
    d->work.act = nn_take(l, rows, c->hidden);
    d->final = nn_take(l, rows, c->width);
    d->logits = nn_take(l, d->chunk, c->vocab);
    d->top = nn_take(l, rows, 1);
}

static void lay_out_host(nn_decoder *d, nn_layout *l) {
    size_t rows = d->batch * d->piece, past = d->batch * d->m->config.context;
    int32_t **of_rows[] = {&d->tokens, &d->kinds, &d->index,  &d->places,   &d->spent,
                           &d->best,   &d->rows,  &d->halted, &d->cache_at, &d->rope_ids};
    for (size_t i = 0; i < sizeof of_rows / sizeof *of_rows; i++) *of_rows[i] = nn_take(l, rows, 1);
    d->confidence = nn_take(l, rows, 1);
    d->row_thinks = nn_take(l, rows, 1);
    d->thinks = nn_take(l, d->batch, 1);
    d->past_index = nn_take(l, past, 1);
    d->kv_index = nn_take(l, past, 1);
}

static bool open_ctx(nn_decoder *d, spak_error *err) {
    const nn_config *c = &d->m->config;
    const nn_attention shape = {.batch = d->batch,
                                .q_len = d->piece,
                                .kv_len = c->context,
                                .heads = c->heads,
                                .kv_heads = c->kv_heads,
                                .head_dim = nn_head_dim(c),
                                .causal = true,
                                .window = c->window,
                                .slope = c->slope};
    const nn_limits limits = {.threads = d->m->threads,
                              .rows = d->batch * d->piece,
                              .width = nn_widest(c),
                              .vocab = c->vocab,
                              .num_attentions = 1,
                              .attentions = &shape};
    return d->m->ops->open(&limits, &d->ctx, err);
}

static bool take_all(nn_decoder *d, spak_error *err) {
    nn_layout l = {.elem = d->m->ops->elem}, host = {.elem = sizeof(int32_t)};
    lay_out(d, &l);
    lay_out_host(d, &host);
    if (l.overflow || host.overflow)
        return spak_fail(err, "the caches of %zu sequences of %zu tokens take more memory than there are addresses",
                         d->batch, d->m->config.context);
    if (!open_ctx(d, err)) return false;
    d->arena = d->m->ops->alloc(d->ctx, l.bytes);
    d->host = spak_calloc(1, host.bytes);
    if (!d->arena || !d->host)
        return spak_fail(err, "out of memory: the decoder's caches and states take %zu bytes", l.bytes + host.bytes);
    l = (nn_layout){.arena = d->arena, .elem = d->m->ops->elem};
    host = (nn_layout){.arena = d->host, .elem = sizeof(int32_t)};
    lay_out(d, &l);
    lay_out_host(d, &host);
    return true;
}

bool nn_decoder_new(nn_model *m, size_t batch, const nn_halting *halting, nn_decoder **decoder, spak_error *err) {
    const nn_config *c = &m->config;
    *decoder = NULL;
    if (!c->causal) return spak_fail(err, "a model that sees both directions cannot go one token at a time");
    if (batch < 1 || batch > INT32_MAX / c->context)
        return spak_fail(err, "a decoder of %zu sequences: 1 or more, and all their tokens fewer than 2^31", batch);
    size_t loops = halting && halting->most_loops ? halting->most_loops : c->loops;
    if (loops > NN_MOST_PASSES / c->layers)
        return spak_fail(err, "%zu loops of %zu layers are more than %d passes", loops, c->layers, NN_MOST_PASSES);
    nn_decoder *d = spak_calloc(1, sizeof *d);
    if (!d) return spak_fail_oom(err);
    d->m = m;
    d->batch = batch;
    d->loops = loops;
    if (halting) d->halting = *halting;
    d->piece = PIECE_ROWS / batch;
    if (d->piece < 1) d->piece = 1;
    if (d->piece > c->context) d->piece = c->context;
    d->chunk = nn_chunk_rows(c, m->ops, batch * d->piece);
    if (!take_all(d, err)) {
        nn_decoder_free(d);
        return false;
    }
    *decoder = d;
    return true;
}

void nn_decoder_free(nn_decoder *d) {
    if (!d) return;
    if (d->arena) d->m->ops->free(d->ctx, d->arena);
    d->m->ops->close(d->ctx);
    spak_free(d->host);
    spak_free(d);
}

void nn_decoder_reset(nn_decoder *d) {
    d->used = 0;
    memset(d->thinks, 0, d->batch * sizeof *d->thinks);
}

/* --- the rows at work --- */

/* rows[0..n) are at work: where their keys go in a cache, and by what RoPE turns them. */
static void choose_rows(nn_decoder *d, const int32_t *rows, size_t n, size_t len) {
    const int32_t *ids = d->m->config.positions == NN_POS_ROPE_INDEX ? d->index : d->places;
    for (size_t i = 0; i < n; i++) {
        size_t row = (size_t)rows[i], sequence = row / len;
        d->cache_at[i] = (int32_t)(sequence * d->m->config.context + (size_t)d->places[row]);
        d->rope_ids[i] = ids[row];
    }
}

static void *cache_of(const nn_decoder *d, size_t pass, size_t sequence) {
    const nn_config *c = &d->m->config;
    return nn_at(d->m->ops, d->caches, (pass * d->batch + sequence) * c->context * 2 * nn_kv_width(c));
}

/* What the loop begins with, of rows[0..n): work.in. */
static void begin_loop(nn_decoder *d, size_t loop, const int32_t *rows, size_t n) {
    const nn_config *c = &d->m->config;
    const nn_ops *ops = d->m->ops;
    void *state = c->normalise_state ? d->base : d->work.in;
    ops->gather(d->ctx, state, d->x, rows, n, c->width);
    if (c->inject && loop && d->m->fault != NN_FAULT_CACHE_WITHOUT_INJECTION) {
        ops->gather(d->ctx, d->work.mid, d->x0, rows, n, c->width);
        ops->add(d->ctx, state, state, d->work.mid, n * c->width);
    }
    if (c->normalise_state)
        ops->norm(d->ctx, NN_RMSNORM, d->work.in, d->work.stat1, state, NULL, NULL, n, c->width, c->norm_eps);
}

/* work.n1 = norm(work.in); kv = its keys, turned, and values. The projection's rows are Q, K, V: these are the rows
 * after Q's. */
static void make_keys(nn_decoder *d, size_t layer, size_t n, bool turned) {
    const nn_config *c = &d->m->config;
    const nn_ops *ops = d->m->ops;
    const nn_block_slots *b = &d->m->blocks[layer];
    void *bias = b->qkv_bias == NN_ABSENT ? NULL : nn_value(d->m, b->qkv_bias + c->width);
    nn_block_norm(d->m, d->ctx, layer, false, d->work.n1, d->work.stat1, d->work.in, n);
    ops->linear(d->ctx, d->kv, d->work.n1, nn_value(d->m, b->qkv + c->width * c->width), bias, n, c->width,
                2 * nn_kv_width(c));
    if (nn_uses_rope(c) && turned)
        ops->rope(d->ctx, c->rope_pairing, d->kv, d->rope_ids, n, c->kv_heads, nn_head_dim(c), 2 * nn_kv_width(c),
                  c->rope_base, false);
}

/* Rows at..at + len of those at work, of `batch` sequences from `sequence` on, whose cache then holds kv_len tokens. */
static void attend(nn_decoder *d, size_t pass, size_t sequence, size_t batch, size_t at, size_t len, size_t kv_len) {
    const nn_config *c = &d->m->config;
    const nn_ops *ops = d->m->ops;
    size_t kv_width = nn_kv_width(c);
    nn_attention a = {.batch = batch,
                      .q_len = len,
                      .kv_len = kv_len,
                      .heads = c->heads,
                      .kv_heads = c->kv_heads,
                      .head_dim = nn_head_dim(c),
                      .causal = true,
                      .window = -1};
    if (nn_indexed(c)) {
        a.q_index = d->index + d->rows[at];
        a.kv_index = batch > 1 ? d->kv_index : d->past_index + sequence * c->context;
        a.window = c->window;
        a.slope = c->slope;
    }
    void *cache = cache_of(d, pass, sequence);
    const nn_heads q = {nn_at(ops, d->q, at * c->width), len, c->width};
    const nn_heads k = {cache, c->context, 2 * kv_width}, v = {nn_at(ops, cache, kv_width), c->context, 2 * kv_width};
    const nn_heads o = {nn_at(ops, d->work.heads, at * c->width), len, c->width};
    ops->attention(d->ctx, &a, o, d->work.lse, q, k, v);
}

/* One call when all rows are at work; else one for each run of neighbouring rows of a sequence: the last of a run is
 * the last that it sees, as attention has it. */
static void attend_all(nn_decoder *d, size_t pass, size_t n, size_t len) {
    if (n == d->batch * len) {
        attend(d, pass, 0, d->batch, 0, len, d->used + len);
        return;
    }
    for (size_t from = 0, to; from < n; from = to) {
        size_t sequence = (size_t)d->rows[from] / len;
        for (to = from + 1; to < n && d->rows[to] == d->rows[to - 1] + 1 && (size_t)d->rows[to] / len == sequence;)
            to++;
        attend(d, pass, sequence, 1, from, to - from, d->used + (size_t)d->rows[to - 1] % len + 1);
    }
}

static void block(nn_decoder *d, size_t pass, size_t n, size_t len) {
    const nn_model *m = d->m;
    const nn_config *c = &m->config;
    const nn_ops *ops = m->ops;
    const nn_block_slots *b = &m->blocks[pass % c->layers];
    make_keys(d, pass % c->layers, n, true);
    ops->scatter(d->ctx, cache_of(d, pass, 0), d->kv, d->cache_at, n, 2 * nn_kv_width(c));
    ops->linear(d->ctx, d->q, d->work.n1, nn_value(m, b->qkv), nn_value(m, b->qkv_bias), n, c->width, c->width);
    if (nn_uses_rope(c))
        ops->rope(d->ctx, c->rope_pairing, d->q, d->rope_ids, n, c->heads, nn_head_dim(c), c->width, c->rope_base,
                  false);
    attend_all(d, pass, n, len);
    ops->linear(d->ctx, d->work.mid, d->work.heads, nn_value(m, b->proj), nn_value(m, b->proj_bias), n, c->width,
                c->width);
    ops->add(d->ctx, d->work.mid, d->work.mid, d->work.in, n * c->width);
    nn_mlp(m, d->ctx, pass % c->layers, &d->work, n);
    ops->add(d->ctx, d->work.out, d->work.out, d->work.mid, n * c->width);
}

/* --- halting --- */

static void freeze(nn_decoder *d, size_t next_loop, const int32_t *rows, size_t n, size_t len) {
    const nn_config *c = &d->m->config;
    choose_rows(d, rows, n, len);
    begin_loop(d, next_loop, rows, n);
    for (size_t layer = 0; layer < c->layers; layer++) {
        make_keys(d, layer, n, d->m->fault != NN_FAULT_HALTING_WITHOUT_ROPE);
        for (size_t loop = next_loop; loop < d->loops; loop++)
            d->m->ops->scatter(d->ctx, cache_of(d, loop * c->layers + layer, 0), d->kv, d->cache_at, n,
                               2 * nn_kv_width(c));
    }
}

/* Takes the rows that are sure after loops_done loops out of rows[0..n); returns how many think on. */
static size_t halt(nn_decoder *d, size_t loops_done, size_t n, size_t len) {
    const nn_model *m = d->m;
    const nn_ops *ops = m->ops;
    const void *x = nn_final(m, d->ctx, d->final, d->work.stat1, d->work.out, n);
    for (size_t from = 0; from < n; from += d->chunk) {
        size_t rows = n - from < d->chunk ? n - from : d->chunk;
        nn_head(m, d->ctx, d->logits, nn_at(ops, x, from * m->config.width), rows);
        ops->argmax(d->ctx, d->best + from, nn_at(ops, d->top, from), d->logits, rows, m->config.vocab);
    }
    ops->get_f32(d->ctx, d->confidence, d->top, n);
    size_t thinking = 0, halted = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t row = d->rows[i];
        float threshold = d->row_thinks[row] ? d->halting.thinking_threshold : d->halting.threshold;
        const bool sure = d->confidence[i] >= threshold;
        if (sure && d->spent[row] == (int32_t)d->loops) {
            d->spent[row] = (int32_t)loops_done - (m->fault == NN_FAULT_LOOPS_MISCOUNTED);
            d->halted[halted++] = row;
        }
        if (!sure || m->fault == NN_FAULT_HALTED_GO_ON) d->rows[thinking++] = row;
    }
    if (halted) freeze(d, loops_done, d->halted, halted, len);
    if (halted) choose_rows(d, d->rows, thinking, len);
    return thinking;
}

/* --- a piece --- */

static void embed_piece(nn_decoder *d, size_t len) {
    const nn_model *m = d->m;
    const nn_config *c = &m->config;
    const nn_ops *ops = m->ops;
    size_t rows = d->batch * len;
    ops->embed(d->ctx, d->x, d->tokens, nn_value(m, m->slots.token), rows, c->width, false);
    if (nn_uses_table(c))
        ops->embed(d->ctx, d->x, c->positions == NN_POS_LEARNED ? d->places : d->index, nn_value(m, m->slots.position),
                   rows, c->width, true);
    if (c->kinds) ops->embed(d->ctx, d->x, d->kinds, nn_value(m, m->slots.kind), rows, c->width, true);
    if (c->inject) ops->copy(d->ctx, d->x0, d->x, rows * c->width);
}

/* Takes tokens from..from + len of each sequence of the call. */
static void take_piece(nn_decoder *d, const nn_batch *call, size_t from, size_t len) {
    size_t context = d->m->config.context, kv_len = d->used + len;
    for (size_t b = 0; b < d->batch; b++) {
        for (size_t t = 0; t < len; t++) {
            size_t row = b * len + t, at = b * call->len + from + t;
            d->tokens[row] = call->tokens[at];
            d->kinds[row] = call->kinds ? call->kinds[at] : -1;
            d->index[row] = d->past_index[b * context + d->used + t] =
                call->index ? call->index[at] + (d->m->fault == NN_FAULT_CACHE_INDEX_LATE && d->used > 0) : 0;
            d->places[row] = (int32_t)(d->used + t);
            d->thinks[b] =
                d->thinks[b] || (d->halting.thinking_from >= 0 && d->tokens[row] == d->halting.thinking_from);
            d->row_thinks[row] = d->thinks[b];
            d->spent[row] = (int32_t)d->loops;
            d->rows[row] = (int32_t)row;
        }
        memcpy(d->kv_index + b * kv_len, d->past_index + b * context, kv_len * sizeof *d->kv_index);
    }
}

static void run_piece(nn_decoder *d, size_t len) {
    const nn_config *c = &d->m->config;
    size_t n = d->batch * len;
    embed_piece(d, len);
    choose_rows(d, d->rows, n, len);
    for (size_t loop = 0; loop < d->loops && n; loop++) {
        begin_loop(d, loop, d->rows, n);
        for (size_t layer = 0; layer < c->layers; layer++) block(d, loop * c->layers + layer, n, len);
        d->m->ops->scatter(d->ctx, d->x, d->work.out, d->rows, n, c->width);
        if (d->halting.on && loop + 1 < d->loops) n = halt(d, loop + 1, n, len);
    }
    d->used += len;
}

static void last_logits(nn_decoder *d, size_t len, float *logits) {
    const nn_model *m = d->m;
    const nn_config *c = &m->config;
    for (size_t b = 0; b < d->batch; b++) d->rows[b] = (int32_t)(b * len + len - 1);
    m->ops->gather(d->ctx, d->work.in, d->x, d->rows, d->batch, c->width);
    const void *x = nn_final(m, d->ctx, d->final, d->work.stat1, d->work.in, d->batch);
    for (size_t from = 0; from < d->batch; from += d->chunk) {
        size_t rows = d->batch - from < d->chunk ? d->batch - from : d->chunk;
        nn_head(m, d->ctx, d->logits, nn_at(m->ops, x, from * c->width), rows);
        m->ops->get_f32(d->ctx, logits + from * c->vocab, d->logits, rows * c->vocab);
    }
}

bool nn_decode(nn_decoder *d, size_t len, const int32_t *tokens, const int32_t *index, const int32_t *kinds,
               float *logits, int32_t *loops_spent, spak_error *err) {
    const nn_batch call = {.batch = d->batch, .len = len, .tokens = tokens, .index = index, .kinds = kinds};
    if (len < 1 || len > d->m->config.context - d->used)
        return spak_fail(err, "%zu more tokens: 1 or more, and with the %zu so far no more than the context %zu", len,
                         d->used, d->m->config.context);
    if (!nn_check_inputs(&d->m->config, &call, err)) return false;
    for (size_t from = 0, piece; from < len; from += piece) {
        piece = len - from < d->piece ? len - from : d->piece;
        take_piece(d, &call, from, piece);
        run_piece(d, piece);
        for (size_t b = 0; loops_spent && b < d->batch; b++)
            memcpy(loops_spent + b * len + from, d->spent + b * piece, piece * sizeof *loops_spent);
        if (from + piece == len && logits) last_logits(d, piece, logits);
    }
    return true;
}
