/* Exact match of a model on additions: per length, per number of carries, and after several numbers of loops. */
#include <string.h>

#include "base/alloc.h"
#include "nn/addition.h"

typedef struct marks {
    size_t num_loops;
    const size_t *loops;
    size_t *correct; /* (num_loops) problems */
    bool *right;     /* (problems), after the last of loops */
    size_t tokens, token_correct;
    size_t problems_by[NN_ADD_MOST_DIGITS + 2],
        correct_by[NN_ADD_MOST_DIGITS + 2]; /* by carries, at the last of loops */
} marks;

static bool row_is_right(const nn_add_rows *r, size_t row, const int32_t *best) {
    for (size_t t = row * r->len; t < (row + 1) * r->len; t++)
        if (r->targets[t] >= 0 && best[t] != r->targets[t]) return false;
    return true;
}

static void mark(const nn_add_rows *r, size_t at, const nn_problem *p, const int32_t *best, size_t which, marks *m) {
    const bool last = which + 1 == m->num_loops;
    for (size_t row = 0; row < r->rows; row++) {
        const bool right = row_is_right(r, row, best);
        m->correct[which] += right;
        if (!last) continue;
        const size_t carries = nn_problem_carries(&p[at + row]);
        m->right[at + row] = right;
        m->problems_by[carries]++;
        m->correct_by[carries] += right;
        for (size_t t = row * r->len; t < (row + 1) * r->len; t++)
            if (r->targets[t] >= 0) m->tokens++, m->token_correct += best[t] == r->targets[t];
    }
}

static bool evaluate_rows(const nn_addition *task, nn_model *model, const nn_problem *p, size_t at,
                          const nn_add_rows *rows, int32_t *best, marks *m, spak_error *err) {
    if (!nn_add_rows_check(task, rows, err)) return false;
    nn_batch batch = nn_add_rows_batch(rows);
    batch.targets = NULL;
    batch.loops = m->loops[m->num_loops - 1];
    if (!nn_forward(model, &batch, NULL, err)) return false;
    for (size_t i = 0; i < m->num_loops; i++) {
        nn_predictions(model, m->loops[i], best, NULL);
        mark(rows, at, p, best, i, m);
    }
    return true;
}

json_t *nn_exam_marks(const bool *right, size_t problems) {
    static const char hex[] = "0123456789abcdef";
    spak_str text = {0};
    for (size_t i = 0; i < problems; i += 4) {
        int digit = 0;
        for (size_t bit = 0; bit < 4 && i + bit < problems; bit++) digit |= right[i + bit] << bit;
        spak_str_putc(&text, hex[digit]);
    }
    json_t *json = text.oom ? NULL : json_string(spak_str_text(&text));
    spak_str_free(&text);
    return json;
}

static json_t *result_of(const nn_exam *exam, size_t problems, const marks *m) {
    json_t *loops = json_array(), *correct = json_array(), *by = json_array();
    for (size_t i = 0; i < m->num_loops; i++) {
        json_array_append_new(loops, json_integer((json_int_t)m->loops[i]));
        json_array_append_new(correct, json_integer((json_int_t)m->correct[i]));
    }
    for (size_t c = 0; c < sizeof m->problems_by / sizeof *m->problems_by; c++)
        if (m->problems_by[c])
            json_array_append_new(
                by, json_pack("[I,I,I]", (json_int_t)c, (json_int_t)m->problems_by[c], (json_int_t)m->correct_by[c]));
    return json_pack("{s:I,s:s,s:I,s:o,s:o,s:o,s:I,s:I,s:o*}", "digits", (json_int_t)exam->digits, "set",
                     nn_add_set_name(exam->set), "problems", (json_int_t)problems, "loops", loops, "correct", correct,
                     "by_carries", by, "tokens", (json_int_t)m->tokens, "token_correct", (json_int_t)m->token_correct,
                     "marks", exam->marks ? nn_exam_marks(m->right, problems) : NULL);
}

static bool evaluate(const nn_addition *task, nn_model *model, size_t batch, const nn_problem *p, size_t n,
                     size_t digits, marks *m, spak_error *err) {
    const size_t len = nn_addition_test_len(task, digits);
    nn_add_rows *rows = NULL;
    int32_t *best = spak_malloc(batch * len * sizeof *best);
    bool good = (best || spak_fail_oom(err)) && nn_add_rows_new(batch, len, &rows, err);
    for (size_t at = 0; good && at < n; at += batch) {
        rows->rows = n - at < batch ? n - at : batch;
        nn_addition_test_rows(task, p + at, rows->rows, rows);
        good = evaluate_rows(task, model, p, at, rows, best, m, err);
    }
    nn_add_rows_free(rows);
    spak_free(best);
    return good;
}

bool nn_addition_evaluate(const nn_addition *task, nn_model *model, size_t rows, const nn_exam *exam, json_t **result,
                          spak_error *err) {
    *result = NULL;
    if (task->layout == NN_ADD_BLANKS && exam->digits + 1 > task->slots)
        return spak_fail(err, "problems of %zu digits do not fit %zu slots", exam->digits, task->slots);
    const size_t own = nn_model_config(model)->loops, num_loops = exam->loops ? exam->num_loops : 1;
    marks *m = spak_calloc(1, sizeof *m);
    nn_problem *p = spak_malloc((exam->problems + 1) * sizeof *p);
    bool *right = spak_calloc(exam->problems + 1, sizeof *right);
    size_t found = 0, *correct = spak_calloc(num_loops + 1, sizeof *correct);
    bool good = (m && p && correct && right) || spak_fail_oom(err);
    if (good) {
        *m = (marks){
            .num_loops = num_loops, .loops = exam->loops ? exam->loops : &own, .correct = correct, .right = right};
        good = nn_addition_test_set(exam->set, exam->digits, exam->seed, exam->problems, p, &found, err) &&
               evaluate(task, model, rows, p, found, exam->digits, m, err);
    }
    if (good) {
        *result = result_of(exam, found, m);
        good = *result || spak_fail_oom(err);
    }
    spak_free(correct);
    spak_free(right);
    spak_free(p);
    spak_free(m);
    return good;
}
