/* spak eval: how good a trained model is. Text: the loss on the validation part, or GPT-2's on a file. Additions: exact
 * match, by length. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "cli/cli.h"
#include "cli/lm.h"
#include "device/device.h"

static const char usage[] =
    "usage: spak eval CHECKPOINT [--threads N]\n"
    "       spak eval CHECKPOINT [--digits 1-8,12] [--set random|chains|full_chains] [--loops 4,8,12] [--problems N]\n"
    "                            [--halting X[,Y]] [--threads N]\n"
    "       spak eval FOLDER --text FILE [--threads N]\n"
    "\n"
    "Text: the loss on the whole validation part. FOLDER: GPT-2, see `spak sample --help`; its loss on the text of a\n"
    "file, cut into pieces as long as its context. Additions: how many problems are right to the last digit, with the\n"
    "Wilson interval of 95 %; test problems are never trained on.\n"
    "  --digits    of both operands (default: 1 to two more than in training)\n"
    "  --loops     look after these numbers of loops (default: the configuration's)\n"
    "  --problems  of each length (default 1000; of one digit there are some 25)\n"
    "  --halting   a token thinks until the probability of its best continuation is X; from '=' on, Y (default X);\n"
    "              --loops is then the most that it may think\n";

enum { MOST = 64, ROWS_AT_A_TIME = 64, TEST_SEED = 20260224 };

typedef struct options {
    const char *path, *text;
    size_t digits[MOST], num_digits, loops[MOST], num_loops, problems;
    nn_add_set set;
    const char *set_name;
    nn_halting halting;
    int threads;
    bool of_additions; /* an option was given that only additions have */
} options;

static bool read_halting(const char *text, nn_halting *h) {
    char *end;
    *h = (nn_halting){.on = true, .thinking_from = NN_ADD_EQUALS};
    h->threshold = h->thinking_threshold = strtof(text, &end);
    if (end == text) return false;
    if (*end == ',') {
        text = end + 1;
        h->thinking_threshold = strtof(text, &end);
        if (end == text) return false;
    }
    return !*end && h->threshold > 0 && h->thinking_threshold > 0 && h->threshold <= 1 && h->thinking_threshold <= 1;
}

static bool parse(int argc, char **argv, options *o) {
    const char *digits = NULL, *loops = NULL, *halting = NULL, *problems = NULL, *threads = NULL, *set = NULL;
    size_t number = 0, count = 0;
    *o = (options){.problems = 1000, .set = NN_ADD_RANDOM, .set_name = "random", .threads = dev_cpu_count()};
    for (int i = 1; i < argc; i++) {
        if (cli_value(argc, argv, &i, "--digits", &digits) || cli_value(argc, argv, &i, "--loops", &loops) ||
            cli_value(argc, argv, &i, "--halting", &halting) || cli_value(argc, argv, &i, "--problems", &problems) ||
            cli_value(argc, argv, &i, "--threads", &threads) || cli_value(argc, argv, &i, "--set", &set) ||
            cli_value(argc, argv, &i, "--text", &o->text))
            continue;
        if (argv[i][0] == '-' || o->path) return cli_stray(argv[i], "one checkpoint is enough");
        o->path = argv[i];
    }
    if (digits && !cli_numbers(digits, o->digits, MOST, &o->num_digits))
        return cli_wrong("--digits", "expected at most 64 numbers from 1 on, such as 1-8,12");
    if (loops && !cli_numbers(loops, o->loops, MOST, &o->num_loops))
        return cli_wrong("--loops", "expected at most 64 numbers from 1 on, such as 4,8,12");
    for (size_t i = 1; i < o->num_loops; i++)
        if (o->loops[i] <= o->loops[i - 1]) return cli_wrong("--loops", "expected ascending numbers");
    if (problems && !cli_numbers(problems, &o->problems, 1, &count))
        return cli_wrong("--problems", "expected 1 to 1048576");
    const bool all = threads && !strcmp(threads, "0");
    if (threads && !all && (!cli_numbers(threads, &number, 1, &count) || number > 256))
        return cli_wrong("--threads", "expected 0 to 256");
    if (threads && !all) o->threads = (int)number;
    if (set && !nn_add_set_parse(o->set_name = set, &o->set))
        return cli_wrong("--set", "expected random, chains or full_chains");
    if (halting && !read_halting(halting, &o->halting))
        return cli_wrong("--halting", "expected one or two probabilities above 0, such as 0.9,0.99");
    if (halting && o->num_loops > 1) return cli_wrong("--loops", "with --halting: one number, the most");
    o->of_additions = digits || loops || halting || problems || set;
    return o->path;
}

/* --- text --- */

static bool eval_text(const options *o, const cli_lm *lm, spak_error *err) {
    nn_trainer *t = NULL;
    json_t *result = NULL;
    if (o->of_additions) return spak_fail(err, "%s: a model of text; of the options it has --threads", lm->path);
    const bool good = nn_trainer_examine(lm->path, (size_t)o->threads, &t, err) && nn_trainer_validate(t, &result, err);
    if (good) {
        const double loss = spak_json_num(result, "validation_loss", NAN);
        printf("%s, %llu steps, data set %s (%s)\n", lm->path, (unsigned long long)nn_trainer_next(t),
               lm->config.text.dataset, spak_json_str(nn_trainer_data(t), "origin", ""));
        printf("validation loss %.4f nats a character (%.4f bits) over %lld characters\n", loss, loss / log(2),
               spak_json_int(result, "tokens", 0));
    }
    json_decref(result);
    nn_trainer_free(t);
    return good;
}

/* Sum of the losses of tokens 1..n - 1, in pieces: the last token of a piece is the first that the next one sees. */
static bool sum_losses(nn_model *model, const int32_t *ids, size_t n, double *sum, spak_error *err) {
    const size_t context = nn_model_config(model)->context;
    *sum = 0;
    for (size_t at = 0, len; at + 1 < n; at += len) {
        double loss;
        len = n - 1 - at < context ? n - 1 - at : context;
        const nn_batch piece = {.batch = 1, .len = len, .tokens = ids + at, .targets = ids + at + 1};
        if (!nn_forward(model, &piece, &loss, err)) return false;
        *sum += loss * (double)len;
    }
    return true;
}

static bool eval_gpt2(const options *o, const cli_lm *lm, spak_error *err) {
    spak_str text = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    double sum = 0;
    nn_model *model = NULL;
    if (o->of_additions) return spak_fail(err, "%s: GPT-2; of the options it has --text and --threads", lm->path);
    if (!o->text) return spak_fail(err, "%s: GPT-2 does not say what it learned from; give a text by --text", lm->path);
    bool good = spak_read_file(o->text, &text, err) &&
                cli_lm_encode(lm, o->text, spak_str_text(&text), text.len, &ids, &n, err);
    if (good && n < 2) good = spak_fail(err, "%s: expected 2 tokens or more, found %zu", o->text, n);
    good = good && cli_lm_model(lm, 1, 0, 0, o->threads, &model, err) && sum_losses(model, ids, n, &sum, err);
    if (good) {
        const double loss = sum / (double)(n - 1);
        printf("%s on %s, pieces of %zu tokens\n", lm->path, o->text, lm->config.model.context);
        printf("loss %.4f nats a token (perplexity %.2f) over %zu tokens\n", loss, exp(loss), n - 1);
    }
    nn_model_free(model);
    spak_free(ids);
    spak_str_free(&text);
    return good;
}

/* --- additions --- */

/* Wilson's interval for `right` of n (E. B. Wilson, 1927), at 95 %. */
static void wilson(double right, double n, double *low, double *high) {
    const double z = 1.959963984540054, p = right / n, scale = 1 / (1 + z * z / n);
    const double middle = scale * (p + z * z / (2 * n)), half = scale * z * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    *low = right > 0 ? middle - half : 0;
    *high = right < n ? middle + half : 1;
}

static void print_row(size_t digits, double loops, bool mean, size_t right, size_t n) {
    double low, high;
    if (!n) {
        printf("%6zu  no test problems of this length\n", digits);
        return;
    }
    wilson((double)right, (double)n, &low, &high);
    printf("%6zu  %*.*f  %7zu of %-7zu  %6.2f %%  %6.2f to %6.2f %%\n", digits, 6, mean ? 2 : 0, loops, right, n,
           100 * (double)right / (double)n, 100 * low, 100 * high);
}

static bool eval_length(const options *o, const cli_lm *lm, nn_model *model, size_t digits, spak_error *err) {
    json_t *result = NULL;
    const nn_exam exam = {.set = o->set,
                          .digits = digits,
                          .problems = o->problems,
                          .seed = TEST_SEED,
                          .loops = o->num_loops ? o->loops : NULL,
                          .num_loops = o->num_loops};
    if (!nn_addition_evaluate(&lm->config.addition, model, ROWS_AT_A_TIME, &exam, &result, err)) return false;
    const json_t *loops = json_object_get(result, "loops"), *correct = json_object_get(result, "correct");
    for (size_t i = 0; i < json_array_size(loops); i++)
        print_row(digits, (double)json_integer_value(json_array_get(loops, i)), false,
                  (size_t)json_integer_value(json_array_get(correct, i)), (size_t)spak_json_int(result, "problems", 0));
    json_decref(result);
    return true;
}

/* --- with halting: token by token, given the right ones before --- */

typedef struct halting_run {
    const nn_addition *task;
    nn_decoder *decoder;
    size_t vocab;
    nn_add_rows *rows;
    float *logits;                            /* (rows, vocab) */
    int32_t *column, *index, *kinds, *spent;  /* (rows, len) */
    size_t right, problems, answers, thought; /* tokens of answers, loops spent on them */
} halting_run;

/* Columns from..from + n of the rows, as the decoder takes them. */
static void cut(const nn_add_rows *r, const int32_t *all, size_t from, size_t n, int32_t *out) {
    for (size_t row = 0; row < r->rows; row++) memcpy(out + row * n, all + row * r->len + from, n * sizeof *out);
}

static bool feed(halting_run *h, size_t from, size_t n, spak_error *err) {
    cut(h->rows, h->rows->tokens, from, n, h->column);
    cut(h->rows, h->rows->index, from, n, h->index);
    cut(h->rows, h->rows->kinds, from, n, h->kinds);
    return nn_decode(h->decoder, n, h->column, h->index, h->kinds, h->logits, h->spent, err);
}

/* The rows hold the answers; that a row is right means that each token of it is the best one given those before. */
static bool answer_rows(halting_run *h, size_t n, spak_error *err) {
    const nn_add_rows *r = h->rows;
    bool right[ROWS_AT_A_TIME];
    size_t at = 0;
    while (r->tokens[at] != NN_ADD_EQUALS) at++;
    for (size_t i = 0; i < ROWS_AT_A_TIME; i++) right[i] = true;
    nn_decoder_reset(h->decoder);
    for (size_t from = 0, len = at + 1; from < r->len; from += len, len = 1) {
        if (!feed(h, from, len, err)) return false;
        for (size_t row = 0; row < n; row++) {
            const int32_t target = r->targets[row * r->len + from + len - 1];
            if (target < 0) continue;
            right[row] = right[row] && nn_sample(h->logits + row * h->vocab, h->vocab, 0, 0, 0) == target;
            h->answers++;
            h->thought += (size_t)h->spent[row * len + len - 1];
        }
    }
    for (size_t row = 0; row < n; row++) h->right += right[row];
    h->problems += n;
    return true;
}

static bool open_halting(const options *o, const cli_lm *lm, nn_model *model, size_t len, halting_run *h,
                         spak_error *err) {
    nn_halting halting = o->halting;
    halting.most_loops = o->num_loops ? o->loops[0] : lm->config.model.loops;
    const size_t n = ROWS_AT_A_TIME * len;
    *h = (halting_run){.task = &lm->config.addition, .vocab = lm->config.model.vocab};
    h->logits = spak_malloc(ROWS_AT_A_TIME * h->vocab * sizeof *h->logits);
    h->column = spak_malloc(4 * n * sizeof *h->column);
    if (!h->logits || !h->column) return spak_fail_oom(err);
    h->index = h->column + n, h->kinds = h->index + n, h->spent = h->kinds + n;
    return nn_add_rows_new(ROWS_AT_A_TIME, len, &h->rows, err) &&
           nn_decoder_new(model, ROWS_AT_A_TIME, &halting, &h->decoder, err);
}

static bool eval_halting(const options *o, const cli_lm *lm, nn_model *model, size_t digits, spak_error *err) {
    halting_run h;
    nn_problem *p = spak_malloc((o->problems + ROWS_AT_A_TIME) * sizeof *p);
    size_t found = 0;
    if (!p) return spak_fail_oom(err);
    bool good = open_halting(o, lm, model, nn_addition_test_len(&lm->config.addition, digits), &h, err) &&
                nn_addition_test_set(o->set, digits, TEST_SEED, o->problems, p, &found, err);
    for (size_t i = found; good && found && i < found + ROWS_AT_A_TIME; i++) p[i] = p[0]; /* fills up the last rows */
    for (size_t at = 0; good && at < found; at += ROWS_AT_A_TIME) {
        nn_addition_test_rows(h.task, p + at, ROWS_AT_A_TIME, h.rows);
        good = answer_rows(&h, found - at < ROWS_AT_A_TIME ? found - at : ROWS_AT_A_TIME, err);
    }
    if (good) print_row(digits, h.answers ? (double)h.thought / (double)h.answers : 0, true, h.right, h.problems);
    nn_decoder_free(h.decoder);
    nn_add_rows_free(h.rows);
    spak_free(h.logits);
    spak_free(h.column);
    spak_free(p);
    return good;
}

static bool eval_additions(options *o, const cli_lm *lm, spak_error *err) {
    const nn_addition *task = &lm->config.addition;
    nn_model *model = NULL;
    size_t longest = 1;
    if (o->halting.on && task->layout == NN_ADD_ONE_PASS)
        return spak_fail(err, "--halting: %s answers in one pass, token by token there is nothing to halt", lm->path);
    if (!o->num_digits)
        while (o->num_digits < task->most_digits + 2 && o->num_digits < MOST)
            o->digits[o->num_digits] = o->num_digits + 1, o->num_digits++;
    for (size_t i = 0; i < o->num_digits; i++)
        if (o->digits[i] > longest) longest = o->digits[i];
    if (longest > NN_ADD_MOST_DIGITS) return spak_fail(err, "--digits: at most %d", NN_ADD_MOST_DIGITS);
    if (task->layout == NN_ADD_BLANKS && longest + 1 > task->slots)
        return spak_fail(err, "--digits: operands of %zu digits do not fit the model's %zu slots", longest,
                         task->slots);
    bool good = cli_lm_model(lm, ROWS_AT_A_TIME, nn_addition_test_len(task, longest),
                             o->num_loops ? o->loops[o->num_loops - 1] : 0, o->threads, &model, err);
    if (good)
        printf("%s, %s problems\ndigits  %sloops  exact match          share    95 %% interval\n", lm->path,
               o->set_name, o->halting.on ? "" : " ");
    for (size_t i = 0; good && i < o->num_digits; i++)
        good = (o->halting.on ? eval_halting : eval_length)(o, lm, model, o->digits[i], err);
    nn_model_free(model);
    return good;
}

int cli_eval(int argc, char **argv) {
    options o;
    cli_lm lm = {0};
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout), CLI_OK;
    if (!parse(argc, argv, &o)) return cli_usage(usage);
    spak_error err = {0};
    bool good = cli_lm_open(o.path, &lm, &err);
    if (good && lm.trained && o.text)
        good = spak_fail(&err, "--text: %s is a checkpoint of `spak train`, which says what it is tried on", o.path);
    good = good && (!lm.trained                      ? eval_gpt2(&o, &lm, &err)
                    : lm.config.task == NN_TASK_TEXT ? eval_text(&o, &lm, &err)
                                                     : eval_additions(&o, &lm, &err));
    cli_lm_close(&lm);
    return good ? CLI_OK : cli_error(&err);
}
