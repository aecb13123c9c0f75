/* Addition as a language: the task of LoopLM. A problem is written "321+654=975\n": both operands and the sum begin
 * with their lowest digit, so that the sum can be written in the order in which it is computed.
 *
 * Which problems are trained on. A quarter of all problems, told by a hash of their digits, is kept for testing and
 * never drawn in training, whatever the seed. The clean protocol draws operands of 1 to most_digits digits, 4 as
 * a rule; the published one adds "bridge" problems: with probability 0.3 operands of up to one or two digits more.
 *
 * Layouts of a row of tokens:
 *   single    one problem, then blanks
 *   packed    problems one after the other until the row is full, the last one cut; each problem is a segment
 *   blanks    each number in `slots` slots, the digits of one index in the same slot of all three numbers, blanks
 *             elsewhere: where a digit stands says nothing about its index
 *   one_pass  all digits of the sum are asked for at once: a_1..a_n + b_1..b_n = ?_1..?_(n+1), each '?' being the place
 *             where its digit is predicted; operands are filled up with zeros to the same length
 * In the others a position predicts the next token, and those from '=' to the last digit have targets: nothing but the
 * answer is learned. */
#ifndef SPAK_NN_ADDITION_H
#define SPAK_NN_ADDITION_H

#include "base/err.h"
#include "base/json.h"
#include "nn/nn.h"

enum {
    NN_ADD_PLUS = 10, /* after the digits 0 to 9 */
    NN_ADD_EQUALS,
    NN_ADD_END,
    NN_ADD_ASK,   /* '?' */
    NN_ADD_BLANK, /* '_' */
    NN_ADD_VOCAB,
    NN_ADD_MOST_DIGITS = 128,
};

typedef enum nn_add_layout { NN_ADD_SINGLE, NN_ADD_PACKED, NN_ADD_BLANKS, NN_ADD_ONE_PASS } nn_add_layout;

typedef struct nn_addition {
    nn_add_layout layout;
    size_t most_digits;  /* of an operand in training: 4 */
    double bridge_share; /* published protocol: 0.3 of the problems have operands of up to one or two digits more */
    double chain_share;  /* of the problems are made carry chains */
    size_t packed_len;   /* packed: tokens of a row */
    size_t slots;        /* blanks: slots of a number */
    size_t most_offset;  /* a random offset of 0 to this is added to the indices of a row, in training */
    bool reversed;       /* false: highest digit first, as a mistaken evaluation writes it */
    bool mask_operands;  /* false: the operands are learned too */
    nn_fault fault;      /* not read from JSON */
} nn_addition;

/* Members of `json` (by the names above; "protocol": "clean" or "published" sets bridge_share) over the clean protocol,
 * one problem a row. Errors name the member. */
bool nn_addition_read(const json_t *json, nn_addition *task, spak_error *err);
json_t *nn_addition_json(const nn_addition *task); /* every member; NULL when out of memory */

/* Digits, lowest first; c has as many as the sum (never more than n + 1). */
typedef struct nn_problem {
    size_t a_digits, b_digits, c_digits;
    unsigned char a[NN_ADD_MOST_DIGITS], b[NN_ADD_MOST_DIGITS], c[NN_ADD_MOST_DIGITS + 1];
} nn_problem;

size_t nn_problem_carries(const nn_problem *p); /* how many columns carry */
bool nn_problem_is_test(const nn_problem *p);

/* Problem number `i` of the training stream of a seed. */
void nn_addition_draw(const nn_addition *task, uint64_t seed, uint64_t i, nn_problem *p);

typedef enum nn_add_set {
    NN_ADD_RANDOM, /* digits uniform */
    NN_ADD_CHAINS, /* above the lowest, each pair of digits sums to 9 with probability 0.9; a carry enters below with
                      probability 0.63 */
    NN_ADD_FULL_CHAINS, /* the lowest pair carries, all others sum to 9: one carry runs through all columns */
} nn_add_set;
bool nn_add_set_parse(const char *name, nn_add_set *set); /* "random", "chains", "full_chains" */
const char *nn_add_set_name(nn_add_set set);

/* Up to n different test problems with two operands of exactly `digits` digits; *found may be less, where there are not
 * more (one digit: a quarter of a hundred). p has room for n. */
bool nn_addition_test_set(nn_add_set set, size_t digits, uint64_t seed, size_t n, nn_problem *p, size_t *found,
                          spak_error *err);

/* Rows of tokens with all that a model may want to know of them. */
typedef struct nn_add_rows {
    size_t rows, len;
    int32_t *tokens, *targets, *index, *kinds, *segments; /* (rows, len) each; one allocation, at tokens */
    int32_t *owner;                                       /* (rows, len): which problem a target belongs to, or -1 */
} nn_add_rows;

/* The length of a row: for training, and for problems of exactly `digits` digits. */
size_t nn_addition_train_len(const nn_addition *task);
size_t nn_addition_test_len(const nn_addition *task, size_t digits);

bool nn_add_rows_new(size_t rows, size_t len, nn_add_rows **out, spak_error *err);
void nn_add_rows_free(nn_add_rows *rows); /* NULL is fine */

/* Fills the rows with problems of the training stream: those of step `step`. */
void nn_addition_train_rows(const nn_addition *task, uint64_t seed, uint64_t step, nn_add_rows *rows);
/* Row i: problem i, alone in its row (as `single` where the layout is `packed`). Rows must be long enough. rows_of as
 * training writes a problem, test_rows as evaluation does: nothing but a fault tells them apart. */
void nn_addition_rows_of(const nn_addition *task, const nn_problem *p, size_t n, nn_add_rows *rows);
void nn_addition_test_rows(const nn_addition *task, const nn_problem *p, size_t n, nn_add_rows *rows);
nn_batch nn_add_rows_batch(const nn_add_rows *rows); /* borrows */

/* --- the gates before training --- */

/* A row as text, with [ and ] around what has targets: "321+654=[975\n]". Appends. */
bool nn_add_rows_show(const nn_add_rows *rows, size_t row, spak_str *out);

/* Asserts of every row, from its text alone: each target is the token that follows (one_pass: the digit that stands for
 * the '?'), the sums are right, targets are on the whole answer and on nothing else. Fails with the row's text. */
bool nn_add_rows_check(const nn_addition *task, const nn_add_rows *rows, spak_error *why);

/* Training and evaluation write the same problem in the same way. Fails showing both. */
bool nn_addition_same_format(const nn_addition *train, const nn_addition *test, spak_error *why);

/* --- evaluation --- */

/* What is asked: up to `problems` of a test set, of exactly so many digits. */
typedef struct nn_exam {
    nn_add_set set;
    size_t digits, problems;
    uint64_t seed;
    const size_t *loops; /* after which loops to look, ascending; NULL: the configuration's. A decoder takes the last */
    size_t num_loops;
    bool marks; /* which problems were right, after the last of loops */
} nn_exam;

/* Exact match on a test set, given the right tokens: {"digits", "set", "problems", "loops": [..], "correct": [one count
 * for each of loops], "by_carries": [[carries, problems, correct at the last of loops], ...], "tokens",
 * "token_correct", "marks": "a bit a problem, in hexadecimal, lowest first"}. A row counts when every token of the
 * answer is the best one given the right ones before it; greedy decoding stops being right at its first wrong token, so
 * it gives the same count. rows: at a time, no more than the model is made for. */
bool nn_addition_evaluate(const nn_addition *task, nn_model *model, size_t rows, const nn_exam *exam, json_t **result,
                          spak_error *err);

/* The same by decoding greedily, a token at a time from its own answers, with a cache of keys and values, and halting
 * when it is on: {"digits", "set", "problems", "loops", "correct": [count], "marks", "spent": {"operand": [tokens,
 * loops], "sign", "equals", "answer"}}: how many tokens of each kind went through and how many loops they took. Only
 * for layouts single and packed. */
bool nn_addition_decode(const nn_addition *task, nn_model *model, size_t rows, const nn_exam *exam,
                        const nn_halting *halting, json_t **result, spak_error *err);

/* Members of an exam's result that both share; NULL when out of memory. right: one for each problem. */
json_t *nn_exam_marks(const bool *right, size_t problems);

#endif
