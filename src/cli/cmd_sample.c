/* spak sample: text from a trained model, or the sum that it finds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "cli/cli.h"
#include "cli/lm.h"
#include "device/device.h"

static const char usage[] =
    "usage: spak sample CHECKPOINT [--prompt TEXT] [--tokens N] [--temperature X] [--top-k K] [--seed S] [--threads "
    "N]\n"
    "                   [--no-cache]\n"
    "\n"
    "CHECKPOINT: a file of `spak train`, its folder, a folder of `spak export`, or one with GPT-2 as transformers\n"
    "saves it: config.json, vocab.json, merges.txt, and model.safetensors or its shards with\n"
    "model.safetensors.index.json.\n"
    "A model of additions takes the prompt \"321+654=\", digits in the order that it was trained on.\n"
    "  --prompt       default: a new line\n"
    "  --tokens       how many to make (default 500)\n"
    "  --temperature  default 0.8, for additions 0; 0: always the likeliest\n"
    "  --top-k        of the K likeliest only (default 200; 0: all)\n"
    "  --seed         of the draws (default 1337)\n"
    "  --no-cache     runs the whole text through the model for each token\n";

enum { STREAM_SAMPLE = 0x53414D50 };

typedef struct options {
    const char *path, *prompt;
    double temperature; /* < 0: the default */
    size_t tokens, top_k;
    uint64_t seed;
    int threads;
    bool no_cache;
} options;

static bool read_number(const char *option, const char *text, double most, bool integral, double *value) {
    char *end, expected[64];
    if (!text) return true;
    *value = strtod(text, &end);
    if (end != text && !*end && *value >= 0 && *value <= most && (!integral || *value == floor(*value))) return true;
    snprintf(expected, sizeof expected, "expected %s from 0 to %.0f", integral ? "a whole number" : "a number", most);
    return cli_wrong(option, expected);
}

static bool parse(int argc, char **argv, options *o) {
    const char *tokens = NULL, *temperature = NULL, *top_k = NULL, *seed = NULL, *threads = NULL;
    double n = 500, k = 200, s = 1337, t = 0;
    *o = (options){.temperature = -1};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--no-cache"))
            o->no_cache = true;
        else if (cli_value(argc, argv, &i, "--prompt", &o->prompt) || cli_value(argc, argv, &i, "--tokens", &tokens) ||
                 cli_value(argc, argv, &i, "--temperature", &temperature) ||
                 cli_value(argc, argv, &i, "--top-k", &top_k) || cli_value(argc, argv, &i, "--seed", &seed) ||
                 cli_value(argc, argv, &i, "--threads", &threads))
            continue;
        else if (argv[i][0] == '-' || o->path)
            return cli_stray(argv[i], "one model is enough");
        else
            o->path = argv[i];
    }
    const bool good = read_number("--tokens", tokens, 1e6, true, &n) &&
                      read_number("--temperature", temperature, 1e3, false, &o->temperature) &&
                      read_number("--top-k", top_k, 1e6, true, &k) && read_number("--seed", seed, 9e15, true, &s) &&
                      read_number("--threads", threads, 256, true, &t);
    o->tokens = (size_t)n, o->top_k = (size_t)k, o->seed = (uint64_t)s;
    o->threads = t > 0 ? (int)t : dev_cpu_count();
    return good && o->path;
}

/* --- the next token --- */

/* tokens (n) so far, with what else the model may want to know of each: index, kinds and segments (n) or NULL. */
typedef struct sampler {
    const options *options;
    double temperature;
    nn_model *model;
    nn_decoder *decoder; /* NULL: without a cache */
    size_t fed, drawn;   /* tokens in the cache; tokens drawn so far */
    float *logits;
    double *logits_f64;
} sampler;

static bool open_sampler(const options *o, double temperature, nn_model *model, sampler *s, spak_error *err) {
    const size_t vocab = nn_model_config(model)->vocab;
    *s = (sampler){.options = o, .temperature = temperature, .model = model};
    s->logits = spak_malloc(vocab * sizeof *s->logits);
    s->logits_f64 = spak_malloc(vocab * sizeof *s->logits_f64);
    return ((s->logits && s->logits_f64) || spak_fail_oom(err)) &&
           (o->no_cache || nn_decoder_new(model, 1, NULL, &s->decoder, err));
}

static void close_sampler(sampler *s) {
    nn_decoder_free(s->decoder);
    spak_free(s->logits);
    spak_free(s->logits_f64);
}

/* Positions count from the start of what the model sees. Once the text is longer than the context, its window moves,
 * and every position with it: no cached key is right any more. */
static bool next_token(sampler *s, const nn_batch *text, size_t n, int32_t *token, spak_error *err) {
    const nn_config *c = nn_model_config(s->model);
    if (s->decoder && n <= c->context) {
        const size_t at = s->fed;
        if (!nn_decode(s->decoder, n - at, text->tokens + at, text->index ? text->index + at : NULL,
                       text->kinds ? text->kinds + at : NULL, s->logits, NULL, err))
            return false;
        s->fed = n;
    } else {
        const size_t from = n > c->context ? n - c->context : 0;
        const nn_batch seen = {.batch = 1,
                               .len = n - from,
                               .tokens = text->tokens + from,
                               .index = text->index ? text->index + from : NULL,
                               .kinds = text->kinds ? text->kinds + from : NULL,
                               .segments = text->segments ? text->segments + from : NULL};
        if (!nn_forward(s->model, &seen, NULL, err)) return false;
        nn_logits(s->model, seen.len - 1, 1, s->logits_f64);
        for (size_t i = 0; i < c->vocab; i++) s->logits[i] = (float)s->logits_f64[i];
    }
    uint32_t word[4];
    spak_philox(s->options->seed, STREAM_SAMPLE, s->drawn++, word);
    const double u = ldexp((double)(((uint64_t)word[0] << 32 | word[1]) >> 11), -53);
    *token = nn_sample(s->logits, c->vocab, (float)s->temperature, s->options->top_k, u);
    return true;
}

/* --- text --- */

static bool print_tokens(const cli_lm *lm, const int32_t *ids, size_t n, spak_error *err) {
    spak_str text = {0};
    const bool good =
        (lm->bpe ? nn_bpe_decode(lm->bpe, ids, n, &text, err) : nn_chars_decode(&lm->chars, ids, n, &text, err)) &&
        spak_str_ok(&text, err);
    if (good) fwrite(spak_str_text(&text), 1, text.len, stdout);
    fflush(stdout);
    spak_str_free(&text);
    return good;
}

static bool sample_text(const options *o, const cli_lm *lm, nn_model *model, spak_error *err) {
    sampler s = {0};
    int32_t *ids = NULL, *all = NULL;
    size_t n = 0;
    const char *prompt = o->prompt ? o->prompt : "\n";
    bool good = cli_lm_encode(lm, "--prompt", prompt, strlen(prompt), &ids, &n, err) &&
                open_sampler(o, o->temperature < 0 ? 0.8 : o->temperature, model, &s, err) &&
                ((all = spak_realloc(ids, (n + o->tokens) * sizeof *ids)) || spak_fail_oom(err));
    if (all) ids = all;
    good = good && print_tokens(lm, ids, n, err);
    for (const size_t end = n + o->tokens; good && n < end; n++) {
        const nn_batch text = {.tokens = ids};
        good = next_token(&s, &text, n, &ids[n], err);
        if (good && lm->bpe && ids[n] == nn_bpe_end_of_text(lm->bpe)) break;
        good = good && print_tokens(lm, ids + n, 1, err);
    }
    if (good) putchar('\n');
    close_sampler(&s);
    spak_free(ids);
    return good;
}

/* --- additions --- */

static const char SYMBOLS[] = "0123456789+=\n?_"; /* by token */

/* The digits before `end`, lowest first; where they stop. */
static const char *operand(const char *text, char end, bool reversed, unsigned char *digits, size_t *n) {
    *n = strspn(text, "0123456789");
    if (*n < 1 || *n > NN_ADD_MOST_DIGITS || text[*n] != end) return NULL;
    for (size_t i = 0; i < *n; i++) digits[i] = (unsigned char)(text[reversed ? i : *n - 1 - i] - '0');
    return text + *n + 1;
}

/* The sum is left at zeros, one more than an operand can have: places for an answer, and nothing that tells it. */
static bool read_problem(const options *o, const nn_addition *task, nn_problem *p, spak_error *err) {
    const char *rest = o->prompt ? o->prompt : "";
    memset(p, 0, sizeof *p);
    if (rest) rest = operand(rest, '+', task->reversed, p->a, &p->a_digits);
    if (rest) rest = operand(rest, '=', task->reversed, p->b, &p->b_digits);
    if (!rest || *rest)
        return spak_fail(err,
                         "--prompt: expected a problem such as \"321+654=\" (%s digit first, 1 to %d digits), found "
                         "\"%.100s\"",
                         task->reversed ? "lowest" : "highest", NN_ADD_MOST_DIGITS, o->prompt ? o->prompt : "");
    p->c_digits = (p->a_digits > p->b_digits ? p->a_digits : p->b_digits) + 1;
    return true;
}

static void print_number(const unsigned char *digits, size_t n) {
    while (n > 1 && !digits[n - 1]) n--;
    while (n-- > 0) putchar('0' + digits[n]);
}

/* The same in the usual order, with the verdict. whole: the answer is digits and nothing else. */
static void judge(nn_problem *p, const unsigned char *answer, size_t n, bool whole) {
    int carry = 0;
    bool right = n > 0 && whole;
    for (size_t i = 0; i < p->c_digits; i++) {
        const int a = i < p->a_digits ? p->a[i] : 0, b = i < p->b_digits ? p->b[i] : 0, sum = a + b + carry;
        p->c[i] = (unsigned char)(sum % 10);
        carry = sum / 10;
        right = right && (i < n ? answer[i] : 0) == p->c[i];
    }
    print_number(p->a, p->a_digits);
    printf(" + ");
    print_number(p->b, p->b_digits);
    printf(" = ");
    if (n)
        print_number(answer, n);
    else
        printf("nothing");
    printf(right ? ", which is right\n" : ", which is wrong: it is ");
    if (!right) print_number(p->c, p->c_digits), putchar('\n');
}

static size_t place_after_equals(const nn_add_rows *r) {
    size_t at = 0;
    while (r->tokens[at] != NN_ADD_EQUALS) at++;
    return at + 1;
}

/* Fills in the answer; *end is where it ends. */
static bool answer_row(const nn_addition *task, sampler *s, nn_add_rows *r, size_t *end, spak_error *err) {
    const nn_batch text = nn_add_rows_batch(r);
    size_t at = place_after_equals(r);
    if (task->layout == NN_ADD_ONE_PASS) {
        int32_t best[3 * NN_ADD_MOST_DIGITS + 3];
        if (!nn_forward(s->model, &text, NULL, err)) return false;
        nn_predictions(s->model, 0, best, NULL);
        memcpy(r->tokens + at, best + at, (r->len - at) * sizeof *best);
        *end = r->len;
        return true;
    }
    for (; at < r->len; at++) {
        int32_t token;
        if (!next_token(s, &text, at, &token, err)) return false;
        r->tokens[at] = token;
        if (token == NN_ADD_END) break;
    }
    *end = at;
    return true;
}

static void show_answer(const nn_addition *task, const nn_add_rows *r, size_t end, nn_problem *p) {
    unsigned char answer[NN_ADD_MOST_DIGITS + 1], turned[NN_ADD_MOST_DIGITS + 1];
    size_t n = 0;
    bool whole = true, blanks = task->layout == NN_ADD_BLANKS || task->layout == NN_ADD_ONE_PASS;
    for (size_t i = 0; i < end; i++) putchar(SYMBOLS[r->tokens[i]]);
    putchar('\n');
    for (size_t i = place_after_equals(r); i < end; i++) {
        const int32_t token = r->tokens[i];
        if (token < 10 && n < sizeof answer)
            answer[n++] = (unsigned char)token;
        else if (!(blanks && token == NN_ADD_BLANK))
            whole = false;
    }
    for (size_t i = 0; i < n; i++) turned[i] = answer[task->reversed ? i : n - 1 - i];
    judge(p, turned, n, whole);
}

static bool sample_addition(const options *o, const cli_lm *lm, nn_model *model, const nn_problem *problem,
                            spak_error *err) {
    const nn_addition *task = &lm->config.addition;
    nn_problem p = *problem;
    sampler s = {0};
    nn_add_rows *rows = NULL;
    size_t end;
    bool good = open_sampler(o, o->temperature < 0 ? 0 : o->temperature, model, &s, err) &&
                nn_add_rows_new(1, nn_addition_test_len(task, p.c_digits - 1), &rows, err);
    if (good) nn_addition_test_rows(task, &p, 1, rows);
    good = good && answer_row(task, &s, rows, &end, err);
    if (good) show_answer(task, rows, end, &p);
    nn_add_rows_free(rows);
    close_sampler(&s);
    return good;
}

static bool sample(options *o, cli_lm *lm, spak_error *err) {
    nn_model *model = NULL;
    if (!cli_lm_open(o->path, lm, err)) return false;
    bool good;
    if (lm->trained && lm->config.task == NN_TASK_ADDITION) {
        nn_problem p;
        const nn_addition *task = &lm->config.addition;
        good = read_problem(o, task, &p, err);
        if (good && task->layout == NN_ADD_BLANKS && p.c_digits > task->slots)
            good = spak_fail(err, "--prompt: operands of %zu digits do not fit the model's %zu slots", p.c_digits - 1,
                             task->slots);
        if (task->layout == NN_ADD_ONE_PASS) o->no_cache = true;
        good = good && cli_lm_model(lm, 1, nn_addition_test_len(task, p.c_digits - 1), 0, o->threads, &model, err) &&
               sample_addition(o, lm, model, &p, err);
    } else {
        good = cli_lm_model(lm, 1, 0, 0, o->threads, &model, err) && sample_text(o, lm, model, err);
    }
    nn_model_free(model);
    return good;
}

int cli_sample(int argc, char **argv) {
    options o;
    cli_lm lm = {0};
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout), CLI_OK;
    if (!parse(argc, argv, &o)) return cli_usage(usage);
    spak_error err = {0};
    const bool good = sample(&o, &lm, &err);
    cli_lm_close(&lm);
    return good ? CLI_OK : cli_error(&err);
}
