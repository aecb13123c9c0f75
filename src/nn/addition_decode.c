/* Decoding additions greedily, as they would be used: the prompt at once, then a token at a time from the model's own
 * answers, with a cache, and halting where it is on. It gives the count that evaluation with the right tokens gives:
 * until its first wrong token the two see the same, and after it both are wrong. */
#include <string.h>

#include "base/alloc.h"
#include "nn/addition.h"

typedef enum kind { OPERAND, SIGN, EQUALS, ANSWER, KINDS } kind;

typedef struct decoding {
    const nn_addition *task;
    const nn_exam *exam;
    nn_model *model;
    const nn_halting *halting;
    nn_problem *problems;
    size_t batch, steps, prompt; /* sequences; tokens that are answered; tokens before the first answer */
    nn_decoder *decoder;
    nn_add_rows *rows;
    int32_t *tokens, *index, *kinds, *spent;
    float *logits;
    bool *right;
    size_t counted[KINDS], loops[KINDS];
} decoding;

static kind kind_of(int32_t token, bool answer) {
    return answer ? ANSWER : token == NN_ADD_PLUS ? SIGN : token == NN_ADD_EQUALS ? EQUALS : OPERAND;
}

static void count(decoding *d, size_t n, size_t len, bool answer) {
    for (size_t row = 0; row < n; row++)
        for (size_t t = 0; t < len; t++) {
            const kind k = kind_of(d->tokens[row * len + t], answer);
            d->counted[k]++;
            d->loops[k] += (size_t)d->spent[row * len + t];
        }
}

/* The prompt of every problem: operands and signs, which are as long for all. */
static void take_prompts(decoding *d) {
    for (size_t row = 0; row < d->batch; row++)
        for (size_t t = 0; t < d->prompt; t++) {
            const size_t from = row * d->rows->len + t, to = row * d->prompt + t;
            d->tokens[to] = d->rows->tokens[from];
            d->index[to] = d->rows->index[from];
            d->kinds[to] = d->rows->kinds[from];
        }
}

/* The best token of each row is its answer number `step`, is marked, and goes in next. A sum that is written highest
 * digit first has its index from the model's right answer's length, which a wrong answer only shares. */
static void take_answers(decoding *d, size_t at, size_t n, size_t step) {
    for (size_t row = 0; row < d->batch; row++) {
        const size_t place = row * d->rows->len + d->prompt - 1 + step;
        const int32_t best = nn_sample(d->logits + row * NN_ADD_VOCAB, NN_ADD_VOCAB, 0, 0, 0);
        const bool asked = row < n && step < d->steps && d->rows->targets[place] >= 0;
        if (asked && best != d->rows->targets[place]) d->right[at + row] = false;
        d->tokens[row] = best;
        d->kinds[row] = 1;
        d->index[row] = best > 9                               ? 0
                        : d->task->reversed                    ? (int32_t)step + 1
                        : place + 1 < (row + 1) * d->rows->len ? d->rows->index[place + 1]
                                                               : 0;
    }
}

/* Problems at..at + n, in a decoder of `batch` sequences; what is over repeats the first. */
static bool decode_some(decoding *d, size_t at, size_t n, spak_error *err) {
    for (size_t row = 0; row < d->batch; row++) {
        nn_add_rows one = *d->rows;
        const size_t shift = row * d->rows->len;
        one.rows = 1;
        one.tokens += shift, one.targets += shift, one.index += shift, one.kinds += shift, one.segments += shift;
        one.owner += shift;
        nn_addition_test_rows(d->task, &d->problems[at + (row < n ? row : 0)], 1, &one);
    }
    nn_decoder_reset(d->decoder);
    take_prompts(d);
    size_t len = d->prompt;
    for (size_t step = 0; step < d->steps; step++) {
        if (!nn_decode(d->decoder, len, d->tokens, d->index, d->kinds, d->logits, d->spent, err)) return false;
        count(d, n, len, step > 0);
        take_answers(d, at, n, step);
        len = 1;
    }
    return true;
}

static bool take_memory(decoding *d, spak_error *err) {
    const size_t n = d->batch * d->prompt;
    int32_t *memory = spak_malloc(4 * n * sizeof *memory);
    d->tokens = memory;
    d->logits = spak_malloc(d->batch * NN_ADD_VOCAB * sizeof *d->logits);
    d->right = spak_malloc((d->exam->problems + 1) * sizeof *d->right);
    d->problems = spak_malloc((d->exam->problems + 1) * sizeof *d->problems);
    if (!memory || !d->logits || !d->right || !d->problems) return spak_fail_oom(err);
    d->index = memory + n, d->kinds = memory + 2 * n, d->spent = memory + 3 * n;
    for (size_t i = 0; i < d->exam->problems; i++) d->right[i] = true;
    return nn_add_rows_new(d->batch, nn_addition_test_len(d->task, d->exam->digits), &d->rows, err) &&
           nn_decoder_new(d->model, d->batch, d->halting, &d->decoder, err);
}

static json_t *spent_on(const decoding *d, kind k) {
    return json_pack("[I,I]", (json_int_t)d->counted[k], (json_int_t)d->loops[k]);
}

static json_t *result_of(const decoding *d, size_t found) {
    size_t correct = 0;
    for (size_t i = 0; i < found; i++) correct += d->right[i];
    return json_pack("{s:I,s:s,s:I,s:[I],s:[I],s:{s:o,s:o,s:o,s:o},s:o*}", "digits", (json_int_t)d->exam->digits, "set",
                     nn_add_set_name(d->exam->set), "problems", (json_int_t)found, "loops",
                     (json_int_t)d->halting->most_loops, "correct", (json_int_t)correct, "spent", "operand",
                     spent_on(d, OPERAND), "sign", spent_on(d, SIGN), "equals", spent_on(d, EQUALS), "answer",
                     spent_on(d, ANSWER), "marks", d->exam->marks ? nn_exam_marks(d->right, found) : NULL);
}

bool nn_addition_decode(const nn_addition *task, nn_model *model, size_t rows, const nn_exam *exam,
                        const nn_halting *halting, json_t **result, spak_error *err) {
    *result = NULL;
    if (task->layout != NN_ADD_SINGLE && task->layout != NN_ADD_PACKED)
        return spak_fail(err, "only the layouts single and packed are decoded a token at a time");
    if (nn_model_config(model)->segments)
        return spak_fail(err, "a decoder holds one problem a sequence: make the model without segments");
    decoding d = {.task = task,
                  .exam = exam,
                  .model = model,
                  .halting = halting,
                  .batch = rows < exam->problems ? rows : exam->problems,
                  .steps = exam->digits + 2,
                  .prompt = 2 * exam->digits + 2};
    size_t found = 0;
    bool good = take_memory(&d, err) &&
                nn_addition_test_set(exam->set, exam->digits, exam->seed, exam->problems, d.problems, &found, err);
    for (size_t at = 0; good && at < found; at += d.batch)
        good = decode_some(&d, at, found - at < d.batch ? found - at : d.batch, err);
    if (good) {
        *result = result_of(&d, found);
        good = *result || spak_fail_oom(err);
    }
    nn_decoder_free(d.decoder);
    nn_add_rows_free(d.rows);
    spak_free(d.tokens);
    spak_free(d.logits);
    spak_free(d.right);
    spak_free(d.problems);
    return good;
}
