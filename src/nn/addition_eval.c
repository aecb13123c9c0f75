/* Exact match of a model on additions: per length, per number of carries, and after several numbers of loops. */
#include <string.h>

#include "base/alloc.h"
#include "nn/addition.h"

typedef struct marks {
    size_t num_loops;
    const size_t *loops;
    size_t *correct; /* (num_loops) problems */
    size_t tokens, token_correct;
    size_t problems_by[NN_ADD_MOST_DIGITS + 2],
        correct_by[NN_ADD_MOST_DIGITS + 2]; /* by carries, at the last of loops */
} marks;

static bool row_is_right(const nn_add_rows *r, size_t row, const int32_t *best) {
    for (size_t t = row * r->len; t < (row + 1) * r->len; t++)
        if (r->targets[t] >= 0 && best[t] != r->targets[t]) return false;
    return true;
}

static void mark(const nn_add_rows *r, size_t n, const nn_problem *p, const int32_t *best, size_t which, marks *m) {
    const bool last = which + 1 == m->num_loops;
    for (size_t row = 0; row < n; row++) {
        const bool right = row_is_right(r, row, best);
        m->correct[which] += right;
        if (!last) continue;
        const size_t carries = nn_problem_carries(&p[row]);
        m->problems_by[carries]++;
        m->correct_by[carries] += right;
        for (size_t t = row * r->len; t < (row + 1) * r->len; t++)
            if (r->targets[t] >= 0) m->tokens++, m->token_correct += best[t] == r->targets[t];
    }
}

static bool evaluate_rows(const nn_addition *task, nn_model *model, const nn_problem *p, const nn_add_rows *rows,
                          int32_t *best, marks *m, spak_error *err) {
    if (!nn_add_rows_check(task, rows, err)) return false;
    nn_batch batch = nn_add_rows_batch(rows);
    batch.targets = NULL;
    batch.loops = m->loops[m->num_loops - 1];
    if (!nn_forward(model, &batch, NULL, err)) return false;
    for (size_t i = 0; i < m->num_loops; i++) {
        nn_predictions(model, m->loops[i], best, NULL);
        mark(rows, rows->rows, p, best, i, m);
    }
    return true;
}

static json_t *result_of(const char *set, size_t digits, size_t problems, const marks *m) {
    json_t *loops = json_array(), *correct = json_array(), *by = json_array();
    for (size_t i = 0; i < m->num_loops; i++) {
        json_array_append_new(loops, json_integer((json_int_t)m->loops[i]));
        json_array_append_new(correct, json_integer((json_int_t)m->correct[i]));
    }
    for (size_t c = 0; c < sizeof m->problems_by / sizeof *m->problems_by; c++)
        if (m->problems_by[c])
            json_array_append_new(
                by, json_pack("[I,I,I]", (json_int_t)c, (json_int_t)m->problems_by[c], (json_int_t)m->correct_by[c]));
    return json_pack("{s:I,s:s,s:I,s:o,s:o,s:o,s:I,s:I}", "digits", (json_int_t)digits, "set", set, "problems",
                     (json_int_t)problems, "loops", loops, "correct", correct, "by_carries", by, "tokens",
                     (json_int_t)m->tokens, "token_correct", (json_int_t)m->token_correct);
}

static const char *set_name(nn_add_set set) {
    return set == NN_ADD_RANDOM ? "random" : set == NN_ADD_CHAINS ? "chains" : "full_chains";
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
        good = evaluate_rows(task, model, p + at, rows, best, m, err);
    }
    nn_add_rows_free(rows);
    spak_free(best);
    return good;
}

bool nn_addition_evaluate(const nn_addition *task, nn_model *model, size_t rows, nn_add_set set, size_t digits,
                          uint64_t seed, size_t problems, const size_t *loops, size_t num_loops, json_t **result,
                          spak_error *err) {
    *result = NULL;
    if (task->layout == NN_ADD_BLANKS && digits + 1 > task->slots)
        return spak_fail(err, "problems of %zu digits do not fit %zu slots", digits, task->slots);
    const size_t own = nn_model_config(model)->loops;
    marks *m = spak_calloc(1, sizeof *m);
    nn_problem *p = spak_malloc((problems + 1) * sizeof *p);
    size_t found = 0, *correct = spak_calloc(num_loops + 1, sizeof *correct);
    bool good = (m && p && correct) || spak_fail_oom(err);
    if (good) {
        *m = (marks){.num_loops = loops ? num_loops : 1, .loops = loops ? loops : &own, .correct = correct};
        good = nn_addition_test_set(set, digits, seed, problems, p, &found, err) &&
               evaluate(task, model, rows, p, found, digits, m, err);
    }
    if (good) {
        *result = result_of(set_name(set), digits, found, m);
        good = *result || spak_fail_oom(err);
    }
    spak_free(correct);
    spak_free(p);
    spak_free(m);
    return good;
}
