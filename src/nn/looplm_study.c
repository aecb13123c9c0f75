/* What is derived and not trained: the entropy of the data, and parameters counted. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "device/trial.h"
#include "nn/looplm.h"

/* --- entropy ---
 *
 * Nothing foretells an operand: the best that a model can do on its tokens is to know how they are drawn. So where the
 * operands are learned too, the loss has a floor: the entropy of a problem, spread over its tokens. The sum adds tokens
 * and no entropy, for it follows from the operands.
 *
 * A number is drawn as n digits, n uniform in 1..most, and loses its leading zeros. So a number of d digits has the
 * probability sum over n >= d of 10^-n / most. Both operands share `most`, which the published protocol draws among
 * most_digits and the two numbers above it: P(a, b) depends on the two lengths alone, and the sum over all pairs is one
 * over lengths. What a quarter of the problems, held back for tests, takes from the entropy, ln(4/3) a problem, no
 * model can learn: the floor leaves it out. */

enum { MOST_LENGTH = 16 };

static double numbers_of(size_t d) { return d == 1 ? 10 : 9 * pow(10, (double)d - 1); }

//> each
/* The probability of each single number of d digits. */
static double each(size_t d, size_t most) {
    double p = 0;
    for (size_t n = d; n <= most; n++) p += pow(10, -(double)n) / (double)most;
    return p;
}
//< each

/* Of a problem, in nats. */
static double problem_entropy(const nn_addition *task) {
    const size_t most[3] = {task->most_digits, task->most_digits + 1, task->most_digits + 2};
    const double share[3] = {1 - task->bridge_share, task->bridge_share / 2, task->bridge_share / 2};
    double entropy = 0;
    for (size_t a = 1; a <= MOST_LENGTH; a++)
        for (size_t b = 1; b <= MOST_LENGTH; b++) {
            double p = 0;
            for (int m = 0; m < 3; m++) p += share[m] * each(a, most[m]) * each(b, most[m]);
            if (p > 0) entropy -= numbers_of(a) * numbers_of(b) * p * log(p);
        }
    return entropy;
}

static bool entropy(const json_t *options, json_t **result, spak_error *err) {
    enum { PROBLEMS = 200000 };
    nn_addition task;
    if (!nn_addition_read(options, &task, err)) return false;
    if (task.chain_share > 0 || task.most_digits > 6 || (task.layout != NN_ADD_SINGLE && task.layout != NN_ADD_PACKED))
        return spak_fail(err, "the entropy is derived for random problems of up to 6 digits, one after the other");
    size_t tokens = 0;
    for (uint64_t i = 0; i < PROBLEMS; i++) {
        nn_problem p;
        nn_addition_draw(&task, 1, i, &p);
        tokens += p.a_digits + p.b_digits + p.c_digits + 3;
    }
    const double nats = problem_entropy(&task), length = (double)tokens / PROBLEMS;
    /* Alone in its row a problem's first digit is not foretold; it is one of ten, all alike. */
    const bool alone = task.layout == NN_ADD_SINGLE;
    const double floor = (nats - alone * log(10)) / (length - alone);
    *result = json_pack("{s:f,s:f,s:f,s:i}", "nats_per_problem", nats, "tokens_per_problem", length, "floor", floor,
                        "problems", PROBLEMS);
    return *result || spak_fail_oom(err);
}

/* --- parameters --- */

/* {"parameters": all, "block": of one layer's block, "tables": the rest, "by_rule": 12 layers width^2} */
static bool parameters(const json_t *options, json_t **result, spak_error *err) {
    nn_train_config c;
    nn_param *list = NULL;
    size_t count, numbers, blocks = 0;
    json_t *none = json_object();
    const bool good = none && looplm_config_read(options ? options : none, none, &c, err) &&
                      nn_params_list(&c.model, &list, &count, &numbers, err);
    json_decref(none);
    if (!good) return false;
    for (size_t i = 0; i < count; i++)
        if (strstr(list[i].name, ".h.")) blocks += list[i].rows * list[i].cols;
    spak_free(list);
    const double width = (double)c.model.width;
    *result = json_pack("{s:I,s:I,s:I,s:f,s:I,s:I,s:I}", "parameters", (json_int_t)numbers, "blocks",
                        (json_int_t)blocks, "tables", (json_int_t)(numbers - blocks), "by_rule",
                        12 * (double)c.model.layers * width * width, "layers", (json_int_t)c.model.layers, "loops",
                        (json_int_t)c.model.loops, "width", (json_int_t)c.model.width);
    return *result || spak_fail_oom(err);
}

const dev_study looplm_studies[LOOPLM_NUM_STUDIES] = {
    {"entropy", "the loss that no model can go below where the operands are learned, from how they are drawn", entropy},
    {"parameters", "the parameters of a configuration, counted without making it", parameters},
};
