/* The invariants of arithmetic. Three levels, as the source names them: an operator by itself, the gradients, the whole
 * model; the last two on small models of odd widths with dropout, whose parameters are random and large.
 *
 * What is held against what: single precision, with the fault when there is one, against sound double precision, which
 * is PyTorch's to its last digits (tests/nn/golden). A bound is a number of roundings times the size of what is summed,
 * from the lengths of the sums: it holds for any order of summing, so it does not depend on vectors or threads. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "nn/nanogpt_gate.h"
#include "nn/worst.h"

static const double U = FLT_EPSILON / 2;

/* --- one operator on both tables --- */

enum { SINGLE, DOUBLE, MOST_ARRAYS = 10 };
typedef struct pair {
    const nn_ops *ops[2];
    nn_ctx *ctx[2];
    void *at[2][MOST_ARRAYS];
    size_t n[MOST_ARRAYS], used;
    double *host[2]; /* what came out last: (2, most) */
    bool oom;
} pair;

static void pair_close(pair *p) {
    for (int i = 0; i < 2; i++) {
        for (size_t a = 0; a < p->used; a++)
            if (p->at[i][a]) p->ops[i]->free(p->ctx[i], p->at[i][a]);
        if (p->ctx[i]) p->ops[i]->close(p->ctx[i]);
        spak_free(p->host[i]);
    }
}

static bool pair_open(pair *p, nanogpt_fault fault, const nn_limits *limits, size_t most, spak_error *err) {
    *p = (pair){.ops = {nanogpt_table(&nn_cpu, fault), &nn_oracle}};
    for (int i = 0; i < 2; i++) {
        if (!p->ops[i]->open(limits, &p->ctx[i], err)) return false;
        p->host[i] = spak_malloc(most * sizeof **p->host);
        if (!p->host[i]) return spak_fail_oom(err);
    }
    return true;
}

/* An array of n floats in [lo, hi), the same numbers on both; returns its index. */
static size_t pair_array(pair *p, size_t n, double lo, double hi, uint64_t seed) {
    const size_t a = p->used++;
    double piece[256];
    p->n[a] = n;
    for (int i = 0; i < 2; i++) {
        const size_t elem = p->ops[i]->elem;
        p->at[i][a] = p->ops[i]->alloc(p->ctx[i], n * elem);
        if (!p->at[i][a]) p->oom = true;
        for (size_t from = 0; from < n && p->at[i][a]; from += 256) {
            const size_t m = n - from < 256 ? n - from : 256;
            for (size_t j = 0; j < m; j++)
                piece[j] = (double)(float)(lo + (hi - lo) * (double)spak_philox_uniform(seed, 700 + a, from + j));
            p->ops[i]->put(p->ctx[i], (char *)p->at[i][a] + from * elem, piece, m);
        }
    }
    return a;
}

/* Fetches array a of both sides into host. */
static void pair_get(pair *p, size_t a) {
    for (int i = 0; i < 2; i++) p->ops[i]->get(p->ctx[i], p->host[i], p->at[i][a], p->n[a]);
}

static double largest(const double *x, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

/* The largest |difference| of n numbers from `from` on, over the bound; NaN is infinite. */
static double apart(const pair *p, size_t from, size_t n, double bound, double *most) {
    double worst = 0;
    for (size_t i = from; i < from + n; i++) {
        const double off = fabs(p->host[SINGLE][i] - p->host[DOUBLE][i]);
        worst = nn_worst(worst, off);
    }
    if (most) *most = nn_worst(*most, worst);
    return worst == 0 ? 0 : worst / bound;
}

#define BOTH(i) for (int i = 0; i < 2; i++)

/* Rows of several sizes and distances from zero: what the mean leaves of a row far away has lost that many digits. */
static void spread_rows(pair *p, size_t x, size_t rows, size_t width) {
    static const double scale[] = {1, 1e-3, 4}, shift[] = {0, 3, -0.5, 0};
    pair_get(p, x);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = r * width; i < (r + 1) * width; i++)
            p->host[DOUBLE][i] = (double)(float)(p->host[DOUBLE][i] * scale[r % 3] + shift[r % 4] * scale[r % 3]);
    BOTH(i) p->ops[i]->put(p->ctx[i], p->at[i][x], p->host[DOUBLE], rows * width);
}

typedef struct norm_case {
    size_t x, y, stat, gamma, beta, dy, dx, dgamma, dbeta, rows, width;
    double *size; /* (rows): max |x| rstd, what a row's errors are multiples of */
    double gain, pull;
} norm_case;

static void norm_run(pair *p, norm_case *c) {
    BOTH(i) {
        void **a = p->at[i];
        p->ops[i]->norm(p->ctx[i], NN_LAYERNORM, a[c->y], a[c->stat], a[c->x], a[c->gamma], a[c->beta], c->rows,
                        c->width, 1e-5f);
        p->ops[i]->norm_backward(p->ctx[i], NN_LAYERNORM, a[c->dx], a[c->dgamma], a[c->dbeta], a[c->dy], a[c->x],
                                 a[c->stat], a[c->gamma], c->rows, c->width);
    }
    pair_get(p, c->gamma);
    c->gain = largest(p->host[DOUBLE], c->width);
    pair_get(p, c->dy);
    c->pull = largest(p->host[DOUBLE], c->rows * c->width);
    pair_get(p, c->x);
    for (size_t r = 0; r < c->rows; r++) c->size[r] = largest(p->host[DOUBLE] + r * c->width, c->width);
    pair_get(p, c->stat);
    for (size_t r = 0; r < c->rows; r++) c->size[r] = 1 + c->size[r] * p->host[DOUBLE][2 * r + 1];
}

/* The mean and the variance are sums of `width` terms; a row's numbers are then multiplied, or divided, a few times. */
static double norm_judge(pair *p, norm_case *c, double *most) {
    const double terms = (double)c->width + 16;
    double worst = 0, sum = 0;
    pair_get(p, c->stat);
    double *rstd = p->host[DOUBLE];
    for (size_t r = 0; r < c->rows; r++) rstd[r] = rstd[2 * r + 1];
    for (size_t r = 0; r < c->rows; r++) sum += c->size[r] * c->size[r];
    double *kept = spak_malloc(c->rows * sizeof *kept);
    if (!kept) {
        p->oom = true;
        return 0;
    }
    memcpy(kept, rstd, c->rows * sizeof *kept);
    pair_get(p, c->y);
    for (size_t r = 0; r < c->rows; r++)
        worst = nn_worst(worst, apart(p, r * c->width, c->width, U * (terms * c->size[r] * c->gain + 1), most));
    pair_get(p, c->dx);
    for (size_t r = 0; r < c->rows; r++)
        worst =
            nn_worst(worst, apart(p, r * c->width, c->width,
                                  U * (4 * terms * c->size[r] * c->size[r] * kept[r] * c->gain * c->pull + 2), NULL));
    pair_get(p, c->dgamma);
    worst = nn_worst(worst, apart(p, 0, c->width, U * ((terms + (double)c->rows) * sum * c->pull + 2), NULL));
    pair_get(p, c->dbeta);
    worst = nn_worst(worst, apart(p, 0, c->width, U * ((double)c->rows * ((double)c->rows * c->pull + 2)), NULL));
    spak_free(kept);
    return worst;
}

bool nanogpt_norm_error(nanogpt_fault fault, size_t width, size_t rows, uint64_t seed, double *over_bound, double *most,
                        spak_error *err) {
    const nn_limits limits = {.threads = 2, .rows = rows, .width = width};
    pair p;
    *over_bound = *most = 0;
    bool good = pair_open(&p, fault, &limits, rows * width + 2 * rows, err);
    norm_case c = {.rows = rows, .width = width, .size = spak_malloc(rows * sizeof(double))};
    if (good && !c.size) good = spak_fail_oom(err);
    if (good) {
        const size_t n = rows * width;
        c.x = pair_array(&p, n, -1, 1, seed);
        c.y = pair_array(&p, n, 0, 0, seed);
        c.stat = pair_array(&p, 2 * rows, 0, 0, seed);
        c.gamma = pair_array(&p, width, 0, 2, seed);
        c.beta = pair_array(&p, width, -1, 1, seed);
        c.dy = pair_array(&p, n, -1, 1, seed);
        c.dx = pair_array(&p, n, -1, 1, seed);
        c.dgamma = pair_array(&p, width, -1, 1, seed);
        c.dbeta = pair_array(&p, width, -1, 1, seed);
        if (!p.oom) spread_rows(&p, c.x, rows, width);
        if (!p.oom) norm_run(&p, &c);
        if (!p.oom) *over_bound = norm_judge(&p, &c, most);
        if (p.oom) good = spak_fail_oom(err);
    }
    pair_close(&p);
    spak_free(c.size);
    return good;
}

static bool norms(nn_check *check) {
    static const size_t widths[] = {1, 13, 384, 768, 1000, 1600};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++, check->tried++) {
        double over, most;
        if (!nanogpt_norm_error(check->fault, widths[i], 12, check->seed, &over, &most, check->err)) return false;
        if (!(over <= 1))
            return nn_refute(check, "LayerNorm", "%zu wide it is %.3g bounds from the oracle", widths[i], over);
    }
    return true;
}

static bool gelu(nn_check *check) {
    enum { N = 4096 };
    const nn_limits limits = {.threads = 2, .rows = N, .width = 16};
    pair p;
    bool good = pair_open(&p, check->fault, &limits, N, check->err);
    const double bound = 64 * U * 8; /* values up to 8, and a polynomial or two for erf and exp */
    double over = 0;
    if (good) {
        const size_t x = pair_array(&p, N, -8, 8, check->seed), dy = pair_array(&p, N, -1, 1, check->seed);
        const size_t y = pair_array(&p, N, 0, 0, 0), dx = pair_array(&p, N, 0, 0, 0);
        if (p.oom) good = spak_fail_oom(check->err);
        BOTH(i) if (good) {
            p.ops[i]->act(p.ctx[i], NN_GELU_ERF, p.at[i][y], p.at[i][x], N / 16, 16);
            p.ops[i]->act_backward(p.ctx[i], NN_GELU_ERF, p.at[i][dx], p.at[i][dy], p.at[i][x], N / 16, 16);
        }
        if (good) pair_get(&p, y), over = apart(&p, 0, N, bound, NULL);
        if (good) pair_get(&p, dx), over = nn_worst(over, apart(&p, 0, N, bound, NULL));
    }
    pair_close(&p);
    check->tried++;
    return good && (over <= 1 || nn_refute(check, "GELU", "it is %.3g bounds from the oracle", over));
}

/* q is scaled so that scores reach `sharp`: what a trained model has, and far beyond. */
static bool attention(nn_check *check, size_t len, double sharp) {
    enum { HEADS = 2, DIM = 24, WIDTH = HEADS * DIM, BATCH = 2 };
    const nn_attention a = {.batch = BATCH,
                            .q_len = len,
                            .kv_len = len,
                            .heads = HEADS,
                            .kv_heads = HEADS,
                            .head_dim = DIM,
                            .causal = true,
                            .window = -1};
    const nn_limits limits = {
        .threads = 2, .rows = BATCH * len, .width = 3 * WIDTH, .num_attentions = 1, .attentions = &a};
    const size_t n = BATCH * len * WIDTH;
    pair p;
    double over = 0;
    bool good = pair_open(&p, check->fault, &limits, n, check->err);
    if (good) {
        const size_t q = pair_array(&p, n, -sharp, sharp, check->seed), k = pair_array(&p, n, -1, 1, check->seed);
        const size_t v = pair_array(&p, n, -1, 1, check->seed), o = pair_array(&p, n, 0, 0, 0);
        const size_t lse = pair_array(&p, BATCH * HEADS * len, 0, 0, 0);
        if (p.oom) good = spak_fail_oom(check->err);
        BOTH(i) if (good) {
            const nn_heads heads[] = {
                {p.at[i][o], len, WIDTH}, {p.at[i][q], len, WIDTH}, {p.at[i][k], len, WIDTH}, {p.at[i][v], len, WIDTH}};
            p.ops[i]->attention(p.ctx[i], &a, heads[0], p.at[i][lse], heads[1], heads[2], heads[3]);
        }
        /* A score errs by DIM roundings of its size, a weight relatively by twice that, the sum by its length. */
        const double score = sharp * sqrt(DIM);
        if (good) pair_get(&p, o), over = apart(&p, 0, n, U * (2 * DIM * score + (double)len + 32), NULL);
    }
    pair_close(&p);
    check->tried++;
    return good && (over <= 1 || nn_refute(check, "attention",
                                           "over %zu tokens, scores up to %.0f, it is %.3g bounds from the oracle", len,
                                           sharp * sqrt(DIM), over));
}

/* Logits as large as `size`, one of them far above the rest in some rows. */
static bool entropy(nn_check *check, size_t vocab, double size) {
    enum { ROWS = 8 };
    const nn_limits limits = {.threads = 2, .rows = ROWS, .width = 16, .vocab = vocab};
    int32_t targets[ROWS];
    pair p;
    double over = 0;
    bool good = pair_open(&p, check->fault, &limits, ROWS * vocab, check->err);
    for (size_t r = 0; r < ROWS; r++) targets[r] = (int32_t)(r * (vocab - 1) / (ROWS - 1));
    if (good) {
        const size_t logits = pair_array(&p, ROWS * vocab, -size, size, check->seed);
        const size_t losses = pair_array(&p, ROWS, 0, 0, 0), d = pair_array(&p, ROWS * vocab, 0, 0, 0);
        if (p.oom) good = spak_fail_oom(check->err);
        BOTH(i)
        if (good)
            p.ops[i]->cross_entropy(p.ctx[i], p.at[i][losses], p.at[i][d], p.at[i][logits], targets, ROWS, vocab, 0,
                                    0.125f);
        const double bound = U * ((double)vocab / 4 + 16 * size + 64);
        if (good) pair_get(&p, losses), over = apart(&p, 0, ROWS, bound, NULL);
        if (good) pair_get(&p, d), over = nn_worst(over, apart(&p, 0, ROWS * vocab, bound, NULL));
    }
    pair_close(&p);
    check->tried++;
    return good && (over <= 1 ||
                    nn_refute(check, "cross-entropy", "%zu tokens, logits up to %g: it is %.3g bounds from the oracle",
                              vocab, size, over));
}

bool nanogpt_operators(nn_check *check) {
    static const size_t lens[] = {1, 13, 64, 127, 257};
    if (!norms(check) || !gelu(check)) return false;
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        if (!attention(check, lens[i], 1) || !attention(check, lens[i], 200)) return false;
    return entropy(check, 65, 1) && entropy(check, 65, 80) && entropy(check, 50257, 10);
}

/* --- gradients --- */

static bool gradients_of(nn_check *check, nanogpt_specimen *s, double *loss, double *gradients) {
    nn_zero_gradients(s->model);
    if (!nn_forward_backward(s->model, &s->batch, 1, loss, check->err)) return false;
    nn_model_get(s->model, NN_GRADIENTS, 0, s->numbers, gradients);
    return true;
}

/* The slope of the loss along the unit vector u of one parameter, from values moved by h and by 2 h: the two slopes
 * differ by what curvature leaves open. */
static bool slope(nn_check *check, nanogpt_specimen *s, const nn_param *p, const double *values, const double *u,
                  double *moved, double *found, double *open) {
    const double h = 1e-4;
    const size_t n = p->rows * p->cols;
    double at[2];
    for (int far = 1; far <= 2; far++) {
        for (int side = 0; side < 2; side++) {
            for (size_t j = 0; j < n; j++) moved[j] = values[j] + (side ? -h : h) * far * u[j];
            nn_model_put(s->model, NN_VALUES, p->at, n, moved);
            if (!nn_forward(s->model, &s->batch, &at[side], check->err)) return false;
        }
        const double d = (at[0] - at[1]) / (2 * h * far);
        *open = far == 1 ? d : fabs(d - *found) + 64 * DBL_EPSILON * at[0] / h;
        if (far == 1) *found = d;
    }
    nn_model_put(s->model, NN_VALUES, p->at, n, values);
    return true;
}

static bool tensor_matches(nn_check *check, nanogpt_specimen *s, size_t number, const double *gradient,
                           double *scratch) {
    const nn_param *p = &s->params[number];
    const size_t n = p->rows * p->cols;
    double *values = scratch, *u = scratch + n, *moved = scratch + 2 * n;
    double norm = 0, said = 0, squares = 0, found, open;
    for (size_t j = 0; j < n; j++) u[j] = (double)spak_philox_normal(check->seed, 9000 + number, j);
    for (size_t j = 0; j < n; j++) norm += u[j] * u[j];
    for (size_t j = 0; j < n; j++) {
        u[j] /= sqrt(norm);
        said += u[j] * gradient[p->at + j];
        squares += gradient[p->at + j] * gradient[p->at + j];
    }
    nn_model_get(s->model, NN_VALUES, p->at, n, values);
    if (!slope(check, s, p, values, u, moved, &found, &open)) return false;
    check->tried++;
    return fabs(found - said) <= open + 1e-9 * sqrt(squares) ||
           nn_refute(check, s->name, "along a direction in %s the gradient says %.9g, the loss %.9g", p->name, said,
                     found);
}

bool nanogpt_differences(nn_check *check) {
    for (int i = 0; i < NANOGPT_NUM_SUBJECTS; i++) {
        nanogpt_specimen s;
        if (!nanogpt_specimen_new(check, &nanogpt_subjects[i], &nn_oracle, 1, &s)) return false;
        double *gradient = spak_malloc(4 * s.numbers * sizeof *gradient);
        bool good = gradient ? gradients_of(check, &s, NULL, gradient) : spak_fail_oom(check->err);
        for (size_t k = 0; good && k < s.count; k++)
            good = tensor_matches(check, &s, k, gradient, gradient + s.numbers);
        spak_free(gradient);
        nanogpt_specimen_free(&s);
        if (!good) return false;
    }
    return true;
}

/* A key's bias adds the same number to all scores of a query, which softmax does not see: its gradient is zero. */
static bool never_trains(const nn_param *p, size_t j) {
    const bool qkv_bias = p->rows == 1 && strstr(p->name, "attn.c_attn.bias");
    return qkv_bias && j >= p->cols / 3 && j < 2 * p->cols / 3;
}

bool nanogpt_all_train(nn_check *check) {
    for (int i = 0; i < NANOGPT_NUM_SUBJECTS; i++) {
        nanogpt_specimen s;
        if (!nanogpt_specimen_new(check, &nanogpt_subjects[i], &nn_cpu, 1, &s)) return false;
        s.batch.training = false; /* an element may be dropped wherever it stands */
        double *gradient = spak_malloc(s.numbers * sizeof *gradient);
        bool good = gradient ? gradients_of(check, &s, NULL, gradient) : spak_fail_oom(check->err);
        for (size_t k = 0; good && k < s.count; k++) {
            size_t none = 0, n = s.params[k].rows * s.params[k].cols;
            for (size_t j = 0; j < n; j++) none += gradient[s.params[k].at + j] == 0 && !never_trains(&s.params[k], j);
            check->tried++;
            if (none) good = nn_refute(check, s.name, "%zu of %zu of %s have no gradient", none, n, s.params[k].name);
        }
        spak_free(gradient);
        nanogpt_specimen_free(&s);
        if (!good) return false;
    }
    return true;
}

/* --- the whole model in both precisions --- */

double nanogpt_roundings(const nn_config *c, size_t len) {
    return 2 * (double)(c->layers * c->loops) * (double)(4 * c->width + 2 * c->hidden + len);
}

double nanogpt_farthest(const nn_param *params, size_t count, const double *a, const double *b, const char **name) {
    double worst = 0;
    for (size_t k = 0; k < count; k++) {
        double most = 0, off = 0;
        for (size_t j = params[k].at; j < params[k].at + params[k].rows * params[k].cols; j++) {
            most = fmax(most, fabs(b[j]));
            off = nn_worst(off, fabs(a[j] - b[j]));
        }
        const double relative = off == 0 ? 0 : off / most;
        if (!(relative <= worst)) worst = nn_worst(worst, relative), *name = params[k].name;
    }
    return worst;
}

static bool same_numbers(nn_check *check, nanogpt_specimen *single, nanogpt_specimen *twice) {
    const nn_config *c = nn_model_config(twice->model);
    const size_t rows = twice->batch.batch * twice->batch.len, logits = rows * c->vocab;
    const size_t n = twice->numbers > logits ? twice->numbers : logits;
    const double bound = U * nanogpt_roundings(c, twice->batch.len);
    const char *where = "";
    double *a = spak_malloc((n + single->numbers) * sizeof *a), *b = spak_malloc(n * sizeof *b), loss[2];
    bool good = a && b ? gradients_of(check, single, &loss[0], a) && gradients_of(check, twice, &loss[1], b)
                       : spak_fail_oom(check->err);
    if (good && !(fabs(loss[0] - loss[1]) <= bound * loss[1]))
        good = nn_refute(check, twice->name, "the loss is %.9g, the oracle's %.9g", loss[0], loss[1]);
    const double off = good ? nanogpt_farthest(twice->params, twice->count, a, b, &where) : 0;
    if (good && !(off <= bound))
        good = nn_refute(check, twice->name, "gradients of %s are %.3g of their largest apart, more than %.3g", where,
                         off, bound);
    if (good) {
        const nn_param all = {.name = "the logits", .rows = rows, .cols = c->vocab};
        nn_logits(single->model, 0, rows, a);
        nn_logits(twice->model, 0, rows, b);
        const double far = nanogpt_farthest(&all, 1, a, b, &where);
        if (!(far <= bound))
            good = nn_refute(check, twice->name, "logits are %.3g of the largest apart, more than %.3g", far, bound);
    }
    check->tried += twice->count + 2;
    spak_free(a);
    spak_free(b);
    return good;
}

bool nanogpt_against_oracle(nn_check *check) {
    nn_check sound = *check;
    sound.fault = NANOGPT_SOUND;
    for (int i = 0; i < NANOGPT_NUM_SUBJECTS; i++) {
        nanogpt_specimen single = {0}, twice = {0};
        bool good = nanogpt_specimen_new(check, &nanogpt_subjects[i], &nn_cpu, 2, &single) &&
                    nanogpt_specimen_new(&sound, &nanogpt_subjects[i], &nn_oracle, 1, &twice) &&
                    same_numbers(check, &single, &twice);
        nanogpt_specimen_free(&single);
        nanogpt_specimen_free(&twice);
        if (!good) return false;
    }
    return true;
}

/* --- the cache --- */

/* Continues the prompts greedily to the end of the context, one token at a time and each time from the beginning. */
static bool continues_alike(nn_check *check, nanogpt_specimen *s, nn_decoder *decoder, float *cached, double *whole) {
    enum { PROMPT = 4 };
    const nn_config *c = nn_model_config(s->model);
    const size_t batch = s->batch.batch, context = c->context;
    const double bound = U * nanogpt_roundings(c, context);
    int32_t feed[64], *text = s->tokens; /* (batch, context) */
    for (size_t b = 0; b < batch; b++) memcpy(feed + b * PROMPT, text + b * context, PROMPT * sizeof *feed);
    for (size_t len = PROMPT, fed = PROMPT; len < context; len++, fed = 1, check->tried++) {
        int32_t sequence[64];
        if (!nn_decode(decoder, fed, feed, NULL, NULL, cached, NULL, check->err)) return false;
        for (size_t b = 0; b < batch; b++) {
            memcpy(sequence, text + b * context, len * sizeof *sequence);
            const nn_batch one = {.batch = 1, .len = len, .tokens = sequence};
            if (!nn_forward(s->model, &one, NULL, check->err)) return false;
            nn_logits(s->model, len - 1, 1, whole);
            double most = largest(whole, c->vocab), off = 0;
            size_t best = 0, best_cached = 0;
            for (size_t v = 0; v < c->vocab; v++) {
                off = nn_worst(off, fabs(whole[v] - (double)cached[b * c->vocab + v]));
                if (whole[v] > whole[best]) best = v;
                if (cached[b * c->vocab + v] > cached[b * c->vocab + best_cached]) best_cached = v;
            }
            if (best != best_cached || !(off / most <= bound))
                return nn_refute(check, s->name,
                                 "after %zu tokens the cache gives token %zu, the whole pass %zu; logits are %.3g "
                                 "of the largest apart",
                                 len, best_cached, best, off / most);
            feed[b] = text[b * context + len] = (int32_t)best;
        }
    }
    return true;
}

bool nanogpt_cache(nn_check *check) {
    for (int i = 0; i < NANOGPT_NUM_SUBJECTS; i++) {
        nanogpt_specimen s;
        if (!nanogpt_specimen_new(check, &nanogpt_subjects[i], &nn_cpu, 2, &s)) return false;
        nn_decoder *decoder = NULL;
        const size_t vocab = nn_model_config(s.model)->vocab;
        float *cached = spak_malloc(s.batch.batch * vocab * sizeof *cached);
        double *whole = spak_malloc(vocab * sizeof *whole);
        bool good = (cached && whole) || spak_fail_oom(check->err);
        good = good && nn_decoder_new(s.model, s.batch.batch, NULL, &decoder, check->err) &&
               continues_alike(check, &s, decoder, cached, whole);
        nn_decoder_free(decoder);
        spak_free(cached);
        spak_free(whole);
        nanogpt_specimen_free(&s);
        if (!good) return false;
    }
    return true;
}
